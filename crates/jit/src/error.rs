//! What can go wrong when compiling and when running.

use crate::isa::{ISA_VARIABLE, Isa};
use eggrad_ir::DType;
use std::fmt;

/// Why a plan could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JitError {
    /// There is no machine-code back end for this processor.
    #[error("no machine code can be made for this processor: {0}")]
    Unsupported(String),
    /// The instructions that were asked for are not there.
    #[error(
        "this processor has no {lacks}, which `{isa}` needs; leave the choice to it with `host`, or take `clif`"
    )]
    MissingIsa {
        /// What was asked for.
        isa: Isa,
        /// The first feature it lacks.
        lacks: &'static str,
    },
    /// The environment variable names no instructions.
    #[error(
        "`{ISA_VARIABLE}` is `{0}`, which is none of `host`, `avx512`, `avx2`, `clif` and `baseline`"
    )]
    UnknownIsa(String),
    /// The system gave no memory for code.
    #[error(
        "no memory for {bytes} bytes of machine code: {what}; some systems refuse memory that can be executed"
    )]
    Memory {
        /// Bytes of all functions.
        bytes: usize,
        /// What the system said.
        what: String,
    },
    /// Intermediate values need more bytes than there are or than may be used.
    #[error(
        "intermediate values need {bytes} bytes, but only {allowed} are there; use smaller sizes or batches"
    )]
    TooLarge {
        /// Bytes of the arena.
        bytes: usize,
        /// Bytes that it may have.
        allowed: usize,
    },
    /// The plan would read or write outside its buffers, or is otherwise broken: a bug of the scheduler.
    #[error("internal error: the plan is invalid: {0}")]
    Plan(String),
    /// The code generator refused a kernel: a bug of this crate.
    #[error("internal error: kernel `{kernel}`: {what}")]
    Internal {
        /// Name of the kernel.
        kernel: String,
        /// What the code generator said.
        what: String,
    },
}

/// What an argument of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An input.
    Input,
    /// An output.
    Output,
    /// A state.
    State,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Input => "input",
            Role::Output => "output",
            Role::State => "state",
        })
    }
}

/// Why a run was refused or stopped. No state was written, but for [`RunError::Panicked`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// Too few or too many arrays.
    #[error("expected {expected} {role} arrays, got {got}")]
    Count {
        /// Of what.
        role: Role,
        /// How many the plan has.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// An array has another element type.
    #[error("{role} `{name}` has element type {}, got {}", .expected.name(), .got.name())]
    DType {
        /// Of what.
        role: Role,
        /// Its name.
        name: String,
        /// Type in the plan.
        expected: DType,
        /// Type given.
        got: DType,
    },
    /// An array has another number of elements.
    #[error("{role} `{name}` has {expected} elements, got {got}")]
    Elements {
        /// Of what.
        role: Role,
        /// Its name.
        name: String,
        /// Elements in the plan.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// An integer lies outside the range that the input declares.
    #[error(
        "input `{input}` must lie between {} and {}, but element {position} is {value}",
        range.0, range.1
    )]
    OutOfRange {
        /// Name of the input.
        input: String,
        /// Row-major position of the first such element.
        position: usize,
        /// Its value.
        value: i64,
        /// Least and greatest allowed value.
        range: (f64, f64),
    },
    /// A state is mapped to an entry that the store does not have.
    #[error("state `{name}` is mapped to entry {entry} of a store with {entries} entries")]
    NoEntry {
        /// The state.
        name: String,
        /// The entry.
        entry: usize,
        /// Number of entries.
        entries: usize,
    },
    /// Two states, one of which is written, are mapped to one entry.
    #[error("states `{first}` and `{second}` are both mapped to entry {entry}, and one is written")]
    SharedEntry {
        /// One state.
        first: String,
        /// Another state.
        second: String,
        /// Their entry.
        entry: usize,
    },
    /// `run_shared` on a plan that writes a state.
    #[error("state `{name}` is written, so its store cannot be shared")]
    Writes {
        /// The state.
        name: String,
    },
    /// There is no memory for intermediate values.
    #[error(
        "intermediate values need {bytes} bytes, which there are not; use smaller sizes or batches"
    )]
    Memory {
        /// Bytes of the arena.
        bytes: usize,
    },
    /// The workspace was made by another executable.
    #[error("the workspace belongs to another executable")]
    ForeignWorkspace,
    /// A part of a split loop panicked, on this thread or another: a bug of this crate. The rest of the loop was done, the
    /// kernels after it did not run, so states may have been written in part. The next run works.
    #[error(
        "internal error: a part of a split loop panicked; states may have been written in part"
    )]
    Panicked,
    /// The guarded value is infinite or NaN; the run stopped before any state was written.
    #[error("`{name}` is {value}; no state was written")]
    NonFinite {
        /// What is guarded.
        name: String,
        /// Its value.
        value: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_what_is_wrong() {
        let check = |error: RunError, text: &str| assert_eq!(error.to_string(), text);
        check(
            RunError::Count { role: Role::Input, expected: 2, got: 1 },
            "expected 2 input arrays, got 1",
        );
        check(
            RunError::DType {
                role: Role::Output,
                name: "y".into(),
                expected: DType::F32,
                got: DType::F64,
            },
            "output `y` has element type f32, got f64",
        );
        check(
            RunError::OutOfRange {
                input: "labels".into(),
                position: 3,
                value: 10,
                range: (0.0, 9.0),
            },
            "input `labels` must lie between 0 and 9, but element 3 is 10",
        );
        check(
            RunError::NonFinite { name: "loss".into(), value: f64::INFINITY },
            "`loss` is inf; no state was written",
        );
    }
}
