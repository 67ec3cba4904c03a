//! The acceptance case: every way to write cross-entropy ends in the stable one, forward and backward.

use eggrad_autodiff::{AutodiffError, resolve};
use eggrad_interp::{Data, Precision, Tensor, run};
use eggrad_ir::Graph;
use eggrad_rewrite::{Report, RewriteConfig, RewriteError, TableCost, optimize};
use eggrad_testkit::ulps_f32;

const LOGITS: &str = "graph 2
in x: f32[32, 64]
in labels: i32[32], range 0 to 9
param w: f32[64, 10]
param b: f32[10]
%z0 = dot(x, w, contract=[(1, 0)])
%zb = broadcast(b, shape=[32, 10], axes=[1])
%z = add(%z0, %zb)
%t = one_hot(labels, type=f32, classes=10)
%n = size(%z, type=f32, axes=[0])
";

const PRIMITIVE: &str = "%p = softmax(%z, axes=[1])";
const COMPOSED: &str = "%e = exp(%z)\n%s = sum(%e, axes=[1])\n%sb = broadcast(%s, shape=[32, 10], axes=[0])\n\
                        %p = div(%e, %sb)";
const SHIFTED: &str = "%mx = max(%z, axes=[1])\n%mk = stop_gradient(%mx)\n\
                       %mb = broadcast(%mk, shape=[32, 10], axes=[0])\n%zm = sub(%z, %mb)\n%e = exp(%zm)\n\
                       %s = sum(%e, axes=[1])\n%sb = broadcast(%s, shape=[32, 10], axes=[0])\n%p = div(%e, %sb)";
const LOGGED: &str = "%l = log(%p)\n%tl = mul(%t, %l)";

fn optimized(text: &str) -> (Graph, Report) {
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap()
}

/// Ops of the result, in the order printed.
fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().iter().filter(|n| !n.op.is_leaf()).map(|n| n.op.name()).collect()
}

fn check(lines: &[&str]) {
    let text = format!("{LOGITS}{}\nout loss = %loss\nguard %loss\n", lines.join("\n"));
    let (result, report) = optimized(&text);
    let expected = "graph 2
in x: f32[32, 64]
in labels: i32[32], range 0 to 9
param w: f32[64, 10]
param b: f32[10]
%4 = dot(x, w, contract=[(1, 0)])
%5 = broadcast(b, shape=[32, 10], axes=[1])
%6 = add(%4, %5)
%7 = one_hot(labels, type=f32, classes=10)
%8 = cross_entropy(%6, %7, axes=[1])
%9 = sum(%8, axes=[0])
%10 = size(x, type=f32, axes=[0])
%11 = div(%9, %10)
out loss = %11
guard %11
";
    let expected: Graph = expected.parse().unwrap();
    assert!(result == expected, "{result}from\n{text}\n{report}");
    assert_eq!(report.danger_after, 0, "{report}");
    assert!(report.validation.is_some_and(|v| v.worst < 1e-9), "{report}");
}

#[test]
fn every_spelling_becomes_the_same_graph() {
    for softmax in [PRIMITIVE, COMPOSED, SHIFTED] {
        let mean = "%loss = div(%m, %n)";
        let row = "%r = sum(%tl, axes=[1])";
        check(&[softmax, LOGGED, row, "%nr = neg(%r)\n%m = sum(%nr, axes=[0])", mean]);
        check(&[softmax, LOGGED, row, "%m0 = sum(%r, axes=[0])\n%m = neg(%m0)", mean]);
        check(&[softmax, LOGGED, row, "%m = sum(%r, axes=[0])\n%d = div(%m, %n)\n%loss = neg(%d)"]);
        check(&[softmax, LOGGED, "%m0 = sum(%tl, axes=[0, 1])\n%m = neg(%m0)", mean]);
        check(&[
            softmax,
            LOGGED,
            "%nt = neg(%tl)\n%r = sum(%nt, axes=[1])\n%m = sum(%r, axes=[0])",
            mean,
        ]);
        let turned = "%l = log(%p)\n%nl = neg(%l)\n%tl = mul(%nl, %t)";
        check(&[softmax, turned, "%m = sum(%tl, axes=[0, 1])", mean]);
        let product = "%l = log(%p)\n%d = dot(%t, %l, contract=[(0, 0), (1, 1)])\n%m = neg(%d)";
        check(&[softmax, product, mean]);
    }
    let by_hand = "%l = logsumexp(%z, axes=[1])\n%lb = broadcast(%l, shape=[32, 10], axes=[0])\n%ls = sub(%z, %lb)";
    check(&[
        by_hand,
        "%tl = mul(%ls, %t)\n%m0 = sum(%tl, axes=[0, 1])\n%m = neg(%m0)\n%loss = div(%m, %n)",
    ]);
    let summed = "%e = exp(%z)\n%s = sum(%e, axes=[1])\n%l = log(%s)\n\
                  %lb = broadcast(%l, shape=[32, 10], axes=[0])\n%ls = sub(%z, %lb)";
    check(&[
        summed,
        "%tl = mul(%ls, %t)\n%m0 = sum(%tl, axes=[0, 1])\n%m = neg(%m0)\n%loss = div(%m, %n)",
    ]);
}

