//! Applies rules round after round until nothing changes or a limit is met.

use crate::facts::Egraph;
use crate::normal::{Forms, unite};
use crate::optimize::{Limits, Semantics};
use crate::pairs::Pairs;
use crate::report::Stop;
use crate::rules::Rule;
use egg::Searcher;
use std::collections::BTreeMap;

/// What saturation did.
#[derive(Clone, Debug)]
pub(crate) struct Saturation {
    pub(crate) rules: BTreeMap<String, usize>,
    pub(crate) iterations: usize,
    pub(crate) stop: Stop,
}

/// Saturates a rebuilt e-graph; `nodes` is the size of the graph it was raised from.
pub(crate) fn saturate(
    egraph: &mut Egraph,
    rules: &[Rule],
    semantics: Semantics,
    limits: &Limits,
    nodes: usize,
) -> Saturation {
    let most = limits.growth.saturating_mul(nodes).saturating_add(500);
    let mut counts = BTreeMap::new();
    let mut iterations = 0;
    let rules: Vec<&Rule> = rules.iter().filter(|r| semantics.allows(r.class)).collect();
    let mut pairs = Pairs::of(rules.iter().copied());
    let stop = 'rounds: loop {
        if iterations == limits.iterations {
            break Stop::Iterations;
        }
        iterations += 1;
        let size = (egraph.total_size(), egraph.number_of_classes());
        let mut matches = vec![];
        for (i, rule) in rules.iter().enumerate() {
            for side in &rule.patterns {
                for found in side.pattern.search_with_limit(egraph, limits.matches) {
                    for subst in found.substs {
                        matches.push((i, side, found.eclass, subst));
                    }
                }
            }
        }
        let mut changed = false;
        for (i, side, class, subst) in matches {
            let rule = rules[i];
            if rule.apply(egraph, class, &side.numbers, &subst) == Some(true) {
                *counts.entry(rule.name.clone()).or_insert(0) += 1;
                changed = true;
            }
            if egraph.total_size() > most {
                egraph.rebuild();
                break 'rounds Stop::Nodes { rule: rule.name.clone() };
            }
        }
        egraph.rebuild();
        let forms = Forms::of(egraph);
        changed |= unite(egraph, &forms) > 0;
        egraph.rebuild();
        let forms = Forms::of(egraph);
        changed |= pairs.extend(egraph, &forms) > 0;
        egraph.rebuild();
        if !changed && size == (egraph.total_size(), egraph.number_of_classes()) {
            break Stop::Saturated;
        }
    };
    Saturation { rules: counts, iterations, stop }
}
