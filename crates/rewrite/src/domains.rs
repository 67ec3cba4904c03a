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
fn functions(graph: &Graph, found: &mut Vec<Arc<Function>>) {
    for function in graph.nodes().iter().flat_map(|n| n.op.functions()) {
        if !found.contains(function) {
            functions(function.graph(), found);
            found.push(function.clone());
        }
    }
}

impl Domains {
    /// Facts of all that `graph` applies.
    ///
    /// Inputs are taken to be finite until an application shows otherwise: the greatest consistent answer.
    pub(crate) fn of(graph: &Graph) -> Domains {
        let mut list = vec![];
        functions(graph, &mut list);
        let mut known = Arc::new(Domains::default());
        loop {
            let mut given = known.given.clone();
            for function in &list {
                let finite = known.given(function).to_vec();
                let raised = raise(function.graph(), &finite, &known);
                let outputs = function.graph().outputs().iter();
                let results = outputs.map(|o| bare(raised.facts(o.node).clone())).collect();
                Arc::make_mut(&mut known).results.insert(function.clone(), results);
                known.restrict(function.graph(), &raised, &mut given);
            }
            known.restrict(graph, &raise(graph, &[], &known), &mut given);
            if known.given == given {
                return Arc::unwrap_or_clone(known);
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
        let results = op.functions().first()?.results().count();
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
