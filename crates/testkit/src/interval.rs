//! Bounds of random nodes, so that random graphs stay in their ops' domains and well conditioned.

use eggrad_interp::scalar::{binary_float, unary_float};
use eggrad_ir::{BinaryOp, UnaryOp};
use std::f64::consts::PI;

/// Every element lies between `low` and `high`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    pub(crate) fn new(low: f64, high: f64) -> Interval {
        Interval { low, high }
    }

    pub(crate) fn symmetric(size: f64) -> Interval {
        Interval { low: -size, high: size }
    }

    /// Largest magnitude.
    pub(crate) fn size(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    pub(crate) fn width(self) -> f64 {
        self.high - self.low
    }

    pub(crate) fn hull(self, other: Interval) -> Interval {
        Interval { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn of(ends: &[f64]) -> Interval {
        Interval {
            low: ends.iter().copied().fold(f64::INFINITY, f64::min),
            high: ends.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    pub(crate) fn unary(self, op: UnaryOp) -> Interval {
        let ends = Interval::of(&[unary_float(op, self.low), unary_float(op, self.high)]);
        match op {
            UnaryOp::Abs | UnaryOp::Square if self.low < 0.0 && self.high > 0.0 => {
                Interval::new(0.0, ends.high)
            }
            UnaryOp::Sign | UnaryOp::Sin | UnaryOp::Cos => Interval::symmetric(1.0),
            // All others are monotone where they are used.
            UnaryOp::Abs
            | UnaryOp::Square
            | UnaryOp::Neg
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
            | UnaryOp::Tan
            | UnaryOp::Erf
            | UnaryOp::Erfc
            | UnaryOp::LogErfc
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus
            | UnaryOp::Relu
            | UnaryOp::Not => ends,
        }
    }

    pub(crate) fn binary(self, op: BinaryOp, other: Interval) -> Interval {
        let (a, b) = (self, other);
        match op {
            BinaryOp::Add => Interval::new(a.low + b.low, a.high + b.high),
            BinaryOp::Sub => Interval::new(a.low - b.high, a.high - b.low),
            BinaryOp::Mul => {
                Interval::of(&[a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
            }
            BinaryOp::Div => {
                Interval::of(&[a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high])
            }
            BinaryOp::Pow => {
                let at = |a, b| binary_float(op, a, b);
                Interval::of(&[
                    at(a.low, b.low),
                    at(a.low, b.high),
                    at(a.high, b.low),
                    at(a.high, b.high),
                ])
            }
            // Of a divisor above 0.
            BinaryOp::Mod => Interval::new(0.0, b.high),
            BinaryOp::Atan2 => Interval::symmetric(PI),
            BinaryOp::LogAddExp => {
                Interval::new(binary_float(op, a.low, b.low), binary_float(op, a.high, b.high))
            }
            BinaryOp::Xlogy => self.binary(BinaryOp::Mul, Interval::new(b.low.ln(), b.high.ln())),
            BinaryOp::Maximum => Interval::new(a.low.max(b.low), a.high.max(b.high)),
            BinaryOp::Minimum => Interval::new(a.low.min(b.low), a.high.min(b.high)),
            BinaryOp::And | BinaryOp::Or => Interval::new(0.0, 1.0),
        }
    }
}
