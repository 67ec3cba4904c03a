//! Every formula that is to be stable, with something between its parts that only moves, converts or marks.
//!
//! What is put between an op and what it reads changes no value, so that the values expected are those of the case.

use crate::case::{Array, Case, Category, Run};
use crate::check::{as_written, close, outputs};
use crate::rows::{
    Apply, Change, Rows, Value, Wrap, aligned, alone_after, apply, first, only_elementwise_after,
    rows, sites,
};
use crate::whole::{Longer, added_mask, longer, scan, weights};
use eggrad::ir::{
    At, Builder, CompareOp, DType, Graph, Literal, MarkOp, MoveOp, NodeId, Op, TensorType,
};
use std::collections::BTreeMap;

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
pub(crate) struct Wrapped {
    pub(crate) graph: Graph,
    pub(crate) run: Run,
    pub(crate) how: String,
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

/// Whether some value comes out wrong without rewriting.
pub(crate) fn fails_as_written(case: &Case, wrapper: Wrapper) -> Result<bool, String> {
    let rows = rows(case).ok_or("no rows")?;
    for wrapped in all(case, &rows, wrapper)? {
        let found = as_written(&wrapped.graph, &wrapped.run)?;
        if close(case, &wrapped.run.1, &found).is_err() {
            return Ok(true);
        }
    }
    Ok(false)
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
pub(crate) fn declare(case: &Case, builder: &mut Builder, run: &Run) -> Vec<NodeId> {
    let declare = |(name, value): (&String, &Array)| {
        let ty = TensorType::new(DType::F32, value.shape.clone());
        builder.declare_input(name, ty, case.domain.get(name).copied(), At::Unknown)
    };
    run.0.iter().map(declare).collect()
}

/// Plain application of an op.
pub(crate) fn plain(builder: &mut Builder, operands: &[Value], op: &Apply<'_>) -> NodeId {
    let args = aligned(builder, operands);
    op(builder, &args)
}

pub(crate) fn finish(
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
    if wrapper == Wrapper::SecondConsumer
        && let Value::Rows(x) = values[operand.index()]
    {
        extra.push(x);
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

pub(crate) fn slice(b: &mut Builder, x: NodeId, axis: usize, from: usize, count: usize) -> NodeId {
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
