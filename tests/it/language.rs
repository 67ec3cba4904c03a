//! Windows, loops, branches, own derivatives and random tensors through every room: each is run as written and
//! rewritten, interpreted and compiled.

use crate::run::{Data, Value, outputs, outputs_of};
use eggrad::ir::{Op, UnaryOp};
use eggrad::nn::{Sliding, Tensor};
use eggrad::prelude::*;
use std::sync::Arc;

/// `n` numbers in (-1, 1) that are far from equal, and never 0.
fn numbers(n: usize, seed: usize) -> Vec<f64> {
    let fraction = |i: usize| ((i + seed * 101 + 1) as f64 * 0.618_033_988_749_895).fract();
    (0..n).map(|i| 2.0 * fraction(i) - 1.0 + 1e-3).collect()
}

fn value(shape: &[usize], seed: usize) -> Value {
    Value::new(shape, Data::F64(numbers(shape.iter().product(), seed)))
}

fn param<'g>(g: &'g Graph, name: &str, shape: &[usize], seed: usize) -> Tensor<'g> {
    let count = shape.iter().product();
    g.param(name, shape, Init::Values(numbers(count, seed).iter().map(|x| x / 2.0).collect()))
}

/// What `write` makes is the same in every way of running it; the results as written.
fn agree(write: &dyn Fn(&Graph), inputs: &[Value]) -> Vec<(String, Vec<f64>)> {
    let all = outputs(write, inputs);
    let first: Vec<(String, Vec<f64>)> =
        all[0].1.iter().map(|(name, v)| (name.clone(), v.to_f64s())).collect();
    for (how, results) in &all[1..] {
        for ((name, expected), (_, found)) in first.iter().zip(results) {
            let found = found.to_f64s();
            let scale = expected.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            for (a, b) in expected.iter().zip(&found) {
                assert!(
                    (a - b).abs() <= 1e-9 * scale,
                    "`{name}` {how}: {found:?}, not {expected:?}"
                );
            }
        }
    }
    first
}

/// The derivative of output `loss` with respect to every element of `inputs[at]`, by central differences, is output
/// `d`.
fn derivative_is_right(write: &dyn Fn(&Graph), inputs: &[Value], at: usize) {
    let found = agree(write, inputs);
    let named = |all: &[(String, Vec<f64>)], name: &str| -> Vec<f64> {
        all.iter().find(|o| o.0 == name).expect("an output").1.clone()
    };
    let gradient = named(&found, "d");
    let loss = |i: usize, step: f64| {
        let mut moved = inputs.to_vec();
        if let Data::F64(v) = &mut moved[at].data {
            v[i] += step;
        }
        let all = outputs(write, &moved);
        let results: Vec<(String, Vec<f64>)> =
            all[0].1.iter().map(|(name, v)| (name.clone(), v.to_f64s())).collect();
        named(&results, "loss")[0]
    };
    // A few elements are enough here: every op has a table of its own.
    for i in (0..gradient.len()).step_by(1 + gradient.len() / 4) {
        let difference = (loss(i, 1e-5) - loss(i, -1e-5)) / 2e-5;
        let error = (difference - gradient[i]).abs();
        assert!(error <= 1e-6 * difference.abs().max(1.0), "{i}: {} {difference}", gradient[i]);
    }
}

#[test]
fn a_convolutional_network() {
    let write = |g: &Graph| {
        let x = g.input("x", [2, 6, 7, 2]);
        let h = x.conv2d(param(g, "w", &[3, 3, 2, 4], 1), Sliding::default().same()).tanh();
        let h = h.max_pool2d([2, 2], Sliding::default().stride([2, 2]));
        let sliding = Sliding::default().stride([2, 1]).dilation([1, 2]).same();
        let h = h.conv2d(param(g, "v", &[2, 2, 2, 6], 2), sliding).sigmoid();
        let h = h.avg_pool2d([2, 2], Sliding::default().same());
        let loss = h.square().sum(..);
        g.output("h", h);
        g.output("loss", loss);
        g.output("d", loss.grad(x));
        for p in g.params() {
            g.output(&format!("d_{}", g.state_name(p).expect("a state")), loss.grad(p));
        }
    };
    derivative_is_right(&write, &[value(&[2, 6, 7, 2], 3)], 0);
}

