//! Graph to an equal graph of fewer ops: what is left is elementwise, a move, a plain reduction, a product in
//! canonical order, a gather or a scatter.
//!
//! * Composites become elementwise ops and reductions (see [`expand`]); sharing between softmax, cross-entropy and its
//!   residual of the same logits comes from the builder, which never makes a node twice.
//! * Reductions run over the trailing axes, or keep the last axis; others are done in two steps.
//! * Reductions over the positions of windows run down columns, extremes of few positions are found slice by slice;
//!   windows that tile are reshapes.
//! * Input gradients of convolutions, folds of products, are convolutions where that is faster (see [`convolve`]).
//! * Sums of pads that lie side by side are choices (see [`concat`]).
//! * Products pair `[batch.., m.., k..]` with `[batch.., k.., n..]`.
//! * A scan of no steps is its initial values.
//! * What has no elements, or reduces over none, becomes a constant; sizes become constants; marks vanish.

mod concat;
mod constant;
mod convolve;
mod expand;
mod part;
mod product;
mod reduce;
mod window;

use crate::error::ScheduleError;
use eggrad_ir::{
    BinaryOp, Builder, CompareOp, DType, Graph, Literal, MoveOp, Node, NodeId, Op, ReduceOp,
    TensorType, UnaryOp,
};
use part::Part;

/// The legal graph and where its nodes come from.
pub(crate) struct Legal {
    /// Not pruned: some nodes are dead.
    pub(crate) graph: Graph,
    /// For each legal node, the node of the original graph that it was first made for.
    pub(crate) origin: Vec<NodeId>,
    /// Whether some root needs the node.
    pub(crate) live: Vec<bool>,
}

/// Makes `graph` legal.
pub(crate) fn legalize(graph: &Graph) -> Result<Legal, ScheduleError> {
    let mut pass = Pass {
        old: graph,
        new: Builder::with_leaves_of(graph),
        map: Vec::with_capacity(graph.nodes().len()),
        single_user: single_users(graph),
        relu: relus(graph),
        positions: window::positions(graph),
        convolved: None,
    };
    let mut origin: Vec<NodeId> = graph.inputs().iter().map(|i| i.node).collect();
    origin.extend(graph.states().iter().map(|s| s.read));
    for id in graph.ids() {
        let new = pass.node(id)?;
        pass.map.push(new);
        // The transpose of a product may have become the product the other way round.
        let dot = pass.convolved.take();
        let made = &pass.new.graph().nodes()[origin.len()..];
        let turned = matches!(graph.node(id).op, Op::Move(_))
            && made.iter().any(|n| matches!(n.op, Op::Dot(_) | Op::Reduce(..)));
        let first = if turned { graph.node(id).inputs[0] } else { id };
        let of = |n: &Node| dot.filter(|_| matches!(n.op, Op::Dot(_) | Op::Reduce(..)));
        origin.extend(made.iter().map(|n| of(n).unwrap_or(first)));
    }
    for output in graph.outputs() {
        pass.new.output(&output.name, pass.map[output.node.index()]);
    }
    for state in graph.states() {
        if let Some(write) = state.write {
            pass.new.write(pass.map[state.read.index()], pass.map[write.index()]);
        }
    }
    pass.new.set_guard(graph.guard().map(|g| pass.map[g.index()]));
    let graph = pass.new.graph().clone();
    let mut live = vec![false; graph.nodes().len()];
    graph.roots().for_each(|r| live[r.index()] = true);
    for id in graph.ids().rev() {
        if live[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| live[i.index()] = true);
        }
    }
    Ok(Legal { graph, origin, live })
}

struct Pass<'g> {
    old: &'g Graph,
    new: Builder,
    /// The legal node for each old one so far.
    map: Vec<NodeId>,
    /// The only user of an old node that has exactly one.
    single_user: Vec<Option<NodeId>>,
    /// The `relu` of each old node that has one.
    relu: Vec<Option<NodeId>>,
    /// Of each old node made of windows, how many of its axes are positions of windows.
    positions: Vec<usize>,
    /// The old product behind the fold for which a convolution was just made.
    convolved: Option<NodeId>,
}

fn single_users(graph: &Graph) -> Vec<Option<NodeId>> {
    let users = graph.users();
    let mut single: Vec<Option<NodeId>> =
        users.iter().map(|u| if let [user] = u[..] { Some(user) } else { None }).collect();
    graph.roots().for_each(|r| single[r.index()] = None);
    single
}

fn relus(graph: &Graph) -> Vec<Option<NodeId>> {
    let mut relu = vec![None; graph.nodes().len()];
    for id in graph.ids() {
        if graph.node(id).op == Op::Unary(UnaryOp::Relu) {
            relu[graph.node(id).inputs[0].index()] = Some(id);
        }
    }
    relu
}

