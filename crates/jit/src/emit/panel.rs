//! Long sums, block by block.
//!
//! A tile that walks along thousands of terms has forgotten the first ones of its operands when the next tile needs
//! them. So the result is made in panels of rows, whose partial sums lie on the stack: all tiles of a panel take a
//! block of terms, which stays in cache, then all of them the next one. Wide results are made some columns at a time.
//! Terms are added in the same order, and partial sums are rounded as they are in registers, so that no bit depends on
//! it.

use crate::emit::memory::{lane_bytes, spill};
use crate::emit::product::{Pass, Product, Spot, Work};
use crate::emit::{Emitter, Pos, Ptr, Shape};
use eggrad_schedule::ProductKernel;

/// Terms of a block, about.
const TERMS: usize = 256;

/// Bytes of the partial sums of a panel.
const PANEL_BYTES: usize = 256 << 10;

/// Columns of a panel, about.
const COLUMNS: usize = 512;

/// How a product is cut up.
pub(super) struct Panels {
    /// Rows of a panel, a multiple of those of a tile.
    pub(super) rows: usize,
    /// Columns of a panel, a multiple of those of a tile unless they are all.
    columns: usize,
    /// Lanes of the partial sums of a row: the columns, rounded up to whole vectors.
    lanes: usize,
    /// Loops of `k` that go from block to block.
    outer: usize,
    /// Terms of a block of the innermost loop, where that is cut.
    chunk: Option<usize>,
}

impl Panels {
    /// None where blocks are not worth it: sums are short, or nothing is read twice.
    pub(super) fn new(k: &ProductKernel, tile: (usize, usize), shape: Shape) -> Option<Panels> {
        let terms: usize = k.k.iter().product();
        let vectors = k.n.div_ceil(shape.lanes);
        let tiles = k.m.div_ceil(tile.0) * vectors.div_ceil(tile.1);
        if !shape.is_vector() || terms < 2 * TERMS || tiles < 4 {
            return None;
        }
        let cut = vectors.div_ceil(vectors.div_ceil(COLUMNS / shape.lanes));
        let columns = k.n.min(cut.next_multiple_of(tile.1) * shape.lanes);
        let lanes = columns.next_multiple_of(shape.lanes);
        let room = PANEL_BYTES / (lanes * shape.width) / tile.0 * tile.0;
        let rows = room.min(k.m.next_multiple_of(tile.0));
        if rows == 0 {
            return None;
        }
        // The outermost loops go from block to block, as many as leave blocks that are not too long.
        let inner = |from: usize| k.k[from..].iter().product::<usize>();
        let outer = (0..k.k.len()).find(|&from| inner(from) < 2 * TERMS).unwrap_or(k.k.len() - 1);
        let length = inner(outer);
        let chunk = (length >= 2 * TERMS)
            .then(|| length.div_ceil(length / TERMS).next_multiple_of(4))
            .filter(|&chunk| chunk < length);
        Some(Panels { rows, columns, lanes, outer, chunk })
    }

    /// Terms of a block, where it is of one loop.
    pub(super) fn terms(&self, k: &ProductKernel) -> Option<usize> {
        (self.outer + 1 == k.k.len()).then(|| self.chunk.unwrap_or(k.k[self.outer]))
    }
}

impl<'k, R: Copy> Product<'k, R> {
    /// The rows of `range`, or all, panel by panel.
    pub(super) fn panels(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        panels: &Panels,
        range: Option<(R, R)>,
    ) {
        let slot = g.slot(panels.rows * panels.lanes * lane_bytes(self.lane));
        let whole = self.k.n / panels.columns * panels.columns;
        let lp = g.open(whole, panels.columns, &[]);
        let here = self.along_n(g, spot, lp.pos, 0);
        self.rows_of_panels(g, &here, panels, (slot, panels.columns), range);
        g.close(lp, &[]);
        if whole < self.k.n {
            let here = self.along_n(g, spot, Pos::Const(0), whole);
            self.rows_of_panels(g, &here, panels, (slot, self.k.n - whole), range);
        }
    }

    /// So many columns of all rows.
    fn rows_of_panels(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        panels: &Panels,
        (slot, columns): (Ptr<R>, usize),
        range: Option<(R, R)>,
    ) {
        let width = lane_bytes(self.lane);
        let row = (panels.lanes * width) as i64;
        let (begin, end) = match range {
            Some(range) => range,
            None => (g.position(0), g.position(self.k.m as i64)),
        };
        let last = g.add_const(end, panels.rows as i64 - 1);
        let lp = g.open_while(begin, last, panels.rows);
        let from = g.pos(lp.pos);
        let next = g.add_const(from, panels.rows as i64);
        let range = Some((from, g.least(next, end)));
        let zeros = g.open(panels.rows * panels.lanes, self.shape.lanes, &[]);
        let zero = g.constant(self.shape, self.lane, 0);
        let at = g.advance(slot, zeros.pos, width as i64);
        spill(g, self.shape, self.lane, zero, at);
        g.close(zeros, &[]);
        // Rows are counted from the first of the result.
        let first = g.advance(slot, Pos::Dyn(from), -row);
        let spot = Spot { partial: Some((first, row)), ..spot.clone() };
        self.blocks(g, &spot, panels, 0, (columns, range));
        self.columns(g, &spot, Pass { range, columns, work: Work::Finish });
        g.close(lp, &[]);
    }

    /// All terms of the loops of `k` from `depth` on.
    fn blocks(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        panels: &Panels,
        depth: usize,
        (columns, range): (usize, Option<(R, R)>),
    ) {
        let lengths = &self.k.k[depth..];
        if depth < panels.outer {
            let lp = g.open(lengths[0], 1, &[]);
            let spot = self.along_k(g, spot, depth, lp.pos, 0);
            self.blocks(g, &spot, panels, depth + 1, (columns, range));
            g.close(lp, &[]);
            return;
        }
        let Some(chunk) = panels.chunk else {
            return self.columns(g, spot, Pass { range, columns, work: Work::Add(lengths) });
        };
        let rest = lengths[0] % chunk;
        let lp = g.open(lengths[0] - rest, chunk, &[]);
        let block = self.along_k(g, spot, depth, lp.pos, 0);
        self.columns(g, &block, Pass { range, columns, work: Work::Add(&[chunk]) });
        g.close(lp, &[]);
        if rest > 0 {
            let block = self.along_k(g, spot, depth, Pos::Const(0), lengths[0] - rest);
            self.columns(g, &block, Pass { range, columns, work: Work::Add(&[rest]) });
        }
    }
}
