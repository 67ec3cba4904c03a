//! How far the two sides of a rule are off in `f32`.
//!
//! Inputs are drawn near 0, near 1, large, and close to each other; both sides are computed with one rounding to `f32`
//! per op and compared with `f64`. Only points count at which both sides agree in `f64`, so that the reference is
//! known.

use crate::check::{Met, meet};
use crate::draws::Draws;
use crate::rules::Rule;
use crate::sides::{build, outputs};
use crate::terms::{ANY_SIZE, Among};
use eggrad_interp::{Precision, Tensor};
use eggrad_ir::{DType, Graph};
use std::fmt;

/// Matches that are measured, and draws of values for each.
const MATCHES: usize = 120;
const SAMPLES: usize = 6;
/// Draws after which a rule is left unmeasured.
const ATTEMPTS: usize = 80_000;
/// Inputs without a range are within this of an offset.
const SCALES: [f64; 6] = [1e-3, 1e-2, 1.0, 10.0, 100.0, 1e20];
const OFFSETS: [f64; 5] = [0.0, 0.0, 0.0, 1.0, 1000.0];
/// Exponents of 2 of inputs of any size; within [`ANY_SIZE`].
const MOST_BITS: i64 = 48;
/// The relative difference up to which both sides agree in `f64`.
const AGREE: f64 = 1e-9;
/// By how much a side is worse than the other one at a point.
const FACTOR: f64 = 8.0;
/// At how many times as many points a side is the worse one, for it to be called so.
const MOSTLY: usize = 10;

/// The worst error of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Worst {
    /// Units in the last place of the exact value, where the result is a number.
    ulps: f64,
    /// Points at which the result is no number.
    lost: usize,
    /// Such points at which the other side gives a number.
    lost_alone: usize,
    /// Points at which both are numbers and this one is worse.
    beaten: usize,
}

/// Errors of both sides of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Errors {
    pub(crate) left: Worst,
    pub(crate) right: Worst,
}

/// What a rule does to the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stabilises,
    Neutral,
    Worse,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Stabilises => "stabilises",
            Verdict::Neutral => "neutral",
            Verdict::Worse => "worse",
        })
    }
}

impl fmt::Display for Worst {
    /// Rounded up to 0, 1, 4 or a power of ten.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lost > 0 {
            return f.write_str("inf/NaN");
        }
        let small = [(0.0, "0"), (1.0, "1"), (4.0, "4"), (10.0, "10"), (100.0, "100")];
        if let Some((_, text)) = small.iter().find(|s| self.ulps <= s.0) {
            return f.write_str(text);
        }
        match (3..=7).find(|&power| self.ulps <= 10f64.powi(power)) {
            Some(power) => write!(f, "1e{power}"),
            None => f.write_str("> 1e7"),
        }
    }
}

impl Errors {
    pub(crate) fn verdict(&self) -> Verdict {
        let mostly = |left: usize, right: usize| match () {
            () if left > MOSTLY * right => Some(Verdict::Stabilises),
            () if right > MOSTLY * left => Some(Verdict::Worse),
            () => None,
        };
        let lost = mostly(self.left.lost_alone, self.right.lost_alone);
        let beaten = || mostly(self.left.beaten, self.right.beaten);
        lost.or_else(beaten).unwrap_or(Verdict::Neutral)
    }

    /// Takes one element into account: `exact` and what each side makes of it.
    fn add(&mut self, exact: f64, left: f64, right: f64) {
        let error = |value: f64| match value.is_finite() {
            true => ulps(value, exact),
            false => f64::INFINITY,
        };
        let (left, right) = (error(left), error(right));
        for (side, mine, other) in [(&mut self.left, left, right), (&mut self.right, right, left)] {
            match mine.is_finite() {
                true => side.ulps = side.ulps.max(mine),
                false => side.lost += 1,
            }
            side.lost_alone += usize::from(mine.is_infinite() && other.is_finite());
            let worse = mine.is_finite() && mine > FACTOR * other.max(1.0);
            side.beaten += usize::from(worse);
        }
    }
}

/// The unit in the last place of an `f32` at `x`.
fn ulp(x: f64) -> f64 {
    let exponent = (x.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52) as i32 - 1023;
    f64::from(f32::EPSILON) * 2f64.powi(exponent)
}

