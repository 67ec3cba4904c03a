//! Assigned code to bytes, with `iced-x86` as the assembler.

use crate::wide::allocate::{ARGS, Assignment, FRAME, Found, Scratch, TABLE, splat};
use crate::wide::code::{Class, Home, Inst, Mem, Op, Reg, Wide};
use crate::wide::codes::{Place, Row, Which, row};
use iced_x86::{Code, Encoder, FastFormatter, Instruction, OpKind, Register};

/// Frames are reached page by page, so that the guard page below the stack is not jumped over.
const PAGE: usize = 4096;

/// General registers that belong to the caller: rbx, r12 to r15. rbp holds the stack pointer while there is a frame.
const CALLERS: [u8; 5] = [3, 12, 13, 14, 15];

/// An operand in memory, with registers of the processor.
#[derive(Clone, Copy)]
pub(super) struct Address {
    base: Register,
    index: Register,
    scale: u8,
    bytes: i32,
    splat: bool,
}

impl Address {
    pub(super) fn at(base: u8, bytes: i32) -> Address {
        Address { base: general(base), index: Register::None, scale: 1, bytes, splat: false }
    }
}

/// An operand of an instruction of the processor.
#[derive(Clone, Copy)]
pub(super) enum Operand {
    Register(Register),
    Memory(Address),
    Byte(i32),
    Word(i32),
}

pub(super) fn general(number: u8) -> Register {
    Register::RAX + u32::from(number)
}

pub(super) fn general32(number: u8) -> Register {
    Register::EAX + u32::from(number)
}

pub(super) fn vector(size: u8, number: u8) -> Register {
    let first = [Register::XMM0, Register::YMM0, Register::ZMM0][usize::from(size)];
    first + u32::from(number)
}

pub(super) fn mask(number: u8) -> Register {
    Register::K0 + u32::from(number)
}

pub(super) struct Emit<'a> {
    pub(super) wide: &'a Wide,
    places: &'a Assignment,
    pub(super) encoder: Encoder,
    /// Where labels are.
    pub(super) labels: Vec<usize>,
    /// Ends of jumps, and their labels.
    jumps: Vec<(usize, u32)>,
    pub(super) at: usize,
    pub(super) listing: Option<(FastFormatter, String)>,
    /// What the assembler refused.
    pub(super) refused: Option<String>,
    /// Registers for values of the instruction at hand that have none, and how many are in use.
    scratch: Scratch,
    used_general: usize,
    used_vectors: usize,
    used_masks: usize,
}

/// The bytes of the function, and its text if asked for.
pub(super) fn encode(
    wide: &Wide,
    code: &[Inst],
    places: &Assignment,
    listing: bool,
) -> Result<(Vec<u8>, Option<String>), String> {
    let mut emit = Emit {
        wide,
        places,
        encoder: Encoder::new(64),
        labels: vec![usize::MAX; wide.labels as usize],
        jumps: vec![],
        at: 0,
        listing: listing.then(|| (FastFormatter::new(), String::new())),
        refused: None,
        scratch: Scratch::kept(wide.level),
        used_general: 0,
        used_vectors: 0,
        used_masks: 0,
    };
    emit.enter();
    for (i, inst) in code.iter().enumerate() {
        emit.scratch = places.scratch.get(&i).copied().unwrap_or(Scratch::kept(wide.level));
        (emit.used_general, emit.used_vectors, emit.used_masks) = (0, 0, 0);
        emit.inst(inst);
    }
    emit.leave();
    if let Some(refused) = emit.refused {
        return Err(refused);
    }
    let mut bytes = emit.encoder.take_buffer();
    for &(end, label) in &emit.jumps {
        let distance = emit.labels[label as usize] as i64 - end as i64;
        let distance = i32::try_from(distance).map_err(|_| "a jump of more than 2 GiB")?;
        bytes[end - 4..end].copy_from_slice(&distance.to_le_bytes());
    }
    Ok((bytes, emit.listing.map(|(_, text)| text)))
}

