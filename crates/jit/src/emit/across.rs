//! Short rows, as many at once as a vector has lanes: each lane walks along a row of its own, so that folds need no
//! steps within a vector and what is done once per row is done for all of them together.
//!
//! What is read and written lies along the rows: blocks of it are turned in registers, and each element is read once.

use crate::emit::body::Code;
use crate::emit::fold::{combine, identity};
use crate::emit::memory::{Site, stride_bytes};
use crate::emit::row::{close_outer, open_but_last, phases, start};
use crate::emit::{Emitter, Pos, Ptr, Run, Shape};
use eggrad_body::{Lane, Value};
use eggrad_schedule::{Access, FOLD_LANES, Fold, FoldOp, Phase, RowKernel, Store};
use std::collections::HashMap;

/// Positions of the longest rows.
const LONGEST: usize = 16;

/// Instructions of the longest code, copies for each position counted.
const LARGEST: usize = 1200;

/// Positions of a row that are turned at once.
const BLOCK: usize = 4;

/// A kernel whose rows can go side by side.
pub(super) struct Across<'k> {
    k: &'k RowKernel,
    shape: Shape,
}

impl<'k> Across<'k> {
    /// None for kernels that gain nothing by it.
    pub(super) fn of<E: Emitter>(g: &E, k: &'k RowKernel) -> Option<Across<'k>> {
        let shape = g.tuning().vector(4);
        let last = k.outer.len().checked_sub(1)?;
        let folds = |phase: &Phase| matches!(phase, Phase::Pass { folds, .. } if !folds.is_empty());
        let across = Across { k, shape };
        let fits = (2..=LONGEST).contains(&k.row)
            && k.outer[last] >= shape.lanes
            && k.phases.iter().any(folds)
            && k.accesses.iter().all(|a| a.dtype.bytes() == 4)
            && across.stores_alone();
        let mut size = 0;
        for phase in k.phases.iter().filter(|_| fits) {
            let (code, copies) = match phase {
                Phase::Pass { body, folds, stores } => {
                    let values = folds.iter().map(|f| f.value);
                    (Code::new(g, body, stores, values, &k.accesses, last), k.row)
                }
                Phase::Scalar { body, results, stores } => {
                    let values = results.iter().copied();
                    (Code::new(g, body, stores, values, &k.accesses, last), 1)
                }
            };
            if code.shape != shape && code.size() > 0 {
                return None;
            }
            size += code.size() * copies;
        }
        (fits && size <= LARGEST).then_some(across)
    }

    /// Whether nothing that is written is also reached in another way, so that elements may be kept in registers.
    fn stores_alone(&self) -> bool {
        let stores = self.k.phases.iter().flat_map(|phase| match phase {
            Phase::Pass { stores, .. } | Phase::Scalar { stores, .. } => stores,
        });
        let accesses = &self.k.accesses;
        stores.into_iter().all(|s| {
            let to = &accesses[s.access];
            s.add_at.is_none() && accesses.iter().all(|a| a.arg != to.arg || a == to)
        })
    }

    pub(super) fn emit<E: Emitter>(&self, g: &mut E, begin: E::Reg, end: E::Reg) {
        let (k, mut positions) = (self.k, vec![]);
        let mut ptrs = start(g, &k.accesses);
        let (loops, (mut at, end)) =
            open_but_last(g, &k.outer, &k.accesses, (begin, end), &mut ptrs, &mut positions);
        let last = k.outer.len() - 1;
        // As many as there are lanes; those that are left one by one.
        for rows in [self.shape.lanes, 1] {
            let lp = g.open_while(at, end, rows);
            at = g.pos(lp.pos);
            let mut here = ptrs.clone();
            for (access, ptr) in k.accesses.iter().zip(&mut here) {
                *ptr = g.advance(*ptr, lp.pos, stride_bytes(access, last));
            }
            let positions = [&positions[..], &[lp.pos]].concat();
            match rows {
                1 => phases(g, k, here, positions),
                _ => self.group(g, here, positions),
            }
            g.close(lp, &[]);
        }
        close_outer(g, loops);
    }

    /// Rows side by side, the first of which begins at the given place.
    fn group<E: Emitter>(
        &self,
        g: &mut E,
        ptrs: Vec<Ptr<E::Reg>>,
        mut positions: Vec<Pos<E::Reg>>,
    ) {
        positions.push(Pos::Const(0));
        let dim = self.k.outer.len() - 1;
        let (accesses, scalars) = (&self.k.accesses[..], vec![]);
        let site = Site { accesses, ptrs, positions, dim, scalars, lanewise: true };
        let mut group = Group { shape: self.shape, row: self.k.row, site, cells: HashMap::new() };
        for phase in &self.k.phases {
            let results = match phase {
                Phase::Pass { body, folds, stores } => {
                    let values = folds.iter().map(|f| f.value);
                    let mut code = Code::new(g, body, stores, values, &self.k.accesses, dim);
                    code.shape = self.shape;
                    group.pass(g, &code, folds, stores)
                }
                Phase::Scalar { body, results, stores } => {
                    let values = results.iter().copied();
                    let mut code = Code::new(g, body, stores, values, &self.k.accesses, dim);
                    code.shape = self.shape;
                    group.scalar(g, &code, results, stores)
                }
            };
            group.site.scalars.extend(results);
        }
    }
}

/// An element of each row: what is read, and its position in the row.
type Cell<'k> = (&'k Access, Lane, usize);

/// Rows side by side.
struct Group<'k, R> {
    shape: Shape,
    /// Positions of a row.
    row: usize,
    site: Site<'k, R>,
    /// What is in registers.
    cells: HashMap<Cell<'k>, R>,
}

