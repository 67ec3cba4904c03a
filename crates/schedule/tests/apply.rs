//! Scans and branches, against the interpreter.

mod common;

use common::check;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, CompareOp, DType, DotAxes, MoveOp, NodeId, Op, ReduceOp, Shape, TensorType,
    UnaryOp, Windows,
};
use eggrad_schedule::{KernelKind, Plan, ScheduleConfig, Target, schedule, verify};
use eggrad_testkit::{Case, cell, f32s, function, scan};

/// Schedules a case.
trait Checks {
    /// The plan, which gives what the interpreter gives.
    fn check(self) -> Plan;
}

impl Checks for Case {
    fn check(self) -> Plan {
        check(&self.b.build().expect("the case is well typed"), &self.inputs, &self.states)
    }
}

fn recurrent(length: usize, reverse: bool) -> (Case, Vec<NodeId>) {
    let mut case = Case::new(20);
    let h = case.input(DType::F32, &[3, 5]);
    let xs = case.input(DType::F32, &[length, 3, 4]);
    let (w, u) = (case.input(DType::F32, &[4, 5]), case.input(DType::F32, &[5, 5]));
    let results = scan(&cell(3, 4, 5), (1, 1), (length, reverse), &mut case.b, &[h, xs, w, u]);
    (case, results)
}

#[test]
fn recurrent_networks_of_any_length() {
    for length in [0, 1, 2, 3, 8] {
        for reverse in [false, true] {
            let (mut case, results) = recurrent(length, reverse);
            let sum = case.b.reduce(ReduceOp::Sum, results[1], vec![0]);
            case.outputs(&results);
            case.b.output("sum", sum);
            case.check();
            // Some results only, in another order, and one twice.
            for some in [vec![0], vec![1], vec![2], vec![2, 0], vec![1, 1]] {
                let (mut case, results) = recurrent(length, reverse);
                let some: Vec<NodeId> = some.into_iter().map(|i| results[i]).collect();
                case.outputs(&some);
                let plan = case.check();
                let loops = |k: &&eggrad_schedule::Kernel| matches!(k.kind, KernelKind::Loop(_));
                assert_eq!(plan.kernels.iter().filter(loops).count(), length.min(1), "{plan}");
            }
        }
    }
}

#[test]
fn operands_that_are_computed_constant_or_repeated() {
    let mut case = Case::new(20);
    let x = case.input(DType::F32, &[6, 12]);
    let xs = case.b.reshape(x, Shape::from([6, 3, 4]));
    let xs = case.b.unary(UnaryOp::Exp, xs);
    let zero = case.b.scalar(DType::F32, 0.0);
    let h = case.b.spread(zero, Shape::from([3, 4]), vec![]);
    let w = case.input(DType::F32, &[4, 4]);
    let t = case.b.transpose(w, vec![1, 0]);
    let first = scan(&cell(3, 4, 4), (1, 1), (6, false), &mut case.b, &[h, xs, w, t]);
    // The stacked results of one are read by the next, its result carried on, one weight given twice.
    let second = scan(&cell(3, 4, 4), (1, 1), (6, true), &mut case.b, &[first[0], first[1], t, t]);
    let r = case.b.reshape(second[0], Shape::from([12]));
    let y = case.b.unary(UnaryOp::Sigmoid, r);
    case.outputs(&[y, second[2], second[0]]);
    let plan = case.check();
    // Both scans have one plan.
    assert_eq!(plan.nested().len(), 1, "{plan}");
    assert_eq!(plan.kernel_count(), plan.kernels.len() + plan.nested()[0].kernels.len());
}

