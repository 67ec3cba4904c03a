//! Runs a graph in every way there is.

use eggrad::interp::{self, Precision};
use eggrad::ir;
use eggrad::jit::{ArrayMut, ArrayRef};
use eggrad::nn::Graph;
use eggrad::prelude::*;
use std::sync::Arc;

pub(crate) use eggrad::interp::{Data, Tensor as Value};

/// Named results and how they were computed.
pub(crate) type Results = Vec<(&'static str, Vec<(String, Value)>)>;

/// Outputs of the `f64` graph that `write` makes on `inputs`: as written and rewritten, interpreted and compiled.
pub(crate) fn outputs(write: &dyn Fn(&Graph), inputs: &[Value]) -> Results {
    outputs_of(DType::F64, write, inputs)
}

/// As [`outputs`], for floats of type `dtype`.
pub(crate) fn outputs_of(dtype: DType, write: &dyn Fn(&Graph), inputs: &[Value]) -> Results {
    let mut results = vec![];
    for rewrite in [false, true] {
        let graph = Graph::with_floats(dtype);
        write(&graph);
        let built = graph.build().expect("a valid graph");
        let options = Options { rewrite, ..Options::default() };

        let lowered = eggrad::lower(&built.graph, &options).expect("lowers");
        let states: Vec<Value> = (built.graph.states().iter().zip(&built.inits))
            .map(|(s, init)| Value::from_values(s.ty.clone(), &init.values(&s.name, &s.ty, 0)))
            .collect();
        let run = interp::run(&lowered, inputs, &states, Precision::AsWritten).expect("runs");
        let names = lowered.outputs().iter().map(|o| o.name.clone());
        let how = if rewrite { "interpreted, rewritten" } else { "interpreted, as written" };
        results.push((how, names.zip(run.outputs).collect()));

        let how = if rewrite { "compiled, rewritten" } else { "compiled, as written" };
        results.push((how, compiled(&graph, &built.graph, &options, inputs)));
    }
    results
}

fn compiled(
    graph: &Graph,
    built: &ir::Graph,
    options: &Options,
    inputs: &[Value],
) -> Vec<(String, Value)> {
    let program = Arc::new(Program::compile(graph, options).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let arrays: Vec<ArrayRef<'_>> = inputs.iter().map(|v| array_ref(&v.data)).collect();
    let mut results: Vec<Value> =
        built.outputs().iter().map(|o| Value::full(built.ty(o.node).clone(), 0.0)).collect();
    let mut views: Vec<ArrayMut<'_>> = results.iter_mut().map(|v| array_mut(&mut v.data)).collect();
    session.run(&mut store, &arrays, &mut views).expect("runs");
    built.outputs().iter().map(|o| o.name.clone()).zip(results).collect()
}

/// The elements of `data` as a run takes them.
pub(crate) fn array_ref(data: &Data) -> ArrayRef<'_> {
    match data {
        Data::F32(v) => ArrayRef::F32(v),
        Data::F64(v) => ArrayRef::F64(v),
        Data::I32(v) => ArrayRef::I32(v),
        Data::I64(v) => ArrayRef::I64(v),
        Data::U8(v) => ArrayRef::U8(v),
        Data::Bool(v) => ArrayRef::Bool(v),
    }
}

/// The elements of `data` as a run fills them.
pub(crate) fn array_mut(data: &mut Data) -> ArrayMut<'_> {
    match data {
        Data::F32(v) => ArrayMut::F32(v),
        Data::F64(v) => ArrayMut::F64(v),
        Data::I32(v) => ArrayMut::I32(v),
        Data::I64(v) => ArrayMut::I64(v),
        Data::U8(v) => ArrayMut::U8(v),
        Data::Bool(v) => ArrayMut::Bool(v),
    }
}
