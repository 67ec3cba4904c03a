//! What some ops hold besides their name: places, windows, pairs of axes, steps, numbers.

use crate::function::Function;
use crate::types::{DType, Literal, Shape};
use std::sync::Arc;

/// The same elements at other places.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MoveOp {
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Axis `i` of the result is axis `perm[i]` of the operand.
    Transpose(Vec<usize>),
    /// Operand axis `i` becomes axis `axes[i]` of `shape`, of the same size; the result is constant along the rest.
    /// `axes` increase.
    Broadcast {
        /// Shape of the result.
        shape: Shape,
        /// For each operand axis, its place in the result.
        axes: Vec<usize>,
    },
    /// Position `i` of each axis of the result is position `start + i · step` of the operand's. Lists have one entry per
    /// axis; steps are at least 1.
    Slice {
        /// First position taken.
        start: Vec<usize>,
        /// Distance between positions taken.
        step: Vec<usize>,
        /// Positions taken.
        size: Vec<usize>,
    },
    /// Adjoint of `slice`: position `start + i · step` of each axis of the result is position `i` of the operand's;
    /// everything else is `fill`. Lists have one entry per axis; steps are at least 1.
    Pad {
        /// Place of the first element.
        start: Vec<usize>,
        /// Distance between places of neighbours.
        step: Vec<usize>,
        /// Size of the result.
        size: Vec<usize>,
        /// What stands where no element does; of the operand's type.
        fill: Literal,
    },
    /// Windows that slide along some axes, as a view: what convolution contracts and pooling reduces.
    Window(Windows),
}

/// Windows along `axes`, which increase; the other lists have one entry per listed axis, at least 1. An axis of `n`
/// positions has [`Windows::positions`] windows; their number takes the axis' place in the shape, and the positions
/// inside a window are new last axes, in the order of `axes`: `[N, H, W, C]` with windows along 1 and 2 becomes
/// `[N, OH, OW, C, KH, KW]`. Position `k` of window `o` is position `o · stride + k · dilation` of the operand's axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Axes of the operand along which windows slide.
    pub axes: Vec<usize>,
    /// Positions of a window.
    pub size: Vec<usize>,
    /// Distance between the first positions of neighbouring windows.
    pub stride: Vec<usize>,
    /// Distance between neighbouring positions of one window.
    pub dilation: Vec<usize>,
}

impl Windows {
    /// Positions that a window along listed axis `i` spans, first to last; `None` when the number does not fit.
    pub fn span(&self, i: usize) -> Option<usize> {
        self.dilation[i].checked_mul(self.size[i] - 1)?.checked_add(1)
    }

    /// Windows along listed axis `i` when it has `length` positions; `None` when not even one fits.
    pub fn positions(&self, i: usize, length: usize) -> Option<usize> {
        let rest = length.checked_sub(self.span(i)?)?;
        Some(rest / self.stride[i] + 1)
    }

    /// The slice of an operand of shape `over` that is position `tap` of every window; those are numbered row-major.
    pub fn tap(&self, over: &Shape, mut tap: usize) -> MoveOp {
        let mut start = vec![0; over.rank()];
        let mut step = vec![1; over.rank()];
        let mut size = over.dims().to_vec();
        for (i, &axis) in self.axes.iter().enumerate().rev() {
            start[axis] = tap % self.size[i] * self.dilation[i];
            step[axis] = self.stride[i];
            size[axis] = self.positions(i, over.dims()[axis]).unwrap_or(0);
            tap /= self.size[i];
        }
        MoveOp::Slice { start, step, size }
    }

    /// The listed axis that is axis `axis` of the operand.
    pub fn listed(&self, axis: usize) -> Option<usize> {
        self.axes.iter().position(|&a| a == axis)
    }
}

/// A sub-graph applied once for each position of a leading axis.
///
/// Operands are the first `carries` values, then `xs` tensors whose first axis has `length` positions, then constants,
/// and the body's inputs are the same in that order, with one position of each of the `xs`. The body's first `carries`
/// outputs are the carried values after the step, the others are stacked along a new first axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// One step.
    pub body: Arc<Function>,
    /// Number of values handed from step to step.
    pub carries: usize,
    /// Number of tensors read position by position.
    pub xs: usize,
    /// Number of steps.
    pub length: usize,
    /// Whether steps run from the last position to the first; results are stacked at the position read.
    pub reverse: bool,
}

/// Which axes a contraction pairs. The result has the batch axes, then the free axes of the left operand, then those
/// of the right, each in the order of their operand (batch: in the order listed).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct DotAxes {
    /// Pairs `(left, right)` that stay.
    pub batch: Vec<(usize, usize)>,
    /// Pairs `(left, right)` that are summed over.
    pub contract: Vec<(usize, usize)>,
}

impl DotAxes {
    /// Plain `[.., m, k] x [k, n]`: contracts `left` with `right`, no batch.
    pub fn contract(left: usize, right: usize) -> DotAxes {
        DotAxes { batch: vec![], contract: vec![(left, right)] }
    }

    /// Axes of the left operand of rank `rank` that are neither batch nor contracted, in order.
    pub fn free_left(&self, rank: usize) -> Vec<usize> {
        let used = |a: usize| self.batch.iter().chain(&self.contract).any(|p| p.0 == a);
        (0..rank).filter(|&a| !used(a)).collect()
    }

    /// Axes of the right operand of rank `rank` that are neither batch nor contracted, in order.
    pub fn free_right(&self, rank: usize) -> Vec<usize> {
        let used = |a: usize| self.batch.iter().chain(&self.contract).any(|p| p.1 == a);
        (0..rank).filter(|&a| !used(a)).collect()
    }
}

/// A tensor written into a graph: as many literals' values as the node's type has elements.
#[derive(Clone, Debug)]
pub struct TensorData {
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Shape,
    /// Elements, row-major; integers are exact up to 2^53.
    pub values: Vec<f64>,
}

impl PartialEq for TensorData {
    fn eq(&self, other: &TensorData) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && self.values.iter().map(|v| v.to_bits()).eq(other.values.iter().map(|v| v.to_bits()))
    }
}

impl Eq for TensorData {}

impl std::hash::Hash for TensorData {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.dtype.hash(state);
        self.shape.hash(state);
        self.values.iter().for_each(|v| v.to_bits().hash(state));
    }
}
