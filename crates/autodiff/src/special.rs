//! Derivatives of elementwise ops that need care at single points or far out.

use eggrad_ir::{BinaryOp, Builder, CompareOp, Literal, MoveOp, NodeId, Op, UnaryOp};
use std::f64::consts::FRAC_2_SQRT_PI;

/// `scale · e^(-x^2) · d`
pub(crate) fn bell(b: &mut Builder, scale: f64, x: NodeId, d: NodeId) -> NodeId {
    let square = b.unary(UnaryOp::Square, x);
    let square = b.neg(square);
    let exp = b.unary(UnaryOp::Exp, square);
    let scale = b.full_like(x, scale);
    let slope = b.mul(scale, exp);
    b.mul(d, slope)
}

/// From here on the continued fraction of [`log_erfc_slope`] is used.
const FAR: f64 = 6.0;
/// Terms of it, which at [`FAR`] leave a relative error of 2e-14.
const TERMS: u32 = 8;

/// Derivative of `y = log(erfc(x))`: `-2/sqrt(pi) · e^(-x^2 - y)`. Far out on the right the exponent is a small
/// difference of large numbers, so there it is `-2t` with `t = x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))`, Laplace's
/// continued fraction; its rest is taken to be `(x + sqrt(x^2 + 2n))/2`, as if all numerators were `n/2`.
pub(crate) fn log_erfc_slope(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let square = b.unary(UnaryOp::Square, x);
    let sum = b.add(square, y);
    let exponent = b.neg(sum);
    let exp = b.unary(UnaryOp::Exp, exponent);
    let scale = b.full_like(x, -FRAC_2_SQRT_PI);
    let near = b.mul(scale, exp);

    let bound = b.full_like(x, FAR);
    let is_far = b.compare(CompareOp::Gt, x, bound);
    let x = b.select(is_far, x, bound);
    let square = b.unary(UnaryOp::Square, x);
    let ahead = b.full_like(x, 2.0 * f64::from(TERMS + 1));
    let sum = b.add(square, ahead);
    let root = b.unary(UnaryOp::Sqrt, sum);
    let sum = b.add(x, root);
    let half = b.full_like(x, 0.5);
    let mut tail = b.mul(half, sum);
    for k in (1..=TERMS).rev() {
        let half = b.full_like(x, f64::from(k) / 2.0);
        let rest = b.div(half, tail);
        tail = b.add(x, rest);
    }
    let scale = b.full_like(x, -2.0);
    let far = b.mul(scale, tail);
    b.select(is_far, far, near)
}

/// `∂(a^c)/∂operand · d` for `y = a^c`: `c · a^(c - 1)` and `y · log(a)`, both 0 where `a = c = 0`; the latter is 0
/// wherever `y` is. A constant exponent other than 0 needs no such care.
pub(crate) fn pow(
    b: &mut Builder,
    [a, c]: [NodeId; 2],
    y: NodeId,
    operand: usize,
    d: NodeId,
) -> NodeId {
    let exponent = constant(b, c);
    let slope = if operand == 0 {
        let below = match exponent {
            Some(value) => b.full_like(c, value - 1.0),
            None => {
                let one = b.full_like(c, 1.0);
                b.sub(c, one)
            }
        };
        let power = b.binary(BinaryOp::Pow, a, below);
        b.mul(c, power)
    } else {
        b.binary(BinaryOp::Xlogy, y, a)
    };
    let slope = match exponent {
        Some(value) if value != 0.0 => slope,
        _ => {
            let zero = b.full_like(slope, 0.0);
            let base_zero = b.compare(CompareOp::Eq, a, zero);
            let exponent_zero = b.compare(CompareOp::Eq, c, zero);
            let origin = b.binary(BinaryOp::And, base_zero, exponent_zero);
            b.select(origin, zero, slope)
        }
    };
    b.mul(d, slope)
}

/// `∂atan2(a, c)/∂operand · d`: `c/(a^2 + c^2)` and `-a/(a^2 + c^2)`, 0 where both squares vanish.
pub(crate) fn atan2(b: &mut Builder, [a, c]: [NodeId; 2], operand: usize, d: NodeId) -> NodeId {
    let (a_square, c_square) = (b.unary(UnaryOp::Square, a), b.unary(UnaryOp::Square, c));
    let square = b.add(a_square, c_square);
    let part = if operand == 0 { c } else { b.neg(a) };
    let quotient = b.div(part, square);
    let zero = b.full_like(square, 0.0);
    let origin = b.compare(CompareOp::Eq, square, zero);
    let slope = b.select(origin, zero, quotient);
    b.mul(d, slope)
}

/// `∂(a · log(c))/∂operand · d`: `log(c)` and `a/c`, both 0 where `a = 0` unless `c > 0`.
pub(crate) fn xlogy(b: &mut Builder, [a, c]: [NodeId; 2], operand: usize, d: NodeId) -> NodeId {
    let slope = if operand == 0 { b.unary(UnaryOp::Log, c) } else { b.div(a, c) };
    let zero = b.full_like(slope, 0.0);
    let counts = b.compare(CompareOp::Ne, a, zero);
    let inside = b.compare(CompareOp::Gt, c, zero);
    let good = b.binary(BinaryOp::Or, counts, inside);
    let slope = b.select(good, slope, zero);
    b.mul(d, slope)
}

/// The value of `x` where it is one constant, perhaps broadcast.
fn constant(b: &Builder, x: NodeId) -> Option<f64> {
    let mut node = b.graph().node(x);
    while let Op::Move(MoveOp::Broadcast { .. } | MoveOp::Reshape(_)) = node.op {
        node = b.graph().node(node.inputs[0]);
    }
    match node.op {
        Op::Const(_, literal @ Literal::Float(_)) => Some(literal.as_f64()),
        _ => None,
    }
}
