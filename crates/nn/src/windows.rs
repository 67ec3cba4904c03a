//! Convolution and pooling over any number of spatial axes: windows, contracted or reduced.

use crate::tensor::Tensor;
use eggrad_ir::{At, BinaryOp, DotAxes, Literal, MoveOp, Op, ReduceOp, Windows};
use serde::{Deserialize, Serialize};

/// What is put around the spatial axes before windows slide over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[serde(bound(
    serialize = "[(usize, usize); N]: Serialize",
    deserialize = "[(usize, usize); N]: Deserialize<'de>"
))]
pub enum Padding<const N: usize> {
    /// Nothing: only windows that lie inside.
    #[default]
    Valid,
    /// As much as `ceil(size / stride)` windows need, the odd position after the end, as TensorFlow does.
    Same,
    /// So many positions before and after each spatial axis.
    Around([(usize, usize); N]),
}

/// How windows slide over `N` spatial axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(
    serialize = "[usize; N]: Serialize, Padding<N>: Serialize",
    deserialize = "[usize; N]: Deserialize<'de>, Padding<N>: Deserialize<'de>"
))]
pub struct Sliding<const N: usize> {
    /// Positions between neighbouring windows.
    pub stride: [usize; N],
    /// Positions between neighbours inside a window.
    pub dilation: [usize; N],
    /// What is put around.
    pub padding: Padding<N>,
}

impl<const N: usize> Default for Sliding<N> {
    /// Every window that lies inside.
    fn default() -> Sliding<N> {
        Sliding { stride: [1; N], dilation: [1; N], padding: Padding::Valid }
    }
}

impl<const N: usize> Sliding<N> {
    /// Windows `stride` positions apart.
    pub fn stride(self, stride: [usize; N]) -> Sliding<N> {
        Sliding { stride, ..self }
    }

    /// Windows of positions `dilation` apart.
    pub fn dilation(self, dilation: [usize; N]) -> Sliding<N> {
        Sliding { dilation, ..self }
    }

    /// With `padding` around.
    pub fn padding(self, padding: Padding<N>) -> Sliding<N> {
        Sliding { padding, ..self }
    }

    /// [`Padding::Same`].
    pub fn same(self) -> Sliding<N> {
        self.padding(Padding::Same)
    }
}

