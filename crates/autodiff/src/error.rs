//! Why a graph cannot be differentiated.

use crate::missing::MissingGradient;
use eggrad_ir::{At, MAX_DEPTH, TensorType};
use thiserror::Error;

/// What [`crate::resolve`] refuses.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum AutodiffError {
    /// Derivatives with respect to parameters that are zero by construction.
    #[error("{}", .0.iter().map(MissingGradient::to_string).collect::<Vec<_>>().join("\n\n"))]
    Missing(Vec<MissingGradient>),
    /// The derivative of a scan would stack more than a tensor can hold.
    #[error(
        "the derivative of a `scan` of {steps} steps keeps up to {value} per step, more than any memory holds{}\nhelp: \
         take fewer steps, or put `stop_gradient` around what the scan begins with and reads",
        places(*.at, *.asked)
    )]
    Stack {
        /// Steps of the scan.
        steps: usize,
        /// Type of the largest value of a step, or of a step of a scan inside it.
        value: TensorType,
        /// Where the scan was written.
        at: At,
        /// Where the derivative was asked for.
        asked: At,
    },
    /// A Jacobian has more elements than a tensor can hold.
    #[error(
        "the Jacobian of {of} with respect to {wrt} has more elements than any memory holds\nhelp: take products with \
         it, by `vjp`, `jvp` or `hvp`, or that of fewer elements"
    )]
    Jacobian {
        /// Type of what is differentiated.
        of: TensorType,
        /// Type of what it is differentiated with respect to.
        wrt: TensorType,
    },
    /// Sub-graphs of the derivative would nest too deep.
    #[error(
        "the derivative nests sub-graphs more than {MAX_DEPTH} deep{}\nhelp: write some functions, branches or loop \
         bodies into what applies them",
        places(*.at, *.asked)
    )]
    Depth {
        /// Where the outermost sub-graph is applied.
        at: At,
        /// Where the derivative was asked for.
        asked: At,
    },
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

/// Lines that say where a value was written and where its derivative was asked for, as far as that is known.
fn places(at: At, asked: At) -> String {
    let line = |what: &str, at: At| match at {
        At::Unknown => String::new(),
        At::Source(_) | At::Text { .. } => format!("\n  {what} at {at}"),
    };
    line("written", at) + &line("derivative asked", asked)
}
