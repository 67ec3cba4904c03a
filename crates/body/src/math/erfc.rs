//! The complementary error function and its logarithm.

use super::erf::near_terms;
use crate::inst::{Body, Lane, Value};

/// `erfc(x) e^(x²) (x + K)` in `1 - 2K/(x + K)` for `x >= 0.49`, with `K = 1.75`; relative error below 2^-27.8.
const SCALED_SINGLE: [f64; 11] = [
    0.997_402_85,
    -0.607_057_45,
    0.179_348_02,
    0.016_230_823,
    -0.022_702_428,
    -0.002_994_365_3,
    0.003_481_197_2,
    0.001_293_706_2,
    -0.000_538_142_9,
    -0.000_463_189_94,
    0.000_188_613_47,
];

/// As [`SCALED_SINGLE`]; relative error below 2^-57.4.
const SCALED_DOUBLE: [f64; 26] = [
    0.997_402_821_581_027_3,
    -0.607_057_410_971_416_3,
    0.179_347_996_460_007_35,
    0.016_228_507_964_427_374,
    -0.022_700_383_694_719_405,
    -0.002_971_012_788_869_678_7,
    0.003_451_431_998_648_523,
    0.001_209_663_115_763_264,
    -0.000_392_963_886_056_232,
    -0.000_386_861_402_591_424_67,
    -4.906_524_538_482_124_6e-5,
    7.464_924_714_074_181e-5,
    4.611_625_716_910_946e-5,
    2.545_785_932_827_498_7e-6,
    -1.153_468_715_731_617_3e-5,
    -7.158_598_791_103_482e-6,
    -3.769_637_897_157_471e-7,
    1.790_345_437_733_077_4e-6,
    4.309_107_733_083_241_6e-7,
    6.928_439_612_014_495e-7,
    8.819_667_669_097_687e-7,
    -1.384_893_375_982_096_9e-6,
    -4.245_286_695_083_605_3e-7,
    9.468_689_002_329_128e-7,
    -3.496_762_625_975_459e-7,
    3.553_888_446_802_130_6e-8,
];

/// The `K` of [`SCALED_SINGLE`].
const K: f64 = 1.75;

/// Up to here `erf` is small enough to be taken from 1.
const MIDDLE: f64 = 0.5;

/// The parts that both functions are put together from.
struct Complement {
    /// `erf(x)` near 0.
    erf: Value,
    /// `erfc(|x|) e^(x²)` elsewhere.
    scaled: Value,
    /// `erfc(|x|)` elsewhere.
    tail: Value,
    /// Whether `|x|` is at most [`MIDDLE`].
    near: Value,
}

impl Body {
    /// `1 - erf(x)`, its small tail kept.
    ///
    /// `1 - x (1 + p(x²))` near 0, else `e^(-x²) q(|x|)`, taken from 2 for negative `x`; `x²` in two parts.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). 0 where the result is not normal.
    /// # Source
    /// Shepherd and Laframboise, *Chebyshev approximation of (1 + 2x)exp(x²)erfc x*, 1981, for the variable.
    pub fn erfc(&mut self, x: Value) -> Value {
        let parts = self.complement(x);
        let (zero, one, two) = (self.like(x, 0.0), self.like(x, 1.0), self.like(x, 2.0));
        let negative = self.lt(x, zero);
        let left = self.sub(two, parts.tail);
        let y = self.select(negative, left, parts.tail);
        let inner = self.sub(one, parts.erf);
        let y = self.select(parts.near, inner, y);
        self.keep_nan(x, y)
    }

    /// `log(erfc(x))`, finite where `erfc` underflows.
    ///
    /// `log1p(-erf(x))` near 0, `log(2 - erfc(-x))` below, `log(e^(x²) erfc(x)) - x²` above.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `log_erfc(±0) = ∓0`; about `-x²` far above 0, -inf from `√MAX` on.
    pub fn log_erfc(&mut self, x: Value) -> Value {
        let parts = self.complement(x);
        let (zero, one, two) = (self.like(x, 0.0), self.like(x, 1.0), self.like(x, 2.0));
        let negative = self.lt(x, zero);
        let left = self.sub(two, parts.tail);
        let far = self.select(negative, left, parts.scaled);
        let minus_erf = self.neg(parts.erf);
        let log = self.log_of_either(parts.near, minus_erf, far);
        let log = self.identity_at_zero(log, minus_erf);
        let minus = self.neg(x);
        // An infinite square meets a logarithm of 0; only the square matters.
        let size = self.abs(x);
        let huge = self.like(x, 2f64.powi(60));
        let small = self.lt(size, huge);
        let shift = self.select(small, log, one);
        let shifted = self.fma(minus, x, shift);
        let outside = self.not(parts.near);
        let positive = self.gt(x, zero);
        let above = self.and(positive, outside);
        let y = self.select(above, shifted, log);
        self.keep_nan(x, y)
    }

    fn complement(&mut self, x: Value) -> Complement {
        let format = self.format(x);
        let scaled: &[f64] =
            if self.lane(x) == Lane::F32 { &SCALED_SINGLE } else { &SCALED_DOUBLE };
        let square = self.mul(x, x);
        let p = self.polynomial(square, near_terms(self.lane(x)));
        let erf = self.fma(p, x, x);

        let size = self.abs(x);
        let (k, one) = (self.like(x, K), self.like(x, 1.0));
        let (divisor, divisor_low) = self.two_sum(size, k);
        let inverse = self.div(one, divisor);
        let rest = self.fnma(inverse, divisor, one);
        let rest = self.fnma(inverse, divisor_low, rest);
        let inverse_low = self.mul(inverse, rest);
        let minus_two_k = self.like(x, -2.0 * K);
        let variable = self.fma(minus_two_k, inverse, one);
        let variable = self.fma(minus_two_k, inverse_low, variable);
        let p = self.polynomial(variable, scaled);
        let scaled = self.mul(p, inverse_low);
        let scaled = self.fma(p, inverse, scaled);

        // e^-(square + lost) is 2^n (1 + q) (1 - lost).
        let minus_square = self.neg(square);
        let lost = self.fma(x, x, minus_square);
        let low = self.like(x, format.exp_low);
        let clamped = self.max(low, minus_square);
        let split = self.split_exp(clamped, format.bias);
        let scale = self.scale(&split, format);
        let minus_lost = self.neg(lost);
        let q = self.fma(minus_lost, split.q, minus_lost);
        let q = self.add(q, split.q);
        let power = self.fma(q, scale, scale);
        let tail = self.mul(power, scaled);
        let vanishes = self.lt(minus_square, low);
        let zero = self.like(x, 0.0);
        let tail = self.select(vanishes, zero, tail);

        let middle = self.like(x, MIDDLE);
        Complement { erf, scaled, tail, near: self.le(size, middle) }
    }

    fn keep_nan(&mut self, x: Value, y: Value) -> Value {
        let nan = self.is_nan(x);
        self.select(nan, x, y)
    }
}
