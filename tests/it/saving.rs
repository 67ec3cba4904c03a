//! Models in files: the same layers, the same bits, and a training that goes on.

use eggrad::nn::layers::Specs;
use eggrad::nn::loss::{LossSpec, Weighted};
use eggrad::nn::metrics::MetricSpec;
use eggrad::nn::{Gradients, OptimizerSpec};
use eggrad::prelude::*;
use eggrad::{Differences, SaveError};
use ndarray::{Array2, ArrayD, IxDyn};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Numbers that look like chance.
fn numbers(shape: &[usize]) -> ArrayD<f32> {
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|i| (i * 7919 % 101) as f32 / 50.0 - 1.0).collect();
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many numbers")
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.json");
    (folder, path)
}

/// Saves, loads, and compares what both say of `x`.
fn same(model: &Model, x: &ArrayD<f32>, path: &Path) -> Model {
    model.save(path).expect("saves");
    let loaded = Sequential::load(path).expect("loads");
    assert_eq!(loaded.predict(x).expect("predicts"), model.predict(x).expect("predicts"));
    let summary = |model: &Model| model.summary().expect("a summary").to_string();
    assert_eq!(summary(&loaded), summary(model));
    loaded
}

#[test]
fn every_layer_comes_back() {
    let (_folder, path) = folder();
    let images = Sequential::new((
        Rescaling::new(0.5).offset(0.1),
        Conv2d::new(4, (3, 2)).stride(2).relu().groups(2).l2(0.01).named("look"),
        BatchNorm::new().momentum(0.9),
        MaxPool2d::new(2).same(),
        Residual::new((
            Conv2d::new(4, 1).same().without_bias().init(Init::HeNormal),
            Activation::LeakyRelu(0.2),
        )),
        AvgPool2d::new([1, 2]).padding(Padding::Around([(0, 0), (1, 1)])),
        Stack::new((Flatten::new(), Dense::new(6).tanh().trainable(false))).named("head"),
        Reshape::new([3, 2]),
        GlobalMaxPool::new(),
    ))
    .input([9, 8, 2])
    .seed(3);
    let mut images = images;
    images.build().expect("builds");
    same(&images, &numbers(&[5, 9, 8, 2]), &path);

    let signals = Sequential::new((
        Conv1d::new(5, 3).dilation(2).gelu(),
        MaxPool1d::new(2),
        AvgPool1d::new(2).stride(1),
        Lstm::new(4).sequences(),
        Gru::new(4).sequences().backwards(),
        PositionEmbedding::new(9),
        LayerNorm::new().epsilon(1e-4),
        MultiHeadAttention::new(2).causal().dropout(0.1),
        TransformerBlock::new(2, 8).activation(Activation::Silu),
        RmsNorm::new(),
        SimpleRnn::new(3),
        Normalization::by([0.1, 0.2, 0.3], [1.0, 2.0, 1.0 / 3.0]),
        Dropout::new(0.3),
        Dense::new(2).softmax(),
    ))
    .input([20, 2]);
    // Before anything was trained or built, states are saved as they would begin.
    same(&signals, &numbers(&[3, 20, 2]), &path);

    let words =
        Sequential::new((Embedding::new(9, 4).init(Init::Orthogonal(0.5)), GlobalAvgPool::new()));
    let words = words.input_integers([6]);
    let x = Array2::from_shape_fn((4, 6), |(i, j)| ((i * 5 + j) % 9) as i32);
    words.save(&path).expect("saves");
    let loaded = Sequential::load(&path).expect("loads");
    assert_eq!(loaded.predict(&x).expect("predicts"), words.predict(&x).expect("predicts"));
}

