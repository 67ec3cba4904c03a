//! An order of the groups in which what is read comes before its readers, kept while groups change; it bounds the
//! search for cycles.

use super::Groups;
use std::collections::BTreeSet;

/// Positions of all groups, also of absorbed ones.
#[derive(Default)]
pub(super) struct Topo {
    position: Vec<usize>,
    at: Vec<usize>,
}

impl Topo {
    /// A new group comes last.
    pub(super) fn push(&mut self) {
        self.at.push(self.position.len());
        self.position.push(self.position.len());
    }
}

impl Groups<'_> {
    /// Whether `group` needs, directly or not, something that `on` computes; also when they are the same.
    pub(super) fn depends(&self, group: usize, on: usize) -> bool {
        self.cone(group, self.topo.position[on]).contains(&on)
    }

    /// `group` and what it needs, from position `low` on.
    fn cone(&self, group: usize, low: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut stack = vec![group];
        while let Some(next) = stack.pop() {
            if self.topo.position[next] >= low && seen.insert(next) {
                let reads = self.groups[next].reads.keys();
                stack.extend(reads.filter_map(|r| self.home[r.index()]));
            }
        }
        seen
    }

    /// Has `group`, which is now read by `reader`, come before it; what it needs moves with it.
    pub(super) fn precede(&mut self, group: usize, reader: usize) {
        let (low, high) = (self.topo.position[reader], self.topo.position[group]);
        if group == reader || high < low {
            return;
        }
        let moved = self.cone(group, low);
        let range = &mut self.topo.at[low..=high];
        let (first, rest): (Vec<usize>, Vec<usize>) =
            range.iter().copied().partition(|g| moved.contains(g));
        for (place, group) in first.into_iter().chain(rest).enumerate() {
            range[place] = group;
            self.topo.position[group] = low + place;
        }
    }
}
