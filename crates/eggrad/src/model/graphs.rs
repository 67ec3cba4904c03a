//! The graphs of a model: how the module, its losses and its optimizer are written for batches of some rows.

use super::Model;
use crate::error::Error;
use eggrad_ir::{At, DType, TensorType};
use eggrad_nn::loss::{Weighing, mean_loss};
use eggrad_nn::metrics::Seen;
use eggrad_nn::{Context, Graph, LayerRow, Mode, Tensor};

/// A graph as it was written.
pub(super) struct Written {
    pub(super) graph: Graph,
    pub(super) outputs: Vec<Slot>,
    pub(super) layers: Vec<LayerRow>,
}

/// What an output of a graph holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// What is made small: all losses and penalties.
    Loss,
    /// Mean of one loss, where there are several terms.
    Part(usize),
    /// What the predictions of one loss count together.
    Weight(usize),
    /// What layers add to the loss.
    Penalty,
    /// A sum of a metric.
    Metric(usize),
    /// A result.
    Prediction,
}

impl Model {
    /// The graph of this mode for `rows` rows, whose rows count as an input says where they are weighed.
    ///
    /// # Errors
    /// When inputs are not known. Mistakes in the model are in the graph.
    pub(super) fn written(
        &self,
        mode: Mode,
        rows: usize,
        weighing: Option<Weighing>,
    ) -> Result<Written, Error> {
        let inputs = self.known_inputs("model", At::Unknown)?.to_vec();
        let graph = Graph::new();
        let (outputs, layers) = self.write(&graph, &inputs, mode, rows, weighing);
        Ok(Written { graph, outputs, layers })
    }

    /// Writes it into `g`.
    pub(super) fn write(
        &self,
        g: &Graph,
        inputs: &[TensorType],
        mode: Mode,
        rows: usize,
        weighing: Option<Weighing>,
    ) -> (Vec<Slot>, Vec<LayerRow>) {
        let cx = Context::new(g, mode);
        let declare = |(i, ty): (usize, &TensorType)| {
            g.input_of(&numbered("input", i, inputs.len()), ty.dtype, batch(rows, ty))
        };
        // Inputs are of no line of the user's.
        let inputs: Vec<Tensor<'_>> =
            g.written_at(Some(At::Unknown), || inputs.iter().enumerate().map(declare).collect());
        let made = self.module.forward(&cx, &inputs);
        let slots = match mode {
            Mode::Predict => {
                for (i, output) in made.iter().enumerate() {
                    let float = output.ty().is_none_or(|ty| ty.dtype == DType::F32);
                    let output = if float { *output } else { output.cast(DType::F32) };
                    g.output(&numbered("output", i, made.len()), output);
                }
                g.freeze();
                vec![Slot::Prediction; made.len()]
            }
            Mode::Train | Mode::Evaluate => {
                let line = self.goal.as_ref().map(|goal| goal.at);
                g.written_at(line, || self.write_loss(&cx, &made, mode, rows, weighing))
            }
        };
        (slots, cx.rows())
    }

    fn write_loss<'g>(
        &self,
        cx: &Context<'g>,
        made: &[Tensor<'g>],
        mode: Mode,
        rows: usize,
        weighing: Option<Weighing>,
    ) -> Vec<Slot> {
        let g = cx.graph();
        let Some(goal) = &self.goal else { return vec![] };
        if goal.losses.len() != made.len() {
            let message = format!("has {} losses for {} outputs", goal.losses.len(), made.len());
            cx.fail("compile", At::Unknown, message, "pass a tuple with one loss for each output");
            return vec![];
        }
        for (i, output) in made.iter().enumerate() {
            if let Some(ty) = output.ty().filter(|ty| !ty.dtype.is_float()) {
                let message = format!("has a loss of output {i}, which is {ty}");
                let help = "let the last layer make floats";
                cx.fail("compile", At::Unknown, message, help);
                return vec![];
            }
        }
        let targets: Vec<Option<Tensor<'g>>> = made
            .iter()
            .zip(&goal.losses)
            .enumerate()
            .map(|(i, (output, loss))| {
                let (ty, range) = loss.task().target(&output.ty()?);
                let name = numbered("target", i, made.len());
                let target = g.input_of(&name, ty.dtype, ty.shape);
                if let Some((low, high)) = range {
                    g.limit(target, f64::from(low), f64::from(high));
                }
                Some(target)
            })
            .collect();
        let weights = weighing.map(|weighing| (g.input("weights", [rows]), weighing));

        let mut slots = vec![];
        let mut parts = vec![];
        let mut total: Option<Tensor<'g>> = None;
        let mut seen = vec![];
        for (i, ((output, loss), target)) in made.iter().zip(&goal.losses).zip(&targets).enumerate()
        {
            let Some(target) = *target else { return vec![] };
            let mean = mean_loss(&**loss, *output, target, weights);
            let factor = loss.factor();
            let term = if factor == 1.0 { mean.loss } else { mean.loss * factor };
            total = Some(total.map_or(term, |total| total + term));
            parts.push((Slot::Part(i), mean.loss));
            if let Some(weight) = mean.weight {
                parts.push((Slot::Weight(i), weight));
            }
            seen.push(Seen {
                prediction: *output,
                probabilities: loss.probabilities(*output),
                target,
                task: loss.task(),
                mask: mean.mask,
            });
        }
        let Some(mut loss) = total else { return vec![] };
        if let Some(penalty) = cx.penalties() {
            loss = loss + penalty;
            parts.push((Slot::Penalty, penalty));
        }
        g.output("loss", loss);
        slots.push(Slot::Loss);
        let several = parts.iter().any(|p| p.0 == Slot::Penalty) || made.len() > 1;
        for (slot, value) in parts {
            let name = match slot {
                Slot::Part(_) if !several => continue,
                Slot::Part(i) => format!("loss_{i}"),
                Slot::Weight(i) => format!("weight_{i}"),
                Slot::Penalty => "penalty".to_string(),
                Slot::Loss | Slot::Metric(_) | Slot::Prediction => continue,
            };
            g.output(&name, value);
            slots.push(slot);
        }
        for (m, metric) in goal.metrics.iter().enumerate() {
            let Some(seen) = seen.get(metric.output()) else {
                let message = format!("looks at output {} of {}", metric.output(), made.len());
                cx.fail(&metric.name(), At::Unknown, message, "outputs count from 0");
                continue;
            };
            for (k, sum) in metric.sums(seen).into_iter().enumerate() {
                g.output(&format!("metric_{m}_{k}"), sum);
                slots.push(Slot::Metric(m));
            }
        }
        if mode == Mode::Train {
            goal.optimizer.minimize_loss(loss);
        } else {
            g.freeze();
        }
        slots
    }
}

/// `name` alone, or with a number where there are several.
fn numbered(name: &str, i: usize, count: usize) -> String {
    if count == 1 { name.to_string() } else { format!("{name}_{i}") }
}

/// Sizes of `rows` rows of this type.
fn batch(rows: usize, row: &TensorType) -> Vec<usize> {
    [&[rows], row.shape.dims()].concat()
}
