//! Rules applied inside longer sums and products.
//!
//! A left side such as `(sub ?z (logsumexp ?S ?z))` matches a term of two operands. Where the two are among more terms
//! of a normal form, the pair is added as a term of its own and the whole as the pair with the rest, so that the rule
//! meets it in the next round; likewise for factors of products.

use crate::build::{constant, elementwise, expand_to, facts};
use crate::condition::Condition;
use crate::facts::{Data, Egraph, rebuild};
use crate::fit::has_function;
use crate::language::{Head, Term};
use crate::normal::{Form, Forms, Product, write, write_product};
use crate::pattern::{Expr, commuted, left_side};
use crate::proof::log::{self, Pass, Reason};
use crate::rational::Rational;
use crate::rules::{Rule, RuleClass};
use egg::{Id, Pattern, Searcher, Subst};
use eggrad_ir::{BinaryOp, DType, UnaryOp};
use std::collections::{HashMap, HashSet};

/// What one operand of a pair has to be.
#[derive(Clone, Debug)]
enum Side {
    /// Anything, under this name.
    Any(egg::Var),
    /// This constant.
    Number(Rational),
    /// What the pattern matches; its head comes first, as a quick check.
    Term(Head, Pattern<Term>, Vec<(egg::Var, Rational)>),
}

/// A left side that is a sum, difference, product or quotient.
#[derive(Clone, Debug)]
struct Pair {
    op: BinaryOp,
    sides: [Side; 2],
    conditions: Vec<Condition>,
}

impl Pair {
    /// Whether two classes are what it asks for, with the same values for variables that both sides name, and its
    /// conditions hold.
    fn agrees(&self, egraph: &Egraph, a: Id, b: Id) -> bool {
        let quick = |side: &Side, id: Id| match side {
            Side::Any(_) => true,
            Side::Number(value) => is_number(egraph, id, *value),
            Side::Term(head, ..) => egraph[id].nodes.iter().any(|n| n.head == *head),
        };
        if !quick(&self.sides[0], a) || !quick(&self.sides[1], b) {
            return false;
        }
        let left = matches(egraph, &self.sides[0], a);
        let right = if left.is_empty() { vec![] } else { matches(egraph, &self.sides[1], b) };
        left.iter().any(|l| {
            right.iter().any(|r| {
                consistent(egraph, l, r) && {
                    let mut subst = Subst::with_capacity(l.len() + r.len());
                    for &(var, id) in l.iter().chain(r) {
                        subst.insert(var, id);
                    }
                    self.conditions.iter().all(|c| c.holds(egraph, &subst))
                }
            })
        })
    }
}

/// Whether a rule speaks of sums, products and signs alone, which the forms of its sides do not tell apart.
fn holds_in_forms(rule: &Rule) -> bool {
    let exact = matches!(rule.class, RuleClass::Exact | RuleClass::Finite);
    exact && rule.conditions.is_empty() && !has_function(&rule.left) && !has_function(&rule.right)
}

/// Left sides of two operands, and what has been tried.
pub(crate) struct Pairs {
    pairs: Vec<Pair>,
    tried: HashSet<(Id, BinaryOp, Id, Id)>,
}

