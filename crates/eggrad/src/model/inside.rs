//! A look inside: what every layer makes of one input, in the notation of textbooks.

use super::Model;
use super::weights::of_layers;
use crate::error::Error;
use crate::values::{IntoValues, Numbers, Values};
use eggrad_ir::StateKind;
use eggrad_nn::Mode;
use ndarray::ArrayD;
use std::fmt;

/// What a model makes of one input, layer by layer; printed as a table.
///
/// `a^[0]` is the input, `a^[l]` what layer `l` makes, `W^[l]` and `b^[l]` its weight and bias. Layers count that have
/// parameters; what others make, such as a pooling, stands between without a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Inside {
    /// The input, then every layer that lies in no other.
    pub layers: Vec<InsideRow>,
}

/// One layer, with its parameters and what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct InsideRow {
    /// Path of the layer; `input` for the input.
    pub path: String,
    /// Kind, such as `dense`; empty for the input.
    pub kind: String,
    /// Number of the layer: 0 for the input, `None` for a layer without parameters.
    pub number: Option<usize>,
    /// Names of parameters and statistics within the layer, and their shapes.
    pub parameters: Vec<(String, Vec<usize>)>,
    /// What it makes, without the axis of rows.
    pub made: ArrayD<f32>,
}

/// Most numbers that the table shows of a layer; of more it shows the range.
const SHOWN: usize = 10;

impl Model {
    /// What every layer makes of the first row of `x`: for a look inside a model of one input whose layers follow each
    /// other. Compiled anew in each call.
    ///
    /// # Errors
    /// When the rows do not fit the model, there is none, or inputs have not been declared and nothing was fitted.
    #[track_caller]
    pub fn inside<'a>(&self, x: impl IntoValues<'a>) -> Result<Inside, Error> {
        let x = x.into_values();
        let first: Vec<Values<'_>> =
            x.iter().map(|x| if x.rows() > 1 { x.slice(0, 1) } else { x.clone() }).collect();
        let made = self.activations(first.clone())?;
        let written = self.written(Mode::Predict, 1, None)?;
        let mut layers = vec![];
        for (i, x) in first.iter().enumerate() {
            let path = if first.len() == 1 { "input".to_string() } else { format!("input_{i}") };
            let numbers: Vec<f32> = match x.numbers() {
                Numbers::F32(v) => v.to_vec(),
                Numbers::I32(v) => v.iter().map(|&v| v as f32).collect(),
            };
            let made = ArrayD::from_shape_vec(&x.shape()[1..], numbers)
                .expect("internal error: a row has the numbers of its shape");
            layers.push(InsideRow {
                path,
                kind: String::new(),
                number: Some(0),
                parameters: vec![],
                made,
            });
        }
        let mut count = 0;
        for row in written.layers.iter().filter(|row| row.depth == 0) {
            let Some((path, made)) = made.iter().find(|(path, _)| *path == row.path) else {
                continue;
            };
            let within = |path: &str| {
                let name = path.strip_prefix(&row.path)?.strip_prefix('.')?;
                Some(name.to_string())
            };
            let states = self.store.states().filter(|state| of_layers(state.1));
            let mut parameters: Vec<(String, Vec<usize>)> = vec![];
            let mut counts = false;
            for (path, kind, ty) in states {
                if let Some(name) = within(path) {
                    parameters.push((name, ty.shape.dims().to_vec()));
                    counts |= kind != StateKind::Stat;
                }
            }
            count += usize::from(counts);
            // The weight first, as in W·a + b.
            parameters.sort_by_key(|(name, _)| (name != "weight", name.clone()));
            layers.push(InsideRow {
                path: path.clone(),
                kind: row.kind.clone(),
                number: counts.then_some(count),
                parameters,
                made: made.index_axis(ndarray::Axis(0), 0).to_owned(),
            });
        }
        Ok(Inside { layers })
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![["", "layer", "parameters", "makes", "values"].map(String::from)];
        for row in &self.layers {
            let number = row.number.map(|l| format!("^[{l}]")).unwrap_or_default();
            let named = |(name, shape): &(String, Vec<usize>)| match name.as_str() {
                "weight" => format!("W{number} {shape:?}"),
                "bias" => format!("b{number} {shape:?}"),
                other => format!("{other} {shape:?}"),
            };
            let parameters: Vec<String> = row.parameters.iter().map(named).collect();
            let values = if row.made.len() > SHOWN {
                let least = row.made.iter().copied().fold(f32::INFINITY, f32::min);
                let most = row.made.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                format!("from {least:.3} to {most:.3}")
            } else {
                let values = row.made.iter().map(|v| format!("{v:.3}"));
                values.collect::<Vec<_>>().join("  ")
            };
            table.push([
                row.number.map(|l| format!("a^[{l}]")).unwrap_or_default(),
                row.path.clone(),
                parameters.join(", "),
                format!("{:?}", row.made.shape()),
                values,
            ]);
        }
        let width = |i: usize| table.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
        let lines = table.iter().map(|[number, layer, parameters, makes, values]| {
            let line = format!("{number:a$}  {layer:b$}  {parameters:c$}  {makes:d$}  {values}");
            line.trim_end().to_string()
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}
