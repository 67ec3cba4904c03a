//! Graphviz pictures: shapes on edges, the forward pass, the backward pass and the update in different colours, nodes
//! that share a kernel or a layer in a box, and every sub-graph once, beside the nodes that apply it.

use crate::function::Function;
use crate::graph::{Graph, NodeId};
use crate::op::Op;
use crate::parts::{Part, parts};
use crate::text::{Functions, attributes};
use crate::types::Literal;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

/// Nodes drawn in one box.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Title of the box.
    pub label: String,
    /// What is in it; a node that is in several boxes is drawn in the first.
    pub nodes: Vec<NodeId>,
}

/// The graph in Graphviz's language, titled `title`, with `clusters` as boxes; without any, with layers as boxes.
pub fn to_dot(graph: &Graph, title: &str, clusters: &[Cluster]) -> String {
    let mut functions = Functions::default();
    functions.collect(graph);
    let title = format!("{title}\nblue: forward, red: backward, green: update, yellow: state");
    let mut text = String::from("digraph eggrad {\n");
    let _ = writeln!(text, "  label={}; labelloc=t; rankdir=TB; compound=true;", quote(&title));
    text.push_str(
        "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];\n",
    );
    text.push_str("  edge [fontname=\"Helvetica\", fontsize=9, color=\"#555555\"];\n");
    for (number, function) in functions.list().iter().enumerate() {
        let label = match function.vjp() {
            Some(vjp) => format!("fn {} vjp {}", functions.name(function), functions.name(vjp)),
            None => format!("fn {}", functions.name(function)),
        };
        open_box(&mut text, &format!("f{number}"), &label, "  ");
        let prefix = format!("f{number}_");
        Drawing::new(function.graph(), &functions, &prefix, "    ").draw(&mut text, &[]);
        text.push_str("  }\n");
    }
    Drawing::new(graph, &functions, "", "  ").draw(&mut text, clusters);
    text.push_str("}\n");
    text
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

/// Boxes inside each other: the nodes of a layer, and the layers inside it.
#[derive(Default)]
struct Boxes {
    nodes: Vec<NodeId>,
    inner: BTreeMap<String, Boxes>,
}

/// One graph in a picture.
struct Drawing<'g> {
    graph: &'g Graph,
    functions: &'g Functions,
    prefix: &'g str,
    indent: &'g str,
    parts: Vec<Part>,
    /// Nodes drawn as part of their users.
    hidden: Vec<bool>,
    /// For each result of an application, the first node of that application, which stands for all.
    stands: Vec<NodeId>,
    boxes: usize,
}