impl Pass<'_> {
    fn node(&mut self, id: NodeId) -> Result<NodeId, ScheduleError> {
        let node = self.old.node(id);
        let ty = &node.ty;
        if ty.shape.elements() == 0 && !matches!(node.op, Op::Input(_) | Op::State(_)) {
            return Ok(self.full(ty, 0.0));
        }
        let args: Vec<NodeId> = node.inputs.iter().map(|i| self.map[i.index()]).collect();
        let arg_types: Vec<&TensorType> = node.inputs.iter().map(|&i| self.old.ty(i)).collect();
        let empty = |i: usize| arg_types[i].shape.elements() == 0;
        Ok(match &node.op {
            Op::Input(i) => self.new.graph().inputs()[*i].node,
            Op::State(i) => self.new.graph().states()[*i].read,
            Op::Const(..) | Op::Data(_) | Op::Iota { .. } => self.new.node(node.op.clone(), &[]),
            Op::Size { dtype, axes } => {
                let dims = arg_types[0].shape.dims();
                let count: usize = axes.iter().map(|&a| dims[a]).product();
                self.count(*dtype, count)
            }
            Op::Binary(BinaryOp::Add) if let Some(chosen) = self.side_by_side(id) => chosen,
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) => {
                match window::order(&ty.shape, self.positions[id.index()]) {
                    None => self.elementwise(node, &args),
                    Some(order) => {
                        let turn = |&x: &NodeId| transpose(&mut self.new, x, order.clone());
                        let args: Vec<NodeId> = args.iter().map(turn).collect();
                        let y = self.elementwise(node, &args);
                        transpose(&mut self.new, y, window::inverse(&order))
                    }
                }
            }
            Op::Mark(_) => args[0],
            Op::Move(op) => self.moved(op, node.inputs[0], args[0]),
            Op::Reduce(op, _) if empty(0) => self.full(ty, identity(*op, ty.dtype)),
            Op::Reduce(ReduceOp::LogSumExp, axes) => {
                expand::logsumexp(&mut self.new, args[0], axes)
            }
            Op::Reduce(op @ (ReduceOp::Max | ReduceOp::Min), axes)
                if let Some(extreme) = self.extreme(*op, node.inputs[0], axes) =>
            {
                extreme
            }
            Op::Reduce(op, axes)
                if self.positions[node.inputs[0].index()] > 0
                    && window::runs_down(&arg_types[0].shape, axes) =>
            {
                window::reduce(&mut self.new, *op, args[0], axes)
            }
            Op::Reduce(op, axes) => reduce::reduce(&mut self.new, *op, args[0], axes),
            Op::Softmax(op, axes) => expand::softmax(&mut self.new, *op, args[0], axes),
            Op::CrossEntropy(..) if empty(0) => self.full(ty, 0.0),
            Op::CrossEntropy(op, axes) => {
                expand::cross_entropy(&mut self.new, *op, args[0], args[1], axes)
            }
            Op::Dot(_) if empty(0) || empty(1) => self.full(ty, 0.0),
            Op::Dot(axes) => product::product(&mut self.new, args[0], args[1], axes),
            Op::OneHot { classes, .. } => {
                check_index(id, self.old, ty, *classes, 1)?;
                self.new.node(node.op.clone(), &args)
            }
            Op::Gather { batch } => {
                let dims = arg_types[0].shape.dims();
                if dims[*batch] == 0 {
                    return Ok(self.full(ty, if ty.dtype.is_float() { f64::NAN } else { 0.0 }));
                }
                let rest = dims[batch + 1..].iter().product();
                check_index(id, self.old, arg_types[0], dims[*batch], rest)?;
                self.new.node(node.op.clone(), &args)
            }
            Op::ScatterAdd { .. } if empty(1) => self.full(ty, 0.0),
            Op::ScatterAdd { size, .. } => {
                let rest = arg_types[1].shape.dims()[arg_types[0].rank()..].iter().product();
                check_index(id, self.old, ty, *size, rest)?;
                self.new.node(node.op.clone(), &args)
            }
            Op::Fold { windows, length } => match self.as_convolution(id, None) {
                Some(convolution) => convolution,
                None => window::fold(&mut self.new, args[0], windows, length, &ty.shape),
            },
            Op::RandomKey { .. } | Op::Random { .. } => self.new.node(node.op.clone(), &args),
            Op::Scan { scan, result } if scan.length == 0 => args[*result],
            Op::Scan { .. } | Op::Cond { .. } => self.new.node(node.op.clone(), &args),
            Op::Call { .. } => return Err(ScheduleError::Call { at: node.at }),
            Op::Grad => return Err(ScheduleError::Grad { at: node.at }),
        })
    }

    /// `node` of `args`, all of one shape.
    fn elementwise(&mut self, node: &Node, args: &[NodeId]) -> NodeId {
        match &node.op {
            Op::Compare(op) => self.compare(*op, node.inputs[0], args),
            Op::Cast(dtype) => self.new.cast(args[0], *dtype),
            op => match constant::folded(&mut self.new, op, args) {
                Some(constant) => constant,
                None => self.new.node(op.clone(), args),
            },
        }
    }

    fn full(&mut self, ty: &TensorType, value: f64) -> NodeId {
        let scalar = self.new.scalar(ty.dtype, value);
        self.new.spread(scalar, ty.shape.clone(), vec![])
    }

    /// `count` as a number of `dtype`, wrapped or rounded to it.
    fn count(&mut self, dtype: DType, count: usize) -> NodeId {
        let literal = match dtype {
            DType::F32 | DType::F64 => Literal::Float((count as f64).to_bits()),
            DType::I32 => Literal::Int(i64::from(count as i32)),
            DType::I64 => Literal::Int(count as i64),
            DType::U8 => Literal::Int(i64::from(count as u8)),
            DType::Bool => Literal::Bool(count != 0),
        };
        self.new.node(Op::Const(dtype, literal), &[])
    }

    /// `z > 0` reads `relu(z)` where that exists: one of the two is then never stored.
    fn compare(&mut self, op: CompareOp, z: NodeId, args: &[NodeId]) -> NodeId {
        let mut left = args[0];
        if op == CompareOp::Gt && self.relu[z.index()].is_some() && self.is_zero(args[1]) {
            left = self.new.unary(UnaryOp::Relu, left);
        }
        self.new.compare(op, left, args[1])
    }

    fn is_zero(&self, id: NodeId) -> bool {
        constant::uniform(&self.new, id).is_some_and(|literal| literal.as_f64() == 0.0)
    }

    fn moved(&mut self, op: &MoveOp, old: NodeId, x: NodeId) -> NodeId {
        if let (MoveOp::Transpose(perm), Op::Dot(axes)) = (op, &self.old.node(old).op)
            && self.single_user[old.index()].is_some()
            && let Some(swapped) = product::swapped(self.old, old, axes, perm)
        {
            let [a, b] = [0, 1].map(|i| self.map[self.old.node(old).inputs[i].index()]);
            return product::product(&mut self.new, b, a, &swapped);
        }
        if let (MoveOp::Slice { start, step, size }, Op::Fold { .. }) = (op, &self.old.node(old).op)
            && self.single_user[old.index()].is_some()
            && step.iter().zip(size).all(|(&step, &size)| step == 1 || size == 1)
            && let Some(part) = self.as_convolution(old, Some((start, size)))
        {
            return part;
        }
        match op {
            MoveOp::Reshape(shape) => self.new.reshape(x, shape.clone()),
            MoveOp::Transpose(perm) => transpose(&mut self.new, x, perm.clone()),
            MoveOp::Broadcast { shape, axes } => self.new.spread(x, shape.clone(), axes.clone()),
            MoveOp::Slice { start, step, size } => part::slice(
                &mut self.new,
                x,
                Part { start: start.clone(), step: step.clone(), size: size.clone() },
            ),
            MoveOp::Pad { start, step, size, fill } => part::pad(
                &mut self.new,
                x,
                Part { start: start.clone(), step: step.clone(), size: size.clone() },
                *fill,
            ),
            MoveOp::Window(windows) => window::window(&mut self.new, x, windows),
        }
    }
}

