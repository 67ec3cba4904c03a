//! Short names for pushing instructions.

use crate::inst::{BinaryInst, Body, CompareInst, Inst, Lane, ShiftInst, UnaryInst, Value};

/// Leaves.
impl Body {
    /// The element of access `access` at the current position.
    pub fn load(&mut self, access: u16, lane: Lane) -> Value {
        self.push(Inst::Load { access, lane })
    }

    /// The element of `access` moved by `index · stride` elements, NaN or 0 unless `0 <= index < size`.
    pub fn load_at(
        &mut self,
        access: u16,
        lane: Lane,
        index: Value,
        size: u32,
        stride: u32,
    ) -> Value {
        self.push(Inst::LoadAt { access, lane, index, size, stride })
    }

    /// Result `index` of an earlier phase.
    pub fn scalar(&mut self, index: u16, lane: Lane) -> Value {
        self.push(Inst::Scalar { index, lane })
    }

    /// Position along loop dimension `dim`, as `I32` or `I64`.
    pub fn index(&mut self, dim: u16, lane: Lane) -> Value {
        self.push(Inst::Index { dim, lane })
    }

    /// The bit pattern `bits` in every lane.
    pub fn bits(&mut self, lane: Lane, bits: u64) -> Value {
        self.push(Inst::Const { bits, lane })
    }

    /// `value` in every lane: rounded to nearest for `F32`, truncated and saturated for integers, `!= 0` for a mask.
    pub fn konst(&mut self, lane: Lane, value: f64) -> Value {
        let bits = match lane {
            Lane::F32 => u64::from((value as f32).to_bits()),
            Lane::F64 => value.to_bits(),
            Lane::I32 => u64::from(value as i32 as u32),
            Lane::I64 => value as i64 as u64,
            Lane::Mask => u64::from(value != 0.0),
        };
        self.bits(lane, bits)
    }

    /// An `F32` constant.
    pub fn f32(&mut self, value: f32) -> Value {
        self.bits(Lane::F32, u64::from(value.to_bits()))
    }

    /// An `F64` constant.
    pub fn f64(&mut self, value: f64) -> Value {
        self.bits(Lane::F64, value.to_bits())
    }

    /// An integer constant of lane `I32` (keeping the low 32 bits of `value`) or `I64`.
    ///
    /// # Panics
    /// When `lane` is not an integer lane.
    pub fn int(&mut self, lane: Lane, value: i64) -> Value {
        match lane {
            Lane::I32 => self.bits(lane, u64::from(value as u32)),
            Lane::I64 => self.bits(lane, value as u64),
            Lane::F32 | Lane::F64 | Lane::Mask => {
                panic!("internal error: integer constant of lane {lane}")
            }
        }
    }

    /// A mask constant.
    pub fn mask(&mut self, value: bool) -> Value {
        self.bits(Lane::Mask, u64::from(value))
    }
}

/// Arithmetic. Each is the instruction of that name, see [`UnaryInst`], [`BinaryInst`] and [`Inst`].
impl Body {
    /// Any one-operand instruction.
    pub fn unary(&mut self, op: UnaryInst, a: Value) -> Value {
        self.push(Inst::Unary(op, a))
    }

    /// `-a`
    pub fn neg(&mut self, a: Value) -> Value {
        self.unary(UnaryInst::Neg, a)
    }

    /// `|a|`; of `-b` or `|b|` it is that of `b`.
    pub fn abs(&mut self, mut a: Value) -> Value {
        while let Inst::Unary(UnaryInst::Neg | UnaryInst::Abs, b) = self.insts()[a.0 as usize] {
            a = b;
        }
        self.unary(UnaryInst::Abs, a)
    }

    /// Correctly rounded square root.
    pub fn sqrt(&mut self, a: Value) -> Value {
        self.unary(UnaryInst::Sqrt, a)
    }

    /// Largest whole float not above `a`.
    pub fn floor(&mut self, a: Value) -> Value {
        self.unary(UnaryInst::Floor, a)
    }

    /// Smallest whole float not below `a`.
    pub fn ceil(&mut self, a: Value) -> Value {
        self.unary(UnaryInst::Ceil, a)
    }

