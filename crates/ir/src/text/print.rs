//! Prints graphs: functions before their users, then declarations, lines and results.

use super::VERSION;
use super::attributes::{attributes, float};
use super::calls::is_built_in;
use super::form::{Style, form};
use super::inline::{Writer, reference};
use super::lex::quoted;
use crate::function::Function;
use crate::graph::{Graph, NodeId};
use crate::op::Op;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};
use std::sync::Arc;

/// The text form.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {VERSION}")?;
        let mut functions = Functions::default();
        functions.collect(self);
        for function in &functions.list {
            writeln!(f)?;
            f.write_str(&functions.text(function))?;
        }
        if !functions.list.is_empty() {
            writeln!(f)?;
        }
        let names = |op: &Op| functions.names(op);
        let mut writer = Writer::new(self, "", &names);
        for id in self.ids() {
            match self.node(id).op {
                Op::Input(i) => {
                    writer.flush();
                    if let Some(input) = self.inputs().get(i) {
                        let _ = write!(writer.text, "in {}: {}", quoted(&input.name), input.ty);
                        if let Some((low, high)) = input.range {
                            let _ =
                                write!(writer.text, ", range {} to {}", bound(low), bound(high));
                        }
                        writer.text.push('\n');
                    }
                    writer.declared(id);
                }
                Op::State(i) => {
                    writer.flush();
                    let state = &self.states()[i];
                    let (kind, name) = (state.kind.name(), quoted(&state.name));
                    let _ = writeln!(writer.text, "{kind} {name}: {}", state.ty);
                    writer.declared(id);
                }
                _ => writer.visit(id),
            }
        }
        let mut roots = writer.finish().into_iter();
        f.write_str(&writer.text)?;
        for output in self.outputs() {
            writeln!(f, "out {} = {}", quoted(&output.name), roots.next().unwrap_or_default())?;
        }
        for state in self.states().iter().filter(|s| s.write.is_some()) {
            writeln!(f, "write {} = {}", quoted(&state.name), roots.next().unwrap_or_default())?;
        }
        match roots.next() {
            Some(guard) => writeln!(f, "guard {guard}"),
            None => Ok(()),
        }
    }
}

/// The end of an interval; whole numbers stand without a point.
fn bound(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value}") } else { float(value) }
}

/// The functions of a graph, each once, those inside others first.
#[derive(Default)]
pub(crate) struct Functions {
    list: Vec<Arc<Function>>,
    /// Name, and place in the list.
    names: HashMap<Arc<Function>, (String, usize)>,
    taken: HashSet<String>,
    /// The last number tried after each name.
    numbers: HashMap<String, usize>,
}

impl Functions {
    /// Every function, those inside others first.
    pub(crate) fn list(&self) -> &[Arc<Function>] {
        &self.list
    }

    /// Place of a function in the list.
    pub(crate) fn number(&self, function: &Arc<Function>) -> Option<usize> {
        self.names.get(function).map(|n| n.1)
    }

    /// Name of a function, which no other has.
    pub(crate) fn name<'f>(&'f self, function: &'f Arc<Function>) -> &'f str {
        self.names.get(function).map_or(function.name(), |n| &n.0)
    }

    /// Adds the functions that `graph` applies, at any depth.
    pub(crate) fn collect(&mut self, graph: &Graph) {
        for node in graph.nodes() {
            node.op.functions().into_iter().for_each(|f| self.add(f));
        }
    }

    /// Functions are nested a bounded number of times, so this may recurse.
    fn add(&mut self, function: &Arc<Function>) {
        if self.names.contains_key(function) {
            return;
        }
        self.collect(function.graph());
        if let Some(vjp) = function.vjp() {
            self.add(vjp);
        }
        let mut name = function.name().to_string();
        while !self.taken.insert(name.clone()) {
            let number = self.numbers.entry(function.name().to_string()).or_insert(1);
            *number += 1;
            name = format!("{}_{number}", function.name());
        }
        self.names.insert(function.clone(), (name, self.list.len()));
        self.list.push(function.clone());
    }

    /// Names of the functions of `op`, and whether a call can do without the word `call`.
    fn names(&self, op: &Op) -> Vec<(String, bool)> {
        let name = |f| (quoted(self.name(f)), !is_built_in(self.name(f)));
        op.functions().into_iter().map(name).collect()
    }

    fn text(&self, function: &Arc<Function>) -> String {
        let graph = function.graph();
        let name = self.name(function);
        let names = |op: &Op| self.names(op);
        let mut writer = Writer::new(graph, "  ", &names);
        // Inputs that come after other nodes are declared by lines.
        let leading = graph.nodes().iter().take_while(|n| matches!(n.op, Op::Input(_))).count();
        let operand = |i: &crate::graph::InputDecl| format!("{}: {}", quoted(&i.name), i.ty);
        let operands: Vec<String> = graph.inputs()[..leading].iter().map(operand).collect();
        let _ = write!(writer.text, "fn {}({})", quoted(name), operands.join(", "));
        if let Some(vjp) = function.vjp() {
            let _ = write!(writer.text, " vjp {}", quoted(self.name(vjp)));
        }
        writer.text.push_str(" {\n");
        for (i, id) in graph.ids().enumerate() {
            match graph.node(id).op {
                Op::Input(number) => {
                    if i >= leading {
                        writer.flush();
                        let _ = writeln!(writer.text, "  in {}", operand(&graph.inputs()[number]));
                    }
                    writer.declared(id);
                }
                _ => writer.visit(id),
            }
        }
        let roots = writer.finish();
        let mut text = writer.text;
        for (output, root) in graph.outputs().iter().zip(roots) {
            let _ = writeln!(text, "  out {} = {root}", quoted(&output.name));
        }
        text.push_str("}\n");
        text
    }
}

impl Graph {
    /// How the text form refers to a node.
    pub fn reference(&self, id: NodeId) -> String {
        reference(self, id)
    }

    /// How the text form writes a node by itself: the name of its function, or the sign of its operator, and its
    /// attributes, such as `axes=[0]`.
    pub fn notation(&self, id: NodeId) -> (&'static str, Vec<String>) {
        let several = vec![2; self.nodes().len()];
        let (name, attributes) = match form(self, id, &several).style {
            Style::Infix(sign, _) | Style::Prefix(sign, _) => (sign, vec![]),
            Style::Call(name, attributes) => (name, attributes),
            Style::Apply(op, attributes) => (op.name(), attributes),
        };
        (name, attributes.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    /// A node by its op, its operands and all of its attributes, with nothing written inside.
    pub fn expression(&self, id: NodeId) -> String {
        let node = self.node(id);
        let mut words: Vec<String> = node.op.functions().iter().map(|f| quoted(f.name())).collect();
        words.extend(node.inputs.iter().map(|&i| reference(self, i)));
        let attributes = attributes(&node.op).into_iter();
        let attributes = attributes.filter(|(key, _)| !matches!(*key, "fn" | "then" | "else"));
        words.extend(attributes.map(|(key, value)| format!("{key}={value}")));
        format!("{}({})", node.op.name(), words.join(", "))
    }
}
