//! Mistakes in a text: each is reported, on its line, and nothing panics.

use eggrad_ir::*;
use proptest::prelude::*;

/// A valid text; every line of it is used by a mistake below.
const TEXT: &str = "\
graph 2
fn step(h: f32[3], x: f32[3]) {
  n = h * x + 1
  out h = n
  out y = tanh(n)
}
in x: f32[2, 3]
in xs: f32[4, 3]
in i: i32[2], range 0 to 9
in c: bool[]
param w: f32[3, 2]
slot m: f32[3, 2]
z = x @ w
p = softmax(z, axes=[1])
d = data(type=f32[2], values=[0.5, 1.5])
q = reshape(p, shape=[4])
t = transpose(p, axes=[1, 0])
s = scan(step, d2, xs, carries=1, xs=1, length=4, result=1)
loss = mean((z - one_hot(i, type=f32, classes=2))^2)
out p = p
out s = s
out y = sum(q) * 2.0
write w = w - 0.1 * m
write m = grad(loss, w)
guard loss
";

/// Kinds of mistakes: what stands in the text, and what is written in its place.
const MISTAKES: [(&str, &str, &str); 55] = [
    ("unknown op", "p = softmax(", "p = softmix("),
    ("unknown name", "z = x @ w", "z = x @ v"),
    ("missing closing parenthesis", "out y = sum(q) * 2.0", "out y = sum(q * 2.0"),
    ("missing opening parenthesis", "out y = sum(q) * 2.0", "out y = sum q) * 2.0"),
    ("too many operands", "softmax(z, axes=[1])", "softmax(z, z, axes=[1])"),
    ("too few operands", "one_hot(i, type", "one_hot(type"),
    ("unknown attribute", "axes=[1])\nd", "axis_=[1])\nd"),
    ("missing attribute", "reshape(p, shape=[4])", "reshape(p)"),
    ("attribute twice", "axes=[1])\nd", "axes=[1], axes=[1])\nd"),
    ("attribute of another kind", "shape=[4]", "shape=f32"),
    ("a type that is no type", "in x: f32[2, 3]", "in x: f31[2, 3]"),
    ("a type without sizes", "in x: f32[2, 3]", "in x: f32"),
    ("name of a value twice", "p = softmax", "z = softmax"),
    ("name of an input twice", "in xs: f32[4, 3]", "in x: f32[4, 3]"),
    ("name of an output twice", "out s = s", "out p = s"),
    ("name of a state twice", "slot m: f32[3, 2]", "slot w: f32[3, 2]"),
    ("axis that does not exist", "axes=[1])\nd", "axes=[2])\nd"),
    ("permutation of other axes", "axes=[1, 0])", "axes=[1, 1])"),
    ("shapes that do not multiply", "z = x @ w", "z = x @ x"),
    ("shapes that do not broadcast", "z = x @ w", "z = x + w"),
    ("shape of another size", "shape=[4]", "shape=[5]"),
    ("wrong version", "graph 2", "graph 7"),
    ("no version", "graph 2", "grph 2"),
    ("stray token", "z = x @ w", "z = x @ w w"),
    ("stray sign", "z = x @ w", "z = x @ $ w"),
    ("two operators", "z = x @ w", "z = x @ * w"),
    ("missing opening brace", "x: f32[3]) {", "x: f32[3])"),
    ("missing comma between operands", "h: f32[3], x", "h: f32[3] x"),
    ("unknown function", "scan(step,", "scan(stop,"),
    ("operand in place of a function", "scan(step,", "scan(x,"),
    ("result out of range", "length=4, result=1", "length=4, result=2"),
    ("length of another sequence", "length=4", "length=5"),
    ("more carried values than there are", "carries=1", "carries=9"),
    ("write to an input", "write m = grad", "write x = grad"),
    ("write to an unknown state", "write m = grad", "write mm = grad"),
    ("write of another shape", "write m = grad(loss, w)", "write m = p"),
    ("two writes", "write m = grad", "write w = grad"),
    ("guard of a tensor", "guard loss", "guard z"),
    ("guard of an unknown name", "guard loss", "guard lost"),
    ("unterminated list", "values=[0.5, 1.5])", "values=[0.5, 1.5)"),
    ("number of values", "values=[0.5, 1.5]", "values=[0.5]"),
    ("number too large", "- 0.1 * m", "- 1e999 * m"),
    ("size too large", "in x: f32[2, 3]", "in x: f32[99999999999999999999, 3]"),
    ("size of a tensor too large", "in x: f32[2, 3]", "in x: f32[99999999999, 99999999999]"),
    ("negative size", "in x: f32[2, 3]", "in x: f32[-2, 3]"),
    ("forward reference", "z = x @ w", "z = x @ w + p"),
    ("literal of another type", "one_hot(i, type", "one_hot(i + 0.5, type"),
    ("truth value among numbers", "* 2.0", "* true"),
    ("float in place of integers", "one_hot(i, type", "one_hot(z, type"),
    ("chained comparison", "out y = sum(q) * 2.0", "out y = 1 < sum(q) < 2"),
    ("line that begins with nothing known", "param w", "parameter w"),
    ("range without an end", "range 0 to 9", "range 0"),
    ("state inside a function", "  n = h * x + 1", "  param n: f32[3]\n"),
    ("unknown name inside a function", "h * x + 1", "h * xx + 1"),
    ("cast to nothing", "tanh(n)", "cast(n, type=f16)"),
];

