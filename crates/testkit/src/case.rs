//! A graph written node by node, with random values for what it declares.

use crate::rng::Rng;
use eggrad_interp::Tensor;
use eggrad_ir::{
    At, Builder, DType, DotAxes, Function, NodeId, Op, Scan, StateKind, TensorType, UnaryOp,
};
use std::sync::Arc;

/// A builder and the values of its inputs and states, in order.
pub struct Case {
    /// The graph so far.
    pub b: Builder,
    /// Values of the inputs.
    pub inputs: Vec<Tensor>,
    /// Values of the states.
    pub states: Vec<Tensor>,
    /// Where values come from.
    pub rng: Rng,
    /// Integers are drawn below it.
    below: f64,
}

impl Case {
    /// Nothing yet; integers will lie in `0..below`, floats in (-1, 1).
    pub fn new(below: u8) -> Case {
        let (inputs, states) = (vec![], vec![]);
        Case { b: Builder::new(), inputs, states, rng: Rng::new(3), below: f64::from(below) }
    }

    /// Random values of type `ty`.
    pub fn values(&mut self, ty: &TensorType) -> Tensor {
        let mut value = || match ty.dtype {
            DType::Bool => f64::from(u8::from(self.rng.uniform(-1.0, 1.0) > 0.0)),
            DType::F32 | DType::F64 => self.rng.uniform(-1.0, 1.0),
            DType::I32 | DType::I64 | DType::U8 => self.rng.uniform(0.0, self.below).trunc(),
        };
        let values: Vec<f64> = (0..ty.shape.elements()).map(|_| value()).collect();
        Tensor::from_values(ty.clone(), &values)
    }

    /// Declares an input with random values.
    pub fn input(&mut self, dtype: DType, shape: &[usize]) -> NodeId {
        let tensor = self.values(&TensorType::new(dtype, shape.to_vec()));
        self.given(tensor)
    }

    /// Declares an input that holds `tensor`.
    pub fn given(&mut self, tensor: Tensor) -> NodeId {
        let name = format!("x{}", self.inputs.len());
        let id = self.b.declare_input(&name, tensor.ty.clone(), None, At::Unknown);
        self.inputs.push(tensor);
        id
    }

    /// Declares a parameter with random values.
    pub fn state(&mut self, shape: &[usize]) -> NodeId {
        let tensor = self.values(&f32s(shape));
        let name = format!("s{}", self.states.len());
        let id = self.b.declare_state(&name, StateKind::Param, tensor.ty.clone(), At::Unknown);
        self.states.push(tensor);
        id
    }

    /// Names results `y0`, `y1` and so on.
    pub fn outputs(&mut self, results: &[NodeId]) {
        for (i, &result) in results.iter().enumerate() {
            self.b.output(&format!("y{i}"), result);
        }
    }
}

/// `f32` of the given sizes.
pub fn f32s(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F32, dims.to_vec())
}

/// A function of inputs of the given types.
///
/// # Panics
/// When what `build` writes is no function.
pub fn function(
    types: &[TensorType],
    build: impl FnOnce(&mut Builder, &[NodeId]) -> Vec<NodeId>,
) -> Arc<Function> {
    let mut b = Builder::new();
    let declare = |(i, ty): (usize, &TensorType)| {
        b.declare_input(&format!("a{i}"), ty.clone(), None, At::Unknown)
    };
    let inputs: Vec<NodeId> = types.iter().enumerate().map(declare).collect();
    for (i, result) in build(&mut b, &inputs).into_iter().enumerate() {
        b.output(&format!("r{i}"), result);
    }
    Arc::new(Function::new("f", b.build().expect("well typed")).expect("a function"))
}

/// All results of a scan of `body` with so many carried values and sequences.
pub fn scan(
    body: &Arc<Function>,
    (carries, xs): (usize, usize),
    (length, reverse): (usize, bool),
    b: &mut Builder,
    operands: &[NodeId],
) -> Vec<NodeId> {
    let scan = Scan { body: body.clone(), carries, xs, length, reverse };
    b.application(&Op::Scan { scan, result: 0 }, operands)
}

/// A step of a recurrent network, `h' = tanh(x w + h u)`; gives `h'`, `h'` to stack, and `2 h` to stack.
pub fn cell(batch: usize, from: usize, to: usize) -> Arc<Function> {
    let types = [f32s(&[batch, to]), f32s(&[batch, from]), f32s(&[from, to]), f32s(&[to, to])];
    function(&types, |b, v| {
        let (x, h) = (
            b.dot(v[1], v[2], DotAxes::contract(1, 0)),
            b.dot(v[0], v[3], DotAxes::contract(1, 0)),
        );
        let z = b.add(x, h);
        let h = b.unary(UnaryOp::Tanh, z);
        let twice = b.add(v[0], v[0]);
        vec![h, h, twice]
    })
}
