//! Windows, folds and random numbers, against the interpreter.

mod common;

use common::check;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, CompareOp, DType, DotAxes, Literal, MoveOp, NodeId, Op, ReduceOp, Shape,
    TensorType, UnaryOp, Windows,
};
use eggrad_schedule::{KernelKind, Plan};
use eggrad_testkit::Rng;

struct Case {
    b: Builder,
    inputs: Vec<Tensor>,
    rng: Rng,
}

impl Case {
    fn new() -> Case {
        Case { b: Builder::new(), inputs: vec![], rng: Rng::new(5) }
    }

    fn input(&mut self, dtype: DType, shape: &[usize]) -> NodeId {
        let ty = TensorType::new(dtype, shape.to_vec());
        let mut value = || match dtype {
            DType::Bool => f64::from(u8::from(self.rng.uniform(-1.0, 1.0) > 0.0)),
            DType::F32 | DType::F64 => self.rng.uniform(-2.0, 2.0),
            DType::I32 | DType::I64 | DType::U8 => self.rng.uniform(0.0, 200.0).trunc(),
        };
        let values: Vec<f64> = (0..ty.shape.elements()).map(|_| value()).collect();
        self.inputs.push(Tensor::from_values(ty.clone(), &values));
        self.b.declare_input(&format!("x{}", self.inputs.len()), ty, None, At::Unknown)
    }

    fn window(&mut self, x: NodeId, windows: &Windows) -> NodeId {
        self.b.node(Op::Move(MoveOp::Window(windows.clone())), &[x])
    }

    /// The adjoint of windows over a tensor of `shape`, at `x`.
    fn fold(&mut self, x: NodeId, windows: &Windows, shape: &[usize]) -> NodeId {
        let length = windows.axes.iter().map(|&a| shape[a]).collect();
        self.b.node(Op::Fold { windows: windows.clone(), length }, &[x])
    }

    fn check(mut self, results: &[NodeId]) -> Plan {
        for (i, &result) in results.iter().enumerate() {
            self.b.output(&format!("y{i}"), result);
        }
        check(&self.b.build().expect("the case is well typed"), &self.inputs, &[])
    }
}

/// `(axis, size, stride, dilation)` for each axis.
fn windows(list: &[(usize, usize, usize, usize)]) -> Windows {
    Windows {
        axes: list.iter().map(|w| w.0).collect(),
        size: list.iter().map(|w| w.1).collect(),
        stride: list.iter().map(|w| w.2).collect(),
        dilation: list.iter().map(|w| w.3).collect(),
    }
}

/// Shapes and windows over them: overlapping, tiling, with gaps, dilated, single, and of huge steps never taken.
fn geometries() -> Vec<(Vec<usize>, Windows)> {
    let huge = usize::MAX / 2;
    vec![
        (vec![7], windows(&[(0, 3, 1, 1)])),
        (vec![6], windows(&[(0, 3, 2, 1)])),
        (vec![9], windows(&[(0, 2, 3, 2)])),
        (vec![6], windows(&[(0, 2, 2, 1)])),
        (vec![7], windows(&[(0, 2, 2, 1)])),
        (vec![5], windows(&[(0, 1, huge, huge)])),
        (vec![5], windows(&[(0, 5, huge, 1)])),
        (vec![5], windows(&[(0, 1, 1, huge)])),
        (vec![2, 6, 5], windows(&[(1, 3, 1, 2)])),
        (vec![2, 6, 6, 3], windows(&[(1, 3, 2, 1), (2, 2, 1, 2)])),
        (vec![2, 4, 6, 5], windows(&[(1, 2, 2, 1), (2, 3, 3, 1)])),
        (vec![2, 3, 6, 7], windows(&[(2, 3, 1, 1), (3, 3, 2, 1)])),
        (vec![3, 4, 5], windows(&[(0, 2, 1, 1), (1, 2, 2, 1), (2, 2, 1, 1)])),
        (vec![3, 4], windows(&[])),
        (vec![0, 4, 3], windows(&[(1, 2, 1, 1)])),
    ]
}

#[test]
fn windows_and_folds_of_every_geometry_and_type() {
    for (shape, w) in geometries() {
        for &dtype in &DType::ALL {
            let mut case = Case::new();
            let x = case.input(dtype, &shape);
            let y = case.window(x, &w);
            let mut results = vec![y];
            if dtype != DType::Bool {
                let all = case.b.ty(y).shape.clone();
                let cotangent = case.input(dtype, all.dims());
                results.push(case.fold(cotangent, &w, &shape));
                // Through what is computed.
                let twice = case.b.add(x, x);
                let seen = case.window(twice, &w);
                let product = case.b.mul(seen, cotangent);
                let back = case.fold(product, &w, &shape);
                let sum = case.b.add(back, x);
                results.extend([product, sum, back]);
                let axes: Vec<usize> = (shape.len()..all.rank()).collect();
                if !axes.is_empty() {
                    for op in [ReduceOp::Max, ReduceOp::Sum, ReduceOp::Min] {
                        results.push(case.b.reduce(op, seen, axes.clone()));
                    }
                }
            }
            case.check(&results);
        }
    }
}

