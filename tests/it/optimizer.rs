//! How the optimizer scales: rounds and e-nodes over depth, and what it does with graphs made to blow it up.

use crate::models::{perceptron, transformer};
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

#[test]
fn effort_grows_with_the_depth_of_a_perceptron() {
    let [small, large] = [8, 128].map(|depth| effort(|g| perceptron(g, depth)));
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
