//! Expressions as trees: operator precedence, calls and attributes.

use super::lex::{Kind, Parsed, Token, Tokens, error};
use crate::op::{BinaryOp, CompareOp, Op};
use crate::types::{At, DType, Literal, Shape, TensorType};

/// Axes that a type in a text may have.
const MAX_RANK: usize = 64;

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

/// A number as written; it takes its element type from what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number<'a> {
    pub(super) negative: bool,
    /// Digits, `inf`, `nan`, or `0x` and the bits of a float.
    pub(super) text: &'a str,
    pub(super) at: At,
}

impl Number<'_> {
    /// The value as a float.
    pub(super) fn float(&self) -> Parsed<f64> {
        let value = match self.text {
            "inf" => f64::INFINITY,
            "nan" => f64::NAN,
            text => match text.strip_prefix("0x") {
                Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).unwrap_or(0)),
                None => match text.parse::<f64>() {
                    Ok(value) if value.is_finite() => value,
                    _ => {
                        return error(
                            self.at,
                            format!("has a number too large for a float: `{text}`"),
                            "write `inf` for infinity",
                        );
                    }
                },
            },
        };
        Ok(if self.negative { -value } else { value })
    }

    fn whole(&self) -> Option<i64> {
        let magnitude: i128 = self.text.parse::<u64>().ok()?.into();
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// The value as a size, an axis or another count.
    pub(super) fn count(&self) -> Parsed<usize> {
        match self.whole().and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Ok(n),
            None => self.no("a count"),
        }
    }

    /// The value as an axis of `rank`; negative ones count from the end.
    pub(super) fn axis(&self, rank: usize) -> Parsed<usize> {
        match self.whole() {
            Some(n) if n < 0 => match rank.checked_sub(n.unsigned_abs() as usize) {
                Some(axis) => Ok(axis),
                None => error(
                    self.at,
                    format!("has no axis {n}: the operand has {rank} axes"),
                    "axes are numbered from 0, or from -1 backwards",
                ),
            },
            Some(n) => Ok(n as usize),
            None => self.no("an axis"),
        }
    }

    /// The value as the number of a random stream.
    pub(super) fn stream(&self) -> Parsed<u64> {
        match self.text.parse() {
            Ok(stream) if !self.negative => Ok(stream),
            _ => self.no("the number of a stream"),
        }
    }

    /// The value as a constant of type `dtype`.
    pub(super) fn literal(&self, dtype: DType) -> Parsed<Literal> {
        let fits = |low: i64, high: i64| self.whole().filter(|n| (low..=high).contains(n));
        let whole = match dtype {
            DType::F32 | DType::F64 => return Ok(Literal::Float(self.float()?.to_bits())),
            DType::I32 => fits(i32::MIN.into(), i32::MAX.into()),
            DType::I64 => self.whole(),
            DType::U8 => fits(0, 255),
            DType::Bool => None,
        };
        match whole {
            Some(n) => Ok(Literal::Int(n)),
            None => {
                let help = match dtype {
                    DType::Bool => "truth values are `true` and `false`",
                    _ => "write a whole number in range, or cast the other operand",
                };
                error(self.at, format!("has a number that is no {}: `{self}`", dtype.name()), help)
            }
        }
    }

    fn no<T>(&self, what: &str) -> Parsed<T> {
        error(self.at, format!("needs {what} here, not `{self}`"), "write a whole number in range")
    }
}

impl std::fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.negative { "-" } else { "" }, self.text)
    }
}

/// What follows `key=`.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Number(Number<'a>),
    List(Vec<Number<'a>>),
    Pairs(Vec<(Number<'a>, Number<'a>)>),
    Truth(bool),
    DType(DType),
    Type(TensorType),
}