impl<'g> Drawing<'g> {
    fn new(
        graph: &'g Graph,
        functions: &'g Functions,
        prefix: &'g str,
        indent: &'g str,
    ) -> Drawing<'g> {
        let mut hidden: Vec<bool> = graph.ids().map(|id| constant(graph, id).is_some()).collect();
        graph.roots().for_each(|id| hidden[id.index()] = false);
        let mut first: HashMap<(Op, &[NodeId]), NodeId> = HashMap::new();
        let mut stands: Vec<NodeId> = graph.ids().collect();
        for id in graph.ids() {
            let node = graph.node(id);
            if node.op.result().is_some() {
                let application = (node.op.with_result(0), &node.inputs[..]);
                stands[id.index()] = *first.entry(application).or_insert(id);
            }
        }
        let parts = parts(graph);
        Drawing { graph, functions, prefix, indent, parts, hidden, stands, boxes: 0 }
    }

    fn draw(mut self, text: &mut String, clusters: &[Cluster]) {
        let (graph, prefix, indent) = (self.graph, self.prefix, self.indent);
        let shown =
            |this: &Self, id: NodeId| !this.hidden[id.index()] && this.stands[id.index()] == id;
        let mut drawn: Vec<bool> = graph.ids().map(|id| !shown(&self, id)).collect();
        for cluster in clusters {
            self.open(text, &cluster.label, indent);
            for &id in &cluster.nodes {
                if !std::mem::replace(&mut drawn[id.index()], true) {
                    self.node(text, id, &format!("{indent}  "));
                }
            }
            let _ = writeln!(text, "{indent}}}");
        }
        let mut boxes = Boxes::default();
        for id in graph.ids().filter(|id| !drawn[id.index()]) {
            let layer = graph.layer_name(graph.node(id).layer).filter(|_| clusters.is_empty());
            let mut place = &mut boxes;
            for name in layer.into_iter().flat_map(|path| path.split('.')).take(MAX_BOXES) {
                place = place.inner.entry(name.to_string()).or_default();
            }
            place.nodes.push(id);
        }
        self.layers(text, &boxes, indent);
        for id in graph.ids().filter(|&id| shown(&self, id)) {
            self.edges(text, id);
        }
        for (i, output) in graph.outputs().iter().enumerate() {
            let label = quote(&format!("out {}", output.name));
            let style = "shape=ellipse, fillcolor=\"#ffffff\"";
            let _ = writeln!(text, "{indent}{prefix}o{i} [label={label}, {style}];");
            self.edge(text, output.node, &format!("{prefix}o{i}"));
        }
        for (i, state) in graph.states().iter().enumerate() {
            let Some(write) = state.write else { continue };
            let label = quote(&format!("write {}", state.name));
            let style = "shape=ellipse, fillcolor=\"#f9e2ae\"";
            let _ = writeln!(text, "{indent}{prefix}w{i} [label={label}, {style}];");
            self.edge(text, write, &format!("{prefix}w{i}"));
        }
    }

    fn open(&mut self, text: &mut String, label: &str, indent: &str) {
        open_box(text, &format!("{}{}", self.prefix, self.boxes), label, indent);
        self.boxes += 1;
    }

    /// The nodes of a layer, and its inner layers as boxes; at most [`MAX_BOXES`] inside each other.
    fn layers(&mut self, text: &mut String, boxes: &Boxes, indent: &str) {
        for &id in &boxes.nodes {
            self.node(text, id, indent);
        }
        for (name, inner) in &boxes.inner {
            self.open(text, name, indent);
            self.layers(text, inner, &format!("{indent}  "));
            let _ = writeln!(text, "{indent}}}");
        }
    }

    fn node(&self, text: &mut String, id: NodeId, indent: &str) {
        let graph = self.graph;
        let node = graph.node(id);
        let (label, colour) = match node.op {
            Op::Input(i) => {
                let name = graph.inputs().get(i).map_or("variable", |input| &input.name);
                (format!("in {name}"), "#e8e8e8")
            }
            Op::State(i) => {
                let state = &graph.states()[i];
                (format!("{} {}", state.kind.name(), state.name), "#fff6d6")
            }
            _ => {
                let colour = match self.parts[id.index()] {
                    Part::Forward => "#cfe3fa",
                    Part::Backward => "#f7cfcf",
                    Part::Update => "#d3efd0",
                };
                let mut label = node.op.name().to_string();
                for (key, value) in attributes(&node.op) {
                    match key {
                        "values" | "result" => {}
                        "fn" | "then" | "else" => {
                            let name = named(&node.op, key).map(|f| self.functions.name(f));
                            let _ = write!(label, "\n{key} {}", name.unwrap_or(""));
                        }
                        _ => {
                            let _ = write!(label, "\n{key} {value}");
                        }
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
        let (prefix, label) = (self.prefix, quote(&label));
        let _ =
            writeln!(text, "{indent}{prefix}n{} [label={label}, fillcolor=\"{colour}\"];", id.0);
    }

    /// What a node reads, and dashed, what it applies.
    fn edges(&self, text: &mut String, id: NodeId) {
        let node = self.graph.node(id);
        let to = format!("{}n{}", self.prefix, id.0);
        for &input in node.inputs.iter().filter(|i| !self.hidden[i.index()]) {
            self.edge(text, input, &to);
        }
        for function in node.op.functions() {
            let Some(number) = self.functions.number(function) else { continue };
            let _ = writeln!(
                text,
                "{}{to} -> f{number}_o0 [style=dashed, arrowhead=none, lhead=cluster_f{number}];",
                self.indent
            );
        }
    }

    fn edge(&self, text: &mut String, from: NodeId, to: &str) {
        let mut label = self.graph.ty(from).to_string();
        if let Some(result) = self.graph.node(from).op.result() {
            label = format!("{result}: {label}");
        }
        let (label, from) = (quote(&label), self.stands[from.index()].0);
        let _ = writeln!(text, "{}{}n{from} -> {to} [label={label}];", self.indent, self.prefix);
    }
}

/// Boxes inside each other that are drawn.
const MAX_BOXES: usize = 16;

/// The function that `op` names by `key`.
fn named<'o>(op: &'o Op, key: &str) -> Option<&'o Arc<Function>> {
    op.functions().into_iter().nth(usize::from(key == "else"))
}

fn open_box(text: &mut String, name: &str, label: &str, indent: &str) {
    let label = quote(label);
    let _ = writeln!(text, "{indent}subgraph cluster_{name} {{");
    let style = "style=\"rounded\"; color=\"#888888\"; fontname=\"Helvetica\"; fontsize=10;";
    let _ = writeln!(text, "{indent}  label={label}; {style}");
}

/// A string in Graphviz's quotes.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
