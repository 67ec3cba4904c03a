//! Maps, reductions along rows, and everything in between.
//!
//! A value at every position of a row is known at some *level*: after that many folds have finished. Pass `L` folds and
//! stores what is known at level `L`; between passes, the values of a row that follow from its folds are computed once.

use super::Lowering;
use super::emit::{Accesses, Arg, Emitter, Source};
use crate::groups::{Kind, Role};
use crate::maps::Merged;
use crate::plan::{Fold, FoldOp, KernelKind, Phase, RowKernel, Store};
use eggrad_ir::{BinaryOp, NodeId, Op, ReduceOp, UnaryOp};
use std::collections::BTreeMap;

pub(super) fn fold_op(op: ReduceOp) -> FoldOp {
    match op {
        ReduceOp::Sum => FoldOp::Sum,
        ReduceOp::Prod => FoldOp::Prod,
        ReduceOp::Max => FoldOp::Max,
        ReduceOp::Min => FoldOp::Min,
        ReduceOp::LogSumExp => panic!("internal error: `logsumexp` is not legal"),
    }
}

/// Values that cost more than storing and loading them.
fn is_expensive(op: &Op) -> bool {
    match op {
        Op::Unary(op) => match op {
            UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Exp2
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Log2
            | UnaryOp::Log1mexp
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Erf
            | UnaryOp::Erfc
            | UnaryOp::LogErfc
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus => true,
            UnaryOp::Neg
            | UnaryOp::Abs
            | UnaryOp::Sign
            | UnaryOp::Square
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Recip
            | UnaryOp::Relu
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Not => false,
        },
        Op::Binary(op) => match op {
            BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy => true,
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Maximum
            | BinaryOp::Minimum
            | BinaryOp::And
            | BinaryOp::Or => false,
        },
        Op::RandomKey { .. } | Op::Random { .. } => true,
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
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

impl Lowering<'_> {
    pub(super) fn row(&mut self, group: usize) -> (KernelKind, Vec<Arg>, bool) {
        let g = self.group(group);
        self.stash(group);
        let (merged, outer) = self.row_loops(group);
        let mut accesses = Accesses::default();
        let mut phases = vec![];
        let mut scalars = BTreeMap::new();
        let levels = g.members.iter().map(|m| self.groups.level[m.index()]).max().unwrap_or(0);
        for level in 0..=levels {
            self.beside(group, level, &merged, &mut accesses, &mut scalars, &mut phases);
            self.along(group, level, &merged, &mut accesses, &mut scalars, &mut phases);
        }
        let (outer, row) = (merged.sizes[..outer].to_vec(), merged.sizes[outer]);
        let kernel = RowKernel { outer, row, accesses: accesses.list, phases };
        (KernelKind::Row(kernel), accesses.args, true)
    }

    /// Merged loops, the row last, and how many lie around it.
    fn row_loops(&self, group: usize) -> (Merged, usize) {
        let g = self.group(group);
        if g.kind == Kind::Row {
            let row = g.sizes.len() - 1;
            let reduction = g.members.iter().find(|m| !self.groups.arg[m.index()].is_empty());
            let lead = reduction.map(|r| self.groups.arg[r.index()].clone()).unwrap_or_default();
            let outer = self.ordered(group, &lead, |d| g.roles[d] != Role::Row);
            let (merged, counts) = self.merge(group, &[outer, vec![row]]);
            return (merged, counts[0]);
        }
        let stored = g.members.iter().find(|m| self.stored[m.index()]);
        let lead = stored.map(|s| self.groups.at[s.index()].clone()).unwrap_or_default();
        let all = self.ordered(group, &lead, |_| true);
        let (mut merged, counts) = self.merge(group, &[all]);
        if counts[0] == 0 {
            merged.push_unit();
        }
        let outer = merged.sizes.len() - 1;
        (merged, outer)
    }

    /// Whether a member has an element at every position of a row.
    fn is_full(&self, group: usize, id: NodeId) -> bool {
        let g = self.group(group);
        g.kind == Kind::Map || self.groups.at[id.index()].last().is_some_and(|&step| step != 0)
    }

    fn is_reduction(&self, id: NodeId) -> bool {
        matches!(self.groups.graph.node(id).op, Op::Reduce(..))
    }

    /// Members that a member reads, through lazy nodes.
    fn members_read(&self, group: usize, id: NodeId) -> Vec<NodeId> {
        let reads = self.groups.pulled(id).reads.into_iter().map(|r| r.0);
        let mut own: Vec<NodeId> =
            reads.filter(|r| self.groups.home[r.index()] == Some(group)).collect();
        own.sort_unstable();
        own.dedup();
        own
    }

    /// Marks expensive values that several passes need as stored, or what is made of them alone on their way there.
    fn stash(&mut self, group: usize) {
        let g = self.group(group);
        let levels = g.members.iter().map(|m| self.groups.level[m.index()]).max().unwrap_or(0);
        if levels < 2 {
            return;
        }
        let reads: BTreeMap<NodeId, Vec<NodeId>> =
            g.members.iter().map(|&m| (m, self.members_read(group, m))).collect();
        for &id in g.members.iter().rev() {
            let expensive = is_expensive(&self.groups.graph.node(id).op);
            if !expensive || !self.is_full(group, id) || self.stored[id.index()] {
                continue;
            }
            let several = |id: NodeId| {
                (0..=levels).filter(|&l| self.needed(group, l, id, &reads)).count() > 1
            };
            if several(id) {
                let mut last = id;
                while let Some(reader) = self.only_reader(group, last, &reads)
                    && several(reader)
                {
                    last = reader;
                }
                self.stored[last.index()] = true;
            }
        }
    }

    /// The one member that reads `id`, if it has a value of the same kind at the same positions of the same pass.
    fn only_reader(
        &self,
        group: usize,
        id: NodeId,
        reads: &BTreeMap<NodeId, Vec<NodeId>>,
    ) -> Option<NodeId> {
        let mut readers = reads.iter().filter(|(_, operands)| operands.contains(&id));
        let (&reader, _) = readers.next()?;
        let graph = &self.groups.graph;
        let alike = readers.next().is_none()
            && self.groups.level[reader.index()] == self.groups.level[id.index()]
            && self.is_full(group, reader)
            && !self.is_reduction(reader)
            && graph.ty(reader) == graph.ty(id);
        alike.then_some(reader)
    }

    /// Whether pass `level` computes `id`.
    fn needed(
        &self,
        group: usize,
        level: usize,
        id: NodeId,
        reads: &BTreeMap<NodeId, Vec<NodeId>>,
    ) -> bool {
        let known = |m: NodeId| self.groups.level[m.index()];
        let mut stack: Vec<NodeId> = vec![];
        for (&member, operands) in reads {
            if self.is_reduction(member) && known(member) == level + 1 {
                stack.extend(operands);
            } else if self.stored[member.index()] && known(member) == level {
                stack.push(member);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        while let Some(member) = stack.pop() {
            let loaded = self.stored[member.index()] && known(member) < level;
            if loaded || !self.is_full(group, member) || !seen.insert(member) {
                continue;
            }
            if member == id {
                return true;
            }
            stack.extend(&reads[&member]);
        }
        false
    }

    /// The computation beside the rows that follows from the folds of the passes before `level`.
    fn beside(
        &self,
        group: usize,
        level: usize,
        merged: &Merged,
        accesses: &mut Accesses,
        scalars: &mut BTreeMap<NodeId, usize>,
        phases: &mut Vec<Phase>,
    ) {
        let g = self.group(group);
        let known = |m: NodeId| self.groups.level[m.index()];
        let here: Vec<NodeId> = g
            .members
            .iter()
            .copied()
            .filter(|&m| known(m) == level && !self.is_full(group, m))
            .collect();
        let exported = |m: NodeId| {
            let reader = |r: &&NodeId| {
                let later =
                    known(**r) > level || self.is_full(group, **r) || self.is_reduction(**r);
                later && self.members_read(group, **r).contains(&m)
            };
            !self.is_reduction(m) && g.members.iter().find(reader).is_some()
        };
        let earlier = scalars.clone();
        let source = |m: NodeId| earlier.get(&m).map_or(Source::Here, |&s| Source::Scalar(s));
        let mut emitter = Emitter::new(self.groups, group, merged, accesses, &source);
        let (mut results, mut stores) = (vec![], vec![]);
        let mut next = scalar_count(phases);
        for &member in &here {
            let (export, store) = (exported(member), self.stored[member.index()]);
            if !export && !store {
                continue;
            }
            let value = emitter.member(member);
            if export {
                scalars.insert(member, next);
                next += 1;
                results.push(value);
            }
            if store {
                let access = emitter.access(member, &self.groups.at[member.index()]);
                stores.push(Store { access, value, add_at: None });
            }
        }
        if !results.is_empty() || !stores.is_empty() {
            phases.push(Phase::Scalar { body: emitter.body, results, stores });
        }
    }

    /// The walk along the row that folds and stores what is known at `level`.
    fn along(
        &self,
        group: usize,
        level: usize,
        merged: &Merged,
        accesses: &mut Accesses,
        scalars: &mut BTreeMap<NodeId, usize>,
        phases: &mut Vec<Phase>,
    ) {
        let g = self.group(group);
        let known = |m: NodeId| self.groups.level[m.index()];
        let earlier = scalars.clone();
        let source = |m: NodeId| match earlier.get(&m) {
            Some(&scalar) => Source::Scalar(scalar),
            None if self.stored[m.index()] && known(m) < level => Source::Memory,
            None => Source::Here,
        };
        let mut emitter = Emitter::new(self.groups, group, merged, accesses, &source);
        let (mut folds, mut stores) = (vec![], vec![]);
        let mut next = scalar_count(phases);
        for &member in &g.members {
            if let Op::Reduce(op, _) = self.groups.graph.node(member).op
                && known(member) == level + 1
            {
                folds.push(Fold { op: fold_op(op), value: emitter.argument(member) });
                scalars.insert(member, next);
                next += 1;
            } else if known(member) == level
                && self.stored[member.index()]
                && self.is_full(group, member)
            {
                let value = emitter.member(member);
                let access = emitter.access(member, &self.groups.at[member.index()]);
                stores.push(Store { access, value, add_at: None });
            }
        }
        if !folds.is_empty() || !stores.is_empty() {
            phases.push(Phase::Pass { body: emitter.body, folds, stores });
        }
    }
}

/// Scalars that the phases so far have made.
fn scalar_count(phases: &[Phase]) -> usize {
    phases
        .iter()
        .map(|phase| match phase {
            Phase::Pass { folds, .. } => folds.len(),
            Phase::Scalar { results, .. } => results.len(),
        })
        .sum()
}
