//! Which nodes share a kernel.
//!
//! Nodes are visited in order. A *lazy* node (a constant, move, cast, comparison, ...) belongs to no group: whoever
//! reads it computes it again. Every other node is *solid*: it is computed in exactly one group and stored when another
//! group reads it. A node joins the group of an operand, or of another reader of its operands, when its loops fit and
//! no cycle arises; groups of maps are then absorbed by the groups that read them. What is computed once for many runs
//! shares no group with the rest, see `setup`.
//!
//! Where a lazy node's positions are no linear form of the loops, the node is *demanded*: the pass starts again with
//! it solid. Demands only grow, so this ends.
//!
//! Last, solid nodes whose readers had better compute them themselves become lazy, see `again`.

mod absorb;
mod again;
mod join;
mod pull;
mod setup;
mod start;
mod topo;

pub(crate) use pull::{operand_maps, reads_memory};

use crate::legal::Legal;
use crate::maps::{Map, split};
use eggrad_ir::{BinaryOp, Graph, MoveOp, NodeId, Op, UnaryOp};
use setup::Setup;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Weight of a group beyond which it takes no more nodes; bounds the length of a body.
const MAX_WEIGHT: usize = 400;

/// Folds of a row kernel that may wait for each other; bounds how often a row is walked.
const MAX_LEVELS: usize = 6;

/// Nodes that may be computed again for each reader of a lazy one, itself included.
const MAX_LAZY: usize = 24;

/// What kind of kernel a group becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every member has one element per position of the loops.
    Map,
    /// Reductions over the innermost loop; members have an element per position, or per row.
    Row,
    /// Reductions over other loops than the innermost.
    Column,
    /// A contraction and what follows it at the same positions.
    Product,
    /// A scatter, fold or pad: members have an element per update.
    Scatter,
    /// Results of one application of a sub-graph; there are no loops.
    Apply,
}

/// What a loop is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Any position, each with its own results.
    Keep,
    /// As `Keep`, and must stay one loop: rows and columns of a product.
    Fixed,
    /// The one reduced loop of a row kernel; always the last.
    Row,
    /// A reduced loop of a column kernel, or along the positions of folded windows.
    Reduced,
}

/// Operands of a contraction; maps are over the group's loops, steps along the loops of `k` apart.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) k: Vec<usize>,
    pub(crate) a: Operand,
    pub(crate) b: Operand,
}

/// Where a contraction reads one operand.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) id: NodeId,
    pub(crate) map: Map,
    /// Elements between neighbours along each loop of `k`.
    pub(crate) steps: Vec<usize>,
    /// First element.
    pub(crate) offset: usize,
}

/// Nodes that share loops.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) sizes: Vec<usize>,
    pub(crate) roles: Vec<Role>,
    /// In order; empty when the group was absorbed.
    pub(crate) members: Vec<NodeId>,
    /// Values from outside: leaves and members of other groups, with every map they are read at.
    pub(crate) reads: BTreeMap<NodeId, Vec<Map>>,
    pub(crate) product: Option<Product>,
    weight: usize,
    /// Whether some member is needed to know the guard, or is written to a state after it.
    guards: bool,
    writes: bool,
    /// Whether it is computed once for many runs.
    pub(crate) setup: bool,
    /// Holds code that cannot be vectorised, which nothing should join.
    scalar: bool,
}

/// The result: nodes, their groups and their maps.
pub(crate) struct Groups<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) legal: &'g Legal,
    /// Whether a node is computed in one place only.
    pub(crate) solid: Vec<bool>,
    pub(crate) home: Vec<Option<usize>>,
    /// Where a member's element lies: a map over the loops of its home.
    pub(crate) at: Vec<Map>,
    /// Where a reduction reads: a map of its operand.
    pub(crate) arg: Vec<Map>,
    /// Folds that must be finished before the node is known, in a row group.
    pub(crate) level: Vec<usize>,
    pub(crate) groups: Vec<Group>,
    topo: topo::Topo,
    users: Vec<Vec<NodeId>>,
    /// Groups that read a node from outside, perhaps absorbed since.
    readers: Vec<Vec<usize>>,
    /// Where an absorbed group went.
    absorbed: Vec<Option<usize>>,
    guards: Vec<bool>,
    written: Vec<bool>,
    root: Vec<bool>,
    /// Whether a node is computed once for many runs.
    pub(crate) setup: Vec<bool>,
    demanded: BTreeSet<NodeId>,
    /// The latest group of single numbers.
    single: Option<usize>,
    /// The group of each application, by its op for result 0 and its operands.
    applied: HashMap<(Op, Vec<NodeId>), usize>,
}

