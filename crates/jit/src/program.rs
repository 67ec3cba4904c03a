//! Plans as lists of calls over one table of addresses, and how they are run.
//!
//! Every plan, the outermost and each nested one, has its own part of the table: the addresses of its inputs, outputs
//! and states, then the arguments of its kernels. A kernel that runs a nested plan sets the addresses of that plan's
//! inputs, outputs and arena, copies them to the arguments that name them, and runs its kernels. A plan is never run
//! inside itself, so that one part for each is enough and nothing is allocated.

use crate::emit::{Shares, positions};
use crate::pool::pool;
use eggrad_schedule::{Kernel, KernelKind, LoopKernel, Phase, Place, Plan, Target};

/// A kernel: its slice of the argument table, and the range of its outermost loop to run.
pub(crate) type KernelFn = unsafe extern "C" fn(args: *const *mut u8, begin: i64, end: i64);

/// What a kernel with loops is called with.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) code: KernelFn,
    /// Where its arguments start in the table.
    pub(crate) args: usize,
    /// Positions of its outermost loop.
    pub(crate) end: i64,
    /// How threads share it, where that is worth their while.
    split: Option<Shares>,
}

/// One kernel.
enum Entry {
    Call(Call),
    Loop(LoopEntry),
    Branch(BranchEntry),
}

/// A place in memory: an address of the table, or bytes into the scratch of the kernel.
#[derive(Clone, Copy)]
enum At {
    Table(usize),
    Scratch(usize),
}

/// A nested plan, step by step; numbers are places in the table.
struct LoopEntry {
    program: usize,
    scratch: Option<usize>,
    steps: usize,
    reverse: bool,
    carries: Vec<Carry>,
    /// What is read position by position, and bytes of a position.
    sequences: Vec<(usize, usize)>,
    constants: Vec<usize>,
    /// What is written position by position, and bytes from one to the next; 0 where nobody reads them.
    stacked: Vec<(At, usize)>,
}

/// A value handed from step to step.
struct Carry {
    initial: usize,
    /// Where the last step writes it, the last but two, and so on.
    result: At,
    /// Bytes into the scratch: where the other steps write it.
    spare: usize,
}

/// One of two nested plans; numbers are places in the table.
struct BranchEntry {
    choice: usize,
    then: usize,
    otherwise: usize,
    scratch: Option<usize>,
    operands: Vec<usize>,
    results: Vec<At>,
}

/// The kernels of a plan, and which addresses they are called with; numbers are places in the table.
struct Program {
    entries: Vec<Entry>,
    /// Addresses of inputs, then outputs, then states.
    slots: usize,
    inputs: usize,
    outputs: usize,
    /// Arguments that are copies of those addresses.
    copies: Vec<(usize, usize)>,
    /// Arguments that lie in the arena, and how many bytes into it.
    arena: Vec<(usize, usize)>,
    /// Arguments that are constants, and how many bytes into all constants.
    constants: Vec<(usize, usize)>,
    /// The guarded value.
    guard: Option<usize>,
    /// Leading entries that only the first step of a loop runs.
    setup: usize,
}

/// A plan and the plans nested in it, in the order of [`Plan::nested`]; the outermost comes last.
#[derive(Default)]
pub(crate) struct Programs {
    list: Vec<Program>,
    /// Addresses of the table.
    size: usize,
}

/// What is known of plans before their programs are made.
pub(crate) struct Parts<'a> {
    /// The function of a kernel with loops, how many bytes into all constants its table lies, and how threads share it.
    pub(crate) function: &'a dyn Fn(&Kernel) -> (KernelFn, usize, Shares),
    /// Number of the program of a nested plan.
    pub(crate) program: &'a dyn Fn(&Plan) -> usize,
    /// Takes constants of a plan; how many bytes into all constants they lie.
    pub(crate) constant: &'a mut dyn FnMut(&[u8]) -> usize,
}

