//! A group takes in a group of maps that it reads.

use super::join::MAX_SIBLINGS;
use super::{Group, Groups, Kind, MAX_LEVELS, MAX_WEIGHT, Role};
use crate::maps::{Fault, Map, combine, digits, is_bijective};
use eggrad_ir::{NodeId, Op};
use std::collections::BTreeSet;

/// Where a member moves.
struct Place {
    id: NodeId,
    at: Map,
    arg: Map,
}

impl Groups<'_> {
    /// Takes in what new member `id` of `group` reads, and what that reads, as far as it fits.
    pub(super) fn absorb_operands(&mut self, group: usize, id: NodeId) {
        let mut tried = vec![group];
        let mut work: Vec<NodeId> = self
            .pull(group, id)
            .map_or(vec![], |pulled| pulled.reads.into_iter().map(|r| r.0).collect());
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

    /// Unites a new group of reductions with one that reads the same value along the same loops.
    pub(super) fn unite(&mut self, group: usize) -> usize {
        let kind = self.groups[group].kind;
        if !matches!(kind, Kind::Row | Kind::Column) {
            return group;
        }
        let reads: Vec<NodeId> = self.groups[group].reads.keys().copied().collect();
        let mut tried = vec![group];
        for read in reads {
            let siblings: Vec<usize> =
                self.readers[read.index()].iter().rev().take(MAX_SIBLINGS).copied().collect();
            for sibling in siblings {
                let sibling = self.current(sibling);
                if tried.contains(&sibling) || self.groups[sibling].kind != kind {
                    continue;
                }
                tried.push(sibling);
                if !self.depends(group, sibling)
                    && !self.depends(sibling, group)
                    && self.absorb(sibling, group)
                {
                    return sibling;
                }
            }
        }
        group
    }

    fn absorb(&mut self, group: usize, from: usize) -> bool {
        let (g, d) = (&self.groups[group], &self.groups[from]);
        let apart = (g.guards && d.writes) || (g.writes && d.guards) || g.setup != d.setup;
        let rows = d.kind == Kind::Row && g.kind == Kind::Row;
        let columns = d.kind == Kind::Column && g.kind == Kind::Column;
        let scalar = d.scalar || g.scalar || g.kind == Kind::Scatter;
        if (d.kind != Kind::Map && !rows && !columns) || scalar || apart {
            return false;
        }
        let operand = |id: NodeId| self.home[id.index()] == Some(from);
        let multiplied = g.product.as_ref().is_some_and(|p| operand(p.a.id) || operand(p.b.id));
        if multiplied
            || g.weight + d.weight > MAX_WEIGHT
            || (rows && self.levels(group) + self.levels(from) > MAX_LEVELS)
            || self.detour(group, from)
        {
            return false;
        }
        let Some(loops) = self.substitution(group, from) else { return false };
        let count = self.groups[group].sizes.len();
        let moved =
            |map: &[usize]| -> Map { combine(count, loops.iter().zip(map.iter().copied())) };
        let d = &self.groups[from];
        let place = |&id: &NodeId| {
            let (at, arg) = (&self.at[id.index()], &self.arg[id.index()]);
            Place { id, at: moved(at), arg: if arg.is_empty() { vec![] } else { moved(arg) } }
        };
        let places: Vec<Place> = d.members.iter().map(place).collect();
        let reads: Vec<(NodeId, Vec<Map>)> =
            d.reads.iter().map(|(&r, maps)| (r, maps.iter().map(|m| moved(m)).collect())).collect();
        if !self.agrees(group, from, &places) {
            return false;
        }
        self.take(group, from, places, reads);
        if rows {
            self.relevel(group);
        }
        true
    }

    fn levels(&self, group: usize) -> usize {
        self.groups[group].members.iter().map(|m| self.level[m.index()]).max().unwrap_or(0)
    }

    /// Finds again how many folds each member of a row group waits for.
    fn relevel(&mut self, group: usize) {
        for id in self.groups[group].members.clone() {
            let own = |r: &&(NodeId, Map)| self.home[r.0.index()] == Some(group);
            // A member whose operand is demanded reads nothing: the pass is done again.
            let pulled = self.pull(group, id).unwrap_or_default();
            let read = pulled.reads.iter().filter(own).map(|r| self.level[r.0.index()]).max();
            let reduces = matches!(self.graph.node(id).op, Op::Reduce(..));
            self.level[id.index()] = read.unwrap_or(0) + usize::from(reduces);
        }
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
            match self.loops(group, from)? {
                Ok(loops) => return Some(loops),
                Err(Fault::Split { dim, inner }) if self.may_split(group, dim) => {
                    self.split(group, dim, inner);
                }
                Err(Fault::Split { .. } | Fault::Never) => return None,
            }
        }
    }

    fn loops(&self, group: usize, from: usize) -> Option<Result<Vec<Map>, Fault>> {
        let (g, d) = (&self.groups[group], &self.groups[from]);
        let linked = g.reads.iter().find(|(r, _)| self.home[r.index()] == Some(from));
        let reduces = d.kind != Kind::Map;
        let (map, at) = match linked {
            Some(_) if d.kind == Kind::Column => return None,
            Some((link, maps)) => {
                let map = maps.first()?;
                if !is_bijective(&g.sizes, map, self.elements(*link)) || !fits_kind(g, map) {
                    return None;
                }
                (map, &self.at[link.index()])
            }
            // A value that both read, all of it, at every position of their loops.
            None => g.reads.iter().find_map(|(read, maps)| {
                let (map, at) = (maps.first()?, d.reads.get(read)?.first()?);
                let covers = |g: &Group, map: &Map| {
                    g.steps_along(map, |_| true)
                        && is_bijective(&g.sizes, map, self.elements(*read))
                };
                (covers(g, map) && covers(d, at)).then_some((map, at))
            })?,
        };
        let beside = reduces && !d.steps_along(at, |_| true);
        let mut radix: Vec<(usize, usize)> =
            d.sizes.iter().copied().zip(at.iter().copied()).collect();
        if beside {
            // One value per row: the rows themselves correspond when they are equally long.
            let row = d.sizes.len() - 1;
            if !g.steps_along(map, |r| r == Role::Keep) || d.sizes[row] != *g.sizes.last()? {
                return None;
            }
            radix.pop();
        }
        let mut loops = match digits(&g.sizes, map, &radix) {
            Ok(loops) => loops,
            Err(fault) => return Some(Err(fault)),
        };
        if beside {
            let mut row = vec![0; g.sizes.len()];
            *row.last_mut()? = 1;
            loops.push(row);
        }
        let alike = |(part, role): (&Map, &Role)| {
            part.iter().zip(&g.roles).all(|(&step, r)| step == 0 || r == role)
        };
        let kept = !reduces || loops.iter().zip(&d.roles).all(alike);
        kept.then_some(Ok(loops))
    }

    /// Whether every reader in `group` reads the new members where they are computed.
    fn agrees(&self, group: usize, from: usize, places: &[Place]) -> bool {
        let g = &self.groups[group];
        let place = |id: NodeId| places.iter().find(|p| p.id == id).map(|p| &p.at);
        let same = g
            .reads
            .iter()
            .all(|(&read, maps)| place(read).is_none_or(|place| maps.iter().all(|m| m == place)));
        let ordered = places.iter().all(|p| self.in_order(p.id, group, &p.at));
        if !same || !ordered {
            return false;
        }
        if g.kind != Kind::Column || self.groups[from].kind == Kind::Column {
            return true;
        }
        // Before the reduction nothing is stored, so all readers must be there too; after it, the values must not
        // be needed earlier.
        let before = places.iter().any(|p| !g.steps_along(&p.at, |r| r == Role::Keep));
        let reduces = |m: NodeId| matches!(self.graph.node(m).op, Op::Reduce(..));
        if before {
            return places.iter().all(|p| {
                !self.root[p.id.index()]
                    && self.readers_of(p.id).into_iter().all(|user| {
                        let home = self.home[user.index()];
                        home == Some(from)
                            || (home == Some(group)
                                && (reduces(user) || !self.is_after(group, user)))
                    })
            });
        }
        places.iter().all(|p| {
            self.readers_of(p.id).into_iter().all(|user| {
                self.home[user.index()] != Some(group)
                    || (!reduces(user) && self.is_after(group, user))
            })
        })
    }

    /// Solid nodes that read `id`, through lazy ones.
    fn readers_of(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = vec![];
        let mut seen = BTreeSet::new();
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
        places: Vec<Place>,
        reads: Vec<(NodeId, Vec<Map>)>,
    ) {
        let mut users: Vec<usize> = vec![];
        for Place { id, at, arg } in places {
            users.extend(&self.readers[id.index()]);
            self.home[id.index()] = Some(group);
            self.at[id.index()] = at;
            self.arg[id.index()] = arg;
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
        let sources = reads.iter().filter_map(|r| self.home[r.0.index()]);
        for source in sources.collect::<BTreeSet<usize>>() {
            self.precede(source, group);
        }
        for user in users.into_iter().map(|u| self.current(u)).collect::<BTreeSet<usize>>() {
            self.precede(group, user);
        }
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
        Kind::Scatter | Kind::Apply => false,
    }
}
