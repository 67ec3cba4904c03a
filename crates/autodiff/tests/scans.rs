//! Derivatives through sub-graphs: values, numbers of nodes, and that the steps run once.

mod common;

use common::{check_gradient, check_modes, resolved};
use eggrad_autodiff::{Break, hoist, jvp, merge_scans, missing, vjp};
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{
    At, BinaryOp, Builder, CompareOp, DType, DotAxes, Function, Graph, NodeId, Op, Scan, Shape,
    StateKind, TensorType, UnaryOp,
};
use eggrad_testkit::{Rng, error};
use std::sync::Arc;

const BATCH: usize = 2;
const UNITS: usize = 3;

fn float(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F64, dims)
}

fn function(name: &str, b: Builder) -> Arc<Function> {
    Arc::new(Function::new(name, b.build().unwrap()).unwrap())
}

fn input(b: &mut Builder, name: &str, dims: &[usize]) -> NodeId {
    b.declare_input(name, float(dims), None, At::Unknown)
}

/// `h' = tanh(x w + h u + b)`, stacked.
fn cell() -> Arc<Function> {
    let mut b = Builder::new();
    let h = input(&mut b, "h", &[BATCH, UNITS]);
    let x = input(&mut b, "x", &[BATCH, 2]);
    let w = input(&mut b, "w", &[2, UNITS]);
    let u = input(&mut b, "u", &[UNITS, UNITS]);
    let bias = input(&mut b, "b", &[UNITS]);
    let read = b.dot(x, w, DotAxes::contract(1, 0));
    let kept = b.dot(h, u, DotAxes::contract(1, 0));
    let sum = b.add(read, kept);
    let bias = b.spread(bias, Shape::from([BATCH, UNITS]), vec![1]);
    let sum = b.add(sum, bias);
    let next = b.unary(UnaryOp::Tanh, sum);
    b.output("h", next);
    b.output("y", next);
    function("cell", b)
}

/// Last value and stacked values of a recurrent network.
fn network(length: usize, reverse: bool) -> Graph {
    let mut b = Builder::new();
    let h = input(&mut b, "h", &[BATCH, UNITS]);
    let x = input(&mut b, "x", &[length, BATCH, 2]);
    let w = input(&mut b, "w", &[2, UNITS]);
    let u = input(&mut b, "u", &[UNITS, UNITS]);
    let bias = input(&mut b, "b", &[UNITS]);
    let scan = Scan { body: cell(), carries: 1, xs: 1, length, reverse };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[h, x, w, u, bias]);
    b.output("last", results[0]);
    b.output("all", results[1]);
    b.build().unwrap()
}

fn draw(graph: &Graph, seed: u64) -> Vec<Tensor> {
    let mut rng = Rng::new(seed);
    graph.inputs().iter().map(|i| rng.tensor(i.ty.clone(), -1.0, 1.0)).collect()
}

/// Both modes against each other and against differences, first and second order.
fn check(graph: &Graph, wrt: &[&str]) {
    let inputs = draw(graph, 3);
    let modes = check_modes(graph, &inputs, &[], wrt, true, 5);
    assert!(modes < 1e-8, "modes differ by {modes:e}\n{graph}");
    for order in [1, 2, 3] {
        let error = check_gradient(graph, &inputs, &[], wrt, order, 7);
        assert!(error < 1e-7, "derivative {order} is off by {error:e}\n{graph}");
    }
}

/// The graph of a sum of squares of the outputs and its gradients.
fn with_gradients(graph: Graph, wrt: &[&str]) -> Graph {
    let mut b = Builder::from_graph(graph.clone());
    let mut loss = b.scalar(DType::F64, 0.0);
    for output in graph.outputs() {
        let square = b.unary(UnaryOp::Square, output.node);
        let axes = (0..b.ty(square).rank()).collect();
        let sum = b.sum(square, axes);
        loss = b.add(loss, sum);
    }
    for name in wrt {
        let w = common::leaf(&b, name);
        let d = b.node(Op::Grad, &[loss, w]);
        let number = b.graph().outputs().len();
        b.output(&format!("d{number}_{name}"), d);
    }
    b.build().unwrap()
}

