//! Results, and losses and metrics of data that is not learnt.

use super::Model;
use super::graphs::Slot;
use super::source::{Buffers, Totals};
use crate::error::Error;
use crate::pipeline::Options;
use crate::program::{Program, Session};
use crate::rows::stay_apart;
use crate::store::Store;
use crate::values::{IntoValues, Values};
use eggrad_ir::{At, DType, TensorType, TypeError};
use eggrad_jit::ArrayMut;
use eggrad_nn::{Context, Graph, Mode};
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Rows that `predict` and `evaluate` compute at a time; a power of two.
const ROWS: usize = 256;

/// What a model reaches on some data.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Evaluation {
    /// `loss`, and each metric by its name.
    pub values: BTreeMap<String, f64>,
    /// What each metric is made of: for a confusion matrix its counts, truths in rows.
    pub sums: BTreeMap<String, Vec<f64>>,
}

impl Evaluation {
    /// The value called `name`; NaN if there is none.
    pub fn get(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or(f64::NAN)
    }

    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.get("loss")
    }
}

/// One line: `loss 0.1234  accuracy 0.9700`.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&String> = self.values.keys().collect();
        names.sort_by_key(|name| *name != "loss");
        let values = names.iter().map(|name| format!("{name} {:.4}", self.get(name)));
        f.write_str(&values.collect::<Vec<_>>().join("  "))
    }
}

