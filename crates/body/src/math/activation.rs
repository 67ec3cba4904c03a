//! Activation functions.

use crate::inst::{Body, Value};

impl Body {
    /// Hyperbolic tangent.
    ///
    /// `-t/(2 + t)` with `t = expm1(-2|x|)` and the sign of `x`.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). Exactly `x` near 0 (zeros keep their sign) and exactly ±1 far from it.
    pub fn tanh(&mut self, x: Value) -> Value {
        let (two, minus_two) = (self.like(x, 2.0), self.like(x, -2.0));
        let size = self.abs(x);
        let doubled = self.mul(size, minus_two);
        let t = self.expm1_nonpositive(doubled);
        let divisor = self.add(t, two);
        let numerator = self.abs(t);
        let y = self.div(numerator, divisor);
        self.with_sign(y, x)
    }

    /// Logistic function `1/(1 + e^-x)`.
    ///
    /// With `w = e^-|x|`: `1/(1 + w)` from 0 up, `w/(1 + w)` below, so nothing overflows and the small tail is kept
    /// down to the smallest normal number.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS).
    pub fn sigmoid(&mut self, x: Value) -> Value {
        let (zero, one) = (self.like(x, 0.0), self.like(x, 1.0));
        let w = self.exp_of_minus_size(x);
        let divisor = self.add(w, one);
        let positive = self.ge(x, zero);
        let numerator = self.select(positive, one, w);
        self.div(numerator, divisor)
    }

    /// `log(1 + e^x)`, never overflowing.
    ///
    /// `max(x, 0) + log1p(e^-|x|)`.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). `e^x` far below 0, `x` far above.
    pub fn softplus(&mut self, x: Value) -> Value {
        let zero = self.like(x, 0.0);
        let w = self.exp_of_minus_size(x);
        let tail = self.log1p_unit(w);
        let ramp = self.max(zero, x);
        self.add(ramp, tail)
    }

    /// `log(sigmoid(x)) = -softplus(-x)`.
    ///
    /// # Numerics
    /// That of [`Body::softplus`].
    pub fn log_sigmoid(&mut self, x: Value) -> Value {
        let minus = self.neg(x);
        let y = self.softplus(minus);
        self.neg(y)
    }

    /// `max(x, 0)` for floats and integers; NaN stays NaN.
    pub fn relu(&mut self, x: Value) -> Value {
        let zero = self.like(x, 0.0);
        self.max(zero, x)
    }

    fn exp_of_minus_size(&mut self, x: Value) -> Value {
        let size = self.abs(x);
        let minus_size = self.neg(size);
        self.exp_nonpositive(minus_size)
    }
}
