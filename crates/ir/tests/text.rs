//! The text form: texts to graphs and back.

use eggrad_ir::*;

/// Parses `text`, prints it, and checks that the print is read as the same graph and printed the same; the print.
#[track_caller]
fn round_trip(text: &str) -> String {
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    same(&graph)
}

#[track_caller]
fn same(graph: &Graph) -> String {
    let printed = graph.to_string();
    let again: Graph = printed.parse().unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(again.to_string(), printed, "a print is printed the same");
    assert!(again == *graph, "another graph:\n{printed}");
    printed
}

/// A text that is printed as it stands.
#[track_caller]
fn fixed(text: &str) {
    assert_eq!(round_trip(text), text);
}

#[test]
fn a_small_network_prints_as_formulas() {
    fixed(
        "\
graph 2
in x: f32[32, 64]
in labels: i32[32], range 0 to 9
param w1: f32[64, 16]
param b1: f32[16]
param w2: f32[16, 10]
param b2: f32[10]
slot w1.m: f32[64, 16]
%14 = softmax(relu(x @ w1 + b1) @ w2 + b2, axes=[1])
%22 = -mean(sum(one_hot(labels, type=f32, classes=10) * log(%14), axes=[1]))
%23 = grad(%22, w1)
%30 = 0.9 * w1.m + 0.1 * %23
out p = %14
out loss = %22
write w1 = w1 - 0.01 * %30
write w1.m = %30
guard %22
",
    );
}

#[test]
fn every_op_is_read_and_printed() {
    fixed(
        "\
graph 2
in x: f32[4, 6]
in i: i32[4]
in c: bool[4, 6]
in s: i32[]
in t: f32[4, 6]
%5 = -x
%14 = abs(%5) + sign(%5) + square(%5) + sqrt(%5) + rsqrt(%5)
out u = recip(%14) + exp(%14) + expm1(%14) + log(%14) + log1p(%14)
",
    );
    round_trip(
        "\
graph 2
in x: f32[4, 6]
in i: i32[4]
in c: bool[4, 6]
in s: i32[]
in t: f32[4, 6]
a = exp2(x) + log2(x) + log1mexp(x) + sin(x) + cos(x) + tan(x) + erf(x) + erfc(x) + log_erfc(x)
b = tanh(x) + sigmoid(x) + softplus(x) + relu(x) + floor(x) + ceil(x) + round(x) + neg(x)
out a = a
out b = b
out negated = not c and (c or not not c)
out arithmetic = (a - b) * (a / b) ^ x + mod(a, b) + atan2(a, b) + logaddexp(a, b) + xlogy(a, b)
out extremes = maximum(a, minimum(b, 0.5))
out compared = (a == b) and (a != b) and (a < b) and (a <= b) and (a > b) and (a >= b)
out chosen = select(c, a, 0)
out cast = cast(c, type=u8)
out marks = keep(stop_gradient(a))
out sums = sum(a) + sum(b) + prod(a) + max(a) + min(a) + logsumexp(a)
out rows = sum(a, axes=[1]) + prod(a, axes=[1]) + max(a, axes=[1]) + min(a, axes=[1])
out some = logsumexp(a, axes=[0])
out rows2 = softmax(a, axes=[1]) + log_softmax(b)
out ce = cross_entropy(a, b, axes=[1])
out residual = cross_entropy_residual(a, b, axes=[1])
out reshaped = reshape(x, shape=[2, 12])
out moved = transpose(x)
out back = transpose(transpose(reshape(x, shape=[4, 3, 2]), axes=[2, 0, 1]))
out spread = broadcast(x, shape=[4, 5, 6], axes=[0, 2])
out sliced = slice(x, start=[1, 0], step=[1, 2], sizes=[3, 3])
out corner = slice(x, sizes=[1, 1])
out padded = pad(x, start=[1, 1], sizes=[6, 8], fill=-inf)
out padded_labels = pad(i, start=[0], step=[2], sizes=[8], fill=-1)
out padded_bools = pad(c, start=[0, 0], sizes=[4, 7], fill=true)
w = window(x, axes=[0, 1], size=[2, 3], stride=[1, 2], dilation=[2, 1])
out windows = w
out folded = fold(w, axes=[0, 1], size=[2, 3], stride=[1, 2], dilation=[2, 1], length=[4, 6])
out plain_windows = window(x, axes=[1], size=[3])
out products = dot(x, t, contract=[(1, 1)], batch=[(0, 0)])
out outer = dot(x, t, contract=[])
out square = x @ transpose(t)
out hot = one_hot(i, type=f32, classes=10)
out picked = gather(x, i)
out picked_row = gather(x, i, batch=1)
out added = scatter_add(i, x, size=9)
out added_rows = scatter_add(i, x, batch=1, size=9)
out numbers = iota(type=i32[2, 3], axis=1)
out size = size(x, type=f64, axes=[0])
out tensor = data(type=f32[2, 2], values=[0.1, -0.0, inf, nan])
out truths = data(type=bool[3], values=[0, 1, 1])
out bytes = data(type=u8[2], values=[0, 255])
key = random_key(s, 7, stream=18446744073709551615)
out uniform = random(key, type=f32[3, 4])
out bits = random(key, type=i32[3])
out derivative = grad(sum(a), x)
",
    );
}

