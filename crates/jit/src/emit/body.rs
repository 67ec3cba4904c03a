//! A body at a place of the loops: which of its instructions are needed, on how many lanes, and their code.

use crate::emit::memory::Site;
use crate::emit::{Emitter, Shape};
use eggrad_body::{Body, Inst, Lane, Value};
use eggrad_schedule::{Access, AddAt, Store};

/// A body with what is known about it before code is written.
pub(crate) struct Code<'k, R> {
    pub(crate) body: &'k Body,
    stores: &'k [Store],
    /// How many lanes it runs on.
    pub(crate) shape: Shape,
    /// Instructions that are needed, in order, without constants.
    live: Vec<usize>,
    /// For each instruction, its value where it is the same all along the row.
    hoisted: Vec<Option<R>>,
}

/// Values of one or more copies of a body; `None` where not needed or constant.
pub(crate) struct Copies<R>(Vec<Vec<Option<R>>>);

impl<'k, R: Copy> Code<'k, R> {
    /// Chooses vectors where the body allows them along loop dimension `dim`.
    pub(crate) fn new(
        g: &impl Emitter<Reg = R>,
        body: &'k Body,
        stores: &'k [Store],
        results: impl Iterator<Item = Value> + Clone,
        accesses: &[Access],
        dim: usize,
    ) -> Code<'k, R> {
        let mut code = Code::scalar(body, stores, results.clone());
        // Constants are not in the list of instructions, but they too are folded and stored.
        let ends = results.chain(stores.iter().map(|s| s.value)).map(|v| body.lane(v));
        code.shape = code.choose_shape(g, ends, accesses, dim);
        code
    }

    /// Scalar code.
    pub(crate) fn scalar(
        body: &'k Body,
        stores: &'k [Store],
        results: impl Iterator<Item = Value>,
    ) -> Code<'k, R> {
        let insts = body.insts();
        let mut needed = vec![false; insts.len()];
        for value in results {
            needed[value.index()] = true;
        }
        for store in stores {
            needed[store.value.index()] = true;
            if let Some(AddAt { index, .. }) = store.add_at {
                needed[index.index()] = true;
            }
        }
        for i in (0..insts.len()).rev() {
            if needed[i] {
                insts[i].operands().for_each(|v| needed[v.index()] = true);
            }
        }
        let real = |&i: &usize| needed[i] && !matches!(insts[i], Inst::Const { .. });
        let live = (0..insts.len()).filter(real).collect();
        Code { body, stores, shape: Shape::SCALAR, live, hoisted: vec![None; insts.len()] }
    }

    /// Instructions that do work.
    pub(crate) fn size(&self) -> usize {
        self.live.len()
    }

    fn choose_shape(
        &self,
        g: &impl Emitter<Reg = R>,
        ends: impl Iterator<Item = Lane>,
        accesses: &[Access],
        dim: usize,
    ) -> Shape {
        // Operands count too: what is compared or converted may be a constant.
        let insts = self.body.insts();
        let operands = self.live.iter().flat_map(|&i| insts[i].operands());
        let operands = operands.map(|v| self.body.lane(v));
        let lanes = self.live.iter().map(|&i| self.lane(i)).chain(operands).chain(ends);
        let widths = lanes.filter_map(Lane::bytes);
        let (least, width) = widths.fold((8, 4), |(a, b), width| (width.min(a), width.max(b)));
        let mixed = least < width;
        let gathers =
            self.live.iter().any(|&i| matches!(self.body.insts()[i], Inst::LoadAt { .. }));
        let scatters = self.stores.iter().any(|s| s.add_at.is_some());
        if gathers || scatters || mixed && !g.tuning().mixes {
            return Shape::SCALAR;
        }
        // Elements moved to places apart from each other gain nothing from vectors.
        let moves = |&i: &usize| matches!(self.body.insts()[i], Inst::Load { .. });
        let apart = |s: &Store| accesses[s.access].strides[dim] > 1;
        if self.live.iter().all(moves) && !self.stores.is_empty() && self.stores.iter().all(apart) {
            return Shape::SCALAR;
        }
        g.tuning().vector(width)
    }

    fn lane(&self, inst: usize) -> Lane {
        self.body.lane(Value(inst as u32))
    }

    /// Writes once, before the loop along the row, what is the same at each of its positions.
    pub(crate) fn hoist(&mut self, g: &mut impl Emitter<Reg = R>, site: &Site<'_, R>) {
        let same: Vec<usize> = {
            let mut same = vec![true; self.body.insts().len()];
            for &i in &self.live {
                let inst = self.body.insts()[i];
                same[i] = match inst {
                    Inst::Load { access, .. } => site.stride(access.into()) == 0,
                    Inst::LoadAt { .. } => false,
                    Inst::Index { dim, .. } => usize::from(dim) != site.dim,
                    Inst::Scalar { .. }
                    | Inst::Const { .. }
                    | Inst::Unary(..)
                    | Inst::Binary(..)
                    | Inst::Fma(..)
                    | Inst::Shift(..)
                    | Inst::Compare(..)
                    | Inst::Select(..)
                    | Inst::Convert(..)
                    | Inst::Bitcast(_) => inst.operands().all(|v| same[v.index()]),
                };
            }
            self.live.iter().copied().filter(|&i| same[i]).collect()
        };
        for &i in &same {
            let value = self.emit(g, site, i, 0, self.shape.lanes, &[]);
            self.hoisted[i] = Some(value);
        }
        self.live.retain(|i| !same.contains(i));
    }

    /// Writes `count` copies of the body, the first at `site` and each one vector further on, instruction by
    /// instruction so that they overlap in time. Only `lanes` lanes of the last copy lie inside the row.
    pub(crate) fn copies(
        &self,
        g: &mut impl Emitter<Reg = R>,
        site: &Site<'_, R>,
        count: usize,
        lanes: usize,
    ) -> Copies<R> {
        let mut values = vec![self.hoisted.clone(); count];
        for &i in &self.live {
            for (copy, values) in values.iter_mut().enumerate() {
                let lanes = if copy + 1 == count { lanes } else { self.shape.lanes };
                let value = self.emit(g, site, i, copy * self.shape.lanes, lanes, values);
                values[i] = Some(value);
            }
        }
        Copies(values)
    }

    /// What is read: instruction, access and lane.
    pub(crate) fn loads(&self) -> impl Iterator<Item = (usize, usize, Lane)> {
        self.live.iter().filter_map(|&i| match self.body.insts()[i] {
            Inst::Load { access, lane } => Some((i, usize::from(access), lane)),
            _ => None,
        })
    }

    /// Writes one copy of the body on full vectors; the results of some instructions are known.
    pub(crate) fn copy_with(
        &self,
        g: &mut impl Emitter<Reg = R>,
        site: &Site<'_, R>,
        known: &[(usize, R)],
    ) -> Copies<R> {
        let mut values = self.hoisted.clone();
        for &(i, value) in known {
            values[i] = Some(value);
        }
        for &i in &self.live {
            if values[i].is_none() {
                values[i] = Some(self.emit(g, site, i, 0, self.shape.lanes, &values));
            }
        }
        Copies(vec![values])
    }

    /// A value of one of the copies.
    pub(crate) fn value(
        &self,
        g: &mut impl Emitter<Reg = R>,
        copies: &Copies<R>,
        copy: usize,
        v: Value,
    ) -> R {
        self.operand(g, &copies.0[copy], v)
    }

    fn operand(&self, g: &mut impl Emitter<Reg = R>, values: &[Option<R>], v: Value) -> R {
        let known = values.get(v.index()).copied().flatten().or(self.hoisted[v.index()]);
        match (known, self.body.insts()[v.index()]) {
            (Some(value), _) => value,
            (None, Inst::Const { bits, lane }) => g.constant(self.shape, lane, bits),
            (None, inst) => panic!("internal error: {inst} is used before it is written"),
        }
    }

    fn emit(
        &self,
        g: &mut impl Emitter<Reg = R>,
        site: &Site<'_, R>,
        inst: usize,
        by: usize,
        lanes: usize,
        values: &[Option<R>],
    ) -> R {
        let shape = self.shape;
        let lane_of = |v: Value| self.body.lane(v);
        match self.body.insts()[inst] {
            Inst::Load { access, lane } => site.load(g, shape, (access.into(), lane), by, lanes),
            Inst::LoadAt { access, lane, index, size, stride } => {
                let at = self.operand(g, values, index);
                let at = g.convert(Shape::SCALAR, lane_of(index), Lane::I64, at);
                let bound = site.bound(access.into(), size, stride);
                let at_access = usize::from(access);
                let element = (site.accesses[at_access].dtype, lane);
                g.load_at(element, site.ptrs[at_access], at, bound)
            }
            Inst::Scalar { index, lane } => {
                let value = site.scalars[usize::from(index)];
                if site.lanewise { value } else { g.splat(shape, lane, value) }
            }
            Inst::Index { dim, lane } => {
                let dim = usize::from(dim);
                let along = dim == site.dim;
                let pos = site.positions[dim];
                let pos = g.pos_plus(pos, if along { by as i64 } else { 0 });
                let pos = g.pos(pos);
                g.index(shape, lane, pos, along)
            }
            Inst::Const { bits, lane } => g.constant(shape, lane, bits),
            Inst::Unary(op, a) => {
                let x = self.operand(g, values, a);
                g.unary(shape, op, lane_of(a), x)
            }
            Inst::Binary(op, a, b) => {
                let (x, y) = (self.operand(g, values, a), self.operand(g, values, b));
                g.binary(shape, op, lane_of(a), x, y)
            }
            Inst::Fma(a, b, c) => {
                let (x, y) = (self.operand(g, values, a), self.operand(g, values, b));
                let z = self.operand(g, values, c);
                g.multiply_add(shape, lane_of(a), x, y, z)
            }
            Inst::Shift(op, a, by) => {
                let x = self.operand(g, values, a);
                g.shift(shape, op, lane_of(a), x, by)
            }
            Inst::Compare(op, a, b) => {
                let (x, y) = (self.operand(g, values, a), self.operand(g, values, b));
                g.compare(shape, op, lane_of(a), x, y)
            }
            Inst::Select(mask, a, b) => {
                let m = self.operand(g, values, mask);
                let (x, y) = (self.operand(g, values, a), self.operand(g, values, b));
                g.select(shape, lane_of(a), m, x, y)
            }
            Inst::Convert(to, a) => {
                let x = self.operand(g, values, a);
                g.convert(shape, lane_of(a), to, x)
            }
            Inst::Bitcast(a) => {
                let x = self.operand(g, values, a);
                g.bitcast(shape, lane_of(a).bits_lane(), x)
            }
        }
    }

    /// Writes the stores of `count` copies, position by position.
    pub(crate) fn stores(
        &self,
        g: &mut impl Emitter<Reg = R>,
        site: &Site<'_, R>,
        copies: &Copies<R>,
        lanes: usize,
    ) {
        let count = copies.0.len();
        for copy in 0..count {
            let lanes = if copy + 1 == count { lanes } else { self.shape.lanes };
            for store in self.stores {
                let value = self.value(g, copies, copy, store.value);
                let (access, lane) = (store.access, self.body.lane(store.value));
                let by = copy * self.shape.lanes;
                match store.add_at {
                    None => site.store(g, self.shape, (access, lane), value, by, lanes),
                    Some(add) => {
                        let at = self.value(g, copies, copy, add.index);
                        let at = g.convert(Shape::SCALAR, self.body.lane(add.index), Lane::I64, at);
                        let bound = site.bound(access, add.size, add.stride);
                        let element = (site.accesses[access].dtype, lane);
                        g.add_at(element, value, site.ptrs[access], at, bound);
                    }
                }
            }
        }
    }
}
