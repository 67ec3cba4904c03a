//! Losses, normalisation, attention and recurrent cells: against loops written out, and what is refused.

use crate::common::{counting, errors, value};
use eggrad_nn::{Graph, Init, Mask, Tensor, losses};

fn given<'g>(g: &'g Graph, name: &str, shape: &[usize], values: &[f64]) -> Tensor<'g> {
    g.param(name, shape, Init::Values(values.to_vec()))
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let near = |(f, e): (&f64, &f64)| (f - e).abs() <= 1e-12 * e.abs().max(1.0);
    assert!(found.iter().zip(expected).all(near), "{found:?}, not {expected:?}");
}

#[test]
fn losses_are_their_formulas() {
    type Loss = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    let (p, y) = ([0.2, 0.5, 0.9, 0.4], [0.0, 1.0, 1.0, 0.25]);
    let mean =
        |f: &dyn Fn(f64, f64) -> f64| p.iter().zip(&y).map(|(&p, &y)| f(p, y)).sum::<f64>() / 4.0;
    let entropy = |p: f64, y: f64| -y * p.ln() - (1.0 - y) * (1.0 - p).ln();
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    // Rows of two: their sums are 0.7 and 1.3.
    let rows = |f: &dyn Fn(f64, f64) -> f64| 2.0 * mean(f);
    let shares = [0.2 / 0.7, 0.5 / 0.7, 0.9 / 1.3, 0.4 / 1.3];
    let total = 0.2f64.exp() + 0.5f64.exp();
    let second = 0.9f64.exp() + 0.4f64.exp();
    let logs = [0.2 - total.ln(), 0.5 - total.ln(), 0.9 - second.ln(), 0.4 - second.ln()];
    let cross = |logs: &dyn Fn(usize) -> f64| -(0..4).map(|i| y[i] * logs(i)).sum::<f64>() / 2.0;
    let held = |y: f64| y.max(losses::EPSILON);
    let table: [(Loss, f64); 10] = [
        (losses::mse, mean(&|p, y| (p - y) * (p - y))),
        (losses::half_mse, mean(&|p, y| (p - y) * (p - y) / 2.0)),
        (losses::mae, mean(&|p, y| (p - y).abs())),
        (losses::log_cosh, mean(&|p, y| (p - y).cosh().ln())),
        (losses::bce, mean(&entropy)),
        (losses::bce_logits, mean(&|z, y| entropy(sigmoid(z), y))),
        (losses::cce, cross(&|i| f64::ln(shares[i]))),
        (losses::cce_logits, cross(&|i| logs[i])),
        (losses::kld, rows(&|p, y| held(y) * (held(y) / p).ln())),
        (losses::poisson, mean(&|p, y| p - y * (p + losses::EPSILON).ln())),
    ];
    for (loss, expected) in table {
        let found = value(|g| loss(given(g, "p", &[2, 2], &p), given(g, "y", &[2, 2], &y)));
        close(&found.1, &[expected]);
    }
    // Half of the square near the target, 2 · (|d| - 1) far from it.
    let huber = value(|g| {
        losses::huber(given(g, "p", &[2], &[1.0, 5.0]), given(g, "y", &[2], &[0.0, 0.0]), 2.0)
    });
    close(&huber.1, &[(0.5 + 2.0 * 4.0) / 2.0]);
    let labelled = |loss: Loss, expected: f64| {
        let found = value(|g| {
            let label = given(g, "y", &[2], &[1.0, 0.0]).cast(eggrad_ir::DType::I32);
            loss(given(g, "p", &[2, 2], &p), label)
        });
        close(&found.1, &[expected]);
    };
    labelled(losses::scce, -(f64::ln(shares[1]) + f64::ln(shares[2])) / 2.0);
    labelled(losses::scce_logits, -(logs[1] + logs[2]) / 2.0);
}

#[test]
fn probabilities_are_held_away_from_their_ends() {
    let ends =
        value(|g| losses::bce(given(g, "p", &[2], &[0.0, 1.0]), given(g, "y", &[2], &[1.0, 0.0])));
    assert!((ends.1[0] - 1e7f64.ln()).abs() < 1e-8, "{ends:?}");
    let sure = value(|g| {
        losses::kld(given(g, "p", &[1, 2], &[0.0, 1.0]), given(g, "y", &[1, 2], &[1.0, 0.0]))
    });
    assert!((sure.1[0] - 1e7f64.ln()).abs() < 1e-5, "{sure:?}");
}

