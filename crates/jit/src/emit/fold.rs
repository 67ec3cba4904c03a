//! Folds: combining values in a fixed order.

use crate::emit::{Emitter, Shape};
use eggrad_body::{BinaryInst, Lane};
use eggrad_schedule::{FOLD_LANES, FoldOp};

/// Bits of the value a fold starts from.
pub(crate) fn identity(op: FoldOp, lane: Lane) -> u64 {
    let number = |f32: f32, f64: f64, i32: i32, i64: i64| match lane {
        Lane::F32 => u64::from(f32.to_bits()),
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

/// The accumulator after it has taken `x`.
pub(crate) fn combine<E: Emitter>(
    g: &mut E,
    shape: Shape,
    (op, lane): (FoldOp, Lane),
    acc: E::Reg,
    x: E::Reg,
) -> E::Reg {
    match op {
        FoldOp::Sum => g.binary(shape, BinaryInst::Add, lane, acc, x),
        FoldOp::Prod => g.binary(shape, BinaryInst::Mul, lane, acc, x),
        FoldOp::Max if lane.is_float() => g.extreme(shape, true, lane, acc, x),
        FoldOp::Min if lane.is_float() => g.extreme(shape, false, lane, acc, x),
        FoldOp::Max => g.binary(shape, BinaryInst::Max, lane, acc, x),
        FoldOp::Min => g.binary(shape, BinaryInst::Min, lane, acc, x),
    }
}

/// The accumulator after the first `lanes` of its lanes have taken those of `x`.
pub(crate) fn combine_some<E: Emitter>(
    g: &mut E,
    shape: Shape,
    (op, lane): (FoldOp, Lane),
    acc: E::Reg,
    x: E::Reg,
    lanes: usize,
) -> E::Reg {
    let all = combine(g, shape, (op, lane), acc, x);
    if lanes == shape.lanes {
        return all;
    }
    let mask = g.first_lanes(shape, lanes);
    g.select(shape, lane, mask, all, acc)
}

/// Combines [`FOLD_LANES`] virtual lanes, in vectors or one by one, pairwise down to a scalar.
pub(crate) fn tree<E: Emitter>(
    g: &mut E,
    shape: Shape,
    (op, lane): (FoldOp, Lane),
    lanes: &[E::Reg],
) -> E::Reg {
    assert_eq!(lanes.len() * shape.lanes, FOLD_LANES, "internal error: virtual lanes");
    let mut lanes = lanes.to_vec();
    while lanes.len() > 1 {
        let upper = lanes.split_off(lanes.len() / 2);
        for (acc, x) in lanes.iter_mut().zip(upper) {
            *acc = combine(g, shape, (op, lane), *acc, x);
        }
    }
    let mut vector = lanes[0];
    let mut half = shape.lanes / 2;
    while half > 0 {
        let upper = g.lanes_from(shape, lane, vector, half);
        vector = combine(g, shape, (op, lane), vector, upper);
        half /= 2;
    }
    g.extract(shape, lane, vector, 0)
}
