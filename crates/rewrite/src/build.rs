//! Adds terms in a normal form: nothing is expanded before it has to be.
//!
//! Every term, of the user's graph or of a rule, is made here. An operand that is an `expand` is read without it, and
//! the result is expanded instead, so that no rule needs to look through broadcasts.

use crate::axes::{Axis, AxisSet};
use crate::facts::{Data, Egraph, Facts};
use crate::language::{Head, Kind, Term};
use crate::proof::log;
use crate::rational::Rational;
use egg::Id;
use eggrad_ir::{BinaryOp, CrossEntropyOp, DType, MoveOp, Op, ReduceOp};
use std::sync::Arc;

/// Facts of a tensor's class.
pub(crate) fn facts(egraph: &Egraph, id: Id) -> &Facts {
    match &egraph[id].data {
        Data::Tensor(facts) => facts,
        data @ (Data::Axes(_) | Data::Renaming(_) | Data::Type(_)) => {
            panic!("internal error: a tensor was expected, not {data:?}")
        }
    }
}

/// The set that a class stands for, or the axes of the tensor it holds.
pub(crate) fn axes(egraph: &Egraph, id: Id) -> AxisSet {
    match &egraph[id].data {
        Data::Axes(axes) => axes.clone(),
        Data::Tensor(facts) => facts.axes.clone(),
        Data::Renaming(_) | Data::Type(_) => AxisSet::empty(),
    }
}

/// Adds a term as it is.
pub(crate) fn add(egraph: &mut Egraph, head: Head, args: &[Id]) -> Id {
    let term = Term::new(head, args);
    let id = egraph.add(term.clone());
    log::made(egraph, id, &term);
    if let Some(log) = &mut egraph.analysis.log {
        log.push((term, id));
    }
    id
}

pub(crate) fn axes_leaf(egraph: &mut Egraph, axes: AxisSet) -> Id {
    egraph.add(Term::leaf(Head::Axes(axes)))
}

pub(crate) fn type_leaf(egraph: &mut Egraph, dtype: DType) -> Id {
    egraph.add(Term::leaf(Head::Type(dtype)))
}

/// A float everywhere the same.
pub(crate) fn constant(egraph: &mut Egraph, dtype: DType, value: Rational) -> Id {
    add(egraph, Head::Const(dtype, value), &[])
}

/// `x` under other names.
pub(crate) fn rename(egraph: &mut Egraph, x: Id, map: Vec<(Axis, Axis)>) -> Id {
    let bare = strip(egraph, x);
    if bare != x {
        // What is constant along an axis has no name for it.
        let new = |a: Axis| map.iter().find(|p| p.0 == a).map_or(a, |p| p.1);
        let wanted = AxisSet::new(facts(egraph, x).axes.iter().map(new));
        let present = &facts(egraph, bare).axes;
        let inner = map.iter().copied().filter(|p| present.has(p.0)).collect();
        let renamed = rename(egraph, bare, inner);
        return expand_to(egraph, renamed, &wanted);
    }
    if map.is_empty() {
        return x;
    }
    let map: Arc<[(Axis, Axis)]> = map.into();
    let map = egraph.add(Term::leaf(Head::Renaming(map)));
    add(egraph, Head::Rename, &[map, x])
}

/// The operand of an `expand` in the class, if there is one: the one with the fewest axes.
pub(crate) fn strip(egraph: &Egraph, id: Id) -> Id {
    let expands = egraph[id].nodes.iter().filter(|n| n.head == Head::Expand);
    match expands.min_by_key(|n| facts(egraph, n.args[1]).axes.len()) {
        Some(expand) => {
            log::read(egraph, id, expand);
            expand.args[1]
        }
        None => id,
    }
}

/// As [`strip`], unless axes of `needed` would be lost.
fn strip_but(egraph: &Egraph, id: Id, needed: &AxisSet) -> Id {
    let bare = strip(egraph, id);
    if needed.subset(&facts(egraph, bare).axes) { bare } else { id }
}

/// `x`, constant along the axes of `wanted` that it has not.
pub(crate) fn expand_to(egraph: &mut Egraph, x: Id, wanted: &AxisSet) -> Id {
    if wanted.subset(&facts(egraph, x).axes) {
        return x;
    }
    let all = facts(egraph, x).axes.union(wanted);
    let bare = strip(egraph, x);
    let missing = all.minus(&facts(egraph, bare).axes);
    let missing = axes_leaf(egraph, missing);
    add(egraph, Head::Expand, &[missing, bare])
}

/// `x` times the number of elements along `over`.
fn times_size(egraph: &mut Egraph, x: Id, over: &AxisSet) -> Id {
    if over.iter().all(|a| egraph.analysis.sizes[a as usize] == 1) {
        return x;
    }
    let dtype = facts(egraph, x).dtype;
    let (dtype, over) = (type_leaf(egraph, dtype), axes_leaf(egraph, over.clone()));
    let size = add(egraph, Head::Size, &[dtype, over]);
    elementwise(egraph, Head::Binary(BinaryOp::Mul), &[x, size])
}

