//! Good coffee or not, from temperature and time: `cargo run --release --example coffee`.
//!
//! The smallest network that can do it: three hidden units draw three lines around the good roasts, and the output is
//! large where all three agree.

mod datasets;

use clap::Parser;
use eggrad::prelude::*;

/// Train a 2-3-1 network of sigmoids on 200 roasts, from five seeds.
#[derive(Parser)]
struct Args {
    /// Passes over the roasts.
    #[arg(long, default_value_t = 1000)]
    epochs: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let roasts = datasets::coffee()?;
    let model = |seed| -> Result<(Model, f64), Error> {
        let mut model = Sequential::new((
            Normalization::adapt(&roasts.features, 2),
            Dense::new(3).sigmoid(),
            Dense::new(1).sigmoid(),
        ))
        .seed(seed);
        model.compile(BinaryCrossentropy::new(), Adam::new(0.01), Accuracy)?;
        model.fit(roasts.x(), roasts.y(), Fit::epochs(args.epochs).batch(16).seed(seed))?;
        let accuracy = model.evaluate(roasts.x(), roasts.y())?.get("accuracy");
        Ok((model, accuracy))
    };

    let mut accuracies = vec![];
    for seed in 0..5 {
        let (_, accuracy) = model(seed)?;
        println!("seed {seed}: {:.1} % of the roasts right", 100.0 * accuracy);
        accuracies.push(accuracy);
    }
    accuracies.sort_by(f64::total_cmp);
    println!("median: {:.1} %\n", 100.0 * accuracies[2]);

    let (model, _) = model(0)?;
    println!("the network of seed 0 on a roast of 200 degrees and 13.0 minutes:");
    println!("{}\n", model.inside(&[[200.0f32, 13.0]])?);
    let asked = [[200.0f32, 13.0], [200.0, 17.0], [160.0, 13.0], [265.0, 12.5]];
    let answers = model.predict(&asked)?;
    for ([degrees, minutes], p) in asked.iter().zip(&answers) {
        let verdict = if *p > 0.5 { "good" } else { "bad" };
        println!("{degrees:.0} degrees, {minutes:.1} minutes: {verdict} (p = {p:.3})");
    }
    Ok(())
}
