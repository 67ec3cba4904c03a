//! One scan in place of several that run the same steps.
//!
//! Note [Merging]. Differentiation appends scans that compute what a scan of the graph does and more: reverse mode on
//! the same operands, forward mode on these and their tangents. Bodies are compared by writing them into one graph,
//! where equal nodes become one. Scans on the same operands whose carried values agree become one that stacks what
//! any of them does. A scan whose operands begin another one's, role by role, and whose results are among that one's
//! is read there, unless the other one depends on it.

use crate::functions::{apply, declare_inputs, function};
use eggrad_ir::{Builder, Function, Graph, Node, NodeId, Op, Scan, map_functions, rebuild};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

/// `graph` with scans that run the same steps on the same operands merged, also inside sub-graphs. What derivatives
/// read of a `scan` comes from a larger scan; this puts the larger one in place of both, so that steps run once.
pub fn merge_scans(graph: Graph) -> Graph {
    if graph.nodes().iter().all(|n| n.op.functions().is_empty()) {
        return graph;
    }
    let inner: Result<Graph, Infallible> = map_functions(&graph, &mut |_, g| Ok(merge_here(g)));
    match inner {
        Ok(graph) => merge_here(graph),
        Err(never) => match never {},
    }
}

fn merge_here(graph: Graph) -> Graph {
    absorb(unite(graph))
}

/// A scan with its operands; each result is a node.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Applied {
    scan: Scan,
    operands: Vec<NodeId>,
}

/// Where the results of a scan are read instead: in another scan, under these numbers.
type Instead = HashMap<Applied, (Applied, Vec<usize>)>;

impl Applied {
    fn of(node: &Node) -> Option<Applied> {
        match &node.op {
            Op::Scan { scan, .. } => {
                Some(Applied { scan: scan.clone(), operands: node.inputs.clone() })
            }
            _ => None,
        }
    }

    /// Every scan of `graph`, in order.
    fn all(graph: &Graph) -> Vec<Applied> {
        let mut seen = HashSet::new();
        let scans = graph.nodes().iter().filter_map(Applied::of);
        scans.filter(|applied| seen.insert(applied.clone())).collect()
    }
}

/// `parts` written into one graph on the inputs of `wide`: for each the number of the input that stands for each of
/// its own. The results of each part.
fn together(wide: &Function, parts: &[(&Arc<Function>, Vec<usize>)]) -> (Graph, Vec<Vec<NodeId>>) {
    let mut b = Builder::new();
    let inputs = declare_inputs(&mut b, wide);
    let mut count = 0;
    for (part, numbers) in parts {
        let operands: Vec<NodeId> = numbers.iter().map(|&n| inputs[n]).collect();
        for result in apply(&mut b, part, &operands) {
            b.output(&format!("r{count}"), result);
            count += 1;
        }
    }
    let graph = match b.build() {
        Ok(graph) => merge_here(graph),
        Err(errors) => panic!("internal error: {errors}"),
    };
    let mut outputs = graph.outputs().iter().map(|o| o.node);
    let results = parts.iter().map(|(part, _)| {
        outputs.by_ref().take(part.graph().outputs().len()).collect::<Vec<NodeId>>()
    });
    let results = results.collect();
    (graph, results)
}

/// Scans on the same operands that agree on what they carry become one.
fn unite(graph: Graph) -> Graph {
    let mut alike: HashMap<(Vec<NodeId>, Scan), Vec<Applied>> = HashMap::new();
    let all = Applied::all(&graph);
    let Some(some) = all.first().map(|a| a.scan.body.clone()) else { return graph };
    for applied in all {
        // Alike but for the body.
        let scan = Scan { body: some.clone(), ..applied.scan.clone() };
        alike.entry((applied.operands.clone(), scan)).or_default().push(applied);
    }
    let mut instead = Instead::new();
    alike.into_values().filter(|g| g.len() > 1).for_each(|group| unite_group(&group, &mut instead));
    if instead.is_empty() {
        return graph;
    }
    rebuild(&graph, &mut |builder, id, inputs| {
        let node = graph.node(id);
        let op = match Applied::of(node).and_then(|applied| instead.get(&applied)) {
            Some((united, numbers)) => {
                let result = numbers[node.op.result().unwrap_or(0)];
                Op::Scan { scan: united.scan.clone(), result }
            }
            None => node.op.clone(),
        };
        builder.node(op, inputs)
    })
}

/// Notes what the members of `group`, which differ in their bodies only, become.
fn unite_group(group: &[Applied], instead: &mut Instead) {
    let first = &group[0];
    let carries = first.scan.carries;
    let every: Vec<usize> = (0..first.operands.len()).collect();
    let parts: Vec<_> = group.iter().map(|m| (&m.scan.body, every.clone())).collect();
    let (graph, results) = together(&first.scan.body, &parts);
    let mut agree: BTreeMap<&[NodeId], Vec<usize>> = BTreeMap::new();
    for (member, results) in results.iter().enumerate() {
        agree.entry(&results[..carries]).or_default().push(member);
    }
    for members in agree.into_values().filter(|m| m.len() > 1) {
        let lead = &group[members[0]].scan.body;
        let mut b = Builder::from_graph(graph.clone());
        b.clear_outputs();
        for (output, &id) in lead.graph().outputs().iter().zip(&results[members[0]][..carries]) {
            b.output(&output.name, id);
        }
        let mut stacked: Vec<NodeId> = vec![];
        let mut numbers = vec![];
        for &member in &members {
            let mut of: Vec<usize> = (0..carries).collect();
            let outputs = group[member].scan.body.graph().outputs();
            for (output, &id) in outputs.iter().zip(&results[member]).skip(carries) {
                let place = stacked.iter().position(|s| *s == id).unwrap_or(stacked.len());
                if place == stacked.len() {
                    stacked.push(id);
                    let mut name = output.name.clone();
                    while b.graph().outputs().iter().any(|o| o.name == name) {
                        name.push('_');
                    }
                    b.output(&name, id);
                }
                of.push(carries + place);
            }
            numbers.push(of);
        }
        let body = match b.build() {
            Ok(graph) => function(lead.name(), graph),
            Err(errors) => panic!("internal error: {errors}"),
        };
        let scan = Scan { body, ..first.scan.clone() };
        let united = Applied { scan, operands: first.operands.clone() };
        for (member, numbers) in members.into_iter().zip(numbers) {
            instead.insert(group[member].clone(), (united.clone(), numbers));
        }
    }
}

