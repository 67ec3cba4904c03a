//! Random small graphs over the op table, with arrays to run them on.

use crate::recipe::cook;
use eggrad_interp::Tensor;
use eggrad_ir::{DType, Graph};
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