    /// Nearest whole float, ties to even.
    pub fn round(&mut self, a: Value) -> Value {
        self.unary(UnaryInst::Round, a)
    }

    /// Logical not of a mask.
    pub fn not(&mut self, a: Value) -> Value {
        self.unary(UnaryInst::Not, a)
    }

    /// Any two-operand instruction.
    pub fn binary(&mut self, op: BinaryInst, a: Value, b: Value) -> Value {
        self.push(Inst::Binary(op, a, b))
    }

    /// `a + b`
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Add, a, b)
    }

    /// `a - b`
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Sub, a, b)
    }

    /// `a · b`
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Mul, a, b)
    }

    /// `a / b`
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Div, a, b)
    }

    /// `if a < b { a } else { b }`: `b` when either is NaN.
    pub fn min(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Min, a, b)
    }

    /// `if a > b { a } else { b }`: `b` when either is NaN.
    pub fn max(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Max, a, b)
    }

    /// Bitwise or logical and.
    pub fn and(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::And, a, b)
    }

    /// Bitwise or logical or.
    pub fn or(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Or, a, b)
    }

    /// Bitwise or logical exclusive or.
    pub fn xor(&mut self, a: Value, b: Value) -> Value {
        self.binary(BinaryInst::Xor, a, b)
    }

    /// `a · b + c`, rounded once.
    pub fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        self.push(Inst::Fma(a, b, c))
    }

    /// `c - a · b`, rounded once: an [`Inst::Fma`] of the negated `a`.
    pub fn fnma(&mut self, a: Value, b: Value, c: Value) -> Value {
        let a = self.neg(a);
        self.fma(a, b, c)
    }

    /// `mask ? a : b`
    pub fn select(&mut self, mask: Value, a: Value, b: Value) -> Value {
        self.push(Inst::Select(mask, a, b))
    }

    /// Integer shift left by a constant.
    pub fn shl(&mut self, a: Value, by: u8) -> Value {
        self.push(Inst::Shift(ShiftInst::Shl, a, by))
    }

    /// Integer shift right by a constant, filling with zeros.
    pub fn shr(&mut self, a: Value, by: u8) -> Value {
        self.push(Inst::Shift(ShiftInst::Shr, a, by))
    }

    /// Integer shift right by a constant, filling with the sign; slow on `I64` vectors of older x86-64.
    pub fn sar(&mut self, a: Value, by: u8) -> Value {
        self.push(Inst::Shift(ShiftInst::Sar, a, by))
    }

    /// The same number in lane type `to`; no instruction when it has that type already.
    pub fn convert(&mut self, to: Lane, a: Value) -> Value {
        if self.lane(a) == to { a } else { self.push(Inst::Convert(to, a)) }
    }

    /// The same bits in the other lane type of the same width.
    pub fn bitcast(&mut self, a: Value) -> Value {
        self.push(Inst::Bitcast(a))
    }
}

/// Comparisons; masks. On an owned body write `(&mut body).eq(a, b)`: `PartialEq` takes the plain call.
impl Body {
    /// Any comparison.
    pub fn compare(&mut self, op: CompareInst, a: Value, b: Value) -> Value {
        self.push(Inst::Compare(op, a, b))
    }

    /// `a == b`
    pub fn eq(&mut self, a: Value, b: Value) -> Value {
        self.compare(CompareInst::Eq, a, b)
    }

    /// `a != b`, true when either is NaN.
    pub fn ne(&mut self, a: Value, b: Value) -> Value {
        self.compare(CompareInst::Ne, a, b)
    }

    /// `a < b`
    pub fn lt(&mut self, a: Value, b: Value) -> Value {
        self.compare(CompareInst::Lt, a, b)
    }

    /// `a <= b`
    pub fn le(&mut self, a: Value, b: Value) -> Value {
        self.compare(CompareInst::Le, a, b)
    }

    /// `a > b`
    pub fn gt(&mut self, a: Value, b: Value) -> Value {
        self.compare(CompareInst::Gt, a, b)
    }

    /// `a >= b`
    pub fn ge(&mut self, a: Value, b: Value) -> Value {
        self.compare(CompareInst::Ge, a, b)
    }

    /// Whether `a` is NaN.
    pub fn is_nan(&mut self, a: Value) -> Value {
        self.ne(a, a)
    }
}
