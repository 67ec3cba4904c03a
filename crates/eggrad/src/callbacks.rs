//! What may happen between steps and epochs of training.

use crate::error::Error;
use crate::history::{Epoch, History, Next, Progress};
use crate::model::{Model, Weights};
use eggrad_ir::{At, TypeError};

/// Something that watches training, and may stop it or change the model between its steps.
pub trait Callback {
    /// Before the first step.
    ///
    /// # Errors
    /// Any error ends training with it; the same for the others.
    fn begin(&mut self, _model: &mut Model) -> Result<(), Error> {
        Ok(())
    }

    /// After a step; `loss` is that of its batch, before the step.
    ///
    /// # Errors
    /// As [`Callback::begin`].
    fn step(&mut self, _model: &mut Model, _done: Progress, _loss: f64) -> Result<Next, Error> {
        Ok(Next::Continue)
    }

    /// After an epoch and its validation.
    ///
    /// # Errors
    /// As [`Callback::begin`].
    fn epoch(&mut self, _model: &mut Model, _epoch: &Epoch) -> Result<Next, Error> {
        Ok(Next::Continue)
    }

    /// After training, also after one that was stopped or interrupted.
    ///
    /// # Errors
    /// As [`Callback::begin`].
    fn end(&mut self, _model: &mut Model, _history: &History) -> Result<(), Error> {
        Ok(())
    }

    /// Whether a step that failed with `error` ends training as if it had been stopped, without the error.
    fn forgives(&mut self, _error: &Error) -> bool {
        false
    }
}

impl<C: Callback + ?Sized> Callback for &mut C {
    fn begin(&mut self, model: &mut Model) -> Result<(), Error> {
        (**self).begin(model)
    }

    fn step(&mut self, model: &mut Model, done: Progress, loss: f64) -> Result<Next, Error> {
        (**self).step(model, done, loss)
    }

    fn epoch(&mut self, model: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        (**self).epoch(model, epoch)
    }

    fn end(&mut self, model: &mut Model, history: &History) -> Result<(), Error> {
        (**self).end(model, history)
    }

    fn forgives(&mut self, error: &Error) -> bool {
        (**self).forgives(error)
    }
}

/// A function called after each epoch, as a callback.
pub(crate) struct OnEpoch<F>(pub(crate) F);

impl<F: FnMut(&mut Model, &Epoch) -> Result<Next, Error>> Callback for OnEpoch<F> {
    fn epoch(&mut self, model: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        (self.0)(model, epoch)
    }
}

/// Which of two values of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Watch {
    /// Whether larger is better: where the name is of an accuracy and the like.
    larger: bool,
    /// What counts as better at all.
    least: f64,
    pub(crate) best: f64,
}

impl Watch {
    pub(crate) fn new(name: &str) -> Watch {
        let name = name.strip_prefix("val_").unwrap_or(name);
        let words = ["accuracy", "precision", "recall", "f1", "auc", "r2"];
        let larger = words.iter().any(|word| name.contains(word));
        Watch { larger, least: 0.0, best: f64::NAN }
    }

    /// Whether `value` is better than all before.
    pub(crate) fn better(&mut self, value: f64) -> bool {
        let gain = if self.larger { value - self.best } else { self.best - value };
        let better = !value.is_nan() && (self.best.is_nan() || gain > self.least);
        if better {
            self.best = value;
        }
        better
    }
}

/// The value called `name`, or an error that says which there are. NaN of an epoch without a step, which a training
/// has that is resumed at its end.
pub(crate) fn watched(callback: &str, name: &str, epoch: &Epoch) -> Result<f64, Error> {
    if !epoch.values.contains_key("loss") {
        return Ok(f64::NAN);
    }
    epoch.values.get(name).copied().ok_or_else(|| {
        let names: Vec<&str> = epoch.values.keys().map(String::as_str).collect();
        let message = format!("watches `{name}`, which no epoch has: {}", names.join(", "));
        let help = "name one of these; those with `val_` need validation data";
        TypeError::new(callback, At::Unknown, message, help).into()
    })
}

/// A setting of a callback, which is a finite number of at least 0.
fn setting(callback: &str, name: &str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let message = format!("cannot have the {name} {value}");
    let help = format!("{name} is a finite number of at least 0");
    Err(TypeError::new(callback, At::Unknown, message, help).into())
}

/// Stops training when a value has not become better for some epochs. Accuracies and the like are to grow, all others
/// to fall.
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    name: String,
    patience: usize,
    restore: bool,
    watch: Watch,
    waited: usize,
    weights: Option<Weights>,
}

impl EarlyStopping {
    /// Watches the value called `name`, such as `val_loss`.
    pub fn new(name: &str) -> EarlyStopping {
        let (name, watch) = (name.to_string(), Watch::new(name));
        EarlyStopping { name, patience: 0, restore: false, watch, waited: 0, weights: None }
    }

