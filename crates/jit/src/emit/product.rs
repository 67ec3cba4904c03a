//! Matrix products: tiles of the result are accumulated in registers while both operands are walked along `k`.

use crate::emit::body::Code;
use crate::emit::memory::{Site, lane_bytes, reload, spill, stride_bytes};
use crate::emit::pack::panel_bytes;
use crate::emit::panel::Panels;
use crate::emit::row::{close_outer, open_outer, start};
use crate::emit::{Emitter, Pos, Ptr, Run, Shape, Shares, Tuning};
use eggrad_body::Lane;
use eggrad_schedule::{Access, ProductKernel};

/// Steps along `k` in one round of the loops that matter.
pub(super) const UNROLL: usize = 4;

/// Bytes of a cache line.
pub(super) const LINE: i64 = 64;

/// Bytes of an array that are in the nearest cache all the same.
const NEAR_BYTES: usize = 32 << 10;

pub(crate) fn emit<E: Emitter>(g: &mut E, k: &ProductKernel, begin: E::Reg, end: E::Reg) -> Shares {
    if k.m == 0 || k.n == 0 || k.batch.contains(&0) {
        return Shares::EACH;
    }
    let lane = crate::check::lane_of(k.a.dtype);
    let n_dim = k.batch.len() + 1;
    let shape = match lane.bytes() {
        Some(width) if k.n > 1 => g.tuning().vector(width),
        Some(_) | None => Shape::SCALAR,
    };
    let mut epilogue = Code::new(g, &k.epilogue, &k.stores, [].into_iter(), &k.accesses, n_dim);
    if epilogue.shape.is_vector() != shape.is_vector() || epilogue.shape.width < shape.width {
        epilogue = Code::scalar(&k.epilogue, &k.stores, [].into_iter());
    }
    let inline = epilogue.shape == shape && epilogue.size() <= g.tuning().inline_epilogue;
    let strides = &k.b.strides;
    let transpose = shape.is_vector()
        && shape.width == 4
        && k.b.dtype.bytes() == 4
        && strides[n_dim] != 1
        && strides.last() == Some(&1)
        && innermost(k) >= UNROLL;
    let mut tile = choose_tile(g.tuning(), k.m, k.n.div_ceil(shape.lanes));
    let mut panels = Panels::new(k, tile, shape);
    let panel = panel_bytes(g.tuning(), k, tile, shape, transpose, panels.as_ref());
    if transpose && panel.is_none() {
        tile = (k.m.min(g.tuning().transposed_rows), 1);
        panels = Panels::new(k, tile, shape);
    }
    let panel = panel.map(|bytes| g.slot(bytes));
    let range = k.batch.is_empty().then_some((begin, end));
    let product = Product { k, lane, shape, tile, epilogue, inline, transpose, panel };

    let mut accesses = vec![k.a.clone(), k.b.clone()];
    accesses.extend(k.accesses.iter().cloned());
    let mut ptrs = start(g, &accesses);
    let mut positions = vec![];
    let mut loops = vec![];
    if !k.batch.is_empty() {
        let range = (begin, end);
        loops = open_outer(g, &k.batch, &accesses, range, &mut ptrs, &mut positions);
    }
    positions.extend(vec![Pos::Const(0); 2 + k.k.len()]);
    let rest = ptrs.split_off(2);
    let site = Site {
        accesses: &k.accesses,
        ptrs: rest,
        positions,
        dim: n_dim,
        scalars: vec![],
        lanewise: false,
    };
    let inner = n_dim + k.k.len();
    let left =
        Left { ptr: ptrs[0], row: stride_bytes(&k.a, n_dim - 1), step: stride_bytes(&k.a, inner) };
    let spot = Spot { left, b: ptrs[1], partial: None, ahead: None, site };
    match &panels {
        Some(panels) => product.panels(g, &spot, panels, range),
        None => product.columns(g, &spot, Pass { range, columns: k.n, work: Work::All }),
    }
    close_outer(g, loops);
    match k.batch.is_empty() {
        true if panel.is_some() => Shares { unit: tile.0, parts: 2 },
        true => Shares { unit: tile.0, ..Shares::EACH },
        false => Shares::EACH,
    }
}

