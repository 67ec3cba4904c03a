//! Batches on their way to a run, and what runs give on its way to a history.

use super::Goal;
use super::graphs::Slot;
use crate::program::Session;
use crate::values::{IntoValues, Numbers, Values};
use eggrad_ir::{DType, TensorType};
use eggrad_jit::{ArrayMut, ArrayRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows to learn from, as an iterator gives them: inputs and targets, and what each row counts.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    pub(super) x: Vec<Values<'a>>,
    pub(super) y: Vec<Values<'a>>,
    pub(super) weights: Option<Vec<f32>>,
}

impl<'a> Batch<'a> {
    /// Of inputs and targets.
    pub fn new(x: impl IntoValues<'a>, y: impl IntoValues<'a>) -> Batch<'a> {
        Batch { x: x.into_values(), y: y.into_values(), weights: None }
    }

    /// With what each row counts; then all batches need it.
    pub fn weights(self, weights: impl Into<Vec<f32>>) -> Batch<'a> {
        Batch { weights: Some(weights.into()), ..self }
    }
}

/// One array of a batch.
enum Buffer {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

/// Arrays of a batch, in the order of a graph's inputs; kept from step to step.
pub(super) struct Buffers {
    arrays: Vec<(Buffer, usize)>,
}

impl Buffers {
    /// Of rows of these types.
    pub(super) fn new(types: &[TensorType]) -> Buffers {
        let buffer = |ty: &TensorType| match ty.dtype {
            DType::I32 => (Buffer::I32(vec![]), ty.shape.elements()),
            DType::F32 | DType::F64 | DType::I64 | DType::U8 | DType::Bool => {
                (Buffer::F32(vec![]), ty.shape.elements())
            }
        };
        Buffers { arrays: types.iter().map(buffer).collect() }
    }

    /// Makes array number `i` a copy of `values`.
    pub(super) fn copy(&mut self, i: usize, values: &Values<'_>) {
        match (&mut self.arrays[i].0, values.numbers()) {
            (Buffer::F32(to), Numbers::F32(from)) => {
                to.clear();
                to.extend_from_slice(from);
            }
            (Buffer::I32(to), Numbers::I32(from)) => {
                to.clear();
                to.extend_from_slice(from);
            }
            (Buffer::F32(to), Numbers::I32(from)) => {
                to.clear();
                to.extend(from.iter().map(|&v| v as f32));
            }
            (Buffer::I32(to), Numbers::F32(from)) => {
                to.clear();
                to.extend(from.iter().map(|&v| v as i32));
            }
        }
    }

    /// Fills the batch with the rows from `begin` on, in order.
    pub(super) fn fill(&mut self, x: &[Values<'_>], y: &[Values<'_>], begin: usize, count: usize) {
        for (i, values) in x.iter().chain(y).enumerate() {
            self.copy(i, &values.slice(begin, count));
        }
    }

    /// Fills the batch with these rows.
    pub(super) fn gather(&mut self, x: &[Values<'_>], y: &[Values<'_>], rows: &[usize]) {
        for (i, values) in x.iter().chain(y).enumerate() {
            let (buffer, width) = &mut self.arrays[i];
            let width = *width;
            match (buffer, values.numbers()) {
                (Buffer::F32(to), Numbers::F32(from)) => gather(to, from, rows, width, |v| v),
                (Buffer::I32(to), Numbers::I32(from)) => gather(to, from, rows, width, |v| v),
                (Buffer::F32(to), Numbers::I32(from)) => {
                    gather(to, from, rows, width, |v| v as f32);
                }
                (Buffer::I32(to), Numbers::F32(from)) => {
                    gather(to, from, rows, width, |v| v as i32);
                }
            }
        }
    }

    /// Makes the last array what these rows count.
    pub(super) fn weigh(&mut self, weights: &[f32], rows: &[usize]) {
        if let Some((Buffer::F32(to), _)) = self.arrays.last_mut() {
            gather(to, weights, rows, 1, |v| v);
        }
    }

    /// Adds rows of zeros up to `rows`.
    pub(super) fn pad(&mut self, rows: usize) {
        for (buffer, width) in &mut self.arrays {
            match buffer {
                Buffer::F32(v) => v.resize(rows * *width, 0.0),
                Buffer::I32(v) => v.resize(rows * *width, 0),
            }
        }
    }

    pub(super) fn arrays(&self) -> Vec<ArrayRef<'_>> {
        self.arrays
            .iter()
            .map(|(buffer, _)| match buffer {
                Buffer::F32(v) => ArrayRef::F32(v),
                Buffer::I32(v) => ArrayRef::I32(v),
            })
            .collect()
    }
}

