//! Metrics of classes.

use super::{Metric, MetricSpec, Seen, masked, quotient};
use crate::loss::Task;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType};
use serde::{Deserialize, Serialize};

/// Share of predictions that are right: the class of the largest number, or, for binary targets, a probability above
/// one half or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> String {
        "accuracy".to_string()
    }

    fn spec(&self) -> Option<MetricSpec> {
        Some(MetricSpec::Accuracy(*self))
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        let float = seen.prediction.graph().float();
        let hits = match seen.task {
            Task::Classes { .. } => seen.prediction.argmax(-1).equal(seen.target),
            Task::Shares => seen.prediction.argmax(-1).equal(seen.target.argmax(-1)),
            Task::Binary => seen.probabilities.gt(0.5).equal(seen.target.gt(0.5)),
            Task::Numbers => return vec![no_classes(seen, "accuracy")],
        };
        let hits = hits.cast(float);
        seen.mean_of(hits)
    }

    fn value(&self, sums: &[f64]) -> f64 {
        quotient(sums)
    }
}

/// Share of rows whose class is among the `k` largest predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopKAccuracy(pub usize);

impl Metric for TopKAccuracy {
    fn name(&self) -> String {
        format!("top_{}_accuracy", self.0)
    }

    fn spec(&self) -> Option<MetricSpec> {
        Some(MetricSpec::TopKAccuracy { k: self.0 })
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        let graph = seen.prediction.graph();
        let target = match seen.task {
            Task::Classes { .. } => seen.target,
            Task::Shares => seen.target.argmax(-1),
            Task::Binary | Task::Numbers => return vec![no_classes(seen, "top_k_accuracy")],
        };
        if self.0 == 0 {
            let message = "looks at no predictions";
            let help = "ask for at least one, as `TopKAccuracy(5)`";
            graph.record(eggrad_ir::TypeError::new("top_k_accuracy", At::Unknown, message, help));
            return vec![graph.poison()];
        }
        // Equal predictions count as right, as in Keras.
        let classes = size(seen.prediction);
        let truth = target.one_hot(classes);
        let own = (truth * seen.prediction).keepdims().sum(-1);
        let larger = seen.prediction.gt(own).cast(graph.float()).sum(-1);
        let hits = larger.lt(self.0 as f64).cast(graph.float());
        seen.mean_of(hits)
    }

    fn value(&self, sums: &[f64]) -> f64 {
        quotient(sums)
    }
}

/// How often each class (rows) was predicted as each class (columns); its value is the share on the diagonal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfusionMatrix;

impl Metric for ConfusionMatrix {
    fn name(&self) -> String {
        "confusion_matrix".to_string()
    }

    fn spec(&self) -> Option<MetricSpec> {
        Some(MetricSpec::ConfusionMatrix(*self))
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        vec![confusion(seen, "confusion_matrix")]
    }

    fn value(&self, sums: &[f64]) -> f64 {
        let n = side(sums);
        let right: f64 = (0..n).map(|i| sums[i * n + i]).sum();
        right / sums.iter().sum::<f64>()
    }
}

macro_rules! of_confusion {
    ($($(#[$doc:meta])* $Metric:ident $name:literal |$right:ident, $claimed:ident, $there:ident| $value:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// Of two classes it is that of class 1, of more the mean over classes; 0 for a class of which there is nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct $Metric;

        impl Metric for $Metric {
            fn name(&self) -> String {
                $name.to_string()
            }

            fn spec(&self) -> Option<MetricSpec> {
                Some(MetricSpec::$Metric(*self))
            }

            fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
                vec![confusion(seen, $name)]
            }

            fn value(&self, sums: &[f64]) -> f64 {
                per_class(sums, |$right, $claimed, $there| $value)
            }
        }
    )*};
}

of_confusion! {
    /// Share of what was predicted as a class that is of it.
    Precision "precision" |right, claimed, _there| ratio(right, claimed);
    /// Share of what is of a class that was predicted as it.
    Recall "recall" |right, _claimed, there| ratio(right, there);
    /// Harmonic mean of precision and recall.
    F1 "f1" |right, claimed, there| ratio(2.0 * right, claimed + there);
}

/// Area under the curve of true against false positive rates, for binary targets or two classes: the probability that a
/// positive is ranked above a negative, with probabilities in 200 bins of equal width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Auc;

/// Bins of probabilities.
const BINS: usize = 200;

impl Metric for Auc {
    fn name(&self) -> String {
        "auc".to_string()
    }

