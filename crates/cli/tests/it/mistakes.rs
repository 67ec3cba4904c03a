//! What a user is told, and that nothing a user can write makes the command panic.

use crate::{run, run_on};
use proptest::prelude::*;

/// Exit code, and parts of the text of an error.
fn check(arguments: &[&str], code: u8, parts: &[&str]) {
    let output = run(arguments);
    assert_eq!(output.code, code, "{arguments:?}: {}{}", output.stdout, output.stderr);
    for part in parts {
        assert!(output.stderr.contains(part), "{arguments:?} lacks {part:?}:\n{}", output.stderr);
    }
}

#[test]
fn mistakes_in_formulas_show_the_place_and_a_way_out() {
    let sen = "error: the expression knows no op or function called `sen`\n  \
               at line 1, column 5\n    \
               w + sen(w)\n        \
               ^\n\
               help: is `sin` meant?\n";
    assert_eq!(run(&["diff", "w + sen(w)", "--wrt", "w"]).stderr, sen);
    check(&["diff", "", "--wrt", "w"], 1, &["the expression is empty", "help:"]);
    check(&["diff", "w +", "--wrt", "w"], 1, &["needs a value here", "column 4", "^"]);
    check(&["diff", "(w", "--wrt", "w"], 1, &["needs `)` here"]);
    check(&["diff", "w 2", "--wrt", "w"], 1, &["goes on with `2`"]);
    check(&["diff", "1e999*w", "--wrt", "w"], 1, &["too large for a float"]);
    check(&["diff", &"(".repeat(5000), "--wrt", "w"], 1, &["nests more than 200 deep"]);
    check(&["diff", &"-".repeat(15_000), "--wrt", "w"], 1, &["nests more than 200 deep"]);
    check(&["diff", &"w+".repeat(15_000), "--wrt", "w"], 1, &["more than 20000 characters"]);
    check(&["diff", "w < 1 < 2", "--wrt", "w"], 1, &["chains comparisons"]);
    check(&["diff", "w > 1", "--wrt", "w"], 1, &["is a bool and has no derivative"]);
    check(&["diff", "softmax(w, axis=3)", "--wrt", "w"], 1, &["softmax", "help:"]);
}

#[test]
fn mistakes_in_values_name_the_variable() {
    check(&["eval", "w*x", "--set", "w=2"], 1, &["`x` has no value", "--set 'x=2'"]);
    check(&["diff", "w*x", "--wrt", "w", "--set", "w=2"], 1, &["`x` has no value"]);
    check(&["eval", "w", "--set", "w"], 1, &["has no `=`", "--set w=2"]);
    check(&["eval", "w", "--set", "w=two"], 1, &["is no number"]);
    check(&["eval", "w", "--set", "w=1e400"], 1, &["larger than a float can be"]);
    check(&["eval", "w", "--set", "w=nowhere.npy"], 1, &["nowhere.npy"]);
    check(&["eval", "a + b", "--set", "a=[1,2],b=[1,2,3]"], 1, &["f64[2]", "f64[3]"]);
    check(
        &["eval", "w^2", "--set", "w=2,W=3"],
        0,
        &["note: `--set W` is not used", "is `w` meant?"],
    );
    check(&["diff", "w^2", "--wrt", "v"], 0, &["the formula has no `v`, so its derivative is 0"]);
    check(&["diff", "w^2", "--wrt", "W"], 0, &["is `w` meant?"]);
    check(&["diff", "w^2", "--wrt", "2"], 1, &["is no name"]);
    check(
        &["diff", "sum(one_hot(w, type=f64, classes=3))", "--wrt", "w", "--set", "w:i32=[2]"],
        1,
        &["derivatives are by floats"],
    );
    check(&["eval", "w^2", "--grad", "v", "--set", "w=1"], 1, &["no such variable"]);
    check(
        &["diff", "sum(x^2)", "--wrt", "x", "--set", "x=[1,2]", "--steps"],
        1,
        &["single numbers"],
    );
    check(&["picture", "w^2"], 1, &["`w` has no value"]);
    check(&["picture", "w^2", "--set", "w=1", "--out", "a.png"], 1, &["something.svg"]);
    check(
        &["picture", "w^2", "--set", "w=1", "--out", "no/such/folder/a.svg"],
        1,
        &["cannot write"],
    );
}

#[test]
fn mistakes_in_files_are_all_told() {
    check(&["check", "nowhere.txt"], 1, &["cannot read nowhere.txt"]);
    check(&["print", "nowhere.txt"], 1, &["cannot read nowhere.txt"]);
    let text = "graph 2\nin x: f32[2]\nout a = y\nout b = sen(x)\n";
    let output = run_on(&["check", "-", "--json"], text);
    assert_eq!(output.code, 1);
    let result: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(result["ok"], false);
    let places: Vec<_> =
        result["errors"].as_array().unwrap().iter().map(|e| e["line"].clone()).collect();
    assert_eq!(places, [3, 4]);
    assert!(output.stderr.contains("    out b = sen(x)\n            ^\n"), "{}", output.stderr);
    let output = run_on(&["check", "-"], "graph 2\nin x: f32[2]\nout y = x * 2\n");
    assert_eq!(output.stdout, "no mistakes: 1 input, 0 states, 1 output, 4 nodes\n");
    let output = run_on(&["diff", "-", "--wrt", "x"], "graph 2\nin x: f32[]\nout y = x * 2\n");
    assert!(output.stderr.contains("takes a formula"), "{}", output.stderr);
}

