//! Derivatives of sub-graphs, each made once.

use crate::flow::Flow;
use crate::forward::push_through;
use crate::merge::merge_scans;
use crate::reverse::sweep;
use eggrad_ir::{Builder, Function, NodeId, Op, TensorType};
use std::collections::HashMap;
use std::sync::Arc;

/// A function with some of its operands and some of its results, by number.
type Part = (Arc<Function>, Vec<usize>, Vec<usize>);

/// What is known of the sub-graphs met so far.
#[derive(Default)]
pub(crate) struct Functions {
    pub(crate) flow: Flow,
    pullbacks: HashMap<Part, Arc<Function>>,
    pushforwards: HashMap<Part, Arc<Function>>,
}

impl Functions {
    /// The function from the operands of `function` and the cotangents of its results `given` to the cotangents of
    /// its operands `wanted`; zeros where there is none.
    pub(crate) fn pullback(
        &mut self,
        function: &Arc<Function>,
        given: &[usize],
        wanted: &[usize],
    ) -> Arc<Function> {
        let key = (function.clone(), wanted.to_vec(), given.to_vec());
        if let Some(known) = self.pullbacks.get(&key) {
            return known.clone();
        }
        let mut b = Builder::new();
        let inputs = declare_inputs(&mut b, function);
        let results = apply(&mut b, function, &inputs);
        let mut seeds = vec![];
        for &r in given {
            let name = format!("d_{}", function.graph().outputs()[r].name);
            let ty = b.ty(results[r]).clone();
            seeds.push((results[r], declare(&mut b, &name, ty)));
        }
        let order: Vec<NodeId> = b.graph().ids().collect();
        let wrt: Vec<NodeId> = wanted.iter().map(|&w| inputs[w]).collect();
        let found = sweep(&mut b, self, &order, &|_| None, &seeds, &wrt);
        for (&w, found) in wanted.iter().zip(found) {
            let cotangent = found.unwrap_or_else(|| b.full_like(inputs[w], 0.0));
            b.output(&format!("d_{}", function.graph().inputs()[w].name), cotangent);
        }
        let made = finish(&format!("{}.vjp", function.name()), b);
        self.pullbacks.insert(key, made.clone());
        made
    }

    /// The function from the operands of `function` and the tangents of its operands `moving` to the tangents of its
    /// results `wanted`; zeros where there is none.
    pub(crate) fn pushforward(
        &mut self,
        function: &Arc<Function>,
        moving: &[usize],
        wanted: &[usize],
    ) -> Arc<Function> {
        let key = (function.clone(), moving.to_vec(), wanted.to_vec());
        if let Some(known) = self.pushforwards.get(&key) {
            return known.clone();
        }
        let mut b = Builder::new();
        let inputs = declare_inputs(&mut b, function);
        let tangents: Vec<(NodeId, NodeId)> =
            moving.iter().map(|&m| (inputs[m], declare_tangent(&mut b, function, m))).collect();
        let results = apply(&mut b, function, &inputs);
        let ys: Vec<NodeId> = wanted.iter().map(|&w| results[w]).collect();
        let found = push_through(&mut b, self, &tangents, &ys);
        for ((&w, y), found) in wanted.iter().zip(ys).zip(found) {
            let tangent = found.unwrap_or_else(|| b.full_like(y, 0.0));
            b.output(&format!("t_{}", function.graph().outputs()[w].name), tangent);
        }
        let made = finish(&format!("{}.jvp", function.name()), b);
        self.pushforwards.insert(key, made.clone());
        made
    }
}

/// Declares the inputs of `function` in an empty builder.
pub(crate) fn declare_inputs(b: &mut Builder, function: &Function) -> Vec<NodeId> {
    let inputs = function.graph().inputs();
    inputs.iter().map(|i| b.declare_input(&i.name, i.ty.clone(), None, i.at)).collect()
}

/// Declares the tangent of an operand of `function`.
pub(crate) fn declare_tangent(b: &mut Builder, function: &Function, operand: usize) -> NodeId {
    let input = &function.graph().inputs()[operand];
    declare(b, &format!("t_{}", input.name), input.ty.clone())
}

/// Declares one more input, called `wanted` or nearly so.
pub(crate) fn declare(b: &mut Builder, wanted: &str, ty: TensorType) -> NodeId {
    let mut name = wanted.to_string();
    while b.graph().inputs().iter().any(|i| i.name == name) {
        name.push('_');
    }
    b.declare_input(&name, ty, None, eggrad_ir::At::Unknown)
}

/// All results of `function` on `inputs`: its nodes, or a `call` where it has a derivative of its own.
pub(crate) fn apply(b: &mut Builder, function: &Arc<Function>, inputs: &[NodeId]) -> Vec<NodeId> {
    match function.vjp() {
        Some(_) => b.application(&Op::Call { function: function.clone(), result: 0 }, inputs),
        None => b.apply(function.graph(), inputs),
    }
}

/// The function that `b` was building.
pub(crate) fn finish(name: &str, b: Builder) -> Arc<Function> {
    match b.build() {
        Ok(graph) => function(name, merge_scans(graph)),
        Err(errors) => panic!("internal error: {errors}"),
    }
}

/// A function that a pass of ours made.
pub(crate) fn function(name: &str, graph: eggrad_ir::Graph) -> Arc<Function> {
    match Function::new(name, graph) {
        Ok(function) => Arc::new(function),
        Err(error) => panic!("internal error: {error}"),
    }
}