#[test]
fn states_ranges_and_guards_are_read_and_printed() {
    fixed(
        "\
graph 2
in x: f64[3], range -1.5 to inf
in n: i64[], range -0 to 9
param dense1.weight: f64[3]
frozen table: f64[3]
slot dense1.weight.m: f64[3]
stat mean: f64[]
counter steps: i32[]
%11 = mean(x * dense1.weight + table)
out loss = %11
out x = x
write dense1.weight = dense1.weight - 0.1 * dense1.weight.m
write mean = 0.9 * mean + 0.1 * %11
write steps = steps + 1
guard %11
",
    );
}

#[test]
fn literals_keep_every_bit() {
    let mut b = Builder::new();
    let mut number = 0;
    let mut put = |b: &mut Builder, dtype, literal| {
        let c = b.node(Op::Const(dtype, literal), &[]);
        number += 1;
        b.output(&format!("c{number}"), c);
    };
    let floats = [0.1, 1e300, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN, 5e-324];
    let odd = f64::from_bits(0x7ff0_0000_0000_0001);
    for value in floats.into_iter().chain([f64::MAX, f64::MIN_POSITIVE, odd, 1e16, 3.0]) {
        put(&mut b, DType::F64, Literal::Float(value.to_bits()));
        put(&mut b, DType::F32, Literal::Float(value.to_bits()));
    }
    for value in [i64::MIN, i64::MAX, -1, 0] {
        put(&mut b, DType::I64, Literal::Int(value));
    }
    put(&mut b, DType::I32, Literal::Int(i32::MIN.into()));
    put(&mut b, DType::U8, Literal::Int(255));
    put(&mut b, DType::Bool, Literal::Bool(true));
    put(&mut b, DType::Bool, Literal::Bool(false));
    same(&b.build().expect("a valid graph"));
    // Beside a value, constants stand as bare numbers.
    let text = "\
graph 2
in x: f64[2]
in n: i64[2]
%6 = x * -0.5 - -inf + nan
%14 = maximum(n + -9223372036854775808, 9223372036854775807)
out x = 2.0 / %6 ^ -0.5 + (-2.0) ^ %6
out n = %14
";
    let printed = round_trip(text);
    assert!(printed.contains("x * -0.5 - -inf + nan"), "{printed}");
    assert!(printed.contains("n + -9223372036854775808"), "{printed}");
}

#[test]
fn names_that_are_no_words_stand_between_backticks() {
    fixed(
        "\
graph 2
in `block-1/x`: f32[]
in `in`: f32[]
in `nan`: f32[]
in größe: f32[]
in e: f32[]
in _: f32[]
out `out` = (`block-1/x` + `in` + `nan` + größe + e) * _
",
    );
}

#[test]
fn broadcasting_is_written_only_where_operators_do_not_do_it() {
    fixed(
        "\
graph 2
in x: f32[2, 3]
in row: f32[3]
in column: f32[2, 1]
in one: f32[1, 1]
in n: f32[]
out a = x + row + column * one / n
out b = broadcast(row, shape=[3, 3], axes=[0])
out c = row * broadcast(n, shape=[4, 3], axes=[])
out d = broadcast(column, shape=[2, 1, 5], axes=[0, 1])
out e = select(x > 0.5, row, 0.0)
",
    );
}

#[test]
fn products_are_operators_where_numpy_has_one() {
    fixed(
        "\
graph 2
in a: f32[5, 2, 3]
in b: f32[5, 3, 4]
in m: f32[3, 4]
in v: f32[3]
%4 = a @ b
out batched = %4
out shared = a @ m
out vector = a @ v
out row = v @ m
out inner = v @ v
out right = v @ b
out other = dot(b, m, contract=[(2, 1)])
out scaled = %4 * 2.0 @ transpose(m)
",
    );
    // A batch that is spread is written out.
    let printed = round_trip("graph 2\nin a: f32[5, 2, 3]\nin b: f32[1, 3, 4]\nout y = a @ b\n");
    assert!(printed.contains("broadcast"), "{printed}");
}

#[test]
fn functions_stand_before_their_users() {
    fixed(
        "\
graph 2

fn inner(x: f32[3]) {
  out y = x * x
}

fn cell(h: f32[3], x: f32[3], w: f32[3]) {
  %6 = tanh(h + inner(x)) * w
  out h = %6
  out y = -%6
}

fn then(a: f32[]) {
  out y = a + 1.0
}

fn otherwise(a: f32[]) {
  out y = a - 1.0
}

fn clip_vjp(x: f32[3], ct: f32[3]) {
  out dx = ct
}

fn clip(x: f32[3]) vjp clip_vjp {
  out y = minimum(x, 1.0)
}

in h: f32[3]
in xs: f32[10, 3]
in w: f32[3]
in c: bool[]
in a: f32[]
%5 = scan(cell, h, xs, w, carries=1, xs=1, length=10, result=0)
out last = %5
out all = scan(cell, h, xs, w, carries=1, xs=1, length=10, result=1)
out back = scan(cell, h, xs, w, carries=1, xs=1, length=10, reverse=true, result=1)
out one = cond(c, then, otherwise, a)
out clipped = clip(%5)
",
    );
}

