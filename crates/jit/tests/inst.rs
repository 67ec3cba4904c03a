//! Every instruction, in vector and in scalar code, against the evaluator.

mod common;

use common::{Arg, blank, check, dtype_of, input_bits, map, special};
use eggrad_body::{BinaryInst, Body, CompareInst, Inst, Lane, ShiftInst, UnaryInst, Value};
use eggrad_ir::DType;

const LANES: [Lane; 5] = [Lane::F32, Lane::F64, Lane::I32, Lane::I64, Lane::Mask];
const UNARY: [UnaryInst; 7] = [
    UnaryInst::Neg,
    UnaryInst::Abs,
    UnaryInst::Sqrt,
    UnaryInst::Floor,
    UnaryInst::Ceil,
    UnaryInst::Round,
    UnaryInst::Not,
];
const BINARY: [BinaryInst; 9] = [
    BinaryInst::Add,
    BinaryInst::Sub,
    BinaryInst::Mul,
    BinaryInst::Div,
    BinaryInst::Min,
    BinaryInst::Max,
    BinaryInst::And,
    BinaryInst::Or,
    BinaryInst::Xor,
];
const COMPARE: [CompareInst; 6] = [
    CompareInst::Eq,
    CompareInst::Ne,
    CompareInst::Lt,
    CompareInst::Le,
    CompareInst::Gt,
    CompareInst::Ge,
];
const SHIFT: [ShiftInst; 3] = [ShiftInst::Shl, ShiftInst::Shr, ShiftInst::Sar];

fn float(lane: Lane) -> bool {
    lane.is_float()
}

fn number(lane: Lane) -> bool {
    lane != Lane::Mask
}

fn mask(lane: Lane) -> bool {
    lane == Lane::Mask
}

/// Runs `build` on all combinations of special operands, as vectors, and in scalar code, which a store of another
/// width beside it forces.
fn check_inst(what: &str, lanes: &[Lane], build: impl Fn(&mut Body, &[Value]) -> Value) {
    let mut columns: Vec<Vec<u64>> = vec![vec![]];
    for &lane in lanes {
        let extend = |row: &Vec<u64>| {
            let longer = |x| [row.as_slice(), &[x]].concat();
            special(lane).into_iter().map(longer).collect::<Vec<_>>()
        };
        columns = columns.iter().flat_map(extend).collect();
    }
    let rows = columns.len();
    let mut args: Vec<Arg> = vec![];
    for (i, &lane) in lanes.iter().enumerate() {
        let column: Vec<u64> = columns.iter().map(|row| row[i]).collect();
        args.push(input_bits(lane, &column));
    }
    let mut body = Body::new();
    let loads: Vec<Value> =
        lanes.iter().enumerate().map(|(i, &l)| body.load(i as u16, l)).collect();
    let result = build(&mut body, &loads);
    args.push(blank(dtype_of(body.lane(result)), rows));
    check(what, map(&args, rows, |b, v| vec![build(b, v)]), &args);

    args.push(blank(DType::I32, rows));
    args.push(blank(DType::I64, rows));
    let mixed = map(&args, rows, |b, v| {
        let (narrow, wide) = (b.index(0, Lane::I32), b.index(0, Lane::I64));
        vec![build(b, v), narrow, wide]
    });
    check(&format!("scalar {what}"), mixed, &args);
}

#[test]
fn unary() {
    for op in UNARY {
        let fits = match op {
            UnaryInst::Neg | UnaryInst::Abs => number,
            UnaryInst::Sqrt | UnaryInst::Floor | UnaryInst::Ceil | UnaryInst::Round => float,
            UnaryInst::Not => mask,
        };
        for lane in LANES.into_iter().filter(|&l| fits(l)) {
            check_inst(&format!("{op:?} {lane}"), &[lane], |b, v| b.unary(op, v[0]));
        }
    }
}

#[test]
fn binary() {
    for op in BINARY {
        let fits = match op {
            BinaryInst::Add | BinaryInst::Sub | BinaryInst::Mul => number,
            BinaryInst::Div => float,
            BinaryInst::Min | BinaryInst::Max => number,
            BinaryInst::And | BinaryInst::Or | BinaryInst::Xor => |lane: Lane| !lane.is_float(),
        };
        for lane in LANES.into_iter().filter(|&l| fits(l)) {
            let build = |b: &mut Body, v: &[Value]| b.binary(op, v[0], v[1]);
            check_inst(&format!("{op:?} {lane}"), &[lane, lane], build);
        }
    }
}

