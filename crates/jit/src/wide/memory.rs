//! Loads and stores of vectors, whole or in part, near or far apart.

use crate::emit::{Bound, Lanes, Loops, Memory, Ptr, Run, Shape};
use crate::wide::code::{Class, Home, Inst, Level, Mem, Op, Reg, Wide};
use eggrad_body::{BinaryInst, Lane};
use eggrad_ir::DType;

const NONE: Reg = Reg::NONE;

impl Wide {
    /// An instruction that reads memory.
    fn load(&mut self, op: Op, shape: Shape, lane: Lane, mem: Mem) -> Reg {
        let inst = Inst { mem: Some(mem), ..self.inst(op, shape, lane, [NONE; 3]) };
        self.push(Class::Vector, inst)
    }

    /// One element as a scalar.
    fn load_element(&mut self, dtype: DType, mem: Mem) -> Reg {
        let scalar = Shape::SCALAR;
        match dtype {
            DType::F32 | DType::I32 => self.load(Op::LoadOne, scalar, Lane::I32, mem),
            DType::F64 | DType::I64 => self.load(Op::LoadOne, scalar, Lane::I64, mem),
            DType::U8 | DType::Bool => {
                let inst = Inst { mem: Some(mem), ..Inst::new(Op::LoadByteG) };
                let byte = self.push(Class::General, inst);
                let byte = self.vector(Op::FromG, scalar, Lane::I32, [byte, NONE, NONE]);
                self.widened(scalar, dtype, byte)
            }
        }
    }

    /// Lanes of `u8` or `bool`, widened to 32 bits, as what bodies work with.
    fn widened(&mut self, shape: Shape, dtype: DType, lanes: Reg) -> Reg {
        match dtype {
            DType::Bool => self.convert(shape, Lane::I32, Lane::Mask, lanes),
            DType::U8 | DType::F32 | DType::F64 | DType::I32 | DType::I64 => lanes,
        }
    }

    fn store_element(&mut self, dtype: DType, value: Reg, mem: Mem) {
        let store = |op, width, value| {
            let src = [value, NONE, NONE];
            Inst { width, src, mem: Some(mem), ..Inst::new(op) }
        };
        match dtype {
            DType::F32 | DType::I32 => self.effect(store(Op::StoreOne, 4, value)),
            DType::F64 | DType::I64 => self.effect(store(Op::StoreOne, 8, value)),
            DType::U8 => self.effect(store(Op::ExtractByte, 4, value)),
            DType::Bool => {
                let general = match self.level {
                    Level::Avx512 => {
                        let src = [value, NONE, NONE];
                        self.push(Class::General, Inst { src, ..Inst::new(Op::KToG) })
                    }
                    Level::Avx2 => {
                        let src = [value, NONE, NONE];
                        self.push(Class::General, Inst { src, ..Inst::new(Op::ToG) })
                    }
                };
                let src = [general, NONE, NONE];
                let one = self.push(Class::General, Inst { src, imm: 1, ..Inst::new(Op::AndG) });
                self.effect(store(Op::StoreByteG, 4, one));
            }
        }
    }

    /// Bytes side by side in the low quarter of a vector, as lanes.
    fn bytes_to_lanes(&mut self, shape: Shape, dtype: DType, bytes: Reg) -> Reg {
        match (self.level, dtype) {
            (Level::Avx512, DType::Bool) => {
                let src = [bytes, bytes, NONE];
                self.push(Class::Mask, Inst { src, ..Inst::new(Op::TestBytes) })
            }
            (Level::Avx2, _) if shape.width == 8 => {
                self.give_up("bytes beside lanes of eight bytes");
                bytes
            }
            _ => {
                let lanes = self.vector(Op::Widen, shape, Lane::I32, [bytes, NONE, NONE]);
                self.widened(shape, dtype, lanes)
            }
        }
    }

