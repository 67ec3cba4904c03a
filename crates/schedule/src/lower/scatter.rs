//! Scattered additions: zeros first, then one addition per update.

use super::Lowering;
use super::emit::{Accesses, Arg, Emitter, Source};
use super::ops;
use crate::plan::{AddAt, KernelKind, Phase, RowKernel, Store};
use eggrad_body::Body;
use eggrad_ir::{NodeId, Op};

impl Lowering<'_> {
    pub(super) fn scatter(&self, group: usize) -> Vec<(KernelKind, Vec<Arg>, bool)> {
        let (g, groups) = (self.group(group), self.groups);
        let id = g.members[0];
        let node = groups.graph.node(id);
        let Op::ScatterAdd { batch, size } = node.op else {
            panic!("internal error: a scatter group without `scatter_add`")
        };
        let dtype = node.ty.dtype;
        let mut accesses = Accesses::default();
        let access = accesses.of(Arg::Value(id), dtype, vec![1]);
        let mut body = Body::new();
        let value = body.konst(ops::lane(dtype), 0.0);
        let stores = vec![Store { access, value, add_at: None }];
        let zeros = RowKernel {
            outer: vec![],
            row: node.ty.shape.elements(),
            accesses: accesses.list,
            phases: vec![Phase::Pass { body, folds: vec![], stores }],
        };
        let zeros = (KernelKind::Row(zeros), accesses.args, true);

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
        let index = emitter.value(node.inputs[0], operands.maps[0].clone());
        let value = emitter.value(node.inputs[1], operands.maps[1].clone());
        let access = emitter.access(id, &groups.at[id.index()]);
        let body = emitter.body;
        let stride: usize = node.ty.shape.dims()[batch + 1..].iter().product();
        let add_at = Some(AddAt { index, size: size as u32, stride: stride as u32 });
        let outer = merged.sizes.len() - 1;
        let adds = RowKernel {
            outer: merged.sizes[..outer].to_vec(),
            row: merged.sizes[outer],
            accesses: accesses.list,
            phases: vec![Phase::Pass {
                body,
                folds: vec![],
                stores: vec![Store { access, value, add_at }],
            }],
        };
        vec![zeros, (KernelKind::Row(adds), accesses.args, false)]
    }
}
