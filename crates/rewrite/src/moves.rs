//! Terms that only move, convert or mark elements, and what elementwise ops and such terms make of each other.

use crate::axes::{Axis, AxisSet};
use crate::build::{
    axes as axes_of, axes_leaf, constant, elementwise, expand_to, facts, make, positional, rename,
    strip,
};
use crate::facts::{Data, Egraph};
use crate::fit::DEPTH;
use crate::language::{Head, Opaque, Term};
use crate::proof::log::{self, Pass, Reason};
use egg::Id;
use eggrad_ir::{DType, Literal, MarkOp, MoveOp, Op};
use std::collections::HashMap;

/// Moves in one class that are looked through.
pub(crate) const WAYS: usize = 4;

/// Numbers of positional ops.
#[derive(Default)]
pub(crate) struct Numbers(HashMap<Opaque, u32>);

impl Numbers {
    /// The number of an op, which may be new.
    pub(crate) fn of(&mut self, egraph: &mut Egraph, opaque: Opaque) -> u32 {
        for i in self.0.len()..egraph.analysis.opaque.len() {
            self.0.entry(egraph.analysis.opaque[i].clone()).or_insert(i as u32);
        }
        *self.0.entry(opaque.clone()).or_insert_with(|| {
            egraph.analysis.opaque.push(opaque);
            egraph.analysis.opaque.len() as u32 - 1
        })
    }
}

/// Whether an op works on each element alone.
pub(crate) fn is_elementwise(head: &Head) -> bool {
    match head {
        Head::Unary(_) | Head::Binary(_) => true,
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
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
        | Head::ScatterAdd
        | Head::Iota
        | Head::Size
        | Head::Opaque(_) => false,
    }
}

/// Which operands a term moves; none where it does more than that.
pub(crate) fn moved(egraph: &Egraph, term: &Term) -> &'static [usize] {
    let float =
        |i: usize| matches!(&egraph[term.args[i]].data, Data::Tensor(f) if f.dtype.is_float());
    match &term.head {
        Head::Opaque(number) => match egraph.analysis.opaque[*number as usize].op {
            Op::Move(
                MoveOp::Reshape(_) | MoveOp::Slice { .. } | MoveOp::Pad { .. } | MoveOp::Window(_),
            ) if float(0) => &[0],
            _ => &[],
        },
        Head::Gather | Head::Rename if float(1) => &[1],
        Head::Cast if float(1) && cast_to(egraph, term).is_some_and(DType::is_float) => &[1],
        Head::Mark(MarkOp::StopGradient) if float(0) => &[0],
        Head::Select if float(1) => &[1, 2],
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
        | Head::Unary(_)
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
        | Head::ScatterAdd
        | Head::Iota
        | Head::Size => &[],
    }
}

/// Whether a term only moves, converts or marks elements.
pub(crate) fn is_move(egraph: &Egraph, term: &Term) -> bool {
    !moved(egraph, term).is_empty()
}

/// The moves that a class holds.
pub(crate) fn moves_of(egraph: &Egraph, id: Id) -> impl Iterator<Item = &Term> {
    egraph[id].nodes.iter().filter(|n| is_move(egraph, n)).take(WAYS)
}

/// The value that a constant has everywhere.
pub(crate) fn value(egraph: &Egraph, id: Id) -> Option<f64> {
    let number = |term: &Term| match &term.head {
        Head::Const(_, value) => Some(value.to_f64()),
        Head::Opaque(number) => match egraph.analysis.opaque[*number as usize].op {
            Op::Const(dtype, literal) if dtype.is_float() => Some(literal.as_f64()),
            _ => None,
        },
        _ => None,
    };
    let bare = |term: &Term| match &term.head {
        Head::Expand => egraph[term.args[1]].nodes.iter().find_map(number),
        _ => number(term),
    };
    egraph[id].nodes.iter().find_map(bare)
}

/// The lower op on operands that are moved one by one.
pub(crate) fn below(egraph: &mut Egraph, lower: &Term, inner: &Term) -> Option<Id> {
    if let Head::Reduce(_) | Head::Softmax(_) = inner.head {
        let over = axes_of(egraph, inner.args[0]);
        if !over.disjoint(&changed_axes(egraph, lower)?) {
            return None;
        }
        let x = move_operand(egraph, lower, inner.args[1])?;
        return make(egraph, inner.head.clone(), &[inner.args[0], x]);
    }
    let mut operands = vec![];
    for &x in &inner.args {
        operands.push(move_operand(egraph, lower, x)?);
    }
    Some(elementwise(egraph, inner.head.clone(), &operands))
}

