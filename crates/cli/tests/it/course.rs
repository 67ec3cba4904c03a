//! Worked numbers of a course on neural networks: derivatives, finite differences, backpropagation by hand.

use crate::{answer, json};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Derivative, value and finite difference by `w`.
fn check_diff(formula: &str, at: &str, derivative: &str, value: f64, difference: f64) {
    let result = json(&["diff", formula, "--wrt", "w", "--set", at]);
    assert_eq!(result["derivative"]["w"], derivative, "{formula}");
    assert_eq!(number(&result["value"]["w"]), value, "{formula}");
    let got = number(&result["finite_difference"]["w"]);
    assert!((got - difference).abs() < 1e-9, "{formula}: {got} and {difference}");
}

#[test]
fn derivatives_and_their_differences() {
    check_diff("w^3", "w=2", "3*w^2", 12.0, 12.006001);
    check_diff("w**3", "w=2", "3*w^2", 12.0, 12.006001);
    check_diff("w^2", "w=3", "2*w", 6.0, 6.001);
    check_diff("w^2", "w=2", "2*w", 4.0, 4.001);
    check_diff("w^2", "w=-3", "2*w", -6.0, -5.999);
    check_diff("w", "w=2", "1", 1.0, 1.0);
    check_diff("1/w", "w=2", "-1/w^2", -0.25, (1.0 / 2.001 - 0.5) / 0.001);
}

#[test]
fn the_object_has_the_keys_that_were_promised() {
    let output = crate::run(&["diff", "w^3", "--wrt", "w", "--at", "w=2", "--json"]);
    let expected = "{\"derivative\":{\"w\":\"3*w^2\"},\"value\":{\"w\":12.0},\
                    \"finite_difference\":{\"w\":12.006001},\"eps\":0.001,\"scheme\":\"forward\"}\n";
    assert_eq!(output.stdout, expected);
}

/// The value and the derivative of every node.
fn check_steps(program: &str, wrt: &str, at: &str, expected: &[(&str, f64, f64)]) {
    let result = json(&["diff", program, "--wrt", wrt, "--set", at, "--steps"]);
    let steps = result["steps"].as_array().expect("steps");
    for (name, forward, backward) in expected {
        let step = steps.iter().find(|s| s["name"] == *name);
        let step = step.unwrap_or_else(|| panic!("{program} has no step {name}"));
        let got = (number(&step["forward"]), number(&step["backward"]));
        assert_eq!(got, (*forward, *backward), "{name} of {program}");
    }
}

#[test]
fn backpropagation_through_a_small_graph() {
    let steps = [
        ("w", 2.0, -4.0),
        ("b", 8.0, 2.0),
        ("c", -4.0, 2.0),
        ("a", 4.0, 2.0),
        ("d", 2.0, 2.0),
        ("J", 2.0, 1.0),
    ];
    let program = "c = w*x; a = c + b; d = a - y; J = d^2/2";
    check_steps(program, "w,b", "w=2,x=-2,b=8,y=2", &steps);
}

#[test]
fn backpropagation_through_two_layers() {
    let program = "t1 = w1*x; z1 = t1 + b1; a1 = relu(z1)
        t2 = w2*a1; z2 = t2 + b2; a2 = relu(z2)
        J = (a2 - y)^2/2";
    let at = "x=1,y=5,w1=2,b1=0,w2=3,b2=1";
    let steps = [
        ("J", 2.0, 1.0),
        ("a2", 7.0, 2.0),
        ("z2", 7.0, 2.0),
        ("t2", 6.0, 2.0),
        ("b2", 1.0, 2.0),
        ("w2", 3.0, 4.0),
        ("a1", 2.0, 6.0),
        ("z1", 2.0, 6.0),
        ("t1", 2.0, 6.0),
        ("b1", 0.0, 6.0),
        ("w1", 2.0, 6.0),
    ];
    check_steps(program, "w1", at, &steps);
    let bumped = "x=1,y=5,w1=2.001,b1=0,w2=3,b2=1";
    let value = json(&["eval", program, "--set", bumped]);
    assert!((number(&value["value"]) - 2.0060045).abs() < 1e-9);
}

#[test]
fn derivatives_by_steps_are_derivatives_too() {
    let program = "c = w*x; a = c + b; d = a - y; J = d^2/2";
    let result = json(&["diff", program, "--wrt", "d,a,c", "--set", "w=2,x=-2,b=8,y=2"]);
    assert_eq!(result["derivative"]["d"], "d");
    assert_eq!(result["derivative"]["a"], "a - y");
    for step in ["d", "a", "c"] {
        assert_eq!(number(&result["value"][step]), 2.0, "{step}");
    }
}