/// A transpose of a transpose is one, or none.
fn transpose(new: &mut Builder, x: NodeId, mut perm: Vec<usize>) -> NodeId {
    let x = peel(new, x, &mut perm);
    new.transpose(x, perm)
}

/// Follows transposes down from `x`, but for those of windows; `list`, of axes of `x`, becomes a list of axes of what is
/// found.
fn peel(new: &Builder, mut x: NodeId, list: &mut [usize]) -> NodeId {
    loop {
        let node = new.graph().node(x);
        let Op::Move(MoveOp::Transpose(perm)) = &node.op else { return x };
        if matches!(new.graph().node(node.inputs[0]).op, Op::Move(MoveOp::Window(_))) {
            return x;
        }
        list.iter_mut().for_each(|a| *a = perm[*a]);
        x = node.inputs[0];
    }
}

/// The result of a reduction over nothing.
fn identity(op: ReduceOp, dtype: DType) -> f64 {
    let (least, most) = match dtype {
        DType::F32 | DType::F64 => (f64::NEG_INFINITY, f64::INFINITY),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::I64 => (-(2f64.powi(53)), 2f64.powi(53)),
        DType::U8 | DType::Bool => (0.0, 255.0),
    };
    match op {
        ReduceOp::Sum => 0.0,
        ReduceOp::Prod => 1.0,
        ReduceOp::Max | ReduceOp::LogSumExp => least,
        ReduceOp::Min => most,
    }
}

fn check_index(
    id: NodeId,
    graph: &Graph,
    ty: &TensorType,
    size: usize,
    stride: usize,
) -> Result<(), ScheduleError> {
    if u32::try_from(size).is_ok() && u32::try_from(stride).is_ok() {
        return Ok(());
    }
    let node = graph.node(id);
    Err(ScheduleError::TooLarge { op: node.op.name(), ty: ty.clone(), at: node.at })
}
