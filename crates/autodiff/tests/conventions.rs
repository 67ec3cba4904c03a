//! Where there is no derivative, or where one must not flow.

mod common;

use common::resolved;
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::Graph;

/// Gradient of `sum(y)` with respect to the only input `x`, where `body` computes `%8`, a vector, from `x`.
fn gradient(body: &str, x: &[f64]) -> Vec<f64> {
    let n = x.len();
    let text = format!(
        "graph 1\nin x: f32[{n}]\n{}\n%9 = sum %8, axes [0]\n%10 = grad %9 x\nout g = %10\n",
        body.replace("; ", "\n")
    );
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let x = Tensor::from_values(graph.inputs()[0].ty.clone(), x);
    let graph = resolved(graph);
    run(&graph, &[x], &[], Precision::AsWritten).unwrap().outputs[0].to_f64s()
}

const ZERO: &str = "%1 = const, type f32, value 0; %2 = broadcast %1, shape [3], axes []";

#[test]
fn kinks() {
    let at = [-1.0, 0.0, 2.0];
    assert_eq!(gradient("%8 = relu x", &at), [0.0, 0.0, 1.0]);
    assert_eq!(gradient("%8 = abs x", &at), [-1.0, 0.0, 1.0]);
    assert_eq!(gradient("%8 = sign x", &at), [0.0, 0.0, 0.0]);
    assert_eq!(gradient(&format!("{ZERO}; %8 = maximum x %2"), &at), [0.0, 0.5, 1.0]);
    assert_eq!(gradient(&format!("{ZERO}; %8 = minimum %2 x"), &at), [1.0, 0.5, 0.0]);
    assert_eq!(gradient("%8 = maximum x x", &at), [1.0, 1.0, 1.0]);
}

#[test]
fn ties_share_evenly() {
    let reduce = |op: &str| format!("%1 = {op} x, axes [0]; %8 = reshape %1, shape [1]");
    assert_eq!(
        gradient(&reduce("max"), &[3.0, 1.0, 3.0, 3.0]),
        [1.0 / 3f32, 0., 1.0 / 3f32, 1.0 / 3f32].map(f64::from)
    );
    assert_eq!(gradient(&reduce("min"), &[3.0, 1.0, 1.0]), [0.0, 0.5, 0.5]);
}

#[test]
fn products_with_zeros() {
    let prod = "%1 = prod x, axes [0]; %8 = reshape %1, shape [1]";
    assert_eq!(gradient(prod, &[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
    assert_eq!(gradient(prod, &[2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]);
    assert_eq!(gradient(prod, &[0.0, 0.0, 4.0]), [0.0, 0.0, 0.0]);
}

#[test]
fn branches_not_taken_leak_nothing() {
    // sqrt at 0 has an infinite derivative, log of a negative number is NaN.
    let body = |f: &str| format!("{ZERO}; %3 = gt x %2; %4 = {f} x; %8 = select %3 %4 %2");
    assert_eq!(gradient(&body("log"), &[-1.0, 0.0, 2.0]), [0.0, 0.0, 0.5]);
    assert_eq!(gradient(&body("sqrt"), &[-1.0, 0.0, 4.0]), [0.0, 0.0, 0.25]);
    assert_eq!(gradient(&body("rsqrt"), &[-1.0, 0.0, 4.0]), [0.0, 0.0, -0.0625]);
    let square = format!("{ZERO}; %3 = le x %2; %4 = recip x; %8 = select %3 %2 %4");
    assert_eq!(gradient(&square, &[-1.0, 2.0, 4.0]), [0.0, -0.25, -0.0625]);
    // A value read twice in one branch, and in both branches: x log x + x above 0, -x elsewhere.
    let twice = format!(
        "{ZERO}; %3 = gt x %2; %4 = log x; %5 = mul x %4; %6 = neg x; %7 = select %3 %5 %6; %8 = add %7 x"
    );
    assert_eq!(gradient(&twice, &[-1.0, 0.0, 1.0]), [0.0, 0.0, 2.0]);
    // Nested: log(log x) above 1, 1 / x below 0, else 0.
    let nested = format!(
        "{ZERO}; %3 = gt x %2; %11 = const, type f32, value 1; %12 = broadcast %11, shape [3], axes []; \
         %4 = gt x %12; %5 = log x; %6 = log %5; %7 = select %4 %6 %2; %13 = recip x; %14 = lt x %2; \
         %15 = select %14 %13 %2; %8 = select %3 %7 %15"
    );
    assert_eq!(gradient(&nested, &[-2.0, 0.0, 1.0]), [-0.25, 0.0, 0.0]);
    // Through a reduction: a row of masks has a softmax of NaN.
    let row = "%1 = const, type f32, value -inf; %2 = logsumexp x, axes [0]; %3 = eq %2 %1; \
               %4 = const, type f32, value 0; %5 = select %3 %4 %2; %8 = reshape %5, shape [1]";
    assert_eq!(gradient(row, &[f64::NEG_INFINITY; 2]), [0.0, 0.0]);
    assert_eq!(gradient(row, &[f64::NEG_INFINITY, 1.0]), [0.0, 1.0]);
}

#[test]
fn losses_are_right_where_compositions_are_not() {
    // softplus at 0: the composition max(x, 0) + log1p(exp(-|x|)) has derivative 0 there.
    assert_eq!(gradient("%8 = softplus x", &[0.0, 1000.0, -1000.0]), [0.5, 1.0, 0.0]);
    let lse = "%1 = logsumexp x, axes [0]; %8 = reshape %1, shape [1]";
    assert_eq!(gradient(lse, &[1000.0, 1000.0, -1000.0]), [0.5, 0.5, 0.0]);
    let loss = "%1 = data, type f32[3], values [1.0, 0.0, 0.0]; %2 = cross_entropy x %1, axes [0]; \
                %8 = reshape %2, shape [1]";
    let tiny = (-60f64).exp();
    let found = gradient(loss, &[60.0, 0.0, f64::NEG_INFINITY]);
    assert!((found[0] / -tiny - 1.0).abs() < 1e-6 && (found[1] / tiny - 1.0).abs() < 1e-6);
    assert_eq!(found[2], 0.0);
}

#[test]
fn marks() {
    assert_eq!(gradient("%1 = keep x; %8 = mul %1 x", &[3.0]), [6.0]);
    assert_eq!(gradient("%1 = stop_gradient x; %8 = mul %1 x", &[3.0]), [3.0]);
    assert_eq!(gradient("%1 = stop_gradient x; %8 = mul %1 %1", &[3.0]), [0.0]);
    let through_int = "%1 = cast x, type i32; %2 = cast %1, type f32; %8 = mul %2 x";
    assert_eq!(gradient(through_int, &[3.5]), [3.0]);
}

#[test]
fn empty_tensors_have_empty_gradients() {
    assert_eq!(gradient("%8 = softmax x, axes [0]", &[]), [0.0; 0]);
    let text = "graph 1\nin x: f32[2, 0]\n%1 = max x, axes [1]\n%2 = prod x, axes [1]\n%3 = add %1 %2\n\
                %4 = sum %3, axes [0]\n%5 = grad %4 x\nout g = %5\n";
    let graph = resolved(text.parse().unwrap());
    let x = Tensor::from_values(graph.inputs()[0].ty.clone(), &[]);
    let found = run(&graph, &[x], &[], Precision::AsWritten).unwrap().outputs;
    assert!(found[0].to_f64s().is_empty());
}
