//! The pipeline: from the graph as written to machine code, one stage after the other.

use crate::cost::MachineCost;
use crate::error::Error;
use crate::report::Report;
use crate::stage::Stages;
use eggrad_ir::Graph;
use eggrad_jit::{self as jit, Executable, JitConfig};
use eggrad_rewrite::{RewriteConfig, Semantics};
use eggrad_schedule::{ScheduleConfig, clusters, schedule};
use std::path::PathBuf;

/// How a graph is compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether formulas are stabilised and simplified by rewriting. Without it everything runs as written.
    pub rewrite: bool,
    /// What rewriting may change.
    pub semantics: Semantics,
    /// Folder for a picture (`.dot`) and a text (`.txt`) of the graph after each stage.
    pub dump: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options { rewrite: true, semantics: Semantics::Real, dump: None }
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
    let differentiated = differentiate(written, options, &mut stages)?;
    let optimised = optimise(differentiated, options, &mut stages)?;
    let plan = stages.timed("schedule", || schedule(&optimised, &ScheduleConfig::default()))?;
    stages.show("schedule", &optimised, &clusters(&optimised, &plan), &plan.to_string())?;
    let executable = stages.timed("codegen", || jit::compile(&plan, &JitConfig::default()))?;

    let mut report = stages.report;
    report.nodes_after = optimised.computing_nodes();
    report.kernels = plan.kernels.len();
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
    let differentiated = differentiate(written, options, &mut stages)?;
    optimise(differentiated, options, &mut stages)
}

/// Resolves `grad` nodes, innermost first; the value to differentiate is stabilised before.
fn differentiate(written: &Graph, options: &Options, stages: &mut Stages) -> Result<Graph, Error> {
    let config = rewrite_config(options);
    let mut nodes_before = 0;
    let mut rewritten = vec![];
    let graph = stages.graph("differentiate", || {
        let as_written = eggrad_autodiff::resolve::<Error>(written.clone(), &mut Ok)?;
        nodes_before = as_written.computing_nodes();
        if !options.rewrite {
            return Ok(as_written);
        }
        eggrad_autodiff::resolve(written.clone(), &mut |forward| {
            let (stable, report) = eggrad_rewrite::optimize(&forward, &MachineCost, &config)?;
            rewritten.push(report);
            Ok::<Graph, Error>(stable)
        })
    })?;
    stages.report.nodes_before = nodes_before;
    for report in &rewritten {
        count(&mut stages.report, report);
        // What stabilising left is met again when the whole is optimised.
        let left = report.danger_after as usize;
        stages.report.danger_before = stages.report.danger_before.saturating_sub(left);
    }
    Ok(graph)
}

/// Optimises the whole graph, forward, backward and update together.
fn optimise(graph: Graph, options: &Options, stages: &mut Stages) -> Result<Graph, Error> {
    if !options.rewrite {
        return Ok(graph);
    }
    let mut rewritten = None;
    let optimised = stages.graph("rewrite", || {
        let config = rewrite_config(options);
        let (best, report) = eggrad_rewrite::optimize(&graph, &MachineCost, &config)?;
        rewritten = Some(report);
        Ok(best)
    })?;
    if let Some(report) = rewritten {
        count(&mut stages.report, &report);
        stages.report.danger_after = report.danger_after as usize;
    }
    Ok(optimised)
}

fn rewrite_config(options: &Options) -> RewriteConfig {
    RewriteConfig { semantics: options.semantics, ..RewriteConfig::default() }
}

fn count(report: &mut Report, rewritten: &eggrad_rewrite::Report) {
    for (rule, times) in &rewritten.rules {
        *report.rules.entry(rule.clone()).or_default() += times;
    }
    report.danger_before += rewritten.danger_before as usize;
}
