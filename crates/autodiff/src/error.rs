//! Why a graph cannot be differentiated.

use crate::missing::MissingGradient;
use eggrad_ir::TensorType;
use thiserror::Error;

/// What [`crate::resolve`] refuses.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AutodiffError {
    /// Derivatives with respect to parameters that are zero by construction.
    #[error("{}", .0.iter().map(MissingGradient::to_string).collect::<Vec<_>>().join("\n\n"))]
    Missing(Vec<MissingGradient>),
    /// The function that prepares a forward graph changed its leaves or number of outputs.
    #[error("internal error: preparing for differentiation changed the {what} of the graph")]
    Leaves {
        /// `inputs`, `states` or `outputs`.
        what: &'static str,
    },
    /// The function that prepares a forward graph changed an output's name or type.
    #[error(
        "internal error: preparing for differentiation turned output `{expected}: {expected_type}` into `{found}: {found_type}`"
    )]
    Output {
        /// Its name.
        expected: String,
        /// Its type.
        expected_type: TensorType,
        /// The name found.
        found: String,
        /// The type found.
        found_type: TensorType,
    },
}
