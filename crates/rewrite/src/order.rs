//! Normal forms do not depend on the order in which something was written, and unite nothing that differs.

use crate::build::{add, constant, elementwise};
use crate::facts::{Context, Egraph, rebuild};
use crate::language::{Head, Opaque};
use crate::normal::{Forms, Written, unite};
use crate::rational::Rational;
use egg::Id;
use eggrad_ir::{BinaryOp, DType, Op, UnaryOp};
use eggrad_testkit::Rng;
use std::collections::HashMap;

/// The largest prime below 2^61.
const PRIME: u128 = (1 << 61) - 1;

fn egraph() -> Egraph {
    Egraph::new(Context { sizes: vec![2, 3], ..Context::default() })
}

/// Leaf number `i`, finite and not 0, over one of a few sets of axes.
fn leaf(egraph: &mut Egraph, i: usize) -> Id {
    while egraph.analysis.opaque.len() <= i {
        let number = egraph.analysis.opaque.len();
        let axes = [vec![0, 1], vec![0], vec![1], vec![]][number % 4].clone();
        let opaque = Opaque { op: Op::Input(number), args: vec![], out: axes, dtype: DType::F32 };
        egraph.analysis.opaque.push(opaque);
        egraph.analysis.ranges.insert(number as u32, (0.5, 2.0));
    }
    add(egraph, Head::Opaque(i as u32), &[])
}

fn binary(egraph: &mut Egraph, op: BinaryOp, a: Id, b: Id) -> Id {
    elementwise(egraph, Head::Binary(op), &[a, b])
}

fn unary(egraph: &mut Egraph, op: UnaryOp, a: Id) -> Id {
    elementwise(egraph, Head::Unary(op), &[a])
}

/// Joins `parts`, each with whether it is taken away, in a random order and nesting.
fn join(
    egraph: &mut Egraph,
    rng: &mut Rng,
    mut parts: Vec<(Id, bool)>,
    [plus, minus]: [BinaryOp; 2],
    invert: UnaryOp,
) -> Id {
    while parts.len() > 1 {
        let (a, b) = (rng.below(parts.len()), rng.below(parts.len() - 1));
        let (x, x_inverse) = parts.swap_remove(a);
        let (y, y_inverse) = parts.swap_remove(b.min(parts.len() - 1));
        parts.push(match (x_inverse, y_inverse) {
            (false, false) => (binary(egraph, plus, x, y), false),
            (false, true) => (binary(egraph, minus, x, y), false),
            (true, false) if rng.below(2) == 0 => (binary(egraph, minus, y, x), false),
            (true, false) => (binary(egraph, minus, x, y), true),
            (true, true) => (binary(egraph, plus, x, y), true),
        });
    }
    match parts[0] {
        (x, false) => x,
        (x, true) => unary(egraph, invert, x),
    }
}

/// Passes until nothing is united.
fn settle(egraph: &mut Egraph) {
    let mut written = Written::new();
    for _ in 0..12 {
        rebuild(egraph);
        let forms = Forms::of(egraph);
        if unite(egraph, &forms, &mut written) == 0 {
            break;
        }
    }
    rebuild(egraph);
}

#[test]
fn sums_and_products_in_any_order_are_one() {
    const SUM: ([BinaryOp; 2], UnaryOp) = ([BinaryOp::Add, BinaryOp::Sub], UnaryOp::Neg);
    const PRODUCT: ([BinaryOp; 2], UnaryOp) = ([BinaryOp::Mul, BinaryOp::Div], UnaryOp::Recip);
    let mut rng = Rng::new(3);
    for round in 0..300 {
        let (ops, invert) = if round % 2 == 0 { SUM } else { PRODUCT };
        let mut egraph = egraph();
        let count = 2 + rng.below(5);
        let signs: Vec<bool> = (0..count).map(|_| rng.below(2) == 0).collect();
        let mut copies = vec![];
        for _ in 0..4 {
            let mut parts: Vec<(Id, bool)> =
                signs.iter().enumerate().map(|(i, &sign)| (leaf(&mut egraph, i), sign)).collect();
            for i in (1..parts.len()).rev() {
                parts.swap(i, rng.below(i + 1));
            }
            copies.push(join(&mut egraph, &mut rng, parts, ops, invert));
        }
        settle(&mut egraph);
        let first = egraph.find(copies[0]);
        assert!(copies.iter().all(|&c| egraph.find(c) == first), "round {round}: {signs:?}");
    }
}

