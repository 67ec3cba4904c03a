//! Normalisation with parameters and statistics of its own.

use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::allowed::{Allowed, Setting};
use crate::init::Init;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Batch normalisation of the last axis. Training normalises by mean and variance of the batch and keeps running means
/// of both (`mean`, `variance`); otherwise those are used. Parameters `gamma` and `beta`. A layer that is not trainable
/// normalises by what it has kept, also in training.
///
/// # Numerics
/// The running variance is of the batch divided by its number of elements, as in Keras.
/// # Source
/// Ioffe, Szegedy 2015
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    momentum: f64,
    epsilon: f64,
    pub(super) common: Common,
}

impl BatchNorm {
    /// With the defaults of Keras: momentum 0.99, ε 1e-3.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "`default` would not know the caller's line")]
    pub fn new() -> BatchNorm {
        BatchNorm { momentum: 0.99, epsilon: 1e-3, common: Common::new() }
    }

    /// With this part of the running means kept at each step.
    pub fn momentum(self, momentum: f64) -> BatchNorm {
        BatchNorm { momentum, ..self }
    }

    /// With another number added to the variance.
    pub fn epsilon(self, epsilon: f64) -> BatchNorm {
        BatchNorm { epsilon, ..self }
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(channels) = channels(
            cx,
            "batch_norm",
            &self.common,
            x,
            &[
                ("epsilon", self.epsilon, Allowed::NotNegative),
                ("momentum", self.momentum, Allowed::Share),
            ],
        ) else {
            return cx.graph().poison();
        };
        let gamma = cx.param("gamma", [channels], Init::Constant(1.0));
        let beta = cx.param("beta", [channels], Init::Zeros);
        let mean = cx.stat("mean", [channels], Init::Zeros);
        let variance = cx.stat("variance", [channels], Init::Constant(1.0));
        if !cx.learns() {
            return x.batch_norm_by(mean, variance, gamma, beta, self.epsilon);
        }
        let normed = x.batch_norm(gamma, beta, self.epsilon);
        let next = |old: Tensor<'g>, new: Tensor<'g>| {
            let new = new.stop_gradient();
            old * self.momentum + new * (1.0 - self.momentum)
        };
        // Applied twice, the statistics of the first use are kept.
        if !cx.graph().is_written(mean) {
            cx.graph().write(mean, next(mean, normed.mean));
            cx.graph().write(variance, next(variance, normed.variance));
        }
        normed.y
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::BatchNorm(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Normalises each row, the last axis, by its own mean and variance. Parameters `gamma` and `beta`.
///
/// # Source
/// Ba, Kiros, Hinton 2016
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    epsilon: f64,
    pub(super) common: Common,
}

impl LayerNorm {
    /// With ε 1e-5, the default of PyTorch.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "`default` would not know the caller's line")]
    pub fn new() -> LayerNorm {
        LayerNorm { epsilon: 1e-5, common: Common::new() }
    }

    /// With another number added to the variance.
    pub fn epsilon(self, epsilon: f64) -> LayerNorm {
        LayerNorm { epsilon, ..self }
    }
}

impl Layer for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer_norm"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(channels) = channels(
            cx,
            "layer_norm",
            &self.common,
            x,
            &[("epsilon", self.epsilon, Allowed::NotNegative)],
        ) else {
            return cx.graph().poison();
        };
        let gamma = cx.param("gamma", [channels], Init::Constant(1.0));
        let beta = cx.param("beta", [channels], Init::Zeros);
        x.layer_norm(gamma, beta, self.epsilon)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::LayerNorm(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Divides each row, the last axis, by the root of its mean square: `x / sqrt(mean(x²) + ε) · gamma`. Parameter `gamma`.
///
/// # Source
/// Zhang, Sennrich 2019
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsNorm {
    epsilon: f64,
    pub(super) common: Common,
}

impl RmsNorm {
    /// With ε 1e-6.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "`default` would not know the caller's line")]
    pub fn new() -> RmsNorm {
        RmsNorm { epsilon: 1e-6, common: Common::new() }
    }

    /// With another number added to the mean square.
    pub fn epsilon(self, epsilon: f64) -> RmsNorm {
        RmsNorm { epsilon, ..self }
    }
}

impl Layer for RmsNorm {
    fn kind(&self) -> &'static str {
        "rms_norm"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(channels) = channels(
            cx,
            "rms_norm",
            &self.common,
            x,
            &[("epsilon", self.epsilon, Allowed::NotNegative)],
        ) else {
            return cx.graph().poison();
        };
        let gamma = cx.param("gamma", [channels], Init::Constant(1.0));
        x / (x.square().keepdims().mean(-1) + self.epsilon).sqrt() * gamma
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::RmsNorm(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Size of the last axis of `x`, if it holds floats and the settings can be; else an error is recorded.
pub(super) fn channels<'g>(
    cx: &Context<'g>,
    op: &str,
    common: &Common,
    x: Tensor<'g>,
    settings: &[Setting],
) -> Option<usize> {
    let ty = x.ty()?;
    if !cx.graph().allows(op, common.at, settings) {
        return None;
    }
    let size = ty.shape.dims().last().copied().filter(|_| ty.dtype.is_float());
    if size.is_none() {
        let help = "pass a batch of rows of floats, such as `[rows, features]`";
        cx.fail(op, common.at, format!("takes rows of floats, not {ty}"), help);
    }
    size
}
