//! Machine code before registers are assigned: instructions over virtual registers, and loops.
//!
//! A virtual register is written once, except for what loops carry: a counter or carried value is written before the
//! loop and at its end.

use eggrad_body::Lane;
use std::collections::HashMap;

/// A virtual register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reg(pub(super) u32);

impl Reg {
    /// No register.
    pub(super) const NONE: Reg = Reg(u32::MAX);
    /// Address of the table of constants.
    pub(super) const TABLE: Reg = Reg(0);
    /// Address of the arguments.
    pub(super) const ARGS: Reg = Reg(1);
    /// Address of the frame.
    pub(super) const FRAME: Reg = Reg(2);
    /// Where the outermost loop begins.
    pub(super) const BEGIN: Reg = Reg(3);
    /// Where it ends.
    pub(super) const END: Reg = Reg(4);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which registers of the processor can hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    General,
    Vector,
    Mask,
}

/// Where a value is found again when it has no register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Where it is saved.
    Nowhere,
    /// So many bytes into the table; repeated in every lane of so many bytes, or whole if 0.
    Table { at: i32, splat: u8 },
    /// So many bytes into the arguments.
    Argument(i32),
}

/// What is known of a virtual register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info {
    pub(super) class: Class,
    pub(super) home: Home,
    /// Number of loops around the place where it is first written.
    pub(super) depth: u32,
    /// The bits in every lane, of constants.
    pub(super) bits: Option<u64>,
    /// The sum that it is, and the loop in which that was computed.
    pub(super) sum: Option<(Mem, u32)>,
    /// The value whose sign was flipped.
    pub(super) negated: Reg,
}

/// An operand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mem {
    pub(super) base: Reg,
    pub(super) index: Reg,
    pub(super) scale: u8,
    pub(super) bytes: i32,
    /// If not 0, an element of so many bytes is repeated in every lane.
    pub(super) splat: u8,
}

impl Mem {
    pub(super) fn at(base: Reg, bytes: i32) -> Mem {
        Mem { base, index: Reg::NONE, scale: 1, bytes, splat: 0 }
    }
}

/// Instructions. `F` works on floats, `I` on integers, of 4 or 8 bytes as [`Inst::width`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    AddF,
    SubF,
    MulF,
    DivF,
    /// The processor's own minimum, which flushes.
    MinF,
    MaxF,
    SqrtF,
    /// Immediate: how.
    RoundF,
    AddI,
    SubI,
    MulI,
    MinI,
    MaxI,
    AbsI,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Sar,
    /// `a · b + c`; the immediate 1 flips the product's sign.
    Fma,
    /// Immediate: predicate.
    CompareF,
    CompareI,
    /// Immediate: predicate; operands without sign.
    CompareU,
    /// Equal; lanes of masks as wide as the operands, without mask registers.
    EqualI,
    /// Greater, likewise.
    GreaterI,
    /// Lanes that are not 0.
    Test,
    /// Bytes that are not 0.
    TestBytes,
    /// `mask ? b : a`, by a mask register.
    Blend,
    /// `c ? b : a`, by a vector.
    BlendV,
    /// `I32` to `F32` and so on.
    I32ToF32,
    F32ToI32,
    I64ToF64,
    F64ToI64,
    F32ToF64,
    F64ToF32,
    I32ToF64,
    F64ToI32,
    F32ToI64,
    I64ToF32,
    I32ToI64,
    /// The low halves; vectors only.
    I64ToI32,
    Load,
    Store,
    /// One lane; the others become 0.
    LoadOne,
    StoreOne,
    /// Under a vector of masks.
    LoadV,
    /// Bytes of 16 lanes.
    LoadBytes,
    StoreBytes,
    /// As many bytes as there are lanes of four bytes.
    Widen,
    Narrow,
    InsertByte,
    /// To memory.
    ExtractByte,
    /// Lane 0, or an element in memory, in every lane.
    Splat,
    /// A general register in every lane.
    SplatG,
    /// Lane 0, from and to a general register.
    FromG,
    ToG,
    /// Lanes of `b`, then of `a`, from lane `imm` on.
    Align,
    /// Halves of 16 bytes; words of 4.
    Swap,
    /// Two vectors' 16 bytes as the immediate chooses.
    Quarters,
    UnpackLow,
    UnpackHigh,
    /// 16 bytes from memory to quarter `imm` of the first operand.
    InsertQuarter,
    /// Quarter `imm` of the first operand, to memory.
    StoreQuarter,
    /// The low 16 bytes of the second operand above those of the first.
    Join,
    /// An element from memory to lane `imm` of the low 16 bytes.
    InsertOne,
    Gather,
    Scatter,
    AndK,
    OrK,
    XorK,
    /// `!a & b`
    AndNotK,
    NotK,
    ShiftRightK,
    KFromG,
    KToG,
    /// Ones where a mask is set.
    OnesK,
    /// All bits 0.
    Zero,
    Copy,
    /// The constant `wide`.
    SetG,
    /// The address.
    Lea,
    /// Times the immediate.
    ScaleG,
    MulG,
    ShrG,
    AndG,
    LeastG,
    LoadG,
    LoadByteG,
    StoreByteG,
    /// Asks for the bytes at an address; reads nothing.
    Prefetch,
    /// The top of a loop.
    Label(u32),
    /// What follows a loop.
    Exit(u32),
    /// Adds the immediate to the counter `a` and jumps back while that is below `b`, or below `wide`.
    Again(u32),
    /// Jumps on if `a` is above `b`.
    Leave(u32),
    /// Adds the immediate to the counter `a` and jumps back.
    Back(u32),
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inst {
    pub(super) op: Op,
    /// Bytes of a lane.
    pub(super) width: u8,
    /// 16, 32 or 64 bytes as 0, 1 or 2.
    pub(super) size: u8,
    pub(super) dst: Reg,
    pub(super) src: [Reg; 3],
    /// Lanes that count: others become 0, or are not touched in memory.
    pub(super) mask: Reg,
    /// Takes the place of the operand that may lie in memory.
    pub(super) mem: Option<Mem>,
    pub(super) imm: i32,
    pub(super) wide: i64,
}

