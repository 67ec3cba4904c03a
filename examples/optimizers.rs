//! Four optimizers on the same network, from the same weights: `cargo run --release --example optimizers`.
//!
//! All begin at the same place and see the same rows in the same order; the picture shows how the loss falls.

#[path = "digits/network.rs"]
#[allow(dead_code, reason = "only the data is of use here")]
mod network;

use clap::Parser;
use eggrad::prelude::*;
use eggrad::{Scale, XyPlot};
use std::path::PathBuf;

/// Train the same network with SGD and with Adam, and draw both losses into one picture.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training data.
    #[arg(long, default_value_t = 30)]
    epochs: usize,
    /// The picture (.svg).
    #[arg(long, default_value = "optimizers.svg", value_name = "FILE")]
    plot: PathBuf,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (train, test) = network::data()?;
    let train_with = |optimizer: Box<dyn Optimizer>| -> Result<History, Error> {
        let layers = (Dense::new(25).relu(), Dense::new(15).relu(), Dense::new(10).softmax());
        let mut model = Sequential::new(layers).seed(args.seed);
        model.compile(SparseCategoricalCrossentropy::new(), optimizer, Accuracy)?;
        let fit = Fit::epochs(args.epochs).seed(args.seed).validation(test.x(), test.y());
        model.fit(train.x(), train.y(), fit)
    };

    let mut plot = XyPlot::new("the same network, the same rows", "epoch", "loss")
        .scales(Scale::Whole, Scale::Log);
    println!("{:28}  loss      held out", "");
    let optimizers: [(&str, Box<dyn Optimizer>); 4] = [
        ("SGD, rate 0.1", Box::new(Sgd::new(0.1))),
        ("SGD with momentum, rate 0.02", Box::new(Sgd::new(0.02).momentum(0.9))),
        ("Adam, rate 0.001", Box::new(Adam::new(1e-3))),
        ("Adam, rate 0.01", Box::new(Adam::new(1e-2))),
    ];
    for (name, optimizer) in optimizers {
        let history = train_with(optimizer)?;
        let right = 100.0 * history.last("val_accuracy");
        println!("{name:28}  {:.5}   {right:.2} %", history.last("loss"));
        let points = history.epochs.iter().map(|epoch| (epoch.number as f64, epoch.loss()));
        plot = plot.line(name, points);
    }
    plot.save(&args.plot)?;
    println!("curves: {}", args.plot.display());
    Ok(())
}
