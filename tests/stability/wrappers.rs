//! Every formula that is to be stable, with something between its parts that only moves, converts or marks.
//!
//! What is put between an op and what it reads changes no value, so that the values expected are those of the case.

use crate::case::{Array, Case, Category};
use crate::check::{Run, close, outputs};
use crate::rows::{
    Apply, Change, Rows, Value, Wrap, aligned, alone_after, apply, first, only_elementwise_after,
    row, rows, sites,
};
use eggrad::interp::{Precision, Tensor, run};
use eggrad::ir::{
    At, BinaryOp, Builder, CompareOp, DType, Function, Graph, Literal, MarkOp, MoveOp, NodeId, Op,
    ReduceOp, Scan, TensorType,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stands between an op and its operands, or around the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// All rows as one, and back.
    Merge,
    /// The first axis as two, and back.
    Split,
    /// Axes exchanged, and back.
    Transpose,
    /// The op, and all that reads it, on a slice along the last axis, or of the rows where later ops mix these.
    Slice,
    /// Operands padded, the result cut.
    Pad,
    /// Operands padded and cut again.
    PadSlice,
    /// Something else put beside the operands, and cut off from the result.
    Concat,
    /// Something else put beside the operands and cut off again.
    ConcatSlice,
    /// Rows picked by positions, from there on.
    Gather,
    /// The op in `f64`.
    Cast,
    /// Operands to `f64` and back.
    CastBack,
    /// Operands of which no derivative is taken.
    StopGradient,
    /// An operand is an output too.
    SecondConsumer,
    /// The result times weights.
    Weights,
    /// Rows plus zeros that nothing is known of.
    AddedMask,
    /// Rows with more elements, all of them -inf.
    InfinityMask,
    /// Rows with more elements, which every sum leaves out.
    MaskedSum,
    /// Row by row in a loop.
    Scan,
}

