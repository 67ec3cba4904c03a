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
mod rules;
mod run;
mod spellings;
mod threads;
mod tidy;
mod train;
