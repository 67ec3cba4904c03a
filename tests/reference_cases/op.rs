//! Cases of single ops and layers: the result, and gradients of its sum with given weights.

use crate::case::Part;
use crate::engine::{Named, once};
use crate::json::Fields;
use crate::judge::{Expected, What};
use crate::layers;
use eggrad::prelude::*;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The operands of an op, of which each must be used.
pub(crate) struct Args<'g> {
    tensors: BTreeMap<String, Tensor<'g>>,
    used: RefCell<BTreeSet<String>>,
}

impl<'g> Args<'g> {
    /// The operand called by one of `names`, which may be missing.
    pub(crate) fn maybe(&self, names: &[&str]) -> Option<Tensor<'g>> {
        let name = names.iter().find(|n| self.tensors.contains_key(**n))?;
        self.used.borrow_mut().insert((*name).to_string());
        self.tensors.get(*name).copied()
    }

    pub(crate) fn get(&self, names: &[&str]) -> Result<Tensor<'g>, String> {
        self.maybe(names).ok_or(format!("no operand `{}`", names[0]))
    }

    /// The only operand.
    pub(crate) fn only(&self) -> Result<Tensor<'g>, String> {
        let mut names = self.tensors.keys();
        match (names.next(), names.next()) {
            (Some(name), None) => self.get(&[name]),
            _ => Err(format!("{} operands, not 1", self.tensors.len())),
        }
    }

    /// All operands by name.
    pub(crate) fn all(&self) -> Vec<(&str, Tensor<'g>)> {
        self.used.borrow_mut().extend(self.tensors.keys().cloned());
        self.tensors.iter().map(|(name, t)| (name.as_str(), *t)).collect()
    }

    fn unused(&self) -> Option<&String> {
        let used = self.used.borrow();
        self.tensors.keys().find(|name| !used.contains(*name))
    }
}

/// Writes the op of the file called `name`, whose fields are `op`, for the operands of `inputs` into `g`; returns the
/// operands, the result, and the number of terms of its longest contraction.
fn write<'g>(
    g: &'g Graph,
    name: &str,
    op: &Value,
    inputs: &Named,
) -> Result<(BTreeMap<String, Tensor<'g>>, Tensor<'g>, usize), String> {
    let mut tensors = BTreeMap::new();
    for (arg, array) in inputs.iter().filter(|(arg, _)| *arg != COTANGENT) {
        let shape = array.shape.clone();
        let tensor = match array.integer {
            true => g.input_of(arg, DType::I32, shape),
            false => g.input(arg, shape),
        };
        tensors.insert(arg.clone(), tensor);
    }
    let fields = Fields::of(op).map_err(|e| format!("`op`: {e}"))?;
    let args = Args { tensors, used: RefCell::default() };
    let (y, terms) = layers::apply(g, name, &fields, &args)?;
    fields.finish(&["note"]).map_err(|e| format!("`op`: {e}"))?;
    if let Some(arg) = args.unused() {
        return Err(format!("the op takes no operand `{arg}`"));
    }
    Ok((args.tensors, y, terms))
}

/// Name of the weights of the result among the inputs.
const COTANGENT: &str = "cotangent";

/// One part, for result and gradients.
pub(crate) fn parts(name: &str, value: &Value) -> Result<Vec<Part>, String> {
    let fields = Fields::of(value)?;
    fields.text("kind")?;
    let op = fields.get("op")?.clone();
    let mut inputs: Named = fields.arrays("args")?.into_iter().collect();
    if inputs.contains_key(COTANGENT) {
        return Err(format!("an operand is called `{COTANGENT}`"));
    }
    let (output, grads) = (fields.array("output")?, fields.arrays("grads")?);
    let cotangent = fields.array("cotangent")?;
    fields.finish(&["note"])?;
    if cotangent.shape != output.shape {
        return Err(format!("`cotangent` has shape {:?}", cotangent.shape));
    }
    // Written once now, so that what is not understood is an error of the file.
    let g = Graph::new();
    let (_, y, terms) = write(&g, name, &op, &inputs)?;
    g.output("output", y);
    let built = g.build().map_err(|e| e.to_string())?;
    let shape = built.graph.ty(built.graph.outputs()[0].node).shape.dims().to_vec();
    if shape != output.shape {
        return Err(format!("the result has shape {shape:?}, `output` {:?}", output.shape));
    }
    let mut expected = vec![Expected::new("output", output, What::Forward(terms))];
    for (arg, array) in grads {
        if inputs.get(&arg).is_none_or(|a| a.shape != array.shape || a.integer) {
            return Err(format!("`grads.{arg}` is of no operand"));
        }
        expected.push(Expected::new(format!("d{arg}"), array, What::Gradient));
    }
    inputs.insert(COTANGENT.into(), cotangent);
    let name = name.to_string();
    let compute = move |way| {
        let write = |g: &Graph| {
            let (tensors, y, _) = write(g, &name, &op, &inputs)?;
            g.output("output", y);
            let weights = g.input(COTANGENT, inputs[COTANGENT].shape.clone());
            let loss = (y * weights).sum(..);
            for (arg, tensor) in tensors {
                if !inputs[&arg].integer {
                    g.output(&format!("d{arg}"), loss.grad(tensor));
                }
            }
            Ok(())
        };
        once(way, &write, &inputs)
    };
    Ok(vec![Part { name: String::new(), expected, compute: Box::new(compute) }])
}
