//! Random graphs through every room: the interpreter before and after rewriting, the plan evaluator and machine code
//! agree.

use crate::run::{array_mut, array_ref};
use eggrad::interp::{self, Data, Precision, Tensor};
use eggrad::ir::{Builder, DType, Graph, Op};
use eggrad::jit::{Aligned, ArrayMut, ArrayRef, JitConfig, States};
use eggrad::{Options, lower};
use eggrad_testkit::{
    Config, GradCheck, RandomGraph, Rng, assert_close, directional, near_kink, random_graph,
};
use proptest::prelude::*;

/// Cases for each property.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        max_global_rejects: 100 * count,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// How far apart results of one graph may be.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F32 { 2e-4 } else { 1e-10 }
}

/// Outputs and states after a run of `graph`, by the plan evaluator's and the machine code's bits, which must agree.
fn compiled(graph: &Graph, case: &RandomGraph) -> (Vec<Tensor>, Vec<Tensor>) {
    let plan = eggrad::schedule::schedule(graph, &Default::default()).expect("schedules");
    assert_eq!(eggrad::schedule::verify(&plan), Vec::<String>::new());
    let executable = eggrad::jit::compile(&plan, &JitConfig::default()).expect("compiles");
    let mut workspace = executable.workspace().expect("memory");
    let inputs: Vec<ArrayRef<'_>> = case.inputs.iter().map(|t| array_ref(&t.data)).collect();
    let mut states: Vec<Aligned> = case.states.iter().map(|t| aligned(&t.data)).collect();
    let map: Vec<usize> = (0..states.len()).collect();
    let mut outputs: Vec<Tensor> =
        graph.outputs().iter().map(|o| Tensor::full(graph.ty(o.node).clone(), 0.0)).collect();
    let mut views: Vec<ArrayMut<'_>> = outputs.iter_mut().map(|t| array_mut(&mut t.data)).collect();
    let mut bound = States { arrays: &mut states, map: &map, version: 0 };
    executable.run(&mut workspace, &inputs, &mut bound, &mut views).expect("runs");

    let input_bytes: Vec<Vec<u8>> = case.inputs.iter().map(|t| bytes(&t.data)).collect();
    let input_slices: Vec<&[u8]> = input_bytes.iter().map(Vec::as_slice).collect();
    let mut state_bytes: Vec<Vec<u8>> = case.states.iter().map(|t| bytes(&t.data)).collect();
    let evaluated =
        eggrad::schedule::evaluate(&plan, &input_slices, &mut state_bytes).expect("evaluates");
    for (i, (found, expected)) in outputs.iter().zip(&evaluated).enumerate() {
        same_bits(&bytes(&found.data), expected, found.ty.dtype, &format!("output {i}"));
    }
    let states: Vec<Tensor> = (graph.states().iter().zip(&states).zip(&state_bytes))
        .map(|((decl, found), expected)| {
            let found = tensor(decl.ty.clone(), found);
            same_bits(&bytes(&found.data), expected, decl.ty.dtype, &decl.name);
            found
        })
        .collect();
    (outputs, states)
}

fn aligned(data: &Data) -> Aligned {
    match data {
        Data::F32(v) => Aligned::from_slice(v),
        Data::F64(v) => Aligned::from_slice(v),
        Data::I32(v) => Aligned::from_slice(v),
        Data::I64(v) => Aligned::from_slice(v),
        Data::U8(v) => Aligned::from_slice(v),
        Data::Bool(v) => Aligned::from_slice(v),
    }
}

fn tensor(ty: eggrad::ir::TensorType, array: &Aligned) -> Tensor {
    let mut tensor = Tensor::full(ty, 0.0);
    match &mut tensor.data {
        Data::F32(v) => v.copy_from_slice(array.as_slice().expect("f32")),
        Data::F64(v) => v.copy_from_slice(array.as_slice().expect("f64")),
        Data::I32(v) => v.copy_from_slice(array.as_slice().expect("i32")),
        Data::I64(v) => v.copy_from_slice(array.as_slice().expect("i64")),
        Data::U8(v) => v.copy_from_slice(array.as_slice().expect("u8")),
        Data::Bool(v) => v.copy_from_slice(array.as_slice().expect("bool")),
    }
    tensor
}

/// The elements of `data` as they lie in memory.
fn bytes(data: &Data) -> Vec<u8> {
    match data {
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::U8(v) => v.clone(),
        Data::Bool(v) => v.iter().map(|&x| u8::from(x)).collect(),
    }
}