impl Wrapper {
    pub(crate) const ALL: [(Wrapper, &'static str); 18] = [
        (Wrapper::Merge, "merge"),
        (Wrapper::Split, "split"),
        (Wrapper::Transpose, "transpose"),
        (Wrapper::Slice, "slice"),
        (Wrapper::Pad, "pad"),
        (Wrapper::PadSlice, "pad_slice"),
        (Wrapper::Concat, "concat"),
        (Wrapper::ConcatSlice, "concat_slice"),
        (Wrapper::Gather, "gather"),
        (Wrapper::Cast, "cast"),
        (Wrapper::CastBack, "cast_back"),
        (Wrapper::StopGradient, "stop_gradient"),
        (Wrapper::SecondConsumer, "second_consumer"),
        (Wrapper::Weights, "weights"),
        (Wrapper::AddedMask, "added_mask"),
        (Wrapper::InfinityMask, "infinity_mask"),
        (Wrapper::MaskedSum, "masked_sum"),
        (Wrapper::Scan, "scan"),
    ];

    /// Whether it stands between an op and its operands.
    fn has_sites(self) -> bool {
        match self {
            Wrapper::Merge
            | Wrapper::Split
            | Wrapper::Transpose
            | Wrapper::Slice
            | Wrapper::Pad
            | Wrapper::PadSlice
            | Wrapper::Concat
            | Wrapper::ConcatSlice
            | Wrapper::Gather
            | Wrapper::Cast
            | Wrapper::CastBack
            | Wrapper::StopGradient
            | Wrapper::SecondConsumer => true,
            Wrapper::Weights
            | Wrapper::AddedMask
            | Wrapper::InfinityMask
            | Wrapper::MaskedSum
            | Wrapper::Scan => false,
        }
    }
}

/// One wrapped graph, its inputs and what its first output has to be.
struct Wrapped {
    graph: Graph,
    run: Run,
    how: String,
}

/// Checks a case in every place where the wrapper can stand.
pub(crate) fn check(case: &Case, wrapper: Wrapper) -> Result<(), String> {
    let rows = rows(case).ok_or("no rows")?;
    for wrapped in all(case, &rows, wrapper)? {
        let fail = |e: String| format!("{}: {e}\n{}", wrapped.how, wrapped.graph);
        let (found, optimised) = outputs(&wrapped.graph, &wrapped.run).map_err(fail)?;
        for (how, values) in found {
            let report = |e: String| fail(format!("{how}: {e}\n{optimised}"));
            close(case, &wrapped.run.1, &values).map_err(report)?;
        }
    }
    Ok(())
}

/// Whether the wrapper can stand somewhere in the case.
pub(crate) fn applies(case: &Case, wrapper: Wrapper) -> bool {
    let Some(rows) = rows(case) else { return false };
    all(case, &rows, wrapper).is_ok_and(|list| !list.is_empty())
}

fn all(case: &Case, rows: &Rows, wrapper: Wrapper) -> Result<Vec<Wrapped>, String> {
    if wrapper == Wrapper::StopGradient && case.category == Category::Gradient {
        return Ok(vec![]);
    }
    if wrapper.has_sites() {
        let mut sites = sites(&rows.row);
        // Nothing takes these back: other parts of the formula would read other values.
        if matches!(wrapper, Wrapper::Gather | Wrapper::Cast | Wrapper::StopGradient) {
            sites.retain(|&site| alone_after(&rows.row, site));
        }
        let mut list = vec![];
        for site in sites {
            // Other wrappers stand before every operand.
            let operands = match wrapper {
                Wrapper::SecondConsumer => rows.row.node(site).inputs.clone(),
                _ => vec![site],
            };
            for operand in operands {
                list.push(between(case, rows, wrapper, site, operand)?);
            }
        }
        return Ok(list);
    }
    let whole = match wrapper {
        Wrapper::Weights => Some(weights(case, rows)?),
        Wrapper::AddedMask => added_mask(case, rows)?,
        Wrapper::InfinityMask => longer(case, rows, Longer::Infinity)?,
        Wrapper::MaskedSum => longer(case, rows, Longer::Sums)?,
        Wrapper::Scan => scan(case, rows)?,
        other => return Err(format!("{other:?} has no whole")),
    };
    Ok(whole.into_iter().collect())
}

/// Inputs of the case, one row after the other.
fn declare(case: &Case, builder: &mut Builder, run: &Run) -> Vec<NodeId> {
    let declare = |(name, value): (&String, &Array)| {
        let ty = TensorType::new(DType::F32, value.shape.clone());
        builder.declare_input(name, ty, case.domain.get(name).copied(), At::Unknown)
    };
    run.0.iter().map(declare).collect()
}

/// Plain application of an op.
fn plain(builder: &mut Builder, operands: &[Value], op: &Apply<'_>) -> NodeId {
    let args = aligned(builder, operands);
    op(builder, &args)
}

fn finish(
    mut builder: Builder,
    rows: &Rows,
    values: &[Value],
    extra: Vec<NodeId>,
) -> Result<Graph, String> {
    let node = |id: NodeId| match values[id.index()] {
        Value::Rows(x) | Value::Same(x) => x,
    };
    builder.output("y", node(rows.row.outputs()[0].node));
    for (i, node) in extra.into_iter().enumerate() {
        builder.output(&format!("extra{i}"), node);
    }
    builder.build().map_err(|e| e.to_string())
}

/// The case with the wrapper between `site` and its operands, or with `operand` as an output.
fn between(
    case: &Case,
    rows: &Rows,
    wrapper: Wrapper,
    site: NodeId,
    operand: NodeId,
) -> Result<Wrapped, String> {
    let mut builder = Builder::new();
    let mut run = rows.run.clone();
    let inputs = declare(case, &mut builder, &run);
    // What wrappers bring along.
    let mut given: BTreeMap<&str, NodeId> = BTreeMap::new();
    if wrapper == Wrapper::Gather {
        let last = rows.count as f64 - 1.0;
        let order: Vec<usize> = (0..rows.count).map(|i| (3 * i + 1) % rows.count).collect();
        let ty = TensorType::new(DType::I32, [rows.count]);
        given.insert("order", builder.declare_input("order", ty, Some((0.0, last)), At::Unknown));
        let data = order.iter().map(|&i| i as f64).collect();
        run.0.insert("order".into(), Array { shape: vec![rows.count], data });
        let each = run.1.data.len() / rows.count;
        let picked = order.iter().flat_map(|&i| run.1.data[i * each..][..each].to_vec());
        run.1.data = picked.collect();
    }
    if matches!(wrapper, Wrapper::Concat | Wrapper::ConcatSlice) {
        let ty = TensorType::new(DType::F32, [rows.count]);
        given.insert("beside", builder.declare_input("beside", ty, None, At::Unknown));
        let data = vec![0.5; rows.count];
        run.0.insert("beside".into(), Array { shape: vec![rows.count], data });
    }
    let whole = case.category == Category::Gradient || !only_elementwise_after(&rows.row, site);
    let put: &Wrap<'_> = &|b: &mut Builder, operands: &[Value], op: &Apply<'_>| {
        put(wrapper, b, operands, op, &given, whole)
    };
    let values =
        apply(&mut builder, rows, &inputs, &Change { site: Some((site, put)), counts: None })?;
    let mut extra = vec![];
    if wrapper == Wrapper::SecondConsumer {
        if let Value::Rows(x) = values[operand.index()] {
            extra.push(x);
        }
    }
    let how = format!("at {}", rows.row.expression(site));
    if wrapper == Wrapper::Slice {
        let own = rows.row.ty(site).shape.rank() + 1;
        let axis = if whole { 0 } else { own - 1 };
        let zero = case.category == Category::Gradient;
        run.1 = without_last(&run.1, axis, zero);
    }
    Ok(Wrapped { graph: finish(builder, rows, &values, extra)?, run, how })
}

/// `array` without its last position along `axis`, or with zeros there.
fn without_last(array: &Array, axis: usize, zero: bool) -> Array {
    let inside: usize = array.shape[axis + 1..].iter().product();
    let size = array.shape[axis];
    let last = |i: usize| i / inside % size == size - 1;
    let all = array.data.iter().enumerate();
    if zero {
        let data = all.map(|(i, &x)| if last(i) { 0.0 } else { x }).collect();
        return Array { shape: array.shape.clone(), data };
    }
    let mut shape = array.shape.clone();
    shape[axis] -= 1;
    Array { shape, data: all.filter(|(i, _)| !last(*i)).map(|(_, &x)| x).collect() }
}

/// Applies an op inside the wrapper.
fn put(
    wrapper: Wrapper,
    b: &mut Builder,
    operands: &[Value],
    op: &Apply<'_>,
    given: &BTreeMap<&str, NodeId>,
    whole: bool,
) -> NodeId {
    let shape = operands.iter().find_map(|o| match o {
        Value::Rows(x) => Some(b.ty(*x).shape.clone()),
        Value::Same(_) => None,
    });
    let Some(shape) = shape else { return plain(b, operands, op) };
    let dims = shape.dims().to_vec();
    // The op on rows that were moved; what is the same for all rows takes their shape.
    let on = |b: &mut Builder, f: &dyn Fn(&mut Builder, NodeId) -> NodeId| -> NodeId {
        let mut moved = vec![];
        for operand in operands {
            moved.push(match operand {
                Value::Rows(x) => Value::Rows(f(b, *x)),
                same => *same,
            });
        }
        plain(b, &moved, op)
    };
    let last = dims.len() - 1;
    match wrapper {
        Wrapper::Merge => {
            let flat = [dims.iter().product()];
            // Vectors are split: nothing is left to merge.
            let flat: Vec<usize> = if last == 0 { vec![2, dims[0] / 2] } else { flat.to_vec() };
            let y = on(b, &|b, x| b.reshape(x, flat.clone().into()));
            b.reshape(y, shape)
        }
        Wrapper::Split => {
            let parts: Vec<usize> =
                [2, dims[0] / 2].into_iter().chain(dims[1..].to_vec()).collect();
            let y = on(b, &|b, x| b.reshape(x, parts.clone().into()));
            b.reshape(y, shape)
        }
        Wrapper::Transpose => {
            let matrix = if last == 0 { vec![2, dims[0] / 2] } else { dims.clone() };
            let y = on(b, &|b, x| {
                let x = b.reshape(x, matrix.clone().into());
                b.transpose(x, vec![1, 0])
            });
            let y = b.transpose(y, vec![1, 0]);
            b.reshape(y, shape)
        }
        Wrapper::Slice => {
            let mut less = dims.clone();
            less[if whole { 0 } else { last }] -= 1;
            on(b, &|b, x| first(b, x, &less.clone().into()))
        }
        Wrapper::Pad => {
            let y = on(b, &|b, x| pad(b, x, last, 1, dims[last] + 3, 0.5));
            slice(b, y, last, 1, dims[last])
        }
        Wrapper::PadSlice => on(b, &|b, x| {
            let x = pad(b, x, last, 2, dims[last] + 3, 0.5);
            slice(b, x, last, 2, dims[last])
        }),
        Wrapper::Concat => {
            let y = on(b, &|b, x| {
                let beside = beside(b, given["beside"], &dims);
                concat(b, x, beside, last)
            });
            slice(b, y, last, 0, dims[last])
        }
        Wrapper::ConcatSlice => on(b, &|b, x| {
            let beside = beside(b, given["beside"], &dims);
            let count = b.ty(beside).shape.dims()[last];
            let x = concat(b, beside, x, last);
            slice(b, x, last, count, dims[last])
        }),
        Wrapper::Gather => on(b, &|b, x| b.node(Op::Gather { batch: 0 }, &[x, given["order"]])),
        Wrapper::Cast => {
            let mut wide = vec![];
            for operand in operands {
                wide.push(match *operand {
                    Value::Rows(x) => Value::Rows(b.cast(x, DType::F64)),
                    Value::Same(x) => Value::Same(b.cast(x, DType::F64)),
                });
            }
            let y = plain(b, &wide, op);
            b.cast(y, DType::F32)
        }
        Wrapper::CastBack => on(b, &|b, x| {
            let x = b.cast(x, DType::F64);
            b.cast(x, DType::F32)
        }),
        Wrapper::StopGradient => on(b, &|b, x| b.node(Op::Mark(MarkOp::StopGradient), &[x])),
        Wrapper::SecondConsumer
        | Wrapper::Weights
        | Wrapper::AddedMask
        | Wrapper::InfinityMask
        | Wrapper::MaskedSum
        | Wrapper::Scan => plain(b, operands, op),
    }
}

fn slice(b: &mut Builder, x: NodeId, axis: usize, from: usize, count: usize) -> NodeId {
    let mut size = b.ty(x).shape.dims().to_vec();
    size[axis] = count;
    let mut start = vec![0; size.len()];
    start[axis] = from;
    let step = vec![1; size.len()];
    b.node(Op::Move(MoveOp::Slice { start, step, size }), &[x])
}

fn pad(b: &mut Builder, x: NodeId, axis: usize, from: usize, count: usize, fill: f64) -> NodeId {
    let mut size = b.ty(x).shape.dims().to_vec();
    size[axis] = count;
    let mut start = vec![0; size.len()];
    start[axis] = from;
    let (step, fill) = (vec![1; size.len()], Literal::Float(fill.to_bits()));
    b.node(Op::Move(MoveOp::Pad { start, step, size, fill }), &[x])
}

/// One after the other along `axis`, as layers write it.
fn concat(b: &mut Builder, first: NodeId, rest: NodeId, axis: usize) -> NodeId {
    let size = |b: &Builder, x: NodeId| b.ty(x).shape.dims()[axis];
    let (n, m) = (size(b, first), size(b, rest));
    let (first, rest) = (pad(b, first, axis, 0, n + m, 0.0), pad(b, rest, axis, n, n + m, 0.0));
    let shape = b.ty(first).shape.clone();
    let position = b.node(Op::Iota { dtype: DType::I32, shape, axis }, &[]);
    let end = b.full_like(position, n as f64);
    let before = b.compare(CompareOp::Lt, position, end);
    b.select(before, first, rest)
}

/// The input `x`, one number for each row, to stand beside a value of shape `dims`.
fn beside(b: &mut Builder, x: NodeId, dims: &[usize]) -> NodeId {
    let mut shape = dims.to_vec();
    if dims.len() > 1 {
        shape[dims.len() - 1] = 1;
    }
    b.reshape(x, shape.into())
}

/// The result times weights that lose no digit.
fn weights(case: &Case, rows: &Rows) -> Result<Wrapped, String> {
    let mut builder = Builder::new();
    let mut run = rows.run.clone();
    let inputs = declare(case, &mut builder, &run);
    let ty = TensorType::new(DType::F32, run.1.shape.clone());
    let w = builder.declare_input("weights", ty, None, At::Unknown);
    let factors: Vec<f64> = (0..run.1.data.len()).map(|i| [1.0, 0.5, 2.0][i % 3]).collect();
    run.1.data.iter_mut().zip(&factors).for_each(|(y, w)| *y *= w);
    run.0.insert("weights".into(), Array { shape: run.1.shape.clone(), data: factors });
    let mut values = apply(&mut builder, rows, &inputs, &Change::default())?;
    let y = rows.row.outputs()[0].node;
    if let Value::Rows(x) = values[y.index()] {
        values[y.index()] = Value::Rows(builder.binary(BinaryOp::Mul, w, x));
    }
    Ok(Wrapped { graph: finish(builder, rows, &values, vec![])?, run, how: "weighted".into() })
}

/// Variables of a rowwise case that are rows and no weights of rows.
fn logits(rows: &Rows) -> Vec<String> {
    let is = |(name, a): (&String, &Array)| {
        let weights = a.data.iter().all(|&x| (0.0..=1.0).contains(&x));
        (a.shape.len() == 2 && !weights).then(|| name.clone())
    };
    rows.run.0.iter().filter_map(is).collect()
}

/// Every row plus an input of zeros.
fn added_mask(case: &Case, rows: &Rows) -> Result<Option<Wrapped>, String> {
    let masked = logits(rows);
    if case.kind != crate::case::Kind::Rowwise || masked.is_empty() {
        return Ok(None);
    }
    let mut builder = Builder::new();
    let mut run = rows.run.clone();
    let mut inputs = declare(case, &mut builder, &run);
    let names: Vec<String> = run.0.keys().cloned().collect();
    for name in masked {
        let shape = run.0[&name].shape.clone();
        let ty = TensorType::new(DType::F32, shape.clone());
        let mask = builder.declare_input(&format!("{name}_mask"), ty, None, At::Unknown);
        let data = vec![0.0; shape.iter().product()];
        run.0.insert(format!("{name}_mask"), Array { shape, data });
        let Some(i) = names.iter().position(|n| *n == name) else { continue };
        inputs[i] = builder.add(inputs[i], mask);
    }
    let values = apply(&mut builder, rows, &inputs, &Change::default())?;
    let graph = finish(builder, rows, &values, vec![])?;
    Ok(Some(Wrapped { graph, run, how: "masked".into() }))
}

/// How elements that do not count are kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Longer {
    Infinity,
    Sums,
}

