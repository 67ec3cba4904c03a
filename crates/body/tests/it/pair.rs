//! Functions of two operands, against wider arithmetic and at their special cases.

use eggrad_body::{Body, Env, Lane, Value, eval};

use crate::angle;
use crate::wide::Wide;

type Build = fn(&mut Body, Value, Value) -> Value;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

struct Operands([u64; 2]);

impl Env for Operands {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        self.0[usize::from(access)]
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        panic!("gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        panic!("reads an earlier phase")
    }

    fn index(&mut self, _: u16) -> i64 {
        panic!("reads its position")
    }
}

/// A function of two operands of one lane.
struct Pair {
    body: Body,
    result: Value,
    values: Vec<u64>,
}

impl Pair {
    fn new(lane: Lane, build: Build) -> Pair {
        let mut body = Body::new();
        let (a, b) = (body.load(0, lane), body.load(1, lane));
        let result = build(&mut body, a, b);
        Pair { body, result, values: Vec::new() }
    }

    fn bits(&mut self, a: u64, b: u64) -> u64 {
        eval(&self.body, &mut Operands([a, b]), &mut self.values);
        self.values[self.result.index()]
    }

    fn f32(&mut self, a: f32, b: f32) -> f32 {
        f32::from_bits(self.bits(a.to_bits().into(), b.to_bits().into()) as u32)
    }

    fn f64(&mut self, a: f64, b: f64) -> f64 {
        f64::from_bits(self.bits(a.to_bits(), b.to_bits()))
    }
}

struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between `low` and `high`.
    fn number(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.word() as f64 / 2f64.powi(64))
    }

    /// `±2^power` for a power of at most `size`.
    fn scaled(&mut self, size: f64) -> f64 {
        let sign = if self.word() & 1 == 0 { 1.0 } else { -1.0 };
        sign * self.number(-size, size).exp2()
    }
}

/// Spacing of floats with `bits` of significand at `x`, not below that of the smallest normal number.
fn spacing(x: f64, bits: i32, lowest: i32) -> f64 {
    let exponent = (x.abs().to_bits() >> 52) as i32 - 1023;
    2f64.powi(exponent.max(lowest) - bits)
}

/// Largest error in `f32` over `points`, in spacings at the exact value or at `at_least`.
fn worst_f32(
    build: Build,
    points: &[(f64, f64)],
    exact: impl Fn(f64, f64) -> f64,
    at_least: impl Fn(f64, f64) -> f64,
) -> f64 {
    let mut pair = Pair::new(Lane::F32, build);
    let mut worst = 0.0f64;
    for &(a, b) in points {
        let (a, b) = (a as f32, b as f32);
        let got = f64::from(pair.f32(a, b));
        let (a, b) = (f64::from(a), f64::from(b));
        let exact = exact(a, b);
        let zero = got == 0.0 && exact.abs() < f64::from(f32::MIN_POSITIVE);
        let over =
            got.is_infinite() && exact.abs() > f64::from(f32::MAX) && (got > 0.0) == (exact > 0.0);
        if zero || over || got.is_nan() && exact.is_nan() {
            continue;
        }
        let unit = spacing(exact.abs().max(at_least(a, b)), 23, -126);
        let error = (got - exact).abs() / unit;
        assert!(error < 100.0, "{got} at {a:e}, {b:e}, not {exact}");
        worst = worst.max(error);
    }
    worst
}

/// The same in `f64`; points with results that are not normal are left out.
fn worst_f64(
    build: Build,
    points: &[(f64, f64)],
    exact: impl Fn(f64, f64) -> Wide,
    at_least: impl Fn(f64, f64) -> f64,
) -> f64 {
    let mut pair = Pair::new(Lane::F64, build);
    let mut worst = 0.0f64;
    for &(a, b) in points {
        let exact = exact(a, b);
        if !exact.high.is_normal() || exact.high.abs() < 1e-290 {
            continue;
        }
        let got = pair.f64(a, b);
        let unit = spacing(exact.high.abs().max(at_least(a, b)), 52, -1022);
        let error = ((got - exact.high) / unit - exact.low / unit).abs();
        assert!(error < 100.0, "{got:e} at {a:e}, {b:e}, not {exact:?}");
        worst = worst.max(error);
    }
    worst
}

fn none(_: f64, _: f64) -> f64 {
    0.0
}

fn check(name: &str, (single, double): (f64, f64), bounds: (f64, f64)) {
    println!("{name:9} f32 {single:.4} f64 {double:.4} ulp");
    assert!(single <= bounds.0 && double <= bounds.1, "{name}: {single} {double}");
}

#[test]
fn powers() {
    let mut random = Random(1);
    let mut points = Vec::new();
    for _ in 0..20_000 {
        let a = random.scaled(100.0).abs();
        points.push((a, random.number(-130.0, 130.0) / a.log2()));
        points.push((random.number(0.5, 2.0), random.number(-100.0, 100.0)));
        points.push((random.number(-9.0, 9.0), random.number(-9.0, 9.0).round()));
    }
    let double: Vec<_> = points.iter().map(|&(a, b)| (a, b * 7.0)).filter(|p| p.0 > 0.0).collect();
    check(
        "pow",
        (
            worst_f32(Body::pow, &points, f64::powf, none),
            worst_f64(Body::pow, &double, |a, b| (Wide::from(a).log() * Wide::from(b)).exp(), none),
        ),
        (0.51, 1.25),
    );
}

