//! Matrix products: tiles of the result are accumulated in registers while both operands are walked along `k`.

use crate::emit::body::Code;
use crate::emit::memory::{Site, lane_bytes, reload, spill, stride_bytes};
use crate::emit::row::{close_outer, open_outer, start};
use crate::emit::{Emitter, Pos, Ptr, Run, Shape, Tuning};
use eggrad_body::Lane;
use eggrad_schedule::ProductKernel;

/// Steps along `k` in one round of the loops that matter.
const UNROLL: usize = 4;

/// Bytes of the stack that a packed panel of the right operand may take.
const PANEL_BYTES: usize = 128 << 10;

/// Bytes of a right operand that is walked again for each tile of rows from farther than the nearest cache, and is
/// better packed.
const FAR_BYTES: usize = 256 << 10;

pub(crate) fn emit<E: Emitter>(g: &mut E, k: &ProductKernel, begin: E::Reg, end: E::Reg) {
    if k.m == 0 || k.n == 0 || k.batch.contains(&0) {
        return;
    }
    let lane = crate::check::lane_of(k.a.dtype);
    let n_dim = k.batch.len() + 1;
    let shape = match lane.bytes() {
        Some(width) if k.n > 1 => g.tuning().vector(width),
        Some(_) | None => Shape::SCALAR,
    };
    let mut epilogue = Code::new(g, &k.epilogue, &k.stores, [].into_iter(), &k.accesses, n_dim);
    if epilogue.shape != shape {
        epilogue = Code::scalar(&k.epilogue, &k.stores, [].into_iter());
    }
    let inline = epilogue.shape == shape && epilogue.size() <= g.tuning().inline_epilogue;
    let strides = &k.b.strides;
    let transpose = shape.is_vector()
        && shape.width == 4
        && k.b.dtype.bytes() == 4
        && strides[n_dim] != 1
        && strides[n_dim + 1] == 1
        && k.k >= UNROLL;
    let mut tile = choose_tile(g.tuning(), k.m, k.n.div_ceil(shape.lanes));
    let panel = k.k.saturating_mul(tile.1 * shape.lanes * shape.width);
    let again = if transpose { g.tuning().transposed_rows } else { 4 * tile.0 };
    let far = transpose || k.n.saturating_mul(k.k * shape.width) >= FAR_BYTES;
    let packs = shape.is_vector() && far && k.m > again && panel <= PANEL_BYTES;
    if transpose && !packs {
        tile = (k.m.min(g.tuning().transposed_rows), 1);
    }
    let panel = packs.then(|| g.slot(panel));
    let whole = k.batch.is_empty().then_some((begin, end));
    let product = Product { k, lane, shape, epilogue, inline, transpose, panel, whole };

    let mut accesses = vec![k.a.clone(), k.b.clone()];
    accesses.extend(k.accesses.iter().cloned());
    let mut ptrs = start(g, &accesses);
    let mut positions = vec![];
    let mut loops = vec![];
    if !k.batch.is_empty() {
        let range = (begin, end);
        loops = open_outer(g, &k.batch, &accesses, range, &mut ptrs, &mut positions);
    }
    positions.extend([Pos::Const(0); 3]);
    let rest = ptrs.split_off(2);
    let site = Site {
        accesses: &k.accesses,
        ptrs: rest,
        positions,
        dim: n_dim,
        scalars: vec![],
        lanewise: false,
    };
    let spot = Spot { a: ptrs[0], b: ptrs[1], site };

    let lanes = shape.lanes;
    let block = tile.1 * lanes;
    let looped = k.n / block * block;
    if looped > 0 {
        let lp = g.open(looped, block, &[]);
        let spot = product.along_n(g, &spot, lp.pos, 0);
        let tile = Tile { rows: tile.0, vectors: tile.1, last: lanes, unroll: UNROLL };
        product.pack(g, &spot, tile);
        product.rows(g, &spot, tile.rows, tile);
        g.close(lp, &[]);
    }
    let rest = k.n - looped;
    if rest > 0 {
        let spot = product.along_n(g, &spot, Pos::Const(0), looped);
        let last = (rest - 1) % lanes + 1;
        let vectors = rest.div_ceil(lanes);
        let tile = Tile { rows: tile.0, vectors, last, unroll: UNROLL };
        product.pack(g, &spot, tile);
        product.rows(g, &spot, tile.rows, tile);
    }
    close_outer(g, loops);
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

/// Part of the result that is accumulated at once.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    vectors: usize,
    /// Lanes of the last vector.
    last: usize,
    /// Steps along `k` in one round of the loop.
    unroll: usize,
}

/// Where a tile starts.
struct Spot<'k, R> {
    a: Ptr<R>,
    b: Ptr<R>,
    site: Site<'k, R>,
}

