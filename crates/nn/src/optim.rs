//! Optimizers as graph builders: the update is part of the train step, and their memory is state.

use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{DType, StateKind, TensorType};

/// Adam (Kingma and Ba 2015, algorithm 1).
///
/// `m ← β₁m + (1-β₁)g`, `v ← β₂v + (1-β₂)g²`, `p ← p - lr · m̂ / (sqrt(v̂) + ε)` with `m̂ = m/(1-β₁ᵗ)` and
/// `v̂ = v/(1-β₂ᵗ)`. States: `adam.step` (counter), `adam.learning_rate`, `adam.m.…` and `adam.v.…` per parameter; the
/// rate can be changed between steps without compiling again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Step size, initial value of the state `adam.learning_rate`.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root, outside of it.
    pub epsilon: f64,
}

impl Adam {
    /// Adam with β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    pub fn new(learning_rate: f64) -> Adam {
        Adam { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter, and makes `loss` the value that must be
    /// finite before anything is written.
    ///
    /// # Numerics
    /// `1 - βᵗ` is computed as `-expm1(t · log β)`, without cancellation.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let graph: &Graph = loss.graph();
        graph.guard(loss);
        let float = graph.float();
        let scalar = |kind, dtype| (kind, TensorType::scalar(dtype));
        let (kind, ty) = scalar(StateKind::Counter, DType::I32);
        let step = graph.state("adam.step", kind, ty, Init::Zeros);
        let (kind, ty) = scalar(StateKind::Slot, float);
        let rate = Init::Constant(self.learning_rate);
        let rate = graph.state("adam.learning_rate", kind, ty, rate);
        let params = graph.params();

        let next = step + 1.0;
        graph.write(step, next);
        let t = next.cast(float);
        let correction = |beta: f64| -(t * beta.ln()).expm1();
        let (c1, c2) = (correction(self.beta1), correction(self.beta2));

        for param in params {
            let (Some(ty), Some(name)) = (param.ty(), graph.state_name(param)) else { continue };
            let slot = |moment: &str| {
                let path = format!("adam.{moment}.{name}");
                graph.state(&path, StateKind::Slot, ty.clone(), Init::Zeros)
            };
            let (m, v) = (slot("m"), slot("v"));
            let g = loss.grad(param);
            let m_next = m * self.beta1 + g * (1.0 - self.beta1);
            let v_next = v * self.beta2 + g.square() * (1.0 - self.beta2);
            graph.write(m, m_next);
            graph.write(v, v_next);
            let update = (m_next / c1) / ((v_next / c2).sqrt() + self.epsilon);
            graph.write(param, param - rate * update);
        }
    }
}

/// Plain gradient descent: `p ← p - lr · g`. State: `sgd.learning_rate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Step size, initial value of the state `sgd.learning_rate`.
    pub learning_rate: f64,
}

impl Sgd {
    /// Gradient descent with the given step size.
    pub fn new(learning_rate: f64) -> Sgd {
        Sgd { learning_rate }
    }

    /// Adds to the graph of `loss` one step for every trainable parameter, and makes `loss` the value that must be
    /// finite before anything is written.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let graph: &Graph = loss.graph();
        graph.guard(loss);
        let ty = TensorType::scalar(graph.float());
        let rate = Init::Constant(self.learning_rate);
        let rate = graph.state("sgd.learning_rate", StateKind::Slot, ty, rate);
        for param in graph.params() {
            graph.write(param, param - rate * loss.grad(param));
        }
    }
}
