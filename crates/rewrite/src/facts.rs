//! What is known of every e-class: type, axes, constant, interval, finite, non-zero, integer, simplex.
//!
//! Facts speak of real numbers, of elements that are no NaN, and of inputs and states that are finite. Conditions of
//! rules read nothing else; danger is judged from the same intervals.

use crate::axes::{Axis, AxisSet};
use crate::danger::largest;
use crate::domains::Domains;
use crate::interval::{binary_facts, cast_facts, dtype_bounds, scaled, unary_facts};
use crate::language::{Head, Opaque, Term};
use crate::proof::log::{Log, Origin, trace, union_constant};
use crate::rational::Rational;
use crate::together::together;
use egg::{Analysis, DidMerge, EGraph, Id};
use eggrad_ir::{BinaryOp, CrossEntropyOp, DType, MoveOp, Op, ReduceOp, SoftmaxOp, Windows};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) type Egraph = EGraph<Term, Context>;

/// Makes congruent terms equal. The time it takes, which egg would print, is measured with a clock that stands still: the
/// first look at a real one calibrates it, for some milliseconds.
pub(crate) fn rebuild(egraph: &mut Egraph) -> usize {
    quanta::with_clock(&quanta::Clock::mock().0, || egraph.rebuild())
}

/// Facts of an e-class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Axes(AxisSet),
    Renaming(Arc<[(Axis, Axis)]>),
    Type(DType),
    Tensor(Facts),
}

/// Facts of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) dtype: DType,
    pub(crate) axes: AxisSet,
    /// The value of every element.
    pub(crate) constant: Option<Rational>,
    /// No element is below.
    pub(crate) low: f64,
    /// No element is above.
    pub(crate) high: f64,
    /// Every element is a real number: no infinity, no NaN.
    pub(crate) finite: bool,
    /// No element is 0.
    pub(crate) nonzero: bool,
    /// Every element is an integer.
    pub(crate) integer: bool,
    /// Elements are not negative and sum to one over these axes.
    pub(crate) simplex: Option<AxisSet>,
    /// Made of frozen states and constants alone.
    pub(crate) fixed: bool,
    /// Fixed, and not of constants alone.
    pub(crate) frozen: bool,
    /// Where all this comes from, by number; 0 when no log is kept.
    pub(crate) origin: u32,
}

impl Facts {
    /// Nothing is known but the type.
    pub(crate) fn unknown(dtype: DType, axes: AxisSet) -> Facts {
        let (low, high) = dtype_bounds(dtype);
        let integer = !dtype.is_float();
        let (constant, simplex) = (None, None);
        let (finite, nonzero) = (integer, false);
        let (fixed, frozen) = (false, false);
        Facts {
            dtype,
            axes,
            constant,
            low,
            high,
            finite,
            nonzero,
            integer,
            simplex,
            fixed,
            frozen,
            origin: 0,
        }
    }

    pub(crate) fn positive(&self) -> bool {
        self.low > 0.0 || (self.low >= 0.0 && self.nonzero)
    }

    pub(crate) fn negative(&self) -> bool {
        self.high < 0.0 || (self.high <= 0.0 && self.nonzero)
    }

    pub(crate) fn nonnegative(&self) -> bool {
        self.low >= 0.0
    }

    pub(crate) fn is_nonzero(&self) -> bool {
        self.nonzero || self.low > 0.0 || self.high < 0.0
    }

    /// Between `low` and `high`, within what the type can hold.
    pub(crate) fn within(mut self, low: f64, high: f64) -> Facts {
        self.low = if low.is_nan() { self.low } else { low.max(self.low) };
        self.high = if high.is_nan() { self.high } else { high.min(self.high) };
        self
    }
}