#[test]
fn kinds_are_those_of_the_layers() {
    let shared: AnyLayer = Arc::new(Dense::new(3));
    let layers: Vec<AnyLayer> = vec![
        Arc::new(Dense::new(1)),
        Arc::new(Dropout::new(0.1)),
        Arc::new(BatchNorm::new()),
        Arc::new(LayerNorm::new()),
        Arc::new(RmsNorm::new()),
        Arc::new(Embedding::new(2, 2)),
        Arc::new(PositionEmbedding::new(2)),
        Arc::new(Conv1d::new(1, 1)),
        Arc::new(Conv2d::new(1, 1)),
        Arc::new(MaxPool1d::new(1)),
        Arc::new(MaxPool2d::new(1)),
        Arc::new(AvgPool1d::new(1)),
        Arc::new(AvgPool2d::new(1)),
        Arc::new(GlobalMaxPool::new()),
        Arc::new(GlobalAvgPool::new()),
        Arc::new(Lstm::new(1)),
        Arc::new(Gru::new(1)),
        Arc::new(SimpleRnn::new(1)),
        Arc::new(MultiHeadAttention::new(1)),
        Arc::new(TransformerBlock::new(1, 1)),
        Arc::new(Flatten::new()),
        Arc::new(Reshape::new([1])),
        Arc::new(Normalization::by([0.0], [1.0])),
        Arc::new(Rescaling::new(1.0)),
        Arc::new(Residual::new((Dense::new(1),))),
        Arc::clone(&shared),
        shared,
    ];
    let kinds: Vec<String> = layers.iter().map(|layer| layer.kind().to_string()).collect();
    let spec = Specs::of(&Stack::new(layers)).expect("all are data");
    let text = serde_json::to_value(&spec).expect("text");
    let found = text["layers"].as_array().expect("layers");
    let found: Vec<&str> = found.iter().filter_map(|layer| layer["kind"].as_str()).collect();
    assert_eq!(found[..found.len() - 1], kinds[..kinds.len() - 1]);
    assert_eq!(found.last(), Some(&"again"));
}

#[test]
fn shared_layers_stay_shared() {
    let (_folder, path) = folder();
    let (deep, shared): (AnyLayer, AnyLayer) =
        (Arc::new(Dense::new(4).tanh()), Arc::new(Dense::new(4)));
    let layers: Vec<AnyLayer> = vec![
        Arc::new(Stack::new(vec![deep.clone(), shared.clone()]).named("inner")),
        shared,
        Arc::new(Dense::new(4).relu()),
        deep,
    ];
    let mut model = Sequential::new(layers).input([4]);
    model.compile(MeanSquaredError, Sgd::new(0.1), ()).expect("compiles");
    let (x, y) = (numbers(&[6, 4]), numbers(&[6, 4]));
    model.fit(&x, &y, Fit::epochs(2)).expect("fits");
    assert_eq!(model.weights().len(), 6);
    let loaded = same(&model, &x, &path);
    assert_eq!(loaded.weights(), model.weights());
}

fn classifier() -> Model {
    let mut model =
        Sequential::new((Dense::new(8).tanh(), Dropout::new(0.2), Dense::new(3).softmax()))
            .input([2])
            .seed(5);
    let adam = Adam::new(0.02)
        .schedule(Schedule::cosine(60).warmup(5))
        .clip_global_norm(1.0)
        .accumulate(2);
    let loss = SparseCategoricalCrossentropy::new().label_smoothing(0.05);
    model.compile(loss, adam, (Accuracy, TopKAccuracy(2))).expect("compiles");
    model
}

fn rows() -> (Array2<f32>, Vec<i32>) {
    let x = Array2::from_shape_fn((30, 2), |(i, j)| ((i * (3 + 4 * j)) % 11) as f32 / 11.0);
    (
        x.clone(),
        x.rows().into_iter().map(|r| if r[0] > r[1] { 2 } else { i32::from(r[0] > 0.3) }).collect(),
    )
}

#[test]
fn a_loaded_model_goes_on_to_the_same_bits() {
    let (_folder, path) = folder();
    let (x, y) = rows();
    let fit = || Fit::epochs(8).batch(8).seed(9);
    let mut whole = classifier();
    let expected = whole.fit(&x, &y, fit()).expect("fits");

    // Saved between epochs by a callback, in the middle of one by hand.
    struct Stop;
    impl Callback for Stop {
        fn step(&mut self, _: &mut Model, done: Progress, _: f64) -> Result<Next, Error> {
            Ok(if done.epoch == 4 && done.step == 3 { Next::Stop } else { Next::Continue })
        }
    }
    let between = path.with_file_name("between.json");
    let mut first = classifier();
    let callback = ModelCheckpoint::every(&between, 3);
    first.fit(&x, &y, fit().callback(callback).callback(Stop)).expect("fits");
    first.save(&path).expect("saves");
    for (path, progress) in [
        (&between, Progress { epoch: 3, step: 0, seed: 9 }),
        (&path, Progress { epoch: 4, step: 3, seed: 9 }),
    ] {
        let mut loaded = Sequential::load(path).expect("loads");
        assert_eq!(loaded.progress(), progress);
        let rest = Fit::epochs(8).batch(8).resume(loaded.progress());
        let history = loaded.fit(&x, &y, rest).expect("fits");
        assert_eq!(history.epochs.last(), expected.epochs.last());
        assert_eq!(loaded.weights(), whole.weights());
        assert_eq!(
            loaded.evaluate(&x, &y).expect("evaluates"),
            whole.evaluate(&x, &y).expect("evaluates")
        );
    }
}

