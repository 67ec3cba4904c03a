//! Logarithms.

use super::Format;
use crate::inst::{Body, Lane, Value};

/// `(log(1 + f) - f)/f²` for `-1/4 <= f <= 1/2`; relative error of `log(1 + f)` below 2^-27.4.
const LOG_SINGLE: [f64; 9] = [
    -0.5,
    0.333_334_54,
    -0.250_000_66,
    0.199_906_33,
    -0.166_478_14,
    0.144_821_44,
    -0.131_625_85,
    0.104_495_56,
    -0.044_921_152,
];

/// `(2 atanh(s) - 2s)/s³` in `s²` for `|s| <= (√2 - 1)/(√2 + 1)`; relative error of `log` below 2^-58.8.
const LOG_DOUBLE: [f64; 7] = [
    0.666_666_666_666_673_4,
    0.399_999_999_994_139_8,
    0.285_714_287_425_596,
    0.222_221_985_539_681_8,
    0.181_835_654_001_678_48,
    0.153_140_212_641_887_54,
    0.147_962_599_011_551_15,
];

/// `ln 2` split so that any exponent times the high part is exact.
const LN2_SINGLE: (f64, f64) = (0.693_145_751_953_125, 1.428_606_765_330_187e-6);
const LN2_DOUBLE: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);

/// A positive number `2^e m` with `m` in `[pivot, 2 pivot)`.
pub(super) struct Parts {
    /// Its bits moved so that the exponent field steps at `pivot` and holds `e + bias`.
    moved: Value,
    /// `e` as a float.
    e: Value,
}

impl Body {
    /// Natural logarithm.
    ///
    /// `e ln 2 + log(1 + f)` with `x = 2^e (1 + f)` and `f` from -1/4 to 1/2 (`F32`) or `√½ - 1` to `√2 - 1` (`F64`).
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `log(±0) = -inf`, NaN below 0.
    /// # Source
    /// Muller, *Elementary Functions*, 3rd ed., section 11.4; `F64` by `2 atanh(f/(2 + f))`, as in fdlibm's `e_log.c`.
    pub fn log(&mut self, x: Value) -> Value {
        let parts = self.parts(x);
        let f = self.fraction(x, &parts, self.pivot_bits(x));
        let y = self.log_of_parts(parts.e, f);
        self.log_edges(y, x)
    }

    /// `log(1 + x)` without cancellation near 0.
    ///
    /// `e` is that of `1 + x` rounded, but `f = 2^-e x + (2^-e - 1)` is taken from `x`, rounded once.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `log1p(-0) = -0`, `log1p(-1) = -inf`, NaN below -1.
    pub fn log1p(&mut self, x: Value) -> Value {
        let one = self.like(x, 1.0);
        let u = self.add(x, one);
        let parts = self.parts(u);
        // Four times 2^-e, because e reaches 128 and 2^-128 is not normal.
        let scale = self.inverse_scale(&parts, x, 2);
        let (quarter, minus_one) = (self.like(x, 0.25), self.like(x, -1.0));
        let base = self.fma(scale, quarter, minus_one);
        let x4 = self.mul(x, quarter);
        let f = self.fma(x4, scale, base);
        let y = self.log_of_parts(parts.e, f);
        let y = self.identity_at_zero(y, x);
        self.log_edges(y, u)
    }

