//! What can go wrong in floating point, seen from intervals.

use crate::build::facts;
use crate::cancel::{common_shift, is_given, part_of_softmax, probability, terms_cancel};
use crate::facts::{Egraph, Facts};
use crate::language::{Head, Term};
use crate::moves::beneath;
use egg::Id;
use eggrad_ir::{BinaryOp, DType, Op, ReduceOp, UnaryOp};

/// How bad it is, added up over the nodes of a graph: an infinity or NaN weighs more than lost digits.
pub(crate) type Weight = u32;

const NOT_FINITE: Weight = 4;
const CANCELLATION: Weight = 1;

/// The largest operand whose `exp` is sure to be finite.
fn exp_limit(dtype: DType) -> f64 {
    if dtype == DType::F64 { 709.0 } else { 88.0 }
}

/// The largest operand whose `exp2` is sure to be finite.
fn exp2_limit(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1023.0 } else { 127.0 }
}

/// The largest number of a type.
pub(crate) fn largest(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::MAX } else { f64::from(f32::MAX) }
}

/// What is below counts as 0.
fn smallest(dtype: DType) -> f64 {
    if dtype == DType::F64 { 0.0 } else { 1e-45 }
}

/// What counts as 0 in a class: of what was converted, what did before.
fn least(egraph: &Egraph, id: Id) -> f64 {
    let casts = egraph[id].nodes.iter().filter(|n| n.head == Head::Cast);
    let before = casts.map(|n| smallest(facts(egraph, n.args[1]).dtype));
    before.fold(smallest(facts(egraph, id).dtype), f64::max)
}

/// `least` is what counts as 0.
fn unary_danger(op: UnaryOp, x: &Facts, least: f64) -> Option<(Weight, &'static str)> {
    let reason = match op {
        UnaryOp::Exp | UnaryOp::Expm1 => {
            (x.high > exp_limit(x.dtype)).then_some("the operand has no upper bound")
        }
        UnaryOp::Exp2 => (x.high > exp2_limit(x.dtype)).then_some("the operand has no upper bound"),
        UnaryOp::Log | UnaryOp::Log2 => (x.low <= least).then_some("the operand can reach 0"),
        UnaryOp::Log1p => (x.low <= -1.0).then_some("the operand can reach -1"),
        UnaryOp::Log1mexp => (x.high >= 0.0).then_some("the operand can reach 0"),
        UnaryOp::Rsqrt => (x.low <= 0.0).then_some("the operand can reach 0"),
        UnaryOp::Recip => (x.low <= 0.0 && x.high >= 0.0).then_some("the operand can be 0"),
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Square
        | UnaryOp::Sqrt
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Tan
        | UnaryOp::Erf
        | UnaryOp::Erfc
        | UnaryOp::LogErfc
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid
        | UnaryOp::Softplus
        | UnaryOp::Relu
        | UnaryOp::Not => None,
    };
    reason.map(|r| (NOT_FINITE, r))
}

/// As products, powers to a known exponent may overflow.
fn pow_danger(a: &Facts, b: &Facts, result: &Facts) -> Option<(Weight, &'static str)> {
    let reason = if a.low < 0.0 && !b.integer {
        Some("the base can be negative and the exponent a fraction")
    } else if a.low <= 0.0 && a.high >= 0.0 && b.low < 0.0 {
        Some("the base can be 0 and the exponent negative")
    } else {
        let open = b.constant.is_none() && result.high == f64::INFINITY;
        open.then_some("the power has no upper bound")
    };
    reason.map(|r| (NOT_FINITE, r))
}

/// Sums and products in which exponentials are looked for.
const DEPTH: usize = 3;

/// Whether a class holds an exponential that can overflow, or sums and products with one.
fn explodes(egraph: &Egraph, id: Id, depth: usize) -> bool {
    if egraph[id].nodes.iter().any(is_given) {
        return false;
    }
    egraph[id].nodes.iter().any(|n| match n.head {
        Head::Unary(UnaryOp::Exp | UnaryOp::Expm1) => {
            let x = facts(egraph, n.args[0]);
            x.high > exp_limit(x.dtype)
        }
        Head::Unary(UnaryOp::Neg | UnaryOp::Square)
        | Head::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul) => {
            depth > 0 && n.args.iter().any(|&a| explodes(egraph, a, depth - 1))
        }
        _ => false,
    })
}

