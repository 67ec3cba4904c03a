//! Single kernels over arrays: built by hand, run as machine code, and evaluated instruction by instruction.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod graphs;

use eggrad_body::{BinaryInst, Body, CompareInst, Env, Inst, Lane, Value, eval};
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

struct Here<'a> {
    accesses: &'a [Access],
    args: &'a [Arg],
    position: &'a [usize],
    scalars: &'a [u64],
}

fn element(access: &Access, position: &[usize]) -> usize {
    access.offset + access.strides.iter().zip(position).map(|(s, p)| s * p).sum::<usize>()
}

impl Env for Here<'_> {
    fn load(&mut self, access: u16, lane: Lane) -> u64 {
        self.load_at(access, lane, 0, 1, 0)
    }

    fn load_at(&mut self, access: u16, lane: Lane, index: i64, _: u32, stride: u32) -> u64 {
        let access = &self.accesses[usize::from(access)];
        assert_eq!(lane_of(access.dtype), lane);
        let at = element(access, self.position) + index as usize * stride as usize;
        get(&self.args[access.arg].array, at)
    }

    fn scalar(&mut self, index: u16, _: Lane) -> u64 {
        self.scalars[usize::from(index)]
    }

    fn index(&mut self, dim: u16) -> i64 {
        self.position[usize::from(dim)] as i64
    }
}

/// Two or three numbers as the loads of a body.
struct Operands<'a>(&'a [u64]);

impl Env for Operands<'_> {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        self.0[usize::from(access)]
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        unreachable!("no gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        unreachable!("no scalars")
    }

    fn index(&mut self, _: u16) -> i64 {
        unreachable!("no positions")
    }
}

/// What `build` makes of numbers.
fn apply(lane: Lane, operands: &[u64], build: impl FnOnce(&mut Body, &[Value]) -> Value) -> u64 {
    let mut body = Body::new();
    let loads: Vec<Value> = (0..operands.len()).map(|i| body.load(i as u16, lane)).collect();
    let result = build(&mut body, &loads);
    let mut values = vec![];
    eval(&body, &mut Operands(operands), &mut values);
    values[result.index()]
}

fn combine(op: FoldOp, lane: Lane, acc: u64, x: u64) -> u64 {
    let extreme = |b: &mut Body, acc: Value, x: Value, op: CompareInst| {
        let wins = b.push(eggrad_body::Inst::Compare(op, acc, x));
        if !lane.is_float() {
            return b.select(wins, acc, x);
        }
        let acc_nan = b.push(eggrad_body::Inst::Compare(CompareInst::Ne, acc, acc));
        let x_nan = b.push(eggrad_body::Inst::Compare(CompareInst::Ne, x, x));
        let keep = b.binary(BinaryInst::Or, wins, acc_nan);
        let best = b.select(keep, acc, x);
        b.select(x_nan, x, best)
    };
    apply(lane, &[acc, x], |b, v| match op {
        FoldOp::Sum => b.add(v[0], v[1]),
        FoldOp::Prod => b.mul(v[0], v[1]),
        FoldOp::Max => extreme(b, v[0], v[1], CompareInst::Gt),
        FoldOp::Min => extreme(b, v[0], v[1], CompareInst::Lt),
    })
}

fn identity(op: FoldOp, lane: Lane) -> u64 {
    let mut body = Body::new();
    let value = match (op, lane) {
        (FoldOp::Sum, _) => body.konst(lane, 0.0),
        (FoldOp::Prod, _) => body.konst(lane, 1.0),
        (FoldOp::Max, Lane::I64) => body.int(lane, i64::MIN),
        (FoldOp::Min, Lane::I64) => body.int(lane, i64::MAX),
        (FoldOp::Max, _) => body.konst(lane, f64::NEG_INFINITY),
        (FoldOp::Min, _) => body.konst(lane, f64::INFINITY),
    };
    let mut values = vec![];
    eval(&body, &mut Operands(&[]), &mut values);
    values[value.index()]
}

/// All positions of loops, in row-major order.
pub(crate) fn positions(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &size in sizes {
        let extend =
            |p: &Vec<usize>| (0..size).map(|i| [p.as_slice(), &[i]].concat()).collect::<Vec<_>>();
        all = all.iter().flat_map(extend).collect();
    }
    all
}

