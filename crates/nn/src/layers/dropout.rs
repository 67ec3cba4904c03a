//! Dropout.

use super::{Common, Context, Layer, LayerSpec, Mode, Specs};
use crate::allowed::Allowed;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// In training, sets each number to 0 with probability `rate` and divides the others by `1 - rate`; nothing otherwise.
/// The numbers are drawn anew at each step, from the store's seed.
///
/// # Source
/// Srivastava et al. 2014
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    rate: f64,
    pub(super) common: Common,
}

impl Dropout {
    /// With this probability, at least 0 and below 1.
    #[track_caller]
    pub fn new(rate: f64) -> Dropout {
        Dropout { rate, common: Common::new() }
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        drop_out(cx, x, self.rate, &self.common)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Dropout(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// `x` with dropout of this rate where the model trains.
#[track_caller]
pub(super) fn drop_out<'g>(
    cx: &Context<'g>,
    x: Tensor<'g>,
    rate: f64,
    common: &Common,
) -> Tensor<'g> {
    let Some(ty) = x.ty() else { return x };
    if !cx.graph().allows("dropout", common.at, &[("rate", rate, Allowed::BelowOne)]) {
        return cx.graph().poison();
    }
    if cx.mode() != Mode::Train || rate == 0.0 {
        return x;
    }
    let stays = cx.graph().random().bernoulli(1.0 - rate, ty.shape);
    stays.select(x / (1.0 - rate), 0.0)
}