/// Groups the live nodes of `legal`; without `fuse` each solid node has a group of its own.
///
/// Inputs from number `fixed` on are the same in many runs.
pub(crate) fn group(legal: &Legal, fuse: bool, fixed: usize) -> Groups<'_> {
    let mut demands = BTreeSet::new();
    for root in legal.graph.roots() {
        demands.insert(root);
    }
    demands.extend(applied_to(legal));
    let setup = Setup::new(legal, fixed);
    demands.extend(&setup.border);
    let first = settle(legal, fuse, &setup, demands.clone(), &BTreeSet::new());
    let again = if fuse { first.again(&demands) } else { BTreeSet::new() };
    if again.is_empty() {
        return first;
    }
    let second = settle(legal, fuse, &setup, demands, &again);
    let ((bytes, kernels), (before, most)) = (second.traffic(), first.traffic());
    if bytes < before && kernels <= most { second } else { first }
}

/// Passes until nothing more is demanded; nodes of `again` are lazy.
fn settle<'g>(
    legal: &'g Legal,
    fuse: bool,
    setup: &Setup,
    mut demands: BTreeSet<NodeId>,
    again: &BTreeSet<NodeId>,
) -> Groups<'g> {
    loop {
        let mut pass = Groups::new(legal, &demands, again, &setup.nodes);
        for id in legal.graph.ids().filter(|id| legal.live[id.index()]) {
            if pass.solid[id.index()] {
                pass.place(id, fuse);
            }
        }
        if pass.demanded.is_empty() {
            return pass;
        }
        let known = demands.len();
        demands.append(&mut pass.demanded);
        assert!(demands.len() > known, "internal error: a node in memory does not fit its reader");
    }
}

impl<'g> Groups<'g> {
    fn new(
        legal: &'g Legal,
        demands: &BTreeSet<NodeId>,
        again: &BTreeSet<NodeId>,
        setup: &[bool],
    ) -> Groups<'g> {
        let graph = &legal.graph;
        let count = graph.nodes().len();
        let mut users = vec![vec![]; count];
        for id in graph.ids().filter(|id| legal.live[id.index()]) {
            graph.node(id).inputs.iter().for_each(|i| users[i.index()].push(id));
        }
        let mut guards = vec![false; count];
        graph.guard().into_iter().for_each(|g| guards[g.index()] = true);
        for id in graph.ids().rev() {
            if guards[id.index()] {
                graph.node(id).inputs.iter().for_each(|i| guards[i.index()] = true);
            }
        }
        let mut written = vec![false; count];
        let writes = graph.states().iter().filter_map(|s| s.write.filter(|&w| w != s.read));
        writes.for_each(|w| written[w.index()] = !guards[w.index()]);
        let mut root = vec![false; count];
        graph.roots().for_each(|r| root[r.index()] = true);
        Groups {
            graph,
            legal,
            solid: solid(legal, demands, again),
            home: vec![None; count],
            at: vec![vec![]; count],
            arg: vec![vec![]; count],
            level: vec![0; count],
            groups: vec![],
            topo: topo::Topo::default(),
            users,
            readers: vec![vec![]; count],
            absorbed: vec![],
            guards,
            written,
            root,
            setup: setup.to_vec(),
            demanded: BTreeSet::new(),
            single: None,
            applied: HashMap::new(),
        }
    }

    /// Puts result `id` of an application into the group of the other results.
    fn apply(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let key = (node.op.with_result(0), node.inputs.clone());
        match self.applied.get(&key) {
            Some(&home) => {
                self.enter(home, id, vec![], vec![]);
                self.accept(home, id, pull::Pulled::default());
                self.groups[home].setup |= self.setup[id.index()];
            }
            None => {
                let home = self.start(id);
                self.applied.insert(key, home);
            }
        }
    }

    fn place(&mut self, id: NodeId, fuse: bool) {
        if self.graph.node(id).op.result().is_some() {
            return self.apply(id);
        }
        let home = match fuse.then(|| self.join(id)).flatten() {
            Some(home) => home,
            None => {
                let home = self.start(id);
                if self.groups[home].sizes.is_empty() && self.groups[home].kind == Kind::Map {
                    self.single = Some(home);
                }
                home
            }
        };
        if fuse {
            self.absorb_operands(home, id);
            if self.groups[home].members == [id] || matches!(self.graph.node(id).op, Op::Reduce(..))
            {
                self.unite(home);
            }
        }
    }

    /// Whether the node's value lies in memory from the start.
    pub(crate) fn is_leaf(&self, id: NodeId) -> bool {
        is_leaf(&self.graph.node(id).op)
    }

    /// Whether the node's value is read from memory by groups other than its home.
    fn is_read(&self, id: NodeId) -> bool {
        self.solid[id.index()] || self.is_leaf(id)
    }

    pub(crate) fn elements(&self, id: NodeId) -> usize {
        self.graph.ty(id).shape.elements()
    }

    /// The group that now holds what group `group` held.
    fn current(&self, mut group: usize) -> usize {
        while let Some(next) = self.absorbed[group] {
            group = next;
        }
        group
    }

    /// Splits a loop of a group in two, the inner one of size `inner`.
    fn split(&mut self, group: usize, dim: usize, inner: usize) {
        let g = &mut self.groups[group];
        g.sizes[dim] /= inner;
        g.sizes.insert(dim + 1, inner);
        g.roles.insert(dim + 1, g.roles[dim]);
        g.reads.values_mut().flatten().for_each(|m| split(m, dim, inner));
        if let Some(p) = &mut g.product {
            split(&mut p.a.map, dim, inner);
            split(&mut p.b.map, dim, inner);
        }
        for &member in &g.members {
            split(&mut self.at[member.index()], dim, inner);
            split(&mut self.arg[member.index()], dim, inner);
        }
    }

    fn may_split(&self, group: usize, dim: usize) -> bool {
        match self.groups[group].roles[dim] {
            Role::Keep | Role::Reduced => true,
            Role::Fixed | Role::Row => false,
        }
    }
}

