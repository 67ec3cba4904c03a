//! Graphs through the scheduler to machine code, which must have the plan evaluator's bits.

use super::{get, set};
use eggrad_interp::Tensor;
use eggrad_ir::{DType, Graph, TensorType};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef, Isa, JitConfig, States, compile};
use eggrad_schedule::{ScheduleConfig, evaluate, schedule};

pub(crate) fn aligned(tensor: &Tensor) -> Aligned {
    let mut array = Aligned::zeros(&tensor.ty);
    for (i, value) in tensor.to_f64s().into_iter().enumerate() {
        let bits = match tensor.ty.dtype {
            DType::F32 => u64::from((value as f32).to_bits()),
            DType::F64 => value.to_bits(),
            DType::I32 | DType::I64 => value as i64 as u64,
            DType::U8 | DType::Bool => value as u64,
        };
        set(&mut array, i, bits);
    }
    array
}

pub(crate) fn tensor(ty: &TensorType, array: &Aligned) -> Tensor {
    let value = |i| match ty.dtype {
        DType::F32 => f64::from(f32::from_bits(get(array, i) as u32)),
        DType::F64 => f64::from_bits(get(array, i)),
        DType::I32 => f64::from(get(array, i) as i32),
        DType::I64 => get(array, i) as i64 as f64,
        DType::U8 | DType::Bool => get(array, i) as f64,
    };
    Tensor::from_values(ty.clone(), &(0..array.len()).map(value).collect::<Vec<f64>>())
}

pub(crate) fn bytes(array: &Aligned) -> Vec<u8> {
    let size = array.dtype().bytes();
    (0..array.len()).flat_map(|i| get(array, i).to_le_bytes().into_iter().take(size)).collect()
}

#[track_caller]
fn same_bits(what: &str, found: &Aligned, expected: &[u8]) {
    let found_bytes = bytes(found);
    assert_eq!(found_bytes.len(), expected.len());
    let size = found.dtype().bytes();
    let is_nan = |b: &[u8]| match found.dtype() {
        DType::F32 => f32::from_le_bytes(b.try_into().unwrap()).is_nan(),
        DType::F64 => f64::from_le_bytes(b.try_into().unwrap()).is_nan(),
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => false,
    };
    for (i, (f, e)) in found_bytes.chunks(size).zip(expected.chunks(size)).enumerate() {
        assert!(f == e || is_nan(f) && is_nan(e), "{what}, element {i}: {f:?}, not {e:?}");
    }
}

/// Outputs, then states, that machine code of every kind leaves behind.
#[track_caller]
pub(crate) fn run(graph: &Graph, inputs: &[Tensor], states: &[Tensor], fuse: bool) -> Vec<Aligned> {
    let mut all = vec![];
    for isa in super::isas().filter(|&isa| isa != Isa::Baseline) {
        all = run_with(isa, graph, inputs, states, fuse);
    }
    all
}

/// Runs twice: a workspace may be used again.
#[track_caller]
fn run_with(
    isa: Isa,
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    fuse: bool,
) -> Vec<Aligned> {
    let plan = schedule(graph, &ScheduleConfig { fuse }).unwrap();
    let executable = compile(&plan, &JitConfig { isa, ..JitConfig::default() }).unwrap();
    let inputs: Vec<Aligned> = inputs.iter().map(aligned).collect();
    let before: Vec<Aligned> = states.iter().map(aligned).collect();
    let input_bytes: Vec<Vec<u8>> = inputs.iter().map(bytes).collect();
    let input_slices: Vec<&[u8]> = input_bytes.iter().map(Vec::as_slice).collect();
    let mut expected_states: Vec<Vec<u8>> = before.iter().map(bytes).collect();
    let expected = evaluate(&plan, &input_slices, &mut expected_states).unwrap();

    let map: Vec<usize> = (0..before.len()).collect();
    let input_refs: Vec<ArrayRef<'_>> = inputs.iter().map(ArrayRef::from).collect();
    let mut workspace = executable.workspace().expect("memory");
    let mut all = vec![];
    for _ in 0..2 {
        let mut states = before.clone();
        let mut outputs: Vec<Aligned> =
            plan.outputs.iter().map(|slot| Aligned::zeros(&slot.ty)).collect();
        let mut output_refs: Vec<ArrayMut<'_>> = outputs.iter_mut().map(ArrayMut::from).collect();
        let mut store = States { arrays: &mut states, map: &map, version: 0 };
        executable.run(&mut workspace, &input_refs, &mut store, &mut output_refs).unwrap();
        for (slot, (found, expected)) in plan.outputs.iter().zip(outputs.iter().zip(&expected)) {
            same_bits(&format!("{isa}: {} of\n{plan}", slot.name), found, expected);
        }
        for (slot, (found, wanted)) in plan.states.iter().zip(states.iter().zip(&expected_states)) {
            same_bits(&format!("{isa}: {} of\n{plan}", slot.name), found, wanted);
        }
        all = outputs;
        all.append(&mut states);
    }
    all
}
