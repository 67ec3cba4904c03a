//! Through which operands a derivative can flow.

use crate::missing::ancestors;
use eggrad_ir::{BinaryOp, Function, MarkOp, NodeId, Op, Scan, UnaryOp};
use std::collections::HashMap;
use std::sync::Arc;

/// For each result of a sub-graph, whether it has a derivative with respect to each operand.
pub(crate) type Reach = Arc<Vec<Vec<bool>>>;

/// Answers that need a look into sub-graphs, remembered.
#[derive(Default)]
pub(crate) struct Flow {
    functions: HashMap<Arc<Function>, Reach>,
    scans: HashMap<Scan, Reach>,
}

impl Flow {
    /// Whether the result of `op` has a derivative, perhaps zero at some points, with respect to operand `operand`. A
    /// `grad` has one: its result is a derivative that depends on what it was taken of. A function with a derivative
    /// of its own has one from every float to every float.
    pub(crate) fn carries(&mut self, op: &Op, operand: usize) -> bool {
        match op {
            Op::Call { function, result } => self.function(function)[*result][operand],
            Op::Scan { scan, result } => self.scan(scan)[*result][operand],
            Op::Cond { then, otherwise, result } => {
                operand > 0
                    && (self.function(then)[*result][operand - 1]
                        || self.function(otherwise)[*result][operand - 1])
            }
            Op::Input(_) | Op::State(_) | Op::Const(..) | Op::Data(_) | Op::Iota { .. } => false,
            Op::Size { .. }
            | Op::Compare(_)
            | Op::OneHot { .. }
            | Op::RandomKey { .. }
            | Op::Random { .. } => false,
            Op::Unary(op) => match op {
                UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Not => {
                    false
                }
                UnaryOp::Neg
                | UnaryOp::Abs
                | UnaryOp::Square
                | UnaryOp::Sqrt
                | UnaryOp::Rsqrt
                | UnaryOp::Recip
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
                | UnaryOp::Softplus
                | UnaryOp::Relu => true,
            },
            Op::Binary(op) => match op {
                BinaryOp::And | BinaryOp::Or => false,
                BinaryOp::Add
                | BinaryOp::Sub
                | BinaryOp::Mul
                | BinaryOp::Div
                | BinaryOp::Pow
                | BinaryOp::Mod
                | BinaryOp::Atan2
                | BinaryOp::LogAddExp
                | BinaryOp::Xlogy
                | BinaryOp::Maximum
                | BinaryOp::Minimum => true,
            },
            Op::Select => operand != 0,
            Op::Cast(to) => to.is_float(),
            Op::Mark(op) => match op {
                MarkOp::Keep => true,
                MarkOp::StopGradient => false,
            },
            Op::Gather { .. } => operand == 0,
            Op::ScatterAdd { .. } => operand == 1,
            Op::Move(_)
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::Dot(_)
            | Op::Fold { .. }
            | Op::Grad => true,
        }
    }

    /// From which operands a derivative reaches each result of `function`.
    pub(crate) fn function(&mut self, function: &Arc<Function>) -> Reach {
        if let Some(known) = self.functions.get(function) {
            return known.clone();
        }
        let graph = function.graph();
        let floats: Vec<bool> = graph.inputs().iter().map(|i| i.ty.dtype.is_float()).collect();
        let reach = |y: NodeId, flow: &mut Flow| -> Vec<bool> {
            if function.vjp().is_some() {
                let float = graph.ty(y).dtype.is_float();
                return floats.iter().map(|f| *f && float).collect();
            }
            let reached = ancestors(graph, y, &mut |op, i| flow.carries(op, i));
            let leaves = graph.inputs().iter().zip(&floats);
            leaves.map(|(input, float)| *float && reached[input.node.index()]).collect()
        };
        let rows = graph.outputs().iter().map(|o| reach(o.node, self)).collect();
        let rows: Reach = Arc::new(rows);
        self.functions.insert(function.clone(), rows.clone());
        rows
    }

    /// From which operands a derivative reaches each result of `scan`.
    pub(crate) fn scan(&mut self, scan: &Scan) -> Reach {
        if let Some(known) = self.scans.get(scan) {
            return known.clone();
        }
        let step = self.function(&scan.body);
        let rows: Vec<Vec<bool>> = (0..step.len())
            .map(|result| {
                if scan.length == 0 {
                    let float = scan.body.graph().inputs().iter().map(|i| i.ty.dtype.is_float());
                    let same = |(i, float)| float && i == result && result < scan.carries;
                    return float.enumerate().map(same).collect();
                }
                // What a carried value read at its last step came from the step before.
                let mut reached = step[result].clone();
                let mut followed = vec![false; scan.carries];
                while let Some(c) = (0..scan.carries).find(|&c| reached[c] && !followed[c]) {
                    followed[c] = true;
                    reached.iter_mut().zip(&step[c]).for_each(|(r, s)| *r |= s);
                }
                reached
            })
            .collect();
        let rows: Reach = Arc::new(rows);
        self.scans.insert(scan.clone(), rows.clone());
        rows
    }
}
