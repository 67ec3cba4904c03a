//! Heartbeats that are not normal, found by convolutions along time: `cargo run --release --example ecg`.
//!
//! A beat is 100 numbers. A window of 20 steps that moves on by 10 fits 9 times: 9 numbers from each filter. Over those a
//! window of 5 that moves on by 2 fits 3 times. A sigmoid over what is left says how likely it is that something is wrong.

mod datasets;

use clap::Parser;
use eggrad::prelude::*;

/// Train a convolutional network on 600 heartbeats of 100 steps; test it on 400 others.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training beats.
    #[arg(long, default_value_t = 40)]
    epochs: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (train, test) = datasets::ecg()?;

    let mut model = Sequential::new((
        Reshape::new([100, 1]),
        Conv1d::new(9, 20).stride(10).relu().named("window_20"),
        Conv1d::new(5, 5).stride(2).relu().named("window_5"),
        Flatten::new(),
        Dense::new(1).sigmoid(),
    ))
    .input([100])
    .seed(args.seed);
    let metrics = (Accuracy, Precision, Recall, Auc);
    model.compile(BinaryCrossentropy::new(), Adam::new(3e-3), metrics)?;
    let summary = model.summary()?;
    println!("{summary}\n");
    for layer in summary.layers.iter().filter(|layer| layer.kind == "conv1d") {
        let sizes = layer.output.as_ref().map_or(&[][..], |ty| ty.shape.dims());
        println!("{} sees {} places", layer.path, sizes.get(1).unwrap_or(&0));
    }

    let fit = Fit::epochs(args.epochs).batch(20).seed(args.seed);
    let history = model.fit(train.x(), train.y(), fit)?;
    println!("\n600 beats to train on:  loss {:.4}", history.last("loss"));
    println!("400 beats never seen:   {}", model.evaluate(test.x(), test.y())?);
    let said = model.predict(test.x())?;
    for (beat, (p, label)) in said.iter().zip(&test.labels).enumerate().take(6) {
        println!("beat {beat}: p(not normal) = {p:.3}, label {label}");
    }
    Ok(())
}
