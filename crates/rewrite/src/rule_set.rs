//! Sets of rules: those that ship, and those that a user adds to them.

use crate::check::check;
use crate::rows::{RuleError, parse};
use crate::rules::{Rule, RuleInfo};
use std::fmt;
use std::sync::{Arc, LazyLock};

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

/// The rules that ship.
static STANDARD: LazyLock<RuleSet> = LazyLock::new(|| {
    let mut rules: Vec<Rule> = vec![];
    for (file, text) in FILES {
        let (list, errors) = parse(file, text, |name| place(&rules, name));
        if let Some(error) = errors.first() {
            panic!("internal error: {error}");
        }
        rules.extend(list);
    }
    RuleSet { rules: rules.into() }
});

/// The rules that a graph is rewritten by. Cheap to clone.
///
/// Only rules that ship and rules that passed a check are in a set.
#[derive(Clone)]
pub struct RuleSet {
    rules: Arc<[Rule]>,
}

/// Everything that is wrong with a file of rules, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleErrors(pub Vec<RuleError>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleErrors {}

impl RuleSet {
    /// The rules that ship.
    pub fn standard() -> RuleSet {
        STANDARD.clone()
    }

    /// These rules and those of `text`, rows as in `rules/*.rules`; `file` is its name in messages.
    ///
    /// Every new rule is first checked by numbers: its left side is drawn at random, with the special values on which
    /// identities tend to break, where its conditions hold, and both sides and their derivatives are computed in `f64`.
    /// A rule that holds in all draws may still be wrong: every compile compares the graph it made with the graph as
    /// written, on random data.
    ///
    /// # Errors
    /// Rows that cannot be read, names that are taken, rules that do not hold, with values that show it, and rules
    /// that random left sides never or too rarely meet: all of the file at once.
    pub fn with(&self, file: &str, text: &str) -> Result<RuleSet, RuleErrors> {
        let (added, mut errors) = parse(file, text, |name| place(&self.rules, name));
        for rule in &added {
            let RuleInfo { name, file, line, .. } = &rule.info;
            if let Err(message) = check(rule) {
                let (file, rule) = (file.clone(), name.clone());
                errors.push(RuleError { file, line: *line, rule, message });
            }
        }
        if errors.is_empty() {
            let rules = self.rules.iter().cloned().chain(added).collect();
            return Ok(RuleSet { rules });
        }
        errors.sort_by_key(|e| e.line);
        Err(RuleErrors(errors))
    }

    /// Every rule with its class, text, reason and source, in the order in which they are tried.
    pub fn describe(&self) -> Vec<RuleInfo> {
        let mut list: Vec<RuleInfo> = vec![];
        for rule in self.rules.iter() {
            if list.last() != Some(&rule.info) {
                list.push(rule.info.clone());
            }
        }
        list
    }

    /// Names of the rules that do not ship.
    pub(crate) fn added(&self) -> Vec<String> {
        let added = self.rules.iter().filter(|r| !STANDARD.rules.iter().any(|s| s.info == r.info));
        added.map(|r| r.name.clone()).collect()
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Rules nobody has checked.
    #[cfg(test)]
    pub(crate) fn unchecked(text: &str) -> RuleSet {
        let (rules, errors) = parse("planted.rules", text, |_| None);
        assert!(errors.is_empty(), "{errors:?}");
        RuleSet { rules: rules.into() }
    }
}

/// Where the rule called `name` stands.
fn place(rules: &[Rule], name: &str) -> Option<String> {
    let rule = rules.iter().find(|r| r.name == name || r.info.name == name)?;
    Some(format!("in {}:{}", rule.info.file, rule.info.line))
}

impl Default for RuleSet {
    fn default() -> RuleSet {
        RuleSet::standard()
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSet({} rules)", self.rules.len())
    }
}

impl PartialEq for RuleSet {
    /// Whether the rules are the same, in order, by name and text.
    fn eq(&self, other: &RuleSet) -> bool {
        let pairs = || self.rules.iter().zip(other.rules.iter());
        Arc::ptr_eq(&self.rules, &other.rules)
            || self.rules.len() == other.rules.len() && pairs().all(|(a, b)| a.info == b.info)
    }
}

impl Eq for RuleSet {}

/// Every rule that ships, with its class, text, reason and source, in the order in which they are tried.
pub fn describe_rules() -> Vec<RuleInfo> {
    STANDARD.describe()
}
