//! The terms of an explanation, each once, and how people read them.

use crate::axes::Axis;
use crate::language::{Head, Opaque};
use eggrad_ir::{BinaryOp, CompareOp, Graph, MarkOp, Op, ReduceOp, UnaryOp};
use std::collections::HashMap;

/// A term of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TermId(pub(crate) usize);

/// An op with its operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) head: Head,
    pub(crate) args: Vec<TermId>,
}

/// Terms, operands before their users, with the names of inputs and states.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    nodes: Vec<Node>,
    numbers: HashMap<Node, TermId>,
    /// Positional ops, by number.
    pub(crate) opaque: Vec<Opaque>,
    inputs: Vec<String>,
    states: Vec<String>,
}

impl Terms {
    /// None yet; names are those of `graph`.
    pub(crate) fn new(graph: &Graph, opaque: &[Opaque]) -> Terms {
        Terms {
            opaque: opaque.to_vec(),
            inputs: graph.inputs().iter().map(|i| i.name.clone()).collect(),
            states: graph.states().iter().map(|s| s.name.clone()).collect(),
            ..Terms::default()
        }
    }

    pub(crate) fn add(&mut self, head: Head, args: Vec<TermId>) -> TermId {
        let node = Node { head, args };
        if let Some(&known) = self.numbers.get(&node) {
            return known;
        }
        let id = TermId(self.nodes.len());
        self.numbers.insert(node.clone(), id);
        self.nodes.push(node);
        id
    }

    pub(crate) fn node(&self, id: TermId) -> &Node {
        &self.nodes[id.0]
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A formula of at most about `width` characters; what does not fit is cut to `…`.
    pub(crate) fn text(&self, id: TermId, width: usize) -> String {
        let mut best = self.infix(id, 1).0;
        for depth in 2..=MOST_DEPTH {
            let (longer, cut) = self.infix(id, depth);
            if longer.chars().count() > width {
                break;
            }
            best = longer;
            if !cut {
                break;
            }
        }
        best
    }

    /// A formula of so many levels, and whether something was left out.
    fn infix(&self, id: TermId, depth: usize) -> (String, bool) {
        let mut writer = Writer { terms: self, cut: false };
        (writer.write(id, depth).0, writer.cut)
    }
}

/// Levels of a formula that are written at most.
const MOST_DEPTH: usize = 12;

/// How tightly the outermost op of a formula binds.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Binds {
    Logic,
    Comparison,
    Sum,
    Product,
    Sign,
    Power,
    Atom,
}

struct Writer<'a> {
    terms: &'a Terms,
    cut: bool,
}

