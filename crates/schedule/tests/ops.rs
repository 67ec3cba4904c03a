//! Every op and element type of the table, against the interpreter.

mod common;

use common::check;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, BinaryOp, Builder, CompareOp, CrossEntropyOp, DType, Domain, DotAxes, MoveOp, NodeId, Op,
    ReduceOp, Shape, SoftmaxOp, StateKind, TensorData, TensorType, UnaryOp,
};
use eggrad_testkit::Rng;
use std::sync::Arc;

type Pairs = Vec<(usize, usize)>;

const NUMBERS: [DType; 5] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8];

struct Case {
    builder: Builder,
    inputs: Vec<Tensor>,
    rng: Rng,
}

impl Case {
    fn new() -> Case {
        Case { builder: Builder::new(), inputs: vec![], rng: Rng::new(7) }
    }

    fn input(&mut self, dtype: DType, shape: &[usize], domain: Domain) -> NodeId {
        let ty = TensorType::new(dtype, shape.to_vec());
        let mut values = vec![];
        for i in 0..ty.shape.elements() {
            let x = self.rng.uniform(-3.0, 3.0);
            values.push(match domain {
                Domain::Any => x,
                Domain::NonZero | Domain::Distinct => x + 0.01 * i as f64 + 1e-3,
                Domain::Positive => x.abs() + 0.1,
                Domain::AboveMinusOne => x.abs() - 0.9,
                Domain::Negative => -0.1 - x.abs(),
                Domain::Fractional => x.trunc() + 0.3,
                Domain::Logical => f64::from(u8::from(x > 0.0)),
            });
        }
        if dtype.is_int() {
            let whole = |v: &mut f64| {
                *v = if dtype == DType::U8 { v.abs() * 70.0 } else { *v * 9.0 }.trunc()
            };
            values.iter_mut().for_each(whole);
        }
        self.given(ty, &values)
    }

    fn given(&mut self, ty: TensorType, values: &[f64]) -> NodeId {
        let name = format!("x{}", self.inputs.len());
        self.inputs.push(Tensor::from_values(ty.clone(), values));
        self.builder.declare_input(&name, ty, None, At::Unknown)
    }

    fn check(mut self, result: NodeId) -> String {
        self.builder.output("y", result);
        let graph = self.builder.build().expect("the case is well typed");
        format!("{:?}", check(&graph, &self.inputs, &[]))
    }
}

#[test]
fn elementwise_ops() {
    for &dtype in &NUMBERS {
        for &op in UnaryOp::ALL {
            let mut case = Case::new();
            let x = case.input(dtype, &[3, 5], op.domain());
            if let Ok(y) = case.builder.push(Op::Unary(op), &[x], At::Unknown) {
                case.check(y);
            }
        }
        for &op in BinaryOp::ALL {
            let mut case = Case::new();
            let (a, b) =
                (case.input(dtype, &[35], op.domain()), case.input(dtype, &[35], op.domain()));
            if let Ok(y) = case.builder.push(Op::Binary(op), &[a, b], At::Unknown) {
                case.check(y);
            }
        }
    }
    let mut case = Case::new();
    let a = case.input(DType::Bool, &[9], Domain::Logical);
    let b = case.input(DType::Bool, &[9], Domain::Logical);
    let not = case.builder.unary(UnaryOp::Not, a);
    let and = case.builder.binary(BinaryOp::And, not, b);
    let or = case.builder.binary(BinaryOp::Or, and, a);
    let y = case.builder.select(or, b, and);
    case.check(y);
}

#[test]
fn comparisons_selects_and_casts() {
    for &dtype in &DType::ALL {
        for &op in CompareOp::ALL {
            let mut case = Case::new();
            let (a, b) =
                (case.input(dtype, &[17], Domain::Any), case.input(dtype, &[17], Domain::Any));
            let c = case.builder.compare(op, a, b);
            let y = case.builder.select(c, b, a);
            case.builder.output("c", c);
            case.check(y);
        }
        for &to in &DType::ALL {
            let mut case = Case::new();
            let ty = TensorType::new(dtype, [8]);
            let x = case.given(ty, &[-3e9, -1.5, 0.0, 0.5, 1.0, 200.0, 300.0, 3e9]);
            let y = case.builder.cast(x, to);
            case.check(y);
        }
    }
}

