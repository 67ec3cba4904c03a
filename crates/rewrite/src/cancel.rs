//! Sums and differences that may lose most of their digits, where a form without that is known.

use crate::build::{facts, strip};
use crate::facts::{Egraph, Facts};
use crate::language::{Head, Term};
use crate::moves::beneath;
use crate::rational::Rational;
use egg::Id;
use eggrad_ir::{BinaryOp, ReduceOp, SoftmaxOp, UnaryOp};

/// Above this the rounding of a logarithm of a sum is larger than the terms that it was made to keep.
const LARGE: f64 = 64.0;

/// Whether the terms `a` and `b`, of which the second is subtracted where `minus` says so, can cancel.
pub(crate) fn terms_cancel(egraph: &Egraph, minus: bool, a: Id, b: Id) -> bool {
    let (left, right) = (signed(egraph, a), signed(egraph, b));
    let mut pairs = left.iter().flat_map(|x| right.iter().map(move |y| (x, y)));
    pairs.any(|(&(x, a), &(y, b))| match (x == y) == minus {
        true => difference_cancels(egraph, a, b) || products(egraph, a, b),
        false => sum_cancels(egraph, a, b) || sum_cancels(egraph, b, a),
    })
}

/// Products of a common factor and of what cancels.
fn products(egraph: &Egraph, a: Id, b: Id) -> bool {
    let factors = |id: Id| {
        let products = nodes(egraph, id, Head::Binary(BinaryOp::Mul));
        products.flat_map(|n| [(n.args[0], n.args[1]), (n.args[1], n.args[0])])
    };
    factors(a).any(|(common, x)| {
        let mut others = factors(b).filter(|f| egraph.find(f.0) == egraph.find(common));
        others.any(|(_, y)| difference_cancels(egraph, x, y))
    })
}

/// A class, and what it is the negative or a negative multiple of; whether it is negative comes first.
fn signed(egraph: &Egraph, id: Id) -> Vec<(bool, Id)> {
    let negative = |id: Id| facts(egraph, id).constant.is_some_and(|c| c.to_f64() < 0.0);
    let mut all = vec![(negative(id), id)];
    all.extend(nodes(egraph, id, Head::Unary(UnaryOp::Neg)).map(|n| (true, n.args[0])));
    for n in nodes(egraph, id, Head::Binary(BinaryOp::Mul)) {
        let [x, y] = n.args[..] else { continue };
        all.extend(negative(x).then_some((true, y)));
        all.extend(negative(y).then_some((true, x)));
    }
    all
}

fn sum_cancels(egraph: &Egraph, a: Id, b: Id) -> bool {
    // A softplus of the negative of the other term.
    let mut operands = nodes(egraph, a, Head::Unary(UnaryOp::Softplus)).map(|n| n.args[0]);
    let mirrored = |x: Id| is_negative(egraph, x, b);
    // Logarithms of both near neighbours of one.
    let near = |x: Id| facts(egraph, x).low < 0.25 && facts(egraph, x).high > -0.25;
    let mut inside = nodes(egraph, a, Head::Unary(UnaryOp::Log1p)).map(|n| n.args[0]);
    let both = |x: Id| {
        let mut others = nodes(egraph, b, Head::Unary(UnaryOp::Log1p)).map(|n| n.args[0]);
        near(x) && others.any(|y| is_negative(egraph, x, y))
    };
    near_bound(egraph, a, b)
        || half_tail(egraph, a, b)
        || operands.any(mirrored)
        || inside.any(both)
        || facts(egraph, b).low < 0.0 && root_of(egraph, a, b)
}

/// Whether a class holds the negative of another one.
fn is_negative(egraph: &Egraph, x: Id, other: Id) -> bool {
    let mut negatives = nodes(egraph, x, Head::Unary(UnaryOp::Neg));
    negatives.any(|n| egraph.find(n.args[0]) == egraph.find(other))
}

/// Terms of the sums and differences in a class, with whether they are subtracted, and the class itself.
fn summands(egraph: &Egraph, id: Id) -> Vec<(bool, Id)> {
    let mut all = vec![(false, egraph.find(id))];
    for n in &egraph[id].nodes {
        let minus = match n.head {
            Head::Binary(BinaryOp::Add) => false,
            Head::Binary(BinaryOp::Sub) => true,
            _ => continue,
        };
        all.push((false, egraph.find(n.args[0])));
        all.push((minus, egraph.find(n.args[1])));
    }
    all
}

/// Whether two sums have a term in common that is the same in every run.
pub(crate) fn common_shift(egraph: &Egraph, a: Id, b: Id) -> bool {
    let (left, right) = (summands(egraph, a), summands(egraph, b));
    let fixed = |id: Id| facts(egraph, id).fixed;
    left.iter().any(|term| fixed(term.1) && right.contains(term))
}