impl Inst {
    pub(super) fn new(op: Op) -> Inst {
        Inst {
            op,
            width: 4,
            size: 0,
            dst: Reg::NONE,
            src: [Reg::NONE; 3],
            mask: Reg::NONE,
            mem: None,
            imm: 0,
            wide: 0,
        }
    }

    /// Registers that are read.
    pub(super) fn reads(&self) -> impl Iterator<Item = Reg> + use<> {
        let mem = self.mem.map_or([Reg::NONE; 2], |m| [m.base, m.index]);
        let [a, b, c] = self.src;
        [a, b, c, self.mask, mem[0], mem[1]].into_iter().filter(|&r| r != Reg::NONE)
    }

    /// Whether it does more than write its result.
    pub(super) fn has_effect(&self) -> bool {
        self.dst == Reg::NONE
    }
}

/// Which instructions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// AVX2 and fused multiply-add: sixteen vectors of 256 bits; masks are vectors.
    Avx2,
    /// AVX-512 F, VL, BW and DQ: thirty-two vectors of 512 bits, and masks.
    Avx512,
}

impl Level {
    /// 16, 32 or 64 bytes as 0, 1 or 2.
    pub(super) fn size(self) -> u8 {
        match self {
            Level::Avx2 => 1,
            Level::Avx512 => 2,
        }
    }
}

/// The function being written.
pub(crate) struct Wide {
    pub(super) level: Level,
    /// Run once, before everything else: constants and masks.
    pub(super) entry: Vec<Inst>,
    pub(super) insts: Vec<Inst>,
    pub(super) infos: Vec<Info>,
    /// Numbers of the loops around what is written next.
    pub(super) open: Vec<u32>,
    pub(super) labels: u32,
    /// Bytes of constants.
    pub(super) table: Vec<u8>,
    /// Bytes of the frame.
    pub(super) frame: usize,
    /// Number of arguments; the table's address follows them.
    pub(super) args: usize,
    /// What was asked for that this back end does not do.
    pub(super) missing: Option<&'static str>,
    constants: HashMap<(u64, u8), Reg>,
    rows: HashMap<Vec<u8>, Reg>,
    masks: HashMap<u64, Reg>,
}

impl Wide {
    pub(super) fn new(level: Level, args: usize) -> Wide {
        let mut wide = Wide {
            level,
            entry: vec![],
            insts: vec![],
            infos: vec![],
            open: vec![],
            labels: 0,
            table: vec![],
            frame: 0,
            args,
            missing: None,
            constants: HashMap::new(),
            rows: HashMap::new(),
            masks: HashMap::new(),
        };
        for _ in 0..5 {
            wide.fresh(Class::General);
        }
        wide
    }

