//! The nodes that operators add between their operands and themselves: shared by reading and printing.

use crate::make::broadcast_shape;
use crate::op::DotAxes;
use crate::types::Shape;

/// How a tensor becomes one of a larger shape: perhaps `reshape` to `dense`, then `broadcast` along `axes`.
#[derive(Debug, PartialEq)]
pub(super) struct Spread {
    /// The shape without the axes of size 1 that grow, if there are any.
    pub(super) dense: Option<Shape>,
    /// Places of the axes that stay.
    pub(super) axes: Vec<usize>,
}

/// How a tensor of shape `from` becomes one of shape `to`; `None` when it does not broadcast to it.
pub(super) fn spread(from: &Shape, to: &Shape) -> Option<Spread> {
    if broadcast_shape(from, to).as_ref() != Some(to) {
        return None;
    }
    let lead = to.rank() - from.rank();
    let dims = from.dims();
    let kept: Vec<usize> = (0..from.rank()).filter(|&i| dims[i] == to.dims()[lead + i]).collect();
    let dense = (kept.len() < dims.len()).then(|| kept.iter().map(|&i| dims[i]).collect());
    Some(Spread { dense, axes: kept.into_iter().map(|i| lead + i).collect() })
}

/// How `@` becomes one contraction.
#[derive(Debug)]
pub(super) struct Product {
    /// The shape to which the left side is spread, and the right one.
    pub(super) spread: [Option<Shape>; 2],
    /// What is contracted.
    pub(super) axes: DotAxes,
}

/// How `a @ b` is computed: the last axis of `a` meets the last but one of `b`, or its only one; axes before these
/// broadcast.
///
/// # Errors
/// A message and a way out.
pub(super) fn product(a: &Shape, b: &Shape) -> Result<Product, (String, String)> {
    let (ra, rb) = (a.rank(), b.rank());
    if ra == 0 || rb == 0 {
        let message = "needs at least one axis on each side".to_string();
        return Err((message, "multiply by a number with `*`".to_string()));
    }
    let inner = rb.saturating_sub(2);
    let (k, l) = (a.dims()[ra - 1], b.dims()[inner]);
    if k != l {
        let help = format!("the left side has {k} columns, so the right side needs {k} rows");
        return Err((format!("needs the inner sizes to agree: {k} and {l}"), help));
    }
    if rb <= 2 {
        return Ok(Product { spread: [None, None], axes: DotAxes::contract(ra - 1, inner) });
    }
    let lead = |s: &Shape| -> Shape { s.dims()[..s.rank().saturating_sub(2)].into() };
    let Some(batch) = broadcast_shape(&lead(a), &lead(b)) else {
        let message = format!("needs leading sizes that broadcast: {a} and {b}");
        let help = "leading sizes agree from the right when they are equal or one of them is 1";
        return Err((message, help.to_string()));
    };
    let n = batch.rank();
    let full = |s: &Shape| -> Option<Shape> {
        let tail = &s.dims()[s.rank().saturating_sub(2)..];
        let whole: Shape = batch.dims().iter().chain(tail).copied().collect();
        (s.rank() >= 2 && whole != *s).then_some(whole)
    };
    let axes = if ra == 1 {
        DotAxes::contract(0, n)
    } else {
        DotAxes { batch: (0..n).map(|i| (i, i)).collect(), contract: vec![(n + 1, n)] }
    };
    Ok(Product { spread: [full(a), full(b)], axes })
}
