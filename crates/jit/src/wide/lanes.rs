//! What happens to lanes. Scalar code is vector code of 128 bits of which only lane 0 counts.
//!
//! With AVX-512, masks are bits of mask registers; with AVX2, lanes of ones or zeros as wide as the operands.

use crate::emit::{Lanes, Shape, ill_typed};
use crate::wide::code::{Class, Inst, Level, Op, Reg, Wide};
use eggrad_body::{BinaryInst, CompareInst, Lane, ShiftInst, UnaryInst};

/// Predicates of float comparisons: ordered and quiet, but for [`NOT_EQUAL`], which holds for NaN, and the last four.
mod predicate {
    pub(super) const EQUAL: i32 = 0x00;
    pub(super) const NOT_EQUAL: i32 = 0x04;
    pub(super) const LESS: i32 = 0x11;
    pub(super) const LESS_EQUAL: i32 = 0x12;
    pub(super) const GREATER: i32 = 0x1e;
    pub(super) const GREATER_EQUAL: i32 = 0x1d;
    pub(super) const UNORDERED: i32 = 0x03;
    pub(super) const ORDERED: i32 = 0x07;
    pub(super) const NOT_GREATER_EQUAL: i32 = 0x19;
    pub(super) const NOT_LESS_EQUAL: i32 = 0x16;
}

const NONE: Reg = Reg::NONE;

impl Wide {
    /// Bytes of a lane.
    pub(super) fn width(&self, shape: Shape, lane: Lane) -> u8 {
        match lane.bytes() {
            Some(bytes) => bytes as u8,
            None if shape.is_vector() => shape.width as u8,
            None => 4,
        }
    }

    /// How wide vectors of the shape are that have lanes of so many bytes: 16, 32 or 64 bytes as 0, 1 or 2.
    fn size(&self, shape: Shape, width: u8) -> u8 {
        match shape.is_vector() {
            // Only with AVX-512 do widths mix.
            true if self.level == Level::Avx512 && usize::from(width) < shape.width => 1,
            true => self.level.size(),
            false => 0,
        }
    }

    /// An instruction on lanes of `lane`.
    pub(super) fn inst(&self, op: Op, shape: Shape, lane: Lane, src: [Reg; 3]) -> Inst {
        let width = self.width(shape, lane);
        Inst { width, size: self.size(shape, width), src, ..Inst::new(op) }
    }

    pub(super) fn vector(&mut self, op: Op, shape: Shape, lane: Lane, src: [Reg; 3]) -> Reg {
        let inst = self.inst(op, shape, lane, src);
        self.push(Class::Vector, inst)
    }

    /// What holds masks.
    pub(super) fn mask_class(&self) -> Class {
        match self.level {
            Level::Avx2 => Class::Vector,
            Level::Avx512 => Class::Mask,
        }
    }

    fn mask_inst(&mut self, op: Op, src: [Reg; 3]) -> Reg {
        self.push(Class::Mask, Inst { src, ..Inst::new(op) })
    }

    fn compare_floats(&mut self, shape: Shape, how: i32, lane: Lane, a: Reg, b: Reg) -> Reg {
        let inst = Inst { imm: how, ..self.inst(Op::CompareF, shape, lane, [a, b, NONE]) };
        let class = self.mask_class();
        let mask = self.push(class, inst);
        self.scalar_mask(shape, lane, mask)
    }

    fn compare_ints(&mut self, shape: Shape, op: CompareInst, lane: Lane, a: Reg, b: Reg) -> Reg {
        if self.level == Level::Avx512 {
            let how = match op {
                CompareInst::Eq => 0,
                CompareInst::Lt => 1,
                CompareInst::Le => 2,
                CompareInst::Ne => 4,
                CompareInst::Ge => 5,
                CompareInst::Gt => 6,
            };
            let inst = Inst { imm: how, ..self.inst(Op::CompareI, shape, lane, [a, b, NONE]) };
            return self.push(Class::Mask, inst);
        }
        let (op, a, b, flip) = match op {
            CompareInst::Eq => (Op::EqualI, a, b, false),
            CompareInst::Ne => (Op::EqualI, a, b, true),
            CompareInst::Gt => (Op::GreaterI, a, b, false),
            CompareInst::Le => (Op::GreaterI, a, b, true),
            CompareInst::Lt => (Op::GreaterI, b, a, false),
            CompareInst::Ge => (Op::GreaterI, b, a, true),
        };
        let mask = self.vector(op, shape, lane, [a, b, NONE]);
        let mask = self.scalar_mask(shape, lane, mask);
        if flip { self.unary(shape, UnaryInst::Not, Lane::Mask, mask) } else { mask }
    }

