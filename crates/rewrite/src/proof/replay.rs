//! The checker of explanations: follows the steps on a fresh e-graph of the input.
//!
//! It knows the rules, how terms are made and what is known of them, and nothing of the passes that found the steps. A
//! rule must find its left side in the e-graph and its conditions fulfilled, and makes its right side itself. Every
//! other step is confirmed by values: modulo a prime where it is arithmetic ([`super::residue`]), else in `f64`
//! ([`super::evaluate`]).

use crate::build::facts;
use crate::choose::lower_forms;
use crate::domains::{Domains, applies_functions};
use crate::facts::{Data, rebuild};
use crate::language::{Kind, Term};
use crate::pattern::LeftSide;
use crate::proof::evaluate::{difference, values};
use crate::proof::explanation::{Chosen, Explanation, Step};
use crate::proof::log::Pass;
use crate::proof::residue::Residues;
use crate::proof::terms::{TermId, Terms};
use crate::raise::{Raised, Raising, raise_as};
use crate::rule_set::RuleSet;
use crate::rules::Rule;
use egg::{ENodeOrVar, Id, Subst, Var};
use eggrad_ir::{Graph, map_functions};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Why an explanation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The graph it explains: `main`, or a sub-graph by its name.
    pub graph: String,
    /// Place of the step that was refused; none where all steps hold and prove something else.
    pub step: Option<usize>,
    /// The rule or pass of the step, and what it says.
    pub says: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not explained: ", self.graph)?;
        match self.step {
            Some(step) => write!(f, "step {} (`{}`) {}", step + 1, self.says, self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Follows the steps of an explanation from `graph`, and compares what they prove with `result`.
///
/// # Errors
/// The first step that does not hold, or what is not proved: that an output as written is equal to its form in `result`.
pub fn replay(
    graph: &Graph,
    result: &Graph,
    explanation: &Explanation,
    rules: &RuleSet,
) -> Result<(), Refusal> {
    let rules = rules.rules();
    let refuse = |why: &str| refusal(&explanation.name, why);
    let mut functions = explanation.functions.iter();
    let proved = if applies_functions(graph) {
        let mut domains = Arc::new(Domains::of(graph));
        let mapped = map_functions(graph, &mut |function, inner| {
            let next = functions.next().filter(|f| f.name == function.name());
            let next = next.ok_or_else(|| refusal(function.name(), "there are no steps for it"))?;
            let given = domains.given(function);
            let result = Input { graph: &inner, given, domains: &domains, rules }.follow(next)?;
            Arc::make_mut(&mut domains).became(function, &result, (0.0, 0.0));
            Ok::<Graph, Refusal>(result)
        })?;
        Input { graph: &mapped, given: &[], domains: &domains, rules }.follow(explanation)?
    } else {
        Input { graph, given: &[], domains: &Arc::default(), rules }.follow(explanation)?
    };
    if functions.next().is_some() {
        return Err(refuse("there are steps for a sub-graph that it does not apply"));
    }
    if proved.to_string() != result.to_string() {
        return Err(refuse("the chosen forms are not those of the result"));
    }
    Ok(())
}

fn refusal(graph: &str, why: &str) -> Refusal {
    Refusal { graph: graph.to_string(), step: None, says: String::new(), why: why.to_string() }
}

/// A graph whose explanation is checked, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) given: &'a [bool],
    pub(crate) domains: &'a Arc<Domains>,
    pub(crate) rules: &'a [Rule],
}

impl<'a> Input<'a> {
    /// The graph that the chosen forms make.
    fn follow(self, explanation: &Explanation) -> Result<Graph, Refusal> {
        let refuse = |why: &str| refusal(&explanation.name, why);
        let Some(chosen) = &explanation.chosen else {
            return match explanation.steps.is_empty() {
                true => Ok(self.graph.clone()),
                false => Err(refuse("there are steps where nothing was chosen")),
            };
        };
        let Some(mut checker) = Checker::new(self, &explanation.terms) else {
            return Err(refuse("its terms are those of another graph"));
        };
        let at = |number: usize, why: String| {
            let step = &explanation.steps[number];
            let says = format!("{}: {} -> {}", step.rule, step.before, step.after);
            Refusal { graph: explanation.name.clone(), step: Some(number), says, why }
        };
        for (i, step) in explanation.steps.iter().enumerate() {
            checker.step(i, step).map_err(|why| at(i, why))?;
        }
        let wanted: Vec<TermId> = checker.waiting.iter().flat_map(|w| [w.1, w.2]).collect();
        let values = values(self.graph, &checker.raised, &explanation.terms, &wanted);
        let Some(values) = values else {
            return Err(refuse("its terms are too large to be evaluated"));
        };
        for &(step, left, right) in &checker.waiting {
            if let Some((a, b)) = difference(&values[&left], &values[&right]) {
                return Err(at(step, format!("makes {b} of {a}")));
            }
        }
        checker.finish(self.graph, chosen).map_err(|why| refuse(&why))
    }

    /// Which steps find something missing when the steps are followed without values, each as if those before had
    /// held.
    pub(crate) fn misses(self, explanation: &Explanation) -> Vec<usize> {
        let Some(mut checker) = Checker::new(self, &explanation.terms) else { return vec![] };
        let mut missed = vec![];
        for (i, step) in explanation.steps.iter().enumerate() {
            if checker.step(i, step).is_err() {
                missed.push(i);
                checker.accept(step);
            }
        }
        missed
    }

    /// Whether the steps at these places are enough, but for values.
    pub(crate) fn suffice(self, explanation: &Explanation, places: &[usize]) -> bool {
        let checker = Checker::new(self, &explanation.terms);
        let (Some(mut checker), Some(chosen)) = (checker, &explanation.chosen) else {
            return false;
        };
        let mut steps = places.iter().map(|&i| &explanation.steps[i]);
        steps.all(|step| checker.step(0, step).is_ok())
            && checker.proved(self.graph, chosen).is_ok()
    }
}

/// An e-graph of the input, and the steps that wait for values.
struct Checker<'a> {
    raised: Raised,
    terms: &'a Terms,
    rules: HashMap<&'a str, &'a Rule>,
    /// Classes of terms that are in the e-graph.
    classes: HashMap<TermId, Id>,
    waiting: Vec<(usize, TermId, TermId)>,
}

