//! Replaces `grad` nodes by graphs that compute them.
//!
//! Note [Cuts]. A derivative may be asked with respect to a value `h` that the graph computes. The forward graph that
//! is handed out to be prepared reads a fresh input in place of `h` and computes `h` as a further output, so that
//! nothing can be simplified across `h`, and so that two values that turn out equal stay two variables. The sweep
//! follows a link from the fresh input to the output; only when all derivatives are there is one put for the other.
//!
//! Note [Levels]. Cuts are numbered in the order of the nodes they stand for, so the value of cut `i` reads only cuts
//! below `i`. The level of a node is one more than the largest cut it reads; nodes sorted by level, then number, come
//! after everything they read, also through links. A prepared value that reads cuts it did not read before could
//! close a circle; the value as it was is used instead.

use crate::error::AutodiffError;
use crate::missing::{ancestors, missing};
use crate::reverse::sweep;
use eggrad_ir::{At, Builder, Graph, NodeId, Op};
use std::collections::BTreeMap;

/// Replaces every `grad` of `graph`, innermost first. Before each expansion, `prepare` is given the graph that computes
/// the values to be differentiated and returns one of the same meaning; its values take the place of the ones it was
/// given. A derivative that is zero by construction becomes zeros. Outputs, writes, guard, inputs and states keep
/// their order, names and types.
///
/// # Errors
/// [`AutodiffError::Missing`] when a trained parameter gets no gradient; what `prepare` returns; when `prepare`
/// changed inputs, states, or the names or types of outputs.
pub fn resolve<E: From<AutodiffError>>(
    mut graph: Graph,
    prepare: &mut dyn FnMut(Graph) -> Result<Graph, E>,
) -> Result<Graph, E> {
    let missing = missing(&graph);
    if !missing.is_empty() {
        return Err(AutodiffError::Missing(missing).into());
    }
    while graph.has_grad() {
        let round = Round::of(&graph);
        let given = round.forward(&graph);
        let expected = given.clone();
        let prepared = prepare(given)?;
        check(&expected, &prepared)?;
        graph = round.expand(&graph, &expected, prepared);
    }
    Ok(graph)
}

/// One level of `grad` nodes: those whose first operand holds none.
struct Round {
    /// By the value differentiated: `grad` nodes and what they differentiate with respect to.
    grads: BTreeMap<NodeId, Vec<(NodeId, NodeId)>>,
    /// Values with respect to which something is differentiated that depends on them, but for inputs and states.
    cuts: Vec<NodeId>,
    /// What the values differentiated read, themselves included.
    read: Vec<bool>,
}

