//! Row kernels: loops around rows, each worked on in phases.

use crate::emit::across::Across;
use crate::emit::body::Code;
use crate::emit::fold::{combine_some, identity, tree};
use crate::emit::memory::{Site, lane_bytes, reload, spill, stride_bytes};
use crate::emit::transpose::Transpose;
use crate::emit::{Emitter, Loop, Loops, Pos, Ptr};
use eggrad_body::{Body, Lane};
use eggrad_schedule::{Access, FOLD_LANES, Fold, Phase, RowKernel, Store};

/// Up to this many instructions, all virtual lanes of a fold live in registers and the body is repeated for each;
/// above, they live on the stack.
const SMALL_FOLD: usize = 6;

/// Addresses at the first position of all loops.
pub(crate) fn start<E: Emitter>(g: &mut E, accesses: &[Access]) -> Vec<Ptr<E::Reg>> {
    let at = |a: &Access| g.arg(a.arg).plus((a.offset * a.dtype.bytes()) as i64);
    accesses.iter().map(at).collect()
}

/// Opens loops of `sizes` for dimensions from `first` on, the outermost from `begin` to `end`, moving `ptrs` and
/// adding to `positions`.
pub(crate) fn open_outer<E: Emitter>(
    g: &mut E,
    sizes: &[usize],
    accesses: &[Access],
    (begin, end): (E::Reg, E::Reg),
    ptrs: &mut [Ptr<E::Reg>],
    positions: &mut Vec<Pos<E::Reg>>,
) -> Vec<Loop<E>> {
    let mut loops = vec![];
    for (dim, &size) in sizes.iter().enumerate() {
        let lp = if dim == 0 { g.open_while(begin, end, 1) } else { g.open(size, 1, &[]) };
        for (access, ptr) in accesses.iter().zip(ptrs.iter_mut()) {
            *ptr = g.advance(*ptr, lp.pos, stride_bytes(access, dim));
        }
        positions.push(lp.pos);
        loops.push(lp);
    }
    if sizes.is_empty() {
        // One round, unless the range is empty.
        loops.push(g.open_while(begin, end, 1));
    }
    loops
}

/// Where a loop begins and ends.
type Range<E> = (<E as Loops>::Reg, <E as Loops>::Reg);

/// Opens all loops of `sizes` but the last one; returns them and the range of the last.
pub(super) fn open_but_last<E: Emitter>(
    g: &mut E,
    sizes: &[usize],
    accesses: &[Access],
    range: (E::Reg, E::Reg),
    ptrs: &mut [Ptr<E::Reg>],
    positions: &mut Vec<Pos<E::Reg>>,
) -> (Vec<Loop<E>>, Range<E>) {
    let [first @ .., last] = sizes else { panic!("internal error: there is no outer loop") };
    if first.is_empty() {
        return (vec![], range);
    }
    let loops = open_outer(g, first, accesses, range, ptrs, positions);
    (loops, (g.position(0), g.position(*last as i64)))
}

/// Closes the loops of [`open_outer`].
pub(crate) fn close_outer<E: Emitter>(g: &mut E, loops: Vec<Loop<E>>) {
    for lp in loops.into_iter().rev() {
        g.close(lp, &[]);
    }
}

pub(crate) fn emit<E: Emitter>(g: &mut E, k: &RowKernel, begin: E::Reg, end: E::Reg) {
    if k.outer.contains(&0) {
        return;
    }
    if let Some(copy) = Transpose::of(k) {
        return copy.emit(g, begin, end);
    }
    if let Some(across) = Across::of(g, k) {
        return across.emit(g, begin, end);
    }
    let mut ptrs = start(g, &k.accesses);
    if let Some(pass) = flat(k) {
        return blocks(g, k, pass, ptrs, (begin, end));
    }
    let mut positions = vec![];
    let range = (begin, end);
    let loops = open_outer(g, &k.outer, &k.accesses, range, &mut ptrs, &mut positions);
    phases(g, k, ptrs, positions);
    close_outer(g, loops);
}

/// Elements of a row without loops around it that stay together: whole vectors, however many of them overlap in time.
const BLOCK: usize = 4096;

/// Positions of the outermost loop of a row kernel: blocks of the row itself where no loop is around it and its
/// elements depend on nothing but themselves.
pub(crate) fn positions(k: &RowKernel) -> usize {
    match flat(k) {
        Some(_) => k.row.div_ceil(BLOCK),
        None => k.outer.first().copied().unwrap_or(1),
    }
}

/// The walk along a row that may go block by block, in any order.
fn flat(k: &RowKernel) -> Option<(&Body, &[Store])> {
    let [Phase::Pass { body, folds, stores }] = &k.phases[..] else { return None };
    let each = |store: &Store| {
        let to = &k.accesses[store.access];
        let alone = |other: &Access| {
            other.arg != to.arg || other.strides == to.strides && other.offset == to.offset
        };
        store.add_at.is_none() && to.strides != [0] && k.accesses.iter().all(alone)
    };
    let apart = k.outer.is_empty() && folds.is_empty() && stores.iter().all(each);
    (apart && k.row >= 2 * BLOCK).then_some((body, stores))
}

