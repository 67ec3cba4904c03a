//! The fully connected layer.

use super::{Activation, Common, Context, Layer, LayerSpec, Regularizer, Specs};
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{DotAxes, Op};
use serde::{Deserialize, Serialize};

/// Fully connected layer: `activation(x @ weight + bias)`. Parameters `weight` (Glorot uniform) and `bias` (zeros).
///
/// # Shapes
/// `[.., features]` → `[.., units]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    units: usize,
    pub(super) activation: Activation,
    pub(super) init: Init,
    pub(super) bias: bool,
    pub(super) regularizer: Regularizer,
    pub(super) common: Common,
}

impl Dense {
    /// With so many units, without activation.
    #[track_caller]
    pub fn new(units: usize) -> Dense {
        Dense {
            units,
            activation: Activation::Linear,
            init: Init::GlorotUniform,
            bias: true,
            regularizer: Regularizer::default(),
            common: Common::new(),
        }
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        let Some(&features) = ty.shape.dims().last().filter(|_| ty.dtype.is_float()) else {
            let help = "pass a batch of rows of floats, such as `[rows, features]`";
            cx.fail("dense", self.common.at, format!("takes rows of floats, not {ty}"), help);
            return cx.graph().poison();
        };
        if features == 0 {
            let help = "pass rows of at least one number";
            cx.fail("dense", self.common.at, format!("takes rows of floats, not {ty}"), help);
            return cx.graph().poison();
        }
        if self.units == 0 {
            cx.fail("dense", self.common.at, "has no units", "give it at least one");
            return cx.graph().poison();
        }
        let weight = cx.param("weight", [features, self.units], self.init.clone());
        if let Some(penalty) = self.regularizer.of(weight) {
            cx.penalty(penalty);
        }
        let product = product(x, weight);
        let z =
            if self.bias { product + cx.param("bias", [self.units], Init::Zeros) } else { product };
        self.activation.of(z)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Dense(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// The last axis of `x` times the matrix `weight`.
#[track_caller]
pub(super) fn product<'g>(x: Tensor<'g>, weight: Tensor<'g>) -> Tensor<'g> {
    let rank = x.ty().map_or(1, |ty| ty.rank());
    match (x.id(), weight.id()) {
        (Some(a), Some(b)) => {
            let op = Op::Dot(DotAxes::contract(rank - 1, 0));
            x.graph().push(op, &[a, b], eggrad_ir::At::here())
        }
        _ => x.graph().poison(),
    }
}
