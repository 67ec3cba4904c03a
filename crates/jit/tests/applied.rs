//! Windows, random numbers, scans and branches: machine code has the plan evaluator's bits.

mod common;

use common::graphs::run;
use eggrad_interp::Tensor;
use eggrad_ir::{
    CompareOp, DType, DotAxes, MoveOp, NodeId, Op, ReduceOp, Shape, TensorData, TensorType,
    UnaryOp, Windows,
};
use eggrad_jit::{Aligned, ArrayRef};
use eggrad_testkit::{Case, cell, f32s, function, scan};
use std::sync::Arc;

/// Runs a case in every way.
trait Runs {
    /// Runs fused and not; what the fused plan gives.
    fn run(self, results: &[NodeId]) -> Vec<Aligned>;
}

impl Runs for Case {
    #[track_caller]
    fn run(mut self, results: &[NodeId]) -> Vec<Aligned> {
        self.outputs(results);
        let graph = self.b.build().expect("the case is well typed");
        run(&graph, &self.inputs, &self.states, false);
        run(&graph, &self.inputs, &self.states, true)
    }
}

/// Overlapping, tiling, with gaps, dilated; along the first, middle and last axes.
#[test]
fn windows_and_folds() {
    type Sizes = &'static [usize];
    let geometries: [(Sizes, Sizes, [Sizes; 3]); 6] = [
        (&[37], &[0], [&[3], &[1], &[2]]),
        (&[2, 11, 9, 7], &[1, 2], [&[3, 2], &[2, 1], &[1, 3]]),
        (&[2, 3, 11, 9], &[2, 3], [&[3, 3], &[1, 2], &[1, 1]]),
        (&[2, 6, 8, 5], &[1, 2], [&[2, 2], &[2, 2], &[1, 1]]),
        (&[3, 10, 33], &[1], [&[2], &[3], &[2]]),
        (&[0, 4, 3], &[1], [&[2], &[1], &[1]]),
    ];
    for (shape, axes, [size, stride, dilation]) in geometries {
        let windows = Windows {
            axes: axes.to_vec(),
            size: size.to_vec(),
            stride: stride.to_vec(),
            dilation: dilation.to_vec(),
        };
        for &dtype in &DType::ALL {
            let mut case = Case::new(200);
            let x = case.input(dtype, shape);
            let view = case.b.node(Op::Move(MoveOp::Window(windows.clone())), &[x]);
            if dtype == DType::Bool {
                case.run(&[view]);
                continue;
            }
            let all = case.b.ty(view).shape.clone();
            let cotangent = case.input(dtype, all.dims());
            let length: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
            let fold = Op::Fold { windows: windows.clone(), length };
            let back = case.b.node(fold.clone(), &[cotangent]);
            let positions: Vec<usize> = (shape.len()..all.rank()).collect();
            let max = case.b.reduce(ReduceOp::Max, view, positions.clone());
            let top = case.b.spread_over(max, &all, &positions);
            let hits = case.b.compare(CompareOp::Eq, view, top);
            let zero = case.b.full_like(cotangent, 0.0);
            let share = case.b.select(hits, cotangent, zero);
            let shares = case.b.node(fold, &[share]);
            case.run(&[view, back, max, shares, back]);
        }
    }
}

/// With the gradient by the input, a fold of a product or, at stride 1, a product of windows.
#[test]
fn convolutions() {
    for stride in [vec![2, 1], vec![1, 1]] {
        let mut case = Case::new(200);
        let (x, k) =
            (case.input(DType::F32, &[2, 9, 12, 3]), case.input(DType::F32, &[3, 2, 3, 8]));
        let windows = Windows { axes: vec![1, 2], size: vec![3, 2], stride, dilation: vec![1, 2] };
        let view = case.b.node(Op::Move(MoveOp::Window(windows.clone())), &[x]);
        let contract = vec![(3, 2), (4, 0), (5, 1)];
        let y = case.b.dot(view, k, DotAxes { batch: vec![], contract });
        let y = case.b.unary(UnaryOp::Relu, y);
        let contract = vec![(0, 0), (1, 1), (2, 2)];
        let dk = case.b.dot(view, y, DotAxes { batch: vec![], contract });
        let dw = case.b.dot(y, k, DotAxes { batch: vec![], contract: vec![(3, 3)] });
        let dw = case.b.transpose(dw, vec![0, 1, 2, 5, 3, 4]);
        let dx = case.b.node(Op::Fold { windows, length: vec![9, 12] }, &[dw]);
        case.run(&[y, dk, dx]);
    }
}

