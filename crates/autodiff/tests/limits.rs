//! Derivatives that cannot be built are refused, with the user's places.

use eggrad_autodiff::{AutodiffError, hessian, jacobian, resolve};
use eggrad_ir::{At, Builder, DType, Graph, MAX_DEPTH, TensorType};

fn refused(text: &str) -> AutodiffError {
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    resolve::<AutodiffError>(graph, &mut Ok).expect_err(text)
}

fn resolves(text: &str) {
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    resolve::<AutodiffError>(graph, &mut Ok).unwrap_or_else(|e| panic!("{e}\n{text}"));
}

const SINE: &str = "graph 2\nfn f(h: f32[]) {\n  out h = sin(h)\n}\n";

#[test]
fn derivatives_that_no_memory_holds_are_refused() {
    let error = refused(&format!(
        "{SINE}in h: f32[]\ns = scan(f, h, carries=1, xs=0, length=9223372036854775807)\nout y = grad(s, h)\n"
    ));
    let AutodiffError::Stack { steps, at, asked, .. } = &error else { panic!("{error}") };
    assert_eq!(*steps, 9_223_372_036_854_775_807);
    assert_eq!((*at, *asked), (At::Text { line: 6, column: 5 }, At::Text { line: 7, column: 9 }));
    let told = error.to_string();
    for part in ["keeps up to f32[] per step", "written at line 6", "asked at line 7", "help: "] {
        assert!(told.contains(part), "{told}");
    }
    // Many steps of large values.
    let wide = "graph 2\nfn f(h: f32[1073741824]) {\n  out h = sin(h)\n}\nin h: f32[1073741824]\n\
                s = scan(f, h, carries=1, xs=0, length=2147483647)\nout y = grad(s, h)\n";
    assert!(matches!(refused(wide), AutodiffError::Stack { .. }));
    // Scans inside scans, conds and calls: their stacks are stacked.
    for inner in
        ["scan(f, h, carries=1, xs=0, length=1099511627776)", "cond(h > 0, g, g, h)", "call(g, h)"]
    {
        let text = format!(
            "{SINE}fn g(h: f32[]) {{\n  out h = scan(f, h, carries=1, xs=0, length=1099511627776)\n}}\n\
             fn outer(h: f32[]) {{\n  out h = {inner}\n}}\nin h: f32[]\n\
             s = scan(outer, h, carries=1, xs=0, length=1099511627776)\nout y = grad(s, h)\n"
        );
        assert!(matches!(refused(&text), AutodiffError::Stack { .. }), "{text}");
    }
}

#[test]
fn scans_that_no_derivative_goes_through_may_be_long() {
    let long = "scan(f, stop_gradient(h), carries=1, xs=0, length=9223372036854775807)";
    resolves(&format!("{SINE}in h: f32[]\nout y = grad(h * {long}, h)\n"));
    resolves(&format!("{SINE}in h: f32[]\nin k: f32[]\nout y = grad(h * h, h)\nout z = {long}\n"));
    let short = "scan(f, h, carries=1, xs=0, length=1099511627776)";
    resolves(&format!("{SINE}in h: f32[]\nout y = grad({short}, h)\n"));
}

/// A gradient through `levels` functions, the innermost of which has a derivative of its own if `own`.
fn nest(levels: usize, own: bool, apply: impl Fn(usize) -> String) -> String {
    let mut text =
        String::from("graph 2\nfn back(x: f32[], d: f32[]) {\n  out x = d * cos(x)\n}\n");
    let vjp = if own { "vjp back " } else { "" };
    text.push_str(&format!("fn f1(x: f32[]) {vjp}{{\n  out y = sin(x)\n}}\n"));
    for i in 2..=levels {
        text.push_str(&format!("fn f{i}(x: f32[]) {{\n  out y = {}\n}}\n", apply(i - 1)));
    }
    text.push_str(&format!("in x: f32[]\nout y = grad({}, x)\n", apply(levels)));
    text
}

#[test]
fn derivatives_that_nest_too_deep_are_refused() {
    resolves(&nest(MAX_DEPTH, true, |i| format!("call(f{i}, x)")));
    let ways: [fn(usize) -> String; 2] = [
        |i| format!("cond(x > 0, f{i}, f{i}, x)"),
        |i| format!("scan(f{i}, x, carries=1, xs=0, length=2)"),
    ];
    for apply in ways {
        resolves(&nest(MAX_DEPTH, false, apply));
        resolves(&nest(MAX_DEPTH - 1, true, apply));
        let error = refused(&nest(MAX_DEPTH, true, apply));
        assert!(matches!(error, AutodiffError::Depth { at: At::Text { .. }, .. }), "{error}");
        assert!(error.to_string().contains("help: "), "{error}");
    }
}

#[test]
fn jacobians_that_no_memory_holds_are_refused() {
    let mut b = Builder::new();
    let ty = TensorType::new(DType::F32, [1 << 30]);
    let x = b.declare_input("x", ty, None, At::Unknown);
    let y = b.mul(x, x);
    let error = jacobian(&mut b, y, x).expect_err("too large");
    assert!(matches!(error, AutodiffError::Jacobian { .. }), "{error}");
    let total = b.sum(y, vec![0]);
    assert!(hessian(&mut b, total, x).is_err());

    let text = format!(
        "{SINE}in h: f32[]\nout y = scan(f, h, carries=1, xs=0, length=9223372036854775807)\n"
    );
    let graph: Graph = text.parse().unwrap();
    let (x, y) = (graph.inputs()[0].node, graph.outputs()[0].node);
    let mut b = Builder::from_graph(graph);
    assert!(matches!(jacobian(&mut b, y, x), Err(AutodiffError::Stack { .. })));
    assert!(matches!(hessian(&mut b, y, x), Err(AutodiffError::Stack { .. })));
}

#[test]
fn jacobians_that_nest_too_deep_are_refused() {
    let mut text = String::from("graph 2\nfn f1(x: f32[8]) {\n  out y = sin(x)\n}\n");
    let apply = |i: usize| format!("cond(sum(x) > 0, f{i}, f{i}, x)");
    for i in 2..=MAX_DEPTH {
        text.push_str(&format!("fn f{i}(x: f32[8]) {{\n  out y = {}\n}}\n", apply(i - 1)));
    }
    text.push_str(&format!("in x: f32[8]\nout y = {}\n", apply(MAX_DEPTH)));
    let graph: Graph = text.parse().unwrap();
    let (x, y) = (graph.inputs()[0].node, graph.outputs()[0].node);
    let mut b = Builder::from_graph(graph);
    assert!(matches!(jacobian(&mut b, y, x), Err(AutodiffError::Depth { .. })));
}
