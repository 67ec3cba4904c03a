//! Explanations as data, and as text for people.

use crate::lower::Hint;
use crate::proof::terms::{TermId, Terms};
use crate::rules::RuleClass;
use eggrad_ir::{At, Graph};
use std::collections::BTreeMap;
use std::fmt;

/// How a graph became another one: for each output the steps that lead from it as written to the form that was chosen.
///
/// [`crate::replay`] follows the steps again and refuses an explanation that does not prove what it says.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// `main`, or the name of a sub-graph.
    pub name: String,
    /// Outputs, written states and the guard, in this order.
    pub outputs: Vec<OutputExplanation>,
    /// Every step that some output needs, in the order in which they were made.
    pub steps: Vec<Step>,
    /// The same of every sub-graph that is applied at any depth, the innermost first; empty for a sub-graph.
    pub functions: Vec<Explanation>,
    pub(crate) terms: Terms,
    /// The chosen forms; none where the graph stayed as it is.
    pub(crate) chosen: Option<Chosen>,
}

/// One output, written state or guard.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputExplanation {
    /// What it is.
    pub kind: OutputKind,
    /// Its name; that of the state for a written one, and `guard` for the guard.
    pub name: String,
    /// Its steps, as places in [`Explanation::steps`], ascending.
    pub steps: Vec<usize>,
    /// How often each rule or pass is among its steps.
    pub rules: BTreeMap<String, usize>,
    /// Weighted dangers as written: 4 for what may be infinite or NaN, 1 for what may lose its digits.
    pub danger_before: u32,
    /// Weighted dangers of the chosen form.
    pub danger_after: u32,
    /// Estimated nanoseconds as written, of all that it needs, also where other outputs share it. Sub-graphs count as
    /// they are after their own optimisation.
    pub cost_before: f64,
    /// Estimated nanoseconds of the chosen form.
    pub cost_after: f64,
}

/// What an explanation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputKind {
    /// An output.
    Output,
    /// The next value of a state.
    Write,
    /// The guarded value.
    Guard,
}

impl OutputKind {
    /// As the text form says it.
    pub fn name(self) -> &'static str {
        match self {
            OutputKind::Output => "out",
            OutputKind::Write => "write",
            OutputKind::Guard => "guard",
        }
    }
}

/// Two terms became equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name of the rule; or `constants`, `normal-form`, `pairs`, `linear-folding`, `moves` or `slices`.
    pub rule: String,
    /// What the rule keeps; none for what is not a rule.
    pub class: Option<RuleClass>,
    /// What the rule's variables stand for, by name; empty for what is not a rule.
    pub bindings: Vec<(String, TermId)>,
    /// What was there.
    pub left: TermId,
    /// What it is equal to.
    pub right: TermId,
    /// The user's lines that the left side comes from, where they are known.
    pub at: Vec<At>,
    /// The left side for people, cut at some width.
    pub before: String,
    /// The right side for people.
    pub after: String,
}

/// Forms that were chosen, operands first.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) forms: Vec<(TermId, Hint)>,
    /// The form of each root; none for a root that is copied as it was written.
    pub(crate) roots: Vec<Option<TermId>>,
}

/// Characters of each side of a step.
pub(crate) const WIDTH: usize = 60;

/// Characters of a line.
const LINE: usize = 110;

impl Explanation {
    /// Nothing was changed.
    pub(crate) fn unchanged(name: &str, graph: &Graph, outputs: Vec<OutputExplanation>) -> Self {
        let (steps, functions, chosen) = (vec![], vec![], None);
        let terms = Terms::new(graph, &[]);
        Explanation { name: name.to_string(), outputs, steps, functions, terms, chosen }
    }

    /// The steps of an output, in order.
    pub fn steps_of<'a>(&'a self, output: &'a OutputExplanation) -> impl Iterator<Item = &'a Step> {
        output.steps.iter().filter_map(|&i| self.steps.get(i))
    }

    /// A term as a formula of at most about `width` characters; what does not fit is cut to `…`.
    pub fn text(&self, term: TermId, width: usize) -> String {
        self.terms.text(term, width)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places: Vec<String> = vec![];
        for at in &self.at {
            let place = match at {
                At::Text { line, .. } => format!("line {line}"),
                At::Source(_) | At::Unknown => at.to_string(),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        match places.is_empty() {
            true => f.write_str(&self.rule),
            false => write!(f, "{} at {}", self.rule, places.join(", ")),
        }
    }
}

impl fmt::Display for Explanation {
    /// Steps are numbered through; an output names those that it shares with an earlier one by number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for function in &self.functions {
            writeln!(f, "in `{}`", function.name)?;
            write!(f, "{function}")?;
        }
        if !self.functions.is_empty() {
            writeln!(f, "in `{}`", self.name)?;
        }
        let mut numbers: Vec<Option<usize>> = vec![None; self.steps.len()];
        let mut next = 1;
        for output in &self.outputs {
            writeln!(
                f,
                "{} {}  danger {} -> {}, cost {:.0} -> {:.0} ns",
                output.kind.name(),
                output.name,
                output.danger_before,
                output.danger_after,
                output.cost_before,
                output.cost_after
            )?;
            if output.steps.is_empty() {
                writeln!(f, "  as written")?;
            }
            let shared: Vec<usize> = output.steps.iter().filter_map(|&i| numbers[i]).collect();
            if !shared.is_empty() {
                writeln!(f, "  steps {}", ranges(shared))?;
            }
            for &i in &output.steps {
                if numbers[i].is_some() {
                    continue;
                }
                let step = &self.steps[i];
                let head = format!("  {next}. {step}");
                let change = format!("{} -> {}", step.before, step.after);
                match head.chars().count() + 2 + change.chars().count() <= LINE {
                    true => writeln!(f, "{head}  {change}")?,
                    false => writeln!(f, "{head}\n     {change}")?,
                }
                numbers[i] = Some(next);
                next += 1;
            }
        }
        Ok(())
    }
}

/// Numbers, with runs as `first-last`.
fn ranges(mut numbers: Vec<usize>) -> String {
    numbers.sort_unstable();
    let mut runs: Vec<(usize, usize)> = vec![];
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    let text = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(text).collect::<Vec<String>>().join(", ")
}
