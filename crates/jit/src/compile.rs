//! Plan to machine code.

use crate::array::Bytes;
use crate::cache::{Key, cache};
use crate::check::check;
use crate::clif::Features;
use crate::codegen::{Code, Job, LoopNest, generate};
use crate::error::JitError;
use crate::executable::{Executable, Machine};
use crate::isa::Isa;
use crate::program::{KernelFn, Parts, Programs};
use cranelift_codegen::ir::{AbiParam, types::I64};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Module, ModuleError, default_libcall_names};
use eggrad_schedule::{ALIGN, Kernel, MAX_BYTES, Plan};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How plans are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitConfig {
    /// Whether the code generator checks its own input.
    pub verifier: bool,
    /// Which instructions may be used.
    pub isa: Isa,
    /// Whether the report holds the text of every function; those are made anew.
    pub listing: bool,
    /// Whether functions that this process has made before are taken as they are.
    pub cache: bool,
    /// Threads that make code, at least one; the code is the same for any number.
    pub threads: usize,
    /// Threads that share the loops of large kernels in a run, at least one, but no more than there are cores; the
    /// bits are the same for any number.
    pub run_threads: usize,
    /// Bytes that intermediate values may take, but no more than [`MAX_BYTES`].
    pub max_bytes: usize,
}

impl Default for JitConfig {
    /// This processor's instructions; verified in debug builds; no listing; code is made on as many threads as there
    /// are cores, but no more than 8, and runs on one; all of the machine's memory; what was made before is used again.
    fn default() -> JitConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        JitConfig {
            verifier: cfg!(debug_assertions),
            isa: Isa::Host,
            listing: false,
            cache: true,
            threads: cores.min(8),
            run_threads: 1,
            max_bytes: installed_bytes(),
        }
    }
}

/// One function of machine code; equal kernels share it.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionReport {
    /// Name of the first kernel that uses it.
    pub kernel: String,
    /// What its instructions are of; never `Host`.
    pub isa: Isa,
    /// Number of kernels that use it.
    pub uses: usize,
    /// Bytes of machine code.
    pub code_bytes: usize,
    /// Time spent on making it; none if it was known.
    pub time: Duration,
    /// Whether it was known from an earlier compile in this process.
    pub cached: bool,
    /// Its instructions, if asked for; what Cranelift made, in its intermediate form too.
    pub listing: Option<String>,
}

/// What compiling a plan cost.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CompileReport {
    /// Distinct functions, in order of first use.
    pub functions: Vec<FunctionReport>,
    /// Time for everything, checks and memory included.
    pub time: Duration,
}

