//! Rules as text: `name [class]: left => right if condition(?a); condition(?b, ?c)`.
//!
//! * `left <=> right` is two rules; `left => a == b` says that, where `left` is, `a` and `b` are equal.
//! * A comment line above a row is its reason. Every row has one.
//! * `## source: text` says where the rows below it come from, up to the next such line.
//! * Numbers on the left match any class that is that constant; on the right they have the type of the matched value.
//! * Operands of commutative ops are also matched the other way round; there are no rules for that.
//! * On the right, `(union ?S ?T)`, `(minus ?S ?T)` and `(meet ?S ?T)` are sets of axes, of which `?x` means those of
//!   a tensor, and `(type ?x)` is its element type. Axes that the right side lost are put back.

use crate::condition::Condition;
use crate::pattern::expression;
use crate::proof::log::Pass;
use crate::rules::{Rule, RuleClass, RuleInfo};

/// What is wrong with one rule of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: rule `{rule}` {message}")]
pub struct RuleError {
    /// The file, as it was named.
    pub file: String,
    /// The line of the rule, from 1.
    pub line: usize,
    /// Name of the rule.
    pub rule: String,
    /// What is wrong with it: for a rule that does not hold, values that show it.
    pub message: String,
}

/// Rules of a file and all that is wrong with others. Names in `taken` are used already; they come with their file.
pub(crate) fn parse(
    file: &str,
    text: &str,
    taken: impl Fn(&str) -> Option<String>,
) -> (Vec<Rule>, Vec<RuleError>) {
    let mut rules: Vec<Rule> = vec![];
    let mut errors: Vec<RuleError> = vec![];
    let mut names: Vec<String> = vec![];
    let (mut reason, mut source) = (String::new(), None);
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("## source:") {
            source = Some(text.trim().to_string()).filter(|s| !s.is_empty());
            continue;
        }
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
        let info = RuleInfo {
            name: name.into(),
            class: RuleClass::Real,
            text: String::new(),
            reason: std::mem::take(&mut reason),
            source: source.clone(),
            file: file.into(),
            line: i + 1,
        };
        let used = names.iter().any(|n| n == name).then(|| "earlier in this file".to_string());
        let used = used
            .or_else(|| taken(name))
            .or(Pass::ALL.iter().any(|p| p.name() == name).then(|| "built in".into()));
        let read = match used {
            Some(place) => Err(format!("has the name of another rule, {place}")),
            None => row(info, line),
        };
        match read {
            Ok(list) => {
                names.extend(list.iter().map(|r| r.name.clone()));
                rules.extend(list);
            }
            Err(message) => errors.push(RuleError {
                file: file.into(),
                line: i + 1,
                rule: name.into(),
                message,
            }),
        }
    }
    (rules, errors)
}

/// The rules of one row.
fn row(mut info: RuleInfo, line: &str) -> Result<Vec<Rule>, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if info.name.is_empty() || !info.name.chars().all(plain) {
        return Err("needs a name of letters, digits, `-` and `_`".into());
    }
    let (head, body) = line.split_once("]:").ok_or("needs `[class]:` after its name")?;
    let class = head.split_once('[').map(|h| h.1.trim()).unwrap_or("");
    let class = RuleClass::ALL.into_iter().find(|c| c.name() == class);
    info.class = class.ok_or("needs one of the classes exact, finite, reassociates, real")?;
    if info.reason.is_empty() {
        return Err("needs a reason in a comment above it".into());
    }
    info.text = body.trim().into();
    let (sides, conditions) = body.split_once(" if ").unwrap_or((body, ""));
    let conditions: Vec<Condition> = conditions
        .split(';')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .map(Condition::parse)
        .collect::<Result<_, _>>()?;
    let rule = |name: &str, left: &str, right: &str| {
        let (equal, right) = match right.split_once("==") {
            Some((a, b)) => (Some(expression(a)?), b),
            None => (None, right),
        };
        Rule::new(name, &info, expression(left)?, equal, expression(right)?, conditions.clone())
    };
    match sides.split_once("<=>") {
        Some((a, b)) => {
            let back = format!("{}-back", info.name);
            Ok(vec![rule(&info.name, a, b)?, rule(&back, b, a)?])
        }
        None => {
            let (a, b) = sides.split_once("=>").ok_or("needs `=>` between two sides")?;
            Ok(vec![rule(&info.name, a, b)?])
        }
    }
}
