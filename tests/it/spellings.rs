//! A model and its loss in many spellings: all compile to the stable kernel, finite at logits of ±1000.

use eggrad::nn::loss::IntoLosses;
use eggrad::prelude::*;
use std::sync::Arc;

/// A model and its loss.
struct Spelling {
    name: &'static str,
    layers: Vec<AnyLayer>,
    loss: Arc<dyn Loss>,
}

fn layer(layer: impl Layer + 'static) -> AnyLayer {
    Arc::new(layer)
}

/// Loss and bias of a step in which rows count differently.
fn weighted_step(spelling: &Spelling) -> (f64, ndarray::ArrayD<f32>) {
    let x = [[1.0f32, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0], [0.02, 0.01, 0.0]];
    let mut model = spelling.model();
    let fit = Fit::epochs(1).batch(4).shuffle(false).sample_weights([1.0, 2.0, 0.0, 5.0]);
    let fit = fit.class_weights([0.5, 1.0, 2.0]);
    let history = model.fit(&x, &[0, 0, 0, 2], fit).expect(spelling.name);
    (history.first_loss, model.weight("dense_1.bias").expect("a bias"))
}

#[test]
fn weights_of_rows_keep_the_loss_stable() {
    let plain = ["temperature", "smoothing", "focal"];
    let all: Vec<Spelling> = classes().into_iter().filter(|s| !plain.contains(&s.name)).collect();
    let (loss, bias) = weighted_step(&all[0]);
    // Losses 0, 2000 and log(1 + e^10 + e^20), of which the weights are 0.5, 1 and 10.
    let last = (1.0 + 10f64.exp() + 20f64.exp()).ln();
    assert!((loss - (2000.0 + 10.0 * last) / 11.5).abs() < 1e-3, "{loss}");
    for spelling in &all[1..] {
        let (other, moved) = weighted_step(spelling);
        assert!((other - loss).abs() < 1e-4 * loss, "{}: {other}, not {loss}", spelling.name);
        let apart = moved.iter().zip(&bias).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-7, "{}: {moved}, not {bias}", spelling.name);
    }
}

/// Three classes, each from a logit.
fn classes() -> Vec<Spelling> {
    let sparse = SparseCategoricalCrossentropy::new;
    let naive = || {
        LossFn::new("naive", Task::Classes { ignored: None }, |p, y| {
            -(y.one_hot(3) * p.log()).sum(1)
        })
    };
    let spelling = |name, after: Vec<AnyLayer>, loss: Arc<dyn Loss>| Spelling {
        name,
        layers: [vec![layer(Dense::new(3))], after].concat(),
        loss,
    };
    let softmax = || layer(Activation::Softmax);
    vec![
        spelling("from logits", vec![], Arc::new(sparse().from_logits())),
        spelling("softmax", vec![softmax()], Arc::new(sparse())),
        spelling("naive", vec![softmax()], Arc::new(naive())),
        spelling(
            "identity",
            vec![softmax(), layer(Activation::Linear), layer(Lambda::new("same", |x| x * 1.0))],
            Arc::new(sparse()),
        ),
        spelling("reshape", vec![softmax(), layer(Reshape::new([3]))], Arc::new(sparse())),
        spelling(
            "there and back",
            vec![softmax(), layer(Reshape::new([3, 1])), layer(Flatten::new())],
            Arc::new(naive()),
        ),
        spelling(
            "cast",
            vec![softmax(), layer(Lambda::new("cast", |x| x.cast(DType::F64).cast(DType::F32)))],
            Arc::new(sparse()),
        ),
        spelling("temperature", vec![layer(Rescaling::new(0.5)), softmax()], Arc::new(sparse())),
        spelling(
            "slice",
            vec![softmax(), layer(Lambda::new("slice", |x| x.slice(1, 0..3)))],
            Arc::new(sparse()),
        ),
        spelling(
            "exponentials",
            vec![layer(Lambda::new("shares", |z| z.exp() / z.exp().sum(1).unsqueeze(1)))],
            Arc::new(naive()),
        ),
        spelling(
            "logarithm of a softmax, and its exponential",
            vec![layer(Activation::LogSoftmax), layer(Activation::Exp)],
            Arc::new(sparse()),
        ),
        spelling("no dropout", vec![softmax(), layer(Dropout::new(0.0))], Arc::new(sparse())),
        spelling("smoothing", vec![softmax()], Arc::new(sparse().label_smoothing(0.1))),
        spelling("ignored", vec![softmax()], Arc::new(sparse().ignore(-1))),
        spelling("focal", vec![softmax()], Arc::new(sparse().focal(2.0))),
    ]
}

