//! Exponential and logarithm to base 2.

use crate::inst::{Body, Value};

impl Body {
    /// `2^x`
    pub fn exp2(&mut self, x: Value) -> Value {
        let ln2 = self.like(x, std::f64::consts::LN_2);
        let y = self.mul(x, ln2);
        self.exp(y)
    }

    /// Logarithm to base 2.
    pub fn log2(&mut self, x: Value) -> Value {
        let per = self.like(x, std::f64::consts::LOG2_E);
        let y = self.log(x);
        self.mul(y, per)
    }
}
