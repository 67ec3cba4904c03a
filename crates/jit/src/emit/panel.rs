//! Large products, block by block.
//!
//! A tile that walks along thousands of terms has forgotten the first ones of its operands when the next tile needs
//! them. So the result is made in panels of rows, whose partial sums lie on the stack: all tiles of a panel take a
//! block of terms, which stays in cache, then all of them the next one. Wide results are made some columns at a time.
//! Terms are added in the same order, and partial sums are rounded as they are in registers, so that no bit depends on
//! it.
//!
//! The left operand's rows of a block are copied before all tiles of a panel read them: rows that are a power of two
//! apart share few sets of the nearest cache, and where a row lies across, one element of each line is not worth the
//! way to it.

use crate::emit::memory::{lane_bytes, spill};
use crate::emit::product::{Left, Pass, Product, Spot, Work};
use crate::emit::{Emitter, Pos, Ptr, Shape};
use eggrad_schedule::ProductKernel;

/// Terms of a block, about.
const TERMS: usize = 256;

/// Bytes of the partial sums of a panel, and of its rows of the left operand.
const PANEL_BYTES: usize = 320 << 10;

/// Columns of a panel, about.
const COLUMNS: usize = 256;

/// Columns of tiles that read a block of the left operand, from which on it is better copied first.
const COPIED: usize = 4;

/// Bytes of a left operand that lies across from which on the same holds of short sums.
const ACROSS_BYTES: usize = 256 << 10;

/// How a product is cut up.
pub(super) struct Panels {
    /// Rows of a panel, a multiple of those of a tile.
    pub(super) rows: usize,
    /// Columns of a panel, a multiple of those of a tile unless they are all.
    columns: usize,
    /// Lanes of the partial sums of a row: the columns, rounded up to whole vectors.
    lanes: usize,
    /// How many loops of `k` go from block to block.
    outer: usize,
    /// Terms of a block of the innermost loop, where that is cut.
    chunk: Option<usize>,
    /// Whether the left operand's rows of a block are copied first.
    copied: bool,
}

impl Panels {
    /// None where blocks are not worth it: sums are short, or nothing is read twice.
    pub(super) fn new(k: &ProductKernel, tile: (usize, usize), shape: Shape) -> Option<Panels> {
        let terms: usize = k.k.iter().product();
        let vectors = k.n.div_ceil(shape.lanes);
        let row_tiles = k.m.div_ceil(tile.0);
        if !shape.is_vector() || terms == 0 || row_tiles * vectors.div_ceil(tile.1) < 4 {
            return None;
        }
        let cut = vectors.div_ceil(vectors.div_ceil(COLUMNS / shape.lanes));
        let columns = k.n.min(cut.next_multiple_of(tile.1) * shape.lanes);
        let lanes = columns.next_multiple_of(shape.lanes);
        // The outermost loops go from block to block, as many as leave blocks that are not too long.
        let inner = |from: usize| k.k[from..].iter().product::<usize>();
        let outer = (0..k.k.len()).find(|&from| inner(from) < 2 * TERMS).unwrap_or(k.k.len() - 1);
        let length = inner(outer);
        let chunk = (length >= 2 * TERMS)
            .then(|| length.div_ceil(length / TERMS).next_multiple_of(shape.lanes))
            .filter(|&chunk| chunk < length);

        let n_dim = k.batch.len() + 1;
        let (row, step) = (k.a.strides[n_dim - 1], k.a.strides[n_dim + k.k.len()]);
        let across = step != 1 && row == 1 && shape.width == 4;
        let copied = outer + 1 == k.k.len()
            && columns.div_ceil(tile.1 * shape.lanes) >= COPIED
            && (step == 1 || across)
            && k.a.dtype.bytes() == shape.width;
        let size = k.m.saturating_mul(terms).saturating_mul(shape.width);
        if terms < 2 * TERMS && !(copied && across && size >= ACROSS_BYTES) {
            return None;
        }
        let row_bytes = lanes.max(chunk.unwrap_or(length)) * shape.width;
        let room = PANEL_BYTES / row_bytes / tile.0;
        if room == 0 {
            return None;
        }
        let rows = row_tiles.div_ceil(row_tiles.div_ceil(room)) * tile.0;
        Some(Panels { rows, columns, lanes, outer, chunk, copied })
    }

    /// Whether a sum takes more than one block.
    fn partial(&self) -> bool {
        self.outer > 0 || self.chunk.is_some()
    }

    /// Terms of a block, where it is of one loop.
    pub(super) fn terms(&self, k: &ProductKernel) -> Option<usize> {
        (self.outer + 1 == k.k.len()).then(|| self.chunk.unwrap_or(k.k[self.outer]))
    }
}