/// Three numbers of yes or no.
fn binary() -> Vec<Spelling> {
    let plain = BinaryCrossentropy::new;
    let spelling = |name, after: Vec<AnyLayer>, loss: Arc<dyn Loss>| Spelling {
        name,
        layers: [vec![layer(Dense::new(3))], after].concat(),
        loss,
    };
    let sigmoid = || layer(Activation::Sigmoid);
    vec![
        spelling("binary from logits", vec![], Arc::new(plain().from_logits())),
        spelling("sigmoid", vec![sigmoid()], Arc::new(plain())),
        spelling("sigmoid, reshape", vec![sigmoid(), layer(Reshape::new([3]))], Arc::new(plain())),
        spelling(
            "sigmoid, temperature",
            vec![layer(Rescaling::new(2.0)), sigmoid()],
            Arc::new(plain()),
        ),
        spelling(
            "quotient",
            vec![layer(Lambda::new("logistic", |z| 1.0 / ((-z).exp() + 1.0)))],
            Arc::new(plain()),
        ),
        spelling("sigmoid, smoothing", vec![sigmoid()], Arc::new(plain().label_smoothing(0.1))),
        spelling("sigmoid, focal", vec![sigmoid()], Arc::new(plain().focal(2.0))),
    ]
}

impl Spelling {
    /// A compiled model whose logits are a thousand times its inputs.
    fn model(&self) -> Model {
        let mut model = Sequential::new(self.layers.clone()).input([3]);
        let loss: Vec<Arc<dyn Loss>> = vec![Arc::clone(&self.loss)];
        model.compile(loss.into_losses(), Sgd::new(0.001), ()).expect(self.name);
        model.build().expect(self.name);
        let thousand = ndarray::Array2::<f32>::eye(3) * 1000.0;
        model.set_weight("dense_1.weight", thousand.view()).expect(self.name);
        model
    }
}

#[test]
fn no_logarithm_of_a_softmax_is_left() {
    for spelling in classes().into_iter().chain(binary()) {
        let graph = spelling.model().graph(Mode::Train, 4).expect(spelling.name);
        let built = graph.build().expect(spelling.name);
        let text = eggrad::lower(&built.graph, &Options::default()).expect("lowers").to_string();
        let bare = ["log(", "exp("].iter().any(|op| {
            text.match_indices(op).any(|(i, _)| !text[..i].ends_with(char::is_alphanumeric))
        });
        assert!(!bare || spelling.name.contains("focal"), "{}:\n{text}", spelling.name);
    }
}

#[test]
fn losses_and_steps_are_finite_at_a_thousand() {
    let x = [[1.0f32, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, 1.0, 1.0]];
    let labels = [0, 0, 0, 2];
    let rows = [[1.0f32, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    let step = |spelling: &Spelling, binary: bool| {
        let mut model = spelling.model();
        let fit = Fit::epochs(2).batch(4).shuffle(false);
        let history = if binary { model.fit(&x, &rows, fit) } else { model.fit(&x, &labels, fit) };
        let history = history.unwrap_or_else(|e| panic!("{}: {e}", spelling.name));
        let weights = model.weights();
        assert!(weights.values().flatten().all(|w| w.is_finite()), "{}", spelling.name);
        (history.first_loss, weights["dense_1.bias"].clone())
    };
    let mut plain = vec![];
    for spelling in classes() {
        let (loss, bias) = step(&spelling, false);
        if !["temperature", "smoothing", "focal"].contains(&spelling.name) {
            plain.push((spelling.name, loss, bias));
        }
    }
    let (_, loss, bias) = plain[0].clone();
    // Losses 0, 2000, 1000 and log(3).
    assert!((loss - (3000.0 + 3f64.ln()) / 4.0).abs() < 1e-3, "{loss}");
    for (name, other, moved) in &plain {
        assert!((other - loss).abs() < 1e-4 * loss, "{name}: {other}, not {loss}");
        let apart = moved.iter().zip(&bias).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-7, "{name}: {moved}, not {bias}");
    }
    let mut plain = vec![];
    for spelling in binary() {
        let (loss, _) = step(&spelling, true);
        if !["sigmoid, temperature", "sigmoid, smoothing", "sigmoid, focal"]
            .contains(&spelling.name)
        {
            plain.push(loss);
        }
    }
    assert!(plain.iter().all(|loss| (loss - plain[0]).abs() < 1e-4 * loss), "{plain:?}");
}
