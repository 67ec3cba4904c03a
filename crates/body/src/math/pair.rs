//! Functions of two floats: remainder, angle, and sums and multiples of logarithms.

use crate::inst::{Body, Lane, Value};

/// `(atan(q)/q - 1)/q²` in `q²` for `0 <= q <= 1`; relative error of `atan` below 2^-28.5.
const ATAN_SINGLE: [f64; 9] = [
    -0.333_333,
    0.199_985_47,
    -0.142_642_4,
    0.109_521_77,
    -0.084_034_28,
    0.057_957_284,
    -0.031_177_603,
    0.010_914_505,
    -0.001_793_605_4,
];

/// As [`ATAN_SINGLE`]; relative error below 2^-57.5.
const ATAN_DOUBLE: [f64; 20] = [
    -0.333_333_333_333_330_7,
    0.199_999_999_999_514_48,
    -0.142_857_142_825_746_96,
    0.111_111_110_070_186_09,
    -0.090_909_070_029_118_87,
    0.076_922_798_388_230_68,
    -0.066_664_040_566_318_33,
    0.058_805_278_228_479_49,
    -0.052_535_186_405_131_86,
    0.047_223_226_594_652_56,
    -0.042_191_804_373_107_974,
    0.036_641_946_652_681_084,
    -0.029_903_922_658_115_92,
    0.021_984_940_105_463_94,
    -0.013_900_648_263_433_223,
    0.007_196_569_594_214_244_5,
    -0.002_884_954_423_824_637,
    0.000_831_335_098_831_377_9,
    -0.000_152_163_839_035_693_24,
    1.322_538_235_850_886_3e-5,
];

/// π/2 in two parts.
const RIGHT_SINGLE: (f64, f64) = (1.570_796_370_506_286_6, -4.371_139_000_186_241e-8);
const RIGHT_DOUBLE: (f64, f64) = (std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17);

impl Body {
    /// Remainder of `a/b` with the sign of `b`, as Python's `%`: `a - floor(a/b)·b`.
    ///
    /// Two steps, each with a rounded quotient and an exact rest; the first leaves less than `2^-23` (`F32`) of `a`.
    ///
    /// # Numerics
    /// Exact where `|a/b| < 2^44` (`F32`) or `2^100` (`F64`), but that a small `a` of the other sign is rounded when
    /// `b` is added; some number between 0 and `b` beyond. Zeros have the sign of `b`; NaN where `a` is infinite or
    /// `b = 0`; `a` or `b` where `b` is infinite.
    pub fn modulo(&mut self, a: Value, b: Value) -> Value {
        let (zero, inf) = (self.like(a, 0.0), self.like(a, f64::INFINITY));
        let rest = self.modulo_step(a, b);
        let rest = self.modulo_step(rest, b);
        // A quotient that is rounded up to a whole number leaves a rest of the other sign.
        let (negative_rest, negative_b) = (self.lt(rest, zero), self.lt(b, zero));
        let differ = self.xor(negative_rest, negative_b);
        let nonzero = self.ne(rest, zero);
        let mend = self.and(differ, nonzero);
        let mended = self.add(rest, b);
        let rest = self.select(mend, mended, rest);
        // Quotients too large for two steps, up to infinite ones.
        let (size, size_b) = (self.abs(rest), self.abs(b));
        let inside = self.le(size, size_b);
        let rest = self.select(inside, rest, zero);
        let size = self.abs(rest);
        let rest = self.with_sign(size, b);
        // NaN for all that has no remainder.
        let size_a = self.abs(a);
        let (finite, there) = (self.lt(size_a, inf), self.gt(size_b, zero));
        let sound = self.and(finite, there);
        let nan = self.like(a, f64::NAN);
        self.select(sound, rest, nan)
    }

    /// `a - floor(a/b)·b` with a rounded quotient; `a` itself where it is smaller than `b`, of either sign.
    fn modulo_step(&mut self, a: Value, b: Value) -> Value {
        let q = self.div(a, b);
        let q = self.floor(q);
        let rest = self.fnma(q, b, a);
        let (size, size_b) = (self.abs(a), self.abs(b));
        let smaller = self.lt(size, size_b);
        self.select(smaller, a, rest)
    }

