//! Checks a rule by itself: its left side on random tensors that satisfy its conditions, both sides in `f64`, and
//! their derivatives.

use crate::condition::Condition;
use crate::draws::Draws;
use crate::facts::rebuild;
use crate::rules::Rule;
use crate::sides::{Counterexample, Sides};
use crate::terms::{Among, draw_left};
use egg::Searcher;
use eggrad_ir::DType;

/// Matches that must agree before a rule counts as checked.
const WANTED: usize = 60;
/// Draws after which a rule that was not matched often enough has failed.
const ATTEMPTS: usize = 80_000;
/// Matches that differ among which the one with the fewest numbers is shown.
const SHOWN_OF: usize = 20;

/// What one match of a rule is.
pub(crate) enum Met {
    /// Two sides to compare.
    Sides(Box<Sides>),
    /// Two sides of other axes.
    Misfit,
}

/// What one match of a rule showed.
#[derive(Debug)]
pub(crate) enum Outcome {
    Equal,
    Different(Counterexample),
}

/// Draws a left side: what the rule makes of it when it matches with all of its conditions, and at least one of
/// `dropped` is broken.
pub(crate) fn meet(
    rule: &Rule,
    dropped: &[Condition],
    among: Among,
    dtype: DType,
    draws: &mut Draws,
) -> Option<Met> {
    let drawn = draw_left(rule, among, dtype, draws)?;
    let (mut egraph, left) = (drawn.egraph, drawn.left);
    for side in &rule.patterns {
        let Some(found) = side.pattern.search_eclass(&egraph, left) else { continue };
        for subst in found.substs {
            if !rule.holds(&egraph, left, &side.numbers, &subst) {
                continue;
            }
            if !dropped.is_empty() && dropped.iter().all(|c| c.holds(&egraph, &subst)) {
                continue;
            }
            let sides = rule.sides(&mut egraph, left, &subst);
            rebuild(&mut egraph);
            let Some((l, r)) = sides else {
                match egraph.analysis.conflict.is_some() {
                    true => return Some(Met::Misfit),
                    false => continue,
                }
            };
            if egraph.find(l) != egraph.find(r) {
                // What was matched may be other than what was drawn: operands change places.
                let variables = drawn.variables.iter().map(|(var, id, inputs)| {
                    let id = subst.get(*var).copied().unwrap_or(*id);
                    let drawn = drawn.variables.iter();
                    let made = drawn.clone().find(|d| egraph.find(d.1) == egraph.find(id));
                    (*var, id, made.map_or(inputs.clone(), |d| d.2.clone()))
                });
                let variables = variables.collect();
                return Some(Met::Sides(Box::new(Sides { egraph, sides: [l, r], variables })));
            }
        }
    }
    None
}

/// Draws a left side and compares what the rule makes of it.
pub(crate) fn attempt(rule: &Rule, dropped: &[Condition], draws: &mut Draws) -> Option<Outcome> {
    Some(match meet(rule, dropped, Among::Terms, DType::F64, draws)? {
        Met::Misfit => {
            let text = "gives its right side axes that its left side has not".to_string();
            // Values that differ say more.
            Outcome::Different(Counterexample { numbers: usize::MAX, text })
        }
        Met::Sides(sides) => match sides.difference(!dropped.is_empty(), draws) {
            None => Outcome::Equal,
            Some(counterexample) => Outcome::Different(counterexample),
        },
    })
}

/// Checks a rule on random tensors: an error says how it failed.
pub(crate) fn check(rule: &Rule) -> Result<(), String> {
    check_in(rule, ATTEMPTS)
}

/// As [`check`], with at most so many draws.
pub(crate) fn check_in(rule: &Rule, attempts: usize) -> Result<(), String> {
    let mut draws = Draws::new(7);
    let (mut equal, mut differing) = (0, 0);
    let mut smallest: Option<Counterexample> = None;
    for attempt_number in 0..attempts {
        match attempt(rule, &[], &mut draws) {
            Some(Outcome::Equal) => equal += 1,
            Some(Outcome::Different(found)) => {
                differing += 1;
                if smallest.as_ref().is_none_or(|s| found.numbers < s.numbers) {
                    smallest = Some(found);
                }
            }
            None => {}
        }
        // Once it has failed, a little more is drawn for an example that is easier to read.
        if differing == SHOWN_OF || (differing > 0 && attempt_number % 1000 == 999) {
            break;
        }
        if equal >= WANTED && differing == 0 {
            return Ok(());
        }
    }
    match (smallest, equal) {
        (Some(counterexample), _) => Err(counterexample.text),
        (None, 0) => Err(format!(
            "is never met: of {attempts} random left sides none was one, with its conditions, whose sides differ"
        )),
        (None, met) => Err(format!(
            "is met too rarely to be checked: by {met} of {attempts} random left sides, where {WANTED} are asked for"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Asks;
    use crate::rule_set::RuleSet;

    /// Conditions without which a rule would be wrong; the others say where it is worth while.
    fn needed(asks: Asks) -> bool {
        match asks {
            Asks::Disjoint
            | Asks::Subset
            | Asks::NonZero
            | Asks::Positive
            | Asks::NonNegative
            | Asks::Integer
            | Asks::Finite
            | Asks::Simplex
            | Asks::InRange => true,
            Asks::SameAxes
            | Asks::Smaller
            | Asks::Contracts
            | Asks::Constant
            | Asks::Number
            | Asks::Shares
            | Asks::Moderate
            | Asks::Wide
            | Asks::Small
            | Asks::Unit
            | Asks::Fixed
            | Asks::Frozen
            | Asks::Changes => false,
        }
    }

    #[test]
    fn every_rule_holds() {
        let rules = RuleSet::standard();
        let failure = |r: &Rule| check(r).err().map(|e| format!("`{}` {e}", r.name));
        let failures: Vec<String> = rules.rules().iter().filter_map(failure).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    #[test]
    fn every_condition_matters() {
        let mut useless = vec![];
        for rule in RuleSet::standard().rules() {
            for (i, condition) in rule.conditions.iter().enumerate() {
                // A pick along rows that both have is as true; it would hide cross-entropy.
                let worth = rule.name == "dot-one-hot" && condition.asks == Asks::Disjoint;
                if worth || !needed(condition.asks) {
                    continue;
                }
                let mut weaker = rule.clone();
                weaker.conditions.remove(i);
                let mut draws = Draws::new(11);
                let broken = std::slice::from_ref(condition);
                let mut outcomes =
                    (0..ATTEMPTS).filter_map(|_| attempt(&weaker, broken, &mut draws)).take(400);
                if !outcomes.any(|o| matches!(o, Outcome::Different(_))) {
                    useless.push(format!("`{}` needs no {condition:?}", rule.name));
                }
            }
        }
        assert!(useless.is_empty(), "{}", useless.join("\n"));
    }
}
