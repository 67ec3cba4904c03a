//! Reads case files; whatever is not understood is an error.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a formula is applied to its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sample by sample; variables are vectors of one length.
    Elementwise,
    /// Row by row; reductions run over the row.
    Rowwise,
    /// To whole arrays.
    Matrix,
}

/// What is asked of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Stabilise,
    Gradient,
    Algebra,
    Special,
    MustNotRewrite,
    NoRegression,
}

/// An array: sizes and elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

/// Variables and what is expected.
pub(crate) type Run = (BTreeMap<String, Array>, Array);

/// One case; row by row, each variable has a list of rows.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expr: String,
    pub(crate) kind: Kind,
    pub(crate) category: Category,
    /// For each run: the variables and what is expected.
    pub(crate) runs: Vec<Run>,
    pub(crate) domain: BTreeMap<String, (f64, f64)>,
    pub(crate) frozen: Vec<String>,
    pub(crate) tol_ulp: f64,
    pub(crate) tol_abs_at_zero: f64,
    pub(crate) max_contractions: Option<usize>,
    pub(crate) max_total: Option<usize>,
    /// Names of the wrappers in which the case stands, where a file tells; a sample of those in which it holds.
    pub(crate) wrappers: Vec<String>,
}

/// Fields that inform people.
const INFORMATION: [&str; 10] = [
    "source",
    "note",
    "priority",
    "policy",
    "stable_expr",
    "naive_f32",
    "naive_f32_max_ulp",
    "stable_f32_max_ulp",
    "needs_ops",
    "name",
];

pub(crate) fn read(text: &str) -> Result<Vec<Case>, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let list = value.as_array().ok_or("not a list of cases")?;
    let mut cases: Vec<Case> = vec![];
    for (i, value) in list.iter().enumerate() {
        let fields = value.as_object().ok_or(format!("case {i} is no object"))?;
        let name = text_of(fields, "name").map_err(|e| format!("case {i}: {e}"))?;
        if cases.iter().any(|c| c.name == name) {
            return Err(format!("two cases are called `{name}`"));
        }
        cases.push(one(fields, name.clone()).map_err(|e| format!("case `{name}`: {e}"))?);
    }
    Ok(cases)
}

fn one(fields: &Map<String, Value>, name: String) -> Result<Case, String> {
    const KNOWN: [&str; 11] = [
        "expr",
        "kind",
        "category",
        "vars",
        "expected",
        "domain",
        "frozen",
        "tol_ulp",
        "tol_abs_at_zero",
        "max_ops",
        "wrappers",
    ];
    for field in fields.keys() {
        if !KNOWN.contains(&field.as_str()) && !INFORMATION.contains(&field.as_str()) {
            return Err(format!("unknown field `{field}`"));
        }
    }
    let kind = match text_of(fields, "kind")?.as_str() {
        "elementwise" => Kind::Elementwise,
        "rowwise" => Kind::Rowwise,
        "matrix" => Kind::Matrix,
        other => return Err(format!("unknown kind `{other}`")),
    };
    let category = match text_of(fields, "category")?.as_str() {
        "stabilise" => Category::Stabilise,
        "gradient" => Category::Gradient,
        "algebra" => Category::Algebra,
        "special" => Category::Special,
        "must_not_rewrite" => Category::MustNotRewrite,
        "no_regression" => Category::NoRegression,
        other => return Err(format!("unknown category `{other}`")),
    };
    let number = |field: &str, default: f64| match fields.get(field) {
        None => Ok(default),
        Some(value) => scalar(value),
    };
    let (mut max_contractions, mut max_total) = (None, None);
    if let Some(limits) = fields.get("max_ops") {
        for (what, count) in limits.as_object().ok_or("`max_ops` is no object")? {
            let count = count.as_u64().ok_or("`max_ops` holds no count")? as usize;
            match what.as_str() {
                "contraction" => max_contractions = Some(count),
                "total" => max_total = Some(count),
                other => return Err(format!("unknown count `{other}`")),
            }
        }
    }
    let mut domain = BTreeMap::new();
    for (name, ends) in fields.get("domain").and_then(Value::as_object).into_iter().flatten() {
        let ends = ends.as_array().ok_or("a domain is a list")?;
        let [low, high] = ends.as_slice() else { return Err("a domain has two ends".into()) };
        domain.insert(name.clone(), (scalar(low)?, scalar(high)?));
    }
    let names = |field: &str| -> Result<Vec<String>, String> {
        let Some(list) = fields.get(field) else { return Ok(vec![]) };
        let list = list.as_array().ok_or(format!("`{field}` is no list"))?;
        let names = list.iter().map(|n| n.as_str().map(str::to_string));
        names.collect::<Option<Vec<String>>>().ok_or(format!("`{field}` holds no names"))
    };
    Ok(Case {
        name,
        expr: text_of(fields, "expr")?,
        kind,
        category,
        runs: runs(fields, kind)?,
        domain,
        frozen: names("frozen")?,
        tol_ulp: number("tol_ulp", 8.0)?,
        tol_abs_at_zero: number("tol_abs_at_zero", 0.0)?,
        max_contractions,
        max_total,
        wrappers: names("wrappers")?,
    })
}

fn runs(fields: &Map<String, Value>, kind: Kind) -> Result<Vec<Run>, String> {
    let vars = fields.get("vars").and_then(Value::as_object).ok_or("`vars` is no object")?;
    let expected = fields.get("expected").ok_or("no `expected`")?;
    if kind != Kind::Rowwise {
        let vars: Result<BTreeMap<String, Array>, String> =
            vars.iter().map(|(name, v)| Ok((name.clone(), array(v)?))).collect();
        return Ok(vec![(vars?, array(expected)?)]);
    }
    let rows = |v: &Value| -> Result<Vec<Array>, String> {
        v.as_array().ok_or("not a list of rows")?.iter().map(array).collect()
    };
    let expected = rows(expected)?;
    let mut runs: Vec<Run> = expected.into_iter().map(|e| (BTreeMap::new(), e)).collect();
    for (name, value) in vars {
        let rows = rows(value)?;
        if rows.len() != runs.len() {
            return Err(format!("`{name}` has {} rows, not {}", rows.len(), runs.len()));
        }
        for (run, row) in runs.iter_mut().zip(rows) {
            run.0.insert(name.clone(), row);
        }
    }
    if runs.is_empty() { Err("no rows".into()) } else { Ok(runs) }
}

fn text_of(fields: &Map<String, Value>, field: &str) -> Result<String, String> {
    let text = fields.get(field).and_then(Value::as_str);
    text.map(str::to_string).ok_or(format!("no text `{field}`"))
}

fn scalar(value: &Value) -> Result<f64, String> {
    match value {
        Value::Number(n) => n.as_f64().ok_or(format!("{n} is no number")),
        Value::String(s) => match s.as_str() {
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            "nan" => Ok(f64::NAN),
            other => Err(format!("unknown number `{other}`")),
        },
        other => Err(format!("{other} is no number")),
    }
}

fn array(value: &Value) -> Result<Array, String> {
    let Value::Array(items) = value else {
        return Ok(Array { shape: vec![], data: vec![scalar(value)?] });
    };
    let parts: Vec<Array> = items.iter().map(array).collect::<Result<_, _>>()?;
    let inner = parts.first().map(|p| p.shape.clone()).unwrap_or_default();
    if parts.iter().any(|p| p.shape != inner) {
        return Err("rows of different lengths".into());
    }
    let shape = [parts.len()].into_iter().chain(inner).collect();
    Ok(Array { shape, data: parts.into_iter().flat_map(|p| p.data).collect() })
}
