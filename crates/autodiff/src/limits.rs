//! What keeps a derivative from being built, told before it is begun.
//!
//! Note [Limits]. The derivative of a scan stacks values of its body, one per step; stacks of scans inside scans have
//! one more axis for each. No value of a derivative is larger than a few times the largest value it is made from, so
//! it is enough to look at the largest value of a body and the number of steps. The derivative of a `cond` or `scan`
//! that applies a function with a derivative of its own calls that one inside a further sub-graph.

use crate::error::AutodiffError;
use crate::flow::Flow;
use eggrad_ir::{At, Function, Graph, MAX_DEPTH, NodeId, Op, TensorType};
use std::collections::HashMap;
use std::sync::Arc;

/// Elements of the largest stack: a sixteenth of what a tensor may have.
pub(crate) const MAX_ELEMENTS: u128 = (isize::MAX as u128 + 1) / 8 / 16;

/// Whether the values `ys` of `graph` can be differentiated with respect to `wrt` within what a tensor may hold and how
/// deep sub-graphs may nest; Note [Limits]. `asked` is where that is asked for.
///
/// # Errors
/// [`AutodiffError::Stack`] and [`AutodiffError::Depth`].
pub(crate) fn check(
    graph: &Graph,
    flow: &mut Flow,
    ys: &[NodeId],
    wrt: &[NodeId],
    asked: At,
) -> Result<(), AutodiffError> {
    if graph.nodes().iter().all(|n| n.op.functions().is_empty()) {
        return Ok(());
    }
    let mut active = vec![false; graph.nodes().len()];
    wrt.iter().for_each(|w| active[w.index()] = true);
    let mut met = vec![false; active.len()];
    ys.iter().for_each(|y| met[y.index()] = true);
    for id in graph.ids() {
        let node = graph.node(id);
        let mut operands = node.inputs.iter().enumerate();
        active[id.index()] |= operands.any(|(i, o)| active[o.index()] && flow.carries(&node.op, i));
    }
    let (mut known, mut depths) = (HashMap::new(), HashMap::new());
    for id in graph.ids().rev() {
        if !met[id.index()] || !active[id.index()] {
            continue;
        }
        let node = graph.node(id);
        for (i, operand) in node.inputs.iter().enumerate() {
            met[operand.index()] |= flow.carries(&node.op, i);
        }
        size(&node.op, node.at, asked, &mut known)?;
        if depth(&node.op, &mut depths) > MAX_DEPTH {
            return Err(AutodiffError::Depth { at: node.at, asked });
        }
    }
    Ok(())
}

/// The largest value of a function, in elements, counted with an axis for the steps of each scan around it; and a value
/// of it, for an error.
#[derive(Clone)]
struct Largest {
    elements: u128,
    value: Option<TensorType>,
}

/// The largest value that an application of functions holds inside.
fn size(
    op: &Op,
    at: At,
    asked: At,
    known: &mut HashMap<Arc<Function>, Largest>,
) -> Result<Largest, AutodiffError> {
    let mut largest = Largest { elements: 0, value: None };
    for function in op.functions() {
        let found = match known.get(function) {
            Some(found) => found.clone(),
            None => {
                let found = inside(function.graph(), at, asked, known)?;
                known.insert(function.clone(), found.clone());
                found
            }
        };
        if found.elements >= largest.elements {
            largest = found;
        }
    }
    let Op::Scan { scan, .. } = op else { return Ok(largest) };
    let elements = largest.elements.saturating_mul(scan.length as u128);
    match largest.value {
        Some(value) if elements > MAX_ELEMENTS => {
            Err(AutodiffError::Stack { steps: scan.length, value, at, asked })
        }
        value => Ok(Largest { elements, value }),
    }
}

/// The largest value of `graph`, a function's that is applied at `at`.
fn inside(
    graph: &Graph,
    at: At,
    asked: At,
    known: &mut HashMap<Arc<Function>, Largest>,
) -> Result<Largest, AutodiffError> {
    let mut largest = Largest { elements: 0, value: None };
    for node in graph.nodes() {
        let place = if node.at == At::Unknown { at } else { node.at };
        let found = size(&node.op, place, asked, known)?;
        if found.elements > largest.elements {
            largest = found;
        }
        let elements = node.ty.shape.elements() as u128;
        if elements > largest.elements {
            largest = Largest { elements, value: Some(node.ty.clone()) };
        }
    }
    Ok(largest)
}

/// Sub-graphs inside each other in the derivative of an application of functions.
fn depth<'a>(op: &'a Op, known: &mut HashMap<&'a Function, usize>) -> usize {
    let mut deepest = 0;
    for function in op.functions() {
        let found = match (function.vjp(), op, known.get(&**function)) {
            (Some(vjp), Op::Call { .. }, _) => vjp.depth(),
            (Some(_), ..) => 1 + function.depth(),
            (None, _, Some(known)) => *known,
            (None, _, None) => {
                let nodes = function.graph().nodes().iter();
                let found = 1 + nodes.map(|n| depth(&n.op, known)).max().unwrap_or(0);
                known.insert(function, found);
                found
            }
        };
        deepest = deepest.max(found);
    }
    deepest
}
