//! The scalar evaluator: what a body computes, bit by bit.

use crate::flush::{Float, narrow, widen};
use crate::inst::{BinaryInst, Body, CompareInst, Inst, Lane, ShiftInst, UnaryInst, Value};

/// Where a body's leaves get their bits from. `F32` and `I32` are the low half of the word, a mask is 0 or 1.
pub trait Env {
    /// The element of access `access` at the current position.
    fn load(&mut self, access: u16, lane: Lane) -> u64;
    /// The element of `access` moved by `index · stride` elements; called only when `0 <= index < size`.
    fn load_at(&mut self, access: u16, lane: Lane, index: i64, size: u32, stride: u32) -> u64;
    /// Result `index` of an earlier phase.
    fn scalar(&mut self, index: u16, lane: Lane) -> u64;
    /// Position along loop dimension `dim`.
    fn index(&mut self, dim: u16) -> i64;
}

/// Evaluates every instruction in order, one bit pattern per instruction, zero-extended; a mask is 0 or 1.
///
/// # Numerics
/// The bits machine code computes: IEEE arithmetic rounded to nearest, fused where the body says so and only
/// there, nothing folded or reordered. Subnormal operands and results of arithmetic, comparisons and conversions
/// count as zero of their sign; instructions that only move bits (`Neg Abs Min Max Select Bitcast` and loads)
/// keep them. Sign and payload of a NaN are outside the promise.
pub fn eval(body: &Body, env: &mut dyn Env, values: &mut Vec<u64>) {
    values.clear();
    for &inst in body.insts() {
        let bits = step(body, inst, env, |v| values[v.index()]);
        values.push(bits);
    }
}

/// One instruction, given the bits of its operands.
#[inline]
pub(crate) fn step(body: &Body, inst: Inst, env: &mut dyn Env, get: impl Fn(Value) -> u64) -> u64 {
    match inst {
        Inst::Load { access, lane } => env.load(access, lane),
        Inst::LoadAt { access, lane, index, size, stride } => {
            let at = signed(body.lane(index), get(index));
            if (0..i64::from(size)).contains(&at) {
                env.load_at(access, lane, at, size, stride)
            } else {
                out_of_range(lane)
            }
        }
        Inst::Scalar { index, lane } => env.scalar(index, lane),
        Inst::Index { dim, lane } => truncated(lane, env.index(dim)),
        Inst::Const { bits, .. } => bits,
        Inst::Unary(op, a) => match body.lane(a) {
            Lane::F32 => unary_float::<f32>(op, get(a)),
            Lane::F64 => unary_float::<f64>(op, get(a)),
            lane @ (Lane::I32 | Lane::I64 | Lane::Mask) => unary_int(op, lane, get(a)),
        },
        Inst::Binary(op, a, b) => match body.lane(a) {
            Lane::F32 => binary_float::<f32>(op, get(a), get(b)),
            Lane::F64 => binary_float::<f64>(op, get(a), get(b)),
            lane @ (Lane::I32 | Lane::I64 | Lane::Mask) => binary_int(op, lane, get(a), get(b)),
        },
        Inst::Fma(a, b, c) => match body.lane(a) {
            Lane::F32 => fma::<f32>(get(a), get(b), get(c)),
            Lane::F64 => fma::<f64>(get(a), get(b), get(c)),
            Lane::I32 | Lane::I64 | Lane::Mask => ill_typed(inst),
        },
        Inst::Shift(op, a, by) => {
            let lane = body.lane(a);
            match op {
                ShiftInst::Shl => truncated(lane, (get(a) << by) as i64),
                ShiftInst::Shr => get(a) >> by,
                ShiftInst::Sar => truncated(lane, signed(lane, get(a)) >> by),
            }
        }
        Inst::Compare(op, a, b) => u64::from(match body.lane(a) {
            Lane::F32 => compare_float::<f32>(op, get(a), get(b)),
            Lane::F64 => compare_float::<f64>(op, get(a), get(b)),
            lane @ (Lane::I32 | Lane::I64 | Lane::Mask) => {
                compare(op, signed(lane, get(a)), signed(lane, get(b)))
            }
        }),
        Inst::Select(mask, a, b) => get(if get(mask) != 0 { a } else { b }),
        Inst::Convert(to, a) => convert(body.lane(a), to, get(a)),
        Inst::Bitcast(a) => get(a),
    }
}

fn unary_float<T: Float>(op: UnaryInst, a: u64) -> u64 {
    let a = T::of(a);
    match op {
        UnaryInst::Neg => a.neg(),
        UnaryInst::Abs => a.abs(),
        UnaryInst::Sqrt => a.sqrt(),
        UnaryInst::Floor => a.floor(),
        UnaryInst::Ceil => a.ceil(),
        UnaryInst::Round => a.round(),
        UnaryInst::Not => ill_typed(op),
    }
    .bits()
}

