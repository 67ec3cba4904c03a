//! Instructions that take more than a row of the table: jumps, copies, arithmetic on positions, multiply-add.

use crate::wide::allocate::Found;
use crate::wide::code::{Class, Inst, Level, Op, Reg};
use crate::wide::codes::{FmaForm, fma, row};
use crate::wide::encode::{Emit, Operand, general, general32, mask, sized, vector};
use iced_x86::{Code, Instruction, Register};

impl Emit<'_> {
    pub(super) fn inst(&mut self, inst: &Inst) {
        if inst.dst != Reg::NONE && matches!(self.found(inst.dst), Found::Home(_) | Found::Nowhere)
        {
            // It is read from where it comes from.
            return;
        }
        match inst.op {
            Op::Fma => self.fma(inst),
            Op::Copy => self.copy(inst),
            Op::SetG | Op::MulG | Op::ShrG | Op::AndG | Op::LeastG => self.arithmetic(inst),
            Op::StoreByteG => {
                let from = self.general(inst.src[0]);
                let from = if from < 4 {
                    Register::AL + u32::from(from)
                } else {
                    Register::SPL + u32::from(from - 4)
                };
                let Some(mem) = inst.mem else { return };
                let to = Operand::Memory(self.address(mem, 0));
                self.plain(Code::Mov_rm8_r8, &[to, Operand::Register(from)]);
            }
            Op::Label(label) => {
                // Loops begin where the processor fetches.
                while !self.at.is_multiple_of(32) {
                    self.pad(32 - self.at % 32);
                }
                self.place(label);
            }
            Op::Exit(label) => self.place(label),
            Op::Again(label) => {
                let counter = self.step(inst);
                let counter = Operand::Register(general(counter));
                match inst.src[1] {
                    Reg::NONE => {
                        self.plain(
                            Code::Cmp_rm64_imm32,
                            &[counter, Operand::Word(inst.wide as i32)],
                        );
                    }
                    end => {
                        let end = Operand::Register(general(self.general(end)));
                        self.plain(Code::Cmp_r64_rm64, &[counter, end]);
                    }
                }
                self.jump(Code::Jl_rel32_64, label);
            }
            Op::Back(label) => {
                self.step(inst);
                self.jump(Code::Jmp_rel32_64, label);
            }
            Op::Leave(label) => {
                let [next, end, _] = inst.src;
                let next = Operand::Register(general(self.general(next)));
                let end = Operand::Register(general(self.general(end)));
                self.plain(Code::Cmp_r64_rm64, &[next, end]);
                self.jump(Code::Jg_rel32_64, label);
            }
            _ => self.regular(inst),
        }
    }

    fn place(&mut self, label: u32) {
        self.labels[label as usize] = self.at;
        if let Some((_, text)) = &mut self.listing {
            text.push_str(&format!("  {label}:\n"));
        }
    }

    /// One instruction that does nothing, of at most so many bytes.
    fn pad(&mut self, bytes: usize) {
        const NOPS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        let nop = NOPS[bytes.clamp(1, 9) - 1];
        nop.iter().for_each(|&byte| self.encoder.write_u8(byte));
        self.at += nop.len();
    }

    /// Adds the immediate to a counter.
    fn step(&mut self, inst: &Inst) -> u8 {
        let counter = self.general(inst.src[0]);
        let register = Operand::Register(general(counter));
        self.plain(Code::Add_rm64_imm32, &[register, Operand::Word(inst.imm)]);
        if let found @ Found::Saved(_) = self.found(inst.src[0]) {
            let to = Operand::Memory(self.saved(found));
            self.plain(Code::Mov_rm64_r64, &[to, register]);
        }
        counter
    }

    /// Moves within general registers, unless there is nothing to move.
    fn move_general(&mut self, to: u8, from: u8) {
        if to != from {
            let (to, from) = (Operand::Register(general(to)), Operand::Register(general(from)));
            self.plain(Code::Mov_r64_rm64, &[to, from]);
        }
    }

    fn arithmetic(&mut self, inst: &Inst) {
        let d = self.target(inst.dst);
        let to = Operand::Register(general(d));
        let short = Operand::Register(general32(d));
        let [a, b, _] = inst.src;
        match inst.op {
            Op::SetG => match (u32::try_from(inst.wide), i32::try_from(inst.wide)) {
                (Ok(0), _) => self.plain(Code::Xor_r32_rm32, &[short, short]),
                (Ok(number), _) => {
                    let out = Instruction::with2(Code::Mov_r32_imm32, general32(d), number);
                    self.write_made(out);
                }
                (_, Ok(number)) => {
                    self.plain(Code::Mov_rm64_imm32, &[to, Operand::Word(number)]);
                }
                _ => {
                    let out = Instruction::with2(Code::Mov_r64_imm64, general(d), inst.wide);
                    self.write_made(out);
                }
            },
            Op::MulG => {
                let (a, b) = (self.general(a), self.general(b));
                self.move_general(d, a);
                self.plain(Code::Imul_r64_rm64, &[to, Operand::Register(general(b))]);
            }
            Op::ShrG => {
                let a = self.general(a);
                self.move_general(d, a);
                self.plain(Code::Shr_rm64_imm8, &[to, Operand::Byte(inst.imm)]);
            }
            Op::AndG => {
                let a = self.general(a);
                self.move_general(d, a);
                self.plain(Code::And_rm64_imm32, &[to, Operand::Word(inst.imm)]);
            }
            _ => {
                let (a, b) = (self.general(a), self.general(b));
                let b = Operand::Register(general(b));
                self.move_general(d, a);
                self.plain(Code::Cmp_r64_rm64, &[to, b]);
                self.plain(Code::Cmovg_r64_rm64, &[to, b]);
            }
        }
        self.settle(inst.dst);
    }

    fn write_made(&mut self, made: Result<Instruction, iced_x86::IcedError>) {
        match made {
            Ok(out) => self.write(&out),
            Err(e) => {
                self.refused.get_or_insert_with(|| e.to_string());
            }
        }
    }

    fn copy(&mut self, inst: &Inst) {
        let (dst, src) = (inst.dst, inst.src[0]);
        let (to, from) = (self.found(dst), self.found(src));
        if to == from {
            return;
        }
        let d = self.target(dst);
        match (self.wide.class(dst), from) {
            (Class::General, Found::Register(number)) => self.move_general(d, number),
            (Class::General, _) => {
                let from = Operand::Memory(self.saved(from));
                self.plain(Code::Mov_r64_rm64, &[Operand::Register(general(d)), from]);
            }
            (Class::Vector, _) if self.wide.infos[src.index()].bits == Some(0) => self.zero(d),
            (Class::Vector, Found::Register(number)) => self.move_vector(d, number),
            (Class::Vector, _) => self.load_vector(d, from),
            (Class::Mask, Found::Register(number)) => {
                let to = Operand::Register(mask(d));
                self.plain(Code::VEX_Kmovq_kr_km64, &[to, Operand::Register(mask(number))]);
            }
            (Class::Mask, _) => {
                let from = Operand::Memory(self.saved(from));
                self.plain(Code::VEX_Kmovq_kr_km64, &[Operand::Register(mask(d)), from]);
            }
        }
        self.settle(dst);
    }

    pub(super) fn zero(&mut self, number: u8) {
        let row = row(self.wide.level, Op::Zero, 4);
        let register = Operand::Register(vector(self.wide.level.size(), number));
        self.plain(sized(row.code, self.wide.level.size()), &[register; 3]);
    }

    fn move_vector(&mut self, to: u8, from: u8) {
        if to != from {
            let size = self.wide.level.size();
            let row = row(self.wide.level, Op::Load, 4);
            let operands = [to, from].map(|r| Operand::Register(vector(size, r)));
            self.plain(sized(row.code, size), &operands);
        }
    }

    fn fma(&mut self, inst: &Inst) {
        let (level, size) = (self.wide.level, inst.size);
        let splats = level == Level::Avx512;
        let mut operands = [0, 1, 2].map(|slot| self.anywhere(inst, slot, size, splats));
        let in_memory = operands.map(|operand| matches!(operand, Operand::Memory(_)));
        let memory = (0..3).find(|&k| in_memory[k]);
        for k in (0..3).filter(|&k| in_memory[k] && Some(k) != memory) {
            operands[k] = Operand::Register(vector(size, self.vector(inst.src[k])));
        }
        let d = self.target(inst.dst);
        let to = vector(size, d);
        let at = |k: usize| match operands[k] {
            Operand::Register(register) => register,
            Operand::Memory(_) | Operand::Byte(_) | Operand::Word(_) => Register::None,
        };
        let number = |register: Register| (register as u32 - vector(size, 0) as u32) as u8;
        // What has to move to the result first, and the other operands.
        let (form, moved, second, third) = match memory {
            Some(2) if to == at(1) => (FmaForm::F213, None, at(0), operands[2]),
            Some(2) if to == at(0) => (FmaForm::F213, None, at(1), operands[2]),
            Some(2) => (FmaForm::F213, Some(at(0)), at(1), operands[2]),
            Some(k) => {
                let other = at(1 - k);
                match to {
                    _ if to == at(2) => (FmaForm::F231, None, other, operands[k]),
                    _ if to == other => (FmaForm::F132, None, at(2), operands[k]),
                    _ => (FmaForm::F231, Some(at(2)), other, operands[k]),
                }
            }
            None if to == at(2) => (FmaForm::F231, None, at(0), operands[1]),
            None if to == at(0) => (FmaForm::F213, None, at(1), operands[2]),
            None if to == at(1) => (FmaForm::F213, None, at(0), operands[2]),
            None => (FmaForm::F231, Some(at(2)), at(0), operands[1]),
        };
        if let Some(register) = moved {
            self.move_vector(d, number(register));
        }
        let code = sized(fma(level, form, inst.imm != 0, inst.width), size);
        self.plain(code, &[Operand::Register(to), Operand::Register(second), third]);
        self.settle(inst.dst);
    }
}