/// Carried values that only move: swapped, unchanged, taken from the sequence; of several types.
#[test]
fn values_that_a_step_hands_on_as_they_are() {
    for length in [1, 2, 5] {
        let mut case = Case::new(20);
        let i32s = |dims: &[usize]| TensorType::new(DType::I32, dims.to_vec());
        let bools = TensorType::new(DType::Bool, [3]);
        let types = [
            f32s(&[3]),
            f32s(&[3]),
            i32s(&[]),
            bools.clone(),
            f32s(&[3]),
            bools.clone(),
            f32s(&[3]),
        ];
        let body = function(&types, |b, v| {
            let one = b.full_like(v[2], 1.0);
            let count = b.add(v[2], one);
            // a, b = b, a; a count; the last bools; stacked: an input, a constant, a carried value.
            vec![v[1], v[0], count, v[5], v[4], v[6], v[2], one]
        });
        let operands = [
            case.input(DType::F32, &[3]),
            case.input(DType::F32, &[3]),
            case.input(DType::I32, &[]),
            case.input(DType::Bool, &[3]),
            case.input(DType::F32, &[length, 3]),
            case.input(DType::Bool, &[length, 3]),
            case.input(DType::F32, &[3]),
        ];
        let results = scan(&body, (4, 2), (length, length == 5), &mut case.b, &operands);
        case.outputs(&results);
        case.check();
    }
}