/// What facts are derived from besides the terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// Size of each axis.
    pub(crate) sizes: Vec<usize>,
    /// Positional ops.
    pub(crate) opaque: Vec<Opaque>,
    /// Promised range of each opaque leaf that has one.
    pub(crate) ranges: HashMap<u32, (f64, f64)>,
    /// Which states are frozen.
    pub(crate) frozen: Vec<bool>,
    /// Which inputs are finite, for the graph of a function; those beyond the end of the list are.
    pub(crate) given: Vec<bool>,
    /// Facts of the functions that are applied.
    pub(crate) domains: Arc<Domains>,
    /// Terms in the order in which they were first added, while a graph is raised.
    pub(crate) log: Option<Vec<(Term, Id)>>,
    /// Tensors that were added, united or of which more became known, while rules are applied.
    pub(crate) changed: Option<Vec<Id>>,
    /// Unions and their reasons, when they are to be explained.
    pub(crate) proof: Option<Box<Log>>,
    /// Whether constants that are known stay apart from the terms that make them.
    pub(crate) unfolded: bool,
    /// The first contradiction: two classes were made one whose types or constants differ.
    pub(crate) conflict: Option<String>,
}

impl Analysis<Term> for Context {
    type Data = Data;

    fn make(egraph: &mut Egraph, term: &Term, _id: Id) -> Data {
        let mut data = infer(&egraph.analysis, term, |id| &egraph[id].data);
        if let Data::Tensor(facts) = &mut data {
            together(egraph, term, facts);
            trace(egraph, term, facts);
        }
        data
    }

    fn merge(&mut self, to: &mut Data, from: Data) -> DidMerge {
        let (a, b) = match (&mut *to, from) {
            (Data::Tensor(a), Data::Tensor(b)) => (a, b),
            (a, b) => {
                if *a != b {
                    self.conflict.get_or_insert_with(|| format!("{a:?} is not {b:?}"));
                }
                return DidMerge(false, false);
            }
        };
        let contradict = matches!((a.constant, b.constant), (Some(x), Some(y)) if x != y);
        if a.dtype != b.dtype || a.axes != b.axes || contradict {
            self.conflict.get_or_insert_with(|| format!("{a:?} is not {b:?}"));
            return DidMerge(false, false);
        }
        let (old, mut merged) = (a.clone(), a.clone());
        let (own, other) = (a.origin, b.origin);
        if narrows(a.low, b.low.min(a.high)) {
            merged.low = b.low.min(a.high);
        }
        if narrows(-a.high, -b.high.max(a.low)) {
            merged.high = b.high.max(a.low);
        }
        merged.finite |= b.finite;
        merged.nonzero |= b.nonzero;
        merged.integer |= b.integer;
        merged.constant = merged.constant.or(b.constant);
        merged.simplex = merged.simplex.or(b.simplex.clone());
        merged.fixed |= b.fixed;
        merged.frozen |= b.frozen;
        merged.origin = other;
        let from_other = merged == b;
        merged.origin = own;
        let did = DidMerge(merged != old, !from_other);
        if let (true, Some(log)) = (did.0, &mut self.proof) {
            merged.origin = match from_other {
                true => other,
                false => log.origin(Origin::Both(own, other)),
            };
        }
        *a = merged;
        did
    }

    fn modify(egraph: &mut Egraph, id: Id) {
        let Data::Tensor(facts) = &egraph[id].data else { return };
        let constant = facts.constant;
        let (dtype, axes) = (facts.dtype, facts.axes.clone());
        if let Some(changed) = &mut egraph.analysis.changed {
            changed.push(id);
        }
        let Some(value) = constant else { return };
        if egraph.analysis.unfolded {
            return;
        }
        let mut constant = egraph.add(Term::leaf(Head::Const(dtype, value)));
        if !axes.is_empty() {
            let axes = egraph.add(Term::leaf(Head::Axes(axes)));
            constant = egraph.add(Term::new(Head::Expand, &[axes, constant]));
        }
        union_constant(egraph, id, constant, value);
    }
}

/// Whether a lower bound is worth raising from `old` to `new`: it changes a sign, becomes finite or moves by a
/// quarter. Smaller steps could go on for ever around a cycle.
fn narrows(old: f64, new: f64) -> bool {
    let sign = |x: f64| (x >= 0.0, x > 0.0);
    new > old && (old.is_infinite() || sign(old) != sign(new) || new - old > 0.25 * old.abs())
}

/// The axis set that an attribute operand is.
fn axes_of(data: &Data) -> &AxisSet {
    match data {
        Data::Axes(axes) => axes,
        Data::Renaming(_) | Data::Type(_) | Data::Tensor(_) => {
            panic!("internal error: a set of axes was expected, not {data:?}")
        }
    }
}

