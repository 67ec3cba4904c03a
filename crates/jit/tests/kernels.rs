//! Every kind of kernel at odd sizes, against the evaluator.

mod common;

use common::{Arg, Numbers, access, blank, check, dtype_of, input, lane_of, map, output, store};
use eggrad_body::{Body, CompareInst, Inst, Lane, Value};
use eggrad_ir::DType;
use eggrad_schedule::*;

const SIZES: [usize; 14] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 64, 100];
const FOLDS: [FoldOp; 4] = [FoldOp::Sum, FoldOp::Prod, FoldOp::Max, FoldOp::Min];
const NUMBERS: [Lane; 4] = [Lane::F32, Lane::F64, Lane::I32, Lane::I64];

#[test]
fn maps_of_all_sizes() {
    let mut numbers = Numbers::new(1);
    for size in SIZES {
        for lane in NUMBERS {
            let dtype = dtype_of(lane);
            let args = [numbers.arg(dtype, size), numbers.arg(dtype, size), blank(dtype, size)];
            check(&format!("add {size}"), map(&args, size, |b, v| vec![b.add(v[0], v[1])]), &args);
        }
        let args = [numbers.arg(DType::F32, size), blank(DType::F32, size)];
        check(&format!("exp {size}"), map(&args, size, |b, v| vec![b.exp(v[0])]), &args);
        let args = [numbers.arg(DType::F64, size), blank(DType::F32, size)];
        let narrow = |b: &mut Body, v: &[Value]| vec![b.push(Inst::Convert(Lane::F32, v[0]))];
        check(&format!("narrow {size}"), map(&args, size, narrow), &args);
    }
}

/// Loops of sizes `outer` around rows of `row`; the second operand and the target have the given strides.
fn check_strides(outer: &[usize], row: usize, b: &[usize], c: &[usize], dtype: DType) {
    let mut numbers = Numbers::new(2);
    let sizes = [outer, &[row]].concat();
    let dense = eggrad_ir::Shape::from(sizes.clone()).strides();
    let reach = |strides: &[usize]| {
        sizes.iter().zip(strides).map(|(n, s)| n.saturating_sub(1) * s).sum::<usize>() + 4
    };
    let args = [
        numbers.arg(dtype, reach(&dense)),
        numbers.arg(dtype, reach(b)),
        Arg { written: true, ..numbers.arg(dtype, reach(c)) },
    ];
    let mut accesses = vec![access(0, dtype, &dense), access(1, dtype, b), access(2, dtype, c)];
    accesses[1].offset = 3;
    accesses[2].offset = 2;
    let mut body = Body::new();
    let lane = lane_of(dtype);
    let (x, y) = (body.load(0, lane), body.load(1, lane));
    let outermost = body.index(0, Lane::I32);
    let innermost = body.index(outer.len() as u16, Lane::I32);
    let value = if lane == Lane::Mask {
        let odd = body.add(outermost, innermost);
        let odd = body.push(Inst::Convert(Lane::Mask, odd));
        let x = body.and(x, odd);
        body.xor(x, y)
    } else {
        let i = body.push(Inst::Convert(lane, outermost));
        let j = body.push(Inst::Convert(lane, innermost));
        let (x, y) = (body.mul(x, i), body.mul(y, j));
        body.sub(x, y)
    };
    let stores = vec![store(2, value)];
    let phases = vec![Phase::Pass { body, folds: vec![], stores }];
    let kernel = RowKernel { outer: outer.to_vec(), row, accesses, phases };
    check(&format!("{outer:?} {row} {b:?} {c:?}"), KernelKind::Row(kernel), &args);
}

