//! Exponentials.

use super::Format;
use crate::inst::{Body, Lane, Value};

/// `(e^r - 1 - r)/r²` for `|r| <= ln 2 / 2`; relative error of `e^r - 1` below 2^-30.2.
const EXP_SINGLE: [f64; 6] =
    [0.5, 0.166_666_66, 0.041_666_415, 0.008_333_473, 0.001_394_075_7, 0.000_198_460_39];

/// As [`EXP_SINGLE`]; relative error below 2^-59.9.
const EXP_DOUBLE: [f64; 11] = [
    0.5,
    0.166_666_666_666_666_77,
    0.041_666_666_666_666_51,
    0.008_333_333_333_321_691,
    0.001_388_888_888_896_238_3,
    0.000_198_412_698_859_645_74,
    2.480_158_717_251_434_4e-5,
    2.755_724_437_578_202e-6,
    2.755_740_266_526_755e-7,
    2.510_897_826_835_499_6e-8,
    2.087_532_196_944_322_4e-9,
];

/// Cody and Waite's split of `ln 2`: the high part has all bits, since `fma` does not round the product.
const LN2_SINGLE: (f64, f64) = (0.693_147_182_464_599_6, -1.904_654_299_957_768e-9);
const LN2_DOUBLE: (f64, f64) = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

/// `e^x = 2^n (1 + q)`.
pub(super) struct Split {
    /// `n + offset` in the low bits of an integer lane.
    shifted: Value,
    /// `e^r - 1` for the remainder `r = x - n ln 2`, at most `ln 2 / 2` in size.
    pub(super) q: Value,
}

impl Body {
    /// `e^x`.
    ///
    /// `2^n (1 + q(r))` with `n = round(x / ln 2)` and `r = x - n ln 2` in two steps; `2^n` is added to the
    /// exponent, so the smallest normal results are as exact as the others.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). Infinite above `ln(MAX)`, 0 where the result is not normal.
    /// # Source
    /// Muller, *Elementary Functions*, 3rd ed., section 11.2 (range reduction) and 3.4 (minimax).
    pub fn exp(&mut self, x: Value) -> Value {
        let Format { bits, exp_low, exp_high, .. } = self.format(x);
        let split = self.split_exp(x, 0);
        let one = self.like(x, 1.0);
        let y = self.add(split.q, one);
        let y = self.bitcast(y);
        let n = self.shl(split.shifted, bits);
        let y = self.add(y, n);
        let y = self.bitcast(y);

        let (low, high) = (self.like(x, exp_low), self.like(x, exp_high));
        let (zero, inf) = (self.like(x, 0.0), self.like(x, f64::INFINITY));
        let vanishes = self.lt(x, low);
        let y = self.select(vanishes, zero, y);
        let fits = self.le(x, high);
        let over = self.add(x, inf);
        self.select(fits, y, over)
    }

    /// `e^x - 1` without cancellation near 0.
    ///
    /// `2 (2^(n-1) q + (2^(n-1) - 1/2))` with `n` and `q` as in [`Body::exp`].
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `expm1(-0) = -0`; -1 below about -18 (`F32`).
    pub fn expm1(&mut self, x: Value) -> Value {
        let format = self.format(x);
        let low = self.like(x, -format.flat);
        let high = self.like(x, format.exp_high + 0.25);
        let clamped = self.max(low, x);
        let clamped = self.min(high, clamped);
        let split = self.split_exp(clamped, format.bias - 1);
        let half_scale = self.scale(&split, format);
        let minus_half = self.like(x, -0.5);
        let base = self.add(half_scale, minus_half);
        let half = self.fma(split.q, half_scale, base);
        let y = self.add(half, half);
        self.identity_at_zero(y, x)
    }

    /// `e^x` for `x <= 0`, in fewer steps than [`Body::exp`].
    ///
    /// # Numerics
    /// As [`Body::exp`]; without meaning above 0.
    pub fn exp_nonpositive(&mut self, x: Value) -> Value {
        let format = self.format(x);
        let split = self.split_exp(x, format.bias);
        let scale = self.scale(&split, format);
        let y = self.fma(split.q, scale, scale);
        let (low, zero) = (self.like(x, format.exp_low), self.like(x, 0.0));
        let vanishes = self.lt(x, low);
        self.select(vanishes, zero, y)
    }

    /// `e^x - 1` for `x <= 0`; zero at either zero.
    pub(super) fn expm1_nonpositive(&mut self, x: Value) -> Value {
        let format = self.format(x);
        let low = self.like(x, -format.flat);
        let clamped = self.max(low, x);
        let split = self.split_exp(clamped, format.bias);
        let scale = self.scale(&split, format);
        let minus_one = self.like(x, -1.0);
        let base = self.add(scale, minus_one);
        self.fma(split.q, scale, base)
    }

    /// Range reduction and the polynomial. `n` is rounded by adding a number so large that nothing but integers
    /// fit behind it, and found in its low bits, with `offset` added.
    pub(super) fn split_exp(&mut self, x: Value, offset: i64) -> Split {
        let format = self.format(x);
        let (ln2, coefficients): (_, &[f64]) = match self.lane(x) {
            Lane::F32 => (LN2_SINGLE, &EXP_SINGLE),
            _ => (LN2_DOUBLE, &EXP_DOUBLE),
        };
        let large = 1.5 * (1i64 << format.bits) as f64 + offset as f64;
        let large = self.like(x, large);
        let per_ln2 = self.like(x, std::f64::consts::LOG2_E);
        let shifted = self.fma(x, per_ln2, large);
        let n = self.sub(shifted, large);
        let (high, low) = (self.like(x, -ln2.0), self.like(x, -ln2.1));
        let r = self.fma(n, high, x);
        let r = self.fma(n, low, r);
        let p = self.polynomial(r, coefficients);
        let square = self.mul(r, r);
        let q = self.fma(square, p, r);
        Split { shifted: self.bitcast(shifted), q }
    }

    /// `2^(n + offset - bias)`, if that is a normal number.
    pub(super) fn scale(&mut self, split: &Split, format: Format) -> Value {
        let scale = self.shl(split.shifted, format.bits);
        self.bitcast(scale)
    }
}
