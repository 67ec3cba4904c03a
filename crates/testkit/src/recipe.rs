//! Turns a list of random numbers into a graph: every list gives one, and a shorter list a smaller one.

use crate::arbitrary::{Config, RandomGraph};
use crate::interval::Interval;
use crate::rng::Rng;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, BinaryOp, Builder, CompareOp, CrossEntropyOp, DType, DotAxes, MarkOp, MoveOp, NodeId, Op,
    ReduceOp, Shape, SoftmaxOp, StateKind, TensorData, TensorType, UnaryOp, broadcast_shape,
};
use std::sync::Arc;

/// Axes a random node may have.
const MAX_RANK: usize = 4;
/// Elements a random node may have.
const MAX_ELEMENTS: usize = 400;
/// Magnitude above which a node is scaled down.
const MAX_SIZE: f64 = 20.0;
/// Values of float leaves.
const LEAVES: Interval = Interval { low: -2.0, high: 2.0 };

/// A float node and its bounds.
#[derive(Clone, Copy)]
struct Float {
    id: NodeId,
    bounds: Interval,
}

/// One step's random numbers, handed out in order; zeros after the last.
struct Dice<'a>(std::slice::Iter<'a, u16>);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

struct Kitchen<'a> {
    config: &'a Config,
    builder: Builder,
    sizes: [usize; 3],
    floats: Vec<Float>,
    bools: Vec<NodeId>,
    /// Integer labels and the number of classes.
    labels: Option<(NodeId, usize)>,
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
        let kind = dice.roll(16);
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
            _ => self.wrap(x, dice),
        }
    }

    fn shape(&self, x: Float) -> Shape {
        self.builder.ty(x.id).shape.clone()
    }

    /// Makes a node available to later steps, scaled down when its bounds are wide.
    fn keep(&mut self, id: NodeId, bounds: Interval) -> Float {
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
    fn within(&mut self, x: Float, low: f64, high: f64) -> Float {
        if x.bounds.low >= low && x.bounds.high <= high {
            return x;
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

    fn unary(&mut self, x: Float, dice: &mut Dice<'_>) {
        let kinks = self.config.kinks;
        let usable = |op: &&UnaryOp| match op {
            UnaryOp::Not => false,
            UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Relu => kinks,
            UnaryOp::Neg
            | UnaryOp::Square
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Recip
            | UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus => true,
        };
        let ops: Vec<UnaryOp> = UnaryOp::ALL.iter().filter(usable).copied().collect();
        let op = dice.pick(&ops);
        let x = match op {
            UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Recip => self.within(x, 0.2, MAX_SIZE),
            UnaryOp::Log => self.within(x, 0.02, MAX_SIZE),
            UnaryOp::Log1p => self.within(x, -0.8, MAX_SIZE),
            UnaryOp::Exp | UnaryOp::Expm1 => self.within(x, -MAX_SIZE, 4.0),
            UnaryOp::Neg
            | UnaryOp::Abs
            | UnaryOp::Sign
            | UnaryOp::Square
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus
            | UnaryOp::Relu
            | UnaryOp::Not => x,
        };
        let id = self.builder.unary(op, x.id);
        self.keep(id, x.bounds.unary(op));
    }

    /// Another node, with both spread to one shape; `x` again when nothing else fits.
    fn pair(&mut self, x: Float, dice: &mut Dice<'_>) -> (Float, Float) {
        let shape = self.shape(x);
        let fits = |s: Option<Shape>| s.filter(|s| s.elements() <= MAX_ELEMENTS);
        let common = |f: &Float| fits(broadcast_shape(&shape, &self.shape(*f)));
        let partners: Vec<Float> =
            self.floats.iter().filter(|f| common(f).is_some()).copied().collect();
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

    fn binary(&mut self, x: Float, dice: &mut Dice<'_>) {
        use BinaryOp::{Add, Div, Maximum, Minimum, Mul, Sub};
        let op = match self.config.kinks {
            true => dice.pick(&[Add, Sub, Mul, Div, Maximum, Minimum]),
            false => dice.pick(&[Add, Sub, Mul, Div]),
        };
        let (x, mut y) = self.pair(x, dice);
        if op == Div {
            y = self.within(y, 0.2, MAX_SIZE);
        }
        let id = self.builder.binary(op, x.id, y.id);
        self.keep(id, x.bounds.binary(op, y.bounds));
    }

    /// Some axes of `x`, perhaps none or all.
    fn axes(&self, x: Float, dice: &mut Dice<'_>) -> Vec<usize> {
        let mask = dice.roll(1 << MAX_RANK);
        (0..self.shape(x).rank()).filter(|a| mask >> a & 1 == 1).collect()
    }

    fn count(&self, x: Float, axes: &[usize]) -> f64 {
        axes.iter().map(|&a| self.shape(x).dims()[a]).product::<usize>() as f64
    }

    fn reduce(&mut self, x: Float, dice: &mut Dice<'_>) {
        use ReduceOp::{LogSumExp, Max, Min, Prod, Sum};
        let op = match self.config.kinks {
            true => dice.pick(&[Sum, LogSumExp, Prod, Max, Min]),
            false => dice.pick(&[Sum, LogSumExp, Prod]),
        };
        let axes = self.axes(x, dice);
        let n = self.count(x, &axes);
        let x = if op == Prod { self.within(x, -2.0, 2.0) } else { x };
        let bounds = match op {
            Sum => Interval::new(x.bounds.low * n, x.bounds.high * n),
            Prod if n > 8.0 => return,
            Prod => Interval::symmetric(x.bounds.size().powf(n)),
            Max | Min => x.bounds,
            LogSumExp => Interval::new(x.bounds.low + n.ln(), x.bounds.high + n.ln()),
        };
        let id = self.builder.reduce(op, x.id, axes);
        self.keep(id, bounds);
    }

    fn mean(&mut self, x: Float, dice: &mut Dice<'_>) {
        let axes = self.axes(x, dice);
        let dtype = self.config.dtype;
        let sum = self.builder.sum(x.id, axes.clone());
        let size = self.builder.node(Op::Size { dtype, axes }, &[x.id]);
        let shape = self.builder.ty(sum).shape.clone();
        let size = self.builder.spread(size, shape, vec![]);
        let id = self.builder.div(sum, size);
        self.keep(id, x.bounds);
    }

    fn softmax(&mut self, x: Float, dice: &mut Dice<'_>) {
        let op = dice.pick(SoftmaxOp::ALL);
        let axes = self.axes(x, dice);
        let n = self.count(x, &axes);
        let x = if x.bounds.width() > 12.0 { self.within(x, -1.0, 1.0) } else { x };
        let least = -x.bounds.width() - n.ln();
        let bounds = match op {
            SoftmaxOp::Softmax => Interval::new(least.exp(), 1.0),
            SoftmaxOp::LogSoftmax => Interval::new(least, 0.0),
        };
        let id = self.builder.node(Op::Softmax(op, axes), &[x.id]);
        self.keep(id, bounds);
    }

    fn naive_softmax(&mut self, x: Float, dice: &mut Dice<'_>) {
        let axes = self.axes(x, dice);
        let n = self.count(x, &axes);
        let x = self.within(x, -3.0, 3.0);
        let exp = self.builder.unary(UnaryOp::Exp, x.id);
        let sum = self.builder.sum(exp, axes.clone());
        let shape = self.shape(x);
        let sum = self.builder.spread_over(sum, &shape, &axes);
        let id = self.builder.div(exp, sum);
        self.keep(id, Interval::new((-x.bounds.width() - n.ln()).exp(), 1.0));
    }

    fn cross_entropy(&mut self, x: Float, dice: &mut Dice<'_>) {
        let op = dice.pick(CrossEntropyOp::ALL);
        let (z, t) = self.pair(x, dice);
        let axes = self.axes(z, dice);
        let n = self.count(z, &axes);
        let targets = n * t.bounds.size();
        let bounds = match op {
            CrossEntropyOp::Value => Interval::symmetric(targets * (z.bounds.width() + n.ln())),
            CrossEntropyOp::Residual => Interval::symmetric(2.0 * targets),
        };
        let id = self.builder.node(Op::CrossEntropy(op, axes), &[z.id, t.id]);
        self.keep(id, bounds);
    }

    fn dot(&mut self, x: Float, dice: &mut Dice<'_>) {
        let y = dice.pick(&self.floats);
        let (left, right) = (self.shape(x), self.shape(y));
        let mut pairs = vec![];
        for (i, m) in left.dims().iter().enumerate() {
            pairs.extend((0..right.rank()).filter(|&j| right.dims()[j] == *m).map(|j| (i, j)));
        }
        let mut axes = DotAxes::default();
        let start = dice.roll(16);
        for k in 0..pairs.len() {
            let (i, j) = pairs[(start + k) % pairs.len()];
            let used = |p: &&(usize, usize)| p.0 == i || p.1 == j;
            if axes.batch.iter().chain(&axes.contract).any(|p| used(&p)) {
                continue;
            }
            match dice.roll(3) {
                0 => axes.contract.push((i, j)),
                1 => axes.batch.push((i, j)),
                _ => {}
            }
        }
        let rank = left.rank() + right.rank() - axes.batch.len() - 2 * axes.contract.len();
        let n: usize = axes.contract.iter().map(|p| left.dims()[p.0]).product();
        let size = |s: &Shape| s.elements().max(1);
        if rank > MAX_RANK || size(&left) * size(&right) / (n * n) > MAX_ELEMENTS {
            return;
        }
        let id = self.builder.dot(x.id, y.id, axes);
        self.keep(id, Interval::symmetric(n as f64 * x.bounds.size() * y.bounds.size()));
    }

    fn moved(&mut self, x: Float, dice: &mut Dice<'_>) {
        let shape = self.shape(x);
        let rank = shape.rank();
        let op = match dice.roll(4) {
            0 => MoveOp::Reshape(Shape::from([shape.elements()])),
            1 if rank > 0 && rank < MAX_RANK => {
                let mut dims = shape.dims().to_vec();
                dims.insert(dice.roll(rank + 1), 1);
                MoveOp::Reshape(dims.into())
            }
            2 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for i in 1..rank {
                    perm.swap(i, dice.roll(i + 1));
                }
                MoveOp::Transpose(perm)
            }
            _ if rank < MAX_RANK && shape.elements() * 5 <= MAX_ELEMENTS => {
                let mut dims = shape.dims().to_vec();
                let new = dice.roll(rank + 1);
                dims.insert(new, dice.pick(&self.sizes));
                let axes = (0..=rank).filter(|&a| a != new).collect();
                MoveOp::Broadcast { shape: dims.into(), axes }
            }
            _ => return,
        };
        let id = self.builder.node(Op::Move(op), &[x.id]);
        self.keep(id, x.bounds);
    }

    fn choose(&mut self, x: Float, dice: &mut Dice<'_>) {
        if !self.config.kinks {
            return;
        }
        let (x, y) = self.pair(x, dice);
        let op = dice.pick(CompareOp::ALL);
        let mut condition = self.builder.compare(op, x.id, y.id);
        let fits = |b: &&NodeId| self.builder.ty(**b) == self.builder.ty(condition);
        if let Some(&other) = self.bools.iter().rev().find(fits) {
            let join = dice.pick(&[BinaryOp::And, BinaryOp::Or]);
            let not = self.builder.unary(UnaryOp::Not, other);
            condition = self.builder.binary(join, condition, not);
        }
        self.bools.push(condition);
        if dice.roll(3) == 0 {
            let id = self.builder.cast(condition, self.config.dtype);
            self.keep(id, Interval::new(0.0, 1.0));
        } else {
            let id = self.builder.select(condition, x.id, y.id);
            self.keep(id, x.bounds.hull(y.bounds));
        }
    }

    fn labelled(&mut self, x: Float, dice: &mut Dice<'_>) {
        let Some((labels, classes)) = self.labels else { return };
        let shape = self.shape(x);
        let n = self.builder.ty(labels).shape.elements();
        let rest: Vec<usize> = shape.dims().iter().skip(1).copied().collect();
        let first = shape.dims().first().copied();
        match dice.roll(4) {
            0 if first == Some(classes) => {
                let id = self.builder.node(Op::Gather { batch: 0 }, &[x.id, labels]);
                self.keep(id, x.bounds);
            }
            0 | 1 if first == Some(n) && rest.first() == Some(&classes) => {
                let id = self.builder.node(Op::Gather { batch: 1 }, &[x.id, labels]);
                self.keep(id, x.bounds);
            }
            0..=2 if first == Some(n) => {
                let batch = dice.roll(2);
                let op = Op::ScatterAdd { batch, size: classes };
                let id = self.builder.node(op, &[labels, x.id]);
                self.keep(id, Interval::symmetric(n as f64 * x.bounds.size()));
            }
            0..=2 => {
                let one = self.builder.scalar(DType::I32, 1.0);
                let ones = self.builder.spread(one, Shape::from([n]), vec![]);
                let next = self.builder.add(labels, ones);
                let id = self.builder.cast(next, self.config.dtype);
                self.keep(id, Interval::new(1.0, classes as f64));
            }
            _ => {
                let op = Op::OneHot { dtype: self.config.dtype, classes };
                let id = self.builder.node(op, &[labels]);
                self.keep(id, Interval::new(0.0, 1.0));
            }
        }
    }

    fn leaf(&mut self, x: Float, dice: &mut Dice<'_>) {
        let (dtype, shape) = (self.config.dtype, self.shape(x));
        match dice.roll(3) {
            0 => {
                let value = dice.pick(&[0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 0.1]);
                let id = self.builder.full_like(x.id, value);
                self.keep(id, Interval::new(value, value));
            }
            1 if shape.rank() > 0 => {
                let axis = dice.roll(shape.rank());
                let last = shape.dims()[axis] as f64 - 1.0;
                let id = self.builder.node(Op::Iota { dtype, shape, axis }, &[]);
                self.keep(id, Interval::new(0.0, last));
            }
            _ => {
                let values =
                    (0..shape.elements()).map(|_| dice.pick(&[0.0, 1.0, -0.5, 1.75])).collect();
                let data = TensorData { dtype, shape, values };
                let id = self.builder.node(Op::Data(Arc::new(data)), &[]);
                self.keep(id, Interval::new(-0.5, 1.75));
            }
        }
    }

    fn wrap(&mut self, x: Float, dice: &mut Dice<'_>) {
        let id = match dice.roll(3) {
            0 => self.builder.node(Op::Mark(MarkOp::Keep), &[x.id]),
            // A value whose differences see what its derivative does not.
            1 if self.config.kinks => self.builder.node(Op::Mark(MarkOp::StopGradient), &[x.id]),
            _ => {
                let other = if self.config.dtype == DType::F32 { DType::F64 } else { DType::F32 };
                let there = self.builder.cast(x.id, other);
                self.builder.cast(there, self.config.dtype)
            }
        };
        self.keep(id, x.bounds);
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
