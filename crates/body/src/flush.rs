//! Float arithmetic in which subnormal operands and results count as zero of the same sign.
//!
//! This is what x86-64 does with flush-to-zero and denormals-are-zero set: a result is flushed when, rounded
//! as if exponents had no lower end, it lies below the smallest normal number.

/// `f32` or `f64` as the evaluator computes with it.
pub(crate) trait Float: Copy + PartialOrd {
    fn of(bits: u64) -> Self;
    fn bits(self) -> u64;
    /// Itself, or zero of its sign when subnormal.
    fn flush(self) -> Self;
    fn add(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    fn fma(self, b: Self, c: Self) -> Self;
    fn sqrt(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    /// To the nearest whole number, ties to even.
    fn round(self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
}

/// Lifts numbers of the size of the smallest normal one well into the normal range.
const LIFT: u64 = 1 << 32;

macro_rules! float {
    ($float:ident, $bits:ident) => {
        impl Float for $float {
            #[inline]
            fn of(bits: u64) -> $float {
                $float::from_bits(bits as $bits)
            }

            #[inline]
            fn bits(self) -> u64 {
                self.to_bits().into()
            }

            #[inline]
            fn flush(self) -> $float {
                if $float::abs(self) < $float::MIN_POSITIVE {
                    (0.0 as $float).copysign(self)
                } else {
                    self
                }
            }

            // A subnormal sum is exact, so no rounding hides behind the smallest normal number.
            #[inline]
            fn add(self, b: $float) -> $float {
                Float::flush(Float::flush(self) + Float::flush(b))
            }

            #[inline]
            fn mul(self, b: $float) -> $float {
                let (a, b) = (Float::flush(self), Float::flush(b));
                flush_result(a * b, || {
                    let (small, large) = by_size(a, b);
                    small * LIFT as $float * large
                })
            }

            #[inline]
            fn div(self, b: $float) -> $float {
                let (a, b) = (Float::flush(self), Float::flush(b));
                flush_result(a / b, || a * LIFT as $float / b)
            }

            #[inline]
            fn fma(self, b: $float, c: $float) -> $float {
                let (a, b, c) = (Float::flush(self), Float::flush(b), Float::flush(c));
                flush_result(a.mul_add(b, c), || {
                    let (small, large) = by_size(a, b);
                    (small * LIFT as $float).mul_add(large, c * LIFT as $float)
                })
            }

            #[inline]
            fn sqrt(self) -> $float {
                $float::sqrt(Float::flush(self))
            }

            // A subnormal operand stays a zero of its sign, so the result never leaves ±0 for it.
            #[inline]
            fn floor(self) -> $float {
                $float::floor(Float::flush(self))
            }

            #[inline]
            fn ceil(self) -> $float {
                $float::ceil(Float::flush(self))
            }

            #[inline]
            fn round(self) -> $float {
                $float::round_ties_even(Float::flush(self))
            }

            #[inline]
            fn neg(self) -> $float {
                -self
            }

            #[inline]
            fn abs(self) -> $float {
                $float::abs(self)
            }
        }

        impl Edge for $float {
            const MIN_NORMAL: $float = $float::MIN_POSITIVE;
            const MIN_NORMAL_LIFTED: $float = $float::MIN_POSITIVE * LIFT as $float;
        }
    };
}

/// The smallest normal number, and where it goes when the operation is redone lifted.
trait Edge: Float {
    const MIN_NORMAL: Self;
    const MIN_NORMAL_LIFTED: Self;
}

float!(f32, u32);
float!(f64, u64);

/// Flushes the IEEE result `r`. When it is the smallest normal number it may have been rounded up to it from
/// below; `lifted`, the operation times [`LIFT`], tells.
#[inline]
fn flush_result<T: Edge>(r: T, lifted: impl FnOnce() -> T) -> T {
    let size = r.abs();
    let tiny =
        size < T::MIN_NORMAL || size == T::MIN_NORMAL && lifted().abs() < T::MIN_NORMAL_LIFTED;
    if tiny { zero_of_sign(r) } else { r }
}

fn zero_of_sign<T: Float>(r: T) -> T {
    let zero = T::of(0);
    if r.bits() == r.abs().bits() { zero } else { zero.neg() }
}

/// The one nearer to zero, then the other.
fn by_size<T: Float>(a: T, b: T) -> (T, T) {
    if a.abs() < b.abs() { (a, b) } else { (b, a) }
}

/// The nearest `f32`, flushing on both sides.
pub(crate) fn narrow(x: f64) -> f32 {
    let x = x.flush();
    flush_result(x as f32, || (x * LIFT as f64) as f32)
}

/// The same number as `f64`; subnormals count as zero.
pub(crate) fn widen(x: f32) -> f64 {
    f64::from(x.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: f32 = f32::MIN_POSITIVE;

    #[test]
    fn operands_and_results_flush_with_their_sign() {
        let sub = f32::from_bits(0x8000_0001);
        assert_eq!(Float::add(sub, -0.0).to_bits(), 0x8000_0000);
        assert_eq!(Float::mul(sub, f32::MAX).to_bits(), 0x8000_0000);
        assert_eq!(Float::mul(-MIN, 0.5).to_bits(), 0x8000_0000);
        assert_eq!(Float::add(MIN * 1.5, -MIN).to_bits(), 0);
        assert_eq!(Float::div(1.0f32, sub), f32::NEG_INFINITY);
        assert_eq!(Float::sqrt(sub).to_bits(), 0x8000_0000);
        assert_eq!(Float::fma(MIN, 0.25, -0.0).to_bits(), 0);
    }

    #[test]
    fn tiny_is_decided_after_rounding_without_a_lower_end() {
        let below = 1.0 - f32::EPSILON / 2.0;
        // Exactly representable with an unbounded exponent, rounds up to MIN among subnormals.
        assert_eq!(MIN * below, MIN);
        assert_eq!(Float::mul(MIN, below), 0.0);
        assert_eq!(Float::div(MIN, 1.0 / 0.5), 0.0);
        assert_eq!(Float::fma(MIN, below, 0.0), 0.0);
        assert_eq!(Float::mul(MIN, 1.0), MIN);
        // 1 - 2^-48 rounds to 1 in any case.
        assert_eq!(Float::mul(MIN * (1.0 + 2f32.powi(-23)), 1.0 - 2f32.powi(-23)), MIN);
        assert_eq!(narrow(f64::from(MIN) * f64::from(below)), 0.0);
        assert_eq!(narrow(f64::from(MIN) * (1.0 - 2f64.powi(-26))), MIN);
        assert_eq!(Float::fma(MIN * 2.0, 1.0, -MIN), MIN);
    }
}