#[test]
fn a_step_by_step_table() {
    let text = answer(&[
        "diff",
        "c = w*x; a = c + b; d = a - y; J = d^2/2",
        "--wrt",
        "w",
        "--set",
        "w=2,x=-2,b=8,y=2",
        "--steps",
    ]);
    for line in [
        "x*(w*x + b - y)",
        "c = w*x = -4    da/dc = 1          dJ/dc = dJ/da * da/dc = 2 * 1 = 2",
        "d = a - y = 2   dJ/dd = d          dJ/dd = d = 2",
        "w = 2           dc/dw = x          dJ/dw = dJ/dc * dc/dw = 2 * (-2) = -4",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn products_of_matrices() {
    let value = |formula: &str, set: &str| json(&["eval", formula, "--set", set])["value"].clone();
    assert_eq!(value("a @ w", "a=[1,2],w=[3,4]"), 11.0);
    let rows = "A=[[1,-1],[2,-2]],W=[[3,5],[4,6]]";
    assert_eq!(value("transpose(A) @ W", rows).to_string(), "[[11.0,17.0],[-11.0,-17.0]]");
    let layer = "a=[-2,4],W=[[1,-3,5],[2,4,-6]],b=[-1,1,2]";
    assert_eq!(value("a @ W + b", layer).to_string(), "[5.0,23.0,-32.0]");
}

#[test]
fn saturated_functions_and_losses_stay_finite() {
    let result = json(&["eval", "sigmoid(z)", "--set", "z=[165,-531,900]"]);
    let list: Vec<f64> = result["value"].as_array().unwrap().iter().map(number).collect();
    assert_eq!((list[0], list[2]), (1.0, 1.0));
    assert!((list[1] / 2.4526191187752155e-231 - 1.0).abs() < 1e-12);
    let loss = "-y*log(sigmoid(z)) - (1 - y)*log(1 - sigmoid(z))";
    for (z, y, value, slope) in [
        ("-50", "1", 50.0, -1.0),
        ("1000", "0", 1000.0, 1.0),
        ("-1000", "1", 1000.0, -1.0),
        ("0", "1", std::f64::consts::LN_2, -0.5),
    ] {
        let set = format!("z={z},y={y}");
        let result = json(&["eval", loss, "--set", &set, "--grad", "z"]);
        assert!((number(&result["value"]) - value).abs() < 1e-9 * value, "{set}");
        assert!((number(&result["gradient"]["z"]) - slope).abs() < 1e-12, "{set}");
    }
    let derivative = json(&["diff", loss, "--wrt", "z"]);
    assert_eq!(derivative["derivative"]["z"], "sigmoid(z) - y");
}

#[test]
fn rounding_stays_where_every_bit_is_to_be_kept() {
    let (first, second) = ("2/10000", "(1 + 1/10000) - (1 - 1/10000)");
    let strict = |formula: &str, dtype: &str| {
        let arguments = ["eval", formula, "--semantics", "strict", "--dtype", dtype];
        for engine in ["interp", "jit"] {
            let result = json(&[&arguments[..], &["--engine", engine]].concat());
            let expected = json(&arguments);
            assert_eq!(result, expected, "{engine}");
        }
        number(&json(&arguments)["value"])
    };
    assert_eq!(strict(first, "f64"), 0.0002);
    assert_eq!(strict(second, "f64"), 0.00019999999999997797);
    assert_eq!(strict(first, "f32"), 0.00019999999494757503);
    assert_eq!(strict(second, "f32"), 0.00020003318786621094);
}

#[test]
fn pictures_show_every_value() {
    let program = "c = w*x; a = c + b; d = a - y; J = d^2/2";
    let arguments = ["picture", program, "--set", "w=2,x=-2,b=8,y=2"];
    let svg = answer(&arguments);
    for (class, value) in
        [("forward", "-4"), ("forward", "4"), ("backward", "-4"), ("backward", "1")]
    {
        let shown = svg.lines().any(|l| {
            l.starts_with(&format!("<text class=\"{class}\"")) && l.contains(&format!(">{value}<"))
        });
        assert!(shown, "{class} {value}\n{svg}");
    }
    assert!(svg.contains(">J = d^2/2<"), "{svg}");
    let folder = std::env::temp_dir().join(format!("eggrad-picture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for ending in ["svg", "dot"] {
        let file = folder.join(format!("graph.{ending}"));
        let path = file.to_str().expect("a path");
        answer(&[&arguments[..], &["--out", path]].concat());
        let text = std::fs::read_to_string(&file).expect("a picture");
        assert!(text.contains("J = d^2/2"), "{text}");
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
