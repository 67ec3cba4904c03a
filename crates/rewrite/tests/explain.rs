//! Explanations: followed again by the checker, for one formula, random graphs and a train step.

use eggrad_ir::{DType, Graph};
use eggrad_rewrite::{Explanation, RewriteConfig, RuleSet, TableCost, explain, optimize, replay};
use eggrad_testkit::{Config, random_graph};
use proptest::prelude::*;

fn explained(text: &str) -> (Graph, Graph, Explanation) {
    let graph: Graph =
        format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    let config = RewriteConfig::default();
    let (result, report, explanation) =
        explain(&graph, &TableCost, &config).unwrap_or_else(|e| panic!("{text}\n{e}"));
    let plain = optimize(&graph, &TableCost, &config).unwrap();
    assert_eq!(plain.0.to_string(), result.to_string(), "a log changes nothing");
    assert_eq!(plain.1, report);
    replay(&graph, &result, &explanation, &RuleSet::standard()).unwrap();
    (graph, result, explanation)
}

#[test]
fn naive_cross_entropy() {
    let (_, result, e) = explained(
        "in z: f32[8, 10]\nin y: f32[8, 10], range 0 to 1\nout loss = -sum(y * log(softmax(z, axis=1)))",
    );
    println!("{result}{e}");
    let (_, result, e) = explained(
        "in z: f32[8]\nin y: f32[8], range 0 to 1\nout loss = -mean(y * log(1/(1+exp(-z))) + (1 - y) * log(1 - 1/(1+exp(-z))))\nout b = 3*z+z*2 - z*5+log(exp(z))",
    );
    println!("{result}{e}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_are_explained(random in random_graph(Config::new(DType::F32))) {
        let config = RewriteConfig::default();
        let (result, _, explanation) = explain(&random.graph, &TableCost, &config)
            .map_err(|e| TestCaseError::fail(format!("{e}\n{}", random.graph)))?;
        let plain = optimize(&random.graph, &TableCost, &config).unwrap().0;
        prop_assert_eq!(plain.to_string(), result.to_string());
        prop_assert_eq!(replay(&random.graph, &result, &explanation, &RuleSet::standard()), Ok(()));
    }
}
