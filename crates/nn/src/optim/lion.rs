//! Steps of one size in the direction of a mean gradient.

use super::gradients::Gradients;
use super::step::Step;
use crate::allowed::Allowed;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Lion: `p ← p - lr · (sign(β₁m + (1-β₁)g) + decay · p)`, then `m ← β₂m + (1-β₂)g`. States: `lion.learning_rate`, and
/// `lion.m.…` per parameter. Its steps are larger than Adam's: a third to a tenth of the learning rate fits.
///
/// # Source
/// Chen et al. 2023, algorithm 2
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lion {
    /// Step size, initial value of the state `lion.learning_rate`.
    pub learning_rate: f64,
    /// Part of the old mean in the direction of the step.
    pub beta1: f64,
    /// Decay of the mean gradient.
    pub beta2: f64,
    /// Part of each parameter, times the learning rate, that a step takes off; 0 by default.
    pub weight_decay: f64,
    /// What happens to gradients before.
    pub gradients: Gradients,
}

impl Lion {
    /// Lion with β₁ = 0.9, β₂ = 0.99: the defaults of the paper.
    pub fn new(learning_rate: f64) -> Lion {
        let gradients = Gradients::default();
        Lion { learning_rate, beta1: 0.9, beta2: 0.99, weight_decay: 0.0, gradients }
    }

    /// With other decays of the mean gradient, both at least 0 and below 1.
    pub fn betas(self, beta1: f64, beta2: f64) -> Lion {
        Lion { beta1, beta2, ..self }
    }

    /// With every parameter made smaller by `lr · decay` of it in each step.
    pub fn weight_decay(self, decay: f64) -> Lion {
        Lion { weight_decay: decay, ..self }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Errors
    /// Recorded in the graph: no parameters, a graph that has a train step, a hyper-parameter that cannot be.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let hypers = [
            ("beta1", self.beta1, Allowed::BelowOne),
            ("beta2", self.beta2, Allowed::BelowOne),
            ("weight_decay", self.weight_decay, Allowed::NotNegative),
        ];
        let rate = self.learning_rate;
        let Some(step) = Step::begin("lion", loss, rate, &self.gradients, &hypers) else { return };
        for one in &step.params {
            let &(param, _, g) = one;
            let m = step.memory("m", one, 0.0);
            let direction = (m * self.beta1 + g * (1.0 - self.beta1)).sign();
            step.write(m, m * self.beta2 + g * (1.0 - self.beta2));
            step.write(param, step.decayed(param, self.weight_decay) - step.rate * direction);
        }
    }
}
