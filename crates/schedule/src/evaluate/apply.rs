//! Kernels that run nested plans.

use super::memory::Memory;
use super::run_plan;
use crate::plan::{BranchKernel, Kernel, LoopKernel, Plan, Target};

/// The outputs of a nested plan.
fn nested(plan: &Plan, inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    match run_plan(plan, inputs, &mut []) {
        Ok(outputs) => outputs,
        Err(error) => panic!("internal error: a nested plan has a guard: {error}"),
    }
}

pub(super) fn repeat(memory: &mut Memory<'_>, kernel: &Kernel, k: &LoopKernel) {
    let copy = |i: usize| memory.bytes(kernel.args[k.operands[i]]).to_vec();
    let mut carried: Vec<Vec<u8>> = (0..k.carries).map(copy).collect();
    let sequences: Vec<Vec<u8>> = (k.carries..k.operands.len()).map(copy).collect();
    for step in 0..k.length {
        let position = if k.reverse { k.length - 1 - step } else { step };
        let mut inputs: Vec<&[u8]> = carried.iter().map(Vec::as_slice).collect();
        for (i, bytes) in sequences.iter().enumerate() {
            let size = k.body.inputs[k.carries + i].ty.bytes();
            inputs.push(if i < k.xs { &bytes[position * size..][..size] } else { bytes });
        }
        let mut outputs = nested(&k.body, &inputs);
        let stacked = outputs.split_off(k.carries);
        carried = outputs;
        for (target, bytes) in k.results[k.carries..].iter().zip(stacked) {
            if let Target::Arg(arg) = *target {
                let at = position * bytes.len();
                let result = memory.bytes_mut(kernel.args[arg]);
                result[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
    write(memory, kernel, &k.results[..k.carries], &carried);
}

pub(super) fn branch(memory: &mut Memory<'_>, kernel: &Kernel, k: &BranchKernel) {
    let plan = if memory.bytes(kernel.args[k.choice])[0] != 0 { &k.then } else { &k.otherwise };
    let inputs: Vec<&[u8]> = k.operands.iter().map(|&arg| memory.bytes(kernel.args[arg])).collect();
    let outputs = nested(plan, &inputs);
    write(memory, kernel, &k.results, &outputs);
}

fn write(memory: &mut Memory<'_>, kernel: &Kernel, targets: &[Target], values: &[Vec<u8>]) {
    for (target, bytes) in targets.iter().zip(values) {
        if let Target::Arg(arg) = *target {
            memory.bytes_mut(kernel.args[arg]).copy_from_slice(bytes);
        }
    }
}
