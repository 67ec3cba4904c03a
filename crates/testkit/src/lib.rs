//! For tests only: closeness, gradient checks, random graphs and golden files.
#![forbid(unsafe_code)]

mod applied;
mod arbitrary;
mod case;
mod close;
mod golden;
mod gradcheck;
mod interval;
mod kink;
mod recipe;
mod rng;
mod steps;

pub use arbitrary::{Config, RandomGraph, random_graph};
pub use case::{Case, cell, f32s, function, scan};
pub use close::{assert_close, error, max_ulps, ulps_f32, ulps_f64};
pub use golden::golden;
pub use gradcheck::{GradCheck, directional, gradcheck};
pub use kink::near_kink;
pub use rng::Rng;
