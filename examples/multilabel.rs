//! Several answers at once: what a gene of yeast does: `cargo run --release --example multilabel`.
//!
//! Each of 14 labels is a question of its own, with a sigmoid and a binary cross-entropy; any number of them may be 1.

mod datasets;

use clap::Parser;
use eggrad::ndarray::Axis;
use eggrad::prelude::*;

/// Train a 103-64-14 network on 1,500 genes; test it on 917 others.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training genes.
    #[arg(long, default_value_t = 30)]
    epochs: usize,
}

/// Numbers of the labels for which `yes` says so.
fn labels(yes: impl Iterator<Item = bool>) -> String {
    let numbers = yes.enumerate().filter(|(_, yes)| *yes).map(|(label, _)| label.to_string());
    numbers.collect::<Vec<_>>().join(" ")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (train, test) = datasets::yeast()?;

    let mut model = Sequential::new((
        Normalization::adapt(&train.features, 103),
        Dense::new(64).relu(),
        Dropout::new(0.4),
        Dense::new(14).sigmoid(),
    ))
    .seed(args.seed);
    let metrics = (Accuracy, Precision, Recall, F1);
    model.compile(BinaryCrossentropy::new(), Adam::new(2e-3), metrics)?;
    model.fit(train.x(), train.y(), Fit::epochs(args.epochs).seed(args.seed))?;
    println!("{}\n", model.summary()?);

    // For each label, what is more frequent among the genes to train on.
    let ones = train.y().sum_axis(Axis(0));
    let often: Vec<bool> = ones.iter().map(|&count| 2 * count as usize > train.rows()).collect();
    let right = test.labels.iter().enumerate().filter(|(i, y)| often[i % 14] == (**y == 1)).count();
    println!(
        "always what is more frequent:  accuracy {:.4}",
        right as f64 / test.labels.len() as f64
    );
    println!("the network, genes held out:   {}\n", model.evaluate(test.x(), test.y())?);

    let said = model.predict(test.x())?;
    for gene in 0..5 {
        let said = labels(said.index_axis(Axis(0), gene).iter().map(|p| *p > 0.5));
        let are = labels(test.labels[14 * gene..14 * (gene + 1)].iter().map(|y| *y == 1));
        println!("gene {gene}: said {said}; are {are}");
    }
    Ok(())
}
