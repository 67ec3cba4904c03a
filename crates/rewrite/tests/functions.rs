//! Powers, error functions, trigonometry, rounding, slices and pads: one line each.

use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{Graph, Op};
use eggrad_rewrite::{Report, RewriteConfig, TableCost, optimize};

fn optimized(text: &str) -> (Graph, Report) {
    let graph: Graph =
        format!("graph 2\n{text}\n").parse().unwrap_or_else(|e| panic!("{text}\n{e}"));
    optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap()
}

/// The body of `text` after optimisation: what stands between declarations and results.
#[track_caller]
fn check(text: &str, expected: &str) -> Report {
    let (result, report) = optimized(text);
    let lines = |id| format!("{} = {}", result.reference(id), result.expression(id));
    let leaf = |id: &eggrad_ir::NodeId| matches!(result.node(*id).op, Op::Input(_) | Op::State(_));
    let body: Vec<String> = result.ids().filter(|id| !leaf(id)).map(lines).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(body, expected, "\n{text}\n{result}{report}");
    report
}

const X: &str = "in x: f32[3]\n";

/// A number as `%c`, spread over three elements.
fn number(value: &str) -> String {
    format!("%s = const(type=f32, value={value})\n%c = broadcast(%s, shape=[3], axes=[])\n")
}

#[test]
fn powers_to_known_exponents_need_no_logarithm() {
    let pow = |value: &str, body: &str| {
        let text = format!("{X}{}%p = pow(x, %c)\nout y = %p", number(value));
        check(&text, body);
    };
    pow("2.0", "%1 = square(x)");
    pow("0.5", "%1 = sqrt(x)");
    pow("-1.0", "%1 = recip(x)");
    pow("-0.5", "%1 = rsqrt(x)");
    pow("3.0", "%1 = square(x)\n%2 = mul(%1, x)");
    pow(
        "2.5",
        "%1 = const(type=f32, value=2.5)\n%2 = broadcast(%1, shape=[3], axes=[])\n%3 = pow(x, %2)",
    );
    check(&format!("{X}{}%p = pow(%c, x)\nout y = %p", number("2.0")), "%1 = exp2(x)");
    check(
        "in a: f32[3]\nin b: f32[3]\n%1 = pow(a, b)\n%2 = pow(b, a)\n%3 = add(%1, %2)\nout y = %3",
        "%2 = pow(a, b)\n%3 = pow(b, a)\n%4 = add(%2, %3)",
    );
}

#[test]
fn tails_of_the_error_function_stay() {
    let one = number("1.0");
    let report =
        check(&format!("{X}{one}%a = erf(x)\n%b = sub(%c, %a)\nout y = %b"), "%1 = erfc(x)");
    assert_eq!((report.danger_before, report.danger_after), (1, 0));
    check(
        &format!("{X}{one}%a = erf(x)\n%b = add(%a, %c)\nout y = %b"),
        "%1 = neg(x)\n%2 = erfc(%1)",
    );
    check(&format!("{X}{one}%a = erfc(x)\n%b = sub(%c, %a)\nout y = %b"), "%1 = erf(x)");
    let log = "%d = log(%b)\nout y = %d";
    check(&format!("{X}{one}%a = erf(x)\n%b = sub(%c, %a)\n{log}"), "%1 = log_erfc(x)");
    check(
        &format!("{X}{one}%a = erf(x)\n%n = neg(%a)\n%b = log1p(%n)\nout y = %b"),
        "%1 = log_erfc(x)",
    );
    let half = number("0.5");
    let report = optimized(&format!("{X}{half}%a = erfc(x)\n%b = mul(%c, %a)\n{log}")).1;
    assert_eq!((report.danger_before, report.danger_after), (4, 0), "{report}");
    let floor = number("0.01");
    let report = optimized(&format!("{X}{floor}%a = erfc(x)\n%b = add(%c, %a)\n{log}")).1;
    assert!(!report.rules.contains_key("log-of-erfc"), "{report}");
}

