//! Derivatives of `scan`.
//!
//! Note [Scans]. The reverse derivative runs the steps in the other direction. A step takes the cotangents of the
//! carried values after it and of what it stacked, and gives those of the carried values before it and of the
//! positions it read; cotangents of constants add up in values carried along. What it reads of the step itself is
//! handed out by a scan that also stacks those values ([`crate::residual`] chooses them) and takes the first one's
//! place. The number of nodes depends on the body, not on the number of steps.

use crate::functions::{Functions, apply, declare, declare_inputs, finish};
use crate::residual::{Place, Sources, residuals};
use crate::reverse::sweep;
use eggrad_ir::{Builder, Graph, NodeId, Op, Scan};

/// Which operands of a scan have a cotangent, and which of its carried values one from step to step.
struct Live {
    carries: Vec<usize>,
    xs: Vec<usize>,
    constants: Vec<usize>,
}

impl Live {
    fn of(functions: &mut Functions, scan: &Scan, given: &[usize], wanted: &[usize]) -> Live {
        let step = functions.flow.function(&scan.body);
        let operands = scan.body.graph().inputs().len();
        // Carried values that depend on what is wanted, and those on which what is given depends.
        let mut moving: Vec<bool> = (0..operands).map(|i| wanted.contains(&i)).collect();
        let mut met: Vec<bool> = (0..step.len()).map(|r| given.contains(&r)).collect();
        loop {
            let mut more = false;
            for c in 0..scan.carries {
                let moves = (0..operands).any(|i| moving[i] && step[c][i]);
                more |= moves && !std::mem::replace(&mut moving[c], true);
                let meets = (0..step.len()).any(|r| met[r] && step[r][c]);
                more |= meets && !std::mem::replace(&mut met[c], true);
            }
            if !more {
                break;
            }
        }
        let first_constant = scan.carries + scan.xs;
        let within = |range: std::ops::Range<usize>| {
            wanted.iter().copied().filter(|w| range.contains(w)).collect()
        };
        Live {
            carries: (0..scan.carries).filter(|&c| moving[c] && met[c]).collect(),
            xs: within(scan.carries..first_constant),
            constants: within(first_constant..operands),
        }
    }
}

/// The cotangents of the operands `wanted`, given those of some results, by number; Note [Scans].
pub(crate) fn pull(
    b: &mut Builder,
    functions: &mut Functions,
    scan: &Scan,
    inputs: &[NodeId],
    given: &[(usize, NodeId)],
    wanted: &[usize],
) -> Vec<NodeId> {
    let results: Vec<usize> = given.iter().map(|g| g.0).collect();
    let live = Live::of(functions, scan, &results, wanted);
    let step = Step::new(functions, scan, &live, &results);
    let stacked: Vec<NodeId> = step.forward(b, scan, inputs);
    let found = step.backward(b, scan, &live, inputs, given, &stacked);
    let order = live.carries.iter().chain(&live.constants).chain(&live.xs);
    let of: Vec<(usize, NodeId)> = order.copied().zip(found).collect();
    wanted
        .iter()
        .map(|w| match of.iter().find(|(operand, _)| operand == w) {
            Some((_, cotangent)) => *cotangent,
            None => b.full_like(inputs[*w], 0.0),
        })
        .collect()
}

/// One step and its derivative, in one graph: the inputs of the body, then the cotangents of live carried values and
/// of the stacked results given.
struct Step {
    graph: Graph,
    /// Inputs of the body.
    inputs: Vec<NodeId>,
    /// Results of the body.
    results: Vec<NodeId>,
    /// Inputs that stand for cotangents.
    seeds: Vec<NodeId>,
    /// Cotangents of live carried values, constants and positions read, in this order.
    cotangents: Vec<NodeId>,
    /// What of it the backward step gets how.
    places: Vec<Place>,
    /// What is to be stacked for it, in order.
    saved: Vec<NodeId>,
}

impl Step {
    fn new(functions: &mut Functions, scan: &Scan, live: &Live, given: &[usize]) -> Step {
        let body = scan.body.graph();
        let mut b = Builder::new();
        let inputs = declare_inputs(&mut b, &scan.body);
        let results = apply(&mut b, &scan.body, &inputs);
        let own = b.graph().nodes().len();
        let stacked = given.iter().copied().filter(|&r| r >= scan.carries);
        let seeds: Vec<(NodeId, NodeId)> = live
            .carries
            .iter()
            .copied()
            .chain(stacked)
            .map(|r| {
                let ty = b.ty(results[r]).clone();
                (results[r], declare(&mut b, &format!("d_{}", body.outputs()[r].name), ty))
            })
            .collect();
        let wrt: Vec<NodeId> = [&live.carries, &live.constants, &live.xs]
            .into_iter()
            .flatten()
            .map(|&i| inputs[i])
            .collect();
        let order: Vec<NodeId> = b.graph().ids().collect();
        let found = sweep(&mut b, functions, &order, &|_| None, &seeds, &wrt);
        let cotangents: Vec<NodeId> = found
            .into_iter()
            .zip(&wrt)
            .map(|(found, &w)| found.unwrap_or_else(|| b.full_like(w, 0.0)))
            .collect();
        let seeds: Vec<NodeId> = seeds.into_iter().map(|s| s.1).collect();
        let sources = Sources {
            carries: &inputs[..scan.carries],
            positions: &inputs[scan.carries..scan.carries + scan.xs],
            constants: &inputs[scan.carries + scan.xs..],
            cotangents: &seeds,
            own,
        };
        let places = residuals(b.graph(), &sources, &cotangents);
        let saved = b.graph().ids().filter(|id| places[id.index()] == Place::Saved).collect();
        Step { graph: b.graph().clone(), inputs, results, seeds, cotangents, places, saved }
    }

