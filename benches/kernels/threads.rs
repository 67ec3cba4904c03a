//! Two threads: where work is large they pay, where it is small they cost nothing.

use crate::ours::{Ours, labels, noise};
use crate::steps::classifier;
use crate::timing::{Time, contender, race};
use crate::{Bench, Failure, Sense, models, products, us};
use eggrad::jit::{Aligned, Isa};
use eggrad::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// All gates of this file.
pub(crate) fn gates(bench: &mut Bench) {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        eprintln!("skipped: gates of 2 threads, on a machine of one core");
        return;
    }
    for gates in [product, small_loops, small_steps, large_steps] {
        let measured = gates(bench);
        bench.attempt(measured);
    }
}

fn product(bench: &mut Bench) -> Result<(), Failure> {
    let size = 512;
    let arrays = || {
        let square = || Aligned::from_slice(&noise(size * size, 1.0));
        [square(), square(), Aligned::from_slice(&noise(size, 1.0))]
    };
    let write = |g: &Graph| products::write(g, false, (false, false), (size, size, size));
    pays(bench, "2 threads on a b of 512x512x512, speed of one", arrays, write)
}

/// Ten microseconds of work, alone and beside other threads.
fn small_loops(bench: &mut Bench) -> Result<(), Failure> {
    let isa = bench.widest();
    let alone = "2 threads on 2 x 5 us, time of 5 us";
    let crowded = "2 threads beside a spinning one, time of one";
    let wanted = (bench.wants(alone, isa), bench.wants(crowded, isa));
    if wanted == (false, false) {
        return Ok(());
    }
    let rows = rows_of_ten_microseconds(isa)?;
    let arrays = || [Aligned::from_slice(&noise(rows * WIDTH, 5.0))];
    if wanted.0 {
        let [one, two] = pair::<1, 1>(bench, isa, arrays, |g| rows_step(g, rows))?;
        let detail = format!("{} and {}, {rows} rows", us(two.least), us(one.least));
        bench.gate(alone, isa, Sense::Max, 2.0 * two.least / one.least, 1.4, &detail);
    }
    if wanted.1 {
        let [one, two] =
            beside_others(|| pair::<1, 1>(bench, isa, arrays, |g| rows_step(g, rows)))?;
        let detail = format!("{} and {}, medians", us(two.median), us(one.median));
        bench.gate(crowded, isa, Sense::Max, two.median / one.median, 1.3, &detail);
    }
    Ok(())
}

/// Steps that are too small to share are no slower for it.
fn small_steps(bench: &mut Bench) -> Result<(), Failure> {
    let isa = bench.widest();
    let targets: Vec<f32> = labels(32, 2).into_iter().map(|label| label as f32).collect();
    let features =
        |count| [noise(count, 1.0), targets.clone()].map(|array| Aligned::from_slice(&array));
    for workload in ["W1", "W2", "W6"] {
        let name = format!("{workload} step on 2 threads, time on one");
        if !bench.wants(&name, isa) {
            continue;
        }
        let [one, two] = match workload {
            "W1" => pair::<2, 1>(bench, isa, || features(64), |g| adam(models::coffee(g, 32)))?,
            "W2" => turns(bench, [classifier(isa, 1)?, classifier(isa, 2)?]),
            _ => pair::<2, 1>(bench, isa, || features(3200), |g| adam(models::ecg(g, 32)))?,
        };
        let detail = format!("{} and {}", us(two.least), us(one.least));
        bench.gate(&name, isa, Sense::Max, two.least / one.least, 1.05, &detail);
    }
    Ok(())
}

