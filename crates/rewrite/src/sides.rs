//! Both sides of a rule as two outputs of one graph: their values, and the derivatives of these.

use crate::axes::Axis;
use crate::build::facts;
use crate::copy::shape;
use crate::cost::TableCost;
use crate::draws::Draws;
use crate::extract::Classes;
use crate::facts::{Data, Egraph};
use crate::lower::Lowerer;
use crate::terms::{SIZES, SPECIAL};
use egg::{Id, Var};
use eggrad_autodiff::{AutodiffError, resolve};
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{At, Builder, Graph, NodeId, Op, StateKind, TensorType, UnaryOp};
use std::collections::HashMap;
use std::fmt::Write;

/// Both sides of a rule for one match, in an e-graph.
pub(crate) struct Sides {
    pub(crate) egraph: Egraph,
    pub(crate) sides: [Id; 2],
    /// What each variable stands for, and the inputs made for it.
    pub(crate) variables: Vec<(Var, Id, std::ops::Range<usize>)>,
}

/// Values for which two sides differ.
#[derive(Clone, Debug)]
pub(crate) struct Counterexample {
    /// How many numbers it takes to tell.
    pub(crate) numbers: usize,
    pub(crate) text: String,
}

/// Elements of a tensor that a counterexample shows.
const SHOWN: usize = 8;

impl Sides {
    /// A graph whose first two outputs are the sides and whose others are the tensors that variables stand for; the
    /// nodes of the sides, and the inputs that are floats, by number.
    pub(crate) fn graph(&self) -> (Builder, [NodeId; 2], Vec<(usize, NodeId)>) {
        let tensors = self.tensors().map(|(_, id)| id);
        let roots: Vec<Id> = self.sides.into_iter().chain(tensors).collect();
        let (builder, nodes, leaves) = written(&self.egraph, &roots);
        (builder, [nodes[0], nodes[1]], leaves)
    }

    /// Variables that stand for tensors.
    fn tensors(&self) -> impl Iterator<Item = (Var, Id)> {
        let tensor = |v: &&(Var, Id, _)| matches!(self.egraph[v.1].data, Data::Tensor(_));
        self.variables.iter().filter(tensor).map(|v| (v.0, v.1))
    }

    /// How the sides differ for random values, in value or in a derivative. Where the left side is no number anything
    /// may be right, unless the right one has to be none either (`strictly`); derivatives are then not compared.
    pub(crate) fn difference(&self, strictly: bool, draws: &mut Draws) -> Option<Counterexample> {
        let (builder, sides, leaves) = self.graph();
        let graph = build(builder.clone());
        let inputs = draw(&graph, 3, draws);
        let values = evaluate(&graph, &inputs);
        for (i, (&a, &b)) in values[0].iter().zip(&values[1]).enumerate() {
            let close =
                (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0) || a.to_bits() == b.to_bits();
            let outside = !a.is_finite() && (!strictly || !b.is_finite());
            if !close && !outside && !is_rounding(&graph, &inputs) {
                let place = element(i, values[0].len());
                let how = format!("the left side is {a} and the right side {b}{place}");
                return Some(self.counterexample(&values, &how));
            }
        }
        if strictly { None } else { self.other_derivative(builder, sides, &leaves, draws) }
    }

    /// Derivatives of both sides, of their elements times further inputs, where both are numbers.
    fn other_derivative(
        &self,
        builder: Builder,
        sides: [NodeId; 2],
        leaves: &[(usize, NodeId)],
        draws: &mut Draws,
    ) -> Option<Counterexample> {
        let graph = with_derivatives(builder, sides, leaves)?;
        let inputs = draw(&graph, 6, draws);
        let values = evaluate(&graph, &inputs);
        if values[..2].iter().flatten().any(|v| !v.is_finite()) {
            return None;
        }
        let first = values.len() - 2 * leaves.len();
        let (left, right) = values[first..].split_at(leaves.len());
        for ((leaf, _), (left, right)) in leaves.iter().zip(left.iter().zip(right)) {
            for (i, (&a, &b)) in left.iter().zip(right).enumerate() {
                let close = (a - b).abs() <= 1e-7 * a.abs().max(b.abs()).max(1.0);
                if close || !a.is_finite() || !b.is_finite() {
                    continue;
                }
                let var = self.variables.iter().find(|v| v.2.contains(leaf));
                let by = var.map_or("an input".into(), |v| v.0.to_string());
                let place = element(i, left.len());
                let how = format!(
                    "the derivative of the left side by {by} is {a} and that of the right side {b}{place}"
                );
                return Some(self.counterexample(&values, &how));
            }
        }
        None
    }

    /// What the variables stand for, and `how` the sides differ.
    fn counterexample(&self, values: &[Vec<f64>], how: &str) -> Counterexample {
        let mut text = String::from("does not hold: for\n");
        let mut numbers = 0;
        let mut tensors = values[2..].iter();
        for (var, id, _) in &self.variables {
            let line = match &self.egraph[*id].data {
                Data::Axes(set) => format!("{var} = {{{}}}", names(set.iter())),
                Data::Tensor(facts) => {
                    let values = tensors.next().map_or(&[][..], |v| v);
                    numbers += values.len();
                    let shown: Vec<String> =
                        values.iter().take(SHOWN).map(|v| v.to_string()).collect();
                    let more = if values.len() > SHOWN { ", ..." } else { "" };
                    let axes = names(facts.axes.iter());
                    format!("{var}[{axes}] = {}{more}", shown.join(", "))
                }
                Data::Renaming(_) | Data::Type(_) => continue,
            };
            let _ = writeln!(text, "  {line}");
        }
        text += how;
        Counterexample { numbers, text }
    }
}