/// Terms of the innermost loop of the sums.
fn innermost(k: &ProductKernel) -> usize {
    k.k.last().copied().unwrap_or(0)
}

/// The tile with which `m` rows of `n` vectors take the fewest cycles: two multiply-adds and two loads a cycle, and
/// some cycles from one multiply-add to the next on the same accumulator.
fn choose_tile(tuning: &Tuning, m: usize, n: usize) -> (usize, usize) {
    // Counted in half cycles.
    let step = |rows: usize, vectors: usize| match rows * vectors {
        0 => 0,
        accumulators => accumulators.max(rows + vectors).max(tuning.latency),
    };
    let cost = |&(rows, vectors): &(usize, usize)| {
        let (full_m, rest_m) = (m / rows, m % rows);
        let (full_n, rest_n) = (n / vectors, n % vectors);
        full_m * full_n * step(rows, vectors)
            + full_m * step(rows, rest_n)
            + full_n * step(rest_m, vectors)
            + step(rest_m, rest_n)
    };
    let fits = |&&(rows, vectors): &&(usize, usize)| rows <= m && vectors <= n;
    tuning.tiles.iter().filter(fits).min_by_key(|tile| cost(tile)).copied().unwrap_or((1, 1))
}

/// What is done with the tiles of a walk over the result.
#[derive(Clone, Copy)]
pub(super) enum Work<'w> {
    /// All terms, then the epilogue.
    All,
    /// Terms of the last loops of `k`, of these lengths, are added to the partial sums.
    Add(&'w [usize]),
    /// The same, then the epilogue.
    Last(&'w [usize]),
    /// The epilogue of the partial sums.
    Finish,
}

impl<'w> Work<'w> {
    /// Lengths of the loops of `k` that are walked.
    pub(super) fn lengths(self, k: &'w ProductKernel) -> &'w [usize] {
        match self {
            Work::All => &k.k,
            Work::Add(lengths) | Work::Last(lengths) => lengths,
            Work::Finish => &[],
        }
    }
}

/// A walk over the result.
#[derive(Clone, Copy)]
pub(super) struct Pass<'w, R> {
    /// Range of rows; all of them if it is none.
    pub(super) range: Option<(R, R)>,
    /// Number of columns, from those of the place on.
    pub(super) columns: usize,
    pub(super) work: Work<'w>,
}

/// Part of the result that is accumulated at once.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) vectors: usize,
    /// Lanes of the last vector.
    pub(super) last: usize,
    /// Steps along `k` in one round of the loop.
    unroll: usize,
}

/// Where the left operand is read.
#[derive(Clone, Copy)]
pub(super) struct Left<R> {
    pub(super) ptr: Ptr<R>,
    /// Bytes from row to row.
    pub(super) row: i64,
    /// Bytes from one step along the innermost loop of `k` to the next.
    pub(super) step: i64,
}

/// Where a tile starts.
#[derive(Clone)]
pub(super) struct Spot<'k, R> {
    pub(super) left: Left<R>,
    pub(super) b: Ptr<R>,
    /// Its partial sums, and bytes from row to row of them.
    pub(super) partial: Option<(Ptr<R>, i64)>,
    /// What of the right operand is asked for while a tile is computed: the columns that are packed next.
    pub(super) ahead: Option<Ptr<R>>,
    pub(super) site: Site<'k, R>,
}

pub(super) struct Product<'k, R> {
    pub(super) k: &'k ProductKernel,
    pub(super) lane: Lane,
    pub(super) shape: Shape,
    /// Rows and vectors of most tiles.
    pub(super) tile: (usize, usize),
    epilogue: Code<'k, R>,
    inline: bool,
    /// Whether the right operand is loaded along `k` and transposed in registers.
    pub(super) transpose: bool,
    /// Where the columns of a tile are first copied to, side by side, if at all.
    pub(super) panel: Option<Ptr<R>>,
}

