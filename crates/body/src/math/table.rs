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
        /// These are promises; the tests print what they measure. Over all `f32` operands it was 0.98 for `exp`
        /// and 2.50 for `tanh`; over every third operand where they are not trivial, 0.92 for `log` and `log1p`,
        /// 1.70 for `softplus`, 1.44 for `expm1`, 2.41 for `sigmoid` and 2.06 for `log1mexp`; at half a million
        /// operands 0.99 for `erf`; at four million 3.54 for `erfc`, 2.98 for `log_erfc`, 0.81 for `exp2`, 0.93 for
        /// `log2` and 0.5001 for `sin`, `cos` and `tan`.
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
    erfc        4.0 4.5;
    log_erfc    4.0 4.0;
    exp2        1.0 1.0;
    log2        1.5 1.5;
    sin         1.0 1.5;
    cos         1.0 1.5;
    tan         1.0 2.5;
    floor       0.0 0.0;
    ceil        0.0 0.0;
    round       0.0 0.0;
    rsqrt       1.5 1.5;
}
