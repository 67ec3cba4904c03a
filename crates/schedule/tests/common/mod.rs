//! Runs plans on the interpreter's tensors.

use eggrad_interp::{Data, Precision, Tensor};
use eggrad_ir::{DType, Graph, TensorType};
use eggrad_schedule::{EvaluateError, Plan, ScheduleConfig, evaluate, schedule, verify};
use eggrad_testkit::assert_close;

/// A tensor's elements, little-endian.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    match &tensor.data {
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::U8(v) => v.clone(),
        Data::Bool(v) => v.iter().map(|&x| u8::from(x)).collect(),
    }
}

/// The tensor of type `ty` whose elements are `bytes`.
pub(crate) fn tensor(ty: &TensorType, bytes: &[u8]) -> Tensor {
    fn words<const N: usize, T>(bytes: &[u8], of: fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).map(|c| of(c.try_into().expect("whole chunks"))).collect()
    }
    let data = match ty.dtype {
        DType::F32 => Data::F32(words(bytes, f32::from_le_bytes)),
        DType::F64 => Data::F64(words(bytes, f64::from_le_bytes)),
        DType::I32 => Data::I32(words(bytes, i32::from_le_bytes)),
        DType::I64 => Data::I64(words(bytes, i64::from_le_bytes)),
        DType::U8 => Data::U8(bytes.to_vec()),
        DType::Bool => Data::Bool(bytes.iter().map(|&b| b != 0).collect()),
    };
    Tensor { ty: ty.clone(), data }
}

/// What a plan leaves behind: outputs, then states.
pub(crate) fn run(
    plan: &Plan,
    inputs: &[Tensor],
    states: &[Tensor],
) -> Result<(Vec<Tensor>, Vec<Tensor>), EvaluateError> {
    let inputs: Vec<Vec<u8>> = inputs.iter().map(bytes).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut states: Vec<Vec<u8>> = states.iter().map(bytes).collect();
    let outputs = evaluate(plan, &inputs, &mut states)?;
    let outputs = plan.outputs.iter().zip(&outputs).map(|(s, b)| tensor(&s.ty, b)).collect();
    let states = plan.states.iter().zip(&states).map(|(s, b)| tensor(&s.ty, b)).collect();
    Ok((outputs, states))
}

/// The graph's plans, not fused and fused, both verified.
pub(crate) fn plans(graph: &Graph) -> [Plan; 2] {
    [false, true].map(|fuse| {
        let plan = schedule(graph, &ScheduleConfig { fuse }).expect("the graph can be scheduled");
        assert_eq!(verify(&plan), Vec::<String>::new(), "{graph}");
        plan
    })
}

/// Checks the graph's plans against the interpreter; returns the fused one.
pub(crate) fn check(graph: &Graph, inputs: &[Tensor], states: &[Tensor]) -> Plan {
    let expected = eggrad_interp::run(graph, inputs, states, Precision::AsWritten)
        .unwrap_or_else(|e| panic!("{e}\n{graph}"));
    let [apart, fused] = plans(graph);
    for plan in [&apart, &fused] {
        let (outputs, after) = run(plan, inputs, states).expect("the guard is finite");
        let found = outputs.iter().chain(&after);
        for (i, (f, e)) in found.zip(expected.outputs.iter().chain(&expected.states)).enumerate() {
            let tolerance = if f.ty.dtype == DType::F64 { 1e-12 } else { 1e-5 };
            assert_close(f, e, tolerance, &format!("result {i} of\n{graph}\n{plan}"));
        }
    }
    fused
}
