//! One node: its value from those of its operands.

use crate::place::{offsets, offsets_along, places, rows, window_places};
use crate::random;
use crate::row;
use crate::scalar::{binary_float, binary_int, compare, int_limits, unary_float, unary_int};
use crate::value::Value;
use eggrad_ir::{
    BinaryOp, CompareOp, DType, DotAxes, Literal, MoveOp, Node, Op, ReduceOp, Shape, TensorType,
    UnaryOp,
};

/// The value of `node` on operands of the types and values given, not yet rounded or wrapped to the node's type.
pub(crate) fn evaluate(node: &Node, types: &[&TensorType], args: &[&Value]) -> Value {
    if node.ty.shape.elements() == 0 {
        // Nothing to compute, but perhaps an operand axis of any length to walk.
        return Value::empty(node.ty.dtype);
    }
    match &node.op {
        Op::Input(_)
        | Op::State(_)
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => {
            panic!("internal error: `{}` has no value of its own", node.op.name())
        }
        Op::Const(dtype, literal) => match literal {
            Literal::Float(_) => Value::Float(vec![literal.as_f64()]).cast(*dtype),
            Literal::Int(i) => Value::Int(vec![*i]).cast(*dtype),
            Literal::Bool(b) => Value::Bool(vec![*b]).cast(*dtype),
        },
        Op::Data(data) => Value::Float(data.values.clone()).cast(data.dtype),
        Op::Iota { dtype, shape, axis } => {
            let mut strides = vec![0; shape.rank()];
            strides[*axis] = 1;
            let counts = offsets(shape.dims(), &strides);
            Value::Int(counts.into_iter().map(|i| i as i64).collect()).cast(*dtype)
        }
        Op::Size { dtype, axes } => {
            let count: usize = axes.iter().map(|&a| types[0].shape.dims()[a]).product();
            Value::Int(vec![count as i64]).cast(*dtype)
        }
        Op::Unary(op) => unary(*op, args[0]),
        Op::Binary(op) => binary(*op, args[0], args[1]),
        Op::Compare(op) => comparison(*op, args[0], args[1]),
        Op::Select => select(args[0].bools(), args[1], args[2]),
        Op::Cast(dtype) => args[0].cast(*dtype),
        Op::Mark(_) => args[0].clone(),
        Op::Move(op) => moved(op, types[0], args[0]),
        Op::Reduce(op, axes) => reduce(*op, axes, types[0], args[0]),
        Op::Softmax(op, axes) => {
            let (starts, within) = rows(&types[0].shape, axes);
            let mut result = vec![0.0; args[0].floats().len()];
            for start in starts {
                let row = take_row(args[0].floats(), start, &within);
                for (&o, y) in within.iter().zip(row::softmax(*op, &row)) {
                    result[start + o] = y;
                }
            }
            Value::Float(result)
        }
        Op::CrossEntropy(op, axes) => {
            let (starts, within) = rows(&types[0].shape, axes);
            let mut result = vec![0.0; node.ty.shape.elements()];
            for (i, start) in starts.into_iter().enumerate() {
                let z = take_row(args[0].floats(), start, &within);
                let t = take_row(args[1].floats(), start, &within);
                let y = row::cross_entropy(*op, &z, &t);
                match op {
                    eggrad_ir::CrossEntropyOp::Value => result[i] = y[0],
                    eggrad_ir::CrossEntropyOp::Residual => {
                        within.iter().zip(y).for_each(|(&o, y)| result[start + o] = y);
                    }
                }
            }
            Value::Float(result)
        }
        Op::Dot(axes) => dot(axes, types, args),
        Op::OneHot { dtype, classes } => {
            let hits = args[0].ints().iter();
            let hits = hits.flat_map(|&label| (0..*classes as i64).map(move |c| c == label));
            Value::Bool(hits.collect()).cast(*dtype)
        }
        Op::Gather { batch } => gather(*batch, types, args),
        Op::ScatterAdd { batch, size } => scatter_add(*batch, *size, types, args),
        Op::Fold { windows, .. } => {
            let to = window_places(&node.ty.shape, windows);
            let places = to.into_iter().enumerate().map(|(from, to)| (to, from));
            add_at(args[0], places, node.ty.shape.elements())
        }
        Op::RandomKey { stream } => {
            let word = |i: usize| args[i].ints()[0] as i32;
            let key = random::key(*stream, word(0), word(1));
            Value::Int(key.iter().map(|&k| i64::from(k as i32)).collect())
        }
        Op::Random { dtype, shape } => {
            let word = |i: usize| args[0].ints()[i] as u32;
            random::numbers(*dtype, [word(0), word(1)], shape.elements())
        }
    }
}