    /// Whether the processor's own minimum or maximum with a constant keeps all bits that a select would: subnormal
    /// operands, which it flushes, are never the result.
    fn is_plain(&self, op: BinaryInst, lane: Lane, b: Reg) -> bool {
        let (Some(bits), true) = (self.infos[b.index()].bits, lane.is_float()) else {
            return false;
        };
        let (negative, size, normal) = match lane {
            Lane::F32 => {
                let x = f32::from_bits(bits as u32);
                (x.is_sign_negative(), bits << 33, x.is_normal())
            }
            _ => {
                let x = f64::from_bits(bits);
                (x.is_sign_negative(), bits << 1, x.is_normal())
            }
        };
        match op {
            BinaryInst::Max => size == 0 || normal && !negative,
            _ => size == 0 || normal && negative,
        }
    }

    /// The float bit pattern of `value`.
    fn float(&mut self, lane: Lane, value: f64) -> Reg {
        match lane {
            Lane::F64 => self.constant_bits(value.to_bits(), 8),
            _ => self.constant_bits((value as f32).to_bits().into(), 4),
        }
    }

    /// Floats to integers: the processor gives the least integer for all that do not fit, and for NaN.
    fn saturate(&mut self, shape: Shape, from: Lane, to: Lane, a: Reg, converted: Reg) -> Reg {
        let (limit, most) = match to {
            Lane::I64 => (9_223_372_036_854_775_808.0, i64::MAX as u64),
            _ => (2_147_483_648.0, i32::MAX as u64),
        };
        let limit = self.float(from, limit);
        let most = self.constant_bits(most, self.width(shape, to));
        let above = self.compare_floats(shape, predicate::GREATER_EQUAL, from, a, limit);
        let ordered = self.compare_floats(shape, predicate::ORDERED, from, a, a);
        let zero = self.constant_bits(0, self.width(shape, to));
        let result = self.select(shape, to, above, most, converted);
        self.select(shape, to, ordered, result, zero)
    }

    /// In scalar code, where lanes of all widths mix, masks in vectors have 64 bits.
    fn scalar_mask(&mut self, shape: Shape, compared: Lane, mask: Reg) -> Reg {
        if self.level == Level::Avx512 || shape.is_vector() || compared.bytes() == Some(8) {
            return mask;
        }
        self.vector(Op::I32ToI64, Shape::SCALAR, Lane::I64, [mask, NONE, NONE])
    }
}

impl Lanes for Wide {
    fn constant(&mut self, shape: Shape, lane: Lane, bits: u64) -> Reg {
        let width = self.width(shape, lane);
        if lane != Lane::Mask {
            return self.constant_bits(bits, width);
        }
        match (self.level, bits) {
            (Level::Avx512, 0) => self.mask_bits(0),
            (Level::Avx512, _) => self.first_lanes(shape, shape.lanes),
            (Level::Avx2, 0) => self.constant_bits(0, 8),
            (Level::Avx2, _) => self.constant_bits(u64::MAX, 8),
        }
    }

    fn first_lanes(&mut self, shape: Shape, count: usize) -> Reg {
        if self.level == Level::Avx512 {
            return self.mask_bits((1 << count) - 1);
        }
        let width = if shape.is_vector() { shape.width } else { 8 };
        let byte = |i: usize| if i < count * width { 0xff } else { 0 };
        self.constant_row((0..32).map(byte).collect())
    }

    fn splat(&mut self, shape: Shape, lane: Lane, scalar: Reg) -> Reg {
        if !shape.is_vector() {
            return scalar;
        }
        let ints = if shape.width == 8 { Lane::I64 } else { Lane::I32 };
        if lane != Lane::Mask {
            return self.vector(Op::Splat, shape, lane, [scalar, NONE, NONE]);
        }
        if self.level == Level::Avx2 {
            return self.vector(Op::Splat, shape, ints, [scalar, NONE, NONE]);
        }
        let ones = self.vector(Op::OnesK, shape, ints, [scalar, NONE, NONE]);
        let all = self.vector(Op::Splat, shape, ints, [ones, NONE, NONE]);
        let test = self.inst(Op::Test, shape, ints, [all, all, NONE]);
        self.push(Class::Mask, test)
    }

