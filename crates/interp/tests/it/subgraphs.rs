//! Calls, scans and branches against the same graphs written out by hand.

use eggrad_interp::{Data, InterpError, Precision, Run, Tensor, run, values};
use eggrad_ir::{
    At, Builder, CompareOp, DType, Function, Graph, MAX_DEPTH, NodeId, Op, Scan, TensorType,
    UnaryOp, inline,
};
use std::sync::Arc;

fn vector(n: usize) -> TensorType {
    TensorType::new(DType::F32, [n])
}

fn floats<const N: usize>(values: [f32; N]) -> Tensor {
    Tensor::new([N], Data::F32(values.to_vec()))
}

/// A graph with inputs of types `inputs` called `a`, `b`, ... and outputs `y0`, `y1`, ...
fn graph(
    inputs: &[TensorType],
    build: impl FnOnce(&mut Builder, &[NodeId]) -> Vec<NodeId>,
) -> Graph {
    let mut b = Builder::new();
    let declare = |(i, ty): (usize, &TensorType)| {
        let name = char::from(b'a' + i as u8).to_string();
        b.declare_input(&name, ty.clone(), None, At::Unknown)
    };
    let inputs: Vec<NodeId> = inputs.iter().enumerate().map(declare).collect();
    for (i, y) in build(&mut b, &inputs).into_iter().enumerate() {
        b.output(&format!("y{i}"), y);
    }
    b.build().unwrap()
}

fn function(
    inputs: &[TensorType],
    build: impl FnOnce(&mut Builder, &[NodeId]) -> Vec<NodeId>,
) -> Arc<Function> {
    Arc::new(Function::new("step", graph(inputs, build)).unwrap())
}

fn outputs(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let Run { outputs, .. } = run(graph, inputs, &[], Precision::AsWritten).unwrap();
    outputs
}

/// `(h, s, x, w) -> (tanh(h · w + x), s + x, h - x)`: two carried values, one sequence, one constant.
fn recurrence() -> Arc<Function> {
    function(&[vector(2), vector(2), vector(2), vector(2)], |b, args| {
        let &[h, s, x, w] = args else { panic!("four operands") };
        let scaled = b.mul(h, w);
        let sum = b.add(scaled, x);
        vec![b.unary(UnaryOp::Tanh, sum), b.add(s, x), b.sub(h, x)]
    })
}

fn scan_graph(length: usize, reverse: bool) -> Graph {
    let scan = Scan { body: recurrence(), carries: 2, xs: 1, length, reverse };
    let xs = TensorType::new(DType::F32, [length, 2]);
    graph(&[vector(2), vector(2), xs, vector(2)], |b, args| {
        b.application(&Op::Scan { scan, result: 0 }, args)
    })
}

/// The recurrence by hand, in single precision; results as in [`scan_graph`].
fn unrolled(xs: &[[f32; 2]], reverse: bool) -> Vec<Vec<f32>> {
    let (mut h, mut s, w) = ([0.5f32, -0.5], [1.0f32, 2.0], [0.25f32, -1.5]);
    let mut ys = vec![[0.0; 2]; xs.len()];
    for step in 0..xs.len() {
        let t = if reverse { xs.len() - 1 - step } else { step };
        for i in 0..2 {
            let x = xs[t][i];
            ys[t][i] = h[i] - x;
            // Each node is rounded once from a value in double precision.
            h[i] = f64::from(h[i] * w[i] + x).tanh() as f32;
            s[i] += x;
        }
    }
    vec![h.to_vec(), s.to_vec(), ys.concat()]
}

#[test]
fn scans_are_their_steps_written_out() {
    let steps = [[0.1f32, 0.2], [-1.0, 3.0], [0.7, -0.3], [2.0, 0.0], [-0.6, 0.9]];
    let given = |xs: &[[f32; 2]]| {
        let xs = Tensor::new([xs.len(), 2], Data::F32(xs.concat()));
        [floats([0.5, -0.5]), floats([1.0, 2.0]), xs, floats([0.25, -1.5])]
    };
    for length in 0..=steps.len() {
        for reverse in [false, true] {
            let steps = &steps[..length];
            let found = outputs(&scan_graph(length, reverse), &given(steps));
            let expected = unrolled(steps, reverse);
            let shapes: [&[usize]; 3] = [&[2], &[2], &[length, 2]];
            for ((found, expected), shape) in found.into_iter().zip(expected).zip(shapes) {
                assert_eq!(found, Tensor::new(shape, Data::F32(expected)), "{length} {reverse}");
            }
        }
    }
}