    /// Appends the scan that also stacks what is saved; its results, one per saved value.
    fn forward(&self, b: &mut Builder, scan: &Scan, inputs: &[NodeId]) -> Vec<NodeId> {
        let mut results = self.results.clone();
        let mut numbers = vec![];
        for &saved in &self.saved {
            let stacked = &results[scan.carries..];
            let place = stacked.iter().position(|r| *r == saved).unwrap_or(stacked.len());
            if place == stacked.len() {
                results.push(saved);
            }
            numbers.push(scan.carries + place);
        }
        let body = if results.len() == self.results.len() {
            scan.body.clone()
        } else {
            let mut f = Builder::new();
            let mut new = vec![None; self.graph.nodes().len()];
            let declared = declare_inputs(&mut f, &scan.body);
            self.inputs.iter().zip(declared).for_each(|(i, d)| new[i.index()] = Some(d));
            copy(&self.graph, &results, &mut f, &mut new);
            for (i, result) in results.iter().enumerate() {
                let named = scan.body.graph().outputs().get(i).map(|o| o.name.clone());
                let mut name = named.unwrap_or_else(|| format!("saved{i}"));
                while f.graph().outputs().iter().any(|o| o.name == name) {
                    name.push('_');
                }
                f.output(&name, known(&new, *result));
            }
            finish(scan.body.name(), f)
        };
        let scan = Scan { body, ..scan.clone() };
        numbers
            .into_iter()
            .map(|result| b.node(Op::Scan { scan: scan.clone(), result }, inputs))
            .collect()
    }

    /// Appends the scan over the backward steps; the cotangents of live carried values, constants and sequences.
    fn backward(
        &self,
        b: &mut Builder,
        scan: &Scan,
        live: &Live,
        inputs: &[NodeId],
        given: &[(usize, NodeId)],
        stacked: &[NodeId],
    ) -> Vec<NodeId> {
        let mut k = Builder::new();
        let mut new = vec![None; self.graph.nodes().len()];
        let mut operands = vec![];
        let mut enter = |k: &mut Builder, id: NodeId, name: &str, operand: NodeId| {
            let made = declare(k, name, self.graph.ty(id).clone());
            new[id.index()] = Some(made);
            operands.push(operand);
            made
        };
        // Carried: cotangents of carried values, then sums of those of constants.
        let name = |id: NodeId| self.graph.reference(id).replace('%', "saved");
        for (&c, &seed) in live.carries.iter().zip(&self.seeds) {
            let start = match given.iter().find(|g| g.0 == c) {
                Some((_, cotangent)) => *cotangent,
                None => b.full_like(inputs[c], 0.0),
            };
            enter(&mut k, seed, &name(seed), start);
        }
        // A constant that is read too is entered once more below.
        let mut sums = vec![];
        for &c in &live.constants {
            let start = b.full_like(inputs[c], 0.0);
            let name = format!("sum_{}", name(self.inputs[c]));
            sums.push(enter(&mut k, self.inputs[c], &name, start));
        }
        let carries = live.carries.len() + live.constants.len();
        // Read position by position: cotangents, saved values, the sequences themselves.
        let stacked_given = given.iter().filter(|g| g.0 >= scan.carries);
        for (&seed, (_, cotangent)) in self.seeds[live.carries.len()..].iter().zip(stacked_given) {
            enter(&mut k, seed, &name(seed), *cotangent);
        }
        for (&saved, &operand) in self.saved.iter().zip(stacked) {
            enter(&mut k, saved, &name(saved), operand);
        }
        let first_constant = scan.carries + scan.xs;
        let read = |i: &usize| self.places[self.inputs[*i].index()] == Place::Given;
        for i in (scan.carries..first_constant).filter(read) {
            enter(&mut k, self.inputs[i], &name(self.inputs[i]), inputs[i]);
        }
        let xs = k.graph().inputs().len() - carries;
        for i in (first_constant..inputs.len()).filter(read) {
            enter(&mut k, self.inputs[i], &name(self.inputs[i]), inputs[i]);
        }
        for id in self.graph.ids() {
            if self.places[id.index()] == Place::Computed {
                let node = self.graph.node(id);
                let operands: Vec<NodeId> = node.inputs.iter().map(|i| known(&new, *i)).collect();
                let made = k.node(node.op.clone(), &operands);
                k.locate(made, node.at, node.layer);
                new[id.index()] = Some(made);
            }
        }
        let (carried, rest) = self.cotangents.split_at(live.carries.len());
        let (constants, positions) = rest.split_at(live.constants.len());
        for (i, &id) in carried.iter().enumerate() {
            k.output(&format!("carry{i}"), known(&new, id));
        }
        for (i, (&id, &sum)) in constants.iter().zip(&sums).enumerate() {
            let part = known(&new, id);
            let sum = k.add(sum, part);
            k.output(&format!("sum{i}"), sum);
        }
        for (i, &id) in positions.iter().enumerate() {
            k.output(&format!("x{i}"), known(&new, id));
        }
        if k.graph().outputs().is_empty() {
            return vec![];
        }
        let body = finish(&format!("{}.vjp", scan.body.name()), k);
        let (length, reverse) = (scan.length, !scan.reverse);
        b.application(
            &Op::Scan { scan: Scan { body, carries, xs, length, reverse }, result: 0 },
            &operands,
        )
    }
}

