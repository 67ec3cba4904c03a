//! Is there a car, a bus, a pedestrian? Any of them, or all: `cargo run --release --example street`.
//!
//! Three questions about one picture, three sigmoids. A softmax would have to choose one of them.

use clap::Parser;
use eggrad::ndarray::{Array2, Array3, Axis};
use eggrad::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Train a convolutional network on drawn streets.
#[derive(Parser)]
struct Args {
    /// Seed of the streets, of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the streets.
    #[arg(long, default_value_t = 12)]
    epochs: usize,
}

/// Pixels along an edge.
const SIDE: usize = 20;

/// What may stand in a street, from above to below: `#` is bright.
const THINGS: [(&str, &[&str]); 3] = [
    ("car", &["..###..", "#######", ".#...#."]),
    ("bus", &["########", "#.#.#.##", "########", ".#....#."]),
    ("pedestrian", &[".#.", "###", ".#.", ".#.", "#.#"]),
];

/// Streets with noise, and for each thing a 1 where it is there.
fn streets(count: usize, seed: u64) -> (Array3<f32>, Array2<i32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut x = Array3::from_shape_fn((count, SIDE, SIDE), |_| 0.3 * rng.random::<f32>());
    let mut y = Array2::zeros((count, THINGS.len()));
    for (mut street, mut there) in x.axis_iter_mut(Axis(0)).zip(y.axis_iter_mut(Axis(0))) {
        for (thing, (_, lines)) in THINGS.iter().enumerate() {
            if rng.random() {
                there[thing] = 1;
                let top = rng.random_range(0..=SIDE - lines.len());
                let left = rng.random_range(0..=SIDE - lines[0].len());
                for (row, line) in lines.iter().enumerate() {
                    for (column, _) in line.match_indices('#') {
                        street[[top + row, left + column]] = 1.0;
                    }
                }
            }
        }
    }
    (x, y)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (x, y) = streets(2000, args.seed);
    let (unseen, truth) = streets(500, args.seed + 1);

    let mut model = Sequential::new((
        Reshape::new([SIDE, SIDE, 1]),
        Conv2d::new(12, 5).relu(),
        Conv2d::new(16, 3).relu(),
        GlobalMaxPool::new(),
        Dense::new(THINGS.len()).sigmoid(),
    ))
    .input([SIDE, SIDE])
    .seed(args.seed);
    model.compile(BinaryCrossentropy::new(), Adam::new(5e-3), (Accuracy, F1))?;
    println!("{}\n", model.summary()?);
    let history = model.fit(&x, &y, Fit::epochs(args.epochs).seed(args.seed))?;
    println!("2,000 streets to train on:  loss {:.4}", history.last("loss"));
    println!("500 streets never seen:     {}", model.evaluate(&unseen, &truth)?);

    let said = model.predict(&unseen)?;
    for street in 0..3 {
        println!();
        for row in unseen.index_axis(Axis(0), street).rows() {
            let line: String = row.iter().map(|&v| if v > 0.5 { '#' } else { '.' }).collect();
            println!("  {line}");
        }
        for (thing, (name, _)) in THINGS.iter().enumerate() {
            let is = if truth[[street, thing]] == 1 { "there" } else { "not there" };
            println!("  {name}: p = {:.3}, {is}", said[[street, thing]]);
        }
    }
    Ok(())
}
