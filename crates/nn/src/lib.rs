//! The model-building DSL: a graph under construction, tensors with operators, layers, initialisers and optimizers.
//!
//! Everything here only appends nodes to a graph; nothing runs. Derivatives are written as `grad` nodes
//! ([`Tensor::grad`]), optimizers as state writes ([`Adam::minimize`]).
#![forbid(unsafe_code)]

mod activations;
mod allowed;
mod attention;
mod axes;
mod control;
mod derivatives;
mod einsum;
mod formula;
mod graph;
mod init;
mod keepdims;
pub mod layers;
pub mod loss;
pub mod losses;
mod matmul;
pub mod metrics;
mod normalize;
mod operands;
mod operators;
mod optim;
mod places;
mod random;
mod recurrent;
mod reductions;
mod shapes;
mod tensor;
mod windows;

pub use attention::Mask;
pub use axes::{AxisList, IntoAxes};
pub use control::Scanned;
pub use graph::{Built, Graph};
pub use init::Init;
pub use keepdims::KeepDims;
pub use layers::{
    Activation, AnyLayer, AvgPool1d, AvgPool2d, BatchNorm, Common, Context, Conv1d, Conv2d, Dense,
    Dropout, Embedding, Flatten, GlobalAvgPool, GlobalMaxPool, Gru, IntoLayers, Lambda, Layer,
    LayerNorm, LayerRow, LayerSpec, Lstm, MaxPool1d, MaxPool2d, Mode, Module, MultiHeadAttention,
    Normalization, PositionEmbedding, Regularizer, Rescaling, Reshape, Residual, RmsNorm,
    SimpleRnn, Specs, Stack, TransformerBlock, dense, dense_with,
};
pub use normalize::Normalized;
pub use operators::Operand;
pub use optim::{
    Adagrad, Adam, Decay, EpsilonMode, Gradients, Lion, Optimizer, OptimizerSpec, RmsProp,
    Schedule, Sgd,
};
pub use random::Random;
pub use recurrent::Recurrent;
pub use tensor::Tensor;
pub use windows::{Padding, Sliding};
