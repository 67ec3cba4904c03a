//! Reductions down columns.

use super::Lowering;
use super::emit::{Accesses, Arg, Emitter, Source};
use super::row::fold_op;
use crate::groups::Role;
use crate::plan::{ColumnKernel, Fold, KernelKind, Store};
use eggrad_ir::{NodeId, Op};
use std::collections::BTreeMap;

impl Lowering<'_> {
    pub(super) fn column(&self, group: usize) -> (KernelKind, Vec<Arg>, bool) {
        let (g, groups) = (self.group(group), self.groups);
        let reductions: Vec<NodeId> = g
            .members
            .iter()
            .copied()
            .filter(|m| matches!(groups.graph.node(*m).op, Op::Reduce(..)))
            .collect();
        let lead = &groups.arg[reductions[0].index()];
        let kept = self.ordered(group, lead, |d| g.roles[d] == Role::Keep);
        let reduced = self.ordered(group, lead, |d| g.roles[d] == Role::Reduced);
        let (mut merged, counts) = self.merge(group, &[kept, reduced]);
        merged.move_to_end(counts[0] - 1);
        let mut accesses = Accesses::default();
        let here = |_: NodeId| Source::Here;
        let mut emitter = Emitter::new(groups, group, &merged, &mut accesses, &here);
        let mut folds = vec![];
        for &member in &reductions {
            let Op::Reduce(op, _) = groups.graph.node(member).op else { continue };
            folds.push(Fold { op: fold_op(op), value: emitter.argument(member) });
        }
        let body = emitter.body;
        let scalars: BTreeMap<NodeId, usize> =
            reductions.iter().enumerate().map(|(i, &r)| (r, i)).collect();
        let source = |m: NodeId| scalars.get(&m).map_or(Source::Here, |&s| Source::Scalar(s));
        let mut emitter = Emitter::new(groups, group, &merged, &mut accesses, &source);
        let mut stores = vec![];
        for &member in g.members.iter().filter(|m| self.stored[m.index()]) {
            let value = emitter.member(member);
            let access = emitter.access(member, &groups.at[member.index()]);
            stores.push(Store { access, value, add_at: None });
        }
        let epilogue = emitter.body;
        let (outer, reduced) = merged.sizes.split_at(counts[0] - 1);
        let kernel = ColumnKernel {
            outer: outer.to_vec(),
            reduced: reduced[..counts[1]].to_vec(),
            row: reduced[counts[1]],
            accesses: accesses.list,
            body,
            folds,
            epilogue,
            stores,
        };
        (KernelKind::Column(kernel), accesses.args, true)
    }
}