/// Of equal positions in a window the first takes the gradient, however it is run; around the tensor there are none.
#[test]
fn ties_in_a_pool() {
    let write = |g: &Graph| {
        let x = g.input("x", [1, 4, 6, 2]);
        let sliding = Sliding::default().stride([2, 2]);
        let tiled = x.relu().max_pool2d([2, 2], sliding);
        let around = x.max_pool2d([3, 3], sliding.same());
        g.output("tiled", tiled.sum(..).grad(x));
        g.output("around", around.sum(..).grad(x));
    };
    let same = Value::new([1, 4, 6, 2], Data::F64(vec![0.5; 48]));
    let found = agree(&write, &[same]);
    let hits = |row: usize, column: usize| [row % 2, column % 2] == [0, 0];
    let place = |i: usize| (i / 12, i / 2 % 6);
    let expected: Vec<f64> =
        (0..48).map(|i| if hits(place(i).0, place(i).1) { 1.0 } else { 0.0 }).collect();
    // Windows of three positions, two apart, end one position after the tensor.
    assert_eq!(found, [("tiled".into(), expected.clone()), ("around".into(), expected)]);
}

#[test]
fn convolution_along_one_axis_and_its_pools() {
    let write = |g: &Graph| {
        let x = g.input("x", [3, 11, 2]);
        let w = param(g, "w", &[3, 2, 5], 1);
        let h = x.conv1d(w, Sliding::default().stride([2]).same());
        let h = h.max_pool1d([3], Sliding::default().same());
        let h = h.avg_pool1d([2], Sliding::default().stride([2]));
        let loss = (h * h).sum(..);
        g.output("loss", loss);
        g.output("d", loss.grad(x));
        g.output("dw", loss.grad(w));
    };
    derivative_is_right(&write, &[value(&[3, 11, 2], 4)], 0);
}

/// An LSTM over `x: [steps, rows, k]`; hidden values of every step `[steps, rows, n]`.
fn lstm<'g>(g: &'g Graph, x: Tensor<'g>, n: usize) -> Tensor<'g> {
    let dims = x.ty().expect("a type").shape.dims().to_vec();
    let (rows, k) = (dims[1], dims[2]);
    let w = param(g, "w", &[k, 4 * n], 5);
    let u = param(g, "u", &[n, 4 * n], 6);
    let b = param(g, "b", &[4 * n], 7);
    let zero = g.constant(0.0).broadcast_to([rows, n]);
    g.scan(&[zero, zero], &[x], |carried, x| {
        let z = x[0].matmul(w) + carried[0].matmul(u) + b;
        let gates = z.split(1, &[n, n, n, n]);
        let c = gates[1].sigmoid() * carried[1] + gates[0].sigmoid() * gates[2].tanh();
        let h = gates[3].sigmoid() * c.tanh();
        (vec![h, c], vec![h])
    })
    .stacked[0]
}

#[test]
fn a_recurrent_network_and_its_derivative() {
    let write = |g: &Graph| {
        let x = g.input("x", [6, 2, 3]);
        let h = lstm(g, x, 4);
        let loss = h.slice(0, 5..6).square().sum(..) + h.mean();
        g.output("loss", loss);
        g.output("d", loss.grad(x));
        for p in g.params() {
            g.output(&format!("d_{}", g.state_name(p).expect("a state")), loss.grad(p));
        }
    };
    derivative_is_right(&write, &[value(&[6, 2, 3], 8)], 0);
}

