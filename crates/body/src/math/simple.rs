//! Functions of one or two instructions, with the meaning that tensor operations of the same name have.

use crate::inst::{Body, Value};

impl Body {
    /// -1, 0 or 1 with the sign of `x`, float or integer; NaN stays NaN and zeros keep their sign.
    pub fn sign(&mut self, x: Value) -> Value {
        let (zero, one) = (self.like(x, 0.0), self.like(x, 1.0));
        let minus_one = self.like(x, -1.0);
        // NaN and zeros are what doubling leaves alone; it also flushes.
        let neither = self.add(x, x);
        let negative = self.lt(x, zero);
        let y = self.select(negative, minus_one, neither);
        let positive = self.gt(x, zero);
        self.select(positive, one, y)
    }

    /// `x·x`
    pub fn square(&mut self, x: Value) -> Value {
        self.mul(x, x)
    }

    /// `1/x`, correctly rounded.
    pub fn recip(&mut self, x: Value) -> Value {
        let one = self.like(x, 1.0);
        self.div(one, x)
    }

    /// `1/sqrt(x)`: a correctly rounded quotient of a correctly rounded root.
    ///
    /// # Numerics
    /// See [`FUNCTIONS`](crate::FUNCTIONS). Infinite at 0 (with its sign), NaN below.
    pub fn rsqrt(&mut self, x: Value) -> Value {
        let root = self.sqrt(x);
        self.recip(root)
    }

    /// The larger, float or integer; NaN if either is NaN.
    pub fn maximum(&mut self, a: Value, b: Value) -> Value {
        let y = self.max(a, b);
        self.nan_of(a, y)
    }

    /// The smaller, float or integer; NaN if either is NaN.
    pub fn minimum(&mut self, a: Value, b: Value) -> Value {
        let y = self.min(a, b);
        self.nan_of(a, y)
    }

    /// `a` where it is NaN, else `y`.
    fn nan_of(&mut self, a: Value, y: Value) -> Value {
        if !self.lane(a).is_float() {
            return y;
        }
        let nan = self.is_nan(a);
        self.select(nan, a, y)
    }
}
