//! Which nodes are the forward pass, the backward pass and the update of a train step.

use crate::graph::{Graph, StateKind};
use crate::op::Op;

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