#[test]
fn losses_do_not_broadcast() {
    let text = errors(|g| losses::mse(g.input("p", [3]), g.input("y", [3, 1]))).join("\n");
    assert!(text.starts_with("`mse` needs one shape, not [3] and [3, 1]"), "{text}");
    let text = errors(|g| losses::scce_logits(g.input("z", [3, 2]), g.input("y", [3]))).join("\n");
    assert!(
        text.starts_with(
            "`scce_logits` needs one integer label for each row of [3, 2], not f32[3]"
        ),
        "{text}"
    );
    let text = errors(|g| losses::cce(g.constant(1.0), g.constant(1.0))).join("\n");
    assert!(text.starts_with("`cce` needs an axis of classes"), "{text}");
}

fn gamma(g: &Graph) -> Tensor<'_> {
    given(g, "gamma", &[3], &[1.0, 2.0, 3.0])
}

fn beta(g: &Graph) -> Tensor<'_> {
    given(g, "beta", &[3], &[0.0, 0.5, 1.0])
}

#[test]
fn normalised_rows_and_channels() {
    let (eps, root) = (0.5, |v: f64| (v + 0.5).sqrt());
    // Rows 1 2 3 and 4 5 6: variance 2/3. Channels 1 4, 2 5, 3 6: variance 9/4.
    let rows = value(|g| counting(g, "x", &[2, 3]).layer_norm(gamma(g), beta(g), eps));
    let row = [-1.0 / root(2.0 / 3.0), 0.5, 3.0 / root(2.0 / 3.0) + 1.0];
    close(&rows.1, &[row, row].concat());
    let channels = value(|g| counting(g, "x", &[2, 3]).batch_norm(gamma(g), beta(g), eps).y);
    let part = 1.5 / root(2.25);
    let expected =
        [-part, 0.5 - 2.0 * part, 1.0 - 3.0 * part, part, 0.5 + 2.0 * part, 1.0 + 3.0 * part];
    close(&channels.1, &expected);
    let mean = value(|g| counting(g, "x", &[2, 3]).batch_norm(gamma(g), beta(g), eps).mean);
    close(&mean.1, &[2.5, 3.5, 4.5]);
    let variance = value(|g| counting(g, "x", &[2, 3]).batch_norm(gamma(g), beta(g), eps).variance);
    close(&variance.1, &[2.25; 3]);
    let by = value(|g| {
        let (mean, variance) =
            (given(g, "m", &[3], &[2.5, 3.5, 4.5]), given(g, "v", &[3], &[2.25; 3]));
        counting(g, "x", &[2, 3]).batch_norm_by(mean, variance, gamma(g), beta(g), eps)
    });
    close(&by.1, &expected);
}

#[test]
fn queries_see_what_the_mask_allows() {
    // All keys are alike, so the weights of those seen are equal.
    let seen = |mask: for<'g> fn(&'g Graph) -> Mask<'g>| {
        value(|g| {
            let zero = given(g, "q", &[3, 2], &[0.0; 6]);
            zero.attention(zero, counting(g, "v", &[3, 1]), mask(g))
        })
    };
    close(&seen(|_| Mask::Everything).1, &[2.0, 2.0, 2.0]);
    close(&seen(|_| Mask::Causal).1, &[1.0, 1.5, 2.0]);
    let last = seen(|g| Mask::Where(given(g, "mask", &[3], &[0.0, 1.0, 1.0]).gt(0.0)));
    close(&last.1, &[2.5, 2.5, 2.5]);
    let text = errors(|g| {
        g.input("q", [3, 2]).attention(g.input("k", [3, 4]), g.input("v", [3, 1]), Mask::Causal)
    })
    .join("\n");
    assert!(
        text.starts_with("`attention` has queries [3, 2], keys [3, 4] and values [3, 1]"),
        "{text}"
    );
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// One row of three steps of one feature, one unit.
const STEPS: [f64; 3] = [0.5, -1.0, 2.0];

/// A weight for each gate; others are made of it.
const WEIGHTS: [f64; 4] = [0.3, -0.7, 0.9, 0.4];

/// Sequence, weights and biases of a cell of so many gates.
fn layer(g: &Graph, gates: usize) -> [Tensor<'_>; 5] {
    let wide = &WEIGHTS[..gates];
    [
        given(g, "x", &[1, 3, 1], &STEPS),
        given(g, "wx", &[1, gates], wide),
        given(g, "wh", &[1, gates], wide) * 0.5,
        given(g, "b", &[gates], wide) - 0.1,
        given(g, "bh", &[gates], wide) + 0.2,
    ]
}