/// Scans that compute part of what another one does are read there.
fn absorb(graph: Graph) -> Graph {
    let all = Applied::all(&graph);
    let mut instead = Instead::new();
    for part in &all {
        for whole in all.iter().filter(|w| !instead.contains_key(*w)) {
            if let Some(numbers) = found_in(part, whole)
                && !depends(&graph, whole, part, &instead)
            {
                instead.insert(part.clone(), (whole.clone(), numbers));
                break;
            }
        }
    }
    if instead.is_empty() { graph } else { redirected(&graph, &instead) }
}

/// The results of `part` among those of `whole`, whose operands begin with `part`'s, role by role.
fn found_in(part: &Applied, whole: &Applied) -> Option<Vec<usize>> {
    let (p, w) = (&part.scan, &whole.scan);
    if (p.length, p.reverse) != (w.length, w.reverse) || part.operands.len() >= whole.operands.len()
    {
        return None;
    }
    let roles = |a: &Applied| {
        let Scan { carries, xs, .. } = a.scan;
        [0..carries, carries..carries + xs, carries + xs..a.operands.len()]
    };
    let mut numbers = vec![];
    for (own, wide) in roles(part).into_iter().zip(roles(whole)) {
        if !whole.operands[wide.clone()].starts_with(&part.operands[own.clone()]) {
            return None;
        }
        numbers.extend(wide.take(own.len()));
    }
    let every = (0..whole.operands.len()).collect();
    let (_, results) = together(&w.body, &[(&p.body, numbers), (&w.body, every)]);
    let (found, among) = (&results[0], &results[1]);
    let (carried, stacked) = found.split_at(p.carries);
    let mut places: Vec<usize> = (0..p.carries).collect();
    if carried != &among[..p.carries] {
        return None;
    }
    for y in stacked {
        places.push(w.carries + among[w.carries..].iter().position(|a| a == y)?);
    }
    Some(places)
}

/// Whether the operands of `whole` depend on a result of `part` when scans are read as `instead` says.
fn depends(graph: &Graph, whole: &Applied, part: &Applied, instead: &Instead) -> bool {
    let mut seen = vec![false; graph.nodes().len()];
    let mut stack = whole.operands.clone();
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        let node = graph.node(id);
        match Applied::of(node) {
            Some(applied) if applied == *part => return true,
            Some(applied) => stack.extend(last(applied, 0, instead).0.operands),
            None => stack.extend(&node.inputs),
        }
    }
    false
}

/// Where result `result` of `applied` is read in the end.
fn last(mut applied: Applied, mut result: usize, instead: &Instead) -> (Applied, usize) {
    while let Some((whole, numbers)) = instead.get(&applied) {
        (applied, result) = (whole.clone(), numbers[result]);
    }
    (applied, result)
}

/// `graph` with scans read as `instead` says; a scan comes before everything that reads it.
fn redirected(graph: &Graph, instead: &Instead) -> Graph {
    let mut b = Builder::with_leaves_of(graph);
    let mut new: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
    for id in graph.ids() {
        let mut stack = vec![id];
        while let Some(&id) = stack.last() {
            let node = graph.node(id);
            let (op, operands) = match Applied::of(node) {
                Some(applied) => {
                    let result = node.op.result().unwrap_or(0);
                    let (whole, result) = last(applied, result, instead);
                    (Op::Scan { scan: whole.scan, result }, whole.operands)
                }
                None => (node.op.clone(), node.inputs.clone()),
            };
            let before = stack.len();
            stack.extend(operands.iter().filter(|o| new[o.index()].is_none()));
            if stack.len() > before {
                continue;
            }
            let made = match op {
                Op::Input(i) => b.graph().inputs()[i].node,
                Op::State(i) => b.graph().states()[i].read,
                _ => {
                    let operands: Vec<NodeId> =
                        operands.iter().filter_map(|o| new[o.index()]).collect();
                    let made = b.node(op, &operands);
                    b.locate(made, node.at, node.layer);
                    made
                }
            };
            new[id.index()] = Some(made);
            stack.pop();
        }
    }
    let known = |id: NodeId| match new[id.index()] {
        Some(id) => id,
        None => panic!("internal error: node {} was not reached", id.0),
    };
    graph.outputs().iter().for_each(|o| b.output(&o.name, known(o.node)));
    for state in graph.states() {
        if let Some(write) = state.write {
            b.write(known(state.read), known(write));
        }
    }
    b.set_guard(graph.guard().map(known));
    match b.build() {
        Ok(graph) => graph,
        Err(errors) => panic!("internal error: {errors}"),
    }
}
