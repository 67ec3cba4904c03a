//! Compares the result with the input on random data, with axes shrunk to sizes of 2 to 5.
//!
//! Both graphs are made anew at the small sizes: the input as it was written, the result from the chosen terms. Data
//! respects declared ranges and is the same in every run; both are computed in `f64`.

use crate::draws::Draws;
use crate::report::Validation;
use eggrad_interp::{Precision, Run, Tensor, run, values};
use eggrad_ir::{
    BinaryOp, DType, DotAxes, Function, Graph, NodeId, Op, StateKind, TensorType, UnaryOp,
};
use std::collections::{HashMap, HashSet};

/// Multiply-adds and elements up to which a comparison is made.
const MOST_WORK: usize = 1 << 21;
/// The relative difference of results that is a jump where operands differ by the last bit of an `f32`.
const JUMP: f64 = 1e-3;
/// Data that is tried beside that drawn, to see whether a sub-graph jumps there.
const NEIGHBOURS: u64 = 4;
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
        match difference(before, &run(before), &run(after), TOLERANCE) {
            Ok(error) => {
                worst = worst.max(error);
                samples += 1;
            }
            Err(_) if at_jump(before, &inputs, &states) => {}
            Err(_) if jumps_inside(before, &inputs, &states) => {}
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

/// Whether a sub-graph may jump, and does: whether inputs that differ in their last bits lead to other results.
fn jumps_inside(graph: &Graph, inputs: &[Tensor], states: &[Tensor]) -> bool {
    let mut calm = HashSet::new();
    let mut functions = graph.nodes().iter().flat_map(|n| n.op.functions());
    if !functions.any(|f| may_jump(f, &mut calm)) {
        return false;
    }
    let evaluate =
        |inputs: &[Tensor], states: &[Tensor]| match run(graph, inputs, states, Precision::Wide) {
            Ok(run) => run,
            Err(error) => panic!("internal error: validation cannot run: {error}"),
        };
    let here = evaluate(inputs, states);
    (0..NEIGHBOURS).any(|seed| {
        let mut draws = Draws::new(1000 + seed);
        let mut shift = |list: &[Tensor]| -> Vec<Tensor> {
            let shifted = list.iter().map(|tensor| {
                if !tensor.ty.dtype.is_float() {
                    return tensor.clone();
                }
                let values =
                    tensor.to_f64s().into_iter().map(|x| x * (1.0 + draws.float(-2e-7, 2e-7)));
                Tensor::from_values(tensor.ty.clone(), &values.collect::<Vec<f64>>())
            });
            shifted.collect()
        };
        let (inputs, states) = (shift(inputs), shift(states));
        difference(graph, &here, &evaluate(&inputs, &states), JUMP).is_err()
    })
}

/// Whether a function has jumps of [`at_jump`], itself or in what it applies. Those in `calm` have none.
fn may_jump<'a>(function: &'a Function, calm: &mut HashSet<&'a Function>) -> bool {
    if calm.contains(function) {
        return false;
    }
    let graph = function.graph();
    let jumps = graph.nodes().iter().any(|node| {
        let float = || graph.ty(node.inputs[0]).dtype.is_float();
        match &node.op {
            Op::Compare(_) => float(),
            Op::Unary(UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round) => float(),
            Op::Cast(to) => !to.is_float() && float(),
            Op::Binary(BinaryOp::Mod) => float(),
            op => op.functions().into_iter().any(|f| may_jump(f, calm)),
        }
    });
    calm.insert(function);
    jumps
}

/// Multiply-adds and elements of a graph and all that it applies.
pub(crate) fn work(graph: &Graph) -> usize {
    Works::default().of(graph)
}

/// The work of functions met so far, each looked into once.
#[derive(Default)]
struct Works<'a>(HashMap<&'a Function, usize>);

impl<'a> Works<'a> {
    fn of(&mut self, graph: &'a Graph) -> usize {
        let mut applied: HashSet<(Op, &[NodeId])> = HashSet::new();
        let mut total = 0usize;
        for id in graph.ids() {
            let node = graph.node(id);
            let own = node.ty.shape.elements();
            let read = node.inputs.iter().map(|&i| graph.ty(i).shape.elements()).max().unwrap_or(0);
            let inside = match &node.op {
                Op::Dot(DotAxes { contract, .. }) => {
                    let left = graph.ty(node.inputs[0]).shape.dims();
                    contract.iter().map(|p| left[p.0]).product::<usize>().saturating_mul(own)
                }
                Op::Call { .. } | Op::Scan { .. } | Op::Cond { .. } => {
                    // All results of one application are computed at once.
                    match applied.insert((node.op.with_result(0), &node.inputs)) {
                        true => self.applied(&node.op),
                        false => 0,
                    }
                }
                _ => 0,
            };
            total = total.saturating_add(own.max(read).max(inside));
        }
        total
    }

    fn applied(&mut self, op: &'a Op) -> usize {
        let inside = op.functions().into_iter().map(|f| self.function(f)).max().unwrap_or(0);
        match op {
            Op::Scan { scan, .. } => inside.saturating_mul(scan.length),
            _ => inside,
        }
    }

    fn function(&mut self, function: &'a Function) -> usize {
        if let Some(known) = self.0.get(function) {
            return *known;
        }
        let work = self.of(function.graph());
        self.0.insert(function, work);
        work
    }
}

/// Arrays for every input and state. The first sample has numbers of both signs, the second only positive ones, the
/// third only negative ones.
pub(crate) fn draw(graph: &Graph, sample: usize, classes: usize) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut draws = Draws::new(sample as u64 + 1);
    let (low, high): (f64, f64) = match sample {
        0 => (-2.0, 2.0),
        1 => (0.1, 2.0),
        _ => (-2.0, -0.1),
    };
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
            None => (low, high),
            Some((a, b)) => {
                let (from, to) = (low.clamp(a, b), high.clamp(a, b));
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
fn difference(graph: &Graph, before: &Run, after: &Run, tolerance: f64) -> Result<f64, Difference> {
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
            if error.is_nan() || error > tolerance {
                return Err(Difference { output: name.to_string(), before: x, after: y });
            }
            worst = worst.max(error);
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eggrad_ir::{At, Builder};
    use std::sync::Arc;

    #[test]
    fn functions_inside_each_other_are_looked_into_once() {
        let mut function: Option<Arc<Function>> = None;
        for _ in 0..16 {
            let mut b = Builder::new();
            let ty = TensorType::new(DType::F32, [2]);
            let mut x = b.declare_input("x", ty, None, At::Unknown);
            x = b.unary(UnaryOp::Exp, x);
            for _ in 0..8 {
                x = match &function {
                    Some(f) => b.application(&Op::Call { function: f.clone(), result: 0 }, &[x])[0],
                    None => b.neg(x),
                };
            }
            b.output("x", x);
            function = Some(Arc::new(Function::new("f", b.build().unwrap()).unwrap()));
        }
        let function = function.unwrap();
        let mut works = Works::default();
        assert!(works.function(&function) > MOST_WORK);
        assert_eq!(works.0.len(), 16);
        let mut calm = HashSet::new();
        assert!(!may_jump(&function, &mut calm));
        assert_eq!(calm.len(), 16);
    }
}
