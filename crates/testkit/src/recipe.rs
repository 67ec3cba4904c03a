//! Turns a list of random numbers into a graph: every list gives one, and a shorter list a smaller one.

use crate::arbitrary::{Config, RandomGraph};
use crate::interval::Interval;
use crate::rng::Rng;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, DType, NodeId, Shape, StateKind, TensorType, UnaryOp, broadcast_shape,
};

/// Axes a random node may have.
pub(crate) const MAX_RANK: usize = 4;
/// Elements a random node may have.
pub(crate) const MAX_ELEMENTS: usize = 400;
/// Magnitude above which a node is scaled down.
pub(crate) const MAX_SIZE: f64 = 20.0;
/// Values of float leaves.
const LEAVES: Interval = Interval { low: -2.0, high: 2.0 };

/// A float node and its bounds.
#[derive(Clone, Copy)]
pub(crate) struct Float {
    pub(crate) id: NodeId,
    pub(crate) bounds: Interval,
}

/// One step's random numbers, handed out in order; zeros after the last.
pub(crate) struct Dice<'a>(std::slice::Iter<'a, u16>);

impl Dice<'_> {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % sides
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// What a graph is cooked in.
pub(crate) struct Kitchen<'a> {
    pub(crate) config: &'a Config,
    pub(crate) builder: Builder,
    pub(crate) sizes: [usize; 3],
    pub(crate) floats: Vec<Float>,
    pub(crate) bools: Vec<NodeId>,
    /// Integer labels and the number of classes.
    pub(crate) labels: Option<(NodeId, usize)>,
    rng: Rng,
}

/// The graph that `steps` describe, with arrays drawn from `seed`.
pub(crate) fn cook(config: &Config, sizes: [u8; 3], seed: u64, steps: &[[u16; 6]]) -> RandomGraph {
    let sizes = sizes.map(|s| 1 + usize::from(s) % 5);
    let [a, b, c] = sizes;
    let mut builder = Builder::new();
    let float = |dims: &[usize]| TensorType::new(config.dtype, dims);
    let x0 = builder.declare_input("x0", float(&[a, b]), None, At::Unknown);
    let x1 = builder.declare_input("x1", float(&[b]), None, At::Unknown);
    let labels = config.labels.then(|| {
        let ty = TensorType::new(DType::I32, [a]);
        let range = Some((0.0, c as f64 - 1.0));
        (builder.declare_input("i", ty, range, At::Unknown), c)
    });
    let p0 = builder.declare_state("p0", StateKind::Param, float(&[b, c]), At::Unknown);
    let p1 = builder.declare_state("p1", StateKind::Param, float(&[c]), At::Unknown);
    let mut kitchen = Kitchen {
        config,
        builder,
        sizes,
        floats: [x0, x1, p0, p1].map(|id| Float { id, bounds: LEAVES }).to_vec(),
        bools: vec![],
        labels,
        rng: Rng::new(seed),
    };
    for step in steps {
        kitchen.step(&mut Dice(step.iter()));
    }
    kitchen.serve()
}

