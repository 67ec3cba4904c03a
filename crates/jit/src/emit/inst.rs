//! One instruction of a body as Cranelift instructions, on scalars and on 128-bit vectors.
//!
//! Booleans are 0 or 1 in scalar code and all zeros or all ones, in integer lanes of the body's width, in vectors.
//!
//! Note [No less-than]: Cranelift turns a select on `a < b` between `a` and `b` into the machine's minimum or maximum,
//! which flushes subnormal operands, where a select keeps them. It knows the pattern only by `LessThan`, so floats are
//! compared by `GreaterThan` with operands swapped.

use crate::emit::func::Gen;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{
    F32, F32X4, F64, F64X2, I8, I8X16, I16X8, I32, I32X4, I64, I64X2,
};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value};
use eggrad_body::{BinaryInst, CompareInst, Lane, ShiftInst, UnaryInst};

/// How many lanes a value has, and how wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// 1 for scalar code, else 4 or 2.
    pub(crate) lanes: usize,
    /// Bytes of a lane in vector code; of no meaning in scalar code, where lanes of all widths mix.
    pub(crate) width: usize,
}

impl Shape {
    /// One lane.
    pub(crate) const SCALAR: Shape = Shape { lanes: 1, width: 0 };

    /// Vectors of lanes of `width` bytes.
    pub(crate) fn vector(width: usize) -> Shape {
        Shape { lanes: 16 / width, width }
    }

    pub(crate) fn is_vector(self) -> bool {
        self.lanes > 1
    }

    /// Type of values of `lane`.
    pub(crate) fn ty(self, lane: Lane) -> Type {
        match (self.is_vector(), lane) {
            (false, _) => scalar_type(lane),
            (true, Lane::F32) => F32X4,
            (true, Lane::F64) => F64X2,
            (true, Lane::I32) => I32X4,
            (true, Lane::I64) => I64X2,
            (true, Lane::Mask) if self.width == 4 => I32X4,
            (true, Lane::Mask) => I64X2,
        }
    }

    /// Type of vectors of integers as wide as these lanes, and of one of them.
    fn ints(self) -> (Type, Type) {
        if self.width == 4 { (I32X4, I32) } else { (I64X2, I64) }
    }
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

#[cold]
fn ill_typed(what: impl std::fmt::Debug) -> ! {
    panic!("internal error: {what:?} on a lane that `Body::push` refuses")
}

impl Gen<'_> {
    /// The bit pattern `bits` in every lane.
    pub(crate) fn constant(&mut self, shape: Shape, lane: Lane, bits: u64) -> Value {
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
        let ty = shape.ty(lane);
        if row == [0; 16] || row == [0xff; 16] {
            // Made by one instruction from nothing.
            let handle = self.b.func.dfg.constants.insert(row.to_vec().into());
            return self.b.ins().vconst(ty, handle);
        }
        self.table_row(ty, row)
    }

    /// A scalar of `lane` in every lane.
    pub(crate) fn splat(&mut self, shape: Shape, lane: Lane, scalar: Value) -> Value {
        if !shape.is_vector() {
            return scalar;
        }
        let scalar = self.lane_from_scalar(shape, lane, scalar);
        self.b.ins().splat(shape.ty(lane), scalar)
    }

    /// The scalar as an element of a vector: masks widen.
    pub(crate) fn lane_from_scalar(&mut self, shape: Shape, lane: Lane, scalar: Value) -> Value {
        if lane != Lane::Mask {
            return scalar;
        }
        self.b.ins().bmask(shape.ints().1, scalar)
    }

    /// Lane `j` of a vector as a scalar.
    pub(crate) fn extract(&mut self, shape: Shape, lane: Lane, vector: Value, j: usize) -> Value {
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

    /// The same bits as another type of the same size.
    pub(crate) fn cast_bits(&mut self, ty: Type, value: Value) -> Value {
        if self.b.func.dfg.value_type(value) == ty {
            return value;
        }
        self.b.ins().bitcast(ty, bitcast_flags(), value)
    }

    pub(crate) fn unary(&mut self, shape: Shape, op: UnaryInst, lane: Lane, a: Value) -> Value {
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

    pub(crate) fn binary(
        &mut self,
        shape: Shape,
        op: BinaryInst,
        lane: Lane,
        a: Value,
        b: Value,
    ) -> Value {
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

    /// `a · b + c`: rounded once where the processor can.
    pub(crate) fn multiply_add(&mut self, lane: Lane, a: Value, b: Value, c: Value) -> Value {
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

    pub(crate) fn shift(&mut self, op: ShiftInst, a: Value, by: u8) -> Value {
        let by = self.b.ins().iconst(I32, i64::from(by));
        match op {
            ShiftInst::Shl => self.b.ins().ishl(a, by),
            ShiftInst::Shr => self.b.ins().ushr(a, by),
            ShiftInst::Sar => self.b.ins().sshr(a, by),
        }
    }

    /// See Note [No less-than].
    pub(crate) fn compare(
        &mut self,
        shape: Shape,
        op: CompareInst,
        lane: Lane,
        a: Value,
        b: Value,
    ) -> Value {
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
        debug_assert_eq!(self.b.func.dfg.value_type(mask), shape.ty(Lane::Mask));
        mask
    }

    /// `mask ? a : b`, moving bits.
    pub(crate) fn select(
        &mut self,
        shape: Shape,
        lane: Lane,
        mask: Value,
        a: Value,
        b: Value,
    ) -> Value {
        if !shape.is_vector() {
            return self.b.ins().select(mask, a, b);
        }
        let mask = self.cast_bits(shape.ty(lane), mask);
        self.b.ins().bitselect(mask, a, b)
    }

    /// Conversion by value.
    pub(crate) fn convert(&mut self, shape: Shape, from: Lane, to: Lane, a: Value) -> Value {
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
                self.cast_bits(shape.ty(to), bits)
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
                    self.b.ins().fcvt_to_sint_sat(shape.ty(to), a)
                } else {
                    self.b.ins().fcvt_from_sint(shape.ty(to), a)
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
            None if j == 0 => self.b.ins().scalar_to_vector(shape.ty(lane), element),
            None => {
                let zero = self.constant(shape, lane, 0);
                self.b.ins().insertlane(zero, element, j as u8)
            }
        }
    }

    /// Four bytes, `u8` or `bool`, as four lanes of 32 bits.
    pub(crate) fn widen_bytes(&mut self, four: Value) -> Value {
        let vector = self.b.ins().scalar_to_vector(I32X4, four);
        let bytes = self.cast_bits(I8X16, vector);
        let words = self.b.ins().uwiden_low(bytes);
        self.b.ins().uwiden_low(words)
    }

    /// The low bytes of four lanes of 32 bits, as one integer.
    pub(crate) fn narrow_bytes(&mut self, lanes: Value, mask: u64) -> Value {
        let mask = self.constant(Shape::vector(4), Lane::I32, mask);
        let low = self.b.ins().band(lanes, mask);
        let words = self.b.ins().snarrow(low, low);
        debug_assert_eq!(self.b.func.dfg.value_type(words), I16X8);
        let bytes = self.b.ins().unarrow(words, words);
        let ints = self.cast_bits(I32X4, bytes);
        self.b.ins().extractlane(ints, 0)
    }
}

pub(crate) fn f32_bits(value: f32) -> u64 {
    u64::from(value.to_bits())
}
