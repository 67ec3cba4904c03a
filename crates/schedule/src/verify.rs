//! What every plan promises; all violations are collected.
//!
//! * every access stays inside its buffer, and its element and lane types agree with it;
//! * nothing reads the arena or an output before a kernel wrote it, and nothing that is alive shares bytes;
//! * every output with elements is written; inputs and constants never are;
//! * no state is written before the guard is known; scattered additions are not split between threads;
//! * setup kernels read frozen states, constants, what setup wrote, and in a loop's step what is the same at each; they
//!   write the arena; nothing else writes what they leave behind, and the guard comes after them;
//! * nested plans keep these promises, have neither states nor guard, and fit the kernels that run them, which write
//!   nothing that they read.

use crate::assign::{Use, kept, lifetimes, uses};
use crate::lower::lane;
use crate::plan::{ALIGN, Access, Kernel, KernelKind, Phase, Place, Plan, Slot, Store, Target};
use eggrad_body::{Body, Inst, Value};
use eggrad_ir::{DType, StateKind};

/// Everything that is wrong with `plan`; empty for a plan that keeps its promises.
pub fn verify(plan: &Plan) -> Vec<String> {
    let mut errors = vec![];
    for nested in plan.nested() {
        if !nested.states.is_empty() || nested.guard.is_some() {
            errors.push("a nested plan has states or a guard".to_string());
        }
    }
    check_nested(plan, plan.inputs.len(), &mut vec![], &mut errors);
    errors
}

/// As [`verify`] for a plan whose inputs from number `fixed` on are the same in many runs. Each plan is looked at once;
/// they nest a few deep.
fn check_nested(
    plan: &Plan,
    fixed: usize,
    seen: &mut Vec<(*const Plan, usize)>,
    errors: &mut Vec<String>,
) {
    if seen.contains(&(std::ptr::from_ref(plan), fixed)) {
        return;
    }
    seen.push((std::ptr::from_ref(plan), fixed));
    for kernel in &plan.kernels {
        for nested in kernel.kind.nested() {
            let fixed = match &kernel.kind {
                KernelKind::Loop(k) => k.carries + k.xs,
                KernelKind::Branch(_)
                | KernelKind::Row(_)
                | KernelKind::Column(_)
                | KernelKind::Product(_) => nested.inputs.len(),
            };
            let mut inner = vec![];
            check_nested(nested, fixed, seen, &mut inner);
            errors.extend(inner.into_iter().map(|e| format!("nested: {e}")));
        }
    }
    errors.extend(verify_kernels(plan, fixed));
}

/// As [`verify`], without what is nested.
fn verify_kernels(plan: &Plan, fixed: usize) -> Vec<String> {
    let mut errors = vec![];
    for (i, kernel) in plan.kernels.iter().enumerate() {
        let mut check = KernelCheck { plan, kernel, sizes: sizes(&kernel.kind), errors: vec![] };
        check.all();
        let name = |e: String| format!("kernel {i} `{}`: {e}", kernel.name);
        errors.extend(check.errors.into_iter().map(name));
    }
    if plan.setup > plan.kernels.len() || plan.guard.as_ref().is_some_and(|g| g.after < plan.setup)
    {
        errors.push("the setup is longer than the plan, or ends after the guard".to_string());
    }
    if errors.is_empty() {
        check_setup(plan, fixed, &mut errors);
        check_writes(plan, &mut errors);
        check_arena(plan, &mut errors);
    }
    errors
}

/// Sizes of all loops of a kernel, in the order of its strides.
fn sizes(kind: &KernelKind) -> Vec<usize> {
    match kind {
        KernelKind::Row(k) => k.outer.iter().copied().chain([k.row]).collect(),
        KernelKind::Column(k) => k.outer.iter().chain(&k.reduced).copied().chain([k.row]).collect(),
        KernelKind::Product(k) => {
            k.batch.iter().copied().chain([k.m, k.n]).chain(k.k.iter().copied()).collect()
        }
        KernelKind::Loop(_) | KernelKind::Branch(_) => vec![],
    }
}

/// A body, what is stored of it, and how many scalars it may read.
type Part<'a> = (&'a Body, &'a [Store], usize);

struct KernelCheck<'a> {
    plan: &'a Plan,
    kernel: &'a Kernel,
    sizes: Vec<usize>,
    errors: Vec<String>,
}

