//! Compiled plans and how they are run.

use crate::array::{Aligned, ArrayMut, ArrayRef, Bytes};
use crate::compile::CompileReport;
use crate::error::{Role, RunError};
use crate::flush::FlushToZero;
use crate::program::Programs;
use cranelift_jit::JITModule;
use eggrad_ir::{DType, TensorType};
use eggrad_schedule::{Kernel, Plan};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Owner of machine code, also while it is being made.
pub(crate) struct Machine {
    module: Option<JITModule>,
}

impl Machine {
    pub(crate) fn new(module: JITModule) -> Machine {
        Machine { module: Some(module) }
    }

    pub(crate) fn module(&mut self) -> &mut JITModule {
        match &mut self.module {
            Some(module) => module,
            None => panic!("internal error: machine code is used while it is freed"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: function pointers into the module are held only by the `Executable` that owns this `Machine`,
            // and run only while it is borrowed, so none runs now or later.
            unsafe { module.free_memory() }
        }
    }
}

// SAFETY: the module owns everything it points to, and shares nothing with other threads.
unsafe impl Send for Machine {}
// SAFETY: as above; `&Machine` gives access to nothing.
unsafe impl Sync for Machine {}

/// A compiled plan. May be shared by threads, each with its own [`Workspace`].
pub struct Executable {
    plan: Plan,
    programs: Programs,
    constants: Bytes,
    report: CompileReport,
    /// Threads that share a run.
    threads: usize,
    /// Shared with workspaces, to tell whose they are.
    identity: Arc<()>,
    /// Keeps the code alive.
    _machine: Machine,
}

/// What one run needs and the next can reuse: intermediate values and argument tables. Made by
/// [`Executable::workspace`], for that executable.
pub struct Workspace {
    arena: Bytes,
    table: Vec<*mut u8>,
    /// Entries of the store and states mapped to them; room for sorting without allocating.
    mapped: Vec<(usize, usize)>,
    /// Version of the frozen states that the plan's setup has run on.
    version: Option<u64>,
    identity: Arc<()>,
}

// SAFETY: the table's addresses are used only during a run, which borrows the workspace mutably and, for the same
// time, all arrays whose addresses it has written there.
unsafe impl Send for Workspace {}
// SAFETY: as above; `&Workspace` gives access to nothing.
unsafe impl Sync for Workspace {}

/// Arrays of a store, and which of them each state of the plan is. Executables may share a store.
#[derive(Debug)]
pub struct States<'a> {
    /// The store.
    pub arrays: &'a mut [Aligned],
    /// For each state of the plan, in order, its entry in `arrays`.
    pub map: &'a [usize],
    /// Version of the frozen states: what is computed of them alone is not computed again while runs with one workspace
    /// pass the same number. Other values, in the same or in another store, need another number. Without frozen states
    /// any number will do.
    pub version: u64,
}

/// As [`States`], for plans that write none of them.
#[derive(Clone, Copy, Debug)]
pub struct SharedStates<'a> {
    /// The store.
    pub arrays: &'a [Aligned],
    /// For each state of the plan, in order, its entry in `arrays`.
    pub map: &'a [usize],
    /// Version of the frozen states, see [`States`].
    pub version: u64,
}

impl Executable {
    pub(crate) fn new(
        plan: Plan,
        machine: Machine,
        programs: Programs,
        constants: Bytes,
        report: CompileReport,
        threads: usize,
    ) -> Executable {
        let identity = Arc::new(());
        let _machine = machine;
        Executable { plan, programs, constants, report, threads, identity, _machine }
    }

    /// The plan that was compiled.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its kernels, in the order they run.
    pub fn kernels(&self) -> &[Kernel] {
        &self.plan.kernels
    }

    /// What compiling cost, function by function.
    pub fn report(&self) -> &CompileReport {
        &self.report
    }

    /// Bytes of machine code.
    pub fn code_bytes(&self) -> usize {
        self.report.functions.iter().map(|f| f.code_bytes).sum()
    }

    /// Allocates what runs need. Runs of several threads need one each.
    ///
    /// # Errors
    /// [`RunError::Memory`] when there is no memory for the arena.
    pub fn workspace(&self) -> Result<Workspace, RunError> {
        let bytes = self.plan.arena_bytes;
        let arena = Bytes::try_zeroed(bytes).ok_or(RunError::Memory { bytes })?;
        let table = self.programs.table(arena.ptr(), self.constants.ptr());
        let mapped = Vec::with_capacity(self.plan.states.len());
        let identity = self.identity.clone();
        Ok(Workspace { arena, table, mapped, version: None, identity })
    }

