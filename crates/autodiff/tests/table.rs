//! Every op of the table over its domain: reverse against forward mode, both against differences, second order too.

mod common;

use common::{check_gradient, check_modes};
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, BinaryOp, Builder, CompareOp, CrossEntropyOp, DType, Domain, DotAxes, Graph, Literal,
    MarkOp, MoveOp, NodeId, Op, ReduceOp, Shape, SoftmaxOp, TensorType, UnaryOp, Windows,
};
use eggrad_testkit::Rng;

const DRAWS: u64 = 3;

fn draw(domain: Domain, n: usize, rng: &mut Rng) -> Vec<f64> {
    let sign = |rng: &mut Rng| if rng.below(2) == 0 { -1.0 } else { 1.0 };
    (0..n)
        .map(|i| match domain {
            Domain::Any => rng.uniform(-2.0, 2.0),
            Domain::NonZero => sign(rng) * rng.uniform(0.3, 2.0),
            Domain::Positive => rng.uniform(0.3, 3.0),
            Domain::AboveMinusOne => rng.uniform(-0.7, 2.0),
            Domain::Negative => -rng.uniform(0.3, 3.0),
            Domain::Fractional => rng.below(5) as f64 - 2.0 + sign(rng) * rng.uniform(0.05, 0.45),
            // A spread-out permutation: 7 is coprime to every size used.
            Domain::Distinct => (i * 7 % n) as f64 * 0.4 - 1.0 + rng.uniform(0.0, 0.1),
            Domain::Logical => f64::from(u8::from(rng.below(2) == 1)),
        })
        .collect()
}

/// Checks `build` on operands of the given shapes drawn from `domain`, all of them differentiated.
fn check(
    name: &str,
    shapes: &[&[usize]],
    domain: Domain,
    build: &dyn Fn(&mut Builder, &[NodeId]) -> NodeId,
) {
    for dtype in [DType::F64, DType::F32] {
        let mut b = Builder::new();
        let names: Vec<String> = (0..shapes.len()).map(|i| format!("x{i}")).collect();
        let args: Vec<NodeId> = names
            .iter()
            .zip(shapes)
            .map(|(n, &s)| b.declare_input(n, TensorType::new(dtype, s), None, At::Unknown))
            .collect();
        let y = build(&mut b, &args);
        b.output("y", y);
        let graph: Graph = b.build().unwrap();
        let wrt: Vec<&str> = names.iter().map(String::as_str).collect();
        for seed in 0..DRAWS {
            let mut rng = Rng::new(seed);
            // Operands of one op are drawn together, so that they differ from each other too.
            let counts: Vec<usize> = graph.inputs().iter().map(|i| i.ty.shape.elements()).collect();
            let mut all = draw(domain, counts.iter().sum(), &mut rng).into_iter();
            let inputs: Vec<Tensor> = graph
                .inputs()
                .iter()
                .zip(&counts)
                .map(|(i, &n)| {
                    let values: Vec<f64> = all.by_ref().take(n).collect();
                    Tensor::from_values(i.ty.clone(), &values)
                })
                .collect();
            let modes = check_modes(&graph, &inputs, &[], &wrt, true, seed);
            assert!(modes < 1e-8, "{name}: forward, reverse and differences differ by {modes:e}");
            for order in [1, 2] {
                let error = check_gradient(&graph, &inputs, &[], &wrt, order, seed);
                assert!(error < 1e-8, "{name}: derivative {order} is off by {error:e}");
            }
        }
    }
}

#[test]
fn elementwise() {
    for &op in UnaryOp::ALL {
        if op.domain() != Domain::Logical {
            check(op.name(), &[&[2, 3]], op.domain(), &|b, x| {
                // `tan` away from its poles; `log_erfc` out to where another formula takes over.
                let scales = [(UnaryOp::Tan, 0.5), (UnaryOp::LogErfc, 4.0)];
                let scale = scales.iter().find(|s| s.0 == op).map_or(1.0, |s| s.1);
                let scale = b.full_like(x[0], scale);
                let scaled = b.mul(scale, x[0]);
                b.unary(op, scaled)
            });
        }
    }
    for &op in BinaryOp::ALL {
        if op.domain() != Domain::Logical {
            check(op.name(), &[&[2, 3], &[2, 3]], op.domain(), &|b, x| b.binary(op, x[0], x[1]));
            // One value twice: both of its parts arrive.
            if op.domain() != Domain::Distinct {
                check(op.name(), &[&[4]], op.domain(), &|b, x| b.binary(op, x[0], x[0]));
            }
        }
    }
    for &op in CompareOp::ALL {
        check(op.name(), &[&[5], &[5]], op.domain(), &|b, x| {
            let c = b.compare(op, x[0], x[1]);
            b.cast(c, b.ty(x[0]).dtype)
        });
        check("select", &[&[5], &[5]], op.domain(), &|b, x| {
            let c = b.compare(op, x[0], x[1]);
            let square = b.unary(UnaryOp::Square, x[0]);
            b.select(c, square, x[1])
        });
    }
    check("keep", &[&[3]], Domain::Any, &|b, x| {
        let square = b.unary(UnaryOp::Square, x[0]);
        b.node(Op::Mark(MarkOp::Keep), &[square])
    });
    check("cast", &[&[3]], Domain::Any, &|b, x| {
        let dtype = b.ty(x[0]).dtype;
        let other = if dtype == DType::F32 { DType::F64 } else { DType::F32 };
        let cast = b.cast(x[0], other);
        let square = b.unary(UnaryOp::Square, cast);
        b.cast(square, dtype)
    });
}

