//! What machine code relies on: that no kernel of the plan touches memory outside its buffers, writes what is only
//! read, or names something that does not exist. `compile` refuses any other plan, so that `run` is safe whatever
//! made the plan.

use eggrad_body::{Body, Inst, Lane, Value};
use eggrad_ir::{DType, TensorType};
use eggrad_schedule::{
    ALIGN, Access, AddAt, Buffer, Fold, Kernel, KernelKind, MAX_BYTES, Phase, Place, Plan, Slot,
    Store, Target,
};

/// Lane type in which elements of `dtype` are computed with.
pub(crate) fn lane_of(dtype: DType) -> Lane {
    match dtype {
        DType::F32 => Lane::F32,
        DType::F64 => Lane::F64,
        DType::I32 | DType::U8 => Lane::I32,
        DType::I64 => Lane::I64,
        DType::Bool => Lane::Mask,
    }
}

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}

/// Says what is wrong with `plan`, or with a plan nested in it.
pub(crate) fn check(plan: &Plan) -> Result<(), String> {
    for nested in plan.nested() {
        ensure!(nested.states.is_empty() && nested.guard.is_none(), "a nested plan has states");
        ensure!(nested.arena_bytes <= MAX_BYTES, "{} nested bytes", nested.arena_bytes);
        check_plan(nested).map_err(|e| format!("nested: {e}"))?;
    }
    check_plan(plan)
}

/// As [`check`], when what is nested is known to be right.
fn check_plan(plan: &Plan) -> Result<(), String> {
    for (i, buffer) in plan.buffers.iter().enumerate() {
        check_buffer(plan, buffer).map_err(|e| format!("buffer {i} `{}`: {e}", buffer.name))?;
    }
    let slots = plan.inputs.iter().map(|s| (s.buffer, &s.name));
    let slots = slots.chain(plan.outputs.iter().map(|s| (s.buffer, &s.name)));
    for (buffer, name) in slots.chain(plan.states.iter().map(|s| (s.buffer, &s.name))) {
        ensure!(buffer < plan.buffers.len(), "`{name}` has no buffer {buffer}");
    }
    for (i, kernel) in plan.kernels.iter().enumerate() {
        check_kernel(plan, kernel).map_err(|e| format!("kernel {i} `{}`: {e}", kernel.name))?;
    }
    ensure!(plan.setup <= plan.kernels.len(), "the setup ends after the last kernel");
    if let Some(guard) = &plan.guard {
        let buffer = plan.buffers.get(guard.buffer).ok_or("the guard has no buffer")?;
        ensure!(buffer.elements == 1 && buffer.dtype.is_float(), "the guard is not one float");
        ensure!(guard.after <= plan.kernels.len(), "the guard comes after the last kernel");
        ensure!(guard.after >= plan.setup, "the guard comes before the end of the setup");
        for kernel in &plan.kernels[..guard.after] {
            let mut written = written(&kernel.kind).into_iter();
            let state = written.find(|&arg| matches!(place(plan, kernel, arg), Place::State(_)));
            ensure!(state.is_none(), "kernel `{}` writes a state before the guard", kernel.name);
        }
    }
    Ok(())
}

fn check_buffer(plan: &Plan, buffer: &Buffer) -> Result<(), String> {
    let bytes = buffer.elements.checked_mul(buffer.dtype.bytes());
    ensure!(bytes.is_some_and(|b| b <= MAX_BYTES), "{} elements", buffer.elements);
    let same = |ty: &TensorType| -> Result<(), String> {
        let elements = ty.shape.checked_elements();
        let fits = ty.dtype == buffer.dtype && elements == Some(buffer.elements);
        ensure!(fits, "{} elements of {} for {ty}", buffer.elements, buffer.dtype.name());
        Ok(())
    };
    match &buffer.place {
        Place::Input(i) => same(&plan.inputs.get(*i).ok_or("no such input")?.ty),
        Place::Output(i) => same(&plan.outputs.get(*i).ok_or("no such output")?.ty),
        Place::State(i) => same(&plan.states.get(*i).ok_or("no such state")?.ty),
        Place::Arena(offset) => {
            ensure!(offset % ALIGN == 0, "offset {offset} is not aligned");
            let end = offset.checked_add(buffer.bytes());
            ensure!(end.is_some_and(|end| end <= plan.arena_bytes), "outside the arena");
            Ok(())
        }
        Place::Constant(bytes) => {
            ensure!(bytes.len() >= buffer.bytes(), "{} bytes of constant", bytes.len());
            Ok(())
        }
    }
}

