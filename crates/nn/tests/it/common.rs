//! Graphs written with the DSL, run by the interpreter.

use eggrad_interp::{Precision, Tensor as Value, run};
use eggrad_ir::DType;
use eggrad_nn::{Graph, Init, Tensor};

/// Shape and elements of the `f64` tensor that `write` makes.
pub(crate) fn value(write: impl for<'g> Fn(&'g Graph) -> Tensor<'g>) -> (Vec<usize>, Vec<f64>) {
    let graph = Graph::with_floats(DType::F64);
    graph.output("y", write(&graph));
    let built = match graph.build() {
        Ok(built) => built,
        Err(errors) => panic!("{errors}"),
    };
    let states: Vec<Value> = (built.graph.states().iter().zip(&built.inits))
        .map(|(s, init)| Value::from_values(s.ty.clone(), &init.values(&s.name, &s.ty, 0)))
        .collect();
    let run = run(&built.graph, &[], &states, Precision::AsWritten).expect("runs");
    (run.outputs[0].ty.shape.dims().to_vec(), run.outputs[0].to_f64s())
}

/// The errors of what `write` writes.
pub(crate) fn errors(write: impl for<'g> Fn(&'g Graph) -> Tensor<'g>) -> Vec<String> {
    let graph = Graph::new();
    graph.output("y", write(&graph));
    match graph.build() {
        Ok(_) => vec![],
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

/// A parameter of the given shape that counts 1, 2, 3 and so on.
pub(crate) fn counting<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
    let count = shape.iter().product::<usize>();
    g.param(name, shape, Init::Values((1..=count).map(|i| i as f64).collect()))
}

/// What is written has this shape and these elements.
macro_rules! check {
    ($write:expr, $shape:expr, $values:expr) => {
        let (shape, values) = crate::common::value($write);
        assert_eq!((shape.as_slice(), values.as_slice()), (&$shape[..], &$values[..]));
    };
}
