//! Choices inside choices: what a condition says about the branch it leads to.

use super::expr::{Base, Call, Expr};
use super::number::Number;

/// The formula with `maximum`, `minimum`, `relu` and `abs` replaced where the conditions around them decide, and without
/// choices that are decided.
pub(crate) fn decided(expr: &Expr) -> Option<Expr> {
    within(expr, &[])
}

/// `known` are calls and what they are equal to.
fn within(expr: &Expr, known: &[(Call, Expr)]) -> Option<Expr> {
    expr.map(&|base| {
        Some(match base {
            Base::E | Base::Number(_) | Base::Name(..) => Expr::base(base.clone()),
            Base::Group(inner) => within(inner, known)?,
            Base::Call(call) => self::call(call, known)?,
        })
    })
}

fn call(call: &Call, known: &[(Call, Expr)]) -> Option<Expr> {
    if let Some((_, value)) = known.iter().find(|k| k.0 == *call) {
        return Some(value.clone());
    }
    let operands: Option<Vec<Expr>> = match (call.name.as_str(), call.operands.as_slice()) {
        ("where", [condition, a, b]) => {
            let condition = within(condition, known)?;
            if let Some(truth) = truth(&condition) {
                return within(if truth { a } else { b }, known);
            }
            let (mut then, mut otherwise) = (known.to_vec(), known.to_vec());
            learn(&condition, &mut then, &mut otherwise);
            Some(vec![condition, within(a, &then)?, within(b, &otherwise)?])
        }
        (_, operands) => operands.iter().map(|o| within(o, known)).collect(),
    };
    let operands = operands?;
    if call.name == "where"
        && let [_, a, b] = operands.as_slice()
        && a == b
    {
        return Some(a.clone());
    }
    Some(Expr::base(Base::Call(Call { operands, ..call.clone() })))
}

/// Whether a comparison of numbers, or of a formula with itself, holds; `None` for what is no such comparison.
fn truth(condition: &Expr) -> Option<bool> {
    let call = condition.as_call()?;
    let [a, b] = call.operands.as_slice() else { return None };
    let zero = Number::from_integer(0);
    let (a, b) = match a == b {
        true => (zero, zero),
        false => (a.as_constant()?, b.as_constant()?),
    };
    match call.name.as_str() {
        "<" => Some(a < b),
        ">" => Some(a > b),
        "<=" => Some(a <= b),
        ">=" => Some(a >= b),
        "==" => Some(a == b),
        "!=" => Some(a != b),
        _ => None,
    }
}

/// Adds what `condition` says of calls, where it holds and where it does not.
fn learn(condition: &Expr, then: &mut Vec<(Call, Expr)>, otherwise: &mut Vec<(Call, Expr)>) {
    let Some(call) = condition.as_call() else { return };
    let [a, b] = call.operands.as_slice() else { return };
    let pair = |name: &str, value: &Expr| {
        let of = |operands: Vec<Expr>| {
            let call = Call { name: name.to_string(), operands, attributes: vec![], shape: None };
            (call, value.clone())
        };
        [of(vec![a.clone(), b.clone()]), of(vec![b.clone(), a.clone()])]
    };
    let (larger, smaller) = match call.name.as_str() {
        ">" | ">=" => (a, b),
        "<" | "<=" => (b, a),
        "==" => {
            then.extend(pair("maximum", b).into_iter().chain(pair("minimum", b)));
            return;
        }
        _ => return,
    };
    then.extend(pair("maximum", larger).into_iter().chain(pair("minimum", smaller)));
    otherwise.extend(pair("maximum", smaller).into_iter().chain(pair("minimum", larger)));
    let one = |name: &str, operand: &Expr, value: Expr| {
        let operands = vec![operand.clone()];
        (Call { name: name.to_string(), operands, attributes: vec![], shape: None }, value)
    };
    if *smaller == Expr::zero() {
        then.push(one("relu", larger, larger.clone()));
        then.push(one("abs", larger, larger.clone()));
        otherwise.push(one("relu", larger, Expr::zero()));
        otherwise.push(one("abs", larger, larger.negated()));
    }
    if *larger == Expr::zero() {
        then.push(one("relu", smaller, Expr::zero()));
        then.push(one("abs", smaller, smaller.negated()));
        otherwise.push(one("relu", smaller, smaller.clone()));
        otherwise.push(one("abs", smaller, smaller.clone()));
    }
}
