//! Operands of products, copied to where tiles read them fastest.

use crate::emit::memory::{reload, spill, stride_bytes};
use crate::emit::panel::Panels;
use crate::emit::product::{LINE, Left, Product, Spot, Tile, UNROLL, Work};
use crate::emit::{Emitter, Pos, Ptr, Run, Shape, Tuning};
use eggrad_schedule::ProductKernel;

/// Bytes of the stack that a packed panel of the right operand may take.
const PANEL_BYTES: usize = 128 << 10;

/// Bytes of a right operand that is walked again for each tile of rows from farther than the nearest cache, and is
/// better packed.
const FAR_BYTES: usize = 256 << 10;

/// Elements of four bytes in a cache line.
const LINE_TERMS: usize = LINE as usize / 4;

/// Bytes of a panel for the right operand's columns of a tile, if it is worth packing: when it is far away or lies across,
/// and many tiles of rows read it. Sums over several loops are read where they lie.
pub(super) fn panel_bytes(
    tuning: &Tuning,
    k: &ProductKernel,
    tile: (usize, usize),
    shape: Shape,
    transpose: bool,
    panels: Option<&Panels>,
) -> Option<usize> {
    let terms = match panels {
        Some(panels) => panels.terms(k)?,
        None if k.k.len() == 1 => k.k[0],
        None => return None,
    };
    let rows = panels.map_or(k.m, |panels| panels.rows.min(k.m));
    let again = if transpose { tuning.transposed_rows } else { 4 * tile.0 };
    let bytes = terms.saturating_mul(tile.1 * shape.lanes * shape.width);
    let far = transpose || right_bytes(k) >= FAR_BYTES;
    (shape.is_vector() && far && rows > again && bytes <= PANEL_BYTES).then_some(bytes)
}

/// Bytes of the right operand.
fn right_bytes(k: &ProductKernel) -> usize {
    let row = k.n * k.b.dtype.bytes();
    k.k.iter().fold(row, |size, &length| size.saturating_mul(length))
}

impl<'k, R: Copy> Product<'k, R> {
    /// Bytes from one step along `k` to the next in a packed panel.
    pub(super) fn panel_step(&self, tile: Tile) -> i64 {
        (tile.vectors * self.shape.lanes * self.shape.width) as i64
    }

