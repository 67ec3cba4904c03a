//! Equality saturation for tensor graphs: the same meaning, stabler and cheaper.
//!
//! [`optimize`] names the axes of a graph, raises it into an e-graph of ops over named axes, applies the rules of
//! `rules/*.rules` until nothing changes or a limit is met, chooses for all outputs at once the least dangerous and
//! then cheapest form, lowers it, and compares it with the input on random data at small sizes.
//!
//! Sub-graphs that are applied by `call`, `scan` and `cond` are optimised in the same way, each by itself.
//!
//! The proven domain: inputs and states are finite numbers within their declared ranges. What is equal there over
//! the reals may be exchanged; a form that can overflow or divide by zero never replaces one that cannot.
#![forbid(unsafe_code)]

mod affine;
mod axes;
mod build;
mod cancel;
mod check;
mod choose;
mod condition;
mod copy;
mod cost;
mod danger;
mod domains;
mod draws;
#[cfg(test)]
mod exact;
mod extract;
mod facts;
mod fit;
mod infix;
mod interval;
mod language;
mod lower;
mod measure;
mod meet;
#[cfg(test)]
mod mistakes;
mod moves;
mod normal;
mod optimize;
#[cfg(test)]
mod order;
mod page;
mod pairs;
mod pattern;
mod proof;
mod raise;
mod rational;
mod report;
mod rows;
mod rule_set;
mod rules;
mod saturate;
mod search;
mod sides;
mod slices;
mod small;
mod sorts;
#[cfg(test)]
mod sound;
mod terms;
mod together;
mod validate;

pub use cost::{Cost, OpClass, TableCost, Work};
pub use optimize::{Limits, RewriteConfig, RewriteError, Semantics, explain, optimize};
pub use proof::explanation::{Explanation, OutputExplanation, OutputKind, Step};
pub use proof::replay::{Refusal, replay};
pub use proof::terms::TermId;
pub use report::{Danger, Report, Stop, Validation};
pub use rows::RuleError;
pub use rule_set::{RuleErrors, RuleSet, describe_rules};
pub use rules::{RuleClass, RuleInfo};
