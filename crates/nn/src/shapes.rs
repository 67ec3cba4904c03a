//! Parts of tensors, and tensors put together.

use crate::axes::{IntoAxes, resolve_axes};
use crate::graph::Graph;
use crate::reductions::with_ones;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, DotAxes, Literal, MoveOp, Op, TensorType, TypeError};
use std::ops::Range;

impl<'g> Tensor<'g> {
    /// Axes of size 1 at `axes`, which are places in the result: puts back what a reduction over them took out.
    #[track_caller]
    pub fn unsqueeze(self, axes: impl IntoAxes) -> Tensor<'g> {
        let at = At::here();
        let Some(ty) = self.ty() else { return self };
        let count = match axes.clone().into_axes() {
            crate::AxisList::All if ty.rank() == 0 => return self,
            crate::AxisList::All => 0,
            crate::AxisList::Some(list) => list.len(),
        };
        match resolve_axes(axes.into_axes(), ty.rank() + count) {
            Ok(axes) => {
                self.apply(Op::Move(MoveOp::Reshape(with_ones(ty.shape.dims(), &axes))), at)
            }
            Err(message) => {
                let help = "axes are places in the result".to_string();
                self.fail("unsqueeze", &[self.expect_id()], message, help, at)
            }
        }
    }

    /// The shape without `axes`, all of size 1.
    #[track_caller]
    pub fn squeeze(self, axes: impl IntoAxes) -> Tensor<'g> {
        let at = At::here();
        let Some(ty) = self.ty() else { return self };
        let ids = [self.expect_id()];
        match resolve_axes(axes.into_axes(), ty.rank()) {
            Ok(axes) if axes.iter().all(|&a| ty.shape.dims()[a] == 1) => {
                self.apply(Op::Move(MoveOp::Reshape(ty.shape.without(&axes))), at)
            }
            Ok(axes) => {
                let message = format!("drops axes {axes:?} of {}, which are not all 1", ty.shape);
                self.fail("squeeze", &ids, message, "sum or slice them instead".into(), at)
            }
            Err(message) => {
                let help = format!("the shape is {}", ty.shape);
                self.fail("squeeze", &ids, message, help, at)
            }
        }
    }

    /// Positions `range` along `axis`.
    #[track_caller]
    pub fn slice(self, axis: i32, range: Range<usize>) -> Tensor<'g> {
        self.slice_at(axis, range, 1, At::here())
    }

    /// Every `step`-th of the positions `range` along `axis`, beginning with the first.
    #[track_caller]
    pub fn slice_step(self, axis: i32, range: Range<usize>, step: usize) -> Tensor<'g> {
        self.slice_at(axis, range, step, At::here())
    }

    /// Parts of `sizes` positions along `axis`, in order.
    #[track_caller]
    pub fn split(self, axis: i32, sizes: &[usize]) -> Vec<Tensor<'g>> {
        let at = At::here();
        let Some(ty) = self.ty() else { return vec![self; sizes.len()] };
        let Some(place) = self.one_axis("split", axis, at) else {
            return vec![self.graph.poison(); sizes.len()];
        };
        if sizes.iter().sum::<usize>() != ty.shape.dims()[place] {
            let message = format!("parts {sizes:?} do not fill axis {place} of {}", ty.shape);
            let help = "choose sizes that add up to the axis".to_string();
            let poison = self.fail("split", &[self.expect_id()], message, help, at);
            return vec![poison; sizes.len()];
        }
        let mut begin = 0;
        let part = |&size: &usize| {
            begin += size;
            self.slice_at(axis, begin - size..begin, 1, at)
        };
        sizes.iter().map(part).collect()
    }

    /// `low` positions of `fill` before and `high` after, along `axis`.
    #[track_caller]
    pub fn pad(self, axis: i32, low: usize, high: usize, fill: f64) -> Tensor<'g> {
        let at = At::here();
        let Some(place) = self.one_axis("pad", axis, at) else { return self.graph.poison() };
        self.pad_at(place, low, high, fill, at)
    }

    /// The order of positions along `axis` turned round.
    #[track_caller]
    pub fn flip(self, axis: i32) -> Tensor<'g> {
        let at = At::here();
        let Some(place) = self.one_axis("flip", axis, at) else { return self.graph.poison() };
        let Some(ty) = self.ty() else { return self };
        let n = ty.shape.dims()[place];
        let order = Op::Iota { dtype: DType::I32, shape: [n].into(), axis: 0 };
        let order = (n as f64 - 1.0) - self.graph.push(order, &[], at);
        let mut perm: Vec<usize> = (0..ty.rank()).collect();
        perm.swap(0, place);
        self.permute(perm.clone()).gather(order).permute(perm)
    }

    /// The tensor repeated `counts[i]` times along axis `i`, one count for each axis.
    #[track_caller]
    pub fn tile(self, counts: &[usize]) -> Tensor<'g> {
        let at = At::here();
        let Some(ty) = self.ty() else { return self };
        if counts.len() != ty.rank() {
            let message = format!("has {} counts for {} axes", counts.len(), ty.rank());
            let help = "give one count for each axis".to_string();
            return self.fail("tile", &[self.expect_id()], message, help, at);
        }
        let dims = ty.shape.dims();
        let pairs: Vec<usize> = dims.iter().zip(counts).flat_map(|(&d, &c)| [c, d]).collect();
        let axes = (0..dims.len()).map(|i| 2 * i + 1).collect();
        let shape = pairs.into();
        let tiles = self.apply(Op::Move(MoveOp::Broadcast { shape, axes }), at);
        let all: Vec<usize> = dims.iter().zip(counts).map(|(d, c)| d * c).collect();
        tiles.reshape(all)
    }

    /// Every product of an element of `self` and one of `other`, both vectors.
    ///
    /// # Shapes
    /// `[m]` and `[n]` → `[m, n]`
    #[track_caller]
    pub fn outer(self, other: Tensor<'g>) -> Tensor<'g> {
        let at = At::here();
        let (Some(a), Some(b)) = (self.id, self.graph.own("outer", other, at)) else {
            return self.graph.poison();
        };
        if self.expect_ty().rank() != 1 || other.expect_ty().rank() != 1 {
            let message = "takes two vectors".to_string();
            return self.fail("outer", &[a, b], message, "reshape them to one axis".into(), at);
        }
        self.graph.push(Op::Dot(DotAxes::default()), &[a, b], at)
    }

    pub(crate) fn slice_at(
        self,
        axis: i32,
        range: Range<usize>,
        step: usize,
        at: At,
    ) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        let Some(place) = self.one_axis("slice", axis, at) else { return self.graph.poison() };
        let dims = ty.shape.dims();
        if range.end > dims[place] || range.start > range.end || step == 0 {
            let message = format!(
                "takes positions {} to {} by {step} of axis {place} of {}",
                range.start, range.end, ty.shape
            );
            let help = format!("stay between 0 and {}, with a step above 0", dims[place]);
            return self.fail("slice", &[self.expect_id()], message, help, at);
        }
        let (mut start, mut steps, mut size) =
            (vec![0; ty.rank()], vec![1; ty.rank()], dims.to_vec());
        (start[place], steps[place]) = (range.start, step);
        size[place] = range.len().div_ceil(step);
        self.apply(Op::Move(MoveOp::Slice { start, step: steps, size }), at)
    }

    fn pad_at(self, place: usize, low: usize, high: usize, fill: f64, at: At) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        let whole = ty.shape.dims()[place].checked_add(low).and_then(|n| n.checked_add(high));
        let (Some(fill), Some(whole)) = (Literal::of(ty.dtype, fill), whole) else {
            let message = format!("cannot put {low} and {high} times {fill} around {ty}");
            let help = "choose a fill of the tensor's type and smaller borders".to_string();
            return self.fail("pad", &[self.expect_id()], message, help, at);
        };
        let (mut start, step, mut size) =
            (vec![0; ty.rank()], vec![1; ty.rank()], ty.shape.dims().to_vec());
        (start[place], size[place]) = (low, whole);
        self.apply(Op::Move(MoveOp::Pad { start, step, size, fill }), at)
    }
}

