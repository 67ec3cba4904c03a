//! The result type of every op, or what is wrong with its operands.

mod apply;
mod windows;

use crate::op::{BinaryOp, DotAxes, MoveOp, Op, ReduceOp, UnaryOp};
use crate::types::{DType, Literal, Shape, TensorType};

/// What is wrong, and a way out; the builder adds names and places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) help: String,
}

type Inferred = Result<TensorType, Problem>;

fn problem<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Problem> {
    Err(Problem { message: message.into(), help: help.into() })
}

/// Elements a tensor may have: its bytes, at 8 each, fit an `isize`.
const MAX_ELEMENTS: usize = isize::MAX as usize / 8;

fn checked(ty: TensorType) -> Inferred {
    match ty.shape.checked_elements() {
        Some(n) if n <= MAX_ELEMENTS => Ok(ty),
        _ => problem(
            format!("makes a tensor of shape {} that no memory holds", ty.shape),
            "make the sizes smaller",
        ),
    }
}

/// Result type of `op` on operands of types `args`; leaves carry their own type, so inputs and states are declared
/// and never inferred.
pub(crate) fn infer(op: &Op, args: &[&TensorType]) -> Inferred {
    if args.len() != op.arity() {
        return problem(
            format!("takes {} operands, not {}", op.arity(), args.len()),
            "pass as many operands as the op takes",
        );
    }
    checked(infer_unchecked(op, args)?)
}

