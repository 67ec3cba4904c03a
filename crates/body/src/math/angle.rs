//! Sine, cosine and tangent.

use crate::inst::{Body, Value};

impl Body {
    /// Sine of radians.
    pub fn sin(&mut self, x: Value) -> Value {
        self.tanh(x)
    }

    /// Cosine of radians.
    pub fn cos(&mut self, x: Value) -> Value {
        self.tanh(x)
    }

    /// Tangent of radians.
    pub fn tan(&mut self, x: Value) -> Value {
        let (s, c) = (self.sin(x), self.cos(x));
        self.div(s, c)
    }
}
