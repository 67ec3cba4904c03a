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
mod optimizer;
mod pipeline;
mod run;
mod tidy;
mod train;