/// Elements that do not count, in each row.
const MORE: usize = 2;
/// The input that says which elements count.
const COUNTS: &str = "counts";

/// Rows with more elements, where what they give for the others is what shorter rows give.
fn longer(case: &Case, rows: &Rows, how: Longer) -> Result<Option<Wrapped>, String> {
    let masked = logits(rows);
    let sums = rows.row.nodes().iter().any(|n| matches!(n.op, Op::Reduce(ReduceOp::Sum, _)));
    let grad = rows.row.nodes().iter().any(|n| n.op == Op::Grad);
    let row = rows.row.inputs().iter().all(|i| i.ty.shape.rank() == 1);
    let suits = case.kind == crate::case::Kind::Rowwise && row && !masked.is_empty() && !grad;
    // What is divided by a sum that leaves elements out counts them all the same.
    let reduced = rows.row.ty(rows.row.outputs()[0].node).shape.rank() == 0;
    if !suits || how == Longer::Sums && !(sums && reduced) {
        return Ok(None);
    }
    let graph = masked_graph(case, rows, how, &masked)?;
    let mut run = rows.run.clone();
    // Whether the formula leaves them out is seen from values that every way to compute it can bear.
    let mild: BTreeMap<String, Array> = run
        .0
        .iter()
        .map(|(name, a)| {
            let scale = if masked.contains(name) { 1.0 } else { 0.3 };
            let value = |i: usize| scale * (0.6 + 0.5 * (2.0 * i as f64 + name.len() as f64).sin());
            let data = (0..a.data.len()).map(value).collect();
            (name.clone(), Array { shape: a.shape.clone(), data })
        })
        .collect();
    let short = wide(&plain_graph(case, rows)?, &mild)?;
    let long = wide(&graph, &lengthened(&mild, &masked, how))?;
    let alike = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    if short.len() != long.len() || !short.iter().zip(&long).all(alike) {
        return Ok(None);
    }
    run.0 = lengthened(&run.0, &masked, how);
    Ok(Some(Wrapped { graph, run, how: format!("{how:?}") }))
}

