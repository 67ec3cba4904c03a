//! What is made of frozen states alone: kernels of its own, first in the plan, in bytes of its own.

mod common;

use common::check;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, DType, DotAxes, Function, NodeId, Op, Scan, StateKind, TensorType, UnaryOp,
};
use eggrad_schedule::{Place, Plan, verify};
use eggrad_testkit::Rng;
use std::sync::Arc;

/// A graph whose states are frozen, and its plan, which agrees with the interpreter.
fn plan(write: impl Fn(&mut Builder)) -> Plan {
    let mut b = Builder::new();
    write(&mut b);
    let graph = b.build().expect("a graph");
    let mut rng = Rng::new(1);
    let mut tensor = |ty: &TensorType| rng.tensor(ty.clone(), 0.5, 2.0);
    let inputs: Vec<Tensor> = graph.inputs().iter().map(|i| tensor(&i.ty)).collect();
    let states: Vec<Tensor> = graph.states().iter().map(|s| tensor(&s.ty)).collect();
    check(&graph, &inputs, &states)
}

fn input(b: &mut Builder, name: &str, dims: &[usize]) -> NodeId {
    b.declare_input(name, TensorType::new(DType::F32, dims), None, At::Unknown)
}

fn frozen(b: &mut Builder, name: &str, dims: &[usize]) -> NodeId {
    b.declare_state(name, StateKind::Frozen, TensorType::new(DType::F32, dims), At::Unknown)
}

/// Names of the kernels of setup and of runs.
fn names(plan: &Plan) -> [Vec<&str>; 2] {
    let (setup, rest) = plan.kernels.split_at(plan.setup);
    [setup, rest].map(|kernels| kernels.iter().map(|k| k.name.as_str()).collect())
}

/// Whether two buffers of the arena share bytes.
fn overlap(plan: &Plan, a: usize, b: usize) -> bool {
    let range = |i: usize| match plan.buffers[i].place {
        Place::Arena(offset) => offset..offset + plan.buffers[i].bytes(),
        Place::Input(_) | Place::Output(_) | Place::State(_) | Place::Constant(_) => 0..0,
    };
    let (a, b) = (range(a), range(b));
    a.start < b.end && b.start < a.end
}

#[test]
fn the_text_shows_what_runs_once() {
    let plan = plan(|b| {
        let (x, w) = (input(b, "x", &[2, 3]), frozen(b, "w", &[3, 4]));
        let root = b.unary(UnaryOp::Sqrt, w);
        let y = b.dot(x, root, DotAxes::contract(1, 0));
        b.output("y", y);
    });
    let text = "\
kernels: 2, setup: 1, arena: 64 B (64 B)
b0 x: f32 x 6, input 0
b1 w: f32 x 12, state 0
b2 y: f32 x 8, output 0
b3 %2: f32 x 12, arena 0, kept
k0 setup sqrt (forward): row of 12
  pass
    reads b1 [1]
    writes b3 [1]
k1 dot (forward): product 2 x 4, sums of 3
  a = b0 [3, 0, 1], b = b3 [0, 1, 4]
  writes b2 [4, 1, 0]
";
    assert_eq!(plan.to_string(), text);
    assert_eq!(plan.kernel_count(), 1);
}

#[test]
fn cheap_values_are_not_computed_again_and_moves_stay_views() {
    let plan = plan(|b| {
        let (x, w) = (input(b, "x", &[3, 4]), frozen(b, "w", &[4, 3]));
        let minus = b.neg(w);
        let turned = b.transpose(minus, vec![1, 0]);
        let y = b.add(x, turned);
        let z = b.mul(x, turned);
        b.output("y", y);
        b.output("z", z);
    });
    assert_eq!(names(&plan), [vec!["neg"], vec!["add+mul"]]);
}

#[test]
fn moved_weights_are_packed_once() {
    // A product would turn its right operand in each run.
    let plan = plan(|b| {
        let (x, w) = (input(b, "x", &[6, 50]), frozen(b, "w", &[7, 50]));
        let y = b.dot(x, w, DotAxes::contract(1, 1));
        let z = b.unary(UnaryOp::Relu, y);
        b.output("z", z);
    });
    assert_eq!(names(&plan), [vec!["pack"], vec!["dot+relu"]]);
}

