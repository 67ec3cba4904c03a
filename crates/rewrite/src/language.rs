//! The language of the e-graph: ops over named axes.
//!
//! Elementwise ops line up by name, so broadcasting and transposing do not exist here; sets of axes, element types
//! and renamings are leaves and stand as operands before the tensors, as in `(sum S x)`. What does not line up by
//! name is an opaque op that keeps its positional meaning and lists the names it reads and writes.

use crate::axes::{Axis, AxisSet};
use crate::rational::Rational;
use egg::{Id, Language};
use eggrad_ir::{
    BinaryOp, CompareOp, CrossEntropyOp, DType, MarkOp, Op, ReduceOp, SoftmaxOp, UnaryOp,
};
use std::sync::Arc;

/// What a term does with its operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Head {
    /// A set of axes.
    Axes(AxisSet),
    /// Old and new names, by old name.
    Renaming(Arc<[(Axis, Axis)]>),
    /// An element type.
    Type(DType),
    /// A float.
    Const(DType, Rational),
    /// Elementwise.
    Unary(UnaryOp),
    /// Elementwise.
    Binary(BinaryOp),
    /// Elementwise.
    Compare(CompareOp),
    /// Elementwise.
    Select,
    /// `(cast type x)`
    Cast,
    /// `(keep x)`, `(stop_gradient x)`
    Mark(MarkOp),
    /// `(sum S x)`
    Reduce(ReduceOp),
    /// `(softmax S x)`
    Softmax(SoftmaxOp),
    /// `(cross_entropy S z t)`; `t` may lack axes of `z`.
    CrossEntropy(CrossEntropyOp),
    /// `(dot S a b)`: the sum over `S`, which both have, of `a · b`.
    Dot,
    /// `(expand S x)`: constant along `S`, which `x` has not.
    Expand,
    /// `(rename m x)`
    Rename,
    /// `(one_hot type v i)`: 1 where the position along `v` is `i`.
    OneHot,
    /// `(gather v t i)`: `t` at position `i` of `v`.
    Gather,
    /// `(scatter_add v S i u)`: along `v`, the sum over `S` of the `u` whose `i` is the position.
    ScatterAdd,
    /// `(iota type v)`: the position along `v`.
    Iota,
    /// `(size type S)`: the number of elements along `S`.
    Size,
    /// A positional op: its number in [`crate::facts::Context::opaque`].
    Opaque(u32),
}

/// What a term takes at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Axes,
    Renaming,
    Type,
    Tensor,
}

