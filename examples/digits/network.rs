//! The network of the digits example: data, train step and prediction.

use eggrad::formats::{gunzip, read_labelled_csv};
use eggrad::prelude::*;
use ndarray::{ArrayView1, ArrayView2};

/// Rows of a batch.
pub(crate) const BATCH: usize = 32;

const CLASSES: usize = 10;
const LEARNING_RATE: f64 = 1e-2;
const DIGITS: &[u8] = include_bytes!("../../data/digits8x8.csv.gz");

/// Logits of a batch of images, `[rows, 64]` to `[rows, 10]`.
fn logits<'g>(images: Tensor<'g>) -> Tensor<'g> {
    let hidden = dense_with("dense1", images, 25, Init::HeNormal).relu();
    let hidden = dense_with("dense2", hidden, 15, Init::HeNormal).relu();
    dense("dense3", hidden, CLASSES)
}

/// One step of training on `rows` images: loss, gradients, Adam.
pub(crate) fn train_step(g: &Graph, rows: usize) {
    let images = g.input("images", [rows, 64]);
    let labels = g.labels("labels", [rows], CLASSES);
    let onehot = labels.one_hot(CLASSES);
    let loss = -(onehot * logits(images).softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    Adam::new(LEARNING_RATE).minimize(loss);
}

/// Probabilities of the classes for `rows` images.
pub(crate) fn predict(g: &Graph, rows: usize) {
    let images = g.input("images", [rows, 64]);
    g.output("probabilities", logits(images).softmax(1));
}

/// The network with weights that begin at random from `seed`.
pub(crate) fn model(seed: u64, options: &Options) -> Model {
    Model::new(seed, train_step, predict)
        .predict_options(Options { dump: None, ..options.clone() })
        .train_options(options.clone())
}

/// Learning rate after `epoch` of `epochs`: falls along a cosine.
pub(crate) fn learning_rate(epoch: usize, epochs: usize) -> f64 {
    let done = epoch as f64 / epochs as f64;
    LEARNING_RATE * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// Images with pixels scaled to `0..=1`: those to train on, and every fifth to test on.
pub(crate) fn data() -> Result<(Dataset, Dataset), Box<dyn std::error::Error>> {
    let mut table = read_labelled_csv(&gunzip(DIGITS, 1 << 24)?, "label")?;
    table.features.iter_mut().for_each(|pixel| *pixel /= 16.0);
    let features = ArrayView2::from_shape((table.rows, table.columns.len()), &table.features)?;
    let all = Dataset::new(features, ArrayView1::from(&table.labels), CLASSES)?;
    let (test, train) = all.split(|row| row % 5 == 4);
    Ok((train, test))
}
