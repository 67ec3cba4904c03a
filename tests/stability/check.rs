//! Runs a case, compiled and by the interpreter, and measures the error in units of the last place.

use crate::case::{Array, Case, Category, Run};
use eggrad::Options;
use eggrad::interp::{Data, Precision, Tensor, run};
use eggrad::ir::{At, Builder, DType, Graph, Op, StateKind, TensorType, expression};
use eggrad::jit::{Aligned, ArrayMut, ArrayRef, States};
use std::collections::BTreeMap;

/// Below the smallest normal number every result counts as 0.
const SMALLEST: f64 = 1.2e-38;

/// Whether the case holds.
pub(crate) fn check(case: &Case) -> Result<(), String> {
    for run in &case.runs {
        let graph = write(case, run)?;
        let (results, optimised) = outputs(&graph, run)?;
        let written = as_written(&graph, run)?;
        for (how, found) in &results {
            match case.category {
                Category::MustNotRewrite => {
                    let expected = Array { shape: run.1.shape.clone(), data: written.clone() };
                    close(case, &expected, found).map_err(|e| format!("{how}: {e}"))?;
                }
                Category::NoRegression => {
                    let error = |values: &[f64]| worst(case, &run.1, values);
                    let (now, before) = (error(found), error(&written));
                    if now > before.max(case.tol_ulp) {
                        return Err(format!("{how}: {now} ulp, {before} as written"));
                    }
                }
                Category::Stabilise
                | Category::Gradient
                | Category::Algebra
                | Category::Special => {
                    close(case, &run.1, found).map_err(|e| format!("{how}: {e}"))?;
                }
            }
        }
        count(case, &optimised)?;
    }
    Ok(())
}

