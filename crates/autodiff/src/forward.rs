//! Forward mode: one sweep from leaves to results.

use crate::application;
use crate::functions::Functions;
use crate::product::products_of_others;
use crate::row::{Winners, attained, residual_jacobian, softmax, softmax_jacobian, sum_spread};
use crate::{elementwise, linear};
use eggrad_ir::{
    BinaryOp, Builder, CompareOp, CrossEntropyOp, MarkOp, Node, NodeId, Op, ReduceOp, SoftmaxOp,
};
use std::collections::HashMap;

/// Appends the tangents of `y` when each `(primal, tangent)` of `seeds` moves: the Jacobian, applied. A seeded node
/// moves as seeded, whatever its operands do. `None` where no path leads there along which a derivative can flow.
/// A `scan` on the way gets one that also computes what the first does; [`crate::merge_scans`] puts it in its place.
///
/// # Panics
/// When a tangent has another type than its primal, or a `grad` that was not resolved lies on a path: bugs of ours. [`crate::resolve`]
/// also refuses what cannot be built: scans that stack more than a tensor can hold, sub-graphs too deep.
pub fn jvp(builder: &mut Builder, seeds: &[(NodeId, NodeId)], y: &[NodeId]) -> Vec<Option<NodeId>> {
    push_through(builder, &mut Functions::default(), seeds, y)
}

