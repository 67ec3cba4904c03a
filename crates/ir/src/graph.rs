//! The graph and the builder that appends to it.

use crate::error::{Operand, TypeError, TypeErrors};
use crate::infer::infer;
use crate::op::Op;
use crate::types::{At, TensorType};
use crate::verify::verify;
use std::collections::HashMap;

/// A node of a graph; operands have smaller numbers than their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One operation with its operands and its complete static type.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From what.
    pub inputs: Vec<NodeId>,
    /// Type of the result.
    pub ty: TensorType,
    /// Where the user wrote it; takes no part in equality.
    pub at: At,
    /// The layer it was written in; takes no part in equality.
    pub layer: Layer,
}

/// A layer of the user's model, for pictures: told by [`Graph::layer_name`], or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Layer(Option<u32>);

/// First number of the inputs that stand for variables of a sub-graph under construction.
const FIRST_VARIABLE: usize = 1 << 40;

/// Whether `op` stands for a variable of a sub-graph under construction.
pub(crate) fn is_variable(op: &Op) -> bool {
    matches!(op, Op::Input(i) if *i >= FIRST_VARIABLE)
}

/// A run-time input.
#[derive(Clone, Debug, PartialEq)]
pub struct InputDecl {
    /// Unique among inputs and states.
    pub name: String,
    /// Type of the array the caller passes.
    pub ty: TensorType,
    /// Promise of the caller: every element lies in this closed interval. Checked for integers before a run.
    pub range: Option<(f64, f64)>,
    /// The leaf that stands for it.
    pub node: NodeId,
    /// Where it was declared.
    pub at: At,
}

/// What a state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// A parameter that training changes.
    Param,
    /// A parameter that training leaves alone.
    Frozen,
    /// What an optimizer remembers per parameter.
    Slot,
    /// A running statistic, written in training and read in inference.
    Stat,
    /// A count of steps or draws.
    Counter,
}

impl StateKind {
    /// Every kind.
    pub const ALL: [StateKind; 5] =
        [StateKind::Param, StateKind::Frozen, StateKind::Slot, StateKind::Stat, StateKind::Counter];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            StateKind::Param => "param",
            StateKind::Frozen => "frozen",
            StateKind::Slot => "slot",
            StateKind::Stat => "stat",
            StateKind::Counter => "counter",
        }
    }

    /// The kind called `name` in the text form.
    pub fn from_name(name: &str) -> Option<StateKind> {
        StateKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// A value that outlives a run: read at its start, perhaps written at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDecl {
    /// Unique among inputs and states; a path such as `dense1.weight`.
    pub name: String,
    /// What it is for.
    pub kind: StateKind,
    /// Its type, before and after.
    pub ty: TensorType,
    /// The leaf that stands for the value before the run.
    pub read: NodeId,
    /// The value after the run; `None` leaves it as it was.
    pub write: Option<NodeId>,
    /// Where it was declared.
    pub at: At,
}

/// A named result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Unique among outputs.
    pub name: String,
    /// The node whose value is handed out.
    pub node: NodeId,
}

/// A verified tensor-expression graph: typed, without duplicates, in topological order, never changed after `build`.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<InputDecl>,
    pub(crate) states: Vec<StateDecl>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) guard: Option<NodeId>,
    layers: Vec<String>,
}

