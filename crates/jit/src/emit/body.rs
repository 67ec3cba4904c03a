//! A body at a place of the loops: which of its instructions are needed, on how many lanes, and their code.

use crate::emit::func::{Gen, Pos, Ptr};
use crate::emit::inst::{Shape, bitcast_flags};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, F64X2, I32, I64, I64X2};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value as Reg};
use eggrad_body::{BinaryInst, Body, Inst, Lane, Value};
use eggrad_ir::DType;
use eggrad_schedule::{Access, AddAt, Store};

/// What a body works on: a place in the loops of its kernel.
#[derive(Clone)]
pub(crate) struct Site<'k> {
    /// The kernel's accesses.
    pub(crate) accesses: &'k [Access],
    /// For each, the address of the element at `positions`.
    pub(crate) ptrs: Vec<Ptr>,
    /// Position along each loop dimension; that along `dim` is where the first lane stands.
    pub(crate) positions: Vec<Pos>,
    /// The dimension along which lanes lie.
    pub(crate) dim: usize,
    /// Results of earlier phases: scalars, or one for each lane.
    pub(crate) scalars: Vec<Reg>,
}

impl<'k> Site<'k> {
    /// Elements of access `access` between neighbouring lanes.
    pub(crate) fn stride(&self, access: usize) -> usize {
        self.accesses[access].strides[self.dim]
    }

    /// The place `pos + by` further along `dim`.
    pub(crate) fn at(&self, g: &mut Gen<'_>, pos: Pos, by: usize) -> Site<'k> {
        let mut positions = self.positions.clone();
        let here = g.pos_add(positions[self.dim], pos);
        positions[self.dim] = g.pos_plus(here, by as i64);
        let mut ptrs = self.ptrs.clone();
        for (access, ptr) in self.accesses.iter().zip(&mut ptrs) {
            let bytes = stride_bytes(access, self.dim);
            *ptr = g.advance(*ptr, pos, bytes).plus((by as i64).wrapping_mul(bytes));
        }
        let scalars = self.scalars.clone();
        Site { accesses: self.accesses, ptrs, positions, dim: self.dim, scalars }
    }
}

/// Bytes between neighbours along dimension `dim`.
pub(crate) fn stride_bytes(access: &Access, dim: usize) -> i64 {
    (access.strides[dim] as i64).wrapping_mul(access.dtype.bytes() as i64)
}

/// A body with what is known about it before code is written.
pub(crate) struct Code<'k> {
    pub(crate) body: &'k Body,
    stores: &'k [Store],
    /// How many lanes it runs on.
    pub(crate) shape: Shape,
    /// Instructions that are needed, in order, without constants.
    live: Vec<usize>,
    /// For each instruction, its value where it is the same all along the row.
    hoisted: Vec<Option<Reg>>,
}

/// Values of one or more copies of a body; `None` where not needed or constant.
pub(crate) struct Copies(Vec<Vec<Option<Reg>>>);

