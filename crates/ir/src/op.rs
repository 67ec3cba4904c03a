//! The op table: every operation a graph can hold, one row each.
//!
//! Each class of ops is its own enum, matched exhaustively wherever ops are given meaning, so that the compiler lists
//! what is still missing when a row is added. A row holds the name in the text form, the domain on which tests draw
//! values, and what the reverse-mode derivative reads.

pub use crate::detail::{DotAxes, MoveOp, Scan, TensorData, Windows};

use crate::function::Function;
use crate::types::{DType, Literal, Shape};
use std::sync::Arc;

/// Interval from which tests draw operands of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Any number.
    Any,
    /// Any number but 0, where the op has a kink or a pole.
    NonZero,
    /// Numbers above 0.
    Positive,
    /// Numbers above -1.
    AboveMinusOne,
    /// Numbers below 0.
    Negative,
    /// Numbers that are no integers, away from the jumps there.
    Fractional,
    /// Numbers that differ from each other, because ties are a kink.
    Distinct,
    /// Truth values.
    Logical,
}

/// What the reverse-mode derivative of an op reads besides the cotangent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Nothing: the op is linear, or its derivative is zero.
    Nothing,
    /// The op's operands.
    Input,
    /// The op's result.
    Output,
    /// Operands and result.
    Both,
}

