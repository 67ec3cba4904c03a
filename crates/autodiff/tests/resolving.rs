//! `grad` nodes: nested, at computed values, prepared, missing, deep.

mod common;

use common::{in_small_stack, resolved};
use eggrad_autodiff::{AutodiffError, Break, missing, resolve, vjp};
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{At, Builder, DType, Graph, Op, StateKind, TensorType, UnaryOp};

fn parse(text: &str) -> Graph {
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn scalar(value: f64) -> Tensor {
    Tensor::scalar(DType::F64, value)
}

fn outputs(graph: &Graph, inputs: &[f64]) -> Vec<f64> {
    let inputs: Vec<Tensor> = inputs.iter().map(|&v| scalar(v)).collect();
    let run = run(graph, &inputs, &[], Precision::AsWritten).unwrap();
    run.outputs.iter().map(Tensor::item).collect()
}

#[test]
fn nested_derivatives() {
    let graph = parse(
        "graph 2\nin x: f64[]\n%1 = square(x)\n%2 = mul(%1, %1)\n%3 = grad(%2, x)\n%4 = grad(%3, x)\n\
         %5 = grad(%4, x)\nout y = %2\nout d1 = %3\nout d2 = %4\nout d3 = %5\n",
    );
    let graph = resolved(graph);
    assert!(!graph.has_grad());
    assert_eq!(outputs(&graph, &[2.0]), [16.0, 32.0, 48.0, 48.0]);
}

#[test]
fn a_loss_of_a_gradient_reaches_everything() {
    // d/dw of (d/dx of w x^2)^2 = d/dw 4 w^2 x^2 = 8 w x^2
    let graph = parse(
        "graph 2\nin x: f64[]\nin w: f64[]\n%2 = square(x)\n%3 = mul(w, %2)\n%4 = grad(%3, x)\n\
         %5 = square(%4)\n%6 = grad(%5, w)\nout d = %6\n",
    );
    assert_eq!(outputs(&resolved(graph), &[3.0, 2.0]), [8.0 * 2.0 * 9.0]);
}

/// Value and derivative of `log(exp(x))`, where `prepare` says what becomes of `log(exp(..))`.
#[test]
fn the_prepared_forward_takes_the_place_of_the_given_one() {
    let graph = parse(
        "graph 2\nin x: f64[]\n%1 = exp(x)\n%2 = log(%1)\n%3 = grad(%2, x)\nout y = %2\nout d = %3\n",
    );
    assert_eq!(outputs(&resolved(graph.clone()), &[1000.0])[0], f64::INFINITY);
    let mut seen = vec![];
    let mut prepare = |forward: Graph| -> Result<Graph, AutodiffError> {
        seen.push(forward.to_string());
        Ok(parse("graph 2\nin x: f64[]\n%1 = neg(x)\n%2 = neg(%1)\nout y0 = %2\n"))
    };
    let graph = resolve(graph, &mut prepare).unwrap();
    assert_eq!(seen, ["graph 2\nin x: f64[]\nout y0 = log(exp(x))\n"]);
    assert_eq!(outputs(&graph, &[1000.0]), [1000.0, 1.0]);
}

const AT_VALUES: &str = "graph 2\nin x: f64[]\n%1 = neg(x)\n%2 = neg(%1)\n%3 = mul(%2, x)\n%4 = exp(%3)\n\
    %5 = add(%4, %2)\n%6 = grad(%5, %2)\n%7 = grad(%5, x)\n%8 = grad(%5, %1)\nout dh = %6\nout dx = %7\nout dn = %8\n";

/// With h = -(-x): y = exp(h x) + h, so dy/dh = x exp(h x) + 1 with x held, dy/dx = 2x exp(x^2) + 1.
fn check_at_values(graph: &Graph) {
    let x: f64 = 0.5;
    let e = (x * x).exp();
    let dh = x * e + 1.0;
    for (found, expected) in outputs(graph, &[x]).iter().zip([dh, dh + x * e, -dh]) {
        assert!((found - expected).abs() < 1e-14, "{found} is not {expected}");
    }
}

#[test]
fn computed_values_are_variables_of_their_own() {
    check_at_values(&resolved(parse(AT_VALUES)));
    // Even when preparing finds that h is x.
    let mut seen = None;
    let mut prepare = |forward: Graph| -> Result<Graph, AutodiffError> {
        seen = Some(forward);
        Ok(parse(
            "graph 2\nin x: f64[]\nin w0: f64[]\nin w1: f64[]\n%3 = mul(x, w1)\n%4 = exp(%3)\n%5 = add(w1, %4)\n\
             %6 = neg(x)\n%7 = neg(w0)\nout y0 = %5\nout w0 = %6\nout w1 = %7\n",
        ))
    };
    let graph = resolve(parse(AT_VALUES), &mut prepare).unwrap();
    assert_eq!(
        seen.unwrap(),
        parse(
            "graph 2\nin x: f64[]\nin w0: f64[]\nin w1: f64[]\n%3 = neg(x)\n%4 = neg(w0)\n%5 = mul(w1, x)\n\
         %6 = exp(%5)\n%7 = add(%6, w1)\nout y0 = %7\nout w0 = %3\nout w1 = %4\n"
        )
    );
    check_at_values(&graph);
}

#[test]
fn prepared_values_that_would_close_a_circle_are_not_used() {
    // w0 = w1 * -1 is true where both stand for what they do, but each would be computed from the other.
    let mut prepare = |_: Graph| -> Result<Graph, AutodiffError> {
        Ok(parse(
            "graph 2\nin x: f64[]\nin w0: f64[]\nin w1: f64[]\n%3 = mul(x, w1)\n%4 = exp(%3)\n%5 = add(w1, %4)\n\
             %6 = neg(w1)\n%7 = neg(w0)\nout y0 = %5\nout w0 = %6\nout w1 = %7\n",
        ))
    };
    check_at_values(&resolve(parse(AT_VALUES), &mut prepare).unwrap());
}

#[test]
fn names_of_cuts_do_not_clash() {
    let graph = parse(
        "graph 2\nin w0: f64[]\n%1 = exp(w0)\n%2 = square(%1)\n%3 = grad(%2, %1)\n%4 = grad(%2, %2)\n\
         out d = %3\nout one = %4\n",
    );
    assert_eq!(outputs(&resolved(graph), &[0.0]), [2.0, 1.0]);
}

#[test]
fn interfaces_stay() {
    let text = "graph 2\nin x: f32[2], range 0 to 1\nparam w: f32[2]\nslot m: f32[2]\n%3 = mul(x, w)\n\
        %4 = sum(%3, axes=[0])\n%5 = grad(%4, w)\n%6 = add(m, %5)\n%7 = sub(w, %6)\nout loss = %4\nout again = %4\n\
        write w = %7\nwrite m = %6\nguard %4\n";
    let resolved = resolved(parse(text));
    assert!(
        resolved
            .to_string()
            .starts_with("graph 2\nin x: f32[2], range 0 to 1\nparam w: f32[2]\nslot m: f32[2]\n")
    );
    let names: Vec<&str> = resolved.outputs().iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["loss", "again"]);
    assert_eq!(resolved.guard(), Some(resolved.outputs()[0].node));
    let tensor = |v: &[f64]| Tensor::from_values(TensorType::new(DType::F32, [2]), v);
    let states = [tensor(&[1.0, 2.0]), tensor(&[10.0, 10.0])];
    let after = run(&resolved, &[tensor(&[0.25, 0.5])], &states, Precision::AsWritten).unwrap();
    assert_eq!(after.states, [tensor(&[-9.25, -8.5]), tensor(&[10.25, 10.5])]);
}

