//! A model: one way to write its train step, one to write its prediction, any number of rows, one store.

use crate::data::Dataset;
use crate::error::Error;
use crate::pipeline::Options;
use crate::program::{Program, Session};
use crate::report::Report;
use crate::rows::stay_apart;
use crate::store::Store;
use eggrad_ir::{self as ir, At, DType, Operand, StateKind, TensorType, TypeError};
use eggrad_jit::{ArrayMut, ArrayRef};
use eggrad_nn::Graph;
use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// Compiled batch sizes kept for each graph; the one unused for longest goes first.
const KEPT: usize = 12;

/// Rows that `predict` computes at a time; a power of two.
const PREDICT_ROWS: usize = 256;

/// Writes a graph for batches of the given number of rows.
type Write = Box<dyn Fn(&Graph, usize) + Send>;

/// A network with its train step and its prediction over one store.
///
/// Both graphs are functions of the number of rows in a batch; each size is compiled when it is first needed.
/// * The train graph has two inputs, features `[rows, columns]` and labels `i32[rows]`, in this order, and one output,
///   the loss; `minimize` has given it updates.
/// * The prediction graph has one input, features `[rows, columns]`, and one output of shape `[rows, ..]`. It declares
///   no parameters that the train graph does not have.
///
/// Everything is `f32`. Other tasks, such as regression, run a [`Program`] in a loop of their own.
pub struct Model {
    store: Store,
    train: Compiled,
    predict: Compiled,
}

/// One graph at several batch sizes.
struct Compiled {
    name: &'static str,
    write: Write,
    options: Options,
    sessions: Vec<(usize, Session)>,
    /// Whether rows stay apart; `None` until somebody asked.
    apart: Option<bool>,
}

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Passes over the data.
    pub epochs: usize,
    /// Rows of a batch; the remainder of an epoch is a smaller batch.
    pub batch: usize,
    /// Seed of the order of rows.
    pub seed: u64,
}

/// What an epoch reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub number: usize,
    /// Mean loss over the rows of the epoch, each as it was before its step.
    pub loss: f64,
}

/// Whether training goes on after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another epoch.
    Continue,
    /// No more.
    Stop,
}

/// What training did.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct History {
    /// Every epoch.
    pub epochs: Vec<Epoch>,
    /// Wall time of each step on a full batch, in microseconds.
    pub step_us: Vec<f64>,
    /// Loss of the very first batch, before any step.
    pub first_loss: f64,
    /// Loss of the very last batch, before its step; NaN without steps.
    pub last_loss: f64,
}

