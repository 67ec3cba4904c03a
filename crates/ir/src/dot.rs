//! Graphviz pictures: shapes on edges, the forward pass, the backward pass and the update in different colours, and
//! nodes that share a kernel in a box.

use crate::graph::{Graph, NodeId, StateKind};
use crate::op::Op;
use crate::types::Literal;
use std::fmt::Write;

/// Which part of a train step a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Needed for an output or the guard.
    Forward,
    /// Needed only for state writes, but independent of optimizer state.
    Backward,
    /// Needed only for state writes, and computed from optimizer slots or counters, or elementwise work on the way from
    /// a gradient to a state's new value.
    Update,
}

/// The part of each node, found from the structure alone.
pub fn parts(graph: &Graph) -> Vec<Part> {
    let mut parts = vec![Part::Backward; graph.nodes().len()];
    let forward = graph.outputs().iter().map(|o| o.node).chain(graph.guard());
    forward.for_each(|id| parts[id.index()] = Part::Forward);
    for id in graph.ids().rev() {
        if parts[id.index()] == Part::Forward {
            graph.node(id).inputs.iter().for_each(|i| parts[i.index()] = Part::Forward);
        }
    }
    let mut written = vec![false; graph.nodes().len()];
    let mut update = vec![false; graph.nodes().len()];
    for state in graph.states() {
        update[state.read.index()] = matches!(state.kind, StateKind::Slot | StateKind::Counter);
        if let Some(write) = state.write {
            written[write.index()] = true;
        }
    }
    for id in graph.ids() {
        let node = graph.node(id);
        update[id.index()] |= node.inputs.iter().any(|i| update[i.index()]);
        update[id.index()] |= written[id.index()] && !node.op.is_leaf();
    }
    let users = graph.users();
    for id in graph.ids().rev() {
        let own = &users[id.index()];
        let local = is_local(&graph.node(id).op) && !written[id.index()];
        update[id.index()] |= local && !own.is_empty() && own.iter().all(|u| update[u.index()]);
        if update[id.index()] && parts[id.index()] == Part::Backward {
            parts[id.index()] = Part::Update;
        }
    }
    parts
}

/// Whether each element of the result depends on one element of each operand.
fn is_local(op: &Op) -> bool {
    match op {
        Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
        | Op::RandomKey { .. }
        | Op::Random { .. } => true,
        Op::Input(_)
        | Op::State(_)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => false,
    }
}

/// The number that a node is everywhere, if it is a constant or a broadcast of one; such nodes are drawn as part of
/// their users.
fn constant(graph: &Graph, id: NodeId) -> Option<Literal> {
    let node = graph.node(id);
    match (&node.op, node.inputs.first()) {
        (Op::Const(_, literal), _) => Some(*literal),
        (Op::Move(_), Some(&inner)) => match graph.node(inner).op {
            Op::Const(_, literal) => Some(literal),
            _ => None,
        },
        _ => None,
    }
}

/// Nodes drawn in one box.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Title of the box.
    pub label: String,
    /// What is in it; a node that is in several boxes is drawn in the first.
    pub nodes: Vec<NodeId>,
}

/// The graph in Graphviz's language, titled `title`, with `clusters` as boxes.
pub fn to_dot(graph: &Graph, title: &str, clusters: &[Cluster]) -> String {
    let parts = parts(graph);
    let mut hidden: Vec<bool> = graph.ids().map(|id| constant(graph, id).is_some()).collect();
    graph.roots().for_each(|id| hidden[id.index()] = false);
    let title = format!("{title}\nblue: forward, red: backward, green: update, yellow: state");
    let mut text = String::from("digraph eggrad {\n");
    let _ = writeln!(text, "  label={}; labelloc=t; rankdir=TB; compound=true;", quote(&title));
    text.push_str(
        "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];\n",
    );
    text.push_str("  edge [fontname=\"Helvetica\", fontsize=9, color=\"#555555\"];\n");
    let mut drawn = hidden.clone();
    for (i, cluster) in clusters.iter().enumerate() {
        let _ = writeln!(text, "  subgraph cluster_{i} {{");
        let _ = writeln!(
            text,
            "    label={}; style=\"rounded\"; color=\"#888888\"; fontname=\"Helvetica\"; fontsize=10;",
            quote(&cluster.label)
        );
        for &id in &cluster.nodes {
            if !std::mem::replace(&mut drawn[id.index()], true) {
                draw_node(&mut text, graph, id, parts[id.index()], "    ");
            }
        }
        text.push_str("  }\n");
    }
    for id in graph.ids().filter(|id| !drawn[id.index()]) {
        draw_node(&mut text, graph, id, parts[id.index()], "  ");
    }
    for id in graph.ids().filter(|id| !hidden[id.index()]) {
        for &input in graph.node(id).inputs.iter().filter(|i| !hidden[i.index()]) {
            let shape = graph.ty(input).to_string();
            let _ = writeln!(text, "  n{} -> n{} [label={}];", input.0, id.0, quote(&shape));
        }
    }
    for (i, output) in graph.outputs().iter().enumerate() {
        let label = quote(&format!("out {}", output.name));
        let _ = writeln!(text, "  o{i} [label={label}, shape=ellipse, fillcolor=\"#ffffff\"];");
        let shape = quote(&graph.ty(output.node).to_string());
        let _ = writeln!(text, "  n{} -> o{i} [label={shape}];", output.node.0);
    }
    for (i, state) in graph.states().iter().enumerate() {
        let Some(write) = state.write else { continue };
        let label = quote(&format!("write {}", state.name));
        let _ = writeln!(text, "  w{i} [label={label}, shape=ellipse, fillcolor=\"#f9e2ae\"];");
        let shape = quote(&state.ty.to_string());
        let _ = writeln!(text, "  n{} -> w{i} [label={shape}];", write.0);
    }
    text.push_str("}\n");
    text
}

fn draw_node(text: &mut String, graph: &Graph, id: NodeId, part: Part, indent: &str) {
    let node = graph.node(id);
    let (label, colour) = match node.op {
        Op::Input(i) => (format!("in {}", graph.inputs()[i].name), "#e8e8e8"),
        Op::State(i) => {
            let state = &graph.states()[i];
            (format!("{} {}", state.kind.name(), state.name), "#fff6d6")
        }
        _ => {
            let colour = match part {
                Part::Forward => "#cfe3fa",
                Part::Backward => "#f7cfcf",
                Part::Update => "#d3efd0",
            };
            let mut label = node.op.name().to_string();
            for (key, value) in crate::text::attributes(&node.op) {
                if key != "values" {
                    let _ = write!(label, "\n{key} {value}");
                }
            }
            for (position, &input) in node.inputs.iter().enumerate() {
                if let Some(literal) = constant(graph, input) {
                    let _ = write!(label, "\noperand {position} {literal}");
                }
            }
            (label, colour)
        }
    };
    let _ = writeln!(text, "{indent}n{} [label={}, fillcolor=\"{colour}\"];", id.0, quote(&label));
}

/// A string in Graphviz's quotes.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