    /// Lanes as bytes side by side in the low quarter of a vector.
    fn lanes_to_bytes(&mut self, shape: Shape, dtype: DType, value: Reg) -> Reg {
        if dtype == DType::Bool {
            let at = self.row(&[1; 16]);
            let mem = Some(Mem::at(Reg::TABLE, at));
            return self.push(Class::Vector, Inst { mem, mask: value, ..Inst::new(Op::LoadBytes) });
        }
        self.vector(Op::Narrow, shape, Lane::I32, [value, NONE, NONE])
    }

    fn load_bytes(&mut self, shape: Shape, ptr: Ptr<Reg>, run: Run) -> Reg {
        let mem = Some(self.operand(ptr));
        if run.stride == 1 && self.level == Level::Avx512 {
            let mask = if run.lanes == 16 { NONE } else { self.first_lanes(shape, run.lanes) };
            let bytes = self.push(Class::Vector, Inst { mem, mask, ..Inst::new(Op::LoadBytes) });
            return self.bytes_to_lanes(shape, run.dtype, bytes);
        }
        if run.stride == 1 && run.lanes == 8 {
            let eight = Inst { mem, width: 8, ..Inst::new(Op::LoadOne) };
            let bytes = self.push(Class::Vector, eight);
            return self.bytes_to_lanes(shape, run.dtype, bytes);
        }
        let mut bytes = self.constant_bits(0, 4);
        for j in 0..run.lanes {
            let mem = Some(self.operand(ptr.plus(run.step(j))));
            let src = [bytes, NONE, NONE];
            let inst = Inst { mem, src, imm: j as i32, ..Inst::new(Op::InsertByte) };
            bytes = self.push(Class::Vector, inst);
        }
        self.bytes_to_lanes(shape, run.dtype, bytes)
    }

    fn store_bytes(&mut self, shape: Shape, value: Reg, ptr: Ptr<Reg>, run: Run) {
        let bytes = self.lanes_to_bytes(shape, run.dtype, value);
        let src = [bytes, NONE, NONE];
        if run.stride == 1 {
            let mask = if run.lanes == 16 { NONE } else { self.first_lanes(shape, run.lanes) };
            let mem = Some(self.operand(ptr));
            return self.effect(Inst { mem, src, mask, ..Inst::new(Op::StoreBytes) });
        }
        for j in 0..run.lanes {
            let mem = Some(self.operand(ptr.plus(run.step(j))));
            self.effect(Inst { mem, src, imm: j as i32, ..Inst::new(Op::ExtractByte) });
        }
    }

    /// Elements far apart, one by one, with AVX2.
    fn collect(&mut self, shape: Shape, lane: Lane, ptr: Ptr<Reg>, run: Run) -> Reg {
        let half = shape.lanes / 2;
        let mut halves = vec![];
        for first in (0..run.lanes).step_by(half) {
            let mut low = NONE;
            for j in first..run.lanes.min(first + half) {
                let mem = Some(self.operand(ptr.plus(run.step(j))));
                let inst = self.inst(Op::LoadOne, Shape::SCALAR, lane, [low, NONE, NONE]);
                let at = (j - first) as i32;
                let inst = match low {
                    NONE => inst,
                    _ => Inst { op: Op::InsertOne, imm: at << 4, ..inst },
                };
                low = self.push(Class::Vector, Inst { mem, ..inst });
            }
            halves.push(low);
        }
        match *halves {
            [low, high] => {
                let inst = self.inst(Op::Join, shape, lane, [low, high, NONE]);
                self.push(Class::Vector, Inst { imm: 1, ..inst })
            }
            _ => halves.first().map_or(NONE, |&low| low),
        }
    }

