//! Optimizers as graph builders: the update is part of the train step, and their memory is state.
//!
//! All work alike. `minimize` differentiates the loss with respect to every trainable parameter, treats the gradients
//! as [`Gradients`] says, and writes parameters and memory. The learning rate is a state called `name.learning_rate`,
//! a single float that may be changed between steps without compiling again; memory is called `name.what.parameter`.
//! A hyper-parameter that cannot be is an error of the graph, like a shape that does not fit.

mod adam;
mod gradients;
mod lion;
mod scaled;
mod schedule;
mod sgd;
mod spec;
mod step;

pub use adam::{Adam, EpsilonMode};
pub use gradients::Gradients;
pub use lion::Lion;
pub use scaled::{Adagrad, RmsProp};
pub use schedule::{Decay, Schedule};
pub use sgd::Sgd;
pub use spec::OptimizerSpec;

use crate::tensor::Tensor;
use std::fmt;

/// What makes a loss small: adds one step for every trainable parameter to the graph of the loss.
///
/// An optimizer of one's own takes [`crate::Graph::params`], declares its memory with [`crate::Graph::state`], and
/// writes both with [`crate::Graph::write`]; [`crate::Graph::guard`] keeps them as they are when the loss is not finite.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no optimizer",
    note = "pass one such as `Adam::new(1e-3)`; to choose when the program runs, a `Box<dyn Optimizer>`"
)]
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// What its states are called: the learning rate is `name.learning_rate`.
    fn name(&self) -> &str;

    /// How the learning rate changes; the number of steps taken is the state `name.step`.
    fn schedule(&self) -> Schedule {
        Schedule::default()
    }

    /// The optimizer as data, which is saved with a model; `None` of one that is code.
    fn spec(&self) -> Option<OptimizerSpec> {
        None
    }

    /// Adds the step.
    fn minimize_loss(&self, loss: Tensor<'_>);
}

/// To choose among optimizers when the program runs.
impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn schedule(&self) -> Schedule {
        (**self).schedule()
    }

    fn spec(&self) -> Option<OptimizerSpec> {
        (**self).spec()
    }

    fn minimize_loss(&self, loss: Tensor<'_>) {
        (**self).minimize_loss(loss);
    }
}

macro_rules! optimizers {
    ($($Optimizer:ident $name:literal)*) => {$(
        impl Optimizer for $Optimizer {
            fn name(&self) -> &str {
                $name
            }

            fn schedule(&self) -> Schedule {
                self.gradients.schedule
            }

            fn spec(&self) -> Option<OptimizerSpec> {
                Some(OptimizerSpec::$Optimizer(*self))
            }

            #[track_caller]
            fn minimize_loss(&self, loss: Tensor<'_>) {
                self.minimize(loss);
            }
        }
    )*};
}

optimizers! { Adam "adam" Sgd "sgd" RmsProp "rmsprop" Adagrad "adagrad" Lion "lion" }
