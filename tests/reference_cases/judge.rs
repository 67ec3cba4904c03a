//! Compares what was computed with what is expected.

use crate::engine::Named;
use crate::json::Array;
use eggrad::prelude::DType;

/// What kind of value it is; tolerances differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// A result of formulas whose longest contraction or reduction has so many terms.
    Forward(usize),
    /// A derivative.
    Gradient,
    /// A parameter, or a loss, after steps of training.
    Trained,
    /// A function of one number, at each place for itself.
    Point,
    /// The derivative of such a function.
    PointGradient,
}

/// A value that a case expects.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) array: Array,
    pub(crate) what: What,
}

impl Expected {
    pub(crate) fn new(name: impl Into<String>, array: Array, what: What) -> Expected {
        Expected { name: name.into(), array, what }
    }
}

/// Added to what may differ in f64.
const TINY: f64 = 1e-300;
/// What f32 gives for less than this may be 0.
const SMALLEST_F32: f64 = 1.2e-38;

/// Whether every expected value was found.
pub(crate) fn judge(expected: &[Expected], found: &Named, dtype: DType) -> Result<(), String> {
    if expected.is_empty() {
        return Err("nothing is expected".into());
    }
    for one in expected {
        let name = &one.name;
        let array = found.get(name).ok_or(format!("`{name}` was not computed"))?;
        if array.data.len() != one.array.data.len() {
            let (is, wanted) = (&array.shape, &one.array.shape);
            return Err(format!("`{name}` has shape {is:?}, not {wanted:?}"));
        }
        let result = match (one.what, dtype) {
            (What::Point, DType::F32) => places(one, array, dtype, 2e-6, 1e-6),
            (What::PointGradient, DType::F32) => places(one, array, dtype, 1e-5, 1e-6),
            (What::Point | What::PointGradient, _) => places(one, array, dtype, 1e-12, 0.0),
            (What::Forward(terms), DType::F32) => {
                let relative = 2e-6 * (terms.max(1) as f64).sqrt();
                norm(one, array, relative, SMALLEST_F32)
                    .or_else(|_| places(one, array, dtype, relative, 1e-6))
            }
            (What::Gradient, DType::F32) => norm(one, array, 1e-5, SMALLEST_F32),
            (What::Trained, DType::F32) => norm(one, array, 1e-4, SMALLEST_F32),
            (What::Forward(_) | What::Gradient | What::Trained, _) => norm(one, array, 1e-12, TINY),
        };
        result.map_err(|e| format!("`{name}`: {e}"))?;
    }
    Ok(())
}

/// Whether the norm of the difference is small beside that of the expected values.
fn norm(expected: &Expected, found: &Array, relative: f64, absolute: f64) -> Result<(), String> {
    let pairs = || expected.array.data.iter().zip(&found.data);
    if let Some((e, f)) = pairs().find(|(e, f)| !e.is_finite() && !same(**e, **f)) {
        return Err(format!("{f:e}, not {e:e}"));
    }
    let finite = || pairs().filter(|(e, _)| e.is_finite());
    // Scaled, so that no square overflows or vanishes.
    let scale = finite().map(|(e, f)| e.abs().max((e - f).abs())).fold(f64::MIN_POSITIVE, f64::max);
    let length = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|x| (x / scale) * (x / scale)).sum::<f64>().sqrt() * scale
    };
    let error = length(&mut finite().map(|(e, f)| e - f));
    let size = length(&mut finite().map(|(e, _)| *e));
    // Written so that NaN fails.
    if error <= relative * size + absolute {
        return Ok(());
    }
    let worst = finite().max_by(|a, b| (a.0 - a.1).abs().total_cmp(&(b.0 - b.1).abs()));
    let (e, f) = worst.unwrap_or((&0.0, &0.0));
    let relative_error = error / size;
    Err(format!("differs by {relative_error:.2e} of its norm {size:.3e}, such as {f:e}, not {e:e}"))
}

/// Whether every element is near what is expected there.
fn places(
    expected: &Expected,
    found: &Array,
    dtype: DType,
    relative: f64,
    absolute: f64,
) -> Result<(), String> {
    let smallest = if dtype == DType::F32 { SMALLEST_F32 } else { f64::MIN_POSITIVE };
    for (i, (&e, &f)) in expected.array.data.iter().zip(&found.data).enumerate() {
        let wanted = if dtype == DType::F32 { f64::from(e as f32) } else { e };
        let near = e.is_finite() && (f - e).abs() <= (relative * e.abs()).max(absolute);
        let vanished = e.abs() < smallest && f == 0.0;
        if !(same(wanted, f) || near || vanished) {
            return Err(format!("element {i} is {f:e}, not {e:e}"));
        }
    }
    Ok(())
}

/// Equal, or both NaN.
fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}
