//! Double-double arithmetic: an unevaluated sum of two `f64`, about 104 bits, and the math library in it.

use std::f64::consts::{LN_2, LOG2_E};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `high + low`, where `low` is at most half a unit in the last place of `high`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

pub(crate) const LN2: Wide = Wide { high: LN_2, low: 2.319_046_813_846_299_6e-17 };

impl From<f64> for Wide {
    fn from(high: f64) -> Wide {
        Wide { high, low: 0.0 }
    }
}

/// Knuth's exact sum.
fn two_sum(a: f64, b: f64) -> Wide {
    let high = a + b;
    let part = high - a;
    Wide { high, low: (a - (high - part)) + (b - part) }
}

/// Dekker's exact sum for `|a| >= |b|`.
fn fast_two_sum(a: f64, b: f64) -> Wide {
    let high = a + b;
    Wide { high, low: b - (high - a) }
}

impl Add for Wide {
    type Output = Wide;
    fn add(self, b: Wide) -> Wide {
        let s = two_sum(self.high, b.high);
        let t = two_sum(self.low, b.low);
        let s = fast_two_sum(s.high, s.low + t.high);
        fast_two_sum(s.high, s.low + t.low)
    }
}

impl Neg for Wide {
    type Output = Wide;
    fn neg(self) -> Wide {
        Wide { high: -self.high, low: -self.low }
    }
}

impl Sub for Wide {
    type Output = Wide;
    fn sub(self, b: Wide) -> Wide {
        self + -b
    }
}

impl Mul for Wide {
    type Output = Wide;
    fn mul(self, b: Wide) -> Wide {
        let high = self.high * b.high;
        let low = self.high.mul_add(b.high, -high);
        fast_two_sum(high, low + (self.high * b.low + self.low * b.high))
    }
}

impl Div for Wide {
    type Output = Wide;
    fn div(self, b: Wide) -> Wide {
        let first = Wide::from(self.high / b.high);
        let rest = self - first * b;
        let second = Wide::from(rest.high / b.high);
        let rest = rest - second * b;
        first + second + Wide::from(rest.high / b.high)
    }
}

impl Wide {
    /// `self · 2^n`, in two steps so that neither power overflows.
    fn scaled(self, n: i32) -> Wide {
        let (a, b) = (2f64.powi(n / 2), 2f64.powi(n - n / 2));
        Wide { high: self.high * a * b, low: self.low * a * b }
    }

    pub(crate) fn sqrt(self) -> Wide {
        let root = Wide::from(self.high.sqrt());
        let two = Wide::from(2.0);
        root + (self - root * root) / (two * root)
    }

    /// Taylor series after subtracting a multiple of `ln 2`.
    pub(crate) fn expm1(self) -> Wide {
        if self.high.is_nan() || self.high.abs() > 709.78 {
            return Wide::from(self.high.exp_m1());
        }
        let n = if self.high.abs() < 0.4 { 0.0 } else { (self.high * LOG2_E).round() };
        let r = self - Wide::from(n) * LN2;
        let one = Wide::from(1.0);
        let mut sum = one;
        for k in (2..=28).rev() {
            sum = one + sum * r / Wide::from(f64::from(k));
        }
        let q = sum * r;
        if n == 0.0 { q } else { (one + q).scaled(n as i32) - one }
    }

    pub(crate) fn exp(self) -> Wide {
        if self.high.is_nan() || self.high.abs() > 709.78 {
            return Wide::from(self.high.exp());
        }
        let n = (self.high * LOG2_E).round();
        let r = self - Wide::from(n) * LN2;
        (Wide::from(1.0) + r.expm1()).scaled(n as i32)
    }

    pub(crate) fn log(self) -> Wide {
        if !(self.high > 0.0 && self.high < f64::INFINITY) {
            return Wide::from(self.high.ln());
        }
        let e = (self.high.to_bits() >> 52) as i32 - 1023;
        let m = self.scaled(-e);
        let (e, m) = if m.high > 1.4 { (e + 1, m.scaled(-1)) } else { (e, m) };
        (m - Wide::from(1.0)).log1p_small() + Wide::from(f64::from(e)) * LN2
    }

    pub(crate) fn log1p(self) -> Wide {
        if self.high.abs() < 0.4 { self.log1p_small() } else { (Wide::from(1.0) + self).log() }
    }

    /// One Newton step on `expm1`.
    fn log1p_small(self) -> Wide {
        let guess = Wide::from(self.high.ln_1p());
        let there = guess.expm1();
        guess + (self - there) / (Wide::from(1.0) + there)
    }
}