    fn extract(&mut self, shape: Shape, lane: Lane, vector: Reg, j: usize) -> Reg {
        if !shape.is_vector() {
            return vector;
        }
        match (lane, self.level, j) {
            (Lane::Mask, Level::Avx2, _) => {
                let moved = if j == 0 { vector } else { self.lanes_from(shape, lane, vector, j) };
                let ints = if shape.width == 8 { Lane::I64 } else { Lane::I32 };
                self.scalar_mask(Shape::SCALAR, ints, moved)
            }
            (_, _, 0) => vector,
            (Lane::Mask, Level::Avx512, _) => {
                let src = [vector, NONE, NONE];
                let inst = Inst { src, imm: j as i32, ..Inst::new(Op::ShiftRightK) };
                self.push(Class::Mask, inst)
            }
            _ => self.lanes_from(shape, lane, vector, j),
        }
    }

    fn lanes_from(&mut self, shape: Shape, lane: Lane, vector: Reg, first: usize) -> Reg {
        if self.level == Level::Avx512 {
            let inst = self.inst(Op::Align, shape, lane, [vector, vector, NONE]);
            return self.push(Class::Vector, Inst { imm: first as i32, ..inst });
        }
        let bytes = first * usize::from(self.width(shape, lane));
        let mut moved = vector;
        if bytes >= 16 {
            let inst = self.inst(Op::Quarters, shape, Lane::I32, [moved, moved, NONE]);
            moved = self.push(Class::Vector, Inst { imm: 0x01, ..inst });
        }
        let words = (bytes % 16 / 4) as i32;
        if words > 0 {
            let from = |i: i32| ((i + words) % 4) << (2 * i);
            let imm = (0..4).map(from).sum();
            let inst = self.inst(Op::Swap, shape, Lane::I32, [moved, NONE, NONE]);
            moved = self.push(Class::Vector, Inst { imm, ..inst });
        }
        moved
    }

    fn index(&mut self, shape: Shape, lane: Lane, at: Reg, along: bool) -> Reg {
        let all = if shape.is_vector() && self.level == Level::Avx512 {
            self.vector(Op::SplatG, shape, lane, [at, NONE, NONE])
        } else {
            let first = self.vector(Op::FromG, Shape::SCALAR, lane, [at, NONE, NONE]);
            self.splat(shape, lane, first)
        };
        if !along || !shape.is_vector() {
            return all;
        }
        let numbers = self.numbers(lane);
        self.vector(Op::AddI, shape, lane, [all, numbers, NONE])
    }

    fn unary(&mut self, shape: Shape, op: UnaryInst, lane: Lane, a: Reg) -> Reg {
        let sign = if self.width(shape, lane) == 4 { 1 << 31 } else { 1 << 63 };
        let one = [a, NONE, NONE];
        let mut round = |how| {
            let inst = Inst { imm: how, ..self.inst(Op::RoundF, shape, lane, one) };
            self.push(Class::Vector, inst)
        };
        match op {
            UnaryInst::Neg if lane.is_float() => {
                let sign = self.constant(shape, lane.bits_lane(), sign);
                let negated = self.vector(Op::Xor, shape, lane, [a, sign, NONE]);
                self.infos[negated.index()].negated = a;
                negated
            }
            UnaryInst::Neg => {
                let zero = self.constant(shape, lane, 0);
                self.vector(Op::SubI, shape, lane, [zero, a, NONE])
            }
            UnaryInst::Abs if lane.is_float() => {
                let rest = self.constant(shape, lane.bits_lane(), sign - 1);
                self.vector(Op::And, shape, lane, [a, rest, NONE])
            }
            UnaryInst::Abs => self.vector(Op::AbsI, shape, lane, one),
            UnaryInst::Sqrt => self.vector(Op::SqrtF, shape, lane, one),
            // The bit 8 keeps quiet about results that are not exact.
            UnaryInst::Round => round(8),
            UnaryInst::Floor => round(9),
            UnaryInst::Ceil => round(10),
            UnaryInst::Not if self.level == Level::Avx512 => self.mask_inst(Op::NotK, one),
            UnaryInst::Not => {
                let ones = self.constant_bits(u64::MAX, 8);
                self.vector(Op::Xor, shape, Lane::I32, [a, ones, NONE])
            }
        }
    }

