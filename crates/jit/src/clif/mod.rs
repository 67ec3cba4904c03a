//! Kernels as Cranelift functions, with vectors of 128 bits: all that Cranelift can lower on x86-64, and what every
//! processor it knows has.

mod func;
mod inst;
mod memory;
mod round;
#[cfg(test)]
mod tests;

pub(crate) use crate::clif::func::Features;
use crate::clif::func::Gen;
use crate::codegen::LoopNest;
use crate::emit::{Emitter, Shares, Tuning};
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// Sixteen vector registers.
static TUNING: Tuning = Tuning {
    vector_bytes: 16,
    mixes: false,
    copies: |size| match size {
        0..=8 => 4,
        9..=140 => 2,
        _ => 1,
    },
    repeated: 32,
    tiles: &TILES,
    latency: 8,
    transposed_rows: 8,
    inline_epilogue: 8,
};

/// Their accumulators, one vector of the right operand for each column and one element of the left fit into sixteen
/// registers.
#[rustfmt::skip]
const TILES: [(usize, usize); 15] = [
    (6, 2), (5, 2), (4, 3), (3, 4), (4, 2), (3, 3), (2, 5), (2, 4), (1, 8), (1, 4), (2, 2),
    (8, 1), (4, 1), (2, 1), (1, 1),
];

impl Emitter for Gen<'_> {
    fn tuning(&self) -> &'static Tuning {
        &TUNING
    }
}

/// Writes the code of a kernel with `args` arguments into `func`, whose signature is set; returns its table of
/// constants.
pub(crate) fn emit(
    nest: LoopNest<'_>,
    args: usize,
    features: Features,
    func: &mut Function,
    scratch: &mut FunctionBuilderContext,
    config: TargetFrontendConfig,
) -> (Vec<u8>, Shares) {
    let (mut g, begin, end) = Gen::new(FunctionBuilder::new(func, scratch), features, args);
    let shares = crate::emit::emit(&mut g, nest, begin, end);
    (g.finish(config), shares)
}