impl History {
    /// Median wall time of a step on a full batch, in microseconds; NaN without steps.
    pub fn median_step_us(&self) -> f64 {
        let mut times = self.step_us.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl Model {
    /// A model whose states begin at random from `seed`.
    pub fn new(
        seed: u64,
        train: impl Fn(&Graph, usize) + Send + 'static,
        predict: impl Fn(&Graph, usize) + Send + 'static,
    ) -> Model {
        let compiled = |name, write| Compiled {
            name,
            write,
            options: Options::default(),
            sessions: vec![],
            apart: None,
        };
        Model {
            store: Store::new(seed),
            train: compiled("train", Box::new(train)),
            predict: compiled("predict", Box::new(predict)),
        }
    }

    /// Compiles the train step with these options from now on.
    pub fn train_options(mut self, options: Options) -> Model {
        self.train.options = options;
        self
    }

    /// Compiles the prediction with these options from now on.
    pub fn predict_options(mut self, options: Options) -> Model {
        self.predict.options = options;
        self
    }

    /// Parameters and other states by path.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Parameters and other states by path, to change.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Compiles the train step for batches of `rows`, unless it has been; says what the compile did.
    ///
    /// # Errors
    /// Mistakes in the graph, or what a stage of the pipeline refused.
    pub fn compile_train(&mut self, rows: usize) -> Result<&Report, Error> {
        let session = self.train.session(rows, &mut self.store)?;
        Ok(session.program().report())
    }

    /// Trains on `data`; `on_epoch` sees the model after each epoch and says whether to go on.
    ///
    /// # Errors
    /// A batch of no rows or of more rows than the data, data that does not fit the graph, or a loss that is not
    /// finite: then the weights are those before the step.
    #[track_caller]
    pub fn fit(
        &mut self,
        data: &Dataset,
        fit: &Fit,
        mut on_epoch: impl FnMut(&mut Model, &Epoch) -> Result<Next, Error>,
    ) -> Result<History, Error> {
        let at = At::here();
        if fit.batch == 0 || fit.batch > data.rows() {
            let message = format!("asks for batches of {} of the {} rows", fit.batch, data.rows());
            let help = format!("choose a batch from 1 to {}", data.rows());
            return Err(data_error("fit", at, message, help, data).into());
        }
        self.check_train_graph(fit.batch, data, at)?;

        let mut history = History { last_loss: f64::NAN, ..History::default() };
        let mut first_loss = None;
        let mut order: Vec<usize> = (0..data.rows()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(fit.seed);
        let mut features = vec![0.0; fit.batch * data.columns()];
        let mut labels = vec![0; fit.batch];
        for number in 1..=fit.epochs {
            order.shuffle(&mut rng);
            let mut total = 0.0;
            for rows in order.chunks(fit.batch) {
                let features = &mut features[..rows.len() * data.columns()];
                let labels = &mut labels[..rows.len()];
                for (i, &row) in rows.iter().enumerate() {
                    features[i * data.columns()..][..data.columns()].copy_from_slice(data.row(row));
                    labels[i] = data.labels()[row];
                }
                let session = self.train.session(rows.len(), &mut self.store)?;
                let mut loss = [0.0f32];
                let start = Instant::now();
                session.run_at(
                    &mut self.store,
                    &[ArrayRef::F32(features), ArrayRef::I32(labels)],
                    &mut [ArrayMut::F32(&mut loss)],
                    at,
                )?;
                if rows.len() == fit.batch {
                    history.step_us.push(start.elapsed().as_secs_f64() * 1e6);
                }
                let loss = f64::from(loss[0]);
                first_loss.get_or_insert(loss);
                history.last_loss = loss;
                total += loss * rows.len() as f64;
            }
            let epoch = Epoch { number, loss: total / data.rows() as f64 };
            let next = on_epoch(self, &epoch)?;
            history.epochs.push(epoch);
            if next == Next::Stop {
                break;
            }
        }
        history.first_loss = first_loss.unwrap_or(f64::NAN);
        Ok(history)
    }

    /// Output of the prediction graph for each row of `features`.
    ///
    /// Where rows stay apart, they are computed some hundred at a time and the last ones padded, so that few sizes are
    /// compiled; where they meet, as in a mean over the batch, all at once.
    ///
    /// # Errors
    /// When the columns do not fit the graph, or it has other inputs and outputs than [`Model`] says.
    #[track_caller]
    pub fn predict(&mut self, features: ArrayView2<'_, f32>) -> Result<Array2<f32>, Error> {
        let at = At::here();
        let (rows, columns) = features.dim();
        let standard = features.as_standard_layout();
        let flat = standard.as_slice().unwrap_or(&[]);
        let size = |rows: usize| rows.clamp(1, PREDICT_ROWS).next_power_of_two();
        let write = &self.predict.write;
        let apart = *self.predict.apart.get_or_insert_with(|| stay_apart(write));

        let mut results: Vec<f32> = vec![];
        let mut begin = 0;
        // Also without rows the graph says how wide a row of results is.
        let width = loop {
            let size = if apart { size(rows - begin) } else { rows.max(1) };
            let session = self.predict.session(size, &mut self.store)?;
            let plan = session.program().executable().plan();
            let fits = plan.inputs.len() == 1
                && plan.inputs[0].ty.dtype == DType::F32
                && plan.inputs[0].ty.shape.dims() == [size, columns]
                && plan.outputs.len() == 1
                && plan.outputs[0].ty.dtype == DType::F32
                && plan.outputs[0].ty.shape.dims().first() == Some(&size);
            if !fits {
                let given = TensorType::new(DType::F32, [rows, columns]);
                return Err(predict_error(session.program().graph(), given, at).into());
            }
            let width = plan.outputs[0].ty.shape.elements() / size;
            let count = (rows - begin).min(size);
            if count > 0 {
                let mut batch = Cow::Borrowed(&flat[begin * columns..][..count * columns]);
                if count < size {
                    batch.to_mut().resize(size * columns, 0.0);
                }
                results.resize((begin + size) * width, 0.0);
                let outputs = &mut [ArrayMut::F32(&mut results[begin * width..])];
                session.run_shared_at(&self.store, &[ArrayRef::F32(&batch)], outputs, at)?;
            }
            begin += count;
            if begin == rows {
                results.truncate(rows * width);
                break width;
            }
        };
        let shaped = Array2::from_shape_vec((rows, width), results);
        Ok(shaped.expect("internal error: rows times width numbers"))
    }

    /// Share of rows of `data` whose largest prediction is at their label.
    ///
    /// # Errors
    /// As [`Model::predict`].
    #[track_caller]
    pub fn accuracy(&mut self, data: &Dataset) -> Result<f64, Error> {
        let shape = (data.rows(), data.columns());
        let features = ArrayView2::from_shape(shape, data.features())
            .expect("internal error: a dataset is rows times columns");
        let at = At::here();
        let predicted = self.predict(features)?;
        if data.rows() == 0 || predicted.ncols() < 2 {
            let message = format!(
                "compares {} predictions in a row of {} rows",
                predicted.ncols(),
                data.rows()
            );
            let help = "predict a number for each of at least two classes, on at least one row";
            return Err(data_error("accuracy", at, message, help.to_string(), data).into());
        }
        let hits = predicted.rows().into_iter().zip(data.labels()).filter(|(row, label)| {
            // The first of equals.
            let best = (0..row.len()).reduce(|a, b| if row[b] > row[a] { b } else { a });
            best.is_some_and(|class| class as i32 == **label)
        });
        Ok(hits.count() as f64 / data.rows() as f64)
    }

    /// Whether the train graph takes batches of `data`.
    fn check_train_graph(&mut self, batch: usize, data: &Dataset, at: At) -> Result<(), Error> {
        let session = self.train.session(batch, &mut self.store)?;
        let plan = session.program().executable().plan();
        let expected = [
            TensorType::new(DType::F32, [batch, data.columns()]),
            TensorType::new(DType::I32, [batch]),
        ];
        let loss = TensorType::scalar(DType::F32);
        if !plan.inputs.iter().map(|i| &i.ty).eq(&expected)
            || !plan.outputs.iter().map(|o| &o.ty).eq([&loss])
        {
            let message =
                "needs a train graph with features and labels as inputs and the loss as output";
            let help = "declare the inputs with the columns of the data, features first";
            let mut error = data_error("fit", at, message.to_string(), help.to_string(), data);
            let graph = plan.inputs.iter().map(|i| ("graph input", i));
            let graph = graph.chain(plan.outputs.iter().map(|o| ("graph output", o)));
            error.operands.extend(graph.map(|(what, slot)| Operand {
                name: format!("{what} {}", slot.name),
                ty: slot.ty.clone(),
                at: At::Unknown,
            }));
            return Err(error.into());
        }
        let classes = plan.inputs[1].range.map(|(_, high)| high as usize + 1);
        if classes.is_some_and(|n| n < data.classes()) {
            let message = format!(
                "trains {} classes on data of {}",
                classes.unwrap_or_default(),
                data.classes()
            );
            let help = "declare the labels with as many classes as the data has";
            return Err(data_error("fit", at, message, help.to_string(), data).into());
        }
        Ok(())
    }
}

/// What is wrong with predicting on features of type `given` by `graph`.
fn predict_error(graph: &ir::Graph, given: TensorType, at: At) -> TypeError {
    let mut error = TypeError::new(
        "predict",
        at,
        "needs a graph with one f32 input of rows and one f32 output of as many rows",
        "pass features with the columns of the graph's input, and keep the axis of rows",
    );
    let operand = |name: String, ty, at| Operand { name, ty, at };
    let node = |what: &str, name: &str, id, at| {
        operand(format!("graph {what} {name}"), graph.ty(id).clone(), at)
    };
    let inputs = graph.inputs().iter().map(|i| node("input", &i.name, i.node, i.at));
    let outputs =
        graph.outputs().iter().map(|o| node("output", &o.name, o.node, graph.node(o.node).at));
    error.operands.push(operand("features".into(), given, At::Unknown));
    error.operands.extend(inputs.chain(outputs));
    error
}

fn data_error(op: &str, at: At, message: String, help: String, data: &Dataset) -> TypeError {
    let mut error = TypeError::new(op, at, message, help);
    error.operands = data.operands();
    error
}

impl Compiled {
    /// Whether a store that training has filled has all parameters of a prediction.
    fn check_states(&self, program: &Program, store: &Store) -> Result<(), Error> {
        if self.name == "train" || store.states().next().is_none() {
            return Ok(());
        }
        for state in program.graph().states() {
            if store.get(&state.name).is_none() {
                let names: Vec<&str> =
                    store.states().filter(|s| s.1 == StateKind::Param).map(|s| s.0).collect();
                let message =
                    format!("is no parameter of the train graph, which has {}", names.join(", "));
                let help = "give layers the same names in both graphs";
                let mut error = TypeError::new(&state.name, state.at, message, help);
                error.operands =
                    vec![Operand { name: state.name.clone(), ty: state.ty.clone(), at: state.at }];
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The session for batches of `rows`, compiled if need be.
    fn session(&mut self, rows: usize, store: &mut Store) -> Result<&mut Session, Error> {
        if let Some(i) = self.sessions.iter().position(|(n, _)| *n == rows) {
            // Most recently used last.
            self.sessions[i..].rotate_left(1);
        } else {
            let graph = Graph::new();
            (self.write)(&graph, rows);
            if self.name != "train" {
                graph.freeze();
            }
            let mut options = self.options.clone();
            // Pictures of the first size, usually the full batch, are the ones to look at.
            if !self.sessions.is_empty() {
                options.dump = None;
            }
            let program = Arc::new(Program::compile(&graph, &options)?);
            self.check_states(&program, store)?;
            if self.sessions.len() == KEPT {
                self.sessions.remove(0);
            }
            self.sessions.push((rows, Session::new(&program, store)?));
        }
        let last = self.sessions.last_mut().map(|(_, session)| session);
        Ok(last.expect("internal error: a session was just put last"))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = |c: &Compiled| {
            format!("{} {:?}", c.name, c.sessions.iter().map(|s| s.0).collect::<Vec<_>>())
        };
        f.debug_struct("Model")
            .field("train", &sizes(&self.train))
            .field("predict", &sizes(&self.predict))
            .field("parameters", &self.store.parameters())
            .finish()
    }
}
