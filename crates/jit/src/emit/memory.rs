//! Where bodies and products read and write: places in the loops of a kernel.

use crate::emit::{Bound, Emitter, Pos, Ptr, Run, Shape};
use eggrad_body::Lane;
use eggrad_ir::DType;
use eggrad_schedule::Access;

/// Bytes between neighbours along dimension `dim`.
pub(crate) fn stride_bytes(access: &Access, dim: usize) -> i64 {
    (access.strides[dim] as i64).wrapping_mul(access.dtype.bytes() as i64)
}

/// Type in which a lane is kept in memory of the kernel's own.
fn dtype_of(lane: Lane) -> DType {
    match lane {
        Lane::F32 => DType::F32,
        Lane::F64 => DType::F64,
        Lane::I32 => DType::I32,
        Lane::I64 => DType::I64,
        Lane::Mask => DType::Bool,
    }
}

/// Bytes of a lane in memory of the kernel's own.
pub(crate) fn lane_bytes(lane: Lane) -> usize {
    dtype_of(lane).bytes()
}

/// Loads what [`spill`] wrote.
pub(crate) fn reload<E: Emitter>(g: &mut E, shape: Shape, lane: Lane, ptr: Ptr<E::Reg>) -> E::Reg {
    g.load_run(shape, lane, ptr, Run { dtype: dtype_of(lane), stride: 1, lanes: shape.lanes })
}

/// Stores all lanes of a value side by side, in memory of the kernel's own.
pub(crate) fn spill<E: Emitter>(
    g: &mut E,
    shape: Shape,
    lane: Lane,
    value: E::Reg,
    ptr: Ptr<E::Reg>,
) {
    let run = Run { dtype: dtype_of(lane), stride: 1, lanes: shape.lanes };
    g.store_run(shape, lane, value, ptr, run);
}

/// What a body works on: a place in the loops of its kernel.
#[derive(Clone)]
pub(crate) struct Site<'k, R> {
    /// The kernel's accesses.
    pub(crate) accesses: &'k [Access],
    /// For each, the address of the element at `positions`.
    pub(crate) ptrs: Vec<Ptr<R>>,
    /// Position along each loop dimension; that along `dim` is where the first lane stands.
    pub(crate) positions: Vec<Pos<R>>,
    /// The dimension along which lanes lie.
    pub(crate) dim: usize,
    /// Results of earlier phases.
    pub(crate) scalars: Vec<R>,
    /// Whether these have a value for each lane; else they are scalars.
    pub(crate) lanewise: bool,
}

impl<'k, R: Copy> Site<'k, R> {
    /// Elements of access `access` between neighbouring lanes.
    pub(crate) fn stride(&self, access: usize) -> usize {
        self.accesses[access].strides[self.dim]
    }

    /// The place `pos + by` further along `dim`.
    pub(crate) fn at(&self, g: &mut impl Emitter<Reg = R>, pos: Pos<R>, by: usize) -> Site<'k, R> {
        let mut site = self.clone();
        let here = g.pos_add(self.positions[self.dim], pos);
        site.positions[self.dim] = g.pos_plus(here, by as i64);
        for (access, ptr) in self.accesses.iter().zip(&mut site.ptrs) {
            let bytes = stride_bytes(access, self.dim);
            *ptr = g.advance(*ptr, pos, bytes).plus((by as i64).wrapping_mul(bytes));
        }
        site
    }

    /// The same place, with a value for each lane as the result of what came before.
    pub(crate) fn with_lanes(self, scalars: Vec<R>) -> Site<'k, R> {
        Site { scalars, lanewise: true, ..self }
    }

    /// The elements of an access, `by` positions on, in the first `lanes` lanes.
    pub(crate) fn load(
        &self,
        g: &mut impl Emitter<Reg = R>,
        shape: Shape,
        (access, lane): (usize, Lane),
        by: usize,
        lanes: usize,
    ) -> R {
        let ptr = self.ptrs[access].plus((by as i64).wrapping_mul(self.step(access)));
        let run = Run { dtype: self.accesses[access].dtype, stride: self.stride(access), lanes };
        g.load_run(shape, lane, ptr, run)
    }

    /// Writes the first `lanes` lanes to an access, `by` positions on.
    pub(crate) fn store(
        &self,
        g: &mut impl Emitter<Reg = R>,
        shape: Shape,
        (access, lane): (usize, Lane),
        value: R,
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

    /// `size` positions, `stride` elements of an access apart.
    pub(crate) fn bound(&self, access: usize, size: u32, stride: u32) -> Bound {
        let bytes = i64::from(stride) * self.accesses[access].dtype.bytes() as i64;
        Bound { size, bytes }
    }
}