struct Product<'k, R> {
    k: &'k ProductKernel,
    lane: Lane,
    shape: Shape,
    epilogue: Code<'k, R>,
    inline: bool,
    /// Whether the right operand is loaded along `k` and transposed in registers.
    transpose: bool,
    /// Where the columns of a tile are first copied to, side by side, if at all.
    panel: Option<Ptr<R>>,
    /// Range of rows, where these are the outermost loop.
    whole: Option<(R, R)>,
}

impl<'k, R: Copy> Product<'k, R> {
    fn m_dim(&self) -> usize {
        self.k.batch.len()
    }

    fn along_n(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        pos: Pos<R>,
        by: usize,
    ) -> Spot<'k, R> {
        let bytes = stride_bytes(&self.k.b, self.m_dim() + 1);
        let b = g.advance(spot.b, pos, bytes).plus(bytes.wrapping_mul(by as i64));
        Spot { a: spot.a, b, site: spot.site.at(g, pos, by) }
    }

    fn along_m(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        pos: Pos<R>,
        by: usize,
    ) -> Spot<'k, R> {
        let m = self.m_dim();
        let bytes = stride_bytes(&self.k.a, m);
        let a = g.advance(spot.a, pos, bytes).plus(bytes.wrapping_mul(by as i64));
        let n = spot.site.dim;
        let site = Site { dim: m, ..spot.site.clone() }.at(g, pos, by);
        Spot { a, b: spot.b, site: Site { dim: n, ..site } }
    }

    /// Bytes from one step along `k` to the next in a packed panel.
    fn panel_step(&self, tile: Tile) -> i64 {
        (tile.vectors * self.shape.lanes * self.shape.width) as i64
    }

    /// Copies the right operand's columns of a tile to the panel.
    fn pack(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, tile: Tile) {
        let Some(panel) = self.panel else { return };
        let (b_step, step) = (stride_bytes(&self.k.b, self.m_dim() + 2), self.panel_step(tile));
        let whole = self.k.k / UNROLL * UNROLL;
        for (first, last, count) in [(0, whole, UNROLL), (whole, self.k.k, 1)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, count, &[]);
            let from = g.advance(spot.b, lp.pos, b_step).plus(b_step.wrapping_mul(first as i64));
            let to = g.advance(panel, lp.pos, step).plus(step * first as i64);
            for (i, right) in self.rights(g, from, b_step, tile, count).into_iter().enumerate() {
                for (vector, &right) in right.iter().enumerate() {
                    let at = (vector * self.shape.lanes * self.shape.width) as i64;
                    spill(g, self.shape, self.lane, right, to.plus(step * i as i64 + at));
                }
            }
            g.close(lp, &[]);
        }
    }

    /// Vectors of the right operand at each of `count` steps, `b_step` bytes apart.
    fn rights(
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
    fn rows(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, rows: usize, tile: Tile) {
        let rest = self.k.m % rows;
        if let Some((begin, end)) = self.whole {
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
                let spot = self.along_m(g, spot, lp.pos, 0);
                self.tile(g, &spot, Tile { rows, unroll, ..tile });
                g.close(lp, &[]);
            }
            return;
        }
        let looped = self.k.m - rest;
        if looped > 0 {
            let lp = g.open(looped, rows, &[]);
            let spot = self.along_m(g, spot, lp.pos, 0);
            self.tile(g, &spot, tile);
            g.close(lp, &[]);
        }
        if rest > 0 {
            let spot = self.along_m(g, spot, Pos::Const(0), looped);
            self.tile(g, &spot, Tile { rows: rest, ..tile });
        }
    }

    fn tile(&self, g: &mut impl Emitter<Reg = R>, spot: &Spot<'k, R>, tile: Tile) {
        let zero = g.constant(self.shape, self.lane, 0);
        let mut acc = vec![zero; tile.rows * tile.vectors];
        let whole = self.k.k / tile.unroll * tile.unroll;
        for (first, last, step) in [(0, whole, tile.unroll), (whole, self.k.k, 1)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, step, &acc);
            let mut next = lp.carried.clone();
            self.steps(g, spot, tile, (lp.pos, first), step, &mut next);
            acc = g.close(lp, &next);
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

    fn lanes(&self, tile: Tile, vector: usize) -> usize {
        if vector + 1 == tile.vectors { tile.last } else { self.shape.lanes }
    }

    /// `count` steps along `k`, from position `pos + by` on.
    fn steps(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        (pos, by): (Pos<R>, usize),
        count: usize,
        acc: &mut [R],
    ) {
        let m = self.m_dim();
        let (a_row, a_step) = (stride_bytes(&self.k.a, m), stride_bytes(&self.k.a, m + 2));
        let (b, b_step) = match self.panel {
            Some(panel) => (panel, self.panel_step(tile)),
            None => (spot.b, stride_bytes(&self.k.b, m + 2)),
        };
        let a = g.advance(spot.a, pos, a_step).plus(a_step.wrapping_mul(by as i64));
        let b = g.advance(b, pos, b_step).plus(b_step.wrapping_mul(by as i64));
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
