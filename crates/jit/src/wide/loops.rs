//! Positions, addresses and loops.

use crate::emit::{Loop, Loops, Pos, Ptr};
use crate::wide::code::{Class, Inst, Mem, Op, Reg, Wide};

/// An open loop.
pub(crate) enum Frame {
    /// Tested at the bottom.
    Counted { top: u32, step: i64, end: Pos<Reg> },
    /// Tested at the top.
    While { top: u32, exit: u32, step: i64 },
}

impl Wide {
    fn label(&mut self) -> u32 {
        self.labels += 1;
        self.labels - 1
    }

    fn general(&mut self, inst: Inst) -> Reg {
        self.push(Class::General, inst)
    }

    /// A number that an instruction can hold.
    fn short(&mut self, number: i64) -> i32 {
        i32::try_from(number).unwrap_or_else(|_| {
            self.give_up("steps of more than 2 GiB");
            0
        })
    }

    /// `base + index · scale + bytes`, now, and as an operand of what follows in the same loop.
    fn sum(&mut self, mem: Mem) -> Reg {
        let reg = self.general(Inst { mem: Some(mem), ..Inst::new(Op::Lea) });
        let here = self.open.last().map_or(u32::MAX, |&l| l);
        self.infos[reg.index()].sum = Some((mem, here));
        reg
    }

    /// The address as an operand.
    pub(super) fn operand(&mut self, ptr: Ptr<Reg>) -> Mem {
        let Ok(bytes) = i32::try_from(ptr.bytes) else {
            let far = self.position(ptr.bytes);
            return Mem { index: far, ..Mem::at(ptr.base, 0) };
        };
        let here = self.open.last().map_or(u32::MAX, |&l| l);
        match self.infos[ptr.base.index()].sum {
            Some((mem, then)) if then == here => match mem.bytes.checked_add(bytes) {
                Some(bytes) => Mem { bytes, ..mem },
                None => Mem::at(ptr.base, bytes),
            },
            Some(_) | None => Mem::at(ptr.base, bytes),
        }
    }

    /// Both values in general registers, moved.
    fn copy(&mut self, dst: Reg, src: Reg) {
        let src = [src, Reg::NONE, Reg::NONE];
        self.effect(Inst { dst, src, size: self.level.size(), ..Inst::new(Op::Copy) });
    }

    /// Closes what was opened last.
    fn finish_loop(&mut self) {
        self.open.pop();
    }
}

impl Loops for Wide {
    type Reg = Reg;
    type Frame = Frame;

    fn position(&mut self, c: i64) -> Reg {
        self.general(Inst { wide: c, ..Inst::new(Op::SetG) })
    }

    fn add(&mut self, a: Reg, b: Reg) -> Reg {
        self.sum(Mem { index: b, ..Mem::at(a, 0) })
    }

    fn add_const(&mut self, a: Reg, c: i64) -> Reg {
        let bytes = self.short(c);
        self.general(Inst { mem: Some(Mem::at(a, bytes)), ..Inst::new(Op::Lea) })
    }

    fn times(&mut self, a: Reg, factor: i64) -> Reg {
        if factor == 1 {
            return a;
        }
        let imm = self.short(factor);
        self.general(Inst { src: [a, Reg::NONE, Reg::NONE], imm, ..Inst::new(Op::ScaleG) })
    }

    fn least(&mut self, a: Reg, b: Reg) -> Reg {
        self.general(Inst { src: [a, b, Reg::NONE], ..Inst::new(Op::LeastG) })
    }

    /// Multiplies with the reciprocal, rounded up so far that the quotient is right for all `a` below 2^31.
    fn divide(&mut self, a: Reg, by: usize, below: usize) -> Reg {
        if by == 1 {
            return a;
        }
        if below > 1 << 31 || by > 1 << 31 {
            self.give_up("divisions of large positions");
            return a;
        }
        let one = [a, Reg::NONE, Reg::NONE];
        if by.is_power_of_two() {
            let imm = by.trailing_zeros() as i32;
            return self.general(Inst { src: one, imm, ..Inst::new(Op::ShrG) });
        }
        // by <= 2^log, so the reciprocal has at most 32 bits and is off by less than 2^-31 of itself.
        let log = by.next_power_of_two().trailing_zeros();
        let reciprocal = (1u64 << (31 + log)).div_ceil(by as u64);
        let reciprocal = self.position(reciprocal as i64);
        let src = [a, reciprocal, Reg::NONE];
        let product = self.general(Inst { src, ..Inst::new(Op::MulG) });
        let src = [product, Reg::NONE, Reg::NONE];
        self.general(Inst { src, imm: 31 + log as i32, ..Inst::new(Op::ShrG) })
    }

