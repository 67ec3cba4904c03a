//! Hand-computed values of every op, and what the op table leaves open.

use eggrad_interp::{Data, Precision, Tensor, run};
use eggrad_ir::{DType, Graph, TensorType};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const PI: f64 = std::f64::consts::PI;

/// Runs `body`, whose inputs are `args` in order, and compares the output `y` to 1e-6 relative (f32) or exactly.
fn check(body: &str, args: &[&[f64]], expected: &[f64]) {
    let text = format!("graph 2\n{}\n", body.replace("; ", "\n"));
    let graph: Graph = match text.parse() {
        Ok(graph) => graph,
        Err(error) => panic!("{error}\n{text}"),
    };
    let inputs: Vec<Tensor> = graph
        .inputs()
        .iter()
        .zip(args)
        .map(|(decl, values)| Tensor::from_values(decl.ty.clone(), values))
        .collect();
    let outputs = run(&graph, &inputs, &[], Precision::AsWritten).unwrap().outputs;
    assert_eq!(&outputs[0].ty, graph.ty(graph.outputs()[0].node), "{body}");
    let found = outputs[0].to_f64s();
    assert_eq!(found.len(), expected.len(), "{body}: {found:?}");
    for (f, e) in found.iter().zip(expected) {
        let close = f == e || (f.is_nan() && e.is_nan()) || (f - e).abs() <= 1.2e-7 * e.abs();
        assert!(close, "{body}: {found:?} is not {expected:?}");
    }
}

#[test]
fn elementwise() {
    let unary = |op: &str, x: &[f64], y: &[f64]| {
        check(&format!("in x: f32[{n}]; %1 = {op}(x); out y = %1", n = x.len()), &[x], y);
    };
    unary("neg", &[1.0, -INF], &[-1.0, INF]);
    unary("abs", &[-2.0, 0.0], &[2.0, 0.0]);
    unary("sign", &[-2.0, 0.0, 3.0, NAN], &[-1.0, 0.0, 1.0, NAN]);
    unary("square", &[-3.0, 1e30], &[9.0, INF]);
    unary("sqrt", &[4.0, -1.0], &[2.0, NAN]);
    unary("rsqrt", &[4.0, 0.0], &[0.5, INF]);
    unary("recip", &[4.0, 0.0], &[0.25, INF]);
    unary("exp", &[0.0, 1000.0, -INF], &[1.0, INF, 0.0]);
    unary("expm1", &[1e-20], &[1e-20]);
    unary("log", &[1.0, 0.0, -1.0], &[0.0, -INF, NAN]);
    unary("log1p", &[1e-20, -1.0], &[1e-20, -INF]);
    unary("tanh", &[0.5, -1000.0], &[0.46211715726, -1.0]);
    unary("sigmoid", &[0.0, -60.0, -1000.0, INF], &[0.5, 8.75651076e-27, 0.0, 1.0]);
    unary("softplus", &[0.0, 1000.0, -60.0], &[2f64.ln(), 1000.0, 8.75651076e-27]);
    unary("relu", &[-1.0, 0.0, 2.0, NAN], &[0.0, 0.0, 2.0, NAN]);
    unary("exp2", &[3.0, -INF, 128.0], &[8.0, 0.0, INF]);
    unary("log2", &[8.0, 0.0, -1.0], &[3.0, -INF, NAN]);
    unary("log1mexp", &[-1e-20, -50.0, 0.0, 1.0], &[-46.0517018599, -1.92874985e-22, -INF, NAN]);
    unary("log1mexp", &[-INF, -0.5, -1.0], &[0.0, -0.93275212956, -0.45867514538]);
    unary("sin", &[0.0, 1.0, 1e22, INF], &[0.0, 0.84147098481, -0.73408153530, NAN]);
    unary("cos", &[0.0, 1.0, INF], &[1.0, 0.54030230587, NAN]);
    unary("tan", &[0.0, 1.0, INF], &[0.0, 1.55740772465, NAN]);
    unary("erf", &[0.0, 1e-20, 0.5, -INF], &[0.0, 1.1283791671e-20, 0.52049987781, -1.0]);
    unary("erfc", &[0.0, 5.0, -INF, INF], &[1.0, 1.53745979443e-12, 2.0, 0.0]);
    unary("log_erfc", &[0.0, 1e-20, -INF, INF], &[0.0, -1.1283791671e-20, 2f64.ln(), -INF]);
    unary("log_erfc", &[5.0, 30.0, 1e4], &[-27.2008895455, -903.974117111, -1.0000000978270532e8]);
    unary("floor", &[-1.5, 2.7, -INF, NAN], &[-2.0, 2.0, -INF, NAN]);
    unary("ceil", &[-1.5, 2.2, INF], &[-1.0, 3.0, INF]);
    unary("round", &[0.5, 1.5, -2.5, 2.6], &[0.0, 2.0, -2.0, 3.0]);

    let binary = |op: &str, a: &[f64], b: &[f64], y: &[f64]| {
        let n = a.len();
        check(&format!("in a: f32[{n}]; in b: f32[{n}]; %2 = {op}(a, b); out y = %2"), &[a, b], y);
    };
    binary("maximum", &[1.0, NAN, 2.0], &[2.0, 0.0, NAN], &[2.0, NAN, NAN]);
    binary("minimum", &[1.0, NAN, 2.0], &[2.0, 0.0, NAN], &[1.0, NAN, NAN]);
    binary("div", &[1.0, 1.0, 0.0], &[4.0, 0.0, 0.0], &[0.25, INF, NAN]);
    binary(
        "pow",
        &[-2.0, -2.0, 0.0, NAN, 4.0],
        &[3.0, 0.5, 0.0, 0.0, 0.5],
        &[-8., NAN, 1., 1., 2.],
    );
    binary("mod", &[7.0, -7.0, 7.0, -7.0], &[3.0, 3.0, -3.0, -3.0], &[1.0, 2.0, -2.0, -1.0]);
    binary("mod", &[1.0, INF, 6.0, -1.0], &[0.0, 2.0, 3.0, INF], &[NAN, NAN, 0.0, INF]);
    binary("atan2", &[1.0, 0.0, -1.0], &[-1.0, -1.0, 0.0], &[0.75 * PI, PI, -0.5 * PI]);
    binary(
        "logaddexp",
        &[1000.0, 0.0, -INF, INF],
        &[1000.0, -40.0, -INF, -INF],
        &[1000.6931471806, 4.24835425529e-18, -INF, INF],
    );
    binary("logaddexp", &[-INF, NAN], &[2.0, 1.0], &[2.0, NAN]);
    binary(
        "xlogy",
        &[0.0, 0.0, 0.0, 2.0, 1.0],
        &[0.0, -1.0, NAN, 4.0, 0.0],
        &[0., 0., 0., 4.0 * 2f64.ln(), -INF],
    );
    binary("eq", &[1.0, NAN], &[1.0, NAN], &[1.0, 0.0]);
    binary("ne", &[1.0, NAN], &[1.0, NAN], &[0.0, 1.0]);
    binary("le", &[1.0, NAN, -INF], &[1.0, 1.0, INF], &[1.0, 0.0, 1.0]);
    // 0.1 + 0.2 in single precision is not the double sum rounded.
    binary("add", &[0.1], &[0.2], &[f64::from(0.1f32 + 0.2f32)]);
}