impl Head {
    /// What it takes, in order; an opaque op takes any number of tensors.
    pub(crate) fn takes(&self) -> &'static [Kind] {
        use Kind::{Axes, Renaming, Tensor, Type};
        match self {
            Head::Axes(_)
            | Head::Renaming(_)
            | Head::Type(_)
            | Head::Const(..)
            | Head::Opaque(_) => &[],
            Head::Unary(_) | Head::Mark(_) => &[Tensor],
            Head::Binary(_) | Head::Compare(_) => &[Tensor, Tensor],
            Head::Select => &[Tensor, Tensor, Tensor],
            Head::Cast => &[Type, Tensor],
            Head::Reduce(_) | Head::Softmax(_) | Head::Expand => &[Axes, Tensor],
            Head::CrossEntropy(_) | Head::Dot | Head::Gather => &[Axes, Tensor, Tensor],
            Head::Rename => &[Renaming, Tensor],
            Head::OneHot => &[Type, Axes, Tensor],
            Head::ScatterAdd => &[Axes, Axes, Tensor, Tensor],
            Head::Iota | Head::Size => &[Type, Axes],
        }
    }

    /// Whether it is a leaf that says how, not a value.
    pub(crate) fn is_attribute(&self) -> bool {
        matches!(self, Head::Axes(_) | Head::Renaming(_) | Head::Type(_))
    }

    /// Whether its last two operands may change places.
    pub(crate) fn commutes(&self) -> bool {
        match self {
            Head::Dot => true,
            Head::Binary(op) => match op {
                BinaryOp::Add
                | BinaryOp::Mul
                | BinaryOp::Maximum
                | BinaryOp::Minimum
                | BinaryOp::LogAddExp
                | BinaryOp::And
                | BinaryOp::Or => true,
                BinaryOp::Sub
                | BinaryOp::Div
                | BinaryOp::Pow
                | BinaryOp::Mod
                | BinaryOp::Atan2
                | BinaryOp::Xlogy => false,
            },
            Head::Compare(op) => matches!(op, CompareOp::Eq | CompareOp::Ne),
            Head::Axes(_)
            | Head::Renaming(_)
            | Head::Type(_)
            | Head::Const(..)
            | Head::Unary(_)
            | Head::Select
            | Head::Cast
            | Head::Mark(_)
            | Head::Reduce(_)
            | Head::Softmax(_)
            | Head::CrossEntropy(_)
            | Head::Expand
            | Head::Rename
            | Head::OneHot
            | Head::Gather
            | Head::ScatterAdd
            | Head::Iota
            | Head::Size
            | Head::Opaque(_) => false,
        }
    }

    /// Name in rule files; of what these cannot name, what it is.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Head::Axes(_) => "axes",
            Head::Renaming(_) => "renaming",
            Head::Type(_) => "type",
            Head::Const(..) => "const",
            Head::Unary(op) => op.name(),
            Head::Binary(op) => op.name(),
            Head::Compare(op) => op.name(),
            Head::Select => "select",
            Head::Cast => "cast",
            Head::Mark(op) => op.name(),
            Head::Reduce(op) => op.name(),
            Head::Softmax(op) => op.name(),
            Head::CrossEntropy(op) => op.name(),
            Head::Dot => "dot",
            Head::Expand => "expand",
            Head::Rename => "rename",
            Head::OneHot => "one_hot",
            Head::Gather => "gather",
            Head::ScatterAdd => "scatter_add",
            Head::Iota => "iota",
            Head::Size => "size",
            Head::Opaque(_) => "opaque",
        }
    }

    /// The head called `name` in rule files.
    pub(crate) fn from_name(name: &str) -> Option<Head> {
        let op = UnaryOp::from_name(name).map(Head::Unary);
        let op = op.or_else(|| BinaryOp::from_name(name).map(Head::Binary));
        let op = op.or_else(|| CompareOp::from_name(name).map(Head::Compare));
        let op = op.or_else(|| MarkOp::from_name(name).map(Head::Mark));
        let op = op.or_else(|| ReduceOp::from_name(name).map(Head::Reduce));
        let op = op.or_else(|| SoftmaxOp::from_name(name).map(Head::Softmax));
        let op = op.or_else(|| CrossEntropyOp::from_name(name).map(Head::CrossEntropy));
        op.or(match name {
            "select" => Some(Head::Select),
            "cast" => Some(Head::Cast),
            "dot" => Some(Head::Dot),
            "expand" => Some(Head::Expand),
            "one_hot" => Some(Head::OneHot),
            "gather" => Some(Head::Gather),
            "scatter_add" => Some(Head::ScatterAdd),
            "iota" => Some(Head::Iota),
            "size" => Some(Head::Size),
            _ => None,
        })
    }
}

/// An e-node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Term {
    pub(crate) head: Head,
    pub(crate) args: Box<[Id]>,
}

impl Term {
    pub(crate) fn new(head: Head, args: &[Id]) -> Term {
        Term { head, args: args.into() }
    }

    pub(crate) fn leaf(head: Head) -> Term {
        Term::new(head, &[])
    }
}

impl Language for Term {
    type Discriminant = Head;

    fn discriminant(&self) -> Head {
        self.head.clone()
    }

    fn matches(&self, other: &Term) -> bool {
        self.head == other.head && self.args.len() == other.args.len()
    }

    fn children(&self) -> &[Id] {
        &self.args
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.args
    }
}

/// A positional op with the names of what it reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Opaque {
    pub(crate) op: Op,
    /// For each operand, its axes in order.
    pub(crate) args: Vec<Vec<Axis>>,
    /// Axes of the result in order.
    pub(crate) out: Vec<Axis>,
    /// Element type of the result.
    pub(crate) dtype: DType,
}
