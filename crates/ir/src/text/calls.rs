//! Names of ops with their attributes, as the ops they mean.

use super::lex::{Parsed, error};
use super::value::{Attribute, Number, Value, shape};
use crate::op::{
    BinaryOp, CompareOp, CrossEntropyOp, DotAxes, MarkOp, MoveOp, Op, ReduceOp, SoftmaxOp,
    TensorData, UnaryOp, Windows,
};
use crate::types::{At, DType, Literal, Shape, TensorType};
use std::sync::Arc;

/// Calls with attributes that are one op, besides the classes of ops.
const OPS: [&str; 21] = [
    "const",
    "data",
    "iota",
    "size",
    "select",
    "cast",
    "reshape",
    "transpose",
    "broadcast",
    "slice",
    "pad",
    "window",
    "fold",
    "dot",
    "one_hot",
    "gather",
    "scatter_add",
    "random_key",
    "random",
    "grad",
    "cross_entropy",
];

/// Calls that are several ops, or one op by another name.
const COMPOSED: [&str; 9] =
    ["where", "mean", "var", "matmul", "trace", "call", "scan", "cond", "cross_entropy_residual"];

/// Formulas by name, which are written out: operands, then what is computed of them.
pub(super) const FORMULAS: [(&str, &[&str], &str); 14] = [
    ("silu", &["x"], "x * sigmoid(x)"),
    ("gelu", &["x"], "x * (1 + erf(x * 0.7071067811865476)) * 0.5"),
    (
        "gelu_tanh",
        &["x"],
        // Beyond 30 the cube would overflow where the function is 0 or its operand.
        "x * (1 + tanh((clamp(x, -30, 30) + clamp(x, -30, 30) * square(clamp(x, -30, 30)) * 0.044715) * 0.7978845608028654)) * 0.5",
    ),
    ("elu", &["x", "alpha"], "where(x > 0, x, expm1(x) * alpha)"),
    ("selu", &["x"], "elu(x, 1.6732632423543772) * 1.0507009873554805"),
    ("leaky_relu", &["x", "slope"], "where(x >= 0, x, x * slope)"),
    ("relu6", &["x"], "minimum(maximum(x, 0), 6)"),
    ("hard_sigmoid", &["x"], "minimum(maximum(x, -3), 3) / 6 + 0.5"),
    ("hardswish", &["x"], "x * hard_sigmoid(x)"),
    ("softsign", &["x"], "x / (1 + abs(x))"),
    ("mish", &["x"], "x * tanh(softplus(x))"),
    ("clamp", &["x", "low", "high"], "minimum(maximum(x, low), high)"),
    ("is_finite", &["x"], "abs(x) < inf"),
    ("norm", &["x"], "sqrt(sum(square(x)))"),
];

/// Whether a call of `name` is never a call of a function of the text.
pub(super) fn is_built_in(name: &str) -> bool {
    UnaryOp::from_name(name).is_some()
        || BinaryOp::from_name(name).is_some()
        || CompareOp::from_name(name).is_some()
        || MarkOp::from_name(name).is_some()
        || ReduceOp::from_name(name).is_some()
        || SoftmaxOp::from_name(name).is_some()
        || OPS.contains(&name)
        || COMPOSED.contains(&name)
        || FORMULAS.iter().any(|f| f.0 == name)
}

/// Every name that a call can have, for suggestions.
pub(super) fn built_in() -> impl Iterator<Item = &'static str> {
    let classes = UnaryOp::ALL.iter().map(|op| op.name());
    let classes = classes.chain(BinaryOp::ALL.iter().map(|op| op.name()));
    let classes = classes.chain(CompareOp::ALL.iter().map(|op| op.name()));
    let classes = classes.chain(MarkOp::ALL.iter().map(|op| op.name()));
    let classes = classes.chain(ReduceOp::ALL.iter().map(|op| op.name()));
    let classes = classes.chain(SoftmaxOp::ALL.iter().map(|op| op.name()));
    classes.chain(OPS).chain(COMPOSED).chain(FORMULAS.iter().map(|f| f.0))
}

/// Attributes of one call, taken one by one.
pub(super) struct Attributes<'t, 'a> {
    op: &'a str,
    at: At,
    list: Vec<&'t Attribute<'a>>,
}

