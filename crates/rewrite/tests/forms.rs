//! What rules do and must not do, one line each.

use eggrad_ir::{Graph, Op};
use eggrad_rewrite::{
    Report, RewriteConfig, RewriteError, Semantics, Stop, TableCost, describe_rules, optimize,
};

fn optimized(text: &str) -> (Graph, Report) {
    let graph: Graph =
        format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    let config = RewriteConfig::default();
    let (result, report) = optimize(&graph, &TableCost, &config).unwrap();
    let again = optimize(&graph, &TableCost, &config).unwrap().0;
    assert_eq!(result.to_string(), again.to_string(), "equal graphs have equal results");
    (result, report)
}

/// The body of `text` after optimisation: what stands between declarations and results.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (result, report) = optimized(text);
    let lines = |id| format!("{} = {}", result.reference(id), result.expression(id));
    let leaf = |id: &eggrad_ir::NodeId| matches!(result.node(*id).op, Op::Input(_) | Op::State(_));
    let body: Vec<String> = result.ids().filter(|id| !leaf(id)).map(lines).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(body, expected, "\n{text}\n{result}{report}");
}

const X: &str = "in x: f32[4, 3]\n";

#[test]
fn algebra() {
    let one = "%c = const(type=f32, value=1.0)\n%cb = broadcast(%c, shape=[4, 3], axes=[])\n";
    check(
        &format!("{X}{one}%a = mul(x, %cb)\n%b = neg(%a)\n%d = neg(%b)\n%e = exp(%d)\nout y = %e"),
        "%1 = exp(x)",
    );
    check(&format!("{X}{one}%a = exp(x)\n%b = sub(%a, %cb)\nout y = %b"), "%1 = expm1(x)");
    check(
        &format!("{X}{one}%a = sigmoid(x)\n%b = sub(%cb, %a)\nout y = %b"),
        "%1 = neg(x)\n%2 = sigmoid(%1)",
    );
    check(
        &format!(
            "{X}{one}%n = neg(x)\n%a = exp(%n)\n%b = add(%cb, %a)\n%d = div(%cb, %b)\nout y = %d"
        ),
        "%1 = sigmoid(x)",
    );
    check(
        &format!("{X}{one}%a = exp(x)\n%b = add(%a, %cb)\n%d = log(%b)\nout y = %d"),
        "%1 = softplus(x)",
    );
    check(
        &format!("{X}{one}%s = sigmoid(x)\n%a = sub(%cb, %s)\n%d = log(%a)\nout y = %d"),
        "%1 = softplus(x)\n%2 = neg(%1)",
    );
    check(
        &format!("{X}%s = sigmoid(x)\n%d = log(%s)\n%e = neg(%d)\nout y = %e"),
        "%1 = neg(x)\n%2 = softplus(%1)",
    );
    check(&format!("{X}%a = mul(x, x)\nout y = %a"), "%1 = square(x)");
}

#[test]
fn what_must_stay() {
    let zero = "%c = const(type=f32, value=0.0)\n%cb = broadcast(%c, shape=[4, 3], axes=[])\n";
    check(&format!("{X}%a = div(x, x)\nout y = %a"), "%1 = div(x, x)");
    check(&format!("{X}%a = log(x)\n%b = exp(%a)\nout y = %b"), "%1 = log(x)\n%2 = exp(%1)");
    check(
        &format!("{X}%a = recip(x)\n{zero}%b = mul(%a, %cb)\nout y = %b"),
        "%1 = recip(x)\n%2 = const(type=f32, value=0.0)\n%3 = broadcast(%2, shape=[4, 3], axes=[])\n%4 = mul(%1, %3)",
    );
    check(
        &format!("{X}{zero}%a = maximum(x, %cb)\nout y = %a"),
        "%1 = const(type=f32, value=0.0)\n%2 = broadcast(%1, shape=[4, 3], axes=[])\n%3 = maximum(x, %2)",
    );
    check("in i: i32[3]\n%a = neg(i)\n%b = neg(%a)\nout y = %b", "%1 = neg(i)\n%2 = neg(%1)");
}

#[test]
fn exp_of_log_is_undone_where_it_is_real() {
    check(
        "in x: f32[4, 3], range 0.5 to 8\n%a = log(x)\n%b = exp(%a)\n%d = exp(%b)\nout y = %d",
        "%1 = exp(x)",
    );
}

