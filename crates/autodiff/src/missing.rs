//! Parameters that a loss asks a derivative of but does not depend on.

use crate::flow::carries;
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
    for (y, grads) in asked {
        let reaches = ancestors(graph, y, &carries);
        for (grad, state) in grads {
            let state = &graph.states()[state];
            if !reaches[state.read.index()] {
                found.push(MissingGradient {
                    name: state.name.clone(),
                    declared: state.at,
                    asked: graph.node(grad).at,
                    broken: find_break(graph, y, state.read),
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
    through: &dyn Fn(&Op, usize) -> bool,
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

fn find_break(graph: &Graph, y: NodeId, leaf: NodeId) -> Break {
    let read = ancestors(graph, y, &|_, _| true);
    let mut flows = vec![false; graph.nodes().len()];
    flows[leaf.index()] = true;
    for id in (leaf.0..=y.0).map(NodeId).filter(|id| read[id.index()]) {
        let node = graph.node(id);
        for (i, input) in node.inputs.iter().enumerate() {
            if !flows[input.index()] {
                continue;
            }
            if !carries(&node.op, i) {
                return Break::Op { op: node.op.name(), at: node.at };
            }
            flows[id.index()] = true;
        }
    }
    Break::Unused
}
