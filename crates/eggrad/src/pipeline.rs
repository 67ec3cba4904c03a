//! The pipeline: from the graph as written to machine code, one stage after the other.

use crate::cost::MachineCost;
use crate::error::Error;
use crate::report::Report;
use crate::stage::Stages;
use eggrad_autodiff::{hoist, merge_scans};
use eggrad_ir::{Graph, TypeError, inline};
use eggrad_jit::{self as jit, Executable, JitConfig};
use eggrad_rewrite::{Danger, RewriteConfig, RewriteError, RuleSet, Semantics};
use eggrad_schedule::{ScheduleConfig, clusters, schedule};
use std::path::PathBuf;

/// How a graph is compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether formulas are stabilised and simplified by rewriting. Without it everything runs as written.
    pub rewrite: bool,
    /// What rewriting may change.
    pub semantics: Semantics,
    /// The rules it goes by: those that ship, and perhaps some of your own.
    pub rules: RuleSet,
    /// Threads that share the loops of large kernels in a run; the bits are the same for any number.
    pub threads: usize,
    /// Bytes that intermediate values may take; all of the machine's memory if not given.
    pub memory: Option<usize>,
    /// Folder for a picture (`.dot`) and a text (`.txt`) of the graph after each stage.
    pub dump: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rewrite: true,
            semantics: Semantics::Real,
            rules: RuleSet::standard(),
            threads: 1,
            memory: None,
            dump: None,
        }
    }
}

/// Compiles a graph, which may hold `grad` nodes, to machine code; also hands out the graph that was scheduled.
///
/// Formulas are stabilised before they are differentiated, because gradients of unstable forms are worse than the
/// forms themselves, and the whole is optimised once more afterwards.
///
/// # Errors
/// When a derivative does not exist, or a stage refuses the graph.
pub fn compile(written: &Graph, options: &Options) -> Result<(Executable, Graph, Report), Error> {
    let mut stages = Stages::new(options.dump.as_deref());
    stages.show("written", written, &[], &written.to_string())?;
    let optimised = graphs(written, options, &mut stages, &mut |_, graph| {
        rewrite(graph, &rewrite_config(options))
    })?;
    let plan = stages.timed("schedule", || schedule(&optimised, &ScheduleConfig::default()))?;
    stages.show("schedule", &optimised, &clusters(&optimised, &plan), &plan.to_string())?;
    let config = JitConfig { run_threads: options.threads.max(1), ..JitConfig::default() };
    let config = JitConfig { max_bytes: options.memory.unwrap_or(config.max_bytes), ..config };
    let executable = stages.timed("codegen", || jit::compile(&plan, &config))?;

    let mut report = stages.report;
    report.nodes_after = optimised.computing_nodes();
    report.kernels = plan.kernel_count();
    report.setup_kernels = plan.setup;
    report.arena_bytes = plan.arena_bytes;
    report.code_bytes = executable.code_bytes();
    Ok((executable, optimised, report))
}

/// The graph that [`compile`] schedules: differentiated and optimised.
///
/// # Errors
/// As [`compile`].
pub fn lower(written: &Graph, options: &Options) -> Result<Graph, Error> {
    let mut stages = Stages::new(options.dump.as_deref());
    graphs(written, options, &mut stages, &mut |_, graph| rewrite(graph, &rewrite_config(options)))
}

