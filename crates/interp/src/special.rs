//! Functions that the standard library does not have, to the last few bits of `f64`.

use std::f64::consts::{LN_2, PI};

/// `log(1 - e^x)`
///
/// # Source
/// Mächler: Accurately computing log(1 - exp(-|a|)) (2012).
pub(crate) fn log1mexp(x: f64) -> f64 {
    if x > -LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// `log(erfc(x))`
pub(crate) fn log_erfc(x: f64) -> f64 {
    if x < 0.5 {
        (-libm::erf(x)).ln_1p()
    } else if x < 25.0 {
        libm::erfc(x).ln()
    } else {
        // erfc(x) · x · sqrt(pi) · e^(x^2) = 1 - u + 3u^2 - 15u^3 + ... with u = 1/(2x^2) at most 1/1250: what
        // is left out is below the last bit of the result.
        let u = 0.5 / (x * x);
        let tail = -u * (1.0 - 3.0 * u * (1.0 - 5.0 * u * (1.0 - 7.0 * u * (1.0 - 9.0 * u))));
        -x * x - (x * PI.sqrt()).ln() + tail.ln_1p()
    }
}

/// `log(e^a + e^b)`
pub(crate) fn logaddexp(a: f64, b: f64) -> f64 {
    if a == b {
        // Also two infinities of one sign.
        a + LN_2
    } else {
        a.max(b) + (-(a - b).abs()).exp().ln_1p()
    }
}

/// Remainder with the sign of the divisor: exact but for the last addition. A remainder of 0 has the sign of the
/// divisor too; by 0 it is NaN.
pub(crate) fn modulo(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest == 0.0 {
        0f64.copysign(b)
    } else if (rest < 0.0) == (b < 0.0) {
        rest
    } else {
        rest + b
    }
}
