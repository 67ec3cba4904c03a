//! Windows, folds, slices and pads: values stay, products are found, comparisons stay small.

use eggrad_interp::{Precision, Tensor, run};
use eggrad_ir::{
    At, Builder, DType, DotAxes, Graph, Literal, MoveOp, NodeId, Op, ReduceOp, TensorType, UnaryOp,
    Windows,
};
use eggrad_rewrite::{Report, RewriteConfig, TableCost, optimize};

fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F32, dims)
}

fn graph(
    inputs: &[TensorType],
    build: impl FnOnce(&mut Builder, &[NodeId]) -> Vec<NodeId>,
) -> Graph {
    let mut b = Builder::new();
    let declare = |(i, ty): (usize, &TensorType)| {
        b.declare_input(&format!("x{i}"), ty.clone(), None, At::Unknown)
    };
    let inputs: Vec<NodeId> = inputs.iter().enumerate().map(declare).collect();
    for (i, y) in build(&mut b, &inputs).into_iter().enumerate() {
        b.output(&format!("y{i}"), y);
    }
    b.build().unwrap()
}

/// Optimises, and compares values for arbitrary inputs.
#[track_caller]
fn check(graph: &Graph) -> (Graph, Report) {
    let (result, report) = optimize(graph, &TableCost, &RewriteConfig::default()).unwrap();
    assert_eq!(report.not_compared, [""; 0], "{report}");
    let value = |(k, ty): (usize, &TensorType)| {
        let value = |i: usize| ((k + 1) as f64 * (i as f64 + 0.5)).sin();
        Tensor::from_values(ty.clone(), &(0..ty.shape.elements()).map(value).collect::<Vec<_>>())
    };
    let types: Vec<TensorType> = graph.inputs().iter().map(|i| i.ty.clone()).collect();
    let inputs: Vec<Tensor> = types.iter().enumerate().map(value).collect();
    let outputs = |g: &Graph| run(g, &inputs, &[], Precision::Wide).unwrap().outputs;
    for (a, b) in outputs(graph).iter().zip(outputs(&result)) {
        for (x, y) in a.to_f64s().into_iter().zip(b.to_f64s()) {
            assert!((x - y).abs() <= 1e-9 * x.abs().max(1.0), "{x} became {y} in\n{result}");
        }
    }
    (result, report)
}

fn along(axes: &[usize], size: usize, stride: usize) -> Windows {
    let all = |x: usize| vec![x; axes.len()];
    Windows { axes: axes.to_vec(), size: all(size), stride: all(stride), dilation: all(1) }
}

/// `[N, H, W, C]` by `[K, K, C, F]`
fn convolve(b: &mut Builder, x: NodeId, w: NodeId, size: usize, stride: usize) -> NodeId {
    let windows = b.window(x, along(&[1, 2], size, stride));
    b.dot(windows, w, DotAxes { batch: vec![], contract: vec![(4, 0), (5, 1), (3, 2)] })
}

fn pad(b: &mut Builder, x: NodeId, by: usize, size: usize) -> NodeId {
    let dims = b.ty(x).shape.dims().to_vec();
    let pad = MoveOp::Pad {
        start: vec![0, by, by, 0],
        step: vec![1; 4],
        size: vec![dims[0], size, size, dims[3]],
        fill: Literal::Float(0),
    };
    b.node(Op::Move(pad), &[x])
}

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().iter().filter(|n| !n.op.is_leaf()).map(|n| n.op.name()).collect()
}

#[test]
fn a_convolution_with_pooling_and_a_classifier_is_compared_at_small_sizes() {
    let types = [
        f32s(&[64, 28, 28, 1]),
        f32s(&[5, 5, 1, 16]),
        f32s(&[5, 5, 16, 32]),
        f32s(&[7 * 7 * 32, 10]),
    ];
    let graph = graph(&types, |b, args| {
        let mut x = args[0];
        for (w, size) in [(args[1], 28), (args[2], 14)] {
            let padded = pad(b, x, 2, size + 4);
            let sum = convolve(b, padded, w, 5, 1);
            let y = b.unary(UnaryOp::Relu, sum);
            let pools = b.window(y, along(&[1, 2], 2, 2));
            x = b.reduce(ReduceOp::Max, pools, vec![4, 5]);
        }
        let flat = b.reshape(x, [64, 7 * 7 * 32].into());
        let z = b.dot(flat, args[3], DotAxes::contract(1, 0));
        let e = b.unary(UnaryOp::Exp, z);
        let sum = b.sum(e, vec![1]);
        vec![b.unary(UnaryOp::Log, sum)]
    });
    let (result, report) = optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap();
    assert_eq!(report.validation.unwrap().samples, 2, "{report}");
    assert_eq!(names(&result).last(), Some(&"logsumexp"), "{result}");
}

