//! Whole train steps: size and time of the e-graph, and what must not come back.

use eggrad_autodiff::{AutodiffError, resolve};
use eggrad_ir::{
    At, BinaryOp, Builder, DType, DotAxes, Graph, NodeId, Op, SoftmaxOp, StateKind, TensorType,
    UnaryOp,
};
use eggrad_rewrite::{
    OutputKind, Report, RewriteConfig, RuleSet, Stop, TableCost, explain, optimize, replay,
};
use std::time::Instant;

const BATCH: usize = 64;
const WIDTH: usize = 32;
const CLASSES: usize = 10;

fn state(b: &mut Builder, name: &str, kind: StateKind, shape: &[usize]) -> NodeId {
    b.declare_state(name, kind, TensorType::new(DType::F32, shape), At::Unknown)
}

fn times(b: &mut Builder, x: NodeId, factor: f64) -> NodeId {
    let factor = b.full_like(x, factor);
    b.binary(BinaryOp::Mul, x, factor)
}

/// An MLP of `layers` dense layers with naive cross-entropy and Adam; derivatives are `grad` nodes.
fn train_step(layers: usize) -> Graph {
    let b = &mut Builder::new();
    let x = b.declare_input("x", TensorType::new(DType::F32, [BATCH, WIDTH]), None, At::Unknown);
    let labels = TensorType::new(DType::I32, [BATCH]);
    let last = CLASSES as f64 - 1.0;
    let labels = b.declare_input("labels", labels, Some((0.0, last)), At::Unknown);
    let mut params = vec![];
    let mut h = x;
    for i in 0..layers {
        let units = if i + 1 == layers { CLASSES } else { WIDTH };
        let w = state(b, &format!("w{i}"), StateKind::Param, &[WIDTH, units]);
        let bias = state(b, &format!("b{i}"), StateKind::Param, &[units]);
        params.extend([(format!("w{i}"), w), (format!("b{i}"), bias)]);
        h = b.dot(h, w, DotAxes::contract(1, 0));
        let shape = b.ty(h).shape.clone();
        let bias = b.spread(bias, shape, vec![1]);
        h = b.add(h, bias);
        if i + 1 < layers {
            h = b.unary(UnaryOp::Relu, h);
        }
    }
    let p = b.node(Op::Softmax(SoftmaxOp::Softmax, vec![1]), &[h]);
    let logs = b.unary(UnaryOp::Log, p);
    let targets = b.node(Op::OneHot { dtype: DType::F32, classes: CLASSES }, &[labels]);
    let product = b.mul(targets, logs);
    let rows = b.sum(product, vec![1]);
    let rows = b.neg(rows);
    let sum = b.sum(rows, vec![0]);
    let size = b.node(Op::Size { dtype: DType::F32, axes: vec![0] }, &[rows]);
    let loss = b.div(sum, size);
    b.output("loss", loss);
    b.set_guard(Some(loss));
    let ty = TensorType::scalar(DType::I32);
    let step = b.declare_state("step", StateKind::Counter, ty, At::Unknown);
    let one = b.scalar(DType::I32, 1.0);
    let next = b.add(step, one);
    b.write(step, next);
    let t = b.cast(next, DType::F32);
    let mut correction = |beta: f64| {
        let power = times(b, t, beta.ln());
        let power = b.unary(UnaryOp::Expm1, power);
        b.neg(power)
    };
    let (c1, c2) = (correction(0.9), correction(0.999));
    for (name, p) in params {
        let shape = b.ty(p).shape.clone();
        let m = state(b, &format!("m.{name}"), StateKind::Slot, shape.dims());
        let v = state(b, &format!("v.{name}"), StateKind::Slot, shape.dims());
        let g = b.node(Op::Grad, &[loss, p]);
        let (old, new) = (times(b, m, 0.9), times(b, g, 1.0 - 0.9));
        let m_next = b.add(old, new);
        let g2 = b.unary(UnaryOp::Square, g);
        let (old, new) = (times(b, v, 0.999), times(b, g2, 1.0 - 0.999));
        let v_next = b.add(old, new);
        b.write(m, m_next);
        b.write(v, v_next);
        let c1 = b.spread(c1, shape.clone(), vec![]);
        let c2 = b.spread(c2, shape, vec![]);
        let m_hat = b.div(m_next, c1);
        let v_hat = b.div(v_next, c2);
        let root = b.unary(UnaryOp::Sqrt, v_hat);
        let epsilon = b.full_like(root, 1e-8);
        let root = b.add(root, epsilon);
        let update = b.div(m_hat, root);
        let update = times(b, update, 1e-3);
        let p_next = b.sub(p, update);
        b.write(p, p_next);
    }
    b.clone().build().unwrap()
}

