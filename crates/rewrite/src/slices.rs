//! Slices of pads and of parts put together: what is cut off again was never needed.

use crate::axes::AxisSet;
use crate::build::{expand_to, facts, rename};
use crate::facts::{Data, Egraph};
use crate::language::{Head, Opaque, Term};
use crate::moves::Numbers;
use egg::Id;
use eggrad_ir::{CompareOp, MoveOp, Op};

/// A slice in a class, with steps of 1.
struct Slice {
    class: Id,
    x: Id,
    opaque: Opaque,
    start: Vec<usize>,
    size: Vec<usize>,
}

impl Slice {
    fn of(egraph: &Egraph, class: Id, term: &Term) -> Option<Slice> {
        let Head::Opaque(number) = term.head else { return None };
        let opaque = egraph.analysis.opaque[number as usize].clone();
        let Op::Move(MoveOp::Slice { start, step, size }) = &opaque.op else { return None };
        let (start, size) = (start.clone(), size.clone());
        let single = step.iter().all(|&s| s == 1);
        single.then(|| Slice { class, x: term.args[0], opaque, start, size })
    }
}

/// Makes slices of pads slices of what was padded, and slices of choices by position slices of what is chosen; how
/// many were new.
pub(crate) fn cut(egraph: &mut Egraph, numbers: &mut Numbers) -> usize {
    let mut slices = vec![];
    for class in egraph.classes() {
        slices.extend(class.nodes.iter().filter_map(|n| Slice::of(egraph, class.id, n)));
    }
    slices.sort_by_key(|s| s.class);
    let mut new = 0;
    for slice in slices {
        let parts: Vec<Term> = egraph[slice.x].nodes.clone();
        for part in parts {
            let same = match part.head {
                Head::Select => chosen(egraph, &slice, &part).map(|branch| {
                    let wanted = AxisSet::new(slice.opaque.args[0].iter().copied());
                    let branch = expand_to(egraph, branch, &wanted);
                    let number = numbers.of(egraph, slice.opaque.clone());
                    egraph.add(Term::new(Head::Opaque(number), &[branch]))
                }),
                Head::Opaque(number) => {
                    padded(egraph, &slice, number, part.args.first().copied(), numbers)
                }
                _ => None,
            };
            let Some(same) = same else { continue };
            let (a, b) = (facts(egraph, slice.class), facts(egraph, same));
            if a.axes == b.axes && a.dtype == b.dtype && egraph.union(slice.class, same) {
                new += 1;
            }
        }
    }
    new
}

/// The part of a pad's operand that a slice takes, where it takes nothing of the fill.
fn padded(
    egraph: &mut Egraph,
    slice: &Slice,
    number: u32,
    x: Option<Id>,
    numbers: &mut Numbers,
) -> Option<Id> {
    let pad = egraph.analysis.opaque[number as usize].clone();
    let Op::Move(MoveOp::Pad { start, step, .. }) = &pad.op else { return None };
    if step.iter().any(|&s| s != 1) || pad.out != slice.opaque.args[0] {
        return None;
    }
    let names = &pad.args[0];
    let lengths: Vec<usize> = names.iter().map(|&a| egraph.analysis.sizes[a as usize]).collect();
    let mut from = vec![];
    for (axis, &length) in lengths.iter().enumerate() {
        let first = slice.start[axis].checked_sub(start[axis])?;
        if first + slice.size[axis] > length {
            return None;
        }
        from.push(first);
    }
    let out = &slice.opaque.out;
    if from.iter().all(|&f| f == 0) && slice.size == lengths {
        let mut map: Vec<(u32, u32)> =
            names.iter().copied().zip(out.iter().copied()).filter(|(a, b)| a != b).collect();
        map.sort_unstable();
        return Some(rename(egraph, x?, map));
    }
    let step = vec![1; from.len()];
    let op = Op::Move(MoveOp::Slice { start: from, step, size: slice.size.clone() });
    let opaque = Opaque { op, args: pad.args.clone(), out: out.clone(), dtype: pad.dtype };
    let number = numbers.of(egraph, opaque);
    Some(egraph.add(Term::new(Head::Opaque(number), &[x?])))
}

/// The branch that a choice by position takes at every position of a slice.
fn chosen(egraph: &Egraph, slice: &Slice, choice: &Term) -> Option<Id> {
    let compares = egraph[choice.args[0]].nodes.iter().filter_map(|n| match n.head {
        Head::Compare(op) => Some((op, n.args[0], n.args[1])),
        _ => None,
    });
    for (op, position, bound) in compares {
        let lines = egraph[position].nodes.iter().filter(|n| n.head == Head::Iota);
        for line in lines {
            let Data::Axes(axes) = &egraph[line.args[1]].data else { continue };
            let axis = slice.opaque.args[0].iter().position(|&a| axes.has(a));
            let (Some(axis), Some(bound)) = (axis, integer(egraph, bound)) else { continue };
            let first = slice.start[axis] as f64;
            let last = first + slice.size[axis] as f64 - 1.0;
            let (always, never) = match op {
                CompareOp::Lt => (last < bound, first >= bound),
                CompareOp::Le => (last <= bound, first > bound),
                CompareOp::Gt => (first > bound, last <= bound),
                CompareOp::Ge => (first >= bound, last < bound),
                CompareOp::Eq | CompareOp::Ne => (false, false),
            };
            if always {
                return Some(choice.args[1]);
            }
            if never {
                return Some(choice.args[2]);
            }
        }
    }
    None
}

/// The integer that a constant is.
fn integer(egraph: &Egraph, id: Id) -> Option<f64> {
    egraph[id].nodes.iter().find_map(|n| match n.head {
        Head::Opaque(number) => match egraph.analysis.opaque[number as usize].op {
            Op::Const(dtype, literal) if !dtype.is_float() => Some(literal.as_f64()),
            _ => None,
        },
        _ => None,
    })
}