impl Programs {
    /// Appends the program of `plan`, which `check` has accepted.
    pub(crate) fn push(&mut self, plan: &Plan, parts: &mut Parts<'_>) {
        let slots = self.size;
        let (inputs, outputs) = (plan.inputs.len(), plan.outputs.len());
        self.size += inputs + outputs + plan.states.len();
        let mut program = Program {
            entries: vec![],
            slots,
            inputs,
            outputs,
            copies: vec![],
            arena: vec![],
            constants: vec![],
            guard: None,
            setup: plan.setup,
        };
        let constants: Vec<Option<usize>> = plan
            .buffers
            .iter()
            .map(|buffer| match &buffer.place {
                Place::Constant(bytes) => Some((parts.constant)(bytes)),
                Place::Input(_) | Place::Output(_) | Place::State(_) | Place::Arena(_) => None,
            })
            .collect();
        for kernel in &plan.kernels {
            let args = self.size;
            self.size += kernel.args.len();
            for (arg, &buffer) in (args..).zip(&kernel.args) {
                program.bind(arg, &plan.buffers[buffer].place, constants[buffer]);
            }
            let at = |target: &Target| match *target {
                Target::Arg(arg) => At::Table(args + arg),
                Target::Scratch(offset) => At::Scratch(offset),
            };
            let entry = match &kernel.kind {
                KernelKind::Row(_) | KernelKind::Column(_) | KernelKind::Product(_) => {
                    let (code, table, shares) = (parts.function)(kernel);
                    program.constants.push((self.size, table));
                    self.size += 1;
                    let end = outermost(&kernel.kind);
                    let split = pays(kernel, end, shares).then_some(shares);
                    Entry::Call(Call { code, args, end: end as i64, split })
                }
                KernelKind::Loop(k) => {
                    Entry::Loop(LoopEntry::new(k, args, (parts.program)(&k.body)))
                }
                KernelKind::Branch(k) => Entry::Branch(BranchEntry {
                    choice: args + k.choice,
                    then: (parts.program)(&k.then),
                    otherwise: (parts.program)(&k.otherwise),
                    scratch: k.scratch.map(|arg| args + arg),
                    operands: k.operands.iter().map(|arg| args + arg).collect(),
                    results: k.results.iter().map(at).collect(),
                }),
            };
            program.entries.push(entry);
        }
        if let Some(guard) = &plan.guard {
            program.bind(self.size, &plan.buffers[guard.buffer].place, constants[guard.buffer]);
            program.guard = Some(self.size);
            self.size += 1;
        }
        self.list.push(program);
    }

    fn main(&self) -> &Program {
        match self.list.last() {
            Some(main) => main,
            None => panic!("internal error: there is no program"),
        }
    }

    /// Number of kernels of the outermost plan.
    pub(crate) fn kernels(&self) -> usize {
        self.main().entries.len()
    }

    /// How a kernel of the outermost plan is called, if it has loops.
    #[cfg(test)]
    pub(crate) fn call(&self, kernel: usize) -> Option<Call> {
        match self.main().entries[kernel] {
            Entry::Call(call) => Some(call),
            Entry::Loop(_) | Entry::Branch(_) => None,
        }
    }

    /// A table that knows the constants, and the arena of the outermost plan.
    pub(crate) fn table(&self, arena: *mut u8, constants: *mut u8) -> Vec<*mut u8> {
        let mut table = vec![std::ptr::null_mut(); self.size];
        for program in &self.list {
            for &(arg, offset) in &program.constants {
                table[arg] = constants.wrapping_add(offset);
            }
        }
        self.main().place(&mut table, arena);
        table
    }

    /// Sets the addresses of the outermost plan's inputs, outputs and states, in this order.
    pub(crate) fn set(&self, table: &mut [*mut u8], addresses: impl Iterator<Item = *mut u8>) {
        let main = self.main();
        table[main.slots..].iter_mut().zip(addresses).for_each(|(slot, address)| *slot = address);
        main.copy(table);
    }

    /// Address of the outermost plan's guarded value, if it has one.
    pub(crate) fn guarded(&self, table: &[*mut u8]) -> Option<*mut u8> {
        self.main().guard.map(|at| table[at])
    }

    /// Runs kernels `from..to` of the outermost plan.
    ///
    /// # Safety
    /// The functions are alive. `table` is one of [`Programs::table`] for an arena and constants that are alive, and
    /// [`Programs::set`] has given it addresses; for the time of the call inputs, constants and states that are not
    /// written are borrowed, everything else mutably and by nobody else; they have the lengths and types of the plan;
    /// and `check::check` has found that no kernel leaves them.
    pub(crate) unsafe fn run(&self, table: &mut [*mut u8], from: usize, to: usize, threads: usize) {
        // SAFETY: the caller's.
        unsafe { self.entries(&self.main().entries[from..to], table, threads) }
    }

    /// # Safety
    /// As for [`Programs::run`], of the plan that the entries belong to, whose addresses are set.
    unsafe fn entries(&self, entries: &[Entry], table: &mut [*mut u8], threads: usize) {
        for entry in entries {
            match entry {
                // SAFETY: the caller's.
                Entry::Call(call) => unsafe { call.run(&table[call.args..], threads) },
                // SAFETY: the caller's.
                Entry::Loop(entry) => unsafe { self.repeat(entry, table, threads) },
                // SAFETY: the caller's.
                Entry::Branch(entry) => unsafe { self.branch(entry, table, threads) },
            }
        }
    }

