//! The plan evaluator: what machine code must compute, bit by bit.

mod apply;
mod fold;
mod memory;

use crate::plan::{
    Access, COLUMN_BLOCK, ColumnKernel, FOLD_LANES, Fold, FoldOp, Kernel, KernelKind, Phase, Plan,
    ProductKernel, RowKernel, Store,
};
use eggrad_body::{Body, Env, Lane, eval};
use fold::{Combine, Pair};
use memory::{GARBAGE, Memory};
use thiserror::Error;

/// Why a plan was not run to its end.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The wrong number of arrays.
    #[error("the plan takes {expected} {what}, not {found}")]
    Count {
        /// `inputs` or `states`.
        what: &'static str,
        /// How many the plan has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An array of the wrong length.
    #[error("`{name}` takes {expected} bytes, not {found}")]
    Bytes {
        /// Of the input or state.
        name: String,
        /// Bytes of its type.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The guard's value is not finite; no state was written.
    #[error("the guarded value is {value}, not finite: no state was written")]
    NonFinite {
        /// The value.
        value: f64,
    },
}

/// Runs `plan` on the little-endian bytes of its inputs, updates `states`, and returns the bytes of its outputs.
///
/// # Numerics
/// Subnormals count as zero and folds, blocks and products accumulate as `plan.rs` says; machine code that
/// differs in a bit, NaN payloads aside, is wrong.
///
/// # Errors
/// Arrays that do not fit the plan's slots; a guard that is not finite.
pub fn evaluate(
    plan: &Plan,
    inputs: &[&[u8]],
    states: &mut [Vec<u8>],
) -> Result<Vec<Vec<u8>>, EvaluateError> {
    check_count("inputs", plan.inputs.len(), inputs.len())?;
    check_count("states", plan.states.len(), states.len())?;
    for (slot, bytes) in plan.inputs.iter().zip(inputs) {
        check_bytes(&slot.name, slot.ty.bytes(), bytes.len())?;
    }
    for (slot, bytes) in plan.states.iter().zip(states.iter()) {
        check_bytes(&slot.name, slot.ty.bytes(), bytes.len())?;
    }
    run_plan(plan, inputs, states)
}

/// As [`evaluate`], with arrays that fit.
fn run_plan(
    plan: &Plan,
    inputs: &[&[u8]],
    states: &mut [Vec<u8>],
) -> Result<Vec<Vec<u8>>, EvaluateError> {
    let outputs = plan.outputs.iter().map(|slot| vec![GARBAGE; slot.ty.bytes()]).collect();
    let arena = vec![GARBAGE; plan.arena_bytes];
    let mut memory = Memory { plan, inputs, states, outputs, arena };
    for number in 0..=plan.kernels.len() {
        if let Some(guard) = plan.guard.as_ref().filter(|g| g.after == number) {
            let value = memory.float(guard.buffer);
            if !value.is_finite() {
                return Err(EvaluateError::NonFinite { value });
            }
        }
        if let Some(kernel) = plan.kernels.get(number) {
            match &kernel.kind {
                KernelKind::Row(k) => row(&mut memory, kernel, k),
                KernelKind::Column(k) => column(&mut memory, kernel, k),
                KernelKind::Product(k) => product(&mut memory, kernel, k),
                KernelKind::Loop(k) => apply::repeat(&mut memory, kernel, k),
                KernelKind::Branch(k) => apply::branch(&mut memory, kernel, k),
            }
        }
    }
    Ok(memory.outputs)
}

fn check_count(what: &'static str, expected: usize, found: usize) -> Result<(), EvaluateError> {
    if expected == found { Ok(()) } else { Err(EvaluateError::Count { what, expected, found }) }
}

fn check_bytes(name: &str, expected: usize, found: usize) -> Result<(), EvaluateError> {
    let name = name.to_string();
    if expected == found { Ok(()) } else { Err(EvaluateError::Bytes { name, expected, found }) }
}

/// What a body sees at one position.
struct Position<'a, 'm> {
    memory: &'a Memory<'m>,
    args: &'a [usize],
    accesses: &'a [Access],
    at: &'a [usize],
    scalars: &'a [u64],
}

fn element(access: &Access, at: &[usize]) -> usize {
    access.offset + access.strides.iter().zip(at).map(|(s, p)| s * p).sum::<usize>()
}

impl Env for Position<'_, '_> {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        let access = &self.accesses[usize::from(access)];
        self.memory.load(self.args[access.arg], access.dtype, element(access, self.at))
    }

    fn load_at(&mut self, access: u16, _: Lane, index: i64, _: u32, stride: u32) -> u64 {
        let access = &self.accesses[usize::from(access)];
        let element = element(access, self.at) + index as usize * stride as usize;
        self.memory.load(self.args[access.arg], access.dtype, element)
    }

    fn scalar(&mut self, index: u16, _: Lane) -> u64 {
        self.scalars[usize::from(index)]
    }

    fn index(&mut self, dim: u16) -> i64 {
        self.at[usize::from(dim)] as i64
    }
}

