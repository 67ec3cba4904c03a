//! Input gradients of convolutions, against the interpreter: products of windows where that is less work.

mod common;

use common::check;
use eggrad_interp::Tensor;
use eggrad_ir::{At, Builder, DType, DotAxes, MoveOp, NodeId, Op, Shape, TensorType, Windows};
use eggrad_schedule::Plan;
use eggrad_testkit::Rng;

struct Case {
    b: Builder,
    inputs: Vec<Tensor>,
    rng: Rng,
}

impl Case {
    fn new() -> Case {
        Case { b: Builder::new(), inputs: vec![], rng: Rng::new(11) }
    }

    fn input(&mut self, shape: &[usize]) -> NodeId {
        let ty = TensorType::new(DType::F32, shape.to_vec());
        let count = ty.shape.elements();
        let values: Vec<f64> = (0..count).map(|_| self.rng.uniform(-2.0, 2.0)).collect();
        self.inputs.push(Tensor::from_values(ty.clone(), &values));
        self.b.declare_input(&format!("x{}", self.inputs.len()), ty, None, At::Unknown)
    }

    fn check(mut self, result: NodeId) -> Plan {
        self.b.output("y", result);
        check(&self.b.build().expect("the case is well typed"), &self.inputs, &[])
    }
}

/// One axis along which windows slide.
#[derive(Clone, Copy)]
struct Along {
    length: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    /// Start and size of the part of the gradient that is wanted.
    part: (usize, usize),
}

/// All of an axis.
fn all(length: usize, taps: usize, dilation: usize) -> Along {
    Along { length, taps, stride: 1, dilation, part: (0, length) }
}

/// Without `by` positions at both ends.
fn inner(length: usize, taps: usize, dilation: usize, by: usize) -> Along {
    Along { part: (by, length - 2 * by), ..all(length, taps, dilation) }
}

/// How the operands of the product lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// Cotangent `[n, positions.., f]` by weight `[taps.., c, f]`.
    ChannelsLast,
    /// Weight `[f, c, taps..]` by cotangent `[n, f, positions..]`.
    ChannelsFirst,
    /// Cotangent `[n, positions.., g, f]` by weight `[taps.., c, g, f]`, group by group.
    Groups,
}

const FORMS: [Form; 3] = [Form::ChannelsLast, Form::ChannelsFirst, Form::Groups];

/// The plan of the input gradient of a convolution of `n` rows from `c` channels to `f`.
fn gradient(form: Form, along: &[Along], [n, c, f]: [usize; 3]) -> Plan {
    let mut case = Case::new();
    let k = along.len();
    let windows = Windows {
        axes: (1..=k).collect(),
        size: along.iter().map(|a| a.taps).collect(),
        stride: along.iter().map(|a| a.stride).collect(),
        dilation: along.iter().map(|a| a.dilation).collect(),
    };
    let positions: Vec<usize> = along
        .iter()
        .enumerate()
        .map(|(i, a)| windows.positions(i, a.length).expect("a window fits"))
        .collect();
    let taps = windows.size.clone();
    let groups = if form == Form::Groups { 2 } else { 1 };
    let (dots, order) = match form {
        Form::ChannelsLast => {
            let dy = case.input(&[&[n], &positions[..], &[f]].concat());
            let w = case.input(&[&taps[..], &[c, f]].concat());
            let y = case.b.dot(dy, w, DotAxes::contract(1 + k, 1 + k));
            // [n, positions.., taps.., c]
            (y, [vec![0], (1..=k).collect(), vec![1 + 2 * k], (1 + k..=2 * k).collect()].concat())
        }
        Form::ChannelsFirst => {
            let dy = case.input(&[&[n, f], &positions[..]].concat());
            let w = case.input(&[&[f, c], &taps[..]].concat());
            let y = case.b.dot(w, dy, DotAxes::contract(0, 1));
            // [c, taps.., n, positions..]
            let positions = (2 + k..2 + 2 * k).collect();
            (y, [vec![1 + k], positions, vec![0], (1..=k).collect()].concat())
        }
        Form::Groups => {
            let dy = case.input(&[&[n], &positions[..], &[groups, f]].concat());
            let w = case.input(&[&taps[..], &[c, groups, f]].concat());
            let axes = DotAxes { batch: vec![(1 + k, 1 + k)], contract: vec![(2 + k, 2 + k)] };
            let y = case.b.dot(dy, w, axes);
            // [groups, n, positions.., taps.., c]
            let positions = (2..2 + k).collect();
            let y = case.b.transpose(
                y,
                [vec![1], positions, vec![0, 2 + 2 * k], (2 + k..2 + 2 * k).collect()].concat(),
            );
            let shape = case.b.ty(y).shape.dims().to_vec();
            let merged = [&shape[..1 + k], &[groups * c], &shape[3 + k..]].concat();
            let y = case.b.reshape(y, Shape::from(merged));
            (y, (0..2 + 2 * k).collect())
        }
    };
    let updates = case.b.transpose(dots, order);
    let length: Vec<usize> = along.iter().map(|a| a.length).collect();
    let mut dx = case.b.fold(updates, windows, length.clone());
    let part = |of: fn(&Along) -> usize, n: usize, c: usize| {
        [vec![n], along.iter().map(of).collect(), vec![c]].concat()
    };
    let sizes = part(|a| a.part.1, n, groups * c);
    if case.b.ty(dx).shape.dims() != sizes {
        let start = part(|a| a.part.0, 0, 0);
        let step = vec![1; k + 2];
        dx = case.b.node(Op::Move(MoveOp::Slice { start, step, size: sizes }), &[dx]);
    }
    case.check(dx)
}

