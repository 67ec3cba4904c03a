//! The scheduler's estimates, as rewriting asks for them.

use eggrad_rewrite::{Cost, TableCost, Work};

/// Cost of work on the machine at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineCost;

impl Cost for MachineCost {
    fn nanoseconds(&self, work: &Work) -> f64 {
        TableCost.nanoseconds(work)
    }
}
