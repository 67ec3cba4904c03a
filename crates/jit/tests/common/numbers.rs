//! Numbers to compute with.

use super::{Arg, dtype_of, set};
use eggrad_body::Lane;
use eggrad_ir::DType;
use eggrad_jit::Aligned;

/// Numbers at which instructions differ: zeros, subnormals, limits, infinities, NaN.
pub(crate) fn special(lane: Lane) -> Vec<u64> {
    match lane {
        Lane::F32 => [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.5,
            -3.75,
            1e-3,
            1e9,
            -3e9,
            1e19,
            7e37,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            -f32::MIN_POSITIVE,
            f32::MIN_POSITIVE * 1.5,
            f32::from_bits(1),
            f32::from_bits(0x8000_0001),
            f32::from_bits(0x007f_ffff),
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1.0000001,
            0.99999994,
            16777217.0,
        ]
        .iter()
        .map(|x: &f32| u64::from(x.to_bits()))
        .collect(),
        Lane::F64 => [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.5,
            -3.75,
            1e-3,
            3e9,
            -1e19,
            1e39,
            1e300,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            f64::MIN_POSITIVE * 1.5,
            f64::from_bits(1),
            f64::from_bits(1 << 63 | 1),
            1e-40,
            -1e-40,
            1e-50,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            1.0000000000000002,
            16777217.0,
        ]
        .iter()
        .map(|x: &f64| x.to_bits())
        .collect(),
        Lane::I32 => {
            [0, 1, -1, 2, 7, -13, 1000, i32::MAX, i32::MIN, i32::MIN + 1, 0x55aa55aa, 16777217]
                .iter()
                .map(|&x: &i32| u64::from(x as u32))
                .collect()
        }
        Lane::I64 => [
            0,
            1,
            -1,
            2,
            7,
            -13,
            1 << 31,
            -(1 << 31) - 1,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
            0x55aa_55aa_1234_5678,
            (1 << 53) + 1,
        ]
        .iter()
        .map(|&x: &i64| x as u64)
        .collect(),
        Lane::Mask => vec![0, 1],
    }
}

/// An input of these bit patterns.
pub(crate) fn input_bits(lane: Lane, bits: &[u64]) -> Arg {
    let mut array = Aligned::with_len(dtype_of(lane), bits.len());
    bits.iter().enumerate().for_each(|(i, &b)| set(&mut array, i, b));
    Arg { array, written: false }
}

/// Numbers without pattern, the same each time.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 16) as usize % n
    }

    /// Between -2 and 2.
    pub(crate) fn f32(&mut self) -> f32 {
        ((self.bits() >> 40) as f32 / (1 << 22) as f32) - 2.0
    }

    /// An input or output of small numbers of any type.
    pub(crate) fn arg(&mut self, dtype: DType, elements: usize) -> Arg {
        let mut array = Aligned::with_len(dtype, elements);
        for i in 0..elements {
            let x = self.f32();
            let bits = match dtype {
                DType::F32 => u64::from(x.to_bits()),
                DType::F64 => (f64::from(x) * 1.000_000_000_1).to_bits(),
                DType::I32 => u64::from((x * 1000.0) as i32 as u32),
                DType::I64 => (x * 100_000.0) as i64 as u64,
                DType::U8 => self.bits() >> 56,
                DType::Bool => self.bits() >> 63,
            };
            set(&mut array, i, bits);
        }
        Arg { array, written: false }
    }
}