    /// Stops after so many epochs without improvement; after the first by default.
    pub fn patience(self, epochs: usize) -> EarlyStopping {
        EarlyStopping { patience: epochs, ..self }
    }

    /// What a value must be better by to count.
    pub fn least(mut self, difference: f64) -> EarlyStopping {
        self.watch.least = difference;
        self
    }

    /// Puts the weights of the best epoch back at the end.
    pub fn restore_best(self) -> EarlyStopping {
        EarlyStopping { restore: true, ..self }
    }

    /// The best value so far; NaN before the first epoch.
    pub fn best(&self) -> f64 {
        self.watch.best
    }
}

impl Callback for EarlyStopping {
    fn begin(&mut self, _: &mut Model) -> Result<(), Error> {
        (self.watch.best, self.waited, self.weights) = (f64::NAN, 0, None);
        setting("EarlyStopping", "least", self.watch.least)
    }

    fn epoch(&mut self, model: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        let value = watched("EarlyStopping", &self.name, epoch)?;
        if value.is_nan() {
            return Ok(Next::Continue);
        }
        if self.watch.better(value) {
            self.waited = 0;
            if self.restore {
                self.weights = Some(model.weights());
            }
            return Ok(Next::Continue);
        }
        self.waited += 1;
        Ok(if self.waited >= self.patience.max(1) { Next::Stop } else { Next::Continue })
    }

    fn end(&mut self, model: &mut Model, _: &History) -> Result<(), Error> {
        match &self.weights {
            Some(weights) => model.set_weights(weights),
            None => Ok(()),
        }
    }
}

/// Multiplies the learning rate when a value has not become better for some epochs.
#[derive(Clone, Debug)]
pub struct ReduceLrOnPlateau {
    name: String,
    factor: f64,
    patience: usize,
    smallest: f64,
    watch: Watch,
    waited: usize,
}

impl ReduceLrOnPlateau {
    /// Watches the value called `name`; multiplies by 0.1 after ten epochs without improvement.
    pub fn new(name: &str) -> ReduceLrOnPlateau {
        let (name, watch) = (name.to_string(), Watch::new(name));
        ReduceLrOnPlateau { name, factor: 0.1, patience: 10, smallest: 0.0, watch, waited: 0 }
    }

    /// Multiplies by this.
    pub fn factor(self, factor: f64) -> ReduceLrOnPlateau {
        ReduceLrOnPlateau { factor, ..self }
    }

    /// Waits for so many epochs without improvement.
    pub fn patience(self, epochs: usize) -> ReduceLrOnPlateau {
        ReduceLrOnPlateau { patience: epochs, ..self }
    }

    /// Does not go below this rate.
    pub fn smallest(self, rate: f64) -> ReduceLrOnPlateau {
        ReduceLrOnPlateau { smallest: rate, ..self }
    }
}

impl Callback for ReduceLrOnPlateau {
    fn begin(&mut self, _: &mut Model) -> Result<(), Error> {
        (self.watch.best, self.waited) = (f64::NAN, 0);
        let settings = [("factor", self.factor), ("smallest", self.smallest)];
        settings.into_iter().try_for_each(|(name, value)| setting("ReduceLrOnPlateau", name, value))
    }

    fn epoch(&mut self, model: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        let value = watched("ReduceLrOnPlateau", &self.name, epoch)?;
        if value.is_nan() {
            return Ok(Next::Continue);
        }
        if self.watch.better(value) {
            self.waited = 0;
            return Ok(Next::Continue);
        }
        self.waited += 1;
        if self.waited >= self.patience.max(1) {
            self.waited = 0;
            let rate = model.learning_rate().unwrap_or(f64::NAN);
            model.set_learning_rate_at((rate * self.factor).max(self.smallest), At::Unknown)?;
        }
        Ok(Next::Continue)
    }
}

/// Sets the learning rate before each epoch: a function of the number of finished epochs.
pub struct LearningRateSchedule<F>(pub F);

impl<F: FnMut(usize) -> f64> LearningRateSchedule<F> {
    fn set(&mut self, model: &mut Model, done: usize) -> Result<(), Error> {
        let rate = (self.0)(done);
        model.set_learning_rate_at(rate, At::Unknown)
    }
}

impl<F: FnMut(usize) -> f64> Callback for LearningRateSchedule<F> {
    fn begin(&mut self, model: &mut Model) -> Result<(), Error> {
        let done = model.progress().epoch;
        self.set(model, done)
    }

    fn epoch(&mut self, model: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        self.set(model, epoch.number)?;
        Ok(Next::Continue)
    }
}

/// Ends training without an error when the loss is not finite; the weights are then those before the step.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNan;

impl Callback for TerminateOnNan {
    fn forgives(&mut self, error: &Error) -> bool {
        matches!(error, Error::NotFinite { .. })
    }
}
