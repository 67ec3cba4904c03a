//! Products with Hessians, Jacobians, Hessians, and derivatives through a whole train step.

mod common;

use common::{in_small_stack, leaf, resolved};
use eggrad_autodiff::{hessian, hvp, jacobian, merge_scans};
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{
    At, Builder, CrossEntropyOp, DType, DotAxes, Graph, NodeId, Op, Shape, TensorType, UnaryOp,
};
use eggrad_testkit::{Rng, gradcheck};

fn float(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F64, dims)
}

fn values(graph: &Graph, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let outputs = run(graph, inputs, &[], Precision::AsWritten).unwrap().outputs;
    outputs.iter().map(Tensor::to_f64s).collect()
}

/// `sin(x)_i · x_(i+1 mod n)`, whose Jacobian is known.
fn pairs(b: &mut Builder, x: NodeId) -> NodeId {
    let n = b.ty(x).shape.dims()[0];
    let sine = b.unary(UnaryOp::Sin, x);
    let index = (0..n).map(|i| ((i + 1) % n) as f64).collect();
    let data = eggrad_ir::TensorData { dtype: DType::I32, shape: Shape::from([n]), values: index };
    let index = b.node(Op::Data(std::sync::Arc::new(data)), &[]);
    let next = b.node(Op::Gather { batch: 0 }, &[x, index]);
    b.mul(sine, next)
}

#[test]
fn jacobians() {
    let mut counts = vec![];
    for n in [2, 3, 6, 40] {
        let mut b = Builder::new();
        let x = b.declare_input("x", float(&[n]), None, At::Unknown);
        let y = pairs(&mut b, x);
        let j = jacobian(&mut b, y, x).unwrap();
        assert_eq!(*b.ty(j), float(&[n, n]));
        b.output("j", j);
        let graph = b.build().unwrap();
        counts.push(graph.nodes().len());
        let x: Vec<f64> = (0..n).map(|i| 0.3 + i as f64).collect();
        let found = values(&graph, &[Tensor::from_values(float(&[n]), &x)]);
        for i in 0..n {
            let next = (i + 1) % n;
            for k in 0..n {
                let own = if k == i { x[i].cos() * x[next] } else { 0.0 };
                let other = if k == next { x[i].sin() } else { 0.0 };
                assert!((found[0][i * n + k] - own - other).abs() < 1e-12, "{n}: {i} {k}");
            }
        }
    }
    assert_eq!(counts[2], counts[3]);
}