impl Kitchen<'_> {
    fn step(&mut self, dice: &mut Dice<'_>) {
        let kind = dice.roll(20);
        let x = dice.pick(&self.floats);
        match kind {
            0 | 1 => self.unary(x, dice),
            2 | 3 => self.binary(x, dice),
            4 => self.reduce(x, dice),
            5 => self.mean(x, dice),
            6 => self.softmax(x, dice),
            7 => self.cross_entropy(x, dice),
            8 | 9 => self.dot(x, dice),
            10 => self.moved(x, dice),
            11 => self.choose(x, dice),
            12 => self.labelled(x, dice),
            13 => self.naive_softmax(x, dice),
            14 => self.leaf(x, dice),
            15 => self.window(x, dice),
            16 => self.random(x, dice),
            17 => self.scan(x, dice),
            18 => self.branch(x, dice),
            _ => self.wrap(x, dice),
        }
    }

    pub(crate) fn shape(&self, x: Float) -> Shape {
        self.builder.ty(x.id).shape.clone()
    }

    /// Makes a node available to later steps, scaled down when its bounds are wide.
    pub(crate) fn keep(&mut self, id: NodeId, bounds: Interval) -> Float {
        let mut float = Float { id, bounds };
        if bounds.size() > MAX_SIZE {
            let scale = (MAX_SIZE / 4.0 / bounds.size()).log2().floor().exp2();
            let factor = self.builder.full_like(id, scale);
            float.id = self.builder.mul(id, factor);
            float.bounds = Interval::new(bounds.low * scale, bounds.high * scale);
        }
        self.floats.push(float);
        float
    }

    /// `x` itself when its bounds lie within `low..=high`; else something made of `x` that does.
    pub(crate) fn within(&mut self, x: Float, low: f64, high: f64) -> Float {
        if x.bounds.low >= low && x.bounds.high <= high {
            return x;
        }
        if high < 0.0 {
            let opposite = self.within(x, -high, -low);
            let id = self.builder.neg(opposite.id);
            let bounds = Interval::new(-opposite.bounds.high, -opposite.bounds.low);
            return Float { id, bounds };
        }
        if low > 0.0 {
            // At most 1.5, which every caller allows.
            let tanh = self.builder.unary(UnaryOp::Tanh, x.id);
            let square = self.builder.unary(UnaryOp::Square, tanh);
            let least = self.builder.full_like(x.id, low.max(0.5));
            let id = self.builder.add(square, least);
            return Float { id, bounds: Interval::new(low.max(0.5), low.max(0.5) + 1.0) };
        }
        let id = self.builder.unary(UnaryOp::Tanh, x.id);
        if low > -1.0 {
            let half = self.builder.full_like(id, 0.5);
            let id = self.builder.mul(id, half);
            return Float { id, bounds: Interval::symmetric(0.5) };
        }
        Float { id, bounds: Interval::symmetric(1.0) }
    }

    /// Another node, with both spread to one shape; `x` again when nothing else fits.
    pub(crate) fn pair(&mut self, x: Float, dice: &mut Dice<'_>) -> (Float, Float) {
        let shape = self.shape(x);
        let fits = |s: Option<Shape>| s.filter(|s| s.elements() <= MAX_ELEMENTS);
        let common = |f: &Float| fits(broadcast_shape(&shape, &self.shape(*f)));
        let partners: Vec<Float> =
            self.floats.iter().filter(|f| common(f).is_some()).copied().collect();
        if partners.is_empty() {
            return (x, x);
        }
        let y = dice.pick(&partners);
        match common(&y) {
            Some(shape) => (self.spread(x, &shape), self.spread(y, &shape)),
            None => (x, x),
        }
    }

    /// `x` aligned from the right to `shape`, axes of size 1 repeated.
    fn spread(&mut self, x: Float, shape: &Shape) -> Float {
        let own = self.shape(x);
        let shift = shape.rank() - own.rank();
        let kept: Vec<usize> =
            (0..own.rank()).filter(|&a| own.dims()[a] == shape.dims()[a + shift]).collect();
        let squeezed = self.builder.reshape(x.id, kept.iter().map(|&a| own.dims()[a]).collect());
        let axes = kept.iter().map(|a| a + shift).collect();
        Float { id: self.builder.spread(squeezed, shape.clone(), axes), ..x }
    }

    /// Some axes of `x`, perhaps none or all.
    pub(crate) fn axes(&self, x: Float, dice: &mut Dice<'_>) -> Vec<usize> {
        let mask = dice.roll(1 << MAX_RANK);
        (0..self.shape(x).rank()).filter(|a| mask >> a & 1 == 1).collect()
    }

    pub(crate) fn count(&self, x: Float, axes: &[usize]) -> f64 {
        axes.iter().map(|&a| self.shape(x).dims()[a]).product::<usize>() as f64
    }

    /// Names what nobody reads, writes states, and draws arrays.
    fn serve(mut self) -> RandomGraph {
        let mut read = vec![false; self.builder.graph().nodes().len()];
        for node in self.builder.graph().nodes() {
            node.inputs.iter().for_each(|i| read[i.index()] = true);
        }
        let mut results: Vec<NodeId> = self.floats.iter().skip(4).map(|f| f.id).collect();
        results.retain(|id| !read[id.index()]);
        results.dedup();
        if results.is_empty() {
            results.push(self.floats[self.floats.len() - 1].id);
        }
        let results = results.split_off(results.len().saturating_sub(4));
        for (i, &id) in results.iter().enumerate() {
            self.builder.output(&format!("y{i}"), id);
        }
        if self.config.writes {
            for state in self.builder.graph().states().to_vec() {
                let fits = |f: &&Float| *self.builder.ty(f.id) == state.ty && f.id != state.read;
                if let Some(&Float { id, .. }) = self.floats.iter().rev().find(fits) {
                    self.builder.write(state.read, id);
                }
            }
        }
        let graph = match self.builder.build() {
            Ok(graph) => graph,
            Err(errors) => panic!("internal error: {errors}"),
        };
        let mut rng = self.rng;
        let mut draw = |ty: &TensorType, range: Option<(f64, f64)>| match range {
            Some((low, high)) => {
                let values: Vec<f64> = (0..ty.shape.elements())
                    .map(|_| low + rng.below((high - low) as usize + 1) as f64)
                    .collect();
                Tensor::from_values(ty.clone(), &values)
            }
            None => rng.tensor(ty.clone(), LEAVES.low, LEAVES.high),
        };
        let inputs = graph.inputs().iter().map(|i| draw(&i.ty, i.range)).collect();
        let states = graph.states().iter().map(|s| draw(&s.ty, None)).collect();
        RandomGraph { graph, inputs, states }
    }
}
