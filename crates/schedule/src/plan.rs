//! The plan: kernels over buffers, as plain data. Whatever is not written here is the back end's choice and changes
//! no bit of the result.

use eggrad_body::{Body, Value};
use eggrad_ir::{DType, NodeId, Part};
use std::sync::Arc;

/// Bytes to which every buffer of the arena is aligned and padded.
pub const ALIGN: usize = 64;

/// Bytes that no memory has, far below overflow of byte addresses: larger arenas are as good as infinite.
pub const MAX_BYTES: usize = 1 << 46;

/// Virtual lanes of a fold along a row. Element `i` of a row is accumulated into lane `i % FOLD_LANES`, in order;
/// then lanes are combined pairwise: lane `j` with lane `j + width/2`, for `width` 32, 16, 8, 4, 2.
pub const FOLD_LANES: usize = 32;

/// Rows that a column kernel accumulates before it adds the block's result to the total.
pub const COLUMN_BLOCK: usize = 128;

/// Where a buffer's bytes live.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// The caller's array for this input, read only.
    Input(usize),
    /// The caller's array for this output.
    Output(usize),
    /// The store's array for this state.
    State(usize),
    /// This many bytes into the arena.
    Arena(usize),
    /// Bytes that come with the plan, read only, little-endian.
    Constant(Arc<[u8]>),
}

/// A dense row-major array.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// For people: name of the input, state or output, or the node that it holds.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Number of elements.
    pub elements: usize,
    /// Where it lives.
    pub place: Place,
}

impl Buffer {
    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        self.elements * self.dtype.bytes()
    }
}

/// How a kernel walks over one buffer: element `offset + sum(position[d] * strides[d])`, one stride for each loop
/// dimension of the kernel, outermost first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Which of the kernel's arguments.
    pub arg: usize,
    /// Element type in memory. `u8` and `bool` load as `I32` and `Mask` lanes and are stored as bytes.
    pub dtype: DType,
    /// First element.
    pub offset: usize,
    /// Elements between neighbours along each loop dimension; 0 repeats the element.
    pub strides: Vec<usize>,
}

/// How values are combined along a row or down a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoldOp {
    /// `acc + x`, from 0.
    Sum,
    /// `acc * x`, from 1.
    Prod,
    /// `acc > x ? acc : x`, NaN winning: `select(x is NaN, x, select(acc > x or acc is NaN, acc, x))`; from the
    /// least value of the type.
    Max,
    /// As `Max`, mirrored; from the greatest value of the type.
    Min,
}

/// A fold of one value of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    /// How.
    pub op: FoldOp,
    /// What: a value of the body it stands beside.
    pub value: Value,
}

/// A value written to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// Which access of the kernel.
    pub access: usize,
    /// Which value of the body it stands beside.
    pub value: Value,
    /// Adds to `element + index · stride` instead of overwriting the element at the loop position. Scalar code,
    /// and only in kernels that are not split.
    pub add_at: Option<AddAt>,
}

/// Where a scattered addition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddAt {
    /// Integer value: position along the scattered dimension; dropped unless `0 <= index < size`.
    pub index: Value,
    /// Number of positions.
    pub size: u32,
    /// Elements between neighbouring positions.
    pub stride: u32,
}

/// One walk along a row, or one computation beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Runs `body` at every position of the row. Each fold's result becomes the next row scalar. Stores happen at
    /// each position, in order.
    Pass {
        /// Straight-line code at one position.
        body: Body,
        /// What is combined along the row.
        folds: Vec<Fold>,
        /// What is written.
        stores: Vec<Store>,
    },
    /// Runs `body` once per row, at row position 0. Each result becomes the next row scalar.
    Scalar {
        /// Straight-line code, run on one lane.
        body: Body,
        /// Values handed to later phases.
        results: Vec<Value>,
        /// What is written, once per row.
        stores: Vec<Store>,
    },
}

/// Loops around rows. A map is a single pass; a reduction is a pass with folds and a scalar phase that stores;
/// softmax, layer norm and losses have several passes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKernel {
    /// Sizes of the loops around the row, outermost first; the outermost may be split between threads.
    pub outer: Vec<usize>,
    /// Positions of a row.
    pub row: usize,
    /// What is read and written; strides for each outer loop, then the row.
    pub accesses: Vec<Access>,
    /// What happens to a row, in order.
    pub phases: Vec<Phase>,
}