#[test]
fn special_values_of_extremes() {
    for dtype in [DType::F32, DType::F64] {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0];
        let a: Vec<f64> = special.iter().flat_map(|&x| [x; 6]).collect();
        let b: Vec<f64> = special.iter().copied().cycle().take(36).collect();
        for op in [BinaryOp::Maximum, BinaryOp::Minimum, BinaryOp::Mul] {
            let mut case = Case::new();
            let ty = TensorType::new(dtype, [36]);
            let (x, y) = (case.given(ty.clone(), &a), case.given(ty, &b));
            let y = case.builder.binary(op, x, y);
            case.check(y);
        }
        for op in [ReduceOp::Max, ReduceOp::Min, ReduceOp::Sum, ReduceOp::LogSumExp] {
            for axis in [0, 1] {
                let mut case = Case::new();
                let x = case.given(TensorType::new(dtype, [6, 6]), &b);
                let x = case.builder.transpose(x, vec![1, 0]);
                let y = case.builder.reduce(op, x, vec![axis]);
                case.check(y);
            }
        }
    }
}

#[test]
fn reductions_over_any_axes() {
    let shapes: [&[usize]; 7] =
        [&[], &[40], &[3, 4], &[2, 3, 5], &[1, 3, 1, 4], &[2, 2, 3, 2], &[150, 3]];
    for shape in shapes {
        for set in 0..1usize << shape.len() {
            let axes: Vec<usize> = (0..shape.len()).filter(|a| set >> a & 1 == 1).collect();
            for &op in ReduceOp::ALL {
                for dtype in [DType::F32, DType::F64, DType::I32, DType::U8] {
                    let mut case = Case::new();
                    let x = case.input(dtype, shape, op.domain());
                    let small = if op == ReduceOp::Prod { 0.5 } else { 1.0 };
                    let x = if dtype.is_float() {
                        let s = case.builder.full_like(x, small);
                        case.builder.mul(x, s)
                    } else {
                        x
                    };
                    if let Ok(y) =
                        case.builder.push(Op::Reduce(op, axes.clone()), &[x], At::Unknown)
                    {
                        case.check(y);
                    }
                }
            }
        }
    }
}

#[test]
fn rows_of_any_axes() {
    let shapes: [&[usize]; 4] = [&[], &[7], &[3, 4], &[2, 3, 4]];
    for shape in shapes {
        for set in 0..1usize << shape.len() {
            let axes: Vec<usize> = (0..shape.len()).filter(|a| set >> a & 1 == 1).collect();
            for dtype in [DType::F32, DType::F64] {
                for &op in SoftmaxOp::ALL {
                    let mut case = Case::new();
                    let x = case.input(dtype, shape, Domain::Any);
                    let y = case.builder.node(Op::Softmax(op, axes.clone()), &[x]);
                    case.check(y);
                }
                for &op in CrossEntropyOp::ALL {
                    let mut case = Case::new();
                    let z = case.input(dtype, shape, Domain::Any);
                    let t = case.input(dtype, shape, Domain::Positive);
                    let y = case.builder.node(Op::CrossEntropy(op, axes.clone()), &[z, t]);
                    case.check(y);
                }
            }
        }
    }
}

#[test]
fn moves() {
    for &dtype in &DType::ALL {
        let mut case = Case::new();
        let x = case.input(dtype, &[2, 3, 4], Domain::Any);
        let y = case.builder.transpose(x, vec![2, 0, 1]);
        let y = case.builder.reshape(y, Shape::from([6, 4]));
        let y = case.builder.transpose(y, vec![1, 0]);
        let y = case.builder.node(
            Op::Move(MoveOp::Broadcast { shape: Shape::from([4, 2, 6, 3]), axes: vec![0, 2] }),
            &[y],
        );
        let y = case.builder.reshape(y, Shape::from([8, 18]));
        let y = case.builder.transpose(y, vec![1, 0]);
        case.check(y);
    }
}

/// Axes that meet at odd places: 6 as 2 times 3 and as 3 times 2.
#[test]
fn reshapes_that_do_not_line_up() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[2, 3], Domain::Any);
    let mut y = x;
    for i in 0..9 {
        y = case.builder.transpose(y, vec![1, 0]);
        let s = if i % 2 == 0 { [2, 3] } else { [3, 2] };
        y = case.builder.reshape(y, Shape::from(s));
        let b = case.builder.unary(UnaryOp::Tanh, y);
        y = case.builder.add(y, b);
    }
    case.check(y);
}