/// Memory of a product's own, on the stack.
#[derive(Clone, Copy)]
struct Room<R> {
    /// Partial sums of a panel.
    partial: Option<Ptr<R>>,
    /// Rows of the left operand, and bytes from one to the next.
    left: Option<(Ptr<R>, i64)>,
}

/// What all blocks of a panel have in common.
#[derive(Clone, Copy)]
struct Block<R> {
    /// Where the left operand's rows are copied to, if they are.
    left: Option<Left<R>>,
    columns: usize,
    range: (R, R),
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
        let bytes = panels.rows * panels.lanes * lane_bytes(self.lane);
        let partial = panels.partial().then(|| g.slot(bytes));
        let left = panels.terms(self.k).filter(|_| panels.copied).map(|terms| {
            let row = terms.next_multiple_of(self.shape.lanes) * self.shape.width;
            (g.slot(panels.rows.next_multiple_of(4) * row), row as i64)
        });
        let room = Room { partial, left };
        let whole = self.k.n / panels.columns * panels.columns;
        let lp = g.open(whole, panels.columns, &[]);
        let here = self.along_n(g, spot, lp.pos, 0);
        self.rows_of_panels(g, &here, panels, (room, panels.columns), range);
        g.close(lp, &[]);
        if whole < self.k.n {
            let here = self.along_n(g, spot, Pos::Const(0), whole);
            self.rows_of_panels(g, &here, panels, (room, self.k.n - whole), range);
        }
    }

    /// So many columns of all rows.
    fn rows_of_panels(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        panels: &Panels,
        (room, columns): (Room<R>, usize),
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
        let range = (from, g.least(next, end));
        if let Some(partial) = room.partial {
            let zeros = g.open(panels.rows * panels.lanes, self.shape.lanes, &[]);
            let zero = g.constant(self.shape, self.lane, 0);
            let at = g.advance(partial, zeros.pos, width as i64);
            spill(g, self.shape, self.lane, zero, at);
            g.close(zeros, &[]);
        }
        // Rows are counted from the first of the result.
        let mut of_rows =
            |(ptr, row): (Ptr<R>, i64)| (g.advance(ptr, Pos::Dyn(from), row.wrapping_neg()), row);
        let partial = room.partial.map(|ptr| of_rows((ptr, row)));
        let left = room.left.map(&mut of_rows);
        let left = left.map(|(ptr, row)| Left { ptr, row, step: width as i64 });
        let spot = Spot { partial, ..spot.clone() };
        self.blocks(g, &spot, panels, 0, Block { left, columns, range });
        if panels.outer > 0 {
            let pass = Pass { range: Some(range), columns, work: Work::Finish };
            self.columns(g, &spot, pass);
        }
        g.close(lp, &[]);
    }

    /// All terms of the loops of `k` from `depth` on.
    fn blocks(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        panels: &Panels,
        depth: usize,
        block: Block<R>,
    ) {
        let lengths = &self.k.k[depth..];
        if depth < panels.outer {
            let lp = g.open(lengths[0], 1, &[]);
            let spot = self.along_k(g, spot, depth, lp.pos, 0);
            self.blocks(g, &spot, panels, depth + 1, block);
            g.close(lp, &[]);
            return;
        }
        let Some(chunk) = panels.chunk else {
            let work = if depth == 0 { Work::All } else { Work::Add(lengths) };
            return self.block(g, spot, block, work);
        };
        // The last block of a sum of one loop goes on to the epilogue.
        let rest = match lengths[0] % chunk {
            0 if depth == 0 => chunk,
            rest => rest,
        };
        let lp = g.open(lengths[0] - rest, chunk, &[]);
        let here = self.along_k(g, spot, depth, lp.pos, 0);
        self.block(g, &here, block, Work::Add(&[chunk]));
        g.close(lp, &[]);
        if rest > 0 {
            let here = self.along_k(g, spot, depth, Pos::Const(0), lengths[0] - rest);
            let work = if depth == 0 { Work::Last(&[rest]) } else { Work::Add(&[rest]) };
            self.block(g, &here, block, work);
        }
    }

    /// Adds the terms of a block, which are of the last loops of `k`.
    fn block(
        &self,
        g: &mut impl Emitter<Reg = R>,
        spot: &Spot<'k, R>,
        block: Block<R>,
        work: Work<'_>,
    ) {
        let Block { left, columns, range } = block;
        let pass = Pass { range: Some(range), columns, work };
        let (Some(left), &[terms]) = (left, work.lengths(self.k)) else {
            return self.columns(g, spot, pass);
        };
        if spot.left.step == left.step {
            self.copy_rows(g, spot.left, left, range, terms);
        } else {
            self.turn_rows(g, spot.left, left, range, terms);
        }
        self.columns(g, &Spot { left, ..spot.clone() }, pass);
    }
}
