//! Where there is no derivative, or where one must not flow.

mod common;

use common::resolved;
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::Graph;

/// Gradient of `sum(y)` with respect to the only input `x`, where `body` computes `%8`, a vector, from `x`.
fn gradient(body: &str, x: &[f64]) -> Vec<f64> {
    let n = x.len();
    let text = format!(
        "graph 2\nin x: f32[{n}]\n{}\n%9 = sum(%8, axes=[0])\n%10 = grad(%9, x)\nout g = %10\n",
        body.replace("; ", "\n")
    );
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let x = Tensor::from_values(graph.inputs()[0].ty.clone(), x);
    let graph = resolved(graph);
    run(&graph, &[x], &[], Precision::AsWritten).unwrap().outputs[0].to_f64s()
}

const ZERO: &str = "%1 = const(type=f32, value=0); %2 = broadcast(%1, shape=[3], axes=[])";

#[test]
fn kinks() {
    let at = [-1.0, 0.0, 2.0];
    assert_eq!(gradient("%8 = relu(x)", &at), [0.0, 0.0, 1.0]);
    assert_eq!(gradient("%8 = abs(x)", &at), [-1.0, 0.0, 1.0]);
    assert_eq!(gradient("%8 = sign(x)", &at), [0.0, 0.0, 0.0]);
    assert_eq!(gradient(&format!("{ZERO}; %8 = maximum(x, %2)"), &at), [0.0, 0.5, 1.0]);
    assert_eq!(gradient(&format!("{ZERO}; %8 = minimum(%2, x)"), &at), [1.0, 0.5, 0.0]);
    assert_eq!(gradient("%8 = maximum(x, x)", &at), [1.0, 1.0, 1.0]);
}