/// Whether values of the op lie in memory from the start.
fn is_leaf(op: &Op) -> bool {
    matches!(op, Op::Input(_) | Op::State(_) | Op::Data(_))
}

/// Cheap nodes whose values applications of sub-graphs read: these must lie in memory.
fn applied_to(legal: &Legal) -> Vec<NodeId> {
    let graph = &legal.graph;
    let mut found = vec![];
    for id in graph.ids().filter(|id| legal.live[id.index()]) {
        let node = graph.node(id);
        if node.op.result().is_none() {
            continue;
        }
        for &input in &node.inputs {
            let mut operand = input;
            while let Op::Move(MoveOp::Reshape(_)) = graph.node(operand).op {
                operand = graph.node(operand).inputs[0];
            }
            if is_cheap(&graph.node(operand).op) {
                found.push(operand);
            }
        }
    }
    found
}

/// Which live nodes are computed in one place only.
fn solid(legal: &Legal, demands: &BTreeSet<NodeId>, again: &BTreeSet<NodeId>) -> Vec<bool> {
    let graph = &legal.graph;
    let mut solid = vec![false; graph.nodes().len()];
    // Nodes computed again by each reader of a lazy node.
    let mut cost = vec![0usize; graph.nodes().len()];
    for id in graph.ids().filter(|id| legal.live[id.index()]) {
        let node = graph.node(id);
        if is_leaf(&node.op) {
            continue;
        }
        let total = 1 + node.inputs.iter().map(|i| cost[i.index()]).sum::<usize>();
        let nothing = node.ty.shape.elements() == 0;
        let lazy = is_cheap(&node.op) || again.contains(&id);
        solid[id.index()] = !nothing && (demands.contains(&id) || !lazy || total > MAX_LAZY);
        cost[id.index()] = if solid[id.index()] { 0 } else { total };
    }
    solid
}

/// Whether a node may be computed again by each of its readers.
fn is_cheap(op: &Op) -> bool {
    match op {
        Op::Const(..)
        | Op::Iota { .. }
        | Op::Compare(_)
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(
            MoveOp::Reshape(_)
            | MoveOp::Transpose(_)
            | MoveOp::Broadcast { .. }
            | MoveOp::Slice { .. }
            | MoveOp::Window(_),
        )
        | Op::OneHot { .. }
        | Op::Unary(UnaryOp::Neg | UnaryOp::Not)
        | Op::Binary(BinaryOp::And | BinaryOp::Or) => true,
        Op::Input(_)
        | Op::State(_)
        | Op::Data(_)
        | Op::Size { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Move(MoveOp::Pad { .. })
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => false,
    }
}

/// Rough number of instructions of a node.
fn weight(op: &Op) -> usize {
    if let Op::Binary(op) = op {
        return match op {
            BinaryOp::Xlogy => 35,
            BinaryOp::LogAddExp => 55,
            BinaryOp::Mod | BinaryOp::Atan2 => 45,
            BinaryOp::Pow => 120,
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Maximum
            | BinaryOp::Minimum
            | BinaryOp::And
            | BinaryOp::Or => 3,
        };
    }
    if matches!(op, Op::RandomKey { .. } | Op::Random { .. }) {
        return 110;
    }
    let Op::Unary(op) = op else { return 3 };
    match op {
        UnaryOp::Exp | UnaryOp::Exp2 => 20,
        UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Log2
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid => 30,
        UnaryOp::Softplus | UnaryOp::Erf => 45,
        UnaryOp::Log1mexp => 60,
        UnaryOp::Erfc => 70,
        UnaryOp::LogErfc | UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Tan => 110,
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Square
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Recip
        | UnaryOp::Relu
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Not => 3,
    }
}
