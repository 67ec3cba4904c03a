//! Train steps for other systems to start from: `METRIC/index.json` names the arrays, which lie beside it as
//! little-endian bytes, and has the first losses.

use crate::{Failure, Running};
use eggrad::prelude::*;
use serde_json::json;
use std::fs;
use std::path::Path;

/// Steps whose losses are compared.
const STEPS: usize = 10;

/// Writes a train step that has not run yet to `FOLDER/WORKLOAD.METRIC`, then runs it.
pub(crate) fn train_step(
    running: &mut Running,
    folder: &Path,
    workload: &str,
    metric: &str,
) -> Result<(), Failure> {
    let folder = folder.join(format!("{workload}.{metric}"));
    fs::create_dir_all(&folder)?;
    let entry = |kind: &str, name: &str, shape: &[usize], array: ArrayRef<'_>| {
        let (dtype, bytes): (&str, Vec<u8>) = match array {
            ArrayRef::F32(values) => ("f32", values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            ArrayRef::I32(values) => ("i32", values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            _ => return Err(Failure::from(format!("`{name}` is neither f32 nor i32"))),
        };
        let file = format!("{kind}.{name}");
        fs::write(folder.join(&file), bytes)?;
        Ok(json!({ "name": name, "file": file, "dtype": dtype, "shape": shape }))
    };
    let plan = running.session.program().executable().plan();
    let mut inputs = vec![];
    for (slot, array) in plan.inputs.iter().zip(&running.inputs) {
        inputs.push(entry("input", &slot.name, slot.ty.shape.dims(), array.view())?);
    }
    let mut parameters = vec![];
    for slot in plan.states.iter().filter(|slot| slot.kind == StateKind::Param) {
        let array = running.store.get(&slot.name).ok_or("a parameter that the store lacks")?;
        parameters.push(entry("param", &slot.name, slot.ty.shape.dims(), array)?);
    }
    let mut losses = vec![];
    for _ in 0..STEPS {
        running.run()?;
        losses.push(running.outputs[0][0]);
    }
    let index = json!({
        "workload": workload, "metric": metric, "inputs": inputs, "params": parameters,
        "losses": losses,
    });
    fs::write(folder.join("index.json"), serde_json::to_string_pretty(&index)?)?;
    Ok(())
}
