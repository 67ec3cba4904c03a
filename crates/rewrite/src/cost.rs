//! What a node costs: the interface to whoever knows the machine, and a table for when nobody does.

use crate::build::facts;
use crate::facts::{Data, Egraph};
use crate::language::{Head, Term};
use eggrad_ir::{BinaryOp, CrossEntropyOp, DType, MoveOp, Op, ReduceOp, UnaryOp};

/// Kinds of work, by how machines do them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OpClass {
    /// Nothing happens at run time: leaves, constants, sizes, other names.
    Free,
    /// A view or a copy: `broadcast`, `transpose`, `reshape`, `slice`, `pad`.
    Move,
    /// Elementwise, an instruction or two per element.
    Arithmetic,
    /// Elementwise quotients and roots.
    Division,
    /// Elementwise with a polynomial: `exp`, `log`, `tanh`.
    Transcendental,
    /// A reduction.
    Reduction,
    /// Rows with an exponential for each element: `softmax`, `logsumexp`, `cross_entropy`.
    Rows,
    /// A contraction.
    Contraction,
    /// Reads or writes at places that data decides.
    Indexed,
}

/// One node's work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// What is done.
    pub class: OpClass,
    /// Element type of the result.
    pub dtype: DType,
    /// Elements of all operands together.
    pub read: f64,
    /// Elements of the result.
    pub written: f64,
    /// How often the innermost operation runs: multiply-adds of a contraction, elements of everything else.
    pub steps: f64,
}

/// Estimates of run time by which extraction chooses.
pub trait Cost {
    /// Nanoseconds that the work takes within a graph, where elementwise work is fused with its neighbours. Finite
    /// and not negative.
    fn nanoseconds(&self, work: &Work) -> f64;

    /// Whether danger is looked at before time. Not where a formula is chosen to be read and not to be run.
    fn fears_danger(&self) -> bool {
        true
    }
}

/// Costs of one core with 256-bit vectors: per class, nanoseconds per step, per element read or written, and per
/// kernel started.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableCost;

impl Cost for TableCost {
    fn nanoseconds(&self, work: &Work) -> f64 {
        let (step, element, kernel) = match work.class {
            OpClass::Free => (0.0, 0.0, 0.0),
            OpClass::Move => (0.02, 0.0, 0.0),
            OpClass::Arithmetic => (0.05, 0.0, 1.0),
            OpClass::Division => (0.2, 0.0, 1.0),
            OpClass::Transcendental => (0.6, 0.0, 1.0),
            OpClass::Reduction => (0.05, 0.05, 100.0),
            OpClass::Rows => (0.7, 0.05, 150.0),
            OpClass::Contraction => (0.02, 0.05, 100.0),
            OpClass::Indexed => (1.0, 0.05, 100.0),
        };
        let wide = if work.dtype.bytes() == 8 { 2.0 } else { 1.0 };
        kernel + wide * (step * work.steps + element * (work.read + work.written))
    }
}

/// The class of a unary op's work.
fn unary_class(op: UnaryOp) -> OpClass {
    match op {
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Square
        | UnaryOp::Relu
        | UnaryOp::Floor
        | UnaryOp::Ceil
        | UnaryOp::Round
        | UnaryOp::Not => OpClass::Arithmetic,
        UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Recip => OpClass::Division,
        UnaryOp::Exp
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
        | UnaryOp::Softplus => OpClass::Transcendental,
    }
}

fn binary_class(op: BinaryOp) -> OpClass {
    match op {
        BinaryOp::Div | BinaryOp::Mod => OpClass::Division,
        BinaryOp::Pow | BinaryOp::Atan2 | BinaryOp::LogAddExp | BinaryOp::Xlogy => {
            OpClass::Transcendental
        }
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Maximum
        | BinaryOp::Minimum
        | BinaryOp::And
        | BinaryOp::Or => OpClass::Arithmetic,
    }
}