    /// Computes outputs and new states from inputs and states; what depends on frozen states alone, when their version
    /// is another than in the last run with this workspace. Allocates nothing unless it fails. The calling thread's stack
    /// needs a mebibyte at most, for parts of the operands of large products.
    ///
    /// # Errors
    /// See [`RunError`]. Arguments are checked before anything is computed; if the guarded value is not finite, outputs
    /// are unspecified. States keep their values in either case.
    pub fn run(
        &self,
        workspace: &mut Workspace,
        inputs: &[ArrayRef<'_>],
        states: &mut States<'_>,
        outputs: &mut [ArrayMut<'_>],
    ) -> Result<(), RunError> {
        let States { arrays, map, version } = states;
        let states = SharedStates { arrays, map, version: *version };
        self.check(workspace, inputs, states, outputs)?;
        // SAFETY: checked above; `run` was given all states mutably.
        unsafe { self.execute(workspace, inputs, states, outputs, &mut None) }
    }

    /// As [`Executable::run`]; adds what each kernel of the plan took to its place in `times`. Reading the clock adds
    /// some 50 ns to each.
    ///
    /// # Errors
    /// As [`Executable::run`].
    ///
    /// # Panics
    /// When there are fewer times than kernels.
    pub fn run_timed(
        &self,
        workspace: &mut Workspace,
        inputs: &[ArrayRef<'_>],
        states: &mut States<'_>,
        outputs: &mut [ArrayMut<'_>],
        times: &mut [Duration],
    ) -> Result<(), RunError> {
        let kernels = self.programs.kernels();
        assert!(times.len() >= kernels, "{} times for {kernels} kernels", times.len());
        let States { arrays, map, version } = states;
        let states = SharedStates { arrays, map, version: *version };
        self.check(workspace, inputs, states, outputs)?;
        // SAFETY: checked above; `run_timed` was given all states mutably.
        unsafe { self.execute(workspace, inputs, states, outputs, &mut Some(times)) }
    }

    /// As [`Executable::run`], for plans that write no state: threads may share the store.
    ///
    /// # Errors
    /// Also [`RunError::Writes`].
    pub fn run_shared(
        &self,
        workspace: &mut Workspace,
        inputs: &[ArrayRef<'_>],
        states: SharedStates<'_>,
        outputs: &mut [ArrayMut<'_>],
    ) -> Result<(), RunError> {
        if let Some(state) = self.plan.states.iter().find(|state| state.written) {
            return Err(RunError::Writes { name: state.name.clone() });
        }
        self.check(workspace, inputs, states, outputs)?;
        // SAFETY: checked above; the plan writes no state.
        unsafe { self.execute(workspace, inputs, states, outputs, &mut None) }
    }

    fn check(
        &self,
        workspace: &mut Workspace,
        inputs: &[ArrayRef<'_>],
        states: SharedStates<'_>,
        outputs: &[ArrayMut<'_>],
    ) -> Result<(), RunError> {
        if !Arc::ptr_eq(&workspace.identity, &self.identity) {
            return Err(RunError::ForeignWorkspace);
        }
        let plan = &self.plan;
        check_count(Role::Input, plan.inputs.len(), inputs.len())?;
        check_count(Role::Output, plan.outputs.len(), outputs.len())?;
        check_count(Role::State, plan.states.len(), states.map.len())?;
        for (slot, array) in plan.inputs.iter().zip(inputs) {
            check_array(Role::Input, &slot.name, &slot.ty, array.dtype(), array.len())?;
            if let Some(range) = slot.range {
                check_range(&slot.name, array, range)?;
            }
        }
        for (slot, array) in plan.outputs.iter().zip(outputs) {
            check_array(Role::Output, &slot.name, &slot.ty, array.dtype(), array.len())?;
        }
        workspace.mapped.clear();
        for (i, (slot, &entry)) in plan.states.iter().zip(states.map).enumerate() {
            let entries = states.arrays.len();
            let array = states.arrays.get(entry).ok_or_else(|| {
                let name = slot.name.clone();
                RunError::NoEntry { name, entry, entries }
            })?;
            check_array(Role::State, &slot.name, &slot.ty, array.dtype(), array.len())?;
            workspace.mapped.push((entry, i));
        }
        workspace.mapped.sort_unstable();
        for pair in workspace.mapped.windows(2) {
            let [(entry, i), (other, j)] = *pair else { continue };
            let (first, second) = (&plan.states[i], &plan.states[j]);
            if entry == other && (first.written || second.written) {
                let (first, second) = (first.name.clone(), second.name.clone());
                return Err(RunError::SharedEntry { first, second, entry });
            }
        }
        Ok(())
    }

    /// # Safety
    /// `check` has passed for these arguments, and if the plan writes a state, the store is the caller's alone.
    unsafe fn execute(
        &self,
        workspace: &mut Workspace,
        inputs: &[ArrayRef<'_>],
        states: SharedStates<'_>,
        outputs: &mut [ArrayMut<'_>],
        times: &mut Option<&mut [Duration]>,
    ) -> Result<(), RunError> {
        let inputs = inputs.iter().map(ArrayRef::ptr);
        let outputs = outputs.iter_mut().map(ArrayMut::ptr);
        let version = Some(states.version);
        let states = states.map.iter().map(|&entry| states.arrays[entry].ptr());
        let table = &mut workspace.table;
        self.programs.set(table, inputs.chain(outputs).chain(states));
        let kernels = self.programs.kernels();
        let setup = self.plan.setup;
        let before = self.plan.guard.as_ref().map_or(setup, |guard| guard.after);
        let first = if workspace.version == version { setup } else { 0 };
        // If it panics half-way, what is computed of frozen states may be of two versions.
        workspace.version = None;
        let value = caught(|| {
            let _flush = FlushToZero::set();
            // SAFETY: the code is owned by `self`, which is borrowed; the arena belongs to the workspace, and the
            // constants to `self`; arrays have been checked, by the caller's promise, and so has the plan, by
            // `compile`.
            unsafe { self.span(table, first, before, times) };
            // SAFETY: the address is that of a buffer of one float, see `check::check`.
            let value = self.programs.guarded(table).map(|at| unsafe { self.guarded(at) });
            if value.is_none_or(f64::is_finite) {
                // SAFETY: as above.
                unsafe { self.span(table, before, kernels, times) };
            }
            value
        })?;
        workspace.version = version;
        match (value, &self.plan.guard) {
            (Some(value), Some(guard)) if !value.is_finite() => {
                let name = self.plan.buffers[guard.buffer].name.clone();
                Err(RunError::NonFinite { name, value })
            }
            _ => Ok(()),
        }
    }

    /// Runs kernels `from..to`, one by one where they are timed.
    ///
    /// # Safety
    /// As [`Programs::run`].
    unsafe fn span(
        &self,
        table: &mut [*mut u8],
        from: usize,
        to: usize,
        times: &mut Option<&mut [Duration]>,
    ) {
        match times {
            // SAFETY: by the caller's promise.
            None => unsafe { self.programs.run(table, from, to, self.threads) },
            Some(times) => {
                for (i, time) in times.iter_mut().enumerate().take(to).skip(from) {
                    let start = Instant::now();
                    // SAFETY: by the caller's promise.
                    unsafe { self.programs.run(table, i, i + 1, self.threads) };
                    *time += start.elapsed();
                }
            }
        }
    }

    /// # Safety
    /// `at` is the address of the guarded value.
    unsafe fn guarded(&self, at: *const u8) -> f64 {
        let dtype = self.plan.guard.as_ref().map(|guard| self.plan.buffers[guard.buffer].dtype);
        match dtype {
            // SAFETY: one float of this type lies there; it may not be aligned in a caller's array of bytes.
            Some(DType::F64) => unsafe { at.cast::<f64>().read_unaligned() },
            // SAFETY: as above; `check` allows no third type.
            Some(DType::F32 | DType::I32 | DType::I64 | DType::U8 | DType::Bool) | None => unsafe {
                f64::from(at.cast::<f32>().read_unaligned())
            },
        }
    }
}

/// What the work gives; a panic on any of its threads as an error, once no thread is at it any more.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, RunError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| RunError::Panicked)
}

fn check_count(role: Role, expected: usize, got: usize) -> Result<(), RunError> {
    if expected == got { Ok(()) } else { Err(RunError::Count { role, expected, got }) }
}

fn check_array(
    role: Role,
    name: &str,
    ty: &TensorType,
    dtype: DType,
    len: usize,
) -> Result<(), RunError> {
    let expected = ty.shape.elements();
    if dtype != ty.dtype {
        let name = name.to_string();
        return Err(RunError::DType { role, name, expected: ty.dtype, got: dtype });
    }
    if len != expected {
        return Err(RunError::Elements { role, name: name.to_string(), expected, got: len });
    }
    Ok(())
}

fn check_range(name: &str, array: &ArrayRef<'_>, range: (f64, f64)) -> Result<(), RunError> {
    fn find<T: Copy + Into<i64>>(slice: &[T], range: (f64, f64)) -> Option<(usize, i64)> {
        let (least, greatest) = (range.0.ceil() as i64, range.1.floor() as i64);
        let outside = |&v: &T| !(least..=greatest).contains(&v.into());
        let position = slice.iter().position(outside)?;
        Some((position, slice[position].into()))
    }
    let found = match array {
        ArrayRef::I32(slice) => find(slice, range),
        ArrayRef::I64(slice) => find(slice, range),
        ArrayRef::U8(slice) => find(slice, range),
        ArrayRef::F32(_) | ArrayRef::F64(_) | ArrayRef::Bool(_) => None,
    };
    match found {
        None => Ok(()),
        Some((position, value)) => {
            Err(RunError::OutOfRange { input: name.to_string(), position, value, range })
        }
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executable")
            .field("kernels", &self.programs.kernels())
            .field("code_bytes", &self.code_bytes())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("arena_bytes", &self.arena.size()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
