//! What is made of frozen states and constants alone, in a loop's step of its constants: it is computed once for many
//! runs.
//!
//! A group is either of such nodes or of others. A value that goes from the first to the second lies in memory; only
//! views of it are taken where it is read.

use super::{is_cheap, is_leaf};
use crate::legal::Legal;
use eggrad_ir::{MoveOp, NodeId, Op, StateKind};

/// What a value depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    /// Nothing.
    Constant,
    /// Frozen states that stay as they are, and inputs that are the same at every step.
    Frozen,
    /// What may differ from run to run.
    Anew,
}

/// The part of a graph that is computed once.
pub(super) struct Setup {
    /// Whether a node belongs to it; constants do where it reads them.
    pub(super) nodes: Vec<bool>,
    /// Cheap nodes of it that the rest would compute again.
    pub(super) border: Vec<NodeId>,
}

impl Setup {
    pub(super) fn new(legal: &Legal, fixed: usize) -> Setup {
        let graph = &legal.graph;
        let live = || graph.ids().filter(|id| legal.live[id.index()]);
        let mut made = vec![Made::Constant; graph.nodes().len()];
        for id in live() {
            let node = graph.node(id);
            made[id.index()] = if let Op::State(i) = node.op {
                let state = &graph.states()[i];
                let stays = state.write.is_none_or(|w| w == state.read);
                let frozen = state.kind == StateKind::Frozen && stays;
                if frozen { Made::Frozen } else { Made::Anew }
            } else if let Op::Input(i) = node.op {
                if i < fixed { Made::Anew } else { Made::Frozen }
            } else {
                let operands = node.inputs.iter().map(|i| made[i.index()]);
                // A sub-graph is applied in one place, for all who read any of its results.
                let applied = matches!(node.op, Op::Scan { .. } | Op::Cond { .. });
                let least = if applied { Made::Frozen } else { Made::Constant };
                operands.max().unwrap_or(least).max(least)
            };
        }
        let mut nodes = vec![false; graph.nodes().len()];
        for id in live().rev() {
            let node = graph.node(id);
            nodes[id.index()] |= made[id.index()] == Made::Frozen;
            nodes[id.index()] &= !is_leaf(&node.op);
            if nodes[id.index()] {
                node.inputs.iter().for_each(|i| nodes[i.index()] = true);
            }
        }
        let mut border = vec![];
        for id in live().filter(|id| made[id.index()] == Made::Anew) {
            for &input in &graph.node(id).inputs {
                let mut read = input;
                while is_view(&graph.node(read).op) {
                    read = graph.node(read).inputs[0];
                }
                if made[read.index()] == Made::Frozen && is_cheap(&graph.node(read).op) {
                    border.push(read);
                }
            }
        }
        Setup { nodes, border }
    }
}

/// Whether the op shows its operand's elements in other places.
fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Move(
            MoveOp::Reshape(_)
                | MoveOp::Transpose(_)
                | MoveOp::Broadcast { .. }
                | MoveOp::Slice { .. }
                | MoveOp::Window(_)
        )
    )
}
