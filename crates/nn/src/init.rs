//! How states begin, from a seed.

use eggrad_ir::{DType, TensorType};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Initial value of a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// The same number everywhere.
    Constant(f64),
    /// These elements, row-major.
    Values(Vec<f64>),
    /// Uniform in `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010), for matrices `[fan_in, fan_out]`;
    /// for windows `[.., fan_in, fan_out]` both count each position of the window.
    GlorotUniform,
    /// Normal with variance `2 / fan_in` (He et al. 2015), for layers followed by ReLU.
    HeNormal,
    /// Random bits, for integers: what random streams begin with.
    Seed,
}

impl Init {
    /// Why this cannot begin a state of type `ty`, if so.
    pub(crate) fn misfit(&self, ty: &TensorType) -> Option<String> {
        match self {
            Init::Zeros => None,
            Init::Constant(value) => eggrad_ir::Literal::of(ty.dtype, *value)
                .is_none()
                .then(|| format!("cannot begin as {value}: it is no {}", ty.dtype.name())),
            Init::Values(values) => (Some(values.len()) != ty.shape.checked_elements())
                .then(|| format!("has {} initial values for shape {}", values.len(), ty.shape)),
            Init::GlorotUniform | Init::HeNormal => (!ty.dtype.is_float() || ty.rank() == 0)
                .then(|| format!("of type {ty} cannot begin at random")),
            Init::Seed => (ty.dtype != DType::I32)
                .then(|| format!("of type {ty} cannot begin as random bits: it is no i32")),
        }
    }

    /// Elements of a state of type `ty` called `name`, row-major. The same seed and name give the same values,
    /// whatever else is initialised.
    pub fn values(&self, name: &str, ty: &TensorType, seed: u64) -> Vec<f64> {
        let count = ty.shape.elements();
        match self {
            Init::Zeros => vec![0.0; count],
            Init::Constant(value) => vec![*value; count],
            Init::Values(values) => values.clone(),
            Init::GlorotUniform => {
                let (fan_in, fan_out) = fans(ty);
                let limit = (6.0 / (fan_in + fan_out)).sqrt();
                let mut rng = stream(name, seed);
                (0..count).map(|_| round(ty.dtype, rng.random_range(-limit..=limit))).collect()
            }
            Init::HeNormal => {
                let deviation = (2.0 / fans(ty).0).sqrt();
                let mut rng = stream(name, seed);
                (0..count).map(|_| round(ty.dtype, deviation * normal(&mut rng))).collect()
            }
            Init::Seed => {
                let mut rng = stream(name, seed);
                (0..count).map(|_| f64::from(rng.random::<i32>())).collect()
            }
        }
    }
}

/// Inputs and outputs of one unit: for `[.., in, out]`, both times the positions of a window.
fn fans(ty: &TensorType) -> (f64, f64) {
    let dims = ty.shape.dims();
    let (window, sides) = dims.split_at(dims.len().saturating_sub(2));
    let window = window.iter().product::<usize>().max(1) as f64;
    let (fan_in, fan_out) = match sides {
        [fan_in, fan_out] => (*fan_in, *fan_out),
        _ => (1, dims.last().copied().unwrap_or(1)),
    };
    (window * fan_in.max(1) as f64, window * fan_out.max(1) as f64)
}

/// A random stream of its own for each state, so that adding one changes no other.
fn stream(name: &str, seed: u64) -> ChaCha8Rng {
    // FNV-1a, 64 bits.
    let fold = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn round(dtype: DType, value: f64) -> f64 {
    if dtype == DType::F32 { f64::from(value as f32) } else { value }
}