#[test]
fn losses_optimizers_and_metrics_come_back() {
    let losses: Vec<Arc<dyn Loss>> = vec![
        Arc::new(BinaryCrossentropy::new().from_logits().focal(2.0)),
        Arc::new(CategoricalCrossentropy::new().label_smoothing(0.1)),
        Arc::new(SparseCategoricalCrossentropy::new().ignore(-1)),
        Arc::new(KlDivergence::new().from_logits()),
        Arc::new(MeanSquaredError),
        Arc::new(HalfMeanSquaredError),
        Arc::new(MeanAbsoluteError),
        Arc::new(LogCosh),
        Arc::new(Hinge),
        Arc::new(SquaredHinge),
        Arc::new(Poisson),
        Arc::new(Huber::new(0.1 + 0.2).weighted(1.0 / 3.0)),
    ];
    for loss in losses {
        let text = serde_json::to_string(&loss.spec().expect("data")).expect("text");
        let back: LossSpec = serde_json::from_str(&text).expect("data");
        let back = back.loss();
        assert_eq!(format!("{back:?}"), format!("{loss:?}"), "{text}");
        assert_eq!((back.name(), back.factor()), (loss.name(), loss.factor()));
    }
    let metrics: Vec<Arc<dyn Metric>> = vec![
        Arc::new(Accuracy),
        Arc::new(TopKAccuracy(3)),
        Arc::new(ConfusionMatrix),
        Arc::new(Precision),
        Arc::new(Recall),
        Arc::new(F1),
        Arc::new(Auc),
        Arc::new(Mae.of_output(1)),
        Arc::new(Mse),
        Arc::new(Rmse),
        Arc::new(R2),
    ];
    for metric in metrics {
        let text = serde_json::to_string(&metric.spec().expect("data")).expect("text");
        let back: MetricSpec = serde_json::from_str(&text).expect("data");
        assert_eq!(format!("{:?}", back.metric()), format!("{metric:?}"), "{text}");
    }
    let schedules = [
        Schedule::constant(),
        Schedule::steps(3, 0.5),
        Schedule::exponential(4, 0.9).warmup(2),
        Schedule::cosine(10),
        Schedule::linear(10),
    ];
    for schedule in schedules {
        let optimizers: Vec<Box<dyn Optimizer>> = vec![
            Box::new(Adam::new(0.1).epsilon_mode(EpsilonMode::Uncorrected).schedule(schedule)),
            Box::new(Sgd::new(0.1).momentum(0.9).nesterov().clip_value(2.0).schedule(schedule)),
            Box::new(RmsProp::new(0.1).rho(0.8).l2(1e-4).schedule(schedule)),
            Box::new(Adagrad::new(0.1).schedule(schedule)),
            Box::new(Lion {
                gradients: Gradients { schedule, ..Gradients::default() },
                ..Lion::new(0.1)
            }),
        ];
        for optimizer in optimizers {
            let text = serde_json::to_string(&optimizer.spec().expect("data")).expect("text");
            let back: OptimizerSpec = serde_json::from_str(&text).expect("data");
            assert_eq!(format!("{:?}", back.optimizer()), format!("{optimizer:?}"), "{text}");
        }
    }
    let code = LossFn::new("mine", Task::Numbers, |p, y| (p - y).abs());
    assert_eq!(code.spec(), None);
    let weighted: Weighted<LossFn> = code.weighted(2.0);
    assert_eq!(weighted.spec(), None);
}

/// Two inputs, one encoder, two outputs.
struct Pair {
    encoder: Stack,
}

impl Pair {
    fn new(width: usize) -> Pair {
        Pair { encoder: Stack::new((Dense::new(width).relu(), Dense::new(2))).named("encoder") }
    }
}

impl Module for Pair {
    fn forward<'g>(&self, cx: &Context<'g>, inputs: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        let [a, b] = [inputs[0], inputs[1]].map(|x| self.encoder.apply(cx, x));
        vec![a - b, a * b]
    }
}

