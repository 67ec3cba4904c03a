//! What ops give at kinks, ties, ends of ranges and on what is no number; the op table says it beside each row.

use crate::single::{apply, f32s, i32s};
use eggrad_interp::{Data, Tensor};
use eggrad_ir::{BinaryOp, CompareOp, DType, DotAxes, Op, ReduceOp, SoftmaxOp, UnaryOp};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Operands of an op and its result.
type Rows = &'static [(f64, f64, f64)];

/// Doubles.
fn f64s(values: &[f64]) -> Tensor {
    Tensor::new([values.len()], Data::F64(values.to_vec()))
}

/// Whether every result is exactly the one expected, the sign of zero included; both in double and single precision.
fn exactly(op: &Op, args: &[&[f64]], expected: &[f64]) {
    let doubles: Vec<Tensor> = args.iter().map(|a| f64s(a)).collect();
    assert_eq!(apply(op, &doubles), f64s(expected), "{op:?} on {args:?}");
    let single = |a: &[f64]| f32s(&[a.len()], &a.iter().map(|&x| x as f32).collect::<Vec<_>>());
    let singles: Vec<Tensor> = args.iter().map(|a| single(a)).collect();
    assert_eq!(apply(op, &singles), single(expected), "{op:?} on {args:?} in f32");
}

#[test]
fn one_operand() {
    #[rustfmt::skip]
    let table: &[(UnaryOp, &[(f64, f64)])] = &[
        (UnaryOp::Neg, &[(0.0, -0.0), (INF, -INF), (NAN, NAN)]),
        (UnaryOp::Abs, &[(-0.0, 0.0), (-INF, INF), (NAN, NAN)]),
        (UnaryOp::Sign, &[(NAN, NAN), (0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0)]),
        (UnaryOp::Square, &[(-INF, INF), (-0.0, 0.0), (NAN, NAN)]),
        (UnaryOp::Sqrt, &[(0.0, 0.0), (-0.0, -0.0), (-1.0, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)]),
        (UnaryOp::Rsqrt, &[(0.0, INF), (-0.0, -INF), (-1.0, NAN), (INF, 0.0), (NAN, NAN)]),
        (UnaryOp::Recip, &[(0.0, INF), (-0.0, -INF), (-INF, -0.0), (NAN, NAN)]),
        (UnaryOp::Exp, &[(0.0, 1.0), (-INF, 0.0), (INF, INF), (NAN, NAN)]),
        (UnaryOp::Expm1, &[(0.0, 0.0), (-0.0, -0.0), (-INF, -1.0), (INF, INF), (NAN, NAN)]),
        (UnaryOp::Exp2, &[(0.0, 1.0), (-INF, 0.0), (INF, INF), (-1.0, 0.5), (NAN, NAN)]),
        (UnaryOp::Log, &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (INF, INF), (NAN, NAN)]),
        (UnaryOp::Log2, &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (INF, INF), (NAN, NAN)]),
        (UnaryOp::Log1p, &[(-1.0, -INF), (0.0, 0.0), (-0.0, -0.0), (-2.0, NAN), (INF, INF), (NAN, NAN)]),
        (UnaryOp::Log1mexp, &[(0.0, -INF), (1.0, NAN), (INF, NAN), (-INF, -0.0), (NAN, NAN)]),
        (UnaryOp::Sin, &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN)]),
        (UnaryOp::Cos, &[(0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN)]),
        (UnaryOp::Tan, &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (NAN, NAN)]),
        (UnaryOp::Erf, &[(0.0, 0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)]),
        (UnaryOp::Erfc, &[(0.0, 1.0), (INF, 0.0), (-INF, 2.0), (NAN, NAN)]),
        (UnaryOp::LogErfc, &[(INF, -INF), (-INF, std::f64::consts::LN_2), (NAN, NAN)]),
        (UnaryOp::Tanh, &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)]),
        (UnaryOp::Sigmoid, &[(0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN)]),
        (UnaryOp::Softplus, &[(INF, INF), (-INF, 0.0), (NAN, NAN)]),
        (UnaryOp::Relu, &[(2.0, 2.0), (-2.0, 0.0), (INF, INF), (-INF, 0.0), (NAN, NAN)]),
        (UnaryOp::Floor, &[(-0.5, -1.0), (0.5, 0.0), (-0.0, -0.0), (-INF, -INF), (NAN, NAN)]),
        (UnaryOp::Ceil, &[(-0.5, -0.0), (0.5, 1.0), (-0.0, -0.0), (INF, INF), (NAN, NAN)]),
        (UnaryOp::Round, &[(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0), (-2.5, -2.0), (INF, INF), (NAN, NAN)]),
    ];
    for &op in UnaryOp::ALL.iter().filter(|&&op| op != UnaryOp::Not) {
        let Some((_, rows)) = table.iter().find(|(o, _)| *o == op) else {
            panic!("`{}` has no conventions", op.name())
        };
        for (x, y) in *rows {
            exactly(&Op::Unary(op), &[&[*x]], &[*y]);
        }
    }
}

