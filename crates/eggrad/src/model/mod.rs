//! A model: layers, a loss, an optimizer and metrics over one store, trained, evaluated and asked for any number of
//! rows.

mod check;
mod graphs;
mod inside;
mod pool;
mod predict;
mod saving;
mod source;
mod summary;
mod training;
mod weights;

pub use inside::{Inside, InsideRow};
pub use predict::Evaluation;
pub use source::Batch;
pub use summary::Summary;
pub use weights::Weights;

use crate::error::Error;
use crate::history::Progress;
use crate::pipeline::Options;
use crate::report::Report;
use crate::store::Store;
use eggrad_ir::{At, DType, Shape, TensorType, TypeError};
use eggrad_nn::loss::{IntoLosses, Loss};
use eggrad_nn::metrics::{IntoMetrics, Metric};
use eggrad_nn::{Graph, IntoLayers, Mode, Module, Optimizer, Stack};
use pool::Pool;
use std::sync::{Arc, OnceLock};

/// Layers that follow each other, as a [`Model`]: `Sequential::new((Dense::new(25).relu(), Dense::new(10).softmax()))`.
pub type Sequential = Model;

/// A network with its parameters, which is trained, evaluated and asked.
///
/// Graphs are written and compiled when they are first needed, for each number of rows in a batch; they share one
/// [`Store`] by path. Everything is `f32`; integer inputs are `i32`.
///
/// ```
/// use eggrad::prelude::*;
///
/// let x = [[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
/// let y = [0.0f32, 1.0, 1.0, 0.0];
/// let mut model = Sequential::new((Dense::new(8).tanh(), Dense::new(1).sigmoid())).seed(1);
/// model.compile(BinaryCrossentropy::new(), Adam::new(0.1), Accuracy)?;
/// let history = model.fit(&x[..], &y, Fit::epochs(200).batch(4))?;
/// assert_eq!(history.last("accuracy"), 1.0);
/// let p = model.predict(&x[..])?;
/// assert!(p[[1, 0]] > 0.5 && p[[3, 0]] < 0.5);
/// # Ok::<(), Error>(())
/// ```
pub struct Model {
    module: Arc<dyn Module>,
    store: Store,
    options: Options,
    /// Type of each input, without the axis of rows, once it is known.
    inputs: Option<Vec<TensorType>>,
    goal: Option<Goal>,
    train: Pool,
    evaluate: Pool,
    predict: Pool,
    progress: Progress,
    /// Words of the user, which are saved too.
    note: serde_json::Value,
    /// What targets are, once it is known.
    targets: OnceLock<Vec<TargetRow>>,
    /// What integers each input may be, once it is known.
    ranges: OnceLock<Vec<Option<(f64, f64)>>>,
}

/// A row of one target: its type, and how many classes its output tells apart.
#[derive(Clone, Debug)]
struct TargetRow {
    ty: TensorType,
    classes: usize,
}

/// What a model is trained for.
#[derive(Clone)]
struct Goal {
    losses: Vec<Arc<dyn Loss>>,
    optimizer: Arc<dyn Optimizer>,
    metrics: Vec<Arc<dyn Metric>>,
    /// Where `compile` was called.
    at: At,
}

impl Model {
    /// Of a layer, a tuple of layers that follow each other, an array of one kind, or a list of [`eggrad_nn::AnyLayer`].
    #[track_caller]
    pub fn new(layers: impl IntoLayers) -> Model {
        Model::of(Stack::new(layers))
    }

    /// Of a layer, or of a [`Module`] of several inputs or outputs.
    pub fn of(module: impl Module + 'static) -> Model {
        Model {
            module: Arc::new(module),
            store: Store::new(0),
            options: Options::default(),
            inputs: None,
            goal: None,
            train: Pool::new(Mode::Train),
            evaluate: Pool::new(Mode::Evaluate),
            predict: Pool::new(Mode::Predict),
            progress: Progress::default(),
            note: serde_json::Value::Null,
            targets: OnceLock::new(),
            ranges: OnceLock::new(),
        }
    }

