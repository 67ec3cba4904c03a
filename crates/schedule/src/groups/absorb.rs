//! A group takes in a group of maps that it reads.

use super::{Group, Groups, Kind, MAX_WEIGHT, Role};
use crate::maps::{Fault, Map, combine, digits};
use eggrad_ir::{NodeId, Op};

impl Groups<'_> {
    /// Takes in what new member `id` of `group` reads, and what that reads, as far as it fits.
    pub(super) fn absorb_operands(&mut self, group: usize, id: NodeId) {
        let mut tried = vec![group];
        let mut work: Vec<NodeId> = self.pull(group, id).map_or(vec![], |pulled| {
            pulled.reads.into_iter().map(|r| r.0).collect()
        });
        while let Some(read) = work.pop() {
            let Some(home) = self.home[read.index()].filter(|h| !tried.contains(h)) else {
                continue;
            };
            tried.push(home);
            let reads: Vec<NodeId> = self.groups[home].reads.keys().copied().collect();
            if self.absorb(group, home) {
                work.extend(reads);
            }
        }
    }

    fn absorb(&mut self, group: usize, from: usize) -> bool {
        let (g, d) = (&self.groups[group], &self.groups[from]);
        let apart = (g.guards && d.writes) || (g.writes && d.guards);
        if d.kind != Kind::Map || d.scalar || g.scalar || g.kind == Kind::Scatter || apart {
            return false;
        }
        let operand = |id: NodeId| self.home[id.index()] == Some(from);
        let multiplied = g.product.as_ref().is_some_and(|p| operand(p.a.0) || operand(p.b.0));
        if multiplied || g.weight + d.weight > MAX_WEIGHT || self.detour(group, from) {
            return false;
        }
        let Some(loops) = self.substitution(group, from) else { return false };
        let moved = |map: &[usize]| -> Map {
            combine(self.groups[group].sizes.len(), loops.iter().zip(map.iter().copied()))
        };
        let d = &self.groups[from];
        let places: Vec<(NodeId, Map)> =
            d.members.iter().map(|&m| (m, moved(&self.at[m.index()]))).collect();
        let reads: Vec<(NodeId, Vec<Map>)> =
            d.reads.iter().map(|(&r, maps)| (r, maps.iter().map(|m| moved(m)).collect())).collect();
        if !self.agrees(group, from, &places) {
            return false;
        }
        self.take(group, from, places, reads);
        true
    }

    /// Whether something between the two groups would have to run in the middle of one kernel.
    fn detour(&self, group: usize, from: usize) -> bool {
        let homes = self.groups[group].reads.keys().filter_map(|r| self.home[r.index()]);
        let mut homes: Vec<usize> = homes.filter(|&h| h != from).collect();
        homes.sort_unstable();
        homes.dedup();
        homes.into_iter().any(|h| self.depends(h, from))
    }

    /// For each loop of `from`, its position in terms of the loops of `group`.
    fn substitution(&mut self, group: usize, from: usize) -> Option<Vec<Map>> {
        loop {
            let (g, d) = (&self.groups[group], &self.groups[from]);
            let (link, maps) = g.reads.iter().find(|(r, _)| self.home[r.index()] == Some(from))?;
            let map = maps.first()?;
            let at = &self.at[link.index()];
            let radix: Vec<(usize, usize)> =
                d.sizes.iter().copied().zip(at.iter().copied()).collect();
            let used = g.sizes.iter().zip(map).filter(|(_, step)| **step != 0);
            if used.map(|(size, _)| size).product::<usize>() != self.elements(*link)
                || !fits_kind(g, map)
            {
                return None;
            }
            match digits(&g.sizes, map, &radix) {
                Ok(parts) => return Some(parts),
                Err(Fault::Split { dim, inner }) if self.may_split(group, dim) => {
                    self.split(group, dim, inner);
                }
                Err(Fault::Split { .. } | Fault::Never) => return None,
            }
        }
    }

    /// Whether every reader in `group` reads the new members where they are computed.
    fn agrees(&self, group: usize, from: usize, places: &[(NodeId, Map)]) -> bool {
        let g = &self.groups[group];
        let place = |id: NodeId| places.iter().find(|p| p.0 == id).map(|p| &p.1);
        let same = g.reads.iter().all(|(&read, maps)| {
            place(read).is_none_or(|place| maps.iter().all(|m| m == place))
        });
        let ordered = places.iter().all(|(id, at)| self.in_order(*id, group, at));
        if !same || !ordered {
            return false;
        }
        if g.kind != Kind::Column {
            return true;
        }
        // Before the reduction nothing is stored, so all readers must be there too; after it, the values must not
        // be needed earlier.
        let before = places.iter().any(|(_, at)| !g.steps_along(at, |r| r == Role::Keep));
        let reduces = |m: NodeId| matches!(self.graph.node(m).op, Op::Reduce(..));
        if before {
            return places.iter().all(|(id, _)| {
                !self.root[id.index()]
                    && self.readers_of(*id).into_iter().all(|user| {
                        let home = self.home[user.index()];
                        home == Some(from)
                            || (home == Some(group) && (reduces(user) || !self.is_after(group, user)))
                    })
            });
        }
        places.iter().all(|(id, _)| {
            self.readers_of(*id).into_iter().all(|user| {
                self.home[user.index()] != Some(group)
                    || (!reduces(user) && self.is_after(group, user))
            })
        })
    }

    /// Solid nodes that read `id`, through lazy ones.
    fn readers_of(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = vec![];
        let mut seen = std::collections::BTreeSet::new();
        let mut stack = vec![id];
        while let Some(node) = stack.pop() {
            for &user in &self.users[node.index()] {
                if !seen.insert(user) {
                    continue;
                }
                if self.solid[user.index()] {
                    found.push(user);
                } else {
                    stack.push(user);
                }
            }
        }
        found
    }

    fn take(
        &mut self,
        group: usize,
        from: usize,
        places: Vec<(NodeId, Map)>,
        reads: Vec<(NodeId, Vec<Map>)>,
    ) {
        for (id, at) in places {
            self.home[id.index()] = Some(group);
            self.at[id.index()] = at;
            self.groups[group].members.push(id);
        }
        let d = &mut self.groups[from];
        d.members.clear();
        d.reads.clear();
        let (weight, guards, writes) = (d.weight, d.guards, d.writes);
        self.absorbed[from] = Some(group);
        let home = &self.home;
        let g = &mut self.groups[group];
        g.members.sort_unstable();
        g.weight += weight;
        g.guards |= guards;
        g.writes |= writes;
        g.reads.retain(|r, _| home[r.index()] != Some(group));
        for (read, maps) in reads {
            self.readers[read.index()].push(group);
            let known = self.groups[group].reads.entry(read).or_default();
            for map in maps {
                if !known.contains(&map) {
                    known.push(map);
                }
            }
        }
    }
}

/// Whether values read at `map` can be computed in the group, each once.
fn fits_kind(g: &Group, map: &[usize]) -> bool {
    let kept = |role: Role| matches!(role, Role::Keep | Role::Fixed);
    let full = g.steps_along(map, |_| true);
    match g.kind {
        Kind::Map | Kind::Product => full,
        Kind::Row | Kind::Column => full || g.steps_along(map, kept),
        Kind::Scatter => false,
    }
}
