//! The math library against wider arithmetic, and the evaluator against itself.

mod angle;
mod double;
mod evaluator;
mod exact;
mod pair;
mod random;
mod single;
mod wide;
