//! Outputs, in-place updates of states, and the order of kernels.

use super::{Assign, Task, uses};
use crate::lower::Arg;
use eggrad_ir::{NodeId, Op};
use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, BinaryHeap};

impl Assign<'_> {
    /// Marks the tasks that the guard needs.
    pub(super) fn guard(&mut self, guard: Option<NodeId>) {
        let first = guard.and_then(|g| self.maker.get(&g).copied());
        let mut stack: Vec<usize> = first.into_iter().collect();
        while let Some(task) = stack.pop() {
            if !std::mem::replace(&mut self.tasks[task].guards, true) {
                stack.extend(self.tasks[task].after.iter().copied());
            }
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
            if !self.maker.contains_key(&id) {
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
        } else if matches!(self.groups.graph.node(id).op, Op::ScatterAdd { .. }) {
            self.copy(Arg::Value(id), to, self.groups.graph.ty(id), id);
        } else {
            self.copies.entry(id).or_default().push(to);
        }
    }

    /// Has every state written: in place where all readers of the old value can come first, else by a copy at the end.
    pub(super) fn states(&mut self) {
        let graph = self.groups.graph;
        let mut copies = vec![];
        for (i, state) in graph.states().iter().enumerate() {
            let Some(value) = state.write.filter(|&w| w != state.read) else { continue };
            if state.ty.shape.elements() > 0 && !self.in_place(i, state.read, value) {
                copies.push((i, state.read, value));
            }
        }
        for (i, read, value) in copies {
            let from = match graph.node(value).op {
                // Another state, which may be written itself by then.
                Op::State(_) => {
                    self.copy(Arg::Value(value), Arg::Old(i), graph.ty(value), value);
                    Arg::Old(i)
                }
                _ => Arg::Value(value),
            };
            let first = self.tasks.len().checked_sub(1).filter(|_| from == Arg::Old(i));
            let copy = self.copy(from, Arg::State(i), graph.ty(value), value);
            self.tasks[copy].after.extend(first);
            if let Some(first) = first {
                self.order_writers(first, value);
            }
            let readers = self.readers(read, copy);
            self.tasks[copy].after.extend(readers);
        }
    }

    /// A late reader of state leaf `read` runs before the tasks that were already chosen to write that state.
    fn order_writers(&mut self, reader: usize, read: NodeId) {
        let Op::State(state) = self.groups.graph.node(read).op else { return };
        let writes = |task: &Task| task.drafts.iter().any(|d| d.args.contains(&Arg::State(state)));
        let primary = self.primary.iter().find(|(_, a)| **a == Arg::State(state)).map(|p| *p.0);
        let mirrored = self.copies.iter().find(|(_, c)| c.contains(&Arg::State(state)));
        let node = primary.or(mirrored.map(|m| *m.0));
        let maker = node.and_then(|n| self.maker.get(&n).copied());
        for task in 0..self.tasks.len() {
            if task != reader && (writes(&self.tasks[task]) || maker == Some(task)) {
                self.tasks[task].after.push(reader);
            }
        }
    }

    /// Tasks other than `but` that read what leaf `read` held before the run.
    fn readers(&self, read: NodeId, but: usize) -> Vec<usize> {
        let reads = |t: &Task| t.drafts.iter().any(|d| d.args.contains(&Arg::Value(read)));
        (0..self.tasks.len()).filter(|&t| t != but && reads(&self.tasks[t])).collect()
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
            let readers = self.readers(read, copy);
            self.tasks[copy].after.extend(readers);
            return true;
        };
        let readers = self.readers(read, maker);
        if self.tasks[maker].guards
            || matches!(graph.node(value).op, Op::ScatterAdd { .. })
            || !self.same_positions(maker, read, value)
            || readers.iter().any(|&r| self.comes_after(r, maker))
        {
            return false;
        }
        self.tasks[maker].after.extend(readers);
        self.keep(value, Arg::State(state));
        true
    }

    /// Whether `task` reads the old value only where, and not after, it writes the new one.
    fn same_positions(&self, task: usize, read: NodeId, value: NodeId) -> bool {
        self.tasks[task].drafts.iter().all(|draft| {
            let number = |id| draft.args.iter().position(|a| *a == Arg::Value(id));
            let (Some(old), Some(new)) = (number(read), number(value)) else { return true };
            let all = uses(&draft.kernel.kind);
            let stores = || all.iter().filter(|u| u.store && u.access.arg == new);
            let mut loads = all.iter().filter(|u| !u.store && u.access.arg == old);
            loads.all(|load| {
                let same = |s: &super::uses::Use| {
                    load.phase <= s.phase && load.access.strides == s.access.strides
                };
                !load.moved && stores().all(same)
            })
        })
    }

    /// Whether `task` must run after `first`.
    fn comes_after(&self, task: usize, first: usize) -> bool {
        let mut seen = BTreeSet::from([task]);
        let mut stack = vec![task];
        while let Some(next) = stack.pop() {
            if next == first {
                return true;
            }
            stack.extend(self.tasks[next].after.iter().filter(|t| seen.insert(**t)));
        }
        false
    }

    /// Tasks in the order they run: what the guard needs first, else as the graph was written.
    pub(super) fn order(&self) -> Vec<usize> {
        let count = self.tasks.len();
        let mut users = vec![vec![]; count];
        let mut waiting = vec![0; count];
        for (task, t) in self.tasks.iter().enumerate() {
            let after: BTreeSet<usize> = t.after.iter().copied().filter(|&a| a != task).collect();
            waiting[task] = after.len();
            after.iter().for_each(|&a| users[a].push(task));
        }
        let rank = |task: usize| Reverse((!self.tasks[task].guards, self.tasks[task].key, task));
        let ready = (0..count).filter(|&t| waiting[t] == 0);
        let mut heap: BinaryHeap<_> = ready.map(rank).collect();
        let mut order = vec![];
        while let Some(Reverse((_, _, task))) = heap.pop() {
            order.push(task);
            for &user in &users[task] {
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
