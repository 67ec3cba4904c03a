//! A group of one node.

use super::pull::{Pulled, reads_memory};
use super::{Group, Groups, Kind, Operand, Product, Role};
use crate::maps::{Map, first_element, through_move, window_steps};
use eggrad_ir::{MoveOp, NodeId, Op, Shape};
use std::collections::BTreeMap;

/// Terms that the innermost loop of a sum needs, for windows to be read where they lie.
const FEW_TERMS: usize = 8;

/// Axes of more than one position.
pub(super) fn long_axes(shape: &Shape) -> Vec<usize> {
    (0..shape.rank()).filter(|&a| shape.dims()[a] > 1).collect()
}

/// Whether a reduction over `axes` of `shape` runs along rows: the last axis is reduced.
pub(super) fn reduces_rows(shape: &Shape, axes: &[usize]) -> bool {
    long_axes(shape).last().is_some_and(|last| axes.contains(last))
}

/// For each axis of `shape`, its stride in the result of reducing `axes`; 0 for those.
pub(super) fn kept_strides(shape: &Shape, axes: &[usize]) -> Vec<usize> {
    let mut strides = shape.without(axes).strides().into_iter();
    let stride = |a: usize| if axes.contains(&a) { 0 } else { strides.next().unwrap_or(1) };
    (0..shape.rank()).map(stride).collect()
}