/// Number of nodes, also inside sub-graphs, each counted once.
fn all_nodes(graph: &Graph) -> usize {
    let mut functions: Vec<Arc<Function>> = vec![];
    for function in graph.nodes().iter().flat_map(|n| n.op.functions()) {
        if !functions.contains(function) {
            functions.push(function.clone());
        }
    }
    graph.nodes().len() + functions.iter().map(|f| all_nodes(f.graph())).sum::<usize>()
}

/// Different scans of a graph.
fn scans(graph: &Graph) -> usize {
    let mut seen: Vec<(Op, Vec<NodeId>)> = vec![];
    for node in graph.nodes().iter().filter(|n| matches!(n.op, Op::Scan { .. })) {
        let key = (node.op.with_result(0), node.inputs.clone());
        if !seen.contains(&key) {
            seen.push(key);
        }
    }
    seen.len()
}

#[test]
fn recurrent_networks() {
    for reverse in [false, true] {
        for length in [0, 1, 4] {
            check(&network(length, reverse), &["h", "x", "w", "u", "b"]);
        }
    }
    check(&network(3, false), &["u"]);
    check(&network(3, true), &["x"]);
}

#[test]
fn gradients_of_a_scan_do_not_grow_with_its_length() {
    let nodes = |length| {
        let wrt = ["h", "w", "u", "b"];
        let graph = resolved(with_gradients(network(length, false), &wrt));
        // Forward and backward: two scans, and the weights' gradients are products over all steps at once.
        assert_eq!(scans(&graph), 2, "{graph}");
        assert_eq!(graph.nodes().iter().filter(|n| matches!(n.op, Op::Dot(_))).count(), 2);
        let twice = resolved(with_gradients(graph.clone(), &["u"]));
        (all_nodes(&graph), all_nodes(&twice))
    };
    assert_eq!(nodes(5), nodes(5000));
}

#[test]
fn steps_run_once_in_forward_mode_too() {
    let graph = network(4, false);
    let mut b = Builder::from_graph(graph.clone());
    let w = common::leaf(&b, "w");
    let one = b.full_like(w, 1.0);
    let ys: Vec<NodeId> = graph.outputs().iter().map(|o| o.node).collect();
    let tangents = jvp(&mut b, &[(w, one)], &ys);
    for (i, t) in tangents.into_iter().enumerate() {
        b.output(&format!("t{i}"), t.unwrap());
    }
    let before = b.build().unwrap();
    let after = merge_scans(before.clone());
    assert_eq!((scans(&before), scans(&after)), (2, 1));
    let inputs = draw(&graph, 1);
    let values = |g: &Graph| run(g, &inputs, &[], Precision::AsWritten).unwrap();
    assert_eq!(values(&before), values(&after));
}

/// A tangent that depends on the scan's own result: the larger scan cannot take its place.
#[test]
fn scans_that_depend_on_each_other_stay_apart() {
    let graph = network(2, false);
    let mut b = Builder::from_graph(graph.clone());
    let (h, last) = (common::leaf(&b, "h"), graph.outputs()[0].node);
    let tangent = jvp(&mut b, &[(h, last)], &[last])[0].unwrap();
    b.output("t", tangent);
    let before = b.build().unwrap();
    let after = merge_scans(before.clone());
    assert_eq!(scans(&after), 2);
    let inputs = draw(&graph, 1);
    let values = |g: &Graph| run(g, &inputs, &[], Precision::AsWritten).unwrap();
    assert_eq!(values(&before), values(&after));
}

/// Two losses of one scan, whose derivatives read different values of its steps.
#[test]
fn several_losses_share_the_forward_scan() {
    let mut b = Builder::from_graph(network(4, false));
    for (i, name) in ["u", "x"].into_iter().enumerate() {
        let y = b.graph().outputs()[i].node;
        let axes = (0..b.ty(y).rank()).collect();
        let loss = b.sum(y, axes);
        let w = common::leaf(&b, name);
        let d = b.node(Op::Grad, &[loss, w]);
        b.output(&format!("d{i}"), d);
    }
    let graph = resolved(b.build().unwrap());
    assert_eq!(scans(&graph), 3, "{graph}");
}

