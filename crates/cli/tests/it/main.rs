//! Tests of the command, most of them without a process.

mod course;
mod derivatives;
mod help;
mod mistakes;
mod page;
mod process;

use eggrad_cli::{Output, run_with};
use serde_json::Value;

/// Runs the command with nothing on standard input.
fn run(arguments: &[&str]) -> Output {
    run_on(arguments, "")
}

/// Runs the command with `input` on standard input.
fn run_on(arguments: &[&str], input: &str) -> Output {
    let arguments = ["eggrad"].iter().chain(arguments).copied();
    run_with(arguments, &mut input.as_bytes())
}

/// What a command prints that succeeds without a note.
fn answer(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{arguments:?}");
    output.stdout
}

/// What a command prints as JSON.
fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
    serde_json::from_str(&output.stdout).expect("one JSON object")
}
