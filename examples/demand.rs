//! Will a T-shirt sell well? Four numbers, three ideas, one answer: `cargo run --release --example demand`.
//!
//! Whether it sells depends on three things nobody measured: whether people can pay it, know it, and think it good. The
//! hidden layer has three units and finds its own ideas of them.

use clap::Parser;
use eggrad::ndarray::{Array2, ArrayView1, Axis};
use eggrad::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Train a 4-3-1 network of sigmoids on made-up T-shirts.
#[derive(Parser)]
struct Args {
    /// Seed of the T-shirts, of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the data.
    #[arg(long, default_value_t = 200)]
    epochs: usize,
}

/// Price and shipping in dollars, marketing in thousands of dollars, quality of the material from 0 to 10.
fn shirts(count: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ranges = [5.0..40.0, 0.0..12.0, 0.0..50.0, 0.0..10.0];
    Array2::from_shape_fn((count, 4), |(_, j)| rng.random_range(ranges[j].clone()))
}

/// A shirt sells if it is cheap, known and good: at least two of the three, a dear shirt seeming better.
fn sells(shirt: ArrayView1<'_, f32>) -> f32 {
    let [price, shipping, marketing, material] = [shirt[0], shirt[1], shirt[2], shirt[3]];
    let affordable = price + shipping < 28.0;
    let known = marketing > 20.0;
    let good = material + price / 10.0 > 7.0;
    f32::from([affordable, known, good].into_iter().filter(|&yes| yes).count() >= 2)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let x = shirts(2000, args.seed);
    let y = x.map_axis(Axis(1), sells);
    let unseen = shirts(500, args.seed + 1);
    let truth = unseen.map_axis(Axis(1), sells);

    let mut model = Sequential::new((
        Normalization::adapt(&x, 4),
        Dense::new(3).sigmoid().named("ideas"),
        Dense::new(1).sigmoid().named("sells"),
    ))
    .input([4])
    .seed(args.seed);
    model.compile(BinaryCrossentropy::new(), Adam::new(0.02), Accuracy)?;
    println!("{}\n", model.summary()?);
    let history = model.fit(&x, &y, Fit::epochs(args.epochs).seed(args.seed))?;
    println!("2,000 shirts to train on:  accuracy {:.4}", history.last("accuracy"));
    println!("500 shirts never seen:     {}\n", model.evaluate(&unseen, &truth)?);

    println!("a shirt of 15 dollars, 3 for shipping, 30,000 of marketing, material 8 of 10:");
    println!("{}", model.inside(&[[15.0f32, 3.0, 30.0, 8.0]])?);
    Ok(())
}
