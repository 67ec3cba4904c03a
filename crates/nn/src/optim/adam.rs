//! Adam, in the conventions of several frameworks.

use super::gradients::Gradients;
use super::step::Step;
use crate::allowed::Allowed;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Which square root of Adam's second moment ε is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpsilonMode {
    /// To that of the corrected moment, as in the paper's algorithm 1 and in PyTorch:
    /// `lr · m̂ / (sqrt(v̂) + ε)` with `m̂ = m/(1-β₁ᵗ)` and `v̂ = v/(1-β₂ᵗ)`.
    #[default]
    Corrected,
    /// To that of the moment itself, as at the end of the paper's section 2 ("ε hat") and in Keras:
    /// `lr · sqrt(1-β₂ᵗ)/(1-β₁ᵗ) · m / (sqrt(v) + ε)`.
    Uncorrected,
}

/// Adam, and AdamW with [`Adam::weight_decay`].
///
/// `m ← β₁m + (1-β₁)g`, `v ← β₂v + (1-β₂)g²`, `p ← p - lr · m̂ / (sqrt(v̂) + ε)` with `m̂ = m/(1-β₁ᵗ)` and
/// `v̂ = v/(1-β₂ᵗ)`; [`EpsilonMode`] has another form of the last. States: `adam.step` (counter), `adam.learning_rate`,
/// `adam.m.…` and `adam.v.…` per parameter.
///
/// # Source
/// Kingma and Ba 2015, algorithm 1; the decay: Loshchilov and Hutter 2019, algorithm 2
#[doc(alias = "AdamW")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Step size, initial value of the state `adam.learning_rate`.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root, outside of it.
    pub epsilon: f64,
    /// Which square root that is.
    pub epsilon_mode: EpsilonMode,
    /// Part of each parameter, times the learning rate, that a step takes off first; 0 by default.
    pub weight_decay: f64,
    /// What happens to gradients before.
    pub gradients: Gradients,
}

impl Adam {
    /// Adam with β₁ = 0.9, β₂ = 0.999, ε = 1e-8, [`EpsilonMode::Corrected`]: the defaults of PyTorch.
    pub fn new(learning_rate: f64) -> Adam {
        Adam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            epsilon_mode: EpsilonMode::Corrected,
            weight_decay: 0.0,
            gradients: Gradients::default(),
        }
    }

    /// With other decays of the moments, both at least 0 and below 1.
    pub fn betas(self, beta1: f64, beta2: f64) -> Adam {
        Adam { beta1, beta2, ..self }
    }

    /// With another ε, above 0.
    pub fn epsilon(self, epsilon: f64) -> Adam {
        Adam { epsilon, ..self }
    }

    /// With ε added elsewhere. Keras' defaults are `.epsilon(1e-7).epsilon_mode(EpsilonMode::Uncorrected)`.
    pub fn epsilon_mode(self, epsilon_mode: EpsilonMode) -> Adam {
        Adam { epsilon_mode, ..self }
    }

    /// AdamW: every parameter is first made smaller, `p ← p - lr · decay · p`. The decay passes by the moments, unlike
    /// that of [`Adam::l2`].
    pub fn weight_decay(self, decay: f64) -> Adam {
        Adam { weight_decay: decay, ..self }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Numerics
    /// `1 - βᵗ` is computed as `-expm1(t · log β)`, without cancellation.
    /// # Errors
    /// Recorded in the graph: no parameters, a graph that has a train step, a hyper-parameter that cannot be.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let hypers = [
            ("beta1", self.beta1, Allowed::BelowOne),
            ("beta2", self.beta2, Allowed::BelowOne),
            ("epsilon", self.epsilon, Allowed::Positive),
            ("weight_decay", self.weight_decay, Allowed::NotNegative),
        ];
        let rate = self.learning_rate;
        let Some(step) = Step::begin("adam", loss, rate, &self.gradients, &hypers) else { return };
        let t = step.count();
        let (c1, c2) = (correction(t, self.beta1), correction(t, self.beta2));
        for one in &step.params {
            let &(param, _, g) = one;
            let (m, v) = (step.memory("m", one, 0.0), step.memory("v", one, 0.0));
            let m_next = m * self.beta1 + g * (1.0 - self.beta1);
            let v_next = v * self.beta2 + g.square() * (1.0 - self.beta2);
            step.write(m, m_next);
            step.write(v, v_next);
            let change = match self.epsilon_mode {
                EpsilonMode::Corrected => {
                    step.rate * ((m_next / c1) / ((v_next / c2).sqrt() + self.epsilon))
                }
                EpsilonMode::Uncorrected => {
                    step.rate * c2.sqrt() / c1 * (m_next / (v_next.sqrt() + self.epsilon))
                }
            };
            step.write(param, step.decayed(param, self.weight_decay) - change);
        }
    }
}

/// `1 - βᵗ`, which is 1 for β = 0.
#[track_caller]
fn correction<'g>(t: Tensor<'g>, beta: f64) -> Tensor<'g> {
    if beta == 0.0 { t.graph().constant(1.0) } else { -(t * beta.ln()).expm1() }
}
