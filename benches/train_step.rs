//! Time of one train step of the digits network, and of making it: `cargo bench --bench train_step`.
//!
//! Reports the least and the median of many rounds on one thread. A timing is a report, never a test.

use eggrad::prelude::*;
use std::sync::Arc;
use std::time::Instant;

#[path = "../examples/digits/network.rs"]
#[allow(dead_code, reason = "the bench uses the train step alone")]
mod network;

const ROUNDS: usize = 31;
const STEPS: usize = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (train, _) = network::data()?;
    println!(
        "{:>5} {:>12} {:>12} {:>8} {:>12}",
        "rows", "step us min", "step us med", "kernels", "compile ms"
    );
    for rows in [1, 8, 32, 128] {
        let start = Instant::now();
        let mut model = network::model(0, &Options::default(), 1)?;
        model.compile(network::naive_cross_entropy(), Adam::new(1e-2), ())?;
        let graph = model.graph(Mode::Train, rows)?;
        let program = Arc::new(Program::compile(&graph, &Options::default())?);
        let mut store = Store::new(0);
        let mut session = Session::new(&program, &mut store)?;
        let compile_ms = start.elapsed().as_secs_f64() * 1e3;

        let images = &train.features()[..rows * train.columns()];
        let labels = &train.labels()[..rows];
        let mut loss = [0.0f32];
        let mut times = vec![];
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for _ in 0..STEPS {
                let inputs = [ArrayRef::F32(images), ArrayRef::I32(labels)];
                session.run(&mut store, &inputs, &mut [ArrayMut::F32(&mut loss)])?;
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / STEPS as f64);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{rows:>5} {:>12.2} {:>12.2} {:>8} {compile_ms:>12.2}",
            times[0],
            times[ROUNDS / 2],
            program.report().kernels
        );
    }
    Ok(())
}
