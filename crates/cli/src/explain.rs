//! What the optimizer did to a graph, for a reader.

use crate::failure::Failure;
use crate::formula::{Style, read};
use eggrad::ir::{Graph, NodeId};
use eggrad::rewrite::{Explanation, describe_rules};
use eggrad::{Explained, Options, compile};
use serde_json::{Value, json};

/// A rule that was used.
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// Name of the rule.
    pub rule: String,
    /// The identity.
    pub identity: String,
    /// Why it holds, or what it is for.
    pub reason: String,
}

/// What happened to a graph.
#[derive(Clone, Debug)]
pub struct Account {
    /// The outputs as written and as compiled, by name; `None` for what is no formula of a reader's size.
    pub outputs: Vec<(String, Option<String>, Option<String>)>,
    /// Computing nodes, before and after.
    pub nodes: (usize, usize),
    /// Weighted number of formulas that can go wrong, before and after.
    pub danger: (usize, usize),
    /// The steps, output by output, in order.
    pub explained: Explained,
    /// The rules among them, in the order of their first use.
    pub rules: Vec<Used>,
    /// Formulas that can still go wrong.
    pub left: Vec<String>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Compiles `graph` and says what happened.
///
/// # Errors
/// What the compiler refuses.
pub fn explain(graph: &Graph, style: Style) -> Result<Account, Failure> {
    let refused = |e| Failure::of_stage("the graph", "", &e);
    let options = Options::default();
    let (_, optimised, report) = compile(graph, &options).map_err(refused)?;
    let explained = eggrad::explain(graph, &options).map_err(refused)?;
    let plain = eggrad::lower(graph, &Options { rewrite: false, ..options }).map_err(refused)?;
    let text = |graph: &Graph, id: NodeId| {
        let text = read(graph, id)?.text(style);
        (text.chars().count() <= 400).then_some(text)
    };
    let both = plain.outputs().iter().zip(optimised.outputs());
    let outputs =
        both.map(|(a, b)| (a.name.clone(), text(&plain, a.node), text(&optimised, b.node)));
    Ok(Account {
        outputs: outputs.collect(),
        nodes: (report.nodes_before, report.nodes_after),
        danger: report.danger.unwrap_or_default(),
        rules: rules(&explained),
        explained,
        left: report.dangers_left.clone(),
        notes: report.notes.clone(),
    })
}

/// The rules among the steps; constants and normal forms are none.
fn rules(explained: &Explained) -> Vec<Used> {
    let known = describe_rules();
    let mut used: Vec<Used> = vec![];
    let explanations = explained.rounds.iter().flat_map(|round| all(&round.explanation));
    for step in explanations.flat_map(|explanation| &explanation.steps) {
        if used.iter().any(|u| u.rule == step.rule) {
            continue;
        }
        let rule = known.iter().find(|r| r.name == step.rule);
        used.extend(rule.map(|r| Used {
            rule: step.rule.clone(),
            identity: r.text.clone(),
            reason: r.reason.clone(),
        }));
    }
    used
}

/// Explanations of sub-graphs, then that of the graph.
fn all(explanation: &Explanation) -> impl Iterator<Item = &Explanation> {
    explanation.functions.iter().chain([explanation])
}

impl Account {
    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, before, after) in &self.outputs {
            if let (Some(before), Some(after)) = (before, after) {
                text += &format!("{name} as written   {before}\n");
                text += &format!("{name} as computed  {after}\n");
            }
        }
        let ((nodes, left), (danger, rest)) = (self.nodes, self.danger);
        text += &format!("operations {nodes} -> {left}\n");
        text += &format!("danger     {danger} -> {rest}\n");
        for line in self.left.iter().chain(&self.notes) {
            text += &format!("  {line}\n");
        }
        text += &self.explained.to_string();
        if self.rules.is_empty() {
            return text;
        }
        text += "rules\n";
        for Used { rule, identity, reason } in &self.rules {
            text += &format!("  {rule}\n    {identity}\n    {reason}\n");
        }
        text
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let outputs = self
            .outputs
            .iter()
            .map(|(name, before, after)| json!({ "name": name, "before": before, "after": after }));
        let rounds = self.explained.rounds.iter().map(|round| {
            let explanations = all(&round.explanation).map(explanation);
            json!({ "stage": round.stage, "graphs": explanations.collect::<Vec<Value>>() })
        });
        let rules = self
            .rules
            .iter()
            .map(|u| json!({ "rule": u.rule, "identity": u.identity, "reason": u.reason }));
        json!({
            "outputs": outputs.collect::<Vec<Value>>(),
            "nodes": { "before": self.nodes.0, "after": self.nodes.1 },
            "danger": { "before": self.danger.0, "after": self.danger.1 },
            "rounds": rounds.collect::<Vec<Value>>(),
            "rules": rules.collect::<Vec<Value>>(),
            "dangers_left": self.left,
            "notes": self.notes,
        })
    }
}

/// The steps of each output of a graph.
fn explanation(explanation: &Explanation) -> Value {
    let outputs = explanation.outputs.iter().map(|output| {
        let steps = explanation.steps_of(output).map(|step| {
            json!({
                "rule": step.rule, "before": step.before, "after": step.after,
                "at": step.at.iter().map(ToString::to_string).collect::<Vec<String>>(),
            })
        });
        json!({
            "kind": output.kind.name(), "name": output.name,
            "danger": { "before": output.danger_before, "after": output.danger_after },
            "cost_ns": { "before": output.cost_before, "after": output.cost_after },
            "steps": steps.collect::<Vec<Value>>(),
        })
    });
    json!({ "name": explanation.name, "outputs": outputs.collect::<Vec<Value>>() })
}
