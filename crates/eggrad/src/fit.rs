//! How to train: a list of choices, each with a usual value.

use crate::callbacks::{Callback, OnEpoch};
use crate::error::Error;
use crate::history::{Epoch, Next, Progress};
use crate::model::Model;
use crate::values::{IntoValues, Values};
use eggrad_nn::loss::Weighing;

/// How to train. Begins with [`Fit::epochs`].
///
/// ```
/// use eggrad::prelude::*;
///
/// let fit = Fit::epochs(20).batch(16).validation_split(0.2).callback(EarlyStopping::new("val_loss"));
/// # let _ = fit;
/// ```
pub struct Fit<'a> {
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    pub(crate) seed: u64,
    pub(crate) shuffle: bool,
    pub(crate) split: f64,
    pub(crate) validation: Option<(Vec<Values<'a>>, Vec<Values<'a>>)>,
    pub(crate) class_weights: Option<Vec<f32>>,
    pub(crate) sample_weights: Option<Vec<f32>>,
    pub(crate) weighing: Weighing,
    pub(crate) callbacks: Vec<Box<dyn Callback + 'a>>,
    pub(crate) progress: bool,
    pub(crate) print: bool,
    pub(crate) from: Progress,
    pub(crate) interrupt: Option<Interrupt<'a>>,
}

/// What to do when training is interrupted.
pub(crate) type Interrupt<'a> = Box<dyn FnMut(&mut Model, Progress) -> Result<(), Error> + 'a>;

impl<'a> Fit<'a> {
    /// So many passes over the data, in batches of 32 rows, in an order shuffled by seed 0.
    pub fn epochs(epochs: usize) -> Fit<'a> {
        Fit {
            epochs,
            batch: 32,
            seed: 0,
            shuffle: true,
            split: 0.0,
            validation: None,
            class_weights: None,
            sample_weights: None,
            weighing: Weighing::BySum,
            callbacks: vec![],
            progress: true,
            print: false,
            from: Progress::default(),
            interrupt: None,
        }
    }

    /// Rows of a batch; the remainder of an epoch is a smaller batch.
    #[doc(alias = "batch_size")]
    pub fn batch(self, rows: usize) -> Fit<'a> {
        Fit { batch: rows, ..self }
    }

    /// Seed of the order of rows. The order of an epoch depends on the seed and its number alone.
    pub fn seed(self, seed: u64) -> Fit<'a> {
        Fit { seed, ..self }
    }

    /// Whether the rows of each epoch are shuffled; they are by default.
    pub fn shuffle(self, shuffle: bool) -> Fit<'a> {
        Fit { shuffle, ..self }
    }

    /// Keeps this share of the rows, the last ones, for validation.
    pub fn validation_split(self, share: f64) -> Fit<'a> {
        Fit { split: share, ..self }
    }

    /// Validates on this data after each epoch.
    #[doc(alias = "validation_data")]
    pub fn validation(self, x: impl IntoValues<'a>, y: impl IntoValues<'a>) -> Fit<'a> {
        Fit { validation: Some((x.into_values(), y.into_values())), ..self }
    }

    /// Lets the rows of each class, as the targets of the first output say, count so much: the loss is the weighted mean, divided by the sum of weights, unless
    /// [`Fit::divide_by_rows`] says otherwise.
    #[doc(alias = "class_weight")]
    pub fn class_weights(self, weights: impl Into<Vec<f32>>) -> Fit<'a> {
        Fit { class_weights: Some(weights.into()), ..self }
    }

    /// Lets each row count so much: the loss is the weighted mean, divided by the sum of weights, unless
    /// [`Fit::divide_by_rows`] says otherwise.
    #[doc(alias = "sample_weight")]
    pub fn sample_weights(self, weights: impl Into<Vec<f32>>) -> Fit<'a> {
        Fit { sample_weights: Some(weights.into()), ..self }
    }

    /// Divides weighted losses by the number of rows, as Keras does: then weights change the size of steps too.
    pub fn divide_by_rows(self) -> Fit<'a> {
        Fit { weighing: Weighing::ByRows, ..self }
    }

    /// With one more callback; `&mut callback` keeps it at hand.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Fit<'a> {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Calls a function after each epoch.
    pub fn on_epoch(
        self,
        function: impl FnMut(&mut Model, &Epoch) -> Result<Next, Error> + 'a,
    ) -> Fit<'a> {
        self.callback(OnEpoch(function))
    }

    /// Whether a bar shows progress on standard error, if that is a terminal; it does by default.
    pub fn progress(self, progress: bool) -> Fit<'a> {
        Fit { progress, ..self }
    }

    /// Prints a line for each epoch on standard output.
    pub fn print(self) -> Fit<'a> {
        Fit { print: true, ..self }
    }

    /// Goes on where [`Model::progress`] was, in the order of rows of then, with the same data and batch: with the states
    /// of then, the weights become the same bits as without the interruption.
    #[doc(alias = "initial_epoch")]
    pub fn resume(self, from: Progress) -> Fit<'a> {
        Fit { from, seed: from.seed, ..self }
    }

    /// On Ctrl-C finishes the step, calls `save` and returns the history so far; a second Ctrl-C ends the process.
    pub fn on_interrupt(
        self,
        save: impl FnMut(&mut Model, Progress) -> Result<(), Error> + 'a,
    ) -> Fit<'a> {
        Fit { interrupt: Some(Box::new(save)), ..self }
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fit")
            .field("epochs", &self.epochs)
            .field("batch", &self.batch)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
