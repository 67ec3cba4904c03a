//! What happens to gradients before an optimizer sees them.

use super::schedule::Schedule;
use crate::allowed::{Allowed, Setting};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What happens to gradients before an optimizer sees them: they are averaged over several runs, then the penalty on
/// weights is added, then they are clipped. Nothing by default.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradients {
    /// Factor λ of the penalty `λ · Σ w²`, whose gradient `2λw` is added to that of each weight.
    pub l2: f64,
    /// Bound of every single element.
    pub clip_value: Option<f64>,
    /// Bound of the norm of all gradients together.
    pub clip_global_norm: Option<f64>,
    /// Runs whose gradients are averaged before one step is taken; 0 is 1.
    pub accumulate: u32,
    /// How the learning rate changes from step to step.
    pub schedule: Schedule,
}

/// A parameter, its name and its gradient.
pub(super) type Graded<'g> = (Tensor<'g>, String, Tensor<'g>);

/// Whether the parameter of this path is a weight: whether its own name, what follows the last dot, begins with `w`.
fn is_weight(path: &str) -> bool {
    let own = path.rsplit('.').next().unwrap_or(path);
    own.starts_with(['w', 'W'])
}

impl Gradients {
    /// What the numbers have to be.
    pub(super) fn hypers(&self) -> Vec<Setting> {
        let mut hypers = vec![("l2", self.l2, Allowed::NotNegative)];
        hypers.extend(self.clip_value.map(|c| ("clip_value", c, Allowed::Positive)));
        hypers.extend(self.clip_global_norm.map(|c| ("clip_global_norm", c, Allowed::Positive)));
        hypers
    }

    /// Why these cannot be used together, or on the parameters of these names; and what to do.
    pub(super) fn misfit(&self, names: &[String]) -> Option<(String, &'static str)> {
        if self.clip_value.is_some() && self.clip_global_norm.is_some() {
            let message = "cannot clip both single elements and the norm of all";
            return Some((message.into(), "call `clip_value` or `clip_global_norm`"));
        }
        if self.l2 > 0.0 && !names.iter().any(|n| is_weight(n)) {
            let message =
                format!("finds no weights for its `l2` penalty among {}", names.join(", "));
            return Some((message, "let the names of weights begin with `w`, or leave `l2` out"));
        }
        None
    }

    /// The gradients that the optimizer sees.
    #[track_caller]
    pub(super) fn treat<'g>(&self, mut all: Vec<Graded<'g>>) -> Vec<Graded<'g>> {
        if self.l2 > 0.0 {
            for (param, name, gradient) in &mut all {
                if is_weight(name) {
                    *gradient = *gradient + *param * (2.0 * self.l2);
                }
            }
        }
        if let Some(bound) = self.clip_value {
            for (_, _, gradient) in &mut all {
                *gradient = gradient.clamp(-bound, bound);
            }
        }
        if let Some(bound) = self.clip_global_norm {
            let mut squares: Option<Tensor<'g>> = None;
            for (_, _, gradient) in &all {
                let own = gradient.square().sum(..);
                squares = Some(match squares {
                    Some(sum) => sum + own,
                    None => own,
                });
            }
            if let Some(squares) = squares {
                // `min(1, c / norm)` without a division by 0.
                let scale = squares.sqrt().maximum(bound).recip() * bound;
                for (_, _, gradient) in &mut all {
                    *gradient = *gradient * scale;
                }
            }
        }
        all
    }
}

/// Methods that every optimizer has, with a field `gradients`.
macro_rules! gradient_methods {
    ($($Optimizer:ident)*) => {$(
        impl super::$Optimizer {
            /// Adds the penalty `factor · Σ w²` to the loss, as its gradient `2 · factor · w`, for weights only:
            /// parameters whose own name begins with `w`, such as `dense1.weight` and not `dense1.bias`. The reported
            /// loss stays without it.
            pub fn l2(mut self, factor: f64) -> Self {
                self.gradients.l2 = factor;
                self
            }

            /// Holds every element of every gradient between `-bound` and `bound`, after the penalty was added.
            pub fn clip_value(mut self, bound: f64) -> Self {
                self.gradients.clip_value = Some(bound);
                self
            }

            /// Averages the gradients of so many runs and takes one step then: as one batch of as many times the rows.
            /// Other runs change nothing but the sums (states `name.sum.…`) and their count (`name.run`).
            pub fn accumulate(mut self, runs: u32) -> Self {
                self.gradients.accumulate = runs;
                self
            }

            /// Lets the learning rate change from step to step, computed in the step from the number of steps taken
            /// (state `name.step`).
            pub fn schedule(mut self, schedule: super::Schedule) -> Self {
                self.gradients.schedule = schedule;
                self
            }

            /// Scales all gradients by `min(1, bound / norm)` with the Euclidean norm of all of them together, after
            /// the penalty was added: the direction of the step stays (Pascanu, Mikolov and Bengio 2013, algorithm 1).
            ///
            /// # Numerics
            /// Gradients whose squares overflow have an infinite norm and are scaled to 0.
            pub fn clip_global_norm(mut self, bound: f64) -> Self {
                self.gradients.clip_global_norm = Some(bound);
                self
            }
        }
    )*};
}

gradient_methods! { Adam Sgd RmsProp Adagrad Lion }
