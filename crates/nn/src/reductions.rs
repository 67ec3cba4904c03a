//! Reductions that are compositions of sums, extremes and comparisons.

use crate::axes::{AxisList, IntoAxes, resolve_axes};
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, Op, Shape};

/// Axes up to which a cumulative sum compares positions.
const SHORT: usize = 32;

impl<'g> Tensor<'g> {
    /// Variance over `axes`, divided by the number of elements.
    #[track_caller]
    pub fn var(self, axes: impl IntoAxes) -> Tensor<'g> {
        let mean = self.mean_over(axes.clone()).unsqueeze(axes.clone());
        (self - mean).square().mean_over(axes)
    }

    /// Whether any is true, over `axes`; numbers are true unless they are 0.
    #[track_caller]
    pub fn any(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.truth().cast(DType::I32).max_or(axes, 0.0).gt(0.0)
    }

    /// Whether all are true, over `axes`; numbers are true unless they are 0.
    #[track_caller]
    pub fn all(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.truth().logical_not().any(axes).logical_not()
    }

    /// As truth values.
    #[track_caller]
    fn truth(self) -> Tensor<'g> {
        match self.ty() {
            Some(ty) if ty.dtype != DType::Bool => self.not_equal(0.0),
            _ => self,
        }
    }

    /// Position of the largest along `axis`, the first of equals, as `i32`; a NaN counts as largest.
    #[track_caller]
    pub fn argmax(self, axis: i32) -> Tensor<'g> {
        let best = self.max(axis).unsqueeze(axis);
        self.first_place(axis, |x| x.equal(best).or(x.not_equal(x)))
    }

    /// Position of the smallest along `axis`, the first of equals, as `i32`; a NaN counts as smallest.
    #[track_caller]
    pub fn argmin(self, axis: i32) -> Tensor<'g> {
        let best = self.min(axis).unsqueeze(axis);
        self.first_place(axis, |x| x.equal(best).or(x.not_equal(x)))
    }

    /// The `k` largest along the last axis and their positions, largest first, the first of equals first. Takes `k`
    /// passes over the data; meant for small `k`.
    ///
    /// # Shapes
    /// `[.., n]` → `[.., k]` values and `i32[.., k]` positions
    #[track_caller]
    pub fn top_k(self, k: usize) -> (Tensor<'g>, Tensor<'g>) {
        let Some(ty) = self.ty() else { return (self, self) };
        let n = ty.shape.dims().last().copied().unwrap_or(0);
        if ty.rank() == 0 || k == 0 || k > n {
            let message = format!("cannot take {k} of {}", ty.shape);
            let help = "take at least one and at most as many as the last axis has".to_string();
            let poison = self.fail("top_k", &[self.expect_id()], message, help, At::here());
            return (poison, poison);
        }
        let places = self.places(ty.rank() - 1);
        // What is below every element that is left.
        let least = match ty.dtype.is_float() {
            true => self.graph.literal(ty.dtype, f64::NEG_INFINITY, At::here()),
            false => self.min(-1).unsqueeze(-1),
        };
        let (mut values, mut positions) = (vec![], vec![]);
        let mut taken: Option<Tensor<'g>> = None;
        for _ in 0..k {
            let left = taken.map_or(self, |taken| taken.select(least, self));
            let best = left.max(-1).unsqueeze(-1);
            let position = self.first_place(-1, |x| {
                let wanted = x.equal(best).or(x.not_equal(x));
                taken.map_or(wanted, |taken| taken.logical_not().and(wanted))
            });
            values.push(self.pick(position).unsqueeze(-1));
            positions.push(position.unsqueeze(-1));
            let chosen = places.equal(position.unsqueeze(-1));
            taken = Some(taken.map_or(chosen, |taken| taken.or(chosen)));
        }
        (self.graph.concat(&values, -1), self.graph.concat(&positions, -1))
    }

    /// Sums of the elements up to each position along `axis`: of `n` elements by `n·log(n)` additions, in a tree, so
    /// that rounding errors grow with `log(n)`; short axes by a comparison of positions.
    #[track_caller]
    pub fn cumsum(self, axis: i32) -> Tensor<'g> {
        let at = At::here();
        let Some(ty) = self.ty() else { return self };
        let Some(axis) = self.one_axis("cumsum", axis, at) else { return self.graph.poison() };
        let n = ty.shape.dims()[axis];
        if n > SHORT {
            // Each round adds what ends `reach` positions before.
            let mut sums = self;
            let mut reach = 1;
            while reach < n {
                let (place, zero) = (axis as i32, 0.0);
                sums = sums + sums.slice(place, 0..n - reach).pad(place, reach, 0, zero);
                reach *= 2;
            }
            return sums;
        }
        // A new axis after `axis` counts the results; the old one is summed over where it is not later.
        let mut dims = ty.shape.dims().to_vec();
        dims.insert(axis + 1, n);
        let iota = |axis| Op::Iota { dtype: DType::I32, shape: dims.clone().into(), axis };
        let old = self.graph.push(iota(axis), &[], at);
        let new = self.graph.push(iota(axis + 1), &[], at);
        let spread = self.unsqueeze(axis + 1);
        old.le(new).select(spread, self.zero_of(&ty)).sum(axis)
    }

    /// Sum of the diagonal of a square matrix.
    #[track_caller]
    pub fn trace(self) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        let square = ty.rank() == 2 && ty.shape.dims()[0] == ty.shape.dims()[1];
        if !square {
            let message = format!("needs a square matrix, not {}", ty.shape);
            let help = "take the trace of a matrix with as many rows as columns".to_string();
            return self.fail("trace", &[self.expect_id()], message, help, At::here());
        }
        let diagonal = self.places(0).equal(self.places(1));
        diagonal.select(self, self.zero_of(&ty)).sum(..)
    }

    /// The first position along `axis` at which `wanted` holds.
    #[track_caller]
    fn first_place(self, axis: i32, wanted: impl Fn(Tensor<'g>) -> Tensor<'g>) -> Tensor<'g> {
        let at = At::here();
        let Some(ty) = self.ty() else { return self };
        let Some(axis) = self.one_axis("argmax", axis, at) else { return self.graph.poison() };
        let n = ty.shape.dims()[axis];
        if n == 0 {
            let message = format!("has no positions along axis {axis} of {}", ty.shape);
            let help = "pass at least one element".to_string();
            return self.fail("argmax", &[self.expect_id()], message, help, at);
        }
        wanted(self).select(self.places(axis), n as f64).min(axis)
    }

    /// Positions along `axis`, in the shape of `self`.
    #[track_caller]
    fn places(self, axis: usize) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        self.graph.push(Op::Iota { dtype: DType::I32, shape: ty.shape, axis }, &[], At::here())
    }

    /// 0 of the type's elements.
    #[track_caller]
    fn zero_of(self, ty: &eggrad_ir::TensorType) -> Tensor<'g> {
        self.graph.literal(ty.dtype, 0.0, At::here())
    }

    /// Largest over `axes` and `least`, which is also the largest of nothing.
    #[track_caller]
    fn max_or(self, axes: impl IntoAxes, least: f64) -> Tensor<'g> {
        self.max(axes).maximum(least)
    }

    /// `axis` counted from the start, or a recorded error.
    pub(crate) fn one_axis(self, op: &str, axis: i32, at: At) -> Option<usize> {
        let ty = self.ty()?;
        match resolve_axes(AxisList::Some(vec![axis as isize]), ty.rank()) {
            Ok(axes) => axes.first().copied(),
            Err(message) => {
                let help = format!("the shape is {}", ty.shape);
                self.fail(op, &[self.expect_id()], message, help, at);
                None
            }
        }
    }
}

/// The shape of `dims` with size 1 at `axes`, which are places in the result and increase.
pub(crate) fn with_ones(dims: &[usize], axes: &[usize]) -> Shape {
    let mut rest = dims.iter().copied();
    (0..dims.len() + axes.len())
        .map(|i| if axes.contains(&i) { 1 } else { rest.next().unwrap_or(1) })
        .collect()
}
