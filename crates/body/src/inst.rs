//! The instructions of a body and the body itself: straight-line SSA, one value per instruction.

use std::collections::HashMap;
use std::fmt;

/// What one lane of a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 32-bit integer; memory of type `u8` and `bool` is widened to it.
    I32,
    /// 64-bit integer.
    I64,
    /// True or false; how it is represented is the back end's choice.
    Mask,
}

impl Lane {
    /// Bytes of one lane; a mask takes the width of what it was compared from, so it has none of its own.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Lane::F32 | Lane::I32 => Some(4),
            Lane::F64 | Lane::I64 => Some(8),
            Lane::Mask => None,
        }
    }

    /// Whether lanes are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Lane::F32 | Lane::F64)
    }

    /// Whether lanes are integers.
    pub fn is_int(self) -> bool {
        matches!(self, Lane::I32 | Lane::I64)
    }

    /// The other lane of the same width: float to integer and back.
    pub fn bits_lane(self) -> Lane {
        match self {
            Lane::F32 => Lane::I32,
            Lane::I32 => Lane::F32,
            Lane::F64 => Lane::I64,
            Lane::I64 => Lane::F64,
            Lane::Mask => Lane::Mask,
        }
    }
}

/// A value of a body: the number of the instruction that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

impl Value {
    /// Position of the instruction in [`Body::insts`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Arithmetic on one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryInst {
    /// Flips the sign bit of a float (also of NaN and 0); negates an integer, wrapping.
    Neg,
    /// Clears the sign bit of a float; absolute value of an integer, wrapping.
    Abs,
    /// Correctly rounded square root of a float.
    Sqrt,
    /// Largest whole float not above; a result of zero has the sign of the operand.
    Floor,
    /// Smallest whole float not below; a result of zero has the sign of the operand.
    Ceil,
    /// Nearest whole float, ties to even; a result of zero has the sign of the operand.
    Round,
    /// Logical not of a mask.
    Not,
}

/// Arithmetic on two operands of one lane type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryInst {
    /// Sum; integers wrap.
    Add,
    /// Difference; integers wrap.
    Sub,
    /// Product; integers wrap.
    Mul,
    /// Quotient of floats.
    Div,
    /// `if a < b { a } else { b }`: a NaN in either operand gives `b`.
    Min,
    /// `if a > b { a } else { b }`: a NaN in either operand gives `b`.
    Max,
    /// Bitwise (integers) or logical (masks) and.
    And,
    /// Bitwise (integers) or logical (masks) or.
    Or,
    /// Bitwise (integers) or logical (masks) exclusive or.
    Xor,
}

/// Shift of integer lanes by a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShiftInst {
    /// Left.
    Shl,
    /// Right, filling with zeros.
    Shr,
    /// Right, filling with the sign.
    Sar,
}

/// Comparison of two operands of one lane type; ordered (false on NaN) but for `Ne`, which is true on NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareInst {
    /// `a == b`
    Eq,
    /// `a != b`
    Ne,
    /// `a < b`
    Lt,
    /// `a <= b`
    Le,
    /// `a > b`
    Gt,
    /// `a >= b`
    Ge,
}

