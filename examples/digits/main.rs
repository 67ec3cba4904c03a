//! Learns to read handwritten digits: `cargo run --release --example digits`.
//!
//! The network and its loss are written naively: softmax, then its logarithm, then a sum over one-hot labels. Logits
//! of 1000 would overflow that formula; the compiler turns it into the stable, fused cross-entropy before it
//! differentiates, and compiles forward pass, backward pass and Adam into native code.

mod network;

use clap::Parser;
use eggrad::prelude::*;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use network::BATCH;
use std::io::IsTerminal;
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
    let mut model = network::model(args.seed, &options);
    let report = model.compile_train(BATCH)?.clone();

    let epochs = args.epochs as usize;
    let bar = progress_bar(epochs as u64);
    let fit = Fit { epochs, batch: BATCH, seed: args.seed };
    let history = model.fit(&train, &fit, |model, epoch| {
        // The learning rate is a state: nothing is compiled again.
        let rate = network::learning_rate(epoch.number, epochs);
        model.store_mut().set_scalar("adam.learning_rate", rate)?;
        if !bar.is_hidden() {
            let accuracy = model.accuracy(&test)?;
            bar.set_message(format!("loss {:.4}  accuracy {:.1} %", epoch.loss, 100.0 * accuracy));
        }
        bar.inc(1);
        Ok(Next::Continue)
    })?;
    bar.finish();
    let accuracy = model.accuracy(&test)?;

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

/// A bar on standard error, hidden when that is no terminal.
fn progress_bar(epochs: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(epochs), target).with_style(style)
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