#[test]
fn products_of_any_axes() {
    let left = [2, 3, 4, 5];
    let mut lists = vec![(vec![], vec![])];
    for (l, r) in [(0, 0), (1, 2), (2, 1), (3, 3)] {
        lists = lists
            .into_iter()
            .flat_map(|(b, c): (Pairs, Pairs)| {
                let mut batch = b.clone();
                batch.push((l, r));
                let mut contract = c.clone();
                contract.push((l, r));
                [(b.clone(), c.clone()), (batch, c), (b, contract)]
            })
            .collect();
    }
    for (batch, contract) in lists {
        for dtype in [DType::F32, DType::I64] {
            let mut case = Case::new();
            let a = case.input(dtype, &left, Domain::Any);
            let b = case.input(dtype, &[2, 4, 3, 5], Domain::Any);
            let axes = DotAxes { batch: batch.clone(), contract: contract.clone() };
            let y = case.builder.dot(a, b, axes);
            case.check(y);
        }
    }
}

#[test]
fn products_of_odd_operands() {
    for dtype in NUMBERS {
        for (m, k, n) in [(1, 1, 1), (1, 20, 1), (5, 20, 1), (1, 20, 5), (3, 7, 5), (9, 33, 12)] {
            for kind in 0..6 {
                let mut case = Case::new();
                let b = &mut case;
                let (x, w) = match kind {
                    0 => {
                        (b.input(dtype, &[m, k], Domain::Any), b.input(dtype, &[k, n], Domain::Any))
                    }
                    1 => {
                        let (x, w) = (
                            b.input(dtype, &[k, m], Domain::Any),
                            b.input(dtype, &[n, k], Domain::Any),
                        );
                        (b.builder.transpose(x, vec![1, 0]), b.builder.transpose(w, vec![1, 0]))
                    }
                    2 => {
                        let (x, w) =
                            (b.input(dtype, &[m], Domain::Any), b.input(dtype, &[k], Domain::Any));
                        (
                            b.builder.spread(x, [m, k].into(), vec![0]),
                            b.builder.spread(w, [k, n].into(), vec![0]),
                        )
                    }
                    3 => {
                        let (x, w) = (
                            b.input(dtype, &[m, k], Domain::Any),
                            b.input(dtype, &[k, n], Domain::Any),
                        );
                        let x = b.builder.unary(UnaryOp::Relu, x);
                        (x, b.builder.unary(UnaryOp::Neg, w))
                    }
                    4 => {
                        let (x, w) = (
                            b.input(dtype, &[m * k], Domain::Any),
                            b.input(dtype, &[k * n], Domain::Any),
                        );
                        (b.builder.reshape(x, [m, k].into()), b.builder.reshape(w, [k, n].into()))
                    }
                    _ => {
                        let (x, w) = (b.builder.scalar(dtype, 2.0), b.builder.scalar(dtype, 3.0));
                        (
                            b.builder.spread(x, [m, k].into(), vec![]),
                            b.builder.spread(w, [k, n].into(), vec![]),
                        )
                    }
                };
                let y = b.builder.dot(x, w, DotAxes::contract(1, 0));
                let t = b.builder.transpose(y, vec![1, 0]);
                case.check(t);
            }
        }
    }
}

#[test]
fn indices() {
    for labels in [DType::I32, DType::I64, DType::U8] {
        for &dtype in &DType::ALL {
            let index = [0.0, 3.0, 2.0, 9.0, 1.0, 3.0];
            let mut case = Case::new();
            let i = case.given(TensorType::new(labels, [2, 3]), &index);
            let hot = case.builder.node(Op::OneHot { dtype, classes: 4 }, &[i]);
            case.check(hot);
            for batch in [0, 1] {
                let mut case = Case::new();
                let i = case.given(TensorType::new(labels, [2, 3]), &index);
                let shape: &[usize] = if batch == 0 { &[4, 5] } else { &[2, 4, 5] };
                let table = case.input(dtype, shape, Domain::Any);
                let y = case.builder.node(Op::Gather { batch }, &[table, i]);
                case.check(y);
                if dtype == DType::Bool {
                    continue;
                }
                let mut case = Case::new();
                let i = case.given(TensorType::new(labels, [2, 3]), &index);
                let updates = case.input(dtype, &[2, 3, 5], Domain::Any);
                let y = case.builder.node(Op::ScatterAdd { batch, size: 4 }, &[i, updates]);
                let y = case.builder.add(y, y);
                case.check(y);
            }
        }
    }
}

