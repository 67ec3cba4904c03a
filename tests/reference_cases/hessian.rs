//! Cases of second derivatives.

use crate::case::Part;
use crate::engine::{Named, once};
use crate::json::{Array, Fields};
use crate::judge::{Expected, What};
use crate::net::Net;
use eggrad::nn::losses;
use eggrad::prelude::*;
use serde_json::Value;

/// Value, gradient and Hessian of the mean squared error of `x @ w`.
pub(crate) fn linear(value: &Value) -> Result<Vec<Part>, String> {
    let fields = Fields::of(value)?;
    fields.text("kind")?;
    let (x, y, w) = (fields.array("x")?, fields.array("y")?, fields.array("w")?);
    let terms = What::Forward(x.data.len());
    let expected = vec![
        Expected::new("value", Array::scalar(fields.number("value")?), terms),
        Expected::new("grad", fields.array("grad")?, What::Gradient),
        Expected::new("hessian", fields.array("hessian")?, What::Gradient),
    ];
    fields.finish(&["note"])?;
    let inputs: Named = [("x", x), ("y", y), ("w", w)].map(|(n, a)| (n.to_string(), a)).into();
    let compute = move |way| {
        let write = |g: &Graph| {
            let [x, y, w] = ["x", "y", "w"].map(|n| g.input(n, inputs[n].shape.clone()));
            let value = losses::mse(x.matmul(w), y);
            g.output("value", value);
            g.output("grad", value.grad(w));
            g.output("hessian", value.hessian(w));
            Ok(())
        };
        once(way, &write, &inputs)
    };
    Ok(vec![Part { name: String::new(), expected, compute: Box::new(compute) }])
}

/// Value, gradient and Hessian of the loss of a network with respect to its parameters: as one vector each and one
/// matrix, or by name.
pub(crate) fn network(value: &Value) -> Result<Vec<Part>, String> {
    let fields = Fields::of(value)?;
    fields.text("kind")?;
    let net = Net::read(&fields)?;
    let names: Vec<String> = net.params.iter().map(|p| p.0.clone()).collect();
    let order = match fields.maybe("order") {
        None => None,
        Some(_) => Some(fields.texts("order")?),
    };
    if let Some(order) = &order {
        let each = |name: &String| order.iter().filter(|o| *o == name).count() == 1;
        if order.len() != names.len() || !names.iter().all(each) {
            return Err("`order` does not name every parameter once".into());
        }
    }
    let mut expected = vec![];
    let terms = What::Forward(net.terms);
    if fields.maybe("value").is_some() {
        expected.push(Expected::new("value", Array::scalar(fields.number("value")?), terms));
    }
    if fields.maybe("output").is_some() {
        expected.push(Expected::new("output", fields.array("output")?, terms));
    }
    let mut flat = None;
    for field in ["grad", "grads"] {
        if let Some(value) = fields.maybe(field) {
            if value.get("data").is_some() {
                flat = Some(fields.array(field)?);
                expected.push(Expected::new("grad", fields.array(field)?, What::Gradient));
            } else {
                let arrays = fields.arrays(field)?.into_iter();
                expected.extend(arrays.map(|(n, a)| Expected::new(n, a, What::Gradient)));
            }
        }
    }
    if fields.get("hessian")?.get("data").is_some() {
        expected.push(Expected::new("hessian", fields.array("hessian")?, What::Gradient));
    } else {
        let rows = fields.get("hessian")?.as_object().ok_or("`hessian` is no object")?;
        let all = Fields::of(fields.get("hessian")?)?;
        for row in rows.keys() {
            let blocks = all.arrays(row)?.into_iter();
            let named = |(n, a)| Expected::new(format!("{row}.{n}"), a, What::Gradient);
            expected.extend(blocks.map(named));
        }
    }
    fields.finish(&["note"])?;
    let compute = move |way| {
        let found = once(way, &|g| write(g, &net), &net.inputs)?;
        Ok(flattened(found, &names, order.as_ref(), flat.as_ref()))
    };
    Ok(vec![Part { name: String::new(), expected, compute: Box::new(compute) }])
}

/// Gradients by the names of parameters, and blocks of the Hessian by pairs of names.
fn write(g: &Graph, net: &Net) -> Result<(), String> {
    let written = net.write(g)?;
    g.output("value", written.loss);
    g.output("output", written.output);
    let named = || net.params.iter().map(|p| &p.0).zip(&written.params);
    for (row, param) in named() {
        let grad = written.loss.grad(*param);
        g.output(row, grad);
        for (column, other) in named() {
            g.output(&format!("{row}.{column}"), grad.jacobian(*other));
        }
    }
    Ok(())
}

/// Adds the gradient as one vector and the Hessian as one matrix: in the given order, else in that of the layers or
/// that of the names, whichever is nearer to the expected gradient.
fn flattened(
    mut found: Named,
    names: &[String],
    order: Option<&Vec<String>>,
    expected: Option<&Array>,
) -> Named {
    let mut sorted = names.to_vec();
    sorted.sort();
    let vector = |order: &[String]| -> Vec<f64> {
        order.iter().flat_map(|n| found[n].data.iter().copied()).collect()
    };
    let distance = |order: &[String]| -> f64 {
        let Some(expected) = expected else { return 0.0 };
        let pairs = vector(order).into_iter().zip(&expected.data);
        pairs.map(|(f, e)| (f - e).powi(2)).sum()
    };
    let own = match order {
        Some(order) => order.clone(),
        None if distance(&sorted) < distance(names) => sorted,
        None => names.to_vec(),
    };
    let gradient = vector(&own);
    let mut hessian = vec![];
    for row in &own {
        let height = found[row].data.len();
        for i in 0..height {
            for column in &own {
                let width = found[column].data.len();
                hessian.extend(&found[&format!("{row}.{column}")].data[i * width..(i + 1) * width]);
            }
        }
    }
    let n = gradient.len();
    found.insert("grad".into(), Array::vector(gradient));
    found.insert("hessian".into(), Array { shape: vec![n, n], data: hessian, integer: false });
    found
}
