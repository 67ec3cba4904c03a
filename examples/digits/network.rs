//! The network of the digits example: data, layers and loss.

use eggrad::formats::{gunzip, read_labelled_csv};
use eggrad::prelude::*;
use ndarray::{ArrayView1, ArrayView2};

/// Rows of a batch.
pub(crate) const BATCH: usize = 32;

const CLASSES: usize = 10;
const LEARNING_RATE: f64 = 1e-2;
const DIGITS: &[u8] = include_bytes!("../../data/digits8x8.csv.gz");

/// The cross-entropy as it is written in books: of probabilities, with a logarithm that may be of 0.
pub(crate) fn naive_cross_entropy() -> LossFn {
    LossFn::new("cross_entropy", Task::Classes { ignored: None }, |probabilities, labels| {
        -(labels.one_hot(CLASSES) * probabilities.log()).sum(1)
    })
}

/// The network with weights that begin at random from `seed`, to be trained for so many steps.
pub(crate) fn model(seed: u64, options: &Options, steps: u64) -> Result<Model, Error> {
    let mut model = Sequential::new((
        Dense::new(25).init(Init::HeNormal).relu(),
        Dense::new(15).init(Init::HeNormal).relu(),
        Dense::new(CLASSES).softmax(),
    ))
    .input([64])
    .seed(seed)
    .options(options.clone());
    let adam = Adam::new(LEARNING_RATE).schedule(Schedule::cosine(steps));
    model.compile(naive_cross_entropy(), adam, Accuracy)?;
    Ok(model)
}

/// Steps of an epoch.
pub(crate) fn steps(data: &Dataset) -> u64 {
    data.rows().div_ceil(BATCH) as u64
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
