//! The two worked examples of backpropagation by hand of a classic course, every intermediate value.

use crate::run::{Value, outputs};
use eggrad::prelude::*;

/// Checks every output of the graph that `write` makes, run as written and rewritten, interpreted and compiled.
fn check(write: impl Fn(&Graph), expected: &[(&str, f64)]) {
    for (how, found) in outputs(&write, &[]) {
        for (name, value) in expected {
            let got = found.iter().find(|(n, _)| n == name).map(|(_, v)| v.to_f64s());
            assert_eq!(got, Some(vec![*value]), "{name}, {how}");
        }
        assert_eq!(found.len(), expected.len());
    }
}

/// A parameter of one number.
fn number<'g>(g: &'g Graph, name: &str, value: f64) -> Tensor<'g> {
    g.param(name, Vec::<usize>::new(), Init::Constant(value))
}

#[test]
fn one_unit() {
    let write = |g: &Graph| {
        let (x, y) = (g.constant(-2.0), g.constant(2.0));
        let (w, b) = (number(g, "w", 2.0), number(g, "b", 8.0));
        let c = w * x;
        let a = c + b;
        let d = a - y;
        let j = d.square() / 2.0;
        for (name, value) in [("c", c), ("a", a), ("d", d), ("J", j)] {
            g.output(name, value);
        }
        for (name, value) in [("dd", d), ("da", a), ("dc", c), ("db", b), ("dw", w)] {
            g.output(name, j.grad(value));
        }
    };
    let expected = [
        ("c", -4.0),
        ("a", 4.0),
        ("d", 2.0),
        ("J", 2.0),
        ("dd", 2.0),
        ("da", 2.0),
        ("dc", 2.0),
        ("db", 2.0),
        ("dw", -4.0),
    ];
    check(write, &expected);
}

/// The network of two ReLU units, its first weight being `w1`.
fn two_units(g: &Graph, w1: f64) -> Vec<(&'static str, Tensor<'_>)> {
    let (x, y) = (g.constant(1.0), g.constant(5.0));
    let (w1, b1) = (number(g, "w1", w1), number(g, "b1", 0.0));
    let (w2, b2) = (number(g, "w2", 3.0), number(g, "b2", 1.0));
    let t1 = w1 * x;
    let z1 = t1 + b1;
    let a1 = z1.relu();
    let t2 = w2 * a1;
    let z2 = t2 + b2;
    let a2 = z2.relu();
    let j = (a2 - y).square() / 2.0;
    vec![
        ("t1", t1),
        ("z1", z1),
        ("a1", a1),
        ("t2", t2),
        ("z2", z2),
        ("a2", a2),
        ("w1", w1),
        ("b1", b1),
        ("w2", w2),
        ("b2", b2),
        ("J", j),
    ]
}

#[test]
fn two_units_in_a_row() {
    let write = |g: &Graph| {
        let nodes = two_units(g, 2.0);
        let j = nodes[nodes.len() - 1].1;
        for &(name, value) in &nodes {
            if !["w1", "b1", "w2", "b2"].contains(&name) {
                g.output(name, value);
            }
            if name != "J" {
                g.output(&format!("d{name}"), j.grad(value));
            }
        }
    };
    let expected = [
        ("t1", 2.0),
        ("z1", 2.0),
        ("a1", 2.0),
        ("t2", 6.0),
        ("z2", 7.0),
        ("a2", 7.0),
        ("J", 2.0),
        ("da2", 2.0),
        ("dz2", 2.0),
        ("db2", 2.0),
        ("dt2", 2.0),
        ("dw2", 4.0),
        ("da1", 6.0),
        ("dz1", 6.0),
        ("db1", 6.0),
        ("dt1", 6.0),
        ("dw1", 6.0),
    ];
    check(write, &expected);
}

#[test]
fn a_bumped_weight_moves_the_loss_as_its_gradient_says() {
    let write = |g: &Graph| {
        for (name, value) in two_units(g, 2.001) {
            if ["a1", "a2", "J"].contains(&name) {
                g.output(name, value);
            }
        }
    };
    let expected = [("a1", 2.001), ("a2", 7.003), ("J", 2.0060045)];
    for (how, found) in outputs(&write, &[]) {
        for ((name, value), (expected_name, expected)) in found.iter().zip(&expected) {
            assert_eq!(name, expected_name);
            let value: &Value = value;
            assert!((value.to_f64s()[0] - expected).abs() < 1e-12, "{name}, {how}");
        }
    }
}