    /// `log(1 - e^x)` for `x <= 0`.
    ///
    /// The logarithm of `-expm1(x)` above `-ln 2` and `log1p(-e^x)` below, from one range reduction.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `log1mexp(±0) = -inf`, NaN above 0, -0 where `e^x` is not normal.
    /// # Source
    /// Mächler, *Accurately computing log(1 - exp(-|a|))*, 2012.
    pub fn log1mexp(&mut self, x: Value) -> Value {
        let format = self.format(x);
        let split = self.split_exp(x, format.bias);
        let scale = self.scale(&split, format);
        let (zero, one) = (self.like(x, 0.0), self.like(x, 1.0));
        let minus_q = self.neg(split.q);
        let minus_scale = self.neg(scale);
        let rest = self.sub(one, scale);
        let u = self.fma(minus_q, scale, rest);
        let minus_w = self.fma(minus_q, scale, minus_scale);

        let middle = self.like(x, -std::f64::consts::LN_2);
        let low = self.le(x, middle);
        let y = self.log_of_either(low, minus_w, u);

        let (low, minus_zero) = (self.like(x, format.exp_low), self.like(x, -0.0));
        let vanishes = self.lt(x, low);
        let y = self.select(vanishes, minus_zero, y);
        let (nan, minus_inf) = (self.like(x, f64::NAN), self.like(x, f64::NEG_INFINITY));
        let at_zero = self.eq(x, zero);
        let edge = self.select(at_zero, minus_inf, nan);
        let inside = self.lt(x, zero);
        self.select(inside, y, edge)
    }

    /// `log(1 + v)` where `shifted`, `log(u)` elsewhere; both positive and finite.
    pub(super) fn log_of_either(&mut self, shifted: Value, v: Value, u: Value) -> Value {
        let (one, minus_one) = (self.like(u, 1.0), self.like(u, -1.0));
        let sum = self.add(v, one);
        let whole = self.select(shifted, sum, u);
        let parts = self.parts(whole);
        let inverse = self.inverse_scale(&parts, u, 0);
        let shifted_base = self.add(inverse, minus_one);
        let argument = self.select(shifted, v, u);
        let base = self.select(shifted, shifted_base, minus_one);
        let f = self.fma(argument, inverse, base);
        self.log_of_parts(parts.e, f)
    }

    /// `log(1 + w)` for `0 <= w <= 1`.
    pub(super) fn log1p_unit(&mut self, w: Value) -> Value {
        let pivot = 2.0 * self.pivot(w) - 1.0;
        let (pivot, zero) = (self.like(w, pivot), self.like(w, 0.0));
        let (half, minus_half) = (self.like(w, 0.5), self.like(w, -0.5));
        let one = self.like(w, 1.0);
        let large = self.gt(w, pivot);
        let halved = self.fma(w, half, minus_half);
        let f = self.select(large, halved, w);
        let e = self.select(large, one, zero);
        self.log_of_parts(e, f)
    }

    /// `e ln 2 + log(1 + f)`.
    fn log_of_parts(&mut self, e: Value, f: Value) -> Value {
        let single = self.lane(f) == Lane::F32;
        let ln2 = if single { LN2_SINGLE } else { LN2_DOUBLE };
        let (high, low) = (self.like(f, ln2.0), self.like(f, ln2.1));
        let small = self.mul(e, low);
        let square = self.mul(f, f);
        let rest = if single {
            let p = self.polynomial(f, &LOG_SINGLE);
            self.fma(square, p, small)
        } else {
            let (half_square, s, inner) = self.log1p_terms(f, square);
            let rest = self.fma(s, inner, small);
            self.sub(rest, half_square)
        };
        let tail = self.add(f, rest);
        self.fma(e, high, tail)
    }

    /// `f - log(1 + f)` of an `F64`, given `f²`.
    pub(super) fn minus_log1p_rest(&mut self, f: Value, square: Value) -> Value {
        let (half_square, s, inner) = self.log1p_terms(f, square);
        self.fnma(s, inner, half_square)
    }

    /// `h = f²/2`, `s` and `t` such that `log(1 + f) = f - h + s t`, in `F64`.
    fn log1p_terms(&mut self, f: Value, square: Value) -> (Value, Value, Value) {
        let (half, two) = (self.like(f, 0.5), self.like(f, 2.0));
        let half_square = self.mul(half, square);
        let divisor = self.add(f, two);
        let s = self.div(f, divisor);
        let z = self.mul(s, s);
        let p = self.polynomial(z, &LOG_DOUBLE);
        (half_square, s, self.fma(z, p, half_square))
    }

