//! Sums of products of powers, collected as they are made.
//!
//! A product of sums stays one: `2*(x + 1)` is a term with the group `x + 1`. A term that is nothing but a number and a
//! group enters a longer sum term by term. Powers of one base meet; that is right wherever both sides have values.

use super::number::{self, Number};
use eggrad::ir::Shape;
use num_traits::{One, Signed, Zero};

/// Terms, operators and functions that one formula may hold.
pub(crate) const MOST: usize = 2000;

/// How deep functions and groups may stand inside each other.
pub(crate) const DEEPEST: usize = 100;

/// A sum of terms in a fixed order; the empty one is 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Expr {
    /// No two with equal factors; no coefficient is 0.
    pub terms: Vec<Term>,
}

/// A number times powers of bases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// Not 0.
    pub coefficient: Number,
    /// Bases in order, each once, with exponents other than 0.
    pub factors: Vec<(Base, Expr)>,
}

/// What is raised to a power.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// Euler's number: `exp(x)` is its power `x`.
    E,
    /// A positive number under an exponent that is not whole.
    Number(Number),
    /// A variable, or a number that is known by name, with the shape of its value.
    Name(String, Shape),
    /// A function or an operator that is no part of sums and products.
    Call(Call),
    /// A sum, or a product under an exponent that is not whole.
    Group(Box<Expr>),
}

/// A function of formulas.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Name of the function, or sign of an operator between two operands.
    pub name: String,
    /// Operands.
    pub operands: Vec<Expr>,
    /// Attributes as they are written, such as `axes=[0]`.
    pub attributes: Vec<String>,
    /// Shape of the value; `None` for elementwise functions, whose operands broadcast.
    pub shape: Option<Shape>,
}

impl Expr {
    /// 0.
    pub fn zero() -> Expr {
        Expr::default()
    }

    /// A number.
    pub fn constant(value: Number) -> Expr {
        Expr::term(value, vec![])
    }

    /// 1.
    pub fn one() -> Expr {
        Expr::constant(Number::one())
    }

    /// A whole number.
    pub fn integer(value: i64) -> Expr {
        Expr::constant(Number::from_integer(value.into()))
    }

    /// A base by itself.
    pub fn base(base: Base) -> Expr {
        Expr::term(Number::one(), vec![(base, Expr::one())])
    }

    /// An elementwise function.
    pub fn function(name: &str, operands: Vec<Expr>) -> Expr {
        let call = Call { name: name.to_string(), operands, attributes: vec![], shape: None };
        Expr::base(Base::Call(call))
    }

    fn term(coefficient: Number, factors: Vec<(Base, Expr)>) -> Expr {
        if coefficient.is_zero() {
            return Expr::zero();
        }
        Expr { terms: vec![Term { coefficient, factors }] }
    }

    /// The number that it is, if it is one.
    pub fn as_constant(&self) -> Option<Number> {
        match self.terms.as_slice() {
            [] => Some(Number::zero()),
            [term] if term.factors.is_empty() => Some(term.coefficient),
            _ => None,
        }
    }

    /// The whole number that it is, if it is a small one.
    pub fn as_integer(&self) -> Option<i64> {
        let value = self.as_constant().filter(Number::is_integer)?;
        i64::try_from(*value.numer()).ok()
    }

