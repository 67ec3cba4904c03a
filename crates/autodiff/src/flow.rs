//! Through which operands a derivative can flow.

use eggrad_ir::{BinaryOp, MarkOp, Op, UnaryOp};

/// Whether the result of `op` has a derivative, perhaps zero at some points, with respect to operand `operand`. A
/// `grad` has one: its result is a derivative that depends on what it was taken of.
pub(crate) fn carries(op: &Op, operand: usize) -> bool {
    match op {
        Op::Input(_) | Op::State(_) | Op::Const(..) | Op::Data(_) | Op::Iota { .. } => false,
        Op::Size { .. } | Op::Compare(_) | Op::OneHot { .. } => false,
        Op::Unary(op) => match op {
            UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Not => false,
            UnaryOp::Neg
            | UnaryOp::Abs
            | UnaryOp::Square
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Recip
            | UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Exp2
            | UnaryOp::Log2
            | UnaryOp::Log1mexp
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Erf
            | UnaryOp::Erfc
            | UnaryOp::LogErfc
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus
            | UnaryOp::Relu => true,
        },
        Op::Binary(op) => match op {
            BinaryOp::And | BinaryOp::Or => false,
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy
            | BinaryOp::Maximum
            | BinaryOp::Minimum => true,
        },
        Op::Select => operand != 0,
        Op::Cast(to) => to.is_float(),
        Op::Mark(op) => match op {
            MarkOp::Keep => true,
            MarkOp::StopGradient => false,
        },
        Op::Gather { .. } => operand == 0,
        Op::ScatterAdd { .. } => operand == 1,
        Op::Move(_)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Grad => true,
    }
}