impl<'k, R: Copy> Product<'k, R> {
    pub(super) fn m_dim(&self) -> usize {
        self.k.batch.len()
    }

    /// The innermost loop of `k`.
    pub(super) fn inner_dim(&self) -> usize {
        self.k.batch.len() + 1 + self.k.k.len()
    }

    pub(super) fn along_n(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        pos: Pos<R>,
        by: usize,
    ) -> Spot<'k, R> {
        let bytes = stride_bytes(&self.k.b, self.m_dim() + 1);
        let b = g.advance(spot.b, pos, bytes).plus(bytes.wrapping_mul(by as i64));
        let width = lane_bytes(self.lane) as i64;
        let partial = spot
            .partial
            .map(|(ptr, row)| (g.advance(ptr, pos, width).plus(by as i64 * width), row));
        Spot { left: spot.left, b, partial, ahead: None, site: spot.site.at(g, pos, by) }
    }

    pub(super) fn along_m(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        pos: Pos<R>,
        by: usize,
    ) -> Spot<'k, R> {
        let m = self.m_dim();
        let Left { ptr, row, .. } = spot.left;
        let ptr = g.advance(ptr, pos, row).plus(row.wrapping_mul(by as i64));
        let left = Left { ptr, ..spot.left };
        let n = spot.site.dim;
        let site = Site { dim: m, ..spot.site.clone() }.at(g, pos, by);
        let partial = spot
            .partial
            .map(|(ptr, row)| (g.advance(ptr, pos, row).plus(row.wrapping_mul(by as i64)), row));
        Spot { left, b: spot.b, partial, ahead: None, site: Site { dim: n, ..site } }
    }

    /// `pos + by` further along loop `depth` of `k`.
    pub(super) fn along_k(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        depth: usize,
        pos: Pos<R>,
        by: usize,
    ) -> Spot<'k, R> {
        let dim = self.m_dim() + 2 + depth;
        let mut move_on = |access: &Access, ptr: Ptr<R>| {
            let bytes = stride_bytes(access, dim);
            g.advance(ptr, pos, bytes).plus(bytes.wrapping_mul(by as i64))
        };
        let left = Left { ptr: move_on(&self.k.a, spot.left.ptr), ..spot.left };
        Spot { left, b: move_on(&self.k.b, spot.b), ..spot.clone() }
    }

    /// All tiles of the columns of a pass.
    pub(super) fn columns(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        pass: Pass<'_, R>,
    ) {
        let (rows, lanes) = (self.tile.0, self.shape.lanes);
        let block = self.tile.1 * lanes;
        let looped = pass.columns / block * block;
        if looped > 0 {
            let lp = g.open(looped, block, &[]);
            let spot = self.along_n(g, spot, lp.pos, 0);
            let tile = Tile { rows, vectors: self.tile.1, last: lanes, unroll: UNROLL };
            self.pack(g, &spot, tile, pass.work);
            self.rows(g, &spot, tile, pass);
            g.close(lp, &[]);
        }
        let rest = pass.columns - looped;
        if rest > 0 {
            let spot = self.along_n(g, spot, Pos::Const(0), looped);
            let (vectors, last) = (rest.div_ceil(lanes), (rest - 1) % lanes + 1);
            let tile = Tile { rows, vectors, last, unroll: UNROLL };
            self.pack(g, &spot, tile, pass.work);
            self.rows(g, &spot, tile, pass);
        }
    }

    /// Vectors of the right operand at each of `count` steps, `b_step` bytes apart.
    pub(super) fn rights(
        &self,
        g: &mut impl Emitter<Reg = R>,
        b: Ptr<R>,
        b_step: i64,
        tile: Tile,
        count: usize,
    ) -> Vec<Vec<R>> {
        if self.transpose && count == UNROLL {
            let vectors = 0..tile.vectors;
            let columns: Vec<[R; UNROLL]> =
                vectors.map(|v| self.transposed(g, b, v, self.lanes(tile, v))).collect();
            return (0..count).map(|i| columns.iter().map(|v| v[i]).collect()).collect();
        }
        let at = |i: usize| b.plus(b_step.wrapping_mul(i as i64));
        (0..count)
            .map(|i| {
                (0..tile.vectors).map(|v| self.right(g, at(i), v, self.lanes(tile, v))).collect()
            })
            .collect()
    }

    /// All rows of a column of tiles.
    fn rows(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        pass: Pass<'_, R>,
    ) {
        let rows = tile.rows;
        let rest = self.k.m % rows;
        if let Some((begin, end)) = pass.range {
            // The range of all rows is full tiles and the rest. Only one that was split elsewhere leaves rows that go
            // one by one, in small code.
            let mut sizes = vec![(rows, UNROLL)];
            if rest > 1 {
                sizes.push((rest, UNROLL));
            }
            if rows > 1 {
                sizes.push((1, if rest == 1 { UNROLL } else { 1 }));
            }
            let mut from = begin;
            for (rows, unroll) in sizes {
                let lp = g.open_while(from, end, rows);
                from = g.pos(lp.pos);
                let mut spot = self.along_m(g, spot, lp.pos, 0);
                if rows == tile.rows {
                    spot.ahead = self.ahead(g, &spot, tile, (begin, lp.pos));
                }
                self.tile(g, &spot, Tile { rows, unroll, ..tile }, pass.work);
                g.close(lp, &[]);
            }
            return;
        }
        let looped = self.k.m - rest;
        if looped > 0 {
            let lp = g.open(looped, rows, &[]);
            let spot = self.along_m(g, spot, lp.pos, 0);
            self.tile(g, &spot, tile, pass.work);
            g.close(lp, &[]);
        }
        if rest > 0 {
            let spot = self.along_m(g, spot, Pos::Const(0), looped);
            self.tile(g, &spot, Tile { rows: rest, ..tile }, pass.work);
        }
    }

    /// Asks for what the epilogue will read and write, so that it comes while the terms are added.
    fn prefetch(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, tile: Tile) {
        let (m, n) = (self.m_dim(), self.m_dim() + 1);
        let columns = (tile.vectors - 1) * self.shape.lanes + tile.last;
        for (i, (access, &ptr)) in self.k.accesses.iter().zip(&spot.site.ptrs).enumerate() {
            let (row, width) = (stride_bytes(access, m), stride_bytes(access, n));
            let near = self.k.m.saturating_mul(self.k.n).saturating_mul(access.dtype.bytes());
            let again = self.k.accesses[..i].contains(access);
            if row == 0 || access.strides[n] != 1 || near < NEAR_BYTES || again {
                continue;
            }
            for r in 0..tile.rows as i64 {
                let row = ptr.plus(row.wrapping_mul(r));
                for line in 0..(columns as i64 * width + LINE - 1) / LINE {
                    g.prefetch(row.plus(line * LINE));
                }
            }
        }
    }

    fn tile(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, tile: Tile, work: Work<'_>) {
        if let Work::All | Work::Last(_) = work {
            self.prefetch(g, spot, tile);
        }
        let acc = match work {
            Work::All => vec![g.constant(self.shape, self.lane, 0); tile.rows * tile.vectors],
            Work::Add(_) | Work::Last(_) | Work::Finish => self.reload(g, spot, tile),
        };
        let acc = self.sums(g, spot, tile, work.lengths(self.k), acc);
        if let Work::Add(_) = work {
            return self.spill(g, spot, tile, &acc);
        }
        if self.inline {
            for (i, &acc) in acc.iter().enumerate() {
                let (row, vector) = (i / tile.vectors, i % tile.vectors);
                let spot = self.along_m(g, spot, Pos::Const(0), row);
                let site = spot.site.at(g, Pos::Const(0), vector * self.shape.lanes);
                self.finish(g, site.with_lanes(vec![acc]), self.lanes(tile, vector));
            }
        } else {
            self.finish_from_stack(g, spot, tile, &acc);
        }
    }

    /// Where the partial sums of each accumulator of a tile lie.
    fn partials(&self, spot: &Spot<'k, R>, tile: Tile) -> Vec<Ptr<R>> {
        let Some((ptr, row)) = spot.partial else {
            panic!("internal error: there are no partial sums")
        };
        let vector = (self.shape.lanes * lane_bytes(self.lane)) as i64;
        let at = |i: usize| {
            ptr.plus(row * (i / tile.vectors) as i64 + vector * (i % tile.vectors) as i64)
        };
        (0..tile.rows * tile.vectors).map(at).collect()
    }

    fn reload(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, tile: Tile) -> Vec<R> {
        let partials = self.partials(spot, tile).into_iter();
        partials.map(|at| reload(g, self.shape, self.lane, at)).collect()
    }

    fn spill(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, tile: Tile, acc: &[R]) {
        for (at, &acc) in self.partials(spot, tile).into_iter().zip(acc) {
            spill(g, self.shape, self.lane, acc, at);
        }
    }

    /// The accumulators after the terms of the last loops of `k`, of the given lengths.
    fn sums(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        lengths: &[usize],
        mut acc: Vec<R>,
    ) -> Vec<R> {
        let [length, inner @ ..] = lengths else { return acc };
        let length = *length;
        if length == 0 {
            return acc;
        }
        if !inner.is_empty() {
            let lp = g.open(length, 1, &acc);
            let spot = self.along_k(g, spot, self.k.k.len() - lengths.len(), lp.pos, 0);
            let next = self.sums(g, &spot, tile, inner, lp.carried.clone());
            return g.close(lp, &next);
        }
        let whole = length / tile.unroll * tile.unroll;
        for (first, last, step) in [(0, whole, tile.unroll), (whole, length, 1)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, step, &acc);
            let mut next = lp.carried.clone();
            self.steps(g, spot, tile, (lp.pos, first), step, &mut next);
            acc = g.close(lp, &next);
        }
        acc
    }

    pub(super) fn lanes(&self, tile: Tile, vector: usize) -> usize {
        if vector + 1 == tile.vectors { tile.last } else { self.shape.lanes }
    }

    /// `count` steps along the innermost loop of `k`, from position `pos + by` on.
    fn steps(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        (pos, by): (Pos<R>, usize),
        count: usize,
        acc: &mut [R],
    ) {
        let Left { ptr, row: a_row, step: a_step } = spot.left;
        let (b, b_step) = match self.panel {
            Some(panel) => (panel, self.panel_step(tile)),
            None => (spot.b, stride_bytes(&self.k.b, self.inner_dim())),
        };
        let a = g.advance(ptr, pos, a_step).plus(a_step.wrapping_mul(by as i64));
        let b = g.advance(b, pos, b_step).plus(b_step.wrapping_mul(by as i64));
        if let (Some(ahead), UNROLL) = (spot.ahead, count) {
            let step = stride_bytes(&self.k.b, self.inner_dim());
            let ahead = g.advance(ahead, pos, step).plus(step.wrapping_mul(by as i64));
            let (many, apart) = match self.transpose {
                false => ((tile.vectors * self.shape.lanes * self.shape.width) as i64 / LINE, LINE),
                true => (4, stride_bytes(&self.k.b, self.m_dim() + 1)),
            };
            for line in 0..many {
                g.prefetch(ahead.plus(apart * line));
            }
        }
        // Transposed vectors are there all at once, others when they are needed.
        let mut transposed = match self.panel {
            None if self.transpose && count == UNROLL => self.rights(g, b, b_step, tile, count),
            Some(_) | None => vec![],
        }
        .into_iter();
        for i in 0..count {
            let right = transposed.next().unwrap_or_else(|| {
                let b = b.plus(b_step.wrapping_mul(i as i64));
                (0..tile.vectors).map(|v| self.right_here(g, b, tile, v)).collect()
            });
            for row in 0..tile.rows {
                let by = a_row.wrapping_mul(row as i64).wrapping_add(a_step.wrapping_mul(i as i64));
                let run = Run { dtype: self.k.a.dtype, stride: 0, lanes: self.shape.lanes };
                let left = g.load_run(self.shape, self.lane, a.plus(by), run);
                for (vector, &right) in right.iter().enumerate() {
                    let acc = &mut acc[row * tile.vectors + vector];
                    *acc = g.multiply_add(self.shape, self.lane, left, right, *acc);
                }
            }
        }
    }

    /// Vector `vector` of the panel or the right operand at one step.
    fn right_here(&self, g: &mut impl Emitter<Reg = R>, b: Ptr<R>, tile: Tile, vector: usize) -> R {
        if self.panel.is_none() {
            return self.right(g, b, vector, self.lanes(tile, vector));
        }
        let at = (vector * self.shape.lanes * self.shape.width) as i64;
        reload(g, self.shape, self.lane, b.plus(at))
    }

    /// Vector `vector` of the right operand at one step.
    fn right(&self, g: &mut impl Emitter<Reg = R>, b: Ptr<R>, vector: usize, lanes: usize) -> R {
        let (shape, n) = (self.shape, self.m_dim() + 1);
        let step = stride_bytes(&self.k.b, n);
        let b = b.plus(step.wrapping_mul((vector * shape.lanes) as i64));
        let run = Run { dtype: self.k.b.dtype, stride: self.k.b.strides[n], lanes };
        g.load_run(shape, self.lane, b, run)
    }

    /// Vector `vector` of the right operand at each of four steps, where neighbours in memory are neighbours along `k`.
    fn transposed(
        &self,
        g: &mut impl Emitter<Reg = R>,
        b: Ptr<R>,
        vector: usize,
        lanes: usize,
    ) -> [R; 4] {
        let step = stride_bytes(&self.k.b, self.m_dim() + 1);
        let b = b.plus(step.wrapping_mul((vector * self.shape.lanes) as i64));
        g.load_transposed(self.shape, self.lane, b, step, lanes)
    }

    /// One copy of the epilogue.
    fn finish(&self, g: &mut impl Emitter<Reg = R>, site: Site<'k, R>, lanes: usize) {
        let copies = self.epilogue.copies(g, &site, 1, lanes);
        self.epilogue.stores(g, &site, &copies, lanes);
    }

    /// The epilogue, in a loop over the rows of a tile and, where it is scalar, over their elements.
    fn finish_from_stack(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        acc: &[R],
    ) {
        let lanes = self.shape.lanes;
        let width = lane_bytes(self.lane) as i64;
        let row_bytes = (tile.vectors * lanes) as i64 * width;
        let slot = g.slot(tile.rows * row_bytes as usize);
        for (i, &acc) in acc.iter().enumerate() {
            spill(g, self.shape, self.lane, acc, slot.plus((i * lanes) as i64 * width));
        }
        let rows = g.open(tile.rows, 1, &[]);
        let spot = self.along_m(g, spot, rows.pos, 0);
        let row = g.advance(slot, rows.pos, row_bytes);
        let step = self.epilogue.shape.lanes;
        let columns = (tile.vectors - 1) * lanes + tile.last;
        let looped = columns / step * step;
        for (first, last) in [(0, looped), (looped, columns)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, step, &[]);
            let at = g.advance(row, lp.pos, width).plus(first as i64 * width);
            let acc = reload(g, self.epilogue.shape, self.lane, at);
            let site = spot.site.at(g, lp.pos, first);
            self.finish(g, site.with_lanes(vec![acc]), step.min(last - first));
            g.close(lp, &[]);
        }
        g.close(rows, &[]);
    }
}
