//! From a saturated e-graph to the graph it was raised for: extraction, lowering, comparison, report.

use crate::copy::{Copier, declare};
use crate::cost::Cost;
use crate::danger::danger;
use crate::extract::{Candidate, Choice, Classes, Price};
use crate::facts::Egraph;
use crate::language::{Head, Term};
use crate::lower::{Hint, Lowerer};
use crate::optimize::{Limits, RewriteError};
use crate::proof::chain::{ChosenTerm, Goal};
use crate::proof::explanation::{OutputExplanation, OutputKind};
use crate::proof::log;
use crate::raise::Raised;
use crate::report::{Danger, Report, Validation};
use crate::saturate::Saturation;
use crate::search::{improve, improve_twice};
use crate::small::{small_sizes, smallest_index};
use crate::validate::compare;
use egg::Id;
use eggrad_ir::{At, Builder, Graph, Layer, NodeId, TypeErrors};
use std::collections::{BTreeMap, HashMap};

/// The input as it was written.
pub(crate) struct Before {
    pub(crate) total: Price,
    /// Danger of each root.
    pub(crate) dangers: Vec<i64>,
    /// Nanoseconds of each root; empty unless they are to be explained.
    pub(crate) costs: Vec<f64>,
}

impl Before {
    /// Prices of a graph that was raised and not yet saturated.
    pub(crate) fn of(graph: &Graph, raised: &Raised, cost: &dyn Cost) -> Before {
        let roots: Vec<Id> = graph.roots().map(|r| raised.classes[r.index()]).collect();
        let classes = Classes::new(&raised.egraph, &roots, cost);
        let terms = raised.written.iter().map(|(term, id, _)| (term.clone(), *id));
        let choice = classes.written(&raised.egraph, terms, &classes.seed(|_| 1.0));
        let dangers = classes.dangers(&choice);
        let costs = if log::is_kept(&raised.egraph) { costs(&classes, &choice) } else { vec![] };
        Before { total: classes.total(&choice, &classes.roots).1, dangers, costs }
    }
}

/// Nanoseconds of each root and all that it needs.
fn costs(classes: &Classes, choice: &Choice) -> Vec<f64> {
    classes.roots.iter().map(|&root| classes.total(choice, &[root]).1.cost).collect()
}

/// What extraction decided.
pub(crate) struct Chosen {
    before: Before,
    pub(crate) classes: Classes,
    written: Choice,
    pub(crate) choice: Choice,
    /// Roots that are copied from the input because the chosen form is more dangerous.
    pub(crate) verbatim: Vec<bool>,
    hints: HashMap<Id, Hint>,
}

/// Chooses a form for every root of `graph`.
pub(crate) fn choose(
    graph: &Graph,
    raised: &Raised,
    before: Before,
    cost: &dyn Cost,
    limits: &Limits,
) -> Chosen {
    let Raised { egraph, naming, classes: node_classes, written, .. } = raised;
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
    let Some(mut choice) = ends.reduce(better) else {
        panic!("internal error: extraction has no place to start from")
    };
    improve_twice(&classes, &mut choice, moves);
    // Facts learnt while saturating judge the input too: they can show a danger that nothing told of before.
    let mut before = before;
    before.total.danger = before.total.danger.max(price(&written_choice).danger);
    for (danger, written) in before.dangers.iter_mut().zip(classes.dangers(&written_choice)) {
        *danger = (*danger).max(written);
    }
    let chosen = classes.dangers(&choice).into_iter();
    let mut verbatim: Vec<bool> =
        chosen.zip(&before.dangers).map(|(now, before)| now > *before).collect();
    // Forms of both kinds share less: together they may be more dangerous than either alone.
    let among = |copied: bool| -> Vec<usize> {
        let roots = classes.roots.iter().zip(&verbatim);
        roots.filter(|(_, v)| **v == copied).map(|(root, _)| *root).collect()
    };
    let mut together = classes.total(&choice, &among(false)).1;
    together.add(classes.total(&written_choice, &among(true)).1, 1);
    if together.danger > before.total.danger {
        verbatim.fill(true);
    }
    let mut hints: HashMap<Id, Hint> = HashMap::new();
    for (_, id, node) in written {
        let hint = hints.entry(egraph.find(*id)).or_default();
        if hint.at == At::Unknown {
            hint.at = graph.node(*node).at;
        }
        if hint.layer == Layer::default() {
            hint.layer = graph.node(*node).layer;
        }
    }
    for id in graph.ids() {
        let hint = hints.entry(egraph.find(node_classes[id.index()])).or_default();
        hint.layout.get_or_insert_with(|| naming.nodes[id.index()].clone());
    }
    Chosen { before, classes, written: written_choice, choice, verbatim, hints }
}

