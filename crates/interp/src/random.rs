//! Counter-based random numbers.

use crate::value::Value;
use eggrad_ir::DType;

/// The bijection Threefry-2x32 with 20 rounds: two words of 32 bits made of two under a key of two.
///
/// # Source
/// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let schedule = [key[0], key[1], 0x1bd1_1bda ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(key[0]), counter[1].wrapping_add(key[1])];
    for round in 0..20 {
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(ROTATIONS[round % 8]) ^ x[0];
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x[0] = x[0].wrapping_add(schedule[injection % 3]);
            x[1] = x[1].wrapping_add(schedule[(injection + 1) % 3]).wrapping_add(injection as u32);
        }
    }
    x
}

/// The key of `stream` at `step`: the words of [`threefry`] under `seed` and the low half of the stream, of the step
/// and its high half.
pub fn key(stream: u64, seed: i32, step: i32) -> [u32; 2] {
    threefry([seed as u32, stream as u32], [step as u32, (stream >> 32) as u32])
}

/// `count` numbers of one key.
pub(crate) fn numbers(dtype: DType, key: [u32; 2], count: usize) -> Value {
    // A value has at most 2^28 elements.
    let words = (0..count as u32).map(|i| threefry(key, [i, 0]));
    match dtype {
        DType::I32 => Value::Int(words.map(|[x, _]| i64::from(x as i32)).collect()),
        DType::F32 => Value::Float(words.map(|[x, _]| f64::from(x >> 8) / 2f64.powi(24)).collect()),
        DType::F64 => {
            let uniform = |[high, low]: [u32; 2]| {
                (f64::from(high >> 5) * 2f64.powi(26) + f64::from(low >> 6)) / 2f64.powi(53)
            };
            Value::Float(words.map(uniform).collect())
        }
        DType::I64 | DType::U8 | DType::Bool => {
            panic!("internal error: random numbers of type {}", dtype.name())
        }
    }
}
