//! What the optimizer did to a graph, for a reader.

use crate::failure::Failure;
use crate::formula::{Style, read};
use eggrad::ir::{Graph, NodeId};
use eggrad::rewrite::describe_rules;
use eggrad::{Options, compile};
use serde_json::{Value, json};

/// A rule that was used.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name of the rule.
    pub rule: String,
    /// The identity; `None` for what is no rule of its own.
    pub identity: Option<String>,
    /// Why it holds, or what it is for.
    pub reason: Option<String>,
    /// How often it united two forms.
    pub times: usize,
}

/// What happened to a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The outputs as written and as compiled, by name; `None` for what is no formula of a reader's size.
    pub outputs: Vec<(String, Option<String>, Option<String>)>,
    /// Computing nodes, before and after.
    pub nodes: (usize, usize),
    /// Weighted number of formulas that can go wrong, before and after.
    pub danger: (usize, usize),
    /// The rules used, by name.
    pub steps: Vec<Step>,
    /// Formulas that can still go wrong.
    pub left: Vec<String>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Compiles `graph` and says what happened.
///
/// # Errors
/// What the compiler refuses.
pub fn explain(graph: &Graph, style: Style) -> Result<Explanation, Failure> {
    let options = Options::default();
    let (_, optimised, report) =
        compile(graph, &options).map_err(|e| Failure::of_stage("the graph", "", &e))?;
    let plain = eggrad::lower(graph, &Options { rewrite: false, ..options });
    let plain = plain.map_err(|e| Failure::of_stage("the graph", "", &e))?;
    let text = |graph: &Graph, id: NodeId| {
        let text = read(graph, id)?.text(style);
        (text.chars().count() <= 400).then_some(text)
    };
    let both = plain.outputs().iter().zip(optimised.outputs());
    let outputs =
        both.map(|(a, b)| (a.name.clone(), text(&plain, a.node), text(&optimised, b.node)));
    let known = describe_rules();
    let steps = report.rules.iter().map(|(name, &times)| {
        let rule = known.iter().find(|r| r.name == *name);
        Step {
            rule: name.clone(),
            identity: rule.map(|r| r.text.clone()),
            reason: rule.map(|r| r.reason.clone()),
            times,
        }
    });
    Ok(Explanation {
        outputs: outputs.collect(),
        nodes: (report.nodes_before, report.nodes_after),
        danger: report.danger.unwrap_or_default(),
        steps: steps.collect(),
        left: report.dangers_left.clone(),
        notes: report.notes.clone(),
    })
}

impl Explanation {
    /// The explanation as text.
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
        if self.steps.is_empty() {
            return text + "no rule had anything to improve\n";
        }
        text += "rules\n";
        for step in &self.steps {
            let times =
                if step.times == 1 { String::new() } else { format!(", {} times", step.times) };
            text += &format!("  {}{times}\n", step.rule);
            if let Some(identity) = &step.identity {
                text += &format!("    {identity}\n");
            }
            if let Some(reason) = &step.reason {
                text += &format!("    {reason}\n");
            }
        }
        text
    }

    /// The explanation as JSON.
    pub fn json(&self) -> Value {
        let outputs = self
            .outputs
            .iter()
            .map(|(name, before, after)| json!({ "name": name, "before": before, "after": after }));
        let steps = self.steps.iter().map(|s| {
            json!({ "rule": s.rule, "identity": s.identity, "reason": s.reason, "times": s.times })
        });
        json!({
            "outputs": outputs.collect::<Vec<Value>>(),
            "nodes": { "before": self.nodes.0, "after": self.nodes.1 },
            "danger": { "before": self.danger.0, "after": self.danger.1 },
            "rules": steps.collect::<Vec<Value>>(),
            "dangers_left": self.left,
            "notes": self.notes,
        })
    }
}
