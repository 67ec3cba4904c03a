//! Types, errors, text form and verifier of graphs.

use eggrad_ir::*;

fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F32, dims)
}

/// `mean(softmax(x @ w + b))`, with a state write and a guard.
fn sample() -> Graph {
    let mut b = Builder::new();
    let x = b.declare_input("x", f32s(&[2, 3]), None, At::Unknown);
    b.declare_input("labels", TensorType::new(DType::I32, [2]), Some((0.0, 3.0)), At::Unknown);
    let w = b.declare_state("w", StateKind::Param, f32s(&[3, 4]), At::Unknown);
    let bias = b.declare_state("layer.bias", StateKind::Frozen, f32s(&[4]), At::Unknown);
    let z = b.dot(x, w, DotAxes::contract(1, 0));
    let spread = b.spread(bias, [2, 4].into(), vec![1]);
    let z = b.add(z, spread);
    let p = b.node(Op::Softmax(SoftmaxOp::Softmax, vec![1]), &[z]);
    let total = b.sum(p, vec![0, 1]);
    let size = b.node(Op::Size { dtype: DType::F32, axes: vec![0, 1] }, &[p]);
    let mean = b.div(total, size);
    let dead = b.scalar(DType::F32, 0.1);
    b.neg(dead);
    let half = b.full_like(w, 0.5);
    let next = b.mul(w, half);
    b.output("mean", mean);
    b.output("x", x);
    b.write(w, next);
    b.set_guard(Some(mean));
    b.build().expect("a valid graph")
}

#[test]
fn text_prints_and_parses_back() {
    let text = sample().to_string();
    let expected = "\
graph 2
in x: f32[2, 3]
in labels: i32[2], range 0 to 3
param w: f32[3, 4]
frozen layer.bias: f32[4]
%10 = mean(softmax(x @ w + layer.bias, axes=[1]))
out mean = %10
out x = x
write w = w * 0.5
guard %10
";
    assert_eq!(text, expected);
    assert!(text.parse::<Graph>().expect("parses") == sample());
}

#[test]
fn equal_nodes_are_shared_and_dead_ones_dropped() {
    let mut b = Builder::new();
    let x = b.declare_input("x", f32s(&[2]), None, At::Unknown);
    let (once, twice) = (b.unary(UnaryOp::Exp, x), b.unary(UnaryOp::Exp, x));
    assert_eq!(once, twice);
    b.unary(UnaryOp::Log, x);
    b.output("y", once);
    let graph = b.build().expect("a valid graph");
    assert_eq!((graph.nodes().len(), graph.computing_nodes()), (2, 1));
}

#[test]
fn single_nodes_are_shown_by_their_ops() {
    let graph = sample();
    let shown = |id| (graph.reference(NodeId(id)), graph.expression(NodeId(id)));
    assert_eq!(shown(4), ("%4".into(), "dot(x, w, contract=[(1, 0)])".into()));
    assert_eq!(shown(5).1, "broadcast(layer.bias, shape=[2, 4], axes=[1])");
    assert_eq!(shown(7).1, "softmax(%6, axes=[1])");
    assert_eq!(shown(11).1, "const(type=f32, value=0.5)");
    assert_eq!(shown(3).0, "layer.bias");
}

#[test]
fn pictures_show_parts_shapes_and_boxes() {
    let graph = sample();
    let boxes = [Cluster { label: "kernel 0: \"dot\"".into(), nodes: vec![NodeId(4), NodeId(6)] }];
    let dot = to_dot(&graph, "sample", &boxes);
    assert!(dot.contains("subgraph cluster_0"));
    assert!(dot.contains(r#"label="kernel 0: \"dot\"""#));
    assert!(dot.contains(r#"n0 -> n4 [label="f32[2, 3]"]"#));
    let parts = parts(&graph);
    assert_eq!((parts[4], parts[13]), (Part::Forward, Part::Update));
}

#[test]
fn broadcasting_aligns_from_the_right() {
    let check = |a: &[usize], b: &[usize], expected: Option<&[usize]>| {
        let found = broadcast_shape(&a.into(), &b.into());
        assert_eq!(found, expected.map(Shape::from), "{a:?} {b:?}");
    };
    check(&[2, 3], &[3], Some(&[2, 3]));
    check(&[2, 1], &[1, 3], Some(&[2, 3]));
    check(&[], &[4], Some(&[4]));
    check(&[2], &[3], None);
    check(&[1], &[0], Some(&[0]));
}

#[test]
fn deep_graphs_need_no_deep_stack() {
    let deep = || {
        let mut b = Builder::new();
        let mut x = b.declare_input("x", f32s(&[2]), None, At::Unknown);
        for i in 0..100_000 {
            x = b.unary(if i % 2 == 0 { UnaryOp::Tanh } else { UnaryOp::Neg }, x);
        }
        b.output("y", x);
        let text = b.build().expect("a valid graph").to_string();
        let graph: Graph = text.parse().expect("parses");
        assert_eq!(graph.computing_nodes(), 100_000);
        assert!(to_dot(&graph, "deep", &[]).len() > 100_000);
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(deep);
    thread.expect("a thread").join().expect("no overflow");
}

/// `levels` functions, each of which calls the one before eight times, one call on the result of another.
fn tower(levels: usize) -> Graph {
    let mut text = String::from("graph 2\nfn f0(x: f32[]) {\n  out y = sin(x)\n}\n");
    for i in 1..=levels {
        let mut value = "x".to_string();
        (0..8).for_each(|_| value = format!("f{}({value})", i - 1));
        text.push_str(&format!("fn f{i}(x: f32[]) {{\n  out y = {value}\n}}\n"));
    }
    text.push_str(&format!("in x: f32[]\nout y = f{levels}(x)\n"));
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn calls_that_stand_for_too_many_nodes_are_refused() {
    let small = inline(&tower(3), &|_| true).unwrap();
    assert_eq!(small.computing_nodes(), 512);
    assert!(inline(&tower(15), &|_| false).is_ok());
    for levels in [6, 15] {
        let error = inline(&tower(levels), &|_| true).expect_err("too many");
        // The call that is too many stands in one of the functions, below their first lines.
        assert!(matches!(error.at, At::Text { line: 15.., .. }), "{error}");
        assert!(error.message.contains("more than 262144"), "{error}");
        assert!(error.help.contains("scan"), "{error}");
    }
    // Results of one call are written once, and what stays a sub-graph is written once.
    let pair = "graph 2\nfn f(x: f32[]) {\n  out y = sin(x)\n  out z = cos(x)\n}\nin x: f32[]\n\
                out y = f(x)\nout z = f(x, result=1)\n";
    assert_eq!(inline(&pair.parse().unwrap(), &|_| true).unwrap().computing_nodes(), 2);
}
