//! Applications of sub-graphs: a kernel that runs nested plans.

use super::Lowering;
use super::emit::Arg;
use crate::plan::{ALIGN, BranchKernel, KernelKind, LoopKernel, MAX_BYTES, Plan, Target};
use eggrad_ir::{NodeId, Op};

/// Arguments as they come up, and bytes of scratch.
struct Layout {
    args: Vec<Arg>,
    bytes: usize,
}

impl Layout {
    fn arg(&mut self, arg: Arg) -> usize {
        let known = self.args.iter().position(|a| *a == arg);
        known.unwrap_or_else(|| {
            self.args.push(arg);
            self.args.len() - 1
        })
    }

    /// A place of `bytes` in the scratch argument, which may grow to more than any memory holds, but not further.
    fn place(&mut self, bytes: usize) -> usize {
        let at = self.bytes;
        let end = bytes.checked_next_multiple_of(ALIGN).and_then(|b| b.checked_add(at));
        self.bytes = end.unwrap_or(usize::MAX).min(2 * MAX_BYTES);
        at
    }
}

impl Lowering<'_> {
    pub(super) fn apply(&self, group: usize) -> (KernelKind, Vec<Arg>, bool) {
        let (members, groups) = (&self.group(group).members, self.groups);
        let id = members[0];
        let node = groups.graph.node(id);
        let inputs = node.inputs.iter().enumerate();
        let operands: Vec<NodeId> = inputs.map(|(i, &x)| groups.operand(id, i, x)).collect();
        let plans = self.bodies.of(&node.op);
        let arena = plans.iter().map(|plan| plan.arena_bytes).max().unwrap_or(0);
        let mut layout = Layout { args: vec![], bytes: 0 };
        layout.place(arena);
        let mut operands: Vec<usize> =
            operands.iter().map(|&x| layout.arg(Arg::Value(x))).collect();
        let results: Vec<Target> = (0..plans[0].outputs.len())
            .map(|i| {
                let reader = |m: &&NodeId| groups.graph.node(**m).op.result() == Some(i);
                match members.iter().find(reader) {
                    Some(&member) => Target::Arg(layout.arg(Arg::Value(member))),
                    None => Target::Scratch(layout.place(bytes_of(&plans[0], i))),
                }
            })
            .collect();
        let mut spare = vec![];
        if let Op::Scan { scan, .. } = &node.op {
            let carries = 0..scan.carries;
            spare.extend(carries.map(|i| layout.place(bytes_of(&plans[0], i))));
        }
        let bytes = layout.bytes;
        let scratch = (bytes > 0).then(|| layout.arg(Arg::Scratch { group, bytes }));
        let kind = match (&node.op, &plans[..]) {
            (Op::Scan { scan, .. }, [body]) => KernelKind::Loop(LoopKernel {
                body: body.clone(),
                carries: scan.carries,
                xs: scan.xs,
                length: scan.length,
                reverse: scan.reverse,
                operands,
                results,
                spare,
                scratch,
            }),
            (Op::Cond { .. }, [then, otherwise]) => KernelKind::Branch(BranchKernel {
                then: then.clone(),
                otherwise: otherwise.clone(),
                choice: operands.remove(0),
                operands,
                results,
                scratch,
            }),
            (other, _) => panic!("internal error: `{}` applies nothing", other.name()),
        };
        (kind, layout.args, false)
    }
}

/// Bytes of output `i`, one position of it if it is stacked.
fn bytes_of(plan: &Plan, i: usize) -> usize {
    plan.outputs[i].ty.bytes()
}
