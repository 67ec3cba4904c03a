//! Whether the rows of a batch stay apart, so that a batch can be padded, or cut into smaller ones.

use eggrad_ir::{Graph, MoveOp, Node, Op, Output, Shape};
use eggrad_nn::Graph as Writer;

/// Two numbers of rows that no other size is likely to be.
const SIZES: [usize; 2] = [7, 11];

/// Whether each row of what `write` makes for a number of rows depends on the same row of the inputs alone: not on
/// other rows, on its place among them, or on how many there are. Outputs have their rows in axis 0.
///
/// The graph is written for two numbers of rows; the axis in which a node's two shapes differ holds its rows.
pub(crate) fn stay_apart(write: &dyn Fn(&Writer, usize)) -> bool {
    let graphs = SIZES.map(|rows| {
        let writer = Writer::new();
        write(&writer, rows);
        writer.build().map(|built| built.graph)
    });
    // A graph that cannot be written for these sizes says so where it is compiled.
    let [Ok(one), Ok(two)] = graphs else { return false };
    let outer = |(a, b): (&Output, &Output)| {
        differing(&one.ty(a.node).shape, &two.ty(b.node).shape).as_deref() == Some(&[0])
    };
    let leading = |graph: &Graph| graph.inputs().iter().map(|i| i.node).collect::<Vec<_>>();
    one.outputs().iter().zip(two.outputs()).all(outer)
        && leading(&one) == leading(&two)
        && one
            .inputs()
            .iter()
            .zip(two.inputs())
            .all(|(a, b)| differing(&a.ty.shape, &b.ty.shape).as_deref() == Some(&[0]))
        && graphs_keep_apart(&one, &two)
}

/// Whether all nodes of two graphs do, which differ in the number of rows alone; their inputs may have rows in any
/// axis, or none.
fn graphs_keep_apart(one: &Graph, two: &Graph) -> bool {
    one.nodes().len() == two.nodes().len()
        && one.nodes().iter().zip(two.nodes()).all(|(a, b)| node_keeps_apart(one, a, two, b))
}

/// The same for the sub-graphs that two ops apply.
fn functions_keep_apart(a: &Op, b: &Op) -> bool {
    let (one, two) = (a.functions(), b.functions());
    one.len() == two.len()
        && one.iter().zip(two).all(|(f, g)| {
            f.vjp().is_none() && g.vjp().is_none() && graphs_keep_apart(f.graph(), g.graph())
        })
}

/// The axes in which two shapes of one rank differ, or `None` when the ranks do.
fn differing(one: &Shape, two: &Shape) -> Option<Vec<usize>> {
    let axes =
        (0..one.rank()).filter(|&a| one.dims()[a] != two.dims().get(a).copied().unwrap_or(0));
    (one.rank() == two.rank()).then(|| axes.collect())
}

fn node_keeps_apart(one: &Graph, a: &Node, two: &Graph, b: &Node) -> bool {
    let rows = match differing(&a.ty.shape, &b.ty.shape).as_deref() {
        Some([]) => None,
        Some([axis]) => Some(*axis),
        Some(_) | None => return false,
    };
    if a.inputs != b.inputs || a.op.name() != b.op.name() {
        return false;
    }
    // Operands came before and have at most one axis of rows each.
    let operands: Vec<Option<usize>> = a
        .inputs
        .iter()
        .map(|&i| differing(&one.ty(i).shape, &two.ty(i).shape).and_then(|d| d.first().copied()))
        .collect();
    let over = |axes: &[usize]| operands.iter().flatten().any(|axis| axes.contains(axis));
    match &a.op {
        Op::Input(_) => true,
        Op::State(_) => rows.is_none(),
        Op::Const(..) | Op::Data(_) => a.op == b.op,
        // A count along the rows begins anew in each batch.
        Op::Iota { axis, .. } => rows != Some(*axis),
        Op::Size { axes, .. }
        | Op::Reduce(_, axes)
        | Op::Softmax(_, axes)
        | Op::CrossEntropy(_, axes) => !over(axes) && a.op == b.op,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::OneHot { .. } => a.op == b.op,
        Op::Dot(axes) => {
            let side = |i: usize, at: usize| operands[i] == Some(at);
            let summed = axes.contract.iter().any(|&(l, r)| side(0, l) || side(1, r));
            !summed && a.op == b.op
        }
        Op::Move(op) => moves_keep_apart(op, one.ty(a.inputs[0]).shape.dims(), operands[0], rows),
        // Rows among the places to pick from would meet.
        Op::Gather { batch } => operands[0] != Some(*batch) && a.op == b.op,
        Op::Fold { windows, length } => {
            let Op::Fold { windows: others, length: lengths } = &b.op else { return false };
            let slides = rows.is_some_and(|axis| windows.axes.contains(&axis));
            !slides && windows == others && length == lengths
        }
        // What is drawn depends on the place.
        Op::Random { .. } => rows.is_none() && a.op == b.op,
        Op::RandomKey { .. } => a.op == b.op,
        Op::Scan { scan: s, .. } => {
            let Op::Scan { scan: t, .. } = &b.op else { return false };
            let along = (s.carries..s.carries + s.xs).any(|i| operands[i] == Some(0));
            let same = (s.carries, s.xs, s.length, s.reverse, a.op.result())
                == (t.carries, t.xs, t.length, t.reverse, b.op.result());
            !along && same && functions_keep_apart(&a.op, &b.op)
        }
        Op::Call { .. } | Op::Cond { .. } => {
            a.op.result() == b.op.result() && functions_keep_apart(&a.op, &b.op)
        }
        Op::ScatterAdd { .. } | Op::Grad => operands.iter().all(Option::is_none) && a.op == b.op,
    }
}