#[test]
fn a_module_of_ones_own() {
    let (_folder, path) = folder();
    let (a, b, y) = (numbers(&[7, 3]), numbers(&[7, 3]) * 0.5, numbers(&[7, 2]));
    let mut model = Model::of(Pair::new(4)).seed(2);
    let losses = (MeanSquaredError, MeanAbsoluteError.weighted(0.5));
    model.compile(losses, Adam::new(0.01), Mae.of_output(1)).expect("compiles");
    model.set_note("two of a kind");
    model.fit((&a, &b), (&y, &y), Fit::epochs(3)).expect("fits");
    model.save(&path).expect("saves");
    model.fit((&a, &b), (&y, &y), Fit::epochs(6).resume(model.progress())).expect("fits");

    let mut loaded = Model::load_with(&path, Pair::new(4)).expect("loads");
    assert_eq!(loaded.note(), "two of a kind");
    let from = loaded.progress();
    loaded.fit((&a, &b), (&y, &y), Fit::epochs(6).resume(from)).expect("fits");
    assert_eq!(loaded.weights(), model.weights());

    let error = Model::load(&path).expect_err("code").to_string();
    assert!(error.contains("the model is code; call `Model::load_with(path, layers)`"), "{error}");
    let error = Model::load_with(&path, Pair::new(5)).expect_err("another width");
    let Error::Save(SaveError::Differences(Differences(list))) = &error else { panic!("{error}") };
    // Two weights and a bias, and two memories of Adam for each.
    assert_eq!(list.len(), 9, "{error}");
    assert!(
        error.to_string().contains("encoder.dense_1.weight: f32[3, 5] in the model"),
        "{error}"
    );
}

#[test]
fn code_among_layers_and_losses() {
    let (_folder, path) = folder();
    let layers = || Stack::new((Dense::new(3), Lambda::new("swell", |x| x.exp()), Dense::new(2)));
    let loss = || LossFn::new("mine", Task::Numbers, |p, y| (p - y).square());
    let (x, y) = (numbers(&[6, 4]), numbers(&[6, 2]));
    let mut whole = Model::of(layers());
    whole.compile(loss(), Adam::new(0.01), ()).expect("compiles");
    whole.fit(&x, &y, Fit::epochs(3)).expect("fits");
    whole.save(&path).expect("saves");
    whole.fit(&x, &y, Fit::epochs(6).resume(whole.progress())).expect("fits");

    let error = Sequential::load(&path).expect_err("code").to_string();
    assert!(error.contains("its layer `swell` is code"), "{error}");
    let mut loaded = Model::load_with(&path, layers()).expect("loads");
    let error = loaded.fit(&x, &y, Fit::epochs(6)).expect_err("no loss").to_string();
    assert!(error.contains("comes before `compile`"), "{error}");
    loaded.compile(loss(), Adam::new(0.01), ()).expect("compiles");
    loaded.fit(&x, &y, Fit::epochs(6).resume(loaded.progress())).expect("fits");
    assert_eq!(loaded.weights(), whole.weights());

    // Another optimizer begins anew, and a second `compile` too.
    let mut other = Model::load_with(&path, layers()).expect("loads");
    other.compile(loss(), Sgd::new(0.01), ()).expect("compiles");
    assert!(other.store().get("adam.learning_rate").is_none());
    let mut other = Model::load_with(&path, layers()).expect("loads");
    other.compile(loss(), Adam::new(0.5), ()).expect("compiles");
    assert_eq!(other.learning_rate(), Some(f64::from(0.01f32)));
    other.compile(loss(), Adam::new(0.5), ()).expect("compiles");
    assert_eq!(other.learning_rate(), None);
}

#[test]
fn weights_alone() {
    let (folder, _) = folder();
    let path = folder.path().join("weights.safetensors");
    let (x, y) = rows();
    let mut model = classifier();
    model.fit(&x, &y, Fit::epochs(2)).expect("fits");
    model.save_weights(&path).expect("saves");
    let mut other = classifier().seed(77);
    other.load_weights(&path).expect("loads");
    assert_eq!(other.predict(&x).expect("predicts"), model.predict(&x).expect("predicts"));
    let mut unknown = Sequential::new((Dense::new(8).tanh(), Dense::new(3).softmax()));
    let error = unknown.load_weights(&path).expect_err("no inputs").to_string();
    assert!(error.contains("declare them with `.input([features])`"), "{error}");
    let error = unknown.save_weights(&path).expect_err("no inputs").to_string();
    assert!(error.contains("declare them with `.input([features])`"), "{error}");
    let mut wide = Sequential::new((Dense::new(9).tanh(), Dense::new(3).softmax())).input([2]);
    let error = wide.load_weights(&path).expect_err("another width").to_string();
    assert!(error.starts_with("what was saved is not of this model: 3 differences"), "{error}");
}

