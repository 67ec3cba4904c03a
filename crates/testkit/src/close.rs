//! How far two results are apart.

use eggrad_interp::{Data, Tensor};

/// Largest difference of two tensors of one shape, relative to the largest expected magnitude or to `floor` where
/// that is larger. Infinite when an infinity or NaN is not matched by the same.
///
/// # Panics
/// When the shapes differ.
pub fn error(found: &Tensor, expected: &Tensor, floor: f64) -> f64 {
    assert_eq!(found.ty.shape, expected.ty.shape, "shapes differ");
    let (found, expected) = (found.to_f64s(), expected.to_f64s());
    let finite = expected.iter().filter(|e| e.is_finite());
    let scale = finite.fold(floor, |scale, e| scale.max(e.abs()));
    let mut worst = 0.0f64;
    for (f, e) in found.iter().zip(&expected) {
        if f == e || (f.is_nan() && e.is_nan()) {
            continue;
        }
        let distance = (f - e).abs();
        worst = if distance.is_finite() { worst.max(distance / scale) } else { f64::INFINITY };
    }
    worst
}

/// Checks that [`error`] with floor 1 is at most `tolerance`.
///
/// # Panics
/// When it is larger; `what` begins the message.
pub fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    let error = error(found, expected, 1.0);
    assert!(
        error <= tolerance,
        "{what}: off by {error:e} of at most {tolerance:e}\n  found    {:?}\n  expected {:?}",
        found.to_f64s(),
        expected.to_f64s()
    );
}

/// Number of `f32` between two, 0 when they are equal or both NaN, `u64::MAX` when one is NaN.
pub fn ulps_f32(a: f32, b: f32) -> u64 {
    let order = |x: f32| {
        let bits = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    match (a.is_nan(), b.is_nan()) {
        (false, false) => order(a).abs_diff(order(b)),
        (true, true) => 0,
        (true, false) | (false, true) => u64::MAX,
    }
}

/// Number of `f64` between two, 0 when they are equal or both NaN, `u64::MAX` when one is NaN.
pub fn ulps_f64(a: f64, b: f64) -> u64 {
    let order = |x: f64| {
        let bits = (x.to_bits() & !(1 << 63)) as i64;
        if x.is_sign_negative() { -bits } else { bits }
    };
    match (a.is_nan(), b.is_nan()) {
        (false, false) => order(a).abs_diff(order(b)),
        (true, true) => 0,
        (true, false) | (false, true) => u64::MAX,
    }
}

/// Largest distance in units of the last place, elementwise; integers and bools count their differences.
///
/// # Panics
/// When the types differ.
pub fn max_ulps(found: &Tensor, expected: &Tensor) -> u64 {
    assert_eq!(found.ty, expected.ty, "types differ");
    let worst = match (&found.data, &expected.data) {
        (Data::F32(a), Data::F32(b)) => a.iter().zip(b).map(|(&a, &b)| ulps_f32(a, b)).max(),
        (Data::F64(a), Data::F64(b)) => a.iter().zip(b).map(|(&a, &b)| ulps_f64(a, b)).max(),
        (Data::I32(a), Data::I32(b)) => {
            a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).max()
        }
        (Data::I64(a), Data::I64(b)) => a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max(),
        (Data::U8(a), Data::U8(b)) => a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).max(),
        (Data::Bool(a), Data::Bool(b)) => a.iter().zip(b).map(|(a, b)| u64::from(a != b)).max(),
        (a, b) => panic!("elements {a:?} and {b:?} are not of their types"),
    };
    worst.unwrap_or(0)
}
