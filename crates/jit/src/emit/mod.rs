//! Kernels as code, whatever writes the instructions.

mod across;
mod body;
mod column;
mod emitter;
mod fold;
mod memory;
mod pack;
mod panel;
mod product;
mod row;
mod transpose;

use crate::codegen::LoopNest;
pub(crate) use crate::emit::emitter::{
    Bound, Emitter, Lanes, Loop, Loops, Memory, Pos, Ptr, Run, Shape, Tuning, ill_typed,
};
pub(crate) use crate::emit::row::positions;

/// How the positions of a kernel's outermost loop are best shared out between threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Positions that stay together.
    pub(crate) unit: usize,
    /// Parts for each thread: several, so that a thread that is late holds up little, but few where each part begins
    /// with work of its own.
    pub(crate) parts: usize,
}

impl Shares {
    const EACH: Shares = Shares { unit: 1, parts: 4 };
}

/// Writes the code of a kernel whose outermost loop runs from `begin` to `end`.
pub(crate) fn emit<E: Emitter>(
    g: &mut E,
    nest: LoopNest<'_>,
    begin: E::Reg,
    end: E::Reg,
) -> Shares {
    match nest {
        LoopNest::Row(kernel) => row::emit(g, kernel, begin, end),
        LoopNest::Column(kernel) => column::emit(g, kernel, begin, end),
        LoopNest::Product(kernel) => return product::emit(g, kernel, begin, end),
    }
    Shares::EACH
}
