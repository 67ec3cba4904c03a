//! Scattered additions: zeros first, then one addition per update. Pads: the fill everywhere, then the operand. Folds:
//! zeros first, then one position of every window after the other, row-major, each added to where it came from.

use super::Lowering;
use super::emit::{Accesses, Arg, Emitter, Source};
use super::ops;
use crate::groups::Role;
use crate::maps::{Merged, place};
use crate::plan::{AddAt, KernelKind, Phase, RowKernel, Store};
use eggrad_body::Body;
use eggrad_ir::{BinaryOp, MoveOp, NodeId, Op};

impl Lowering<'_> {
    pub(super) fn scatter(&self, group: usize) -> Vec<(KernelKind, Vec<Arg>, bool)> {
        let (g, groups) = (self.group(group), self.groups);
        let id = g.members[0];
        let node = groups.graph.node(id);
        let mut body = Body::new();
        let dtype = node.ty.dtype;
        let value = if let Op::Move(MoveOp::Pad { fill, .. }) = node.op {
            ops::constant(&mut body, dtype, fill)
        } else {
            body.konst(ops::lane(dtype), 0.0)
        };
        let mut accesses = Accesses::default();
        let access = accesses.of(Arg::Value(id), dtype, 0, vec![1]);
        let stores = vec![Store { access, value, add_at: None }];
        let first = RowKernel {
            outer: vec![],
            row: node.ty.shape.elements(),
            accesses: accesses.list,
            phases: vec![Phase::Pass { body, folds: vec![], stores }],
        };
        let first = (KernelKind::Row(first), accesses.args, true);

        let lead = &groups.arg[id.index()];
        let mut maps = self.maps(group);
        maps.push(lead.clone());
        let order = match node.op {
            Op::Fold { .. } => self.fold_order(group, id),
            _ => vec![self.ordered(group, lead, |_| true)],
        };
        let (mut merged, counts) = Merged::new(&g.sizes, &order, &maps);
        if merged.sizes.is_empty() {
            merged.push_unit();
        }
        let Ok(operands) =
            crate::groups::operand_maps(groups.graph, &g.sizes, id, &groups.at[id.index()], lead)
        else {
            panic!("internal error: the maps of node {} no longer fit", id.0)
        };
        let mut accesses = Accesses::default();
        let here = |_: NodeId| Source::Here;
        let mut emitter = Emitter::new(groups, group, &merged, &mut accesses, &here);
        let mut operand = |i: usize| emitter.value(node.inputs[i], operands.maps[i].clone());
        let at = &groups.at[id.index()];
        let (value, access, add_at, splittable) = match &node.op {
            Op::ScatterAdd { batch, size } => {
                let (index, value) = (operand(0), operand(1));
                let stride: usize = node.ty.shape.dims()[batch + 1..].iter().product();
                let add = AddAt { index, size: *size as u32, stride: stride as u32 };
                (value, emitter.access(id, at), Some(add), false)
            }
            Op::Move(MoveOp::Pad { start, .. }) => {
                let value = operand(0);
                (value, emitter.access_from(id, place(start, &node.ty.shape), at), None, true)
            }
            Op::Fold { .. } => {
                let value = operand(0);
                let access = emitter.access(id, at);
                let sum = emitter.body.load(access as u16, ops::lane(dtype));
                let sum = ops::binary(&mut emitter.body, BinaryOp::Add, dtype, sum, value);
                (sum, access, None, counts[0] > 0)
            }
            other => panic!("internal error: a scatter group of `{}`", other.name()),
        };
        let body = emitter.body;
        let outer = merged.sizes.len() - 1;
        let second = RowKernel {
            outer: merged.sizes[..outer].to_vec(),
            row: merged.sizes[outer],
            accesses: accesses.list,
            phases: vec![Phase::Pass {
                body,
                folds: vec![],
                stores: vec![Store { access, value, add_at }],
            }],
        };
        vec![first, (KernelKind::Row(second), accesses.args, splittable)]
    }

    /// Loops of a fold, in runs: those whose positions share no element of the result; positions of the windows, so
    /// that every element takes them in order; the rest, along which no two positions share an element either.
    fn fold_order(&self, group: usize, id: NodeId) -> Vec<Vec<usize>> {
        let (g, groups) = (self.group(group), self.groups);
        let node = groups.graph.node(id);
        let Op::Fold { windows, .. } = &node.op else {
            panic!("internal error: `{}` folds no windows", node.op.name())
        };
        let shape = &node.ty.shape;
        let extent = windows.axes.first().map_or(1, |&a| shape.dims()[a] * shape.strides()[a]);
        let at = &groups.at[id.index()];
        let positions = |d: usize| g.roles[d] == Role::Reduced;
        let apart = self.ordered(group, at, |d| !positions(d) && at[d] >= extent);
        let rest = self.ordered(group, at, |d| !positions(d) && at[d] < extent);
        let positions = (0..g.sizes.len()).filter(|&d| positions(d)).collect();
        vec![apart, positions, rest]
    }
}
