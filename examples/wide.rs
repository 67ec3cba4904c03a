//! A million inputs: images of 1000 by 1000 pixels, flattened: `cargo run --release --example wide`.
//!
//! Are the stripes upright or lying? Images are drawn when they are needed, so that no more than a batch is in memory.

use clap::Parser;
use eggrad::ndarray::Array3;
use eggrad::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// Train a network of a million inputs to tell upright stripes from lying ones.
#[derive(Parser)]
struct Args {
    /// Seed of the images and of the initial weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of 8 images.
    #[arg(long, default_value_t = 20)]
    steps: usize,
}

/// Pixels along an edge.
const SIDE: usize = 1000;
/// Images of a step.
const BATCH: usize = 8;

/// Images of stripes 10 to 12 pixels wide with noise, and 1 where they stand upright.
fn images(rng: &mut ChaCha8Rng) -> (Array3<f32>, Vec<f32>) {
    let kinds: Vec<(bool, usize, usize)> = (0..BATCH)
        .map(|_| (rng.random(), rng.random_range(10..13), rng.random_range(0..4)))
        .collect();
    let x = Array3::from_shape_fn((BATCH, SIDE, SIDE), |(image, row, column)| {
        let (upright, width, shift) = kinds[image];
        let place = if upright { column } else { row } + shift;
        let stripe = if (place / width).is_multiple_of(2) { 1.0 } else { -1.0 };
        stripe + rng.random::<f32>() - 0.5
    });
    (x, kinds.iter().map(|kind| f32::from(kind.0)).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut model =
        Sequential::new((Flatten::new(), Dense::new(8).relu(), Dense::new(1).sigmoid()))
            .input([SIDE, SIDE])
            .seed(args.seed);
    model.compile(BinaryCrossentropy::new(), Adam::new(1e-6), Accuracy)?;
    println!("{}\n", model.summary()?);

    let start = Instant::now();
    let batches = |epoch: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed + epoch as u64);
        (0..args.steps).map(move |_| {
            let (x, y) = images(&mut rng);
            Batch::new(x, y)
        })
    };
    let history = model.fit_batches(batches, Fit::epochs(1))?;
    println!("first loss {:.4}, last loss {:.4}", history.first_loss, history.last_loss);
    println!(
        "{} steps in {:.1} s, {:.0} ms each",
        args.steps,
        start.elapsed().as_secs_f64(),
        history.median_step_us() / 1e3
    );
    let (x, y) = images(&mut ChaCha8Rng::seed_from_u64(args.seed + 1000));
    println!("8 images never seen: {}", model.evaluate(x, y)?);
    Ok(())
}