fn folds(plan: &Plan) -> bool {
    plan.kernels.iter().any(|k| k.name == "fold")
}

#[test]
fn gradients_of_stride_one_are_products_of_windows() {
    let geometries = [
        vec![all(20, 3, 1)],
        vec![inner(22, 3, 1, 1)],
        vec![inner(22, 5, 1, 2)],
        // More is cut off than taps reach over, and less.
        vec![inner(24, 3, 1, 4)],
        vec![inner(24, 3, 2, 1)],
        vec![all(24, 2, 3)],
        vec![inner(14, 3, 1, 1), inner(14, 3, 1, 1)],
        vec![inner(15, 3, 2, 2), all(12, 2, 1)],
        vec![all(12, 1, 1), inner(14, 3, 1, 1)],
        vec![inner(16, 3, 1, 1), all(12, 1, 5)],
    ];
    for form in FORMS {
        for along in &geometries {
            let plan = gradient(form, along, [2, 3, 4]);
            if form != Form::Groups {
                assert!(!folds(&plan), "{form:?}\n{plan}");
            }
        }
    }
}

#[test]
fn one_image_one_channel_and_one_filter_are_no_exceptions() {
    for form in FORMS {
        for sizes in [[1, 3, 4], [2, 1, 4], [2, 3, 1], [1, 1, 1]] {
            for along in [vec![inner(14, 3, 1, 1); 2], vec![all(20, 3, 1)], vec![all(3, 3, 1)]] {
                gradient(form, &along, sizes);
            }
        }
    }
}

/// A window that takes a step of two, or has almost as many taps as there are positions, is folded.
#[test]
fn what_would_be_more_work_is_folded() {
    let strided = vec![Along { stride: 2, ..all(21, 3, 1) }];
    assert!(folds(&gradient(Form::ChannelsLast, &strided, [2, 3, 4])));
    let wide = vec![all(12, 10, 1); 2];
    assert!(folds(&gradient(Form::ChannelsLast, &wide, [2, 3, 16])));
}

/// The product with a copy of each element for every tap is nowhere in memory.
#[test]
fn no_product_is_stored_for_every_tap() {
    let plan = gradient(Form::ChannelsLast, &[inner(18, 3, 1, 1); 2], [4, 8, 16]);
    let most = plan.buffers.iter().map(|b| b.elements).max();
    // The cotangent, or it padded.
    assert_eq!(most, Some(4 * 18 * 18 * 16), "{plan}");
}