/// Distance of `value` from `exact` in units in the last place of an `f32` there; subnormal numbers count as 0.
fn ulps(value: f64, exact: f64) -> f64 {
    let least = f64::from(f32::MIN_POSITIVE);
    let flush = |x: f64| if x.abs() < least { 0.0 } else { x };
    let (value, exact) = (flush(value), flush(exact));
    // What is flushed on one side alone is at most one step of the smallest number.
    if exact == 0.0 && value.abs() <= 2.0 * least {
        0.0
    } else {
        (value - exact).abs() / ulp(exact)
    }
}

/// Errors of both sides over seeded draws; `None` where the rule is met too rarely.
pub(crate) fn measure(rule: &Rule) -> Option<Errors> {
    let mut draws = Draws::new(5);
    let (mut errors, mut matches, mut points) = (Errors::default(), 0, 0);
    for _ in 0..ATTEMPTS {
        let Some(Met::Sides(sides)) = meet(rule, &[], Among::Inputs, DType::F32, &mut draws) else {
            continue;
        };
        let graph = build(sides.graph().0);
        for _ in 0..SAMPLES {
            points += sample(&graph, &mut errors, &mut draws);
        }
        matches += 1;
        if matches == MATCHES {
            return (points > 0).then_some(errors);
        }
    }
    None
}

/// Draws values once; how many points were of use.
fn sample(graph: &Graph, errors: &mut Errors, draws: &mut Draws) -> usize {
    let inputs: Vec<Tensor> = graph
        .inputs()
        .iter()
        .map(|input| {
            let (scale, offset) = (SCALES[draws.below(6)], OFFSETS[draws.below(5)]);
            let mut value = || match input.range {
                Some((low, high)) if !input.ty.dtype.is_float() => {
                    draws.int(low as i64, high as i64) as f64
                }
                Some(ANY_SIZE) => {
                    draws.float(1.0, 2.0) * 2f64.powi(draws.int(-MOST_BITS, MOST_BITS) as i32)
                }
                Some((low, high)) => draws.float(low, high),
                None if !input.ty.dtype.is_float() => draws.int(0, 3) as f64,
                None => offset + draws.float(-scale, scale),
            };
            let values: Vec<f64> = (0..input.ty.shape.elements()).map(|_| value()).collect();
            Tensor::from_values(input.ty.clone(), &values)
        })
        .collect();
    let exact = outputs(graph, &inputs, Precision::Wide);
    let rounded = outputs(graph, &inputs, Precision::AsWritten);
    let mut points = 0;
    for (i, (&a, &b)) in exact[0].iter().zip(&exact[1]).enumerate() {
        let agree = (a - b).abs() <= AGREE * a.abs().max(b.abs());
        let fits = a.abs() <= f64::from(f32::MAX);
        if agree && fits {
            errors.add(a, rounded[0][i], rounded[1][i]);
            points += 1;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule_set::RuleSet;

    #[test]
    fn errors_are_told_apart() {
        let verdict = |row: &str| {
            let set = RuleSet::unchecked(&format!("# why\nfoo [real]: {row}"));
            measure(&set.rules()[0]).map(|e| e.verdict())
        };
        let overflow = "(log (exp ?a)) => ?a";
        assert_eq!(verdict(overflow), Some(Verdict::Stabilises));
        assert_eq!(verdict("(neg (neg (abs ?a))) => (log (exp (abs ?a)))"), Some(Verdict::Worse));
        let cancellation = "(sub (exp ?a) 1) => (expm1 ?a)";
        assert_eq!(verdict(cancellation), Some(Verdict::Stabilises));
        assert_eq!(verdict("(expm1 ?a) => (sub (exp ?a) 1)"), Some(Verdict::Worse));
        assert_eq!(verdict("(mul 2 ?a) => (add ?a ?a)"), Some(Verdict::Neutral));
        assert_eq!(verdict("(sum ?S (neg ?a)) => 1 if simplex(?S, ?a); integer(?a)"), None);
    }

    #[test]
    fn errors_are_counted_in_last_places() {
        assert_eq!(ulps(1.0, 1.0 + f64::from(f32::EPSILON) / 4.0), 0.25);
        assert_eq!(ulps(0.0, 1e-40), 0.0);
        let worst = |ulps: f64| Worst { ulps, ..Worst::default() }.to_string();
        assert_eq!([0.0, 0.5, 3.0, 9.0, 20.0].map(worst), ["0", "1", "4", "10", "100"]);
        assert_eq!([101.0, 2e5, 1e9].map(worst), ["1e3", "1e6", "> 1e7"]);
        assert_eq!(Worst { ulps: 1.0, lost: 2, ..Worst::default() }.to_string(), "inf/NaN");
    }
}