/// Sum of `x` over `over`; along axes that `x` has not, equal terms are counted.
pub(crate) fn sum(egraph: &mut Egraph, x: Id, over: &AxisSet) -> Id {
    let all = facts(egraph, x).axes.minus(over);
    let bare = strip(egraph, x);
    let bare_axes = facts(egraph, bare).axes.clone();
    let (here, missing) = (over.meet(&bare_axes), over.minus(&bare_axes));
    let mut result = bare;
    if !here.is_empty() {
        let here = axes_leaf(egraph, here);
        result = add(egraph, Head::Reduce(ReduceOp::Sum), &[here, bare]);
    }
    if !missing.is_empty() {
        result = times_size(egraph, result, &missing);
    }
    expand_to(egraph, result, &all)
}

fn dot(egraph: &mut Egraph, over: &AxisSet, a: Id, b: Id) -> Id {
    let all = axes(egraph, a).union(&axes(egraph, b)).minus(over);
    let (a, b) = (strip(egraph, a), strip(egraph, b));
    let (in_a, in_b) = (axes(egraph, a), axes(egraph, b));
    let both = over.meet(&in_a).meet(&in_b);
    let a = sum(egraph, a, &over.meet(&in_a).minus(&in_b));
    let b = sum(egraph, b, &over.meet(&in_b).minus(&in_a));
    let mut result = if both.is_empty() {
        elementwise(egraph, Head::Binary(BinaryOp::Mul), &[a, b])
    } else {
        let both = axes_leaf(egraph, both);
        add(egraph, Head::Dot, &[both, a, b])
    };
    let missing = over.minus(&in_a).minus(&in_b);
    if !missing.is_empty() {
        result = times_size(egraph, result, &missing);
    }
    expand_to(egraph, result, &all)
}

/// An op that works on each element alone.
pub(crate) fn elementwise(egraph: &mut Egraph, head: Head, args: &[Id]) -> Id {
    let mut wanted = AxisSet::empty();
    let mut bare = vec![];
    for (&arg, kind) in args.iter().zip(head.takes()) {
        if *kind == Kind::Tensor {
            wanted = wanted.union(&facts(egraph, arg).axes);
            bare.push(strip(egraph, arg));
        } else {
            bare.push(arg);
        }
    }
    let result = add(egraph, head, &bare);
    expand_to(egraph, result, &wanted)
}

/// Adds positional op `number` of one operand; what only moves elements along axes along which they are equal is left
/// out.
pub(crate) fn positional(egraph: &mut Egraph, number: u32, x: Id) -> Id {
    let opaque = &egraph.analysis.opaque[number as usize];
    if let Op::Move(MoveOp::Reshape(_) | MoveOp::Slice { .. } | MoveOp::Window(_)) = opaque.op {
        let before = AxisSet::new(opaque.args[0].iter().copied());
        let after = AxisSet::new(opaque.out.iter().copied());
        let bare = strip(egraph, x);
        if facts(egraph, bare).axes.disjoint(&before.minus(&after)) {
            return expand_to(egraph, bare, &after);
        }
    }
    add(egraph, Head::Opaque(number), &[x])
}

/// A conversion; to the type there is, or back from a type that holds every value of it, is none, and constants are
/// converted.
fn cast(egraph: &mut Egraph, args: &[Id]) -> Id {
    let Data::Type(to) = egraph[args[0]].data else { return add(egraph, Head::Cast, args) };
    let from = facts(egraph, args[1]).dtype;
    if from == to {
        return args[1];
    }
    if let (Some(value), true) = (facts(egraph, args[1]).constant, from.is_float()) {
        let value = match to {
            DType::F64 => Some(value),
            DType::F32 => Rational::from_f64(f64::from(value.to_f64() as f32)),
            DType::I32 | DType::I64 | DType::U8 | DType::Bool => None,
        };
        if let Some(value) = value {
            let axes = facts(egraph, args[1]).axes.clone();
            let folded = constant(egraph, to, value);
            return expand_to(egraph, folded, &axes);
        }
    }
    let wider = |inner: DType| {
        inner == to && inner.is_float() && from.is_float() && from.bytes() >= inner.bytes()
    };
    let bare = strip(egraph, args[1]);
    let mut inner = egraph[bare].nodes.iter().filter(|n| n.head == Head::Cast);
    let back = inner.find(|n| wider(facts(egraph, n.args[1]).dtype));
    match back.cloned() {
        Some(back) => {
            log::read(egraph, bare, &back);
            let x = back.args[1];
            let axes = facts(egraph, args[1]).axes.clone();
            expand_to(egraph, x, &axes)
        }
        None => elementwise(egraph, Head::Cast, args),
    }
}

