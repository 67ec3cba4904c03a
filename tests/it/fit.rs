//! Training: what `fit` does with data, and what it says of it.

use eggrad::prelude::*;
use ndarray::{Array1, Array2};
use std::cell::{Cell, RefCell};

/// Two moons of a kind: 120 rows of two numbers in two classes, which overlap a little.
fn data() -> (Array2<f32>, Array1<i32>) {
    let unit = |i: usize, k: u64| {
        let hash = (i as u64 * 2 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 40) as f32 / (1u64 << 24) as f32
    };
    let x = Array2::from_shape_fn((120, 2), |(i, j)| {
        let class = (i % 2) as f32;
        unit(i, j as u64) * 2.0 - 1.0 + class * 0.9
    });
    (x, Array1::from_iter((0..120).map(|i| i % 2)))
}

fn model(seed: u64) -> Model {
    let mut model = Sequential::new((
        Dense::new(8).tanh(),
        Dropout::new(0.2),
        BatchNorm::new(),
        Dense::new(2).softmax(),
    ))
    .seed(seed);
    let loss = SparseCategoricalCrossentropy::new();
    let adam = Adam::new(0.02).schedule(Schedule::cosine(200).warmup(5)).clip_global_norm(1.0);
    model.compile(loss, adam, Accuracy).expect("compiles");
    model
}

