//! Numbers, types and attributes as they stand in a text.

use super::lex::{Kind, Parsed, Tokens, error};
use crate::types::{At, DType, Literal, Shape, TensorType};

/// Axes that a type in a text may have.
const MAX_RANK: usize = 64;

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

    fn whole(&self) -> Option<i128> {
        let magnitude: i128 = self.text.parse::<u64>().ok()?.into();
        Some(if self.negative { -magnitude } else { magnitude })
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
            Some(n) if n < 0 => match usize::try_from(n + rank as i128) {
                Ok(axis) => Ok(axis),
                Err(_) => error(
                    self.at,
                    format!("has no axis {n}: the operand has {rank} axes"),
                    "axes are numbered from 0, or from -1 backwards",
                ),
            },
            Some(n) => usize::try_from(n).or_else(|_| self.no("an axis")),
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
        let fits = |low: i64, high: i64| {
            let whole = self.whole().and_then(|n| i64::try_from(n).ok());
            whole.filter(|n| (low..=high).contains(n))
        };
        let whole = match dtype {
            DType::F32 | DType::F64 => return Ok(Literal::Float(self.float()?.to_bits())),
            DType::I32 => fits(i32::MIN.into(), i32::MAX.into()),
            DType::I64 => fits(i64::MIN, i64::MAX),
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

/// `key=value`
pub(super) fn attribute<'a>(tokens: &mut Tokens<'a>) -> Parsed<Attribute<'a>> {
    let token = tokens.take();
    let Kind::Name(key) = token.kind else { return tokens.wanted("a key") };
    tokens.expect("=")?;
    let value = match tokens.peek().kind {
        Kind::Symbol("[") => list(tokens)?,
        Kind::Name(word @ ("true" | "false")) => {
            tokens.take();
            Value::Truth(word == "true")
        }
        Kind::Name(word) if DType::from_name(word).is_some() => {
            if tokens.peek_at(1).kind == Kind::Symbol("[") {
                Value::Type(tensor_type(tokens)?)
            } else {
                Value::DType(dtype(tokens)?)
            }
        }
        Kind::Name(_)
        | Kind::Quoted(_)
        | Kind::Label(_)
        | Kind::Number(_)
        | Kind::Symbol(_)
        | Kind::End => match number(tokens) {
            Ok(number) => Value::Number(number),
            Err(_) => return tokens.wanted("a number, a list or a type"),
        },
    };
    Ok(Attribute { key, value, at: token.at })
}

/// The digits or the word that a number is.
pub(super) fn numeral(kind: Kind<'_>) -> Option<&str> {
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
