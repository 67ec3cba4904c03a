//! Whole plans: what is fused into what, pinned as text.

mod common;

use common::{bytes, check, run};
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, CompareOp, CrossEntropyOp, DType, DotAxes, Graph, NodeId, Op, StateKind,
    TensorType, UnaryOp,
};
use eggrad_schedule::{
    EvaluateError, KernelKind, Place, Plan, ScheduleConfig, clusters, evaluate, schedule, verify,
};
use eggrad_testkit::Rng;
use std::path::Path;

const RATE: f64 = 1e-3;

/// One Adam update of `p` by gradient `g`; `corrections` are 1/(1 - beta^t).
fn adam(b: &mut Builder, name: &str, p: NodeId, g: NodeId, corrections: [NodeId; 2]) {
    let ty = b.ty(p).clone();
    let slot = |b: &mut Builder, what: &str| {
        b.declare_state(&format!("{name}.{what}"), StateKind::Slot, ty.clone(), At::Unknown)
    };
    let (m, v) = (slot(b, "m"), slot(b, "v"));
    let scaled = |b: &mut Builder, x: NodeId, by: f64| {
        let by = b.full_like(x, by);
        b.mul(x, by)
    };
    let (m_old, m_new) = (scaled(b, m, 0.9), scaled(b, g, 0.1));
    let m_next = b.add(m_old, m_new);
    let square = b.unary(UnaryOp::Square, g);
    let (v_old, v_new) = (scaled(b, v, 0.999), scaled(b, square, 0.001));
    let v_next = b.add(v_old, v_new);
    let [c1, c2] = corrections.map(|c| b.spread(c, ty.shape.clone(), vec![]));
    let (m_hat, v_hat) = (b.mul(m_next, c1), b.mul(v_next, c2));
    let root = b.unary(UnaryOp::Sqrt, v_hat);
    let eps = b.full_like(root, 1e-8);
    let root = b.add(root, eps);
    let step = b.div(m_hat, root);
    let step = scaled(b, step, RATE);
    let next = b.sub(p, step);
    b.write(m, m_next);
    b.write(v, v_next);
    b.write(p, next);
}

/// A train step of a multi-layer perceptron on integer labels: ReLU, mean cross-entropy, Adam.
fn train_step(sizes: &[usize], batch: usize) -> Graph {
    let mut b = Builder::new();
    let f32s = |dims: &[usize]| TensorType::new(DType::F32, dims.to_vec());
    let classes = sizes[sizes.len() - 1];
    let x = b.declare_input("x", f32s(&[batch, sizes[0]]), None, At::Unknown);
    let ty = TensorType::new(DType::I32, [batch]);
    let range = Some((0.0, classes as f64 - 1.0));
    let labels = b.declare_input("labels", ty, range, At::Unknown);
    let mut layers = vec![];
    for (i, pair) in sizes.windows(2).enumerate() {
        let mut param = |name: String, dims: &[usize]| {
            b.declare_state(&name, StateKind::Param, f32s(dims), At::Unknown)
        };
        layers.push((param(format!("w{i}"), pair), param(format!("b{i}"), &pair[1..])));
    }
    let counter = TensorType::scalar(DType::I32);
    let step = b.declare_state("step", StateKind::Counter, counter, At::Unknown);
    let (mut h, mut hs, mut zs) = (x, vec![x], vec![]);
    for (i, &(w, bias)) in layers.iter().enumerate() {
        let z = b.dot(h, w, DotAxes::contract(1, 0));
        let shape = b.ty(z).shape.clone();
        let bias = b.spread(bias, shape, vec![1]);
        let z = b.add(z, bias);
        zs.push(z);
        h = if i + 1 < layers.len() { b.unary(UnaryOp::Relu, z) } else { z };
        hs.push(h);
    }
    let t = b.node(Op::OneHot { dtype: DType::F32, classes }, &[labels]);
    let loss = b.node(Op::CrossEntropy(CrossEntropyOp::Value, vec![1]), &[h, t]);
    let total = b.sum(loss, vec![0]);
    let count = b.node(Op::Size { dtype: DType::F32, axes: vec![0] }, &[loss]);
    let mean = b.div(total, count);
    b.output("loss", mean);
    b.set_guard(Some(mean));
    let residual = b.node(Op::CrossEntropy(CrossEntropyOp::Residual, vec![1]), &[h, t]);
    let per = b.unary(UnaryOp::Recip, count);
    let shape = b.ty(residual).shape.clone();
    let per = b.spread(per, shape, vec![]);
    let mut dz = b.mul(residual, per);
    let one = b.scalar(DType::I32, 1.0);
    let next = b.add(step, one);
    b.write(step, next);
    let t = b.cast(next, DType::F32);
    let corrections = [0.9f64, 0.999].map(|beta| {
        let log = b.scalar(DType::F32, beta.ln());
        let power = b.mul(t, log);
        let less = b.unary(UnaryOp::Expm1, power);
        let less = b.neg(less);
        b.unary(UnaryOp::Recip, less)
    });
    for (i, &(w, bias)) in layers.iter().enumerate().rev() {
        let dw = b.dot(hs[i], dz, DotAxes::contract(0, 0));
        let db = b.sum(dz, vec![0]);
        if i > 0 {
            let dh = b.dot(dz, w, DotAxes::contract(1, 1));
            let zero = b.full_like(dh, 0.0);
            let on = b.compare(CompareOp::Gt, zs[i - 1], zero);
            dz = b.select(on, dh, zero);
        }
        adam(&mut b, &format!("w{i}"), w, dw, corrections);
        adam(&mut b, &format!("b{i}"), bias, db, corrections);
    }
    b.build().expect("the step is well typed")
}

