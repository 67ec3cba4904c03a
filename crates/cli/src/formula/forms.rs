//! Other ways to write a formula, and how long each is for a reader.

use super::cases::decided;
use super::expr::{Base, Call, Expr, Term};
use super::number::Number;
use num_traits::{One, Signed};

/// Terms that a product of sums may be expanded to.
const MOST_TERMS: usize = 40;
/// The highest power of a sum that is expanded.
const MOST_POWER: i64 = 8;

/// Another way to write a formula; `None` where it is none or too long.
type Way = dyn Fn(&Expr) -> Option<Expr>;

/// How much there is to read: numbers, names, functions, and signs between terms.
pub(crate) fn length(expr: &Expr) -> usize {
    if expr.terms.is_empty() {
        return 1;
    }
    let terms: usize = expr.terms.iter().map(term_length).sum();
    // A sum of negatives alone begins with a sign, which is easily overlooked.
    let sign = if expr.terms.iter().all(|t| t.coefficient.is_negative()) { 2 } else { 0 };
    terms + expr.terms.len() - 1 + sign
}

fn term_length(term: &Term) -> usize {
    let size = term.coefficient.abs();
    let fraction = number_length(size) - 1;
    let number = usize::from(!size.numer().is_one() || term.factors.is_empty());
    let factors = term.factors.iter().map(|(base, power)| {
        let own = match base {
            Base::E => 0,
            Base::Number(value) => number_length(*value),
            Base::Name(..) => 1,
            Base::Call(call) => 1 + call.operands.iter().map(length).sum::<usize>(),
            Base::Group(inner) => length(inner),
        };
        let constant = power.as_constant().filter(|_| *base != Base::E);
        own + match constant {
            Some(value) if value.abs().is_one() => 0,
            Some(_) => 1,
            None => 1 + length(power),
        }
    });
    number + fraction + factors.sum::<usize>()
}

/// A number, a fraction, or so many decimals that no one wrote them.
fn number_length(value: Number) -> usize {
    match *value.denom() {
        1 => 1,
        2..=1_000_000 => 2,
        _ => 6,
    }
}

/// The formula and the other ways to write it, of equal value. The last ones are expanded throughout, whatever their
/// length.
pub(crate) fn forms(expr: &Expr) -> Vec<Expr> {
    let mut list = vec![expr.clone()];
    let ways: [&Way; 5] = [
        &decided,
        &|e| everywhere(e, &expanded, false),
        &|e| everywhere(e, &together, false),
        &|e| everywhere(e, &chosen, false),
        &|e| everywhere(e, &expanded, true),
    ];
    for way in ways {
        let more: Vec<Expr> = list.iter().filter_map(way).collect();
        for form in more {
            if !list.contains(&form) {
                list.push(form);
            }
        }
    }
    list
}

/// `way` in every part of a formula, from the inside out: where it makes the part shorter, or `always`.
fn everywhere(expr: &Expr, way: &Way, always: bool) -> Option<Expr> {
    let part = |base: &Base| {
        Some(match base {
            Base::E | Base::Number(_) | Base::Name(..) => Expr::base(base.clone()),
            Base::Group(inner) => everywhere(inner, way, always)?,
            Base::Call(call) => {
                let operands = call.operands.iter().map(|o| everywhere(o, way, always));
                let operands = operands.collect::<Option<Vec<Expr>>>()?;
                Expr::base(Base::Call(Call { operands, ..call.clone() }))
            }
        })
    };
    let inner = expr.map(&part)?;
    Some(match way(&inner) {
        Some(form) if always || length(&form) < length(&inner) => form,
        _ => inner,
    })
}

/// Products and powers of sums as sums of products; `None` where they are too long.
fn expanded(expr: &Expr) -> Option<Expr> {
    let mut sum = Expr::zero();
    for term in &expr.terms {
        let mut products = vec![Expr { terms: vec![Term { factors: vec![], ..term.clone() }] }];
        for (base, power) in &term.factors {
            let (factor, times) = match (base, power.as_integer()) {
                (Base::Group(inner), Some(times @ 1..=MOST_POWER)) => ((**inner).clone(), times),
                _ => (Expr::base(base.clone()).power(power)?, 1),
            };
            for _ in 0..times {
                let mut next = vec![];
                for product in &products {
                    for part in &factor.terms {
                        next.push(product.times(&Expr { terms: vec![part.clone()] })?);
                    }
                }
                if next.len() > MOST_TERMS {
                    return None;
                }
                products = next;
            }
        }
        for product in products {
            sum = sum.plus(&product)?;
        }
    }
    Some(sum)
}

/// A sum of quotients as one quotient, its numerator expanded; `None` where nothing is divided.
fn together(expr: &Expr) -> Option<Expr> {
    if expr.terms.len() < 2 {
        return None;
    }
    let mut below: Vec<(Base, Number)> = vec![];
    for (base, power) in expr.terms.iter().flat_map(|t| &t.factors) {
        let Some(power) = power.as_constant().filter(|p| p.is_negative()) else { continue };
        match below.iter_mut().find(|b| b.0 == *base) {
            Some(known) => known.1 = known.1.min(power),
            None => below.push((base.clone(), power)),
        }
    }
    if below.is_empty() {
        return None;
    }
    let mut divisor = Expr::one();
    for (base, power) in below {
        divisor = divisor.times(&Expr::base(base).power(&Expr::constant(-power))?)?;
    }
    let mut above = Expr::zero();
    for term in &expr.terms {
        let term = Expr { terms: vec![term.clone()] };
        above = above.plus(&expanded(&term.times(&divisor)?)?)?;
    }
    above.over(&divisor)
}

/// Choices by one condition as one choice: factors and sums go into the branches, which must not all be longer for it.
fn chosen(expr: &Expr) -> Option<Expr> {
    let mut choices: Vec<(Expr, Expr, Expr)> = vec![];
    let mut rest = Expr::zero();
    for term in &expr.terms {
        let is_choice = |f: &&(Base, Expr)| {
            let call = matches!(&f.0, Base::Call(c) if c.name == "where" && c.operands.len() == 3);
            call && f.1.as_integer() == Some(1)
        };
        let Some((Base::Call(call), _)) = term.factors.iter().find(is_choice) else {
            rest = rest.plus(&Expr { terms: vec![term.clone()] })?;
            continue;
        };
        let mut factor = term.clone();
        factor.factors.retain(|f| !is_choice(&f) || !matches!(&f.0, Base::Call(c) if c == call));
        let factor = Expr { terms: vec![factor] };
        let (a, b) = (factor.times(&call.operands[1])?, factor.times(&call.operands[2])?);
        match choices.iter_mut().find(|c| c.0 == call.operands[0]) {
            Some(known) => {
                known.1 = known.1.plus(&a)?;
                known.2 = known.2.plus(&b)?;
            }
            None => choices.push((call.operands[0].clone(), a, b)),
        }
    }
    if choices.is_empty() {
        return None;
    }
    let mut sum = rest;
    for (condition, a, b) in choices {
        let choice = match a == b {
            true => a,
            false => Expr::function("where", vec![condition, a, b]),
        };
        sum = sum.plus(&choice)?;
    }
    Some(sum)
}
