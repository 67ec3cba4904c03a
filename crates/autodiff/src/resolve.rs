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
//!
//! Sub-graphs are resolved before what applies them.

use crate::error::AutodiffError;
use crate::functions::Functions;
use crate::limits;
use crate::merge::merge_scans;
use crate::missing::{ancestors, missing};
use crate::reverse::sweep;
use eggrad_ir::{At, Builder, Function, Graph, NodeId, Op, Scan, rebuild};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Replaces every `grad` of `graph`, innermost first. Before each expansion, `prepare` is given the graph that computes
/// the values to be differentiated and returns one of the same meaning; its values take the place of the ones it was
/// given. A derivative that is zero by construction becomes zeros. Outputs, writes, guard, inputs and states keep
/// their order, names and types.
///
/// # Errors
/// [`AutodiffError::Missing`] when a trained parameter gets no gradient; [`AutodiffError::Stack`] and
/// [`AutodiffError::Depth`] when a derivative cannot be built; what `prepare` returns; when `prepare` changed inputs,
/// states, or the names or types of outputs.
pub fn resolve<E: From<AutodiffError>>(
    graph: Graph,
    prepare: &mut dyn FnMut(Graph) -> Result<Graph, E>,
) -> Result<Graph, E> {
    Resolver { prepare, functions: Functions::default(), resolved: HashMap::new() }.graph(graph)
}

/// What one call of [`resolve`] works with.
struct Resolver<'a, E> {
    prepare: &'a mut dyn FnMut(Graph) -> Result<Graph, E>,
    functions: Functions,
    /// Sub-graphs met, without their `grad` nodes.
    resolved: HashMap<Arc<Function>, Arc<Function>>,
}

impl<E: From<AutodiffError>> Resolver<'_, E> {
    fn graph(&mut self, mut graph: Graph) -> Result<Graph, E> {
        let mut changed = false;
        for function in graph.nodes().iter().flat_map(|n| n.op.functions()) {
            changed |= self.function(function)? != *function;
        }
        if changed {
            graph = self.with_resolved(&graph);
        }
        let missing = missing(&graph);
        if !missing.is_empty() {
            return Err(AutodiffError::Missing(missing).into());
        }
        while graph.nodes().iter().any(|n| n.op == Op::Grad) {
            let round = Round::of(&graph);
            let pairs = || round.grads.values().flatten();
            let (ys, wrt): (Vec<NodeId>, Vec<NodeId>) =
                (round.grads.keys().copied().collect(), pairs().map(|p| p.1).collect());
            let asked = pairs().next().map_or(At::Unknown, |p| graph.node(p.0).at);
            limits::check(&graph, &mut self.functions.flow, &ys, &wrt, asked)?;
            let given = round.forward(&graph);
            let expected = given.clone();
            let prepared = (self.prepare)(given)?;
            check(&expected, &prepared)?;
            let expanded = round.expand(&graph, &expected, prepared, &mut self.functions);
            graph = merge_scans(expanded);
        }
        Ok(graph)
    }

    /// `function` and its own derivative without `grad` nodes.
    fn function(&mut self, function: &Arc<Function>) -> Result<Arc<Function>, E> {
        if let Some(known) = self.resolved.get(function) {
            return Ok(known.clone());
        }
        let graph = self.graph(function.graph().clone())?;
        let vjp = function.vjp().map(|vjp| self.function(vjp)).transpose()?;
        let made = Function::new(function.name(), graph).and_then(|new| match vjp {
            Some(vjp) => new.with_vjp(vjp),
            None => Ok(new),
        });
        let made = match made {
            Ok(made) if made == **function => function.clone(),
            Ok(made) => Arc::new(made),
            Err(error) => panic!("internal error: {error}"),
        };
        self.resolved.insert(function.clone(), made.clone());
        Ok(made)
    }

    /// `graph` with its sub-graphs replaced by what they were resolved to.
    fn with_resolved(&self, graph: &Graph) -> Graph {
        let of = |function: &Arc<Function>| self.resolved[function].clone();
        rebuild(graph, &mut |builder, id, inputs| {
            let op = match graph.node(id).op.clone() {
                Op::Call { function, result } => Op::Call { function: of(&function), result },
                Op::Scan { scan, result } => {
                    Op::Scan { scan: Scan { body: of(&scan.body), ..scan }, result }
                }
                Op::Cond { then, otherwise, result } => {
                    Op::Cond { then: of(&then), otherwise: of(&otherwise), result }
                }
                op => op,
            };
            builder.node(op, inputs)
        })
    }
}

