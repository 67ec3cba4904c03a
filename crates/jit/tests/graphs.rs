//! Random graphs: machine code has the plan evaluator's bits and the interpreter's values.

mod common;

use common::graphs::{run, tensor};
use eggrad_interp::Precision;
use eggrad_ir::DType;
use eggrad_jit::{JitConfig, compile};
use eggrad_schedule::{ScheduleConfig, schedule};
use eggrad_testkit::{Config, RandomGraph, error, near_kink, random_graph};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn check(case: &RandomGraph, fuse: bool) {
    let graph = &case.graph;
    let found = run(graph, &case.inputs, &case.states, fuse);
    // Next to a kink, rounding decides which branch is taken.
    if near_kink(graph, &case.inputs, &case.states, 1e-4).unwrap() {
        return;
    }
    let run = eggrad_interp::run(graph, &case.inputs, &case.states, Precision::AsWritten).unwrap();
    let wide = case.inputs.iter().any(|i| i.ty.dtype == DType::F64);
    let tolerance = if wide { 1e-10 } else { 2e-4 };
    for (expected, found) in run.outputs.iter().chain(&run.states).zip(&found) {
        let far = error(&tensor(&expected.ty, found), expected, 1.0);
        assert!(far <= tolerance, "off by {far}");
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn random_graphs_of_f32(case in random_graph(Config::new(DType::F32)), fuse: bool) {
        check(&case, fuse);
    }

    #[test]
    fn random_graphs_of_f64(case in random_graph(Config::new(DType::F64)), fuse: bool) {
        check(&case, fuse);
    }

    /// What is made of frozen states is there in the second run, which does not compute it.
    #[test]
    fn random_graphs_with_frozen_leaves(
        case in random_graph(Config::new(DType::F32)),
        fuse: bool,
        which: u32,
    ) {
        check(&case.freeze(which), fuse);
    }
}

/// The same functions, to the letter, whatever the number of threads that made them.
#[test]
fn the_number_of_threads_changes_no_code() {
    let config = Config { steps: 30, ..Config::new(DType::F32) };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..5 {
        let case = random_graph(config).new_tree(&mut runner).expect("a graph").current();
        let plan = schedule(&case.graph, &ScheduleConfig::default()).expect("schedules");
        let listings = [1, 2, 7].map(|threads| {
            let config = JitConfig { threads, listing: true, ..JitConfig::default() };
            let executable = compile(&plan, &config).expect("compiles");
            let functions = executable.report().functions.iter();
            functions.map(|f| (f.kernel.clone(), f.listing.clone())).collect::<Vec<_>>()
        });
        assert_eq!(listings[0], listings[1]);
        assert_eq!(listings[0], listings[2]);
    }
}
