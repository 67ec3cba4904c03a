//! Which values of a step its derivative reads, and how it gets them.
//!
//! Note [Residuals]. What depends on a cotangent is computed in the backward step. Of the rest, sequences and
//! constants of the scan are read again, what is made of constants alone is computed again, and the others are saved,
//! one value per step, but where computing one again from values that are there is cheap and saves space: moves,
//! conversions and random numbers of no larger operands, and elementwise arithmetic. A factor that only the
//! derivative needs, such as `1 - y^2`, gives way to what it is made of.

use eggrad_ir::{BinaryOp, DType, Graph, NodeId, Op, UnaryOp};

/// How the backward step gets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It does not need it.
    Elsewhere,
    /// It computes it.
    Computed,
    /// The forward scan stacks it.
    Saved,
    /// As one of its inputs: a cotangent, a sequence or a constant.
    Given,
}

/// The inputs of a step with its derivative, by role.
pub(crate) struct Sources<'a> {
    pub(crate) carries: &'a [NodeId],
    pub(crate) positions: &'a [NodeId],
    pub(crate) constants: &'a [NodeId],
    pub(crate) cotangents: &'a [NodeId],
    /// Number of nodes of the step itself; those after them are its derivative's.
    pub(crate) own: usize,
}

/// What the values of a step and its derivative depend on.
pub(crate) struct Dependence {
    /// On a cotangent.
    pub(crate) backward: Vec<bool>,
    /// On nothing but constants of the scan.
    pub(crate) invariant: Vec<bool>,
}

impl Dependence {
    pub(crate) fn of(graph: &Graph, sources: &Sources<'_>) -> Dependence {
        let count = graph.nodes().len();
        let (mut backward, mut invariant) = (vec![false; count], vec![false; count]);
        for id in graph.ids() {
            let node = graph.node(id);
            let i = id.index();
            if let Op::Input(_) = node.op {
                backward[i] = sources.cotangents.contains(&id);
                invariant[i] = sources.constants.contains(&id);
            } else {
                backward[i] = node.inputs.iter().any(|i| backward[i.index()]);
                invariant[i] = node.inputs.iter().all(|i| invariant[i.index()]);
            }
        }
        Dependence { backward, invariant }
    }
}

/// For each node of `graph`, how a backward step that computes `wanted` gets it; Note [Residuals]. What is `stacked`
/// is saved in any case.
pub(crate) fn residuals(
    graph: &Graph,
    sources: &Sources<'_>,
    depends: &Dependence,
    wanted: &[NodeId],
    stacked: &[NodeId],
) -> Vec<Place> {
    let Dependence { backward, invariant } = depends;
    let count = graph.nodes().len();
    let mut places = vec![Place::Elsewhere; count];
    let mut needed = vec![false; count];
    wanted.iter().for_each(|w| needed[w.index()] = true);
    for id in graph.ids().rev() {
        if stacked.contains(&id) {
            places[id.index()] = Place::Saved;
            continue;
        }
        if !needed[id.index()] {
            continue;
        }
        let node = graph.node(id);
        let computed = backward[id.index()] || invariant[id.index()] || {
            let free = |i: NodeId| {
                needed[i.index()]
                    || invariant[i.index()]
                    || stacked.contains(&i)
                    || sources.positions.contains(&i)
            };
            let mut missing: Vec<NodeId> =
                node.inputs.iter().copied().filter(|&i| !free(i)).collect();
            missing.sort_unstable();
            missing.dedup();
            let added: usize = missing.iter().map(|&i| bytes(graph, i)).sum();
            match effort(&node.op) {
                Effort::Free => added <= bytes(graph, id),
                Effort::Cheap if id.index() >= sources.own => added <= bytes(graph, id),
                Effort::Cheap => added == 0,
                Effort::Dear => false,
            }
        };
        places[id.index()] = match node.op {
            Op::Input(_) if sources.carries.contains(&id) => Place::Saved,
            Op::Input(_) => Place::Given,
            _ if computed => {
                node.inputs.iter().for_each(|i| needed[i.index()] = true);
                Place::Computed
            }
            _ => Place::Saved,
        };
    }
    places
}

/// What it takes to compute a value once more.
enum Effort {
    /// Nothing but reading another place, or less to store.
    Free,
    /// A few instructions per element.
    Cheap,
    /// More than a store and a load.
    Dear,
}

fn effort(op: &Op) -> Effort {
    match op {
        Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
        | Op::OneHot { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. } => Effort::Free,
        Op::Binary(op) => match op {
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Maximum
            | BinaryOp::Minimum
            | BinaryOp::And
            | BinaryOp::Or => Effort::Cheap,
            BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy => Effort::Dear,
        },
        Op::Unary(op) => match op {
            UnaryOp::Neg
            | UnaryOp::Abs
            | UnaryOp::Sign
            | UnaryOp::Square
            | UnaryOp::Sqrt
            | UnaryOp::Recip
            | UnaryOp::Relu
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Not => Effort::Cheap,
            UnaryOp::Rsqrt
            | UnaryOp::Exp
            | UnaryOp::Expm1
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Exp2
            | UnaryOp::Log2
            | UnaryOp::Log1mexp
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tan
            | UnaryOp::Erf
            | UnaryOp::Erfc
            | UnaryOp::LogErfc
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus => Effort::Dear,
        },
        Op::Compare(_) | Op::Select => Effort::Cheap,
        Op::Input(_)
        | Op::State(_)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => Effort::Dear,
    }
}

fn bytes(graph: &Graph, id: NodeId) -> usize {
    let ty = graph.ty(id);
    let size = match ty.dtype {
        DType::F64 | DType::I64 => 8,
        DType::F32 | DType::I32 => 4,
        DType::U8 | DType::Bool => 1,
    };
    ty.shape.elements().saturating_mul(size)
}