/// One instruction. Operands are earlier values of the same body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// The element of access `access` at the current loop position.
    Load {
        /// Which access of the kernel.
        access: u16,
        /// Lane type of the loaded element.
        lane: Lane,
    },
    /// The element of access `access` moved by `index · stride` elements from the current loop position,
    /// if `0 <= index < size`; else NaN (floats) or 0 (integers, masks). Scalar code only.
    LoadAt {
        /// Which access of the kernel.
        access: u16,
        /// Lane type of the loaded element.
        lane: Lane,
        /// Integer lane: position along the gathered dimension.
        index: Value,
        /// Number of positions along the gathered dimension.
        size: u32,
        /// Elements between neighbouring positions.
        stride: u32,
    },
    /// Result `index` of an earlier phase of the kernel: one number for the whole row.
    Scalar {
        /// Which result.
        index: u16,
        /// Its lane type.
        lane: Lane,
    },
    /// Position along loop dimension `dim`, as an integer lane.
    Index {
        /// Which loop dimension, outermost first; the row is the last.
        dim: u16,
        /// `I32` or `I64`.
        lane: Lane,
    },
    /// The same bits in every lane.
    Const {
        /// Bit pattern, zero-extended; 0 or 1 for a mask.
        bits: u64,
        /// Lane type.
        lane: Lane,
    },
    /// One operand.
    Unary(UnaryInst, Value),
    /// Two operands.
    Binary(BinaryInst, Value, Value),
    /// `a · b + c` rounded once, floats only.
    Fma(Value, Value, Value),
    /// Integer shift by a constant smaller than the lane's width.
    Shift(ShiftInst, Value, u8),
    /// Comparison; makes a mask.
    Compare(CompareInst, Value, Value),
    /// `mask ? a : b`; moves bits, does no arithmetic.
    Select(Value, Value, Value),
    /// Conversion by value: integer to float rounds to nearest, float to integer truncates and saturates
    /// (NaN gives 0), a mask becomes 0 or 1, an integer or float becomes a mask by `!= 0`.
    Convert(Lane, Value),
    /// The same bits as the other lane type of the same width.
    Bitcast(Value),
}

/// Straight-line code over lanes: what a kernel does at one position of its loops.
///
/// Equal instructions are shared, so pushing the same expression twice costs nothing.
#[derive(Clone, Default)]
pub struct Body {
    insts: Vec<Inst>,
    lanes: Vec<Lane>,
    known: HashMap<Inst, Value>,
}

impl Body {
    /// An empty body.
    pub fn new() -> Body {
        Body::default()
    }

    /// All instructions, operands before users.
    pub fn insts(&self) -> &[Inst] {
        &self.insts
    }

    /// Lane type of a value.
    pub fn lane(&self, value: Value) -> Lane {
        self.lanes[value.index()]
    }

    /// Appends `inst`, or finds the equal one made before.
    ///
    /// # Panics
    /// When operands are missing or their lane types do not fit: a bug of the caller, not of the user.
    pub fn push(&mut self, inst: Inst) -> Value {
        if let Some(&value) = self.known.get(&inst) {
            return value;
        }
        let lane = match self.infer(inst) {
            Some(lane) => lane,
            None => panic!("internal error: ill-typed instruction {inst:?} in body:\n{self:?}"),
        };
        let value = Value(self.insts.len() as u32);
        self.insts.push(inst);
        self.lanes.push(lane);
        self.known.insert(inst, value);
        value
    }

    fn infer(&self, inst: Inst) -> Option<Lane> {
        let lane = |v: Value| self.lanes.get(v.index()).copied();
        match inst {
            Inst::Load { lane, .. } | Inst::Scalar { lane, .. } => Some(lane),
            Inst::LoadAt { lane: l, index, .. } => lane(index)?.is_int().then_some(l),
            Inst::Index { lane, .. } => lane.is_int().then_some(lane),
            Inst::Const { lane, .. } => Some(lane),
            Inst::Unary(op, a) => {
                let a = lane(a)?;
                let fits = match op {
                    UnaryInst::Neg | UnaryInst::Abs => a != Lane::Mask,
                    UnaryInst::Sqrt | UnaryInst::Floor | UnaryInst::Ceil | UnaryInst::Round => {
                        a.is_float()
                    }
                    UnaryInst::Not => a == Lane::Mask,
                };
                fits.then_some(a)
            }
            Inst::Binary(op, a, b) => {
                let (a, b) = (lane(a)?, lane(b)?);
                let fits = match op {
                    BinaryInst::Add | BinaryInst::Sub | BinaryInst::Mul => a != Lane::Mask,
                    BinaryInst::Div => a.is_float(),
                    BinaryInst::Min | BinaryInst::Max => a != Lane::Mask,
                    BinaryInst::And | BinaryInst::Or | BinaryInst::Xor => !a.is_float(),
                };
                (fits && a == b).then_some(a)
            }
            Inst::Fma(a, b, c) => {
                let (a, b, c) = (lane(a)?, lane(b)?, lane(c)?);
                (a.is_float() && a == b && b == c).then_some(a)
            }
            Inst::Shift(_, a, by) => {
                let a = lane(a)?;
                (a.is_int() && usize::from(by) < 8 * a.bytes()?).then_some(a)
            }
            Inst::Compare(_, a, b) => {
                let (a, b) = (lane(a)?, lane(b)?);
                (a == b && a != Lane::Mask).then_some(Lane::Mask)
            }
            Inst::Select(mask, a, b) => {
                let (m, a, b) = (lane(mask)?, lane(a)?, lane(b)?);
                (m == Lane::Mask && a == b).then_some(a)
            }
            Inst::Convert(to, a) => lane(a).map(|_| to),
            Inst::Bitcast(a) => Some(lane(a)?.bits_lane()),
        }
    }
}

