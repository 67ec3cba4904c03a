//! What a user gets wrong with models and data: each error says what, where, and what to do.

use eggrad::prelude::*;
use ndarray::{Array1, Array2};
use std::sync::Arc;

fn model() -> Model {
    let mut model = Sequential::new((
        Dense::new(5).relu(),
        Stack::new((Dense::new(4), Dense::new(3).softmax())).named("classifier"),
    ));
    model
        .compile(SparseCategoricalCrossentropy::new(), Adam::new(0.1), Accuracy)
        .expect("compiles");
    model
}

fn data() -> (Array2<f32>, Array1<i32>) {
    let x = Array2::from_shape_fn((10, 4), |(i, j)| (i * 4 + j) as f32 / 40.0);
    (x, Array1::from_iter((0..10).map(|i| i % 3)))
}

/// Text of an error, with this file's name shortened.
fn text<T>(result: Result<T, Error>) -> String {
    let error = result.err().expect("must be refused");
    error.to_string().replace(file!(), "here.rs")
}

#[test]
fn labels_that_are_no_classes() {
    let (x, y) = data();
    let check = |labels: &dyn Fn(&mut Model) -> Result<History, Error>, parts: &[&str]| {
        let text = text(labels(&mut model()));
        parts.iter().for_each(|part| assert!(text.contains(part), "{text}"));
    };
    let mut high = y.clone();
    high[7] = 3;
    check(
        &|m| m.fit(&x, &high, Fit::epochs(1)),
        &["`fit` has the label 3 at row 7, but 3 classes"],
    );
    let mut low = y.clone();
    low[2] = -1;
    check(&|m| m.fit(&x, &low, Fit::epochs(1)), &["has the label -1 at row 2", "`ignore` a label"]);
    let mut fraction = y.mapv(|v| v as f32);
    model().fit(&x, &fraction, Fit::epochs(1)).expect("whole floats are class numbers");
    fraction[4] = 0.5;
    check(
        &|m| m.fit(&x, &fraction, Fit::epochs(1)),
        &["has the fractional label 0.5 at row 4", "`MeanSquaredError`"],
    );
    let one_hot = Array2::<f32>::zeros((10, 3));
    check(
        &|m| m.fit(&x, &one_hot, Fit::epochs(1)),
        &["takes targets of shape [] in each row", "not [3]", "go with `CategoricalCrossentropy`"],
    );
}

#[test]
fn class_numbers_where_shares_are_meant() {
    let (x, y) = data();
    let mut model = Sequential::new((Dense::new(3).softmax(),));
    model.compile(CategoricalCrossentropy::new(), Adam::new(0.1), ()).expect("compiles");
    let found = text(model.fit(&x, &y, Fit::epochs(1)));
    assert!(found.contains("go with `SparseCategoricalCrossentropy`"), "{found}");
    let far = Array2::<f32>::from_elem((10, 3), 2.0);
    let found = text(model.fit(&x, &far, Fit::epochs(1)));
    assert!(found.contains("has the target 2 at row 0"), "{found}");
}

#[test]
fn rows_of_another_width() {
    let (x, y) = data();
    let mut model = model();
    model.fit(&x, &y, Fit::epochs(1)).expect("fits");
    let wide = Array2::<f32>::zeros((10, 5));
    let line = line!() + 1;
    let found = text(model.fit(&wide, &y, Fit::epochs(1)));
    let expected = format!(
        "`fit` in layer `dense_1` takes rows of shape [4] as input 0, not [5]\n  at here.rs:{line}\n"
    );
    assert!(found.starts_with(&expected), "{found}");
    let found = text(model.predict(&wide));
    assert!(found.starts_with("`predict` in layer `dense_1` takes rows of shape [4]"), "{found}");
    let found = text(model.evaluate(&wide, &y));
    assert!(found.starts_with("`evaluate` in layer `dense_1` takes rows of shape [4]"), "{found}");
    let mut fitted = self::model();
    let (x, y) = data();
    fitted.fit(&x, &y, Fit::epochs(1)).expect("fits");
    let found = text(fitted.predict(x.row(0)));
    assert!(found.contains("one row is `&[row]`"), "{found}");
}

