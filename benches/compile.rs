//! Time of compiling train steps of growing depth: `cargo bench --bench compile`.
//!
//! For each depth the least of several rounds, by stage. A timing is a report, never a test.

use eggrad::prelude::*;
use std::time::Instant;

const ROUNDS: usize = 5;

/// A train step of `depth` dense layers of width 64 with ReLU, naive softmax cross-entropy and Adam.
fn mlp(graph: &Graph, depth: usize) {
    let mut x = graph.input("x", [32, 64]);
    let labels = graph.labels("labels", [32], 10);
    for i in 1..depth {
        x = dense(&format!("dense{i}"), x, 64).relu();
    }
    let p = dense("out", x, 10).softmax(1);
    let loss = -(labels.one_hot(10) * p.log()).sum(1).mean();
    graph.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let depths = std::env::args().filter_map(|a| a.parse().ok());
    let mut depths: Vec<usize> = depths.collect();
    if depths.is_empty() {
        depths = vec![1, 3, 8, 32, 128];
    }
    println!(
        "{:>6} {:>10} {:>14} {:>9} {:>10} {:>9}",
        "layers", "write ms", "differentiate", "rewrite", "schedule", "codegen"
    );
    for depth in depths {
        let mut least: Vec<f64> = vec![f64::INFINITY; 5];
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let graph = Graph::new();
            mlp(&graph, depth);
            let written = start.elapsed().as_secs_f64() * 1e3;
            let program = Program::compile(&graph, &Options::default())?;
            let stages = program.report().stages.iter().map(|s| s.micros / 1e3);
            for (best, time) in least.iter_mut().zip([written].into_iter().chain(stages)) {
                *best = best.min(time);
            }
        }
        println!(
            "{depth:>6} {:>10.2} {:>14.2} {:>9.2} {:>10.2} {:>9.2}",
            least[0], least[1], least[2], least[3], least[4]
        );
    }
    Ok(())
}