impl Pairs {
    /// Those of `rules`.
    pub(crate) fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Pairs {
        let mut pairs: Vec<Pair> = vec![];
        let rules = rules.filter(|r| !holds_in_forms(r));
        for (rule, expr) in rules.flat_map(|r| commuted(&r.left).into_iter().map(move |l| (r, l))) {
            let Expr::Term(Head::Binary(op), args) = &expr else { continue };
            if !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div) {
                continue;
            }
            let sides = [side(&args[0]), side(&args[1])];
            let specific = sides.iter().filter(|s| matches!(s, Side::Term(..))).count();
            if specific > 0 {
                pairs.push(Pair { op: *op, sides, conditions: rule.conditions.clone() });
            }
        }
        Pairs { pairs, tried: HashSet::new() }
    }

    /// Adds the pairs that some left side matches; how many were new.
    pub(crate) fn extend(&mut self, egraph: &mut Egraph, forms: &Forms) -> usize {
        // Classes that became one have been tried together.
        let find =
            |t: (Id, BinaryOp, Id, Id)| (egraph.find(t.0), t.1, egraph.find(t.2), egraph.find(t.3));
        self.tried = self.tried.drain().map(find).collect();
        let mut classes: HashMap<&Form, Id> = HashMap::new();
        for &id in &forms.classes {
            classes.entry(forms.get(id)).or_insert(id);
        }
        let numbers = self.numbers(egraph, forms);
        let mut found = vec![];
        for &id in &forms.classes {
            // What is constant along some of its axes is looked at without them.
            if egraph[id].nodes.iter().any(|n| n.head == Head::Expand) {
                continue;
            }
            let form = forms.get(id);
            match form.single() {
                Some((product, coefficient)) => {
                    self.factors(egraph, id, product, coefficient, &mut found);
                }
                None => self.terms(egraph, id, form, &classes, &numbers, &mut found),
            }
        }
        let join = |(id, op, a, b, rest): Found| {
            log::begin(egraph);
            forms.open(egraph, id);
            rest.join(egraph, id, op, a, b)
        };
        found.into_iter().map(join).filter(|new| *new).count()
    }

    /// Adds the numbers that left sides name, where a sum has them as its constant up to scale.
    fn numbers(&self, egraph: &mut Egraph, forms: &Forms) -> HashMap<(Rational, DType), Id> {
        let sides = self.pairs.iter().flat_map(|p| &p.sides);
        let named: HashSet<Rational> = sides
            .filter_map(|side| match side {
                Side::Number(value) => Some(*value),
                Side::Any(_) | Side::Term(..) => None,
            })
            .collect();
        let mut numbers = HashMap::new();
        for &id in &forms.classes {
            let form = forms.get(id);
            if form.terms.is_empty() || form.constant.is_zero() {
                continue;
            }
            let dtype = facts(egraph, id).dtype;
            let coefficients = form.terms.iter().filter_map(|t| t.1.abs());
            for scale in coefficients.chain([Rational::ONE]) {
                let number = form.constant.div(scale).and_then(Rational::abs);
                let Some(number) = number.filter(|n| named.contains(n)) else { continue };
                let add = || constant(egraph, dtype, number);
                numbers.entry((number, dtype)).or_insert_with(add);
            }
        }
        rebuild(egraph);
        numbers
    }

    /// Pairs of factors.
    fn factors(
        &mut self,
        egraph: &Egraph,
        id: Id,
        product: &Product,
        coefficient: Rational,
        found: &mut Vec<Found>,
    ) {
        let powers = &product.0;
        for (i, &(a, p)) in powers.iter().enumerate() {
            for (j, &(b, q)) in powers.iter().enumerate() {
                let (op, inverse) = match (p > 0, q > 0) {
                    (true, false) => (BinaryOp::Div, false),
                    (true, true) if i < j => (BinaryOp::Mul, false),
                    (false, false) if i < j => (BinaryOp::Mul, true),
                    _ => continue,
                };
                if i == j || !self.matches(egraph, id, op, a, b) {
                    continue;
                }
                let mut rest = powers.clone();
                rest[i].1 -= p.signum();
                rest[j].1 -= q.signum();
                rest.retain(|r| r.1 != 0);
                found.push((
                    id,
                    op,
                    a,
                    b,
                    Rest::Factors { coefficient, inverse, rest: Product(rest) },
                ));
            }
        }
    }

    /// Pairs of terms, each scaled so that one of them, or the coefficient of one, becomes 1.
    fn terms(
        &mut self,
        egraph: &Egraph,
        id: Id,
        form: &Form,
        classes: &HashMap<&Form, Id>,
        numbers: &HashMap<(Rational, DType), Id>,
        found: &mut Vec<Found>,
    ) {
        let dtype = facts(egraph, id).dtype;
        // The class of a term with a positive coefficient, if there is one.
        let class = |product: &Option<Product>, c: Rational| -> Option<Id> {
            let form = match product {
                None => match numbers.get(&(c, dtype)) {
                    Some(&number) => return Some(number),
                    None => Form { constant: c, terms: vec![] },
                },
                Some(product) if c == Rational::ONE => match product.0.as_slice() {
                    [(atom, 1)] => return Some(*atom),
                    _ => Form { constant: Rational::ZERO, terms: vec![(product.clone(), c)] },
                },
                Some(product) => {
                    Form { constant: Rational::ZERO, terms: vec![(product.clone(), c)] }
                }
            };
            let found = classes.get(&form).copied();
            found.filter(|&id| facts(egraph, id).dtype == dtype)
        };
        let mut list: Vec<(Option<Product>, Rational)> =
            form.terms.iter().map(|(p, c)| (Some(p.clone()), *c)).collect();
        if !form.constant.is_zero() {
            list.push((None, form.constant));
        }
        let positive = |c: Rational| c.to_f64() > 0.0;
        for i in 0..list.len() {
            for j in 0..i {
                let (ci, cj) = (list[i].1, list[j].1);
                let mut scales = vec![Rational::ONE];
                scales.extend([ci.abs(), cj.abs()].into_iter().flatten());
                scales.dedup();
                for scale in scales {
                    for scale in [Some(scale), scale.neg()].into_iter().flatten() {
                        let (Some(a), Some(b)) = (ci.div(scale), cj.div(scale)) else { continue };
                        let (op, first, second) = match (positive(a), positive(b)) {
                            (true, true) => (BinaryOp::Add, (i, a), (j, b)),
                            (true, false) => (BinaryOp::Sub, (i, a), (j, b.neg().unwrap_or(b))),
                            (false, true) => (BinaryOp::Sub, (j, b), (i, a.neg().unwrap_or(a))),
                            (false, false) => continue,
                        };
                        let operand = |(k, c): (usize, Rational)| class(&list[k].0, c);
                        let (Some(a), Some(b)) = (operand(first), operand(second)) else {
                            continue;
                        };
                        if !self.matches(egraph, id, op, a, b) {
                            continue;
                        }
                        let kept = |k: usize| k != i && k != j;
                        let terms = (0..form.terms.len()).filter(|&k| kept(k));
                        let rest = Form {
                            constant: match kept(form.terms.len()) {
                                true => form.constant,
                                false => Rational::ZERO,
                            },
                            terms: terms.map(|k| form.terms[k].clone()).collect(),
                        };
                        found.push((id, op, a, b, Rest::Terms { scale, rest }));
                    }
                }
            }
        }
    }

    /// Whether some left side matches `op` of two classes, and they have not been tried for class `id`.
    fn matches(&mut self, egraph: &Egraph, id: Id, op: BinaryOp, a: Id, b: Id) -> bool {
        let (a, b) = (egraph.find(a), egraph.find(b));
        let fits =
            |x: Id, y: Id| self.pairs.iter().any(|pair| pair.op == op && pair.agrees(egraph, x, y));
        fits(a, b) && self.tried.insert((id, op, a, b))
    }
}