impl Groups<'_> {
    /// Makes a group of `id` alone.
    pub(super) fn start(&mut self, id: NodeId) -> usize {
        let graph = self.graph;
        let node = graph.node(id);
        let home = self.groups.len();
        let mut group = Group {
            kind: Kind::Map,
            sizes: vec![],
            roles: vec![],
            members: vec![],
            reads: BTreeMap::new(),
            product: None,
            weight: 0,
            guards: false,
            writes: false,
            setup: self.setup[id.index()],
            scalar: matches!(
                node.op,
                Op::Gather { .. } | Op::ScatterAdd { .. } | Op::Scan { .. } | Op::Cond { .. }
            ),
        };
        let shape = |i: usize| &graph.ty(node.inputs[i]).shape;
        let (mut at, mut arg) = (vec![], vec![]);
        match &node.op {
            Op::Dot(_) => (group, at) = self.start_product(id, group),
            Op::ScatterAdd { batch, .. } => {
                let (updates, indices) = (shape(1), shape(0).rank());
                let strides = node.ty.shape.strides();
                group.kind = Kind::Scatter;
                for a in long_axes(updates) {
                    group.sizes.push(updates.dims()[a]);
                    arg.push(updates.strides()[a]);
                    at.push(match a {
                        a if a < *batch => strides[a],
                        a if a < indices => 0,
                        a => strides[batch + 1 + a - indices],
                    });
                }
            }
            Op::Move(MoveOp::Pad { step, .. }) => {
                let (part, strides) = (shape(0), node.ty.shape.strides());
                group.kind = Kind::Scatter;
                for a in long_axes(part) {
                    group.sizes.push(part.dims()[a]);
                    arg.push(part.strides()[a]);
                    at.push(step[a] * strides[a]);
                }
            }
            Op::Fold { windows, .. } => {
                let (updates, rank) = (shape(0), node.ty.shape.rank());
                let steps = window_steps(windows, &node.ty.shape, updates);
                group.kind = Kind::Scatter;
                for a in long_axes(updates) {
                    group.sizes.push(updates.dims()[a]);
                    group.roles.push(if a < rank { Role::Keep } else { Role::Reduced });
                    arg.push(updates.strides()[a]);
                    at.push(steps[a]);
                }
            }
            Op::Scan { .. } | Op::Cond { .. } => group.kind = Kind::Apply,
            Op::Reduce(_, axes) => {
                let shape = shape(0);
                let (strides, kept) = (shape.strides(), kept_strides(shape, axes));
                let rows = reduces_rows(shape, axes);
                group.kind = if rows { Kind::Row } else { Kind::Column };
                let mut row = 1;
                for a in long_axes(shape) {
                    let size = shape.dims()[a];
                    if rows && axes.contains(&a) {
                        row *= size;
                        continue;
                    }
                    group.sizes.push(size);
                    group.roles.push(if axes.contains(&a) { Role::Reduced } else { Role::Keep });
                    at.push(kept[a]);
                    arg.push(strides[a]);
                }
                if rows {
                    group.sizes.push(row);
                    group.roles.push(Role::Row);
                    at.push(0);
                    arg.push(1);
                }
            }
            Op::Input(_)
            | Op::State(_)
            | Op::Const(..)
            | Op::Data(_)
            | Op::Iota { .. }
            | Op::Size { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Mark(_)
            | Op::Move(
                MoveOp::Reshape(_)
                | MoveOp::Transpose(_)
                | MoveOp::Broadcast { .. }
                | MoveOp::Slice { .. }
                | MoveOp::Window(_),
            )
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::OneHot { .. }
            | Op::Gather { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. }
            | Op::Call { .. }
            | Op::Grad => {
                let strides = node.ty.shape.strides();
                for a in long_axes(&node.ty.shape) {
                    group.sizes.push(node.ty.shape.dims()[a]);
                    at.push(strides[a]);
                }
            }
        }
        group.roles.resize(group.sizes.len(), Role::Keep);
        self.groups.push(group);
        self.absorbed.push(None);
        self.topo.push();
        self.enter(home, id, at, arg);
        self.level[id.index()] = usize::from(matches!(node.op, Op::Reduce(..)));
        match self.collect(home, id) {
            Ok(pulled) => self.accept(home, id, pulled),
            Err(fault) => {
                self.demanded.insert(fault);
                self.accept(home, id, Pulled::default());
            }
        }
        home
    }

    /// Makes `id` a member whose reads are not known yet.
    pub(super) fn enter(&mut self, home: usize, id: NodeId, at: Map, arg: Map) {
        self.home[id.index()] = Some(home);
        self.at[id.index()] = at;
        self.arg[id.index()] = arg;
        let members = &mut self.groups[home].members;
        let place = members.partition_point(|&m| m < id);
        members.insert(place, id);
    }

    /// Completes the membership of `id`.
    pub(super) fn accept(&mut self, home: usize, id: NodeId, pulled: Pulled) {
        let outside = pulled.reads.iter().filter_map(|r| self.home[r.0.index()]);
        for read in outside.filter(|&h| h != home).collect::<Vec<usize>>() {
            self.precede(read, home);
        }
        let group = &mut self.groups[home];
        group.weight += super::weight(&self.graph.node(id).op) + pulled.lazy.len();
        group.guards |= self.guards[id.index()];
        group.writes |= self.written[id.index()];
        for (read, map) in pulled.reads {
            if self.home[read.index()] == Some(home) {
                continue;
            }
            let maps = group.reads.entry(read).or_default();
            if !maps.contains(&map) {
                maps.push(map);
            }
            if self.readers[read.index()].last() != Some(&home) {
                self.readers[read.index()].push(home);
            }
        }
    }

    /// Loops of a product: `batch.., rows, columns`.
    fn start_product(&mut self, id: NodeId, mut group: Group) -> (Group, Map) {
        let graph = self.graph;
        let node = graph.node(id);
        let Op::Dot(axes) = &node.op else { panic!("internal error: a product of no `dot`") };
        let [l, r] = [0, 1].map(|i| &graph.ty(node.inputs[i]).shape);
        let nb = axes.batch.len();
        let (nk, nm) = (axes.contract.len(), l.rank() - nb - axes.contract.len());
        // Loops, while axes are apart: batch, rows, columns, terms; only those of more than one position.
        let dims =
            l.dims()[..nb + nm].iter().chain(&r.dims()[nb + nk..]).chain(&l.dims()[nb + nm..]);
        let sizes: Vec<usize> = dims.copied().collect();
        let (nn, rank) = (r.rank() - nb - nk, sizes.len());
        let (ls, rs, cs) = (l.strides(), r.strides(), node.ty.shape.strides());
        let zeros = |n: usize| vec![0; n];
        let left = [&ls[..nb + nm], &zeros(nn), &ls[nb + nm..]].concat();
        let right = [&rs[..nb], &zeros(nm), &rs[nb + nk..], &rs[nb..nb + nk]].concat();
        let out = [&cs[..], &zeros(nk)].concat();
        let drop = |map: Vec<usize>| -> Map {
            map.into_iter().zip(&sizes).map(|(m, &s)| if s > 1 { m } else { 0 }).collect()
        };
        let wanted = [(node.inputs[0], drop(left)), (node.inputs[1], drop(right))];
        let views = wanted.clone().map(|(x, map)| self.view(x, &sizes, map));
        let long = |from: usize, to: usize| -> Vec<usize> {
            (from..to).filter(|&d| sizes[d] > 1).collect()
        };
        let batch = long(0, nb);
        let (mut m, mut n) = (long(nb, nb + nm), long(nb + nm, nb + nm + nn));
        let k = long(rank - nk, rank);
        let joins = |map: &Map, x: usize, y: usize| map[x] == map[y] * sizes[y];
        // Terms in which neighbours of either operand lie apart in another way than others are summed in several loops,
        // where the innermost is long enough.
        let apart = |map: &Map| k.windows(2).rposition(|w| !joins(map, w[0], w[1]));
        let terms = |from: usize| k[from..].iter().map(|&d| sizes[d]).product::<usize>();
        // A right operand that lies across is turned in registers, unless that can be done once for many runs.
        let turned = |map: &Map| {
            let next = k.last().is_some_and(|&d| map[d] == 1) && apart(map).is_none();
            let once = self.setup[node.inputs[1].index()];
            next && node.ty.dtype.bytes() == 4 && terms(0) >= FEW_TERMS && !once
        };
        let fits = |operand: usize, map: &Map| {
            let strided = operand == 1 && n.last().is_some_and(|&d| map[d] != 1) && !turned(map);
            !strided && apart(map).is_none_or(|i| terms(i + 1) >= FEW_TERMS)
        };
        let mut found = vec![];
        for (operand, (view, (x, map))) in views.into_iter().zip(wanted).enumerate() {
            match view {
                Ok(view) if fits(operand, &view.1) => found.push(view),
                Ok(_) => {
                    let kept = self.kept_windows(x, &sizes, map);
                    let kept = kept.filter(|(_, map)| fits(operand, map));
                    self.demanded.insert(kept.map_or(x, |kept| kept.0));
                }
                Err(node) => {
                    self.demanded.insert(node);
                }
            }
        }
        let Ok([(a, left, from_a), (b, right, from_b)]) = <[_; 2]>::try_from(found) else {
            return self.empty_product(id, group);
        };
        // Leading rows or columns that do not merge with the rest are looped over like batches.
        let tail = |dims: &mut Vec<usize>, map: &Map| -> Vec<usize> {
            let apart = dims.windows(2).rposition(|w| !joins(map, w[0], w[1]));
            dims.split_off(apart.map_or(0, |i| i + 1))
        };
        let (rows, columns) = (tail(&mut m, &left), tail(&mut n, &right));
        let outer: Vec<usize> = batch.into_iter().chain(m).chain(n).collect();
        let size = |dims: &[usize]| dims.iter().map(|&d| sizes[d]).product::<usize>();
        let over = |map: &Map| -> Map {
            let step = |dims: &[usize]| dims.last().map_or(0, |&d| map[d]);
            let outer = outer.iter().map(|&d| map[d]);
            outer.chain([step(&rows), step(&columns)]).collect()
        };
        group.kind = Kind::Product;
        group.sizes =
            outer.iter().map(|&d| sizes[d]).chain([size(&rows), size(&columns)]).collect();
        group.roles = vec![Role::Keep; outer.len()];
        group.roles.extend([Role::Fixed, Role::Fixed]);
        let both = |w: &[usize]| joins(&left, w[0], w[1]) && joins(&right, w[0], w[1]);
        let mut runs: Vec<&[usize]> = k.chunk_by(|&x, &y| both(&[x, y])).collect();
        if runs.is_empty() {
            runs.push(&[]);
        }
        let steps = |map: &Map| runs.iter().map(|r| r.last().map_or(0, |&d| map[d])).collect();
        let a = Operand { id: a, map: over(&left), steps: steps(&left), offset: from_a };
        let b = Operand { id: b, map: over(&right), steps: steps(&right), offset: from_b };
        group.product = Some(Product { k: runs.iter().map(|r| size(r)).collect(), a, b });
        let at = over(&out);
        (group, at)
    }

    /// Stands in while an operand is demanded; the pass is done again.
    fn empty_product(&self, id: NodeId, mut group: Group) -> (Group, Map) {
        let shape = &self.graph.ty(id).shape;
        let zero = Operand { id, map: vec![], steps: vec![0], offset: 0 };
        let long = long_axes(shape);
        group.sizes = long.iter().map(|&a| shape.dims()[a]).collect();
        group.product = Some(Product { k: vec![0], a: zero.clone(), b: zero });
        (group, long.iter().map(|&a| shape.strides()[a]).collect())
    }

    /// The transposed windows that `id`, wanted at `map`, shows in another order of axes, and their map.
    fn kept_windows(&self, mut id: NodeId, sizes: &[usize], mut map: Map) -> Option<(NodeId, Map)> {
        while !self.is_read(id) {
            let node = self.graph.node(id);
            let Op::Move(op @ (MoveOp::Transpose(_) | MoveOp::Reshape(_))) = &node.op else {
                return None;
            };
            let operand = self.graph.node(node.inputs[0]);
            if matches!(operand.op, Op::Move(MoveOp::Window(_))) {
                return Some((id, map));
            }
            map = through_move(op, &operand.ty.shape, &node.ty.shape, sizes, &map).ok()?;
            id = node.inputs[0];
        }
        None
    }

    /// Where in memory `id` is read at `map`, and from which element on, passing lazy moves; else what must lie in
    /// memory.
    fn view(
        &self,
        mut id: NodeId,
        sizes: &[usize],
        mut map: Map,
    ) -> Result<(NodeId, Map, usize), NodeId> {
        let mut offset = 0;
        while !self.is_read(id) {
            let node = self.graph.node(id);
            let Op::Move(op) = &node.op else { return Err(id) };
            let operand = &self.graph.ty(node.inputs[0]).shape;
            map = through_move(op, operand, &node.ty.shape, sizes, &map).map_err(|_| id)?;
            offset += first_element(op, operand);
            let input = self.operand(id, 0, node.inputs[0]);
            if reads_memory(&node.op, 0) && !self.is_read(input) {
                return Err(input);
            }
            id = input;
        }
        Ok((id, map, offset))
    }
}
