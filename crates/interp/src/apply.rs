//! Sub-graphs applied to operands: `call`, `scan` and `cond`.

use crate::run::{Precision, compute};
use crate::value::Value;
use eggrad_ir::{Graph, Op, Output, Scan};
use std::rc::Rc;

/// All results of the application `op` on `args`, in order.
///
/// Recurses over sub-graphs inside each other, of which there are few.
pub(crate) fn apply(op: &Op, args: &[Rc<Value>], precision: Precision) -> Vec<Rc<Value>> {
    match op {
        Op::Call { function, .. } => once(function.graph(), args, precision),
        Op::Cond { then, otherwise, .. } => {
            let taken = if args[0].bools()[0] { then } else { otherwise };
            once(taken.graph(), &args[1..], precision)
        }
        Op::Scan { scan: steps, .. } => scan(steps, args, precision),
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
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Grad => panic!("internal error: `{}` applies no sub-graph", op.name()),
    }
}

/// The outputs of `graph` on `args`.
fn once(graph: &Graph, args: &[Rc<Value>], precision: Precision) -> Vec<Rc<Value>> {
    let mut wanted = vec![false; graph.nodes().len()];
    graph.outputs().iter().for_each(|o| wanted[o.node.index()] = true);
    let values = compute(graph, args, &[], precision, &wanted);
    let output = |o: &Output| match &values[o.node.index()] {
        Some(value) => value.clone(),
        None => panic!("internal error: output `{}` was dropped", o.name),
    };
    graph.outputs().iter().map(output).collect()
}

fn scan(scan: &Scan, args: &[Rc<Value>], precision: Precision) -> Vec<Rc<Value>> {
    let (mut carried, rest) = (args[..scan.carries].to_vec(), &args[scan.carries..]);
    let (sequences, constants) = rest.split_at(scan.xs);
    let graph = scan.body.graph();
    let mut stacked: Vec<Value> =
        scan.body.results().skip(scan.carries).map(|ty| Value::empty(ty.dtype)).collect();
    let sizes: Vec<usize> = graph.inputs()[scan.carries..][..scan.xs]
        .iter()
        .map(|input| input.ty.shape.elements())
        .collect();
    // Steps in the order in which they run; results are put in the order of positions afterwards.
    for step in 0..scan.length {
        let position = if scan.reverse { scan.length - 1 - step } else { step };
        let slice = |(x, &size): (&Rc<Value>, &usize)| Rc::new(x.slice(position * size, size));
        let mut inputs = std::mem::take(&mut carried);
        inputs.extend(sequences.iter().zip(&sizes).map(slice));
        inputs.extend(constants.iter().cloned());
        let mut results = once(graph, &inputs, precision);
        for (all, y) in stacked.iter_mut().zip(results.drain(scan.carries..)) {
            all.append(&y);
        }
        carried = results;
    }
    if scan.reverse {
        let types = scan.body.results().skip(scan.carries);
        for (all, ty) in stacked.iter_mut().zip(types) {
            all.reverse_blocks(ty.shape.elements());
        }
    }
    carried.extend(stacked.into_iter().map(Rc::new));
    carried
}
