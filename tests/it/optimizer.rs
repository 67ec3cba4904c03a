//! How the optimizer scales: rounds and e-nodes over depth, and what it does with graphs made to blow it up.

use eggrad::autodiff::resolve;
use eggrad::prelude::*;
use eggrad::rewrite::{Report, RewriteConfig, Stop, TableCost, optimize};

/// What optimising the graph that `write` makes takes: stabilised, differentiated, and then the whole.
fn effort(write: impl Fn(&Graph)) -> Report {
    let g = Graph::new();
    write(&g);
    let written = g.build().expect("a valid graph").graph;
    let config = RewriteConfig::default();
    let differentiated = resolve::<Error>(written, &mut |forward| {
        Ok(optimize(&forward, &TableCost, &config).expect("optimises").0)
    });
    optimize(&differentiated.expect("differentiates"), &TableCost, &config).expect("optimises").1
}

/// A train step of `depth` dense layers.
fn mlp(g: &Graph, depth: usize) {
    let mut x = g.input("x", [8, 16]);
    for i in 0..depth {
        x = dense(&format!("dense{i}"), x, 16).relu();
    }
    let labels = g.labels("labels", [8], 16);
    let loss = -(labels.one_hot(16) * x.softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

/// Layer normalisation over the last axis, written out.
fn norm<'g>(name: &str, x: Tensor<'g>) -> Tensor<'g> {
    let g = x.graph();
    let width = *x.ty().expect("a type").shape.dims().last().expect("an axis");
    let centred = x - x.keepdims().mean(-1);
    let deviation = (x.keepdims().var(-1) + 1e-5).sqrt();
    let gain = g.param(&format!("{name}.gain"), [width], Init::Constant(1.0));
    centred / deviation * gain + g.param(&format!("{name}.bias"), [width], Init::Zeros)
}

/// A train step of `depth` pre-norm transformer blocks of width 16 with 2 heads.
fn transformer(g: &Graph, depth: usize) {
    let (rows, steps, width, heads) = (2, 6, 16, 2);
    let mut x = g.input("x", [rows, steps, width]);
    let mask = g.input("mask", [steps, steps]);
    for i in 0..depth {
        let h = norm(&format!("a{i}"), x);
        let head = |name: &str| {
            let part = dense(&format!("{name}{i}"), h, width);
            part.reshape([rows, steps, heads, width / heads]).permute([0, 2, 1, 3])
        };
        let (q, k, v) = (head("q"), head("k"), head("v"));
        let scores = q.matmul(k.transpose()) / ((width / heads) as f64).sqrt() + mask;
        let mixed = scores.softmax(-1).matmul(v).permute([0, 2, 1, 3]);
        x = x + dense(&format!("o{i}"), mixed.reshape([rows, steps, width]), width);
        let h = norm(&format!("m{i}"), x);
        x = x + dense(&format!("d{i}"), dense(&format!("u{i}"), h, 32).gelu_tanh(), width);
    }
    let labels = g.labels("labels", [rows, steps], width);
    let loss = -(labels.one_hot(width) * x.softmax(-1).log()).sum(-1).mean();
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

#[test]
fn effort_grows_with_the_depth_of_a_perceptron() {
    let [small, large] = [8, 128].map(|depth| effort(|g| mlp(g, depth)));
    assert_eq!((&small.stop, &large.stop), (&Stop::Saturated, &Stop::Saturated));
    assert!(large.iterations <= small.iterations + 1, "{} {}", small.iterations, large.iterations);
    let (few, many) = (small.e_nodes as f64, large.e_nodes as f64);
    assert!(many <= few * 16.0, "{few} e-nodes at 8 layers, {many} at 128");
}

#[test]
fn effort_grows_with_the_depth_of_a_transformer() {
    let [small, large, larger] = [2, 16, 32].map(|depth| effort(|g| transformer(g, depth)));
    for report in [&small, &large, &larger] {
        assert_eq!(report.stop, Stop::Saturated);
        assert!(report.iterations <= 12, "{} iterations", report.iterations);
        assert!(report.validation.is_some(), "the result is compared with the input");
    }
    let [few, many, most] = [small.e_nodes, large.e_nodes, larger.e_nodes];
    assert!(many <= few * 8 && most <= many * 2, "{few}, {many} and {most} e-nodes");
}

#[test]
fn graphs_made_to_blow_it_up_stop_in_time() {
    type Case = (&'static str, fn(&Graph));
    let cases: [Case; 4] = [
        ("a sum of 64 products", |g| {
            let x = |i: usize| g.input(&format!("x{i}"), [2]);
            let sum = (0..64).map(|i| x(2 * i) * x(2 * i + 1)).reduce(|a, b| a + b);
            g.output("y", sum.expect("terms"));
        }),
        ("a product of 64 sums", |g| {
            let x = |i: usize| g.input(&format!("x{i}"), [2]);
            let product = (0..64).map(|i| x(2 * i) + x(2 * i + 1)).reduce(|a, b| a * b);
            g.output("y", product.expect("factors"));
        }),
        ("a product of 12 matrices", |g| {
            let x = |i: usize| g.input(&format!("x{i}"), [3 + i % 4, 3 + (i + 1) % 4]);
            let product = (0..12).map(x).reduce(|a, b| a.matmul(b));
            g.output("y", product.expect("factors"));
        }),
        ("64 exponentials, nested", |g| {
            let x = |i: usize| g.input(&format!("x{i}"), [2]);
            let sum = (0..64).map(|i| x(i).exp()).reduce(|a, b| (a + b) * 0.5);
            g.output("y", sum.expect("terms").log());
        }),
    ];
    for (name, write) in cases {
        let g = Graph::new();
        write(&g);
        let graph = g.build().expect("a valid graph").graph;
        let config = RewriteConfig::default();
        let (_, report) = optimize(&graph, &TableCost, &config).expect("optimises");
        let limit = config.limits.growth * graph.nodes().len() + 500;
        assert!(report.e_nodes <= 2 * limit, "{name}: {} e-nodes, {limit} allowed", report.e_nodes);
    }
}
