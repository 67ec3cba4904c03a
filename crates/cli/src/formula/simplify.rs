//! The shortest way to write a value that the optimizer and the algebra of formulas find.

use super::expr::Expr;
use super::forms::{forms, length};
use super::read::read;
use super::write::Style;
use eggrad::ir::{Builder, Graph, expression_of};
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
    let mut found = Found::default();
    found.consider(&resolved);
    if resolved.nodes().len() <= MOST_NODES {
        // What algebra alone makes of it is shorter, and holds no product with 0, from which a value gets many forms.
        let short = match &found.best {
            Some((_, expr)) if expr.as_constant().is_some() => None,
            Some((_, expr)) => graph_of(expr, &resolved),
            None => Some(resolved.clone()),
        };
        let config = RewriteConfig::default();
        if let Some(short) = short
            && let Ok((shortest, _)) = optimize(&short, &Reader, &config)
        {
            found.consider(&shortest);
        }
        if let Ok(runs) = lower(&only(graph, output), &Options::default()) {
            found.consider(&runs);
        }
    }
    let best = found.best;
    Ok(match best {
        Some((_, expr)) => Written::Formula(expr),
        None => Written::Graph(resolved.to_string()),
    })
}

/// The shortest form so far, with its length, and all that were looked at.
#[derive(Default)]
struct Found {
    best: Option<(usize, Expr)>,
    known: Vec<Expr>,
}

impl Found {
    /// Looks at the forms of the first output of `graph`, unless multiplying out makes a known one of them.
    fn consider(&mut self, graph: &Graph) {
        let Some(value) = read(graph, graph.outputs()[0].node) else { return };
        let found = forms(&value);
        if !found.iter().any(|form| self.known.contains(form)) {
            let shortest = found.iter().map(|f| (length(f), f)).min_by_key(|f| f.0);
            if let Some((length, form)) = shortest
                && self.best.as_ref().is_none_or(|b| length < b.0)
            {
                self.best = Some((length, form.clone()));
            }
        }
        self.known.extend(found);
    }
}

/// A formula as a graph over the inputs and states of `leaves`; `None` where its text is not read back.
fn graph_of(expr: &Expr, leaves: &Graph) -> Option<Graph> {
    let mut builder = Builder::with_leaves_of(leaves);
    let inputs = leaves.inputs().iter().map(|i| i.name.clone());
    let states = leaves.states().iter().map(|s| s.name.clone());
    let nodes = builder.graph().ids();
    let names = inputs.chain(states).zip(nodes).collect();
    let dtype = leaves.ty(leaves.outputs()[0].node).dtype;
    let y = expression_of(&mut builder, &names, &expr.text(Style::default()), dtype).ok()?;
    builder.output("y", y);
    builder.build().ok()
}

/// The graph with one of its outputs.
fn only(graph: &Graph, output: usize) -> Graph {
    let mut builder = Builder::from_graph(graph.clone());
    builder.clear_outputs();
    let output = &graph.outputs()[output];
    builder.output(&output.name, output.node);
    match builder.build() {
        Ok(graph) => graph,
        Err(error) => panic!("internal error: an output alone is no graph: {error}"),
    }
}