impl Chosen {
    /// What an explanation has to lead to.
    pub(crate) fn goal<'a>(
        &self,
        graph: &'a Graph,
        raised: &'a Raised,
        written: &'a Raised,
    ) -> Goal<'a> {
        let classes = &self.classes;
        let kept: Vec<usize> = (0..classes.roots.len()).filter(|&i| !self.verbatim[i]).collect();
        let places: Vec<usize> = kept.iter().map(|&i| classes.roots[i]).collect();
        let used = classes.total(&self.choice, &places).0;
        let Some(order) = classes.order(&self.choice) else {
            panic!("internal error: a choice of terms has a cycle")
        };
        let choice = |place: usize| {
            let class = classes.ids[place];
            let term = classes.candidates[place][self.choice[place]].term.clone();
            let canonical = term.args.iter().map(|&a| raised.egraph.find(a)).collect();
            let term = Term { head: term.head, args: canonical };
            ChosenTerm { class, term, hint: self.hints.get(&class).cloned().unwrap_or_default() }
        };
        let choices = order.into_iter().filter(|&p| used[p]).map(choice).collect();
        let root = |i: usize| (!self.verbatim[i]).then(|| classes.ids[classes.roots[i]]);
        let roots = (0..classes.roots.len()).map(root).collect();
        Goal { graph, raised, written, choices, roots, outputs: self.outputs(graph) }
    }

    /// Name, danger and cost of each root, as written and now.
    fn outputs(&self, graph: &Graph) -> Vec<OutputExplanation> {
        let outputs = graph.outputs().iter().map(|o| (OutputKind::Output, o.name.clone()));
        let written = graph.states().iter().filter(|s| s.write.is_some());
        let written = written.map(|s| (OutputKind::Write, s.name.clone()));
        let guard = graph.guard().map(|_| (OutputKind::Guard, "guard".to_string()));
        let (dangers, costs_now) =
            (self.classes.dangers(&self.choice), costs(&self.classes, &self.choice));
        let names = outputs.chain(written).chain(guard).enumerate();
        let output = |(i, (kind, name)): (usize, (OutputKind, String))| {
            let (danger_before, cost_before) = (self.before.dangers[i], self.before.costs[i]);
            let (danger_after, cost_after) = match self.verbatim[i] {
                true => (danger_before, cost_before),
                false => (dangers[i], costs_now[i]),
            };
            OutputExplanation {
                kind,
                name,
                steps: vec![],
                rules: BTreeMap::new(),
                danger_before: danger_before as u32,
                danger_after: danger_after as u32,
                cost_before,
                cost_after,
            }
        };
        names.map(output).collect()
    }

    /// The chosen graph at the given sizes of axes.
    pub(crate) fn lower(
        &self,
        graph: &Graph,
        raised: &Raised,
        sizes: &[usize],
    ) -> Result<Graph, TypeErrors> {
        let Some(order) = self.classes.order(&self.choice) else {
            panic!("internal error: a choice of terms has a cycle")
        };
        self.lower_in(&order, graph, raised, sizes)
    }

    /// As [`Chosen::lower`], with classes in the given order.
    fn lower_in(
        &self,
        order: &[usize],
        graph: &Graph,
        raised: &Raised,
        sizes: &[usize],
    ) -> Result<Graph, TypeErrors> {
        let naming = &raised.naming;
        let builder = declare(graph, naming, sizes);
        let mut lowerer = Lowerer::new(&raised.egraph, &self.classes, sizes, &self.hints, builder);
        lowerer.run(&self.choice, order);
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
    pub(crate) fn validate(
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

    pub(crate) fn report(
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
            cost_before: before.cost + raised.egraph.analysis.domains.saved(graph),
            cost_after: after.cost,
            validation: None,
            dangers_left: dangers,
            functions: 0,
            not_compared: vec![],
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

/// The graph of forms, operands first; roots without a form are copied as written.
pub(crate) fn lower_forms(
    graph: &Graph,
    raised: &Raised,
    forms: Vec<(Id, Term, Hint)>,
    roots: &[Option<Id>],
) -> Result<Graph, TypeErrors> {
    let egraph = &raised.egraph;
    let places: HashMap<Id, usize> = forms.iter().enumerate().map(|(i, f)| (f.0, i)).collect();
    let mut hints = HashMap::new();
    let (mut ids, mut candidates) = (vec![], vec![]);
    for (class, term, hint) in forms {
        let mut children: Vec<usize> = vec![];
        for place in term.args.iter().filter_map(|&a| places.get(&egraph.find(a))) {
            if !children.contains(place) {
                children.push(*place);
            }
        }
        ids.push(class);
        candidates.push(vec![Candidate { term, price: Price::default(), children }]);
        hints.insert(class, hint);
    }
    let verbatim = roots.iter().map(Option::is_none).collect();
    let choice = vec![0; ids.len()];
    let order: Vec<usize> = (0..ids.len()).collect();
    // Nobody asks for the class of a root that is copied.
    let roots = roots.iter().map(|root| root.map_or(0, |root| places[&root])).collect();
    let classes = Classes { ids, places, candidates, roots };
    let before = Before { total: Price::default(), dangers: vec![], costs: vec![] };
    let written = vec![];
    let chosen = Chosen { before, classes, written, choice, verbatim, hints };
    chosen.lower_in(&order, graph, raised, &raised.naming.sizes)
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
