//! Runs a graph node by node.

use crate::apply::apply;
use crate::error::InterpError;
use crate::node::{evaluate, widened};
use crate::tensor::Tensor;
use crate::value::Value;
use eggrad_ir::{At, DType, Function, Graph, NodeId, Op, Scan, TensorType};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

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

/// Elements a node may have, of which the interpreter holds 8 bytes each, and steps a scan may take.
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
    let values = checked(graph, inputs, states, precision, &wanted)?;
    let tensor = |id: NodeId| match &values[id.index()] {
        Some(value) => value.as_ref().clone().into_tensor(&result_type(graph, id, precision)),
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
    let values = checked(graph, inputs, states, precision, &wanted)?;
    let tensor = |(id, value): (NodeId, Option<Rc<Value>>)| match value {
        Some(value) => Rc::unwrap_or_clone(value).into_tensor(&result_type(graph, id, precision)),
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

/// [`compute`] once the arrays and the graph are checked.
fn checked(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    precision: Precision,
    wanted: &[bool],
) -> Result<Vec<Option<Rc<Value>>>, InterpError> {
    check(graph, inputs, states, precision)?;
    let all = |list: &[Tensor]| list.iter().map(|t| Rc::new(Value::of(t))).collect::<Vec<_>>();
    Ok(compute(graph, &all(inputs), &all(states), precision, wanted))
}

/// The applications of sub-graphs: by the first node of each, which result every node of it is.
fn applications(graph: &Graph) -> HashMap<NodeId, Vec<(usize, NodeId)>> {
    let mut first: HashMap<(Op, &[NodeId]), NodeId> = HashMap::new();
    let mut results: HashMap<NodeId, Vec<(usize, NodeId)>> = HashMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if let Some(result) = node.op.result() {
            let first = *first.entry((node.op.with_result(0), &node.inputs)).or_insert(id);
            results.entry(first).or_default().push((result, id));
        }
    }
    results
}

/// Values of all nodes on arrays that fit; those not `wanted` are dropped after their last use.
pub(crate) fn compute(
    graph: &Graph,
    inputs: &[Rc<Value>],
    states: &[Rc<Value>],
    precision: Precision,
    wanted: &[bool],
) -> Vec<Option<Rc<Value>>> {
    let mut last_use = vec![None; graph.nodes().len()];
    for id in graph.ids() {
        graph.node(id).inputs.iter().for_each(|i| last_use[i.index()] = Some(id));
    }
    let applications = applications(graph);
    let mut values: Vec<Option<Rc<Value>>> = vec![None; graph.nodes().len()];
    for id in graph.ids() {
        let node = graph.node(id);
        let operand = |i: &NodeId| match &values[i.index()] {
            Some(value) => value,
            None => panic!("internal error: node {} was dropped too early", i.0),
        };
        match (&node.op, applications.get(&id)) {
            (Op::Input(i), _) => values[id.index()] = Some(inputs[*i].clone()),
            (Op::State(i), _) => values[id.index()] = Some(states[*i].clone()),
            (op, Some(results)) => {
                let args: Vec<Rc<Value>> = node.inputs.iter().map(|i| operand(i).clone()).collect();
                let types: Vec<&TensorType> = results.iter().map(|r| graph.ty(r.1)).collect();
                // Of empty results nothing is computed, however many steps it takes.
                let computed = match types.iter().all(|ty| ty.shape.elements() == 0) {
                    true => None,
                    false => Some(apply(op, &args, precision)),
                };
                for ((which, node), ty) in results.iter().zip(types) {
                    values[node.index()] = Some(match &computed {
                        Some(all) => all[*which].clone(),
                        None => Rc::new(Value::empty(ty.dtype)),
                    });
                }
            }
            (op, None) if op.result().is_some() => {}
            (_, None) => {
                let types: Vec<&TensorType> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
                let args: Vec<&Value> = node.inputs.iter().map(|i| operand(i).as_ref()).collect();
                let dtype = result_type(graph, id, precision).dtype;
                values[id.index()] = Some(Rc::new(evaluate(node, &types, &args).fit(dtype)));
            }
        }
        for input in &node.inputs {
            if !wanted[input.index()] && last_use[input.index()] == Some(id) {
                values[input.index()] = None;
            }
        }
        if !wanted[id.index()] && last_use[id.index()].is_none() {
            values[id.index()] = None;
        }
    }
    values
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
    check_nodes(graph, &mut HashSet::new())
}

/// Refuses what the interpreter does not take on, here and in sub-graphs.
fn check_nodes<'a>(graph: &'a Graph, known: &mut HashSet<&'a Function>) -> Result<(), InterpError> {
    let mut scans = HashSet::new();
    for node in graph.nodes() {
        if node.op == Op::Grad {
            return Err(InterpError::Grad { at: node.at });
        }
        if node.ty.shape.checked_elements().is_none_or(|n| n > MAX_ELEMENTS) {
            let ty = node.ty.clone();
            return Err(InterpError::TooLarge { op: node.op.name(), ty, at: node.at });
        }
        if let Op::Scan { scan, .. } = &node.op
            && scans.insert(scan)
        {
            check_scan(scan, node.at)?;
        }
        for function in node.op.functions() {
            if known.insert(function) {
                check_nodes(function.graph(), known)?;
            }
        }
    }
    Ok(())
}

/// Steps, and all results, also those that are no nodes.
fn check_scan(scan: &Scan, at: At) -> Result<(), InterpError> {
    let length = scan.length;
    let stacked = scan.body.results().skip(scan.carries);
    let most = stacked.map(|ty| ty.shape.elements()).max().unwrap_or(0).max(1);
    if length.checked_mul(most).is_none_or(|n| n > MAX_ELEMENTS) {
        return Err(InterpError::TooLong { length, at });
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
