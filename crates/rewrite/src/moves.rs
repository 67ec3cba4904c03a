//! Moves functions through what only moves elements, where a rule waits on the other side.
//!
//! Rules match ops that read each other. Where a reshape, slice, pad, window, gather, cast, choice, renaming or
//! `stop_gradient` stands between two ops of a left side, as in `log(slice(softmax(x)))`, one of two equal forms is
//! added: the lower op on moved operands (`f(slice(exp(x)))` holds `f(exp(slice(x)))`), or, where that op mixes
//! elements, the upper op before the move (`slice(log(softmax(x)))`). Nothing else is moved, so that e-graphs stay
//! small; extraction decides which form is computed.

use crate::axes::{Axis, AxisSet};
use crate::build::{
    axes_leaf, constant, elementwise, expand_to, facts, make, positional, rename, strip,
};
use crate::facts::{Data, Egraph};
use crate::language::{Head, Opaque, Term};
use crate::pattern::{Expr, commuted, variables};
use crate::rational::Rational;
use crate::rules::Rule;
use crate::slices::cut;
use egg::{Id, Var};
use eggrad_interp::scalar::unary_float;
use eggrad_ir::{BinaryOp, DType, Literal, MarkOp, MoveOp, Op, UnaryOp};
use std::collections::{HashMap, HashSet};

/// Moves that are looked through, one inside the other.
const DEPTH: usize = 4;
/// Moves in one class that are looked through.
const WAYS: usize = 4;

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

/// Ops that normal forms see through: a left side matches inside their sums and products.
fn is_arithmetic(head: &Head) -> bool {
    use BinaryOp::{Add, Div, Mul, Sub};
    matches!(head, Head::Binary(Add | Sub | Mul | Div) | Head::Unary(UnaryOp::Neg))
}

/// Whether an expression holds an op other than sums and products.
fn has_function(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Number(_) => false,
        Expr::Term(head, args) => !is_arithmetic(head) || args.iter().any(has_function),
        Expr::Attribute(_, args) => args.iter().any(has_function),
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

/// Whether other names are given to a value that an op made of rows.
fn is_renamed(lower: &Term, head: &Head) -> bool {
    lower.head == Head::Rename && matches!(head, Head::Reduce(_) | Head::Softmax(_))
}

/// Which operands a term moves; none where it does more than that.
fn moved(egraph: &Egraph, term: &Term) -> &'static [usize] {
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
fn moves_of<'a>(egraph: &'a Egraph, id: Id) -> impl Iterator<Item = &'a Term> {
    egraph[id].nodes.iter().filter(|n| is_move(egraph, n)).take(WAYS)
}

/// Whether a class may match an expression, perhaps through moves.
fn fits(egraph: &Egraph, id: Id, expr: &Expr, depth: usize) -> bool {
    match expr {
        Expr::Var(_) | Expr::Attribute(..) => true,
        Expr::Number(value) => {
            matches!(&egraph[id].data, Data::Tensor(f) if f.constant == Some(*value))
        }
        Expr::Term(..) => {
            direct(egraph, id, expr, depth).is_some()
                || depth > 0
                    && moves_of(egraph, id).any(|term| {
                        let places = moved(egraph, term);
                        places.iter().any(|&p| fits(egraph, term.args[p], expr, depth - 1))
                    })
        }
    }
}

/// The term of a class that has the op of an expression and may match it.
fn direct<'a>(egraph: &'a Egraph, id: Id, expr: &Expr, depth: usize) -> Option<&'a Term> {
    let Expr::Term(head, args) = expr else { return None };
    let fit = |term: &&Term| {
        term.head == *head
            && term.args.iter().zip(args).all(|(&id, expr)| fits(egraph, id, expr, depth))
    };
    egraph[id].nodes.iter().find(fit)
}

/// Values of variables, beside those known, with which a class matches an expression.
fn bindings(egraph: &Egraph, id: Id, expr: &Expr, known: Vec<(Var, Id)>) -> Vec<Vec<(Var, Id)>> {
    match expr {
        Expr::Var(var) => match known.iter().find(|k| k.0 == *var) {
            Some(&(_, other)) if egraph.find(other) != egraph.find(id) => vec![],
            Some(_) => vec![known],
            None => vec![[known, vec![(*var, id)]].concat()],
        },
        Expr::Number(_) => match fits(egraph, id, expr, 0) {
            true => vec![known],
            false => vec![],
        },
        Expr::Term(head, args) => {
            let mut all = vec![];
            for term in egraph[id].nodes.iter().filter(|n| n.head == *head) {
                let mut found = vec![known.clone()];
                for (&id, expr) in term.args.iter().zip(args) {
                    let longer = found.into_iter().flat_map(|k| bindings(egraph, id, expr, k));
                    found = longer.collect();
                }
                all.extend(found);
            }
            all
        }
        Expr::Attribute(..) => vec![],
    }
}

