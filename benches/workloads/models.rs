//! The models that are measured, as a user would write them.

use eggrad::prelude::*;

/// Cross-entropy of `logits: [rows, classes]`, written with softmax and logarithm.
fn cross_entropy<'g>(labels: Tensor<'g>, logits: Tensor<'g>, classes: usize) -> Tensor<'g> {
    -(labels.one_hot(classes) * logits.softmax(1).log()).sum(1).mean()
}

/// Binary cross-entropy of probabilities `p` and targets `y`.
fn binary_cross_entropy<'g>(y: Tensor<'g>, p: Tensor<'g>) -> Tensor<'g> {
    -(y * p.log() + (1.0 - y) * (1.0 - p).log()).mean()
}

/// Dense layers with ReLU between them; the last has no activation.
fn perceptron<'g>(mut x: Tensor<'g>, units: &[usize]) -> Tensor<'g> {
    for (i, &width) in units.iter().enumerate() {
        x = dense(&format!("dense{i}"), x, width);
        if i + 1 < units.len() {
            x = x.relu();
        }
    }
    x
}

/// Logits of a perceptron of `inputs` features on `rows` rows.
pub(crate) fn classify(g: &Graph, rows: usize, inputs: usize, units: &[usize]) {
    g.output("y", perceptron(g.input("x", [rows, inputs]), units).softmax(1));
}

/// A train step of such a perceptron.
pub(crate) fn classifier<'g>(
    g: &'g Graph,
    rows: usize,
    inputs: usize,
    units: &[usize],
) -> Tensor<'g> {
    let classes = units[units.len() - 1];
    let logits = perceptron(g.input("x", [rows, inputs]), units);
    cross_entropy(g.labels("labels", [rows], classes), logits, classes)
}

fn coffee_probability<'g>(x: Tensor<'g>) -> Tensor<'g> {
    dense("out", dense("hidden", x, 3).sigmoid(), 1).sigmoid()
}

/// W1: 2-3-1 with sigmoids.
pub(crate) fn coffee<'g>(g: &'g Graph, rows: usize) -> Tensor<'g> {
    let p = coffee_probability(g.input("x", [rows, 2]));
    binary_cross_entropy(g.input("y", [rows, 1]), p)
}

/// W1, one row.
pub(crate) fn coffee_predict(g: &Graph) {
    g.output("y", coffee_probability(g.input("x", [1, 2])));
}

fn convolution<'g>(name: &str, x: Tensor<'g>, channels: [usize; 2]) -> Tensor<'g> {
    let g = x.graph();
    let weight = [3, 3, channels[0], channels[1]];
    let weight = g.param(&format!("{name}.weight"), weight, Init::GlorotUniform);
    let bias = g.param(&format!("{name}.bias"), [channels[1]], Init::Zeros);
    (x.conv2d(weight, Sliding::default().same()) + bias).relu()
}

fn cnn_logits<'g>(x: Tensor<'g>, rows: usize) -> Tensor<'g> {
    let pool = |x: Tensor<'g>| x.max_pool2d([2, 2], Sliding::default().stride([2, 2]));
    let x = pool(convolution("conv0", x, [1, 16]));
    let x = pool(convolution("conv1", x, [16, 32]));
    dense("out", dense("dense", x.reshape([rows, 7 * 7 * 32]), 128).relu(), 10)
}

/// W5: two convolutions with pooling, two dense layers.
pub(crate) fn cnn<'g>(g: &'g Graph, rows: usize) -> Tensor<'g> {
    let logits = cnn_logits(g.input("x", [rows, 28, 28, 1]), rows);
    cross_entropy(g.labels("labels", [rows], 10), logits, 10)
}

/// W5, one image.
pub(crate) fn cnn_predict(g: &Graph) {
    g.output("y", cnn_logits(g.input("x", [1, 28, 28, 1]), 1).softmax(1));
}

fn ecg_probability<'g>(x: Tensor<'g>, rows: usize) -> Tensor<'g> {
    let g = x.graph();
    let conv = |name: &str, x: Tensor<'g>, shape: [usize; 3], stride: usize| {
        let weight = g.param(&format!("{name}.weight"), shape, Init::GlorotUniform);
        let bias = g.param(&format!("{name}.bias"), [shape[2]], Init::Zeros);
        (x.conv1d(weight, Sliding::default().stride([stride])) + bias).relu()
    };
    let x = conv("conv0", x, [20, 1, 8], 10);
    let x = conv("conv1", x, [5, 8, 16], 2);
    dense("out", x.reshape([rows, 3 * 16]), 1).sigmoid()
}

/// W6: two convolutions over a heart beat.
pub(crate) fn ecg<'g>(g: &'g Graph, rows: usize) -> Tensor<'g> {
    let p = ecg_probability(g.input("x", [rows, 100, 1]), rows);
    binary_cross_entropy(g.input("y", [rows, 1]), p)
}

/// W6, one row.
pub(crate) fn ecg_predict(g: &Graph) {
    g.output("y", ecg_probability(g.input("x", [1, 100, 1]), 1));
}