/// Makes `to` the rows of `from` with these numbers.
fn gather<T: Copy, U>(
    to: &mut Vec<U>,
    from: &[T],
    rows: &[usize],
    width: usize,
    convert: impl Fn(T) -> U + Copy,
) {
    to.clear();
    for &row in rows {
        to.extend(from[row * width..][..width].iter().copied().map(convert));
    }
}

/// What runs have given, added up.
#[derive(Default)]
pub(super) struct Totals {
    slots: Option<Arc<[Slot]>>,
    /// Outputs of the last run.
    last: Vec<Vec<f32>>,
    /// For each slot: sums of metrics, or sums of a mean times what it counts.
    sums: Vec<Vec<f64>>,
    /// For each slot, what has been counted.
    counted: Vec<f64>,
}

impl Totals {
    /// Room for the outputs of a run.
    pub(super) fn room(&mut self, session: &Session, slots: &Arc<[Slot]>) {
        if self.slots.is_none() {
            let plan = session.program().executable().plan();
            let sizes = || plan.outputs.iter().map(|o| o.ty.shape.elements());
            self.last = sizes().map(|n| vec![0.0; n]).collect();
            self.sums = sizes().map(|n| vec![0.0; n]).collect();
            self.counted = vec![0.0; slots.len()];
            self.slots = Some(Arc::clone(slots));
        }
    }

    pub(super) fn arrays(&mut self) -> Vec<ArrayMut<'_>> {
        self.last.iter_mut().map(|v| ArrayMut::F32(v)).collect()
    }

    /// Loss of the last run.
    pub(super) fn loss(&self) -> f64 {
        self.last.first().and_then(|v| v.first()).map_or(f64::NAN, |&v| f64::from(v))
    }

    /// Adds what a run of `rows` rows gave.
    pub(super) fn add(&mut self, rows: usize) {
        let Some(slots) = &self.slots else { return };
        let weight_of = |part: usize| {
            let place = slots.iter().position(|slot| *slot == Slot::Weight(part));
            place.map_or(rows as f64, |i| f64::from(self.last[i][0]))
        };
        let counts: Vec<f64> = slots
            .iter()
            .map(|slot| match slot {
                Slot::Metric(_) | Slot::Weight(_) => 1.0,
                Slot::Penalty | Slot::Prediction => rows as f64,
                Slot::Loss => weight_of(0),
                Slot::Part(i) => weight_of(*i),
            })
            .collect();
        for (((sum, last), count), counted) in
            self.sums.iter_mut().zip(&self.last).zip(counts).zip(&mut self.counted)
        {
            // What counts nothing is 0 and not NaN.
            sum.iter_mut().zip(last).for_each(|(s, &v)| *s += f64::from(v) * count);
            *counted += count;
        }
    }

    /// The mean of slot number `i`.
    fn mean(&self, i: usize) -> f64 {
        if self.counted[i] == 0.0 { 0.0 } else { self.sums[i][0] / self.counted[i] }
    }

    /// The loss and the metrics of `goal`.
    pub(super) fn values(&self, goal: &Goal) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        let Some(slots) = &self.slots else { return values };
        let mut terms = vec![];
        for (i, slot) in slots.iter().enumerate() {
            match slot {
                Slot::Loss => {
                    values.insert("loss".to_string(), self.mean(i));
                }
                Slot::Part(part) => {
                    terms.push(goal.losses[*part].factor() * self.mean(i));
                    if goal.losses.len() > 1 {
                        values.insert(format!("loss_{part}"), self.mean(i));
                    }
                }
                Slot::Penalty => terms.push(self.mean(i)),
                Slot::Weight(_) | Slot::Metric(_) | Slot::Prediction => {}
            }
        }
        // Losses of several outputs have a mean each.
        if !terms.is_empty() {
            values.insert("loss".to_string(), terms.iter().sum());
        }
        for (name, sums) in self.metric_sums(goal) {
            let metric = goal.metrics.iter().find(|m| m.name() == name);
            values.extend(metric.map(|m| (name, m.value(&sums))));
        }
        values
    }

    /// The sums of each metric of `goal`.
    pub(super) fn metric_sums(&self, goal: &Goal) -> BTreeMap<String, Vec<f64>> {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (slot, sums) in self.slots.iter().flat_map(|s| s.iter()).zip(&self.sums) {
            if let Some(metric) = slot.metric() {
                all.entry(goal.metrics[metric].name()).or_default().extend(sums);
            }
        }
        all
    }
}
