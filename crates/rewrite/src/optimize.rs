//! The whole way: raise, saturate, extract, lower, validate.

use crate::cost::Cost;
use crate::danger::danger;
use crate::extract::{Choice, Classes, Price};
use crate::facts::Egraph;
use crate::language::Head;
use crate::lower::{Copier, Hint, Lowerer, declare};
use crate::raise::{Raised, raise};
use crate::report::{Danger, Report, Stop, Validation};
use crate::rules::{RULES, Rule, RuleClass};
use crate::saturate::{Saturation, saturate};
use crate::search::improve;
use crate::validate::{compare, small_sizes, smallest_index};
use egg::Id;
use eggrad_ir::{Builder, Graph, NodeId, TypeErrors};
use std::collections::{BTreeMap, HashMap};

/// What the result has in common with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Semantics {
    /// Every bit: no rules, equal nodes are shared and that is all.
    Strict,
    /// Equal over the reals on the proven domain, and never more dangerous.
    #[default]
    Real,
    /// As `Real`; rules that only approximate would be allowed.
    Fast,
}

impl Semantics {
    /// Whether rules of a class may be used.
    pub fn allows(self, class: RuleClass) -> bool {
        match self {
            Semantics::Strict => false,
            Semantics::Real | Semantics::Fast => match class {
                RuleClass::Exact
                | RuleClass::Finite
                | RuleClass::Reassociates
                | RuleClass::Real => true,
            },
        }
    }
}

/// Limits, all of them counts, so that equal graphs have equal results everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// E-nodes per node of the input, beside 500 for every graph.
    pub growth: usize,
    /// Rounds of rules.
    pub iterations: usize,
    /// Matches of one left side in one round.
    pub matches: usize,
    /// Trials of the local search, per node of the input.
    pub moves: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { growth: 8, iterations: 24, matches: 1_000_000, moves: 64 }
    }
}

/// How to optimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewriteConfig {
    /// What must be kept.
    pub semantics: Semantics,
    /// When to stop.
    pub limits: Limits,
    /// Whether to compare the result with the input on random data.
    pub validate: bool,
}

impl Default for RewriteConfig {
    fn default() -> RewriteConfig {
        RewriteConfig { semantics: Semantics::Real, limits: Limits::default(), validate: true }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RewriteError {
    /// The graph still holds a derivative.
    #[error("`grad` must be resolved by differentiation before rewriting")]
    Grad,
    /// Two values that the rules made equal cannot be: a rule is wrong.
    #[error("internal error: rules made different values equal: {0}")]
    Contradiction(String),
    /// The result differs from the input on random data: a rule is wrong.
    #[error(
        "internal error: rewriting changed the value of `{output}`: {before} became {after} \
         (rules used: {rules})"
    )]
    Unsound {
        /// Name of the output or written state.
        output: String,
        /// An element as written.
        before: f64,
        /// The same element after rewriting.
        after: f64,
        /// Names of the rules that changed the e-graph.
        rules: String,
    },
    /// The result breaks a promise of every graph.
    #[error("internal error: rewriting made an invalid graph: {0}")]
    Invalid(TypeErrors),
}

/// Makes `graph` stabler and cheaper, as estimated by `cost`.
///
/// The result has the inputs, states, outputs and guard of the input, in order, by name and type; it is equal over the
/// reals on the proven domain, and no output is more dangerous than it was. Equal graphs have equal results, to the
/// letter of the text form. With [`Semantics::Strict`] nothing changes.
///
/// # Errors
/// A `grad` that was not resolved; every other error is a bug of this crate.
pub fn optimize(
    graph: &Graph,
    cost: &dyn Cost,
    config: &RewriteConfig,
) -> Result<(Graph, Report), RewriteError> {
    optimize_with(graph, cost, config, &RULES)
}

