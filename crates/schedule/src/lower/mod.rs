//! Groups to kernels whose buffers are not known yet.

mod apply;
mod column;
mod emit;
pub(crate) mod ops;
mod product;
mod row;
mod scatter;

pub(crate) use emit::Arg;
pub(crate) use ops::lane;

use crate::Bodies;
use crate::groups::{Group, Groups, Kind};
use crate::maps::{Map, Merged};
use crate::plan::{Kernel, KernelKind};
use eggrad_ir::{Graph, MoveOp, NodeId, Op, Part};
use std::cmp::Reverse;

/// A kernel whose accesses count `args`.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kernel: Kernel,
    pub(crate) args: Vec<Arg>,
}

/// What lowering reads.
pub(crate) struct Lowering<'a> {
    pub(crate) groups: &'a Groups<'a>,
    /// Nodes that are stored.
    pub(crate) stored: Vec<bool>,
    /// The graph that the user gave, and the part of each of its nodes.
    pub(crate) original: &'a Graph,
    pub(crate) parts: Vec<Part>,
    /// Plans of the sub-graphs that it applies.
    pub(crate) bodies: &'a Bodies,
}

/// Moves that are strides alone.
fn is_view(op: &Op) -> bool {
    matches!(op, Op::Move(_)) && !matches!(op, Op::Move(MoveOp::Pad { .. }))
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(
        groups: &'a Groups<'a>,
        original: &'a Graph,
        bodies: &'a Bodies,
    ) -> Lowering<'a> {
        let mut stored = vec![false; groups.graph.nodes().len()];
        groups.graph.roots().for_each(|r| stored[r.index()] = true);
        for group in &groups.groups {
            group.reads.keys().for_each(|r| stored[r.index()] = true);
        }
        for id in groups.graph.ids() {
            stored[id.index()] &= groups.home[id.index()].is_some();
        }
        Lowering { groups, stored, original, parts: eggrad_ir::parts(original), bodies }
    }

    /// The kernels of a group, in order.
    pub(crate) fn lower(&mut self, group: usize) -> Vec<Draft> {
        let kernels = match self.groups.groups[group].kind {
            Kind::Map | Kind::Row => vec![self.row(group)],
            Kind::Column => vec![self.column(group)],
            Kind::Product => vec![self.product(group)],
            Kind::Scatter => self.scatter(group),
            Kind::Apply => vec![self.apply(group)],
        };
        let draft = |(kind, args, splittable): (KernelKind, Vec<Arg>, bool)| {
            let (name, nodes, part) = self.describe(group);
            Draft { kernel: Kernel { name, kind, args: vec![], nodes, part, splittable }, args }
        };
        kernels.into_iter().map(draft).collect()
    }

    fn group(&self, group: usize) -> &'a Group {
        &self.groups.groups[group]
    }

    /// Every map over a group's loops that its kernel will use.
    fn maps(&self, group: usize) -> Vec<Map> {
        let g = self.group(group);
        let mut maps: Vec<Map> = g.reads.values().flatten().cloned().collect();
        for &member in &g.members {
            if self.stored[member.index()] {
                maps.push(self.groups.at[member.index()].clone());
            }
            maps.extend(self.groups.pulled(member).positions);
        }
        maps
    }

    /// Loops for which `wanted` holds, ordered as `map` lies in memory.
    fn ordered(&self, group: usize, map: &[usize], wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut dims: Vec<usize> =
            (0..self.group(group).sizes.len()).filter(|&d| wanted(d)).collect();
        dims.sort_by_key(|&d| Reverse(map[d]));
        dims
    }

    /// Merges the loops of a group; `order` as for [`Merged::new`].
    fn merge(&self, group: usize, order: &[Vec<usize>]) -> (Merged, Vec<usize>) {
        Merged::new(&self.group(group).sizes, order, &self.maps(group))
    }

    /// Name, original nodes and part of a group.
    fn describe(&self, group: usize) -> (String, Vec<NodeId>, Part) {
        const MOST: usize = 6;
        let mut nodes = vec![];
        for &member in &self.group(group).members {
            nodes.push(self.groups.legal.origin[member.index()]);
            let lazy = self.groups.pulled(member).lazy.into_iter();
            let lazy = lazy.filter(|l| !matches!(self.groups.graph.node(*l).op, Op::Const(..)));
            nodes.extend(lazy.map(|l| self.groups.legal.origin[l.index()]));
        }
        nodes.sort_unstable();
        nodes.dedup();
        let own = |id: &&NodeId| {
            let op = &self.original.node(**id).op;
            !matches!(
                op,
                Op::Const(..) | Op::Input(_) | Op::State(_) | Op::Data(_) | Op::Size { .. }
            )
        };
        let moves = |id: &&NodeId| !is_view(&self.original.node(**id).op);
        let mut names: Vec<&str> = vec![];
        let computing = nodes.iter().filter(own).filter(moves).count();
        for id in nodes.iter().filter(own).filter(|id| computing == 0 || moves(id)) {
            let name = self.original.node(*id).op.name();
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        // A fold that became a convolution pads the cotangent and turns the weight round.
        let moves_only = |m: &NodeId| {
            let op = &self.groups.graph.node(*m).op;
            let origin = &self.original.node(self.groups.legal.origin[m.index()]).op;
            let made = matches!(op, Op::Move(MoveOp::Pad { .. }) | Op::Gather { .. });
            is_view(op) || made && matches!(origin, Op::Fold { .. })
        };
        if self.group(group).members.iter().all(moves_only) {
            names = vec!["pack"];
        }
        let more = names.len() > MOST;
        names.truncate(MOST);
        let mut name = if names.is_empty() { "copy".to_string() } else { names.join("+") };
        if more {
            name.push_str("+..");
        }
        let rank = |part: Part| match part {
            Part::Forward => 0,
            Part::Backward => 1,
            Part::Update => 2,
        };
        let parts = nodes.iter().filter(own).map(|id| self.parts[id.index()]);
        let part = parts.max_by_key(|p| rank(*p)).unwrap_or(Part::Forward);
        (name, nodes, part)
    }
}