/// [`jvp`] with what is known of functions.
pub(crate) fn push_through(
    builder: &mut Builder,
    functions: &mut Functions,
    seeds: &[(NodeId, NodeId)],
    y: &[NodeId],
) -> Vec<Option<NodeId>> {
    let end = y.iter().map(|y| y.index() + 1).max().unwrap_or(0);
    let mut needed = vec![false; end];
    y.iter().for_each(|y| needed[y.index()] = true);
    for id in (0..end as u32).rev().map(NodeId) {
        if needed[id.index()] {
            builder.graph().node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    let mut tangents: Vec<Option<NodeId>> = vec![None; end];
    for &(primal, tangent) in seeds {
        assert!(
            builder.ty(primal) == builder.ty(tangent),
            "internal error: a tangent of type {} for a value of type {}",
            builder.ty(tangent),
            builder.ty(primal)
        );
        if primal.index() < end {
            tangents[primal.index()] = Some(tangent);
        }
    }
    let mut applied: HashMap<(Op, Vec<NodeId>), Vec<Option<NodeId>>> = HashMap::new();
    for id in (0..end as u32).map(NodeId) {
        if !needed[id.index()] || tangents[id.index()].is_some() {
            continue;
        }
        let node = builder.graph().node(id);
        let moving: Vec<Option<NodeId>> = (0..node.inputs.len())
            .map(|i| {
                tangents[node.inputs[i].index()].filter(|_| functions.flow.carries(&node.op, i))
            })
            .collect();
        if moving.iter().all(Option::is_none) {
            continue;
        }
        let node = node.clone();
        tangents[id.index()] = match node.op.result() {
            None => Some(push(builder, id, &node, &moving)),
            Some(result) => {
                let key = (node.op.with_result(0), node.inputs.clone());
                let results = applied.entry(key).or_insert_with(|| {
                    let of = |i: &NodeId| tangents[i.index()].filter(|_| float(builder, *i));
                    let moving: Vec<Option<NodeId>> = node.inputs.iter().map(of).collect();
                    application::push(builder, functions, &node.op, &node.inputs, &moving)
                });
                results[result]
            }
        };
    }
    y.iter().map(|y| tangents[y.index()]).collect()
}

fn float(b: &Builder, x: NodeId) -> bool {
    b.ty(x).dtype.is_float()
}

/// The tangent of node `y`, at least one of whose operands has a tangent.
fn push(b: &mut Builder, y: NodeId, node: &Node, tangents: &[Option<NodeId>]) -> NodeId {
    // These two are not sums of parts, so that nothing leaks from what is not chosen.
    if node.op == Op::Select {
        let zero = b.full_like(y, 0.0);
        return b.select(node.inputs[0], tangents[1].unwrap_or(zero), tangents[2].unwrap_or(zero));
    }
    if let (Op::Binary(op), &[Some(ta), Some(tc)]) = (&node.op, tangents) {
        let (a, c) = (node.inputs[0], node.inputs[1]);
        match op {
            BinaryOp::Maximum => return chosen(b, CompareOp::Gt, [a, c], [ta, tc]),
            BinaryOp::Minimum => return chosen(b, CompareOp::Lt, [a, c], [ta, tc]),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy
            | BinaryOp::And
            | BinaryOp::Or => {}
        }
    }
    let mut sum: Option<NodeId> = None;
    for (i, t) in tangents.iter().enumerate() {
        let Some(t) = *t else { continue };
        let part = push_one(b, y, node, i, t);
        sum = Some(match sum {
            Some(sum) => b.add(sum, part),
            None => part,
        });
    }
    sum.unwrap_or_else(|| panic!("internal error: nothing moves `{}`", node.op.name()))
}

/// The tangent of whichever of `a` and `c` wins, the mean of both at ties.
fn chosen(b: &mut Builder, wins: CompareOp, [a, c]: [NodeId; 2], [ta, tc]: [NodeId; 2]) -> NodeId {
    let both = b.add(ta, tc);
    let half = b.full_like(both, 0.5);
    let mean = b.mul(half, both);
    let ties = b.compare(CompareOp::Eq, a, c);
    let otherwise = b.select(ties, mean, tc);
    let won = b.compare(wins, a, c);
    b.select(won, ta, otherwise)
}

/// What the tangent `t` of operand `operand` alone does to node `y`.
fn push_one(b: &mut Builder, y: NodeId, node: &Node, operand: usize, t: NodeId) -> NodeId {
    let x = node.inputs[0];
    // Ops that are linear in the operand: the same op on its tangent.
    let linear = |b: &mut Builder| {
        let mut inputs = node.inputs.clone();
        inputs[operand] = t;
        b.node(node.op.clone(), &inputs)
    };
    match &node.op {
        Op::Unary(op) => elementwise::unary(b, *op, x, y, t),
        Op::Binary(op) => elementwise::binary(b, *op, [x, node.inputs[1]], y, operand, t),
        Op::Move(op) => linear::pushed(b, op, t),
        Op::Cast(_) | Op::Dot(_) | Op::Gather { .. } | Op::ScatterAdd { .. } | Op::Fold { .. } => {
            linear(b)
        }
        Op::Mark(MarkOp::Keep) => t,
        Op::Reduce(op, axes) => match op {
            ReduceOp::Sum => linear(b),
            ReduceOp::Prod => {
                let others = products_of_others(b, x, axes);
                let change = b.mul(t, others);
                b.sum(change, axes.clone())
            }
            ReduceOp::Max | ReduceOp::Min => {
                let winners = attained(b, x, y, axes);
                let (Winners::Share(hit, _) | Winners::First(hit)) = winners;
                let zero = b.full_like(t, 0.0);
                let change = b.select(hit, t, zero);
                let sum = b.sum(change, axes.clone());
                match winners {
                    Winners::Share(_, count) => b.div(sum, count),
                    Winners::First(_) => sum,
                }
            }
            ReduceOp::LogSumExp => {
                let p = softmax(b, x, axes);
                let change = b.mul(t, p);
                b.sum(change, axes.clone())
            }
        },
        Op::Softmax(op, axes) => match op {
            SoftmaxOp::Softmax => softmax_jacobian(b, y, t, axes),
            SoftmaxOp::LogSoftmax => {
                let p = softmax(b, x, axes);
                let product = b.mul(t, p);
                let mean = sum_spread(b, product, axes);
                b.sub(t, mean)
            }
        },
        Op::CrossEntropy(op, axes) => match (op, operand) {
            (CrossEntropyOp::Value, 0) => {
                let op = Op::CrossEntropy(CrossEntropyOp::Residual, axes.clone());
                let residual = b.node(op, &node.inputs);
                let change = b.mul(t, residual);
                b.sum(change, axes.clone())
            }
            (CrossEntropyOp::Residual, 0) => residual_jacobian(b, x, node.inputs[1], t, axes),
            (CrossEntropyOp::Value | CrossEntropyOp::Residual, _) => linear(b),
        },
        Op::Select => panic!("internal error: `select` moves as a whole"),
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Compare(_)
        | Op::Mark(MarkOp::StopGradient)
        | Op::OneHot { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => panic!("internal error: no tangent goes through `{}`", node.op.name()),
    }
}
