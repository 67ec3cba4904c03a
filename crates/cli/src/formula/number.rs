//! Exact numbers of a formula, and how they are written.

use num_rational::Ratio;
use num_traits::{CheckedAdd, CheckedMul, Signed, Zero};

/// An exact fraction.
pub type Number = Ratio<i128>;

/// The largest denominator that a float is taken to be a fraction of.
const MOST_PARTS: i128 = 1000;

/// The number that a float was written as: a whole number, a fraction of at most 1000 parts that rounds to it, or else
/// its shortest decimals. `None` for infinities, NaN, and what is very large or very small.
pub fn number(value: f64) -> Option<Number> {
    if !value.is_finite() {
        return None;
    }
    if value.fract() == 0.0 && value.abs() < 1e18 {
        return Some(Number::from_integer(value as i128));
    }
    fraction(value).or_else(|| decimals(value))
}

/// The fraction of few parts that rounds to `value`, by its continued fraction.
fn fraction(value: f64) -> Option<Number> {
    if !(1e-6..1e9).contains(&value.abs()) {
        return None;
    }
    let (mut before, mut last) = ((0i128, 1i128), (1i128, 0i128));
    let mut rest = value;
    for _ in 0..24 {
        let whole = rest.floor();
        if whole.abs() >= 1e12 {
            return None;
        }
        let whole_part = whole as i128;
        let next = (whole_part * last.0 + before.0, whole_part * last.1 + before.1);
        (before, last) = (last, next);
        if last.1 > MOST_PARTS {
            return None;
        }
        if last.0 as f64 / last.1 as f64 == value {
            return Some(Number::new(last.0, last.1));
        }
        rest = 1.0 / (rest - whole);
    }
    None
}

/// The shortest decimals that are read as `value`.
fn decimals(value: f64) -> Option<Number> {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let places = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len());
    let digits: i128 = mantissa.replace('.', "").parse().ok()?;
    let exponent = exponent - i32::try_from(places).ok()?;
    let power = 10i128.checked_pow(exponent.unsigned_abs())?;
    if exponent < 0 {
        Some(Number::new(digits, power))
    } else {
        digits.checked_mul(power).map(Number::from_integer)
    }
}

/// The float nearest to a number.
pub(crate) fn float(number: Number) -> f64 {
    *number.numer() as f64 / *number.denom() as f64
}

/// The sum; rounded where the exact one does not fit, `None` where that does not help.
pub(crate) fn sum(a: Number, b: Number) -> Option<Number> {
    a.checked_add(&b).or_else(|| number(float(a) + float(b)))
}

/// The product; rounded where the exact one does not fit, `None` where that does not help.
pub(crate) fn product(a: Number, b: Number) -> Option<Number> {
    a.checked_mul(&b).or_else(|| number(float(a) * float(b)).filter(|p| !p.is_zero()))
}

/// A whole power, exact; `None` where it does not fit or divides by 0.
pub(crate) fn power(base: Number, exponent: i64) -> Option<Number> {
    let one = Number::from_integer(1);
    if base == one {
        return Some(one);
    }
    if base.is_zero() && exponent < 0 || exponent.unsigned_abs() > 128 {
        return None;
    }
    let mut result = one;
    for _ in 0..exponent.unsigned_abs() {
        result = result.checked_mul(&base)?;
    }
    Some(if exponent < 0 { result.recip() } else { result })
}

/// The square root, where it is a fraction.
pub(crate) fn root(value: Number) -> Option<Number> {
    let root = |x: i128| {
        let x = u128::try_from(x).ok()?;
        let root = x.isqrt();
        (root * root == x).then_some(root as i128)
    };
    Some(Number::new(root(*value.numer())?, root(*value.denom())?))
}

/// The decimals of a number that has finitely many and few, such as 0.125.
pub(crate) fn as_decimals(value: Number) -> Option<String> {
    let mut rest = *value.denom();
    let (mut twos, mut fives) = (0u32, 0u32);
    while rest % 2 == 0 {
        rest /= 2;
        twos += 1;
    }
    while rest % 5 == 0 {
        rest /= 5;
        fives += 1;
    }
    let places = twos.max(fives);
    if rest != 1 || places > 30 {
        return None;
    }
    let digits = i128::checked_mul(*value.numer(), 10i128.checked_pow(places)? / *value.denom())?;
    if digits.unsigned_abs() >= 10u128.pow(18) {
        return None;
    }
    if places > 6 && digits.unsigned_abs() < 10u128.pow(places - 4) {
        return Some(format!("{:?}", float(value)));
    }
    let sign = if value.is_negative() { "-" } else { "" };
    let digits = format!("{:0>1$}", digits.unsigned_abs(), places as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - places as usize);
    Some(if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_the_numbers_they_were_written_as() {
        for (value, (p, q)) in [
            (0.1, (1, 10)),
            (1.0 / 3.0, (1, 3)),
            (-2.0 / 7.0, (-2, 7)),
            (2.5, (5, 2)),
            (1e-4, (1, 10_000)),
            (0.044715, (44715, 1_000_000)),
            (3e17, (300_000_000_000_000_000, 1)),
        ] {
            assert_eq!(number(value), Some(Number::new(p, q)), "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert_eq!(number(value), None, "{value}");
        }
    }

    #[test]
    fn numbers_become_decimals_where_they_are_short() {
        let text = |p, q| as_decimals(Number::new(p, q));
        assert_eq!(text(1, 8).as_deref(), Some("0.125"));
        assert_eq!(text(-5, 2).as_deref(), Some("-2.5"));
        assert_eq!(text(7, 1).as_deref(), Some("7"));
        assert_eq!(text(1, 10_000_000_000).as_deref(), Some("1e-10"));
        assert_eq!(text(1, 3), None);
    }

    #[test]
    fn what_does_not_fit_is_rounded_or_refused() {
        let tiny = number(0.7978845608028654).unwrap();
        let cube = product(tiny, tiny).and_then(|x| product(x, tiny)).unwrap();
        assert!((float(cube) - 0.7978845608028654f64.powi(3)).abs() < 1e-15);
        let large = Number::from_integer(10i128.pow(30));
        assert_eq!(product(large, large), None);
        assert_eq!(root(Number::new(9, 4)), Some(Number::new(3, 2)));
        assert_eq!(root(Number::from_integer(2)), None);
        assert_eq!(power(Number::new(1, 2), -3), Some(Number::from_integer(8)));
    }
}
