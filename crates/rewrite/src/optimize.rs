//! The whole way: raise, saturate, extract, lower, validate.

use crate::choose::{Before, choose};
use crate::cost::Cost;
use crate::domains::{Domains, applies_functions};
use crate::proof::chain::Chain;
use crate::proof::explanation::Explanation;
use crate::proof::replay::{Input, Refusal, replay};
use crate::raise::{Raising, raise_as};
use crate::report::{Report, Stop};
use crate::rule_set::RuleSet;
use crate::rules::RuleClass;
use crate::saturate::{Saturation, saturate};
use eggrad_ir::{Graph, TypeErrors, map_functions};
use std::collections::BTreeMap;
use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteConfig {
    /// What must be kept.
    pub semantics: Semantics,
    /// What may be done.
    pub rules: RuleSet,
    /// When to stop.
    pub limits: Limits,
    /// Whether to compare the result with the input on random data.
    pub validate: bool,
}

impl Default for RewriteConfig {
    fn default() -> RewriteConfig {
        RewriteConfig {
            semantics: Semantics::Real,
            rules: RuleSet::standard(),
            limits: Limits::default(),
            validate: true,
        }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RewriteError {
    /// The graph still holds a derivative.
    #[error("`grad` must be resolved by differentiation before rewriting")]
    Grad,
    /// Two values that the rules made equal cannot be: a rule is wrong.
    #[error("{}", contradiction(.what, .added))]
    Contradiction {
        /// What is known of the two values.
        what: String,
        /// Names of the rules in use that do not ship.
        added: Vec<String>,
    },
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
    /// The steps of an explanation do not prove what they should.
    #[error("internal error: {0}")]
    Unexplained(Refusal),
    /// The result breaks a promise of every graph.
    #[error("internal error: rewriting made an invalid graph: {0}")]
    Invalid(TypeErrors),
}

/// Whose fault it is when rules contradict each other: those that ship are ours.
fn contradiction(what: &str, added: &[String]) -> String {
    let said = format!("rules made different values equal: {what}");
    match added.is_empty() {
        true => format!("internal error: {said}"),
        false => format!("{said}; leave out those of your own: {}", added.join(", ")),
    }
}

/// Makes `graph` stabler and cheaper, as estimated by `cost`.
///
/// The result has the inputs, states, outputs and guard of the input, in order, by name and type; it is equal over the
/// reals on the proven domain, and no output is more dangerous than it was. Equal graphs have equal results, to the
/// letter of the text form. With [`Semantics::Strict`] nothing changes.
///
/// The graph of every function that `graph` applies is optimised in the same way, once and by itself; functions' own
/// derivatives stay as they are.
///
/// # Errors
/// A `grad` that was not resolved; every other error is a bug of this crate, or of rules that were added.
pub fn optimize(
    graph: &Graph,
    cost: &dyn Cost,
    config: &RewriteConfig,
) -> Result<(Graph, Report), RewriteError> {
    let (result, report, _) = optimize_with(graph, cost, config, false)?;
    Ok((result, report))
}

/// As [`optimize`], with the steps from each output as written to the form that was chosen.
///
/// The steps were followed once more by a checker that knows only the rules, as [`crate::replay`] does. Every union is
/// kept until then: this takes several times as long.
///
/// # Errors
/// As [`optimize`], and [`RewriteError::Unexplained`], which is a bug of this crate.
pub fn explain(
    graph: &Graph,
    cost: &dyn Cost,
    config: &RewriteConfig,
) -> Result<(Graph, Report, Explanation), RewriteError> {
    let (result, report, explanation) = optimize_with(graph, cost, config, true)?;
    let Some(explanation) = explanation else {
        panic!("internal error: an explanation was asked for, and there is none")
    };
    replay(graph, &result, &explanation, &config.rules).map_err(RewriteError::Unexplained)?;
    Ok((result, report, explanation))
}

fn optimize_with(
    graph: &Graph,
    cost: &dyn Cost,
    config: &RewriteConfig,
    explained: bool,
) -> Result<(Graph, Report, Option<Explanation>), RewriteError> {
    if graph.has_grad() {
        return Err(RewriteError::Grad);
    }
    let job = Job { cost, config, explained };
    if !applies_functions(graph) {
        return job.run(MAIN, graph, &[], &Arc::default());
    }
    let mut domains = Arc::new(Domains::of(graph));
    let (mut inner_reports, mut functions) = (vec![], vec![]);
    let mapped = map_functions(graph, &mut |function, inner| {
        let (result, report, explanation) =
            job.run(function.name(), &inner, domains.given(function), &domains)?;
        functions.extend(explanation);
        let times = (report.cost_before, report.cost_after);
        Arc::make_mut(&mut domains).became(function, &result, times);
        inner_reports.push(report);
        Ok(result)
    })?;
    let (result, mut report, explanation) = job.run(MAIN, &mapped, &[], &domains)?;
    let explanation = explanation.map(|whole| Explanation { functions, ..whole });
    inner_reports.into_iter().for_each(|inner| report.include(inner));
    match config.semantics {
        Semantics::Strict => Ok((graph.clone(), report, explanation)),
        Semantics::Real | Semantics::Fast => Ok((result, report, explanation)),
    }
}

/// What reports call the whole graph, as opposed to its sub-graphs.
const MAIN: &str = "main";

/// How graphs are optimised, the whole one and those it applies.
struct Job<'a> {
    cost: &'a dyn Cost,
    config: &'a RewriteConfig,
    explained: bool,
}

impl Job<'_> {
    /// Optimises one graph, and what it applies not.
    fn run(
        &self,
        name: &str,
        graph: &Graph,
        given: &[bool],
        domains: &Arc<Domains>,
    ) -> Result<(Graph, Report, Option<Explanation>), RewriteError> {
        let Job { cost, config, explained } = *self;
        let raising = if explained { Raising::Logged } else { Raising::Plain };
        let mut raised = raise_as(graph, given, domains, raising);
        // Over nothing, sums, sizes and largest elements have values that no rule reckons with.
        let hollow = raised.naming.sizes.contains(&0);
        let before = Before::of(graph, &raised, cost);
        let saturation = if config.semantics == Semantics::Strict || hollow {
            Saturation { rules: BTreeMap::new(), iterations: 0, stop: Stop::NotRun }
        } else {
            let nodes = graph.nodes().len();
            let rules = config.rules.rules();
            saturate(&mut raised.egraph, rules, config.semantics, &config.limits, nodes)
        };
        if let Some(conflict) = &raised.egraph.analysis.conflict {
            let (what, added) = (conflict.clone(), config.rules.added());
            return Err(RewriteError::Contradiction { what, added });
        }
        let log = raised.egraph.analysis.proof.take();
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
            report.validation =
                chosen.validate(graph, &raised, &report).map_err(|e| within(name, e))?;
            if report.validation.is_none() {
                report.not_compared.push(name.to_string());
            }
        }
        let explanation = log.map(|log| {
            let written = raise_as(graph, given, domains, Raising::Unfolded);
            let goal = chosen.goal(graph, &raised, &written);
            if report.stop == Stop::NotRun {
                return Explanation::unchanged(name, graph, goal.outputs);
            }
            let input = Input { graph, given, domains, rules: config.rules.rules() };
            Chain::new(goal, &log).explain(name, input)
        });
        Ok((result, report, explanation))
    }
}

