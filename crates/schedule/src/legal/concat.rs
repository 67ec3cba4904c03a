//! Sums of pads that lie side by side, which is how values are put together and what becomes of slices in reverse: each
//! element is chosen from the part that has it. No part is then padded with zeros, which are stored and added up.

use super::Pass;
use eggrad_ir::{BinaryOp, Builder, CompareOp, DType, MoveOp, NodeId, Op, Shape};

/// Parts up to which each is read for every element; also parts that nobody gives.
const MOST_PARTS: usize = 8;

/// Sums that are looked through.
const MOST_TERMS: usize = 64;

/// A pad along one axis.
#[derive(Clone, Copy)]
struct Placed {
    part: NodeId,
    axis: usize,
    start: usize,
    size: usize,
}

impl Pass<'_> {
    /// The sum `id` as a choice, if it adds pads of zeros that are alike, do not overlap and divide the axis evenly.
    pub(super) fn side_by_side(&mut self, id: NodeId) -> Option<NodeId> {
        let shape = self.old.ty(id).shape.clone();
        let mut parts: Vec<Placed> = vec![];
        let mut stack = vec![id];
        while let Some(node) = stack.pop() {
            if node != id {
                self.single_user[node.index()]?;
            }
            if self.old.node(node).op == Op::Binary(BinaryOp::Add) {
                stack.extend(&self.old.node(node).inputs);
            } else {
                parts.push(self.placed(node)?);
            }
            if parts.len() > MOST_PARTS || stack.len() > MOST_TERMS {
                return None;
            }
        }
        let Placed { axis, size, .. } = *parts.first()?;
        let all = shape.dims()[axis];
        let count = all / size;
        parts.sort_unstable_by_key(|p| p.start);
        let alike = parts.iter().all(|p| p.axis == axis && p.size == size && p.start % size == 0);
        let apart = parts.windows(2).all(|w| w[0].start < w[1].start);
        if !alike || !apart || !all.is_multiple_of(size) || count > MOST_PARTS {
            return None;
        }
        Some(chosen(&mut self.new, &parts, &shape, |part| self.map[part.index()]))
    }

    /// The part that `id` pads, if it adds zeros along one axis alone.
    fn placed(&self, id: NodeId) -> Option<Placed> {
        let node = self.old.node(id);
        let Op::Move(MoveOp::Pad { start, step, size, fill }) = &node.op else { return None };
        let part = node.inputs[0];
        let from = self.old.ty(part).shape.dims();
        let mut padded = (0..from.len()).filter(|&a| from[a] != size[a]);
        let (axis, other) = (padded.next()?, padded.next());
        let dense = step[axis] == 1 && start.iter().enumerate().all(|(a, &s)| a == axis || s == 0);
        let plain = fill.as_f64() == 0.0 && other.is_none() && dense && from[axis] > 0;
        plain.then(|| Placed { part, axis, start: start[axis], size: from[axis] })
    }
}

/// For each element of `shape`, that of the part which has it; 0 where none has.
fn chosen(
    b: &mut Builder,
    parts: &[Placed],
    shape: &Shape,
    new: impl Fn(NodeId) -> NodeId,
) -> NodeId {
    let Placed { axis, size, .. } = parts[0];
    let count = shape.dims()[axis] / size;
    // The axis becomes two: which part, and where in it.
    let (before, after) = shape.dims().split_at(axis);
    let apart: Shape = before.iter().chain(&[count, size]).chain(&after[1..]).copied().collect();
    let kept: Vec<usize> = (0..apart.rank()).filter(|&a| a != axis).collect();
    let number = Op::Iota { dtype: DType::I32, shape: apart.clone(), axis };
    let number = b.node(number, &[]);
    let mut chosen = None;
    if parts.len() < count {
        let zero = b.scalar(b.ty(new(parts[0].part)).dtype, 0.0);
        chosen = Some(b.spread(zero, apart.clone(), vec![]));
    }
    for part in parts.iter().rev() {
        let value = b.spread(new(part.part), apart.clone(), kept.clone());
        chosen = Some(match chosen {
            None => value,
            Some(others) => {
                let this = b.full_like(number, (part.start / size) as f64);
                let here = b.compare(CompareOp::Eq, number, this);
                b.select(here, value, others)
            }
        });
    }
    let Some(chosen) = chosen else { panic!("internal error: a sum of no parts") };
    b.reshape(chosen, shape.clone())
}