fn facts_of(data: &Data) -> &Facts {
    match data {
        Data::Tensor(facts) => facts,
        Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => {
            panic!("internal error: a tensor was expected, not {data:?}")
        }
    }
}

fn dtype_of(data: &Data) -> DType {
    match data {
        Data::Type(dtype) => *dtype,
        Data::Tensor(_) | Data::Axes(_) | Data::Renaming(_) => {
            panic!("internal error: an element type was expected, not {data:?}")
        }
    }
}

/// Facts of one term from those of its operands.
pub(crate) fn infer<'a>(context: &Context, term: &Term, get: impl Fn(Id) -> &'a Data) -> Data {
    let tensor = |i: usize| facts_of(get(term.args[i]));
    let axes = |i: usize| axes_of(get(term.args[i]));
    let sizes = &context.sizes;
    let facts = match &term.head {
        Head::Axes(axes) => return Data::Axes(axes.clone()),
        Head::Renaming(map) => return Data::Renaming(map.clone()),
        Head::Type(dtype) => return Data::Type(*dtype),
        Head::Const(dtype, value) => Facts {
            constant: Some(*value),
            finite: true,
            nonzero: !value.is_zero(),
            integer: value.to_f64().fract() == 0.0,
            ..Facts::unknown(*dtype, AxisSet::empty()).within(value.to_f64(), value.to_f64())
        },
        Head::Unary(op) => unary_facts(*op, tensor(0)),
        Head::Binary(op) => binary_facts(*op, tensor(0), tensor(1)),
        Head::Compare(_) => Facts::unknown(DType::Bool, tensor(0).axes.union(&tensor(1).axes)),
        Head::Select => {
            let (a, b) = (tensor(1), tensor(2));
            let axes = tensor(0).axes.union(&a.axes).union(&b.axes);
            either(a, b, axes)
        }
        Head::Cast => cast_facts(dtype_of(get(term.args[0])), tensor(1)),
        Head::Mark(_) => Facts { constant: None, ..tensor(0).clone() },
        Head::Expand => {
            let x = tensor(1);
            Facts { axes: x.axes.union(axes(0)), ..x.clone() }
        }
        Head::Rename => {
            let Data::Renaming(map) = get(term.args[0]) else {
                panic!("internal error: a renaming was expected")
            };
            let x = tensor(1);
            Facts {
                axes: rename(map, &x.axes),
                simplex: x.simplex.as_ref().map(|s| rename(map, s)),
                ..x.clone()
            }
        }
        Head::Reduce(op) => reduce_facts(*op, tensor(1), axes(0), sizes),
        Head::Softmax(op) => {
            let x = tensor(1);
            let facts = Facts { finite: x.finite, ..Facts::unknown(x.dtype, x.axes.clone()) };
            match op {
                SoftmaxOp::Softmax => Facts {
                    nonzero: x.finite,
                    simplex: Some(axes(0).clone()),
                    ..facts.within(0.0, 1.0)
                },
                SoftmaxOp::LogSoftmax => facts.within(f64::NEG_INFINITY, 0.0),
            }
        }
        Head::CrossEntropy(op) => {
            let (z, t) = (tensor(1), tensor(2));
            let all = z.axes.union(&t.axes);
            let finite = z.finite && t.finite;
            match op {
                CrossEntropyOp::Value => {
                    let facts = Facts::unknown(z.dtype, all.minus(axes(0)));
                    let low = if t.nonnegative() { 0.0 } else { f64::NEG_INFINITY };
                    Facts { finite, ..facts.within(low, f64::INFINITY) }
                }
                CrossEntropyOp::Residual => Facts { finite, ..Facts::unknown(z.dtype, all) },
            }
        }
        Head::Dot => {
            let (a, b) = (tensor(1), tensor(2));
            let product = binary_facts(BinaryOp::Mul, a, b);
            reduce_facts(ReduceOp::Sum, &product, axes(0), sizes)
        }
        Head::OneHot => {
            let (v, i) = (axes(1), tensor(2));
            let facts = Facts {
                finite: true,
                integer: true,
                ..Facts::unknown(dtype_of(get(term.args[0])), i.axes.union(v)).within(0.0, 1.0)
            };
            let certain = i.low >= 0.0 && i.high <= v.elements(sizes) - 1.0;
            Facts { simplex: certain.then(|| v.clone()), ..facts }
        }
        Head::Gather => {
            let (v, t, i) = (axes(0), tensor(1), tensor(2));
            let certain = i.low >= 0.0 && i.high <= v.elements(sizes) - 1.0;
            let picked = t.axes.minus(v).union(&i.axes);
            match certain {
                true => Facts { axes: picked, constant: None, simplex: None, ..t.clone() },
                false => Facts::unknown(t.dtype, picked),
            }
        }
        Head::ScatterAdd => {
            let (v, s, i, u) = (axes(0), axes(1), tensor(2), tensor(3));
            let facts = Facts::unknown(u.dtype, u.axes.union(&i.axes).minus(s).union(v));
            let low = if u.nonnegative() && u.dtype.is_float() { 0.0 } else { f64::NEG_INFINITY };
            let finite = facts.finite || u.finite;
            Facts { finite, ..facts.within(low, f64::INFINITY) }
        }
        Head::Iota => {
            let v = axes(1);
            let facts = Facts::unknown(dtype_of(get(term.args[0])), v.clone());
            Facts {
                finite: true,
                integer: true,
                ..facts.within(0.0, (v.elements(sizes) - 1.0).max(0.0))
            }
        }
        Head::Size => {
            let n = axes(1).elements(sizes);
            let facts = Facts::unknown(dtype_of(get(term.args[0])), AxisSet::empty());
            Facts { finite: true, integer: true, nonzero: n > 0.0, ..facts.within(n, n) }
        }
        Head::Opaque(number) => opaque_facts(context, *number, |i| tensor(i)),
    };
    let of_operands = || {
        let mut all = (true, false);
        for &arg in &term.args {
            if let Data::Tensor(x) = get(arg) {
                all = (all.0 && x.fixed, all.1 || x.frozen);
            }
        }
        (all.0, all.0 && all.1)
    };
    let (fixed, frozen) = match &term.head {
        Head::Opaque(number) => match &context.opaque[*number as usize].op {
            Op::Input(_) | Op::Random { .. } | Op::RandomKey { .. } => (false, false),
            Op::State(i) => {
                let frozen = context.frozen.get(*i).copied().unwrap_or(false);
                (frozen, frozen)
            }
            _ => of_operands(),
        },
        _ => of_operands(),
    };
    let facts = Facts { fixed, frozen, ..facts };
    Data::Tensor(facts)
}

