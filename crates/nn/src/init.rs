//! How states begin, from a seed.

use eggrad_ir::{DType, TensorType};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Initial value of a state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Normal with variance `2 / (fan_in + fan_out)` (Glorot and Bengio 2010).
    GlorotNormal,
    /// Uniform in `±sqrt(6 / fan_in)` (He et al. 2015).
    HeUniform,
    /// Normal with variance `1 / fan_in` (LeCun et al. 1998), for layers followed by SELU.
    LecunNormal,
    /// Uniform in `±sqrt(3 / fan_in)` (LeCun et al. 1998).
    LecunUniform,
    /// Normal with mean 0 and this deviation.
    Normal(f64),
    /// Normal with mean 0 and this deviation, drawn again beyond two of them.
    TruncatedNormal(f64),
    /// Uniform between plus and minus this number.
    Uniform(f64),
    /// This number times rows or columns of length 1 at right angles (Saxe et al. 2014): whichever are fewer; all axes
    /// but the last count as one.
    Orthogonal(f64),
    /// Ones on the diagonal of a matrix, zeros elsewhere.
    Identity,
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
            Init::GlorotUniform
            | Init::GlorotNormal
            | Init::HeNormal
            | Init::HeUniform
            | Init::LecunNormal
            | Init::LecunUniform => (!ty.dtype.is_float() || ty.rank() == 0)
                .then(|| format!("of type {ty} cannot begin at random")),
            Init::Normal(size) | Init::TruncatedNormal(size) | Init::Uniform(size) => {
                (!ty.dtype.is_float() || !size.is_finite() || *size < 0.0)
                    .then(|| format!("of type {ty} cannot begin at random with size {size}"))
            }
            Init::Orthogonal(_) => (!ty.dtype.is_float() || ty.rank() < 2).then(|| {
                format!("of type {ty} cannot begin orthogonal: it is no matrix of floats")
            }),
            Init::Identity => (ty.rank() != 2)
                .then(|| format!("of type {ty} cannot begin as an identity: it is no matrix")),
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
                uniform(name, ty, seed, (6.0 / (fan_in + fan_out)).sqrt())
            }
            Init::GlorotNormal => {
                let (fan_in, fan_out) = fans(ty);
                normals(name, ty, seed, (2.0 / (fan_in + fan_out)).sqrt())
            }
            Init::HeNormal => normals(name, ty, seed, (2.0 / fans(ty).0).sqrt()),
            Init::HeUniform => uniform(name, ty, seed, (6.0 / fans(ty).0).sqrt()),
            Init::LecunNormal => normals(name, ty, seed, (1.0 / fans(ty).0).sqrt()),
            Init::LecunUniform => uniform(name, ty, seed, (3.0 / fans(ty).0).sqrt()),
            Init::Normal(deviation) => normals(name, ty, seed, *deviation),
            Init::Uniform(limit) => uniform(name, ty, seed, *limit),
            Init::TruncatedNormal(deviation) => {
                let mut rng = stream(name, seed);
                let mut draw = || loop {
                    let x = normal(&mut rng);
                    if x.abs() <= 2.0 {
                        return round(ty.dtype, deviation * x);
                    }
                };
                (0..count).map(|_| draw()).collect()
            }
            Init::Orthogonal(gain) => {
                let columns = ty.shape.dims().last().copied().unwrap_or(1).max(1);
                let mut rng = stream(name, seed);
                let values = orthogonal(count / columns, columns, &mut rng);
                values.into_iter().map(|x| round(ty.dtype, gain * x)).collect()
            }
            Init::Identity => {
                let columns = ty.shape.dims().last().copied().unwrap_or(1).max(1);
                let one = |i: usize| if i / columns == i % columns { 1.0 } else { 0.0 };
                (0..count).map(one).collect()
            }
            Init::Seed => {
                let mut rng = stream(name, seed);
                (0..count).map(|_| f64::from(rng.random::<i32>())).collect()
            }
        }
    }
}

fn uniform(name: &str, ty: &TensorType, seed: u64, limit: f64) -> Vec<f64> {
    let mut rng = stream(name, seed);
    let draw = |_| round(ty.dtype, rng.random_range(-limit..=limit));
    (0..ty.shape.elements()).map(draw).collect()
}

fn normals(name: &str, ty: &TensorType, seed: u64, deviation: f64) -> Vec<f64> {
    let mut rng = stream(name, seed);
    (0..ty.shape.elements()).map(|_| round(ty.dtype, deviation * normal(&mut rng))).collect()
}

/// A matrix, row-major, whose rows or columns, whichever are fewer, have length 1 and stand at right angles: random
/// vectors made so one after the other (Gram and Schmidt), each twice because rounding leaves a rest.
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (few, long) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = vec![];
    while vectors.len() < few {
        let mut v: Vec<f64> = (0..long).map(|_| normal(rng)).collect();
        for _ in 0..2 {
            for u in &vectors {
                let along: f64 = u.iter().zip(&v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(u).for_each(|(x, u)| *x -= along * u);
            }
        }
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        // A vector that lies among the others, which does not happen by chance, is drawn again.
        if length > 1e-6 {
            v.iter_mut().for_each(|x| *x /= length);
            vectors.push(v);
        }
    }
    let at = |row: usize, column: usize| {
        if rows <= columns { vectors[row][column] } else { vectors[column][row] }
    };
    (0..rows * columns).map(|i| at(i / columns, i % columns)).collect()
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
