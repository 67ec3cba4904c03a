//! What is known of the operands and results of sub-graphs, and what applying them costs.
//!
//! A sub-graph is optimised alone, for all who apply it: an input of its is known to be finite where every application
//! passes finite numbers, step after step. Its results are bounded for all inputs of that kind.

use crate::axes::AxisSet;
use crate::facts::{Facts, either};
use crate::raise::{Raised, raise};
use eggrad_ir::{Function, Graph, NodeId, Op};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Facts of sub-graphs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Domains {
    /// Which inputs are finite wherever the function is applied.
    given: HashMap<Arc<Function>, Vec<bool>>,
    /// Results; their axes say nothing.
    results: HashMap<Arc<Function>, Vec<Facts>>,
    /// Nanoseconds of one application, as written and now.
    times: HashMap<Arc<Function>, (f64, f64)>,
}

/// Whether `graph` applies sub-graphs.
pub(crate) fn applies_functions(graph: &Graph) -> bool {
    graph.nodes().iter().any(|n| !n.op.functions().is_empty())
}

/// Every function that `graph` applies at any depth, once, the innermost first.
fn functions(graph: &Graph) -> Vec<Arc<Function>> {
    let (mut found, mut met) = (vec![], HashSet::new());
    add_functions(graph, &mut found, &mut met);
    found
}

fn add_functions<'a>(
    graph: &'a Graph,
    found: &mut Vec<Arc<Function>>,
    met: &mut HashSet<&'a Arc<Function>>,
) {
    for function in graph.nodes().iter().flat_map(|n| n.op.functions()) {
        if met.insert(function) {
            add_functions(function.graph(), found, met);
            found.push(function.clone());
        }
    }
}

impl Domains {
    /// Facts of all that `graph` applies.
    ///
    /// Inputs are taken to be finite until an application shows otherwise: the greatest consistent answer.
    pub(crate) fn of(graph: &Graph) -> Domains {
        Domains::counted(graph).0
    }

    /// [`Domains::of`], and how many graphs were raised for it: a graph again only when its inputs are less finite than
    /// they were, or the results of a function that it applies are others.
    fn counted(graph: &Graph) -> (Domains, usize) {
        let list = functions(graph);
        let mut known = Arc::new(Domains::default());
        let mut raises = 0;
        // Functions that must be looked at, or whose results changed in this round.
        let mut stale: HashSet<&Arc<Function>> = list.iter().collect();
        let mut changed: HashSet<&Arc<Function>> = list.iter().collect();
        loop {
            let mut given = known.given.clone();
            let applies = |graph: &Graph, changed: &HashSet<&Arc<Function>>| {
                graph.nodes().iter().flat_map(|n| n.op.functions()).any(|f| changed.contains(f))
            };
            for function in &list {
                if !stale.contains(function) && !applies(function.graph(), &changed) {
                    continue;
                }
                raises += 1;
                let finite = known.given(function).to_vec();
                let raised = raise(function.graph(), &finite, &known);
                let outputs = function.graph().outputs().iter();
                let results: Vec<Facts> =
                    outputs.map(|o| bare(raised.facts(o.node).clone())).collect();
                known.restrict(function.graph(), &raised, &mut given);
                // It holds what is known, which would be copied to be changed.
                drop(raised);
                if known.results.get(function) != Some(&results) {
                    changed.insert(function);
                    Arc::make_mut(&mut known).results.insert(function.clone(), results);
                }
            }
            if applies(graph, &changed) {
                raises += 1;
                known.restrict(graph, &raise(graph, &[], &known), &mut given);
            }
            stale = list.iter().filter(|f| known.given.get(*f) != given.get(*f)).collect();
            changed.clear();
            if stale.is_empty() {
                return (Arc::unwrap_or_clone(known), raises);
            }
            Arc::make_mut(&mut known).given = given;
        }
    }

    /// Which inputs of `function` are finite; those beyond the end of the list are.
    pub(crate) fn given(&self, function: &Function) -> &[bool] {
        self.given.get(function).map_or(&[], Vec::as_slice)
    }

    /// Takes the operands of all applications in `graph` into account.
    fn restrict(
        &self,
        graph: &Graph,
        raised: &Raised,
        given: &mut HashMap<Arc<Function>, Vec<bool>>,
    ) {
        for node in graph.nodes() {
            let (first, carries) = match &node.op {
                Op::Scan { scan, .. } => (0, scan.carries),
                Op::Cond { .. } => (1, 0),
                _ => (0, 0),
            };
            for function in node.op.functions() {
                let operands = &node.inputs[first..];
                let flags =
                    given.entry(function.clone()).or_insert_with(|| vec![true; operands.len()]);
                for (i, (flag, &operand)) in flags.iter_mut().zip(operands).enumerate() {
                    *flag &= raised.facts(operand).finite;
                    *flag &= i >= carries || self.results[function][i].finite;
                }
            }
        }
    }