fn arrays(graph: &Graph) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut rng = Rng::new(11);
    let mut of = |ty: &TensorType, low: f64| match ty.dtype {
        DType::I32 => {
            let values: Vec<f64> = (0..ty.shape.elements()).map(|_| rng.below(3) as f64).collect();
            Tensor::from_values(ty.clone(), &values)
        }
        _ => rng.tensor(ty.clone(), low, 1.0),
    };
    let inputs = graph.inputs().iter().map(|i| of(&i.ty, -1.0)).collect();
    let low = |kind| if kind == StateKind::Slot { 0.1 } else { -0.5 };
    let states = graph.states().iter().map(|s| of(&s.ty, low(s.kind))).collect();
    (inputs, states)
}

#[test]
fn a_train_step_is_a_handful_of_kernels() {
    let small = train_step(&[7, 5, 4, 3], 6);
    let (inputs, states) = arrays(&small);
    check(&small, &inputs, &states);
    let plan = schedule(&train_step(&[64, 25, 15, 10], 32), &ScheduleConfig::default());
    eggrad_testkit::golden(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/step"),
        |_| plan.as_ref().map_or_else(ToString::to_string, ToString::to_string),
    );
}

fn plan(graph: &Graph) -> Plan {
    schedule(graph, &ScheduleConfig::default()).expect("the graph can be scheduled")
}

