//! Formulas as they are written by hand: graphs are read into sums of products, simplified, ordered and printed.

mod cases;
mod expr;
mod forms;
mod number;
mod order;
mod read;
mod simplify;
mod write;

pub use expr::{Base, Call, Expr, Term};
pub use number::{Number, number};
pub use read::read;
pub(crate) use read::read_of;
pub use simplify::{Written, written};
pub use write::Style;
