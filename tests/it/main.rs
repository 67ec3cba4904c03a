//! Tests of the whole: from what a user writes to native code.

mod backprop;
mod constants;
mod deep;
mod errors;
mod frozen;
mod language;
mod loss;
mod mistakes;
mod optimizer;
mod optimizers;
mod pipeline;
mod run;
mod tidy;
mod train;
