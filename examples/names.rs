//! A recurrent network invents first names: `cargo run --release --example names`.
//!
//! An LSTM reads a name letter by letter and says after each which letter comes next, or that the name is over. Asked
//! again and again with what it has said, it invents names.

mod datasets;

use clap::Parser;
use eggrad::ndarray::Array2;
use eggrad::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Train an LSTM on 5,163 first names and let it invent some.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights, of the order of rows and of the names.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the names.
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    /// Names to invent.
    #[arg(long, default_value_t = 20)]
    invent: usize,
}

/// Longest name, with its end.
const LENGTH: usize = 14;
/// The end of a name; letters are 1 to 26. A name begins after an end.
const END: i32 = 0;
/// What is to be said after the end, which does not count.
const NOTHING: i32 = -1;

fn letters(name: &str) -> Vec<i32> {
    name.bytes().map(|letter| i32::from(letter - b'a') + 1).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let names = datasets::first_names()?;
    let known: Vec<Vec<i32>> = names.iter().map(|name| letters(name)).collect();
    let count = known.len();
    // What is read: an end, then the letters. What is to be said: the letters, then an end.
    let x = Array2::from_shape_fn((count, LENGTH), |(row, i)| match i {
        0 => END,
        _ => known[row].get(i - 1).copied().unwrap_or(END),
    });
    let y = Array2::from_shape_fn((count, LENGTH), |(row, i)| {
        let after = if i == known[row].len() { END } else { NOTHING };
        known[row].get(i).copied().unwrap_or(after)
    });

    let mut model = Sequential::new((
        Embedding::new(27, 24),
        Lstm::new(96).sequences(),
        Dense::new(27).softmax(),
    ))
    .input_integers([LENGTH])
    .seed(args.seed);
    let loss = SparseCategoricalCrossentropy::new().ignore(NOTHING);
    model.compile(loss, Adam::new(5e-3).clip_global_norm(1.0), Accuracy)?;
    println!("{}\n", model.summary()?);
    model.fit(&x, &y, Fit::epochs(args.epochs).batch(64).seed(args.seed).print())?;

    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    println!("\ninvented (a star: there is such a name)");
    for _ in 0..args.invent {
        let mut name: Vec<i32> = vec![];
        while name.len() < LENGTH {
            let row = Array2::from_shape_fn((1, LENGTH), |(_, i)| match i {
                0 => END,
                _ => name.get(i - 1).copied().unwrap_or(END),
            });
            let made = model.predict(row)?;
            let mut left = rng.random::<f32>();
            let chosen = (0..27).find(|&c| {
                left -= made[[0, name.len(), c as usize]];
                left <= 0.0
            });
            match chosen {
                None | Some(END) => break,
                Some(letter) => name.push(letter),
            }
        }
        let star = if known.contains(&name) { "*" } else { "" };
        let text: String = name.iter().map(|&l| char::from(b'a' + (l - 1) as u8)).collect();
        print!("{text}{star}  ");
    }
    println!();
    Ok(())
}
