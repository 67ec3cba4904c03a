//! Tests of the whole: from what a user writes to native code.

mod backprop;
mod constants;
mod deep;
mod errors;
mod explained;
mod frozen;
mod language;
mod loss;
mod mistakes;
#[path = "../models/mod.rs"]
mod models;
mod optimizer;
mod optimizers;
mod pipeline;
mod plans;
mod rules;
mod run;
mod save;
mod sizes;
mod threads;
mod tidy;
mod train;
#[path = "../../benches/workloads/models.rs"]
#[allow(dead_code, reason = "some are measured only")]
mod workloads;
