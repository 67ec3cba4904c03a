//! Results that must be exact: zeros, infinities, NaN, thresholds.

use eggrad_body::{Body, FUNCTIONS, Lane, Pointwise, Value};

/// `f` at each `x` must be exactly `y`, the sign of zero included, in both lanes.
fn check(name: &str, f: fn(&mut Body, Value) -> Value, table: &[(f64, f64)]) {
    for &(x, y) in table {
        let got = Pointwise::new(Lane::F64, f).f64(&[x])[0];
        assert!(same(got, y), "{name}({x:?}) = {got:?} in f64, expected {y:?}");
        let got = Pointwise::new(Lane::F32, f).f32(&[x as f32])[0];
        assert!(same(got.into(), (y as f32).into()), "{name}({x:?}) = {got:?} in f32, not {y:?}");
    }
}

/// The same for `f32` only.
fn check_f32(name: &str, f: fn(&mut Body, Value) -> Value, table: &[(f32, f32)]) {
    for &(x, y) in table {
        let got = Pointwise::new(Lane::F32, f).f32(&[x])[0];
        assert!(same(got.into(), y.into()), "{name}({x:?}) = {got:?} in f32, expected {y:?}");
    }
}

fn same(a: f64, b: f64) -> bool {
    a.is_nan() && b.is_nan() || a.to_bits() == b.to_bits()
}

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const LN_2: f64 = std::f64::consts::LN_2;

#[test]
#[rustfmt::skip]
fn special_values() {
    check("exp", Body::exp, &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e3, INF), (-1e3, 0.0), (1e30, INF), (-1e30, 0.0)]);
    check("expm1", Body::expm1, &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (1e3, INF), (-1e3, -1.0), (1e-30, 1e-30), (-1e30, -1.0), (1e30, INF)]);
    check("log", Body::log, &[(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-INF, NAN), (INF, INF), (-1e-30, NAN)]);
    check("log1p", Body::log1p, &[(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-1.5, NAN), (-INF, NAN), (INF, INF), (1e-30, 1e-30), (-1e-30, -1e-30)]);
    check("log1mexp", Body::log1mexp, &[(0.0, -INF), (-0.0, -INF), (1.0, NAN), (1e30, NAN), (INF, NAN), (-INF, -0.0), (-1e3, -0.0), (-1e30, -0.0)]);
    check("tanh", Body::tanh, &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (40.0, 1.0), (-40.0, -1.0), (1e30, 1.0), (1e-30, 1e-30), (-1e-30, -1e-30)]);
    check("sigmoid", Body::sigmoid, &[(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e3, 1.0), (-1e3, 0.0), (1e30, 1.0)]);
    check("softplus", Body::softplus, &[(INF, INF), (-INF, 0.0), (1e3, 1e3), (-1e3, 0.0), (1e30, 1e30)]);
    check("log_sigmoid", Body::log_sigmoid, &[(INF, -0.0), (-INF, -INF), (1e3, -0.0), (-1e3, -1e3)]);
    check("erf", Body::erf, &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (6.0, 1.0), (-6.0, -1.0), (1e30, 1.0)]);
    check("erfc", Body::erfc, &[(0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (30.0, 0.0), (-30.0, 2.0), (1e30, 0.0), (-1e30, 2.0)]);
    check("log_erfc", Body::log_erfc, &[(0.0, -0.0), (-0.0, 0.0), (INF, -INF), (-INF, LN_2), (-30.0, LN_2), (1e4, -100_000_009.782_705_32)]);
    check("exp2", Body::exp2, &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (10.0, 1024.0), (-126.0, 2f64.powi(-126)), (1024.0, INF), (-1023.0, 0.0), (1e30, INF), (-1e30, 0.0)]);
    check("log2", Body::log2, &[(1.0, 0.0), (8.0, 3.0), (0.125, -3.0), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (INF, INF), (-INF, NAN)]);
    check("sin", Body::sin, &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (1e-30, 1e-30)]);
    check("cos", Body::cos, &[(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (1e-30, 1.0)]);
    check("tan", Body::tan, &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (-1e-30, -1e-30)]);
    check("floor", Body::floor, &[(0.5, 0.0), (-0.5, -1.0), (-0.0, -0.0), (2.0, 2.0), (1e30, 1e30), (-INF, -INF)]);
    check("ceil", Body::ceil, &[(0.5, 1.0), (-0.5, -0.0), (0.0, 0.0), (2.0, 2.0), (-1e30, -1e30), (INF, INF)]);
    check("round", Body::round, &[(0.5, 0.0), (-0.5, -0.0), (1.5, 2.0), (2.5, 2.0), (-1.5, -2.0), (0.75, 1.0), (INF, INF)]);
    check("relu", Body::relu, &[(0.0, 0.0), (2.0, 2.0), (-2.0, 0.0), (INF, INF), (-INF, 0.0), (NAN, NAN)]);
    check("sign", Body::sign, &[(0.0, 0.0), (-0.0, -0.0), (3.0, 1.0), (-3.0, -1.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)]);
    check("recip", Body::recip, &[(0.0, INF), (-0.0, -INF), (INF, 0.0), (4.0, 0.25), (NAN, NAN)]);
    check("rsqrt", Body::rsqrt, &[(0.0, INF), (-0.0, -INF), (INF, 0.0), (4.0, 0.5), (-1.0, NAN), (NAN, NAN)]);
    for f in FUNCTIONS {
        check(f.name, f.build, &[(NAN, NAN), (-NAN, NAN), (f64::from_bits(0x7fff_ffff_ffff_ffff), NAN)]);
        check_f32(f.name, f.build, &[(f32::from_bits(0x7fff_ffff), f32::NAN), (f32::from_bits(0xff80_0001), f32::NAN)]);
    }
}