    /// `e` and `f` of a positive normal number `2^e (1 + f)` with `f` from `√½ - 1` to `√2 - 1`.
    pub(super) fn exponent_and_fraction(&mut self, x: Value) -> (Value, Value) {
        let pivot = self.like_bits(x, std::f64::consts::FRAC_1_SQRT_2);
        let parts = self.parts_from(x, pivot);
        let f = self.fraction(x, &parts, pivot);
        (parts.e, f)
    }

    /// Exponent of a positive normal number.
    fn parts(&mut self, x: Value) -> Parts {
        self.parts_from(x, self.pivot_bits(x))
    }

    /// [`Body::parts`] with the pivot of bits `pivot`.
    fn parts_from(&mut self, x: Value, pivot: i64) -> Parts {
        let Format { bits, bias, .. } = self.format(x);
        let offset = (bias << bits) - pivot;
        let offset = self.int_like(x, offset);
        let raw = self.bitcast(x);
        let moved = self.add(raw, offset);
        // The exponent becomes the low bits of 2^bits, a float again without a conversion.
        let exponent = self.shr(moved, bits);
        let top = self.like(x, (1i64 << bits) as f64);
        let top = self.bitcast(top);
        let shifted = self.or(exponent, top);
        let shifted = self.bitcast(shifted);
        let base = self.like(x, ((1i64 << bits) + bias) as f64);
        Parts { moved, e: self.sub(shifted, base) }
    }

    /// `f` of `x = 2^e (1 + f)`, exactly.
    fn fraction(&mut self, x: Value, parts: &Parts, pivot: i64) -> Value {
        let field = self.int_like(x, (1 << self.format(x).bits) - 1);
        let significand = self.and(parts.moved, field);
        let pivot = self.int_like(x, pivot);
        let significand = self.add(significand, pivot);
        let m = self.bitcast(significand);
        let minus_one = self.like(x, -1.0);
        self.add(m, minus_one)
    }

    /// `2^(extra - e)`.
    fn inverse_scale(&mut self, parts: &Parts, x: Value, extra: i64) -> Value {
        let Format { bits, bias, .. } = self.format(x);
        let field = self.int_like(x, -1 << bits);
        let exponent = self.and(parts.moved, field);
        let top = self.int_like(x, (2 * bias + extra) << bits);
        let scale = self.sub(top, exponent);
        self.bitcast(scale)
    }

    /// Where one exponent ends and the next begins. With 3/4 the `f` of `log1p` is exact for all `x` but large ones;
    /// `√½` keeps `|f/(2 + f)|` small.
    fn pivot(&self, x: Value) -> f64 {
        if self.lane(x) == Lane::F32 { 0.75 } else { std::f64::consts::FRAC_1_SQRT_2 }
    }

    fn pivot_bits(&self, x: Value) -> i64 {
        self.like_bits(x, self.pivot(x))
    }

    /// Bits of a constant of the lane type of `x`.
    fn like_bits(&self, x: Value, value: f64) -> i64 {
        match self.lane(x) {
            Lane::F32 => i64::from((value as f32).to_bits()),
            _ => value.to_bits() as i64,
        }
    }

    /// `y`, the logarithm of `u`, mended where `u` is not positive and finite.
    pub(super) fn log_edges(&mut self, y: Value, u: Value) -> Value {
        let (zero, inf) = (self.like(u, 0.0), self.like(u, f64::INFINITY));
        let (nan, minus_inf) = (self.like(u, f64::NAN), self.like(u, f64::NEG_INFINITY));
        let finite = self.lt(u, inf);
        let y = self.select(finite, y, u);
        let at_zero = self.eq(u, zero);
        let edge = self.select(at_zero, minus_inf, nan);
        let positive = self.gt(u, zero);
        self.select(positive, y, edge)
    }
}
