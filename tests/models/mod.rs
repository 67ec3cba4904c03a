//! Train steps of any depth, for tests and benches of the optimizer.

use eggrad::prelude::*;

/// A train step of `depth` dense layers.
pub(crate) fn perceptron(g: &Graph, depth: usize) {
    let mut x = g.input("x", [8, 16]);
    for i in 0..depth {
        x = dense(&format!("dense{i}"), x, 16).relu();
    }
    let labels = g.labels("labels", [8], 16);
    let loss = -(labels.one_hot(16) * x.softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}

/// Layer normalisation over the last axis, written out.
pub(crate) fn norm<'g>(name: &str, x: Tensor<'g>) -> Tensor<'g> {
    let g = x.graph();
    let width = *x.ty().expect("a type").shape.dims().last().expect("an axis");
    let centred = x - x.keepdims().mean(-1);
    let deviation = (x.keepdims().var(-1) + 1e-5).sqrt();
    let gain = g.param(&format!("{name}.gain"), [width], Init::Constant(1.0));
    centred / deviation * gain + g.param(&format!("{name}.bias"), [width], Init::Zeros)
}

/// A train step of `depth` pre-norm transformer blocks of width 16 with 2 heads.
pub(crate) fn transformer(g: &Graph, depth: usize) {
    let (rows, steps, width, heads) = (2, 6, 16, 2);
    let mut x = g.input("x", [rows, steps, width]);
    let mask = g.input("mask", [steps, steps]);
    for i in 0..depth {
        let h = norm(&format!("a{i}"), x);
        let head = |name: &str| {
            let part = dense(&format!("{name}{i}"), h, width);
            part.reshape([rows, steps, heads, width / heads]).permute([0, 2, 1, 3])
        };
        let (q, k, v) = (head("q"), head("k"), head("v"));
        let scores = q.matmul(k.transpose()) / ((width / heads) as f64).sqrt() + mask;
        let mixed = scores.softmax(-1).matmul(v).permute([0, 2, 1, 3]);
        x = x + dense(&format!("o{i}"), mixed.reshape([rows, steps, width]), width);
        let h = norm(&format!("m{i}"), x);
        x = x + dense(&format!("d{i}"), dense(&format!("u{i}"), h, 32).gelu_tanh(), width);
    }
    let labels = g.labels("labels", [rows, steps], width);
    let loss = -(labels.one_hot(width) * x.softmax(-1).log()).sum(-1).mean();
    g.output("loss", loss);
    Adam::new(1e-3).minimize(loss);
}
