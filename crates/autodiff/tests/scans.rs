//! Derivatives through sub-graphs.

mod common;

use common::resolved;
use eggrad_ir::{
    At, Builder, DType, DotAxes, Function, Graph, NodeId, Op, Scan, Shape, TensorType, UnaryOp,
};
use std::sync::Arc;

const BATCH: usize = 2;
const UNITS: usize = 3;

fn float(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F64, dims)
}

/// `h' = tanh(x w + h u + b)`, stacked.
pub(crate) fn cell() -> Arc<Function> {
    let mut b = Builder::new();
    let mut input =
        |name: &str, dims: &[usize]| b.declare_input(name, float(dims), None, At::Unknown);
    let h = input("h", &[BATCH, UNITS]);
    let x = input("x", &[BATCH, 2]);
    let w = input("w", &[2, UNITS]);
    let u = input("u", &[UNITS, UNITS]);
    let bias = input("b", &[UNITS]);
    let read = b.dot(x, w, DotAxes::contract(1, 0));
    let kept = b.dot(h, u, DotAxes::contract(1, 0));
    let sum = b.add(read, kept);
    let bias = b.spread(bias, Shape::from([BATCH, UNITS]), vec![1]);
    let sum = b.add(sum, bias);
    let next = b.unary(UnaryOp::Tanh, sum);
    b.output("h", next);
    b.output("y", next);
    Arc::new(Function::new("cell", b.build().unwrap()).unwrap())
}

/// Loss of a recurrent network over `length` steps, and its gradients.
fn network(length: usize) -> Graph {
    let mut b = Builder::new();
    let mut input =
        |name: &str, dims: &[usize]| b.declare_input(name, float(dims), None, At::Unknown);
    let h = input("h", &[BATCH, UNITS]);
    let x = input("x", &[length, BATCH, 2]);
    let w = input("w", &[2, UNITS]);
    let u = input("u", &[UNITS, UNITS]);
    let bias = input("b", &[UNITS]);
    let scan = Scan { body: cell(), carries: 1, xs: 1, length, reverse: false };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[h, x, w, u, bias]);
    let square = b.unary(UnaryOp::Square, results[1]);
    let loss = b.sum(square, vec![0, 1, 2]);
    b.output("loss", loss);
    let last: NodeId = results[0];
    b.output("last", last);
    for (name, id) in [("w", w), ("u", u), ("b", bias)] {
        let d = b.node(Op::Grad, &[loss, id]);
        b.output(&format!("d_{name}"), d);
    }
    b.build().unwrap()
}

#[test]
fn show() {
    let g = resolved(network(5));
    println!("{g}");
    for n in g.nodes() {
        for f in n.op.functions() {
            if n.op.result() == Some(0) {
                println!("fn {} \n{}", f.name(), f.graph());
            }
        }
    }
    println!("{}", eggrad_autodiff::hoist(g));
}
