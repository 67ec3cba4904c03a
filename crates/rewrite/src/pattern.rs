//! Sides of rules: expressions over variables, read from text, and the patterns that left sides are matched by.

use crate::language::{Head, Term};
use crate::rational::Rational;
use egg::{ENodeOrVar, Id, Pattern, PatternAst, Var};
use std::collections::BTreeMap;

/// One side of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Var(Var),
    Number(Rational),
    Term(Head, Vec<Expr>),
    Attribute(Attribute, Vec<Expr>),
}

/// Functions of axes, types and constants, on right sides only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Union,
    Minus,
    Meet,
    Type,
    /// The power of 2 that brings a constant between 1 and 2.
    Power,
}

/// A left side as a pattern; numbers are variables that must be these constants.
#[derive(Clone, Debug)]
pub(crate) struct LeftSide {
    pub(crate) pattern: Pattern<Term>,
    pub(crate) numbers: Vec<(Var, Rational)>,
}

/// Variables of an expression, in order.
pub(crate) fn variables(expr: &Expr) -> Vec<Var> {
    match expr {
        Expr::Var(var) => vec![*var],
        Expr::Number(_) => vec![],
        Expr::Term(_, args) | Expr::Attribute(_, args) => args.iter().flat_map(variables).collect(),
    }
}

pub(crate) fn has_attributes(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Number(_) => false,
        Expr::Term(_, args) => args.iter().any(has_attributes),
        Expr::Attribute(..) => true,
    }
}

pub(crate) fn has_dot(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Number(_) => false,
        Expr::Term(head, args) => *head == Head::Dot || args.iter().any(has_dot),
        Expr::Attribute(_, args) => args.iter().any(has_dot),
    }
}

/// The expression with the operands of commutative ops in every order, without those that only rename variables.
pub(crate) fn commuted(expr: &Expr) -> Vec<Expr> {
    commuted_for(expr, &[], &[])
}

/// As [`commuted`], where a renaming counts that conditions on `told_apart` or the sides in `result` would notice.
pub(crate) fn commuted_for(expr: &Expr, result: &[&Expr], told_apart: &[Var]) -> Vec<Expr> {
    let results: Vec<Vec<Expr>> = result.iter().map(|r| orders(r)).collect();
    let mut seen: Vec<String> = vec![];
    let mut different = |expr: &Expr| {
        let mut names = BTreeMap::new();
        let mut key = shape_of(expr, &mut names);
        for ways in &results {
            let least = ways.iter().map(|way| shape_of(way, &mut names.clone())).min();
            key.extend(least);
        }
        for var in told_apart {
            key += &shape_of(&Expr::Var(*var), &mut names);
        }
        !seen.contains(&key) && {
            seen.push(key);
            true
        }
    };
    orders(expr).into_iter().filter(|e| different(e)).collect()
}

/// The expression with the operands of commutative ops in every order.
fn orders(expr: &Expr) -> Vec<Expr> {
    let Expr::Term(head, args) = expr else { return vec![expr.clone()] };
    let mut lists: Vec<Vec<Expr>> = vec![vec![]];
    for arg in args {
        let ways = orders(arg);
        let longer = |list: &Vec<Expr>| {
            let longer = |way: &Expr| [list.as_slice(), std::slice::from_ref(way)].concat();
            ways.iter().map(longer).collect::<Vec<_>>()
        };
        lists = lists.iter().flat_map(longer).collect();
    }
    if head.commutes() {
        for mut list in lists.clone() {
            let n = list.len();
            list.swap(n - 2, n - 1);
            lists.push(list);
        }
    }
    lists.into_iter().map(|list| Expr::Term(head.clone(), list)).collect()
}

/// Text of an expression in which variables are numbered as they come.
fn shape_of(expr: &Expr, names: &mut BTreeMap<Var, usize>) -> String {
    match expr {
        Expr::Var(var) => {
            let next = names.len();
            format!("?{}", names.entry(*var).or_insert(next))
        }
        Expr::Number(value) => format!("{}", value.to_f64()),
        Expr::Term(head, args) => {
            let args: Vec<String> = args.iter().map(|a| shape_of(a, names)).collect();
            format!("({head:?} {})", args.join(" "))
        }
        Expr::Attribute(function, args) => {
            let args: Vec<String> = args.iter().map(|a| shape_of(a, names)).collect();
            format!("({function:?} {})", args.join(" "))
        }
    }
}

pub(crate) fn left_side(expr: &Expr) -> LeftSide {
    fn push(expr: &Expr, ast: &mut PatternAst<Term>, numbers: &mut Vec<(Var, Rational)>) -> Id {
        match expr {
            Expr::Var(var) => ast.add(ENodeOrVar::Var(*var)),
            Expr::Number(value) => {
                let var = Var::from_u32(numbers.len() as u32);
                numbers.push((var, *value));
                ast.add(ENodeOrVar::Var(var))
            }
            Expr::Term(head, args) => {
                let args: Vec<Id> = args.iter().map(|a| push(a, ast, numbers)).collect();
                ast.add(ENodeOrVar::ENode(Term::new(head.clone(), &args)))
            }
            Expr::Attribute(..) => panic!("internal error: an attribute function on a left side"),
        }
    }
    let mut ast = PatternAst::default();
    let mut numbers = vec![];
    push(expr, &mut ast, &mut numbers);
    LeftSide { pattern: Pattern::new(ast), numbers }
}

/// Reads one side.
pub(crate) fn expression(text: &str) -> Result<Expr, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut place = 0;
    let expr = parse_expr(&tokens, &mut place)?;
    match tokens.get(place) {
        None => Ok(expr),
        Some(extra) => Err(format!("goes on with `{extra}` after a whole expression")),
    }
}

fn parse_expr(tokens: &[&str], place: &mut usize) -> Result<Expr, String> {
    let token = *tokens.get(*place).ok_or("ends in the middle of an expression")?;
    *place += 1;
    if token != "(" {
        if token.starts_with('?') {
            return Ok(Expr::Var(token.parse().map_err(|e| format!("has a bad variable: {e}"))?));
        }
        let number = match token.split_once('/') {
            Some((a, b)) => a.parse().ok().zip(b.parse().ok()),
            None => token.parse().ok().map(|a| (a, 1)),
        };
        let number = number.and_then(|(a, b)| Rational::new(a, b));
        return number.map(Expr::Number).ok_or(format!("knows no atom `{token}`"));
    }
    let name = *tokens.get(*place).ok_or("ends in the middle of an expression")?;
    *place += 1;
    let mut args = vec![];
    while tokens.get(*place) != Some(&")") {
        args.push(parse_expr(tokens, place)?);
    }
    *place += 1;
    let (expr, arity) = match name {
        "union" => (Expr::Attribute(Attribute::Union, args), 2),
        "minus" => (Expr::Attribute(Attribute::Minus, args), 2),
        "meet" => (Expr::Attribute(Attribute::Meet, args), 2),
        "type" => (Expr::Attribute(Attribute::Type, args), 1),
        "power" => (Expr::Attribute(Attribute::Power, args), 1),
        _ => {
            let head = Head::from_name(name).ok_or(format!("knows no op `{name}`"))?;
            let arity = head.takes().len();
            (Expr::Term(head, args), arity)
        }
    };
    let (Expr::Term(_, args) | Expr::Attribute(_, args)) = &expr else {
        return Err("has an atom in parentheses".into());
    };
    if args.len() != arity {
        return Err(format!("gives `{name}` {} operands instead of {arity}", args.len()));
    }
    Ok(expr)
}
