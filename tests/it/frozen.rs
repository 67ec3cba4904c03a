//! Frozen parameters: what is made of them alone is computed once, and again when they change.

use eggrad::ndarray::Array2;
use eggrad::prelude::*;
use std::sync::Arc;

/// Five linear layers, none of which is followed by anything that bends.
fn linear<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let sizes = [6, 9, 7, 8, 5, 3];
    let mut h = x;
    for (i, size) in sizes.windows(2).enumerate() {
        let weight = g.param(&format!("w{i}"), [size[0], size[1]], Init::GlorotUniform);
        let bias = g.param(&format!("b{i}"), [size[1]], Init::HeNormal);
        h = h.matmul(weight) + bias;
    }
    h
}

/// Features scaled and shifted before a layer, as data often is.
fn scaled<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let scale = g.param("scale", [6], Init::HeNormal);
    (x * scale).matmul(g.param("w", [6, 3], Init::GlorotUniform))
}

/// A layer whose weights are made of a direction and a length.
fn normalised<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let (v, length) = (g.param("v", [6, 3], Init::HeNormal), g.param("g", [3], Init::HeNormal));
    let norm = v.square().sum(0).sqrt();
    x.matmul(v * (length / norm)).tanh()
}

type Layers = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

/// A program that computes `layers` of `rows` rows, frozen or not.
fn program(layers: Layers, rows: usize, freeze: bool, options: &Options) -> Arc<Program> {
    let g = Graph::new();
    if freeze {
        g.freeze();
    }
    g.output("y", layers(&g, g.input("x", [rows, 6])));
    Arc::new(Program::compile(&g, options).expect("compiles"))
}

fn features(rows: usize) -> Vec<f32> {
    (0..rows * 6).map(|i| (i as f32 * 0.7).sin()).collect()
}

fn run(session: &mut Session, store: &Store, rows: usize) -> Vec<f32> {
    let mut y = vec![f32::NAN; rows * 3];
    let outputs = &mut [ArrayMut::F32(&mut y)];
    session.run_shared(store, &[ArrayRef::F32(&features(rows))], outputs).expect("runs");
    y
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 2e-5 * (1.0 + e.abs()), "{found:?} is not {expected:?}");
    }
}

/// One session that reads parameters, and one that takes them for constant.
fn pair(layers: Layers, rows: usize, options: &Options, store: &mut Store) -> [Session; 2] {
    [false, true].map(|freeze| {
        Session::new(&program(layers, rows, freeze, options), store).expect("a session")
    })
}

#[test]
fn linear_layers_become_one_product() {
    for layers in [linear, scaled, normalised] as [Layers; 3] {
        let mut store = Store::new(1);
        let [mut trained, mut frozen] = pair(layers, 4, &Options::default(), &mut store);
        let report = frozen.program().report();
        let plan = frozen.program().executable().plan();
        assert_eq!(report.kernels, 1, "{plan}");
        assert!(report.setup_kernels > 0, "{plan}");
        assert_eq!(trained.program().report().setup_kernels, 0);
        assert!(trained.program().report().kernels > 1);
        for _ in 0..2 {
            assert_near(&run(&mut frozen, &store, 4), &run(&mut trained, &store, 4));
        }
    }
}

#[test]
fn as_written_too_what_is_frozen_is_computed_once() {
    let options = Options { rewrite: false, ..Options::default() };
    let mut store = Store::new(1);
    let [mut trained, mut frozen] = pair(normalised, 4, &options, &mut store);
    assert_eq!(frozen.program().report().kernels, 1);
    // The same kernels in another order: the same bits.
    assert_eq!(run(&mut frozen, &store, 4), run(&mut trained, &store, 4));
    assert_eq!(run(&mut frozen, &store, 4), run(&mut trained, &store, 4));
}

#[test]
fn a_weight_that_is_overwritten_counts_in_the_next_run() {
    let mut store = Store::new(2);
    let [mut trained, mut frozen] = pair(linear, 4, &Options::default(), &mut store);
    let before = run(&mut frozen, &store, 4);
    for (i, path) in ["w2", "b0", "w4"].into_iter().enumerate() {
        match store.get_mut(path) {
            Some(ArrayMut::F32(values)) => values[i] += 1.5,
            other => panic!("{path} is {other:?}"),
        }
        let after = run(&mut frozen, &store, 4);
        assert_near(&after, &run(&mut trained, &store, 4));
        assert_ne!(after, before);
    }
}

#[test]
fn a_train_step_counts_in_the_next_run() {
    let g = Graph::new();
    let y = linear(&g, g.input("x", [4, 6]));
    let loss = y.square().mean();
    g.output("loss", loss);
    Sgd::new(1e-3).minimize(loss);
    let step = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(3);
    // The one that predicts comes first: what it freezes are parameters all the same.
    let [mut frozen, mut trained] = [true, false].map(|freeze| {
        let program = program(linear, 4, freeze, &Options::default());
        Session::new(&program, &mut store).expect("a session")
    });
    let count = store.parameters();
    let mut step = Session::new(&step, &mut store).expect("a session");
    assert!(count > 0 && store.parameters() == count);
    let mut before = run(&mut frozen, &store, 4);
    for _ in 0..5 {
        let mut loss = [0.0];
        let outputs = &mut [ArrayMut::F32(&mut loss)];
        step.run(&mut store, &[ArrayRef::F32(&features(4))], outputs).expect("runs");
        let after = run(&mut frozen, &store, 4);
        assert_near(&after, &run(&mut trained, &store, 4));
        assert_ne!(after, before);
        before = after;
    }
}

