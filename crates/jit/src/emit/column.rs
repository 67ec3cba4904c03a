//! Column kernels: each position of the innermost loop has its own accumulator, which walks down the reduced loops.

use crate::emit::body::Code;
use crate::emit::fold::{combine, identity};
use crate::emit::memory::{Site, stride_bytes};
use crate::emit::row::{close_outer, open_outer, start};
use crate::emit::{Emitter, Pos};
use eggrad_body::{Inst, Lane, Value};
use eggrad_schedule::{COLUMN_BLOCK, ColumnKernel, FoldOp};

/// Vectors of accumulators walked down together.
const VECTORS: usize = 4;

pub(crate) fn emit<E: Emitter>(g: &mut E, k: &ColumnKernel, begin: E::Reg, end: E::Reg) {
    if k.row == 0 || k.outer.contains(&0) {
        return;
    }
    let mut ptrs = start(g, &k.accesses);
    let mut positions = vec![];
    let range = (begin, end);
    let loops = open_outer(g, &k.outer, &k.accesses, range, &mut ptrs, &mut positions);
    positions.extend(k.reduced.iter().map(|_| Pos::Const(0)));
    positions.push(Pos::Const(0));
    let dim = k.outer.len() + k.reduced.len();
    let scalars = vec![];
    let site = Site { accesses: &k.accesses, ptrs, positions, dim, scalars, lanewise: false };

    let folded = k.folds.iter().map(|f| f.value);
    let mut code = Code::new(g, &k.body, &[], folded.clone(), &k.accesses, dim);
    let mut epilogue = Code::new(g, &k.epilogue, &k.stores, [].into_iter(), &k.accesses, dim);
    let results = k.folds.iter().map(|f| k.body.lane(f.value));
    let fits = results.clone().all(|l| l.bytes().is_some_and(|b| b <= epilogue.shape.width));
    if code.shape != epilogue.shape || !fits {
        code = Code::scalar(&k.body, &[], folded);
        epilogue = Code::scalar(&k.epilogue, &k.stores, [].into_iter());
    }
    let folds: Vec<(FoldOp, Lane)> = k.folds.iter().map(|f| f.op).zip(results).collect();
    let values = k.folds.iter().map(|f| f.value).collect();
    let down = Down { code: &code, epilogue: &epilogue, folds, values, steps: Steps::new(k) };

    let lanes = code.shape.lanes;
    let block = VECTORS * lanes;
    let looped = k.row / block * block;
    if looped > 0 {
        let lp = g.open(looped, block, &[]);
        down.block(g, &site, lp.pos, 0, VECTORS, lanes);
        g.close(lp, &[]);
    }
    let rest = k.row - looped;
    if rest > 0 {
        let last = (rest - 1) % lanes + 1;
        down.block(g, &site, Pos::Const(0), looped, rest.div_ceil(lanes), last);
    }
    close_outer(g, loops);
}

/// The reduced loops as one loop of `total` steps.
struct Steps {
    total: usize,
    /// Innermost first: a dimension, its size, and the steps between its neighbours.
    dims: Vec<(usize, usize, usize)>,
}

impl Steps {
    /// Dimensions that every access walks as if they were one become one.
    fn new(k: &ColumnKernel) -> Steps {
        let read = |dim: usize| {
            let reads =
                |inst: &Inst| matches!(*inst, Inst::Index { dim: d, .. } if usize::from(d) == dim);
            k.body.insts().iter().any(reads)
        };
        let mut dims: Vec<(usize, usize, usize)> = vec![];
        let mut steps = 1;
        for (i, &size) in k.reduced.iter().enumerate().rev() {
            let dim = k.outer.len() + i;
            match dims.last_mut() {
                Some((inner, span, _))
                    if !read(dim)
                        && !read(*inner)
                        && k.accesses
                            .iter()
                            .all(|a| a.strides[dim] == a.strides[*inner].wrapping_mul(*span)) =>
                {
                    *span *= size;
                }
                _ => dims.push((dim, size, steps)),
            }
            steps *= size;
        }
        Steps { total: steps, dims }
    }

    /// The place `at` steps on.
    fn site<'k, E: Emitter>(
        &self,
        g: &mut E,
        site: &Site<'k, E::Reg>,
        at: Pos<E::Reg>,
    ) -> Site<'k, E::Reg> {
        let mut here = site.clone();
        for (i, &(dim, size, steps)) in self.dims.iter().enumerate() {
            let pos = match at {
                Pos::Const(c) => Pos::Const(c / steps as i64 % size as i64),
                Pos::Dyn(mut v) => {
                    if steps > 1 {
                        v = g.divide(v, steps, self.total);
                    }
                    if i + 1 < self.dims.len() {
                        v = g.remainder(v, size, self.total);
                    }
                    Pos::Dyn(v)
                }
            };
            here.positions[dim] = pos;
            for (access, ptr) in site.accesses.iter().zip(&mut here.ptrs) {
                *ptr = g.advance(*ptr, pos, stride_bytes(access, dim));
            }
        }
        here
    }
}

struct Down<'d, 'k, R> {
    code: &'d Code<'k, R>,
    epilogue: &'d Code<'k, R>,
    folds: Vec<(FoldOp, Lane)>,
    values: Vec<Value>,
    steps: Steps,
}

impl<R: Copy> Down<'_, '_, R> {
    /// `count` vectors of columns from position `pos + by` on, of which the last has `lanes` lanes.
    fn block(
        &self,
        g: &mut impl Emitter<Reg = R>,
        site: &Site<'_, R>,
        pos: Pos<R>,
        by: usize,
        count: usize,
        lanes: usize,
    ) {
        let shape = self.code.shape;
        let site = site.at(g, pos, by);
        let mut start = vec![];
        for &(op, lane) in &self.folds {
            let value = g.constant(shape, lane, identity(op, lane));
            start.extend(std::iter::repeat_n(value, count));
        }
        let totals = match self.steps.total {
            0 => start,
            total => {
                let lp = g.open(total, COLUMN_BLOCK, &start);
                let range = match lp.pos {
                    Pos::Const(_) => g.open(total, 1, &start),
                    Pos::Dyn(from) => {
                        let last = g.position(total as i64);
                        let until = g.add_const(from, COLUMN_BLOCK as i64);
                        let until = g.least(until, last);
                        g.open_counted(from, Pos::Dyn(until), 1, &start)
                    }
                };
                let site = self.steps.site(g, &site, range.pos);
                let copies = self.code.copies(g, &site, count, lanes);
                let mut next = vec![];
                for (i, &(op, lane)) in self.folds.iter().enumerate() {
                    for copy in 0..count {
                        let x = self.code.value(g, &copies, copy, self.values[i]);
                        let acc = range.carried[i * count + copy];
                        next.push(combine(g, shape, (op, lane), acc, x));
                    }
                }
                let block = g.close(range, &next);
                let mut totals = vec![];
                for (i, (&total, x)) in lp.carried.iter().zip(block).enumerate() {
                    let (op, lane) = self.folds[i / count];
                    totals.push(combine(g, shape, (op, lane), total, x));
                }
                g.close(lp, &totals)
            }
        };
        for copy in 0..count {
            let here = site.at(g, Pos::Const(0), copy * shape.lanes);
            let scalars = totals.iter().skip(copy).step_by(count).copied();
            let here = here.with_lanes(scalars.collect());
            let lanes = if copy + 1 == count { lanes } else { shape.lanes };
            let values = self.epilogue.copies(g, &here, 1, lanes);
            self.epilogue.stores(g, &here, &values, lanes);
        }
    }
}
