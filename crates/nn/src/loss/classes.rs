//! Losses of probabilities.

use super::{Loss, LossSpec, Task};
use crate::allowed::Allowed;
use crate::tensor::Tensor;
use eggrad_ir::At;
use serde::{Deserialize, Serialize};

/// Methods of losses with a field `logits`.
macro_rules! from_logits {
    ($($Loss:ident)*) => {$(
        impl $Loss {
            /// Takes what comes before the sigmoid or softmax. This is never needed for precision: a model that ends in
            /// one compiles to the same step.
            pub fn from_logits(self) -> $Loss {
                $Loss { logits: true, ..self }
            }

            /// Mixes targets with equal shares: `(1 - smoothing) · y + smoothing / classes`, with two classes for binary
            /// targets.
            pub fn label_smoothing(self, smoothing: f64) -> $Loss {
                $Loss { smoothing, ..self }
            }

            /// Focal loss: times `(1 - p)^gamma`, where `p` is the probability of the truth, so that what is right
            /// already counts less (Lin et al. 2017, equation 4).
            pub fn focal(self, gamma: f64) -> $Loss {
                $Loss { focal: gamma, ..self }
            }

            /// Whether the settings can be; else errors are recorded.
            fn holds(&self, prediction: Tensor<'_>) -> bool {
                let settings = [
                    ("label_smoothing", self.smoothing, Allowed::Share),
                    ("focal", self.focal, Allowed::NotNegative),
                ];
                prediction.graph().allows(&self.name(), At::Unknown, &settings)
            }
        }
    )*};
}

from_logits! { BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy }

/// Cross-entropy of probabilities that are independent of each other: `-y·log(p) - (1-y)·log(1-p)`, the mean over all.
///
/// # Shapes
/// `[rows, ..]`, targets of the same shape
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossentropy {
    logits: bool,
    smoothing: f64,
    focal: f64,
}

impl BinaryCrossentropy {
    /// Of probabilities.
    pub fn new() -> BinaryCrossentropy {
        BinaryCrossentropy::default()
    }
}

impl Loss for BinaryCrossentropy {
    fn name(&self) -> String {
        "binary_crossentropy".to_string()
    }

    fn task(&self) -> Task {
        Task::Binary
    }

    fn spec(&self) -> Option<LossSpec> {
        Some(LossSpec::BinaryCrossentropy(*self))
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        if !self.holds(prediction) {
            return prediction.graph().poison();
        }
        let y = smoothed(target, self.smoothing, 2);
        let entropy = if self.logits {
            y * (-prediction).softplus() + (1.0 - y) * prediction.softplus()
        } else {
            -(y * prediction.log() + (1.0 - y) * (1.0 - prediction).log())
        };
        focal(entropy, self.focal)
    }

    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        if self.logits { prediction.sigmoid() } else { prediction }
    }
}

/// Cross-entropy of rows of probabilities and rows of targets: `-Σ y·log(p)`, the mean over rows.
///
/// # Shapes
/// `[rows, .., classes]`, targets of the same shape
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalCrossentropy {
    logits: bool,
    smoothing: f64,
    focal: f64,
}

impl CategoricalCrossentropy {
    /// Of probabilities that add up to one in each row.
    pub fn new() -> CategoricalCrossentropy {
        CategoricalCrossentropy::default()
    }
}

impl Loss for CategoricalCrossentropy {
    fn name(&self) -> String {
        "categorical_crossentropy".to_string()
    }

    fn task(&self) -> Task {
        Task::Shares
    }

    fn spec(&self) -> Option<LossSpec> {
        Some(LossSpec::CategoricalCrossentropy(*self))
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        if !self.holds(prediction) {
            return prediction.graph().poison();
        }
        let y = smoothed(target, self.smoothing, classes(prediction));
        focal(entropy(prediction, y, self.logits), self.focal)
    }

    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        if self.logits { prediction.softmax(-1) } else { prediction }
    }
}

/// Cross-entropy of rows of probabilities and the number of the right class of each: `-log(p[label])`, the mean over
/// rows.
///
/// # Shapes
/// `[rows, .., classes]`, integers `[rows, ..]`
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseCategoricalCrossentropy {
    logits: bool,
    smoothing: f64,
    focal: f64,
    ignored: Option<i32>,
}

impl SparseCategoricalCrossentropy {
    /// Of probabilities that add up to one in each row.
    pub fn new() -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy::default()
    }

    /// Leaves rows with this label out, of the loss and of metrics; -1 is usual.
    pub fn ignore(self, label: i32) -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy { ignored: Some(label), ..self }
    }
}

impl Loss for SparseCategoricalCrossentropy {
    fn name(&self) -> String {
        "sparse_categorical_crossentropy".to_string()
    }

    fn task(&self) -> Task {
        Task::Classes { ignored: self.ignored }
    }

    fn spec(&self) -> Option<LossSpec> {
        Some(LossSpec::SparseCategoricalCrossentropy(*self))
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        if !self.holds(prediction) {
            return prediction.graph().poison();
        }
        let classes = classes(prediction);
        let y = smoothed(target.one_hot(classes), self.smoothing, classes);
        focal(entropy(prediction, y, self.logits), self.focal)
    }

    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        if self.logits { prediction.softmax(-1) } else { prediction }
    }
}

/// Kullback-Leibler divergence of rows of probabilities from rows of targets: `Σ y·log(y/p)`, the mean over rows.
///
/// # Shapes
/// `[rows, .., classes]`, targets of the same shape
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlDivergence {
    logits: bool,
}

impl KlDivergence {
    /// Of probabilities that add up to one in each row.
    pub fn new() -> KlDivergence {
        KlDivergence::default()
    }

    /// Takes what comes before the softmax.
    pub fn from_logits(self) -> KlDivergence {
        KlDivergence { logits: true }
    }
}

impl Loss for KlDivergence {
    fn name(&self) -> String {
        "kl_divergence".to_string()
    }

    fn task(&self) -> Task {
        Task::Shares
    }

    fn spec(&self) -> Option<LossSpec> {
        Some(LossSpec::KlDivergence(*self))
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        target.xlogy(target).sum(-1) + entropy(prediction, target, self.logits)
    }

    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        if self.logits { prediction.softmax(-1) } else { prediction }
    }
}

/// Size of the last axis.
fn classes(prediction: Tensor<'_>) -> usize {
    prediction.ty().and_then(|ty| ty.shape.dims().last().copied()).unwrap_or(1)
}

/// `-Σ y·log(p)` of each row.
fn entropy<'g>(prediction: Tensor<'g>, y: Tensor<'g>, logits: bool) -> Tensor<'g> {
    let log = if logits { prediction.log_softmax(-1) } else { prediction.log() };
    -(y * log).sum(-1)
}

fn smoothed(y: Tensor<'_>, smoothing: f64, classes: usize) -> Tensor<'_> {
    if smoothing == 0.0 {
        return y;
    }
    y * (1.0 - smoothing) + smoothing / classes as f64
}

/// `(1 - e^-entropy)^gamma · entropy`
fn focal(entropy: Tensor<'_>, gamma: f64) -> Tensor<'_> {
    if gamma == 0.0 {
        return entropy;
    }
    (-(-entropy).expm1()).pow(gamma) * entropy
}
