//! Random small graphs over the op table, with arrays to run them on.

use crate::recipe::cook;
use eggrad_interp::Tensor;
use eggrad_ir::{Builder, DType, Graph, NodeId, Op, StateKind};
use proptest::prelude::*;
use std::fmt;

/// What random graphs may hold.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Element type of floats, `f32` or `f64`.
    pub dtype: DType,
    /// Steps, each of which adds one to a few nodes.
    pub steps: usize,
    /// Whether ops with kinks and jumps take part: `relu`, `abs`, `max`, comparisons and the like.
    pub kinks: bool,
    /// Whether an integer input of labels and the ops on it take part.
    pub labels: bool,
    /// Whether states are written.
    pub writes: bool,
    /// Whether functions are called; scans and branches take part in any case.
    pub calls: bool,
}

impl Config {
    /// Everything takes part but calls, in at most 12 steps.
    pub fn new(dtype: DType) -> Config {
        Config { dtype, steps: 12, kinks: true, labels: true, writes: true, calls: false }
    }

    /// Only ops that have a derivative everywhere, and no writes.
    pub fn smooth(dtype: DType) -> Config {
        Config { kinks: false, writes: false, ..Config::new(dtype) }
    }
}

/// A graph with the arrays it runs on. Every value is finite and below 1e5; what grows is scaled down before it is used
/// again, and poles are kept away from, so that results compare by tolerance.
#[derive(Clone)]
pub struct RandomGraph {
    /// Float inputs `x0`, `x1`, ..., perhaps labels `i`, parameters `p0`, `p1`, ..., outputs `y0`, `y1`, ...
    pub graph: Graph,
    /// One array per input.
    pub inputs: Vec<Tensor>,
    /// One array per state.
    pub states: Vec<Tensor>,
}

impl RandomGraph {
    /// Names of all float inputs and states.
    pub fn float_leaves(&self) -> Vec<&str> {
        let inputs = self.graph.inputs().iter().map(|i| (&i.name, &i.ty));
        let states = self.graph.states().iter().map(|s| (&s.name, &s.ty));
        inputs.chain(states).filter(|l| l.1.dtype.is_float()).map(|l| l.0.as_str()).collect()
    }

    /// The same values, where some leaves are frozen states: bit `i` of `which` says so of input or state `i`, inputs
    /// first. States that are written stay as they are.
    pub fn freeze(&self, which: u32) -> RandomGraph {
        let frozen = |i: usize| which >> i & 1 == 1;
        let (old, mut builder) = (&self.graph, Builder::new());
        let mut map = vec![NodeId(0); old.nodes().len()];
        let (mut inputs, mut states) = (vec![], vec![]);
        for (i, x) in old.inputs().iter().enumerate().filter(|x| !frozen(x.0)) {
            map[x.node.index()] = builder.declare_input(&x.name, x.ty.clone(), x.range, x.at);
            inputs.push(self.inputs[i].clone());
        }
        for (i, x) in old.inputs().iter().enumerate().filter(|x| frozen(x.0)) {
            let kind = StateKind::Frozen;
            map[x.node.index()] = builder.declare_state(&x.name, kind, x.ty.clone(), x.at);
            states.push(self.inputs[i].clone());
        }
        for (i, state) in old.states().iter().enumerate() {
            let freeze = state.write.is_none() && frozen(old.inputs().len() + i);
            let kind = if freeze { StateKind::Frozen } else { state.kind };
            let ty = state.ty.clone();
            map[state.read.index()] = builder.declare_state(&state.name, kind, ty, state.at);
            states.push(self.states[i].clone());
        }
        for (id, node) in old.ids().zip(old.nodes()) {
            if !matches!(node.op, Op::Input(_) | Op::State(_)) {
                let args: Vec<NodeId> = node.inputs.iter().map(|i| map[i.index()]).collect();
                map[id.index()] = builder.node(node.op.clone(), &args);
            }
        }
        for output in old.outputs() {
            builder.output(&output.name, map[output.node.index()]);
        }
        for state in old.states() {
            if let Some(write) = state.write {
                builder.write(map[state.read.index()], map[write.index()]);
            }
        }
        builder.set_guard(old.guard().map(|g| map[g.index()]));
        let graph = builder.build().expect("a graph with other leaves");
        RandomGraph { graph, inputs, states }
    }
}

impl fmt::Debug for RandomGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.graph)?;
        let names = self.graph.inputs().iter().map(|i| &i.name);
        let names = names.chain(self.graph.states().iter().map(|s| &s.name));
        for (name, tensor) in names.zip(self.inputs.iter().chain(&self.states)) {
            writeln!(f, "{name} = {:?}", tensor.to_f64s())?;
        }
        Ok(())
    }
}

/// Random well-typed graphs; a failing one shrinks by dropping steps.
pub fn random_graph(config: Config) -> impl Strategy<Value = RandomGraph> {
    let steps = proptest::collection::vec(any::<[u16; 6]>(), 1..=config.steps);
    (any::<[u8; 3]>(), any::<u64>().no_shrink(), steps)
        .prop_map(move |(sizes, seed, steps)| cook(&config, sizes, seed, &steps))
}
