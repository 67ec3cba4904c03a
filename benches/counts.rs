//! Instructions that runs execute: `cargo bench --bench counts`, or some: `-- chain`.
//!
//! A figure without noise, to see whether a change made code longer. The bench runs itself under valgrind's callgrind,
//! which counts inside one function only. Valgrind has no AVX-512, so what is counted is the code for AVX2, or what
//! `--isa clif` makes; see `docs/measuring.md`.

use clap::{Parser, ValueEnum};
use eggrad::jit::{ISA_VARIABLE, Isa};
use eggrad::prelude::*;
use std::process::{Command, Stdio};
use std::sync::Arc;

#[allow(dead_code, reason = "some models are measured by other benches alone")]
#[path = "workloads/models.rs"]
mod models;

type Failure = Box<dyn std::error::Error>;

/// Runs that are counted; their mean is told.
const RUNS: u64 = 20;

#[derive(Parser)]
struct Arguments {
    /// Parts of names of kernels; all of them if none is given.
    names: Vec<String>,
    /// Whose code is counted.
    #[arg(long, default_value = "avx2")]
    isa: Set,
    /// Prints a line of JSON for each kernel.
    #[arg(long)]
    json: bool,
    /// Runs one kernel, for valgrind to watch.
    #[arg(long, hide = true)]
    watched: Option<String>,
    /// As cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// An instruction set that valgrind knows.
#[derive(Clone, Copy, ValueEnum)]
enum Set {
    Avx2,
    Clif,
}

/// A name, the graph, and the numbers of elements of its `f32` inputs and of its labels.
type Counted = (&'static str, fn(&Graph), &'static [usize], usize);

const KERNELS: [Counted; 6] = [
    ("chain of 4096", |g| models::chain_forward(g, 4096), &[4096], 0),
    ("cross-entropy of 32x1000", |g| models::softmax_cross_entropy(g, 32, 1000), &[32_000], 32),
    ("layer norm of 64x64", |g| models::layer_norm(g, 64, 64), &[4096; 2], 0),
    ("relu(a b + c) of 32x64x25", activated_product, &[2048, 1600, 25], 0),
    ("a b of 128x128x128", product, &[16_384; 2], 0),
    ("W2 step of 32 rows", step, &[2048], 32),
];

fn activated_product(g: &Graph) {
    let (a, b, c) = (g.input("a", [32, 64]), g.input("b", [64, 25]), g.input("c", [25]));
    g.output("y", (a.matmul(b) + c).relu());
}

fn product(g: &Graph) {
    g.output("y", g.input("a", [128, 128]).matmul(g.input("b", [128, 128])));
}

fn step(g: &Graph) {
    let loss = models::classifier(g, 32, 64, &[25, 15, 10]);
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

/// Compiles a kernel and runs it, where valgrind counts.
fn watched(name: &str) -> Result<(), Failure> {
    let &(_, write, inputs, labels) =
        KERNELS.iter().find(|kernel| kernel.0 == name).ok_or("no such kernel")?;
    let graph = Graph::new();
    write(&graph);
    let program = Arc::new(Program::compile(&graph, &Options::default())?);
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store)?;
    let values = |&n: &usize| (0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let arrays: Vec<Vec<f32>> = inputs.iter().map(values).collect();
    let classes: Vec<i32> = (0..labels).map(|i| (i * 7 % 10) as i32).collect();
    let mut views: Vec<ArrayRef<'_>> = arrays.iter().map(|a| ArrayRef::F32(a)).collect();
    if labels > 0 {
        views.push(ArrayRef::I32(&classes));
    }
    let slots = &program.executable().plan().outputs;
    let mut outputs: Vec<Vec<f32>> =
        slots.iter().map(|slot| vec![0.0; slot.ty.shape.elements()]).collect();
    let mut outputs: Vec<ArrayMut<'_>> = outputs.iter_mut().map(|o| ArrayMut::F32(o)).collect();
    session.run(&mut store, &views, &mut outputs)?;
    counted_runs(&mut session, &mut store, &views, &mut outputs)
}

/// Counting begins and ends with this function, which is told to valgrind by name.
#[inline(never)]
fn counted_runs(
    session: &mut Session,
    store: &mut Store,
    inputs: &[ArrayRef<'_>],
    outputs: &mut [ArrayMut<'_>],
) -> Result<(), Failure> {
    for _ in 0..RUNS {
        session.run(store, inputs, outputs)?;
    }
    Ok(())
}

/// Instructions of one run under valgrind.
fn count(name: &str, isa: Isa) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_runs*")
        .arg(std::env::current_exe()?)
        .args(["--watched", name])
        .env(ISA_VARIABLE, isa.name())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(told.into());
    }
    let collected = told.lines().find_map(|line| line.split("Collected :").nth(1));
    let total: u64 = collected.ok_or("valgrind told no count")?.trim().parse()?;
    if total == 0 {
        return Err("valgrind did not find the function to count in".into());
    }
    Ok(total / RUNS)
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(name) = arguments.watched {
        return watched(&name);
    }
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        println!("skipped: there is no valgrind, which counts the instructions");
        return Ok(());
    }
    let isa = match arguments.isa {
        Set::Avx2 => Isa::Avx2,
        Set::Clif => Isa::Clif,
    };
    for (name, ..) in KERNELS {
        let names = &arguments.names;
        if !names.is_empty() && !names.iter().any(|part| name.contains(part)) {
            continue;
        }
        let count = count(name, isa)?;
        if arguments.json {
            let isa = isa.name();
            println!(
                "{}",
                serde_json::json!({ "kernel": name, "isa": isa, "instructions": count })
            );
        } else {
            println!("{name:<28} {isa:<6} {count:>10} instructions");
        }
    }
    Ok(())
}
