//! Expressions as trees: operator precedence, calls and attributes.

use super::lex::{Kind, Parsed, Token, Tokens, error};
use super::value::{Attribute, Number, attribute, numeral};
use crate::op::{BinaryOp, CompareOp, Op};
use crate::types::At;

/// Parentheses, calls and prefix operators inside each other.
const MAX_NESTING: usize = 200;

/// Strengths of operators, weakest first.
pub(super) mod strength {
    pub(in crate::text) const OR: u8 = 1;
    pub(in crate::text) const AND: u8 = 2;
    pub(in crate::text) const NOT: u8 = 3;
    pub(in crate::text) const COMPARE: u8 = 4;
    pub(in crate::text) const ADD: u8 = 5;
    pub(in crate::text) const MUL: u8 = 6;
    pub(in crate::text) const NEG: u8 = 7;
    pub(in crate::text) const POW: u8 = 8;
    pub(in crate::text) const ATOM: u8 = 9;
}

/// An operator between two operands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Infix {
    /// An elementwise op; both sides broadcast.
    Pair(Op),
    /// `@`
    Product,
}

/// The operator that a token is, and its strength.
fn infix(kind: Kind<'_>) -> Option<(Infix, u8)> {
    let binary = |op| Infix::Pair(Op::Binary(op));
    let compare = |op| Infix::Pair(Op::Compare(op));
    Some(match kind {
        Kind::Name("or") => (binary(BinaryOp::Or), strength::OR),
        Kind::Name("and") => (binary(BinaryOp::And), strength::AND),
        Kind::Symbol(symbol) => match symbol {
            "+" => (binary(BinaryOp::Add), strength::ADD),
            "-" => (binary(BinaryOp::Sub), strength::ADD),
            "*" => (binary(BinaryOp::Mul), strength::MUL),
            "/" => (binary(BinaryOp::Div), strength::MUL),
            "@" => (Infix::Product, strength::MUL),
            "^" | "**" => (binary(BinaryOp::Pow), strength::POW),
            "<" => (compare(CompareOp::Lt), strength::COMPARE),
            ">" => (compare(CompareOp::Gt), strength::COMPARE),
            "<=" => (compare(CompareOp::Le), strength::COMPARE),
            ">=" => (compare(CompareOp::Ge), strength::COMPARE),
            "==" => (compare(CompareOp::Eq), strength::COMPARE),
            "!=" => (compare(CompareOp::Ne), strength::COMPARE),
            _ => return None,
        },
        Kind::Name(_) | Kind::Quoted(_) | Kind::Label(_) | Kind::Number(_) | Kind::End => {
            return None;
        }
    })
}

/// `name(functions, operands, attributes)`
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) functions: Vec<(&'a str, At)>,
    pub(super) operands: Vec<usize>,
    pub(super) attributes: Vec<Attribute<'a>>,
}

/// One node of a tree.
#[derive(Clone, Debug)]
pub(super) enum Term<'a> {
    Name { name: &'a str, plain: bool },
    Number(Number<'a>),
    Truth(bool),
    Neg(usize),
    Not(usize),
    Infix(Infix, usize, usize),
    Call(Call<'a>),
}

/// A term, where it was written, and the first term of its part of the tree.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) term: Term<'a>,
    pub(super) at: At,
    pub(super) start: usize,
}

/// An expression: terms with operands before users, the whole at the end. The terms below one stand together before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree<'a> {
    pub(super) terms: Vec<Place<'a>>,
}

impl<'a> Tree<'a> {
    /// Reads an expression.
    pub(super) fn parse(tokens: &mut Tokens<'a>) -> Parsed<Tree<'a>> {
        let mut reader = Reader { tokens, tree: Tree::default(), nesting: 0 };
        reader.expression(0)?;
        Ok(reader.tree)
    }
}

struct Reader<'t, 'a> {
    tokens: &'t mut Tokens<'a>,
    tree: Tree<'a>,
    nesting: usize,
}

impl<'a> Reader<'_, 'a> {
    fn add(&mut self, term: Term<'a>, at: At, start: usize) -> usize {
        self.tree.terms.push(Place { term, at, start });
        self.tree.terms.len() - 1
    }

