//! Copies of a graph, perhaps at other sizes of its axes.

use crate::axes::{Axis, Naming};
use eggrad_ir::{At, Builder, DType, Graph, MoveOp, NodeId, Op, Scan, Shape, TensorType};
use std::collections::HashMap;

/// A builder with the inputs and states of `graph` at the given sizes. At its own sizes it has the layers too.
pub(crate) fn declare(graph: &Graph, naming: &Naming, sizes: &[usize]) -> Builder {
    if sizes == naming.sizes {
        return Builder::with_leaves_of(graph);
    }
    let mut builder = Builder::new();
    let ty = |dtype: DType, node: NodeId| {
        TensorType::new(dtype, shape(&naming.nodes[node.index()], sizes))
    };
    for input in graph.inputs() {
        builder.declare_input(&input.name, ty(input.ty.dtype, input.node), input.range, input.at);
    }
    for state in graph.states() {
        builder.declare_state(&state.name, state.kind, ty(state.ty.dtype, state.read), state.at);
    }
    builder
}

/// Leaf of the input or state that `op` reads in a builder made by [`declare`].
pub(crate) fn leaf(builder: &Builder, op: &Op) -> Option<NodeId> {
    if let Op::Input(i) = op {
        return Some(builder.graph().inputs()[*i].node);
    }
    let Op::State(i) = op else { return None };
    Some(builder.graph().states()[*i].read)
}

/// Sizes of axes, as a shape.
pub(crate) fn shape(axes: &[Axis], sizes: &[usize]) -> Shape {
    axes.iter().map(|&a| sizes[a as usize]).collect()
}

/// `op` with the sizes in its attributes taken from the axes of its operands and result.
pub(crate) fn resized(op: &Op, reads: &[Vec<Axis>], out: &[Axis], sizes: &[usize]) -> Op {
    match op {
        Op::Fold { windows, .. } => {
            let length = windows.axes.iter().map(|&axis| sizes[out[axis] as usize]).collect();
            Op::Fold { windows: windows.clone(), length }
        }
        Op::Random { dtype, .. } => Op::Random { dtype: *dtype, shape: shape(out, sizes) },
        Op::Scan { scan, result } if scan.xs > 0 => {
            let length = sizes[reads[scan.carries][0] as usize];
            Op::Scan { scan: Scan { length, ..scan.clone() }, result: *result }
        }
        Op::Move(MoveOp::Reshape(_)) => Op::Move(MoveOp::Reshape(shape(out, sizes))),
        Op::Move(MoveOp::Broadcast { axes, .. }) => {
            Op::Move(MoveOp::Broadcast { shape: shape(out, sizes), axes: axes.clone() })
        }
        Op::Move(MoveOp::Slice { start, step, .. }) => {
            let (start, step) = (start.clone(), step.clone());
            let size = shape(out, sizes).dims().to_vec();
            Op::Move(MoveOp::Slice { start, step, size })
        }
        Op::Move(MoveOp::Pad { start, step, fill, .. }) => {
            let (start, step) = (start.clone(), step.clone());
            let size = shape(out, sizes).dims().to_vec();
            Op::Move(MoveOp::Pad { start, step, size, fill: *fill })
        }
        Op::Iota { dtype, axis, .. } => {
            Op::Iota { dtype: *dtype, shape: shape(out, sizes), axis: *axis }
        }
        Op::OneHot { dtype, .. } => {
            Op::OneHot { dtype: *dtype, classes: sizes[out[out.len() - 1] as usize] }
        }
        Op::ScatterAdd { batch, .. } => {
            Op::ScatterAdd { batch: *batch, size: sizes[out[*batch] as usize] }
        }
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Size { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(MoveOp::Transpose(_) | MoveOp::Window(_))
        | Op::RandomKey { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Gather { .. }
        | Op::Grad => op.clone(),
    }
}

/// Copies nodes of `graph` as they are written, at the given sizes.
pub(crate) struct Copier<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) naming: &'a Naming,
    pub(crate) sizes: &'a [usize],
    pub(crate) known: HashMap<NodeId, NodeId>,
}

impl Copier<'_> {
    /// Copies what `root` needs.
    pub(crate) fn copy(&mut self, builder: &mut Builder, root: NodeId) -> NodeId {
        let layers = self.sizes == self.naming.sizes;
        let mut stack = vec![root];
        while let Some(&id) = stack.last() {
            let node = self.graph.node(id);
            let missing = node.inputs.iter().filter(|i| !self.known.contains_key(i));
            let missing: Vec<NodeId> = missing.copied().collect();
            if self.known.contains_key(&id) || !missing.is_empty() {
                if self.known.contains_key(&id) {
                    stack.pop();
                }
                stack.extend(missing);
                continue;
            }
            let new = match leaf(builder, &node.op) {
                Some(leaf) => leaf,
                None => {
                    let (reads, out) =
                        (&self.naming.reads[id.index()], &self.naming.nodes[id.index()]);
                    let op = resized(&node.op, reads, out, self.sizes);
                    let inputs: Vec<NodeId> = node.inputs.iter().map(|i| self.known[i]).collect();
                    let new = push(builder, op, &inputs, node.at);
                    if layers {
                        builder.locate(new, node.at, node.layer);
                    }
                    new
                }
            };
            self.known.insert(id, new);
            stack.pop();
        }
        self.known[&root]
    }
}

/// Appends a node that must fit.
pub(crate) fn push(builder: &mut Builder, op: Op, inputs: &[NodeId], at: At) -> NodeId {
    match builder.push(op, inputs, at) {
        Ok(id) => id,
        Err(error) => panic!("internal error: lowering made a node that does not fit: {error}"),
    }
}