/// `key=value`
#[derive(Clone, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
    pub(super) at: At,
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
            let right = self.expression(if own == strength::POW { strength::NEG } else { own + 1 })?;
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
                    return error(token.at, "has a `not` that binds too weakly", "put it in parentheses");
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
                call.attributes.push(self.attribute()?);
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

    fn attribute(&mut self) -> Parsed<Attribute<'a>> {
        let token = self.tokens.take();
        let Kind::Name(key) = token.kind else { return self.tokens.wanted("a key") };
        self.tokens.expect("=")?;
        let value = match self.tokens.peek().kind {
            Kind::Symbol("[") => list(self.tokens)?,
            Kind::Name(word @ ("true" | "false")) => {
                self.tokens.take();
                Value::Truth(word == "true")
            }
            Kind::Name(word) if DType::from_name(word).is_some() => {
                if self.tokens.peek_at(1).kind == Kind::Symbol("[") {
                    Value::Type(tensor_type(self.tokens)?)
                } else {
                    Value::DType(dtype(self.tokens)?)
                }
            }
            Kind::Name(_)
            | Kind::Quoted(_)
            | Kind::Label(_)
            | Kind::Number(_)
            | Kind::Symbol(_)
            | Kind::End => match number(self.tokens) {
                Ok(number) => Value::Number(number),
                Err(_) => return self.tokens.wanted("a number, a list or a type"),
            },
        };
        Ok(Attribute { key, value, at: token.at })
    }
}

/// The digits or the word that a number is.
fn numeral(kind: Kind<'_>) -> Option<&str> {
    match kind {
        Kind::Number(text) | Kind::Name(text @ ("inf" | "nan")) => Some(text),
        Kind::Name(_) | Kind::Quoted(_) | Kind::Label(_) | Kind::Symbol(_) | Kind::End => None,
    }
}

/// A number, perhaps with a minus.
pub(super) fn number<'a>(tokens: &mut Tokens<'a>) -> Parsed<Number<'a>> {
    let at = tokens.peek().at;
    let negative = tokens.eat("-");
    match numeral(tokens.peek().kind) {
        Some(text) => {
            tokens.take();
            Ok(Number { negative, text, at })
        }
        None => tokens.wanted("a number"),
    }
}

/// `[1, 2]` or `[(1, 0), (2, 1)]`
fn list<'a>(tokens: &mut Tokens<'a>) -> Parsed<Value<'a>> {
    tokens.expect("[")?;
    let (mut numbers, mut pairs) = (vec![], vec![]);
    while !tokens.eat("]") {
        if !(numbers.is_empty() && pairs.is_empty()) {
            tokens.expect(",")?;
        }
        if numbers.is_empty() && tokens.eat("(") {
            let left = number(tokens)?;
            tokens.expect(",")?;
            pairs.push((left, number(tokens)?));
            tokens.expect(")")?;
        } else if pairs.is_empty() {
            numbers.push(number(tokens)?);
        } else {
            return tokens.wanted("a pair");
        }
    }
    Ok(if pairs.is_empty() { Value::List(numbers) } else { Value::Pairs(pairs) })
}

fn dtype(tokens: &mut Tokens<'_>) -> Parsed<DType> {
    let found = match tokens.peek().kind {
        Kind::Name(word) => DType::from_name(word),
        Kind::Quoted(_) | Kind::Label(_) | Kind::Number(_) | Kind::Symbol(_) | Kind::End => None,
    };
    match found {
        Some(dtype) => {
            tokens.take();
            Ok(dtype)
        }
        None => {
            let token = tokens.peek();
            let message = format!("needs an element type here, not {}", token.shown());
            error(token.at, message, "element types are f32, f64, i32, i64, u8 and bool")
        }
    }
}

/// An element type and sizes, as `f32[2, 3]`.
pub(super) fn tensor_type(tokens: &mut Tokens<'_>) -> Parsed<TensorType> {
    let at = tokens.peek().at;
    let dtype = dtype(tokens)?;
    let Value::List(sizes) = list(tokens)? else {
        return error(at, "needs a list of sizes", "write a type as `f32[2, 3]`");
    };
    let ty = TensorType::new(dtype, shape(&sizes, at)?);
    match ty.shape.checked_elements() {
        Some(n) if n < isize::MAX as usize / 8 => Ok(ty),
        _ => error(at, format!("has a type that fits no memory: {ty}"), "make the sizes smaller"),
    }
}

/// The shape of sizes that stand at `at`.
pub(super) fn shape(sizes: &[Number<'_>], at: At) -> Parsed<Shape> {
    if sizes.len() > MAX_RANK {
        return error(at, format!("has more than {MAX_RANK} axes"), "use fewer axes");
    }
    sizes.iter().map(Number::count).collect::<Parsed<Vec<usize>>>().map(Shape::from)
}
