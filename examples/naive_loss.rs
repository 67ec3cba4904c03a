//! The loss as the book writes it is good enough: `cargo run --release --example naive_loss`.
//!
//! One model ends in a softmax and takes the logarithm of what it makes. The other ends in logits and has the stable
//! loss for them. Written like this the first should overflow; the compiler rewrites it into the second.

#[path = "digits/network.rs"]
#[allow(dead_code, reason = "only the data and the naive loss are of use here")]
mod network;

use clap::Parser;
use eggrad::prelude::*;

/// Train the same network with the naive and with the stable loss, side by side.
#[derive(Parser)]
struct Args {
    /// Passes over the training data.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
}

/// A network for digits, which ends in this layer.
fn model(last: Dense, loss: impl Loss + 'static, rewrite: bool) -> Result<Model, Error> {
    let options = Options { rewrite, ..Options::default() };
    let layers = (Dense::new(25).relu(), Dense::new(15).relu(), last);
    let mut model = Sequential::new(layers).input([64]).seed(7).options(options);
    model.compile(loss, Adam::new(0.01), Accuracy)?;
    model.build()?;
    Ok(model)
}

/// The naive model and the stable one.
fn pair(rewrite: bool) -> Result<[Model; 2], Error> {
    let stable = SparseCategoricalCrossentropy::new().from_logits();
    Ok([
        model(Dense::new(10).softmax(), network::naive_cross_entropy(), rewrite)?,
        model(Dense::new(10), stable, rewrite)?,
    ])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let (train, test) = network::data()?;

    println!("        -sum(y * log(softmax(z)))   from logits");
    let [mut naive, mut stable] = pair(true)?;
    let fit = || Fit::epochs(args.epochs).validation(test.x(), test.y());
    let left = naive.fit(train.x(), train.y(), fit())?;
    let right = stable.fit(train.x(), train.y(), fit())?;
    for (a, b) in left.epochs.iter().zip(&right.epochs) {
        println!("epoch {:<2}           {:.9}   {:.9}", a.number, a.loss(), b.loss());
    }
    let (weights, others) = (naive.weights(), stable.weights());
    let same = weights
        .iter()
        .zip(&others)
        .all(|((_, a), (_, b))| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()));
    let count: usize = weights.values().map(|w| w.len()).sum();
    println!("all {count} weights the same, bit for bit: {same}");
    println!("{:.1} % of the images held out are right\n", 100.0 * left.last("val_accuracy"));

    println!("with weights of the last layer 10,000 times as large:");
    for (rewrite, how) in [(true, "as compiled"), (false, "as written ")] {
        let [mut naive, mut stable] = pair(rewrite)?;
        for (model, name) in [(&mut naive, "naive      "), (&mut stable, "from logits")] {
            model.set_weights(&weights)?;
            let large = &weights["dense_3.weight"] * 1e4;
            model.set_weight("dense_3.weight", large.view())?;
            match model.evaluate(test.x(), test.y()) {
                Ok(reached) => println!("  {how}  {name}  loss {:.3}", reached.loss()),
                Err(error) => {
                    let text = error.to_string();
                    println!("  {how}  {name}  {}", text.lines().next().unwrap_or(""));
                }
            }
        }
    }

    let [mut naive, _] = pair(true)?;
    let report = naive.compile_train(32)?;
    let (before, after) = report.danger.unwrap_or_default();
    println!(
        "\nformulas that can overflow: {before} as written, {after} as compiled; by the rules"
    );
    let rules = report
        .rules
        .keys()
        .filter(|rule| ["softmax", "entropy", "log-of"].iter().any(|word| rule.contains(word)));
    rules.for_each(|rule| println!("  {rule}"));
    Ok(())
}