#[test]
fn wide_scans_do_not_round() {
    // s + 1e-9 a hundred times is lost in single precision.
    let body = function(&[vector(1), vector(1)], |b, args| {
        let sum = b.add(args[0], args[1]);
        vec![sum, sum]
    });
    let scan = Scan { body, carries: 1, xs: 0, length: 100, reverse: false };
    let graph = graph(&[vector(1), vector(1)], |b, args| {
        b.application(&Op::Scan { scan, result: 0 }, args)
    });
    let double = |v: f64| Tensor::new([1], Data::F64(vec![v]));
    let wide = run(&graph, &[double(1.0), double(1e-9)], &[], Precision::Wide).unwrap();
    assert!((wide.outputs[0].item() - (1.0 + 1e-7)).abs() < 1e-13);
    assert_eq!(wide.outputs[1].ty, TensorType::new(DType::F64, [100, 1]));
    let narrow = outputs(&graph, &[floats([1.0]), floats([1e-9])]);
    assert_eq!(narrow[0], floats([1.0]));
}

#[test]
fn sequences_of_every_element_type_are_stacked() {
    for dtype in DType::ALL {
        for reverse in [false, true] {
            let one = TensorType::new(dtype, [2]);
            let body = function(std::slice::from_ref(&one), |_, args| vec![args[0]]);
            let scan = Scan { body, carries: 0, xs: 1, length: 3, reverse };
            let xs = TensorType::new(dtype, [3, 2]);
            let graph = graph(std::slice::from_ref(&xs), |b, x| {
                b.application(&Op::Scan { scan, result: 0 }, x)
            });
            let x = Tensor::from_values(xs, &[0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
            // Stacked where it was read, from whichever end.
            assert_eq!(outputs(&graph, std::slice::from_ref(&x)), [x]);
        }
    }
}

#[test]
fn both_branches_can_be_taken_and_only_one_is() {
    let ty = vector(2);
    let double = function(&[ty.clone(), ty.clone()], |b, a| vec![b.add(a[0], a[0]), a[1]]);
    let swap = function(&[ty.clone(), ty.clone()], |_, a| vec![a[1], a[0]]);
    let op = Op::Cond { then: double, otherwise: swap, result: 0 };
    let flag = TensorType::scalar(DType::Bool);
    let graph = graph(&[flag, ty.clone(), ty], |b, args| b.application(&op, args));
    let (a, b) = (floats([1.0, 2.0]), floats([3.0, f32::NAN]));
    let given = |c| [Tensor::new([], Data::Bool(vec![c])), a.clone(), b.clone()];
    assert_eq!(outputs(&graph, &given(true)), [floats([2.0, 4.0]), b.clone()]);
    assert_eq!(outputs(&graph, &given(false)), [b.clone(), a.clone()]);
}

#[test]
fn calls_are_what_inlining_makes_of_them() {
    let inner = function(&[vector(2)], |b, a| vec![b.mul(a[0], a[0]), b.neg(a[0])]);
    let outer = function(&[vector(2), vector(2)], |b, a| {
        let first = b.application(&Op::Call { function: inner.clone(), result: 0 }, &a[..1]);
        let second = b.application(&Op::Call { function: inner.clone(), result: 0 }, &first[..1]);
        vec![b.add(first[1], second[0]), b.sub(a[1], second[1])]
    });
    let graph = graph(&[vector(2), vector(2)], |b, args| {
        let results = b.application(&Op::Call { function: outer.clone(), result: 0 }, args);
        // The second result alone, of another application.
        let swapped = [args[1], args[0]];
        let op = Op::Call { function: outer.clone(), result: 1 };
        vec![results[0], results[1], b.node(op, &swapped)]
    });
    let given = [floats([0.5, -3.0]), floats([2.0, 0.1])];
    let written_out = inline(&graph, &|_| true).unwrap();
    assert!(written_out.nodes().iter().all(|n| n.op.functions().is_empty()));
    assert_eq!(outputs(&graph, &given), outputs(&written_out, &given));
    assert_eq!(outputs(&graph, &given)[0], floats([-0.5 + 0.0625, 3.0 + 81.0]));
    for precision in [Precision::AsWritten, Precision::Wide] {
        let all = values(&graph, &given, &[], precision).unwrap();
        assert_eq!(all.len(), graph.nodes().len());
    }
}

#[test]
fn scans_nest_and_hold_branches() {
    // Inner: running product of a row from `c` on. Outer: over rows, the product of each times the sum of all before,
    // unless that sum is above 10.
    let scalar = TensorType::scalar(DType::F64);
    let product = function(&[scalar.clone(), scalar.clone()], |b, a| {
        let product = b.mul(a[0], a[1]);
        vec![product, product]
    });
    let keep = function(&[scalar.clone(), scalar.clone()], |_, a| vec![a[0]]);
    let add = function(&[scalar.clone(), scalar.clone()], |b, a| vec![b.add(a[0], a[1])]);
    let row = TensorType::new(DType::F64, [3]);
    let body = function(&[scalar.clone(), row, scalar.clone()], |b, a| {
        let &[sum, row, limit] = a else { panic!("three operands") };
        let one = b.scalar(DType::F64, 1.0);
        let scan = Scan { body: product.clone(), carries: 1, xs: 1, length: 3, reverse: true };
        let products = b.application(&Op::Scan { scan, result: 0 }, &[one, row]);
        let large = b.compare(CompareOp::Gt, sum, limit);
        let op = Op::Cond { then: keep.clone(), otherwise: add.clone(), result: 0 };
        vec![b.node(op, &[large, sum, products[0]]), products[1]]
    });
    let scan = Scan { body, carries: 1, xs: 1, length: 4, reverse: false };
    let rows = TensorType::new(DType::F64, [4, 3]);
    let graph = graph(&[scalar.clone(), rows.clone(), scalar], |b, args| {
        b.application(&Op::Scan { scan, result: 0 }, args)
    });
    let rows_of = |values: &[f64]| Tensor::from_values(rows.clone(), values);
    let xs = rows_of(&[1., 2., 3., 2., 2., 2., -1., 5., 7., 9., 9., 9.]);
    let number = |v| Tensor::scalar(DType::F64, v);
    let found = outputs(&graph, &[number(0.0), xs.clone(), number(10.0)]);
    // 0 + 6, + 8 = 14, then above 10 for good.
    assert_eq!(found[0], number(14.0));
    assert_eq!(found[1], rows_of(&[6., 6., 3., 8., 4., 2., -35., 35., 7., 729., 81., 9.]));
    let found = outputs(&graph, &[number(0.0), xs, number(1e9)]);
    assert_eq!(found[0], number(6.0 + 8.0 - 35.0 + 729.0));
}

#[test]
fn results_that_nothing_reads_may_be_left_out() {
    let scan = Scan { body: recurrence(), carries: 2, xs: 1, length: 2, reverse: false };
    let xs = TensorType::new(DType::F32, [2, 2]);
    let types = [vector(2), vector(2), xs, vector(2)];
    let given = [
        floats([0.5, -0.5]),
        floats([1.0, 2.0]),
        Tensor::new([2, 2], Data::F32(vec![0.1, 0.2, 0.3, 0.4])),
        floats([1.0, 1.0]),
    ];
    for (result, expected) in outputs(&scan_graph(2, false), &given).into_iter().enumerate() {
        let op = Op::Scan { scan: scan.clone(), result };
        let graph = graph(&types, |b, args| vec![b.node(op, args)]);
        assert_eq!(outputs(&graph, &given), [expected]);
    }
}

#[test]
fn functions_as_deep_inside_each_other_as_may_be_run_in_a_small_stack() {
    let scalar = TensorType::scalar(DType::F64);
    let mut inner = function(std::slice::from_ref(&scalar), |b, a| vec![b.add(a[0], a[0])]);
    for _ in 1..MAX_DEPTH {
        let op = Op::Call { function: inner, result: 0 };
        inner = function(std::slice::from_ref(&scalar), |b, a| {
            let mut y = a[0];
            for _ in 0..1000 {
                y = b.neg(y);
            }
            vec![b.node(op, &[y])]
        });
    }
    let graph = graph(&[scalar], |b, a| vec![b.node(Op::Call { function: inner, result: 0 }, a)]);
    let work = move || outputs(&graph, &[Tensor::scalar(DType::F64, 1.5)]);
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
    assert_eq!(thread.join().unwrap(), [Tensor::scalar(DType::F64, 3.0)]);
}

#[test]
fn huge_scans_and_derivatives_inside_are_refused() {
    let scalar = TensorType::scalar(DType::F32);
    let body = function(std::slice::from_ref(&scalar), |_, a| vec![a[0]]);
    let scan = Scan { body, carries: 1, xs: 0, length: 1 << 60, reverse: false };
    let long =
        graph(std::slice::from_ref(&scalar), |b, a| vec![b.node(Op::Scan { scan, result: 0 }, a)]);
    let one = [Tensor::scalar(DType::F32, 1.0)];
    let refused = |graph: &Graph| run(graph, &one, &[], Precision::AsWritten).unwrap_err();
    assert_eq!(
        refused(&long).to_string(),
        "`scan` takes 1152921504606846976 steps, more than the interpreter takes on"
    );
    let derivative = function(std::slice::from_ref(&scalar), |b, a| {
        let square = b.mul(a[0], a[0]);
        vec![b.node(Op::Grad, &[square, a[0]])]
    });
    let op = Op::Call { function: derivative, result: 0 };
    let left = graph(std::slice::from_ref(&scalar), |b, a| vec![b.node(op, a)]);
    assert!(matches!(refused(&left), InterpError::Grad { .. }));
}
