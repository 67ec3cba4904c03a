//! Whether a class may match a left side when moves are looked through.

use crate::facts::{Data, Egraph};
use crate::language::{Head, Term};
use crate::moves::{moved, moves_of};
use crate::pattern::Expr;
use egg::{Id, Var};
use eggrad_ir::{BinaryOp, UnaryOp};
use std::cell::Cell;

/// Moves that are looked through, one inside the other.
pub(crate) const DEPTH: usize = 4;

/// Classes that are looked at to answer one question.
const LOOKS: usize = 2000;

/// Ops that normal forms see through: a left side matches inside their sums and products.
pub(crate) fn is_arithmetic(head: &Head) -> bool {
    use BinaryOp::{Add, Div, Mul, Sub};
    matches!(head, Head::Binary(Add | Sub | Mul | Div) | Head::Unary(UnaryOp::Neg))
}

/// Whether an expression holds an op other than sums and products.
pub(crate) fn has_function(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Number(_) => false,
        Expr::Term(head, args) => !is_arithmetic(head) || args.iter().any(has_function),
        Expr::Attribute(_, args) => args.iter().any(has_function),
    }
}

/// Whether a class may match an expression, perhaps through moves. Classes that hold themselves can be looked through in
/// ever more ways, so only so many classes are looked at; beyond, it does not.
pub(crate) fn fits(egraph: &Egraph, id: Id, expr: &Expr, depth: usize) -> bool {
    fits_within(egraph, id, expr, depth, &Cell::new(LOOKS))
}

fn fits_within(egraph: &Egraph, id: Id, expr: &Expr, depth: usize, looks: &Cell<usize>) -> bool {
    match expr {
        Expr::Var(_) | Expr::Attribute(..) => true,
        Expr::Number(value) => {
            matches!(&egraph[id].data, Data::Tensor(f) if f.constant == Some(*value))
        }
        Expr::Term(..) => {
            let Some(left) = looks.get().checked_sub(1) else { return false };
            looks.set(left);
            direct_within(egraph, id, expr, depth, looks).is_some()
                || depth > 0
                    && moves_of(egraph, id).any(|term| {
                        let places = moved(egraph, term);
                        let fit =
                            |&p: &usize| fits_within(egraph, term.args[p], expr, depth - 1, looks);
                        places.iter().any(fit)
                    })
        }
    }
}

/// The term of a class that has the op of an expression and may match it.
pub(crate) fn direct<'a>(
    egraph: &'a Egraph,
    id: Id,
    expr: &Expr,
    depth: usize,
) -> Option<&'a Term> {
    direct_within(egraph, id, expr, depth, &Cell::new(LOOKS))
}

fn direct_within<'a>(
    egraph: &'a Egraph,
    id: Id,
    expr: &Expr,
    depth: usize,
    looks: &Cell<usize>,
) -> Option<&'a Term> {
    let Expr::Term(head, args) = expr else { return None };
    let fit = |term: &&Term| {
        let mut operands = term.args.iter().zip(args);
        term.head == *head
            && operands.all(|(&id, expr)| fits_within(egraph, id, expr, depth, looks))
    };
    egraph[id].nodes.iter().find(fit)
}

/// Values of variables, beside those known, with which a class matches an expression.
pub(crate) fn bindings(
    egraph: &Egraph,
    id: Id,
    expr: &Expr,
    known: Vec<(Var, Id)>,
) -> Vec<Vec<(Var, Id)>> {
    match expr {
        Expr::Var(var) => match known.iter().find(|k| k.0 == *var) {
            Some(&(_, other)) if egraph.find(other) != egraph.find(id) => vec![],
            Some(_) => vec![known],
            None => vec![[known, vec![(*var, id)]].concat()],
        },
        Expr::Number(_) => match fits(egraph, id, expr, 0) {
            true => vec![known],
            false => vec![],
        },
        Expr::Term(head, args) => {
            let mut all = vec![];
            for term in egraph[id].nodes.iter().filter(|n| n.head == *head) {
                let mut found = vec![known.clone()];
                for (&id, expr) in term.args.iter().zip(args) {
                    let longer = found.into_iter().flat_map(|k| bindings(egraph, id, expr, k));
                    found = longer.collect();
                }
                all.extend(found);
            }
            all
        }
        Expr::Attribute(..) => vec![],
    }
}

/// Whether an expression reads several elements to make one.
pub(crate) fn mixes(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Number(_) => false,
        Expr::Term(Head::Reduce(_) | Head::Softmax(_) | Head::CrossEntropy(_) | Head::Dot, _) => {
            true
        }
        Expr::Term(_, args) | Expr::Attribute(_, args) => args.iter().any(mixes),
    }
}
