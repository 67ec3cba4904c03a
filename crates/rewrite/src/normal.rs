//! The normal form of sums and products, between rounds of rules.
//!
//! Every class of floats has a form: a constant and terms, each a coefficient and powers of atoms, read through
//! `add sub neg mul div recip square expand`. Classes with equal forms are one. That takes the place of rules for
//! commutativity, associativity and signs, of which an e-graph would never see the end.
//!
//! Note [Ranks]. A class that can be read in several ways is read as the lightest: stable functions weigh less than
//! leaves, leaves less than exponentials and their sums, so that a quotient of exponentials that is known to be a
//! softmax enters the forms of its users as one. Weights speak of ops, never of the numbers of classes, so the order
//! in which a graph was written does not matter.
//!
//! Note [Cancelling]. A difference of equal terms is 0 only where they are finite, a quotient of equal factors 1 only
//! where they are finite and not 0. Elsewhere both stay.

use crate::axes::AxisSet;
use crate::build::{constant, elementwise, expand_to, facts};
use crate::facts::{Data, Egraph};
use crate::language::{Head, Term};
use crate::moves::is_move;
use crate::proof::log::{self, Pass, Reason};
use crate::proof::readings::Readings;
use crate::rational::Rational;
use egg::Id;
use eggrad_ir::{BinaryOp, DType, ReduceOp, UnaryOp};
use std::collections::{BTreeMap, HashMap};

/// Factors a product may have, with multiplicity, and terms a sum; what is larger is an atom.
const MOST_FACTORS: u32 = 12;
const MOST_TERMS: usize = 8;
/// Forms under which a class is compared with others.
const MOST_FORMS: usize = 3;
/// Sweeps over the classes in one pass.
const SWEEPS: usize = 8;

/// Powers of atoms, ascending. An atom that cannot be cancelled may stand there twice, with a positive and a negative
/// power.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Product(pub(crate) Vec<(Id, i32)>);

impl Product {
    fn atom(id: Id) -> Product {
        Product(vec![(id, 1)])
    }

    fn inverse(&self) -> Product {
        let mut powers: Vec<(Id, i32)> = self.0.iter().map(|&(a, p)| (a, -p)).collect();
        powers.sort_unstable();
        Product(powers)
    }

    pub(crate) fn factors(&self) -> u32 {
        self.0.iter().map(|p| p.1.unsigned_abs()).sum()
    }

    /// The product of both, and whether atoms met.
    fn times(&self, other: &Product, egraph: &Egraph) -> Option<(Product, bool)> {
        let mut powers: BTreeMap<(Id, bool), i32> = BTreeMap::new();
        let mut met = false;
        for &(atom, power) in self.0.iter().chain(&other.0) {
            let sum = powers.entry((atom, power < 0)).or_insert(0);
            met |= *sum != 0;
            *sum += power;
        }
        let atoms: Vec<Id> = powers.keys().map(|k| k.0).collect();
        for atom in atoms {
            let (up, down) = (powers.get(&(atom, false)), powers.get(&(atom, true)));
            let (Some(&up), Some(&down)) = (up, down) else { continue };
            let known = facts(egraph, atom);
            if !(known.finite && known.is_nonzero()) {
                continue;
            }
            met = true;
            powers.remove(&(atom, false));
            powers.remove(&(atom, true));
            if up + down != 0 {
                powers.insert((atom, up + down < 0), up + down);
            }
        }
        let mut powers: Vec<(Id, i32)> = powers.into_iter().map(|((a, _), p)| (a, p)).collect();
        powers.sort_unstable();
        let product = Product(powers);
        (product.factors() <= MOST_FACTORS).then_some((product, met))
    }

    /// Whether it is a number wherever its atoms are what is known of them.
    fn finite(&self, egraph: &Egraph) -> bool {
        self.0.iter().all(|&(atom, power)| {
            let known = facts(egraph, atom);
            known.finite && (power > 0 || known.is_nonzero())
        })
    }
}