#[test]
fn integers_wrap_and_casts_convert_by_value() {
    check("in a: u8[2]; %1 = add(a, a); out y = %1", &[&[200.0, 3.0]], &[144.0, 6.0]);
    check("in a: u8[1]; %1 = neg(a); out y = %1", &[&[1.0]], &[255.0]);
    check("in a: i32[1]; %1 = abs(a); out y = %1", &[&[-2147483648.0]], &[-2147483648.0]);
    let floats: &[f64] = &[1.9, -1.9, 300.0, NAN, INF];
    check("in a: f32[5]; %1 = cast(a, type=u8); out y = %1", &[floats], &[1., 0., 255., 0., 255.]);
    check(
        "in a: f32[5]; %1 = cast(a, type=i32); out y = %1",
        &[floats],
        &[1., -1., 300., 0., 2147483647.],
    );
    check("in a: f32[5]; %1 = cast(a, type=bool); out y = %1", &[floats], &[1.; 5]);
    check("in a: i32[2]; %1 = cast(a, type=u8); out y = %1", &[&[-1.0, 256.0]], &[255.0, 0.0]);
    check(
        "in a: bool[2]; %1 = not(a); %2 = cast(%1, type=f64); out y = %2",
        &[&[1., 0.]],
        &[0., 1.],
    );
    // 2^53 + 1 is exact as i64, and rounds once on its way to f32.
    let graph: Graph =
        "graph 2\nin a: i64[1]\n%1 = add(a, a)\n%2 = cast(a, type=f32)\nout y = %1\nout z = %2\n"
            .parse()
            .unwrap();
    let big = Tensor::new([1], Data::I64(vec![(1 << 53) + 1]));
    let run = run(&graph, &[big], &[], Precision::AsWritten).unwrap();
    assert_eq!(run.outputs[0].data, Data::I64(vec![(1 << 54) + 2]));
    assert_eq!(run.outputs[1].data, Data::F32(vec![9007199254740992.0]));
}

