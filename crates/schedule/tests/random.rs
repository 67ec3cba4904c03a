//! Random graphs: the plan evaluator agrees with the interpreter, fused and not, also where leaves are frozen.

mod common;

use common::{check, plans};
use eggrad_ir::DType;
use eggrad_testkit::{Config, RandomGraph, near_kink, random_graph};
use proptest::prelude::*;

/// Where a comparison is decided by rounding, only the plans themselves are checked.
fn agrees(case: &RandomGraph, margin: f64) {
    let RandomGraph { graph, inputs, states } = case;
    if near_kink(graph, inputs, states, margin).expect("the interpreter runs it") {
        plans(graph);
    } else {
        check(graph, inputs, states);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_agree_in_f64(g in random_graph(Config::new(DType::F64))) {
        agrees(&g, 1e-9);
    }

    #[test]
    fn random_graphs_agree_in_f32(g in random_graph(Config { steps: 30, ..Config::new(DType::F32) })) {
        agrees(&g, 1e-5);
    }

    #[test]
    fn random_graphs_with_frozen_leaves(g in random_graph(Config::new(DType::F64)), which: u32) {
        agrees(&g.freeze(which), 1e-9);
    }
}
