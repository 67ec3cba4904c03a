//! Training: epochs of steps.

use super::source::{Batch, Buffers, Totals};
use super::{Model, Progress};
use crate::error::Error;
use crate::fit::Fit;
use crate::history::{Epoch, History, Next};
use crate::values::{IntoValues, Numbers, Values};
use eggrad_ir::{At, TypeError};
use eggrad_nn::Mode;
use eggrad_nn::loss::{Task, Weighing};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where batches come from. Fills the buffers with step number `step` of an epoch; returns its rows, 0 after the last.
type Load<'l> = dyn FnMut(&Model, &mut Buffers, Progress) -> Result<usize, Error> + 'l;

/// What a training learns from.
struct Data<'l, 's> {
    load: &'l mut Load<'s>,
    /// How rows that count differently are weighed.
    weighing: Option<Weighing>,
    /// Steps of an epoch, where they are known.
    steps: Option<usize>,
    /// Rows of a full batch.
    full: usize,
    at: At,
}

/// How a training ended.
enum End {
    Finished,
    Stopped(String),
    Interrupted,
}

impl Model {
    /// Trains on rows `x` with targets `y`.
    ///
    /// # Errors
    /// Before `compile`, when data does not fit the model, a mistake in the model, or a loss that is not finite: then
    /// the weights are the last good ones, and the error names the step and the op at fault.
    #[track_caller]
    pub fn fit<'a>(
        &mut self,
        x: impl IntoValues<'a>,
        y: impl IntoValues<'a>,
        mut fit: Fit<'_>,
    ) -> Result<History, Error> {
        let at = At::here();
        self.known_goal("fit", at)?;
        let (x, y) = (x.into_values(), y.into_values());
        let (inputs, all) = self.check_inputs("fit", &x, true, at)?;
        self.inputs.get_or_insert(inputs);
        self.check_ranges("fit", &x, at)?;
        let y = self.check_targets("fit", y, all, at)?;
        let fail = |message: String, help: &str| {
            Err(Error::from(TypeError::new("fit", at, message, help)))
        };
        if fit.batch == 0 {
            return fail("asks for batches of no rows".into(), "choose a batch of at least 1");
        }
        if !(0.0..1.0).contains(&fit.split) {
            let message = format!("keeps {} of the rows for validation", fit.split);
            return fail(message, "a share is at least 0 and below 1");
        }
        let rows = all - (all as f64 * fit.split) as usize;
        let weights = self.row_weights(&fit, &y, all, at)?;
        if rows < all {
            let part = |v: &Values<'_>| v.slice(rows, all - rows).into_owned();
            let held = (x.iter().map(part).collect(), y.iter().map(part).collect());
            fit.validation.get_or_insert(held);
        }
        let batch = fit.batch.min(rows);
        let (seed, shuffle) = (fit.seed, fit.shuffle);
        let mut order: (Option<usize>, Vec<usize>) = (None, vec![]);
        let mut load = |_: &Model, buffers: &mut Buffers, at: Progress| {
            if order.0 != Some(at.epoch) {
                order = (Some(at.epoch), epoch_order(rows, seed, at.epoch, shuffle));
            }
            let begin = (at.step * batch).min(rows);
            let rows = &order.1[begin..(begin + batch).min(rows)];
            if !rows.is_empty() {
                buffers.gather(&x, &y, rows);
                if let Some(weights) = &weights {
                    buffers.weigh(weights, rows);
                }
            }
            Ok(rows.len())
        };
        let steps = Some(rows.div_ceil(batch));
        let weighing = weights.is_some().then_some(fit.weighing);
        self.train_on(fit, Data { load: &mut load, weighing, steps, full: batch, at })
    }

    /// Trains on batches that `batches` makes anew for each epoch, given its number from 0: as many as there are, of
    /// any numbers of rows, also more than memory holds. Each number of rows is compiled once.
    ///
    /// # Errors
    /// As [`Model::fit`]; the choices of [`Fit`] that need to know all rows are refused.
    #[track_caller]
    pub fn fit_batches<'a, I: IntoIterator<Item = Batch<'a>>>(
        &mut self,
        mut batches: impl FnMut(usize) -> I,
        fit: Fit<'_>,
    ) -> Result<History, Error> {
        let at = At::here();
        self.known_goal("fit_batches", at)?;
        if fit.split != 0.0 || fit.class_weights.is_some() || fit.sample_weights.is_some() {
            let message = "cannot split or weigh rows that it has not seen";
            let help = "pass validation data with `.validation(..)`, and weights with each batch";
            return Err(TypeError::new("fit_batches", at, message, help).into());
        }
        let first = batches(fit.from.epoch).into_iter().next();
        let Some(first) = first else {
            let help = "give at least one batch";
            return Err(TypeError::new("fit_batches", at, "is given no batches", help).into());
        };
        let (inputs, full) = self.check_inputs("fit_batches", &first.x, true, at)?;
        self.inputs.get_or_insert(inputs);
        let weighted = first.weights.is_some();
        drop(first);

        let mut current: Option<(usize, I::IntoIter)> = None;
        let mut load = |model: &Model, buffers: &mut Buffers, place: Progress| {
            if current.as_ref().is_none_or(|c| c.0 != place.epoch) {
                let mut iterator = batches(place.epoch).into_iter();
                // What was learnt before an interruption is passed by.
                iterator.by_ref().take(place.step).for_each(drop);
                current = Some((place.epoch, iterator));
            }
            let Some(batch) = current.as_mut().and_then(|c| c.1.next()) else { return Ok(0) };
            let (_, rows) = model.check_inputs("fit_batches", &batch.x, true, at)?;
            model.check_ranges("fit_batches", &batch.x, at)?;
            let y = model.check_targets("fit_batches", batch.y, rows, at)?;
            let weights = batch.weights.unwrap_or_default();
            if weighted == weights.is_empty() || (weighted && weights.len() != rows) {
                let message = format!("has {} weights for {rows} rows", weights.len());
                let help = "give a weight for each row in all batches, or in none";
                return Err(TypeError::new("fit_batches", at, message, help).into());
            }
            buffers.fill(&batch.x, &y, 0, rows);
            if weighted {
                buffers.weigh(&weights, &(0..rows).collect::<Vec<_>>());
            }
            Ok(rows)
        };
        let weighing = weighted.then_some(fit.weighing);
        self.train_on(fit, Data { load: &mut load, weighing, steps: None, full, at })
    }

    /// What each row counts, if not all the same.
    fn row_weights(
        &self,
        fit: &Fit<'_>,
        y: &[Values<'_>],
        rows: usize,
        at: At,
    ) -> Result<Option<Vec<f32>>, Error> {
        let fail = |message: String, help: &str| {
            Err(Error::from(TypeError::new("fit", at, message, help)))
        };
        let mut weights = fit.sample_weights.clone();
        if let Some(given) = &weights
            && given.len() != rows
        {
            let message = format!("has {} sample weights for {rows} rows", given.len());
            return fail(message, "give a weight for each row");
        }
        if let Some(of_class) = &fit.class_weights {
            let task = self.known_goal("fit", at)?.losses[0].task();
            let skipped = |label: i32| task == Task::Classes { ignored: Some(label) };
            let all = weights.get_or_insert_with(|| vec![1.0; rows]);
            for (row, weight) in all.iter_mut().enumerate() {
                if let Numbers::I32(v) = y[0].numbers()
                    && y[0].width() == 1
                    && skipped(v[row])
                {
                    continue;
                }
                let label = match (y[0].numbers(), task) {
                    (_, Task::Shares | Task::Numbers) => None,
                    _ if y[0].width() != 1 => None,
                    (Numbers::I32(v), Task::Classes { .. } | Task::Binary) => Some(v[row] as usize),
                    (Numbers::F32(v), Task::Classes { .. } | Task::Binary) => {
                        Some(usize::from(v[row] > 0.5))
                    }
                };
                match label.and_then(|label| of_class.get(label)) {
                    Some(of_class) => *weight *= of_class,
                    None => {
                        let message =
                            format!("has {} class weights, and none for row {row}", of_class.len());
                        let help = "give a weight for each class of a loss with one class per row";
                        return fail(message, help);
                    }
                }
            }
        }
        if let Some((row, weight)) =
            weights.iter().flatten().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.0)
        {
            let message = format!("lets row {row} count {weight}");
            return fail(message, "weights are finite and not negative");
        }
        Ok(weights)
    }

    /// Trains on `data`.
    fn train_on(&mut self, mut fit: Fit<'_>, mut data: Data<'_, '_>) -> Result<History, Error> {
        let mut history =
            History { first_loss: f64::NAN, last_loss: f64::NAN, ..History::default() };
        // Every state exists before a callback may ask for one.
        let built = self.written(Mode::Train, data.full, data.weighing)?.graph.build()?;
        self.store.attach_all(&built)?;
        self.progress = Progress { seed: fit.seed, ..fit.from };
        let pressed = Pressed::listen(fit.interrupt.is_some());
        let bar = progress_bar(fit.progress, fit.epochs, data.steps);
        for callback in &mut fit.callbacks {
            callback.begin(self)?;
        }
        let mut buffers = self.buffers(data.weighing.is_some())?;
        let mut end = End::Finished;
        while self.progress.epoch < fit.epochs {
            end = self.epoch(&mut fit, &mut data, &mut buffers, &mut history, &bar, &pressed)?;
            if !matches!(end, End::Finished) {
                break;
            }
        }
        bar.finish_and_clear();
        match end {
            End::Finished => {}
            End::Stopped(why) => history.stopped = Some(why),
            End::Interrupted => {
                history.interrupted = Some(self.progress);
                if let Some(save) = &mut fit.interrupt {
                    save(self, self.progress)?;
                }
            }
        }
        for callback in &mut fit.callbacks {
            callback.end(self, &history)?;
        }
        Ok(history)
    }

    /// One epoch, or the rest of one.
    fn epoch(
        &mut self,
        fit: &mut Fit<'_>,
        data: &mut Data<'_, '_>,
        buffers: &mut Buffers,
        history: &mut History,
        bar: &ProgressBar,
        pressed: &Pressed,
    ) -> Result<End, Error> {
        let good = self.store.snapshot();
        let rate = self.scheduled_rate();
        let mut totals = Totals::default();
        loop {
            let rows = (data.load)(self, buffers, self.progress)?;
            if rows == 0 {
                break;
            }
            let mut lent = self.lend(Mode::Train, rows, data.weighing)?;
            totals.room(&lent.session, &lent.outputs);
            let start = Instant::now();
            let run = lent.session.run_at(
                &mut self.store,
                &buffers.arrays(),
                &mut totals.arrays(),
                data.at,
            );
            if rows == data.full {
                history.step_us.push(start.elapsed().as_secs_f64() * 1e6);
            }
            self.train.give(lent);
            if let Err(error) = run {
                let error = error.in_step(self.progress);
                // Gradients are not looked at: a step of a finite loss may have broken the weights.
                if matches!(error, Error::NotFinite { .. }) && !self.store.is_finite() {
                    self.store.restore(&good);
                }
                if fit.callbacks.iter_mut().any(|callback| callback.forgives(&error)) {
                    return Ok(End::Stopped(error.to_string()));
                }
                return Err(error);
            }
            totals.add(rows);
            let loss = totals.loss();
            if history.first_loss.is_nan() {
                history.first_loss = loss;
            }
            history.last_loss = loss;
            self.progress.step += 1;
            bar.inc(1);
            let done = self.progress;
            for callback in &mut fit.callbacks {
                if callback.step(self, done, loss)? == Next::Stop {
                    return Ok(End::Stopped("a callback stopped it".to_string()));
                }
            }
            // An epoch whose steps are done is finished first.
            if pressed.is_pressed() && data.steps != Some(done.step) {
                return Ok(End::Interrupted);
            }
        }
        self.progress = Progress { epoch: self.progress.epoch + 1, step: 0, ..self.progress };
        let goal = self.known_goal("fit", data.at)?;
        let mut values = totals.values(goal);
        values.extend(rate.map(|rate| ("learning_rate".to_string(), rate)));
        if let Some((x, y)) = &fit.validation {
            let reached = self.evaluate_values("validation", x, y.clone(), data.at)?;
            values.extend(reached.values.into_iter().map(|(k, v)| (format!("val_{k}"), v)));
        }
        let epoch = Epoch { number: self.progress.epoch, values };
        bar.set_message(epoch.to_string());
        if fit.print {
            // Whoever closes the output ends no training.
            bar.suspend(|| writeln!(std::io::stdout(), "{epoch}").ok());
        }
        let mut next = Next::Continue;
        for callback in &mut fit.callbacks {
            if callback.epoch(self, &epoch)? == Next::Stop {
                next = Next::Stop;
            }
        }
        history.epochs.push(epoch);
        Ok(match next {
            Next::Continue if pressed.is_pressed() => End::Interrupted,
            Next::Continue => End::Finished,
            Next::Stop => End::Stopped("a callback stopped it".to_string()),
        })
    }
}

