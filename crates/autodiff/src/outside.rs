//! Cotangents of a scan's constants that are made outside of it, for all steps at once.
//!
//! Note [Outside]. The cotangent of a weight is a sum over the steps of products of two values of a step. Instead of
//! adding up in every step, the values are stacked and contracted once over steps and all. Rows added to a table and
//! sums of what is stacked anyway go the same way.

use crate::residual::Dependence;
use eggrad_ir::{Builder, DotAxes, Graph, MoveOp, NodeId, Op, ReduceOp};

/// More parts than this add up in the steps.
const MAX_PARTS: usize = 8;

/// Part of a cotangent: an op on values of a step, its result transposed.
pub(crate) struct Part {
    op: Op,
    pub(crate) operands: Vec<NodeId>,
    /// Transposes of the result, innermost first.
    perms: Vec<Vec<usize>>,
}

/// For each of `cotangents`, its parts, where all of them can leave the step; Note [Outside].
pub(crate) fn parts(
    graph: &Graph,
    depends: &Dependence,
    cotangents: &[NodeId],
) -> Vec<Option<Vec<Part>>> {
    let mut found: Vec<Option<Vec<Part>>> =
        cotangents.iter().map(|&c| split(graph, depends, c, &|_| false)).collect();
    let stacked: Vec<NodeId> =
        found.iter().flatten().flatten().flat_map(|p| p.operands.clone()).collect();
    for (found, &cotangent) in found.iter_mut().zip(cotangents) {
        if found.is_none() {
            *found = split(graph, depends, cotangent, &|x| stacked.contains(&x));
        }
    }
    found
}

/// `summed` says which values are stacked anyway.
fn split(
    graph: &Graph,
    depends: &Dependence,
    cotangent: NodeId,
    summed: &dyn Fn(NodeId) -> bool,
) -> Option<Vec<Part>> {
    let mut parts = vec![];
    let mut open: Vec<(NodeId, Vec<Vec<usize>>)> = vec![(cotangent, vec![])];
    while let Some((id, mut perms)) = open.pop() {
        let node = graph.node(id);
        if !depends.backward[id.index()] || parts.len() + open.len() >= MAX_PARTS {
            return None;
        }
        match &node.op {
            Op::Binary(eggrad_ir::BinaryOp::Add) => {
                open.extend(node.inputs.iter().rev().map(|&i| (i, perms.clone())));
                continue;
            }
            Op::Move(MoveOp::Transpose(perm)) => {
                perms.push(perm.clone());
                open.push((node.inputs[0], perms));
                continue;
            }
            Op::Dot(_) | Op::ScatterAdd { batch: 0, .. } => {}
            Op::Reduce(ReduceOp::Sum, _) if summed(node.inputs[0]) => {}
            _ => return None,
        }
        if node.inputs.iter().any(|i| depends.invariant[i.index()]) {
            return None;
        }
        perms.reverse();
        parts.push(Part { op: node.op.clone(), operands: node.inputs.clone(), perms });
    }
    Some(parts)
}

impl Part {
    /// The part of the cotangent, from its operands stacked along a new first axis.
    pub(crate) fn over_steps(&self, b: &mut Builder, stacked: &[NodeId]) -> NodeId {
        let op = match &self.op {
            Op::Dot(axes) => {
                let behind = |p: &(usize, usize)| (p.0 + 1, p.1 + 1);
                let batch = axes.batch.iter().map(behind).collect();
                let contract = [(0, 0)].into_iter().chain(axes.contract.iter().map(behind));
                Op::Dot(DotAxes { batch, contract: contract.collect() })
            }
            Op::Reduce(op, axes) => {
                let axes = [0].into_iter().chain(axes.iter().map(|a| a + 1)).collect();
                Op::Reduce(*op, axes)
            }
            // Indices and updates share one more leading axis.
            op => op.clone(),
        };
        let mut result = b.node(op, stacked);
        for perm in &self.perms {
            result = b.transpose(result, perm.clone());
        }
        result
    }
}