fn optimize_with(
    graph: &Graph,
    cost: &dyn Cost,
    config: &RewriteConfig,
    rules: &[Rule],
) -> Result<(Graph, Report), RewriteError> {
    if graph.has_grad() {
        return Err(RewriteError::Grad);
    }
    let mut raised = raise(graph);
    // Over nothing, sums, sizes and largest elements have values that no rule reckons with.
    let hollow = raised.naming.sizes.contains(&0);
    let before = Before::of(graph, &raised, cost);
    let saturation = if config.semantics == Semantics::Strict || hollow {
        Saturation { rules: BTreeMap::new(), iterations: 0, stop: Stop::NotRun }
    } else {
        let nodes = graph.nodes().len();
        saturate(&mut raised.egraph, rules, config.semantics, &config.limits, nodes)
    };
    if let Some(conflict) = &raised.egraph.analysis.conflict {
        return Err(RewriteError::Contradiction(conflict.clone()));
    }
    let chosen = choose(graph, &raised, before, cost, &config.limits);
    let sizes = raised.naming.sizes.clone();
    let result = match saturation.stop {
        Stop::NotRun => graph.clone(),
        Stop::Saturated | Stop::Iterations | Stop::Nodes { .. } => {
            chosen.lower(graph, &raised, &sizes).map_err(RewriteError::Invalid)?
        }
    };
    let mut report = chosen.report(graph, &result, &raised, saturation);
    if config.validate && report.stop != Stop::NotRun {
        report.validation = chosen.validate(graph, &raised, &report)?;
    }
    Ok((result, report))
}

/// The input as it was written.
struct Before {
    total: Price,
    /// Danger of each root.
    dangers: Vec<i64>,
}

impl Before {
    /// Prices of a graph that was raised and not yet saturated.
    fn of(graph: &Graph, raised: &Raised, cost: &dyn Cost) -> Before {
        let roots: Vec<Id> = graph.roots().map(|r| raised.classes[r.index()]).collect();
        let classes = Classes::new(&raised.egraph, &roots, cost);
        let terms = raised.written.iter().map(|(term, id, _)| (term.clone(), *id));
        let choice = classes.written(&raised.egraph, terms, &classes.seed(|_| 1.0));
        let danger = |&root: &usize| classes.total(&choice, &[root]).1.danger;
        let dangers = classes.roots.iter().map(danger).collect();
        Before { total: classes.total(&choice, &classes.roots).1, dangers }
    }
}

/// What extraction decided.
struct Chosen {
    before: Before,
    classes: Classes,
    written: Choice,
    choice: Choice,
    /// Roots that are copied from the input because the chosen form is more dangerous.
    verbatim: Vec<bool>,
    hints: HashMap<Id, Hint>,
}

fn choose(
    graph: &Graph,
    raised: &Raised,
    before: Before,
    cost: &dyn Cost,
    limits: &Limits,
) -> Chosen {
    let Raised { egraph, naming, classes: node_classes, written } = raised;
    let roots: Vec<Id> = graph.roots().map(|r| node_classes[r.index()]).collect();
    let classes = Classes::new(egraph, &roots, cost);
    let mut users = vec![0.0; classes.ids.len()];
    for node in graph.nodes() {
        for input in &node.inputs {
            let class = egraph.find(node_classes[input.index()]);
            if let Some(&place) = classes.places.get(&class) {
                users[place] += 1.0;
            }
        }
    }
    let seed = classes.seed(|place| users[place]);
    let terms = written.iter().map(|(term, id, _)| (term.clone(), *id));
    let written_choice = classes.written(egraph, terms, &seed);
    let moves = limits.moves.saturating_mul(graph.nodes().len());
    let price = |choice: &Choice| classes.total(choice, &classes.roots).1;
    let starts = [seed, classes.seed(|_| 1.0), written_choice.clone()];
    let ends = starts.into_iter().map(|mut start| {
        improve(&classes, &mut start, moves);
        start
    });
    let better = |a: Choice, b: Choice| if price(&b).beats(price(&a)) { b } else { a };
    let Some(choice) = ends.reduce(better) else {
        panic!("internal error: extraction has no place to start from")
    };
    let danger = |&root: &usize| classes.total(&choice, &[root]).1.danger;
    let dangers = classes.roots.iter().map(danger);
    let verbatim = dangers.zip(&before.dangers).map(|(now, before)| now > *before).collect();
    let mut hints: HashMap<Id, Hint> = HashMap::new();
    for (_, id, node) in written {
        let hint = hints.entry(egraph.find(*id)).or_default();
        if hint.at == eggrad_ir::At::Unknown {
            hint.at = graph.node(*node).at;
        }
    }
    for id in graph.ids() {
        let hint = hints.entry(egraph.find(node_classes[id.index()])).or_default();
        hint.layout.get_or_insert_with(|| naming.nodes[id.index()].clone());
    }
    Chosen { before, classes, written: written_choice, choice, verbatim, hints }
}

