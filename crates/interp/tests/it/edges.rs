//! Every op on tensors without elements and without axes.

use crate::single::{apply, f32s, i32s, try_apply};
use eggrad_interp::Tensor;
use eggrad_ir::{
    BinaryOp, CompareOp, CrossEntropyOp, DType, DotAxes, Literal, MarkOp, MoveOp, Op, ReduceOp,
    Shape, SoftmaxOp, TensorData, TensorType, UnaryOp, Windows,
};
use std::sync::Arc;

/// Shapes without elements.
const EMPTY: [&[usize]; 5] = [&[0], &[2, 0], &[0, 3], &[0, 0], &[2, 0, 3]];

/// Some numbers that every op takes.
const SOME: [f64; 6] = [0.5, 0.25, 0.75, 1.0, 0.125, 2.0];

/// An array of `ty` with as many of `values` as it has elements, over and over.
fn filled(ty: TensorType, values: &[f64]) -> Tensor {
    let values: Vec<f64> = values.iter().copied().cycle().take(ty.shape.elements()).collect();
    Tensor::from_values(ty, &values)
}

/// `op`, on operands of each of `types` that it takes: nothing from nothing, and from a number without axes what one
/// with an axis gives. How many of the types it takes.
fn elementwise(op: &Op, operands: usize) -> usize {
    let takes = |&dtype: &DType| {
        let of = |shape: &[usize]| {
            let ty = TensorType::new(dtype, shape);
            let args: Vec<Tensor> = (0..operands).map(|i| filled(ty.clone(), &SOME[i..])).collect();
            try_apply(op, &args)
        };
        let Some(one) = of(&[1]) else { return false };
        for shape in EMPTY {
            let nothing = of(shape).expect("takes any shape");
            assert!(nothing.ty.shape.dims() == shape && nothing.data.is_empty(), "{op:?}");
        }
        let scalar = of(&[]).expect("takes any shape");
        assert_eq!((scalar.ty.rank(), scalar.data), (0, one.data), "{op:?}");
        true
    };
    DType::ALL.iter().filter(|dtype| takes(dtype)).count()
}

#[test]
fn elementwise_ops_on_nothing_and_on_single_numbers() {
    for &op in UnaryOp::ALL {
        assert!(elementwise(&Op::Unary(op), 1) > 0, "{}", op.name());
    }
    for &op in BinaryOp::ALL {
        assert!(elementwise(&Op::Binary(op), 2) > 0, "{}", op.name());
    }
    for &op in CompareOp::ALL {
        assert_eq!(elementwise(&Op::Compare(op), 2), 6, "{}", op.name());
    }
    for &op in MarkOp::ALL {
        assert_eq!(elementwise(&Op::Mark(op), 1), 6, "{}", op.name());
    }
    for to in DType::ALL {
        assert_eq!(elementwise(&Op::Cast(to), 1), 6, "cast to {}", to.name());
    }
    for shape in EMPTY.into_iter().chain([&[][..]]) {
        let condition = filled(TensorType::new(DType::Bool, shape), &[1.0]);
        for dtype in DType::ALL {
            let a = filled(TensorType::new(dtype, shape), &[1.0]);
            let b = filled(TensorType::new(dtype, shape), &[0.0]);
            assert_eq!(apply(&Op::Select, &[condition.clone(), a.clone(), b]), a);
        }
    }
}