/// Compiles every kernel of a plan and of the plans nested in it.
///
/// # Errors
/// [`JitError::Unsupported`], [`JitError::MissingIsa`], [`JitError::Memory`] and [`JitError::TooLarge`] say what this
/// machine lacks, [`JitError::UnknownIsa`] that the environment names no instructions. The rest are bugs:
/// [`JitError::Plan`] of the scheduler, [`JitError::Internal`] of this crate.
pub fn compile(plan: &Plan, config: &JitConfig) -> Result<Executable, JitError> {
    let started = Instant::now();
    let (bytes, allowed) = (plan.arena_bytes, config.max_bytes.min(MAX_BYTES));
    if bytes > allowed {
        return Err(JitError::TooLarge { bytes, allowed });
    }
    check(plan).map_err(JitError::Plan)?;
    let chosen = config.isa.resolve()?;
    let isa = target(config, chosen)?;
    let mut known: HashMap<(LoopNest<'_>, usize), usize> = HashMap::new();
    let mut distinct: Vec<Job<'_>> = vec![];
    let mut uses = vec![];
    let nested = plan.nested();
    let plans = || nested.iter().map(|nested| &***nested).chain([plan]);
    for kernel in plans().flat_map(|plan| &plan.kernels) {
        let Some(nest) = LoopNest::of(&kernel.kind) else { continue };
        let (next, args) = (distinct.len(), kernel.args.len());
        let at = *known.entry((nest, args)).or_insert(next);
        if at == next {
            distinct.push(Job { name: &kernel.name, nest, args });
            uses.push(0);
        }
        uses[at] += 1;
    }
    let (codes, known_before) = codes(&distinct, &*isa, chosen, config)?;
    let builder = JITBuilder::with_isa(isa, default_libcall_names());
    let (machine, pointers) = place(builder, &distinct, &codes)?;
    let mut report = CompileReport::default();
    for (i, (job, code)) in distinct.iter().zip(&codes).enumerate() {
        report.functions.push(FunctionReport {
            kernel: job.name.to_string(),
            isa: code.isa,
            uses: uses[i],
            code_bytes: code.bytes.len(),
            time: if known_before[i] { Duration::ZERO } else { code.time },
            cached: known_before[i],
            listing: code.listing.clone(),
        });
    }

    let mut constants = Constants::default();
    let rows: Vec<usize> = codes.iter().map(|code| constants.push(&code.table)).collect();
    let function = |kernel: &Kernel| {
        let nest = LoopNest::of(&kernel.kind);
        match nest.and_then(|nest| known.get(&(nest, kernel.args.len()))) {
            Some(&at) => (pointers[at], rows[at], codes[at].shares),
            None => panic!("internal error: kernel `{}` has no function", kernel.name),
        }
    };
    let program = |wanted: &Plan| match nested.iter().position(|p| std::ptr::eq(&***p, wanted)) {
        Some(number) => number,
        None => panic!("internal error: a nested plan has no program"),
    };
    let mut programs = Programs::default();
    for plan in plans() {
        let mut constant = |bytes: &[u8]| constants.push(bytes);
        let mut parts = Parts { function: &function, program: &program, constant: &mut constant };
        programs.push(plan, &mut parts);
    }
    report.time = started.elapsed();
    Ok(Executable::new(
        plan.clone(),
        machine,
        programs,
        constants.finish(),
        report,
        config.run_threads,
    ))
}

/// The functions of these jobs, and which of them were known.
fn codes(
    jobs: &[Job<'_>],
    isa: &dyn TargetIsa,
    chosen: Isa,
    config: &JitConfig,
) -> Result<(Vec<Arc<Code>>, Vec<bool>), JitError> {
    let key = |i: usize| Key { nest: jobs[i].nest, args: jobs[i].args, isa: chosen };
    let mut codes: Vec<Option<Arc<Code>>> = vec![None; jobs.len()];
    let kept = config.cache && !config.listing;
    if kept {
        let cache = cache();
        codes = (0..jobs.len()).map(|i| cache.get(&key(i))).collect();
    }
    let known: Vec<bool> = codes.iter().map(Option::is_some).collect();
    let new: Vec<usize> = (0..jobs.len()).filter(|&i| !known[i]).collect();
    let missing: Vec<Job<'_>> = new.iter().map(|&i| jobs[i]).collect();
    let made = generate(&missing, isa, Features::of(isa), chosen, config)?;
    let mut cache = cache();
    for (i, code) in new.into_iter().zip(made) {
        let code = Arc::new(code);
        if kept {
            cache.insert(&key(i), &code);
        }
        codes[i] = Some(code);
    }
    Ok((codes.into_iter().flatten().collect(), known))
}

/// Bytes of memory that this machine has, [`MAX_BYTES`] where that is not known.
fn installed_bytes() -> usize {
    static KNOWN: OnceLock<usize> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kilobytes = total.and_then(|t| t.trim().strip_suffix(" kB")?.trim().parse().ok());
        kilobytes.map_or(MAX_BYTES, |k: usize| k.saturating_mul(1024))
    })
}

/// Constants of the plan and of its functions, one behind the other.
#[derive(Default)]
struct Constants(Vec<u8>);

impl Constants {
    fn push(&mut self, bytes: &[u8]) -> usize {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        let at = self.0.len();
        self.0.extend_from_slice(bytes);
        at
    }

    fn finish(self) -> Bytes {
        let mut bytes = Bytes::zeroed(self.0.len());
        bytes.as_mut_slice().copy_from_slice(&self.0);
        bytes
    }
}

fn target(config: &JitConfig, chosen: Isa) -> Result<OwnedTargetIsa, JitError> {
    let unsupported = |what: &dyn std::fmt::Display| JitError::Unsupported(what.to_string());
    if cfg!(target_endian = "big") {
        return Err(unsupported(&"constants of plans are little-endian"));
    }
    let detect = chosen != Isa::Baseline;
    let builder = cranelift_native::builder_with_options(detect).map_err(|e| unsupported(&e))?;
    let isa = builder.finish(flags(config.verifier)?).map_err(|e| unsupported(&e))?;
    if isa.pointer_type() != I64 {
        return Err(unsupported(&"addresses have fewer than 64 bits"));
    }
    Ok(isa)
}

