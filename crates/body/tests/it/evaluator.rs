//! The evaluator's meaning of single instructions, and what the math library is made of.

use eggrad_body::{Body, CompareInst, Env, FUNCTIONS, Inst, Lane, ShiftInst, Value, eval};
use proptest::prelude::*;

/// Loads give the words of a list, gathers the word at their index plus 100, phases 7, positions their dimension.
struct Words(Vec<u64>);

impl Env for Words {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        self.0[usize::from(access)]
    }

    fn load_at(&mut self, _: u16, _: Lane, index: i64, size: u32, _: u32) -> u64 {
        assert!(0 <= index && index < size.into(), "gathered outside");
        100 + index as u64
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        7
    }

    fn index(&mut self, dim: u16) -> i64 {
        -i64::from(dim)
    }
}

/// Bits of what `build` makes of two operands of lane `lane`.
fn run(lane: Lane, a: u64, b: u64, build: impl FnOnce(&mut Body, Value, Value) -> Value) -> u64 {
    let mut body = Body::new();
    let (x, y) = (body.load(0, lane), body.load(1, lane));
    let result = build(&mut body, x, y);
    let mut values = Vec::new();
    eval(&body, &mut Words(vec![a, b]), &mut values);
    assert_eq!(values.len(), body.insts().len());
    values[result.index()]
}

fn word(x: i64, lane: Lane) -> u64 {
    if lane == Lane::I32 { u64::from(x as u32) } else { x as u64 }
}

fn single(x: f32) -> u64 {
    x.to_bits().into()
}

const TINY: u64 = 1;
const NAN: u64 = 0x7fc0_0000;

#[test]
fn integers_wrap_and_compare_with_sign() {
    for (lane, min) in [(Lane::I32, i32::MIN.into()), (Lane::I64, i64::MIN)] {
        let (low, one, minus) = (word(min, lane), word(1, lane), word(-1, lane));
        assert_eq!(run(lane, low, one, |b, x, y| b.sub(x, y)), word(min.wrapping_sub(1), lane));
        assert_eq!(run(lane, low, minus, |b, x, y| b.mul(x, y)), low);
        assert_eq!(run(lane, low, one, |b, x, _| b.neg(x)), low);
        assert_eq!(run(lane, minus, one, |b, x, _| b.abs(x)), one);
        assert_eq!(run(lane, minus, one, |b, x, y| b.lt(x, y)), 1);
        assert_eq!(run(lane, minus, one, |b, x, y| b.max(x, y)), one);
        assert_eq!(run(lane, minus, one, |b, x, _| b.sar(x, 3)), minus);
        let zeros = 8 * lane.bytes().unwrap_or(0) as u32 - 3;
        assert_eq!(run(lane, minus, one, |b, x, _| b.shr(x, 3)), (1 << zeros) - 1);
        assert_eq!(run(lane, minus, one, |b, x, _| b.shl(x, 3)), word(-8, lane));
    }
}

#[test]
fn conversions_go_by_value() {
    let convert = |from, bits, to| run(from, bits, bits, |b, x, _| b.convert(to, x));
    let (f32s, f64s, i32s, i64s, mask) = (Lane::F32, Lane::F64, Lane::I32, Lane::I64, Lane::Mask);
    assert_eq!(convert(f32s, single(-2.9), i32s), word(-2, i32s));
    assert_eq!(convert(f32s, single(3e9), i32s), word(i32::MAX.into(), i32s));
    assert_eq!(convert(f32s, single(f32::NEG_INFINITY), i64s), word(i64::MIN, i64s));
    assert_eq!(convert(f32s, NAN, i64s), 0);
    assert_eq!(convert(i32s, word(-3, i32s), i64s), word(-3, i64s));
    assert_eq!(convert(i64s, 1 << 33 | 5, i32s), 5);
    assert_eq!(convert(i64s, (1 << 24) + 1, f32s), single(16_777_216.0));
    assert_eq!(convert(mask, 1, f64s), 1f64.to_bits());
    assert_eq!(convert(f32s, NAN, mask), 1);
    assert_eq!(convert(f32s, TINY, mask), 0);
    assert_eq!(convert(f32s, TINY | 0x8000_0000, f64s), (-0f64).to_bits());
    assert_eq!(convert(f64s, 1e-40f64.to_bits(), f32s), 0);
    assert_eq!(convert(f64s, 0.1f64.to_bits(), f32s), single(0.1));
}

#[test]
fn subnormals_are_zero_to_arithmetic_and_bits_to_moves() {
    let f = Lane::F32;
    let (zero, one) = (single(0.0), single(1.0));
    assert_eq!(run(f, TINY, zero, |b, x, y| b.add(x, y)), zero);
    assert_eq!(run(f, TINY, zero, |b, x, y| b.eq(x, y)), 1);
    assert_eq!(run(f, TINY, zero, |b, x, y| b.gt(x, y)), 0);
    assert_eq!(run(f, one, TINY, |b, x, y| b.div(x, y)), single(f32::INFINITY));
    assert_eq!(run(f, TINY, zero, |b, x, _| b.neg(x)), TINY | 0x8000_0000);
    assert_eq!(run(f, one, TINY, |b, x, y| b.min(x, y)), TINY);
    // Neither is smaller, so the second moves.
    assert_eq!(run(f, TINY, zero, |b, x, y| b.max(x, y)), zero);
    assert_eq!(run(f, zero, TINY, |b, x, y| b.max(x, y)), TINY);
}

