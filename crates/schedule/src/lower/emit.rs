//! Nodes of a group as a body.

use super::ops;
use crate::groups::{Groups, operand_maps, reads_memory};
use crate::maps::{Map, Merged, first_element};
use crate::plan::Access;
use eggrad_body::{Body, Lane, Value};
use eggrad_ir::{BinaryOp, DType, Graph, MoveOp, NodeId, Op, ReduceOp, UnaryOp};
use std::collections::HashMap;

/// What an access walks over, before buffers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arg {
    /// The value of a node.
    Value(NodeId),
    /// The array of an output that holds a copy of a node's value.
    Output(usize),
    /// The array of a state that takes a node's value.
    State(usize),
    /// A copy of a leaf's value from before the run, for the state with this number.
    Old(usize),
    /// Bytes for a nested plan.
    Scratch {
        /// The group that needs them.
        group: usize,
        /// How many.
        bytes: usize,
    },
}

/// Accesses and arguments of a kernel as they come up.
#[derive(Clone, Debug, Default)]
pub(super) struct Accesses {
    pub(super) list: Vec<Access>,
    pub(super) args: Vec<Arg>,
}

impl Accesses {
    pub(super) fn of(
        &mut self,
        arg: Arg,
        dtype: DType,
        offset: usize,
        strides: Vec<usize>,
    ) -> usize {
        let number = self.args.iter().position(|a| *a == arg).unwrap_or_else(|| {
            self.args.push(arg);
            self.args.len() - 1
        });
        let access = Access { arg: number, dtype, offset, strides };
        self.list.iter().position(|a| *a == access).unwrap_or_else(|| {
            self.list.push(access);
            self.list.len() - 1
        })
    }
}

/// Where the value of a member comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It is computed here.
    Here,
    /// An earlier pass stored it.
    Memory,
    /// A scalar of the kernel.
    Scalar(usize),
}

