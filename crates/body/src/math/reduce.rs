//! Multiples of a right angle taken off an `F64` angle of any size.

use crate::inst::{Body, Value};

/// π/2 in three parts.
const RIGHT: [f64; 3] =
    [std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17, -1.497_384_904_859_169_8e-33];

/// Below it π/2 in three parts is enough.
const LARGE: f64 = (1u64 << 30) as f64;

/// Bits of 2/π from `2^24` down, 50 to a word.
const TWO_BY_PI: [u64; 23] = [
    0x00000028be60d,
    0x2e4e441529fc2,
    0x1d5f47d4d3770,
    0x0db6295993c43,
    0x24107f9458eaf,
    0x1ebbc561b7246,
    0x38e909374b801,
    0x2492eea09d192,
    0x073f877ac72c4,
    0x29a73ee88235f,
    0x14baed1213a67,
    0x07026b45f7e41,
    0x0e64758e60d4c,
    0x39f49c845f8bb,
    0x37e4a0ec7fe25,
    0x3ffde05980fef,
    0x0bc462d6829b4,
    0x1f6d367ecf27c,
    0x2c26dd3d18fd9,
    0x29e5fea2d7527,
    0x2eb1faf97c5ec,
    0x3d0739f78a529,
    0x0ba9afed7ec47,
];

/// Bits of 2/π, 29 to a word, from `2^25` down when the angle is divided by `2^30`, `2^63` and `2^96`.
const TWO_BY_PI_SHORT: [[u32; 4]; 3] = [
    [0x0be60db9, 0x07220a94, 0x1fc2757d, 0x03ea69bb],
    [0x1220a94f, 0x1c2757d1, 0x1ea69bb8, 0x036d8a56],
    [0x02757d1f, 0x0a69bb81, 0x16d8a566, 0x09e21c82],
];

/// An angle less a multiple of π/2, at most π/4 in size but for rounding.
pub(super) struct Reduced {
    /// The rest.
    pub(super) high: Value,
    /// What rounding took from it.
    pub(super) low: Value,
    /// The multiple modulo 4, in the low two bits of an integer lane.
    pub(super) quadrant: Value,
}

impl Body {
    /// `size`, which is not negative, less the nearest multiple of π/2; NaN for infinities.
    ///
    /// # Numerics
    /// The rest is within `2^-70` of itself for `size < 2^30` and within `2^-94` beyond.
    /// # Source
    /// Cody and Waite with a fused product below `2^30`; Payne and Hanek, *Radian reduction for trigonometric
    /// functions*, 1983, beyond.
    pub(super) fn reduce_angle(&mut self, size: Value) -> Reduced {
        let n = self.right_angles(size);
        let minus_n = self.neg(n);
        let [first, second, third] = RIGHT.map(|part| self.like(size, part));
        // Exact: the difference starts below the last place of `size` or of `n π/2`.
        let rest = self.fma(minus_n, first, size);
        let (product, lost) = self.two_product(minus_n, second);
        let (high, error) = self.two_sum(rest, product);
        let low = self.fma(minus_n, third, lost);
        let low = self.add(low, error);

        let far = self.reduce_large(size);
        let limit = self.like(size, LARGE);
        let near = self.lt(size, limit);
        let quadrant = self.whole_bits(n);
        Reduced {
            high: self.select(near, high, far.high),
            low: self.select(near, low, far.low),
            quadrant: self.select(near, quadrant, far.quadrant),
        }
    }

    /// [`Body::reduce_angle`] for angles that are `F32` numbers; `low` is 0.
    pub(super) fn reduce_short_angle(&mut self, size: Value) -> Reduced {
        let n = self.right_angles(size);
        let minus_n = self.neg(n);
        let (first, second) = (self.like(size, RIGHT[0]), self.like(size, RIGHT[1]));
        let high = self.fma(minus_n, first, size);
        let high = self.fma(minus_n, second, high);

        let far = self.reduce_short_large(size);
        let limit = self.like(size, LARGE);
        let near = self.lt(size, limit);
        let quadrant = self.whole_bits(n);
        Reduced {
            high: self.select(near, high, far.high),
            low: far.low,
            quadrant: self.select(near, quadrant, far.quadrant),
        }
    }

