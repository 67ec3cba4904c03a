//! Graphs as formulas.

use super::expr::{Base, Call, DEEPEST, Expr, MOST};
use super::number::{Number, number};
use eggrad::ir::{
    BinaryOp, CompareOp, CrossEntropyOp, DotAxes, Graph, Literal, MoveOp, NodeId, Op, ReduceOp,
    Shape, UnaryOp, broadcast_shape,
};
use std::collections::BTreeMap;
use std::f64::consts::{E, FRAC_1_PI, FRAC_1_SQRT_2, FRAC_2_SQRT_PI, FRAC_PI_2, LN_2, LOG2_E, PI};

/// Numbers that are known by a formula, as powers of it.
const KNOWN: [(f64, &str, i64); 10] = [
    (FRAC_1_SQRT_2, "root 2", -1),
    (0.398_942_280_401_432_7, "root two pi", -1),
    (0.797_884_560_802_865_4, "root half pi", -1),
    (PI, "pi", 1),
    (FRAC_1_PI, "pi", -1),
    (FRAC_PI_2, "half pi", 1),
    (LN_2, "log 2", 1),
    (LOG2_E, "log 2", -1),
    (FRAC_2_SQRT_PI, "two by root pi", 1),
    (E, "e", 1),
];

/// The value of node `id` as a formula; `None` where it has none of a reader's size: sub-graphs, numbers that cannot be
/// written exactly, and what is too long or too deep.
///
/// Broadcasts are left out where reading adds them again, and a size is a number. The conventions of powers at `0^0`
/// and of angles at the origin are left out.
pub fn read(graph: &Graph, id: NodeId) -> Option<Expr> {
    read_of(graph, id, &BTreeMap::new())
}