    /// With parameters that begin at random from `seed`, 0 by default. Forgets all states.
    pub fn seed(mut self, seed: u64) -> Model {
        self.store = Store::new(seed);
        self.forget();
        self
    }

    /// With graphs compiled in this way.
    pub fn options(mut self, options: Options) -> Model {
        self.options = options;
        self.forget();
        self
    }

    /// With float rows of this shape as the next input. Without it, inputs are as the first data is; integers are floats
    /// where layers take floats.
    pub fn input(self, shape: impl Into<Shape>) -> Model {
        self.declare(TensorType::new(DType::F32, shape))
    }

    /// With integer rows of this shape as the next input.
    pub fn input_integers(self, shape: impl Into<Shape>) -> Model {
        self.declare(TensorType::new(DType::I32, shape))
    }

    fn declare(mut self, ty: TensorType) -> Model {
        self.inputs.get_or_insert_default().push(ty);
        self.forget();
        self
    }

    /// Says what the model is trained for: a loss (a tuple of them for several outputs), an optimizer, and metrics.
    /// Parameters stay as they are; what optimizers remember begins anew, but for a model that was loaded and could not
    /// be compiled from its file.
    ///
    /// # Errors
    /// Where inputs have been declared, every mistake in the model, its loss or its optimizer.
    #[track_caller]
    pub fn compile(
        &mut self,
        loss: impl IntoLosses,
        optimizer: impl Optimizer + 'static,
        metrics: impl IntoMetrics,
    ) -> Result<(), Error> {
        let goal = Goal {
            losses: loss.into_losses(),
            optimizer: Arc::new(optimizer),
            metrics: metrics.into_metrics(),
            at: At::here(),
        };
        let names: Vec<String> = goal.metrics.iter().map(|metric| metric.name()).collect();
        if let Some(i) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
            let message = format!("is given two metrics called `{}`", names[i]);
            let help = "leave one out; those of several outputs are `metric.of_output(1)`";
            return Err(TypeError::new("compile", goal.at, message, help).into());
        }
        if goal.losses.is_empty() {
            let help = "pass a loss, such as `MeanSquaredError`";
            return Err(TypeError::new("compile", goal.at, "is given no loss", help).into());
        }
        // What a loaded model remembers is of an optimizer that it has not been told yet.
        let loaded = self.goal.replace(goal).is_none() && self.inputs.is_some();
        self.forget();
        let built = match self.inputs {
            Some(_) => self.written(Mode::Train, 2, None)?.graph.build().map(Some),
            None => Ok(None),
        };
        let goes_on = built.as_ref().is_ok_and(|built| {
            loaded && built.as_ref().is_some_and(|built| self.store.goes_on_with(built))
        });
        if !goes_on {
            self.store.remove_slots();
        }
        built?;
        Ok(())
    }

    /// Forgets compiled graphs.
    fn forget(&mut self) {
        for pool in [&mut self.train, &mut self.evaluate, &mut self.predict] {
            pool.clear();
        }
        self.targets = OnceLock::new();
        self.ranges = OnceLock::new();
    }

    /// Declares all parameters, so that they can be read and set before training. Nothing happens if they are.
    ///
    /// # Errors
    /// When no input has been declared, or the model has mistakes.
    #[track_caller]
    pub fn build(&mut self) -> Result<(), Error> {
        self.build_at("build", At::here())
    }

    /// [`Model::build`] for `what` at `at`.
    fn build_at(&mut self, what: &str, at: At) -> Result<(), Error> {
        self.known_inputs(what, at)?;
        let mode = if self.goal.is_some() { Mode::Train } else { Mode::Predict };
        let built = self.written(mode, 2, None)?.graph.build()?;
        self.store.attach_all(&built)
    }

    /// Compiles the train step for batches of `rows`, unless it has been; says what the compile did.
    ///
    /// # Errors
    /// When inputs or the loss are not known, and mistakes in the model.
    #[track_caller]
    pub fn compile_train(&mut self, rows: usize) -> Result<Report, Error> {
        let at = At::here();
        self.known_goal("compile_train", at)?;
        self.known_inputs("compile_train", at)?;
        let lent = self.lend(Mode::Train, rows, None)?;
        let report = lent.session.program().report().clone();
        self.train.give(lent);
        Ok(report)
    }

    /// The graph of this mode for batches of `rows`, as it is written: to print, to draw, or to run in one's own way.
    ///
    /// # Errors
    /// When inputs or the loss are not known.
    #[track_caller]
    pub fn graph(&self, mode: Mode, rows: usize) -> Result<Graph, Error> {
        let at = At::here();
        self.known_inputs("graph", at)?;
        if mode != Mode::Predict {
            self.known_goal("graph", at)?;
        }
        Ok(self.written(mode, rows, None)?.graph)
    }

    /// The layers or module.
    pub fn module(&self) -> &dyn Module {
        &*self.module
    }

    /// How far the last training has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Parameters and other states by path.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Parameters and other states by path, to change.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// What the schedule of the optimizer multiplies; `None` before the first step and without a rate of its own.
    pub fn learning_rate(&self) -> Option<f64> {
        let path = format!("{}.learning_rate", self.goal.as_ref()?.optimizer.name());
        match self.store.get(&path)? {
            eggrad_jit::ArrayRef::F32([rate]) => Some(f64::from(*rate)),
            eggrad_jit::ArrayRef::F64([rate]) => Some(*rate),
            _ => None,
        }
    }

    /// Sets it; nothing is compiled again.
    ///
    /// # Errors
    /// Before `compile`, when inputs are not known yet, the optimizer has no rate of that name, or the rate is no finite
    /// number of at least 0.
    #[track_caller]
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), Error> {
        self.set_learning_rate_at(rate, At::here())
    }

    /// [`Model::set_learning_rate`] at `at`.
    pub(crate) fn set_learning_rate_at(&mut self, rate: f64, at: At) -> Result<(), Error> {
        if !rate.is_finite() || rate < 0.0 {
            let message = format!("cannot be {rate}");
            let help = "a learning rate is a finite number of at least 0";
            return Err(TypeError::new("learning_rate", at, message, help).into());
        }
        let goal = self.known_goal("set_learning_rate", at)?;
        let path = format!("{}.learning_rate", goal.optimizer.name());
        if self.store.get(&path).is_none() {
            self.build_at("set_learning_rate", at)?;
        }
        self.store.set_scalar(&path, rate)
    }

    /// The rate of the next step: with the factor of the schedule.
    fn scheduled_rate(&self) -> Option<f64> {
        let goal = self.goal.as_ref()?;
        let taken = match self.store.get(&format!("{}.step", goal.optimizer.name())) {
            Some(eggrad_jit::ArrayRef::I32([step])) => u64::try_from(*step).unwrap_or(0),
            _ => 0,
        };
        Some(self.learning_rate()? * goal.optimizer.schedule().factor(taken))
    }

    fn known_goal(&self, what: &str, at: At) -> Result<&Goal, Error> {
        self.goal.as_ref().ok_or_else(|| {
            let message = "comes before `compile`";
            let help = "call `model.compile(loss, optimizer, metrics)` first";
            TypeError::new(what, at, message, help).into()
        })
    }

    fn known_inputs(&self, what: &str, at: At) -> Result<&[TensorType], Error> {
        self.inputs.as_deref().ok_or_else(|| {
            let message = "needs to know what the inputs are";
            let help = "declare them with `.input([features])`, or call it after `fit`";
            TypeError::new(what, at, message, help).into()
        })
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("inputs", &self.inputs)
            .field("train", &self.train.sizes())
            .field("evaluate", &self.evaluate.sizes())
            .field("predict", &self.predict.sizes())
            .field("parameters", &self.store.parameters())
            .finish()
    }
}