fn infer_unchecked(op: &Op, args: &[&TensorType]) -> Inferred {
    match op {
        Op::Input(_) | Op::State(_) => {
            problem("is declared, not applied", "declare inputs and states on the builder")
        }
        Op::Const(dtype, _) => Ok(TensorType::scalar(*dtype)),
        Op::Data(data) => {
            let elements = data.shape.checked_elements();
            if elements != Some(data.values.len()) {
                return problem(
                    format!("has {} values for shape {}", data.values.len(), data.shape),
                    "give one value per element",
                );
            }
            Ok(TensorType::new(data.dtype, data.shape.clone()))
        }
        Op::Iota { dtype, shape, axis } => {
            if *axis >= shape.rank() || *dtype == DType::Bool {
                return problem(
                    format!("cannot count along axis {axis} of {}{shape}", dtype.name()),
                    "count along an axis the shape has, in a number type",
                );
            }
            Ok(TensorType::new(*dtype, shape.clone()))
        }
        Op::Size { dtype, axes } => {
            check_axes(axes, args[0])?;
            if *dtype == DType::Bool {
                return problem("cannot be a bool", "ask for a number type");
            }
            Ok(TensorType::scalar(*dtype))
        }
        Op::Unary(op) => unary(*op, args[0]),
        Op::Binary(op) => binary(*op, args[0], args[1]),
        Op::Compare(_) => {
            same_types(args[0], args[1])?;
            Ok(TensorType::new(DType::Bool, args[0].shape.clone()))
        }
        Op::Select => {
            if args[0].dtype != DType::Bool {
                return problem(
                    format!("chooses by a bool, not {}", args[0].dtype.name()),
                    "compare first, as in `x.gt(0.0)`",
                );
            }
            same_types(args[1], args[2])?;
            if args[0].shape != args[1].shape {
                return problem(
                    format!("needs one shape: {} and {}", args[0].shape, args[1].shape),
                    "broadcast the condition to the shape of the branches",
                );
            }
            Ok(args[1].clone())
        }
        Op::Cast(dtype) => Ok(TensorType::new(*dtype, args[0].shape.clone())),
        Op::Mark(_) => Ok(args[0].clone()),
        Op::Move(op) => moved(op, args[0]),
        Op::Reduce(op, axes) => {
            check_axes(axes, args[0])?;
            match op {
                ReduceOp::LogSumExp => need_float(args[0])?,
                ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min => {
                    need_number(args[0])?;
                }
            }
            Ok(TensorType::new(args[0].dtype, args[0].shape.without(axes)))
        }
        Op::Softmax(_, axes) => {
            check_axes(axes, args[0])?;
            need_float(args[0])?;
            Ok(args[0].clone())
        }
        Op::CrossEntropy(op, axes) => {
            same_types(args[0], args[1])?;
            need_float(args[0])?;
            check_axes(axes, args[0])?;
            Ok(match op {
                crate::op::CrossEntropyOp::Value => {
                    TensorType::new(args[0].dtype, args[0].shape.without(axes))
                }
                crate::op::CrossEntropyOp::Residual => args[0].clone(),
            })
        }
        Op::Dot(axes) => dot(axes, args[0], args[1]),
        Op::OneHot { dtype, classes } => {
            need_int(args[0], "labels")?;
            let dims = args[0].shape.dims().iter().copied().chain([*classes]);
            Ok(TensorType::new(*dtype, dims.collect::<Shape>()))
        }
        Op::Gather { batch } => {
            need_int(args[1], "indices")?;
            let (table, index) = (args[0].shape.dims(), args[1].shape.dims());
            shared_batch(*batch, table.len().saturating_sub(1), table, index)?;
            let dims = index.iter().chain(&table[batch + 1..]).copied();
            Ok(TensorType::new(args[0].dtype, dims.collect::<Shape>()))
        }
        Op::ScatterAdd { batch, size } => {
            need_int(args[0], "indices")?;
            need_number(args[1])?;
            let (index, updates) = (args[0].shape.dims(), args[1].shape.dims());
            if *batch > index.len() || !updates.starts_with(index) {
                return problem(
                    format!("needs updates of shape {} followed by the rest", args[0].shape),
                    "give one update per index",
                );
            }
            let dims = index[..*batch].iter().chain([size]).chain(&updates[index.len()..]).copied();
            Ok(TensorType::new(args[1].dtype, dims.collect::<Shape>()))
        }
        Op::Fold { windows, length } => windows::fold(windows, length, args[0]),
        Op::RandomKey { .. } => {
            for (arg, what) in args.iter().zip(["seed", "step"]) {
                if **arg != TensorType::scalar(DType::I32) {
                    return problem(
                        format!("takes one i32 as {what}, not {arg}"),
                        "cast it, and pass one number",
                    );
                }
            }
            Ok(TensorType::new(DType::I32, [2]))
        }
        Op::Random { dtype, shape } => random(*dtype, shape, args[0]),
        Op::Call { function, result } => apply::called(function, *result, args),
        Op::Scan { scan, result } => apply::scanned(scan, *result, args),
        Op::Cond { then, otherwise, result } => apply::chosen(then, otherwise, *result, args),
        Op::Grad => {
            if args[0].rank() != 0 || !args[0].dtype.is_float() {
                return problem(
                    "differentiates one float",
                    "reduce the value to one number first, with `sum(..)` or `mean()`",
                );
            }
            need_float(args[1])?;
            Ok(args[1].clone())
        }
    }
}

fn unary(op: UnaryOp, x: &TensorType) -> Inferred {
    match op {
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Square | UnaryOp::Relu => {
            need_number(x)?;
        }
        UnaryOp::Not => {
            if x.dtype != DType::Bool {
                return problem("takes a bool", "compare first, as in `x.gt(0.0)`");
            }
        }
        UnaryOp::Sqrt
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
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid
        | UnaryOp::Softplus => need_float(x)?,
    }
    Ok(x.clone())
}

fn binary(op: BinaryOp, a: &TensorType, b: &TensorType) -> Inferred {
    same_types(a, b)?;
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Maximum | BinaryOp::Minimum => {
            need_number(a)?;
        }
        BinaryOp::Div
        | BinaryOp::Pow
        | BinaryOp::Mod
        | BinaryOp::Atan2
        | BinaryOp::LogAddExp
        | BinaryOp::Xlogy => need_float(a)?,
        BinaryOp::And | BinaryOp::Or => {
            if a.dtype != DType::Bool {
                return problem("takes bools", "compare first, as in `x.gt(0.0)`");
            }
        }
    }
    Ok(a.clone())
}