#[test]
fn compare_and_select() {
    for op in COMPARE {
        for lane in LANES.into_iter().filter(|&l| number(l)) {
            let compare = |b: &mut Body, v: &[Value]| b.push(Inst::Compare(op, v[0], v[1]));
            check_inst(&format!("{op:?} {lane}"), &[lane, lane], compare);
            let select = |b: &mut Body, v: &[Value]| {
                let mask = b.push(Inst::Compare(op, v[0], v[1]));
                b.select(mask, v[0], v[1])
            };
            check_inst(&format!("select {op:?} {lane}"), &[lane, lane], select);
        }
    }
    for lane in LANES {
        let build = |b: &mut Body, v: &[Value]| b.select(v[0], v[1], v[2]);
        check_inst(&format!("select {lane}"), &[Lane::Mask, lane, lane], build);
    }
}

#[test]
fn fma() {
    for lane in [Lane::F32, Lane::F64] {
        check_inst(&format!("fma {lane}"), &[lane; 3], |b, v| b.fma(v[0], v[1], v[2]));
        check_inst(&format!("fnma {lane}"), &[lane; 3], |b, v| b.fnma(v[0], v[1], v[2]));
    }
}

#[test]
fn shifts() {
    for op in SHIFT {
        for (lane, amounts) in
            [(Lane::I32, &[0, 1, 9, 23, 31][..]), (Lane::I64, &[0, 1, 20, 32, 52, 63])]
        {
            for &by in amounts {
                let build = |b: &mut Body, v: &[Value]| b.push(Inst::Shift(op, v[0], by));
                check_inst(&format!("{op:?} {by} {lane}"), &[lane], build);
            }
        }
    }
}

#[test]
fn conversions() {
    for from in LANES {
        for to in LANES {
            let build = |b: &mut Body, v: &[Value]| b.push(Inst::Convert(to, v[0]));
            check_inst(&format!("{from} to {to}"), &[from], build);
        }
        let build = |b: &mut Body, v: &[Value]| b.push(Inst::Bitcast(v[0]));
        check_inst(&format!("bits of {from}"), &[from], build);
    }
}

#[test]
fn constants() {
    for lane in LANES {
        for bits in special(lane) {
            let build = |b: &mut Body, v: &[Value]| {
                let (c, mask) = (b.bits(lane, bits), b.mask(bits % 3 == 0));
                b.select(mask, v[0], c)
            };
            check_inst(&format!("constant {bits:#x} {lane}"), &[lane], build);
        }
    }
}

#[test]
fn bytes_in_memory() {
    let bytes: Vec<u8> = (0..=255).collect();
    let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b) - 100.5).collect();
    for rows in [0, 1, 3, 4, 5, 255, 256] {
        let args = [
            common::input(&bytes[..rows]),
            common::input(&floats[..rows]),
            blank(DType::U8, rows),
            blank(DType::Bool, rows),
            blank(DType::F32, rows),
        ];
        let kind = map(&args, rows, |b, v| {
            let seven = b.int(Lane::I32, 7);
            let wraps = b.mul(v[0], seven);
            let zero = b.f32(0.0);
            let above = b.push(Inst::Compare(CompareInst::Gt, v[1], zero));
            let as_float = b.push(Inst::Convert(Lane::F32, v[0]));
            vec![wraps, above, as_float]
        });
        check("bytes", kind, &args);
    }
}

#[test]
fn a_select_keeps_subnormals_and_arithmetic_flushes_them() {
    let sub = f32::from_bits(5);
    let args = [common::input(&[sub; 5]), common::input(&[1f32; 5]), common::output(&[7f32; 5])];
    let min = check("min", map(&args, 5, |b, v| vec![b.min(v[0], v[1])]), &args);
    assert_eq!(min[2].array.as_f32().unwrap()[0].to_bits(), 5);
    let add = check("add", map(&args, 5, |b, v| vec![b.add(v[0], v[0])]), &args);
    assert_eq!(add[2].array.as_f32().unwrap()[4].to_bits(), 0);
}
