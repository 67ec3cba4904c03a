//! Parameters that a loss asks a derivative of but does not depend on.

use crate::flow::Flow;
use eggrad_ir::{At, Graph, NodeId, Op, StateKind};
use std::collections::BTreeMap;
use std::fmt;

/// Where the way from a parameter to a loss ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Break {
    /// The loss does not read the parameter at all.
    Unused,
    /// The loss reads it only through ops without a derivative; this is the first.
    Op {
        /// Name of the op.
        op: &'static str,
        /// Where it was written.
        at: At,
    },
}

/// A derivative with respect to a parameter that is zero by construction, almost always a mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingGradient {
    /// Name of the parameter.
    pub name: String,
    /// Where it was declared.
    pub declared: At,
    /// Where the derivative was asked for.
    pub asked: At,
    /// Where the way ends.
    pub broken: Break,
}

impl fmt::Display for MissingGradient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |at: At| match at {
            At::Unknown => String::new(),
            At::Source(_) | At::Text { .. } => format!(" at {at}"),
        };
        write!(f, "parameter `{}` gets no gradient: ", self.name)?;
        match &self.broken {
            Break::Unused => f.write_str("the loss does not depend on it")?,
            Break::Op { op, at } => write!(f, "its way to the loss ends at `{op}`{}", place(*at))?,
        }
        if self.declared != At::Unknown {
            write!(f, "\n  declared at {}", self.declared)?;
        }
        if self.asked != At::Unknown {
            write!(f, "\n  gradient asked at {}", self.asked)?;
        }
        let help = match self.broken {
            Break::Unused => "use it in the loss, or declare it frozen",
            Break::Op { .. } => "take the op out of its way, or declare it frozen",
        };
        write!(f, "\nhelp: {help}")
    }
}

/// Every `grad` with respect to a trained parameter ([`StateKind::Param`]) to whose operand no path leads along which
/// a derivative can flow.
pub fn missing(graph: &Graph) -> Vec<MissingGradient> {
    let mut asked: BTreeMap<NodeId, Vec<(NodeId, usize)>> = BTreeMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if node.op != Op::Grad {
            continue;
        }
        if let Op::State(i) = graph.node(node.inputs[1]).op
            && graph.states()[i].kind == StateKind::Param
        {
            asked.entry(node.inputs[0]).or_default().push((id, i));
        }
    }
    let mut found = vec![];
    let mut flow = Flow::default();
    for (y, grads) in asked {
        let reaches = ancestors(graph, y, &mut |op, i| flow.carries(op, i));
        for (grad, state) in grads {
            let state = &graph.states()[state];
            if !reaches[state.read.index()] {
                found.push(MissingGradient {
                    name: state.name.clone(),
                    declared: state.at,
                    asked: graph.node(grad).at,
                    broken: find_break(graph, y, state.read, &mut flow),
                });
            }
        }
    }
    found
}

/// Which nodes `y` depends on through operands that `through` lets pass, itself included.
pub(crate) fn ancestors(
    graph: &Graph,
    y: NodeId,
    through: &mut dyn FnMut(&Op, usize) -> bool,
) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    reached[y.index()] = true;
    for id in (0..=y.0).rev().map(NodeId) {
        if reached[id.index()] {
            let node = graph.node(id);
            for (i, input) in node.inputs.iter().enumerate() {
                reached[input.index()] |= through(&node.op, i);
            }
        }
    }
    reached
}

fn find_break(graph: &Graph, y: NodeId, leaf: NodeId, flow: &mut Flow) -> Break {
    let read = ancestors(graph, y, &mut |_, _| true);
    let mut flows = vec![false; graph.nodes().len()];
    flows[leaf.index()] = true;
    for id in (leaf.0..=y.0).map(NodeId).filter(|id| read[id.index()]) {
        let node = graph.node(id);
        for (i, input) in node.inputs.iter().enumerate() {
            if !flows[input.index()] {
                continue;
            }
            if !flow.carries(&node.op, i) {
                let here = Break::Op { op: node.op.name(), at: node.at };
                return break_inside(&node.op, i, flow).unwrap_or(here);
            }
            flows[id.index()] = true;
        }
    }
    Break::Unused
}

/// The first op without a derivative on the way from operand `operand` of an application to its result.
fn break_inside(op: &Op, operand: usize, flow: &mut Flow) -> Option<Break> {
    let result = op.result()?;
    let (first, carries) = match op {
        Op::Cond { .. } => (1, 0),
        Op::Scan { scan, .. } => (0, scan.carries),
        _ => (0, 0),
    };
    let operand = operand.checked_sub(first)?;
    for function in op.functions() {
        let graph = function.graph();
        let reach = flow.function(function);
        // The operand, and every carried value it flows into on its way.
        let mut queue = vec![operand];
        let mut next = 0;
        while let Some(&input) = queue.get(next) {
            next += 1;
            // Results from which later steps lead on, the one asked for first.
            let ends = [result].into_iter().chain((0..carries).filter(|&c| c != result));
            for end in ends {
                let y = graph.outputs()[end].node;
                match find_break(graph, y, graph.inputs()[input].node, flow) {
                    found @ Break::Op { .. } if !reach[end][input] => return Some(found),
                    Break::Op { .. } | Break::Unused => {}
                }
            }
            queue.extend(
                (0..carries)
                    .filter(|&c| reach[c][input] && !queue.contains(&c))
                    .collect::<Vec<_>>(),
            );
        }
    }
    None
}