/// From carried value, position and constant to the next carried value and what is stacked.
type StepOf<'a> = &'a dyn Fn(&mut Builder, [NodeId; 3]) -> (NodeId, Vec<NodeId>);

/// `f` as a graph over one scan whose operands are `h: [2]`, `x: [n, 2]` and `k: [2]`.
fn scanned(length: usize, reverse: bool, step: StepOf<'_>) -> Graph {
    let mut f = Builder::new();
    let operands = ["h", "x", "k"].map(|name| input(&mut f, name, &[2]));
    let (next, stacked) = step(&mut f, operands);
    f.output("h", next);
    stacked.into_iter().enumerate().for_each(|(i, y)| f.output(&format!("y{i}"), y));
    let mut b = Builder::new();
    let h = input(&mut b, "h", &[2]);
    let x = input(&mut b, "x", &[length, 2]);
    let k = input(&mut b, "k", &[2]);
    let scan = Scan { body: function("step", f), carries: 1, xs: 1, length, reverse };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[h, x, k]);
    results.into_iter().enumerate().for_each(|(i, y)| b.output(&format!("y{i}"), y));
    b.build().unwrap()
}

#[test]
fn steps_of_all_kinds() {
    // Handed on unchanged, and a position handed out as it is.
    check(&scanned(3, false, &|_, [h, x, _]| (h, vec![x, h])), &["h", "x"]);
    // Overwritten in each step.
    check(&scanned(3, true, &|b, [h, x, k]| (b.mul(x, k), vec![b.mul(h, x)])), &["h", "x", "k"]);
    // The same value carried and stacked, and powers of a constant that no step changes.
    let powers = |b: &mut Builder, [h, x, k]: [NodeId; 3]| {
        let power = b.unary(UnaryOp::Exp, k);
        let next = b.mul(h, power);
        (next, vec![next, b.binary(BinaryOp::Sub, x, power)])
    };
    check(&scanned(4, false, &powers), &["h", "x", "k"]);
    // Kinks, and a branch that must not leak.
    let gated = |b: &mut Builder, [h, x, k]: [NodeId; 3]| {
        let zero = b.full_like(x, 0.0);
        let positive = b.compare(CompareOp::Gt, x, zero);
        let log = b.unary(UnaryOp::Log, x);
        let safe = b.select(positive, log, k);
        let half = b.full_like(h, 0.5);
        let faded = b.mul(half, h);
        (b.add(faded, safe), vec![b.unary(UnaryOp::Relu, h)])
    };
    check(&scanned(4, false, &gated), &["h", "x", "k"]);
}

/// A scan over rows inside a scan over matrices, and branches inside it.
#[test]
fn nested() {
    let mut inner = Builder::new();
    let [a, v, k] = ["a", "v", "k"].map(|name| input(&mut inner, name, &[]));
    let product = inner.mul(a, v);
    let sine = inner.unary(UnaryOp::Sin, product);
    let next = inner.add(sine, k);
    inner.output("a", next);
    inner.output("y", product);
    let inner = function("inner", inner);

    let branch = |name: &str, op: UnaryOp| {
        let mut f = Builder::new();
        let (s, k) = (input(&mut f, "s", &[]), input(&mut f, "k", &[]));
        let value = f.unary(op, s);
        let value = f.mul(value, k);
        f.output("r", value);
        function(name, f)
    };
    let (then, otherwise) = (branch("then", UnaryOp::Tanh), branch("otherwise", UnaryOp::Exp));

    let mut outer = Builder::new();
    let s = input(&mut outer, "s", &[]);
    let row = input(&mut outer, "row", &[3]);
    let k = input(&mut outer, "k", &[]);
    let scan = Scan { body: inner, carries: 1, xs: 1, length: 3, reverse: true };
    let results = outer.application(&Op::Scan { scan, result: 0 }, &[s, row, k]);
    let zero = outer.scalar(DType::F64, 0.0);
    let positive = outer.compare(CompareOp::Gt, results[0], zero);
    let cond = Op::Cond { then, otherwise, result: 0 };
    let next = outer.node(cond, &[positive, results[0], k]);
    outer.output("s", next);
    outer.output("ys", results[1]);
    let outer = function("outer", outer);

    let mut b = Builder::new();
    let s = input(&mut b, "s", &[]);
    let m = input(&mut b, "m", &[4, 3]);
    let k = input(&mut b, "k", &[]);
    let scan = Scan { body: outer, carries: 1, xs: 1, length: 4, reverse: false };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[s, m, k]);
    b.output("s", results[0]);
    b.output("ys", results[1]);
    let graph = b.build().unwrap();
    check(&graph, &["s", "m", "k"]);

    // Also inside the body, the inner steps run once.
    let graph = resolved(with_gradients(graph, &["k"]));
    assert_eq!(scans(&graph), 2);
    let forward = graph.nodes().iter().find_map(|n| n.op.functions().first().map(|f| (*f).clone()));
    assert_eq!(scans(forward.unwrap().graph()), 1);
}

