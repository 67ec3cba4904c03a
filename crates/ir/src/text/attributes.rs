//! The attributes of ops: their keys, and how their values are written.

use super::lex::quoted;
use crate::op::{MoveOp, Op, Windows};
use crate::types::{DType, Literal, Shape, TensorType};
use std::fmt;

/// One attribute of an op.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attr {
    Axes(Vec<usize>),
    Pairs(Vec<(usize, usize)>),
    Number(usize),
    Stream(u64),
    Truth(bool),
    DType(DType),
    Shape(Shape),
    Type(TensorType),
    Literal(Literal),
    Values(DType, Vec<f64>),
    Name(String),
}

/// Attributes of `op`, in the order printed.
pub(crate) fn attributes(op: &Op) -> Vec<(&'static str, Attr)> {
    match op {
        Op::Input(_)
        | Op::State(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Mark(_)
        | Op::Grad => vec![],
        Op::Const(dtype, literal) => {
            vec![("type", Attr::DType(*dtype)), ("value", Attr::Literal(*literal))]
        }
        Op::Data(data) => vec![
            ("type", Attr::Type(TensorType::new(data.dtype, data.shape.clone()))),
            ("values", Attr::Values(data.dtype, data.values.clone())),
        ],
        Op::Iota { dtype, shape, axis } => vec![
            ("type", Attr::Type(TensorType::new(*dtype, shape.clone()))),
            ("axis", Attr::Number(*axis)),
        ],
        Op::Size { dtype, axes } => {
            vec![("type", Attr::DType(*dtype)), ("axes", Attr::Axes(axes.clone()))]
        }
        Op::Cast(dtype) => vec![("type", Attr::DType(*dtype))],
        Op::Move(MoveOp::Reshape(shape)) => vec![("shape", Attr::Shape(shape.clone()))],
        Op::Move(MoveOp::Transpose(perm)) => vec![("axes", Attr::Axes(perm.clone()))],
        Op::Move(MoveOp::Broadcast { shape, axes }) => {
            vec![("shape", Attr::Shape(shape.clone())), ("axes", Attr::Axes(axes.clone()))]
        }
        Op::Move(MoveOp::Slice { start, step, size }) => places(start, step, size),
        Op::Move(MoveOp::Pad { start, step, size, fill }) => {
            let mut list = places(start, step, size);
            list.push(("fill", Attr::Literal(*fill)));
            list
        }
        Op::Move(MoveOp::Window(w)) => windows(w),
        Op::Fold { windows: w, length } => {
            let mut list = windows(w);
            list.push(("length", Attr::Axes(length.clone())));
            list
        }
        Op::RandomKey { stream } => vec![("stream", Attr::Stream(*stream))],
        Op::Random { dtype, shape } => {
            vec![("type", Attr::Type(TensorType::new(*dtype, shape.clone())))]
        }
        Op::Call { function, result } => {
            vec![("fn", Attr::Name(function.name().into())), ("result", Attr::Number(*result))]
        }
        Op::Scan { scan, result } => {
            let mut list = vec![
                ("fn", Attr::Name(scan.body.name().into())),
                ("carries", Attr::Number(scan.carries)),
                ("xs", Attr::Number(scan.xs)),
                ("length", Attr::Number(scan.length)),
            ];
            if scan.reverse {
                list.push(("reverse", Attr::Truth(true)));
            }
            list.push(("result", Attr::Number(*result)));
            list
        }
        Op::Cond { then, otherwise, result } => vec![
            ("then", Attr::Name(then.name().into())),
            ("else", Attr::Name(otherwise.name().into())),
            ("result", Attr::Number(*result)),
        ],
        Op::Reduce(_, axes) | Op::Softmax(_, axes) | Op::CrossEntropy(_, axes) => {
            vec![("axes", Attr::Axes(axes.clone()))]
        }
        Op::Dot(axes) => {
            let mut list = vec![("contract", Attr::Pairs(axes.contract.clone()))];
            if !axes.batch.is_empty() {
                list.push(("batch", Attr::Pairs(axes.batch.clone())));
            }
            list
        }
        Op::OneHot { dtype, classes } => {
            vec![("type", Attr::DType(*dtype)), ("classes", Attr::Number(*classes))]
        }
        Op::Gather { batch } => vec![("batch", Attr::Number(*batch))],
        Op::ScatterAdd { batch, size } => {
            vec![("batch", Attr::Number(*batch)), ("size", Attr::Number(*size))]
        }
    }
}

fn windows(w: &Windows) -> Vec<(&'static str, Attr)> {
    let list = |axes: &[usize]| Attr::Axes(axes.to_vec());
    vec![
        ("axes", list(&w.axes)),
        ("size", list(&w.size)),
        ("stride", list(&w.stride)),
        ("dilation", list(&w.dilation)),
    ]
}

fn places(start: &[usize], step: &[usize], size: &[usize]) -> Vec<(&'static str, Attr)> {
    let list = |axes: &[usize]| Attr::Axes(axes.to_vec());
    vec![("start", list(start)), ("step", list(step)), ("sizes", list(size))]
}

/// A float with all its digits; one that digits cannot say stands as its bits.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        if value.to_bits() == f64::NAN.to_bits() {
            return "nan".to_string();
        }
        return format!("0x{:016x}", value.to_bits());
    }
    format!("{value:?}")
}

/// A constant as it stands in an expression.
pub(super) fn literal(literal: Literal) -> String {
    match literal {
        Literal::Float(bits) => float(f64::from_bits(bits)),
        Literal::Int(_) | Literal::Bool(_) => literal.to_string(),
    }
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        match self {
            Attr::Axes(axes) => f.write_str(&list(axes.iter().map(usize::to_string).collect())),
            Attr::Pairs(pairs) => {
                f.write_str(&list(pairs.iter().map(|(l, r)| format!("({l}, {r})")).collect()))
            }
            Attr::Name(name) => f.write_str(&quoted(name)),
            Attr::Number(n) => write!(f, "{n}"),
            Attr::Stream(n) => write!(f, "{n}"),
            Attr::Truth(value) => write!(f, "{value}"),
            Attr::DType(dtype) => f.write_str(dtype.name()),
            Attr::Shape(shape) => write!(f, "{shape}"),
            Attr::Type(ty) => write!(f, "{ty}"),
            Attr::Literal(value) => f.write_str(&literal(*value)),
            Attr::Values(dtype, values) => {
                let value = |&v: &f64| match dtype.is_float() {
                    false if v.fract() == 0.0 && v.abs() < 1e18 => format!("{}", v as i64),
                    _ => float(v),
                };
                f.write_str(&list(values.iter().map(value).collect()))
            }
        }
    }
}