#[test]
fn leaves_and_moves() {
    check("%0 = iota(type=f32[2, 3], axis=1); out y = %0", &[], &[0., 1., 2., 0., 1., 2.]);
    check("%0 = iota(type=u8[2, 3], axis=0); out y = %0", &[], &[0., 0., 0., 1., 1., 1.]);
    check("in x: f32[4, 5]; %1 = size(x, type=f32, axes=[0, 1]); out y = %1", &[&[0.; 20]], &[20.]);
    check("in x: f32[4, 5]; %1 = size(x, type=i32, axes=[]); out y = %1", &[&[0.; 20]], &[1.]);
    check("%0 = data(type=f32[2], values=[0.1, -inf]); out y = %0", &[], &[0.1, -INF]);
    let six: &[f64] = &[1., 2., 3., 4., 5., 6.];
    check(
        "in x: f32[2, 3]; %1 = transpose(x, axes=[1, 0]); out y = %1",
        &[six],
        &[1., 4., 2., 5., 3., 6.],
    );
    check("in x: f32[2, 3]; %1 = reshape(x, shape=[3, 2]); out y = %1", &[six], six);
    check(
        "in x: f32[2]; %1 = broadcast(x, shape=[3, 2], axes=[1]); out y = %1",
        &[&[1., 2.]],
        &[1., 2., 1., 2., 1., 2.],
    );
    check(
        "in x: f32[2]; %1 = broadcast(x, shape=[2, 3], axes=[0]); out y = %1",
        &[&[1., 2.]],
        &[1., 1., 1., 2., 2., 2.],
    );
    check(
        "in c: bool[2]; in a: f32[2]; in b: f32[2]; %3 = select(c, a, b); out y = %3",
        &[&[1., 0.], &[1., NAN], &[NAN, 2.]],
        &[1., 2.],
    );
    check(
        "in x: f32[2]; %1 = keep(x); %2 = stop_gradient(%1); out y = %2",
        &[&[1., 2.]],
        &[1., 2.],
    );
}

#[test]
fn slices_and_pads() {
    let six: &[f64] = &[1., 2., 3., 4., 5., 6.];
    let slice = "%1 = slice(x, start=[1, 0], step=[1, 2], sizes=[1, 2]); out y = %1";
    check(&format!("in x: f32[2, 3]; {slice}"), &[six], &[4., 6.]);
    check(&format!("in x: u8[2, 3]; {slice}"), &[six], &[4., 6.]);
    check(&format!("in x: bool[2, 3]; {slice}"), &[&[0., 1., 0., 1., 0., 0.]], &[1., 0.]);
    check(
        "in x: f32[2]; %1 = slice(x, start=[7], step=[1], sizes=[0]); out y = %1",
        &[&[1., 2.]],
        &[],
    );
    let pad = |fill: &str| {
        format!("%1 = pad(x, start=[1, 0], step=[1, 2], sizes=[3, 4], fill={fill}); out y = %1")
    };
    let with = |f: f64| [f, f, f, f, 1., f, 0., f, f, f, f, f];
    check(&format!("in x: f32[1, 2]; {}", pad("-inf")), &[&[1., 0.]], &with(-INF));
    check(&format!("in x: f32[1, 2]; {}", pad("0.1")), &[&[1., 0.]], &with(0.1));
    check(&format!("in x: i64[1, 2]; {}", pad("-7")), &[&[1., 0.]], &with(-7.));
    check(&format!("in x: bool[1, 2]; {}", pad("true")), &[&[1., 0.]], &with(1.));
    // Nothing at all, wherever it would stand; a step that is never taken.
    let step = usize::MAX;
    check(
        &format!(
            "in x: f32[0]; %1 = pad(x, start=[{step}], step=[{step}], sizes=[2], fill=3.0); out y = %1"
        ),
        &[&[]],
        &[3., 3.],
    );
    check(
        &format!(
            "in x: f32[1, 1]; %1 = pad(x, start=[1, 1], step=[{step}, {step}], sizes=[2, 2], fill=0.0); out y = %1"
        ),
        &[&[5.]],
        &[0., 0., 0., 5.],
    );
}