    /// Numbers of elements from the first lane to each, in 32 bits, and the address that counts them.
    fn spread(&mut self, shape: Shape, ptr: Ptr<Reg>, run: Run) -> Option<(Reg, Mem)> {
        let reach = run.stride.checked_mul(shape.lanes).filter(|&r| i32::try_from(r).is_ok());
        let Some(_) = reach else {
            self.give_up("strides of more than 2 GiB");
            return None;
        };
        let bytes = |j: usize| ((j * run.stride) as u32).to_le_bytes();
        // Half as many lanes of four bytes as of eight; the rest is not looked at.
        let lanes = (16usize << self.level.size()) / 4;
        let row = (0..lanes).flat_map(|j| bytes(if j < shape.lanes { j } else { 0 })).collect();
        let steps = self.constant_row(row);
        let mut mem = self.operand(ptr);
        if mem.index != NONE {
            let inst = Inst { mem: Some(mem), ..Inst::new(Op::Lea) };
            mem = Mem::at(self.push(Class::General, inst), 0);
        }
        Some((steps, Mem { index: steps, scale: run.dtype.bytes() as u8, ..mem }))
    }

    /// Stores the first lanes in pieces of 32, 16, 8 and 4 bytes. Loads that lie beside what a masked store leaves out
    /// would wait for it, and those of the next row often do.
    fn store_part(&mut self, shape: Shape, lane: Lane, value: Reg, ptr: Ptr<Reg>, run: Run) {
        let width = usize::from(self.width(shape, lane));
        let mut first = 0;
        for (bytes, op, size) in
            [(32, Op::Store, 1), (16, Op::Store, 0), (8, Op::StoreOne, 0), (4, Op::StoreOne, 0)]
        {
            let lanes = bytes / width;
            if lanes == 0 || run.lanes - first < lanes {
                continue;
            }
            let part = if first == 0 { value } else { self.lanes_from(shape, lane, value, first) };
            let mem = Some(self.operand(ptr.plus(run.step(first))));
            let src = [part, NONE, NONE];
            let width = if op == Op::StoreOne { bytes as u8 } else { width as u8 };
            self.effect(Inst { mem, width, size, src, ..Inst::new(op) });
            first += lanes;
        }
    }

    /// A mask that a gather or scatter may use up.
    fn used_up(&mut self, shape: Shape, lanes: usize) -> Reg {
        let mask = self.first_lanes(shape, lanes);
        self.push(Class::Mask, Inst { src: [mask, NONE, NONE], ..Inst::new(Op::Copy) })
    }

    /// Whether the position is inside, and the address of that element.
    fn indexed(&mut self, ptr: Ptr<Reg>, at: Reg, bound: Bound) -> (Reg, Mem) {
        let (scalar, lane) = (Shape::SCALAR, Lane::I64);
        let size = self.constant_bits(bound.size.into(), 8);
        let first = self.first_lanes(scalar, 1);
        let less =
            Inst { imm: 1, mask: first, ..self.inst(Op::CompareU, scalar, lane, [at, size, NONE]) };
        let inside = self.push(Class::Mask, less);
        let general = Inst { width: 8, src: [at, NONE, NONE], ..Inst::new(Op::ToG) };
        let general = self.push(Class::General, general);
        let by = self.times(general, bound.bytes);
        let there = self.add(ptr.base, by);
        (inside, self.operand(Ptr { base: there, bytes: ptr.bytes }))
    }

    /// Rows and columns of four lanes change places within each 16 bytes of four vectors.
    fn turned(&mut self, shape: Shape, lane: Lane, [a, b, c, d]: [Reg; 4]) -> [Reg; 4] {
        let wide = if lane.is_float() { Lane::F64 } else { Lane::I64 };
        let mut mix = |op, lane, a, b| self.vector(op, shape, lane, [a, b, NONE]);
        let (low_ab, high_ab) = (mix(Op::UnpackLow, lane, a, b), mix(Op::UnpackHigh, lane, a, b));
        let (low_cd, high_cd) = (mix(Op::UnpackLow, lane, c, d), mix(Op::UnpackHigh, lane, c, d));
        [
            mix(Op::UnpackLow, wide, low_ab, low_cd),
            mix(Op::UnpackHigh, wide, low_ab, low_cd),
            mix(Op::UnpackLow, wide, high_ab, high_cd),
            mix(Op::UnpackHigh, wide, high_ab, high_cd),
        ]
    }