fn moved(op: &MoveOp, x: &TensorType) -> Inferred {
    let shape = match op {
        MoveOp::Reshape(shape) => {
            if shape.checked_elements() != x.shape.checked_elements() {
                return problem(
                    format!("cannot turn {} into {shape}: they hold different numbers", x.shape),
                    format!("choose sizes whose product is {}", x.shape.elements()),
                );
            }
            shape.clone()
        }
        MoveOp::Transpose(perm) => {
            let mut seen = perm.clone();
            seen.sort_unstable();
            if seen.into_iter().ne(0..x.rank()) {
                return problem(
                    format!("needs each of the {} axes once, not {perm:?}", x.rank()),
                    "list every axis of the operand once",
                );
            }
            perm.iter().map(|&a| x.shape.dims()[a]).collect()
        }
        MoveOp::Broadcast { shape, axes } => {
            let increase = axes.windows(2).all(|w| w[0] < w[1]);
            let fit = axes.len() == x.rank()
                && axes.iter().zip(x.shape.dims()).all(|(&a, d)| shape.dims().get(a) == Some(d));
            if !increase || !fit {
                return problem(
                    format!("cannot spread {} over {shape} along axes {axes:?}", x.shape),
                    "each operand axis needs a place of its own size in the result",
                );
            }
            shape.clone()
        }
        MoveOp::Slice { start, step, size } => {
            check_places(start, step, size, x.rank())?;
            for (axis, &limit) in x.shape.dims().iter().enumerate() {
                let (start, step, size) = (start[axis], step[axis], size[axis]);
                if !reaches(start, step, size, limit) {
                    return problem(
                        format!(
                            "takes {size} positions from {start} by {step} of axis {axis} of {}",
                            x.shape
                        ),
                        format!("stay below position {limit}"),
                    );
                }
            }
            size.iter().copied().collect()
        }
        MoveOp::Pad { start, step, size, fill } => {
            check_places(start, step, size, x.rank())?;
            let fits = match fill {
                Literal::Float(_) => x.dtype.is_float(),
                Literal::Int(_) => x.dtype.is_int(),
                Literal::Bool(_) => x.dtype == DType::Bool,
            };
            if !fits {
                return problem(
                    format!("fills {} with {fill}", x.dtype.name()),
                    "fill with a value of the operand's type",
                );
            }
            for (axis, &count) in x.shape.dims().iter().enumerate() {
                if !reaches(start[axis], step[axis], count, size[axis]) {
                    return problem(
                        format!(
                            "puts {count} positions from {} by {} into {} of axis {axis}",
                            start[axis], step[axis], size[axis]
                        ),
                        "make the result larger",
                    );
                }
            }
            size.iter().copied().collect()
        }
        MoveOp::Window(windows) => windows::slide(windows, &x.shape)?,
    };
    Ok(TensorType::new(x.dtype, shape))
}

/// Whether `count` positions from `start` by `step` lie below `limit`.
fn reaches(start: usize, step: usize, count: usize, limit: usize) -> bool {
    count == 0
        || step.checked_mul(count - 1).and_then(|s| s.checked_add(start)).is_some_and(|l| l < limit)
}

fn check_places(
    start: &[usize],
    step: &[usize],
    size: &[usize],
    rank: usize,
) -> Result<(), Problem> {
    if [start, step, size].iter().any(|list| list.len() != rank) || step.contains(&0) {
        return problem(
            format!("needs a start, a step above 0 and a size for each of {rank} axes"),
            "give one entry per axis",
        );
    }
    Ok(())
}