fn rename(map: &[(Axis, Axis)], axes: &AxisSet) -> AxisSet {
    let new = |a: Axis| map.iter().find(|p| p.0 == a).map_or(a, |p| p.1);
    AxisSet::new(axes.iter().map(new))
}

/// Facts of a value that is one of two.
pub(crate) fn either(a: &Facts, b: &Facts, axes: AxisSet) -> Facts {
    Facts {
        finite: a.finite && b.finite,
        nonzero: a.is_nonzero() && b.is_nonzero(),
        integer: a.integer && b.integer,
        ..Facts::unknown(a.dtype, axes).within(a.low.min(b.low), a.high.max(b.high))
    }
}

fn reduce_facts(op: ReduceOp, x: &Facts, over: &AxisSet, sizes: &[usize]) -> Facts {
    let n = over.elements(sizes);
    let facts = Facts::unknown(x.dtype, x.axes.minus(over));
    let some = n > 0.0;
    match op {
        ReduceOp::Sum => {
            let finite = facts.finite || x.finite;
            let nonzero = some && x.dtype.is_float() && (x.positive() || x.high < 0.0);
            let (low, high) = (scaled(x.low, n), scaled(x.high, n));
            let fits = x.dtype.is_float() || (low >= facts.low && high <= facts.high);
            let (low, high) = if fits { (low, high) } else { (facts.low, facts.high) };
            // Zeros stay zero at any size.
            let constant = x.constant.filter(|c| c.is_zero());
            Facts { constant, finite, nonzero, integer: x.integer, ..facts.within(low, high) }
        }
        ReduceOp::Prod => {
            let float = x.dtype.is_float();
            let low = if x.nonnegative() && float { 0.0 } else { f64::NEG_INFINITY };
            let finite = facts.finite || x.finite;
            Facts { finite, nonzero: float && x.is_nonzero(), ..facts.within(low, f64::INFINITY) }
        }
        ReduceOp::Max | ReduceOp::Min if some => {
            Facts { constant: None, simplex: None, axes: facts.axes, ..x.clone() }
        }
        ReduceOp::Max | ReduceOp::Min => facts,
        ReduceOp::LogSumExp => {
            let (low, high) = (x.low + n.ln(), x.high + n.ln());
            Facts { finite: x.finite && some, ..facts.within(low, high) }
        }
    }
}

