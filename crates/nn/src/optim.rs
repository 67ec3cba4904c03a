//! Optimizers as graph builders: the update is part of the train step, and their memory is state.

use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, StateKind, TensorType, TypeError};

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

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Numerics
    /// `1 - βᵗ` is computed as `-expm1(t · log β)`, without cancellation.
    /// # Errors
    /// Recorded in the graph: no parameters, or a graph that has a train step.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let at = At::here();
        let graph: &Graph = loss.graph();
        let Some(params) = trained(loss, at) else { return };
        let float = graph.float();
        let scalar = |name: &str, kind, dtype, init| {
            graph.declare_root(name, kind, TensorType::scalar(dtype), init, at)
        };
        let step = scalar("adam.step", StateKind::Counter, DType::I32, Init::Zeros);
        let rate = Init::Constant(self.learning_rate);
        let rate = scalar("adam.learning_rate", StateKind::Slot, float, rate);

        let next = step + 1.0;
        graph.write(step, next);
        let t = next.cast(float);
        let correction = |beta: f64| -(t * beta.ln()).expm1();
        let (c1, c2) = (correction(self.beta1), correction(self.beta2));

        for param in params {
            let (Some(ty), Some(name)) = (param.ty(), graph.state_name(param)) else { continue };
            let slot = |moment: &str| {
                let path = format!("adam.{moment}.{name}");
                graph.declare_root(&path, StateKind::Slot, ty.clone(), Init::Zeros, at)
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

    /// Adds to the graph of `loss` one step for every trainable parameter declared so far, and makes `loss` the value
    /// that must be finite before anything is written.
    ///
    /// # Errors
    /// Recorded in the graph: no parameters, or a graph that has a train step.
    #[track_caller]
    pub fn minimize(self, loss: Tensor<'_>) {
        let at = At::here();
        let graph: &Graph = loss.graph();
        let Some(params) = trained(loss, at) else { return };
        let ty = TensorType::scalar(graph.float());
        let rate = Init::Constant(self.learning_rate);
        let rate = graph.declare_root("sgd.learning_rate", StateKind::Slot, ty, rate, at);
        for param in params {
            graph.write(param, param - rate * loss.grad(param));
        }
    }
}

/// The parameters that a train step for `loss` changes, with `loss` made the guard; or a recorded error.
fn trained(loss: Tensor<'_>, at: At) -> Option<Vec<Tensor<'_>>> {
    let graph = loss.graph();
    loss.id()?;
    let params = graph.params();
    let (message, help) = if ["adam.step", "sgd.learning_rate"].iter().any(|s| graph.has_state(s)) {
        ("is called on a graph that has a train step", "add losses up and minimize their sum once")
    } else if params.is_empty() {
        ("finds no parameters", "declare parameters with `param` or layers before it")
    } else {
        graph.guard_at(loss, at);
        return Some(params);
    };
    graph.record(TypeError::new("minimize", at, message, help));
    None
}