#[test]
fn kept_arithmetic_stays_as_written() {
    check(
        "in a: f32[3]\nin b: f32[3]\n%s = add(a, b)\n%ks = keep(%s)\n%d = sub(%ks, a)\n%kd = keep(%d)\n%e = sub(%kd, b)\nout e = %e",
        "%2 = add(a, b)\n%3 = keep(%2)\n%4 = sub(%3, a)\n%5 = keep(%4)\n%6 = sub(%5, b)",
    );
    check(
        "in a: f32[3]\nin b: f32[3]\n%s = add(a, b)\n%d = sub(%s, a)\n%kd = keep(%d)\nout e = %kd",
        "%2 = add(a, b)\n%3 = sub(%2, a)\n%4 = keep(%3)",
    );
    check(
        "in a: f32[3]\nin b: f32[3]\n%s = add(a, b)\n%d = sub(%s, a)\n%e = exp(%d)\nout e = %e",
        "%2 = exp(b)",
    );
}

#[test]
fn products_look_natural() {
    check(
        "in x: f32[8, 4]\nin w: f32[4, 2]\nin b: f32[2]\n%1 = dot(x, w, contract=[(1, 0)])\n%2 = broadcast(b, shape=[8, 2], axes=[1])\n%3 = add(%1, %2)\n%4 = relu(%3)\nout y = %4",
        "%3 = dot(x, w, contract=[(1, 0)])\n%4 = broadcast(b, shape=[8, 2], axes=[1])\n%5 = add(%3, %4)\n%6 = relu(%5)",
    );
    check(
        "in x: f32[8, 4]\nin w: f32[4, 2]\n%0 = transpose(x, axes=[1, 0])\n%1 = transpose(%0, axes=[1, 0])\n%2 = dot(%1, w, contract=[(1, 0)])\nout y = %2",
        "%2 = dot(x, w, contract=[(1, 0)])",
    );
    check(
        "in x: f32[8, 4]\n%1 = dot(x, x, contract=[(1, 1)])\nout y = %1",
        "%1 = dot(x, x, contract=[(1, 1)])",
    );
    check(
        "in x: f32[8, 4]\nin w: f32[4, 4]\n%1 = dot(x, w, contract=[(1, 0)])\n%2 = dot(%1, w, contract=[(1, 0)])\n%3 = add(%1, %2)\nout y = %3",
        "%2 = dot(x, w, contract=[(1, 0)])\n%3 = dot(%2, w, contract=[(1, 0)])\n%4 = add(%2, %3)",
    );
}

#[test]
fn indices_pick_instead_of_multiplying() {
    check(
        "in i: i32[6], range 0 to 99\nparam t: f32[100, 8]\n%1 = one_hot(i, type=f32, classes=100)\n%2 = dot(%1, t, contract=[(1, 0)])\nout y = %2",
        "%2 = gather(t, i, batch=0)",
    );
    let (result, _) = optimized(
        "in i: i32[6]\nparam t: f32[100, 8]\n%1 = one_hot(i, type=f32, classes=100)\n%2 = dot(%1, t, contract=[(1, 0)])\nout y = %2",
    );
    assert!(
        !result.to_string().contains("gather"),
        "a label out of range gives 0, not NaN\n{result}"
    );
}

#[test]
fn sizes_stay_symbolic() {
    check(
        "in x: f32[8, 4]\n%n = size(x, type=f32, axes=[0, 1])\n%s = sum(x, axes=[0, 1])\n%m = div(%s, %n)\nout y = %m",
        "%1 = sum(x, axes=[0, 1])\n%2 = size(x, type=f32, axes=[0, 1])\n%3 = div(%1, %2)",
    );
}

#[test]
fn strict_changes_nothing() {
    let graph: Graph =
        format!("graph 2\n{X}%a = neg(x)\n%b = neg(%a)\nout y = %b\n").parse().unwrap();
    let config = RewriteConfig { semantics: Semantics::Strict, ..RewriteConfig::default() };
    let (result, report) = optimize(&graph, &TableCost, &config).unwrap();
    assert_eq!(result.to_string(), graph.to_string());
    assert_eq!(report.stop, Stop::NotRun);
}

#[test]
fn an_unresolved_derivative_is_refused() {
    let graph: Graph =
        "graph 2\nparam w: f32[]\n%1 = square(w)\n%2 = grad(%1, w)\nout g = %2\n".parse().unwrap();
    let result = optimize(&graph, &TableCost, &RewriteConfig::default());
    assert_eq!(result.err(), Some(RewriteError::Grad));
}

