//! Values that are cheaper to compute again than to keep: large ones that a few additions and products make of what
//! their readers can reach anyway.

use super::{Groups, is_leaf};
use eggrad_ir::{BinaryOp, MoveOp, NodeId, Op, UnaryOp};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of values that fit in the nearest cache beside others: they are kept.
const SMALL: usize = 64 << 10;

/// Large operands that a reader may have to read instead of the value.
const INSTEAD: usize = 1;

impl Groups<'_> {
    /// Nodes that each reader had better compute itself; `demands` must lie in memory.
    pub(super) fn again(&self, demands: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let mut readers: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (group, g) in self.groups.iter().enumerate().filter(|(_, g)| !g.members.is_empty()) {
            for &id in g.reads.keys().filter(|id| !is_leaf(&self.graph.node(**id).op)) {
                readers.entry(id).or_default().push(group);
            }
        }
        let kept: BTreeSet<NodeId> = readers.keys().copied().collect();
        let mut reads: Vec<BTreeSet<NodeId>> =
            self.groups.iter().map(|g| g.reads.keys().copied().collect()).collect();
        let mut again = BTreeSet::new();
        for (&id, groups) in &readers {
            let node = self.graph.node(id);
            if !is_arithmetic(&node.op)
                || node.ty.bytes() < SMALL
                || demands.contains(&id)
                || self.root[id.index()]
                || self.setup[id.index()]
            {
                continue;
            }
            let Some(operands) = self.reachable(id, &kept, &again) else { continue };
            let large: Vec<NodeId> = operands
                .into_iter()
                .filter(|&o| 2 * self.elements(o) >= self.elements(id))
                .collect();
            let more = |&group: &usize| {
                large.iter().filter(|operand| !reads[group].contains(operand)).count()
            };
            if groups.iter().all(|group| more(group) <= INSTEAD) {
                again.insert(id);
                groups.iter().for_each(|&group| reads[group].extend(&large));
            }
        }
        again
    }

    /// What a node is made of, through values that are not kept; none if some of that is not in memory.
    fn reachable(
        &self,
        id: NodeId,
        kept: &BTreeSet<NodeId>,
        again: &BTreeSet<NodeId>,
    ) -> Option<BTreeSet<NodeId>> {
        let mut found = BTreeSet::new();
        let mut stack = self.graph.node(id).inputs.clone();
        while let Some(operand) = stack.pop() {
            let node = self.graph.node(operand);
            if is_leaf(&node.op) || (kept.contains(&operand) && !again.contains(&operand)) {
                found.insert(operand);
            } else if !self.solid[operand.index()] || again.contains(&operand) {
                let moves = matches!(node.op, Op::Move(_)) && !is_view(&node.op);
                if moves {
                    return None;
                }
                stack.extend(&node.inputs);
            } else {
                return None;
            }
        }
        Some(found)
    }

    /// Bytes that all kernels read and write, and how many kernels there are.
    pub(super) fn traffic(&self) -> (usize, usize) {
        let groups = || self.groups.iter().filter(|g| !g.members.is_empty());
        let bytes = |id: &NodeId| self.graph.ty(*id).bytes();
        let reads: usize = groups().flat_map(|g| g.reads.keys()).map(bytes).sum();
        let kept: BTreeSet<NodeId> = groups().flat_map(|g| g.reads.keys()).copied().collect();
        let kept = kept.iter().filter(|id| !is_leaf(&self.graph.node(**id).op));
        let writes: usize = kept.map(bytes).sum();
        (reads + writes, groups().count())
    }
}

/// Moves that cost nothing where they are read.
fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Move(
            MoveOp::Reshape(_)
                | MoveOp::Transpose(_)
                | MoveOp::Broadcast { .. }
                | MoveOp::Slice { .. }
        )
    )
}

/// Whether an op is a few plain instructions.
fn is_arithmetic(op: &Op) -> bool {
    match op {
        Op::Binary(
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Maximum | BinaryOp::Minimum,
        )
        | Op::Unary(UnaryOp::Abs | UnaryOp::Square | UnaryOp::Relu)
        | Op::Select => true,
        Op::Binary(
            BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy
            | BinaryOp::And
            | BinaryOp::Or,
        )
        | Op::Unary(_)
        | Op::Input(_)
        | Op::State(_)
        | Op::Data(_)
        | Op::Const(..)
        | Op::Size { .. }
        | Op::Iota { .. }
        | Op::Compare(_)
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
        | Op::OneHot { .. }
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => false,
    }
}
