//! The tensor handle: operators and methods that append nodes.

use crate::axes::{IntoAxes, resolve_axes};
use crate::graph::Graph;
use eggrad_ir::{
    At, BinaryOp, CompareOp, DType, DotAxes, MarkOp, MoveOp, NodeId, Op, ReduceOp, Shape,
    SoftmaxOp, TensorType, TypeError, UnaryOp, broadcast_shape,
};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value of a [`Graph`], cheap to copy.
///
/// Operators broadcast as NumPy does: sizes agree from the right when they are equal or one of them is 1. Numbers on
/// either side of an operator take the tensor's element type.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    pub(crate) graph: &'g Graph,
    /// `None` after an error, which has been recorded.
    pub(crate) id: Option<NodeId>,
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident => $Op:ident;)*) => {
        impl<'g> Tensor<'g> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self) -> Tensor<'g> { self.unary(UnaryOp::$Op, At::here()) })*
        }
    };
}

unary_methods! {
    /// `|x|`, elementwise; derivative 0 at 0.
    abs => Abs;
    /// -1, 0 or 1, elementwise; derivative 0.
    sign => Sign;
    /// `x·x`, elementwise.
    square => Square;
    /// Square root, elementwise; NaN below 0.
    sqrt => Sqrt;
    /// `1/sqrt(x)`, elementwise.
    rsqrt => Rsqrt;
    /// `1/x`, elementwise.
    recip => Recip;
    /// `e^x`, elementwise.
    exp => Exp;
    /// `e^x - 1`, elementwise, without cancellation near 0.
    expm1 => Expm1;
    /// Natural logarithm, elementwise.
    log => Log;
    /// `log(1 + x)`, elementwise, without cancellation near 0.
    log1p => Log1p;
    /// Hyperbolic tangent, elementwise.
    tanh => Tanh;
    /// `1/(1 + e^-x)`, elementwise.
    sigmoid => Sigmoid;
    /// `log(1 + e^x)`, elementwise, never overflowing.
    softplus => Softplus;
    /// `max(x, 0)`, elementwise; derivative 0 at 0.
    relu => Relu;
    /// Logical not, elementwise.
    logical_not => Not;
}

macro_rules! pair_methods {
    ($($(#[$doc:meta])* $name:ident => $op:expr;)*) => {
        impl<'g> Tensor<'g> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self, other: impl Operand<'g>) -> Tensor<'g> {
                let at = At::here();
                self.pair($op, other.like(self, at), at)
            })*
        }
    };
}

pair_methods! {
    /// The larger, elementwise; NaN if either is NaN.
    maximum => Op::Binary(BinaryOp::Maximum);
    /// The smaller, elementwise; NaN if either is NaN.
    minimum => Op::Binary(BinaryOp::Minimum);
    /// Logical and, elementwise.
    and => Op::Binary(BinaryOp::And);
    /// Logical or, elementwise.
    or => Op::Binary(BinaryOp::Or);
    /// `self == other`, elementwise.
    equal => Op::Compare(CompareOp::Eq);
    /// `self != other`, elementwise.
    not_equal => Op::Compare(CompareOp::Ne);
    /// `self < other`, elementwise.
    lt => Op::Compare(CompareOp::Lt);
    /// `self <= other`, elementwise.
    le => Op::Compare(CompareOp::Le);
    /// `self > other`, elementwise.
    gt => Op::Compare(CompareOp::Gt);
    /// `self >= other`, elementwise.
    ge => Op::Compare(CompareOp::Ge);
}

impl<'g> Tensor<'g> {
    /// Type of the value; `None` after an error.
    pub fn ty(self) -> Option<TensorType> {
        self.id.map(|id| self.graph.builder.borrow().ty(id).clone())
    }

    /// The graph this tensor belongs to.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// The node behind this tensor; `None` after an error.
    pub fn id(self) -> Option<NodeId> {
        self.id
    }

    /// Sum over `axes`: an axis, several, or `..` for all. Negative axes count from the end.
    #[track_caller]
    pub fn sum(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.reduce(ReduceOp::Sum, axes, At::here())
    }

