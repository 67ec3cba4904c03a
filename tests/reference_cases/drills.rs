//! Worked numbers of the course that are values and derivatives of formulas.

use crate::course::{Case, Course, run};
use crate::engine::{Named, Way};
use crate::json::Array;
use eggrad::nn::losses;
use eggrad::prelude::*;
use serde_json::{Value, json};

/// What the case asks for, computed.
pub(crate) fn compute(course: &Course, case: &Case, way: Way) -> Result<Value, String> {
    let id = case.id.as_str();
    let family = |prefix: &str| id.starts_with(prefix);
    match id {
        "bp1_forward" | "bp1_grads" => one_unit(&case.arrays()?, way),
        "bp2_forward" | "bp2_grads" => two_units(&case.arrays()?, way),
        "bp2_bump" => bump(course, case, way),
        "dot" => write(case, way, |_, v| Ok(vec![("dot", v("a")?.matmul(v("w")?))])),
        "vecmat" => write(case, way, |_, v| Ok(vec![("Z", v("a")?.matmul(v("W")?))])),
        "matmul_T" | "matmul_3x4" => {
            let found =
                write(case, way, |_, v| Ok(vec![("Z", v("A")?.transpose().matmul(v("W")?))]))?;
            Ok(match id {
                "matmul_T" => found,
                _ => with_entries(found, &["Z00", "Z21", "Z12"])?,
            })
        }
        "sigmoid_saturate" => saturated(case, way),
        "dense_sequential" => write(case, way, |_, v| {
            let z = v("a_in")?.matmul(v("W")?) + v("b")?;
            Ok(vec![("z", z), ("a", z.sigmoid())])
        }),
        "mse_half" => write(case, way, |_, v| {
            let (f, y) = (v("f")?, v("y")?);
            Ok(vec![("half_mse", losses::half_mse(f, y)), ("mse", losses::mse(f, y))])
        }),
        "softmax_n2_is_logistic" => logistic(case, way),
        "threshold" | "threshold_edge" => {
            write(case, way, |g, v| Ok(vec![("class", v("p")?.ge(0.5).cast(g.float()))]))
        }
        _ if family("der_sq_") || family("fd_") => difference(case, way),
        _ if family("scratch_x_") => write(case, way, |_, v| {
            let z1 = v("x")?.matmul(v("W1")?) + v("b1")?;
            let a1 = z1.sigmoid();
            let z2 = a1.matmul(v("W2")?) + v("b2")?;
            Ok(vec![("z1", z1), ("a1", a1), ("z2", z2), ("a2", z2.sigmoid())])
        }),
        _ if family("bce_logit_") => write(case, way, |_, v| {
            let (z, y) = (v("z")?, v("y")?);
            let a = z.sigmoid();
            let loss = -y * a.log() - (1.0 - y) * (1.0 - a).log();
            Ok(vec![("loss", loss), ("dz", loss.grad(z))])
        }),
        _ if family("softmax_ce_") => cross_entropy(case, way),
        _ => Err(format!("no case is called `{id}`")),
    }
}

/// Finds an input by its name.
type Find<'a, 'g> = &'a dyn Fn(&str) -> Result<Tensor<'g>, String>;

/// Runs a formula of the case's inputs; its results have names.
fn write(
    case: &Case,
    way: Way,
    formula: impl for<'g> Fn(&'g Graph, Find<'_, 'g>) -> Result<Vec<(&'static str, Tensor<'g>)>, String>,
) -> Result<Value, String> {
    let inputs = case.arrays()?;
    run(way, &inputs, &|g| {
        let find = |name: &str| {
            let array = inputs.get(name).ok_or(format!("no input `{name}`"))?;
            Ok(g.input(name, array.shape.clone()))
        };
        for (name, result) in formula(g, &find)? {
            g.output(name, result);
        }
        Ok(())
    })
}

/// Declares inputs of one number each.
fn numbers<'g, const N: usize>(
    g: &'g Graph,
    inputs: &Named,
    names: [&str; N],
) -> Result<[Tensor<'g>; N], String> {
    let missing = names.iter().find(|n| inputs.get(**n).is_none_or(|a| !a.shape.is_empty()));
    match missing {
        Some(name) => Err(format!("no number `{name}`")),
        None => Ok(names.map(|name| g.input(name, Vec::<usize>::new()))),
    }
}

/// `J = d²/2`, `d = a - y`, `a = c + b`, `c = w·x`, and the derivative with respect to each.
fn one_unit(inputs: &Named, way: Way) -> Result<Value, String> {
    run(way, inputs, &|g| {
        let [x, y, w, b] = numbers(g, inputs, ["x", "y", "w", "b"])?;
        let c = w * x;
        let a = c + b;
        let d = a - y;
        let j = d.square() / 2.0;
        for (name, value) in [("c", c), ("a", a), ("d", d), ("J", j)] {
            g.output(name, value);
        }
        for (name, value) in [("dd", d), ("da", a), ("dc", c), ("db", b), ("dw", w)] {
            g.output(name, j.grad(value));
        }
        Ok(())
    })
}