/// Equal declarations and nodes in the same order; where they were written does not count.
impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        let nodes = |g: &Graph| g.nodes.len();
        let same_node =
            |(a, b): (&Node, &Node)| a.op == b.op && a.inputs == b.inputs && a.ty == b.ty;
        let same_input = |(a, b): (&InputDecl, &InputDecl)| {
            let bits = |r: Option<(f64, f64)>| r.map(|(l, h)| (l.to_bits(), h.to_bits()));
            a.name == b.name && a.ty == b.ty && bits(a.range) == bits(b.range) && a.node == b.node
        };
        let same_state = |(a, b): (&StateDecl, &StateDecl)| {
            (&a.name, a.kind, &a.ty, a.read, a.write) == (&b.name, b.kind, &b.ty, b.read, b.write)
        };
        nodes(self) == nodes(other)
            && self.inputs.len() == other.inputs.len()
            && self.states.len() == other.states.len()
            && self.nodes.iter().zip(&other.nodes).all(same_node)
            && self.inputs.iter().zip(&other.inputs).all(same_input)
            && self.states.iter().zip(&other.states).all(same_state)
            && self.outputs == other.outputs
            && self.guard == other.guard
    }
}

impl Eq for Graph {}

impl Graph {
    /// Every node, operands before users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Type of a node's value.
    pub fn ty(&self, id: NodeId) -> &TensorType {
        &self.nodes[id.index()].ty
    }

    /// Numbers of all nodes, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// Run-time inputs, in the order declared.
    pub fn inputs(&self) -> &[InputDecl] {
        &self.inputs
    }

    /// States, in the order declared.
    pub fn states(&self) -> &[StateDecl] {
        &self.states
    }

    /// Named results, in the order declared.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The float that must be finite before any state is written, usually the loss.
    pub fn guard(&self) -> Option<NodeId> {
        self.guard
    }

    /// Path of a layer, such as `block1.attention`; `None` for what was written in no layer.
    pub fn layer_name(&self, layer: Layer) -> Option<&str> {
        layer.0.map(|l| self.layers[l as usize].as_str())
    }

    /// All nodes that must be computed: outputs, then state writes, then the guard.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> + '_ {
        let outputs = self.outputs.iter().map(|o| o.node);
        outputs.chain(self.states.iter().filter_map(|s| s.write)).chain(self.guard)
    }

    /// Whether a `grad` is left to resolve, here or in a sub-graph.
    pub fn has_grad(&self) -> bool {
        self.nodes.iter().any(|n| n.op == Op::Grad || n.op.functions().iter().any(|f| f.has_grad()))
    }

    /// Number of nodes that compute: neither leaves nor moves.
    pub fn computing_nodes(&self) -> usize {
        self.nodes.iter().filter(|n| !n.op.is_leaf() && !matches!(n.op, Op::Move(_))).count()
    }

    /// For each node, the nodes that read it.
    pub fn users(&self) -> Vec<Vec<NodeId>> {
        let mut users = vec![vec![]; self.nodes.len()];
        for id in self.ids() {
            for input in &self.node(id).inputs {
                if users[input.index()].last() != Some(&id) {
                    users[input.index()].push(id);
                }
            }
        }
        users
    }
}

/// Appends nodes to a graph: infers types, shares equal nodes, and at the end drops what no root needs.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    graph: Graph,
    known: HashMap<(Op, Vec<NodeId>), NodeId>,
    layer: Layer,
    variables: usize,
}

impl Builder {
    /// A builder of an empty graph.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A builder that continues `graph`: its nodes keep their numbers, its outputs, writes and guard stay.
    pub fn from_graph(graph: Graph) -> Builder {
        let entry = |(i, n): (usize, &Node)| ((n.op.clone(), n.inputs.clone()), NodeId(i as u32));
        let known = graph.nodes.iter().enumerate().map(entry).collect();
        Builder { graph, known, ..Builder::default() }
    }

    /// A builder with the inputs and states of `graph`, in the same order, and nothing else.
    pub fn with_leaves_of(graph: &Graph) -> Builder {
        let mut builder = Builder::new();
        builder.copy_layers(graph);
        for input in &graph.inputs {
            builder.layer = graph.node(input.node).layer;
            builder.declare_input(&input.name, input.ty.clone(), input.range, input.at);
        }
        for state in &graph.states {
            builder.layer = graph.node(state.read).layer;
            builder.declare_state(&state.name, state.kind, state.ty.clone(), state.at);
        }
        builder.layer = Layer::default();
        builder
    }

