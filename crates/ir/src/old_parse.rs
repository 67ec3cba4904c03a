//! Parses the text form; every error names its line and column.

use crate::error::{TypeError, TypeErrors};
use crate::graph::{Builder, Graph, NodeId};
use crate::op::{
    BinaryOp, CompareOp, CrossEntropyOp, DotAxes, MarkOp, MoveOp, Op, ReduceOp, SoftmaxOp,
    TensorData, UnaryOp,
};
use crate::old_text::{Attr, VERSION, state_kind};
use crate::types::{At, DType, Literal, Shape, TensorType};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

/// Axes a shape in a text may have.
const MAX_RANK: usize = 64;

impl Graph {
    pub(crate) fn old_from_str(text: &str) -> Result<Graph, TypeErrors> {
        let mut parser = Parser { builder: Builder::new(), names: HashMap::new() };
        let mut lines = text.lines().enumerate().filter_map(|(i, line)| {
            let line = line.split(';').next().unwrap_or("").trim_end();
            (!line.trim().is_empty()).then_some((i as u32 + 1, line))
        });
        let one = |error| TypeErrors(vec![error]);
        match lines.next() {
            Some((_, line)) if line.split_whitespace().eq(["graph", VERSION]) => {}
            first => {
                let at = At::Text { line: first.map_or(1, |l| l.0), column: 1 };
                let help = format!("begin with `graph {VERSION}`");
                return Err(one(TypeError::new("graph", at, "has no version line", help)));
            }
        }
        for (number, line) in lines {
            let mut cursor = Cursor { rest: line, line, number };
            parser.line(&mut cursor).map_err(one)?;
        }
        parser.builder.build()
    }
}

type Parsed<T> = Result<T, TypeError>;

/// What is left of one line.
struct Cursor<'a> {
    rest: &'a str,
    line: &'a str,
    number: u32,
}

impl<'a> Cursor<'a> {
    fn at(&self) -> At {
        let column = self.line.len() - self.rest.trim_start().len() + 1;
        At::Text { line: self.number, column: column as u32 }
    }

    fn error<T>(&self, message: impl Into<String>, help: &str) -> Parsed<T> {
        Err(TypeError::new("text", self.at(), message, help))
    }

    fn eat(&mut self, token: char) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Parsed<()> {
        if self.eat(token) {
            return Ok(());
        }
        self.error(format!("needs `{token}` here"), "compare with a printed graph")
    }

    fn at_end(&self) -> bool {
        self.rest.trim().is_empty()
    }

    /// Letters, digits and what else stands in names and numbers.
    fn word(&mut self) -> Parsed<&'a str> {
        let rest = self.rest.trim_start();
        let inside =
            |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '%' | '+');
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        if end == 0 {
            return self.error("needs a word here", "compare with a printed graph");
        }
        self.rest = &rest[end..];
        Ok(&rest[..end])
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Parsed<T> {
        let mut ahead = Cursor { ..*self };
        match ahead.word()?.parse() {
            Ok(value) => {
                *self = ahead;
                Ok(value)
            }
            Err(_) => self.error(format!("needs {what} here"), "compare with a printed graph"),
        }
    }

    fn list<T: FromStr>(&mut self, what: &str) -> Parsed<Vec<T>> {
        self.expect('[')?;
        let mut items = vec![];
        while !self.eat(']') {
            if !items.is_empty() {
                self.expect(',')?;
            }
            items.push(self.parse(what)?);
        }
        Ok(items)
    }

    fn dtype(&mut self) -> Parsed<DType> {
        let mut ahead = Cursor { ..*self };
        match DType::from_name(ahead.word()?) {
            Some(dtype) => {
                *self = ahead;
                Ok(dtype)
            }
            None => self.error("needs an element type here", "one of f32 f64 i32 i64 u8 bool"),
        }
    }

    fn shape(&mut self) -> Parsed<Shape> {
        let dims: Vec<usize> = self.list("a size")?;
        if dims.len() > MAX_RANK {
            return self.error("has too many axes", "at most 64 axes");
        }
        Ok(dims.into())
    }

    fn ty(&mut self) -> Parsed<TensorType> {
        let dtype = self.dtype()?;
        let ty = TensorType::new(dtype, self.shape()?);
        match ty.shape.checked_elements() {
            Some(n) if n < isize::MAX as usize / 8 => Ok(ty),
            _ => self.error(format!("{ty} fits no memory"), "make the sizes smaller"),
        }
    }
}

struct Parser {
    builder: Builder,
    names: HashMap<String, NodeId>,
}

