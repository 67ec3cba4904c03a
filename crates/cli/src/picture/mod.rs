//! Pictures of computation graphs: boxes from left to right, on each line the value above and the derivative below.

mod dot;
mod layout;
mod svg;

pub use dot::dot;
pub use svg::svg;
