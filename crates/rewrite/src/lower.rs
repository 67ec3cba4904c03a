//! From chosen terms back to a positional graph: picks layouts, inserts the transposes and broadcasts they need.

use crate::axes::{Axis, AxisSet};
use crate::build::axes;
use crate::copy::{leaf, push, resized, shape};
use crate::extract::{Choice, Classes};
use crate::facts::{Data, Egraph};
use crate::language::{Head, Opaque, Term};
use egg::Id;
use eggrad_ir::{At, Builder, DType, DotAxes, Layer, Literal, MoveOp, NodeId, Op, ReduceOp};
use std::collections::HashMap;

/// What the user's graph says about a class: the order of its axes, where it was written, and in which layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hint {
    pub(crate) layout: Option<Vec<Axis>>,
    pub(crate) at: At,
    pub(crate) layer: Layer,
}

/// A lowered class: a node and the names of its dimensions.
#[derive(Clone, Debug)]
struct Value {
    node: NodeId,
    axes: Vec<Axis>,
}

/// Lowers classes to nodes of `builder`.
pub(crate) struct Lowerer<'a> {
    pub(crate) egraph: &'a Egraph,
    pub(crate) classes: &'a Classes,
    pub(crate) sizes: &'a [usize],
    pub(crate) hints: &'a HashMap<Id, Hint>,
    pub(crate) builder: Builder,
    at: At,
    /// Whether the builder has the layers of the graph.
    layers: bool,
    values: Vec<Option<Value>>,
}

