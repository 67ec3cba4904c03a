//! Formulas as text that is read back as an equal formula.

use super::expr::{Base, Call, Expr, Term};
use super::number::{Number, as_decimals, float};
use super::order;
use num_traits::{One, Signed};
use std::fmt::Write;

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Style {
    /// Whether `1/2` is written as `0.5`: when the formula that was given has decimals.
    pub decimals: bool,
}

/// How strongly a text holds together, weakest first, as in the text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Product,
    Power,
    Atom,
}

struct Text {
    text: String,
    strength: Strength,
}

impl Text {
    fn new(text: impl Into<String>, strength: Strength) -> Text {
        Text { text: text.into(), strength }
    }

    /// In parentheses unless it is at least as strong as `least`.
    fn within(self, least: Strength) -> String {
        if self.strength >= least { self.text } else { format!("({})", self.text) }
    }
}

impl Expr {
    /// The formula as text.
    pub fn text(&self, style: Style) -> String {
        sum(self, style).text
    }
}

fn sum(expr: &Expr, style: Style) -> Text {
    let terms = order::terms(expr);
    match terms.as_slice() {
        [] => Text::new("0", Strength::Atom),
        [single] => term(single, style),
        [first, others @ ..] => {
            let mut text = term(first, style).within(Strength::Sum);
            for other in others {
                let sign = if other.coefficient.is_negative() { '-' } else { '+' };
                let positive = Term { coefficient: other.coefficient.abs(), ..(*other).clone() };
                let shown = term(&positive, style).within(Strength::Product);
                let _ = write!(text, " {sign} {shown}");
            }
            Text::new(text, Strength::Sum)
        }
    }
}

/// A product as a quotient, with its sign before it.
fn term(term: &Term, style: Style) -> Text {
    let (mut above, mut below) = (vec![], vec![]);
    let coefficient = term.coefficient.abs();
    let number = decimals(coefficient, style);
    if number.is_none() && !coefficient.denom().is_one() {
        below.push(Text::new(coefficient.denom().to_string(), Strength::Atom));
    }
    for (base, power) in order::factors(term) {
        let constant = power.as_constant().filter(|_| *base != Base::E);
        match constant {
            Some(value) if value.is_negative() => {
                below.push(factor(base, &Expr::constant(-value), style));
            }
            _ => above.push(factor(base, power, style)),
        }
    }
    let number = match number {
        Some(text) => Some(text),
        None if !coefficient.numer().is_one() => Some(coefficient.numer().to_string()),
        None => None,
    };
    match number {
        Some(text) if text != "1" || above.is_empty() => {
            above.insert(0, Text::new(text, Strength::Atom));
        }
        _ if above.is_empty() => above.push(Text::new("1", Strength::Atom)),
        _ => {}
    }
    let sign = if term.coefficient.is_negative() { "-" } else { "" };
    if below.is_empty() && sign.is_empty() && above.len() == 1 {
        return above.remove(0);
    }
    let joined = |list: Vec<Text>| -> String {
        let list: Vec<String> = list.into_iter().map(|t| t.within(Strength::Power)).collect();
        list.join("*")
    };
    let mut text = format!("{sign}{}", joined(above));
    match below.len() {
        0 => {}
        1 => text = format!("{text}/{}", joined(below)),
        _ => text = format!("{text}/({})", joined(below)),
    }
    Text::new(text, Strength::Product)
}

/// A number that is written by its digits; `None` for a fraction.
fn decimals(value: Number, style: Style) -> Option<String> {
    let parts = *value.denom();
    if parts.is_one() {
        return Some(whole(*value.numer()));
    }
    if style.decimals || parts > 1000 || *value.numer() > 1_000_000_000_000 {
        let exact = as_decimals(value).filter(|text| text.len() <= 12 || parts > 1000);
        return exact.or_else(|| (parts > 1_000_000).then(|| format!("{:?}", float(value))));
    }
    None
}

/// A whole number; one that floats do not hold exactly as a float.
fn whole(value: i128) -> String {
    if value.unsigned_abs() > 1 << 53 { format!("{:?}", value as f64) } else { value.to_string() }
}

/// A power.
fn factor(base: &Base, power: &Expr, style: Style) -> Text {
    if *base == Base::E {
        // `e` may be the name of a variable.
        return Text::new(format!("exp({})", sum(power, style).text), Strength::Atom);
    }
    if power.as_constant() == Some(Number::one()) {
        return plain(base, style);
    }
    if power.as_constant() == Some(Number::new(1, 2)) {
        return Text::new(format!("sqrt({})", plain(base, style).text), Strength::Atom);
    }
    let below = plain(base, style).within(Strength::Atom);
    let above = match sum(power, style) {
        text if text.text.starts_with('-') => format!("({})", text.text),
        text => text.within(Strength::Power),
    };
    Text::new(format!("{below}^{above}"), Strength::Power)
}

fn plain(base: &Base, style: Style) -> Text {
    match base {
        Base::E => Text::new("exp(1)", Strength::Atom),
        Base::Number(value) => match decimals(*value, style) {
            Some(text) => Text::new(text, Strength::Atom),
            None => Text::new(format!("{}/{}", value.numer(), value.denom()), Strength::Product),
        },
        Base::Name(name, _) => Text::new(name.clone(), Strength::Atom),
        Base::Call(call) => self::call(call, style),
        Base::Group(inner) => {
            let inner = sum(inner, style);
            // A product or power that is a group stays one.
            Text { strength: inner.strength.min(Strength::Product), ..inner }
        }
    }
}

fn call(call: &Call, style: Style) -> Text {
    let operand = |i: usize, least: Strength| match call.operands.get(i) {
        Some(operand) => sum(operand, style).within(least),
        None => String::new(),
    };
    let between = |sign: &str, own: Strength, left: Strength, right: Strength| {
        Text::new(format!("{} {sign} {}", operand(0, left), operand(1, right)), own)
    };
    match call.name.as_str() {
        "not" => Text::new(format!("not {}", operand(0, Strength::Compare)), Strength::Not),
        "or" => between("or", Strength::Or, Strength::Or, Strength::And),
        "and" => between("and", Strength::And, Strength::And, Strength::Not),
        "@" => between("@", Strength::Product, Strength::Power, Strength::Power),
        sign @ ("<" | ">" | "<=" | ">=" | "==" | "!=") => {
            between(sign, Strength::Compare, Strength::Sum, Strength::Sum)
        }
        name => {
            let operands = call.operands.iter().map(|o| sum(o, style).text);
            let words: Vec<String> = operands.chain(call.attributes.iter().cloned()).collect();
            Text::new(format!("{name}({})", words.join(", ")), Strength::Atom)
        }
    }
}
