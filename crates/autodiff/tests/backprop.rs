//! Two classroom examples of backpropagation, with the derivative at every intermediate value.

mod common;

use common::resolved;
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::Graph;

/// Runs `body` with scalar leaves `values`, then checks `forward` by name and the derivative of `%j` at each value.
fn check(
    values: &[(&str, f64)],
    body: &[(&str, &str)],
    j: &str,
    forward: &[(&str, f64)],
    backward: &[(&str, f64)],
) {
    let mut text = String::from("graph 2\n");
    values.iter().for_each(|(name, _)| text.push_str(&format!("in {name}: f64[]\n")));
    body.iter().for_each(|(name, op)| text.push_str(&format!("%{name} = {op}\n")));
    let reference = |name: &str| match values.iter().any(|v| v.0 == name) {
        true => name.to_string(),
        false => format!("%{name}"),
    };
    for (name, _) in backward {
        text.push_str(&format!("%d{name} = grad(%{j}, {})\n", reference(name)));
    }
    forward.iter().for_each(|(name, _)| text.push_str(&format!("out {name} = %{name}\n")));
    backward.iter().for_each(|(name, _)| text.push_str(&format!("out d{name} = %d{name}\n")));
    let graph: Graph = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let graph = resolved(graph);
    let inputs: Vec<Tensor> =
        values.iter().map(|v| Tensor::scalar(eggrad_ir::DType::F64, v.1)).collect();
    let outputs = run(&graph, &inputs, &[], Precision::AsWritten).unwrap().outputs;
    for (output, (decl, expected)) in
        outputs.iter().zip(graph.outputs().iter().zip(forward.iter().chain(backward)))
    {
        let error = (output.item() - expected.1).abs();
        assert!(error < 1e-12, "{} is {}, not {}", decl.name, output.item(), expected.1);
    }
}

#[test]
fn one_neuron_with_squared_error() {
    check(
        &[("x", -2.0), ("y", 2.0), ("w", 2.0), ("b", 8.0)],
        &[
            ("c", "mul(w, x)"),
            ("a", "add(%c, b)"),
            ("d", "sub(%a, y)"),
            ("two", "const(type=f64, value=2)"),
            ("square", "square(%d)"),
            ("J", "div(%square, %two)"),
        ],
        "J",
        &[("c", -4.0), ("a", 4.0), ("d", 2.0), ("J", 2.0)],
        &[("d", 2.0), ("a", 2.0), ("c", 2.0), ("b", 2.0), ("w", -4.0)],
    );
}

const TWO_LAYERS: &[(&str, &str)] = &[
    ("t1", "mul(w1, x)"),
    ("z1", "add(%t1, b1)"),
    ("a1", "relu(%z1)"),
    ("t2", "mul(w2, %a1)"),
    ("z2", "add(%t2, b2)"),
    ("a2", "relu(%z2)"),
    ("two", "const(type=f64, value=2)"),
    ("e", "sub(%a2, y)"),
    ("square", "square(%e)"),
    ("J", "div(%square, %two)"),
];

#[test]
fn two_layers_with_relu() {
    let values = |w1| [("x", 1.0), ("y", 5.0), ("w1", w1), ("b1", 0.0), ("w2", 3.0), ("b2", 1.0)];
    check(
        &values(2.0),
        TWO_LAYERS,
        "J",
        &[("t1", 2.0), ("z1", 2.0), ("a1", 2.0), ("t2", 6.0), ("z2", 7.0), ("a2", 7.0), ("J", 2.0)],
        &[
            ("a2", 2.0),
            ("z2", 2.0),
            ("b2", 2.0),
            ("t2", 2.0),
            ("w2", 4.0),
            ("a1", 6.0),
            ("z1", 6.0),
            ("b1", 6.0),
            ("t1", 6.0),
            ("w1", 6.0),
        ],
    );
    // A bump of `w1` by 0.001 moves `J` by about six times as much.
    let bumped = [("a1", 2.001), ("a2", 7.003), ("J", 2.0060045)];
    check(&values(2.001), TWO_LAYERS, "J", &bumped, &[]);
}