#[test]
fn logarithms_of_sums_of_exponentials_do_not_overflow() {
    let ab = "in a: f32[3]\nin b: f32[3]\n%1 = exp(a)\n%2 = exp(b)\n%3 = add(%1, %2)\n%4 = log(%3)\nout y = %4";
    let report = check(ab, "%2 = logaddexp(a, b)");
    assert_eq!(report.danger_after, 0);
    let graph = optimized(ab).0;
    let ty = graph.inputs()[0].ty.clone();
    let inputs = [[1000.0, -1000.0, 0.0], [999.0, -1000.0, 0.0]]
        .map(|v| Tensor::from_values(ty.clone(), &v));
    let run = run(&graph, &inputs, &[], Precision::AsWritten).unwrap();
    let wanted = [1000.0 + (-1f64).exp().ln_1p(), -1000.0 + 2f64.ln(), 2f64.ln()];
    for (got, wanted) in run.outputs[0].to_f64s().into_iter().zip(wanted) {
        assert!((got - wanted).abs() <= 4e-7 * wanted.abs(), "{got} {wanted}");
    }
    let one = number("1.0");
    let complement = format!("%e = exp(x)\n{one}%d = sub(%c, %e)\n%l = log(%d)\nout y = %l");
    let report =
        check(&format!("in x: f32[3], range -9 to -0.5\n{complement}"), "%1 = log1mexp(x)");
    assert_eq!(report.danger_after, 0);
    let report = check(&format!("{X}{complement}"), "%1 = log1mexp(x)");
    assert!(report.danger_after <= report.danger_before && report.danger_after > 0);
}

#[test]
fn inverses_of_base_two() {
    let log = "%a = log2(x)\n%b = exp2(%a)\nout y = %b";
    check(&format!("{X}{log}"), "%1 = log2(x)\n%2 = exp2(%1)");
    check(&format!("in x: f32[3], range 0.5 to 8\n{log}"), "");
    check(&format!("{X}%a = exp2(x)\n%b = log2(%a)\nout y = %b"), "");
}

#[test]
fn trigonometry() {
    let one = number("1.0");
    let squares = "%a = sin(x)\n%b = cos(x)\n%d = square(%a)\n%e = square(%b)\n";
    check(&format!("{X}%a = sin(x)\n%b = cos(x)\n%d = div(%a, %b)\nout y = %d"), "%1 = tan(x)");
    check(
        &format!("{X}{squares}%f = add(%d, %e)\nout y = %f"),
        "%1 = const(type=f32, value=1.0)\n%2 = broadcast(%1, shape=[3], axes=[])",
    );
    check(
        &format!("{X}{squares}%f = sub(%d, %e)\nout y = %f"),
        "%1 = sin(x)\n%2 = square(%1)\n%3 = cos(x)\n%4 = square(%3)\n%5 = sub(%2, %4)",
    );
    check(
        &format!("{X}{one}{squares}%f = sub(%c, %e)\nout y = %f"),
        "%1 = sin(x)\n%2 = square(%1)",
    );
    let (result, report) = optimized(&format!("{X}{one}%b = cos(x)\n%d = sub(%c, %b)\nout y = %d"));
    assert!(!result.to_string().contains("cos") && report.danger_after == 0, "{result}");
    check(&format!("{X}%n = neg(x)\n%b = cos(%n)\nout y = %b"), "%1 = cos(x)");
}

#[test]
fn integers_are_not_rounded_again() {
    check(&format!("{X}%a = floor(x)\n%b = ceil(%a)\n%d = round(%b)\nout y = %d"), "%1 = floor(x)");
    check(&format!("{X}%a = sqrt(x)\n%b = ceil(%a)\nout y = %b"), "%1 = sqrt(x)\n%2 = ceil(%1)");
}

#[test]
fn entropy_is_zero_where_a_probability_is() {
    let range = "in p: f32[3], range 0 to 1\n";
    let report =
        check(&format!("{range}%a = log(p)\n%b = mul(p, %a)\nout y = %b"), "%1 = xlogy(p, p)");
    assert_eq!((report.danger_before, report.danger_after), (4, 0));
    check(
        &format!("{range}in t: f32[3]\n%a = log(p)\n%b = mul(t, %a)\nout y = %b"),
        "%2 = log(p)\n%3 = mul(t, %2)",
    );
    check(
        "in z: f32[4, 3]\nin t: f32[4, 3]\n%1 = softmax(z, axes=[1])\n%2 = xlogy(t, %1)\n%3 = sum(%2, axes=[1])\n%4 = neg(%3)\nout y = %4",
        "%2 = cross_entropy(z, t, axes=[1])",
    );
}

