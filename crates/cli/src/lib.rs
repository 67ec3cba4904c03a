//! The `eggrad` command.
#![forbid(unsafe_code)]

pub mod formula;
