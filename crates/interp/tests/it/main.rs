//! The meaning of every op: hand-computed values, conventions, edges, and what a run refuses.

mod conventions;
mod edges;
mod meaning;
mod random;
mod runs;
mod single;
mod subgraphs;
mod windows;