/// Facts of uniform numbers below 1, in steps of 2 to the power of minus `bits`.
fn uniform(unknown: Facts, bits: i32) -> Facts {
    Facts { finite: true, ..unknown.within(0.0, 1.0 - f64::exp2(f64::from(-bits))) }
}

/// Facts of sums of up to as many elements as a window has.
fn folded(x: &Facts, windows: &Windows, unknown: Facts) -> Facts {
    let n: f64 = windows.size.iter().map(|&s| s as f64).product();
    let (low, high) = (scaled(x.low.min(0.0), n), scaled(x.high.max(0.0), n));
    let fits = x.dtype.is_float() || (low >= unknown.low && high <= unknown.high);
    let finite = unknown.finite || x.finite;
    let facts = Facts { finite, integer: x.integer, ..unknown };
    if fits { facts.within(low, high) } else { facts }
}

/// Facts of a positional op: those of the op where it is elementwise or only moves, else only the type.
fn opaque_facts<'a>(context: &Context, number: u32, tensor: impl Fn(usize) -> &'a Facts) -> Facts {
    let opaque = &context.opaque[number as usize];
    let unknown = Facts::unknown(opaque.dtype, AxisSet::new(opaque.out.iter().copied()));
    let range = || {
        context
            .ranges
            .get(&number)
            .copied()
            .unwrap_or((-largest(opaque.dtype), largest(opaque.dtype)))
    };
    match &opaque.op {
        Op::Input(i) => {
            let finite = unknown.finite || context.given.get(*i).copied().unwrap_or(true);
            let (low, high) = range();
            match finite {
                true => Facts { finite, ..unknown.within(low, high) },
                false => unknown,
            }
        }
        Op::State(_) => {
            let (low, high) = range();
            Facts { finite: true, ..unknown.within(low, high) }
        }
        Op::Const(_, literal) => {
            let value = literal.as_f64();
            Facts { finite: value.is_finite(), ..unknown.within(value, value) }
        }
        Op::Data(data) => {
            let finite = data.values.iter().all(|v| v.is_finite());
            let low = data.values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = data.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let nonzero = data.values.iter().all(|&v| v != 0.0);
            match finite && low <= high {
                true => Facts { finite, nonzero, ..unknown.within(low, high) },
                false => unknown,
            }
        }
        Op::Unary(op) => Facts { constant: None, ..unary_facts(*op, tensor(0)) },
        Op::Binary(op) => Facts { constant: None, ..binary_facts(*op, tensor(0), tensor(1)) },
        Op::Move(MoveOp::Reshape(_) | MoveOp::Slice { .. } | MoveOp::Window(_)) => {
            Facts { axes: unknown.axes, constant: None, simplex: None, ..tensor(0).clone() }
        }
        Op::Move(MoveOp::Pad { fill, .. }) => {
            let value = fill.as_f64();
            let fill = Facts {
                finite: value.is_finite(),
                nonzero: value != 0.0,
                integer: value.fract() == 0.0,
                ..Facts::unknown(opaque.dtype, AxisSet::empty()).within(value, value)
            };
            either(tensor(0), &fill, unknown.axes)
        }
        Op::Fold { windows, .. } => folded(tensor(0), windows, unknown),
        Op::Random { dtype, .. } => match dtype {
            DType::F32 => uniform(unknown, 24),
            DType::F64 => uniform(unknown, 53),
            DType::I32 | DType::I64 | DType::U8 | DType::Bool => unknown,
        },
        Op::Call { .. } | Op::Scan { .. } | Op::Cond { .. } => {
            match context.domains.result(&opaque.op, tensor) {
                Some(facts) => Facts { axes: unknown.axes, ..facts },
                None => unknown,
            }
        }
        Op::RandomKey { .. }
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(MoveOp::Transpose(_) | MoveOp::Broadcast { .. })
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Grad => unknown,
    }
}
