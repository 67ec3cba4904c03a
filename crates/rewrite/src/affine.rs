//! Linear layers with frozen weights become one, however many there are.
//!
//! A class that is a product with a frozen weight, or such a product with frozen biases and scales and further frozen
//! weights behind it, is `x · W + c`. One sweep from operands to users finds `x`, `W` and `c` of every class: weights
//! are multiplied from the left, each layer adds a few frozen terms, and no rule has to travel from layer to layer.
//! Frozen scales and shifts before the first product, as of a standardised input, go into its weight and bias.

use crate::axes::AxisSet;
use crate::build::{add, axes, axes_leaf, elementwise, expand_to, facts, make};
use crate::facts::{Data, Egraph};
use crate::language::{Head, Term};
use crate::proof::log::{self, Pass, Reason};
use egg::Id;
use eggrad_ir::{BinaryOp, UnaryOp};
use std::collections::{HashMap, HashSet};

/// `sum over S of x · w`, and `c`.
#[derive(Clone)]
struct Affine {
    x: Id,
    over: AxisSet,
    w: Id,
    c: Option<Id>,
    /// Steps that were taken together.
    steps: usize,
    /// The class this is inside another, whose form this one continues.
    inner: Option<Id>,
    /// Scales and shifts before the first product, and their classes; none where no log is kept.
    before: Vec<(Id, Term)>,
}

/// What has been done, by class.
#[derive(Default)]
pub(crate) struct Folding {
    known: HashMap<Id, Affine>,
    /// The term by which each known class was read.
    read: HashMap<Id, Term>,
    done: HashSet<Id>,
}

impl Folding {
    /// Adds the folded form of every class that has one and has not got it yet; how many.
    pub(crate) fn fold(&mut self, egraph: &mut Egraph) -> usize {
        if !egraph.analysis.frozen.contains(&true) {
            return 0;
        }
        let changing = |id: &Id| matches!(&egraph[*id].data, Data::Tensor(f) if f.dtype.is_float() && !f.fixed);
        let mut classes: Vec<Id> = egraph.classes().map(|c| c.id).filter(changing).collect();
        classes.sort_unstable();
        let mut folded = 0;
        for id in classes {
            if self.known.contains_key(&id) {
                continue;
            }
            let terms = egraph[id].nodes.clone();
            log::begin(egraph);
            let found = terms.iter().find_map(|term| Some((term, self.read(egraph, term)?)));
            let Some((term, found)) = found else { continue };
            if found.steps > 1 && self.done.insert(id) {
                let whole = found.write(egraph);
                let all = facts(egraph, id).axes.clone();
                let whole = expand_to(egraph, whole, &all);
                let alike = facts(egraph, whole).axes == all;
                log::open(egraph, id, term);
                self.open(egraph, found.inner);
                found.before.iter().for_each(|(id, term)| log::open(egraph, *id, term));
                let reason = Reason::Pass(Pass::LinearFolding);
                folded += usize::from(alike && log::union(egraph, id, whole, reason));
            }
            self.read.insert(id, term.clone());
            self.known.insert(id, found);
        }
        folded
    }

    /// Notes the terms by which the classes from `class` on were read.
    fn open(&self, egraph: &Egraph, class: Option<Id>) {
        if !log::is_kept(egraph) {
            return;
        }
        let mut next = class;
        while let Some(class) = next
            && let Some(term) = self.read.get(&class)
        {
            log::open(egraph, class, term);
            next = self.known.get(&class).and_then(|a| a.inner);
        }
    }

    /// The affine form of a term whose operands have been read.
    fn read(&self, egraph: &mut Egraph, term: &Term) -> Option<Affine> {
        let fixed = |egraph: &Egraph, id: Id| facts(egraph, id).fixed;
        let known = |egraph: &Egraph, id: Id| {
            let id = egraph.find(id);
            let form = self.known.get(&id)?.clone();
            Some(Affine { inner: Some(id), ..form })
        };
        match (&term.head, &term.args[..]) {
            (Head::Dot, &[over, a, b]) => {
                let (y, w) = if fixed(egraph, b) { (a, b) } else { (b, a) };
                if !facts(egraph, w).frozen || fixed(egraph, y) {
                    return None;
                }
                let over = axes(egraph, over);
                match known(egraph, y) {
                    Some(inner) => inner.times(egraph, &over, w),
                    None => first(egraph, y, over, w),
                }
            }
            (Head::Unary(UnaryOp::Neg), &[y]) => {
                let inner = known(egraph, y)?;
                Some(inner.each(egraph, &|egraph, v| {
                    elementwise(egraph, Head::Unary(UnaryOp::Neg), &[v])
                }))
            }
            (Head::Binary(op @ (BinaryOp::Add | BinaryOp::Sub)), &[a, b]) => {
                let first_changes = fixed(egraph, b);
                let (y, c) = if first_changes { (a, b) } else { (b, a) };
                if !fixed(egraph, c) {
                    return None;
                }
                let mut inner = known(egraph, y)?;
                if *op == BinaryOp::Sub && !first_changes {
                    inner = inner.each(egraph, &|egraph, v| {
                        elementwise(egraph, Head::Unary(UnaryOp::Neg), &[v])
                    });
                }
                let op = if first_changes { *op } else { BinaryOp::Add };
                let c = match (inner.c, op) {
                    (Some(old), op) => elementwise(egraph, Head::Binary(op), &[old, c]),
                    (None, BinaryOp::Sub) => elementwise(egraph, Head::Unary(UnaryOp::Neg), &[c]),
                    (None, _) => c,
                };
                Some(Affine { c: Some(c), steps: inner.steps + 1, ..inner })
            }
            (Head::Binary(op @ (BinaryOp::Mul | BinaryOp::Div)), &[a, b]) => {
                let (y, s) = match (fixed(egraph, a), fixed(egraph, b), op) {
                    (false, true, _) => (a, b),
                    (true, false, BinaryOp::Mul) => (b, a),
                    _ => return None,
                };
                let inner = known(egraph, y)?;
                if !inner.over.disjoint(&facts(egraph, s).axes) {
                    return None;
                }
                let head = Head::Binary(*op);
                Some(inner.each(egraph, &|egraph, v| elementwise(egraph, head.clone(), &[v, s])))
            }
            _ => None,
        }
    }
}

