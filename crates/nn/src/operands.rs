//! Checks of the operands of layers that take their weights as tensors.

use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, NodeId};

/// Whether every operand has its shape; else an error with the name of `op`, all shapes and `help` is recorded for the
/// first that has not.
pub(crate) fn fit(
    graph: &Graph,
    op: &str,
    operands: &[(&str, Tensor<'_>, Vec<usize>)],
    help: &str,
    at: At,
) -> bool {
    let ids = operands.iter().map(|(_, tensor, _)| graph.own(op, *tensor, at));
    let Some(ids) = ids.collect::<Option<Vec<NodeId>>>() else { return false };
    for (name, tensor, wanted) in operands {
        let ty = tensor.expect_ty();
        if ty.shape.dims() != wanted.as_slice() {
            let message = format!("needs {name} of shape {wanted:?}, not {}", ty.shape);
            tensor.fail(op, &ids, message, help.to_string(), at);
            return false;
        }
    }
    true
}