    /// Facts of what an application with these operands gives; the axes say nothing. `None` when nothing is known.
    pub(crate) fn result<'a>(
        &self,
        op: &Op,
        operand: impl Fn(usize) -> &'a Facts,
    ) -> Option<Facts> {
        let of = |function: &Function, result: usize| self.results.get(function)?.get(result);
        match op {
            Op::Call { function, result } => of(function, *result).cloned(),
            Op::Scan { scan, result } if *result < scan.carries => {
                let after = of(&scan.body, *result)?;
                Some(either(operand(*result), after, AxisSet::empty()))
            }
            Op::Scan { scan, result } => of(&scan.body, *result).cloned(),
            Op::Cond { then, otherwise, result } => {
                let (a, b) = (of(then, *result)?, of(otherwise, *result)?);
                Some(either(a, b, AxisSet::empty()))
            }
            _ => None,
        }
    }

    /// Says that `function` was optimised: it computes `graph` now, and takes so long before and after.
    pub(crate) fn became(&mut self, function: &Function, graph: &Graph, times: (f64, f64)) {
        let new =
            Function::new(function.name(), graph.clone()).and_then(|new| match function.vjp() {
                Some(vjp) => new.with_vjp(vjp.clone()),
                None => Ok(new),
            });
        let new = match new {
            Ok(new) => Arc::new(new),
            Err(error) => panic!("internal error: rewriting made an invalid function: {error}"),
        };
        self.times.insert(new.clone(), times);
        let Some(facts) = self.results.get(function).cloned() else { return };
        // Functions that were different may be equal now.
        let both = match self.results.get(&new) {
            Some(other) => {
                facts.iter().zip(other).map(|(a, b)| either(a, b, AxisSet::empty())).collect()
            }
            None => facts,
        };
        self.results.insert(new, both);
    }

    /// Nanoseconds of an application, as written and now; `None` for ops that apply nothing.
    fn times(&self, op: &Op) -> Option<(f64, f64)> {
        let of = |function: &Function| self.times.get(function).copied().unwrap_or_default();
        match op {
            Op::Call { function, .. } => Some(of(function)),
            Op::Scan { scan, .. } => {
                let (before, after) = of(&scan.body);
                Some((before * scan.length as f64, after * scan.length as f64))
            }
            Op::Cond { then, otherwise, .. } => {
                let (a, b) = (of(then), of(otherwise));
                Some((a.0.max(b.0), a.1.max(b.1)))
            }
            _ => None,
        }
    }

    /// Nanoseconds of one result of an application: all results of one application together are paid for once.
    pub(crate) fn nanoseconds(&self, op: &Op) -> Option<f64> {
        let results = op.functions().first()?.graph().outputs().len();
        Some(self.times(op)?.1 / results as f64)
    }

    /// Nanoseconds that the applications in `graph` became faster.
    pub(crate) fn saved(&self, graph: &Graph) -> f64 {
        let mut seen: HashSet<(Op, &[NodeId])> = HashSet::new();
        let mut saved = 0.0;
        for node in graph.nodes() {
            let Some((before, after)) = self.times(&node.op) else { continue };
            let application = (node.op.with_result(0), node.inputs.as_slice());
            if seen.insert(application) {
                saved += before - after;
            }
        }
        saved
    }
}

/// Facts that hold for a value whatever its axes are called.
fn bare(facts: Facts) -> Facts {
    Facts { axes: AxisSet::empty(), simplex: None, constant: None, ..facts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eggrad_ir::{At, Builder, DType, Scan, TensorType, UnaryOp};

    /// Scans inside each other, `depth` of them, that square what they carry, which begins as `1 / x`.
    fn nest(depth: usize) -> Graph {
        let scalar = TensorType::new(DType::F32, []);
        let mut inner: Option<Arc<Function>> = None;
        for level in 0..=depth {
            let mut b = Builder::new();
            let x = b.declare_input("x", scalar.clone(), None, At::Unknown);
            let op = if level == depth { UnaryOp::Recip } else { UnaryOp::Square };
            let mut y = b.unary(op, x);
            if let Some(body) = inner {
                let scan = Scan { body, carries: 1, xs: 0, length: 2, reverse: false };
                y = b.node(Op::Scan { scan, result: 0 }, &[y]);
            }
            b.output("y", y);
            let graph = b.build().unwrap();
            if level == depth {
                return graph;
            }
            inner = Some(Arc::new(Function::new("body", graph).unwrap()));
        }
        panic!("not reached")
    }

    #[test]
    fn functions_are_looked_at_again_when_something_about_them_changed() {
        let graph = nest(12);
        let list = functions(&graph);
        assert_eq!(list.len(), 12);
        let (domains, raises) = Domains::counted(&graph);
        // That the operand may be infinite goes inwards by one scan in each round.
        assert!(list.iter().all(|f| domains.given(f) == [false]));
        assert!(raises <= 4 * (list.len() + 1), "{raises}");
    }
}
