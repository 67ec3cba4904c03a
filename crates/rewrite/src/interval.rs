//! Facts of elementwise ops: intervals, signs, exact constants.

use crate::facts::Facts;
use crate::rational::Rational;
use eggrad_ir::{BinaryOp, DType, UnaryOp};
use std::f64::consts::{FRAC_PI_2, LN_2, PI};

/// What a type can hold.
pub(crate) fn dtype_bounds(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F32 | DType::F64 => (f64::NEG_INFINITY, f64::INFINITY),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::I64 => (i64::MIN as f64, i64::MAX as f64),
        DType::U8 => (0.0, 255.0),
        DType::Bool => (0.0, 1.0),
    }
}

/// `bound · factor`, where nothing times infinity is nothing.
pub(crate) fn scaled(bound: f64, factor: f64) -> f64 {
    if bound == 0.0 || factor == 0.0 { 0.0 } else { bound * factor }
}

fn product((a, b): (f64, f64), (c, d): (f64, f64)) -> (f64, f64) {
    let all = [scaled(a, c), scaled(a, d), scaled(b, c), scaled(b, d)];
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    (low, all.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// `1 / x` of an interval that 0 is not inside of.
fn reciprocal(low: f64, high: f64) -> (f64, f64) {
    let end = |x: f64, at_zero: f64| if x == 0.0 { at_zero } else { 1.0 / x };
    if low >= 0.0 {
        (end(high, f64::INFINITY).max(0.0), end(low, f64::INFINITY))
    } else if high <= 0.0 {
        (end(high, f64::NEG_INFINITY), end(low, f64::NEG_INFINITY).min(0.0))
    } else {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
}

/// The interval, unless an integer of this type would wrap.
fn unless_wrapped(facts: Facts, low: f64, high: f64) -> Facts {
    if !facts.dtype.is_float() && (low < facts.low || high > facts.high) {
        return facts;
    }
    facts.within(low, high)
}

/// Facts of a unary op.
pub(crate) fn unary_facts(op: UnaryOp, x: &Facts) -> Facts {
    let fresh = Facts::unknown(x.dtype, x.axes.clone());
    let known =
        |f: Facts, finite: bool, nonzero: bool| Facts { finite: finite || f.finite, nonzero, ..f };
    let monotone = |f: fn(f64) -> f64| (f(x.low), f(x.high));
    let rounded = |(low, high): (f64, f64)| {
        let nonzero = x.integer && x.is_nonzero();
        Facts { integer: true, ..known(fresh.clone().within(low, high), x.finite, nonzero) }
    };
    let (low, high) = (x.low, x.high);
    let largest = low.abs().max(high.abs());
    let smallest = if low > 0.0 { low } else { (-high).max(0.0) };
    let mut facts = match op {
        UnaryOp::Neg => known(unless_wrapped(fresh, -high, -low), x.finite, x.is_nonzero()),
        UnaryOp::Abs => known(unless_wrapped(fresh, smallest, largest), x.finite, x.is_nonzero()),
        UnaryOp::Sign => {
            let (low, high) = (low.clamp(-1.0, 1.0).floor(), high.clamp(-1.0, 1.0).ceil());
            Facts { integer: true, ..known(fresh.within(low, high), x.finite, x.is_nonzero()) }
        }
        UnaryOp::Square => {
            let (low, high) = (smallest * smallest, largest * largest);
            let nonzero = x.is_nonzero() && x.dtype.is_float();
            known(unless_wrapped(fresh, low, high), x.finite, nonzero)
        }
        UnaryOp::Sqrt => {
            let (low, high) = (low.max(0.0).sqrt(), high.max(0.0).sqrt());
            known(fresh.within(low, high), x.finite && x.nonnegative(), x.positive())
        }
        UnaryOp::Rsqrt => {
            let (low, high) = reciprocal(low.max(0.0).sqrt(), high.max(0.0).sqrt());
            known(fresh.within(low, high), x.finite && x.positive(), x.finite)
        }
        UnaryOp::Recip => {
            let (low, high) = reciprocal(low, high);
            known(fresh.within(low, high), x.finite && x.is_nonzero(), x.finite)
        }
        UnaryOp::Exp => {
            let (low, high) = monotone(f64::exp);
            known(fresh.within(low, high), x.finite, x.finite || x.low > f64::NEG_INFINITY)
        }
        UnaryOp::Expm1 => {
            let (low, high) = monotone(f64::exp_m1);
            known(fresh.within(low, high), x.finite, x.is_nonzero())
        }
        UnaryOp::Log => {
            let (low, high) = (low.max(0.0).ln(), high.max(0.0).ln());
            known(fresh.within(low, high), x.finite && x.positive(), x.low > 1.0)
        }
        UnaryOp::Log1p => {
            let (low, high) = (low.max(-1.0).ln_1p(), high.max(-1.0).ln_1p());
            known(fresh.within(low, high), x.finite && x.low > -1.0, x.is_nonzero())
        }
        UnaryOp::Exp2 => {
            let (low, high) = monotone(f64::exp2);
            known(fresh.within(low, high), x.finite, x.finite || x.low > f64::NEG_INFINITY)
        }
        UnaryOp::Log2 => {
            let (low, high) = (low.max(0.0).log2(), high.max(0.0).log2());
            known(fresh.within(low, high), x.finite && x.positive(), x.low > 1.0)
        }
        UnaryOp::Log1mexp => {
            let end = |v: f64| (-v.min(0.0).exp_m1()).ln();
            known(fresh.within(end(high), end(low).min(0.0)), x.finite && x.negative(), x.finite)
        }
        UnaryOp::Sin | UnaryOp::Cos => known(fresh.within(-1.0, 1.0), x.finite, false),
        UnaryOp::Tan => known(fresh, x.finite && largest < FRAC_PI_2, false),
        UnaryOp::Erf => {
            let (low, high) = (if low >= 0.0 { 0.0 } else { -1.0 }, f64::from(high > 0.0));
            known(fresh.within(low, high), true, x.is_nonzero())
        }
        UnaryOp::Erfc => {
            let (low, high) = (f64::from(high <= 0.0), if low >= 0.0 { 1.0 } else { 2.0 });
            known(fresh.within(low, high), true, x.finite)
        }
        UnaryOp::LogErfc => {
            let low_end = if high <= 0.0 { 0.0 } else { f64::NEG_INFINITY };
            let high_end = if low >= 0.0 { 0.0 } else { LN_2 };
            known(fresh.within(low_end, high_end), x.finite, x.is_nonzero())
        }
        UnaryOp::Floor => rounded(monotone(f64::floor)),
        UnaryOp::Ceil => rounded(monotone(f64::ceil)),
        UnaryOp::Round => rounded(monotone(f64::round_ties_even)),
        UnaryOp::Tanh => {
            let (low, high) = monotone(f64::tanh);
            known(fresh.within(low, high), true, x.is_nonzero())
        }
        UnaryOp::Sigmoid => {
            let (low, high) = monotone(|v| 1.0 / (1.0 + (-v).exp()));
            known(fresh.within(low, high), true, x.finite)
        }
        UnaryOp::Softplus => {
            let (low, high) = monotone(|v| v.max(0.0) + (-v.abs()).exp().ln_1p());
            known(fresh.within(low, high), x.finite, x.finite)
        }
        UnaryOp::Relu => {
            let (low, high) = monotone(|v| v.max(0.0));
            let facts = known(fresh.within(low, high), x.finite, x.positive());
            Facts { integer: x.integer, ..facts }
        }
        UnaryOp::Not => fresh,
    };
    facts.constant = x.constant.filter(|_| x.dtype.is_float()).and_then(|c| match op {
        UnaryOp::Neg => c.neg(),
        UnaryOp::Abs => c.abs(),
        UnaryOp::Square => c.mul(c),
        UnaryOp::Recip => Rational::ONE.div(c),
        UnaryOp::Relu => Some(c.max_zero()),
        UnaryOp::Sign if c.is_zero() => Some(c),
        UnaryOp::Sign => c.abs().and_then(|size| c.div(size)),
        UnaryOp::Sqrt => c.sqrt(),
        UnaryOp::Rsqrt => c.sqrt().and_then(|root| Rational::ONE.div(root)),
        UnaryOp::Exp | UnaryOp::Exp2 | UnaryOp::Cos | UnaryOp::Erfc => {
            c.is_zero().then_some(Rational::ONE)
        }
        UnaryOp::Expm1
        | UnaryOp::Log1p
        | UnaryOp::Sin
        | UnaryOp::Tan
        | UnaryOp::Erf
        | UnaryOp::LogErfc
        | UnaryOp::Tanh => c.is_zero().then_some(c),
        UnaryOp::Log | UnaryOp::Log2 => (c == Rational::ONE).then_some(Rational::ZERO),
        UnaryOp::Sigmoid => Rational::new(1, 2).filter(|_| c.is_zero()),
        UnaryOp::Log1mexp
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Softplus
        | UnaryOp::Not => None,
    });
    facts
}

/// `log(e^a + e^b)` of ends of intervals.
fn logaddexp(a: f64, b: f64) -> f64 {
    let largest = a.max(b);
    if largest.is_infinite() { largest } else { largest + (-(a - b).abs()).exp().ln_1p() }
}

/// Facts of `a^b`, which `fresh` has none of.
fn pow_facts(fresh: Facts, a: &Facts, b: &Facts) -> Facts {
    let even = b.constant.is_some_and(|c| c.to_f64() % 2.0 == 0.0);
    let real = a.nonnegative() || b.integer;
    let reciprocal = b.nonnegative() || a.is_nonzero();
    let finite = a.finite && b.finite && real && reciprocal;
    let nonzero = a.finite && b.finite && a.is_nonzero();
    let (low, high) = if a.nonnegative() {
        let (x, y) = ([a.low, a.high], [b.low, b.high]);
        let corners = || x.iter().flat_map(|x| y.iter().map(|y| x.powf(*y)));
        (corners().fold(f64::INFINITY, f64::min), corners().fold(0.0, f64::max))
    } else {
        (if even { 0.0 } else { f64::NEG_INFINITY }, f64::INFINITY)
    };
    Facts { finite, nonzero, ..fresh.within(low, high) }
}

/// Facts of a binary op.
pub(crate) fn binary_facts(op: BinaryOp, a: &Facts, b: &Facts) -> Facts {
    let fresh = Facts::unknown(a.dtype, a.axes.union(&b.axes));
    let float = a.dtype.is_float();
    let finite = a.finite && b.finite;
    let integer = a.integer && b.integer;
    let mut facts = match op {
        BinaryOp::Add => {
            let nonzero =
                float && ((a.positive() && b.nonnegative()) || (b.positive() && a.nonnegative()));
            let facts = unless_wrapped(fresh, a.low + b.low, a.high + b.high);
            Facts { nonzero, finite: facts.finite || finite, integer, ..facts }
        }
        BinaryOp::Sub => {
            let facts = unless_wrapped(fresh, a.low - b.high, a.high - b.low);
            Facts { finite: facts.finite || finite, integer, ..facts }
        }
        BinaryOp::Mul => {
            let (low, high) = product((a.low, a.high), (b.low, b.high));
            let nonzero = float && a.is_nonzero() && b.is_nonzero();
            let facts = unless_wrapped(fresh, low, high);
            Facts { nonzero, finite: facts.finite || finite, integer, ..facts }
        }
        BinaryOp::Div => {
            let (low, high) = product((a.low, a.high), reciprocal(b.low, b.high));
            let nonzero = a.is_nonzero() && b.finite;
            let finite = finite && b.is_nonzero();
            Facts { nonzero, finite, ..fresh.within(low, high) }
        }
        BinaryOp::Maximum => Facts {
            nonzero: a.positive() || b.positive() || (a.is_nonzero() && b.is_nonzero()),
            finite: fresh.finite || finite,
            integer,
            ..fresh.within(a.low.max(b.low), a.high.max(b.high))
        },
        BinaryOp::Minimum => Facts {
            nonzero: a.high < 0.0 || b.high < 0.0 || (a.is_nonzero() && b.is_nonzero()),
            finite: fresh.finite || finite,
            integer,
            ..fresh.within(a.low.min(b.low), a.high.min(b.high))
        },
        BinaryOp::Pow => pow_facts(fresh, a, b),
        BinaryOp::Mod => {
            let low = if b.nonnegative() { 0.0 } else { b.low };
            let high = if b.high <= 0.0 { 0.0 } else { b.high };
            let finite = finite && b.is_nonzero();
            Facts { finite, integer, ..fresh.within(low, high) }
        }
        BinaryOp::Atan2 => {
            // The angle of -0 may be -π.
            let low = if a.positive() { 0.0 } else { -PI };
            let high = if a.negative() { 0.0 } else { PI };
            let right = if b.positive() { FRAC_PI_2 } else { PI };
            let facts = fresh.within(low.max(-right), high.min(right));
            Facts { finite, nonzero: a.is_nonzero(), ..facts }
        }
        BinaryOp::LogAddExp => {
            let (low, high) = (logaddexp(a.low, b.low), logaddexp(a.high, b.high));
            Facts { finite, ..fresh.within(low, high) }
        }
        BinaryOp::Xlogy => {
            let logs = (b.low.max(0.0).ln(), b.high.max(0.0).ln());
            let (low, high) = product((a.low, a.high), logs);
            Facts { finite: finite && b.positive(), ..fresh.within(low, high) }
        }
        BinaryOp::And | BinaryOp::Or => fresh,
    };
    facts.constant = match (a.constant, b.constant) {
        (Some(x), Some(y)) if float => match op {
            BinaryOp::Add => x.add(y),
            BinaryOp::Sub => x.sub(y),
            BinaryOp::Mul => x.mul(y),
            BinaryOp::Div => x.div(y),
            BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy
            | BinaryOp::Maximum
            | BinaryOp::Minimum
            | BinaryOp::And
            | BinaryOp::Or => None,
        },
        _ => None,
    };
    facts
}

/// Facts of a conversion.
pub(crate) fn cast_facts(to: DType, x: &Facts) -> Facts {
    let fresh = Facts::unknown(to, x.axes.clone());
    if to == DType::Bool {
        return fresh;
    }
    if to.is_float() {
        let (finite, nonzero, integer) = (x.finite, x.is_nonzero(), x.integer);
        return Facts { finite, nonzero, integer, ..fresh.within(x.low, x.high) };
    }
    let (low, high) = (x.low.trunc(), x.high.trunc());
    // NaN becomes 0, and integers that do not fit wrap.
    if x.finite { unless_wrapped(fresh, low, high) } else { fresh }
}
