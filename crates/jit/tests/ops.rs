//! Every op of the table at special operands, and parts of arrays: machine code has the evaluator's bits.

mod common;

use common::{Arg, blank, check, input_bits, lane_of, run, set, special};
use eggrad_ir::{
    At, BinaryOp, Builder, DType, Literal, MoveOp, NodeId, Op, ReduceOp, TensorType, UnaryOp,
};
use eggrad_jit::{Aligned, JitConfig, compile};
use eggrad_schedule::{ScheduleConfig, evaluate, schedule};

/// A graph of inputs of one type, and its plan's only kernel against the evaluator.
fn check_kernel(what: &str, op: Op, dtype: DType, columns: &[Vec<u64>]) {
    let mut b = Builder::new();
    let elements = columns[0].len();
    let ty = TensorType::new(dtype, [elements]);
    let inputs: Vec<NodeId> = (0..columns.len())
        .map(|i| b.declare_input(&format!("x{i}"), ty.clone(), None, At::Unknown))
        .collect();
    let Ok(y) = b.push(op, &inputs, At::Unknown) else { return };
    b.output("y", y);
    let graph = b.build().unwrap();
    let plan = schedule(&graph, &ScheduleConfig::default()).unwrap();
    assert_eq!(plan.kernels.len(), 1, "{plan}");
    let kernel = &plan.kernels[0];
    let argument = |&buffer: &usize| match plan.inputs.iter().position(|s| s.buffer == buffer) {
        Some(input) => input_bits(lane_of(dtype), &columns[input]),
        None => blank(dtype, elements),
    };
    let args: Vec<Arg> = kernel.args.iter().map(argument).collect();
    check(what, kernel.kind.clone(), &args);
}

/// Special values, and some between them where functions change their formulas.
fn operands(dtype: DType) -> Vec<u64> {
    let mut bits = special(lane_of(dtype));
    if dtype == DType::F32 || dtype == DType::F64 {
        for i in -60..60 {
            for x in [f64::from(i) * 0.25, f64::from(i) * 13.7, 2f64.powi(i) * 1.3] {
                let single = u64::from((x as f32).to_bits());
                bits.push(if dtype == DType::F32 { single } else { x.to_bits() });
            }
        }
    }
    bits
}

#[test]
fn elementwise_ops() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
        let all = operands(dtype);
        for &op in UnaryOp::ALL {
            check_kernel(
                &format!("{op:?} {dtype:?}"),
                Op::Unary(op),
                dtype,
                std::slice::from_ref(&all),
            );
        }
        let few: Vec<u64> = all.iter().copied().step_by(all.len().div_ceil(60)).collect();
        let some: Vec<u64> = special(lane_of(dtype)).into_iter().chain(few).collect();
        let pairs = |left: bool| -> Vec<u64> {
            let pair = |&x: &u64| some.iter().map(move |&y| if left { x } else { y });
            some.iter().flat_map(pair).collect()
        };
        let columns = [pairs(true), pairs(false)];
        for &op in BinaryOp::ALL {
            check_kernel(&format!("{op:?} {dtype:?}"), Op::Binary(op), dtype, &columns);
        }
    }
}

fn bytes(array: &Aligned) -> Vec<u8> {
    let size = array.dtype().bytes();
    let element = |i| common::get(array, i).to_le_bytes();
    (0..array.len()).flat_map(|i| element(i).into_iter().take(size)).collect()
}

/// Parts that begin anywhere, so that vectors lie across their alignment, of every type.
#[test]
fn slices_and_pads() {
    for &dtype in &DType::ALL {
        for (start, step, size) in [(0, 1, 37), (1, 1, 36), (3, 2, 17), (36, 1, 1), (2, 1, 32)] {
            for fuse in [false, true] {
                let mut b = Builder::new();
                let ty = TensorType::new(dtype, [5, 37]);
                let x = b.declare_input("x", ty.clone(), None, At::Unknown);
                let part = MoveOp::Slice {
                    start: vec![1, start],
                    step: vec![3, step],
                    size: vec![2, size],
                };
                let y = b.node(Op::Move(part), &[x]);
                b.output("slice", y);
                let fill = match dtype {
                    DType::F32 | DType::F64 => Literal::Float(2.5f64.to_bits()),
                    DType::I32 | DType::I64 | DType::U8 => Literal::Int(77),
                    DType::Bool => Literal::Bool(true),
                };
                let pad = MoveOp::Pad {
                    start: vec![1, start],
                    step: vec![2, step],
                    size: vec![5, 40],
                    fill,
                };
                let z = b.node(Op::Move(pad), &[y]);
                b.output("pad", z);
                if dtype != DType::Bool {
                    let sum = b.add(y, y);
                    let sum = b.reduce(ReduceOp::Sum, sum, vec![1]);
                    b.output("sum", sum);
                }
                let plan = schedule(&b.build().unwrap(), &ScheduleConfig { fuse }).unwrap();
                let mut array = Aligned::zeros(&ty);
                for i in 0..array.len() {
                    let value = (i * 37 % 101) as f64;
                    let bits = match dtype {
                        DType::F32 => u64::from((value as f32).to_bits()),
                        DType::F64 => value.to_bits(),
                        DType::I32 | DType::I64 | DType::U8 => value as u64,
                        DType::Bool => value as u64 & 1,
                    };
                    set(&mut array, i, bits);
                }
                let expected = evaluate(&plan, &[&bytes(&array)], &mut []).unwrap();
                let mut args = vec![Arg { array, written: false }];
                let outputs = plan.outputs.iter().map(|s| blank(dtype, s.ty.shape.elements()));
                args.extend(outputs);
                let executable = compile(&plan, &JitConfig::default()).unwrap();
                run(&executable, &mut args);
                for (found, expected) in args[1..].iter().zip(&expected) {
                    assert_eq!(&bytes(&found.array), expected, "{plan}");
                }
            }
        }
    }
}