#[test]
fn reductions_over_nothing() {
    let numbers = DType::ALL.into_iter().filter(|&d| d != DType::Bool);
    for dtype in numbers {
        let (low, high) = match dtype {
            DType::I32 => (i32::MIN.into(), i32::MAX.into()),
            DType::I64 => (i64::MIN as f64, i64::MAX as f64),
            DType::U8 => (0.0, 255.0),
            DType::F32 | DType::F64 | DType::Bool => (f64::NEG_INFINITY, f64::INFINITY),
        };
        for &op in ReduceOp::ALL {
            if op == ReduceOp::LogSumExp && !dtype.is_float() {
                continue;
            }
            let nothing = match op {
                ReduceOp::Sum => 0.0,
                ReduceOp::Prod => 1.0,
                ReduceOp::Max => low,
                ReduceOp::Min => high,
                ReduceOp::LogSumExp => f64::NEG_INFINITY,
            };
            let reduce = |shape: &[usize], axes: &[usize]| {
                let x = filled(TensorType::new(dtype, shape), &[3.0]);
                apply(&Op::Reduce(op, axes.to_vec()), &[x])
            };
            let of = |shape: &[usize]| Tensor::full(TensorType::new(dtype, shape), nothing);
            assert_eq!(reduce(&[0], &[0]), of(&[]), "{}", op.name());
            assert_eq!(reduce(&[2, 0], &[1]), of(&[2]), "{}", op.name());
            assert_eq!(reduce(&[2, 0], &[0]), of(&[0]), "{}", op.name());
            assert_eq!(reduce(&[2, 0, 3], &[0, 1]), of(&[3]), "{}", op.name());
            assert_eq!(reduce(&[0, 0], &[0, 1]), of(&[]), "{}", op.name());
            assert_eq!(reduce(&[2, 0], &[]), of(&[2, 0]), "{}", op.name());
            // Over no axes each number is alone.
            let three = filled(TensorType::scalar(dtype), &[3.0]);
            assert_eq!(reduce(&[], &[]), three, "{}", op.name());
        }
    }
}

#[test]
fn rows_without_elements_and_of_one() {
    for dtype in [DType::F32, DType::F64] {
        let x = |shape: &[usize]| filled(TensorType::new(dtype, shape), &[3.0, -1.0]);
        let full = |shape: &[usize], v| Tensor::full(TensorType::new(dtype, shape), v);
        for (op, alone) in [(SoftmaxOp::Softmax, 1.0), (SoftmaxOp::LogSoftmax, 0.0)] {
            for shape in EMPTY {
                for axes in [vec![], vec![0], (0..shape.len()).collect()] {
                    let y = apply(&Op::Softmax(op, axes), &[x(shape)]);
                    assert!(y.ty.shape.dims() == shape && y.data.is_empty());
                }
            }
            for (shape, axes) in [(&[][..], vec![]), (&[2], vec![]), (&[2, 1], vec![1])] {
                let y = apply(&Op::Softmax(op, axes), &[x(shape)]);
                assert_eq!(y.to_f64s(), vec![alone; y.data.len()]);
            }
        }
        let entropy = |op, shape: &[usize], axes: &[usize]| {
            apply(&Op::CrossEntropy(op, axes.to_vec()), &[x(shape), full(shape, 0.5)])
        };
        let value = |shape: &[usize], axes: &[usize]| entropy(CrossEntropyOp::Value, shape, axes);
        assert_eq!(value(&[0], &[0]), full(&[], 0.0));
        assert_eq!(value(&[2, 0], &[1]), full(&[2], 0.0));
        assert_eq!(value(&[2, 0], &[0]), full(&[0], 0.0));
        assert_eq!(value(&[2, 0], &[]), full(&[2, 0], 0.0));
        assert_eq!(value(&[], &[]), full(&[], 0.0));
        assert_eq!(value(&[2], &[]), full(&[2], 0.0));
        for shape in EMPTY {
            let y = entropy(CrossEntropyOp::Residual, shape, &[0]);
            assert!(y.ty.shape.dims() == shape && y.data.is_empty());
        }
        // A class that is alone is certain: no gradient.
        for shape in [&[][..], &[2]] {
            let y = entropy(CrossEntropyOp::Residual, shape, &[]);
            assert!(y.to_f64s().iter().all(|&g| g == 0.0));
        }
    }
}

