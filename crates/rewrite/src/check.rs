//! Checks every rule by itself: its left side on random tensors that satisfy its conditions, both sides in `f64`.

use crate::axes::{Axis, AxisSet};
use crate::build::{add, axes_leaf, constant, facts, make, type_leaf};
use crate::condition::{Asks, Condition};
use crate::copy::shape;
use crate::cost::TableCost;
use crate::extract::Classes;
use crate::facts::{Context, Egraph};
use crate::language::{Head, Kind, Opaque};
use crate::lower::Lowerer;
use crate::pattern::Expr;
use crate::rational::Rational;
use crate::rules::{RULES, Rule, instantiate};
use egg::{Id, Searcher, Subst, Var};
use eggrad_autodiff::{AutodiffError, resolve};
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{
    At, Builder, CompareOp, DType, Graph, NodeId, Op, SoftmaxOp, StateKind, TensorType, UnaryOp,
};
use eggrad_testkit::Rng;
use std::collections::{BTreeMap, HashMap};

/// Sizes of the axes that tensors are drawn over.
const SIZES: [usize; 4] = [2, 3, 2, 3];
/// Matches that must agree before a rule counts as checked.
const WANTED: usize = 60;
/// Draws after which a rule that was not matched often enough has failed.
const ATTEMPTS: usize = 80_000;
/// Values on which identities tend to break.
const SPECIAL: [f64; 6] = [0.0, 1.0, -1.0, 0.5, 2.0, 3.0];

/// What a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Axes,
    Type,
    Float,
    Int,
    Bool,
}

/// Sorts of the variables of an expression whose value has sort `sort`.
fn sorts(expr: &Expr, sort: Sort, found: &mut BTreeMap<Var, Sort>) {
    match expr {
        Expr::Var(var) => {
            found.insert(*var, sort);
        }
        Expr::Number(_) | Expr::Attribute(..) => {}
        Expr::Term(head, args) => {
            let tensors = args.len() - head.takes().iter().filter(|k| **k != Kind::Tensor).count();
            let mut tensor = 0;
            for (arg, kind) in args.iter().zip(head.takes()) {
                let sort = match kind {
                    Kind::Axes => Sort::Axes,
                    Kind::Type | Kind::Renaming => Sort::Type,
                    Kind::Tensor => {
                        tensor += 1;
                        match head {
                            Head::Select if tensor == 1 => Sort::Bool,
                            Head::Unary(UnaryOp::Not) => Sort::Bool,
                            Head::OneHot => Sort::Int,
                            Head::Gather if tensor == tensors => Sort::Int,
                            _ => Sort::Float,
                        }
                    }
                };
                sorts(arg, sort, found);
            }
        }
    }
}

/// Draws terms over few axes.
struct Drawer<'a> {
    rng: &'a mut Rng,
    egraph: Egraph,
    /// Axes that variables stand for, which other draws then prefer.
    sets: Vec<AxisSet>,
}

