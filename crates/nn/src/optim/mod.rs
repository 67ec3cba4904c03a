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
mod sgd;
mod step;

pub use adam::{Adam, EpsilonMode};
pub use gradients::Gradients;
pub use lion::Lion;
pub use scaled::{Adagrad, RmsProp};
pub use sgd::Sgd;
