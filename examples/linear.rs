//! Why layers need a function between them: `cargo run --release --example linear`.
//!
//! Layers that only multiply and add are one layer in the end, however many they are. The compiler knows: with frozen
//! weights it multiplies the matrices once, before the first run. With a sigmoid behind, it is logistic regression.

use clap::Parser;
use eggrad::Round;
use eggrad::ndarray::{Array1, Array2, Axis, Ix2};
use eggrad::prelude::*;

/// Show that linear layers that follow each other are one.
#[derive(Parser)]
struct Args {
    /// Passes over the data in the second part.
    #[arg(long, default_value_t = 2000)]
    epochs: usize,
}

/// A network of three linear layers in a row, which predicts.
fn three(rewrite: bool) -> Result<Model, Error> {
    let layers = (Dense::new(64), Dense::new(32), Dense::new(3));
    let options = Options { rewrite, ..Options::default() };
    let mut model = Sequential::new(layers).input([10]).options(options);
    model.build()?;
    // Biases begin at 0, where they would show nothing.
    for (layer, units) in [("dense_1", 64), ("dense_2", 32), ("dense_3", 3)] {
        let bias = Array1::from_shape_fn(units, |i| (i as f32 * 0.7).sin());
        model.set_weight(&format!("{layer}.bias"), bias.view())?;
    }
    Ok(model)
}

/// Largest difference between two arrays.
fn far<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f32>) -> f32 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The one layer that it is: `x W1 W2 W3 + ((b1 W2) + b2) W3 + b3`.
fn one(model: &Model) -> Result<(Array2<f32>, Array2<f32>), Box<dyn std::error::Error>> {
    let weights = model.weights();
    let matrix = |path: &str| weights[path].clone().into_dimensionality();
    let row = |path: &str| weights[path].clone().insert_axis(Axis(0)).into_dimensionality::<Ix2>();
    let (mut w, mut b): (Array2<f32>, Array2<f32>) =
        (matrix("dense_1.weight")?, row("dense_1.bias")?);
    for layer in ["dense_2", "dense_3"] {
        let next: Array2<f32> = matrix(&format!("{layer}.weight"))?;
        b = b.dot(&next) + row(&format!("{layer}.bias"))?;
        w = w.dot(&next);
    }
    Ok((w, b))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();

    println!("three linear layers, 10-64-32-3, as written for 16 rows:\n");
    let model = three(true)?;
    let written = model.graph(Mode::Predict, 16)?.build()?.graph;
    println!("{written}");
    let explained = eggrad::explain(&written, &Options::default())?;
    println!("as compiled: one product with the input is left, the others are done once\n");
    println!("{}", explained.graph);
    println!("the proof:");
    for Round { explanation, .. } in &explained.rounds {
        for step in explanation.outputs.iter().flat_map(|output| explanation.steps_of(output)) {
            let (left, right) =
                (explanation.text(step.left, 200), explanation.text(step.right, 200));
            println!("  by {}:\n    {left}\n  = {right}", step.rule);
        }
    }

    let x = Array2::from_shape_fn((16, 10), |(i, j)| ((3 * i + 7 * j) % 11) as f32 / 5.0 - 1.0);
    let (w, b) = one(&model)?;
    let flat = x.dot(&w) + &b;
    println!("\nfrom one layer, computed by hand, the three differ by at most");
    println!("  {:.1e} as compiled", far(&model.predict(&x)?, &flat));
    println!(
        "  {:.1e} as written, which rounds in other places\n",
        far(&three(false)?.predict(&x)?, &flat)
    );

    // Two clouds of points that overlap.
    let x = Array2::from_shape_fn((200, 2), |(i, j)| {
        let chance = ((i * 2 + j) as f32 * 12.9898).sin() * 43_758.547;
        2.0 * (chance - chance.floor()) + if i % 2 == 0 { 0.0 } else { 0.9 }
    });
    let y = Array2::from_shape_fn((200, 1), |(i, _)| (i % 2) as f32);
    let fit = || Fit::epochs(args.epochs).batch(200);
    let mut deep = Sequential::new((Dense::new(8), Dense::new(4), Dense::new(1).sigmoid()));
    let mut regression = Sequential::new((Dense::new(1).sigmoid(),));
    for model in [&mut deep, &mut regression] {
        model.compile(BinaryCrossentropy::new(), Adam::new(0.05), Accuracy)?;
        model.fit(&x, &y, fit())?;
    }
    println!("three linear layers and a sigmoid:  {}", deep.evaluate(&x, &y)?);
    println!("logistic regression:                {}", regression.evaluate(&x, &y)?);
    let apart = far(&deep.predict(&x)?, &regression.predict(&x)?);
    println!("their probabilities differ by at most {apart:.5}");
    Ok(())
}
