//! Plans of whole train steps: their text, their kernels and bytes, and what they compute once.

use crate::models;
use crate::workloads;
use eggrad::ir::{BinaryOp, Op, ReduceOp, UnaryOp};
use eggrad::prelude::*;
use eggrad::schedule::{KernelKind, Phase, Place, Plan, ScheduleConfig, schedule};
use eggrad_body::{Body, Inst, Lane, Value};
use std::path::Path;

type Write = fn(&Graph);

fn adam(loss: Tensor<'_>) {
    loss.graph().output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

/// The workloads that are measured.
const WORKLOADS: [(&str, Write); 16] = [
    ("W1 train", |g| adam(workloads::coffee(g, 32))),
    ("W1 infer", |g| workloads::coffee_predict(g)),
    ("W2 train", |g| adam(workloads::classifier(g, 32, 64, &[25, 15, 10]))),
    ("W2 infer", |g| workloads::classify(g, 1, 64, &[25, 15, 10])),
    ("W3 train", |g| adam(workloads::classifier(g, 128, 784, &[512, 256, 10]))),
    ("W4 train", |g| adam(workloads::classifier(g, 256, 1024, &[2048, 2048, 1000]))),
    ("W5 train", |g| adam(workloads::cnn(g, 64))),
    ("W5 infer", |g| workloads::cnn_predict(g)),
    ("W6 train", |g| adam(workloads::ecg(g, 32))),
    ("W6 infer", |g| workloads::ecg_predict(g)),
    ("W7 chain", |g| workloads::chain_gradient(g, 1 << 16)),
    ("W7 softmax", |g| workloads::softmax_cross_entropy(g, 1024, 1000)),
    ("W7 norm", |g| workloads::layer_norm(g, 1024, 1024)),
    ("W7 gelu", |g| workloads::gelu(g, 1 << 20)),
    ("W8 train", |g| adam(workloads::gpt(g, 8))),
    ("W9 train", |g| adam(workloads::lstm(g, 32))),
];

/// The graph that `write` makes, differentiated and optimised, and its plan.
fn planned(write: Write) -> (eggrad::ir::Graph, Plan) {
    let g = Graph::new();
    write(&g);
    let written = g.build().expect("a valid graph").graph;
    let graph = eggrad::lower(&written, &Options::default()).expect("optimises");
    let plan = schedule(&graph, &ScheduleConfig::default()).expect("a plan");
    (graph, plan)
}

fn golden(folder: &str, make: impl FnMut(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(folder);
    eggrad_testkit::golden(&path, make);
}

/// What each golden file of a plan is the plan of.
const PLANS: [(&str, Write); 6] = [
    ("train step of two dense layers, Adam", |g| adam(workloads::classifier(g, 32, 64, &[25, 10]))),
    ("W5: train step of a convolutional network, batch 64, Adam", |g| adam(workloads::cnn(g, 64))),
    ("W8 in small: train step of one transformer block, Adam", |g| models::transformer(g, 1)),
    ("W9: train step of an LSTM, batch 32, Adam", |g| adam(workloads::lstm(g, 32))),
    ("W7: layer norm forward and backward", |g| workloads::layer_norm(g, 1024, 1024)),
    ("W7: softmax cross-entropy forward and backward", |g| {
        workloads::softmax_cross_entropy(g, 1024, 1000);
    }),
];

#[test]
fn plans_as_text() {
    golden("plans", |name| {
        let found = PLANS.iter().find(|(known, _)| *known == name);
        let (_, write) = found.unwrap_or_else(|| panic!("there is no model called `{name}`"));
        planned(*write).1.to_string()
    });
}

/// Kernels, those nested in others included, and bytes of the arena.
#[test]
fn kernels_and_bytes_of_the_workloads() {
    golden("workloads", |names| {
        let names: Vec<&str> = names.lines().collect();
        assert_eq!(names, WORKLOADS.map(|w| w.0), "the names of all workloads, one a line");
        let line = |(name, write): (&str, Write)| {
            let plan = planned(write).1;
            let text = plan.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{name}: {first}; with nested ones {}\n", plan.kernel_count())
        };
        WORKLOADS.map(line).concat()
    });
}

/// Every body of a plan and of the plans nested in it.
fn bodies(plan: &Plan) -> Vec<&Body> {
    let nested = plan.nested();
    let plans: Vec<&Plan> = nested.iter().map(|p| &***p).chain([plan]).collect();
    plans.into_iter().flat_map(|p| &p.kernels).flat_map(|k| kernel_bodies(&k.kind)).collect()
}

fn kernel_bodies(kind: &KernelKind) -> Vec<&Body> {
    match kind {
        KernelKind::Row(k) => k.phases.iter().map(phase_body).collect(),
        KernelKind::Column(k) => vec![&k.body, &k.epilogue],
        KernelKind::Product(k) => vec![&k.epilogue],
        KernelKind::Loop(_) | KernelKind::Branch(_) => vec![],
    }
}

fn phase_body(phase: &Phase) -> &Body {
    match phase {
        Phase::Pass { body, .. } | Phase::Scalar { body, .. } => body,
    }
}

/// Exponentials and logarithms that bodies compute, found by numbers that nothing else multiplies with: `1/ln 2`, and
/// the last coefficient of the logarithm's polynomial, once in each.
fn sites(plan: &Plan) -> [usize; 2] {
    let signs = [std::f32::consts::LOG2_E, -0.044_921_152];
    let bits = signs.map(|sign| u64::from(sign.to_bits()));
    let mut sites = [0; 2];
    for body in bodies(plan) {
        let insts = body.insts();
        for inst in insts {
            let Inst::Fma(a, b, c) = *inst else { continue };
            for (count, bits) in sites.iter_mut().zip(bits) {
                let is = |v: Value| insts[v.index()] == Inst::Const { lane: Lane::F32, bits };
                *count += usize::from([a, b, c].into_iter().any(is));
            }
        }
    }
    sites
}

/// Exponentials and logarithms of a graph, those of sub-graphs included, each application once.
fn written(graph: &eggrad::ir::Graph) -> [usize; 2] {
    let mut applied = vec![];
    let mut count = [0; 2];
    for node in graph.nodes() {
        let [exps, logs] = match &node.op {
            Op::Unary(op) => match op {
                UnaryOp::Exp
                | UnaryOp::Exp2
                | UnaryOp::Expm1
                | UnaryOp::Tanh
                | UnaryOp::Sigmoid => [1, 0],
                UnaryOp::Log | UnaryOp::Log1p | UnaryOp::Log2 => [0, 1],
                UnaryOp::Softplus | UnaryOp::Log1mexp => [1, 1],
                other => {
                    let name = other.name();
                    assert!(
                        !["erf", "erfc", "log_erfc", "sin", "cos", "tan"].contains(&name),
                        "{name}"
                    );
                    [0, 0]
                }
            },
            Op::Binary(BinaryOp::Pow | BinaryOp::LogAddExp | BinaryOp::Atan2) => {
                panic!("count `{}` too", node.op.name())
            }
            Op::Softmax(..) | Op::CrossEntropy(..) | Op::Reduce(ReduceOp::LogSumExp, _) => [1, 1],
            op => {
                let application = (op.with_result(0), node.inputs.clone());
                if op.functions().is_empty() || applied.contains(&application) {
                    continue;
                }
                applied.push(application);
                let inner = op.functions().into_iter().map(|f| written(f.graph()));
                inner.fold([0, 0], |a, b| [a[0] + b[0], a[1] + b[1]])
            }
        };
        count = [count[0] + exps, count[1] + logs];
    }
    count
}

#[test]
fn nothing_transcendental_is_computed_twice() {
    // What is counted is there: two of each.
    let (graph, plan) = planned(|g| {
        let (x, y) = (g.input("x", [8]), g.input("y", [9]));
        g.output("x", x.exp() + (x + 2.0).abs().log());
        g.output("y", y.exp() + (y + 3.0).abs().log());
    });
    assert_eq!((sites(&plan), written(&graph)), ([2, 2], [2, 2]), "{plan}");
    for (name, write) in WORKLOADS {
        let (graph, plan) = planned(write);
        let (found, allowed) = (sites(&plan), written(&graph));
        let once = found[0] <= allowed[0] && found[1] <= allowed[1];
        assert!(once, "{name}: {found:?} computed, {allowed:?} in the graph\n{plan}");
    }
}

/// Walks along the rows of each row kernel.
fn passes(plan: &Plan) -> Vec<usize> {
    let of = |kernel: &eggrad::schedule::Kernel| match &kernel.kind {
        KernelKind::Row(k) => {
            Some(k.phases.iter().filter(|p| matches!(p, Phase::Pass { .. })).count())
        }
        KernelKind::Column(_)
        | KernelKind::Product(_)
        | KernelKind::Loop(_)
        | KernelKind::Branch(_) => None,
    };
    plan.kernels.iter().filter_map(of).collect()
}

/// Layer norm walks a row three times forward and three times backward: five norms in the blocks of W8, softmax, loss.
#[test]
fn rows_are_walked_three_times_at_most() {
    for (name, write) in WORKLOADS {
        let (_, plan) = planned(write);
        // Forward and backward at once.
        let most = if name == "W7 norm" { 4 } else { 3 };
        let found = passes(&plan).into_iter().max();
        assert!(found <= Some(most), "{name}: {found:?} walks\n{plan}");
    }
    let (_, plan) = planned(|g| g.output("y", models::norm("norm", g.input("x", [64, 256]))));
    assert_eq!(passes(&plan), [3], "{plan}");
}

/// Gradients of an LSTM's weights are one product each over all steps, after the loop, which has one product: that of
/// the state's gradient.
#[test]
fn weight_gradients_leave_the_loop() {
    let (_, plan) = planned(|g| adam(workloads::lstm(g, 32)));
    let products = |plan: &Plan| -> Vec<Vec<usize>> {
        let of = |kernel: &eggrad::schedule::Kernel| match &kernel.kind {
            KernelKind::Product(k) => Some([&[k.m, k.n], &k.k[..]].concat()),
            KernelKind::Row(_)
            | KernelKind::Column(_)
            | KernelKind::Loop(_)
            | KernelKind::Branch(_) => None,
        };
        plan.kernels.iter().filter_map(of).collect()
    };
    let outside = products(&plan);
    for wanted in [[32, 256, 1600], [64, 256, 1600]] {
        assert!(outside.contains(&wanted.to_vec()), "no {wanted:?} in\n{plan}");
    }
    let inside: Vec<Vec<Vec<usize>>> = plan.nested().iter().map(|p| products(p)).collect();
    assert_eq!(inside, [vec![vec![32, 256, 64]], vec![vec![32, 64, 256]]], "{plan}");
    // The loop backwards packs the weight it reads transposed in its first step alone.
    assert_eq!(plan.nested().iter().map(|p| p.setup).collect::<Vec<_>>(), [0, 1], "{plan}");
}

/// Kernels that only move an input elsewhere.
fn moved_inputs(plan: &Plan) -> Vec<&str> {
    let moves = |inst: &Inst| matches!(inst, Inst::Load { .. } | Inst::LoadAt { .. });
    let input = |kernel: &eggrad::schedule::Kernel, access: &eggrad::schedule::Access| {
        matches!(plan.buffers[kernel.args[access.arg]].place, Place::Input(_))
    };
    let only_moves = |kernel: &&eggrad::schedule::Kernel| match &kernel.kind {
        KernelKind::Row(k) => {
            k.accesses.iter().any(|access| input(kernel, access))
                && k.phases.iter().all(|p| phase_body(p).insts().iter().all(moves))
        }
        KernelKind::Column(_)
        | KernelKind::Product(_)
        | KernelKind::Loop(_)
        | KernelKind::Branch(_) => false,
    };
    plan.kernels.iter().filter(only_moves).map(|k| k.name.as_str()).collect()
}

/// The batch stays in the caller's array. W5 pads its images; W8 looks embeddings up and adds to
/// them, by labels that it reads.
#[test]
fn a_batch_is_read_where_it_lies() {
    for (name, write) in WORKLOADS {
        let (_, plan) = planned(write);
        let moved = moved_inputs(&plan);
        let expected: &[&str] = match name {
            "W5 train" | "W5 infer" => &["pad"],
            "W8 train" => &["gather", "scatter_add"],
            _ => &[],
        };
        assert_eq!(moved, expected, "{name}\n{plan}");
    }
}
