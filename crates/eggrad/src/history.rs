//! What training did, as plain data.

use std::collections::BTreeMap;

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

    /// Median wall time of a step on a full batch, in microseconds; NaN without steps.
    pub fn median_step_us(&self) -> f64 {
        let mut times = self.step_us.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }
}
