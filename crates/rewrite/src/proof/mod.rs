//! Explanations: which steps lead from each output as written to the form that was chosen, and a checker that follows
//! them again.
//!
//! [`log`] keeps every union and what was read for it, when asked to. [`chain`] follows it and finds out again which
//! terms these made equal, with a reason for each pair ([`closure`]); [`collect`] takes from it the steps that the
//! outputs need, as data ([`explanation`]) over terms of its own ([`terms`]). [`replay`] follows these on a fresh
//! e-graph of the input and knows nothing but the rules, and values of terms ([`evaluate`], [`residue`]).

pub(crate) mod chain;
pub(crate) mod closure;
pub(crate) mod collect;
pub(crate) mod evaluate;
pub(crate) mod explanation;
pub(crate) mod log;
pub(crate) mod readings;
pub(crate) mod replay;
pub(crate) mod residue;
pub(crate) mod terms;