/// The op and fill of a pad.
pub(crate) fn padding(egraph: &Egraph, term: &Term) -> Option<(Opaque, f64)> {
    let Head::Opaque(number) = term.head else { return None };
    let opaque = &egraph.analysis.opaque[number as usize];
    match &opaque.op {
        Op::Move(MoveOp::Pad { fill, .. }) => Some((opaque.clone(), fill.as_f64())),
        _ => None,
    }
}

pub(crate) fn cast_to(egraph: &Egraph, cast: &Term) -> Option<DType> {
    match &egraph[cast.args[0]].data {
        Data::Type(dtype) => Some(*dtype),
        Data::Axes(_) | Data::Renaming(_) | Data::Tensor(_) => None,
    }
}

/// Axes along which a move changes positions, on either side of it; `None` where no operand but the moved one can
/// stand on both.
pub(crate) fn changed_axes(egraph: &Egraph, lower: &Term) -> Option<AxisSet> {
    match &lower.head {
        Head::Opaque(number) => {
            let opaque = &egraph.analysis.opaque[*number as usize];
            let before = AxisSet::new(opaque.args[0].iter().copied());
            let after = AxisSet::new(opaque.out.iter().copied());
            Some(before.minus(&after).union(&after.minus(&before)))
        }
        Head::Gather => {
            let (table, index) = (axes_of(egraph, lower.args[1]), axes_of(egraph, lower.args[2]));
            Some(axes_of(egraph, lower.args[0]).union(&index.minus(&table)))
        }
        Head::Rename => match &egraph[lower.args[0]].data {
            Data::Renaming(map) => Some(AxisSet::new(map.iter().flat_map(|p| [p.0, p.1]))),
            Data::Axes(_) | Data::Type(_) | Data::Tensor(_) => None,
        },
        Head::Select => Some(AxisSet::empty()),
        _ => None,
    }
}

/// `x` after the move: itself where it is constant along what the move changes.
pub(crate) fn move_operand(egraph: &mut Egraph, lower: &Term, x: Id) -> Option<Id> {
    let bare = strip(egraph, x);
    if let Head::Cast | Head::Mark(_) = lower.head {
        if let Some(constant) = facts(egraph, bare).constant {
            let dtype = match lower.head {
                Head::Cast => cast_to(egraph, lower)?,
                _ => facts(egraph, bare).dtype,
            };
            return Some(self::constant(egraph, dtype, constant));
        }
        let place = moved(egraph, lower).first().copied()?;
        let mut term = lower.clone();
        term.args[place] = x;
        return apply(egraph, &term);
    }
    if facts(egraph, bare).axes.disjoint(&changed_axes(egraph, lower)?) {
        return Some(bare);
    }
    let place = moved(egraph, lower).first().copied()?;
    let mut term = lower.clone();
    term.args[place] = x;
    apply(egraph, &term)
}

/// What the move makes `x` of: a value before it, or `x` itself where the move changes nothing of it.
pub(crate) fn before(egraph: &mut Egraph, lower: &Term, x: Id) -> Option<Id> {
    if let Some(constant) = facts(egraph, x).constant {
        let place = moved(egraph, lower).first().copied()?;
        let dtype = facts(egraph, lower.args[place]).dtype;
        return Some(self::constant(egraph, dtype, constant));
    }
    if let Some(known) = unmoved(egraph, lower, x) {
        return Some(known);
    }
    // The same move of what has other names.
    let term = alike(egraph, lower, x)?.clone();
    log::open(egraph, x, &term);
    let inside = term.args[moved(egraph, &term)[0]];
    let present = facts(egraph, inside).axes.clone();
    let pairs = names(egraph, &term).into_iter().zip(names(egraph, lower));
    let mut map: Vec<(Axis, Axis)> = pairs.filter(|(a, b)| a != b && present.has(*a)).collect();
    if map.iter().any(|(_, b)| present.has(*b) && !map.iter().any(|(a, _)| a == b)) {
        return None;
    }
    map.sort_unstable();
    Some(rename(egraph, inside, map))
}

/// As [`before`], of what is there already.
pub(crate) fn unmoved(egraph: &Egraph, lower: &Term, x: Id) -> Option<Id> {
    let bare = strip(egraph, x);
    let pad = padding(egraph, lower).is_some();
    let changed = changed_axes(egraph, lower);
    if !pad && changed.is_some_and(|c| facts(egraph, bare).axes.disjoint(&c)) {
        return Some(bare);
    }
    let term = alike(egraph, lower, x)?;
    let inside = strip(egraph, term.args[moved(egraph, term)[0]]);
    let present = &facts(egraph, inside).axes;
    let mut pairs = names(egraph, term).into_iter().zip(names(egraph, lower));
    let same = pairs.all(|(a, b)| a == b || !present.has(a));
    if same {
        log::open(egraph, x, term);
    }
    same.then_some(inside)
}

