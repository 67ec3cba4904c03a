//! Where a node reads its operands.

use super::Groups;
use crate::maps::{Fault, Map, axes, combine, through_move};
use eggrad_ir::{Graph, MoveOp, NodeId, Op};

/// Where a node's operands are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operands {
    /// One map for each operand. A gather's table is read at its row 0, a slice's operand from its start on, what is
    /// scattered, folded or padded at its own map; the operands of an application have none.
    pub(crate) maps: Vec<Map>,
    /// Positions that the node itself computes with: along the axis that an iota counts or a one-hot adds, or the
    /// number of an element that is random.
    pub(crate) position: Option<Map>,
}

/// Where `id` reads its operands when it is wanted at `map` of loops of `sizes`; `arg` is a reduction's own.
pub(crate) fn operand_maps(
    graph: &Graph,
    sizes: &[usize],
    id: NodeId,
    map: &[usize],
    arg: &[usize],
) -> Result<Operands, Fault> {
    let node = graph.node(id);
    let shape = |i: usize| &graph.ty(node.inputs[i]).shape;
    let plain = |maps: Vec<Map>| Ok(Operands { maps, position: None });
    match &node.op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) => {
            plain(vec![map.to_vec(); node.inputs.len()])
        }
        Op::RandomKey { .. } | Op::Random { .. } => {
            let maps = vec![vec![0; sizes.len()]; node.inputs.len()];
            Ok(Operands { maps, position: Some(map.to_vec()) })
        }
        Op::Scan { .. } | Op::Cond { .. } => plain(vec![vec![]; node.inputs.len()]),
        Op::Const(..) => plain(vec![]),
        Op::Iota { axis, .. } => {
            let position = Some(axes(sizes, map, &node.ty.shape)?.swap_remove(*axis));
            Ok(Operands { maps: vec![], position })
        }
        Op::Move(MoveOp::Pad { .. }) | Op::Fold { .. } => plain(vec![arg.to_vec()]),
        Op::Move(op) => plain(vec![through_move(op, shape(0), &node.ty.shape, sizes, map)?]),
        Op::Reduce(..) => plain(vec![arg.to_vec()]),
        Op::OneHot { .. } => {
            let mut parts = axes(sizes, map, &node.ty.shape)?;
            let position = parts.pop();
            let label = combine(sizes.len(), parts.iter().zip(shape(0).strides()));
            Ok(Operands { maps: vec![label], position })
        }
        Op::Gather { batch } => {
            let parts = axes(sizes, map, &node.ty.shape)?;
            let (indices, rest) = parts.split_at(shape(1).rank());
            let strides = shape(0).strides();
            let table = indices[..*batch].iter().zip(strides[..*batch].iter().copied());
            let table = table.chain(rest.iter().zip(strides[batch + 1..].iter().copied()));
            let index = combine(sizes.len(), indices.iter().zip(shape(1).strides()));
            plain(vec![combine(sizes.len(), table), index])
        }
        Op::ScatterAdd { .. } => {
            let updates = arg.to_vec();
            let parts = axes(sizes, &updates, shape(1))?;
            let index = parts[..shape(0).rank()].iter().zip(shape(0).strides());
            plain(vec![combine(sizes.len(), index), updates])
        }
        Op::Dot(_) => plain(vec![]),
        Op::Input(_) | Op::State(_) | Op::Data(_) => plain(vec![]),
        Op::Size { .. }
        | Op::Mark(_)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Call { .. }
        | Op::Grad => {
            panic!("internal error: `{}` is not legal", node.op.name())
        }
    }
}

/// Whether operand `position` of `op` must lie in memory, because the op itself says which elements of it are read.
pub(crate) fn reads_memory(op: &Op, position: usize) -> bool {
    let first =
        matches!(op, Op::Gather { .. } | Op::Random { .. } | Op::Move(MoveOp::Slice { .. }));
    (first && position == 0) || matches!(op, Op::Scan { .. } | Op::Cond { .. })
}

/// What a member reads, through lazy nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulled {
    /// Leaves and solid nodes, with their maps.
    pub(crate) reads: Vec<(NodeId, Map)>,
    /// Maps of positions that are computed with.
    pub(crate) positions: Vec<Map>,
    /// Lazy nodes on the way.
    pub(crate) lazy: Vec<NodeId>,
}

impl Groups<'_> {
    /// Everything that member `id` of a group reads.
    pub(crate) fn pulled(&self, id: NodeId) -> Pulled {
        let pulled = self.home[id.index()].map(|home| self.pull(home, id));
        let Some(Ok(pulled)) = pulled else {
            panic!("internal error: the maps of node {} no longer fit", id.0)
        };
        pulled
    }

    /// As [`Groups::pulled`]; fails naming the node whose map cannot be taken apart.
    pub(super) fn pull(&self, group: usize, id: NodeId) -> Result<Pulled, (NodeId, Fault)> {
        let g = &self.groups[group];
        let mut pulled = Pulled::default();
        if let Some(product) =
            g.product.as_ref().filter(|_| matches!(self.graph.node(id).op, Op::Dot(_)))
        {
            pulled.reads.push((product.a.id, product.a.map.clone()));
            pulled.reads.push((product.b.id, product.b.map.clone()));
            return Ok(pulled);
        }
        let mut stack = vec![(id, self.at[id.index()].clone())];
        while let Some((node, map)) = stack.pop() {
            if node != id {
                if self.is_read(node) {
                    pulled.reads.push((node, map));
                    continue;
                }
                pulled.lazy.push(node);
            }
            let operands = operand_maps(self.graph, &g.sizes, node, &map, &self.arg[id.index()])
                .map_err(|fault| (node, fault))?;
            pulled.positions.extend(operands.position);
            let inputs = self.graph.node(node).inputs.iter().copied();
            for ((i, input), map) in inputs.enumerate().zip(operands.maps) {
                let input = self.operand(node, i, input);
                if reads_memory(&self.graph.node(node).op, i) && !self.is_read(input) {
                    return Err((input, Fault::Never));
                }
                stack.push((input, map));
            }
        }
        Ok(pulled)
    }

    /// Operand `position` of `node` as it is read: reshapes of what must lie in memory are passed.
    pub(crate) fn operand(&self, node: NodeId, position: usize, mut input: NodeId) -> NodeId {
        if reads_memory(&self.graph.node(node).op, position) {
            while !self.is_read(input)
                && matches!(self.graph.node(input).op, Op::Move(MoveOp::Reshape(_)))
            {
                input = self.graph.node(input).inputs[0];
            }
        }
        input
    }

    /// As [`Groups::pull`], splitting loops where that helps; fails naming a node that must lie in memory.
    pub(super) fn collect(&mut self, group: usize, id: NodeId) -> Result<Pulled, NodeId> {
        loop {
            match self.pull(group, id) {
                Ok(pulled) => return Ok(pulled),
                Err((_, Fault::Split { dim, inner })) if self.may_split(group, dim) => {
                    self.split(group, dim, inner);
                }
                Err((node, Fault::Split { .. } | Fault::Never)) => return Err(node),
            }
        }
    }
}