#[test]
fn parameters_without_gradient_are_reported() {
    let check = |body: &str, expected: &str| {
        let text =
            format!("graph 2\nin x: f32[]\nparam w: f32[]\n{body}\n%9 = grad(%8, w)\nout g = %9\n");
        let graph = parse(&text);
        let error = resolve::<AutodiffError>(graph, &mut Ok).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        "%8 = exp(x)",
        "parameter `w` gets no gradient: the loss does not depend on it\n  declared at line 3, column 7\n  \
         gradient asked at line 5, column 6\nhelp: use it in the loss, or declare it frozen",
    );
    check(
        "%3 = exp(w)\n%4 = stop_gradient(%3)\n%8 = mul(%4, x)",
        "parameter `w` gets no gradient: its way to the loss ends at `stop_gradient` at line 5, column 6\n  \
         declared at line 3, column 7\n  gradient asked at line 7, column 6\n\
         help: take the op out of its way, or declare it frozen",
    );
    let ends = |body: &str| {
        let text =
            format!("graph 2\nin x: f32[]\nparam w: f32[]\n{body}\n%9 = grad(%8, w)\nout g = %9\n");
        match missing(&parse(&text)).remove(0).broken {
            Break::Op { op, .. } => op,
            Break::Unused => "",
        }
    };
    assert_eq!(ends("%3 = cast(w, type=i32)\n%8 = cast(%3, type=f32)"), "cast");
    assert_eq!(ends("%3 = gt(w, x)\n%8 = select(%3, x, x)"), "gt");
    assert_eq!(ends("%8 = sign(w)"), "sign");
}

