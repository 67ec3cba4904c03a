//! Derivatives of elementwise ops. A Jacobian that is diagonal is its own transpose, so the same factor serves both
//! directions.

use crate::special;
use eggrad_ir::{BinaryOp, Builder, CompareOp, NodeId, UnaryOp};
use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LOG2_E};

/// `f'(x) · d` for `y = f(x)`.
pub(crate) fn unary(b: &mut Builder, op: UnaryOp, x: NodeId, y: NodeId, d: NodeId) -> NodeId {
    match op {
        UnaryOp::Neg => b.neg(d),
        UnaryOp::Abs => {
            let sign = b.unary(UnaryOp::Sign, x);
            b.mul(d, sign)
        }
        UnaryOp::Square => {
            let two = b.full_like(x, 2.0);
            let slope = b.mul(two, x);
            b.mul(d, slope)
        }
        UnaryOp::Sqrt => {
            let two = b.full_like(y, 2.0);
            let twice = b.mul(two, y);
            b.div(d, twice)
        }
        UnaryOp::Rsqrt => {
            let half = b.full_like(y, -0.5);
            let scaled = b.mul(half, y);
            let slope = b.div(scaled, x);
            b.mul(d, slope)
        }
        UnaryOp::Recip => {
            let square = b.unary(UnaryOp::Square, y);
            let slope = b.neg(square);
            b.mul(d, slope)
        }
        UnaryOp::Exp => b.mul(d, y),
        UnaryOp::Expm1 => {
            let one = b.full_like(y, 1.0);
            let slope = b.add(y, one);
            b.mul(d, slope)
        }
        UnaryOp::Log => b.div(d, x),
        UnaryOp::Log1p => {
            let one = b.full_like(x, 1.0);
            let shifted = b.add(one, x);
            b.div(d, shifted)
        }
        UnaryOp::Exp2 => {
            let scale = b.full_like(y, LN_2);
            let slope = b.mul(scale, y);
            b.mul(d, slope)
        }
        UnaryOp::Log2 => {
            let scale = b.full_like(x, LOG2_E);
            let slope = b.div(scale, x);
            b.mul(d, slope)
        }
        UnaryOp::Log1mexp => {
            // -1/expm1(-x), written so that nothing overflows where it is small.
            let exp = b.unary(UnaryOp::Exp, x);
            let rest = b.unary(UnaryOp::Expm1, x);
            let slope = b.div(exp, rest);
            b.mul(d, slope)
        }
        UnaryOp::Sin => {
            let slope = b.unary(UnaryOp::Cos, x);
            b.mul(d, slope)
        }
        UnaryOp::Cos => {
            let sin = b.unary(UnaryOp::Sin, x);
            let slope = b.neg(sin);
            b.mul(d, slope)
        }
        UnaryOp::Tan => {
            let one = b.full_like(y, 1.0);
            let square = b.unary(UnaryOp::Square, y);
            let slope = b.add(one, square);
            b.mul(d, slope)
        }
        UnaryOp::Erf => special::bell(b, FRAC_2_SQRT_PI, x, d),
        UnaryOp::Erfc => special::bell(b, -FRAC_2_SQRT_PI, x, d),
        UnaryOp::LogErfc => {
            let slope = special::log_erfc_slope(b, x, y);
            b.mul(d, slope)
        }
        UnaryOp::Tanh => {
            let one = b.full_like(y, 1.0);
            let square = b.unary(UnaryOp::Square, y);
            let slope = b.sub(one, square);
            b.mul(d, slope)
        }
        UnaryOp::Sigmoid => {
            let one = b.full_like(y, 1.0);
            let rest = b.sub(one, y);
            let slope = b.mul(y, rest);
            b.mul(d, slope)
        }
        UnaryOp::Softplus => {
            let slope = b.unary(UnaryOp::Sigmoid, x);
            b.mul(d, slope)
        }
        UnaryOp::Relu => {
            let zero = b.full_like(x, 0.0);
            let on = b.compare(CompareOp::Gt, x, zero);
            b.select(on, d, zero)
        }
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Not => {
            panic!("internal error: `{}` has no derivative to follow", op.name())
        }
    }
}

/// `∂f/∂operand · d` for `y = f(a, c)`.
pub(crate) fn binary(
    b: &mut Builder,
    op: BinaryOp,
    [a, c]: [NodeId; 2],
    y: NodeId,
    operand: usize,
    d: NodeId,
) -> NodeId {
    let (own, other) = if operand == 0 { (a, c) } else { (c, a) };
    match op {
        BinaryOp::Add => d,
        BinaryOp::Sub if operand == 0 => d,
        BinaryOp::Sub => b.neg(d),
        BinaryOp::Mul => b.mul(d, other),
        BinaryOp::Div if operand == 0 => b.div(d, c),
        BinaryOp::Div => {
            let slope = b.div(y, c);
            let product = b.mul(d, slope);
            b.neg(product)
        }
        BinaryOp::Pow => special::pow(b, [a, c], y, operand, d),
        BinaryOp::Mod if operand == 0 => d,
        BinaryOp::Mod => {
            let quotient = b.div(a, c);
            let whole = b.unary(UnaryOp::Floor, quotient);
            let slope = b.neg(whole);
            b.mul(d, slope)
        }
        BinaryOp::Atan2 => special::atan2(b, [a, c], operand, d),
        BinaryOp::LogAddExp => {
            let lead = b.sub(own, other);
            let share = b.unary(UnaryOp::Sigmoid, lead);
            b.mul(d, share)
        }
        BinaryOp::Xlogy => special::xlogy(b, [a, c], operand, d),
        BinaryOp::Maximum => chosen(b, CompareOp::Gt, own, other, d),
        BinaryOp::Minimum => chosen(b, CompareOp::Lt, own, other, d),
        BinaryOp::And | BinaryOp::Or => {
            panic!("internal error: `{}` has no derivative to follow", op.name())
        }
    }
}

/// `d` where `wins(own, other)`, half of it at ties, else 0.
fn chosen(b: &mut Builder, wins: CompareOp, own: NodeId, other: NodeId, d: NodeId) -> NodeId {
    let zero = b.full_like(d, 0.0);
    let half = b.full_like(d, 0.5);
    let half = b.mul(half, d);
    let ties = b.compare(CompareOp::Eq, own, other);
    let otherwise = b.select(ties, half, zero);
    let won = b.compare(wins, own, other);
    b.select(won, d, otherwise)
}
