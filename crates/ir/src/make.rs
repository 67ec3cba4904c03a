//! Short ways for passes to append nodes; operands that do not fit are bugs of ours and panic.

use crate::graph::{Builder, NodeId};
use crate::op::{BinaryOp, CompareOp, DotAxes, MoveOp, Op, ReduceOp, UnaryOp, Windows};
use crate::types::{DType, Literal, Shape};

impl Builder {
    /// Elementwise, one operand.
    pub fn unary(&mut self, op: UnaryOp, x: NodeId) -> NodeId {
        self.node(Op::Unary(op), &[x])
    }

    /// Elementwise, two operands of one shape.
    pub fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> NodeId {
        self.node(Op::Binary(op), &[a, b])
    }

    /// `a + b`, of one shape.
    pub fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(BinaryOp::Add, a, b)
    }

    /// `a - b`, of one shape.
    pub fn sub(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(BinaryOp::Sub, a, b)
    }

    /// `a · b`, of one shape.
    pub fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(BinaryOp::Mul, a, b)
    }

    /// `a / b`, of one shape.
    pub fn div(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(BinaryOp::Div, a, b)
    }

    /// `-x`
    pub fn neg(&mut self, x: NodeId) -> NodeId {
        self.unary(UnaryOp::Neg, x)
    }

    /// Comparison, of one shape.
    pub fn compare(&mut self, op: CompareOp, a: NodeId, b: NodeId) -> NodeId {
        self.node(Op::Compare(op), &[a, b])
    }

    /// `condition ? a : b`, of one shape.
    pub fn select(&mut self, condition: NodeId, a: NodeId, b: NodeId) -> NodeId {
        self.node(Op::Select, &[condition, a, b])
    }

    /// One number.
    ///
    /// # Panics
    /// When an integer type cannot hold `value`: a bug of ours.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> NodeId {
        match Literal::of(dtype, value) {
            Some(literal) => self.node(Op::Const(dtype, literal), &[]),
            None => panic!("internal error: {value} is no {}", dtype.name()),
        }
    }

    /// `value` everywhere, with the type of `like`.
    pub fn full_like(&mut self, like: NodeId, value: f64) -> NodeId {
        let ty = self.ty(like).clone();
        let scalar = self.scalar(ty.dtype, value);
        self.spread(scalar, ty.shape, vec![])
    }

    /// Operand axis `i` becomes axis `axes[i]` of `shape`; nothing is added when that changes nothing.
    pub fn spread(&mut self, x: NodeId, shape: Shape, axes: Vec<usize>) -> NodeId {
        if self.ty(x).shape == shape {
            return x;
        }
        self.node(Op::Move(MoveOp::Broadcast { shape, axes }), &[x])
    }

    /// Puts back the axes `axes` that a reduction over an operand of shape `shape` took out.
    pub fn spread_over(&mut self, x: NodeId, shape: &Shape, axes: &[usize]) -> NodeId {
        let kept = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
        self.spread(x, shape.clone(), kept)
    }

    /// The same elements under `shape`; nothing is added when that changes nothing.
    pub fn reshape(&mut self, x: NodeId, shape: Shape) -> NodeId {
        if self.ty(x).shape == shape {
            return x;
        }
        self.node(Op::Move(MoveOp::Reshape(shape)), &[x])
    }

    /// Axis `i` of the result is axis `perm[i]`; nothing is added when that changes nothing.
    pub fn transpose(&mut self, x: NodeId, perm: Vec<usize>) -> NodeId {
        if perm.iter().copied().eq(0..perm.len()) {
            return x;
        }
        self.node(Op::Move(MoveOp::Transpose(perm)), &[x])
    }

    /// Windows that slide along axes.
    pub fn window(&mut self, x: NodeId, windows: Windows) -> NodeId {
        self.node(Op::Move(MoveOp::Window(windows)), &[x])
    }

    /// Adjoint of [`Builder::window`]; `length` are the sizes of the listed axes of the result.
    pub fn fold(&mut self, x: NodeId, windows: Windows, length: Vec<usize>) -> NodeId {
        self.node(Op::Fold { windows, length }, &[x])
    }

    /// Every result of one application of sub-graphs; `op` is the node of any of its results.
    pub fn application(&mut self, op: &Op, inputs: &[NodeId]) -> Vec<NodeId> {
        let count = op.functions().first().map_or(0, |f| f.graph().outputs().len());
        let results = (0..count).map(|i| op.with_result(i));
        results.map(|op| self.node(op, inputs)).collect()
    }

    /// Reduction over `axes`, which increase; a sum over no axes adds nothing.
    pub fn reduce(&mut self, op: ReduceOp, x: NodeId, axes: Vec<usize>) -> NodeId {
        if axes.is_empty() && op != ReduceOp::LogSumExp {
            return x;
        }
        self.node(Op::Reduce(op, axes), &[x])
    }

    /// Sum over `axes`, which increase.
    pub fn sum(&mut self, x: NodeId, axes: Vec<usize>) -> NodeId {
        self.reduce(ReduceOp::Sum, x, axes)
    }

    /// Contraction.
    pub fn dot(&mut self, a: NodeId, b: NodeId, axes: DotAxes) -> NodeId {
        self.node(Op::Dot(axes), &[a, b])
    }

    /// Conversion; nothing is added when `x` has that type.
    pub fn cast(&mut self, x: NodeId, dtype: DType) -> NodeId {
        if self.ty(x).dtype == dtype {
            return x;
        }
        self.node(Op::Cast(dtype), &[x])
    }
}

/// The shape to which `a` and `b` broadcast: aligned from the right, sizes equal or one of them 1.
pub fn broadcast_shape(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let size = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |k| s.dims()[k]);
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect::<Option<Vec<usize>>>()
        .map(Shape::from)
}