/// Two ReLU units in a row, and the derivative with respect to everything.
fn two_units(inputs: &Named, way: Way) -> Result<Value, String> {
    run(way, inputs, &|g| {
        let [x, y, w1, b1, w2, b2] = numbers(g, inputs, ["x", "y", "w1", "b1", "w2", "b2"])?;
        let t1 = w1 * x;
        let z1 = t1 + b1;
        let a1 = z1.relu();
        let t2 = w2 * a1;
        let z2 = t2 + b2;
        let a2 = z2.relu();
        let j = (a2 - y).square() / 2.0;
        let inner = [("t1", t1), ("z1", z1), ("a1", a1), ("t2", t2), ("z2", z2), ("a2", a2)];
        let leaves = [("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)];
        for (name, value) in inner {
            g.output(name, value);
        }
        for (name, value) in inner.into_iter().chain(leaves) {
            g.output(&format!("d{name}"), j.grad(value));
        }
        g.output("J", j);
        Ok(())
    })
}

/// The network of two units with another first weight.
fn bump(course: &Course, case: &Case, way: Way) -> Result<Value, String> {
    let base = course.cases.iter().find(|c| c.id == "bp2_forward");
    let mut inputs = base.ok_or("the course has no `bp2_forward`")?.arrays()?;
    let before = two_units(&inputs, way)?;
    inputs.insert("w1".into(), Array::scalar(case.number("w1")?));
    let mut after = two_units(&inputs, way)?;
    let loss = |v: &Value| v["J"].as_f64().ok_or("no loss");
    after["dJ"] = json!(loss(&after)? - loss(&before)?);
    Ok(after)
}

/// The formula after `J=`, at `w` and `w + eps`, and its derivative.
fn difference(case: &Case, way: Way) -> Result<Value, String> {
    let text = case.what.strip_prefix("J=").ok_or("no formula of `J`")?;
    let text = text.split(',').next().unwrap_or(text);
    write(case, way, |g, v| {
        let (w, eps) = (v("w")?, v("eps")?);
        let j = g.expression(text, &[("w", w)]);
        let bumped = g.expression(text, &[("w", w + eps)]);
        Ok(vec![("J", j), ("J_eps", bumped), ("dJdw", j.grad(w))])
    })
}

/// Adds elements of the matrix `Z` by names such as `Z21`.
fn with_entries(mut found: Value, names: &[&str]) -> Result<Value, String> {
    for name in names {
        let digits: Vec<usize> =
            name.chars().filter_map(|c| c.to_digit(10)).map(|d| d as usize).collect();
        let entry = found["Z"][digits[0]][digits[1]].clone();
        if entry.is_null() {
            return Err(format!("no entry `{name}`"));
        }
        found[*name] = entry;
    }
    Ok(found)
}

/// Sigmoids of large numbers, in both types, whose derivatives are numbers.
fn saturated(case: &Case, way: Way) -> Result<Value, String> {
    let slope = |way: Way| {
        write(case, way, |_, v| {
            let z = v("z")?;
            Ok(vec![("slope", z.sigmoid().sum(..).grad(z))])
        })
    };
    for dtype in [DType::F32, DType::F64] {
        let found = slope(Way { dtype, ..way })?;
        let list = found["slope"].as_array().ok_or("no slope")?;
        // NaN is no number in JSON.
        if !list.iter().all(|d| d.as_f64().is_some_and(|d| (0.0..1e-12).contains(&d))) {
            return Err(format!("derivatives {found} in {}", dtype.name()));
        }
    }
    write(case, way, |_, v| Ok(vec![("a", v("z")?.sigmoid())]))
}

/// The first of two probabilities, by softmax and by the logistic function.
fn logistic(case: &Case, way: Way) -> Result<Value, String> {
    let found = write(case, way, |_, v| {
        let z = v("z")?;
        let [first, second] = [0, 1].map(|i| z.slice(0, i..i + 1));
        let p = z.softmax(0).slice(0, 0..1);
        Ok(vec![("p", p), ("logistic", (first - second).sigmoid())])
    })?;
    let one = |name: &str| found[name][0].as_f64().ok_or("no number");
    match (one("p")? - one("logistic")?).abs() <= 1e-12 {
        true => Ok(found),
        false => Err(format!("the two functions differ: {found}")),
    }
}

/// Softmax of one row, and the naive cross-entropy of its label with its derivative.
fn cross_entropy(case: &Case, way: Way) -> Result<Value, String> {
    let (z, y) = (case.array("z")?, case.number("y")?);
    let classes = z.data.len();
    let label = Array { shape: vec![], data: vec![y], integer: true };
    let inputs: Named = [("z", z), ("y", label)].map(|(n, a)| (n.to_string(), a)).into();
    run(way, &inputs, &|g| {
        let z = g.input("z", [classes]);
        let y = g.labels("y", Vec::<usize>::new(), classes);
        let a = z.softmax(0);
        let loss = -(y.one_hot(classes) * a.log()).sum(..);
        g.output("a", a);
        g.output("loss", loss);
        g.output("dz", loss.grad(z));
        Ok(())
    })
}