    /// The call that it is, if it is nothing else.
    pub(crate) fn as_call(&self) -> Option<&Call> {
        match self.terms.as_slice() {
            [Term { coefficient, factors }] if coefficient.is_one() => match factors.as_slice() {
                [(Base::Call(call), power)] if power.as_constant() == Some(Number::one()) => {
                    Some(call)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The sum; `None` when numbers do not fit.
    pub fn plus(&self, other: &Expr) -> Option<Expr> {
        let mut terms = self.opened().terms;
        for term in other.opened().terms {
            match terms.iter().position(|t| t.factors == term.factors) {
                Some(i) => {
                    terms[i].coefficient = number::sum(terms[i].coefficient, term.coefficient)?;
                    if terms[i].coefficient.is_zero() {
                        terms.remove(i);
                    }
                }
                None => terms.push(term),
            }
        }
        terms.sort_by(|a, b| a.factors.cmp(&b.factors));
        Some(Expr { terms })
    }

    /// The difference; `None` when numbers do not fit.
    pub fn minus(&self, other: &Expr) -> Option<Expr> {
        self.plus(&other.negated())
    }

    /// The negative, term by term.
    pub fn negated(&self) -> Expr {
        let mut result = self.clone();
        result.terms.iter_mut().for_each(|t| t.coefficient = -t.coefficient);
        result
    }

    /// The formula with every coefficient multiplied; `None` when numbers do not fit.
    pub(crate) fn scaled(&self, by: Number) -> Option<Expr> {
        if by.is_zero() {
            return Some(Expr::zero());
        }
        let mut result = self.clone();
        for term in &mut result.terms {
            term.coefficient = number::product(term.coefficient, by)?;
        }
        Some(result)
    }

    /// A number times a group as the sum that it is.
    fn opened(&self) -> Expr {
        if let [Term { coefficient, factors }] = self.terms.as_slice()
            && let [(Base::Group(inner), power)] = factors.as_slice()
            && power.as_constant() == Some(Number::one())
            && let Some(scaled) = inner.scaled(*coefficient)
        {
            return scaled;
        }
        self.clone()
    }

    /// The product; `None` when numbers do not fit.
    pub fn times(&self, other: &Expr) -> Option<Expr> {
        let (mut a, b) = (self.as_factor()?, other.as_factor()?);
        if a.coefficient.is_zero() || b.coefficient.is_zero() {
            return Some(Expr::zero());
        }
        a.coefficient = number::product(a.coefficient, b.coefficient)?;
        for (base, power) in b.factors {
            a.multiply(base, &power)?;
        }
        Some(a.closed())
    }

    /// The quotient; `None` when it divides by 0 or numbers do not fit.
    pub fn over(&self, other: &Expr) -> Option<Expr> {
        self.times(&other.power(&Expr::integer(-1))?)
    }

    /// One term: itself, or a number and a group whose coefficients have no common divisor.
    fn as_factor(&self) -> Option<Term> {
        match self.terms.as_slice() {
            [] => Some(Term { coefficient: Number::zero(), factors: vec![] }),
            [term] => Some(term.clone()),
            _ => {
                // A sum of negatives is the negative of a sum.
                let negative = self.terms.iter().all(|t| t.coefficient.is_negative());
                let content = if negative { -self.content() } else { self.content() };
                let inner = self.scaled(content.recip())?;
                let group = (Base::Group(Box::new(inner)), Expr::one());
                Some(Term { coefficient: content, factors: vec![group] })
            }
        }
    }

    /// The largest positive number by which every coefficient is a whole multiple.
    fn content(&self) -> Number {
        let gcd = |a: i128, b: i128| {
            let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a as i128
        };
        let above = self.terms.iter().map(|t| *t.coefficient.numer()).fold(0, gcd);
        // With decimals there is nothing to gain.
        let few = |d: i128| d <= 1_000_000;
        let below = self.terms.iter().map(|t| *t.coefficient.denom());
        let below = below.fold(1i128, |all, d| match few(all) && few(d) {
            true => all / gcd(all, d) * d,
            false => i128::MAX,
        });
        if above == 0 || !few(below) { Number::one() } else { Number::new(above, below) }
    }

    /// The power; `None` when it divides by 0 or numbers do not fit.
    pub fn power(&self, exponent: &Expr) -> Option<Expr> {
        if exponent.terms.is_empty() {
            return Some(Expr::one());
        }
        if let Some(whole) = exponent.as_integer() {
            let mut base = self.as_factor()?;
            if base.coefficient.is_zero() {
                return (whole > 0).then(Expr::zero);
            }
            base.coefficient = number::power(base.coefficient, whole)?;
            let mut result = Term { coefficient: base.coefficient, factors: vec![] };
            for (base, power) in base.factors {
                result.multiply(base, &power.scaled(Number::from_integer(whole.into()))?)?;
            }
            return Some(result.closed());
        }
        if let Some(value) = self.as_constant() {
            if value.is_one() {
                return Some(Expr::one());
            }
            let half = exponent.as_constant() == Some(Number::new(1, 2));
            if let Some(root) = number::root(value).filter(|_| half) {
                return Some(Expr::constant(root));
            }
            if value.is_positive() {
                return Some(Expr::term(
                    Number::one(),
                    vec![(Base::Number(value), exponent.clone())],
                ));
            }
        }
        let base = match self.terms.as_slice() {
            [Term { coefficient, factors }] if coefficient.is_one() => match factors.as_slice() {
                // A power of e is positive.
                [(Base::E, inner)] => {
                    let power = inner.times(exponent)?;
                    return Some(Expr::term(Number::one(), vec![(Base::E, power)]));
                }
                [(base, inner)] if inner.as_constant() == Some(Number::one()) => base.clone(),
                _ => Base::Group(Box::new(self.clone())),
            },
            _ => Base::Group(Box::new(self.clone())),
        };
        Some(Expr::term(Number::one(), vec![(base, exponent.clone())]))
    }

    /// Rebuilds the formula from `part` of its bases, from the inside out.
    pub(crate) fn map(&self, part: &dyn Fn(&Base) -> Option<Expr>) -> Option<Expr> {
        let mut sum = Expr::zero();
        for term in &self.terms {
            let mut product = Expr::constant(term.coefficient);
            for (base, power) in &term.factors {
                product = product.times(&part(base)?.power(&power.map(part)?)?)?;
            }
            sum = sum.plus(&product)?;
        }
        Some(sum)
    }

    /// Numbers of things in it, and how deep they stand inside each other.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (mut count, mut depth) = (0usize, 0usize);
        for term in &self.terms {
            count += 1;
            for (base, power) in &term.factors {
                let inner: Vec<&Expr> = match base {
                    Base::E | Base::Number(_) | Base::Name(..) => vec![],
                    Base::Call(call) => call.operands.iter().collect(),
                    Base::Group(inner) => vec![inner],
                };
                for part in inner.into_iter().chain([power]) {
                    let (n, d) = match part.as_constant() {
                        Some(_) => (1, 0),
                        None => part.size(),
                    };
                    count += n;
                    depth = depth.max(d + 1);
                }
            }
        }
        (count, depth)
    }
}

impl Term {
    /// Multiplies by a power of a base.
    fn multiply(&mut self, base: Base, power: &Expr) -> Option<()> {
        let (base, mut power) = match base {
            Base::Group(inner) => match self.opposite(&inner).filter(|_| is_whole(power)) {
                Some(own) => {
                    if power.as_integer().is_some_and(|p| p % 2 != 0) {
                        self.coefficient = -self.coefficient;
                    }
                    (own, power.clone())
                }
                None => (Base::Group(inner), power.clone()),
            },
            base => (base, power.clone()),
        };
        if let Some(i) = self.factors.iter().position(|f| f.0 == base) {
            power = power.plus(&self.factors.remove(i).1)?;
        }
        match (&base, power.as_integer()) {
            (_, Some(0)) => {}
            (Base::Number(value), Some(whole)) => {
                let value = number::power(*value, whole)?;
                self.coefficient = number::product(self.coefficient, value)?;
            }
            (Base::Group(inner), Some(_)) if inner.terms.len() == 1 => {
                let inner = inner.power(&power)?;
                if let [term] = inner.terms.as_slice() {
                    self.coefficient = number::product(self.coefficient, term.coefficient)?;
                    for (base, power) in &term.factors {
                        self.multiply(base.clone(), power)?;
                    }
                }
            }
            _ => {
                self.factors.push((base, power));
                self.factors.sort();
            }
        }
        Some(())
    }

    /// The group among the factors that is the negative of `inner`.
    fn opposite(&self, inner: &Expr) -> Option<Base> {
        let negative = Base::Group(Box::new(inner.negated()));
        self.factors.iter().map(|f| &f.0).find(|b| **b == negative).cloned()
    }

    /// The term as a formula. A group by itself, or with a minus, is its sum.
    fn closed(self) -> Expr {
        if let [(Base::Group(inner), power)] = self.factors.as_slice()
            && power.as_constant() == Some(Number::one())
        {
            if self.coefficient.is_one() {
                return (**inner).clone();
            }
            if (-self.coefficient).is_one() {
                return inner.negated();
            }
        }
        Expr { terms: vec![self] }
    }
}

fn is_whole(power: &Expr) -> bool {
    power.as_integer().is_some()
}
