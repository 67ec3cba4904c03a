//! How one node is written: as an operator or a call, on which operands, and which nodes reading that adds by itself.

use super::attributes::{Attr, attributes};
use super::broadcast::{product, spread};
use super::syntax::strength;
use crate::graph::{Graph, NodeId};
use crate::make::broadcast_shape;
use crate::op::{BinaryOp, CompareOp, MoveOp, Op, ReduceOp, UnaryOp};
use crate::types::{DType, Literal, Shape};

/// How a node is written.
pub(super) enum Style {
    /// Between two operands, with its strength.
    Infix(&'static str, u8),
    /// Before one operand, with its strength.
    Prefix(&'static str, u8),
    /// `name(operands, attributes)`
    Call(&'static str, Vec<(&'static str, Attr)>),
    /// `f(operands)`, `scan(f, operands, attributes)` and so on: the functions' names come from the printer.
    Apply(Op, Vec<(&'static str, Attr)>),
}

/// A node as it is written.
pub(super) struct Form {
    pub(super) style: Style,
    /// Operands as written, in order.
    pub(super) operands: Vec<NodeId>,
    /// Which operands stand as bare numbers.
    pub(super) bare: Vec<bool>,
    /// Nodes that reading adds between operands and node, in order.
    pub(super) parts: Vec<NodeId>,
}

impl Form {
    fn new(style: Style, operands: Vec<NodeId>) -> Form {
        let bare = vec![false; operands.len()];
        Form { style, operands, bare, parts: vec![] }
    }

    /// The nodes that reading this form adds, if they are not there already, in order: what has a type of its own, then
    /// numbers, then parts.
    pub(super) fn order(&self) -> impl Iterator<Item = NodeId> + '_ {
        let some = |bare: bool| {
            let both = self.operands.iter().zip(&self.bare);
            both.filter(move |(_, b)| **b == bare).map(|(id, _)| *id)
        };
        some(false).chain(some(true)).chain(self.parts.iter().copied())
    }
}

/// How node `id` of `graph` is written; `uses` counts how often each node is an operand or a root.
pub(super) fn form(graph: &Graph, id: NodeId, uses: &[u32]) -> Form {
    let node = graph.node(id);
    if let Some(mean) = mean(graph, id, uses) {
        return mean;
    }
    let operands = || node.inputs.clone();
    match &node.op {
        Op::Unary(UnaryOp::Neg) => Form::new(Style::Prefix("-", strength::NEG), operands()),
        Op::Unary(UnaryOp::Not) => Form::new(Style::Prefix("not ", strength::NOT), operands()),
        Op::Binary(op) => elementwise(graph, id, binary(*op), 0),
        Op::Compare(op) => elementwise(graph, id, Style::Infix(sign(*op), strength::COMPARE), 0),
        Op::Select => elementwise(graph, id, Style::Call("select", vec![]), 1),
        Op::Dot(axes) => {
            let way = product(shape(graph, node.inputs[0]), shape(graph, node.inputs[1]));
            match way {
                Ok(way) if way.spread == [None, None] && way.axes == *axes => {
                    Form::new(Style::Infix("@", strength::MUL), operands())
                }
                _ => plain(&node.op, operands()),
            }
        }
        Op::Call { .. } | Op::Scan { .. } | Op::Cond { .. } => {
            let mut list = attributes(&node.op);
            list.retain(|(key, _)| !matches!(*key, "fn" | "then" | "else"));
            let single = node.op.functions().first().is_some_and(|f| f.results().count() == 1);
            if single && node.op.result() == Some(0) {
                list.retain(|(key, _)| *key != "result");
            }
            Form::new(Style::Apply(node.op.clone(), list), operands())
        }
        Op::Reduce(_, axes) | Op::Softmax(_, axes) | Op::CrossEntropy(_, axes) => {
            let rank = graph.ty(node.inputs[0]).rank();
            if rank > 0 && axes.len() == rank {
                return Form::new(Style::Call(node.op.name(), vec![]), operands());
            }
            plain(&node.op, operands())
        }
        Op::Move(MoveOp::Transpose(perm)) => {
            let rank = perm.len();
            let mut swapped: Vec<usize> = (0..rank).collect();
            swapped[rank.saturating_sub(2)..].reverse();
            if rank >= 2 && *perm == swapped {
                return Form::new(Style::Call("transpose", vec![]), operands());
            }
            plain(&node.op, operands())
        }
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Unary(_)
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Grad => plain(&node.op, operands()),
    }
}

/// The form of `op` that names every operand and nothing else.
pub(super) fn plain(op: &Op, operands: Vec<NodeId>) -> Form {
    let mut list = attributes(op);
    // What every reader assumes is left out.
    list.retain(|(key, value)| match (*key, value) {
        ("batch", Attr::Number(0)) => false,
        ("stride" | "dilation" | "step", Attr::Axes(ones)) => ones.iter().any(|&n| n != 1),
        ("start", Attr::Axes(zeros)) => zeros.iter().any(|&n| n != 0),
        _ => true,
    });
    Form::new(Style::Call(op.name(), list), operands)
}

fn shape(graph: &Graph, id: NodeId) -> &Shape {
    &graph.ty(id).shape
}

fn binary(op: BinaryOp) -> Style {
    match op {
        BinaryOp::Add => Style::Infix("+", strength::ADD),
        BinaryOp::Sub => Style::Infix("-", strength::ADD),
        BinaryOp::Mul => Style::Infix("*", strength::MUL),
        BinaryOp::Div => Style::Infix("/", strength::MUL),
        BinaryOp::Pow => Style::Infix("^", strength::POW),
        BinaryOp::And => Style::Infix("and", strength::AND),
        BinaryOp::Or => Style::Infix("or", strength::OR),
        BinaryOp::Mod
        | BinaryOp::Atan2
        | BinaryOp::LogAddExp
        | BinaryOp::Xlogy
        | BinaryOp::Maximum
        | BinaryOp::Minimum => Style::Call(op.name(), vec![]),
    }
}

fn sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

/// An operand as it can be written, and what reading adds to make the operand of it.
struct Written {
    base: NodeId,
    parts: Vec<NodeId>,
}

/// The ways to write `id` as operand of an elementwise op, the one that leaves out most first.
fn ways(graph: &Graph, id: NodeId) -> Vec<Written> {
    let mut ways = vec![];
    let node = graph.node(id);
    if let Op::Move(MoveOp::Broadcast { shape: to, axes }) = &node.op {
        let inner = node.inputs[0];
        let reshaped = graph.node(inner);
        if let Op::Move(MoveOp::Reshape(dense)) = &reshaped.op {
            let base = reshaped.inputs[0];
            let way = spread(shape(graph, base), to);
            if way.is_some_and(|w| w.dense.as_ref() == Some(dense) && w.axes == *axes) {
                ways.push(Written { base, parts: vec![inner, id] });
            }
        }
        // A shape that is there already is not spread.
        let way = spread(shape(graph, inner), to).filter(|_| shape(graph, inner) != to);
        if way.is_some_and(|w| w.dense.is_none() && w.axes == *axes) {
            ways.push(Written { base: inner, parts: vec![id] });
        }
    }
    ways.push(Written { base: id, parts: vec![] });
    ways
}

/// An elementwise op; the operands from number `first` on share an element type.
fn elementwise(graph: &Graph, id: NodeId, style: Style, first: usize) -> Form {
    let node = graph.node(id);
    let ways: Vec<Vec<Written>> = node.inputs.iter().map(|&i| ways(graph, i)).collect();
    let total: usize = ways.iter().map(Vec::len).product();
    // The last number chooses every operand as it is, which always fits.
    let chosen = (0..total).map(|n| choice(&ways, n)).find(|chosen| {
        let mut shapes = chosen.iter().map(|w| shape(graph, w.base));
        let joined = shapes.try_fold(Shape::scalar(), |joined, s| broadcast_shape(&joined, s));
        joined.as_ref() == Some(&node.ty.shape)
    });
    let Some(chosen) = chosen else { return Form::new(style, node.inputs.clone()) };
    let mut form = Form::new(style, chosen.iter().map(|w| w.base).collect());
    form.parts = chosen.iter().flat_map(|w| w.parts.iter().copied()).collect();
    // All but one of the operands of one type can be bare numbers.
    let number = |id: &NodeId| is_number(graph, *id);
    if form.operands[first..].iter().any(|id| !number(id)) {
        for i in first..form.operands.len() {
            form.bare[i] = number(&form.operands[i]);
        }
    } else {
        for i in first + 1..form.operands.len() {
            form.bare[i] = true;
        }
    }
    form
}

/// Combination number `n` of one way per operand.
fn choice(ways: &[Vec<Written>], mut n: usize) -> Vec<&Written> {
    let mut chosen: Vec<&Written> = vec![];
    for list in ways.iter().rev() {
        chosen.push(&list[n % list.len()]);
        n /= list.len();
    }
    chosen.reverse();
    chosen
}

/// Whether a node is a constant that can stand as a bare number where its type is known.
fn is_number(graph: &Graph, id: NodeId) -> bool {
    match graph.node(id).op {
        Op::Const(dtype, Literal::Float(_)) => dtype.is_float(),
        Op::Const(dtype, Literal::Int(_)) => dtype.is_int(),
        _ => false,
    }
}

/// A sum divided by its size.
fn mean(graph: &Graph, id: NodeId, uses: &[u32]) -> Option<Form> {
    let node = graph.node(id);
    if node.op != Op::Binary(BinaryOp::Div) {
        return None;
    }
    let (total, divisor) = (node.inputs[0], node.inputs[1]);
    let Op::Reduce(ReduceOp::Sum, axes) = &graph.node(total).op else { return None };
    if uses[total.index()] != 1 {
        return None;
    }
    let x = graph.node(total).inputs[0];
    let spread = ways(graph, divisor).into_iter().next()?;
    let size = &graph.node(spread.base);
    let same = |dtype: DType, over: &[usize]| dtype == graph.ty(x).dtype && over == axes;
    match &size.op {
        Op::Size { dtype, axes } if size.inputs[0] == x && same(*dtype, axes) => {}
        _ => return None,
    }
    let rank = graph.ty(x).rank();
    let list = match rank > 0 && axes.len() == rank {
        true => vec![],
        false => vec![("axes", Attr::Axes(axes.clone()))],
    };
    let mut form = Form::new(Style::Call("mean", list), vec![x]);
    form.parts = [total, spread.base].into_iter().chain(spread.parts).collect();
    Some(form)
}