    /// Product over `axes`.
    #[track_caller]
    pub fn prod(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.reduce(ReduceOp::Prod, axes, At::here())
    }

    /// Largest over `axes`; NaN if any is NaN.
    #[track_caller]
    pub fn max(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.reduce(ReduceOp::Max, axes, At::here())
    }

    /// Smallest over `axes`; NaN if any is NaN.
    #[track_caller]
    pub fn min(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.reduce(ReduceOp::Min, axes, At::here())
    }

    /// `log(sum(exp(x)))` over `axes`, never overflowing.
    #[track_caller]
    pub fn logsumexp(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.reduce(ReduceOp::LogSumExp, axes, At::here())
    }

    /// Mean of all elements.
    #[track_caller]
    pub fn mean(self) -> Tensor<'g> {
        self.mean_at(.., At::here())
    }

    /// Mean over `axes`.
    #[track_caller]
    pub fn mean_over(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.mean_at(axes, At::here())
    }

    /// `exp(x) / sum(exp(x))` over `axes`.
    #[track_caller]
    pub fn softmax(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.over("softmax", axes, At::here(), |axes| Op::Softmax(SoftmaxOp::Softmax, axes))
    }

    /// `x - logsumexp(x)` over `axes`.
    #[track_caller]
    pub fn log_softmax(self, axes: impl IntoAxes) -> Tensor<'g> {
        self.over("log_softmax", axes, At::here(), |axes| Op::Softmax(SoftmaxOp::LogSoftmax, axes))
    }

    /// Matrix product as in NumPy: the last axis of `self` meets the second to last of `other`, or its only one;
    /// axes before those broadcast.
    ///
    /// # Shapes
    /// `[.., m, k]` and `[.., k, n]` → `[.., m, n]`
    #[track_caller]
    pub fn matmul(self, other: Tensor<'g>) -> Tensor<'g> {
        let at = At::here();
        let (Some(a), Some(b)) = (self.id, self.graph.own("matmul", other, at)) else {
            return self.graph.poison();
        };
        let (ta, tb) = (self.graph.builder.borrow().ty(a).clone(), other.expect_ty());
        let (ra, rb) = (ta.rank(), tb.rank());
        if ra == 0 || rb == 0 {
            return self.fail(
                "matmul",
                &[a, b],
                "needs at least one axis on each side".into(),
                "multiply by a number with `*`".into(),
                at,
            );
        }
        let inner = if rb == 1 { 0 } else { rb - 2 };
        let (k, l) = (ta.shape.dims()[ra - 1], tb.shape.dims()[inner]);
        if k != l {
            let help = if rb >= 2 && tb.shape.dims()[rb - 1] == k {
                format!(
                    "the left side has {k} columns, so the right side needs {k} rows; \
                     its `.transpose()` would have them"
                )
            } else {
                format!("the left side has {k} columns, so the right side needs {k} rows")
            };
            let message = format!("needs the inner sizes to agree: {k} and {l}");
            return self.fail("matmul", &[a, b], message, help, at);
        }
        if rb <= 2 || ra == 1 && rb == 2 {
            return self.graph.push(Op::Dot(DotAxes::contract(ra - 1, inner)), &[a, b], at);
        }
        self.batched_matmul(other, &ta, &tb, at)
    }

    /// Axes in the order `perm`.
    #[track_caller]
    pub fn permute(self, perm: impl Into<Vec<usize>>) -> Tensor<'g> {
        self.apply(Op::Move(MoveOp::Transpose(perm.into())), At::here())
    }

    /// The last two axes swapped.
    #[track_caller]
    pub fn transpose(self) -> Tensor<'g> {
        let at = At::here();
        let Some(ty) = self.ty() else { return self };
        let rank = ty.rank();
        if rank < 2 {
            let ids = [self.expect_id()];
            let message = format!("needs two axes to swap, not {}", ty.shape);
            return self.fail("transpose", &ids, message, "reshape it to a matrix".into(), at);
        }
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 1, rank - 2);
        self.apply(Op::Move(MoveOp::Transpose(perm)), at)
    }

    /// The same elements, row-major, under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'g> {
        self.apply(Op::Move(MoveOp::Reshape(shape.into())), At::here())
    }

    /// Repeats along new axes and axes of size 1 until the shape is `shape`.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor<'g> {
        self.spread_to("broadcast", &shape.into(), At::here())
    }

    /// Conversion by value.
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Tensor<'g> {
        self.apply(Op::Cast(dtype), At::here())
    }

    /// Integer labels as rows of zeros with a one, of the graph's float type; a new last axis of size `classes`.
    #[track_caller]
    pub fn one_hot(self, classes: usize) -> Tensor<'g> {
        self.apply(Op::OneHot { dtype: self.graph.float(), classes }, At::here())
    }

    /// Rows of `self` picked by integer `indices`.
    ///
    /// # Shapes
    /// `[v, rest..]` and `[i..]` → `[i.., rest..]`
    #[track_caller]
    pub fn gather(self, indices: Tensor<'g>) -> Tensor<'g> {
        self.gather_at(indices, 0, At::here())
    }

    /// For each leading position, the element at that position's index along the last axis.
    ///
    /// # Shapes
    /// `[b.., v]` and `[b..]` → `[b..]`
    #[track_caller]
    pub fn pick(self, indices: Tensor<'g>) -> Tensor<'g> {
        let batch = indices.ty().map_or(0, |t| t.rank());
        self.gather_at(indices, batch, At::here())
    }

    /// `self ? a : b`, elementwise; all three broadcast.
    #[track_caller]
    pub fn select(self, a: impl Operand<'g>, b: impl Operand<'g>) -> Tensor<'g> {
        let at = At::here();
        // A number takes the type of the other branch, or the graph's float type when both are numbers.
        let float = self.graph.literal(self.graph.float(), 0.0, at);
        let reference = a.tensor().or(b.tensor()).unwrap_or(float);
        let (a, b) = (a.like(reference, at), b.like(reference, at));
        let (Some(c), Some(x), Some(y)) =
            (self.id, self.graph.own("select", a, at), self.graph.own("select", b, at))
        else {
            return self.graph.poison();
        };
        let shape = {
            let builder = self.graph.builder.borrow();
            let pair = broadcast_shape(&builder.ty(x).shape, &builder.ty(y).shape);
            pair.and_then(|s| broadcast_shape(&s, &builder.ty(c).shape))
        };
        let Some(shape) = shape else {
            let help = "sizes agree from the right when they are equal or one of them is 1";
            let message = "needs shapes that broadcast".to_string();
            return self.fail("select", &[c, x, y], message, help.into(), at);
        };
        let parts = [self, a, b].map(|t| t.spread_to("select", &shape, at).id);
        match parts {
            [Some(c), Some(x), Some(y)] => self.graph.push(Op::Select, &[c, x, y], at),
            _ => self.graph.poison(),
        }
    }

    /// The same value, through which no gradient flows.
    #[track_caller]
    pub fn stop_gradient(self) -> Tensor<'g> {
        self.apply(Op::Mark(MarkOp::StopGradient), At::here())
    }

    /// The same value, which rewriting leaves as it is.
    #[track_caller]
    pub fn keep(self) -> Tensor<'g> {
        self.apply(Op::Mark(MarkOp::Keep), At::here())
    }

    /// Derivative of `self`, one number, with respect to `wrt`; has the shape of `wrt`.
    #[track_caller]
    pub fn grad(self, wrt: Tensor<'g>) -> Tensor<'g> {
        let at = At::here();
        match (self.id, self.graph.own("grad", wrt, at)) {
            (Some(y), Some(x)) => self.graph.push(Op::Grad, &[y, x], at),
            _ => self.graph.poison(),
        }
    }

    fn unary(self, op: UnaryOp, at: At) -> Tensor<'g> {
        self.apply(Op::Unary(op), at)
    }

    pub(crate) fn apply(self, op: Op, at: At) -> Tensor<'g> {
        match self.id {
            Some(id) => self.graph.push(op, &[id], at),
            None => self,
        }
    }

    fn over(
        self,
        name: &str,
        axes: impl IntoAxes,
        at: At,
        op: impl FnOnce(Vec<usize>) -> Op,
    ) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        match resolve_axes(axes.into_axes(), ty.rank()) {
            Ok(axes) => self.apply(op(axes), at),
            Err(message) => {
                let help = match ty.rank() {
                    0 => "a single number has no axes; leave the call out".to_string(),
                    1 => "the only axis is 0, or -1".to_string(),
                    r => format!("axes go from 0 to {}, or from -1 back to -{r}", r - 1),
                };
                self.fail(name, &[self.expect_id()], message, help, at)
            }
        }
    }

    fn reduce(self, op: ReduceOp, axes: impl IntoAxes, at: At) -> Tensor<'g> {
        self.over(op.name(), axes, at, |axes| Op::Reduce(op, axes))
    }

    fn mean_at(self, axes: impl IntoAxes, at: At) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        let list = axes.into_axes();
        let total = self.over("mean", list.clone(), at, |axes| Op::Reduce(ReduceOp::Sum, axes));
        let dtype = ty.dtype;
        let size = self.over("mean", list, at, |axes| Op::Size { dtype, axes });
        total.pair(Op::Binary(BinaryOp::Div), size, at)
    }

    fn gather_at(self, indices: Tensor<'g>, batch: usize, at: At) -> Tensor<'g> {
        match (self.id, self.graph.own("gather", indices, at)) {
            (Some(table), Some(index)) => {
                self.graph.push(Op::Gather { batch }, &[table, index], at)
            }
            _ => self.graph.poison(),
        }
    }

    /// Both sides broadcast to one shape, then `op`.
    pub(crate) fn pair(self, op: Op, other: Tensor<'g>, at: At) -> Tensor<'g> {
        let name = op.name();
        let (Some(a), Some(b)) = (self.id, self.graph.own(name, other, at)) else {
            return self.graph.poison();
        };
        let shapes = {
            let builder = self.graph.builder.borrow();
            broadcast_shape(&builder.ty(a).shape, &builder.ty(b).shape)
        };
        // Shapes that do not broadcast go to the op itself, which reports them.
        let (left, right) = match &shapes {
            Some(shape) => (self.spread_to(name, shape, at), other.spread_to(name, shape, at)),
            None => (self, other),
        };
        match (left.id, right.id) {
            (Some(left), Some(right)) => {
                let result = self.graph.builder.borrow_mut().push(op, &[left, right], at);
                match result {
                    Ok(id) => Tensor { graph: self.graph, id: Some(id) },
                    Err(mut error) => {
                        // Show what the user passed, not what broadcasting made of it.
                        let builder = self.graph.builder.borrow();
                        error.operands = vec![builder.operand(a, 0), builder.operand(b, 1)];
                        drop(builder);
                        self.graph.record(error);
                        self.graph.poison()
                    }
                }
            }
            _ => self.graph.poison(),
        }
    }

    /// `self` as a tensor of shape `shape`, which it broadcasts to.
    fn spread_to(self, name: &str, shape: &Shape, at: At) -> Tensor<'g> {
        let Some(ty) = self.ty() else { return self };
        if ty.shape == *shape {
            return self;
        }
        if broadcast_shape(&ty.shape, shape).as_ref() != Some(shape) {
            let message = format!("cannot spread {} over {shape}", ty.shape);
            let help = "sizes agree from the right when they are equal or the operand's is 1";
            return self.fail(name, &[self.expect_id()], message, help.into(), at);
        }
        // Axes of size 1 that grow are dropped first: a broadcast keeps the size of the axes it places.
        let lead = shape.rank() - ty.rank();
        let dims = ty.shape.dims();
        let kept: Vec<usize> =
            (0..ty.rank()).filter(|&i| dims[i] == shape.dims()[lead + i]).collect();
        let dense: Shape = kept.iter().map(|&i| dims[i]).collect();
        let base =
            if dense == ty.shape { self } else { self.apply(Op::Move(MoveOp::Reshape(dense)), at) };
        let axes = kept.into_iter().map(|i| lead + i).collect();
        base.apply(Op::Move(MoveOp::Broadcast { shape: shape.clone(), axes }), at)
    }

    fn batched_matmul(
        self,
        other: Tensor<'g>,
        ta: &TensorType,
        tb: &TensorType,
        at: At,
    ) -> Tensor<'g> {
        let (ra, rb) = (ta.rank(), tb.rank());
        let lead = |t: &TensorType, keep: usize| -> Shape {
            t.shape.dims()[..t.rank().saturating_sub(keep)].into()
        };
        let tail = |t: &TensorType| t.shape.dims()[t.rank().saturating_sub(2)..].to_vec();
        let Some(batch) = broadcast_shape(&lead(ta, 2), &lead(tb, 2)) else {
            let ids = [self.expect_id(), other.expect_id()];
            let message =
                format!("needs leading sizes that broadcast: {} and {}", ta.shape, tb.shape);
            let help = "leading sizes agree from the right when they are equal or one of them is 1";
            return self.fail("matmul", &ids, message, help.into(), at);
        };
        let n = batch.rank();
        let full =
            |t: &TensorType| -> Shape { batch.dims().iter().copied().chain(tail(t)).collect() };
        let left = if ra == 1 { self } else { self.spread_to("matmul", &full(ta), at) };
        let right = if rb == 1 { other } else { other.spread_to("matmul", &full(tb), at) };
        let (Some(a), Some(b)) = (left.id, right.id) else { return self.graph.poison() };
        let axes = if ra == 1 {
            DotAxes::contract(0, n)
        } else {
            DotAxes { batch: (0..n).map(|i| (i, i)).collect(), contract: vec![(n + 1, n)] }
        };
        self.graph.push(Op::Dot(axes), &[a, b], at)
    }

    fn fail(
        self,
        op: &str,
        operands: &[NodeId],
        message: String,
        help: String,
        at: At,
    ) -> Tensor<'g> {
        let mut error = TypeError::new(op, at, message, help);
        {
            let builder = self.graph.builder.borrow();
            error.operands =
                operands.iter().enumerate().map(|(i, &id)| builder.operand(id, i)).collect();
        }
        self.graph.record(error);
        self.graph.poison()
    }

    fn expect_id(self) -> NodeId {
        self.id.expect("internal error: a tensor with a type has a node")
    }

    fn expect_ty(self) -> TensorType {
        self.ty().expect("internal error: a tensor with a node has a type")
    }
}

