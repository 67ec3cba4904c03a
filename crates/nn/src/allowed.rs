//! Which numbers a setting may be.

use crate::graph::Graph;
use eggrad_ir::{At, TypeError};

/// Which numbers a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Any finite number.
    Finite,
    /// Any finite number of at least 0.
    NotNegative,
    /// Any finite number above 0.
    Positive,
    /// `0 <= x < 1`
    BelowOne,
    /// `0 <= x <= 1`
    Share,
}

/// A setting: its name, its value, and what it may be.
pub(crate) type Setting = (&'static str, f64, Allowed);

impl Allowed {
    fn holds(self, x: f64) -> bool {
        match self {
            Allowed::Finite => x.is_finite(),
            Allowed::NotNegative => x.is_finite() && x >= 0.0,
            Allowed::Positive => x.is_finite() && x > 0.0,
            Allowed::BelowOne => (0.0..1.0).contains(&x),
            Allowed::Share => (0.0..=1.0).contains(&x),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Allowed::Finite => "a finite number",
            Allowed::NotNegative => "a finite number of at least 0",
            Allowed::Positive => "a finite number above 0",
            Allowed::BelowOne => "at least 0 and below 1",
            Allowed::Share => "from 0 to 1",
        }
    }
}

impl Graph {
    /// Whether all settings of `op` are what they may be; else errors are recorded, one for each.
    pub(crate) fn allows(&self, op: &str, at: At, settings: &[Setting]) -> bool {
        let wrong = settings.iter().filter(|(_, value, allowed)| !allowed.holds(*value));
        let mut all = true;
        for (name, value, allowed) in wrong {
            let message = format!("cannot have the {name} {value}");
            self.record(TypeError::new(op, at, message, format!("{name} is {}", allowed.text())));
            all = false;
        }
        all
    }
}
