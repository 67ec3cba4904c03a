//! How times grow: `cargo bench --bench scaling`, as curves too with `-- --svg FOLDER`, or some: `-- compile`.
//!
//! Step time over batch, width and depth; compile time over 1 to 512 layers; e-nodes over depth. The least of several
//! rounds each. A timing is a report, never a test.

use clap::Parser;
use eggrad::prelude::*;
use eggrad::rewrite::{RewriteConfig, TableCost, optimize};
use plotters::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[allow(dead_code, reason = "transformers are measured by another bench")]
#[path = "../tests/models/mod.rs"]
mod models;

type Failure = Box<dyn std::error::Error>;

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(5);
const CLASSES: usize = 10;

#[derive(Parser)]
struct Arguments {
    /// Parts of names of curves; all of them if none is given.
    names: Vec<String>,
    /// Folder for a picture of each curve.
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// As cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A value measured over a size.
struct Curve {
    name: &'static str,
    size: &'static str,
    value: &'static str,
    sizes: Vec<usize>,
    measure: fn(usize) -> Result<f64, Failure>,
}

fn doubled(from: usize, to: usize) -> Vec<usize> {
    std::iter::successors(Some(from), |&n| Some(2 * n)).take_while(|&n| n <= to).collect()
}

fn curves() -> [Curve; 5] {
    let step = "train step, us";
    [
        Curve {
            name: "step-over-batch",
            size: "rows of 64-25-15-10",
            value: step,
            sizes: doubled(1, 1024),
            measure: |rows| step_us(rows, 64, &[25, 15, CLASSES]),
        },
        Curve {
            name: "step-over-width",
            size: "units of two hidden layers, 32 rows",
            value: step,
            sizes: doubled(16, 1024),
            measure: |width| step_us(32, width, &[width, width, CLASSES]),
        },
        Curve {
            name: "step-over-depth",
            size: "hidden layers of 64 units, 32 rows",
            value: step,
            sizes: doubled(1, 64),
            measure: |depth| step_us(32, 64, &[vec![64; depth], vec![CLASSES]].concat()),
        },
        Curve {
            name: "compile-over-depth",
            size: "layers of 16 units",
            value: "compile, ms",
            sizes: doubled(1, 512),
            measure: compile_ms,
        },
        Curve {
            name: "e-nodes-over-depth",
            size: "layers of 16 units",
            value: "e-nodes of the train step",
            sizes: doubled(1, 512),
            measure: e_nodes,
        },
    ]
}

/// The least time of a train step of dense layers with ReLU, in microseconds.
fn step_us(rows: usize, inputs: usize, units: &[usize]) -> Result<f64, Failure> {
    let graph = Graph::new();
    let mut x = graph.input("x", [rows, inputs]);
    for (i, &width) in units.iter().enumerate() {
        x = dense(&format!("dense{i}"), x, width);
        if i + 1 < units.len() {
            x = x.relu();
        }
    }
    let labels = graph.labels("labels", [rows], CLASSES);
    let loss = -(labels.one_hot(CLASSES) * x.softmax(1).log()).sum(1).mean();
    graph.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
    let program = Arc::new(Program::compile(&graph, &Options::default())?);
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store)?;
    let features: Vec<f32> = (0..rows * inputs).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let labels: Vec<i32> = (0..rows).map(|i| (i * 7 % CLASSES) as i32).collect();
    let mut loss = [0.0f32];
    let mut run = || {
        let inputs = [ArrayRef::F32(&features), ArrayRef::I32(&labels)];
        session.run(&mut store, &inputs, &mut [ArrayMut::F32(&mut loss)])
    };
    run()?;
    let start = Instant::now();
    run()?;
    let runs = (ROUND.as_nanos() / start.elapsed().as_nanos().max(50)).clamp(1, 10_000) as usize;
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..runs {
            run()?;
        }
        least = least.min(start.elapsed().as_secs_f64() * 1e6 / runs as f64);
    }
    Ok(least)
}

/// The least time from a train step as written to its machine code, in milliseconds.
fn compile_ms(depth: usize) -> Result<f64, Failure> {
    let mut least = f64::INFINITY;
    for _ in 0..if depth > 64 { 1 } else { 5 } {
        let graph = Graph::new();
        models::perceptron(&graph, depth);
        let start = Instant::now();
        Program::compile(&graph, &Options::default())?;
        least = least.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}

/// E-nodes after forward pass, backward pass and update, as written, have been optimised together.
fn e_nodes(depth: usize) -> Result<f64, Failure> {
    let graph = Graph::new();
    models::perceptron(&graph, depth);
    let as_written = Options { rewrite: false, ..Options::default() };
    let graph = eggrad::lower(&graph.build()?.graph, &as_written)?;
    let (_, report) = optimize(&graph, &TableCost, &RewriteConfig::default())?;
    Ok(report.e_nodes as f64)
}

/// Draws points over sizes, both axes logarithmic.
fn draw(curve: &Curve, points: &[(f64, f64)], folder: &Path) -> Result<(), Failure> {
    let path = folder.join(format!("{}.svg", curve.name));
    let area = SVGBackend::new(&path, (640, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let values = || points.iter().map(|p| p.1);
    let least = values().fold(f64::INFINITY, f64::min) / 1.5;
    let most = values().fold(0.0, f64::max) * 1.5;
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((first..last * 1.1).log_scale().base(2.0), (least..most).log_scale())?;
    let whole = |value: &f64| format!("{value:.0}");
    chart
        .configure_mesh()
        .x_desc(curve.size)
        .y_desc(curve.value)
        .x_labels(points.len())
        .x_label_formatter(&whole)
        .y_label_formatter(&whole)
        .max_light_lines(1)
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&p| Circle::new(p, 3, BLUE.filled())))?;
    area.present()?;
    println!("{}", path.display());
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.svg {
        std::fs::create_dir_all(folder)?;
    }
    for curve in curves() {
        let names = &arguments.names;
        if !names.is_empty() && !names.iter().any(|part| curve.name.contains(part)) {
            continue;
        }
        println!("{}: {} over {}", curve.name, curve.value, curve.size);
        let mut points = vec![];
        for &size in &curve.sizes {
            let value = (curve.measure)(size)?;
            println!("{size:>8} {value:>14.2}");
            points.push((size as f64, value));
        }
        if let Some(folder) = &arguments.svg {
            draw(&curve, &points, folder)?;
        }
    }
    Ok(())
}