impl Chosen {
    /// The chosen graph at the given sizes of axes.
    fn lower(&self, graph: &Graph, raised: &Raised, sizes: &[usize]) -> Result<Graph, TypeErrors> {
        let naming = &raised.naming;
        let builder = declare(graph, naming, sizes);
        let Some(order) = self.classes.order(&self.choice) else {
            panic!("internal error: a choice of terms has a cycle")
        };
        let mut lowerer = Lowerer::new(&raised.egraph, &self.classes, sizes, &self.hints, builder);
        lowerer.run(&self.choice, &order);
        let mut copier = Copier { graph, naming, sizes, known: HashMap::new() };
        let roots: Vec<NodeId> = graph.roots().collect();
        let mut nodes = vec![];
        for (i, &root) in roots.iter().enumerate() {
            nodes.push(if self.verbatim[i] {
                copier.copy(&mut lowerer.builder, root)
            } else {
                lowerer.root(self.classes.roots[i], &naming.nodes[root.index()])
            });
        }
        finish(lowerer.builder, graph, &nodes).build()
    }

    /// Compares input and result at small sizes.
    fn validate(
        &self,
        graph: &Graph,
        raised: &Raised,
        report: &Report,
    ) -> Result<Option<Validation>, RewriteError> {
        let naming = &raised.naming;
        let sizes = small_sizes(graph, naming);
        let mut builder = declare(graph, naming, &sizes);
        let mut copier = Copier { graph, naming, sizes: &sizes, known: HashMap::new() };
        let roots = graph.roots();
        let nodes: Vec<NodeId> = roots.map(|r| copier.copy(&mut builder, r)).collect();
        let before = finish(builder, graph, &nodes).build().map_err(RewriteError::Invalid)?;
        let after = self.lower(graph, raised, &sizes).map_err(RewriteError::Invalid)?;
        let classes = smallest_index(graph, naming, &sizes);
        compare(&before, &after, classes).map_err(|difference| RewriteError::Unsound {
            output: difference.output,
            before: difference.before,
            after: difference.after,
            rules: report.rules.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    fn report(
        &self,
        graph: &Graph,
        result: &Graph,
        raised: &Raised,
        saturation: Saturation,
    ) -> Report {
        let classes = &self.classes;
        let before = self.before.total;
        let (copied, kept): (Vec<usize>, Vec<usize>) =
            (0..classes.roots.len()).partition(|&i| self.verbatim[i]);
        let places = |list: Vec<usize>| list.into_iter().map(|i| classes.roots[i]).collect();
        let (kept, copied): (Vec<usize>, Vec<usize>) = (places(kept), places(copied));
        let (used, mut after) = classes.total(&self.choice, &kept);
        let (used_again, more) = classes.total(&self.written, &copied);
        after.add(more, 1);
        let mut dangers = self.dangers(&raised.egraph, &self.choice, &used);
        dangers.extend(self.dangers(&raised.egraph, &self.written, &used_again));
        Report {
            rules: saturation.rules,
            iterations: saturation.iterations,
            e_nodes: raised.egraph.total_size(),
            e_classes: raised.egraph.number_of_classes(),
            stop: saturation.stop,
            nodes_before: graph.nodes().len(),
            nodes_after: result.nodes().len(),
            danger_before: before.danger as u32,
            danger_after: after.danger as u32,
            cost_before: before.cost,
            cost_after: after.cost,
            validation: None,
            dangers_left: dangers,
        }
    }

    fn dangers(&self, egraph: &Egraph, choice: &Choice, used: &[bool]) -> Vec<Danger> {
        let mut list = vec![];
        for (place, &id) in self.classes.ids.iter().enumerate() {
            if !used[place] {
                continue;
            }
            let term = &self.classes.candidates[place][choice[place]].term;
            let Some((_, reason)) = danger(egraph, term, id) else { continue };
            let op = match &term.head {
                Head::Unary(op) => op.name(),
                Head::Binary(op) => op.name(),
                Head::Opaque(number) => egraph.analysis.opaque[*number as usize].op.name(),
                other => panic!("internal error: {other:?} was called dangerous"),
            };
            let at = self.hints.get(&id).map(|h| h.at).unwrap_or_default();
            list.push(Danger { op: op.to_string(), reason: reason.to_string(), at });
        }
        list
    }
}

/// Gives a builder made by [`declare`] the outputs, writes and guard of `graph`, whose roots became `nodes`.
fn finish(mut builder: Builder, graph: &Graph, nodes: &[NodeId]) -> Builder {
    let mut nodes = nodes.iter().copied();
    let mut next = || match nodes.next() {
        Some(node) => node,
        None => panic!("internal error: a root was not lowered"),
    };
    for output in graph.outputs() {
        builder.output(&output.name, next());
    }
    for (i, state) in graph.states().iter().enumerate() {
        if state.write.is_some() {
            let read = builder.graph().states()[i].read;
            builder.write(read, next());
        }
    }
    if graph.guard().is_some() {
        builder.set_guard(Some(next()));
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::TableCost;
    use crate::rules::parse;
    use eggrad_ir::DType;
    use eggrad_testkit::{Config, random_graph};
    use proptest::prelude::*;

    fn outcome(text: &str, rule: &str) -> Result<(Graph, Report), RewriteError> {
        let graph: Graph = format!("graph 1\n{text}\n").parse().unwrap();
        let rules = parse("planted", &format!("# wrong\n{rule}\n")).unwrap();
        optimize_with(&graph, &TableCost, &RewriteConfig::default(), &rules)
    }

    #[test]
    fn a_wrong_rule_is_caught_in_every_compile() {
        let text = "in x: f32[4]\n%1 = exp x\n%2 = neg %1\nout a = x\nout y = %2";
        let wrong = outcome(text, "bad [real]: (neg (exp ?a)) => ?a");
        let Err(RewriteError::Unsound { output, rules, .. }) = wrong else { panic!("{wrong:?}") };
        assert_eq!((output.as_str(), rules.as_str()), ("y", "bad"));
    }

    #[test]
    fn constants_that_differ_cannot_be_made_equal() {
        let text = "%0 = const, type f32, value 2.0\n%1 = neg %0\nout y = %1";
        let wrong = outcome(text, "bad [real]: (neg ?a) => ?a");
        assert!(matches!(wrong, Err(RewriteError::Contradiction(_))), "{wrong:?}");
    }

    /// The best price over all choices without cycles; `None` when there are too many.
    fn best(classes: &Classes) -> Option<Price> {
        let n = classes.ids.len();
        let ways = |list: &Vec<crate::extract::Candidate>| list.len();
        let total = classes.candidates.iter().map(ways).try_fold(1usize, usize::checked_mul)?;
        if total > 20_000 {
            return None;
        }
        let mut choice = vec![0; n];
        let mut best: Option<Price> = None;
        for mut code in 0..total {
            for (place, list) in classes.candidates.iter().enumerate() {
                choice[place] = code % list.len();
                code /= list.len();
            }
            if classes.order(&choice).is_some() {
                let price = classes.total(&choice, &classes.roots).1;
                if best.is_none_or(|b| price.beats(b)) {
                    best = Some(price);
                }
            }
        }
        best
    }

    #[test]
    fn outputs_can_stay_as_written() {
        let text = "graph 1\nin x: f32[4, 3]\n%1 = neg x\n%2 = transpose %1, axes [1, 0]\n\
                    %3 = exp %2\n%4 = log %3\nout a = %1\nout b = %4\n";
        let graph: Graph = text.parse().unwrap();
        let mut raised = raise(&graph);
        let limits = Limits::default();
        let before = Before::of(&graph, &raised, &TableCost);
        saturate(&mut raised.egraph, &RULES, Semantics::Real, &limits, 10);
        let mut chosen = choose(&graph, &raised, before, &TableCost, &limits);
        let sizes = raised.naming.sizes.clone();
        let lowered = chosen.lower(&graph, &raised, &sizes).unwrap();
        assert!(!lowered.to_string().contains("log"), "{lowered}");
        chosen.verbatim = vec![true; 2];
        assert_eq!(chosen.lower(&graph, &raised, &sizes).unwrap().to_string(), text);
        let saturation =
            Saturation { rules: BTreeMap::new(), iterations: 0, stop: Stop::Iterations };
        let report = chosen.report(&graph, &graph, &raised, saturation);
        assert_eq!(report.danger_before, 8);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 200, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn extraction_comes_near_the_best_choice(random in random_graph(Config::new(DType::F32))) {
            let graph = &random.graph;
            let mut raised = raise(graph);
            let limits = Limits::default();
            let nodes = graph.nodes().len();
            saturate(&mut raised.egraph, &RULES, Semantics::Real, &limits, nodes);
            let before = Before { total: Price::default(), dangers: vec![0; 99] };
            let chosen = choose(graph, &raised, before, &TableCost, &limits);
            if let Some(best) = best(&chosen.classes) {
                let price = chosen.classes.total(&chosen.choice, &chosen.classes.roots).1;
                prop_assert_eq!(best.danger, price.danger, "in\n{}", graph);
                prop_assert!(price.cost <= 1.05 * best.cost, "{best:?}, not {price:?} in\n{graph}");
            }
        }
    }
}
