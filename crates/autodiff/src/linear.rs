//! Adjoints of linear ops: moves, windows, contractions, gather and scatter.

use crate::row::shape;
use eggrad_ir::{BinaryOp, Builder, CompareOp, DType, DotAxes, Literal, MoveOp, NodeId, Op, Shape};

/// The adjoint of a move from `from`, applied to `g`.
pub(crate) fn moved(b: &mut Builder, op: &MoveOp, from: &Shape, g: NodeId) -> NodeId {
    match op {
        MoveOp::Reshape(_) => b.reshape(g, from.clone()),
        MoveOp::Transpose(perm) => {
            let mut inverse = vec![0; perm.len()];
            perm.iter().enumerate().for_each(|(to, &axis)| inverse[axis] = to);
            b.transpose(g, inverse)
        }
        MoveOp::Broadcast { shape, axes } => {
            let new = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
            b.sum(g, new)
        }
        MoveOp::Slice { start, step, .. } => {
            let (start, step, size) = (start.clone(), step.clone(), from.dims().to_vec());
            let fill = zero(b.ty(g).dtype);
            b.node(Op::Move(MoveOp::Pad { start, step, size, fill }), &[g])
        }
        MoveOp::Pad { start, step, .. } => {
            let (start, step, size) = (start.clone(), step.clone(), from.dims().to_vec());
            b.node(Op::Move(MoveOp::Slice { start, step, size }), &[g])
        }
        MoveOp::Window(windows) => {
            let length = windows.axes.iter().map(|&a| from.dims()[a]).collect();
            b.fold(g, windows.clone(), length)
        }
    }
}

/// The linear part of a move, applied to the tangent `t`.
pub(crate) fn pushed(b: &mut Builder, op: &MoveOp, t: NodeId) -> NodeId {
    let mut op = op.clone();
    if let MoveOp::Pad { fill, .. } = &mut op {
        *fill = zero(b.ty(t).dtype);
    }
    b.node(Op::Move(op), &[t])
}

/// 0 or false.
fn zero(dtype: DType) -> Literal {
    match Literal::of(dtype, 0.0) {
        Some(zero) => zero,
        None => panic!("internal error: {} has no zero", dtype.name()),
    }
}

/// The cotangent of operand `operand` of a contraction of `left` and `right` with cotangent `g`: the contraction of
/// `g` with the other operand over its free axes.
pub(crate) fn dot(
    b: &mut Builder,
    axes: &DotAxes,
    [left, right]: [NodeId; 2],
    operand: usize,
    g: NodeId,
) -> NodeId {
    let free_left = axes.free_left(b.ty(left).rank());
    let free_right = axes.free_right(b.ty(right).rank());
    let batches = axes.batch.len();
    // In `g`: batch axes, then the free axes of the left operand, then those of the right one.
    let in_g = |i: usize| batches + i;
    let mut pairs = axes.contract.clone();
    let (result, order) = if operand == 0 {
        let batch = axes.batch.iter().enumerate().map(|(i, p)| (i, p.1)).collect();
        let start = free_left.len();
        let contract = free_right.iter().enumerate().map(|(i, &a)| (in_g(start + i), a)).collect();
        let result = b.dot(g, right, DotAxes { batch, contract });
        pairs.sort_unstable_by_key(|p| p.1);
        let order: Vec<usize> = axes.batch.iter().map(|p| p.0).chain(free_left).collect();
        (result, [order, pairs.iter().map(|p| p.0).collect()].concat())
    } else {
        let batch = axes.batch.iter().enumerate().map(|(i, p)| (p.0, i)).collect();
        let contract = free_left.iter().enumerate().map(|(i, &a)| (a, in_g(i))).collect();
        let result = b.dot(left, g, DotAxes { batch, contract });
        pairs.sort_unstable_by_key(|p| p.0);
        let order: Vec<usize> =
            axes.batch.iter().map(|p| p.1).chain(pairs.iter().map(|p| p.1)).collect();
        (result, [order, free_right].concat())
    };
    // Axis `i` of `result` is axis `order[i]` of the operand.
    let mut perm = vec![0; order.len()];
    order.iter().enumerate().for_each(|(from, &axis)| perm[axis] = from);
    b.transpose(result, perm)
}

/// The cotangent of the table of a `gather`.
pub(crate) fn gather(
    b: &mut Builder,
    batch: usize,
    table: NodeId,
    index: NodeId,
    g: NodeId,
) -> NodeId {
    let size = b.ty(table).shape.dims()[batch];
    b.node(Op::ScatterAdd { batch, size }, &[index, g])
}

/// The cotangent of the updates of a `scatter_add`: gathered, with zeros for updates that were dropped.
pub(crate) fn scatter_add(
    b: &mut Builder,
    batch: usize,
    size: usize,
    index: NodeId,
    g: NodeId,
) -> NodeId {
    let picked = b.node(Op::Gather { batch }, &[g, index]);
    if promised(b, index, size) {
        return picked;
    }
    let mut inside: Option<NodeId> = None;
    for (op, bound) in [(CompareOp::Ge, 0.0), (CompareOp::Lt, size as f64)] {
        let dtype = b.ty(index).dtype;
        // No index reaches a bound that its type cannot hold; every byte is at least 0.
        if Literal::of(dtype, bound).is_none() || (dtype == DType::U8 && op == CompareOp::Ge) {
            continue;
        }
        let bound = b.full_like(index, bound);
        let holds = b.compare(op, index, bound);
        inside = Some(match inside {
            Some(other) => b.binary(BinaryOp::And, other, holds),
            None => holds,
        });
    }
    let Some(inside) = inside else { return picked };
    let full = shape(b, picked);
    let axes = (0..b.ty(index).rank()).collect();
    let inside = b.spread(inside, full, axes);
    let zero = b.full_like(picked, 0.0);
    b.select(inside, picked, zero)
}

/// Whether `index` is an input declared to lie within `0..size`.
fn promised(b: &Builder, index: NodeId, size: usize) -> bool {
    let graph = b.graph();
    graph
        .inputs()
        .iter()
        .find(|i| i.node == index)
        .and_then(|i| i.range)
        .is_some_and(|(low, high)| low >= 0.0 && high < size as f64)
}
