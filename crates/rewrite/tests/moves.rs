//! Functions meet across moves: what is moved, and what stays where it was.

use eggrad_ir::Graph;
use eggrad_rewrite::{Report, RewriteConfig, TableCost, optimize};

fn optimized(text: &str) -> (Graph, Report) {
    let graph: Graph =
        format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    let (result, report) = optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap();
    assert_eq!(report.not_compared, [""; 0], "{report}");
    (result, report)
}

/// What stands after the declarations of `text` when it is optimised.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (result, report) = optimized(text);
    let shown = result.to_string();
    let body: Vec<&str> =
        shown.lines().filter(|l| !l.starts_with("graph ") && !l.starts_with("in ")).collect();
    assert_eq!(body.join("\n"), expected, "\n{text}\n{result}{report}");
}

const X: &str = "in x: f32[4, 6]\n";
const SLICE: &str = "start=[0, 0], step=[1, 1], sizes=[4, 3]";
const PAD: &str = "start=[1, 1], step=[1, 1], sizes=[6, 8]";

#[test]
fn the_upper_function_moves_up_where_the_lower_one_mixes_elements() {
    check(
        &format!("{X}out y = log(slice(softmax(x, axis=1), {SLICE}))"),
        "out y = slice(log_softmax(x, axes=[1]), sizes=[4, 3])",
    );
    check(
        &format!("{X}out y = log(reshape(softmax(x, axis=1), shape=[24]))"),
        "out y = reshape(log_softmax(x, axes=[1]), shape=[24])",
    );
    check(
        &format!("{X}out y = log(pad(softmax(x, axis=1), {PAD}, fill=0.0))"),
        "out y = pad(log_softmax(x, axes=[1]), start=[1, 1], sizes=[6, 8], fill=-inf)",
    );
    check(
        &format!("{X}out y = log(stop_gradient(softmax(x, axis=1)))"),
        "out y = stop_gradient(log_softmax(x, axes=[1]))",
    );
    check(
        &format!("{X}out y = log(cast(softmax(x, axis=1), type=f64))"),
        "out y = cast(log_softmax(x, axes=[1]), type=f64)",
    );
    check(
        &format!("{X}in i: i32[2], range 0 to 3\nout y = log(gather(softmax(x, axis=1), i))"),
        "out y = gather(log_softmax(x, axes=[1]), i)",
    );
    check(
        &format!(
            "{X}p = reshape(softmax(x, axis=1), shape=[24])\nout y = log(slice(p, start=[3], step=[1], sizes=[5]))"
        ),
        "out y = slice(reshape(log_softmax(x, axes=[1]), shape=[24]), start=[3], sizes=[5])",
    );
}

#[test]
fn the_move_goes_down_where_the_lower_function_is_elementwise() {
    check(
        &format!("{X}out y = log(1 - slice(sigmoid(x), {SLICE}))"),
        "out y = -softplus(slice(x, sizes=[4, 3]))",
    );
    check(
        &format!("{X}out y = 1 / reshape(1 + exp(-x), shape=[24])"),
        "out y = sigmoid(reshape(x, shape=[24]))",
    );
    check(
        &format!("{X}out y = log(cast(1 + exp(x), type=f64))"),
        "out y = softplus(cast(x, type=f64))",
    );
    // Digits are lost by the conversion first.
    check(
        "in x: f64[4]\nout y = log(cast(sigmoid(x), type=f32))",
        "out y = cast(-softplus(-x), type=f32)",
    );
}

#[test]
fn rows_meet_their_sums() {
    let softmax = "out y = slice(softmax(x, axes=[1]), sizes=[4, 3])";
    let quotient = format!("slice(exp(x), {SLICE}) / sum(exp(x), axis=1, keepdims=true)");
    check(&format!("{X}out y = {quotient}"), softmax);
    let logs = "out y = slice(log_softmax(x, axes=[1]), sizes=[4, 3])";
    let difference = format!("slice(x, {SLICE}) - log(sum(exp(x), axis=1, keepdims=true))");
    check(&format!("{X}out y = {difference}"), logs);
    let sums = "reshape(broadcast(logsumexp(x, axes=[1]), shape=[4, 6], axes=[0]), shape=[24])";
    check(
        &format!("{X}out y = reshape(x, shape=[24]) - {sums}"),
        "out y = reshape(log_softmax(x, axes=[1]), shape=[24])",
    );
}