/// Copies what `roots` need of `graph` and is not in `new` yet.
fn copy(graph: &Graph, roots: &[NodeId], b: &mut Builder, new: &mut [Option<NodeId>]) {
    let mut needed = vec![false; graph.nodes().len()];
    roots.iter().for_each(|r| needed[r.index()] = true);
    for id in graph.ids().rev() {
        if needed[id.index()] && new[id.index()].is_none() {
            graph.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    for id in graph.ids() {
        if needed[id.index()] && new[id.index()].is_none() {
            let node = graph.node(id);
            let inputs: Vec<NodeId> = node.inputs.iter().map(|i| known(new, *i)).collect();
            let made = b.node(node.op.clone(), &inputs);
            b.locate(made, node.at, node.layer);
            new[id.index()] = Some(made);
        }
    }
}

fn known(new: &[Option<NodeId>], id: NodeId) -> NodeId {
    match new[id.index()] {
        Some(id) => id,
        None => panic!("internal error: a step reads node {} that it does not have", id.0),
    }
}

/// The tangents of all results, given those of some operands: one scan over values and their tangents together, whose
/// results include those of the first.
pub(crate) fn push(
    b: &mut Builder,
    functions: &mut Functions,
    scan: &Scan,
    inputs: &[NodeId],
    tangents: &[Option<NodeId>],
) -> Vec<Option<NodeId>> {
    let step = functions.flow.function(&scan.body);
    let count = step.len();
    let mut moving: Vec<bool> = tangents.iter().map(Option::is_some).collect();
    loop {
        let moves = |c: &usize| !moving[*c] && (0..inputs.len()).any(|i| moving[i] && step[*c][i]);
        let Some(c) = (0..scan.carries).find(moves) else { break };
        moving[c] = true;
    }
    let first_constant = scan.carries + scan.xs;
    let moved: Vec<bool> = (0..count)
        .map(|r| match r < scan.carries {
            true => moving[r],
            false => (0..inputs.len()).any(|i| moving[i] && step[r][i]),
        })
        .collect();
    // Operands by role, each role's tangents after its values.
    let mut k = Builder::new();
    let (mut values, mut seeds, mut operands) = (vec![], vec![], vec![]);
    let mut roles = vec![];
    for role in [0..scan.carries, scan.carries..first_constant, first_constant..inputs.len()] {
        for i in role.clone() {
            let input = &scan.body.graph().inputs()[i];
            values.push(declare(&mut k, &input.name, input.ty.clone()));
            operands.push(inputs[i]);
        }
        for i in role.filter(|&i| moving[i]) {
            let input = &scan.body.graph().inputs()[i];
            seeds
                .push((values[i], declare(&mut k, &format!("t_{}", input.name), input.ty.clone())));
            operands.push(tangents[i].unwrap_or_else(|| b.full_like(inputs[i], 0.0)));
        }
        roles.push(operands.len());
    }
    let results = apply(&mut k, &scan.body, &values);
    let found = crate::forward::push_through(&mut k, functions, &seeds, &results);
    let mut outputs = vec![];
    for role in [0..scan.carries, scan.carries..count] {
        for r in role.clone() {
            let name = scan.body.graph().outputs()[r].name.clone();
            outputs.push((name, results[r], None));
        }
        for r in role.filter(|&r| moved[r]) {
            let name = format!("t_{}", scan.body.graph().outputs()[r].name);
            let tangent = found[r].unwrap_or_else(|| k.full_like(results[r], 0.0));
            outputs.push((name, tangent, Some(r)));
        }
    }
    for (name, id, _) in &outputs {
        let mut name = name.clone();
        while k.graph().outputs().iter().any(|o| o.name == name) {
            name.push('_');
        }
        k.output(&name, *id);
    }
    let scan = Scan {
        body: finish(&format!("{}.jvp", scan.body.name()), k),
        carries: roles[0],
        xs: roles[1] - roles[0],
        ..*scan
    };
    let mut all = vec![None; count];
    for (result, (_, _, tangent_of)) in outputs.iter().enumerate() {
        if let Some(r) = tangent_of {
            all[*r] = Some(b.node(Op::Scan { scan: scan.clone(), result }, &operands));
        }
    }
    all
}
