//! Where bodies and products read and write: places in the loops of a kernel, and vectors of elements there.

use crate::emit::func::{Gen, Pos, Ptr};
use crate::emit::inst::{Shape, bitcast_flags};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, F64X2, I32, I64, I64X2};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value as Reg};
use eggrad_body::{BinaryInst, Lane};
use eggrad_ir::DType;
use eggrad_schedule::Access;

/// Bytes between neighbours along dimension `dim`.
pub(crate) fn stride_bytes(access: &Access, dim: usize) -> i64 {
    (access.strides[dim] as i64).wrapping_mul(access.dtype.bytes() as i64)
}

/// What a body works on: a place in the loops of its kernel.
#[derive(Clone)]
pub(crate) struct Site<'k> {
    /// The kernel's accesses.
    pub(crate) accesses: &'k [Access],
    /// For each, the address of the element at `positions`.
    pub(crate) ptrs: Vec<Ptr>,
    /// Position along each loop dimension; that along `dim` is where the first lane stands.
    pub(crate) positions: Vec<Pos>,
    /// The dimension along which lanes lie.
    pub(crate) dim: usize,
    /// Results of earlier phases: scalars, or one for each lane.
    pub(crate) scalars: Vec<Reg>,
}

impl<'k> Site<'k> {
    /// Elements of access `access` between neighbouring lanes.
    pub(crate) fn stride(&self, access: usize) -> usize {
        self.accesses[access].strides[self.dim]
    }

    /// The place `pos + by` further along `dim`.
    pub(crate) fn at(&self, g: &mut Gen<'_>, pos: Pos, by: usize) -> Site<'k> {
        let mut positions = self.positions.clone();
        let here = g.pos_add(positions[self.dim], pos);
        positions[self.dim] = g.pos_plus(here, by as i64);
        let mut ptrs = self.ptrs.clone();
        for (access, ptr) in self.accesses.iter().zip(&mut ptrs) {
            let bytes = stride_bytes(access, self.dim);
            *ptr = g.advance(*ptr, pos, bytes).plus((by as i64).wrapping_mul(bytes));
        }
        let scalars = self.scalars.clone();
        Site { accesses: self.accesses, ptrs, positions, dim: self.dim, scalars }
    }

    /// The elements of an access, `by` positions on, in the first `lanes` lanes.
    pub(crate) fn load(
        &self,
        g: &mut Gen<'_>,
        shape: Shape,
        (access, lane): (usize, Lane),
        by: usize,
        lanes: usize,
    ) -> Reg {
        let ptr = self.ptrs[access].plus((by as i64).wrapping_mul(self.step(access)));
        let run = Run { dtype: self.accesses[access].dtype, stride: self.stride(access), lanes };
        g.load_run(shape, lane, ptr, run)
    }

    /// Writes the first `lanes` lanes to an access, `by` positions on.
    pub(crate) fn store(
        &self,
        g: &mut Gen<'_>,
        shape: Shape,
        (access, lane): (usize, Lane),
        value: Reg,
        by: usize,
        lanes: usize,
    ) {
        let ptr = self.ptrs[access].plus((by as i64).wrapping_mul(self.step(access)));
        let run = Run { dtype: self.accesses[access].dtype, stride: self.stride(access), lanes };
        g.store_run(shape, lane, value, ptr, run);
    }

    fn step(&self, access: usize) -> i64 {
        stride_bytes(&self.accesses[access], self.dim)
    }

    /// Whether the 64-bit index `at` is inside, and the address of that element, which is of no meaning outside.
    fn indexed(
        &self,
        g: &mut Gen<'_>,
        access: usize,
        at: Reg,
        size: u32,
        stride: u32,
    ) -> (Reg, Ptr) {
        let size = g.b.ins().iconst(I64, i64::from(size));
        let inside = g.b.ins().icmp(IntCC::UnsignedLessThan, at, size);
        let bytes = i64::from(stride) * self.accesses[access].dtype.bytes() as i64;
        (inside, g.advance(self.ptrs[access], Pos::Dyn(at), bytes))
    }

    /// The element `at · stride` further on; NaN or 0 unless `0 <= at < size`. Scalar code.
    pub(crate) fn load_at(
        &self,
        g: &mut Gen<'_>,
        (access, lane): (usize, Lane),
        at: Reg,
        size: u32,
        stride: u32,
    ) -> Reg {
        let outside = match lane {
            Lane::F32 => f32::NAN.to_bits().into(),
            Lane::F64 => f64::NAN.to_bits(),
            Lane::I32 | Lane::I64 | Lane::Mask => 0,
        };
        let outside = g.constant(Shape::SCALAR, lane, outside);
        let (inside, ptr) = self.indexed(g, access, at, size, stride);
        let [there, after] = [(); 2].map(|()| g.b.create_block());
        let result = g.b.append_block_param(after, Shape::SCALAR.ty(lane));
        g.b.ins().brif(inside, there, &[], after, &[BlockArg::from(outside)]);
        g.b.switch_to_block(there);
        let element = g.load_element(self.accesses[access].dtype, ptr);
        g.b.ins().jump(after, &[BlockArg::from(element)]);
        g.b.switch_to_block(after);
        result
    }

    /// Adds to the element `at · stride` further on, if `0 <= at < size`. Scalar code.
    pub(crate) fn add_at(
        &self,
        g: &mut Gen<'_>,
        (access, lane): (usize, Lane),
        value: Reg,
        at: Reg,
        size: u32,
        stride: u32,
    ) {
        let (inside, ptr) = self.indexed(g, access, at, size, stride);
        let [there, after] = [(); 2].map(|()| g.b.create_block());
        g.b.ins().brif(inside, there, &[], after, &[]);
        g.b.switch_to_block(there);
        let dtype = self.accesses[access].dtype;
        let before = g.load_element(dtype, ptr);
        let sum = g.binary(Shape::SCALAR, BinaryInst::Add, lane, before, value);
        g.store_element(dtype, sum, ptr);
        g.b.ins().jump(after, &[]);
        g.b.switch_to_block(after);
    }
}

/// Elements side by side.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Type in memory.
    pub(crate) dtype: DType,
    /// Elements from one to the next.
    pub(crate) stride: usize,
    /// How many; lanes after them are 0 when loaded and not stored.
    pub(crate) lanes: usize,
}

