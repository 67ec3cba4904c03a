//! Runs a graph node by node.

use crate::error::InterpError;
use crate::node::{evaluate, widened};
use crate::tensor::Tensor;
use crate::value::Value;
use eggrad_ir::{At, DType, Graph, NodeId, Op, TensorType};

/// How `f32` nodes are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Every node's value is rounded to its type.
    AsWritten,
    /// `f32` nodes are computed and stored in `f64`, for validation and gradient checks: results have element type
    /// `f64` where the graph says `f32`, constants keep all their bits, and arrays for `f32` leaves may be `f64`.
    Wide,
}

/// What a run leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The graph's outputs, in its order.
    pub outputs: Vec<Tensor>,
    /// Every state after the run, in the graph's order; a state that is not written is as before.
    pub states: Vec<Tensor>,
}

/// Elements a node may have; the interpreter holds 8 bytes for each.
const MAX_ELEMENTS: usize = 1 << 28;

/// Runs `graph` on one array per input and one per state, in the order declared. All writes happen at the end, also
/// when the guard is not finite.
///
/// # Errors
/// Arrays that do not fit their declarations, integers outside a declared range, a `grad` that was not resolved.
pub fn run(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    precision: Precision,
) -> Result<Run, InterpError> {
    let mut wanted = vec![false; graph.nodes().len()];
    graph.outputs().iter().for_each(|o| wanted[o.node.index()] = true);
    graph.states().iter().for_each(|s| wanted[s.write.unwrap_or(s.read).index()] = true);
    let values = compute(graph, inputs, states, precision, &wanted)?;
    let tensor = |id: NodeId| match &values[id.index()] {
        Some(value) => value.clone().into_tensor(&result_type(graph, id, precision)),
        None => panic!("internal error: the value of node {} was dropped", id.0),
    };
    Ok(Run {
        outputs: graph.outputs().iter().map(|o| tensor(o.node)).collect(),
        states: graph.states().iter().map(|s| tensor(s.write.unwrap_or(s.read))).collect(),
    })
}

/// The value of every node, by its number.
///
/// # Errors
/// As [`run`].
pub fn values(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    let wanted = vec![true; graph.nodes().len()];
    let values = compute(graph, inputs, states, precision, &wanted)?;
    let tensor = |(id, value): (NodeId, Option<Value>)| match value {
        Some(value) => value.into_tensor(&result_type(graph, id, precision)),
        None => panic!("internal error: the value of node {} was dropped", id.0),
    };
    Ok(graph.ids().zip(values).map(tensor).collect())
}

/// Type of what a run hands out for a node.
fn result_type(graph: &Graph, id: NodeId, precision: Precision) -> TensorType {
    let ty = graph.ty(id).clone();
    match precision {
        Precision::AsWritten => ty,
        Precision::Wide => TensorType { dtype: widened(ty.dtype), shape: ty.shape },
    }
}

/// Values of all nodes; those not `wanted` are dropped after their last use.
fn compute(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    precision: Precision,
    wanted: &[bool],
) -> Result<Vec<Option<Value>>, InterpError> {
    check(graph, inputs, states, precision)?;
    let mut last_use = vec![None; graph.nodes().len()];
    for id in graph.ids() {
        graph.node(id).inputs.iter().for_each(|i| last_use[i.index()] = Some(id));
    }
    let mut values: Vec<Option<Value>> = Vec::with_capacity(graph.nodes().len());
    for id in graph.ids() {
        let node = graph.node(id);
        let value = match node.op {
            Op::Input(i) => Value::of(&inputs[i]),
            Op::State(i) => Value::of(&states[i]),
            _ => {
                let types: Vec<&TensorType> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
                let args: Vec<&Value> = node
                    .inputs
                    .iter()
                    .map(|i| match &values[i.index()] {
                        Some(value) => value,
                        None => panic!("internal error: node {} was dropped too early", i.0),
                    })
                    .collect();
                evaluate(node, &types, &args).fit(result_type(graph, id, precision).dtype)
            }
        };
        values.push(Some(value));
        for input in &node.inputs {
            if !wanted[input.index()] && last_use[input.index()] == Some(id) {
                values[input.index()] = None;
            }
        }
        if !wanted[id.index()] && last_use[id.index()].is_none() {
            values[id.index()] = None;
        }
    }
    Ok(values)
}

fn check(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    precision: Precision,
) -> Result<(), InterpError> {
    check_count("inputs", graph.inputs().len(), inputs.len())?;
    check_count("states", graph.states().len(), states.len())?;
    for (decl, tensor) in graph.inputs().iter().zip(inputs) {
        check_type(&decl.name, &decl.ty, decl.at, tensor, precision)?;
        let Some((low, high)) = decl.range else { continue };
        if let Value::Int(values) = Value::of(tensor) {
            let outside = |&v: &i64| !(low..=high).contains(&(v as f64));
            if let Some(index) = values.iter().position(outside) {
                let (name, value, declared) = (decl.name.clone(), values[index], decl.at);
                return Err(InterpError::Range { name, low, high, index, value, declared });
            }
        }
    }
    for (decl, tensor) in graph.states().iter().zip(states) {
        check_type(&decl.name, &decl.ty, decl.at, tensor, precision)?;
    }
    for node in graph.nodes() {
        if node.op == Op::Grad {
            return Err(InterpError::Grad { at: node.at });
        }
        if node.ty.shape.checked_elements().is_none_or(|n| n > MAX_ELEMENTS) {
            let ty = node.ty.clone();
            return Err(InterpError::TooLarge { op: node.op.name(), ty, at: node.at });
        }
    }
    Ok(())
}

fn check_count(what: &'static str, expected: usize, found: usize) -> Result<(), InterpError> {
    if expected == found { Ok(()) } else { Err(InterpError::Count { what, expected, found }) }
}

fn check_type(
    name: &str,
    expected: &TensorType,
    declared: At,
    tensor: &Tensor,
    precision: Precision,
) -> Result<(), InterpError> {
    let wide = precision == Precision::Wide
        && expected.dtype == DType::F32
        && tensor.ty.dtype == DType::F64
        && tensor.ty.shape == expected.shape;
    if tensor.ty != *expected && !wide {
        let (name, expected, found) = (name.to_string(), expected.clone(), tensor.ty.clone());
        return Err(InterpError::Type { name, expected, found, declared });
    }
    let elements = tensor.data.len();
    if tensor.data.dtype() != tensor.ty.dtype
        || tensor.ty.shape.checked_elements() != Some(elements)
    {
        return Err(InterpError::Malformed {
            name: name.to_string(),
            ty: tensor.ty.clone(),
            elements,
        });
    }
    Ok(())
}
