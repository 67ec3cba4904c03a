//! What the DSL builds, run by the interpreter.

#[macro_use]
mod common;
mod control;
mod dsl;
mod layers;
mod windows;