#[test]
fn a_nan_gives_the_second_operand_of_min_and_max_but_is_kept_by_minimum_and_maximum() {
    let (f, one) = (Lane::F32, single(1.0));
    assert_eq!(run(f, NAN, one, |b, x, y| b.min(x, y)), one);
    assert_eq!(run(f, one, NAN, |b, x, y| b.max(x, y)), NAN);
    for (x, y) in [(NAN, one), (one, NAN)] {
        assert_eq!(run(f, x, y, |b, x, y| b.minimum(x, y)), NAN);
        assert_eq!(run(f, x, y, |b, x, y| b.maximum(x, y)), NAN);
        assert_eq!(run(f, x, y, |b, x, y| b.eq(x, y)), 0);
        assert_eq!(run(f, x, y, |b, x, y| b.ne(x, y)), 1);
    }
}

#[test]
fn leaves_come_from_the_environment() {
    let mut body = Body::new();
    let (at, below, above) =
        (body.int(Lane::I32, 3), body.int(Lane::I32, -1), body.int(Lane::I64, 4));
    let inside = body.load_at(0, Lane::F32, at, 4, 1);
    let low = body.load_at(0, Lane::F32, below, 4, 1);
    let high = body.load_at(0, Lane::I32, above, 4, 1);
    let phase = body.scalar(2, Lane::F32);
    let (narrow, wide) = (body.index(1, Lane::I32), body.index(1, Lane::I64));
    let mut values = vec![99; 50];
    eval(&body, &mut Words(vec![]), &mut values);
    let got = [inside, low, high, phase, narrow, wide].map(|v| values[v.index()]);
    assert_eq!(got, [103, NAN, 0, 7, word(-1, Lane::I32), word(-1, Lane::I64)]);
}

/// What 128-bit vectors of plain x86-64 with FMA have, and rounding. Angles of `F32` are `F64` inside.
#[test]
fn the_math_library_uses_vector_instructions_only() {
    for lane in [Lane::F32, Lane::F64] {
        let angles = ["sin", "cos", "tan"];
        let wide = |name| lane == Lane::F32 && angles.contains(&name);
        for function in FUNCTIONS.iter().filter(|f| !wide(f.name)) {
            let mut body = Body::new();
            let x = body.load(0, lane);
            (function.build)(&mut body, x);
            for inst in body.insts() {
                let slow = match *inst {
                    Inst::Convert(..) | Inst::LoadAt { .. } => true,
                    Inst::Shift(ShiftInst::Sar, a, _) => body.lane(a) == Lane::I64,
                    Inst::Compare(op, a, _) => body.lane(a).is_int() && op != CompareInst::Eq,
                    _ => false,
                };
                assert!(!slow, "{} of {lane} has `{inst}`", function.name);
            }
        }
    }
}

/// `f32` arithmetic without subnormals, computed exactly enough in `f64` and rounded.
fn flushed(exact: f64) -> u64 {
    let rounded = exact as f32;
    let tiny = exact.abs() < f64::from(f32::MIN_POSITIVE) * (1.0 - 2f64.powi(-25));
    single(if tiny { 0f32.copysign(rounded) } else { rounded })
}

proptest! {
    /// Sums and products of two `f32` round from `f64` like from the exact value.
    #[test]
    fn sums_and_products_round_once_and_flush(a: u32, b: u32, near in 0u32..64) {
        // Half of the products land around the smallest normal number.
        let b = if near < 32 { (126u32.wrapping_sub(a >> 23 & 255) & 255) << 23 | b >> 9 } else { b };
        let (x, y) = (f32::from_bits(a), f32::from_bits(b));
        prop_assume!([x, y].iter().all(|v| v.is_normal()));
        let (p, q) = (f64::from(x), f64::from(y));
        prop_assert_eq!(run(Lane::F32, a.into(), b.into(), |b, x, y| b.mul(x, y)), flushed(p * q));
        prop_assert_eq!(run(Lane::F32, a.into(), b.into(), |b, x, y| b.sub(x, y)), flushed(p - q));
        let zero = |b: &mut Body| b.f32(-0.0);
        let fma = run(Lane::F32, a.into(), b.into(), |b, x, y| { let z = zero(b); b.fma(x, y, z) });
        prop_assert_eq!(fma, flushed(p * q));
    }

    #[test]
    fn negation_and_order_agree(a: u32, b: u32) {
        let (a, b) = (u64::from(a), u64::from(b));
        let forward = run(Lane::F32, a, b, |b, x, y| b.lt(x, y));
        let backward = run(Lane::F32, a, b, |b, x, y| { let (x, y) = (b.neg(x), b.neg(y)); b.gt(x, y) });
        prop_assert_eq!(forward, backward);
        prop_assert_eq!(run(Lane::F32, a, b, |b, x, _| { let y = b.neg(x); b.neg(y) }), a);
        prop_assert_eq!(run(Lane::F32, a, b, |b, x, _| { let y = b.bitcast(x); b.bitcast(y) }), a);
    }
}
