//! Scattered additions: zeros first, then one addition per update. Pads: the fill everywhere, then the operand.

use super::Lowering;
use super::emit::{Accesses, Arg, Emitter, Source};
use super::ops;
use crate::maps::place;
use crate::plan::{AddAt, KernelKind, Phase, RowKernel, Store};
use eggrad_body::Body;
use eggrad_ir::{MoveOp, NodeId, Op};

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
        let order = self.ordered(group, lead, |_| true);
        let (mut merged, counts) = crate::maps::Merged::new(&g.sizes, &[order], &maps);
        if counts[0] == 0 {
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
        let (value, access, add_at) = match &node.op {
            Op::ScatterAdd { batch, size } => {
                let (index, value) = (operand(0), operand(1));
                let stride: usize = node.ty.shape.dims()[batch + 1..].iter().product();
                let add = AddAt { index, size: *size as u32, stride: stride as u32 };
                (value, emitter.access(id, at), Some(add))
            }
            Op::Move(MoveOp::Pad { start, .. }) => {
                let value = operand(0);
                (value, emitter.access_from(id, place(start, &node.ty.shape), at), None)
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
        vec![first, (KernelKind::Row(second), accesses.args, add_at.is_none())]
    }
}