/// Whether an expression reads several elements to make one.
fn mixes(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Number(_) => false,
        Expr::Term(Head::Reduce(_) | Head::Softmax(_) | Head::CrossEntropy(_) | Head::Dot, _) => {
            true
        }
        Expr::Term(_, args) | Expr::Attribute(_, args) => args.iter().any(mixes),
    }
}

/// The value that a constant has everywhere.
fn value(egraph: &Egraph, id: Id) -> Option<f64> {
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
            if let Expr::Term(inner, inside) = arg {
                if is_arithmetic(inner) && inside.iter().any(plain) {
                    self.nested.entry(head.clone()).or_default().push(arg.clone());
                }
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

    /// Whether a rule matches a term of two operands before the move that one or both of them hold.
    fn joins(&self, egraph: &Egraph, term: &Term, arg: Id, lower: &Term) -> bool {
        let (&[a, b], &[place]) = (term.args.as_ref(), moved(egraph, lower)) else { return false };
        let mut rules = self.joint.iter().filter(|(head, _)| *head == term.head).peekable();
        if rules.peek().is_none() {
            return false;
        }
        let side = |id: Id| match egraph.find(id) == egraph.find(arg) {
            true => Some(strip(egraph, lower.args[place])),
            false => unmoved(egraph, lower, id).map(|x| strip(egraph, x)),
        };
        let (Some(a), Some(b)) = (side(a), side(b)) else { return false };
        rules.any(|(_, [left, right])| {
            let found = bindings(egraph, a, left, vec![]);
            found.into_iter().any(|known| !bindings(egraph, b, right, known).is_empty())
        })
    }

    /// Adds the form of a site; whether it was new.
    fn settle(&mut self, egraph: &mut Egraph, site: &Site) -> bool {
        let (arg, lower) = &site.lower;
        if let (true, Some(inner)) = (site.sinks, &site.inner) {
            if let Some(below) = self.sink(egraph, lower, inner) {
                let new = unite(egraph, *arg, below);
                // What stands beside the moved elements may keep the lower op from being found.
                if lower.head != Head::Select && padding(egraph, lower).is_none() {
                    return new;
                }
                return self.raise(egraph, site) || new;
            }
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
        match self.hoist(egraph, upper, *arg, lower) {
            Some(above) => unite(egraph, *id, above),
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
                egraph.add(Term::leaf(Head::Opaque(number)))
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
                (Some(term), _) => term.args[0],
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
        Some(egraph.add(Term::new(Head::Opaque(number), &[x])))
    }
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
    egraph[x].nodes.iter().find(same).map_or(x, |n| n.args[place])
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
            eggrad_interp::scalar::binary_float(*op, number(a)?, number(b)?)
        }
        _ => return None,
    };
    (!result.is_nan()).then_some(result)
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

fn cast_to(egraph: &Egraph, cast: &Term) -> Option<DType> {
    match &egraph[cast.args[0]].data {
        Data::Type(dtype) => Some(*dtype),
        Data::Axes(_) | Data::Renaming(_) | Data::Tensor(_) => None,
    }
}

/// Axes along which a move changes positions, on either side of it; `None` where no operand but the moved one can
/// stand on both.
fn changed_axes(egraph: &Egraph, lower: &Term) -> Option<AxisSet> {
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

fn axes_of(egraph: &Egraph, id: Id) -> AxisSet {
    crate::build::axes(egraph, id)
}

/// `x` after the move: itself where it is constant along what the move changes.
fn move_operand(egraph: &mut Egraph, lower: &Term, x: Id) -> Option<Id> {
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
fn before(egraph: &mut Egraph, lower: &Term, x: Id) -> Option<Id> {
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
fn unmoved(egraph: &Egraph, lower: &Term, x: Id) -> Option<Id> {
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
    pairs.all(|(a, b)| a == b || !present.has(a)).then_some(inside)
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
fn alike<'a>(egraph: &'a Egraph, lower: &Term, x: Id) -> Option<&'a Term> {
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
fn apply(egraph: &mut Egraph, term: &Term) -> Option<Id> {
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

/// Makes two classes one if they have the same axes; whether they were two.
pub(crate) fn unite(egraph: &mut Egraph, id: Id, same: Id) -> bool {
    let axes = facts(egraph, id).axes.clone();
    let same = expand_to(egraph, same, &axes);
    let (a, b) = (facts(egraph, id), facts(egraph, same));
    a.axes == b.axes && a.dtype == b.dtype && egraph.union(id, same)
}