/// Says in which sub-graph an error arose.
fn within(name: &str, error: RewriteError) -> RewriteError {
    match error {
        RewriteError::Unsound { output, before, after, rules } if name != MAIN => {
            RewriteError::Unsound { output: format!("{name}.{output}"), before, after, rules }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::TableCost;
    use crate::extract::{Classes, Price};
    use crate::facts::Data;
    use crate::raise::raise;
    use eggrad_ir::{At, Builder, DType, Function, Op, Scan, TensorType};
    use eggrad_testkit::{Config, random_graph};
    use proptest::prelude::*;

    /// One rule, which nobody has checked.
    fn planted(rule: &str) -> RewriteConfig {
        let rules = RuleSet::unchecked(&format!("# wrong\n{rule}\n"));
        RewriteConfig { rules, ..RewriteConfig::default() }
    }

    fn outcome(text: &str, rule: &str) -> Result<(Graph, Report), RewriteError> {
        let graph: Graph = format!("graph 2\n{text}\n").parse().unwrap();
        optimize(&graph, &TableCost, &planted(rule))
    }

    #[test]
    fn a_wrong_rule_is_caught_in_every_compile() {
        let text = "in x: f32[4]\n%1 = exp(x)\n%2 = neg(%1)\nout a = x\nout y = %2";
        let wrong = outcome(text, "bad [real]: (neg (exp ?a)) => ?a");
        let Err(RewriteError::Unsound { output, rules, .. }) = wrong else { panic!("{wrong:?}") };
        assert_eq!((output.as_str(), rules.as_str()), ("y", "bad"));
    }

    #[test]
    fn constants_that_differ_cannot_be_made_equal() {
        let text = "%0 = const(type=f32, value=2.0)\n%1 = neg(%0)\nout y = %1";
        let wrong = outcome(text, "bad [real]: (neg ?a) => ?a");
        let Err(error @ RewriteError::Contradiction { .. }) = wrong else { panic!("{wrong:?}") };
        assert!(error.to_string().ends_with("; leave out those of your own: bad"), "{error}");
    }

    #[test]
    fn a_wrong_rule_is_caught_inside_bodies() {
        let inner = "graph 2\nin x: f32[4]\n%1 = exp(x)\n%2 = neg(%1)\nout a = x\nout y = %2";
        let step = Arc::new(Function::new("step", inner.parse().unwrap()).unwrap());
        let mut builder = Builder::new();
        let ty = TensorType::new(DType::F32, [4]);
        let x = builder.declare_input("x", ty, None, At::Unknown);
        let scan = Scan { body: step, carries: 1, xs: 0, length: 3, reverse: false };
        let results = builder.application(&Op::Scan { scan, result: 0 }, &[x]);
        builder.output("z", results[1]);
        let graph = builder.build().unwrap();
        let config = planted("bad [real]: (neg (exp ?a)) => ?a");
        let wrong = optimize(&graph, &TableCost, &config);
        let Err(RewriteError::Unsound { output, .. }) = wrong else { panic!("{wrong:?}") };
        assert_eq!(output, "step.y");
    }

    #[test]
    fn nothing_is_kept_unless_an_explanation_is_asked_for() {
        let graph: Graph = "graph 2\nin x: f32[4]\nout y = log(exp(x)) * 2 * 3".parse().unwrap();
        let kept = |raising: Raising| {
            let mut raised = raise_as(&graph, &[], &Arc::default(), raising);
            saturate(
                &mut raised.egraph,
                RuleSet::standard().rules(),
                Semantics::Real,
                &Limits::default(),
                10,
            );
            let origin = |data: &Data| matches!(data, Data::Tensor(f) if f.origin != 0);
            let known = raised.egraph.classes().any(|c| origin(&c.data));
            (raised.egraph.analysis.proof.map(|log| log.steps.is_empty()), known)
        };
        assert_eq!(kept(Raising::Plain), (None, false));
        assert_eq!(kept(Raising::Logged), (Some(false), true));
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
        let text =
            "graph 2\nin x: f32[4, 3]\n%1 = -x\nout a = %1\nout b = log(exp(transpose(%1)))\n";
        let graph: Graph = text.parse().unwrap();
        let mut raised = raise(&graph, &[], &Arc::default());
        let limits = Limits::default();
        let before = Before::of(&graph, &raised, &TableCost);
        saturate(&mut raised.egraph, RuleSet::standard().rules(), Semantics::Real, &limits, 10);
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
        fn nothing_is_missed_by_searching_near_changes(random in random_graph(Config::new(DType::F32))) {
            let mut raised = raise(&random.graph, &[], &Arc::default());
            let limits = Limits::default();
            let nodes = random.graph.nodes().len();
            let first = saturate(&mut raised.egraph, RuleSet::standard().rules(), Semantics::Real, &limits, nodes);
            if first.stop == Stop::Saturated {
                let again = saturate(&mut raised.egraph, RuleSet::standard().rules(), Semantics::Real, &limits, nodes);
                prop_assert_eq!((again.iterations, again.rules.len()), (1, 0), "{}", random.graph);
            }
        }

        #[test]
        fn extraction_comes_near_the_best_choice(random in random_graph(Config::new(DType::F32))) {
            let graph = &random.graph;
            let mut raised = raise(graph, &[], &Arc::default());
            let limits = Limits::default();
            let nodes = graph.nodes().len();
            saturate(&mut raised.egraph, RuleSet::standard().rules(), Semantics::Real, &limits, nodes);
            let before =
                Before { total: Price::default(), dangers: vec![0; 99], costs: vec![] };
            let chosen = choose(graph, &raised, before, &TableCost, &limits);
            if let Some(best) = best(&chosen.classes) {
                let price = chosen.classes.total(&chosen.choice, &chosen.classes.roots).1;
                prop_assert_eq!(best.danger, price.danger, "in\n{}", graph);
                prop_assert!(price.cost <= 1.05 * best.cost, "{best:?}, not {price:?} in\n{graph}");
            }
        }
    }
}
