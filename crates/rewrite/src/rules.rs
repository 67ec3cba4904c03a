//! Rules: what they match, and what they make of it.

use crate::axes::AxisSet;
use crate::build::{axes, axes_leaf, constant, expand_to, facts, make, type_leaf};
use crate::condition::Condition;
use crate::facts::{Data, Egraph};
use crate::language::Kind;
use crate::pattern::{
    Attribute, Expr, LeftSide, commuted, commuted_for, commuting, has_attributes, has_dot,
    left_side, ops,
};
use crate::proof::log::{self, Reason};
use crate::rational::Rational;
use crate::sorts::{Sort, asks_what_is, bind, fits};
use egg::{Id, Subst, Var};
use std::collections::BTreeMap;

/// Commutative ops that the sides of a rule may have together: left sides are matched in every order of these.
const MOST_COMMUTING: usize = 12;

/// How much of the values a rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleClass {
    /// Every bit, of NaN, infinities and zeros too.
    Exact,
    /// Every bit unless something is infinite, NaN or a signed zero.
    Finite,
    /// Equal in real arithmetic; rounds elsewhere.
    Reassociates,
    /// Equal over the reals where the condition holds; better behaved in floats.
    Real,
}

impl RuleClass {
    /// Every class.
    pub const ALL: [RuleClass; 4] =
        [RuleClass::Exact, RuleClass::Finite, RuleClass::Reassociates, RuleClass::Real];

    /// Name in rule files.
    pub fn name(self) -> &'static str {
        match self {
            RuleClass::Exact => "exact",
            RuleClass::Finite => "finite",
            RuleClass::Reassociates => "reassociates",
            RuleClass::Real => "real",
        }
    }
}

/// One rule, as documentation shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Name of the identity.
    pub name: String,
    /// What it keeps.
    pub class: RuleClass,
    /// The row without name and class.
    pub text: String,
    /// Why it holds or what it is for.
    pub reason: String,
    /// Where it comes from: what it follows from, or who wrote about it.
    pub source: Option<String>,
    /// The file it stands in.
    pub file: String,
    /// Its line there.
    pub line: usize,
}

/// A directed rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) class: RuleClass,
    pub(crate) left: Expr,
    /// What becomes equal to `right`, when that is not the left side.
    pub(crate) equal: Option<Expr>,
    pub(crate) right: Expr,
    pub(crate) conditions: Vec<Condition>,
    /// What its variables stand for.
    pub(crate) sorts: BTreeMap<Var, Sort>,
    /// The left side with its commutative operands in every order.
    pub(crate) patterns: Vec<LeftSide>,
    pub(crate) info: RuleInfo,
}

impl Rule {
    pub(crate) fn new(
        name: &str,
        info: &RuleInfo,
        left: Expr,
        equal: Option<Expr>,
        right: Expr,
        conditions: Vec<Condition>,
    ) -> Result<Rule, String> {
        if !matches!(left, Expr::Term(..)) || has_attributes(&left) {
            return Err("needs a left side of ops only".into());
        }
        let sides: Vec<&Expr> = [Some(&right), equal.as_ref()].into_iter().flatten().collect();
        let sorts = bind(&left)?;
        sides.iter().try_for_each(|side| fits(side, &sorts))?;
        conditions.iter().try_for_each(|c| asks_what_is(c, &sorts))?;
        if commuting(&left) + sides.iter().map(|s| commuting(s)).sum::<usize>() > MOST_COMMUTING {
            return Err(format!("has more than {MOST_COMMUTING} commutative ops"));
        }
        let told_apart: Vec<Var> = conditions.iter().flat_map(|c| c.args.clone()).collect();
        // The same contraction twice, with its operands in either order, has two layouts of equal price.
        let patterns = match has_dot(&left) {
            true => commuted(&left),
            false => commuted_for(&left, &sides, &told_apart),
        };
        let patterns = patterns.iter().map(left_side).collect();
        let (name, class, info) = (name.to_string(), info.class, info.clone());
        Ok(Rule { name, class, left, equal, right, conditions, sorts, patterns, info })
    }

    /// Whether it keeps the bits and its right side has no more ops than its left.
    pub(crate) fn simplifies(&self) -> bool {
        let exact = matches!(self.class, RuleClass::Exact | RuleClass::Finite);
        exact && self.equal.is_none() && ops(&self.right) <= ops(&self.left)
    }

