//! Powers.

use super::binary::PER_LN2_DOUBLE;
use crate::inst::{Body, Lane, Value};

/// `(atanh(s)/s - 1 - s²/3)/s⁴` in `s²` for `|s| <= (√2 - 1)/(√2 + 1)`; relative error of `atanh` below 2^-80.
const ATANH: [f64; 9] = [
    0.2,
    0.142_857_142_857_141_88,
    0.111_111_111_111_453_11,
    0.090_909_090_846_230_97,
    0.076_923_083_769_120_59,
    0.066_666_202_013_633_31,
    0.058_843_374_300_958_325,
    0.052_114_427_362_187_604,
    0.055_067_245_018_064_92,
];

/// `1/3` in two parts.
const THIRD: (f64, f64) = (1.0 / 3.0, 1.850_371_707_708_594e-17);

/// From here on powers overflow, and below its negative they vanish.
const FAR: f64 = 4096.0;

impl Body {
    /// `a^b` as C's `pow`: 1 where `b = 0` or `a = 1`, whatever the other is; a negative `a` needs a whole `b`.
    ///
    /// `2^(b log2 |a|)` with the sign of odd powers. `F32` operands become `F64` inside, and the result is rounded
    /// once more; `F64` takes the logarithm and its product in two parts.
    ///
    /// # Numerics
    /// Within 0.51 units in the last place in `F32`, within 1.25 in `F64`. Results that are not normal are zeros.
    pub fn pow(&mut self, a: Value, b: Value) -> Value {
        let lane = self.lane(a);
        let (a, b) = (self.convert(Lane::F64, a), self.convert(Lane::F64, b));
        let size = self.abs(a);
        let zero = self.like(a, 0.0);
        let (log, tail) =
            if lane == Lane::F32 { (self.log2(size), zero) } else { self.log2_in_two(size) };
        let product = self.mul(b, log);
        // Beyond any exponent the lower part does not matter and may be NaN.
        let far = self.like(a, FAR);
        let product_size = self.abs(product);
        let close = self.lt(product_size, far);
        let low = if lane == Lane::F32 {
            zero
        } else {
            let minus = self.neg(product);
            let low = self.fma(b, log, minus);
            let low = self.fma(b, tail, low);
            self.select(close, low, zero)
        };
        let y = self.exp2_of(product, low);
        // Whether the exact exponent reaches the ends is told by both parts.
        let (top, bottom) = (self.like(a, 1024.0), self.like(a, -1022.0));
        let (inf, nan) = (self.like(a, f64::INFINITY), self.like(a, f64::NAN));
        let above = self.sub(product, top);
        let minus_low = self.neg(low);
        let over = self.ge(above, minus_low);
        let y = self.select(over, inf, y);
        let below = self.sub(product, bottom);
        let vanishes = self.lt(below, minus_low);
        let y = self.select(vanishes, zero, y);
        let known = self.eq(product, product);
        let y = self.select(known, y, nan);
        let y = self.power_edges(y, a, b);
        self.convert(lane, y)
    }

    /// `y = |a|^b` with its sign, mended where `a` is negative or one of the operands decides alone.
    fn power_edges(&mut self, y: Value, a: Value, b: Value) -> Value {
        let (zero, one) = (self.like(a, 0.0), self.like(a, 1.0));
        let (inf, nan) = (self.like(a, f64::INFINITY), self.like(a, f64::NAN));
        // Infinite exponents and those without a bit for 1 count as even.
        let whole_b = self.floor(b);
        let whole = self.eq(whole_b, b);
        let half = self.like(a, 0.5);
        let half_b = self.mul(b, half);
        let whole_half = self.floor(half_b);
        let uneven = self.ne(whole_half, half_b);
        let odd = self.and(whole, uneven);
        let signed = self.flipped(y, a);
        let y = self.select(odd, signed, y);

        let negative = self.lt(a, zero);
        let finite = {
            let size = self.abs(a);
            self.lt(size, inf)
        };
        let broken = self.not(whole);
        let bad = self.and(negative, broken);
        let bad = self.and(bad, finite);
        let y = self.select(bad, nan, y);

        let size = self.abs(a);
        let size_b = self.abs(b);
        let unit = self.eq(size, one);
        let endless = self.eq(size_b, inf);
        let still = self.and(unit, endless);
        let start = self.eq(b, zero);
        let base = self.eq(a, one);
        let flat = self.or(start, base);
        let flat = self.or(flat, still);
        self.select(flat, one, y)
    }

    /// `log2(x)` of an `F64` in two parts, to about `2^-66` of itself; infinite at 0 and infinity.
    ///
    /// `e + 2 atanh(s)/ln 2` with `s = f/(2 + f)`; `s`, `s²` and the first two terms of the series have two parts.
    fn log2_in_two(&mut self, x: Value) -> (Value, Value) {
        let (e, f) = self.exponent_and_fraction(x);
        let (zero, one, two) = (self.like(x, 0.0), self.like(x, 1.0), self.like(x, 2.0));
        let (divisor, divisor_low) = self.fast_two_sum(two, f);
        let inverse = self.div(one, divisor);
        let s = self.mul(f, inverse);
        let rest = self.fnma(s, divisor, f);
        let rest = self.fnma(s, divisor_low, rest);
        let s_low = self.mul(rest, inverse);

        let (z, z_low) = self.two_product(s, s);
        let doubled = self.add(s, s);
        let z_low = self.fma(doubled, s_low, z_low);
        let p = self.polynomial(z, &ATANH);
        let p = self.mul(p, z);
        let (third, third_low) = (self.like(x, THIRD.0), self.like(x, THIRD.1));
        let (c, c_low) = self.fast_two_sum(third, p);
        let c_low = self.add(c_low, third_low);
        // z c, then s + s z c.
        let (u, u_low) = self.two_product(z, c);
        let u_low = self.fma(z, c_low, u_low);
        let u_low = self.fma(z_low, c, u_low);
        let (v, v_low) = self.two_product(s, u);
        let v_low = self.fma(s, u_low, v_low);
        let v_low = self.fma(s_low, u, v_low);
        let (t, t_low) = self.fast_two_sum(s, v);
        let low = self.add(v_low, s_low);
        let t_low = self.add(t_low, low);
        // Times 2/ln 2.
        let (per, per_low) =
            (self.like(x, 2.0 * PER_LN2_DOUBLE.0), self.like(x, 2.0 * PER_LN2_DOUBLE.1));
        let (w, w_low) = self.two_product(t, per);
        let w_low = self.fma(t, per_low, w_low);
        let w_low = self.fma(t_low, per, w_low);
        let (high, low) = self.fast_two_sum(e, w);
        let low = self.add(low, w_low);
        let (high, low) = self.fast_two_sum(high, low);

        let high = self.log_edges(high, x);
        let size = self.abs(high);
        let inf = self.like(x, f64::INFINITY);
        let finite = self.lt(size, inf);
        (high, self.select(finite, low, zero))
    }
}
