//! Times of several contenders, taken in turn so that each meets the machine in the same moods.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one turn of a contender is, about.
const TURN: Duration = Duration::from_micros(1500);

/// What a contender took, in seconds for one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// In its best turn.
    pub(crate) least: f64,
    /// In the middle one.
    pub(crate) median: f64,
}

/// Something that runs.
pub(crate) type Contender<'a> = Box<dyn FnMut() + 'a>;

/// Boxes a contender; what it computes counts as used.
pub(crate) fn contender<'a, T>(mut run: impl FnMut() -> T + 'a) -> Contender<'a> {
    Box::new(move || drop(black_box(run())))
}

/// Times contenders in turn for so many rounds; each round begins with another of them.
pub(crate) fn race(rounds: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Time> {
    let runs: Vec<usize> = contenders.iter_mut().map(|run| runs_of_a_turn(run)).collect();
    let count = contenders.len();
    let mut times = vec![vec![]; count];
    for round in 0..rounds {
        for i in (0..count).map(|i| (i + round) % count) {
            let start = Instant::now();
            for _ in 0..runs[i] {
                contenders[i]();
            }
            times[i].push(start.elapsed().as_secs_f64() / runs[i] as f64);
        }
    }
    let time = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        Time { least: times[0], median: times[times.len() / 2] }
    };
    times.into_iter().map(time).collect()
}

/// How often a contender runs in a turn; warms it up as well.
fn runs_of_a_turn(run: &mut Contender<'_>) -> usize {
    run();
    let mut runs = 1;
    loop {
        let start = Instant::now();
        for _ in 0..runs {
            run();
        }
        let time = start.elapsed();
        if time >= TURN / 8 {
            return ((TURN.as_secs_f64() / time.as_secs_f64() * runs as f64) as usize).max(1);
        }
        runs *= 4;
    }
}