#[test]
fn reductions() {
    for &op in ReduceOp::ALL {
        for axes in [vec![], vec![0], vec![1], vec![0, 2], vec![0, 1, 2]] {
            check(op.name(), &[&[2, 2, 3]], op.domain(), &|b, x| {
                b.node(Op::Reduce(op, axes.clone()), &[x[0]])
            });
        }
    }
    check("size", &[&[2, 3]], Domain::NonZero, &|b, x| {
        let size = Op::Size { dtype: b.ty(x[0]).dtype, axes: vec![0, 1] };
        let size = b.node(size, &[x[0]]);
        let sum = b.sum(x[0], vec![0, 1]);
        b.div(sum, size)
    });
}

#[test]
fn rows() {
    for axes in [vec![], vec![1], vec![0], vec![0, 2]] {
        for &op in SoftmaxOp::ALL {
            check(op.name(), &[&[2, 3, 2]], op.domain(), &|b, x| {
                b.node(Op::Softmax(op, axes.clone()), &[x[0]])
            });
        }
        for &op in CrossEntropyOp::ALL {
            check(op.name(), &[&[2, 3, 2], &[2, 3, 2]], op.domain(), &|b, x| {
                b.node(Op::CrossEntropy(op, axes.clone()), &[x[0], x[1]])
            });
        }
    }
}

#[test]
fn moves() {
    let moves = [
        MoveOp::Reshape(Shape::from([3, 2, 2])),
        MoveOp::Reshape(Shape::from([12])),
        MoveOp::Transpose(vec![2, 0, 1]),
        MoveOp::Transpose(vec![1, 0, 2]),
        MoveOp::Broadcast { shape: Shape::from([3, 2, 2, 1, 3]), axes: vec![1, 2, 4] },
        MoveOp::Broadcast { shape: Shape::from([2, 2, 3]), axes: vec![0, 1, 2] },
        MoveOp::Slice { start: vec![0, 1, 0], step: vec![1, 1, 2], size: vec![2, 1, 2] },
        MoveOp::Slice { start: vec![1, 0, 9], step: vec![1, 1, 1], size: vec![1, 2, 0] },
        MoveOp::Pad {
            start: vec![1, 0, 2],
            step: vec![1, 2, 3],
            size: vec![3, 3, 10],
            fill: Literal::Float(f64::to_bits(1.5)),
        },
    ];
    for op in moves {
        check(&format!("{op:?}"), &[&[2, 2, 3]], Domain::Any, &|b, x| {
            b.node(Op::Move(op.clone()), &[x[0]])
        });
    }
}

#[test]
fn windows() {
    let along = |axes: &[usize], size: &[usize], stride: &[usize], dilation: &[usize]| {
        let [axes, size, stride, dilation] = [axes, size, stride, dilation].map(<[usize]>::to_vec);
        Windows { axes, size, stride, dilation }
    };
    let cases = [
        along(&[], &[], &[], &[]),
        along(&[1], &[3], &[1], &[1]),
        along(&[1], &[2], &[2], &[3]),
        along(&[0, 1], &[2, 3], &[1, 2], &[1, 1]),
        along(&[0, 2], &[2, 2], &[3, 1], &[2, 1]),
    ];
    for windows in cases {
        let name = format!("{windows:?}");
        let lengths: Vec<usize> = windows.axes.iter().map(|&a| [4, 6, 2][a]).collect();
        check(&name, &[&[4, 6, 2]], Domain::Any, &|b, x| b.window(x[0], windows.clone()));
        check(&name, &[&[4, 6, 2]], Domain::Any, &|b, x| {
            let seen = b.window(x[0], windows.clone());
            let square = b.unary(UnaryOp::Square, seen);
            b.fold(square, windows.clone(), lengths.clone())
        });
    }
    // Convolution: windows contracted with a kernel.
    check("convolution", &[&[2, 6, 3], &[2, 3, 4]], Domain::Any, &|b, x| {
        let seen = b.window(x[0], along(&[1], &[2], &[2], &[2]));
        let axes = DotAxes { batch: vec![], contract: vec![(3, 0), (2, 1)] };
        b.dot(seen, x[1], axes)
    });
    // The largest of each window.
    check("pooling", &[&[2, 6]], Domain::Distinct, &|b, x| {
        let seen = b.window(x[0], along(&[1], &[3], &[2], &[1]));
        b.reduce(ReduceOp::Max, seen, vec![2])
    });
}