/// Variables with more elements, and which elements count.
fn lengthened(
    vars: &BTreeMap<String, Array>,
    masked: &[String],
    how: Longer,
) -> BTreeMap<String, Array> {
    let mut result = BTreeMap::new();
    for (name, array) in vars {
        let (count, n) = (array.shape[0], array.shape[1]);
        let fill = match (masked.contains(name), how) {
            (true, Longer::Infinity) => 7.0,
            (true, Longer::Sums) => 1.5,
            (false, _) => 0.0,
        };
        let rows = array.data.chunks(n);
        let data = rows.flat_map(|r| r.iter().copied().chain([fill; MORE])).collect();
        result.insert(name.clone(), Array { shape: vec![count, n + MORE], data });
        let data = (0..count * (n + MORE)).map(|i| f64::from(i % (n + MORE) < n)).collect();
        result.insert(COUNTS.into(), Array { shape: vec![count, n + MORE], data });
    }
    result
}

fn plain_graph(case: &Case, rows: &Rows) -> Result<Graph, String> {
    let mut builder = Builder::new();
    let inputs = declare(case, &mut builder, &rows.run);
    let values = apply(&mut builder, rows, &inputs, &Change::default())?;
    finish(builder, rows, &values, vec![])
}

/// The graph of longer rows, of whose result the first elements are cut out.
fn masked_graph(case: &Case, rows: &Rows, how: Longer, masked: &[String]) -> Result<Graph, String> {
    let vars = lengthened(&rows.run.0, masked, how);
    let one = |a: &Array| Array { shape: a.shape[1..].to_vec(), data: vec![] };
    let own = vars.iter().filter(|v| v.0 != COUNTS).map(|(name, a)| (name.clone(), one(a)));
    let row = row(case, &own.collect()).ok_or("no longer row")?;
    let long = Rows { row, count: rows.count, run: (vars, rows.run.1.clone()) };
    let mut builder = Builder::new();
    let all = declare(case, &mut builder, &long.run);
    let mut named: BTreeMap<&String, NodeId> = long.run.0.keys().zip(all).collect();
    let counts = named.remove(&COUNTS.to_string()).ok_or("no mask")?;
    let zero = builder.full_like(counts, 0.0);
    let counts = builder.compare(CompareOp::Gt, counts, zero);
    let mut inputs = vec![];
    for (name, x) in named {
        inputs.push(if how == Longer::Infinity && masked.contains(name) {
            let never = builder.full_like(x, f64::NEG_INFINITY);
            builder.select(counts, x, never)
        } else {
            x
        });
    }
    let counts = (how == Longer::Sums).then_some(counts);
    let mut values = apply(&mut builder, &long, &inputs, &Change { site: None, counts })?;
    let y = long.row.outputs()[0].node;
    if let Value::Rows(x) = values[y.index()] {
        if builder.ty(x).shape.rank() == 2 {
            let n = builder.ty(x).shape.dims()[1] - MORE;
            values[y.index()] = Value::Rows(slice(&mut builder, x, 1, 0, n));
        }
    }
    finish(builder, &long, &values, vec![])
}

