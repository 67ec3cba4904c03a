//! Derivatives as they are printed: against a file of them, and against numbers for random formulas.

use crate::{answer, json, run};
use proptest::prelude::*;
use std::path::Path;

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/derivatives.txt")
}

fn derivative(formula: &str, variable: &str) -> String {
    let text = answer(&["diff", formula, "--wrt", variable]);
    text.lines().next().unwrap_or("").to_string()
}

#[test]
fn derivatives_are_those_of_the_file() {
    let written = std::fs::read_to_string(file()).expect("the file of derivatives");
    let mut text = String::new();
    let mut count = 0;
    for line in written.lines() {
        match line.split('|').map(str::trim).collect::<Vec<&str>>().as_slice() {
            [formula, variable, _] if !line.starts_with('#') => {
                count += 1;
                text += &format!("{formula} | {variable} | {}\n", derivative(formula, variable));
            }
            _ => text += &format!("{line}\n"),
        }
    }
    assert!(count >= 40, "{count} rows");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file(), &text).expect("the file can be written");
    }
    let written = std::fs::read_to_string(file()).expect("the file of derivatives");
    let pairs = written.lines().zip(text.lines()).filter(|(a, b)| a != b);
    let wrong: Vec<String> = pairs
        .map(|(a, b)| {
            format!(
                "expected {a}
got      {b}"
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{}
BLESS=1 writes the file anew",
        wrong.join(
            "
"
        )
    );
    assert_eq!(written.lines().count(), text.lines().count());
}

#[test]
fn higher_orders_and_several_variables() {
    let cases = [
        ("x^4", "1", "4*x^3"),
        ("x^4", "2", "12*x^2"),
        ("x^4", "4", "24"),
        ("x^4", "5", "0"),
        ("sin(x)", "2", "-sin(x)"),
        ("exp(2*x)", "3", "8*exp(2*x)"),
        ("1/x", "3", "-6/x^4"),
        ("log(x)", "2", "-1/x^2"),
        ("x*exp(x)", "2", "2*exp(x) + x*exp(x)"),
    ];
    for (formula, order, expected) in cases {
        let text = answer(&["diff", formula, "--wrt", "x", "--order", order]);
        assert_eq!(text, format!("{expected}\n"), "{formula}, order {order}");
    }
    let text = answer(&["diff", "x^2*y", "--wrt", "x,y"]);
    assert_eq!(text, "d/dx: 2*x*y\nd/dy: x^2\n");
}

#[test]
fn gradients_of_vectors_and_matrices() {
    let cases = [
        ("sum(w*x)", "w", "w=[1,2],x=[3,4]", "x"),
        ("sum((w*x - y)^2)", "x", "w=2,x=[1,2],y=[3,4]", "2*w*(w*x - y)"),
        ("sum((w*x - y)^2)", "w", "w=2,x=[1,2],y=[3,4]", "2*sum(x*(w*x - y))"),
        ("sum(x)", "x", "x=[1,2,3]", "1"),
        ("mean(x)", "x", "x=[1,2,3]", "1/3"),
        ("log(sum(exp(x)))", "x", "x=[1,2]", "softmax(x)"),
        ("-sum(t*log(softmax(z)))", "z", "z=[1,2],t=[0,1]", "softmax(z)*sum(t) - t"),
        ("sum(x @ w)", "x", "x=[[1,2],[3,4]],w=[1,2]", "w"),
        (
            "sum((x @ w - y)^2)/2",
            "w",
            "x=[[1,2],[3,4],[5,6]],w=[1,2],y=[1,0,1]",
            "transpose(x) @ (x @ w - y)",
        ),
    ];
    for (formula, variable, set, expected) in cases {
        let result = json(&["diff", formula, "--wrt", variable, "--set", set]);
        assert_eq!(result["derivative"][variable], expected, "{formula}");
        // What is printed has the value that is printed, spread over the variable.
        let spread = format!("{expected} + 0*{variable}");
        let value = json(&["eval", &spread, "--set", set]);
        let flat = |v: &serde_json::Value| -> Vec<f64> {
            let text = v.to_string().replace(['[', ']'], "");
            text.split(',').map(|n| n.parse().expect("a number")).collect()
        };
        let (got, printed) = (flat(&result["value"][variable]), flat(&value["value"]));
        assert_eq!(got.len(), printed.len(), "{formula}");
        for (a, b) in got.iter().zip(printed) {
            assert!((a - b).abs() < 1e-12 * (1.0 + a.abs()), "{formula}: {a} and {b}");
        }
    }
}

/// A formula of `x` and `y` as text, in parentheses where that matters.
pub(crate) fn formula() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => Just("x".to_string()),
        2 => Just("y".to_string()),
        2 => (1..6i32).prop_map(|n| n.to_string()),
        1 => prop_oneof![Just("0.5"), Just("0.1"), Just("pi"), Just("1.25")].prop_map(str::to_string),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let functions = prop_oneof![
            Just("sin"), Just("cos"), Just("exp"), Just("tanh"), Just("sigmoid"), Just("softplus"),
            Just("sqrt"), Just("log"), Just("relu"), Just("abs"), Just("erf"), Just("log1p"),
        ];
        let pairs = prop_oneof![3 => Just("+"), 3 => Just("-"), 4 => Just("*"), 2 => Just("/")];
        prop_oneof![
            4 => (inner.clone(), pairs, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            3 => (functions, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            2 => (inner.clone(), -2..4i32).prop_map(|(a, n)| format!("({a})^({n})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("where({a} > {b}, {a}, {b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("maximum({a}, {b})")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("abs({a})^({b})")),
        ]
    })
}

/// The value of `formula` at a point; `None` where it is none or too large to compare.
fn value(formula: &str, x: f64, y: f64) -> Option<f64> {
    let set = format!("x={x},y={y}");
    let output =
        run(&["eval", formula, "--set", &set, "--engine", "interp", "--no-rewrite", "--json"]);
    assert_eq!(output.code, 0, "{formula}: {}", output.stderr);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    result["value"].as_f64().filter(|v| v.abs() < 1e6)
}

/// The slope of `formula` in `x` by differences of several widths; `None` where these do not agree.
fn slope(formula: &str, x: f64, y: f64) -> Option<f64> {
    let by = |eps: f64| {
        let (above, below) = (value(formula, x + eps, y)?, value(formula, x - eps, y)?);
        Some((above - below) / (2.0 * eps))
    };
    let (wide, narrow, other) = (by(2e-4)?, by(1e-4)?, by(3e-5)?);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-5 * (1.0 + a.abs());
    (near(wide, narrow) && near(narrow, other)).then_some(narrow)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_printed_is_read_back_and_is_the_derivative(
        formula in formula(), x in 0.2f64..1.9, y in 0.3f64..1.7
    ) {
        let output = run(&["diff", &formula, "--wrt", "x"]);
        prop_assert_eq!(output.code, 0, "{}: {}", formula, output.stderr);
        let printed = output.stdout.lines().next().unwrap_or("").to_string();
        if let Some(expected) = slope(&formula, x, y)
            && printed != "graph 2"
            && let Some(got) = value(&printed, x, y)
        {
            let near = (got - expected).abs() < 1e-4 * (1.0 + expected.abs());
            prop_assert!(near, "d/dx {} = {}: {} and {} at {}, {}", formula, printed, got, expected, x, y);
        }
        // What is shortest is no longer when it is simplified once more.
        if printed != "graph 2" {
            let again = answer(&["simplify", &printed]);
            let longer = again.trim_end().len() > printed.len() + 4;
            prop_assert!(!longer, "{} became {}", printed, again);
        }
    }

    #[test]
    fn what_is_simplified_keeps_its_value(formula in formula(), x in 0.2f64..1.9, y in 0.3f64..1.7) {
        let output = run(&["simplify", &formula]);
        prop_assert_eq!(output.code, 0, "{}: {}", formula, output.stderr);
        let printed = output.stdout.trim_end();
        if printed.starts_with("graph 2") {
            return Ok(());
        }
        if let (Some(a), Some(b)) = (value(&formula, x, y), value(printed, x, y)) {
            prop_assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{} = {}: {} and {}", formula, printed, a, b);
        }
    }
}
