//! Losses as values, each against its textbook formula in f64.

use eggrad::prelude::*;
use ndarray::{Array2, array};

/// Loss of these predictions and targets, and its gradient with respect to the predictions.
fn run(loss: impl Loss + 'static, p: &Array2<f32>, y: &Array2<f32>) -> (f64, Vec<f32>) {
    // The predictions are a bias: its step of size 1 is the gradient.
    let width = p.ncols();
    let mut model = Sequential::new((
        Dense::new(width).init(Init::Zeros).without_bias(),
        Bias(p.iter().map(|&v| f64::from(v)).collect()),
    ));
    model.compile(loss, Sgd::new(1.0), ()).expect("compiles");
    let rows = p.nrows();
    let x = Array2::<f32>::zeros((rows, 1));
    let history = model.fit(&x, y, Fit::epochs(1).batch(rows).shuffle(false)).expect("fits");
    let moved = model.weight("bias_1.value").expect("a bias");
    (history.first_loss, p.iter().zip(&moved).map(|(p, q)| p - q).collect())
}

/// Adds a parameter of the shape of the whole batch.
#[derive(Debug)]
struct Bias(Vec<f64>);

impl Layer for Bias {
    fn kind(&self) -> &'static str {
        "bias"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        // Graphs for other numbers of rows are written to look at, not to run.
        let count = ty.shape.elements();
        let values = (0..count).map(|i| self.0.get(i).copied().unwrap_or(0.0)).collect();
        x + cx.param("value", ty.shape, Init::Values(values))
    }
}

fn check(
    name: &str,
    found: (f64, Vec<f32>),
    each: impl Fn(f64, f64) -> f64,
    p: &Array2<f32>,
    y: &Array2<f32>,
) {
    let n = p.len() as f64;
    let pairs = || p.iter().zip(y).map(|(p, y)| (f64::from(*p), f64::from(*y)));
    let expected = pairs().map(|(p, y)| each(p, y)).sum::<f64>() / n;
    assert!(
        (found.0 - expected).abs() < 1e-5 * expected.abs().max(1.0),
        "{name}: {} is not {expected}",
        found.0
    );
    for ((p, y), gradient) in pairs().zip(found.1) {
        let h = 1e-5;
        let slope = (each(p + h, y) - each(p - h, y)) / (2.0 * h) / n;
        assert!(
            (f64::from(gradient) - slope).abs() < 1e-4,
            "{name} at {p}, {y}: {gradient} is not {slope}"
        );
    }
}

#[test]
fn losses_of_numbers() {
    let p = array![[0.3f32, -1.2], [2.5, 0.9], [-0.4, 4.0]];
    let y = array![[0.0f32, -1.0], [1.0, 3.0], [-2.0, 4.5]];
    check("mse", run(MeanSquaredError, &p, &y), |p, y| (p - y).powi(2), &p, &y);
    check("half", run(HalfMeanSquaredError, &p, &y), |p, y| (p - y).powi(2) / 2.0, &p, &y);
    check("mae", run(MeanAbsoluteError, &p, &y), |p, y| (p - y).abs(), &p, &y);
    check("log cosh", run(LogCosh, &p, &y), |p, y| (p - y).cosh().ln(), &p, &y);
    let huber = |p: f64, y: f64| {
        let d = (p - y).abs();
        if d <= 0.7 { d * d / 2.0 } else { 0.7 * (d - 0.35) }
    };
    check("huber", run(Huber::new(0.7), &p, &y), huber, &p, &y);
    let sign = |y: f64| if y > 0.0 { 1.0 } else { -1.0 };
    check("hinge", run(Hinge, &p, &y), |p, y| (1.0 - sign(y) * p).max(0.0), &p, &y);
    check(
        "squared hinge",
        run(SquaredHinge, &p, &y),
        |p, y| (1.0 - sign(y) * p).max(0.0).powi(2),
        &p,
        &y,
    );
    let (rates, counts) = (p.mapv(|v| v.abs() + 0.1), y.mapv(f32::abs));
    check(
        "poisson",
        run(Poisson, &rates, &counts),
        |p, y| p - y * (p + 1e-7).ln(),
        &rates,
        &counts,
    );
}