/// Every state, as bits.
fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let states = model.store().states().map(|s| s.0.to_string());
    let all = states.map(|path| {
        let bits = match model.store().get(&path) {
            Some(ArrayRef::F32(v)) => v.iter().map(|x| x.to_bits()).collect(),
            Some(ArrayRef::I32(v)) => v.iter().map(|x| *x as u32).collect(),
            other => panic!("`{path}` is {other:?}"),
        };
        (path, bits)
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

/// Copies every state of one model to another.
fn copy(from: &Model, to: &mut Model) {
    let paths: Vec<String> = from.store().states().map(|s| s.0.to_string()).collect();
    for path in paths {
        match (from.store().get(&path), to.store_mut().get_mut(&path)) {
            (Some(ArrayRef::F32(a)), Some(ArrayMut::F32(b))) => b.copy_from_slice(a),
            (Some(ArrayRef::I32(a)), Some(ArrayMut::I32(b))) => b.copy_from_slice(a),
            other => panic!("`{path}` is {other:?}"),
        }
    }
}

#[test]
fn a_resumed_training_gives_the_bits_of_one_that_was_not_interrupted() {
    let (x, y) = data();
    let fit = || Fit::epochs(6).batch(16).seed(4);
    let mut whole = model(1);
    whole.fit(&x, &y, fit()).expect("fits");
    // Stopped in the middle of an epoch, between epochs, and after the first step.
    for stop in [
        Progress { epoch: 2, step: 3, seed: 4 },
        Progress { epoch: 3, step: 8, seed: 4 },
        Progress { epoch: 0, step: 1, seed: 4 },
    ] {
        struct Stop(Progress);
        impl Callback for Stop {
            fn step(&mut self, _: &mut Model, done: Progress, _: f64) -> Result<Next, Error> {
                Ok(if done == self.0 { Next::Stop } else { Next::Continue })
            }
        }
        let mut first = model(1);
        let history = first.fit(&x, &y, fit().callback(Stop(stop))).expect("fits");
        assert_eq!(history.stopped.as_deref(), Some("a callback stopped it"));
        assert_eq!(first.progress(), stop);
        assert_ne!(bits(&first), bits(&whole));
        // Another process: nothing but the states and the progress is known of the first.
        let mut second = model(9).input([2]);
        second.build().expect("builds");
        copy(&first, &mut second);
        // The epoch that was cut off behind its last step has no loss to watch.
        let patient = EarlyStopping::new("loss").patience(100);
        let rest = second.fit(&x, &y, fit().resume(stop).callback(patient)).expect("fits");
        assert_eq!(rest.epochs.last().map(|e| e.number), Some(6));
        assert_eq!(bits(&second), bits(&whole), "{stop:?}");
    }
}

#[test]
fn threads_change_no_bit() {
    let (x, y) = data();
    let run = |threads: usize| {
        let options = Options { threads, ..Options::default() };
        let mut model = model(1).options(options);
        model.fit(&x, &y, Fit::epochs(3).batch(40)).expect("fits");
        bits(&model)
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(4), one);
}

/// Products and rows that are large enough to be shared out, with a batch of another size at the end of an epoch.
#[test]
fn threads_change_no_bit_of_large_layers() {
    let x =
        Array2::from_shape_fn((700, 200), |(i, j)| ((i * 37 + j * 11) % 101) as f32 / 50.0 - 1.0);
    let y: Vec<i32> = (0..700).map(|i| i % 64).collect();
    let run = |threads: usize| {
        let mut model = Sequential::new((
            Dense::new(150).gelu(),
            LayerNorm::new(),
            Dropout::new(0.1),
            Dense::new(64).softmax(),
        ));
        model = model.options(Options { threads, ..Options::default() });
        model
            .compile(SparseCategoricalCrossentropy::new(), Adam::new(1e-2), Accuracy)
            .expect("compiles");
        let history = model.fit(&x, &y, Fit::epochs(2).batch(300)).expect("fits");
        (bits(&model), history.last("loss").to_bits())
    };
    let one = run(1);
    for threads in [2, 4] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}

#[test]
fn validation_of_a_part_and_of_other_data() {
    let (x, y) = data();
    let mut model = model(2);
    let fit = Fit::epochs(15).batch(16).validation_split(0.25);
    let history = model.fit(&x, &y, fit).expect("fits");
    let names = ["accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"];
    assert_eq!(history.names(), names);
    assert_eq!(history.get("val_loss").len(), 15);
    assert!(history.last("val_accuracy") > 0.7, "{history:?}");
    // 90 of the 120 rows are learnt from, in 6 steps.
    assert_eq!(model.progress(), Progress { epoch: 15, step: 0, seed: 0 });
    assert_eq!(history.step_us.len(), 15 * 5);
    let held = x.slice(ndarray::s![90.., ..]);
    let reached = model.evaluate(held, y.slice(ndarray::s![90..])).expect("evaluates");
    assert_eq!(reached.loss(), history.last("val_loss"));
    assert_eq!(reached.get("accuracy"), history.last("val_accuracy"));

    let history = model.fit(&x, &y, Fit::epochs(1).validation(&x, &y)).expect("fits");
    assert!(history.last("val_loss").is_finite());
}

/// The loss of an epoch is the mean over rows, also where the last batch is smaller.
#[test]
fn losses_and_metrics_are_means_over_all_rows() {
    let (x, y) = data();
    let mut model = Sequential::new((Dense::new(2).softmax(),));
    let metrics = (Accuracy, ConfusionMatrix, TopKAccuracy(1), Precision, Recall, F1, Auc);
    model.compile(SparseCategoricalCrossentropy::new(), Sgd::new(0.0), metrics).expect("compiles");
    let history = model.fit(&x, &y, Fit::epochs(1).batch(50)).expect("fits");
    let reached = model.evaluate(&x, &y).expect("evaluates");
    assert!((history.last("loss") - reached.loss()).abs() < 1e-6);

    let p = model.predict(&x).expect("predicts");
    let loss: f64 = (0..120).map(|i| -f64::from(p[[i, y[i] as usize]]).ln()).sum::<f64>() / 120.0;
    assert!((reached.loss() - loss).abs() < 1e-6, "{} is not {loss}", reached.loss());
    let mut counts = [[0.0f64; 2]; 2];
    (0..120).for_each(|i| counts[y[i] as usize][usize::from(p[[i, 1]] > p[[i, 0]])] += 1.0);
    let [[tn, fp], [fne, tp]] = counts;
    assert_eq!(reached.sums["confusion_matrix"], [tn, fp, fne, tp]);
    for (name, expected) in [
        ("accuracy", (tn + tp) / 120.0),
        ("confusion_matrix", (tn + tp) / 120.0),
        ("top_1_accuracy", (tn + tp) / 120.0),
        ("precision", tp / (tp + fp)),
        ("recall", tp / (tp + fne)),
        ("f1", 2.0 * tp / (2.0 * tp + fp + fne)),
    ] {
        assert!((reached.get(name) - expected).abs() < 1e-12, "{name}: {reached:?}");
        assert_eq!(history.last(name), reached.get(name), "{name}");
    }
    // Area under the curve: how often a row of class 1 is ranked above one of class 0.
    let (mut above, mut pairs) = (0.0, 0.0);
    for (i, j) in (0..120).flat_map(|i| (0..120).map(move |j| (i, j))) {
        if (y[i], y[j]) == (1, 0) {
            pairs += 1.0;
            above += match p[[i, 1]].total_cmp(&p[[j, 1]]) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    assert!((reached.get("auc") - above / pairs).abs() < 0.01, "{reached:?}");
}

#[test]
fn metrics_of_numbers() {
    let x = Array2::from_shape_fn((10, 1), |(i, _)| i as f32);
    let y: Vec<f32> =
        (0..10).map(|i| 2.0 * i as f32 + if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let mut model = Sequential::new((Dense::new(1),)).input([1]);
    model.compile(MeanSquaredError, Sgd::new(0.0), (Mae, Mse, Rmse, R2)).expect("compiles");
    model.build().expect("builds");
    model.set_weight("dense_1.weight", ndarray::array![[2.0f32]].view()).expect("sets");
    let reached = model.evaluate(&x, &y).expect("evaluates");
    let mean = y.iter().sum::<f32>() / 10.0;
    let total: f32 = y.iter().map(|v| (v - mean).powi(2)).sum();
    let expected =
        [("mae", 1.0), ("mse", 1.0), ("rmse", 1.0), ("r2", f64::from(1.0 - 10.0 / total))];
    for (name, value) in expected {
        assert!((reached.get(name) - value).abs() < 1e-6, "{name}: {reached:?}");
    }
}

#[test]
fn weights_of_rows_and_of_classes() {
    let x = [[0.0f32], [0.0], [0.0], [0.0]];
    let y = [0, 0, 0, 1];
    let run = |fit: Fit<'_>| {
        let mut model = Sequential::new((Dense::new(2).softmax(),));
        model.compile(SparseCategoricalCrossentropy::new(), Sgd::new(1.0), ()).expect("compiles");
        let history = model.fit(&x, &y, fit.batch(4)).expect("fits");
        (history.first_loss, model.weight("dense_1.bias").expect("a bias")[[1]])
    };
    // A step of size 1 on the bias takes the mean of p - y: ½ - ¼ without weights.
    let ln2 = 2f64.ln();
    for (fit, expected) in [
        (Fit::epochs(1), -0.25),
        (Fit::epochs(1).class_weights([1.0, 3.0]), 0.0),
        (Fit::epochs(1).sample_weights([0.0, 0.0, 0.0, 2.0]), 0.5),
        (Fit::epochs(1).sample_weights([1.0, 1.0, 0.0, 2.0]).class_weights([1.0, 0.5]), -1.0 / 6.0),
        (Fit::epochs(1).sample_weights([0.0; 4]), 0.0),
    ] {
        let (loss, bias) = run(fit);
        assert!((bias - expected).abs() < 1e-6, "{bias}, not {expected}");
        assert!((loss - ln2).abs() < 1e-6 || loss == 0.0, "{loss}");
    }
}

/// As in Keras: weights change the size of a step; what is ignored is no row.
#[test]
fn weighted_losses_divided_by_rows() {
    let x = [[0.0f32], [0.0], [0.0], [0.0]];
    let run = |y: [i32; 4], weights: [f32; 4]| {
        let mut model = Sequential::new((Dense::new(2).softmax(),));
        let loss = SparseCategoricalCrossentropy::new().ignore(-1);
        model.compile(loss, Sgd::new(1.0), ()).expect("compiles");
        let fit = Fit::epochs(1).batch(4).sample_weights(weights).divide_by_rows();
        let history = model.fit(&x, &y, fit).expect("fits");
        (history.last("loss"), model.weight("dense_1.bias").expect("a bias")[[1]])
    };
    let (loss, bias) = run([0, 0, 0, 1], [0.0, 0.0, 0.0, 2.0]);
    assert!((loss - 2f64.ln() / 2.0).abs() < 1e-6, "{loss}");
    assert!((bias - 0.25).abs() < 1e-6, "{bias}");
    let (loss, bias) = run([-1, 0, -1, 1], [9.0, 0.0, 0.0, 2.0]);
    assert!((loss - 2f64.ln()).abs() < 1e-6, "{loss}");
    assert!((bias - 0.5).abs() < 1e-6, "{bias}");
}

#[test]
fn ignored_labels_count_nowhere() {
    let x = [[1.0f32, 2.0], [0.5, -1.0], [3.0, 0.0]];
    let build = || {
        let mut model = Sequential::new((Dense::new(3),)).seed(3);
        let loss = SparseCategoricalCrossentropy::new().from_logits().ignore(-1);
        model.compile(loss, Sgd::new(0.1), (Accuracy, ConfusionMatrix)).expect("compiles");
        model
    };
    let (mut some, mut few) = (build(), build());
    let a = some.fit(&x, &[2, -1, 1], Fit::epochs(2).batch(3).shuffle(false)).expect("fits");
    let b = few.fit(&[x[0], x[2]], &[2, 1], Fit::epochs(2).batch(2).shuffle(false)).expect("fits");
    for (path, weight) in some.weights() {
        let other = few.weight(&path).expect("the same path");
        assert!(weight.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "{weight} {other}");
    }
    for (a, b) in a.epochs.iter().zip(&b.epochs) {
        assert_eq!(a.get("accuracy"), b.get("accuracy"));
        assert!((a.loss() - b.loss()).abs() < 1e-6);
    }
    // In sequences, labels of positions.
    let mut model = Sequential::new((Embedding::new(5, 4), Dense::new(5)));
    let loss = SparseCategoricalCrossentropy::new().from_logits().ignore(0);
    model.compile(loss, Adam::new(0.1), Accuracy).expect("compiles");
    let tokens = [[1, 2, 3, 0], [4, 3, 0, 0]];
    let next = [[2, 3, 4, 0], [3, 4, 0, 0]];
    let history = model.fit(&tokens, &next, Fit::epochs(80).batch(2)).expect("fits");
    assert_eq!(history.last("accuracy"), 1.0);
}

#[test]
fn batches_from_an_iterator_are_what_arrays_are() {
    let (x, y) = data();
    let mut arrays = model(3);
    let fit = || Fit::epochs(3).batch(16).shuffle(false);
    arrays.fit(&x, &y, fit()).expect("fits");
    let mut streamed = model(3);
    let epochs = RefCell::new(vec![]);
    let batches = |epoch: usize| {
        epochs.borrow_mut().push(epoch);
        (0..120).step_by(16).map(|from| {
            let to = (from + 16).min(120);
            let range = ndarray::s![from..to];
            Batch::new(x.slice(ndarray::s![from..to, ..]), y.slice(range))
        })
    };
    streamed.fit_batches(batches, fit()).expect("fits");
    assert_eq!(bits(&streamed), bits(&arrays));
    assert_eq!(epochs.into_inner(), [0, 0, 1, 2]);
}

#[test]
fn slices_vectors_and_integers_are_data_too() {
    let mut model = Sequential::new((Rescaling::new(1.0 / 255.0), Dense::new(1)));
    model.compile(MeanSquaredError, Sgd::new(0.1), ()).expect("compiles");
    let pixels: Vec<[u8; 2]> = vec![[0, 255], [255, 0], [128, 128]];
    let y: Vec<f64> = vec![1.0, -1.0, 0.0];
    let history = model.fit(&pixels, &y, Fit::epochs(200)).expect("fits");
    assert!(history.last_loss < 1e-3, "{history:?}");
    let transposed =
        Array2::from_shape_vec((2, 3), vec![0u8, 255, 128, 255, 0, 128]).expect("2 x 3");
    assert_eq!(
        model.predict(transposed.t()).expect("predicts"),
        model.predict(&pixels).expect("predicts")
    );
    assert_eq!(model.predict(&pixels[..0]).expect("predicts").shape(), [0, 1]);
}

#[test]
fn early_stopping_puts_the_best_weights_back() {
    let (x, y) = data();
    let mut model = model(5);
    let mut stopping = EarlyStopping::new("val_loss").patience(3).restore_best();
    let kept = RefCell::new(vec![]);
    let fit = Fit::epochs(400).batch(8).validation_split(0.3).callback(&mut stopping).on_epoch(
        |model, epoch| {
            kept.borrow_mut().push((epoch.get("val_loss"), model.weights()));
            Ok(Next::Continue)
        },
    );
    let history = model.fit(&x, &y, fit).expect("fits");
    assert!(history.epochs.len() < 400);
    let losses = history.get("val_loss");
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(stopping.best(), best);
    assert_eq!(losses[losses.len() - 4], best);
    let kept = kept.into_inner();
    let (_, weights) = kept.iter().find(|(loss, _)| *loss == best).expect("the best epoch");
    assert_eq!(model.weights(), *weights);
}

#[test]
fn learning_rates_change_without_another_compile() {
    let (x, y) = data();
    let mut model = Sequential::new((Dense::new(2).softmax(),));
    model.compile(SparseCategoricalCrossentropy::new(), Sgd::new(0.5), ()).expect("compiles");
    let fit = Fit::epochs(4).callback(LearningRateSchedule(|done| 0.5 / (done + 1) as f64));
    let history = model.fit(&x, &y, fit).expect("fits");
    let expected = [0.5, 0.25, 0.5f64 / 3.0, 0.125];
    let rates = history.get("learning_rate");
    assert!(rates.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{rates:?}");

    // A loss that never falls.
    model.set_learning_rate(1.0).expect("sets");
    let plateau = ReduceLrOnPlateau::new("loss").factor(0.5).patience(2).smallest(0.3);
    let zero =
        |model: &mut Model| model.set_weight("dense_1.bias", ndarray::array![0.0f32, 0.0].view());
    zero(&mut model).expect("sets");
    let fit = Fit::epochs(8).batch(120).callback(plateau).on_epoch(|model, _| {
        zero(model)?;
        Ok(Next::Continue)
    });
    let x = Array2::<f32>::zeros((120, 2));
    let history = model.fit(&x, &y, fit).expect("fits");
    let rates = history.get("learning_rate");
    let expected = [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3].map(|r: f32| f64::from(r));
    assert_eq!(rates, expected);
}

#[test]
fn schedules_in_the_step_are_their_formulas() {
    let schedules = [
        Schedule::constant(),
        Schedule::constant().warmup(4),
        Schedule::steps(3, 0.5),
        Schedule::exponential(5, 0.1),
        Schedule::cosine(10),
        Schedule::linear(10).warmup(3),
        Schedule { warmup: 2, decay: eggrad::nn::Decay::Cosine { steps: 6, end: 0.1 } },
    ];
    for schedule in schedules {
        let mut model = Sequential::new((Dense::new(1).init(Init::Zeros).without_bias(),));
        // A gradient of 1 in every step.
        let loss = LossFn::new("sum", Task::Numbers, |p, _| p);
        model.compile(loss, Sgd::new(1.0).schedule(schedule), ()).expect("compiles");
        let place = Cell::new(0.0f32);
        let mut expected = 0.0;
        let moves = RefCell::new(vec![]);
        let fit = Fit::epochs(15).on_epoch(|model, _| {
            let now = model.weight("dense_1.weight").expect("a weight")[[0, 0]];
            moves.borrow_mut().push(place.replace(now) - now);
            Ok(Next::Continue)
        });
        model.fit(&[[1.0f32]], &[0.0f32], fit).expect("fits");
        for (step, moved) in moves.into_inner().into_iter().enumerate() {
            let factor = schedule.factor(step as u64);
            expected += factor;
            assert!(
                (f64::from(moved) - factor).abs() < 1e-5,
                "{schedule:?}, step {step}: {moved}, not {factor}"
            );
        }
        assert!(expected > 0.0);
    }
}

/// Gradients of four quarters of a batch, averaged, are those of the batch.
#[test]
fn accumulated_gradients_are_those_of_a_larger_batch() {
    let (x, y) = data();
    for adam in
        [Adam::new(0.05), Adam::new(0.05).clip_global_norm(0.1).schedule(Schedule::linear(20))]
    {
        let build = |adam: Adam| {
            let mut model = Sequential::new((Dense::new(6).tanh(), Dense::new(2))).seed(8);
            let loss = SparseCategoricalCrossentropy::new().from_logits();
            model.compile(loss, adam, ()).expect("compiles");
            model
        };
        let (mut large, mut small) = (build(adam), build(adam.accumulate(4)));
        large.fit(&x, &y, Fit::epochs(5).batch(40).shuffle(false)).expect("fits");
        small.fit(&x, &y, Fit::epochs(5).batch(10).shuffle(false)).expect("fits");
        assert_eq!(large.store().get("adam.step"), small.store().get("adam.step"));
        for (path, weight) in large.weights() {
            let other = small.weight(&path).expect("the same path");
            let apart = weight.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "`{path}`: {apart}");
        }
    }
}

#[test]
fn penalties_are_part_of_the_loss() {
    let mut model = Sequential::new((Dense::new(1)
        .init(Init::Constant(2.0))
        .regularizer(Regularizer { l1: 0.5, l2: 0.25 }),));
    model.compile(MeanSquaredError, Sgd::new(0.1), ()).expect("compiles");
    let x = [[0.0f32, 0.0]];
    let reached = model.evaluate(&x, &[0.0f32]).expect("evaluates");
    assert!((reached.loss() - (0.5 * 4.0 + 0.25 * 8.0)).abs() < 1e-6, "{reached:?}");
    model.fit(&x, &[0.0f32], Fit::epochs(1)).expect("fits");
    let weight = model.weight("dense_1.weight").expect("a weight");
    assert!((weight[[0, 0]] - (2.0 - 0.1 * (0.5 + 0.25 * 2.0 * 2.0))).abs() < 1e-6, "{weight}");
}

/// Ctrl-C in the middle of an epoch: the step is finished and saved, and the rest gives the bits of the whole.
#[test]
fn an_interrupt_finishes_the_step_and_saves() {
    let (x, y) = data();
    let mut whole = model(6);
    let fit = || Fit::epochs(3).batch(16);
    whole.fit(&x, &y, fit()).expect("fits");

    struct Press;
    impl Callback for Press {
        fn step(&mut self, _: &mut Model, done: Progress, _: f64) -> Result<Next, Error> {
            if done == (Progress { epoch: 1, step: 2, seed: 0 }) {
                signal_hook::low_level::raise(signal_hook::consts::SIGINT).expect("a signal");
            }
            Ok(Next::Continue)
        }
    }
    let mut interrupted = model(6);
    let saved = Cell::new(None);
    let watched = fit().callback(Press).on_interrupt(|model, progress| {
        assert!(!model.weights().is_empty());
        saved.set(Some(progress));
        Ok(())
    });
    let history = interrupted.fit(&x, &y, watched).expect("ends without an error");
    let stop = Progress { epoch: 1, step: 2, seed: 0 };
    assert_eq!((history.interrupted, saved.get()), (Some(stop), Some(stop)));
    assert_eq!(history.epochs.len(), 1);
    assert_eq!(history.stopped, None);
    interrupted.fit(&x, &y, fit().resume(stop)).expect("fits");
    assert_eq!(bits(&interrupted), bits(&whole));
}

/// A store that was replaced, as by one that was loaded, is the one that is used.
#[test]
fn another_store() {
    let (x, y) = data();
    let mut first = model(6);
    first.fit(&x, &y, Fit::epochs(1)).expect("fits");
    let mut second = model(7);
    second.fit(&x, &y, Fit::epochs(1)).expect("fits");
    assert_ne!(second.predict(&x).expect("predicts"), first.predict(&x).expect("predicts"));
    let expected = first.predict(&x).expect("predicts");
    *second.store_mut() = std::mem::replace(first.store_mut(), Store::new(0));
    assert_eq!(second.predict(&x).expect("predicts"), expected);
    second.fit(&x, &y, Fit::epochs(1)).expect("fits");
    assert_ne!(second.predict(&x).expect("predicts"), expected);
}