/// Large steps and streams are faster for it.
fn large_steps(bench: &mut Bench) -> Result<(), Failure> {
    let name = |workload: &str| format!("{workload} on 2 threads, speed of one");
    let batch = |features: usize, rows: usize, classes: usize| {
        let features = Aligned::from_slice(&noise(features, 1.0));
        [features, Aligned::from_slice(&labels(rows, classes))]
    };
    let step = models::classifier;
    let w3 = |g: &Graph| adam(step(g, 128, 784, &[512, 256, 10]));
    pays(bench, &name("W3 step"), || batch(128 * 784, 128, 10), w3)?;
    let w4 = |g: &Graph| adam(step(g, 256, 1024, &[2048, 2048, 1000]));
    pays(bench, &name("W4 step"), || batch(256 * 1024, 256, 1000), w4)?;
    let w5 = |g: &Graph| adam(models::cnn(g, 64));
    pays(bench, &name("W5 step"), || batch(64 * 28 * 28, 64, 10), w5)?;
    let elements = 1 << 24;
    let long = || [Aligned::from_slice(&noise(elements, 5.0))];
    pays(bench, &name("W7 chain of 16M"), long, |g| models::chain_forward(g, elements))?;
    let hidden = |i: usize| if i % 64 > i / 64 { f32::NEG_INFINITY } else { 0.0 };
    let text = || {
        let mask: Vec<f32> = (0..64 * 64).map(hidden).collect();
        let tokens = || Aligned::from_slice(&labels(512, 65));
        [tokens(), Aligned::from_slice(&mask), tokens()]
    };
    pays(bench, &name("W8 step"), text, |g| adam(models::gpt(g, 8)))
}

/// Makes a train step of a loss.
fn adam(loss: Tensor<'_>) {
    loss.graph().output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

/// Two threads are at least 1.7 times as fast as one.
fn pays<const INPUTS: usize>(
    bench: &mut Bench,
    name: &str,
    inputs: impl Fn() -> [Aligned; INPUTS],
    write: impl Fn(&Graph),
) -> Result<(), Failure> {
    let isa = bench.widest();
    if !bench.wants(name, isa) {
        return Ok(());
    }
    let [one, two] = pair::<INPUTS, 1>(bench, isa, inputs, write)?;
    let detail = format!("{} and {}", us(two.least), us(one.least));
    bench.gate(name, isa, Sense::Min, one.least / two.least, 1.7, &detail);
    Ok(())
}

/// Times of a graph on one thread and on two.
fn pair<const INPUTS: usize, const OUTPUTS: usize>(
    bench: &Bench,
    isa: Isa,
    inputs: impl Fn() -> [Aligned; INPUTS],
    write: impl Fn(&Graph),
) -> Result<[Time; 2], Failure> {
    let mut one: Ours<INPUTS, OUTPUTS> = Ours::new(isa, 1, inputs(), &write)?;
    let mut two: Ours<INPUTS, OUTPUTS> = Ours::new(isa, 2, inputs(), &write)?;
    one.run();
    two.run();
    for i in 0..OUTPUTS {
        assert!(one.output(i) == two.output(i), "two threads compute other values than one");
    }
    Ok(turns(bench, [one, two]))
}

fn turns<const INPUTS: usize, const OUTPUTS: usize>(
    bench: &Bench,
    [mut one, mut two]: [Ours<INPUTS, OUTPUTS>; 2],
) -> [Time; 2] {
    let times = race(bench.rounds, vec![contender(|| one.run()), contender(|| two.run())]);
    [times[0], times[1]]
}

/// Elements of a row.
const WIDTH: usize = 256;

/// Rows that are worked on one by one, which is what threads share.
fn rows_step(g: &Graph, rows: usize) {
    g.output("y", g.input("x", [rows, WIDTH]).softmax(1));
}

/// How many rows take about 10 us on one thread.
fn rows_of_ten_microseconds(isa: Isa) -> Result<usize, Failure> {
    let rows = 64;
    let inputs = [Aligned::from_slice(&noise(rows * WIDTH, 5.0))];
    let mut ours: Ours<1, 1> = Ours::new(isa, 1, inputs, |g| rows_step(g, rows))?;
    let time = race(15, vec![contender(|| ours.run())])[0].least;
    Ok((rows as f64 * 10e-6 / time).round().max(2.0) as usize)
}

/// Runs something while all cores but one are kept busy by threads that do nothing else.
fn beside_others<T>(run: impl FnOnce() -> T) -> T {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 1..cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let result = run();
        stop.store(true, Ordering::Relaxed);
        result
    })
}
