//! Every function of the table at `f32` operands of every exponent, against `f64`.
//!
//! By default operands are a prime apart, about 500,000 of them. `EGGRAD_EXHAUSTIVE=1 cargo test --release -p
//! eggrad-body exhaustive -- --nocapture` takes all 2^32 operands and prints the largest errors; a function's name
//! instead of 1 does so for that function only. It takes about ten minutes of one core per function; with
//! `RUSTFLAGS="-C target-cpu=native"` a fused multiply-add is no call, which helps.

use std::ops::Range;
use std::thread;

use eggrad_body::{FUNCTIONS, Function, Lane, Pointwise};

/// Exact enough: good to a few units in the last place of `f64`.
fn reference(name: &str) -> fn(f64) -> f64 {
    match name {
        "exp" => f64::exp,
        "expm1" => f64::exp_m1,
        "log" => f64::ln,
        "log1p" => f64::ln_1p,
        "log1mexp" => log1mexp,
        "tanh" => f64::tanh,
        "sigmoid" => |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) },
        "softplus" => softplus,
        "log_sigmoid" => |x| -softplus(-x),
        "erf" => erf,
        "erfc" => erfc,
        "log_erfc" => log_erfc,
        "exp2" => f64::exp2,
        "log2" => f64::log2,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "round" => f64::round_ties_even,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        _ => panic!("no reference for `{name}`"),
    }
}

fn softplus(x: f64) -> f64 {
    // `f64::max` would drop a NaN.
    (if x < 0.0 { 0.0 } else { x }) + (-x.abs()).exp().ln_1p()
}

fn log1mexp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// The series of positive terms `2/√π e^(-x²) Σ 2^k x^(2k+1) / (1·3·…·(2k+1))`.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut odd) = (x, 0.0, 1.0);
    while term.abs() > 1e-17 * f64::abs(sum) {
        sum += term;
        odd += 2.0;
        term *= 2.0 * x * x / odd;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * if x.is_nan() { x } else { sum }
}

/// `e^(x²) erfc(x)` for `x >= 2`, Laplace's continued fraction.
fn scaled_erfc(x: f64) -> f64 {
    let fraction = (1..100).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
    std::f64::consts::FRAC_2_SQRT_PI / 2.0 / fraction
}

fn erfc(x: f64) -> f64 {
    if x < 2.0 || x.is_nan() { 1.0 - erf(x) } else { scaled_erfc(x) * (-x * x).exp() }
}

fn log_erfc(x: f64) -> f64 {
    match x {
        _ if x < 0.5 => (-erf(x)).ln_1p(),
        _ if x < 2.0 => erfc(x).ln(),
        _ => scaled_erfc(x).ln() - x * x,
    }
}

fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(x) } else { x }
}

/// Distance of `got` from `exact` in spacings of `f32` at `exact`; infinite when only one is NaN.
fn error(got: f32, exact: f64) -> f64 {
    if got.is_nan() || exact.is_nan() {
        return if got.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let top = 2f64.powi(128);
    let got = if got.is_infinite() { top.copysign(got.into()) } else { f64::from(flush(got)) };
    let exact = exact.clamp(-top, top);
    if got == exact || got == 0.0 && exact.abs() < f64::from(f32::MIN_POSITIVE) {
        return 0.0;
    }
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    (got - exact).abs() / 2f64.powi(exponent.clamp(-126, 127) - 23)
}

#[derive(Clone, Copy, Default)]
struct Worst {
    error: f64,
    at: f32,
}

/// The largest error at `bits` taken `stride` apart.
fn worst_of(function: &Function, bits: Range<u64>, stride: usize) -> Worst {
    let mut compiled = Pointwise::new(Lane::F32, function.build);
    let exact = reference(function.name);
    let mut worst = Worst::default();
    let mut points = bits.step_by(stride);
    loop {
        let x: Vec<f32> = points.by_ref().take(4096).map(|b| f32::from_bits(b as u32)).collect();
        if x.is_empty() {
            return worst;
        }
        for (&x, y) in x.iter().zip(compiled.f32(&x)) {
            let error = error(y, exact(flush(x).into()));
            if error > worst.error {
                worst = Worst { error, at: x };
            }
        }
    }
}

#[test]
fn exhaustive_f32_errors_stay_within_the_table() {
    let exhaustive = std::env::var("EGGRAD_EXHAUSTIVE").unwrap_or_default();
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let share = (1u64 << 32).div_ceil(threads);
    let mut failed = Vec::new();
    for function in FUNCTIONS {
        let all = exhaustive == "1" || exhaustive == function.name;
        let stride = if all { 1 } else { 8599 };
        let worst = thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|i| {
                    let end = ((i + 1) * share).min(1 << 32);
                    scope.spawn(move || worst_of(function, i * share..end, stride))
                })
                .collect();
            let parts = parts.into_iter().map(|part| part.join().expect("a part panicked"));
            parts.max_by(|a, b| a.error.total_cmp(&b.error)).unwrap_or_default()
        });
        println!("{:12} f32 {:.4} ulp at {:e}", function.name, worst.error, worst.at);
        if worst.error > function.f32_ulp {
            failed.push(function.name);
        }
    }
    assert!(failed.is_empty(), "errors above the table's bounds: {failed:?}");
}

#[test]
fn increasing_functions_do_not_step_back_by_more_than_their_error() {
    let others = ["log1mexp", "rsqrt", "erfc", "log_erfc", "sin", "cos", "tan"];
    for function in FUNCTIONS.iter().filter(|f| !others.contains(&f.name)) {
        let mut compiled = Pointwise::new(Lane::F32, function.build);
        let x: Vec<f32> = (-88_000..=88_000).map(|i| i as f32 * 1e-3).collect();
        let mut highest = f32::NEG_INFINITY;
        for (x, y) in x.iter().zip(compiled.f32(&x)).filter(|(_, y)| !y.is_nan()) {
            let slack = 2.0 * f32::EPSILON * y.abs() * function.f32_ulp as f32;
            assert!(y >= highest - slack, "{}({x}) = {y} after {highest}", function.name);
            highest = highest.max(y);
        }
    }
}
