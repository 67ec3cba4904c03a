//! The steps of a recipe that add windows, random numbers and sub-graphs.

use crate::interval::Interval;
use crate::recipe::{Dice, Float, Kitchen, MAX_ELEMENTS, MAX_RANK};
use eggrad_ir::{
    At, BinaryOp, Builder, CompareOp, DType, Function, MoveOp, NodeId, Op, Scan, Shape, TensorType,
    UnaryOp, Windows,
};
use std::sync::Arc;

impl Kitchen<'_> {
    /// Windows along some axes; perhaps summed back to where they came from.
    pub(crate) fn window(&mut self, x: Float, dice: &mut Dice<'_>) {
        let shape = self.shape(x);
        let mut windows = Windows { axes: vec![], size: vec![], stride: vec![], dilation: vec![] };
        for (axis, &n) in shape.dims().iter().enumerate() {
            if shape.rank() + windows.axes.len() >= MAX_RANK || dice.roll(3) == 0 {
                continue;
            }
            let size = 1 + dice.roll(n.min(3));
            let room = if size > 1 { (n - 1) / (size - 1) } else { 2 };
            windows.axes.push(axis);
            windows.size.push(size);
            windows.stride.push(1 + dice.roll(2));
            windows.dilation.push(1 + dice.roll(room.min(2)));
        }
        let overlaps: usize = windows.size.iter().product();
        if shape.elements() * overlaps > MAX_ELEMENTS {
            return;
        }
        let length = windows.axes.iter().map(|&a| shape.dims()[a]).collect();
        let id = self.builder.window(x.id, windows.clone());
        let seen = self.keep(id, x.bounds);
        if dice.roll(2) == 0 {
            let id = self.builder.fold(seen.id, windows, length);
            self.keep(id, Interval::symmetric(overlaps as f64 * seen.bounds.size()));
        }
    }

    /// Random numbers of the shape of `x`, perhaps made of a label.
    pub(crate) fn random(&mut self, x: Float, dice: &mut Dice<'_>) {
        let dtype = self.config.dtype;
        let seed = self.some_label().unwrap_or_else(|| self.builder.scalar(DType::I32, 7.0));
        let step = self.builder.scalar(DType::I32, dice.roll(3) as f64);
        let stream = dice.roll(4) as u64;
        let key = self.builder.node(Op::RandomKey { stream }, &[seed, step]);
        let shape = self.shape(x);
        if dice.roll(2) == 0 {
            let id = self.builder.node(Op::Random { dtype, shape }, &[key]);
            self.keep(id, Interval::new(0.0, 1.0));
        } else {
            let bits = self.builder.node(Op::Random { dtype: DType::I32, shape }, &[key]);
            let zero = self.builder.full_like(bits, 0.0);
            let coin = self.builder.compare(CompareOp::Lt, bits, zero);
            let id = self.builder.cast(coin, dtype);
            self.keep(id, Interval::new(0.0, 1.0));
        }
    }

    /// The first label, as one number.
    fn some_label(&mut self) -> Option<NodeId> {
        let (labels, _) = self.labels?;
        let (start, step, size) = (vec![0], vec![1], vec![1]);
        let first = self.builder.node(Op::Move(MoveOp::Slice { start, step, size }), &[labels]);
        Some(self.builder.reshape(first, Shape::scalar()))
    }

    /// A recurrence over the first axis of `x`, forth or back, perhaps with a count of steps and a constant.
    pub(crate) fn scan(&mut self, x: Float, dice: &mut Dice<'_>) {
        let shape = self.shape(x);
        let Some((&length, rest)) = shape.dims().split_first() else { return };
        let x = if x.bounds.size() > 4.0 { self.within(x, -1.0, 1.0) } else { x };
        let slice = TensorType::new(self.config.dtype, rest);
        let like: Vec<Float> = self
            .floats
            .iter()
            .filter(|f| *self.builder.ty(f.id) == slice && f.bounds.size() <= 4.0)
            .copied()
            .collect();
        let zero = self.builder.scalar(slice.dtype, 0.0);
        let zero = self.builder.spread(zero, slice.shape.clone(), vec![]);
        let zero = Float { id: zero, bounds: Interval::symmetric(0.0) };
        let pick = |dice: &mut Dice<'_>| if like.is_empty() { zero } else { dice.pick(&like) };
        let (start, constant) = (pick(dice), pick(dice));
        let (counts, kind) = (dice.roll(2) == 0, dice.roll(3));

        let mut b = Builder::new();
        let declare = |b: &mut Builder, name: &str, ty: &TensorType| {
            b.declare_input(name, ty.clone(), None, At::Unknown)
        };
        let h = declare(&mut b, "h", &slice);
        let int = TensorType::scalar(DType::I32);
        let count = counts.then(|| declare(&mut b, "n", &int));
        let position = declare(&mut b, "x", &slice);
        let k = declare(&mut b, "k", &slice);
        // All of these stay within 8 when `h` does.
        let half = b.full_like(h, 0.5);
        let faded = b.mul(half, h);
        let next = match kind {
            0 => {
                let sum = b.add(faded, position);
                b.unary(UnaryOp::Tanh, sum)
            }
            1 => {
                let sine = b.unary(UnaryOp::Sin, position);
                let product = b.mul(sine, k);
                b.add(faded, product)
            }
            _ => {
                let gate = b.unary(UnaryOp::Sigmoid, position);
                let gated = b.mul(gate, faded);
                b.add(gated, k)
            }
        };
        b.output("h", next);
        let mut stacked = b.mul(next, position);
        if let Some(count) = count {
            let one = b.scalar(DType::I32, 1.0);
            let more = b.add(count, one);
            b.output("n", more);
            let number = b.cast(count, slice.dtype);
            let number = b.spread(number, slice.shape.clone(), vec![]);
            stacked = b.add(stacked, number);
        }
        let before = b.sub(h, k);
        b.output("y", stacked);
        b.output("before", before);
        let scan = Scan {
            body: function("step", b),
            carries: 1 + usize::from(counts),
            xs: 1,
            length,
            reverse: dice.roll(2) == 0,
        };
        let mut operands = vec![start.id];
        if counts {
            operands.push(self.builder.scalar(DType::I32, 0.0));
        }
        operands.extend([x.id, constant.id]);
        let carries = scan.carries;
        let results = self.builder.application(&Op::Scan { scan, result: 0 }, &operands);
        let most = 32.0 + length as f64;
        self.keep(results[0], Interval::symmetric(8.0));
        self.keep(results[carries], Interval::symmetric(most));
        self.keep(results[carries + 1], Interval::symmetric(12.0));
    }

    /// One of two formulas, chosen by a label or, where kinks are allowed, by a float.
    pub(crate) fn branch(&mut self, x: Float, dice: &mut Dice<'_>) {
        let (x, y) = self.pair(x, dice);
        if self.config.calls && dice.roll(2) == 0 {
            return self.call(x, y, dice);
        }
        let condition = match self.some_label() {
            Some(label) if !self.config.kinks || dice.roll(2) == 0 => {
                let one = self.builder.scalar(DType::I32, 1.0);
                self.builder.compare(CompareOp::Lt, label, one)
            }
            _ if self.config.kinks => {
                let axes = (0..self.shape(x).rank()).collect();
                let sum = self.builder.sum(x.id, axes);
                let zero = self.builder.full_like(sum, 0.0);
                self.builder.compare(CompareOp::Gt, sum, zero)
            }
            _ => {
                let (one, two) =
                    (self.builder.scalar(DType::I32, 1.0), self.builder.scalar(DType::I32, 2.0));
                self.builder.compare(CompareOp::Lt, one, two)
            }
        };
        let ty = self.builder.ty(x.id).clone();
        let then = of_two(&ty, "then", &|b, a, c| {
            let tanh = b.unary(UnaryOp::Tanh, a);
            vec![b.mul(tanh, c), b.sub(a, c)]
        });
        let otherwise = of_two(&ty, "otherwise", &|b, a, c| {
            let sine = b.unary(UnaryOp::Sin, a);
            vec![b.add(sine, c), c]
        });
        let op = Op::Cond { then, otherwise, result: 0 };
        let results = self.builder.application(&op, &[condition, x.id, y.id]);
        let most = 1.0 + y.bounds.size();
        self.keep(results[0], Interval::symmetric(most));
        self.keep(results[1], x.bounds.binary(BinaryOp::Sub, y.bounds).hull(y.bounds));
    }

    /// A function of two operands, perhaps with a derivative of its own.
    fn call(&mut self, x: Float, y: Float, dice: &mut Dice<'_>) {
        let ty = self.builder.ty(x.id).clone();
        let product = of_two(&ty, "product", &|b, a, c| vec![b.mul(a, c)]);
        let function = match dice.roll(2) {
            0 => product,
            _ => with_own_derivative(&product),
        };
        let id = self.builder.node(Op::Call { function, result: 0 }, &[x.id, y.id]);
        self.keep(id, x.bounds.binary(BinaryOp::Mul, y.bounds));
    }
}

