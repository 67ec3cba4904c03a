//! Expressions as they are given: one, or a small program of named steps such as `c = w*x; J = (c - y)^2/2`.

use crate::failure::{Failure, nearest};
use crate::given::Given;
use eggrad::ir::{
    At, Builder, DType, Graph, NodeId, Op, ReduceOp, TensorType, expression_of, names,
};
use std::collections::{BTreeMap, BTreeSet};

/// Characters of a program.
const MOST: usize = 20_000;

/// What the result of an expression without a name is called where it needs one.
const RESULT: &str = "result";

/// One step.
#[derive(Clone, Debug)]
struct Statement {
    /// What it names, and where.
    name: Option<(String, At)>,
    /// The expression as it stands.
    text: String,
    /// Blanks and line breaks before it, so that places are those in the whole.
    padding: (usize, usize),
    /// The names it reads, with the first place of each.
    reads: Vec<(String, At)>,
}

/// Steps in order; the value of the last one is the result.
#[derive(Clone, Debug)]
pub struct Program {
    /// As given.
    pub text: String,
    statements: Vec<Statement>,
}

/// A program as nodes.
#[derive(Clone, Debug)]
pub struct Built {
    /// What was built so far.
    pub builder: Builder,
    /// Free variables, in the order in which they are read.
    pub variables: Vec<(String, NodeId)>,
    /// Steps with their names and expressions, the result at the end.
    pub steps: Vec<(String, String, NodeId)>,
    /// The value of the last step.
    pub result: NodeId,
}

impl Program {
    /// Reads a program: steps are separated by `;` or line breaks, and what follows `#` is a remark.
    ///
    /// # Errors
    /// What is no expression, with line and column, and names given twice or used too early.
    pub fn read(text: &str) -> Result<Program, Failure> {
        if text.chars().count() > MOST {
            return Err(Failure::new(
                format!("the expression has more than {MOST} characters"),
                "write it as a file in the text form, as `eggrad print` shows it",
            ));
        }
        let mut statements = vec![];
        for (piece, line, column) in pieces(text) {
            statements.push(statement(text, &piece, line, column)?);
        }
        if statements.is_empty() {
            return Err(Failure::new(
                "the expression is empty",
                "write a formula such as `w^3`, in quotes",
            ));
        }
        let program = Program { text: text.to_string(), statements };
        program.check_names()?;
        Ok(program)
    }

    /// A name is given once, and above the steps that read it.
    fn check_names(&self) -> Result<(), Failure> {
        let mut read: BTreeSet<&str> = BTreeSet::new();
        let mut named: BTreeSet<&str> = BTreeSet::new();
        let count = self.statements.len();
        for (i, statement) in self.statements.iter().enumerate() {
            read.extend(statement.reads.iter().map(|r| r.0.as_str()));
            let Some((name, at)) = &statement.name else {
                if i + 1 < count {
                    let at = statement.place();
                    let help = "name the step, as in `c = w*x`, or remove it";
                    return Err(Failure::at(
                        &self.text,
                        at,
                        "a step has no name, so nothing can use it",
                        help,
                    ));
                }
                continue;
            };
            if !named.insert(name) {
                let message = format!("two steps are called `{name}`");
                return Err(Failure::at(&self.text, *at, message, "rename one"));
            }
            if read.contains(name.as_str()) {
                let message = format!("`{name}` is read before the step that computes it");
                return Err(Failure::at(
                    &self.text,
                    *at,
                    message,
                    "move that step up, or rename it",
                ));
            }
        }
        Ok(())
    }

    /// Whether the program has named steps.
    pub fn has_steps(&self) -> bool {
        self.statements.iter().any(|s| s.name.is_some())
    }

    /// Whether a number has a decimal point.
    pub fn has_decimals(&self) -> bool {
        let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
        let text = self.text.as_bytes();
        let point =
            |i: usize| digit(text.get(i + 1)) && (i == 0 || !text[i - 1].is_ascii_alphabetic());
        (0..text.len()).any(|i| text[i] == b'.' && point(i))
    }

    /// The name of the result, where it has one.
    pub fn result_name(&self) -> Option<&str> {
        self.statements.last()?.name.as_ref().map(|n| n.0.as_str())
    }

    /// A name for the result that no variable has.
    pub fn result_label(&self) -> String {
        let free = |name: &&str| !self.reads(name);
        let own = self.result_name().map(str::to_string);
        let other = || ["J", "y", "f"].iter().find(|n| free(n)).map(|n| n.to_string());
        own.or_else(other).unwrap_or_else(|| RESULT.to_string())
    }