    /// A new virtual register, to be written here.
    pub(super) fn fresh(&mut self, class: Class) -> Reg {
        let depth = self.open.len() as u32;
        let (home, bits, sum, negated) = (Home::Nowhere, None, None, Reg::NONE);
        self.infos.push(Info { class, home, depth, bits, sum, negated });
        Reg(self.infos.len() as u32 - 1)
    }

    /// Appends an instruction that writes a new register.
    pub(super) fn push(&mut self, class: Class, inst: Inst) -> Reg {
        let dst = self.fresh(class);
        self.insts.push(Inst { dst, ..inst });
        dst
    }

    /// Appends an instruction that writes no register.
    pub(super) fn effect(&mut self, inst: Inst) {
        self.insts.push(inst);
    }

    /// A register that is written before everything else.
    fn at_entry(&mut self, class: Class, inst: Inst, home: Home, bits: Option<u64>) -> Reg {
        let dst = self.fresh(class);
        let info = &mut self.infos[dst.index()];
        (info.depth, info.home, info.bits) = (0, home, bits);
        self.entry.push(Inst { dst, ..inst });
        dst
    }

    /// Has the kernel written by another back end.
    pub(super) fn give_up(&mut self, what: &'static str) {
        self.missing.get_or_insert(what);
    }

    pub(super) fn class(&self, reg: Reg) -> Class {
        self.infos[reg.index()].class
    }

    /// Bytes in the table; they are there once.
    pub(super) fn row(&mut self, bytes: &[u8]) -> i32 {
        let step = bytes.len().next_power_of_two().min(64);
        let found = self.table.chunks(bytes.len()).position(|row| row == bytes);
        if let Some(at) = found {
            return (at * bytes.len()) as i32;
        }
        self.table.resize(self.table.len().next_multiple_of(step), 0);
        self.table.extend_from_slice(bytes);
        (self.table.len() - bytes.len()) as i32
    }

    /// The bit pattern in every lane of `width` bytes of a vector.
    pub(super) fn constant_bits(&mut self, bits: u64, width: u8) -> Reg {
        // Constants of four bytes that repeat are those of eight bytes with both halves alike.
        if let Some(&reg) = self.constants.get(&(bits, width)) {
            return reg;
        }
        let element = &bits.to_le_bytes()[..usize::from(width)];
        let mut inst = Inst { size: self.level.size(), width, ..Inst::new(Op::Zero) };
        let home = match self.level {
            Level::Avx512 => Home::Table { at: self.row(element), splat: width },
            Level::Avx2 => {
                Home::Table { at: self.row(&element.repeat(32 / element.len())), splat: 0 }
            }
        };
        if let (false, Home::Table { at, splat }) = (bits == 0, home) {
            inst.op = if splat == 0 { Op::Load } else { Op::Splat };
            inst.mem = Some(Mem::at(Reg::TABLE, at));
        }
        let reg = self.at_entry(Class::Vector, inst, home, Some(bits));
        self.constants.insert((bits, width), reg);
        reg
    }

    /// A vector of these bytes.
    pub(super) fn constant_row(&mut self, bytes: Vec<u8>) -> Reg {
        if let Some(&reg) = self.rows.get(&bytes) {
            return reg;
        }
        let at = self.row(&bytes);
        let mem = Some(Mem::at(Reg::TABLE, at));
        let inst = Inst { size: self.level.size(), mem, ..Inst::new(Op::Load) };
        let reg = self.at_entry(Class::Vector, inst, Home::Table { at, splat: 0 }, None);
        self.rows.insert(bytes, reg);
        reg
    }

    /// The numbers of lanes of `lane`.
    pub(super) fn numbers(&mut self, lane: Lane) -> Reg {
        let width = lane.bytes().unwrap_or(4);
        let lanes = (16usize << self.level.size()) / width;
        let bytes = |j: usize| (j as u64).to_le_bytes().into_iter().take(width);
        self.constant_row((0..lanes).flat_map(bytes).collect())
    }

    /// These bits in a mask register.
    pub(super) fn mask_bits(&mut self, bits: u64) -> Reg {
        if let Some(&reg) = self.masks.get(&bits) {
            return reg;
        }
        let set = Inst { wide: bits as i64, ..Inst::new(Op::SetG) };
        let general = self.at_entry(Class::General, set, Home::Nowhere, None);
        let src = [general, Reg::NONE, Reg::NONE];
        let inst = Inst { src, ..Inst::new(Op::KFromG) };
        let reg = self.at_entry(Class::Mask, inst, Home::Nowhere, None);
        self.masks.insert(bits, reg);
        reg
    }
}
