//! The typed tensor-expression graph: op table, shapes, state, verifier, text form and pictures.
//!
//! A [`Graph`] is a list of typed nodes in topological order, without duplicates, that is never changed after
//! [`Builder::build`]. It knows nothing of e-graphs, machine code, layers or gradients and does no IO. What an op
//! means is said by the reference interpreter; this crate says what exists ([`op`]), what fits ([`Builder::push`])
//! and how it is written ([`Graph`]'s `Display` and `FromStr`).
//!
//! Elementwise ops take operands of one shape; broadcasting is a node of its own ([`MoveOp::Broadcast`]). Values that
//! outlive a run are states with a read leaf and, perhaps, a write. The derivative of a value is a node
//! ([`Op::Grad`]) until differentiation resolves it.
#![forbid(unsafe_code)]

mod apply;
mod close;
mod detail;
mod dot;
mod error;
mod function;
mod graph;
mod infer;
mod make;
pub mod op;
mod parts;
mod text;
mod types;
mod verify;

pub use apply::{MAX_INLINED, inline, map_functions, rebuild};
pub use dot::{Cluster, to_dot};
pub use error::{Operand, TypeError, TypeErrors};
pub use function::{Function, MAX_DEPTH};
pub use graph::{Builder, Graph, InputDecl, Layer, Node, NodeId, Output, StateDecl, StateKind};
pub use make::broadcast_shape;
pub use op::{
    BinaryOp, CompareOp, CrossEntropyOp, Domain, DotAxes, MarkOp, MoveOp, Op, Reads, ReduceOp,
    Scan, SoftmaxOp, TensorData, UnaryOp, Windows,
};
pub use parts::{Part, parts};
pub use text::{Variable, expression, expression_of, names};
pub use types::{At, DType, Literal, Shape, TensorType};
pub use verify::{is_name, verify};
