//! A Cranelift function being written: its arguments, constants, positions and loops.

use crate::emit::{Loop, Loops, Pos, Ptr};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData, Type, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;

/// An open loop.
pub(crate) enum Frame {
    /// Tested at the bottom. Carries nothing.
    Counted { header: Block, step: i64, end: Pos<Value> },
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

impl Features {
    /// Those of the processor that `isa` describes.
    pub(crate) fn of(isa: &dyn TargetIsa) -> Features {
        // What x86-64 has as an option of this name, and other architectures always.
        let has = |name: &str| {
            let flag = isa.isa_flags().into_iter().find(|flag| flag.name == name);
            flag.is_none_or(|flag| flag.as_bool() == Some(true))
        };
        Features { fma: has("has_fma"), rounds: has("has_sse41") }
    }
}

/// The function being written.
pub(crate) struct Gen<'f> {
    pub(crate) b: FunctionBuilder<'f>,
    /// What the processor has.
    pub(crate) features: Features,
    pub(crate) args: Value,
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

    /// The address in one register.
    pub(crate) fn address(&mut self, ptr: Ptr<Value>) -> Value {
        match ptr.bytes {
            0 => ptr.base,
            bytes => self.b.ins().iadd_imm_s(ptr.base, bytes),
        }
    }
}

impl Loops for Gen<'_> {
    type Reg = Value;
    type Frame = Frame;

    fn position(&mut self, c: i64) -> Value {
        self.b.ins().iconst(I64, c)
    }

    fn add(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().iadd(a, b)
    }

    fn add_const(&mut self, a: Value, c: i64) -> Value {
        self.b.ins().iadd_imm_s(a, c)
    }

    /// As the shift that addressing modes know where possible.
    fn times(&mut self, a: Value, factor: i64) -> Value {
        match factor {
            1 => a,
            _ if factor.count_ones() == 1 => {
                self.b.ins().ishl_imm_s(a, i64::from(factor.trailing_zeros()))
            }
            _ => self.b.ins().imul_imm_s(a, factor),
        }
    }

    fn least(&mut self, a: Value, b: Value) -> Value {
        self.b.ins().smin(a, b)
    }

    fn divide(&mut self, a: Value, by: usize, _: usize) -> Value {
        self.b.ins().udiv_imm_u(a, by as i64)
    }

    fn remainder(&mut self, a: Value, by: usize, _: usize) -> Value {
        if by.is_power_of_two() {
            let mask = self.position(by as i64 - 1);
            return self.b.ins().band(a, mask);
        }
        self.b.ins().urem_imm_u(a, by as i64)
    }

    /// Loops that carry values are tested at the top: a value handed both to the next round and to what follows counts
    /// as used twice, and so does all it is computed from, which keeps Cranelift from loading operands from memory.
    fn open_counted(
        &mut self,
        begin: Value,
        end: Pos<Value>,
        step: i64,
        carried: &[Value],
    ) -> Loop<Self> {
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
            let frame = Some(Frame::Counted { header, step, end });
            return Loop { frame, pos: Pos::Dyn(pos), carried: params };
        }
        let [body, exit] = [(); 2].map(|()| self.b.create_block());
        let end = self.pos(end);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, pos, end);
        self.b.ins().brif(more, body, &[], exit, &[]);
        self.b.switch_to_block(body);
        let frame = Some(Frame::While { header, exit, step });
        Loop { frame, pos: Pos::Dyn(pos), carried: params }
    }

    fn open_while(&mut self, begin: Value, end: Value, step: usize) -> Loop<Self> {
        let [header, body, exit] = [(); 3].map(|()| self.b.create_block());
        let pos = self.b.append_block_param(header, I64);
        self.b.ins().jump(header, &[begin.into()]);
        self.b.switch_to_block(header);
        let next = self.b.ins().iadd_imm_s(pos, step as i64);
        let fits = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, next, end);
        self.b.ins().brif(fits, body, &[], exit, &[]);
        self.b.switch_to_block(body);
        let frame = Some(Frame::While { header, exit, step: step as i64 });
        Loop { frame, pos: Pos::Dyn(pos), carried: vec![] }
    }

    fn close_frame(
        &mut self,
        frame: Frame,
        (pos, carried): (Value, Vec<Value>),
        next: &[Value],
    ) -> Vec<Value> {
        match frame {
            Frame::Counted { header, step, end } => {
                let exit = self.b.create_block();
                let pos = self.b.ins().iadd_imm_s(pos, step);
                let end = self.pos(end);
                let more = self.b.ins().icmp(IntCC::SignedLessThan, pos, end);
                self.b.ins().brif(more, header, &[pos.into()], exit, &[]);
                self.b.switch_to_block(exit);
                vec![]
            }
            Frame::While { header, exit, step } => {
                let mut again = vec![BlockArg::from(self.b.ins().iadd_imm_s(pos, step))];
                again.extend(next.iter().map(|&value| BlockArg::from(value)));
                self.b.ins().jump(header, &again);
                self.b.switch_to_block(exit);
                carried
            }
        }
    }
}