    fn binary(&mut self, shape: Shape, op: BinaryInst, lane: Lane, a: Reg, b: Reg) -> Reg {
        let float = lane.is_float();
        let constant = |g: &Wide, r: Reg| g.infos[r.index()].bits.is_some();
        // Constants may be read from memory as second operands.
        let (x, y) = if constant(self, a) { (b, a) } else { (a, b) };
        let mask = lane == Lane::Mask && self.level == Level::Avx512;
        let lane = if lane == Lane::Mask { Lane::I32 } else { lane };
        match op {
            BinaryInst::Add if float => self.vector(Op::AddF, shape, lane, [x, y, NONE]),
            BinaryInst::Add => self.vector(Op::AddI, shape, lane, [x, y, NONE]),
            BinaryInst::Sub if float => self.vector(Op::SubF, shape, lane, [a, b, NONE]),
            BinaryInst::Sub => self.vector(Op::SubI, shape, lane, [a, b, NONE]),
            BinaryInst::Mul if float => self.vector(Op::MulF, shape, lane, [x, y, NONE]),
            BinaryInst::Mul => self.vector(Op::MulI, shape, lane, [x, y, NONE]),
            BinaryInst::Div => self.vector(Op::DivF, shape, lane, [a, b, NONE]),
            BinaryInst::Min if self.is_plain(op, lane, b) => {
                self.vector(Op::MinF, shape, lane, [a, b, NONE])
            }
            BinaryInst::Max if self.is_plain(op, lane, b) => {
                self.vector(Op::MaxF, shape, lane, [a, b, NONE])
            }
            BinaryInst::Min if !float && (lane == Lane::I32 || self.level == Level::Avx512) => {
                self.vector(Op::MinI, shape, lane, [x, y, NONE])
            }
            BinaryInst::Max if !float && (lane == Lane::I32 || self.level == Level::Avx512) => {
                self.vector(Op::MaxI, shape, lane, [x, y, NONE])
            }
            BinaryInst::Min => {
                let less = self.compare(shape, CompareInst::Lt, lane, a, b);
                self.select(shape, lane, less, a, b)
            }
            BinaryInst::Max => {
                let greater = self.compare(shape, CompareInst::Gt, lane, a, b);
                self.select(shape, lane, greater, a, b)
            }
            BinaryInst::And if mask => self.mask_inst(Op::AndK, [a, b, NONE]),
            BinaryInst::Or if mask => self.mask_inst(Op::OrK, [a, b, NONE]),
            BinaryInst::Xor if mask => self.mask_inst(Op::XorK, [a, b, NONE]),
            BinaryInst::And => self.vector(Op::And, shape, lane, [x, y, NONE]),
            BinaryInst::Or => self.vector(Op::Or, shape, lane, [x, y, NONE]),
            BinaryInst::Xor => self.vector(Op::Xor, shape, lane, [x, y, NONE]),
        }
    }

    fn multiply_add(&mut self, shape: Shape, lane: Lane, a: Reg, b: Reg, c: Reg) -> Reg {
        if !lane.is_float() {
            let product = self.binary(shape, BinaryInst::Mul, lane, a, b);
            return self.binary(shape, BinaryInst::Add, lane, product, c);
        }
        let of = |g: &Wide, r: Reg| match g.infos[r.index()].negated {
            NONE => (r, false),
            positive => (positive, true),
        };
        let ((a, flipped_a), (b, flipped_b)) = (of(self, a), of(self, b));
        let inst = self.inst(Op::Fma, shape, lane, [a, b, c]);
        self.push(Class::Vector, Inst { imm: i32::from(flipped_a != flipped_b), ..inst })
    }

    fn shift(&mut self, shape: Shape, op: ShiftInst, lane: Lane, a: Reg, by: u8) -> Reg {
        let op = match op {
            ShiftInst::Shl => Op::Shl,
            ShiftInst::Shr => Op::Shr,
            ShiftInst::Sar => Op::Sar,
        };
        let inst = self.inst(op, shape, lane, [a, NONE, NONE]);
        self.push(Class::Vector, Inst { imm: by.into(), ..inst })
    }

    fn compare(&mut self, shape: Shape, op: CompareInst, lane: Lane, a: Reg, b: Reg) -> Reg {
        if !lane.is_float() {
            return self.compare_ints(shape, op, lane, a, b);
        }
        let how = match op {
            CompareInst::Eq => predicate::EQUAL,
            CompareInst::Ne => predicate::NOT_EQUAL,
            CompareInst::Lt => predicate::LESS,
            CompareInst::Le => predicate::LESS_EQUAL,
            CompareInst::Gt => predicate::GREATER,
            CompareInst::Ge => predicate::GREATER_EQUAL,
        };
        self.compare_floats(shape, how, lane, a, b)
    }