    /// Makes the two sides equal for one match of `side`; `None` when it does not apply, else whether that was new.
    pub(crate) fn apply(
        &self,
        egraph: &mut Egraph,
        class: Id,
        side: &LeftSide,
        subst: &Subst,
    ) -> Option<bool> {
        if !self.holds(egraph, class, &side.numbers, subst) {
            return None;
        }
        log::begin_match(egraph, side, subst);
        let (left, right) = self.sides(egraph, class, subst)?;
        Some(log::union(egraph, left, right, Reason::Rule(self)))
    }

    /// Whether the conditions hold: those written, the numbers, and that the matched value is a float.
    pub(crate) fn holds(
        &self,
        egraph: &Egraph,
        class: Id,
        numbers: &[(Var, Rational)],
        subst: &Subst,
    ) -> bool {
        let is = |&(var, value): &(Var, Rational)| matches!(&egraph[subst[var]].data, Data::Tensor(f) if f.constant == Some(value));
        facts(egraph, class).dtype.is_float()
            && numbers.iter().all(is)
            && self.conditions.iter().all(|c| c.holds(egraph, subst))
    }

    /// Adds both sides for a match in `class`, and gives the right one the axes of the left.
    pub(crate) fn sides(&self, egraph: &mut Egraph, class: Id, subst: &Subst) -> Option<(Id, Id)> {
        let left = match &self.equal {
            Some(equal) => instantiate(egraph, equal, subst, class)?,
            None => class,
        };
        let right = instantiate(egraph, &self.right, subst, class)?;
        let wanted = facts(egraph, left).axes.clone();
        let right = expand_to(egraph, right, &wanted);
        let (l, r) = (facts(egraph, left), facts(egraph, right));
        // Numbers have the type of what was matched; where that does not fit, the rule does not.
        if l.dtype != r.dtype {
            return None;
        }
        if l.axes != r.axes {
            let message = format!("rule `{}` makes {:?} of {:?}", self.name, r.axes, l.axes);
            egraph.analysis.conflict.get_or_insert(message);
            return None;
        }
        Some((left, right))
    }
}

/// Whether all floats among `ids` have one element type.
fn of_one_type(egraph: &Egraph, ids: &[Id]) -> bool {
    let dtype = |id: &Id| match &egraph[*id].data {
        Data::Tensor(facts) => Some(facts.dtype).filter(|d| d.is_float()),
        Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => None,
    };
    let mut types = ids.iter().filter_map(dtype);
    let first = types.next();
    types.all(|t| Some(t) == first)
}

/// Adds an expression; numbers get the type of the value in `class`. `None` where operands do not fit.
pub(crate) fn instantiate(
    egraph: &mut Egraph,
    expr: &Expr,
    subst: &Subst,
    class: Id,
) -> Option<Id> {
    match expr {
        Expr::Var(var) => Some(subst[*var]),
        Expr::Number(value) => {
            let dtype = facts(egraph, class).dtype;
            Some(constant(egraph, dtype, *value))
        }
        Expr::Term(head, args) => {
            let mut ids = vec![];
            for (arg, kind) in args.iter().zip(head.takes()) {
                let id = instantiate(egraph, arg, subst, class)?;
                ids.push(match (kind, &egraph[id].data) {
                    // A tensor where axes are expected stands for its axes.
                    (Kind::Axes, Data::Tensor(facts)) => {
                        let axes = facts.axes.clone();
                        axes_leaf(egraph, axes)
                    }
                    _ => id,
                });
            }
            if !of_one_type(egraph, &ids) {
                return None;
            }
            make(egraph, head.clone(), &ids)
        }
        Expr::Attribute(function, args) => {
            let mut ids = vec![];
            for arg in args {
                ids.push(instantiate(egraph, arg, subst, class)?);
            }
            let set = |egraph: &Egraph, i: usize| -> AxisSet { axes(egraph, ids[i]) };
            Some(match function {
                Attribute::Type => {
                    let dtype = facts(egraph, ids[0]).dtype;
                    type_leaf(egraph, dtype)
                }
                Attribute::Power => {
                    let known = facts(egraph, ids[0]);
                    let (dtype, value) = (known.dtype, known.constant?);
                    let power = (-value.to_f64().abs().log2().floor()).exp2();
                    constant(egraph, dtype, Rational::from_f64(power)?)
                }
                Attribute::Union => {
                    let result = set(egraph, 0).union(&set(egraph, 1));
                    axes_leaf(egraph, result)
                }
                Attribute::Minus => {
                    let result = set(egraph, 0).minus(&set(egraph, 1));
                    axes_leaf(egraph, result)
                }
                Attribute::Meet => {
                    let result = set(egraph, 0).meet(&set(egraph, 1));
                    axes_leaf(egraph, result)
                }
            })
        }
    }
}
