//! Runs graphs on given values, by machine code or by the interpreter.

use crate::failure::Failure;
use crate::given::Given;
use clap::ValueEnum;
use eggrad::interp::{Data, Precision, Tensor, run};
use eggrad::ir::{Builder, DType, Graph, NodeId, Op, TensorType};
use eggrad::jit::{Aligned, ArrayMut, ArrayRef, States};
use eggrad::{Options, compile, lower};

/// What runs a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Machine code.
    Jit,
    /// The reference interpreter, node by node.
    Interp,
}

/// Elements that one value of a run may have.
const MOST_ELEMENTS: usize = 1 << 26;

/// The outputs of `graph`, which reads no states, for the values given.
///
/// # Errors
/// A variable without a value, a derivative that does not exist, and what the compiler refuses.
pub fn evaluate(
    graph: &Graph,
    given: &Given,
    engine: Engine,
    options: &Options,
) -> Result<Vec<Tensor>, Failure> {
    let inputs = inputs(graph, given)?;
    let large = graph.nodes().iter().find(|n| n.ty.shape.elements() > MOST_ELEMENTS);
    if let Some(node) = large {
        let message = format!("`{}` has a value of type {}", node.op.name(), node.ty);
        return Err(Failure::new(
            message,
            format!("values may have {MOST_ELEMENTS} elements here"),
        ));
    }
    let refused = |error: eggrad::Error| Failure::of_stage("the graph", "", &error);
    match engine {
        Engine::Interp => {
            let lowered = lower(graph, options).map_err(refused)?;
            let result = run(&lowered, &inputs, &[], Precision::AsWritten);
            Ok(result.map_err(|e| Failure::new(e.to_string(), ""))?.outputs)
        }
        Engine::Jit => {
            let (executable, lowered, _) = compile(graph, options).map_err(refused)?;
            let types: Vec<TensorType> =
                lowered.outputs().iter().map(|o| lowered.ty(o.node).clone()).collect();
            let refused = |error: eggrad::jit::RunError| Failure::new(error.to_string(), "");
            let mut workspace = executable.workspace().map_err(refused)?;
            let mut outputs: Vec<Aligned> = types.iter().map(Aligned::zeros).collect();
            {
                let arrays: Vec<ArrayRef<'_>> = inputs.iter().map(|t| array(&t.data)).collect();
                let mut results: Vec<ArrayMut<'_>> =
                    outputs.iter_mut().map(ArrayMut::from).collect();
                let mut states = States { arrays: &mut [], map: &[], version: 0 };
                executable
                    .run(&mut workspace, &arrays, &mut states, &mut results)
                    .map_err(refused)?;
            }
            Ok(types.into_iter().zip(&outputs).map(|(ty, data)| tensor(ty, data)).collect())
        }
    }
}

/// The values of the inputs of `graph`, in its order.
///
/// # Errors
/// An input without a value, or with a value of another type.
pub fn inputs(graph: &Graph, given: &Given) -> Result<Vec<Tensor>, Failure> {
    let mut missing = vec![];
    let mut values = vec![];
    for input in graph.inputs() {
        let Some(value) = given.get(&input.name) else {
            missing.push(input);
            continue;
        };
        if value.ty.shape != input.ty.shape {
            return Err(Failure::new(
                format!("`{}` is declared {}, but its value is {}", input.name, input.ty, value.ty),
                "give as many numbers as its shape says",
            ));
        }
        values.push(match value.ty.dtype == input.ty.dtype {
            true => value.clone(),
            false => Tensor::from_values(input.ty.clone(), &value.to_f64s()),
        });
    }
    if missing.is_empty() {
        return Ok(values);
    }
    let names: Vec<String> = missing.iter().map(|i| format!("`{}`", i.name)).collect();
    let has = if names.len() == 1 { "has" } else { "have" };
    let example = match missing[0].ty.rank() {
        0 => "2".to_string(),
        1 => "[1, 2]".to_string(),
        _ => "file.npy".to_string(),
    };
    Err(Failure::new(
        format!("{} {has} no value", names.join(", ")),
        format!("add it with `--set '{}={example}'`", missing[0].name),
    ))
}

/// `graph` with its states as inputs, so that values can be given to them; what it writes is left out.
pub fn stateless(graph: &Graph) -> Graph {
    let mut builder = Builder::new();
    let mut made: Vec<NodeId> = vec![];
    for id in graph.ids() {
        let node = graph.node(id);
        let new = match node.op {
            Op::Input(i) => {
                let input = &graph.inputs()[i];
                builder.declare_input(&input.name, input.ty.clone(), input.range, input.at)
            }
            Op::State(i) => {
                let state = &graph.states()[i];
                builder.declare_input(&state.name, state.ty.clone(), None, state.at)
            }
            _ => {
                let inputs: Vec<NodeId> = node.inputs.iter().map(|i| made[i.index()]).collect();
                builder.node(node.op.clone(), &inputs)
            }
        };
        builder.locate(new, node.at, Default::default());
        made.push(new);
    }
    for output in graph.outputs() {
        builder.output(&output.name, made[output.node.index()]);
    }
    match builder.build() {
        Ok(graph) => graph,
        Err(error) => panic!("internal error: a graph without states is no graph: {error}"),
    }
}

fn array(data: &Data) -> ArrayRef<'_> {
    match data {
        Data::F32(v) => ArrayRef::F32(v),
        Data::F64(v) => ArrayRef::F64(v),
        Data::I32(v) => ArrayRef::I32(v),
        Data::I64(v) => ArrayRef::I64(v),
        Data::U8(v) => ArrayRef::U8(v),
        Data::Bool(v) => ArrayRef::Bool(v),
    }
}

fn tensor(ty: TensorType, array: &Aligned) -> Tensor {
    fn copy<T: eggrad::jit::Element>(array: &Aligned) -> Vec<T> {
        match array.as_slice() {
            Some(slice) => slice.to_vec(),
            None => panic!("internal error: a result has another type than declared"),
        }
    }
    let data = match ty.dtype {
        DType::F32 => Data::F32(copy(array)),
        DType::F64 => Data::F64(copy(array)),
        DType::I32 => Data::I32(copy(array)),
        DType::I64 => Data::I64(copy(array)),
        DType::U8 => Data::U8(copy(array)),
        DType::Bool => Data::Bool(copy(array)),
    };
    Tensor::new(ty.shape, data)
}
