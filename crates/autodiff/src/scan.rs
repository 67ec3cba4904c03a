//! Derivatives of `scan`.
//!
//! Note [Scans]. The reverse derivative runs the steps in the other direction. A step takes the cotangents of the
//! carried values after it and of what it stacked, and gives those of the carried values before it and of the
//! positions it read; cotangents of constants add up in values carried along, or are made of stacked values
//! ([`crate::outside`]). What the step reads of the one it derives is handed out by a scan that also stacks those values ([`crate::residual`] chooses them) and takes the first one's
//! place. The number of nodes depends on the body, not on the number of steps.

use crate::functions::{Functions, apply, declare, declare_inputs, finish};
use crate::outside::{Part, parts};
use crate::residual::{Dependence, Place, Sources, residuals};
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
    let of = step.backward(b, scan, &live, inputs, given, &stacked);
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
    /// Cotangents of live carried values.
    carried: Vec<NodeId>,
    /// Cotangents of live constants, and their parts where they are made outside.
    constants: Vec<(NodeId, Option<Vec<Part>>)>,
    /// Cotangents of live positions.
    positions: Vec<NodeId>,
    /// Values of the backward step that are stacked for what is made outside.
    stacked: Vec<NodeId>,
    /// What of it the backward step gets how.
    places: Vec<Place>,
    /// What of it the backward step reads.
    read: Vec<bool>,
    /// What the forward scan is to stack, in order.
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
        let (carried, rest) = cotangents.split_at(live.carries.len());
        let (constants, positions) = rest.split_at(live.constants.len());
        let depends = Dependence::of(b.graph(), &sources);
        let parts = parts(b.graph(), &depends, constants);
        // What is made outside reads sequences, values that the forward scan stacks, and some that this one does.
        let operands = parts.iter().flatten().flatten().flat_map(|p| &p.operands);
        let mut operands: Vec<NodeId> = operands.copied().collect();
        operands.sort_unstable();
        operands.dedup();
        let (stacked, primal): (Vec<NodeId>, Vec<NodeId>) =
            operands.into_iter().partition(|o| depends.backward[o.index()]);
        let primal: Vec<NodeId> =
            primal.into_iter().filter(|p| !sources.positions.contains(p)).collect();
        let summed = constants.iter().zip(&parts).filter(|(_, parts)| parts.is_none());
        let wanted: Vec<NodeId> = [carried, positions, &stacked]
            .into_iter()
            .flatten()
            .chain(summed.map(|(c, _)| c))
            .copied()
            .collect();
        let places = residuals(b.graph(), &sources, &depends, &wanted, &primal);
        let saved = b.graph().ids().filter(|id| places[id.index()] == Place::Saved).collect();
        let mut read = vec![false; places.len()];
        wanted.iter().for_each(|w| read[w.index()] = true);
        for id in b.graph().ids().filter(|id| places[id.index()] == Place::Computed) {
            b.graph().node(id).inputs.iter().for_each(|i| read[i.index()] = true);
        }
        Step {
            graph: b.graph().clone(),
            carried: carried.to_vec(),
            constants: constants.iter().copied().zip(parts).collect(),
            positions: positions.to_vec(),
            stacked,
            inputs,
            results,
            seeds,
            places,
            read,
            saved,
        }
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

    /// Appends the scan over the backward steps and what is made of its results outside; the cotangents of live
    /// operands, by number. `saved` are the results of the forward scan.
    fn backward(
        &self,
        b: &mut Builder,
        scan: &Scan,
        live: &Live,
        inputs: &[NodeId],
        given: &[(usize, NodeId)],
        saved: &[NodeId],
    ) -> Vec<(usize, NodeId)> {
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
        for (&c, (_, parts)) in live.constants.iter().zip(&self.constants) {
            if parts.is_none() {
                let start = b.full_like(inputs[c], 0.0);
                let name = format!("sum_{}", name(self.inputs[c]));
                sums.push(enter(&mut k, self.inputs[c], &name, start));
            }
        }
        let carries = live.carries.len() + sums.len();
        // Read position by position: cotangents, saved values, the sequences themselves.
        let stacked_given = given.iter().filter(|g| g.0 >= scan.carries);
        for (&seed, (_, cotangent)) in self.seeds[live.carries.len()..].iter().zip(stacked_given) {
            if self.read[seed.index()] {
                enter(&mut k, seed, &name(seed), *cotangent);
            }
        }
        for (&id, &operand) in self.saved.iter().zip(saved) {
            if self.read[id.index()] {
                enter(&mut k, id, &name(id), operand);
            }
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
        for (i, &id) in self.carried.iter().enumerate() {
            k.output(&format!("carry{i}"), known(&new, id));
        }
        let summed = self.constants.iter().filter(|(_, parts)| parts.is_none());
        for (i, (&(id, _), &sum)) in summed.zip(&sums).enumerate() {
            let part = known(&new, id);
            let sum = k.add(sum, part);
            k.output(&format!("sum{i}"), sum);
        }
        for (i, &id) in self.positions.iter().enumerate() {
            k.output(&format!("x{i}"), known(&new, id));
        }
        for (i, &id) in self.stacked.iter().enumerate() {
            k.output(&format!("d{i}"), known(&new, id));
        }
        let mut results = vec![];
        if !k.graph().outputs().is_empty() {
            let body = finish(&format!("{}.vjp", scan.body.name()), k);
            let (length, reverse) = (scan.length, !scan.reverse);
            let scan = Scan { body, carries, xs, length, reverse };
            results = b.application(&Op::Scan { scan, result: 0 }, &operands);
        }

        let mut results = results.into_iter();
        let mut found: Vec<(usize, NodeId)> =
            live.carries.iter().copied().zip(results.by_ref().take(live.carries.len())).collect();
        let constants = live.constants.iter().zip(&self.constants);
        let (summed, outside): (Vec<_>, Vec<_>) = constants.partition(|(_, (_, p))| p.is_none());
        found.extend(summed.iter().map(|s| *s.0).zip(results.by_ref().take(summed.len())));
        found.extend(live.xs.iter().copied().zip(results.by_ref().take(live.xs.len())));
        let over_steps: Vec<(NodeId, NodeId)> = self
            .stacked
            .iter()
            .copied()
            .zip(results)
            .chain(self.saved.iter().copied().zip(saved.iter().copied()))
            .chain((scan.carries..first_constant).map(|i| (self.inputs[i], inputs[i])))
            .collect();
        for (&c, (_, parts)) in outside {
            let mut sum = None;
            for part in parts.iter().flatten() {
                let stacked: Vec<NodeId> = part
                    .operands
                    .iter()
                    .filter_map(|o| over_steps.iter().find(|(id, _)| id == o).map(|s| s.1))
                    .collect();
                let made = part.over_steps(b, &stacked);
                sum = Some(match sum {
                    Some(sum) => b.add(sum, made),
                    None => made,
                });
            }
            found.extend(sum.map(|sum| (c, sum)));
        }
        found
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