#[test]
fn a_loop_is_what_it_is_when_written_out() {
    // A reversed scan whose steps also read a sequence of bools and the number of the step.
    fn steps<'g>(g: &'g Graph, looped: bool) {
        let x = g.input("x", [5, 3]);
        let w = param(g, "w", &[3, 3], 1);
        let step = |h: Tensor<'g>, x: Tensor<'g>| (h.matmul(w) * x).sin() + x;
        let zero = g.constant(0.5).broadcast_to([3]);
        let y = if looped {
            let all = g.scan_reverse(&[zero], &[x, x.gt(0.0)], |h, s| {
                let next = step(h[0], s[0]);
                let next = s[1].select(next, next * 0.5);
                (vec![next], vec![next])
            });
            all.stacked[0]
        } else {
            let mut h = zero;
            let mut rows = vec![];
            for i in (0..5).rev() {
                let row = x.slice(0, i..i + 1).squeeze(0);
                let next = step(h, row);
                h = row.gt(0.0).select(next, next * 0.5);
                rows.push(h);
            }
            rows.reverse();
            g.stack(&rows, 0)
        };
        let loss = y.square().sum(..);
        g.output("y", y);
        g.output("dx", loss.grad(x));
        g.output("dw", loss.grad(w));
        // Second order, through the derivative's own loop.
        g.output("ddw", loss.grad(w).square().sum(..).grad(w));
    }
    let inputs = [value(&[5, 3], 2)];
    let looped = agree(&|g| steps(g, true), &inputs);
    let written_out = agree(&|g| steps(g, false), &inputs);
    for ((name, a), (_, b)) in looped.iter().zip(&written_out) {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "`{name}`: {a} {b}");
        }
    }
}

#[test]
fn the_derivative_of_a_loop_does_not_grow_with_its_length() {
    let nodes = |length: usize| {
        let g = Graph::new();
        let x = g.input("x", [length, 2, 3]);
        let loss = lstm(&g, x, 4).square().sum(..);
        Adam::new(0.1).minimize(loss);
        g.output("loss", loss);
        let program = Program::compile(&g, &Options::default()).expect("compiles");
        let inner: usize = (program.graph().nodes().iter())
            .flat_map(|n| n.op.functions())
            .map(|f| f.graph().nodes().len())
            .sum();
        (program.graph().nodes().len(), inner, program.report().kernels)
    };
    assert_eq!(nodes(10), nodes(500));
}

#[test]
fn a_branch_and_its_derivative() {
    for sign in [1.0, -1.0] {
        let write = |g: &Graph| {
            let x = g.input("x", [4]);
            let y = g.cond(
                x.sum(..).gt(0.0),
                || vec![x.exp().sum(..), x * 2.0],
                || vec![x.square().sum(..), x.sin()],
            );
            let loss = y[0] + (y[1] * y[1]).sum(..);
            g.output("loss", loss);
            g.output("d", loss.grad(x));
        };
        let x = [0.3, -0.1, 0.7, 0.2].map(|x| x * sign).to_vec();
        let x = Value::new([4], Data::F64(x));
        derivative_is_right(&write, &[x], 0);
    }
}

#[test]
fn a_derivative_of_ones_own() {
    let write = |g: &Graph| {
        let x = g.input("x", [3]);
        let y = g.custom("through", &[x], |x| vec![x[0].round()], |_, dy| vec![dy[0] * 10.0])[0];
        g.output("y", y);
        g.output("d", (y * y).sum(..).grad(x));
    };
    let x = Value::new([3], Data::F64(vec![0.6, -1.7, 2.2]));
    let found = agree(&write, &[x]);
    assert_eq!(found[0].1, [1.0, -2.0, 2.0]);
    assert_eq!(found[1].1, [20.0, -40.0, 40.0]);
}

#[test]
fn a_mask_is_the_same_forward_and_backward() {
    let write = |g: &Graph| {
        let x = g.input("x", [64]);
        let dropped = g.random().bernoulli(0.5, [64]).select(x * 2.0, 0.0);
        let other = g.random().uniform([64]);
        g.output("y", dropped);
        g.output("d", dropped.sum(..).grad(x));
        g.output("u", other);
    };
    let x = value(&[64], 1);
    let found = agree(&write, std::slice::from_ref(&x));
    let kept = found[1].1.iter().filter(|d| **d == 2.0).count();
    assert!((20..44).contains(&kept), "{kept} of 64");
    for ((y, d), x) in found[0].1.iter().zip(&found[1].1).zip(x.to_f64s()) {
        assert_eq!(*y, d * x);
    }
    assert!(found[2].1.iter().all(|u| (0.0..1.0).contains(u)));
}

#[test]
fn random_numbers_are_new_at_each_run_and_the_same_for_each_seed() {
    let g = Graph::new();
    g.output("u", g.random().uniform([8]));
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let draws = |seed: u64| {
        let mut store = Store::new(seed);
        let mut session = Session::new(&program, &mut store).expect("a session");
        let mut draw = || {
            let mut u = [0.0f32; 8];
            session.run(&mut store, &[], &mut [ArrayMut::F32(&mut u)]).expect("runs");
            u
        };
        [draw(), draw()]
    };
    let [first, second] = draws(1);
    assert!(first.iter().zip(&second).all(|(a, b)| a != b));
    assert_eq!([first, second], draws(1));
    assert_ne!(first, draws(2)[0]);
}