impl<'k, R: Copy> Group<'k, R> {
    fn pass(
        &mut self,
        g: &mut impl Emitter<Reg = R>,
        code: &Code<'_, R>,
        folds: &[Fold],
        stores: &[Store],
    ) -> Vec<R> {
        let mut folded = vec![vec![]; folds.len()];
        let mut stored = vec![vec![]; stores.len()];
        for at in 0..self.row {
            let value = self.copy(g, code, at);
            for (fold, values) in folds.iter().zip(&mut folded) {
                let lane = code.body.lane(fold.value);
                let start = g.constant(self.shape, lane, identity(fold.op, lane));
                let x = value(g, fold.value);
                values.push(combine(g, self.shape, (fold.op, lane), start, x));
            }
            for (store, values) in stores.iter().zip(&mut stored) {
                values.push(value(g, store.value));
            }
        }
        for (store, values) in stores.iter().zip(stored) {
            self.store(g, store, code.body.lane(store.value), &values);
        }
        let results = folds.iter().zip(folded);
        results.map(|(f, v)| self.tree(g, (f.op, code.body.lane(f.value)), v)).collect()
    }

    fn scalar(
        &mut self,
        g: &mut impl Emitter<Reg = R>,
        code: &Code<'_, R>,
        results: &[Value],
        stores: &[Store],
    ) -> Vec<R> {
        let value = self.copy(g, code, 0);
        for store in stores {
            let x = value(g, store.value);
            self.store(g, store, code.body.lane(store.value), &[x]);
        }
        results.iter().map(|&r| value(g, r)).collect()
    }

    /// The body at position `at` of the rows; what is returned finds its values.
    fn copy<'c, E: Emitter<Reg = R>>(
        &mut self,
        g: &mut E,
        code: &'c Code<'_, R>,
        at: usize,
    ) -> impl Fn(&mut E, Value) -> R + use<'c, E, R> {
        let known: Vec<(usize, R)> = code
            .loads()
            .map(|(inst, access, lane)| (inst, self.load(g, access, lane, at)))
            .collect();
        let mut site = self.site.clone();
        *site.positions.last_mut().unwrap_or(&mut Pos::Const(0)) = Pos::Const(at as i64);
        let copies = code.copy_with(g, &site, &known);
        move |g, v| code.value(g, &copies, 0, v)
    }

    /// How the elements of an access lie: bytes from row to row, and along the row.
    fn strides(&self, access: usize) -> (i64, i64) {
        let access = &self.site.accesses[access];
        (stride_bytes(access, self.site.dim), stride_bytes(access, self.site.dim + 1))
    }

    /// Whether blocks of an access are turned.
    fn turns(&self, access: usize) -> bool {
        let (apart, along) = self.strides(access);
        along == 4 && apart > 4 && self.row >= BLOCK
    }

    fn load(&mut self, g: &mut impl Emitter<Reg = R>, access: usize, lane: Lane, at: usize) -> R {
        let shape = self.shape;
        let ((apart, along), turns) = (self.strides(access), self.turns(access));
        let of = &self.site.accesses[access];
        let at = if along == 0 { 0 } else { at };
        if let Some(&known) = self.cells.get(&(of, lane, at)) {
            return known;
        }
        let ptr = self.site.ptrs[access];
        if turns {
            let first = (at / BLOCK * BLOCK).min(self.row - BLOCK);
            let from = ptr.plus(along * first as i64);
            let block = g.load_transposed(shape, lane, from, apart, shape.lanes);
            for (i, value) in block.into_iter().enumerate() {
                self.cells.entry((of, lane, first + i)).or_insert(value);
            }
            return self.cells[&(of, lane, at)];
        }
        let stride = of.strides[self.site.dim];
        let run = Run { dtype: of.dtype, stride, lanes: shape.lanes };
        let value = g.load_run(shape, lane, ptr.plus(along * at as i64), run);
        self.cells.insert((of, lane, at), value);
        value
    }

    /// Writes what was stored at the first positions of the rows.
    fn store(&mut self, g: &mut impl Emitter<Reg = R>, store: &Store, lane: Lane, values: &[R]) {
        let (shape, access) = (self.shape, store.access);
        let (apart, along) = self.strides(access);
        let (of, ptr) = (&self.site.accesses[access], self.site.ptrs[access]);
        self.cells.retain(|(cell, ..), _| *cell != of);
        if self.turns(access) && values.len() == self.row {
            for first in (0..self.row).step_by(BLOCK) {
                let first = first.min(self.row - BLOCK);
                let block = [0, 1, 2, 3].map(|i| values[first + i]);
                g.store_transposed(shape, lane, block, ptr.plus(along * first as i64), apart);
            }
        } else {
            let stride = of.strides[self.site.dim];
            let run = Run { dtype: of.dtype, stride, lanes: shape.lanes };
            for (at, &value) in values.iter().enumerate() {
                g.store_run(shape, lane, value, ptr.plus(along * at as i64), run);
            }
        }
        if along > 0 {
            self.cells.extend(values.iter().enumerate().map(|(at, &v)| ((of, lane, at), v)));
        }
    }

    /// Combines one value for each of the first virtual lanes, pairwise as everywhere; the other lanes change nothing.
    fn tree(&self, g: &mut impl Emitter<Reg = R>, fold: (FoldOp, Lane), mut values: Vec<R>) -> R {
        let mut half = FOLD_LANES / 2;
        while half > 0 {
            let upper = values.split_off(half.min(values.len()));
            for (acc, x) in values.iter_mut().zip(upper) {
                *acc = combine(g, self.shape, fold, *acc, x);
            }
            half /= 2;
        }
        values[0]
    }
}
