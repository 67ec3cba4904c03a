//! Rounding to whole numbers on processors without an instruction for it, which Cranelift would do by calls.

use crate::clif::func::Gen;
use crate::clif::inst::{f32_bits, ty};
use crate::emit::{Lanes, Shape};
use cranelift_codegen::ir::{InstBuilder, Value};
use eggrad_body::{BinaryInst, CompareInst, Lane};

impl Gen<'_> {
    /// The nearest whole number, halves to the even one.
    pub(crate) fn round(&mut self, shape: Shape, lane: Lane, a: Value) -> Value {
        let r = self.nearest(shape, lane, a);
        self.settle(shape, lane, a, r)
    }

    /// The largest whole number not above.
    pub(crate) fn floor(&mut self, shape: Shape, lane: Lane, a: Value) -> Value {
        let (r, one) = (self.nearest(shape, lane, a), self.float(shape, lane, 1.0));
        let beyond = self.compare(shape, CompareInst::Gt, lane, r, a);
        let below = self.binary(shape, BinaryInst::Sub, lane, r, one);
        let r = self.select(shape, lane, beyond, below, r);
        self.settle(shape, lane, a, r)
    }

    /// The smallest whole number not below.
    pub(crate) fn ceil(&mut self, shape: Shape, lane: Lane, a: Value) -> Value {
        let (r, one) = (self.nearest(shape, lane, a), self.float(shape, lane, 1.0));
        let beyond = self.compare(shape, CompareInst::Lt, lane, r, a);
        let above = self.binary(shape, BinaryInst::Add, lane, r, one);
        let r = self.select(shape, lane, beyond, above, r);
        self.settle(shape, lane, a, r)
    }

    /// Adding a number so large that its neighbours are whole rounds; right where `a` is smaller than that.
    fn nearest(&mut self, shape: Shape, lane: Lane, a: Value) -> Value {
        let large = self.large(shape, lane);
        let large = self.with_sign(shape, lane, large, a);
        let sum = self.binary(shape, BinaryInst::Add, lane, a, large);
        self.binary(shape, BinaryInst::Sub, lane, sum, large)
    }

    /// `r` with the sign of `a`, or `a` where it is whole anyway, infinite or NaN.
    fn settle(&mut self, shape: Shape, lane: Lane, a: Value, r: Value) -> Value {
        let size = self.b.ins().fabs(a);
        let large = self.large(shape, lane);
        let small = self.compare(shape, CompareInst::Lt, lane, size, large);
        let r = self.b.ins().fabs(r);
        let r = self.with_sign(shape, lane, r, a);
        self.select(shape, lane, small, r, a)
    }

    /// `size`, which is not negative, with the sign of `a`. Cranelift's own has no vectors.
    fn with_sign(&mut self, shape: Shape, lane: Lane, size: Value, a: Value) -> Value {
        let ints = lane.bits_lane();
        let sign = if lane == Lane::F32 { 1 << 31 } else { 1 << 63 };
        let sign = self.constant(shape, ints, sign);
        let (size, a) = (self.cast_bits(ty(shape, ints), size), self.cast_bits(ty(shape, ints), a));
        let sign = self.binary(shape, BinaryInst::And, ints, a, sign);
        let bits = self.binary(shape, BinaryInst::Or, ints, size, sign);
        self.cast_bits(ty(shape, lane), bits)
    }

    /// From here on every float is whole.
    fn large(&mut self, shape: Shape, lane: Lane) -> Value {
        self.float(
            shape,
            lane,
            if lane == Lane::F32 { 8_388_608.0 } else { 4_503_599_627_370_496.0 },
        )
    }

    fn float(&mut self, shape: Shape, lane: Lane, value: f64) -> Value {
        let bits = if lane == Lane::F32 { f32_bits(value as f32) } else { value.to_bits() };
        self.constant(shape, lane, bits)
    }
}
