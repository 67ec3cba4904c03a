//! Applies rules round after round until nothing changes or a limit is met.
//!
//! After the first round only classes are searched near which something changed: a match reaches no deeper below its
//! class than the deepest pattern, and conditions ask for facts of what was matched.

use crate::affine::Folding;
use crate::facts::{Egraph, rebuild};
use crate::language::{Head, Term};
use crate::meet::Moves;
use crate::normal::{Forms, Written, unite};
use crate::optimize::{Limits, Semantics};
use crate::pairs::Pairs;
use crate::pattern::LeftSide;
use crate::proof::log::Pass;
use crate::report::Stop;
use crate::rules::Rule;
use egg::{ENodeOrVar, Id, Searcher};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Ops that one is moved past before the rules look again.
const MOVES: usize = 8;

/// What saturation did.
#[derive(Clone, Debug)]
pub(crate) struct Saturation {
    pub(crate) rules: BTreeMap<String, usize>,
    pub(crate) iterations: usize,
    pub(crate) stop: Stop,
}

/// Left sides of all rules, by the op at their root.
struct Sides<'a> {
    /// Number of the rule, and one of its left sides.
    sides: Vec<(usize, &'a LeftSide)>,
    by_head: HashMap<&'a Head, Vec<usize>>,
    /// Levels of the deepest one below its root.
    depth: usize,
    /// Of each left side, whether its rule is exact and makes nothing larger.
    simplifies: Vec<bool>,
}

impl<'a> Sides<'a> {
    fn new(rules: &[&'a Rule]) -> Sides<'a> {
        let of = |(i, rule): (usize, &&'a Rule)| rule.patterns.iter().map(move |side| (i, side));
        let sides: Vec<(usize, &LeftSide)> = rules.iter().enumerate().flat_map(of).collect();
        let mut by_head: HashMap<&Head, Vec<usize>> = HashMap::new();
        let mut depth = 0;
        for (i, (_, side)) in sides.iter().enumerate() {
            let nodes: &[ENodeOrVar<Term>] = side.pattern.ast.as_ref();
            let mut levels: Vec<usize> = vec![];
            for node in nodes {
                levels.push(match node {
                    ENodeOrVar::Var(_) => 0,
                    ENodeOrVar::ENode(term) => {
                        let below = term.args.iter().map(|&a| levels[usize::from(a)]).max();
                        below.map_or(0, |b| b + 1)
                    }
                });
            }
            depth = depth.max(levels.last().copied().unwrap_or(0));
            match nodes.last() {
                Some(ENodeOrVar::ENode(root)) => by_head.entry(&root.head).or_default().push(i),
                Some(ENodeOrVar::Var(_)) | None => {
                    panic!("internal error: a left side without an op")
                }
            }
        }
        let simplifies = sides.iter().map(|(i, _)| rules[*i].simplifies()).collect();
        Sides { sides, by_head, depth, simplifies }
    }

    /// What matches in `classes`, by left side, then in the order of the classes: at most `limit` for each.
    fn search(
        &self,
        egraph: &Egraph,
        classes: &[Id],
        limit: usize,
        simplify: bool,
    ) -> Vec<(usize, Id, egg::Subst)> {
        let mut left = vec![limit; self.sides.len()];
        let mut matches = vec![];
        let mut here: Vec<usize> = vec![];
        for &class in classes {
            here.clear();
            for node in &egraph[class].nodes {
                here.extend(self.by_head.get(&node.head).into_iter().flatten());
            }
            here.retain(|&side| !simplify || self.simplifies[side]);
            here.sort_unstable();
            here.dedup();
            for &side in &here {
                if left[side] == 0 {
                    continue;
                }
                let pattern = &self.sides[side].1.pattern;
                let found = pattern.search_eclass_with_limit(egraph, class, left[side]);
                for subst in found.into_iter().flat_map(|f| f.substs) {
                    left[side] -= 1;
                    matches.push((side, class, subst));
                }
            }
        }
        matches.sort_by_key(|m| m.0);
        matches
    }
}

/// Classes of which a match may be new when those in `changed` have changed.
fn affected(egraph: &Egraph, changed: &[Id], depth: usize) -> Vec<Id> {
    let mut level: BTreeSet<Id> = changed.iter().map(|&id| egraph.find(id)).collect();
    let mut all = level.clone();
    for _ in 0..depth {
        let parents = level.iter().flat_map(|&id| egraph[id].parents());
        level = parents.map(|id| egraph.find(id)).filter(|id| !all.contains(id)).collect();
        all.extend(&level);
    }
    all.into_iter().collect()
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
    let mut folding = Folding::default();
    let mut written = Written::new();
    let mut pairs = Pairs::of(rules.iter().copied());
    let mut moves = Moves::of(rules.iter().copied());
    let sides = Sides::new(&rules);
    let mut classes: Vec<Id> = egraph.classes().map(|c| c.id).collect();
    let stop = 'rounds: loop {
        if iterations == limits.iterations {
            break Stop::Iterations;
        }
        iterations += 1;
        let size = (egraph.total_size(), egraph.number_of_classes());
        let mut changed = false;
        let mut near = vec![];
        // What only takes away or moves a sign is followed to its end, or signs would climb one op in a round.
        for simplify in std::iter::once(false).chain(std::iter::repeat(true)) {
            let matches = sides.search(egraph, &classes, limits.matches, simplify);
            egraph.analysis.changed = Some(vec![]);
            let mut new = false;
            for (side, class, subst) in matches {
                let (i, side) = sides.sides[side];
                let rule = rules[i];
                if rule.apply(egraph, class, side, &subst) == Some(true) {
                    *counts.entry(rule.name.clone()).or_insert(0) += 1;
                    new = true;
                }
                if egraph.total_size() > most {
                    rebuild(egraph);
                    break 'rounds Stop::Nodes { rule: rule.name.clone() };
                }
            }
            rebuild(egraph);
            let list = egraph.analysis.changed.take().unwrap_or_default();
            classes = affected(egraph, &list, sides.depth);
            near.extend(list);
            changed |= new;
            if !new {
                break;
            }
        }
        egraph.analysis.changed = Some(near);
        // Forms are dear: they are read when the rules have nothing to say.
        if !changed {
            for _ in 0..MOVES {
                let new = moves.extend(egraph);
                rebuild(egraph);
                changed |= new > 0;
                if new == 0 || egraph.total_size() > most {
                    break;
                }
            }
        }
        if !changed {
            let mut forms = Forms::of(egraph);
            let united = unite(egraph, &forms, &mut written) > 0;
            rebuild(egraph);
            if united {
                forms = Forms::of(egraph);
            }
            let paired = pairs.extend(egraph, &forms) > 0;
            rebuild(egraph);
            let folded = folding.fold(egraph);
            rebuild(egraph);
            if folded > 0 {
                *counts.entry(Pass::LinearFolding.name().to_string()).or_insert(0) += folded;
            }
            changed = united || paired || folded > 0;
        }
        if !changed && size == (egraph.total_size(), egraph.number_of_classes()) {
            break Stop::Saturated;
        }
        let list = egraph.analysis.changed.take().unwrap_or_default();
        classes = affected(egraph, &list, sides.depth);
    };
    egraph.analysis.changed = None;
    Saturation { rules: counts, iterations, stop }
}