impl KernelCheck<'_> {
    fn fail(&mut self, what: impl Into<String>) {
        self.errors.push(what.into());
    }

    fn all(&mut self) {
        let kernel = self.kernel;
        if kernel.args.iter().any(|&b| b >= self.plan.buffers.len()) {
            return self.fail("an argument has no buffer");
        }
        let (accesses, parts): (&[Access], Vec<Part<'_>>) = match &kernel.kind {
            KernelKind::Row(k) => {
                let mut scalars = 0;
                let mut parts: Vec<Part<'_>> = vec![];
                for phase in &k.phases {
                    match phase {
                        Phase::Pass { body, folds, stores } => {
                            parts.push((body, stores, scalars));
                            scalars += folds.len();
                        }
                        Phase::Scalar { body, results, stores } => {
                            parts.push((body, stores, scalars));
                            scalars += results.len();
                        }
                    }
                }
                (&k.accesses, parts)
            }
            KernelKind::Column(k) => {
                (&k.accesses, vec![(&k.body, &[], 0), (&k.epilogue, &k.stores, k.folds.len())])
            }
            KernelKind::Product(k) => {
                self.access(&k.a, 0);
                self.access(&k.b, 0);
                let columns = k.b.strides[k.batch.len() + 1];
                let terms = k.b.strides.last().copied();
                if k.n > 1 && columns != 1 && terms != Some(1) {
                    self.fail("the right operand of a product is contiguous along no axis");
                }
                (&k.accesses, vec![(&k.epilogue, &k.stores, 1)])
            }
            KernelKind::Loop(_) | KernelKind::Branch(_) => return self.nested(),
        };
        accesses.iter().for_each(|a| self.access(a, 0));
        let mut scattered = false;
        for (body, stores, scalars) in parts {
            self.loads(accesses, body, scalars);
            for store in stores {
                scattered |= store.add_at.is_some();
                self.store(accesses, body, store);
            }
        }
        if scattered && kernel.splittable {
            self.fail("scatters, and may be split");
        }
    }

    /// A kernel of nested plans.
    fn nested(&mut self) {
        let uses = uses(&self.kernel.kind);
        if uses.iter().any(|u| u.arg >= self.kernel.args.len()) {
            return self.fail("a nested plan has no argument");
        }
        let number = |u: &Use| self.kernel.args[u.arg];
        let read: Vec<usize> = uses.iter().filter(|u| !u.store).map(number).collect();
        let mut written: Vec<usize> = uses.iter().filter(|u| u.store).map(number).collect();
        let count = written.len();
        written.sort_unstable();
        written.dedup();
        if written.len() < count || written.iter().any(|b| read.contains(b)) {
            self.fail("writes an array twice, or one that it reads");
        }
        if self.kernel.splittable {
            self.fail("runs nested plans, and may be split");
        }
        match &self.kernel.kind {
            KernelKind::Row(_) | KernelKind::Column(_) | KernelKind::Product(_) => {}
            KernelKind::Loop(k) => {
                let sequences = k.carries..k.carries + k.xs;
                let times = |i: usize, stacked: bool| if stacked { (i, k.length) } else { (i, 1) };
                let inputs = (0..k.operands.len()).map(|i| times(i, sequences.contains(&i)));
                self.operands(&k.body, &k.operands, inputs.collect());
                let outputs = (0..k.results.len()).map(|i| times(i, i >= k.carries));
                self.results(&k.body, &k.results, outputs.collect(), k.scratch);
                if k.length == 0 || k.spare.len() != k.carries || k.results.len() < k.carries {
                    return self.fail("has no steps, or too few carried values");
                }
                for (i, &at) in k.spare.iter().enumerate() {
                    self.in_scratch(k.scratch, at, k.body.outputs[i].ty.bytes());
                }
                self.in_scratch(k.scratch, 0, k.body.arena_bytes);
            }
            KernelKind::Branch(k) => {
                let choice = &self.plan.buffers[self.kernel.args[k.choice]];
                if choice.dtype != DType::Bool || choice.elements != 1 {
                    self.fail("chooses by what is not one bool");
                }
                for plan in [&k.then, &k.otherwise] {
                    let once = |count: usize| (0..count).map(|i| (i, 1)).collect();
                    self.operands(plan, &k.operands, once(k.operands.len()));
                    self.results(plan, &k.results, once(k.results.len()), k.scratch);
                    self.in_scratch(k.scratch, 0, plan.arena_bytes);
                }
            }
        }
    }

    /// Whether argument `arg` holds `times` what a slot of a nested plan does.
    fn fits(&mut self, slot: Option<&Slot>, arg: usize, times: usize) {
        let buffer = &self.plan.buffers[self.kernel.args[arg]];
        let fits = slot.is_some_and(|slot| {
            let elements = slot.ty.shape.elements().checked_mul(times);
            slot.ty.dtype == buffer.dtype && elements == Some(buffer.elements)
        });
        if !fits {
            self.fail(format!("a nested plan cannot take `{}`", buffer.name));
        }
    }

    fn operands(&mut self, plan: &Plan, args: &[usize], slots: Vec<(usize, usize)>) {
        if plan.inputs.len() != args.len() {
            self.fail("a nested plan has another number of inputs");
        }
        for (&arg, (i, times)) in args.iter().zip(slots) {
            self.fits(plan.inputs.get(i), arg, times);
        }
    }

    fn results(
        &mut self,
        plan: &Plan,
        targets: &[Target],
        slots: Vec<(usize, usize)>,
        scratch: Option<usize>,
    ) {
        if plan.outputs.len() != targets.len() {
            return self.fail("a nested plan has another number of outputs");
        }
        for (target, (i, times)) in targets.iter().zip(slots) {
            match *target {
                Target::Arg(arg) => self.fits(plan.outputs.get(i), arg, times),
                Target::Scratch(at) => self.in_scratch(scratch, at, plan.outputs[i].ty.bytes()),
            }
        }
    }

    fn in_scratch(&mut self, scratch: Option<usize>, at: usize, bytes: usize) {
        let size = scratch.map_or(0, |arg| self.plan.buffers[self.kernel.args[arg]].bytes());
        if !at.is_multiple_of(ALIGN) || at.checked_add(bytes).is_none_or(|end| end > size) {
            self.fail("leaves its scratch");
        }
    }

    fn access(&mut self, access: &Access, extra: usize) {
        let Some(&buffer) = self.kernel.args.get(access.arg) else {
            return self.fail(format!("an access has no argument {}", access.arg));
        };
        let buffer = &self.plan.buffers[buffer];
        if buffer.dtype != access.dtype {
            self.fail(format!("takes `{}` for {}", buffer.name, access.dtype.name()));
        }
        if access.strides.len() != self.sizes.len() {
            return self.fail(format!("an access to `{}` has too few strides", buffer.name));
        }
        let reach = self.sizes.iter().zip(&access.strides).map(|(n, s)| n.saturating_sub(1) * s);
        let last = access.offset + reach.sum::<usize>() + extra;
        if !self.sizes.contains(&0) && last >= buffer.elements {
            let elements = buffer.elements;
            self.fail(format!("reaches element {last} of the {elements} of `{}`", buffer.name));
        }
    }

    fn loads(&mut self, accesses: &[Access], body: &Body, scalars: usize) {
        for (i, inst) in body.insts().iter().enumerate() {
            let (access, extra) = match *inst {
                Inst::Load { access, .. } => (access, 0),
                Inst::LoadAt { access, size, stride, .. } => {
                    (access, (size as usize).saturating_sub(1) * stride as usize)
                }
                Inst::Scalar { index, .. } if usize::from(index) >= scalars => {
                    self.fail(format!("scalar {index} is not known yet"));
                    continue;
                }
                Inst::Index { dim, .. } if usize::from(dim) >= self.sizes.len() => {
                    self.fail(format!("there is no loop {dim}"));
                    continue;
                }
                Inst::Scalar { .. }
                | Inst::Index { .. }
                | Inst::Const { .. }
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Fma(..)
                | Inst::Shift(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::Convert(..)
                | Inst::Bitcast(_) => continue,
            };
            match accesses.get(usize::from(access)) {
                None => self.fail(format!("there is no access {access}")),
                Some(access) => {
                    self.access(access, extra);
                    if body.lane(Value(i as u32)) != lane(access.dtype) {
                        self.fail(format!("loads {} into another lane", access.dtype.name()));
                    }
                }
            }
        }
    }

    fn store(&mut self, accesses: &[Access], body: &Body, store: &Store) {
        let Some(access) = accesses.get(store.access) else {
            return self.fail(format!("there is no access {}", store.access));
        };
        if body.lane(store.value) != lane(access.dtype) {
            self.fail(format!("stores another lane as {}", access.dtype.name()));
        }
        if let Some(add) = &store.add_at {
            self.access(access, (add.size as usize).saturating_sub(1) * add.stride as usize);
            if !body.lane(add.index).is_int() {
                self.fail("scatters by what is no integer");
            }
        }
    }
}

