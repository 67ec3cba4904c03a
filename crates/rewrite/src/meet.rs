//! Brings functions together that rules know as a pair, where something that only moves elements stands between.
//!
//! Rules match ops that read each other. Where a reshape, slice, pad, window, gather, cast, choice, renaming or
//! `stop_gradient` stands between two ops of a left side, as in `log(slice(softmax(x)))`, one of two equal forms is
//! added: the lower op on moved operands (`f(slice(exp(x)))` holds `f(exp(slice(x)))`), or, where that op mixes
//! elements, the upper op before the move (`slice(log(softmax(x)))`). Nothing else is moved, so that e-graphs stay
//! small; extraction decides which form is computed.

use crate::axes::AxisSet;
use crate::build::{add, constant, elementwise, expand_to, facts, strip};
use crate::facts::{Data, Egraph};
use crate::fit::{DEPTH, bindings, direct, fits, has_function, is_arithmetic, mixes};
use crate::language::{Head, Opaque, Term};
use crate::moves::{
    Numbers, WAYS, alike, apply, before, below, cast_to, is_elementwise, moved, moves_of, padding,
    unite, unmoved, value,
};
use crate::pattern::{Expr, commuted, variables};
use crate::proof::log::{self, Pass};
use crate::rational::Rational;
use crate::rules::Rule;
use crate::slices::cut;
use egg::Id;
use eggrad_interp::scalar::{binary_float, unary_float};
use eggrad_ir::{DType, Literal, MoveOp, Op, UnaryOp};
use std::collections::{HashMap, HashSet};

/// What rules expect below each op, and the constants that were made.
pub(crate) struct Moves {
    /// Operands of ops in left sides, by the op.
    below: HashMap<Head, Vec<Expr>>,
    /// Operands of sums and products, whichever of them.
    below_arithmetic: Vec<Expr>,
    /// Sums and products that rules expect below other ops, and that read sums and products themselves.
    nested: HashMap<Head, Vec<Expr>>,
    /// Left sides of two operands that share variables, one of which mixes elements.
    joint: Vec<(Head, [Expr; 2])>,
    numbers: Numbers,
}

/// Whether other names are given to a value that an op made of rows.
fn is_renamed(lower: &Term, head: &Head) -> bool {
    lower.head == Head::Rename && matches!(head, Head::Reduce(_) | Head::Softmax(_))
}

/// What an op maps to `value`, among a few numbers.
fn preimage(op: UnaryOp, value: f64) -> Option<f64> {
    let candidates = [0.0, f64::NEG_INFINITY, f64::INFINITY, 1.0, -1.0];
    candidates.into_iter().find(|&c| unary_float(op, c) == value)
}

/// A pair of ops with a move between them.
struct Site {
    /// The class and the upper op in it.
    upper: (Id, Term),
    /// The operand of the upper op that holds the move, and the move.
    lower: (Id, Term),
    /// The op below the move, if nothing else is between.
    inner: Option<Term>,
    /// Whether the lower op works on each element alone.
    sinks: bool,
    /// Whether a rule has the upper op itself, and not another sum or product, above the lower one.
    hoists: bool,
}

impl Moves {
    /// What the left sides of `rules` look for.
    pub(crate) fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Moves {
        let mut moves = Moves {
            below: HashMap::new(),
            below_arithmetic: vec![],
            nested: HashMap::new(),
            joint: vec![],
            numbers: Numbers::default(),
        };
        for rule in rules {
            for left in commuted(&rule.left) {
                moves.collect(&left);
                let Expr::Term(head @ Head::Binary(_), args) = left else { continue };
                if let [a, b] = args.as_slice() {
                    let shared = variables(a).iter().any(|v| variables(b).contains(v));
                    if shared && (mixes(a) || mixes(b)) {
                        moves.joint.push((head, [a.clone(), b.clone()]));
                    }
                }
            }
        }
        moves
    }

    fn collect(&mut self, expr: &Expr) {
        let Expr::Term(head, args) = expr else { return };
        for arg in args {
            self.collect(arg);
            let known = self.below.entry(head.clone()).or_default();
            let arithmetic = is_arithmetic(head);
            if !matches!(arg, Expr::Term(..)) || arithmetic && !has_function(arg) {
                continue;
            }
            if !known.contains(arg) {
                known.push(arg.clone());
            }
            let plain = |e: &Expr| matches!(e, Expr::Term(..)) && !has_function(e);
            if let Expr::Term(inner, inside) = arg
                && is_arithmetic(inner)
                && inside.iter().any(plain)
            {
                self.nested.entry(head.clone()).or_default().push(arg.clone());
            }
            if arithmetic && !self.below_arithmetic.contains(arg) {
                self.below_arithmetic.push(arg.clone());
            }
        }
    }

