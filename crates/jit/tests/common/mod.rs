//! Single kernels over arrays: built by hand, run as machine code, and compared with what evaluation gives.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod evaluate;
pub(crate) mod graphs;
mod numbers;

pub(crate) use evaluate::evaluate;
pub(crate) use numbers::{Numbers, input_bits, special};

use eggrad_body::{Body, Inst, Lane, Value};
use eggrad_ir::{DType, Part, TensorType};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef, Executable, Isa, JitConfig, States, compile};
use eggrad_schedule::*;

/// An argument of a kernel: its array before the run, and whether the kernel writes it.
#[derive(Clone, Debug)]
pub(crate) struct Arg {
    pub(crate) array: Aligned,
    pub(crate) written: bool,
}

pub(crate) fn input<T: eggrad_jit::Element>(values: &[T]) -> Arg {
    Arg { array: Aligned::from_slice(values), written: false }
}

pub(crate) fn output<T: eggrad_jit::Element>(values: &[T]) -> Arg {
    Arg { array: Aligned::from_slice(values), written: true }
}

/// An output of `elements` that hold something else than the kernel will write.
pub(crate) fn blank(dtype: DType, elements: usize) -> Arg {
    let mut array = Aligned::with_len(dtype, elements);
    (0..elements).for_each(|i| set(&mut array, i, 1));
    Arg { array, written: true }
}

pub(crate) fn lane_of(dtype: DType) -> Lane {
    match dtype {
        DType::F32 => Lane::F32,
        DType::F64 => Lane::F64,
        DType::I32 | DType::U8 => Lane::I32,
        DType::I64 => Lane::I64,
        DType::Bool => Lane::Mask,
    }
}

pub(crate) fn dtype_of(lane: Lane) -> DType {
    match lane {
        Lane::F32 => DType::F32,
        Lane::F64 => DType::F64,
        Lane::I32 => DType::I32,
        Lane::I64 => DType::I64,
        Lane::Mask => DType::Bool,
    }
}

/// Bits of element `i`, zero-extended.
pub(crate) fn get(array: &Aligned, i: usize) -> u64 {
    match ArrayRef::from(array) {
        ArrayRef::F32(s) => s[i].to_bits().into(),
        ArrayRef::F64(s) => s[i].to_bits(),
        ArrayRef::I32(s) => u64::from(s[i] as u32),
        ArrayRef::I64(s) => s[i] as u64,
        ArrayRef::U8(s) => s[i].into(),
        ArrayRef::Bool(s) => s[i].into(),
    }
}

pub(crate) fn set(array: &mut Aligned, i: usize, bits: u64) {
    match ArrayMut::from(array) {
        ArrayMut::F32(s) => s[i] = f32::from_bits(bits as u32),
        ArrayMut::F64(s) => s[i] = f64::from_bits(bits),
        ArrayMut::I32(s) => s[i] = bits as i32,
        ArrayMut::I64(s) => s[i] = bits as i64,
        ArrayMut::U8(s) => s[i] = bits as u8,
        ArrayMut::Bool(s) => s[i] = bits != 0,
    }
}

/// The kernel as a plan: every argument is an input or an output.
pub(crate) fn plan(kind: &KernelKind, args: &[Arg]) -> Plan {
    let mut plan = Plan::default();
    for (i, arg) in args.iter().enumerate() {
        let ty = TensorType::new(arg.array.dtype(), vec![arg.array.len()]);
        let name = format!("a{i}");
        let slots = if arg.written { &mut plan.outputs } else { &mut plan.inputs };
        let number = slots.len();
        let place = if arg.written { Place::Output(number) } else { Place::Input(number) };
        slots.push(Slot { name: name.clone(), ty: ty.clone(), buffer: i, range: None });
        plan.buffers.push(Buffer { name, dtype: ty.dtype, elements: arg.array.len(), place });
    }
    plan.kernels.push(Kernel {
        name: "tested".into(),
        kind: kind.clone(),
        args: (0..args.len()).collect(),
        nodes: vec![],
        part: Part::Forward,
        splittable: false,
    });
    plan
}

/// Runs a plan without states; `args` are its inputs and outputs in order.
pub(crate) fn run(executable: &Executable, args: &mut [Arg]) {
    let mut inputs = vec![];
    let mut outputs = vec![];
    for arg in args {
        if arg.written {
            outputs.push(ArrayMut::from(&mut arg.array));
        } else {
            inputs.push(ArrayRef::from(&arg.array));
        }
    }
    let mut states = States { arrays: &mut [], map: &[], version: 0 };
    let mut workspace = executable.workspace().expect("memory");
    executable.run(&mut workspace, &inputs, &mut states, &mut outputs).unwrap();
}

/// The instructions that this processor has, all kinds.
pub(crate) fn isas() -> impl Iterator<Item = Isa> {
    Isa::NAMED.into_iter().filter(|isa| isa.is_available())
}

