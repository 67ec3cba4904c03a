//! Where elements lie.

use eggrad_ir::{Shape, Windows};

/// Row-major walk over `dims`: the offset of every position, with `strides` elements between neighbours.
pub(crate) fn offsets(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    if dims.contains(&0) {
        return vec![];
    }
    let mut all = vec![0];
    for (&size, &stride) in dims.iter().zip(strides) {
        all = all.iter().flat_map(|&o| (0..size).map(move |i| o + i * stride)).collect();
    }
    all
}

/// Offsets in a row-major tensor of `shape`, walking only along `axes`, in the order listed.
pub(crate) fn offsets_along(shape: &Shape, axes: &[usize]) -> Vec<usize> {
    let strides = shape.strides();
    let dims: Vec<usize> = axes.iter().map(|&a| shape.dims()[a]).collect();
    let strides: Vec<usize> = axes.iter().map(|&a| strides[a]).collect();
    offsets(&dims, &strides)
}

/// Offsets in a row-major tensor of `shape` of the positions that a slice takes or a pad fills: `size` along each axis,
/// from `start` by `step`.
pub(crate) fn places(shape: &Shape, start: &[usize], step: &[usize], size: &[usize]) -> Vec<usize> {
    if size.contains(&0) {
        return vec![];
    }
    let strides = shape.strides();
    let first: usize = start.iter().zip(&strides).map(|(start, stride)| start * stride).sum();
    // A step along an axis of size 1 is never taken, and may be of any size.
    let strides: Vec<usize> = step.iter().zip(strides).map(|(n, s)| n.wrapping_mul(s)).collect();
    offsets(size, &strides).into_iter().map(|offset| first + offset).collect()
}

/// The rows of `shape` along `axes`: the offset at which each begins, in order of the other axes, and the offsets
/// within a row.
pub(crate) fn rows(shape: &Shape, axes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let others: Vec<usize> = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
    (offsets_along(shape, &others), offsets_along(shape, axes))
}

/// Offsets in a row-major tensor of `shape` of every position of every window, in the order of a `window`'s result.
pub(crate) fn window_places(shape: &Shape, windows: &Windows) -> Vec<usize> {
    let (mut dims, mut strides) = (shape.dims().to_vec(), shape.strides());
    for (i, &axis) in windows.axes.iter().enumerate() {
        let Some(positions) = windows.positions(i, dims[axis]) else {
            panic!("internal error: windows that do not fit {shape}")
        };
        dims[axis] = positions;
        dims.push(windows.size[i]);
        // As in `places`, what is never walked may be of any size.
        strides.push(windows.dilation[i].wrapping_mul(strides[axis]));
        strides[axis] = windows.stride[i].wrapping_mul(strides[axis]);
    }
    offsets(&dims, &strides)
}
