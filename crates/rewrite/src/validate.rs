//! Compares the result with the input on random data, with axes shrunk to sizes of 2 to 5.
//!
//! Both graphs are made anew at the small sizes: the input as it was written, the result from the chosen terms. Data
//! respects declared ranges and is the same in every run; both are computed in `f64`.

use crate::axes::{Axis, Naming};
use crate::report::Validation;
use eggrad_interp::{Precision, Run, Tensor, run, values};
use eggrad_ir::{
    BinaryOp, DType, DotAxes, Graph, MoveOp, NodeId, Op, StateKind, TensorType, UnaryOp,
};
use std::collections::HashSet;

/// Multiply-adds and elements up to which a comparison is made.
const MOST_WORK: usize = 1 << 22;
/// Axes that data indexes keep their size up to this one.
const MOST_CLASSES: usize = 16;
/// How often data is drawn.
const SAMPLES: usize = 2;
/// The relative difference that two ways to compute in `f64` may have.
const TOLERANCE: f64 = 1e-6;
/// Values below this are compared as if they were this large.
const SMALL: f64 = 1e-3;

/// An element that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) output: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// Sizes for a comparison: small, but where attributes or indices need the true one. Axes that a renaming or a
/// write joins have one size.
pub(crate) fn small_sizes(graph: &Graph, naming: &Naming) -> Vec<usize> {
    let mut pinned = naming.pinned.clone();
    let mut same: Vec<usize> = (0..naming.sizes.len()).collect();
    let find = |same: &[usize], mut a: usize| {
        while same[a] != a {
            a = same[a];
        }
        a
    };
    let mut pairs: Vec<(NodeId, &Vec<Axis>)> = vec![];
    for id in graph.ids() {
        if let Some((axis, index)) = indexed(graph, naming, id) {
            let size = naming.sizes[axis as usize];
            if size <= MOST_CLASSES || !starts_at_zero(graph, index) {
                pinned.insert(axis);
            }
        }
        let node = graph.node(id);
        pairs.extend(node.inputs.iter().zip(&naming.reads[id.index()]).map(|(i, r)| (*i, r)));
    }
    for state in graph.states() {
        pairs.extend(state.write.map(|write| (write, &naming.nodes[state.read.index()])));
    }
    for (node, names) in pairs {
        for (&a, &b) in naming.nodes[node.index()].iter().zip(names) {
            let (a, b) = (find(&same, a as usize), find(&same, b as usize));
            same[a.max(b)] = a.min(b);
        }
    }
    let pinned: HashSet<usize> = pinned.iter().map(|&a| find(&same, a as usize)).collect();
    let small = |(axis, &size): (usize, &usize)| {
        let axis = find(&same, axis);
        if pinned.contains(&axis) { size } else { size.min(2 + (3 * axis + 1) % 4) }
    };
    naming.sizes.iter().enumerate().map(small).collect()
}

/// The axis that a node's integers are positions of, and the integers.
fn indexed(graph: &Graph, naming: &Naming, id: NodeId) -> Option<(Axis, NodeId)> {
    let node = graph.node(id);
    let out = &naming.nodes[id.index()];
    match &node.op {
        Op::OneHot { .. } => Some((out[out.len() - 1], node.inputs[0])),
        Op::Gather { batch } => Some((naming.reads[id.index()][0][*batch], node.inputs[1])),
        Op::ScatterAdd { batch, .. } => Some((out[*batch], node.inputs[0])),
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Grad => None,
    }
}

/// Whether integers come straight from an input whose range includes 0, so that smaller ones can be drawn.
fn starts_at_zero(graph: &Graph, mut id: NodeId) -> bool {
    while let Op::Move(
        MoveOp::Broadcast { .. } | MoveOp::Transpose(_) | MoveOp::Reshape(_) | MoveOp::Slice { .. },
    ) = graph.node(id).op
    {
        id = graph.node(id).inputs[0];
    }
    let Op::Input(i) = graph.node(id).op else { return false };
    graph.inputs()[i].range.is_none_or(|(low, high)| low <= 0.0 && high >= 0.0)
}

/// Compares two graphs of the same inputs, states and results; `None` when they are too large. `classes` is the
/// smallest axis that integers index.
pub(crate) fn compare(
    before: &Graph,
    after: &Graph,
    classes: usize,
) -> Result<Option<Validation>, Difference> {
    if work(before).max(work(after)) > MOST_WORK {
        return Ok(None);
    }
    let (mut worst, mut samples) = (0.0f64, 0);
    for sample in 0..SAMPLES {
        let (inputs, states) = draw(before, sample, classes);
        let run = |graph: &Graph| match run(graph, &inputs, &states, Precision::Wide) {
            Ok(run) => run,
            Err(error) => panic!("internal error: validation cannot run: {error}"),
        };
        match difference(before, &run(before), &run(after)) {
            Ok(error) => {
                worst = worst.max(error);
                samples += 1;
            }
            Err(_) if at_jump(before, &inputs, &states) => {}
            Err(difference) => return Err(difference),
        }
    }
    Ok(Some(Validation { samples, worst }))
}