#[test]
fn strides_and_positions() {
    for dtype in DType::ALL {
        for row in [0, 1, 3, 4, 5, 33] {
            check_strides(&[], row, &[0], &[1], dtype);
            check_strides(&[], row, &[3], &[2], dtype);
            check_strides(&[3], row, &[0, 1], &[row.max(1), 1], dtype);
            check_strides(&[3], row, &[1, 0], &[1, 3], dtype);
            check_strides(&[2, 0], row, &[0, 0, 1], &[0, row, 1], dtype);
            check_strides(&[2, 5], row, &[1, 2, 10], &[1, 2, 10], dtype);
            check_strides(&[1, 2, 3], row, &[0, 0, 0, 0], &[6 * row, 3 * row, row, 1], dtype);
        }
    }
}

/// Copies whose operand lies across: turned in registers where both sides are long enough.
#[test]
fn transposing_copies() {
    let mut numbers = Numbers::new(5);
    for dtype in [DType::F32, DType::I32, DType::F64] {
        for outer in [1, 3, 4, 5, 16, 23, 41] {
            for row in [1, 3, 4, 7, 16, 19, 35] {
                for batch in [vec![], vec![3]] {
                    let count = 3 * outer * row + 2;
                    let args = [
                        numbers.arg(dtype, count),
                        Arg { written: true, ..numbers.arg(dtype, count) },
                    ];
                    let strides = |last: [usize; 2]| {
                        let first = batch.iter().map(|_| outer * row);
                        first.chain(last).collect::<Vec<usize>>()
                    };
                    let mut accesses = vec![
                        access(0, dtype, &strides([1, outer])),
                        access(1, dtype, &strides([row, 1])),
                    ];
                    accesses[0].offset = 2;
                    let mut body = Body::new();
                    let x = body.load(0, lane_of(dtype));
                    let stores = vec![store(1, x)];
                    let phases = vec![Phase::Pass { body, folds: vec![], stores }];
                    let outer = batch.iter().copied().chain([outer]).collect();
                    let what = format!("{outer:?} {row} of {dtype:?}");
                    let kernel = RowKernel { outer, row, accesses, phases };
                    check(&what, KernelKind::Row(kernel), &args);
                }
            }
        }
    }
}

/// Folds of a row with an expression before them, and their results and the values stored.
fn check_fold((outer, row): (usize, usize), lane: Lane, ops: &[FoldOp], heavy: bool, mixed: bool) {
    let mut numbers = Numbers::new(row as u64);
    let dtype = dtype_of(lane);
    let mut args = vec![numbers.arg(dtype, outer * row), blank(dtype, outer * row)];
    if lane.is_float() {
        // Signed zeros, subnormals, infinities and NaN move through folds too.
        let specials = common::special(lane);
        for i in 0..row * outer {
            if numbers.below(3) == 0 {
                common::set(&mut args[0].array, i, specials[numbers.below(specials.len())]);
            }
        }
    }
    let mut accesses = vec![access(0, dtype, &[row, 1]), access(1, dtype, &[row, 1])];
    let mut body = Body::new();
    let x = body.load(0, lane);
    let value = match (heavy, lane) {
        (true, Lane::F32) => body.tanh(x),
        (true, _) => (0..24).fold(x, |v, i| {
            let c = body.konst(lane, f64::from(i % 3));
            let v = body.sub(v, c);
            body.max(v, x)
        }),
        (false, _) => x,
    };
    let mut stores = vec![store(1, value)];
    if mixed {
        args.push(blank(DType::F64, 1));
        args.push(blank(DType::F32, 1));
        accesses.extend([access(2, DType::F64, &[0, 0]), access(3, DType::F32, &[0, 0])]);
        let (wide, narrow) = (body.f64(1.0), body.f32(2.0));
        stores.extend([store(2, wide), store(3, narrow)]);
    }
    let folds: Vec<Fold> = ops.iter().map(|&op| Fold { op, value }).collect();
    let first = accesses.len();
    let mut after = Body::new();
    let mut results = vec![];
    for i in 0..ops.len() {
        args.push(blank(dtype, outer));
        accesses.push(access(first + i, dtype, &[1, 0]));
        let scalar = after.scalar(i as u16, lane);
        let old = if row > 0 { after.load(0, lane) } else { scalar };
        let sum = after.add(scalar, old);
        results.push((store(first + i, scalar), sum));
    }
    let scalar_stores = results.iter().map(|(s, _)| *s).collect();
    let sums: Vec<Value> = results.iter().map(|&(_, v)| v).collect();
    let count = sums.len();
    // A last walk reads what the scalar phase handed on.
    args.push(blank(dtype, outer * row));
    let last = accesses.len();
    accesses.push(access(last, dtype, &[row, 1]));
    let mut back = Body::new();
    let scalar = back.scalar((2 * count - 1) as u16, lane);
    let written = back.load(1, lane);
    let product = back.mul(scalar, written);
    let phases = vec![
        Phase::Pass { body, folds, stores },
        Phase::Scalar { body: after, results: sums, stores: scalar_stores },
        Phase::Pass { body: back, folds: vec![], stores: vec![store(last, product)] },
    ];
    let kernel = RowKernel { outer: vec![outer], row, accesses, phases };
    let what = format!("{outer} x {row} {lane} {ops:?} heavy {heavy} mixed {mixed}");
    check(&what, KernelKind::Row(kernel), &args);
}

