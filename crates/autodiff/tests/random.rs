//! Random graphs.

mod common;

use common::{check_gradient, check_modes, resolved};
use eggrad_autodiff::{AutodiffError, hoist, resolve};
use eggrad_interp::{Precision, run};
use eggrad_ir::{Builder, DType, Graph, MarkOp, NodeId, Op};
use eggrad_testkit::{Config, error, near_kink, random_graph};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn smooth_gradients(random in random_graph(Config { calls: true, ..Config::smooth(DType::F64) }), seed in any::<u64>()) {
        let wrt = random.float_leaves();
        let (graph, inputs, states) = (&random.graph, &random.inputs, &random.states);
        let error = check_gradient(graph, inputs, states, &wrt, 1, seed);
        prop_assert!(error < 1e-6, "gradient off by {error:e}");
        let error = check_modes(graph, inputs, states, &wrt, true, seed);
        prop_assert!(error < 1e-6, "modes differ by {error:e}");
    }

    #[test]
    fn second_derivatives(
        random in random_graph(Config { steps: 6, calls: true, ..Config::smooth(DType::F32) }),
        seed in any::<u64>(),
    ) {
        let wrt = random.float_leaves();
        let error = check_gradient(&random.graph, &random.inputs, &random.states, &wrt, 2, seed);
        prop_assert!(error < 1e-5, "second derivative off by {error:e}");
    }

    #[test]
    fn gradients_away_from_kinks(random in random_graph(Config { calls: true, ..Config::new(DType::F32) }), seed in any::<u64>()) {
        let wrt = random.float_leaves();
        let (graph, inputs, states) = (&random.graph, &random.inputs, &random.states);
        // Differences see through what stops a gradient.
        let stops = graph.nodes().iter().any(|n| n.op == Op::Mark(MarkOp::StopGradient));
        let smooth = !stops && !near_kink(graph, inputs, states, 0.02).unwrap();
        let error = check_modes(graph, inputs, states, &wrt, smooth, seed);
        prop_assert!(error < 1e-6, "modes differ by {error:e}");
    }

    /// Taking work out of scans keeps values, forth and back.
    #[test]
    fn hoisting_keeps_values(random in random_graph(Config { calls: true, ..Config::new(DType::F64) })) {
        let mut b = Builder::from_graph(random.graph.clone());
        let y = random.graph.outputs()[0].node;
        let axes = (0..b.ty(y).rank()).collect();
        let loss = b.sum(y, axes);
        let leaves: Vec<NodeId> = b.graph().states().iter().map(|s| s.read).collect();
        for (i, leaf) in leaves.into_iter().enumerate() {
            let d = b.node(Op::Grad, &[loss, leaf]);
            b.output(&format!("d{i}"), d);
        }
        // A state may have no way to the first output.
        if let Ok(graph) = resolve::<AutodiffError>(b.build().unwrap(), &mut Ok) {
            let hoisted = hoist(graph.clone());
            let values = |g: &Graph| run(g, &random.inputs, &random.states, Precision::AsWritten).unwrap();
            for (before, after) in values(&graph).outputs.iter().zip(&values(&hoisted).outputs) {
                prop_assert!(error(after, before, 1.0) < 1e-12, "{before:?} became {after:?}\n{hoisted}");
            }
        }
    }

    #[test]
    fn resolving_twice_gives_the_same_text(random in random_graph(Config { calls: true, ..Config::smooth(DType::F64) })) {
        let mut b = Builder::from_graph(random.graph.clone());
        let y = random.graph.outputs()[0].node;
        let axes = (0..b.ty(y).rank()).collect();
        let loss = b.sum(y, axes);
        for (i, node) in b.graph().inputs().iter().map(|i| i.node).collect::<Vec<_>>().into_iter().enumerate() {
            if b.ty(node).dtype.is_float() {
                let d = b.node(Op::Grad, &[loss, node]);
                b.output(&format!("d{i}"), d);
            }
        }
        let graph = b.build().unwrap();
        prop_assert_eq!(resolved(graph.clone()).to_string(), resolved(graph).to_string());
    }
}
