//! Every function of the table in `f64`, against double-double arithmetic.

use eggrad_body::{Body, FUNCTIONS, Lane, Pointwise};

use crate::angle::sin_cos;
use crate::wide::{LN2, Wide};

/// `2/√π`
const TWO_BY_ROOT_PI: Wide =
    Wide { high: std::f64::consts::FRAC_2_SQRT_PI, low: 1.533545961316588e-17 };

fn reference(name: &str, x: f64) -> Wide {
    let (one, two) = (Wide::from(1.0), Wide::from(2.0));
    let wide = Wide::from(x);
    let minus_size = Wide::from(-x.abs());
    match name {
        "exp" => wide.exp(),
        "expm1" => wide.expm1(),
        "log" => wide.log(),
        "log1p" => wide.log1p(),
        "log1mexp" if x > 0.0 => Wide::from(f64::NAN),
        "log1mexp" if x > -0.7 => (-wide.expm1()).log(),
        "log1mexp" => (-wide.exp()).log1p(),
        "tanh" => {
            let t = Wide::from(-2.0 * x.abs()).expm1();
            let y = -t / (two + t);
            if x < 0.0 { -y } else { y }
        }
        "sigmoid" => {
            let w = minus_size.exp();
            (if x < 0.0 { w } else { one }) / (one + w)
        }
        "softplus" => {
            let tail = minus_size.exp().log1p();
            if x < 0.0 { tail } else { wide + tail }
        }
        "log_sigmoid" => -reference("softplus", -x),
        "erf" => erf(x),
        "erfc" if x > 1e3 => Wide::from(0.0),
        "erfc" if x > 2.0 => scaled_erfc(x) * (-(wide * wide)).exp(),
        "erfc" => one - erf(x),
        "log_erfc" if x > 1e150 => Wide::from(-x * x),
        "log_erfc" if x > 2.0 => scaled_erfc(x).log() - wide * wide,
        "log_erfc" => (-erf(x)).log1p(),
        "exp2" => (wide * LN2).exp(),
        "log2" => wide.log() / LN2,
        "sin" => sin_cos(x).0,
        "cos" => sin_cos(x).1,
        "tan" => {
            let (sin, cos) = sin_cos(x);
            sin / cos
        }
        "floor" => Wide::from(x.floor()),
        "ceil" => Wide::from(x.ceil()),
        "round" => Wide::from(x.round_ties_even()),
        "rsqrt" if x > 0.0 => one / wide.sqrt(),
        "rsqrt" => Wide::from(f64::NAN),
        _ => panic!("no reference for `{name}`"),
    }
}

/// The series of positive terms `2/√π e^(-x²) Σ 2^k x^(2k+1) / (1·3·…·(2k+1))`.
fn erf(x: f64) -> Wide {
    if x.abs() > 6.5 {
        return Wide::from(x.signum());
    }
    let wide = Wide::from(x);
    let square = wide * wide;
    let (mut term, mut sum, mut odd) = (wide, Wide::from(0.0), 1.0);
    while term.high.abs() > 1e-33 * sum.high.abs() {
        sum = sum + term;
        odd += 2.0;
        term = term * (square + square) / Wide::from(odd);
    }
    TWO_BY_ROOT_PI * (-square).exp() * sum
}

/// `e^(x²) erfc(x)` for `x >= 2`, Laplace's continued fraction.
fn scaled_erfc(x: f64) -> Wide {
    let (wide, half) = (Wide::from(x), Wide::from(0.5));
    let terms = if x < 4.0 { 400 } else { 100 };
    let fraction =
        (1..terms).rev().fold(wide, |below, k| wide + Wide::from(f64::from(k)) * half / below);
    half * TWO_BY_ROOT_PI / fraction
}

/// Distance of `got` from `exact` in spacings of `f64` at `exact`; infinite when only one is NaN.
fn error(got: f64, exact: Wide) -> f64 {
    if got.is_nan() || exact.high.is_nan() {
        return if got.is_nan() && exact.high.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == exact.high && got.is_infinite() || got == 0.0 && exact.high.abs() < f64::MIN_POSITIVE
    {
        return 0.0;
    }
    let exponent = (exact.high.abs().to_bits() >> 52) as i32 - 1023;
    // Scaled first: the spacing itself may be subnormal.
    let lift = 2f64.powi(-exponent.clamp(-1022, 1023));
    ((got - exact.high) * lift - exact.low * lift).abs() * 2f64.powi(52)
}

/// Numbers of every exponent, and more of them where the functions bend.
fn points() -> Vec<f64> {
    let mut state = 0u64;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut points = Vec::new();
    for _ in 0..4_000 {
        points.push(f64::from_bits(random()));
        for (low, high) in [(-745.0, 710.0), (-45.0, 45.0), (-3.0, 3.0), (-0.5, 0.5), (0.5, 2.0)] {
            let unit = random() as f64 / 2f64.powi(64);
            points.push(low + (high - low) * unit);
        }
    }
    points.retain(|x| x.is_normal());
    points
}

/// No double comes nearer to a multiple of π/2.
#[test]
fn an_angle_that_all_but_cancels_keeps_its_absolute_error() {
    let x = 6_381_956_970_095_103.0 * 2f64.powi(797);
    let exact = sin_cos(x).1;
    assert!((exact.high + 4.687_165_924_254_628e-19).abs() < 1e-33, "{exact:?}");
    let got = Pointwise::new(Lane::F64, Body::cos).f64(&[x])[0];
    println!("cos({x:e}) = {got:e}, off by {:e}", got - exact.high);
    assert!((got - exact.high).abs() < 2f64.powi(-92), "{got:e}, not {exact:?}");
}

#[test]
fn f64_errors_stay_within_the_table() {
    let points = points();
    let mut failed = Vec::new();
    for function in FUNCTIONS {
        let mut worst = (0.0, 0.0);
        let results = Pointwise::new(Lane::F64, function.build).f64(&points);
        for (&x, y) in points.iter().zip(results) {
            let error = error(y, reference(function.name, x));
            if error > worst.0 {
                worst = (error, x);
            }
        }
        println!("{:12} f64 {:.4} ulp at {:e}", function.name, worst.0, worst.1);
        if worst.0 > function.f64_ulp {
            failed.push(function.name);
        }
    }
    assert!(failed.is_empty(), "errors above the table's bounds: {failed:?}");
}
