//! Random graphs: machine code has the plan evaluator's bits and the interpreter's values.

mod common;

use common::{get, set};
use eggrad_interp::{Precision, Tensor};
use eggrad_ir::{DType, TensorType};
use eggrad_jit::{Aligned, ArrayMut, ArrayRef, JitConfig, States, compile};
use eggrad_schedule::{ScheduleConfig, evaluate, schedule};
use eggrad_testkit::{Config, RandomGraph, error, near_kink, random_graph};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn aligned(tensor: &Tensor) -> Aligned {
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

fn tensor(ty: &TensorType, array: &Aligned) -> Tensor {
    let value = |i| match ty.dtype {
        DType::F32 => f64::from(f32::from_bits(get(array, i) as u32)),
        DType::F64 => f64::from_bits(get(array, i)),
        DType::I32 => f64::from(get(array, i) as i32),
        DType::I64 => get(array, i) as i64 as f64,
        DType::U8 | DType::Bool => get(array, i) as f64,
    };
    Tensor::from_values(ty.clone(), &(0..array.len()).map(value).collect::<Vec<f64>>())
}

fn bytes(array: &Aligned) -> Vec<u8> {
    let size = array.dtype().bytes();
    (0..array.len()).flat_map(|i| get(array, i).to_le_bytes().into_iter().take(size)).collect()
}

fn same_bits(what: &str, found: &Aligned, expected: &[u8]) -> Result<(), TestCaseError> {
    let found_bytes = bytes(found);
    prop_assert_eq!(found_bytes.len(), expected.len());
    let size = found.dtype().bytes();
    let is_nan = |b: &[u8]| match found.dtype() {
        DType::F32 => f32::from_le_bytes(b.try_into().unwrap()).is_nan(),
        DType::F64 => f64::from_le_bytes(b.try_into().unwrap()).is_nan(),
        DType::I32 | DType::I64 | DType::U8 | DType::Bool => false,
    };
    for (i, (f, e)) in found_bytes.chunks(size).zip(expected.chunks(size)).enumerate() {
        prop_assert!(f == e || is_nan(f) && is_nan(e), "{what}, element {i}: {f:?}, not {e:?}");
    }
    Ok(())
}

fn check(case: &RandomGraph, fuse: bool) -> Result<(), TestCaseError> {
    let graph = &case.graph;
    let plan = schedule(graph, &ScheduleConfig { fuse }).unwrap();
    let executable = compile(&plan, &JitConfig::default()).unwrap();
    let inputs: Vec<Aligned> = case.inputs.iter().map(aligned).collect();
    let mut states: Vec<Aligned> = case.states.iter().map(aligned).collect();
    let mut outputs: Vec<Aligned> =
        plan.outputs.iter().map(|slot| Aligned::zeros(&slot.ty)).collect();

    let input_bytes: Vec<Vec<u8>> = inputs.iter().map(bytes).collect();
    let input_slices: Vec<&[u8]> = input_bytes.iter().map(Vec::as_slice).collect();
    let mut expected_states: Vec<Vec<u8>> = states.iter().map(bytes).collect();
    let expected = evaluate(&plan, &input_slices, &mut expected_states).unwrap();

    let map: Vec<usize> = (0..states.len()).collect();
    let input_refs: Vec<ArrayRef<'_>> = inputs.iter().map(ArrayRef::from).collect();
    let mut output_refs: Vec<ArrayMut<'_>> = outputs.iter_mut().map(ArrayMut::from).collect();
    let mut store = States { arrays: &mut states, map: &map };
    let mut workspace = executable.workspace().expect("memory");
    executable.run(&mut workspace, &input_refs, &mut store, &mut output_refs).unwrap();

    for (slot, (found, expected)) in plan.outputs.iter().zip(outputs.iter().zip(&expected)) {
        same_bits(&slot.name, found, expected)?;
    }
    for (slot, (found, expected)) in plan.states.iter().zip(states.iter().zip(&expected_states)) {
        same_bits(&slot.name, found, expected)?;
    }
    // Next to a kink, rounding decides which branch is taken.
    if near_kink(graph, &case.inputs, &case.states, 1e-4).unwrap() {
        return Ok(());
    }
    let run = eggrad_interp::run(graph, &case.inputs, &case.states, Precision::AsWritten).unwrap();
    let tolerance = if inputs.iter().any(|i| i.dtype() == DType::F64) { 1e-10 } else { 2e-4 };
    let found = outputs.iter().chain(&states);
    for (expected, found) in run.outputs.iter().chain(&run.states).zip(found) {
        let far = error(&tensor(&expected.ty, found), expected, 1.0);
        prop_assert!(far <= tolerance, "off by {far}");
    }
    Ok(())
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn random_graphs_of_f32(case in random_graph(Config::new(DType::F32)), fuse: bool) {
        check(&case, fuse)?;
    }

    #[test]
    fn random_graphs_of_f64(case in random_graph(Config::new(DType::F64)), fuse: bool) {
        check(&case, fuse)?;
    }
}

/// The same functions, to the letter, whatever the number of threads that made them.
#[test]
fn the_number_of_threads_changes_no_code() {
    let config = Config { steps: 30, ..Config::new(DType::F32) };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..5 {
        let case = random_graph(config).new_tree(&mut runner).expect("a graph").current();
        let plan = schedule(&case.graph, &ScheduleConfig::default()).expect("schedules");
        let listings = [1, 2, 7].map(|threads| {
            let config = JitConfig { threads, listing: true, ..JitConfig::default() };
            let executable = compile(&plan, &config).expect("compiles");
            let functions = executable.report().functions.iter();
            functions.map(|f| (f.kernel.clone(), f.listing.clone())).collect::<Vec<_>>()
        });
        assert_eq!(listings[0], listings[1]);
        assert_eq!(listings[0], listings[2]);
    }
}
