//! What every optimizer does around its formula.

use super::gradients::{Graded, Gradients};
use crate::allowed::{Allowed, Setting};
use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, StateKind, TensorType, TypeError};
use std::cell::Cell;

/// Prefixes of the states of all optimizers.
const NAMES: [&str; 5] = ["adam", "sgd", "rmsprop", "adagrad", "lion"];

/// A train step being written.
pub(super) struct Step<'g> {
    pub(super) graph: &'g Graph,
    name: &'static str,
    /// The learning rate, one number.
    pub(super) rate: Tensor<'g>,
    /// Every trainable parameter with its name and the gradient that the formula takes.
    pub(super) params: Vec<Graded<'g>>,
    /// Whether this run takes a step; `None` when every run does.
    takes: Option<Tensor<'g>>,
    /// Number of this step, from 1, where it has been asked for.
    number: Cell<Option<Tensor<'g>>>,
    at: At,
}

impl<'g> Step<'g> {
    /// A step of the optimizer called `name` for every trainable parameter declared so far, with `loss` as the value
    /// that must be finite before anything is written.
    ///
    /// # Errors
    /// Recorded in the graph: a hyper-parameter that cannot be, no parameters, a graph that has a train step.
    #[track_caller]
    pub(super) fn begin(
        name: &'static str,
        loss: Tensor<'g>,
        rate: f64,
        gradients: &Gradients,
        hypers: &[Setting],
    ) -> Option<Step<'g>> {
        let at = At::here();
        let graph = loss.graph();
        let first: [Setting; 1] = [("learning_rate", rate, Allowed::NotNegative)];
        let hypers: Vec<Setting> =
            first.iter().chain(hypers).chain(&gradients.hypers()).copied().collect();
        let valid = graph.allows(name, at, &hypers);
        loss.id()?;
        let states = graph.params();
        let named = states.into_iter().filter_map(|p| Some((p, graph.state_name(p)?)));
        let (params, names): (Vec<Tensor<'g>>, Vec<String>) = named.unzip();
        let trained = NAMES.iter().any(|n| graph.has_state(&format!("{n}.learning_rate")));
        let (message, help) = if trained {
            let message = "is called on a graph that has a train step";
            (message.to_string(), "add losses up and minimize their sum once")
        } else if params.is_empty() {
            let help =
                "declare parameters with `param` or layers before it, and train at least one";
            ("finds no parameters to train".to_string(), help)
        } else {
            gradients.misfit(&names).unwrap_or_default()
        };
        if !message.is_empty() {
            graph.record(TypeError::new("minimize", at, message, help));
            return None;
        }
        if !valid {
            return None;
        }
        graph.guard_at(loss, at);
        let mut all: Vec<Graded<'g>> = vec![];
        for (param, name) in params.into_iter().zip(names) {
            all.push((param, name, loss.grad(param)));
        }
        let ty = TensorType::scalar(graph.float());
        let path = format!("{name}.learning_rate");
        let rate = graph.declare_root(&path, StateKind::Slot, ty, Init::Constant(rate), at);
        let (params, takes, number) = (vec![], None, Cell::new(None));
        let mut step = Step { graph, name, rate, params, takes, number, at };
        let all = step.averaged(all, gradients.accumulate);
        step.params = gradients.treat(all);
        if let Some(message) = gradients.schedule.misfit() {
            let help = "steps are at least 1, factors finite and not negative";
            graph.record(TypeError::new(name, at, message, help));
            return None;
        }
        if !gradients.schedule.is_constant() {
            step.rate = rate * gradients.schedule.of(step.count() - 1.0);
        }
        Some(step)
    }

    /// Gradients averaged over `runs` runs, in the last of which a step is taken.
    #[track_caller]
    fn averaged(&mut self, all: Vec<Graded<'g>>, runs: u32) -> Vec<Graded<'g>> {
        if runs < 2 {
            return all;
        }
        let ty = TensorType::scalar(DType::I32);
        let path = format!("{}.run", self.name);
        let run = self.graph.declare_root(&path, StateKind::Counter, ty, Init::Zeros, self.at);
        let last = run.ge(f64::from(runs - 1));
        self.graph.write(run, last.select(0.0, run + 1.0));
        self.takes = Some(last);
        let mut averaged = vec![];
        for (param, path, gradient) in all {
            let one = (param, path, gradient);
            let sum = self.memory("sum", &one, 0.0);
            let total = sum + one.2;
            self.graph.write(sum, last.select(0.0, total));
            averaged.push((one.0, one.1, total / f64::from(runs)));
        }
        averaged
    }

    /// Writes `value` to `state` in runs that take a step.
    #[track_caller]
    pub(super) fn write(&self, state: Tensor<'g>, value: Tensor<'g>) {
        let value = self.takes.map_or(value, |takes| takes.select(value, state));
        self.graph.write(state, value);
    }

    /// Declares the number of finished steps, one `i32`, and returns that of this step as a float: 1 in the first.
    #[track_caller]
    pub(super) fn count(&self) -> Tensor<'g> {
        if let Some(number) = self.number.get() {
            return number;
        }
        let ty = TensorType::scalar(DType::I32);
        let path = format!("{}.step", self.name);
        let step = self.graph.declare_root(&path, StateKind::Counter, ty, Init::Zeros, self.at);
        let next = step + 1.0;
        self.write(step, next);
        let number = next.cast(self.graph.float());
        self.number.set(Some(number));
        number
    }

    /// `p - lr · decay · p`
    #[track_caller]
    pub(super) fn decayed(&self, param: Tensor<'g>, decay: f64) -> Tensor<'g> {
        if decay == 0.0 { param } else { param - self.rate * decay * param }
    }

    /// Memory called `what` for `param`, of its shape, that begins with `initial` everywhere.
    pub(super) fn memory(&self, what: &str, param: &Graded<'g>, initial: f64) -> Tensor<'g> {
        let path = format!("{}.{what}.{}", self.name, param.1);
        let init = if initial == 0.0 { Init::Zeros } else { Init::Constant(initial) };
        match param.0.ty() {
            Some(ty) => self.graph.declare_root(&path, StateKind::Slot, ty, init, self.at),
            None => param.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adagrad, Adam, Lion, RmsProp, Sgd};

    #[test]
    fn every_optimizer_keeps_its_rate_under_a_known_name() {
        let minimizers: [fn(Tensor<'_>); 5] = [
            |loss| Adam::new(0.1).minimize(loss),
            |loss| Sgd::new(0.1).minimize(loss),
            |loss| RmsProp::new(0.1).minimize(loss),
            |loss| Adagrad::new(0.1).minimize(loss),
            |loss| Lion::new(0.1).minimize(loss),
        ];
        for (minimize, name) in minimizers.iter().zip(NAMES) {
            let g = Graph::new();
            let loss = g.param("w", [2], Init::Zeros).square().mean();
            minimize(loss);
            assert!(g.has_state(&format!("{name}.learning_rate")), "{name}");
            minimize(loss);
            assert_eq!(g.build().expect_err("a second step").0.len(), 1, "{name}");
        }
    }
}
