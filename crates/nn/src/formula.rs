//! Formulas as text, among tensors.

use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, NodeId};
use std::collections::BTreeMap;

impl Graph {
    /// The formula `text` of the tensors named in `values`, in the language of the text form: `(a + b) * c / (1 + |a|)`.
    ///
    /// ```
    /// # use eggrad_nn::Graph;
    /// let g = Graph::new();
    /// let (a, b) = (g.input("a", [4, 1]), g.input("b", [3]));
    /// let y = g.expression("exp(-x^2) + sum(y)", &[("x", a), ("y", b)]);
    /// assert_eq!(y.ty().unwrap().shape.dims(), [4, 1]);
    /// ```
    ///
    /// # Errors
    /// Recorded in the graph: a text that is no formula, a name that is not given, operands that do not fit, with
    /// line and column in the text.
    #[track_caller]
    pub fn expression<'g>(&'g self, text: &str, values: &[(&str, Tensor<'g>)]) -> Tensor<'g> {
        let at = At::here();
        let mut names: BTreeMap<String, NodeId> = BTreeMap::new();
        for (name, tensor) in values {
            let Some(id) = self.own("expression", *tensor, at) else { return self.poison() };
            names.insert((*name).to_string(), id);
        }
        let made = eggrad_ir::expression(&mut self.builder.borrow_mut(), &names, text);
        match made {
            Ok(id) => Tensor { graph: self, id: Some(id) },
            Err(errors) => {
                for mut error in errors.0 {
                    error.message = format!("{}, at {} of `{text}`", error.message, error.at);
                    error.at = at;
                    self.record(error);
                }
                self.poison()
            }
        }
    }
}