#[test]
fn the_example_of_pointwise_holds() {
    let mut exp = Pointwise::new(Lane::F32, |body, x| body.exp(x));
    assert_eq!(exp.f32(&[0.0, 1.0]), [1.0, std::f32::consts::E]);
}

#[test]
fn thresholds_of_exp() {
    let min = f32::MIN_POSITIVE;
    // ln(MAX) lies between these two neighbours, ln(MIN_POSITIVE) between the next two.
    let (fits, over) = (88.722_83_f32, 88.722_84_f32);
    assert_eq!(fits.to_bits() + 1, over.to_bits());
    let f = |x| Pointwise::new(Lane::F32, Body::exp).f32(&[x])[0];
    assert!(f(fits) > 3.402_79e38 && f(fits) < f32::INFINITY);
    assert_eq!(f(over), f32::INFINITY);
    let last = -87.336_54_f32;
    assert!(f(last) >= min && f(last) < min * 1.0001);
    assert_eq!(f(last.next_down()), 0.0);
    let f = |x| Pointwise::new(Lane::F32, Body::expm1).f32(&[x])[0];
    assert!(f(fits) > 3.402_79e38 && f(fits) < f32::INFINITY);
    assert_eq!(f(over), f32::INFINITY);

    let f = |x| Pointwise::new(Lane::F64, Body::exp).f64(&[x])[0];
    assert!(f(709.782_712_893_384) < INF);
    assert_eq!(f(709.782_712_893_384_f64.next_up()), INF);
    assert!(f(-708.396_418_532_264_1) >= f64::MIN_POSITIVE);
    assert_eq!(f((-708.396_418_532_264_1_f64).next_down()), 0.0);
}

#[test]
fn functions_that_start_as_the_identity_keep_the_smallest_numbers() {
    let mut x = f32::MIN_POSITIVE;
    while x < 1e-20 {
        let table = [(x, x), (-x, -x), (x * 1.5, x * 1.5)];
        check_f32("expm1", Body::expm1, &table);
        check_f32("log1p", Body::log1p, &table);
        check_f32("tanh", Body::tanh, &table);
        x *= 2.0;
    }
}

#[test]
fn subnormal_operands_count_as_zero() {
    for f in FUNCTIONS {
        for sign in [1.0f32, -1.0] {
            let f = |x| Pointwise::new(Lane::F32, f.build).f32(&[x])[0];
            let (got, zero) = (f(f32::from_bits(0x007f_ffff) * sign), f(0.0 * sign));
            let got = if got.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(got) } else { got };
            assert!(same(got.into(), zero.into()), "{got} at a subnormal, {zero} at zero");
        }
    }
}
