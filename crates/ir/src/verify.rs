//! What every graph promises; all violations are collected.
//!
//! * operands come before users and fit the op, and the stored type is the inferred one;
//! * a declared range holds a value of its input's type;
//! * names of inputs and states are unique and can be printed; so are names of outputs;
//! * a write has the type of its state; the guard is one float.

use crate::error::{Operand, TypeError};
use crate::graph::{Graph, NodeId, is_variable};
use crate::infer::infer;
use crate::op::Op;
use crate::types::{At, DType, TensorType};
use std::collections::HashSet;

/// Everything that is wrong with `graph`; empty for a graph that keeps its promises.
pub fn verify(graph: &Graph) -> Vec<TypeError> {
    let mut errors = vec![];
    for id in graph.ids() {
        check_node(graph, id, &mut errors);
    }
    check_names(graph, &mut errors);
    for input in graph.inputs() {
        let Some(range) = input.range else { continue };
        if let Err((problem, help)) = check_range(input.ty.dtype, range) {
            errors.push(TypeError::new(&input.name, input.at, format!("has {problem}"), help));
        }
    }
    for state in graph.states() {
        let Some(write) = state.write else { continue };
        if *graph.ty(write) != state.ty {
            let mut error = TypeError::new(
                "write",
                state.at,
                format!("of state `{}` has another type than the state", state.name),
                "a state keeps its element type and shape; reshape or cast the value",
            );
            let operand = |name: &str, ty: &TensorType, at| Operand {
                name: name.to_string(),
                ty: ty.clone(),
                at,
            };
            error.operands = vec![
                operand("state", &state.ty, state.at),
                operand("value", graph.ty(write), graph.node(write).at),
            ];
            errors.push(error);
        }
    }
    if let Some(guard) = graph.guard() {
        let ty = graph.ty(guard);
        if ty.rank() != 0 || !ty.dtype.is_float() {
            let at = graph.node(guard).at;
            let message = format!("must be one float, not {ty}");
            errors.push(TypeError::new("guard", at, message, "reduce the loss to one number"));
        }
    }
    errors
}

fn check_node(graph: &Graph, id: NodeId, errors: &mut Vec<TypeError>) {
    let node = graph.node(id);
    let mut fail = |message: String| {
        errors.push(TypeError::new(node.op.name(), node.at, message, "this is a bug of eggrad"));
    };
    if node.inputs.iter().any(|&input| input >= id) {
        return fail(format!("(node {}) reads a later node", id.0));
    }
    let declared = match node.op {
        Op::Input(i) => graph.inputs().get(i).filter(|d| d.node == id).map(|d| &d.ty),
        Op::State(i) => graph.states().get(i).filter(|d| d.read == id).map(|d| &d.ty),
        _ => {
            let types: Vec<&TensorType> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
            match infer(&node.op, &types) {
                Ok(ty) if ty == node.ty => {}
                Ok(ty) => fail(format!("(node {}) has type {}, not {ty}", id.0, node.ty)),
                Err(problem) => fail(format!("(node {}) {}", id.0, problem.message)),
            }
            return;
        }
    };
    if declared == Some(&node.ty) {
        return;
    }
    if is_variable(&node.op) {
        // One is enough: the others leave by the same way.
        if errors.iter().any(|e| e.op == "variable") {
            return;
        }
        errors.push(TypeError::new(
            "variable",
            node.at,
            "of a sub-graph is used outside of it",
            "hand values out of a sub-graph as its results",
        ));
    } else {
        fail(format!("(node {}) does not match its declaration", id.0));
    }
}

fn check_names(graph: &Graph, errors: &mut Vec<TypeError>) {
    let leaves = graph.inputs().iter().map(|i| (i.name.as_str(), i.at));
    let leaves = leaves.chain(graph.states().iter().map(|s| (s.name.as_str(), s.at)));
    let outputs = graph.outputs().iter().map(|o| (o.name.as_str(), graph.node(o.node).at));
    for (kind, names) in [("input or state", leaves.collect()), ("output", outputs.collect())] {
        let names: Vec<(&str, At)> = names;
        let mut seen = HashSet::new();
        for (name, at) in names {
            if !is_name(name) {
                errors.push(TypeError::new(
                    name,
                    at,
                    format!("is not a valid name of an {kind}"),
                    "use letters, digits, `_`, `.`, `/` and `-`, and begin with a letter or `_`",
                ));
            }
            if !seen.insert(name) {
                errors.push(TypeError::new(
                    name,
                    at,
                    format!("names two of them: every {kind} needs its own name"),
                    "rename one",
                ));
            }
        }
    }
}

/// Whether `name` can stand in the text form: a letter or `_`, then letters, digits and `_ . / -`.
pub fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'))
}

/// Whether some value of type `dtype` lies in the closed interval `range`; else what is wrong with it, and a way out.
pub(crate) fn check_range(dtype: DType, range: (f64, f64)) -> Result<(), (String, String)> {
    let (low, high) = range;
    let shown = format!("the range {low:?} to {high:?}");
    let fail = |what: &str, help: String| Err((format!("{shown}, {what}"), help));
    let name = dtype.name();
    if low.is_nan() || high.is_nan() {
        return fail("whose ends are no numbers", "write numbers, as in `range 0 to 9`".into());
    }
    if low > high {
        return fail(
            "which ends before it begins",
            format!("write the smaller number first, as in `range {high:?} to {low:?}`"),
        );
    }
    let ends = match dtype {
        DType::F32 | DType::F64 => {
            let most = if dtype == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
            if least_float(dtype, low.max(-most)) <= high.min(most) {
                return Ok(());
            }
            return fail(
                &format!("in which no finite {name} lies"),
                "widen the range; an end that is `-inf` or `inf` leaves that side open".into(),
            );
        }
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::I64 => (i64::MIN, i64::MAX),
        DType::U8 => (0, 255),
        DType::Bool => (0, 1),
    };
    let fits = "write a range with whole numbers from";
    let help = format!("{fits} {} to {} in it", ends.0, ends.1);
    if low.is_infinite() || high.is_infinite() {
        return fail(&format!("whose ends are no {name}"), help);
    }
    let (least, most) = (low.ceil() as i128, high.floor() as i128);
    if least.max(ends.0.into()) > most.min(ends.1.into()) {
        return fail(&format!("in which no {name} lies"), help);
    }
    Ok(())
}

/// The least value of the float type `dtype` that is at least `low`, which is finite in it.
fn least_float(dtype: DType, low: f64) -> f64 {
    let rounded = low as f32;
    match dtype {
        DType::F32 if f64::from(rounded) < low => rounded.next_up().into(),
        DType::F32 => rounded.into(),
        _ => low,
    }
}