    /// # Safety
    /// As for [`Programs::run`], of the plan that the entry belongs to, whose addresses are set.
    unsafe fn repeat(&self, entry: &LoopEntry, table: &mut [*mut u8], threads: usize) {
        let program = &self.list[entry.program];
        let scratch = entry.scratch.map_or(std::ptr::null_mut(), |at| table[at]);
        let (inputs, outputs) = (program.slots, program.slots + program.inputs);
        program.place(table, scratch);
        let first = inputs + entry.carries.len() + entry.sequences.len();
        for (slot, &from) in (first..).zip(&entry.constants) {
            table[slot] = table[from];
        }
        for step in 0..entry.steps {
            let left = entry.steps - 1 - step;
            let position = if entry.reverse { left } else { step };
            let begin = if step == 0 { 0 } else { program.setup };
            for (i, carry) in entry.carries.iter().enumerate() {
                // What the step before wrote; the copies take turns so that the last step writes the result.
                let here = if step == 0 { table[carry.initial] } else { table[outputs + i] };
                let spare = At::Scratch(carry.spare);
                let next = if left.is_multiple_of(2) { carry.result } else { spare };
                table[inputs + i] = here;
                table[outputs + i] = next.address(table, scratch);
            }
            let first = inputs + entry.carries.len();
            for (slot, &(from, bytes)) in (first..).zip(&entry.sequences) {
                table[slot] = table[from].wrapping_add(position * bytes);
            }
            let first = outputs + entry.carries.len();
            for (slot, &(at, bytes)) in (first..).zip(&entry.stacked) {
                table[slot] = at.address(table, scratch).wrapping_add(position * bytes);
            }
            program.copy(table);
            // SAFETY: `check::check` has found that the nested plan's inputs and outputs at every position lie inside
            // the arguments of the kernel, and its arena inside the scratch; so these addresses are as the caller has
            // promised for those arguments.
            unsafe { self.entries(&program.entries[begin..], table, threads) };
        }
    }

    /// # Safety
    /// As for [`Programs::run`], of the plan that the entry belongs to, whose addresses are set.
    unsafe fn branch(&self, entry: &BranchEntry, table: &mut [*mut u8], threads: usize) {
        // SAFETY: `check::check` has found one bool there, which takes a byte.
        let chosen = unsafe { *table[entry.choice] } != 0;
        let program = &self.list[if chosen { entry.then } else { entry.otherwise }];
        let scratch = entry.scratch.map_or(std::ptr::null_mut(), |at| table[at]);
        program.place(table, scratch);
        for (slot, &from) in (program.slots..).zip(&entry.operands) {
            table[slot] = table[from];
        }
        for (slot, at) in (program.slots + program.inputs..).zip(&entry.results) {
            table[slot] = at.address(table, scratch);
        }
        program.copy(table);
        // SAFETY: as in `repeat`.
        unsafe { self.entries(&program.entries, table, threads) };
    }
}

impl Call {
    /// Runs the kernel on up to so many threads.
    ///
    /// # Safety
    /// The function is alive, `args` begins with its arguments, and their memory is as promised to [`Programs::run`].
    unsafe fn run(&self, args: &[*mut u8], threads: usize) {
        match self.split {
            Some(shares) if threads > 1 => {
                let args = Arguments(args.as_ptr());
                let part = |begin: usize, end: usize| {
                    // SAFETY: as below; parts of the outermost loop of a kernel that may be split write different
                    // memory and read none that another part writes.
                    unsafe { (self.code)(args.get(), begin as i64, end as i64) }
                };
                pool().split(threads, self.end as usize, shares, &part);
            }
            // SAFETY: `code` was compiled with this signature. It reads its arguments from `args` on, and touches
            // memory as the caller has promised.
            _ => unsafe { (self.code)(args.as_ptr(), 0, self.end) },
        }
    }
}

/// Arguments of a kernel that several threads run.
struct Arguments(*const *mut u8);

// SAFETY: threads read the addresses, which nobody changes meanwhile; what lies there is the kernel's promise.
unsafe impl Sync for Arguments {}

impl Arguments {
    fn get(&self) -> *const *mut u8 {
        self.0
    }
}