impl Model {
    /// What the model makes of each row of `x`: any number of them, from any number of threads.
    ///
    /// Where rows stay apart, they are computed some hundred at a time and the last ones padded, so that few sizes are
    /// compiled; where they meet, as in a mean over the batch, all at once. A model that has neither been told its inputs
    /// nor fitted is compiled anew in each call.
    ///
    /// # Errors
    /// When the rows do not fit the model, or it has several outputs.
    #[track_caller]
    pub fn predict<'a>(&self, x: impl IntoValues<'a>) -> Result<ArrayD<f32>, Error> {
        let at = At::here();
        let mut results = self.predict_values(&x.into_values(), at)?;
        match (results.pop(), results.len()) {
            (Some(result), 0) => Ok(result),
            (_, others) => {
                let message = format!("makes {} results", others + 1);
                let help = "call `predict_all`";
                Err(TypeError::new("predict", at, message, help).into())
            }
        }
    }

    /// [`Model::predict`] of a model of any number of outputs.
    ///
    /// # Errors
    /// When the rows do not fit the model.
    #[track_caller]
    pub fn predict_all<'a>(&self, x: impl IntoValues<'a>) -> Result<Vec<ArrayD<f32>>, Error> {
        self.predict_values(&x.into_values(), At::here())
    }

    fn predict_values(&self, x: &[Values<'_>], at: At) -> Result<Vec<ArrayD<f32>>, Error> {
        let (inputs, rows) = self.check_inputs("predict", x, false, at)?;
        // Before anything is known of the inputs, they are what is asked.
        if self.inputs.is_none() {
            let mut known = self.fresh();
            known.inputs = Some(inputs);
            return known.predict_values(x, at);
        }
        self.check_ranges("predict", x, at)?;
        let apart = self.predict.apart(|| {
            stay_apart(&|g, rows| {
                self.write(g, &inputs, Mode::Predict, rows, None);
            })
        });
        let mut results: Vec<Vec<f32>> = vec![];
        let mut shapes: Vec<Vec<usize>> = vec![];
        let mut begin = 0;
        loop {
            let left = rows - begin;
            let size = if apart { left.clamp(1, ROWS).next_power_of_two() } else { left.max(1) };
            let mut run = |session: &mut Session, store: &Store| -> Result<(), Error> {
                let plan = session.program().executable().plan();
                shapes = plan.outputs.iter().map(|o| o.ty.shape.dims().to_vec()).collect();
                results.resize(shapes.len(), vec![]);
                if let Some(shape) = shapes.iter().find(|shape| shape.first() != Some(&size)) {
                    let message = format!("makes {shape:?} of {size} rows");
                    let help = "keep the rows as the first axis of each result";
                    return Err(TypeError::new("predict", at, message, help).into());
                }
                let count = left.min(size);
                if count == 0 {
                    return Ok(());
                }
                let mut batch = Buffers::new(&inputs);
                x.iter().enumerate().for_each(|(i, x)| batch.copy(i, &x.slice(begin, count)));
                batch.pad(size);
                let mut outputs: Vec<ArrayMut<'_>> = vec![];
                for (result, shape) in results.iter_mut().zip(&shapes) {
                    let width: usize = shape[1..].iter().product();
                    result.resize((begin + size) * width, 0.0);
                    outputs.push(ArrayMut::F32(&mut result[begin * width..]));
                }
                session.run_shared_at(store, &batch.arrays(), &mut outputs, at)
            };
            match self.lend_shared(Mode::Predict, size)? {
                Some(mut lent) => {
                    let done = run(&mut lent.session, &self.store);
                    self.predict.give(lent);
                    done?;
                }
                None => {
                    let (mut session, store) = self.lend_fresh(Mode::Predict, size)?;
                    run(&mut session, &store)?;
                }
            }
            begin += left.min(size);
            if begin == rows {
                break;
            }
        }
        let shaped = results.into_iter().zip(shapes).map(|(mut result, mut shape)| {
            shape[0] = rows;
            result.resize(shape.iter().product(), 0.0);
            let array = ArrayD::from_shape_vec(IxDyn(&shape), result);
            array.expect("internal error: as many numbers as the shape says")
        });
        Ok(shaped.collect())
    }

    /// What every layer makes of the rows `x`, by path, in the order of the layers, with those inside of others before
    /// them: for a look inside. Compiled anew in each call. A layer that is applied twice is there twice.
    ///
    /// # Errors
    /// When the rows do not fit the model, or inputs have not been declared and nothing was fitted.
    #[track_caller]
    pub fn activations<'a>(
        &self,
        x: impl IntoValues<'a>,
    ) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
        let at = At::here();
        let x = x.into_values();
        let (_, rows) = self.check_inputs("activations", &x, true, at)?;
        let inputs = self.known_inputs("activations", at)?;
        let g = Graph::new();
        let cx = Context::new(&g, Mode::Predict);
        let inputs: Vec<(usize, &TensorType)> = inputs.iter().enumerate().collect();
        let tensors = inputs.iter().map(|(i, ty)| {
            let shape = [&[rows], ty.shape.dims()].concat();
            g.input_of(&format!("input_{i}"), ty.dtype, shape)
        });
        self.module.forward(&cx, &tensors.collect::<Vec<_>>());
        let made = cx.made();
        for (i, (_, tensor)) in made.iter().enumerate() {
            g.output(&format!("layer_{i}"), tensor.cast(DType::F32));
        }
        g.freeze();
        let program =
            Arc::new(Program::compile(&g, &Options { dump: None, ..self.options.clone() })?);
        let mut store = Store::new(self.store.seed());
        let (mut session, store) = if self.store.states().next().is_none() {
            (Session::new(&program, &mut store)?, &store)
        } else {
            (Session::over(&program, &self.store)?, &self.store)
        };
        let mut batch =
            Buffers::new(&inputs.iter().map(|(_, ty)| (*ty).clone()).collect::<Vec<_>>());
        x.iter().enumerate().for_each(|(i, x)| batch.copy(i, x));
        let outputs = &program.executable().plan().outputs;
        let mut results: Vec<ArrayD<f32>> =
            outputs.iter().map(|o| ArrayD::zeros(o.ty.shape.dims())).collect();
        let mut arrays: Vec<ArrayMut<'_>> = results
            .iter_mut()
            .filter_map(|result| result.as_slice_mut().map(ArrayMut::F32))
            .collect();
        session.run_shared_at(store, &batch.arrays(), &mut arrays, at)?;
        Ok(made.into_iter().map(|(path, _)| path).zip(results).collect())
    }

    /// A model of the same module and seed that nothing is known of.
    fn fresh(&self) -> Model {
        Model {
            module: std::sync::Arc::clone(&self.module),
            store: Store::new(self.store.seed()),
            options: self.options.clone(),
            inputs: None,
            goal: self.goal.clone(),
            train: super::Pool::new(Mode::Train),
            evaluate: super::Pool::new(Mode::Evaluate),
            predict: super::Pool::new(Mode::Predict),
            progress: self.progress,
            note: self.note.clone(),
            targets: std::sync::OnceLock::new(),
            ranges: std::sync::OnceLock::new(),
        }
    }

    /// Loss and metrics on `x` and `y`, which are not learnt.
    ///
    /// # Errors
    /// Before `compile`, and when data does not fit the model. A loss that is not finite is no error here.
    #[track_caller]
    pub fn evaluate<'a, 'b>(
        &mut self,
        x: impl IntoValues<'a>,
        y: impl IntoValues<'b>,
    ) -> Result<Evaluation, Error> {
        let at = At::here();
        self.evaluate_values("evaluate", &x.into_values(), y.into_values(), at)
    }

    pub(super) fn evaluate_values(
        &mut self,
        what: &str,
        x: &[Values<'_>],
        y: Vec<Values<'_>>,
        at: At,
    ) -> Result<Evaluation, Error> {
        self.known_goal(what, at)?;
        let (inputs, rows) = self.check_inputs(what, x, true, at)?;
        self.inputs.get_or_insert(inputs);
        self.check_ranges(what, x, at)?;
        let y = self.check_targets(what, y, rows, at)?;
        let mut buffers = self.buffers(false)?;
        let mut totals = Totals::default();
        let mut begin = 0;
        while begin < rows {
            let count = (rows - begin).min(ROWS);
            buffers.fill(x, &y, begin, count);
            let mut lent = self.lend(Mode::Evaluate, count, None)?;
            totals.room(&lent.session, &lent.outputs);
            let run = lent.session.run_shared_at(
                &self.store,
                &buffers.arrays(),
                &mut totals.arrays(),
                at,
            );
            totals.add(count);
            self.evaluate.give(lent);
            run?;
            begin += count;
        }
        let goal = self.known_goal(what, at)?;
        Ok(Evaluation { values: totals.values(goal), sums: totals.metric_sums(goal) })
    }

    /// Room for a batch of this model.
    pub(super) fn buffers(&self, weighted: bool) -> Result<Buffers, Error> {
        let inputs = self.known_inputs("fit", At::Unknown)?;
        let mut types = inputs.to_vec();
        types.extend(self.target_rows(2)?.iter().map(|row| row.ty.clone()));
        if weighted {
            types.push(eggrad_ir::TensorType::scalar(eggrad_ir::DType::F32));
        }
        Ok(Buffers::new(&types))
    }
}

impl Slot {
    /// Whether it is added up over batches.
    pub(super) fn metric(self) -> Option<usize> {
        match self {
            Slot::Metric(m) => Some(m),
            Slot::Loss | Slot::Part(_) | Slot::Weight(_) | Slot::Penalty | Slot::Prediction => None,
        }
    }
}
