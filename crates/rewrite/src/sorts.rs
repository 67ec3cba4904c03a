//! What the variables of a rule stand for, seen from where they are used, and rows whose parts do not fit.

use crate::condition::Condition;
use crate::language::{Head, Kind};
use crate::pattern::{Attribute, Expr};
use crate::rational::Rational;
use egg::Var;
use eggrad_ir::{BinaryOp, MarkOp, UnaryOp};
use std::collections::BTreeMap;
use std::fmt;

/// What a variable or a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Axes,
    Type,
    Float,
    Int,
    Bool,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sort::Axes => "a set of axes",
            Sort::Type => "an element type",
            Sort::Float => "a tensor of floats",
            Sort::Int => "a tensor of integers",
            Sort::Bool => "a tensor of truth values",
        })
    }
}

/// What an op, a function of axes or a condition takes at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// This and nothing else.
    Just(Sort),
    /// A set of axes, or a tensor that stands for its axes.
    AxesOf,
    /// Any tensor.
    Tensor,
}

impl Place {
    fn takes(self, sort: Sort) -> bool {
        match self {
            Place::Just(wanted) => sort == wanted,
            Place::AxesOf => sort != Sort::Type,
            Place::Tensor => matches!(sort, Sort::Float | Sort::Int | Sort::Bool),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Just(sort) => sort.fmt(f),
            Place::AxesOf => f.write_str("a set of axes"),
            Place::Tensor => f.write_str("a tensor"),
        }
    }
}

/// What `head` takes, place by place.
fn places(head: &Head) -> Vec<Place> {
    let tensors = match head {
        Head::Select => [Sort::Bool, Sort::Float, Sort::Float].as_slice(),
        Head::Unary(UnaryOp::Not) | Head::Binary(BinaryOp::And | BinaryOp::Or) => {
            &[Sort::Bool, Sort::Bool]
        }
        Head::OneHot => &[Sort::Int],
        Head::Gather => &[Sort::Float, Sort::Int],
        Head::ScatterAdd => &[Sort::Int, Sort::Float],
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
        | Head::Unary(_)
        | Head::Binary(_)
        | Head::Compare(_)
        | Head::Cast
        | Head::Mark(_)
        | Head::Reduce(_)
        | Head::Softmax(_)
        | Head::CrossEntropy(_)
        | Head::Dot
        | Head::Expand
        | Head::Rename
        | Head::Iota
        | Head::Size
        | Head::Opaque(_) => &[Sort::Float, Sort::Float],
    };
    let mut tensors = tensors.iter();
    let place = |kind: &Kind| match kind {
        Kind::Axes => Place::Just(Sort::Axes),
        Kind::Type | Kind::Renaming => Place::Just(Sort::Type),
        Kind::Tensor if *head == Head::Cast => Place::Tensor,
        Kind::Tensor => Place::Just(tensors.next().copied().unwrap_or(Sort::Float)),
    };
    head.takes().iter().map(place).collect()
}

/// What a term is.
fn result(head: &Head) -> Sort {
    match head {
        Head::Unary(UnaryOp::Not)
        | Head::Binary(BinaryOp::And | BinaryOp::Or)
        | Head::Compare(_) => Sort::Bool,
        Head::Axes(_) => Sort::Axes,
        Head::Renaming(_) | Head::Type(_) => Sort::Type,
        Head::Const(..)
        | Head::Unary(_)
        | Head::Binary(_)
        | Head::Select
        | Head::Cast
        | Head::Mark(_)
        | Head::Reduce(_)
        | Head::Softmax(_)
        | Head::CrossEntropy(_)
        | Head::Dot
        | Head::Expand
        | Head::Rename
        | Head::OneHot
        | Head::Gather
        | Head::ScatterAdd
        | Head::Iota
        | Head::Size
        | Head::Opaque(_) => Sort::Float,
    }
}