/// A pair in a class, and what is left beside it.
type Found = (Id, BinaryOp, Id, Id, Rest);

enum Rest {
    Factors { coefficient: Rational, inverse: bool, rest: Product },
    Terms { scale: Rational, rest: Form },
}

impl Rest {
    /// Adds the pair, and the whole of class `id` as the pair with the rest; whether that was new.
    fn join(self, egraph: &mut Egraph, id: Id, op: BinaryOp, a: Id, b: Id) -> bool {
        let pair = elementwise(egraph, Head::Binary(op), &[a, b]);
        let binary = |egraph: &mut Egraph, op: BinaryOp, x: Id, y: Id| {
            elementwise(egraph, Head::Binary(op), &[x, y])
        };
        let whole = match self {
            Rest::Factors { coefficient, inverse, rest } => {
                match (rest.0.is_empty() && coefficient == Rational::ONE, inverse) {
                    (true, false) => pair,
                    (_, true) => {
                        let rest = write_product(egraph, coefficient, &rest, id);
                        binary(egraph, BinaryOp::Div, rest, pair)
                    }
                    (false, false) => {
                        let rest = write_product(egraph, coefficient, &rest, id);
                        binary(egraph, BinaryOp::Mul, rest, pair)
                    }
                }
            }
            Rest::Terms { scale, rest } => {
                let dtype = facts(egraph, id).dtype;
                let nothing = rest.terms.is_empty() && rest.constant.is_zero();
                let minus = scale.to_f64() < 0.0;
                let size = if minus { scale.neg().unwrap_or(scale) } else { scale };
                let mut scaled = pair;
                if size != Rational::ONE {
                    let size = constant(egraph, dtype, size);
                    scaled = binary(egraph, BinaryOp::Mul, size, scaled);
                }
                match (nothing, minus) {
                    (true, false) => scaled,
                    (true, true) => elementwise(egraph, Head::Unary(UnaryOp::Neg), &[scaled]),
                    (false, _) => {
                        let rest = write(egraph, &rest, id);
                        let op = if minus { BinaryOp::Sub } else { BinaryOp::Add };
                        binary(egraph, op, rest, scaled)
                    }
                }
            }
        };
        let axes = facts(egraph, id).axes.clone();
        let whole = expand_to(egraph, whole, &axes);
        let reason = Reason::Pass(Pass::Pairs);
        facts(egraph, whole).axes == axes && log::union(egraph, id, whole, reason)
    }
}