/// A function of two operands of type `ty`.
fn of_two(
    ty: &TensorType,
    name: &str,
    build: &dyn Fn(&mut Builder, NodeId, NodeId) -> Vec<NodeId>,
) -> Arc<Function> {
    let mut b = Builder::new();
    let a = b.declare_input("a", ty.clone(), None, At::Unknown);
    let c = b.declare_input("c", ty.clone(), None, At::Unknown);
    for (i, result) in build(&mut b, a, c).into_iter().enumerate() {
        b.output(&format!("r{i}"), result);
    }
    function(name, b)
}

/// `product` with `(g · c, g · a)` as its derivative.
fn with_own_derivative(product: &Function) -> Arc<Function> {
    let ty = product.graph().inputs()[0].ty.clone();
    let mut b = Builder::new();
    let [a, c, g] =
        ["a", "c", "g"].map(|name| b.declare_input(name, ty.clone(), None, At::Unknown));
    let (da, dc) = (b.mul(g, c), b.mul(g, a));
    b.output("da", da);
    b.output("dc", dc);
    match product.clone().with_vjp(function("product.vjp", b)) {
        Ok(function) => Arc::new(function),
        Err(error) => panic!("internal error: {error}"),
    }
}

fn function(name: &str, b: Builder) -> Arc<Function> {
    let graph = match b.build() {
        Ok(graph) => graph,
        Err(errors) => panic!("internal error: {errors}"),
    };
    match Function::new(name, graph) {
        Ok(function) => Arc::new(function),
        Err(error) => panic!("internal error: {error}"),
    }
}