    /// Adds the forms that bring ops of a left side together; how many were new.
    pub(crate) fn extend(&mut self, egraph: &mut Egraph) -> usize {
        let holds = |c: &egg::EClass<Term, Data>| moves_of(egraph, c.id).next().map(|_| c.id);
        let holding: HashSet<Id> = egraph.classes().filter_map(holds).collect();
        if holding.is_empty() {
            return 0;
        }
        let mut sites = vec![];
        let mut ids: Vec<Id> = egraph.classes().map(|c| c.id).collect();
        ids.sort_unstable();
        for id in ids {
            for term in &egraph[id].nodes {
                for &arg in &term.args {
                    let arg = egraph.find(arg);
                    if holding.contains(&arg) {
                        self.sites(egraph, id, term, arg, &mut sites);
                    }
                    for expr in self.nested.get(&term.head).into_iter().flatten() {
                        nested_sites(egraph, arg, expr, &mut sites);
                    }
                }
            }
        }
        let mut new = cut(egraph, &mut self.numbers);
        for site in sites {
            new += usize::from(self.settle(egraph, &site));
        }
        new
    }

    /// Finds the moves in class `arg` that part `term`, of class `id`, from what a rule expects below it.
    fn sites(&self, egraph: &Egraph, id: Id, term: &Term, arg: Id, sites: &mut Vec<Site>) {
        let own = self.below.get(&term.head);
        let others = match is_arithmetic(&term.head) {
            true => self.below_arithmetic.as_slice(),
            false => &[],
        };
        let own = own.into_iter().flatten().map(|e| (e, true));
        let expected: Vec<(&Expr, bool)> = own.chain(others.iter().map(|e| (e, false))).collect();
        for lower in moves_of(egraph, arg) {
            if self.joins(egraph, term, arg, lower) {
                let (upper, lower) = ((id, term.clone()), (arg, lower.clone()));
                sites.push(Site { upper, lower, inner: None, sinks: false, hoists: true });
                continue;
            }
            for &place in moved(egraph, lower) {
                let x = lower.args[place];
                if is_arithmetic(&term.head) {
                    let sums = egraph[x].nodes.iter().filter(|n| is_arithmetic(&n.head));
                    let holds = |n: &&Term| {
                        let functions = &self.below_arithmetic;
                        let fit = |&a: &Id| functions.iter().any(|f| fits(egraph, a, f, DEPTH));
                        n.args.iter().any(fit)
                    };
                    for inner in sums.filter(holds).take(WAYS) {
                        sites.push(Site {
                            upper: (id, term.clone()),
                            lower: (arg, lower.clone()),
                            inner: Some(inner.clone()),
                            sinks: true,
                            hoists: false,
                        });
                    }
                }
                for &(expr, hoists) in &expected {
                    let Expr::Term(head, _) = expr else { continue };
                    if !fits(egraph, x, expr, DEPTH) {
                        continue;
                    }
                    sites.push(Site {
                        upper: (id, term.clone()),
                        lower: (arg, lower.clone()),
                        inner: direct(egraph, x, expr, DEPTH).cloned(),
                        sinks: is_elementwise(head) || is_renamed(lower, head),
                        hoists,
                    });
                }
            }
        }
    }

    /// Whether a rule matches a term of two operands before the move that one or both of them hold, the two share
    /// a part there, or have other names there.
    fn joins(&self, egraph: &Egraph, term: &Term, arg: Id, lower: &Term) -> bool {
        let (&[a, b], &[place]) = (term.args.as_ref(), moved(egraph, lower)) else { return false };
        let mut rules = self.joint.iter().filter(|(head, _)| *head == term.head).peekable();
        let arithmetic = is_arithmetic(&term.head);
        if rules.peek().is_none() && !arithmetic {
            return false;
        }
        let side = |id: Id| match egraph.find(id) == egraph.find(arg) {
            true => Some(strip(egraph, lower.args[place])),
            false => unmoved(egraph, lower, id).map(|x| strip(egraph, x)),
        };
        let (Some(a), Some(b)) = (side(a), side(b)) else { return false };
        let names =
            lower.head == Head::Rename && egraph.find(term.args[0]) != egraph.find(term.args[1]);
        if arithmetic && (names || shares(egraph, a, b)) {
            return true;
        }
        rules.any(|(_, [left, right])| {
            let found = bindings(egraph, a, left, vec![]);
            found.into_iter().any(|known| !bindings(egraph, b, right, known).is_empty())
        })
    }