#[test]
fn folds_of_all_sizes() {
    for row in SIZES {
        for lane in NUMBERS {
            for op in FOLDS {
                for heavy in [false, true] {
                    check_fold((3, row), lane, &[op], heavy, false);
                    check_fold((3, row), lane, &[op], heavy, true);
                }
            }
            check_fold((3, row), lane, &[FoldOp::Max, FoldOp::Sum], false, false);
        }
    }
    check_fold((3, 1000), Lane::F32, &FOLDS, false, false);
    check_fold((3, 1001), Lane::F32, &FOLDS, true, false);
}

/// Many short rows go side by side.
#[test]
fn folds_of_short_rows() {
    for (outer, row) in [(16, 2), (19, 3), (37, 4), (33, 5), (18, 8), (37, 10), (50, 15), (16, 16)]
    {
        for lane in NUMBERS {
            for op in FOLDS {
                check_fold((outer, row), lane, &[op], false, false);
            }
            check_fold((outer, row), lane, &[FoldOp::Max, FoldOp::Sum], true, false);
        }
    }
}

#[test]
fn folds_of_constants() {
    for lane in NUMBERS {
        for op in FOLDS {
            let dtype = dtype_of(lane);
            let args = [blank(dtype, 3)];
            let mut body = Body::new();
            let value = body.konst(lane, 1.5);
            let folds = vec![Fold { op, value }];
            let mut after = Body::new();
            let result = after.scalar(0, lane);
            let phases = vec![
                Phase::Pass { body, folds, stores: vec![] },
                Phase::Scalar { body: after, results: vec![], stores: vec![store(0, result)] },
            ];
            let accesses = vec![access(0, dtype, &[1, 0])];
            let kernel = RowKernel { outer: vec![3], row: 5, accesses, phases };
            check(&format!("constants {op:?} {lane}"), KernelKind::Row(kernel), &args);
        }
    }
}