#[test]
fn what_is_no_model_is_refused() {
    let (folder, path) = folder();
    let (x, y) = rows();
    let mut model = classifier();
    model.fit(&x, &y, Fit::epochs(1)).expect("fits");
    model.save(&path).expect("saves");
    let text = fs::read_to_string(&path).expect("a file");
    let refuse = |from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "`{from}` in {text}");
        fs::write(&path, text.replacen(from, to, 1)).expect("writes");
        let message = Model::load(&path).expect_err(to).to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("model.json"), "{message}");
    };
    refuse(
        "\"kind\": \"dropout\"",
        "\"kind\": \"droplet\"",
        "unknown variant `droplet`, expected one of",
    );
    refuse("\"units\": 8", "\"units\": -8", "its description is damaged: invalid value");
    refuse("\"units\": 8", "\"unities\": 8", "unknown field `unities`");
    refuse("\"version\": 1", "\"version\": 3", "it is of version 3, this library reads up to 1");
    refuse("\"format\": \"eggrad-model\"", "\"format\": \"keras\"", "its format is `keras`");
    refuse("\"inputs\"", "\"outputs\"", "it was not written by `Model::save`");
    fs::write(&path, text.replacen("\"units\": 8", "\"units\": 9", 1)).expect("writes");
    let message = Model::load(&path).expect_err("another width").to_string();
    assert!(message.starts_with("what was saved is not of this model: "), "{message}");
    for end in (0..text.trim_end().len()).step_by(13) {
        fs::write(&path, &text[..end]).expect("writes");
        Model::load(&path).expect_err("cut");
    }
    let message = Model::load(folder.path().join("none.json")).expect_err("no file").to_string();
    assert!(message.contains("cannot read `") && message.contains("none.json"), "{message}");

    // A setting that JSON has no number for is refused when it is written, and the old file stays.
    fs::write(&path, &text).expect("writes");
    let wrong = Sequential::new((Dense::new(3), Activation::Elu(f64::INFINITY))).input([2]);
    let message = wrong.save(&path).expect_err("no finite number").to_string();
    assert!(message.contains("a setting of the model cannot be written"), "{message}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), text);
    let message = Sequential::new((Dense::new(3),)).save(&path).expect_err("unknown").to_string();
    assert!(message.contains("declare them with `.input([features])`"), "{message}");
    Model::load(&path).expect("the old file");
}

/// Every number of a description in turn is another: an error or a model, and no panic.
#[test]
fn numbers_that_were_changed() {
    let (_folder, path) = folder();
    let mut model = Sequential::new((
        Reshape::new([12, 3]),
        Conv1d::new(4, 3).relu(),
        MaxPool1d::new(2).padding(Padding::Around([(1, 0)])),
        Lstm::new(4).sequences(),
        MultiHeadAttention::new(2),
        TransformerBlock::new(2, 5),
        Gru::new(2),
    ))
    .input([36]);
    let adam = Adam::new(0.1).accumulate(2).schedule(Schedule::steps(3, 0.5).warmup(2));
    model.compile(Huber::new(1.0), adam, Mae).expect("compiles");
    model.save(&path).expect("saves");
    let text = fs::read_to_string(&path).expect("a file");
    let begin = text.find("\"model\"").expect("a model");
    let digits: Vec<usize> = text
        .match_indices(|c: char| c.is_ascii_digit())
        .map(|(i, _)| i)
        .filter(|&i| {
            i > begin && !text[..i].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_')
        })
        .collect();
    assert!(digits.len() >= 40, "{}", digits.len());
    for i in digits {
        let rest = text[i..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        for number in ["0", "7", "-1", "0.5", "18446744073709551615", "4611686018427387904"] {
            fs::write(&path, format!("{}{number}{rest}", &text[..i])).expect("writes");
            if let Ok(loaded) = Model::load(&path) {
                let _ = loaded.predict(numbers(&[2, 36]));
            }
        }
    }
}
