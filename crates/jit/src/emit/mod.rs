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

pub(crate) use crate::emit::func::Features;
use crate::emit::func::Gen;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use eggrad_schedule::KernelKind;

/// Writes the code of a kernel with `args` arguments into `func`, whose signature is set; returns its table of
/// constants.
pub(crate) fn emit(
    kind: &KernelKind,
    args: usize,
    features: Features,
    func: &mut Function,
    scratch: &mut FunctionBuilderContext,
    config: TargetFrontendConfig,
) -> Vec<u8> {
    let (mut g, begin, end) = Gen::new(FunctionBuilder::new(func, scratch), features, args);
    match kind {
        KernelKind::Row(kernel) => row::emit(&mut g, kernel, begin, end),
        KernelKind::Column(kernel) => column::emit(&mut g, kernel, begin, end),
        KernelKind::Product(kernel) => product::emit(&mut g, kernel, begin, end),
    }
    g.finish(config)
}