/// Adds `head` applied to `args` in normal form; `None` when the operands do not fit it.
pub(crate) fn make(egraph: &mut Egraph, head: Head, args: &[Id]) -> Option<Id> {
    Some(match &head {
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
        | Head::Mark(_)
        | Head::Opaque(_) => add(egraph, head, args),
        Head::Iota => {
            if axes(egraph, args[1]).len() != 1 {
                return None;
            }
            add(egraph, head, args)
        }
        Head::Cast => cast(egraph, args),
        Head::Unary(_) | Head::Binary(_) | Head::Compare(_) | Head::Select => {
            elementwise(egraph, head, args)
        }
        Head::Expand => {
            let wanted = axes(egraph, args[0]);
            expand_to(egraph, args[1], &wanted)
        }
        Head::Rename => {
            let Data::Renaming(map) = &egraph[args[0]].data else { return None };
            let map = map.to_vec();
            rename(egraph, args[1], map)
        }
        Head::Size => {
            let dtype = match &egraph[args[0]].data {
                Data::Type(dtype) => *dtype,
                Data::Axes(_) | Data::Renaming(_) | Data::Tensor(_) => return None,
            };
            if axes(egraph, args[1]).is_empty() && dtype.is_float() {
                constant(egraph, dtype, Rational::ONE)
            } else {
                add(egraph, head, args)
            }
        }
        Head::Reduce(op) => {
            let (over, x) = (axes(egraph, args[0]), args[1]);
            let all = axes(egraph, x).minus(&over);
            match op {
                ReduceOp::Sum => sum(egraph, x, &over),
                ReduceOp::Max | ReduceOp::Min => {
                    let bare = strip(egraph, x);
                    let here = over.meet(&axes(egraph, bare));
                    let mut result = bare;
                    if !here.is_empty() {
                        let here = axes_leaf(egraph, here);
                        result = add(egraph, head, &[here, bare]);
                    }
                    expand_to(egraph, result, &all)
                }
                ReduceOp::Prod | ReduceOp::LogSumExp => {
                    if !over.subset(&axes(egraph, x)) {
                        return None;
                    }
                    if over.is_empty() {
                        return Some(x);
                    }
                    let bare = strip_but(egraph, x, &over);
                    let result = add(egraph, head, &[args[0], bare]);
                    expand_to(egraph, result, &all)
                }
            }
        }
        Head::Softmax(_) => {
            let (over, all) = (axes(egraph, args[0]), axes(egraph, args[1]));
            if !over.subset(&all) {
                return None;
            }
            let bare = strip_but(egraph, args[1], &over);
            let result = add(egraph, head, &[args[0], bare]);
            expand_to(egraph, result, &all)
        }
        Head::CrossEntropy(op) => {
            let over = axes(egraph, args[0]);
            if !over.subset(&axes(egraph, args[1])) {
                return None;
            }
            let all = axes(egraph, args[1]).union(&axes(egraph, args[2]));
            let all = match op {
                CrossEntropyOp::Value => all.minus(&over),
                CrossEntropyOp::Residual => all,
            };
            let (z, t) = (strip_but(egraph, args[1], &over), strip(egraph, args[2]));
            let result = add(egraph, head, &[args[0], z, t]);
            expand_to(egraph, result, &all)
        }
        Head::Dot => {
            let over = axes(egraph, args[0]);
            dot(egraph, &over, args[1], args[2])
        }
        Head::OneHot => {
            let (v, all) = (axes(egraph, args[1]), axes(egraph, args[2]));
            if v.len() != 1 || !v.disjoint(&all) {
                return None;
            }
            let bare = strip(egraph, args[2]);
            let result = add(egraph, head, &[args[0], args[1], bare]);
            expand_to(egraph, result, &all.union(&v))
        }
        Head::Gather => {
            let v = axes(egraph, args[0]);
            let (t, i) = (axes(egraph, args[1]), axes(egraph, args[2]));
            if v.len() != 1 || !v.subset(&t) || !v.disjoint(&i) {
                return None;
            }
            let (table, index) = (strip_but(egraph, args[1], &v), strip(egraph, args[2]));
            let result = add(egraph, head, &[args[0], table, index]);
            expand_to(egraph, result, &t.minus(&v).union(&i))
        }
        Head::ScatterAdd => {
            let (v, s) = (axes(egraph, args[0]), axes(egraph, args[1]));
            let (i, u) = (axes(egraph, args[2]), axes(egraph, args[3]));
            if v.len() != 1 || !s.subset(&i) || !i.subset(&u) || !v.disjoint(&u) {
                return None;
            }
            add(egraph, head, args)
        }
    })
}
