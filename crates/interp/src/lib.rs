//! The meaning of every op: a slow, obvious interpreter, compared by tolerance with everything that is faster.
//!
//! Floats are computed in `f64` and rounded once to the node's type, so `+ - * / sqrt` of `f32` are exact to the bit
//! and everything else is better than any fast code; integers wrap. What the rows of the op table leave open is said
//! here once:
//!
//! * `max`, `min`, `maximum`, `minimum`: NaN if any operand is NaN; the sign of a zero is not promised. Over nothing
//!   a float gives -inf or +inf, an integer the smallest or largest of its type.
//! * `mod` by an infinity leaves a number of its sign as it is and makes any other infinite; by 0 it is NaN. A remainder
//!   of 0 has the sign of the divisor.
//! * Rows (`softmax`, `logsumexp`, ...) are shifted by their largest element `m`. With `r` the sum of `exp(z - m)`
//!   over the elements below `m`, plus the number of elements equal to `m`, minus one:
//!   `logsumexp = m + log1p(r)`, `softmax = exp(z - m) / (1 + r)`, `log_softmax = (z - m) - log1p(r)`. So logits of
//!   -inf are masks; a row of nothing but -inf has `logsumexp` -inf and `softmax` NaN; a logit of +inf gives
//!   `logsumexp` +inf and makes its own place of `softmax` NaN, the others 0.
//! * `cross_entropy` leaves out terms whose target is 0, so a masked logit costs nothing.
//!   `cross_entropy_residual` is `p · (sum of the other targets) - t · (1 - p)` with `1 - p` from the other elements.
//! * Casts between integers wrap; a `size` or `iota` that its type cannot hold wraps (integers) or rounds (floats).
//! * Labels of an input with a declared range are checked before a run; elsewhere `one_hot` out of range is a row of
//!   zeros, `gather` out of range NaN, 0 or false, `scatter_add` out of range dropped.
//! * Random numbers have the same bits in every precision; [`random`] makes them.
//! * A `scan` of no steps gives its initial values and stacks nothing. Of a `cond` only the function chosen is computed.
#![forbid(unsafe_code)]

mod apply;
mod error;
mod node;
mod place;
pub mod random;
mod row;
mod run;
pub mod scalar;
mod special;
mod tensor;
mod value;

pub use error::InterpError;
pub use run::{Precision, Run, run, values};
pub use tensor::{Data, Tensor};