fn place<'p>(plan: &'p Plan, kernel: &Kernel, arg: usize) -> &'p Place {
    &plan.buffers[kernel.args[arg]].place
}

/// Every argument that a kernel writes; there are accesses and arguments for all.
fn written(kind: &KernelKind) -> Vec<usize> {
    let of = |accesses: &[Access], stores: &[Store]| -> Vec<usize> {
        stores.iter().filter_map(|s| Some(accesses.get(s.access)?.arg)).collect()
    };
    let targets = |results: &[Target], scratch: Option<usize>| -> Vec<usize> {
        let arg = |t: &Target| match *t {
            Target::Arg(arg) => Some(arg),
            Target::Scratch(_) => None,
        };
        results.iter().filter_map(arg).chain(scratch).collect()
    };
    match kind {
        KernelKind::Row(k) => {
            let stores = |phase: &Phase| match phase {
                Phase::Pass { stores, .. } | Phase::Scalar { stores, .. } => {
                    of(&k.accesses, stores)
                }
            };
            k.phases.iter().flat_map(stores).collect()
        }
        KernelKind::Column(k) => of(&k.accesses, &k.stores),
        KernelKind::Product(k) => of(&k.accesses, &k.stores),
        KernelKind::Loop(k) => targets(&k.results, k.scratch),
        KernelKind::Branch(k) => targets(&k.results, k.scratch),
    }
}

fn check_kernel(plan: &Plan, kernel: &Kernel) -> Result<(), String> {
    for &arg in &kernel.args {
        ensure!(arg < plan.buffers.len(), "no buffer {arg}");
    }
    match &kernel.kind {
        KernelKind::Row(k) => {
            let mut scalars = vec![];
            let at = Loops::new(plan, kernel, &k.accesses, &k.outer, &[k.row]);
            at.check_accesses()?;
            for phase in &k.phases {
                match phase {
                    Phase::Pass { body, folds, stores } => {
                        at.check_body(body, &scalars, stores)?;
                        check_folds(body, folds)?;
                        scalars.extend(folds.iter().map(|f| body.lane(f.value)));
                    }
                    Phase::Scalar { body, results, stores } => {
                        let at = Loops::new(plan, kernel, &k.accesses, &k.outer, &[1]);
                        at.check_body(body, &scalars, stores)?;
                        for &result in results {
                            check_value(body, result)?;
                        }
                        scalars.extend(results.iter().map(|&r| body.lane(r)));
                    }
                }
            }
        }
        KernelKind::Column(k) => {
            let dims: Vec<usize> = k.reduced.iter().copied().chain([k.row]).collect();
            let at = Loops::new(plan, kernel, &k.accesses, &k.outer, &dims);
            at.check_accesses()?;
            at.check_body(&k.body, &[], &[])?;
            check_folds(&k.body, &k.folds)?;
            let scalars: Vec<Lane> = k.folds.iter().map(|f| k.body.lane(f.value)).collect();
            let once: Vec<usize> = k.reduced.iter().map(|_| 1).chain([k.row]).collect();
            let at = Loops::new(plan, kernel, &k.accesses, &k.outer, &once);
            at.check_body(&k.epilogue, &scalars, &k.stores)?;
        }
        KernelKind::Product(k) => {
            let operands = [k.a.clone(), k.b.clone()];
            ensure!(!k.k.is_empty(), "sums without a loop");
            let dims = [&[k.m, k.n], k.k.as_slice()].concat();
            let at = Loops::new(plan, kernel, &operands, &k.batch, &dims);
            at.check_accesses()?;
            at.check_reach(0, 0)?;
            at.check_reach(1, 0)?;
            let (n, m) = (k.batch.len() + 1, k.batch.len());
            ensure!(
                k.a.strides[n] == 0 && k.b.strides[m] == 0,
                "an operand moves along both sides"
            );
            let lane = lane_of(k.a.dtype);
            ensure!(lane != Lane::Mask && lane == lane_of(k.b.dtype), "operands of unfit types");
            let once = [vec![k.m, k.n], vec![1; k.k.len()]].concat();
            let at = Loops::new(plan, kernel, &k.accesses, &k.batch, &once);
            at.check_accesses()?;
            at.check_body(&k.epilogue, &[lane], &k.stores)?;
        }
        KernelKind::Loop(k) => {
            let of = Nested { plan, kernel, scratch: k.scratch };
            ensure!(k.results.len() >= k.carries && k.spare.len() == k.carries, "lost carries");
            ensure!(k.operands.len() >= k.carries.saturating_add(k.xs), "lost operands");
            let sequences = k.carries..k.carries + k.xs;
            of.check_operands(&k.body, &k.operands, |i| {
                if sequences.contains(&i) { k.length } else { 1 }
            })?;
            of.check_results(&k.body, &k.results, |i| if i < k.carries { 1 } else { k.length })?;
            for (output, &at) in k.body.outputs.iter().zip(&k.spare) {
                of.check_scratch(at, output.ty.bytes())?;
            }
            of.check_scratch(0, k.body.arena_bytes)?;
        }
        KernelKind::Branch(k) => {
            let of = Nested { plan, kernel, scratch: k.scratch };
            let choice = of.argument(k.choice)?;
            ensure!(choice.dtype == DType::Bool && choice.elements == 1, "no bool to choose by");
            for nested in [&k.then, &k.otherwise] {
                of.check_operands(nested, &k.operands, |_| 1)?;
                of.check_results(nested, &k.results, |_| 1)?;
                of.check_scratch(0, nested.arena_bytes)?;
            }
        }
    }
    for arg in written(&kernel.kind) {
        match place(plan, kernel, arg) {
            Place::Output(_) | Place::Arena(_) => {}
            Place::State(i) => ensure!(plan.states[*i].written, "writes state {i}"),
            Place::Input(_) | Place::Constant(_) => {
                return Err(format!("writes what is only read, argument {arg}"));
            }
        }
    }
    Ok(())
}

