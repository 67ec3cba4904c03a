//! Zero or one: a 64-25-15-1 network with a single sigmoid: `cargo run --release --example digits_binary`.

#[path = "digits/network.rs"]
#[allow(dead_code, reason = "only the data is of use here")]
mod network;

use clap::Parser;
use eggrad::prelude::*;
use std::path::PathBuf;

/// Tell images of 0 from images of 1.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training data.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// File for a picture of what the first layer looks for (.png or .svg).
    #[arg(long, value_name = "FILE")]
    units: Option<PathBuf>,
}

/// The images of 0 and 1 alone.
fn two(data: &Dataset) -> Dataset {
    data.split(|row| data.labels()[row] < 2).0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (train, test) = network::data()?;
    let (train, test) = (two(&train), two(&test));

    let mut model = Sequential::new((
        Dense::new(25).sigmoid(),
        Dense::new(15).sigmoid(),
        Dense::new(1).sigmoid(),
    ))
    .input([64])
    .seed(args.seed);
    model.compile(BinaryCrossentropy::new(), Adam::new(0.01), Accuracy)?;
    println!("{}\n", model.summary()?);
    let history = model.fit(train.x(), train.y(), Fit::epochs(args.epochs).seed(args.seed))?;
    println!("{} images to train on:  loss {:.4}", train.rows(), history.last("loss"));
    println!("{} images held out:     {}\n", test.rows(), model.evaluate(test.x(), test.y())?);

    println!("inside, for an image of {}:", test.labels()[0]);
    println!("{}", model.inside(test.x())?);
    if let (Some(file), Some(weight)) = (&args.units, model.weight("dense_1.weight")) {
        let weight: Vec<f32> = weight.iter().copied().collect();
        ImageGrid::of_units(&weight, 8, 8)?.save(file, 8)?;
        println!("what the first layer looks for: {}", file.display());
    }
    Ok(())
}
