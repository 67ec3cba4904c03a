//! Gates for kernels: `cargo bench --bench kernels`, or those whose name contains a word: `-- product`.
//!
//! Each gate is a ratio of two times that are taken in turn in this process: of ours and a loop written by hand with
//! intrinsics, a library, or what the processor can do at most. `docs/measuring.md` says how to read it. A gate that
//! does not hold is shown as such; the process ends well all the same, because a busy machine is no mistake. Wrong values
//! are one.

#[cfg(target_arch = "x86_64")]
mod elementwise;
#[cfg(target_arch = "x86_64")]
mod hand;
#[cfg(target_arch = "x86_64")]
mod libraries;
#[allow(dead_code, reason = "some models are measured by other benches alone")]
#[path = "../workloads/models.rs"]
mod models;
mod ours;
#[cfg(target_arch = "x86_64")]
mod products;
#[cfg(target_arch = "x86_64")]
mod rows;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(target_arch = "x86_64")]
mod steps;
#[cfg(target_arch = "x86_64")]
mod threads;
mod timing;

use clap::{Parser, ValueEnum};
use eggrad::jit::Isa;
#[cfg(target_arch = "x86_64")]
use hand::Hand;

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Arguments {
    /// Parts of names of gates; all of them if none is given.
    names: Vec<String>,
    /// Only gates of these instruction sets; all that the processor has if none is given.
    #[arg(long)]
    isa: Vec<Set>,
    /// Prints a line of JSON for each gate.
    #[arg(long)]
    json: bool,
    /// How often each contender has its turn.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Measures the time to the end of the first step of W2 or W5, here.
    #[arg(long, hide = true)]
    first_step: Option<String>,
    /// As cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// An instruction set that gates are about.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Set {
    Avx512,
    Avx2,
    Clif,
}

impl Set {
    fn isa(self) -> Isa {
        match self {
            Set::Avx512 => Isa::Avx512,
            Set::Avx2 => Isa::Avx2,
            Set::Clif => Isa::Clif,
        }
    }
}

/// Whether a ratio must not be above its bound, or not below.
#[derive(Clone, Copy)]
enum Sense {
    Max,
    Min,
}

/// What is measured, and how it is told.
struct Bench {
    names: Vec<String>,
    sets: Vec<Set>,
    json: bool,
    rounds: usize,
    held: usize,
    missed: usize,
    /// Gates that could not be measured, mostly because values were wrong.
    failed: usize,
}

impl Bench {
    /// Whether any gate of this name is asked for with these instructions.
    fn wants(&self, name: &str, isa: Isa) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|part| name.contains(part));
        named && self.sets.iter().any(|set| set.isa() == isa)
    }

    /// The instructions of gates that are the same for all: the widest asked for.
    fn widest(&self) -> Isa {
        self.sets[0].isa()
    }

    /// Goes on with the other gates where one could not be measured.
    fn attempt(&mut self, measured: Result<(), Failure>) {
        if let Err(error) = measured {
            self.failed += 1;
            eprintln!("FAILED: {error}");
        }
    }

    /// Tells the ratio of a gate; `detail` is for people.
    fn gate(&mut self, name: &str, isa: Isa, sense: Sense, ratio: f64, bound: f64, detail: &str) {
        let (word, sign, holds) = match sense {
            Sense::Max => ("max", "<=", ratio <= bound),
            Sense::Min => ("min", ">=", ratio >= bound),
        };
        if holds {
            self.held += 1;
        } else {
            self.missed += 1;
        }
        if self.json {
            let line = serde_json::json!({
                "gate": name, "isa": isa.name(), "sense": word, "ratio": ratio, "bound": bound,
                "holds": holds,
            });
            println!("{line}");
        } else {
            let verdict = if holds { "holds" } else { "MISSED" };
            let isa = isa.name();
            println!("{name:<44} {isa:<7} {ratio:>8.3} {sign} {bound:<6} {verdict:<7} {detail}");
        }
    }

    /// Says something that is no gate, to people.
    fn note(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }
}

/// A time in microseconds, for people.
#[cfg(target_arch = "x86_64")]
fn us(seconds: f64) -> String {
    format!("{:.2} us", seconds * 1e6)
}

#[cfg(target_arch = "x86_64")]
fn main() -> Result<(), Failure> {
    let start = std::time::Instant::now();
    let arguments = Arguments::parse();
    if let Some(workload) = arguments.first_step {
        return steps::first_step(&workload, start);
    }
    let mut sets = arguments.isa;
    if sets.is_empty() {
        sets = vec![Set::Avx512, Set::Avx2, Set::Clif];
    }
    for set in &sets {
        if !set.isa().is_available() {
            eprintln!("skipped: this processor does not have {}", set.isa());
        }
    }
    sets.retain(|set| set.isa().is_available());
    let Some(best) = Hand::widest() else {
        eprintln!("skipped: the hand-written loops need AVX2 and fused multiply-add");
        return Ok(());
    };
    if sets.is_empty() {
        return Ok(());
    }
    let (names, json, rounds) = (arguments.names, arguments.json, arguments.rounds.max(1));
    let mut bench = Bench { names, sets, json, rounds, held: 0, missed: 0, failed: 0 };
    machine(&bench, best);
    elementwise::gates(&mut bench, best);
    rows::gates(&mut bench, best);
    products::gates(&mut bench);
    steps::gates(&mut bench);
    threads::gates(&mut bench);
    bench.note(&format!("{} gates hold, {} do not", bench.held, bench.missed));
    match bench.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} gates could not be measured").into()),
    }
}

/// What the machine can do, for people.
#[cfg(target_arch = "x86_64")]
fn machine(bench: &Bench, hand: Hand) {
    use std::hint::black_box;
    use timing::{contender, race};
    if bench.json || !bench.names.is_empty() {
        return;
    }
    let turns = 1000;
    let megabyte = vec![1.0f32; 1 << 18];
    let large = vec![1.0f32; 1 << 25];
    let mut copy = vec![0.0f32; 1 << 25];
    let times = race(
        bench.rounds,
        vec![
            contender(|| hand.multiply_add(black_box(turns), 0.999)),
            contender(|| hand.sum(&megabyte)),
            contender(|| hand.sum(&large)),
            contender(|| hand.scale_and_shift(&large, &mut copy)),
        ],
    );
    let flops = (2 * turns * hand::CHAINS * hand.lanes()) as f64;
    println!(
        "machine: {:.0} GFLOP/s with vectors of {} bits; reads {:.1} GB/s of 1 MiB, {:.1} of 128 MiB; copies {:.1}",
        flops / times[0].least / 1e9,
        32 * hand.lanes(),
        4e-9 * megabyte.len() as f64 / times[1].least,
        4e-9 * large.len() as f64 / times[2].least,
        4e-9 * large.len() as f64 / times[3].least,
    );
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("skipped: the hand-written loops are for x86-64");
}
