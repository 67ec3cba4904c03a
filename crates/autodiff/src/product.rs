//! Derivative of `prod` without a division, so that it and its own derivatives are exact whatever factors are zero.

use crate::row::shape;
use eggrad_ir::{Builder, Literal, MoveOp, NodeId, Op, Shape};

/// For each element of `x` the product of the others of its row.
///
/// A tree of halves: on the way up, products of ever more elements; on the way down, each half gets the product of
/// all that lies outside of it. For `n` elements that is a number of nodes in the order of `log n` and work in the
/// order of `n`. Only products are made, so that derivatives of the result are derivatives of a polynomial.
pub(crate) fn products_of_others(b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
    let full = shape(b, x);
    let n: usize = axes.iter().map(|&a| full.dims()[a]).product();
    if n <= 1 || full.elements() == 0 {
        return b.full_like(x, 1.0);
    }
    // The row's axes last, as one.
    let kept: Vec<usize> = (0..full.rank()).filter(|a| !axes.contains(a)).collect();
    let perm: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let moved = b.transpose(x, perm.clone());
    let moved_shape = shape(b, moved);
    let rows: Shape = kept.iter().map(|&a| full.dims()[a]).chain([n]).collect();
    let row = b.reshape(moved, rows);

    let mut halves = vec![];
    let mut top = row;
    while last(b, top) > 1 {
        let half = last(b, top).div_ceil(2);
        let even = widen(b, top, 0, 2 * half, 1.0);
        let (low, high) = (cut(b, even, 0, half), cut(b, even, half, half));
        halves.push((last(b, top), low, high));
        top = b.mul(low, high);
    }
    let mut outside = b.full_like(top, 1.0);
    for (size, low, high) in halves.into_iter().rev() {
        let half = last(b, low);
        let (below, above) = (b.mul(outside, high), b.mul(outside, low));
        let (below, above) =
            (widen(b, below, 0, 2 * half, 0.0), widen(b, above, half, 2 * half, 0.0));
        let both = b.add(below, above);
        outside = cut(b, both, 0, size);
    }
    let others = b.reshape(outside, moved_shape);
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(to, &axis)| inverse[axis] = to);
    b.transpose(others, inverse)
}

/// Size of the last axis.
fn last(b: &Builder, x: NodeId) -> usize {
    b.ty(x).shape.dims().last().copied().unwrap_or(1)
}

/// `x` from place `start` on a last axis of `size` positions; `fill` elsewhere.
fn widen(b: &mut Builder, x: NodeId, start: usize, size: usize, fill: f64) -> NodeId {
    if last(b, x) == size {
        return x;
    }
    let ty = b.ty(x).clone();
    let Some(fill) = Literal::of(ty.dtype, fill) else {
        panic!("internal error: a product of {}", ty.dtype.name())
    };
    let rank = ty.rank();
    let mut sizes = ty.shape.dims().to_vec();
    sizes[rank - 1] = size;
    let mut starts = vec![0; rank];
    starts[rank - 1] = start;
    b.node(Op::Move(MoveOp::Pad { start: starts, step: vec![1; rank], size: sizes, fill }), &[x])
}

/// `size` positions of the last axis from `start` on.
fn cut(b: &mut Builder, x: NodeId, start: usize, size: usize) -> NodeId {
    if last(b, x) == size {
        return x;
    }
    let mut sizes = b.ty(x).shape.dims().to_vec();
    let rank = sizes.len();
    sizes[rank - 1] = size;
    let mut starts = vec![0; rank];
    starts[rank - 1] = start;
    b.node(Op::Move(MoveOp::Slice { start: starts, step: vec![1; rank], size: sizes }), &[x])
}
