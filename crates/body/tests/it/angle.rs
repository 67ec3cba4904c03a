//! Sine and cosine in double-double arithmetic, with whole-number reduction: nothing shared with the math library.

use crate::wide::Wide;

/// π/2 in double-double arithmetic, and what is left of it.
const RIGHT: Wide = Wide { high: std::f64::consts::FRAC_PI_2, low: 6.123_233_995_736_766e-17 };

/// Bits of 2/π behind the point, 64 to a word.
const TWO_BY_PI: [u64; 20] = [
    0xa2f9836e4e441529,
    0xfc2757d1f534ddc0,
    0xdb6295993c439041,
    0xfe5163abdebbc561,
    0xb7246e3a424dd2e0,
    0x06492eea09d1921c,
    0xfe1deb1cb129a73e,
    0xe88235f52ebb4484,
    0xe99c7026b45f7e41,
    0x3991d639835339f4,
    0x9c845f8bbdf9283b,
    0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f,
    0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea,
    0x6bfb5fb11f8d5d08,
    0x56033046fc7b6bab,
    0xf0cfbc209af4361d,
];

/// 64 bits of 2/π from bit `at` on, where bit 0 is worth 1/2; zeros before it.
fn window(at: i64) -> u64 {
    (0..64).fold(0, |word, i| {
        let bit = at + i;
        let set = bit >= 0 && TWO_BY_PI[(bit / 64) as usize] >> (63 - bit % 64) & 1 == 1;
        word << 1 | u64::from(set)
    })
}

/// `x` as a multiple of π/2, modulo 4, and the rest.
fn reduced(x: f64) -> (u64, Wide) {
    if x.abs() < 0.7 {
        return (0, Wide::from(x));
    }
    let exponent = (x.abs().to_bits() >> 52) as i64 - 1075;
    let significand = x.abs().to_bits() << 12 >> 12 | 1 << 52;
    // 2^exponent · 2/π modulo 4 in 192 bits, times the significand modulo 4.
    let words = [0, 64, 128].map(|place| window(exponent - 2 + place));
    let mut product = [0u64; 3];
    let mut carry = 0u128;
    for i in (0..3).rev() {
        let part = u128::from(words[i]) * u128::from(significand) + carry;
        product[i] = part as u64;
        carry = part >> 64;
    }
    let part = |word: u64, power: i32| {
        Wide::from((word >> 32) as f64 * 2f64.powi(power + 32))
            + Wide::from((word & 0xffff_ffff) as f64 * 2f64.powi(power))
    };
    let quadrant = product[0] >> 62;
    let up = product[0] >> 61 & 1;
    let front = product[0] << 2 >> 2;
    // Whole numbers go off exactly, before any rounding.
    let front = Wide::from((front >> 32) as f64 * 2f64.powi(-30) - up as f64)
        + Wide::from((front & 0xffff_ffff) as f64 * 2f64.powi(-62));
    let rest = (front + part(product[1], -126) + part(product[2], -190)) * RIGHT;
    let quadrant = quadrant + up;
    if x < 0.0 { (4 - quadrant % 4, -rest) } else { (quadrant, rest) }
}

/// Sine and cosine of a small angle by their series.
fn series(x: Wide) -> (Wide, Wide) {
    let one = Wide::from(1.0);
    let square = x * x;
    let (mut sin, mut cos) = (one, one);
    for k in (1..16).rev() {
        let k = f64::from(2 * k);
        cos = one - square * cos / Wide::from(k * (k - 1.0));
        sin = one - square * sin / Wide::from(k * (k + 1.0));
    }
    (x * sin, cos)
}

/// Sine and cosine.
pub(crate) fn sin_cos(x: f64) -> (Wide, Wide) {
    if !x.is_finite() {
        return (Wide::from(f64::NAN), Wide::from(f64::NAN));
    }
    let (quadrant, rest) = reduced(x);
    let (sin, cos) = series(rest);
    match quadrant % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Angle of a point by one step of Newton's method.
pub(crate) fn atan2(y: f64, x: f64) -> Wide {
    let guess = y.atan2(x);
    let (sin, cos) = sin_cos(guess);
    let (x, y) = (Wide::from(x), Wide::from(y));
    Wide::from(guess) + (y * cos - x * sin) / (x * cos + y * sin)
}
