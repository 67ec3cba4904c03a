//! The tensor handle: operators and methods that append nodes.

use crate::axes::{AxisList, IntoAxes, resolve_axes};
use crate::graph::Graph;
use crate::operators::Operand;
use eggrad_ir::{
    At, BinaryOp, CompareOp, DType, MarkOp, MoveOp, NodeId, Op, ReduceOp, Shape, SoftmaxOp,
    TensorType, TypeError, UnaryOp, broadcast_shape,
};

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
    /// `2^x`, elementwise.
    exp2 => Exp2;
    /// Logarithm to base 2, elementwise.
    log2 => Log2;
    /// `log(1 - e^x)`, elementwise, for `x < 0`.
    log1mexp => Log1mexp;
    /// Sine of radians, elementwise.
    sin => Sin;
    /// Cosine of radians, elementwise.
    cos => Cos;
    /// Tangent of radians, elementwise.
    tan => Tan;
    /// Error function, elementwise.
    erf => Erf;
    /// `1 - erf(x)`, elementwise, its small tail kept.
    erfc => Erfc;
    /// `log(erfc(x))`, elementwise, finite where `erfc` underflows.
    log_erfc => LogErfc;
    /// Largest integer not above, elementwise; derivative 0.
    floor => Floor;
    /// Smallest integer not below, elementwise; derivative 0.
    ceil => Ceil;
    /// Nearest integer, halves to the even one, elementwise; derivative 0.
    round => Round;
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
    /// `self` to the power `other`, elementwise.
    pow => Op::Binary(BinaryOp::Pow);
    /// Remainder with the sign of the divisor, elementwise.
    modulo => Op::Binary(BinaryOp::Mod);
    /// Angle of the point `(other, self)` in radians, elementwise.
    atan2 => Op::Binary(BinaryOp::Atan2);
    /// `log(e^self + e^other)`, elementwise, never overflowing.
    logaddexp => Op::Binary(BinaryOp::LogAddExp);
    /// `self · log(other)`, elementwise, and 0 where `self` is 0.
    xlogy => Op::Binary(BinaryOp::Xlogy);
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

    /// Size of one axis; negative axes count from the end. 1 after an error.
    ///
    /// # Errors
    /// Recorded in the graph when there is no such axis.
    #[track_caller]
    pub fn size(self, axis: isize) -> usize {
        let Some(ty) = self.ty() else { return 1 };
        match resolve_axes(AxisList::Some(vec![axis]), ty.rank()) {
            Ok(axes) => ty.shape.dims()[axes[0]],
            Err(message) => {
                let help = "name an axis that the tensor has".to_string();
                self.fail("size", &[self.expect_id()], message, help, At::here());
                1
            }
        }
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
        let at = At::here();
        let Some(id) = self.id else { return self };
        if !self.fits("one_hot", classes, &[id], at) {
            return self.graph.poison();
        }
        self.apply(Op::OneHot { dtype: self.graph.float(), classes }, at)
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

    pub(crate) fn unary(self, op: UnaryOp, at: At) -> Tensor<'g> {
        self.apply(Op::Unary(op), at)
    }

    pub(crate) fn apply(self, op: Op, at: At) -> Tensor<'g> {
        match self.id {
            Some(id) => self.graph.push(op, &[id], at),
            None => self,
        }
    }

    pub(crate) fn over(
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
        if !ty.dtype.is_float() {
            let message = format!("takes floats, not {}", ty.dtype.name());
            let help = "cast first, as in `x.cast(DType::F32)`".to_string();
            return self.fail("mean", &[self.expect_id()], message, help, at);
        }
        let list = axes.into_axes();
        let total = self.over("mean", list.clone(), at, |axes| Op::Reduce(ReduceOp::Sum, axes));
        let dtype = ty.dtype;
        let size = self.over("mean", list, at, |axes| Op::Size { dtype, axes });
        total.pair(Op::Binary(BinaryOp::Div), size, at)
    }

    fn gather_at(self, indices: Tensor<'g>, batch: usize, at: At) -> Tensor<'g> {
        match (self.id, self.graph.own("gather", indices, at)) {
            (Some(table), Some(index)) => {
                let places = self.expect_ty().shape.dims().get(batch).copied();
                if !indices.fits("gather", places.unwrap_or(usize::MAX), &[table, index], at) {
                    return self.graph.poison();
                }
                self.graph.push(Op::Gather { batch }, &[table, index], at)
            }
            _ => self.graph.poison(),
        }
    }

    /// Whether all labels that `self` declares are below `places`; else an error is recorded.
    fn fits(self, op: &str, places: usize, operands: &[NodeId], at: At) -> bool {
        let greatest = self.id.and_then(|id| self.graph.greatest(id));
        let Some(greatest) = greatest.filter(|&g| g >= places as f64) else { return true };
        let message = format!("has {places} places, but labels go up to {greatest}");
        let help = format!("name as many classes here as the labels have: {}", greatest + 1.0);
        self.fail(op, operands, message, help, at);
        false
    }

    pub(crate) fn fail(
        self,
        op: &str,
        operands: &[NodeId],
        message: String,
        help: String,
        at: At,
    ) -> Tensor<'g> {
        let mut error = TypeError::new(op, at, message, help);
        error.operands = self.graph.operands(operands);
        self.graph.record(error);
        self.graph.poison()
    }

    pub(crate) fn expect_id(self) -> NodeId {
        self.id.expect("internal error: a tensor with a type has a node")
    }

    pub(crate) fn expect_ty(self) -> TensorType {
        self.ty().expect("internal error: a tensor with a node has a type")
    }
}