impl<'a> Checker<'a> {
    /// `None` when the terms are not those of the graph.
    fn new(input: Input<'a>, terms: &'a Terms) -> Option<Checker<'a>> {
        let Input { graph, given, domains, rules } = input;
        let mut raised = raise_as(graph, given, domains, Raising::Unfolded);
        let opaque = &mut raised.egraph.analysis.opaque;
        if !terms.opaque.starts_with(opaque) {
            return None;
        }
        opaque.clone_from(&terms.opaque);
        let rules = rules.iter().map(|r| (r.name.as_str(), r)).collect();
        let (classes, waiting) = (HashMap::new(), vec![]);
        Some(Checker { raised, terms, rules, classes, waiting })
    }

    /// The class of a term, if it is in the rebuilt e-graph.
    fn find(&mut self, term: TermId) -> Option<Id> {
        self.classes_of(term, false)
    }

    /// The class of a term, which is added if it is not there.
    fn put(&mut self, term: TermId) -> Option<Id> {
        self.classes_of(term, true)
    }

    fn classes_of(&mut self, term: TermId, add: bool) -> Option<Id> {
        if term.0 >= self.terms.len() {
            return None;
        }
        let mut stack = vec![term];
        while let Some(&here) = stack.last() {
            if self.classes.contains_key(&here) {
                stack.pop();
                continue;
            }
            let node = self.terms.node(here);
            let open = node.args.iter().copied().filter(|a| !self.classes.contains_key(a));
            let open: Vec<TermId> = open.collect();
            if !open.is_empty() {
                stack.extend(open);
                continue;
            }
            let args: Vec<Id> = node.args.iter().map(|a| self.classes[a]).collect();
            let term = Term::new(node.head.clone(), &args);
            let egraph = &mut self.raised.egraph;
            let id = match egraph.lookup(term.clone()) {
                Some(id) => id,
                None if add => egraph.add(term),
                // Leaves that say how are no values: they are there when they are needed.
                None if node.head.is_attribute() => egraph.add(term),
                None => return None,
            };
            self.classes.insert(here, id);
            stack.pop();
        }
        self.classes.get(&term).map(|&id| self.raised.egraph.find(id))
    }

    /// Checks one step and makes its sides equal.
    fn step(&mut self, number: usize, step: &Step) -> Result<(), String> {
        rebuild(&mut self.raised.egraph);
        match step.class {
            Some(_) => self.rule(step)?,
            None => self.pass(number, step)?,
        }
        match &self.raised.egraph.analysis.conflict {
            Some(conflict) => Err(format!("makes different values equal: {conflict}")),
            None => Ok(()),
        }
    }

    fn rule(&mut self, step: &Step) -> Result<(), String> {
        let rule = match self.rules.get(step.rule.as_str()) {
            Some(rule) if Some(rule.class) == step.class => *rule,
            Some(_) => return Err("has another class".into()),
            None => return Err("is no rule".into()),
        };
        let mut why = "does not find its left side";
        for side in &rule.patterns {
            let Some((class, subst)) = self.matched(side, &step.bindings) else { continue };
            // With its operands the other way round it may be found elsewhere too.
            if rule.equal.is_none() && self.find(step.left) != Some(class) {
                why = "finds its left side elsewhere";
                continue;
            }
            why = "has a condition that does not hold";
            if !rule.holds(&self.raised.egraph, class, &side.numbers, &subst) {
                continue;
            }
            let Some((left, right)) = rule.sides(&mut self.raised.egraph, class, &subst) else {
                continue;
            };
            let egraph = &mut self.raised.egraph;
            egraph.union(left, right);
            rebuild(egraph);
            let whole = egraph.find(left);
            let sides = [self.find(step.left), self.find(step.right)];
            return match sides == [Some(whole); 2] {
                true => Ok(()),
                false => Err("gives something else".into()),
            };
        }
        Err(why.to_string())
    }

    /// The class in which a left side is found for these variables, and these.
    fn matched(&mut self, side: &LeftSide, bindings: &[(String, TermId)]) -> Option<(Id, Subst)> {
        let nodes: &[ENodeOrVar<Term>] = side.pattern.ast.as_ref();
        let mut subst = Subst::default();
        let mut classes: Vec<Id> = vec![];
        for node in nodes {
            classes.push(match node {
                ENodeOrVar::Var(var) => {
                    let id = self.variable(*var, bindings)?;
                    subst.insert(*var, id);
                    id
                }
                ENodeOrVar::ENode(term) => {
                    let args: Vec<Id> =
                        term.args.iter().map(|&a| classes[usize::from(a)]).collect();
                    let kinds = term.head.takes().iter().zip(&args);
                    let fit = kinds.into_iter().all(|(kind, id)| self.is(*kind, *id));
                    let term = Term::new(term.head.clone(), &args);
                    fit.then(|| self.raised.egraph.lookup(term)).flatten()?
                }
            });
        }
        classes.last().map(|&class| (class, subst))
    }

    fn variable(&mut self, var: Var, bindings: &[(String, TermId)]) -> Option<Id> {
        let name = var.to_string();
        let &(_, term) = bindings.iter().find(|b| b.0 == name)?;
        self.find(term)
    }

    /// Whether a class is of a kind.
    fn is(&self, kind: Kind, id: Id) -> bool {
        match &self.raised.egraph[id].data {
            Data::Axes(_) => kind == Kind::Axes,
            Data::Renaming(_) => kind == Kind::Renaming,
            Data::Type(_) => kind == Kind::Type,
            Data::Tensor(_) => kind == Kind::Tensor,
        }
    }

    /// A step that is no rule: arithmetic is checked at once, the rest waits for values.
    fn pass(&mut self, number: usize, step: &Step) -> Result<(), String> {
        if !Pass::ALL.iter().any(|pass| pass.name() == step.rule) {
            return Err("is no rule".into());
        }
        // Constants are folded while the step that makes them is under way.
        let left = match step.rule == Pass::Constants.name() {
            true => self.put(step.left),
            false => self.find(step.left),
        };
        let Some(left) = left else {
            return Err("does not find its left side".into());
        };
        let Some(right) = self.put(step.right) else {
            return Err("has no right side".into());
        };
        rebuild(&mut self.raised.egraph);
        let egraph = &self.raised.egraph;
        let (Data::Tensor(a), Data::Tensor(b)) = (&egraph[left].data, &egraph[right].data) else {
            return Err("is about no values".into());
        };
        if a.dtype != b.dtype || a.axes != b.axes {
            return Err("makes values of different types equal".into());
        }
        let class = |term: TermId| self.classes.get(&term).map(|&id| egraph.find(id));
        match Residues::new(self.terms, egraph, &class).equal(step.left, step.right) {
            Some(true) => {}
            // What is read through other forms of a class is arithmetic in parts only.
            Some(false) | None => self.waiting.push((number, step.left, step.right)),
        }
        self.raised.egraph.union(left, right);
        Ok(())
    }

    /// Makes the sides of a step equal, whether it holds or not.
    fn accept(&mut self, step: &Step) {
        if let (Some(left), Some(right)) = (self.put(step.left), self.put(step.right)) {
            let egraph = &mut self.raised.egraph;
            let (a, b) = (facts(egraph, left), facts(egraph, right));
            if a.dtype == b.dtype && a.axes == b.axes {
                egraph.union(left, right);
            }
        }
    }

    /// The classes of the chosen forms of all roots, which must be equal to the roots as written.
    fn proved(&mut self, graph: &Graph, chosen: &Chosen) -> Result<Vec<Option<Id>>, String> {
        rebuild(&mut self.raised.egraph);
        if chosen.roots.len() != graph.roots().count() {
            return Err("it has other outputs".into());
        }
        let mut roots = vec![];
        for (node, form) in graph.roots().zip(&chosen.roots) {
            let written = self.raised.egraph.find(self.raised.classes[node.index()]);
            let chosen = match form {
                Some(form) => self.find(*form).filter(|&form| form == written),
                None => None,
            };
            if form.is_some() && chosen.is_none() {
                let text = graph.expression(node);
                return Err(format!("nothing makes `{text}` what was chosen for it"));
            }
            roots.push(chosen);
        }
        Ok(roots)
    }

    /// The graph of the chosen forms.
    fn finish(mut self, graph: &Graph, chosen: &Chosen) -> Result<Graph, String> {
        let roots = self.proved(graph, chosen)?;
        let mut forms = vec![];
        for (term, hint) in &chosen.forms {
            let Some(class) = self.find(*term) else {
                return Err(format!("nothing makes `{}`", self.terms.text(*term, 60)));
            };
            let args = self.terms.node(*term).args.iter().map(|a| self.classes[a]);
            let args: Vec<Id> = args.collect();
            forms.push((
                class,
                Term::new(self.terms.node(*term).head.clone(), &args),
                hint.clone(),
            ));
        }
        lower_forms(graph, &self.raised, forms, &roots).map_err(|errors| errors.to_string())
    }
}
