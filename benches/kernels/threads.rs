//! Two threads: where work is large they pay, where it is small they cost nothing.

use crate::ours::{Ours, labels, noise};
use crate::steps::classifier;
use crate::timing::{Time, contender, race};
use crate::{Bench, Failure, Sense, models, products, us};
use eggrad::jit::{Aligned, Isa};
use eggrad::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// All gates of this file.
pub(crate) fn gates(bench: &mut Bench) -> Result<(), Failure> {
    let isa = bench.widest();
    let names = [
        "2 threads on a b of 512x512x512, speed of one",
        "2 threads on 2 x 5 us, time of 5 us",
        "2 threads beside a spinning one, time of one",
    ];
    let wanted = names.map(|name| bench.wants(name, isa));
    let steps = ["W1", "W2", "W6"].map(|w| (w, format!("{w} step on 2 threads, time on one")));
    if !wanted.contains(&true) && !steps.iter().any(|(_, name)| bench.wants(name, isa)) {
        return Ok(());
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bench.note("skipped: gates of 2 threads, on a machine of one core");
        return Ok(());
    }
    if wanted[0] {
        let size = 512;
        let arrays = || {
            let square = || Aligned::from_slice(&noise(size * size, 1.0));
            [square(), square(), Aligned::from_slice(&noise(size, 1.0))]
        };
        let write = |g: &Graph| products::write(g, false, (false, false), (size, size, size));
        let [one, two] = pair::<3, 1>(bench, isa, arrays, write)?;
        let detail = format!("{} and {}", us(two.least), us(one.least));
        bench.gate(names[0], isa, Sense::Min, one.least / two.least, 1.7, &detail);
    }
    if wanted[1] || wanted[2] {
        let rows = rows_of_ten_microseconds(isa)?;
        let arrays = || [Aligned::from_slice(&noise(rows * WIDTH, 5.0))];
        if wanted[1] {
            let [one, two] = pair::<1, 1>(bench, isa, arrays, |g| rows_step(g, rows))?;
            let detail = format!("{} and {}, {rows} rows", us(two.least), us(one.least));
            bench.gate(names[1], isa, Sense::Max, 2.0 * two.least / one.least, 1.4, &detail);
        }
        if wanted[2] {
            let [one, two] =
                beside_others(|| pair::<1, 1>(bench, isa, arrays, |g| rows_step(g, rows)))?;
            let detail = format!("{} and {}, medians", us(two.median), us(one.median));
            bench.gate(names[2], isa, Sense::Max, two.median / one.median, 1.3, &detail);
        }
    }
    for (workload, name) in steps {
        if !bench.wants(&name, isa) {
            continue;
        }
        let (write, features): (fn(&Graph) -> Tensor<'_>, usize) = match workload {
            "W1" => (|g| models::coffee(g, 32), 64),
            _ => (|g| models::ecg(g, 32), 3200),
        };
        let targets: Vec<f32> = labels(32, 2).into_iter().map(|l| l as f32).collect();
        let inputs = || [noise(features, 1.0), targets.clone()].map(|a| Aligned::from_slice(&a));
        let [one, two] = match workload {
            "W2" => turns(bench, [classifier(isa, 1)?, classifier(isa, 2)?]),
            _ => pair::<2, 1>(bench, isa, inputs, |g| {
                let loss = write(g);
                g.output("loss", loss);
                Adam::new(1e-3).minimize(loss);
            })?,
        };
        let detail = format!("{} and {}", us(two.least), us(one.least));
        bench.gate(&name, isa, Sense::Max, two.least / one.least, 1.05, &detail);
    }
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
