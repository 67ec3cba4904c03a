//! Dense layers as functions: parameters under a name, and what they do to a tensor.

use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;

/// Fully connected layer `x @ weight + bias`; parameters `name.weight` (Glorot uniform) and `name.bias` (zeros).
///
/// # Shapes
/// `x: [.., k]` → `[.., units]`
/// # Errors
/// Recorded in the graph when `x` has no axis.
#[track_caller]
pub fn dense<'g>(name: &str, x: Tensor<'g>, units: usize) -> Tensor<'g> {
    dense_with(name, x, units, Init::GlorotUniform)
}

/// [`dense`] with weights that begin as `init` says.
#[track_caller]
pub fn dense_with<'g>(name: &str, x: Tensor<'g>, units: usize, init: Init) -> Tensor<'g> {
    let graph: &'g Graph = x.graph();
    // Closures do not inherit `#[track_caller]`: the caller's line is taken outside of them.
    let at = eggrad_ir::At::here();
    let Some(ty) = x.ty() else { return x };
    let Some(&inputs) = ty.shape.dims().last() else {
        graph.layer(name, || {
            let message = "needs at least one axis of features";
            let mut error = eggrad_ir::TypeError::new(
                "dense",
                at,
                message,
                "pass a batch of rows, such as `[rows, features]`",
            );
            error.operands =
                x.id().map(|id| graph.builder.borrow().operand(id, 0)).into_iter().collect();
            graph.record(error);
        });
        return graph.poison();
    };
    graph.layer(name, || {
        let float = graph.float();
        let kind = eggrad_ir::StateKind::Param;
        let ty = |dims: &[usize]| eggrad_ir::TensorType::new(float, dims);
        let weight = graph.declare_state("weight", kind, ty(&[inputs, units]), init, at);
        let bias = graph.declare_state("bias", kind, ty(&[units]), Init::Zeros, at);
        let product = match (x.id(), weight.id()) {
            (Some(a), Some(b)) => {
                let rank = x.ty().map_or(0, |t| t.rank());
                let axes = eggrad_ir::DotAxes::contract(rank - 1, 0);
                graph.push(eggrad_ir::Op::Dot(axes), &[a, b], at)
            }
            _ => graph.poison(),
        };
        product.pair(eggrad_ir::Op::Binary(eggrad_ir::BinaryOp::Add), bias, at)
    })
}
