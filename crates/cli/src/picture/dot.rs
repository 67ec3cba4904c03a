//! Pictures as Graphviz files.

use crate::show::short;
use crate::steps::Trace;
use std::fmt::Write;

/// The picture of a trace: on each line the value above and the derivative below it.
pub fn dot(trace: &Trace) -> String {
    let mut text = String::from("digraph computation {\n  rankdir=LR;\n");
    text.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"monospace\"];\n");
    text.push_str("  edge [fontname=\"monospace\"];\n");
    for (i, node) in trace.nodes.iter().enumerate() {
        let (label, colour) = match &node.formula {
            Some(formula) => (format!("{} = {formula}", node.name), "#e3eefb"),
            None => (node.name.clone(), "#f2f2f2"),
        };
        let _ = writeln!(text, "  n{i} [label={}, fillcolor=\"{colour}\"];", quoted(&label));
    }
    let mut line = |from: usize, to: String, forward: f64, backward: f64| {
        let (forward, backward) = (short(forward, 6), short(backward, 6));
        let above = format!("<font color=\"#0b57a4\">{forward}</font>");
        let below = format!("<font color=\"#b3261e\">{backward}</font>");
        let _ = writeln!(text, "  n{from} -> {to} [label=<{above}<br/>{below}>];");
    };
    for local in &trace.locals {
        let (from, step) = (&trace.nodes[local.from], &trace.nodes[local.step]);
        line(local.from, format!("n{}", local.step), from.forward, step.backward * local.value);
    }
    if let Some(result) = trace.nodes.last() {
        line(trace.nodes.len() - 1, "result".to_string(), result.forward, result.backward);
        text.push_str("  result [shape=point, label=\"\"];\n");
    }
    text.push_str("}\n");
    text
}

/// A string in Graphviz's quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