/// How Cranelift makes code, whatever the processor.
pub(crate) fn flags(verifier: bool) -> Result<settings::Flags, JitError> {
    let mut flags = settings::builder();
    let verifier = if verifier { "true" } else { "false" };
    for (name, value) in [
        // The schedule already says in which order things are computed; Cranelift's own optimizer undoes that.
        ("opt_level", "none"),
        ("enable_verifier", verifier),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        ("unwind_info", "false"),
        // Touches the guard page without a call.
        ("probestack_strategy", "inline"),
    ] {
        flags.set(name, value).map_err(|e| JitError::Unsupported(e.to_string()))?;
    }
    Ok(settings::Flags::new(flags))
}

/// Puts functions into executable memory.
fn place(
    builder: JITBuilder,
    jobs: &[Job<'_>],
    codes: &[Arc<Code>],
) -> Result<(Machine, Vec<KernelFn>), JitError> {
    let bytes = codes.iter().map(|code| code.bytes.len()).sum();
    let memory = |e: ModuleError| JitError::Memory { bytes, what: e.to_string() };
    let mut machine = Machine::new(JITModule::new(builder));
    let module = machine.module();
    let mut signature = module.make_signature();
    signature.params.extend([AbiParam::new(I64); 3]);
    let mut ids = vec![];
    for (job, code) in jobs.iter().zip(codes) {
        let internal = |e: ModuleError| match e {
            ModuleError::Allocation { .. } => memory(e),
            e => JitError::Internal { kernel: job.name.to_string(), what: e.to_string() },
        };
        let id = module.declare_anonymous_function(&signature).map_err(internal)?;
        module.define_function_bytes(id, code.alignment, &code.bytes, &[]).map_err(internal)?;
        ids.push(id);
    }
    module.finalize_definitions().map_err(memory)?;
    let addresses: Vec<*const u8> =
        ids.iter().map(|&id| module.get_finalized_function(id)).collect();
    let pointers = addresses.into_iter().map(|address| {
        // SAFETY: the address of a finished function that was compiled with this signature and the C calling
        // convention of the host, in memory that `machine` owns.
        unsafe { std::mem::transmute::<*const u8, KernelFn>(address) }
    });
    let pointers = pointers.collect();
    Ok((machine, pointers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_jit::ArenaMemoryProvider;
    use eggrad_schedule::{ScheduleConfig, schedule};

    /// Functions that do not fit into the memory there is for code.
    #[test]
    fn refused_memory_for_code_is_an_error() {
        let line = |n: usize| format!("in x{n}: f32[{n}]\nout y{n} = log_erfc(x{n})\n");
        let text = format!("graph 2\n{}", (1..60).map(line).collect::<String>());
        let graph: eggrad_ir::Graph = text.parse().expect("a graph");
        let plan = schedule(&graph, &ScheduleConfig::default()).expect("a plan");
        let jobs: Vec<Job<'_>> = plan
            .kernels
            .iter()
            .filter_map(|kernel| {
                let nest = LoopNest::of(&kernel.kind)?;
                Some(Job { name: &kernel.name, nest, args: kernel.args.len() })
            })
            .collect();
        let config = JitConfig::default();
        let isa = target(&config, Isa::Clif).expect("this processor");
        let (codes, _) = codes(&jobs, &*isa, Isa::Clif, &config).expect("code");
        let bytes: usize = codes.iter().map(|code| code.bytes.len()).sum();
        for (room, fits) in [(4 * bytes.next_multiple_of(1 << 16), true), (1, false)] {
            let mut builder = JITBuilder::with_isa(isa.clone(), default_libcall_names());
            let provider = ArenaMemoryProvider::new_with_size(room).expect("a range of addresses");
            builder.memory_provider(Box::new(provider));
            match place(builder, &jobs, &codes) {
                Ok((_, pointers)) => assert!(fits && pointers.len() == jobs.len(), "{bytes} bytes"),
                Err(JitError::Memory { bytes: needed, .. }) => assert!(!fits && needed == bytes),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