#[test]
fn two_operands() {
    #[rustfmt::skip]
    let table: &[(BinaryOp, Rows)] = &[
        (BinaryOp::Add, &[(INF, -INF, NAN), (-0.0, 0.0, 0.0), (NAN, 1.0, NAN)]),
        (BinaryOp::Sub, &[(INF, INF, NAN), (0.0, 0.0, 0.0), (1.0, NAN, NAN)]),
        (BinaryOp::Mul, &[(0.0, INF, NAN), (0.0, -1.0, -0.0), (NAN, 0.0, NAN)]),
        (BinaryOp::Div, &[(1.0, 0.0, INF), (1.0, -0.0, -INF), (0.0, 0.0, NAN), (INF, INF, NAN), (1.0, -INF, -0.0)]),
        (BinaryOp::Pow, &[(0.0, 0.0, 1.0), (NAN, 0.0, 1.0), (1.0, NAN, 1.0), (NAN, 1.0, NAN), (2.0, NAN, NAN),
            (-2.0, 3.0, -8.0), (-2.0, 0.5, NAN), (-1.0, INF, 1.0), (0.0, -1.0, INF), (-0.0, -1.0, -INF), (0.5, INF, 0.0)]),
        (BinaryOp::Mod, &[(7.0, 3.0, 1.0), (-7.0, 3.0, 2.0), (7.0, -3.0, -2.0), (-7.0, -3.0, -1.0),
            (6.0, 3.0, 0.0), (-6.0, 3.0, 0.0), (6.0, -3.0, -0.0), (1.0, 0.0, NAN), (INF, 2.0, NAN),
            (1.0, INF, 1.0), (-1.0, INF, INF), (1.0, -INF, -INF), (NAN, 1.0, NAN), (1.0, NAN, NAN)]),
        (BinaryOp::Atan2, &[(0.0, 0.0, 0.0), (-0.0, 0.0, -0.0), (0.0, -0.0, std::f64::consts::PI),
            (0.0, 1.0, 0.0), (0.0, -1.0, std::f64::consts::PI), (NAN, 1.0, NAN), (1.0, NAN, NAN)]),
        (BinaryOp::LogAddExp, &[(-INF, -INF, -INF), (INF, -INF, INF), (INF, INF, INF), (-INF, 2.0, 2.0), (NAN, 1.0, NAN), (-INF, NAN, NAN)]),
        (BinaryOp::Xlogy, &[(0.0, NAN, 0.0), (0.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, INF, 0.0), (1.0, 0.0, -INF), (2.0, -1.0, NAN), (NAN, 1.0, NAN), (1.0, NAN, NAN)]),
        (BinaryOp::Maximum, &[(NAN, 1.0, NAN), (1.0, NAN, NAN), (NAN, -INF, NAN), (INF, NAN, NAN), (2.0, 2.0, 2.0), (-INF, 1.0, 1.0)]),
        (BinaryOp::Minimum, &[(NAN, 1.0, NAN), (1.0, NAN, NAN), (NAN, INF, NAN), (-INF, NAN, NAN), (2.0, 2.0, 2.0), (INF, 1.0, 1.0)]),
    ];
    let floats = |op: &&BinaryOp| !matches!(op, BinaryOp::And | BinaryOp::Or);
    for &op in BinaryOp::ALL.iter().filter(floats) {
        let Some((_, rows)) = table.iter().find(|(o, _)| *o == op) else {
            panic!("`{}` has no conventions", op.name())
        };
        for (a, b, y) in *rows {
            exactly(&Op::Binary(op), &[&[*a], &[*b]], &[*y]);
        }
    }
}

