//! Facts of every row of the tables of elementwise ops hold for values drawn within the facts of the operands.

use crate::axes::AxisSet;
use crate::facts::Facts;
use crate::interval::{binary_facts, unary_facts};
use crate::rational::Rational;
use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{At, BinaryOp, Builder, DType, Op, Shape, TensorType, UnaryOp};
use eggrad_testkit::Rng;

/// Ends of intervals; values are drawn from the part between -9 and 9.
const ENDS: [f64; 12] =
    [f64::NEG_INFINITY, -8.0, -3.0, -1.5, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 7.0, f64::INFINITY];
const VALUES: usize = 8;
const DRAWS: usize = 600;

/// Facts and values for which they hold.
fn operand(rng: &mut Rng) -> Option<(Facts, Vec<f64>)> {
    let (low, high) = (ENDS[rng.below(ENDS.len())], ENDS[rng.below(ENDS.len())]);
    if low > high || low == f64::INFINITY || high == f64::NEG_INFINITY {
        return None;
    }
    let (from, to) = (low.max(-9.0), high.min(9.0));
    let integer = rng.below(3) == 0 && from.ceil() <= to;
    let mut value = |i: usize| match i {
        0 => from,
        1 => to,
        2 => 0f64.clamp(from, to),
        _ => rng.uniform(from, to),
    };
    let values = (0..VALUES).map(|i| {
        let v = value(i);
        if integer { v.round().clamp(from.ceil(), to.floor()) } else { v }
    });
    let values: Vec<f64> = values.collect();
    let facts = Facts {
        constant: if low == high { Rational::from_f64(low) } else { None },
        finite: true,
        nonzero: values.iter().all(|&v| v != 0.0),
        integer: values.iter().all(|v| v.fract() == 0.0),
        ..Facts::unknown(DType::F64, AxisSet::empty()).within(low, high)
    };
    Some((facts, values))
}

/// How `facts` are wrong for `value`.
fn contradicts(facts: &Facts, value: f64) -> bool {
    let slack = 1e-12 * value.abs().max(1e-3);
    if value.is_nan() {
        return facts.finite;
    }
    value < facts.low - slack
        || value > facts.high + slack
        || (facts.finite && value.is_infinite())
        || (facts.nonzero && value == 0.0)
        || (facts.integer && value.fract() != 0.0)
        || facts.constant.is_some_and(|c| (c.to_f64() - value).abs() > slack)
}

fn check(op: Op, facts: &Facts, operands: &[Vec<f64>], given: &[&Facts]) {
    let ty = TensorType::new(DType::F64, [VALUES].into_iter().collect::<Shape>());
    let mut builder = Builder::new();
    let mut tensors = vec![];
    let mut nodes = vec![];
    for (i, values) in operands.iter().enumerate() {
        nodes.push(builder.declare_input(&format!("x{i}"), ty.clone(), None, At::Unknown));
        tensors.push(Tensor::from_values(ty.clone(), values));
    }
    let name = op.name();
    let node = builder.push(op, &nodes, At::Unknown).unwrap();
    builder.output("y", node);
    let run = run(&builder.build().unwrap(), &tensors, &[], Precision::Wide).unwrap();
    for (i, y) in run.outputs[0].to_f64s().into_iter().enumerate() {
        let x: Vec<f64> = operands.iter().map(|values| values[i]).collect();
        assert!(!contradicts(facts, y), "{name} {x:?} is {y}, not {facts:?}\ngiven {given:?}");
    }
}

#[test]
fn facts_of_unary_ops_hold() {
    let mut rng = Rng::new(3);
    for &op in UnaryOp::ALL.iter().filter(|o| **o != UnaryOp::Not) {
        for _ in 0..DRAWS {
            let Some((facts, values)) = operand(&mut rng) else { continue };
            check(Op::Unary(op), &unary_facts(op, &facts), &[values], &[&facts]);
        }
    }
}

#[test]
fn facts_of_binary_ops_hold() {
    let mut rng = Rng::new(4);
    let logical = [BinaryOp::And, BinaryOp::Or];
    for &op in BinaryOp::ALL.iter().filter(|o| !logical.contains(o)) {
        for _ in 0..3 * DRAWS {
            let (Some((a, x)), Some((b, y))) = (operand(&mut rng), operand(&mut rng)) else {
                continue;
            };
            check(Op::Binary(op), &binary_facts(op, &a, &b), &[x, y], &[&a, &b]);
        }
    }
}

#[test]
fn wrong_facts_would_be_noticed() {
    let any = || Facts::unknown(DType::F64, AxisSet::empty());
    assert!(contradicts(&any().within(0.0, 1.0), 1.5));
    assert!(contradicts(&Facts { finite: true, ..any() }, f64::NAN));
    assert!(contradicts(&Facts { nonzero: true, ..any() }, 0.0));
    assert!(contradicts(&Facts { integer: true, ..any() }, 0.5));
    assert!(!contradicts(&any(), f64::NAN));
}