#[test]
fn what_runs_leave_alone_stays_as_it_was() {
    // Values of setup that later kernels read, with large ones between that come and go.
    let plan = plan(|b| {
        let x = input(b, "x", &[40, 40]);
        let w = frozen(b, "w", &[40, 40]);
        let square = b.unary(UnaryOp::Square, w);
        let passing = b.dot(square, w, DotAxes::contract(1, 0));
        let kept = b.sum(passing, vec![1]);
        let mut h = x;
        for _ in 0..3 {
            let product = b.dot(h, square, DotAxes::contract(1, 0));
            let sum = b.sum(product, vec![1]);
            let scale = b.mul(sum, kept);
            let scale = b.spread(scale, vec![40, 40].into(), vec![0]);
            h = b.div(product, scale);
        }
        b.output("h", h);
    });
    assert!(plan.setup >= 2, "{plan}");
    let touched = |kernels: std::ops::Range<usize>| -> Vec<usize> {
        plan.kernels[kernels].iter().flat_map(|k| k.args.clone()).collect()
    };
    let (setup, rest) = (touched(0..plan.setup), touched(plan.setup..plan.kernels.len()));
    let mut kept = 0;
    for &buffer in setup.iter().filter(|b| rest.contains(b)) {
        if let Place::Arena(_) = plan.buffers[buffer].place {
            kept += 1;
            let others = (0..plan.buffers.len()).filter(|&b| b != buffer);
            assert!(others.into_iter().all(|b| !overlap(&plan, buffer, b)), "{plan}");
        }
    }
    assert!(kept >= 2, "{plan}");
}

#[test]
fn outputs_and_states_take_copies() {
    let plan = plan(|b| {
        let w = frozen(b, "w", &[3]);
        let kind = StateKind::Stat;
        let s = b.declare_state("s", kind, TensorType::new(DType::F32, [3]), At::Unknown);
        let root = b.unary(UnaryOp::Sqrt, w);
        b.output("y", root);
        b.output("w", w);
        b.write(s, root);
    });
    assert_eq!(names(&plan), [vec!["sqrt"], vec!["copy"; 3]]);
}

#[test]
fn a_frozen_state_that_is_written_is_a_state() {
    let plan = plan(|b| {
        let (x, w) = (input(b, "x", &[3]), frozen(b, "w", &[3]));
        let root = b.unary(UnaryOp::Sqrt, w);
        let y = b.mul(x, root);
        b.output("y", y);
        b.write(w, y);
    });
    assert_eq!(plan.setup, 0);
}

#[test]
fn loops_over_frozen_states_run_once_and_others_find_their_constants() {
    let row = TensorType::new(DType::F32, [3]);
    let mut b = Builder::new();
    let h = b.declare_input("h", row.clone(), None, At::Unknown);
    let c = b.declare_input("c", row, None, At::Unknown);
    let next = b.mul(h, c);
    b.output("h", next);
    let body = Arc::new(Function::new("step", b.build().expect("a body")).expect("a function"));
    let plan = plan(|b| {
        let (x, w) = (input(b, "x", &[3]), frozen(b, "w", &[3]));
        let minus = b.neg(w);
        let scan = |b: &mut Builder, h: NodeId| {
            let scan = Scan { body: body.clone(), carries: 1, xs: 0, length: 4, reverse: false };
            b.application(&Op::Scan { scan, result: 0 }, &[h, minus])[0]
        };
        let once = scan(b, w);
        let anew = scan(b, x);
        let y = b.add(once, anew);
        b.output("y", y);
    });
    let [setup, rest] = names(&plan);
    assert_eq!((setup.len(), rest.len()), (2, 2), "{plan}");
    assert_eq!(plan.kernel_count(), 3, "the step counts once");
}

#[test]
fn broken_setups_are_found() {
    let good = plan(|b| {
        let (x, w) = (input(b, "x", &[3]), frozen(b, "w", &[3]));
        let root = b.unary(UnaryOp::Sqrt, w);
        let y = b.mul(x, root);
        let sum = b.sum(y, vec![0]);
        b.output("sum", sum);
    });
    assert_eq!(good.setup, 1);
    let errors = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        verify(&plan).join("; ")
    };
    assert!(errors(&|p| p.setup = 9).contains("longer than the plan"));
    assert!(errors(&|p| p.setup = 2).contains("reads `x` in the setup"));
    assert!(errors(&|p| p.states[0].kind = StateKind::Param).contains("reads `w` in the setup"));
    assert!(errors(&|p| p.kernels[0].args[1] = 1).contains("writes `w` in the setup"));
    assert!(
        errors(&|p| {
            let again = p.kernels[0].clone();
            p.kernels.insert(1, again);
        })
        .contains("after the setup")
    );
}
