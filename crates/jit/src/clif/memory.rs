//! Loads and stores: single elements, and vectors of them.

use crate::clif::func::{Gen, memory};
use crate::clif::inst::{bitcast_flags, ints, ty};
use crate::emit::{Bound, Lanes, Loops, Memory, Pos, Ptr, Run, Shape};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, F64X2, I8, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{
    BlockArg, InstBuilder, StackSlot, StackSlotData, StackSlotKind, Type, Value,
};
use eggrad_body::{BinaryInst, Lane};
use eggrad_ir::DType;

/// Whether the elements fill a vector that lies in memory as in a register.
fn is_vector(run: Run, shape: Shape) -> bool {
    run.stride == 1 && run.lanes == shape.lanes && run.dtype.bytes() == shape.width
}

/// Whether they are four neighbouring bytes for four lanes of four bytes.
fn is_bytes(run: Run, shape: Shape) -> bool {
    let all = run.stride == 1 && run.lanes == shape.lanes;
    all && shape.width == 4 && run.dtype.bytes() == 1
}

/// Whether the first two fill 64 bits that lie in memory as in a register.
fn has_pair(run: Run, shape: Shape) -> bool {
    run.stride == 1 && run.lanes >= 2 && shape.width == 4 && run.dtype.bytes() == 4
}

impl Gen<'_> {
    fn split(&mut self, ptr: Ptr<Value>) -> (Value, i32) {
        match i32::try_from(ptr.bytes) {
            Ok(bytes) => (ptr.base, bytes),
            Err(_) => (self.address(ptr), 0),
        }
    }

    /// Loads a value of type `ty`, whatever lies there.
    fn load(&mut self, ty: Type, ptr: Ptr<Value>) -> Value {
        let (base, bytes) = self.split(ptr);
        self.b.ins().load(ty, memory(), base, bytes)
    }

    /// Stores a value of any type.
    fn store(&mut self, value: Value, ptr: Ptr<Value>) {
        let (base, bytes) = self.split(ptr);
        self.b.ins().store(memory(), value, base, bytes);
    }

    /// Rows and columns of four vectors of four lanes change places.
    fn turned(&mut self, ty: Type, values: [Value; 4]) -> [Value; 4] {
        let mut mix = |x: Value, y: Value, words: [u8; 4]| {
            let bytes: Vec<u8> =
                words.iter().flat_map(|w| (0..4).map(move |i| 4 * w + i)).collect();
            let pattern = self.b.func.dfg.immediates.push(bytes.into());
            let [x, y] = [x, y].map(|v| match self.b.func.dfg.value_type(v) {
                I8X16 => v,
                _ => self.b.ins().bitcast(I8X16, bitcast_flags(), v),
            });
            self.b.ins().shuffle(x, y, pattern)
        };
        let [c0, c1, c2, c3] = values;
        let (low01, high01) = (mix(c0, c1, [0, 4, 1, 5]), mix(c0, c1, [2, 6, 3, 7]));
        let (low23, high23) = (mix(c2, c3, [0, 4, 1, 5]), mix(c2, c3, [2, 6, 3, 7]));
        let rows = [
            mix(low01, low23, [0, 1, 4, 5]),
            mix(low01, low23, [2, 3, 6, 7]),
            mix(high01, high23, [0, 1, 4, 5]),
            mix(high01, high23, [2, 3, 6, 7]),
        ];
        rows.map(|row| self.b.ins().bitcast(ty, bitcast_flags(), row))
    }

    /// Loads an element as a scalar of its lane type.
    fn load_element(&mut self, dtype: DType, ptr: Ptr<Value>) -> Value {
        match dtype {
            DType::F32 => self.load(F32, ptr),
            DType::F64 => self.load(F64, ptr),
            DType::I32 => self.load(I32, ptr),
            DType::I64 => self.load(I64, ptr),
            DType::U8 => {
                let (base, bytes) = self.split(ptr);
                self.b.ins().uload8(I32, memory(), base, bytes)
            }
            DType::Bool => {
                let byte = self.load(I8, ptr);
                self.b.ins().icmp_imm_u(IntCC::NotEqual, byte, 0)
            }
        }
    }

    /// Stores a scalar of the lane type of `dtype`; `u8` keeps the low byte.
    fn store_element(&mut self, dtype: DType, value: Value, ptr: Ptr<Value>) {
        match dtype {
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool => {
                self.store(value, ptr);
            }
            DType::U8 => {
                let (base, bytes) = self.split(ptr);
                self.b.ins().istore8(memory(), value, base, bytes);
            }
        }
    }

    /// The vector with lane `j` replaced by a scalar; the other lanes of a missing vector are 0.
    pub(crate) fn insert(
        &mut self,
        shape: Shape,
        lane: Lane,
        vector: Option<Value>,
        scalar: Value,
        j: usize,
    ) -> Value {
        let element = self.lane_from_scalar(shape, lane, scalar);
        match vector {
            Some(vector) => self.b.ins().insertlane(vector, element, j as u8),
            None if j == 0 => self.b.ins().scalar_to_vector(ty(shape, lane), element),
            None => {
                let zero = self.constant(shape, lane, 0);
                self.b.ins().insertlane(zero, element, j as u8)
            }
        }
    }

    /// The scalar as an element of a vector: masks widen.
    pub(crate) fn lane_from_scalar(&mut self, shape: Shape, lane: Lane, scalar: Value) -> Value {
        if lane != Lane::Mask {
            return scalar;
        }
        self.b.ins().bmask(ints(shape).1, scalar)
    }

    /// Four bytes, `u8` or `bool`, as four lanes of 32 bits.
    fn widen_bytes(&mut self, four: Value) -> Value {
        let vector = self.b.ins().scalar_to_vector(I32X4, four);
        let bytes = self.cast_bits(I8X16, vector);
        let words = self.b.ins().uwiden_low(bytes);
        self.b.ins().uwiden_low(words)
    }

    /// The low bytes of four lanes of 32 bits, as one integer.
    fn narrow_bytes(&mut self, shape: Shape, lanes: Value, mask: u64) -> Value {
        let mask = self.constant(shape, Lane::I32, mask);
        let low = self.b.ins().band(lanes, mask);
        let words = self.b.ins().snarrow(low, low);
        debug_assert_eq!(self.b.func.dfg.value_type(words), I16X8);
        let bytes = self.b.ins().unarrow(words, words);
        let ints = self.cast_bits(I32X4, bytes);
        self.b.ins().extractlane(ints, 0)
    }

    /// Whether the 64-bit index `at` is inside, and the address of that element, which is of no meaning outside.
    fn indexed(&mut self, ptr: Ptr<Value>, at: Value, bound: Bound) -> (Value, Ptr<Value>) {
        let size = self.b.ins().iconst(I64, i64::from(bound.size));
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, at, size);
        (inside, self.advance(ptr, Pos::Dyn(at), bound.bytes))
    }
}