impl Drawer<'_> {
    fn subset(&mut self) -> AxisSet {
        let bits = self.rng.below(1 << SIZES.len());
        AxisSet::new((0..SIZES.len() as Axis).filter(|a| bits >> a & 1 == 1))
    }

    fn leaf(&mut self, dtype: DType, axes: &AxisSet, range: Option<(f64, f64)>) -> Id {
        let number = self.egraph.analysis.opaque.len();
        let out = axes.iter().collect();
        let opaque = Opaque { op: Op::Input(number), args: vec![], out, dtype };
        self.egraph.analysis.opaque.push(opaque);
        if let Some(range) = range {
            self.egraph.analysis.ranges.insert(number as u32, range);
        }
        add(&mut self.egraph, Head::Opaque(number as u32), &[])
    }

    fn float(&mut self) -> Option<Id> {
        let mut axes = self.subset();
        if self.rng.below(2) == 0 && !self.sets.is_empty() {
            let i = self.rng.below(self.sets.len());
            axes = axes.union(&self.sets[i].clone());
        }
        let f = DType::F64;
        Some(match self.rng.below(10) {
            0 => self.leaf(f, &axes, Some((0.25, 3.0))),
            1 => self.leaf(f, &axes, Some((-1.0, 1.0))),
            2 => {
                let value = Rational::from_f64(SPECIAL[self.rng.below(6)])?;
                constant(&mut self.egraph, f, value)
            }
            3 => {
                let x = self.leaf(f, &axes, None);
                let y = add(&mut self.egraph, Head::Unary(UnaryOp::Recip), &[x]);
                match self.rng.below(2) {
                    0 => y,
                    _ => add(&mut self.egraph, Head::Unary(UnaryOp::Neg), &[y]),
                }
            }
            4 => {
                let over = self.sets.first().cloned()?;
                let x = self.leaf(f, &axes.union(&over), None);
                let over = axes_leaf(&mut self.egraph, over);
                make(&mut self.egraph, Head::Softmax(SoftmaxOp::Softmax), &[over, x])?
            }
            5 => self.leaf(f, &axes, Some((-3.0, -0.25))),
            6 => {
                let x = self.leaf(DType::I32, &axes, Some((-2.0, 3.0)));
                let ty = type_leaf(&mut self.egraph, f);
                add(&mut self.egraph, Head::Cast, &[ty, x])
            }
            7 => self.state(f, &axes),
            _ => self.leaf(f, &axes, None),
        })
    }

    /// A frozen state.
    fn state(&mut self, dtype: DType, axes: &AxisSet) -> Id {
        let number = self.egraph.analysis.opaque.len();
        let out = axes.iter().collect();
        let opaque = Opaque { op: Op::State(number), args: vec![], out, dtype };
        self.egraph.analysis.opaque.push(opaque);
        self.egraph.analysis.frozen.resize(number + 1, true);
        add(&mut self.egraph, Head::Opaque(number as u32), &[])
    }

    fn variable(&mut self, sort: Sort) -> Option<Id> {
        Some(match sort {
            Sort::Axes => {
                let set = self.subset();
                if set.is_empty() {
                    return None;
                }
                self.sets.push(set.clone());
                axes_leaf(&mut self.egraph, set)
            }
            Sort::Type => type_leaf(&mut self.egraph, DType::F64),
            Sort::Float => self.float()?,
            Sort::Int => {
                let (axes, last) = (self.subset(), 1.0 + self.rng.below(3) as f64);
                self.leaf(DType::I32, &axes, Some((0.0, last)))
            }
            Sort::Bool => {
                let axes = self.subset();
                let (a, b) =
                    (self.leaf(DType::F64, &axes, None), self.leaf(DType::F64, &axes, None));
                make(&mut self.egraph, Head::Compare(CompareOp::Lt), &[a, b])?
            }
        })
    }
}

/// What one match of a rule showed.
#[derive(Debug, PartialEq)]
enum Outcome {
    Equal,
    /// The left value, finite, and the right one; or the rule could not be applied.
    Different(String),
}

/// Draws until the rule matches with all of its conditions but those in `dropped`, and at least one of these broken.
fn attempt(rule: &Rule, dropped: &[Condition], rng: &mut Rng) -> Option<Outcome> {
    let context = Context { sizes: SIZES.to_vec(), ..Context::default() };
    let mut drawer = Drawer { rng, egraph: Egraph::new(context), sets: vec![] };
    let mut vars = BTreeMap::new();
    sorts(&rule.left, Sort::Float, &mut vars);
    let mut subst = Subst::with_capacity(vars.len());
    // Sets come first, so that tensors can have these axes.
    for first in [true, false] {
        for (&var, &sort) in vars.iter().filter(|v| (*v.1 == Sort::Axes) == first) {
            subst.insert(var, drawer.variable(sort)?);
        }
    }
    let typed = drawer.leaf(DType::F64, &AxisSet::empty(), None);
    let left = instantiate(&mut drawer.egraph, &rule.left, &subst, typed)?;
    drawer.egraph.rebuild();
    let mut egraph = drawer.egraph;
    for side in &rule.patterns {
        let Some(found) = side.pattern.search_eclass(&egraph, left) else { continue };
        for subst in found.substs {
            if !rule.holds(&egraph, left, &side.numbers, &subst) {
                continue;
            }
            if !dropped.is_empty() && dropped.iter().all(|c| c.holds(&egraph, &subst)) {
                continue;
            }
            let Some((l, r)) = rule.sides(&mut egraph, left, &subst) else {
                let conflict = egraph.analysis.conflict.clone();
                let Some(message) = conflict else { continue };
                return Some(Outcome::Different(message));
            };
            egraph.rebuild();
            if egraph.find(l) != egraph.find(r) {
                return Some(compare(&egraph, l, r, !dropped.is_empty(), rng));
            }
        }
    }
    None
}

