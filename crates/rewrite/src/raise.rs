//! From the positional graph to the e-graph of named axes.

use crate::axes::{Axis, AxisSet, Naming, name_axes, reshape_groups, through};
use crate::build::{
    add, axes_leaf, constant, expand_to, facts, make, positional, rename, sum, type_leaf,
};
use crate::domains::Domains;
use crate::facts::{Context, Egraph, Facts, rebuild};
use crate::interval::dtype_bounds;
use crate::language::{Head, Opaque, Term};
use crate::rational::Rational;
use egg::Id;
use eggrad_ir::{DType, Graph, MarkOp, MoveOp, Node, NodeId, Op, StateDecl, StateKind};
use std::collections::HashMap;
use std::sync::Arc;

/// A graph as terms.
pub(crate) struct Raised {
    pub(crate) egraph: Egraph,
    pub(crate) naming: Naming,
    /// The class of every node.
    pub(crate) classes: Vec<Id>,
    /// How many terms the e-graph had been given when each node was there.
    pub(crate) terms: Vec<usize>,
    /// Terms of the graph as it was written, operands first, with the node for which each was made.
    pub(crate) written: Vec<(Term, Id, NodeId)>,
}

impl Raised {
    /// What is known of a node's value.
    pub(crate) fn facts(&self, node: NodeId) -> &Facts {
        facts(&self.egraph, self.classes[node.index()])
    }
}

/// Whether a state is the same in every run until it is loaded again.
fn is_frozen(state: &StateDecl) -> bool {
    state.kind == StateKind::Frozen && state.write.is_none()
}

/// What is done besides while a graph is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raising {
    /// Nothing.
    Plain,
    /// A log is kept.
    Logged,
    /// Constants that are known stay apart from the terms that make them.
    Unfolded,
}

/// Raises `graph`, which holds no `grad`, and whose inputs are finite unless `given` says otherwise.
pub(crate) fn raise(graph: &Graph, given: &[bool], domains: &Arc<Domains>) -> Raised {
    raise_as(graph, given, domains, Raising::Plain)
}

/// As [`raise`].
pub(crate) fn raise_as(
    graph: &Graph,
    given: &[bool],
    domains: &Arc<Domains>,
    raising: Raising,
) -> Raised {
    let naming = name_axes(graph);
    let context = Context {
        sizes: naming.sizes.clone(),
        given: given.to_vec(),
        frozen: graph.states().iter().map(is_frozen).collect(),
        domains: domains.clone(),
        log: Some(vec![]),
        proof: (raising == Raising::Logged).then(Box::default),
        unfolded: raising == Raising::Unfolded,
        ..Context::default()
    };
    let mut raiser = Raiser {
        graph,
        naming,
        egraph: Egraph::new(context),
        numbers: HashMap::new(),
        protected: protected(graph),
        classes: vec![],
    };
    let (mut written, mut terms) = (vec![], vec![]);
    for id in graph.ids() {
        let class = raiser.node(id);
        raiser.classes.push(class);
        terms.push(raiser.egraph.nodes().len());
        if let Some(log) = &mut raiser.egraph.analysis.log {
            written.extend(log.drain(..).map(|(term, class)| (term, class, id)));
        }
    }
    raiser.egraph.analysis.log = None;
    rebuild(&mut raiser.egraph);
    let Raiser { naming, egraph, classes, .. } = raiser;
    Raised { egraph, naming, classes, terms, written }
}

/// Nodes that rewriting must leave as written: what `keep` reads, and before it the elementwise ops that nothing
/// else reads.
fn protected(graph: &Graph) -> Vec<bool> {
    let mut free = vec![false; graph.nodes().len()];
    let mut kept = vec![false; graph.nodes().len()];
    let mut protected = vec![false; graph.nodes().len()];
    graph.roots().for_each(|r| free[r.index()] = true);
    for id in graph.ids().rev() {
        let node = graph.node(id);
        let elementwise = match &node.op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) => true,
            Op::Input(_)
            | Op::State(_)
            | Op::Const(..)
            | Op::Data(_)
            | Op::Iota { .. }
            | Op::Size { .. }
            | Op::Mark(_)
            | Op::Move(_)
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::Dot(_)
            | Op::OneHot { .. }
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::Fold { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. }
            | Op::Call { .. }
            | Op::Scan { .. }
            | Op::Cond { .. }
            | Op::Grad => false,
        };
        let i = id.index();
        let keep = node.op == Op::Mark(MarkOp::Keep);
        protected[i] = !node.op.is_leaf() && (kept[i] || protected[i] && elementwise && !free[i]);
        for input in &node.inputs {
            let input = input.index();
            kept[input] |= keep;
            protected[input] |= protected[i];
            free[input] |= !keep && !protected[i];
        }
    }
    protected
}