    /// An expression of operators at least as strong as `least`.
    fn expression(&mut self, least: u8) -> Parsed<usize> {
        if self.nesting == MAX_NESTING {
            return error(
                self.tokens.peek().at,
                format!("nests more than {MAX_NESTING} deep"),
                "name a part on a line of its own",
            );
        }
        self.nesting += 1;
        let start = self.tree.terms.len();
        let mut left = self.prefixed(least)?;
        while let Some((op, own)) = infix(self.tokens.peek().kind) {
            if own < least {
                break;
            }
            let at = self.tokens.take().at;
            let right =
                self.expression(if own == strength::POW { strength::NEG } else { own + 1 })?;
            left = self.add(Term::Infix(op, left, right), at, start);
            let next = self.tokens.peek();
            if own == strength::COMPARE
                && infix(next.kind).is_some_and(|(_, next)| next == strength::COMPARE)
            {
                return error(
                    next.at,
                    "chains comparisons",
                    "compare pairs, and join them by `and`, as in `(a < b) and (b < c)`",
                );
            }
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn prefixed(&mut self, least: u8) -> Parsed<usize> {
        let start = self.tree.terms.len();
        let token = self.tokens.peek();
        match token.kind {
            Kind::Symbol("-") => {
                self.tokens.take();
                let power = |t: Token<'_>| matches!(t.kind, Kind::Symbol("^" | "**"));
                if let Some(text) = numeral(self.tokens.peek().kind)
                    && !power(self.tokens.peek_at(1))
                {
                    self.tokens.take();
                    let number = Number { negative: true, text, at: token.at };
                    return Ok(self.add(Term::Number(number), token.at, start));
                }
                let operand = self.expression(strength::NEG)?;
                Ok(self.add(Term::Neg(operand), token.at, start))
            }
            Kind::Name("not") => {
                if least > strength::NOT {
                    return error(
                        token.at,
                        "has a `not` that binds too weakly",
                        "put it in parentheses",
                    );
                }
                self.tokens.take();
                let operand = self.expression(strength::NOT)?;
                Ok(self.add(Term::Not(operand), token.at, start))
            }
            _ => self.atom(),
        }
    }

    fn atom(&mut self) -> Parsed<usize> {
        let start = self.tree.terms.len();
        let token = self.tokens.peek();
        if let Some(text) = numeral(token.kind) {
            self.tokens.take();
            let number = Number { negative: false, text, at: token.at };
            return Ok(self.add(Term::Number(number), token.at, start));
        }
        match token.kind {
            Kind::Symbol("(") => {
                self.tokens.take();
                let inner = self.expression(0)?;
                self.tokens.expect(")")?;
                Ok(inner)
            }
            Kind::Symbol("|") => {
                self.tokens.take();
                let inner = self.expression(0)?;
                self.tokens.expect("|")?;
                let (functions, attributes) = (vec![], vec![]);
                let call = Call { name: "abs", functions, operands: vec![inner], attributes };
                Ok(self.add(Term::Call(call), token.at, start))
            }
            Kind::Name(word @ ("true" | "false")) => {
                self.tokens.take();
                Ok(self.add(Term::Truth(word == "true"), token.at, start))
            }
            Kind::Name(word @ ("and" | "or"))
                if self.tokens.peek_at(1).kind == Kind::Symbol("(") =>
            {
                self.tokens.take();
                self.tokens.take();
                self.call(word, token.at, start)
            }
            Kind::Label(name) => {
                self.tokens.take();
                Ok(self.add(Term::Name { name, plain: false }, token.at, start))
            }
            Kind::Name(_) | Kind::Quoted(_) => {
                let (name, at) = self.tokens.name("a value")?;
                if self.tokens.eat("(") {
                    return self.call(name, at, start);
                }
                let plain = matches!(token.kind, Kind::Name(_));
                Ok(self.add(Term::Name { name, plain }, at, start))
            }
            Kind::Number(_) | Kind::Symbol(_) | Kind::End => self.tokens.wanted("a value"),
        }
    }

    /// What follows `name(`.
    fn call(&mut self, name: &'a str, at: At, start: usize) -> Parsed<usize> {
        let mut call = Call { name, functions: vec![], operands: vec![], attributes: vec![] };
        let mut first = true;
        while !self.tokens.eat(")") {
            if !first {
                self.tokens.expect(",")?;
            }
            first = false;
            let key = matches!(self.tokens.peek().kind, Kind::Name(_))
                && self.tokens.peek_at(1).kind == Kind::Symbol("=");
            let function = match name {
                "call" | "scan" => call.functions.is_empty(),
                "cond" => call.operands.len() == 1 && call.functions.len() < 2,
                _ => false,
            };
            if key {
                call.attributes.push(attribute(self.tokens)?);
            } else if !call.attributes.is_empty() {
                return error(
                    self.tokens.peek().at,
                    "has an operand after an attribute",
                    "write operands first",
                );
            } else if function {
                call.functions.push(self.tokens.name("the name of a function")?);
            } else {
                let operand = self.expression(0)?;
                call.operands.push(operand);
            }
        }
        Ok(self.add(Term::Call(call), at, start))
    }
}
