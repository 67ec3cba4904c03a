//! Tests of the whole: from what a user writes to native code.

mod backprop;
mod bad_input;
mod constants;
mod deep;
mod errors;
mod explained;
mod fit;
mod frozen;
mod functional;
mod language;
mod layers;
mod loss;
mod losses;
mod mistakes;
#[path = "../models/mod.rs"]
mod models;
mod optimizer;
mod optimizers;
mod pipeline;
mod plans;
mod recording;
mod rules;
mod run;
mod save;
mod saving;
mod sizes;
mod spellings;
mod threads;
mod tidy;
mod train;
#[path = "../../benches/workloads/models.rs"]
#[allow(dead_code, reason = "some are measured only")]
mod workloads;
