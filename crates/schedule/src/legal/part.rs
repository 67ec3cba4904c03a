//! Slices and pads: slices move below what is a view of memory, down to what can be read from memory.

use super::constant;
use eggrad_ir::{Builder, DType, Literal, MoveOp, NodeId, Op, Shape};

/// Positions `start + i · step` of each axis; `size` is that of a slice's result, or of a pad's.
pub(super) struct Part {
    pub(super) start: Vec<usize>,
    pub(super) step: Vec<usize>,
    pub(super) size: Vec<usize>,
}

impl Part {
    fn shape(&self) -> Shape {
        self.size.iter().copied().collect()
    }

    fn is_all_of(&self, shape: &Shape) -> bool {
        self.shape() == *shape
    }

    /// The part in which axis `i` is axis `axes[i]` of this one.
    fn axes(&self, axes: impl Iterator<Item = usize> + Clone) -> Part {
        let pick = |list: &[usize]| axes.clone().map(|a| list[a]).collect();
        Part { start: pick(&self.start), step: pick(&self.step), size: pick(&self.size) }
    }
}

/// Steps that no second position ever takes, and which may be of any size, become 1.
fn settle(step: &mut [usize], counts: &[usize]) {
    for (step, &count) in step.iter_mut().zip(counts) {
        if count <= 1 {
            *step = 1;
        }
    }
}

/// What stands above a slice that moved down.
enum Above {
    Transpose(Vec<usize>),
    Broadcast { shape: Shape, axes: Vec<usize> },
    Cast(DType),
}

/// Part of `x`, which has elements.
pub(super) fn slice(b: &mut Builder, mut x: NodeId, mut part: Part) -> NodeId {
    settle(&mut part.step, &part.size);
    if let Some(literal) = constant::uniform(b, x) {
        return full(b, x, part.shape(), literal);
    }
    let mut above = vec![];
    while !part.is_all_of(&b.ty(x).shape) {
        let node = b.graph().node(x);
        if let Op::Move(MoveOp::Transpose(perm)) = &node.op {
            above.push(Above::Transpose(perm.clone()));
            let inverse = |a| perm.iter().position(|&p| p == a).unwrap_or(a);
            part = part.axes((0..perm.len()).map(inverse));
        } else if let Op::Move(MoveOp::Broadcast { axes, .. }) = &node.op {
            above.push(Above::Broadcast { shape: part.shape(), axes: axes.clone() });
            part = part.axes(axes.iter().copied());
        } else if let Op::Move(MoveOp::Slice { start, step, .. }) = &node.op {
            for (axis, (inner, by)) in start.iter().zip(step).enumerate() {
                part.start[axis] = inner + part.start[axis] * by;
                part.step[axis] *= by;
            }
        } else if let Op::Cast(dtype) = &node.op {
            above.push(Above::Cast(*dtype));
        } else {
            break;
        }
        x = node.inputs[0];
    }
    if !part.is_all_of(&b.ty(x).shape) {
        let Part { start, step, size } = part;
        x = b.node(Op::Move(MoveOp::Slice { start, step, size }), &[x]);
    }
    for above in above.into_iter().rev() {
        x = match above {
            Above::Transpose(perm) => b.transpose(x, perm),
            Above::Broadcast { shape, axes } => b.spread(x, shape, axes),
            Above::Cast(dtype) => b.cast(x, dtype),
        };
    }
    x
}

/// `x`, perhaps without elements, as a part of something that is `fill` elsewhere.
pub(super) fn pad(b: &mut Builder, x: NodeId, mut part: Part, fill: Literal) -> NodeId {
    let shape = b.ty(x).shape.clone();
    if shape.elements() == 0 || constant::uniform(b, x) == Some(fill) {
        return full(b, x, part.shape(), fill);
    }
    if part.is_all_of(&shape) {
        return x;
    }
    settle(&mut part.step, shape.dims());
    let Part { start, step, size } = part;
    b.node(Op::Move(MoveOp::Pad { start, step, size, fill }), &[x])
}

/// `literal` everywhere, of the element type of `like`.
fn full(b: &mut Builder, like: NodeId, shape: Shape, literal: Literal) -> NodeId {
    let dtype = b.ty(like).dtype;
    let scalar = b.node(Op::Const(dtype, literal), &[]);
    b.spread(scalar, shape, vec![])
}