/// Emits values of one body.
pub(super) struct Emitter<'a> {
    pub(super) groups: &'a Groups<'a>,
    pub(super) group: usize,
    pub(super) merged: &'a Merged,
    pub(super) accesses: &'a mut Accesses,
    pub(super) source: &'a dyn Fn(NodeId) -> Source,
    pub(super) body: Body,
    known: HashMap<(NodeId, Map), Value>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(
        groups: &'a Groups<'a>,
        group: usize,
        merged: &'a Merged,
        accesses: &'a mut Accesses,
        source: &'a dyn Fn(NodeId) -> Source,
    ) -> Emitter<'a> {
        let known = HashMap::new();
        Emitter { groups, group, merged, accesses, source, body: Body::new(), known }
    }

    /// The value of member `id` at its own map.
    pub(super) fn member(&mut self, id: NodeId) -> Value {
        self.value(id, self.groups.at[id.index()].clone())
    }

    /// The value of a reduction's operand.
    pub(super) fn argument(&mut self, reduction: NodeId) -> Value {
        let operand = self.groups.graph.node(reduction).inputs[0];
        self.value(operand, self.groups.arg[reduction.index()].clone())
    }

    /// Access to the value of `id` at `map`.
    pub(super) fn access(&mut self, id: NodeId, map: &[usize]) -> usize {
        self.access_from(id, 0, map)
    }

    /// Access to the value of `id` at `map`, from element `offset` on.
    pub(super) fn access_from(&mut self, id: NodeId, offset: usize, map: &[usize]) -> usize {
        let dtype = self.groups.graph.ty(id).dtype;
        self.accesses.of(Arg::Value(id), dtype, offset, self.merged.apply(map))
    }

    /// The value of `id` at `map`.
    pub(super) fn value(&mut self, id: NodeId, map: Map) -> Value {
        let root = (id, map);
        let mut stack = vec![root.clone()];
        while let Some(key) = stack.pop() {
            if self.known.contains_key(&key) {
                continue;
            }
            if let Some(value) = self.outside(key.0, &key.1) {
                self.known.insert(key, value);
                continue;
            }
            let (id, map) = &key;
            let sizes = &self.groups.groups[self.group].sizes;
            let graph = self.groups.graph;
            let Ok(operands) = operand_maps(graph, sizes, *id, map, &[]) else {
                panic!("internal error: the maps of node {} no longer fit", id.0)
            };
            let inputs = graph.node(*id).inputs.iter().copied().enumerate();
            let keys: Vec<(NodeId, Map)> = inputs
                .map(|(i, input)| self.groups.operand(*id, i, input))
                .zip(operands.maps.iter().cloned())
                .collect();
            // A gather, slice or random number reads its first operand itself.
            let first = usize::from(reads_memory(&graph.node(*id).op, 0));
            let missing: Vec<_> =
                keys[first..].iter().filter(|k| !self.known.contains_key(*k)).cloned().collect();
            if missing.is_empty() {
                let args: Vec<Value> = keys[first..].iter().map(|k| self.known[k]).collect();
                let position = operands.position.map(|p| self.merged.apply(&p));
                let op = &graph.node(key.0).op;
                let value = if let Op::Gather { batch } = op {
                    self.gather(key.0, *batch, &keys[0], args[0])
                } else if let Op::Move(op @ MoveOp::Slice { .. }) = op {
                    self.slice(key.0, op, &keys[0])
                } else if let Op::Random { dtype, .. } = op {
                    self.random(*dtype, &keys[0], &position.unwrap_or_default())
                } else {
                    self.apply(key.0, &args, position)
                };
                self.known.insert(key, value);
            } else {
                stack.push(key);
                stack.extend(missing.into_iter().rev());
            }
        }
        self.known[&root]
    }

    /// A value that is not computed in this body.
    fn outside(&mut self, id: NodeId, map: &[usize]) -> Option<Value> {
        let groups = self.groups;
        let dtype = groups.graph.ty(id).dtype;
        let lane = ops::lane(dtype);
        if groups.home[id.index()] == Some(self.group) && groups.solid[id.index()] {
            match (self.source)(id) {
                Source::Here => return None,
                Source::Memory => {}
                Source::Scalar(index) => {
                    let value = self.body.scalar(index as u16, lane);
                    return Some(ops::wrapped(&mut self.body, dtype, value));
                }
            }
        } else if !groups.solid[id.index()] && !groups.is_leaf(id) {
            return None;
        }
        let access = self.access(id, map);
        Some(self.body.load(access as u16, lane))
    }

    fn slice(&mut self, id: NodeId, op: &MoveOp, whole: &(NodeId, Map)) -> Value {
        let graph = self.groups.graph;
        let node = graph.node(id);
        let offset = first_element(op, &graph.ty(node.inputs[0]).shape);
        let access = self.access_from(whole.0, offset, &whole.1);
        self.body.load(access as u16, ops::lane(node.ty.dtype))
    }

    /// The number at `position` under the two words of `key`.
    fn random(&mut self, dtype: DType, key: &(NodeId, Map), position: &[usize]) -> Value {
        let words = [0, 1].map(|word| {
            let access = self.access_from(key.0, word, &key.1);
            self.body.load(access as u16, Lane::I32)
        });
        let sizes = &self.merged.sizes;
        let number = ops::position(&mut self.body, DType::I32, sizes, position);
        ops::random(&mut self.body, dtype, words.into(), number)
    }

    fn gather(&mut self, id: NodeId, batch: usize, table: &(NodeId, Map), index: Value) -> Value {
        let graph = self.groups.graph;
        let node = graph.node(id);
        let dims = graph.ty(node.inputs[0]).shape.dims();
        let stride: usize = dims[batch + 1..].iter().product();
        let access = self.access(table.0, &table.1);
        let lane = ops::lane(node.ty.dtype);
        self.body.load_at(access as u16, lane, index, dims[batch] as u32, stride as u32)
    }

    fn apply(&mut self, id: NodeId, args: &[Value], position: Option<Map>) -> Value {
        let graph = self.groups.graph;
        let node = graph.node(id);
        let dtype = node.ty.dtype;
        let sizes = &self.merged.sizes;
        let body = &mut self.body;
        match &node.op {
            Op::Const(dtype, literal) => ops::constant(body, *dtype, *literal),
            Op::Unary(UnaryOp::Exp) if falls_below_largest(graph, node.inputs[0]) => {
                body.exp_nonpositive(args[0])
            }
            Op::Unary(op) => ops::unary(body, *op, dtype, args[0]),
            Op::Binary(op) => ops::binary(body, *op, dtype, args[0], args[1]),
            Op::Compare(op) => ops::compare(body, *op, args[0], args[1]),
            Op::Select => body.select(args[0], args[1], args[2]),
            Op::Cast(to) => ops::cast(body, graph.ty(node.inputs[0]).dtype, *to, args[0]),
            Op::Move(_) => args[0],
            Op::Iota { dtype, .. } => {
                let position = position.unwrap_or_default();
                ops::position(body, *dtype, sizes, &position)
            }
            Op::OneHot { .. } => {
                let wide = body.lane(args[0]) == Lane::I64;
                let index = if wide { DType::I64 } else { DType::I32 };
                let class = ops::position(body, index, sizes, &position.unwrap_or_default());
                let label = body.convert(ops::lane(index), args[0]);
                let hit = body.eq(label, class);
                if dtype == DType::Bool {
                    return hit;
                }
                let lane = ops::lane(dtype);
                let (one, zero) = (body.konst(lane, 1.0), body.konst(lane, 0.0));
                body.select(hit, one, zero)
            }
            Op::RandomKey { stream } => {
                let words = body.random_key(*stream, args[0], args[1]);
                let word = ops::position(body, DType::I32, sizes, &position.unwrap_or_default());
                let zero = body.int(Lane::I32, 0);
                let first = body.eq(word, zero);
                body.select(first, words.0, words.1)
            }
            Op::Input(_)
            | Op::State(_)
            | Op::Data(_)
            | Op::Size { .. }
            | Op::Mark(_)
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::Dot(_)
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::Fold { .. }
            | Op::Random { .. }
            | Op::Call { .. }
            | Op::Scan { .. }
            | Op::Cond { .. }
            | Op::Grad => {
                panic!("internal error: `{}` is no part of a body", node.op.name())
            }
        }
    }
}

/// Whether `id` is what elements differ by from the largest of them, so never above 0.
fn falls_below_largest(graph: &Graph, id: NodeId) -> bool {
    let Op::Binary(BinaryOp::Sub) = graph.node(id).op else { return false };
    let [x, mut largest] = graph.node(id).inputs[..] else { return false };
    while let Op::Move(MoveOp::Broadcast { .. } | MoveOp::Reshape(_)) = graph.node(largest).op {
        largest = graph.node(largest).inputs[0];
    }
    let largest = graph.node(largest);
    matches!(largest.op, Op::Reduce(ReduceOp::Max, _)) && largest.inputs[0] == x
}
