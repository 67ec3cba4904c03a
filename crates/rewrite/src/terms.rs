//! Draws left sides of rules: terms over few small axes, of inputs, constants and what conditions ask for.

use crate::axes::{Axis, AxisSet};
use crate::build::{add, axes_leaf, constant, make, type_leaf};
use crate::condition::Asks;
use crate::draws::Draws;
use crate::facts::{Context, Egraph, rebuild};
use crate::language::{Head, Opaque};
use crate::rational::Rational;
use crate::rules::{Rule, instantiate};
use crate::sorts::Sort;
use egg::{Id, Subst, Var};
use eggrad_ir::{CompareOp, DType, Op, SoftmaxOp, UnaryOp};

/// Sizes of the axes that tensors are drawn over.
pub(crate) const SIZES: [usize; 4] = [2, 3, 2, 3];
/// Values on which identities tend to break.
pub(crate) const SPECIAL: [f64; 6] = [0.0, 1.0, -1.0, 0.5, 2.0, 3.0];
/// The range of inputs that are positive and may be of any size.
pub(crate) const ANY_SIZE: (f64, f64) = (1e-15, 1e15);

/// What a variable is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// Inputs, constants and short terms that are known to be positive, not 0, or to sum to one.
    Terms,
    /// Inputs and constants, so that floats of the type hold every value; terms only where nothing else would do.
    Inputs,
}

/// A left side with random tensors for its variables.
pub(crate) struct Drawn {
    pub(crate) egraph: Egraph,
    pub(crate) left: Id,
    /// What each variable stands for, in the order of their names, and the inputs made for it.
    pub(crate) variables: Vec<(Var, Id, std::ops::Range<usize>)>,
}

/// Draws the left side of `rule`; `None` when what was drawn does not fit together.
pub(crate) fn draw_left(
    rule: &Rule,
    among: Among,
    dtype: DType,
    draws: &mut Draws,
) -> Option<Drawn> {
    let context = Context { sizes: SIZES.to_vec(), ..Context::default() };
    let sums = rule.conditions.iter().any(|c| c.asks == Asks::Simplex);
    let egraph = Egraph::new(context);
    let mut drawer = Drawer { draws, dtype, among, sums, egraph, sets: vec![] };
    let mut subst = Subst::with_capacity(rule.sorts.len());
    let mut variables = vec![];
    // Sets come first, so that tensors can have these axes.
    for first in [true, false] {
        for (&var, &sort) in rule.sorts.iter().filter(|v| (*v.1 == Sort::Axes) == first) {
            let inputs = drawer.egraph.analysis.opaque.len();
            let id = drawer.variable(sort)?;
            subst.insert(var, id);
            variables.push((var, id, inputs..drawer.egraph.analysis.opaque.len()));
        }
    }
    let typed = drawer.leaf(dtype, &AxisSet::empty(), None);
    let left = instantiate(&mut drawer.egraph, &rule.left, &subst, typed)?;
    rebuild(&mut drawer.egraph);
    Some(Drawn { egraph: drawer.egraph, left, variables })
}

struct Drawer<'a> {
    draws: &'a mut Draws,
    dtype: DType,
    among: Among,
    /// Whether a condition asks for what sums to one.
    sums: bool,
    egraph: Egraph,
    /// Axes that variables stand for, which other draws then prefer.
    sets: Vec<AxisSet>,
}

impl Drawer<'_> {
    fn subset(&mut self) -> AxisSet {
        let bits = self.draws.below(1 << SIZES.len());
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
        if self.draws.below(2) == 0 && !self.sets.is_empty() {
            let i = self.draws.below(self.sets.len());
            axes = axes.union(&self.sets[i].clone());
        }
        let f = self.dtype;
        Some(match self.draws.below(10) {
            0 => self.leaf(f, &axes, Some((0.25, 3.0))),
            1 => self.leaf(f, &axes, Some((-1.0, 1.0))),
            2 => {
                let value = Rational::from_f64(SPECIAL[self.draws.below(6)])?;
                constant(&mut self.egraph, f, value)
            }
            3 if self.among == Among::Inputs => self.leaf(f, &axes, Some(ANY_SIZE)),
            3 => {
                let x = self.leaf(f, &axes, None);
                let y = add(&mut self.egraph, Head::Unary(UnaryOp::Recip), &[x]);
                match self.draws.below(2) {
                    0 => y,
                    _ => add(&mut self.egraph, Head::Unary(UnaryOp::Neg), &[y]),
                }
            }
            4 if self.sums || self.among == Among::Terms => {
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
            Sort::Type => type_leaf(&mut self.egraph, self.dtype),
            Sort::Float => self.float()?,
            Sort::Int => {
                let (axes, last) = (self.subset(), 1.0 + self.draws.below(3) as f64);
                self.leaf(DType::I32, &axes, Some((0.0, last)))
            }
            Sort::Bool => {
                let (axes, f) = (self.subset(), self.dtype);
                let (a, b) = (self.leaf(f, &axes, None), self.leaf(f, &axes, None));
                make(&mut self.egraph, Head::Compare(CompareOp::Lt), &[a, b])?
            }
        })
    }
}