/// A constant and terms with coefficients, by product; no coefficient is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) constant: Rational,
    pub(crate) terms: Vec<(Product, Rational)>,
}

impl Form {
    fn of_constant(constant: Rational) -> Form {
        Form { constant, terms: vec![] }
    }

    fn atom(id: Id) -> Form {
        Form::of_product(Rational::ONE, Product::atom(id))
    }

    fn of_product(coefficient: Rational, product: Product) -> Form {
        if product.0.is_empty() {
            return Form::of_constant(coefficient);
        }
        Form { constant: Rational::ZERO, terms: vec![(product, coefficient)] }
    }

    /// The only term, where there is no constant.
    pub(crate) fn single(&self) -> Option<(&Product, Rational)> {
        match self.terms.as_slice() {
            [(product, coefficient)] if self.constant.is_zero() => Some((product, *coefficient)),
            _ => None,
        }
    }

    fn scaled(&self, by: Rational) -> Option<Form> {
        if by.is_zero() {
            return None;
        }
        let scale = |(p, c): &(Product, Rational)| Some((p.clone(), c.mul(by)?));
        let terms: Option<Vec<_>> = self.terms.iter().map(scale).collect();
        Some(Form { constant: self.constant.mul(by)?, terms: terms? })
    }

    /// The sum of both, and whether terms met.
    fn plus(&self, other: &Form, egraph: &Egraph) -> Option<(Form, bool)> {
        let mut terms: BTreeMap<Product, Rational> = self.terms.iter().cloned().collect();
        let mut met = !self.constant.is_zero() && !other.constant.is_zero();
        for (product, coefficient) in &other.terms {
            let sum = match terms.get(product) {
                Some(c) => {
                    met = true;
                    c.add(*coefficient)?
                }
                None => *coefficient,
            };
            if !sum.is_zero() {
                terms.insert(product.clone(), sum);
            } else if product.finite(egraph) {
                terms.remove(product);
            } else {
                return None;
            }
        }
        let constant = self.constant.add(other.constant)?;
        let fits = terms.len() <= MOST_TERMS;
        fits.then(|| (Form { constant, terms: terms.into_iter().collect() }, met))
    }

    fn weight(&self, egraph: &Egraph) -> u32 {
        let product = |p: &Product| -> u32 {
            p.0.iter().map(|&(atom, power)| power.unsigned_abs() * rank(egraph, atom)).sum()
        };
        let terms: u32 = self.terms.iter().map(|(p, _)| 1 + product(p)).sum();
        terms + u32::from(!self.constant.is_zero())
    }
}

/// What an atom weighs; Note [Ranks].
fn rank(egraph: &Egraph, atom: Id) -> u32 {
    let weight = |term: &Term| match &term.head {
        Head::Softmax(_)
        | Head::CrossEntropy(_)
        | Head::Reduce(ReduceOp::LogSumExp)
        | Head::Binary(BinaryOp::LogAddExp) => 2,
        Head::Unary(UnaryOp::Exp | UnaryOp::Exp2) => 6,
        Head::Unary(UnaryOp::Log | UnaryOp::Log2) => 5,
        // A power that is a product is read as one.
        Head::Binary(BinaryOp::Pow) => 40,
        Head::Unary(_) => 2,
        Head::Opaque(_) => 3,
        Head::Reduce(_) | Head::Dot => 5,
        _ => 4,
    };
    let nodes = || egraph[atom].nodes.iter().filter(|n| !is_open(&n.head));
    let known = nodes().filter(|n| !is_move(egraph, n)).map(weight).min();
    // A sum that is no term of its own weighs as much as it holds, also where something moves it.
    known.unwrap_or_else(|| match nodes().count() == egraph[atom].nodes.len() {
        true => nodes().map(weight).min().unwrap_or(7),
        false => 7,
    })
}