    /// The instruction that moves one element under a mask.
    fn masked(&self, dtype: DType, one: Op, bytes: Op) -> Inst {
        match dtype {
            DType::F32 | DType::I32 => Inst::new(one),
            DType::F64 | DType::I64 => Inst { width: 8, ..Inst::new(one) },
            DType::U8 | DType::Bool => Inst::new(bytes),
        }
    }
}

impl Memory for Wide {
    fn arg(&mut self, arg: usize) -> Ptr<Reg> {
        let at = 8 * arg as i32;
        let mem = Some(Mem::at(Reg::ARGS, at));
        let base = self.push(Class::General, Inst { mem, ..Inst::new(Op::LoadG) });
        self.infos[base.index()].home = Home::Argument(at);
        Ptr { base, bytes: 0 }
    }

    fn slot(&mut self, bytes: usize) -> Ptr<Reg> {
        let at = self.frame.next_multiple_of(64);
        self.frame = at + bytes;
        let mem = Some(Mem::at(Reg::FRAME, at as i32));
        let base = self.push(Class::General, Inst { mem, ..Inst::new(Op::Lea) });
        Ptr { base, bytes: 0 }
    }

    fn load_run(&mut self, shape: Shape, lane: Lane, ptr: Ptr<Reg>, run: Run) -> Reg {
        let mem = self.operand(ptr);
        if !shape.is_vector() {
            return self.load_element(run.dtype, mem);
        }
        if run.stride == 0 {
            if run.dtype.bytes() > 1 {
                return self.load(Op::Splat, shape, lane, mem);
            }
            let inst = Inst { mem: Some(mem), ..Inst::new(Op::LoadByteG) };
            let byte = self.push(Class::General, inst);
            // Masks are made of lanes as wide as theirs.
            let mask = lane == Lane::Mask && shape.width == 8;
            let ints = if mask { Lane::I64 } else { Lane::I32 };
            let all = self.index(shape, ints, byte, false);
            return if lane == Lane::Mask { self.convert(shape, ints, lane, all) } else { all };
        }
        if run.dtype.bytes() == 1 {
            return self.load_bytes(shape, ptr, run);
        }
        if run.stride > 1 && self.level == Level::Avx2 {
            return self.collect(shape, lane, ptr, run);
        }
        if run.stride > 1 {
            let Some((_, mem)) = self.spread(shape, ptr, run) else { return mem.base };
            let mask = self.used_up(shape, run.lanes);
            let inst =
                Inst { mem: Some(mem), mask, ..self.inst(Op::Gather, shape, lane, [NONE; 3]) };
            return self.push(Class::Vector, inst);
        }
        if run.lanes == shape.lanes {
            return self.load(Op::Load, shape, lane, mem);
        }
        let mask = self.first_lanes(shape, run.lanes);
        let inst = match self.level {
            Level::Avx512 => Inst { mask, ..self.inst(Op::Load, shape, lane, [NONE; 3]) },
            Level::Avx2 => self.inst(Op::LoadV, shape, lane, [mask, NONE, NONE]),
        };
        self.push(Class::Vector, Inst { mem: Some(mem), ..inst })
    }

    fn store_run(&mut self, shape: Shape, lane: Lane, value: Reg, ptr: Ptr<Reg>, run: Run) {
        let mem = self.operand(ptr);
        if !shape.is_vector() {
            return self.store_element(run.dtype, value, mem);
        }
        if run.stride == 0 {
            let last = self.extract(shape, lane, value, run.lanes - 1);
            return self.store_element(run.dtype, last, mem);
        }
        if run.dtype.bytes() == 1 {
            return self.store_bytes(shape, value, ptr, run);
        }
        if run.stride > 1 && self.level == Level::Avx2 {
            for j in 0..run.lanes {
                let element = self.extract(shape, lane, value, j);
                let mem = self.operand(ptr.plus(run.step(j)));
                self.store_element(run.dtype, element, mem);
            }
            return;
        }
        let src = [value, NONE, NONE];
        if run.stride > 1 {
            let Some((_, mem)) = self.spread(shape, ptr, run) else { return };
            let mask = self.used_up(shape, run.lanes);
            return self.effect(Inst {
                mem: Some(mem),
                mask,
                ..self.inst(Op::Scatter, shape, lane, src)
            });
        }
        if run.lanes < shape.lanes {
            return self.store_part(shape, lane, value, ptr, run);
        }
        self.effect(Inst { mem: Some(mem), ..self.inst(Op::Store, shape, lane, src) });
    }