fn check_value(body: &Body, value: Value) -> Result<(), String> {
    ensure!(value.index() < body.insts().len(), "no value {value}");
    Ok(())
}

fn check_folds(body: &Body, folds: &[Fold]) -> Result<(), String> {
    for fold in folds {
        check_value(body, fold.value)?;
        ensure!(body.lane(fold.value) != Lane::Mask, "folds the mask {}", fold.value);
    }
    Ok(())
}

/// A kernel that runs nested plans.
struct Nested<'k> {
    plan: &'k Plan,
    kernel: &'k Kernel,
    scratch: Option<usize>,
}

impl Nested<'_> {
    fn argument(&self, arg: usize) -> Result<&Buffer, String> {
        let &buffer = self.kernel.args.get(arg).ok_or("a nested plan without argument")?;
        Ok(&self.plan.buffers[buffer])
    }

    /// That argument `arg` holds `times` what a nested plan reads or writes.
    fn check_argument(&self, arg: usize, slot: &Slot, times: usize) -> Result<(), String> {
        let buffer = self.argument(arg)?;
        let elements = slot.ty.shape.checked_elements().and_then(|n| n.checked_mul(times));
        let fits = buffer.dtype == slot.ty.dtype && elements == Some(buffer.elements);
        ensure!(fits, "a nested plan cannot take `{}`", buffer.name);
        Ok(())
    }

    fn check_operands(
        &self,
        nested: &Plan,
        args: &[usize],
        times: impl Fn(usize) -> usize,
    ) -> Result<(), String> {
        ensure!(nested.inputs.len() == args.len(), "a nested plan has other inputs");
        for (i, (slot, &arg)) in nested.inputs.iter().zip(args).enumerate() {
            self.check_argument(arg, slot, times(i))?;
        }
        Ok(())
    }

    fn check_results(
        &self,
        nested: &Plan,
        targets: &[Target],
        times: impl Fn(usize) -> usize,
    ) -> Result<(), String> {
        ensure!(nested.outputs.len() == targets.len(), "a nested plan has other outputs");
        for (i, (slot, target)) in nested.outputs.iter().zip(targets).enumerate() {
            match *target {
                Target::Arg(arg) => self.check_argument(arg, slot, times(i))?,
                Target::Scratch(at) => self.check_scratch(at, slot.ty.bytes())?,
            }
        }
        Ok(())
    }

    /// That `bytes` from `at` on lie in the scratch.
    fn check_scratch(&self, at: usize, bytes: usize) -> Result<(), String> {
        let size = match self.scratch {
            Some(arg) => self.argument(arg)?.bytes(),
            None => 0,
        };
        let end = at.checked_add(bytes);
        ensure!(bytes == 0 || end.is_some_and(|end| end <= size), "leaves its scratch");
        Ok(())
    }
}

