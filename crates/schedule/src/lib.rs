//! Graph to plan.
mod plan;
pub use plan::*;
