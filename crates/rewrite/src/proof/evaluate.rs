//! Values of the terms of an explanation in `f64`, on random data with axes shrunk to small sizes.

use crate::axes::Axis;
use crate::build::facts;
use crate::copy::declare;
use crate::extract::{Candidate, Classes, Price};
use crate::facts::{Context, Data, Egraph, rebuild};
use crate::language::Term;
use crate::lower::Lowerer;
use crate::proof::terms::{TermId, Terms};
use crate::raise::Raised;
use crate::small::{small_sizes, smallest_index};
use crate::validate::{draw, work};
use egg::Id;
use eggrad_interp::{Precision, run};
use eggrad_ir::Graph;
use std::collections::HashMap;

/// Multiply-adds and elements up to which terms are evaluated.
const MOST_WORK: usize = 1 << 26;
/// How often data is drawn.
const SAMPLES: usize = 3;
/// The relative difference that two ways to compute in `f64` may have.
const TOLERANCE: f64 = 1e-6;
/// Values below this are compared as if they were this large.
const SMALL: f64 = 1e-3;

/// Elements of terms, by term, then by sample.
pub(crate) type Values = HashMap<TermId, Vec<Vec<f64>>>;

/// Evaluates the terms that are `wanted`; `None` when that is too much work. `raised` is the graph whose terms they
/// are.
pub(crate) fn values(
    graph: &Graph,
    raised: &Raised,
    terms: &Terms,
    wanted: &[TermId],
) -> Option<Values> {
    let mut needed = vec![false; terms.len()];
    wanted.iter().for_each(|t| needed[t.0] = true);
    for i in (0..terms.len()).rev().filter(|_| !wanted.is_empty()) {
        if needed[i] {
            terms.node(TermId(i)).args.iter().for_each(|a| needed[a.0] = true);
        }
    }
    // Nothing is united here: every term stays what it says.
    let context = Context { unfolded: true, ..raised.egraph.analysis.clone() };
    let mut egraph = Egraph::new(context);
    let mut ids: HashMap<TermId, Id> = HashMap::new();
    let (mut classes, mut candidates, mut places) = (vec![], vec![], HashMap::new());
    for i in (0..terms.len()).filter(|&i| needed[i]) {
        let node = terms.node(TermId(i));
        let args: Vec<Id> = node.args.iter().map(|a| ids[a]).collect();
        let term = Term::new(node.head.clone(), &args);
        let id = egraph.add(term.clone());
        ids.insert(TermId(i), id);
        if matches!(egraph[id].data, Data::Tensor(_)) {
            places.insert(id, classes.len());
            classes.push(id);
            candidates.push(vec![Candidate { term, price: Price::default(), children: vec![] }]);
        }
    }
    rebuild(&mut egraph);
    let sizes = small_sizes(graph, &raised.naming);
    let classes = Classes { ids: classes, places, candidates, roots: vec![] };
    let hints = HashMap::new();
    let builder = declare(graph, &raised.naming, &sizes);
    let mut lowerer = Lowerer::new(&egraph, &classes, &sizes, &hints, builder);
    let all: Vec<usize> = (0..classes.ids.len()).collect();
    lowerer.run(&vec![0; all.len()], &all);
    for (i, term) in wanted.iter().enumerate() {
        let id = ids[term];
        let order: Vec<Axis> = facts(&egraph, id).axes.iter().collect();
        let node = lowerer.root(classes.places[&id], &order);
        lowerer.builder.output(&format!("t{i}"), node);
    }
    let small = match lowerer.builder.build() {
        Ok(graph) => graph,
        Err(errors) => panic!("internal error: terms of an explanation make no graph: {errors}"),
    };
    if work(&small) > MOST_WORK {
        return None;
    }
    let mut values: Values = wanted.iter().map(|&t| (t, vec![])).collect();
    let index = smallest_index(graph, &raised.naming, &sizes);
    for sample in 0..SAMPLES {
        let (inputs, states) = draw(&small, sample, index);
        let done = match run(&small, &inputs, &states, Precision::Wide) {
            Ok(done) => done,
            Err(error) => panic!("internal error: terms cannot be evaluated: {error}"),
        };
        for (term, output) in wanted.iter().zip(done.outputs) {
            if let Some(list) = values.get_mut(term)
                && list.len() == sample
            {
                list.push(output.to_f64s());
            }
        }
    }
    Some(values)
}

/// Two elements that differ; `None` when all are equal. What is not finite on either side is outside of the domain of
/// the step; somewhere both must be finite, or neither anywhere.
pub(crate) fn difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> Option<(f64, f64)> {
    let pairs = || a.iter().flatten().copied().zip(b.iter().flatten().copied());
    let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let far = |&(x, y): &(f64, f64)| (x - y).abs() / x.abs().max(y.abs()).max(SMALL) > TOLERANCE;
    if !pairs().any(|p| finite(&p)) {
        return pairs().find(|(x, y)| x.is_finite() != y.is_finite());
    }
    pairs().filter(finite).find(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finite_on_both_sides_is_compared() {
        let nan = f64::NAN;
        let check = |a: &[f64], b: &[f64], same: bool| {
            let found = difference(&[a.to_vec()], &[b.to_vec()]);
            assert_eq!(found.is_none(), same, "{a:?} {b:?}: {found:?}");
        };
        check(&[1.0, 2.0], &[1.0, 2.0 + 1e-9], true);
        check(&[1.0, 2.0], &[1.0, 2.001], false);
        check(&[1.0, nan], &[1.0, 7.0], true);
        check(&[2.0, nan], &[1.0, 7.0], false);
        // Nothing can be compared, but one side says more than the other.
        check(&[nan, nan], &[1.0, 7.0], false);
        check(&[nan, f64::INFINITY], &[f64::INFINITY, nan], true);
    }
}
