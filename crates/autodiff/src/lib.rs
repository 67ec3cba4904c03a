//! Differentiation, graph to graph: reverse ([`vjp`]) and forward ([`jvp`]); [`resolve`] replaces the `grad` nodes of a
//! graph, so that higher derivatives are repetition.
//!
//! Derivatives are built of the same ops, so whatever improves graphs improves gradients. Conventions where a function
//! has no derivative: `relu` and `abs` have 0 at 0, `sign` and comparisons 0 everywhere, `maximum` and `minimum` share
//! ties in halves, `max` and `min` over axes evenly. `select` sends nothing into the branch not taken: elementwise ops
//! and reductions there may have infinite derivatives. A `scatter_add` sends nothing to an update that it drops. The derivative of `prod` is exact at zeros; its own
//! derivative is so only where at most one factor of a product is zero.
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