#[test]
fn leaves_and_counts() {
    for dtype in NUMBERS {
        for axis in 0..3 {
            let mut case = Case::new();
            let shape = Shape::from([3, 4, 2]);
            let y = case.builder.node(Op::Iota { dtype, shape, axis }, &[]);
            let x = case.input(dtype, &[3, 4, 2], Domain::Any);
            let n = case.builder.node(Op::Size { dtype, axes: vec![0, axis.max(1)] }, &[x]);
            let n = case.builder.spread(n, [3, 4, 2].into(), vec![]);
            let y = case.builder.add(y, n);
            let data = TensorData { dtype, shape: [2].into(), values: vec![3.0, 5.0] };
            let data = case.builder.node(Op::Data(Arc::new(data)), &[]);
            let data = case.builder.spread(data, [3, 4, 2].into(), vec![2]);
            let y = case.builder.mul(y, data);
            case.check(y);
        }
    }
}

#[test]
fn nothing_and_single_numbers() {
    for shape in [&[0][..], &[3, 0], &[0, 3], &[2, 0, 3]] {
        for &op in ReduceOp::ALL {
            for axis in 0..shape.len() {
                for dtype in [DType::F32, DType::F64, DType::I32, DType::U8] {
                    let mut case = Case::new();
                    let x = case.input(dtype, shape, Domain::Any);
                    if let Ok(y) = case.builder.push(Op::Reduce(op, vec![axis]), &[x], At::Unknown)
                    {
                        let y = case.builder.neg(y);
                        case.check(y);
                    }
                }
            }
        }
    }
    let mut case = Case::new();
    let a = case.input(DType::F32, &[3, 0], Domain::Any);
    let b = case.input(DType::F32, &[0, 4], Domain::Any);
    let y = case.builder.dot(a, b, DotAxes::contract(1, 0));
    let softmax = case.builder.node(Op::Softmax(SoftmaxOp::Softmax, vec![0]), &[a]);
    case.builder.output("empty", softmax);
    let index = case.given(TensorType::new(DType::I32, [2]), &[0.0, 1.0]);
    let table = case.input(DType::F32, &[0, 2], Domain::Any);
    let picked = case.builder.node(Op::Gather { batch: 0 }, &[table, index]);
    case.builder.output("picked", picked);
    case.check(y);
    let mut case = Case::new();
    let (a, b) =
        (case.input(DType::F64, &[], Domain::Any), case.input(DType::F64, &[1, 1], Domain::Any));
    let b = case.builder.reshape(b, Shape::scalar());
    let y = case.builder.dot(a, b, DotAxes::default());
    let y = case.builder.unary(UnaryOp::Exp, y);
    case.check(y);
}

#[test]
fn states_exchange_their_values() {
    let mut b = Builder::new();
    let ty = TensorType::new(DType::F32, [4, 4]);
    let leaf =
        |b: &mut Builder, name| b.declare_state(name, StateKind::Param, ty.clone(), At::Unknown);
    let s: Vec<NodeId> = ["a", "b", "c", "d", "e", "f"].map(|n| leaf(&mut b, n)).into();
    b.write(s[0], s[1]);
    b.write(s[1], s[0]);
    // d' reads c, c' reads d transposed.
    let t = b.transpose(s[3], vec![1, 0]);
    let c = b.add(s[2], t);
    let d = b.add(s[3], s[2]);
    b.write(s[2], c);
    b.write(s[3], d);
    // A state that takes the place of another one, which is updated from it.
    let e = b.mul(s[4], s[5]);
    b.write(s[4], e);
    b.write(s[5], s[4]);
    b.output("old", s[0]);
    b.output("product", e);
    let twice = b.dot(s[2], s[2], DotAxes::contract(1, 0));
    b.output("twice", twice);
    let graph = b.build().expect("well typed");
    let mut rng = Rng::new(3);
    let mut values = || (0..16).map(|_| rng.uniform(-1.0, 1.0)).collect::<Vec<f64>>();
    let states: Vec<Tensor> = (0..6).map(|_| Tensor::from_values(ty.clone(), &values())).collect();
    check(&graph, &[], &states);
}