#[test]
fn leaves_and_random_numbers_without_elements() {
    for dtype in DType::ALL {
        let data = |shape: &[usize], values: &[f64]| {
            let (shape, values) = (shape.into(), values.to_vec());
            apply(&Op::Data(Arc::new(TensorData { dtype, shape, values })), &[])
        };
        assert!(data(&[2, 0], &[]).data.is_empty());
        assert_eq!(data(&[], &[1.0]).to_f64s(), [1.0]);
        for shape in EMPTY.into_iter().filter(|_| dtype != DType::Bool) {
            for axis in 0..shape.len() {
                let iota = Op::Iota { dtype, shape: shape.into(), axis };
                assert!(apply(&iota, &[]).data.is_empty());
            }
            let x = filled(TensorType::new(DType::F32, shape), &[]);
            let size = |axes| apply(&Op::Size { dtype, axes }, std::slice::from_ref(&x)).item();
            assert_eq!(size(vec![]), 1.0);
            assert_eq!(size((0..shape.len()).collect()), 0.0);
        }
    }
    let size = Op::Size { dtype: DType::I64, axes: vec![] };
    assert_eq!(apply(&size, &[f32s(&[], &[5.0])]).item(), 1.0);
    let key = i32s(&[2], &[1, 2]);
    for dtype in [DType::I32, DType::F32, DType::F64] {
        for shape in EMPTY {
            let random = Op::Random { dtype, shape: shape.into() };
            assert!(apply(&random, std::slice::from_ref(&key)).data.is_empty());
        }
    }
}

#[test]
fn moves_of_nothing_and_of_single_numbers() {
    let all = |dtype: DType| {
        let x = |shape: &[usize]| filled(TensorType::new(dtype, shape), &[1.0, 0.0, 1.0]);
        let moved = |op: MoveOp, shape: &[usize]| apply(&Op::Move(op), &[x(shape)]);
        let fill = Literal::of(dtype, 0.0).expect("every type has a zero");
        let zeros = |shape: &[usize]| Tensor::full(TensorType::new(dtype, shape), 0.0);

        let reshape = |to: &[usize]| MoveOp::Reshape(to.into());
        assert_eq!(moved(reshape(&[3, 0]), &[0]), x(&[3, 0]));
        assert_eq!(moved(reshape(&[0]), &[2, 0, 3]), x(&[0]));
        assert_eq!(moved(reshape(&[1, 1]), &[]), x(&[1, 1]));
        assert_eq!(moved(reshape(&[]), &[1]), x(&[]));

        assert_eq!(moved(MoveOp::Transpose(vec![]), &[]), x(&[]));
        assert_eq!(moved(MoveOp::Transpose(vec![1, 0]), &[2, 0]), x(&[0, 2]));

        let spread = |to: &[usize], axes: &[usize]| {
            let (shape, axes): (Shape, _) = (to.into(), axes.to_vec());
            MoveOp::Broadcast { shape, axes }
        };
        assert_eq!(moved(spread(&[], &[]), &[]), x(&[]));
        assert_eq!(moved(spread(&[0], &[]), &[]), x(&[0]));
        assert_eq!(moved(spread(&[2, 0], &[0]), &[2]), x(&[2, 0]));
        assert_eq!(moved(spread(&[2, 0], &[1]), &[0]), x(&[2, 0]));
        let ones = Tensor::full(TensorType::new(dtype, [2, 2]), 1.0);
        assert_eq!(moved(spread(&[2, 2], &[]), &[]), ones);

        let list = |l: &[usize]| l.to_vec();
        let slice = |start: &[usize], step: &[usize], size: &[usize]| MoveOp::Slice {
            start: list(start),
            step: list(step),
            size: list(size),
        };
        assert_eq!(moved(slice(&[], &[], &[]), &[]), x(&[]));
        assert_eq!(moved(slice(&[9], &[9], &[0]), &[0]), x(&[0]));
        assert_eq!(moved(slice(&[1, 5], &[1, 2], &[1, 0]), &[2, 3]), x(&[1, 0]));

        let pad = |start: &[usize], step: &[usize], size: &[usize]| MoveOp::Pad {
            start: list(start),
            step: list(step),
            size: list(size),
            fill,
        };
        assert_eq!(moved(pad(&[], &[], &[]), &[]), x(&[]));
        assert_eq!(moved(pad(&[4], &[1], &[3]), &[0]), zeros(&[3]));
        assert_eq!(moved(pad(&[0, 0], &[1, 1], &[2, 2]), &[2, 0]), zeros(&[2, 2]));
        assert_eq!(moved(pad(&[0, 0], &[1, 1], &[2, 0]), &[2, 0]), x(&[2, 0]));

        let along = |axes: &[usize]| {
            let lists = vec![2; axes.len()];
            let (size, stride, dilation) = (lists.clone(), vec![1; axes.len()], lists);
            Windows { axes: list(axes), size, stride, dilation }
        };
        let window = |axes: &[usize]| MoveOp::Window(along(axes));
        assert_eq!(moved(window(&[]), &[]), x(&[]));
        assert_eq!(moved(window(&[]), &[3]), x(&[3]));
        assert_eq!(moved(window(&[]), &[0]), x(&[0]));
        assert_eq!(moved(window(&[1]), &[0, 5]), x(&[0, 3, 2]));
        assert_eq!(moved(window(&[0, 2]), &[3, 0, 4]), x(&[1, 0, 2, 2, 2]));
        if dtype == DType::Bool {
            return;
        }
        let fold = |axes: &[usize], length: &[usize], shape: &[usize]| {
            apply(&Op::Fold { windows: along(axes), length: list(length) }, &[x(shape)])
        };
        assert_eq!(fold(&[], &[], &[]), x(&[]));
        assert_eq!(fold(&[], &[], &[3]), x(&[3]));
        assert_eq!(fold(&[1], &[5], &[0, 3, 2]), x(&[0, 5]));
        assert_eq!(fold(&[0, 2], &[3, 4], &[1, 0, 2, 2, 2]), x(&[3, 0, 4]));
    };
    DType::ALL.into_iter().for_each(all);
    // An axis without positions has no window.
    let one = vec![1];
    let windows = Windows { axes: vec![0], size: one.clone(), stride: one.clone(), dilation: one };
    assert!(try_apply(&Op::Move(MoveOp::Window(windows)), &[f32s(&[0], &[])]).is_none());
}

