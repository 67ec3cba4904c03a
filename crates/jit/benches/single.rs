//! Speed of single loops and of compiling them, without a graph: `cargo bench -p eggrad-jit`, with part of a name for
//! only some. `LISTING=name` prints the code of one. How fast they ought to be is what `cargo bench --bench kernels` asks.

use eggrad_body::{Body, Lane, Value};
use eggrad_ir::{DType, Part, TensorType};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef, JitConfig, States, compile};
use eggrad_schedule::*;
use std::time::Instant;

fn access(arg: usize, strides: &[usize]) -> Access {
    Access { arg, dtype: DType::F32, offset: 0, strides: strides.to_vec() }
}

/// Compiles a kernel whose last argument is its output, runs it for a while, and prints the best time of a run, per
/// `unit` of which it does `units`.
fn measure(name: &str, kind: KernelKind, sizes: &[usize], units: f64, unit: &str) {
    measure_on(1.0, name, kind, sizes, units, unit);
}

/// As [`measure`], on inputs of up to this size.
fn measure_on(size: f32, name: &str, kind: KernelKind, sizes: &[usize], units: f64, unit: &str) {
    // `cargo bench` passes `--bench` too.
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut plan = Plan::default();
    for (i, &elements) in sizes.iter().enumerate() {
        let slot = Slot {
            name: format!("a{i}"),
            ty: TensorType::new(DType::F32, vec![elements]),
            buffer: i,
            range: None,
        };
        let last = i + 1 == sizes.len();
        let slots = if last { &mut plan.outputs } else { &mut plan.inputs };
        slots.push(slot);
        let place = if last { Place::Output(0) } else { Place::Input(i) };
        plan.buffers.push(Buffer { name: format!("a{i}"), dtype: DType::F32, elements, place });
    }
    let args = (0..sizes.len()).collect();
    let (nodes, part) = (vec![], Part::Forward);
    plan.kernels.push(Kernel { name: name.into(), kind, args, nodes, part, splittable: true });
    let config = JitConfig {
        verifier: false,
        cache: false,
        listing: std::env::var("LISTING").is_ok_and(|wanted| wanted == name),
        ..JitConfig::default()
    };
    compile(&plan, &config).unwrap();
    let executable = compile(&plan, &config).unwrap();
    if let Some(listing) = &executable.report().functions[0].listing {
        println!("{listing}");
    }
    let compiling = executable.report().functions[0].time;
    let arrays: Vec<Aligned> = sizes
        .iter()
        .map(|&n| {
            let value = |i: usize| ((i % 17) as f32 / 8.0 - 1.0) * size;
            Aligned::from_slice(&(0..n).map(value).collect::<Vec<_>>())
        })
        .collect();
    let (mut output, inputs) = (arrays[sizes.len() - 1].clone(), &arrays[..sizes.len() - 1]);
    let inputs: Vec<ArrayRef<'_>> = inputs.iter().map(ArrayRef::from).collect();
    let mut workspace = executable.workspace().expect("memory");
    let mut best = f64::INFINITY;
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < 0.3 {
        let rounds = 20;
        let round = Instant::now();
        for _ in 0..rounds {
            let mut states = States { arrays: &mut [], map: &[], version: 0 };
            let outputs = &mut [ArrayMut::from(&mut output)];
            executable.run(&mut workspace, &inputs, &mut states, outputs).unwrap();
        }
        best = best.min(round.elapsed().as_secs_f64() / f64::from(rounds));
    }
    println!(
        "{name:24} {:9.2} us  {:8.3} {unit}  compile {:5} us  {:6} bytes  {}",
        best * 1e6,
        units / best / 1e9,
        compiling.as_micros(),
        executable.code_bytes(),
        executable.report().functions[0].isa
    );
}

fn map(build: impl FnOnce(&mut Body, Value) -> Value, row: usize) -> KernelKind {
    let mut body = Body::new();
    let x = body.load(0, Lane::F32);
    let value = build(&mut body, x);
    let stores = vec![Store { access: 1, value, add_at: None }];
    let phases = vec![Phase::Pass { body, folds: vec![], stores }];
    let accesses = vec![access(0, &[1]), access(1, &[1])];
    KernelKind::Row(RowKernel { outer: vec![], row, accesses, phases })
}

fn fold(op: FoldOp, rows: usize, row: usize) -> KernelKind {
    let mut body = Body::new();
    let value = body.load(0, Lane::F32);
    let mut after = Body::new();
    let result = after.scalar(0, Lane::F32);
    let phases = vec![
        Phase::Pass { body, folds: vec![Fold { op, value }], stores: vec![] },
        Phase::Scalar {
            body: after,
            results: vec![],
            stores: vec![Store { access: 1, value: result, add_at: None }],
        },
    ];
    let accesses = vec![access(0, &[row, 1]), access(1, &[1, 0])];
    KernelKind::Row(RowKernel { outer: vec![rows], row, accesses, phases })
}

