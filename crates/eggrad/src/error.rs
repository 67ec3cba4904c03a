//! Everything that can go wrong, one variant per room.

use crate::history::Progress;
use eggrad_ir::{TypeError, TypeErrors};

/// Why a model could not be built, compiled, trained or run. Its `Debug` form is its text, so that `unwrap` and a
/// `main` that returns it show what a user needs.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model was written wrongly: every mistake with the user's lines.
    #[error(transparent)]
    Graph(#[from] TypeErrors),
    /// Data or settings do not fit the model.
    #[error(transparent)]
    Data(#[from] TypeError),
    /// The loss was not finite; nothing was written.
    #[error("{error}{}", place(*.step))]
    NotFinite {
        /// The op at fault with what it was given.
        error: Box<TypeError>,
        /// The step of training, if it was one: finished epochs and steps before it.
        step: Option<Progress>,
    },
    /// A derivative does not exist.
    #[error(transparent)]
    Autodiff(#[from] eggrad_autodiff::AutodiffError),
    /// The optimizer refused its input or did not trust its result.
    #[error(transparent)]
    Rewrite(#[from] eggrad_rewrite::RewriteError),
    /// Rules of the user's own are wrong or cannot be read.
    #[error(transparent)]
    Rules(#[from] eggrad_rewrite::RuleErrors),
    /// The graph cannot be laid out in memory.
    #[error(transparent)]
    Schedule(#[from] eggrad_schedule::ScheduleError),
    /// No machine code could be made.
    #[error(transparent)]
    Jit(#[from] eggrad_jit::JitError),
    /// A run was refused or stopped.
    #[error(transparent)]
    Run(#[from] eggrad_jit::RunError),
    /// States could not be saved, or what was saved is damaged or of another model.
    #[error(transparent)]
    Save(#[from] crate::save::SaveError),
    /// A log of training could not be written.
    #[error(transparent)]
    Log(#[from] eggrad_formats::CsvLogError),
    /// A plot or a picture of weights could not be drawn.
    #[error(transparent)]
    Plot(#[from] crate::plot::PlotError),
    /// A picture or text of a stage could not be written.
    #[error("cannot write `{path}`: {source}")]
    Dump {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where training was.
fn place(step: Option<Progress>) -> String {
    step.map(|s| format!("\nin step {} of epoch {}", s.step + 1, s.epoch + 1)).unwrap_or_default()
}

impl Error {
    /// The same, of this step of training.
    pub(crate) fn in_step(self, step: Progress) -> Error {
        match self {
            Error::NotFinite { error, .. } => Error::NotFinite { error, step: Some(step) },
            other => other,
        }
    }
}

impl From<Vec<TypeError>> for Error {
    fn from(errors: Vec<TypeError>) -> Error {
        Error::Graph(TypeErrors(errors))
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