/// The table in the crate's documentation, row by row.
#[test]
fn table_of_conventions() {
    let fill = |id: usize, value: f64| {
        format!(
            "%{id}1 = const(type=f32, value={value:?}); %{id} = broadcast(%{id}1, shape=[3], axes=[])"
        )
    };
    let (low, high) = (fill(20, -1.0), fill(21, 1.0));
    let rows: [(String, [f64; 3], [f64; 3]); 13] = [
        ("%8 = relu(x)".into(), [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ("%8 = abs(x)".into(), [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]),
        ("%8 = sign(x)".into(), [-1.0, 0.0, 1.0], [0.0; 3]),
        ("%8 = floor(x)".into(), [-1.5, 0.0, 1.0], [0.0; 3]),
        ("%8 = ceil(x)".into(), [-1.5, 0.0, 1.0], [0.0; 3]),
        ("%8 = round(x)".into(), [-1.5, 0.5, 1.0], [0.0; 3]),
        (format!("{ZERO}; %3 = gt(x, %2); %8 = cast(%3, type=f32)"), [-1.0, 0.0, 1.0], [0.0; 3]),
        ("%1 = cast(x, type=i32); %8 = cast(%1, type=f32)".into(), [-1.0, 0.0, 1.0], [0.0; 3]),
        (format!("{high}; %8 = minimum(x, %21)"), [0.0, 1.0, 2.0], [1.0, 0.5, 0.0]),
        // Clamped to -1 and 1.
        (
            format!("{low}; {high}; %3 = maximum(x, %20); %8 = minimum(%3, %21)"),
            [-1.0, 0.0, 1.0],
            [0.5, 1.0, 0.5],
        ),
        (
            "%1 = max(x, axes=[0]); %8 = broadcast(%1, shape=[1], axes=[])".into(),
            [2.0; 3],
            [1.0 / 3.0; 3],
        ),
        (
            format!("{ZERO}; %3 = gt(x, %2); %4 = log(x); %8 = select(%3, %4, %2)"),
            [-1.0, 0.0, 2.0],
            [0.0, 0.0, 0.5],
        ),
        ("%1 = stop_gradient(x); %8 = mul(%1, %1)".into(), [-1.0, 0.0, 1.0], [0.0; 3]),
    ];
    for (body, x, slope) in rows {
        let found = gradient(&body, &x);
        assert!(found.iter().zip(slope).all(|(f, s)| (f - s).abs() < 1e-7), "{body}: {found:?}");
    }
}

/// Windows of `size` numbers, `stride` apart.
fn pooled(op: &str, size: usize, stride: usize, shown: &str) -> String {
    format!(
        "%1 = window(x, axes=[0], size=[{size}], stride=[{stride}]); %2 = {shown}; %8 = {op}(%2, axes=[1])"
    )
}

#[test]
fn the_first_of_equals_in_a_window_takes_all() {
    let x = [2.0, 2.0, 1.0, 3.0, 3.0, 3.0];
    for (op, slopes) in
        [("max", [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), ("min", [0.0, 0.0, 1.0, 1.0, 0.0, 0.0])]
    {
        assert_eq!(gradient(&pooled(op, 3, 3, "%1"), &x), slopes, "{op}");
        // Seen through what is computed element by element.
        assert_eq!(gradient(&pooled(op, 3, 3, "relu(%1)"), &x), slopes, "{op}");
    }
    // Overlapping windows.
    assert_eq!(gradient(&pooled("max", 2, 1, "%1"), &x), [1.0, 1.0, 0.0, 2.0, 1.0, 0.0]);
    // Nobody attains what is no number.
    let broken = [f64::NAN, 1.0, 4.0, 4.0];
    assert_eq!(gradient(&pooled("max", 2, 2, "%1"), &broken), [0.0, 0.0, 1.0, 0.0]);
    // More positions than are looked at one by one, and more than a byte counts.
    for n in [40, 300] {
        let mut x = vec![1.0; 2 * n];
        (x[n - 1], x[n + 7]) = (2.0, 2.0);
        let slopes: Vec<f64> =
            (0..2 * n).map(|i| if i == n - 1 || i == n + 7 { 1.0 } else { 0.0 }).collect();
        assert_eq!(gradient(&pooled("max", n, n, "%1"), &x), slopes);
        let mut first = vec![0.0; 2 * n];
        (first[0], first[n]) = (1.0, 1.0);
        assert_eq!(gradient(&pooled("max", n, n, "%1"), &vec![1.0; 2 * n]), first);
    }
}

#[test]
fn rounding_has_no_slope() {
    let at = [-1.5, 0.0, 2.25];
    for op in ["floor", "ceil", "round"] {
        assert_eq!(gradient(&format!("%8 = {op}(x)"), &at), [0.0, 0.0, 0.0]);
        assert_eq!(gradient(&format!("%1 = {op}(x); %8 = sub(x, %1)"), &at), [1.0, 1.0, 1.0]);
    }
}

/// Gradients of `sum(op a c)` with respect to `a` and `c`.
fn gradients(op: &str, a: &[f64], c: &[f64]) -> [Vec<f64>; 2] {
    let n = a.len();
    let text = format!(
        "graph 2\nin a: f32[{n}]\nin c: f32[{n}]\n%2 = {op}(a, c)\n%3 = sum(%2, axes=[0])\n\
         %4 = grad(%3, a)\n%5 = grad(%3, c)\nout a = %4\nout c = %5\n"
    );
    let graph = resolved(text.parse().unwrap_or_else(|e| panic!("{e}\n{text}")));
    let args = [a, c].map(|v| Tensor::from_values(graph.inputs()[0].ty.clone(), v));
    let outputs = run(&graph, &args, &[], Precision::AsWritten).unwrap().outputs;
    [outputs[0].to_f64s(), outputs[1].to_f64s()]
}

#[test]
fn powers_at_zero_and_below() {
    let [da, dc] = gradients("pow", &[0.0, 0.0, 0.0, 0.0], &[0.0, 1.0, 2.0, 0.5]);
    assert_eq!(da, [0.0, 1.0, 0.0, f64::INFINITY]);
    assert_eq!(dc, [0.0; 4]);
    let [da, dc] = gradients("pow", &[-2.0, -2.0, -2.0], &[2.0, 3.0, 0.0]);
    assert_eq!(da, [-4.0, 12.0, 0.0]);
    assert!(dc.iter().all(|d| d.is_nan()), "{dc:?}");
    // A constant exponent: also twice, and where it is 0.
    let constant = |value: &str| {
        format!(
            "%1 = const(type=f32, value={value}); %2 = broadcast(%1, shape=[3], axes=[]); %8 = pow(x, %2)"
        )
    };
    assert_eq!(gradient(&constant("2"), &[-3.0, 0.0, 3.0]), [-6.0, 0.0, 6.0]);
    assert_eq!(gradient(&constant("1"), &[-3.0, 0.0, 3.0]), [1.0; 3]);
    assert_eq!(gradient(&constant("0"), &[-3.0, 0.0, 3.0]), [0.0; 3]);
    let text = "graph 2\nin x: f32[]\n%1 = const(type=f32, value=2)\n%2 = pow(x, %1)\n%3 = grad(%2, x)\n\
                %4 = grad(%3, x)\n%5 = grad(%4, x)\nout two = %4\nout three = %5\n";
    let graph = resolved(text.parse().unwrap());
    for x in [-3.0, 0.0, 3.0] {
        let x = Tensor::from_values(graph.inputs()[0].ty.clone(), &[x]);
        let found = run(&graph, &[x], &[], Precision::AsWritten).unwrap().outputs;
        assert_eq!((found[0].item(), found[1].item()), (2.0, 0.0));
    }
}

#[test]
fn two_operands_at_their_edges() {
    let [da, dc] = gradients("xlogy", &[0.0, 0.0, 0.0, 2.0], &[0.0, -1.0, 2.0, 4.0]);
    assert_eq!(da[..2], [0.0, 0.0]);
    assert!((da[2] - 2f64.ln()).abs() < 1e-7 && (da[3] - 4f64.ln()).abs() < 1e-7);
    assert_eq!(dc, [0.0, 0.0, 0.0, 0.5]);
    assert_eq!(gradients("atan2", &[0.0, 3.0], &[0.0, -4.0]).map(|d| d[0]), [0.0, 0.0]);
    let [da, dc] = gradients("atan2", &[3.0], &[-4.0]);
    assert!((da[0] + 0.16).abs() < 1e-7 && (dc[0] + 0.12).abs() < 1e-7);
    assert_eq!(gradients("mod", &[7.0, -7.0], &[2.0, 2.0]), [[1.0, 1.0], [-3.0, 4.0]]);
    let [da, dc] = gradients("logaddexp", &[1000.0, 5.0, 1.0], &[-1000.0, 5.0, f64::NEG_INFINITY]);
    assert_eq!((da, dc), (vec![1.0, 0.5, 1.0], vec![0.0, 0.5, 0.0]));
}

#[test]
fn tails_keep_their_slopes() {
    // -2x / (1 - 1/(2x^2) + ...)
    for (x, slope) in
        [(6.5, -13.1504033), (30.0, -60.0332964), (1e4, -2e4), (1e18, -2e18), (1e30, -2e30)]
    {
        let found = gradient("%8 = log_erfc(x)", &[x])[0];
        assert!((found / slope - 1.0).abs() < 1e-6, "{x}: {found}");
    }
    assert_eq!(gradient("%8 = log_erfc(x)", &[-1e4]), [0.0]);
    let [far, near] = gradient("%8 = log1mexp(x)", &[-80.0, -1e-30])[..] else { unreachable!() };
    assert!((far / -(-80f64).exp() - 1.0).abs() < 1e-6 && (near / -1e30 - 1.0).abs() < 1e-6);
    assert_eq!(gradient("%8 = log1mexp(x)", &[-1e4]), [0.0]);
}

#[test]
fn slices_and_pads() {
    assert_eq!(
        gradient("%8 = slice(x, start=[1], step=[2], sizes=[2])", &[1.0, 2.0, 3.0, 4.0]),
        [0.0, 1.0, 0.0, 1.0]
    );
    let padded = "%1 = pad(x, start=[1], step=[2], sizes=[4], fill=3.0); %8 = square(%1)";
    assert_eq!(gradient(padded, &[1.0, 2.0]), [2.0, 4.0]);
    // What lies outside its domain behind a gate stays there: log x at 0 and below, sliced and put back.
    let body = format!(
        "{ZERO}; %3 = gt(x, %2); %4 = log(x); %5 = slice(%4, start=[1], step=[1], sizes=[2]); \
         %6 = pad(%5, start=[1], step=[1], sizes=[3], fill=0.0); %8 = select(%3, %6, %2)"
    );
    assert_eq!(gradient(&body, &[-1.0, 0.0, 2.0]), [0.0, 0.0, 0.5]);
    assert_eq!(gradient(&body, &[0.0, -1.0, 4.0]), [0.0, 0.0, 0.25]);
}

#[test]
fn ties_share_evenly() {
    let reduce = |op: &str| format!("%1 = {op}(x, axes=[0]); %8 = reshape(%1, shape=[1])");
    assert_eq!(
        gradient(&reduce("max"), &[3.0, 1.0, 3.0, 3.0]),
        [1.0 / 3f32, 0., 1.0 / 3f32, 1.0 / 3f32].map(f64::from)
    );
    assert_eq!(gradient(&reduce("min"), &[3.0, 1.0, 1.0]), [0.0, 0.5, 0.5]);
}

#[test]
fn products_with_zeros() {
    let prod = "%1 = prod(x, axes=[0]); %8 = reshape(%1, shape=[1])";
    assert_eq!(gradient(prod, &[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
    assert_eq!(gradient(prod, &[2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]);
    assert_eq!(gradient(prod, &[0.0, 0.0, 4.0]), [0.0, 0.0, 0.0]);
}

#[test]
fn branches_not_taken_leak_nothing() {
    // sqrt at 0 has an infinite derivative, log of a negative number is NaN.
    let body = |f: &str| format!("{ZERO}; %3 = gt(x, %2); %4 = {f}(x); %8 = select(%3, %4, %2)");
    assert_eq!(gradient(&body("log"), &[-1.0, 0.0, 2.0]), [0.0, 0.0, 0.5]);
    assert_eq!(gradient(&body("sqrt"), &[-1.0, 0.0, 4.0]), [0.0, 0.0, 0.25]);
    assert_eq!(gradient(&body("rsqrt"), &[-1.0, 0.0, 4.0]), [0.0, 0.0, -0.0625]);
    let square = format!("{ZERO}; %3 = le(x, %2); %4 = recip(x); %8 = select(%3, %2, %4)");
    assert_eq!(gradient(&square, &[-1.0, 2.0, 4.0]), [0.0, -0.25, -0.0625]);
    // A value read twice in one branch, and in both branches: x log x + x above 0, -x elsewhere.
    let twice = format!(
        "{ZERO}; %3 = gt(x, %2); %4 = log(x); %5 = mul(x, %4); %6 = neg(x); %7 = select(%3, %5, %6); %8 = add(%7, x)"
    );
    assert_eq!(gradient(&twice, &[-1.0, 0.0, 1.0]), [0.0, 0.0, 2.0]);
    // Nested: log(log x) above 1, 1 / x below 0, else 0.
    let nested = format!(
        "{ZERO}; %3 = gt(x, %2); %11 = const(type=f32, value=1); %12 = broadcast(%11, shape=[3], axes=[]); \
         %4 = gt(x, %12); %5 = log(x); %6 = log(%5); %7 = select(%4, %6, %2); %13 = recip(x); %14 = lt(x, %2); \
         %15 = select(%14, %13, %2); %8 = select(%3, %7, %15)"
    );
    assert_eq!(gradient(&nested, &[-2.0, 0.0, 1.0]), [-0.25, 0.0, 0.0]);
    // Through a reduction: a row of masks has a softmax of NaN.
    let row = "%1 = const(type=f32, value=-inf); %2 = logsumexp(x, axes=[0]); %3 = eq(%2, %1); \
               %4 = const(type=f32, value=0); %5 = select(%3, %4, %2); %8 = reshape(%5, shape=[1])";
    assert_eq!(gradient(row, &[f64::NEG_INFINITY; 2]), [0.0, 0.0]);
    assert_eq!(gradient(row, &[f64::NEG_INFINITY, 1.0]), [0.0, 1.0]);
}

#[test]
fn losses_are_right_where_compositions_are_not() {
    // softplus at 0: the composition max(x, 0) + log1p(exp(-|x|)) has derivative 0 there.
    assert_eq!(gradient("%8 = softplus(x)", &[0.0, 1000.0, -1000.0]), [0.5, 1.0, 0.0]);
    let lse = "%1 = logsumexp(x, axes=[0]); %8 = reshape(%1, shape=[1])";
    assert_eq!(gradient(lse, &[1000.0, 1000.0, -1000.0]), [0.5, 0.5, 0.0]);
    let loss = "%1 = data(type=f32[3], values=[1.0, 0.0, 0.0]); %2 = cross_entropy(x, %1, axes=[0]); \
                %8 = reshape(%2, shape=[1])";
    let tiny = (-60f64).exp();
    let found = gradient(loss, &[60.0, 0.0, f64::NEG_INFINITY]);
    assert!((found[0] / -tiny - 1.0).abs() < 1e-6 && (found[1] / tiny - 1.0).abs() < 1e-6);
    assert_eq!(found[2], 0.0);
}

#[test]
fn marks() {
    assert_eq!(gradient("%1 = keep(x); %8 = mul(%1, x)", &[3.0]), [6.0]);
    assert_eq!(gradient("%1 = stop_gradient(x); %8 = mul(%1, x)", &[3.0]), [3.0]);
    assert_eq!(gradient("%1 = stop_gradient(x); %8 = mul(%1, %1)", &[3.0]), [0.0]);
    let through_int = "%1 = cast(x, type=i32); %2 = cast(%1, type=f32); %8 = mul(%2, x)";
    assert_eq!(gradient(through_int, &[3.5]), [3.0]);
}

#[test]
fn empty_tensors_have_empty_gradients() {
    assert_eq!(gradient("%8 = softmax(x, axes=[0])", &[]), [0.0; 0]);
    let text = "graph 2\nin x: f32[2, 0]\n%1 = max(x, axes=[1])\n%2 = prod(x, axes=[1])\n%3 = add(%1, %2)\n\
                %4 = sum(%3, axes=[0])\n%5 = grad(%4, x)\nout g = %5\n";
    let graph = resolved(text.parse().unwrap());
    let x = Tensor::from_values(graph.inputs()[0].ty.clone(), &[]);
    let found = run(&graph, &[x], &[], Precision::AsWritten).unwrap().outputs;
    assert!(found[0].to_f64s().is_empty());
}