/// Whether forms look through the head.
fn is_open(head: &Head) -> bool {
    match head {
        Head::Binary(op) => {
            matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div)
        }
        Head::Unary(op) => matches!(op, UnaryOp::Neg | UnaryOp::Recip | UnaryOp::Square),
        Head::Const(..) | Head::Expand => true,
        _ => false,
    }
}

/// The class without what is only spread.
fn bare(egraph: &Egraph, id: Id) -> Id {
    let last = spread_of(egraph, id).map(|(_, term)| egraph.find(term.args[1])).last();
    last.unwrap_or_else(|| egraph.find(id))
}

/// Terms that only spread the next one's class, from `id` on.
fn spread_of(egraph: &Egraph, id: Id) -> impl Iterator<Item = (Id, &Term)> {
    let inside = |id: Id| {
        let id = egraph.find(id);
        let spread = egraph[id].nodes.iter().filter(|n| n.head == Head::Expand);
        let term = spread.min_by_key(|n| facts(egraph, n.args[1]).axes.len())?;
        (egraph.find(term.args[1]) != id).then_some((id, term))
    };
    std::iter::successors(inside(id), move |(_, term)| inside(term.args[1])).take(4)
}

/// As [`spread_of`], of whatever class.
fn spreads(egraph: &Egraph, id: Id) -> Vec<(Id, Term)> {
    match egraph[id].data {
        Data::Tensor(_) => spread_of(egraph, id).map(|(id, term)| (id, term.clone())).collect(),
        Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => vec![],
    }
}

/// A form, its weight, and the reading it comes from.
type Weighed = (Form, u32, usize);

/// Forms of all classes of floats.
pub(crate) struct Forms {
    /// Classes of floats, ascending.
    pub(crate) classes: Vec<Id>,
    /// The lightest form of each class.
    best: HashMap<Id, Weighed>,
    /// Other forms of classes, for comparison.
    others: Vec<(Id, Form, usize)>,
    readings: Readings,
    /// Classes in whose forms equal atoms or terms met, which are therefore shorter than their terms.
    shorter: Vec<Id>,
}

impl Forms {
    /// Reads every class of a rebuilt e-graph.
    pub(crate) fn of(egraph: &Egraph) -> Forms {
        let float = |id: &Id| matches!(&egraph[*id].data, Data::Tensor(f) if f.dtype.is_float());
        let mut classes: Vec<Id> = egraph.classes().map(|c| c.id).filter(float).collect();
        classes.sort_unstable();
        let (best, others, shorter) = (HashMap::new(), vec![], vec![]);
        let readings = Readings::default();
        let mut forms = Forms { classes, best, others, readings, shorter };
        for _ in 0..SWEEPS {
            if !forms.sweep(egraph) {
                break;
            }
        }
        for i in 0..forms.classes.len() {
            let id = forms.classes[i];
            if !forms.best.contains_key(&id) {
                let reading = forms.note(egraph, id, None);
                forms.best.insert(id, (Form::atom(bare(egraph, id)), u32::MAX, reading));
            }
        }
        forms.compare_all(egraph);
        forms
    }

    /// The lightest form of a class, by the number it had when forms were read.
    pub(crate) fn get(&self, id: Id) -> &Form {
        match self.best.get(&id) {
            Some((form, ..)) => form,
            None => panic!("internal error: a class of floats has no form"),
        }
    }

    /// Notes how `class` is read; the number of the reading.
    fn note(&mut self, egraph: &Egraph, class: Id, term: Option<&Term>) -> usize {
        if !log::is_kept(egraph) {
            return 0;
        }
        let args: &[Id] = term.map_or(&[], |t| &t.args);
        let known = |a: &Id| self.best.get(&egraph.find(*a)).map(|b| b.2);
        let operands = args.iter().filter_map(known).collect();
        let spread = args.iter().chain([&class]).flat_map(|&id| spreads(egraph, id)).collect();
        self.readings.note(class, term, operands, spread)
    }

