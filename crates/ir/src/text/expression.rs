//! Expressions by themselves, as `mean((y - x @ w)^2)`.

use super::elaborate::{Found, Scope, elaborate, float_of, nearest};
use super::lex::Tokens;
use super::syntax::{Term, Tree};
use crate::error::TypeErrors;
use crate::graph::{Builder, Graph, NodeId};
use crate::types::{At, DType, TensorType};
use std::collections::BTreeMap;

/// Appends what `text` says to `builder`; `names` are the values it can name.
///
/// The language is that of the right sides of the text form: `+ - * / @ ^`, comparisons, `and or not`, `|x|`, calls of
/// ops and of formulas by name. Numbers take the element type of what stands beside them, or that of the first float
/// among the builder's leaves.
///
/// # Errors
/// Everything that is wrong, with line and column in `text`.
pub fn expression(
    builder: &mut Builder,
    names: &BTreeMap<String, NodeId>,
    text: &str,
) -> Result<NodeId, TypeErrors> {
    let float = float_of(builder);
    expression_of(builder, names, text, float)
}

/// [`expression`]; numbers that stand alone have the type `float`.
///
/// # Errors
/// As [`expression`].
pub fn expression_of(
    builder: &mut Builder,
    names: &BTreeMap<String, NodeId>,
    text: &str,
    float: DType,
) -> Result<NodeId, TypeErrors> {
    let one = |error| TypeErrors(vec![error]);
    let mut tokens = Tokens::new(text, 1).map_err(one)?;
    let tree = Tree::parse(&mut tokens).map_err(one)?;
    tokens.expect_end().map_err(one)?;
    let value = |name: &str| names.get(name).map_or(Found::Unknown, |&id| Found::Known(id));
    let help = |name: &str| match nearest(name, names.keys().map(String::as_str)) {
        Some(near) => format!("is `{near}` meant?"),
        None => "pass the values that the expression names".to_string(),
    };
    let scope = Scope { value: &value, function: &|_| Found::Unknown, help: &help, float };
    let mut errors = vec![];
    match elaborate(&tree, builder, &scope, &mut errors) {
        Some(id) => Ok(id),
        None => Err(TypeErrors(errors)),
    }
}

/// The names that `text` reads, each with every place where it stands, in order; also those that mean a number where
/// nothing is called so, such as `pi`.
///
/// # Errors
/// What keeps the text from being read, with line and column.
pub fn names(text: &str) -> Result<Vec<(String, At)>, TypeErrors> {
    let one = |error| TypeErrors(vec![error]);
    let mut tokens = Tokens::new(text, 1).map_err(one)?;
    let tree = Tree::parse(&mut tokens).map_err(one)?;
    tokens.expect_end().map_err(one)?;
    let name = |place: &super::syntax::Place<'_>| match place.term {
        Term::Name { name, .. } => Some((name.to_string(), place.at)),
        _ => None,
    };
    Ok(tree.terms.iter().filter_map(name).collect())
}

/// A variable of an expression: its name, its type and, if its values are known to lie in one, an interval.
pub type Variable<'v> = (&'v str, TensorType, Option<(f64, f64)>);

impl Graph {
    /// The graph that computes `text` from `inputs`; its output is `y`.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_expression(text: &str, inputs: &[Variable<'_>]) -> Result<Graph, TypeErrors> {
        let mut builder = Builder::new();
        let mut names = BTreeMap::new();
        for (name, ty, range) in inputs {
            let id = builder.declare_input(name, ty.clone(), *range, At::Unknown);
            names.insert(name.to_string(), id);
        }
        let y = expression(&mut builder, &names, text)?;
        builder.output("y", y);
        builder.build()
    }
}
