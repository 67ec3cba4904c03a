//! Expressions: precedence, numbers, broadcasting, formulas.

use eggrad_ir::*;

fn ty(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F64, dims)
}

/// The graph of `text` over `x`, `y`, `z`: vectors of 4; `a`, `b`: 3 by 3; `n`: one number; `i`: integers.
fn graph(text: &str) -> Result<Graph, TypeErrors> {
    let (v, m) = (ty(&[4]), ty(&[3, 3]));
    let integers = TensorType::new(DType::I32, [4]);
    Graph::from_expression(
        text,
        &[
            ("x", v.clone(), None),
            ("y", v.clone(), None),
            ("z", v, Some((0.0, 1.0))),
            ("a", m.clone(), None),
            ("b", m, None),
            ("n", ty(&[]), None),
            ("i", integers, None),
        ],
    )
}

#[track_caller]
fn same(text: &str, meant: &str) {
    let of = |text: &str| graph(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(of(text) == of(meant), "{text} is\n{}not\n{}", of(text), of(meant));
    let printed = of(text).to_string();
    assert!(printed.parse::<Graph>().expect("parses") == of(text), "{printed}");
}

#[test]
fn operators_bind_as_usual() {
    for (text, meant) in [
        ("x + y * z", "add(x, mul(y, z))"),
        ("x * y + z", "add(mul(x, y), z)"),
        ("x - y - z", "sub(sub(x, y), z)"),
        ("x - (y - z)", "sub(x, sub(y, z))"),
        ("x / y / z", "div(div(x, y), z)"),
        ("x / y * z", "mul(div(x, y), z)"),
        ("-x^2", "neg(pow(x, 2))"),
        ("(-x)^2", "pow(neg(x), 2)"),
        ("-x*y", "mul(neg(x), y)"),
        ("-x+y", "add(neg(x), y)"),
        ("--x", "neg(neg(x))"),
        ("x^y^z", "pow(x, pow(y, z))"),
        ("x**y**z", "pow(x, pow(y, z))"),
        ("(x^y)^z", "pow(pow(x, y), z)"),
        ("x^-y", "pow(x, neg(y))"),
        ("x^-y^z", "pow(x, neg(pow(y, z)))"),
        ("x*-y", "mul(x, neg(y))"),
        ("2^3^x", "pow(2, pow(3, x))"),
        ("x^2*y", "mul(pow(x, 2), y)"),
        ("x < y + z", "lt(x, add(y, z))"),
        ("x<=y and y>z or not x==z", "or(and(le(x, y), gt(y, z)), not(eq(x, z)))"),
        ("not x < y and y != z", "and(not(lt(x, y)), ne(y, z))"),
        ("a @ b + a", "add(dot(a, b, contract=[(1, 0)]), a)"),
        ("a @ b * a", "mul(matmul(a, b), a)"),
        ("a * b @ a", "matmul(mul(a, b), a)"),
        ("-a @ b", "matmul(neg(a), b)"),
        ("|x - |y||", "abs(sub(x, abs(y)))"),
        ("|x| * |y|", "mul(abs(x), abs(y))"),
        ("||x| - 1|", "abs(sub(abs(x), 1))"),
        ("((x))", "x"),
        ("x\n + y ; a comment\n", "x + y"),
    ] {
        same(text, meant);
    }
}

#[test]
fn numbers_take_the_type_beside_them() {
    for (text, meant) in [
        ("1e-3 * x", "0.001 * x"),
        (".5 * x", "0.5 * x"),
        ("2. * x", "2 * x"),
        ("-2 * x", "(-2) * x"),
        ("2 * pi * x", "mul(mul(2, 3.141592653589793), x)"),
        ("e^x", "2.718281828459045^x"),
        ("-e^x", "neg(pow(2.718281828459045, x))"),
        ("sqrt(2) * x", "mul(sqrt(2), x)"),
        ("where(x > 0, 1, 0) * x", "mul(select(gt(x, 0), 1, 0), x)"),
    ] {
        same(text, meant);
    }
    let text = graph("i + 1").expect("integers").to_string();
    assert!(text.contains("out y = i + 1\n"), "{text}");
    let text = graph("where(x > 0, 1, 0)").expect("floats of the first float's type").to_string();
    assert!(text.contains("f64"), "{text}");
    assert!(graph("i + 0.5").expect_err("no integer").to_string().contains("no i32: `0.5`"));
    assert!(graph("(x > 0) + 1").expect_err("no bool").to_string().contains("`true`"));
    assert!(graph("x * 1e999").expect_err("too large").to_string().contains("`inf`"));
    // A value called as a constant hides it.
    let hidden = Graph::from_expression("2 * e", &[("e", ty(&[4]), None)]).expect("a graph");
    assert!(hidden.to_string().contains("2.0 * e"), "{hidden}");
    let nothing = Graph::from_expression("1/3", &[]).expect("a graph");
    assert_eq!(nothing.ty(nothing.outputs()[0].node), &TensorType::scalar(DType::F32));
}

#[test]
fn reductions_go_over_everything_unless_told() {
    for (text, meant) in [
        ("sum(a)", "sum(a, axes=[0, 1])"),
        ("sum(a, axis=-1)", "sum(a, axes=[1])"),
        ("sum(n)", "n"),
        ("mean(a)", "sum(a) / size(a, axes=[0, 1])"),
        ("mean(a, axis=1)", "sum(a, axes=[1]) / size(a, axes=[1])"),
        ("max(a, axes=[0], keepdims=true)", "reshape(max(a, axes=[0]), shape=[1, 3])"),
        ("a - max(a, axis=1, keepdims=true)", "a - reshape(max(a, axes=[1]), shape=[3, 1])"),
        ("softmax(x)", "softmax(x, axes=[0])"),
        ("log_softmax(a, axis=1)", "log_softmax(a, axes=[1])"),
        ("logsumexp(a)", "logsumexp(a, axes=[0, 1])"),
        ("var(x)", "mean(square(x - reshape(mean(x), shape=[1])))"),
        ("grad(x * y, x)", "grad(sum(x * y), x)"),
        ("grad(grad(n^3, n), n)", "grad(grad(pow(n, 3), n), n)"),
        ("transpose(a)", "transpose(a, axes=[1, 0])"),
        ("broadcast(x, shape=[3, 4])", "broadcast(x, shape=[3, 4], axes=[1])"),
    ] {
        same(text, meant);
    }
    let trace = graph("trace(matmul(a, b))").expect("a graph");
    assert_eq!(trace.ty(trace.outputs()[0].node), &ty(&[]));
}

#[test]
fn formulas_are_written_out() {
    for (text, meant) in [
        ("silu(x)", "x * sigmoid(x)"),
        ("clamp(x, y, z)", "minimum(maximum(x, y), z)"),
        ("relu6(x)", "minimum(maximum(x, 0), 6)"),
        ("hard_sigmoid(x)", "minimum(maximum(x, -3), 3) / 6 + 0.5"),
        ("mish(x)", "x * tanh(softplus(x))"),
        ("softsign(x)", "x / (1 + abs(x))"),
        ("leaky_relu(x, y)", "where(x >= 0, x, x * y)"),
        ("gelu(x)", "x * (1 + erf(x * 0.7071067811865476)) * 0.5"),
        ("norm(a)", "sqrt(sum(square(a)))"),
    ] {
        same(text, meant);
    }
    for formula in
        ["gelu_tanh(x)", "elu(x, 1)", "clamp(x, 0, inf)", "selu(x)", "hardswish(x)", "is_finite(x)"]
    {
        graph(formula).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn wrong_expressions_say_where_and_why() {
    for (text, expected) in [
        ("", "needs a value here, not the end of the line\n  at line 1, column 1"),
        ("x +", "needs a value here, not the end of the line\n  at line 1, column 4"),
        ("x y", "goes on with `y`\n  at line 1, column 3"),
        ("(x", "needs `)` here, not the end of the line\n  at line 1, column 3"),
        ("x < y < z", "chains comparisons\n  at line 1, column 7"),
        (
            "exq(x)",
            "knows no op or function called `exq`\n  at line 1, column 1\nhelp: is `exp` meant?",
        ),
        ("exp(x, y)", "`exp` takes 1 operand, not 2\n  at line 1, column 1"),
        ("u + x", "knows no value called `u`\n  at line 1, column 1"),
        ("x + a", "needs shapes that broadcast: [4] and [3, 3]\n  at line 1, column 3"),
        ("x @ a", "needs the inner sizes to agree: 4 and 3\n  at line 1, column 3"),
        ("x + i", "needs one element type: f64 and i32\n  at line 1, column 3"),
        ("sum(a, axes=[2])", "has no axes [2] on [3, 3]\n  at line 1, column 1"),
        ("sum(a, axis=-3)", "has no axis -3: the operand has 2 axes\n  at line 1, column 13"),
        ("exp(x, axes=[0])", "knows no `axes` of `exp`\n  at line 1, column 8"),
        ("x + not y", "has a `not` that binds too weakly\n  at line 1, column 5"),
        ("sum(axes=[0], x)", "has an operand after an attribute\n  at line 1, column 15"),
        ("sum(a, axes=[0], axes=[1])", "gives `axes` twice\n  at line 1, column 18"),
        ("x $ y", "has no sign '$'\n  at line 1, column 3"),
        ("2x", "has no number `2x`\n  at line 1, column 1"),
        ("trace(x)", "needs a square matrix, not [4]\n  at line 1, column 1"),
        ("call(f, x)", "knows no function called `f`\n  at line 1, column 6"),
    ] {
        let error = graph(text).expect_err("must be refused").to_string();
        assert!(error.contains(expected), "for {text}:\n{error}");
    }
    let errors = graph("sin(u) + cos(w) + v * sqrt(u)").expect_err("four unknown names");
    assert_eq!(errors.0.len(), 4);
}