/// What can stand beside a tensor: another tensor, or a number that takes the tensor's element type.
pub trait Operand<'g>: Copy {
    /// This operand as a tensor beside `other`.
    fn like(self, other: Tensor<'g>, at: At) -> Tensor<'g>;

    /// The tensor, unless it is a number.
    fn tensor(self) -> Option<Tensor<'g>>;
}

impl<'g> Operand<'g> for Tensor<'g> {
    fn like(self, _: Tensor<'g>, _: At) -> Tensor<'g> {
        self
    }

    fn tensor(self) -> Option<Tensor<'g>> {
        Some(self)
    }
}

impl<'g> Operand<'g> for f64 {
    fn like(self, other: Tensor<'g>, at: At) -> Tensor<'g> {
        match other.ty() {
            Some(ty) => other.graph.literal(ty.dtype, self, at),
            None => other,
        }
    }

    fn tensor(self) -> Option<Tensor<'g>> {
        None
    }
}

macro_rules! operators {
    ($($Trait:ident $method:ident $Op:ident;)*) => {$(
        impl<'g, T: Operand<'g>> $Trait<T> for Tensor<'g> {
            type Output = Tensor<'g>;

            #[track_caller]
            fn $method(self, other: T) -> Tensor<'g> {
                let at = At::here();
                self.pair(Op::Binary(BinaryOp::$Op), other.like(self, at), at)
            }
        }

        impl<'g> $Trait<Tensor<'g>> for f64 {
            type Output = Tensor<'g>;

            #[track_caller]
            fn $method(self, other: Tensor<'g>) -> Tensor<'g> {
                let at = At::here();
                self.like(other, at).pair(Op::Binary(BinaryOp::$Op), other, at)
            }
        }
    )*};
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

impl<'g> Neg for Tensor<'g> {
    type Output = Tensor<'g>;

    #[track_caller]
    fn neg(self) -> Tensor<'g> {
        self.unary(UnaryOp::Neg, At::here())
    }
}
