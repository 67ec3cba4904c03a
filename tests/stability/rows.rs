//! Cases as matrices: their rows stacked, and the graph of one row applied to all of them.

use crate::case::{Array, Case, Category, Kind, Run};
use eggrad::ir::{
    At, Builder, DType, Graph, MoveOp, NodeId, Op, ReduceOp, Shape, TensorType, expression,
};
use std::collections::BTreeMap;

/// Values of a row graph in the graph of all rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// One number, the same for all rows.
    Same(NodeId),
    /// One value per row, stacked along a first axis.
    Rows(NodeId),
}

/// How one op of the row graph is applied to its operands.
pub(crate) type Wrap<'w> = dyn Fn(&mut Builder, &[Value], &Apply<'_>) -> NodeId + 'w;

/// What changes in the graph of all rows.
#[derive(Default)]
pub(crate) struct Change<'w> {
    /// The op that is applied in another way, and that way.
    pub(crate) site: Option<(NodeId, &'w Wrap<'w>)>,
    /// Which elements sums along rows count.
    pub(crate) counts: Option<NodeId>,
}

/// Applies an op to operands of one shape.
pub(crate) type Apply<'a> = dyn Fn(&mut Builder, &[NodeId]) -> NodeId + 'a;

/// A case with its rows stacked.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// The graph of one row.
    pub(crate) row: Graph,
    pub(crate) count: usize,
    pub(crate) run: Run,
}

/// The rows of a case, an even number of them and at least four; `None` where a case has no rows.
pub(crate) fn rows(case: &Case) -> Option<Rows> {
    let wanted =
        matches!(case.category, Category::Stabilise | Category::Gradient | Category::Special);
    if !wanted || case.kind == Kind::Matrix || !case.frozen.is_empty() {
        return None;
    }
    let shapes = |run: &Run| -> Vec<Vec<usize>> {
        run.0.values().map(|a| a.shape.clone()).chain([run.1.shape.clone()]).collect()
    };
    let alike = case.runs.iter().filter(|r| shapes(r) == shapes(&case.runs[0]));
    let mut runs: Vec<&Run> = alike.collect();
    for i in 0.. {
        if runs.len() >= 4 && runs.len().is_multiple_of(2) {
            break;
        }
        runs.push(runs[i]);
    }
    let stack = |arrays: Vec<&Array>| Array {
        shape: [arrays.len()].into_iter().chain(arrays[0].shape.iter().copied()).collect(),
        data: arrays.iter().flat_map(|a| a.data.iter().copied()).collect(),
    };
    let mut vars = BTreeMap::new();
    for name in runs[0].0.keys() {
        vars.insert(name.clone(), stack(runs.iter().map(|r| &r.0[name]).collect()));
    }
    let expected = stack(runs.iter().map(|r| &r.1).collect());
    let row = row(case, &runs[0].0)?;
    Some(Rows { row, count: runs.len(), run: (vars, expected) })
}

/// The graph of one row with variables of the shapes of `vars`.
pub(crate) fn row(case: &Case, vars: &BTreeMap<String, Array>) -> Option<Graph> {
    let mut builder = Builder::new();
    let mut names = BTreeMap::new();
    for (name, value) in vars {
        let ty = TensorType::new(DType::F32, value.shape.clone());
        let domain = case.domain.get(name).copied();
        names.insert(name.clone(), builder.declare_input(name, ty, domain, At::Unknown));
    }
    let y = expression(&mut builder, &names, &case.expr).ok()?;
    builder.output("y", y);
    builder.build().ok()
}

/// Ops of a row graph between which moves can stand: elementwise ones that read what others compute.
pub(crate) fn sites(row: &Graph) -> Vec<NodeId> {
    let computed = |id: &NodeId| match &row.node(*id).op {
        Op::Unary(_) | Op::Binary(_) | Op::Reduce(..) | Op::Softmax(..) | Op::Select => true,
        Op::Move(MoveOp::Broadcast { .. } | MoveOp::Reshape(_)) => {
            let from = row.node(*id).inputs[0];
            matches!(row.node(from).op, Op::Reduce(..))
        }
        _ => false,
    };
    let elementwise = |id: &NodeId| matches!(row.node(*id).op, Op::Unary(_) | Op::Binary(_));
    let float = |id: &NodeId| row.ty(*id).dtype.is_float();
    let reads = |id: &NodeId| row.node(*id).inputs.iter().any(computed);
    row.ids().filter(|id| elementwise(id) && float(id) && reads(id)).collect()
}

/// Whether only elementwise ops read `id`, also through others.
pub(crate) fn only_elementwise_after(row: &Graph, id: NodeId) -> bool {
    let mut reached = vec![false; row.nodes().len()];
    reached[id.index()] = true;
    for later in row.ids() {
        let node = row.node(later);
        if !node.inputs.iter().any(|i| reached[i.index()]) {
            continue;
        }
        reached[later.index()] = true;
        if !matches!(node.op, Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Compare(_)) {
            return false;
        }
    }
    true
}