#[test]
fn angles_of_points() {
    let mut random = Random(2);
    let mut points = Vec::new();
    for _ in 0..20_000 {
        points.push((random.scaled(60.0), random.scaled(60.0)));
        points.push((random.number(-1.0, 1.0), random.number(-1.0, 1.0)));
    }
    check(
        "atan2",
        (
            worst_f32(Body::atan2, &points, f64::atan2, none),
            worst_f64(Body::atan2, &points, angle::atan2, none),
        ),
        (2.0, 2.0),
    );
}

#[test]
fn sums_of_exponentials() {
    let mut random = Random(3);
    let mut points = Vec::new();
    for _ in 0..20_000 {
        let a = random.number(-50.0, 50.0);
        points.push((a, a + random.number(-20.0, 20.0)));
        points.push((random.scaled(20.0), random.number(-20.0, 20.0)));
        // The result is near zero.
        points.push((-random.number(0.0, 3.0), -random.number(0.0, 3.0)));
    }
    let wide = |a: f64, b: f64| {
        let gap = Wide::from(a.min(b)) - Wide::from(a.max(b));
        Wide::from(a.max(b)) + gap.exp().log1p()
    };
    let single = |a: f64, b: f64| a.max(b) + (-(a - b).abs()).exp().ln_1p();
    let larger = |a: f64, b: f64| a.max(b).abs().max((-(a - b).abs()).exp().ln_1p());
    check(
        "logaddexp",
        (
            worst_f32(Body::logaddexp, &points, single, larger),
            worst_f64(Body::logaddexp, &points, wide, larger),
        ),
        (3.0, 3.0),
    );
    points.retain(|&(a, b)| a.max(b) >= 0.0);
    check(
        "the same",
        (
            worst_f32(Body::logaddexp, &points, single, none),
            worst_f64(Body::logaddexp, &points, wide, none),
        ),
        (2.5, 2.5),
    );
}

#[test]
fn multiples_of_logarithms() {
    let mut random = Random(4);
    let points: Vec<_> =
        (0..20_000).map(|_| (random.scaled(20.0), random.scaled(60.0).abs())).collect();
    check(
        "xlogy",
        (
            worst_f32(Body::xlogy, &points, |a, b| a * b.ln(), none),
            worst_f64(Body::xlogy, &points, |a, b| Wide::from(a) * Wide::from(b).log(), none),
        ),
        (2.5, 2.5),
    );
}

/// Python's `%`, exactly but for the last sum.
fn python(a: f64, b: f64) -> f64 {
    let rest = a % b;
    let rest = if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest };
    if rest == 0.0 { 0f64.copysign(b) } else { rest }
}

#[test]
fn remainders_are_pythons() {
    let mut random = Random(5);
    let (mut single, mut double) =
        (Pair::new(Lane::F32, Body::modulo), Pair::new(Lane::F64, Body::modulo));
    for i in 0..60_000 {
        let a = random.scaled(40.0);
        let b = a * random.scaled(if i % 2 == 0 { 5.0 } else { 43.0 });
        // Whole multiples, where the quotient may be rounded across one.
        let b = if i % 3 == 0 { b.signum() * b.abs().max(1.0).round() } else { b };
        let a = if i % 6 == 0 { a.round() } else { a };
        assert_eq!(double.f64(a, b).to_bits(), python(a, b).to_bits(), "{a:e} % {b:e}");
        let (a, b) = (a as f32, b as f32);
        let exact = python(a.into(), b.into()) as f32;
        assert_eq!(single.f32(a, b).to_bits(), exact.to_bits(), "{a:e} % {b:e}");
        let far = single.f32(a * 1e18, b);
        assert!(far.abs() <= b.abs() && far.signum() == b.signum(), "{far} of {b:e}");
    }
}

/// `f` at each pair must be exactly the third number, the sign of zero included, in both lanes.
fn table(name: &str, build: Build, rows: &[(f64, f64, f64)]) {
    let (mut single, mut double) = (Pair::new(Lane::F32, build), Pair::new(Lane::F64, build));
    for &(a, b, y) in rows {
        let (wide, narrow) = (double.f64(a, b), f64::from(single.f32(a as f32, b as f32)));
        let same = |x: f64, y: f64| x.is_nan() && y.is_nan() || x.to_bits() == y.to_bits();
        assert!(same(wide, y), "{name}({a:?}, {b:?}) = {wide:?} in f64, not {y:?}");
        let y = f64::from(y as f32);
        assert!(same(narrow, y), "{name}({a:?}, {b:?}) = {narrow:?} in f32, not {y:?}");
    }
}

