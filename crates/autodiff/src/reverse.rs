//! Reverse mode: one sweep from results to their leaves.

use crate::application;
use crate::functions::Functions;
use crate::gate::{Cotangent, Gate};
use crate::product::products_of_others;
use crate::row::{
    Winners, attained, residual_jacobian, shape, softmax, softmax_jacobian, sum_spread,
};
use crate::{elementwise, linear};
use eggrad_ir::{Builder, CrossEntropyOp, MarkOp, MoveOp, Node, NodeId, Op, ReduceOp, SoftmaxOp};
use std::collections::HashMap;

/// Appends the cotangents of `wrt` for the cotangent `cotangent` of `y`: the transposed Jacobian of `y`, applied.
/// `None` where no path leads from there to `y` along which a derivative can flow. Appends at most a constant number
/// of nodes per node and operand, only along such paths. Where that reads values inside a `scan`, it appends a scan
/// that also hands them out; [`crate::merge_scans`] puts it in place of the first.
///
/// # Panics
/// When `cotangent` has another type than `y`, or a `grad` that was not resolved lies on a path: bugs of ours. [`crate::resolve`]
/// also refuses what cannot be built: scans that stack more than a tensor can hold, sub-graphs too deep.
pub fn vjp(
    builder: &mut Builder,
    y: NodeId,
    cotangent: NodeId,
    wrt: &[NodeId],
) -> Vec<Option<NodeId>> {
    let order: Vec<NodeId> = (0..=y.0).map(NodeId).collect();
    sweep(builder, &mut Functions::default(), &order, &|_| None, &[(y, cotangent)], wrt)
}

/// The nodes of one application of sub-graphs, in order: results of one op on the same operands.
#[derive(Default)]
struct Applications {
    members: Vec<Vec<NodeId>>,
    of: HashMap<NodeId, usize>,
}

impl Applications {
    fn among(builder: &Builder, order: &[NodeId]) -> Applications {
        let mut found = Applications::default();
        let mut known: HashMap<(Op, &[NodeId]), usize> = HashMap::new();
        for &id in order {
            let node = builder.graph().node(id);
            if node.op.result().is_some() {
                let next = found.members.len();
                let group = *known.entry((node.op.with_result(0), &node.inputs)).or_insert(next);
                if group == next {
                    found.members.push(vec![]);
                }
                found.members[group].push(id);
                found.of.insert(id, group);
            }
        }
        found
    }

    /// All results of the application of which `id` is the first; empty for its later ones.
    fn led_by(&self, id: NodeId) -> Option<&[NodeId]> {
        let members = &self.members[*self.of.get(&id)?];
        Some(if members[0] == id { members } else { &[] })
    }
}

/// [`vjp`] over the nodes `order`, operands before users, for cotangents of several values. A node for which `link`
/// names another one, before it in `order`, stands for that one's value.
pub(crate) fn sweep(
    builder: &mut Builder,
    functions: &mut Functions,
    order: &[NodeId],
    link: &dyn Fn(NodeId) -> Option<NodeId>,
    seeds: &[(NodeId, NodeId)],
    wrt: &[NodeId],
) -> Vec<Option<NodeId>> {
    let applications = Applications::among(builder, order);
    // Whether the value depends on one of `wrt` in a way that has a derivative.
    let mut active = vec![false; builder.graph().nodes().len()];
    wrt.iter().for_each(|w| active[w.index()] = true);
    for &id in order {
        let node = builder.graph().node(id);
        let mut operands = node.inputs.iter().enumerate();
        let flows = operands.any(|(i, o)| active[o.index()] && functions.flow.carries(&node.op, i));
        active[id.index()] |= flows || link(id).is_some_and(|l| active[l.index()]);
    }
    let mut cotangents: Vec<Option<Cotangent>> = vec![None; active.len()];
    for &(y, cotangent) in seeds {
        assert!(
            builder.ty(cotangent) == builder.ty(y),
            "internal error: a cotangent of type {} for a value of type {}",
            builder.ty(cotangent),
            builder.ty(y)
        );
        accumulate(builder, &mut cotangents[y.index()], Cotangent::plain(cotangent));
    }
    for &id in order.iter().rev() {
        // When the first result is reached, the cotangents of all are complete.
        if let Some(members) = applications.led_by(id) {
            pull_application(builder, functions, members, &active, &mut cotangents);
            continue;
        }
        let Some(g) = cotangents[id.index()].filter(|_| active[id.index()]) else { continue };
        if let Some(l) = link(id).filter(|l| active[l.index()]) {
            accumulate(builder, &mut cotangents[l.index()], g);
        }
        let node = builder.graph().node(id).clone();
        for (i, operand) in node.inputs.iter().enumerate() {
            if active[operand.index()] && functions.flow.carries(&node.op, i) {
                let part = pull(builder, id, &node, i, g);
                accumulate(builder, &mut cotangents[operand.index()], part);
            }
        }
    }
    wrt.iter().map(|w| cotangents[w.index()].map(|c| c.closed(builder))).collect()
}

