//! Work that every step of a scan repeats is done once, outside.

use eggrad_ir::{Builder, Function, Graph, MoveOp, NodeId, Op, Scan, map_functions, rebuild};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

/// `graph` with what depends on nothing but a scan's constants computed outside of it and passed as further constants,
/// also inside sub-graphs. Numbers, moves and sizes stay: they cost nothing inside.
pub fn hoist(graph: Graph) -> Graph {
    if graph.nodes().iter().all(|n| n.op.functions().is_empty()) {
        return graph;
    }
    let inner: Result<Graph, Infallible> = map_functions(&graph, &mut |_, g| Ok(hoist_here(&g)));
    match inner {
        Ok(graph) => hoist_here(&graph),
        Err(never) => match never {},
    }
}

fn hoist_here(graph: &Graph) -> Graph {
    let mut split: HashMap<Scan, Option<Split>> = HashMap::new();
    for node in graph.nodes() {
        if let Op::Scan { scan, .. } = &node.op {
            split.entry(scan.clone()).or_insert_with(|| Split::of(scan));
        }
    }
    if split.values().all(Option::is_none) {
        return graph.clone();
    }
    rebuild(graph, &mut |builder, id, inputs| match &graph.node(id).op {
        Op::Scan { scan, result } => match &split[scan] {
            Some(split) => split.apply(builder, scan, *result, inputs),
            None => builder.node(graph.node(id).op.clone(), inputs),
        },
        op => builder.node(op.clone(), inputs),
    })
}

/// A scan's body, and what leaves it.
struct Split {
    body: Arc<Function>,
    /// Constants that the body still reads, by their number among the operands.
    kept: Vec<usize>,
    /// From the scan's constants, by number among the operands, to the values that left.
    outside: Graph,
}

impl Split {
    /// `None` when nothing leaves.
    fn of(scan: &Scan) -> Option<Split> {
        let graph = scan.body.graph();
        let first_constant = scan.carries + scan.xs;
        if scan.length == 0 || scan.body.vjp().is_some() {
            return None;
        }
        let mut invariant = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            invariant.push(match node.op {
                Op::Input(i) => i >= first_constant,
                _ => node.inputs.iter().all(|i| invariant[i.index()]),
            });
        }
        let mut inside = vec![false; graph.nodes().len()];
        let mut leaving = vec![];
        graph.outputs().iter().for_each(|o| inside[o.node.index()] = true);
        for id in graph.ids().rev() {
            if !inside[id.index()] {
                continue;
            }
            let node = graph.node(id);
            if invariant[id.index()] && costs(&node.op) {
                inside[id.index()] = false;
                leaving.push(id);
            } else {
                node.inputs.iter().for_each(|i| inside[i.index()] = true);
            }
        }
        if leaving.is_empty() {
            return None;
        }
        leaving.reverse();
        let kept: Vec<usize> = (first_constant..graph.inputs().len())
            .filter(|&i| inside[graph.inputs()[i].node.index()])
            .collect();

        let mut outside = Builder::with_leaves_of(graph);
        let mut new: Vec<NodeId> = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            new.push(match node.op {
                Op::Input(i) => outside.graph().inputs()[i].node,
                _ => {
                    let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new[i.index()]).collect();
                    let copy = outside.node(node.op.clone(), &inputs);
                    outside.locate(copy, node.at, node.layer);
                    copy
                }
            });
        }
        for (i, id) in leaving.iter().enumerate() {
            outside.output(&format!("h{i}"), new[id.index()]);
        }

        let mut body = Builder::new();
        let mut new: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
        for i in (0..first_constant).chain(kept.iter().copied()) {
            let input = &graph.inputs()[i];
            let made = body.declare_input(&input.name, input.ty.clone(), None, input.at);
            new[input.node.index()] = Some(made);
        }
        for (i, id) in leaving.iter().enumerate() {
            let mut name = format!("h{i}");
            while body.graph().inputs().iter().any(|i| i.name == name) {
                name.push('_');
            }
            let node = graph.node(*id);
            new[id.index()] = Some(body.declare_input(&name, node.ty.clone(), None, node.at));
        }
        for id in graph.ids() {
            if !inside[id.index()] || new[id.index()].is_some() {
                continue;
            }
            let node = graph.node(id);
            let inputs: Vec<NodeId> = node.inputs.iter().filter_map(|i| new[i.index()]).collect();
            let copy = body.node(node.op.clone(), &inputs);
            body.locate(copy, node.at, node.layer);
            new[id.index()] = Some(copy);
        }
        for output in graph.outputs() {
            if let Some(id) = new[output.node.index()] {
                body.output(&output.name, id);
            }
        }
        let (body, outside) = match (body.build(), outside.build()) {
            (Ok(body), Ok(outside)) => (body, outside),
            (Err(errors), _) | (_, Err(errors)) => panic!("internal error: {errors}"),
        };
        let body = crate::functions::function(scan.body.name(), body);
        Some(Split { body, kept, outside })
    }

    /// Result `result` of the scan on `inputs`.
    fn apply(&self, b: &mut Builder, scan: &Scan, result: usize, inputs: &[NodeId]) -> NodeId {
        let mut operands = inputs[..scan.carries + scan.xs].to_vec();
        operands.extend(self.kept.iter().map(|&i| inputs[i]));
        operands.extend(b.apply(&self.outside, inputs));
        let scan = Scan { body: self.body.clone(), ..scan.clone() };
        b.node(Op::Scan { scan, result }, &operands)
    }
}

/// Whether computing the op once instead of in every step is worth a value passed.
fn costs(op: &Op) -> bool {
    match op {
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::RandomKey { .. }
        | Op::Move(
            MoveOp::Reshape(_)
            | MoveOp::Transpose(_)
            | MoveOp::Broadcast { .. }
            | MoveOp::Slice { .. }
            | MoveOp::Pad { .. }
            | MoveOp::Window(_),
        ) => false,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => true,
    }
}
