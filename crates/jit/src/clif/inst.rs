//! One instruction of a body as Cranelift instructions, on scalars and on 128-bit vectors.
//!
//! Booleans are 0 or 1 in scalar code and all zeros or all ones, in integer lanes of the body's width, in vectors.
//!
//! Note [No less-than]: Cranelift turns a select on `a < b` between `a` and `b` into the machine's minimum or maximum,
//! which flushes subnormal operands, where a select keeps them. It knows the pattern only by `LessThan`, so floats are
//! compared by `GreaterThan` with operands swapped.

use crate::clif::func::Gen;
use crate::emit::{Lanes, Shape, ill_typed};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I8, I8X16, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value};
use eggrad_body::{BinaryInst, CompareInst, Lane, ShiftInst, UnaryInst};

/// Type of values of `lane`.
pub(crate) fn ty(shape: Shape, lane: Lane) -> Type {
    match (shape.is_vector(), lane) {
        (false, _) => scalar_type(lane),
        (true, Lane::F32) => F32X4,
        (true, Lane::F64) => F64X2,
        (true, Lane::I32) => I32X4,
        (true, Lane::I64) => I64X2,
        (true, Lane::Mask) => ints(shape).0,
    }
}

/// Type of vectors of integers as wide as these lanes, and of one of them.
pub(crate) fn ints(shape: Shape) -> (Type, Type) {
    if shape.width == 4 { (I32X4, I32) } else { (I64X2, I64) }
}

pub(crate) fn scalar_type(lane: Lane) -> Type {
    match lane {
        Lane::F32 => F32,
        Lane::F64 => F64,
        Lane::I32 => I32,
        Lane::I64 => I64,
        Lane::Mask => I8,
    }
}

pub(crate) fn bitcast_flags() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

impl Gen<'_> {
    /// The bit pattern `bits(j)` in lane `j` of a vector.
    pub(crate) fn lanes_const(
        &mut self,
        shape: Shape,
        lane: Lane,
        bits: impl Fn(usize) -> u64,
    ) -> Value {
        let mut row = [0; 16];
        for (j, target) in row.chunks_exact_mut(shape.width).enumerate() {
            target.copy_from_slice(&bits(j).to_le_bytes()[..shape.width]);
        }
        let ty = ty(shape, lane);
        if row == [0; 16] || row == [0xff; 16] {
            // Made by one instruction from nothing.
            let handle = self.b.func.dfg.constants.insert(row.to_vec().into());
            return self.b.ins().vconst(ty, handle);
        }
        self.table_row(ty, row)
    }

    /// The same bits as another type of the same size.
    pub(crate) fn cast_bits(&mut self, ty: Type, value: Value) -> Value {
        if self.b.func.dfg.value_type(value) == ty {
            return value;
        }
        self.b.ins().bitcast(ty, bitcast_flags(), value)
    }

    /// A conversion that the vector units of common processors do not have.
    fn lane_by_lane(&mut self, shape: Shape, from: Lane, to: Lane, a: Value) -> Value {
        let mut result = None;
        for j in 0..shape.lanes {
            let element = self.extract(shape, from, a, j);
            let element = self.convert(Shape::SCALAR, from, to, element);
            result = Some(self.insert(shape, to, result, element, j));
        }
        result.unwrap_or(a)
    }

    /// The vector that begins with the lanes of `vector` from byte `first` on.
    fn rotate(&mut self, shape: Shape, lane: Lane, vector: Value, first: usize) -> Value {
        let pattern: Vec<u8> = (0..16).map(|byte| ((byte + first) % 16) as u8).collect();
        let pattern = self.b.func.dfg.immediates.push(pattern.into());
        let bytes = self.b.ins().bitcast(I8X16, bitcast_flags(), vector);
        let moved = self.b.ins().shuffle(bytes, bytes, pattern);
        self.b.ins().bitcast(ty(shape, lane), bitcast_flags(), moved)
    }
}