/// The accesses of a kernel under loops of given sizes.
struct Loops<'k> {
    plan: &'k Plan,
    kernel: &'k Kernel,
    accesses: &'k [Access],
    dims: Vec<usize>,
}

impl<'k> Loops<'k> {
    fn new(
        plan: &'k Plan,
        kernel: &'k Kernel,
        accesses: &'k [Access],
        outer: &[usize],
        inner: &[usize],
    ) -> Loops<'k> {
        let dims = outer.iter().chain(inner).copied().collect();
        Loops { plan, kernel, accesses, dims }
    }

    /// Arguments, types and ranks; not yet how far they reach.
    fn check_accesses(&self) -> Result<(), String> {
        for (i, access) in self.accesses.iter().enumerate() {
            let &arg = self.kernel.args.get(access.arg).ok_or("an access without argument")?;
            let buffer = &self.plan.buffers[arg];
            ensure!(access.dtype == buffer.dtype, "access {i} is not of its buffer's type");
            ensure!(
                access.strides.len() == self.dims.len(),
                "access {i} has a stride too many or few"
            );
        }
        Ok(())
    }

    /// That access `i` stays inside its buffer at every position, and `further` elements on.
    fn check_reach(&self, i: usize, further: usize) -> Result<(), String> {
        if self.dims.contains(&0) {
            return Ok(());
        }
        let access = &self.accesses[i];
        let mut last = access.offset.checked_add(further);
        for (&dim, &stride) in self.dims.iter().zip(&access.strides) {
            let along = (dim - 1).checked_mul(stride);
            last = last.zip(along).and_then(|(a, b)| a.checked_add(b));
        }
        let elements = self.plan.buffers[self.kernel.args[access.arg]].elements;
        ensure!(last.is_some_and(|last| last < elements), "access {i} leaves its buffer");
        Ok(())
    }

    fn check_body(&self, body: &Body, scalars: &[Lane], stores: &[Store]) -> Result<(), String> {
        for (i, inst) in body.insts().iter().enumerate() {
            let what = || format!("instruction {i} ({inst})");
            match *inst {
                Inst::Load { access, lane } => {
                    self.check_lane(access.into(), lane).map_err(|e| format!("{}: {e}", what()))?;
                    self.check_reach(access.into(), 0)?;
                }
                Inst::LoadAt { access, lane, size, stride, .. } => {
                    self.check_lane(access.into(), lane).map_err(|e| format!("{}: {e}", what()))?;
                    self.check_indexed(access.into(), size, stride)?;
                }
                Inst::Scalar { index, lane } => {
                    ensure!(scalars.get(usize::from(index)) == Some(&lane), "{}", what());
                }
                Inst::Index { dim, .. } => {
                    ensure!(usize::from(dim) < self.dims.len(), "{}", what());
                }
                Inst::Const { .. }
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Fma(..)
                | Inst::Shift(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::Convert(..)
                | Inst::Bitcast(_) => {}
            }
        }
        for store in stores {
            check_value(body, store.value)?;
            self.check_lane(store.access, body.lane(store.value))?;
            match store.add_at {
                None => self.check_reach(store.access, 0)?,
                Some(AddAt { index, size, stride }) => {
                    check_value(body, index)?;
                    ensure!(body.lane(index).is_int(), "adds at {index}, which is no integer");
                    ensure!(body.lane(store.value) != Lane::Mask, "adds a mask");
                    ensure!(!self.kernel.splittable, "adds in a kernel that may be split");
                    self.check_indexed(store.access, size, stride)?;
                }
            }
        }
        Ok(())
    }

    fn check_lane(&self, access: usize, lane: Lane) -> Result<(), String> {
        let dtype = self.accesses.get(access).ok_or_else(|| format!("no access {access}"))?.dtype;
        ensure!(lane_of(dtype) == lane, "{lane} lanes in memory of type {}", dtype.name());
        Ok(())
    }

    fn check_indexed(&self, access: usize, size: u32, stride: u32) -> Result<(), String> {
        match size.checked_sub(1) {
            None => Ok(()),
            Some(last) => {
                let further = (last as usize).checked_mul(stride as usize);
                self.check_reach(access, further.unwrap_or(usize::MAX))
            }
        }
    }
}