/// Blocks `begin` to `end` of a row.
fn blocks<E: Emitter>(
    g: &mut E,
    k: &RowKernel,
    (body, stores): (&Body, &[Store]),
    ptrs: Vec<Ptr<E::Reg>>,
    (begin, end): (E::Reg, E::Reg),
) {
    let (positions, scalars) = (vec![Pos::Const(0)], vec![]);
    let site = Site { accesses: &k.accesses, ptrs, positions, dim: 0, scalars, lanewise: false };
    let mut code = Code::new(g, body, stores, [].into_iter(), &k.accesses, 0);
    code.hoist(g, &site);
    let walk = Walk { code: &code, site: &site, row: k.row, folds: &[] };
    let (lanes, step) = (code.shape.lanes, walk.overlapping(g));
    let block = BLOCK as i64;
    let (from, to, row) = (g.times(begin, block), g.times(end, block), g.position(k.row as i64));
    let to = g.least(to, row);
    let lp = g.open_while(from, to, step * lanes);
    let rest_from = g.pos(lp.pos);
    walk.copies(g, lp.pos, 0, step, lanes);
    g.close(lp, &[]);
    // Only the last block ends with less than a step.
    let rest = k.row % (step * lanes);
    if rest > 0 {
        let lp = g.open_while(rest_from, to, rest);
        walk.copies(g, lp.pos, 0, rest.div_ceil(lanes), (rest - 1) % lanes + 1);
        g.close(lp, &[]);
    }
}

/// What happens to the row that begins at the given place.
pub(super) fn phases<E: Emitter>(
    g: &mut E,
    k: &RowKernel,
    ptrs: Vec<Ptr<E::Reg>>,
    mut positions: Vec<Pos<E::Reg>>,
) {
    positions.push(Pos::Const(0));
    let dim = k.outer.len();
    let scalars = vec![];
    let mut site = Site { accesses: &k.accesses, ptrs, positions, dim, scalars, lanewise: false };
    for phase in &k.phases {
        let results = match phase {
            Phase::Pass { body, folds, stores } => pass(g, &site, k.row, body, folds, stores),
            Phase::Scalar { body, results, stores } => {
                let code = Code::scalar(body, stores, results.iter().copied());
                let copies = code.copies(g, &site, 1, 1);
                code.stores(g, &site, &copies, 1);
                results.iter().map(|&r| code.value(g, &copies, 0, r)).collect()
            }
        };
        site.scalars.extend(results);
    }
}

/// One walk along the row; returns the results of its folds.
fn pass<E: Emitter>(
    g: &mut E,
    site: &Site<'_, E::Reg>,
    row: usize,
    body: &Body,
    folds: &[Fold],
    stores: &[Store],
) -> Vec<E::Reg> {
    let values = folds.iter().map(|f| f.value);
    let mut code = Code::new(g, body, stores, values, site.accesses, site.dim);
    if row > 0 {
        code.hoist(g, site);
    }
    let walk = Walk { code: &code, site, row, folds };
    let vectors = row.div_ceil(code.shape.lanes);
    let registers = FOLD_LANES / code.shape.lanes;
    let unrolled = if vectors <= registers { vectors } else { 2 * registers } * code.size();
    if folds.is_empty() {
        walk.map(g);
        vec![]
    } else if code.shape.is_vector()
        && (unrolled <= g.tuning().repeated || folds.len() == 1 && code.size() <= SMALL_FOLD)
    {
        walk.fold_in_registers(g)
    } else {
        walk.fold_on_stack(g)
    }
}

/// A body, where it stands, and what is done along the row.
struct Walk<'w, 'k, R> {
    code: &'w Code<'k, R>,
    site: &'w Site<'k, R>,
    row: usize,
    folds: &'w [Fold],
}

impl<R: Copy> Walk<'_, '_, R> {
    fn lane(&self, fold: &Fold) -> Lane {
        self.code.body.lane(fold.value)
    }

    /// Writes copies of the body with their stores, from position `pos + by` on; `lanes` of the last copy are inside
    /// the row. Returns the folded values, copy by copy.
    fn copies(
        &self,
        g: &mut impl Emitter<Reg = R>,
        pos: Pos<R>,
        by: usize,
        count: usize,
        lanes: usize,
    ) -> Vec<Vec<R>> {
        let site = self.site.at(g, pos, by);
        let copies = self.code.copies(g, &site, count, lanes);
        self.code.stores(g, &site, &copies, lanes);
        let mut values = vec![];
        for copy in 0..count {
            let of = |f: &Fold| self.code.value(g, &copies, copy, f.value);
            values.push(self.folds.iter().map(of).collect());
        }
        values
    }