/// Work of the constants alone leaves both directions, and results stay.
#[test]
fn invariant_work_leaves_scans() {
    let graph = scanned(4, false, &|b, [h, x, k]| {
        let exp = b.unary(UnaryOp::Exp, k);
        let root = b.unary(UnaryOp::Sqrt, exp);
        let scaled = b.mul(h, root);
        let next = b.add(scaled, x);
        (next, vec![b.mul(next, exp)])
    });
    let graph = resolved(with_gradients(graph, &["h", "x", "k"]));
    let moved = hoist(graph.clone());
    let exps = |g: &Graph| g.nodes().iter().filter(|n| n.op == Op::Unary(UnaryOp::Exp)).count();
    let inside = |g: &Graph| {
        let functions = g.nodes().iter().flat_map(|n| n.op.functions());
        functions.map(|f| exps(f.graph())).sum::<usize>()
    };
    assert!(inside(&graph) > 0 && exps(&graph) == 0);
    assert_eq!((exps(&moved), inside(&moved)), (1, 0));
    let inputs = draw(&graph, 2);
    let values = |g: &Graph| run(g, &inputs, &[], Precision::AsWritten).unwrap();
    assert_eq!(values(&graph), values(&moved));
    assert_eq!(hoist(moved.clone()), moved);
}

/// The products of inputs and weights are one product for all steps, forth and back.
#[test]
fn products_of_sequences_leave_scans() {
    for reverse in [false, true] {
        let graph = resolved(with_gradients(network(4, reverse), &["h", "x", "w", "u", "b"]));
        let moved = hoist(graph.clone());
        let dots = |g: &Graph| g.nodes().iter().filter(|n| matches!(n.op, Op::Dot(_))).count();
        let forward = |g: &Graph| {
            let scan =
                g.nodes().iter().find_map(|n| n.op.functions().first().map(|f| (*f).clone()));
            dots(scan.unwrap().graph())
        };
        assert_eq!((forward(&graph), forward(&moved)), (2, 1));
        assert_eq!(dots(&moved), dots(&graph) + 1);
        let inputs = draw(&graph, 4);
        let values = |g: &Graph| run(g, &inputs, &[], Precision::AsWritten).unwrap().outputs;
        for (a, b) in values(&graph).iter().zip(values(&moved)) {
            assert!(error(&b, a, 1.0) < 1e-14);
        }
        assert_eq!(hoist(moved.clone()), moved);
    }
    // The sequence on the right of the product, with axes in front of it that stay.
    let mut f = Builder::new();
    let h = input(&mut f, "h", &[]);
    let x = input(&mut f, "x", &[2, 3, 4]);
    let k = input(&mut f, "k", &[5, 4, 2]);
    let axes = DotAxes { batch: vec![(2, 0)], contract: vec![(1, 2)] };
    let y = f.dot(k, x, axes);
    f.output("h", h);
    f.output("y", y);
    let mut b = Builder::new();
    let h = input(&mut b, "h", &[]);
    let x = input(&mut b, "x", &[6, 2, 3, 4]);
    let k = input(&mut b, "k", &[5, 4, 2]);
    let scan = Scan { body: function("step", f), carries: 1, xs: 1, length: 6, reverse: true };
    let y = b.node(Op::Scan { scan, result: 1 }, &[h, x, k]);
    b.output("y", y);
    let graph = b.build().unwrap();
    let moved = hoist(graph.clone());
    assert!(moved.nodes().iter().any(|n| matches!(n.op, Op::Dot(_))));
    let inputs = draw(&graph, 4);
    let values = |g: &Graph| run(g, &inputs, &[], Precision::AsWritten).unwrap().outputs;
    assert!(error(&values(&moved)[0], &values(&graph)[0], 1.0) < 1e-14);
}