/// Both classes as two outputs of a graph, the nodes of these, and the inputs that are floats.
fn written(egraph: &Egraph, sides: [Id; 2]) -> (Builder, [NodeId; 2], Vec<NodeId>) {
    let classes = Classes::new(egraph, &sides, &TableCost);
    let choice = classes.seed(|_| 1.0);
    let (mut builder, mut leaves) = (Builder::new(), vec![]);
    for (i, leaf) in egraph.analysis.opaque.iter().enumerate() {
        let ty = TensorType::new(leaf.dtype, shape(&leaf.out, &SIZES));
        let range = egraph.analysis.ranges.get(&(i as u32)).copied();
        let input = builder.declare_input(&format!("x{i}"), ty.clone(), range, At::Unknown);
        if leaf.dtype.is_float() {
            leaves.push(input);
        }
        builder.declare_state(&format!("s{i}"), StateKind::Frozen, ty, At::Unknown);
    }
    let hints = HashMap::new();
    let mut lowerer = Lowerer::new(egraph, &classes, &SIZES, &hints, builder);
    lowerer.run(&choice, &classes.order(&choice).unwrap());
    let nodes = [0, 1].map(|i| {
        let order: Vec<Axis> = facts(egraph, sides[i]).axes.iter().collect();
        let node = lowerer.root(classes.roots[i], &order);
        lowerer.builder.output(["left", "right"][i], node);
        node
    });
    (lowerer.builder, nodes, leaves)
}