#[test]
fn windows_of_one_position_are_no_windows() {
    let types = [f32s(&[2, 5, 5, 3]), f32s(&[1, 1, 3, 4])];
    let one = graph(&types, |b, args| vec![convolve(b, args[0], args[1], 1, 1)]);
    let (result, _) = check(&one);
    assert_eq!(names(&result), ["reshape", "dot"], "{result}");
    let apart = graph(&types, |b, args| vec![convolve(b, args[0], args[1], 1, 2)]);
    assert!(names(&check(&apart).0).contains(&"window"));
    let fold =
        graph(&[f32s(&[4, 3, 1])], |b, args| vec![b.fold(args[0], along(&[0], 1, 1), vec![4])]);
    assert_eq!(names(&check(&fold).0), ["reshape"]);
    let cut = graph(&[f32s(&[4, 3])], |b, args| {
        // One window per position of the first axis, and two positions per window of the second.
        let windows = Windows {
            axes: vec![0, 1],
            size: vec![1, 2],
            stride: vec![1, 1],
            dilation: vec![1, 1],
        };
        let slid = b.window(args[0], windows.clone());
        vec![b.fold(slid, windows, vec![4, 3])]
    });
    assert_eq!(names(&check(&cut).0), ["window", "fold"]);
}

#[test]
fn folds_and_windows_of_shared_axes_keep_their_values() {
    // Gradients of a residual step: what is folded has the axes of what windows were taken of, or others.
    let types = [f32s(&[2, 6, 6, 3]), f32s(&[3, 3, 3, 3]), f32s(&[2, 6, 6, 3])];
    let graph = graph(&types, |b, args| {
        let padded = pad(b, args[0], 1, 8);
        let sum = convolve(b, padded, args[1], 3, 1);
        let y = b.add(sum, args[0]);
        let contract = vec![(3, 3)];
        let spread = b.dot(args[2], args[1], DotAxes { batch: vec![], contract });
        // [N, H, W, KH, KW, C] to [N, H, W, C, KH, KW]
        let slid = b.transpose(spread, vec![0, 1, 2, 5, 3, 4]);
        let dx = b.fold(slid, along(&[1, 2], 3, 1), vec![8, 8]);
        let inner =
            MoveOp::Slice { start: vec![0, 1, 1, 0], step: vec![1; 4], size: vec![2, 6, 6, 3] };
        let dx = b.node(Op::Move(inner), &[dx]);
        let windows = b.window(padded, along(&[1, 2], 3, 1));
        let contract = vec![(0, 0), (1, 1), (2, 2)];
        let dw = b.dot(windows, args[2], DotAxes { batch: vec![], contract });
        vec![y, b.add(dx, args[2]), dw]
    });
    check(&graph);
}

#[test]
fn strides_dilations_and_steps_keep_their_values() {
    let graph = graph(&[f32s(&[23, 4])], |b, args| {
        let windows = Windows { axes: vec![0], size: vec![3], stride: vec![2], dilation: vec![4] };
        let slid = b.window(args[0], windows.clone());
        let e = b.unary(UnaryOp::Exp, slid);
        let log = b.unary(UnaryOp::Log, e);
        let back = b.fold(log, windows, vec![23]);
        let slice = MoveOp::Slice { start: vec![3, 0], step: vec![5, 1], size: vec![4, 4] };
        let some = b.node(Op::Move(slice), &[back]);
        let spread = MoveOp::Pad {
            start: vec![1, 0],
            step: vec![3, 1],
            size: vec![12, 4],
            fill: Literal::Float(1f64.to_bits()),
        };
        let wide = b.node(Op::Move(spread), &[some]);
        let parts = b.reshape(wide, [3, 4, 2, 2].into());
        vec![parts, b.sum(log, vec![2])]
    });
    let (result, _) = check(&graph);
    assert!(!names(&result).contains(&"exp"), "{result}");
}

#[test]
fn sums_of_few_positive_terms_stay_bounded() {
    let graph = graph(&[f32s(&[9])], |b, args| {
        let p = b.unary(UnaryOp::Sigmoid, args[0]);
        let slid = b.window(p, along(&[0], 3, 1));
        let back = b.fold(slid, along(&[0], 3, 1), vec![9]);
        vec![b.unary(UnaryOp::Exp, slid), b.unary(UnaryOp::Exp, back)]
    });
    assert_eq!(check(&graph).1.danger_after, 0);
}
