//! What a run refuses.

use eggrad_ir::{At, TensorType};
use thiserror::Error;

/// Why a graph cannot be run on the arrays given.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InterpError {
    /// Another number of arrays than the graph declares.
    #[error("the graph has {expected} {what}, but {found} arrays were given")]
    Count {
        /// `inputs` or `states`.
        what: &'static str,
        /// As declared.
        expected: usize,
        /// As given.
        found: usize,
    },
    /// An array of another type than declared.
    #[error("`{name}` is declared {expected}, but the array given is {found}{}", place(declared))]
    Type {
        /// Name of the input or state.
        name: String,
        /// As declared.
        expected: TensorType,
        /// As given.
        found: TensorType,
        /// Where it was declared.
        declared: At,
    },
    /// An array whose elements are not those its type says.
    #[error(
        "the array given for `{name}` has {elements} elements of another kind or number than its type {ty}"
    )]
    Malformed {
        /// Name of the input or state.
        name: String,
        /// What the array claims to be.
        ty: TensorType,
        /// How many elements it has.
        elements: usize,
    },
    /// An integer outside the range that its input declares.
    #[error(
        "`{name}` is declared to hold {low} to {high}, but element {index} is {value}{}",
        place(declared)
    )]
    Range {
        /// Name of the input.
        name: String,
        /// Smallest allowed.
        low: f64,
        /// Largest allowed.
        high: f64,
        /// Row-major position of the first element outside.
        index: usize,
        /// That element.
        value: i64,
        /// Where the input was declared.
        declared: At,
    },
    /// A derivative that nobody resolved.
    #[error("a `grad` is left in the graph{}; differentiate before running", place(at))]
    Grad {
        /// Where it was written.
        at: At,
    },
    /// A node with more elements than the interpreter takes on.
    #[error("`{op}` makes {ty}, more than the interpreter takes on{}", place(at))]
    TooLarge {
        /// Name of the op.
        op: &'static str,
        /// Its type.
        ty: TensorType,
        /// Where it was written.
        at: At,
    },
    /// A scan of more steps than the interpreter takes on.
    #[error("`scan` takes {length} steps, more than the interpreter takes on{}", place(at))]
    TooLong {
        /// Number of steps.
        length: usize,
        /// Where it was written.
        at: At,
    },
}

fn place(at: &At) -> String {
    match at {
        At::Unknown => String::new(),
        At::Source(_) | At::Text { .. } => format!(" (at {at})"),
    }
}