    /// Tells the log by which terms the lightest form of a class was read: they are the left side of a step.
    pub(crate) fn open(&self, egraph: &Egraph, id: Id) {
        if let Some(&(_, _, reading)) = self.best.get(&id) {
            self.readings.tell(egraph, reading, log::open);
        }
    }

    /// Improves forms once; whether any became lighter.
    fn sweep(&mut self, egraph: &Egraph) -> bool {
        let mut changed = false;
        for i in 0..self.classes.len() {
            let id = self.classes[i];
            let mut best = self.best.get(&id).cloned();
            let open: Vec<&Term> = egraph[id].nodes.iter().filter(|n| is_open(&n.head)).collect();
            let known = |n: &Term| !is_open(&n.head) && !is_move(egraph, n);
            let is_atom = open.is_empty() || egraph[id].nodes.iter().any(known);
            let mut refused = is_atom || open.iter().all(|term| self.is_ready(egraph, term));
            for term in open {
                let Some((form, _)) = self.read(egraph, term) else { continue };
                refused = is_atom;
                let weight = form.weight(egraph);
                if best.as_ref().is_none_or(|b| weight < b.1) {
                    best = Some((form, weight, self.note(egraph, id, Some(term))));
                    changed = true;
                }
            }
            if refused {
                let form = Form::atom(bare(egraph, id));
                let weight = form.weight(egraph);
                if best.as_ref().is_none_or(|b| weight < b.1) {
                    best = Some((form, weight, self.note(egraph, id, None)));
                    changed = true;
                }
            }
            if let Some(best) = best {
                self.best.insert(id, best);
            }
        }
        changed
    }

    /// Whether the forms of all operands are known.
    fn is_ready(&self, egraph: &Egraph, term: &Term) -> bool {
        let tensor = |a: &&Id| matches!(egraph[**a].data, Data::Tensor(_));
        term.args.iter().filter(tensor).all(|&a| self.best.contains_key(&egraph.find(a)))
    }

    /// Lists the further forms of every class, and the classes that have a shorter form.
    fn compare_all(&mut self, egraph: &Egraph) {
        for i in 0..self.classes.len() {
            let id = self.classes[i];
            let first = self.others.len();
            let mut shorter = false;
            for term in egraph[id].nodes.iter().filter(|n| is_open(&n.head)) {
                let Some((form, met)) = self.read(egraph, term) else { continue };
                let is_best = form == *self.get(id);
                shorter |= met && is_best;
                let seen = &self.others[first..];
                if !is_best && seen.len() + 1 < MOST_FORMS && seen.iter().all(|o| o.1 != form) {
                    let reading = self.note(egraph, id, Some(term));
                    self.others.push((id, form, reading));
                }
            }
            if shorter {
                self.shorter.push(id);
            }
        }
    }

