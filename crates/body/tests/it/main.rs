//! The math library against wider arithmetic, and the evaluator against itself.

mod double;
mod evaluator;
mod exact;
mod single;
mod wide;
