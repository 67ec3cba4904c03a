//! Random graphs keep their values, and their gradients keep theirs.

use eggrad_autodiff::AutodiffError;
use eggrad_interp::{Precision, run};
use eggrad_ir::{DType, Graph};
use eggrad_rewrite::{RewriteConfig, TableCost, optimize};
use eggrad_testkit::{Config, RandomGraph, near_kink, random_graph};
use proptest::prelude::*;

/// Compares outputs and states of two graphs in `f64`.
fn check(random: &RandomGraph, before: &Graph, after: &Graph) -> Result<(), TestCaseError> {
    let value = |graph: &Graph| {
        let run = run(graph, &random.inputs, &random.states, Precision::Wide).unwrap();
        let tensors = run.outputs.into_iter().chain(run.states);
        tensors.map(|t| t.to_f64s()).collect::<Vec<_>>()
    };
    for (a, b) in value(before).into_iter().zip(value(after)) {
        let scale = a.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
        for (x, y) in a.iter().zip(&b) {
            let close = (x - y).abs() <= 1e-7 * scale || (!x.is_finite());
            prop_assert!(close, "{x} became {y} in\n{before}\n{after}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_stay(random in random_graph(Config::new(DType::F32))) {
        let config = RewriteConfig::default();
        let (result, report) = optimize(&random.graph, &TableCost, &config)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{}", random.graph)))?;
        prop_assert!(report.danger_after <= report.danger_before);
        if near_kink(&random.graph, &random.inputs, &random.states, 1e-9).unwrap() {
            return Ok(());
        }
        check(&random, &random.graph, &result)?;
        let again = optimize(&random.graph, &TableCost, &config).unwrap().0;
        prop_assert_eq!(result.to_string(), again.to_string());
    }

    #[test]
    fn gradients_stay(random in random_graph(Config { writes: false, ..Config::new(DType::F64) })) {
        let mut builder = eggrad_ir::Builder::from_graph(random.graph.clone());
        let output = random.graph.outputs()[0].node;
        if !random.graph.ty(output).dtype.is_float() {
            return Ok(());
        }
        let all = (0..random.graph.ty(output).rank()).collect();
        let loss = builder.sum(output, all);
        let leaf = random.graph.inputs()[0].node;
        let grad = builder.node(eggrad_ir::Op::Grad, &[loss, leaf]);
        builder.clear_outputs();
        builder.output("grad", grad);
        let graph = builder.build().unwrap();
        let mut same = Ok::<Graph, AutodiffError>;
        let plain = eggrad_autodiff::resolve(graph.clone(), &mut same).unwrap();
        let config = RewriteConfig::default();
        let mut stable = |g: Graph| -> Result<Graph, AutodiffError> {
            Ok(optimize(&g, &TableCost, &config).unwrap().0)
        };
        let stable = eggrad_autodiff::resolve(graph, &mut stable).unwrap();
        if near_kink(&random.graph, &random.inputs, &random.states, 1e-6).unwrap() {
            return Ok(());
        }
        check(&random, &plain, &stable)?;
        let (result, _) = optimize(&stable, &TableCost, &config)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{stable}")))?;
        check(&random, &plain, &result)?;
    }
}