/// Whether nothing but numbers stands beside `id` and what is made of it.
pub(crate) fn alone_after(row: &Graph, id: NodeId) -> bool {
    let mut reached = vec![false; row.nodes().len()];
    let mut number = vec![false; row.nodes().len()];
    for at in row.ids() {
        let node = row.node(at);
        let inputs = || node.inputs.iter().map(|i| i.index());
        number[at.index()] = match node.op {
            Op::Input(_) => false,
            _ => inputs().all(|i| number[i]),
        };
        reached[at.index()] = at == id || inputs().any(|i| reached[i]);
        let beside = inputs().all(|i| reached[i] || number[i]);
        if reached[at.index()] && at != id && !beside {
            return false;
        }
    }
    true
}

/// Applies the row graph to rows; returns every value.
pub(crate) fn apply(
    builder: &mut Builder,
    rows: &Rows,
    inputs: &[NodeId],
    change: &Change<'_>,
) -> Result<Vec<Value>, String> {
    let mut values: Vec<Value> = vec![];
    for id in rows.row.ids() {
        let node = rows.row.node(id);
        let operands: Vec<Value> = node.inputs.iter().map(|i| values[i.index()]).collect();
        values.push(match (&node.op, operands.as_slice()) {
            (Op::Input(i), _) => Value::Rows(inputs[*i]),
            (Op::Const(..), _) => Value::Same(builder.node(node.op.clone(), &[])),
            (Op::Move(MoveOp::Broadcast { .. } | MoveOp::Reshape(_)), &[Value::Same(x)]) => {
                Value::Same(x)
            }
            (Op::Move(MoveOp::Broadcast { shape, axes }), &[Value::Rows(x)]) => {
                let axes = [0].into_iter().chain(axes.iter().map(|a| a + 1)).collect();
                let count = builder.ty(x).shape.dims()[0];
                Value::Rows(builder.spread(x, stacked(count, shape), axes))
            }
            (Op::Move(MoveOp::Reshape(shape)), &[Value::Rows(x)]) => {
                let count = builder.ty(x).shape.dims()[0];
                Value::Rows(builder.reshape(x, stacked(count, shape)))
            }
            (Op::Reduce(op, axes), &[Value::Rows(x)]) => {
                let axes = axes.iter().map(|a| a + 1).collect();
                let counted = change.counts.filter(|_| *op == ReduceOp::Sum);
                let x = match counted {
                    Some(counts) => {
                        let zero = builder.full_like(x, 0.0);
                        builder.select(counts, x, zero)
                    }
                    None => x,
                };
                Value::Rows(builder.reduce(*op, x, axes))
            }
            (Op::Softmax(op, axes), &[Value::Rows(x)]) => {
                let axes = axes.iter().map(|a| a + 1).collect();
                Value::Rows(builder.node(Op::Softmax(*op, axes), &[x]))
            }
            (Op::Size { dtype, axes }, &[Value::Rows(x)]) => {
                let axes = axes.iter().map(|a| a + 1).collect();
                Value::Same(builder.node(Op::Size { dtype: *dtype, axes }, &[x]))
            }
            (Op::Grad, &[Value::Rows(loss), Value::Rows(x)]) => {
                let all = (0..builder.ty(loss).shape.rank()).collect();
                let loss = builder.reduce(ReduceOp::Sum, loss, all);
                Value::Rows(builder.node(Op::Grad, &[loss, x]))
            }
            (Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select, _) => {
                let op = node.op.clone();
                let direct = |b: &mut Builder, args: &[NodeId]| b.node(op.clone(), args);
                if operands.iter().all(|o| matches!(o, Value::Same(_))) {
                    let same = operands.iter().map(|&(Value::Same(x) | Value::Rows(x))| x);
                    let args: Vec<NodeId> = same.collect();
                    Value::Same(direct(builder, &args))
                } else {
                    let site = change.site.filter(|s| s.0 == id);
                    Value::Rows(match site {
                        Some((_, wrap)) => wrap(builder, &operands, &direct),
                        None => {
                            let args = aligned(builder, &operands);
                            direct(builder, &args)
                        }
                    })
                }
            }
            (op, _) => return Err(format!("`{}` has no rows", op.name())),
        });
    }
    Ok(values)
}

/// Operands of one shape, that of the smallest rows: of others the first elements are taken.
pub(crate) fn aligned(builder: &mut Builder, operands: &[Value]) -> Vec<NodeId> {
    let mut shape: Option<Shape> = None;
    for operand in operands {
        let Value::Rows(x) = operand else { continue };
        let own = builder.ty(*x).shape.clone();
        shape = Some(match shape {
            Some(s) => s.dims().iter().zip(own.dims()).map(|(a, b)| *a.min(b)).collect(),
            None => own,
        });
    }
    let mut list = vec![];
    for operand in operands {
        list.push(match (operand, &shape) {
            (Value::Same(x), Some(shape)) => builder.spread(*x, shape.clone(), vec![]),
            (Value::Rows(x), Some(shape)) => first(builder, *x, shape),
            (Value::Same(x) | Value::Rows(x), None) => *x,
        });
    }
    list
}

/// The first elements of `x` along each axis, as many as `shape` has.
pub(crate) fn first(builder: &mut Builder, x: NodeId, shape: &Shape) -> NodeId {
    if builder.ty(x).shape == *shape {
        return x;
    }
    let size = shape.dims().to_vec();
    let (start, step) = (vec![0; size.len()], vec![1; size.len()]);
    builder.node(Op::Move(MoveOp::Slice { start, step, size }), &[x])
}

fn stacked(count: usize, shape: &Shape) -> Shape {
    [count].into_iter().chain(shape.dims().iter().copied()).collect()
}