/// As [`node_keeps_apart`], for a move of an operand of sizes `dims` with rows in axis `from`, to rows in axis `to`.
fn moves_keep_apart(op: &MoveOp, dims: &[usize], from: Option<usize>, to: Option<usize>) -> bool {
    let Some(from) = from else { return true };
    let Some(to) = to else { return false };
    let whole = |start: &[usize], step: &[usize], size: &[usize]| {
        start[from] == 0 && step[from] == 1 && size[from] == dims[from]
    };
    match op {
        MoveOp::Reshape(shape) => {
            let before = |dims: &[usize], axis: usize| dims[..axis].iter().product::<usize>();
            before(dims, from) == before(shape.dims(), to) && dims[from] == shape.dims()[to]
        }
        MoveOp::Transpose(_) | MoveOp::Broadcast { .. } => true,
        MoveOp::Slice { start, step, size } | MoveOp::Pad { start, step, size, .. } => {
            whole(start, step, size)
        }
        MoveOp::Window(windows) => !windows.axes.contains(&from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eggrad_nn::{Init, Tensor, dense};

    /// Whether rows stay apart in what `work` makes of a batch `[rows, 4]`.
    fn apart(work: impl for<'g> Fn(Tensor<'g>, usize) -> Tensor<'g>) -> bool {
        stay_apart(&|g, rows| g.output("y", work(g.input("x", [rows, 4]), rows)))
    }

    #[test]
    fn work_within_rows() {
        assert!(apart(|x, _| dense("d", x, 3).relu().softmax(1)));
        assert!(apart(|x, _| x.sum(1).exp()));
        assert!(apart(|x, n| x.reshape([n, 2, 2]).sum(2) - x.slice(1, 1..3)));
        assert!(apart(|x, _| x.transpose().log().transpose()));
        assert!(apart(|x, n| x.reshape([n, 1, 4]).matmul(x.reshape([n, 4, 1]))));
        assert!(apart(|x, _| x.argmax(1).one_hot(4)));
        assert!(apart(|x, _| x - x.mean_over(1).unsqueeze(1)));
        assert!(apart(|x, _| x.pad(1, 1, 1, 0.0).logsumexp(1)));
        assert!(apart(|x, _| x.windows([1], [2], [1], [1]).max(-1)));
        assert!(apart(|x, n| {
            let h = x.graph().constant(0.0).broadcast_to([n]);
            x.graph().scan(&[h], &[x.transpose()], |h, x| (vec![h[0] + x[0]], vec![])).carries[0]
        }));
    }

    #[test]
    fn work_across_rows() {
        assert!(!apart(|x, _| x - x.mean_over(0)));
        assert!(!apart(|x, _| x.softmax(0)));
        assert!(!apart(|x, _| x.matmul(x.transpose())));
        assert!(!apart(|x, _| x.transpose()));
        assert!(!apart(|x, n| x.reshape([4, n])));
        assert!(!apart(|x, _| x.flip(0)));
        assert!(!apart(|x, _| x.cumsum(0)));
        assert!(!apart(|x, _| x.slice(0, 0..4)));
        assert!(!apart(|x, n| x + x.graph().random().uniform([n, 4])));
        assert!(!apart(|x, _| {
            let h = x.graph().constant(0.0).broadcast_to([4]);
            x.graph().scan(&[h], &[x], |h, x| (vec![h[0] + x[0]], vec![h[0]])).stacked[0]
        }));
        assert!(!apart(|x, n| x.graph().param("w", [n, n], Init::GlorotUniform).matmul(x)));
    }

    #[test]
    fn how_many_rows_there_are_and_where_one_is() {
        assert!(!apart(|x, n| x / n as f64));
        // Positions of the rows: how often a one has come so far.
        assert!(!apart(|x, n| { x + x.graph().constant(1.0).broadcast_to([n, 4]).cumsum(0) }));
        assert!(!apart(|x, n| {
            let ones = x.graph().constant(1.0).broadcast_to([n, 4]);
            x - ones.sum(0)
        }));
    }
}