/// The first output in `f64`.
fn wide(graph: &Graph, vars: &BTreeMap<String, Array>) -> Result<Vec<f64>, String> {
    let tensor = |name: &String| {
        let array = &vars[name];
        let ty = TensorType::new(DType::F32, array.shape.clone());
        Tensor::from_values(ty, &array.data)
    };
    let inputs: Vec<Tensor> = graph.inputs().iter().map(|i| tensor(&i.name)).collect();
    let done = run(graph, &inputs, &[], Precision::Wide).map_err(|e| e.to_string())?;
    Ok(done.outputs[0].to_f64s())
}

/// One row for each step of a loop.
fn scan(case: &Case, rows: &Rows) -> Result<Option<Wrapped>, String> {
    if !case.domain.is_empty() || rows.row.has_grad() {
        return Ok(None);
    }
    let body = Function::new("row", rows.row.clone()).map_err(|e| e.to_string())?;
    let mut builder = Builder::new();
    let inputs = declare(case, &mut builder, &rows.run);
    let scan = Scan {
        body: Arc::new(body),
        carries: 0,
        xs: inputs.len(),
        length: rows.count,
        reverse: false,
    };
    let results = builder.application(&Op::Scan { scan, result: 0 }, &inputs);
    builder.output("y", results[0]);
    let graph = builder.build().map_err(|e| e.to_string())?;
    Ok(Some(Wrapped { graph, run: rows.run.clone(), how: "in a loop".into() }))
}
