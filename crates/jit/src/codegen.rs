//! Kernels to bytes of machine code, several at a time.

use crate::clif::{self, Features};
use crate::compile::JitConfig;
use crate::emit::Shares;
use crate::error::JitError;
use crate::isa::Isa;
use crate::wide;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{AbiParam, types::I64};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use eggrad_schedule::{ColumnKernel, KernelKind, ProductKernel, RowKernel};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Loops that become a function; equal ones share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LoopNest<'a> {
    Row(&'a RowKernel),
    Column(&'a ColumnKernel),
    Product(&'a ProductKernel),
}

impl LoopNest<'_> {
    /// The loops of a kernel; none if it runs nested plans.
    pub(crate) fn of(kind: &KernelKind) -> Option<LoopNest<'_>> {
        match kind {
            KernelKind::Row(k) => Some(LoopNest::Row(k)),
            KernelKind::Column(k) => Some(LoopNest::Column(k)),
            KernelKind::Product(k) => Some(LoopNest::Product(k)),
            KernelKind::Loop(_) | KernelKind::Branch(_) => None,
        }
    }
}

/// A function to make.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    /// Name of the first kernel that it computes.
    pub(crate) name: &'a str,
    pub(crate) nest: LoopNest<'a>,
    /// Number of arguments.
    pub(crate) args: usize,
}

/// A function that was made. It refers to nothing but its arguments, so it runs wherever it lies.
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    pub(crate) alignment: u64,
    /// Constants that its last argument points to.
    pub(crate) table: Vec<u8>,
    pub(crate) shares: Shares,
    /// What its instructions are of.
    pub(crate) isa: Isa,
    pub(crate) time: Duration,
    pub(crate) listing: Option<String>,
}

/// Makes all functions, on as many threads as the config allows; the result does not depend on their number.
pub(crate) fn generate(
    jobs: &[Job<'_>],
    isa: &dyn TargetIsa,
    features: Features,
    chosen: Isa,
    config: &JitConfig,
) -> Result<Vec<Code>, JitError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut maker = Maker {
            isa,
            features,
            chosen,
            listing: config.listing,
            context: Context::new(),
            scratch: FunctionBuilderContext::new(),
        };
        let mut made = vec![];
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(i) else { return made };
            made.push((i, maker.function(job)));
        }
    };
    // A thread costs about as much as a small kernel.
    let helpers = config.threads.min(jobs.len() / 2).saturating_sub(1);
    let mut made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut made = work();
        for thread in threads {
            match thread.join() {
                Ok(more) => made.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    });
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, code)| code).collect()
}

/// What a thread needs to make functions one after the other.
struct Maker<'a> {
    isa: &'a dyn TargetIsa,
    features: Features,
    chosen: Isa,
    listing: bool,
    context: Context,
    scratch: FunctionBuilderContext,
}

impl Maker<'_> {
    fn function(&mut self, job: &Job<'_>) -> Result<Code, JitError> {
        let started = Instant::now();
        let internal = |what: String| JitError::Internal { kernel: job.name.to_string(), what };
        if let Some(level) = self.chosen.level() {
            let made = wide::compile(level, job.nest, job.args, self.listing).map_err(internal)?;
            if let Some(function) = made {
                return Ok(Code {
                    bytes: function.bytes,
                    alignment: 64,
                    table: function.table,
                    shares: function.shares,
                    isa: self.chosen,
                    time: started.elapsed(),
                    listing: function.listing,
                });
            }
        }
        let context = &mut self.context;
        context.clear();
        context.func.signature.call_conv = self.isa.default_call_conv();
        context.func.signature.params.extend([AbiParam::new(I64); 3]);
        let target = self.isa.frontend_config();
        let (table, shares) = clif::emit(
            job.nest,
            job.args,
            self.features,
            &mut context.func,
            &mut self.scratch,
            target,
        );
        let mut listing = self.listing.then(|| context.func.display().to_string());
        context.set_disasm(self.listing);
        let code = context
            .compile(self.isa, &mut ControlPlane::default())
            .map_err(|e| internal(format!("{:?}", e.inner)))?;
        if !code.buffer.relocs().is_empty() {
            return Err(internal("code refers to something outside of it".to_string()));
        }
        if let (Some(listing), Some(text)) = (&mut listing, code.vcode.as_deref()) {
            listing.push_str(text);
        }
        Ok(Code {
            bytes: code.code_buffer().to_vec(),
            alignment: u64::from(code.buffer.alignment),
            table,
            shares,
            isa: if self.chosen == Isa::Baseline { Isa::Baseline } else { Isa::Clif },
            time: started.elapsed(),
            listing,
        })
    }
}
