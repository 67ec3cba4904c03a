//! Wrappers around whole formulas: weights, masks, loops.

use crate::case::{Array, Case, Kind};
use crate::rows::{Change, Rows, Value, apply, row};
use crate::wrappers::{Wrapped, declare, finish, slice};
use eggrad::interp::{Precision, Tensor, run};
use eggrad::ir::{
    At, BinaryOp, Builder, CompareOp, DType, Function, Graph, NodeId, Op, ReduceOp, Scan,
    TensorType,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The result times weights that lose no digit.
pub(crate) fn weights(case: &Case, rows: &Rows) -> Result<Wrapped, String> {
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
pub(crate) fn added_mask(case: &Case, rows: &Rows) -> Result<Option<Wrapped>, String> {
    let masked = logits(rows);
    if case.kind != Kind::Rowwise || masked.is_empty() {
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
pub(crate) enum Longer {
    Infinity,
    Sums,
}

/// Elements that do not count, in each row.
const MORE: usize = 2;
/// The input that says which elements count.
const COUNTS: &str = "counts";

/// Rows with more elements, where what they give for the others is what shorter rows give.
pub(crate) fn longer(case: &Case, rows: &Rows, how: Longer) -> Result<Option<Wrapped>, String> {
    let masked = logits(rows);
    let sums = rows.row.nodes().iter().any(|n| matches!(n.op, Op::Reduce(ReduceOp::Sum, _)));
    let grad = rows.row.nodes().iter().any(|n| n.op == Op::Grad);
    let row = rows.row.inputs().iter().all(|i| i.ty.shape.rank() == 1);
    let suits = case.kind == Kind::Rowwise && row && !masked.is_empty() && !grad;
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
    if let Value::Rows(x) = values[y.index()]
        && let [_, n] = *builder.ty(x).shape.dims()
    {
        values[y.index()] = Value::Rows(slice(&mut builder, x, 1, 0, n - MORE));
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
pub(crate) fn scan(case: &Case, rows: &Rows) -> Result<Option<Wrapped>, String> {
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
