//! Work that every step of a scan repeats is done once, outside.
//!
//! Two kinds leave: what depends on the scan's constants alone becomes a further constant, and a product of a position
//! read with such a value, as an input's with its weights, becomes one product over all positions, read position by
//! position.

use crate::functions::{declare, function};
use eggrad_ir::{
    Builder, DotAxes, Function, Graph, MoveOp, NodeId, Op, Scan, map_functions, rebuild,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

/// `graph` with what depends on nothing but a scan's constants computed outside of it and passed as further constants,
/// and products of these with positions read computed for all positions at once, also inside sub-graphs. Numbers,
/// moves and sizes stay: they cost nothing inside.
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
    /// Sequences and constants that the body still reads, by their number among the operands.
    kept: [Vec<usize>; 2],
    /// From the scan's constants, by number among the operands, to the constants of `products`, then the values that
    /// left.
    outside: Graph,
    products: Vec<Product>,
}

/// A product of the positions of a sequence with a constant.
struct Product {
    node: NodeId,
    axes: DotAxes,
    /// Number of the sequence among the operands.
    sequence: usize,
    /// Whether the sequence is the left operand.
    left: bool,
    constant: NodeId,
}

impl Product {
    fn of(graph: &Graph, id: NodeId, scan: &Scan, invariant: &[bool]) -> Option<Product> {
        let node = graph.node(id);
        let Op::Dot(axes) = &node.op else { return None };
        [true, false].into_iter().find_map(|left| {
            let (x, constant) = match left {
                true => (node.inputs[0], node.inputs[1]),
                false => (node.inputs[1], node.inputs[0]),
            };
            match graph.node(x).op {
                Op::Input(i)
                    if (scan.carries..scan.carries + scan.xs).contains(&i)
                        && invariant[constant.index()] =>
                {
                    Some(Product { node: id, axes: axes.clone(), sequence: i, left, constant })
                }
                _ => None,
            }
        })
    }

    /// The product for all positions, stacked along the first axis.
    fn over_positions(&self, b: &mut Builder, sequence: NodeId, constant: NodeId) -> NodeId {
        let behind = |p: &(usize, usize)| if self.left { (p.0 + 1, p.1) } else { (p.0, p.1 + 1) };
        let axes = DotAxes {
            batch: self.axes.batch.iter().map(behind).collect(),
            contract: self.axes.contract.iter().map(behind).collect(),
        };
        // The positions are the first free axis of their operand.
        let (operands, place) = match self.left {
            true => ([sequence, constant], axes.batch.len()),
            false => {
                let before = axes.free_left(b.ty(constant).rank()).len();
                ([constant, sequence], axes.batch.len() + before)
            }
        };
        let product = b.dot(operands[0], operands[1], axes);
        let rest = (0..b.ty(product).rank()).filter(|&a| a != place);
        b.transpose(product, [place].into_iter().chain(rest).collect())
    }
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
        let (mut leaving, mut products) = (vec![], vec![]);
        graph.outputs().iter().for_each(|o| inside[o.node.index()] = true);
        for id in graph.ids().rev() {
            if !inside[id.index()] {
                continue;
            }
            let node = graph.node(id);
            if invariant[id.index()] && costs(&node.op) {
                inside[id.index()] = false;
                leaving.push(id);
            } else if let Some(product) = Product::of(graph, id, scan, &invariant) {
                inside[id.index()] = false;
                products.push(product);
            } else {
                node.inputs.iter().for_each(|i| inside[i.index()] = true);
            }
        }
        if leaving.is_empty() && products.is_empty() {
            return None;
        }
        leaving.reverse();
        products.reverse();
        let read = |i: &usize| inside[graph.inputs()[*i].node.index()];
        let kept = [
            (scan.carries..first_constant).filter(read).collect(),
            (first_constant..graph.inputs().len()).filter(read).collect(),
        ];
        let outside = outside(graph, &products, &leaving);
        let body = inside_of(scan, &inside, &kept, &products, &leaving);
        Some(Split { body, kept, outside, products })
    }

    /// Result `result` of the scan on `inputs`.
    fn apply(&self, b: &mut Builder, scan: &Scan, result: usize, inputs: &[NodeId]) -> NodeId {
        let mut operands = inputs[..scan.carries].to_vec();
        operands.extend(self.kept[0].iter().map(|&i| inputs[i]));
        let outside = b.apply(&self.outside, inputs);
        let (constants, leaving) = outside.split_at(self.products.len());
        for (product, &constant) in self.products.iter().zip(constants) {
            operands.push(product.over_positions(b, inputs[product.sequence], constant));
        }
        let xs = operands.len() - scan.carries;
        operands.extend(self.kept[1].iter().map(|&i| inputs[i]));
        operands.extend(leaving);
        let scan = Scan { body: self.body.clone(), xs, ..scan.clone() };
        b.node(Op::Scan { scan, result }, &operands)
    }
}

/// From the inputs of a body to the constants of `products` and to `leaving`.
fn outside(graph: &Graph, products: &[Product], leaving: &[NodeId]) -> Graph {
    let mut b = Builder::from_graph(graph.clone());
    b.clear_outputs();
    let values = products.iter().map(|p| p.constant).chain(leaving.iter().copied());
    values.enumerate().for_each(|(i, id)| b.output(&format!("h{i}"), id));
    match b.build() {
        Ok(graph) => graph,
        Err(errors) => panic!("internal error: {errors}"),
    }
}

/// The body without what leaves.
fn inside_of(
    scan: &Scan,
    inside: &[bool],
    kept: &[Vec<usize>; 2],
    products: &[Product],
    leaving: &[NodeId],
) -> Arc<Function> {
    let graph = scan.body.graph();
    let mut b = Builder::new();
    let mut new: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
    let carried: Vec<usize> = (0..scan.carries).collect();
    let names = |i: usize| (graph.inputs()[i].node, graph.inputs()[i].name.clone());
    let outer = |id: NodeId| (id, format!("h{}", id.0));
    let inputs = carried
        .iter()
        .chain(&kept[0])
        .map(|&i| names(i))
        .chain(products.iter().map(|p| outer(p.node)))
        .chain(kept[1].iter().map(|&i| names(i)))
        .chain(leaving.iter().map(|&id| outer(id)));
    for (id, name) in inputs {
        let made = declare(&mut b, &name, graph.ty(id).clone());
        b.locate(made, graph.node(id).at, graph.node(id).layer);
        new[id.index()] = Some(made);
    }
    for id in graph.ids() {
        if !inside[id.index()] || new[id.index()].is_some() {
            continue;
        }
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().filter_map(|i| new[i.index()]).collect();
        let copy = b.node(node.op.clone(), &inputs);
        b.locate(copy, node.at, node.layer);
        new[id.index()] = Some(copy);
    }
    for output in graph.outputs() {
        if let Some(id) = new[output.node.index()] {
            b.output(&output.name, id);
        }
    }
    match b.build() {
        Ok(graph) => function(scan.body.name(), graph),
        Err(errors) => panic!("internal error: {errors}"),
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