impl Parser {
    fn line(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let at = cursor.at();
        let first = cursor.word()?;
        match first {
            "in" => {
                let name = cursor.word()?;
                cursor.expect(':')?;
                let ty = cursor.ty()?;
                let range = if cursor.eat(',') { Some(range(cursor)?) } else { None };
                let id = self.builder.declare_input(name, ty, range, at);
                self.names.insert(name.to_string(), id);
            }
            "out" => {
                let name = cursor.word()?;
                cursor.expect('=')?;
                let node = self.operand(cursor)?;
                self.builder.output(name, node);
            }
            "write" => {
                let state = self.operand(cursor)?;
                if !matches!(self.builder.graph().node(state).op, Op::State(_)) {
                    return cursor.error("writes what is no state", "write to a declared state");
                }
                cursor.expect('=')?;
                let value = self.operand(cursor)?;
                self.builder.write(state, value);
            }
            "guard" => {
                let loss = self.operand(cursor)?;
                self.builder.set_guard(Some(loss));
            }
            _ if first.starts_with('%') => {
                cursor.expect('=')?;
                let id = self.expression(cursor, at)?;
                self.names.insert(first.to_string(), id);
            }
            _ => {
                let Some(kind) = state_kind(first) else {
                    return cursor.error(
                        format!("has no line that begins with `{first}`"),
                        "lines begin with in, param, frozen, slot, stat, counter, %n, out, write or guard",
                    );
                };
                let name = cursor.word()?;
                cursor.expect(':')?;
                let id = self.builder.declare_state(name, kind, cursor.ty()?, at);
                self.names.insert(name.to_string(), id);
            }
        }
        if cursor.at_end() { Ok(()) } else { cursor.error("goes on too long", "end the line here") }
    }

    fn operand(&self, cursor: &mut Cursor<'_>) -> Parsed<NodeId> {
        let mut ahead = Cursor { ..*cursor };
        let name = ahead.word()?;
        match self.names.get(name) {
            Some(&id) => {
                *cursor = ahead;
                Ok(id)
            }
            None => cursor.error(
                format!("knows no value called `{name}`"),
                "values are declared above the line that uses them",
            ),
        }
    }

    fn expression(&mut self, cursor: &mut Cursor<'_>, at: At) -> Parsed<NodeId> {
        let name_at = Cursor { ..*cursor };
        let name = cursor.word()?;
        let mut operands = vec![];
        while !cursor.at_end() && !cursor.rest.trim_start().starts_with(',') {
            operands.push(self.operand(cursor)?);
        }
        let mut attrs = Attrs { list: vec![], place: Cursor { ..*cursor } };
        while cursor.eat(',') {
            let key = cursor.word()?;
            attrs.list.push((key.to_string(), attr(key, name, cursor)?));
        }
        let Some(op) = parse_op(name, &mut attrs)? else {
            return name_at.error(format!("knows no op called `{name}`"), "docs list the ops");
        };
        if let Some((key, _)) = attrs.list.first() {
            return attrs.place.error(format!("knows no `{key}` of `{name}`"), "leave it out");
        }
        if op.arity() != operands.len() {
            return name_at.error(
                format!("`{name}` takes {} operands, not {}", op.arity(), operands.len()),
                "give as many operands as the op takes",
            );
        }
        self.builder.push(op, &operands, at)
    }
}

fn range(cursor: &mut Cursor<'_>) -> Parsed<(f64, f64)> {
    let low = match cursor.word()? {
        "range" => cursor.parse("a number")?,
        _ => return cursor.error("needs `range` here", "as in `, range 0 to 9`"),
    };
    match cursor.word()? {
        "to" => Ok((low, cursor.parse("a number")?)),
        _ => cursor.error("needs `to` here", "as in `, range 0 to 9`"),
    }
}

fn attr(key: &str, op: &str, cursor: &mut Cursor<'_>) -> Parsed<Attr> {
    Ok(match key {
        "axes" => Attr::Axes(cursor.list("an axis")?),
        "start" | "step" | "sizes" => Attr::Axes(cursor.list("a number")?),
        "contract" | "batch" if op == "dot" => {
            let (left, right): (Vec<usize>, Vec<usize>) =
                (cursor.list("an axis")?, cursor.list("an axis")?);
            if left.len() != right.len() {
                return cursor.error("pairs lists of two lengths", "pair every axis");
            }
            Attr::Pairs(left.into_iter().zip(right).collect())
        }
        "axis" | "classes" | "batch" | "size" => Attr::Number(cursor.parse("a number")?),
        "shape" => Attr::Shape(cursor.shape()?),
        "type" if matches!(op, "data" | "iota") => Attr::Type(cursor.ty()?),
        "type" => Attr::DType(cursor.dtype()?),
        "value" | "fill" => {
            let mut ahead = Cursor { ..*cursor };
            Attr::Literal(match ahead.word()? {
                "true" | "false" => Literal::Bool(cursor.parse("true or false")?),
                word if word.parse::<i64>().is_ok() => Literal::Int(cursor.parse("an integer")?),
                _ => Literal::Float(cursor.parse::<f64>("a number")?.to_bits()),
            })
        }
        "values" => Attr::Values(cursor.list("a number")?),
        _ => return cursor.error(format!("knows no `{key}`"), "compare with a printed graph"),
    })
}

