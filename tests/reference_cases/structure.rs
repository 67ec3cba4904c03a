//! Worked numbers of the course that are about shapes, counts, and what graphs become.

use crate::course::{Case, run};
use crate::engine::{Engine, Named, Way};
use crate::json::{count as number_of, nested};
use eggrad::prelude::*;
use serde_json::{Value, json};

/// The derivative of a formula: that of the course in other words, and its value.
pub(crate) fn symbolic(case: &Case, way: Way) -> Result<Value, String> {
    let text = case.inputs.get("expr").and_then(Value::as_str).ok_or("no text `expr`")?;
    let printed = case.exact()["derivative"].as_str().ok_or("no text `derivative`")?;
    let g = Graph::with_floats(DType::F64);
    let w = g.input("w", Vec::<usize>::new());
    g.output("derivative", g.expression(text, &[("w", w)]).grad(w));
    g.output("printed", g.expression(printed, &[("w", w)]));
    let written = g.build().map_err(|e| e.to_string())?.graph;
    let lowered = eggrad::lower(&written, &Options::default()).map_err(|e| e.to_string())?;
    // Rewriting knows that they are equal: one node computes both.
    if lowered.outputs()[0].node != lowered.outputs()[1].node {
        return Err(format!("the derivative of `{text}` is not `{printed}` in\n{lowered}"));
    }
    let inputs: Named = [("w".to_string(), nested(&case.inputs["w"])?)].into();
    let mut result = run(way, &inputs, &|g| {
        let w = g.input("w", Vec::<usize>::new());
        let j = g.expression(text, &[("w", w)]);
        g.output("J", j);
        g.output("at", j.grad(w));
        Ok(())
    })?;
    let at = result["at"].clone();
    result[format!("at_{}", case.inputs["w"])] = at;
    result["derivative"] = json!(printed);
    Ok(result)
}

/// Two linear units with weights that do not change are one: slope, intercept and value.
pub(crate) fn linear_collapse(case: &Case, way: Way) -> Result<Value, String> {
    let inputs = case.arrays()?;
    let write = |g: &Graph| -> Result<(), String> {
        g.freeze();
        let x = g.input("x", Vec::<usize>::new());
        let mut a = x;
        for (w, b) in [("w1", "b1"), ("w2", "b2")] {
            let [w, b] = [w, b].map(|name| {
                let values = inputs.get(name).map(|a| a.data.clone()).unwrap_or_default();
                g.param(name, Vec::<usize>::new(), Init::Values(values))
            });
            a = a * w + b;
        }
        g.output("a2", a);
        g.output("w", a.grad(x));
        g.output("b", a - a.grad(x) * x);
        Ok(())
    };
    let found = run(way, &inputs, &write)?;
    // What depends on the input is one product and one sum.
    let g = Graph::with_floats(DType::F64);
    write(&g)?;
    let written = g.build().map_err(|e| e.to_string())?.graph;
    let lowered = eggrad::lower(&written, &Options::default()).map_err(|e| e.to_string())?;
    let mut depends = vec![false; lowered.nodes().len()];
    for id in lowered.ids() {
        let node = lowered.node(id);
        let leaf = matches!(node.op, eggrad::ir::Op::Input(_));
        depends[id.index()] = leaf || node.inputs.iter().any(|i| depends[i.index()]);
    }
    let steps = depends.iter().filter(|d| **d).count() - 1;
    match steps <= 2 {
        true => Ok(found),
        false => Err(format!("{steps} ops depend on the input in\n{lowered}")),
    }
}