/// Every position of loops of `sizes`, in order.
fn positions(sizes: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let count: usize = sizes.iter().product();
    (0..count).map(move |mut number| {
        let mut at = vec![0; sizes.len()];
        for (p, &size) in at.iter_mut().zip(sizes).rev() {
            *p = number % size;
            number /= size;
        }
        at
    })
}

fn run_stores(
    memory: &mut Memory<'_>,
    kernel: &Kernel,
    (accesses, at): (&[Access], &[usize]),
    (body, stores, values): (&Body, &[Store], &[u64]),
) {
    for store in stores {
        let access = &accesses[store.access];
        let (buffer, mut place) = (kernel.args[access.arg], element(access, at));
        let mut value = values[store.value.index()];
        if let Some(add) = &store.add_at {
            let index = values[add.index.index()];
            let index = match body.lane(add.index) {
                Lane::I32 => i64::from(index as u32 as i32),
                Lane::I64 | Lane::Mask | Lane::F32 | Lane::F64 => index as i64,
            };
            if !(0..i64::from(add.size)).contains(&index) {
                continue;
            }
            place += index as usize * add.stride as usize;
            let old = memory.load(buffer, access.dtype, place);
            value = Combine::new(FoldOp::Sum, body.lane(store.value)).apply(old, value);
        }
        memory.store(buffer, access.dtype, place, value);
    }
}

fn row(memory: &mut Memory<'_>, kernel: &Kernel, k: &RowKernel) {
    let mut values = vec![];
    for outer in positions(&k.outer) {
        let mut scalars: Vec<u64> = vec![];
        let mut at = outer;
        at.push(0);
        for phase in &k.phases {
            match phase {
                Phase::Pass { body, folds, stores } => {
                    let combine: Vec<Combine> =
                        folds.iter().map(|f| Combine::new(f.op, body.lane(f.value))).collect();
                    let mut lanes: Vec<[u64; FOLD_LANES]> =
                        combine.iter().map(|c| [c.identity; FOLD_LANES]).collect();
                    for i in 0..k.row {
                        *at.last_mut().unwrap_or(&mut 0) = i;
                        run(memory, kernel, &k.accesses, &at, &scalars, body, &mut values);
                        for ((fold, c), lanes) in folds.iter().zip(&combine).zip(&mut lanes) {
                            let lane = &mut lanes[i % FOLD_LANES];
                            *lane = c.apply(*lane, values[fold.value.index()]);
                        }
                        run_stores(memory, kernel, (&k.accesses, &at), (body, stores, &values));
                    }
                    for (c, mut lanes) in combine.iter().zip(lanes) {
                        let mut width = FOLD_LANES;
                        while width > 1 {
                            width /= 2;
                            for j in 0..width {
                                lanes[j] = c.apply(lanes[j], lanes[j + width]);
                            }
                        }
                        scalars.push(lanes[0]);
                    }
                }
                Phase::Scalar { body, results, stores } => {
                    *at.last_mut().unwrap_or(&mut 0) = 0;
                    run(memory, kernel, &k.accesses, &at, &scalars, body, &mut values);
                    run_stores(memory, kernel, (&k.accesses, &at), (body, stores, &values));
                    scalars.extend(results.iter().map(|r| values[r.index()]));
                }
            }
        }
    }
}

