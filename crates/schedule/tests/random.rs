//! Random graphs: the plan evaluator agrees with the interpreter, fused and not.

mod common;

use common::check;
use eggrad_ir::DType;
use eggrad_testkit::{Config, random_graph};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_agree_in_f64(g in random_graph(Config::new(DType::F64))) {
        check(&g.graph, &g.inputs, &g.states);
    }

    #[test]
    fn random_graphs_agree_in_f32(g in random_graph(Config { steps: 30, ..Config::new(DType::F32) })) {
        check(&g.graph, &g.inputs, &g.states);
    }
}