/// What setup kernels touch, and what no other kernel may write.
fn check_setup(plan: &Plan, fixed: usize, errors: &mut Vec<String>) {
    let kept = kept(plan);
    for (i, kernel) in plan.kernels.iter().enumerate() {
        for u in uses(&kernel.kind) {
            let number = kernel.args[u.arg];
            let buffer = &plan.buffers[number];
            let fits = match buffer.place {
                _ if i >= plan.setup => !(u.store && kept[number]),
                Place::Arena(_) => true,
                Place::Constant(_) => !u.store,
                Place::State(s) => {
                    let state = &plan.states[s];
                    !u.store && state.kind == StateKind::Frozen && !state.written
                }
                Place::Input(i) => !u.store && i >= fixed,
                Place::Output(_) => false,
            };
            if !fits {
                let what = if u.store { "writes" } else { "reads" };
                let side = if i < plan.setup { "in the setup" } else { "after the setup" };
                errors
                    .push(format!("kernel {i} `{}` {what} `{}` {side}", kernel.name, buffer.name));
            }
        }
    }
}

fn check_writes(plan: &Plan, errors: &mut Vec<String>) {
    let mut written = vec![false; plan.buffers.len()];
    for (i, kernel) in plan.kernels.iter().enumerate() {
        let mut stores = vec![];
        let mut here = written.clone();
        for u in uses(&kernel.kind) {
            let number = kernel.args[u.arg];
            let buffer = &plan.buffers[number];
            let mut fail = |what: &str| {
                errors.push(format!("kernel {i} `{}`: {what} `{}`", kernel.name, buffer.name))
            };
            if u.store {
                match buffer.place {
                    Place::Input(_) | Place::Constant(_) => fail("writes the read-only"),
                    Place::State(_) if plan.guard.as_ref().is_some_and(|g| i < g.after) => {
                        fail("does not wait for the guard to write");
                    }
                    Place::State(_) | Place::Output(_) | Place::Arena(_) => {}
                }
                stores.push(number);
                here[number] = true;
            } else {
                match buffer.place {
                    Place::Output(_) | Place::Arena(_) if !here[number] => {
                        fail("reads before it is written");
                    }
                    Place::Input(_)
                    | Place::Constant(_)
                    | Place::State(_)
                    | Place::Output(_)
                    | Place::Arena(_) => {}
                }
            }
        }
        stores.into_iter().for_each(|b| written[b] = true);
    }
    for slot in &plan.outputs {
        if !written[slot.buffer] && plan.buffers[slot.buffer].elements > 0 {
            errors.push(format!("output `{}` is never written", slot.name));
        }
    }
    for state in &plan.states {
        if written[state.buffer] && !state.written {
            errors.push(format!("state `{}` is written, though it stays", state.name));
        }
        if !written[state.buffer] && state.written && plan.buffers[state.buffer].elements > 0 {
            errors.push(format!("state `{}` is never written", state.name));
        }
    }
}

fn check_arena(plan: &Plan, errors: &mut Vec<String>) {
    let mut alive: Vec<(usize, usize, usize, usize, usize)> = vec![];
    for (number, life) in lifetimes(plan).into_iter().enumerate() {
        let buffer = &plan.buffers[number];
        let (Place::Arena(offset), Some((first, last))) = (&buffer.place, life) else { continue };
        let bytes = buffer.bytes().next_multiple_of(ALIGN);
        if offset % ALIGN != 0 || offset + bytes > plan.arena_bytes {
            errors.push(format!("buffer {number} lies wrong in the arena"));
        }
        alive.push((first, last, *offset, offset + bytes, number));
    }
    alive.sort_unstable();
    let mut open: Vec<(usize, usize, usize, usize, usize)> = vec![];
    for life in alive {
        open.retain(|o| o.1 >= life.0);
        for o in &open {
            if o.2 < life.3 && life.2 < o.3 {
                errors.push(format!("buffers {} and {} are alive in the same bytes", o.4, life.4));
            }
        }
        open.push(life);
    }
}