fn run(
    memory: &Memory<'_>,
    kernel: &Kernel,
    accesses: &[Access],
    at: &[usize],
    scalars: &[u64],
    body: &Body,
    values: &mut Vec<u64>,
) {
    let mut env = Position { memory, args: &kernel.args, accesses, at, scalars };
    eval(body, &mut env, values);
}

fn column(memory: &mut Memory<'_>, kernel: &Kernel, k: &ColumnKernel) {
    let combine = |f: &Fold| Combine::new(f.op, k.body.lane(f.value));
    let combine: Vec<Combine> = k.folds.iter().map(combine).collect();
    let identities: Vec<u64> = combine.iter().map(|c| c.identity).collect();
    let merge = |total: &mut Vec<u64>, block: &[u64]| {
        for ((c, total), x) in combine.iter().zip(total).zip(block) {
            *total = c.apply(*total, *x);
        }
    };
    let mut values = vec![];
    let around: Vec<usize> = k.outer.iter().copied().chain([k.row]).collect();
    for position in positions(&around) {
        let (outer, row) = (&position[..k.outer.len()], position[k.outer.len()]);
        let mut total = identities.clone();
        let mut block = identities.clone();
        let mut steps = 0;
        for reduced in positions(&k.reduced) {
            let at: Vec<usize> = outer.iter().copied().chain(reduced).chain([row]).collect();
            run(memory, kernel, &k.accesses, &at, &[], &k.body, &mut values);
            let folded: Vec<u64> = k.folds.iter().map(|f| values[f.value.index()]).collect();
            merge(&mut block, &folded);
            steps += 1;
            if steps % COLUMN_BLOCK == 0 {
                merge(&mut total, &block);
                block.clone_from(&identities);
            }
        }
        if steps % COLUMN_BLOCK != 0 {
            merge(&mut total, &block);
        }
        let zeros = k.reduced.iter().map(|_| 0);
        let at: Vec<usize> = outer.iter().copied().chain(zeros).chain([row]).collect();
        run(memory, kernel, &k.accesses, &at, &total, &k.epilogue, &mut values);
        run_stores(memory, kernel, (&k.accesses, &at), (&k.epilogue, &k.stores, &values));
    }
}

fn product(memory: &mut Memory<'_>, kernel: &Kernel, k: &ProductKernel) {
    let lane = crate::lower::lane(k.a.dtype);
    let mut body = Body::new();
    let (a, b, c) = (body.load(0, lane), body.load(1, lane), body.load(2, lane));
    let value = if lane.is_float() {
        body.fma(a, b, c)
    } else {
        let ab = body.mul(a, b);
        body.add(ab, c)
    };
    let around: Vec<usize> = k.batch.iter().copied().chain([k.m, k.n]).collect();
    let mut values = vec![];
    for mut at in positions(&around) {
        let mut acc = 0;
        let result = at.len();
        for terms in positions(&k.k) {
            at.truncate(result);
            at.extend(terms);
            let operand = |x: &Access| memory.load(kernel.args[x.arg], x.dtype, element(x, &at));
            eval(&body, &mut Pair(operand(&k.a), operand(&k.b), acc), &mut values);
            acc = values[value.index()];
        }
        at.truncate(result);
        at.resize(result + k.k.len(), 0);
        run(memory, kernel, &k.accesses, &at, &[acc], &k.epilogue, &mut values);
        run_stores(memory, kernel, (&k.accesses, &at), (&k.epilogue, &k.stores, &values));
    }
}
