//! Outputs, in-place updates of states, and the order of kernels.

use super::{Assign, uses};
use crate::lower::Arg;
use eggrad_ir::{MoveOp, NodeId, Op};
use petgraph::Direction::Incoming;
use petgraph::graph::NodeIndex;
use petgraph::visit::{Dfs, Reversed};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::btree_map::Entry;

/// Whether a first kernel fills the whole result and a second one, which reads the operands, goes over it again.
fn fills_first(op: &Op) -> bool {
    matches!(op, Op::ScatterAdd { .. } | Op::Fold { .. } | Op::Move(MoveOp::Pad { .. }))
}

/// Whether the kernel that writes the result cannot write it to a second array as well.
fn writes_once(op: &Op) -> bool {
    matches!(op, Op::ScatterAdd { .. } | Op::Fold { .. }) || op.result().is_some()
}

impl Assign<'_> {
    /// Marks the tasks that the guard needs.
    pub(super) fn guard(&mut self, guard: Option<NodeId>) {
        let Some(&maker) = guard.and_then(|g| self.maker.get(&g)) else { return };
        let needed = Reversed(&self.precedence);
        let mut walk = Dfs::new(needed, NodeIndex::new(maker));
        while let Some(task) = walk.next(needed) {
            self.tasks[task.index()].guards = true;
        }
    }

    /// Has every output written by its maker, or copied.
    pub(super) fn outputs(&mut self) {
        let graph = self.groups.graph;
        for (i, output) in graph.outputs().iter().enumerate() {
            let id = output.node;
            let ty = graph.ty(id);
            if ty.shape.elements() == 0 {
                continue;
            }
            if !self.maker.contains_key(&id) || self.groups.setup[id.index()] {
                self.copy(Arg::Value(id), Arg::Output(i), ty, id);
            } else {
                self.keep(id, Arg::Output(i));
            }
        }
    }

    /// Has the value of `id` written to `to`, which holds it from then on if nothing did before.
    fn keep(&mut self, id: NodeId, to: Arg) {
        if let Entry::Vacant(primary) = self.primary.entry(id) {
            primary.insert(to);
        } else if writes_once(&self.groups.graph.node(id).op) {
            self.copy(Arg::Value(id), to, self.groups.graph.ty(id), id);
        } else {
            self.copies.entry(id).or_default().push(to);
        }
    }

    /// Has every state written: in place where all readers of the old value can come first, else by a copy at the end.
    pub(super) fn states(&mut self) {
        let graph = self.groups.graph;
        let mut late = vec![];
        for (i, state) in graph.states().iter().enumerate() {
            let Some(value) = state.write.filter(|&w| w != state.read) else { continue };
            if state.ty.shape.elements() > 0 && !self.in_place(i, state.read, value) {
                late.push((i, state.read, value));
            }
        }
        for (i, read, value) in late {
            let ty = graph.ty(value);
            let copy = if matches!(graph.node(value).op, Op::State(_)) {
                // The other state may be written itself: its old value is set aside before any write to it.
                let aside = self.copy(Arg::Value(value), Arg::Old(i), ty, value);
                for writer in self.writers(value) {
                    self.precede(aside, writer);
                }
                let copy = self.copy(Arg::Old(i), Arg::State(i), ty, value);
                self.precede(aside, copy);
                copy
            } else {
                self.copy(Arg::Value(value), Arg::State(i), ty, value)
            };
            self.follow_readers(copy, read);
        }
    }

    /// Tasks chosen so far to write the state that leaf `read` reads.
    fn writers(&self, read: NodeId) -> Vec<usize> {
        let Op::State(state) = self.groups.graph.node(read).op else { return vec![] };
        let target = Arg::State(state);
        let copies = |t: &usize| self.tasks[*t].drafts.iter().any(|d| d.args.contains(&target));
        let primary = self.primary.iter().filter(|(_, arg)| **arg == target).map(|p| p.0);
        let mirrored = self.copies.iter().filter(|(_, args)| args.contains(&target)).map(|m| m.0);
        let makers = primary.chain(mirrored).filter_map(|id| self.maker.get(id).copied());
        makers.chain((0..self.tasks.len()).filter(copies)).collect()
    }

    /// Tasks other than `but` that read what leaf `read` held before the run.
    fn readers_but(&self, read: NodeId, but: usize) -> Vec<usize> {
        let all = self.readers.get(&read).into_iter().flatten();
        all.copied().filter(|&t| t != but).collect()
    }

    /// Has `writer` run after all that read what leaf `read` held before the run.
    fn follow_readers(&mut self, writer: usize, read: NodeId) {
        for reader in self.readers_but(read, writer) {
            self.precede(reader, writer);
        }
    }

    /// Writes state `state`, read by leaf `read`, where its new value is made; false when that cannot be.
    fn in_place(&mut self, state: usize, read: NodeId, value: NodeId) -> bool {
        let graph = self.groups.graph;
        let Some(&maker) = self.maker.get(&value) else {
            if matches!(graph.node(value).op, Op::State(_)) {
                return false;
            }
            // An input or a constant: the copy itself is the writer.
            let copy = self.copy(Arg::Value(value), Arg::State(state), graph.ty(value), value);
            self.follow_readers(copy, read);
            return true;
        };
        if self.tasks[maker].guards
            || self.tasks[maker].setup
            || fills_first(&graph.node(value).op)
            || !self.same_positions(maker, read, value)
            || self.leads_to(maker, &self.readers_but(read, maker))
        {
            return false;
        }
        self.follow_readers(maker, read);
        self.keep(value, Arg::State(state));
        true
    }

    /// Whether `task` reads the old value only where, and not after, it writes the new one.
    fn same_positions(&self, task: usize, read: NodeId, value: NodeId) -> bool {
        self.tasks[task].drafts.iter().all(|draft| {
            let number = |id| draft.args.iter().position(|a| *a == Arg::Value(id));
            let (Some(old), Some(new)) = (number(read), number(value)) else { return true };
            let all = uses(&draft.kernel.kind);
            let stores = || all.iter().filter(|u| u.store && u.arg == new);
            let mut loads = all.iter().filter(|u| !u.store && u.arg == old);
            loads.all(|load| {
                let same = |s: &super::uses::Use| {
                    load.phase <= s.phase && load.strides == s.strides && load.offset == s.offset
                };
                !load.moved && stores().all(same)
            })
        })
    }

    /// Whether one of `tasks` must run after `first`.
    fn leads_to(&self, first: usize, tasks: &[usize]) -> bool {
        let mut walk = Dfs::new(&self.precedence, NodeIndex::new(first));
        std::iter::from_fn(|| walk.next(&self.precedence)).any(|t| tasks.contains(&t.index()))
    }

    /// Tasks in the order they run: what is computed once first, then what the guard needs, else as the graph was
    /// written.
    pub(super) fn order(&self) -> Vec<usize> {
        let count = self.tasks.len();
        let before = |t| self.precedence.neighbors_directed(NodeIndex::new(t), Incoming).count();
        let mut waiting: Vec<usize> = (0..count).map(before).collect();
        let rank = |number: usize| {
            let task = &self.tasks[number];
            Reverse(((!task.setup, !task.guards), task.key, number))
        };
        let ready = (0..count).filter(|&t| waiting[t] == 0);
        let mut heap: BinaryHeap<_> = ready.map(rank).collect();
        let mut order = vec![];
        while let Some(Reverse((_, _, task))) = heap.pop() {
            order.push(task);
            for user in self.precedence.neighbors(NodeIndex::new(task)).map(NodeIndex::index) {
                waiting[user] -= 1;
                if waiting[user] == 0 {
                    heap.push(rank(user));
                }
            }
        }
        assert!(order.len() == count, "internal error: kernels wait for each other");
        order
    }
}
