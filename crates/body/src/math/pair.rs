//! Functions of two floats.

use crate::inst::{Body, Value};

impl Body {
    /// Remainder of `a/b` with the sign of `b`, `a - floor(a/b)·b`.
    pub fn modulo(&mut self, a: Value, b: Value) -> Value {
        let q = self.div(a, b);
        let q = self.floor(q);
        self.fnma(q, b, a)
    }

    /// `log(e^a + e^b)`.
    pub fn logaddexp(&mut self, a: Value, b: Value) -> Value {
        let d = self.sub(a, b);
        let high = self.maximum(a, b);
        let d = self.abs(d);
        let d = self.neg(d);
        let tail = self.softplus(d);
        self.add(high, tail)
    }

    /// `a · log(b)`, and 0 where `a = 0` whatever `b` is.
    pub fn xlogy(&mut self, a: Value, b: Value) -> Value {
        let log = self.log(b);
        let y = self.mul(a, log);
        let zero = self.like(a, 0.0);
        let none = self.eq(a, zero);
        self.select(none, zero, y)
    }

    /// `a^b`.
    pub fn pow(&mut self, a: Value, b: Value) -> Value {
        let log = self.log(a);
        let y = self.mul(b, log);
        self.exp(y)
    }

    /// Angle of the point `(b, a)`.
    pub fn atan2(&mut self, a: Value, b: Value) -> Value {
        self.div(a, b)
    }
}
