//! The `eggrad` command: a symbolic calculator over the compiler.
//!
//! [`run`] is the whole command without a process: arguments in, text and exit code out.
//!
//! ```
//! let output = eggrad_cli::run(["eggrad", "diff", "w^3", "--wrt", "w", "--set", "w=2"]);
//! assert_eq!(output.code, 0);
//! assert_eq!(output.stdout.lines().next(), Some("3*w^2"));
//! assert_eq!(output.stdout.lines().nth(1), Some("at w = 2: 12"));
//! ```
//!
//! [`formula`] reads graphs as formulas and writes them as they are written by hand, [`program`] reads what a user
//! types, [`steps`] follows values and derivatives through it, and [`picture`] draws that.
#![forbid(unsafe_code)]

mod args;
mod command;
pub mod evaluate;
pub mod explain;
pub mod failure;
pub mod formula;
pub mod given;
pub mod picture;
pub mod program;
pub mod show;
pub mod source;
pub mod steps;

use args::{Arguments, Command};
use clap::Parser;
use command::Answer;
use failure::Failure;
use serde_json::json;
use std::ffi::OsString;
use std::io::Read;

/// What a run of the command leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The answer.
    pub stdout: String,
    /// Mistakes and notes.
    pub stderr: String,
    /// 0 when all is well, 1 for a mistake in what was given, 2 for a mistake in how the command was called.
    pub code: u8,
}

/// Runs the command on arguments, the first of which is its name. Nothing panics, whatever they are.
pub fn run<T: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> Output {
    run_with(arguments, &mut std::io::stdin())
}

/// [`run`] with a standard input of one's own.
pub fn run_with<T: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = T>,
    stdin: &mut dyn Read,
) -> Output {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render().to_string();
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return match error.use_stderr() {
                true => Output { stdout: String::new(), stderr: text, code },
                false => Output { stdout: text, stderr: String::new(), code },
            };
        }
    };
    let answer = match &arguments.command {
        Command::Diff(args) => command::diff(args, stdin),
        Command::Eval(args) => command::eval(args, stdin),
        Command::Simplify(args) => command::simplify(args, stdin),
        Command::Print(args) => command::print(args, stdin),
        Command::Dot(args) => command::dot(args, stdin),
        Command::Picture(args) => command::picture(args, stdin),
        Command::Explain(args) => command::explain(args, stdin),
        Command::Check(args) => command::check(args, stdin),
    };
    let is_check = matches!(arguments.command, Command::Check(_));
    output(answer, arguments.json, is_check)
}

fn output(answer: Result<Answer, Failure>, as_json: bool, is_check: bool) -> Output {
    match answer {
        Ok(Answer { text, json, notes }) => {
            let stdout = if as_json { format!("{json}\n") } else { text };
            let stderr = notes.iter().map(|note| format!("note: {note}\n")).collect();
            Output { stdout, stderr, code: 0 }
        }
        Err(failure) => {
            let object = match is_check {
                true => json!({ "ok": false, "errors": failure.json() }),
                false => json!({ "errors": failure.json() }),
            };
            let stdout = if as_json { format!("{object}\n") } else { String::new() };
            Output { stdout, stderr: failure.text(), code: 1 }
        }
    }
}
