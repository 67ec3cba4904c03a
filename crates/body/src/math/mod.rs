//! The math library: functions of one or two float lanes, written as instructions.
//!
//! Every function works on `F32` and `F64` values alike and uses only instructions that exist for 128-bit and wider
//! vectors: no tables, no reciprocal estimates, no conversion between `F64` and `I64`. The exceptions are `sin`,
//! `cos`, `tan` and `pow` of `F32`, which compute in `F64`. Coefficients are minimax fits (Remez exchange on the
//! relative error of the result, in 75 digits or more), rounded to the lane.
//!
//! Subnormal operands count as zero; results that would be subnormal are zeros. NaN in gives NaN out, but for
//! `pow(NaN, 0) = pow(1, NaN) = 1` and `xlogy(0, NaN) = 0`. [`FUNCTIONS`] lists the error bounds of functions of one
//! operand that the tests hold; those of two operands state theirs.

mod activation;
mod angle;
mod binary;

mod erf;
mod erfc;
mod exp;
mod log;
mod pair;
mod pow;
mod reduce;
mod simple;
mod table;

pub use table::{FUNCTIONS, Function};

use crate::inst::{Body, Lane, Value};

/// How a float lane is laid out, and the constants that depend on its precision only.
#[derive(Clone, Copy)]
struct Format {
    /// Bits of the stored significand.
    bits: u8,
    /// What the stored exponent of 1.0 is.
    bias: i64,
    /// Arguments below it have an exponential below the smallest normal number.
    exp_low: f64,
    /// The largest argument whose exponential is finite.
    exp_high: f64,
    /// Beyond `±flat`, `exp(-|x|)` no longer moves 1.
    flat: f64,
}

const SINGLE: Format =
    Format { bits: 23, bias: 127, exp_low: -87.33654, exp_high: 88.72283, flat: 18.0 };
const DOUBLE: Format = Format {
    bits: 52,
    bias: 1023,
    exp_low: -708.396_418_532_264_1,
    exp_high: 709.782_712_893_384,
    flat: 39.0,
};

impl Body {
    /// Layout of the lane type of `x`.
    ///
    /// # Panics
    /// When `x` is not a float.
    fn format(&self, x: Value) -> Format {
        match self.lane(x) {
            Lane::F32 => SINGLE,
            Lane::F64 => DOUBLE,
            lane @ (Lane::I32 | Lane::I64 | Lane::Mask) => {
                panic!("internal error: math function of a value of lane {lane}")
            }
        }
    }

    /// A constant of the lane type of `x`.
    fn like(&mut self, x: Value, value: f64) -> Value {
        self.konst(self.lane(x), value)
    }

    /// An integer constant of the width of `x`.
    fn int_like(&mut self, x: Value, value: i64) -> Value {
        self.int(self.lane(x).bits_lane(), value)
    }

    /// `coefficients[0] + coefficients[1]·x + …` by Horner's rule.
    fn polynomial(&mut self, x: Value, coefficients: &[f64]) -> Value {
        let (last, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
        let mut sum = self.like(x, *last);
        for &c in rest.iter().rev() {
            let c = self.like(x, c);
            sum = self.fma(sum, x, c);
        }
        sum
    }

    /// `magnitude`, which is not negative, with the sign bit of `x`.
    fn with_sign(&mut self, magnitude: Value, x: Value) -> Value {
        let mask = self.like(x, -0.0);
        let mask = self.bitcast(mask);
        let x = self.bitcast(x);
        let sign = self.and(x, mask);
        let magnitude = self.bitcast(magnitude);
        let signed = self.or(magnitude, sign);
        self.bitcast(signed)
    }

    /// `y`, or `x` where `y` came out as zero: for functions that are `x` near zero, it keeps zeros' signs and the
    /// last numbers before underflow.
    fn identity_at_zero(&mut self, y: Value, x: Value) -> Value {
        let zero = self.like(x, 0.0);
        let vanished = self.eq(y, zero);
        self.select(vanished, x, y)
    }

    /// The rounded sum and what rounding took from it, exactly; NaN beside an infinite sum.
    fn two_sum(&mut self, a: Value, b: Value) -> (Value, Value) {
        let sum = self.add(a, b);
        let part = self.sub(sum, a);
        let rest = self.sub(sum, part);
        let (rest, part) = (self.sub(a, rest), self.sub(b, part));
        (sum, self.add(rest, part))
    }

    /// [`Body::two_sum`] where `a` is the larger, or zero.
    fn fast_two_sum(&mut self, a: Value, b: Value) -> (Value, Value) {
        let sum = self.add(a, b);
        let part = self.sub(sum, a);
        (sum, self.sub(b, part))
    }

    /// The rounded product and what rounding took from it, exactly; NaN beside an infinite product.
    fn two_product(&mut self, a: Value, b: Value) -> (Value, Value) {
        let product = self.mul(a, b);
        let minus = self.neg(product);
        (product, self.fma(a, b, minus))
    }
}
