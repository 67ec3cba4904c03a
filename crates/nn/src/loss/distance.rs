//! Losses of numbers.

use super::{Loss, LossSpec, Task};
use crate::allowed::Allowed;
use crate::losses::EPSILON;
use crate::tensor::Tensor;
use eggrad_ir::At;
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

macro_rules! distances {
    ($($(#[$doc:meta])* $Loss:ident $name:literal $task:expr, |$p:ident, $y:ident| $each:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct $Loss;

        impl Loss for $Loss {
            fn name(&self) -> String {
                $name.to_string()
            }

            fn task(&self) -> Task {
                $task
            }

            fn spec(&self) -> Option<LossSpec> {
                Some(LossSpec::$Loss(*self))
            }

            fn each<'g>(&self, $p: Tensor<'g>, $y: Tensor<'g>) -> Tensor<'g> {
                $each
            }
        }
    )*};
}

distances! {
    /// `(p - y)²`
    MeanSquaredError "mse" Task::Numbers, |p, y| (p - y).square();
    /// `(p - y)² / 2`, whose derivative is `p - y`.
    HalfMeanSquaredError "half_mse" Task::Numbers, |p, y| (p - y).square() * 0.5;
    /// `|p - y|`, with derivative 0 where both are equal.
    MeanAbsoluteError "mae" Task::Numbers, |p, y| (p - y).abs();
    /// `log(cosh(p - y))`, as the squared error near the target and the absolute error far from it.
    LogCosh "log_cosh" Task::Numbers, |p, y| (p - y) + ((p - y) * -2.0).softplus() - LN_2;
    /// `max(1 - s·p, 0)`, where `s` is 1 for targets of 1 and -1 for targets of 0 or -1.
    Hinge "hinge" Task::Numbers, |p, y| (1.0 - signs(y) * p).relu();
    /// `max(1 - s·p, 0)²`, with `s` as for [`Hinge`].
    SquaredHinge "squared_hinge" Task::Numbers, |p, y| (1.0 - signs(y) * p).relu().square();
    /// `p - y·log(p + ε)` of predicted rates and counts.
    Poisson "poisson" Task::Numbers, |p, y| p - y * (p + EPSILON).log();
}

/// 1 above 0, else -1.
fn signs(y: Tensor<'_>) -> Tensor<'_> {
    y.gt(0.0).select(1.0, -1.0)
}

/// `d²/2` where `|d| <= delta`, else `delta · (|d| - delta/2)`, with `d = p - y`.
///
/// # Source
/// Huber 1964
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Huber {
    delta: f64,
}

impl Huber {
    /// With this bound between the two.
    pub fn new(delta: f64) -> Huber {
        Huber { delta }
    }
}

impl Loss for Huber {
    fn name(&self) -> String {
        "huber".to_string()
    }

    fn task(&self) -> Task {
        Task::Numbers
    }

    fn spec(&self) -> Option<LossSpec> {
        Some(LossSpec::Huber(*self))
    }

    fn each<'g>(&self, prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
        let settings = [("delta", self.delta, Allowed::Positive)];
        if !prediction.graph().allows("huber", At::Unknown, &settings) {
            return prediction.graph().poison();
        }
        let d = prediction - target;
        let far = (d.abs() - self.delta / 2.0) * self.delta;
        d.abs().le(self.delta).select(d.square() * 0.5, far)
    }
}
