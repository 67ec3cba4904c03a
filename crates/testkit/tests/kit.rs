//! The kit's promises about itself.

use eggrad_interp::{Precision, Tensor, run, values};
use eggrad_ir::{DType, Graph, TensorType};
use eggrad_testkit::{
    Config, directional, error, golden, gradcheck, near_kink, random_graph, ulps_f32, ulps_f64,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

#[test]
fn distances() {
    assert_eq!(ulps_f32(1.0, 1.0 + f32::EPSILON), 1);
    assert_eq!(ulps_f32(-0.0, 0.0), 0);
    assert_eq!(ulps_f32(-f32::from_bits(1), f32::from_bits(1)), 2);
    assert_eq!(ulps_f32(f32::NAN, 1.0), u64::MAX);
    assert_eq!(ulps_f64(f64::NAN, f64::NAN), 0);
    assert_eq!(ulps_f64(f64::MAX, f64::INFINITY), 1);
    let tensor = |v: &[f64]| Tensor::from_values(TensorType::new(DType::F64, [v.len()]), v);
    assert_eq!(error(&tensor(&[10.0, 1.0]), &tensor(&[10.0, 0.0]), 1.0), 0.1);
    assert_eq!(error(&tensor(&[f64::NAN]), &tensor(&[1.0]), 1.0), f64::INFINITY);
    assert_eq!(error(&tensor(&[f64::INFINITY]), &tensor(&[f64::INFINITY]), 1.0), 0.0);
}

#[test]
fn a_right_gradient_passes_and_a_wrong_one_does_not() {
    let check = |gradient: &str| {
        let text = format!(
            "graph 2\nin x: f32[3]\n%1 = exp(x)\n%2 = sum(%1, axes=[0])\nout y = %2\nout g = {gradient}\n"
        );
        let graph: Graph = text.parse().unwrap();
        let x = Tensor::from_values(TensorType::new(DType::F32, [3]), &[0.5, -1.0, 2.0]);
        gradcheck(&graph, &[x], &[], &["x"], 1).unwrap().error()
    };
    assert!(check("%1") < 1e-9);
    assert!(check("x") > 1e-2);
}

#[test]
fn kinks_are_seen() {
    let near = |op: &str, values: &[f64]| {
        let text = format!("graph 2\nin x: f64[3]\n%1 = {op}\nout y = %1\n");
        let graph: Graph = text.parse().unwrap();
        let x = Tensor::from_values(TensorType::new(DType::F64, [3]), values);
        near_kink(&graph, &[x], &[], 0.01).unwrap()
    };
    assert!(near("relu(x)", &[1.0, 0.001, -1.0]));
    assert!(!near("relu(x)", &[1.0, 0.1, -1.0]));
    assert!(near("max(x, axes=[0])", &[1.0, 1.001, -1.0]));
    assert!(!near("max(x, axes=[])", &[1.0, 1.001, -1.0]));
    assert!(!near("exp(x)", &[0.0; 3]));
}

/// Over many graphs every op of the table that random graphs promise turns up.
#[test]
fn random_graphs_cover_the_op_table() {
    let mut runner = TestRunner::deterministic();
    let strategy = random_graph(Config { steps: 30, calls: true, ..Config::new(DType::F32) });
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let random = strategy.new_tree(&mut runner).unwrap().current();
        seen.extend(random.graph.nodes().iter().map(|n| n.op.name()));
    }
    let all = "in state const data iota size neg abs sign square sqrt rsqrt recip exp expm1 log log1p tanh sigmoid \
               softplus relu not exp2 log2 log1mexp sin cos tan erf erfc log_erfc floor ceil round add sub mul div pow mod \
               atan2 logaddexp xlogy slice pad maximum minimum and or eq ne lt le gt ge select cast keep \
               stop_gradient reshape transpose broadcast sum prod max min logsumexp softmax log_softmax \
               cross_entropy cross_entropy_residual dot one_hot gather scatter_add window fold random_key random scan cond call";
    let missing: Vec<&str> = all.split_whitespace().filter(|op| !seen.contains(op)).collect();
    assert!(missing.is_empty(), "never drawn: {missing:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_are_finite_and_moderate(random in random_graph(Config::new(DType::F64))) {
        let wide = values(&random.graph, &random.inputs, &random.states, Precision::Wide).unwrap();
        let nodes = random.graph.nodes().iter().zip(wide);
        for (node, value) in nodes.filter(|(node, _)| node.ty.dtype.is_float()) {
            prop_assert!(value.to_f64s().iter().all(|v| v.abs() < 1e5), "{}: {value:?}", node.op.name());
        }
    }

    #[test]
    fn smooth_graphs_have_no_kinks(random in random_graph(Config::smooth(DType::F64))) {
        prop_assert!(!near_kink(&random.graph, &random.inputs, &random.states, 0.1).unwrap());
    }

    /// Single precision is enough for four digits wherever no kink is near.
    #[test]
    fn random_graphs_are_well_conditioned(random in random_graph(Config::new(DType::F32))) {
        let (graph, inputs, states) = (&random.graph, &random.inputs, &random.states);
        if !near_kink(graph, inputs, states, 1e-4).unwrap() {
            let narrow = run(graph, inputs, states, Precision::AsWritten).unwrap();
            let wide = run(graph, inputs, states, Precision::Wide).unwrap();
            for (n, w) in narrow.outputs.iter().zip(&wide.outputs) {
                prop_assert!(error(n, w, 1.0) < 1e-4, "{:?} is not {:?}", n.to_f64s(), w.to_f64s());
            }
        }
    }

    #[test]
    fn slopes_along_nothing_are_zero(random in random_graph(Config::new(DType::F32))) {
        let slopes = directional(&random.graph, &random.inputs, &random.states, &[], &[]).unwrap();
        prop_assert!(slopes.iter().all(|s| s.to_f64s().iter().all(|&v| v == 0.0)));
    }
}

#[test]
fn golden_files_are_compared() {
    let folder = std::env::temp_dir().join(format!("eggrad-golden-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.txt"), "one\ntwo\n---\nONE\nTWO\n").unwrap();
    golden(&folder, |input| input.to_uppercase());
    let failed = std::panic::catch_unwind(|| golden(&folder, |_| "ONE\nTHREE".to_string()));
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(message.contains("line 2\n  found    THREE\n  expected TWO"), "{message}");
}