    /// Angle of the point `(b, a)` in radians, from -π to π, as C's `atan2(a, b)`.
    ///
    /// The arc tangent of the smaller coordinate over the larger, in the right octant.
    ///
    /// # Numerics
    /// Within 2 units in the last place. Every case of zeros and infinities is C's: `atan2(±0, -0) = ±π`.
    pub fn atan2(&mut self, a: Value, b: Value) -> Value {
        let single = self.lane(a) == Lane::F32;
        let right = if single { RIGHT_SINGLE } else { RIGHT_DOUBLE };
        let coefficients: &[f64] = if single { &ATAN_SINGLE } else { &ATAN_DOUBLE };
        let (zero, one) = (self.like(a, 0.0), self.like(a, 1.0));
        let (rise, run) = (self.abs(a), self.abs(b));
        let steep = self.gt(rise, run);
        let large = self.max(rise, run);
        let small = self.min(rise, run);
        let q = self.div(small, large);
        // 0/0 is 0, equal infinities are 1.
        let equal = self.eq(rise, run);
        let q = self.select(equal, one, q);
        let origin = self.eq(large, zero);
        let q = self.select(origin, zero, q);

        let square = self.mul(q, q);
        let p = self.polynomial(square, coefficients);
        let cube = self.mul(square, q);
        let angle = self.fma(p, cube, q);

        // The sign bit, so that -0 is on the left.
        let mask = self.like(a, -0.0);
        let (mask, bits) = (self.bitcast(mask), self.bitcast(b));
        let sign = self.and(bits, mask);
        let left = self.eq(sign, mask);
        let minus = self.neg(angle);
        let back = self.xor(steep, left);
        let turn = self.select(back, minus, angle);
        let [high, low] = [right.0, right.1].map(|part| {
            let (quarter, half) = (self.like(a, part), self.like(a, 2.0 * part));
            let flat = self.select(left, half, zero);
            self.select(steep, quarter, flat)
        });
        let y = self.add(turn, low);
        let y = self.add(y, high);
        let y = self.flipped(y, a);
        let (known, known_b) = (self.eq(a, a), self.eq(b, b));
        let known = self.and(known, known_b);
        let nan = self.like(a, f64::NAN);
        self.select(known, y, nan)
    }

    /// `log(e^a + e^b)`, never overflowing.
    ///
    /// `max(a, b) + log1p(e^-|a - b|)`, where the exponential is corrected by what rounding took from the difference.
    ///
    /// # Numerics
    /// Within 2.5 units in the last place where the larger operand is not negative. Where it is, the two terms
    /// above have opposite signs, and it is 3 units of the largest of them and the result. Infinities are kept, NaN
    /// too.
    pub fn logaddexp(&mut self, a: Value, b: Value) -> Value {
        let (zero, inf) = (self.like(a, 0.0), self.like(a, f64::INFINITY));
        let high = self.maximum(a, b);
        let low = self.minimum(a, b);
        let minus_high = self.neg(high);
        let (gap, lost) = self.two_sum(low, minus_high);
        let size = self.abs(gap);
        let finite = self.lt(size, inf);
        let lost = self.select(finite, lost, zero);
        let equal = self.eq(high, low);
        let gap = self.select(equal, zero, gap);
        let w = self.exp_nonpositive(gap);
        let w = self.fma(lost, w, w);
        let tail = self.log1p_unit(w);
        self.add(high, tail)
    }

    /// `a · log(b)`, and 0 where `a = 0` whatever `b` is.
    ///
    /// # Numerics
    /// The error of [`Body::log`] and one rounding.
    pub fn xlogy(&mut self, a: Value, b: Value) -> Value {
        let log = self.log(b);
        let y = self.mul(a, log);
        let zero = self.like(a, 0.0);
        let none = self.eq(a, zero);
        self.select(none, zero, y)
    }
}
