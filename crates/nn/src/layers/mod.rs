//! Layers as values: what they are made of, without a tensor in sight.
//!
//! A layer such as [`Dense`] is a description. Applied to a tensor within a [`Context`], it declares its parameters
//! under its path and appends its formula; the same layer applied twice shares them. One description writes the graphs
//! that train, evaluate and predict: the context says which one it is.
//!
//! [`Stack`] joins layers that follow each other. A struct with layers of its own becomes a layer by implementing
//! [`Layer`], or, with several inputs or outputs, a [`Module`].

mod activation;
mod attention;
mod context;
mod conv;
mod dense;
mod dropout;
mod embedding;
mod named;
mod norm;
mod pool;
mod recurrent;
mod regular;
mod scale;
mod shape;
mod spec;
mod stack;

pub use activation::{Activation, Lambda};
pub use attention::{MultiHeadAttention, TransformerBlock};
pub use context::{Context, LayerRow, Mode};
pub use conv::{Conv1d, Conv2d};
pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::{Embedding, PositionEmbedding};
pub use named::{dense, dense_with};
pub use norm::{BatchNorm, LayerNorm, RmsNorm};
pub use pool::{AvgPool1d, AvgPool2d, GlobalAvgPool, GlobalMaxPool, MaxPool1d, MaxPool2d};
pub use recurrent::{Gru, Lstm, SimpleRnn};
pub use regular::Regularizer;
pub use scale::{Normalization, Rescaling};
pub use shape::{Flatten, Reshape};
pub use spec::{LayerSpec, Specs};
pub use stack::{AnyLayer, IntoLayers, Residual, Stack};

use crate::tensor::Tensor;
use eggrad_ir::At;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens to one tensor: a description with parameters that a [`Context`] declares.
///
/// ```
/// use eggrad_nn::{Context, Dense, Layer, Tensor};
///
/// /// Two dense layers around a shortcut.
/// #[derive(Debug)]
/// struct Block {
///     narrow: Dense,
///     wide: Dense,
/// }
///
/// impl Layer for Block {
///     fn kind(&self) -> &'static str {
///         "block"
///     }
///
///     fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
///         x + self.wide.apply(cx, self.narrow.apply(cx, x))
///     }
/// }
/// ```
pub trait Layer: fmt::Debug + Send + Sync {
    /// What layers of this kind are called when they are given no name: `dense` makes `dense_1`, `dense_2` and so on.
    fn kind(&self) -> &'static str;

    /// What the layer makes of `x`, written inside its path. Users call [`Layer::apply`], which opens the path.
    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g>;

    /// Name, place and whether it is trained, for layers that know; without it, each application is a layer of its own.
    fn common(&self) -> Option<&Common> {
        None
    }

    /// The layer as data, which is saved with a model; `None` of a layer that is code, such as one of your own, which
    /// no file holds. Callers use [`Specs::of`], which knows what layers share.
    fn spec(&self, specs: &mut Specs) -> Option<LayerSpec> {
        specs.is_code(self.kind())
    }

    /// Applies the layer under its name. Applied twice, it uses the same parameters.
    #[track_caller]
    fn apply<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        cx.layer(self.kind(), self.common(), || self.build(cx, x))
    }
}

/// A model as a function: any number of tensors to any number of tensors. Every [`Layer`] is one, of one to one.
pub trait Module: Send + Sync {
    /// What the model makes of `inputs`.
    fn forward<'g>(&self, cx: &Context<'g>, inputs: &[Tensor<'g>]) -> Vec<Tensor<'g>>;

    /// The model as data, which is saved with its weights.
    ///
    /// # Errors
    /// Kinds of the layers that are code; empty for a module that is, as by default.
    fn spec(&self) -> Result<LayerSpec, Vec<String>> {
        Err(vec![])
    }
}

impl<L: Layer> Module for L {
    fn forward<'g>(&self, cx: &Context<'g>, inputs: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        match inputs {
            [x] => vec![self.build(cx, *x)],
            _ => {
                let message = format!("takes one input, not {}", inputs.len());
                let help = "write a `Module` for a model of several inputs";
                cx.fail(self.kind(), At::Unknown, message, help);
                vec![cx.graph().poison()]
            }
        }
    }

    fn spec(&self) -> Result<LayerSpec, Vec<String>> {
        Specs::of(self)
    }
}

/// What every layer has: a name, the line it was made in, and whether it is trained.
///
/// A copy is another layer: it shares no parameters with the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Number that no other layer of this process has.
    #[serde(skip, default = "next")]
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    pub(crate) trainable: bool,
    /// A layer that was read has no line.
    #[serde(skip, default = "unknown")]
    pub(crate) at: At,
}

impl Common {
    /// Of a layer without a name, made in the caller's line, that is trained.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "`default` would not know the caller's line")]
    pub fn new() -> Common {
        Common { id: next(), name: None, trainable: true, at: At::here() }
    }

    /// Of a layer called `name`.
    pub fn named(self, name: impl Into<String>) -> Common {
        Common { name: Some(name.into()), ..self }
    }

    /// Whether training changes the parameters.
    pub fn trainable(self, trainable: bool) -> Common {
        Common { trainable, ..self }
    }
}

impl Clone for Common {
    fn clone(&self) -> Common {
        Common { id: next(), name: self.name.clone(), trainable: self.trainable, at: self.at }
    }
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn unknown() -> At {
    At::Unknown
}

/// Methods that every layer with a field `common` has.
macro_rules! common_methods {
    ($($Layer:ident)*) => {$(
        impl $Layer {
            /// With a name of its own: parameters are called `name.weight` and so on.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                self.common = self.common.named(name);
                self
            }

            /// Whether training changes the parameters; it does by default.
            pub fn trainable(mut self, trainable: bool) -> Self {
                self.common = self.common.trainable(trainable);
                self
            }
        }
    )*};
}

common_methods! {
    Dense Lambda Dropout BatchNorm LayerNorm RmsNorm Embedding PositionEmbedding Conv1d Conv2d MaxPool1d MaxPool2d
    AvgPool1d AvgPool2d GlobalMaxPool GlobalAvgPool Lstm Gru SimpleRnn MultiHeadAttention TransformerBlock Residual
    Stack Flatten Reshape Normalization Rescaling
}
