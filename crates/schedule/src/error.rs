//! What keeps a graph from being scheduled.

use eggrad_ir::{At, TensorType};
use thiserror::Error;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A derivative is left to resolve.
    #[error("`grad` at {at} is not resolved\nhelp: differentiate the graph before it is scheduled")]
    Grad {
        /// Where the user wrote it.
        at: At,
    },
    /// A call is left to write into its caller.
    #[error("`call` at {at} is not inlined\nhelp: inline calls before the graph is scheduled")]
    Call {
        /// Where the user wrote it.
        at: At,
    },
    /// An axis is too long to be indexed, or its rows too far apart.
    #[error(
        "`{op}` at {at} indexes an axis of {ty} that has more than 2^32 - 1 positions or rows longer than that\n\
         help: split the axis"
    )]
    TooLarge {
        /// Name of the op.
        op: &'static str,
        /// Type of the operand that is indexed.
        ty: TensorType,
        /// Where the user wrote it.
        at: At,
    },
}
