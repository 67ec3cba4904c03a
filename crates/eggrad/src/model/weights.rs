//! Parameters by path, as arrays.

use super::Model;
use crate::error::Error;
use eggrad_ir::{At, DType, Operand, StateKind, TensorType, TypeError};
use eggrad_jit::{ArrayMut, ArrayRef};
use ndarray::{ArrayD, ArrayView, Dimension, IxDyn};
use std::collections::BTreeMap;

/// Parameters and statistics of layers by path, such as `dense_1.weight`.
pub type Weights = BTreeMap<String, ArrayD<f32>>;

/// Whether states of this kind belong to layers.
pub(super) fn of_layers(kind: StateKind) -> bool {
    match kind {
        StateKind::Param | StateKind::Frozen | StateKind::Stat => true,
        StateKind::Slot | StateKind::Counter => false,
    }
}

impl Model {
    /// Copies of all parameters and statistics of layers. Empty before the model is built: by [`Model::build`], or by
    /// the first `fit`.
    #[doc(alias = "get_weights")]
    #[doc(alias = "state_dict")]
    pub fn weights(&self) -> Weights {
        let states =
            self.store.states().filter(|(_, kind, ty)| of_layers(*kind) && ty.dtype == DType::F32);
        states.filter_map(|(path, _, _)| Some((path.to_string(), self.weight(path)?))).collect()
    }

    /// A copy of one of them.
    pub fn weight(&self, path: &str) -> Option<ArrayD<f32>> {
        let (_, _, ty) = self.store.states().find(|s| s.0 == path)?;
        let Some(ArrayRef::F32(values)) = self.store.get(path) else { return None };
        let array = ArrayD::from_shape_vec(IxDyn(ty.shape.dims()), values.to_vec());
        Some(array.expect("internal error: a state has the numbers of its shape"))
    }

    /// Sets all of `weights`, or none: parts of a model, as in transfer learning, or all of it.
    ///
    /// # Errors
    /// Paths that the model does not have and shapes that differ, all of them.
    #[doc(alias = "load_state_dict")]
    #[track_caller]
    pub fn set_weights(&mut self, weights: &Weights) -> Result<(), Error> {
        let at = At::here();
        let errors: Vec<TypeError> = weights
            .iter()
            .filter_map(|(path, array)| self.misfit(path, array.shape(), at))
            .collect();
        if !errors.is_empty() {
            return Err(errors.into());
        }
        for (path, array) in weights {
            if let Some(ArrayMut::F32(to)) = self.store.get_mut(path) {
                to.iter_mut().zip(array).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    /// Sets one of them.
    ///
    /// # Errors
    /// A path that the model does not have, or another shape.
    #[track_caller]
    pub fn set_weight<D: Dimension>(
        &mut self,
        path: &str,
        values: ArrayView<'_, f32, D>,
    ) -> Result<(), Error> {
        let at = At::here();
        if let Some(error) = self.misfit(path, values.shape(), at) {
            return Err(error.into());
        }
        if let Some(ArrayMut::F32(to)) = self.store.get_mut(path) {
            to.iter_mut().zip(&values).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    /// Why a weight of this shape cannot be at `path`, if so.
    fn misfit(&self, path: &str, shape: &[usize], at: At) -> Option<TypeError> {
        let given = TensorType::new(DType::F32, shape);
        let state = self.store.states().find(|s| s.0 == path && of_layers(s.1));
        let mut error = match state {
            Some((_, _, ty)) if *ty == given => return None,
            Some((_, _, ty)) => {
                let help = "give it the shape that the layer has";
                let message = format!("is {ty} in the model, not {given}");
                TypeError::new(path, at, message, help)
            }
            None => {
                let states = self.store.states().filter(|s| of_layers(s.1));
                let known: Vec<&str> = states.map(|s| s.0).collect();
                let message = match known.is_empty() {
                    true => "is no weight of the model, which has none yet".to_string(),
                    false => format!("is no weight of the model, which has {}", known.join(", ")),
                };
                let help = "name one of these; a model has weights after `build` or `fit`";
                TypeError::new(path, at, message, help)
            }
        };
        error.operands = vec![Operand { name: "given".to_string(), ty: given, at: At::Unknown }];
        Some(error)
    }
}
