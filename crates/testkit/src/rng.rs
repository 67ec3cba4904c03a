//! Random numbers that are the same on every machine.

use eggrad_interp::Tensor;
use eggrad_ir::TensorType;

/// A splitmix64 generator.
///
/// # Source
/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose numbers depend on `seed` only.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// A tensor of numbers from `low` to `high`, rounded to the type `ty`.
    pub fn tensor(&mut self, ty: TensorType, low: f64, high: f64) -> Tensor {
        let values: Vec<f64> = (0..ty.shape.elements()).map(|_| self.uniform(low, high)).collect();
        Tensor::from_values(ty, &values)
    }
}
