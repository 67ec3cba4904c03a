//! Trees to nodes: names to values, numbers to constants of the type beside them, broadcasting, and formulas by name.

use super::broadcast::{product, spread};
use super::calls;
use super::lex::{Parsed, error};
use super::syntax::{Call, Infix, Term, Tree};
use super::value::Number;
use crate::error::TypeError;
use crate::function::Function;
use crate::graph::{Builder, NodeId};
use crate::make::broadcast_shape;
use crate::op::{BinaryOp, MoveOp, Op, UnaryOp};
use crate::types::{At, DType, Literal, Shape};
use std::sync::Arc;

/// What a name stands for.
pub(super) enum Found<T> {
    /// A value or function.
    Known(T),
    /// What an earlier error kept from being known.
    Failed,
    /// Nothing.
    Unknown,
}

/// What names stand for.
pub(super) struct Scope<'s> {
    pub(super) value: &'s dyn Fn(&str) -> Found<NodeId>,
    pub(super) function: &'s dyn Fn(&str) -> Found<Arc<Function>>,
    /// What to tell about an unknown name of a value.
    pub(super) help: &'s dyn Fn(&str) -> String,
    /// Element type of numbers that stand alone.
    pub(super) float: DType,
}

/// The element type of the first float among inputs and states, which numbers take that stand alone.
pub(super) fn float_of(builder: &Builder) -> DType {
    let graph = builder.graph();
    let inputs = graph.inputs().iter().map(|i| (i.node, i.ty.dtype));
    let leaves = inputs.chain(graph.states().iter().map(|s| (s.read, s.ty.dtype)));
    leaves.filter(|l| l.1.is_float()).min_by_key(|l| l.0).map_or(DType::F32, |l| l.1)
}

/// Appends what `tree` says; `None` when that failed, with the reasons in `errors`.
pub(super) fn elaborate(
    tree: &Tree<'_>,
    builder: &mut Builder,
    scope: &Scope<'_>,
    errors: &mut Vec<TypeError>,
) -> Option<NodeId> {
    let untyped = untyped(tree, scope);
    let values = vec![None; tree.terms.len()];
    let mut elaborator = Elaborator { tree, builder, scope, errors, untyped, values };
    let last = tree.terms.len().checked_sub(1)?;
    for i in 0..=last {
        if !elaborator.untyped[i] {
            elaborator.term(i, scope.float);
        }
    }
    elaborator.settle(last, scope.float);
    elaborator.values[last]?.node()
}

/// Whether each term is made of numbers alone, so that its element type is that of what stands beside it.
fn untyped(tree: &Tree<'_>, scope: &Scope<'_>) -> Vec<bool> {
    let mut untyped: Vec<bool> = Vec::with_capacity(tree.terms.len());
    for place in &tree.terms {
        untyped.push(match &place.term {
            Term::Number(_) => true,
            Term::Name { name, plain } => *plain && constant(name, scope).is_some(),
            Term::Truth(_) | Term::Not(_) => false,
            Term::Neg(operand) => untyped[*operand],
            Term::Infix(Infix::Pair(Op::Binary(op)), left, right) => {
                !matches!(op, BinaryOp::And | BinaryOp::Or) && untyped[*left] && untyped[*right]
            }
            Term::Infix(..) => false,
            Term::Call(call) => {
                let elementwise = UnaryOp::from_name(call.name)
                    .is_some_and(|op| op != UnaryOp::Not)
                    || BinaryOp::from_name(call.name)
                        .is_some_and(|op| !matches!(op, BinaryOp::And | BinaryOp::Or));
                let own = match call.name {
                    "select" | "where" => call.operands.get(1..).unwrap_or(&[]),
                    _ if elementwise => &call.operands[..],
                    _ => &[],
                };
                !own.is_empty() && own.iter().all(|&o| untyped[o])
            }
        });
    }
    untyped
}