struct At<'a> {
    body: &'a Body,
    stores: &'a [Store],
    accesses: &'a [Access],
}

impl At<'_> {
    fn run(&self, args: &mut [Arg], position: &[usize], scalars: &[u64]) -> Vec<u64> {
        let mut values = vec![];
        let accesses = self.accesses;
        eval(self.body, &mut Here { accesses, args, position, scalars }, &mut values);
        for store in self.stores {
            let access = &accesses[store.access];
            let mut at = element(access, position);
            let mut bits = values[store.value.index()];
            let array = &mut args[access.arg].array;
            if let Some(add) = store.add_at {
                let index = match self.body.lane(add.index) {
                    Lane::I32 => i64::from(values[add.index.index()] as i32),
                    _ => values[add.index.index()] as i64,
                };
                if !(0..i64::from(add.size)).contains(&index) {
                    continue;
                }
                at += index as usize * add.stride as usize;
                let lane = self.body.lane(store.value);
                bits = apply(lane, &[get(array, at), bits], |b, v| b.add(v[0], v[1]));
            }
            set(array, at, bits);
        }
        values
    }
}

/// What the plan's documentation says a kernel computes.
pub(crate) fn evaluate(kind: &KernelKind, args: &mut [Arg]) {
    match kind {
        KernelKind::Row(k) => {
            for outer in positions(&k.outer) {
                let mut scalars = vec![];
                for phase in &k.phases {
                    match phase {
                        Phase::Pass { body, folds, stores } => {
                            let mut lanes: Vec<Vec<u64>> = folds
                                .iter()
                                .map(|f| vec![identity(f.op, body.lane(f.value)); FOLD_LANES])
                                .collect();
                            for i in 0..k.row {
                                let at = At { body, stores, accesses: &k.accesses };
                                let position = [outer.as_slice(), &[i]].concat();
                                let values = at.run(args, &position, &scalars);
                                for (fold, lanes) in folds.iter().zip(&mut lanes) {
                                    let (x, lane) =
                                        (values[fold.value.index()], body.lane(fold.value));
                                    let acc = &mut lanes[i % FOLD_LANES];
                                    *acc = combine(fold.op, lane, *acc, x);
                                }
                            }
                            for (fold, lanes) in folds.iter().zip(&mut lanes) {
                                let mut half = FOLD_LANES / 2;
                                while half > 0 {
                                    for j in 0..half {
                                        let lane = body.lane(fold.value);
                                        lanes[j] =
                                            combine(fold.op, lane, lanes[j], lanes[j + half]);
                                    }
                                    half /= 2;
                                }
                                scalars.push(lanes[0]);
                            }
                        }
                        Phase::Scalar { body, results, stores } => {
                            let at = At { body, stores, accesses: &k.accesses };
                            let position = [outer.as_slice(), &[0]].concat();
                            let values = at.run(args, &position, &scalars);
                            scalars.extend(results.iter().map(|r| values[r.index()]));
                        }
                    }
                }
            }
        }
        KernelKind::Column(k) => {
            for outer in positions(&k.outer) {
                for row in 0..k.row {
                    let mut totals = vec![];
                    for fold in &k.folds {
                        let lane = k.body.lane(fold.value);
                        let mut total = identity(fold.op, lane);
                        for block in positions(&k.reduced).chunks(COLUMN_BLOCK) {
                            let mut acc = identity(fold.op, lane);
                            for reduced in block {
                                let at = At { body: &k.body, stores: &[], accesses: &k.accesses };
                                let position = [outer.as_slice(), reduced, &[row]].concat();
                                let values = at.run(args, &position, &[]);
                                acc = combine(fold.op, lane, acc, values[fold.value.index()]);
                            }
                            total = combine(fold.op, lane, total, acc);
                        }
                        totals.push(total);
                    }
                    let zeros = vec![0; k.reduced.len()];
                    let position = [outer.as_slice(), &zeros, &[row]].concat();
                    At { body: &k.epilogue, stores: &k.stores, accesses: &k.accesses }
                        .run(args, &position, &totals);
                }
            }
        }
        KernelKind::Product(k) => {
            let lane = lane_of(k.a.dtype);
            for batch in positions(&k.batch) {
                for mn in positions(&[k.m, k.n]) {
                    let mut acc = 0;
                    for terms in positions(&k.k) {
                        let position = [batch.as_slice(), &mn, &terms].concat();
                        let a = get(&args[k.a.arg].array, element(&k.a, &position));
                        let b = get(&args[k.b.arg].array, element(&k.b, &position));
                        acc = apply(lane, &[a, b, acc], |body, v| {
                            if lane.is_float() {
                                return body.fma(v[0], v[1], v[2]);
                            }
                            let product = body.mul(v[0], v[1]);
                            body.add(product, v[2])
                        });
                    }
                    let position = [batch.as_slice(), &mn, &vec![0; k.k.len()]].concat();
                    At { body: &k.epilogue, stores: &k.stores, accesses: &k.accesses }.run(
                        args,
                        &position,
                        &[acc],
                    );
                }
            }
        }
        KernelKind::Loop(_) | KernelKind::Branch(_) => {
            panic!("kernels of nested plans are tested as graphs")
        }
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

/// Numbers at which instructions differ: zeros, subnormals, limits, infinities, NaN.
pub(crate) fn special(lane: Lane) -> Vec<u64> {
    match lane {
        Lane::F32 => [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.5,
            -3.75,
            1e-3,
            1e9,
            -3e9,
            1e19,
            7e37,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            -f32::MIN_POSITIVE,
            f32::MIN_POSITIVE * 1.5,
            f32::from_bits(1),
            f32::from_bits(0x8000_0001),
            f32::from_bits(0x007f_ffff),
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1.0000001,
            0.99999994,
            16777217.0,
        ]
        .iter()
        .map(|x: &f32| u64::from(x.to_bits()))
        .collect(),
        Lane::F64 => [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.5,
            -3.75,
            1e-3,
            3e9,
            -1e19,
            1e39,
            1e300,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -f64::MIN_POSITIVE,
            f64::MIN_POSITIVE * 1.5,
            f64::from_bits(1),
            f64::from_bits(1 << 63 | 1),
            1e-40,
            -1e-40,
            1e-50,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            1.0000000000000002,
            16777217.0,
        ]
        .iter()
        .map(|x: &f64| x.to_bits())
        .collect(),
        Lane::I32 => {
            [0, 1, -1, 2, 7, -13, 1000, i32::MAX, i32::MIN, i32::MIN + 1, 0x55aa55aa, 16777217]
                .iter()
                .map(|&x: &i32| u64::from(x as u32))
                .collect()
        }
        Lane::I64 => [
            0,
            1,
            -1,
            2,
            7,
            -13,
            1 << 31,
            -(1 << 31) - 1,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
            0x55aa_55aa_1234_5678,
            (1 << 53) + 1,
        ]
        .iter()
        .map(|&x: &i64| x as u64)
        .collect(),
        Lane::Mask => vec![0, 1],
    }
}

/// An input of these bit patterns.
pub(crate) fn input_bits(lane: Lane, bits: &[u64]) -> Arg {
    let mut array = Aligned::with_len(dtype_of(lane), bits.len());
    bits.iter().enumerate().for_each(|(i, &b)| set(&mut array, i, b));
    Arg { array, written: false }
}

/// Numbers without pattern, the same each time.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 16) as usize % n
    }

    /// Between -2 and 2.
    pub(crate) fn f32(&mut self) -> f32 {
        ((self.bits() >> 40) as f32 / (1 << 22) as f32) - 2.0
    }

    /// An input or output of small numbers of any type.
    pub(crate) fn arg(&mut self, dtype: DType, elements: usize) -> Arg {
        let mut array = Aligned::with_len(dtype, elements);
        for i in 0..elements {
            let x = self.f32();
            let bits = match dtype {
                DType::F32 => u64::from(x.to_bits()),
                DType::F64 => (f64::from(x) * 1.000_000_000_1).to_bits(),
                DType::I32 => u64::from((x * 1000.0) as i32 as u32),
                DType::I64 => (x * 100_000.0) as i64 as u64,
                DType::U8 => self.bits() >> 56,
                DType::Bool => self.bits() >> 63,
            };
            set(&mut array, i, bits);
        }
        Arg { array, written: false }
    }
}