/// [`read`], where the values of the nodes `named` other than `id` stand by their names.
pub(crate) fn read_of(graph: &Graph, id: NodeId, named: &BTreeMap<NodeId, String>) -> Option<Expr> {
    let name = |node: &NodeId| named.get(node).filter(|_| *node != id);
    let mut needed = vec![false; graph.nodes().len()];
    needed[id.index()] = true;
    for node in graph.ids().rev().filter(|n| n.index() <= id.index()) {
        if needed[node.index()] && name(&node).is_none() {
            graph.node(node).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    let mut reader = Reader { graph, values: vec![None; graph.nodes().len()] };
    for node in graph.ids().filter(|n| needed[n.index()]) {
        let value = match name(&node) {
            Some(name) => Expr::base(Base::Name(name.clone(), graph.ty(node).shape.clone())),
            None => reader.node(node)?,
        };
        let (size, depth) = value.size();
        if size > MOST || depth > DEEPEST {
            return None;
        }
        reader.values[node.index()] = Some(value);
    }
    reader.values.into_iter().nth(id.index())?
}

struct Reader<'g> {
    graph: &'g Graph,
    values: Vec<Option<Expr>>,
}

impl Reader<'_> {
    fn value(&self, id: NodeId) -> Option<&Expr> {
        self.values[id.index()].as_ref()
    }

    fn node(&self, id: NodeId) -> Option<Expr> {
        let node = self.graph.node(id);
        let operand = |i: usize| self.value(node.inputs[i]);
        match &node.op {
            Op::Input(_) | Op::State(_) => {
                let name = self.graph.reference(id);
                Some(Expr::base(Base::Name(name, node.ty.shape.clone())))
            }
            Op::Const(_, literal) => self.literal(*literal),
            Op::Size { axes, .. } => {
                let dims = self.graph.ty(node.inputs[0]).shape.dims();
                let size = axes.iter().try_fold(1i64, |n, &a| n.checked_mul(dims[a] as i64))?;
                Some(Expr::integer(size))
            }
            Op::Unary(op) => unary(*op, operand(0)?),
            Op::Binary(op) => binary(*op, operand(0)?, operand(1)?),
            Op::Compare(op) => {
                let operands = vec![operand(0)?.clone(), operand(1)?.clone()];
                Some(Expr::function(sign(*op), operands))
            }
            Op::Select => self.select(&node.inputs),
            Op::Cast(to) => {
                let from = self.graph.ty(node.inputs[0]).dtype;
                match from.is_float() && to.is_float() {
                    true => operand(0).cloned(),
                    false => self.call(id),
                }
            }
            Op::Move(MoveOp::Broadcast { shape, axes }) => {
                let from = &self.graph.ty(node.inputs[0]).shape;
                let right: Vec<usize> = (shape.rank() - axes.len()..shape.rank()).collect();
                if *axes == right && broadcast_shape(from, shape).as_ref() == Some(shape) {
                    return operand(0).cloned();
                }
                self.call(id)
            }
            Op::Reduce(ReduceOp::Sum, axes) => self.sum(id, axes),
            Op::Dot(axes) => self.dot(id, axes),
            Op::CrossEntropy(CrossEntropyOp::Residual, axes) => self.residual(id, axes),
            Op::Data(_)
            | Op::Iota { .. }
            | Op::Mark(_)
            | Op::Move(_)
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::OneHot { .. }
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::Fold { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. } => self.call(id),
            Op::Call { .. } | Op::Scan { .. } | Op::Cond { .. } | Op::Grad => None,
        }
    }

    fn literal(&self, literal: Literal) -> Option<Expr> {
        let value = match literal {
            Literal::Bool(value) => {
                return Some(Expr::base(Base::Name(value.to_string(), Shape::scalar())));
            }
            Literal::Int(value) => return Some(Expr::integer(value)),
            Literal::Float(bits) => f64::from_bits(bits),
        };
        let known = KNOWN.iter().find(|k| (k.0 - value.abs()).abs() <= 2e-16 * k.0);
        let taken = |name: &str| self.graph.inputs().iter().any(|i| i.name == name);
        let pi = || Expr::base(Base::Name("pi".to_string(), Shape::scalar()));
        let half = Expr::constant(Number::new(1, 2));
        let free = |name: &str| !taken(name);
        let found = known.and_then(|&(_, name, power)| {
            let base = match name {
                "e" if free("e") => Expr::base(Base::E),
                "log 2" => Expr::function("log", vec![Expr::integer(2)]),
                "root 2" => Expr::integer(2).power(&half)?,
                "pi" if free("pi") => pi(),
                "half pi" if free("pi") => pi().times(&half)?,
                "two by root pi" if free("pi") => Expr::integer(2).over(&pi().power(&half)?)?,
                "root two pi" if free("pi") => pi().times(&Expr::integer(2))?.power(&half)?,
                "root half pi" if free("pi") => pi().times(&half)?.power(&half)?,
                _ => return None,
            };
            base.power(&Expr::integer(power))
        });
        match found {
            Some(known) if value < 0.0 => Some(known.negated()),
            Some(known) => Some(known),
            None => match number(value) {
                Some(value) => Some(Expr::constant(value)),
                None if value.is_nan() => {
                    Some(Expr::base(Base::Name("nan".to_string(), Shape::scalar())))
                }
                None => {
                    let text = format!("{:?}", value.abs());
                    let name = Expr::base(Base::Name(text, Shape::scalar()));
                    Some(if value < 0.0 { name.negated() } else { name })
                }
            },
        }
    }

    /// A choice; conditions that only say what a derivative is at `0^0` or `0/0` are left out.
    fn select(&self, inputs: &[NodeId]) -> Option<Expr> {
        let (condition, a, b) =
            (self.value(inputs[0])?, self.value(inputs[1])?, self.value(inputs[2])?);
        if a == b {
            return Some(a.clone());
        }
        let is_zero = |e: &Expr| {
            let zero = |call: &&Call| call.operands.get(1) == Some(&Expr::zero());
            e.as_call().filter(|call| call.name == "==").filter(zero).is_some()
        };
        if let Some(call) = condition.as_call().filter(|call| call.name == "==")
            && is_zero(condition)
            && *a == Expr::zero()
            && divides(&call.operands[0], b)
        {
            return Some(b.clone());
        }
        let of_power = condition.as_call().is_some_and(|call| {
            call.name == "and" && call.operands.len() == 2 && call.operands.iter().all(is_zero)
        });
        if of_power && *a == Expr::zero() {
            return Some(b.clone());
        }
        Some(Expr::function("where", vec![condition.clone(), a.clone(), b.clone()]))
    }

    /// A sum over axes; numbers come before it.
    fn sum(&self, id: NodeId, axes: &[usize]) -> Option<Expr> {
        let node = self.graph.node(id);
        let (from, value) = (&self.graph.ty(node.inputs[0]).shape, self.value(node.inputs[0])?);
        let whole = axes.len() == from.rank();
        if whole && shape(value) == Some(Shape::scalar()) {
            return value.times(&Expr::integer(i64::try_from(from.elements()).ok()?));
        }
        let mut outside = Expr::one();
        let mut inside = value.clone();
        if let [term] = value.terms.as_slice() {
            let (mut kept, mut moved) = (term.clone(), term.clone());
            let spread = |(base, power): &(Base, Expr)| {
                let base = shape(&Expr::base(base.clone()));
                base != Some(Shape::scalar()) || shape(power) != Some(Shape::scalar())
            };
            kept.coefficient = Number::from_integer(1);
            kept.factors.retain(|f| spread(f) || !whole);
            moved.factors.retain(|f| !spread(f) && whole);
            outside = Expr { terms: vec![moved] };
            inside = Expr { terms: vec![kept] };
            // A group by itself is its sum.
            inside = inside.times(&Expr::one())?;
        }
        let call = self.call_of(id, vec![self.spread(&inside, from)?]);
        outside.times(&call)
    }

    /// What a cross-entropy of logits `z` and targets `t` leaves: `sum(t)*softmax(z) - t`.
    fn residual(&self, id: NodeId, axes: &[usize]) -> Option<Expr> {
        let node = self.graph.node(id);
        let shape = &node.ty.shape;
        let operand = |i: usize| self.spread(self.value(node.inputs[i])?, shape);
        let (z, t) = (operand(0)?, operand(1)?);
        let whole = axes.len() == shape.rank();
        let list: Vec<String> = axes.iter().map(usize::to_string).collect();
        let list = format!("axes=[{}]", list.join(", "));
        let kept: Vec<usize> = (0..shape.rank())
            .map(|i| if axes.contains(&i) { 1 } else { shape.dims()[i] })
            .collect();
        let call = |name: &str, operand: &Expr, shape: Shape, extra: &[&str]| {
            let attributes = match whole {
                true => vec![],
                false => [list.as_str()].iter().chain(extra).map(|a| a.to_string()).collect(),
            };
            let operands = vec![operand.clone()];
            Expr::base(Base::Call(Call {
                name: name.to_string(),
                operands,
                attributes,
                shape: Some(shape),
            }))
        };
        let total = if whole { Shape::scalar() } else { Shape::from(kept) };
        let total = call("sum", &t, total, &["keepdims=true"]);
        total.times(&call("softmax", &z, shape.clone(), &[]))?.minus(&t)
    }

    /// A contraction: as a product of matrices and vectors where it is one. Numbers come before it.
    fn dot(&self, id: NodeId, axes: &DotAxes) -> Option<Expr> {
        let node = self.graph.node(id);
        let mut outside = Expr::one();
        let mut operands = vec![];
        for &input in &node.inputs {
            let shape = &self.graph.ty(input).shape;
            let mut value = self.value(input)?.clone();
            if let [term] = value.terms.as_slice() {
                outside = outside.times(&Expr::constant(term.coefficient))?;
                value.terms[0].coefficient = Number::from_integer(1);
                value = value.times(&Expr::one())?;
            }
            operands.push(self.spread(&value, shape)?);
        }
        let ranks: Vec<usize> = node.inputs.iter().map(|&i| self.graph.ty(i).rank()).collect();
        let (call, pair) = (self.call_of(id, operands.clone()), axes.contract.as_slice());
        let [(left, right)] = *pair else { return outside.times(&call) };
        if !axes.batch.is_empty() || ranks.iter().any(|r| !(1..=2).contains(r)) {
            return outside.times(&call);
        }
        let turned = |operand: &Expr, input: NodeId| {
            let shape: Vec<usize> =
                self.graph.ty(input).shape.dims().iter().rev().copied().collect();
            Expr::base(Base::Call(Call {
                name: "transpose".to_string(),
                operands: vec![operand.clone()],
                attributes: vec![],
                shape: Some(Shape::from(shape)),
            }))
        };
        if left + 1 != ranks[0] {
            operands[0] = turned(&operands[0], node.inputs[0]);
        }
        if right + 1 == ranks[1] && ranks[1] == 2 {
            operands[1] = turned(&operands[1], node.inputs[1]);
        }
        let product = Expr::base(Base::Call(Call {
            name: "@".to_string(),
            operands,
            attributes: vec![],
            shape: Some(node.ty.shape.clone()),
        }));
        outside.times(&product)
    }

    /// A node as a call of its op; operands have their whole shapes.
    fn call(&self, id: NodeId) -> Option<Expr> {
        let operands = self.graph.node(id).inputs.iter().map(|&i| {
            let value = self.value(i)?;
            self.spread(value, &self.graph.ty(i).shape)
        });
        Some(self.call_of(id, operands.collect::<Option<Vec<Expr>>>()?))
    }

    fn call_of(&self, id: NodeId, operands: Vec<Expr>) -> Expr {
        let (name, attributes) = self.graph.notation(id);
        let shape = Some(self.graph.ty(id).shape.clone());
        Expr::base(Base::Call(Call { name: name.to_string(), operands, attributes, shape }))
    }

    /// A formula whose text has the shape `to` when it is read.
    fn spread(&self, value: &Expr, to: &Shape) -> Option<Expr> {
        if shape(value).as_ref() == Some(to) {
            return Some(value.clone());
        }
        Some(Expr::base(Base::Call(Call {
            name: "broadcast".to_string(),
            operands: vec![value.clone()],
            attributes: vec![format!("shape={to}")],
            shape: Some(to.clone()),
        })))
    }
}