#[test]
fn other_leaves_without_gradient_get_zeros() {
    let graph = parse(
        "graph 2\nin x: f64[]\nin z: f64[]\n%2 = exp(x)\n%3 = grad(%2, z)\n%4 = exp(z)\n%5 = grad(%2, %4)\n\
         out a = %3\nout b = %5\n",
    );
    assert!(missing(&graph).is_empty());
    assert_eq!(outputs(&resolved(graph), &[1.0, 1.0]), [0.0, 0.0]);
    // A second derivative that vanishes is no mistake: the first does depend on `w`.
    let graph = parse(
        "graph 2\nin x: f64[]\nparam w: f64[]\n%2 = mul(w, x)\n%3 = grad(%2, w)\n%4 = grad(%3, w)\nout d = %4\n",
    );
    let graph = resolved(graph);
    let after = run(&graph, &[scalar(2.0)], &[scalar(3.0)], Precision::AsWritten).unwrap();
    assert_eq!(after.outputs, [scalar(0.0)]);
}

#[test]
fn preparing_must_keep_the_interface() {
    let graph = parse("graph 2\nin x: f64[]\n%1 = exp(x)\n%2 = grad(%1, x)\nout d = %2\n");
    let check = |text: &str, expected: &str| {
        let mut prepare = |_: Graph| -> Result<Graph, AutodiffError> { Ok(parse(text)) };
        let error = resolve(graph.clone(), &mut prepare).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let changed = |what: &str| {
        format!("internal error: preparing for differentiation changed the {what} of the graph")
    };
    check("graph 2\nin z: f64[]\nout y0 = z\n", &changed("inputs"));
    check("graph 2\nin x: f64[]\nparam p: f64[]\nout y0 = x\n", &changed("states"));
    check("graph 2\nin x: f64[]\n", &changed("outputs"));
    check(
        "graph 2\nin x: f64[]\n%1 = reshape(x, shape=[1])\nout y0 = %1\n",
        "internal error: preparing for differentiation turned output `y0: f64[]` into `y0: f64[1]`",
    );
    // What preparing itself refuses is handed on.
    #[derive(Debug, PartialEq)]
    struct Refused;
    impl From<AutodiffError> for Refused {
        fn from(error: AutodiffError) -> Refused {
            panic!("unexpected: {error}")
        }
    }
    assert_eq!(resolve(graph.clone(), &mut |_| Err(Refused)).unwrap_err(), Refused);
}

#[test]
fn only_paths_to_the_asked_leaves_are_differentiated() {
    let graph = parse(
        "graph 2\nin z: f32[4]\nin t: f32[4]\n%2 = cross_entropy(z, t, axes=[0])\n%3 = grad(%2, z)\nout g = %3\n",
    );
    // No gradient towards the targets: neither log_softmax nor anything else of theirs.
    assert_eq!(
        resolved(graph),
        parse(
            "graph 2\nin z: f32[4]\nin t: f32[4]\n%2 = const(type=f32, value=1.0)\n\
         %3 = cross_entropy_residual(z, t, axes=[0])\n%4 = broadcast(%2, shape=[4], axes=[])\n%5 = mul(%4, %3)\n\
         out g = %5\n"
        )
    );
}

#[test]
fn products_need_no_transposes_beyond_their_own() {
    let graph = parse(
        "graph 2\nin x: f32[5, 3]\nparam w: f32[3, 4]\n%2 = dot(x, w, contract=[(1, 0)])\n%3 = exp(%2)\n\
         %4 = sum(%3, axes=[0, 1])\n%5 = grad(%4, w)\n%6 = grad(%4, x)\nout dw = %5\nout dx = %6\n",
    );
    let text = resolved(graph).to_string();
    assert!(text.contains("dot(x, %") && text.contains(", w, contract=[(1, 1)])"), "{text}");
    assert!(!text.contains("transpose"), "{text}");
}

#[test]
fn deep_chains() {
    const DEPTH: usize = 100_000;
    let (nodes, found) = in_small_stack(|| {
        let mut b = Builder::new();
        let ty = TensorType::scalar(DType::F64);
        let x = b.declare_input("x", ty.clone(), None, At::Unknown);
        let w = b.declare_state("w", StateKind::Param, ty, At::Unknown);
        let mut y = x;
        for i in 0..DEPTH / 2 {
            y = b.unary(if i % 2 == 0 { UnaryOp::Sigmoid } else { UnaryOp::Softplus }, y);
            y = b.mul(y, w);
        }
        let gradient = b.node(Op::Grad, &[y, w]);
        b.output("d", gradient);
        let graph = resolved(b.build().unwrap());
        let inputs = [Tensor::scalar(DType::F64, 0.5)];
        let after = run(&graph, &inputs, &inputs, Precision::AsWritten).unwrap();
        (graph.nodes().len(), after.outputs[0].item())
    });
    assert!(found.is_finite());
    assert!(nodes < 8 * DEPTH, "{nodes} nodes for {DEPTH}");
}

#[test]
fn shared_values_are_differentiated_once() {
    // 30 times doubled: a tree would have a billion paths.
    let mut b = Builder::new();
    let x = b.declare_input("x", TensorType::scalar(DType::F64), None, At::Unknown);
    let mut y = x;
    for _ in 0..30 {
        y = b.add(y, y);
    }
    let one = b.scalar(DType::F64, 1.0);
    let found = vjp(&mut b, y, one, &[x])[0];
    let Some(found) = found else { panic!("no gradient") };
    b.output("d", found);
    assert!(b.graph().nodes().len() < 100);
    assert_eq!(outputs(&b.build().unwrap(), &[1.0]), [2f64.powi(30)]);
}

#[test]
fn deep_nests_of_conditions_stay_linear() {
    const DEPTH: usize = 20_000;
    let nodes = in_small_stack(|| {
        let mut b = Builder::new();
        let ty = TensorType::new(DType::F32, [2]);
        let x = b.declare_input("x", ty, None, At::Unknown);
        let mut y = x;
        for _ in 0..DEPTH {
            let up = b.unary(UnaryOp::Sigmoid, y);
            let positive = b.compare(eggrad_ir::CompareOp::Gt, up, x);
            y = b.select(positive, up, x);
        }
        let loss = b.sum(y, vec![0]);
        let gradient = b.node(Op::Grad, &[loss, x]);
        b.output("d", gradient);
        resolved(b.build().unwrap()).nodes().len()
    });
    assert!(nodes < 15 * DEPTH, "{nodes} nodes for {DEPTH}");
}