/// Hands the cotangents of the results `members` of one application to its operands.
fn pull_application(
    b: &mut Builder,
    functions: &mut Functions,
    members: &[NodeId],
    active: &[bool],
    cotangents: &mut [Option<Cotangent>],
) {
    let mut given = vec![];
    for &id in members {
        if let Some(g) = cotangents[id.index()].filter(|_| active[id.index()]) {
            let op = b.graph().node(id).op.clone();
            given.push((op, g.closed(b)));
        }
    }
    let Some((op, _)) = given.first() else { return };
    let op = op.with_result(0);
    let inputs = b.graph().node(members[0]).inputs.clone();
    let wanted: Vec<usize> = (0..inputs.len())
        .filter(|&i| active[inputs[i].index()])
        .filter(|&i| given.iter().any(|(op, _)| functions.flow.carries(op, i)))
        .collect();
    let mut results: Vec<(usize, NodeId)> =
        given.iter().map(|(op, g)| (op.result().unwrap_or(0), *g)).collect();
    results.sort_unstable_by_key(|r| r.0);
    let parts = application::pull(b, functions, &op, &inputs, &results, &wanted);
    for (i, part) in wanted.into_iter().zip(parts) {
        accumulate(b, &mut cotangents[inputs[i].index()], Cotangent::plain(part));
    }
}

fn accumulate(builder: &mut Builder, sum: &mut Option<Cotangent>, part: Cotangent) {
    *sum = Some(match *sum {
        Some(sum) => sum.plus(builder, part),
        None => part,
    });
}

/// The cotangent of operand `operand` of node `y`, whose cotangent is `c`. Only asked where a derivative can flow.
fn pull(b: &mut Builder, y: NodeId, node: &Node, operand: usize, c: Cotangent) -> Cotangent {
    let gate = match (&node.op, c.gate) {
        (Op::Select, _) => {
            let inner = Gate { condition: node.inputs[0], when: operand == 1 };
            return c.within(b, inner);
        }
        (_, None) => None,
        // Element by element: the gate stays where it is.
        (Op::Unary(_) | Op::Binary(_) | Op::Cast(_) | Op::Mark(_), gate) => gate,
        // Each element goes to one place, or to all of a row: so does the gate. Where no element comes from, the
        // cotangent is zero and the padded condition false: right for both kinds of gate.
        (
            Op::Move(
                op @ (MoveOp::Reshape(_)
                | MoveOp::Transpose(_)
                | MoveOp::Slice { .. }
                | MoveOp::Pad { .. }),
            ),
            Some(gate),
        ) => {
            let from = shape(b, node.inputs[0]);
            Some(Gate { condition: linear::moved(b, op, &from, gate.condition), ..gate })
        }
        (Op::Fold { windows, .. }, Some(gate)) => {
            Some(Gate { condition: b.window(gate.condition, windows.clone()), ..gate })
        }
        (Op::Reduce(_, axes) | Op::CrossEntropy(CrossEntropyOp::Value, axes), Some(gate)) => {
            let full = shape(b, node.inputs[0]);
            Some(Gate { condition: b.spread_over(gate.condition, &full, axes), ..gate })
        }
        // Elements mix.
        (
            Op::Move(MoveOp::Broadcast { .. } | MoveOp::Window(_))
            | Op::Softmax(..)
            | Op::CrossEntropy(CrossEntropyOp::Residual, _)
            | Op::Dot(_)
            | Op::Gather { .. }
            | Op::ScatterAdd { .. },
            Some(_),
        ) => {
            let closed = c.closed(b);
            return Cotangent::plain(pull_value(b, y, node, operand, closed));
        }
        (
            Op::Input(_)
            | Op::State(_)
            | Op::Const(..)
            | Op::Data(_)
            | Op::Iota { .. }
            | Op::Size { .. }
            | Op::Compare(_)
            | Op::OneHot { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. }
            | Op::Call { .. }
            | Op::Scan { .. }
            | Op::Cond { .. }
            | Op::Grad,
            Some(_),
        ) => panic!("internal error: no cotangent goes through `{}`", node.op.name()),
    };
    Cotangent { value: pull_value(b, y, node, operand, c.value), gate }
}

