//! What the tests of differentiation share.
#![allow(dead_code, reason = "each test file uses its part")]

use eggrad_autodiff::{AutodiffError, jvp, resolve, vjp};
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{Builder, Graph, NodeId, Op};
use eggrad_testkit::{Rng, directional, error, gradcheck};
use std::sync::Arc;

/// Resolves without preparing.
pub(crate) fn resolved(graph: Graph) -> Graph {
    resolve::<AutodiffError>(graph, &mut Ok).unwrap()
}

/// A tensor of random numbers written into the graph, of the type of `like`.
pub(crate) fn random_data(b: &mut Builder, like: NodeId, rng: &mut Rng) -> NodeId {
    let ty = b.ty(like).clone();
    let values = rng.tensor(ty.clone(), -1.0, 1.0).to_f64s();
    let data = eggrad_ir::TensorData { dtype: ty.dtype, shape: ty.shape, values };
    b.node(Op::Data(Arc::new(data)), &[])
}

/// `sum(weights · x)` over everything.
pub(crate) fn weighted(b: &mut Builder, x: NodeId, rng: &mut Rng) -> NodeId {
    let weights = random_data(b, x, rng);
    let product = b.mul(weights, x);
    let axes = (0..b.ty(x).rank()).collect();
    b.sum(product, axes)
}

pub(crate) fn leaf(b: &Builder, name: &str) -> NodeId {
    let graph = b.graph();
    let input = graph.inputs().iter().find(|i| i.name == name).map(|i| i.node);
    match input.or_else(|| graph.states().iter().find(|s| s.name == name).map(|s| s.read)) {
        Some(id) => id,
        None => panic!("no leaf is called `{name}`"),
    }
}

/// The outputs of `graph` and the leaves `wrt`, each with random weights, added up: it depends on every leaf.
fn loss(b: &mut Builder, graph: &Graph, wrt: &[&str], rng: &mut Rng) -> NodeId {
    let mut ids: Vec<NodeId> = graph.outputs().iter().map(|o| o.node).collect();
    ids.extend(wrt.iter().map(|w| leaf(b, w)));
    let parts: Vec<NodeId> = ids.into_iter().map(|y| weighted(b, y, rng)).collect();
    parts.into_iter().reduce(|x, y| b.add(x, y)).unwrap()
}

/// A graph of `loss`, then its gradients.
fn with_gradients(b: Builder, loss: NodeId, wrt: &[&str]) -> Graph {
    let mut b = b;
    b.clear_outputs();
    b.output("loss", loss);
    for (i, name) in wrt.iter().enumerate() {
        let w = leaf(&b, name);
        let gradient = b.node(Op::Grad, &[loss, w]);
        b.output(&format!("d{i}"), gradient);
    }
    b.build().unwrap()
}

/// Gradient of a random weighting of all outputs with respect to `wrt` against differences; `order` 2 does the same to
/// a random weighting of those gradients. Returns the error.
pub(crate) fn check_gradient(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    wrt: &[&str],
    order: usize,
    seed: u64,
) -> f64 {
    let mut rng = Rng::new(seed);
    let mut b = Builder::from_graph(graph.clone());
    let mut value = loss(&mut b, graph, wrt, &mut rng);
    for _ in 1..order {
        let gradients: Vec<NodeId> = wrt
            .iter()
            .map(|name| {
                let w = leaf(&b, name);
                b.node(Op::Grad, &[value, w])
            })
            .collect();
        let parts: Vec<NodeId> =
            gradients.into_iter().map(|g| weighted(&mut b, g, &mut rng)).collect();
        value = parts.into_iter().reduce(|x, y| b.add(x, y)).unwrap();
    }
    let full = resolved(with_gradients(b, value, wrt));
    gradcheck(&full, inputs, states, wrt, seed ^ 1).unwrap().error()
}

/// Reverse and forward mode against each other, and forward mode against differences when `differences`. Returns the
/// larger error.
pub(crate) fn check_modes(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    wrt: &[&str],
    differences: bool,
    seed: u64,
) -> f64 {
    let mut rng = Rng::new(seed);
    let ys: Vec<NodeId> = graph.outputs().iter().map(|o| o.node).collect();
    let mut b = Builder::from_graph(graph.clone());
    b.clear_outputs();
    let leaves: Vec<NodeId> = wrt.iter().map(|w| leaf(&b, w)).collect();
    let seeds: Vec<(NodeId, NodeId)> =
        leaves.iter().map(|&l| (l, random_data(&mut b, l, &mut rng))).collect();
    let tangents = jvp(&mut b, &seeds, &ys);
    // <cotangent, jvp> and <vjp, tangent>, of all outputs and leaves together.
    let dot = |b: &mut Builder, x: NodeId, y: NodeId| {
        let product = b.mul(x, y);
        let axes = (0..b.ty(x).rank()).collect();
        b.sum(product, axes)
    };
    let dtype = b.ty(leaves[0]).dtype;
    let (mut forward, mut reverse) = (b.scalar(dtype, 0.0), b.scalar(dtype, 0.0));
    for (i, (&y, tangent)) in ys.iter().zip(&tangents).enumerate() {
        let cotangent = random_data(&mut b, y, &mut rng);
        let zero = b.full_like(y, 0.0);
        let tangent = tangent.unwrap_or(zero);
        b.output(&format!("t{i}"), tangent);
        let part = dot(&mut b, cotangent, tangent);
        forward = b.add(forward, part);
        for (found, &(_, t)) in vjp(&mut b, y, cotangent, &leaves).into_iter().zip(&seeds) {
            if let Some(found) = found {
                assert_eq!(b.ty(found), b.ty(t), "a cotangent has the type of its value");
                let part = dot(&mut b, found, t);
                reverse = b.add(reverse, part);
            }
        }
    }
    b.output("forward", forward);
    b.output("reverse", reverse);
    for (i, &(_, t)) in seeds.iter().enumerate() {
        b.output(&format!("direction{i}"), t);
    }
    let both = b.build().unwrap();
    let outputs = run(&both, inputs, states, Precision::Wide).unwrap().outputs;
    let n = ys.len();
    let mut worst = error(&outputs[n + 1], &outputs[n], 1.0);
    if differences {
        let slopes = directional(graph, inputs, states, wrt, &outputs[n + 2..]).unwrap();
        for (tangent, slope) in outputs.iter().zip(&slopes) {
            worst = worst.max(error(tangent, slope, 1.0));
        }
    }
    worst
}

/// Runs `work` in a thread with a 2 MiB stack.
pub(crate) fn in_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap()
}