impl<'t, 'a> Attributes<'t, 'a> {
    /// The attributes `list` of a call of `op` at `at`.
    ///
    /// # Errors
    /// When a key comes twice.
    pub(super) fn new(op: &'a str, at: At, list: &'t [Attribute<'a>]) -> Parsed<Self> {
        for (i, attribute) in list.iter().enumerate() {
            if list[..i].iter().any(|a| a.key == attribute.key) {
                return error(
                    attribute.at,
                    format!("gives `{}` twice", attribute.key),
                    "give each attribute once",
                );
            }
        }
        Ok(Attributes { op, at, list: list.iter().collect() })
    }

    /// Fails if an attribute was not taken.
    pub(super) fn expect_none(&self) -> Parsed<()> {
        match self.list.first() {
            None => Ok(()),
            Some(attribute) => error(
                attribute.at,
                format!("knows no `{}` of `{}`", attribute.key, self.op),
                "leave it out",
            ),
        }
    }

    fn find(&mut self, key: &str) -> Option<&'t Attribute<'a>> {
        let i = self.list.iter().position(|a| a.key == key)?;
        Some(self.list.remove(i))
    }

    fn needed<T>(&self, key: &str, found: Option<T>) -> Parsed<T> {
        match found {
            Some(value) => Ok(value),
            None => error(
                self.at,
                format!("lacks `{key}` of `{}`", self.op),
                format!("add `{key}=` to the call"),
            ),
        }
    }

    fn numbers(&mut self, key: &str) -> Parsed<Option<(At, &'t [Number<'a>])>> {
        let Some(attribute) = self.find(key) else { return Ok(None) };
        match &attribute.value {
            Value::List(list) => Ok(Some((attribute.at, list))),
            Value::Number(number) => Ok(Some((attribute.at, std::slice::from_ref(number)))),
            Value::Pairs(_) | Value::Truth(_) | Value::DType(_) | Value::Type(_) => {
                error(attribute.at, format!("needs a list as `{key}`"), "write it as `[0, 1]`")
            }
        }
    }

    /// Counts in a list.
    fn counts(&mut self, key: &str) -> Parsed<Option<Vec<usize>>> {
        match self.numbers(key)? {
            Some((_, list)) => list.iter().map(Number::count).collect::<Parsed<_>>().map(Some),
            None => Ok(None),
        }
    }

    fn needed_counts(&mut self, key: &str) -> Parsed<Vec<usize>> {
        let found = self.counts(key)?;
        self.needed(key, found)
    }

    /// `axes` or `axis` of an operand of rank `rank`, in the order given.
    pub(super) fn axes(&mut self, rank: usize) -> Parsed<Option<Vec<usize>>> {
        let found = match self.numbers("axes")? {
            Some(found) => Some(found),
            None => self.numbers("axis")?,
        };
        match found {
            Some((_, list)) => list.iter().map(|n| n.axis(rank)).collect::<Parsed<_>>().map(Some),
            None => Ok(None),
        }
    }

    /// A single count.
    pub(super) fn count(&mut self, key: &str) -> Parsed<Option<usize>> {
        match self.numbers(key)? {
            None => Ok(None),
            Some((_, [number])) => number.count().map(Some),
            Some((at, _)) => error(at, format!("needs one number as `{key}`"), "give one number"),
        }
    }

    pub(super) fn needed_count(&mut self, key: &str) -> Parsed<usize> {
        let found = self.count(key)?;
        self.needed(key, found)
    }

    /// `true` or `false`; `false` when it is not given.
    pub(super) fn truth(&mut self, key: &str) -> Parsed<bool> {
        let Some(attribute) = self.find(key) else { return Ok(false) };
        match attribute.value {
            Value::Truth(value) => Ok(value),
            Value::Number(_)
            | Value::List(_)
            | Value::Pairs(_)
            | Value::DType(_)
            | Value::Type(_) => {
                error(attribute.at, format!("needs `true` or `false` as `{key}`"), "write either")
            }
        }
    }

    fn shape(&mut self, key: &str) -> Parsed<Shape> {
        let found = self.numbers(key)?;
        let (at, list) = self.needed(key, found)?;
        shape(list, at)
    }