/// The order of rows in an epoch, which depends on the seed and the number of the epoch alone.
fn epoch_order(rows: usize, seed: u64, epoch: usize, shuffle: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    if shuffle {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(epoch as u64);
        order.shuffle(&mut rng);
    }
    order
}

/// Whether Ctrl-C was pressed, for as long as this lives.
struct Pressed {
    flag: Arc<AtomicBool>,
    signals: Vec<signal_hook::SigId>,
}

impl Pressed {
    /// Listens if asked to. A second Ctrl-C ends the process as usual.
    fn listen(asked: bool) -> Pressed {
        let flag = Arc::new(AtomicBool::new(false));
        let mut signals = vec![];
        if asked {
            let interrupt = signal_hook::consts::SIGINT;
            let again =
                signal_hook::flag::register_conditional_shutdown(interrupt, 130, Arc::clone(&flag));
            let once = signal_hook::flag::register(interrupt, Arc::clone(&flag));
            // Where signals cannot be had, Ctrl-C ends the process as always.
            signals.extend([again, once].into_iter().flatten());
        }
        Pressed { flag, signals }
    }

    fn is_pressed(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

impl Drop for Pressed {
    fn drop(&mut self) {
        self.signals.drain(..).for_each(|id| {
            signal_hook::low_level::unregister(id);
        });
    }
}

/// A bar on standard error, hidden when that is no terminal.
fn progress_bar(wanted: bool, epochs: usize, steps: Option<usize>) -> ProgressBar {
    let target = if wanted && std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let length = steps.map(|steps| (steps * epochs) as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(length, target).with_style(style)
}
