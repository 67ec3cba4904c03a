//! What passes do with sub-graphs: replace them, and write them into their callers.

use crate::error::TypeError;
use crate::function::Function;
use crate::graph::{Builder, Graph, NodeId};
use crate::op::Op;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Copies `graph` into an empty builder with its leaves; `node` appends each node that is no input or state, on
/// operands that are there already. Outputs, writes and guard follow.
///
/// # Panics
/// When `node` broke the graph: a bug of ours.
pub fn rebuild(
    graph: &Graph,
    node: &mut dyn FnMut(&mut Builder, NodeId, &[NodeId]) -> NodeId,
) -> Graph {
    let mut builder = Builder::with_leaves_of(graph);
    let mut new: Vec<NodeId> = Vec::with_capacity(graph.nodes().len());
    for id in graph.ids() {
        let old = graph.node(id);
        let copy = match old.op {
            Op::Input(i) => builder.graph().inputs()[i].node,
            Op::State(i) => builder.graph().states()[i].read,
            _ => {
                let inputs: Vec<NodeId> = old.inputs.iter().map(|i| new[i.index()]).collect();
                let copy = node(&mut builder, id, &inputs);
                builder.locate(copy, old.at, old.layer);
                copy
            }
        };
        new.push(copy);
    }
    for output in graph.outputs() {
        builder.output(&output.name, new[output.node.index()]);
    }
    for state in graph.states() {
        if let Some(write) = state.write {
            builder.write(new[state.read.index()], new[write.index()]);
        }
    }
    builder.set_guard(graph.guard().map(|g| new[g.index()]));
    match builder.build() {
        Ok(graph) => graph,
        Err(errors) => panic!("internal error: {errors}"),
    }
}

/// `graph` with the graph of every function it applies, at any depth, replaced by what `f` makes of it, innermost
/// first. Functions' own derivatives stay as they are.
///
/// # Errors
/// What `f` returns.
///
/// # Panics
/// When `f` changed inputs, or names or types of outputs: a bug of ours.
pub fn map_functions<E>(
    graph: &Graph,
    f: &mut dyn FnMut(&Function, Graph) -> Result<Graph, E>,
) -> Result<Graph, E> {
    let mut known: HashMap<Arc<Function>, Arc<Function>> = HashMap::new();
    map_known(graph, f, &mut known)
}

fn map_known<E>(
    graph: &Graph,
    f: &mut dyn FnMut(&Function, Graph) -> Result<Graph, E>,
    known: &mut HashMap<Arc<Function>, Arc<Function>>,
) -> Result<Graph, E> {
    if graph.nodes().iter().all(|n| n.op.functions().is_empty()) {
        return Ok(graph.clone());
    }
    for function in graph.nodes().iter().flat_map(|n| n.op.functions()) {
        if known.contains_key(function) {
            continue;
        }
        let inner = map_known(function.graph(), f, known)?;
        let mapped = f(function, inner)?;
        let made = Function::new(function.name(), mapped).and_then(|new| match function.vjp() {
            Some(vjp) => new.with_vjp(vjp.clone()),
            None => Ok(new),
        });
        match made {
            Ok(new) => known.insert(function.clone(), Arc::new(new)),
            Err(error) => panic!("internal error: {error}"),
        };
    }
    let map = |function: &Arc<Function>| known[function].clone();
    Ok(rebuild(graph, &mut |builder, id, inputs| {
        let op = match graph.node(id).op.clone() {
            Op::Call { function, result } => Op::Call { function: map(&function), result },
            Op::Scan { mut scan, result } => {
                scan.body = map(&scan.body);
                Op::Scan { scan, result }
            }
            Op::Cond { then, otherwise, result } => {
                Op::Cond { then: map(&then), otherwise: map(&otherwise), result }
            }
            op => op,
        };
        builder.node(op, inputs)
    }))
}

/// Nodes that [`inline`] writes in place of calls at most; a function that calls another eight times, which does the
/// same in turn, and so on, stands for a number of nodes that is exponential in the length of its text.
pub const MAX_INLINED: usize = 1 << 18;

/// `graph` with every `call` for whose function `which` holds replaced by the function's nodes, also inside functions.
///
/// # Errors
/// When that takes more than [`MAX_INLINED`] nodes; the error names the call that is too many.
pub fn inline(graph: &Graph, which: &dyn Fn(&Function) -> bool) -> Result<Graph, TypeError> {
    Sizes { which, known: HashMap::new() }.added(graph)?;
    let inner =
        map_functions(graph, &mut |_, inner| Ok::<_, TypeError>(inline_here(&inner, which)))?;
    Ok(inline_here(&inner, which))
}

/// What inlining writes.
struct Sizes<'a> {
    which: &'a dyn Fn(&Function) -> bool,
    /// Nodes of each function's graph after inlining.
    known: HashMap<Arc<Function>, usize>,
}

impl Sizes<'_> {
    /// Nodes that take the place of the calls of `graph`.
    fn added(&mut self, graph: &Graph) -> Result<usize, TypeError> {
        let mut added = 0usize;
        let mut applied: HashSet<(&Function, &[NodeId])> = HashSet::new();
        for node in graph.nodes() {
            for function in node.op.functions() {
                let size = match self.known.get(function) {
                    Some(size) => *size,
                    None => {
                        let inner = function.graph();
                        let size = inner.nodes().len().saturating_add(self.added(inner)?);
                        self.known.insert(function.clone(), size);
                        size
                    }
                };
                let calls = matches!(node.op, Op::Call { .. }) && (self.which)(function);
                if !calls || !applied.insert((function, &node.inputs)) {
                    continue;
                }
                added = added.saturating_add(size);
                if added > MAX_INLINED {
                    return Err(TypeError::new(
                        "call",
                        node.at,
                        format!(
                            "of `{}` stands for {size} nodes, and calls together for more than {MAX_INLINED}",
                            function.name()
                        ),
                        "call functions fewer times, or repeat them by a `scan`, which holds its body once",
                    ));
                }
            }
        }
        Ok(added)
    }
}

fn inline_here(graph: &Graph, which: &dyn Fn(&Function) -> bool) -> Graph {
    let calls = |node: &Op| matches!(node, Op::Call { function, .. } if which(function));
    if !graph.nodes().iter().any(|n| calls(&n.op)) {
        return graph.clone();
    }
    let mut applied: HashMap<(Arc<Function>, Vec<NodeId>), Vec<NodeId>> = HashMap::new();
    rebuild(graph, &mut |builder, id, inputs| match &graph.node(id).op {
        Op::Call { function, result } if which(function) => {
            let key = (function.clone(), inputs.to_vec());
            applied.entry(key).or_insert_with(|| builder.apply(function.graph(), inputs))[*result]
        }
        op => builder.node(op.clone(), inputs),
    })
}

impl Builder {
    /// Appends the nodes of `graph`, which has no states, on `inputs` in place of its inputs; its outputs.
    ///
    /// # Panics
    /// When `inputs` have other types than the graph's: a bug of ours.
    pub fn apply(&mut self, graph: &Graph, inputs: &[NodeId]) -> Vec<NodeId> {
        let mut new: Vec<NodeId> = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            new.push(match node.op {
                Op::Input(i) => inputs[i],
                _ => {
                    let operands: Vec<NodeId> =
                        node.inputs.iter().map(|i| new[i.index()]).collect();
                    let copy = self.node(node.op.clone(), &operands);
                    self.locate(copy, node.at, node.layer);
                    copy
                }
            });
        }
        graph.outputs().iter().map(|o| new[o.node.index()]).collect()
    }
}
