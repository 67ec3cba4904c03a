//! The model-building DSL: a graph under construction, tensors with operators, layers, initialisers and optimizers.
//!
//! Everything here only appends nodes to a graph; nothing runs. Derivatives are written as `grad` nodes
//! ([`Tensor::grad`]), optimizers as state writes ([`Adam::minimize`]).
#![forbid(unsafe_code)]

mod activations;
mod attention;
mod axes;
mod control;
mod derivatives;
mod einsum;
mod formula;
mod graph;
mod init;
mod keepdims;
mod layers;
pub mod losses;
mod matmul;
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
pub use layers::{dense, dense_with};
pub use normalize::BatchNorm;
pub use operators::Operand;
pub use optim::{Adagrad, Adam, EpsilonMode, Gradients, Lion, RmsProp, Sgd};
pub use random::Random;
pub use recurrent::Recurrent;
pub use tensor::Tensor;
pub use windows::{Padding, Sliding};
