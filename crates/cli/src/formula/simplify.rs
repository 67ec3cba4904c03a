//! The shortest way to write a value that the optimizer and the algebra of formulas find.

use super::expr::Expr;
use super::forms::{forms, length};
use super::read::read;
use super::write::Style;
use eggrad::ir::{Graph, NodeId};
use eggrad::rewrite::{Cost, OpClass, RewriteConfig, Work, optimize};
use eggrad::{Options, lower};

/// Nodes up to which a graph is rewritten to be read.
const MOST_NODES: usize = 400;

/// What a node costs a reader: every sign something, a function more, whatever its size.
struct Reader;

impl Cost for Reader {
    fn nanoseconds(&self, work: &Work) -> f64 {
        match work.class {
            OpClass::Free => 1.0,
            OpClass::Move => 0.0,
            OpClass::Arithmetic | OpClass::Division => 1.0,
            OpClass::Transcendental
            | OpClass::Reduction
            | OpClass::Rows
            | OpClass::Contraction
            | OpClass::Indexed => 2.0,
        }
    }

    fn fears_danger(&self) -> bool {
        false
    }
}

/// A value as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// As a formula.
    Formula(Expr),
    /// What is no formula: the lines of its graph.
    Graph(String),
}

impl Written {
    /// The text; of a graph, its lines.
    pub fn text(&self, style: Style) -> String {
        match self {
            Written::Formula(expr) => expr.text(style),
            Written::Graph(lines) => lines.clone(),
        }
    }
}

/// Output number `output` of `graph`, which may hold derivatives, written as shortly as is found.
///
/// Looked at are the graph as written, the graph that saturation makes shortest, and the graph that would run. Of
/// formulas that are equal by multiplying out, the one as written counts; so a sum stays a sum, a product a product,
/// unless the other is shorter.
///
/// # Errors
/// When a derivative does not exist.
pub fn written(graph: &Graph, output: usize) -> Result<Written, eggrad::Error> {
    let plain = Options { rewrite: false, ..Options::default() };
    let resolved = only(&lower(graph, &plain)?, output);
    let mut best: Option<(usize, Expr)> = None;
    let mut known: Vec<Expr> = vec![];
    let mut consider = |graph: &Graph| {
        let Some(value) = read(graph, root(graph)) else { return };
        let found = forms(&value);
        let is_new = !found.iter().any(|form| known.contains(form));
        if is_new {
            let shortest = found.iter().map(|f| (length(f), f)).min_by_key(|f| f.0);
            if let Some((length, form)) = shortest
                && best.as_ref().is_none_or(|b| length < b.0)
            {
                best = Some((length, form.clone()));
            }
        }
        known.extend(found);
    };
    consider(&resolved);
    if resolved.nodes().len() <= MOST_NODES {
        let config = RewriteConfig::default();
        if let Ok((short, _)) = optimize(&resolved, &Reader, &config) {
            consider(&short);
        }
        if let Ok(runs) = lower(&only(graph, output), &Options::default()) {
            consider(&runs);
        }
    }
    Ok(match best {
        Some((_, expr)) => Written::Formula(expr),
        None => Written::Graph(resolved.to_string()),
    })
}

/// The graph with one of its outputs.
fn only(graph: &Graph, output: usize) -> Graph {
    let mut builder = eggrad::ir::Builder::from_graph(graph.clone());
    builder.clear_outputs();
    let output = &graph.outputs()[output];
    builder.output(&output.name, output.node);
    match builder.build() {
        Ok(graph) => graph,
        Err(error) => panic!("internal error: an output alone is no graph: {error}"),
    }
}

fn root(graph: &Graph) -> NodeId {
    graph.outputs()[0].node
}