#[test]
fn reductions() {
    let six: &[f64] = &[1., 2., 3., 4., 5., 6.];
    let reduce = |op: &str, dtype: &str, shape: &str, axes: &str, x: &[f64], y: &[f64]| {
        let body = format!("in x: {dtype}{shape}; %1 = {op}(x, axes={axes}); out y = %1");
        check(&body, &[x], y);
    };
    reduce("sum", "f32", "[2, 3]", "[0]", six, &[5., 7., 9.]);
    reduce("sum", "f32", "[2, 3]", "[1]", six, &[6., 15.]);
    reduce("prod", "i32", "[2, 3]", "[0, 1]", six, &[720.]);
    reduce("max", "f32", "[3]", "[0]", &[1., NAN, 2.], &[NAN]);
    reduce("min", "f64", "[3]", "[0]", &[1., -INF, 2.], &[-INF]);
    reduce("logsumexp", "f32", "[3]", "[0]", &[1000., 1000., -1000.], &[1000. + 2f64.ln()]);
    // A single element keeps its small tail: logsumexp(0, -40) = log1p(exp(-40)).
    reduce("logsumexp", "f64", "[2]", "[0]", &[0., -40.], &[(-40f64).exp().ln_1p()]);
    reduce("logsumexp", "f32", "[2]", "[0]", &[-INF, -INF], &[-INF]);
    reduce("logsumexp", "f32", "[2]", "[0]", &[INF, 1.0], &[INF]);
    reduce("logsumexp", "f32", "[2]", "[0]", &[NAN, 1.0], &[NAN]);
    reduce("logsumexp", "f32", "[2]", "[]", &[3.0, 1.0], &[3.0, 1.0]);
    reduce("logsumexp", "f32", "[]", "[]", &[3.0], &[3.0]);
    for (op, nothing) in
        [("sum", 0.0), ("prod", 1.0), ("max", -INF), ("min", INF), ("logsumexp", -INF)]
    {
        reduce(op, "f32", "[2, 0]", "[1]", &[], &[nothing; 2]);
        reduce(op, "f32", "[0, 2]", "[1]", &[], &[]);
    }
    reduce("max", "i32", "[0]", "[0]", &[], &[-2147483648.0]);
    reduce("min", "u8", "[0]", "[0]", &[], &[255.0]);
}

#[test]
fn rows_are_stable() {
    let softmax = |op: &str, x: &[f64], y: &[f64]| {
        let body = format!("in x: f32[1, {}]; %1 = {op}(x, axes=[1]); out y = %1", x.len());
        check(&body, &[x], y);
    };
    let e = 1f64.exp();
    softmax("softmax", &[0., 1.], &[1. / (1. + e), e / (1. + e)]);
    softmax("softmax", &[1000., 0., -1000.], &[1., 0., 0.]);
    softmax("softmax", &[-INF, 0., 0.], &[0., 0.5, 0.5]);
    softmax("softmax", &[-INF, -INF], &[NAN, NAN]);
    softmax("softmax", &[INF, 0.], &[NAN, 0.]);
    softmax("softmax", &[NAN, 0.], &[NAN, NAN]);
    softmax("log_softmax", &[1000., 0., -1000.], &[0., -1000., -2000.]);
    softmax("log_softmax", &[30., 0.], &[-(-30f64).exp().ln_1p(), -30.]);
    check(
        "in x: f64[2, 2, 1]; %1 = softmax(x, axes=[0, 2]); out y = %1",
        &[&[0., 0., 0., 1.]],
        &[0.5, 1. / (1. + e), 0.5, e / (1. + e)],
    );

    let entropy = |op: &str, z: &[f64], t: &[f64], y: &[f64]| {
        let n = z.len();
        let body =
            format!("in z: f32[1, {n}]; in t: f32[1, {n}]; %2 = {op}(z, t, axes=[1]); out y = %2");
        check(&body, &[z, t], y);
    };
    entropy("cross_entropy", &[1000., 0., -1000.], &[0., 1., 0.], &[1000.]);
    entropy("cross_entropy", &[1000., 0., -1000.], &[1., 0., 0.], &[0.]);
    entropy("cross_entropy", &[0., -INF], &[1., 0.], &[0.]);
    entropy("cross_entropy", &[0., -INF], &[0., 1.], &[INF]);
    entropy("cross_entropy", &[60., 0.], &[1., 0.], &[8.75651076e-27]);
    entropy("cross_entropy", &[0., 0.], &[0.5, 2.0], &[2.5 * 2f64.ln()]);
    // The gradient of a nearly certain, right prediction keeps its digits.
    entropy("cross_entropy_residual", &[60., 0.], &[1., 0.], &[-8.75651076e-27, 8.75651076e-27]);
    entropy("cross_entropy_residual", &[0., 0.], &[0.5, 2.0], &[0.75, -0.75]);
    entropy("cross_entropy_residual", &[3., 0.], &[0., 0.], &[0., 0.]);
    check(
        "in z: f32[2, 0]; in t: f32[2, 0]; %2 = cross_entropy(z, t, axes=[1]); out y = %2",
        &[&[], &[]],
        &[0., 0.],
    );
}