    /// The form of one term, and whether something met in it.
    fn read(&self, egraph: &Egraph, term: &Term) -> Option<(Form, bool)> {
        let form = |i: usize| self.best.get(&egraph.find(term.args[i])).map(|b| &b.0);
        // A sum is one factor.
        let factor = |i: usize| -> Option<(Product, Rational)> {
            let form = form(i)?;
            match form.single() {
                Some((product, coefficient)) => Some((product.clone(), coefficient)),
                None if form.terms.is_empty() => Some((Product::default(), form.constant)),
                None => Some((Product::atom(bare(egraph, term.args[i])), Rational::ONE)),
            }
        };
        let minus_one = Rational::ZERO.sub(Rational::ONE)?;
        match &term.head {
            Head::Const(_, value) => Some((Form::of_constant(*value), false)),
            Head::Expand => Some((form(1)?.clone(), false)),
            Head::Unary(UnaryOp::Neg) => Some((form(0)?.scaled(minus_one)?, false)),
            Head::Unary(UnaryOp::Recip) => {
                let (product, coefficient) = factor(0)?;
                let coefficient = Rational::ONE.div(coefficient)?;
                Some((Form::of_product(coefficient, product.inverse()), false))
            }
            Head::Unary(UnaryOp::Square) => {
                let (product, coefficient) = factor(0)?;
                let (square, _) = product.times(&product, egraph)?;
                Some((Form::of_product(coefficient.mul(coefficient)?, square), false))
            }
            Head::Binary(BinaryOp::Add) => form(0)?.plus(form(1)?, egraph),
            Head::Binary(BinaryOp::Sub) => form(0)?.plus(&form(1)?.scaled(minus_one)?, egraph),
            Head::Binary(op @ (BinaryOp::Mul | BinaryOp::Div)) => {
                let is_unit = |c: Rational| c.abs() == Some(Rational::ONE);
                let scaled = |by: Rational, i: usize| {
                    let form = form(i)?;
                    // Two numbers become one.
                    let met = !is_unit(by) && form.single().is_some_and(|(_, c)| !is_unit(c));
                    Some((form.scaled(by)?, met))
                };
                let (a, b) = (factor(0)?, factor(1)?);
                let b = match op {
                    BinaryOp::Div => (b.0.inverse(), Rational::ONE.div(b.1)?),
                    _ => b,
                };
                if b.0.0.is_empty() {
                    return scaled(b.1, 0);
                }
                if a.0.0.is_empty() && *op == BinaryOp::Mul {
                    return scaled(a.1, 1);
                }
                let (product, met) = a.0.times(&b.0, egraph)?;
                let coefficient = a.1.mul(b.1)?;
                if coefficient.is_zero() {
                    return None;
                }
                Some((Form::of_product(coefficient, product), met))
            }
            _ => None,
        }
    }
}

/// Classes that were given a term of their form, and the weight of that form.
pub(crate) type Written = HashMap<Id, u32>;

/// Makes classes of equal forms one, and gives classes whose form is shorter than every term of theirs a term as
/// short, unless they were given one before; how many classes were united.
pub(crate) fn unite(egraph: &mut Egraph, forms: &Forms, written: &mut Written) -> usize {
    let mut united = 0;
    *written = written.drain().map(|(id, weight)| (egraph.find(id), weight)).collect();
    let mut known: HashMap<(&Form, DType, AxisSet), (Id, usize)> = HashMap::new();
    let reading = |id: &Id| forms.best.get(id).map_or(0, |b| b.2);
    let best = forms.classes.iter().map(|&id| (id, forms.get(id), reading(&id)));
    let others = forms.others.iter().map(|(id, form, reading)| (*id, form, *reading));
    for (id, form, reading) in best.chain(others) {
        log::begin(egraph);
        let (dtype, axes) = {
            let known = facts(egraph, id);
            (known.dtype, known.axes.clone())
        };
        // What a form says of a class alone.
        let alone = match form.single() {
            Some((Product(powers), Rational::ONE)) => match powers.as_slice() {
                [(atom, 1)] => Some(*atom),
                _ => None,
            },
            _ if form.terms.is_empty() => Some(constant(egraph, dtype, form.constant)),
            _ => None,
        };
        let same = match alone {
            Some(atom) => expand_to(egraph, atom, &axes),
            None => {
                let first = *known.entry((form, dtype, axes.clone())).or_insert((id, reading));
                if egraph.find(first.0) != egraph.find(id) {
                    forms.readings.tell(egraph, first.1, log::open_right);
                }
                first.0
            }
        };
        let alike = {
            let (a, b) = (facts(egraph, id), facts(egraph, same));
            a.dtype == b.dtype && a.axes == b.axes
        };
        if alike && egraph.find(id) != egraph.find(same) {
            forms.readings.tell(egraph, reading, log::open);
            log::union(egraph, id, same, Reason::Pass(Pass::NormalForm));
            united += 1;
        }
    }
    for &id in &forms.shorter {
        let weight = forms.best.get(&id).map_or(0, |b| b.1);
        if written.get(&id).is_some_and(|w| *w <= weight) {
            continue;
        }
        written.insert(id, weight);
        log::begin(egraph);
        let axes = facts(egraph, id).axes.clone();
        let short = write(egraph, forms.get(id), id);
        let short = expand_to(egraph, short, &axes);
        if facts(egraph, short).axes == axes {
            forms.open(egraph, id);
            united += usize::from(log::union(egraph, id, short, Reason::Pass(Pass::NormalForm)));
        }
    }
    united
}