#[test]
fn extreme_logits_have_finite_losses() {
    let text = format!(
        "graph 2\nin z: f32[2, 3]\nin labels: i32[2], range 0 to 2\n\
         %t = one_hot(labels, type=f32, classes=3)\n%p = softmax(z, axes=[1])\n{LOGGED}\n\
         %r = sum(%tl, axes=[1])\n%loss = neg(%r)\nout loss = %loss\n"
    )
    .replace("%z", "z");
    let graph: Graph = text.parse().unwrap();
    let (result, _) = optimized(&text);
    let z = Tensor::new([2, 3], Data::F32(vec![1000.0, 0.0, -1000.0, 0.0, 1000.0, 0.0]));
    let labels = Tensor::new([2], Data::I32(vec![2, 0]));
    let value = |graph: &Graph| {
        let run = run(graph, &[z.clone(), labels.clone()], &[], Precision::AsWritten).unwrap();
        run.outputs[0].to_f64s()
    };
    assert!(value(&graph).iter().any(|v| !v.is_finite()), "the naive form is not finite");
    for (got, expected) in value(&result).iter().zip([2000.0, 1000.0]) {
        assert!(ulps_f32(*got as f32, expected) <= 4, "{got} for {expected}");
    }
}

/// The gradient of a loss whose forward part is optimised first, optimised again.
fn differentiated(lines: &str) -> Graph {
    let text = format!("{LOGITS}{lines}\n%g = grad(%loss, w)\nout loss = %loss\nwrite w = %g\n");
    let graph: Graph = text.parse().unwrap();
    #[derive(Debug)]
    #[expect(dead_code, reason = "shown when a test fails")]
    enum Failed {
        Autodiff(AutodiffError),
        Rewrite(RewriteError),
    }
    impl From<AutodiffError> for Failed {
        fn from(e: AutodiffError) -> Failed {
            Failed::Autodiff(e)
        }
    }
    let config = RewriteConfig::default();
    let mut prepare =
        |g: Graph| optimize(&g, &TableCost, &config).map(|r| r.0).map_err(Failed::Rewrite);
    let resolved = resolve(graph, &mut prepare).unwrap();
    let (result, report) = optimize(&resolved, &TableCost, &config).unwrap();
    assert_eq!(report.danger_after, 0, "{report}\n{result}");
    result
}

#[test]
fn the_gradient_keeps_the_residual() {
    for softmax in [PRIMITIVE, COMPOSED, SHIFTED] {
        let lines = format!(
            "{softmax}\n{LOGGED}\n%r = sum(%tl, axes=[1])\n%nr = neg(%r)\n%m = sum(%nr, axes=[0])\n%loss = div(%m, %n)"
        );
        let result = differentiated(&lines);
        let ops = ops(&result);
        assert!(ops.contains(&"cross_entropy_residual"), "{result}");
        assert!(ops.contains(&"cross_entropy"), "{result}");
        assert!(
            !ops.iter().any(|op| ["exp", "log", "softmax", "log_softmax"].contains(op)),
            "{result}"
        );
    }
}

#[test]
fn a_clipped_logarithm_is_left_alone() {
    let (result, report) = optimized(&format!(
        "{LOGITS}{PRIMITIVE}\n%c = const(type=f32, value=1e-7)\n%cb = broadcast(%c, shape=[32, 10], axes=[])\n\
         %pc = add(%p, %cb)\n%l = log(%pc)\nout l = %l\n"
    ));
    assert!(ops(&result).contains(&"log"), "{result}");
    assert!(!ops(&result).contains(&"log_softmax"), "{result}");
    assert!(!report.rules.contains_key("log-of-softmax"), "{report}");
}

#[test]
fn a_sum_over_another_axis_is_no_cross_entropy() {
    let (result, _) =
        optimized(&format!("{LOGITS}{PRIMITIVE}\n{LOGGED}\n%r = sum(%tl, axes=[0])\nout r = %r\n"));
    assert!(!ops(&result).contains(&"cross_entropy"), "{result}");
    let (result, _) = optimized(
        "graph 2\nin z: f32[4, 5]\n%e = exp(z)\n%s = sum(%e, axes=[0])\n\
         %sb = broadcast(%s, shape=[4, 5], axes=[1])\n%e2 = exp(%sb)\n%q = div(%e, %e2)\nout q = %q\n",
    );
    assert!(!ops(&result).contains(&"softmax"), "{result}");
}