#[test]
fn softmax() {
    for (outer, row) in [(4, 1), (4, 2), (4, 10), (4, 31), (4, 100), (39, 7), (39, 10)] {
        let mut numbers = Numbers::new(5);
        let args = [numbers.arg(DType::F32, outer * row), blank(DType::F32, outer * row)];
        let accesses = vec![access(0, DType::F32, &[row, 1]), access(1, DType::F32, &[row, 1])];
        let mut largest = Body::new();
        let value = largest.load(0, Lane::F32);
        let max = vec![Fold { op: FoldOp::Max, value }];
        let mut shifted = Body::new();
        let (x, m) = (shifted.load(0, Lane::F32), shifted.scalar(0, Lane::F32));
        let x = shifted.sub(x, m);
        let e = shifted.exp(x);
        let sum = vec![Fold { op: FoldOp::Sum, value: e }];
        let mut invert = Body::new();
        let (one, s) = (invert.f32(1.0), invert.scalar(1, Lane::F32));
        let r = invert.div(one, s);
        let mut scale = Body::new();
        let (y, s) = (scale.load(1, Lane::F32), scale.scalar(2, Lane::F32));
        let y = scale.mul(y, s);
        let phases = vec![
            Phase::Pass { body: largest, folds: max, stores: vec![] },
            Phase::Pass { body: shifted, folds: sum, stores: vec![store(1, e)] },
            Phase::Scalar { body: invert, results: vec![r], stores: vec![] },
            Phase::Pass { body: scale, folds: vec![], stores: vec![store(1, y)] },
        ];
        let kernel = RowKernel { outer: vec![outer], row, accesses, phases };
        let got = check(&format!("softmax {row}"), KernelKind::Row(kernel), &args);
        let sum: f32 = got[1].array.as_f32().unwrap()[..row].iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}

#[test]
fn gathers_and_scattered_additions() {
    let mut numbers = Numbers::new(6);
    let index = [2i64, 0, -1, 5, 4, 2, 1 << 40, 2];
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8] {
        let lane = lane_of(dtype);
        let (rows, columns) = (5, 3);
        let args = [
            input(&index),
            numbers.arg(dtype, rows * columns),
            blank(dtype, index.len() * columns),
            blank(dtype, rows * columns),
        ];
        let mut accesses = vec![
            access(0, DType::I64, &[1, 0]),
            access(1, dtype, &[0, 1]),
            access(2, dtype, &[columns, 1]),
            access(3, dtype, &[0, 1]),
        ];
        let mut body = Body::new();
        let at = body.load(0, Lane::I64);
        let value = body.load_at(1, lane, at, rows as u32, columns as u32);
        let kernel = |body: Body, accesses: &[Access], stores: Vec<Store>| {
            let phases = vec![Phase::Pass { body, folds: vec![], stores }];
            let (outer, accesses) = (vec![index.len()], accesses.to_vec());
            KernelKind::Row(RowKernel { outer, row: columns, accesses, phases })
        };
        let gather = kernel(body, &accesses, vec![store(2, value)]);
        let got = check(&format!("gather {dtype:?}"), gather, &args);
        if dtype == DType::F32 {
            assert!(got[2].array.as_f32().unwrap()[2 * columns].is_nan());
        }

        accesses[2].arg = 2;
        let mut body = Body::new();
        let at = body.load(0, Lane::I64);
        let narrow = body.push(Inst::Convert(Lane::I32, at));
        let value = body.load(2, lane);
        let args = [args[0].clone(), args[1].clone(), numbers.arg(dtype, 24), args[3].clone()];
        for index in [at, narrow] {
            let add = AddAt { index, size: rows as u32, stride: columns as u32 };
            let stores = vec![Store { access: 3, value, add_at: Some(add) }];
            let scatter = kernel(body.clone(), &accesses, stores);
            check(&format!("scatter {dtype:?}"), scatter, &args);
        }
    }
}

