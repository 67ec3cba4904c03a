//! Training: the compiled step is the interpreted step, the digits are learnt, and everything is repeatable.

use crate::run::{Value, array_ref};
use eggrad::interp::{self, Precision};
use eggrad::prelude::*;
use eggrad_testkit::{Rng, assert_close};
use std::sync::Arc;

#[path = "../../examples/digits/network.rs"]
mod network;

/// A train step of a small network on `rows` rows.
fn small_step(g: &Graph, rows: usize) {
    let x = g.input("x", [rows, 6]);
    let labels = g.labels("labels", [rows], 4);
    let hidden = dense_with("dense1", x, 5, Init::HeNormal).relu();
    let z = dense("dense2", hidden, 4);
    let loss = -(labels.one_hot(4) * z.softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    Adam::new(0.05).minimize(loss);
}

#[test]
fn compiled_steps_are_interpreted_steps() {
    let (rows, steps) = (7, 20);
    let graph = Graph::new();
    small_step(&graph, rows);
    let built = graph.build().expect("a valid graph");
    // The oracle runs the graph as written, differentiated but not rewritten, in f64.
    let options = Options { rewrite: false, ..Options::default() };
    let as_written = eggrad::lower(&built.graph, &options).expect("lowers");
    let mut expected: Vec<Value> = (built.graph.states().iter().zip(&built.inits))
        .map(|(s, init)| Value::from_values(s.ty.clone(), &init.values(&s.name, &s.ty, 3)))
        .collect();

    let program = Arc::new(Program::compile(&graph, &Options::default()).expect("compiles"));
    let mut store = Store::new(3);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let mut random = Rng::new(11);
    let mut losses = vec![];
    for _ in 0..steps {
        let types: Vec<_> = built.graph.inputs().iter().map(|i| i.ty.clone()).collect();
        let x = random.tensor(types[0].clone(), -1.0, 1.0);
        let labels: Vec<f64> = (0..rows).map(|_| random.below(4) as f64).collect();
        let labels = Value::from_values(types[1].clone(), &labels);
        let mut loss = [0.0f32];
        let inputs = [array_ref(&x.data), array_ref(&labels.data)];
        session.run(&mut store, &inputs, &mut [ArrayMut::F32(&mut loss)]).expect("runs");
        losses.push(loss[0]);
        let run = interp::run(&as_written, &[x, labels], &expected, Precision::Wide).expect("runs");
        expected = run.states;
        assert!((f64::from(loss[0]) - run.outputs[0].item()).abs() < 1e-4);
    }
    for (state, expected) in built.graph.states().iter().zip(&expected) {
        let found = match store.get(&state.name).expect("a state") {
            ArrayRef::F32(v) => v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
            ArrayRef::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            other => panic!("unexpected state {other:?}"),
        };
        let found = Value::from_values(expected.ty.clone(), &found);
        assert_close(&found, expected, 1e-3, &state.name);
    }
}

/// Held-out accuracy of the digits network after `epochs` from `seed`, trained as the example trains it.
fn train_digits(seed: u64, epochs: usize) -> (Model, History) {
    let (train, test) = network::data().expect("the data");
    let steps = epochs as u64 * network::steps(&train);
    let mut model = network::model(seed, &Options::default(), steps).expect("compiles");
    let fit = Fit::epochs(epochs).batch(network::BATCH).seed(seed);
    let fit = fit.validation(test.x(), test.y());
    let history = model.fit(train.x(), train.y(), fit).expect("fits");
    (model, history)
}

#[test]
fn digits_are_read() {
    let mut accuracies = vec![];
    for seed in [0, 3, 6] {
        let (_, history) = train_digits(seed, 40);
        let accuracy = history.last("val_accuracy");
        assert!(history.last_loss < 0.2 * history.first_loss, "seed {seed}: {history:?}");
        assert!(accuracy >= 0.955, "seed {seed} reaches {accuracy}");
        accuracies.push(accuracy);
    }
    accuracies.sort_by(f64::total_cmp);
    assert!(accuracies[1] >= 0.96, "{accuracies:?}");
}

/// Weights of the digits network after two epochs from `seed`.
fn weights(seed: u64) -> Vec<u32> {
    let (model, _) = train_digits(seed, 2);
    model.weights().values().flatten().map(|v| v.to_bits()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    assert_eq!(weights(5), weights(5));
    assert_ne!(weights(5), weights(6));
}

#[test]
fn many_threads_predict_with_one_model() {
    let (model, _) = train_digits(1, 1);
    let (_, test) = network::data().expect("the data");
    let rows = test.x();
    let predict_all = || -> Vec<u32> {
        let one = |i: usize| model.predict(rows.slice(ndarray::s![i..=i, ..])).expect("predicts");
        (0..rows.nrows()).flat_map(one).map(f32::to_bits).collect()
    };
    let results: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(predict_all)).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    assert!(results.windows(2).all(|w| w[0] == w[1]));
}

/// Predictions do not depend on how many rows are asked for at once, nor is every number of rows compiled.
#[test]
fn any_number_of_rows_predicts_the_same_bits() {
    let model = network::model(2, &Options::default(), 1).expect("compiles");
    let (_, test) = network::data().expect("the data");
    let predict = |from: usize, rows: usize| -> Vec<u32> {
        let found = model.predict(test.x().slice(ndarray::s![from..from + rows, ..]));
        let found = found.expect("predicts");
        assert_eq!(found.shape(), [rows, 10]);
        found.iter().map(|p| p.to_bits()).collect()
    };
    let single: Vec<Vec<u32>> = (0..300).map(|row| predict(row, 1)).collect();
    for rows in [0, 1, 2, 3, 7, 31, 64, 65, 255, 256, 257, 300] {
        assert_eq!(predict(0, rows), single[..rows].concat(), "{rows} rows");
    }
    let text = format!("{model:?}");
    let sizes = text.split("predict: [").nth(1).and_then(|t| t.split(']').next()).expect("sizes");
    let mut sizes: Vec<usize> = sizes.split(", ").map(|n| n.parse().expect("a size")).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 4, 8, 32, 64, 128, 256]);
}

#[test]
fn rows_that_meet_are_predicted_at_once() {
    let model = Model::new((Lambda::new("centre", |x| x - x.mean_over(0)),));
    let features = ndarray::Array2::from_shape_fn((300, 2), |(i, j)| (i * 2 + j) as f32);
    let found = model.predict(&features).expect("predicts");
    assert_eq!((found[[0, 0]], found[[299, 1]]), (-299.0, 299.0));
}

#[test]
fn a_number_of_rows_in_the_formula_is_the_one_asked_for() {
    let shared = |x: Tensor<'_>| x.ty().map_or(1, |ty| ty.shape.dims()[0]) as f64;
    let model = Model::new((Lambda::new("share", move |x| x / shared(x)),));
    for rows in [3, 300] {
        let found = model.predict(ndarray::Array2::<f32>::ones((rows, 1))).expect("predicts");
        assert!(found.iter().all(|y| *y == 1.0 / rows as f32), "{found}");
    }
}
