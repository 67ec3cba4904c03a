//! How the learning rate changes from step to step, computed in the step itself.

use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A factor of the learning rate that depends on the number of finished steps: a rise from 0 at first, if wanted, then
/// what is called a decay. The state `name.learning_rate` stays what the factor multiplies, so that it can still be
/// changed between steps. 1 by default.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps in which the factor rises from 0 to 1 in equal parts.
    pub warmup: u64,
    /// What happens then; its steps count from the end of the rise.
    pub decay: Decay,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Not at all.
    #[default]
    Constant,
    /// Times `factor` after every so many steps.
    Steps {
        /// Steps between two falls.
        every: u64,
        /// What a fall multiplies by.
        factor: f64,
    },
    /// `factor^(t / every)`, smoothly.
    Exponential {
        /// Steps in which the rate falls by the factor once.
        every: u64,
        /// What it falls by.
        factor: f64,
    },
    /// Half a cosine wave from 1 to `end` within so many steps, `end` from then on (Loshchilov and Hutter 2017).
    Cosine {
        /// Steps until the end.
        steps: u64,
        /// Where it ends.
        end: f64,
    },
    /// A line from 1 to `end` within so many steps, `end` from then on.
    Linear {
        /// Steps until the end.
        steps: u64,
        /// Where it ends.
        end: f64,
    },
}

impl Schedule {
    /// Always 1.
    pub fn constant() -> Schedule {
        Schedule::default()
    }

    /// Times `factor` after every so many steps.
    pub fn steps(every: u64, factor: f64) -> Schedule {
        Schedule { warmup: 0, decay: Decay::Steps { every, factor } }
    }

    /// `factor^(t / every)`
    pub fn exponential(every: u64, factor: f64) -> Schedule {
        Schedule { warmup: 0, decay: Decay::Exponential { every, factor } }
    }

    /// Half a cosine wave from 1 to 0 within so many steps.
    pub fn cosine(steps: u64) -> Schedule {
        Schedule { warmup: 0, decay: Decay::Cosine { steps, end: 0.0 } }
    }

    /// A line from 1 to 0 within so many steps.
    pub fn linear(steps: u64) -> Schedule {
        Schedule { warmup: 0, decay: Decay::Linear { steps, end: 0.0 } }
    }

    /// After a rise from 0 within so many steps: the first step has `1 / steps` of the rate.
    pub fn warmup(self, steps: u64) -> Schedule {
        Schedule { warmup: steps, ..self }
    }

    /// Whether it is 1 for ever.
    pub fn is_constant(&self) -> bool {
        self.warmup == 0 && self.decay == Decay::Constant
    }

    /// Why it cannot be, if so.
    pub(super) fn misfit(&self) -> Option<String> {
        let (steps, number) = match self.decay {
            Decay::Constant => (1, 1.0),
            Decay::Steps { every, factor } | Decay::Exponential { every, factor } => {
                (every, factor)
            }
            Decay::Cosine { steps, end } | Decay::Linear { steps, end } => (steps, end),
        };
        let wrong = steps == 0 || !number.is_finite() || number < 0.0;
        wrong.then(|| format!("cannot have the schedule {:?}", self.decay))
    }

    /// The factor of step number `step`, from 0.
    pub fn factor(&self, step: u64) -> f64 {
        let t = step.saturating_sub(self.warmup) as f64;
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Steps { every, factor } => factor.powf((t / every as f64).floor()),
            Decay::Exponential { every, factor } => factor.powf(t / every as f64),
            Decay::Cosine { steps, end } => {
                let done = (t / steps as f64).min(1.0);
                end + (1.0 - end) * 0.5 * (1.0 + (PI * done).cos())
            }
            Decay::Linear { steps, end } => 1.0 + (end - 1.0) * (t / steps as f64).min(1.0),
        };
        if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { decay }
    }

    /// The same of a number of steps in the graph.
    #[track_caller]
    pub(super) fn of(self, step: Tensor<'_>) -> Tensor<'_> {
        let graph = step.graph();
        let t = if self.warmup == 0 { step } else { (step - self.warmup as f64).relu() };
        let done = |steps: u64| (t / steps as f64).minimum(1.0);
        let decay = match self.decay {
            Decay::Constant => graph.constant(1.0),
            Decay::Steps { every, factor } => {
                graph.constant(factor).pow((t / every as f64).floor())
            }
            Decay::Exponential { every, factor } => graph.constant(factor).pow(t / every as f64),
            Decay::Cosine { steps, end } => {
                // (1 + cos(x)) / 2 without cancellation.
                (done(steps) * (PI / 2.0)).cos().square() * (1.0 - end) + end
            }
            Decay::Linear { steps, end } => done(steps) * (end - 1.0) + 1.0,
        };
        if self.warmup == 0 {
            return decay;
        }
        let rise = (step + 1.0) / self.warmup as f64;
        step.lt(self.warmup as f64).select(rise, decay)
    }
}