/// `x^2` with the derivative `3 g x`, so that it can be told from the true one.
fn odd_square() -> Arc<Function> {
    let mut f = Builder::new();
    let x = input(&mut f, "x", &[]);
    let y = f.unary(UnaryOp::Square, x);
    f.output("y", y);
    let mut v = Builder::new();
    let (x, g) = (input(&mut v, "x", &[]), input(&mut v, "g", &[]));
    let three = v.scalar(DType::F64, 3.0);
    let slope = v.mul(three, x);
    let d = v.mul(slope, g);
    v.output("d", d);
    let vjp = function("odd", v);
    Arc::new(Function::new("square", f.build().unwrap()).unwrap().with_vjp(vjp).unwrap())
}

#[test]
fn derivatives_of_its_own() {
    let mut b = Builder::new();
    let x = input(&mut b, "x", &[]);
    let y = b.node(Op::Call { function: odd_square(), result: 0 }, &[x]);
    let one = b.full_like(y, 1.0);
    let reverse = vjp(&mut b, y, one, &[x])[0].unwrap();
    let forward = jvp(&mut b, &[(x, one)], &[y])[0].unwrap();
    let second = vjp(&mut b, reverse, one, &[x])[0].unwrap();
    let mixed = jvp(&mut b, &[(x, one)], &[reverse])[0].unwrap();
    for (i, id) in [y, reverse, forward, second, mixed].into_iter().enumerate() {
        b.output(&format!("y{i}"), id);
    }
    let graph = b.build().unwrap();
    let at = [Tensor::scalar(DType::F64, 2.0)];
    let values = |g: &Graph| -> Vec<f64> {
        let outputs = run(g, &at, &[], Precision::AsWritten).unwrap().outputs;
        outputs.iter().map(Tensor::item).collect()
    };
    assert_eq!(values(&graph), [4.0, 6.0, 6.0, 3.0, 3.0]);
    let inlined = eggrad_ir::inline(&graph, &|_| true).unwrap();
    assert_eq!(values(&inlined), values(&graph));

    // As the body of a scan: ((x^2)^2)^2, with slope 3 x^4 · 3 x^2 · 3 x.
    let mut b = Builder::new();
    let x = input(&mut b, "x", &[]);
    let scan = Scan { body: odd_square(), carries: 1, xs: 0, length: 3, reverse: false };
    let y = b.node(Op::Scan { scan, result: 0 }, &[x]);
    let one = b.full_like(y, 1.0);
    let reverse = vjp(&mut b, y, one, &[x])[0].unwrap();
    let forward = jvp(&mut b, &[(x, one)], &[y])[0].unwrap();
    [y, reverse, forward]
        .into_iter()
        .enumerate()
        .for_each(|(i, id)| b.output(&format!("y{i}"), id));
    let slope = 27.0 * 2f64.powi(7);
    assert_eq!(values(&merge_scans(b.build().unwrap())), [256.0, slope, slope]);
}

/// Several results, some of them integers, and operands that no derivative reaches.
#[test]
fn calls_with_mixed_results() {
    let mut f = Builder::new();
    let (x, c) = (input(&mut f, "x", &[2]), input(&mut f, "c", &[2]));
    let n = f.declare_input("n", TensorType::scalar(DType::I32), None, At::Unknown);
    let sine = f.unary(UnaryOp::Sin, x);
    let count = f.cast(n, DType::F64);
    let count = f.spread(count, Shape::from([2]), vec![]);
    let scaled = f.mul(sine, count);
    let product = f.mul(x, c);
    f.output("scaled", scaled);
    f.output("n", n);
    f.output("product", product);
    let function = function("f", f);
    let mut b = Builder::new();
    let (x, c) = (input(&mut b, "x", &[2]), input(&mut b, "c", &[2]));
    let n = b.scalar(DType::I32, 3.0);
    let results = b.application(&Op::Call { function, result: 0 }, &[x, c, n]);
    b.output("a", results[0]);
    b.output("b", results[2]);
    check(&b.build().unwrap(), &["x", "c"]);
}