/// Axes under which a move reads its operand.
fn names(egraph: &Egraph, term: &Term) -> Vec<Axis> {
    match &term.head {
        Head::Opaque(number) => egraph.analysis.opaque[*number as usize].args[0].clone(),
        Head::Gather => axes_of(egraph, term.args[0]).iter().collect(),
        _ => vec![],
    }
}

/// A term of class `x` that moves another value in the same way, whatever the names before and the fill of a pad.
pub(crate) fn alike<'a>(egraph: &'a Egraph, lower: &Term, x: Id) -> Option<&'a Term> {
    let places = moved(egraph, lower);
    let dtype = |term: &Term| facts(egraph, term.args[places[0]]).dtype;
    if places.len() != 1 {
        return None;
    }
    let same = |term: &&Term| {
        if moved(egraph, term) != places || dtype(term) != dtype(lower) {
            return false;
        }
        match (&lower.head, &term.head) {
            (Head::Opaque(a), Head::Opaque(b)) => {
                let opaque = &egraph.analysis.opaque;
                let (a, b) = (&opaque[*a as usize], &opaque[*b as usize]);
                a.out == b.out && geometry(&a.op) == geometry(&b.op)
            }
            (Head::Gather, Head::Gather) => egraph.find(term.args[2]) == egraph.find(lower.args[2]),
            _ => {
                let args = term.args.iter().zip(&lower.args).enumerate();
                let mut others = args.filter(|(i, _)| !places.contains(i));
                term.head == lower.head
                    && others.all(|(_, (&a, &b))| egraph.find(a) == egraph.find(b))
            }
        }
    };
    egraph[x].nodes.iter().find(same)
}

/// A move without the fill of a pad.
fn geometry(op: &Op) -> Op {
    match op {
        Op::Move(MoveOp::Pad { start, step, size, .. }) => {
            let (start, step, size) = (start.clone(), step.clone(), size.clone());
            Op::Move(MoveOp::Pad { start, step, size, fill: Literal::Float(0) })
        }
        other => other.clone(),
    }
}

/// A class, and what it moves.
pub(crate) fn beneath(egraph: &Egraph, id: Id) -> Vec<Id> {
    let mut all = vec![egraph.find(id)];
    let mut level = all.clone();
    for _ in 0..DEPTH {
        let mut next = vec![];
        for &id in &level {
            for term in moves_of(egraph, id) {
                let operands = moved(egraph, term).iter().map(|&p| strip(egraph, term.args[p]));
                next.extend(operands.map(|x| egraph.find(x)));
            }
        }
        next.retain(|id| !all.contains(id));
        all.extend(&next);
        level = next;
    }
    all
}

/// Adds a move on operands that may lack axes.
pub(crate) fn apply(egraph: &mut Egraph, term: &Term) -> Option<Id> {
    match &term.head {
        Head::Opaque(number) => {
            let wanted = egraph.analysis.opaque[*number as usize].args[0].clone();
            let wanted = AxisSet::new(wanted);
            if !facts(egraph, term.args[0]).axes.subset(&wanted) {
                return None;
            }
            let x = expand_to(egraph, term.args[0], &wanted);
            Some(positional(egraph, *number, x))
        }
        Head::Rename => {
            let Data::Renaming(map) = &egraph[term.args[0]].data else { return None };
            let present = &facts(egraph, term.args[1]).axes;
            let map: Vec<(Axis, Axis)> = map.iter().copied().filter(|p| present.has(p.0)).collect();
            Some(rename(egraph, term.args[1], map))
        }
        Head::Gather => {
            let v = axes_of(egraph, term.args[0]);
            let all = axes_of(egraph, term.args[1]).union(&v);
            let table = expand_to(egraph, term.args[1], &all);
            let v = axes_leaf(egraph, v);
            make(egraph, Head::Gather, &[v, table, term.args[2]])
        }
        _ => make(egraph, term.head.clone(), &term.args),
    }
}

/// Makes two classes one, if they have the same axes, for what `pass` found; whether they were two.
pub(crate) fn unite(egraph: &mut Egraph, id: Id, same: Id, pass: Pass) -> bool {
    let axes = facts(egraph, id).axes.clone();
    let same = expand_to(egraph, same, &axes);
    let (a, b) = (facts(egraph, id), facts(egraph, same));
    a.axes == b.axes && a.dtype == b.dtype && log::union(egraph, id, same, Reason::Pass(pass))
}