fn unary_int(op: UnaryInst, lane: Lane, a: u64) -> u64 {
    match op {
        UnaryInst::Neg => truncated(lane, signed(lane, a).wrapping_neg()),
        UnaryInst::Abs => truncated(lane, signed(lane, a).wrapping_abs()),
        UnaryInst::Not => a ^ 1,
        UnaryInst::Sqrt | UnaryInst::Floor | UnaryInst::Ceil | UnaryInst::Round => ill_typed(op),
    }
}

fn binary_float<T: Float>(op: BinaryInst, a: u64, b: u64) -> u64 {
    let (x, y) = (T::of(a), T::of(b));
    match op {
        BinaryInst::Add => x.add(y).bits(),
        BinaryInst::Sub => x.add(y.neg()).bits(),
        BinaryInst::Mul => x.mul(y).bits(),
        BinaryInst::Div => x.div(y).bits(),
        BinaryInst::Min => {
            if x.flush() < y.flush() {
                a
            } else {
                b
            }
        }
        BinaryInst::Max => {
            if x.flush() > y.flush() {
                a
            } else {
                b
            }
        }
        BinaryInst::And | BinaryInst::Or | BinaryInst::Xor => ill_typed(op),
    }
}

fn binary_int(op: BinaryInst, lane: Lane, a: u64, b: u64) -> u64 {
    let (x, y) = (signed(lane, a), signed(lane, b));
    match op {
        BinaryInst::Add => truncated(lane, x.wrapping_add(y)),
        BinaryInst::Sub => truncated(lane, x.wrapping_sub(y)),
        BinaryInst::Mul => truncated(lane, x.wrapping_mul(y)),
        BinaryInst::Min => {
            if x < y {
                a
            } else {
                b
            }
        }
        BinaryInst::Max => {
            if x > y {
                a
            } else {
                b
            }
        }
        BinaryInst::And => a & b,
        BinaryInst::Or => a | b,
        BinaryInst::Xor => a ^ b,
        BinaryInst::Div => ill_typed(op),
    }
}

fn fma<T: Float>(a: u64, b: u64, c: u64) -> u64 {
    T::of(a).fma(T::of(b), T::of(c)).bits()
}

fn compare_float<T: Float>(op: CompareInst, a: u64, b: u64) -> bool {
    compare(op, T::of(a).flush(), T::of(b).flush())
}

fn compare<T: PartialOrd>(op: CompareInst, a: T, b: T) -> bool {
    match op {
        CompareInst::Eq => a == b,
        CompareInst::Ne => a != b,
        CompareInst::Lt => a < b,
        CompareInst::Le => a <= b,
        CompareInst::Gt => a > b,
        CompareInst::Ge => a >= b,
    }
}

fn convert(from: Lane, to: Lane, bits: u64) -> u64 {
    if from == to {
        return bits;
    }
    match from {
        Lane::F32 => from_float(widen(f32::of(bits)), to),
        Lane::F64 => from_float(f64::of(bits).flush(), to),
        Lane::I32 | Lane::I64 | Lane::Mask => from_int(signed(from, bits), to),
    }
}

/// `f32` passes through here widened, which is exact.
fn from_float(x: f64, to: Lane) -> u64 {
    match to {
        Lane::F32 => narrow(x).bits(),
        Lane::F64 => x.bits(),
        Lane::I32 => truncated(to, i64::from(x as i32)),
        Lane::I64 => x as i64 as u64,
        Lane::Mask => u64::from(x != 0.0),
    }
}

/// Integers to integers keep the low bits.
fn from_int(x: i64, to: Lane) -> u64 {
    match to {
        Lane::F32 => (x as f32).bits(),
        Lane::F64 => (x as f64).bits(),
        Lane::I32 | Lane::I64 => truncated(to, x),
        Lane::Mask => u64::from(x != 0),
    }
}

/// The integer that `bits` mean in an integer lane or mask.
fn signed(lane: Lane, bits: u64) -> i64 {
    match lane {
        Lane::I32 => i64::from(bits as u32 as i32),
        Lane::I64 | Lane::Mask => bits as i64,
        Lane::F32 | Lane::F64 => ill_typed(lane),
    }
}

/// The low bits of `x` as an integer lane holds them.
fn truncated(lane: Lane, x: i64) -> u64 {
    match lane {
        Lane::I32 => u64::from(x as u32),
        Lane::I64 | Lane::Mask => x as u64,
        Lane::F32 | Lane::F64 => ill_typed(lane),
    }
}

fn out_of_range(lane: Lane) -> u64 {
    match lane {
        Lane::F32 => f32::NAN.bits(),
        Lane::F64 => f64::NAN.bits(),
        Lane::I32 | Lane::I64 | Lane::Mask => 0,
    }
}

#[cold]
fn ill_typed(what: impl std::fmt::Debug) -> ! {
    panic!("internal error: {what:?} on a lane that `Body::push` refuses")
}
