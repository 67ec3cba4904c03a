//! Layers that bring data to a usual range, without anything to train.

use super::norm::channels;
use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::allowed::Allowed;
use crate::init::Init;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// `x · factor + offset`, such as pixels of `0..=255` to `0..=1`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rescaling {
    factor: f64,
    offset: f64,
    pub(super) common: Common,
}

impl Rescaling {
    /// Times `factor`.
    #[track_caller]
    pub fn new(factor: f64) -> Rescaling {
        Rescaling { factor, offset: 0.0, common: Common::new() }
    }

    /// Plus `offset`, after the factor.
    pub fn offset(self, offset: f64) -> Rescaling {
        Rescaling { offset, ..self }
    }
}

impl Layer for Rescaling {
    fn kind(&self) -> &'static str {
        "rescaling"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        let settings =
            [("factor", self.factor, Allowed::Finite), ("offset", self.offset, Allowed::Finite)];
        if !cx.graph().allows("rescaling", self.common.at, &settings) {
            return cx.graph().poison();
        }
        let x = if ty.dtype.is_float() { x } else { x.cast(cx.graph().float()) };
        let scaled = x * self.factor;
        if self.offset == 0.0 { scaled } else { scaled + self.offset }
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Rescaling(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Brings each feature, the last axis, to mean 0 and variance 1 of the data it was adapted to: statistics `mean` and
/// `variance`, which training leaves alone. A feature that does not vary becomes 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    mean: Vec<f64>,
    variance: Vec<f64>,
    pub(super) common: Common,
}

impl Normalization {
    /// Adapted to rows of `columns` features each, row-major: `Normalization::adapt(&x, 3)` for an array, slice or
    /// vector.
    ///
    /// # Errors
    /// Recorded in the graph where it is applied: no columns, no rows, or a row that is not complete.
    #[track_caller]
    pub fn adapt<'a>(values: impl IntoIterator<Item = &'a f32>, columns: usize) -> Normalization {
        let values: Vec<f32> = values.into_iter().copied().collect();
        let rows = values.chunks_exact(columns.max(1));
        let valid = columns > 0 && !values.is_empty() && rows.remainder().is_empty();
        let count = if valid { rows.len() as f64 } else { 0.0 };
        let mut mean = vec![0.0; if valid { columns } else { 0 }];
        let mut variance = mean.clone();
        for row in rows.clone() {
            mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x) / count);
        }
        for row in rows {
            let columns = variance.iter_mut().zip(row).zip(&mean);
            columns.for_each(|((v, &x), m)| *v += (f64::from(x) - m).powi(2) / count);
        }
        // A feature that does not vary is 0 after its mean is taken off, whatever it is divided by.
        variance.iter_mut().filter(|v| **v == 0.0).for_each(|v| *v = 1.0);
        Normalization { mean, variance, common: Common::new() }
    }

    /// By these means and variances, one of each for each feature.
    #[track_caller]
    pub fn by(mean: impl Into<Vec<f64>>, variance: impl Into<Vec<f64>>) -> Normalization {
        let (mean, variance) = (mean.into(), variance.into());
        Normalization { mean, variance, common: Common::new() }
    }
}

impl Layer for Normalization {
    fn kind(&self) -> &'static str {
        "normalization"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(columns) = channels(cx, "normalization", &self.common, x, &[]) else {
            return cx.graph().poison();
        };
        if self.mean.len() != columns || self.variance.len() != columns {
            let (m, v) = (self.mean.len(), self.variance.len());
            let message = format!("has {m} means and {v} variances for {columns} features");
            let help = "adapt it to complete rows of as many features";
            cx.fail("normalization", self.common.at, message, help);
            return cx.graph().poison();
        }
        let known = |(m, v): (&f64, &f64)| m.is_finite() && v.is_finite() && *v > 0.0;
        if let Some(i) = self.mean.iter().zip(&self.variance).position(|pair| !known(pair)) {
            let message = format!(
                "has mean {} and variance {} of feature {i}",
                self.mean[i], self.variance[i]
            );
            let help = "adapt it to finite numbers; variances are above 0";
            cx.fail("normalization", self.common.at, message, help);
            return cx.graph().poison();
        }
        let mean = cx.stat("mean", [columns], Init::Values(self.mean.clone()));
        let variance = cx.stat("variance", [columns], Init::Values(self.variance.clone()));
        (x - mean) / variance.sqrt()
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Normalization(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}
