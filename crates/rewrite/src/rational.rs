//! Exact fractions: constants inside the e-graph, so that folding never invents a difference.

use std::fmt;

/// `a · b` modulo a prime.
pub(crate) fn times(a: u64, b: u64, prime: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(prime)) as u64
}

/// `base^exponent` modulo a prime.
pub(crate) fn power(mut base: u64, mut exponent: u64, prime: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, base, prime);
        }
        base = times(base, base, prime);
        exponent >>= 1;
    }
    result
}

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Rational {
    num: i128,
    den: i128,
}

impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            den => write!(f, "{}/{den}", self.num),
        }
    }
}

impl Rational {
    pub(crate) const ZERO: Rational = Rational { num: 0, den: 1 };
    pub(crate) const ONE: Rational = Rational { num: 1, den: 1 };

    /// `num / den`; `None` when `den` is 0 or the result does not fit.
    pub(crate) fn new(num: i128, den: i128) -> Option<Rational> {
        if den == 0 || num == i128::MIN || den == i128::MIN {
            return None;
        }
        let (mut a, mut b) = (num.unsigned_abs(), den.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let gcd = a as i128 * den.signum();
        Some(Rational { num: num / gcd, den: den / gcd })
    }

    /// The fraction that `value` is; `None` for infinities, NaN, -0 and what does not fit.
    pub(crate) fn from_f64(value: f64) -> Option<Rational> {
        if value == 0.0 {
            return value.is_sign_positive().then_some(Rational::ZERO);
        }
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let raw = ((bits >> 52) & 0x7ff) as i32;
        let fraction = (bits & ((1 << 52) - 1)) as i128;
        let mantissa = if raw == 0 { fraction } else { fraction | (1 << 52) };
        let zeros = mantissa.trailing_zeros() as i32;
        let exponent = raw.max(1) - 1075 + zeros;
        let mantissa = if value < 0.0 { -(mantissa >> zeros) } else { mantissa >> zeros };
        match exponent {
            0..=60 => Some(Rational { num: mantissa << exponent, den: 1 }),
            -120..=-1 => Some(Rational { num: mantissa, den: 1 << -exponent }),
            _ => None,
        }
    }

    /// The nearest float, up to one rounding of each part.
    pub(crate) fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// Its value modulo a prime below 2^63; `None` where its denominator is 0 there.
    pub(crate) fn residue(self, prime: u64) -> Option<u64> {
        let (num, den) = (self.num.rem_euclid(prime.into()), self.den.rem_euclid(prime.into()));
        let inverse = power(den as u64, prime - 2, prime);
        (den != 0).then(|| times(num as u64, inverse, prime))
    }

    pub(crate) fn is_zero(self) -> bool {
        self.num == 0
    }

    pub(crate) fn neg(self) -> Option<Rational> {
        Some(Rational { num: self.num.checked_neg()?, den: self.den })
    }

    pub(crate) fn abs(self) -> Option<Rational> {
        Some(Rational { num: self.num.checked_abs()?, den: self.den })
    }

    /// The larger of it and 0.
    pub(crate) fn max_zero(self) -> Rational {
        if self.num < 0 { Rational::ZERO } else { self }
    }

    pub(crate) fn add(self, other: Rational) -> Option<Rational> {
        let num = self.num.checked_mul(other.den)?.checked_add(other.num.checked_mul(self.den)?)?;
        Rational::new(num, self.den.checked_mul(other.den)?)
    }

    pub(crate) fn sub(self, other: Rational) -> Option<Rational> {
        self.add(other.neg()?)
    }

    pub(crate) fn mul(self, other: Rational) -> Option<Rational> {
        Rational::new(self.num.checked_mul(other.num)?, self.den.checked_mul(other.den)?)
    }

    /// The root, where that is a fraction.
    pub(crate) fn sqrt(self) -> Option<Rational> {
        let root = |x: i128| u128::try_from(x).ok().map(u128::isqrt).map(|r| r as i128);
        let (num, den) = (root(self.num)?, root(self.den)?);
        (num * num == self.num && den * den == self.den).then_some(Rational { num, den })
    }

    /// `None` also when `other` is 0.
    pub(crate) fn div(self, other: Rational) -> Option<Rational> {
        Rational::new(self.num.checked_mul(other.den)?, self.den.checked_mul(other.num)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_come_back() {
        for v in [1.0, -1.5, 0.1, 1e-8, 0.999, 3e12, -7.25e-6, 1.0 / 3.0, 1e15] {
            assert_eq!(Rational::from_f64(v).map(Rational::to_f64), Some(v), "{v}");
        }
        for v in [f64::NAN, f64::INFINITY, -0.0, 1e-300, 1e300] {
            assert_eq!(Rational::from_f64(v), None, "{v}");
        }
    }

    #[test]
    fn arithmetic_is_exact_or_refuses() {
        let third = Rational::ONE.div(Rational::new(3, 1).unwrap()).unwrap();
        let sum = third.add(third).and_then(|x| x.add(third));
        assert_eq!(sum, Some(Rational::ONE));
        assert_eq!(third.sub(third), Some(Rational::ZERO));
        assert_eq!(Rational::ONE.div(Rational::ZERO), None);
        assert_eq!(Rational::new(2, -4), Rational::new(-1, 2));
        assert_eq!(Rational::new(9, 4).and_then(Rational::sqrt), Rational::new(3, 2));
        assert_eq!(third.sqrt(), None);
        assert_eq!(Rational::new(-4, 1).and_then(Rational::sqrt), None);
        let tenth = Rational::from_f64(0.1).unwrap();
        let cube = tenth.mul(tenth).and_then(|x| x.mul(tenth));
        assert_eq!(cube, None, "three roundings of 53 bits do not fit");
    }
}