    /// Walks the row by `step` vectors, then over the rest: calls `each` with a position, vectors past it, number of
    /// vectors, and lanes of the last.
    fn walk<E: Emitter<Reg = R>>(
        &self,
        g: &mut E,
        step: usize,
        state: Vec<R>,
        mut each: impl FnMut(&mut E, Vec<R>, Pos<R>, usize, usize, usize) -> Vec<R>,
    ) -> Vec<R> {
        let lanes = self.code.shape.lanes;
        let stride = step * lanes;
        let looped = self.row / stride * stride;
        let mut state = state;
        if looped > 0 {
            let lp = g.open(looped, stride, &state);
            let next = each(g, lp.carried.clone(), lp.pos, 0, step, lanes);
            state = g.close(lp, &next);
        }
        let rest = self.row - looped;
        if rest > 0 {
            let last = (rest - 1) % lanes + 1;
            state = each(g, state, Pos::Const(0), looped, rest.div_ceil(lanes), last);
        }
        state
    }

    /// Copies of the body that overlap in time.
    fn overlapping(&self, g: &impl Emitter<Reg = R>) -> usize {
        let copies = (g.tuning().copies)(self.code.size());
        if self.code.shape.is_vector() { copies } else { 1 }
    }

    fn map(&self, g: &mut impl Emitter<Reg = R>) {
        let step = self.overlapping(g);
        self.walk(g, step, vec![], |g, _, pos, by, count, lanes| {
            self.copies(g, pos, by, count, lanes);
            vec![]
        });
    }

    /// All virtual lanes in registers, the body once for each vector of them.
    fn fold_in_registers(&self, g: &mut impl Emitter<Reg = R>) -> Vec<R> {
        let shape = self.code.shape;
        let registers = FOLD_LANES / shape.lanes;
        let mut state = vec![];
        for fold in self.folds {
            let lane = self.lane(fold);
            let start = g.constant(shape, lane, identity(fold.op, lane));
            state.extend(std::iter::repeat_n(start, registers));
        }
        let state = self.walk(g, registers, state, |g, mut state, pos, by, count, lanes| {
            let values = self.copies(g, pos, by, count, lanes);
            for (copy, values) in values.iter().enumerate() {
                let lanes = if copy + 1 == count { lanes } else { shape.lanes };
                for (i, (fold, &x)) in self.folds.iter().zip(values).enumerate() {
                    let acc = &mut state[i * registers + copy];
                    *acc = combine_some(g, shape, (fold.op, self.lane(fold)), *acc, x, lanes);
                }
            }
            state
        });
        let all = self.folds.iter().zip(state.chunks(registers));
        all.map(|(f, lanes)| tree(g, shape, (f.op, self.lane(f)), lanes)).collect()
    }

    /// Virtual lanes on the stack.
    fn fold_on_stack(&self, g: &mut impl Emitter<Reg = R>) -> Vec<R> {
        let shape = self.code.shape;
        let registers = FOLD_LANES / shape.lanes;
        let mut slots = vec![];
        for fold in self.folds {
            let lane = self.lane(fold);
            let bytes = lane_bytes(lane);
            let slot = g.slot(FOLD_LANES * bytes);
            let start = g.constant(shape, lane, identity(fold.op, lane));
            for i in 0..registers {
                spill(g, shape, lane, start, slot.plus((i * bytes * shape.lanes) as i64));
            }
            slots.push((slot, bytes as i64));
        }
        let copies = (g.tuning().copies)(self.code.size());
        let step = if shape.is_vector() { copies.min(2) } else { 1 };
        self.walk(g, step, vec![], |g, _, pos, by, count, lanes| {
            let values = self.copies(g, pos, by, count, lanes);
            let pos = match pos {
                Pos::Const(c) => Pos::Const(c % FOLD_LANES as i64),
                Pos::Dyn(v) => Pos::Dyn(g.remainder(v, FOLD_LANES, self.row)),
            };
            for (copy, values) in values.iter().enumerate() {
                let lanes = if copy + 1 == count { lanes } else { shape.lanes };
                let past = ((by + copy * shape.lanes) % FOLD_LANES) as i64;
                for ((fold, &(slot, bytes)), &x) in self.folds.iter().zip(&slots).zip(values) {
                    let (lane, at) = (self.lane(fold), g.advance(slot, pos, bytes));
                    let at = at.plus(past * bytes);
                    let acc = reload(g, shape, lane, at);
                    let acc = combine_some(g, shape, (fold.op, lane), acc, x, lanes);
                    spill(g, shape, lane, acc, at);
                }
            }
            vec![]
        });
        let mut results = vec![];
        for (fold, &(slot, bytes)) in self.folds.iter().zip(&slots) {
            let (lane, vector) = (self.lane(fold), bytes * shape.lanes as i64);
            let lanes: Vec<R> = (0..registers)
                .map(|i| reload(g, shape, lane, slot.plus(i as i64 * vector)))
                .collect();
            results.push(tree(g, shape, (fold.op, lane), &lanes));
        }
        results
    }
}
