//! Graph to plan: which nodes share a kernel, its loops and bodies, the order of kernels, and where every value lies.
//!
//! [`schedule`] makes a [`Plan`], plain data that a back end turns into machine code; [`evaluate`] computes what that
//! machine code must compute, bit by bit; [`verify`] checks what every plan promises. A schedule changes time and
//! memory, never values beyond the fixed order of reductions.
//!
//! A sub-graph that is applied has a plan of its own, nested in a kernel of the caller's: see `bodies`.
//!
//! What depends on frozen states and constants alone comes first, as the plan's setup: a back end runs it when those
//! states have changed. So does what a loop's step makes of the loop's constants alone, in the first step.
//!
//! In the order data flows: `legal` leaves few ops, `groups` decides which nodes share a kernel (index maps are in
//! `maps`), `lower` writes loops and bodies, `assign` orders kernels and places buffers.
#![forbid(unsafe_code)]

mod assign;
mod bodies;
pub mod cost;
mod error;
mod evaluate;
mod groups;
mod legal;
mod lower;
mod maps;
mod plan;
mod show;
mod verify;

use bodies::Bodies;
pub use error::ScheduleError;
pub use evaluate::{EvaluateError, evaluate};
pub use plan::*;
pub use verify::verify;

use eggrad_ir::{Cluster, Graph};

/// How a graph is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// Whether nodes share kernels; without it each computing node has its own, for tests.
    pub fuse: bool,
}

impl Default for ScheduleConfig {
    fn default() -> ScheduleConfig {
        ScheduleConfig { fuse: true }
    }
}

/// Schedules `graph`; equal graphs give equal plans.
///
/// # Errors
/// A `grad` that is not resolved, a `call` that is not inlined, an indexed axis of more than 2^32 - 1 positions.
pub fn schedule(graph: &Graph, config: &ScheduleConfig) -> Result<Plan, ScheduleError> {
    let plan = Bodies::new(config).plan(graph, graph.inputs().len())?;
    // A back end refuses a larger arena; its offsets mean nothing.
    if cfg!(debug_assertions) && plan.arena_bytes <= MAX_BYTES {
        let errors = verify(&plan);
        assert!(errors.is_empty(), "internal error: {}", errors.join("; "));
    }
    Ok(plan)
}

/// One box for each kernel of `plan`, for a picture of the graph it was made of.
pub fn clusters(graph: &Graph, plan: &Plan) -> Vec<Cluster> {
    let known = |id: &eggrad_ir::NodeId| id.index() < graph.nodes().len();
    let cluster = |kernel: &Kernel| Cluster {
        label: kernel.name.clone(),
        nodes: kernel.nodes.iter().copied().filter(known).collect(),
    };
    plan.kernels.iter().map(cluster).collect()
}