impl Graph {
    /// Tensors one after the other along `axis`; their other sizes agree.
    #[track_caller]
    pub fn concat<'g>(&'g self, parts: &[Tensor<'g>], axis: i32) -> Tensor<'g> {
        let at = At::here();
        let Some(ids) =
            parts.iter().map(|p| self.own("concat", *p, at)).collect::<Option<Vec<_>>>()
        else {
            return self.poison();
        };
        let fail = |message: String, help: &str| {
            let mut error = TypeError::new("concat", at, message, help);
            error.operands = self.operands(&ids);
            self.record(error);
            self.poison()
        };
        let Some(&first) = parts.first() else {
            return fail("has nothing to put together".into(), "pass at least one tensor");
        };
        let Some(place) = first.one_axis("concat", axis, at) else { return self.poison() };
        let types: Vec<_> = parts.iter().map(|p| p.expect_ty()).collect();
        let rest = |t: &TensorType| (t.dtype, t.rank(), t.shape.without(&[place]));
        if types.iter().any(|t| rest(t) != rest(&types[0])) {
            return fail(
                format!("needs one element type and equal sizes but along axis {place}"),
                "cast, reshape or slice the odd one out",
            );
        }
        let sizes: Vec<usize> = types.iter().map(|t| t.shape.dims()[place]).collect();
        let Some(total) = sizes.iter().try_fold(0usize, |n, &size| n.checked_add(size)) else {
            return fail("makes an axis that no memory holds".into(), "make the parts smaller");
        };
        let mut shape = types[0].shape.dims().to_vec();
        shape[place] = total;
        let iota = Op::Iota { dtype: DType::I32, shape: shape.into(), axis: place };
        let position = self.push(iota, &[], at);
        // Each part is padded to the whole; a position belongs to the first part that ends after it.
        let mut end = 0;
        let mut padded = vec![];
        for (part, &size) in parts.iter().zip(&sizes) {
            end += size;
            padded.push((part.pad_at(place, end - size, total - end, 0.0, at), end));
        }
        let last = padded.pop().map_or(first, |p| p.0);
        padded
            .into_iter()
            .rev()
            .fold(last, |rest, (part, end)| position.lt(end as f64).select(part, rest))
    }

    /// Tensors of one shape along a new axis at place `axis` of the result.
    #[track_caller]
    pub fn stack<'g>(&'g self, parts: &[Tensor<'g>], axis: i32) -> Tensor<'g> {
        let parts: Vec<Tensor<'g>> = parts.iter().map(|p| p.unsqueeze(axis)).collect();
        self.concat(&parts, axis)
    }
}
