//! Straight-line vector code, the math library written in it, and its scalar evaluator.
//!
//! A kernel of a plan is loops around bodies. A [`Body`] says what happens at one position of the loops, lane by
//! lane, without naming a vector width; so the evaluator, the portable code generator and wider ones all compute
//! the same bits from it. `exp`, `log`, `tanh` and the rest of the math library are written here once.

#![forbid(unsafe_code)]

mod build;
mod eval;
mod flush;
mod inst;
mod math;
mod pointwise;
mod random;

pub use eval::{Env, eval};
pub use inst::{BinaryInst, Body, CompareInst, Inst, Lane, ShiftInst, UnaryInst, Value};
pub use math::{FUNCTIONS, Function};
pub use pointwise::Pointwise;