/// A `grad` inside a body, of the step's own loss: a few steps of gradient descent, differentiated by where it began
/// and by the learning rate.
#[test]
fn grads_inside_bodies() {
    let mut f = Builder::new();
    let (w, x, rate) =
        (input(&mut f, "w", &[]), input(&mut f, "x", &[]), input(&mut f, "rate", &[]));
    let product = f.mul(w, x);
    let sine = f.unary(UnaryOp::Sin, product);
    let loss = f.unary(UnaryOp::Square, sine);
    let d = f.node(Op::Grad, &[loss, w]);
    let step = f.mul(rate, d);
    let next = f.sub(w, step);
    f.output("w", next);
    f.output("loss", loss);
    let body = function("descend", f);
    let mut b = Builder::new();
    let w = input(&mut b, "w", &[]);
    let x = input(&mut b, "x", &[5]);
    let rate = input(&mut b, "rate", &[]);
    let scan = Scan { body, carries: 1, xs: 1, length: 5, reverse: false };
    let results = b.application(&Op::Scan { scan, result: 0 }, &[w, x, rate]);
    b.output("w", results[0]);
    b.output("losses", results[1]);
    let mut prepared = 0;
    let graph = eggrad_autodiff::resolve(b.build().unwrap(), &mut |forward| {
        prepared += 1;
        Ok::<Graph, eggrad_autodiff::AutodiffError>(forward)
    });
    assert_eq!(prepared, 1);
    let graph = graph.unwrap();
    assert!(!graph.has_grad());
    check(&graph, &["w", "x", "rate"]);
}

#[test]
fn breaks_inside_are_named() {
    let text = "graph 2\nin a: f64[]\nin h: f64[]\n%2 = floor(a)\n%3 = add(%2, h)\nout h = %3\n";
    let body = Arc::new(Function::new("step", text.parse().unwrap()).unwrap());
    // A parameter as a constant of a scan: the operands are the carried `a`, handed on as `h`, and the constant.
    let mut b = Builder::new();
    let x = input(&mut b, "x", &[]);
    let w = b.declare_state("w", StateKind::Param, float(&[]), At::Unknown);
    let scan = Scan { body: body.clone(), carries: 1, xs: 0, length: 2, reverse: false };
    let y = b.node(Op::Scan { scan, result: 0 }, &[w, x]);
    let d = b.node(Op::Grad, &[y, w]);
    b.output("d", d);
    match missing(&b.build().unwrap()).remove(0).broken {
        Break::Op { op, at: At::Text { line, .. } } => assert_eq!((op, line), ("floor", 4)),
        other => panic!("{other:?}"),
    }
    // The other operand gets through.
    let mut b = Builder::new();
    let x = input(&mut b, "x", &[]);
    let w = b.declare_state("w", StateKind::Param, float(&[]), At::Unknown);
    let y = b.node(Op::Call { function: body, result: 0 }, &[x, w]);
    let d = b.node(Op::Grad, &[y, w]);
    b.output("d", d);
    assert!(missing(&b.build().unwrap()).is_empty());
}

/// Only what is asked for is computed: no cotangents of sequences, none of the first carried value.
#[test]
fn unasked_cotangents_are_not_made() {
    let graph = resolved(with_gradients(network(4, false), &["b"]));
    let mut backward = graph.nodes().iter().filter(|n| matches!(n.op, Op::Scan { .. }));
    let body = backward.next_back().unwrap().op.functions()[0].clone();
    let names: Vec<&str> = body.graph().outputs().iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["carry0", "sum0"]);
}

#[test]
fn values_stay_when_gradients_are_taken() {
    let graph = network(4, true);
    let inputs = draw(&graph, 9);
    let before = run(&graph, &inputs, &[], Precision::AsWritten).unwrap().outputs;
    let graph = resolved(with_gradients(graph, &["u", "x"]));
    let after = run(&graph, &inputs, &[], Precision::AsWritten).unwrap().outputs;
    for (a, b) in before.iter().zip(&after) {
        assert_eq!(error(a, b, 1.0), 0.0);
    }
}
