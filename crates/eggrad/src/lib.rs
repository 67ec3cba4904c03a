//! eggrad
