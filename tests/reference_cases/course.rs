//! The worked numbers of a course on neural networks: formulas by hand, numbers from the file.

use crate::engine::{Engine, Named, Way, once};
use crate::json::{Array, Fields, count, nested, number};
use crate::{drills, structure};
use eggrad::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// One case of the course.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// What the course says in words, such as the formula.
    pub(crate) what: String,
    /// Numbers that go in.
    pub(crate) inputs: Map<String, Value>,
    /// Numbers as printed, rounded, and the full ones.
    given: Value,
    exact: Value,
    abs_tol: f64,
}

/// All cases of the file.
pub(crate) struct Course {
    pub(crate) cases: Vec<Case>,
}

const KINDS: [&str; 11] = [
    "value",
    "gradient",
    "finite_difference",
    "symbolic",
    "shape",
    "decision",
    "count",
    "note",
    "loss",
    "rewrite",
    "structural",
];

/// Reads the file.
pub(crate) fn read(text: &str) -> Result<Arc<Course>, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let fields = Fields::of(&value)?;
    let n = count(fields.get("n")?).map_err(|e| format!("`n`: {e}"))?;
    let list = fields.get("cases")?.as_array().ok_or("`cases` is no list")?;
    fields.finish(&["note"])?;
    let mut cases: Vec<Case> = vec![];
    for (i, value) in list.iter().enumerate() {
        let case = one(value).map_err(|e| format!("case {i}: {e}"))?;
        if cases.iter().any(|c| c.id == case.id) {
            return Err(format!("two cases are called `{}`", case.id));
        }
        cases.push(case);
    }
    match cases.len() == n && n > 0 {
        true => Ok(Arc::new(Course { cases })),
        false => Err(format!("{} cases, not {n}", cases.len())),
    }
}

fn one(value: &Value) -> Result<Case, String> {
    let fields = Fields::of(value)?;
    let kind = fields.text("kind")?.to_string();
    if !KINDS.contains(&kind.as_str()) {
        return Err(format!("unknown kind `{kind}`"));
    }
    let case = Case {
        id: fields.text("id")?.to_string(),
        kind,
        what: fields.text("what")?.to_string(),
        inputs: fields.get("inputs")?.as_object().ok_or("`inputs` is no object")?.clone(),
        given: fields.get("given")?.clone(),
        exact: fields.get("exact")?.clone(),
        abs_tol: fields.number("abs_tol")?,
    };
    fields.finish(&["section", "note"])?;
    if case.exact.is_null() {
        return Err(format!("`{}` expects nothing", case.id));
    }
    Ok(case)
}

impl Case {
    /// The input called `name`.
    pub(crate) fn array(&self, name: &str) -> Result<Array, String> {
        nested(self.inputs.get(name).ok_or(format!("no input `{name}`"))?)
    }

    /// The input called `name`, one number.
    pub(crate) fn number(&self, name: &str) -> Result<f64, String> {
        number(self.inputs.get(name).ok_or(format!("no input `{name}`"))?)
    }

    /// The input called `name`, a list of counts.
    pub(crate) fn counts(&self, name: &str) -> Result<Vec<usize>, String> {
        let list = self.inputs.get(name).and_then(Value::as_array);
        list.ok_or(format!("no list `{name}`"))?.iter().map(count).collect()
    }

    /// All inputs as arrays.
    pub(crate) fn arrays(&self) -> Result<Named, String> {
        self.inputs.iter().map(|(name, v)| Ok((name.clone(), nested(v)?))).collect()
    }

    /// Whether the numbers of the case are those that `found` holds.
    pub(crate) fn judge(&self, found: &Value) -> Result<(), String> {
        if !self.given.is_null() {
            agree(&self.given, found, self.abs_tol).map_err(|e| format!("as given, {e}"))?;
        }
        agree(&self.exact, found, self.abs_tol)
    }

    /// The exact numbers.
    pub(crate) fn exact(&self) -> &Value {
        &self.exact
    }
}

/// What the case asks for, computed.
pub(crate) fn compute(course: &Course, case: &Case, engine: Engine) -> Result<Value, String> {
    let way = Way::new(DType::F64, engine);
    let id = case.id.as_str();
    match case.kind.as_str() {
        "value" | "gradient" | "finite_difference" | "loss" | "decision" => {
            drills::compute(course, case, way)
        }
        "symbolic" => structure::symbolic(case, way),
        "rewrite" if id == "linear_collapse" => structure::linear_collapse(case, way),
        "rewrite" => drills::compute(course, case, way),
        "note" if id == "round_off" => structure::round_off(way),
        "shape" => structure::shape(case),
        "count" => structure::count(case),
        "structural" if id == "backprop_cost" => structure::backprop_cost(case),
        kind => Err(format!("no case of kind `{kind}` is called `{id}`")),
    }
}

/// The outputs of one run, as lists of lists.
pub(crate) fn run(
    way: Way,
    inputs: &Named,
    write: &dyn Fn(&Graph) -> Result<(), String>,
) -> Result<Value, String> {
    let found = once(way, write, inputs)?;
    Ok(Value::Object(found.iter().map(|(name, array)| (name.clone(), lists(array))).collect()))
}

/// An array as lists of lists.
fn lists(array: &Array) -> Value {
    fn level(shape: &[usize], data: &[f64]) -> Value {
        match shape.split_first() {
            None => json!(data[0]),
            Some((&n, inner)) => {
                let size = inner.iter().product::<usize>();
                (0..n).map(|i| level(inner, &data[i * size..(i + 1) * size])).collect()
            }
        }
    }
    level(&array.shape, &array.data)
}

/// Whether everything in `expected` is in `found`, numbers within `tolerance`.
fn agree(expected: &Value, found: &Value, tolerance: f64) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(wanted), Value::Object(all)) => {
            if wanted.is_empty() {
                return Err("nothing is expected".into());
            }
            for (name, value) in wanted {
                let one = all.get(name).ok_or(format!("`{name}` was not computed"))?;
                agree(value, one, tolerance).map_err(|e| format!("`{name}`: {e}"))?;
            }
            Ok(())
        }
        // What is the only thing computed needs no name; one number needs no brackets.
        (_, Value::Object(all)) if all.len() == 1 => match all.values().next() {
            Some(one) => agree(expected, one, tolerance),
            None => Err("nothing was computed".into()),
        },
        (Value::Number(_), Value::Array(list)) if list.len() == 1 => {
            agree(expected, &list[0], tolerance)
        }
        (Value::Array(wanted), Value::Array(list)) => {
            if wanted.len() != list.len() {
                return Err(format!("{} elements, not {}", list.len(), wanted.len()));
            }
            for (i, (value, one)) in wanted.iter().zip(list).enumerate() {
                agree(value, one, tolerance).map_err(|e| format!("element {i}: {e}"))?;
            }
            Ok(())
        }
        (Value::Number(wanted), Value::Number(one)) => {
            let (wanted, one) = (wanted.as_f64(), one.as_f64());
            let (Some(e), Some(f)) = (wanted, one) else { return Err("no numbers".into()) };
            match (f - e).abs() <= tolerance {
                true => Ok(()),
                false => Err(format!("{f:e}, not {e:e}")),
            }
        }
        (wanted, one) if wanted == one => Ok(()),
        (wanted, one) => Err(format!("{one}, not {wanted}")),
    }
}
