//! Learns to read handwritten digits: `cargo run --release --example digits`.
//!
//! The network and its loss are written naively: softmax, then its logarithm, then a sum over one-hot labels. Logits
//! of 1000 would overflow that formula; the compiler turns it into the stable, fused cross-entropy before it
//! differentiates, and compiles forward pass, backward pass and Adam into native code.

mod network;

use clap::Parser;
use eggrad::prelude::*;
use network::BATCH;
use std::path::PathBuf;
use std::process::ExitCode;

/// Train a 64-25-15-10 network on 8x8 images of handwritten digits.
#[derive(Parser)]
#[command(name = "digits")]
struct Args {
    /// Seed of the initial weights and of the order of rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training data.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Folder for a picture and a text of the graph after each stage.
    #[arg(long, value_name = "DIR")]
    dot: Option<PathBuf>,
    /// Run the formulas as written, without rewriting.
    #[arg(long)]
    no_rewrite: bool,
    /// Print one JSON object as the last line.
    #[arg(long)]
    json: bool,
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = network::data()?;
    let options =
        Options { rewrite: !args.no_rewrite, dump: args.dot.clone(), ..Options::default() };
    let epochs = args.epochs as usize;
    let mut model =
        network::model(args.seed, &options, u64::from(args.epochs) * network::steps(&train))?;
    println!("{}\n", model.summary()?);
    let report = model.compile_train(BATCH)?;

    let fit = Fit::epochs(epochs).batch(BATCH).seed(args.seed).validation(test.x(), test.y());
    let history = model.fit(train.x(), train.y(), fit)?;
    let accuracy = history.last("val_accuracy");

    println!("{report}");
    println!(
        "training  {} epochs of {} rows, {:.2} us per step of {BATCH} rows, loss {:.4} to {:.4}",
        history.epochs.len(),
        train.rows(),
        history.median_step_us(),
        history.first_loss,
        history.last_loss,
    );
    println!("accuracy  {:.2} % of {} images held out", 100.0 * accuracy, test.rows());
    if let Some(folder) = &args.dot {
        println!("pictures  {}", folder.display());
        for file in report.files.iter().filter(|f| f.extension().is_some_and(|e| e == "dot")) {
            println!("          {}", file.display());
        }
    }
    if args.json {
        let json = serde_json::json!({
            "accuracy": accuracy,
            "compile_ms": report.compile_ms(),
            "step_us": history.median_step_us(),
            "kernels": report.kernels,
            "arena_bytes": report.arena_bytes,
            "rules": report.rules,
            "epochs": history.epochs.len(),
            "seed": args.seed,
            "loss_first": history.first_loss,
            "loss_last": history.last_loss,
            "nodes_before": report.nodes_before,
            "nodes_after": report.nodes_after,
        });
        println!("{json}");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
