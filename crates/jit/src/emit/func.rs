//! What every kernel is written with: loops, addresses, constants and loads and stores of single elements.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, I8, I32, I64};
use cranelift_codegen::ir::{
    Block, BlockArg, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind, Type,
    Value,
};
use cranelift_frontend::FunctionBuilder;
use eggrad_ir::DType;

/// A position along a loop dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pos {
    /// Known when compiling.
    Const(i64),
    /// The counter of a loop.
    Dyn(Value),
}

/// An address: a register plus bytes known when compiling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ptr {
    base: Value,
    bytes: i64,
}

impl Ptr {
    /// `bytes` further on.
    pub(crate) fn plus(self, bytes: i64) -> Ptr {
        Ptr { base: self.base, bytes: self.bytes.wrapping_add(bytes) }
    }
}

/// A loop whose body is being written.
pub(crate) struct Loop {
    kind: LoopKind,
    /// Where the loop stands.
    pub(crate) pos: Pos,
    /// Values handed from one round to the next.
    pub(crate) carried: Vec<Value>,
}

enum LoopKind {
    /// Runs once: no code.
    Once,
    /// Tested at the bottom. Carries nothing.
    Counted { header: Block, step: i64, end: Pos },
    /// Tested at the top.
    While { header: Block, exit: Block, step: i64 },
}

/// Instructions that only some processors have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// Fused multiply-add.
    pub(crate) fma: bool,
    /// Rounding to whole numbers.
    pub(crate) rounds: bool,
}

/// The function being written.
pub(crate) struct Gen<'f> {
    pub(crate) b: FunctionBuilder<'f>,
    /// What the processor has.
    pub(crate) features: Features,
    args: Value,
    table: Value,
    rows: Vec<[u8; 16]>,
}

