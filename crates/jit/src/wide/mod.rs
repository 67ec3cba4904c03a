//! Kernels as machine code of our own, for vectors that Cranelift cannot write: 512 bits with AVX-512, 256 with AVX2.
//!
//! The traits of `emit` fill a function of virtual registers (`code`), loops included. What nobody reads goes and
//! loads become operands (`prepare`), registers are assigned in one walk (`allocate`), and `iced-x86` writes the bytes
//! (`encode`). The function follows the System V calling convention, calls nothing and refers to nothing but its
//! arguments. What this back end does not do is left to Cranelift, kernel by kernel.

mod allocate;
mod code;
mod codes;
mod encode;
mod lanes;
mod loops;
mod memory;
mod prepare;
mod special;

use crate::codegen::LoopNest;
use crate::emit::{Emitter, Shares, Tuning};
pub(crate) use crate::wide::code::Level;
use crate::wide::code::{Op, Reg, Wide};
use iced_x86::Code;

static AVX2: Tuning = Tuning {
    vector_bytes: 32,
    mixes: false,
    copies: |size| match size {
        0..=8 => 4,
        9..=40 => 2,
        _ => 1,
    },
    repeated: 64,
    tiles: &TILES_16,
    latency: 8,
    transposed_rows: 8,
    inline_epilogue: 8,
};

static AVX512: Tuning = Tuning {
    vector_bytes: 64,
    mixes: true,
    copies: |size| match size {
        0..=8 => 4,
        9..=140 => 2,
        _ => 1,
    },
    repeated: 400,
    tiles: &TILES_32,
    latency: 8,
    transposed_rows: 16,
    inline_epilogue: 8,
};

/// For sixteen registers.
#[rustfmt::skip]
const TILES_16: [(usize, usize); 15] = [
    (6, 2), (5, 2), (4, 3), (3, 4), (4, 2), (3, 3), (2, 5), (2, 4), (1, 8), (1, 4), (2, 2),
    (8, 1), (4, 1), (2, 1), (1, 1),
];

/// For thirty-two registers: accumulators, a vector of the right operand for each column, and one of the left, which
/// may also be read from memory by each multiply-add.
#[rustfmt::skip]
const TILES_32: [(usize, usize); 58] = [
    (14, 2), (13, 2), (12, 2), (11, 2), (10, 2), (9, 3), (8, 3), (9, 2), (7, 3), (6, 4), (5, 5), (8, 2), (6, 3), (5, 4),
    (4, 6), (7, 2), (4, 5), (6, 2), (4, 4), (5, 3), (3, 7), (3, 6), (3, 5), (5, 2), (4, 3), (3, 4), (2, 10), (2, 8),
    (4, 2), (3, 3), (2, 6), (2, 5), (2, 4), (3, 2), (2, 3), (2, 2), (1, 14), (1, 12), (1, 10), (1, 8), (1, 7), (1, 6),
    (1, 5), (1, 4), (1, 3), (1, 2), (24, 1), (20, 1), (16, 1), (12, 1), (10, 1), (8, 1), (6, 1), (5, 1), (4, 1), (3, 1),
    (2, 1), (1, 1),
];

impl Emitter for Wide {
    fn tuning(&self) -> &'static Tuning {
        match self.level {
            Level::Avx2 => &AVX2,
            Level::Avx512 => &AVX512,
        }
    }
}

/// A kernel as bytes.
pub(crate) struct Function {
    pub(crate) bytes: Vec<u8>,
    /// Constants that the argument after the last one points to.
    pub(crate) table: Vec<u8>,
    pub(crate) shares: Shares,
    pub(crate) listing: Option<String>,
}

/// The code of a kernel with `args` arguments; none if it is left to Cranelift. The error is a bug's text.
pub(crate) fn compile(
    level: Level,
    nest: LoopNest<'_>,
    args: usize,
    listing: bool,
) -> Result<Option<Function>, String> {
    let mut wide = Wide::new(level, args);
    let shares = crate::emit::emit(&mut wide, nest, Reg::BEGIN, Reg::END);
    let (code, uses) = prepare::prepare(&wide);
    let has_code = |inst: &code::Inst| match inst.op {
        Op::Fma
        | Op::Copy
        | Op::SetG
        | Op::MulG
        | Op::ShrG
        | Op::AndG
        | Op::LeastG
        | Op::StoreByteG
        | Op::Label(_)
        | Op::Exit(_)
        | Op::Again(_)
        | Op::Leave(_)
        | Op::Back(_) => true,
        op => codes::row(level, op, inst.width).code != Code::INVALID,
    };
    if wide.missing.is_some() || !code.iter().all(has_code) {
        return Ok(None);
    }
    let places = allocate::allocate(&wide, &code, &uses);
    let (bytes, listing) = encode::encode(&wide, &code, &places, listing)?;
    Ok(Some(Function { bytes, table: wide.table, shares, listing }))
}
