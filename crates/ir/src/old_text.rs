//! The text form: prints a graph and parses it back.
//!
//! ```text
//! graph 1
//! in x: f32[32, 64]
//! in labels: i32[32], range 0 to 9
//! param w: f32[64, 10]
//! %3 = dot x w, contract [1] [0]
//! %4 = softmax %3, axes [1]
//! out p = %4
//! write w = w
//! guard %9
//! ```
//!
//! Leaves go by name, other nodes by `%` and a number; attributes follow as `, key value`.

use crate::graph::{Graph, NodeId, StateKind};
use crate::op::{MoveOp, Op, Windows};
use crate::types::{DType, Literal, Shape, TensorType};
use std::fmt::{self, Write};

/// Version in the first line.
pub(crate) const VERSION: &str = "1";

/// One attribute of an op in the text form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attr {
    Axes(Vec<usize>),
    Pairs(Vec<(usize, usize)>),
    Number(usize),
    DType(DType),
    Shape(Shape),
    Type(TensorType),
    Literal(Literal),
    Values(Vec<f64>),
    Name(String),
}

/// Attributes of `op`, in the order printed; the parser asks for them by the same keys.
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
            ("values", Attr::Values(data.values.clone())),
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
        Op::RandomKey { stream } => vec![("stream", Attr::Name(stream.to_string()))],
        Op::Random { dtype, shape } => {
            vec![("type", Attr::Type(TensorType::new(*dtype, shape.clone())))]
        }
        Op::Call { function, result } => {
            vec![("fn", Attr::Name(function.name().into())), ("result", Attr::Number(*result))]
        }
        Op::Scan { scan, result } => vec![
            ("fn", Attr::Name(scan.body.name().into())),
            ("carries", Attr::Number(scan.carries)),
            ("xs", Attr::Number(scan.xs)),
            ("length", Attr::Number(scan.length)),
            ("result", Attr::Number(*result)),
        ],
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

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        match self {
            Attr::Axes(axes) => f.write_str(&list(axes.iter().map(usize::to_string).collect())),
            Attr::Pairs(pairs) => {
                let left = list(pairs.iter().map(|p| p.0.to_string()).collect());
                let right = list(pairs.iter().map(|p| p.1.to_string()).collect());
                write!(f, "{left} {right}")
            }
            Attr::Name(name) => f.write_str(name),
            Attr::Number(n) => write!(f, "{n}"),
            Attr::DType(dtype) => f.write_str(dtype.name()),
            Attr::Shape(shape) => write!(f, "{shape}"),
            Attr::Type(ty) => write!(f, "{ty}"),
            Attr::Literal(literal) => write!(f, "{literal}"),
            Attr::Values(values) => {
                f.write_str(&list(values.iter().map(|v| format!("{v:?}")).collect()))
            }
        }
    }
}

impl Graph {
    fn old_reference(&self, id: NodeId) -> String {
        match self.node(id).op {
            Op::Input(i) => self.inputs()[i].name.clone(),
            Op::State(i) => self.states()[i].name.clone(),
            _ => format!("%{}", id.0),
        }
    }

    fn old_expression(&self, id: NodeId) -> String {
        let node = self.node(id);
        let mut text = node.op.name().to_string();
        for &input in &node.inputs {
            text.push(' ');
            text.push_str(&self.old_reference(input));
        }
        for (key, value) in attributes(&node.op) {
            let _ = write!(text, ", {key} {value}");
        }
        text
    }
}

/// The text form.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {VERSION}")?;
        for input in self.inputs() {
            write!(f, "in {}: {}", input.name, input.ty)?;
            if let Some((low, high)) = input.range {
                write!(f, ", range {low} to {high}")?;
            }
            writeln!(f)?;
        }
        for state in self.states() {
            writeln!(f, "{} {}: {}", state.kind.name(), state.name, state.ty)?;
        }
        for id in self.ids() {
            if !matches!(self.node(id).op, Op::Input(_) | Op::State(_)) {
                writeln!(f, "%{} = {}", id.0, self.old_expression(id))?;
            }
        }
        for output in self.outputs() {
            writeln!(f, "out {} = {}", output.name, self.old_reference(output.node))?;
        }
        for state in self.states() {
            if let Some(write) = state.write {
                writeln!(f, "write {} = {}", state.name, self.old_reference(write))?;
            }
        }
        if let Some(guard) = self.guard() {
            writeln!(f, "guard {}", self.old_reference(guard))?;
        }
        Ok(())
    }
}

/// The kind of state whose declarations begin with `word`.
pub(crate) fn state_kind(word: &str) -> Option<StateKind> {
    StateKind::ALL.into_iter().find(|k| k.name() == word)
}