/// Whether every term of `whole` has `divisor` below.
fn divides(divisor: &Expr, whole: &Expr) -> bool {
    let base = Base::Group(Box::new(divisor.clone()));
    let below = |f: &(Base, Expr)| f.0 == base && f.1.as_integer().is_some_and(|p| p < 0);
    !whole.terms.is_empty() && whole.terms.iter().all(|t| t.factors.iter().any(below))
}

/// The shape that a formula has when it is read; `None` when its parts do not fit.
pub(crate) fn shape(value: &Expr) -> Option<Shape> {
    let mut joined = Shape::scalar();
    for (base, power) in value.terms.iter().flat_map(|t| &t.factors) {
        let own = match base {
            Base::E | Base::Number(_) => Shape::scalar(),
            Base::Name(_, shape) => shape.clone(),
            Base::Group(inner) => shape(inner)?,
            Base::Call(Call { shape: Some(shape), .. }) => shape.clone(),
            Base::Call(call) => {
                let mut operands = call.operands.iter();
                operands.try_fold(Shape::scalar(), |all, o| broadcast_shape(&all, &shape(o)?))?
            }
        };
        joined = broadcast_shape(&joined, &own)?;
        joined = broadcast_shape(&joined, &shape(power)?)?;
    }
    Some(joined)
}

