//! The text form: prints a graph and parses it back.
//!
//! ```text
//! graph 2
//! in x: f32[32, 64]
//! in labels: i32[32], range 0 to 9
//! param w: f32[64, 10]
//! param b: f32[10]
//! %6 = x @ w + b
//! out p = softmax(%6, axes=[1])
//! out loss = mean(cross_entropy(%6, one_hot(labels, type=f32, classes=10), axes=[1]))
//! ```
//!
//! Reading a printed graph makes the same nodes in the same order. The language is described in `docs/text-format.md`.

mod attributes;
mod broadcast;
mod call;
mod calls;
mod elaborate;
mod expression;
mod form;
mod inline;
mod lex;
mod parse;
mod print;
mod syntax;
mod value;

pub(crate) use attributes::attributes;
pub use expression::{Variable, expression, expression_of, names};
pub(crate) use print::Functions;

/// Version in the first line.
const VERSION: &str = "2";
