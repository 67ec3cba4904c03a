//! Windows and their adjoint: what tiles is a view both ways, and what is computed from windows, element by element or
//! by reducing them, has the positions of windows before the last other axis, along which memory is contiguous.

use super::{Pass, constant, part, part::Part, transpose};
use eggrad_ir::{BinaryOp, Builder, Graph, MoveOp, NodeId, Op, ReduceOp, Shape, Windows};

/// Positions up to which a window is reduced down columns.
const MOST_POSITIONS: usize = 128;

/// Positions of windows up to which their extremum is found position by position.
const FEW_POSITIONS: usize = 16;

/// Results side by side from which a reduction down columns pays.
const FEW_COLUMNS: usize = 4;

/// Windows over `x`, which has elements: a transpose of them in the order of axes in which they are best kept in
/// memory, if they must be, so that all who need them there find the same node.
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
    let positions: Vec<usize> = (rank..shape.rank()).collect();
    let order = in_front(&shape, &positions);
    let kept = b.transpose(view, order.clone());
    transpose(b, kept, inverse(&order))
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

/// For each node that is a window, or computed from windows element by element, how many of its axes are positions: its
/// last ones.
pub(super) fn positions(graph: &Graph) -> Vec<usize> {
    let mut positions = vec![0; graph.nodes().len()];
    for id in graph.ids() {
        let node = graph.node(id);
        positions[id.index()] = match &node.op {
            Op::Move(MoveOp::Window(windows)) => windows.axes.len(),
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Mark(_) => node.inputs.iter().map(|i| positions[i.index()]).max().unwrap_or(0),
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
            | Op::Grad => 0,
        };
    }
    positions
}

/// Order of the axes in which to compute values of `shape` whose last `positions` axes are positions of windows, element
/// by element: these before the last other one, along which vectors then lie.
pub(super) fn order(shape: &Shape, positions: usize) -> Option<Vec<usize>> {
    let axes: Vec<usize> = (shape.rank() - positions..shape.rank()).collect();
    (positions > 0 && runs_down(shape, &axes)).then(|| in_front(shape, &axes))
}

/// All axes of `shape`, those of `axes` before the last other one of more than one position.
fn in_front(shape: &Shape, axes: &[usize]) -> Vec<usize> {
    let last = last_kept(shape, axes);
    let kept = (0..shape.rank()).filter(|a| !axes.contains(a) && Some(*a) != last);
    kept.chain(axes.iter().copied()).chain(last).collect()
}

/// The order that undoes `perm`.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
    inverse
}

/// The last of the axes of more than one position that are not among `axes`.
fn last_kept(shape: &Shape, axes: &[usize]) -> Option<usize> {
    (0..shape.rank()).rfind(|a| !axes.contains(a) && shape.dims()[*a] > 1)
}

impl Pass<'_> {
    /// The largest or smallest of each window of `windows` over its positions `axes`, where they are few: of one slice
    /// for each, in one pass, with whatever else is made of these slices.
    pub(super) fn extreme(
        &mut self,
        op: ReduceOp,
        windows: NodeId,
        axes: &[usize],
    ) -> Option<NodeId> {
        let node = self.old.node(windows);
        let Op::Move(MoveOp::Window(list)) = &node.op else { return None };
        let positions: usize = list.size.iter().product();
        let rank = node.ty.rank();
        let inside = (rank - list.axes.len()..rank).eq(axes.iter().copied());
        if !inside || !(2..=FEW_POSITIONS).contains(&positions) || !node.ty.dtype.is_float() {
            return None;
        }
        let op = if op == ReduceOp::Max { BinaryOp::Maximum } else { BinaryOp::Minimum };
        let (x, over) = (self.map[node.inputs[0].index()], &self.old.ty(node.inputs[0]).shape);
        let mut extreme = None;
        for tap in 0..positions {
            let MoveOp::Slice { start, step, size } = list.tap(over, tap) else { return None };
            let there = part::slice(&mut self.new, x, Part { start, step, size });
            extreme = Some(match extreme {
                Some(so_far) => self.new.binary(op, so_far, there),
                None => there,
            });
        }
        extreme
    }
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
    let perm = in_front(&shape, axes);
    let first = perm.iter().position(|a| axes.contains(a)).unwrap_or(0);
    let y = transpose(b, x, perm);
    let y = b.reduce(op, y, (first..first + axes.len()).collect());
    b.reshape(y, shape.without(axes))
}
