//! Sine, cosine and tangent.

use super::reduce::Reduced;
use crate::inst::{Body, Lane, Value};

/// `(sin(r)/r - 1)/r²` in `r²` for `|r| <= π/4`; relative error of `sin` below 2^-58.0.
const SIN: [f64; 6] = [
    -0.166_666_666_666_666_32,
    0.008_333_333_333_322_424,
    -0.000_198_412_698_298_155_7,
    2.755_731_369_462_488_8e-6,
    -2.505_075_854_702_097e-8,
    1.589_682_128_005_971_2e-10,
];

/// `(cos(r) - 1 + r²/2)/r⁴` in `r²` for `|r| <= π/4`; error of `cos` below 2^-64.2.
const COS: [f64; 6] = [
    0.041_666_666_666_666_6,
    -0.001_388_888_888_887_414,
    2.480_158_728_949_225_7e-5,
    -2.755_731_435_535_33e-7,
    2.087_572_369_827_535e-9,
    -1.135_967_051_780_102_6e-11,
];

/// As [`SIN`], for results that become `f32`: 2^-37.5.
const SIN_SHORT: [f64; 4] = [
    -0.166_666_666_416_313_92,
    0.008_333_329_386_130_489,
    -0.000_198_393_348_628_480_46,
    2.718_311_460_403_077e-6,
];

/// As [`COS`], for results that become `f32`: 2^-43.1.
const COS_SHORT: [f64; 4] = [
    0.041_666_666_622_840_236,
    -0.001_388_888_375_521_302_4,
    2.479_952_058_200_020_4e-5,
    -2.721_028_797_891_827_4e-7,
];

/// Sine and cosine of the rest of an angle, and what the multiple of π/2 does to them.
struct Wave {
    sin: Value,
    cos: Value,
    /// Whether the two change places.
    swapped: Value,
    quadrant: Value,
    /// The operand as an `F64`.
    x: Value,
}

impl Body {
    /// Sine of radians, for operands of any size; NaN at infinities.
    ///
    /// `F32` operands become `F64` inside, and the result is rounded once more.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `sin(-0) = -0`. In `F64` the bound holds for `|x| < 2^30`, and beyond
    /// where the result is above `2^-40` in size; elsewhere the error is below `2^-92`.
    pub fn sin(&mut self, x: Value) -> Value {
        let wave = self.wave(x);
        let y = self.select(wave.swapped, wave.cos, wave.sin);
        let y = self.turned(y, wave.quadrant);
        let y = self.flipped(y, wave.x);
        self.convert(self.lane(x), y)
    }

    /// Cosine of radians, for operands of any size; NaN at infinities.
    ///
    /// # Numerics
    /// See [`Body::sin`].
    pub fn cos(&mut self, x: Value) -> Value {
        let wave = self.wave(x);
        let y = self.select(wave.swapped, wave.sin, wave.cos);
        // The cosine is negative in quadrants 1 and 2: bit 1 of the number of the next one.
        let one = self.int_like(y, 1);
        let next = self.add(wave.quadrant, one);
        let y = self.turned(y, next);
        self.convert(self.lane(x), y)
    }

    /// Tangent of radians, for operands of any size; NaN at infinities.
    ///
    /// # Numerics
    /// See [`Body::sin`]. `tan(-0) = -0`.
    pub fn tan(&mut self, x: Value) -> Value {
        let wave = self.wave(x);
        let minus = self.neg(wave.cos);
        let above = self.select(wave.swapped, minus, wave.sin);
        let below = self.select(wave.swapped, wave.sin, wave.cos);
        let y = self.div(above, below);
        let y = self.flipped(y, wave.x);
        self.convert(self.lane(x), y)
    }

    fn wave(&mut self, x: Value) -> Wave {
        let short = self.lane(x) == Lane::F32;
        let x = self.convert(Lane::F64, x);
        let size = self.abs(x);
        let rest = if short { self.reduce_short_angle(size) } else { self.reduce_angle(size) };
        let Reduced { high, low, quadrant } = rest;
        let square = self.mul(high, high);
        let (half, one) = (self.like(x, -0.5), self.like(x, 1.0));
        let minus_half_square = self.mul(square, half);
        let base = self.add(minus_half_square, one);
        let fourth = self.mul(square, square);
        let cube = self.mul(square, high);
        let (sin, cos) = if short {
            let p = self.polynomial(square, &SIN_SHORT);
            let sin = self.fma(p, cube, high);
            let p = self.polynomial(square, &COS_SHORT);
            (sin, self.fma(p, fourth, base))
        } else {
            let p = self.polynomial(square, &SIN);
            let tail = self.mul(low, base);
            let tail = self.fma(p, cube, tail);
            let sin = self.add(tail, high);
            // What rounding took from `1 - r²/2`, and from `r`.
            let lost = self.sub(one, base);
            let lost = self.add(lost, minus_half_square);
            let lost = self.fnma(high, low, lost);
            let p = self.polynomial(square, &COS);
            let tail = self.fma(p, fourth, lost);
            (sin, self.add(tail, base))
        };
        let one = self.int_like(x, 1);
        let odd = self.and(quadrant, one);
        let swapped = self.eq(odd, one);
        Wave { sin, cos, swapped, quadrant, x }
    }

    /// `y`, negated where bit 1 of `quadrant` is set.
    fn turned(&mut self, y: Value, quadrant: Value) -> Value {
        let two = self.int_like(y, 2);
        let half_turn = self.and(quadrant, two);
        let sign = self.shl(half_turn, 62);
        let y = self.bitcast(y);
        let y = self.xor(y, sign);
        self.bitcast(y)
    }

    /// `y`, negated where the sign bit of `x` is set.
    pub(super) fn flipped(&mut self, y: Value, x: Value) -> Value {
        let mask = self.like(x, -0.0);
        let mask = self.bitcast(mask);
        let x = self.bitcast(x);
        let sign = self.and(x, mask);
        let y = self.bitcast(y);
        let y = self.xor(y, sign);
        self.bitcast(y)
    }
}