/// Two ways to 2/10000. Under the default semantics the good one stays as exact as it is.
pub(crate) fn round_off(way: Way) -> Result<Value, String> {
    let options = |dtype, semantics| {
        run(Way { dtype, semantics, ..way }, &Named::new(), &|g| {
            let part = g.constant(1.0) / g.constant(10000.0);
            g.output("option1", g.constant(2.0) / g.constant(10000.0));
            g.output("option2", (1.0 + part) - (1.0 - part));
            Ok(())
        })
    };
    let strict = |dtype| options(dtype, Semantics::Strict);
    let (f64s, f32s) = (strict(DType::F64)?, strict(DType::F32)?);
    for (dtype, strict) in [(DType::F64, &f64s), (DType::F32, &f32s)] {
        let real = options(dtype, Semantics::Real)?;
        if real["option1"] != strict["option1"] {
            return Err(format!("2/10000 became {real} in {}", dtype.name()));
        }
    }
    Ok(json!({
        "option1": f64s["option1"],
        "f64_option1": f64s["option1"],
        "f64_option2": f64s["option2"],
        "f32_option1": f32s["option1"],
        "f32_option2": f32s["option2"],
    }))
}

/// Sizes of a value.
fn shape_of(x: Tensor<'_>) -> Result<Vec<usize>, String> {
    x.graph().build().map_err(|e| e.to_string())?;
    let ty = x.ty().ok_or("a tensor that is an error")?;
    Ok(ty.shape.dims().to_vec())
}

/// Shapes of what the case describes.
pub(crate) fn shape(case: &Case) -> Result<Value, String> {
    let g = Graph::new();
    match case.id.as_str() {
        "hidden_to_output" => {
            let a1 = g.input("a1", [1, 3]);
            let a2 = dense("output", a1, 1).sigmoid();
            Ok(json!({"shapes": {"a1": shape_of(a1)?, "a2": shape_of(a2)?}}))
        }
        "shapes" => {
            let written = [
                json!([[1, 2, 3], [4, 5, 6]]),
                json!([[0.1, 0.2], [-3.0, -4.0], [-0.5, -0.6], [7.0, 8.0]]),
                json!([[200, 17]]),
                json!([[200], [17]]),
                json!([200, 17]),
            ];
            let mut shapes = vec![];
            for (i, value) in written.iter().enumerate() {
                let array = nested(value)?;
                let init = Init::Values(array.data);
                shapes.push(shape_of(g.param(&format!("x{i}"), array.shape, init))?);
            }
            Ok(json!({"shapes": shapes}))
        }
        id if id.starts_with("ecg_windows_") => {
            let [n, k, s] = ["n", "k", "s"].map(|name| number_of(&case.inputs[name]));
            let (n, k, s) = (n?, k?, s?);
            let weight = g.param("w", [k, 1, 1], Init::Zeros);
            let units = g.input("x", [1, n, 1]).conv1d(weight, Sliding::default().stride([s]));
            Ok(json!(shape_of(units)?[1]))
        }
        id => Err(format!("no shapes are called `{id}`")),
    }
}

/// Parameters of the graph.
fn parameters(g: &Graph) -> Result<usize, String> {
    let states = g.build().map_err(|e| e.to_string())?.graph;
    let params = states.states().iter().filter(|s| s.kind == StateKind::Param);
    Ok(params.map(|s| s.ty.shape.elements()).sum())
}