/// Two sums that have a term in common.
fn common_term(egraph: &Egraph, a: Id, b: Id) -> bool {
    let (left, right) = (summands(egraph, a), summands(egraph, b));
    left.len() + right.len() > 2 && left.iter().any(|term| right.contains(term))
}

fn difference_cancels(egraph: &Egraph, a: Id, b: Id) -> bool {
    common_term(egraph, a, b)
        || near_bound(egraph, a, b)
        || near_bound(egraph, b, a)
        || of_one_kind(egraph, a, b)
        || beside_one(egraph, a, b)
        || beside_one(egraph, b, a)
        || logarithms(egraph, a, b)
        || logarithms(egraph, b, a)
        || logarithms_of_sums(egraph, a, b)
        || root_of(egraph, a, b)
        || root_of(egraph, b, a)
        || logits(egraph, a, b)
        || logits(egraph, b, a)
        || moments(egraph, a, b)
        || moments(egraph, b, a)
        || cosh(egraph, a, b)
        || cosh(egraph, b, a)
}

/// Whether a term is an input or a state.
pub(crate) fn is_given(term: &Term) -> bool {
    matches!(term.head, Head::Opaque(_)) && term.args.is_empty()
}

/// Terms of a class and of what it moves. What is given is no function of anything, whatever equals it.
fn all(egraph: &Egraph, id: Id) -> impl Iterator<Item = &Term> {
    let classes = beneath(egraph, strip(egraph, id)).into_iter();
    let classes = classes.filter(move |&id| !egraph[id].nodes.iter().any(is_given));
    classes.flat_map(|id| &egraph[id].nodes)
}

/// Those with this head.
fn nodes(egraph: &Egraph, id: Id, head: Head) -> impl Iterator<Item = &Term> {
    all(egraph, id).filter(move |n| n.head == head)
}

/// Whether a class, or what it moves, holds a term that `is` tells.
pub(crate) fn holds(egraph: &Egraph, id: Id, is: impl Fn(&Term) -> bool) -> bool {
    all(egraph, id).any(is)
}

/// Whether a class holds `op` of something.
fn is(egraph: &Egraph, id: Id, op: UnaryOp) -> bool {
    nodes(egraph, id, Head::Unary(op)).next().is_some()
}

/// Whether it is 1, or -1 where signs are looked at apart.
fn is_one(facts: &Facts) -> bool {
    facts.constant.and_then(Rational::abs) == Some(Rational::ONE)
}

/// Whether a class holds a function that comes arbitrarily near a bound, where digits get lost, or a square or
/// a product with one.
fn saturates(egraph: &Egraph, id: Id) -> bool {
    let curve = |n: &Term| {
        matches!(
            n.head,
            Head::Unary(
                UnaryOp::Exp
                    | UnaryOp::Exp2
                    | UnaryOp::Expm1
                    | UnaryOp::Sin
                    | UnaryOp::Cos
                    | UnaryOp::Sigmoid
                    | UnaryOp::Tanh
                    | UnaryOp::Erf
                    | UnaryOp::Erfc
            ) | Head::Softmax(SoftmaxOp::Softmax)
        )
    };
    let squares = nodes(egraph, id, Head::Unary(UnaryOp::Square));
    let products = nodes(egraph, id, Head::Binary(BinaryOp::Mul));
    let largest = nodes(egraph, id, Head::Reduce(ReduceOp::Max)).map(|n| &n.args[1]);
    let sums = nodes(egraph, id, Head::Reduce(ReduceOp::Sum));
    let of_squares = sums
        .flat_map(|n| nodes(egraph, n.args[1], Head::Unary(UnaryOp::Square)))
        .flat_map(|n| &n.args);
    let mut inside = squares.chain(products).flat_map(|n| &n.args).chain(largest).chain(of_squares);
    holds(egraph, id, curve) || inside.any(|&x| holds(egraph, x, curve))
}

/// A function near its bound, beside a number of that size.
fn near_bound(egraph: &Egraph, curve: Id, other: Id) -> bool {
    let (known, other) = (facts(egraph, curve), facts(egraph, other));
    let bound = if is(egraph, curve, UnaryOp::Erfc) { 2.0 } else { 1.0 };
    other.low >= -bound
        && other.high <= bound
        && other.constant.is_none_or(|c| !c.is_zero())
        && known.constant.is_none()
        && saturates(egraph, curve)
}

/// The logarithm of a tail, beside that of the factor which makes it a probability.
fn half_tail(egraph: &Egraph, tail: Id, other: Id) -> bool {
    let other = facts(egraph, other);
    is(egraph, tail, UnaryOp::LogErfc) && other.low == other.high && other.low < 0.0
}