/// Memory that is there but perhaps not aligned.
pub(crate) fn memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl<'f> Gen<'f> {
    /// Starts a kernel `fn(args, begin, end)` with `count` arguments, behind which `args` holds the address of the
    /// table of constants. Returns `begin` and `end` too.
    pub(crate) fn new(
        mut b: FunctionBuilder<'f>,
        features: Features,
        count: usize,
    ) -> (Gen<'f>, Value, Value) {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let (args, begin, end) =
            (b.block_params(entry)[0], b.block_params(entry)[1], b.block_params(entry)[2]);
        let table = b.ins().load(I64, memory(), args, 8 * count as i32);
        (Gen { b, features, args, table, rows: vec![] }, begin, end)
    }

    /// Ends the kernel; returns the table of constants.
    pub(crate) fn finish(
        mut self,
        config: cranelift_codegen::isa::TargetFrontendConfig,
    ) -> Vec<u8> {
        self.b.ins().return_(&[]);
        self.b.seal_all_blocks();
        self.b.finalize(config);
        self.rows.concat()
    }

    /// Address of the first byte behind argument `arg`.
    pub(crate) fn arg(&mut self, arg: usize) -> Ptr {
        let base = self.b.ins().load(I64, memory(), self.args, 8 * arg as i32);
        Ptr { base, bytes: 0 }
    }

    /// Sixteen constant bytes as a vector of type `ty`. Asked for anew at each use, so that the load can become an
    /// operand in memory.
    pub(crate) fn table_row(&mut self, ty: Type, row: [u8; 16]) -> Value {
        let at = self.rows.iter().position(|r| *r == row).unwrap_or_else(|| {
            self.rows.push(row);
            self.rows.len() - 1
        });
        let flags = MemFlagsData::trusted().with_readonly();
        self.b.ins().load(ty, flags, self.table, 16 * at as i32)
    }

    /// Opens a loop over `0, step, 2·step ..` below `count`, which is not 0.
    pub(crate) fn open(&mut self, count: usize, step: usize, carried: &[Value]) -> Loop {
        if count <= step {
            return Loop { kind: LoopKind::Once, pos: Pos::Const(0), carried: carried.to_vec() };
        }
        let begin = self.b.ins().iconst(I64, 0);
        self.open_counted(begin, Pos::Const(count as i64), step as i64, carried)
    }

    /// Opens a loop over `begin..end`, which is not empty.
    pub(crate) fn open_range(&mut self, begin: Value, end: Value, carried: &[Value]) -> Loop {
        self.open_counted(begin, Pos::Dyn(end), 1, carried)
    }

    /// Loops that carry values are tested at the top: a value handed both to the next round and to what follows counts
    /// as used twice, and so does all it is computed from, which keeps Cranelift from loading operands from memory.
    fn open_counted(&mut self, begin: Value, end: Pos, step: i64, carried: &[Value]) -> Loop {
        let header = self.b.create_block();
        let pos = self.b.append_block_param(header, I64);
        let mut enter = vec![BlockArg::from(begin)];
        let mut params = vec![];
        for &value in carried {
            let ty = self.b.func.dfg.value_type(value);
            params.push(self.b.append_block_param(header, ty));
            enter.push(value.into());
        }
        self.b.ins().jump(header, &enter);
        self.b.switch_to_block(header);
        if carried.is_empty() {
            let kind = LoopKind::Counted { header, step, end };
            return Loop { kind, pos: Pos::Dyn(pos), carried: params };
        }
        let [body, exit] = [(); 2].map(|()| self.b.create_block());
        let end = self.pos(end);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, pos, end);
        self.b.ins().brif(more, body, &[], exit, &[]);
        self.b.switch_to_block(body);
        Loop { kind: LoopKind::While { header, exit, step }, pos: Pos::Dyn(pos), carried: params }
    }

    /// Opens a loop from `begin` by `step` while a whole step fits below `end`. Carries nothing.
    pub(crate) fn open_while(&mut self, begin: Value, end: Value, step: usize) -> Loop {
        let [header, body, exit] = [(); 3].map(|()| self.b.create_block());
        let pos = self.b.append_block_param(header, I64);
        self.b.ins().jump(header, &[begin.into()]);
        self.b.switch_to_block(header);
        let next = self.b.ins().iadd_imm_s(pos, step as i64);
        let fits = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, next, end);
        self.b.ins().brif(fits, body, &[], exit, &[]);
        self.b.switch_to_block(body);
        let kind = LoopKind::While { header, exit, step: step as i64 };
        Loop { kind, pos: Pos::Dyn(pos), carried: vec![] }
    }

    /// Closes the loop; returns the carried values after it. `next` are those of the next round.
    pub(crate) fn close(&mut self, lp: Loop, next: &[Value]) -> Vec<Value> {
        match (lp.kind, lp.pos) {
            (LoopKind::Once, _) => next.to_vec(),
            (LoopKind::Counted { header, step, end }, Pos::Dyn(pos)) => {
                let exit = self.b.create_block();
                let pos = self.b.ins().iadd_imm_s(pos, step);
                let end = self.pos(end);
                let more = self.b.ins().icmp(IntCC::SignedLessThan, pos, end);
                self.b.ins().brif(more, header, &[pos.into()], exit, &[]);
                self.b.switch_to_block(exit);
                vec![]
            }
            (LoopKind::While { header, exit, step }, Pos::Dyn(pos)) => {
                let mut again = vec![BlockArg::from(self.b.ins().iadd_imm_s(pos, step))];
                again.extend(next.iter().map(|&value| BlockArg::from(value)));
                self.b.ins().jump(header, &again);
                self.b.switch_to_block(exit);
                lp.carried
            }
            (LoopKind::Counted { .. } | LoopKind::While { .. }, Pos::Const(_)) => {
                panic!("internal error: a loop without a counter")
            }
        }
    }

    /// The position as a 64-bit integer.
    pub(crate) fn pos(&mut self, pos: Pos) -> Value {
        match pos {
            Pos::Const(c) => self.b.ins().iconst(I64, c),
            Pos::Dyn(v) => v,
        }
    }

    /// The position `by` further on.
    pub(crate) fn pos_plus(&mut self, pos: Pos, by: i64) -> Pos {
        match pos {
            Pos::Const(c) => Pos::Const(c + by),
            Pos::Dyn(v) if by == 0 => Pos::Dyn(v),
            Pos::Dyn(v) => Pos::Dyn(self.b.ins().iadd_imm_s(v, by)),
        }
    }

    /// The sum of two positions.
    pub(crate) fn pos_add(&mut self, a: Pos, b: Pos) -> Pos {
        match (a, b) {
            (a, Pos::Const(b)) => self.pos_plus(a, b),
            (Pos::Const(a), b) => self.pos_plus(b, a),
            (Pos::Dyn(a), Pos::Dyn(b)) => Pos::Dyn(self.b.ins().iadd(a, b)),
        }
    }

    /// The address `pos · bytes` further on.
    pub(crate) fn advance(&mut self, ptr: Ptr, pos: Pos, bytes: i64) -> Ptr {
        match pos {
            _ if bytes == 0 => ptr,
            Pos::Const(c) => ptr.plus(c.wrapping_mul(bytes)),
            Pos::Dyn(v) => {
                let by = self.scaled(v, bytes);
                Ptr { base: self.b.ins().iadd(ptr.base, by), bytes: ptr.bytes }
            }
        }
    }

    /// `v · factor`, as the shift that addressing modes know where possible.
    fn scaled(&mut self, v: Value, factor: i64) -> Value {
        match factor {
            1 => v,
            _ if factor.count_ones() == 1 => {
                self.b.ins().ishl_imm_s(v, i64::from(factor.trailing_zeros()))
            }
            _ => self.b.ins().imul_imm_s(v, factor),
        }
    }

    /// The address in one register.
    pub(crate) fn address(&mut self, ptr: Ptr) -> Value {
        match ptr.bytes {
            0 => ptr.base,
            bytes => self.b.ins().iadd_imm_s(ptr.base, bytes),
        }
    }

    fn split(&mut self, ptr: Ptr) -> (Value, i32) {
        match i32::try_from(ptr.bytes) {
            Ok(bytes) => (ptr.base, bytes),
            Err(_) => (self.address(ptr), 0),
        }
    }

    /// Loads a value of type `ty`, whatever lies there.
    pub(crate) fn load(&mut self, ty: Type, ptr: Ptr) -> Value {
        let (base, bytes) = self.split(ptr);
        self.b.ins().load(ty, memory(), base, bytes)
    }

    /// Stores a value of any type.
    pub(crate) fn store(&mut self, value: Value, ptr: Ptr) {
        let (base, bytes) = self.split(ptr);
        self.b.ins().store(memory(), value, base, bytes);
    }

    /// Loads an element as a scalar of its lane type.
    pub(crate) fn load_element(&mut self, dtype: DType, ptr: Ptr) -> Value {
        match dtype {
            DType::F32 => self.load(F32, ptr),
            DType::F64 => self.load(F64, ptr),
            DType::I32 => self.load(I32, ptr),
            DType::I64 => self.load(I64, ptr),
            DType::U8 => {
                let (base, bytes) = self.split(ptr);
                self.b.ins().uload8(I32, memory(), base, bytes)
            }
            DType::Bool => {
                let byte = self.load(I8, ptr);
                self.b.ins().icmp_imm_u(IntCC::NotEqual, byte, 0)
            }
        }
    }

    /// Stores a scalar of the lane type of `dtype`; `u8` keeps the low byte.
    pub(crate) fn store_element(&mut self, dtype: DType, value: Value, ptr: Ptr) {
        match dtype {
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool => {
                self.store(value, ptr);
            }
            DType::U8 => {
                let (base, bytes) = self.split(ptr);
                self.b.ins().istore8(memory(), value, base, bytes);
            }
        }
    }

    /// Bytes on the stack.
    pub(crate) fn slot(&mut self, bytes: usize) -> Ptr {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 4);
        let slot: StackSlot = self.b.create_sized_stack_slot(data);
        Ptr { base: self.b.ins().stack_addr(I64, slot, 0), bytes: 0 }
    }
}