    fn select(&mut self, shape: Shape, lane: Lane, mask: Reg, a: Reg, b: Reg) -> Reg {
        if self.level == Level::Avx2 {
            return self.vector(Op::BlendV, shape, lane, [b, a, mask]);
        }
        if lane == Lane::Mask {
            let left = self.mask_inst(Op::AndK, [mask, a, NONE]);
            let right = self.mask_inst(Op::AndNotK, [mask, b, NONE]);
            return self.mask_inst(Op::OrK, [left, right, NONE]);
        }
        self.vector(Op::Blend, shape, lane, [b, a, mask])
    }

    fn convert(&mut self, shape: Shape, from: Lane, to: Lane, a: Reg) -> Reg {
        if from == to {
            return a;
        }
        // The wider one says how wide the instruction is.
        let lane = if from.bytes() > to.bytes() { from } else { to };
        let mut plain = |op| self.vector(op, shape, lane, [a, NONE, NONE]);
        match (from, to) {
            (_, Lane::Mask) => {
                let zero = self.constant(shape, from, 0);
                self.compare(shape, CompareInst::Ne, from, a, zero)
            }
            (Lane::Mask, _) => {
                let one = match to {
                    Lane::F32 => u64::from(1f32.to_bits()),
                    Lane::F64 => 1f64.to_bits(),
                    Lane::I32 | Lane::I64 | Lane::Mask => 1,
                };
                let width = self.width(shape, to);
                let (one, zero) = (self.constant_bits(one, width), self.constant_bits(0, width));
                self.select(shape, to, a, one, zero)
            }
            (Lane::I32, Lane::F32) => plain(Op::I32ToF32),
            (Lane::I32, Lane::F64) => plain(Op::I32ToF64),
            (Lane::I64, Lane::F32) => plain(Op::I64ToF32),
            (Lane::I64, Lane::F64) => plain(Op::I64ToF64),
            (Lane::F32, Lane::F64) => plain(Op::F32ToF64),
            (Lane::F64, Lane::F32) => plain(Op::F64ToF32),
            (Lane::I32, Lane::I64) => plain(Op::I32ToI64),
            // The low half of lane 0 lies first.
            (Lane::I64, Lane::I32) if !shape.is_vector() => a,
            (Lane::I64, Lane::I32) => plain(Op::I64ToI32),
            (Lane::F32, Lane::I32) => {
                let converted = plain(Op::F32ToI32);
                self.saturate(shape, from, to, a, converted)
            }
            (Lane::F32, Lane::I64) => {
                let converted = plain(Op::F32ToI64);
                self.saturate(shape, from, to, a, converted)
            }
            (Lane::F64, Lane::I32) => {
                let converted = plain(Op::F64ToI32);
                self.saturate(shape, from, to, a, converted)
            }
            (Lane::F64, Lane::I64) => {
                let converted = plain(Op::F64ToI64);
                self.saturate(shape, from, to, a, converted)
            }
            (Lane::F32, Lane::F32)
            | (Lane::F64, Lane::F64)
            | (Lane::I32, Lane::I32)
            | (Lane::I64, Lane::I64) => ill_typed(from),
        }
    }

    fn bitcast(&mut self, _: Shape, _: Lane, a: Reg) -> Reg {
        a
    }

    fn extreme(&mut self, shape: Shape, largest: bool, lane: Lane, acc: Reg, x: Reg) -> Reg {
        // Holds for NaN on either side.
        let how = match largest {
            true => predicate::NOT_LESS_EQUAL,
            false => predicate::NOT_GREATER_EQUAL,
        };
        let keep = self.compare_floats(shape, how, lane, acc, x);
        if self.level == Level::Avx512 {
            // Not for a NaN element.
            let inst = Inst {
                imm: predicate::ORDERED,
                mask: keep,
                ..self.inst(Op::CompareF, shape, lane, [x, x, NONE])
            };
            let keep = self.push(Class::Mask, inst);
            return self.select(shape, lane, keep, acc, x);
        }
        let best = self.select(shape, lane, keep, acc, x);
        let nan = self.compare_floats(shape, predicate::UNORDERED, lane, x, x);
        self.select(shape, lane, nan, x, best)
    }
}