fn parsed(text: &str) -> Graph {
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Also runs every graph of the golden files.
#[test]
fn golden_plans() {
    eggrad_testkit::golden(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plans"),
        |text| {
            let graph = parsed(text);
            let (inputs, states) = arrays(&graph);
            check(&graph, &inputs, &states).to_string()
        },
    );
}

#[test]
fn plans_are_the_same_every_time() {
    let graph = parsed(&train_step(&[7, 5, 4, 3], 6).to_string());
    let again = parsed(&graph.to_string());
    assert_eq!(plan(&graph).to_string(), plan(&again).to_string());
    assert_eq!(plan(&graph), plan(&graph));
    let boxes = clusters(&graph, &plan(&graph));
    assert_eq!(boxes.len(), plan(&graph).kernels.len());
    assert!(boxes.iter().all(|b| !b.nodes.is_empty()));
}

#[test]
fn a_loss_that_is_not_finite_leaves_every_state_alone() {
    let graph = train_step(&[7, 5, 4, 3], 6);
    let (mut inputs, states) = arrays(&graph);
    inputs[0] = Tensor::full(graph.inputs()[0].ty.clone(), f64::NAN);
    for fuse in [false, true] {
        let plan = schedule(&graph, &ScheduleConfig { fuse }).expect("can be scheduled");
        let before: Vec<Vec<u8>> = states.iter().map(bytes).collect();
        let mut after = before.clone();
        let given: Vec<Vec<u8>> = inputs.iter().map(bytes).collect();
        let given: Vec<&[u8]> = given.iter().map(Vec::as_slice).collect();
        let result = evaluate(&plan, &given, &mut after);
        assert!(matches!(result, Err(EvaluateError::NonFinite { value }) if value.is_nan()));
        assert_eq!(before, after);
    }
}

/// The loss needs the state's new value, which so cannot be written where it is made.
#[test]
fn a_write_that_the_guard_needs_waits_for_it() {
    let graph = parsed(
        "graph 2\nparam w: f32[4]\n%1 = square(w)\n%2 = sum(%1, axes=[0])\nout y = %2\nwrite w = %1\nguard %2\n",
    );
    let states = [Tensor::from_values(graph.states()[0].ty.clone(), &[1.0, 2.0, 3.0, 4.0])];
    let plan = check(&graph, &[], &states);
    let last = plan.kernels.last().expect("there are kernels");
    assert_eq!(last.name, "copy");
    assert_eq!(plan.guard.as_ref().map(|g| g.after), Some(plan.kernels.len() - 1));
    let infinite = [Tensor::full(graph.states()[0].ty.clone(), 1e30)];
    assert!(matches!(run(&plan, &[], &infinite), Err(EvaluateError::NonFinite { .. })));
}

#[test]
fn cross_entropy_keeps_its_digits() {
    let rows: [([f64; 3], usize); 6] = [
        ([1000.0, 0.0, -1000.0], 0),
        ([1000.0, 0.0, -1000.0], 2),
        ([0.0, 1000.0, 0.0], 1),
        ([0.0, 1000.0, 0.0], 0),
        ([20.0, 0.0, 0.0], 0),
        ([0.5, 0.5, 0.5], 1),
    ];
    let graph = parsed(
        "graph 2\nin z: f32[6, 3]\nin i: i32[6]\n%2 = one_hot(i, type=f32, classes=3)\n\
         %3 = cross_entropy(z, %2, axes=[1])\n%4 = cross_entropy_residual(z, %2, axes=[1])\n\
         out loss = %3\nout residual = %4\n",
    );
    let z: Vec<f64> = rows.iter().flat_map(|r| r.0).collect();
    let i: Vec<f64> = rows.iter().map(|r| r.1 as f64).collect();
    let inputs = [
        Tensor::from_values(graph.inputs()[0].ty.clone(), &z),
        Tensor::from_values(graph.inputs()[1].ty.clone(), &i),
    ];
    let plan = plan(&graph);
    assert_eq!(plan.kernels.len(), 1, "{plan}");
    let (found, _) = run(&plan, &inputs, &[]).expect("there is no guard");
    let expected = eggrad_interp::run(&graph, &inputs, &[], eggrad_interp::Precision::AsWritten)
        .expect("the interpreter runs it");
    for (f, e) in found.iter().zip(&expected.outputs) {
        let ulps = eggrad_testkit::max_ulps(f, e);
        assert!(ulps <= 4, "{ulps} ulps: {:?} for {:?}", f.to_f64s(), e.to_f64s());
    }
    // log1p(2 e^-20) and its gradient are not lost beside 1.
    let tiny = found[0].to_f64s()[4];
    assert!((tiny / (2.0 * (-20f64).exp()) - 1.0).abs() < 1e-6);
}

/// Depth is bounded by memory only: nothing recurses, bodies stay short.
#[test]
fn long_chains_fit_a_small_stack() {
    let build = |step: fn(&mut Builder, NodeId, usize) -> NodeId| {
        let mut b = Builder::new();
        let mut y = b.declare_input("x", TensorType::new(DType::F32, [3, 4]), None, At::Unknown);
        for i in 0..100_000 {
            y = step(&mut b, y, i);
        }
        b.output("y", y);
        b.build().expect("well typed")
    };
    let run = move || {
        let graphs = [
            build(|b, x, i| b.unary([UnaryOp::Neg, UnaryOp::Square][i % 2], x)),
            build(|b, x, i| {
                let t = b.unary(UnaryOp::Abs, x);
                let shape = if i % 2 == 0 { [4, 3] } else { [3, 4] };
                let t = b.reshape(t, shape.into());
                b.add(t, t)
            }),
            build(|b, x, _| b.unary(UnaryOp::Neg, x)),
        ];
        for graph in &graphs {
            let plan = plan(graph);
            let insts = plan.kernels.iter().map(|k| match &k.kind {
                KernelKind::Row(k) => k.phases.len(),
                KernelKind::Column(_)
                | KernelKind::Product(_)
                | KernelKind::Loop(_)
                | KernelKind::Branch(_) => 0,
            });
            assert!(plan.kernels.len() > 100 && insts.max() == Some(1));
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread");
    thread.join().expect("the chains are scheduled");
}

/// Breaks a good plan in one way after the other; each is found.
#[test]
fn the_verifier_finds_broken_plans() {
    let good = plan(&train_step(&[7, 5, 4, 3], 6));
    assert_eq!(verify(&good), Vec::<String>::new());
    let broken = |what: &str, harm: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        harm(&mut plan);
        let errors = verify(&plan);
        assert!(errors.iter().any(|e| e.contains(what)), "{what}: {errors:?}");
    };
    let arena = |p: &Plan| {
        p.buffers
            .iter()
            .position(|b| b.place != Place::Arena(0) && matches!(b.place, Place::Arena(_)))
    };
    broken("reaches element", &|p| p.buffers[0].elements -= 1);
    broken("does not wait", &|p| {
        if let Some(g) = &mut p.guard {
            g.after = p.kernels.len();
        }
    });
    broken("before it is written", &|p| p.kernels.swap(0, 1));
    broken("same bytes", &|p| {
        if let Some(b) = arena(p) {
            p.buffers[b].place = Place::Arena(0);
        }
    });
    broken("lies wrong", &|p| p.arena_bytes = 64);
    broken("never written", &|p| {
        p.kernels.pop();
    });
    broken("though it stays", &|p| p.states[0].written = false);
}

/// A table that lies nowhere, or under another shape.
#[test]
fn gathers_from_computed_tables() {
    let graph = parsed(
        "graph 2\nin i: i32[2]\nin x: f32[6, 2]\n%2 = neg(x)\n%3 = gather(%2, i, batch=0)\n\
         %4 = reshape(x, shape=[4, 3])\n%5 = gather(%4, i, batch=0)\n%6 = transpose(x, axes=[1, 0])\n\
         %7 = gather(%6, i, batch=0)\nout a = %3\nout b = %5\nout c = %7\n",
    );
    let (inputs, states) = arrays(&graph);
    let plan = check(&graph, &inputs, &states);
    assert_eq!(plan.kernels.len(), 5, "{plan}");
}

/// What a few products make of a stored value is made again by each kernel that reads it, if it is large.
#[test]
fn large_values_that_are_cheap_are_not_kept() {
    let step = |rows: usize, columns: usize| {
        parsed(&format!(
            "graph 2\nin x: f32[{rows}, 8]\nin w: f32[8, {columns}]\nin b: f32[{columns}]\n\
             in u: f32[{columns}, 8]\nz = x @ w + b\ns = square(z)\nt = tanh(s * z)\n\
             y = (z * t) @ u\ng = s * sum(y) + z * mean(y)\nout y = y\nout g = g\n"
        ))
    };
    let stored = |plan: &Plan, elements: usize| {
        let large = |b: &&eggrad_schedule::Buffer| {
            b.elements == elements && !matches!(b.place, Place::Output(_))
        };
        plan.buffers.iter().filter(large).count()
    };
    let mut counts = vec![];
    for (rows, columns) in [(150, 130), (15, 13)] {
        let graph = step(rows, columns);
        let mut rng = Rng::new(4);
        let mut tensor = |dims: &[usize]| {
            let ty = TensorType::new(DType::F32, dims.to_vec());
            let values: Vec<f64> =
                (0..ty.shape.elements()).map(|_| rng.uniform(-0.5, 0.5)).collect();
            Tensor::from_values(ty, &values)
        };
        let inputs =
            [tensor(&[rows, 8]), tensor(&[8, columns]), tensor(&[columns]), tensor(&[columns, 8])];
        counts.push(stored(&check(&graph, &inputs, &[]), rows * columns));
    }
    // z and the operand of the second product; of small values the square too.
    assert_eq!(counts, [2, 3]);
}
