//! Differentiation, graph to graph: reverse ([`vjp`]) and forward ([`jvp`]); [`resolve`] replaces the `grad` nodes of a
//! graph, so that higher derivatives are repetition. [`hvp`], [`jacobian`] and [`hessian`] are built of these.
//!
//! Derivatives are built of the same ops, so whatever improves graphs improves gradients. Reverse mode takes one sweep
//! whatever the number of parameters: it adds nodes in proportion to ops and parameters together.
//!
//! Where a function has no derivative, or more than one would do:
//!
//! | at | derivative |
//! |---|---|
//! | `relu`, `abs` at 0 | 0 |
//! | `sign`, `floor`, `ceil`, `round`, comparisons, casts to integers | 0 everywhere |
//! | `maximum`, `minimum` of equal numbers | half for each, so half for a `clamp` at its bound |
//! | `max`, `min` over axes, ties | shared evenly |
//! | `max`, `min` over the positions of windows, ties | all to the first position, row-major |
//! | `select` | all to the branch taken, nothing to the other, even where its derivative is infinite or NaN |
//! | `pow` at `0^0`, `xlogy` at 0 and 0, `atan2` at the origin | 0 |
//! | `scatter_add` of an update that it drops | 0 |
//! | `stop_gradient` | 0 |
//!
//! The derivative of `prod` is made of products only, so it and its own derivatives are exact with any number of zeros.
//!
//! The derivative of a `scan` is a scan: forward mode carries tangents along, reverse mode runs the steps in the other
//! direction on values that the forward scan stacks. [`merge_scans`] makes one of a scan and the larger one that its
//! derivative reads, and [`hoist`] takes out of scans what does not change from step to step. The derivative of a
//! `cond` chooses between the derivatives of its branches. A function with a derivative of its own (see
//! [`eggrad_ir::Function::with_vjp`]) is differentiated by that, forward mode by transposing it.
#![forbid(unsafe_code)]

mod application;
mod elementwise;
mod error;
mod flow;
mod forward;
mod functions;
mod gate;
mod higher;
mod hoist;
mod limits;
mod linear;
mod merge;
mod missing;
mod outside;
mod product;
mod residual;
mod resolve;
mod reverse;
mod row;
mod scan;
mod special;

pub use error::AutodiffError;
pub use forward::jvp;
pub use higher::{hessian, hvp, jacobian};
pub use hoist::hoist;
pub use merge::merge_scans;
pub use missing::{Break, MissingGradient, missing};
pub use resolve::resolve;
pub use reverse::vjp;
