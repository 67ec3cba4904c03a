//! Time of compiling train steps of growing depth: `cargo bench --bench compile`, or with depths: `-- 3 128`.
//!
//! For each depth the least of several rounds, by stage; of code generation also the first, in which all functions are
//! new. A timing is a report, never a test.

use eggrad::prelude::*;
use std::time::Instant;

#[path = "../tests/models/mod.rs"]
mod models;

const ROUNDS: usize = 5;

/// Writes a train step of some depth.
type Write = fn(&Graph, usize);

/// The least times in milliseconds: writing the graph, then each stage of compiling it.
fn times(write: impl Fn(&Graph)) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let mut least = vec![f64::INFINITY; 5];
    let mut first = None;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let graph = Graph::new();
        write(&graph);
        let written = start.elapsed().as_secs_f64() * 1e3;
        let program = Program::compile(&graph, &Options::default())?;
        let stages = program.report().stages.iter().map(|s| s.micros / 1e3);
        first.get_or_insert(program.report().stages.last().map_or(0.0, |s| s.micros / 1e3));
        for (best, time) in least.iter_mut().zip([written].into_iter().chain(stages)) {
            *best = best.min(time);
        }
    }
    least.extend(first);
    Ok(least)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let depths =
        |default: &[usize]| if given.is_empty() { default.to_vec() } else { given.clone() };
    let models: [(&str, Write, Vec<usize>); 2] = [
        ("perceptron", models::perceptron, depths(&[1, 3, 8, 32, 128])),
        ("transformer", models::transformer, depths(&[1, 4, 16])),
    ];
    for (name, write, depths) in models {
        println!(
            "{name:>12} {:>10} {:>14} {:>9} {:>10} {:>9} {:>9}",
            "write ms", "differentiate", "rewrite", "schedule", "codegen", "again"
        );
        for depth in depths {
            let least = times(|graph| write(graph, depth))?;
            println!(
                "{depth:>12} {:>10.2} {:>14.2} {:>9.2} {:>10.2} {:>9.2} {:>9.2}",
                least[0], least[1], least[2], least[3], least[5], least[4]
            );
        }
    }
    Ok(())
}