impl Writer<'_> {
    fn write(&mut self, id: TermId, depth: usize) -> (String, Binds) {
        let mut id = id;
        // What only spreads a value or gives it other names is not shown.
        while let Head::Expand | Head::Rename = self.terms.node(id).head {
            id = self.terms.node(id).args[1];
        }
        let Node { head, args } = self.terms.node(id);
        if let Some(leaf) = self.leaf(head, args) {
            return leaf;
        }
        if depth == 0 {
            self.cut = true;
            return ("…".to_string(), Binds::Atom);
        }
        let tensor = |&a: &TermId| !self.terms.node(a).head.is_attribute();
        let tensors = args.iter().copied().filter(tensor);
        let tensors: Vec<TermId> = tensors.collect();
        let (name, symbol) = match head {
            Head::Unary(UnaryOp::Neg) => {
                let text = self.tight(tensors[0], depth, Binds::Sign);
                return (format!("-{text}"), Binds::Sign);
            }
            Head::Unary(UnaryOp::Square) => {
                let text = self.tight(tensors[0], depth, Binds::Atom);
                return (format!("{text}^2"), Binds::Power);
            }
            Head::Unary(op) => (op.name(), None),
            Head::Binary(op) => (op.name(), symbol(*op)),
            Head::Compare(op) => (op.name(), Some((compare(*op), Binds::Comparison))),
            Head::Select => ("where", None),
            Head::Cast => ("cast", None),
            Head::Mark(MarkOp::Keep) => ("keep", None),
            Head::Mark(MarkOp::StopGradient) => ("stop_gradient", None),
            Head::Reduce(op) => (op.name(), None),
            Head::Softmax(op) => (op.name(), None),
            Head::CrossEntropy(op) => (op.name(), None),
            Head::Dot => ("dot", Some(("@", Binds::Product))),
            Head::OneHot => ("one_hot", None),
            Head::Gather => ("gather", None),
            Head::ScatterAdd => ("scatter_add", None),
            Head::Opaque(number) => (self.terms.opaque[*number as usize].op.name(), None),
            Head::Axes(_)
            | Head::Renaming(_)
            | Head::Type(_)
            | Head::Const(..)
            | Head::Expand
            | Head::Rename
            | Head::Iota
            | Head::Size => ("", None),
        };
        if let (Some((symbol, binds)), &[a, b]) = (symbol, tensors.as_slice()) {
            let left = self.tight(a, depth, binds);
            // The right operand of the same op keeps its parentheses.
            let right = self.write(b, depth - 1);
            let right = if right.1 <= binds { format!("({})", right.0) } else { right.0 };
            let space = if binds < Binds::Product || symbol == "@" { " " } else { "" };
            return (format!("{left}{space}{symbol}{space}{right}"), binds);
        }
        let inside: Vec<String> = tensors.iter().map(|&t| self.write(t, depth - 1).0).collect();
        (format!("{name}({})", inside.join(", ")), Binds::Atom)
    }

    /// An operand, in parentheses if it binds less than `binds`.
    fn tight(&mut self, id: TermId, depth: usize, binds: Binds) -> String {
        let (text, own) = self.write(id, depth - 1);
        if own < binds { format!("({text})") } else { text }
    }

    fn leaf(&self, head: &Head, args: &[TermId]) -> Option<(String, Binds)> {
        let terms = self.terms;
        let number = |value: f64| {
            let binds = if value < 0.0 { Binds::Sign } else { Binds::Atom };
            // Digits that an `f32` has are enough to tell which number it is.
            let short = value as f32;
            match short.is_normal() {
                true => (format!("{short}"), binds),
                false => (format!("{value}"), binds),
            }
        };
        let name = match head {
            Head::Const(_, value) => return Some(number(value.to_f64())),
            Head::Opaque(at) => match &terms.opaque[*at as usize].op {
                Op::Input(i) => terms.inputs[*i].clone(),
                Op::State(i) => terms.states[*i].clone(),
                Op::Const(_, literal) => return Some(number(literal.as_f64())),
                op if args.is_empty() => op.name().to_string(),
                _ => return None,
            },
            Head::Iota => "iota".to_string(),
            Head::Size => "size".to_string(),
            Head::Axes(axes) => {
                let names: Vec<String> = axes.iter().map(|a: Axis| a.to_string()).collect();
                format!("{{{}}}", names.join(","))
            }
            Head::Renaming(map) => {
                let names: Vec<String> = map.iter().map(|(a, b)| format!("{a}:{b}")).collect();
                format!("{{{}}}", names.join(","))
            }
            Head::Type(dtype) => dtype.name().to_string(),
            Head::Unary(_)
            | Head::Binary(_)
            | Head::Compare(_)
            | Head::Select
            | Head::Cast
            | Head::Mark(_)
            | Head::Reduce(_)
            | Head::Softmax(_)
            | Head::CrossEntropy(_)
            | Head::Dot
            | Head::Expand
            | Head::Rename
            | Head::OneHot
            | Head::Gather
            | Head::ScatterAdd => return None,
        };
        Some((name, Binds::Atom))
    }
}

/// The operator between two operands, where the text form has one.
fn symbol(op: BinaryOp) -> Option<(&'static str, Binds)> {
    match op {
        BinaryOp::Add => Some(("+", Binds::Sum)),
        BinaryOp::Sub => Some(("-", Binds::Sum)),
        BinaryOp::Mul => Some(("*", Binds::Product)),
        BinaryOp::Div => Some(("/", Binds::Product)),
        BinaryOp::And => Some(("and", Binds::Logic)),
        BinaryOp::Or => Some(("or", Binds::Logic)),
        BinaryOp::Pow
        | BinaryOp::Mod
        | BinaryOp::Atan2
        | BinaryOp::Maximum
        | BinaryOp::Minimum
        | BinaryOp::LogAddExp
        | BinaryOp::Xlogy => None,
    }
}

fn compare(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

/// Whether an op is arithmetic that a field has: its values can be computed modulo a prime.
pub(crate) fn is_field_op(head: &Head) -> bool {
    match head {
        Head::Const(..) | Head::Expand => true,
        Head::Unary(op) => matches!(op, UnaryOp::Neg | UnaryOp::Recip | UnaryOp::Square),
        Head::Binary(op) => {
            matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div)
        }
        Head::Reduce(
            ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min | ReduceOp::LogSumExp,
        )
        | Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Compare(_)
        | Head::Select
        | Head::Cast
        | Head::Mark(_)
        | Head::Softmax(_)
        | Head::CrossEntropy(_)
        | Head::Dot
        | Head::Rename
        | Head::OneHot
        | Head::Gather
        | Head::ScatterAdd
        | Head::Iota
        | Head::Size
        | Head::Opaque(_) => false,
    }
}
