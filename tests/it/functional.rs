//! Models that are functions: shared layers, several inputs and outputs, and parts of one's own.

use eggrad::nn::layers::Common;
use eggrad::prelude::*;
use ndarray::{Array2, array};
use std::sync::Arc;

/// Two pictures of a thing by one encoder, and how far they are apart.
struct Twins {
    encoder: Stack,
}

impl Module for Twins {
    fn forward<'g>(&self, cx: &Context<'g>, inputs: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let [a, b] = [inputs[0], inputs[1]].map(|x| self.encoder.apply(cx, x));
        vec![(a - b).square().sum(1).unsqueeze(1), a]
    }
}

fn twins() -> Model {
    let encoder = Stack::new((Dense::new(4).tanh(), Dense::new(2))).named("encoder");
    Model::of(Twins { encoder }).input([3]).input([3]).seed(1)
}

#[test]
fn shared_layers_with_several_inputs_and_outputs() {
    let mut model = twins();
    let summary = model.summary().expect("a summary");
    assert_eq!(summary.trainable, 3 * 4 + 4 + 4 * 2 + 2);
    let shared: Vec<&str> =
        summary.layers.iter().filter(|l| l.shared).map(|l| l.path.as_str()).collect();
    assert_eq!(shared, ["encoder", "encoder.dense_1", "encoder.dense_2"]);
    assert!(summary.to_string().contains("shared"));

    model
        .compile(
            (MeanSquaredError, MeanAbsoluteError.weighted(0.5)),
            Adam::new(0.02),
            (Mae, Mae.of_output(1)),
        )
        .expect("compiles");
    let a = Array2::from_shape_fn((12, 3), |(i, j)| ((i * 5 + j * 3) % 7) as f32 / 7.0);
    let b = a.mapv(|v| 1.0 - v);
    let apart = Array2::from_shape_fn((12, 1), |(i, _)| (i % 3) as f32 / 3.0);
    let codes = Array2::from_shape_fn((12, 2), |(i, j)| ((i + j) % 2) as f32);
    let history = model.fit((&a, &b), (&apart, &codes), Fit::epochs(60).batch(12)).expect("fits");
    let losses = history.get("loss");
    assert!(losses[59] < 0.8 * losses[0], "{losses:?}");
    let last = history.epochs.last().expect("an epoch");
    let sum = last.get("loss_0") + 0.5 * last.get("loss_1");
    assert!((last.loss() - sum).abs() < 1e-9, "{last:?}");
    assert!((last.get("mae_1") - last.get("loss_1")).abs() < 1e-6, "{last:?}");

    let results = model.predict_all((&a, &b)).expect("predicts");
    assert_eq!([results[0].shape(), results[1].shape()], [&[12, 1], &[12, 2]]);
    let text = model.predict((&a, &b)).expect_err("two results").to_string();
    assert!(text.starts_with("`predict` makes 2 results"), "{text}");
    let text = model.predict_all(&a).expect_err("one input").to_string();
    assert!(text.starts_with("`predict` is given 1 inputs, not 2"), "{text}");
}