/// W7: `tanh(x)·sigmoid(x) + log1p(exp(-|x|))`.
fn chain(x: Tensor<'_>) -> Tensor<'_> {
    x.tanh() * x.sigmoid() + (-x.abs()).exp().log1p()
}

/// W7, the values.
pub(crate) fn chain_forward(g: &Graph, elements: usize) {
    g.output("y", chain(g.input("x", [elements])));
}

/// W7, the sum and its gradient.
pub(crate) fn chain_gradient(g: &Graph, elements: usize) {
    let x = g.input("x", [elements]);
    let sum = chain(x).sum(0);
    g.output("sum", sum);
    g.output("dx", sum.grad(x));
}

/// W7: naive softmax cross-entropy and its gradient.
pub(crate) fn softmax_cross_entropy(g: &Graph, rows: usize, classes: usize) {
    let z = g.input("z", [rows, classes]);
    let loss = cross_entropy(g.labels("labels", [rows], classes), z, classes);
    g.output("loss", loss);
    g.output("dz", loss.grad(z));
}

/// Layer norm, written with mean and variance.
pub(crate) fn normalised<'g>(name: &str, x: Tensor<'g>) -> Tensor<'g> {
    let g = x.graph();
    let width = *x.ty().expect("a type").shape.dims().last().expect("an axis");
    let centred = x - x.keepdims().mean(-1);
    let deviation = (x.keepdims().var(-1) + 1e-5).sqrt();
    let gain = g.param(&format!("{name}.gain"), [width], Init::Constant(1.0));
    centred / deviation * gain + g.param(&format!("{name}.bias"), [width], Init::Zeros)
}

/// W7: naive layer norm, and the gradients of a weighted sum of it.
pub(crate) fn layer_norm(g: &Graph, rows: usize, width: usize) {
    let (x, dy) = (g.input("x", [rows, width]), g.input("dy", [rows, width]));
    let y = normalised("norm", x);
    let loss = (y * dy).sum([0, 1]);
    g.output("y", y);
    g.output("dx", loss.grad(x));
    for param in g.params() {
        let name = g.state_name(param).expect("a name");
        g.output(&format!("d_{name}"), loss.grad(param));
    }
}

/// W7: naive tanh-gelu, its sum and gradient.
pub(crate) fn gelu(g: &Graph, elements: usize) {
    let x = g.input("x", [elements]);
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    let sum = (0.5 * x * (1.0 + inner.tanh())).sum(0);
    g.output("sum", sum);
    g.output("dx", sum.grad(x));
}

/// W8: a small causal language model of two pre-norm blocks.
pub(crate) fn gpt<'g>(g: &'g Graph, rows: usize) -> Tensor<'g> {
    let (steps, width, heads, vocabulary) = (64, 128, 4, 65);
    let tokens = g.labels("tokens", [rows, steps], vocabulary);
    let table = g.param("embedding", [vocabulary, width], Init::GlorotUniform);
    let places = g.param("positions", [steps, width], Init::GlorotUniform);
    let mut x = table.gather(tokens) + places;
    let mask = g.input("mask", [steps, steps]);
    for i in 0..2 {
        let h = normalised(&format!("a{i}"), x);
        let head = |name: &str| {
            let part = dense(&format!("{name}{i}"), h, width);
            part.reshape([rows, steps, heads, width / heads]).permute([0, 2, 1, 3])
        };
        let (q, k, v) = (head("q"), head("k"), head("v"));
        let scores = q.matmul(k.transpose()) / ((width / heads) as f64).sqrt() + mask;
        let mixed = scores.softmax(-1).matmul(v).permute([0, 2, 1, 3]);
        x = x + dense(&format!("o{i}"), mixed.reshape([rows, steps, width]), width);
        let h = normalised(&format!("m{i}"), x);
        x = x + dense(&format!("d{i}"), dense(&format!("u{i}"), h, 512).gelu_tanh(), width);
    }
    let logits = dense("head", normalised("last", x), vocabulary);
    let labels = g.labels("labels", [rows * steps], vocabulary);
    cross_entropy(labels, logits.reshape([rows * steps, vocabulary]), vocabulary)
}

/// W9: an LSTM over a sequence, its last state classified.
pub(crate) fn lstm<'g>(g: &'g Graph, rows: usize) -> Tensor<'g> {
    let (steps, inputs, hidden) = (50, 32, 64);
    let x = g.input("x", [steps, rows, inputs]);
    let wx = g.param("wx", [inputs, 4 * hidden], Init::GlorotUniform);
    let wh = g.param("wh", [hidden, 4 * hidden], Init::GlorotUniform);
    let b = g.param("b", [4 * hidden], Init::Zeros);
    let zero = g.constant(0.0).broadcast_to([rows, hidden]);
    let last = g.scan(&[zero, zero], &[x], |carries, x| {
        let (h, c) = (carries[0], carries[1]);
        let gates = x[0].matmul(wx) + h.matmul(wh) + b;
        let gates = gates.split(1, &[hidden; 4]);
        let (i, f, o) = (gates[0].sigmoid(), gates[1].sigmoid(), gates[3].sigmoid());
        let c = f * c + i * gates[2].tanh();
        (vec![o * c.tanh(), c], vec![])
    });
    let logits = dense("out", last.carries[0], 10);
    cross_entropy(g.labels("labels", [rows], 10), logits, 10)
}

/// W10: the derivative of `w³·sin(w) / (1 + exp(-w))`.
pub(crate) fn derivative(g: &Graph, points: usize) {
    let w = g.input("w", [points]);
    let y = w * w * w * w.sin() / (1.0 + (-w).exp());
    g.output("dw", y.sum(0).grad(w));
}
