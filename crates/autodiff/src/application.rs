//! Derivatives of applied sub-graphs: `call` and `cond` here, `scan` next door.

use crate::functions::Functions;
use crate::scan;
use eggrad_ir::{Builder, Function, NodeId, Op};
use std::sync::Arc;

/// The cotangents of the operands `wanted` of one application, given those of some of its results, by number.
pub(crate) fn pull(
    b: &mut Builder,
    functions: &mut Functions,
    op: &Op,
    inputs: &[NodeId],
    given: &[(usize, NodeId)],
    wanted: &[usize],
) -> Vec<NodeId> {
    let results: Vec<usize> = given.iter().map(|g| g.0).collect();
    let operands: Vec<NodeId> = inputs.iter().copied().chain(given.iter().map(|g| g.1)).collect();
    match op {
        Op::Call { function, .. } => match function.vjp() {
            Some(vjp) => pull_own(b, function, vjp, inputs, given, wanted),
            None => {
                let function = functions.pullback(function, &results, wanted);
                let call = Op::Call { function, result: 0 };
                b.application(&call, &operands)
            }
        },
        Op::Cond { then, otherwise, .. } => {
            let branch = |operands: &[usize]| operands.iter().map(|w| w - 1).collect::<Vec<_>>();
            let then = functions.pullback(then, &results, &branch(wanted));
            let otherwise = functions.pullback(otherwise, &results, &branch(wanted));
            b.application(&Op::Cond { then, otherwise, result: 0 }, &operands)
        }
        Op::Scan { scan, .. } => scan::pull(b, functions, scan, inputs, given, wanted),
        _ => panic!("internal error: `{}` applies no sub-graph", op.name()),
    }
}

/// A derivative of the function's own takes cotangents of all float results and gives those of all float operands.
fn pull_own(
    b: &mut Builder,
    function: &Function,
    vjp: &Arc<Function>,
    inputs: &[NodeId],
    given: &[(usize, NodeId)],
    wanted: &[usize],
) -> Vec<NodeId> {
    let mut operands = inputs.to_vec();
    for (r, ty) in function.results().enumerate().filter(|(_, ty)| ty.dtype.is_float()) {
        operands.push(match given.iter().find(|g| g.0 == r) {
            Some((_, cotangent)) => *cotangent,
            None => {
                let zero = b.scalar(ty.dtype, 0.0);
                b.spread(zero, ty.shape.clone(), vec![])
            }
        });
    }
    let floats = float_operands(function);
    let number = |w: &usize| floats.iter().position(|f| f == w).unwrap_or(0);
    wanted
        .iter()
        .map(|w| b.node(Op::Call { function: vjp.clone(), result: number(w) }, &operands))
        .collect()
}

fn float_operands(function: &Function) -> Vec<usize> {
    let inputs = function.graph().inputs().iter().enumerate();
    inputs.filter(|(_, i)| i.ty.dtype.is_float()).map(|(n, _)| n).collect()
}

/// The tangents of all results of one application, given those of some of its operands.
pub(crate) fn push(
    b: &mut Builder,
    functions: &mut Functions,
    op: &Op,
    inputs: &[NodeId],
    tangents: &[Option<NodeId>],
) -> Vec<Option<NodeId>> {
    let count = op.functions().first().map_or(0, |f| f.graph().outputs().len());
    let moving: Vec<usize> = (0..inputs.len()).filter(|&i| tangents[i].is_some()).collect();
    let moves = |functions: &mut Functions, r: usize| {
        moving.iter().any(|&i| functions.flow.carries(&op.with_result(r), i))
    };
    let results: Vec<usize> = (0..count).filter(|&r| moves(functions, r)).collect();
    if results.is_empty() {
        return vec![None; count];
    }
    let operands: Vec<NodeId> =
        inputs.iter().copied().chain(tangents.iter().flatten().copied()).collect();
    let found = match op {
        Op::Call { function, .. } => match function.vjp() {
            Some(vjp) => push_own(b, functions, function, vjp, inputs, tangents, &results),
            None => {
                let function = functions.pushforward(function, &moving, &results);
                b.application(&Op::Call { function, result: 0 }, &operands)
            }
        },
        Op::Cond { then, otherwise, .. } => {
            let moving: Vec<usize> = moving.iter().map(|m| m - 1).collect();
            let then = functions.pushforward(then, &moving, &results);
            let otherwise = functions.pushforward(otherwise, &moving, &results);
            b.application(&Op::Cond { then, otherwise, result: 0 }, &operands)
        }
        Op::Scan { scan, .. } => return scan::push(b, functions, scan, inputs, tangents),
        _ => panic!("internal error: `{}` applies no sub-graph", op.name()),
    };
    let mut all = vec![None; count];
    results.into_iter().zip(found).for_each(|(r, t)| all[r] = Some(t));
    all
}

/// The Jacobian is the transpose of what a function's own derivative does to cotangents: its pullback at zero.
fn push_own(
    b: &mut Builder,
    functions: &mut Functions,
    function: &Function,
    vjp: &Arc<Function>,
    inputs: &[NodeId],
    tangents: &[Option<NodeId>],
    results: &[usize],
) -> Vec<NodeId> {
    let floats = float_operands(function);
    let (mut operands, mut given, mut moved) = (inputs.to_vec(), vec![], vec![]);
    for (number, &operand) in floats.iter().enumerate() {
        if let Some(tangent) = tangents[operand] {
            given.push(number);
            moved.push(tangent);
        }
    }
    let mut wanted = vec![];
    for (r, ty) in function.results().enumerate().filter(|(_, ty)| ty.dtype.is_float()) {
        if results.contains(&r) {
            wanted.push(operands.len());
        }
        let zero = b.scalar(ty.dtype, 0.0);
        operands.push(b.spread(zero, ty.shape.clone(), vec![]));
    }
    operands.extend(moved);
    let transposed = functions.pullback(vjp, &given, &wanted);
    b.application(&Op::Call { function: transposed, result: 0 }, &operands)
}
