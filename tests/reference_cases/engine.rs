//! Runs a graph compiled or interpreted, in one of the float types, once or several times over its states.

use crate::json::{Array, zeros};
use eggrad::interp::{self, Data, Precision};
use eggrad::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Machine code.
    Compiled,
    /// The rewritten graph by the interpreter.
    Interpreted,
}

/// In which type and how a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) dtype: DType,
    pub(crate) engine: Engine,
    pub(crate) semantics: Semantics,
}

impl Way {
    /// Both types and both engines, the most exact first.
    pub(crate) const ALL: [Way; 4] = [
        Way::new(DType::F64, Engine::Interpreted),
        Way::new(DType::F64, Engine::Compiled),
        Way::new(DType::F32, Engine::Interpreted),
        Way::new(DType::F32, Engine::Compiled),
    ];

    pub(crate) const fn new(dtype: DType, engine: Engine) -> Way {
        Way { dtype, engine, semantics: Semantics::Real }
    }

    /// End of the name of a trial.
    pub(crate) fn name(self) -> String {
        let engine = match self.engine {
            Engine::Compiled => "compiled",
            Engine::Interpreted => "interpreted",
        };
        format!("{}::{engine}", self.dtype.name())
    }

    fn options(self) -> Options {
        Options { semantics: self.semantics, ..Options::default() }
    }
}

/// Named arrays.
pub(crate) type Named = BTreeMap<String, Array>;

/// What one run left behind.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) outputs: Named,
    /// States after the run.
    pub(crate) states: Named,
}

/// Writes something into a graph.
pub(crate) type Write<'w> = dyn Fn(&Graph) -> Result<(), String> + 'w;

/// The outputs of one run of the graph that `write` writes.
pub(crate) fn once(way: Way, write: &Write<'_>, inputs: &Named) -> Result<Named, String> {
    let mut runs = several(way, write, inputs, 1)?;
    runs.pop().map(|run| run.outputs).ok_or("no run".into())
}

/// `count` runs one after the other of the graph that `write` writes, over the same inputs and states.
pub(crate) fn several(
    way: Way,
    write: &Write<'_>,
    inputs: &Named,
    count: usize,
) -> Result<Vec<Run>, String> {
    let graph = Graph::with_floats(way.dtype);
    write(&graph)?;
    let built = graph.build().map_err(|e| e.to_string())?;
    let mut values = vec![];
    for input in built.graph.inputs() {
        let array = inputs.get(&input.name).ok_or(format!("no array for `{}`", input.name))?;
        values.push(array.value(&input.ty).map_err(|e| format!("`{}`: {e}", input.name))?);
    }
    match way.engine {
        Engine::Compiled => compiled(way, &graph, &built.graph, &values, count),
        Engine::Interpreted => {
            let states = built.graph.states().iter().zip(&built.inits);
            let states = states.map(|(s, init)| {
                interp::Tensor::from_values(s.ty.clone(), &init.values(&s.name, &s.ty, 0))
            });
            interpreted(way, &built.graph, &values, states.collect(), count)
        }
    }
}

fn interpreted(
    way: Way,
    graph: &eggrad::ir::Graph,
    inputs: &[interp::Tensor],
    mut states: Vec<interp::Tensor>,
    count: usize,
) -> Result<Vec<Run>, String> {
    let lowered = eggrad::lower(graph, &way.options()).map_err(|e| e.to_string())?;
    let mut runs = vec![];
    for _ in 0..count {
        let run = interp::run(&lowered, inputs, &states, Precision::AsWritten);
        let run = run.map_err(|e| e.to_string())?;
        let outputs = lowered.outputs().iter().map(|o| o.name.clone());
        let names = lowered.states().iter().map(|s| s.name.clone());
        runs.push(Run {
            outputs: outputs.zip(run.outputs.iter().map(Array::from_value)).collect(),
            states: names.zip(run.states.iter().map(Array::from_value)).collect(),
        });
        states = run.states;
    }
    Ok(runs)
}

fn compiled(
    way: Way,
    graph: &Graph,
    built: &eggrad::ir::Graph,
    inputs: &[interp::Tensor],
    count: usize,
) -> Result<Vec<Run>, String> {
    let program = Program::compile(graph, &way.options()).map_err(|e| e.to_string())?;
    let program = Arc::new(program);
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).map_err(|e| e.to_string())?;
    let arrays: Vec<ArrayRef<'_>> = inputs.iter().map(|t| array_ref(&t.data)).collect();
    let mut runs = vec![];
    for _ in 0..count {
        let types = built.outputs().iter().map(|o| built.ty(o.node));
        let mut results: Vec<Data> = types.clone().map(zeros).collect();
        let mut views: Vec<ArrayMut<'_>> = results.iter_mut().map(array_mut).collect();
        session.run(&mut store, &arrays, &mut views).map_err(|e| e.to_string())?;
        let values = types
            .zip(results)
            .map(|(ty, data)| Array::from_value(&interp::Tensor::new(ty.shape.clone(), data)));
        let names = built.outputs().iter().map(|o| o.name.clone());
        let outputs = names.zip(values).collect();
        let states = store.states().map(|(name, _, ty)| {
            let array = store.get(name).ok_or(format!("no state `{name}`"))?;
            let shape = ty.shape.dims().to_vec();
            let integer = !ty.dtype.is_float();
            Ok((name.to_string(), Array { shape, data: floats(array), integer }))
        });
        let states = states.collect::<Result<Named, String>>()?;
        runs.push(Run { outputs, states });
    }
    Ok(runs)
}

fn array_ref(data: &Data) -> ArrayRef<'_> {
    match data {
        Data::F32(v) => ArrayRef::F32(v),
        Data::F64(v) => ArrayRef::F64(v),
        Data::I32(v) => ArrayRef::I32(v),
        Data::I64(v) => ArrayRef::I64(v),
        Data::U8(v) => ArrayRef::U8(v),
        Data::Bool(v) => ArrayRef::Bool(v),
    }
}

fn array_mut(data: &mut Data) -> ArrayMut<'_> {
    match data {
        Data::F32(v) => ArrayMut::F32(v),
        Data::F64(v) => ArrayMut::F64(v),
        Data::I32(v) => ArrayMut::I32(v),
        Data::I64(v) => ArrayMut::I64(v),
        Data::U8(v) => ArrayMut::U8(v),
        Data::Bool(v) => ArrayMut::Bool(v),
    }
}

fn floats(array: ArrayRef<'_>) -> Vec<f64> {
    match array {
        ArrayRef::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        ArrayRef::F64(v) => v.to_vec(),
        ArrayRef::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        ArrayRef::I64(v) => v.iter().map(|&x| x as f64).collect(),
        ArrayRef::U8(v) => v.iter().map(|&x| f64::from(x)).collect(),
        ArrayRef::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
    }
}