/// The class of a positional op's work.
fn opaque_class(op: &Op) -> OpClass {
    match op {
        Op::Input(_) | Op::State(_) | Op::Const(..) | Op::Data(_) | Op::Size { .. } => {
            OpClass::Free
        }
        Op::Move(
            MoveOp::Reshape(_)
            | MoveOp::Transpose(_)
            | MoveOp::Broadcast { .. }
            | MoveOp::Slice { .. }
            | MoveOp::Pad { .. }
            | MoveOp::Window(_),
        )
        | Op::Mark(_) => OpClass::Move,
        Op::Unary(op) => unary_class(*op),
        Op::Binary(op) => binary_class(*op),
        Op::Iota { .. } | Op::Compare(_) | Op::Select | Op::Cast(_) | Op::OneHot { .. } => {
            OpClass::Arithmetic
        }
        Op::RandomKey { .. } => OpClass::Arithmetic,
        // Twenty rounds of a few instructions for every element.
        Op::Random { .. } => OpClass::Transcendental,
        Op::Fold { .. } => OpClass::Reduction,
        // Priced by their sub-graphs.
        Op::Call { .. } | Op::Scan { .. } | Op::Cond { .. } => OpClass::Free,
        Op::Reduce(op, _) => reduce_class(*op),
        Op::Softmax(..) | Op::CrossEntropy(..) => OpClass::Rows,
        Op::Dot(_) => OpClass::Contraction,
        Op::Gather { .. } | Op::ScatterAdd { .. } | Op::Grad => OpClass::Indexed,
    }
}

fn reduce_class(op: ReduceOp) -> OpClass {
    match op {
        ReduceOp::LogSumExp => OpClass::Rows,
        ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Max | ReduceOp::Min => OpClass::Reduction,
    }
}

/// Nanoseconds of a term in `class`; of an application of sub-graphs, each result pays its part.
pub(crate) fn nanoseconds(egraph: &Egraph, cost: &dyn Cost, term: &Term, class: egg::Id) -> f64 {
    if let Head::Opaque(number) = term.head {
        let context = &egraph.analysis;
        let applied = context.domains.nanoseconds(&context.opaque[number as usize].op);
        if let Some(time) = applied {
            return time;
        }
    }
    // What is made of frozen states alone is computed when they are loaded.
    if facts(egraph, class).frozen {
        return 0.0;
    }
    cost.nanoseconds(&work(egraph, term, class))
}

/// The work of a term whose value has the facts of class `class`.
fn work(egraph: &Egraph, term: &Term, class: egg::Id) -> Work {
    let sizes = &egraph.analysis.sizes;
    let result = facts(egraph, class);
    let written = result.axes.elements(sizes);
    let (mut read, mut all) = (0.0, result.axes.clone());
    for &arg in &term.args {
        if let Data::Tensor(x) = &egraph[arg].data {
            read += x.axes.elements(sizes);
            all = all.union(&x.axes);
        }
    }
    let class = match &term.head {
        Head::Axes(_)
        | Head::Renaming(_)
        | Head::Type(_)
        | Head::Const(..)
        | Head::Rename
        | Head::Size => OpClass::Free,
        Head::Expand | Head::Mark(_) => OpClass::Move,
        Head::Unary(op) => unary_class(*op),
        Head::Binary(op) => binary_class(*op),
        Head::Compare(_) | Head::Select | Head::Cast | Head::OneHot | Head::Iota => {
            OpClass::Arithmetic
        }
        Head::Reduce(op) => reduce_class(*op),
        Head::Softmax(_) => OpClass::Rows,
        Head::CrossEntropy(CrossEntropyOp::Value | CrossEntropyOp::Residual) => OpClass::Rows,
        Head::Dot => OpClass::Contraction,
        Head::Gather | Head::ScatterAdd => OpClass::Indexed,
        Head::Opaque(number) => opaque_class(&egraph.analysis.opaque[*number as usize].op),
    };
    let opaque = match &term.head {
        Head::Opaque(number) => Some(&egraph.analysis.opaque[*number as usize].op),
        _ => None,
    };
    let steps = match class {
        OpClass::Indexed | OpClass::Move => written,
        // What these read lines up with nothing that they write.
        _ if matches!(opaque, Some(Op::Fold { .. })) => read,
        _ if matches!(opaque, Some(Op::Random { .. })) => written,
        OpClass::Free
        | OpClass::Arithmetic
        | OpClass::Division
        | OpClass::Transcendental
        | OpClass::Reduction
        | OpClass::Rows
        | OpClass::Contraction => all.elements(sizes),
    };
    Work { class, dtype: result.dtype, read, written, steps }
}
