//! Penalties on weights.

use crate::allowed::Allowed;
use crate::tensor::Tensor;
use eggrad_ir::At;
use serde::{Deserialize, Serialize};

/// What is added to the loss for a weight `w`: `l1 · Σ|w| + l2 · Σw²`.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regularizer {
    /// Factor of the sum of sizes.
    pub l1: f64,
    /// Factor of the sum of squares.
    pub l2: f64,
}

impl Regularizer {
    /// `factor · Σ|w|`
    pub fn l1(factor: f64) -> Regularizer {
        Regularizer { l1: factor, l2: 0.0 }
    }

    /// `factor · Σw²`
    pub fn l2(factor: f64) -> Regularizer {
        Regularizer { l1: 0.0, l2: factor }
    }

    /// The penalty on `weight`; `None` when it is 0 for all.
    ///
    /// # Errors
    /// Recorded in the graph when a factor is not finite or below 0.
    #[track_caller]
    pub fn of(self, weight: Tensor<'_>) -> Option<Tensor<'_>> {
        let settings =
            [("l1", self.l1, Allowed::NotNegative), ("l2", self.l2, Allowed::NotNegative)];
        if !weight.graph().allows("regularizer", At::here(), &settings) {
            return None;
        }
        let l1 = (self.l1 != 0.0).then(|| weight.abs().sum(..) * self.l1);
        let l2 = (self.l2 != 0.0).then(|| weight.square().sum(..) * self.l2);
        match (l1, l2) {
            (Some(l1), Some(l2)) => Some(l1 + l2),
            (l1, l2) => l1.or(l2),
        }
    }
}

/// Methods of layers with weights, with fields `init`, `bias` and `regularizer`.
macro_rules! weighted {
    ($($Layer:ident)*) => {$(
        impl super::$Layer {
            /// With weights that begin as `init` says.
            #[doc(alias = "kernel_initializer")]
            pub fn init(mut self, init: crate::Init) -> Self {
                self.init = init;
                self
            }

            /// Without the bias.
            #[doc(alias = "use_bias")]
            pub fn without_bias(mut self) -> Self {
                self.bias = false;
                self
            }

            /// With a penalty on the weights, not on the bias, that is added to the loss in training and evaluation.
            #[doc(alias = "kernel_regularizer")]
            pub fn regularizer(mut self, regularizer: super::Regularizer) -> Self {
                self.regularizer = regularizer;
                self
            }

            /// With the penalty `factor · Σ|w|`, beside what there is.
            pub fn l1(mut self, factor: f64) -> Self {
                self.regularizer.l1 = factor;
                self
            }

            /// With the penalty `factor · Σw²`, beside what there is.
            pub fn l2(mut self, factor: f64) -> Self {
                self.regularizer.l2 = factor;
                self
            }
        }
    )*};
}

weighted! { Dense Conv1d Conv2d }
