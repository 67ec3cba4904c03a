//! Rough times of what plans are made of, on one core with 128-bit vectors: for choosing between forms of a graph, not
//! for predicting a run. The figures of transcendental functions and products were measured once, at 3 GHz
//! (`cargo bench -p eggrad-jit`); they are constants, so that equal graphs are optimised equally everywhere.

use eggrad_ir::{BinaryOp, DType, UnaryOp};

/// Nanoseconds to start a kernel and end it.
pub const KERNEL_NS: f64 = 40.0;

/// Nanoseconds per byte that a kernel reads or writes while it is in cache.
pub const BYTE_NS: f64 = 0.02;

/// Lanes that are computed together take as long as one: an `f64` costs two `f32`.
fn wide(dtype: DType) -> f64 {
    match dtype {
        DType::F32 | DType::I32 | DType::U8 | DType::Bool => 1.0,
        DType::F64 | DType::I64 => 2.0,
    }
}

/// Nanoseconds that `op` adds to a kernel which holds its operand in a register.
pub fn unary_ns(op: UnaryOp, elements: usize, dtype: DType) -> f64 {
    let each = match op {
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Square | UnaryOp::Relu | UnaryOp::Not => 0.08,
        UnaryOp::Sign => 0.25,
        UnaryOp::Recip | UnaryOp::Sqrt => 0.5,
        UnaryOp::Rsqrt => 1.0,
        UnaryOp::Exp => 0.6,
        UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => 0.15,
        UnaryOp::Exp2 => 0.6,
        UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Log2
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid => 0.95,
        UnaryOp::Softplus | UnaryOp::Log1mexp => 1.6,
        UnaryOp::Erf | UnaryOp::Erfc | UnaryOp::LogErfc => 2.5,
        UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Tan => 8.0,
    };
    each * elements as f64 * wide(dtype)
}

/// Nanoseconds that `op` adds to a kernel which holds its operands in registers.
pub fn binary_ns(op: BinaryOp, elements: usize, dtype: DType) -> f64 {
    let each = match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::And | BinaryOp::Or => 0.08,
        BinaryOp::Maximum | BinaryOp::Minimum => 0.2,
        BinaryOp::Div => 0.5,
        BinaryOp::Xlogy => 1.1,
        BinaryOp::LogAddExp => 1.7,
        BinaryOp::Mod | BinaryOp::Atan2 => 2.5,
        BinaryOp::Pow => 8.0,
    };
    each * elements as f64 * wide(dtype)
}

/// Nanoseconds for reading and writing `elements` once, as every value that is not fused must be.
pub fn memory_ns(elements: usize, dtype: DType) -> f64 {
    BYTE_NS * (elements * dtype.bytes()) as f64
}

/// Nanoseconds to fold `elements` into `results`, in a kernel of their own.
pub fn reduction_ns(elements: usize, results: usize, dtype: DType) -> f64 {
    KERNEL_NS + (0.1 * elements as f64 + 4.0 * results as f64) * wide(dtype)
}

/// Nanoseconds for softmax, cross-entropy and their kin on `elements` in `rows`, in a kernel of their own.
pub fn rows_ns(elements: usize, rows: usize, dtype: DType) -> f64 {
    KERNEL_NS + (2.0 * elements as f64 + 20.0 * rows as f64) * wide(dtype)
}

/// Nanoseconds for `batch` products of `[m, k]` and `[k, n]`, without what follows them.
pub fn product_ns(batch: usize, m: usize, n: usize, k: usize, dtype: DType) -> f64 {
    let terms = batch as f64 * m as f64 * n as f64 * k as f64;
    KERNEL_NS + 0.045 * terms * wide(dtype)
}

/// Nanoseconds to gather or scatter `elements`.
pub fn indexed_ns(elements: usize) -> f64 {
    KERNEL_NS + elements as f64
}

/// Nanoseconds to fold windows of `elements` positions together to `results`.
pub fn fold_ns(elements: usize, results: usize, dtype: DType) -> f64 {
    2.0 * KERNEL_NS + (0.3 * elements as f64 + 0.1 * results as f64) * wide(dtype)
}

/// Nanoseconds that `elements` random numbers add to a kernel.
pub fn random_ns(elements: usize, dtype: DType) -> f64 {
    6.0 * elements as f64 * wide(dtype)
}

/// Nanoseconds for `steps` steps that take `step_ns` each, in a kernel that runs a nested plan.
pub fn loop_ns(steps: usize, step_ns: f64) -> f64 {
    KERNEL_NS + steps as f64 * step_ns
}

/// Nanoseconds for one of two nested plans that take `then_ns` and `otherwise_ns`: whichever is chosen, no more than
/// the longer.
pub fn branch_ns(then_ns: f64, otherwise_ns: f64) -> f64 {
    KERNEL_NS + then_ns.max(otherwise_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_positive_and_grow_with_the_work() {
        for &op in UnaryOp::ALL {
            assert!(unary_ns(op, 10, DType::F32) > 0.0);
            assert!(unary_ns(op, 10, DType::F64) > unary_ns(op, 10, DType::F32));
        }
        for &op in BinaryOp::ALL {
            assert!(binary_ns(op, 20, DType::F32) > binary_ns(op, 10, DType::F32));
        }
        assert!(product_ns(1, 32, 25, 64, DType::F32) < product_ns(2, 32, 25, 64, DType::F32));
    }
}