    /// Shape and axes of a `broadcast`; without axes, they are aligned from the right.
    pub(super) fn broadcast(&mut self, rank: usize) -> Parsed<(Shape, Option<Vec<usize>>)> {
        let shape = self.shape("shape")?;
        // Axes are places in the result.
        let axes = self.axes(shape.rank().max(rank))?;
        Ok((shape, axes))
    }

    fn dtype(&mut self) -> Parsed<Option<DType>> {
        let Some(attribute) = self.find("type") else { return Ok(None) };
        match attribute.value {
            Value::DType(dtype) => Ok(Some(dtype)),
            Value::Number(_)
            | Value::List(_)
            | Value::Pairs(_)
            | Value::Truth(_)
            | Value::Type(_) => {
                error(attribute.at, "needs an element type as `type`", "write it as `type=f32`")
            }
        }
    }

    fn tensor_type(&mut self) -> Parsed<TensorType> {
        let found = self.find("type");
        let attribute = self.needed("type", found)?;
        match &attribute.value {
            Value::Type(ty) => Ok(ty.clone()),
            Value::Number(_)
            | Value::List(_)
            | Value::Pairs(_)
            | Value::Truth(_)
            | Value::DType(_) => error(
                attribute.at,
                "needs a whole type as `type`",
                "write it with its sizes, as `type=f32[2, 3]`",
            ),
        }
    }

    fn pairs(&mut self, key: &str) -> Parsed<Option<Vec<(usize, usize)>>> {
        let Some(attribute) = self.find(key) else { return Ok(None) };
        match &attribute.value {
            Value::Pairs(pairs) => {
                let pair = |(l, r): &(Number<'_>, Number<'_>)| Ok((l.count()?, r.count()?));
                pairs.iter().map(pair).collect::<Parsed<_>>().map(Some)
            }
            Value::List(list) if list.is_empty() => Ok(Some(vec![])),
            Value::List(_)
            | Value::Number(_)
            | Value::Truth(_)
            | Value::DType(_)
            | Value::Type(_) => error(
                attribute.at,
                format!("needs pairs of axes as `{key}`"),
                "write them as `[(1, 0)]`: an axis of the left operand and one of the right",
            ),
        }
    }

    fn literal(&mut self, key: &str, dtype: DType) -> Parsed<Literal> {
        let found = self.find(key);
        let attribute = self.needed(key, found)?;
        match &attribute.value {
            Value::Number(number) => number.literal(dtype),
            Value::Truth(value) if dtype == DType::Bool => Ok(Literal::Bool(*value)),
            Value::Truth(_)
            | Value::List(_)
            | Value::Pairs(_)
            | Value::DType(_)
            | Value::Type(_) => {
                error(attribute.at, format!("needs one {} as `{key}`", dtype.name()), "change it")
            }
        }
    }

    fn windows(&mut self, rank: usize) -> Parsed<Windows> {
        let found = self.axes(rank)?;
        let axes = self.needed("axes", found)?;
        let size = self.needed_counts("size")?;
        let ones = vec![1; axes.len()];
        let stride = self.counts("stride")?.unwrap_or_else(|| ones.clone());
        let dilation = self.counts("dilation")?.unwrap_or(ones);
        Ok(Windows { axes, size, stride, dilation })
    }
}