#[test]
fn jacobians_and_hessians() {
    for n in [3, 6] {
        let write = |g: &Graph| {
            let x = g.input("x", [n]);
            let p = x.softmax(0);
            g.output("p", p);
            g.output("jacobian", p.jacobian(x));
            let loss = (x.square() * x).sum(..) + x.prod(..);
            g.output("hessian", loss.hessian(x));
            g.output("product", loss.hvp(x, p));
        };
        let x = value(&[n], 1);
        let found = agree(&write, std::slice::from_ref(&x));
        let (x, p) = (x.to_f64s(), &found[0].1);
        for i in 0..n {
            let mut row = 0.0;
            for j in 0..n {
                let same = f64::from(u8::from(i == j));
                let expected = p[i] * (same - p[j]);
                assert!((found[1].1[i * n + j] - expected).abs() < 1e-14);
                let rest = (0..n).filter(|k| *k != i && *k != j).map(|k| x[k]).product::<f64>();
                let expected = if i == j { 6.0 * x[i] } else { rest };
                assert!((found[2].1[i * n + j] - expected).abs() < 1e-12);
                row += found[2].1[i * n + j] * p[j];
            }
            assert!((found[3].1[i] - row).abs() < 1e-12);
        }
    }
}

#[test]
fn a_train_step_is_differentiated() {
    // How the loss after a step of gradient descent with momentum changes with the step size and the weights.
    fn write<'g>(g: &'g Graph) {
        let rate = g.input("rate", []);
        let (x, y) = (param(g, "x", &[5, 3], 1), param(g, "y", &[5, 2], 2));
        let (w, v) = (param(g, "w", &[3, 4], 3), param(g, "v", &[4, 2], 4));
        let loss = |w: Tensor<'g>, v: Tensor<'g>| {
            -(y * (x.matmul(w).tanh().matmul(v)).log_softmax(1)).sum(..)
        };
        let before = loss(w, v);
        let step = |p: Tensor<'g>| p - rate * before.grad(p);
        let after = loss(step(w), step(v));
        g.output("loss", after);
        g.output("d", after.grad(rate));
        g.output("dw", after.grad(w));
    }
    derivative_is_right(&write, &[Value::new([], Data::F64(vec![0.3]))], 0);
}

#[test]
fn loops_are_optimised_inside_and_what_does_not_change_leaves_them() {
    let g = Graph::new();
    let (x, w) = (g.input("x", [7, 4]), g.input("w", [4, 4]));
    let zero = g.constant(0.0).broadcast_to([4]);
    let all = g.scan(&[zero], &[x], |h, x| {
        // Naive, and with a product that no step changes when differentiated against `w`.
        let p = (h[0].matmul(w.matmul(w)) + x[0]).softmax(0).log();
        (vec![p], vec![p])
    });
    let loss = all.stacked[0].sum(..);
    g.output("loss", loss);
    g.output("dw", loss.grad(w));
    let program = Program::compile(&g, &Options::default()).expect("compiles");
    let count =
        |graph: &eggrad::ir::Graph, op: &Op| graph.nodes().iter().filter(|n| n.op == *op).count();
    for node in program.graph().nodes() {
        for function in node.op.functions() {
            assert_eq!(
                count(function.graph(), &Op::Unary(UnaryOp::Log)),
                0,
                "{}",
                function.graph()
            );
        }
    }
    let results = outputs_of(
        DType::F32,
        &|g| {
            let x = g.input("x", [3, 2]);
            let done = g.scan(&[], &[x], |_, x| (vec![], vec![x[0].softmax(0).log()]));
            g.output("y", done.stacked[0]);
        },
        &[Value::new([3, 2], Data::F32(vec![1000.0, 0.0, 0.0, 1.0, -1000.0, 1000.0]))],
    );
    for (how, found) in results.iter().filter(|r| r.0.contains("rewritten")) {
        assert!(found[0].1.to_f64s().iter().all(|y| y.is_finite()), "{how}");
    }
}
