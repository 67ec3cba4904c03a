//! Values that only one kernel knows.

use super::uses::{Use, uses};
use crate::lower::Arg;
use crate::plan::{Kernel, KernelKind, RowKernel};

/// Pairs of arguments of a row kernel that may share their memory: a value that only this kernel knows, and one that
/// it writes in place of it, element by element, when the first is read for the last time. `known_here` says of which
/// arguments nobody else knows, `alike` of which two have as many elements.
pub(super) fn shared(
    kernel: &Kernel,
    args: &[Arg],
    known_here: impl Fn(Arg) -> bool,
    alike: impl Fn(Arg, Arg) -> bool,
) -> Vec<(Arg, Arg)> {
    let KernelKind::Row(row) = &kernel.kind else { return vec![] };
    let uses = uses(&kernel.kind);
    let of = |arg: usize| -> Vec<&Use> { uses.iter().filter(|u| u.arg == arg).collect() };
    let mut pairs: Vec<(Arg, Arg)> = vec![];
    for (passing, &value) in args.iter().enumerate().filter(|(_, arg)| known_here(**arg)) {
        let replaces = |&(kept, result): &(usize, &Arg)| {
            kept != passing
                && matches!(result, Arg::Output(_) | Arg::Value(_))
                && pairs.iter().all(|pair| pair.0 != *result && pair.1 != *result)
                && alike(value, *result)
                && dtype(row, passing) == dtype(row, kept)
                && takes_over(&of(passing), &of(kept))
        };
        if let Some((_, &result)) = args.iter().enumerate().find(replaces) {
            pairs.push((value, result));
        }
    }
    pairs
}

fn dtype(row: &RowKernel, arg: usize) -> Option<eggrad_ir::DType> {
    row.accesses.iter().find(|access| access.arg == arg).map(|access| access.dtype)
}

/// Whether every element of the first is read for the last time where the same one of the second is written, or before.
fn takes_over(passing: &[&Use], kept: &[&Use]) -> bool {
    let Some(last) = kept.first() else { return false };
    let same = |u: &&Use| !u.moved && u.offset == last.offset && u.strides == last.strides;
    kept.iter().all(|u| u.store && u.phase == last.phase)
        && passing.iter().chain(kept).all(same)
        && passing.iter().all(|u| u.phase < last.phase || u.phase == last.phase && !u.store)
}