#[test]
fn contractions_of_nothing_and_of_single_numbers() {
    for dtype in DType::ALL.into_iter().filter(|&d| d != DType::Bool) {
        let twos = |shape: &[usize]| Tensor::full(TensorType::new(dtype, shape), 2.0);
        let full = |shape: &[usize], v| Tensor::full(TensorType::new(dtype, shape), v);
        let dot =
            |a: &[usize], b: &[usize], contract: &[(usize, usize)], batch: &[(usize, usize)]| {
                let axes = DotAxes { batch: batch.to_vec(), contract: contract.to_vec() };
                apply(&Op::Dot(axes), &[twos(a), twos(b)])
            };
        assert_eq!(dot(&[], &[], &[], &[]), full(&[], 4.0));
        assert_eq!(dot(&[], &[2], &[], &[]), full(&[2], 4.0));
        assert_eq!(dot(&[2], &[0], &[], &[]), full(&[2, 0], 0.0));
        assert_eq!(dot(&[0], &[0], &[(0, 0)], &[]), full(&[], 0.0));
        assert_eq!(dot(&[0], &[0], &[], &[(0, 0)]), full(&[0], 0.0));
        assert_eq!(dot(&[2, 0], &[0, 3], &[(1, 0)], &[]), full(&[2, 3], 0.0));
        assert_eq!(dot(&[0, 2], &[2, 3], &[(1, 0)], &[]), full(&[0, 3], 0.0));
        assert_eq!(dot(&[5, 2, 0], &[5, 0, 3], &[(2, 1)], &[(0, 0)]), full(&[5, 2, 3], 0.0));
        assert_eq!(dot(&[0, 2, 4], &[0, 4, 3], &[(2, 1)], &[(0, 0)]), full(&[0, 2, 3], 0.0));
        assert_eq!(dot(&[1], &[1], &[(0, 0)], &[]), full(&[], 4.0));
    }
}

