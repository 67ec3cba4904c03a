//! Points where differences and derivatives disagree.

use eggrad_interp::{InterpError, Precision, Tensor, run, values};
use eggrad_ir::{BinaryOp, CompareOp, DType, Graph, Node, Op, ReduceOp, Scan, TensorType, UnaryOp};
use std::collections::HashSet;

/// Whether some op of `graph` comes within `margin` of a kink or jump on these arrays: `relu`, `abs` or `sign` near 0,
/// compared numbers or the largest two of a `max` near each other, a float near the next jump of a cast, a rounding or
/// a remainder, a point near the cut of `atan2`. Sub-graphs are looked into.
///
/// # Errors
/// As [`eggrad_interp::values`].
pub fn near_kink(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    margin: f64,
) -> Result<bool, InterpError> {
    let values = values(graph, inputs, states, Precision::Wide)?;
    let mut applied = HashSet::new();
    for node in graph.nodes() {
        let args: Vec<&Tensor> = node.inputs.iter().map(|i| &values[i.index()]).collect();
        let floats = node.inputs.last().is_some_and(|&i| graph.ty(i).dtype.is_float());
        if floats && is_near(node, &args, margin) {
            return Ok(true);
        }
        let first = node.op.result().is_some()
            && applied.insert((node.op.with_result(0), node.inputs.as_slice()));
        if first && is_near_inside(node, &args, margin)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an op of a sub-graph that `node` applies is near a kink.
fn is_near_inside(node: &Node, args: &[&Tensor], margin: f64) -> Result<bool, InterpError> {
    let near = |graph: &Graph, args: &[&Tensor]| {
        let args: Vec<Tensor> = args.iter().map(|&a| a.clone()).collect();
        near_kink(graph, &args, &[], margin)
    };
    match &node.op {
        Op::Call { function, .. } => near(function.graph(), args),
        Op::Cond { then, otherwise, .. } => {
            let chosen = if args[0].item() != 0.0 { then } else { otherwise };
            near(chosen.graph(), &args[1..])
        }
        Op::Scan { scan, .. } => is_near_in_steps(scan, args, margin),
        _ => Ok(false),
    }
}

fn is_near_in_steps(scan: &Scan, args: &[&Tensor], margin: f64) -> Result<bool, InterpError> {
    let graph = scan.body.graph();
    let mut step: Vec<Tensor> = args.iter().map(|&a| a.clone()).collect();
    for i in 0..scan.length {
        let place = if scan.reverse { scan.length - 1 - i } else { i };
        for x in scan.carries..scan.carries + scan.xs {
            let ty = TensorType::new(args[x].ty.dtype, graph.inputs()[x].ty.shape.clone());
            let n = ty.shape.elements();
            step[x] = Tensor::from_values(ty, &args[x].to_f64s()[place * n..(place + 1) * n]);
        }
        if near_kink(graph, &step, &[], margin)? {
            return Ok(true);
        }
        let outputs = run(graph, &step, &[], Precision::Wide)?.outputs;
        outputs.into_iter().take(scan.carries).enumerate().for_each(|(c, v)| step[c] = v);
    }
    Ok(false)
}

fn is_near(node: &Node, args: &[&Tensor], margin: f64) -> bool {
    let near_zero = |x: &f64| x.abs() < margin;
    let pairs = || args[0].to_f64s().into_iter().zip(args[1].to_f64s());
    let meet = || pairs().any(|(a, b)| near_zero(&(a - b)));
    match &node.op {
        Op::Unary(op) => match op {
            UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Relu => args[0].to_f64s().iter().any(near_zero),
            UnaryOp::Floor | UnaryOp::Ceil => {
                args[0].to_f64s().iter().any(|x| near_zero(&(x - x.round())))
            }
            UnaryOp::Round => args[0].to_f64s().iter().any(|x| near_zero(&(x - x.floor() - 0.5))),
            UnaryOp::Neg
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
            | UnaryOp::Not => false,
        },
        Op::Binary(op) => match op {
            BinaryOp::Maximum | BinaryOp::Minimum => meet(),
            BinaryOp::Mod => pairs().any(|(a, b)| {
                let times = (a / b).round();
                (a - times * b).abs() < margin * (1.0 + times.abs())
            }),
            BinaryOp::Atan2 => pairs().any(|(a, b)| near_zero(&a) && b < margin),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::LogAddExp
            | BinaryOp::Xlogy
            | BinaryOp::And
            | BinaryOp::Or => false,
        },
        Op::Compare(op) => match op {
            CompareOp::Eq
            | CompareOp::Ne
            | CompareOp::Lt
            | CompareOp::Le
            | CompareOp::Gt
            | CompareOp::Ge => meet(),
        },
        Op::Cast(to) => match to {
            DType::F32 | DType::F64 => false,
            DType::I32 | DType::I64 | DType::U8 => {
                args[0].to_f64s().iter().any(|x| near_zero(&(x - x.round())))
            }
            DType::Bool => args[0].to_f64s().iter().any(near_zero),
        },
        Op::Reduce(op, axes) => match op {
            ReduceOp::Max | ReduceOp::Min => ties(args[0], axes, margin),
            ReduceOp::Sum | ReduceOp::Prod | ReduceOp::LogSumExp => false,
        },
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Select
        | Op::Mark(_)
        | Op::Move(_)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => false,
    }
}

/// Whether two elements of a row along `axes` are near each other; any two, to be safe.
fn ties(x: &Tensor, axes: &[usize], margin: f64) -> bool {
    let (shape, strides) = (&x.ty.shape, x.ty.shape.strides());
    let row_of = |place: usize| -> Vec<usize> {
        let kept = (0..shape.rank()).filter(|a| !axes.contains(a));
        kept.map(|a| place / strides[a] % shape.dims()[a]).collect()
    };
    let mut elements: Vec<(Vec<usize>, f64)> =
        x.to_f64s().into_iter().enumerate().map(|(i, v)| (row_of(i), v)).collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    elements.windows(2).any(|w| w[0].0 == w[1].0 && (w[0].1 - w[1].1).abs() < margin)
}