#[test]
fn gaps_and_nothing() {
    let (mut x, y) = data();
    x[[3, 2]] = f32::NAN;
    let found = text(model().fit(&x, &y, Fit::epochs(1)));
    assert!(found.starts_with("`fit` holds NaN at row 3, column 2 of input 0"), "{found}");
    let (x, _) = data();
    let none = x.slice(ndarray::s![..0, ..]);
    let found = text(model().fit(none, &[0i32; 0], Fit::epochs(1)));
    assert!(found.starts_with("`fit` is given no rows"), "{found}");
    let found = text(model().fit(&x, &[0, 1], Fit::epochs(1)));
    assert!(found.starts_with("`fit` has 10 rows of inputs and 2 of targets"), "{found}");
    let found = text(model().fit(&x, &y, Fit::epochs(1).batch(0)));
    assert!(found.starts_with("`fit` asks for batches of no rows"), "{found}");
    let found = text(model().fit(&x, &y, Fit::epochs(1).validation_split(1.0)));
    assert!(found.starts_with("`fit` keeps 1 of the rows for validation"), "{found}");
    let found = text(model().fit(&x, &y, Fit::epochs(1).class_weights([1.0, 2.0])));
    assert!(found.starts_with("`fit` has 2 class weights, and none for row 2"), "{found}");
    let found = text(model().fit(&x, &y, Fit::epochs(1).sample_weights([1.0])));
    assert!(found.starts_with("`fit` has 1 sample weights for 10 rows"), "{found}");
    let found = text(model().fit_batches(|_| Vec::<Batch<'_>>::new(), Fit::epochs(1)));
    assert!(found.starts_with("`fit_batches` is given no batches"), "{found}");
}

#[test]
fn steps_in_the_wrong_order() {
    let (x, y) = data();
    let mut model = Sequential::new((Dense::new(3),));
    let found = text(model.fit(&x, &y, Fit::epochs(1)));
    assert!(found.starts_with("`fit` comes before `compile`"), "{found}");
    let found = text(model.evaluate(&x, &y));
    assert!(found.starts_with("`evaluate` comes before `compile`"), "{found}");
    let found = text(model.summary());
    assert!(found.starts_with("`summary` needs to know what the inputs are"), "{found}");
    let found = text(model.build());
    assert!(found.contains("declare them with `.input([features])`"), "{found}");
    let weights =
        Weights::from([("dense_1.weight".to_string(), ndarray::ArrayD::zeros(vec![4, 3]))]);
    let found = text(model.set_weights(&weights));
    assert!(found.contains("which has none yet"), "{found}");
}

#[test]
fn every_weight_that_does_not_fit_is_named() {
    let mut model = model().input([4]);
    model.build().expect("builds");
    let zeros = |shape: &[usize]| ndarray::ArrayD::<f32>::zeros(shape);
    let before = model.weights();
    let weights = Weights::from([
        ("dense_1.bias".to_string(), zeros(&[5])),
        ("classifier.dense_2.weight".to_string(), zeros(&[3, 4])),
        ("classifier.dense_3.weight".to_string(), zeros(&[4, 3])),
    ]);
    let found = text(model.set_weights(&weights));
    assert!(
        found.contains("`classifier.dense_2.weight` is f32[4, 3] in the model, not f32[3, 4]"),
        "{found}"
    );
    assert!(found.contains("`classifier.dense_3.weight` is no weight of the model"), "{found}");
    assert!(!found.contains("`dense_1.bias` is"), "{found}");
    assert_eq!(model.weights(), before);
}

#[test]
fn mistakes_in_layers_are_named_by_their_path() {
    let check = |layers: Vec<AnyLayer>, shape: &[usize], parts: &[&str]| {
        let mut model = Sequential::new(layers).input(shape);
        let found = text(model.compile(MeanSquaredError, Sgd::new(0.1), ()));
        parts.iter().for_each(|part| assert!(found.contains(part), "{found}"));
    };
    let line = line!() + 1;
    let head = Stack::new((Dense::new(3), Dense::new(0))).named("head");
    check(
        vec![Arc::new(head)],
        &[4],
        &["`dense` in layer `head.dense_2` has no units", &format!("here.rs:{line}")],
    );
    check(
        vec![Arc::new(Conv2d::new(4, 3))],
        &[28, 28],
        &["`conv2d` in layer `conv2d_1` takes [rows, height, width, channels]", "Reshape"],
    );
    check(
        vec![Arc::new(Embedding::new(10, 3))],
        &[5],
        &["`embedding` in layer `embedding_1` takes integers below 10"],
    );
    check(
        vec![Arc::new(Dropout::new(1.0))],
        &[5],
        &["`dropout` in layer `dropout_1` cannot have the rate 1"],
    );
    check(
        vec![Arc::new(MultiHeadAttention::new(3))],
        &[5, 4],
        &["_1` of 3 heads takes sequences", "a multiple of the heads"],
    );
    check(vec![Arc::new(Dense::new(3).named("a.b"))], &[5], &["`dense` cannot be called \"a.b\""]);
    let twice: Vec<AnyLayer> =
        vec![Arc::new(Dense::new(3).named("a")), Arc::new(Dense::new(3).named("a"))];
    check(twice, &[5], &["`dense` is called `a` like another layer"]);
    check(
        vec![Arc::new(Residual::new((Dense::new(3),)))],
        &[5],
        &["`residual` in layer `residual_1` adds [2, 3] to [2, 5]"],
    );
    let mut model = Sequential::new((Dense::new(1),)).input([2]);
    let line = line!() + 1;
    let found = text(model.compile(MeanSquaredError, Sgd::new(0.1), Accuracy));
    assert!(found.contains("`accuracy` counts classes"), "{found}");
    assert!(found.contains(&format!("  at here.rs:{line}\n")), "{found}");
    let found =
        text(model.compile(MeanSquaredError, Sgd::new(0.1).schedule(Schedule::steps(0, 0.5)), ()));
    assert!(found.contains("`sgd` cannot have the schedule"), "{found}");
    let found = text(model.compile((MeanSquaredError, MeanSquaredError), Sgd::new(0.1), ()));
    assert!(found.contains("has 2 losses for 1 outputs"), "{found}");
}

/// Weights that grow without bounds, until the loss is infinite.
#[test]
fn a_loss_that_is_not_finite_keeps_the_last_good_weights() {
    let x = [[1.0f32, 2.0], [3.0, -1.0]];
    let y = [1.0f32, 2.0];
    let build = || {
        let mut model = Sequential::new((Dense::new(4), Dense::new(1))).seed(1);
        model.compile(MeanSquaredError, Sgd::new(50.0), ()).expect("compiles");
        model
    };
    let mut model = build();
    let found = text(model.fit(&x, &y, Fit::epochs(100).batch(1)));
    assert!(found.starts_with("`loss` is "), "{found}");
    assert!(found.contains("nothing was written"), "{found}");
    assert!(found.contains("whose operands hold "), "{found}");
    let step = model.progress();
    let place = format!("in step {} of epoch {}", step.step + 1, step.epoch + 1);
    assert!(found.ends_with(&place), "{found}");
    assert!(model.weights().values().flatten().all(|w| w.is_finite()), "{:?}", model.weights());
    assert!(model.predict(&x).expect("predicts").iter().count() == 2);

    let mut forgiven = build();
    let fit = Fit::epochs(100).batch(1).callback(TerminateOnNan);
    let history = forgiven.fit(&x, &y, fit).expect("ends without an error");
    assert!(history.stopped.is_some_and(|why| why.contains("nothing was written")));
    assert_eq!(forgiven.weights(), model.weights());
}

/// A finite loss with a gradient that is not: the next step finds out, and the weights go back.
#[test]
fn weights_that_a_gradient_broke_go_back() {
    let mut model = Sequential::new((Dense::new(1).init(Init::Zeros).without_bias(),));
    let loss = LossFn::new("root", Task::Numbers, |p, y| (p - y).square().sqrt());
    model.compile(loss, Sgd::new(0.1), ()).expect("compiles");
    // At p = y the derivative of the root of the square is 0/0, or a number after rewriting.
    let fit = Fit::epochs(3).batch(1);
    match model.fit(&[[1.0f32]], &[0.0f32], fit) {
        Ok(history) => assert!(history.last_loss.is_finite()),
        Err(error) => assert!(matches!(error, Error::NotFinite { .. }), "{error}"),
    }
    let weight = model.weight("dense_1.weight").expect("a weight");
    assert!(weight.iter().all(|w| w.is_finite()), "{weight}");
}

#[test]
fn a_callback_that_watches_nothing() {
    let (x, y) = data();
    let fit = Fit::epochs(2).callback(EarlyStopping::new("val_loss"));
    let found = text(model().fit(&x, &y, fit));
    assert!(found.contains("watches `val_loss`, which no epoch has: accuracy"), "{found}");
    let found = text(model().set_learning_rate(f64::NAN));
    assert!(found.starts_with("`learning_rate` cannot be NaN"), "{found}");
}

/// Settings that make no sense are told when the model is compiled, with the layer or loss they belong to.
#[test]
fn settings_that_cannot_be() {
    let layer = |layer: AnyLayer, shape: &[usize], expected: &str| {
        let mut model = Sequential::new(vec![layer]).input(shape);
        let found = text(model.compile(MeanSquaredError, Sgd::new(0.1), ()));
        assert!(found.starts_with(expected), "{found}");
    };
    layer(
        Arc::new(BatchNorm::new().momentum(2.0)),
        &[3],
        "`batch_norm` in layer `batch_norm_1` cannot have the momentum 2",
    );
    layer(
        Arc::new(LayerNorm::new().epsilon(-1.0)),
        &[3],
        "`layer_norm` in layer `layer_norm_1` cannot have the epsilon -1",
    );
    layer(
        Arc::new(Dense::new(2).l2(f64::NAN)),
        &[3],
        "`regularizer` in layer `dense_1` cannot have the l2 NaN",
    );
    layer(
        Arc::new(TransformerBlock::new(1, 2).dropout(1.0)),
        &[4, 3],
        "`dropout` in layer `transformer_block_1.attention` cannot have the rate 1",
    );
    layer(Arc::new(Conv1d::new(0, 2)), &[4, 3], "`conv1d` in layer `conv1d_1` has no filters");
    layer(
        Arc::new(Normalization::adapt(&[1.0f32, f32::NAN, 2.0, 3.0], 2)),
        &[2],
        "`normalization` in layer `normalization_1` has mean NaN and variance NaN of feature 1",
    );
    layer(
        Arc::new(Rescaling::new(f64::INFINITY)),
        &[2],
        "`rescaling` in layer `rescaling_1` cannot have the factor inf",
    );
    layer(
        Arc::new(Dense::new(2)),
        &[0],
        "`dense` in layer `dense_1` takes rows of floats, not f32[2, 0]",
    );

    let mut model = model().input([4]);
    let refuse = |found: Result<(), Error>, expected: &str| {
        let found = text(found);
        assert!(found.starts_with(expected), "{found}");
        assert!(found.contains("\n  at here.rs:"), "{found}");
    };
    let (scce, adam) = (SparseCategoricalCrossentropy::new(), Adam::new(0.1));
    refuse(
        model.compile(scce.label_smoothing(2.0), adam, ()),
        "`sparse_categorical_crossentropy` cannot have the label_smoothing 2",
    );
    refuse(
        model.compile(scce.focal(f64::NAN), adam, ()),
        "`sparse_categorical_crossentropy` cannot have the focal NaN",
    );
    refuse(
        model.compile(scce.weighted(f64::INFINITY), adam, ()),
        "`sparse_categorical_crossentropy` cannot have the weight inf",
    );
    refuse(model.compile(Huber::new(-1.0), adam, ()), "`huber` cannot have the delta -1");
    refuse(model.compile(scce, adam, TopKAccuracy(0)), "`top_k_accuracy` looks at no predictions");
    refuse(
        model.compile(scce, adam, (Accuracy, F1, Accuracy)),
        "`compile` is given two metrics called `accuracy`",
    );
    let (x, y) = data();
    let reduce = ReduceLrOnPlateau::new("loss").factor(f64::NAN);
    let found = text(self::model().fit(&x, &y, Fit::epochs(2).callback(reduce)));
    assert!(found.starts_with("`ReduceLrOnPlateau` cannot have the factor NaN"), "{found}");
}

#[test]
fn inputs_and_targets_by_their_rows() {
    let (x, _) = data();
    let mut shares = Sequential::new((Dense::new(3).softmax(),));
    shares.compile(CategoricalCrossentropy::new(), Adam::new(0.1), ()).expect("compiles");
    let mut y = Array2::from_shape_fn((10, 3), |(i, j)| f32::from(i % 3 == j));
    shares.fit(&x, &y, Fit::epochs(1)).expect("fits");
    y[[4, 0]] = 1.0;
    let found = text(shares.fit(&x, &y, Fit::epochs(1)));
    assert!(found.starts_with("`fit` has targets that add up to 2 at row 4"), "{found}");
    assert!(found.contains("go with `BinaryCrossentropy`"), "{found}");

    let mut words = Sequential::new((Embedding::new(5, 2), Flatten::new(), Dense::new(1)));
    words.compile(MeanSquaredError, Adam::new(0.1), ()).expect("compiles");
    let mut x = Array2::<i32>::zeros((40, 3));
    x[[17, 1]] = 5;
    let y = Array1::<f32>::zeros(40);
    let found = text(words.fit(&x, &y, Fit::epochs(1)));
    assert!(found.starts_with("`fit` holds 5 at row 17 of input 0, outside 0 to 4"), "{found}");
    x[[17, 1]] = 4;
    words.fit(&x, &y, Fit::epochs(1)).expect("fits");
    x[[2, 2]] = -1;
    let found = text(words.evaluate(&x, &y));
    assert!(found.starts_with("`evaluate` holds -1 at row 2 of input 0"), "{found}");
    let found = text(words.predict(&x));
    assert!(found.starts_with("`predict` holds -1 at row 2 of input 0"), "{found}");
    let nothing = Array2::<f32>::zeros((10, 0));
    let found = text(model().fit(&nothing, &[0i32; 10], Fit::epochs(1)));
    assert!(found.starts_with("`fit` is given rows of no numbers"), "{found}");
}

/// Pixels are integers, and so are tokens: the layers tell which are floats.
#[test]
fn integers_become_floats_where_layers_take_floats() {
    let pixels =
        ndarray::Array4::<u8>::from_shape_fn((6, 4, 4, 1), |(i, j, k, _)| (i * j + k) as u8);
    let layers = || (Conv2d::new(2, 2), Flatten::new(), Dense::new(1));
    let mut model = Sequential::new(layers());
    model.compile(MeanSquaredError, Sgd::new(0.001), ()).expect("compiles");
    model.fit(&pixels, &[0.0f32; 6], Fit::epochs(1)).expect("fits");
    let floats = pixels.mapv(f32::from);
    assert_eq!(
        model.predict(&pixels).expect("predicts"),
        model.predict(&floats).expect("predicts")
    );
    let fresh = Sequential::new(layers());
    assert_eq!(
        fresh.predict(&pixels).expect("predicts"),
        fresh.predict(&floats).expect("predicts")
    );
    // Tokens stay integers, which an embedding checks.
    let tokens = Sequential::new((Embedding::new(3, 2), Flatten::new()));
    assert!(text(tokens.predict(&[[3], [0]])).contains("outside 0 to 2"));
    let mut nothing = Sequential::new(Flatten::new());
    nothing.compile(MeanSquaredError, Sgd::new(0.1), ()).expect("compiles");
    let found = text(nothing.fit(&[[1, 2]], &[[1.0f32, 2.0]], Fit::epochs(1)));
    assert!(found.starts_with("`compile` has a loss of output 0, which is i32[1, 2]"), "{found}");
}

#[test]
fn a_rate_is_set_before_the_first_step() {
    let found = text(model().set_learning_rate(0.5));
    assert!(found.starts_with("`set_learning_rate` needs to know what the inputs are"), "{found}");
    let mut model = model().input([4]);
    model.set_learning_rate(0.5).expect("sets");
    assert_eq!(model.learning_rate(), Some(0.5));
}

#[test]
fn sizes_of_axes() {
    let g = Graph::new();
    let x = g.input("x", [2, 3, 5]);
    assert_eq!((x.size(0), x.size(-1), x.size(1)), (2, 5, 3));
    assert_eq!(x.size(3), 1);
    let found = g.build().expect_err("no such axis").to_string();
    assert!(found.starts_with("`size` has no axis 3: the operand has 3 axes"), "{found}");
}