#[test]
fn windows_are_read_through_transposes_and_slices() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[4, 9, 8]);
    let t = case.b.transpose(x, vec![1, 2, 0]);
    let w = case.window(t, &windows(&[(0, 3, 2, 1), (1, 2, 3, 1)]));
    let back = case.b.transpose(w, vec![4, 2, 0, 3, 1]);
    let sum = case.b.reduce(ReduceOp::Sum, back, vec![0, 3]);
    let r = case.b.reshape(w, Shape::from([4 * 3, 4 * 3 * 2]));
    let part = MoveOp::Slice { start: vec![1, 2], step: vec![2, 3], size: vec![5, 6] };
    let part = case.b.node(Op::Move(part), &[r]);
    let again = case.window(w, &windows(&[(2, 2, 1, 1), (3, 2, 1, 1)]));
    case.check(&[back, sum, r, part, again]);
}

/// As many positions of windows as elements, yet some are read twice: nothing may be stored along such loops.
#[test]
fn overlapping_windows_are_not_mistaken_for_all_elements() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[6]);
    let w = case.window(x, &windows(&[(0, 3, 2, 1)]));
    let first = case.b.unary(UnaryOp::Tanh, w);
    let e = case.b.unary(UnaryOp::Exp, x);
    let seen = case.window(e, &windows(&[(0, 3, 2, 1)]));
    let second = case.b.mul(seen, first);
    let sum = case.b.reduce(ReduceOp::Sum, e, vec![0]);
    case.check(&[first, second, e, sum]);
}

fn pad(case: &mut Case, x: NodeId, by: usize, fill: f64) -> NodeId {
    let dims = case.b.ty(x).shape.dims().to_vec();
    let spatial = |axis: usize| axis == 1 || axis == 2;
    let start = (0..4).map(|a| if spatial(a) { by } else { 0 }).collect();
    let size = (0..4).map(|a| dims[a] + if spatial(a) { 2 * by } else { 0 }).collect();
    let fill = Literal::Float(fill.to_bits());
    case.b.node(Op::Move(MoveOp::Pad { start, step: vec![1; 4], size, fill }), &[x])
}

fn has_buffer(plan: &Plan, elements: usize) -> bool {
    plan.buffers.iter().any(|b| b.elements == elements)
}

/// Max pooling and its gradient read the padded image as it lies: no windows in memory.
#[test]
fn pooling_reads_windows_in_place() {
    for (w, padding) in
        [(windows(&[(1, 2, 2, 1), (2, 2, 2, 1)]), 0), (windows(&[(1, 3, 2, 1), (2, 3, 2, 1)]), 1)]
    {
        let mut case = Case::new();
        let x = case.input(DType::F32, &[2, 8, 8, 5]);
        let p = pad(&mut case, x, padding, f64::NEG_INFINITY);
        let view = case.window(p, &w);
        let shape = case.b.ty(view).shape.clone();
        let y = case.b.reduce(ReduceOp::Max, view, vec![4, 5]);
        let dy = case.input(DType::F32, case.b.ty(y).shape.clone().dims());
        // The gradient as differentiation writes it: ties share.
        let top = case.b.spread_over(y, &shape, &[4, 5]);
        let hits = case.b.compare(CompareOp::Eq, view, top);
        let one = case.b.full_like(view, 1.0);
        let zero = case.b.full_like(view, 0.0);
        let hits = case.b.select(hits, one, zero);
        let count = case.b.reduce(ReduceOp::Sum, hits, vec![4, 5]);
        let share = case.b.div(dy, count);
        let share = case.b.spread_over(share, &shape, &[4, 5]);
        let back = case.b.mul(hits, share);
        let size = 8 + 2 * padding;
        let back = case.fold(back, &w, &[2, size, size, 5]);
        let part = MoveOp::Slice {
            start: vec![0, padding, padding, 0],
            step: vec![1; 4],
            size: vec![2, 8, 8, 5],
        };
        let dx = case.b.node(Op::Move(part), &[back]);
        let plan = case.check(&[y, dx]);
        if padding == 0 {
            // The maximum, what hits it, their number, and their shares where the windows tile the image.
            assert_eq!(plan.kernels.len(), 4, "{plan}");
        }
        let max = plan.kernels.iter().find(|k| k.name.starts_with("max")).expect("a maximum");
        // One slice for each position of a window, and the result.
        let KernelKind::Row(max) = &max.kind else { panic!("{plan}") };
        let positions: usize = w.size.iter().product();
        assert_eq!(max.accesses.len(), positions + 1, "{plan}");
    }
}