#[test]
fn contractions() {
    let a: &[f64] = &[1., 2., 3., 4., 5., 6.];
    check(
        "in a: f32[2, 3]; in b: f32[3, 2]; %2 = dot(a, b, contract=[(1, 0)]); out y = %2",
        &[a, &[1., 0., 0., 1., 1., 1.]],
        &[4., 5., 10., 11.],
    );
    check(
        "in a: f32[2, 3]; in b: f32[2, 3]; %2 = dot(a, b, contract=[(1, 1)], batch=[(0, 0)]); out y = %2",
        &[a, a],
        &[14., 77.],
    );
    check(
        "in a: i32[2]; in b: i32[3]; %2 = dot(a, b, contract=[]); out y = %2",
        &[&[1., 2.], &[1., 2., 3.]],
        &[1., 2., 3., 2., 4., 6.],
    );
    check(
        "in a: f32[2, 0]; in b: f32[0, 2]; %2 = dot(a, b, contract=[(1, 0)]); out y = %2",
        &[&[], &[]],
        &[0.; 4],
    );
    // Batch in the order listed, free axes of the left, then of the right.
    check(
        "in a: f64[2, 1, 3]; in b: f64[3, 2]; %2 = dot(a, b, contract=[], batch=[(2, 0), (0, 1)]); out y = %2",
        &[a, a],
        &[1., 8., 6., 20., 15., 36.],
    );
}

#[test]
fn labels() {
    check(
        "in i: i32[3]; %1 = one_hot(i, type=f32, classes=2); out y = %1",
        &[&[1., -1., 2.]],
        &[0., 1., 0., 0., 0., 0.],
    );
    let table: &[f64] = &[1., 2., 3., 4.];
    check(
        "in t: f32[2, 2]; in i: u8[3]; %2 = gather(t, i, batch=0); out y = %2",
        &[table, &[1., 0., 7.]],
        &[3., 4., 1., 2., NAN, NAN],
    );
    check(
        "in t: i32[2, 2]; in i: i64[2, 1]; %2 = gather(t, i, batch=1); out y = %2",
        &[table, &[1., -1.]],
        &[2., 0.],
    );
    check(
        "in i: i32[3]; in u: f32[3, 2]; %2 = scatter_add(i, u, batch=0, size=2); out y = %2",
        &[&[1., 1., 9.], &[1., 2., 3., 4., 5., 6.]],
        &[0., 0., 4., 6.],
    );
    check(
        "in i: i32[2, 2]; in u: f32[2, 2]; %2 = scatter_add(i, u, batch=1, size=3); out y = %2",
        &[&[0., 0., 2., 1.], &[1., 2., 3., 4.]],
        &[3., 0., 0., 0., 4., 3.],
    );
}

#[test]
fn wide_runs_neither_round_nor_need_doubles() {
    let graph: Graph = "graph 2\nin x: f32[1]\n%1 = const(type=f32, value=0.1)\n\
         %2 = broadcast(%1, shape=[1], axes=[])\n%3 = add(x, %2)\nout y = %3\n"
        .parse()
        .unwrap();
    let wide = TensorType::new(DType::F64, [1]);
    for dtype in [DType::F32, DType::F64] {
        let x = Tensor::from_values(TensorType::new(dtype, [1]), &[0.5]);
        let run = run(&graph, &[x], &[], Precision::Wide).unwrap();
        assert_eq!(run.outputs, vec![Tensor::from_values(wide.clone(), &[0.6])]);
    }
}

#[test]
fn huge_empty_tensors_cost_nothing() {
    check(
        "in x: f32[4611686018427, 0]; %1 = sum(x, axes=[0]); %2 = sum(x, axes=[0, 1]); out y = %2; out z = %1",
        &[&[]],
        &[0.0],
    );
}
