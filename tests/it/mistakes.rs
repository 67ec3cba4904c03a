//! One mistake in an otherwise valid model: always an error that names the place, never a panic.

use eggrad::ir::{DType, StateKind, TensorType};
use eggrad::nn::{Padding, Sliding};
use eggrad::prelude::*;
use eggrad_testkit::Rng;
use proptest::prelude::*;

/// Makes one mistake in `g`, whose tensor `x` has the shape `[n, k]`; sizes are drawn.
type Mistake = for<'g> fn(&'g Graph, x: Tensor<'g>, n: usize, k: usize, rng: &mut Rng);

/// Integer labels of `[n]`, below 5.
fn labels<'g>(g: &'g Graph, n: usize) -> Tensor<'g> {
    g.labels("the_labels", [n], 5)
}

/// A number that is none of `taken`.
fn other(rng: &mut Rng, taken: &[usize]) -> usize {
    loop {
        let n = 2 + rng.below(20);
        if !taken.contains(&n) {
            return n;
        }
    }
}

const MISTAKES: &[(&str, Mistake)] = &[
    ("shapes that do not broadcast", |g, x, _, k, rng| {
        let _ = x + g.input("b", [other(rng, &[k])]);
    }),
    ("inner sizes", |g, x, _, k, rng| {
        x.matmul(g.param("w", [other(rng, &[k]), 3], Init::Zeros));
    }),
    ("a product with a number", |g, x, _, _, _| {
        x.matmul(g.constant(2.0));
    }),
    ("another number of elements", |_, x, n, k, rng| {
        x.reshape([n * k + 1 + rng.below(9)]);
    }),
    ("an axis there is not", |_, x, _, _, rng| {
        x.sum(2 + rng.below(5));
    }),
    ("an axis far back", |_, x, _, _, _| {
        x.logsumexp(-3);
    }),
    ("an axis twice", |_, x, _, _, _| {
        x.max([1, -1]);
    }),
    ("rows along no axis", |_, x, _, _, _| {
        x.softmax(7);
    }),
    ("a vector turned over", |_, x, _, _, _| {
        x.sum(0).transpose();
    }),
    ("an order of axes with one missing", |_, x, _, _, _| {
        x.permute([0, 0]);
    }),
    ("an order of too few axes", |_, x, _, _, _| {
        x.permute([0]);
    }),
    ("float indices", |_, x, _, _, _| {
        x.gather(x);
    }),
    ("fewer classes than labels", |g, _, n, _, _| {
        labels(g, n).one_hot(4);
    }),
    ("labels beyond the table", |g, x, n, k, _| {
        x.slice(1, 0..k.min(2)).pick(labels(g, n));
    }),
    ("a choice by a number", |_, x, _, _, _| {
        x.select(x, 0.0);
    }),
    ("logic on numbers", |_, x, _, _, _| {
        x.and(x);
    }),
    ("a function of integers", |g, _, n, _, _| {
        labels(g, n).exp();
    }),
    ("two element types", |g, x, n, _, _| {
        let _ = x.sum(1) + labels(g, n);
    }),
    ("a fraction beside integers", |g, _, n, _, _| {
        let _ = labels(g, n) + 0.5;
    }),
    ("a derivative of many numbers", |_, x, _, _, _| {
        x.grad(x);
    }),
    ("a derivative with respect to integers", |g, x, n, _, _| {
        x.sum(..).grad(labels(g, n));
    }),
    ("one parameter name twice", |g, _, n, k, _| {
        g.param("w", [n, k], Init::Zeros);
        g.param("w", [k, n], Init::Zeros);
    }),
    ("one input name twice", |g, _, n, _, _| {
        let _ = g.input("a", [n]) + g.input("a", [n]);
    }),
    ("a name that is none", |g, _, n, _, _| {
        g.input("two words", [n]);
    }),
    ("a result name twice", |g, x, _, _, _| {
        g.output("twice", x);
        g.output("twice", x * 2.0);
    }),
    ("a write to what is no state", |g, x, _, _, _| {
        g.write(x, x * 2.0);
    }),
    ("a state written twice", |g, _, n, _, _| {
        let w = g.param("w", [n], Init::Zeros);
        g.write(w, w + 1.0);
        g.write(w, w + 2.0);
    }),
    ("a write of another shape", |g, _, n, _, _| {
        let w = g.param("w", [n], Init::Zeros);
        g.write(w, w.sum(..));
    }),
    ("a guard of many numbers", |g, x, _, _, _| g.guard(x)),
    ("a tensor of another graph", |_, x, n, k, _| {
        let elsewhere = Graph::new();
        let _ = x + elsewhere.input("y", [n, k]);
    }),
    ("a slice beyond the end", |_, x, _, k, rng| {
        x.slice(1, 0..k + 1 + rng.below(4));
    }),
    ("a step of nothing", |_, x, _, k, _| {
        x.slice_step(1, 0..k, 0);
    }),
    ("an axis dropped that is not 1", |_, x, _, _, _| {
        x.squeeze(0);
    }),
    ("parts that do not fill an axis", |_, x, _, k, _| {
        x.split(1, &[k, 1]);
    }),
    ("parts of different sizes", |g, x, n, k, rng| {
        let y = g.input("y", [other(rng, &[n]), k]);
        g.concat(&[x, y], 1);
    }),
    ("nothing to put together", |g, _, _, _, _| {
        g.concat(&[], 0);
    }),
    ("channels that do not fit", |_, x, n, k, rng| {
        let g = x.graph();
        let wrong = k + 1 + rng.below(4);
        x.reshape([1, n, k]).conv1d(g.input("w", [1, wrong, 2]), Sliding::default());
    }),
    ("windows that do not fit", |_, x, n, k, rng| {
        let sliding = Sliding::default().padding(Padding::Around([(1, 0)]));
        x.reshape([1, n, k]).max_pool1d([n + 2 + rng.below(9)], sliding);
    }),
    ("sequences of two lengths", |g, x, n, k, rng| {
        let y = g.input("y", [other(rng, &[n]), k]);
        g.scan(&[], &[x, y], |_, s| (vec![], vec![s[0] + s[1]]));
    }),
    ("a carried value that grows", |g, x, _, _, _| {
        let zero = g.constant(0.0);
        g.scan(&[zero], &[x], |h, s| (vec![h[0] + s[0]], vec![]));
    }),
    ("branches of two types", |g, x, _, _, _| {
        g.cond(x.sum(..).gt(0.0), || vec![x], || vec![x.sum(..)]);
    }),
    ("a branch by many bools", |g, x, _, _, _| {
        g.cond(x.gt(0.0), || vec![x], || vec![x * 2.0]);
    }),
    ("indices of an einsum", |_, x, _, _, _| {
        x.graph().einsum("ij,jk->il", &[x, x]);
    }),
    ("no classes", |g, _, n, _, _| {
        g.labels("none", [n], 0);
    }),
    ("a spread to a smaller shape", |_, x, n, k, rng| {
        x.broadcast_to([n, other(rng, &[k])]);
    }),
    ("a fill that is no integer", |g, _, n, _, _| {
        labels(g, n).pad(0, 1, 1, 0.5);
    }),
    ("more of the largest than there are", |_, x, _, k, _| {
        x.top_k(k + 1);
    }),
    ("two train steps", |g, x, _, k, _| {
        let loss = (x * g.param("w", [k], Init::Zeros)).sum(..);
        Adam::new(0.1).minimize(loss);
        Sgd::new(0.1).minimize(loss);
    }),
    ("initial values that do not fill a state", |g, _, n, _, _| {
        g.param("w", [n], Init::Values(vec![0.0; n + 1]));
    }),
    ("random weights of integers", |g, _, n, _, _| {
        let ty = TensorType::new(DType::I32, [n]);
        g.state("w", StateKind::Slot, ty, Init::GlorotUniform);
    }),
    ("a size that no memory holds", |_, x, _, _, _| {
        x.broadcast_to([usize::MAX / 2, 8, 3]);
    }),
    ("the trace of what is not square", |g, _, n, _, rng| {
        g.input("m", [n, other(rng, &[n])]).trace();
    }),
    ("indices of another shape", |g, x, n, _, _| {
        x.take_along(labels(g, n), 1);
    }),
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_mistake_is_an_error_with_a_place(
        which in 0..MISTAKES.len(), n in 2usize..9, k in 2usize..9, seed in any::<u64>(),
    ) {
        prop_assume!(n != k);
        let (name, mistake) = MISTAKES[which];
        let g = Graph::new();
        let x = g.input("x", [n, k]);
        g.output("y", dense("hidden", x, 3).tanh());
        mistake(&g, x, n, k, &mut Rng::new(seed));
        let errors = match g.build() {
            Ok(_) => return Err(TestCaseError::fail(format!("`{name}` went unnoticed"))),
            Err(errors) => errors.0,
        };
        prop_assert_eq!(errors.len(), 1, "{}: one cause, not {:?}", name, errors);
        let text = errors[0].to_string();
        prop_assert!(text.contains("tests/it/mistakes.rs:"), "{} without a place: {}", name, text);
        prop_assert!(text.contains("\nhelp: "), "{} without a way out: {}", name, text);
    }
}

#[test]
fn each_mistake_is_met_and_the_model_without_one_is_valid() {
    assert!(MISTAKES.len() >= 20);
    let mut rng = Rng::new(1);
    for (name, mistake) in MISTAKES {
        let g = Graph::new();
        let x = g.input("x", [3, 5]);
        g.output("y", dense("hidden", x, 3).tanh());
        assert!(g.build().is_ok());
        mistake(&g, x, 3, 5, &mut rng);
        assert!(g.build().is_err(), "`{name}` went unnoticed");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let g = Graph::new();
    let x = g.input("x", [3, 5]);
    let wrong = x.matmul(x);
    // What follows from an error is not another one.
    let _ = wrong + 1.0;
    g.output("y", wrong.softmax(1));
    let _ = x.sum(4);
    let _ = x.and(x);
    let errors = g.build().expect_err("three mistakes").0;
    assert_eq!(errors.len(), 3, "{errors:?}");
}
