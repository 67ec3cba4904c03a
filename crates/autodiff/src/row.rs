//! What the derivatives of reductions and softmax have in common in both directions.

use eggrad_ir::{
    Builder, CompareOp, DType, MoveOp, NodeId, Op, ReduceOp, Shape, SoftmaxOp, Windows,
};

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

/// Which elements of a row take part in its largest or smallest one.
pub(crate) enum Winners {
    /// Those marked, as many as the float of the shape of a result says, in equal shares.
    Share(NodeId, NodeId),
    /// The one marked alone.
    First(NodeId),
}

/// Taps of a window up to which the first that attains its extremum is found tap by tap.
const FEW_TAPS: usize = 16;

/// Where the elements of `x` attain `y`, the extremum of their row along `axes`: of a window the first one alone, by
/// its number in the window.
pub(crate) fn attained(b: &mut Builder, x: NodeId, y: NodeId, axes: &[usize]) -> Winners {
    let full = shape(b, x);
    if !shows_windows(b, x, axes) {
        let spread = b.spread_over(y, &full, axes);
        let hit = b.compare(CompareOp::Eq, x, spread);
        let ones = b.cast(hit, b.ty(x).dtype);
        return Winners::Share(hit, b.sum(ones, axes.to_vec()));
    }
    let sizes: Vec<usize> = axes.iter().map(|&a| full.dims()[a]).collect();
    let taps: usize = sizes.iter().product();
    let dtype = if taps <= usize::from(u8::MAX) { DType::U8 } else { DType::I32 };
    let numbers = b.node(Op::Iota { dtype, shape: [taps].into(), axis: 0 }, &[]);
    let numbers = b.reshape(numbers, sizes.into());
    let numbers = b.spread(numbers, full.clone(), axes.to_vec());
    let node = b.graph().node(x).clone();
    let first = if let Op::Move(MoveOp::Window(windows)) = &node.op
        && taps <= FEW_TAPS
    {
        first_tap(b, node.inputs[0], windows, y, dtype)
    } else {
        let spread = b.spread_over(y, &full, axes);
        let hit = b.compare(CompareOp::Eq, x, spread);
        let none = b.full_like(numbers, taps as f64);
        let places = b.select(hit, numbers, none);
        b.reduce(ReduceOp::Min, places, axes.to_vec())
    };
    let first = b.spread_over(first, &full, axes);
    Winners::First(b.compare(CompareOp::Eq, numbers, first))
}

/// Number of the first position of each window over `x` that is `y`; their number, if none is.
fn first_tap(b: &mut Builder, x: NodeId, windows: &Windows, y: NodeId, dtype: DType) -> NodeId {
    let taps: usize = windows.size.iter().product();
    let like = shape(b, y);
    let number = |b: &mut Builder, tap: usize| {
        let tap = b.scalar(dtype, tap as f64);
        b.spread(tap, like.clone(), vec![])
    };
    let mut first = number(b, taps);
    for tap in (0..taps).rev() {
        let part = windows.tap(&shape(b, x), tap);
        let there = b.node(Op::Move(part), &[x]);
        let hit = b.compare(CompareOp::Eq, there, y);
        let this = number(b, tap);
        first = b.select(hit, this, first);
    }
    first
}

/// Whether `x` is windows, perhaps computed from them element by element, and `axes` are the positions inside them.
fn shows_windows(b: &Builder, x: NodeId, axes: &[usize]) -> bool {
    /// Nodes that are looked at.
    const MOST: usize = 64;
    let rank = b.ty(x).rank();
    let mut stack = vec![x];
    for _ in 0..MOST {
        let Some(id) = stack.pop() else { break };
        let node = b.graph().node(id);
        if let Op::Move(MoveOp::Window(windows)) = &node.op {
            return (rank - windows.axes.len()..rank).eq(axes.iter().copied());
        }
        let elementwise = matches!(
            node.op,
            Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) | Op::Mark(_)
        );
        if elementwise {
            stack.extend(&node.inputs);
        }
    }
    false
}
