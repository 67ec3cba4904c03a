//! Which nodes are written inside their user's line: reading a text must make the same nodes in the same order.
//!
//! Nodes are visited in order. What may still be written inside a later line waits in a queue; the lines of a text make
//! what waits from front to back. A node takes operands from the back of the queue if they stand there in the order in
//! which reading its line makes them; whatever else it needs gets a line of its own, and so does all that waits before
//! that.

use super::attributes::{Attr, literal};
use super::form::{Form, Style, form, plain};
use super::lex::quoted;
use super::syntax::strength;
use crate::graph::{Graph, NodeId};
use crate::op::Op;
use crate::types::{DType, Literal};
use std::collections::VecDeque;
use std::fmt::Write;

/// Operators and calls inside each other on one line.
const MAX_DEPTH: usize = 8;

/// Characters of an expression.
const MAX_WIDTH: usize = 92;

/// A text with what is needed to put it inside another.
#[derive(Clone)]
struct Written {
    text: String,
    strength: u8,
    depth: usize,
}

/// A node that has no line yet.
struct Waiting {
    node: NodeId,
    /// None for what is written nowhere, or as a number: constants, and nodes that reading adds by itself.
    written: Option<Written>,
}

/// Writes the lines of one graph.
pub(super) struct Writer<'g> {
    graph: &'g Graph,
    /// How a function is called here, and whether `name(..)` calls it.
    function: &'g dyn Fn(&Op) -> Vec<(String, bool)>,
    indent: &'static str,
    /// Number of places that name each node; what reading adds by itself names nothing.
    named: Vec<u32>,
    /// Nodes that appear only where reading adds them.
    silent: Vec<bool>,
    uses: Vec<u32>,
    queue: VecDeque<Waiting>,
    /// Number of entries that have left the front of the queue.
    gone: usize,
    /// Place in the queue, counting those gone.
    place: Vec<Option<usize>>,
    /// Nodes with a line, or with a declaration.
    lined: Vec<bool>,
    /// The last node with a line; reading has made it and all before it.
    last: Option<NodeId>,
    /// The lines.
    pub(super) text: String,
}