    /// Copies the right operand's columns of a tile to the panel.
    pub(super) fn pack(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        work: Work<'_>,
    ) {
        let (Some(panel), &[terms]) = (self.panel, work.lengths(self.k)) else { return };
        let (b_step, step) = (stride_bytes(&self.k.b, self.inner_dim()), self.panel_step(tile));
        let lines = if self.transpose { terms / LINE_TERMS * LINE_TERMS } else { 0 };
        if lines > 0 {
            let lp = g.open(lines, LINE_TERMS, &[]);
            let from = Spot { b: g.advance(spot.b, lp.pos, b_step), ..spot.clone() };
            let to = g.advance(panel, lp.pos, step);
            self.turn_lines(g, &from, tile, to);
            g.close(lp, &[]);
        }
        let whole = terms / UNROLL * UNROLL;
        for (first, last, count) in [(lines, whole, UNROLL), (whole, terms, 1)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, count, &[]);
            let from = g.advance(spot.b, lp.pos, b_step).plus(b_step.wrapping_mul(first as i64));
            let to = g.advance(panel, lp.pos, step).plus(step * first as i64);
            for (i, right) in self.rights(g, from, b_step, tile, count).into_iter().enumerate() {
                self.write_panel(g, &right, to.plus(step * i as i64));
            }
            g.close(lp, &[]);
        }
    }

    /// Writes the vectors of one step to a panel.
    pub(super) fn write_panel(&self, g: &mut impl Emitter<Reg = R>, right: &[R], to: Ptr<R>) {
        let vector = (self.shape.lanes * self.shape.width) as i64;
        for (i, &right) in right.iter().enumerate() {
            spill(g, self.shape, self.lane, right, to.plus(vector * i as i64));
        }
    }

    /// Packs a cache line of each column. Columns a power of two apart share few sets of the nearest cache, so their
    /// lines are first brought together.
    pub(super) fn turn_lines(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        to: Ptr<R>,
    ) {
        let (lanes, width) = (self.shape.lanes, self.shape.width as i64);
        let columns = (tile.vectors - 1) * lanes + tile.last;
        let together = g.slot(tile.vectors * lanes * LINE as usize);
        let lp = g.open(columns, 1, &[]);
        let column = stride_bytes(&self.k.b, self.m_dim() + 1);
        let from = g.advance(spot.b, lp.pos, column);
        let place = g.advance(together, lp.pos, LINE);
        for vector in 0..LINE_TERMS / lanes {
            let by = (vector * lanes) as i64 * width;
            let line = reload(g, self.shape, self.lane, from.plus(by));
            spill(g, self.shape, self.lane, line, place.plus(by));
        }
        g.close(lp, &[]);
        let step = self.panel_step(tile);
        let lp = g.open(LINE_TERMS, UNROLL, &[]);
        let from = g.advance(together, lp.pos, width);
        let to = g.advance(to, lp.pos, step);
        for vector in 0..tile.vectors {
            let from = from.plus((vector * lanes) as i64 * LINE);
            let turned =
                g.load_transposed(self.shape, self.lane, from, LINE, self.lanes(tile, vector));
            for (i, value) in turned.into_iter().enumerate() {
                let at = (vector * lanes) as i64 * width + step * i as i64;
                spill(g, self.shape, self.lane, value, to.plus(at));
            }
        }
        g.close(lp, &[]);
    }

    /// What a tile asks for of the columns that are packed after those of `spot`: the first tile the first lines, the
    /// second one those that follow, and so on.
    pub(super) fn ahead(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        tile: Tile,
        (begin, row): (R, Pos<R>),
    ) -> Option<Ptr<R>> {
        self.panel.filter(|_| right_bytes(self.k) >= FAR_BYTES)?;
        let from = g.times(begin, -1);
        let row = g.pos(row);
        let row = g.add(row, from);
        let number = g.divide(row, tile.rows, self.k.m);
        let n = stride_bytes(&self.k.b, self.m_dim() + 1);
        let next = spot.b.plus(n.wrapping_mul((tile.vectors * self.shape.lanes) as i64));
        Some(g.advance(next, Pos::Dyn(number), self.ahead_step()))
    }

    /// Bytes between the lines that neighbouring tiles ask for.
    pub(super) fn ahead_step(&self) -> i64 {
        match self.transpose {
            false => stride_bytes(&self.k.b, self.inner_dim()),
            true => 4 * stride_bytes(&self.k.b, self.m_dim() + 1),
        }
    }

    /// Copies rows of the left operand whose elements are neighbours.
    pub(super) fn copy_rows(
        &self,
        g: &mut impl Emitter<Reg = R>,
        from: Left<R>,
        to: Left<R>,
        (begin, end): (R, R),
        terms: usize,
    ) {
        let (shape, lane) = (self.shape, self.lane);
        let rows = g.open_while(begin, end, 1);
        let source = g.advance(from.ptr, rows.pos, from.row);
        let target = g.advance(to.ptr, rows.pos, to.row);
        let whole = terms / shape.lanes * shape.lanes;
        for (first, last) in [(0, whole), (whole, terms)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, shape.lanes, &[]);
            let by = first as i64 * to.step;
            let lanes = shape.lanes.min(last - first);
            let run = Run { dtype: self.k.a.dtype, stride: 1, lanes };
            let source = g.advance(source, lp.pos, from.step).plus(by);
            let value = g.load_run(shape, lane, source, run);
            let target = g.advance(target, lp.pos, to.step).plus(by);
            spill(g, shape, lane, value, target);
            g.close(lp, &[]);
        }
        g.close(rows, &[]);
    }

    /// Copies rows of the left operand where the same elements of rows are neighbours, four rows at a time.
    pub(super) fn turn_rows(
        &self,
        g: &mut impl Emitter<Reg = R>,
        from: Left<R>,
        to: Left<R>,
        (begin, end): (R, R),
        terms: usize,
    ) {
        let (shape, lane) = (self.shape, self.lane);
        let whole = terms / shape.lanes * shape.lanes;
        for (first, last) in [(0, whole), (whole, terms)] {
            if first == last {
                continue;
            }
            let lp = g.open(last - first, shape.lanes, &[]);
            let lanes = shape.lanes.min(last - first);
            let source = g.advance(from.ptr, lp.pos, from.step).plus(from.step * first as i64);
            let target = g.advance(to.ptr, lp.pos, to.step).plus(to.step * first as i64);
            let rows = g.open_while(begin, end, 4);
            let four = g.advance(source, rows.pos, from.row);
            let turned = g.load_transposed(shape, lane, four, from.step, lanes);
            let four = g.advance(target, rows.pos, to.row);
            for (row, value) in turned.into_iter().enumerate() {
                spill(g, shape, lane, value, four.plus(to.row * row as i64));
            }
            let done = g.pos(rows.pos);
            g.close(rows, &[]);
            let rows = g.open_while(done, end, 1);
            let run =
                Run { dtype: self.k.a.dtype, stride: self.k.a.strides[self.inner_dim()], lanes };
            let source = g.advance(source, rows.pos, from.row);
            let value = g.load_run(shape, lane, source, run);
            let target = g.advance(target, rows.pos, to.row);
            spill(g, shape, lane, value, target);
            g.close(rows, &[]);
            g.close(lp, &[]);
        }
    }
}
