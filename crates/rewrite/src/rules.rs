//! Rules as text: `name [class]: left => right if condition(?a); condition(?b, ?c)`.
//!
//! * `left <=> right` is two rules; `left => a == b` says that, where `left` is, `a` and `b` are equal.
//! * A comment line above a row is its reason. Every row has one.
//! * Numbers on the left match any class that is that constant; on the right they have the type of the matched value.
//! * Operands of commutative ops are also matched the other way round; there are no rules for that.
//! * On the right, `(union ?S ?T)`, `(minus ?S ?T)` and `(meet ?S ?T)` are sets of axes, of which `?x` means those of
//!   a tensor, and `(type ?x)` is its element type. Axes that the right side lost are put back.

use crate::axes::AxisSet;
use crate::build::{axes, axes_leaf, constant, expand_to, facts, make, type_leaf};
use crate::condition::Condition;
use crate::facts::{Data, Egraph};
use crate::language::Kind;
use crate::pattern::{
    Attribute, Expr, LeftSide, commuted, commuted_for, expression, has_attributes, has_dot,
    left_side, variables,
};
use crate::proof::log::{self, Reason};
use crate::rational::Rational;
use egg::{Id, Subst, Var};
use std::fmt;
use std::sync::LazyLock;

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
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleError {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
    pub(crate) message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: rule `{}` {}", self.file, self.line, self.rule, self.message)
    }
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
    /// The left side with its commutative operands in every order.
    pub(crate) patterns: Vec<LeftSide>,
    pub(crate) info: RuleInfo,
}

const FILES: &[(&str, &str)] = &[
    ("algebra.rules", include_str!("rules/algebra.rules")),
    ("reduce.rules", include_str!("rules/reduce.rules")),
    ("explog.rules", include_str!("rules/explog.rules")),
    ("functions.rules", include_str!("rules/functions.rules")),
    ("softmax.rules", include_str!("rules/softmax.rules")),
    ("linear.rules", include_str!("rules/linear.rules")),
    ("select.rules", include_str!("rules/select.rules")),
    ("moves.rules", include_str!("rules/moves.rules")),
];

/// All rules that ship.
pub(crate) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut rules = vec![];
    for (file, text) in FILES {
        match parse(file, text) {
            Ok(list) => rules.extend(list),
            Err(error) => panic!("internal error: {error}"),
        }
    }
    rules
});

/// Every rule with its class, text and reason, in the order in which they are tried.
pub fn describe_rules() -> Vec<RuleInfo> {
    let mut list: Vec<RuleInfo> = vec![];
    for rule in RULES.iter() {
        if list.last() != Some(&rule.info) {
            list.push(rule.info.clone());
        }
    }
    list
}

/// Reads a rule file.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Rule>, RuleError> {
    let mut rules: Vec<Rule> = vec![];
    let mut reason = String::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            reason = comment.trim().to_string();
            continue;
        }
        if line.is_empty() {
            reason.clear();
            continue;
        }
        let (name, _) = line.split_once(['[', ':']).unwrap_or((line, ""));
        let name = name.trim();
        let fail = |message: String| RuleError {
            file: file.to_string(),
            line: i + 1,
            rule: name.to_string(),
            message,
        };
        if rules.iter().any(|r| r.info.name == name) {
            return Err(fail("has the name of an earlier rule".into()));
        }
        let reason = std::mem::take(&mut reason);
        rules.extend(row(name, line, reason).map_err(fail)?);
    }
    Ok(rules)
}

fn row(name: &str, line: &str, reason: String) -> Result<Vec<Rule>, String> {
    let (head, body) = line.split_once("]:").ok_or("needs `[class]:` after its name")?;
    let class = head.split_once('[').map(|h| h.1.trim()).unwrap_or("");
    let class = RuleClass::ALL.into_iter().find(|c| c.name() == class);
    let class = class.ok_or("needs one of the classes exact, finite, reassociates, real")?;
    if reason.is_empty() {
        return Err("needs a reason in a comment above it".into());
    }
    let (sides, conditions) = body.split_once(" if ").unwrap_or((body, ""));
    let conditions: Vec<Condition> = conditions
        .split(';')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .map(Condition::parse)
        .collect::<Result<_, _>>()?;
    let info = RuleInfo { name: name.into(), class, text: body.trim().into(), reason };
    let rule = |name: &str, left: &str, right: &str| {
        let (equal, right) = match right.split_once("==") {
            Some((a, b)) => (Some(expression(a)?), b),
            None => (None, right),
        };
        Rule::new(name, &info, expression(left)?, equal, expression(right)?, conditions.clone())
    };
    match body.contains("<=>") {
        true => {
            let (a, b) = sides.split_once("<=>").ok_or("needs a left and a right side")?;
            Ok(vec![rule(name, a, b)?, rule(&format!("{name}-back"), b, a)?])
        }
        false => {
            let (a, b) = sides.split_once("=>").ok_or("needs `=>` between two sides")?;
            Ok(vec![rule(name, a, b)?])
        }
    }
}

impl Rule {
    fn new(
        name: &str,
        info: &RuleInfo,
        left: Expr,
        equal: Option<Expr>,
        right: Expr,
        conditions: Vec<Condition>,
    ) -> Result<Rule, String> {
        let bound = variables(&left);
        let used = [Some(&right), equal.as_ref()].into_iter().flatten().flat_map(variables);
        let used = used.chain(conditions.iter().flat_map(|c| c.args.iter().copied()));
        for var in used {
            if !bound.contains(&var) {
                return Err(format!("uses {var}, which its left side does not bind"));
            }
        }
        if !matches!(left, Expr::Term(..)) || has_attributes(&left) {
            return Err("needs a left side of ops only".into());
        }
        let sides: Vec<&Expr> = [Some(&right), equal.as_ref()].into_iter().flatten().collect();
        let told_apart: Vec<Var> = conditions.iter().flat_map(|c| c.args.clone()).collect();
        // The same contraction twice, with its operands in either order, has two layouts of equal price.
        let patterns = match has_dot(&left) {
            true => commuted(&left),
            false => commuted_for(&left, &sides, &told_apart),
        };
        let patterns = patterns.iter().map(left_side).collect();
        let (name, class, info) = (name.to_string(), info.class, info.clone());
        Ok(Rule { name, class, left, equal, right, conditions, patterns, info })
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
        if l.dtype != r.dtype || l.axes != r.axes {
            let message = format!("rule `{}` makes {r:?} of {l:?}", self.name);
            egraph.analysis.conflict.get_or_insert(message);
            return None;
        }
        Some((left, right))
    }
}

/// Adds an expression; numbers get the type of the value in `class`.
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