/// Reduction over loops that lie outside the innermost one: each position of `row` has its own accumulator, and
/// blocks of [`COLUMN_BLOCK`] steps of the (flattened) reduced loops are accumulated one by one and then added to
/// the total.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnKernel {
    /// Sizes of the loops around everything, outermost first.
    pub outer: Vec<usize>,
    /// Sizes of the reduced loops, outermost first.
    pub reduced: Vec<usize>,
    /// Positions of the innermost loop, each with its own result.
    pub row: usize,
    /// What is read and written; strides for each outer loop, each reduced loop, then the row. Accesses of the
    /// epilogue have stride 0 along reduced loops.
    pub accesses: Vec<Access>,
    /// Straight-line code at one position.
    pub body: Body,
    /// What is combined.
    pub folds: Vec<Fold>,
    /// Runs once per position of `outer` and `row`; `Scalar` instructions are the folds' results, by number.
    pub epilogue: Body,
    /// What is written.
    pub stores: Vec<Store>,
}

/// Matrix product with an epilogue: for each position of `batch`, `m` and `n`, an accumulator starts at 0 and takes
/// `acc = fma(a, b, acc)` (floats; integers multiply and add) for the positions of `k` in order, the last loop fastest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProductKernel {
    /// Sizes of the batch loops, outermost first.
    pub batch: Vec<usize>,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Lengths of the sums: loops, at least one, outermost first. Windows are read where they lie with one for each of
    /// their axes.
    pub k: Vec<usize>,
    /// Left operand: strides for each batch loop, then `m`, `n` (0), each of `k`.
    pub a: Access,
    /// Right operand: strides for each batch loop, then `m` (0), `n`, each of `k`; that of `n` or of the last of `k` is 1.
    pub b: Access,
    /// What the epilogue reads and writes; strides for each batch loop, then `m`, `n`, each of `k` (0).
    pub accesses: Vec<Access>,
    /// Runs once per element of the result; `Scalar 0` is the accumulator.
    pub epilogue: Body,
    /// What is written.
    pub stores: Vec<Store>,
}

/// Where a result of a nested plan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this argument of the kernel.
    Arg(usize),
    /// Nobody reads it: this many bytes into the scratch argument.
    Scratch(usize),
}

/// Runs a plan once for each position of a leading axis, in order.
///
/// Inputs of the plan are the carried values, then one position of each of the `xs`, then constants; its outputs are the
/// next carried values, then one position of each stacked result. The carried values of the first step are the
/// operands; those of the last step go to the results. Between steps they lie, in turns that end with the result, in
/// the result and in a spare copy, so that a step never writes what it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopKernel {
    /// One step; without states and guard.
    pub body: Arc<Plan>,
    /// Number of carried values.
    pub carries: usize,
    /// Number of operands read position by position.
    pub xs: usize,
    /// Number of steps, at least one.
    pub length: usize,
    /// Whether steps run from the last position to the first.
    pub reverse: bool,
    /// Argument for each input of the plan.
    pub operands: Vec<usize>,
    /// For each output of the plan. A stacked result that nobody reads has room for one position.
    pub results: Vec<Target>,
    /// For each carried value, where its spare copy lies: bytes into the scratch argument.
    pub spare: Vec<usize>,
    /// Argument that begins with the plan's arena; none when it would have no bytes.
    pub scratch: Option<usize>,
}

/// Runs one of two plans with the same inputs and outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchKernel {
    /// Run when the choice is true; without states and guard.
    pub then: Arc<Plan>,
    /// Run otherwise; without states and guard.
    pub otherwise: Arc<Plan>,
    /// Argument that chooses: one bool.
    pub choice: usize,
    /// Argument for each input of the plans.
    pub operands: Vec<usize>,
    /// For each output of the plans.
    pub results: Vec<Target>,
    /// Argument that begins with the plans' arena; none when it would have no bytes.
    pub scratch: Option<usize>,
}

