//! The order in which terms and factors are written.
//!
//! Powers of variables come first and fall: `3*x^2 + 2*x + 1`. Terms with functions rise, as the product rule leaves
//! them: `3*w^2*sin(w) + w^3*cos(w)`. They stand before powers unless these are higher. A number is last, but a sum
//! does not begin with a minus if it can begin without.

use super::expr::{Base, Expr, Term};
use super::number::Number;
use num_traits::{Signed, Zero};
use std::cmp::Ordering;

/// The factors of a term as they are written.
pub(crate) fn factors(term: &Term) -> Vec<&(Base, Expr)> {
    let mut list: Vec<&(Base, Expr)> = term.factors.iter().collect();
    list.sort_by(|a, b| (kind(a), by_habit(a), a).cmp(&(kind(b), by_habit(b), b)));
    list
}

/// Sines stand before cosines, all else by name.
fn by_habit((base, _): &(Base, Expr)) -> bool {
    matches!(base, Base::Call(call) if call.name != "sin")
}

/// Variables, then what is raised to formulas, exponentials, functions, and groups last.
fn kind((base, power): &(Base, Expr)) -> u8 {
    match base {
        Base::Name(..) if power.as_constant().is_some() => 0,
        Base::Number(_) => 1,
        Base::Name(..) => 2,
        Base::E => 3,
        Base::Call(_) => 4,
        Base::Group(_) => 5,
    }
}

/// The terms of a sum as they are written.
pub(crate) fn terms(sum: &Expr) -> Vec<&Term> {
    let (mut powers, mut functions): (Vec<&Term>, Vec<&Term>) =
        sum.terms.iter().partition(|t| is_power(t));
    powers.sort_by(|a, b| falling(a, b));
    functions.sort_by(|a, b| degree(a).cmp(&degree(b)).then_with(|| rest(a).cmp(&rest(b))));
    let first = |list: &[&Term]| list.first().map(|t| degree(t));
    let mut list = match (first(&powers), first(&functions)) {
        (Some(power), Some(function)) if power > function => [powers, functions].concat(),
        _ => [functions, powers].concat(),
    };
    if let Some(number) = list.iter().position(|t| t.factors.is_empty()) {
        let number = list.remove(number);
        list.push(number);
    }
    if list.first().is_some_and(|t| t.coefficient.is_negative())
        && let Some(positive) = list.iter().position(|t| t.coefficient.is_positive())
    {
        let positive = list.remove(positive);
        list.insert(0, positive);
    }
    list
}

/// Whether a term is a number and powers of variables.
fn is_power(term: &Term) -> bool {
    let plain = |f: &(Base, Expr)| matches!(f.0, Base::Name(..)) && f.1.as_constant().is_some();
    term.factors.iter().all(plain)
}

/// The powers of variables together; a product of matrices counts as two.
fn degree(term: &Term) -> Number {
    let degree = |(base, power): &(Base, Expr)| match base {
        Base::Name(..) => power.as_constant(),
        Base::Call(call) if call.name == "@" => Some(Number::from_integer(2)),
        Base::Call(_) | Base::E | Base::Number(_) | Base::Group(_) => None,
    };
    term.factors.iter().filter_map(degree).fold(Number::zero(), |a, b| a + b)
}

/// Higher powers first, then those of names that come first.
fn falling(a: &Term, b: &Term) -> Ordering {
    let by_name = || {
        let (mut a, mut b) = (a.factors.iter(), b.factors.iter());
        loop {
            match (a.next(), b.next()) {
                (None, None) => return Ordering::Equal,
                (Some(_), None) => return Ordering::Less,
                (None, Some(_)) => return Ordering::Greater,
                (Some(x), Some(y)) if x.0 == y.0 => {
                    match y.1.as_constant().cmp(&x.1.as_constant()) {
                        Ordering::Equal => {}
                        other => return other,
                    }
                }
                (Some(x), Some(y)) => return x.0.cmp(&y.0),
            }
        }
    };
    degree(b).cmp(&degree(a)).then_with(by_name)
}

/// What tells terms of one degree apart.
fn rest(term: &Term) -> Vec<&(Base, Expr)> {
    factors(term)
}
