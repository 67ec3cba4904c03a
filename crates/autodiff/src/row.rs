//! What the derivatives of reductions and softmax have in common in both directions.

use eggrad_ir::{BinaryOp, Builder, CompareOp, NodeId, Op, ReduceOp, Shape, SoftmaxOp};

/// Shape of a node.
pub(crate) fn shape(b: &Builder, x: NodeId) -> Shape {
    b.ty(x).shape.clone()
}

/// Sum over `axes`, put back to the shape of `x`.
pub(crate) fn sum_spread(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    let sum = b.sum(x, axes.to_vec());
    let shape = shape(b, x);
    b.spread_over(sum, &shape, axes)
}

/// Softmax of `z` over `axes`.
pub(crate) fn softmax(b: &mut Builder, z: NodeId, axes: &[usize]) -> NodeId {
    b.node(Op::Softmax(SoftmaxOp::Softmax, axes.to_vec()), &[z])
}

/// `p · (d - sum(d · p))`: the Jacobian of softmax, which is symmetric, at `p`, applied to `d`.
pub(crate) fn softmax_jacobian(b: &mut Builder, p: NodeId, d: NodeId, axes: &[usize]) -> NodeId {
    let product = b.mul(d, p);
    let mean = sum_spread(b, product, axes);
    let centred = b.sub(d, mean);
    b.mul(p, centred)
}

/// `sum(t) · J d` with the Jacobian `J` of softmax: what a cross-entropy residual does to a change of its logits.
pub(crate) fn residual_jacobian(
    b: &mut Builder,
    z: NodeId,
    t: NodeId,
    d: NodeId,
    axes: &[usize],
) -> NodeId {
    let p = softmax(b, z, axes);
    let change = softmax_jacobian(b, p, d, axes);
    let total = sum_spread(b, t, axes);
    b.mul(total, change)
}

/// For each element of `x` the product of the others of its row, where `y` is the product of all. Divides only by what
/// is not zero.
pub(crate) fn products_of_others(b: &mut Builder, x: NodeId, y: NodeId, axes: &[usize]) -> NodeId {
    let full = shape(b, x);
    let zero = b.full_like(x, 0.0);
    let one = b.full_like(x, 1.0);
    let is_zero = b.compare(CompareOp::Eq, x, zero);
    let filled = b.select(is_zero, one, x);
    // Rows without a zero: divide. Rows with one: only the zero itself sees a product, that of all others.
    let y = b.spread_over(y, &full, axes);
    let without = b.div(y, filled);
    let of_filled = b.reduce(ReduceOp::Prod, filled, axes.to_vec());
    let of_filled = b.spread_over(of_filled, &full, axes);
    let hits = b.select(is_zero, one, zero);
    let zeros = sum_spread(b, hits, axes);
    let single = b.compare(CompareOp::Eq, zeros, one);
    let alone = b.binary(BinaryOp::And, single, is_zero);
    let none = b.compare(CompareOp::Eq, zeros, zero);
    let rest = b.select(alone, of_filled, zero);
    b.select(none, without, rest)
}

/// Where the elements of `x` attain `y`, the extremum of their row, and how many do, as a float of the shape of `y`.
pub(crate) fn attained(b: &mut Builder, x: NodeId, y: NodeId, axes: &[usize]) -> (NodeId, NodeId) {
    let full = shape(b, x);
    let spread = b.spread_over(y, &full, axes);
    let hit = b.compare(CompareOp::Eq, x, spread);
    let ones = b.cast(hit, b.ty(x).dtype);
    let count = b.sum(ones, axes.to_vec());
    (hit, count)
}