/// The loops of a kernel and what they do.
#[derive(Clone, Debug, PartialEq)]
pub enum KernelKind {
    /// Maps, reductions along rows, softmax and its kin.
    Row(RowKernel),
    /// Reductions down columns.
    Column(ColumnKernel),
    /// Matrix products.
    Product(ProductKernel),
    /// A nested plan, step by step.
    Loop(LoopKernel),
    /// One of two nested plans.
    Branch(BranchKernel),
}

impl KernelKind {
    /// The plans that the kernel runs.
    pub fn nested(&self) -> Vec<&Arc<Plan>> {
        match self {
            KernelKind::Row(_) | KernelKind::Column(_) | KernelKind::Product(_) => vec![],
            KernelKind::Loop(k) => vec![&k.body],
            KernelKind::Branch(k) => vec![&k.then, &k.otherwise],
        }
    }
}

/// One function of machine code, or a nested plan, and what it is called with.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// For people: what it computes, such as `dot+add+relu`.
    pub name: String,
    /// What it does.
    pub kind: KernelKind,
    /// Number of the buffer behind each argument.
    pub args: Vec<usize>,
    /// Nodes of the graph that it computes, for pictures and reports.
    pub nodes: Vec<NodeId>,
    /// Which part of a train step it belongs to.
    pub part: Part,
    /// Whether the outermost loop may be split between threads; false for scattered additions.
    pub splittable: bool,
}

/// The value that must be finite before any state is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Number of kernels that run before the check; none of them writes a state.
    pub after: usize,
    /// Buffer that holds it: one float.
    pub buffer: usize,
}

/// An input or output of the compiled graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Its name in the graph.
    pub name: String,
    /// Its type.
    pub ty: eggrad_ir::TensorType,
    /// Its buffer.
    pub buffer: usize,
    /// Inputs only: interval that every element must lie in, checked for integers before a run.
    pub range: Option<(f64, f64)>,
}

/// A state of the compiled graph.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSlot {
    /// Its path.
    pub name: String,
    /// What it is for.
    pub kind: eggrad_ir::StateKind,
    /// Its type.
    pub ty: eggrad_ir::TensorType,
    /// Its buffer, read and updated in place.
    pub buffer: usize,
    /// Whether a run changes it.
    pub written: bool,
}

/// Kernels in order, over buffers in one arena and in the caller's arrays.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Plan {
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// All kernels, in the order they run.
    pub kernels: Vec<Kernel>,
    /// Number of leading kernels whose results depend on frozen states and constants alone, in a loop's step on the
    /// loop's constants. A run may leave them out when they have run on the same arena and these states have not changed
    /// since; a loop runs them in its first step.
    pub setup: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Inputs, in the graph's order.
    pub inputs: Vec<Slot>,
    /// Outputs, in the graph's order. An output that is an input, a state or another output has a copy kernel.
    pub outputs: Vec<Slot>,
    /// States, in the graph's order.
    pub states: Vec<StateSlot>,
    /// What is checked before states are written.
    pub guard: Option<Guard>,
}

impl Plan {
    /// The plans that kernels of this one run, at any depth, each once, before those that run them.
    pub fn nested(&self) -> Vec<&Arc<Plan>> {
        let mut found = vec![];
        add_nested(&self.kernels, &mut found);
        found
    }

    /// Kernels of this plan and of nested ones, however often those run; without those of the setup.
    pub fn kernel_count(&self) -> usize {
        let mut nested = vec![];
        let kernels = &self.kernels[self.setup..];
        add_nested(kernels, &mut nested);
        kernels.len() + nested.iter().map(|plan| plan.kernels.len()).sum::<usize>()
    }
}

/// Appends the plans that `kernels` run, at any depth, each once, before those that run them.
fn add_nested<'p>(kernels: &'p [Kernel], found: &mut Vec<&'p Arc<Plan>>) {
    for plan in kernels.iter().flat_map(|k| k.kind.nested()) {
        if !found.iter().any(|known| Arc::ptr_eq(known, plan)) {
            add_nested(&plan.kernels, found);
            found.push(plan);
        }
    }
}