fn dot(axes: &DotAxes, a: &TensorType, b: &TensorType) -> Inferred {
    if a.dtype != b.dtype {
        return problem(
            format!("needs one element type: {} and {}", a.dtype.name(), b.dtype.name()),
            "cast one operand",
        );
    }
    need_number(a)?;
    let mut left = vec![];
    let mut right = vec![];
    for &(l, r) in axes.batch.iter().chain(&axes.contract) {
        let (Some(dl), Some(dr)) = (a.shape.dims().get(l), b.shape.dims().get(r)) else {
            return problem(
                format!("pairs axis {l} with axis {r}, which the operands do not have"),
                format!("the operands have {} and {} axes", a.rank(), b.rank()),
            );
        };
        if dl != dr {
            return problem(
                format!("needs the inner sizes to agree: {dl} and {dr}"),
                format!(
                    "axis {l} of the left operand meets axis {r} of the right one; transpose or reshape one"
                ),
            );
        }
        left.push(l);
        right.push(r);
    }
    for used in [&mut left, &mut right] {
        used.sort_unstable();
        if used.windows(2).any(|w| w[0] == w[1]) {
            return problem("pairs an axis twice", "pair each axis at most once");
        }
    }
    let batch = axes.batch.iter().map(|p| a.shape.dims()[p.0]);
    let free_left = axes.free_left(a.rank()).into_iter().map(|i| a.shape.dims()[i]);
    let free_right = axes.free_right(b.rank()).into_iter().map(|i| b.shape.dims()[i]);
    Ok(TensorType::new(a.dtype, batch.chain(free_left).chain(free_right).collect::<Shape>()))
}

fn shared_batch(
    batch: usize,
    most: usize,
    table: &[usize],
    index: &[usize],
) -> Result<(), Problem> {
    if table.is_empty() || batch > most || batch > index.len() || table[..batch] != index[..batch] {
        return problem(
            format!("needs {batch} leading sizes in common, then an axis to pick from"),
            "give the table one axis more than it shares with the indices",
        );
    }
    Ok(())
}

fn check_axes(axes: &[usize], x: &TensorType) -> Result<(), Problem> {
    if axes.windows(2).any(|w| w[0] >= w[1]) || axes.iter().any(|&a| a >= x.rank()) {
        return problem(
            format!("has no axes {axes:?} on {}", x.shape),
            format!("axes are numbered 0 to {}", x.rank().saturating_sub(1)),
        );
    }
    Ok(())
}

fn same_types(a: &TensorType, b: &TensorType) -> Result<(), Problem> {
    if a.dtype != b.dtype {
        return problem(
            format!("needs one element type: {} and {}", a.dtype.name(), b.dtype.name()),
            "cast one operand",
        );
    }
    if a.shape != b.shape {
        return problem(
            format!("needs shapes that broadcast: {} and {}", a.shape, b.shape),
            "sizes agree from the right when they are equal or one of them is 1",
        );
    }
    Ok(())
}

fn need_float(x: &TensorType) -> Result<(), Problem> {
    if x.dtype.is_float() {
        return Ok(());
    }
    problem(format!("takes floats, not {}", x.dtype.name()), "cast the operand to `f32` first")
}

fn need_int(x: &TensorType, what: &str) -> Result<(), Problem> {
    if x.dtype.is_int() {
        return Ok(());
    }
    problem(
        format!("takes integer {what}, not {}", x.dtype.name()),
        "declare them as integers, or cast",
    )
}

fn need_number(x: &TensorType) -> Result<(), Problem> {
    if x.dtype != DType::Bool {
        return Ok(());
    }
    problem("takes numbers, not bool", "cast the operand to a number type first")
}

fn random(dtype: DType, shape: &Shape, key: &TensorType) -> Inferred {
    if *key != TensorType::new(DType::I32, [2]) {
        return problem(
            format!("takes a key of type i32[2], not {key}"),
            "make it by `random_key`",
        );
    }
    if !matches!(dtype, DType::I32 | DType::F32 | DType::F64) {
        return problem(
            format!("makes no {}", dtype.name()),
            "draw i32, f32 or f64, and cast or compare",
        );
    }
    if shape.checked_elements().is_none_or(|n| n > u32::MAX as usize) {
        return problem(
            format!("cannot number the elements of {shape} in 32 bits"),
            "draw fewer numbers from each stream",
        );
    }
    Ok(TensorType::new(dtype, shape.clone()))
}