impl Run {
    fn step(self, j: usize) -> i64 {
        (self.stride * self.dtype.bytes()).wrapping_mul(j) as i64
    }

    /// Whether the elements fill a vector that lies in memory as in a register.
    fn is_vector(self, shape: Shape) -> bool {
        self.stride == 1 && self.lanes == shape.lanes && self.dtype.bytes() == shape.width
    }

    /// Whether they are four neighbouring bytes for four lanes of four bytes.
    fn is_bytes(self, shape: Shape) -> bool {
        let all = self.stride == 1 && self.lanes == shape.lanes;
        all && shape.width == 4 && self.dtype.bytes() == 1
    }

    /// Whether the first two fill 64 bits that lie in memory as in a register.
    fn has_pair(self, shape: Shape) -> bool {
        self.stride == 1 && self.lanes >= 2 && shape.width == 4 && self.dtype.bytes() == 4
    }
}

impl Gen<'_> {
    /// Loads elements into the lanes of a vector; in scalar code, one element.
    pub(crate) fn load_run(&mut self, shape: Shape, lane: Lane, ptr: Ptr, run: Run) -> Reg {
        if !shape.is_vector() || run.stride == 0 {
            let element = self.load_element(run.dtype, ptr);
            return self.splat(shape, lane, element);
        }
        if run.is_vector(shape) {
            return self.load(shape.ty(lane), ptr);
        }
        if run.is_bytes(shape) {
            let four = self.load(I32, ptr);
            let ints = self.widen_bytes(four);
            return self.convert(shape, Lane::I32, lane, ints);
        }
        let pair = run.has_pair(shape);
        let mut vector = None;
        if pair {
            let two = self.load(F64, ptr);
            let two = self.b.ins().scalar_to_vector(F64X2, two);
            vector = Some(self.b.ins().bitcast(shape.ty(lane), bitcast_flags(), two));
        }
        for j in if pair { 2 } else { 0 }..run.lanes {
            let element = self.load_element(run.dtype, ptr.plus(run.step(j)));
            vector = Some(self.insert(shape, lane, vector, element, j));
        }
        vector.unwrap_or_else(|| self.constant(shape, lane, 0))
    }

    /// Stores lanes of a vector; in scalar code, one element. At stride 0 the last one stays.
    pub(crate) fn store_run(&mut self, shape: Shape, lane: Lane, value: Reg, ptr: Ptr, run: Run) {
        if !shape.is_vector() {
            return self.store_element(run.dtype, value, ptr);
        }
        if run.is_vector(shape) {
            return self.store(value, ptr);
        }
        if run.is_bytes(shape) {
            let mask = if run.dtype == DType::U8 { 0xff } else { 1 };
            let four = self.narrow_bytes(value, mask);
            return self.store(four, ptr);
        }
        let pair = run.has_pair(shape);
        if pair {
            let two = self.b.ins().bitcast(I64X2, bitcast_flags(), value);
            let two = self.b.ins().extractlane(two, 0);
            self.store(two, ptr);
        }
        let first = match (pair, run.stride) {
            (true, _) => 2,
            (false, 0) => run.lanes - 1,
            (false, _) => 0,
        };
        for j in first..run.lanes {
            let element = self.extract(shape, lane, value, j);
            self.store_element(run.dtype, element, ptr.plus(run.step(j)));
        }
    }
}