    /// What has been built so far; not verified, and nothing has been dropped.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Type of a node's value.
    pub fn ty(&self, id: NodeId) -> &TensorType {
        self.graph.ty(id)
    }

    /// Declares a run-time input; `build` reports duplicate and invalid names.
    pub fn declare_input(
        &mut self,
        name: &str,
        ty: TensorType,
        range: Option<(f64, f64)>,
        at: At,
    ) -> NodeId {
        let node = self.append(Op::Input(self.graph.inputs.len()), vec![], ty.clone(), at);
        self.graph.inputs.push(InputDecl { name: name.to_string(), ty, range, node, at });
        node
    }

    /// Allows an input only numbers from `low` to `high`, beside what it was declared with. Other nodes are left alone.
    pub fn limit_input(&mut self, node: NodeId, low: f64, high: f64) {
        if let Some(input) = self.graph.inputs.iter_mut().find(|input| input.node == node) {
            let (from, to) = input.range.unwrap_or((low, high));
            input.range = Some((from.max(low), to.min(high)));
        }
    }

    /// Declares a state; it stays as it is until [`Builder::write`] says otherwise.
    pub fn declare_state(&mut self, name: &str, kind: StateKind, ty: TensorType, at: At) -> NodeId {
        let read = self.append(Op::State(self.graph.states.len()), vec![], ty.clone(), at);
        let decl = StateDecl { name: name.to_string(), kind, ty, read, write: None, at };
        self.graph.states.push(decl);
        read
    }

    /// Appends a node, or finds the equal one made before.
    ///
    /// # Errors
    /// When the operands do not fit the op; the error names the op, every shape and every place.
    pub fn push(&mut self, op: Op, inputs: &[NodeId], at: At) -> Result<NodeId, TypeError> {
        let key = (op, inputs.to_vec());
        if let Some(&id) = self.known.get(&key) {
            return Ok(id);
        }
        let types: Vec<&TensorType> = inputs.iter().map(|&i| self.graph.ty(i)).collect();
        match infer(&key.0, &types) {
            Ok(ty) => Ok(self.append(key.0, key.1, ty, at)),
            Err(problem) => Err(TypeError {
                op: key.0.name().to_string(),
                layer: None,
                message: problem.message,
                operands: inputs.iter().enumerate().map(|(i, &id)| self.operand(id, i)).collect(),
                at,
                help: problem.help,
            }),
        }
    }

    /// Appends a node that a pass of ours made.
    ///
    /// # Panics
    /// When the operands do not fit: a bug of ours.
    pub fn node(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        match self.push(op, inputs, At::Unknown) {
            Ok(id) => id,
            Err(error) => panic!("internal error: {error}"),
        }
    }

    /// How an error shows operand number `position`: by the name of its leaf, else by the op that made it.
    pub fn operand(&self, id: NodeId, position: usize) -> Operand {
        let node = self.graph.node(id);
        let name = match node.op {
            Op::Input(i) if i < FIRST_VARIABLE => self.graph.inputs[i].name.clone(),
            Op::Input(_) => "variable of a sub-graph".to_string(),
            Op::State(i) => self.graph.states[i].name.clone(),
            _ => format!("operand {position} ({})", node.op.name()),
        };
        Operand { name, ty: node.ty.clone(), at: node.at }
    }

    /// Gives a node the place and the layer where the user wrote it, if it has none yet.
    pub fn locate(&mut self, id: NodeId, at: At, layer: Layer) {
        let node = &mut self.graph.nodes[id.index()];
        if node.at == At::Unknown {
            node.at = at;
        }
        if node.layer == Layer::default() {
            node.layer = layer;
        }
    }