    /// Whether the program names the step `name`.
    pub fn names_step(&self, name: &str) -> bool {
        self.statements.iter().any(|s| s.name.as_ref().is_some_and(|n| n.0 == name))
    }

    /// Whether some step reads `name`.
    pub fn reads(&self, name: &str) -> bool {
        self.statements.iter().any(|s| s.reads.iter().any(|r| r.0 == name))
    }

    /// Names that the program reads and does not compute, in order. `pi` and `e` are numbers unless `taken`.
    pub fn variables(&self, taken: &dyn Fn(&str) -> bool) -> Vec<(String, At)> {
        let mut list: Vec<(String, At)> = vec![];
        for (name, at) in self.statements.iter().flat_map(|s| &s.reads) {
            let number = matches!(name.as_str(), "pi" | "e") && !taken(name);
            if !number && !self.names_step(name) && list.iter().all(|v| v.0 != *name) {
                list.push((name.clone(), *at));
            }
        }
        list
    }

    /// The program as nodes. Variables have the types of their values, or are one float; the step `cut` becomes a
    /// variable of the same type.
    ///
    /// # Errors
    /// What cannot be computed of what: every mistake of the first step that has one.
    pub fn build(&self, given: &Given, float: DType, cut: Option<&str>) -> Result<Built, Failure> {
        let taken = |name: &str| given.contains_key(name) || Some(name) == cut;
        let mut builder = Builder::new();
        let mut known = BTreeMap::new();
        let mut variables = vec![];
        let mut declare = |builder: &mut Builder, name: &str, ty: TensorType, at: At| {
            let id = builder.declare_input(name, ty, None, at);
            known.insert(name.to_string(), id);
            variables.push((name.to_string(), id));
        };
        for (name, at) in self.variables(&taken) {
            let ty = given.get(&name).map_or(TensorType::scalar(float), |t| t.ty.clone());
            declare(&mut builder, &name, ty, at);
        }
        if let Some(cut) = cut.filter(|name| self.names_step(name)) {
            let whole = self.build(given, float, None)?;
            let step = whole.steps.iter().find(|s| s.0 == cut).map(|s| s.2);
            let ty = step.map_or(TensorType::scalar(float), |id| whole.builder.ty(id).clone());
            declare(&mut builder, cut, ty, At::Unknown);
        }
        let mut steps = vec![];
        let mut result = None;
        for statement in &self.statements {
            let name = statement.name.as_ref().map(|n| n.0.as_str());
            if let (Some(name), true) = (name, name == cut && name.is_some()) {
                result = known.get(name).copied();
                continue;
            }
            let id = expression_of(&mut builder, &known, &statement.padded(), float)
                .map_err(|errors| Failure::of("the expression", &self.text, &errors.0))?;
            if let Some(name) = name {
                known.insert(name.to_string(), id);
            }
            let label = name.map_or_else(|| self.result_label(), str::to_string);
            steps.push((label, statement.text.trim().to_string(), id));
            result = Some(id);
        }
        let Some(result) = result else { panic!("internal error: a program has no step") };
        Ok(Built { builder, variables, steps, result })
    }

    /// An unknown name that is like a variable of the program.
    pub fn like(&self, name: &str) -> Option<String> {
        let mut all: Vec<String> = self.variables(&|_| true).into_iter().map(|v| v.0).collect();
        all.extend(self.statements.iter().filter_map(|s| s.name.as_ref().map(|n| n.0.clone())));
        nearest(name, all.iter().map(String::as_str)).map(str::to_string)
    }
}

impl Built {
    /// The result as one number: itself, or the sum of its elements.
    ///
    /// # Errors
    /// When the result is no float.
    pub fn total(&mut self) -> Result<NodeId, Failure> {
        let ty = self.builder.ty(self.result).clone();
        if !ty.dtype.is_float() {
            return Err(Failure::new(
                format!("the expression is a {} and has no derivative", ty.dtype.name()),
                "differentiate a float; `where(x > 0, 1, 0)` makes numbers of a condition",
            ));
        }
        if ty.rank() == 0 {
            return Ok(self.result);
        }
        let axes = (0..ty.rank()).collect();
        Ok(self.builder.node(Op::Reduce(ReduceOp::Sum, axes), &[self.result]))
    }