impl<'g> Writer<'g> {
    pub(super) fn new(
        graph: &'g Graph,
        indent: &'static str,
        function: &'g dyn Fn(&Op) -> Vec<(String, bool)>,
    ) -> Writer<'g> {
        let count = graph.nodes().len();
        let mut uses = vec![0u32; count];
        let operands = graph.nodes().iter().flat_map(|n| n.inputs.iter().copied());
        operands.chain(graph.roots()).for_each(|id| uses[id.index()] += 1);
        let (named, silent) = naming(graph, &uses);
        Writer {
            graph,
            function,
            indent,
            named,
            silent,
            uses,
            queue: VecDeque::new(),
            gone: 0,
            place: vec![None; count],
            lined: vec![false; count],
            last: None,
            text: String::new(),
        }
    }

    /// Takes note that `id` is declared by a line or header already written.
    pub(super) fn declared(&mut self, id: NodeId) {
        self.lined[id.index()] = true;
        self.last = Some(id);
    }

    /// Writes the lines that must stand before a declaration.
    pub(super) fn flush(&mut self) {
        while !self.queue.is_empty() {
            self.flush_first();
        }
    }

    /// Takes up the next node, which is neither input nor state.
    pub(super) fn visit(&mut self, id: NodeId) {
        let op = &self.graph.node(id).op;
        if matches!(op, Op::Const(..)) || self.silent[id.index()] {
            self.push(id, None);
            return;
        }
        let form = form(self.graph, id, &self.uses);
        let order: Vec<NodeId> = form.order().collect();
        let mut taken = self.tail(&order);
        let typed = form.operands.iter().zip(&form.bare).filter(|(_, bare)| !**bare);
        if typed.into_iter().any(|(o, _)| self.may_come_early(*o)) {
            taken = self.without_texts(taken);
        }
        self.flush_others(&order, taken);
        let mut written = self.write(&form, taken);
        if written.depth > MAX_DEPTH || written.text.chars().count() > MAX_WIDTH {
            let fewer = self.without_texts(taken);
            if fewer < taken {
                taken = fewer;
                self.flush_others(&order, taken);
                written = self.write(&form, taken);
            }
        }
        for _ in 0..taken {
            self.pop();
        }
        if self.named[id.index()] == 1 {
            self.push(id, Some(written));
        } else {
            self.flush();
            self.line(id, &written.text);
        }
    }

    /// Ends the nodes: the texts of the roots, in their order.
    pub(super) fn finish(&mut self) -> Vec<String> {
        let roots: Vec<NodeId> = self.graph.roots().collect();
        let early = roots.iter().any(|&id| self.may_come_early(id));
        let taken = if early { 0 } else { self.tail(&roots) };
        while self.queue.len() > taken {
            self.flush_first();
        }
        roots.iter().map(|&id| self.operand(id, false, taken).text).collect()
    }

    /// Whether `id` is a constant inside what waits: written with its type, it is made where it stands, which may be
    /// before that.
    fn may_come_early(&self, id: NodeId) -> bool {
        let constant = matches!(self.graph.node(id).op, Op::Const(..));
        constant && self.place[id.index()].is_none() && Some(id) > self.last
    }

    fn push(&mut self, node: NodeId, written: Option<Written>) {
        self.place[node.index()] = Some(self.gone + self.queue.len());
        self.queue.push_back(Waiting { node, written });
    }

    fn pop(&mut self) {
        if let Some(last) = self.queue.pop_back() {
            self.place[last.node.index()] = None;
        }
    }

    /// Number of entries at the back of the queue that are among `order` and stand in its order.
    fn tail(&self, order: &[NodeId]) -> usize {
        let mut taken = 0;
        let mut limit = order.len();
        for waiting in self.queue.iter().rev() {
            match order[..limit].iter().position(|&id| id == waiting.node) {
                Some(position) => limit = position,
                None => break,
            }
            taken += 1;
        }
        taken
    }

    /// Of the last `taken` entries, those after the last one with a text.
    fn without_texts(&self, taken: usize) -> usize {
        self.queue.iter().rev().take(taken).take_while(|w| w.written.is_none()).count()
    }

    /// Gives a line to whatever of `order` waits besides the last `taken` entries, and to all before it.
    fn flush_others(&mut self, order: &[NodeId], taken: usize) {
        let kept = self.gone + self.queue.len() - taken;
        let places = order.iter().filter_map(|id| self.place[id.index()]);
        if let Some(last) = places.filter(|&p| p < kept).max() {
            while self.gone <= last {
                self.flush_first();
            }
        }
    }

    fn flush_first(&mut self) {
        let Some(first) = self.queue.pop_front() else { return };
        self.gone += 1;
        self.place[first.node.index()] = None;
        match first.written {
            Some(written) => self.line(first.node, &written.text),
            None => {
                let node = self.graph.node(first.node);
                let written = self.write(&plain(&node.op, node.inputs.clone()), 0);
                self.line(first.node, &written.text);
            }
        }
    }

    fn line(&mut self, id: NodeId, text: &str) {
        self.lined[id.index()] = true;
        self.last = Some(id);
        let _ = writeln!(self.text, "{}%{} = {text}", self.indent, id.0);
    }

    /// `form` with the last `taken` entries of the queue inside.
    fn write(&self, form: &Form, taken: usize) -> Written {
        let bare = form.operands.iter().zip(&form.bare);
        let operands: Vec<Written> =
            bare.map(|(&id, &bare)| self.operand(id, bare, taken)).collect();
        let depth = 1 + operands.iter().map(|o| o.depth).max().unwrap_or(0);
        let within = |i: usize, least: u8| match operands.get(i) {
            Some(o) if o.strength >= least => o.text.clone(),
            Some(o) => format!("({})", o.text),
            None => String::new(),
        };
        let (text, strength) = match &form.style {
            Style::Infix(sign, own) => {
                // Powers group to the right, comparisons not at all, everything else to the left.
                let (left, right) = match *own {
                    strength::POW => (strength::ATOM, strength::NEG),
                    strength::COMPARE => (own + 1, own + 1),
                    own => (own, own + 1),
                };
                (format!("{} {sign} {}", within(0, left), within(1, right)), *own)
            }
            Style::Prefix(sign, own) => (format!("{sign}{}", within(0, *own)), *own),
            Style::Call(name, attributes) => {
                let texts = operands.iter().map(|o| o.text.clone()).collect();
                (call(name, texts, attributes), strength::ATOM)
            }
            Style::Apply(op, attributes) => {
                let texts = operands.iter().map(|o| o.text.clone()).collect();
                (self.application(op, texts, attributes), strength::ATOM)
            }
        };
        Written { text, strength, depth }
    }

    /// `f(x)`, `call(f, x)`, `scan(f, x)` or `cond(c, f, g, x)`.
    fn application(
        &self,
        op: &Op,
        mut operands: Vec<String>,
        attributes: &[(&'static str, Attr)],
    ) -> String {
        let functions = (self.function)(op);
        match (op, &functions[..]) {
            (Op::Call { .. }, [(name, true)]) => return call(name, operands, attributes),
            (Op::Cond { .. }, [then, otherwise]) => {
                operands.insert(1, otherwise.0.clone());
                operands.insert(1, then.0.clone());
            }
            (_, functions) => {
                for (name, _) in functions.iter().rev() {
                    operands.insert(0, name.clone());
                }
            }
        }
        call(op.name(), operands, attributes)
    }

    /// How an operand is written; `bare` constants take their type from what stands beside them.
    fn operand(&self, id: NodeId, bare: bool, taken: usize) -> Written {
        let atom = |text: String| Written { text, strength: strength::ATOM, depth: 0 };
        let node = self.graph.node(id);
        if let Op::Const(dtype, value) = &node.op {
            return match (dtype, value) {
                (DType::Bool, Literal::Bool(_)) => atom(literal(*value)),
                _ if bare => {
                    let text = literal(*value);
                    let negative = text.starts_with('-');
                    let strength = if negative { strength::NEG } else { strength::ATOM };
                    Written { text, strength, depth: 0 }
                }
                _ if self.lined[id.index()] => atom(format!("%{}", id.0)),
                _ => {
                    let form = plain(&node.op, vec![]);
                    let Style::Call(name, attributes) = &form.style else {
                        return atom(String::new());
                    };
                    atom(call(name, vec![], attributes))
                }
            };
        }
        let from = self.gone + self.queue.len() - taken;
        if let Some(place) = self.place[id.index()].filter(|&p| p >= from)
            && let Some(written) = &self.queue[place - self.gone].written
        {
            return written.clone();
        }
        if self.silent[id.index()] && !self.lined[id.index()] {
            // Made inside another line, where it is not written. What it is made of has a line.
            return self.write(&plain(&node.op, node.inputs.clone()), 0);
        }
        atom(reference(self.graph, id))
    }
}

/// How a line refers to a node that has a line of its own.
pub(super) fn reference(graph: &Graph, id: NodeId) -> String {
    match graph.node(id).op {
        Op::Input(i) => match graph.inputs().get(i) {
            Some(input) => quoted(&input.name),
            None => format!("%{}", id.0),
        },
        Op::State(i) => quoted(&graph.states()[i].name),
        _ => format!("%{}", id.0),
    }
}

fn call(name: &str, mut arguments: Vec<String>, attributes: &[(&'static str, Attr)]) -> String {
    arguments.extend(attributes.iter().map(|(key, value)| format!("{key}={value}")));
    format!("{name}({})", arguments.join(", "))
}

/// How many places name each node, and which nodes only appear where reading adds them.
fn naming(graph: &Graph, uses: &[u32]) -> (Vec<u32>, Vec<bool>) {
    let count = graph.nodes().len();
    let (mut named, mut parts) = (vec![0u32; count], vec![0u32; count]);
    let mut silent = vec![false; count];
    graph.roots().for_each(|id| named[id.index()] += 1);
    for id in graph.ids().rev() {
        let i = id.index();
        silent[i] = parts[i] > 0 && named[i] == 0;
        // What reading adds somewhere and is named elsewhere needs a line.
        named[i] += parts[i];
        if silent[i] || graph.node(id).inputs.is_empty() {
            continue;
        }
        let form = form(graph, id, uses);
        form.operands.iter().for_each(|o| named[o.index()] += 1);
        form.parts.iter().for_each(|p| parts[p.index()] += 1);
    }
    (named, silent)
}
