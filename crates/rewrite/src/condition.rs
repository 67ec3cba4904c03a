//! Conditions of rules: facts about what a variable matched.

use crate::axes::AxisSet;
use crate::build::axes;
use crate::facts::{Data, Egraph, Facts};
use crate::pattern::variable;
use crate::sorts::Place::{self, AxesOf, Just, Tensor};
use crate::sorts::Sort;
use egg::{Subst, Var};

macro_rules! conditions {
    ($($(#[$doc:meta])* $Name:ident = $text:literal, $takes:expr;)*) => {
        /// What a condition asks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Asks { $($(#[$doc])* $Name,)* }

        impl Asks {
            fn from_name(name: &str) -> Option<Asks> {
                match name { $($text => Some(Asks::$Name),)* _ => None }
            }

            /// Name in rule files.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Asks::$Name => $text,)* }
            }

            /// What it asks about, place by place.
            pub(crate) fn takes(self) -> &'static [Place] {
                match self { $(Asks::$Name => &$takes,)* }
            }
        }
    };
}

conditions! {
    /// No axis is in both; a tensor stands for its axes, here and below.
    Disjoint = "disjoint", [AxesOf, AxesOf];
    /// Every axis of the first is in the second.
    Subset = "subset", [AxesOf, AxesOf];
    /// Both have the same axes.
    SameAxes = "same_axes", [AxesOf, AxesOf];
    /// The first has fewer axes than the second, and no other ones.
    Smaller = "smaller", [AxesOf, AxesOf];
    /// Over the first, which both tensors have, the product is a contraction: one has an axis the other has not.
    Contracts = "contracts", [AxesOf, AxesOf, AxesOf];
    /// No element is 0.
    NonZero = "nonzero", [Tensor];
    /// No element is so near 0 that its reciprocal overflows in any float type.
    Moderate = "moderate", [Tensor];
    /// Every element is above 0.
    Positive = "positive", [Tensor];
    /// No element is below 0.
    NonNegative = "nonnegative", [Tensor];
    /// Elements may be far above 0.
    Wide = "wide", [Tensor];
    /// Elements may be near 0.
    Small = "small", [Tensor];
    /// Elements may be as large as 1, of any sign.
    Unit = "unit", [Tensor];
    /// Made of frozen states and constants alone.
    Fixed = "fixed", [Tensor];
    /// Fixed, and not of constants alone.
    Frozen = "frozen", [Tensor];
    /// Not fixed: different from run to run.
    Changes = "changes", [Tensor];
    /// Every element is an integer.
    Integer = "integer", [Tensor];
    /// Every element is a real number.
    Finite = "finite", [Tensor];
    /// Every element is the same known number.
    Constant = "constant", [Tensor];
    /// One known number, without axes.
    Number = "number", [Tensor];
    /// The first is a known number, one over how many elements there are along the second.
    Shares = "shares", [Tensor, AxesOf];
    /// The second is not negative and sums to one over the first.
    Simplex = "simplex", [AxesOf, Tensor];
    /// The first, integers, are positions along the second, one axis.
    InRange = "in_range", [Just(Sort::Int), AxesOf];
}

/// A condition on variables.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) asks: Asks,
    pub(crate) args: Vec<Var>,
}

impl Condition {
    /// Reads `name(?a, ?b)`.
    pub(crate) fn parse(text: &str) -> Result<Condition, String> {
        let (name, rest) =
            text.split_once('(').ok_or(format!("has a condition `{text}` without operands"))?;
        let inside = rest.strip_suffix(')').ok_or(format!("has an open condition `{text}`"))?;
        let asks = Asks::from_name(name).ok_or(format!("knows no condition `{name}`"))?;
        let args: Vec<Var> =
            inside.split(',').map(|a| variable(a.trim())).collect::<Result<_, _>>()?;
        let arity = asks.takes().len();
        if args.len() != arity {
            return Err(format!("gives `{name}` {} operands instead of {arity}", args.len()));
        }
        Ok(Condition { asks, args })
    }

    /// Whether it holds for a match.
    pub(crate) fn holds(&self, egraph: &Egraph, subst: &Subst) -> bool {
        let set = |i: usize| -> AxisSet { axes(egraph, subst[self.args[i]]) };
        let tensor = |i: usize| -> Option<&Facts> {
            match &egraph[subst[self.args[i]]].data {
                Data::Tensor(facts) => Some(facts),
                Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => None,
            }
        };
        let fact = |f: fn(&Facts) -> bool| tensor(0).is_some_and(f);
        match self.asks {
            Asks::Disjoint => set(0).disjoint(&set(1)),
            Asks::Subset => set(0).subset(&set(1)),
            Asks::SameAxes => set(0) == set(1),
            Asks::Smaller => set(0) != set(1) && set(0).subset(&set(1)),
            Asks::Contracts => {
                let (over, a, b) = (set(0), set(1), set(2));
                over.subset(&a) && over.subset(&b) && a != b
            }
            Asks::NonZero => fact(Facts::is_nonzero),
            Asks::Moderate => fact(|f| f.low >= 1e-30 || f.high <= -1e-30),
            Asks::Positive => fact(Facts::positive),
            Asks::NonNegative => fact(Facts::nonnegative),
            Asks::Wide => fact(|f| f.high > 64.0),
            Asks::Small => fact(|f| f.low < 0.25 && f.high > -0.25),
            Asks::Unit => fact(|f| f.low <= -1.0 || f.high >= 1.0),
            Asks::Fixed => fact(|f| f.fixed),
            Asks::Frozen => fact(|f| f.frozen),
            Asks::Changes => fact(|f| !f.fixed),
            Asks::Integer => fact(|f| f.integer),
            Asks::Finite => fact(|f| f.finite),
            Asks::Constant => fact(|f| f.constant.is_some()),
            Asks::Number => fact(|f| f.constant.is_some() && f.axes.is_empty()),
            Asks::Shares => {
                let count = set(1).elements(&egraph.analysis.sizes);
                let share = tensor(0).and_then(|f| f.constant).map(|c| c.to_f64() * count);
                share.is_some_and(|s| (s - 1.0).abs() < 1e-6)
            }
            Asks::Simplex => {
                let over = set(0);
                tensor(1).is_some_and(|f| f.simplex.as_ref() == Some(&over))
            }
            Asks::InRange => {
                let v = set(1);
                let last = v.elements(&egraph.analysis.sizes) - 1.0;
                v.len() == 1 && tensor(0).is_some_and(|f| f.low >= 0.0 && f.high <= last)
            }
        }
    }
}