#[test]
fn functions_of_one_name_are_told_apart() {
    let function = |text: &str| {
        let graph: Graph = text.parse().expect("a function");
        std::sync::Arc::new(Function::new("f", graph).expect("a function"))
    };
    let f = function("graph 2\nin x: f32[]\nout y = x + 1\n");
    let g = function("graph 2\nin x: f32[]\nout y = x + 2\nout z = x\n");
    let same_as_f = function("graph 2\nin x: f32[]\nout y = x + 1\n");
    let relu = Function::new("relu", f.graph().clone()).expect("a function");
    let mut b = Builder::new();
    let x = b.declare_input("x", TensorType::scalar(DType::F32), None, At::Unknown);
    let mut y = x;
    for function in [f, g, same_as_f, std::sync::Arc::new(relu)] {
        y = b.node(Op::Call { function, result: 0 }, &[y]);
    }
    b.output("y", y);
    let printed = same(&b.build().expect("a valid graph"));
    assert!(printed.contains("out y = f(f(f_2(f(x), result=0)))"), "{printed}");
    assert_eq!(printed.matches("fn ").count(), 2, "{printed}");
    // A function called as an op is called by `call`.
    round_trip(
        "graph 2\nfn relu(x: f32[]) {\nout y = x + 1\n}\nin x: f32[]\nout y = call(relu, relu(x))\n",
    );
}

#[test]
fn late_inputs_of_functions_are_declared_where_they_stand() {
    let mut b = Builder::new();
    let ty = TensorType::new(DType::F32, [3]);
    let outside = b.declare_input("c", ty.clone(), None, At::Unknown);
    let v = b.variable(ty, At::Unknown);
    let scaled = b.full_like(v, 2.0);
    let captured = b.unary(UnaryOp::Exp, outside);
    let y = b.mul(v, scaled);
    let y = b.add(y, captured);
    let (function, operands) =
        b.close("f", &[("v".into(), v)], &[("y".into(), y)], None).expect("a function");
    let function = std::sync::Arc::new(function);
    let inputs: Vec<NodeId> = [outside].into_iter().chain(operands).collect();
    let call = b.node(Op::Call { function, result: 0 }, &inputs);
    b.output("y", call);
    let printed = same(&b.build().expect("a valid graph"));
    assert!(printed.contains("\n  in "), "{printed}");
}

#[test]
fn lines_stay_narrow_and_shallow() {
    let mut text = String::from("graph 2\nin a_rather_long_name: f32[]\ny = a_rather_long_name");
    (0..60).for_each(|i| text.push_str(&format!(" * exp(a_rather_long_name + {i})")));
    text.push_str("\nout y = y\n");
    let printed = round_trip(&text);
    assert!(printed.lines().all(|l| l.len() <= 102), "{printed}");
    assert!(printed.lines().count() > 20, "{printed}");
}

#[test]
fn deep_graphs_need_no_deep_stack() {
    let deep = || {
        let mut b = Builder::new();
        let ty = TensorType::new(DType::F32, [2]);
        let mut x = b.declare_input("x", ty, None, At::Unknown);
        let mut y = x;
        for i in 0..100_000 {
            x = b.unary(if i % 2 == 0 { UnaryOp::Tanh } else { UnaryOp::Neg }, x);
        }
        // 2^60 paths.
        for _ in 0..60 {
            y = b.add(y, y);
        }
        b.output("x", x);
        b.output("y", y);
        let graph = b.build().expect("a valid graph");
        let text = graph.to_string();
        let again: Graph = text.parse().expect("parses");
        assert_eq!(again.computing_nodes(), 100_060);
        assert!(again == graph);
        assert_eq!(again.to_string(), text);
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(deep);
    thread.expect("a thread").join().expect("no overflow");
}

#[test]
fn much_that_waits_is_written_in_time() {
    // Everything waits until the end, and is used in the opposite order.
    let mut b = Builder::new();
    let ty = TensorType::new(DType::F32, [2]);
    let inputs: Vec<NodeId> = (0..20_000)
        .map(|i| b.declare_input(&format!("x{i}"), ty.clone(), None, At::Unknown))
        .collect();
    let waiting: Vec<NodeId> = inputs.iter().map(|&x| b.unary(UnaryOp::Exp, x)).collect();
    let mut sum = inputs[0];
    for &x in waiting.iter().rev() {
        sum = b.add(sum, x);
    }
    b.output("y", sum);
    same(&b.build().expect("a valid graph"));
}