impl<'g> Tensor<'g> {
    /// Windows of `size` positions along the axes `axes`, as a view: each of those axes becomes the windows, and new
    /// last axes are the positions inside a window.
    ///
    /// # Shapes
    /// `[n, h, w, c]`, axes `[1, 2]` → `[n, windows, windows, c, size[0], size[1]]`
    #[track_caller]
    pub fn windows<const N: usize>(
        self,
        axes: [usize; N],
        size: [usize; N],
        stride: [usize; N],
        dilation: [usize; N],
    ) -> Tensor<'g> {
        let lists = [axes, size, stride, dilation].map(|list| list.to_vec());
        let [axes, size, stride, dilation] = lists;
        self.apply(Op::Move(MoveOp::Window(Windows { axes, size, stride, dilation })), At::here())
    }

    /// Convolution (correlation, as everywhere in this field) along one axis; the groups of channels do not mix, and
    /// their number is told by the weight.
    ///
    /// # Shapes
    /// `[n, w, c]` and weight `[k, c / groups, o]` → `[n, windows, o]`
    #[track_caller]
    pub fn conv1d(self, weight: Tensor<'g>, sliding: Sliding<1>) -> Tensor<'g> {
        self.conv("conv1d", weight, sliding, At::here())
    }

    /// Convolution along two axes; the groups of channels do not mix, and their number is told by the weight.
    ///
    /// # Shapes
    /// `[n, h, w, c]` and weight `[kh, kw, c / groups, o]` → `[n, windows, windows, o]`
    #[track_caller]
    pub fn conv2d(self, weight: Tensor<'g>, sliding: Sliding<2>) -> Tensor<'g> {
        self.conv("conv2d", weight, sliding, At::here())
    }

    /// Largest of each window of `size` positions; NaN if any is NaN. The first of equals takes the gradient; positions
    /// around the tensor count as -infinity.
    ///
    /// # Shapes
    /// `[n, w, c]` → `[n, windows, c]`
    #[track_caller]
    pub fn max_pool1d(self, size: [usize; 1], sliding: Sliding<1>) -> Tensor<'g> {
        self.pool("max_pool1d", ReduceOp::Max, size, sliding, At::here())
    }

    /// Largest of each window of `size` positions; NaN if any is NaN. The first of equals takes the gradient; positions
    /// around the tensor count as -infinity.
    ///
    /// # Shapes
    /// `[n, h, w, c]` → `[n, windows, windows, c]`
    #[track_caller]
    pub fn max_pool2d(self, size: [usize; 2], sliding: Sliding<2>) -> Tensor<'g> {
        self.pool("max_pool2d", ReduceOp::Max, size, sliding, At::here())
    }

    /// Mean of each window of `size` positions; positions around the tensor do not count.
    ///
    /// # Shapes
    /// `[n, w, c]` → `[n, windows, c]`
    #[track_caller]
    pub fn avg_pool1d(self, size: [usize; 1], sliding: Sliding<1>) -> Tensor<'g> {
        self.pool("avg_pool1d", ReduceOp::Sum, size, sliding, At::here())
    }

    /// Mean of each window of `size` positions; positions around the tensor do not count.
    ///
    /// # Shapes
    /// `[n, h, w, c]` → `[n, windows, windows, c]`
    #[track_caller]
    pub fn avg_pool2d(self, size: [usize; 2], sliding: Sliding<2>) -> Tensor<'g> {
        self.pool("avg_pool2d", ReduceOp::Sum, size, sliding, At::here())
    }

    fn conv<const N: usize>(
        self,
        name: &str,
        weight: Tensor<'g>,
        sliding: Sliding<N>,
        at: At,
    ) -> Tensor<'g> {
        let graph = self.graph;
        let (Some(x), Some(w)) = (self.id, graph.own(name, weight, at)) else {
            return graph.poison();
        };
        let (tx, tw) = (self.expect_ty(), weight.expect_ty());
        let fail = |message: String, help: &str| self.fail(name, &[x, w], message, help.into(), at);
        if tx.rank() != N + 2 || tw.rank() != N + 2 {
            let message = format!("takes {} axes on each side", N + 2);
            return fail(
                message,
                "rows, spatial axes, channels; weights: spatial axes, channels in and out",
            );
        }
        let (channels, inner) = (tx.shape.dims()[N + 1], tw.shape.dims()[N]);
        let outer = tw.shape.dims()[N + 1];
        let groups = channels.checked_div(inner).unwrap_or(1);
        if channels != groups * inner || groups == 0 || outer % groups != 0 {
            let message = format!(
                "of {channels} channels has a weight for {inner} channels in and {outer} out"
            );
            return fail(
                message,
                "channels in are a multiple of the weight's, and channels out of the groups",
            );
        }
        let mut size = [0; N];
        size.copy_from_slice(&tw.shape.dims()[..N]);
        let Some(windows) = self.slide(name, size, sliding, 0.0, at) else { return graph.poison() };
        // Windows are `[n, o.., c, k..]`.
        let positions = (0..N).map(|i| (N + 2 + i, i));
        if groups == 1 {
            let contract = [(N + 1, N)].into_iter().chain(positions).collect();
            return windows.dot_with(weight, DotAxes { batch: vec![], contract }, at);
        }
        let dims = windows.expect_ty().shape.dims().to_vec();
        let split = [&dims[..N + 1], &[groups, inner], &size].concat();
        let windows = windows.apply(Op::Move(MoveOp::Reshape(split.into())), at);
        let split = [&size[..], &[inner, groups, outer / groups]].concat();
        let weight = weight.apply(Op::Move(MoveOp::Reshape(split.into())), at);
        let positions = (0..N).map(|i| (N + 3 + i, i));
        let contract = [(N + 2, N)].into_iter().chain(positions).collect();
        let axes = DotAxes { batch: vec![(N + 1, N + 1)], contract };
        // `[groups, n, o.., out]`
        let product = windows.dot_with(weight, axes, at);
        let perm = (1..N + 2).chain([0, N + 2]).collect();
        let shape = [&dims[..N + 1], &[outer]].concat();
        product
            .apply(Op::Move(MoveOp::Transpose(perm)), at)
            .apply(Op::Move(MoveOp::Reshape(shape.into())), at)
    }

    fn pool<const N: usize>(
        self,
        name: &str,
        op: ReduceOp,
        size: [usize; N],
        sliding: Sliding<N>,
        at: At,
    ) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        let ids = [self.expect_id()];
        if ty.rank() != N + 2 {
            let message = format!("takes {} axes, not {}", N + 2, ty.shape);
            return self.fail(name, &ids, message, "rows, spatial axes, channels".into(), at);
        }
        if !ty.dtype.is_float() {
            let message = format!("takes floats, not {}", ty.dtype.name());
            return self.fail(name, &ids, message, "cast first".into(), at);
        }
        let fill = if op == ReduceOp::Max { f64::NEG_INFINITY } else { 0.0 };
        let Some(windows) = self.slide(name, size, sliding, fill, at) else {
            return self.graph.poison();
        };
        let inside: Vec<usize> = (N + 2..2 * N + 2).collect();
        let pooled = windows.apply(Op::Reduce(op, inside.clone()), at);
        if op == ReduceOp::Max {
            return pooled;
        }
        let div = Op::Binary(BinaryOp::Div);
        if sliding.padding == Padding::Valid {
            let count = windows.apply(Op::Size { dtype: ty.dtype, axes: inside }, at);
            return pooled.pair(div, count, at);
        }
        // How many positions of each window lie on the tensor.
        let spatial: Vec<usize> = ty.shape.dims()[1..=N].to_vec();
        let ones = [&[1], &spatial[..], &[1]].concat();
        let one = self.graph.literal(ty.dtype, 1.0, at).spread_to(name, &ones.into(), at);
        let Some(counted) = one.slide(name, size, sliding, 0.0, at) else {
            return self.graph.poison();
        };
        pooled.pair(div, counted.apply(Op::Reduce(ReduceOp::Sum, inside), at), at)
    }

    /// Windows over the `N` axes between the first and the last, with `fill` around the tensor.
    fn slide<const N: usize>(
        self,
        name: &str,
        size: [usize; N],
        sliding: Sliding<N>,
        fill: f64,
        at: At,
    ) -> Option<Tensor<'g>> {
        let ty = self.ty()?;
        let Sliding { stride, dilation, padding } = sliding;
        let fail = |message: String, help: &str| {
            self.fail(name, &[self.expect_id()], message, help.into(), at);
            None
        };
        if [size, stride, dilation].iter().any(|list| list.contains(&0)) {
            let message = format!(
                "has windows of {size:?} with strides {stride:?} and dilations {dilation:?}"
            );
            return fail(message, "sizes, strides and dilations are at least 1");
        }
        let spatial = &ty.shape.dims()[1..=N];
        let mut around = [(0, 0); N];
        let mut padded = ty.shape.dims().to_vec();
        let mut start = vec![0; ty.rank()];
        for i in 0..N {
            let span = dilation[i].checked_mul(size[i] - 1).and_then(|s| s.checked_add(1));
            let Some(span) = span else {
                return fail("has windows that no memory holds".into(), "make them smaller");
            };
            around[i] = match padding {
                Padding::Valid => (0, 0),
                Padding::Around(around) => around[i],
                Padding::Same => {
                    let reach = spatial[i].div_ceil(stride[i]).saturating_sub(1) * stride[i];
                    let total = (reach.saturating_add(span)).saturating_sub(spatial[i]);
                    (total / 2, total - total / 2)
                }
            };
            let whole =
                spatial[i].checked_add(around[i].0).and_then(|n| n.checked_add(around[i].1));
            let Some(whole) = whole else {
                return fail("has padding that no memory holds".into(), "make it smaller");
            };
            if span > whole {
                let message = format!(
                    "has windows that span {span} positions of spatial axis {i}, which has {whole} with its padding"
                );
                return fail(message, "make the windows smaller, or pad");
            }
            (start[i + 1], padded[i + 1]) = (around[i].0, whole);
        }
        let mut x = self;
        if around != [(0, 0); N] {
            let Some(fill) = Literal::of(ty.dtype, fill) else {
                return fail(format!("cannot pad {}", ty.dtype.name()), "cast to a float first");
            };
            let step = vec![1; ty.rank()];
            x = x.apply(Op::Move(MoveOp::Pad { start, step, size: padded, fill }), at);
        }
        let axes = (1..=N).collect();
        let lists = [size, stride, dilation].map(|list| list.to_vec());
        let [size, stride, dilation] = lists;
        Some(x.apply(Op::Move(MoveOp::Window(Windows { axes, size, stride, dilation })), at))
    }

    fn dot_with(self, other: Tensor<'g>, axes: DotAxes, at: At) -> Tensor<'g> {
        match (self.id, other.id) {
            (Some(a), Some(b)) => self.graph.push(Op::Dot(axes), &[a, b], at),
            _ => self.graph.poison(),
        }
    }
}