/// The published vectors of Threefry-2x32 with 20 rounds: key, counter, words.
const KNOWN: [[u32; 6]; 3] = [
    [0, 0, 0, 0, 0x6b20_0159, 0x99ba_4efe],
    [!0, !0, !0, !0, 0x1cb9_96fc, 0xbb00_2be7],
    [0x1319_8a2e, 0x0370_7344, 0x243f_6a88, 0x85a3_08d3, 0xc492_3a9c, 0x483d_f7a0],
];

#[test]
fn random_keys_are_the_published_ones() {
    for [seed, low, step, high, first, second] in KNOWN {
        let mut case = Case::new(200);
        let one = TensorType::scalar(DType::I32);
        let [seed, step] = [seed, step]
            .map(|word| case.given(Tensor::from_values(one.clone(), &[f64::from(word as i32)])));
        let stream = u64::from(high) << 32 | u64::from(low);
        let key = case.b.node(Op::RandomKey { stream }, &[seed, step]);
        let found = case.run(&[key]);
        assert_eq!(found[0].as_i32(), Some(&[first as i32, second as i32][..]));
    }
}

/// The interpreter's numbers to the bit: there is nothing to round.
#[test]
fn random_numbers_are_the_same_everywhere() {
    for dtype in [DType::I32, DType::F32, DType::F64] {
        for shape in [vec![], vec![2], vec![7, 5, 3], vec![1000], vec![0]] {
            let mut case = Case::new(200);
            let key = TensorData {
                dtype: DType::I32,
                shape: Shape::from([2]),
                values: vec![-5.0, 123_456.0],
            };
            let key = case.b.node(Op::Data(Arc::new(key)), &[]);
            let random = Op::Random { dtype, shape: Shape::from(shape.clone()) };
            let r = case.b.node(random, &[key]);
            let last: Vec<usize> = (0..shape.len()).rev().collect();
            let t = case.b.transpose(r, last);
            let t = case.b.add(t, t);
            case.b.output("r", r);
            let graph = case.b.clone().build().expect("well typed");
            let expected =
                eggrad_interp::run(&graph, &[], &[], eggrad_interp::Precision::AsWritten)
                    .expect("it runs");
            let found = case.run(&[r, t]);
            let found = common::graphs::tensor(&expected.outputs[0].ty, &found[0]);
            assert_eq!(found, expected.outputs[0]);
        }
    }
    let mut case = Case::new(200);
    let zeros = TensorData { dtype: DType::I32, shape: Shape::from([2]), values: vec![0.0, 0.0] };
    let key = case.b.node(Op::Data(Arc::new(zeros)), &[]);
    let results = [DType::I32, DType::F32, DType::F64]
        .map(|dtype| case.b.node(Op::Random { dtype, shape: Shape::from([1]) }, &[key]));
    let found = case.run(&results);
    let [_, _, _, _, first, second] = KNOWN[0];
    assert_eq!(found[0].as_i32(), Some(&[first as i32][..]));
    assert_eq!(found[1].as_f32(), Some(&[(first >> 8) as f32 / (1 << 24) as f32][..]));
    let wide = (u64::from(first >> 5) << 26 | u64::from(second >> 6)) as f64;
    assert_eq!(found[2].as_f64(), Some(&[wide / (1u64 << 53) as f64][..]));
}

#[test]
fn recurrent_networks() {
    for length in [0, 1, 2, 7, 30] {
        for reverse in [false, true] {
            for some in [vec![0, 1, 2], vec![0], vec![1, 1], vec![2]] {
                let mut case = Case::new(200);
                // Odd sizes: no slice of a sequence is aligned.
                let h = case.input(DType::F32, &[3, 5]);
                let xs = case.input(DType::F32, &[length, 3, 7]);
                let (w, u) = (case.input(DType::F32, &[7, 5]), case.input(DType::F32, &[5, 5]));
                let operands = [h, xs, w, u];
                let times = (length, reverse);
                let all = scan(&cell(3, 7, 5), (1, 1), times, &mut case.b, &operands);
                let some: Vec<NodeId> = some.into_iter().map(|i| all[i]).collect();
                case.run(&some);
            }
        }
    }
}