fn optimized(layers: usize) -> (Graph, Report) {
    let config = RewriteConfig::default();
    let mut forward = |g: Graph| -> Result<Graph, AutodiffError> {
        Ok(optimize(&g, &TableCost, &config).unwrap().0)
    };
    let resolved = resolve(train_step(layers), &mut forward).unwrap();
    let start = Instant::now();
    let (result, report) = optimize(&resolved, &TableCost, &config).unwrap();
    println!("{layers} layers: {} nodes, {:?}\n{report}", resolved.nodes().len(), start.elapsed());
    (result, report)
}

#[test]
fn a_train_step_is_stable_and_keeps_its_residual() {
    let (result, report) = optimized(3);
    let count = |name: &str| result.nodes().iter().filter(|n| n.op.name() == name).count();
    assert_eq!((count("cross_entropy"), count("cross_entropy_residual")), (1, 1), "{result}");
    assert_eq!(
        count("exp") + count("log") + count("softmax") + count("log_softmax"),
        0,
        "{result}"
    );
    assert_eq!(count("dot"), 3 + 3 + 2, "{result}");
    assert_eq!(report.stop, Stop::Saturated);
    assert!(report.validation.is_some_and(|v| v.samples == 2 && v.worst < 1e-9), "{report}");
    let again = optimize(&result, &TableCost, &RewriteConfig::default()).unwrap().0;
    assert_eq!(again.to_string(), result.to_string(), "optimising again changes nothing");
    assert_eq!(report.danger_after, 0, "{report}");
}

#[test]
fn a_train_step_is_explained() {
    let config = RewriteConfig::default();
    let resolved = resolve(train_step(3), &mut Ok::<Graph, AutodiffError>).unwrap();
    let (result, _, explanation) = explain(&resolved, &TableCost, &config).unwrap();
    let plain = optimize(&resolved, &TableCost, &config).unwrap().0;
    assert_eq!(plain.to_string(), result.to_string());
    assert_eq!(replay(&resolved, &result, &explanation, &RuleSet::standard()), Ok(()));
    let loss = &explanation.outputs[0];
    let rules: Vec<&str> = explanation.steps_of(loss).map(|s| s.rule.as_str()).collect();
    assert_eq!(rules, ["log-of-softmax", "cross-entropy-sum", "neg-neg"], "{explanation}");
    let guard = explanation.outputs.last().unwrap();
    assert_eq!((guard.kind, &guard.steps), (OutputKind::Guard, &loss.steps));
    // Every weight and bias, both of its moments, and the counter.
    let written = explanation.outputs.iter().filter(|o| o.kind == OutputKind::Write);
    assert_eq!(written.count(), 3 * 2 * 3 + 1);
}

#[test]
fn a_deep_chain_is_explained() {
    let chain = || {
        let mut b = Builder::new();
        let ty = TensorType::new(DType::F32, [4]);
        let mut x = b.declare_input("x", ty, None, At::Unknown);
        for i in 0..20_000 {
            x = b.unary(if i % 3 == 0 { UnaryOp::Tanh } else { UnaryOp::Sigmoid }, x);
        }
        let exp = b.unary(UnaryOp::Exp, x);
        let log = b.unary(UnaryOp::Log, exp);
        b.output("y", log);
        let graph = b.build().unwrap();
        let config = RewriteConfig::default();
        let (_, _, explanation) = explain(&graph, &TableCost, &config).unwrap();
        let rules: Vec<&str> = explanation.steps.iter().map(|s| s.rule.as_str()).collect();
        assert_eq!(rules, ["log-of-exp"]);
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(chain).unwrap().join().unwrap();
}

#[test]
fn e_nodes_grow_with_the_graph() {
    let (_, small) = optimized(4);
    let (_, large) = optimized(32);
    assert_eq!(large.stop, Stop::Saturated);
    let per_layer = |r: &Report, layers: usize| r.e_nodes as f64 / layers as f64;
    assert!(per_layer(&large, 32) < 1.2 * per_layer(&small, 4), "{small}{large}");
    assert!(large.iterations <= small.iterations + 1, "{small}{large}");
}

#[test]
fn a_chain_of_100000_nodes_needs_no_deep_stack() {
    let chain = || {
        let mut b = Builder::new();
        let ty = TensorType::new(DType::F32, [4]);
        let mut x = b.declare_input("x", ty, None, At::Unknown);
        for i in 0..100_000 {
            x = b.unary(if i % 3 == 0 { UnaryOp::Tanh } else { UnaryOp::Sigmoid }, x);
        }
        b.output("y", x);
        let graph = b.build().unwrap();
        let (result, report) = optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap();
        assert_eq!(result.nodes().len(), graph.nodes().len());
        assert_eq!(report.stop, Stop::Saturated);
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(chain).unwrap().join().unwrap();
}