struct Raiser<'a> {
    graph: &'a Graph,
    naming: Naming,
    egraph: Egraph,
    numbers: HashMap<Opaque, u32>,
    protected: Vec<bool>,
    classes: Vec<Id>,
}

impl Raiser<'_> {
    /// Operand `k` of a node under the names by which the node reads it.
    fn operand(&mut self, id: NodeId, k: usize) -> Id {
        let input = self.graph.node(id).inputs[k];
        let names = self.naming.nodes[input.index()].iter();
        let reads = self.naming.reads[id.index()][k].iter();
        let map = names.zip(reads).filter(|(a, b)| a != b).map(|(&a, &b)| (a, b));
        let mut map: Vec<(Axis, Axis)> = map.collect();
        map.sort_unstable();
        rename(&mut self.egraph, self.classes[input.index()], map)
    }

    /// A positional op on its operands.
    fn opaque(&mut self, id: NodeId, operands: &[Id]) -> Id {
        let node = self.graph.node(id);
        let opaque = Opaque {
            op: node.op.clone(),
            args: self.naming.reads[id.index()].clone(),
            out: self.naming.nodes[id.index()].clone(),
            dtype: node.ty.dtype,
        };
        let number = match self.numbers.get(&opaque) {
            Some(&number) => number,
            None => {
                let number = self.egraph.analysis.opaque.len() as u32;
                self.numbers.insert(opaque.clone(), number);
                self.egraph.analysis.opaque.push(opaque);
                if let Some(range) = self.range(node) {
                    self.egraph.analysis.ranges.insert(number, range);
                }
                number
            }
        };
        match (operands, self.protected[id.index()]) {
            (&[x], false) => positional(&mut self.egraph, number, x),
            _ => add(&mut self.egraph, Head::Opaque(number), operands),
        }
    }

    /// What is promised of a leaf. Counters stay far from the ends of their type.
    fn range(&self, node: &Node) -> Option<(f64, f64)> {
        if let Op::Input(i) = node.op {
            return self.graph.inputs()[i].range;
        }
        let Op::State(i) = node.op else { return None };
        let counter = self.graph.states()[i].kind == StateKind::Counter;
        counter.then(|| (0.0, dtype_bounds(node.ty.dtype).1 / 2.0))
    }

    fn axes(&mut self, positions: &[usize], names: &[Axis]) -> (AxisSet, Id) {
        let set = AxisSet::new(positions.iter().map(|&a| names[a]));
        (set.clone(), axes_leaf(&mut self.egraph, set))
    }

    fn node(&mut self, id: NodeId) -> Id {
        let graph = self.graph;
        let node = graph.node(id);
        let mut operands: Vec<Id> = (0..node.inputs.len()).map(|k| self.operand(id, k)).collect();
        if self.protected[id.index()] {
            return self.opaque(id, &operands);
        }
        let out = self.naming.nodes[id.index()].clone();
        let reads = self.naming.reads[id.index()].clone();
        let head = match &node.op {
            Op::Move(MoveOp::Slice { .. } | MoveOp::Pad { .. }) if reads[0] == out => {
                return operands[0];
            }
            Op::Move(MoveOp::Window(w)) if (0..w.axes.len()).all(|i| through(w, i)) => {
                return expand_to(&mut self.egraph, operands[0], &AxisSet::new(out));
            }
            Op::Fold { windows, .. } if (0..windows.axes.len()).all(|i| through(windows, i)) => {
                let inside = AxisSet::new(reads[0][out.len()..].iter().copied());
                return sum(&mut self.egraph, operands[0], &inside);
            }
            Op::Input(_)
            | Op::State(_)
            | Op::Data(_)
            | Op::Move(MoveOp::Slice { .. } | MoveOp::Pad { .. } | MoveOp::Window(_))
            | Op::Fold { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. }
            | Op::Call { .. }
            | Op::Scan { .. }
            | Op::Cond { .. }
            | Op::Grad => {
                return self.opaque(id, &operands);
            }
            Op::Const(dtype, literal) => {
                let exact = match dtype.is_float() {
                    true => Rational::from_f64(literal.as_f64()),
                    false => None,
                };
                return match exact {
                    Some(value) => constant(&mut self.egraph, *dtype, value),
                    None => self.opaque(id, &operands),
                };
            }
            Op::Iota { dtype, axis, .. } => {
                let v = self.axes(&[*axis], &out).1;
                let dtype = type_leaf(&mut self.egraph, *dtype);
                let line = add(&mut self.egraph, Head::Iota, &[dtype, v]);
                return expand_to(&mut self.egraph, line, &AxisSet::new(out));
            }
            Op::Size { dtype, axes } => {
                let over = self.axes(axes, &reads[0]).1;
                operands = vec![type_leaf(&mut self.egraph, *dtype), over];
                Head::Size
            }
            Op::Move(MoveOp::Transpose(_)) => return operands[0],
            Op::Move(MoveOp::Broadcast { .. }) => {
                return expand_to(&mut self.egraph, operands[0], &AxisSet::new(out));
            }
            Op::Move(MoveOp::Reshape(shape)) => {
                let from = graph.ty(node.inputs[0]).shape.dims();
                let groups = reshape_groups(from, shape.dims());
                if groups.iter().any(|(left, right)| left.len() + right.len() > 2) {
                    return self.opaque(id, &operands);
                }
                let out = AxisSet::new(out);
                let gone = AxisSet::new(reads[0].iter().copied().filter(|&a| !out.has(a)));
                let squeezed = sum(&mut self.egraph, operands[0], &gone);
                return expand_to(&mut self.egraph, squeezed, &out);
            }
            Op::Unary(op) => Head::Unary(*op),
            Op::Binary(op) => Head::Binary(*op),
            Op::Compare(op) => Head::Compare(*op),
            Op::Select => Head::Select,
            Op::Cast(dtype) => {
                operands.insert(0, type_leaf(&mut self.egraph, *dtype));
                Head::Cast
            }
            Op::Mark(op) => Head::Mark(*op),
            Op::Reduce(op, axes) => {
                operands.insert(0, self.axes(axes, &reads[0]).1);
                Head::Reduce(*op)
            }
            Op::Softmax(op, axes) => {
                operands.insert(0, self.axes(axes, &reads[0]).1);
                Head::Softmax(*op)
            }
            Op::CrossEntropy(op, axes) => {
                operands.insert(0, self.axes(axes, &reads[0]).1);
                Head::CrossEntropy(*op)
            }
            Op::Dot(axes) => {
                let left: Vec<usize> = axes.contract.iter().map(|p| p.0).collect();
                operands.insert(0, self.axes(&left, &reads[0]).1);
                Head::Dot
            }
            Op::OneHot { dtype, .. } => {
                let v = self.axes(&[out.len() - 1], &out).1;
                let dtype: DType = *dtype;
                operands = vec![type_leaf(&mut self.egraph, dtype), v, operands[0]];
                Head::OneHot
            }
            Op::Gather { batch } => {
                operands.insert(0, self.axes(&[*batch], &reads[0]).1);
                Head::Gather
            }
            Op::ScatterAdd { batch, .. } => {
                let v = self.axes(&[*batch], &out).1;
                let summed: Vec<usize> = (*batch..reads[0].len()).collect();
                let over = self.axes(&summed, &reads[0]).1;
                operands.splice(0..0, [v, over]);
                Head::ScatterAdd
            }
        };
        match make(&mut self.egraph, head, &operands) {
            Some(class) => class,
            None => panic!("internal error: node {} does not fit the named language", id.0),
        }
    }
}
