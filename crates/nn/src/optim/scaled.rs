//! Optimizers that divide each gradient by the size it used to have.

use super::gradients::Gradients;
use super::step::Step;
use crate::allowed::Allowed;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// RMSProp: `v ← ρv + (1-ρ)g²`, `p ← p - lr · g / sqrt(v + ε)`. States: `rmsprop.learning_rate`, and `rmsprop.v.…` per
/// parameter.
///
/// # Source
/// Tieleman and Hinton 2012, lecture 6e, with ε inside the root as in Keras
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsProp {
    /// Step size, initial value of the state `rmsprop.learning_rate`.
    pub learning_rate: f64,
    /// Decay of the mean square.
    pub rho: f64,
    /// Added to the mean square, inside the root.
    pub epsilon: f64,
    /// What happens to gradients before.
    pub gradients: Gradients,
}

impl RmsProp {
    /// RMSProp with ρ = 0.9, ε = 1e-7: the defaults of Keras.
    pub fn new(learning_rate: f64) -> RmsProp {
        RmsProp { learning_rate, rho: 0.9, epsilon: 1e-7, gradients: Gradients::default() }
    }

    /// With another decay of the mean square, at least 0 and below 1.
    pub fn rho(self, rho: f64) -> RmsProp {
        RmsProp { rho, ..self }
    }

    /// With another ε, above 0.
    pub fn epsilon(self, epsilon: f64) -> RmsProp {
        RmsProp { epsilon, ..self }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Errors
    /// Recorded in the graph: no parameters, a graph that has a train step, a hyper-parameter that cannot be.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let hypers =
            [("rho", self.rho, Allowed::BelowOne), ("epsilon", self.epsilon, Allowed::Positive)];
        let rate = self.learning_rate;
        let step = Step::begin("rmsprop", loss, rate, &self.gradients, &hypers);
        let Some(step) = step else { return };
        for one in &step.params {
            let &(param, _, g) = one;
            let v = step.memory("v", one, 0.0);
            let v_next = v * self.rho + g.square() * (1.0 - self.rho);
            step.write(v, v_next);
            let change = step.rate * (g / root(v_next, self.epsilon));
            step.write(param, param - change);
        }
    }
}

/// Adagrad: `a ← a + g²`, `p ← p - lr · g / sqrt(a + ε)`. States: `adagrad.learning_rate`, and `adagrad.a.…` per
/// parameter.
///
/// # Source
/// Duchi, Hazan and Singer 2011, the diagonal form, with ε inside the root as in Keras
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// Step size, initial value of the state `adagrad.learning_rate`.
    pub learning_rate: f64,
    /// What the sums of squares begin with.
    pub initial_accumulator: f64,
    /// Added to the sum of squares, inside the root.
    pub epsilon: f64,
    /// What happens to gradients before.
    pub gradients: Gradients,
}

impl Adagrad {
    /// Adagrad with sums that begin with 0.1, ε = 1e-7: the defaults of Keras.
    pub fn new(learning_rate: f64) -> Adagrad {
        Adagrad {
            learning_rate,
            initial_accumulator: 0.1,
            epsilon: 1e-7,
            gradients: Gradients::default(),
        }
    }

    /// With sums of squares that begin with `initial`, at least 0.
    pub fn initial_accumulator(self, initial: f64) -> Adagrad {
        Adagrad { initial_accumulator: initial, ..self }
    }

    /// With another ε, above 0.
    pub fn epsilon(self, epsilon: f64) -> Adagrad {
        Adagrad { epsilon, ..self }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Errors
    /// Recorded in the graph: no parameters, a graph that has a train step, a hyper-parameter that cannot be.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let hypers = [
            ("initial_accumulator", self.initial_accumulator, Allowed::NotNegative),
            ("epsilon", self.epsilon, Allowed::Positive),
        ];
        let rate = self.learning_rate;
        let step = Step::begin("adagrad", loss, rate, &self.gradients, &hypers);
        let Some(step) = step else { return };
        for one in &step.params {
            let &(param, _, g) = one;
            let a = step.memory("a", one, self.initial_accumulator);
            let a_next = a + g.square();
            step.write(a, a_next);
            let change = step.rate * (g / root(a_next, self.epsilon));
            step.write(param, param - change);
        }
    }
}

/// `sqrt(v + ε)` of a mean or sum of squares. That it is at least 0 is said to the optimizer of graphs, which sees only
/// a state of unknown sign.
#[track_caller]
fn root<'g>(v: Tensor<'g>, epsilon: f64) -> Tensor<'g> {
    (v.maximum(0.0) + epsilon).sqrt()
}