#[test]
fn limits_stop_and_still_give_a_graph() {
    let mut text = String::from("graph 2\nin x: f32[4]\n%0 = exp(x)\n");
    for i in 0..200 {
        text +=
            &format!("%{} = neg(%{})\n%{} = exp(%{})\n", 2 * i + 1, 2 * i, 2 * i + 2, 2 * i + 1);
    }
    let graph: Graph = format!("{text}out y = %400\n").parse().unwrap();
    let mut config = RewriteConfig { validate: false, ..RewriteConfig::default() };
    config.limits.growth = 0;
    let (result, report) = optimize(&graph, &TableCost, &config).unwrap();
    assert!(matches!(report.stop, Stop::Saturated | Stop::Nodes { .. }), "{report}");
    assert_eq!(result.outputs(), graph.outputs());
    config.limits.iterations = 0;
    let (_, report) = optimize(&graph, &TableCost, &config).unwrap();
    assert_eq!(report.stop, Stop::Iterations);
}

#[test]
fn dangers_name_their_place() {
    let (_, report) = optimized(&format!("{X}%a = log(x)\nout y = %a"));
    assert_eq!(report.danger_after, 4);
    let danger = &report.dangers_left[0];
    assert_eq!((danger.op.as_str(), danger.at.to_string().as_str()), ("log", "line 3, column 6"));
}

#[test]
fn rules_are_described() {
    let rules = describe_rules();
    assert!(rules.len() > 50);
    for rule in &rules {
        assert!(!rule.reason.is_empty() && rule.text.contains("=>"), "{rule:?}");
        assert!(rule.source.as_ref().is_some_and(|s| !s.is_empty()), "{rule:?}");
    }
}

#[test]
fn binary_cross_entropy_is_stable() {
    let one = "%c = const(type=f32, value=1.0)\n%cb = broadcast(%c, shape=[4, 3], axes=[])\n";
    let (result, report) = optimized(&format!(
        "{X}in y: f32[4, 3], range 0 to 1\n{one}%p = sigmoid(x)\n%q = sub(%cb, %p)\n%lp = log(%p)\n%lq = log(%q)\n\
         %r = sub(%cb, y)\n%a = mul(y, %lp)\n%b = mul(%r, %lq)\n%s = add(%a, %b)\n%t = sum(%s, axes=[0, 1])\n%l = neg(%t)\nout l = %l"
    ));
    assert_eq!(report.danger_after, 0, "{result}{report}");
    assert!(!result.to_string().contains("log"), "{result}");
}

#[test]
fn axes_of_one_element_come_and_go() {
    check(
        "in x: bool[4, 1]\n%1 = reshape(x, shape=[4])\n%2 = not(%1)\n%3 = reshape(%2, shape=[1, 4])\nout y = %3",
        "%1 = reshape(x, shape=[4])\n%2 = not(%1)\n%3 = broadcast(%2, shape=[1, 4], axes=[1])",
    );
}

#[test]
fn graphs_over_nothing_are_left_alone() {
    let (result, report) =
        optimized("in x: f32[0, 3]\n%1 = sum(x, axes=[0])\n%2 = neg(%1)\n%3 = neg(%2)\nout y = %3");
    assert_eq!(report.stop, Stop::NotRun);
    assert!(result.nodes().iter().any(|n| n.op.name() == "neg"), "{result}");
}

#[test]
fn reshapes_that_do_not_line_up_stay() {
    check(
        "in x: f32[4, 6]\n%1 = neg(x)\n%2 = reshape(%1, shape=[4, 2, 3])\n%3 = neg(%2)\nout y = %3",
        "%1 = neg(x)\n%2 = reshape(%1, shape=[4, 2, 3])\n%3 = neg(%2)",
    );
}

#[test]
fn masks_of_infinity_do_not_cancel() {
    let mask = "%c = const(type=f32, value=-inf)\n%cb = broadcast(%c, shape=[4, 3], axes=[])\n";
    let (result, _) =
        optimized(&format!("{X}{mask}%a = add(x, %cb)\n%b = sub(%a, %cb)\nout y = %b"));
    assert!(result.nodes().iter().any(|n| n.op.name() == "sub"), "{result}");
}
