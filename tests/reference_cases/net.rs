//! Cases of dense networks: forward, backward, and steps of training.

use crate::case::Part;
use crate::engine::{Named, Way, once, several};
use crate::functions;
use crate::json::{Array, Fields, count, numbers};
use crate::judge::{Expected, What};
use crate::names::{self, Optimizer};
use eggrad::prelude::*;
use serde_json::Value;
use std::sync::Arc;

/// A network with its loss and data.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) acts: Vec<String>,
    pub(crate) loss: String,
    pub(crate) params: Vec<(String, Array)>,
    pub(crate) inputs: Named,
    /// Terms of the longest contraction, of the mean over rows too.
    pub(crate) terms: usize,
}

/// What a network computes.
pub(crate) struct Written<'g> {
    pub(crate) params: Vec<Tensor<'g>>,
    pub(crate) output: Tensor<'g>,
    pub(crate) loss: Tensor<'g>,
}

impl Net {
    /// Reads the network and checks that its sizes agree.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Net, String> {
        let sizes = fields.get("sizes")?.as_array().ok_or("`sizes` is no list")?;
        let sizes: Vec<usize> = sizes.iter().map(count).collect::<Result<_, _>>()?;
        let acts = fields.texts("acts")?;
        let loss = fields.text("loss")?.to_string();
        let (x, y) = (fields.array("x")?, fields.array("y")?);
        let rows = x.shape.first().copied().unwrap_or(0);
        if let Some(batch) = fields.maybe("batch")
            && count(batch)? != rows
        {
            return Err(format!("`batch` is {batch}, and `x` has {rows} rows"));
        }
        if sizes.len() != acts.len() + 1 || acts.is_empty() {
            return Err(format!("{} sizes and {} activations", sizes.len(), acts.len()));
        }
        if x.shape != [rows, sizes[0]] {
            return Err(format!("`x` has shape {:?} for sizes {sizes:?}", x.shape));
        }
        let params = fields.arrays("params")?;
        let mut wanted = vec![];
        for (i, pair) in sizes.windows(2).enumerate() {
            wanted.push((format!("w{i}"), pair.to_vec()));
            wanted.push((format!("b{i}"), vec![pair[1]]));
        }
        let found = |(name, shape): &(String, Vec<usize>)| {
            let param = params.iter().find(|p| p.0 == *name && p.1.shape == *shape);
            let param = param.ok_or(format!("no parameter `{name}` of shape {shape:?}"))?;
            Ok(param.clone())
        };
        let ordered = wanted.iter().map(found).collect::<Result<Vec<_>, String>>()?;
        if ordered.len() != params.len() {
            return Err(format!("{} parameters, not {}", params.len(), ordered.len()));
        }
        let terms = sizes.iter().copied().chain([rows]).max().unwrap_or(1);
        let inputs = Named::from([("x".to_string(), x), ("y".to_string(), y)]);
        let net = Net { acts, loss, params: ordered, inputs, terms };
        net.write(&Graph::new())?;
        Ok(net)
    }

    /// Writes the network and its loss.
    pub(crate) fn write<'g>(&self, g: &'g Graph) -> Result<Written<'g>, String> {
        let mut x = g.input("x", self.inputs["x"].shape.clone());
        let mut params = vec![];
        for (pair, act) in self.params.chunks(2).zip(&self.acts) {
            let mut declare = |(name, array): &(String, Array)| {
                let init = Init::Values(array.data.clone());
                let param = g.param(name, array.shape.clone(), init);
                params.push(param);
                param
            };
            let (w, b) = (declare(&pair[0]), declare(&pair[1]));
            x = names::activation(act, x.matmul(w) + b)?;
        }
        let y = functions::targets(g, "y", &self.loss, x, &self.inputs["y"])?;
        let loss = names::loss(&self.loss, x, y)?;
        Ok(Written { params, output: x, loss })
    }
}