/// Two squares, two reciprocals and so on.
fn of_one_kind(egraph: &Egraph, a: Id, b: Id) -> bool {
    let kinds = [
        UnaryOp::Square,
        UnaryOp::Recip,
        UnaryOp::Log,
        UnaryOp::Exp,
        UnaryOp::Sqrt,
        UnaryOp::Rsqrt,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Tan,
    ];
    // A quotient beside a reciprocal.
    let quotient = |id: Id| nodes(egraph, id, Head::Binary(BinaryOp::Div)).next().is_some();
    kinds.into_iter().any(|op| is(egraph, a, op) && is(egraph, b, op))
        || quotient(a) && is(egraph, b, UnaryOp::Recip)
        || quotient(b) && is(egraph, a, UnaryOp::Recip)
        || [UnaryOp::Expm1, UnaryOp::Sigmoid, UnaryOp::Tanh]
            .into_iter()
            .any(|op| unlike(egraph, op, a, b))
}

/// `op` of two numbers of which neither is the negative of the other.
fn unlike(egraph: &Egraph, op: UnaryOp, a: Id, b: Id) -> bool {
    let operands = |id: Id| nodes(egraph, id, Head::Unary(op)).map(|n| egraph.find(n.args[0]));
    let mirrored =
        |x: Id| operands(b).any(|y| is_negative(egraph, x, y) || is_negative(egraph, y, x));
    is(egraph, a, op) && is(egraph, b, op) && !operands(a).any(mirrored)
}

/// The logarithm of a number, less that of the next one; that of a complement beside that of a probability.
fn logarithms(egraph: &Egraph, a: Id, b: Id) -> bool {
    let sigmoid = |x: Id| egraph[x].nodes.iter().any(|n| n.head == Head::Unary(UnaryOp::Sigmoid));
    let mut raised = nodes(egraph, a, Head::Unary(UnaryOp::Log1p)).map(|n| n.args[0]);
    if is(egraph, b, UnaryOp::Softplus) && raised.any(sigmoid) {
        return true;
    }
    let mut next = nodes(egraph, b, Head::Unary(UnaryOp::Log1p)).map(|n| egraph.find(n.args[0]));
    next.any(|x| nodes(egraph, a, Head::Unary(UnaryOp::Log)).any(|n| egraph.find(n.args[0]) == x))
}

/// One, and a root, a reciprocal, a square, a quotient or a product of complements, which can be near one.
fn beside_one(egraph: &Egraph, one: Id, other: Id) -> bool {
    let changes = |id: Id| facts(egraph, id).constant.is_none();
    let part = || {
        let mut quotients = nodes(egraph, other, Head::Binary(BinaryOp::Div));
        quotients.any(|n| n.args.iter().all(|&a| changes(a)))
    };
    let complements = || {
        let complement = |id: Id| {
            let mut differences = nodes(egraph, id, Head::Binary(BinaryOp::Sub));
            differences.any(|n| is_one(facts(egraph, n.args[0])))
        };
        let mut products = nodes(egraph, other, Head::Binary(BinaryOp::Mul));
        products.any(|n| n.args.iter().any(|&a| complement(a)))
    };
    let kinds = [UnaryOp::Sqrt, UnaryOp::Recip, UnaryOp::Square];
    is_one(facts(egraph, one))
        && (kinds.into_iter().any(|op| is(egraph, other, op)) || part() || complements())
}

/// Logarithms of sums of exponentials, less each other, their largest term or any other number.
fn logarithms_of_sums(egraph: &Egraph, a: Id, b: Id) -> bool {
    let large = |id: Id| facts(egraph, id).high > LARGE;
    let row =
        |id: Id| large(id) && nodes(egraph, id, Head::Reduce(ReduceOp::LogSumExp)).next().is_some();
    let pair =
        |id: Id| large(id) && nodes(egraph, id, Head::Binary(BinaryOp::LogAddExp)).next().is_some();
    let most = |id: Id| nodes(egraph, id, Head::Reduce(ReduceOp::Max)).next().is_some();
    // The terms themselves are as large.
    let own = || {
        let terms = beneath(egraph, a);
        let mut sums = nodes(egraph, b, Head::Reduce(ReduceOp::LogSumExp));
        sums.any(|n| terms.contains(&egraph.find(n.args[1])))
    };
    // What is given may as well be taken away from the terms.
    let shift = |id: Id| {
        let known = facts(egraph, id);
        let large = known.high > LARGE || known.low < -LARGE;
        large && !known.fixed && egraph[id].nodes.iter().any(is_given)
    };
    (row(a) && (row(b) || most(b) || shift(b)))
        || (row(b) && (most(a) || shift(a) || own()))
        || pair(a)
        || pair(b)
}

