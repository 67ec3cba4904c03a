//! Whole train steps, compile times, memory, and code of both back ends side by side.

use crate::hand::{CHAINS, multiply_add_128};
use crate::ours::{Ours, config, labels, noise, plan};
use crate::timing::{contender, race};
use crate::{Bench, Failure, Sense, models, us};
use eggrad::jit::{Aligned, Isa, States, compile};
use eggrad::prelude::*;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Floating-point operations of a train step of W2 with 32 rows.
const W2_FLOPS: f64 = 408e3;

/// All gates of this file.
pub(crate) fn gates(bench: &mut Bench) {
    for isa in [Isa::Avx512, Isa::Avx2, Isa::Clif] {
        let measured = step_and_kernels(bench, isa);
        bench.attempt(measured);
    }
    for gate in [step_and_peak, compile_times, both_back_ends, first_steps, memory] {
        let measured = gate(bench);
        bench.attempt(measured);
    }
}

/// The train step of W2.
pub(crate) fn classifier_step(g: &Graph, rows: usize) {
    let loss = models::classifier(g, rows, 64, &[25, 15, 10]);
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

/// W2 with 32 rows.
pub(crate) fn classifier(isa: Isa, threads: usize) -> Result<Ours<2, 1>, Failure> {
    let inputs = [Aligned::from_slice(&noise(32 * 64, 1.0)), Aligned::from_slice(&labels(32, 10))];
    Ours::new(isa, threads, inputs, |g| classifier_step(g, 32))
}

/// A step takes little more than its kernels do.
fn step_and_kernels(bench: &mut Bench, isa: Isa) -> Result<(), Failure> {
    let name = "W2 step of 32 rows, sum of its kernels";
    if !bench.wants(name, isa) {
        return Ok(());
    }
    const RUNS: usize = 300;
    let mut step = classifier(isa, 1)?;
    let count = step.executable().kernels().len();
    let mut whole = f64::INFINITY;
    let mut kernels = vec![f64::INFINITY; count];
    let mut clock = f64::INFINITY;
    for _ in 0..bench.rounds {
        let start = Instant::now();
        (0..RUNS).for_each(|_| step.run());
        whole = whole.min(start.elapsed().as_secs_f64() / RUNS as f64);
        let mut times = vec![Duration::ZERO; count];
        (0..RUNS).for_each(|_| step.run_timed(&mut times));
        for (least, time) in kernels.iter_mut().zip(times) {
            *least = least.min(time.as_secs_f64() / RUNS as f64);
        }
        let mut nothing = Duration::ZERO;
        (0..RUNS).for_each(|_| nothing += black_box(Instant::now()).elapsed());
        clock = clock.min(nothing.as_secs_f64() / RUNS as f64);
    }
    // What reading the clock adds is not theirs.
    let sum: f64 = kernels.iter().map(|time| (time - clock).max(0.0)).sum();
    let detail = format!("{}, {count} kernels {}", us(whole), us(sum));
    bench.gate(name, isa, Sense::Max, whole / sum, 1.25, &detail);
    Ok(())
}

/// Code with vectors of 128 bits comes near what those can do.
fn step_and_peak(bench: &mut Bench) -> Result<(), Failure> {
    let (name, isa) = ("W2 step of 32 rows, time at 128-bit peak", Isa::Clif);
    if !bench.wants(name, isa) {
        return Ok(());
    }
    let mut step = classifier(isa, 1)?;
    let turns = 500;
    let peak = || {
        // SAFETY: the bench runs where there are AVX2 and fused multiply-add.
        black_box(unsafe { multiply_add_128(black_box(turns), 0.999) });
    };
    let times = race(bench.rounds, vec![contender(|| step.run()), contender(peak)]);
    let speed = (2 * turns * CHAINS * 4) as f64 / times[1].least;
    let ideal = W2_FLOPS / speed;
    let detail = format!("{}, at {:.0} GFLOP/s {}", us(times[0].least), speed / 1e9, us(ideal));
    bench.gate(name, isa, Sense::Max, times[0].least / ideal, 1.75, &detail);
    Ok(())
}

/// Machine code is made in little time. The ratio is of the time and the time allowed.
fn compile_times(bench: &mut Bench) -> Result<(), Failure> {
    let (each, whole) =
        ("code of the slowest kernel of W2, 0.2 ms", "machine code of a step of W2, 5 ms");
    for isa in [Isa::Avx512, Isa::Avx2] {
        if !bench.wants(each, isa) && !bench.wants(whole, isa) {
            continue;
        }
        let (mut least, mut functions) = (f64::INFINITY, vec![]);
        for round in 0..bench.rounds {
            // What the process has made before is not made again: each round has other sizes.
            let plan = plan(|g| classifier_step(g, 32 + round))?;
            let executable = compile(&plan, &config(isa, 1))?;
            let report = executable.report();
            least = least.min(report.time.as_secs_f64());
            functions.resize(report.functions.len(), (f64::INFINITY, String::new()));
            let made = functions.iter_mut().zip(&report.functions).filter(|(_, f)| !f.cached);
            for (best, function) in made {
                *best = (best.0.min(function.time.as_secs_f64()), function.kernel.clone());
            }
        }
        functions.retain(|(time, _)| time.is_finite());
        let Some((slowest, kernel)) = functions.iter().max_by(|a, b| a.0.total_cmp(&b.0)) else {
            return Err("a step without kernels".into());
        };
        if bench.wants(each, isa) {
            let detail = format!("{}, {kernel}", us(*slowest));
            bench.gate(each, isa, Sense::Max, slowest / 2e-4, 1.0, &detail);
        }
        if bench.wants(whole, isa) {
            let detail = format!("{}, {} functions", us(least), functions.len());
            bench.gate(whole, isa, Sense::Max, least / 5e-3, 1.0, &detail);
        }
    }
    Ok(())
}

/// Code with 128-bit vectors runs at its own speed right after code with wider ones.
fn both_back_ends(bench: &mut Bench) -> Result<(), Failure> {
    let name = "128-bit code after wide code, time of alone";
    let x = noise(1 << 11, 5.0);
    let chain = |isa: Isa| -> Result<Ours<1, 1>, Failure> {
        Ours::new(isa, 1, [Aligned::from_slice(&x)], |g| models::chain_forward(g, x.len()))
    };
    for isa in [Isa::Avx512, Isa::Avx2] {
        if !bench.wants(name, isa) {
            continue;
        }
        let (mut narrow, mut wide) = (chain(Isa::Clif)?, chain(isa)?);
        let (mut narrow_too, mut wide_too) = (chain(Isa::Clif)?, chain(isa)?);
        let times = race(
            bench.rounds,
            vec![
                contender(|| narrow.run()),
                contender(|| wide.run()),
                contender(|| {
                    wide_too.run();
                    narrow_too.run();
                }),
            ],
        );
        let after = times[2].least - times[1].least;
        let detail = format!("{} and {}", us(after), us(times[0].least));
        bench.gate(name, isa, Sense::Max, after / times[0].least, 1.1, &detail);
    }
    Ok(())
}

/// From the start of a process to the end of its first step. The ratio is of the time and the time allowed.
fn first_steps(bench: &mut Bench) -> Result<(), Failure> {
    for (workload, limit) in [("W2", 0.025), ("W5", 0.1)] {
        let name = format!("first step of {workload}, {} ms", limit * 1e3);
        for isa in [Isa::Avx512, Isa::Avx2, Isa::Clif] {
            if !bench.wants(&name, isa) {
                continue;
            }
            let mut least = f64::INFINITY;
            for _ in 0..bench.rounds {
                let mut command = std::process::Command::new(std::env::current_exe()?);
                command.args(["--first-step", workload]);
                let output = command.env(eggrad::jit::ISA_VARIABLE, isa.name()).output()?;
                if !output.status.success() {
                    return Err(String::from_utf8_lossy(&output.stderr).into());
                }
                least = least.min(String::from_utf8(output.stdout)?.trim().parse()?);
            }
            bench.gate(&name, isa, Sense::Max, least / limit, 1.0, &us(least));
        }
    }
    Ok(())
}

/// Writes, compiles and runs the train step of a workload, and prints the seconds since `start`.
pub(crate) fn first_step(workload: &str, start: Instant) -> Result<(), Failure> {
    let graph = Graph::new();
    let (features, rows) = match workload {
        "W2" => {
            classifier_step(&graph, 32);
            (noise(32 * 64, 1.0), 32)
        }
        "W5" => {
            let loss = models::cnn(&graph, 64);
            graph.output("loss", loss);
            Adam::new(1e-3).minimize(loss);
            (noise(64 * 28 * 28, 1.0), 64)
        }
        name => return Err(format!("the first step of {name} is not measured").into()),
    };
    let program = Arc::new(Program::compile(&graph, &Options::default())?);
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store)?;
    let (labels, mut loss) = (labels(rows, 10), [0.0f32]);
    let inputs = [ArrayRef::F32(&features), ArrayRef::I32(&labels)];
    session.run(&mut store, &inputs, &mut [ArrayMut::F32(&mut loss)])?;
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

/// What 10,000 compiles, runs and drops leave behind. The ratio is of the bytes and 8 MiB.
fn memory(bench: &mut Bench) -> Result<(), Failure> {
    let (name, isa) = ("10,000 compiles dropped, 8 MiB", bench.widest());
    if !bench.wants(name, isa) || !cfg!(target_os = "linux") {
        return Ok(());
    }
    let resident = || -> Result<f64, Failure> {
        let text = std::fs::read_to_string("/proc/self/statm")?;
        Ok(text.split(' ').nth(1).ok_or("no resident size")?.parse::<f64>()? * 4096.0)
    };
    let (x, size) = (noise(64, 1.0), 64);
    let plan = plan(|g| models::chain_forward(g, size))?;
    let mut out = vec![0.0f32; size];
    let mut cycle = || -> Result<(), Failure> {
        let executable = compile(&plan, &config(isa, 1))?;
        let mut states = States { arrays: &mut [], map: &[], version: 0 };
        let outputs = &mut [ArrayMut::F32(&mut out)];
        Ok(executable.run(
            &mut executable.workspace()?,
            &[ArrayRef::F32(&x)],
            &mut states,
            outputs,
        )?)
    };
    (0..100).try_for_each(|_| cycle())?;
    let before = resident()?;
    (0..10_000).try_for_each(|_| cycle())?;
    let grown = (resident()? - before).max(0.0);
    let detail = format!("{:.0} KiB", grown / 1024.0);
    bench.gate(name, isa, Sense::Max, grown / f64::from(8 << 20), 1.0, &detail);
    Ok(())
}