    /// Adds the form of a site; whether it was new.
    fn settle(&mut self, egraph: &mut Egraph, site: &Site) -> bool {
        let (arg, lower) = &site.lower;
        log::begin(egraph);
        log::open(egraph, *arg, lower);
        if let (true, Some(inner)) = (site.sinks, &site.inner) {
            // Which branches of a choice hold the op is seen below.
            if let &[place] = moved(egraph, lower) {
                log::open(egraph, lower.args[place], inner);
            }
        }
        if let (true, Some(inner)) = (site.sinks, &site.inner)
            && let Some(below) = self.sink(egraph, lower, inner)
        {
            let new = unite(egraph, *arg, below, Pass::Moves);
            // What stands beside the moved elements may keep the lower op from being found.
            return match lower.head == Head::Select || padding(egraph, lower).is_some() {
                true => self.raise(egraph, site) || new,
                false => new,
            };
        }
        self.raise(egraph, site)
    }

    /// Adds the move of the upper op's result, where a rule has that op; whether it was new.
    fn raise(&mut self, egraph: &mut Egraph, site: &Site) -> bool {
        let (arg, lower) = &site.lower;
        let (id, upper) = &site.upper;
        if !site.hoists || !is_elementwise(&upper.head) {
            return false;
        }
        log::begin(egraph);
        log::open(egraph, *id, upper);
        log::open(egraph, *arg, lower);
        match self.hoist(egraph, upper, *arg, lower) {
            Some(above) => unite(egraph, *id, above, Pass::Moves),
            None => false,
        }
    }

    /// A float everywhere the same, infinities included.
    fn literal(&mut self, egraph: &mut Egraph, dtype: DType, value: f64) -> Id {
        match Rational::from_f64(value) {
            Some(value) => constant(egraph, dtype, value),
            None => {
                let op = Op::Const(dtype, Literal::Float(value.to_bits()));
                let opaque = Opaque { op, args: vec![], out: vec![], dtype };
                let number = self.numbers.of(egraph, opaque);
                add(egraph, Head::Opaque(number), &[])
            }
        }
    }

    /// The lower op on moved operands.
    fn sink(&mut self, egraph: &mut Egraph, lower: &Term, inner: &Term) -> Option<Id> {
        if lower.head == Head::Select {
            return self.sink_choice(egraph, lower, inner);
        }
        if let Some((opaque, fill)) = padding(egraph, lower) {
            let Head::Unary(op) = inner.head else { return None };
            let before = preimage(op, fill)?;
            let padded = self.pad(egraph, opaque, inner.args[0], before)?;
            return Some(elementwise(egraph, inner.head.clone(), &[padded]));
        }
        if let Head::Cast = lower.head {
            let (from, to) = (facts(egraph, inner.args[0]).dtype, cast_to(egraph, lower)?);
            // A narrower type would lose digits before the function.
            if to.bytes() < from.bytes() {
                return None;
            }
        }
        below(egraph, lower, inner)
    }

    /// A choice between two results of one function, or between one and a constant that it can give.
    fn sink_choice(&mut self, egraph: &mut Egraph, lower: &Term, inner: &Term) -> Option<Id> {
        let Head::Unary(op) = inner.head else { return None };
        let mut branches = vec![lower.args[0]];
        for &branch in &lower.args[1..] {
            let same = egraph[branch].nodes.iter().find(|n| n.head == inner.head);
            branches.push(match (same, value(egraph, branch)) {
                (Some(term), _) => {
                    log::open(egraph, branch, term);
                    term.args[0]
                }
                (None, Some(value)) => {
                    let dtype = facts(egraph, branch).dtype;
                    self.literal(egraph, dtype, preimage(op, value)?)
                }
                (None, None) => return None,
            });
        }
        let choice = elementwise(egraph, Head::Select, &branches);
        Some(elementwise(egraph, inner.head.clone(), &[choice]))
    }

