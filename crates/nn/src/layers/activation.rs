//! Activations, alone or at the end of a layer, and functions as layers.

use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// An elementwise function, or a softmax over the last axis; a layer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing.
    #[default]
    Linear,
    /// [`Tensor::relu`]
    Relu,
    /// [`Tensor::relu6`]
    Relu6,
    /// [`Tensor::leaky_relu`] with this slope.
    LeakyRelu(f64),
    /// [`Tensor::elu`] with this scale.
    Elu(f64),
    /// [`Tensor::selu`]
    Selu,
    /// [`Tensor::gelu`]
    Gelu,
    /// [`Tensor::gelu_tanh`]
    GeluTanh,
    /// [`Tensor::silu`]
    Silu,
    /// [`Tensor::mish`]
    Mish,
    /// [`Tensor::sigmoid`]
    Sigmoid,
    /// [`Tensor::hard_sigmoid`]
    HardSigmoid,
    /// [`Tensor::hardswish`]
    HardSwish,
    /// [`Tensor::tanh`]
    Tanh,
    /// [`Tensor::softsign`]
    Softsign,
    /// [`Tensor::softplus`]
    Softplus,
    /// [`Tensor::exp`]
    Exp,
    /// [`Tensor::softmax`] over the last axis.
    Softmax,
    /// [`Tensor::log_softmax`] over the last axis.
    LogSoftmax,
}

impl Activation {
    /// What it makes of `x`.
    #[track_caller]
    pub fn of(self, x: Tensor<'_>) -> Tensor<'_> {
        match self {
            Activation::Linear => x,
            Activation::Relu => x.relu(),
            Activation::Relu6 => x.relu6(),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Elu(alpha) => x.elu(alpha),
            Activation::Selu => x.selu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Mish => x.mish(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::HardSigmoid => x.hard_sigmoid(),
            Activation::HardSwish => x.hardswish(),
            Activation::Tanh => x.tanh(),
            Activation::Softsign => x.softsign(),
            Activation::Softplus => x.softplus(),
            Activation::Exp => x.exp(),
            Activation::Softmax => x.softmax(-1),
            Activation::LogSoftmax => x.log_softmax(-1),
        }
    }
}

impl Layer for Activation {
    fn kind(&self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu(_) => "elu",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::Silu => "silu",
            Activation::Mish => "mish",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSwish => "hardswish",
            Activation::Tanh => "tanh",
            Activation::Softsign => "softsign",
            Activation::Softplus => "softplus",
            Activation::Exp => "exp",
            Activation::Softmax => "softmax",
            Activation::LogSoftmax => "log_softmax",
        }
    }

    fn build<'g>(&self, _: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        self.of(x)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Activation { function: *self })
    }
}

/// Methods of layers that end in an activation, with a field `activation`.
macro_rules! activated {
    ($($Layer:ident)*) => {$(
        impl super::$Layer {
            /// Ends in this activation; in none by default.
            pub fn activation(mut self, activation: super::Activation) -> Self {
                self.activation = activation;
                self
            }

            /// Ends in [`Tensor::relu`](crate::Tensor::relu).
            pub fn relu(self) -> Self {
                self.activation(super::Activation::Relu)
            }

            /// Ends in [`Tensor::gelu`](crate::Tensor::gelu).
            pub fn gelu(self) -> Self {
                self.activation(super::Activation::Gelu)
            }

            /// Ends in [`Tensor::tanh`](crate::Tensor::tanh).
            pub fn tanh(self) -> Self {
                self.activation(super::Activation::Tanh)
            }

            /// Ends in [`Tensor::sigmoid`](crate::Tensor::sigmoid).
            pub fn sigmoid(self) -> Self {
                self.activation(super::Activation::Sigmoid)
            }

            /// Ends in [`Tensor::softmax`](crate::Tensor::softmax) over the last axis.
            pub fn softmax(self) -> Self {
                self.activation(super::Activation::Softmax)
            }
        }
    )*};
}

activated! { Dense Conv1d Conv2d }

/// A function as a layer, without parameters.
#[derive(Clone)]
pub struct Lambda {
    kind: &'static str,
    function: Arc<dyn for<'g> Fn(Tensor<'g>) -> Tensor<'g> + Send + Sync>,
    pub(super) common: Common,
}

impl Lambda {
    /// A layer of this kind that applies `function`.
    #[track_caller]
    pub fn new(
        kind: &'static str,
        function: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g> + Send + Sync + 'static,
    ) -> Lambda {
        Lambda { kind, function: Arc::new(function), common: Common::new() }
    }
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lambda").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Layer for Lambda {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn build<'g>(&self, _: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        (self.function)(x)
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}
