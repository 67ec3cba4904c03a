//! Runs on several threads: the same bits as on one, and one program used by many threads at once.

use eggrad::prelude::*;
use std::sync::Arc;

const ROWS: usize = 300;

/// A train step with products, rows and columns that are large enough to be split.
fn step(g: &Graph) {
    let x = g.input("x", [ROWS, 200]);
    let h = dense("a", x, 150).tanh();
    let h = dense("b", h, 100).gelu();
    let centred = h - h.keepdims().mean(1);
    let p = dense("c", centred / (h.keepdims().var(1) + 1e-5).sqrt(), 64).softmax(1);
    let labels = g.labels("labels", [ROWS], 64);
    let loss = -(labels.one_hot(64) * p.log()).sum(1).mean();
    g.output("loss", loss);
    g.output("p", p);
    Adam::new(1e-2).minimize(loss);
}

fn features(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect()
}

/// Losses, probabilities and weights after a few steps, as bits.
fn train(threads: usize) -> Vec<u32> {
    let g = Graph::new();
    step(&g);
    let options = Options { threads, ..Options::default() };
    let program = Arc::new(Program::compile(&g, &options).expect("compiles"));
    let mut store = Store::new(3);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let (x, labels) = (features(ROWS * 200), (0..ROWS as i32).map(|i| i % 64).collect::<Vec<_>>());
    let (mut bits, mut p) = (vec![], vec![0.0f32; ROWS * 64]);
    for _ in 0..5 {
        let mut loss = [0.0f32];
        let inputs = [ArrayRef::F32(&x), ArrayRef::I32(&labels)];
        let mut outputs = [ArrayMut::F32(&mut loss), ArrayMut::F32(&mut p)];
        session.run(&mut store, &inputs, &mut outputs).expect("runs");
        bits.push(loss[0].to_bits());
    }
    bits.extend(p.iter().map(|v| v.to_bits()));
    for name in ["a.weight", "b.bias", "c.weight"] {
        let Some(ArrayRef::F32(values)) = store.get(name) else { panic!("no {name}") };
        bits.extend(values.iter().map(|v| v.to_bits()));
    }
    bits
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let one = train(1);
    for threads in [0, 2, 3, 8, 1000] {
        assert_eq!(train(threads), one, "{threads} threads");
    }
}

#[test]
fn many_threads_predict_with_one_program() {
    let g = Graph::new();
    let x = g.input("x", [64, 200]);
    g.output("y", dense("b", dense("a", x, 150).tanh(), 64).softmax(1));
    let options = Options { threads: 3, ..Options::default() };
    let program = Arc::new(Program::compile(&g, &options).expect("compiles"));
    let mut store = Store::new(3);
    let x = features(64 * 200 + 10);
    let predict = |session: &mut Session, store: &Store, shift: usize| {
        let mut y = vec![0.0f32; 64 * 64];
        let inputs = [ArrayRef::F32(&x[shift..][..64 * 200])];
        session.run_shared(store, &inputs, &mut [ArrayMut::F32(&mut y)]).expect("runs");
        y
    };
    let mut sessions: Vec<Session> =
        (0..33).map(|_| Session::new(&program, &mut store).expect("a session")).collect();
    let mut serial = sessions.pop().expect("a session");
    let expected: Vec<Vec<f32>> = (0..10).map(|i| predict(&mut serial, &store, i)).collect();
    std::thread::scope(|scope| {
        for mut session in sessions {
            let (store, expected) = (&store, &expected);
            scope.spawn(move || {
                for round in 0..1000 {
                    assert_eq!(predict(&mut session, store, round % 10), expected[round % 10]);
                }
            });
        }
    });
}
