//! Layers as values: what they are called, what they make, how many numbers they hold, and that they learn.

use eggrad::prelude::*;
use ndarray::{Array2, Array3, ArrayD, IxDyn};

/// A layer, the shape of its rows and of what it makes of them, and its numbers: trained ones and others.
type Case = (AnyLayer, Vec<usize>, Vec<usize>, (usize, usize));

fn case(
    layer: impl Layer + 'static,
    from: &[usize],
    to: &[usize],
    numbers: (usize, usize),
) -> Case {
    (std::sync::Arc::new(layer), from.to_vec(), to.to_vec(), numbers)
}

fn cases() -> Vec<Case> {
    vec![
        case(Dense::new(5).relu(), &[3], &[5], (20, 0)),
        case(Dense::new(5).without_bias(), &[2, 3], &[2, 5], (15, 0)),
        case(Dense::new(5).trainable(false), &[3], &[5], (0, 20)),
        case(Activation::Softmax, &[3], &[3], (0, 0)),
        case(Flatten::new(), &[2, 3, 4], &[24], (0, 0)),
        case(Reshape::new([3, 2]), &[6], &[3, 2], (0, 0)),
        case(Dropout::new(0.5), &[6], &[6], (0, 0)),
        case(BatchNorm::new(), &[4, 3], &[4, 3], (6, 6)),
        case(LayerNorm::new(), &[4, 3], &[4, 3], (6, 0)),
        case(RmsNorm::new(), &[4, 3], &[4, 3], (3, 0)),
        case(PositionEmbedding::new(7), &[4, 3], &[4, 3], (21, 0)),
        // The course's electrocardiogram: 100 steps, 9 windows, then 3.
        case(Conv1d::new(4, 20).stride(10), &[100, 1], &[9, 4], (84, 0)),
        case(Conv1d::new(2, 5).stride(2).relu(), &[9, 4], &[3, 2], (42, 0)),
        case(Conv1d::new(4, 3).same().groups(2), &[9, 4], &[9, 4], (28, 0)),
        case(Conv2d::new(4, 3), &[8, 8, 2], &[6, 6, 4], (76, 0)),
        case(Conv2d::new(4, (3, 1)).same().stride(2), &[8, 8, 2], &[4, 4, 4], (28, 0)),
        case(MaxPool1d::new(2), &[8, 3], &[4, 3], (0, 0)),
        case(AvgPool1d::new(3).stride(1).same(), &[8, 3], &[8, 3], (0, 0)),
        case(MaxPool2d::new(2), &[8, 6, 3], &[4, 3, 3], (0, 0)),
        case(AvgPool2d::new((2, 3)), &[8, 6, 3], &[4, 2, 3], (0, 0)),
        case(GlobalMaxPool::new(), &[8, 6, 3], &[3], (0, 0)),
        case(GlobalAvgPool::new(), &[8, 3], &[3], (0, 0)),
        case(SimpleRnn::new(4), &[5, 3], &[4], (32, 0)),
        case(Lstm::new(4), &[5, 3], &[4], (128, 0)),
        case(Lstm::new(4).sequences().backwards(), &[5, 3], &[5, 4], (128, 0)),
        case(Gru::new(4).sequences(), &[5, 3], &[5, 4], (108, 0)),
        case(MultiHeadAttention::new(2), &[5, 4], &[5, 4], (80, 0)),
        case(MultiHeadAttention::new(4).causal(), &[5, 8], &[5, 8], (288, 0)),
        case(TransformerBlock::new(2, 6).causal(), &[5, 4], &[5, 4], (154, 0)),
        case(Residual::new((Dense::new(3).tanh(),)), &[3], &[3], (12, 0)),
        case(Stack::new((Dense::new(4), Dense::new(2))), &[3], &[2], (26, 0)),
        case(Normalization::by([1.0, 2.0], [1.0, 4.0]), &[2], &[2], (0, 4)),
        case(Rescaling::new(0.5).offset(1.0), &[2], &[2], (0, 0)),
    ]
}

