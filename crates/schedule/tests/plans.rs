//! Whole plans: what is fused into what, pinned as text.

mod common;

use common::{check, run};
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, CompareOp, CrossEntropyOp, DType, DotAxes, Graph, NodeId, Op, Shape, StateKind,
    TensorType, UnaryOp,
};
use eggrad_schedule::{EvaluateError, Plan, ScheduleConfig, schedule};
use eggrad_testkit::Rng;
use std::path::Path;

const RATE: f64 = 1e-3;

/// One Adam update of `p` by gradient `g`; `corrections` are 1/(1 - beta^t).
fn adam(b: &mut Builder, name: &str, p: NodeId, g: NodeId, corrections: [NodeId; 2]) {
    let ty = b.ty(p).clone();
    let slot = |b: &mut Builder, what: &str| {
        b.declare_state(&format!("{name}.{what}"), StateKind::Slot, ty.clone(), At::Unknown)
    };
    let (m, v) = (slot(b, "m"), slot(b, "v"));
    let scaled = |b: &mut Builder, x: NodeId, by: f64| {
        let by = b.full_like(x, by);
        b.mul(x, by)
    };
    let (m_old, m_new) = (scaled(b, m, 0.9), scaled(b, g, 0.1));
    let m_next = b.add(m_old, m_new);
    let square = b.unary(UnaryOp::Square, g);
    let (v_old, v_new) = (scaled(b, v, 0.999), scaled(b, square, 0.001));
    let v_next = b.add(v_old, v_new);
    let [c1, c2] = corrections.map(|c| b.spread(c, ty.shape.clone(), vec![]));
    let (m_hat, v_hat) = (b.mul(m_next, c1), b.mul(v_next, c2));
    let root = b.unary(UnaryOp::Sqrt, v_hat);
    let eps = b.full_like(root, 1e-8);
    let root = b.add(root, eps);
    let step = b.div(m_hat, root);
    let step = scaled(b, step, RATE);
    let next = b.sub(p, step);
    b.write(m, m_next);
    b.write(v, v_next);
    b.write(p, next);
}

/// A train step of a multi-layer perceptron on integer labels: ReLU, mean cross-entropy, Adam.
fn train_step(sizes: &[usize], batch: usize) -> Graph {
    let mut b = Builder::new();
    let f32s = |dims: &[usize]| TensorType::new(DType::F32, dims.to_vec());
    let classes = sizes[sizes.len() - 1];
    let x = b.declare_input("x", f32s(&[batch, sizes[0]]), None, At::Unknown);
    let ty = TensorType::new(DType::I32, [batch]);
    let range = Some((0.0, classes as f64 - 1.0));
    let labels = b.declare_input("labels", ty, range, At::Unknown);
    let mut layers = vec![];
    for (i, pair) in sizes.windows(2).enumerate() {
        let mut param = |name: String, dims: &[usize]| {
            b.declare_state(&name, StateKind::Param, f32s(dims), At::Unknown)
        };
        layers.push((param(format!("w{i}"), pair), param(format!("b{i}"), &pair[1..])));
    }
    let counter = TensorType::scalar(DType::I32);
    let step = b.declare_state("step", StateKind::Counter, counter, At::Unknown);
    let (mut h, mut hs, mut zs) = (x, vec![x], vec![]);
    for (i, &(w, bias)) in layers.iter().enumerate() {
        let z = b.dot(h, w, DotAxes::contract(1, 0));
        let shape = b.ty(z).shape.clone();
        let bias = b.spread(bias, shape, vec![1]);
        let z = b.add(z, bias);
        zs.push(z);
        h = if i + 1 < layers.len() { b.unary(UnaryOp::Relu, z) } else { z };
        hs.push(h);
    }
    let t = b.node(Op::OneHot { dtype: DType::F32, classes }, &[labels]);
    let loss = b.node(Op::CrossEntropy(CrossEntropyOp::Value, vec![1]), &[h, t]);
    let total = b.sum(loss, vec![0]);
    let count = b.node(Op::Size { dtype: DType::F32, axes: vec![0] }, &[loss]);
    let mean = b.div(total, count);
    b.output("loss", mean);
    b.set_guard(Some(mean));
    let residual = b.node(Op::CrossEntropy(CrossEntropyOp::Residual, vec![1]), &[h, t]);
    let per = b.unary(UnaryOp::Recip, count);
    let shape = b.ty(residual).shape.clone();
    let per = b.spread(per, shape, vec![]);
    let mut dz = b.mul(residual, per);
    let one = b.scalar(DType::I32, 1.0);
    let next = b.add(step, one);
    b.write(step, next);
    let t = b.cast(next, DType::F32);
    let corrections = [0.9f64, 0.999].map(|beta| {
        let log = b.scalar(DType::F32, beta.ln());
        let power = b.mul(t, log);
        let less = b.unary(UnaryOp::Expm1, power);
        let less = b.neg(less);
        b.unary(UnaryOp::Recip, less)
    });
    for (i, &(w, bias)) in layers.iter().enumerate().rev() {
        let dw = b.dot(hs[i], dz, DotAxes::contract(0, 0));
        let db = b.sum(dz, vec![0]);
        if i > 0 {
            let dh = b.dot(dz, w, DotAxes::contract(1, 1));
            let zero = b.full_like(dh, 0.0);
            let on = b.compare(CompareOp::Gt, zs[i - 1], zero);
            dz = b.select(on, dh, zero);
        }
        adam(&mut b, &format!("w{i}"), w, dw, corrections);
        adam(&mut b, &format!("b{i}"), bias, db, corrections);
    }
    b.build().expect("the step is well typed")
}

fn arrays(graph: &Graph) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut rng = Rng::new(11);
    let mut of = |ty: &TensorType, low: f64| match ty.dtype {
        DType::I32 => {
            let values: Vec<f64> = (0..ty.shape.elements()).map(|_| rng.below(3) as f64).collect();
            Tensor::from_values(ty.clone(), &values)
        }
        _ => rng.tensor(ty.clone(), low, 1.0),
    };
    let inputs = graph.inputs().iter().map(|i| of(&i.ty, -1.0)).collect();
    let low = |kind| if kind == StateKind::Slot { 0.1 } else { -0.5 };
    let states = graph.states().iter().map(|s| of(&s.ty, low(s.kind))).collect();
    (inputs, states)
}

#[test]
fn a_train_step_is_a_handful_of_kernels() {
    let small = train_step(&[7, 5, 4, 3], 6);
    let (inputs, states) = arrays(&small);
    check(&small, &inputs, &states);
    let plan = schedule(&train_step(&[64, 25, 15, 10], 32), &ScheduleConfig::default());
    eggrad_testkit::golden(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/step"),
        |_| plan.as_ref().map_or_else(ToString::to_string, ToString::to_string),
    );
}