/// `b^e` modulo [`PRIME`].
fn power(mut b: u128, mut e: u128) -> u128 {
    let mut result = 1;
    while e > 0 {
        if e & 1 == 1 {
            result = result * b % PRIME;
        }
        b = b * b % PRIME;
        e >>= 1;
    }
    result
}

/// A random expression over leaves and small constants.
fn expression(egraph: &mut Egraph, rng: &mut Rng, depth: usize) -> Id {
    if depth == 0 || rng.below(5) == 0 {
        return match rng.below(4) {
            0 => {
                let value = Rational::new(1 + rng.below(3) as i128, 1 + rng.below(2) as i128);
                constant(egraph, DType::F32, value.unwrap_or(Rational::ONE))
            }
            _ => {
                let i = rng.below(4);
                leaf(egraph, i)
            }
        };
    }
    let a = expression(egraph, rng, depth - 1);
    match rng.below(9) {
        0 => unary(egraph, UnaryOp::Neg, a),
        1 => unary(egraph, UnaryOp::Square, a),
        2 => unary(egraph, UnaryOp::Recip, a),
        op => {
            let b = expression(egraph, rng, depth - 1);
            let ops = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div];
            binary(egraph, ops[op % 4], a, b)
        }
    }
}

/// Every term of every class has the value of its class, modulo a prime, for random leaves; `None` where a divisor is
/// 0 by chance or by construction.
fn values_agree(egraph: &Egraph, rng: &mut Rng) -> Option<()> {
    let leaves: Vec<u128> =
        egraph.analysis.opaque.iter().map(|_| u128::from(rng.bits()) % (PRIME - 1) + 1).collect();
    let residue = |r: Rational| {
        // Constants here are small fractions.
        let value = r.to_f64() * 720_720.0 * 720_720.0;
        let scaled = value.round() as i128;
        let scaled = scaled.rem_euclid(PRIME as i128) as u128;
        scaled * power(720_720 * 720_720 % PRIME, PRIME - 2) % PRIME
    };
    let mut values: HashMap<Id, u128> = HashMap::new();
    let mut waiting = true;
    let mut rounds = 0;
    while waiting && rounds < 60 {
        (waiting, rounds) = (false, rounds + 1);
        for class in egraph.classes() {
            for term in &class.nodes {
                let get = |i: usize| values.get(&egraph.find(term.args[i])).copied();
                let value = match &term.head {
                    Head::Opaque(i) => Some(leaves[*i as usize]),
                    Head::Const(_, r) if r.to_f64().abs() > 1e6 => return None,
                    Head::Const(_, r) => Some(residue(*r)),
                    Head::Expand => get(1),
                    Head::Unary(UnaryOp::Neg) => get(0).map(|a| (PRIME - a) % PRIME),
                    Head::Unary(UnaryOp::Square) => get(0).map(|a| a * a % PRIME),
                    Head::Unary(UnaryOp::Recip) => match get(0) {
                        Some(0) => return None,
                        a => a.map(|a| power(a, PRIME - 2)),
                    },
                    Head::Binary(op) => match (get(0), get(1)) {
                        (Some(_), Some(0)) if *op == BinaryOp::Div => return None,
                        (Some(a), Some(b)) => Some(match op {
                            BinaryOp::Add => (a + b) % PRIME,
                            BinaryOp::Sub => (a + PRIME - b) % PRIME,
                            BinaryOp::Mul => a * b % PRIME,
                            _ => a * power(b, PRIME - 2) % PRIME,
                        }),
                        _ => None,
                    },
                    _ => continue,
                };
                let Some(value) = value else {
                    waiting = true;
                    continue;
                };
                let known = *values.entry(class.id).or_insert(value);
                assert_eq!(known, value, "a term of {:?} differs: {term:?}", class.nodes);
            }
        }
    }
    Some(())
}

#[test]
fn nothing_that_differs_is_united() {
    let mut rng = Rng::new(5);
    let mut checked = 0;
    for _ in 0..600 {
        let mut egraph = egraph();
        for _ in 0..3 {
            expression(&mut egraph, &mut rng, 4);
        }
        settle(&mut egraph);
        assert_eq!(egraph.analysis.conflict, None);
        checked += usize::from(values_agree(&egraph, &mut rng).is_some());
    }
    assert!(checked > 100, "only {checked} without a division by 0");
}
