//! A node joins a group whose loops it fits.

use super::pull::Pulled;
use super::start::{kept_strides, long_axes, reduces_rows};
use super::{Group, Groups, Kind, MAX_LEVELS, MAX_WEIGHT, Role, weight};
use crate::maps::{Fault, Map, after_move, axes, combine, digits, is_bijective};
use eggrad_ir::{MoveOp, NodeId, Op};
use std::cmp::Reverse;

/// Readers of an operand that are tried, latest first.
pub(super) const MAX_SIBLINGS: usize = 4;

/// Elements from which it matters that a group writes along contiguous memory.
const LARGE: usize = 64;

/// The loop along which a map's elements are neighbours.
fn innermost(map: &[usize]) -> Option<usize> {
    map.iter().position(|&step| step == 1)
}

impl Group {
    /// Whether `map` has a step along exactly the loops for which `wanted` holds.
    pub(super) fn steps_along(&self, map: &[usize], wanted: impl Fn(Role) -> bool) -> bool {
        let loops = self.sizes.iter().zip(&self.roles).zip(map);
        loops.into_iter().all(|((&size, &role), &step)| size == 1 || (step != 0) == wanted(role))
    }
}

impl Groups<'_> {
    /// Puts `id` into a group that computes or reads one of its operands.
    pub(super) fn join(&mut self, id: NodeId) -> Option<usize> {
        let candidates = self.candidates(id);
        candidates.into_iter().find(|&c| self.try_join(id, c))
    }

    /// Leaves and solid nodes that `id` reads through lazy ones.
    fn operands(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = vec![];
        let mut stack = vec![id];
        while let Some(node) = stack.pop() {
            for (i, &input) in self.graph.node(node).inputs.iter().enumerate().rev() {
                let input = self.operand(node, i, input);
                if self.is_read(input) {
                    found.push(input);
                } else {
                    stack.push(input);
                }
            }
        }
        found
    }

    /// Groups worth trying, best first.
    fn candidates(&self, id: NodeId) -> Vec<usize> {
        let op = &self.graph.node(id).op;
        let reduces = matches!(op, Op::Reduce(..));
        let moves = matches!(
            op,
            Op::Move(
                MoveOp::Transpose(_)
                    | MoveOp::Broadcast { .. }
                    | MoveOp::Slice { .. }
                    | MoveOp::Pad { .. }
                    | MoveOp::Window(_)
            )
        );
        let alone =
            matches!(op, Op::Dot(_) | Op::Gather { .. } | Op::ScatterAdd { .. } | Op::Fold { .. });
        if moves || alone {
            return vec![];
        }
        let operands = self.operands(id);
        let mut homes: Vec<usize> = operands.iter().filter_map(|o| self.home[o.index()]).collect();
        // Random numbers belong to nobody in particular: they follow what they are used with.
        let random = |m: &NodeId| matches!(self.graph.node(*m).op, Op::Random { .. });
        homes.sort_by_key(|&h| {
            let members = &self.groups[h].members;
            (members.iter().all(random), Reverse(members.last().copied()))
        });
        let large = |o: &&NodeId| self.elements(**o) >= self.elements(id) && self.elements(id) > 1;
        for operand in operands.iter().filter(large) {
            let readers = self.readers[operand.index()].iter().rev().take(MAX_SIBLINGS);
            homes.extend(readers.map(|&r| self.current(r)));
        }
        if self.elements(id) == 1 {
            homes.extend(self.single.map(|s| self.current(s)));
        }
        let fits = |&g: &usize| match self.groups[g].kind {
            Kind::Row | Kind::Column => true,
            Kind::Map | Kind::Product => !reduces,
            Kind::Scatter | Kind::Apply => false,
        };
        let mut unique = vec![];
        for home in homes.into_iter().filter(fits) {
            if !unique.contains(&home) {
                unique.push(home);
            }
        }
        unique
    }

    fn try_join(&mut self, id: NodeId, group: usize) -> bool {
        let g = &self.groups[group];
        let heavy = g.weight + weight(&self.graph.node(id).op) > MAX_WEIGHT;
        let (guards, writes) = (self.guards[id.index()], self.written[id.index()]);
        let apart = g.setup != self.setup[id.index()];
        if g.scalar || heavy || apart || (g.guards && writes) || (g.writes && guards) {
            return false;
        }
        loop {
            match self.placements(id, group) {
                Ok(placements) => {
                    let loops = self.groups[group].sizes.len();
                    return placements.into_iter().any(|(at, arg)| {
                        self.groups[group].sizes.len() == loops && self.attempt(id, group, at, arg)
                    });
                }
                Err(Fault::Split { dim, inner }) if self.may_split(group, dim) => {
                    self.split(group, dim, inner);
                }
                Err(Fault::Split { .. } | Fault::Never) => return false,
            }
        }
    }

    /// Maps at which `id` would be computed in `group`, from those of its operands there; with the map of its
    /// operand if it reduces.
    fn placements(&self, id: NodeId, group: usize) -> Result<Vec<(Map, Map)>, Fault> {
        let g = &self.groups[group];
        if g.sizes.is_empty() && self.elements(id) == 1 {
            return Ok(vec![(vec![], vec![])]);
        }
        let (mut own, mut shared) = (vec![], vec![]);
        let mut path: Vec<(NodeId, usize)> = vec![(id, 0)];
        let mut next = 0;
        while let Some(&(node, _)) = path.get(next) {
            for (i, &input) in self.graph.node(node).inputs.iter().enumerate() {
                let input = self.operand(node, i, input);
                if !self.is_read(input) {
                    path.push((input, next));
                    continue;
                }
                let (maps, list) = if self.home[input.index()] == Some(group) {
                    (vec![self.at[input.index()].clone()], &mut own)
                } else {
                    (g.reads.get(&input).cloned().unwrap_or_default(), &mut shared)
                };
                for map in maps {
                    match self.climb(group, &path, next, input, map) {
                        Ok(placement) if !list.contains(&placement) => list.push(placement),
                        Ok(_) | Err(Fault::Never) => {}
                        Err(fault) => return Err(fault),
                    }
                }
            }
            next += 1;
        }
        own.append(&mut shared);
        Ok(own)
    }

    /// From the map of `operand`, read by the node at `place` of a path of lazy nodes, to that of the path's first.
    fn climb(
        &self,
        group: usize,
        path: &[(NodeId, usize)],
        mut place: usize,
        mut operand: NodeId,
        mut map: Map,
    ) -> Result<(Map, Map), Fault> {
        loop {
            let (node, user) = path[place];
            let (op, shape) = (&self.graph.node(node).op, &self.graph.ty(node).shape);
            let from = &self.graph.ty(operand).shape;
            let sizes = &self.groups[group].sizes;
            map = match op {
                Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) => map,
                Op::Move(MoveOp::Broadcast { axes: places, .. })
                    if from.elements() != shape.elements() =>
                {
                    self.spread(group, node, operand, places, &map)?
                }
                Op::Move(op) => after_move(op, from, shape, sizes, &map)?,
                Op::Reduce(_, reduced) => {
                    return Ok((self.reduced(group, operand, reduced, &map)?, map));
                }
                Op::Input(_)
                | Op::State(_)
                | Op::Const(..)
                | Op::Data(_)
                | Op::Iota { .. }
                | Op::Size { .. }
                | Op::Mark(_)
                | Op::Softmax(..)
                | Op::CrossEntropy(..)
                | Op::Dot(_)
                | Op::OneHot { .. }
                | Op::Gather { .. }
                | Op::ScatterAdd { .. }
                | Op::Fold { .. }
                | Op::RandomKey { .. }
                | Op::Random { .. }
                | Op::Call { .. }
                | Op::Scan { .. }
                | Op::Cond { .. }
                | Op::Grad => return Err(Fault::Never),
            };
            if place == 0 {
                return Ok((map, vec![]));
            }
            (operand, place) = (node, user);
        }
    }

    /// Where one value per row is spread along the rows.
    fn spread(
        &self,
        group: usize,
        node: NodeId,
        operand: NodeId,
        places: &[usize],
        map: &[usize],
    ) -> Result<Map, Fault> {
        let g = &self.groups[group];
        if g.kind != Kind::Row {
            return Err(Fault::Never);
        }
        let shape = &self.graph.ty(node).shape;
        let long = long_axes(shape);
        let fresh: Vec<usize> = long.iter().copied().filter(|a| !places.contains(a)).collect();
        let row = g.sizes.len() - 1;
        let size: usize = fresh.iter().map(|&a| shape.dims()[a]).product();
        let start = fresh.first().and_then(|f| long.iter().position(|a| a == f));
        let together = start.is_some_and(|s| long[s..].starts_with(&fresh));
        if map[row] != 0 || size != g.sizes[row] || !together {
            return Err(Fault::Never);
        }
        let strides = shape.strides();
        let parts = axes(&g.sizes, map, &self.graph.ty(operand).shape)?;
        let mut map = combine(g.sizes.len(), parts.iter().zip(places.iter().map(|&a| strides[a])));
        map[row] = fresh.last().map_or(0, |&a| strides[a]);
        Ok(map)
    }

    /// Where the result of reducing `operand`, read at `arg`, lies: what is reduced must be the group's reduced loops.
    fn reduced(
        &self,
        group: usize,
        operand: NodeId,
        reduced: &[usize],
        arg: &[usize],
    ) -> Result<Map, Fault> {
        let g = &self.groups[group];
        let shape = &self.graph.ty(operand).shape;
        let rows = reduces_rows(shape, reduced);
        if rows != (g.kind == Kind::Row) || !g.steps_along(arg, |_| true) {
            return Err(Fault::Never);
        }
        let (strides, out) = (shape.strides(), kept_strides(shape, reduced));
        // The reduced axes of a row are one digit.
        let mut radix = vec![];
        let mut result = vec![];
        let mut row = 1;
        for a in long_axes(shape) {
            if rows && reduced.contains(&a) {
                row *= shape.dims()[a];
            } else {
                radix.push((shape.dims()[a], strides[a]));
                result.push(out[a]);
            }
        }
        if rows {
            radix.push((row, 1));
            result.push(0);
        }
        let parts = digits(&g.sizes, arg, &radix)?;
        for (part, &stride) in parts.iter().zip(&result) {
            let keeps = stride != 0;
            let mixed = part.iter().zip(&g.roles).any(|(&step, &role)| {
                step != 0 && matches!(role, Role::Keep | Role::Fixed) != keeps
            });
            if mixed {
                return Err(Fault::Never);
            }
        }
        Ok(combine(g.sizes.len(), parts.iter().zip(result)))
    }

    fn attempt(&mut self, id: NodeId, group: usize, at: Map, arg: Map) -> bool {
        if !self.covers(id, group, &at, &arg) {
            return false;
        }
        self.enter(group, id, at, arg);
        if let Ok(pulled) = self.collect(group, id)
            && let Some(level) = self.fits(id, group, &pulled)
        {
            self.level[id.index()] = level;
            self.accept(group, id, pulled);
            return true;
        }
        self.groups[group].members.retain(|&m| m != id);
        self.home[id.index()] = None;
        self.at[id.index()].clear();
        self.arg[id.index()].clear();
        false
    }

    /// Whether each element of `id` is computed once when it is computed at `at`.
    fn covers(&self, id: NodeId, group: usize, at: &[usize], arg: &[usize]) -> bool {
        let g = &self.groups[group];
        let kept = |role: Role| matches!(role, Role::Keep | Role::Fixed);
        let whole = |map: &[usize], elements: usize| is_bijective(&g.sizes, map, elements);
        let reduces = matches!(self.graph.node(id).op, Op::Reduce(..));
        let along = match g.kind {
            Kind::Map | Kind::Product => g.steps_along(at, |_| true),
            Kind::Column => g.steps_along(at, kept),
            Kind::Row if reduces => g.steps_along(at, kept),
            Kind::Row => g.steps_along(at, |_| true) || g.steps_along(at, kept),
            Kind::Scatter | Kind::Apply => false,
        };
        let operand = self.graph.node(id).inputs.first().map_or(0, |&o| self.elements(o));
        along
            && whole(at, self.elements(id))
            && (!reduces || whole(arg, operand))
            && self.in_order(id, group, at)
    }

    /// Whether writing `id` at `at` goes along memory as the group does.
    pub(super) fn in_order(&self, id: NodeId, group: usize, at: &[usize]) -> bool {
        let g = &self.groups[group];
        if self.elements(id) < LARGE || g.kind == Kind::Column {
            return true;
        }
        if g.kind == Kind::Row {
            let row = g.sizes.len() - 1;
            return at[row] <= 1;
        }
        let lead = g.members.first().map_or(at, |m| &self.at[m.index()]);
        innermost(lead) == innermost(at)
    }

    /// Whether a member of a column group is computed after the reduction.
    pub(super) fn is_after(&self, group: usize, id: NodeId) -> bool {
        let g = &self.groups[group];
        matches!(self.graph.node(id).op, Op::Reduce(..))
            || g.steps_along(&self.at[id.index()], |role| role == Role::Keep)
    }

    /// The level of new member `id`, if what it reads is there when it is computed and no cycle arises.
    fn fits(&self, id: NodeId, group: usize, pulled: &Pulled) -> Option<usize> {
        let g = &self.groups[group];
        let reduces = matches!(self.graph.node(id).op, Op::Reduce(..));
        if g.weight + weight(&self.graph.node(id).op) + pulled.lazy.len() > MAX_WEIGHT {
            return None;
        }
        let mut level = 0;
        for (read, map) in &pulled.reads {
            let Some(home) = self.home[read.index()] else { continue };
            if home != group {
                if self.depends(home, group) {
                    return None;
                }
                continue;
            }
            let early = g.kind == Kind::Column && self.is_after(group, *read) == reduces;
            if *map != self.at[read.index()] || early {
                return None;
            }
            level = level.max(self.level[read.index()]);
        }
        let level = if g.kind == Kind::Row { level + usize::from(reduces) } else { 0 };
        (level <= MAX_LEVELS).then_some(level)
    }
}