impl<'a> Lowerer<'a> {
    pub(crate) fn new(
        egraph: &'a Egraph,
        classes: &'a Classes,
        sizes: &'a [usize],
        hints: &'a HashMap<Id, Hint>,
        builder: Builder,
    ) -> Lowerer<'a> {
        let values = vec![None; classes.ids.len()];
        let layers = sizes == egraph.analysis.sizes;
        Lowerer { egraph, classes, sizes, hints, builder, at: At::Unknown, layers, values }
    }

    /// Lowers every class that `choice` uses, in the order `order`.
    pub(crate) fn run(&mut self, choice: &Choice, order: &[usize]) {
        for &place in order {
            let term = &self.classes.candidates[place][choice[place]].term;
            let hint = self.hints.get(&self.classes.ids[place]).cloned().unwrap_or_default();
            self.at = hint.at;
            let first = self.builder.graph().nodes().len();
            let value = self.term(term, hint.layout.as_deref());
            // Other sizes are for comparison only: no layers are declared there.
            if self.layers {
                let made = first..self.builder.graph().nodes().len();
                let made = made.map(|i| NodeId(i as u32)).chain([value.node]);
                made.for_each(|node| self.builder.locate(node, hint.at, hint.layer));
            }
            self.values[place] = Some(value);
        }
    }

    /// The node of a class with its dimensions in the given order.
    pub(crate) fn root(&mut self, place: usize, order: &[Axis]) -> NodeId {
        let Some(value) = self.values[place].clone() else {
            panic!("internal error: a root was not lowered")
        };
        self.at = At::Unknown;
        self.arrange(&value, order)
    }

    fn value(&self, arg: Id) -> &Value {
        match &self.values[self.classes.places[&self.egraph.find(arg)]] {
            Some(value) => value,
            None => panic!("internal error: an operand was lowered after its user"),
        }
    }

    fn node(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        push(&mut self.builder, op, inputs, self.at)
    }

    /// `value` with dimensions in the order `order`, constant along those it has not.
    fn arrange(&mut self, value: &Value, order: &[Axis]) -> NodeId {
        let present: Vec<Axis> = order.iter().copied().filter(|a| value.axes.contains(a)).collect();
        let mut node = value.node;
        if present != value.axes {
            let perm = present.iter().map(|a| position(&value.axes, *a)).collect();
            node = self.node(Op::Move(MoveOp::Transpose(perm)), &[node]);
        }
        if present.len() < order.len() {
            let axes = present.iter().map(|a| position(order, *a)).collect();
            let shape = shape(order, self.sizes);
            node = self.node(Op::Move(MoveOp::Broadcast { shape, axes }), &[node]);
        }
        node
    }

    /// The order of dimensions in which operands meet: that of the operands that have all, if they agree, else the
    /// user's.
    fn meeting(&self, args: &[Id], hint: Option<&[Axis]>) -> Vec<Axis> {
        let mut all: Vec<Axis> = vec![];
        for &arg in args {
            let new: Vec<Axis> =
                self.value(arg).axes.iter().copied().filter(|a| !all.contains(a)).collect();
            all.extend(new);
        }
        let mut full = args.iter().map(|&a| &self.value(a).axes).filter(|v| v.len() == all.len());
        let hint = hint.filter(|h| h.len() == all.len());
        match full.next() {
            Some(first) if hint.is_none() || full.all(|other| other == first) => first.clone(),
            Some(_) | None => match hint {
                Some(hint) => hint.to_vec(),
                None => all,
            },
        }
    }

    fn elementwise(&mut self, op: Op, args: &[Id], hint: Option<&[Axis]>) -> Value {
        let order = self.meeting(args, hint);
        let inputs: Vec<NodeId> = args
            .iter()
            .map(|&a| {
                let value = self.value(a).clone();
                self.arrange(&value, &order)
            })
            .collect();
        Value { node: self.node(op, &inputs), axes: order }
    }

    fn axes(&self, arg: Id) -> AxisSet {
        axes(self.egraph, arg)
    }

    fn dtype(&self, arg: Id) -> DType {
        match &self.egraph[arg].data {
            Data::Type(dtype) => *dtype,
            Data::Axes(_) | Data::Renaming(_) | Data::Tensor(_) => {
                panic!("internal error: an element type was expected")
            }
        }
    }

    fn term(&mut self, term: &Term, hint: Option<&[Axis]>) -> Value {
        let args = &term.args;
        match &term.head {
            Head::Axes(_) | Head::Renaming(_) | Head::Type(_) => {
                panic!("internal error: an attribute has no value")
            }
            Head::Const(dtype, value) => {
                let literal = Literal::Float(value.to_f64().to_bits());
                Value { node: self.node(Op::Const(*dtype, literal), &[]), axes: vec![] }
            }
            Head::Unary(op) => self.elementwise(Op::Unary(*op), args, hint),
            Head::Binary(op) => self.elementwise(Op::Binary(*op), args, hint),
            Head::Compare(op) => self.elementwise(Op::Compare(*op), args, hint),
            Head::Select => self.elementwise(Op::Select, args, hint),
            Head::Cast => {
                let dtype = self.dtype(args[0]);
                self.elementwise(Op::Cast(dtype), &args[1..], hint)
            }
            Head::Mark(op) => self.elementwise(Op::Mark(*op), args, hint),
            Head::Reduce(op) => self.reduce(*op, &self.axes(args[0]), args[1]),
            Head::Softmax(op) => {
                let x = self.value(args[1]).clone();
                let axes = positions(&x.axes, &self.axes(args[0]));
                Value { node: self.node(Op::Softmax(*op, axes), &[x.node]), axes: x.axes }
            }
            Head::CrossEntropy(op) => {
                let order = self.meeting(&args[1..], hint);
                let (z, t) = (self.value(args[1]).clone(), self.value(args[2]).clone());
                let (z, t) = (self.arrange(&z, &order), self.arrange(&t, &order));
                let over = self.axes(args[0]);
                let axes = positions(&order, &over);
                let node = self.node(Op::CrossEntropy(*op, axes), &[z, t]);
                let left = match op {
                    eggrad_ir::CrossEntropyOp::Value => without(&order, &over),
                    eggrad_ir::CrossEntropyOp::Residual => order,
                };
                Value { node, axes: left }
            }
            Head::Dot => self.dot(&self.axes(args[0]), args[1], args[2], hint),
            Head::Expand => {
                let x = self.value(args[1]).clone();
                let wanted = self.axes(args[0]);
                let order = match hint {
                    Some(hint) if hint.len() == wanted.len() + x.axes.len() => hint.to_vec(),
                    Some(_) | None => wanted.iter().chain(x.axes.iter().copied()).collect(),
                };
                Value { node: self.arrange(&x, &order), axes: order }
            }
            Head::Rename => {
                let Data::Renaming(map) = &self.egraph[args[0]].data else {
                    panic!("internal error: a renaming was expected")
                };
                let x = self.value(args[1]).clone();
                let new = |a: &Axis| map.iter().find(|p| p.0 == *a).map_or(*a, |p| p.1);
                Value { node: x.node, axes: x.axes.iter().map(new).collect() }
            }
            Head::OneHot => {
                let dtype = self.dtype(args[0]);
                let i = self.value(args[2]).clone();
                let v: Vec<Axis> = self.axes(args[1]).iter().collect();
                let axes: Vec<Axis> = i.axes.iter().copied().chain(v).collect();
                let op = resized(&Op::OneHot { dtype, classes: 0 }, &[], &axes, self.sizes);
                Value { node: self.node(op, &[i.node]), axes }
            }
            Head::Gather => self.gather(&self.axes(args[0]), args[1], args[2]),
            Head::ScatterAdd => {
                let (v, over) = (self.axes(args[0]), self.axes(args[1]));
                let (i, u) = (self.value(args[2]).clone(), self.value(args[3]).clone());
                let batch = without(&i.axes, &over);
                let index: Vec<Axis> = batch.iter().copied().chain(over.iter()).collect();
                let rest: Vec<Axis> =
                    u.axes.iter().copied().filter(|a| !index.contains(a)).collect();
                let updates: Vec<Axis> = index.iter().chain(&rest).copied().collect();
                let (i, u) = (self.arrange(&i, &index), self.arrange(&u, &updates));
                let axes: Vec<Axis> = batch.iter().copied().chain(v.iter()).chain(rest).collect();
                let op = Op::ScatterAdd { batch: batch.len(), size: 0 };
                let op = resized(&op, &[], &axes, self.sizes);
                Value { node: self.node(op, &[i, u]), axes }
            }
            Head::Iota => {
                let dtype = self.dtype(args[0]);
                let axes: Vec<Axis> = self.axes(args[1]).iter().collect();
                let op = Op::Iota { dtype, shape: shape(&axes, self.sizes), axis: 0 };
                Value { node: self.node(op, &[]), axes }
            }
            Head::Size => {
                let dtype = self.dtype(args[0]);
                let over = self.axes(args[1]);
                Value { node: self.size(dtype, &over), axes: vec![] }
            }
            Head::Opaque(number) => {
                let opaque: &Opaque = &self.egraph.analysis.opaque[*number as usize];
                if let Some(node) = leaf(&self.builder, &opaque.op) {
                    return Value { node, axes: opaque.out.clone() };
                }
                let mut inputs = vec![];
                for (&arg, order) in args.iter().zip(&opaque.args) {
                    let value = self.value(arg).clone();
                    inputs.push(self.arrange(&value, order));
                }
                let op = resized(&opaque.op, &opaque.args, &opaque.out, self.sizes);
                Value { node: self.node(op, &inputs), axes: opaque.out.clone() }
            }
        }
    }

    fn reduce(&mut self, op: ReduceOp, over: &AxisSet, x: Id) -> Value {
        let x = self.value(x).clone();
        let left = without(&x.axes, over);
        let single = over.iter().all(|a| self.egraph.analysis.sizes[a as usize] == 1);
        let node = if single && op != ReduceOp::LogSumExp {
            let shape = shape(&left, self.sizes);
            self.node(Op::Move(MoveOp::Reshape(shape)), &[x.node])
        } else {
            self.node(Op::Reduce(op, positions(&x.axes, over)), &[x.node])
        };
        Value { node, axes: left }
    }

    fn dot(&mut self, over: &AxisSet, a: Id, b: Id, hint: Option<&[Axis]>) -> Value {
        let (mut a, mut b) = (self.value(a).clone(), self.value(b).clone());
        let result = |a: &Value, b: &Value| {
            let batch: Vec<Axis> =
                a.axes.iter().copied().filter(|&x| b.axes.contains(&x) && !over.has(x)).collect();
            let free = |x: &Value, y: &Value| -> Vec<Axis> {
                x.axes.iter().copied().filter(|a| !y.axes.contains(a)).collect()
            };
            [batch, free(a, b), free(b, a)].concat()
        };
        if hint == Some(&result(&b, &a)[..]) && hint != Some(&result(&a, &b)[..]) {
            (a, b) = (b, a);
        }
        let axes = result(&a, &b);
        let pair = |x: Axis| (position(&a.axes, x), position(&b.axes, x));
        let contract = over.iter().map(pair).collect();
        let shared = axes.iter().copied().filter(|x| a.axes.contains(x) && b.axes.contains(x));
        let batch = shared.map(pair).collect();
        let node = self.node(Op::Dot(DotAxes { batch, contract }), &[a.node, b.node]);
        Value { node, axes }
    }

    fn gather(&mut self, v: &AxisSet, table: Id, index: Id) -> Value {
        let (t, i) = (self.value(table).clone(), self.value(index).clone());
        let batch: Vec<Axis> = t.axes.iter().copied().filter(|a| i.axes.contains(a)).collect();
        let rest: Vec<Axis> =
            t.axes.iter().copied().filter(|a| !batch.contains(a) && !v.has(*a)).collect();
        let others: Vec<Axis> = i.axes.iter().copied().filter(|a| !batch.contains(a)).collect();
        let table_order: Vec<Axis> =
            batch.iter().copied().chain(v.iter()).chain(rest.iter().copied()).collect();
        let index_order = [batch.clone(), others].concat();
        let (t, i) = (self.arrange(&t, &table_order), self.arrange(&i, &index_order));
        let node = self.node(Op::Gather { batch: batch.len() }, &[t, i]);
        Value { node, axes: [index_order, rest].concat() }
    }

    /// A node with the number of elements along `over`: measured on an input or state that has the axes.
    fn size(&mut self, dtype: DType, over: &AxisSet) -> NodeId {
        let opaque = self.egraph.analysis.opaque.iter();
        let mut leaves: Vec<(NodeId, &Opaque)> =
            opaque.filter_map(|o| leaf(&self.builder, &o.op).map(|l| (l, o))).collect();
        leaves.sort_by_key(|l| l.0);
        let fits = |o: &Opaque| over.iter().all(|a| o.out.contains(&a));
        if let Some((node, opaque)) = leaves.into_iter().find(|(_, o)| fits(o)) {
            let axes = positions(&opaque.out, over);
            return self.node(Op::Size { dtype, axes }, &[node]);
        }
        let order: Vec<Axis> = over.iter().collect();
        let shape = shape(&order, self.sizes);
        let axes = (0..order.len()).collect();
        let line = if order.is_empty() {
            self.node(Op::Const(DType::I32, Literal::Int(0)), &[])
        } else {
            self.node(Op::Iota { dtype: DType::I32, shape, axis: 0 }, &[])
        };
        self.node(Op::Size { dtype, axes }, &[line])
    }
}

fn position(axes: &[Axis], axis: Axis) -> usize {
    match axes.iter().position(|&a| a == axis) {
        Some(place) => place,
        None => panic!("internal error: axis {axis} is not among {axes:?}"),
    }
}

/// Where the axes of a set stand, ascending.
fn positions(axes: &[Axis], set: &AxisSet) -> Vec<usize> {
    (0..axes.len()).filter(|&i| set.has(axes[i])).collect()
}

fn without(axes: &[Axis], set: &AxisSet) -> Vec<Axis> {
    axes.iter().copied().filter(|&a| !set.has(a)).collect()
}