#[test]
fn wrong_calls_are_no_mistakes_in_formulas() {
    check(&["diff", "w"], 2, &["--wrt"]);
    check(&["derive", "w"], 2, &["unrecognized subcommand"]);
    check(&["diff", "w", "--wrt", "w", "--order", "0"], 2, &["--order"]);
    check(&["eval", "w", "--engine", "gpu"], 2, &["jit", "interp"]);
    check(&[], 2, &["Usage: eggrad"]);
    let error = run(&["diff", "w +", "--wrt", "w", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&error.stdout).expect("JSON");
    assert_eq!((error.code, &result["errors"][0]["column"]), (1, &serde_json::json!(4)));
}

#[test]
fn graphs_of_files_are_evaluated() {
    let text = "graph 2\nin x: f32[2]\nparam w: f32[2]\nout loss = sum((x * w)^2)\nout z = x + 1\n\
                write w = w - 0.1\n";
    let guarded = format!("{text}guard sum((x * w)^2)\n");
    let output =
        run_on(&["eval", "-", "--set", "x=[1,2],w=[3,0.5]", "--grad", "w", "--json"], &guarded);
    assert_eq!(output.stderr, "");
    let expected = "{\"outputs\":{\"loss\":10.0,\"z\":[2.0,3.0]},\"gradient\":{\"w\":[6.0,4.0]}}\n";
    assert_eq!(output.stdout, expected);
    let output = run_on(&["eval", "-", "--set", "x=[1,2],w=[3,0.5]", "--grad", "w"], text);
    assert!(output.stderr.contains("needs one output"), "{}", output.stderr);
    let output = run_on(&["eval", "-", "--set", "x=[1,2,3],w=[3,0.5]"], text);
    assert!(output.stderr.contains("`x` is declared f32[2]"), "{}", output.stderr);
    let output = run_on(&["explain", "-"], "graph 2\nin z: f32[]\nout y = log(1 + exp(z))\n");
    assert!(output.stdout.contains("y as computed  softplus(z)"), "{}", output.stdout);
    let output = run_on(&["dot", "-", "--optimized"], text);
    assert!(output.stdout.starts_with("digraph"), "{}", output.stdout);
}

/// Words that formulas are made of, and some that they are not.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "x",
        "y",
        "w",
        "J",
        "e",
        "pi",
        "1",
        "2",
        "0",
        "0.5",
        "1e308",
        "1e-320",
        "+",
        "-",
        "*",
        "/",
        "^",
        "**",
        "@",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        "\n",
        "=",
        "==",
        "<",
        ">",
        "|",
        "sin(",
        "exp(",
        "log(",
        "sum(",
        "where(",
        "softmax(",
        "grad(",
        "relu(",
        "pow(",
        "maximum(",
        "mean(",
        "axis=0",
        "%",
        "`",
        "#",
        "inf",
        "nan",
        "true",
        "not",
        "and",
        "c =",
        "a.b",
        "é",
        "\u{0}",
        "-",
        ".txt",
        "scan(",
        "data(",
        "type=f32[2]",
        "i32",
        "size(",
        "random(",
        "one_hot(",
        "x",
        "y",
        "broadcast(",
        "shape=[3]",
    ]);
    prop::collection::vec((word, prop::bool::ANY), 0..14).prop_map(|words| {
        let spaced =
            |(word, blank): (&str, bool)| format!("{word}{}", if blank { " " } else { "" });
        words.into_iter().map(spaced).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_panics_near_right_formulas(
        formula in crate::derivatives::formula(), place in 0..60usize, word in words(), cut in 0..4usize
    ) {
        let mut text: Vec<char> = formula.chars().collect();
        let place = place.min(text.len());
        let end = (place + cut).min(text.len());
        text.splice(place..end, word.chars().take(5));
        let text: String = text.into_iter().collect();
        let output = run(&["diff", &text, "--wrt", "x", "--set", "x=2,y=3,w=1", "--steps"]);
        prop_assert!(output.code <= 2);
        prop_assert_eq!(output.code != 0, output.stderr.contains("error"), "{}", output.stderr);
    }

    #[test]
    fn nothing_panics(formula in words(), set in words(), which in 0..9usize, json in prop::bool::ANY) {
        let known = "x=2,y=[1,2],w=-0.5";
        let set = if set.len() % 2 == 0 { known } else { set.as_str() };
        let command: &[&str] = match which {
            0 => &["diff", &formula, "--wrt", "x", "--set", set],
            1 => &["diff", &formula, "--wrt", "x,c", "--steps", "--set", "x=2,y=3,w=1"],
            2 => &["diff", &formula, "--wrt", "x", "--order", "2"],
            3 => &["eval", &formula, "--set", set, "--grad", "x"],
            4 => &["simplify", &formula],
            5 => &["print", &formula],
            6 => &["picture", &formula, "--set", "x=2,y=3,w=1"],
            7 => &["explain", &formula],
            _ => &["dot", &formula, "--optimized"],
        };
        let more: &[&str] = if json { &["--json"] } else { &[] };
        let output = run_on(&[command, more].concat(), "x*2");
        prop_assert!(output.code <= 2);
        prop_assert_eq!(output.code != 0, output.stderr.contains("error"), "{}", output.stderr);
        if json && output.code < 2 {
            let parsed = serde_json::from_str::<serde_json::Value>(&output.stdout);
            prop_assert!(parsed.is_ok(), "{}", output.stdout);
        }
    }
}
