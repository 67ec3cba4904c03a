//! Losses as values: what a model is trained to make small.
//!
//! A loss is written as its textbook formula, of probabilities, and compiled to the stable form: a model that ends in a
//! softmax or sigmoid needs no other loss than one that ends in logits. With `from_logits` the loss takes what comes
//! before. The functions of [`crate::losses`] are the same for graphs written by hand.

mod classes;
mod distance;
mod spec;

pub use classes::{
    BinaryCrossentropy, CategoricalCrossentropy, KlDivergence, SparseCategoricalCrossentropy,
};
pub use distance::{
    HalfMeanSquaredError, Hinge, Huber, LogCosh, MeanAbsoluteError, MeanSquaredError, Poisson,
    SquaredHinge,
};
pub use spec::LossSpec;

use crate::allowed::Allowed;
use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, TensorType};
use std::fmt;
use std::sync::Arc;

/// What the targets of a loss are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The number of the right class of each row, below the size of the last axis of the predictions, or the number that
    /// stands for a row to be left out.
    Classes {
        /// The label of rows that do not count.
        ignored: Option<i32>,
    },
    /// A share for each class that add up to one, mostly a one among zeros.
    Shares,
    /// A number from 0 to 1 for each prediction, mostly one of both.
    Binary,
    /// Any number for each prediction.
    Numbers,
}

impl Task {
    /// The input that holds targets for predictions of type `prediction`, and its range if it is integers.
    pub fn target(self, prediction: &TensorType) -> (TensorType, Option<(i32, i32)>) {
        match self {
            Task::Classes { ignored } => {
                let dims = prediction.shape.dims();
                let (classes, lead) =
                    dims.split_last().map_or((1, &dims[..0]), |(classes, lead)| (*classes, lead));
                let last = i32::try_from(classes).unwrap_or(i32::MAX).saturating_sub(1);
                let (low, high) =
                    ignored.map_or((0, last), |ignored| (ignored.min(0), ignored.max(last)));
                (TensorType::new(DType::I32, lead), Some((low, high)))
            }
            Task::Shares | Task::Binary | Task::Numbers => (prediction.clone(), None),
        }
    }
}

/// What a model is trained to make small: a number for each prediction, of which the mean is taken.
pub trait Loss: fmt::Debug + Send + Sync {
    /// What it is called.
    fn name(&self) -> String;

    /// What its targets are.
    fn task(&self) -> Task;

    /// The loss of each prediction.
    ///
    /// # Shapes
    /// predictions `[rows, ..]` and targets as [`Task::target`] says → `[rows, ..]` of up to as many axes
    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g>;

    /// Probabilities that the predictions stand for: for metrics. Those of a loss from logits are a sigmoid or softmax.
    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        prediction
    }

    /// Factor of this loss in a sum of several.
    fn factor(&self) -> f64 {
        1.0
    }

    /// The loss as data, which is saved with a model; `None` of one that is code.
    fn spec(&self) -> Option<LossSpec> {
        None
    }

    /// This loss times `factor` in a sum of several.
    fn weighted(self, factor: f64) -> Weighted<Self>
    where
        Self: Sized,
    {
        Weighted { loss: self, factor }
    }
}

/// A loss times a number, [`Loss::weighted`].
#[derive(Clone, Debug)]
pub struct Weighted<L> {
    loss: L,
    factor: f64,
}

impl<L: Loss> Loss for Weighted<L> {
    fn name(&self) -> String {
        self.loss.name()
    }

    fn task(&self) -> Task {
        self.loss.task()
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        let settings = [("weight", self.factor, Allowed::Finite)];
        if !prediction.graph().allows(&self.name(), At::Unknown, &settings) {
            return prediction.graph().poison();
        }
        self.loss.each(prediction, target)
    }

    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        self.loss.probabilities(prediction)
    }

    fn factor(&self) -> f64 {
        self.factor * self.loss.factor()
    }

    fn spec(&self) -> Option<LossSpec> {
        let loss = Box::new(self.loss.spec()?);
        Some(LossSpec::Weighted { loss, factor: self.factor })
    }
}

/// To choose among losses when the program runs.
impl<L: Loss + ?Sized> Loss for Arc<L> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn task(&self) -> Task {
        (**self).task()
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        (**self).each(prediction, target)
    }

    fn probabilities<'g>(&self, prediction: Tensor<'g>) -> Tensor<'g> {
        (**self).probabilities(prediction)
    }

    fn factor(&self) -> f64 {
        (**self).factor()
    }

    fn spec(&self) -> Option<LossSpec> {
        (**self).spec()
    }
}