/// One level of `grad` nodes: those whose first operand holds none.
struct Round {
    /// By the value differentiated: `grad` nodes and what they differentiate with respect to.
    grads: BTreeMap<NodeId, Vec<(NodeId, NodeId)>>,
    /// Values with respect to which something is differentiated that depends on them, but for inputs and states.
    cuts: Vec<NodeId>,
    /// What the values differentiated read, themselves included.
    read: Vec<bool>,
    /// Results of sub-graphs that belong to applications read, but are used elsewhere: they take part, so that what
    /// is prepared is applied once.
    kept: Vec<NodeId>,
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
        let kept = kept(graph, &grads, &mut read);
        Round { grads, cuts, read, kept }
    }

    /// The graph that computes the values to be differentiated: the inputs of `graph` and one more per cut, its
    /// states, outputs `y0`, `y1`, ... for the values, `w0`, `w1`, ... for the cuts and `s0`, `s1`, ... for results of
    /// sub-graphs that are used elsewhere.
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
        for (i, result) in self.kept.iter().enumerate() {
            builder.output(&format!("s{i}"), known(&new, *result));
        }
        finish(builder)
    }

    /// `graph` with this round's `grad` nodes replaced by derivatives of `prepared`, and the values differentiated by
    /// those of `prepared`. `given` is what was to be prepared.
    fn expand(
        &self,
        graph: &Graph,
        given: &Graph,
        prepared: Graph,
        functions: &mut Functions,
    ) -> Graph {
        let outputs: Vec<NodeId> = prepared.outputs().iter().map(|o| o.node).collect();
        let (ys, rest) = outputs.split_at(self.grads.len());
        let (values, kept) = rest.split_at(self.cuts.len());
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
            let mut found = {
                let seeds = [(y, one)];
                sweep(&mut scratch, functions, &order, &link, &seeds, &present).into_iter()
            };
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
        for (old, result) in self.kept.iter().zip(kept) {
            new[old.index()] = Some(known(&from_scratch, *result));
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
            let read = ancestors(given, original, &mut |_, _| true);
            let mut new: Vec<Option<NodeId>> = vec![None; given.nodes().len()];
            for id in given.ids().filter(|id| read[id.index()]) {
                new[id.index()] = Some(copy_node(scratch, given, id, &new));
            }
            *value = known(&new, original);
        }
    }
}

/// Results that are used outside of `read`, of applications with a result in `read`; they join it.
fn kept(
    graph: &Graph,
    grads: &BTreeMap<NodeId, Vec<(NodeId, NodeId)>>,
    read: &mut [bool],
) -> Vec<NodeId> {
    let key = |id: NodeId| {
        let node = graph.node(id);
        node.op.result().map(|_| (node.op.with_result(0), node.inputs.as_slice()))
    };
    let applied: HashSet<(Op, &[NodeId])> =
        graph.ids().filter(|id| read[id.index()]).filter_map(key).collect();
    if applied.is_empty() {
        return vec![];
    }
    let mut used = vec![false; graph.nodes().len()];
    graph.roots().for_each(|root| used[root.index()] = true);
    for id in graph.ids().filter(|id| !read[id.index()]) {
        graph.node(id).inputs.iter().for_each(|i| used[i.index()] = true);
    }
    let joins = |id: &NodeId| {
        used[id.index()]
            && !grads.contains_key(id)
            && key(*id).is_some_and(|k| applied.contains(&k))
    };
    let kept: Vec<NodeId> = graph.ids().filter(joins).collect();
    kept.iter().for_each(|id| read[id.index()] = true);
    kept
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
            builder.locate(copy, node.at, node.layer);
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
