//! Gradient descent, with momentum or without.

use super::gradients::Gradients;
use super::step::Step;
use crate::allowed::Allowed;
use crate::tensor::Tensor;
use eggrad_ir::{At, TypeError};
use serde::{Deserialize, Serialize};

/// Gradient descent.
///
/// Plain: `p ← p - lr·g`. With momentum μ: `m ← μm - lr·g`, `p ← p + m`. With Nesterov's momentum:
/// `m ← μm - lr·g`, `p ← p + μm - lr·g` with the new `m`. States: `sgd.learning_rate`, and with momentum `sgd.m.…` per
/// parameter.
///
/// # Source
/// Polyak 1964; Sutskever et al. 2013, equations 1 to 4, in the form of Keras
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Step size, initial value of the state `sgd.learning_rate`.
    pub learning_rate: f64,
    /// Part of the last step that is taken again; 0 by default.
    pub momentum: f64,
    /// Whether the gradient counts as taken after the momentum's part of the step; not by default.
    pub nesterov: bool,
    /// What happens to gradients before.
    pub gradients: Gradients,
}

impl Sgd {
    /// Plain gradient descent with the given step size.
    pub fn new(learning_rate: f64) -> Sgd {
        Sgd { learning_rate, momentum: 0.0, nesterov: false, gradients: Gradients::default() }
    }

    /// With momentum, `0 <= momentum < 1`; 0.9 is usual.
    pub fn momentum(self, momentum: f64) -> Sgd {
        Sgd { momentum, ..self }
    }

    /// With Nesterov's form of momentum.
    pub fn nesterov(self) -> Sgd {
        Sgd { nesterov: true, ..self }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Errors
    /// Recorded in the graph: no parameters, a graph that has a train step, a hyper-parameter that cannot be,
    /// Nesterov's form without momentum.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        if self.nesterov && self.momentum == 0.0 {
            let message = "takes Nesterov's form of no momentum";
            let help = "call `.momentum(0.9)` too, or leave `.nesterov()` out";
            loss.graph().record(TypeError::new("sgd", At::here(), message, help));
            return;
        }
        let hypers = [("momentum", self.momentum, Allowed::BelowOne)];
        let rate = self.learning_rate;
        let Some(step) = Step::begin("sgd", loss, rate, &self.gradients, &hypers) else { return };
        for one in &step.params {
            let &(param, _, g) = one;
            let descent = step.rate * g;
            if self.momentum == 0.0 {
                step.write(param, param - descent);
                continue;
            }
            let m = step.memory("m", one, 0.0);
            let m_next = m * self.momentum - descent;
            step.write(m, m_next);
            let change = if self.nesterov { m_next * self.momentum - descent } else { m_next };
            step.write(param, param + change);
        }
    }
}