impl Program {
    /// Has argument `arg` lie at `place`, or as many bytes into all constants.
    fn bind(&mut self, arg: usize, place: &Place, constant: Option<usize>) {
        let outputs = self.slots + self.inputs;
        match *place {
            Place::Input(i) => self.copies.push((arg, self.slots + i)),
            Place::Output(i) => self.copies.push((arg, outputs + i)),
            Place::State(i) => self.copies.push((arg, outputs + self.outputs + i)),
            Place::Arena(offset) => self.arena.push((arg, offset)),
            Place::Constant(_) => self.constants.push((arg, constant.unwrap_or(0))),
        }
    }

    /// Has the plan's arena begin at `arena`.
    fn place(&self, table: &mut [*mut u8], arena: *mut u8) {
        for &(arg, offset) in &self.arena {
            table[arg] = arena.wrapping_add(offset);
        }
    }

    /// Hands the addresses of inputs, outputs and states on to the kernels.
    fn copy(&self, table: &mut [*mut u8]) {
        for &(arg, slot) in &self.copies {
            table[arg] = table[slot];
        }
    }
}

impl At {
    fn address(self, table: &[*mut u8], scratch: *mut u8) -> *mut u8 {
        match self {
            At::Table(at) => table[at],
            At::Scratch(offset) => scratch.wrapping_add(offset),
        }
    }
}

impl LoopEntry {
    fn new(k: &LoopKernel, args: usize, program: usize) -> LoopEntry {
        let at = |target: &Target| match *target {
            Target::Arg(arg) => At::Table(args + arg),
            Target::Scratch(offset) => At::Scratch(offset),
        };
        let (initial, rest) = k.operands.split_at(k.carries);
        let (sequences, constants) = rest.split_at(k.xs);
        let (results, stacked) = k.results.split_at(k.carries);
        let carries = initial.iter().zip(results).zip(&k.spare);
        let carry = |((initial, result), &spare): ((&usize, &Target), &usize)| Carry {
            initial: args + initial,
            result: at(result),
            spare,
        };
        let input = |i: usize| k.body.inputs[k.carries + i].ty.bytes();
        let output = |i: usize| k.body.outputs[k.carries + i].ty.bytes();
        let stack = |(i, target): (usize, &Target)| match target {
            Target::Arg(_) => (at(target), output(i)),
            Target::Scratch(_) => (at(target), 0),
        };
        LoopEntry {
            program,
            scratch: k.scratch.map(|arg| args + arg),
            steps: k.length,
            reverse: k.reverse,
            carries: carries.map(carry).collect(),
            sequences: sequences.iter().enumerate().map(|(i, a)| (args + a, input(i))).collect(),
            constants: constants.iter().map(|a| args + a).collect(),
            stacked: stacked.iter().enumerate().map(stack).collect(),
        }
    }
}

/// Nanoseconds of work from which a kernel is split between threads; waking them takes some microseconds.
const SPLIT_NS: f64 = 10_000.0;

/// Whether a kernel with a loop of `positions` is split between threads.
fn pays(kernel: &Kernel, positions: usize, shares: Shares) -> bool {
    kernel.splittable && positions > shares.unit && work_ns(&kernel.kind) > SPLIT_NS
}

/// About what a kernel takes on one thread.
fn work_ns(kind: &KernelKind) -> f64 {
    const INST_NS: f64 = 0.05;
    const MULTIPLY_ADD_NS: f64 = 0.03;
    let product = |sizes: &[usize]| sizes.iter().map(|&s| s as f64).product::<f64>();
    match kind {
        KernelKind::Row(k) => {
            let insts = |phase: &Phase| match phase {
                Phase::Pass { body, .. } => body.insts().len() as f64 * k.row as f64,
                Phase::Scalar { body, .. } => body.insts().len() as f64,
            };
            product(&k.outer) * k.phases.iter().map(insts).sum::<f64>() * INST_NS
        }
        KernelKind::Column(k) => {
            let positions = product(&k.outer) * product(&k.reduced) * k.row as f64;
            positions * k.body.insts().len() as f64 * INST_NS
        }
        KernelKind::Product(k) => {
            let results = product(&k.batch) * (k.m * k.n) as f64;
            results * product(&k.k) * MULTIPLY_ADD_NS
        }
        KernelKind::Loop(_) | KernelKind::Branch(_) => 0.0,
    }
}

/// Positions of the loop that a kernel's `begin` and `end` count.
fn outermost(kind: &KernelKind) -> usize {
    match kind {
        KernelKind::Row(k) => positions(k),
        KernelKind::Column(k) => k.outer.first().copied().unwrap_or(1),
        KernelKind::Product(k) => k.batch.first().copied().unwrap_or(k.m),
        KernelKind::Loop(_) | KernelKind::Branch(_) => 1,
    }
}
