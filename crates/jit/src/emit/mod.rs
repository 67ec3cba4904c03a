//! Kernels as code, whatever writes the instructions.

mod across;
mod body;
mod column;
mod emitter;
mod fold;
mod memory;
mod panel;
mod product;
mod row;
mod transpose;

use crate::codegen::LoopNest;
pub(crate) use crate::emit::emitter::{
    Bound, Emitter, Lanes, Loop, Loops, Memory, Pos, Ptr, Run, Shape, Tuning, ill_typed,
};

/// Writes the code of a kernel whose outermost loop runs from `begin` to `end`.
pub(crate) fn emit<E: Emitter>(g: &mut E, nest: LoopNest<'_>, begin: E::Reg, end: E::Reg) {
    match nest {
        LoopNest::Row(kernel) => row::emit(g, kernel, begin, end),
        LoopNest::Column(kernel) => column::emit(g, kernel, begin, end),
        LoopNest::Product(kernel) => product::emit(g, kernel, begin, end),
    }
}