    fn spec(&self) -> Option<MetricSpec> {
        Some(MetricSpec::Auc(*self))
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        let graph = seen.prediction.graph();
        let two = size(seen.prediction) == 2;
        let (p, y) = match seen.task {
            Task::Binary => (seen.probabilities, seen.target),
            Task::Classes { .. } if two => {
                (seen.probabilities.slice(-1, 1..2).squeeze(-1), seen.target.cast(graph.float()))
            }
            Task::Shares if two => {
                (seen.probabilities.slice(-1, 1..2), seen.target.slice(-1, 1..2))
            }
            Task::Classes { .. } | Task::Shares | Task::Numbers => {
                return vec![no_classes(seen, "auc")];
            }
        };
        let n = p.ty().map_or(0, |ty| ty.shape.elements());
        let counted = |y: Tensor<'g>| masked(seen, y).reshape([n]);
        let last = (BINS - 1) as f64;
        let bin = (p * BINS as f64).floor().clamp(0.0, last).cast(DType::I32);
        let bins = bin.reshape([n]).one_hot(BINS);
        vec![counted(y).matmul(bins), counted(1.0 - y).matmul(bins)]
    }

    fn value(&self, sums: &[f64]) -> f64 {
        let (positive, negative) = sums.split_at(sums.len() / 2);
        let (mut below, mut area) = (0.0, 0.0);
        for (p, n) in positive.iter().zip(negative) {
            area += p * (below + n / 2.0);
            below += n;
        }
        area / (below * positive.iter().sum::<f64>())
    }
}

/// Counts `[classes · classes]` of truths (rows) and predictions (columns).
fn confusion<'g>(seen: &Seen<'g>, op: &str) -> Tensor<'g> {
    let classes = size(seen.prediction);
    let (truth, guess, classes) = match seen.task {
        Task::Classes { .. } => (seen.target, seen.prediction.argmax(-1), classes),
        Task::Shares => (seen.target.argmax(-1), seen.prediction.argmax(-1), classes),
        Task::Binary => {
            let number = |x: Tensor<'g>| x.gt(0.5).cast(DType::I32);
            (number(seen.target), number(seen.probabilities), 2)
        }
        Task::Numbers => return no_classes(seen, op),
    };
    let n = truth.ty().map_or(0, |ty| ty.shape.elements());
    let truth = truth.reshape([n]).one_hot(classes);
    let truth = seen.mask.map_or(truth, |mask| truth * mask.reshape([n, 1]));
    let guess = guess.reshape([n]).one_hot(classes);
    truth.transpose().matmul(guess).reshape([classes * classes])
}

fn size(prediction: Tensor<'_>) -> usize {
    prediction.ty().and_then(|ty| ty.shape.dims().last().copied()).unwrap_or(1)
}

/// Records that a metric of classes was asked for on numbers.
fn no_classes<'g>(seen: &Seen<'g>, op: &str) -> Tensor<'g> {
    let graph = seen.prediction.graph();
    let help = "use a loss of classes or of binary targets, or a metric such as `Mae`";
    let message = "counts classes, which the targets of this loss are not";
    graph.record(eggrad_ir::TypeError::new(op, At::Unknown, message, help));
    graph.poison()
}

/// Number of classes of a confusion matrix.
fn side(sums: &[f64]) -> usize {
    (sums.len() as f64).sqrt().round() as usize
}

fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// Of two classes what `value` makes of class 1, else the mean over classes; it is given how many were right, how many
/// were predicted, and how many there are.
fn per_class(sums: &[f64], value: impl Fn(f64, f64, f64) -> f64) -> f64 {
    let n = side(sums);
    let of = |class: usize| {
        let predicted: f64 = (0..n).map(|i| sums[i * n + class]).sum();
        let there: f64 = sums[class * n..(class + 1) * n].iter().sum();
        value(sums[class * n + class], predicted, there)
    };
    if n == 2 { of(1) } else { (0..n).map(of).sum::<f64>() / n as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_counts() {
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        };
        // Two classes: 3 true negatives, 1 false positive, 2 false negatives, 4 true positives.
        let two = [3.0, 1.0, 2.0, 4.0];
        near(Precision.value(&two), 0.8);
        near(Recall.value(&two), 4.0 / 6.0);
        near(F1.value(&two), 8.0 / 11.0);
        near(ConfusionMatrix.value(&two), 0.7);
        // Three classes, of which the last is never predicted.
        let three = [2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 2.0, 0.0];
        near(Precision.value(&three), (2.0 / 3.0 + 1.0 / 3.0) / 3.0);
        near(Recall.value(&three), (1.0 + 0.5) / 3.0);
        near(F1.value(&three), (0.8 + 2.0 / 5.0) / 3.0);
        // One positive in the highest bin, negatives half below and half in the same.
        let mut bins = vec![0.0; 2 * BINS];
        (bins[BINS - 1], bins[BINS], bins[2 * BINS - 1]) = (1.0, 1.0, 1.0);
        near(Auc.value(&bins), 0.75);
        assert!(Accuracy.value(&[0.0, 0.0]).is_nan());
    }
}