/// Whether some value jumps so near that rounding decides on which side it is: compared floats that are nearly equal,
/// floats near the next integer of a conversion, near a step of a rounding or
/// near 0 for a sign.
fn at_jump(graph: &Graph, inputs: &[Tensor], states: &[Tensor]) -> bool {
    let values = match values(graph, inputs, states, Precision::Wide) {
        Ok(values) => values,
        Err(error) => panic!("internal error: validation cannot run: {error}"),
    };
    let near = |x: f64, y: f64| (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0);
    graph.nodes().iter().any(|node| {
        let float = |k: usize| graph.ty(node.inputs[k]).dtype.is_float();
        let operand = |k: usize| values[node.inputs[k].index()].to_f64s();
        if matches!(node.op, Op::Compare(_)) && float(0) {
            return operand(0).into_iter().zip(operand(1)).any(|(x, y)| near(x, y));
        }
        if node.op == Op::Binary(BinaryOp::Mod) {
            let quotients = operand(0).into_iter().zip(operand(1)).map(|(x, y)| x / y);
            return quotients.into_iter().any(|q| near(q, q.round()));
        }
        let halves = node.op == Op::Unary(UnaryOp::Round);
        let steps = matches!(
            node.op,
            Op::Unary(UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round)
        );
        let steps = steps || matches!(node.op, Op::Cast(to) if !to.is_float());
        let shift = if halves { 0.5 } else { 0.0 };
        steps && float(0) && operand(0).into_iter().any(|x| near(x - shift, (x - shift).round()))
    })
}

/// The smallest axis that integers index, at the given sizes.
pub(crate) fn smallest_index(graph: &Graph, naming: &Naming, sizes: &[usize]) -> usize {
    let axes = graph.ids().filter_map(|id| indexed(graph, naming, id));
    axes.map(|(axis, _)| sizes[axis as usize]).min().unwrap_or(MOST_CLASSES)
}

fn work(graph: &Graph) -> usize {
    let steps = |id: NodeId| {
        let node = graph.node(id);
        let own = node.ty.shape.elements();
        let read = node.inputs.iter().map(|&i| graph.ty(i).shape.elements()).max().unwrap_or(0);
        if let Op::Dot(DotAxes { contract, .. }) = &node.op {
            let left = graph.ty(node.inputs[0]).shape.dims();
            return contract.iter().map(|p| left[p.0]).product::<usize>().saturating_mul(own);
        }
        own.max(read)
    };
    graph.ids().map(steps).fold(0, usize::saturating_add)
}

/// A small generator of numbers that are random enough.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn float(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn int(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high.max(low) - low + 1).unsigned_abs()) as i64
    }
}

/// Arrays for every input and state. The first sample has numbers of both signs, the second only positive ones.
fn draw(graph: &Graph, sample: usize, classes: usize) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut draws = Draws(sample as u64 + 1);
    let low: f64 = if sample == 0 { -2.0 } else { 0.1 };
    let mut tensor = |ty: &TensorType, range: Option<(f64, f64)>| {
        let n = ty.shape.elements();
        let range = range.filter(|(a, b)| a <= b);
        let last = classes as i64 - 1;
        let ints: (i64, i64) = match range {
            None => (0, last + 1),
            Some((a, b)) => {
                let (a, b) = (a.max(-1e9) as i64, b.min(1e9) as i64);
                let near = (a.max(0), b.min(last));
                if near.0 <= near.1 { near } else { (a, b) }
            }
        };
        let (from, to) = match range {
            None => (low, 2.0),
            Some((a, b)) => {
                let (from, to) = (low.clamp(a, b), 2f64.clamp(a, b));
                if from < to { (from, to) } else { (a.max(-1e3), b.min(1e3)) }
            }
        };
        let value = |_| match ty.dtype {
            DType::I32 | DType::I64 | DType::U8 => draws.int(ints.0, ints.1) as f64,
            DType::Bool => draws.int(0, 1) as f64,
            DType::F32 | DType::F64 => draws.float(from, to),
        };
        Tensor::from_values(ty.clone(), &(0..n).map(value).collect::<Vec<f64>>())
    };
    let inputs = graph.inputs().iter().map(|i| tensor(&i.ty, i.range)).collect();
    let states = graph.states().iter().map(|s| {
        let positive = s.kind == StateKind::Slot && sample == 1;
        let counter = s.kind == StateKind::Counter;
        let range = (positive || counter).then_some((f64::from(u8::from(counter)), 5.0));
        tensor(&s.ty, range)
    });
    (inputs, states.collect())
}

/// The worst relative difference; places where the input has no finite value are outside of the proven domain.
fn difference(graph: &Graph, before: &Run, after: &Run) -> Result<f64, Difference> {
    let outputs = graph.outputs().iter().map(|o| o.name.as_str());
    let names = outputs.chain(graph.states().iter().map(|s| s.name.as_str()));
    let a = before.outputs.iter().chain(&before.states);
    let b = after.outputs.iter().chain(&after.states);
    let mut worst = 0.0f64;
    for ((name, a), b) in names.zip(a).zip(b) {
        for (x, y) in a.to_f64s().into_iter().zip(b.to_f64s()) {
            if !x.is_finite() {
                continue;
            }
            let error = (x - y).abs() / x.abs().max(y.abs()).max(SMALL);
            if error.is_nan() || error > TOLERANCE {
                return Err(Difference { output: name.to_string(), before: x, after: y });
            }
            worst = worst.max(error);
        }
    }
    Ok(worst)
}
