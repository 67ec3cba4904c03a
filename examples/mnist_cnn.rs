//! A convolutional network reads handwritten digits: `cargo run --release --example mnist_cnn`.
//!
//! Two convolutions look for small shapes in the image, pooling keeps where each was seen most clearly, and two dense
//! layers decide which of ten digits it is.

mod datasets;

use clap::Parser;
use eggrad::prelude::*;
use std::path::PathBuf;

/// Train a small convolutional network on 8,000 images of 28x28 pixels; test it on 2,000 others.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training images.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Train on the first so many images only.
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=8000))]
    images: u32,
    /// File for a picture of what the first layer looks for (.png or .svg).
    #[arg(long, value_name = "FILE")]
    kernels: Option<PathBuf>,
    /// File for the curves of loss and accuracy (.svg).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Show what every layer makes of the first test image.
    #[arg(long)]
    inside: bool,
}

/// Images of a step.
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (train, test) = datasets::mnist()?;
    let train = train.first(args.images as usize);

    let mut model = Sequential::new((
        Reshape::new([28, 28, 1]),
        Conv2d::new(32, 5).relu(),
        MaxPool2d::new(2),
        Conv2d::new(64, 3).relu(),
        MaxPool2d::new(2),
        Flatten::new(),
        Dense::new(64).relu(),
        Dense::new(10).softmax(),
    ))
    .input([28, 28])
    .seed(args.seed);
    // The rate grows at first and falls to 0 towards the end.
    let steps = (args.epochs * train.rows().div_ceil(BATCH)) as u64;
    let adam = Adam::new(3e-3).schedule(Schedule::cosine(steps).warmup(100));
    model.compile(SparseCategoricalCrossentropy::new(), adam, Accuracy)?;
    println!("{}\n", model.summary()?);

    let fit = Fit::epochs(args.epochs).batch(BATCH).seed(args.seed).print();
    let history = model.fit(train.x(), train.y(), fit.validation(test.x(), test.y()))?;
    let right = 100.0 * history.last("val_accuracy");
    println!("\n{right:.2} % of {} images held out are read correctly", test.rows());

    if args.inside {
        println!("\n{}", model.inside(test.x())?);
    }
    if let (Some(file), Some(kernels)) = (&args.kernels, model.weight("conv2d_1.weight")) {
        let kernels: Vec<f32> = kernels.iter().copied().collect();
        ImageGrid::of_units(&kernels, 5, 5)?.save(file, 12)?;
        println!("what the first layer looks for: {}", file.display());
    }
    if let Some(file) = &args.plot {
        history.plot(file)?;
        println!("curves: {}", file.display());
    }
    Ok(())
}
