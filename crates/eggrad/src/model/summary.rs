//! A model as a table.

use super::Model;
use crate::error::Error;
use eggrad_ir::TensorType;
use eggrad_nn::{LayerRow, Mode};
use std::fmt;

/// The layers of a model with what they make and how many numbers they hold; printed as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Every layer, those inside of another after it.
    pub layers: Vec<LayerRow>,
    /// Numbers that training changes.
    pub trainable: usize,
    /// Numbers that it does not: those of layers that are not trainable, and statistics.
    pub fixed: usize,
}

impl Model {
    /// The layers, when the inputs are known.
    ///
    /// # Errors
    /// When no input has been declared and nothing was fitted, or the model has mistakes.
    #[track_caller]
    pub fn summary(&self) -> Result<Summary, Error> {
        self.known_inputs("summary", eggrad_ir::At::here())?;
        let written = self.written(Mode::Predict, 2, None)?;
        let built = written.graph.build()?;
        let (mut trainable, mut fixed) = (0, 0);
        for (state, kind) in built.graph.states().iter().zip(&built.kinds) {
            let count = state.ty.shape.elements();
            if *kind == eggrad_ir::StateKind::Param { trainable += count } else { fixed += count }
        }
        Ok(Summary { layers: written.layers, trainable, fixed })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![["layer", "kind", "output", "parameters"].map(String::from)];
        for layer in &self.layers {
            let own = layer.path.rsplit('.').next().unwrap_or(&layer.path);
            let name = format!("{}{own}", "  ".repeat(layer.depth));
            let count = match (layer.shared, layer.trainable, layer.fixed) {
                (true, _, _) => "shared".to_string(),
                (false, trainable, 0) => grouped(trainable),
                (false, trainable, fixed) => {
                    format!("{} + {} fixed", grouped(trainable), grouped(fixed))
                }
            };
            table.push([name, layer.kind.clone(), rows_of(layer.output.as_ref()), count]);
        }
        let width = |i: usize| table.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2), width(3)];
        for (i, [name, kind, output, count]) in table.iter().enumerate() {
            let [a, b, c, d] = widths;
            writeln!(f, "{name:a$}  {kind:b$}  {output:c$}  {count:>d$}")?;
            if i == 0 {
                writeln!(f, "{}", "-".repeat(a + b + c + d + 6))?;
            }
        }
        let (trainable, fixed) = (grouped(self.trainable), grouped(self.fixed));
        write!(f, "{trainable} trainable parameters, {fixed} others")
    }
}

/// A shape whose first size is the number of rows.
fn rows_of(ty: Option<&TensorType>) -> String {
    let Some(ty) = ty else { return "?".to_string() };
    let sizes = ty.shape.dims().iter().skip(1).map(|d| format!(", {d}"));
    format!("[rows{}]", sizes.collect::<String>())
}

/// A number with its thousands apart.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
