//! Callbacks that write files while a model is trained.

use crate::callbacks::{Callback, Watch, watched};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::history::{Epoch, Next, Progress};
use crate::model::Model;
use crate::save::SaveError;
use eggrad_formats::{CsvLog, FileError, write_atomic};
use serde_json::{Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Saves the model while it is trained, as [`Model::save`] does.
///
/// ```no_run
/// use eggrad::prelude::*;
/// # fn model() -> Model { Sequential::new((Dense::new(1),)) }
/// # let (x, y) = ([[0.0f32]], [0.0f32]);
/// # let mut model = model();
/// let fit = Fit::epochs(20).callback(ModelCheckpoint::every("model.json", 1));
/// model.fit(&x, &y, fit)?;
///
/// // Later:
/// let mut model = Sequential::load("model.json")?;
/// model.fit(&x, &y, Fit::epochs(40).resume(model.progress()))?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    path: PathBuf,
    when: When,
}

#[derive(Clone, Debug)]
enum When {
    Every(usize),
    Best(String, Watch),
}

impl ModelCheckpoint {
    /// Saves to `path` after every so many epochs; 0 is as 1.
    pub fn every(path: impl AsRef<Path>, epochs: usize) -> ModelCheckpoint {
        ModelCheckpoint::new(path, When::Every(epochs.max(1)))
    }

    /// Saves to `path` after each epoch whose value called `name`, such as `val_loss`, is the best so far: accuracies and
    /// the like are to grow, all others to fall. `more` of the saved position has the value as `best`, which a training
    /// that is resumed has to be better than.
    pub fn best(path: impl AsRef<Path>, name: &str) -> ModelCheckpoint {
        ModelCheckpoint::new(path, When::Best(name.to_string(), Watch::new(name)))
    }

    fn new(path: impl AsRef<Path>, when: When) -> ModelCheckpoint {
        ModelCheckpoint { path: path.as_ref().to_path_buf(), when }
    }

    /// The best value so far; NaN before the first epoch, and where none is watched.
    pub fn best_value(&self) -> f64 {
        match &self.when {
            When::Every(_) => f64::NAN,
            When::Best(_, watch) => watch.best,
        }
    }
}

impl Callback for ModelCheckpoint {
    fn begin(&mut self, model: &mut Model) -> Result<(), Error> {
        let Progress { epoch, step, .. } = model.progress();
        if let When::Best(_, watch) = &mut self.when {
            watch.best = f64::NAN;
            // A training that goes on leaves a better model of before where it is.
            if epoch + step > 0
                && let Ok((checkpoint, _)) = Checkpoint::load(&self.path)
            {
                let best = checkpoint.training.and_then(|training| training.more["best"].as_f64());
                watch.best = best.unwrap_or(f64::NAN);
            }
        }
        Ok(())
    }

    fn epoch(&mut self, model: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        let (wanted, more) = match &mut self.when {
            When::Every(epochs) => (epoch.number.is_multiple_of(*epochs), Value::Null),
            When::Best(name, watch) => {
                let value = watched("ModelCheckpoint", name, epoch)?;
                (watch.better(value), json!({ "best": watch.best }))
            }
        };
        if wanted {
            model.save_with(&self.path, more)?;
        }
        Ok(Next::Continue)
    }
}

/// Writes a row for each epoch into a file of comma-separated numbers, at once: `epoch`, then every value by its name.
///
/// A training that goes on goes on with the file; rows of epochs that are trained again are removed.
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    log: Option<CsvLog>,
}

impl CsvLogger {
    /// Writes to `path`; what the file held before is gone, unless training is resumed.
    pub fn new(path: impl AsRef<Path>) -> CsvLogger {
        CsvLogger { path: path.as_ref().to_path_buf(), log: None }
    }

    /// The file for these columns, without rows of epochs after the first `done`.
    fn open(&self, columns: &[&str], done: usize) -> Result<CsvLog, Error> {
        if done == 0 {
            return Ok(CsvLog::create(&self.path, columns)?);
        }
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(SaveError::from(FileError::read(&self.path, error)).into()),
        };
        let kept = text.split_inclusive('\n').filter(|line| {
            let epoch = line.split(',').next().and_then(|cell| cell.parse::<usize>().ok());
            epoch.is_none_or(|epoch| epoch <= done)
        });
        let kept: String = kept.collect();
        if kept != text {
            write_atomic(&self.path, |to| to.write_all(kept.as_bytes()))
                .map_err(SaveError::from)?;
        }
        Ok(CsvLog::append(&self.path, columns)?)
    }
}

impl Callback for CsvLogger {
    fn begin(&mut self, _: &mut Model) -> Result<(), Error> {
        self.log = None;
        Ok(())
    }

    fn epoch(&mut self, _: &mut Model, epoch: &Epoch) -> Result<Next, Error> {
        // A training that is resumed at its end has an epoch without a step.
        if !epoch.values.contains_key("loss") {
            return Ok(Next::Continue);
        }
        if self.log.is_none() {
            let names = epoch.values.keys().map(String::as_str);
            let columns: Vec<&str> = ["epoch"].into_iter().chain(names).collect();
            self.log = Some(self.open(&columns, epoch.number - 1)?);
        }
        if let Some(log) = &mut self.log {
            let number = [epoch.number as f64].into_iter();
            log.row(&number.chain(epoch.values.values().copied()).collect::<Vec<_>>())?;
        }
        Ok(Next::Continue)
    }
}