/// The number that `name` is when nothing is called so.
fn constant(name: &str, scope: &Scope<'_>) -> Option<&'static str> {
    let digits = match name {
        "pi" => "3.141592653589793",
        "e" => "2.718281828459045",
        _ => return None,
    };
    matches!((scope.value)(name), Found::Unknown).then_some(digits)
}

/// What a term became.
#[derive(Clone, Copy)]
enum Made {
    Node(NodeId),
    Failed,
}

impl Made {
    fn node(self) -> Option<NodeId> {
        match self {
            Made::Node(id) => Some(id),
            Made::Failed => None,
        }
    }
}

/// A tree on its way to nodes.
pub(super) struct Elaborator<'e, 'a> {
    tree: &'e Tree<'a>,
    pub(super) builder: &'e mut Builder,
    pub(super) scope: &'e Scope<'e>,
    errors: &'e mut Vec<TypeError>,
    untyped: Vec<bool>,
    values: Vec<Option<Made>>,
}

impl<'a> Elaborator<'_, 'a> {
    /// Makes the terms below and at `i` that are not made yet; numbers among them have type `dtype`.
    fn settle(&mut self, i: usize, dtype: DType) {
        for j in self.tree.terms[i].start..=i {
            if self.values[j].is_none() {
                self.term(j, dtype);
            }
        }
    }

    /// Makes term `i`, whose typed operands are made; numbers below it that have no typed neighbour have type `dtype`.
    fn term(&mut self, i: usize, dtype: DType) {
        let tree = self.tree;
        let place = &tree.terms[i];
        let operands: &[usize] = match &place.term {
            Term::Name { .. } | Term::Number(_) | Term::Truth(_) => &[],
            Term::Neg(x) | Term::Not(x) => std::slice::from_ref(x),
            Term::Infix(_, left, right) => &[*left, *right],
            Term::Call(call) => &call.operands,
        };
        for position in 0..operands.len() {
            if self.values[operands[position]].is_none() {
                let dtype = self.beside(&place.term, operands, position, dtype);
                self.settle(operands[position], dtype);
            }
        }
        let mut nodes = Vec::with_capacity(operands.len());
        for &operand in operands {
            match self.values[operand] {
                Some(Made::Node(id)) => nodes.push(id),
                Some(Made::Failed) | None => {
                    self.values[i] = Some(Made::Failed);
                    return;
                }
            }
        }
        self.values[i] = Some(match self.make(&place.term, &nodes, dtype, place.at) {
            Ok(Some(id)) => Made::Node(id),
            Ok(None) => Made::Failed,
            Err(error) => {
                self.errors.push(error);
                Made::Failed
            }
        });
    }

    /// Element type of the numbers that are operand `position` of `term`.
    fn beside(&self, term: &Term<'a>, operands: &[usize], position: usize, dtype: DType) -> DType {
        let made = |i: usize| {
            let id = self.values[operands[i]].and_then(Made::node)?;
            Some(self.builder.ty(id).dtype)
        };
        let Term::Call(call) = term else {
            return (0..operands.len()).find_map(made).unwrap_or(dtype);
        };
        let neighbours = match call.name {
            "select" | "where" if position > 0 => (1..operands.len()).find_map(made),
            "random_key" => Some(DType::I32),
            "gather" if position == 1 => Some(DType::I32),
            "scatter_add" if position == 0 => Some(DType::I32),
            "select" | "where" | "gather" | "scatter_add" => None,
            "scan" | "call" => self.declared(call, 0, position),
            "cond" => position.checked_sub(1).and_then(|p| self.declared(call, 0, p)),
            name if calls::is_built_in(name) => (0..operands.len()).find_map(made),
            name => match (self.scope.function)(name) {
                Found::Known(f) => f.graph().inputs().get(position).map(|i| i.ty.dtype),
                Found::Failed | Found::Unknown => None,
            },
        };
        neighbours.unwrap_or(dtype)
    }

    /// Element type of input `position` of a function that `call` names.
    fn declared(&self, call: &Call<'_>, which: usize, position: usize) -> Option<DType> {
        match (self.scope.function)(call.functions.get(which)?.0) {
            Found::Known(f) => f.graph().inputs().get(position).map(|i| i.ty.dtype),
            Found::Failed | Found::Unknown => None,
        }
    }

    fn make(
        &mut self,
        term: &Term<'a>,
        nodes: &[NodeId],
        dtype: DType,
        at: At,
    ) -> Parsed<Option<NodeId>> {
        match term {
            Term::Name { name, plain } => match (self.scope.value)(name) {
                Found::Known(id) => Ok(Some(id)),
                Found::Failed => Ok(None),
                Found::Unknown => match constant(name, self.scope).filter(|_| *plain) {
                    Some(text) => self.number(&Number { negative: false, text, at }, dtype, at),
                    None => {
                        let help = (self.scope.help)(name);
                        error(at, format!("knows no value called `{name}`"), help)
                    }
                },
            },
            Term::Number(number) => self.number(number, dtype, at),
            Term::Truth(value) => self.one(Op::Const(DType::Bool, Literal::Bool(*value)), &[], at),
            Term::Neg(_) => self.one(Op::Unary(UnaryOp::Neg), nodes, at),
            Term::Not(_) => self.one(Op::Unary(UnaryOp::Not), nodes, at),
            Term::Infix(Infix::Pair(op), ..) => self.elementwise(op.clone(), nodes, at).map(Some),
            Term::Infix(Infix::Product, ..) => self.product(nodes, at).map(Some),
            Term::Call(call) => self.call(call, nodes, at),
        }
    }

    fn number(&mut self, number: &Number<'_>, dtype: DType, at: At) -> Parsed<Option<NodeId>> {
        let literal = number.literal(dtype)?;
        self.one(Op::Const(dtype, literal), &[], at)
    }

    pub(super) fn one(&mut self, op: Op, nodes: &[NodeId], at: At) -> Parsed<Option<NodeId>> {
        self.builder.push(op, nodes, at).map(Some)
    }

    pub(super) fn shape(&self, id: NodeId) -> Shape {
        self.builder.ty(id).shape.clone()
    }

    /// `op` on operands that are spread to one shape first; an error shows them as they were.
    pub(super) fn elementwise(&mut self, op: Op, nodes: &[NodeId], at: At) -> Parsed<NodeId> {
        let mut shape = Some(Shape::scalar());
        for &id in nodes {
            shape = shape.and_then(|s| broadcast_shape(&s, &self.builder.ty(id).shape));
        }
        let mut spread = nodes.to_vec();
        // Shapes that do not broadcast go to the op itself, which reports them.
        if let Some(shape) = shape {
            for id in &mut spread {
                *id = self.spread(*id, &shape, at)?;
            }
        }
        self.builder.push(op, &spread, at).map_err(|mut error| {
            error.operands =
                nodes.iter().enumerate().map(|(i, &id)| self.builder.operand(id, i)).collect();
            error
        })
    }

    pub(super) fn spread(&mut self, id: NodeId, to: &Shape, at: At) -> Parsed<NodeId> {
        let from = self.shape(id);
        if from == *to {
            return Ok(id);
        }
        let Some(way) = spread(&from, to) else {
            let message = format!("cannot spread {from} over {to}");
            let help = "sizes agree from the right when they are equal or the operand's is 1";
            return Err(self.wrong("broadcast", &[id], message, help, at));
        };
        let base = match way.dense {
            Some(dense) => self.builder.push(Op::Move(MoveOp::Reshape(dense)), &[id], at)?,
            None => id,
        };
        let op = MoveOp::Broadcast { shape: to.clone(), axes: way.axes };
        self.builder.push(Op::Move(op), &[base], at)
    }

    pub(super) fn wrong(
        &self,
        op: &str,
        nodes: &[NodeId],
        message: impl Into<String>,
        help: impl Into<String>,
        at: At,
    ) -> TypeError {
        let mut error = TypeError::new(op, at, message, help);
        error.operands =
            nodes.iter().enumerate().map(|(i, &id)| self.builder.operand(id, i)).collect();
        error
    }

    pub(super) fn product(&mut self, nodes: &[NodeId], at: At) -> Parsed<NodeId> {
        let (a, b) = (nodes[0], nodes[1]);
        match product(&self.shape(a), &self.shape(b)) {
            Err((message, help)) => Err(self.wrong("matmul", nodes, message, help, at)),
            Ok(way) => {
                let [left, right] = way.spread;
                let a = left.map_or(Ok(a), |shape| self.spread(a, &shape, at))?;
                let b = right.map_or(Ok(b), |shape| self.spread(b, &shape, at))?;
                self.builder.push(Op::Dot(way.axes), &[a, b], at)
            }
        }
    }
}

/// The one of `names` most like `name`, if it is like it at all.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let most = 1 + name.len() / 5;
    let near = |other: &'n str| {
        let longer = name.len().abs_diff(other.len());
        let close = longer <= most && name.len() <= 40;
        let distance = if close { distance(name, other) } else { usize::MAX };
        (distance <= most).then_some((distance, longer, other))
    };
    names.filter_map(near).min().map(|(.., other)| other)
}

/// Characters to insert, delete or replace to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, d) in b.iter().enumerate() {
            let replaced = corner + usize::from(c != *d);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