/// Numbers of parameters and of optimizer memory.
pub(crate) fn count(case: &Case) -> Result<Value, String> {
    let g = Graph::new();
    match case.id.as_str() {
        "ecg_params" => {
            let mut x = g.input("x", [1, 100, 1]);
            for (name, size, stride) in [("conv1", 20, 10), ("conv2", 5, 2)] {
                let weight = g.param(&format!("{name}.weight"), [size, 1, 1], Init::HeNormal);
                let bias = g.param(&format!("{name}.bias"), [1], Init::Zeros);
                x = (x.conv1d(weight, Sliding::default().stride([stride])) + bias).relu();
            }
            let steps = shape_of(x)?[1];
            dense("output", x.reshape([1, steps]), 1);
            Ok(json!(parameters(&g)?))
        }
        "face_vector" => {
            let shape = case.counts("shape")?;
            let image = g.input("image", shape.clone());
            let vector = image.reshape([shape.iter().product::<usize>()]);
            Ok(json!(shape_of(vector)?[0]))
        }
        "adam_count" => {
            let [weights, bias] = ["weights", "bias"].map(|name| number_of(&case.inputs[name]));
            let (weights, bias) = (weights?, bias?);
            let weight = g.param("weight", [weights, bias], Init::HeNormal);
            let bias = g.param("bias", [bias], Init::Zeros);
            let loss = (g.input("x", [1, weights]).matmul(weight) + bias).square().mean();
            Adam::new(1e-3).minimize(loss);
            let built = g.build().map_err(|e| e.to_string())?.graph;
            let held = |prefix: &str| {
                let slots = built.states().iter().filter(|s| s.name.starts_with(prefix));
                slots.map(|s| s.ty.shape.elements()).sum::<usize>()
            };
            let all = (held("adam.m."), held("adam.v."), held("adam.step"));
            match all == (parameters(&g)?, parameters(&g)?, 1) {
                true => Ok(json!(all.0)),
                false => Err(format!("Adam holds {all:?} numbers")),
            }
        }
        id if id.starts_with("params_") => {
            let sizes = case.counts("sizes")?;
            let mut x = g.input("x", [1, *sizes.first().ok_or("no sizes")?]);
            for (i, &units) in sizes[1..].iter().enumerate() {
                x = dense(&format!("dense{i}"), x, units).relu();
            }
            Ok(json!(parameters(&g)?))
        }
        id => Err(format!("no count is called `{id}`")),
    }
}

/// Nodes of the loss of a network of these sizes, and of the loss with all gradients; and its parameters, counted as
/// arrays.
fn nodes(sizes: &[usize], rewrite: bool) -> Result<[usize; 3], String> {
    let nodes = |gradients: bool| -> Result<(usize, usize), String> {
        let g = Graph::new();
        let mut x = g.input("x", [8, sizes[0]]);
        for (i, &units) in sizes[1..].iter().enumerate() {
            x = dense(&format!("dense{i}"), x, units);
            if i + 2 < sizes.len() {
                x = x.relu();
            }
        }
        let classes = sizes[sizes.len() - 1];
        let labels = g.labels("labels", [8], classes);
        let loss = -(labels.one_hot(classes) * x.softmax(1).log()).sum(1).mean();
        g.output("loss", loss);
        let params = g.params();
        for (i, param) in params.iter().enumerate().filter(|_| gradients) {
            g.output(&format!("d{i}"), loss.grad(*param));
        }
        let written = g.build().map_err(|e| e.to_string())?.graph;
        let options = Options { rewrite, ..Options::default() };
        let lowered = eggrad::lower(&written, &options).map_err(|e| e.to_string())?;
        Ok((lowered.computing_nodes(), params.len()))
    };
    let ((forward, params), (all, _)) = (nodes(false)?, nodes(true)?);
    Ok([forward, all, params])
}

/// The bound that the course gives in words holds for networks of many depths, as written and rewritten.
pub(crate) fn backprop_cost(case: &Case) -> Result<Value, String> {
    let rule = case.exact()["rule"].as_str().ok_or("no text `rule`")?;
    let bound = rule.split_once("<=").map(|(_, rest)| rest.trim());
    let bound = bound.and_then(|rest| rest.split_once(" * forward node count + params"));
    let factor: usize = bound.and_then(|(n, _)| n.parse().ok()).ok_or("no bound in the rule")?;
    for layers in [1, 2, 3, 8, 32] {
        let sizes: Vec<usize> = (0..=layers).map(|i| 4 + i % 3).collect();
        for rewrite in [false, true] {
            let [forward, all, params] = nodes(&sizes, rewrite)?;
            if all > factor * forward + params {
                return Err(format!(
                    "{all} nodes for {forward} forward and {params} parameters in {layers} layers"
                ));
            }
        }
    }
    Ok(json!({"rule": rule}))
}

/// The engine does not matter to what is only counted.
pub(crate) fn runs_nothing(kind: &str, engine: Engine) -> bool {
    matches!(kind, "shape" | "count" | "structural") && engine == Engine::Compiled
}