fn softmax(rows: usize, row: usize) -> KernelKind {
    let mut largest = Body::new();
    let x = largest.load(0, Lane::F32);
    let max = Fold { op: FoldOp::Max, value: x };
    let mut shifted = Body::new();
    let (x, m) = (shifted.load(0, Lane::F32), shifted.scalar(0, Lane::F32));
    let x = shifted.sub(x, m);
    let e = shifted.exp(x);
    let mut invert = Body::new();
    let (one, s) = (invert.f32(1.0), invert.scalar(1, Lane::F32));
    let r = invert.div(one, s);
    let mut scale = Body::new();
    let (y, s) = (scale.load(1, Lane::F32), scale.scalar(2, Lane::F32));
    let y = scale.mul(y, s);
    let store = |value| vec![Store { access: 1, value, add_at: None }];
    let sum = Fold { op: FoldOp::Sum, value: e };
    let phases = vec![
        Phase::Pass { body: largest, folds: vec![max], stores: vec![] },
        Phase::Pass { body: shifted, folds: vec![sum], stores: store(e) },
        Phase::Scalar { body: invert, results: vec![r], stores: vec![] },
        Phase::Pass { body: scale, folds: vec![], stores: store(y) },
    ];
    let accesses = vec![access(0, &[row, 1]), access(1, &[row, 1])];
    KernelKind::Row(RowKernel { outer: vec![rows], row, accesses, phases })
}

fn columns(rows: usize, row: usize) -> KernelKind {
    let mut body = Body::new();
    let value = body.load(0, Lane::F32);
    let mut epilogue = Body::new();
    let result = epilogue.scalar(0, Lane::F32);
    KernelKind::Column(ColumnKernel {
        outer: vec![],
        reduced: vec![rows],
        row,
        accesses: vec![access(0, &[row, 1]), access(1, &[0, 1])],
        body,
        folds: vec![Fold { op: FoldOp::Sum, value }],
        epilogue,
        stores: vec![Store { access: 1, value: result, add_at: None }],
    })
}

/// `a` and `b` are strides along their rows and columns; with bias and relu, where asked for.
fn product(
    (m, n, k): (usize, usize, usize),
    a: (usize, usize),
    b: (usize, usize),
    activation: bool,
) -> KernelKind {
    let mut epilogue = Body::new();
    let mut value = epilogue.scalar(0, Lane::F32);
    if activation {
        let (bias, zero) = (epilogue.load(0, Lane::F32), epilogue.f32(0.0));
        value = epilogue.add(value, bias);
        value = epilogue.max(value, zero);
    }
    KernelKind::Product(ProductKernel {
        batch: vec![],
        m,
        n,
        k: vec![k],
        a: access(0, &[a.0, 0, a.1]),
        b: access(1, &[0, b.1, b.0]),
        accesses: vec![access(2, &[0, 1, 0]), access(3, &[n, 1, 0])],
        epilogue,
        stores: vec![Store { access: 1, value, add_at: None }],
    })
}

fn main() {
    let n = 1 << 14;
    for (name, function) in [
        ("copy", (|_, x| x) as fn(&mut Body, Value) -> Value),
        ("relu", |b, x| {
            let zero = b.f32(0.0);
            b.max(x, zero)
        }),
        ("exp", |b, x| b.exp(x)),
        ("log", |b, x| b.log(x)),
        ("tanh", |b, x| b.tanh(x)),
        ("sigmoid", |b, x| b.sigmoid(x)),
        ("chain", |b, x| {
            let (tanh, sigmoid) = (b.tanh(x), b.sigmoid(x));
            let size = b.abs(x);
            let size = b.neg(size);
            let small = b.exp(size);
            let log = b.log1p(small);
            b.fma(tanh, sigmoid, log)
        }),
    ] {
        measure(name, map(function, n), &[n, n], n as f64, "elements/ns");
        // Subnormal numbers count as zero, and take no longer.
        let subnormal = format!("{name}, subnormal");
        measure_on(1e-39, &subnormal, map(function, n), &[n, n], n as f64, "elements/ns");
    }
    measure("sum rows 64x1000", fold(FoldOp::Sum, 64, 1000), &[64000, 64], 64e3, "elements/ns");
    measure("max rows 64x10", fold(FoldOp::Max, 64, 10), &[640, 64], 640.0, "elements/ns");
    measure("softmax 64x10", softmax(64, 10), &[640, 640], 640.0, "elements/ns");
    measure("softmax 64x1000", softmax(64, 1000), &[64000, 64000], 64e3, "elements/ns");
    measure("softmax 128x1000", softmax(128, 1000), &[128_000; 2], 128e3, "elements/ns");
    measure("sum columns 64x100", columns(64, 100), &[6400, 100], 6400.0, "elements/ns");
    for (m, n, k) in [
        (32, 25, 64),
        (32, 64, 784),
        (64, 64, 64),
        (128, 128, 128),
        (256, 256, 256),
        (512, 512, 512),
        (1, 100, 784),
    ] {
        let flops = 2.0 * (m * n * k) as f64;
        let sizes = [m * k, n * k, n, m * n];
        for (form, a, b) in
            [("ab", (k, 1), (n, 1)), ("a'b", (1, m), (n, 1)), ("ab'", (k, 1), (1, k))]
        {
            let kind = product((m, n, k), a, b, form == "ab");
            measure(&format!("{form} {m}x{n}x{k}"), kind, &sizes, flops, "GFLOP/s");
        }
    }
}