#[test]
fn comparisons_with_no_number_are_false_but_for_ne() {
    let x = f64s(&[NAN, 1.0, NAN, 0.0, 1.0]);
    let y = f64s(&[1.0, NAN, NAN, -0.0, 2.0]);
    let (t, f) = (true, false);
    for (op, numbers) in [
        (CompareOp::Eq, [t, f]),
        (CompareOp::Ne, [f, t]),
        (CompareOp::Lt, [f, t]),
        (CompareOp::Le, [t, t]),
        (CompareOp::Gt, [f, f]),
        (CompareOp::Ge, [t, f]),
    ] {
        let nan = op == CompareOp::Ne;
        let expected = Data::Bool(vec![nan, nan, nan, numbers[0], numbers[1]]);
        assert_eq!(
            apply(&Op::Compare(op), &[x.clone(), y.clone()]).data,
            expected,
            "{}",
            op.name()
        );
    }
    // False is below true.
    let bools = |v: [bool; 2]| Tensor::new([2], Data::Bool(v.to_vec()));
    let less = apply(&Op::Compare(CompareOp::Lt), &[bools([f, t]), bools([t, f])]);
    assert_eq!(less, bools([t, f]));
}

#[test]
fn reductions_keep_what_is_no_number() {
    #[rustfmt::skip]
    let table: &[(ReduceOp, &[f64], f64)] = &[
        (ReduceOp::Sum, &[INF, -INF], NAN),
        (ReduceOp::Sum, &[NAN, 1.0], NAN),
        (ReduceOp::Prod, &[0.0, INF], NAN),
        (ReduceOp::Max, &[1.0, NAN, INF], NAN),
        (ReduceOp::Max, &[NAN, -INF], NAN),
        (ReduceOp::Max, &[-INF, -INF], -INF),
        (ReduceOp::Min, &[1.0, NAN, -INF], NAN),
        (ReduceOp::Min, &[INF, INF], INF),
        (ReduceOp::LogSumExp, &[NAN, INF], NAN),
        (ReduceOp::LogSumExp, &[-INF, -INF], -INF),
        (ReduceOp::LogSumExp, &[INF, INF], INF),
        (ReduceOp::LogSumExp, &[-INF, 3.0], 3.0),
        (ReduceOp::LogSumExp, &[INF, -INF], INF),
    ];
    for &(op, x, y) in table {
        let found = apply(&Op::Reduce(op, vec![0]), &[f64s(x)]);
        assert_eq!(found, Tensor::scalar(DType::F64, y), "{} of {x:?}", op.name());
    }
    let softmax = |x: &[f64]| apply(&Op::Softmax(SoftmaxOp::Softmax, vec![0]), &[f64s(x)]);
    assert_eq!(softmax(&[-INF, 0.0]), f64s(&[0.0, 1.0]));
    assert_eq!(softmax(&[-INF, -INF]), f64s(&[NAN, NAN]));
    assert_eq!(softmax(&[INF, 0.0]), f64s(&[NAN, 0.0]));
    assert_eq!(softmax(&[NAN, 0.0]), f64s(&[NAN, NAN]));
    let log = |x: &[f64]| apply(&Op::Softmax(SoftmaxOp::LogSoftmax, vec![0]), &[f64s(x)]);
    assert_eq!(log(&[-INF, 0.0]).to_f64s(), [-INF, 0.0]);
    // A product with an infinity is summed as it is, whatever the other factor.
    let axes = DotAxes::contract(0, 0);
    let dot = apply(&Op::Dot(axes), &[f64s(&[0.0, 1.0]), f64s(&[INF, 1.0])]);
    assert_eq!(dot, Tensor::scalar(DType::F64, NAN));
}