impl<'k> Code<'k> {
    /// Chooses vectors where the body allows them along loop dimension `dim`.
    pub(crate) fn new(
        body: &'k Body,
        stores: &'k [Store],
        results: impl Iterator<Item = Value>,
        accesses: &[Access],
        dim: usize,
    ) -> Code<'k> {
        let mut code = Code::scalar(body, stores, results);
        code.shape = code.choose_shape(accesses, dim);
        code
    }

    /// Scalar code.
    pub(crate) fn scalar(
        body: &'k Body,
        stores: &'k [Store],
        results: impl Iterator<Item = Value>,
    ) -> Code<'k> {
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

    fn choose_shape(&self, accesses: &[Access], dim: usize) -> Shape {
        let mut widths = self.live.iter().filter_map(|&i| self.lane(i).bytes());
        let stored = self.stores.iter().filter_map(|s| self.body.lane(s.value).bytes());
        let width = widths.next().or_else(|| stored.clone().next()).unwrap_or(4);
        let gathers =
            self.live.iter().any(|&i| matches!(self.body.insts()[i], Inst::LoadAt { .. }));
        let scatters = self.stores.iter().any(|s| s.add_at.is_some());
        if gathers || scatters || widths.chain(stored).any(|w| w != width) {
            return Shape::SCALAR;
        }
        // Elements moved to places apart from each other gain nothing from vectors.
        let moves = |&i: &usize| matches!(self.body.insts()[i], Inst::Load { .. });
        let apart = |s: &Store| accesses[s.access].strides[dim] > 1;
        if self.live.iter().all(moves) && !self.stores.is_empty() && self.stores.iter().all(apart) {
            return Shape::SCALAR;
        }
        Shape::vector(width)
    }

    fn lane(&self, inst: usize) -> Lane {
        self.body.lane(Value(inst as u32))
    }

    /// Writes once, before the loop along the row, what is the same at each of its positions.
    pub(crate) fn hoist(&mut self, g: &mut Gen<'_>, site: &Site<'_>) {
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
        g: &mut Gen<'_>,
        site: &Site<'_>,
        count: usize,
        lanes: usize,
    ) -> Copies {
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

    /// A value of one of the copies.
    pub(crate) fn value(&self, g: &mut Gen<'_>, copies: &Copies, copy: usize, v: Value) -> Reg {
        self.operand(g, &copies.0[copy], v)
    }

    fn operand(&self, g: &mut Gen<'_>, values: &[Option<Reg>], v: Value) -> Reg {
        let known = values.get(v.index()).copied().flatten().or(self.hoisted[v.index()]);
        match (known, self.body.insts()[v.index()]) {
            (Some(value), _) => value,
            (None, Inst::Const { bits, lane }) => g.constant(self.shape, lane, bits),
            (None, inst) => panic!("internal error: {inst} is used before it is written"),
        }
    }

    fn emit(
        &self,
        g: &mut Gen<'_>,
        site: &Site<'_>,
        inst: usize,
        by: usize,
        lanes: usize,
        values: &[Option<Reg>],
    ) -> Reg {
        let shape = self.shape;
        let lane_of = |v: Value| self.body.lane(v);
        match self.body.insts()[inst] {
            Inst::Load { access, lane } => self.load(g, site, access.into(), lane, by, lanes),
            Inst::LoadAt { access, lane, index, size, stride } => {
                let at = self.operand(g, values, index);
                let at = g.convert(Shape::SCALAR, lane_of(index), Lane::I64, at);
                self.load_at(g, site, access.into(), lane, at, size, stride)
            }
            Inst::Scalar { index, lane } => {
                let value = site.scalars[usize::from(index)];
                let whole = g.b.func.dfg.value_type(value) == shape.ty(lane);
                if whole { value } else { g.splat(shape, lane, value) }
            }
            Inst::Index { dim, lane } => {
                let dim = usize::from(dim);
                let along = dim == site.dim;
                let pos = site.positions[dim];
                let pos = g.pos_plus(pos, if along { by as i64 } else { 0 });
                let pos = g.pos(pos);
                let first = g.convert(Shape::SCALAR, Lane::I64, lane, pos);
                let all = g.splat(shape, lane, first);
                if !along || !shape.is_vector() {
                    return all;
                }
                let steps = g.lanes_const(shape, lane, |j| j as u64);
                g.b.ins().iadd(all, steps)
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
                g.multiply_add(lane_of(a), x, y, z)
            }
            Inst::Shift(op, a, by) => {
                let x = self.operand(g, values, a);
                g.shift(op, x, by)
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
                g.cast_bits(shape.ty(lane_of(a).bits_lane()), x)
            }
        }
    }

    fn load(
        &self,
        g: &mut Gen<'_>,
        site: &Site<'_>,
        access: usize,
        lane: Lane,
        by: usize,
        lanes: usize,
    ) -> Reg {
        let (shape, stride) = (self.shape, site.stride(access));
        let dtype = site.accesses[access].dtype;
        let step = stride_bytes(&site.accesses[access], site.dim);
        let ptr = site.ptrs[access].plus((by as i64).wrapping_mul(step));
        if !shape.is_vector() || stride == 0 {
            let element = g.load_element(dtype, ptr);
            return g.splat(shape, lane, element);
        }
        let whole = stride == 1 && lanes == shape.lanes;
        match dtype {
            DType::F32 | DType::F64 | DType::I32 | DType::I64 if whole => {
                return g.load(shape.ty(lane), ptr);
            }
            DType::U8 | DType::Bool if whole && shape.width == 4 => {
                let four = g.load(I32, ptr);
                let ints = g.widen_bytes(four);
                return g.convert(shape, Lane::I32, lane, ints);
            }
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::Bool => {}
        }
        let pair = stride == 1 && lanes >= 2 && shape.lanes == 4 && dtype.bytes() == 4;
        let mut vector = None;
        if pair {
            let two = g.load(F64, ptr);
            let two = g.b.ins().scalar_to_vector(F64X2, two);
            vector = Some(g.b.ins().bitcast(shape.ty(lane), bitcast_flags(), two));
        }
        for j in if pair { 2 } else { 0 }..lanes {
            let element = g.load_element(dtype, ptr.plus(step.wrapping_mul(j as i64)));
            vector = Some(g.insert(shape, lane, vector, element, j));
        }
        vector.unwrap_or_else(|| g.constant(shape, lane, 0))
    }

    /// The address of an element and whether `at` is inside; outside, the address is that of index 0.
    fn indexed(
        g: &mut Gen<'_>,
        site: &Site<'_>,
        access: usize,
        at: Reg,
        size: u32,
        stride: u32,
    ) -> (Reg, Ptr) {
        let size = g.b.ins().iconst(I64, i64::from(size));
        let inside = g.b.ins().icmp(IntCC::UnsignedLessThan, at, size);
        let bytes = i64::from(stride) * site.accesses[access].dtype.bytes() as i64;
        let ptr = g.advance(site.ptrs[access], Pos::Dyn(at), bytes);
        (inside, ptr)
    }

    #[expect(clippy::too_many_arguments, reason = "an instruction's fields and where it stands")]
    fn load_at(
        &self,
        g: &mut Gen<'_>,
        site: &Site<'_>,
        access: usize,
        lane: Lane,
        at: Reg,
        size: u32,
        stride: u32,
    ) -> Reg {
        let outside = match lane {
            Lane::F32 => f32::NAN.to_bits().into(),
            Lane::F64 => f64::NAN.to_bits(),
            Lane::I32 | Lane::I64 | Lane::Mask => 0,
        };
        let outside = g.constant(Shape::SCALAR, lane, outside);
        let (inside, ptr) = Code::indexed(g, site, access, at, size, stride);
        let [there, after] = [(); 2].map(|()| g.b.create_block());
        let result = g.b.append_block_param(after, Shape::SCALAR.ty(lane));
        g.b.ins().brif(inside, there, &[], after, &[BlockArg::from(outside)]);
        g.b.switch_to_block(there);
        let element = g.load_element(site.accesses[access].dtype, ptr);
        g.b.ins().jump(after, &[BlockArg::from(element)]);
        g.b.switch_to_block(after);
        result
    }

    /// Writes the stores of `count` copies, position by position.
    pub(crate) fn stores(&self, g: &mut Gen<'_>, site: &Site<'_>, copies: &Copies, lanes: usize) {
        let count = copies.0.len();
        for copy in 0..count {
            let lanes = if copy + 1 == count { lanes } else { self.shape.lanes };
            for store in self.stores {
                let value = self.value(g, copies, copy, store.value);
                match store.add_at {
                    None => self.store(g, site, store, value, copy * self.shape.lanes, lanes),
                    Some(add) => {
                        let at = self.value(g, copies, copy, add.index);
                        let at = g.convert(Shape::SCALAR, self.body.lane(add.index), Lane::I64, at);
                        self.add_at(g, site, store, add, value, at);
                    }
                }
            }
        }
    }

    fn store(
        &self,
        g: &mut Gen<'_>,
        site: &Site<'_>,
        store: &Store,
        value: Reg,
        by: usize,
        lanes: usize,
    ) {
        let shape = self.shape;
        let (dtype, lane) = (site.accesses[store.access].dtype, self.body.lane(store.value));
        let step = stride_bytes(&site.accesses[store.access], site.dim);
        let stride = site.stride(store.access);
        let ptr = site.ptrs[store.access].plus((by as i64).wrapping_mul(step));
        if !shape.is_vector() {
            return g.store_element(dtype, value, ptr);
        }
        let whole = stride == 1 && lanes == shape.lanes;
        match dtype {
            DType::F32 | DType::F64 | DType::I32 | DType::I64 if whole => {
                return g.store(value, ptr);
            }
            DType::U8 | DType::Bool if whole && shape.width == 4 => {
                let mask = if dtype == DType::U8 { 0xff } else { 1 };
                let four = g.narrow_bytes(value, mask);
                return g.store(four, ptr);
            }
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::Bool => {}
        }
        let pair = stride == 1 && lanes >= 2 && shape.lanes == 4 && dtype.bytes() == 4;
        if pair {
            let two = g.b.ins().bitcast(I64X2, bitcast_flags(), value);
            let two = g.b.ins().extractlane(two, 0);
            g.store(two, ptr);
        }
        // At stride 0 the last position's value stays.
        let first = if pair { 2 } else { 0 };
        for j in if stride == 0 { lanes - 1 } else { first }..lanes {
            let element = g.extract(shape, lane, value, j);
            g.store_element(dtype, element, ptr.plus(step.wrapping_mul(j as i64)));
        }
    }

    fn add_at(
        &self,
        g: &mut Gen<'_>,
        site: &Site<'_>,
        store: &Store,
        add: AddAt,
        value: Reg,
        at: Reg,
    ) {
        let (inside, ptr) = Code::indexed(g, site, store.access, at, add.size, add.stride);
        let [there, after] = [(); 2].map(|()| g.b.create_block());
        g.b.ins().brif(inside, there, &[], after, &[]);
        g.b.switch_to_block(there);
        let dtype = site.accesses[store.access].dtype;
        let before = g.load_element(dtype, ptr);
        let lane = self.body.lane(store.value);
        let sum = g.binary(Shape::SCALAR, BinaryInst::Add, lane, before, value);
        g.store_element(dtype, sum, ptr);
        g.b.ins().jump(after, &[]);
        g.b.switch_to_block(after);
    }
}
