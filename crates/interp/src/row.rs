//! Rows of floats to one float or to a row: reductions, softmax, cross-entropy.

use crate::scalar::{maximum, minimum};
use eggrad_ir::{CrossEntropyOp, ReduceOp, SoftmaxOp};

/// A row of logits against its largest element.
struct Shifted {
    /// The largest, `m`; -inf over nothing.
    max: f64,
    /// Sum of `exp(z - m)` but for one of the elements equal to `m`, so `logsumexp = m + log1p(rest)`.
    rest: f64,
}

impl Shifted {
    fn of(z: &[f64]) -> Shifted {
        let max = z.iter().copied().fold(f64::NEG_INFINITY, maximum);
        let below: f64 = z.iter().filter(|&&x| x < max).map(|x| (x - max).exp()).sum();
        let ties = z.iter().filter(|&&x| x == max).count();
        Shifted { max, rest: below + (ties as f64 - 1.0) }
    }

    fn probability(&self, z: f64) -> f64 {
        (z - self.max).exp() / (1.0 + self.rest)
    }

    /// `1 - probability` from the other elements, without cancellation.
    fn complement(&self, z: f64) -> f64 {
        let others =
            if z == self.max { self.rest } else { (1.0 + self.rest) - (z - self.max).exp() };
        others / (1.0 + self.rest)
    }

    /// `logsumexp - z`
    fn surprise(&self, z: f64) -> f64 {
        self.rest.ln_1p() + (self.max - z)
    }
}

/// A reduction of one row.
pub(crate) fn reduce(op: ReduceOp, row: &[f64]) -> f64 {
    match op {
        ReduceOp::Sum => row.iter().fold(0.0, |a, b| a + b),
        ReduceOp::Prod => row.iter().product(),
        ReduceOp::Max => row.iter().copied().fold(f64::NEG_INFINITY, maximum),
        ReduceOp::Min => row.iter().copied().fold(f64::INFINITY, minimum),
        ReduceOp::LogSumExp => {
            let shifted = Shifted::of(row);
            shifted.max + shifted.rest.ln_1p()
        }
    }
}

/// Softmax of one row, or its logarithm.
pub(crate) fn softmax(op: SoftmaxOp, row: &[f64]) -> Vec<f64> {
    let shifted = Shifted::of(row);
    match op {
        SoftmaxOp::Softmax => row.iter().map(|&z| shifted.probability(z)).collect(),
        SoftmaxOp::LogSoftmax => row.iter().map(|&z| -shifted.surprise(z)).collect(),
    }
}

/// Cross-entropy of one row, as one number, or its residual, as many as the row has.
pub(crate) fn cross_entropy(op: CrossEntropyOp, z: &[f64], t: &[f64]) -> Vec<f64> {
    let shifted = Shifted::of(z);
    match op {
        CrossEntropyOp::Value => {
            let term =
                |(&z, &t): (&f64, &f64)| if t == 0.0 { 0.0 } else { t * shifted.surprise(z) };
            vec![z.iter().zip(t).map(term).fold(0.0, |a, b| a + b)]
        }
        CrossEntropyOp::Residual => {
            let others = sums_of_others(t);
            let element = |((&z, &t), &others): ((&f64, &f64), &f64)| {
                shifted.probability(z) * others - t * shifted.complement(z)
            };
            z.iter().zip(t).zip(&others).map(element).collect()
        }
    }
}

/// For each element the sum of all others, never subtracting.
fn sums_of_others(t: &[f64]) -> Vec<f64> {
    let mut others = vec![0.0; t.len()];
    let (mut before, mut after) = (0.0, 0.0);
    for i in 0..t.len() {
        others[i] += before;
        before += t[i];
        let j = t.len() - 1 - i;
        others[j] += after;
        after += t[j];
    }
    others
}
