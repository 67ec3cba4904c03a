//! The functions of one float as a table: names, builders and error bounds.

use crate::inst::{Body, Value};

/// One function of the math library.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name, that of the method of [`Body`].
    pub name: &'static str,
    /// The method.
    pub build: fn(&mut Body, Value) -> Value,
    /// Bound on the error over all `f32`, in units in the last place of the exact result.
    pub f32_ulp: f64,
    /// The same for `f64`, over points sampled from the whole range.
    pub f64_ulp: f64,
}

macro_rules! functions {
    ($($name:ident $f32_ulp:literal $f64_ulp:literal;)*) => {
        /// Every function of one float with an error bound.
        ///
        /// The error is that of the returned number against the exact value, in spacings of floats at the exact
        /// value; 0.5 is correct rounding. A result of zero counts as exact where the exact value is subnormal.
        /// These are promises; the tests print what they measure, which is mostly much less: at half a million
        /// `f32` operands 0.92 for `exp`, 0.76 for `log`, 1.22 for `expm1`, 0.99 for `erf`, 2.02 for `sigmoid`,
        /// 1.57 for `softplus`; over all `f32` operands 0.98 for `exp` and 2.50 for `tanh`.
        pub const FUNCTIONS: &[Function] = &[$(
            Function {
                name: stringify!($name),
                build: Body::$name,
                f32_ulp: $f32_ulp,
                f64_ulp: $f64_ulp,
            },
        )*];
    };
}

functions! {
    exp         1.0 1.5;
    expm1       2.5 2.5;
    log         1.5 1.5;
    log1p       1.5 1.5;
    log1mexp    2.5 2.5;
    tanh        2.5 2.75;
    sigmoid     2.5 2.5;
    softplus    2.5 2.5;
    log_sigmoid 2.5 2.5;
    erf         2.0 2.5;
    rsqrt       1.5 1.5;
}