/// The text without its last mistake: the scan starts from a state that exists.
fn valid() -> String {
    TEXT.replace(
        "s = scan(step, d2,",
        "h0 = data(type=f32[3], values=[1, 2, 3])\ns = scan(step, h0,",
    )
}

/// `text` with mistake `kind`, and the line of it.
fn damaged(text: &str, kind: usize) -> (String, u32) {
    let (name, from, to) = MISTAKES[kind];
    let place = text.find(from).unwrap_or_else(|| panic!("{name}: no `{from}`"));
    // The mistake is on the line where the texts begin to differ.
    let same = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b).count();
    let line = text[..place + same].matches('\n').count() + 1;
    (format!("{}{to}{}", &text[..place], &text[place + from.len()..]), line as u32)
}

/// Reads a text with a mistake on line `line`; what is told of it.
fn refused(name: &str, text: &str, line: u32) -> Result<String, TestCaseError> {
    let Err(errors) = text.parse::<Graph>() else {
        return Err(TestCaseError::fail(format!("{name} was not noticed:\n{text}")));
    };
    let lines: Vec<u32> = errors
        .0
        .iter()
        .filter_map(|e| if let At::Text { line, .. } = e.at { Some(line) } else { None })
        .collect();
    prop_assert_eq!(lines.len(), errors.0.len(), "{}: an error without a line: {}", name, errors);
    prop_assert!(lines.contains(&line), "{} on line {}: {}\n{}", name, line, errors, text);
    prop_assert!(errors.0.iter().all(|e| !e.help.is_empty()), "{}", errors);
    prop_assert!(errors.0.len() <= 2, "{} is told more than once: {}\n{}", name, errors, text);
    Ok(errors.to_string())
}

#[test]
fn the_text_is_valid() {
    let text = valid();
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}"));
    assert!(graph.to_string().parse::<Graph>().expect("parses") == graph);
}

