//! Folds: combining values in a fixed order.

use crate::emit::func::Gen;
use crate::emit::inst::{Shape, bitcast_flags, f32_bits};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::I8X16;
use cranelift_codegen::ir::{InstBuilder, Value};
use eggrad_body::{BinaryInst, Lane};
use eggrad_schedule::{FOLD_LANES, FoldOp};

/// Bits of the value a fold starts from.
pub(crate) fn identity(op: FoldOp, lane: Lane) -> u64 {
    let number = |f32: f32, f64: f64, i32: i32, i64: i64| match lane {
        Lane::F32 => f32_bits(f32),
        Lane::F64 => f64.to_bits(),
        Lane::I32 => u64::from(i32 as u32),
        Lane::I64 => i64 as u64,
        Lane::Mask => panic!("internal error: a fold of masks"),
    };
    match op {
        FoldOp::Sum => number(0.0, 0.0, 0, 0),
        FoldOp::Prod => number(1.0, 1.0, 1, 1),
        FoldOp::Max => number(f32::NEG_INFINITY, f64::NEG_INFINITY, i32::MIN, i64::MIN),
        FoldOp::Min => number(f32::INFINITY, f64::INFINITY, i32::MAX, i64::MAX),
    }
}

impl Gen<'_> {
    /// The accumulator after it has taken `x`.
    pub(crate) fn combine(
        &mut self,
        shape: Shape,
        op: FoldOp,
        lane: Lane,
        acc: Value,
        x: Value,
    ) -> Value {
        let extreme = |g: &mut Self, op: BinaryInst, keeps_acc: FloatCC| {
            if !lane.is_float() {
                return g.binary(shape, op, lane, acc, x);
            }
            // Unordered compares hold for NaN on either side: the first keeps a NaN accumulator, the second lets a
            // NaN element win.
            let keep = g.b.ins().fcmp(keeps_acc, acc, x);
            let best = g.select(shape, lane, keep, acc, x);
            let nan = g.b.ins().fcmp(FloatCC::Unordered, x, x);
            g.select(shape, lane, nan, x, best)
        };
        match op {
            FoldOp::Sum => self.binary(shape, BinaryInst::Add, lane, acc, x),
            FoldOp::Prod => self.binary(shape, BinaryInst::Mul, lane, acc, x),
            FoldOp::Max => extreme(self, BinaryInst::Max, FloatCC::UnorderedOrGreaterThan),
            FoldOp::Min => extreme(self, BinaryInst::Min, FloatCC::UnorderedOrLessThan),
        }
    }

    /// The accumulator after the first `lanes` of its lanes have taken those of `x`.
    pub(crate) fn combine_some(
        &mut self,
        shape: Shape,
        (op, lane): (FoldOp, Lane),
        acc: Value,
        x: Value,
        lanes: usize,
    ) -> Value {
        let all = self.combine(shape, op, lane, acc, x);
        if lanes == shape.lanes {
            return all;
        }
        let mask = self.lanes_const(shape, Lane::Mask, |j| if j < lanes { u64::MAX } else { 0 });
        self.select(shape, lane, mask, all, acc)
    }

    /// Combines [`FOLD_LANES`] virtual lanes, in vectors or one by one, pairwise down to a scalar.
    pub(crate) fn tree(
        &mut self,
        shape: Shape,
        (op, lane): (FoldOp, Lane),
        lanes: &[Value],
    ) -> Value {
        assert_eq!(lanes.len() * shape.lanes, FOLD_LANES, "internal error: virtual lanes");
        let mut lanes = lanes.to_vec();
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            for (acc, x) in lanes.iter_mut().zip(upper) {
                *acc = self.combine(shape, op, lane, *acc, x);
            }
        }
        let mut vector = lanes[0];
        let mut half = shape.lanes / 2;
        while half > 0 {
            let upper = self.lanes_from(shape, lane, vector, half);
            vector = self.combine(shape, op, lane, vector, upper);
            half /= 2;
        }
        self.extract(shape, lane, vector, 0)
    }

    /// The vector whose first lanes are those of `vector` from `first` on.
    fn lanes_from(&mut self, shape: Shape, lane: Lane, vector: Value, first: usize) -> Value {
        let from = |byte: usize| ((byte + first * shape.width) % 16) as u8;
        let pattern: Vec<u8> = (0..16).map(from).collect();
        let pattern = self.b.func.dfg.immediates.push(pattern.into());
        let bytes = self.b.ins().bitcast(I8X16, bitcast_flags(), vector);
        let moved = self.b.ins().shuffle(bytes, bytes, pattern);
        self.b.ins().bitcast(shape.ty(lane), bitcast_flags(), moved)
    }
}
