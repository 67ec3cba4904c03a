//! What kernels are written with. Loop skeletons, bodies, folds and products know only these traits; a back end says
//! what a register is, how many lanes a vector has, and how each step becomes instructions.
//!
//! Nothing here lets a back end choose the order in which values are combined: the plan fixes it, so every back end
//! computes the same bits.

use eggrad_body::{BinaryInst, CompareInst, Lane, ShiftInst, UnaryInst};
use eggrad_ir::DType;

/// A position along a loop dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pos<R> {
    /// Known when compiling.
    Const(i64),
    /// The counter of a loop, or computed from counters.
    Dyn(R),
}

/// An address: a register plus bytes known when compiling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ptr<R> {
    pub(crate) base: R,
    pub(crate) bytes: i64,
}

impl<R> Ptr<R> {
    /// `bytes` further on.
    pub(crate) fn plus(self, bytes: i64) -> Ptr<R> {
        Ptr { base: self.base, bytes: self.bytes.wrapping_add(bytes) }
    }
}

/// How many lanes a value has, and how wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// 1 for scalar code.
    pub(crate) lanes: usize,
    /// Bytes of the widest lanes in vector code; lanes of half that width fill half a vector. Of no meaning in scalar
    /// code, where lanes of all widths mix.
    pub(crate) width: usize,
}

impl Shape {
    /// One lane.
    pub(crate) const SCALAR: Shape = Shape { lanes: 1, width: 0 };

    pub(crate) fn is_vector(self) -> bool {
        self.lanes > 1
    }
}

/// Elements side by side.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Type in memory.
    pub(crate) dtype: DType,
    /// Elements from one to the next.
    pub(crate) stride: usize,
    /// How many; lanes after them are of no meaning when loaded and not stored.
    pub(crate) lanes: usize,
}

impl Run {
    /// Bytes from the first element to element `j`.
    pub(crate) fn step(self, j: usize) -> i64 {
        (self.stride * self.dtype.bytes()).wrapping_mul(j) as i64
    }
}

/// Where a gather or a scattered addition may go.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    /// Number of positions.
    pub(crate) size: u32,
    /// Bytes from one to the next.
    pub(crate) bytes: i64,
}

/// What suits a processor: only speed depends on it.
pub(crate) struct Tuning {
    /// Bytes of a vector.
    pub(crate) vector_bytes: usize,
    /// Whether lanes of four and of eight bytes may mix in vector code.
    pub(crate) mixes: bool,
    /// Copies of a body that overlap in time, by the number of its instructions.
    pub(crate) copies: fn(usize) -> usize,
    /// Up to this many instructions, all copies counted, the virtual lanes of folds live in registers and the body is
    /// repeated for each vector of them; above, they live in memory.
    pub(crate) repeated: usize,
    /// Rows and vectors of tiles of products that registers can hold.
    pub(crate) tiles: &'static [(usize, usize)],
    /// Half cycles from one multiply-add to the next on the same accumulator.
    pub(crate) latency: usize,
    /// Rows of tiles, one vector wide, whose right operand is transposed in registers.
    pub(crate) transposed_rows: usize,
    /// Instructions of an epilogue that may be repeated for each vector of a tile; larger ones are written once, in a
    /// loop over the rows of the tile, which waits in memory.
    pub(crate) inline_epilogue: usize,
}

impl Tuning {
    /// Vectors of lanes of `width` bytes.
    pub(crate) fn vector(&self, width: usize) -> Shape {
        Shape { lanes: self.vector_bytes / width, width }
    }
}

/// A loop whose body is being written.
pub(crate) struct Loop<E: Loops + ?Sized> {
    /// None for a loop that runs once, which takes no code.
    pub(crate) frame: Option<E::Frame>,
    /// Where the loop stands.
    pub(crate) pos: Pos<E::Reg>,
    /// Values handed from one round to the next.
    pub(crate) carried: Vec<E::Reg>,
}

/// Positions and loops. Positions are 64-bit integers.
pub(crate) trait Loops {
    /// A value: lanes of a body, or a position.
    type Reg: Copy;
    /// What a back end must know to close a loop.
    type Frame;

