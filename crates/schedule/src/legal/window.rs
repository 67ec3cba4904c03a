//! Windows and their adjoint: what tiles is a view both ways, and reductions over windows keep vectors along the axis
//! that is contiguous.

use super::{constant, transpose};
use eggrad_ir::{Builder, Graph, MoveOp, NodeId, Op, ReduceOp, Shape, Windows};

/// Positions up to which a window is reduced down columns.
const MOST_POSITIONS: usize = 128;

/// Results side by side from which a reduction down columns pays.
const FEW_COLUMNS: usize = 4;

/// Windows over `x`, which has elements.
pub(super) fn window(b: &mut Builder, x: NodeId, windows: &Windows) -> NodeId {
    let view = b.node(Op::Move(MoveOp::Window(windows.clone())), &[x]);
    let shape = b.ty(view).shape.clone();
    if let Some(literal) = constant::uniform(b, x) {
        let dtype = b.ty(x).dtype;
        let scalar = b.node(Op::Const(dtype, literal), &[]);
        return b.spread(scalar, shape, vec![]);
    }
    let rank = b.ty(x).rank();
    let apart = windows.size.iter().all(|&size| size == 1);
    if apart && b.ty(x).shape.dims() == &shape.dims()[..rank] {
        return b.reshape(x, shape);
    }
    view
}

/// The sum of windows `x`, which has elements, to `shape`.
pub(super) fn fold(
    b: &mut Builder,
    x: NodeId,
    windows: &Windows,
    length: &[usize],
    shape: &Shape,
) -> NodeId {
    let (rank, dims) = (shape.rank(), b.ty(x).shape.dims().to_vec());
    let tiles = |i: usize| {
        let (positions, size) = (dims[windows.axes[i]], windows.size[i]);
        (positions == 1 || windows.stride[i] == size)
            && (size == 1 || windows.dilation[i] == 1)
            && positions * size == length[i]
    };
    if !(0..windows.axes.len()).all(tiles) {
        let (windows, length) = (windows.clone(), length.to_vec());
        return b.node(Op::Fold { windows, length }, &[x]);
    }
    let mut perm = vec![];
    for axis in 0..rank {
        perm.push(axis);
        perm.extend(windows.listed(axis).map(|i| rank + i));
    }
    let y = transpose(b, x, perm);
    b.reshape(y, shape.clone())
}

/// Which nodes are windows, or computed from windows element by element.
pub(super) fn windowed(graph: &Graph) -> Vec<bool> {
    let mut windowed = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        let node = graph.node(id);
        windowed[id.index()] = match node.op {
            Op::Move(MoveOp::Window(_)) => true,
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Mark(_) => node.inputs.iter().any(|i| windowed[i.index()]),
            Op::Input(_)
            | Op::State(_)
            | Op::Const(..)
            | Op::Data(_)
            | Op::Iota { .. }
            | Op::Size { .. }
            | Op::Move(
                MoveOp::Reshape(_)
                | MoveOp::Transpose(_)
                | MoveOp::Broadcast { .. }
                | MoveOp::Slice { .. }
                | MoveOp::Pad { .. },
            )
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::Dot(_)
            | Op::OneHot { .. }
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::Fold { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. }
            | Op::Call { .. }
            | Op::Scan { .. }
            | Op::Cond { .. }
            | Op::Grad => false,
        };
    }
    windowed
}

/// The last of the axes of more than one position that are not among `axes`.
fn last_kept(shape: &Shape, axes: &[usize]) -> Option<usize> {
    (0..shape.rank()).rfind(|a| !axes.contains(a) && shape.dims()[*a] > 1)
}

/// Whether a reduction of windows of `shape` over `axes` runs down columns.
pub(super) fn runs_down(shape: &Shape, axes: &[usize]) -> bool {
    let positions: usize = axes.iter().map(|&a| shape.dims()[a]).product();
    let columns = last_kept(shape, axes).map_or(1, |a| shape.dims()[a]);
    (2..=MOST_POSITIONS).contains(&positions) && columns >= FEW_COLUMNS
}

/// `op` of `x` over `axes`, in front of the last axis that is kept.
pub(super) fn reduce(b: &mut Builder, op: ReduceOp, x: NodeId, axes: &[usize]) -> NodeId {
    let shape = b.ty(x).shape.clone();
    let last = last_kept(&shape, axes);
    let kept = (0..shape.rank()).filter(|a| !axes.contains(a) && Some(*a) != last);
    let mut perm: Vec<usize> = kept.collect();
    let first = perm.len();
    perm.extend(axes);
    perm.extend(last);
    let y = transpose(b, x, perm);
    let y = b.reduce(op, y, (first..first + axes.len()).collect());
    b.reshape(y, shape.without(axes))
}