#[test]
#[rustfmt::skip]
fn special_pairs() {
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};
    table("modulo", Body::modulo, &[
        (5.0, 3.0, 2.0), (-5.0, 3.0, 1.0), (5.0, -3.0, -1.0), (-5.0, -3.0, -2.0), (6.0, 3.0, 0.0), (6.0, -3.0, -0.0), (-0.0, 3.0, 0.0),
        (1.0, INF, 1.0), (-1.0, INF, INF), (1.0, -INF, -INF), (-1.0, -INF, -1.0), (INF, 2.0, NAN), (2.0, 0.0, NAN), (0.0, 0.0, NAN),
        (NAN, 2.0, NAN), (2.0, NAN, NAN), (INF, INF, NAN), (5.5, 1.0, 0.5), (-1e-30, 1.0, 1.0), (0.0, INF, 0.0), (0.0, NAN, NAN),
    ]);
    table("logaddexp", Body::logaddexp, &[
        (INF, INF, INF), (-INF, -INF, -INF), (INF, -INF, INF), (-INF, 2.0, 2.0), (2.0, -INF, 2.0), (INF, 2.0, INF), (NAN, 2.0, NAN),
        (2.0, NAN, NAN), (NAN, INF, NAN), (INF, NAN, NAN), (-INF, NAN, NAN), (1e30, -1e30, 1e30), (0.0, -1e30, 0.0), (1e38, -3e38, 1e38),
    ]);
    table("xlogy", Body::xlogy, &[
        (0.0, 0.0, 0.0), (-0.0, 0.0, 0.0), (0.0, NAN, 0.0), (0.0, -1.0, 0.0), (0.0, INF, 0.0), (1.0, 0.0, -INF), (NAN, 2.0, NAN),
        (2.0, NAN, NAN), (1.0, -1.0, NAN), (2.0, 1.0, 0.0), (-1.0, 0.0, INF), (3.0, INF, INF), (NAN, 1.0, NAN),
    ]);
    table("atan2", Body::atan2, &[
        (0.0, 1.0, 0.0), (-0.0, 1.0, -0.0), (0.0, 0.0, 0.0), (-0.0, 0.0, -0.0), (1.0, 0.0, FRAC_PI_2), (-1.0, -0.0, -FRAC_PI_2),
        (0.0, -0.0, PI), (-0.0, -0.0, -PI), (0.0, -2.0, PI), (-0.0, -2.0, -PI), (INF, INF, FRAC_PI_4), (-INF, INF, -FRAC_PI_4),
        (INF, 1.0, FRAC_PI_2), (1.0, INF, 0.0), (-1.0, INF, -0.0), (1.0, -INF, PI), (-1.0, -INF, -PI), (INF, -INF, 3.0 * FRAC_PI_4),
        (1.0, 1.0, FRAC_PI_4), (NAN, 1.0, NAN), (1.0, NAN, NAN), (NAN, NAN, NAN), (0.0, NAN, NAN), (INF, NAN, NAN),
    ]);
    table("pow", Body::pow, &[
        (0.0, 0.0, 1.0), (NAN, 0.0, 1.0), (INF, -0.0, 1.0), (-2.0, 0.0, 1.0), (1.0, NAN, 1.0), (1.0, INF, 1.0), (1.0, -INF, 1.0), (1.0, 7.3, 1.0),
        (-1.0, INF, 1.0), (-1.0, -INF, 1.0), (NAN, 1.0, NAN), (2.0, NAN, NAN), (-1.0, NAN, NAN), (0.0, NAN, NAN),
        (0.0, 3.0, 0.0), (-0.0, 3.0, -0.0), (0.0, 2.0, 0.0), (-0.0, 2.0, 0.0), (-0.0, 0.5, 0.0), (0.0, INF, 0.0), (-0.0, INF, 0.0),
        (0.0, -3.0, INF), (-0.0, -3.0, -INF), (0.0, -2.0, INF), (-0.0, -2.0, INF), (-0.0, -0.5, INF), (-0.0, -INF, INF),
        (INF, 2.0, INF), (INF, -2.0, 0.0), (-INF, 3.0, -INF), (-INF, 2.0, INF), (-INF, -3.0, -0.0), (-INF, -2.0, 0.0), (-INF, 2.5, INF), (-INF, -2.5, 0.0),
        (0.5, INF, 0.0), (0.5, -INF, INF), (2.0, INF, INF), (2.0, -INF, 0.0), (-0.5, INF, 0.0), (-2.0, -INF, 0.0), (-2.0, INF, INF), (INF, INF, INF), (-INF, -INF, 0.0),
        (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, 0.5, NAN), (-8.0, 1.0 / 3.0, NAN), (-2.0, -3.0, -0.125), (-1.0, 1e30, 1.0), (-1.0, 8_388_609.0, -1.0),
        (2.0, 10.0, 1024.0), (4.0, 0.5, 2.0), (10.0, 2.0, 100.0), (2.0, 1e30, INF), (2.0, -1e30, 0.0), (1e30, 1e30, INF), (1e-30, 1e30, 0.0), (-2.0, 1e30, INF),
        (2.0, 1024.0, INF), (2.0, -126.0, 2f64.powi(-126)), (3.0, 1.0, 3.0), (7.5, -1.0, 1.0 / 7.5), (-3.0, 1.0, -3.0),
    ]);
}