/// Scales and shifts before a product that are looked through.
const MOST_BEFORE: usize = 8;

/// One scale or shift before a product.
struct Step {
    term: Term,
    /// What changes from run to run.
    x: Id,
    /// What it is scaled or shifted by; none is a change of sign.
    by: Option<(BinaryOp, Id)>,
    /// Whether that comes first.
    swapped: bool,
}

/// The scale or shift that made class `y`, where what is fixed has no axes but those of `w`, of a class not in `seen`.
fn step(egraph: &Egraph, y: Id, w: Id, seen: &[Id]) -> Option<Step> {
    let within = &facts(egraph, w).axes;
    let fixed = |id: Id| {
        let known = facts(egraph, id);
        known.fixed && known.dtype.is_float() && known.axes.subset(within)
    };
    let changes = |id: Id| !facts(egraph, id).fixed && !seen.contains(&egraph.find(id));
    egraph[y].nodes.iter().find_map(|term| {
        let (x, by, swapped) = match (&term.head, &term.args[..]) {
            (Head::Unary(UnaryOp::Neg), &[x]) => (x, None, false),
            (Head::Binary(op), &[x, c]) if fixed(c) => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div => {
                    (x, Some((*op, c)), false)
                }
                _ => return None,
            },
            (Head::Binary(op), &[c, x]) if fixed(c) => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => (x, Some((*op, c)), true),
                _ => return None,
            },
            _ => return None,
        };
        changes(x).then(|| Step { term: term.clone(), x, by, swapped })
    })
}

/// A product with a frozen weight, with the frozen scales and shifts before it taken into weight and bias.
fn first(egraph: &mut Egraph, y: Id, over: AxisSet, w: Id) -> Option<Affine> {
    let axes = axes_leaf(egraph, over.clone());
    let mut affine = Affine { x: y, over, w, c: None, steps: 1, inner: None, before: vec![] };
    let neg = |egraph: &mut Egraph, x: Id| elementwise(egraph, Head::Unary(UnaryOp::Neg), &[x]);
    let binary = |egraph: &mut Egraph, op: BinaryOp, a: Id, b: Id| {
        elementwise(egraph, Head::Binary(op), &[a, b])
    };
    let mut seen = vec![egraph.find(y)];
    while affine.steps <= MOST_BEFORE
        && let Some(Step { term, x, by, swapped }) = step(egraph, affine.x, w, &seen)
    {
        match by {
            None => affine.w = neg(egraph, affine.w),
            Some((BinaryOp::Mul, c)) => affine.w = binary(egraph, BinaryOp::Mul, affine.w, c),
            Some((BinaryOp::Div, c)) => affine.w = binary(egraph, BinaryOp::Div, affine.w, c),
            Some((op, c)) => {
                let shift = make(egraph, Head::Dot, &[axes, c, affine.w])?;
                let away = op == BinaryOp::Sub && !swapped;
                affine.c = Some(match (affine.c, away) {
                    (Some(old), true) => binary(egraph, BinaryOp::Sub, old, shift),
                    (Some(old), false) => binary(egraph, BinaryOp::Add, old, shift),
                    (None, true) => neg(egraph, shift),
                    (None, false) => shift,
                });
                if op == BinaryOp::Sub && swapped {
                    affine.w = neg(egraph, affine.w);
                }
            }
        }
        if log::is_kept(egraph) {
            affine.before.push((affine.x, term));
        }
        seen.push(egraph.find(x));
        (affine.x, affine.steps) = (x, affine.steps + 1);
    }
    Some(affine)
}

impl Affine {
    /// With `f`, which is linear and works element by element, behind it.
    fn each(self, egraph: &mut Egraph, f: &dyn Fn(&mut Egraph, Id) -> Id) -> Affine {
        let w = f(egraph, self.w);
        let c = self.c.map(|c| f(egraph, c));
        Affine { w, c, steps: self.steps + 1, ..self }
    }

    /// With a further product, over `over` with `w`, behind it.
    fn times(self, egraph: &mut Egraph, over: &AxisSet, w: Id) -> Option<Affine> {
        let apart = over.disjoint(&facts(egraph, self.x).axes)
            && self.over.disjoint(&facts(egraph, w).axes);
        if !apart {
            return None;
        }
        let over = axes_leaf(egraph, over.clone());
        let product = make(egraph, Head::Dot, &[over, self.w, w])?;
        let c = match self.c {
            Some(c) => Some(make(egraph, Head::Dot, &[over, c, w])?),
            None => None,
        };
        Some(Affine { w: product, c, steps: self.steps + 1, ..self })
    }

    /// Adds the term.
    fn write(&self, egraph: &mut Egraph) -> Id {
        let over = axes_leaf(egraph, self.over.clone());
        let product = make(egraph, Head::Dot, &[over, self.x, self.w]);
        let product = product.unwrap_or_else(|| add(egraph, Head::Dot, &[over, self.x, self.w]));
        match self.c {
            Some(c) => elementwise(egraph, Head::Binary(BinaryOp::Add), &[product, c]),
            None => product,
        }
    }
}
