//! Whether the rows of a batch stay apart, so that a smaller batch can be padded to a larger one.

use eggrad_ir::{DotAxes, Graph, MoveOp, Op};

/// Whether each row of every output depends on the same row of the inputs alone, and not on how many rows there are.
/// The rows are axis 0 of every input and output.
pub(crate) fn stay_apart(graph: &Graph) -> bool {
    let mut axes: Vec<Option<usize>> = vec![];
    for node in graph.nodes() {
        let args: Vec<Option<usize>> = node.inputs.iter().map(|i| axes[i.index()]).collect();
        let ranks: Vec<usize> = node.inputs.iter().map(|i| graph.ty(*i).rank()).collect();
        let kept = |i: usize| graph.ty(node.inputs[i]).shape.dims();
        let axis = match (&node.op, args.first().copied().flatten()) {
            (Op::Move(MoveOp::Reshape(to)), Some(0)) => {
                (to.dims().first() == kept(0).first()).then_some(Some(0))
            }
            (Op::Move(MoveOp::Slice { start, step, size }), Some(a)) => {
                let whole = start[a] == 0 && step[a] == 1 && size[a] == kept(0)[a];
                whole.then_some(Some(a))
            }
            (Op::Move(MoveOp::Pad { start, step, size, .. }), Some(a)) => {
                let whole = start[a] == 0 && step[a] == 1 && size[a] == kept(0)[a];
                whole.then_some(Some(a))
            }
            _ => row_axis(&node.op, &args, &ranks),
        };
        match axis {
            Some(axis) => axes.push(axis),
            None => return false,
        }
    }
    graph.outputs().iter().all(|o| axes[o.node.index()].is_none_or(|axis| axis == 0))
}

/// The axis of the result that holds the rows, if any; `None` where rows meet.
fn row_axis(op: &Op, args: &[Option<usize>], ranks: &[usize]) -> Option<Option<usize>> {
    let mut with_rows = args.iter().flatten();
    let first = with_rows.next().copied();
    match op {
        Op::Input(_) => Some(Some(0)),
        // A tensor written for a number of rows may differ for another.
        Op::Data(data) => data.shape.dims().is_empty().then_some(None),
        Op::State(_) | Op::Const(..) | Op::Iota { .. } => Some(None),
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::OneHot { .. } => with_rows.all(|a| Some(*a) == first).then_some(first),
        Op::Size { axes, .. } => (!first.is_some_and(|a| axes.contains(&a))).then_some(None),
        Op::Move(op) => match (op, first) {
            (_, None) => Some(None),
            (MoveOp::Transpose(perm), Some(a)) => Some(perm.iter().position(|&p| p == a)),
            (MoveOp::Broadcast { axes, .. }, Some(a)) => Some(Some(axes[a])),
            (MoveOp::Reshape(_) | MoveOp::Slice { .. } | MoveOp::Pad { .. }, Some(_)) => None,
        },
        Op::Reduce(_, axes) => {
            let before = |a: usize| axes.iter().filter(|&&x| x < a).count();
            let apart = !first.is_some_and(|a| axes.contains(&a));
            apart.then_some(first.map(|a| a - before(a)))
        }
        Op::Softmax(_, axes) => (!first.is_some_and(|a| axes.contains(&a))).then_some(first),
        Op::CrossEntropy(op, axes) => {
            let same = with_rows.all(|a| Some(*a) == first);
            let apart = same && !first.is_some_and(|a| axes.contains(&a));
            let before = |a: usize| axes.iter().filter(|&&x| x < a).count();
            apart.then_some(first.map(|a| match op {
                eggrad_ir::CrossEntropyOp::Value => a - before(a),
                eggrad_ir::CrossEntropyOp::Residual => a,
            }))
        }
        Op::Dot(axes) => dot_axis(axes, args[0], args[1], ranks),
        // Result axes are those of the indices, then the rest of the table.
        Op::Gather { batch } => match (args[0], args[1]) {
            (None, index) => Some(index),
            (Some(t), Some(i)) => (t == i && t < *batch).then_some(Some(i)),
            (Some(_), None) => None,
        },
        Op::ScatterAdd { .. } | Op::Grad => first.is_none().then_some(None),
    }
}

/// As [`row_axis`], for a contraction.
fn dot_axis(
    axes: &DotAxes,
    left: Option<usize>,
    right: Option<usize>,
    ranks: &[usize],
) -> Option<Option<usize>> {
    let batch = axes.batch.iter().position(|&(l, r)| Some(l) == left || Some(r) == right);
    if let Some(at) = batch {
        let (l, r) = axes.batch[at];
        // Rows on one side alone would meet a fixed number of places on the other.
        return (left == Some(l) && right == Some(r)).then_some(Some(at));
    }
    let (free_left, free_right) = (axes.free_left(ranks[0]), axes.free_right(ranks[1]));
    let at = axes.batch.len();
    match (left, right) {
        (None, None) => Some(None),
        (Some(l), None) => free_left.iter().position(|&a| a == l).map(|i| Some(at + i)),
        (None, Some(r)) => {
            free_right.iter().position(|&a| a == r).map(|i| Some(at + free_left.len() + i))
        }
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eggrad_nn::{Graph as Writer, Init, Tensor, dense};

    fn apart(write: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) -> bool {
        let g = Writer::new();
        g.output("y", write(g.input("x", [8, 4])));
        stay_apart(&g.build().expect("a valid graph").graph)
    }

    #[test]
    fn work_within_rows() {
        assert!(apart(|x| dense("d", x, 3).relu().softmax(1)));
        assert!(apart(|x| x.sum(1).exp()));
        assert!(apart(|x| x.reshape([8, 2, 2]).sum(2) - x.slice(1, 1..3)));
        assert!(apart(|x| x.transpose().log().transpose()));
        assert!(apart(|x| x.reshape([8, 1, 4]).matmul(x.reshape([8, 4, 1]))));
        assert!(apart(|x| x.argmax(1).one_hot(4)));
        assert!(apart(|x| x - x.mean_over(1).unsqueeze(1)));
        assert!(apart(|x| x.pad(1, 1, 1, 0.0).logsumexp(1)));
    }

    #[test]
    fn work_across_rows() {
        assert!(!apart(|x| x - x.mean_over(0)));
        assert!(!apart(|x| x.softmax(0)));
        assert!(!apart(|x| x.matmul(x.transpose())));
        assert!(!apart(|x| x.transpose()));
        assert!(!apart(|x| x.reshape([4, 8])));
        assert!(!apart(|x| x.flip(0)));
        assert!(!apart(|x| x.cumsum(0)));
        assert!(!apart(|x| x.slice(0, 0..4)));
        assert!(!apart(|x| x.graph().param("w", [8, 8], Init::GlorotUniform).matmul(x)));
    }
}
