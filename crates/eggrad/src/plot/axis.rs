//! An axis: from numbers to pixels, and where its marks are.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scale {
    /// Logarithmic if all values are positive and span more than a factor of 100, else linear.
    #[default]
    Auto,
    /// Equal steps for equal differences.
    Linear,
    /// The same, with marks at whole numbers alone.
    Whole,
    /// Equal steps for equal ratios.
    Log,
}

/// One axis of a plot.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    whole: bool,
}

/// Ratio of largest to smallest value from which [`Scale::Auto`] is logarithmic.
const LOG_FROM: f64 = 100.0;

/// Share of its length that a linear axis goes beyond the values.
const MARGIN: f64 = 0.04;

impl Axis {
    /// An axis that shows all these finite values, of which there is one at least; or a value that has no logarithm.
    pub(super) fn over(values: &[f64], scale: Scale) -> Result<Axis, f64> {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log = match scale {
            Scale::Auto => low > 0.0 && high / LOG_FROM > low,
            Scale::Linear | Scale::Whole => false,
            Scale::Log if low <= 0.0 => return Err(low),
            Scale::Log => true,
        };
        let whole = scale == Scale::Whole;
        if log {
            // To the next 1, 2 or 5 on either side.
            return Ok(Axis { low: below(low), high: above(high), log, whole });
        }
        // Half of each, so that the difference is finite.
        let margin = (high / 2.0 - low / 2.0) * 2.0 * MARGIN;
        let least = if low == high { (low.abs() * 0.05).max(0.5) } else { 0.0 };
        let margin = if margin.is_finite() { margin.max(least) } else { 0.0 };
        let (from, to) = ((low - margin).max(f64::MIN), (high + margin).min(f64::MAX));
        // What is never negative, such as a loss, gets no negative part.
        let from = if low >= 0.0 { from.max(0.0) } else { from };
        Ok(Axis { low: from, high: if to > from { to } else { from + 1.0 }, log, whole })
    }

    /// Where a value lies: 0 at the low end, 1 at the high.
    fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// At most about `count` places for marks.
    fn marks(&self, count: usize) -> Vec<f64> {
        let count = count.max(2);
        if self.log { marks_of_decades(self.low, self.high, count) } else { self.steps(count) }
    }

    /// Multiples of 1, 2 or 5 times a power of ten.
    fn steps(&self, count: usize) -> Vec<f64> {
        let rough = (self.high / 2.0 - self.low / 2.0) / count as f64 * 2.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= rough);
        let mut step = step.unwrap_or(rough);
        if self.whole {
            step = step.max(1.0);
        }
        let first = (self.low / step).ceil();
        let marks = (0..=2 * count).map(|i| (first + i as f64) * step);
        marks.take_while(|&mark| mark <= self.high).filter(|mark| mark.is_finite()).collect()
    }
}

/// The largest of 1, 2, 5 times a power of ten that is not above `value`.
fn below(value: f64) -> f64 {
    let power = value.log10().floor() as i32;
    let of = |power: i32| [5.0, 2.0, 1.0].map(|m| decimal(m, power));
    [of(power + 1), of(power), of(power - 1)]
        .into_iter()
        .flatten()
        .find(|&mark| mark > 0.0 && mark <= value)
        .unwrap_or(value)
}

/// The smallest of them that is not below `value`.
fn above(value: f64) -> f64 {
    let power = value.log10().floor() as i32;
    let of = |power: i32| [1.0, 2.0, 5.0].map(|m| decimal(m, power));
    [of(power - 1), of(power), of(power + 1)]
        .into_iter()
        .flatten()
        .find(|&mark| mark.is_finite() && mark >= value)
        .unwrap_or(value)
}

/// `digit · 10^power`, as it is read from text: without the error of a power.
fn decimal(digit: f64, power: i32) -> f64 {
    format!("{digit}e{power}").parse().unwrap_or(f64::INFINITY)
}

/// Powers of ten from `low` to `high`, or every n-th if there are many; with 2 and 5 times them if there are few.
fn marks_of_decades(low: f64, high: f64, count: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (last - first).max(1) as usize;
    let every = decades.div_ceil(count);
    let digits: &[f64] = if decades * 3 <= count { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = (first..=last).filter(|power| power.rem_euclid(every as i32) == 0);
    let marks = powers.flat_map(|power| digits.iter().map(move |&digit| decimal(digit, power)));
    marks.filter(|mark| (low..=high).contains(mark)).collect()
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.place(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.marks(hint.bold_points())
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let size = value.abs();
        if size == 0.0 {
            return "0".into();
        }
        // Marks are short numbers; what is below their step is an error of arithmetic.
        let step = self.high / 2.0 - self.low / 2.0;
        let digits =
            if self.log { 3 } else { (size / step).log10().ceil().clamp(0.0, 12.0) as usize + 3 };
        let short: f64 = format!("{value:.digits$e}").parse().unwrap_or(*value);
        if (1e-4..1e6).contains(&size) { format!("{short}") } else { format!("{short:e}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(values: &[f64], scale: Scale, count: usize) -> String {
        let axis = Axis::over(values, scale).expect("an axis");
        let marks = axis.marks(count);
        assert!(marks.len() <= 2 * count + 2, "{marks:?}");
        marks.iter().map(|m| axis.format_ext(m)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(marks(&[0.0, 1.0], Scale::Auto, 6), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(marks(&[0.1, 0.35], Scale::Auto, 6), "0.1 0.15 0.2 0.25 0.3 0.35");
        assert_eq!(marks(&[1.0, 3.0], Scale::Whole, 10), "1 2 3");
        assert_eq!(marks(&[1.0, 1.0], Scale::Whole, 10), "1");
        assert_eq!(marks(&[1.0, 200.0], Scale::Whole, 10), "0 50 100 150 200");
        assert_eq!(marks(&[-2e9, 3e9], Scale::Auto, 6), "-2e9 -1e9 0 1e9 2e9 3e9");
        assert_eq!(marks(&[1.0, 512.0], Scale::Auto, 10), "1 2 5 10 20 50 100 200 500 1000");
        assert_eq!(marks(&[1e-12, 1.0], Scale::Auto, 7), "1e-12 1e-10 1e-8 1e-6 0.0001 0.01 1");
        assert_eq!(marks(&[3.0, 4.0], Scale::Log, 10), "2 5");
    }

    #[test]
    fn places_are_in_order_and_within() {
        for (low, high) in [(0.0, 1.0), (1e-9, 1e9), (f64::MIN, f64::MAX), (5e-324, 1e308)] {
            let axis = Axis::over(&[low, high], Scale::Auto).expect("an axis");
            let (a, b) = (axis.map(&low, (0, 1000)), axis.map(&high, (0, 1000)));
            assert!((0..=80).contains(&a) && (920..=1000).contains(&b), "{low} {high}: {a} {b}");
            assert_eq!(axis.map(&low, (1000, 0)), 1000 - a);
        }
        assert_eq!(Axis::over(&[-1.0, 3.0], Scale::Log).expect_err("no logarithm"), -1.0);
    }
}