#[test]
fn casts_truncate_and_saturate_floats_and_wrap_integers() {
    let floats = f64s(&[NAN, INF, -INF, 2.9, -2.9, 1e300, -0.0, 255.9, 4e9]);
    let cast = |to, x: &Tensor| apply(&Op::Cast(to), std::slice::from_ref(x)).data;
    let (high, low) = (i32::MAX, i32::MIN);
    let expected = vec![0, high, low, 2, -2, high, 0, 255, high];
    assert_eq!(cast(DType::I32, &floats), Data::I32(expected));
    let (high, low) = (i64::MAX, i64::MIN);
    let expected = vec![0, high, low, 2, -2, high, 0, 255, 4_000_000_000];
    assert_eq!(cast(DType::I64, &floats), Data::I64(expected));
    assert_eq!(cast(DType::U8, &floats), Data::U8(vec![0, 255, 0, 2, 0, 255, 0, 255, 255]));
    let (t, f) = (true, false);
    assert_eq!(cast(DType::Bool, &floats), Data::Bool(vec![t, t, t, t, t, t, f, t, t]));
    let large = Tensor::new([1], Data::F64(vec![1e300]));
    assert_eq!(cast(DType::F32, &large), Data::F32(vec![f32::INFINITY]));

    let longs = Tensor::new([4], Data::I64(vec![1 << 32 | 5, -1, 256, i64::MIN]));
    assert_eq!(cast(DType::I32, &longs), Data::I32(vec![5, -1, 256, 0]));
    assert_eq!(cast(DType::U8, &longs), Data::U8(vec![5, 255, 0, 0]));
    assert_eq!(cast(DType::Bool, &longs), Data::Bool(vec![t; 4]));
    let bools = Tensor::new([2], Data::Bool(vec![t, f]));
    assert_eq!(cast(DType::U8, &bools), Data::U8(vec![1, 0]));
    assert_eq!(cast(DType::F32, &bools), Data::F32(vec![1.0, 0.0]));
}

#[test]
fn integers_wrap() {
    let lowest = i32s(&[1], &[i32::MIN]);
    let unary = |op, x: &Tensor| apply(&Op::Unary(op), std::slice::from_ref(x));
    assert_eq!(unary(UnaryOp::Neg, &lowest), lowest);
    assert_eq!(unary(UnaryOp::Abs, &lowest), lowest);
    assert_eq!(unary(UnaryOp::Square, &lowest), i32s(&[1], &[0]));
    assert_eq!(unary(UnaryOp::Sign, &lowest), i32s(&[1], &[-1]));
    assert_eq!(unary(UnaryOp::Relu, &lowest), i32s(&[1], &[0]));
    let bytes = |v: [u8; 2]| Tensor::new([2], Data::U8(v.to_vec()));
    assert_eq!(unary(UnaryOp::Neg, &bytes([1, 0])), bytes([255, 0]));
    assert_eq!(unary(UnaryOp::Sign, &bytes([200, 0])), bytes([1, 0]));
    let binary = |op, a: [u8; 2], b| apply(&Op::Binary(op), &[bytes(a), bytes(b)]);
    assert_eq!(binary(BinaryOp::Add, [200, 1], [100, 1]), bytes([44, 2]));
    assert_eq!(binary(BinaryOp::Sub, [1, 0], [2, 0]), bytes([255, 0]));
    assert_eq!(binary(BinaryOp::Mul, [16, 3], [16, 5]), bytes([0, 15]));
    let longest = Tensor::new([1], Data::I64(vec![i64::MAX]));
    let sum = apply(&Op::Binary(BinaryOp::Add), &[longest.clone(), longest]);
    assert_eq!(sum.data, Data::I64(vec![-2]));
}

#[test]
fn labels_and_indices_out_of_range() {
    let far = [i64::MIN, -1, 0, 2, 1 << 32, i64::MAX];
    let index = Tensor::new([6], Data::I64(far.to_vec()));
    let one_hot = Op::OneHot { dtype: DType::U8, classes: 2 };
    let mut expected = vec![0; 12];
    expected[4] = 1;
    assert_eq!(apply(&one_hot, std::slice::from_ref(&index)).data, Data::U8(expected));
    let gather = |table: Data| {
        let table = Tensor::new([2], table);
        apply(&Op::Gather { batch: 0 }, &[table, index.clone()]).data
    };
    let nan = f32::NAN;
    assert_eq!(gather(Data::F32(vec![7.0, 8.0])), Data::F32(vec![nan, nan, 7.0, nan, nan, nan]));
    assert_eq!(gather(Data::I32(vec![7, 8])), Data::I32(vec![0, 0, 7, 0, 0, 0]));
    let only = vec![false, false, true, false, false, false];
    assert_eq!(gather(Data::Bool(vec![true, true])), Data::Bool(only));
    let scatter = Op::ScatterAdd { batch: 0, size: 2 };
    let updates = f32s(&[6], &[nan, nan, 7.0, nan, nan, nan]);
    assert_eq!(apply(&scatter, &[index, updates]), f32s(&[2], &[7.0, 0.0]));
}
