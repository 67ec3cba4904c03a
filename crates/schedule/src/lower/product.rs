//! Contractions.

use super::Lowering;
use super::emit::{Accesses, Arg, Emitter, Source};
use crate::groups::Operand;
use crate::plan::{Access, KernelKind, ProductKernel, Store};
use eggrad_ir::{NodeId, Op};

impl Lowering<'_> {
    pub(super) fn product(&self, group: usize) -> (KernelKind, Vec<Arg>, bool) {
        let (g, groups) = (self.group(group), self.groups);
        let Some(product) = &g.product else { panic!("internal error: a product of nothing") };
        let (rows, columns) = (g.sizes.len() - 2, g.sizes.len() - 1);
        let Some(dot) = g.members.iter().find(|m| matches!(groups.graph.node(**m).op, Op::Dot(_)))
        else {
            panic!("internal error: a product group without `dot`")
        };
        let outer = self.ordered(group, &groups.at[dot.index()], |d| d < rows);
        let (mut merged, counts) = self.merge(group, &[outer, vec![rows], vec![columns]]);
        product.k.iter().for_each(|_| merged.push_unit());
        let mut accesses = Accesses::default();
        let mut operand = |operand: &Operand| -> Access {
            let mut strides = merged.apply(&operand.map);
            strides.truncate(strides.len() - product.k.len());
            strides.extend(&operand.steps);
            let dtype = groups.graph.ty(operand.id).dtype;
            let access = accesses.of(Arg::Value(operand.id), dtype, operand.offset, strides);
            accesses.list[access].clone()
        };
        let (a, b) = (operand(&product.a), operand(&product.b));
        accesses.list.clear();
        let source = |m: NodeId| if m == *dot { Source::Scalar(0) } else { Source::Here };
        let mut emitter = Emitter::new(groups, group, &merged, &mut accesses, &source);
        let mut stores = vec![];
        for &member in g.members.iter().filter(|m| self.stored[m.index()]) {
            let value = emitter.member(member);
            let access = emitter.access(member, &groups.at[member.index()]);
            stores.push(Store { access, value, add_at: None });
        }
        let epilogue = emitter.body;
        let kernel = ProductKernel {
            batch: merged.sizes[..counts[0]].to_vec(),
            m: g.sizes[rows],
            n: g.sizes[columns],
            k: product.k.clone(),
            a,
            b,
            accesses: accesses.list,
            epilogue,
            stores,
        };
        (KernelKind::Product(kernel), accesses.args, true)
    }
}