    /// Says in which layer what follows is written, by its path; `None` for none.
    pub fn set_layer(&mut self, path: Option<&str>) {
        let layers = &mut self.graph.layers;
        self.layer = Layer(path.map(|path| {
            let known = layers.iter().position(|l| l == path);
            known.unwrap_or_else(|| {
                layers.push(path.to_string());
                layers.len() - 1
            }) as u32
        }));
    }

    /// Takes over the layers of `graph`, so that its nodes' layers mean the same here. For an empty builder.
    pub(crate) fn copy_layers(&mut self, graph: &Graph) {
        self.graph.layers.clone_from(&graph.layers);
    }

    /// Names a result.
    pub fn output(&mut self, name: &str, node: NodeId) {
        self.graph.outputs.push(Output { name: name.to_string(), node });
    }

    /// Drops all named results, to name others.
    pub fn clear_outputs(&mut self) {
        self.graph.outputs.clear();
    }

    /// Sets the value of the state read by leaf `state` after a run. `build` checks its type.
    ///
    /// # Panics
    /// When `state` is not the leaf of a state: a bug of ours.
    pub fn write(&mut self, state: NodeId, value: NodeId) {
        match self.graph.node(state).op {
            Op::State(i) => self.graph.states[i].write = Some(value),
            _ => panic!("internal error: a write needs the leaf of a state"),
        }
    }

    /// Makes every trained parameter declared so far a frozen one.
    pub fn freeze(&mut self) {
        let params = self.graph.states.iter_mut().filter(|s| s.kind == StateKind::Param);
        params.for_each(|s| s.kind = StateKind::Frozen);
    }

    /// Names the float that must be finite before any state is written.
    pub fn set_guard(&mut self, loss: Option<NodeId>) {
        self.graph.guard = loss;
    }

    /// Drops what no root needs, verifies, and hands out the graph. Inputs and states always stay.
    ///
    /// # Errors
    /// Everything the verifier found.
    pub fn build(self) -> Result<Graph, TypeErrors> {
        let graph = prune(self.graph);
        let errors = verify(&graph);
        if errors.is_empty() { Ok(graph) } else { Err(TypeErrors(errors)) }
    }

    fn append(&mut self, op: Op, inputs: Vec<NodeId>, ty: TensorType, at: At) -> NodeId {
        let id = NodeId(self.graph.nodes.len() as u32);
        self.known.insert((op.clone(), inputs.clone()), id);
        self.graph.nodes.push(Node { op, inputs, ty, at, layer: self.layer });
        id
    }

    pub(crate) fn push_variable(&mut self, ty: TensorType, at: At) -> NodeId {
        self.variables += 1;
        self.append(Op::Input(FIRST_VARIABLE + self.variables), vec![], ty, at)
    }
}

/// The graph without nodes that no output, write or guard needs; leaves that are declared stay.
fn prune(graph: Graph) -> Graph {
    let mut live = vec![false; graph.nodes.len()];
    graph.roots().for_each(|root| live[root.index()] = true);
    graph.inputs.iter().for_each(|i| live[i.node.index()] = true);
    graph.states.iter().for_each(|s| live[s.read.index()] = true);
    for id in graph.ids().rev() {
        if live[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| live[i.index()] = true);
        }
    }
    let mut new = vec![NodeId(0); graph.nodes.len()];
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for (i, mut node) in graph.nodes.into_iter().enumerate() {
        if live[i] {
            new[i] = NodeId(nodes.len() as u32);
            node.inputs.iter_mut().for_each(|input| *input = new[input.index()]);
            nodes.push(node);
        }
    }
    let mut pruned = Graph { nodes, ..graph };
    pruned.inputs.iter_mut().for_each(|i| i.node = new[i.node.index()]);
    for state in &mut pruned.states {
        state.read = new[state.read.index()];
        state.write = state.write.map(|w| new[w.index()]);
    }
    pruned.outputs.iter_mut().for_each(|o| o.node = new[o.node.index()]);
    pruned.guard = pruned.guard.map(|g| new[g.index()]);
    pruned
}