/// Sums and other folds down columns; reduced loops lie inside each other in memory or not.
fn check_column(outer: &[usize], reduced: &[usize], row: usize, dtype: DType, mode: usize) {
    let mut numbers = Numbers::new(7);
    let lane = lane_of(dtype);
    let sizes = [reduced, outer, &[row]].concat();
    let memory = eggrad_ir::Shape::from(sizes.clone()).strides();
    let (r, o) = (reduced.len(), outer.len());
    let mut strides = [&memory[r..r + o], &memory[..r], &[1]].concat();
    if mode == 1 {
        // Every other element.
        strides.iter_mut().for_each(|s| *s *= 2);
    }
    let total = 2 * sizes.iter().product::<usize>() + 1;
    let result = eggrad_ir::Shape::from([outer, &[row]].concat());
    let target = [&result.strides()[..o], &vec![0; r], &[1]].concat();
    let results = result.elements();
    let mut args = vec![numbers.arg(dtype, total), numbers.arg(dtype, results)];
    let mut accesses = vec![access(0, dtype, &strides), access(1, dtype, &target)];
    let mut body = Body::new();
    let mut value = body.load(0, lane);
    if mode == 2 {
        let at = body.index(o as u16, Lane::I32);
        let at = body.push(Inst::Convert(lane, at));
        value = body.mul(value, at);
    }
    let folds: Vec<Fold> = FOLDS.iter().map(|&op| Fold { op, value }).collect();
    let mut epilogue = Body::new();
    let beside = epilogue.load(1, lane);
    let mut stores = vec![];
    for i in 0..folds.len() {
        args.push(blank(dtype, results));
        accesses.push(access(2 + i, dtype, &target));
        let scalar = epilogue.scalar(i as u16, lane);
        let value = if i == 0 { epilogue.add(scalar, beside) } else { scalar };
        stores.push(store(2 + i, value));
    }
    if mode == 3 {
        args.push(blank(DType::Bool, results));
        accesses.push(access(args.len() - 1, DType::Bool, &target));
        let (scalar, index) = (epilogue.scalar(0, lane), epilogue.index(0, Lane::I64));
        let index = epilogue.push(Inst::Convert(lane, index));
        let mask = epilogue.push(Inst::Compare(CompareInst::Gt, scalar, index));
        stores.push(store(accesses.len() - 1, mask));
    }
    let kernel = ColumnKernel {
        outer: outer.to_vec(),
        reduced: reduced.to_vec(),
        row,
        accesses,
        body,
        folds,
        epilogue,
        stores,
    };
    let what = format!("{outer:?} {reduced:?} {row} {dtype:?} {mode}");
    check(&what, KernelKind::Column(kernel), &args);
}

#[test]
fn columns() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
        for row in [0, 1, 3, 4, 5, 15, 16, 17, 33] {
            for reduced in [&[0][..], &[1], &[3], &[128], &[129], &[300], &[3, 5], &[2, 3, 45]] {
                for mode in 0..4 {
                    check_column(&[], reduced, row, dtype, mode);
                }
            }
            check_column(&[3], &[7], row, dtype, 0);
            check_column(&[2, 3], &[4, 50], row, dtype, 1);
            check_column(&[2, 0], &[4], row, dtype, 0);
        }
    }
}

#[test]
fn columns_whose_reduced_loops_do_not_merge() {
    // Sum over the outer and the middle axis of three, where the axis between them stays outside.
    let (a, b, c, d) = (3, 4, 50, 6);
    let mut numbers = Numbers::new(8);
    let args = [numbers.arg(DType::F32, a * b * c * d), blank(DType::F32, b * d)];
    let accesses = vec![
        access(0, DType::F32, &[c * d, b * c * d, d, 1]),
        access(1, DType::F32, &[d, 0, 0, 1]),
    ];
    let mut body = Body::new();
    let value = body.load(0, Lane::F32);
    let mut epilogue = Body::new();
    let sum = epilogue.scalar(0, Lane::F32);
    let kernel = ColumnKernel {
        outer: vec![b],
        reduced: vec![a, c],
        row: d,
        accesses,
        body,
        folds: vec![Fold { op: FoldOp::Sum, value }],
        epilogue,
        stores: vec![store(1, sum)],
    };
    check("apart", KernelKind::Column(kernel), &args);
}

#[test]
fn bodies_of_hundreds_of_instructions() {
    for outputs in [1, 5] {
        let mut args = vec![input(&[0.5f32; 37])];
        args.extend((0..outputs).map(|_| output(&[0f32; 37])));
        let kind = map(&args, 37, |b, v| {
            let mut values: Vec<Value> = (0..20)
                .map(|i| {
                    let c = b.f32(i as f32 * 0.1);
                    b.add(v[0], c)
                })
                .collect();
            for round in 0..20 {
                for i in 0..20 {
                    values[i] = b.fma(values[(i + round) % 20], values[(i + 7) % 20], values[i]);
                    let c = b.f32(1.0 + round as f32);
                    values[i] = b.min(values[i], c);
                }
            }
            values[..outputs].to_vec()
        });
        check("large", kind, &args);
    }
}