fn unary(op: UnaryOp, x: &Value) -> Value {
    match x {
        Value::Float(x) => Value::Float(x.iter().map(|&x| unary_float(op, x)).collect()),
        Value::Int(x) => Value::Int(x.iter().map(|&x| unary_int(op, x)).collect()),
        Value::Bool(x) => match op {
            UnaryOp::Not => Value::Bool(x.iter().map(|&x| !x).collect()),
            UnaryOp::Neg
            | UnaryOp::Abs
            | UnaryOp::Sign
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
            | UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Tanh
            | UnaryOp::Sigmoid
            | UnaryOp::Softplus
            | UnaryOp::Relu => panic!("internal error: `{}` of a bool", op.name()),
        },
    }
}

fn binary(op: BinaryOp, a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => {
            Value::Float(a.iter().zip(b).map(|(&a, &b)| binary_float(op, a, b)).collect())
        }
        (Value::Int(a), Value::Int(b)) => {
            Value::Int(a.iter().zip(b).map(|(&a, &b)| binary_int(op, a, b)).collect())
        }
        (a, b) => {
            let truth: fn(bool, bool) -> bool = match op {
                BinaryOp::And => |a, b| a && b,
                BinaryOp::Or => |a, b| a || b,
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
                | BinaryOp::Minimum => panic!("internal error: `{}` of bools", op.name()),
            };
            Value::Bool(a.bools().iter().zip(b.bools()).map(|(&a, &b)| truth(a, b)).collect())
        }
    }
}

fn comparison(op: CompareOp, a: &Value, b: &Value) -> Value {
    fn all<T: PartialOrd + Copy>(op: CompareOp, a: &[T], b: &[T]) -> Value {
        Value::Bool(a.iter().zip(b).map(|(&a, &b)| compare(op, a, b)).collect())
    }
    match a {
        Value::Float(a) => all(op, a, b.floats()),
        Value::Int(a) => all(op, a, b.ints()),
        Value::Bool(a) => all(op, a, b.bools()),
    }
}

fn select(condition: &[bool], a: &Value, b: &Value) -> Value {
    fn all<T: Copy>(condition: &[bool], a: &[T], b: &[T]) -> Vec<T> {
        let branches = a.iter().zip(b);
        condition.iter().zip(branches).map(|(&c, (&a, &b))| if c { a } else { b }).collect()
    }
    match a {
        Value::Float(a) => Value::Float(all(condition, a, b.floats())),
        Value::Int(a) => Value::Int(all(condition, a, b.ints())),
        Value::Bool(a) => Value::Bool(all(condition, a, b.bools())),
    }
}

fn moved(op: &MoveOp, ty: &TensorType, x: &Value) -> Value {
    let places = match op {
        MoveOp::Reshape(_) => return x.clone(),
        MoveOp::Transpose(perm) => offsets_along(&ty.shape, perm),
        MoveOp::Broadcast { shape, axes } => {
            let mut strides = vec![0; shape.rank()];
            for (&axis, stride) in axes.iter().zip(ty.shape.strides()) {
                strides[axis] = stride;
            }
            offsets(shape.dims(), &strides)
        }
        MoveOp::Window(windows) => window_places(&ty.shape, windows),
        MoveOp::Slice { start, step, size } => places(&ty.shape, start, step, size),
        MoveOp::Pad { start, step, size, fill } => {
            let shape: Shape = size.iter().copied().collect();
            return pad(x, &places(&shape, start, step, ty.shape.dims()), &shape, *fill);
        }
    };
    x.pick(places.into_iter().map(Some))
}

/// Elements of `x` at `places` of a tensor of shape `shape`, `fill` elsewhere.
fn pad(x: &Value, places: &[usize], shape: &Shape, fill: Literal) -> Value {
    fn all<T: Copy>(x: &[T], places: &[usize], mut result: Vec<T>) -> Vec<T> {
        places.iter().zip(x).for_each(|(&place, &x)| result[place] = x);
        result
    }
    let count = shape.elements();
    match (x, fill) {
        (Value::Float(x), fill) => Value::Float(all(x, places, vec![fill.as_f64(); count])),
        (Value::Int(x), Literal::Int(i)) => Value::Int(all(x, places, vec![i; count])),
        (Value::Bool(x), Literal::Bool(b)) => Value::Bool(all(x, places, vec![b; count])),
        (x, fill) => panic!("internal error: {x:?} is filled with {fill}"),
    }
}

fn take_row(x: &[f64], start: usize, within: &[usize]) -> Vec<f64> {
    within.iter().map(|&o| x[start + o]).collect()
}