impl Inst {
    /// Operands, in order.
    pub fn operands(&self) -> impl Iterator<Item = Value> + use<> {
        let list = match *self {
            Inst::Load { .. } | Inst::Scalar { .. } | Inst::Index { .. } | Inst::Const { .. } => {
                [None, None, None]
            }
            Inst::LoadAt { index, .. } => [Some(index), None, None],
            Inst::Unary(_, a) | Inst::Shift(_, a, _) | Inst::Convert(_, a) | Inst::Bitcast(a) => {
                [Some(a), None, None]
            }
            Inst::Binary(_, a, b) | Inst::Compare(_, a, b) => [Some(a), Some(b), None],
            Inst::Fma(a, b, c) | Inst::Select(a, b, c) => [Some(a), Some(b), Some(c)],
        };
        list.into_iter().flatten()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        self.insts == other.insts
    }
}

impl Eq for Body {}

impl std::hash::Hash for Body {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.insts.hash(state);
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::F32 => "f32",
            Lane::F64 => "f64",
            Lane::I32 => "i32",
            Lane::I64 => "i64",
            Lane::Mask => "mask",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// One line per instruction: `v3: f32 = fma v0 v1 v2`.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, inst) in self.insts.iter().enumerate() {
            writeln!(f, "  v{i}: {} = {inst}", self.lanes[i])?;
        }
        Ok(())
    }
}

impl fmt::Display for Inst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Inst::Load { access, .. } => write!(f, "load a{access}"),
            Inst::LoadAt { access, index, size, stride, .. } => {
                write!(f, "load a{access} at {index} of {size} by {stride}")
            }
            Inst::Scalar { index, .. } => write!(f, "scalar s{index}"),
            Inst::Index { dim, .. } => write!(f, "index {dim}"),
            Inst::Const { bits, lane } => match lane {
                Lane::F32 => write!(f, "const {:?}", f32::from_bits(bits as u32)),
                Lane::F64 => write!(f, "const {:?}", f64::from_bits(bits)),
                Lane::I32 => write!(f, "const {}", bits as u32 as i32),
                Lane::I64 => write!(f, "const {}", bits as i64),
                Lane::Mask => write!(f, "const {}", bits != 0),
            },
            Inst::Unary(op, a) => write!(f, "{} {a}", lower(op)),
            Inst::Binary(op, a, b) => write!(f, "{} {a} {b}", lower(op)),
            Inst::Fma(a, b, c) => write!(f, "fma {a} {b} {c}"),
            Inst::Shift(op, a, by) => write!(f, "{} {a} {by}", lower(op)),
            Inst::Compare(op, a, b) => write!(f, "{} {a} {b}", lower(op)),
            Inst::Select(m, a, b) => write!(f, "select {m} {a} {b}"),
            Inst::Convert(to, a) => write!(f, "convert {a} to {to}"),
            Inst::Bitcast(a) => write!(f, "bitcast {a}"),
        }
    }
}

fn lower(op: impl fmt::Debug) -> String {
    format!("{op:?}").to_lowercase()
}
