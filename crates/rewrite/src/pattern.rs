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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attribute {
    Union,
    Minus,
    Meet,
    Type,
    /// The power of 2 that brings a constant between 1 and 2.
    Power,
}

impl Attribute {
    /// Every one of them.
    const ALL: [Attribute; 5] =
        [Attribute::Union, Attribute::Minus, Attribute::Meet, Attribute::Type, Attribute::Power];

    /// Name in rule files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Attribute::Union => "union",
            Attribute::Minus => "minus",
            Attribute::Meet => "meet",
            Attribute::Type => "type",
            Attribute::Power => "power",
        }
    }

    fn arity(self) -> usize {
        match self {
            Attribute::Union | Attribute::Minus | Attribute::Meet => 2,
            Attribute::Type | Attribute::Power => 1,
        }
    }
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

/// How many ops an expression has.
pub(crate) fn ops(expr: &Expr) -> usize {
    match expr {
        Expr::Var(_) | Expr::Number(_) => 0,
        Expr::Term(_, args) | Expr::Attribute(_, args) => 1 + args.iter().map(ops).sum::<usize>(),
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

/// How many commutative ops an expression has; it can be written in twice as many orders for each.
pub(crate) fn commuting(expr: &Expr) -> usize {
    match expr {
        Expr::Var(_) | Expr::Number(_) => 0,
        Expr::Term(head, args) => {
            usize::from(head.commutes()) + args.iter().map(commuting).sum::<usize>()
        }
        Expr::Attribute(_, args) => args.iter().map(commuting).sum(),
    }
}

/// The expression with the operands of commutative ops in every order, without those that only rename variables.
pub(crate) fn commuted(expr: &Expr) -> Vec<Expr> {
    commuted_for(expr, &[], &[])
}

/// As [`commuted`], where a renaming counts that conditions on `told_apart` or the sides in `result` would notice.
pub(crate) fn commuted_for(expr: &Expr, result: &[&Expr], told_apart: &[Var]) -> Vec<Expr> {
    let results: Vec<Vec<Expr>> = result.iter().map(|r| orders(r)).collect();
    let mut seen: Vec<Vec<Token<'_>>> = vec![];
    let all = orders(expr);
    let different = |way| {
        let mut names = BTreeMap::new();
        let mut key = shape_of(way, &mut names);
        for ways in &results {
            let least = ways.iter().map(|way| shape_of(way, &mut names.clone())).min();
            key.extend(least.unwrap_or_default());
        }
        for var in told_apart {
            let next = names.len();
            key.push(Token::Var(*names.entry(*var).or_insert(next)));
        }
        let new = !seen.contains(&key);
        if new {
            seen.push(key);
        }
        new
    };
    let kept: Vec<bool> = all.iter().map(different).collect();
    all.into_iter().zip(kept).filter_map(|(way, kept)| kept.then_some(way)).collect()
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

/// What an expression is made of, in the order it is written in; variables are numbered as they come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'e> {
    Var(usize),
    /// Bits of a number.
    Number(u64),
    Term(&'e Head),
    Attribute(Attribute),
    End,
}

fn shape_of<'e>(expr: &'e Expr, names: &mut BTreeMap<Var, usize>) -> Vec<Token<'e>> {
    fn write<'e>(expr: &'e Expr, names: &mut BTreeMap<Var, usize>, out: &mut Vec<Token<'e>>) {
        let (token, args) = match expr {
            Expr::Var(var) => {
                let next = names.len();
                return out.push(Token::Var(*names.entry(*var).or_insert(next)));
            }
            Expr::Number(value) => return out.push(Token::Number(value.to_f64().to_bits())),
            Expr::Term(head, args) => (Token::Term(head), args),
            Expr::Attribute(function, args) => (Token::Attribute(*function), args),
        };
        out.push(token);
        args.iter().for_each(|arg| write(arg, names, out));
        out.push(Token::End);
    }
    let mut out = vec![];
    write(expr, names, &mut out);
    out
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

/// Levels of parentheses that a side may have.
const DEEPEST: usize = 32;

/// Reads one side.
pub(crate) fn expression(text: &str) -> Result<Expr, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut place = 0;
    let expr = parse_expr(&tokens, &mut place, 0)?;
    match tokens.get(place) {
        None => Ok(expr),
        Some(extra) => Err(format!("goes on with `{extra}` after a whole expression")),
    }
}

/// Reads `?name`.
pub(crate) fn variable(text: &str) -> Result<Var, String> {
    let name = text.strip_prefix('?').unwrap_or("");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let var = (!name.is_empty() && name.chars().all(plain)).then(|| text.parse().ok()).flatten();
    var.ok_or(format!("has `{text}` where a variable is `?` and letters, digits or `_`"))
}

fn parse_expr(tokens: &[&str], place: &mut usize, depth: usize) -> Result<Expr, String> {
    const OPEN: &str = "ends in the middle of an expression";
    let token = *tokens.get(*place).ok_or(OPEN)?;
    *place += 1;
    if token != "(" {
        if token.starts_with('?') {
            return Ok(Expr::Var(variable(token)?));
        }
        let number = match token.split_once('/') {
            Some((a, b)) => a.parse().ok().zip(b.parse().ok()),
            None => token.parse().ok().map(|a| (a, 1)),
        };
        let number = number.and_then(|(a, b)| Rational::new(a, b));
        return number.map(Expr::Number).ok_or(format!("knows no atom `{token}`"));
    }
    if depth == DEEPEST {
        return Err(format!("has more than {DEEPEST} levels of parentheses"));
    }
    let name = *tokens.get(*place).ok_or(OPEN)?;
    *place += 1;
    let mut args = vec![];
    while tokens.get(*place) != Some(&")") {
        args.push(parse_expr(tokens, place, depth + 1)?);
    }
    *place += 1;
    let given = args.len();
    let function = Attribute::ALL.into_iter().find(|a| a.name() == name);
    let (expr, arity) = match (function, Head::from_name(name)) {
        (Some(function), _) => (Expr::Attribute(function, args), function.arity()),
        (None, Some(head)) => {
            let arity = head.takes().len();
            (Expr::Term(head, args), arity)
        }
        (None, None) => return Err(format!("knows no op `{name}`")),
    };
    match given == arity {
        true => Ok(expr),
        false => Err(format!("gives `{name}` {given} operands instead of {arity}")),
    }
}