impl Round {
    fn of(graph: &Graph) -> Round {
        let mut holds_grad = vec![false; graph.nodes().len()];
        let mut grads: BTreeMap<NodeId, Vec<(NodeId, NodeId)>> = BTreeMap::new();
        for id in graph.ids() {
            let node = graph.node(id);
            let inside = node.inputs.iter().any(|i| holds_grad[i.index()]);
            holds_grad[id.index()] = inside || node.op == Op::Grad;
            if node.op == Op::Grad && !holds_grad[node.inputs[0].index()] {
                grads.entry(node.inputs[0]).or_default().push((id, node.inputs[1]));
            }
        }
        let mut read = vec![false; graph.nodes().len()];
        grads.keys().for_each(|y| read[y.index()] = true);
        for id in graph.ids().rev() {
            if read[id.index()] {
                graph.node(id).inputs.iter().for_each(|i| read[i.index()] = true);
            }
        }
        let interior = |w: &NodeId| !matches!(graph.node(*w).op, Op::Input(_) | Op::State(_));
        let wrt = grads.values().flatten().map(|(_, w)| *w);
        let mut cuts: Vec<NodeId> = wrt.filter(|w| interior(w) && read[w.index()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        Round { grads, cuts, read }
    }

    /// The graph that computes the values to be differentiated: the inputs of `graph` and one more per cut, its
    /// states, outputs `y0`, `y1`, ... for the values and `w0`, `w1`, ... for the cuts.
    fn forward(&self, graph: &Graph) -> Graph {
        let mut builder = Builder::with_leaves_of(graph);
        let fresh: Vec<NodeId> = (0..self.cuts.len())
            .map(|i| {
                let mut name = format!("w{i}");
                let taken = |name: &str| {
                    graph.inputs().iter().any(|i| i.name == name)
                        || graph.states().iter().any(|s| s.name == name)
                };
                while taken(&name) {
                    name.push('_');
                }
                let node = graph.node(self.cuts[i]);
                builder.declare_input(&name, node.ty.clone(), None, node.at)
            })
            .collect();
        let mut new: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
        let mut values = vec![];
        for id in graph.ids().filter(|id| self.read[id.index()]) {
            let copy = copy_node(&mut builder, graph, id, &new);
            new[id.index()] = Some(match self.cuts.binary_search(&id) {
                Ok(cut) => {
                    values.push(copy);
                    fresh[cut]
                }
                Err(_) => copy,
            });
        }
        for (i, y) in self.grads.keys().enumerate() {
            builder.output(&format!("y{i}"), known(&new, *y));
        }
        for (i, value) in values.into_iter().enumerate() {
            builder.output(&format!("w{i}"), value);
        }
        finish(builder)
    }

    /// `graph` with this round's `grad` nodes replaced by derivatives of `prepared`, and the values differentiated by
    /// those of `prepared`. `given` is what was to be prepared.
    fn expand(&self, graph: &Graph, given: &Graph, prepared: Graph) -> Graph {
        let outputs: Vec<NodeId> = prepared.outputs().iter().map(|o| o.node).collect();
        let (ys, values) = outputs.split_at(self.grads.len());
        let mut values = values.to_vec();
        let mut scratch = Builder::from_graph(prepared);
        let first_cut = graph.inputs().len();
        self.open_circles(given, &mut scratch, first_cut, &mut values);
        let fresh: Vec<NodeId> =
            scratch.graph().inputs()[first_cut..].iter().map(|i| i.node).collect();
        let link_of: BTreeMap<NodeId, NodeId> =
            fresh.iter().copied().zip(values.iter().copied()).collect();

        let order = in_order(scratch.graph(), first_cut);
        let mut derivatives = vec![];
        for (&y, grads) in ys.iter().zip(self.grads.values()) {
            let wrt: Vec<Option<NodeId>> = grads
                .iter()
                .map(|&(_, w)| match graph.node(w).op {
                    Op::Input(i) => Some(scratch.graph().inputs()[i].node),
                    Op::State(i) => Some(scratch.graph().states()[i].read),
                    _ => self.cuts.binary_search(&w).ok().map(|cut| fresh[cut]),
                })
                .collect();
            let present: Vec<NodeId> = wrt.iter().flatten().copied().collect();
            let one = scratch.full_like(y, 1.0);
            let link = |id: NodeId| link_of.get(&id).copied();
            let mut found = sweep(&mut scratch, &order, &link, y, one, &present).into_iter();
            for (&(grad, _), w) in grads.iter().zip(&wrt) {
                let derivative = w.and_then(|_| found.next().flatten());
                derivatives.push((grad, derivative));
            }
        }

        // Everything into one graph, each cut replaced by its value.
        let mut builder = Builder::with_leaves_of(graph);
        let scratch = scratch.graph();
        let mut from_scratch: Vec<Option<NodeId>> = vec![None; scratch.nodes().len()];
        for id in in_order(scratch, first_cut) {
            from_scratch[id.index()] = Some(match link_of.get(&id) {
                Some(value) => known(&from_scratch, *value),
                None => copy_node(&mut builder, scratch, id, &from_scratch),
            });
        }
        let mut new: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
        for (old, y) in self.grads.keys().zip(ys) {
            new[old.index()] = Some(known(&from_scratch, *y));
        }
        for (old, value) in self.cuts.iter().zip(&values) {
            new[old.index()] = Some(known(&from_scratch, *value));
        }
        for (grad, derivative) in derivatives {
            new[grad.index()] = Some(match derivative {
                Some(derivative) => known(&from_scratch, derivative),
                None => {
                    let ty = graph.ty(grad);
                    let zero = builder.scalar(ty.dtype, 0.0);
                    builder.spread(zero, ty.shape.clone(), vec![])
                }
            });
        }
        for id in graph.ids() {
            if new[id.index()].is_none() {
                new[id.index()] = Some(copy_node(&mut builder, graph, id, &new));
            }
        }
        for output in graph.outputs() {
            builder.output(&output.name, known(&new, output.node));
        }
        for state in graph.states() {
            if let Some(write) = state.write {
                builder.write(known(&new, state.read), known(&new, write));
            }
        }
        builder.set_guard(graph.guard().map(|g| known(&new, g)));
        finish(builder)
    }

    /// Gives back its value as it was to every cut whose prepared value could close a circle; Note [Levels].
    fn open_circles(
        &self,
        given: &Graph,
        scratch: &mut Builder,
        first_cut: usize,
        values: &mut [NodeId],
    ) {
        let levels = levels(scratch.graph(), first_cut);
        for (cut, value) in values.iter_mut().enumerate() {
            if levels[value.index()] <= cut {
                continue;
            }
            let original = given.outputs()[self.grads.len() + cut].node;
            let read = ancestors(given, original, &|_, _| true);
            let mut new: Vec<Option<NodeId>> = vec![None; given.nodes().len()];
            for id in given.ids().filter(|id| read[id.index()]) {
                new[id.index()] = Some(copy_node(scratch, given, id, &new));
            }
            *value = known(&new, original);
        }
    }
}

/// For each node, one more than the largest cut it reads; 0 for none. Cuts are the inputs from `first_cut` on.
fn levels(graph: &Graph, first_cut: usize) -> Vec<usize> {
    let mut levels: Vec<usize> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        levels.push(match node.op {
            Op::Input(i) => (i + 1).saturating_sub(first_cut),
            _ => node.inputs.iter().map(|i| levels[i.index()]).max().unwrap_or(0),
        });
    }
    levels
}

/// All nodes, each after everything it reads, also through cuts; Note [Levels].
fn in_order(graph: &Graph, first_cut: usize) -> Vec<NodeId> {
    let levels = levels(graph, first_cut);
    let mut order: Vec<NodeId> = graph.ids().collect();
    order.sort_by_key(|id| levels[id.index()]);
    order
}

/// Node `id` of `graph` in `builder`, on operands that are there already.
fn copy_node(builder: &mut Builder, graph: &Graph, id: NodeId, new: &[Option<NodeId>]) -> NodeId {
    let node = graph.node(id);
    match node.op {
        Op::Input(i) => builder.graph().inputs()[i].node,
        Op::State(i) => builder.graph().states()[i].read,
        _ => {
            let inputs: Vec<NodeId> = node.inputs.iter().map(|i| known(new, *i)).collect();
            let copy = builder.node(node.op.clone(), &inputs);
            if node.at != At::Unknown {
                builder.locate(copy, node.at);
            }
            copy
        }
    }
}

fn known(new: &[Option<NodeId>], id: NodeId) -> NodeId {
    match new[id.index()] {
        Some(id) => id,
        None => panic!("internal error: node {} is read before it is there", id.0),
    }
}

fn finish(builder: Builder) -> Graph {
    match builder.build() {
        Ok(graph) => graph,
        Err(errors) => panic!("internal error: {errors}"),
    }
}

/// Whether `prepared` has the leaves and outputs of `given`.
fn check(given: &Graph, prepared: &Graph) -> Result<(), AutodiffError> {
    let inputs = |g: &Graph| g.inputs().iter().map(|i| (i.name.clone(), i.ty.clone())).collect();
    let states = |g: &Graph| g.states().iter().map(|s| (s.name.clone(), s.ty.clone())).collect();
    let same = |a: Vec<_>, b: Vec<_>| a == b;
    if !same(inputs(given), inputs(prepared)) {
        return Err(AutodiffError::Leaves { what: "inputs" });
    }
    if !same(states(given), states(prepared)) {
        return Err(AutodiffError::Leaves { what: "states" });
    }
    if given.outputs().len() != prepared.outputs().len() {
        return Err(AutodiffError::Leaves { what: "outputs" });
    }
    for (g, p) in given.outputs().iter().zip(prepared.outputs()) {
        let (expected_type, found_type) = (given.ty(g.node), prepared.ty(p.node));
        if g.name != p.name || expected_type != found_type {
            return Err(AutodiffError::Output {
                expected: g.name.clone(),
                expected_type: expected_type.clone(),
                found: p.name.clone(),
                found_type: found_type.clone(),
            });
        }
    }
    Ok(())
}
