//! What an optimisation did, and what can go wrong with it.

use eggrad_ir::At;
use std::collections::BTreeMap;
use std::fmt;

/// Why saturation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No rule had anything to add.
    Saturated,
    /// All rounds were used.
    Iterations,
    /// The e-graph had as many nodes as allowed.
    Nodes {
        /// The rule that added the last one.
        rule: String,
    },
    /// No rules were asked for.
    NotRun,
}

/// Comparison of the result with the input on random data at small sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validation {
    /// How many times data was drawn, without those where rounding decides on which side of a jump a value is.
    pub samples: usize,
    /// The largest difference, relative to the value or to 0.001, whichever is larger.
    pub worst: f64,
}

/// A node that can lose its digits or overflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Danger {
    /// Name of the op.
    pub op: String,
    /// What is not known to be safe.
    pub reason: String,
    /// Where the user wrote it.
    pub at: At,
}

/// What [`crate::optimize`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// For each rule that changed the e-graph, how many unions it made.
    pub rules: BTreeMap<String, usize>,
    /// Rounds of saturation.
    pub iterations: usize,
    /// E-nodes at the end.
    pub e_nodes: usize,
    /// E-classes at the end.
    pub e_classes: usize,
    /// Why saturation ended.
    pub stop: Stop,
    /// Nodes of the input.
    pub nodes_before: usize,
    /// Nodes of the result.
    pub nodes_after: usize,
    /// Weighted dangers of the input: 4 for what may be infinite or NaN, 1 for what may lose its digits.
    pub danger_before: u32,
    /// Weighted dangers of the result.
    pub danger_after: u32,
    /// Estimated nanoseconds of the input.
    pub cost_before: f64,
    /// Estimated nanoseconds of the result.
    pub cost_after: f64,
    /// How the result compared with the input; `None` when that was not asked for or everything is too large.
    pub validation: Option<Validation>,
    /// What can still go wrong.
    pub dangers_left: Vec<Danger>,
    /// Sub-graphs that were optimised alone; all counts include theirs.
    pub functions: usize,
    /// What was too large to be compared with its input: `main`, and sub-graphs by their names.
    pub not_compared: Vec<String>,
}

impl Report {
    /// Adds what was done to a sub-graph that is applied in this graph. Costs are not added up: a graph's cost knows
    /// how often it applies what.
    pub(crate) fn include(&mut self, inner: Report) {
        for (rule, count) in inner.rules {
            *self.rules.entry(rule).or_insert(0) += count;
        }
        self.iterations = self.iterations.max(inner.iterations);
        self.e_nodes += inner.e_nodes;
        self.e_classes += inner.e_classes;
        let rank = |stop: &Stop| match stop {
            Stop::NotRun => 0,
            Stop::Saturated => 1,
            Stop::Iterations => 2,
            Stop::Nodes { .. } => 3,
        };
        if rank(&inner.stop) > rank(&self.stop) {
            self.stop = inner.stop;
        }
        self.nodes_before += inner.nodes_before;
        self.nodes_after += inner.nodes_after;
        self.danger_before += inner.danger_before;
        self.danger_after += inner.danger_after;
        self.validation = match (self.validation, inner.validation) {
            (Some(a), Some(b)) => {
                Some(Validation { samples: a.samples + b.samples, worst: a.worst.max(b.worst) })
            }
            (a, b) => a.or(b),
        };
        self.dangers_left.extend(inner.dangers_left);
        self.functions += 1 + inner.functions;
        self.not_compared.extend(inner.not_compared);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "nodes {} -> {}, danger {} -> {}, cost {:.0} -> {:.0} ns",
            self.nodes_before,
            self.nodes_after,
            self.danger_before,
            self.danger_after,
            self.cost_before,
            self.cost_after
        )?;
        let stop = match &self.stop {
            Stop::Saturated => "saturated".to_string(),
            Stop::Iterations => "out of rounds".to_string(),
            Stop::Nodes { rule } => format!("out of e-nodes in `{rule}`"),
            Stop::NotRun => "not run".to_string(),
        };
        writeln!(
            f,
            "{stop} after {} rounds, {} e-nodes in {} classes",
            self.iterations, self.e_nodes, self.e_classes
        )?;
        for (rule, count) in &self.rules {
            writeln!(f, "  {count:>4} {rule}")?;
        }
        if let Some(validation) = &self.validation {
            writeln!(f, "equal on {} samples within {:.1e}", validation.samples, validation.worst)?;
        }
        for name in &self.not_compared {
            writeln!(f, "`{name}` was too large to be compared")?;
        }
        for danger in &self.dangers_left {
            writeln!(f, "`{}` at {}: {}", danger.op, danger.at, danger.reason)?;
        }
        Ok(())
    }
}
