//! The complementary error function and its logarithm.

use crate::inst::{Body, Value};

impl Body {
    /// `1 - erf(x)`.
    pub fn erfc(&mut self, x: Value) -> Value {
        let y = self.erf(x);
        let one = self.like(x, 1.0);
        self.sub(one, y)
    }

    /// `log(erfc(x))`.
    pub fn log_erfc(&mut self, x: Value) -> Value {
        let y = self.erfc(x);
        self.log(y)
    }
}