/// Adds a term for `form`, of the element type of `like`.
pub(crate) fn write(egraph: &mut Egraph, form: &Form, like: Id) -> Id {
    let dtype = facts(egraph, like).dtype;
    let negative = |c: Rational| c.to_f64() < 0.0;
    let mut sum: Option<Id> = None;
    // Terms to be added come first.
    let mut terms: Vec<(Option<&Product>, Rational)> =
        form.terms.iter().map(|(p, c)| (Some(p), *c)).collect();
    if !form.constant.is_zero() || terms.is_empty() {
        terms.push((None, form.constant));
    }
    terms.sort_by_key(|t| negative(t.1));
    for (product, coefficient) in terms {
        let minus = negative(coefficient) && sum.is_some();
        let scale = if minus { coefficient.neg().unwrap_or(coefficient) } else { coefficient };
        let value = match product {
            None => constant(egraph, dtype, scale),
            Some(product) => write_product(egraph, scale, product, like),
        };
        let op = if minus { BinaryOp::Sub } else { BinaryOp::Add };
        sum = Some(match sum {
            None => value,
            Some(sum) => elementwise(egraph, Head::Binary(op), &[sum, value]),
        });
    }
    match sum {
        Some(sum) => sum,
        None => panic!("internal error: a form without terms"),
    }
}

/// Adds a term for a coefficient times a product.
pub(crate) fn write_product(
    egraph: &mut Egraph,
    coefficient: Rational,
    product: &Product,
    like: Id,
) -> Id {
    let dtype = facts(egraph, like).dtype;
    let side = |egraph: &mut Egraph, sign: i32| -> Option<Id> {
        let mut result: Option<Id> = None;
        for &(atom, power) in product.0.iter().filter(|p| p.1.signum() == sign) {
            let mut left = power.unsigned_abs();
            while left > 0 {
                let (factor, taken) = match left {
                    1 => (atom, 1),
                    _ => (elementwise(egraph, Head::Unary(UnaryOp::Square), &[atom]), 2),
                };
                left -= taken;
                result = Some(match result {
                    None => factor,
                    Some(r) => elementwise(egraph, Head::Binary(BinaryOp::Mul), &[r, factor]),
                });
            }
        }
        result
    };
    let (up, down) = (side(egraph, 1), side(egraph, -1));
    let minus_one = Rational::ZERO.sub(Rational::ONE);
    let scaled = |egraph: &mut Egraph, x: Id| {
        if coefficient == Rational::ONE {
            x
        } else if Some(coefficient) == minus_one {
            elementwise(egraph, Head::Unary(UnaryOp::Neg), &[x])
        } else {
            let c = constant(egraph, dtype, coefficient);
            elementwise(egraph, Head::Binary(BinaryOp::Mul), &[c, x])
        }
    };
    match (up, down) {
        (None, None) => constant(egraph, dtype, coefficient),
        (Some(up), None) => scaled(egraph, up),
        (None, Some(down)) => {
            let one = elementwise(egraph, Head::Unary(UnaryOp::Recip), &[down]);
            scaled(egraph, one)
        }
        (Some(up), Some(down)) => {
            let quotient = elementwise(egraph, Head::Binary(BinaryOp::Div), &[up, down]);
            scaled(egraph, quotient)
        }
    }
}
