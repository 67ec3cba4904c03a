//! The scheduler's estimates, as rewriting asks for them.

use eggrad_ir::{BinaryOp, UnaryOp};
use eggrad_rewrite::{Cost, OpClass, Work};
use eggrad_schedule::cost;

/// Cost of work in the kernels that the scheduler makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineCost;

impl Cost for MachineCost {
    fn nanoseconds(&self, work: &Work) -> f64 {
        let Work { class, dtype, .. } = *work;
        let [steps, read, written] = [work.steps, work.read, work.written].map(|x| x as usize);
        match class {
            OpClass::Free => 0.0,
            // A view most of the time; a copy now and then.
            OpClass::Move => 0.25 * cost::memory_ns(written, dtype),
            OpClass::Arithmetic => cost::binary_ns(BinaryOp::Add, steps, dtype),
            OpClass::Division => cost::binary_ns(BinaryOp::Div, steps, dtype),
            OpClass::Transcendental => cost::unary_ns(UnaryOp::Tanh, steps, dtype),
            OpClass::Reduction => cost::reduction_ns(steps, written, dtype),
            OpClass::Rows => cost::rows_ns(steps, 0, dtype) + cost::memory_ns(written, dtype),
            OpClass::Contraction => {
                cost::product_ns(1, steps, 1, 1, dtype) + cost::memory_ns(read + written, dtype)
            }
            OpClass::Indexed => cost::indexed_ns(steps),
        }
    }
}
