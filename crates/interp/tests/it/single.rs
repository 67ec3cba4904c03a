//! Runs a single op on arrays, in both precisions.

use eggrad_interp::{Data, Precision, Tensor, run};
use eggrad_ir::{At, Builder, Op};

/// The value of `op` on `args`, which must fit. A wide run must give an array of the same shape.
pub(crate) fn apply(op: &Op, args: &[Tensor]) -> Tensor {
    match try_apply(op, args) {
        Some(y) => y,
        None => panic!("{op:?} does not take {args:?}"),
    }
}

/// The same, or nothing when the operands do not fit.
pub(crate) fn try_apply(op: &Op, args: &[Tensor]) -> Option<Tensor> {
    let mut builder = Builder::new();
    let declare = |(i, arg): (usize, &Tensor)| {
        builder.declare_input(&format!("x{i}"), arg.ty.clone(), None, At::Unknown)
    };
    let inputs: Vec<_> = args.iter().enumerate().map(declare).collect();
    let node = builder.push(op.clone(), &inputs, At::Unknown).ok()?;
    builder.output("y", node);
    let graph = builder.build().expect("a graph of one node is well-formed");
    let expected = graph.ty(graph.outputs()[0].node);
    let y = run(&graph, args, &[], Precision::AsWritten).expect("runs").outputs.remove(0);
    let wide = run(&graph, args, &[], Precision::Wide).expect("runs").outputs.remove(0);
    assert_eq!(&y.ty, expected, "{op:?}");
    assert_eq!(y.data.dtype(), expected.dtype, "{op:?}");
    assert_eq!((y.data.len(), &wide.ty.shape), (expected.shape.elements(), &y.ty.shape), "{op:?}");
    Some(y)
}

/// Floats of single precision.
pub(crate) fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, Data::F32(values.to_vec()))
}

/// 32-bit integers.
pub(crate) fn i32s(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::new(shape, Data::I32(values.to_vec()))
}