    /// The graph that computes the given nodes, as outputs by name.
    ///
    /// # Errors
    /// Names that cannot be declared.
    pub fn graph(&self, outputs: &[(String, NodeId)]) -> Result<Graph, Failure> {
        let mut builder = self.builder.clone();
        outputs.iter().for_each(|(name, id)| builder.output(name, *id));
        builder.build().map_err(|errors| Failure::of("the expression", "", &errors.0))
    }
}

impl Statement {
    fn padded(&self) -> String {
        let (lines, columns) = self.padding;
        format!("{}{}{}", "\n".repeat(lines), " ".repeat(columns), self.text)
    }

    fn place(&self) -> At {
        let (line, column) = (self.padding.0 as u32 + 1, self.padding.1 as u32 + 1);
        At::Text { line, column }
    }
}

/// The texts between `;` and line breaks that are not blank, with their lines and columns, both from 0. A line break
/// inside parentheses separates nothing.
fn pieces(text: &str) -> Vec<(String, usize, usize)> {
    let mut list = vec![];
    let mut piece = String::new();
    let (mut line, mut column, mut depth) = (0, 0, 0i32);
    let (mut start, mut remark) = ((0, 0), false);
    for c in text.chars().chain([';']) {
        remark &= c != '\n';
        remark |= c == '#';
        let c = if remark { ' ' } else { c };
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        if c == ';' || c == '\n' && depth <= 0 {
            if !piece.trim().is_empty() {
                list.push((std::mem::take(&mut piece), start.0, start.1));
            }
            piece.clear();
            depth = 0;
        } else if piece.is_empty() && c.is_whitespace() && c != '\n' {
            // Leading blanks are part of the padding.
        } else {
            if piece.is_empty() {
                start = (line, column);
            }
            piece.push(c);
        }
        column += 1;
        if c == '\n' {
            (line, column) = (line + 1, 0);
        }
    }
    list
}

fn statement(whole: &str, piece: &str, line: usize, column: usize) -> Result<Statement, Failure> {
    let word =
        piece.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(piece.len());
    let after = piece[word..].trim_start();
    let assigned = word > 0 && after.starts_with('=') && !after.starts_with("==");
    let mut statement =
        Statement { name: None, text: piece.to_string(), padding: (line, column), reads: vec![] };
    if assigned {
        let name = &piece[..word];
        let at = statement.place();
        if !eggrad::ir::is_name(name) {
            let message = format!("`{name}` cannot be the name of a step");
            return Err(Failure::at(whole, at, message, "names begin with a letter"));
        }
        statement.name = Some((name.to_string(), at));
        let skipped = piece.len() - after.len() + 1;
        statement.padding.1 += piece[..skipped].chars().count();
        statement.text = piece[skipped..].to_string();
    }
    let found =
        names(&statement.padded()).map_err(|e| Failure::of("the expression", whole, &e.0))?;
    for (name, at) in found {
        if statement.reads.iter().all(|r| r.0 != name) {
            statement.reads.push((name, at));
        }
    }
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match Program::read(text) {
            Err(failure) => failure.text(),
            Ok(program) => program.build(&Given::new(), DType::F64, None).unwrap_err().text(),
        }
    }

    #[test]
    fn programs_have_steps_and_variables() {
        let program =
            Program::read("c = w*x; a = c + b # a remark; not a step\nd = a - y\n\nd^2/2").unwrap();
        let variables: Vec<String> =
            program.variables(&|_| false).into_iter().map(|v| v.0).collect();
        assert_eq!(variables, ["w", "x", "b", "y"]);
        let built = program.build(&Given::new(), DType::F64, None).unwrap();
        let steps: Vec<&str> = built.steps.iter().map(|s| s.0.as_str()).collect();
        assert_eq!(steps, ["c", "a", "d", "J"]);
        let cut = program.build(&Given::new(), DType::F64, Some("d")).unwrap();
        assert_eq!(cut.variables.last().unwrap().0, "d");
        assert_eq!(cut.steps.len(), 3);
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, parts) in [
            ("", &["is empty"][..]),
            (" \n; ;", &["is empty"]),
            ("a = 2*w\nb = sen(a)", &["line 2, column 5", "`sen`", "is `sin` meant?"]),
            ("w*x; w", &["no name, so nothing can use it", "column 1"]),
            ("a = 1; a = 2", &["two steps are called `a`", "column 8"]),
            ("b = a; a = 2", &["read before the step", "column 8"]),
            ("w +", &["needs a value here", "column 4"]),
            ("w $ 2", &["'$'", "column 3"]),
        ] {
            let error = error(text);
            for part in parts {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }
}
