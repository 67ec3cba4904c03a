//! A model in files: its layers, what it is trained for, its weights, and how far its training has come.

use super::{Goal, Model};
use crate::checkpoint::{Checkpoint, Position};
use crate::error::Error;
use crate::save::{SaveError, Saved};
use crate::store::Store;
use eggrad_formats::FileError;
use eggrad_ir::{At, DType, TensorType};
use eggrad_nn::loss::LossSpec;
use eggrad_nn::metrics::MetricSpec;
use eggrad_nn::{LayerSpec, Mode, Module, OptimizerSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{Error as IoError, ErrorKind};
use std::path::Path;

/// What is written of a model beside its states.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    inputs: Vec<InputSpec>,
    /// The layers; `None` where some are code.
    layers: Option<LayerSpec>,
    /// Kinds of the layers that are code.
    code: Vec<String>,
    /// What it is trained for; `None` before `compile`, and where a part is code.
    goal: Option<GoalSpec>,
    note: Value,
}

/// A row of an input.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputSpec {
    integers: bool,
    shape: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoalSpec {
    losses: Vec<LossSpec>,
    optimizer: OptimizerSpec,
    metrics: Vec<MetricSpec>,
}

impl GoalSpec {
    fn of(goal: &Goal) -> Option<GoalSpec> {
        Some(GoalSpec {
            losses: goal.losses.iter().map(|loss| loss.spec()).collect::<Option<_>>()?,
            optimizer: goal.optimizer.spec()?,
            metrics: goal.metrics.iter().map(|metric| metric.spec()).collect::<Option<_>>()?,
        })
    }

    fn goal(self) -> Goal {
        Goal {
            losses: self.losses.into_iter().map(LossSpec::loss).collect(),
            optimizer: self.optimizer.optimizer(),
            metrics: self.metrics.into_iter().map(MetricSpec::metric).collect(),
            at: At::Unknown,
        }
    }
}