fn reduce(op: ReduceOp, axes: &[usize], ty: &TensorType, x: &Value) -> Value {
    let (starts, within) = rows(&ty.shape, axes);
    match x {
        Value::Float(x) => {
            let rows = starts.iter().map(|&s| take_row(x, s, &within));
            Value::Float(rows.map(|row| row::reduce(op, &row)).collect())
        }
        Value::Int(x) => {
            let (low, high) = int_limits(ty.dtype);
            let fold = |start: &usize| {
                let row = within.iter().map(|&o| x[start + o]);
                match op {
                    ReduceOp::Sum => row.fold(0, i64::wrapping_add),
                    ReduceOp::Prod => row.fold(1, i64::wrapping_mul),
                    ReduceOp::Max => row.fold(low, i64::max),
                    ReduceOp::Min => row.fold(high, i64::min),
                    ReduceOp::LogSumExp => panic!("internal error: `logsumexp` of integers"),
                }
            };
            Value::Int(starts.iter().map(fold).collect())
        }
        Value::Bool(_) => panic!("internal error: `{}` of bools", op.name()),
    }
}

fn dot(axes: &DotAxes, types: &[&TensorType], args: &[&Value]) -> Value {
    let sides = |pairs: &[(usize, usize)]| -> (Vec<usize>, Vec<usize>) {
        let (left, right): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        (offsets_along(&types[0].shape, &left), offsets_along(&types[1].shape, &right))
    };
    let (batch_left, batch_right) = sides(&axes.batch);
    let (inner_left, inner_right) = sides(&axes.contract);
    let free_left = offsets_along(&types[0].shape, &axes.free_left(types[0].rank()));
    let free_right = offsets_along(&types[1].shape, &axes.free_right(types[1].rank()));

    let mut pairs = vec![];
    for (bl, br) in batch_left.iter().zip(&batch_right) {
        for fl in &free_left {
            pairs.extend(free_right.iter().map(|fr| (bl + fl, br + fr)));
        }
    }
    let inner = || inner_left.iter().zip(&inner_right);
    match (args[0], args[1]) {
        (Value::Float(a), Value::Float(b)) => {
            let element = |(l, r): (usize, usize)| -> f64 {
                inner().map(|(il, ir)| a[l + il] * b[r + ir]).fold(0.0, |x, y| x + y)
            };
            Value::Float(pairs.into_iter().map(element).collect())
        }
        (a, b) => {
            let (a, b) = (a.ints(), b.ints());
            let element = |(l, r): (usize, usize)| -> i64 {
                let products = inner().map(|(il, ir)| a[l + il].wrapping_mul(b[r + ir]));
                products.fold(0, i64::wrapping_add)
            };
            Value::Int(pairs.into_iter().map(element).collect())
        }
    }
}

/// Sizes of the batch axes, of the indexed axis and of the rest, each multiplied out.
fn split(shape: &Shape, batch: usize) -> (usize, usize, usize) {
    let dims = shape.dims();
    (dims[..batch].iter().product(), dims[batch], dims[batch + 1..].iter().product())
}

fn gather(batch: usize, types: &[&TensorType], args: &[&Value]) -> Value {
    let (batches, size, rest) = split(&types[0].shape, batch);
    let per_batch: usize = types[1].shape.dims()[batch..].iter().product();
    let mut places = vec![];
    for b in 0..batches {
        for &index in &args[1].ints()[b * per_batch..(b + 1) * per_batch] {
            let row = in_range(index, size).map(|i| (b * size + i) * rest);
            places.extend((0..rest).map(|k| row.map(|row| row + k)));
        }
    }
    args[0].pick(places.into_iter())
}

fn scatter_add(batch: usize, size: usize, types: &[&TensorType], args: &[&Value]) -> Value {
    let index_dims = types[0].shape.dims();
    let batches: usize = index_dims[..batch].iter().product();
    let per_batch: usize = index_dims[batch..].iter().product();
    let rest: usize = types[1].shape.dims()[index_dims.len()..].iter().product();
    // Pairs of a place in the result and the place of the update that is added there.
    let mut moves = vec![];
    for b in 0..batches {
        for i in 0..per_batch {
            let from = b * per_batch + i;
            if let Some(index) = in_range(args[0].ints()[from], size) {
                let to = b * size + index;
                moves.extend((0..rest).map(|k| (to * rest + k, from * rest + k)));
            }
        }
    }
    add_at(args[1], moves.into_iter(), batches * size * rest)
}

/// Zeros to which elements are added: `moves` are pairs of a place in the result and the place of the element.
fn add_at(x: &Value, moves: impl Iterator<Item = (usize, usize)>, elements: usize) -> Value {
    match x {
        Value::Float(x) => {
            let mut result = vec![0.0; elements];
            moves.for_each(|(to, from)| result[to] += x[from]);
            Value::Float(result)
        }
        Value::Int(x) => {
            let mut result = vec![0i64; elements];
            moves.for_each(|(to, from)| result[to] = result[to].wrapping_add(x[from]));
            Value::Int(result)
        }
        Value::Bool(_) => panic!("internal error: bools are not added"),
    }
}

fn in_range(index: i64, size: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|&i| i < size)
}

/// Whether the interpreter computes nodes of type `dtype` wider than written.
pub(crate) fn widened(dtype: DType) -> DType {
    match dtype {
        DType::F32 | DType::F64 => DType::F64,
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => dtype,
    }
}
