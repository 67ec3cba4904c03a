//! Plans to machine code, with Cranelift, and with AVX2 and AVX-512 instructions of our own.
//!
//! [`compile`] turns every kernel of a plan, and of the plans nested in it, into a function and [`Executable::run`] calls them one after the other over
//! the caller's arrays, without allocating. What a kernel computes, and in which order, is said by the plan alone: the
//! plan evaluator of `schedule` is the oracle for every bit, on processors with fused multiply-add.
//!
//! Kernels know nothing of ops above scalar math. This is the only user of Cranelift and, among libraries, of `unsafe`.
#![deny(unsafe_op_in_unsafe_fn)]

mod array;
mod cache;
mod check;
mod clif;
mod codegen;
mod compile;
mod emit;
mod error;
mod executable;
mod flush;
mod isa;
#[cfg(test)]
mod page;
mod pool;
mod program;
mod wide;

pub use array::{Aligned, ArrayMut, ArrayRef, Element};
pub use compile::{CompileReport, FunctionReport, JitConfig, compile};
pub use error::{JitError, Role, RunError};
pub use executable::{Executable, SharedStates, States, Workspace};
pub use isa::{ISA_VARIABLE, Isa};
