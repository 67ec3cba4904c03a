//! Moves that undo each other: slices of pads and of parts put together, reshapes back to a shape.

use crate::axes::{Axis, AxisSet};
use crate::build::{add, expand_to, facts, rename};
use crate::facts::{Data, Egraph};
use crate::language::{Head, Opaque, Term};
use crate::moves::{Numbers, below, is_elementwise, padding, unite};
use crate::proof::log::{self, Pass};
use egg::Id;
use eggrad_ir::{CompareOp, MoveOp, Op};

/// Parts put together that are looked through.
const MOST_PARTS: usize = 8;

/// Elementwise ops between a slice and a pad that are looked through.
const DEPTH: usize = 4;

/// A slice in a class, with steps of 1.
struct Slice {
    class: Id,
    term: Term,
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
        single.then(|| Slice { class, term: term.clone(), x: term.args[0], opaque, start, size })
    }
}

/// A reshape and its operand.
fn reshape(egraph: &Egraph, term: &Term) -> Option<(Opaque, Id)> {
    let Head::Opaque(number) = term.head else { return None };
    let opaque = &egraph.analysis.opaque[number as usize];
    match opaque.op {
        Op::Move(MoveOp::Reshape(_)) => Some((opaque.clone(), term.args[0])),
        _ => None,
    }
}

/// `x` with the axes `to` in place of the axes `from`.
fn renamed(egraph: &mut Egraph, x: Id, from: &[Axis], to: &[Axis]) -> Id {
    let pairs = from.iter().copied().zip(to.iter().copied());
    let present = &facts(egraph, x).axes;
    let mut map: Vec<(Axis, Axis)> = pairs.filter(|(a, b)| a != b && present.has(*a)).collect();
    map.sort_unstable();
    rename(egraph, x, map)
}

/// Makes slices of pads slices of what was padded, and slices of choices by position slices of what is chosen; how
/// many were new.
pub(crate) fn cut(egraph: &mut Egraph, numbers: &mut Numbers) -> usize {
    let (mut slices, mut reshapes) = (vec![], vec![]);
    for class in egraph.classes() {
        slices.extend(class.nodes.iter().filter_map(|n| Slice::of(egraph, class.id, n)));
        let reshape = |n: &Term| Some((class.id, n.clone(), reshape(egraph, n)?));
        reshapes.extend(class.nodes.iter().filter_map(reshape));
    }
    slices.sort_by_key(|s| s.class);
    reshapes.sort_by_key(|r| r.0);
    let mut new = 0;
    for (class, term, (outer, y)) in reshapes {
        let inner: Vec<(Term, (Opaque, Id))> =
            egraph[y].nodes.iter().filter_map(|n| Some((n.clone(), reshape(egraph, n)?))).collect();
        for (inside, (inner, x)) in inner {
            let size = |&a: &Axis| egraph.analysis.sizes[a as usize];
            let same = inner.args[0].iter().map(size).eq(outer.out.iter().map(size));
            if same {
                log::begin(egraph);
                log::open(egraph, class, &term);
                log::open(egraph, y, &inside);
                let same = renamed(egraph, x, &inner.args[0], &outer.out);
                new += usize::from(unite(egraph, class, same, Pass::Slices));
            }
        }
        // Work on what has another shape for its sake only.
        let work: Vec<Term> =
            egraph[y].nodes.iter().filter(|n| is_elementwise(&n.head)).cloned().collect();
        for part in work {
            let back = |&x: &Id| {
                egraph[x].nodes.iter().filter_map(|n| reshape(egraph, n)).any(|(inner, _)| {
                    let size = |&a: &Axis| egraph.analysis.sizes[a as usize];
                    inner.args[0].iter().map(size).eq(outer.out.iter().map(size))
                })
            };
            if !part.args.iter().any(back) {
                continue;
            }
            log::begin(egraph);
            log::open(egraph, class, &term);
            log::open(egraph, y, &part);
            if let Some(same) = below(egraph, &term, &part) {
                new += usize::from(unite(egraph, class, same, Pass::Slices));
            }
        }
    }
    for slice in slices {
        let parts: Vec<Term> = egraph[slice.x].nodes.clone();
        for part in parts {
            log::begin(egraph);
            log::open(egraph, slice.class, &slice.term);
            log::open(egraph, slice.x, &part);
            let same = match part.head {
                _ if is_elementwise(&part.head) => {
                    match part.args.iter().any(|&a| is_padded(egraph, a, DEPTH)) {
                        true => below(egraph, &slice.term, &part),
                        false => None,
                    }
                }
                Head::Select => chosen(egraph, &slice, &part).map(|branch| {
                    let wanted = AxisSet::new(slice.opaque.args[0].iter().copied());
                    let branch = expand_to(egraph, branch, &wanted);
                    let number = numbers.of(egraph, slice.opaque.clone());
                    add(egraph, Head::Opaque(number), &[branch])
                }),
                Head::Opaque(number) => {
                    padded(egraph, &slice, number, part.args.first().copied(), numbers)
                }
                _ => None,
            };
            let Some(same) = same else { continue };
            new += usize::from(unite(egraph, slice.class, same, Pass::Slices));
        }
    }
    new
}

/// Whether a class holds elementwise work, at most `depth` deep, on what was padded or put together. Classes may
/// hold themselves, so what is put together of many parts is looked through only so far.
fn is_padded(egraph: &Egraph, id: Id, depth: usize) -> bool {
    fn look(egraph: &Egraph, id: Id, depth: usize, parts: usize) -> bool {
        egraph[id].nodes.iter().any(|n| match n.head {
            Head::Select => parts > 0 && n.args[1..].iter().any(|&a| look(egraph, a, 0, parts - 1)),
            _ if is_elementwise(&n.head) => {
                depth > 0 && n.args.iter().any(|&a| look(egraph, a, depth - 1, parts))
            }
            _ => padding(egraph, n).is_some(),
        })
    }
    look(egraph, id, depth, MOST_PARTS)
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
        return Some(renamed(egraph, x?, names, out));
    }
    let step = vec![1; from.len()];
    let op = Op::Move(MoveOp::Slice { start: from, step, size: slice.size.clone() });
    let opaque = Opaque { op, args: pad.args.clone(), out: out.clone(), dtype: pad.dtype };
    let number = numbers.of(egraph, opaque);
    Some(add(egraph, Head::Opaque(number), &[x?]))
}

/// The branch that a choice by position takes at every position of a slice.
fn chosen(egraph: &Egraph, slice: &Slice, choice: &Term) -> Option<Id> {
    let compares = egraph[choice.args[0]].nodes.iter().filter_map(|n| match n.head {
        Head::Compare(op) => Some((n, op, n.args[0], n.args[1])),
        _ => None,
    });
    for (compare, op, position, bound) in compares {
        let lines = egraph[position].nodes.iter().filter(|n| n.head == Head::Iota);
        for line in lines {
            let Data::Axes(axes) = &egraph[line.args[1]].data else { continue };
            let axis = slice.opaque.args[0].iter().position(|&a| axes.has(a));
            let (Some(axis), Some(bound)) = (axis, integer(egraph, bound)) else { continue };
            log::open(egraph, choice.args[0], compare);
            log::open(egraph, position, line);
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
