//! The steps of a recipe: each adds a node of one class to the graph.

use crate::interval::Interval;
use crate::recipe::{Dice, Float, Kitchen, MAX_ELEMENTS, MAX_RANK, MAX_SIZE};
use eggrad_ir::{
    BinaryOp, CompareOp, CrossEntropyOp, DType, DotAxes, Literal, MarkOp, MoveOp, NodeId, Op,
    ReduceOp, Shape, SoftmaxOp, TensorData, UnaryOp,
};
use std::sync::Arc;

impl Kitchen<'_> {
    pub(crate) fn unary(&mut self, x: Float, dice: &mut Dice<'_>) {
        let kinks = self.config.kinks;
        let usable = |op: &&UnaryOp| match op {
            UnaryOp::Not => false,
            UnaryOp::Abs
            | UnaryOp::Sign
            | UnaryOp::Relu
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round => kinks,
            UnaryOp::Neg
            | UnaryOp::Square
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt
            | UnaryOp::Recip
            | UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Exp2
            | UnaryOp::Log2
            | UnaryOp::Log1mexp
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Erf
            | UnaryOp::Erfc
            | UnaryOp::LogErfc
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus => true,
        };
        let ops: Vec<UnaryOp> = UnaryOp::ALL.iter().filter(usable).copied().collect();
        let op = dice.pick(&ops);
        let x = match op {
            UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Recip => self.within(x, 0.2, MAX_SIZE),
            UnaryOp::Log | UnaryOp::Log2 => self.within(x, 0.02, MAX_SIZE),
            UnaryOp::Log1p => self.within(x, -0.8, MAX_SIZE),
            UnaryOp::Exp | UnaryOp::Expm1 | UnaryOp::Exp2 => self.within(x, -MAX_SIZE, 4.0),
            UnaryOp::Log1mexp => self.within(x, -MAX_SIZE, -0.1),
            UnaryOp::Sin | UnaryOp::Cos | UnaryOp::LogErfc => self.within(x, -4.0, 4.0),
            UnaryOp::Tan => self.within(x, -1.2, 1.2),
            UnaryOp::Neg
            | UnaryOp::Abs
            | UnaryOp::Sign
            | UnaryOp::Square
            | UnaryOp::Erf
            | UnaryOp::Erfc
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus
            | UnaryOp::Relu
            | UnaryOp::Not => x,
        };
        let id = self.builder.unary(op, x.id);
        self.keep(id, x.bounds.unary(op));
    }

    pub(crate) fn binary(&mut self, x: Float, dice: &mut Dice<'_>) {
        use BinaryOp::{Add, Atan2, Div, LogAddExp, Maximum, Minimum, Mod, Mul, Pow, Sub, Xlogy};
        const SMOOTH: &[BinaryOp] = &[Add, Sub, Mul, Div, Pow, Atan2, LogAddExp, Xlogy];
        let op = match self.config.kinks {
            true => dice.pick(&[SMOOTH, &[Mod, Maximum, Minimum]].concat()),
            false => dice.pick(SMOOTH),
        };
        let (mut x, mut y) = self.pair(x, dice);
        match op {
            // The last away from its pole and its cut.
            Div | Mod | Atan2 => y = self.within(y, 0.2, MAX_SIZE),
            Xlogy => y = self.within(y, 0.02, MAX_SIZE),
            Pow => {
                x = self.within(x, 0.2, MAX_SIZE);
                y = self.within(y, -2.0, 2.0);
            }
            Add | Sub | Mul | LogAddExp | Maximum | Minimum | BinaryOp::And | BinaryOp::Or => {}
        }
        let id = self.builder.binary(op, x.id, y.id);
        self.keep(id, x.bounds.binary(op, y.bounds));
    }

    pub(crate) fn reduce(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn mean(&mut self, x: Float, dice: &mut Dice<'_>) {
        let axes = self.axes(x, dice);
        let dtype = self.config.dtype;
        let sum = self.builder.sum(x.id, axes.clone());
        let size = self.builder.node(Op::Size { dtype, axes }, &[x.id]);
        let shape = self.builder.ty(sum).shape.clone();
        let size = self.builder.spread(size, shape, vec![]);
        let id = self.builder.div(sum, size);
        self.keep(id, x.bounds);
    }

    pub(crate) fn softmax(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn naive_softmax(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn cross_entropy(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn dot(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn moved(&mut self, x: Float, dice: &mut Dice<'_>) {
        let shape = self.shape(x);
        let rank = shape.rank();
        let op = match dice.roll(6) {
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
            3 => return self.slice(x, dice),
            4 => return self.pad(x, dice),
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

    /// Some positions of each axis, at least one.
    fn slice(&mut self, x: Float, dice: &mut Dice<'_>) {
        let (mut start, mut step, mut size) = (vec![], vec![], vec![]);
        for &n in self.shape(x).dims() {
            let from = dice.roll(n);
            let by = 1 + dice.roll(3);
            start.push(from);
            step.push(by);
            size.push((n - from).div_ceil(by));
        }
        let id = self.builder.node(Op::Move(MoveOp::Slice { start, step, size }), &[x.id]);
        self.keep(id, x.bounds);
    }

    /// Room before, between and behind.
    fn pad(&mut self, x: Float, dice: &mut Dice<'_>) {
        let value = dice.pick(&[0.0, 0.0, 1.0, -0.5]);
        let (mut start, mut step, mut size) = (vec![], vec![], vec![]);
        for &n in self.shape(x).dims() {
            let room = dice.roll(12);
            let (before, by, behind) = (room % 3, 1 + room / 6, room / 3 % 2);
            start.push(before);
            step.push(by);
            size.push(before + (n - 1) * by + 1 + behind);
        }
        if size.iter().product::<usize>() > MAX_ELEMENTS {
            return;
        }
        let fill = Literal::Float(f64::to_bits(value));
        let id = self.builder.node(Op::Move(MoveOp::Pad { start, step, size, fill }), &[x.id]);
        self.keep(id, x.bounds.hull(Interval::new(value, value)));
    }

    pub(crate) fn choose(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn labelled(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn leaf(&mut self, x: Float, dice: &mut Dice<'_>) {
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

    pub(crate) fn wrap(&mut self, x: Float, dice: &mut Dice<'_>) {
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
}
