//! Cases of functions by themselves: activations at points, and losses.

use crate::case::Part;
use crate::engine::{Named, once};
use crate::json::{Array, Fields, numbers};
use crate::judge::{Expected, What};
use crate::names;
use eggrad::prelude::*;
use serde_json::Value;

/// Values and derivatives of functions of one number, each function a part.
pub(crate) fn pointwise(value: &Value) -> Result<Vec<Part>, String> {
    let fields = Fields::of(value)?;
    fields.text("kind")?;
    let x = Array::vector(numbers(fields.get("x")?).map_err(|e| format!("`x`: {e}"))?);
    let functions = fields.get("fn")?.as_object().ok_or("`fn` is no object")?;
    fields.finish(&["note"])?;
    let mut parts = vec![];
    for (name, values) in functions {
        let part = point(name, values, &x).map_err(|e| format!("`{name}`: {e}"))?;
        parts.push(part);
    }
    Ok(parts)
}

fn point(name: &str, values: &Value, x: &Array) -> Result<Part, String> {
    let fields = Fields::of(values)?;
    let list = |field: &str| -> Result<Array, String> {
        let array = Array::vector(numbers(fields.get(field)?)?);
        match array.shape == x.shape {
            true => Ok(array),
            false => Err(format!("{} values of `{field}`", array.data.len())),
        }
    };
    let expected = vec![
        Expected::new("y", list("y")?, What::Point),
        Expected::new("dy", list("dy")?, What::PointGradient),
    ];
    fields.finish(&["note"])?;
    names::activation(name, Graph::new().input("x", [1]))?;
    let (function, inputs) = (name.to_string(), Named::from([("x".to_string(), x.clone())]));
    let compute = move |way| {
        let write = |g: &Graph| {
            let x = g.input("x", inputs["x"].shape.clone());
            let y = names::activation(&function, x)?;
            g.output("y", y);
            g.output("dy", y.sum(..).grad(x));
            Ok(())
        };
        once(way, &write, &inputs)
    };
    Ok(Part { name: name.to_string(), expected, compute: Box::new(compute) })
}

/// Declares what a loss is measured against: labels of as many classes as the predictions have, or numbers.
pub(crate) fn targets<'g>(
    g: &'g Graph,
    name: &str,
    loss: &str,
    predictions: Tensor<'g>,
    targets: &Array,
) -> Result<Tensor<'g>, String> {
    if !names::takes_labels(loss) {
        return Ok(g.input(name, targets.shape.clone()));
    }
    if !targets.integer {
        return Err(format!("`{loss}` takes integers as targets"));
    }
    let dims = predictions.ty().map(|ty| ty.shape.dims().to_vec()).unwrap_or_default();
    let classes = *dims.last().ok_or("predictions without an axis of classes")?;
    Ok(g.labels(name, targets.shape.clone(), classes))
}

/// A loss and its gradient.
pub(crate) fn loss(value: &Value) -> Result<Vec<Part>, String> {
    let fields = Fields::of(value)?;
    fields.text("kind")?;
    let loss = fields.text("loss")?.to_string();
    let (pred, target) = (fields.array("pred")?, fields.array("target")?);
    let (value, dpred) = (fields.number("value")?, fields.array("dpred")?);
    fields.finish(&["note"])?;
    if dpred.shape != pred.shape {
        return Err(format!("`dpred` has shape {:?}, not {:?}", dpred.shape, pred.shape));
    }
    let terms = pred.data.len();
    let expected = vec![
        Expected::new("value", Array::scalar(value), What::Forward(terms)),
        Expected::new("dpred", dpred, What::Gradient),
    ];
    let write = move |g: &Graph, pred: &Array, target: &Array| {
        let p = g.input("pred", pred.shape.clone());
        let y = targets(g, "target", &loss, p, target)?;
        let value = names::loss(&loss, p, y)?;
        g.output("value", value);
        g.output("dpred", value.grad(p));
        Ok(())
    };
    let inputs = Named::from([("pred".to_string(), pred), ("target".to_string(), target)]);
    write(&Graph::new(), &inputs["pred"], &inputs["target"])?;
    let compute = move |way| once(way, &|g| write(g, &inputs["pred"], &inputs["target"]), &inputs);
    Ok(vec![Part { name: String::new(), expected, compute: Box::new(compute) }])
}
