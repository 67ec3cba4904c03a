//! Gradients against differences.

use crate::rng::Rng;
use eggrad_interp::{InterpError, Precision, Tensor, run};
use eggrad_ir::{DType, Graph, TensorType};

/// One derivative, computed twice.
#[derive(Clone, Copy, Debug)]
pub struct GradCheck {
    /// From differences of values.
    pub numeric: f64,
    /// From the graph's gradients.
    pub symbolic: f64,
}

impl GradCheck {
    /// Distance of the two, relative to their size or to 1.
    pub fn error(&self) -> f64 {
        let scale = self.numeric.abs().max(self.symbolic.abs()).max(1.0);
        let error = (self.numeric - self.symbolic).abs() / scale;
        if error.is_nan() { f64::INFINITY } else { error }
    }
}

/// Half the width of the difference scheme; its error is of fourth order.
const STEP: f64 = 5e-4;

/// Compares gradients with central differences along one random direction, in `f64`.
///
/// The first output of `graph` is one float; output `1 + i` is its gradient with respect to the input or state called
/// `wrt[i]`.
///
/// # Errors
/// As [`eggrad_interp::run`].
///
/// # Panics
/// When an output or a name is missing.
pub fn gradcheck(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    wrt: &[&str],
    seed: u64,
) -> Result<GradCheck, InterpError> {
    let mut rng = Rng::new(seed);
    let direction: Vec<Tensor> = wrt
        .iter()
        .map(|name| rng.tensor(wide(leaf(graph, name, inputs, states)), -1.0, 1.0))
        .collect();
    let numeric = directional(graph, inputs, states, wrt, &direction)?[0].item();
    let outputs = run(graph, inputs, states, Precision::Wide)?.outputs;
    let symbolic = outputs[1..=wrt.len()]
        .iter()
        .zip(&direction)
        .flat_map(|(g, d)| g.to_f64s().into_iter().zip(d.to_f64s()))
        .map(|(g, d)| g * d)
        .sum();
    Ok(GradCheck { numeric, symbolic })
}

/// Derivative of every output of `graph` when the leaves `wrt` move along `direction`, by central differences of
/// fourth order in `f64`.
///
/// # Errors
/// As [`eggrad_interp::run`].
///
/// # Panics
/// When a name is missing.
pub fn directional(
    graph: &Graph,
    inputs: &[Tensor],
    states: &[Tensor],
    wrt: &[&str],
    direction: &[Tensor],
) -> Result<Vec<Tensor>, InterpError> {
    let at = |distance: f64| -> Result<Vec<Tensor>, InterpError> {
        let (mut inputs, mut states) = (inputs.to_vec(), states.to_vec());
        for (name, d) in wrt.iter().zip(direction) {
            let x = leaf_mut(graph, name, &mut inputs, &mut states);
            let points = x.to_f64s().into_iter().zip(d.to_f64s());
            let moved: Vec<f64> = points.map(|(x, d)| x + distance * d).collect();
            *x = Tensor::from_values(wide(x), &moved);
        }
        Ok(run(graph, &inputs, &states, Precision::Wide)?.outputs)
    };
    let (back, forth) = (at(-STEP)?, at(STEP)?);
    let (far_back, far_forth) = (at(-2.0 * STEP)?, at(2.0 * STEP)?);
    let mut slopes = vec![];
    for i in 0..back.len() {
        let near = forth[i].to_f64s().into_iter().zip(back[i].to_f64s()).map(|(f, b)| f - b);
        let far = far_forth[i].to_f64s().into_iter().zip(far_back[i].to_f64s()).map(|(f, b)| f - b);
        let slope: Vec<f64> = near.zip(far).map(|(n, f)| (8.0 * n - f) / (12.0 * STEP)).collect();
        slopes.push(Tensor::from_values(wide(&back[i]), &slope));
    }
    Ok(slopes)
}

fn wide(tensor: &Tensor) -> TensorType {
    TensorType { dtype: DType::F64, shape: tensor.ty.shape.clone() }
}

/// Whether `name` is a state, and its number.
fn find(graph: &Graph, name: &str) -> (bool, usize) {
    match graph.inputs().iter().position(|i| i.name == name) {
        Some(i) => (false, i),
        None => match graph.states().iter().position(|s| s.name == name) {
            Some(i) => (true, i),
            None => panic!("no input or state is called `{name}`"),
        },
    }
}

fn leaf<'a>(graph: &Graph, name: &str, inputs: &'a [Tensor], states: &'a [Tensor]) -> &'a Tensor {
    let (is_state, i) = find(graph, name);
    if is_state { &states[i] } else { &inputs[i] }
}

fn leaf_mut<'a>(
    graph: &Graph,
    name: &str,
    inputs: &'a mut [Tensor],
    states: &'a mut [Tensor],
) -> &'a mut Tensor {
    let (is_state, i) = find(graph, name);
    if is_state { &mut states[i] } else { &mut inputs[i] }
}