#[test]
fn random_numbers() {
    check("random", &[&[2, 3]], Domain::Any, &|b, x| {
        let (seed, step) = (b.scalar(DType::I32, 5.0), b.scalar(DType::I32, 1.0));
        let key = b.node(Op::RandomKey { stream: 3 }, &[seed, step]);
        let dtype = b.ty(x[0]).dtype;
        let noise = b.node(Op::Random { dtype, shape: Shape::from([2, 3]) }, &[key]);
        let product = b.mul(noise, x[0]);
        b.unary(UnaryOp::Sin, product)
    });
}

#[test]
fn contractions() {
    let dot =
        |left: &[usize], right: &[usize], batch: &[(usize, usize)], contract: &[(usize, usize)]| {
            let axes = DotAxes { batch: batch.to_vec(), contract: contract.to_vec() };
            check(&format!("{axes:?}"), &[left, right], Domain::Any, &|b, x| {
                b.dot(x[0], x[1], axes.clone())
            });
        };
    dot(&[2, 3], &[3, 4], &[], &[(1, 0)]);
    dot(&[3, 2], &[4, 3], &[], &[(0, 1)]);
    dot(&[3], &[3], &[], &[(0, 0)]);
    dot(&[2], &[3], &[], &[]);
    dot(&[], &[3], &[], &[]);
    dot(&[2, 3, 4], &[2, 4, 5], &[(0, 0)], &[(2, 1)]);
    dot(&[2, 3], &[3, 2], &[(1, 0), (0, 1)], &[]);
    // Everything out of order: batch listed backwards, two contracted pairs that cross, free axes between.
    dot(&[2, 3, 4, 5, 2], &[5, 2, 3, 2, 4], &[(4, 1), (1, 2)], &[(3, 0), (2, 4)]);
}

#[test]
fn one_operand_twice() {
    check("x @ x^T", &[&[2, 3]], Domain::Any, &|b, x| {
        b.dot(x[0], x[0], DotAxes { batch: vec![], contract: vec![(1, 1)] })
    });
    check("x · x over a batch", &[&[2, 2]], Domain::Any, &|b, x| {
        b.dot(x[0], x[0], DotAxes { batch: vec![(0, 1)], contract: vec![(1, 0)] })
    });
    check("cross_entropy(x, x)", &[&[4]], Domain::Any, &|b, x| {
        b.node(Op::CrossEntropy(CrossEntropyOp::Value, vec![0]), &[x[0], x[0]])
    });
}

#[test]
fn labels() {
    let index = |b: &mut Builder, values: &[f64], shape: &[usize]| {
        let data = eggrad_ir::TensorData {
            dtype: DType::I32,
            shape: Shape::from(shape),
            values: values.to_vec(),
        };
        b.node(Op::Data(std::sync::Arc::new(data)), &[])
    };
    check("gather", &[&[3, 2]], Domain::Any, &|b, x| {
        let i = index(b, &[2.0, 0.0, 2.0, 1.0], &[2, 2]);
        b.node(Op::Gather { batch: 0 }, &[x[0], i])
    });
    check("gather, batch", &[&[2, 3]], Domain::Any, &|b, x| {
        let i = index(b, &[2.0, 0.0], &[2]);
        b.node(Op::Gather { batch: 1 }, &[x[0], i])
    });
    // Two updates meet in one row, one is dropped at each end.
    check("scatter_add", &[&[5, 2]], Domain::Any, &|b, x| {
        let i = index(b, &[1.0, 1.0, -1.0, 3.0, 0.0], &[5]);
        b.node(Op::ScatterAdd { batch: 0, size: 3 }, &[i, x[0]])
    });
    check("scatter_add, batch", &[&[2, 2]], Domain::Any, &|b, x| {
        let i = index(b, &[1.0, 0.0, 2.0, 9.0], &[2, 2]);
        b.node(Op::ScatterAdd { batch: 1, size: 3 }, &[i, x[0]])
    });
    check("one_hot", &[&[2, 3]], Domain::Any, &|b, x| {
        let i = index(b, &[1.0, 5.0], &[2]);
        let one_hot = Op::OneHot { dtype: b.ty(x[0]).dtype, classes: 3 };
        let hot = b.node(one_hot, &[i]);
        b.node(Op::CrossEntropy(CrossEntropyOp::Value, vec![1]), &[x[0], hot])
    });
}
