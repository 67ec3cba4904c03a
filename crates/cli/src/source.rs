//! What a command works on: an expression, or a graph in the text form from a file or from standard input.

use crate::failure::Failure;
use crate::program::Program;
use eggrad::ir::Graph;
use std::io::Read;
use std::path::Path;

/// Bytes of a file or of standard input.
const MOST_BYTES: u64 = 64 << 20;

/// Ends of names by which files are told from expressions.
const ENDINGS: [&str; 4] = [".graph", ".txt", ".ir", ".egg"];

/// What was given.
#[derive(Clone, Debug)]
pub enum Source {
    /// A graph in the text form, with its text.
    Graph(Graph, String),
    /// An expression or a program.
    Program(Program),
}

/// Reads what `argument` means: `-` is standard input; what ends as a file name does, or contains no operator and is
/// the name of a file with an ending, is a file; all else is an expression. A text whose first line says `graph` is
/// in the text form.
///
/// # Errors
/// Files that cannot be read, and texts with mistakes.
pub fn source(argument: &str, stdin: &mut dyn Read) -> Result<Source, Failure> {
    let text = match is_file(argument) {
        true => file(argument, stdin)?,
        false => argument.to_string(),
    };
    if !is_graph(&text) {
        return Program::read(&text).map(Source::Program);
    }
    match text.parse() {
        Ok(graph) => Ok(Source::Graph(graph, text)),
        Err(eggrad::ir::TypeErrors(errors)) => Err(Failure::of("the text", &text, &errors)),
    }
}

/// Whether an argument is standard input or a file.
pub fn is_file(argument: &str) -> bool {
    let named = |end: &&str| argument.ends_with(*end) && argument.len() > end.len();
    let word = !argument.contains(|c: char| c.is_whitespace() || "*+^()=;".contains(c));
    let ending = Path::new(argument).extension().is_some();
    argument == "-"
        || word && (ENDINGS.iter().any(named) || ending && Path::new(argument).is_file())
}

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// What cannot be read, is too long, or is no text.
pub fn file(path: &str, stdin: &mut dyn Read) -> Result<String, Failure> {
    let name = if path == "-" { "standard input" } else { path };
    let cannot =
        |what: String, help: &str| Failure::new(format!("cannot read {name}: {what}"), help);
    let mut bytes = vec![];
    let read =
        |from: &mut dyn Read, bytes: &mut Vec<u8>| from.take(MOST_BYTES + 1).read_to_end(bytes);
    let result = match path {
        "-" => read(stdin, &mut bytes),
        path => std::fs::File::open(path).and_then(|mut file| read(&mut file, &mut bytes)),
    };
    result.map_err(|e| cannot(e.to_string(), "check the name; an expression stands in quotes"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(cannot(format!("it has more than {MOST_BYTES} bytes"), ""));
    }
    String::from_utf8(bytes).map_err(|_| cannot("it is no text".to_string(), ""))
}

/// Whether the first line that says something says `graph`.
fn is_graph(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let said = |line: &&str| !line.is_empty() && !line.starts_with(';');
    let first = text.lines().map(str::trim).find(said).unwrap_or("");
    first.split_whitespace().next() == Some("graph")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_expressions() {
        for file in ["-", "model.txt", "dir/model.graph", "../a.ir"] {
            assert!(is_file(file), "{file}");
        }
        for expression in ["w^3", "x.a", "-x", "a/b", ".txt", "x*y.txt", "f(x.txt)"] {
            assert!(!is_file(expression), "{expression}");
        }
    }

    #[test]
    fn graphs_are_told_by_their_first_line() {
        let read = |text: &str| source("-", &mut text.as_bytes());
        assert!(matches!(
            read("; a remark\n\ngraph 2\nin x: f32[]\nout y = x\n"),
            Ok(Source::Graph(..))
        ));
        assert!(matches!(read("graph2 + 1"), Ok(Source::Program(_))));
        let Err(failure) = read("graph 2\nout y = x\n") else { panic!("a wrong graph was read") };
        assert_eq!(failure.0[0].place, Some((2, 9)));
        let Err(failure) = source("nowhere.txt", &mut std::io::empty()) else { panic!("no file") };
        assert!(failure.text().contains("nowhere.txt"), "{}", failure.text());
    }
}