/// What the variables of a left side stand for.
pub(crate) fn bind(left: &Expr) -> Result<BTreeMap<Var, Sort>, String> {
    fn walk(
        expr: &Expr,
        place: Place,
        user: &str,
        found: &mut BTreeMap<Var, Sort>,
        open: &mut Vec<Var>,
    ) -> Result<(), String> {
        match expr {
            Expr::Var(var) => {
                let Place::Just(sort) = place else {
                    open.push(*var);
                    return Ok(());
                };
                let known = *found.entry(*var).or_insert(sort);
                match known == sort {
                    true => Ok(()),
                    false => Err(format!("uses {var} as {known} and as {sort}")),
                }
            }
            Expr::Number(value) => number(*value, place, user),
            Expr::Term(head, args) => {
                if *head == Head::Mark(MarkOp::Keep) {
                    return Err("looks through `keep`, which protects what is written".into());
                }
                term(head, place, user)?;
                for (arg, place) in args.iter().zip(places(head)) {
                    walk(arg, place, head.name(), found, open)?;
                }
                Ok(())
            }
            Expr::Attribute(function, _) => {
                Err(format!("has `{}` on its left side", function.name()))
            }
        }
    }
    let (mut found, mut open) = (BTreeMap::new(), vec![]);
    if let Expr::Term(head, _) = left
        && result(head) != Sort::Float
    {
        let sort = result(head);
        return Err(format!("has a left side that is {sort}, not {}", Sort::Float));
    }
    walk(left, Place::Just(Sort::Float), "", &mut found, &mut open)?;
    for var in open {
        let sort = *found.entry(var).or_insert(Sort::Float);
        if !Place::Tensor.takes(sort) {
            return Err(format!("uses {var} as {sort} and as a tensor"));
        }
    }
    Ok(found)
}

fn number(value: Rational, place: Place, user: &str) -> Result<(), String> {
    match place.takes(Sort::Float) && place != Place::AxesOf {
        true => Ok(()),
        false => Err(format!("gives `{user}` the number {value} instead of {place}")),
    }
}

fn term(head: &Head, place: Place, user: &str) -> Result<(), String> {
    let (name, is) = (head.name(), result(head));
    match place.takes(is) && place != Place::AxesOf {
        true => Ok(()),
        false => Err(format!("gives `{user}` a `{name}`, {is}, instead of {place}")),
    }
}

fn variable(var: Var, place: Place, user: &str, known: &BTreeMap<Var, Sort>) -> Result<(), String> {
    let Some(&sort) = known.get(&var) else {
        return Err(format!("uses {var}, which its left side does not bind"));
    };
    // Where an op takes axes, a tensor stands for its axes.
    let place = if place == Place::Just(Sort::Axes) { Place::AxesOf } else { place };
    match place.takes(sort) {
        true => Ok(()),
        false if user.is_empty() => Err(format!("makes {var}, {sort}, of {}", Sort::Float)),
        false => Err(format!("gives `{user}` {var}, {sort}, instead of {place}")),
    }
}

/// Whether a right side fits what its variables stand for.
pub(crate) fn fits(right: &Expr, known: &BTreeMap<Var, Sort>) -> Result<(), String> {
    fn walk(
        expr: &Expr,
        place: Place,
        user: &str,
        known: &BTreeMap<Var, Sort>,
    ) -> Result<(), String> {
        match expr {
            Expr::Var(var) => variable(*var, place, user, known),
            Expr::Number(value) => number(*value, place, user),
            Expr::Term(head, args) => {
                term(head, place, user)?;
                let mut places = places(head).into_iter();
                args.iter().try_for_each(|arg| {
                    walk(arg, places.next().unwrap_or(Place::Tensor), head.name(), known)
                })
            }
            Expr::Attribute(function, args) => {
                let (gives, takes) = match function {
                    Attribute::Union | Attribute::Minus | Attribute::Meet => {
                        (Sort::Axes, Place::AxesOf)
                    }
                    Attribute::Type => (Sort::Type, Place::Tensor),
                    Attribute::Power => (Sort::Float, Place::Just(Sort::Float)),
                };
                let name = function.name();
                if place != Place::Just(gives) && !(place == Place::AxesOf && gives == Sort::Axes) {
                    return Err(format!("has `{name}`, {gives}, in the place of {place}"));
                }
                args.iter().try_for_each(|arg| walk(arg, takes, name, known))
            }
        }
    }
    if let Expr::Term(head, _) = right
        && result(head) != Sort::Float
    {
        return Err(format!("makes {} of {}", result(head), Sort::Float));
    }
    walk(right, Place::Just(Sort::Float), "", known)
}

/// Whether a condition fits what its variables stand for.
pub(crate) fn asks_what_is(
    condition: &Condition,
    known: &BTreeMap<Var, Sort>,
) -> Result<(), String> {
    let user = condition.asks.name();
    let mut places = condition.args.iter().zip(condition.asks.takes());
    places.try_for_each(|(var, place)| variable(*var, *place, user, known))
}