    fn remainder(&mut self, a: Reg, by: usize, below: usize) -> Reg {
        if by.is_power_of_two() && by <= 1 << 30 {
            let src = [a, Reg::NONE, Reg::NONE];
            return self.general(Inst { src, imm: by as i32 - 1, ..Inst::new(Op::AndG) });
        }
        let quotient = self.divide(a, by, below);
        let whole = self.times(quotient, -(by as i64));
        self.add(a, whole)
    }

    /// As an operand of the loads and stores that follow, where the processor can add it there.
    fn advance(&mut self, ptr: Ptr<Reg>, pos: Pos<Reg>, bytes: i64) -> Ptr<Reg> {
        let v = match pos {
            _ if bytes == 0 => return ptr,
            Pos::Const(c) => return ptr.plus(c.wrapping_mul(bytes)),
            Pos::Dyn(v) => v,
        };
        let (index, scale) = match bytes {
            1 | 2 | 4 | 8 => (v, bytes as u8),
            _ => (self.times(v, bytes), 1),
        };
        let base = self.sum(Mem { index, scale, ..Mem::at(ptr.base, 0) });
        Ptr { base, bytes: ptr.bytes }
    }

    fn open_counted(
        &mut self,
        begin: Reg,
        end: Pos<Reg>,
        step: i64,
        carried: &[Reg],
    ) -> Loop<Self> {
        let counter = self.fresh(Class::General);
        self.copy(counter, begin);
        let mut values = vec![];
        for &value in carried {
            let class = self.class(value);
            let reg = self.fresh(class);
            self.copy(reg, value);
            values.push(reg);
        }
        let end = match end {
            Pos::Const(c) if i32::try_from(c).is_err() => Pos::Dyn(self.position(c)),
            end => end,
        };
        let top = self.label();
        self.open.push(top);
        self.effect(Inst::new(Op::Label(top)));
        let frame = Some(Frame::Counted { top, step, end });
        Loop { frame, pos: Pos::Dyn(counter), carried: values }
    }

    fn open_while(&mut self, begin: Reg, end: Reg, step: usize) -> Loop<Self> {
        let counter = self.fresh(Class::General);
        self.copy(counter, begin);
        let (top, exit, step) = (self.label(), self.label(), step as i64);
        self.open.push(top);
        self.effect(Inst::new(Op::Label(top)));
        let next = self.add_const(counter, step);
        let src = [next, end, Reg::NONE];
        self.effect(Inst { src, ..Inst::new(Op::Leave(exit)) });
        Loop {
            frame: Some(Frame::While { top, exit, step }),
            pos: Pos::Dyn(counter),
            carried: vec![],
        }
    }

    fn close_frame(
        &mut self,
        frame: Frame,
        (counter, carried): (Reg, Vec<Reg>),
        next: &[Reg],
    ) -> Vec<Reg> {
        match frame {
            Frame::Counted { top, step, end } => {
                // A carried value that becomes another one must not be overwritten before that.
                let swapped = |i: usize| carried[..i].contains(&next[i]);
                let mut sources = next.to_vec();
                for i in (0..next.len()).filter(|&i| swapped(i)) {
                    let class = self.class(next[i]);
                    let saved = self.fresh(class);
                    self.copy(saved, next[i]);
                    sources[i] = saved;
                }
                for (&dst, &src) in carried.iter().zip(&sources) {
                    if dst != src {
                        self.copy(dst, src);
                    }
                }
                let (end, wide) = match end {
                    Pos::Const(c) => (Reg::NONE, c),
                    Pos::Dyn(end) => (end, 0),
                };
                let imm = self.short(step);
                let src = [counter, end, Reg::NONE];
                self.effect(Inst { src, imm, wide, ..Inst::new(Op::Again(top)) });
                self.finish_loop();
                carried
            }
            Frame::While { top, exit, step } => {
                let imm = self.short(step);
                let src = [counter, Reg::NONE, Reg::NONE];
                self.effect(Inst { src, imm, ..Inst::new(Op::Back(top)) });
                self.finish_loop();
                self.effect(Inst::new(Op::Exit(exit)));
                vec![]
            }
        }
    }
}