/// A graph whose outputs are `roots`, of an e-graph that was drawn; the nodes of these, and the inputs that are floats,
/// by number.
pub(crate) fn written(
    egraph: &Egraph,
    roots: &[Id],
) -> (Builder, Vec<NodeId>, Vec<(usize, NodeId)>) {
    let classes = Classes::new(egraph, roots, &TableCost);
    let choice = classes.seed(|_| 1.0);
    let (mut builder, mut leaves) = (Builder::new(), vec![]);
    for (i, leaf) in egraph.analysis.opaque.iter().enumerate() {
        let ty = TensorType::new(leaf.dtype, shape(&leaf.out, &SIZES));
        let range = egraph.analysis.ranges.get(&(i as u32)).copied();
        let input = builder.declare_input(&format!("x{i}"), ty.clone(), range, At::Unknown);
        if leaf.dtype.is_float() {
            leaves.push((i, input));
        }
        builder.declare_state(&format!("s{i}"), StateKind::Frozen, ty, At::Unknown);
    }
    let hints = HashMap::new();
    let mut lowerer = Lowerer::new(egraph, &classes, &SIZES, &hints, builder);
    let Some(order) = classes.order(&choice) else {
        panic!("internal error: the terms of a rule have a cycle")
    };
    lowerer.run(&choice, &order);
    let mut nodes = vec![];
    for (i, &root) in roots.iter().enumerate() {
        let order: Vec<Axis> = facts(egraph, root).axes.iter().collect();
        let node = lowerer.root(classes.roots[i], &order);
        lowerer.builder.output(&format!("y{i}"), node);
        nodes.push(node);
    }
    (lowerer.builder, nodes, leaves)
}

/// Axes with their sizes.
fn names(axes: impl Iterator<Item = Axis>) -> String {
    let name = |a: Axis| format!("{}: {}", ["i", "j", "k", "l"][a as usize], SIZES[a as usize]);
    axes.map(name).collect::<Vec<_>>().join(", ")
}

fn element(i: usize, of: usize) -> String {
    if of == 1 { String::new() } else { format!(", at element {i} of {of}") }
}

pub(crate) fn build(builder: Builder) -> Graph {
    match builder.build() {
        Ok(graph) => graph,
        Err(error) => panic!("internal error: the sides of a rule are no graph: {error}"),
    }
}

/// Outputs in `f64`. A leaf is an input or a state.
fn evaluate(graph: &Graph, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    outputs(graph, inputs, Precision::Wide)
}

/// Outputs for the same values in inputs and states, of which there may be fewer.
pub(crate) fn outputs(graph: &Graph, inputs: &[Tensor], precision: Precision) -> Vec<Vec<f64>> {
    match run(graph, inputs, &inputs[..graph.states().len()], precision) {
        Ok(done) => done.outputs.iter().map(Tensor::to_f64s).collect(),
        Err(error) => panic!("internal error: the sides of a rule cannot be run: {error}"),
    }
}

/// Values for the inputs of a graph, so many in ten of them special.
fn draw(graph: &Graph, specials: usize, draws: &mut Draws) -> Vec<Tensor> {
    let mut value = |range: Option<(f64, f64)>, float: bool| {
        let (low, high) = range.unwrap_or((-3.0, 3.0));
        if !float {
            return draws.float(low, high + 1.0).floor().min(high);
        }
        let special = SPECIAL[draws.below(SPECIAL.len())];
        let use_special = draws.below(10) < specials && special >= low && special <= high;
        if use_special { special } else { draws.float(low, high) }
    };
    let inputs = graph.inputs().iter().map(|i| {
        let n = i.ty.shape.elements();
        let values: Vec<f64> = (0..n).map(|_| value(i.range, i.ty.dtype.is_float())).collect();
        Tensor::from_values(i.ty.clone(), &values)
    });
    inputs.collect()
}

/// Whether the left side is but the rounding of terms that cancel: inputs that hardly differ change it much.
fn is_rounding(graph: &Graph, inputs: &[Tensor]) -> bool {
    let jumps = [UnaryOp::Floor, UnaryOp::Ceil, UnaryOp::Round, UnaryOp::Sign].map(Op::Unary);
    if graph.nodes().iter().any(|n| jumps.contains(&n.op)) {
        return false;
    }
    let nudge = |(i, x): (usize, &Tensor)| {
        let by = |(k, v): (usize, f64)| v * (1.0 + 1e-13 * ((7 * i + k) % 5) as f64);
        let values: Vec<f64> = x.to_f64s().into_iter().enumerate().map(by).collect();
        Tensor::from_values(x.ty.clone(), &values)
    };
    let near: Vec<Tensor> = inputs.iter().enumerate().map(nudge).collect();
    let (here, there) = (evaluate(graph, inputs), evaluate(graph, &near));
    let differ = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-3 * a.abs() || a.is_nan() != b.is_nan();
    here[0].iter().zip(&there[0]).any(differ)
}

/// Both sides and, for each of them and each input, the derivative of its elements times further inputs.
fn with_derivatives(
    mut graph: Builder,
    sides: [NodeId; 2],
    leaves: &[(usize, NodeId)],
) -> Option<Graph> {
    let ty = graph.ty(sides[0]).clone();
    let weights = graph.declare_input("weights", ty.clone(), Some((0.5, 2.0)), At::Unknown);
    for (side, name) in sides.into_iter().zip(["left", "right"]) {
        let weighted = graph.mul(side, weights);
        let sum = graph.sum(weighted, (0..ty.shape.rank()).collect());
        for &(i, leaf) in leaves {
            let derivative = graph.node(Op::Grad, &[sum, leaf]);
            graph.output(&format!("d{name}{i}"), derivative);
        }
    }
    resolve::<AutodiffError>(build(graph), &mut Ok).ok()
}
