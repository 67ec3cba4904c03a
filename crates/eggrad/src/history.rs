//! What training did, as plain data.

use crate::error::Error;
use crate::plot::EpochPlot;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What an epoch reached.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub number: usize,
    /// `loss`, each metric by its name, the same of validation data with `val_` before, and `learning_rate`.
    pub values: BTreeMap<String, f64>,
}

impl Epoch {
    /// The value called `name`; NaN if there is none.
    pub fn get(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or(f64::NAN)
    }

    /// Mean loss over the rows of the epoch, each as it was before its step.
    pub fn loss(&self) -> f64 {
        self.get("loss")
    }
}

/// One line: `epoch 3  loss 0.1234  accuracy 0.9700`, without the learning rate.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.number)?;
        let mut names: Vec<&String> =
            self.values.keys().filter(|name| *name != "learning_rate").collect();
        names.sort_by_key(|name| place(name));
        names.into_iter().try_for_each(|name| write!(f, "  {name} {:.4}", self.get(name)))
    }
}

/// Where a value stands among others: the loss first, those of validation data last.
fn place(name: &str) -> (bool, bool) {
    let own = name.strip_prefix("val_").unwrap_or(name);
    (own.len() < name.len(), own != "loss")
}

/// Whether training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// With the next epoch or step.
    Continue,
    /// No more.
    Stop,
}

/// How far training has come. With the states of the store it is all that a resumed training needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished steps of the epoch after those.
    pub step: usize,
    /// Seed of the order of rows.
    pub seed: u64,
}

/// What training did: a row for each epoch.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct History {
    /// Every epoch.
    pub epochs: Vec<Epoch>,
    /// Wall time of each step on a full batch, in microseconds.
    pub step_us: Vec<f64>,
    /// Loss of the very first batch, before any step; NaN without steps.
    pub first_loss: f64,
    /// Loss of the very last batch, before its step; NaN without steps.
    pub last_loss: f64,
    /// Where training was interrupted, in an epoch that has no row.
    pub interrupted: Option<Progress>,
    /// Why training ended before its last epoch, if it did.
    pub stopped: Option<String>,
}

impl History {
    /// The value called `name` of every epoch, NaN where there is none.
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().map(|epoch| epoch.get(name)).collect()
    }

    /// The value called `name` of the last epoch; NaN without one.
    pub fn last(&self, name: &str) -> f64 {
        self.epochs.last().map_or(f64::NAN, |epoch| epoch.get(name))
    }

    /// Names of the values of the epochs, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.epochs.iter().flat_map(|e| e.values.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Draws all values over the epochs into an SVG file: a panel for the loss and for each metric, with that of
    /// validation data; the learning rate where it changes.
    ///
    /// # Errors
    /// When there is no epoch, and when the file cannot be written.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let first = self.epochs.first().map_or(1, |epoch| epoch.number);
        let empty = EpochPlot::new("training").from_epoch(first);
        let mut names = self.names();
        let rates = self.get("learning_rate");
        names.retain(|name| *name != "learning_rate" || rates.iter().any(|rate| *rate != rates[0]));
        names.sort_by_key(|name| (*name == "learning_rate", place(name)));
        let curves = names.into_iter();
        curves.fold(empty, |plot, name| plot.curve(name, self.get(name))).save(path)
    }

    /// Median wall time of a step on a full batch, in microseconds; NaN without steps.
    pub fn median_step_us(&self) -> f64 {
        let mut times = self.step_us.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_a_line() {
        let values = [("accuracy", 0.5), ("learning_rate", 0.01), ("loss", 1.0)];
        let of_validation = [("val_accuracy", 0.25), ("val_loss", 2.0)];
        let values = values.into_iter().chain(of_validation);
        let values = values.map(|(name, value)| (name.to_string(), value)).collect();
        let line = "epoch 7  loss 1.0000  accuracy 0.5000  val_loss 2.0000  val_accuracy 0.2500";
        assert_eq!(Epoch { number: 7, values }.to_string(), line);
    }
}
