//! Buffers as bytes.

use crate::plan::{Place, Plan};
use eggrad_ir::DType;

/// What memory holds before it is written: neither zero nor a sensible number.
pub(super) const GARBAGE: u8 = 0xA7;

/// Where the bytes of a plan's buffers are.
pub(super) struct Memory<'a> {
    pub(super) plan: &'a Plan,
    pub(super) inputs: &'a [&'a [u8]],
    pub(super) states: &'a mut [Vec<u8>],
    pub(super) outputs: Vec<Vec<u8>>,
    pub(super) arena: Vec<u8>,
}

impl Memory<'_> {
    pub(super) fn bytes(&self, buffer: usize) -> &[u8] {
        let b = &self.plan.buffers[buffer];
        match &b.place {
            Place::Input(i) => self.inputs[*i],
            Place::Output(i) => &self.outputs[*i],
            Place::State(i) => &self.states[*i],
            Place::Arena(offset) => &self.arena[*offset..offset + b.bytes()],
            Place::Constant(bytes) => bytes,
        }
    }

    pub(super) fn bytes_mut(&mut self, buffer: usize) -> &mut [u8] {
        let b = &self.plan.buffers[buffer];
        match &b.place {
            Place::Output(i) => &mut self.outputs[*i],
            Place::State(i) => &mut self.states[*i],
            Place::Arena(offset) => &mut self.arena[*offset..offset + b.bytes()],
            Place::Input(_) | Place::Constant(_) => {
                panic!("internal error: a kernel writes `{}`, which is read only", b.name)
            }
        }
    }

    pub(super) fn load(&self, buffer: usize, dtype: DType, element: usize) -> u64 {
        let bytes = &self.bytes(buffer)[element * dtype.bytes()..];
        match dtype {
            DType::F32 | DType::I32 => u64::from(u32::from_le_bytes(first(bytes))),
            DType::F64 | DType::I64 => u64::from_le_bytes(first(bytes)),
            DType::U8 => u64::from(bytes[0]),
            DType::Bool => u64::from(bytes[0] != 0),
        }
    }

    pub(super) fn store(&mut self, buffer: usize, dtype: DType, element: usize, value: u64) {
        let size = dtype.bytes();
        let at = element * size;
        self.bytes_mut(buffer)[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    pub(super) fn float(&self, buffer: usize) -> f64 {
        let dtype = self.plan.buffers[buffer].dtype;
        let bits = self.load(buffer, dtype, 0);
        if dtype == DType::F64 { f64::from_bits(bits) } else { f32::from_bits(bits as u32).into() }
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&bytes[..N]);
    word
}