/// A part for the gradients and one for each optimizer.
pub(crate) fn parts(value: &Value) -> Result<Vec<Part>, String> {
    let fields = Fields::of(value)?;
    fields.text("kind")?;
    let net = Arc::new(Net::read(&fields)?);
    let mut expected = vec![
        Expected::new("output", fields.array("output")?, What::Forward(net.terms)),
        Expected::new("value", Array::scalar(fields.number("value")?), What::Forward(net.terms)),
    ];
    let grads = fields.arrays("grads")?;
    all_named("grads", &grads, &net)?;
    let grads = grads.into_iter();
    expected.extend(grads.map(|(n, a)| Expected::new(format!("d{n}"), a, What::Gradient)));
    let own = Arc::clone(&net);
    let compute = move |way| gradients(&own, way);
    let mut parts = vec![Part { name: "gradients".into(), expected, compute: Box::new(compute) }];
    let after = match fields.maybe("after") {
        None => &vec![],
        Some(after) => after.as_array().ok_or("`after` is no list")?,
    };
    for (i, value) in after.iter().enumerate() {
        let part = trained(&net, i, value).map_err(|e| format!("`after` {i}: {e}"))?;
        parts.push(part);
    }
    fields.finish(&["note"])?;
    Ok(parts)
}

/// Whether `arrays` are one for each parameter, of its shape.
fn all_named(what: &str, arrays: &[(String, Array)], net: &Net) -> Result<(), String> {
    for (name, array) in arrays {
        let fits = |p: &&(String, Array)| p.0 == *name && p.1.shape == array.shape;
        if net.params.iter().filter(fits).count() != 1 {
            return Err(format!("`{what}.{name}` is of no parameter"));
        }
    }
    match arrays.len() == net.params.len() {
        true => Ok(()),
        false => Err(format!("`{what}` has {} arrays", arrays.len())),
    }
}

/// Output, loss and gradients.
fn gradients(net: &Net, way: Way) -> Result<Named, String> {
    let write = |g: &Graph| {
        let written = net.write(g)?;
        g.output("output", written.output);
        g.output("value", written.loss);
        for (param, (name, _)) in written.params.iter().zip(&net.params) {
            g.output(&format!("d{name}"), written.loss.grad(*param));
        }
        Ok(())
    };
    once(way, &write, &net.inputs)
}

/// Losses and parameters of steps of training.
fn trained(net: &Arc<Net>, number: usize, value: &Value) -> Result<Part, String> {
    let fields = Fields::of(value)?;
    let name = fields.text("optimizer")?;
    let hp = Fields::of(fields.get("hp")?).map_err(|e| format!("`hp`: {e}"))?;
    let optimizer = Optimizer::read(name, &hp).map_err(|e| format!("`hp`: {e}"))?;
    let steps = count(fields.get("steps")?).map_err(|e| format!("`steps`: {e}"))?;
    let history = numbers(fields.get("loss_history")?)?;
    let params = fields.arrays("params")?;
    fields.finish(&["note"])?;
    all_named("params", &params, net)?;
    if history.len() != steps + 1 || steps == 0 {
        return Err(format!("{} losses for {steps} steps", history.len()));
    }
    let first = Array::scalar(history[0]);
    let mut expected = vec![Expected::new("first loss", first, What::Forward(net.terms))];
    let later = history[1..].iter().enumerate();
    expected.extend(later.map(|(i, &loss)| {
        Expected::new(format!("loss after {}", i + 1), Array::scalar(loss), What::Trained)
    }));
    expected.extend(params.into_iter().map(|(n, a)| Expected::new(n, a, What::Trained)));
    let net = Arc::clone(net);
    let compute = move |way| train(&net, optimizer, steps, way);
    Ok(Part { name: format!("after{number}_{name}"), expected, compute: Box::new(compute) })
}

/// Runs the train step once more than parameters are looked at: its loss is that of the parameters before it.
fn train(net: &Net, optimizer: Optimizer, steps: usize, way: Way) -> Result<Named, String> {
    let write = |g: &Graph| {
        let written = net.write(g)?;
        g.output("loss", written.loss);
        optimizer.minimize(written.loss);
        Ok(())
    };
    let runs = several(way, &write, &net.inputs, steps + 1)?;
    let mut found = Named::new();
    for (i, run) in runs.iter().enumerate() {
        let name = if i == 0 { "first loss".to_string() } else { format!("loss after {i}") };
        found.insert(name, run.outputs["loss"].clone());
    }
    found.extend(runs[steps - 1].states.clone());
    Ok(found)
}