/// The op that `name` is with `attributes` on operands of types `operands`; `None` when there is no such op.
pub(super) fn op(
    name: &str,
    operands: &[&TensorType],
    attributes: &mut Attributes<'_, '_>,
    float: DType,
) -> Parsed<Option<Op>> {
    if let Some(op) = MarkOp::from_name(name) {
        return Ok(Some(Op::Mark(op)));
    }
    let first = operands.first();
    let rank = first.map_or(0, |ty| ty.rank());
    let all = || (0..rank).collect::<Vec<usize>>();
    let float = first.map(|ty| ty.dtype).filter(|d| d.is_float()).unwrap_or(float);
    if let Some(op) = SoftmaxOp::from_name(name) {
        return Ok(Some(Op::Softmax(op, attributes.axes(rank)?.unwrap_or_else(all))));
    }
    if let Some(op) = CrossEntropyOp::from_name(name) {
        return Ok(Some(Op::CrossEntropy(op, attributes.axes(rank)?.unwrap_or_else(all))));
    }
    Ok(Some(match name {
        "const" => {
            let found = attributes.dtype()?;
            let dtype = attributes.needed("type", found)?;
            Op::Const(dtype, attributes.literal("value", dtype)?)
        }
        "data" => data(attributes)?,
        "iota" => {
            let ty = attributes.tensor_type()?;
            let axis = attributes.axes(ty.rank())?;
            let axis = match attributes.needed("axis", axis)?[..] {
                [axis] => axis,
                _ => return error(attributes.at, "counts along one axis", "give `axis=` a number"),
            };
            Op::Iota { dtype: ty.dtype, shape: ty.shape, axis }
        }
        "size" => Op::Size {
            dtype: attributes.dtype()?.unwrap_or(float),
            axes: attributes.axes(rank)?.unwrap_or_else(all),
        },
        "cast" => {
            let found = attributes.dtype()?;
            Op::Cast(attributes.needed("type", found)?)
        }
        "reshape" => Op::Move(MoveOp::Reshape(attributes.shape("shape")?)),
        "transpose" => {
            let swapped = || {
                let mut axes = all();
                axes[rank.saturating_sub(2)..].reverse();
                axes
            };
            Op::Move(MoveOp::Transpose(attributes.axes(rank)?.unwrap_or_else(swapped)))
        }
        "slice" => {
            let (start, step, size) = places(attributes, rank)?;
            Op::Move(MoveOp::Slice { start, step, size })
        }
        "pad" => {
            let (start, step, size) = places(attributes, rank)?;
            let fill = attributes.literal("fill", first.map_or(float, |ty| ty.dtype))?;
            Op::Move(MoveOp::Pad { start, step, size, fill })
        }
        "window" => Op::Move(MoveOp::Window(attributes.windows(rank)?)),
        "fold" => {
            let windows = attributes.windows(rank)?;
            Op::Fold { windows, length: attributes.needed_counts("length")? }
        }
        "dot" => {
            let found = attributes.pairs("contract")?;
            let contract = attributes.needed("contract", found)?;
            Op::Dot(DotAxes { batch: attributes.pairs("batch")?.unwrap_or_default(), contract })
        }
        "one_hot" => Op::OneHot {
            dtype: attributes.dtype()?.unwrap_or(float),
            classes: attributes.needed_count("classes")?,
        },
        "gather" => Op::Gather { batch: attributes.count("batch")?.unwrap_or(0) },
        "scatter_add" => Op::ScatterAdd {
            batch: attributes.count("batch")?.unwrap_or(0),
            size: attributes.needed_count("size")?,
        },
        "random_key" => {
            let found = attributes.numbers("stream")?;
            match attributes.needed("stream", found)? {
                (_, [number]) => Op::RandomKey { stream: number.stream()? },
                (at, _) => return error(at, "needs one number as `stream`", "give one number"),
            }
        }
        "random" => {
            let ty = attributes.tensor_type()?;
            Op::Random { dtype: ty.dtype, shape: ty.shape }
        }
        _ => return Ok(None),
    }))
}

fn places(
    attributes: &mut Attributes<'_, '_>,
    rank: usize,
) -> Parsed<(Vec<usize>, Vec<usize>, Vec<usize>)> {
    let start = attributes.counts("start")?.unwrap_or_else(|| vec![0; rank]);
    let step = attributes.counts("step")?.unwrap_or_else(|| vec![1; rank]);
    Ok((start, step, attributes.needed_counts("sizes")?))
}

fn data(attributes: &mut Attributes<'_, '_>) -> Parsed<Op> {
    let ty = attributes.tensor_type()?;
    let found = attributes.numbers("values")?;
    let (at, list) = attributes.needed("values", found)?;
    if ty.shape.checked_elements() != Some(list.len()) {
        let message = format!("has {} values for {ty}", list.len());
        return error(at, message, "give one value per element");
    }
    let mut values = Vec::with_capacity(list.len());
    for number in list {
        values.push(match ty.dtype {
            // Truth values stand as 0 and 1.
            DType::Bool => match number.literal(DType::U8)?.as_f64() {
                value if value <= 1.0 => value,
                _ => return error(number.at, "has a truth value besides 0 and 1", "write 0 or 1"),
            },
            dtype => number.literal(dtype)?.as_f64(),
        });
    }
    Ok(Op::Data(Arc::new(TensorData { dtype: ty.dtype, shape: ty.shape, values })))
}