impl Lanes for Gen<'_> {
    fn constant(&mut self, shape: Shape, lane: Lane, bits: u64) -> Value {
        if !shape.is_vector() {
            return match lane {
                Lane::F32 => self.b.ins().f32const(f32::from_bits(bits as u32)),
                Lane::F64 => self.b.ins().f64const(f64::from_bits(bits)),
                Lane::I32 => self.b.ins().iconst(I32, i64::from(bits as u32)),
                Lane::I64 => self.b.ins().iconst(I64, bits as i64),
                Lane::Mask => self.b.ins().iconst(I8, bits as i64),
            };
        }
        let bits = if lane == Lane::Mask && bits != 0 { u64::MAX } else { bits };
        self.lanes_const(shape, lane, |_| bits)
    }

    fn first_lanes(&mut self, shape: Shape, count: usize) -> Value {
        self.lanes_const(shape, Lane::Mask, |j| if j < count { u64::MAX } else { 0 })
    }

    fn splat(&mut self, shape: Shape, lane: Lane, scalar: Value) -> Value {
        if !shape.is_vector() {
            return scalar;
        }
        let scalar = self.lane_from_scalar(shape, lane, scalar);
        self.b.ins().splat(ty(shape, lane), scalar)
    }

    fn extract(&mut self, shape: Shape, lane: Lane, vector: Value, j: usize) -> Value {
        if !shape.is_vector() {
            return vector;
        }
        let element = self.b.ins().extractlane(vector, j as u8);
        if lane != Lane::Mask {
            return element;
        }
        let bit = self.b.ins().band_imm_u(element, 1);
        self.b.ins().ireduce(I8, bit)
    }

    fn lanes_from(&mut self, shape: Shape, lane: Lane, vector: Value, first: usize) -> Value {
        self.rotate(shape, lane, vector, first * shape.width)
    }

    fn index(&mut self, shape: Shape, lane: Lane, at: Value, along: bool) -> Value {
        let first = self.convert(Shape::SCALAR, Lane::I64, lane, at);
        let all = self.splat(shape, lane, first);
        if !along || !shape.is_vector() {
            return all;
        }
        let steps = self.lanes_const(shape, lane, |j| j as u64);
        self.b.ins().iadd(all, steps)
    }

    fn unary(&mut self, shape: Shape, op: UnaryInst, lane: Lane, a: Value) -> Value {
        match op {
            UnaryInst::Neg if lane.is_float() => self.b.ins().fneg(a),
            UnaryInst::Neg => self.b.ins().ineg(a),
            UnaryInst::Abs if lane.is_float() => self.b.ins().fabs(a),
            UnaryInst::Abs => self.b.ins().iabs(a),
            UnaryInst::Sqrt => self.b.ins().sqrt(a),
            UnaryInst::Floor if self.features.rounds => self.b.ins().floor(a),
            UnaryInst::Ceil if self.features.rounds => self.b.ins().ceil(a),
            UnaryInst::Round if self.features.rounds => self.b.ins().nearest(a),
            UnaryInst::Floor => self.floor(shape, lane, a),
            UnaryInst::Ceil => self.ceil(shape, lane, a),
            UnaryInst::Round => self.round(shape, lane, a),
            UnaryInst::Not if shape.is_vector() => self.b.ins().bnot(a),
            UnaryInst::Not => self.b.ins().bxor_imm_u(a, 1),
        }
    }

    fn binary(&mut self, shape: Shape, op: BinaryInst, lane: Lane, a: Value, b: Value) -> Value {
        let float = lane.is_float();
        match op {
            BinaryInst::Add if float => self.b.ins().fadd(a, b),
            BinaryInst::Add => self.b.ins().iadd(a, b),
            BinaryInst::Sub if float => self.b.ins().fsub(a, b),
            BinaryInst::Sub => self.b.ins().isub(a, b),
            BinaryInst::Mul if float => self.b.ins().fmul(a, b),
            BinaryInst::Mul => self.b.ins().imul(a, b),
            BinaryInst::Div => self.b.ins().fdiv(a, b),
            BinaryInst::Min => {
                let less = self.compare(shape, CompareInst::Lt, lane, a, b);
                self.select(shape, lane, less, a, b)
            }
            BinaryInst::Max => {
                let greater = self.compare(shape, CompareInst::Gt, lane, a, b);
                self.select(shape, lane, greater, a, b)
            }
            BinaryInst::And => self.b.ins().band(a, b),
            BinaryInst::Or => self.b.ins().bor(a, b),
            BinaryInst::Xor => self.b.ins().bxor(a, b),
        }
    }

    fn multiply_add(&mut self, _: Shape, lane: Lane, a: Value, b: Value, c: Value) -> Value {
        if !lane.is_float() {
            let product = self.b.ins().imul(a, b);
            self.b.ins().iadd(product, c)
        } else if self.features.fma {
            self.b.ins().fma(a, b, c)
        } else {
            let product = self.b.ins().fmul(a, b);
            self.b.ins().fadd(product, c)
        }
    }

    fn shift(&mut self, _: Shape, op: ShiftInst, _: Lane, a: Value, by: u8) -> Value {
        let by = self.b.ins().iconst(I32, i64::from(by));
        match op {
            ShiftInst::Shl => self.b.ins().ishl(a, by),
            ShiftInst::Shr => self.b.ins().ushr(a, by),
            ShiftInst::Sar => self.b.ins().sshr(a, by),
        }
    }

    /// See Note [No less-than].
    fn compare(&mut self, shape: Shape, op: CompareInst, lane: Lane, a: Value, b: Value) -> Value {
        let mask = if lane.is_float() {
            let (code, a, b) = match op {
                CompareInst::Eq => (FloatCC::Equal, a, b),
                CompareInst::Ne => (FloatCC::NotEqual, a, b),
                CompareInst::Lt => (FloatCC::GreaterThan, b, a),
                CompareInst::Le => (FloatCC::GreaterThanOrEqual, b, a),
                CompareInst::Gt => (FloatCC::GreaterThan, a, b),
                CompareInst::Ge => (FloatCC::GreaterThanOrEqual, a, b),
            };
            self.b.ins().fcmp(code, a, b)
        } else {
            let code = match op {
                CompareInst::Eq => IntCC::Equal,
                CompareInst::Ne => IntCC::NotEqual,
                CompareInst::Lt => IntCC::SignedLessThan,
                CompareInst::Le => IntCC::SignedLessThanOrEqual,
                CompareInst::Gt => IntCC::SignedGreaterThan,
                CompareInst::Ge => IntCC::SignedGreaterThanOrEqual,
            };
            self.b.ins().icmp(code, a, b)
        };
        debug_assert_eq!(self.b.func.dfg.value_type(mask), ty(shape, Lane::Mask));
        mask
    }

    fn select(&mut self, shape: Shape, lane: Lane, mask: Value, a: Value, b: Value) -> Value {
        if !shape.is_vector() {
            return self.b.ins().select(mask, a, b);
        }
        let mask = self.cast_bits(ty(shape, lane), mask);
        self.b.ins().bitselect(mask, a, b)
    }

    fn convert(&mut self, shape: Shape, from: Lane, to: Lane, a: Value) -> Value {
        if from == to {
            return a;
        }
        match (from, to) {
            (_, Lane::Mask) => {
                let zero = self.constant(shape, from, 0);
                self.compare(shape, CompareInst::Ne, from, a, zero)
            }
            (Lane::Mask, Lane::I32 | Lane::I64) if shape.is_vector() => self.b.ins().ineg(a),
            (Lane::Mask, Lane::I32 | Lane::I64) => self.b.ins().uextend(scalar_type(to), a),
            (Lane::Mask, Lane::F32 | Lane::F64) if shape.is_vector() => {
                let one = if to == Lane::F32 { f32_bits(1.0) } else { 1f64.to_bits() };
                let one = self.constant(shape, to.bits_lane(), one);
                let bits = self.b.ins().band(a, one);
                self.cast_bits(ty(shape, to), bits)
            }
            (Lane::Mask, Lane::F32 | Lane::F64) => {
                let int = self.b.ins().uextend(I32, a);
                self.b.ins().fcvt_from_sint(scalar_type(to), int)
            }
            (Lane::I32 | Lane::I64, Lane::F32 | Lane::F64)
            | (Lane::F32 | Lane::F64, Lane::I32 | Lane::I64) => {
                if shape.is_vector() && shape.width == 8 {
                    return self.lane_by_lane(shape, from, to, a);
                }
                if from.is_float() {
                    self.b.ins().fcvt_to_sint_sat(ty(shape, to), a)
                } else {
                    self.b.ins().fcvt_from_sint(ty(shape, to), a)
                }
            }
            (Lane::F32, Lane::F64) => self.b.ins().fpromote(F64, a),
            (Lane::F64, Lane::F32) => self.b.ins().fdemote(F32, a),
            (Lane::I32, Lane::I64) => self.b.ins().sextend(I64, a),
            (Lane::I64, Lane::I32) => self.b.ins().ireduce(I32, a),
            (Lane::F32, Lane::F32)
            | (Lane::F64, Lane::F64)
            | (Lane::I32, Lane::I32)
            | (Lane::I64, Lane::I64) => ill_typed(from),
        }
    }

    fn bitcast(&mut self, shape: Shape, to: Lane, a: Value) -> Value {
        self.cast_bits(ty(shape, to), a)
    }

    /// A NaN accumulator stays, as it is not compared with success; the second selection lets a NaN element win. Vectors
    /// of 64-bit Arm have no comparison that holds for NaN.
    fn extreme(&mut self, shape: Shape, largest: bool, lane: Lane, acc: Value, x: Value) -> Value {
        let (high, low) = if largest { (x, acc) } else { (acc, x) };
        let wins = self.b.ins().fcmp(FloatCC::GreaterThanOrEqual, high, low);
        let best = self.select(shape, lane, wins, x, acc);
        let nan = self.b.ins().fcmp(FloatCC::Unordered, x, x);
        self.select(shape, lane, nan, x, best)
    }
}

pub(crate) fn f32_bits(value: f32) -> u64 {
    u64::from(value.to_bits())
}
