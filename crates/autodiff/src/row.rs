//! What the derivatives of reductions and softmax have in common in both directions.

use eggrad_ir::{Builder, CompareOp, NodeId, Op, Shape, SoftmaxOp};

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

/// Where the elements of `x` attain `y`, the extremum of their row, and how many do, as a float of the shape of `y`.
pub(crate) fn attained(b: &mut Builder, x: NodeId, y: NodeId, axes: &[usize]) -> (NodeId, NodeId) {
    let full = shape(b, x);
    let spread = b.spread_over(y, &full, axes);
    let hit = b.compare(CompareOp::Eq, x, spread);
    let ones = b.cast(hit, b.ty(x).dtype);
    let count = b.sum(ones, axes.to_vec());
    (hit, count)
}