impl Memory for Gen<'_> {
    fn arg(&mut self, arg: usize) -> Ptr<Value> {
        let base = self.b.ins().load(I64, memory(), self.args, 8 * arg as i32);
        Ptr { base, bytes: 0 }
    }

    fn slot(&mut self, bytes: usize) -> Ptr<Value> {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 4);
        let slot: StackSlot = self.b.create_sized_stack_slot(data);
        Ptr { base: self.b.ins().stack_addr(I64, slot, 0), bytes: 0 }
    }

    fn load_run(&mut self, shape: Shape, lane: Lane, ptr: Ptr<Value>, run: Run) -> Value {
        if !shape.is_vector() || run.stride == 0 {
            let element = self.load_element(run.dtype, ptr);
            return self.splat(shape, lane, element);
        }
        if is_vector(run, shape) {
            return self.load(ty(shape, lane), ptr);
        }
        if is_bytes(run, shape) {
            let four = self.load(I32, ptr);
            let ints = self.widen_bytes(four);
            return self.convert(shape, Lane::I32, lane, ints);
        }
        let pair = has_pair(run, shape);
        let mut vector = None;
        if pair {
            let two = self.load(F64, ptr);
            let two = self.b.ins().scalar_to_vector(F64X2, two);
            vector = Some(self.b.ins().bitcast(ty(shape, lane), bitcast_flags(), two));
        }
        for j in if pair { 2 } else { 0 }..run.lanes {
            let element = self.load_element(run.dtype, ptr.plus(run.step(j)));
            vector = Some(self.insert(shape, lane, vector, element, j));
        }
        vector.unwrap_or_else(|| self.constant(shape, lane, 0))
    }

    fn store_run(&mut self, shape: Shape, lane: Lane, value: Value, ptr: Ptr<Value>, run: Run) {
        if !shape.is_vector() {
            return self.store_element(run.dtype, value, ptr);
        }
        if is_vector(run, shape) {
            return self.store(value, ptr);
        }
        if is_bytes(run, shape) {
            let mask = if run.dtype == DType::U8 { 0xff } else { 1 };
            let four = self.narrow_bytes(shape, value, mask);
            return self.store(four, ptr);
        }
        let pair = has_pair(run, shape);
        if pair {
            let two = self.b.ins().bitcast(I64X2, bitcast_flags(), value);
            let two = self.b.ins().extractlane(two, 0);
            self.store(two, ptr);
        }
        let first = match (pair, run.stride) {
            (true, _) => 2,
            (false, 0) => run.lanes - 1,
            (false, _) => 0,
        };
        for j in first..run.lanes {
            let element = self.extract(shape, lane, value, j);
            self.store_element(run.dtype, element, ptr.plus(run.step(j)));
        }
    }

    fn load_at(
        &mut self,
        (dtype, lane): (DType, Lane),
        ptr: Ptr<Value>,
        at: Value,
        bound: Bound,
    ) -> Value {
        let outside = match lane {
            Lane::F32 => f32::NAN.to_bits().into(),
            Lane::F64 => f64::NAN.to_bits(),
            Lane::I32 | Lane::I64 | Lane::Mask => 0,
        };
        let outside = self.constant(Shape::SCALAR, lane, outside);
        let (inside, ptr) = self.indexed(ptr, at, bound);
        let [there, after] = [(); 2].map(|()| self.b.create_block());
        let result = self.b.append_block_param(after, ty(Shape::SCALAR, lane));
        self.b.ins().brif(inside, there, &[], after, &[BlockArg::from(outside)]);
        self.b.switch_to_block(there);
        let element = self.load_element(dtype, ptr);
        self.b.ins().jump(after, &[BlockArg::from(element)]);
        self.b.switch_to_block(after);
        result
    }

    fn add_at(
        &mut self,
        (dtype, lane): (DType, Lane),
        value: Value,
        ptr: Ptr<Value>,
        at: Value,
        bound: Bound,
    ) {
        let (inside, ptr) = self.indexed(ptr, at, bound);
        let [there, after] = [(); 2].map(|()| self.b.create_block());
        self.b.ins().brif(inside, there, &[], after, &[]);
        self.b.switch_to_block(there);
        let before = self.load_element(dtype, ptr);
        let sum = self.binary(Shape::SCALAR, BinaryInst::Add, lane, before, value);
        self.store_element(dtype, sum, ptr);
        self.b.ins().jump(after, &[]);
        self.b.switch_to_block(after);
    }

    /// Cranelift has no such instruction.
    fn prefetch(&mut self, _: Ptr<Value>) {}

    fn load_transposed(
        &mut self,
        shape: Shape,
        lane: Lane,
        ptr: Ptr<Value>,
        bytes: i64,
        lanes: usize,
    ) -> [Value; 4] {
        let ty = ty(shape, lane);
        let place = |j: usize| ptr.plus(bytes.wrapping_mul(j.min(lanes - 1) as i64));
        let columns = [0, 1, 2, 3].map(|j| self.load(ty, place(j)));
        self.turned(ty, columns)
    }

    fn store_transposed(
        &mut self,
        shape: Shape,
        lane: Lane,
        values: [Value; 4],
        ptr: Ptr<Value>,
        bytes: i64,
    ) {
        let rows = self.turned(ty(shape, lane), values);
        for (j, row) in rows.into_iter().enumerate() {
            self.store(row, ptr.plus(bytes.wrapping_mul(j as i64)));
        }
    }
}
