//! What a user is told when something is wrong: the place, the line with a caret under it, and a way out.

use eggrad::Error;
use eggrad::ir::{At, TypeError};
use serde_json::{Value, json};

/// Characters of a line that are shown.
const SHOWN: usize = 76;

/// What the text form says where something else was wanted.
const PAGE: &str = "see the page on the text form";

/// The same for a reader of formulas.
const FORMULAS: &str = "formulas are made of numbers, names, + - * / ^, parentheses and functions, as in `2*sin(x) + 1`; \
                        lists are given by `--set 'x=[1, 2]'`";

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// Line and column in what was given, from 1.
    pub place: Option<(u32, u32)>,
    /// The line, for a caret.
    pub line: Option<String>,
    /// What to do; may be empty.
    pub help: String,
}

/// Why a command failed: at least one mistake of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub Vec<Mistake>);

impl Failure {
    /// A mistake without a place.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Failure {
        let (message, help) = (message.into(), help.into());
        Failure(vec![Mistake { message, place: None, line: None, help }])
    }

    /// A mistake at a place of `text`.
    pub fn at(text: &str, at: At, message: impl Into<String>, help: impl Into<String>) -> Failure {
        let mut failure = Failure::new(message, help);
        failure.0[0].locate(text, at);
        failure
    }

    /// Mistakes in `text`, which is `what`: an expression or a file.
    pub fn of(what: &str, text: &str, errors: &[TypeError]) -> Failure {
        let mistake = |error: &TypeError| {
            let subject =
                if error.op == "text" { what.to_string() } else { format!("`{}`", error.op) };
            let mut message = format!("{subject} {}", error.message);
            let names = error.operands.iter().map(|o| o.name.len()).max().unwrap_or(0) + 1;
            for operand in &error.operands {
                message += &format!("\n  {:names$} {}", format!("{}:", operand.name), operand.ty);
            }
            let of_text = error.op == "text" && what == "the expression";
            let help = match error.help.as_str() {
                PAGE if of_text => FORMULAS.to_string(),
                help => help.to_string(),
            };
            let mut mistake = Mistake { message, place: None, line: None, help };
            mistake.locate(text, error.at);
            mistake
        };
        Failure(errors.iter().map(mistake).collect())
    }

    /// What a stage of the compiler refused of `text`.
    pub fn of_stage(what: &str, text: &str, error: &Error) -> Failure {
        match error {
            Error::Graph(errors) => Failure::of(what, text, &errors.0),
            Error::Data(error) => Failure::of(what, text, std::slice::from_ref(error)),
            other => Failure::new(other.to_string(), ""),
        }
    }

    /// The text for a terminal.
    pub fn text(&self) -> String {
        let list = self.0.iter().map(Mistake::text);
        list.collect::<Vec<String>>().join("\n")
    }

    /// The mistakes as JSON.
    pub fn json(&self) -> Value {
        let one = |m: &Mistake| {
            let mut object = serde_json::Map::new();
            object.insert("message".to_string(), json!(m.message));
            if let Some((line, column)) = m.place {
                object.insert("line".to_string(), json!(line));
                object.insert("column".to_string(), json!(column));
            }
            if !m.help.is_empty() {
                object.insert("help".to_string(), json!(m.help));
            }
            Value::Object(object)
        };
        Value::Array(self.0.iter().map(one).collect())
    }
}

impl Mistake {
    fn locate(&mut self, text: &str, at: At) {
        if let At::Text { line, column } = at {
            self.place = Some((line, column));
            self.line = text.lines().nth(line as usize - 1).map(str::to_string);
        }
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        if let Some((line, column)) = self.place {
            text += &format!("  at line {line}, column {column}\n");
            if let Some(shown) = &self.line {
                let (shown, before) = cut(shown, column as usize - 1);
                text += &format!("    {shown}\n    {}^\n", " ".repeat(before));
            }
        }
        if !self.help.is_empty() {
            text += &format!("help: {}\n", self.help);
        }
        text
    }
}

/// The part of a line around character number `place`, and where that stands in it.
fn cut(line: &str, place: usize) -> (String, usize) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let line: Vec<char> = line.chars().map(clean).collect();
    if line.len() <= SHOWN {
        return (line.into_iter().collect(), place);
    }
    let first = place.saturating_sub(SHOWN / 2).min(line.len().saturating_sub(SHOWN));
    let last = (first + SHOWN).min(line.len());
    let start = if first > 0 { "..." } else { "" };
    let end = if last < line.len() { "..." } else { "" };
    let middle: String = line[first..last].iter().collect();
    (format!("{start}{middle}{end}"), place - first.min(place) + start.len())
}

/// The one of `names` that `name` is like, if it is like one.
pub fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let near = |other: &'n str| {
        let distance = strsim::damerau_levenshtein(name, other);
        let same = name.eq_ignore_ascii_case(other);
        let close = same || name.len() > 2 && distance <= 1 + name.len() / 5;
        (close && name.len() <= 60).then_some((distance, other))
    };
    names.into_iter().filter_map(near).min().map(|n| n.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_mistake_also_of_long_lines() {
        let line = format!("{}?{}", "x+".repeat(100), "+x".repeat(100));
        let at = At::Text { line: 1, column: 201 };
        let text = Failure::at(&line, at, "no", "").text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2].find('?'), lines[3].find('^'));
        assert!(lines[2].len() < 90, "{text}");
    }

    #[test]
    fn names_are_found_that_are_meant() {
        assert_eq!(nearest("W", ["w", "v"]), Some("w"));
        assert_eq!(nearest("weigth", ["bias", "weight"]), Some("weight"));
        assert_eq!(nearest("x", ["y", "z"]), None);
    }
}