#[test]
fn labels_and_indices_of_nothing_and_of_single_numbers() {
    for dtype in DType::ALL {
        let one_hot = |labels: &Tensor, classes| {
            apply(&Op::OneHot { dtype, classes }, std::slice::from_ref(labels))
        };
        let of = |shape: &[usize], v: &[f64]| Tensor::from_values(TensorType::new(dtype, shape), v);
        assert_eq!(one_hot(&i32s(&[], &[1]), 3), of(&[3], &[0.0, 1.0, 0.0]));
        assert_eq!(one_hot(&i32s(&[], &[0]), 0), of(&[0], &[]));
        assert_eq!(one_hot(&i32s(&[0], &[]), 3), of(&[0, 3], &[]));
        assert_eq!(one_hot(&i32s(&[2], &[0, 0]), 0), of(&[2, 0], &[]));

        let gather = |table: &Tensor, index: &Tensor, batch| {
            apply(&Op::Gather { batch }, &[table.clone(), index.clone()])
        };
        let missing = if dtype.is_float() { f64::NAN } else { 0.0 };
        let table = of(&[2], &[0.0, 1.0]);
        assert_eq!(gather(&table, &i32s(&[], &[1]), 0), of(&[], &[1.0]));
        assert_eq!(gather(&table, &i32s(&[], &[2]), 0), of(&[], &[missing]));
        assert_eq!(gather(&table, &i32s(&[3, 0], &[]), 0), of(&[3, 0], &[]));
        assert_eq!(gather(&of(&[0], &[]), &i32s(&[1], &[0]), 0), of(&[1], &[missing]));
        assert_eq!(gather(&of(&[0, 2], &[]), &i32s(&[1], &[0]), 0), of(&[1, 2], &[missing; 2]));
        assert_eq!(gather(&of(&[2, 0], &[]), &i32s(&[3], &[0, 1, 7]), 0), of(&[3, 0], &[]));
        assert_eq!(gather(&of(&[0, 2], &[]), &i32s(&[0], &[]), 1), of(&[0], &[]));
        assert_eq!(gather(&of(&[1, 0], &[]), &i32s(&[1], &[0]), 1), of(&[1], &[missing]));

        if dtype == DType::Bool {
            continue;
        }
        let scatter = |index: &Tensor, updates: &Tensor, batch, size| {
            apply(&Op::ScatterAdd { batch, size }, &[index.clone(), updates.clone()])
        };
        let (none, one) = (i32s(&[0], &[]), i32s(&[], &[1]));
        assert_eq!(scatter(&one, &of(&[], &[5.0]), 0, 2), of(&[2], &[0.0, 5.0]));
        assert_eq!(scatter(&one, &of(&[], &[5.0]), 0, 1), of(&[1], &[0.0]));
        assert_eq!(scatter(&one, &of(&[], &[5.0]), 0, 0), of(&[0], &[]));
        assert_eq!(scatter(&none, &of(&[0], &[]), 0, 2), of(&[2], &[0.0, 0.0]));
        assert_eq!(scatter(&none, &of(&[0, 2], &[]), 0, 1), of(&[1, 2], &[0.0, 0.0]));
        assert_eq!(scatter(&none, &of(&[0], &[]), 1, 2), of(&[0, 2], &[]));
        assert_eq!(scatter(&i32s(&[2], &[0, 1]), &of(&[2, 0], &[]), 0, 3), of(&[3, 0], &[]));
        assert_eq!(scatter(&i32s(&[1, 0], &[]), &of(&[1, 0], &[]), 1, 2), of(&[1, 2], &[0.0; 2]));
    }
}
