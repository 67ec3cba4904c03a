//! Time of building, differentiating, printing, parsing and dropping deep graphs: `cargo bench --bench depth`.
//!
//! A chain of 100,000 nodes, and 60 doublings of a value, which are 2^60 paths. A timing is a report, never a test.

use eggrad::autodiff::resolve;
use eggrad::ir::Graph as Ir;
use eggrad::nn::Graph;
use eggrad::prelude::*;
use std::time::Instant;

/// A named graph.
type Writer = (&'static str, for<'g> fn(Tensor<'g>) -> Tensor<'g>);

const GRAPHS: [Writer; 2] = [
    ("chain of 100,000", |x| {
        (0..100_000).fold(x, |y, i| if i % 2 == 0 { y.sin() } else { y * 1.01 })
    }),
    ("2^60 paths", |x| (0..60).fold(x, |y, _| y.tanh() + y.sin())),
];

fn seconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let columns = ["build s", "differentiate", "print", "parse", "drop", "nodes"];
    println!("{:>18} {}", "", columns.map(|c| format!("{c:>14}")).concat());
    for (name, write) in GRAPHS {
        let (written, build) = seconds(|| {
            let g = Graph::new();
            let x = g.input("x", []);
            g.output("dx", write(x).grad(x));
            g.build()
        });
        let written = written?.graph;
        let keep = |graph: Ir| Ok::<Ir, eggrad::autodiff::AutodiffError>(graph);
        let (graph, differentiate) = seconds(|| resolve(written, &mut { keep }));
        let graph = graph?;
        let nodes = graph.nodes().len();
        let (text, print) = seconds(|| graph.to_string());
        let (parsed, parse) = seconds(|| text.parse::<Ir>());
        assert!(parsed? == graph);
        let ((), drop_time) = seconds(|| drop(graph));
        let times = [build, differentiate, print, parse, drop_time];
        let times: Vec<String> = times.iter().map(|t| format!("{t:>14.4}")).collect();
        println!("{name:>18} {}{nodes:>14}", times.concat());
    }
    Ok(())
}
