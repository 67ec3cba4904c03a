//! One elementwise op as instructions.

use eggrad_body::{BinaryInst, Body, CompareInst, Lane, UnaryInst, Value};
use eggrad_ir::{BinaryOp, CompareOp, DType, Literal, UnaryOp};

/// Lane that holds elements of `dtype`.
pub(crate) fn lane(dtype: DType) -> Lane {
    match dtype {
        DType::F32 => Lane::F32,
        DType::F64 => Lane::F64,
        DType::I32 | DType::U8 => Lane::I32,
        DType::I64 => Lane::I64,
        DType::Bool => Lane::Mask,
    }
}

/// `x` as an element of `dtype`: what was computed in a wider lane wraps.
pub(crate) fn wrapped(body: &mut Body, dtype: DType, x: Value) -> Value {
    match dtype {
        DType::U8 => {
            let low = body.int(Lane::I32, 255);
            body.and(x, low)
        }
        DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool => x,
    }
}

pub(crate) fn unary(body: &mut Body, op: UnaryOp, dtype: DType, x: Value) -> Value {
    let y = match op {
        UnaryOp::Neg => body.neg(x),
        UnaryOp::Abs => body.abs(x),
        UnaryOp::Sign => body.sign(x),
        UnaryOp::Square => body.square(x),
        UnaryOp::Sqrt => body.sqrt(x),
        UnaryOp::Rsqrt => body.rsqrt(x),
        UnaryOp::Recip => body.recip(x),
        UnaryOp::Exp => body.exp(x),
        UnaryOp::Expm1 => body.expm1(x),
        UnaryOp::Log => body.log(x),
        UnaryOp::Log1p => body.log1p(x),
        UnaryOp::Exp2 => body.exp2(x),
        UnaryOp::Log2 => body.log2(x),
        UnaryOp::Log1mexp => body.log1mexp(x),
        UnaryOp::Sin => body.sin(x),
        UnaryOp::Cos => body.cos(x),
        UnaryOp::Tan => body.tan(x),
        UnaryOp::Erf => body.erf(x),
        UnaryOp::Erfc => body.erfc(x),
        UnaryOp::LogErfc => body.log_erfc(x),
        UnaryOp::Tanh => body.tanh(x),
        UnaryOp::Sigmoid => body.sigmoid(x),
        UnaryOp::Softplus => body.softplus(x),
        UnaryOp::Relu => body.relu(x),
        UnaryOp::Floor => body.unary(UnaryInst::Floor, x),
        UnaryOp::Ceil => body.unary(UnaryInst::Ceil, x),
        UnaryOp::Round => body.unary(UnaryInst::Round, x),
        UnaryOp::Not => body.not(x),
    };
    wrapped(body, dtype, y)
}

pub(crate) fn binary(body: &mut Body, op: BinaryOp, dtype: DType, a: Value, b: Value) -> Value {
    let y = match op {
        BinaryOp::Add => body.add(a, b),
        BinaryOp::Sub => body.sub(a, b),
        BinaryOp::Mul => body.mul(a, b),
        BinaryOp::Div => body.div(a, b),
        BinaryOp::Pow => body.pow(a, b),
        BinaryOp::Mod => body.modulo(a, b),
        BinaryOp::Atan2 => body.atan2(a, b),
        BinaryOp::LogAddExp => body.logaddexp(a, b),
        BinaryOp::Xlogy => body.xlogy(a, b),
        BinaryOp::Maximum => body.maximum(a, b),
        BinaryOp::Minimum => body.minimum(a, b),
        BinaryOp::And => body.binary(BinaryInst::And, a, b),
        BinaryOp::Or => body.binary(BinaryInst::Or, a, b),
    };
    wrapped(body, dtype, y)
}

pub(crate) fn compare(body: &mut Body, op: CompareOp, a: Value, b: Value) -> Value {
    let inst = match op {
        CompareOp::Eq => CompareInst::Eq,
        CompareOp::Ne => CompareInst::Ne,
        CompareOp::Lt => CompareInst::Lt,
        CompareOp::Le => CompareInst::Le,
        CompareOp::Gt => CompareInst::Gt,
        CompareOp::Ge => CompareInst::Ge,
    };
    // Truth values compare as numbers.
    let number = |body: &mut Body, x: Value| match body.lane(x) {
        Lane::Mask => body.convert(Lane::I32, x),
        Lane::F32 | Lane::F64 | Lane::I32 | Lane::I64 => x,
    };
    let (a, b) = (number(body, a), number(body, b));
    body.compare(inst, a, b)
}

/// `x`, of element type `from`, as `to`: floats to integers truncate and saturate, integers wrap.
pub(crate) fn cast(body: &mut Body, from: DType, to: DType, x: Value) -> Value {
    let y = body.convert(lane(to), x);
    if to != DType::U8 || !from.is_float() {
        return wrapped(body, to, y);
    }
    let (least, most) = (body.int(Lane::I32, 0), body.int(Lane::I32, 255));
    let y = body.max(y, least);
    body.min(y, most)
}

/// The integer linear form `sum(steps[d] * index d)` over loops of `sizes`, as an element of `dtype`.
pub(crate) fn position(body: &mut Body, dtype: DType, sizes: &[usize], steps: &[usize]) -> Value {
    let most: usize = sizes.iter().zip(steps).map(|(n, s)| (n - 1) * s).sum();
    let narrow = i32::try_from(most).is_ok();
    let wide = matches!(dtype, DType::F64 | DType::I64);
    let index = if narrow && !wide { Lane::I32 } else { Lane::I64 };
    let mut sum = None;
    for (dim, &step) in steps.iter().enumerate().filter(|(_, s)| **s > 0) {
        let mut term = body.index(dim as u16, index);
        if step > 1 {
            let step = body.int(index, step as i64);
            term = body.mul(term, step);
        }
        sum = Some(match sum {
            Some(sum) => body.add(sum, term),
            None => term,
        });
    }
    let sum = sum.unwrap_or_else(|| body.int(index, 0));
    let y = body.convert(lane(dtype), sum);
    wrapped(body, dtype, y)
}

/// `literal` as an element of `dtype`.
pub(crate) fn constant(body: &mut Body, dtype: DType, literal: Literal) -> Value {
    match (literal, lane(dtype)) {
        (Literal::Int(value), to @ (Lane::I32 | Lane::I64)) => body.int(to, value),
        (literal, to) => body.konst(to, literal.as_f64()),
    }
}

/// Element `number` of random numbers of `dtype` under the words of a key.
pub(crate) fn random(body: &mut Body, dtype: DType, key: (Value, Value), number: Value) -> Value {
    let zero = body.int(Lane::I32, 0);
    let words = body.threefry(key, (number, zero));
    match dtype {
        DType::F32 => body.uniform_f32(words.0),
        DType::F64 => body.uniform_f64(words),
        DType::I32 => words.0,
        DType::I64 | DType::U8 | DType::Bool => {
            panic!("internal error: no random {}", dtype.name())
        }
    }
}