#[test]
fn labels_pick_logarithms_of_probabilities() {
    let i = "in i: i32[4], range 0 to 5\n";
    let picked = "-cross_entropy(x, one_hot(i, type=f32, classes=6), axes=[1])";
    check(
        &format!("{X}{i}out y = gather(x, i, batch=1) - logsumexp(x, axis=1)"),
        &format!("out y = {picked}"),
    );
    let (result, report) = optimized(&format!(
        "{X}{i}in z: f32[4]\nout y = z - gather(x, i, batch=1) + log(sum(exp(x), axis=1))"
    ));
    assert_eq!(report.danger_after, 0, "{report}");
    assert!(result.to_string().contains("cross_entropy"), "{result}");
}

#[test]
fn masks_become_minus_infinity() {
    check(
        &format!("{X}in m: f32[4, 6]\nout y = log(sum(where(m > 0, exp(x), 0), axis=1))"),
        "out y = logsumexp(select(m > 0.0, x, -inf), axes=[1])",
    );
    check(
        &format!("{X}out y = log(sum(pad(exp(x), {PAD}, fill=0.0), axis=1))"),
        "out y = logsumexp(pad(x, start=[1, 1], sizes=[6, 8], fill=-inf), axes=[1])",
    );
}

#[test]
fn moves_that_undo_each_other_vanish() {
    check(
        &format!(
            "{X}out y = exp(slice(pad(x, {PAD}, fill=0.5), start=[1, 1], step=[1, 1], sizes=[4, 6]))"
        ),
        "out y = exp(x)",
    );
    check(
        &format!(
            "{X}out y = exp(slice(pad(x, {PAD}, fill=0.5), start=[2, 1], step=[1, 1], sizes=[3, 6]))"
        ),
        "out y = exp(slice(x, start=[1, 0], sizes=[3, 6]))",
    );
    check(
        &format!("{X}out y = exp(reshape(reshape(x, shape=[24]), shape=[4, 6]))"),
        "out y = exp(x)",
    );
    check(&format!("{X}out y = exp(cast(cast(x, type=f64), type=f32))"), "out y = exp(x)");
    // The part of what was put together.
    check(
        &format!(
            "{X}in z: f32[4, 2]\na = pad(x, start=[0, 0], step=[1, 1], sizes=[4, 8], fill=0.0)\n\
             b = pad(z, start=[0, 6], step=[1, 1], sizes=[4, 8], fill=0.0)\n\
             c = where(iota(type=i32[4, 8], axis=1) < 6, a, b)\n\
             out y = slice(c, start=[0, 6], step=[1, 1], sizes=[4, 2])"
        ),
        "out y = z",
    );
}

/// E-nodes of a graph as it was written, and after all rules.
fn growth(text: &str) -> (usize, usize) {
    let (result, report) = optimized(text);
    (result.nodes().len(), report.e_nodes)
}

#[test]
fn nothing_moves_where_no_rule_waits() {
    check(
        &format!("{X}out y = tanh(slice(exp(x), {SLICE}))"),
        "out y = tanh(slice(exp(x), sizes=[4, 3]))",
    );
    check(
        &format!("{X}out y = 3 * reshape(floor(x), shape=[24])"),
        "%1 = const(type=f32, value=3.0)\nout y = 3.0 * reshape(floor(x), shape=[24])",
    );
    let (_, still) = growth(&format!("{X}out y = tanh(slice(sin(x), {SLICE}))"));
    assert!(still <= 4, "{still} e-nodes");
    // A pad that no number around it becomes.
    check(
        &format!("{X}out y = log(pad(sin(x), {PAD}, fill=-1.0))"),
        "out y = log(pad(sin(x), start=[1, 1], sizes=[6, 8], fill=-1.0))",
    );
    // Columns are not rows: the sum is over what the slice cuts.
    check(
        &format!("{X}out y = log(sum(slice(softmax(x, axis=1), {SLICE}), axis=1))"),
        "out y = log(sum(slice(softmax(x, axes=[1]), sizes=[4, 3]), axes=[1]))",
    );
}

#[test]
fn a_second_reader_keeps_the_probabilities() {
    let (result, report) =
        optimized(&format!("{X}p = softmax(x, axis=1)\nout y = log(slice(p, {SLICE}))\nout p = p"));
    let count = |name: &str| result.nodes().iter().filter(|n| n.op.name() == name).count();
    let counts = (count("softmax") + count("exp"), count("log_softmax"), count("log"));
    assert_eq!(counts, (1, 1, 0), "{result}{report}");
    assert_eq!(report.danger_after, 0, "{report}");
    // Nothing is gained by computing the work below a move twice.
    let (result, _) =
        optimized(&format!("{X}e = exp(x)\nout y = 2 * reshape(e, shape=[24])\nout e = e"));
    assert_eq!(result.nodes().iter().filter(|n| n.op.name() == "exp").count(), 1, "{result}");
}