    /// The move of the upper op's result.
    fn hoist(&mut self, egraph: &mut Egraph, upper: &Term, arg: Id, lower: &Term) -> Option<Id> {
        let mut result = lower.clone();
        for &place in moved(egraph, lower) {
            let x = lower.args[place];
            let mut operands = vec![];
            for &other in &upper.args {
                operands.push(match egraph.find(other) == egraph.find(arg) {
                    true => x,
                    false if lower.head == Head::Select => branch(egraph, lower, other, place),
                    false => before(egraph, lower, other)?,
                });
            }
            result.args[place] = match (value(egraph, x), &upper.head) {
                (Some(value), Head::Unary(op)) => {
                    let value = unary_float(*op, value);
                    if value.is_nan() {
                        return None;
                    }
                    let dtype = facts(egraph, x).dtype;
                    self.literal(egraph, dtype, value)
                }
                _ => elementwise(egraph, upper.head.clone(), &operands),
            };
        }
        if let Some((opaque, fill)) = padding(egraph, lower) {
            let fill = around(egraph, upper, arg, lower, fill)?;
            return self.pad(egraph, opaque, result.args[0], fill);
        }
        apply(egraph, &result)
    }

    /// `x` with `fill` around it, in the way of a pad.
    fn pad(&mut self, egraph: &mut Egraph, mut opaque: Opaque, x: Id, fill: f64) -> Option<Id> {
        let Op::Move(MoveOp::Pad { fill: old, .. }) = &mut opaque.op else { return None };
        *old = Literal::Float(fill.to_bits());
        let wanted = AxisSet::new(opaque.args[0].iter().copied());
        let x = expand_to(egraph, x, &wanted);
        let number = self.numbers.of(egraph, opaque);
        Some(add(egraph, Head::Opaque(number), &[x]))
    }
}

/// Whether two classes, which are sums or products, have a term or factor in common, or one is a part of the other.
fn shares(egraph: &Egraph, a: Id, b: Id) -> bool {
    let (a, b) = (egraph.find(a), egraph.find(b));
    let operands = |id: Id| {
        let terms = egraph[id].nodes.iter().filter(|n| is_arithmetic(&n.head));
        terms.flat_map(|n| n.args.iter().map(|&a| egraph.find(a)))
    };
    let is_part =
        |whole: Id, part: Id| operands(whole).any(|x| x == part || operands(x).any(|y| y == part));
    is_part(a, b) || is_part(b, a) || operands(a).any(|x| operands(b).any(|y| x == y))
}

/// Finds the moves inside a sum or product that a rule expects.
fn nested_sites(egraph: &Egraph, class: Id, expr: &Expr, sites: &mut Vec<Site>) {
    let (Expr::Term(_, inside), Some(upper)) = (expr, direct(egraph, class, expr, DEPTH)) else {
        return;
    };
    for (&arg, expected) in upper.args.iter().zip(inside) {
        let Expr::Term(head, _) = expected else { continue };
        for lower in moves_of(egraph, arg) {
            for &place in moved(egraph, lower) {
                let x = lower.args[place];
                if fits(egraph, x, expected, DEPTH) {
                    sites.push(Site {
                        upper: (class, upper.clone()),
                        lower: (egraph.find(arg), lower.clone()),
                        inner: direct(egraph, x, expected, DEPTH).cloned(),
                        sinks: is_elementwise(head) || is_renamed(lower, head),
                        hoists: true,
                    });
                }
            }
        }
    }
}

/// What a choice by the same condition takes at the same place, or `x` itself.
fn branch(egraph: &Egraph, choice: &Term, x: Id, place: usize) -> Id {
    let same =
        |n: &&Term| n.head == Head::Select && egraph.find(n.args[0]) == egraph.find(choice.args[0]);
    match egraph[x].nodes.iter().find(same) {
        Some(same) => {
            log::open(egraph, x, same);
            same.args[place]
        }
        None => x,
    }
}

/// The upper op of what a pad puts around its operand.
fn around(egraph: &Egraph, upper: &Term, arg: Id, lower: &Term, fill: f64) -> Option<f64> {
    let result = match (&upper.head, upper.args.as_ref()) {
        (Head::Unary(op), _) => unary_float(*op, fill),
        (Head::Binary(op), &[a, b]) => {
            let number = |id: Id| match egraph.find(id) == egraph.find(arg) {
                true => Some(fill),
                false => value(egraph, id).or_else(|| {
                    alike(egraph, lower, id).and_then(|t| padding(egraph, t)).map(|p| p.1)
                }),
            };
            binary_float(*op, number(a)?, number(b)?)
        }
        _ => return None,
    };
    (!result.is_nan()).then_some(result)
}