/// Whether no term of a sum, or of a difference, has another sign than the other one.
fn alike(op: BinaryOp, a: &Facts, b: &Facts) -> bool {
    let (low, high) = if op == BinaryOp::Sub { (-b.high, -b.low) } else { (b.low, b.high) };
    (a.low >= 0.0 && low >= 0.0) || (a.high <= 0.0 && high <= 0.0)
}

/// A class, and those it is the negative of.
fn classes_of(egraph: &Egraph, id: Id) -> impl Iterator<Item = Id> {
    let negatives = egraph[id].nodes.iter().filter(|n| n.head == Head::Unary(UnaryOp::Neg));
    negatives.map(|n| egraph.find(n.args[0])).chain([id])
}

fn binary_danger(
    egraph: &Egraph,
    op: BinaryOp,
    (a, b): (Id, Id),
    class: Id,
) -> Option<(Weight, &'static str)> {
    let result = facts(egraph, class);
    match op {
        BinaryOp::Div | BinaryOp::Mod => {
            let known = facts(egraph, b);
            let zero = known.low <= 0.0 && known.high >= 0.0;
            // Infinity over infinity.
            let both = explodes(egraph, a, DEPTH) && explodes(egraph, b, DEPTH);
            let weight = NOT_FINITE * (Weight::from(zero) + Weight::from(both));
            match (zero, both) {
                (false, false) => None,
                (true, _) => Some((weight, "the divisor can be 0")),
                (false, true) => Some((weight, "both operands have no upper bound")),
            }
        }
        BinaryOp::Add | BinaryOp::Sub => {
            // What is known of the result from another form says nothing of how this one rounds.
            let (x, y) = (facts(egraph, a), facts(egraph, b));
            let (low, high) = match op {
                BinaryOp::Sub => (x.low - y.high, x.high - y.low),
                _ => (x.low + y.low, x.high + y.high),
            };
            let cancel = result.dtype.is_float()
                && low <= 0.0
                && high >= 0.0
                && !alike(op, x, y)
                && terms_cancel(egraph, op == BinaryOp::Sub, a, b);
            // What overflows in the stable form does so here.
            let stable = Head::Unary(UnaryOp::Expm1);
            let overflow = cancel
                && classes_of(egraph, class).flat_map(|id| &egraph[id].nodes).any(|n| {
                    n.head == stable && facts(egraph, n.args[0]).high > exp_limit(result.dtype)
                });
            let weight = CANCELLATION + if overflow { NOT_FINITE } else { 0 };
            cancel.then_some((weight, "the terms can cancel"))
        }
        BinaryOp::Pow => pow_danger(facts(egraph, a), facts(egraph, b), result),
        BinaryOp::Xlogy => {
            let same = |id: Id| egraph.find(id) == egraph.find(a);
            let quotient = |n: &Term| n.head == Head::Binary(BinaryOp::Div) && same(n.args[0]);
            let low = facts(egraph, b).low;
            // 0 · log 0 is 0, and so is 0 · log(0/y).
            let together = same(b) || egraph[b].nodes.iter().any(quotient);
            let reaches = if together { low < 0.0 } else { low <= 0.0 };
            if reaches {
                return Some((NOT_FINITE, "the second operand can reach 0"));
            }
            probability(egraph, b).then_some((CANCELLATION, "the second operand can be near 1"))
        }
        BinaryOp::LogAddExp => common_shift(egraph, a, b)
            .then_some((CANCELLATION, "the operands have a term in common")),
        BinaryOp::Mul
        | BinaryOp::Atan2
        | BinaryOp::Maximum
        | BinaryOp::Minimum
        | BinaryOp::And
        | BinaryOp::Or => None,
    }
}

