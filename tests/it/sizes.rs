//! Models that are too large, and tensors without elements.

use eggrad::jit::{JitError, RunError};
use eggrad::prelude::*;
use std::sync::Arc;

/// A product of `n` by `n` numbers whose parts must lie in memory.
fn square(g: &Graph, n: usize) {
    let (a, b) = (g.input("x", [n, 1]), g.input("y", [1, n]));
    g.output("o", (a * b).softmax(1).matmul(b.transpose()).sum(..));
}

fn refused(n: usize, options: &Options) -> (usize, usize) {
    let g = Graph::new();
    square(&g, n);
    match Program::compile(&g, options) {
        Err(Error::Jit(JitError::TooLarge { bytes, allowed })) => (bytes, allowed),
        Err(other) => panic!("{other}"),
        Ok(program) => panic!("compiled: {}", program.report()),
    }
}

#[test]
fn a_model_larger_than_memory_names_the_bytes() {
    // 4 TiB: more than this machine has, but not more than some could.
    let (bytes, allowed) = refused(1 << 20, &Options::default());
    assert!(bytes >= 4 << 40 && allowed < bytes, "{bytes} {allowed}");
    // 2^50 bytes: more than any.
    let (bytes, allowed) =
        refused(1 << 24, &Options { memory: Some(usize::MAX), ..Options::default() });
    assert!(bytes > allowed && allowed == 1 << 46, "{bytes} {allowed}");
    let options = Options { memory: Some(1000), ..Options::default() };
    let (bytes, allowed) = refused(100, &options);
    assert!((40_000..1_000_000).contains(&bytes) && allowed == 1000, "{bytes} {allowed}");
    let g = Graph::new();
    square(&g, 100);
    let enough = Options { memory: Some(bytes), ..Options::default() };
    Program::compile(&g, &enough).expect("just fits");
}

#[test]
fn an_arena_that_the_system_refuses() {
    let g = Graph::new();
    square(&g, 1 << 20);
    let options = Options { memory: Some(usize::MAX), ..Options::default() };
    let program = Arc::new(Program::compile(&g, &options).expect("compiles"));
    match Session::new(&program, &mut Store::new(0)) {
        Err(Error::Run(RunError::Memory { bytes })) => assert!(bytes >= 4 << 40),
        Err(other) => panic!("{other}"),
        // Some systems promise memory that they do not have.
        Ok(_) => assert!(program.report().arena_bytes >= 4 << 40),
    }
}

#[test]
fn a_parameter_that_finds_no_memory() {
    let g = Graph::new();
    let w = g.param("w", [1 << 22, 1 << 22], Init::Zeros);
    g.output("y", w.sum(..));
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let error = Session::new(&program, &mut Store::new(0)).expect_err("64 TiB").to_string();
    assert!(error.contains("f32[4194304, 4194304] finds no memory"), "{error}");
    assert!(error.contains("70368744177664 bytes"), "{error}");
}

/// What sizes of 2^64 and more are multiplied from is told at the op, before anything is compiled.
#[test]
fn products_of_sizes_that_overflow() {
    type Case = (&'static str, for<'g> fn(&'g Graph) -> Tensor<'g>);
    let cases: [Case; 5] = [
        ("`x`", |g| g.input("x", [1 << 40, 1 << 40])),
        ("`w`", |g| g.param("w", [1 << 40, 1 << 40], Init::Zeros)),
        ("`broadcast`", |g| g.input("x", [1 << 40, 1]).broadcast_to([1 << 40, 1 << 40])),
        ("`dot`", |g| g.input("x", [1 << 40, 1]).matmul(g.input("y", [1, 1 << 40]))),
        ("`one_hot`", |g| g.labels("l", [1 << 40], 1 << 30).one_hot(1 << 30)),
    ];
    for (name, write) in cases {
        let g = Graph::new();
        write(&g);
        let error = g.build().expect_err(name).to_string();
        assert!(error.starts_with(name) && error.contains("help: "), "{name}: {error}");
    }
}

#[test]
fn tensors_without_elements() {
    let g = Graph::new();
    let x = g.input("x", [0, 3]);
    let w = g.param("w", [3, 2], Init::Constant(1.0));
    g.output("sums", x.sum(0));
    g.output("largest", x.max(0));
    g.output("product", x.transpose().matmul(x));
    g.output("rows", x.matmul(w).softmax(1));
    g.output("mean", x.mean_over([0, 1]));
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let (mut sums, mut largest, mut product, mut mean) = ([1f32; 3], [1f32; 3], [1f32; 9], [1f32]);
    let outputs = &mut [
        ArrayMut::F32(&mut sums),
        ArrayMut::F32(&mut largest),
        ArrayMut::F32(&mut product),
        ArrayMut::F32(&mut []),
        ArrayMut::F32(&mut mean),
    ];
    session.run(&mut store, &[ArrayRef::F32(&[])], outputs).expect("runs");
    assert_eq!((sums, largest, product), ([0.0; 3], [f32::NEG_INFINITY; 3], [0.0; 9]));
    assert!(mean[0].is_nan());
}

/// The mean loss of no rows is no number, so that nothing is learned from it.
#[test]
fn a_step_on_no_rows_changes_nothing() {
    let g = Graph::new();
    let x = g.input("x", [0, 3]);
    let loss = dense("dense", x, 2).square().mean();
    g.output("loss", loss);
    Adam::new(0.1).minimize(loss);
    let program = Arc::new(Program::compile(&g, &Options::default()).expect("compiles"));
    let mut store = Store::new(0);
    let mut session = Session::new(&program, &mut store).expect("a session");
    let before = store.get("dense.weight").map(|w| format!("{w:?}"));
    let mut loss = [0f32];
    let error = session.run(&mut store, &[ArrayRef::F32(&[])], &mut [ArrayMut::F32(&mut loss)]);
    let text = error.expect_err("no number").to_string();
    assert!(text.starts_with("`loss` is NaN; nothing was written"), "{text}");
    assert_eq!(store.get("dense.weight").map(|w| format!("{w:?}")), before);
}