/// A convolution, its weight gradient and its input gradient.
#[test]
fn convolutions_and_their_gradients() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[2, 6, 6, 3]);
    let k = case.input(DType::F32, &[3, 3, 3, 4]);
    let w = windows(&[(1, 3, 1, 1), (2, 3, 1, 1)]);
    let p = pad(&mut case, x, 1, 0.0);
    let view = case.window(p, &w);
    let contract = vec![(3, 2), (4, 0), (5, 1)];
    let y = case.b.dot(view, k, DotAxes { batch: vec![], contract });
    let y = case.b.unary(UnaryOp::Relu, y);
    let dy = case.input(DType::F32, &[2, 6, 6, 4]);
    let pairs = vec![(0, 0), (1, 1), (2, 2)];
    let dk = case.b.dot(view, dy, DotAxes { batch: vec![], contract: pairs });
    let dk = case.b.transpose(dk, vec![1, 2, 0, 3]);
    // [N, OH, OW, KH, KW, C]
    let dw = case.b.dot(dy, k, DotAxes { batch: vec![], contract: vec![(3, 3)] });
    let dw = case.b.transpose(dw, vec![0, 1, 2, 5, 3, 4]);
    let dx = case.fold(dw, &w, &[2, 8, 8, 3]);
    let part = MoveOp::Slice { start: vec![0, 1, 1, 0], step: vec![1; 4], size: vec![2, 6, 6, 3] };
    let dx = case.b.node(Op::Move(part), &[dx]);
    case.check(&[y, dk, dx]);
}

/// A product reads windows in place where the summed axis is one run: rows of a sequence.
#[test]
fn a_convolution_along_one_axis_needs_no_copy() {
    let mut case = Case::new();
    let x = case.input(DType::F32, &[50, 4]);
    let k = case.input(DType::F32, &[3, 4, 6]);
    let view = case.window(x, &windows(&[(0, 3, 1, 1)]));
    let y = case.b.dot(view, k, DotAxes { batch: vec![], contract: vec![(1, 1), (2, 0)] });
    let plan = case.check(&[y]);
    assert!(!has_buffer(&plan, 48 * 12), "{plan}");
    assert_eq!(plan.kernels.len(), 1, "{plan}");
}

fn key(case: &mut Case, stream: u64) -> NodeId {
    let [seed, step] = [0, 1].map(|_| case.input(DType::I32, &[]));
    case.b.node(Op::RandomKey { stream }, &[seed, step])
}

/// The same bits however they are fused, and in whatever shape they are read.
#[test]
fn random_numbers_do_not_depend_on_fusion() {
    for dtype in [DType::I32, DType::F32, DType::F64] {
        let mut case = Case::new();
        let key = key(&mut case, 0xdead_beef_0000_0001);
        let shape = Shape::from([5, 7, 3]);
        let r = case.b.node(Op::Random { dtype, shape: shape.clone() }, &[key]);
        let t = case.b.transpose(r, vec![2, 0, 1]);
        let x = case.input(dtype, &[3, 5, 7]);
        let t = case.b.mul(t, x);
        let flat = case.b.reshape(r, Shape::from([105]));
        let sum = case.b.reduce(ReduceOp::Sum, flat, vec![0]);
        let single = case.b.node(Op::Random { dtype, shape: Shape::scalar() }, &[key]);
        let none = case.b.node(Op::Random { dtype, shape: Shape::from([3, 0]) }, &[key]);
        case.check(&[key, r, t, sum, single, none]);
    }
}

/// A mask that only one kernel needs is drawn there.
#[test]
fn a_mask_is_drawn_where_it_is_needed() {
    let mut case = Case::new();
    let key = key(&mut case, 3);
    let (x, w) = (case.input(DType::F32, &[6, 8]), case.input(DType::F32, &[8, 10]));
    let y = case.b.dot(x, w, DotAxes::contract(1, 0));
    let r = case.b.node(Op::Random { dtype: DType::F32, shape: Shape::from([6, 10]) }, &[key]);
    let keep = case.b.full_like(r, 0.75);
    let kept = case.b.compare(CompareOp::Lt, r, keep);
    let zero = case.b.full_like(y, 0.0);
    let y = case.b.select(kept, y, zero);
    let plan = case.check(&[y]);
    assert_eq!(plan.kernels.len(), 2, "{plan}");
}