    /// The position `c`.
    fn position(&mut self, c: i64) -> Self::Reg;
    /// `a + b`
    fn add(&mut self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a + c`
    fn add_const(&mut self, a: Self::Reg, c: i64) -> Self::Reg;
    /// `a · factor`
    fn times(&mut self, a: Self::Reg, factor: i64) -> Self::Reg;
    /// The smaller one.
    fn least(&mut self, a: Self::Reg, b: Self::Reg) -> Self::Reg;
    /// `a / by` where `0 <= a < below`, without its rest.
    fn divide(&mut self, a: Self::Reg, by: usize, below: usize) -> Self::Reg;
    /// The rest of `a / by` where `0 <= a < below`.
    fn remainder(&mut self, a: Self::Reg, by: usize, below: usize) -> Self::Reg;

    /// Opens a loop from `begin` by `step` to `end`, which runs at least once.
    fn open_counted(
        &mut self,
        begin: Self::Reg,
        end: Pos<Self::Reg>,
        step: i64,
        carried: &[Self::Reg],
    ) -> Loop<Self>;
    /// Opens a loop from `begin` by `step` while a whole step fits below `end`. Carries nothing.
    fn open_while(&mut self, begin: Self::Reg, end: Self::Reg, step: usize) -> Loop<Self>;
    /// Closes a loop that takes code; returns the carried values after it. `next` are those of the next round.
    fn close_frame(
        &mut self,
        frame: Self::Frame,
        lp: (Self::Reg, Vec<Self::Reg>),
        next: &[Self::Reg],
    ) -> Vec<Self::Reg>;

    /// Opens a loop over `0, step, 2·step ..` below `count`, which is not 0.
    fn open(&mut self, count: usize, step: usize, carried: &[Self::Reg]) -> Loop<Self> {
        if count <= step {
            return Loop { frame: None, pos: Pos::Const(0), carried: carried.to_vec() };
        }
        let begin = self.position(0);
        self.open_counted(begin, Pos::Const(count as i64), step as i64, carried)
    }

    /// Closes the loop; returns the carried values after it. `next` are those of the next round.
    fn close(&mut self, lp: Loop<Self>, next: &[Self::Reg]) -> Vec<Self::Reg> {
        match (lp.frame, lp.pos) {
            (None, _) => next.to_vec(),
            (Some(frame), Pos::Dyn(pos)) => self.close_frame(frame, (pos, lp.carried), next),
            (Some(_), Pos::Const(_)) => panic!("internal error: a loop without a counter"),
        }
    }

    /// The position in a register.
    fn pos(&mut self, pos: Pos<Self::Reg>) -> Self::Reg {
        match pos {
            Pos::Const(c) => self.position(c),
            Pos::Dyn(v) => v,
        }
    }

    /// The position `by` further on.
    fn pos_plus(&mut self, pos: Pos<Self::Reg>, by: i64) -> Pos<Self::Reg> {
        match pos {
            Pos::Const(c) => Pos::Const(c + by),
            Pos::Dyn(v) if by == 0 => Pos::Dyn(v),
            Pos::Dyn(v) => Pos::Dyn(self.add_const(v, by)),
        }
    }

    /// The sum of two positions.
    fn pos_add(&mut self, a: Pos<Self::Reg>, b: Pos<Self::Reg>) -> Pos<Self::Reg> {
        match (a, b) {
            (a, Pos::Const(b)) => self.pos_plus(a, b),
            (Pos::Const(a), b) => self.pos_plus(b, a),
            (Pos::Dyn(a), Pos::Dyn(b)) => Pos::Dyn(self.add(a, b)),
        }
    }

    /// The address `pos · bytes` further on.
    fn advance(&mut self, ptr: Ptr<Self::Reg>, pos: Pos<Self::Reg>, bytes: i64) -> Ptr<Self::Reg> {
        match pos {
            _ if bytes == 0 => ptr,
            Pos::Const(c) => ptr.plus(c.wrapping_mul(bytes)),
            Pos::Dyn(v) => {
                let by = self.times(v, bytes);
                Ptr { base: self.add(ptr.base, by), bytes: ptr.bytes }
            }
        }
    }
}

/// Loads and stores.
pub(crate) trait Memory: Loops {
    /// Address of the first byte behind argument `arg`.
    fn arg(&mut self, arg: usize) -> Ptr<Self::Reg>;
    /// Bytes on the stack.
    fn slot(&mut self, bytes: usize) -> Ptr<Self::Reg>;
    /// Loads elements into the lanes of a vector; in scalar code, one element. `u8` widens to 32 bits, `bool` to a mask.
    fn load_run(&mut self, shape: Shape, lane: Lane, ptr: Ptr<Self::Reg>, run: Run) -> Self::Reg;
    /// Stores lanes of a vector; in scalar code, one element. At stride 0 the last one stays. `u8` keeps the low byte.
    fn store_run(
        &mut self,
        shape: Shape,
        lane: Lane,
        value: Self::Reg,
        ptr: Ptr<Self::Reg>,
        run: Run,
    );
    /// The element at position `at` of `bound`, one lane of 64 bits; NaN or 0 outside. Scalar code.
    fn load_at(
        &mut self,
        element: (DType, Lane),
        ptr: Ptr<Self::Reg>,
        at: Self::Reg,
        bound: Bound,
    ) -> Self::Reg;
    /// Adds to the element at position `at` of `bound`, one lane of 64 bits, if it is inside. Scalar code.
    fn add_at(
        &mut self,
        element: (DType, Lane),
        value: Self::Reg,
        ptr: Ptr<Self::Reg>,
        at: Self::Reg,
        bound: Bound,
    );
    /// Says that the bytes around `ptr` will be wanted soon. Never faults, and may do nothing.
    fn prefetch(&mut self, ptr: Ptr<Self::Reg>);
    /// Loads the elements at four neighbouring addresses from each of `lanes` places `bytes` apart: the first elements
    /// of all places as one vector, then the second ones, and so on. Elements have the width of the shape, four bytes.
    fn load_transposed(
        &mut self,
        shape: Shape,
        lane: Lane,
        ptr: Ptr<Self::Reg>,
        bytes: i64,
        lanes: usize,
    ) -> [Self::Reg; 4];
    /// The reverse, for all lanes: stores the first lanes of `values` side by side at `ptr`, the second ones `bytes`
    /// further on, and so on.
    fn store_transposed(
        &mut self,
        shape: Shape,
        lane: Lane,
        values: [Self::Reg; 4],
        ptr: Ptr<Self::Reg>,
        bytes: i64,
    );
}

/// What happens to lanes. Shapes of operands and results are the same; see [`eggrad_body::Inst`] for meanings.
pub(crate) trait Lanes: Loops {
    /// The bit pattern `bits` in every lane.
    fn constant(&mut self, shape: Shape, lane: Lane, bits: u64) -> Self::Reg;
    /// A mask of the first `count` lanes.
    fn first_lanes(&mut self, shape: Shape, count: usize) -> Self::Reg;
    /// A scalar of `lane` in every lane.
    fn splat(&mut self, shape: Shape, lane: Lane, scalar: Self::Reg) -> Self::Reg;
    /// Lane `j` of a vector as a scalar.
    fn extract(&mut self, shape: Shape, lane: Lane, vector: Self::Reg, j: usize) -> Self::Reg;
    /// The vector whose first lanes are those of `vector` from `first` on; the others are of no meaning.
    fn lanes_from(
        &mut self,
        shape: Shape,
        lane: Lane,
        vector: Self::Reg,
        first: usize,
    ) -> Self::Reg;
    /// The position `at` as an integer, plus the number of the lane where `along`.
    fn index(&mut self, shape: Shape, lane: Lane, at: Self::Reg, along: bool) -> Self::Reg;
    /// One operand.
    fn unary(&mut self, shape: Shape, op: UnaryInst, lane: Lane, a: Self::Reg) -> Self::Reg;
    /// Two operands.
    fn binary(
        &mut self,
        shape: Shape,
        op: BinaryInst,
        lane: Lane,
        a: Self::Reg,
        b: Self::Reg,
    ) -> Self::Reg;
    /// `a · b + c`: rounded once where the processor can; integers wrap.
    fn multiply_add(
        &mut self,
        shape: Shape,
        lane: Lane,
        a: Self::Reg,
        b: Self::Reg,
        c: Self::Reg,
    ) -> Self::Reg;
    /// Shift by a constant.
    fn shift(&mut self, shape: Shape, op: ShiftInst, lane: Lane, a: Self::Reg, by: u8)
    -> Self::Reg;
    /// Makes a mask.
    fn compare(
        &mut self,
        shape: Shape,
        op: CompareInst,
        lane: Lane,
        a: Self::Reg,
        b: Self::Reg,
    ) -> Self::Reg;
    /// `mask ? a : b`, moving bits.
    fn select(
        &mut self,
        shape: Shape,
        lane: Lane,
        mask: Self::Reg,
        a: Self::Reg,
        b: Self::Reg,
    ) -> Self::Reg;
    /// Conversion by value.
    fn convert(&mut self, shape: Shape, from: Lane, to: Lane, a: Self::Reg) -> Self::Reg;
    /// The same bits as lanes of the other type of their width.
    fn bitcast(&mut self, shape: Shape, to: Lane, a: Self::Reg) -> Self::Reg;
    /// The larger (or smaller) of two floats, NaN on either side winning: a fold's step, see
    /// [`eggrad_schedule::FoldOp`].
    fn extreme(
        &mut self,
        shape: Shape,
        largest: bool,
        lane: Lane,
        acc: Self::Reg,
        x: Self::Reg,
    ) -> Self::Reg;
}

/// A back end.
pub(crate) trait Emitter: Memory + Lanes {
    /// What suits the processor.
    fn tuning(&self) -> &'static Tuning;
}

#[cold]
pub(crate) fn ill_typed(what: impl std::fmt::Debug) -> ! {
    panic!("internal error: {what:?} on a lane that `Body::push` refuses")
}
