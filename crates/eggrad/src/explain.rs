//! What a refused or stopped run is told: the input or op at fault, its shape, and the lines where it was declared and
//! used.

use crate::error::Error;
use eggrad_interp::{Data, Precision, Tensor, values};
use eggrad_ir::{At, Graph, NodeId, Op, Operand, TypeError};
use eggrad_jit::{ArrayRef, Role, RunError};

/// `error`, which a run of `graph` at `at` on `inputs` and `states` gave, in the user's terms.
pub(crate) fn explain(
    error: RunError,
    graph: &Graph,
    inputs: &[ArrayRef<'_>],
    states: &[ArrayRef<'_>],
    at: At,
) -> Error {
    match error {
        RunError::OutOfRange { input, position, value, range: (low, high) } => {
            let message = format!("holds {value} at element {position}, outside {low} to {high}");
            let help = format!("pass numbers from {low} to {high}, or declare a wider range");
            let mut error = TypeError::new(&input, at, message, help);
            error.operands = declared(graph, Role::Input, Some(&input));
            error.into()
        }
        RunError::Count { role, expected, got } => {
            let message = format!("takes {expected} {role} arrays, not {got}");
            let help = format!("pass one array for each {role}, in the order declared");
            let mut error = TypeError::new("run", at, message, help);
            error.operands = declared(graph, role, None);
            error.into()
        }
        RunError::DType { role, name, expected, got } => {
            let message = format!("is an {role} of {}, not {}", expected.name(), got.name());
            let help = format!("pass an array of {} elements", expected.name());
            let mut error = TypeError::new(&name, at, message, help);
            error.operands = declared(graph, role, Some(&name));
            error.into()
        }
        RunError::Elements { role, name, expected, got } => {
            let message = format!("is an {role} of {expected} elements, not {got}");
            let help = "pass all elements of the declared shape, row-major";
            let mut error = TypeError::new(&name, at, message, help);
            error.operands = declared(graph, role, Some(&name));
            error.into()
        }
        RunError::NonFinite { name, value } => {
            let mut error = TypeError::new(
                &name,
                at,
                format!("is {value}; nothing was written"),
                "check the data, lower the learning rate, or begin with smaller weights",
            );
            if let Some((what, culprit)) = origin(graph, inputs, states) {
                error.message += &format!("; {what}");
                error.operands.push(culprit);
            }
            Error::NotFinite { error: Box::new(error), step: None }
        }
        RunError::NoEntry { .. }
        | RunError::SharedEntry { .. }
        | RunError::Writes { .. }
        | RunError::Memory { .. }
        | RunError::Panicked
        | RunError::ForeignWorkspace => error.into(),
    }
}

/// How an error shows the arrays of one role, or the one called `name`.
fn declared(graph: &Graph, role: Role, name: Option<&str>) -> Vec<Operand> {
    let list: Vec<Operand> = match role {
        Role::Input => {
            let operand = |i: &eggrad_ir::InputDecl| operand(i.name.clone(), graph, i.node, i.at);
            graph.inputs().iter().map(operand).collect()
        }
        Role::Output => {
            let outputs = graph.outputs().iter();
            outputs.map(|o| operand(o.name.clone(), graph, o.node, graph.node(o.node).at)).collect()
        }
        Role::State => {
            let operand = |s: &eggrad_ir::StateDecl| operand(s.name.clone(), graph, s.read, s.at);
            graph.states().iter().map(operand).collect()
        }
    };
    list.into_iter().filter(|o| name.is_none_or(|n| o.name == n)).collect()
}

fn operand(name: String, graph: &Graph, node: NodeId, at: At) -> Operand {
    Operand { name, ty: graph.ty(node).clone(), at }
}

/// The first value that is not finite on the way to the guard, found by interpreting the run again.
fn origin(
    graph: &Graph,
    inputs: &[ArrayRef<'_>],
    states: &[ArrayRef<'_>],
) -> Option<(String, Operand)> {
    let input_types = graph.inputs().iter().map(|i| &i.ty);
    let state_types = graph.states().iter().map(|s| &s.ty);
    let tensor = |(ty, array): (&eggrad_ir::TensorType, &ArrayRef<'_>)| {
        Tensor::new(ty.shape.clone(), data(array))
    };
    let inputs: Vec<Tensor> = input_types.zip(inputs).map(tensor).collect();
    let states: Vec<Tensor> = state_types.zip(states).map(tensor).collect();
    let values = values(graph, &inputs, &states, Precision::AsWritten).ok()?;

    let mut needed = vec![false; graph.nodes().len()];
    needed[graph.guard()?.index()] = true;
    for id in graph.ids().rev().filter(|id| !graph.node(*id).op.is_leaf()) {
        if needed[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    let broken = |id: &NodeId| {
        let elements = values[id.index()].to_f64s();
        elements.iter().position(|v| !v.is_finite()).map(|at| (at, elements[at]))
    };
    let (id, (position, value)) =
        graph.ids().filter(|id| needed[id.index()]).find_map(|id| Some((id, broken(&id)?)))?;
    let node = graph.node(id);
    let (name, what) = match node.op {
        Op::Input(i) => (graph.inputs()[i].name.clone(), "input"),
        Op::State(i) => (graph.states()[i].name.clone(), "state"),
        _ => (node.op.name().to_string(), "result of"),
    };
    let mut text =
        format!("the first such value is {value} at element {position} of {what} `{name}`");
    let ranges: Vec<String> =
        node.inputs.iter().map(|i| range(&values[i.index()].to_f64s())).collect();
    if !ranges.is_empty() {
        text += &format!(", whose operands hold {}", ranges.join(" and "));
    }
    Some((text, operand(name, graph, id, node.at)))
}

/// Between which numbers `values` lie.
fn range(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low == high { format!("{low}") } else { format!("{low} to {high}") }
}

fn data(array: &ArrayRef<'_>) -> Data {
    match array {
        ArrayRef::F32(v) => Data::F32(v.to_vec()),
        ArrayRef::F64(v) => Data::F64(v.to_vec()),
        ArrayRef::I32(v) => Data::I32(v.to_vec()),
        ArrayRef::I64(v) => Data::I64(v.to_vec()),
        ArrayRef::U8(v) => Data::U8(v.to_vec()),
        ArrayRef::Bool(v) => Data::Bool(v.to_vec()),
    }
}
