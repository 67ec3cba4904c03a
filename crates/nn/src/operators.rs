//! Operators between tensors and numbers, and the broadcasting behind them.

use crate::tensor::Tensor;
use eggrad_ir::{At, BinaryOp, MoveOp, Op, Shape, UnaryOp, broadcast_shape};
use std::ops::{Add, Div, Mul, Neg, Sub};

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

macro_rules! numbers {
    ($($Number:ident)*) => {$(
        impl<'g> Operand<'g> for $Number {
            fn like(self, other: Tensor<'g>, at: At) -> Tensor<'g> {
                f64::from(self).like(other, at)
            }

            fn tensor(self) -> Option<Tensor<'g>> {
                None
            }
        }
    )*};
}

numbers! { f32 i32 }

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

impl<'g> Tensor<'g> {
    /// Both sides broadcast to one shape, then `op`.
    pub(crate) fn pair(self, op: Op, other: Tensor<'g>, at: At) -> Tensor<'g> {
        let name = op.name();
        let at = self.graph.place.get().unwrap_or(at);
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
    pub(crate) fn spread_to(self, name: &str, shape: &Shape, at: At) -> Tensor<'g> {
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
}
