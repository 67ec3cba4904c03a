//! The commands: from arguments to text and JSON.

mod diff;
mod eval;
mod graphs;

pub(crate) use diff::diff;
pub(crate) use eval::eval;
pub(crate) use graphs::{check, dot, explain, picture, print, simplify};

use crate::args::Formula;
use crate::failure::Failure;
use crate::formula::Style;
use crate::given::{Given, given};
use crate::program::Program;
use crate::source::{Source, source};
use crate::steps::Trace;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// What a command has to say.
pub(crate) struct Answer {
    /// For a reader.
    pub(crate) text: String,
    /// For a program.
    pub(crate) json: Value,
    /// What is worth knowing beside the answer.
    pub(crate) notes: Vec<String>,
}

impl Answer {
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Answer {
        Answer { text: text.into(), json, notes: vec![] }
    }
}

/// The formula and the values that the arguments give.
fn read(formula: &Formula, stdin: &mut dyn Read) -> Result<(Source, Given), Failure> {
    let given = given(&formula.set, formula.dtype.dtype())?;
    let source = source(&formula.formula, stdin)?;
    Ok((source, given))
}

/// How numbers of a program are written: with decimals if it or its values have decimals.
fn style(program: &Program) -> Style {
    Style { decimals: program.has_decimals() }
}

/// A program, where a graph is no use.
fn program(source: Source, what: &str) -> Result<Program, Failure> {
    match source {
        Source::Program(program) => Ok(program),
        Source::Graph(..) => Err(Failure::new(
            format!("`eggrad {what}` takes a formula, not a graph in the text form"),
            "give the formula in quotes; `eggrad eval FILE --grad NAME` computes derivatives of graphs",
        )),
    }
}

/// Tells of values for names that nothing reads.
fn unused(
    given: &Given,
    known: &dyn Fn(&str) -> bool,
    like: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let unknown = given.keys().filter(|name| !known(name));
    let note = |name: &String| {
        let hint = like(name).map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
        format!("`--set {name}` is not used: the formula has no `{name}`{hint}")
    };
    unknown.map(note).collect()
}

/// Writes the picture of a trace into a file.
fn draw(trace: &Trace, path: &Path) -> Result<(), Failure> {
    let picture = match path.extension().and_then(|e| e.to_str()) {
        Some("svg") => crate::picture::svg(trace),
        Some("dot" | "gv") => crate::picture::dot(trace),
        _ => {
            return Err(Failure::new(
                format!("cannot tell what kind of picture `{}` is", path.display()),
                "call the file something.svg or something.dot",
            ));
        }
    };
    std::fs::write(path, picture).map_err(|error| {
        let message = format!("cannot write `{}`: {error}", path.display());
        Failure::new(message, "check the folder and its permissions")
    })
}
