//! Copies whose neighbours in the result lie apart in the operand: blocks of it are loaded along the other axis and
//! turned in registers.

use crate::emit::memory::stride_bytes;
use crate::emit::row::{close_outer, open_but_last, start};
use crate::emit::{Emitter, Pos, Ptr, Run, Shape};
use eggrad_body::{Inst, Lane};
use eggrad_schedule::{Access, Phase, RowKernel};

/// Positions of the last outer loop that are turned together.
const BLOCK: usize = 4;

/// Of these, as many as a cache line holds are copied one after the other: strides are often powers of two, and then
/// few lines stay in the nearest cache.
const LINE: usize = 16;

/// A copy of this kind.
pub(super) struct Transpose<'k> {
    k: &'k RowKernel,
    from: &'k Access,
    to: &'k Access,
    lane: Lane,
}

impl<'k> Transpose<'k> {
    /// None for other kernels.
    pub(super) fn of(k: &'k RowKernel) -> Option<Transpose<'k>> {
        let [Phase::Pass { body, folds, stores }] = &k.phases[..] else { return None };
        let [store] = &stores[..] else { return None };
        let &Inst::Load { access, lane } = body.insts().get(store.value.index())? else {
            return None;
        };
        let (from, to) = (k.accesses.get(usize::from(access))?, k.accesses.get(store.access)?);
        let last = k.outer.len().checked_sub(1)?;
        let fits = folds.is_empty()
            && store.add_at.is_none()
            && lane.bytes() == Some(4)
            && from.dtype == to.dtype
            && from.dtype.bytes() == 4
            && (from.strides[last], to.strides[last + 1]) == (1, 1)
            && from.strides[last + 1] > 1
            && k.outer[last] >= BLOCK
            && k.row >= BLOCK;
        fits.then_some(Transpose { k, from, to, lane })
    }

    pub(super) fn emit<E: Emitter>(&self, g: &mut E, begin: E::Reg, end: E::Reg) {
        let accesses = [self.from.clone(), self.to.clone()];
        let last = self.k.outer.len() - 1;
        let mut ptrs = start(g, &accesses);
        let (range, mut positions) = ((begin, end), vec![]);
        let (loops, (mut at, end)) =
            open_but_last(g, &self.k.outer, &accesses, range, &mut ptrs, &mut positions);
        for rows in [LINE, BLOCK, 1] {
            let lp = g.open_while(at, end, rows);
            at = g.pos(lp.pos);
            let [from, to] =
                [0, 1].map(|i| g.advance(ptrs[i], lp.pos, stride_bytes(&accesses[i], last)));
            self.rows(g, from, to, rows);
            g.close(lp, &[]);
        }
        close_outer(g, loops);
    }

    /// `rows` rows of the result, one or blocks.
    fn rows<E: Emitter>(&self, g: &mut E, from: Ptr<E::Reg>, to: Ptr<E::Reg>, rows: usize) {
        let shape = g.tuning().vector(4);
        let whole = self.k.row / shape.lanes * shape.lanes;
        if whole > 0 {
            let lp = g.open(whole, shape.lanes, &[]);
            self.vectors(g, (from, to), lp.pos, rows, shape, shape.lanes);
            g.close(lp, &[]);
        }
        if whole < self.k.row {
            let rest = Pos::Const(whole as i64);
            self.vectors(g, (from, to), rest, rows, shape, self.k.row - whole);
        }
    }

    fn vectors<E: Emitter>(
        &self,
        g: &mut E,
        (from, to): (Ptr<E::Reg>, Ptr<E::Reg>),
        pos: Pos<E::Reg>,
        rows: usize,
        shape: Shape,
        lanes: usize,
    ) {
        let row = self.k.outer.len();
        let apart = stride_bytes(self.from, row);
        let from = g.advance(from, pos, apart);
        let to = g.advance(to, pos, stride_bytes(self.to, row));
        let (dtype, stride) = (self.from.dtype, self.from.strides[row]);
        let values = match rows {
            1 => vec![g.load_run(shape, self.lane, from, Run { dtype, stride, lanes })],
            _ => {
                let block = |i: usize| from.plus((i * dtype.bytes()) as i64);
                let blocks = (0..rows).step_by(BLOCK);
                blocks
                    .flat_map(|i| g.load_transposed(shape, self.lane, block(i), apart, lanes))
                    .collect()
            }
        };
        for (i, value) in values.into_iter().enumerate() {
            let to = to.plus(stride_bytes(self.to, row - 1).wrapping_mul(i as i64));
            g.store_run(shape, self.lane, value, to, Run { dtype, stride: 1, lanes });
        }
    }
}
