//! Ranges of a kernel's outermost loop.

use super::*;
use crate::compile::{JitConfig, compile};
use crate::emit::Shares;
use crate::pool::pool;
use eggrad_body::{Body, Lane};
use eggrad_ir::Part;
use eggrad_schedule::{
    Access, Buffer, ColumnKernel, Fold, FoldOp, KernelKind, Phase, Place, ProductKernel, RowKernel,
    Slot, Store,
};
use std::sync::atomic::{AtomicUsize, Ordering};

fn access(arg: usize, strides: &[usize]) -> Access {
    Access { arg, dtype: DType::F32, offset: 0, strides: strides.to_vec() }
}

/// Runs a kernel from `x` to `y` over the ranges between neighbouring `cuts`.
fn run(kind: &KernelKind, x: &[f32], results: usize, cuts: &[i64]) -> Vec<f32> {
    let slot = |name: &str, buffer, elements: usize| Slot {
        name: name.into(),
        ty: TensorType::new(DType::F32, vec![elements]),
        buffer,
        range: None,
    };
    let buffer = |name: &str, elements, place| Buffer {
        name: name.into(),
        dtype: DType::F32,
        elements,
        place,
    };
    let plan = Plan {
        buffers: vec![
            buffer("x", x.len(), Place::Input(0)),
            buffer("y", results, Place::Output(0)),
        ],
        kernels: vec![Kernel {
            name: "split".into(),
            kind: kind.clone(),
            args: vec![0, 1],
            nodes: vec![],
            part: Part::Forward,
            splittable: true,
        }],
        inputs: vec![slot("x", 0, x.len())],
        outputs: vec![slot("y", 1, results)],
        ..Plan::default()
    };
    let executable = compile(&plan, &JitConfig::default()).unwrap();
    let mut workspace = executable.workspace().expect("memory");
    let mut y = vec![-7.0; results];
    let call = executable.programs.call(0).expect("a kernel with loops");
    assert_eq!(cuts.last(), Some(&call.end));
    let args = &mut workspace.table[call.args..];
    args[0] = x.as_ptr().cast_mut().cast();
    args[1] = y.as_mut_ptr().cast();
    for cut in cuts.windows(2) {
        // SAFETY: as in `call`: the arrays live, have the plan's lengths, and only `y` is written.
        unsafe { (call.code)(args.as_ptr(), cut[0], cut[1]) };
    }
    y
}

fn check(kind: KernelKind, size: usize, results: usize, end: i64) {
    let x: Vec<f32> = (0..size).map(|i| ((i * 37 % 101) as f32).sqrt() - 4.0).collect();
    let whole = run(&kind, &x, results, &[0, end]);
    assert!(whole.iter().all(|&y| y != -7.0));
    for cuts in [vec![0, 0, 1, end], vec![0, end - 1, end, end], vec![0, 3, 7, 8, end]] {
        assert_eq!(run(&kind, &x, results, &cuts), whole, "{cuts:?}");
    }
    let part = run(&kind, &x, results, &[1, end]);
    assert!(part.contains(&-7.0), "position 0 was computed though not asked for");
}

#[test]
fn ranges_of_the_outermost_loop_may_be_split_anywhere() {
    let store = |value| vec![Store { access: 1, value, add_at: None }];
    let mut body = Body::new();
    let x = body.load(0, Lane::F32);
    let value = body.mul(x, x);
    let phases = vec![Phase::Pass { body, folds: vec![], stores: store(value) }];
    let accesses = vec![access(0, &[9, 1]), access(1, &[9, 1])];
    let row = RowKernel { outer: vec![13], row: 9, accesses, phases };
    check(KernelKind::Row(row), 117, 117, 13);

    // A long row alone is split itself, into blocks of 4,096 elements.
    let mut body = Body::new();
    let x = body.load(0, Lane::F32);
    let value = body.mul(x, x);
    let phases = vec![Phase::Pass { body, folds: vec![], stores: store(value) }];
    let accesses = vec![access(0, &[1]), access(1, &[1])];
    let size = 8 * 4096 + 123;
    check(KernelKind::Row(RowKernel { outer: vec![], row: size, accesses, phases }), size, size, 9);

    let mut body = Body::new();
    let value = body.load(0, Lane::F32);
    let mut epilogue = Body::new();
    let sum = epilogue.scalar(0, Lane::F32);
    let column = ColumnKernel {
        outer: vec![11],
        reduced: vec![6],
        row: 5,
        accesses: vec![access(0, &[30, 5, 1]), access(1, &[5, 0, 1])],
        body,
        folds: vec![Fold { op: FoldOp::Sum, value }],
        epilogue,
        stores: store(sum),
    };
    check(KernelKind::Column(column), 330, 55, 11);

    for batch in [vec![], vec![9]] {
        let (m, n, k) = (19, 21, 10);
        let mut epilogue = Body::new();
        let value = epilogue.scalar(0, Lane::F32);
        let end = batch.first().map_or(m, |&b| b);
        let around = |by: usize| batch.iter().map(|_| by).collect::<Vec<_>>();
        let product = ProductKernel {
            m,
            n,
            k: vec![k],
            a: access(0, &[around(3), vec![k, 0, 1]].concat()),
            b: access(0, &[around(7), vec![0, 1, n]].concat()),
            accesses: vec![
                access(0, &[around(0), vec![0; 3]].concat()),
                access(1, &[around(m * n), vec![n, 1, 0]].concat()),
            ],
            epilogue,
            stores: store(value),
            batch: batch.clone(),
        };
        let results = m * n * batch.iter().product::<usize>();
        check(KernelKind::Product(product), 500, results, end as i64);
    }
}

#[test]
fn a_panic_in_a_worker_is_an_error_and_the_next_run_works() {
    let split = |bad: usize| {
        let done = AtomicUsize::new(0);
        let result = caught(|| {
            pool().split(2, 64, Shares { unit: 8, parts: 4 }, &|begin, end| {
                assert!(!(begin..end).contains(&bad), "on purpose");
                done.fetch_add(end - begin, Ordering::Relaxed);
            });
        });
        (result, done.into_inner())
    };
    // Of 64 positions the chunk with the bad one is not done.
    for bad in [0, 20, 63] {
        assert_eq!(split(bad), (Err(RunError::Panicked), 56));
        assert_eq!(split(64), (Ok(()), 64));
    }
}