/// One layer inside of two others has the parameters of where it was applied first.
#[test]
fn one_layer_in_two_places() {
    let shared: AnyLayer = Arc::new(Dense::new(3).named("shared"));
    let stack = |name: &str| Stack::new(vec![Arc::clone(&shared)]).named(name);
    let model = Sequential::new((stack("first"), Dense::new(3), stack("second"))).input([3]);
    let summary = model.summary().expect("a summary");
    assert_eq!(summary.trainable, 24);
    let paths: Vec<(&str, bool)> =
        summary.layers.iter().map(|l| (l.path.as_str(), l.shared)).collect();
    let expected = [
        ("first", false),
        ("first.shared", false),
        ("dense_1", false),
        ("second", false),
        ("first.shared", true),
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_look_inside() {
    let model = Sequential::new((
        Dense::new(4).relu(),
        Stack::new((Dense::new(2),)).named("head"),
        Activation::Softmax,
    ))
    .input([3]);
    let x = array![[1.0f32, -2.0, 0.5], [0.0, 1.0, 1.0]];
    let inside = model.activations(&x).expect("activations");
    let paths: Vec<&str> = inside.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["dense_1", "head.dense_1", "head", "softmax_1"]);
    assert_eq!(inside[0].1.shape(), [2, 4]);
    assert!(inside[0].1.iter().all(|v| *v >= 0.0));
    assert_eq!(inside[1].1, inside[2].1);
    let predicted = model.predict(&x).expect("predicts");
    assert!(inside[3].1.iter().zip(&predicted).all(|(a, b)| (a - b).abs() < 1e-6));
}

/// A layer of one's own: a dense layer whose weight is the product of two narrow ones.
#[derive(Debug)]
struct LowRank {
    units: usize,
    rank: usize,
    common: Common,
}

impl Layer for LowRank {
    fn kind(&self) -> &'static str {
        "low_rank"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        let features = ty.shape.dims()[1];
        let down = cx.param("down", [features, self.rank], Init::GlorotUniform);
        let up = cx.param("up", [self.rank, self.units], Init::GlorotUniform);
        x.matmul(down).matmul(up)
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// An optimizer of one's own: a step of fixed length against the sign of each gradient.
#[derive(Debug)]
struct SignDescent(f64);

impl Optimizer for SignDescent {
    fn name(&self) -> &str {
        "sign"
    }

    fn minimize_loss(&self, loss: Tensor<'_>) {
        let g = loss.graph();
        for param in g.params() {
            g.write(param, param - loss.grad(param).sign() * self.0);
        }
        g.guard(loss);
    }
}

#[test]
fn layers_losses_and_optimizers_of_ones_own() {
    let mut model = Sequential::new((
        LowRank { units: 4, rank: 1, common: Common::new() },
        LowRank { units: 1, rank: 1, common: Common::new().named("last") },
    ))
    .seed(2);
    let loss = LossFn::new("quartic", Task::Numbers, |p, y| (p - y).square().square());
    model.compile(loss, SignDescent(0.01), Mae).expect("compiles");
    let x = Array2::from_shape_fn((16, 3), |(i, j)| ((i * 3 + j * 5) % 8) as f32 / 8.0);
    let y: Vec<f32> = x.rows().into_iter().map(|r| r[0] - 0.5 * r[2]).collect();
    let history = model.fit(&x, &y, Fit::epochs(200).batch(16)).expect("fits");
    assert!(history.last_loss < 0.1 * history.first_loss, "{history:?}");
    let paths: Vec<String> = model.weights().into_keys().collect();
    assert_eq!(paths, ["last.down", "last.up", "low_rank_1.down", "low_rank_1.up"]);
    assert_eq!(model.learning_rate(), None);
}

/// A train step of one's own, from the parts of a model, over its store: adversarial examples.
#[test]
fn a_train_step_from_parts() {
    let mut model = Sequential::new((Dense::new(8).tanh(), Dense::new(2))).input([2]).seed(3);
    model.build().expect("builds");
    let g = Graph::new();
    let cx = Context::new(&g, Mode::Train);
    let (x, y) = (g.input("x", [4, 2]), g.labels("y", [4], 2));
    let loss_of = |x| losses::scce_logits(model.module().forward(&cx, &[x])[0], y);
    let clean = loss_of(x);
    let worse = x + clean.grad(x).sign().stop_gradient() * 0.1;
    let loss = clean + loss_of(worse);
    g.output("loss", loss);
    Sgd::new(0.5).minimize(loss);
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut session = Session::new(&program, model.store_mut()).expect("a session");
    let rows = [0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let mut losses = vec![];
    for _ in 0..300 {
        let mut loss = [0.0f32];
        let inputs = [ArrayRef::F32(&rows), ArrayRef::I32(&[0, 1, 1, 0])];
        let outputs = &mut [ArrayMut::F32(&mut loss)];
        session.run(model.store_mut(), &inputs, outputs).expect("runs");
        losses.push(loss[0]);
    }
    assert!(losses[299] < 0.3 * losses[0], "{losses:?}");
    // What was learnt is what is predicted.
    let made = model.predict(&[[0.0f32, 1.0], [1.0, 1.0]]).expect("predicts");
    assert!(made[[0, 1]] > made[[0, 0]] && made[[1, 0]] > made[[1, 1]], "{made}");
}

#[test]
fn transfer_of_weights_to_a_model_that_keeps_them() {
    let base = || Dense::new(4).tanh().named("base");
    let x = array![[0.0f32, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]];
    let mut first = Sequential::new((base(), Dense::new(1))).seed(1);
    first.compile(MeanSquaredError, Adam::new(0.05), ()).expect("compiles");
    first.fit(&x, &[1.0f32, 1.0, 2.0, 0.0], Fit::epochs(50)).expect("fits");

    let mut second =
        Sequential::new((base().trainable(false), Dense::new(3).softmax().named("head")))
            .input([2])
            .seed(2);
    second
        .compile(SparseCategoricalCrossentropy::new(), Adam::new(0.05), Accuracy)
        .expect("compiles");
    second.build().expect("builds");
    let mut weights = first.weights();
    weights.retain(|path, _| path.starts_with("base."));
    second.set_weights(&weights).expect("sets");
    let head = second.weight("head.weight");
    let history = second.fit(&x, &[1, 1, 2, 0], Fit::epochs(200)).expect("fits");
    assert_eq!(history.last("accuracy"), 1.0);
    assert_eq!(second.weight("base.weight"), first.weight("base.weight"));
    assert_ne!(second.weight("head.weight"), head);
    assert_eq!(second.summary().expect("a summary").fixed, 12);
    // Another optimizer begins anew; weights stay.
    let kept = second.weights();
    second.compile(SparseCategoricalCrossentropy::new(), Sgd::new(0.1), ()).expect("compiles");
    assert_eq!(second.weights(), kept);
    assert!(second.store().states().all(|s| !s.0.starts_with("adam")));
    second.fit(&x, &[1, 1, 2, 0], Fit::epochs(1)).expect("fits");
}