impl Model {
    /// Writes the model to `path`: layers, loss, optimizer and metrics as text, and all states, also those of the
    /// optimizer, to a safetensors file beside it, as [`Checkpoint::save`] does. Killed at any moment, it leaves what was
    /// saved before or what was to be saved. Layers and losses that are code are not in the file; their weights are.
    ///
    /// # Errors
    /// When inputs are not known yet, a setting is no finite number, or a file cannot be written.
    ///
    /// # Example
    /// ```
    /// use eggrad::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("eggrad-model-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).expect("a folder");
    /// # let path = folder.join("xor.json");
    /// let (x, y) = ([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]);
    /// let mut model = Sequential::new((Dense::new(8).tanh(), Dense::new(2).softmax()));
    /// model.compile(SparseCategoricalCrossentropy::new(), Adam::new(0.05), Accuracy)?;
    /// model.fit(&x, &y, Fit::epochs(20))?;
    /// model.save(&path)?;
    ///
    /// let mut loaded = Sequential::load(&path)?;
    /// assert_eq!(loaded.predict(&x)?, model.predict(&x)?);
    /// // Twenty epochs more, to the same bits as forty at once.
    /// loaded.fit(&x, &y, Fit::epochs(40).resume(loaded.progress()))?;
    /// # std::fs::remove_dir_all(&folder).expect("a folder");
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.known_inputs("save", At::here())?;
        self.save_with(path.as_ref(), Value::Null)
    }

    /// The same with something more in the saved position.
    pub(crate) fn save_with(&self, path: &Path, more: Value) -> Result<(), Error> {
        let model = self.described(path)?;
        let training = Some(Position::of(self.progress, more));
        let checkpoint = Checkpoint { model, training };
        match self.first_states()? {
            Some(first) => checkpoint.save(path, &first, Saved::All),
            None => checkpoint.save(path, &self.store, Saved::All),
        }
    }

    /// The model that [`Model::save`] wrote to `path`. It predicts the same bits; compiled as it was, it goes on with
    /// `fit` and `Fit::resume(model.progress())` as if nothing had been. [`Model::options`] are not saved.
    ///
    /// A loss, metric or optimizer that is code is given by `compile`, whose first call then leaves what the optimizer
    /// remembers as it was saved, if it is the same optimizer.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or is of a later version, and where layers are code: see
    /// [`Model::load_with`].
    #[doc(alias = "load_model")]
    pub fn load(path: impl AsRef<Path>) -> Result<Model, Error> {
        let path = path.as_ref();
        let (mut description, position, store) = read(path)?;
        let Some(layers) = description.layers.take() else {
            let what = match &description.code[..] {
                [] => "the model is".to_string(),
                [kind] => format!("its layer `{kind}` is"),
                kinds => format!("its layers `{}` are", kinds.join("`, `")),
            };
            let help = "call `Model::load_with(path, layers)` with the same layers";
            return Err(SaveError::content(path, format!("{what} code; {help}")).into());
        };
        let layers = layers.layer().map_err(|message| damaged(path, &message))?;
        Model::of(layers).filled(description, position, store)
    }

    /// The same for layers that are code: the structure is that of `module`, the file has everything else.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or is of a later version, and all differences between the states of
    /// `module` and those saved, as one error.
    #[track_caller]
    pub fn load_with(
        path: impl AsRef<Path>,
        module: impl Module + 'static,
    ) -> Result<Model, Error> {
        let (description, position, store) = read(path.as_ref())?;
        Model::of(module).filled(description, position, store)
    }

    /// The model with what a file holds.
    fn filled(
        self,
        description: Description,
        position: Position,
        store: Store,
    ) -> Result<Model, Error> {
        let ty = |input: InputSpec| {
            let dtype = if input.integers { DType::I32 } else { DType::F32 };
            TensorType::new(dtype, input.shape)
        };
        let model = Model {
            store,
            inputs: Some(description.inputs.into_iter().map(ty).collect()),
            goal: description.goal.map(GoalSpec::goal),
            progress: position.progress(),
            note: description.note,
            ..self
        };
        let mode = if model.goal.is_some() { Mode::Train } else { Mode::Predict };
        model.store.check_built(&model.written(mode, 2, None)?.graph.build()?)?;
        Ok(model)
    }

    /// Writes parameters and statistics of layers alone to a safetensors file, for other libraries and other models.
    ///
    /// # Errors
    /// When inputs are not known yet, or the file cannot be written.
    #[track_caller]
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.known_inputs("save_weights", At::here())?;
        match self.first_states()? {
            Some(first) => first.save(path, Saved::Weights),
            None => self.store.save(path, Saved::Weights),
        }
    }

    /// Sets parameters and statistics of layers to those of a safetensors file: what [`Model::save_weights`] wrote, or
    /// the file beside a saved model. What optimizers remember stays.
    ///
    /// # Errors
    /// When inputs are not known yet, the file cannot be read or is damaged, and all differences in names and shapes, as
    /// one error; then nothing has changed.
    #[track_caller]
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.build_at("load_weights", At::here())?;
        let mut weights = Store::load(path)?;
        weights.remove_training();
        self.store.assign(&weights)
    }

    /// Words of your own, which are saved with the model: such as the names of classes, or a vocabulary.
    pub fn note(&self) -> &Value {
        &self.note
    }

    /// Sets them. Floats must be finite.
    pub fn set_note(&mut self, note: impl Into<Value>) {
        self.note = note.into();
    }

    /// What states would begin as, when there are none yet.
    fn first_states(&self) -> Result<Option<Store>, Error> {
        if self.store.states().next().is_some() {
            return Ok(None);
        }
        let mut store = Store::new(self.store.seed());
        store.attach_all(&self.written(Mode::Predict, 2, None)?.graph.build()?)?;
        Ok(Some(store))
    }

    /// The model as JSON, to be written to `path`.
    fn described(&self, path: &Path) -> Result<Value, Error> {
        let inputs = self.known_inputs("save", At::Unknown)?.iter().map(|ty| InputSpec {
            integers: ty.dtype == DType::I32,
            shape: ty.shape.dims().to_vec(),
        });
        let (layers, code) = match self.module.spec() {
            Ok(spec) => (Some(spec), vec![]),
            Err(code) => (None, code),
        };
        let goal = self.goal.as_ref().and_then(GoalSpec::of);
        let (inputs, note) = (inputs.collect(), self.note.clone());
        let description = Description { inputs, layers, code, goal, note };
        let text = serde_json::to_value(&description);
        // What could not be read, such as a rate that is NaN, is not written.
        let read = text.and_then(|text| {
            serde_json::from_value::<Description>(text.clone())?;
            Ok(text)
        });
        read.map_err(|error| {
            let message = format!("a setting of the model cannot be written: {error}");
            let error = IoError::new(ErrorKind::InvalidData, message);
            SaveError::from(FileError::write(path, error)).into()
        })
    }
}

fn damaged(path: &Path, message: &dyn std::fmt::Display) -> SaveError {
    SaveError::content(path, format!("its description is damaged: {message}"))
}

/// What the files of a model hold.
fn read(path: &Path) -> Result<(Description, Position, Store), Error> {
    let (Checkpoint { model, training }, store) = Checkpoint::load(path)?;
    if !model.as_object().is_some_and(|model| model.contains_key("inputs")) {
        let message = "it was not written by `Model::save`; `Checkpoint::load` reads it";
        return Err(SaveError::content(path, message).into());
    }
    let description = serde_json::from_value(model).map_err(|error| damaged(path, &error))?;
    Ok((description, training.unwrap_or_default(), store))
}
