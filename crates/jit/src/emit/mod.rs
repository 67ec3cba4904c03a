//! Kernels as Cranelift functions.

mod body;
mod column;
mod fold;
mod func;
mod inst;
mod memory;
mod product;
mod round;
mod row;

use crate::codegen::LoopNest;
pub(crate) use crate::emit::func::Features;
use crate::emit::func::Gen;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// Writes the code of a kernel with `args` arguments into `func`, whose signature is set; returns its table of
/// constants.
pub(crate) fn emit(
    nest: LoopNest<'_>,
    args: usize,
    features: Features,
    func: &mut Function,
    scratch: &mut FunctionBuilderContext,
    config: TargetFrontendConfig,
) -> Vec<u8> {
    let (mut g, begin, end) = Gen::new(FunctionBuilder::new(func, scratch), features, args);
    match nest {
        LoopNest::Row(kernel) => row::emit(&mut g, kernel, begin, end),
        LoopNest::Column(kernel) => column::emit(&mut g, kernel, begin, end),
        LoopNest::Product(kernel) => product::emit(&mut g, kernel, begin, end),
    }
    g.finish(config)
}
