//! Facts of a term that follow from what its operands have to do with each other.

use crate::facts::{Data, Egraph, Facts};
use crate::language::{Head, Term};
use egg::Id;
use eggrad_ir::{BinaryOp, CompareOp, ReduceOp, UnaryOp};

/// Narrows the facts of a term that is about to be added.
pub(crate) fn together(egraph: &Egraph, term: &Term, facts: &mut Facts) {
    if term.head == Head::Binary(BinaryOp::Sub) {
        below_largest(egraph, term, facts);
    }
    if term.head == Head::Binary(BinaryOp::Add) {
        sum_of_roots(egraph, term, facts);
    }
    if term.head == Head::Select {
        choice(egraph, term, facts);
    }
}

fn ends(egraph: &Egraph, id: Id) -> (f64, f64) {
    match &egraph[id].data {
        Data::Tensor(facts) => (facts.low, facts.high),
        Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// Operands of the terms of a class that have this head.
fn operands(egraph: &Egraph, id: Id, head: Head) -> impl Iterator<Item = &[Id]> {
    egraph[id].nodes.iter().filter(move |n| n.head == head).map(|n| &*n.args)
}

/// No element is above the largest of its row.
fn below_largest(egraph: &Egraph, term: &Term, facts: &mut Facts) {
    let x = egraph.find(term.args[0]);
    let mut rows = operands(egraph, term.args[1], Head::Reduce(ReduceOp::Max));
    if rows.any(|args| egraph.find(args[1]) == x) {
        facts.high = facts.high.min(0.0);
    }
}

/// Where the roots of `x + c` and of `x` are real, the first is at least that of `c`.
fn sum_of_roots(egraph: &Egraph, term: &Term, facts: &mut Facts) {
    let under = |id: Id| operands(egraph, id, Head::Unary(UnaryOp::Sqrt)).map(|args| args[0]);
    let (a, b) = (term.args[0], term.args[1]);
    for (larger, smaller) in [(a, b), (b, a)] {
        for (larger, smaller) in under(larger).flat_map(|l| under(smaller).map(move |s| (l, s))) {
            let smaller = egraph.find(smaller);
            for sum in operands(egraph, larger, Head::Binary(BinaryOp::Add)) {
                let (x, y) = (egraph.find(sum[0]), egraph.find(sum[1]));
                let apart = match (x == smaller, y == smaller) {
                    (true, _) => y,
                    (_, true) => x,
                    (false, false) => continue,
                };
                facts.low = facts.low.max(ends(egraph, apart).0.max(0.0).sqrt());
            }
        }
    }
}

/// Each branch is within the bound that its condition sets.
fn choice(egraph: &Egraph, term: &Term, facts: &mut Facts) {
    let negative = |x: Id, y: Id| {
        let mut operands = operands(egraph, x, Head::Unary(UnaryOp::Neg)).map(|args| args[0]);
        operands.any(|x| egraph.find(x) == y)
    };
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (branch, taken) in [(term.args[1], true), (term.args[2], false)] {
        let branch = egraph.find(branch);
        let mut within = ends(egraph, branch);
        for test in &egraph[term.args[0]].nodes {
            let Head::Compare(op) = test.head else { continue };
            let (x, y) = (egraph.find(test.args[0]), egraph.find(test.args[1]));
            let (below, above) = order(op, taken);
            for (me, other, below, above) in [(x, y, below, above), (y, x, above, below)] {
                let (least, most) = ends(egraph, other);
                if me == branch {
                    within.0 = if above { within.0.max(least) } else { within.0 };
                    within.1 = if below { within.1.min(most) } else { within.1 };
                } else if negative(branch, me) {
                    within.0 = if below { within.0.max(-most) } else { within.0 };
                    within.1 = if above { within.1.min(-least) } else { within.1 };
                }
            }
        }
        (low, high) = (low.min(within.0), high.max(within.1));
    }
    if low <= high {
        (facts.low, facts.high) = (facts.low.max(low), facts.high.min(high));
    }
}

/// Whether the left operand of a comparison that came out as `taken` is at most, and at least, the right one.
fn order(op: CompareOp, taken: bool) -> (bool, bool) {
    match op {
        CompareOp::Lt | CompareOp::Le => (taken, !taken),
        CompareOp::Gt | CompareOp::Ge => (!taken, taken),
        CompareOp::Eq => (taken, taken),
        CompareOp::Ne => (!taken, !taken),
    }
}