    fn load_at(
        &mut self,
        (dtype, lane): (DType, Lane),
        ptr: Ptr<Reg>,
        at: Reg,
        bound: Bound,
    ) -> Reg {
        let (inside, mem) = self.indexed(ptr, at, bound);
        let load = self.masked(dtype, Op::LoadOne, Op::LoadBytes);
        let element = self.push(Class::Vector, Inst { mem: Some(mem), mask: inside, ..load });
        if !lane.is_float() {
            return self.widened(Shape::SCALAR, dtype, element);
        }
        let nan = match lane {
            Lane::F32 => self.constant_bits(f32::NAN.to_bits().into(), 4),
            _ => self.constant_bits(f64::NAN.to_bits(), 8),
        };
        self.select(Shape::SCALAR, lane, inside, element, nan)
    }

    fn add_at(
        &mut self,
        (dtype, lane): (DType, Lane),
        value: Reg,
        ptr: Ptr<Reg>,
        at: Reg,
        bound: Bound,
    ) {
        let (inside, mem) = self.indexed(ptr, at, bound);
        let load = self.masked(dtype, Op::LoadOne, Op::LoadBytes);
        let before = self.push(Class::Vector, Inst { mem: Some(mem), mask: inside, ..load });
        let sum = self.binary(Shape::SCALAR, BinaryInst::Add, lane, before, value);
        let store = self.masked(dtype, Op::StoreOne, Op::StoreBytes);
        let src = [sum, NONE, NONE];
        self.effect(Inst { mem: Some(mem), mask: inside, src, ..store });
    }

    fn prefetch(&mut self, ptr: Ptr<Reg>) {
        let mem = Some(self.operand(ptr));
        self.effect(Inst { mem, ..Inst::new(Op::Prefetch) });
    }

    /// Quarters of vectors hold four places each, so that one transposition within quarters is enough.
    fn load_transposed(
        &mut self,
        shape: Shape,
        lane: Lane,
        ptr: Ptr<Reg>,
        bytes: i64,
        lanes: usize,
    ) -> [Reg; 4] {
        let quarters = shape.lanes / 4;
        let place = |j: usize| ptr.plus(bytes.wrapping_mul(j.min(lanes - 1) as i64));
        let rows = [0, 1, 2, 3].map(|i| {
            let first = self.operand(place(i));
            let mut row = self.load(Op::Load, Shape::SCALAR, lane, first);
            for quarter in 1..quarters {
                // What follows the last lane is not looked at.
                if 4 * quarter >= lanes {
                    break;
                }
                let mem = Some(self.operand(place(4 * quarter + i)));
                let inst = self.inst(Op::InsertQuarter, shape, Lane::I32, [row, NONE, NONE]);
                row = self.push(Class::Vector, Inst { mem, imm: quarter as i32, ..inst });
            }
            row
        });
        self.turned(shape, lane, rows)
    }

    fn store_transposed(
        &mut self,
        shape: Shape,
        lane: Lane,
        values: [Reg; 4],
        ptr: Ptr<Reg>,
        bytes: i64,
    ) {
        for (i, row) in self.turned(shape, lane, values).into_iter().enumerate() {
            for quarter in 0..shape.lanes / 4 {
                let place = ptr.plus(bytes.wrapping_mul((4 * quarter + i) as i64));
                let mem = Some(self.operand(place));
                if quarter == 0 {
                    let store = self.inst(Op::Store, Shape::SCALAR, lane, [row, NONE, NONE]);
                    self.effect(Inst { mem, ..store });
                    continue;
                }
                let store = self.inst(Op::StoreQuarter, shape, lane, [row, NONE, NONE]);
                self.effect(Inst { mem, imm: quarter as i32, ..store });
            }
        }
    }
}
