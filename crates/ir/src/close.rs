//! Sub-graphs cut out of the graph in which they were written.

use crate::error::TypeError;
use crate::function::Function;
use crate::graph::{Builder, Graph, NodeId};
use crate::op::Op;
use crate::types::{At, TensorType};
use crate::verify::is_name;

impl Builder {
    /// A value that a sub-graph under construction is given; [`Builder::close`] makes it one of its inputs. It cannot
    /// be used outside.
    pub fn variable(&mut self, ty: TensorType, at: At) -> NodeId {
        self.push_variable(ty, at)
    }

    /// The sub-graph that computes `results` from `variables`, which [`Builder::variable`] made, and the values it
    /// reads besides: they depend on no variable, became further inputs, and are to be passed as further operands.
    /// What is made of constants alone is computed inside. So is what is computed from a value with respect to which
    /// a `grad` inside differentiates: the value itself is captured. Nodes from number `since` on are computed inside
    /// whatever they depend on, unless they are inputs or states.
    ///
    /// # Errors
    /// As [`Function::new`].
    pub fn close(
        &self,
        name: &str,
        variables: &[(String, NodeId)],
        results: &[(String, NodeId)],
        since: Option<NodeId>,
    ) -> Result<(Function, Vec<NodeId>), TypeError> {
        let graph = self.graph();
        let place = place_of(graph, variables, results, since);
        let mut body = Builder::new();
        body.copy_layers(graph);
        let mut new: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
        for (name, id) in variables {
            let at = graph.node(*id).at;
            new[id.index()] = Some(body.declare_input(name, graph.ty(*id).clone(), None, at));
        }
        let mut captured = vec![];
        for id in graph.ids() {
            let node = graph.node(id);
            match place[id.index()] {
                _ if new[id.index()].is_some() => {}
                Place::Elsewhere => {}
                Place::Inside => {
                    let inputs = node.inputs.iter().map(|i| new[i.index()]);
                    let Some(inputs) = inputs.collect::<Option<Vec<NodeId>>>() else {
                        panic!(
                            "internal error: a sub-graph reads what it neither computes nor captures"
                        )
                    };
                    let copy = body.node(node.op.clone(), &inputs);
                    body.locate(copy, node.at, node.layer);
                    new[id.index()] = Some(copy);
                }
                Place::Captured => {
                    let name = fresh(&body, &self.operand(id, 0).name, captured.len());
                    let ty = node.ty.clone();
                    new[id.index()] = Some(body.declare_input(&name, ty, None, node.at));
                    captured.push(id);
                }
            }
        }
        for (name, id) in results {
            match new[id.index()] {
                Some(result) => body.output(name, result),
                None => panic!("internal error: a result of a sub-graph is not computed"),
            }
        }
        let graph = body.build().map_err(|mut errors| errors.0.swap_remove(0))?;
        Ok((Function::new(name, graph)?, captured))
    }
}

/// Where a sub-graph finds the value of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It does not need it.
    Elsewhere,
    /// Among its inputs.
    Captured,
    /// It computes it.
    Inside,
}

fn place_of(
    graph: &Graph,
    variables: &[(String, NodeId)],
    results: &[(String, NodeId)],
    since: Option<NodeId>,
) -> Vec<Place> {
    let count = graph.nodes().len();
    let mut needed = vec![false; count];
    results.iter().for_each(|r| needed[r.1.index()] = true);
    let given = |id: NodeId| variables.iter().any(|v| v.1 == id);
    for id in graph.ids().rev() {
        if needed[id.index()] && !given(id) {
            graph.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    // What depends on a variable, or on a value that is differentiated against inside; the latter may bring more.
    let mut inside = vec![false; count];
    let mut against = vec![false; count];
    variables.iter().for_each(|v| inside[v.1.index()] = true);
    loop {
        let mut more = false;
        for id in graph.ids().filter(|id| needed[id.index()]) {
            let node = graph.node(id);
            let late = since.is_some_and(|since| id >= since);
            inside[id.index()] |= late && !matches!(node.op, Op::Input(_) | Op::State(_))
                || node.inputs.iter().any(|i| inside[i.index()] || against[i.index()]);
            if inside[id.index()] && node.op == Op::Grad {
                more |= !std::mem::replace(&mut against[node.inputs[1].index()], true);
            }
        }
        if !more {
            break;
        }
    }
    let mut read = vec![false; count];
    results.iter().for_each(|r| read[r.1.index()] = true);
    for id in graph.ids().filter(|id| inside[id.index()] && !given(*id)) {
        graph.node(id).inputs.iter().for_each(|i| read[i.index()] = true);
    }
    // What is made of constants alone is copied.
    let mut constant = vec![false; count];
    for id in graph.ids() {
        let node = graph.node(id);
        constant[id.index()] = match node.op {
            Op::Const(..) | Op::Iota { .. } => true,
            Op::Input(_) | Op::State(_) | Op::Data(_) => false,
            _ => node.inputs.iter().all(|i| constant[i.index()]),
        };
    }
    for id in graph.ids().rev() {
        if read[id.index()] && !inside[id.index()] && constant[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| read[i.index()] = true);
        }
    }
    let place = |id: NodeId| {
        let i = id.index();
        match (inside[i], read[i]) {
            (true, _) => Place::Inside,
            (false, true) if constant[i] => Place::Inside,
            (false, true) => Place::Captured,
            (false, false) => Place::Elsewhere,
        }
    };
    graph.ids().map(place).collect()
}

/// `wanted` if it can name a further input of `body`, else a name that can.
fn fresh(body: &Builder, wanted: &str, number: usize) -> String {
    let taken = |name: &str| body.graph().inputs().iter().any(|i| i.name == name);
    let mut name = if is_name(wanted) { wanted.to_string() } else { format!("c{number}") };
    while taken(&name) {
        name.push('_');
    }
    name
}