/// Whether the steps from the formula as written to what is computed are found, and hold when they are followed again.
pub(crate) fn explained(case: &Case) -> Result<(), String> {
    for run in &case.runs {
        let graph = write(case, run)?;
        let explained = eggrad::explain(&graph, &Options::default()).map_err(|e| e.to_string())?;
        let plain = eggrad::lower(&graph, &Options::default()).map_err(|e| e.to_string())?;
        if explained.graph.to_string() != plain.to_string() {
            return Err("another graph when it is explained".into());
        }
        explained.replay().map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Whether the check of this case notices a wrong value.
pub(crate) fn can_fail(case: &Case) -> Result<(), String> {
    if matches!(case.category, Category::MustNotRewrite | Category::NoRegression) {
        return Ok(());
    }
    let mut wrong = case.clone();
    for (_, expected) in &mut wrong.runs {
        for value in &mut expected.data {
            *value = if value.is_finite() { *value * 1.001 + 1e-3 } else { 0.5 };
        }
    }
    match check(&wrong) {
        Ok(()) => Err("passes with values that are wrong".into()),
        Err(_) => Ok(()),
    }
}

/// Whether the values come out right without rewriting.
pub(crate) fn check_as_written(case: &Case) -> Result<(), String> {
    for run in &case.runs {
        let graph = write(case, run)?;
        close(case, &run.1, &as_written(&graph, run)?)?;
    }
    Ok(())
}

/// The graph of one run's shapes.
fn write(case: &Case, run: &Run) -> Result<Graph, String> {
    let mut builder = Builder::new();
    let mut names = BTreeMap::new();
    for (name, value) in &run.0 {
        let ty = TensorType::new(DType::F32, value.shape.clone());
        let id = if case.frozen.contains(name) {
            builder.declare_state(name, StateKind::Frozen, ty, At::Unknown)
        } else {
            builder.declare_input(name, ty, case.domain.get(name).copied(), At::Unknown)
        };
        names.insert(name.clone(), id);
    }
    let y = expression(&mut builder, &names, &case.expr).map_err(|e| e.to_string())?;
    builder.output("y", y);
    builder.build().map_err(|e| e.to_string())
}

/// Inputs, then states.
fn values(graph: &Graph, run: &Run) -> (Vec<Tensor>, Vec<Tensor>) {
    let tensor = |name: &str, ty: &TensorType| Tensor::from_values(ty.clone(), &run.0[name].data);
    let inputs = graph.inputs().iter().map(|i| tensor(&i.name, &i.ty)).collect();
    (inputs, graph.states().iter().map(|s| tensor(&s.name, &s.ty)).collect())
}

pub(crate) fn as_written(graph: &Graph, given: &Run) -> Result<Vec<f64>, String> {
    let options = Options { rewrite: false, ..Options::default() };
    let plain = eggrad::lower(graph, &options).map_err(|e| e.to_string())?;
    let (inputs, states) = values(graph, given);
    let done = run(&plain, &inputs, &states, Precision::AsWritten).map_err(|e| e.to_string())?;
    Ok(done.outputs[0].to_f64s())
}

/// Values of the first output, by how they were computed.
type Found = Vec<(&'static str, Vec<f64>)>;

/// The first output, compiled and by the interpreter of the rewritten graph, and that graph.
pub(crate) fn outputs(graph: &Graph, given: &Run) -> Result<(Found, Graph), String> {
    let (inputs, states) = values(graph, given);
    let (executable, optimised, _) =
        eggrad::compile(graph, &Options::default()).map_err(|e| e.to_string())?;
    let done =
        run(&optimised, &inputs, &states, Precision::AsWritten).map_err(|e| e.to_string())?;
    let arrays: Vec<ArrayRef<'_>> = inputs.iter().map(|t| array(&t.data)).collect();
    let aligned = |t: &Tensor| match &t.data {
        Data::F32(v) => Aligned::from_slice(v),
        other => panic!("not f32: {other:?}"),
    };
    let mut arena: Vec<Aligned> = states.iter().map(aligned).collect();
    let map: Vec<usize> = (0..arena.len()).collect();
    let count = |t: &Tensor| t.ty.shape.elements();
    let mut buffers: Vec<Vec<f32>> = done.outputs.iter().map(|t| vec![0f32; count(t)]).collect();
    let mut workspace = executable.workspace().map_err(|e| e.to_string())?;
    let mut bound = States { arrays: &mut arena, map: &map, version: 0 };
    let mut results: Vec<ArrayMut<'_>> = buffers.iter_mut().map(|v| ArrayMut::F32(v)).collect();
    executable.run(&mut workspace, &arrays, &mut bound, &mut results).map_err(|e| e.to_string())?;
    let compiled = buffers[0].iter().map(|&y| f64::from(y)).collect();
    Ok((vec![("compiled", compiled), ("interpreted", done.outputs[0].to_f64s())], optimised))
}

fn array(data: &Data) -> ArrayRef<'_> {
    match data {
        Data::F32(v) => ArrayRef::F32(v),
        Data::I32(v) => ArrayRef::I32(v),
        other => panic!("no input is {other:?}"),
    }
}

pub(crate) fn close(case: &Case, expected: &Array, found: &[f64]) -> Result<(), String> {
    if expected.data.len() != found.len() {
        return Err(format!("{} values, not {}", found.len(), expected.data.len()));
    }
    for (i, (&wanted, &value)) in expected.data.iter().zip(found).enumerate() {
        let error = ulps(case, wanted, value);
        if error > case.tol_ulp {
            return Err(format!("value {i} is {value:e}, not {wanted:e}: {error:.1} ulp"));
        }
    }
    Ok(())
}

fn worst(case: &Case, expected: &Array, found: &[f64]) -> f64 {
    let errors = expected.data.iter().zip(found).map(|(&w, &v)| ulps(case, w, v));
    errors.fold(0.0, f64::max)
}

/// Error in units of the last place of `wanted` rounded to `f32`.
fn ulps(case: &Case, wanted: f64, value: f64) -> f64 {
    if wanted.is_nan() || value.is_nan() {
        return if wanted.is_nan() && value.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let rounded = wanted as f32;
    if wanted.is_infinite() || value.is_infinite() || rounded.is_infinite() {
        return if f64::from(rounded) == value { 0.0 } else { f64::INFINITY };
    }
    if wanted == 0.0 {
        return if value.abs() <= case.tol_abs_at_zero { 0.0 } else { f64::INFINITY };
    }
    if wanted.abs() < SMALLEST && value == 0.0 {
        return 0.0;
    }
    let unit = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
    (value - wanted).abs() / unit
}

/// Whether the graph has as few computing ops as the case asks for. What is made of frozen states alone is computed
/// once, when they are loaded.
fn count(case: &Case, graph: &Graph) -> Result<(), String> {
    if case.max_total.is_none() && case.max_contractions.is_none() {
        return Ok(());
    }
    let mut frozen = vec![false; graph.nodes().len()];
    let (mut contractions, mut total) = (0, 0);
    for id in graph.ids() {
        let node = graph.node(id);
        let made = || !node.inputs.is_empty() && node.inputs.iter().all(|i| frozen[i.index()]);
        frozen[id.index()] = match node.op {
            Op::State(i) => graph.states()[i].kind == StateKind::Frozen,
            Op::Const(..) | Op::Data(_) | Op::Iota { .. } => true,
            _ => made(),
        };
        if frozen[id.index()] || node.op.is_leaf() {
            continue;
        }
        match node.op {
            Op::Move(_) | Op::Cast(_) | Op::Mark(_) | Op::Size { .. } => {}
            Op::Dot(_) => (contractions, total) = (contractions + 1, total + 1),
            _ => total += 1,
        }
    }
    let over = |limit: Option<usize>, found: usize| limit.is_some_and(|limit| found > limit);
    if over(case.max_contractions, contractions) || over(case.max_total, total) {
        return Err(format!("{contractions} products and {total} ops are left in\n{graph}"));
    }
    Ok(())
}