/// Rows of numbers between -1 and 1.
fn numbers(rows: usize, shape: &[usize]) -> ArrayD<f32> {
    let mut i = 0u32;
    ArrayD::from_shape_simple_fn(IxDyn(&[&[rows], shape].concat()), || {
        i += 1;
        (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

#[test]
fn shapes_and_numbers() {
    for (layer, from, to, numbers) in cases() {
        let model = Sequential::new(vec![layer.clone()]).input(from.as_slice());
        let summary = model.summary().unwrap_or_else(|e| panic!("{layer:?}: {e}"));
        let output = summary.layers[0].output.as_ref().expect("an output");
        assert_eq!(output.shape.dims()[1..], to, "{layer:?}");
        assert_eq!((summary.trainable, summary.fixed), numbers, "{layer:?}");
        let made = model.predict(self::numbers(3, &from)).expect("predicts");
        assert_eq!(made.shape(), [&[3], to.as_slice()].concat(), "{layer:?}");
        assert!(made.iter().all(|v| v.is_finite()), "{layer:?}: {made}");
    }
}

#[test]
fn every_layer_lets_what_is_around_it_learn() {
    for (layer, from, to, (trained, _)) in cases() {
        let width: usize = from.iter().product();
        let layers: Vec<AnyLayer> = vec![
            std::sync::Arc::new(Dense::new(width).named("before")),
            std::sync::Arc::new(Reshape::new(from.clone())),
            layer.clone(),
            std::sync::Arc::new(Flatten::new()),
            std::sync::Arc::new(Dense::new(1).named("after")),
        ];
        let mut model = Sequential::new(layers).input([4]);
        let name = format!("{layer:?}, {to:?}");
        model.compile(MeanSquaredError, Adam::new(0.02), ()).expect(&name);
        model.build().expect(&name);
        let before = model.weights();
        let x = numbers(8, &[4]);
        let y: Vec<f32> = x.outer_iter().map(|row| row[0] - row[1] + 0.5).collect();
        let fit = Fit::epochs(60).batch(8);
        let history = model.fit(&x, &y, fit).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (first, last) = (history.first_loss, history.last_loss);
        let random = name.starts_with("Dropout");
        assert!(last < if random { 0.9 } else { 0.5 } * first, "{name}: {first} to {last}");
        for (path, weight) in model.weights() {
            // A bias of keys is the same for all positions, which a softmax does not see.
            if path.ends_with("key.bias") {
                continue;
            }
            let around = path.starts_with("before") || path.starts_with("after");
            assert_eq!(weight != before[&path], around || trained > 0, "{name}: `{path}`");
        }
    }
}

#[test]
fn names_and_paths() {
    let model = Sequential::new((
        Dense::new(3).relu(),
        Stack::new((Dense::new(4), Dense::new(2).named("last"), Dense::new(2))).named("classifier"),
        Dense::new(3),
        Residual::new((Dense::new(3),)),
    ))
    .input([2]);
    let paths: Vec<String> =
        model.summary().expect("a summary").layers.into_iter().map(|l| l.path).collect();
    let expected = [
        "dense_1",
        "classifier",
        "classifier.dense_1",
        "classifier.last",
        "classifier.dense_2",
        "dense_2",
        "residual_1",
        "residual_1.dense_1",
    ];
    assert_eq!(paths, expected);
    let text = model.summary().expect("a summary").to_string();
    assert!(text.contains("\n  dense_2   dense     [rows, 2]           6\n"), "{text}");
}

#[test]
fn batch_normalisation_keeps_running_means() {
    let mut model = Sequential::new((BatchNorm::new().momentum(0.9),)).input([2]);
    model.compile(MeanSquaredError, Sgd::new(0.0), ()).expect("compiles");
    let x = [[1.0f32, 10.0], [3.0, 10.0], [5.0, 40.0], [7.0, 40.0]];
    model.fit(&x, &x, Fit::epochs(1).batch(4)).expect("fits");
    let mean = model.weight("batch_norm_1.mean").expect("a mean");
    let variance = model.weight("batch_norm_1.variance").expect("a variance");
    let near = |found: &ArrayD<f32>, expected: [f32; 2]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found}");
    };
    near(&mean, [0.4, 2.5]);
    near(&variance, [0.9 + 0.5, 0.9 + 22.5]);
    // What is predicted is normalised by what was kept.
    let made = model.predict(&[[1.0f32, 1.0]]).expect("predicts");
    let expected = (1.0 - 0.4) / (1.4f32 + 1e-3).sqrt();
    assert!((made[[0, 0]] - expected).abs() < 1e-5, "{made}");

    // A layer that is not trainable changes nothing, also in training.
    let mut fixed = Sequential::new((BatchNorm::new().trainable(false), Dense::new(2))).input([2]);
    fixed.compile(MeanSquaredError, Sgd::new(0.1), ()).expect("compiles");
    fixed.fit(&x, &x, Fit::epochs(2).batch(2)).expect("fits");
    assert!(fixed.weight("batch_norm_1.mean").expect("a mean").iter().all(|m| *m == 0.0));
}

#[test]
fn dropout_drops_in_training_alone() {
    let mut model = Sequential::new((Dropout::new(0.5), Dense::new(1).init(Init::Constant(1.0))));
    model.compile(MeanSquaredError, Sgd::new(0.0), ()).expect("compiles");
    let x = Array2::<f32>::ones((4, 1000));
    let y = [0.0f32; 4];
    let history = model.fit(&x, &y, Fit::epochs(3).batch(4)).expect("fits");
    // A sum of a thousand zeros and twos, squared: about a million and never twice the same.
    let losses = history.get("loss");
    assert!(losses.iter().all(|l| (l / 1e6 - 1.0).abs() < 0.2), "{losses:?}");
    assert_ne!(losses[0], losses[1]);
    assert_eq!(model.predict(&x).expect("predicts")[[0, 0]], 1000.0);
}

#[test]
fn normalisation_of_data() {
    let x =
        Array2::from_shape_fn((50, 3), |(i, j)| if j == 2 { 7.0 } else { (i * (j + 1)) as f32 });
    let layer = Normalization::adapt(&x, 3);
    let made = Sequential::new((layer,)).predict(&x).expect("predicts");
    for column in 0..2 {
        let values: Vec<f32> = (0..50).map(|i| made[[i, column]]).collect();
        let mean = values.iter().sum::<f32>() / 50.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 50.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }
    assert!((0..50).all(|i| made[[i, 2]] == 0.0));
}

#[test]
fn an_embedding_looks_rows_up() {
    let model = Sequential::new((
        Embedding::new(4, 2).init(Init::Values((0..8).map(f64::from).collect())),
    ));
    let found = model.predict(&[[3, 0], [1, 1]]).expect("predicts");
    assert_eq!(found.iter().copied().collect::<Vec<_>>(), [6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0]);
    let text = model.predict(&[[3], [2], [4]]).expect_err("refused").to_string();
    assert!(text.starts_with("`predict` holds 4 at row 2 of input 0, outside 0 to 3"), "{text}");
}

/// The text of a loop, and with it the work of compiling, does not grow with the number of steps.
#[test]
fn recurrent_layers_are_loops() {
    let size = |steps: usize| {
        let mut model = Sequential::new((Lstm::new(8), Dense::new(1))).input([steps, 3]);
        model.compile(MeanSquaredError, Adam::new(0.01), ()).expect("compiles");
        let graph = model.graph(Mode::Train, 4).expect("a graph").build().expect("builds").graph;
        eggrad::lower(&graph, &Options::default()).expect("lowers").nodes().len()
    };
    assert_eq!(size(10), size(1000));
}

#[test]
fn causal_attention_does_not_look_ahead() {
    let model = Sequential::new((MultiHeadAttention::new(2).causal(),));
    let mut x = Array3::from_shape_fn((1, 6, 4), |(_, i, j)| ((i * 7 + j * 3) % 5) as f32 - 2.0);
    let before = model.predict(&x).expect("predicts");
    x[[0, 4, 1]] = 9.0;
    let after = model.predict(&x).expect("predicts");
    for position in 0..6 {
        let same = (0..4).all(|j| before[[0, position, j]] == after[[0, position, j]]);
        assert_eq!(same, position < 4, "position {position}");
    }
}

#[test]
fn initialisers_have_the_spread_they_promise() {
    use eggrad::ir::TensorType;
    let ty = TensorType::new(DType::F32, [400, 100]);
    let spread = |init: Init| {
        let values = init.values("w", &ty, 1);
        let mean = values.iter().sum::<f64>() / 4e4;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4e4).sqrt()
    };
    for (init, expected) in [
        (Init::GlorotUniform, (2.0f64 / 500.0).sqrt()),
        (Init::GlorotNormal, (2.0f64 / 500.0).sqrt()),
        (Init::HeNormal, (2.0f64 / 400.0).sqrt()),
        (Init::HeUniform, (2.0f64 / 400.0).sqrt()),
        (Init::LecunNormal, (1.0f64 / 400.0).sqrt()),
        (Init::LecunUniform, (1.0f64 / 400.0).sqrt()),
        (Init::Normal(0.3), 0.3),
        (Init::Uniform(0.3), 0.3 / 3f64.sqrt()),
        (Init::TruncatedNormal(1.0), 0.8796),
        (Init::Orthogonal(1.0), 0.05),
    ] {
        let found = spread(init.clone());
        assert!((found / expected - 1.0).abs() < 0.03, "{init:?}: {found}, not {expected}");
    }
    let q = Init::Orthogonal(2.0).values("w", &ty, 3);
    for (a, b) in [(0, 0), (0, 1), (7, 7), (7, 99)] {
        let dot: f64 = (0..400).map(|i| q[i * 100 + a] * q[i * 100 + b]).sum();
        let expected = if a == b { 4.0 } else { 0.0 };
        assert!((dot - expected).abs() < 1e-5, "columns {a} and {b}: {dot}");
    }
}