/// Whether a sum or square that can be too large for its type is made smaller only afterwards, by a constant or by a
/// logarithm.
pub(crate) fn overflows(egraph: &Egraph, term: &Term) -> bool {
    if term.head == Head::Unary(UnaryOp::Log) {
        let squares = |n: &&Term| n.head == Head::Unary(UnaryOp::Square);
        return egraph[term.args[0]].nodes.iter().filter(squares).any(|n| {
            let known = facts(egraph, n.args[0]);
            known.low.abs().max(known.high.abs()) > largest(known.dtype).sqrt()
        });
    }
    let (sum, by) = match (&term.head, &term.args[..]) {
        (Head::Binary(BinaryOp::Div | BinaryOp::Mul), [a, b]) => {
            match (facts(egraph, *a).constant, facts(egraph, *b).constant) {
                (None, Some(_)) => (*a, *b),
                (Some(_), None) => (*b, *a),
                _ => return false,
            }
        }
        _ => return false,
    };
    // A number between 1/2 and 2 changes nothing.
    let size = facts(egraph, by).low.abs();
    let shrinks = if term.head == Head::Binary(BinaryOp::Div) { size >= 2.0 } else { size <= 0.5 };
    let too_large = |sum: &Term| {
        let [over, x] = sum.args[..] else { return false };
        let (n, known) = (crate::build::axes(egraph, over), facts(egraph, x));
        let most = largest(known.dtype);
        let reach = known.low.abs().max(known.high.abs()).min(most);
        known.dtype.is_float() && reach * n.elements(&egraph.analysis.sizes) > most
    };
    let sums = |n: &&Term| n.head == Head::Reduce(ReduceOp::Sum);
    let mut classes = beneath(egraph, sum).into_iter();
    shrinks && classes.any(|id| egraph[id].nodes.iter().filter(sums).any(too_large))
}

/// Whether a class is a sum or quotient, or a product with one, so that it was rounded where it is near 1.
fn is_rounded(egraph: &Egraph, id: Id) -> bool {
    let among = |id: Id, ops: &[BinaryOp]| -> Vec<&Term> {
        let terms = beneath(egraph, id).into_iter().flat_map(|id| &egraph[id].nodes);
        terms.filter(|n| ops.iter().any(|&op| n.head == Head::Binary(op))).collect()
    };
    let sums = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Div];
    let sum = |id: Id| !among(id, &sums).is_empty();
    sum(id) || among(id, &[BinaryOp::Mul]).iter().any(|n| n.args.iter().any(|&a| sum(a)))
}

/// Whether a class is the negative of a square.
fn negative_square(egraph: &Egraph, id: Id) -> bool {
    let square = |n: &Term| n.head == Head::Unary(UnaryOp::Square);
    let negatives = egraph[id].nodes.iter().filter(|n| n.head == Head::Unary(UnaryOp::Neg));
    negatives.flat_map(|n| &egraph[n.args[0]].nodes).any(square)
}

/// The danger of computing the value of `class` by `term`.
pub(crate) fn danger(egraph: &Egraph, term: &Term, class: Id) -> Option<(Weight, &'static str)> {
    match &term.head {
        Head::Unary(op) => {
            let x = term.args[0];
            let found = unary_danger(*op, facts(egraph, x), least(egraph, x));
            let near_one = || {
                let known = facts(egraph, x);
                *op == UnaryOp::Log
                    && known.low <= 1.0
                    && known.high >= 1.0
                    && is_rounded(egraph, x)
            };
            let loses = || match op {
                UnaryOp::Log => part_of_softmax(egraph, x),
                UnaryOp::Log1p => facts(egraph, x).low <= -1.0 && negative_square(egraph, x),
                _ => false,
            };
            match found {
                Some((weight, reason)) => {
                    Some((weight + if near_one() || loses() { CANCELLATION } else { 0 }, reason))
                }
                None => near_one().then_some((CANCELLATION, "the operand can be near 1")),
            }
        }
        Head::Binary(op) => binary_danger(egraph, *op, (term.args[0], term.args[1]), class),
        Head::Opaque(number) => {
            let op = &egraph.analysis.opaque[*number as usize].op;
            if let Op::Unary(op) = op {
                return unary_danger(*op, facts(egraph, term.args[0]), least(egraph, term.args[0]));
            }
            let Op::Binary(op) = op else { return None };
            binary_danger(egraph, *op, (term.args[0], term.args[1]), class)
        }
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
        | Head::Compare(_)
        | Head::Select
        | Head::Cast
        | Head::Mark(_)
        | Head::Reduce(_)
        | Head::Softmax(_)
        | Head::CrossEntropy(_)
        | Head::Dot
        | Head::Expand
        | Head::Rename
        | Head::OneHot
        | Head::Gather
        | Head::ScatterAdd
        | Head::Iota
        | Head::Size => None,
    }
}