/// Equal bytes, any NaN being equal to any other.
fn same_bits(found: &[u8], expected: &[u8], dtype: DType, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let is_nan = |element: &[u8]| match dtype {
        DType::F32 => f32::from_le_bytes(element.try_into().expect("4 bytes")).is_nan(),
        DType::F64 => f64::from_le_bytes(element.try_into().expect("8 bytes")).is_nan(),
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => false,
    };
    for (i, (a, b)) in found.chunks(dtype.bytes()).zip(expected.chunks(dtype.bytes())).enumerate() {
        assert!(a == b || is_nan(a) && is_nan(b), "{what}, element {i}: {a:?}, not {b:?}");
    }
}

/// The four ways agree on `case`.
fn check(case: &RandomGraph, dtype: DType) -> Result<(), TestCaseError> {
    // Next to a kink, rounding decides which branch is taken.
    let near = near_kink(&case.graph, &case.inputs, &case.states, 1e-4).expect("runs");
    prop_assume!(!near);
    let interpret = |graph: &Graph| {
        interp::run(graph, &case.inputs, &case.states, Precision::AsWritten).expect("runs")
    };
    let expected = interpret(&case.graph);
    let rewritten = lower(&case.graph, &Options::default()).expect("lowers");
    let after = interpret(&rewritten);
    for (how, graph) in [("as written", &case.graph), ("rewritten", &rewritten)] {
        let (outputs, states) = compiled(graph, case);
        let found = outputs.iter().chain(&states);
        let wanted = expected.outputs.iter().chain(&expected.states);
        for (i, (found, wanted)) in found.zip(wanted).enumerate() {
            assert_close(found, wanted, tolerance(dtype), &format!("result {i}, compiled, {how}"));
        }
    }
    let found = after.outputs.iter().chain(&after.states);
    for (i, (found, wanted)) in
        found.zip(expected.outputs.iter().chain(&expected.states)).enumerate()
    {
        assert_close(
            found,
            wanted,
            tolerance(dtype),
            &format!("result {i}, interpreted, rewritten"),
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn every_way_agrees_in_f32(case in random_graph(Config::new(DType::F32))) {
        check(&case, DType::F32)?;
    }

    #[test]
    fn every_way_agrees_in_f64(case in random_graph(Config::new(DType::F64))) {
        check(&case, DType::F64)?;
    }

    #[test]
    fn text_parses_back(case in random_graph(Config::new(DType::F32))) {
        let text = case.graph.to_string();
        prop_assert_eq!(text.parse::<Graph>().expect("parses").to_string(), text);
    }
}

/// `graph` with the sum of its float outputs differentiated with respect to each float leaf.
fn with_gradients(graph: &Graph) -> Graph {
    let mut b = Builder::from_graph(graph.clone());
    let floats: Vec<_> =
        graph.outputs().iter().filter(|o| graph.ty(o.node).dtype.is_float()).collect();
    let mut total = b.scalar(DType::F64, 0.0);
    for output in floats {
        let axes = (0..graph.ty(output.node).rank()).collect();
        let part = b.sum(output.node, axes);
        total = b.add(total, part);
    }
    b.clear_outputs();
    b.output("total", total);
    let inputs = graph.inputs().iter().map(|i| (i.name.clone(), i.node));
    let states = graph.states().iter().map(|s| (s.name.clone(), s.read));
    for (name, leaf) in inputs.chain(states) {
        if graph.ty(leaf).dtype.is_float() {
            let gradient = b.node(Op::Grad, &[total, leaf]);
            b.output(&format!("d.{name}"), gradient);
        }
    }
    b.build().expect("a valid graph")
}

proptest! {
    #![proptest_config(cases(64))]

    /// Gradients through the whole pipeline against central differences of the graph as written.
    #[test]
    fn compiled_gradients_match_differences(case in random_graph(Config::smooth(DType::F64))) {
        let graph = with_gradients(&case.graph);
        // A parameter that no output reads has no gradient; that is an error of its own, tested elsewhere.
        let lowered = lower(&graph, &Options::default());
        prop_assume!(lowered.is_ok());
        let (outputs, _) = compiled(&lowered.expect("checked"), &case);

        let as_written = lower(&graph, &Options { rewrite: false, ..Options::default() });
        let as_written = as_written.expect("lowers");
        let leaves = case.float_leaves();
        let mut random = Rng::new(1);
        let direction: Vec<Tensor> = outputs[1..]
            .iter()
            .map(|gradient| random.tensor(gradient.ty.clone(), -1.0, 1.0))
            .collect();
        let slopes = directional(&as_written, &case.inputs, &case.states, &leaves, &direction);
        let numeric = slopes.expect("runs")[0].item();
        let products = outputs[1..].iter().zip(&direction).flat_map(|(g, d)| {
            g.to_f64s().into_iter().zip(d.to_f64s()).map(|(g, d)| g * d).collect::<Vec<_>>()
        });
        let check = GradCheck { numeric, symbolic: products.sum() };
        prop_assert!(check.error() < 1e-5, "{check:?}");
    }
}
