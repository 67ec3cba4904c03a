//! Derivatives of `prod` with any number of zeros.

mod common;

use common::{check_gradient, check_modes, resolved};
use eggrad_autodiff::hessian;
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{At, Builder, DType, Graph, NodeId, Op, ReduceOp, TensorType};

fn product(dims: &[usize], axes: &[usize]) -> (Builder, NodeId, NodeId) {
    let mut b = Builder::new();
    let x = b.declare_input("x", TensorType::new(DType::F64, dims), None, At::Unknown);
    let y = b.reduce(ReduceOp::Prod, x, axes.to_vec());
    (b, x, y)
}

fn values(graph: &Graph, x: &[f64]) -> Vec<Vec<f64>> {
    let x = Tensor::from_values(graph.inputs()[0].ty.clone(), x);
    let outputs = run(graph, &[x], &[], Precision::AsWritten).unwrap().outputs;
    outputs.iter().map(Tensor::to_f64s).collect()
}

/// Product of all of `x` but those at `left_out`.
fn others(x: &[f64], left_out: &[usize]) -> f64 {
    x.iter().enumerate().filter(|(i, _)| !left_out.contains(i)).map(|(_, v)| v).product()
}

#[test]
fn gradient_and_hessian_are_exact() {
    let rows: [&[f64]; 8] = [
        &[2.0, 3.0, 4.0],
        &[2.0, 0.0, 4.0],
        &[0.0, 0.0, 4.0],
        &[0.0, 0.0, 0.0],
        &[0.0, 2.0, 0.0, 3.0, 0.5],
        &[0.0, 2.0, 0.0, 3.0, 0.0, -1.0, 4.0],
        &[7.0],
        &[0.0, -2.0],
    ];
    for x in rows {
        let n = x.len();
        let (mut b, leaf, y) = product(&[n], &[0]);
        let d = b.node(Op::Grad, &[y, leaf]);
        let h = hessian(&mut b, y, leaf).unwrap();
        b.output("d", d);
        b.output("h", h);
        let found = values(&resolved(b.build().unwrap()), x);
        let gradient: Vec<f64> = (0..n).map(|i| others(x, &[i])).collect();
        let second = |i: usize, j: usize| if i == j { 0.0 } else { others(x, &[i, j]) };
        let hessian: Vec<f64> = (0..n).flat_map(|i| (0..n).map(move |j| second(i, j))).collect();
        assert_eq!(found[0], gradient, "{x:?}");
        assert_eq!(found[1], hessian, "{x:?}");
    }
}

/// The third derivative of a product of three is one, whatever is zero.
#[test]
fn third_derivative() {
    let text = "graph 2\nin x: f64[3]\n%1 = prod(x, axes=[0])\n%2 = grad(%1, x)\n%3 = slice(%2, start=[0], step=[1], sizes=[1])\n%4 = reshape(%3, shape=[])\n%5 = grad(%4, x)\n%6 = slice(%5, start=[1], step=[1], sizes=[1])\n\
                %7 = reshape(%6, shape=[])\n%8 = grad(%7, x)\nout d = %8\n";
    let graph = resolved(text.parse().unwrap());
    for x in [[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [3.0, 4.0, 5.0]] {
        assert_eq!(values(&graph, &x), [[0.0, 0.0, 1.0]]);
    }
}

#[test]
fn zeros_against_differences() {
    let patterns: [(&[usize], &[usize], &[f64]); 4] = [
        (&[2, 3], &[1], &[0.0, 0.0, 1.5, 2.0, 0.0, -1.0]),
        (&[2, 3], &[0], &[0.0, 0.0, 1.5, 0.0, 2.0, -1.0]),
        (&[2, 2, 2], &[0, 2], &[0.0, 0.5, 0.0, 0.0, 0.0, 2.0, -1.0, 0.0]),
        (&[5], &[0], &[0.0, 1.0, 0.0, 2.0, 0.0]),
    ];
    for (dims, axes, x) in patterns {
        let (mut b, _, y) = product(dims, axes);
        b.output("y", y);
        let graph = b.build().unwrap();
        let x = [Tensor::from_values(TensorType::new(DType::F64, dims), x)];
        let modes = check_modes(&graph, &x, &[], &["x"], true, 1);
        assert!(modes < 1e-9, "{dims:?}: modes differ by {modes:e}");
        for order in [1, 2, 3] {
            let error = check_gradient(&graph, &x, &[], &["x"], order, 2);
            assert!(error < 1e-8, "{dims:?}: derivative {order} is off by {error:e}");
        }
    }
}

/// Nodes in the order of the logarithm of the number of factors.
#[test]
fn long_products_take_few_nodes() {
    let nodes = |n: usize| {
        let (mut b, x, y) = product(&[n], &[0]);
        let d = b.node(Op::Grad, &[y, x]);
        b.output("d", d);
        resolved(b.build().unwrap()).nodes().len()
    };
    let step = nodes(128) - nodes(64);
    assert_eq!(nodes(1 << 20) - nodes(1 << 19), step);
    assert!(nodes(1 << 20) < 250, "{}", nodes(1 << 20));
}
