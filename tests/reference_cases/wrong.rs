//! Whether the harness can fail: expected numbers are changed one by one, and files are made that nobody understands.

use crate::case::{self, Part};
use crate::course::{self, Course};
use crate::engine::{Engine, Named, Way};
use crate::judge::judge;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use std::sync::Arc;

/// Fields of a case that say what is expected.
const EXPECTED: [&str; 9] =
    ["y", "dy", "value", "dpred", "output", "grads", "after", "grad", "hessian"];

/// Bytes that may be read to change numbers of one file.
const EFFORT: usize = 20_000_000;

/// Places of numbers, as JSON pointers, under `value`.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_string()),
        Value::String(s) if ["inf", "-inf", "nan"].contains(&s.as_str()) => {
            found.push(at.to_string());
        }
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                numbers(value, &format!("{at}/{i}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| *key != "shape") {
                numbers(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Another number, far enough away for a tolerance relative to `scale`.
fn changed(number: &Value, scale: f64) -> Value {
    match number.as_f64() {
        Some(x) => json!(x + 1e-3 * x.abs().max(scale)),
        None => json!(0.5),
    }
}

/// Largest finite number beside the one at `pointer`, in its list.
fn scale(value: &Value, pointer: &str) -> f64 {
    let list = pointer.rsplit_once('/').and_then(|(list, _)| value.pointer(list));
    let numbers = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_f64);
    numbers.map(f64::abs).fold(0.0, f64::max).max(1e-3)
}

/// Whether the case of a file fails with any of its expected numbers changed. Each part is computed once.
pub(crate) fn numeric(name: &str, value: &Value, parts: &[Arc<Part>]) -> Result<(), String> {
    let way = Way::new(eggrad::prelude::DType::F64, Engine::Interpreted);
    let found: Vec<Named> = parts.iter().map(|p| (p.compute)(way)).collect::<Result<_, _>>()?;
    let holds = |parts: &[Arc<Part>]| {
        let mut pairs = parts.iter().zip(&found);
        pairs.all(|(part, found)| judge(&part.expected, found, way.dtype).is_ok())
    };
    if !holds(parts) {
        return Err("fails as it is".into());
    }
    let mut places = vec![];
    if let Some(functions) = value.get("fn") {
        numbers(functions, "/fn", &mut places);
    } else {
        let inputs = match value.get("kind").and_then(Value::as_str) {
            // There `y` is what the network is trained on.
            Some("net" | "hessian" | "hessian_lin") => ["y"].as_slice(),
            _ => &[],
        };
        for field in EXPECTED.iter().filter(|f| !inputs.contains(f)) {
            if let Some(expected) = value.get(field) {
                numbers(expected, &format!("/{field}"), &mut places);
            }
        }
        // What an optimizer is told is no result.
        places.retain(|p| !p.contains("/hp/") && !p.ends_with("/steps"));
    }
    if places.is_empty() {
        return Err("has no numbers to change".into());
    }
    // Reading the file takes time in proportion to its size: of large ones some numbers, evenly spread.
    let every = (places.len() * value.to_string().len() / EFFORT).clamp(1, places.len());
    let mut copy = value.clone();
    for place in places.iter().step_by(every) {
        let scale = if value.get("fn").is_some() { 1e-3 } else { scale(value, place) };
        let Some(number) = copy.pointer_mut(place) else { continue };
        let before = std::mem::replace(number, Value::Null);
        *number = changed(&before, scale);
        let parts = case::parts(name, &copy)?.into_iter().map(Arc::new).collect::<Vec<_>>();
        if holds(&parts) {
            return Err(format!("passes with another number at {place}"));
        }
        if let Some(number) = copy.pointer_mut(place) {
            *number = before;
        }
    }
    Ok(())
}

/// Whether case `i` of the course fails with any of its expected numbers changed.
pub(crate) fn course(text: &str, course: &Course, i: usize) -> Result<(), String> {
    let case = &course.cases[i];
    let found = course::compute(course, case, Engine::Interpreted)?;
    case.judge(&found)?;
    let whole: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut places = vec![];
    for field in ["given", "exact"] {
        numbers(&whole["cases"][i][field], &format!("/cases/{i}/{field}"), &mut places);
    }
    for place in &places {
        let mut copy = whole.clone();
        let Some(number) = copy.pointer_mut(place) else { continue };
        // Printed numbers are rounded: they hold within the tolerance.
        let tolerance = whole["cases"][i]["abs_tol"].as_f64().unwrap_or(0.0);
        *number = match number.as_f64() {
            Some(x) => json!(x + 1e-3 * x.abs().max(1.0) + 4.0 * tolerance),
            None => json!(0.5),
        };
        let other = course::read(&copy.to_string())?;
        if other.cases[i].judge(&found).is_ok() {
            return Err(format!("passes with another number at {place}"));
        }
    }
    if places.is_empty() {
        // Only words are expected; other words are not understood or do not hold.
        let mut copy = whole.clone();
        copy["cases"][i]["exact"] = json!({"rule": "nodes <= 0 * forward node count + params"});
        let other = course::read(&copy.to_string())?;
        if course::compute(&other, &other.cases[i], Engine::Interpreted).is_ok() {
            return Err("passes with other words".into());
        }
    }
    Ok(())
}

/// Files that must not be understood.
pub(crate) fn unknown() -> Vec<Trial> {
    let tensor = |data: &[f64]| json!({"shape": [data.len()], "data": data});
    let loss = |loss: &str| {
        json!({"kind": "loss", "loss": loss, "pred": tensor(&[1.0, 2.0]),
            "target": tensor(&[0.0, 2.0]), "value": 0.5, "dpred": tensor(&[1.0, 0.0])})
    };
    let with = |mut case: Value, field: &str, value: Value| {
        case[field] = value;
        case
    };
    let op = |op: Value| {
        json!({"kind": "op", "op": op, "args": {"x": tensor(&[1.0, 2.0])},
            "cotangent": tensor(&[1.0, 1.0]), "output": tensor(&[1.0, 2.0]),
            "grads": {"x": tensor(&[1.0, 1.0])}})
    };
    let expr = |text: &str| op(json!({"op": "expr", "expr": text}));
    let understood =
        [("a_loss", loss("mse")), ("an_op", op(json!({"op": "relu"}))), ("a_formula", expr("x"))];
    let refused = [
        ("an_empty_object", json!({})),
        ("no_object", json!([])),
        ("an_unknown_kind", with(loss("mse"), "kind", json!("losses"))),
        ("an_unknown_loss", loss("mse2")),
        ("an_unknown_field", with(loss("mse"), "tolerance", json!(1))),
        ("another_shape", with(loss("mse"), "dpred", tensor(&[1.0]))),
        ("an_unknown_number", with(loss("mse"), "value", json!("infinite"))),
        ("an_unknown_op", op(json!({"op": "relu7"}))),
        ("an_unknown_field_of_an_op", op(json!({"op": "relu", "slope": 1}))),
        ("an_unknown_operand", with(expr("x"), "grads", json!({"z": tensor(&[1.0, 1.0])}))),
        ("a_formula_that_ends", expr("x +")),
        ("a_formula_of_other_names", expr("x + z")),
        ("an_unknown_function", expr("relu7(x)")),
        ("no_functions", json!({"kind": "pointwise", "x": [1.0], "fn": {}})),
        (
            "an_unknown_activation",
            json!({"kind": "pointwise", "x": [1.0], "fn": {"relu7": {"y": [1.0], "dy": [1.0]}}}),
        ),
        (
            "too_few_values",
            json!({"kind": "pointwise", "x": [1.0], "fn": {"relu": {"y": [], "dy": [1.0]}}}),
        ),
    ];
    let mut trials = vec![];
    for (name, case) in understood {
        let check = move || case::parts(name, &case).map(|_| ()).map_err(Failed::from);
        trials.push(Trial::test(format!("files::{name}_is_understood"), check));
    }
    for (name, case) in refused {
        let check = move || match case::parts(name, &case) {
            Ok(_) => Err(Failed::from("is understood")),
            Err(_) => Ok(()),
        };
        trials.push(Trial::test(format!("files::{name}_is_refused"), check));
    }
    let none = |text: &'static str, name: &str| {
        let check = move || match course::read(text) {
            Ok(_) => Err(Failed::from("is understood")),
            Err(_) => Ok(()),
        };
        Trial::test(format!("files::{name}_is_refused"), check)
    };
    trials.push(none("", "an_empty_course"));
    trials.push(none("{\"n\": 0, \"cases\": []}", "a_course_without_cases"));
    trials.push(none("{\"n\": 2, \"cases\": []}", "a_course_of_another_number_of_cases"));
    trials
}