#[test]
fn each_mistake_is_told_once_on_its_line() {
    let text = valid();
    for (kind, mistake) in MISTAKES.iter().enumerate() {
        let (text, line) = damaged(&text, kind);
        refused(mistake.0, &text, line).unwrap_or_else(|e| panic!("{e}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// The same mistakes among more lines, comments and other names.
    #[test]
    fn mistakes_among_other_lines(
        kind in 0..MISTAKES.len(),
        gaps in proptest::collection::vec((0usize..26, 0usize..3), 0..6),
        suffix in "[a-z_0-9.]{0,6}",
    ) {
        let mut lines: Vec<String> = vec![];
        let text = valid();
        let (text, line) = damaged(&text, kind);
        let mut moved = line;
        for (i, one) in text.lines().enumerate() {
            for _ in gaps.iter().filter(|g| g.0 == i && i > 0) {
                lines.push(format!("  ; {suffix} = $ ("));
                lines.push(String::new());
                moved += if (i as u32) < line { 2 } else { 0 };
            }
            lines.push(format!("{one}{}", if gaps.len() % 2 == 0 { " ; and so on" } else { "" }));
        }
        refused(MISTAKES[kind].0, &lines.join("\n"), moved)?;
    }
}

#[test]
fn every_mistake_of_a_text_is_told() {
    let text = "\
graph 2
in x: f32[2]
in y: f33[2]
a = exq(x)
b = a + y
c = b @ undefined
d = sum(x, axes=[7])
%5 = x $ 2
e = %5 + d
out e = e
out x = sum(x
";
    let errors = text.parse::<Graph>().expect_err("six mistakes");
    let lines: Vec<String> = errors.0.iter().map(|e| e.at.to_string()).collect();
    // What an error kept from being known is not reported again.
    assert_eq!(
        lines,
        [
            "line 3, column 7",
            "line 4, column 5",
            "line 6, column 9",
            "line 7, column 5",
            "line 8, column 8",
            "line 11, column 14"
        ],
        "{errors}"
    );
    let endless = format!("graph 2\n{}", "a = exq(1)\n".repeat(5000));
    assert!(endless.parse::<Graph>().expect_err("many").0.len() <= 100);
}

#[test]
fn functions_are_closed_and_known() {
    let check = |text: &str, expected: &[&str]| {
        let text = format!("graph 2\n{text}");
        let errors = text.parse::<Graph>().expect_err("must be refused").to_string();
        for expected in expected {
            assert!(errors.contains(expected), "{errors}\n{text}");
        }
    };
    check(
        "fn f(x: f32[]) {\nout y = -x\nin z: f32[]\nout w = f(z)\n",
        &[
            "lacks the `}` of function `f`\n  at line 2",
            "calls function `f` inside itself\n  at line 5",
        ],
    );
    check(
        "fn f(x: f32[]) {\nout y = -x\nparam z: f32[]\n}\n",
        &["`param` inside function `f`\n  at line 4"],
    );
    check("}\n", &["has a `}` that closes nothing\n  at line 2, column 1"]);
    check("fn f(x: f32[]) {\n}\n", &["`fn f` gives nothing\n  at line 2"]);
    check(
        "fn f(x: f32[]) vjp g {\nout y = x\n}\n",
        &["knows no function called `g`\n  at line 2, column 20"],
    );
    check(
        "fn g(x: f32[]) {\nout y = x\n}\nfn f(x: f32[]) vjp g {\nout y = x\n}\n",
        &["`derivative of fn f` takes (f32[], f32[]), not (f32[])\n  at line 5"],
    );
    check(
        "fn f(x: f32[]) {\nout y = x\n}\nfn f(x: f32[]) {\nout y = x\n}\n",
        &["two functions called `f`\n  at line 5"],
    );
    let mut deep = String::from("fn f0(x: f32[]) {\nout y = x + 1\n}\n");
    for i in 1..20 {
        deep.push_str(&format!("fn f{i}(x: f32[]) {{\nout y = f{}(x)\n}}\n", i - 1));
    }
    check(&deep, &["nests sub-graphs too deep: more than 16\n  at line 50"]);
    assert_eq!(lines(&format!("graph 2\n{deep}in x: f32[]\nout y = f19(x)\n")), [50]);
}

/// Lines of the errors of a text.
fn lines(text: &str) -> Vec<u32> {
    let errors = text.parse::<Graph>().expect_err("must be refused");
    let line = |e: &TypeError| if let At::Text { line, .. } = e.at { line } else { 0 };
    errors.0.iter().map(line).collect()
}

#[test]
fn one_mistake_in_functions_is_told_once() {
    let rest = "in x: f32[]\nparam w: f32[]\nout y = f(x, w)\n";
    let body = "  n = h * x + 1\n  out y = tanh(n) + x\n}\n";
    for header in [
        "fn f(h: f33[], x: f32[]) {",
        "fn f(h, x: f32[]) {",
        "fn f(h: f32[] x: f32[]) {",
        "fn f(h: f32[], h: f32[], x: f32[]) {",
        "fn f h, x {",
        "fn f(h: f32[], $ x: f32[]) {",
        "fn f(h: f32[], x: f32[])",
        "fn f(h: f32[], x: f32[]) -> f32[] {",
        "fn f(h: f32[], `x: f32[]) {",
    ] {
        assert_eq!(lines(&format!("graph 2\n{header}\n{body}{rest}")), [2], "{header}");
    }
    assert_eq!(
        lines(&format!("graph 2\nfn f(h: f32[], x: f32[]) {{ out y = h + x }}\n{rest}")),
        [2]
    );
    // A wrong line in such a function is told all the same.
    let wrong = "graph 2\nfn f(h: f33[]) {\n  n = exq(1)\n  out y = n\n}\n";
    assert_eq!(lines(wrong), [2, 3]);
    // A function inside a function, which may read what is around it.
    let inner = "  fn g(x: f32[]) {\n    out y = x + h + n\n  }\n";
    let nested = format!(
        "graph 2\nfn f(h: f32[], x: f32[]) {{\n  n = h + 1\n{inner}{inner}  out y = g(n) + x\n}}\n{rest}"
    );
    assert_eq!(lines(&nested), [4, 7]);
    // A function that is not closed, before another one.
    let next = "fn g(x: f32[]) {\n  out y = x + 1\n}\n";
    let open = format!(
        "graph 2\nfn f(h: f32[], x: f32[]) {{\n  out y = h + x\n{next}{rest}out z = g(x) + zz\n"
    );
    assert_eq!(lines(&open), [4, 10]);
}

#[test]
fn ranges_that_nothing_lies_in_are_refused() {
    for (ty, range) in [
        ("i32[]", "3 to 1"),
        ("i32[]", "0.2 to 0.8"),
        ("u8[]", "300 to 400"),
        ("u8[]", "-9 to -1"),
        ("i32[4]", "99999999999 to 999999999999"),
        ("i64[4]", "9223372036854775808 to 9223372036854775808"),
        ("i32[]", "0 to inf"),
        ("i32[]", "-inf to 3"),
        ("bool[]", "2 to 3"),
        ("bool[]", "0.5 to 0.6"),
        ("f32[]", "nan to nan"),
        ("f32[]", "0 to nan"),
        ("f32[]", "inf to inf"),
        ("f64[]", "-inf to -inf"),
        ("f32[]", "1e300 to 1e301"),
        ("f32[]", "0.1 to 0.1"),
        ("f64[]", "2 to 1"),
    ] {
        let text = format!("graph 2\nin n: {ty}, range {range}\nout y = cast(n, type=f32) + 1\n");
        let errors = text.parse::<Graph>().expect_err(range);
        assert_eq!(lines(&text), [2], "{errors}");
        assert!(errors.to_string().contains("`n`") && !errors.0[0].help.is_empty(), "{errors}");
        // The verifier says so too, of graphs that are no texts.
        let bound = |i: usize| range.split(" to ").nth(i).unwrap().parse::<f64>().unwrap();
        let typed = format!("graph 2\nin n: {ty}\nout y = n\n").parse::<Graph>().expect("a type");
        let ty = typed.inputs()[0].ty.clone();
        let mut b = Builder::new();
        b.declare_input("n", ty, Some((bound(0), bound(1))), At::Unknown);
        let told = b.build().expect_err(range).to_string();
        assert!(told.contains("`n` has the range") && told.contains("help: "), "{told}");
    }
    for (ty, range) in [
        ("f32[]", "-inf to inf"),
        ("f64[]", "0 to inf"),
        ("f32[]", "0.5 to 0.5"),
        ("f32[]", "0.1 to 0.2"),
        ("f32[]", "-1e300 to -1"),
        ("i32[]", "0.5 to 1.5"),
        ("i32[]", "-99999999999 to 4"),
        ("i64[]", "9007199254740993 to 9223372036854775807"),
        ("u8[]", "255 to 256"),
        ("bool[]", "0 to 1"),
    ] {
        let text = format!("graph 2\nin n: {ty}, range {range}\nout y = n\n");
        text.parse::<Graph>().unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
}

#[test]
fn other_versions_are_named_and_a_byte_order_mark_is_passed_over() {
    for version in ["1", "999"] {
        let told = format!("graph {version}\nin x: f32[]\nout y = x\n");
        let told = told.parse::<Graph>().expect_err("of another version").to_string();
        let expected =
            format!("`graph` is of version {version}; this reader knows version 2\n  at line 1");
        assert!(told.starts_with(&expected), "{told}");
    }
    let marked = "\u{feff}graph 2\nin x: f32[]\nout y = x\n".parse::<Graph>().expect("parses");
    assert!(marked == "graph 2\nin x: f32[]\nout y = x\n".parse::<Graph>().expect("parses"));
}