#[test]
fn threads_share_a_store_and_no_results() {
    let program = program(linear, 4, true, &Options::default());
    let mut store = Store::new(4);
    let sessions = [0, 1].map(|_| Session::new(&program, &mut store).expect("a session"));
    let store = &store;
    let results: Vec<Vec<Vec<f32>>> = std::thread::scope(|scope| {
        let runs = |mut session: Session| (0..200).map(|_| run(&mut session, store, 4)).collect();
        let threads: Vec<_> =
            sessions.into_iter().map(|session| scope.spawn(move || runs(session))).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    assert_eq!(results[0], results[1]);
    assert!(results[0].windows(2).all(|w| w[0] == w[1]));
}

/// [`scaled`] as a layer.
#[derive(Debug)]
struct Scaled;

impl Layer for Scaled {
    fn kind(&self) -> &'static str {
        "scaled"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        scaled(cx.graph(), x)
    }
}

#[test]
fn predictions_follow_training() {
    let mut model = Model::of(Scaled);
    model
        .compile(SparseCategoricalCrossentropy::new().from_logits(), Sgd::new(0.5), ())
        .expect("compiles");
    let x = Array2::from_shape_vec((8, 6), features(8)).expect("8 rows");
    let labels = [0, 1, 2, 0, 1, 2, 0, 1];
    let mut before = None;
    for _ in 0..3 {
        model.fit(&x, &labels, Fit::epochs(2).batch(4).seed(1)).expect("fits");
        let predicted = model.predict(&x).expect("predicts");
        let scale = match model.store().get("scale") {
            Some(ArrayRef::F32(values)) => values.to_vec(),
            other => panic!("the scale is {other:?}"),
        };
        let weight = match model.store().get("w") {
            Some(ArrayRef::F32(values)) => values.to_vec(),
            other => panic!("the weight is {other:?}"),
        };
        let term = |row: usize, c: usize, i: usize| x[[row, i]] * scale[i] * weight[i * 3 + c];
        for (place, &found) in predicted.indexed_iter() {
            let expected: f32 = (0..6).map(|i| term(place[0], place[1], i)).sum();
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
        assert_ne!(before.as_ref(), Some(&predicted));
        before = Some(predicted);
    }
}

#[test]
fn outputs_and_updates_may_be_made_of_frozen_states() {
    let g = Graph::new();
    let w = g.frozen("w", [2, 3], Init::HeNormal);
    let total = g.state("total", StateKind::Stat, TensorType::new(DType::F32, [3]), Init::Zeros);
    let sum = w.square().sum(0);
    g.output("sum", sum);
    g.output("again", sum);
    g.output("turned", w.transpose());
    g.output("scaled", g.input("x", [3]) * sum);
    g.write(total, sum);
    g.guard(sum.sum(0));
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(5);
    let mut session = Session::new(&program, &mut store).expect("a session");
    for change in [0.0, 2.0] {
        let Some(ArrayMut::F32(w)) = store.get_mut("w") else { panic!("no weight") };
        w[0] += change;
        let w = w.to_vec();
        let expected: Vec<f32> = (0..3).map(|c| w[c] * w[c] + w[3 + c] * w[3 + c]).collect();
        for _ in 0..2 {
            let (mut a, mut b, mut s, mut t) = ([0.0; 3], [0.0; 3], [0.0; 3], [0.0; 6]);
            let outputs = &mut [&mut a[..], &mut b, &mut t, &mut s].map(ArrayMut::F32);
            session.run(&mut store, &[ArrayRef::F32(&[1.0, 2.0, 3.0])], outputs).expect("runs");
            assert_near(&a, &expected);
            assert_eq!(a, b);
            assert_near(&s, &[expected[0], 2.0 * expected[1], 3.0 * expected[2]]);
            assert_eq!(t, [w[0], w[3], w[1], w[4], w[2], w[5]]);
            assert_eq!(store.get("total"), Some(ArrayRef::F32(&a)));
        }
    }
    // A guard that is made of frozen states holds for new ones too.
    let Some(ArrayMut::F32(w)) = store.get_mut("w") else { panic!("no weight") };
    w[1] = f32::INFINITY;
    let before = match store.get("total") {
        Some(ArrayRef::F32(values)) => values.to_vec(),
        other => panic!("the total is {other:?}"),
    };
    for _ in 0..2 {
        let (mut a, mut b, mut s, mut t) = ([0.0; 3], [0.0; 3], [0.0; 3], [0.0; 6]);
        let outputs = &mut [&mut a[..], &mut b, &mut t, &mut s].map(ArrayMut::F32);
        let run = session.run(&mut store, &[ArrayRef::F32(&[1.0, 2.0, 3.0])], outputs);
        assert!(run.is_err());
        assert_eq!(store.get("total"), Some(ArrayRef::F32(&before)));
    }
}

#[test]
fn freezing_and_training_are_apart() {
    let g = Graph::new();
    g.freeze();
    let loss = scaled(&g, g.input("x", [2, 6])).square().mean();
    Sgd::new(0.1).minimize(loss);
    let errors = g.build().expect_err("nothing to train").to_string();
    assert!(errors.contains("finds no parameters"), "{errors}");

    let g = Graph::new();
    let loss = scaled(&g, g.input("x", [2, 6])).square().mean();
    Sgd::new(0.1).minimize(loss);
    g.freeze();
    let errors = g.build().expect_err("written parameters").to_string();
    assert!(errors.contains("comes after a write to `scale`"), "{errors}");

    let g = Graph::new();
    g.freeze();
    let w = g.param("w", [2], Init::Zeros);
    g.write(w, w + 1.0);
    let errors = g.build().expect_err("a write").to_string();
    assert!(errors.contains("goes to a frozen parameter"), "{errors}");
}