#[test]
fn shapes_of_jacobians() {
    let mut b = Builder::new();
    let x = b.declare_input("x", float(&[2, 3]), None, At::Unknown);
    let z = b.declare_input("z", float(&[2]), None, At::Unknown);
    let square = b.unary(UnaryOp::Square, x);
    let rows = b.sum(square, vec![1]);
    let all = b.sum(square, vec![0, 1]);
    let cases: [(NodeId, NodeId, &[usize]); 6] = [
        (rows, x, &[2, 2, 3]),
        (square, x, &[2, 3, 2, 3]),
        (all, x, &[2, 3]),
        (all, all, &[]),
        (rows, z, &[2, 2]),
        (square, z, &[2, 3, 2]),
    ];
    for (i, (y, wrt, dims)) in cases.into_iter().enumerate() {
        let j = jacobian(&mut b, y, wrt).unwrap();
        assert_eq!(*b.ty(j), float(dims));
        b.output(&format!("j{i}"), j);
    }
    let x: Vec<f64> = (1..=6).map(f64::from).collect();
    let inputs =
        [Tensor::from_values(float(&[2, 3]), &x), Tensor::from_values(float(&[2]), &[1.0; 2])];
    let found = values(&b.build().unwrap(), &inputs);
    assert_eq!(found[0], [2.0, 4.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 8.0, 10.0, 12.0]);
    assert_eq!(found[2], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    assert_eq!(found[3], [1.0]);
    assert_eq!(found[4], [0.0; 4]);
    assert_eq!(found[5], [0.0; 12]);
}

/// `sum(sin(x)^2 · x)`: its Hessian is diagonal; that of a product of sums is not.
#[test]
fn hessians_and_products_with_them() {
    for n in [1, 4, 7] {
        let mut b = Builder::new();
        let x = b.declare_input("x", float(&[n]), None, At::Unknown);
        let v = b.declare_input("v", float(&[n]), None, At::Unknown);
        let y = pairs(&mut b, x);
        let square = b.unary(UnaryOp::Square, y);
        let y = b.sum(square, vec![0]);
        let h = hessian(&mut b, y, x).unwrap();
        let product = hvp(&mut b, y, &[x], &[v])[0];
        let expected = b.dot(h, v, DotAxes::contract(1, 0));
        b.output("h", h);
        b.output("product", product);
        b.output("expected", expected);
        let graph = merge_scans(b.build().unwrap());
        let mut rng = Rng::new(n as u64);
        let inputs = [rng.tensor(float(&[n]), -2.0, 2.0), rng.tensor(float(&[n]), -1.0, 1.0)];
        let found = values(&graph, &inputs);
        for i in 0..n {
            assert!((found[1][i] - found[2][i]).abs() < 1e-10);
            for k in 0..n {
                assert!((found[0][i * n + k] - found[0][k * n + i]).abs() < 1e-10, "symmetric");
            }
        }
    }
}

const ROWS: usize = 4;
const SIZES: [usize; 3] = [3, 5, 2];

/// Loss of a small network with weights `w1`, `w2`.
fn loss(b: &mut Builder, x: NodeId, labels: NodeId, w1: NodeId, w2: NodeId) -> NodeId {
    let hidden = b.dot(x, w1, DotAxes::contract(1, 0));
    let hidden = b.unary(UnaryOp::Tanh, hidden);
    let logits = b.dot(hidden, w2, DotAxes::contract(1, 0));
    let losses = b.node(Op::CrossEntropy(CrossEntropyOp::Value, vec![1]), &[logits, labels]);
    let sum = b.sum(losses, vec![0]);
    let count = b.full_like(sum, ROWS as f64);
    b.div(sum, count)
}

/// One step of Adam from zero moments on `w` with gradient `g`: first and second moment, corrected, with a margin under
/// the root so that it has a slope everywhere.
fn adam(b: &mut Builder, w: NodeId, g: NodeId, rate: NodeId) -> NodeId {
    let (beta1, beta2) = (0.9, 0.99);
    let scaled = |b: &mut Builder, x: NodeId, by: f64| {
        let by = b.full_like(x, by);
        b.mul(x, by)
    };
    let m = scaled(b, g, 1.0 - beta1);
    let m = scaled(b, m, 1.0 / (1.0 - beta1));
    let square = b.unary(UnaryOp::Square, g);
    let v = scaled(b, square, 1.0 - beta2);
    let v = scaled(b, v, 1.0 / (1.0 - beta2));
    let margin = b.full_like(v, 1e-2);
    let v = b.add(v, margin);
    let root = b.unary(UnaryOp::Sqrt, v);
    let step = b.div(m, root);
    let shape = b.ty(w).shape.clone();
    let rate = b.spread(rate, shape, vec![]);
    let step = b.mul(rate, step);
    b.sub(w, step)
}

/// The loss after two steps of training, differentiated by the initial weights and by the learning rate.
#[test]
fn derivatives_through_train_steps() {
    let mut b = Builder::new();
    let [inputs, hidden, classes] = SIZES;
    let x = b.declare_input("x", float(&[ROWS, inputs]), None, At::Unknown);
    let labels = b.declare_input("labels", float(&[ROWS, classes]), None, At::Unknown);
    let w1 = b.declare_input("w1", float(&[inputs, hidden]), None, At::Unknown);
    let w2 = b.declare_input("w2", float(&[hidden, classes]), None, At::Unknown);
    let rate = b.declare_input("rate", float(&[]), None, At::Unknown);
    let (mut u1, mut u2) = (w1, w2);
    for _ in 0..2 {
        let value = loss(&mut b, x, labels, u1, u2);
        let (d1, d2) = (b.node(Op::Grad, &[value, u1]), b.node(Op::Grad, &[value, u2]));
        u1 = adam(&mut b, u1, d1, rate);
        u2 = adam(&mut b, u2, d2, rate);
    }
    let after = loss(&mut b, x, labels, u1, u2);
    b.output("loss", after);
    let names = ["w1", "w2", "rate"];
    for name in names {
        let w = leaf(&b, name);
        let d = b.node(Op::Grad, &[after, w]);
        b.output(&format!("d_{name}"), d);
    }
    let graph = resolved(b.build().unwrap());
    for seed in 0..5 {
        let mut rng = Rng::new(seed);
        let mut inputs: Vec<Tensor> =
            graph.inputs().iter().map(|i| rng.tensor(i.ty.clone(), -1.0, 1.0)).collect();
        let hot: Vec<f64> =
            (0..ROWS).flat_map(|r| if r % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        inputs[1] = Tensor::from_values(float(&[ROWS, classes]), &hot);
        inputs[4] = Tensor::scalar(DType::F64, 0.1);
        let check = gradcheck(&graph, &inputs, &[], &names, seed).unwrap();
        assert!(check.error() < 1e-7, "{check:?}");
    }
}

/// Nodes that reverse mode adds to a chain of `n` ops that reads `p` parameters.
fn added(n: usize, p: usize) -> usize {
    let mut b = Builder::new();
    let x = b.declare_input("x", float(&[]), None, At::Unknown);
    let ws: Vec<NodeId> =
        (0..p).map(|i| b.declare_input(&format!("w{i}"), float(&[]), None, At::Unknown)).collect();
    let mut y = x;
    for i in 0..n {
        // The first `p` ops read one parameter each, the others none.
        y = match ws.get(i) {
            Some(&w) => b.mul(y, w),
            None => b.unary(UnaryOp::Sin, y),
        };
    }
    let before = b.graph().nodes().len();
    for (i, &w) in ws.iter().enumerate() {
        let d = b.node(Op::Grad, &[y, w]);
        b.output(&format!("d{i}"), d);
    }
    resolved(b.build().unwrap()).nodes().len() - before
}

/// All derivatives of one value take one sweep: nodes are linear in ops and parameters together, not in their product.
#[test]
fn nodes_are_linear_in_ops_and_parameters() {
    let [a, b, c] = [1, 2, 3].map(|k| added(1000 * k, 10));
    assert_eq!(b - a, c - b);
    assert!(b - a <= 3 * 1000, "{} nodes for 1000 ops", b - a);
    let [a, b, c] = [100, 200, 300].map(|p| added(1000, p));
    assert!(b.abs_diff(a) <= 3 * 100 && c.abs_diff(b) <= 3 * 100, "{a} {b} {c}");
    assert_eq!(b.wrapping_sub(a), c.wrapping_sub(b));
}

#[test]
fn long_chains_in_a_small_stack() {
    let [half, all] = [50_000, 100_000].map(|n| in_small_stack(move || added(n, 1)));
    let slope = added(2000, 1) - added(1000, 1);
    assert_eq!(all - half, 50 * slope);
}

/// A value read twice by the next one, sixty times: 2^60 paths.
#[test]
fn shared_values_take_one_sweep() {
    let nodes = |depth: usize| {
        let mut b = Builder::new();
        let x = b.declare_input("x", float(&[]), None, At::Unknown);
        let mut y = x;
        for _ in 0..depth {
            let sine = b.unary(UnaryOp::Sin, y);
            y = b.mul(sine, y);
        }
        let d = b.node(Op::Grad, &[y, x]);
        b.output("d", d);
        let graph = resolved(b.build().unwrap());
        let at = [Tensor::scalar(DType::F64, 1.0)];
        assert!(values(&graph, &at)[0][0].is_finite());
        graph.nodes().len()
    };
    assert_eq!(nodes(60) - nodes(40), nodes(40) - nodes(20));
    assert!(nodes(60) < 10 * 60);
}