/// Rewrites a graph in a stage of this name.
pub(crate) type Rewriter<'a> =
    dyn FnMut(&'static str, Graph) -> Result<(Graph, Rewritten), Error> + 'a;

/// The stages that make graphs.
pub(crate) fn graphs(
    written: &Graph,
    options: &Options,
    stages: &mut Stages,
    rewrite: &mut Rewriter<'_>,
) -> Result<Graph, Error> {
    let differentiated = differentiate(written, options, stages, rewrite)?;
    optimise(differentiated, options, stages, rewrite)
}

/// Resolves `grad` nodes, innermost first; the value to differentiate is stabilised before.
fn differentiate(
    written: &Graph,
    options: &Options,
    stages: &mut Stages,
    rewrite: &mut Rewriter<'_>,
) -> Result<Graph, Error> {
    let mut nodes_before = 0;
    let mut rewritten = vec![];
    let graph = stages.graph("differentiate", || {
        // A function with a derivative of its own stays one until that has been used.
        let open = inline(written, &|function| function.vjp().is_none()).map_err(one)?;
        let as_written = expand(eggrad_autodiff::resolve::<Error>(open.clone(), &mut Ok)?)?;
        nodes_before = as_written.computing_nodes();
        if !options.rewrite {
            return Ok(as_written);
        }
        let differentiated = eggrad_autodiff::resolve(open, &mut |forward| {
            let (stable, report) = rewrite("differentiate", forward)?;
            rewritten.push(report);
            Ok::<Graph, Error>(stable)
        })?;
        expand(differentiated)
    })?;
    stages.report.nodes_before = nodes_before;
    rewritten.into_iter().for_each(|round| count(&mut stages.report, round));
    Ok(graph)
}

/// Writes functions into their callers, lets loops share what they share, and takes out of them what no step changes.
fn expand(graph: Graph) -> Result<Graph, Error> {
    Ok(hoist(merge_scans(inline(&graph, &|_| true).map_err(one)?)))
}

/// A mistake in the model that only the whole of it shows.
fn one(error: TypeError) -> Error {
    Error::from(vec![error])
}

/// Optimises the whole graph, forward, backward and update together.
fn optimise(
    graph: Graph,
    options: &Options,
    stages: &mut Stages,
    rewrite: &mut Rewriter<'_>,
) -> Result<Graph, Error> {
    if !options.rewrite {
        return Ok(graph);
    }
    let mut rewritten = None;
    let optimised = stages.graph("rewrite", || {
        let (best, round) = rewrite("rewrite", graph)?;
        rewritten = Some(round);
        Ok(best)
    })?;
    rewritten.into_iter().for_each(|round| count(&mut stages.report, round));
    Ok(optimised)
}

/// What rewriting did, or why its result was not used.
pub(crate) type Rewritten = Result<eggrad_rewrite::Report, String>;

/// The rewritten graph; or the graph as it is, where validation did not confirm the rewritten one: a rule may be
/// wrong, or rounding may hide that it is right.
fn rewrite(graph: Graph, config: &RewriteConfig) -> Result<(Graph, Rewritten), Error> {
    match eggrad_rewrite::optimize(&graph, &MachineCost, config) {
        Ok((best, report)) => Ok((best, Ok(report))),
        Err(error) => Ok((graph, Err(untrusted(error)?))),
    }
}

/// Why a graph stays as it is, where validation did not confirm the rewritten one; every other error is one.
pub(crate) fn untrusted(error: RewriteError) -> Result<String, Error> {
    match error {
        RewriteError::Unsound { output, before, after, .. } => Ok(format!(
            "`{output}` runs as written: a check in f64 gave {before} as written, {after} rewritten"
        )),
        error => Err(error.into()),
    }
}

pub(crate) fn rewrite_config(options: &Options) -> RewriteConfig {
    let (semantics, rules) = (options.semantics, options.rules.clone());
    RewriteConfig { semantics, rules, ..RewriteConfig::default() }
}

/// Adds what rewriting did to the report.
fn count(report: &mut Report, rewritten: Rewritten) {
    let rewritten = match rewritten {
        Ok(rewritten) => rewritten,
        Err(note) => return report.notes.push(note),
    };
    for (rule, times) in rewritten.rules {
        *report.rules.entry(rule).or_default() += times;
    }
    // What an earlier round left is met again by a later one.
    let (before, left) = report.danger.unwrap_or_default();
    let (new_before, new_left) =
        (rewritten.danger_before as usize, rewritten.danger_after as usize);
    report.danger = Some(((before + new_before).saturating_sub(left), new_left));
    let line = |d: &Danger| format!("`{}` at {}: {}", d.op, d.at, d.reason);
    report.dangers_left = rewritten.dangers_left.iter().map(line).collect();
}
