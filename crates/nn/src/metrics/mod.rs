//! Metrics: what people read beside the loss. Each is made of sums over predictions that are computed in the step, so
//! that it is exact for a whole epoch of batches of any sizes.

mod classes;
mod distance;
mod spec;

pub use classes::{Accuracy, Auc, ConfusionMatrix, F1, Precision, Recall, TopKAccuracy};
pub use distance::{Mae, Mse, R2, Rmse};
pub use spec::MetricSpec;

use crate::loss::Task;
use crate::tensor::Tensor;
use std::fmt;
use std::sync::Arc;

/// What a metric looks at.
#[derive(Clone, Copy)]
pub struct Seen<'g> {
    /// What the model made.
    pub prediction: Tensor<'g>,
    /// The probabilities that it stands for; the same where the loss is not from logits.
    pub probabilities: Tensor<'g>,
    /// What it should have been.
    pub target: Tensor<'g>,
    /// What the targets are.
    pub task: Task,
    /// 1 for each target that counts, else 0; `None` where all do.
    pub mask: Option<Tensor<'g>>,
}

impl<'g> Seen<'g> {
    /// The two sums that a mean of `each` is made of: of it, where the target counts, and how many count. A metric whose
    /// sums they are has the value `sums[0] / sums[1]`.
    ///
    /// # Shapes
    /// a float for each target → two numbers
    #[track_caller]
    pub fn mean_of(&self, each: Tensor<'g>) -> Vec<Tensor<'g>> {
        vec![masked(self, each).sum(..), count(self, each)]
    }
}

/// A number made of sums over predictions.
///
/// ```
/// use eggrad_nn::Tensor;
/// use eggrad_nn::metrics::{Metric, Seen};
///
/// /// By how much predictions are too large.
/// #[derive(Debug)]
/// struct Bias;
///
/// impl Metric for Bias {
///     fn name(&self) -> String {
///         "bias".to_string()
///     }
///
///     fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
///         seen.mean_of(seen.prediction - seen.target)
///     }
///
///     fn value(&self, sums: &[f64]) -> f64 {
///         sums[0] / sums[1]
///     }
/// }
/// ```
pub trait Metric: fmt::Debug + Send + Sync {
    /// What it is called in a history.
    fn name(&self) -> String;

    /// The sums over a batch, floats of any shapes.
    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>>;

    /// The metric, of all sums, one after the other, added up over batches; NaN where it has no value.
    fn value(&self, sums: &[f64]) -> f64;

    /// Which output of the model it looks at.
    fn output(&self) -> usize {
        0
    }

    /// The metric as data, which is saved with a model; `None` of one that is code.
    fn spec(&self) -> Option<MetricSpec> {
        None
    }

    /// The same metric of another output of the model.
    fn of_output(self, output: usize) -> OfOutput<Self>
    where
        Self: Sized,
    {
        OfOutput { metric: self, output }
    }
}

/// A metric of an output by its number, [`Metric::of_output`].
#[derive(Clone, Debug)]
pub struct OfOutput<M> {
    metric: M,
    output: usize,
}

impl<M: Metric> Metric for OfOutput<M> {
    fn name(&self) -> String {
        format!("{}_{}", self.metric.name(), self.output)
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        self.metric.sums(seen)
    }

    fn value(&self, sums: &[f64]) -> f64 {
        self.metric.value(sums)
    }

    fn output(&self) -> usize {
        self.output
    }

    fn spec(&self) -> Option<MetricSpec> {
        let metric = Box::new(self.metric.spec()?);
        Some(MetricSpec::OfOutput { metric, output: self.output })
    }
}

/// To choose among metrics when the program runs.
impl<M: Metric + ?Sized> Metric for Arc<M> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        (**self).sums(seen)
    }

    fn value(&self, sums: &[f64]) -> f64 {
        (**self).value(sums)
    }

    fn output(&self) -> usize {
        (**self).output()
    }

    fn spec(&self) -> Option<MetricSpec> {
        (**self).spec()
    }
}

/// The metrics of a model: one, a tuple of several, or `()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of metrics",
    note = "pass a metric such as `Accuracy`, a tuple of several, or `()`"
)]
pub trait IntoMetrics {
    /// The metrics in order.
    fn into_metrics(self) -> Vec<Arc<dyn Metric>>;
}

impl<M: Metric + 'static> IntoMetrics for M {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
        vec![Arc::new(self)]
    }
}

impl IntoMetrics for () {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
        vec![]
    }
}

impl IntoMetrics for Vec<Arc<dyn Metric>> {
    fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
        self
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Metric + 'static, $($rest: Metric + 'static),*> IntoMetrics for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "values are named like their types")]
            fn into_metrics(self) -> Vec<Arc<dyn Metric>> {
                let ($first, $($rest,)*) = self;
                vec![Arc::new($first), $(Arc::new($rest)),*]
            }
        }
        tuples! { $($rest)* }
    };
    () => {};
}

tuples! { A B C D E F G H }

/// How many targets count, as one number.
fn count<'g>(seen: &Seen<'g>, each: Tensor<'g>) -> Tensor<'g> {
    match seen.mask {
        Some(mask) => mask.sum(..),
        None => each.graph().constant(each.ty().map_or(0.0, |ty| ty.shape.elements() as f64)),
    }
}

/// `each` where the target counts, else 0.
fn masked<'g>(seen: &Seen<'g>, each: Tensor<'g>) -> Tensor<'g> {
    seen.mask.map_or(each, |mask| each * mask)
}

/// A quotient, NaN where it is 0/0.
fn quotient(sums: &[f64]) -> f64 {
    match sums {
        [sum, count, ..] => sum / count,
        _ => f64::NAN,
    }
}
