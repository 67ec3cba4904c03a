//! Exponential and logarithm to base 2.

use super::Format;
use crate::inst::{Body, Lane, Value};

/// `(2^r - 1 - r ln 2)/r²` for `|r| <= 1/2`; relative error of `2^r - 1` below 2^-31.9.
const EXP2_SINGLE: [f64; 6] =
    [0.240_226_5, 0.055_504_106, 0.009_618_059, 0.001_333_365_1, 0.000_154_609_02, 1.525_559_6e-5];

/// As [`EXP2_SINGLE`]; relative error below 2^-61.7.
const EXP2_DOUBLE: [f64; 11] = [
    0.240_226_506_959_100_72,
    0.055_504_108_664_821_61,
    0.009_618_129_107_628_44,
    0.001_333_355_814_640_983_2,
    0.000_154_035_303_934_631_76,
    1.525_273_383_839_933_6e-5,
    1.321_548_672_126_142_4e-6,
    1.017_805_837_461_368_4e-7,
    7.054_933_043_540_43e-9,
    4.455_628_112_428_823_7e-10,
    2.567_655_932_178_654e-11,
];

/// `(log2(1 + f) - f/ln 2)/f²` for `√½ - 1 <= f <= √2 - 1`; relative error of `log2(1 + f)` below 2^-27.8.
const LOG2_SINGLE: [f64; 9] = [
    -0.721_347_33,
    0.480_898_23,
    -0.360_696_58,
    0.288_567_48,
    -0.239_618_52,
    0.204_600_72,
    -0.191_055_28,
    0.186_170_07,
    -0.109_958_574,
];

/// `ln 2` and `1/ln 2` in two parts.
const LN2_SINGLE: (f64, f64) = (0.693_147_182_464_599_6, -1.904_654_299_957_768e-9);
const LN2_DOUBLE: (f64, f64) = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
const PER_LN2_SINGLE: (f64, f64) = (1.442_695_021_629_333_5, 1.925_963_033_500_115_3e-8);
pub(super) const PER_LN2_DOUBLE: (f64, f64) =
    (std::f64::consts::LOG2_E, 2.035_527_374_093_103_3e-17);

impl Body {
    /// `2^x`.
    ///
    /// `2^n (1 + q(r))` with `n = round(x)` and `r = x - n`, which is exact.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). Exact at whole numbers; 0 where the result is not normal.
    pub fn exp2(&mut self, x: Value) -> Value {
        let Format { bias, .. } = self.format(x);
        let (low, high) = (self.like(x, (1 - bias) as f64), self.like(x, (bias + 1) as f64));
        let (zero, inf) = (self.like(x, 0.0), self.like(x, f64::INFINITY));
        let y = self.exp2_of(x, zero);
        let vanishes = self.lt(x, low);
        let y = self.select(vanishes, zero, y);
        let fits = self.lt(x, high);
        let over = self.add(x, inf);
        self.select(fits, y, over)
    }

    /// `2^(x + tail)` for sums whose power is a normal number; `tail` is a rounding error of `x`.
    pub(super) fn exp2_of(&mut self, x: Value, tail: Value) -> Value {
        let Format { bits, .. } = self.format(x);
        let single = self.lane(x) == Lane::F32;
        let ln2 = if single { LN2_SINGLE } else { LN2_DOUBLE };
        let large = self.like(x, 1.5 * (1i64 << bits) as f64);
        let shifted = self.add(x, large);
        let n = self.sub(shifted, large);
        let r = self.sub(x, n);
        let r = self.add(r, tail);
        let p = if single {
            self.polynomial(r, &EXP2_SINGLE)
        } else {
            self.polynomial(r, &EXP2_DOUBLE)
        };
        let (high, low) = (self.like(x, ln2.0), self.like(x, ln2.1));
        let rest = self.fma(r, p, low);
        let rest = self.mul(r, rest);
        let q = self.fma(r, high, rest);
        let one = self.like(x, 1.0);
        let y = self.add(q, one);
        let y = self.bitcast(y);
        let shifted = self.bitcast(shifted);
        let n = self.shl(shifted, bits);
        let y = self.add(y, n);
        self.bitcast(y)
    }

    /// Logarithm to base 2.
    ///
    /// `e + log2(1 + f)` with `x = 2^e (1 + f)` and `f` from `√½ - 1` to `√2 - 1`.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). Exact at powers of 2; `log2(±0) = -inf`, NaN below 0.
    pub fn log2(&mut self, x: Value) -> Value {
        let single = self.lane(x) == Lane::F32;
        let (e, f) = self.exponent_and_fraction(x);
        let square = self.mul(f, f);
        let rest = if single {
            let p = self.polynomial(f, &LOG2_SINGLE);
            self.mul(square, p)
        } else {
            let minus_rest = self.minus_log1p_rest(f, square);
            let per = self.like(x, -PER_LN2_DOUBLE.0);
            self.mul(minus_rest, per)
        };
        let per = if single { PER_LN2_SINGLE } else { PER_LN2_DOUBLE };
        let (high, low) = (self.like(x, per.0), self.like(x, per.1));
        let rest = self.fma(f, low, rest);
        let tail = self.fma(f, high, rest);
        let y = self.add(e, tail);
        self.log_edges(y, x)
    }
}
