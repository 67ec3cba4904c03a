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
graph 1
in x: f32[2, 3]
in labels: i32[2], range 0 to 3
param w: f32[3, 4]
frozen layer.bias: f32[4]
%4 = dot x w, contract [1] [0]
%5 = broadcast layer.bias, shape [2, 4], axes [1]
%6 = add %4 %5
%7 = softmax %6, axes [1]
%8 = sum %7, axes [0, 1]
%9 = size %7, type f32, axes [0, 1]
%10 = div %8 %9
%11 = const, type f32, value 0.5
%12 = broadcast %11, shape [3, 4], axes []
%13 = mul w %12
out mean = %10
out x = x
write w = %13
guard %10
";
    assert_eq!(text, expected);
    assert_eq!(text.parse::<Graph>().expect("parses").to_string(), text);
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
fn floats_keep_all_their_bits_in_text() {
    let mut b = Builder::new();
    for (i, value) in [0.1, 1e300, -0.0, f64::INFINITY, f64::NAN, 5e-324].into_iter().enumerate() {
        let c = b.scalar(DType::F64, value);
        b.output(&format!("c{i}"), c);
    }
    let text = b.build().expect("a valid graph").to_string();
    assert_eq!(text.parse::<Graph>().expect("parses").to_string(), text);
}

/// The text of the error that parsing `lines` gives.
fn refused(lines: &str) -> String {
    format!("graph 1\n{lines}").parse::<Graph>().expect_err("must be refused").to_string()
}

#[test]
fn faults_in_text_name_line_and_column() {
    let cases = [
        ("out y = %3", "`text` knows no value called `%3`\n  at line 2, column 9"),
        ("in x: f31[2]", "`text` needs an element type here\n  at line 2, column 7"),
        ("in x: f32[2", "`text` needs `,` here\n  at line 2, column 12"),
        ("in x: f32[2] 7", "`text` goes on too long\n  at line 2, column 14"),
        ("in x: f32[2]\n%1 = exq x", "`text` knows no op called `exq`\n  at line 3, column 6"),
        ("in x: f32[2]\n%1 = exp", "`text` `exp` takes 1 operands, not 0\n  at line 3, column 6"),
        ("in x: f32[2]\n%1 = exp x, axes [0]", "`text` knows no `axes` of `exp`\n  at line 3"),
        ("in x: f32[2]\n%1 = sum x", "`text` needs `axes`\n  at line 3, column 11"),
        ("in x: f32[99999999999, 99999999999]", "`text` f32[99999999999, 99999999999] fits no"),
        ("%1 = const, type i32, value 0.5", "`text` has a value that is not of its type"),
        ("hello", "`text` has no line that begins with `hello`"),
        ("in x: f32[2]\nwrite x = x", "`text` writes what is no state"),
        ("in x: f32[2]\nguard x", "`guard` must be one float, not f32[2]"),
        ("in x: f32[]\nin x: f32[]", "`x` names two of them"),
        ("in x: f32[2]\n%1 = sum x, axes [1]", "`sum` has no axes [1] on [2]\n  at line 3"),
    ];
    for (lines, expected) in cases {
        let error = refused(lines);
        assert!(error.starts_with(expected), "for {lines:?}: {error}");
    }
    assert!("".parse::<Graph>().is_err());
    assert!("graph 2\n".parse::<Graph>().is_err());
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
