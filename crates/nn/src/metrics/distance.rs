//! Metrics of numbers.

use super::{Metric, MetricSpec, Seen, count, masked, quotient};
use crate::loss::Task;
use crate::tensor::Tensor;
use eggrad_ir::At;
use serde::{Deserialize, Serialize};

macro_rules! means {
    ($($(#[$doc:meta])* $Metric:ident $name:literal |$d:ident| $each:expr, |$mean:ident| $value:expr;)*) => {$(
        $(#[$doc])*
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
                let Some($d) = difference(seen, $name) else { return vec![] };
                let each = $each;
                seen.mean_of(each)
            }

            fn value(&self, sums: &[f64]) -> f64 {
                let $mean = quotient(sums);
                $value
            }
        }
    )*};
}

means! {
    /// Mean of `|p - y|`.
    Mae "mae" |d| d.abs(), |mean| mean;
    /// Mean of `(p - y)²`.
    Mse "mse" |d| d.square(), |mean| mean;
    /// Root of the mean of `(p - y)²`.
    Rmse "rmse" |d| d.square(), |mean| mean.sqrt();
}

/// Share of the variance of the targets that the predictions explain: `1 - Σ(y - p)² / Σ(y - mean(y))²`.
///
/// # Numerics
/// The sums of a batch are `f32`: of targets whose mean is a thousand times their deviation, three digits are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct R2;

impl Metric for R2 {
    fn name(&self) -> String {
        "r2".to_string()
    }

    fn spec(&self) -> Option<MetricSpec> {
        Some(MetricSpec::R2(*self))
    }

    fn sums<'g>(&self, seen: &Seen<'g>) -> Vec<Tensor<'g>> {
        let Some(d) = difference(seen, "r2") else { return vec![] };
        let y = seen.target;
        vec![
            masked(seen, d.square()).sum(..),
            masked(seen, y).sum(..),
            masked(seen, y.square()).sum(..),
            count(seen, d),
        ]
    }

    fn value(&self, sums: &[f64]) -> f64 {
        match sums {
            [residual, sum, squares, count] => 1.0 - residual / (squares - sum * sum / count),
            _ => f64::NAN,
        }
    }
}

/// Predictions minus targets, unless the targets are classes; then an error is recorded.
fn difference<'g>(seen: &Seen<'g>, op: &str) -> Option<Tensor<'g>> {
    match seen.task {
        Task::Classes { .. } => {
            let help = "use a loss of numbers, or a metric such as `Accuracy`";
            let message = "subtracts targets, which are classes here";
            seen.prediction.graph().record(eggrad_ir::TypeError::new(
                op,
                At::Unknown,
                message,
                help,
            ));
            None
        }
        Task::Shares | Task::Binary | Task::Numbers => Some(seen.probabilities - seen.target),
    }
}