/// The value of the cotangent of operand `operand` of node `y`, whose cotangent is `g`.
fn pull_value(b: &mut Builder, y: NodeId, node: &Node, operand: usize, g: NodeId) -> NodeId {
    let x = node.inputs[0];
    match &node.op {
        Op::Unary(op) => elementwise::unary(b, *op, x, y, g),
        Op::Binary(op) => elementwise::binary(b, *op, [x, node.inputs[1]], y, operand, g),
        Op::Cast(_) => {
            let dtype = b.ty(x).dtype;
            b.cast(g, dtype)
        }
        Op::Mark(MarkOp::Keep) => g,
        Op::Move(op) => {
            let from = shape(b, x);
            linear::moved(b, op, &from, g)
        }
        Op::Reduce(op, axes) => {
            let full = shape(b, x);
            match op {
                ReduceOp::Sum => b.spread_over(g, &full, axes),
                ReduceOp::Prod => {
                    let others = products_of_others(b, x, axes);
                    let g = b.spread_over(g, &full, axes);
                    b.mul(g, others)
                }
                ReduceOp::Max | ReduceOp::Min => {
                    let (hit, share) = match attained(b, x, y, axes) {
                        Winners::Share(hit, count) => (hit, b.div(g, count)),
                        Winners::First(hit) => (hit, g),
                    };
                    let share = b.spread_over(share, &full, axes);
                    let zero = b.full_like(x, 0.0);
                    b.select(hit, share, zero)
                }
                ReduceOp::LogSumExp => {
                    let p = softmax(b, x, axes);
                    let g = b.spread_over(g, &full, axes);
                    b.mul(g, p)
                }
            }
        }
        Op::Softmax(op, axes) => match op {
            SoftmaxOp::Softmax => softmax_jacobian(b, y, g, axes),
            SoftmaxOp::LogSoftmax => {
                let p = softmax(b, x, axes);
                let total = sum_spread(b, g, axes);
                let part = b.mul(p, total);
                b.sub(g, part)
            }
        },
        Op::CrossEntropy(op, axes) => {
            let (z, t) = (x, node.inputs[1]);
            match (op, operand) {
                (CrossEntropyOp::Value, 0) => {
                    let op = Op::CrossEntropy(CrossEntropyOp::Residual, axes.clone());
                    let residual = b.node(op, &[z, t]);
                    let full = shape(b, z);
                    let g = b.spread_over(g, &full, axes);
                    b.mul(g, residual)
                }
                (CrossEntropyOp::Value, _) => {
                    let log = b.node(Op::Softmax(SoftmaxOp::LogSoftmax, axes.clone()), &[z]);
                    let surprise = b.neg(log);
                    let full = shape(b, z);
                    let g = b.spread_over(g, &full, axes);
                    b.mul(g, surprise)
                }
                (CrossEntropyOp::Residual, 0) => residual_jacobian(b, z, t, g, axes),
                (CrossEntropyOp::Residual, _) => {
                    let p = softmax(b, z, axes);
                    let product = b.mul(g, p);
                    let mean = sum_spread(b, product, axes);
                    b.sub(mean, g)
                }
            }
        }
        Op::Dot(axes) => linear::dot(b, axes, [x, node.inputs[1]], operand, g),
        Op::Gather { batch } => linear::gather(b, *batch, x, node.inputs[1], g),
        Op::ScatterAdd { batch, size } => linear::scatter_add(b, *batch, *size, x, g),
        Op::Fold { windows, .. } => b.window(g, windows.clone()),
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Compare(_)
        | Op::Select
        | Op::Mark(MarkOp::StopGradient)
        | Op::OneHot { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => panic!("internal error: no cotangent goes through `{}`", node.op.name()),
    }
}