/// Attributes read but not yet used.
struct Attrs<'a> {
    list: Vec<(String, Attr)>,
    place: Cursor<'a>,
}

macro_rules! take {
    ($attrs:expr, $key:literal, $Variant:ident) => {
        match $attrs.take($key)? {
            Attr::$Variant(value) => value,
            _ => return $attrs.place.error(concat!("needs another `", $key, "`"), ""),
        }
    };
}

impl Attrs<'_> {
    fn take(&mut self, key: &str) -> Parsed<Attr> {
        match self.list.iter().position(|(k, _)| k == key) {
            Some(i) => Ok(self.list.remove(i).1),
            None => self.place.error(format!("needs `{key}`"), "compare with a printed graph"),
        }
    }
}

fn parse_op(name: &str, attrs: &mut Attrs<'_>) -> Parsed<Option<Op>> {
    let simple = UnaryOp::from_name(name).map(Op::Unary);
    let simple = simple.or_else(|| BinaryOp::from_name(name).map(Op::Binary));
    let simple = simple.or_else(|| CompareOp::from_name(name).map(Op::Compare));
    let simple = simple.or_else(|| MarkOp::from_name(name).map(Op::Mark));
    if simple.is_some() {
        return Ok(simple);
    }
    if let Some(op) = ReduceOp::from_name(name) {
        return Ok(Some(Op::Reduce(op, take!(attrs, "axes", Axes))));
    }
    if let Some(op) = SoftmaxOp::from_name(name) {
        return Ok(Some(Op::Softmax(op, take!(attrs, "axes", Axes))));
    }
    if let Some(op) = CrossEntropyOp::from_name(name) {
        return Ok(Some(Op::CrossEntropy(op, take!(attrs, "axes", Axes))));
    }
    Ok(Some(match name {
        "const" => {
            let dtype = take!(attrs, "type", DType);
            let literal = take!(attrs, "value", Literal);
            // Floats may be written without a point; everything else must match exactly.
            let literal = match literal {
                Literal::Int(i) if dtype.is_float() => Literal::Float((i as f64).to_bits()),
                other => other,
            };
            let fits = match literal {
                Literal::Float(_) => dtype.is_float(),
                Literal::Int(i) => match dtype {
                    DType::I32 => i32::try_from(i).is_ok(),
                    DType::U8 => u8::try_from(i).is_ok(),
                    other => other == DType::I64,
                },
                Literal::Bool(_) => dtype == DType::Bool,
            };
            if !fits {
                return attrs.place.error("has a value that is not of its type", "change one");
            }
            Op::Const(dtype, literal)
        }
        "data" => {
            let ty = take!(attrs, "type", Type);
            let values = take!(attrs, "values", Values);
            Op::Data(Arc::new(TensorData { dtype: ty.dtype, shape: ty.shape, values }))
        }
        "iota" => {
            let ty = take!(attrs, "type", Type);
            Op::Iota { dtype: ty.dtype, shape: ty.shape, axis: take!(attrs, "axis", Number) }
        }
        "size" => Op::Size { dtype: take!(attrs, "type", DType), axes: take!(attrs, "axes", Axes) },
        "select" => Op::Select,
        "cast" => Op::Cast(take!(attrs, "type", DType)),
        "reshape" => Op::Move(MoveOp::Reshape(take!(attrs, "shape", Shape))),
        "transpose" => Op::Move(MoveOp::Transpose(take!(attrs, "axes", Axes))),
        "broadcast" => Op::Move(MoveOp::Broadcast {
            shape: take!(attrs, "shape", Shape),
            axes: take!(attrs, "axes", Axes),
        }),
        "slice" => Op::Move(MoveOp::Slice {
            start: take!(attrs, "start", Axes),
            step: take!(attrs, "step", Axes),
            size: take!(attrs, "sizes", Axes),
        }),
        "pad" => Op::Move(MoveOp::Pad {
            start: take!(attrs, "start", Axes),
            step: take!(attrs, "step", Axes),
            size: take!(attrs, "sizes", Axes),
            fill: take!(attrs, "fill", Literal),
        }),
        "dot" => {
            let contract = take!(attrs, "contract", Pairs);
            let batched = attrs.list.iter().any(|(k, _)| k == "batch");
            let batch = if batched { take!(attrs, "batch", Pairs) } else { vec![] };
            Op::Dot(DotAxes { batch, contract })
        }
        "one_hot" => Op::OneHot {
            dtype: take!(attrs, "type", DType),
            classes: take!(attrs, "classes", Number),
        },
        "gather" => Op::Gather { batch: take!(attrs, "batch", Number) },
        "scatter_add" => Op::ScatterAdd {
            batch: take!(attrs, "batch", Number),
            size: take!(attrs, "size", Number),
        },
        "grad" => Op::Grad,
        _ => return Ok(None),
    }))
}