#[test]
fn slices_and_pads_come_back_as_written() {
    check(
        "in x: f32[4, 6]\n%1 = slice(x, start=[0, 1], step=[1, 2], sizes=[4, 3])\n%2 = exp(%1)\nout y = %2",
        "%1 = slice(x, start=[0, 1], step=[1, 2], sizes=[4, 3])\n%2 = exp(%1)",
    );
    check(
        "in x: f32[4, 6]\n%1 = pad(x, start=[1, 0], step=[2, 1], sizes=[9, 6], fill=-1.5)\n%2 = exp(%1)\nout y = %2",
        "%1 = pad(x, start=[1, 0], step=[2, 1], sizes=[9, 6], fill=-1.5)\n%2 = exp(%1)",
    );
    check(
        "in i: i32[4]\n%1 = pad(i, start=[1], step=[1], sizes=[6], fill=7)\nout y = %1",
        "%1 = pad(i, start=[1], step=[1], sizes=[6], fill=7)",
    );
    // The left and the right half of one tensor meet.
    check(
        "in x: f32[6]\n%1 = slice(x, start=[0], step=[1], sizes=[3])\n%2 = slice(x, start=[3], step=[1], sizes=[3])\n%3 = mul(%1, %2)\nout y = %3",
        "%1 = slice(x, start=[0], step=[1], sizes=[3])\n%2 = slice(x, start=[3], step=[1], sizes=[3])\n%3 = mul(%1, %2)",
    );
    // Nothing is cut.
    check(
        "in x: f32[6]\n%1 = slice(x, start=[0], step=[1], sizes=[6])\n%2 = exp(%1)\nout y = %2",
        "%1 = exp(x)",
    );
    // One element, by a step that is never made.
    check(
        "in x: f32[1]\n%1 = slice(x, start=[0], step=[2], sizes=[1])\n%2 = sub(x, %1)\nout y = %2",
        "%1 = slice(x, start=[0], step=[2], sizes=[1])\n%2 = sub(x, %1)",
    );
    check(
        "in x: f32[4, 6]\n%1 = slice(x, start=[2, 0], step=[1, 1], sizes=[0, 6])\nout y = %1",
        "%1 = slice(x, start=[2, 0], step=[1, 1], sizes=[0, 6])",
    );
}

#[test]
fn products_and_rows_of_slices() {
    check(
        "in x: f32[8, 6]\nin w: f32[3, 2]\n%1 = slice(x, start=[0, 3], step=[1, 1], sizes=[8, 3])\n%2 = dot(%1, w, contract=[(1, 0)])\n%3 = softmax(%2, axes=[1])\n%4 = log(%3)\nout y = %4",
        "%2 = slice(x, start=[0, 3], step=[1, 1], sizes=[8, 3])\n%3 = dot(%2, w, contract=[(1, 0)])\n%4 = log_softmax(%3, axes=[1])",
    );
}

#[test]
fn ranges_pass_slices_and_end_at_pads() {
    let x = "in x: f32[6], range 0.5 to 8\n";
    let slice = "%1 = slice(x, start=[1], step=[2], sizes=[2])\n";
    let danger = |text: String| optimized(&text).1.danger_after;
    assert_eq!(danger(format!("{x}{slice}%2 = log(%1)\nout y = %2")), 0);
    let pad = |fill: &str| format!("{x}%1 = pad(x, start=[1], step=[1], sizes=[8], fill={fill})\n");
    assert_eq!(danger(format!("{}%2 = log(%1)\nout y = %2", pad("1.0"))), 0);
    assert_eq!(danger(format!("{}%2 = log(%1)\nout y = %2", pad("0.0"))), 4);
    check(&format!("{x}{slice}%2 = log(%1)\n%3 = exp(%2)\nout y = %3"), slice.trim());
}

#[test]
fn dangers_of_powers_and_remainders() {
    let danger = |range: &str, op: &str, value: &str| {
        let text = format!("in x: f32[3]{range}\n{}%p = {op}\nout y = %p", number(value));
        optimized(&text).1.danger_before
    };
    assert_eq!(danger("", "pow(x, %c)", "2.5"), 4, "a negative base");
    assert_eq!(danger("", "pow(x, %c)", "3.0"), 0);
    assert_eq!(danger("", "pow(x, %c)", "-2.0"), 4, "a base of 0");
    assert_eq!(danger(", range 0 to 9", "pow(x, %c)", "2.5"), 0);
    assert_eq!(danger(", range 0 to 9", "pow(%c, x)", "0.9"), 0);
    assert_eq!(danger("", "pow(%c, x)", "0.9"), 4, "no upper bound");
    assert_eq!(danger("", "mod(%c, x)", "1.0"), 4, "a divisor of 0");
    assert_eq!(danger("", "mod(x, %c)", "1.0"), 0);
    assert_eq!(danger("", "exp2(x)", "1.0"), 4);
    assert_eq!(danger(", range -999 to 100", "exp2(x)", "1.0"), 0);
    assert_eq!(danger("", "log2(x)", "1.0"), 4);
    assert_eq!(danger(", range 0 to 1", "xlogy(%c, x)", "1.0"), 4);
}