/// A loss written as a function of predictions and targets, each of which is a number for each prediction.
pub struct LossFn {
    name: String,
    task: Task,
    function: Function,
}

type Function = Box<dyn for<'g> Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g> + Send + Sync>;

impl LossFn {
    /// The loss called `name` with targets as `task` says.
    pub fn new(
        name: impl Into<String>,
        task: Task,
        function: impl for<'g> Fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g> + Send + Sync + 'static,
    ) -> LossFn {
        LossFn { name: name.into(), task, function: Box::new(function) }
    }
}

impl fmt::Debug for LossFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossFn").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Loss for LossFn {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn task(&self) -> Task {
        self.task
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        // Its formulas are the user's own lines.
        prediction.graph().written_at(None, || (self.function)(prediction, target))
    }
}

/// The losses of a model, one for each output, which are added up.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no loss",
    note = "pass a loss such as `MeanSquaredError`, or a tuple with one for each output"
)]
pub trait IntoLosses {
    /// The losses in the order of the outputs.
    fn into_losses(self) -> Vec<Arc<dyn Loss>>;
}

impl<L: Loss + 'static> IntoLosses for L {
    fn into_losses(self) -> Vec<Arc<dyn Loss>> {
        vec![Arc::new(self)]
    }
}

impl IntoLosses for Vec<Arc<dyn Loss>> {
    fn into_losses(self) -> Vec<Arc<dyn Loss>> {
        self
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Loss + 'static, $($rest: Loss + 'static),*> IntoLosses for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "values are named like their types")]
            fn into_losses(self) -> Vec<Arc<dyn Loss>> {
                let ($first, $($rest,)*) = self;
                vec![Arc::new($first), $(Arc::new($rest)),*]
            }
        }
        tuples! { $($rest)* }
    };
    () => {};
}

tuples! { A B C D E F }

/// What a weighted loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Weighing {
    /// The sum of weights: twice the weight for all changes nothing.
    #[default]
    BySum,
    /// The number of predictions that are not ignored, as in Keras.
    ByRows,
}

/// The mean of one loss over a batch, and what its predictions count together.
#[derive(Clone, Copy)]
pub struct Mean<'g> {
    /// `Σ weight · loss`, divided as [`Weighing`] says, and 0 where nothing counts.
    pub loss: Tensor<'g>,
    /// What it is divided by; `None` where that is the number of predictions.
    pub weight: Option<Tensor<'g>>,
    /// 1 for each prediction that counts and 0 for each that is ignored; `None` where all count.
    pub mask: Option<Tensor<'g>>,
}

/// The mean of `loss` over a batch, in which each row counts as `weights`, `[rows]`, says, and ignored labels do not.
#[track_caller]
pub fn mean_loss<'g>(
    loss: &dyn Loss,
    prediction: Tensor<'g>,
    target: Tensor<'g>,
    weights: Option<(Tensor<'g>, Weighing)>,
) -> Mean<'g> {
    let graph: &'g Graph = prediction.graph();
    let each = loss.each(prediction, target);
    let mask = match loss.task() {
        Task::Classes { ignored: Some(ignored) } => {
            Some(target.not_equal(f64::from(ignored)).cast(graph.float()))
        }
        Task::Classes { ignored: None } | Task::Shares | Task::Binary | Task::Numbers => None,
    };
    let Some(ty) = each.ty() else { return Mean { loss: each, weight: None, mask } };
    let rows = weights.map(|(w, _)| {
        let mut dims = vec![1; ty.rank()];
        if let (Some(first), Some(rows)) = (dims.first_mut(), ty.shape.dims().first()) {
            *first = *rows;
        }
        w.reshape(dims)
    });
    let weight = match (rows, mask) {
        (None, None) => return Mean { loss: each.mean(), weight: None, mask },
        (Some(rows), None) => rows.broadcast_to(ty.shape.clone()),
        (None, Some(mask)) => mask,
        (Some(rows), Some(mask)) => rows * mask,
    };
    let total = match (weights, mask) {
        (Some((_, Weighing::ByRows)), None) => {
            return Mean { loss: (each * weight).mean(), weight: None, mask };
        }
        (Some((_, Weighing::ByRows)), Some(mask)) => mask.sum(..),
        (Some((_, Weighing::BySum)) | None, _) => weight.sum(..),
    };
    // Where nothing counts, 0 and not 0/0.
    let mean = (each * weight).sum(..) / total.maximum(1e-30);
    Mean { loss: mean, weight: Some(total), mask }
}