/// Values for the inputs of a graph, so many in ten of them special.
fn draw(graph: &Graph, specials: usize, rng: &mut Rng) -> Vec<Tensor> {
    let value = |rng: &mut Rng, range: Option<(f64, f64)>, dtype: DType| {
        let (low, high) = range.unwrap_or((-3.0, 3.0));
        if !dtype.is_float() {
            return rng.uniform(low, high + 1.0).floor().min(high);
        }
        let special = SPECIAL[rng.below(SPECIAL.len())];
        let use_special = rng.below(10) < specials && special >= low && special <= high;
        if use_special { special } else { rng.uniform(low, high) }
    };
    let inputs = graph.inputs().iter().map(|i| {
        let n = i.ty.shape.elements();
        let values: Vec<f64> = (0..n).map(|_| value(rng, i.range, i.ty.dtype)).collect();
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
    let left =
        |given: &[Tensor]| run(graph, given, given, Precision::Wide).unwrap().outputs[0].to_f64s();
    let pairs = left(inputs).into_iter().zip(left(&near));
    pairs.into_iter().any(|(a, b)| (a - b).abs() > 1e-3 * a.abs() || a.is_nan() != b.is_nan())
}

/// Both sides and, for each of them and each input, the derivative of its elements times further inputs.
fn with_derivatives(mut graph: Builder, sides: [NodeId; 2], leaves: &[NodeId]) -> Option<Graph> {
    let ty = graph.ty(sides[0]).clone();
    let weights = graph.declare_input("weights", ty.clone(), Some((0.5, 2.0)), At::Unknown);
    for (side, name) in sides.into_iter().zip(["left", "right"]) {
        let weighted = graph.mul(side, weights);
        let sum = graph.sum(weighted, (0..ty.shape.rank()).collect());
        for (i, &leaf) in leaves.iter().enumerate() {
            let derivative = graph.node(Op::Grad, &[sum, leaf]);
            graph.output(&format!("d{name}{i}"), derivative);
        }
    }
    resolve::<AutodiffError>(graph.build().unwrap(), &mut Ok).ok()
}

fn compare(egraph: &Egraph, left: Id, right: Id, strictly: bool, rng: &mut Rng) -> Outcome {
    let (builder, sides, leaves) = written(egraph, [left, right]);
    let graph = builder.clone().build().unwrap();
    let inputs = draw(&graph, 3, rng);
    // A leaf is an input or a state.
    let done = run(&graph, &inputs, &inputs, Precision::Wide).unwrap();
    for (a, b) in done.outputs[0].to_f64s().into_iter().zip(done.outputs[1].to_f64s()) {
        let close =
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0) || a.to_bits() == b.to_bits();
        let outside = !a.is_finite() && (!strictly || !b.is_finite());
        if !close && !outside && !is_rounding(&graph, &inputs) {
            return Outcome::Different(format!("{a} became {b} in\n{graph}"));
        }
    }
    if strictly {
        return Outcome::Equal;
    }
    let Some(graph) = with_derivatives(builder, sides, &leaves) else { return Outcome::Equal };
    let inputs = draw(&graph, 6, rng);
    let done = run(&graph, &inputs, &inputs[..inputs.len() - 1], Precision::Wide).unwrap();
    let values: Vec<Vec<f64>> = done.outputs.iter().map(Tensor::to_f64s).collect();
    if values[..2].iter().flatten().any(|v| !v.is_finite()) {
        return Outcome::Equal;
    }
    let (left, right) = values[2..].split_at(leaves.len());
    for (a, b) in left.iter().flatten().zip(right.iter().flatten()) {
        let close = (a - b).abs() <= 1e-7 * a.abs().max(b.abs()).max(1.0);
        if !close && a.is_finite() && b.is_finite() {
            let given: Vec<Vec<f64>> = inputs.iter().map(Tensor::to_f64s).collect();
            let message = format!("derivative {a} became {b} at {given:?} in\n{graph}");
            return Outcome::Different(message);
        }
    }
    Outcome::Equal
}

/// Checks a rule on random tensors: an error says how it failed.
pub(crate) fn check(rule: &Rule) -> Result<(), String> {
    let mut rng = Rng::new(7);
    let mut equal = 0;
    for _ in 0..ATTEMPTS {
        match attempt(rule, &[], &mut rng) {
            Some(Outcome::Equal) => equal += 1,
            Some(Outcome::Different(how)) => return Err(format!("`{}`: {how}", rule.name)),
            None => {}
        }
        if equal == WANTED {
            return Ok(());
        }
    }
    Err(format!("`{}` was matched only {equal} times", rule.name))
}

/// Conditions without which a rule would be wrong; the others say where it is worth while.
fn needed(asks: Asks) -> bool {
    match asks {
        Asks::Disjoint
        | Asks::Subset
        | Asks::NonZero
        | Asks::Positive
        | Asks::NonNegative
        | Asks::Integer
        | Asks::Finite
        | Asks::Simplex
        | Asks::InRange => true,
        Asks::SameAxes
        | Asks::Smaller
        | Asks::Contracts
        | Asks::Constant
        | Asks::Number
        | Asks::Shares
        | Asks::Moderate
        | Asks::Wide
        | Asks::Small
        | Asks::Unit
        | Asks::Fixed
        | Asks::Frozen
        | Asks::Changes => false,
    }
}

#[test]
fn every_rule_holds() {
    let failures: Vec<String> = RULES.iter().filter_map(|r| check(r).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_condition_matters() {
    let mut useless = vec![];
    for rule in RULES.iter() {
        for (i, condition) in rule.conditions.iter().enumerate() {
            // A pick along rows that both have is as true; it would hide cross-entropy.
            let worth = rule.name == "dot-one-hot" && condition.asks == Asks::Disjoint;
            if worth || !needed(condition.asks) {
                continue;
            }
            let mut weaker = rule.clone();
            weaker.conditions.remove(i);
            let mut rng = Rng::new(11);
            let broken = std::slice::from_ref(condition);
            let mut outcomes =
                (0..ATTEMPTS).filter_map(|_| attempt(&weaker, broken, &mut rng)).take(400);
            if !outcomes.any(|o| o != Outcome::Equal) {
                useless.push(format!("`{}` needs no {condition:?}", rule.name));
            }
        }
    }
    assert!(useless.is_empty(), "{}", useless.join("\n"));
}
