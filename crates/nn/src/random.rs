//! Random tensors: numbers made of a seed, a step, a stream and an element's place, so that they are the same wherever
//! and however often they are computed.

use crate::graph::Graph;
use crate::init::Init;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, Op, Shape, StateKind, TensorType};
use std::f64::consts::TAU;

/// Where random numbers come from: a seed and a step, one `i32` each. Every draw takes a stream of its own; the same
/// seed, step and stream give the same numbers.
#[derive(Clone, Copy)]
pub struct Random<'g> {
    graph: &'g Graph,
    seed: Tensor<'g>,
    step: Tensor<'g>,
    /// Whether the step of a loop counts too.
    per_step: bool,
}

impl Graph {
    /// Random numbers that are new at each run: the seed is the state `random.seed`, which begins as the store's seed
    /// says, and the step the state `random.step`, which every run of a graph that draws counts up. In the body of a
    /// loop they are new at each of its steps too.
    #[track_caller]
    pub fn random(&self) -> Random<'_> {
        let at = At::here();
        let find = |path: &str| {
            let builder = self.builder.borrow();
            let state = builder.graph().states().iter().find(|s| s.name == path);
            state.map(|s| Tensor { graph: self, id: Some(s.read) })
        };
        if let (Some(seed), Some(step)) = (find("random.seed"), find("random.step")) {
            return Random { graph: self, seed, step, per_step: true };
        }
        let ty = || TensorType::scalar(DType::I32);
        let seed = self.declare_root("random.seed", StateKind::Counter, ty(), Init::Seed, at);
        let step = self.declare_root("random.step", StateKind::Counter, ty(), Init::Zeros, at);
        self.write(step, step + 1);
        Random { graph: self, seed, step, per_step: true }
    }

    /// Random numbers of a given seed and step, one `i32` each. In the body of a scan, a step that differs from
    /// iteration to iteration gives new numbers each time.
    pub fn random_from<'g>(&'g self, seed: Tensor<'g>, step: Tensor<'g>) -> Random<'g> {
        Random { graph: self, seed, step, per_step: false }
    }
}

impl<'g> Random<'g> {
    /// Uniform in `[0, 1)`, of the graph's float type, in steps of 2^-24 (`f32`) or 2^-53 (`f64`).
    #[track_caller]
    pub fn uniform(self, shape: impl Into<Shape>) -> Tensor<'g> {
        self.draw(self.graph.float(), shape.into(), At::here())
    }

    /// 32 random bits per element, as `i32`.
    #[track_caller]
    pub fn bits(self, shape: impl Into<Shape>) -> Tensor<'g> {
        self.draw(DType::I32, shape.into(), At::here())
    }

    /// Normal with mean 0 and variance 1, of the graph's float type; `f32` reaches 5.7 deviations, `f64` 8.5.
    ///
    /// # Source
    /// Box and Muller 1958
    #[track_caller]
    pub fn normal(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let (at, shape) = (At::here(), shape.into());
        let float = self.graph.float();
        let radius = self.draw(float, shape.clone(), at);
        if radius.id.is_none() {
            return radius;
        }
        let angle = self.draw(float, shape, at);
        ((-radius).log1p() * -2.0).sqrt() * (angle * TAU).cos()
    }

    /// True with probability `p`.
    #[track_caller]
    pub fn bernoulli(self, p: f64, shape: impl Into<Shape>) -> Tensor<'g> {
        let at = At::here();
        self.draw(self.graph.float(), shape.into(), at).lt(p)
    }

    fn draw(self, dtype: DType, shape: Shape, at: At) -> Tensor<'g> {
        let graph = self.graph;
        let (Some(seed), Some(step)) =
            (graph.own("random", self.seed, at), graph.own("random", self.step, at))
        else {
            return graph.poison();
        };
        let stream = graph.streams.get();
        graph.streams.set(stream + 1);
        let mut key = graph.push(Op::RandomKey { stream }, &[seed, step], at);
        let loops = if self.per_step { graph.loops.borrow().len() } else { 0 };
        for level in 0..loops {
            // A seed for this run, and the number of the loop's step as step.
            let bits = Op::Random { dtype: DType::I32, shape: Shape::scalar() };
            let Some(seed) = key.apply(bits, at).id else { return key };
            let step = graph.step_of_loop(level, at);
            key = graph.push(Op::RandomKey { stream }, &[seed, step], at);
        }
        key.apply(Op::Random { dtype, shape }, at)
    }
}