/// A scan of scans, whose inner body has a branch.
#[test]
fn scans_in_scans_and_branches_in_both() {
    let scalar = f32s(&[]);
    let row = f32s(&[4]);
    let double = function(&[row.clone(), scalar.clone()], |b, v| {
        let by = b.spread(v[1], Shape::from([4]), vec![]);
        let y = b.mul(v[0], by);
        vec![b.unary(UnaryOp::Sin, y)]
    });
    let other = function(&[row.clone(), scalar.clone()], |b, v| {
        let s = b.reduce(ReduceOp::Max, v[0], vec![0]);
        let s = b.add(s, v[1]);
        vec![b.spread(s, Shape::from([4]), vec![])]
    });
    let inner = function(&[row.clone(), scalar.clone()], |b, v| {
        let zero = b.scalar(DType::F32, 0.0);
        let positive = b.compare(CompareOp::Gt, v[1], zero);
        let op = Op::Cond { then: double, otherwise: other, result: 0 };
        let y = b.node(op, &[positive, v[0], v[1]]);
        let y = b.add(y, v[0]);
        vec![y, v[0]]
    });
    let outer = function(&[row.clone(), f32s(&[3]), row.clone()], |b, v| {
        let start = b.add(v[0], v[2]);
        let r = scan(&inner, (1, 1), (3, true), b, &[start, v[1]]);
        let y = b.unary(UnaryOp::Tanh, r[0]);
        vec![y, r[1]]
    });
    let mut case = Case::new(20);
    let (h, xs, c) = (
        case.input(DType::F32, &[4]),
        case.input(DType::F32, &[5, 3]),
        case.input(DType::F32, &[4]),
    );
    let results = scan(&outer, (1, 1), (5, false), &mut case.b, &[h, xs, c]);
    case.outputs(&results);
    let plan = case.check();
    assert_eq!(plan.nested().len(), 4, "{plan}");
    let text = plan.to_string();
    for part in ["cond (forward): by b", "    step:", "        otherwise:", " backwards"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn branches_take_either_way() {
    for chosen in [0.0, 1.0] {
        let ty = [f32s(&[4, 3]), f32s(&[3, 4])];
        let then = function(&ty, |b, v| {
            let y = b.dot(v[0], v[1], DotAxes::contract(1, 0));
            let s = b.reduce(ReduceOp::Sum, v[0], vec![0, 1]);
            vec![y, s, v[1]]
        });
        let otherwise = function(&ty, |b, v| {
            let zero = b.scalar(DType::F32, 0.0);
            let y = b.spread(zero, Shape::from([4, 4]), vec![]);
            let t = b.transpose(v[0], vec![1, 0]);
            vec![y, zero, t]
        });
        let mut case = Case::new(20);
        let one = TensorType::scalar(DType::F32);
        case.inputs.push(Tensor::from_values(one.clone(), &[chosen]));
        let x = case.b.declare_input("x", one, None, At::Unknown);
        let half = case.b.scalar(DType::F32, 0.5);
        let choice = case.b.compare(CompareOp::Gt, x, half);
        let (p, q) = (case.input(DType::F32, &[4, 3]), case.input(DType::F32, &[3, 4]));
        let op = Op::Cond { then, otherwise, result: 0 };
        let results = case.b.application(&op, &[choice, p, q]);
        case.outputs(&results[..2]);
        let y = case.b.unary(UnaryOp::Exp, results[0]);
        case.b.output("exp", y);
        let plan = case.check();
        let branch = plan.kernels.iter().find_map(|k| match &k.kind {
            KernelKind::Branch(branch) => Some(branch),
            KernelKind::Row(_)
            | KernelKind::Column(_)
            | KernelKind::Product(_)
            | KernelKind::Loop(_) => None,
        });
        // Nobody reads the third result.
        assert!(matches!(branch.expect("a branch").results[2], Target::Scratch(_)), "{plan}");
    }
}

/// States read and written around a scan, some as its own results.
#[test]
fn states_carried_by_scans() {
    let mut case = Case::new(20);
    let (h, w, u) = (case.state(&[3, 4]), case.state(&[4, 4]), case.state(&[4, 4]));
    let xs = case.input(DType::F32, &[5, 3, 4]);
    let results = scan(&cell(3, 4, 4), (1, 1), (5, false), &mut case.b, &[h, xs, w, u]);
    let loss = case.b.reduce(ReduceOp::Sum, results[1], vec![0, 1, 2]);
    case.b.set_guard(Some(loss));
    case.b.write(h, results[0]);
    let next = case.b.reduce(ReduceOp::Sum, results[2], vec![0]);
    let next = case.b.dot(next, next, DotAxes::contract(0, 0));
    case.b.write(w, next);
    // After the guard: another scan of what was.
    let again = scan(&cell(3, 4, 4), (1, 1), (5, true), &mut case.b, &[h, xs, u, w]);
    let square = case.b.dot(again[0], again[0], DotAxes::contract(0, 0));
    case.b.write(u, square);
    case.outputs(&[loss]);
    case.check();
}

#[test]
fn windows_and_random_numbers_in_steps() {
    let key = TensorType::new(DType::I32, [2]);
    let body = function(&[f32s(&[4, 5]), TensorType::scalar(DType::I32), key], |b, v| {
        let windows = Windows { axes: vec![0], size: vec![2], stride: vec![1], dilation: vec![1] };
        let w = b.node(Op::Move(MoveOp::Window(windows.clone())), &[v[0]]);
        let y = b.unary(UnaryOp::Sin, w);
        let y = b.node(Op::Fold { windows, length: vec![4] }, &[y]);
        let r = b.node(Op::Random { dtype: DType::F32, shape: Shape::from([4, 5]) }, &[v[2]]);
        let y = b.mul(y, r);
        let seed = b.scalar(DType::I32, 7.0);
        let k = b.node(Op::RandomKey { stream: 9 }, &[seed, v[1]]);
        vec![y, y, k]
    });
    let mut case = Case::new(20);
    let (x, steps) = (case.input(DType::F32, &[4, 5]), case.input(DType::I32, &[6]));
    let (seed, step) = (case.input(DType::I32, &[]), case.input(DType::I32, &[]));
    let key = case.b.node(Op::RandomKey { stream: 1 << 40 }, &[seed, step]);
    let results = scan(&body, (1, 1), (6, false), &mut case.b, &[x, steps, key]);
    case.outputs(&results);
    case.check();
}

#[test]
fn tensors_without_elements() {
    let types = [f32s(&[0, 3]), f32s(&[2]), f32s(&[0]), f32s(&[3])];
    let body = function(&types, |b, v| {
        let s = b.reduce(ReduceOp::Sum, v[0], vec![0]);
        let s = b.add(s, v[3]);
        let y = b.unary(UnaryOp::Exp, v[0]);
        vec![y, s, v[2], v[1]]
    });
    let mut case = Case::new(20);
    let operands = [
        case.input(DType::F32, &[0, 3]),
        case.input(DType::F32, &[4, 2]),
        case.input(DType::F32, &[4, 0]),
        case.input(DType::F32, &[3]),
    ];
    let results = scan(&body, (1, 2), (4, false), &mut case.b, &operands);
    case.outputs(&results);
    case.check();
}

/// More steps and bytes than there are: the plan says so, and nothing overflows on the way.
#[test]
fn huge_sizes() {
    let mut b = Builder::new();
    let zero = b.scalar(DType::F64, 0.0);
    let huge = Shape::from([1 << 29, 1 << 29]);
    let big = b.spread(zero, huge.clone(), vec![]);
    let ty = TensorType::new(DType::F64, huge.dims());
    let body = function(&[ty], |b, v| {
        let e = b.unary(UnaryOp::Exp, v[0]);
        let t = b.transpose(e, vec![1, 0]);
        let y = b.dot(e, t, DotAxes::contract(1, 0));
        let s = b.reduce(ReduceOp::Sum, y, vec![0, 1]);
        vec![y, s]
    });
    let r = scan(&body, (1, 0), (1 << 59, false), &mut b, &[big]);
    b.output("y", r[1]);
    let plan = schedule(&b.build().expect("well typed"), &ScheduleConfig::default());
    let plan = plan.expect("scheduled");
    assert!(plan.arena_bytes > eggrad_schedule::MAX_BYTES);
}

#[test]
fn broken_plans_are_found() {
    let (mut case, results) = recurrent(4, false);
    case.outputs(&results[..2]);
    let graph = case.b.build().expect("well typed");
    let plan = schedule(&graph, &ScheduleConfig::default()).expect("scheduled");
    let broken = |change: &dyn Fn(&mut eggrad_schedule::LoopKernel)| {
        let mut plan = plan.clone();
        for kernel in &mut plan.kernels {
            if let KernelKind::Loop(k) = &mut kernel.kind {
                change(k);
            }
        }
        assert_ne!(verify(&plan), Vec::<String>::new());
    };
    broken(&|k| k.length = 5);
    broken(&|k| k.operands.swap(0, 2));
    broken(&|k| k.operands.truncate(3));
    broken(&|k| k.results[0] = Target::Arg(k.operands[0]));
    broken(&|k| k.results[1] = Target::Scratch(1 << 20));
    broken(&|k| k.spare[0] = 1);
    broken(&|k| k.spare.clear());
    broken(&|k| k.scratch = None);
    broken(&|k| k.carries = 2);
}

/// A step that multiplies with a transposed weight packs it once.
#[test]
fn what_a_step_makes_of_constants_is_made_in_the_first() {
    let body = function(&[f32s(&[32, 40]), f32s(&[40, 40])], |b, v| {
        let next = b.dot(v[0], v[1], DotAxes::contract(1, 1));
        vec![b.unary(UnaryOp::Tanh, next)]
    });
    let mut case = Case::new(21);
    let (h, w) = (case.input(DType::F32, &[32, 40]), case.input(DType::F32, &[40, 40]));
    let results = scan(&body, (1, 0), (5, false), &mut case.b, &[h, w]);
    case.outputs(&results);
    let mut plan = case.check();
    assert_eq!((plan.nested()[0].setup, plan.nested()[0].kernels.len()), (1, 2), "{plan}");
    // The same kernels over a carried value would be wrong.
    let KernelKind::Loop(k) = &mut plan.kernels[0].kind else { panic!("no loop in\n{plan}") };
    k.carries = 2;
    assert_ne!(verify(&plan), Vec::<String>::new());
}