/// Integers, truth values and floats, handed on as they are, swapped and counted.
#[test]
fn carried_values_of_every_type() {
    for length in [1, 2, 5] {
        let mut case = Case::new(200);
        let types: Vec<TensorType> =
            DType::ALL.iter().map(|&dtype| TensorType::new(dtype, [3])).collect();
        let row = f32s(&[3]);
        let all = [&types[..], &[row.clone(), row.clone()]].concat();
        let body = function(&all, |b, v| {
            let n = DType::ALL.len();
            let mut results = vec![];
            for (i, ty) in types.iter().enumerate() {
                results.push(match ty.dtype {
                    DType::Bool => b.unary(UnaryOp::Not, v[i]),
                    _ => b.add(v[i], v[i]),
                });
            }
            // The last two carried values change places.
            results.extend([v[n + 1], v[n]]);
            results.extend(&v[..n]);
            results
        });
        let mut operands: Vec<NodeId> =
            DType::ALL.iter().map(|&dtype| case.input(dtype, &[3])).collect();
        operands.extend([case.input(DType::F32, &[3]), case.input(DType::F32, &[3])]);
        let carries = operands.len();
        let results = scan(&body, (carries, 0), (length, false), &mut case.b, &operands);
        case.run(&results);
    }
}

/// A scan in a scan; the outer one adds what the inner one gives to a counter of steps.
#[test]
fn scans_in_scans() {
    let row = f32s(&[4]);
    let inner = function(&[row.clone(), f32s(&[]), row.clone()], |b, v| {
        let x = b.spread(v[1], Shape::from([4]), vec![]);
        let y = b.mul(v[0], x);
        let y = b.add(y, v[2]);
        let y = b.unary(UnaryOp::Sin, y);
        vec![y, y]
    });
    let count = TensorType::scalar(DType::I32);
    let outer = function(&[row.clone(), count, f32s(&[3]), row.clone()], |b, v| {
        let r = scan(&inner, (1, 1), (3, true), b, &[v[0], v[2], v[3]]);
        let s = scan(&inner, (1, 1), (3, false), b, &[r[0], v[2], v[0]]);
        let one = b.full_like(v[1], 1.0);
        let n = b.add(v[1], one);
        vec![s[0], n, r[1], n]
    });
    let mut case = Case::new(200);
    let operands = [
        case.input(DType::F32, &[4]),
        case.input(DType::I32, &[]),
        case.input(DType::F32, &[6, 3]),
        case.input(DType::F32, &[4]),
    ];
    let results = scan(&outer, (2, 1), (6, false), &mut case.b, &operands);
    let xs = case.input(DType::F32, &[2]);
    let operands = [results[0], xs, operands[3]];
    let again = scan(&inner, (1, 1), (2, false), &mut case.b, &operands);
    case.run(&[&results[..], &again].concat());
}

#[test]
fn branches() {
    for chosen in [0.0, 1.0] {
        let types = [f32s(&[4, 3]), f32s(&[3, 4])];
        let then = function(&types, |b, v| {
            let y = b.dot(v[0], v[1], DotAxes::contract(1, 0));
            let s = b.reduce(ReduceOp::Sum, v[0], vec![0, 1]);
            let t = b.unary(UnaryOp::Exp, v[1]);
            vec![y, s, t]
        });
        let otherwise = function(&types, |b, v| {
            let zero = b.scalar(DType::F32, 0.5);
            let y = b.spread(zero, Shape::from([4, 4]), vec![]);
            let t = b.transpose(v[0], vec![1, 0]);
            vec![y, zero, t]
        });
        for count in [1, 3] {
            let mut case = Case::new(200);
            let bool = TensorType::scalar(DType::Bool);
            let choice = case.given(Tensor::from_values(bool, &[chosen]));
            let (p, q) = (case.input(DType::F32, &[4, 3]), case.input(DType::F32, &[3, 4]));
            let (then, otherwise) = (then.clone(), otherwise.clone());
            let op = Op::Cond { then, otherwise, result: 0 };
            let results = case.b.application(&op, &[choice, p, q]);
            case.run(&results[..count]);
        }
    }
}

