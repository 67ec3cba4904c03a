//! A number instead of a class: how far diabetes comes in a year: `cargo run --release --example diabetes`.
//!
//! Ten things known of each of 442 people. A straight line through them is hard to beat: there are few people, and much
//! that nobody measured.

mod datasets;

use clap::Parser;
use eggrad::ndarray::{Array1, Array2, Axis};
use eggrad::prelude::*;

/// Predict the state of people with diabetes a year later, with a line and with a network.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most passes over the data.
    #[arg(long, default_value_t = 400)]
    epochs: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let data = datasets::diabetes()?;
    let (rows, columns) = (data.targets.len(), data.columns.len());
    let x = Array2::from_shape_vec((rows, columns), data.features)?;
    // In hundreds, so that the network begins near to what it shall say.
    let y = Array1::from(data.targets) / 100.0;
    let (test, train): (Vec<usize>, Vec<usize>) = (0..rows).partition(|row| row % 5 == 4);
    let (x, held_x) = (x.select(Axis(0), &train), x.select(Axis(0), &test));
    let (y, held_y) = (y.select(Axis(0), &train), y.select(Axis(0), &test));
    println!(
        "{} people to learn from, {} held out; {}\n",
        y.len(),
        test.len(),
        data.columns.join(", ")
    );

    let scaled = || Normalization::adapt(&x, columns);
    let line = Sequential::new((scaled(), Dense::new(1).l2(1e-3)));
    let network =
        Sequential::new((scaled(), Dense::new(16).relu().l2(1e-2), Dense::new(1).l2(1e-2)));
    for (name, model) in [("a line", line), ("a network", network)] {
        let mut model = model.seed(args.seed);
        model.compile(MeanSquaredError, Adam::new(0.01), (R2, Mae))?;
        let stop = EarlyStopping::new("val_loss").patience(30).restore_best();
        let fit = Fit::epochs(args.epochs).seed(args.seed).validation_split(0.15).callback(stop);
        let history = model.fit(&x, &y, fit)?;
        let reached = model.evaluate(&held_x, &held_y)?;
        println!("{name}, {} epochs", history.epochs.len());
        println!(
            "  held out: R2 {:.3}, off by {:.1} on average",
            reached.get("r2"),
            100.0 * reached.get("mae")
        );
        let said = model.predict(&held_x)?;
        let pairs = said.iter().zip(&held_y).take(5);
        let pairs: Vec<String> =
            pairs.map(|(p, y)| format!("{:.0} ({:.0})", 100.0 * p, 100.0 * y)).collect();
        println!("  said (was): {}", pairs.join(", "));
    }
    Ok(())
}