#[test]
fn losses_of_probabilities() {
    let z = array![[0.3f32, -1.2], [2.5, 0.9], [-0.4, 4.0]];
    let y = array![[0.0f32, 1.0], [1.0, 0.25], [0.5, 1.0]];
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let entropy = |p: f64, y: f64| -(y * p.ln() + (1.0 - y) * (1.0 - p).ln());
    let plain = BinaryCrossentropy::new();
    check("logits", run(plain.from_logits(), &z, &y), |z, y| entropy(sigmoid(z), y), &z, &y);
    let smooth = |z: f64, y: f64| entropy(sigmoid(z), 0.8 * y + 0.1);
    check("smoothing", run(plain.from_logits().label_smoothing(0.2), &z, &y), smooth, &z, &y);
    let hard = y.mapv(f32::round);
    let focal = |z: f64, y: f64| {
        let e = entropy(sigmoid(z), y);
        (1.0 - (-e).exp()).powf(2.0) * e
    };
    check("focal", run(plain.from_logits().focal(2.0), &z, &hard), focal, &z, &hard);
    let p = z.mapv(|z| sigmoid(f64::from(z)) as f32);
    check("probabilities", run(plain, &p, &y), entropy, &p, &y);

    // Rows of shares: the mean over rows, so as many times more than over all.
    let shares = array![[0.7f32, 0.3], [0.2, 0.8], [1.0, 0.0]];
    let p = array![[0.6f32, 0.4], [0.5, 0.5], [0.1, 0.9]];
    let cross = |p: f64, y: f64| -2.0 * y * p.ln();
    check("cce", run(CategoricalCrossentropy::new(), &p, &shares), cross, &p, &shares);
    let smooth = |p: f64, y: f64| -2.0 * (0.9 * y + 0.05) * p.ln();
    let loss = CategoricalCrossentropy::new().label_smoothing(0.1);
    check("cce smoothing", run(loss, &p, &shares), smooth, &p, &shares);
    let divergence = |p: f64, y: f64| if y == 0.0 { 0.0 } else { 2.0 * y * (y / p).ln() };
    check("kl", run(KlDivergence::new(), &p, &shares), divergence, &p, &shares);
}

/// A softmax before, class numbers after, and smoothing: the same as rows of shares.
#[test]
fn class_numbers_are_rows_of_shares() {
    let z = array![[0.3f32, -1.2, 1.0], [2.5, 0.9, -3.0]];
    let rows = array![[0.0f32, 0.0, 1.0], [1.0, 0.0, 0.0]];
    for (smoothing, gamma) in [(0.0, 0.0), (0.1, 0.0), (0.0, 2.0)] {
        let run = |sparse: bool, softmax: bool| {
            let mut layers = Stack::new((Dense::new(3),));
            if softmax {
                layers = layers.then(Activation::Softmax);
            }
            let mut model = Model::of(layers).input([3]);
            let evaluated = if sparse {
                let loss =
                    SparseCategoricalCrossentropy::new().label_smoothing(smoothing).focal(gamma);
                let loss = if softmax { loss } else { loss.from_logits() };
                model.compile(loss, Sgd::new(0.1), Accuracy).expect("compiles");
                model.build().expect("builds");
                model.set_weight("dense_1.weight", Array2::eye(3).view()).expect("sets");
                model.evaluate(&z, &[2, 0])
            } else {
                let loss = CategoricalCrossentropy::new().label_smoothing(smoothing).focal(gamma);
                let loss = if softmax { loss } else { loss.from_logits() };
                model.compile(loss, Sgd::new(0.1), Accuracy).expect("compiles");
                model.build().expect("builds");
                model.set_weight("dense_1.weight", Array2::eye(3).view()).expect("sets");
                model.evaluate(&z, &rows)
            };
            evaluated.expect("evaluates")
        };
        let expected = run(true, true);
        assert_eq!(expected.get("accuracy"), 1.0);
        for (sparse, softmax) in [(true, false), (false, true), (false, false)] {
            let found = run(sparse, softmax);
            assert!((found.loss() - expected.loss()).abs() < 1e-6, "{found:?} {expected:?}");
        }
    }
}