/// Compares machine code of every kind with the evaluator, bit for bit (any NaN equals any NaN). Returns what was
/// computed.
#[track_caller]
pub(crate) fn check(what: &str, kind: KernelKind, args: &[Arg]) -> Vec<Arg> {
    let mut expected = args.to_vec();
    evaluate(&kind, &mut expected);
    let mut computed = vec![];
    for isa in isas() {
        let config = JitConfig { verifier: true, isa, ..JitConfig::default() };
        let executable = match compile(&plan(&kind, args), &config) {
            Ok(executable) => executable,
            Err(error) => panic!("{what}: {isa}: {error}"),
        };
        // Without fused multiply-add only some bits are the same.
        if isa != Isa::Baseline || !fuses(&kind) {
            computed = compare(&format!("{what}: {isa}"), &executable, &kind, args, &expected);
        }
    }
    computed
}

/// Whether some result depends on fused multiply-add.
fn fuses(kind: &KernelKind) -> bool {
    let bodies: Vec<&Body> = match kind {
        KernelKind::Row(k) => k
            .phases
            .iter()
            .map(|phase| match phase {
                Phase::Pass { body, .. } | Phase::Scalar { body, .. } => body,
            })
            .collect(),
        KernelKind::Column(k) => vec![&k.body, &k.epilogue],
        KernelKind::Product(_) | KernelKind::Loop(_) | KernelKind::Branch(_) => return true,
    };
    bodies.into_iter().any(has_fma)
}

fn has_fma(body: &Body) -> bool {
    body.insts().iter().any(|inst| matches!(inst, Inst::Fma(..)))
}

/// Runs machine code and compares it with what it should leave behind.
#[track_caller]
fn compare(
    what: &str,
    executable: &Executable,
    kind: &KernelKind,
    args: &[Arg],
    expected: &[Arg],
) -> Vec<Arg> {
    let mut got = args.to_vec();
    run(executable, &mut got);
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        for at in 0..got.array.len() {
            let (g, e) = (get(&got.array, at), get(&expected.array, at));
            let dtype = got.array.dtype();
            if g != e && !(is_nan(dtype, g) && is_nan(dtype, e)) && !is_flushed(dtype, g, e) {
                panic!(
                    "{what}: argument {i}, element {at}: machine code {g:#x}, evaluator {e:#x}\n{kind:?}\n{}",
                    listing(kind, args, executable.report().functions[0].isa)
                );
            }
        }
    }
    got
}

/// The beginning of a kernel's code.
fn listing(kind: &KernelKind, args: &[Arg], isa: Isa) -> String {
    let config = JitConfig { isa, listing: true, ..JitConfig::default() };
    let executable = compile(&plan(kind, args), &config).expect("compiled before");
    let listing = executable.report().functions[0].listing.clone().unwrap_or_default();
    listing.lines().take(200).collect::<Vec<_>>().join("\n")
}

/// Whether a result that rounds to the smallest normal number was flushed, as 64-bit Arm does before it rounds.
fn is_flushed(dtype: DType, found: u64, expected: u64) -> bool {
    let (sign, smallest) = match dtype {
        DType::F32 => (1 << 31, 1 << 23),
        DType::F64 => (1 << 63, 1 << 52),
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => return false,
    };
    cfg!(target_arch = "aarch64") && expected & !sign == smallest && found == expected & sign
}

fn is_nan(dtype: DType, bits: u64) -> bool {
    match dtype {
        DType::F32 => f32::from_bits(bits as u32).is_nan(),
        DType::F64 => f64::from_bits(bits).is_nan(),
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => false,
    }
}

/// An access of argument `arg`.
pub(crate) fn access(arg: usize, dtype: DType, strides: &[usize]) -> Access {
    Access { arg, dtype, offset: 0, strides: strides.to_vec() }
}

pub(crate) fn store(access: usize, value: Value) -> Store {
    Store { access, value, add_at: None }
}

/// A map over one row: `build` gets the loads of all inputs, its results go to the outputs, in order.
pub(crate) fn map(
    args: &[Arg],
    row: usize,
    build: impl FnOnce(&mut Body, &[Value]) -> Vec<Value>,
) -> KernelKind {
    let mut body = Body::new();
    let mut accesses = vec![];
    let mut loads = vec![];
    let mut targets = vec![];
    for (i, arg) in args.iter().enumerate() {
        let dtype = arg.array.dtype();
        accesses.push(access(i, dtype, &[1]));
        if arg.written {
            targets.push(i);
        } else {
            loads.push(body.load(i as u16, lane_of(dtype)));
        }
    }
    let results = build(&mut body, &loads);
    let stores = targets.iter().zip(results).map(|(&i, v)| store(i, v)).collect();
    let phases = vec![Phase::Pass { body, folds: vec![], stores }];
    KernelKind::Row(RowKernel { outer: vec![], row, accesses, phases })
}