    /// [`Body::reduce_angle`] from `2^30` up: the product with the four words of 2/π that matter modulo 4.
    fn reduce_large(&mut self, size: Value) -> Reduced {
        // The angle goes below 2^80, the words move along with it, by 16, 8, 4, 2 and 1 of them.
        let mut x = size;
        let mut words: Vec<Value> =
            TWO_BY_PI.iter().map(|&word| self.like(size, word as f64)).collect();
        for by in [16, 8, 4, 2, 1] {
            let power = 2f64.powi(50 * by);
            let (limit, scale) = (self.like(size, LARGE * power), self.like(size, 1.0 / power));
            let beyond = self.ge(x, limit);
            let scaled = self.mul(x, scale);
            x = self.select(beyond, scaled, x);
            // Later steps move by `by - 1` at most and read four.
            let by = by as usize;
            words = (0..(by + 3).min(words.len()))
                .map(|i| match words.get(i + by) {
                    Some(&moved) => self.select(beyond, moved, words[i]),
                    None => words[i],
                })
                .collect();
        }
        let products = [0, 1, 2, 3].map(|i: i32| {
            let scale = self.like(size, 2f64.powi(-26 - 50 * i));
            let part = self.mul(x, scale);
            self.two_product(part, words[i as usize])
        });
        let (p0, e0) = (self.modulo_4(products[0].0), self.modulo_4(products[0].1));
        let p1 = self.modulo_4(products[1].0);
        let sum = self.add(p0, e0);
        let (sum, l0) = self.two_sum(sum, p1);
        let (sum, l1) = self.two_sum(sum, products[1].1);
        let (sum, l2) = self.two_sum(sum, products[2].0);
        let n = self.round(sum);
        let rest = self.sub(sum, n);
        let low = self.add(products[2].1, products[3].0);
        let low = self.add(low, l2);
        let low = self.add(low, l1);
        let low = self.add(low, l0);
        let (rest, low) = self.two_sum(rest, low);
        // Times π/2.
        let (first, second) = (self.like(size, RIGHT[0]), self.like(size, RIGHT[1]));
        let (high, lost) = self.two_product(rest, first);
        let lost = self.fma(rest, second, lost);
        let low = self.fma(low, first, lost);
        Reduced { high, low, quadrant: self.whole_bits(n) }
    }

    /// [`Body::reduce_short_angle`] from `2^30` up; a product of a word is exact.
    fn reduce_short_large(&mut self, size: Value) -> Reduced {
        let mut scale = self.like(size, 2f64.powi(-30));
        let mut words = TWO_BY_PI_SHORT[0].map(|word| self.like(size, word.into()));
        for (power, row) in [(63, TWO_BY_PI_SHORT[1]), (96, TWO_BY_PI_SHORT[2])] {
            let limit = self.like(size, 2f64.powi(power));
            let beyond = self.ge(size, limit);
            let moved = self.like(size, 2f64.powi(-power));
            scale = self.select(beyond, moved, scale);
            for (word, moved) in words.iter_mut().zip(row) {
                let moved = self.like(size, moved.into());
                *word = self.select(beyond, moved, *word);
            }
        }
        let x = self.mul(size, scale);
        let mut index = 0;
        let [p0, p1, p2, p3] = words.map(|word| {
            let place = self.like(size, 2f64.powi(-4 - 29 * index));
            index += 1;
            let part = self.mul(x, place);
            self.mul(part, word)
        });
        let p0 = self.modulo_4(p0);
        let p1 = self.modulo_4(p1);
        // `p0` has few places behind the point, so that its difference from `n` is exact.
        let sum = self.add(p0, p1);
        let sum = self.add(sum, p2);
        let n = self.round(sum);
        let rest = self.sub(p0, n);
        let rest = self.add(rest, p1);
        let rest = self.add(rest, p2);
        let rest = self.add(rest, p3);
        let right = self.like(size, RIGHT[0]);
        let zero = self.like(size, 0.0);
        Reduced { high: self.mul(rest, right), low: zero, quadrant: self.whole_bits(n) }
    }

    /// The nearest multiple of π/2, as a number of them.
    fn right_angles(&mut self, size: Value) -> Value {
        let per_right = self.like(size, std::f64::consts::FRAC_2_PI);
        let n = self.mul(size, per_right);
        self.round(n)
    }

    /// `x` less a multiple of 4, from -2 to 2; exact.
    fn modulo_4(&mut self, x: Value) -> Value {
        let (quarter, minus_four) = (self.like(x, 0.25), self.like(x, -4.0));
        let n = self.mul(x, quarter);
        let n = self.round(n);
        self.fma(n, minus_four, x)
    }

    /// A whole number as an integer lane, right in its low bits for sizes up to `2^51`.
    fn whole_bits(&mut self, n: Value) -> Value {
        let large = self.like(n, 1.5 * 2f64.powi(52));
        let moved = self.add(n, large);
        self.bitcast(moved)
    }
}