/// The root of the square of `other` and something else, less `other`.
fn root_of(egraph: &Egraph, root: Id, other: Id) -> bool {
    let mut same = vec![egraph.find(other)];
    same.extend(nodes(egraph, other, Head::Unary(UnaryOp::Abs)).map(|n| egraph.find(n.args[0])));
    let squared = |id: Id| {
        let mut squares = nodes(egraph, id, Head::Unary(UnaryOp::Square));
        squares.any(|n| same.contains(&egraph.find(n.args[0])))
    };
    nodes(egraph, root, Head::Unary(UnaryOp::Sqrt)).any(|n| {
        let sums =
            [BinaryOp::Add, BinaryOp::Sub].map(|op| nodes(egraph, n.args[0], Head::Binary(op)));
        sums.into_iter().flatten().flat_map(|sum| &sum.args).any(|&a| squared(a))
    })
}

/// A probability or its logarithm's complement, less what a label takes away from it.
fn logits(egraph: &Egraph, a: Id, b: Id) -> bool {
    let label = facts(egraph, b);
    let product = |x: Id| {
        let mut factors = nodes(egraph, b, Head::Binary(BinaryOp::Mul)).flat_map(|n| &n.args);
        factors.any(|&f| egraph.find(f) == x)
    };
    let mut operands = nodes(egraph, a, Head::Unary(UnaryOp::Softplus)).map(|n| n.args[0]);
    (is(egraph, a, UnaryOp::Sigmoid) && !label.fixed)
        || operands.any(|x| product(egraph.find(x)) || egraph.find(x) == egraph.find(b))
}

/// Exponentials of a number and its negative, or half of these, less what they are at 0.
fn cosh(egraph: &Egraph, sum: Id, least: Id) -> bool {
    let exponentials = |id: Id| {
        let mut sums = nodes(egraph, id, Head::Binary(BinaryOp::Add));
        sums.any(|n| n.args.iter().all(|&a| is(egraph, a, UnaryOp::Exp)))
    };
    let mut parts = nodes(egraph, sum, Head::Binary(BinaryOp::Mul)).flat_map(|n| n.args.iter());
    facts(egraph, least).constant.is_some_and(|c| !c.is_zero())
        && (exponentials(sum) || parts.any(|&x| exponentials(x)))
}

/// A mean or sum of products, less a product of means.
fn moments(egraph: &Egraph, a: Id, b: Id) -> bool {
    let sum = |id: Id| nodes(egraph, id, Head::Reduce(ReduceOp::Sum)).next().is_some();
    let number = |id: Id| facts(egraph, id).constant.is_some();
    let products = |id: Id| nodes(egraph, id, Head::Binary(BinaryOp::Mul));
    let mean = |id: Id| {
        nodes(egraph, id, Head::Binary(BinaryOp::Div)).any(|n| sum(n.args[0]))
            || products(id)
                .any(|n| n.args.iter().any(|&x| number(x)) && n.args.iter().any(|&x| sum(x)))
    };
    let square = |id: Id, of: &dyn Fn(Id) -> bool| {
        nodes(egraph, id, Head::Unary(UnaryOp::Square)).any(|n| of(n.args[0]))
    };
    let means = products(b)
        .any(|n| n.args.iter().any(|&x| mean(x)) && n.args.iter().all(|&x| mean(x) || sum(x)));
    let both = |id: Id| products(id).any(|n| n.args.iter().all(|&x| sum(x)));
    let share = products(b).any(|n| {
        n.args.iter().any(|&x| number(x)) && n.args.iter().any(|&x| square(x, &sum) || both(x))
    });
    (mean(a) || sum(a)) && (square(b, &mean) || means || share)
}

/// Whether a class is a sum of some probabilities of a softmax, all of which may be too small.
pub(crate) fn part_of_softmax(egraph: &Egraph, id: Id) -> bool {
    let softmax = |n: &Term| n.head == Head::Softmax(SoftmaxOp::Softmax);
    nodes(egraph, id, Head::Reduce(ReduceOp::Sum)).any(|sum| {
        let parts = [Head::Binary(BinaryOp::Mul), Head::Select];
        let mut terms = all(egraph, sum.args[1]).filter(|n| parts.contains(&n.head));
        terms.any(|n| n.args.iter().any(|&a| holds(egraph, a, softmax)))
    })
}

/// Whether a class is a probability, of which the logarithm is known without it.
pub(crate) fn probability(egraph: &Egraph, id: Id) -> bool {
    let curves = [Head::Unary(UnaryOp::Sigmoid), Head::Softmax(SoftmaxOp::Softmax)];
    holds(egraph, id, |n| curves.contains(&n.head))
}