#[test]
fn cells_are_their_formulas() {
    // Part `i` of `x·wx + b` and of `h·wh`.
    let own = |i: usize, x: f64| x * WEIGHTS[i] + WEIGHTS[i] - 0.1;
    let back = |i: usize, h: f64| h * WEIGHTS[i] * 0.5;

    let (mut h, mut hs) = (0.0, vec![]);
    for x in STEPS {
        h = (own(0, x) + back(0, h)).tanh();
        hs.push(h);
    }
    let found = value(|g| {
        let [x, wx, wh, b, _] = layer(g, 1);
        x.rnn(wx, wh, b).states
    });
    assert_eq!(found.0, [1, 3, 1]);
    close(&found.1, &hs);

    let (mut h, mut c) = (0.0, 0.0);
    for x in STEPS {
        let [i, f, new, o] = [0, 1, 2, 3].map(|k| own(k, x) + back(k, h));
        c = sigmoid(f) * c + sigmoid(i) * new.tanh();
        h = sigmoid(o) * c.tanh();
    }
    let found = value(|g| {
        let [x, wx, wh, b, _] = layer(g, 4);
        let y = x.lstm(wx, wh, b);
        g.concat(&[y.last, y.cell.expect("a cell"), y.states.slice(1, 2..3).reshape([1, 1])], 1)
    });
    close(&found.1, &[h, c, h]);

    let mut h = 0.0;
    for x in STEPS {
        let bias = |k: usize| WEIGHTS[k] + 0.2;
        let [z, r] = [0, 1].map(|k| sigmoid(own(k, x) + back(k, h) + bias(k)));
        let new = (own(2, x) + r * (back(2, h) + bias(2))).tanh();
        h = z * h + (1.0 - z) * new;
    }
    let found = value(|g| {
        let [x, wx, wh, b, bh] = layer(g, 3);
        x.gru(wx, wh, b, bh).last
    });
    close(&found.1, &[h]);
}

#[test]
fn cells_name_shapes_that_do_not_fit() {
    let text = errors(|g| {
        let (wx, wh) = (g.input("wx", [3, 16]), g.input("wh", [4, 12]));
        g.input("x", [2, 5, 3]).lstm(wx, wh, g.input("b", [16])).last
    })
    .join("\n");
    assert!(
        text.starts_with("`lstm` needs a recurrent weight of shape [4, 16], not [4, 12]"),
        "{text}"
    );
    assert!(text.contains("wx: f32[3, 16]") && text.contains(file!()), "{text}");
    let text = errors(|g| {
        let w = g.input("w", [3, 3]);
        g.input("x", [5, 3]).rnn(w, w, g.input("b", [3])).states
    })
    .join("\n");
    assert!(text.starts_with("`rnn` takes sequences with three axes, not [5, 3]"), "{text}");
}

#[test]
fn formulas_in_words() {
    let found = value(|g| {
        let (a, b) = (counting(g, "a", &[2, 1]), counting(g, "b", &[3]));
        g.expression("a * b + sum(b)", &[("a", a), ("b", b)])
    });
    assert_eq!(found, (vec![2, 3], vec![7.0, 8.0, 9.0, 8.0, 10.0, 12.0]));
    let text = errors(|g| g.expression("exp(x) + y", &[("x", g.input("x", [2]))])).join("\n");
    assert!(text.contains("`y`") && text.contains("column 10 of `exp(x) + y`"), "{text}");
    assert!(text.contains(file!()), "{text}");
}

#[test]
fn activations_at_their_kinks() {
    let at = |f: for<'g> fn(Tensor<'g>) -> Tensor<'g>| {
        value(|g| f(given(g, "x", &[5], &[-3.0, -1.5, 0.0, 3.0, 1e200]))).1
    };
    assert_eq!(at(|x| x.relu6()), [0.0, 0.0, 0.0, 3.0, 6.0]);
    assert_eq!(at(|x| x.hard_sigmoid()), [0.0, 0.25, 0.5, 1.0, 1.0]);
    assert_eq!(at(|x| x.leaky_relu(0.5)), [-1.5, -0.75, 0.0, 3.0, 1e200]);
    assert_eq!(at(|x| x.softsign()), [-0.75, -0.6, 0.0, 0.75, 1.0]);
    assert_eq!(at(|x| x.gelu_tanh())[4], 1e200);
}