impl Emit<'_> {
    pub(super) fn write(&mut self, instruction: &Instruction) {
        match self.encoder.encode(instruction, self.at as u64) {
            Ok(length) => self.at += length,
            Err(e) => {
                let code = instruction.code();
                self.refused.get_or_insert_with(|| format!("{code:?}: {e}"));
            }
        }
        if let Some((formatter, text)) = &mut self.listing {
            text.push_str("    ");
            formatter.format(instruction, text);
            text.push('\n');
        }
    }

    fn build(&mut self, code: Code, operands: &[Operand]) -> Instruction {
        let mut out = Instruction::default();
        out.set_code(code);
        for (i, operand) in operands.iter().enumerate() {
            let i = i as u32;
            match *operand {
                Operand::Register(register) => {
                    out.set_op_kind(i, OpKind::Register);
                    out.set_op_register(i, register);
                }
                Operand::Memory(address) => {
                    out.set_op_kind(i, OpKind::Memory);
                    out.set_memory_base(address.base);
                    out.set_memory_index(address.index);
                    out.set_memory_index_scale(u32::from(address.scale));
                    out.set_memory_displacement64(address.bytes as i64 as u64);
                    out.set_memory_displ_size(1);
                    out.set_is_broadcast(address.splat);
                }
                Operand::Byte(byte) => {
                    out.set_op_kind(i, OpKind::Immediate8);
                    out.set_immediate8(byte as u8);
                }
                Operand::Word(word) => {
                    out.set_op_kind(i, OpKind::Immediate32to64);
                    out.set_immediate32to64(i64::from(word));
                }
            }
        }
        out
    }

    pub(super) fn plain(&mut self, code: Code, operands: &[Operand]) {
        let out = self.build(code, operands);
        self.write(&out);
    }

    pub(super) fn jump(&mut self, code: Code, label: u32) {
        match Instruction::with_branch(code, self.at as u64) {
            Ok(jump) => self.write(&jump),
            Err(e) => {
                self.refused.get_or_insert_with(|| format!("{code:?}: {e}"));
            }
        }
        // The address is not known yet.
        if let Some((_, text)) = &mut self.listing {
            text.truncate(text.rfind(' ').unwrap_or(0));
            text.push_str(&format!(" {label}\n"));
        }
        self.jumps.push((self.at, label));
    }

    fn enter(&mut self) {
        let frame = self.places.frame;
        for number in self.callers() {
            self.plain(Code::Push_r64, &[Operand::Register(general(number))]);
        }
        if frame > 0 {
            let (rbp, rsp) = (Operand::Register(Register::RBP), Operand::Register(Register::RSP));
            self.plain(Code::Push_r64, &[rbp]);
            self.plain(Code::Mov_r64_rm64, &[rbp, rsp]);
            self.plain(Code::And_rm64_imm32, &[rsp, Operand::Word(-64)]);
            let mut left = frame.next_multiple_of(64);
            while left > 0 {
                let step = left.min(PAGE);
                self.plain(Code::Sub_rm64_imm32, &[rsp, Operand::Word(step as i32)]);
                self.plain(Code::Test_rm64_r64, &[Operand::Memory(Address::at(FRAME, 0)), rsp]);
                left -= step;
            }
        }
        let table = 8 * self.wide.args as i32;
        let to = Operand::Register(general(TABLE));
        self.plain(Code::Mov_r64_rm64, &[to, Operand::Memory(Address::at(ARGS, table))]);
    }

    fn leave(&mut self) {
        if self.places.frame > 0 {
            let (rbp, rsp) = (Operand::Register(Register::RBP), Operand::Register(Register::RSP));
            self.plain(Code::Mov_r64_rm64, &[rsp, rbp]);
            self.plain(Code::Pop_r64, &[rbp]);
        }
        for number in self.callers().into_iter().rev() {
            self.plain(Code::Pop_r64, &[Operand::Register(general(number))]);
        }
        // Without it, code that knows only 128 bits runs slowly afterwards.
        self.plain(Code::VEX_Vzeroupper, &[]);
        self.plain(Code::Retnq, &[]);
    }

    fn callers(&self) -> Vec<u8> {
        CALLERS.into_iter().filter(|r| self.places.general & 1 << r != 0).collect()
    }

    pub(super) fn found(&self, reg: Reg) -> Found {
        self.places.found[reg.index()]
    }

    pub(super) fn saved(&self, found: Found) -> Address {
        match found {
            Found::Saved(bytes) => Address::at(FRAME, bytes),
            Found::Home(Home::Table { at, splat }) => {
                Address { splat: splat != 0, ..Address::at(TABLE, at) }
            }
            Found::Home(Home::Argument(at)) => Address::at(ARGS, at),
            Found::Home(Home::Nowhere) | Found::Register(_) | Found::Nowhere => {
                panic!("internal error: a value that is nowhere is read")
            }
        }
    }

    /// A general register that holds the value.
    pub(super) fn general(&mut self, reg: Reg) -> u8 {
        if let Found::Register(number) = self.found(reg) {
            return number;
        }
        let number = self.free_general();
        let from = Operand::Memory(self.saved(self.found(reg)));
        self.plain(Code::Mov_r64_rm64, &[Operand::Register(general(number)), from]);
        number
    }

    fn free_general(&mut self) -> u8 {
        self.used_general += 1;
        self.scratch.general[self.used_general - 1]
    }

    /// A vector register that holds the value.
    pub(super) fn vector(&mut self, reg: Reg) -> u8 {
        if let Found::Register(number) = self.found(reg) {
            return number;
        }
        self.used_vectors += 1;
        let number = self.scratch.vectors[self.used_vectors - 1];
        self.load_vector(number, self.found(reg));
        number
    }

    /// Loads a vector that is not in a register.
    pub(super) fn load_vector(&mut self, number: u8, found: Found) {
        let size = self.wide.level.size();
        let width = splat(found);
        let op = if width == 0 { Op::Load } else { Op::Splat };
        let row = row(self.wide.level, op, if width == 0 { 4 } else { width });
        let to = Operand::Register(vector(size, number));
        let from = Address { splat: false, ..self.saved(found) };
        self.plain(sized(row.code, size), &[to, Operand::Memory(from)]);
    }

    fn store_vector(&mut self, number: u8, found: Found) {
        let size = self.wide.level.size();
        let row = row(self.wide.level, Op::Store, 4);
        let to = Operand::Memory(self.saved(found));
        self.plain(sized(row.code, size), &[to, Operand::Register(vector(size, number))]);
    }

    /// A mask register that holds the value.
    fn mask(&mut self, reg: Reg) -> u8 {
        if let Found::Register(number) = self.found(reg) {
            return number;
        }
        self.used_masks += 1;
        let number = self.scratch.masks[self.used_masks - 1];
        let from = Operand::Memory(self.saved(self.found(reg)));
        self.plain(Code::VEX_Kmovq_kr_km64, &[Operand::Register(mask(number)), from]);
        number
    }

    pub(super) fn address(&mut self, mem: Mem, size: u8) -> Address {
        let base = general(self.general(mem.base));
        let index = match mem.index {
            Reg::NONE => Register::None,
            index if self.wide.class(index) == Class::Vector => vector(size, self.vector(index)),
            index => general(self.general(index)),
        };
        Address { base, index, scale: mem.scale, bytes: mem.bytes, splat: mem.splat != 0 }
    }

    /// The register a result is written to, for the time being if it has none.
    pub(super) fn target(&mut self, reg: Reg) -> u8 {
        match (self.found(reg), self.wide.class(reg)) {
            (Found::Register(number), _) => number,
            (_, Class::General) => self.scratch.general[2],
            // The other one may hold the indices of a gather.
            (_, Class::Vector) => self.scratch.vectors[1],
            (_, Class::Mask) => self.scratch.masks[0],
        }
    }

    /// Saves a result that has no register.
    pub(super) fn settle(&mut self, reg: Reg) {
        let found = self.found(reg);
        if !matches!(found, Found::Saved(_)) {
            return;
        }
        let number = self.target(reg);
        let to = Operand::Memory(self.saved(found));
        match self.wide.class(reg) {
            Class::General => {
                self.plain(Code::Mov_rm64_r64, &[to, Operand::Register(general(number))]);
            }
            Class::Vector => self.store_vector(number, found),
            Class::Mask => {
                self.plain(Code::VEX_Kmovq_m64_kr, &[to, Operand::Register(mask(number))]);
            }
        }
    }

    /// An operand that may lie in memory, if it can be read there; else it is loaded.
    pub(super) fn anywhere(&mut self, inst: &Inst, slot: usize, size: u8, splats: bool) -> Operand {
        let reg = inst.src[slot];
        if let (Reg::NONE, Some(mem)) = (reg, inst.mem) {
            return Operand::Memory(self.address(mem, size));
        }
        let found = self.found(reg);
        let width = splat(found);
        let readable = width == 0 || splats && width == inst.width;
        match found {
            Found::Saved(_) | Found::Home(_) if readable => Operand::Memory(self.saved(found)),
            _ => Operand::Register(vector(size, self.vector(reg))),
        }
    }

    /// An instruction that its row describes.
    pub(super) fn regular(&mut self, inst: &Inst) {
        let row = row(self.wide.level, inst.op, inst.width);
        let halves =
            matches!(inst.op, Op::Quarters | Op::InsertQuarter | Op::StoreQuarter | Op::Join);
        let size = if row.fixed && !halves { 0 } else { inst.size };
        let code = if row.fixed { row.code } else { sized(row.code, inst.size) };
        let gathers = matches!(inst.op, Op::Gather | Op::Scatter);
        // Eight lanes of eight bytes are counted by as many of four.
        let index = if gathers && inst.width == 8 { size - 1 } else { size };
        let mut operands = [Operand::Byte(0); 4];
        for (operand, place) in operands.iter_mut().zip(row.places) {
            *operand = match *place {
                Place::V(which) => self.vector_at(inst, which, &row, size),
                Place::H(which) => self.vector_at(inst, which, &row, size.saturating_sub(1)),
                Place::X(which) => self.vector_at(inst, which, &row, 0),
                Place::K(which) => Operand::Register(mask(match which {
                    Which::Dst => self.target(inst.dst),
                    which => self.mask(inst.src[slot(which)]),
                })),
                Place::D(which) => Operand::Register(general32(self.general_at(inst, which))),
                Place::Q(which) => Operand::Register(general(self.general_at(inst, which))),
                Place::M => match inst.mem {
                    Some(mem) => Operand::Memory(self.address(mem, index)),
                    None => panic!("internal error: {:?} without memory", inst.op),
                },
                Place::I if inst.op == Op::ScaleG => Operand::Word(inst.imm),
                Place::I => Operand::Byte(inst.imm),
            };
        }
        let writes_vector = matches!(row.places[0], Place::V(Which::Dst) | Place::X(Which::Dst));
        if inst.op == Op::Gather {
            // What was there before is no operand.
            let d = self.target(inst.dst);
            self.zero(d);
        }
        let limit = if inst.op == Op::Blend { inst.src[2] } else { inst.mask };
        let limit = (limit != Reg::NONE).then(|| mask(self.mask(limit)));
        let mut out = self.build(code, &operands[..row.places.len()]);
        if let Some(limit) = limit {
            out.set_op_mask(limit);
            out.set_zeroing_masking(writes_vector && !gathers && inst.op != Op::Blend);
        }
        self.write(&out);
        if inst.dst != Reg::NONE {
            self.settle(inst.dst);
        }
    }

    fn vector_at(&mut self, inst: &Inst, which: Which, row: &Row, size: u8) -> Operand {
        if which == Which::Dst {
            return Operand::Register(vector(size, self.target(inst.dst)));
        }
        let slot = slot(which);
        if row.memory == Some(slot) {
            return self.anywhere(inst, slot, size, row.splats);
        }
        Operand::Register(vector(size, self.vector(inst.src[slot])))
    }

    fn general_at(&mut self, inst: &Inst, which: Which) -> u8 {
        match which {
            Which::Dst => self.target(inst.dst),
            which => self.general(inst.src[slot(which)]),
        }
    }
}

fn slot(which: Which) -> usize {
    match which {
        Which::Dst | Which::A => 0,
        Which::B => 1,
        Which::C => 2,
    }
}

/// The code for vectors of another size.
pub(super) fn sized(code: Code, size: u8) -> Code {
    let code = code as usize + usize::from(size);
    Code::try_from(code).unwrap_or(Code::INVALID)
}
