//! Reductions over trailing axes, or over axes before the last.

use super::peel;
use eggrad_ir::{Builder, NodeId, ReduceOp, Shape};

/// `op` of `x`, which has elements, over `axes`.
pub(super) fn reduce(new: &mut Builder, op: ReduceOp, x: NodeId, axes: &[usize]) -> NodeId {
    let shape = new.ty(x).shape.clone();
    let wanted: Shape = shape.without(axes);
    // The order of the operand's axes does not matter but for those that are kept.
    let kept: Vec<usize> = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
    let mut list: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let x = peel(new, x, &mut list);
    let (kept, reduced) = list.split_at(kept.len());
    let dims = new.ty(x).shape.clone();
    let mut long: Vec<usize> = reduced.iter().copied().filter(|&a| dims.dims()[a] > 1).collect();
    long.sort_unstable();
    let mut order: Vec<usize> = (0..dims.rank()).collect();
    let mut y = x;
    if trailing(&dims, &long) < long.len() {
        let last = long.split_off(long.len() - trailing(&dims, &long));
        if !last.is_empty() {
            y = new.reduce(op, y, last.clone());
            order.retain(|a| !last.contains(a));
        }
    }
    let axes: Vec<usize> = long.iter().filter_map(|a| order.iter().position(|o| o == a)).collect();
    y = new.reduce(op, y, axes);
    order.retain(|a| !long.contains(a));
    // What is left: kept axes and reduced ones of size 1, in the order of the peeled operand.
    let perm: Vec<usize> = kept
        .iter()
        .chain(reduced.iter().filter(|a| !dims.dims().is_empty() && dims.dims()[**a] == 1))
        .filter_map(|a| order.iter().position(|o| o == a))
        .collect();
    let y = new.transpose(y, perm);
    new.reshape(y, wanted)
}

/// How many of `axes`, sorted, are the last ones of `shape`, not counting axes of size 1.
fn trailing(shape: &Shape, axes: &[usize]) -> usize {
    let long: Vec<usize> = (0..shape.rank()).filter(|&a| shape.dims()[a] > 1).collect();
    long.iter().rev().zip(axes.iter().rev()).take_while(|(a, b)| a == b).count()
}