macro_rules! op_class {
    ($(#[$class_doc:meta])* $Class:ident {
        $($(#[$doc:meta])* $Variant:ident = $text:literal, $domain:ident, $reads:ident;)*
    }) => {
        $(#[$class_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Class { $($(#[$doc])* $Variant,)* }

        impl $Class {
            /// Every row of this class, in table order.
            pub const ALL: &'static [$Class] = &[$($Class::$Variant,)*];

            /// Name in the text form.
            pub fn name(self) -> &'static str {
                match self { $($Class::$Variant => $text,)* }
            }

            /// The row called `name` in the text form.
            pub fn from_name(name: &str) -> Option<$Class> {
                match name { $($text => Some($Class::$Variant),)* _ => None }
            }

            /// Where tests draw operands.
            pub fn domain(self) -> Domain {
                match self { $($Class::$Variant => Domain::$domain,)* }
            }

            /// What the reverse-mode derivative reads.
            pub fn reads(self) -> Reads {
                match self { $($Class::$Variant => Reads::$reads,)* }
            }
        }
    };
}

op_class! {
    /// One operand, elementwise.
    UnaryOp {
        /// `-x`
        Neg = "neg", Any, Nothing;
        /// `|x|`; derivative 0 at 0.
        Abs = "abs", NonZero, Input;
        /// -1, 0 or 1; NaN stays NaN. Derivative 0.
        Sign = "sign", NonZero, Nothing;
        /// `x·x`
        Square = "square", Any, Input;
        /// Square root; NaN below 0.
        Sqrt = "sqrt", Positive, Output;
        /// `1/sqrt(x)`
        Rsqrt = "rsqrt", Positive, Both;
        /// `1/x`
        Recip = "recip", NonZero, Output;
        /// `e^x`
        Exp = "exp", Any, Output;
        /// `e^x - 1` without cancellation near 0.
        Expm1 = "expm1", Any, Output;
        /// Natural logarithm; `log 0 = -inf`, NaN below 0.
        Log = "log", Positive, Input;
        /// `log(1 + x)` without cancellation near 0.
        Log1p = "log1p", AboveMinusOne, Input;
        /// `2^x`
        Exp2 = "exp2", Any, Output;
        /// Logarithm to base 2.
        Log2 = "log2", Positive, Input;
        /// `log(1 - e^x)` for `x < 0`, without cancellation at either end; -inf at 0, NaN above.
        Log1mexp = "log1mexp", Negative, Input;
        /// Sine of radians, accurate for every finite operand; NaN at infinity.
        Sin = "sin", Any, Input;
        /// Cosine of radians, accurate for every finite operand; NaN at infinity.
        Cos = "cos", Any, Input;
        /// Tangent of radians; NaN at infinity.
        Tan = "tan", Any, Output;
        /// Error function.
        Erf = "erf", Any, Input;
        /// `1 - erf(x)`, its small tail kept.
        Erfc = "erfc", Any, Input;
        /// `log(erfc(x))`, finite where `erfc` underflows.
        LogErfc = "log_erfc", Any, Input;
        /// Hyperbolic tangent.
        Tanh = "tanh", Any, Output;
        /// `1/(1 + e^-x)`, its small tail kept.
        Sigmoid = "sigmoid", Any, Output;
        /// `log(1 + e^x)`, never overflowing.
        Softplus = "softplus", Any, Input;
        /// `max(x, 0)`; derivative 0 at 0; NaN stays NaN.
        Relu = "relu", NonZero, Input;
        /// Largest integer not above `x`; derivative 0.
        Floor = "floor", Fractional, Nothing;
        /// Smallest integer not below `x`; derivative 0.
        Ceil = "ceil", Fractional, Nothing;
        /// Nearest integer, halves to the even one; derivative 0.
        Round = "round", Fractional, Nothing;
        /// Logical not.
        Not = "not", Logical, Nothing;
    }
}

op_class! {
    /// Two operands of one type, elementwise.
    BinaryOp {
        /// Sum; integers wrap.
        Add = "add", Any, Nothing;
        /// Difference; integers wrap.
        Sub = "sub", Any, Nothing;
        /// Product; integers wrap.
        Mul = "mul", Any, Input;
        /// Quotient, floats only.
        Div = "div", NonZero, Both;
        /// `a^b`, floats only, as C's `pow`: a negative base needs a whole exponent; `0^0 = 1`.
        Pow = "pow", Positive, Both;
        /// Remainder with the sign of the divisor, as Python's `%`; floats only. Derivative 1 in `a`, `-floor(a/b)` in `b`.
        Mod = "mod", NonZero, Input;
        /// Angle of the point `(b, a)` in radians, as C's `atan2(a, b)`; floats only.
        Atan2 = "atan2", NonZero, Input;
        /// `log(e^a + e^b)`, never overflowing; floats only.
        LogAddExp = "logaddexp", Any, Input;
        /// `a · log(b)`, and 0 where `a = 0` whatever `b` is (NaN included); floats only.
        Xlogy = "xlogy", Positive, Input;
        /// The larger; NaN if either is NaN; ties share the gradient in halves.
        Maximum = "maximum", Distinct, Input;
        /// The smaller; NaN if either is NaN; ties share the gradient in halves.
        Minimum = "minimum", Distinct, Input;
        /// Logical and.
        And = "and", Logical, Nothing;
        /// Logical or.
        Or = "or", Logical, Nothing;
    }
}

op_class! {
    /// Two operands of one type to a truth value; false when either is NaN, but for `ne`.
    CompareOp {
        /// `a == b`
        Eq = "eq", Distinct, Nothing;
        /// `a != b`
        Ne = "ne", Distinct, Nothing;
        /// `a < b`
        Lt = "lt", Distinct, Nothing;
        /// `a <= b`
        Le = "le", Distinct, Nothing;
        /// `a > b`
        Gt = "gt", Distinct, Nothing;
        /// `a >= b`
        Ge = "ge", Distinct, Nothing;
    }
}

op_class! {
    /// Many elements to one, over any axes, which vanish from the shape.
    ReduceOp {
        /// Sum; 0 over nothing.
        Sum = "sum", Any, Nothing;
        /// Product; 1 over nothing.
        Prod = "prod", NonZero, Both;
        /// Largest; NaN if any is NaN; -inf over nothing; ties share the gradient evenly, but within windows the
        /// first takes all.
        Max = "max", Distinct, Both;
        /// Smallest; NaN if any is NaN; +inf over nothing; ties share the gradient evenly, but within windows the
        /// first takes all.
        Min = "min", Distinct, Both;
        /// `log(sum(exp(x)))`, never overflowing, small tails kept; -inf over nothing.
        LogSumExp = "logsumexp", Any, Both;
    }
}

op_class! {
    /// Rows to rows of the same shape.
    SoftmaxOp {
        /// `exp(x) / sum(exp(x))`
        Softmax = "softmax", Any, Output;
        /// `x - logsumexp(x)`
        LogSoftmax = "log_softmax", Any, Output;
    }
}

op_class! {
    /// Logits `z` and targets `t` of one type; `t` is any weights, they need not sum to one.
    CrossEntropyOp {
        /// `-sum(t · log_softmax(z))` over the axes, which vanish.
        Value = "cross_entropy", Any, Both;
        /// `sum(t) · softmax(z) - t`, the gradient of the value with respect to `z`, without the cancellation
        /// where `t` is near `softmax(z)`.
        Residual = "cross_entropy_residual", Any, Both;
    }
}

op_class! {
    /// The same value, opaque to one kind of pass.
    MarkOp {
        /// Opaque to rewriting: compensated arithmetic stays as written.
        Keep = "keep", Any, Nothing;
        /// Opaque to differentiation: its derivative is zero.
        StopGradient = "stop_gradient", Any, Nothing;
    }
}

/// What a node computes from its operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The run-time input with this number.
    Input(usize),
    /// What the state with this number holds before the run.
    State(usize),
    /// One number of the given type; `broadcast` spreads it.
    Const(DType, Literal),
    /// A tensor written into the graph.
    Data(Arc<TensorData>),
    /// Position along `axis` of `shape`, as an integer or float.
    Iota {
        /// Element type, not bool.
        dtype: DType,
        /// Shape of the result.
        shape: Shape,
        /// The axis that is counted.
        axis: usize,
    },
    /// How many elements the operand has along `axes` together, as one number of `dtype`: what `mean` divides by.
    /// A size is not a constant, so that a graph can be instantiated at other sizes.
    Size {
        /// Element type of the result.
        dtype: DType,
        /// Axes of the operand, increasing.
        axes: Vec<usize>,
    },
    /// Elementwise, one operand.
    Unary(UnaryOp),
    /// Elementwise, two operands.
    Binary(BinaryOp),
    /// Elementwise comparison.
    Compare(CompareOp),
    /// `condition ? a : b`, elementwise; the derivative flows only through the branch taken.
    Select,
    /// Conversion by value: floats to integers truncate and saturate (NaN gives 0), anything to bool by `!= 0`.
    Cast(DType),
    /// The same value, opaque to a pass.
    Mark(MarkOp),
    /// The same elements elsewhere.
    Move(MoveOp),
    /// Reduction over axes, which increase.
    Reduce(ReduceOp, Vec<usize>),
    /// Softmax and its logarithm over axes together, which increase.
    Softmax(SoftmaxOp, Vec<usize>),
    /// Cross-entropy of logits and targets over axes together, which increase.
    CrossEntropy(CrossEntropyOp, Vec<usize>),
    /// Contraction: products summed over paired axes.
    Dot(DotAxes),
    /// Integer labels to rows of zeros with a one: the new last axis has `classes` positions. A label out of range
    /// gives a row of zeros.
    OneHot {
        /// Element type of the result.
        dtype: DType,
        /// Size of the new axis.
        classes: usize,
    },
    /// `table[b.., index[b.., i..], rest..]` with shape `[b.., i.., rest..]`, `batch` axes shared by both. An index
    /// out of range gives NaN (floats), 0 (integers) or false.
    Gather {
        /// Number of leading axes that table and indices share.
        batch: usize,
    },
    /// Adjoint of `gather`: operands are indices `[b.., i..]` and updates `[b.., i.., rest..]`; the result
    /// `[b.., size, rest..]` sums the updates of each index. Indices out of range are dropped.
    ScatterAdd {
        /// Number of leading axes shared.
        batch: usize,
        /// Size of the axis that is indexed.
        size: usize,
    },
    /// Adjoint of `window`: sums every position of every window to where it came from. The operand has the shape of a
    /// `window`'s result; the result has `length` positions along the windows' axes.
    Fold {
        /// The windows.
        windows: Windows,
        /// Size of each listed axis of the result.
        length: Vec<usize>,
    },
    /// Two numbers `i32[2]` made of a seed and a step, one `i32` each, for one stream: the key of `random`. The stream
    /// is part of the node's identity, so two streams never merge, and one stream is the same wherever it is read.
    RandomKey {
        /// Number of the stream.
        stream: u64,
    },
    /// Counter-based random numbers, each made of the key and the element's row-major number alone: all 32 bits for
    /// `i32`, uniform in `[0, 1)` in steps of 2^-24 for `f32` and 2^-53 for `f64`.
    Random {
        /// `i32`, `f32` or `f64`.
        dtype: DType,
        /// Shape of the result.
        shape: Shape,
    },
    /// One result of a sub-graph applied to the operands. Results of one application are nodes with equal operands.
    Call {
        /// What is applied.
        function: Arc<Function>,
        /// Which result.
        result: usize,
    },
    /// One result of a sub-graph applied step by step.
    Scan {
        /// What is applied, and how.
        scan: Scan,
        /// Which result: the last carried values, then the stacked ones.
        result: usize,
    },
    /// One result of one of two sub-graphs with the same inputs and outputs, chosen at run time by the first operand,
    /// one bool; the other operands are theirs.
    Cond {
        /// Applied when the first operand is true.
        then: Arc<Function>,
        /// Applied otherwise.
        otherwise: Arc<Function>,
        /// Which result.
        result: usize,
    },
    /// Derivative of the first operand, one float, with respect to the second; has the second's type. Resolved by
    /// differentiation, innermost first; nothing after it may hold one.
    Grad,
}

impl Op {
    /// Name in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "in",
            Op::State(_) => "state",
            Op::Const(..) => "const",
            Op::Data(_) => "data",
            Op::Iota { .. } => "iota",
            Op::Size { .. } => "size",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Compare(op) => op.name(),
            Op::Select => "select",
            Op::Cast(_) => "cast",
            Op::Mark(op) => op.name(),
            Op::Move(MoveOp::Reshape(_)) => "reshape",
            Op::Move(MoveOp::Transpose(_)) => "transpose",
            Op::Move(MoveOp::Broadcast { .. }) => "broadcast",
            Op::Move(MoveOp::Slice { .. }) => "slice",
            Op::Move(MoveOp::Pad { .. }) => "pad",
            Op::Move(MoveOp::Window(_)) => "window",
            Op::Reduce(op, _) => op.name(),
            Op::Softmax(op, _) => op.name(),
            Op::CrossEntropy(op, _) => op.name(),
            Op::Dot(_) => "dot",
            Op::OneHot { .. } => "one_hot",
            Op::Gather { .. } => "gather",
            Op::ScatterAdd { .. } => "scatter_add",
            Op::Fold { .. } => "fold",
            Op::RandomKey { .. } => "random_key",
            Op::Random { .. } => "random",
            Op::Call { .. } => "call",
            Op::Scan { .. } => "scan",
            Op::Cond { .. } => "cond",
            Op::Grad => "grad",
        }
    }

    /// Number of operands.
    pub fn arity(&self) -> usize {
        match self {
            Op::Input(_) | Op::State(_) | Op::Const(..) | Op::Data(_) | Op::Iota { .. } => 0,
            Op::Size { .. }
            | Op::Unary(_)
            | Op::Cast(_)
            | Op::Mark(_)
            | Op::Move(_)
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::OneHot { .. }
            | Op::Fold { .. }
            | Op::Random { .. } => 1,
            Op::Binary(_)
            | Op::Compare(_)
            | Op::CrossEntropy(..)
            | Op::Dot(_)
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::RandomKey { .. }
            | Op::Grad => 2,
            Op::Select => 3,
            Op::Call { function, .. } => function.graph().inputs().len(),
            Op::Scan { scan, .. } => scan.body.graph().inputs().len(),
            Op::Cond { then, .. } => 1 + then.graph().inputs().len(),
        }
    }

    /// Whether the op reads data or makes it from nothing: inputs, states, constants, iota.
    pub fn is_leaf(&self) -> bool {
        matches!(self, Op::Input(_) | Op::State(_) | Op::Const(..) | Op::Data(_) | Op::Iota { .. })
    }

    /// The sub-graphs that the op applies.
    pub fn functions(&self) -> Vec<&Arc<Function>> {
        match self {
            Op::Call { function, .. } => vec![function],
            Op::Scan { scan, .. } => vec![&scan.body],
            Op::Cond { then, otherwise, .. } => vec![then, otherwise],
            _ => vec![],
        }
    }

    /// Which of several results of an application the node is; `None` for ops that apply no sub-graph.
    pub fn result(&self) -> Option<usize> {
        match self {
            Op::Call { result, .. } | Op::Scan { result, .. } | Op::Cond { result, .. } => {
                Some(*result)
            }
            _ => None,
        }
    }

    /// The op of result number `which` of the same application; with `with_result(0)`, nodes of one application on
    /// equal operands are told to be so. Ops that apply no sub-graph stay as they are.
    pub fn with_result(&self, which: usize) -> Op {
        let mut op = self.clone();
        if let Op::Call { result, .. } | Op::Scan { result, .. } | Op::Cond { result, .. } = &mut op
        {
            *result = which;
        }
        op
    }
}