/// A branch at each step, which draws random numbers under a key of the step.
#[test]
fn branches_and_random_numbers_in_scans() {
    let row = f32s(&[9]);
    let key = TensorType::new(DType::I32, [2]);
    let draw = function(&[row.clone(), key.clone()], |b, v| {
        let r = b.node(Op::Random { dtype: DType::F32, shape: Shape::from([9]) }, &[v[1]]);
        vec![b.add(v[0], r)]
    });
    let shrink = function(&[row.clone(), key], |b, v| {
        let half = b.full_like(v[0], 0.5);
        vec![b.mul(v[0], half)]
    });
    let step = TensorType::scalar(DType::I32);
    let body = function(&[row, step], |b, v| {
        let seed = b.scalar(DType::I32, 11.0);
        let key = b.node(Op::RandomKey { stream: 4 }, &[seed, v[1]]);
        let sum = b.reduce(ReduceOp::Sum, v[0], vec![0]);
        let limit = b.scalar(DType::F32, 3.0);
        let small = b.compare(CompareOp::Lt, sum, limit);
        let (then, otherwise) = (draw, shrink);
        let y = b.node(Op::Cond { then, otherwise, result: 0 }, &[small, v[0], key]);
        vec![y, small]
    });
    let mut case = Case::new(200);
    let (x, steps) = (case.input(DType::F32, &[9]), case.input(DType::I32, &[12]));
    let results = scan(&body, (1, 1), (12, false), &mut case.b, &[x, steps]);
    let found = case.run(&results);
    let ArrayRef::Bool(small) = ArrayRef::from(&found[1]) else { panic!("truth values") };
    assert!(small.contains(&true) && small.contains(&false));
}

/// States that scans read and write, behind a guard.
#[test]
fn states_around_scans() {
    let mut case = Case::new(200);
    let (h, w, u) = (case.state(&[3, 4]), case.state(&[4, 4]), case.state(&[4, 4]));
    let xs = case.input(DType::F32, &[5, 3, 4]);
    let results = scan(&cell(3, 4, 4), (1, 1), (5, false), &mut case.b, &[h, xs, w, u]);
    let loss = case.b.reduce(ReduceOp::Sum, results[1], vec![0, 1, 2]);
    case.b.set_guard(Some(loss));
    case.b.write(h, results[0]);
    let xs = case.input(DType::F32, &[4, 3, 4]);
    let again = scan(&cell(3, 4, 4), (1, 1), (4, true), &mut case.b, &[h, xs, u, w]);
    let square = case.b.dot(again[0], again[0], DotAxes::contract(0, 0));
    case.b.write(u, square);
    case.run(&[loss]);
}

/// Two loops beside each other and inside a third, each with a product of a carried value and a transposed weight that
/// its first step packs; the weights of the inner one are others each time.
#[test]
fn first_steps_make_what_the_others_read() {
    let (row, square) = (f32s(&[32, 40]), f32s(&[40, 40]));
    let inner = function(&[row.clone(), square.clone()], |b, v| {
        let next = b.dot(v[0], v[1], DotAxes::contract(1, 1));
        vec![b.unary(UnaryOp::Tanh, next)]
    });
    let outer = function(&[row.clone(), square.clone(), square.clone()], |b, v| {
        let steps = scan(&inner, (1, 0), (3, false), b, &[v[0], v[1]]);
        let next = scan(&inner, (1, 0), (2, true), b, &[steps[0], v[2]]);
        vec![next[0], steps[0]]
    });
    let mut case = Case::new(29);
    let (h, ws, w) = (
        case.input(DType::F32, &[32, 40]),
        case.input(DType::F32, &[4, 40, 40]),
        case.input(DType::F32, &[40, 40]),
    );
    let all = scan(&outer, (1, 1), (4, false), &mut case.b, &[h, ws, w]);
    let again = scan(&inner, (1, 0), (5, false), &mut case.b, &[h, w]);
    case.run(&[all[0], all[1], again[0]]);
}
