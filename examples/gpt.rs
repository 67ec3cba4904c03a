//! A small GPT learns to write like Moby Dick, character by character: `cargo run --release --example gpt`.
//!
//! Two transformer blocks of four heads read 64 characters; at each place they say which character comes next. `--minutes`
//! or `--steps` decide for how long it learns.

mod datasets;

use clap::Parser;
use eggrad::formats::Vocabulary;
use eggrad::ndarray::Array2;
use eggrad::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// Train a character-level GPT on the beginning of Moby Dick and let it write.
#[derive(Parser)]
struct Args {
    /// Seed of the initial weights, of the windows of text and of what is written.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stops after so many steps of 16 windows.
    #[arg(long, default_value_t = 600)]
    steps: usize,
    /// Goes on for so many minutes instead.
    #[arg(long)]
    minutes: Option<f64>,
    /// Steps between two looks at the text held out.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Characters to write at the end.
    #[arg(long, default_value_t = 300)]
    write: usize,
    /// How freely it writes: 0 takes the likeliest character.
    #[arg(long, default_value_t = 0.8)]
    temperature: f32,
    /// File for the model, saved after each look.
    #[arg(long, value_name = "FILE")]
    save: Option<std::path::PathBuf>,
    /// File for the weights before the first step, which `benches/peers/gpt.py` begins with.
    #[arg(long, value_name = "FILE")]
    initial: Option<std::path::PathBuf>,
}

/// Characters it sees at once.
const LENGTH: usize = 64;
/// Numbers of each character.
const WIDTH: usize = 128;
/// Windows of a step.
const BATCH: usize = 16;

fn network(characters: usize, seed: u64) -> Result<Model, Error> {
    let mut model = Sequential::new((
        Embedding::new(characters, WIDTH),
        PositionEmbedding::new(LENGTH),
        TransformerBlock::new(4, 4 * WIDTH).causal().dropout(0.2),
        TransformerBlock::new(4, 4 * WIDTH).causal().dropout(0.2),
        LayerNorm::new(),
        Dense::new(characters).softmax(),
    ))
    .input_integers([LENGTH])
    .seed(seed);
    let adam = Adam::new(1e-3).schedule(Schedule::constant().warmup(50)).clip_global_norm(1.0);
    model.compile(SparseCategoricalCrossentropy::new(), adam, Accuracy)?;
    Ok(model)
}

/// Windows of the text that begin at `starts`, and the same one character further on.
fn windows(text: &[i32], starts: &[usize]) -> (Array2<i32>, Array2<i32>) {
    let part = |shift: usize| {
        Array2::from_shape_fn((starts.len(), LENGTH), |(row, i)| text[starts[row] + shift + i])
    };
    (part(0), part(1))
}

/// Windows of a step, drawn by chance.
fn batch(text: &[i32], rng: &mut ChaCha8Rng) -> Batch<'static> {
    let last = text.len() - LENGTH - 1;
    let starts: Vec<usize> = (0..BATCH).map(|_| rng.random_range(0..=last)).collect();
    let (x, y) = windows(text, &starts);
    Batch::new(x, y)
}

/// Goes on with `text` for so many characters.
fn write(model: &Model, text: &mut Vec<i32>, args: &Args) -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    for _ in 0..args.write {
        let seen = &text[text.len().saturating_sub(LENGTH)..];
        // What comes later changes nothing: a causal model does not look at it.
        let row = Array2::from_shape_fn((1, LENGTH), |(_, i)| seen.get(i).copied().unwrap_or(0));
        let made = model.predict(row)?;
        let p = |c: usize| made[[0, seen.len() - 1, c]];
        let count = made.shape()[2];
        let next = if args.temperature > 0.0 {
            let weights: Vec<f32> = (0..count).map(|c| p(c).powf(1.0 / args.temperature)).collect();
            let mut left = rng.random::<f32>() * weights.iter().sum::<f32>();
            let chosen = weights.iter().position(|w| {
                left -= w;
                left <= 0.0
            });
            chosen.unwrap_or(count - 1)
        } else {
            (0..count).max_by(|&a, &b| p(a).total_cmp(&p(b))).unwrap_or(0)
        };
        text.push(next as i32);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let text = datasets::moby_dick()?;
    let vocabulary = Vocabulary::of(&text);
    let text = vocabulary.encode(&text)?;
    let (train, held) = text.split_at(text.len() * 9 / 10);
    println!("{} characters to learn from, {} of them different", train.len(), vocabulary.len());

    let mut model = network(vocabulary.len(), args.seed)?;
    println!("{}\n", model.summary()?);
    model.set_note(vocabulary.characters());
    if let Some(file) = &args.initial {
        model.save_weights(file)?;
    }

    // The text held out, window after window.
    let starts: Vec<usize> = (0..held.len() - LENGTH).step_by(LENGTH).collect();
    let (x, y) = windows(held, &starts);
    let start = Instant::now();
    println!("before        {}", model.evaluate(&x, &y)?);
    let every = args.every as usize;
    let looks = if args.minutes.is_some() { usize::MAX } else { args.steps.div_ceil(every) };
    let steps = if args.minutes.is_some() { usize::MAX } else { args.steps };
    let mut fit = Fit::epochs(looks).validation(&x, &y).on_epoch(|_, epoch| {
        let (step, seconds) = ((epoch.number * every).min(steps), start.elapsed().as_secs());
        let (loss, held) = (epoch.loss(), epoch.get("val_loss"));
        println!("step {step:>6}   loss {loss:.4}   held out {held:.4}   {seconds} s");
        let over = args.minutes.is_some_and(|minutes| seconds as f64 >= 60.0 * minutes);
        Ok(if over { Next::Stop } else { Next::Continue })
    });
    if let Some(file) = &args.save {
        fit = fit.callback(ModelCheckpoint::every(file, 1));
    }
    let batches = |epoch: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
        rng.set_stream(epoch as u64);
        let count = every.min(steps - epoch * every);
        (0..count).map(move |_| batch(train, &mut rng))
    };
    let history = model.fit_batches(batches, fit)?;
    println!("{:.1} ms per step of {BATCH} windows\n", history.median_step_us() / 1e3);

    let mut written = vocabulary.encode("The whale ")?;
    write(&model, &mut written, &args)?;
    println!("{}", vocabulary.decode(&written)?);
    Ok(())
}
