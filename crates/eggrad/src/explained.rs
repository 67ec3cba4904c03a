//! Why a compiled graph means what was written: the steps of every round of rewriting, followed again by a checker.

use crate::cost::MachineCost;
use crate::error::Error;
use crate::pipeline::{Options, graphs, rewrite_config, untrusted};
use crate::stage::Stages;
use eggrad_ir::Graph;
use eggrad_rewrite::{Explanation, Refusal, replay};
use std::fmt;

/// The rounds of rewriting on the way from a graph as written to the one that is compiled.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What is stabilised before each derivative, then the whole.
    pub rounds: Vec<Round>,
    /// The graph that is scheduled.
    pub graph: Graph,
    /// What stayed as it was because its rewritten form was not trusted.
    pub notes: Vec<String>,
}

/// One round of rewriting.
#[derive(Clone, Debug)]
pub struct Round {
    /// The stage it belongs to: `differentiate` or `rewrite`.
    pub stage: &'static str,
    /// What was rewritten.
    pub before: Graph,
    /// What it became.
    pub after: Graph,
    /// The steps between the two.
    pub explanation: Explanation,
}

/// Rewrites and differentiates a graph as [`crate::lower`] does, and says by which steps: for each output the rules in
/// order, what was estimated to be dangerous and dear before and after, and the user's lines.
///
/// Every step was followed again by a checker that knows only the rules. This takes several times as long as
/// [`crate::lower`], which keeps nothing of it.
///
/// ```
/// use eggrad::prelude::*;
///
/// let g = Graph::new();
/// let z = g.input("z", [8, 10]);
/// let y = g.input("y", [8, 10]);
/// g.output("loss", -(y * z.softmax(1).log()).sum([0, 1]));
/// let explained = eggrad::explain(&g.build()?.graph, &Options::default())?;
///
/// let [round] = explained.rounds.as_slice() else { panic!("one round without derivatives") };
/// let loss = &round.explanation.outputs[0];
/// assert_eq!((loss.danger_before, loss.danger_after), (4, 0));
/// let steps: Vec<String> = round
///     .explanation
///     .steps_of(loss)
///     .map(|step| format!("{}: {} -> {}", step.rule, step.before, step.after))
///     .collect();
/// assert_eq!(steps[0], "log-of-softmax: log(softmax(z)) -> log_softmax(z)");
/// assert_eq!(steps[1], "cross-entropy-sum: sum(y*log_softmax(z)) -> -sum(cross_entropy(z, y))");
/// assert_eq!(steps[2], "neg-neg: --sum(cross_entropy(z, y)) -> sum(cross_entropy(z, y))");
/// explained.replay().expect("every step holds");
/// println!("{explained}");
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`crate::lower`]; an explanation that its checker refuses is a bug of ours.
pub fn explain(written: &Graph, options: &Options) -> Result<Explained, Error> {
    let mut stages = Stages::new(options.dump.as_deref());
    let (mut rounds, mut notes) = (vec![], vec![]);
    let config = rewrite_config(options);
    let graph =
        graphs(written, options, &mut stages, &mut |stage, before| match eggrad_rewrite::explain(
            &before,
            &MachineCost,
            &config,
        ) {
            Ok((after, report, explanation)) => {
                rounds.push(Round { stage, before, after: after.clone(), explanation });
                Ok((after, Ok(report)))
            }
            Err(error) => {
                let note = untrusted(error)?;
                notes.push(note.clone());
                Ok((before, Err(note)))
            }
        })?;
    Ok(Explained { rounds, graph, notes })
}

impl Explained {
    /// Follows all steps once more.
    ///
    /// # Errors
    /// The first step that does not hold, or what is not proved.
    pub fn replay(&self) -> Result<(), Refusal> {
        let mut rounds = self.rounds.iter();
        rounds.try_for_each(|round| replay(&round.before, &round.after, &round.explanation))
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for round in &self.rounds {
            let what = match round.stage {
                "differentiate" => "before differentiation",
                _ => "the whole",
            };
            writeln!(f, "{what}")?;
            write!(f, "{}", round.explanation)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