fn unary(op: UnaryOp, x: &Expr) -> Option<Expr> {
    let half = |n: i128| Expr::constant(Number::new(n, 2));
    match op {
        UnaryOp::Neg => Some(x.negated()),
        UnaryOp::Square => x.power(&Expr::integer(2)),
        UnaryOp::Sqrt => x.power(&half(1)),
        UnaryOp::Rsqrt => x.power(&half(-1)),
        UnaryOp::Recip => x.power(&Expr::integer(-1)),
        UnaryOp::Exp => Expr::base(Base::E).power(x),
        UnaryOp::Exp2 => Expr::integer(2).power(x),
        UnaryOp::Log if logarithm(x).is_some() => logarithm(x),
        UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Log2
        | UnaryOp::Log1mexp
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tan
        | UnaryOp::Erf
        | UnaryOp::Erfc
        | UnaryOp::LogErfc
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid
        | UnaryOp::Softplus
        | UnaryOp::Relu
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Not => Some(Expr::function(op.name(), vec![x.clone()])),
    }
}

/// The logarithm of 1, or of a power of e with a constant exponent.
fn logarithm(x: &Expr) -> Option<Expr> {
    let [term] = x.terms.as_slice() else { return None };
    match term.factors.as_slice() {
        _ if term.coefficient != Number::from_integer(1) => None,
        [] => Some(Expr::zero()),
        [(Base::E, power)] => power.as_constant().map(Expr::constant),
        _ => None,
    }
}

fn binary(op: BinaryOp, a: &Expr, b: &Expr) -> Option<Expr> {
    match op {
        BinaryOp::Add => a.plus(b),
        BinaryOp::Sub => a.minus(b),
        BinaryOp::Mul => a.times(b),
        BinaryOp::Div => a.over(b),
        BinaryOp::Pow => a.power(b),
        BinaryOp::Xlogy => a.times(&unary(UnaryOp::Log, b)?),
        BinaryOp::Mod
        | BinaryOp::Atan2
        | BinaryOp::LogAddExp
        | BinaryOp::Maximum
        | BinaryOp::Minimum
        | BinaryOp::And
        | BinaryOp::Or => Some(Expr::function(op.name(), vec![a.clone(), b.clone()])),
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