fn side(expr: &Expr) -> Side {
    match expr {
        Expr::Var(var) => Side::Any(*var),
        Expr::Number(value) => Side::Number(*value),
        Expr::Term(head, _) => {
            let LeftSideParts { pattern, numbers } = parts(expr);
            Side::Term(head.clone(), pattern, numbers)
        }
        Expr::Attribute(..) => panic!("internal error: an attribute function on a left side"),
    }
}

struct LeftSideParts {
    pattern: Pattern<Term>,
    numbers: Vec<(egg::Var, Rational)>,
}

fn parts(expr: &Expr) -> LeftSideParts {
    let left = left_side(expr);
    LeftSideParts { pattern: left.pattern, numbers: left.numbers }
}

fn is_number(egraph: &Egraph, id: Id, value: Rational) -> bool {
    matches!(&egraph[id].data, Data::Tensor(f) if f.constant == Some(value))
}

fn matches(egraph: &Egraph, side: &Side, id: Id) -> Vec<Vec<(egg::Var, Id)>> {
    match side {
        Side::Any(var) => vec![vec![(*var, id)]],
        Side::Number(_) => vec![vec![]],
        Side::Term(_, pattern, numbers) => {
            let Some(found) = pattern.search_eclass(egraph, id) else { return vec![] };
            let named = |s: &Subst| {
                let vars = pattern.vars();
                let bound = vars.iter().filter(|v| numbers.iter().all(|n| n.0 != **v));
                bound.map(|v| (*v, egraph.find(s[*v]))).collect()
            };
            let holds = |s: &&Subst| numbers.iter().all(|(v, c)| is_number(egraph, s[*v], *c));
            found.substs.iter().filter(holds).map(named).collect()
        }
    }
}

fn consistent(egraph: &Egraph, a: &[(egg::Var, Id)], b: &[(egg::Var, Id)]) -> bool {
    a.iter().all(|(var, id)| b.iter().all(|(v, i)| v != var || egraph.find(*i) == egraph.find(*id)))
}
