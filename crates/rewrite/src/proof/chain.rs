//! Collects from the log the steps that the outputs need.
//!
//! The log is followed in a [`Closure`]. Each step links the very terms that it read to those that it makes of them,
//! and depends on the pairs of terms that had to be equal for it; the edges on the way between an output as written
//! and as chosen are its steps, with those that they depend on.

use crate::language::Term;
use crate::lower::Hint;
use crate::proof::closure::{Closure, Edge, Link};
use crate::proof::explanation::{
    Chosen as ChosenForms, Explanation, OutputExplanation, Step, WIDTH,
};
use crate::proof::log::{self, Form, Log, Origin, Pass, Piece};
use crate::proof::replay::Input;
use crate::proof::terms::{TermId, Terms};
use crate::raise::Raised;
use egg::Id;
use eggrad_ir::{At, Graph};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The user's lines that a step names at most.
const MOST_LINES: usize = 4;
/// How often ways are looked for.
const LOOKS: usize = 3;

/// Steps up to which each is tried to be left out.
const MOST_TRIED: usize = 64;

/// Pairs of terms that must be equal.
type Pairs = Vec<(usize, usize)>;

/// A chosen term.
pub(crate) struct ChosenTerm {
    pub(crate) class: Id,
    pub(crate) term: Term,
    pub(crate) hint: Hint,
}

/// What is to be explained.
pub(crate) struct Goal<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) raised: &'a Raised,
    /// The graph raised once more, with constants as they were written.
    pub(crate) written: &'a Raised,
    /// Chosen terms, operands first.
    pub(crate) choices: Vec<ChosenTerm>,
    /// For each root its class; none where it is copied as written.
    pub(crate) roots: Vec<Option<Id>>,
    /// For each root, what is known without the steps.
    pub(crate) outputs: Vec<OutputExplanation>,
}

/// One step of the log, in terms of the closure.
#[derive(Default)]
struct Resolved {
    /// What was read in place of each class.
    bound: HashMap<Id, usize>,
    pairs: Pairs,
    /// Edges that were there.
    limit: usize,
    /// Terms that were read, and what the form that was read makes of each with the others.
    read: Pairs,
    /// What is shown as the left side, the left side, and the right side.
    sides: [usize; 3],
    lines: Vec<At>,
}

/// What a step depends on besides.
struct More {
    pairs: Pairs,
    steps: Vec<usize>,
}

/// The log in terms, and the terms it made equal.
pub(crate) struct Chain<'a> {
    goal: Goal<'a>,
    log: &'a Log,
    closure: Closure,
    /// For each term that the e-graph was given, the one that stands for it here.
    own: Vec<usize>,
    /// For each term the step that first made it, if any, and the user's lines.
    origins: Vec<(Option<usize>, Vec<At>)>,
    steps: Vec<Resolved>,
    /// The roots as written.
    roots: Vec<usize>,
    /// For each choice, its term, of the terms of other choices.
    chosen: Vec<usize>,
    /// The place of each chosen class.
    places: HashMap<Id, usize>,
}

impl<'a> Chain<'a> {
    /// Follows the log.
    pub(crate) fn new(goal: Goal<'a>, log: &'a Log) -> Chain<'a> {
        let places = goal.choices.iter().enumerate().map(|(i, c)| (c.class, i)).collect();
        let closure = Closure::default();
        let (own, origins, steps, roots, chosen) = (vec![], vec![], vec![], vec![], vec![]);
        let mut chain = Chain { goal, log, closure, own, origins, steps, roots, chosen, places };
        chain.written();
        for number in 0..log.steps.len() {
            chain.step(number);
        }
        chain.take(chain.goal.raised.egraph.nodes().len(), None, &[]);
        chain.choose();
        chain
    }

    /// Adds the terms as written.
    fn written(&mut self) {
        let Goal { graph, written, .. } = self.goal;
        let mut terms: Vec<usize> = vec![];
        for (id, &count) in graph.ids().zip(&written.terms) {
            let at = graph.node(id).at;
            let lines = if at == At::Unknown { vec![] } else { vec![at] };
            for term in &written.egraph.nodes()[terms.len()..count] {
                let args = term.args.iter().map(|&a| Id::from(terms[usize::from(a)])).collect();
                terms.push(self.add(Term { head: term.head.clone(), args }, None, &lines));
            }
        }
        let roots = graph.roots().map(|root| terms[usize::from(written.classes[root.index()])]);
        self.roots = roots.collect();
    }

    /// Takes over the terms that the e-graph was given before number `count`, as they are.
    fn take(&mut self, count: usize, maker: Option<usize>, lines: &[At]) {
        for i in self.own.len()..count {
            let term = &self.goal.raised.egraph.nodes()[i];
            let args = term.args.iter().map(|&a| Id::from(self.own[usize::from(a)])).collect();
            let own = self.add(Term { head: term.head.clone(), args }, maker, lines);
            self.own.push(own);
        }
    }

    fn add(&mut self, term: Term, maker: Option<usize>, lines: &[At]) -> usize {
        let own = self.closure.add(term);
        if own == self.origins.len() {
            self.origins.push((maker, lines.to_vec()));
        }
        own
    }

    /// The term that stands for a class in a step.
    fn stands_for(&self, class: Id, into: &Resolved) -> usize {
        into.bound.get(&class).copied().unwrap_or_else(|| self.own[usize::from(class)])
    }

    /// Follows one step.
    fn step(&mut self, number: usize) {
        let log = self.log;
        let step = &log.steps[number];
        let mut resolved = Resolved::default();
        // Constants are folded while another step makes them, which comes later.
        let constants = step.name == Pass::Constants.name();
        if constants {
            self.take(step.terms, self.maker_after(number), &[]);
        }
        let read = step.trigger.as_ref().unwrap_or(&step.left);
        // What was tried since the last step and came to nothing.
        let classes = read.0.iter().filter_map(|piece| match piece {
            Piece::Class(id) => Some(usize::from(*id) + 1),
            Piece::Node(..) => None,
        });
        self.take(classes.max().unwrap_or(0), Some(number), &[]);
        let shown = self.read(read, &mut resolved);
        // What is new was made by the step itself.
        let known = |id: &Id| usize::from(*id) < self.own.len();
        let reads = step.read.iter().filter(|(id, term)| known(id) && term.args.iter().all(known));
        for (class, term) in reads {
            self.hold(*class, term, &mut resolved);
        }
        let lines = self.lines(&resolved.read);
        let left = match step.trigger {
            Some(_) => self.make(&step.left, number, &mut resolved, &lines),
            None => shown,
        };
        let right = self.make(&step.right, number, &mut resolved, &lines);
        self.take(step.terms, Some(number), &lines);
        resolved.lines = lines;
        resolved.sides = [shown, left, right];
        resolved.limit = self.closure.now();
        let length = 1.0 + self.closure.length(resolved.pairs.iter().copied());
        self.steps.push(resolved);
        if left != right {
            self.closure.unite(left, right, Link::Step(number), length);
        }
    }

    /// The step during which constants were folded.
    fn maker_after(&self, number: usize) -> Option<usize> {
        let is_step = |step: &log::Step| step.name != Pass::Constants.name();
        let later = self.log.steps[number..].iter().position(is_step)?;
        let first = self.goal.raised.terms.last().is_some_and(|&n| self.own.len() < n);
        (!first).then_some(number + later)
    }

    /// Lines of the terms that were read, but for leaves.
    fn lines(&self, read: &Pairs) -> Vec<At> {
        let mut lines = vec![];
        for &(term, _) in read {
            if self.closure.term(term).args.is_empty() {
                continue;
            }
            for line in &self.origins[term].1 {
                if !lines.contains(line) && lines.len() < MOST_LINES {
                    lines.push(*line);
                }
            }
        }
        lines
    }

    /// The term that a form says, of terms that were read: equal to what was there, as its operands are.
    fn read(&mut self, form: &Form, into: &mut Resolved) -> usize {
        let found = self.stand_ins(form, into);
        let mut said: Vec<usize> = vec![];
        for (piece, &(term, read)) in form.0.iter().zip(&found) {
            said.push(match piece {
                Piece::Class(_) => term,
                Piece::Node(head, args, _) => {
                    let args = args.iter().map(|&a| Id::from(said[a])).collect();
                    let (maker, lines) = self.origins[term].clone();
                    self.add(Term { head: head.clone(), args }, maker, &lines)
                }
            });
            if let (true, Some(&said)) = (read, said.last()) {
                into.read.push((term, said));
            }
        }
        into.read.reverse();
        match said.last() {
            Some(&last) => last,
            None => panic!("internal error: a form without terms"),
        }
    }

    /// For each piece of a form, the term that stands for it, and whether it was read as that.
    ///
    /// A term whose own operands are what the form goes on with stands for the whole as it is. Classes are bound to
    /// the first term that is met in their place.
    fn stand_ins(&self, form: &Form, into: &mut Resolved) -> Vec<(usize, bool)> {
        // A first term for each piece, from operands to users.
        let mut some: Vec<usize> = vec![];
        let mut keys: Vec<Option<Term>> = vec![];
        for piece in &form.0 {
            let (found, key) = match piece {
                Piece::Class(id) => (self.stands_for(*id, into), None),
                Piece::Node(head, args, _) => {
                    let args: Vec<Id> = args.iter().map(|&a| Id::from(some[a])).collect();
                    let key = self.closure.canonical(&Term::new(head.clone(), &args));
                    let Some(&first) = self.closure.alike(&key).first() else {
                        panic!("internal error: a step reads what is not there: {form:?}")
                    };
                    (first, Some(key))
                }
            };
            some.push(found);
            keys.push(key);
        }
        // Then from users to operands, so that operands are those of their users.
        let mut found: Vec<Option<usize>> = vec![None; form.0.len()];
        for place in (0..form.0.len()).rev() {
            let Piece::Node(_, args, _) = &form.0[place] else { continue };
            let term = match (found[place], &keys[place]) {
                (Some(term), _) => term,
                (None, Some(key)) => self.best(key, args, &keys),
                (None, None) => some[place],
            };
            found[place] = Some(term);
            for (&arg, &own) in args.iter().zip(&self.closure.term(term).args) {
                let own = usize::from(own);
                let wanted = match (&form.0[arg], &keys[arg]) {
                    (Piece::Class(id), _) => *into.bound.entry(*id).or_insert(own),
                    (Piece::Node(_, inside, _), Some(key)) => match found[arg] {
                        Some(other) => other,
                        None if self.closure.canonical(self.closure.term(own)) == *key => own,
                        None => self.best(key, inside, &keys),
                    },
                    (Piece::Node(..), None) => own,
                };
                found[arg] = Some(wanted);
                if let (Piece::Class(_), true) = (&form.0[arg], own != wanted) {
                    into.pairs.push((own, wanted));
                }
            }
        }
        let whole = |(place, piece): (usize, &Piece)| match piece {
            Piece::Class(id) => (found[place].unwrap_or(self.stands_for(*id, into)), false),
            Piece::Node(..) => (found[place].unwrap_or(some[place]), true),
        };
        form.0.iter().enumerate().map(whole).collect()
    }

    /// Of the terms alike, the first with the most operands that are what the form goes on with.
    fn best(&self, key: &Term, args: &[usize], keys: &[Option<Term>]) -> usize {
        let fits = |term: usize| {
            let own = self.closure.term(term).args.iter().zip(args);
            let fit = |(&own, &arg): (&Id, &usize)| match &keys[arg] {
                Some(key) => self.closure.canonical(self.closure.term(usize::from(own))) == *key,
                None => false,
            };
            own.filter(|&p| fit(p)).count()
        };
        let mut alike = self.closure.alike(key).iter().copied();
        let Some(first) = alike.next() else {
            panic!("internal error: a step of the log reads what is not there")
        };
        let better = |best: (usize, usize), term: usize| {
            let count = fits(term);
            if count > best.1 { (term, count) } else { best }
        };
        alike.fold((first, fits(first)), better).0
    }

    /// `class` must hold `term`, whose operands are bound to what stands there.
    fn hold(&self, class: Id, term: &Term, into: &mut Resolved) {
        let here = self.stands_for(class, into);
        let args = term.args.iter().map(|&a| Id::from(self.stands_for(a, into))).collect();
        let key = self.closure.canonical(&Term { head: term.head.clone(), args });
        let known = match self.closure.canonical(self.closure.term(here)) == key {
            true => here,
            false => match self.closure.alike(&key).first() {
                Some(&known) => known,
                None => panic!("internal error: a step of the log reads what is not there"),
            },
        };
        if here != known {
            into.pairs.push((here, known));
        }
        for (&arg, &own) in term.args.iter().zip(&self.closure.term(known).args) {
            let wanted = *into.bound.entry(arg).or_insert(usize::from(own));
            if wanted != usize::from(own) {
                into.pairs.push((usize::from(own), wanted));
            }
        }
    }

    /// The term that a form makes of what was read.
    fn make(&mut self, form: &Form, number: usize, into: &mut Resolved, lines: &[At]) -> usize {
        // What the e-graph was given on the way and is no part of the form.
        let mut made: Vec<usize> = vec![];
        let mut fresh: HashMap<Id, usize> = HashMap::new();
        for piece in &form.0 {
            let own = match piece {
                Piece::Class(id) => {
                    if usize::from(*id) >= self.own.len() && !into.bound.contains_key(id) {
                        self.take(usize::from(*id) + 1, Some(number), lines);
                    }
                    self.stands_for(*id, into)
                }
                Piece::Node(head, args, id) => {
                    let args = args.iter().map(|&a| Id::from(made[a])).collect();
                    let own = self.add(Term { head: head.clone(), args }, Some(number), lines);
                    fresh.extend(id.map(|id| (id, own)));
                    own
                }
            };
            made.push(own);
            // What is new to the e-graph is what it was made as.
            while let Some(&own) = fresh.get(&Id::from(self.own.len())) {
                self.own.push(own);
            }
        }
        match made.last() {
            Some(&last) => last,
            None => panic!("internal error: a form without terms"),
        }
    }

    /// Adds the terms that were chosen.
    fn choose(&mut self) {
        for choice in &self.goal.choices {
            let arg = |arg: &Id| match self.places.get(arg) {
                Some(&place) => self.chosen[place],
                None => self.own[usize::from(*arg)],
            };
            let args = choice.term.args.iter().map(|a| Id::from(arg(a))).collect();
            let term = Term { head: choice.term.head.clone(), args };
            let own = self.closure.add(term);
            if own == self.origins.len() {
                self.origins.push((None, vec![]));
            }
            self.chosen.push(own);
        }
    }

    /// Steps of each root, ascending. `more` is what a step depends on besides.
    fn collect(&self, more: &HashMap<usize, More>) -> Vec<Vec<usize>> {
        // What one output uses costs the others next to nothing; a second look profits from the first.
        let mut used = HashSet::new();
        let mut lists = vec![];
        for _ in 0..LOOKS {
            lists.clear();
            let mut now = HashSet::new();
            for (&written, chosen) in self.roots.iter().zip(&self.goal.roots) {
                let mut pairs: Pairs = vec![];
                if let Some(root) = chosen {
                    pairs.push((written, self.chosen[self.places[root]]));
                }
                lists.push(self.steps_between(pairs, more, &mut used, &mut now));
            }
            used = now;
        }
        lists
    }

    /// The steps that make all pairs equal. Edges that were `used` are preferred; those that are used `now` become so.
    fn steps_between(
        &self,
        pairs: Pairs,
        more: &HashMap<usize, More>,
        used: &mut HashSet<usize>,
        now: &mut HashSet<usize>,
    ) -> Vec<usize> {
        let mut steps: HashSet<usize> = HashSet::new();
        let mut new: Vec<usize> = vec![];
        // Pairs, and the edges that were there when they had to be equal.
        let mut waiting: Vec<(usize, usize, usize)> =
            pairs.into_iter().map(|(a, b)| (a, b, self.closure.now())).collect();
        let mut met: HashMap<(usize, usize), usize> = HashMap::new();
        loop {
            if let Some(number) = new.pop() {
                if steps.insert(number) {
                    let limit = self.steps[number].limit;
                    let mut pairs = self.steps[number].pairs.clone();
                    if let Some(more) = more.get(&number) {
                        pairs.extend(&more.pairs);
                        new.extend(&more.steps);
                    }
                    waiting.extend(pairs.into_iter().map(|(a, b)| (a, b, limit)));
                }
                continue;
            }
            let Some((a, b, limit)) = waiting.pop() else { break };
            let pair = (a.min(b), a.max(b));
            if a == b || met.get(&pair).is_some_and(|&known| known <= limit) {
                continue;
            }
            met.insert(pair, limit);
            let Some(path) = self.closure.path(a, b, limit, used) else {
                panic!("internal error: terms that are equal have no reason for it")
            };
            for number in path {
                let Edge { a, b, link, .. } = self.closure.edge(number);
                used.insert(number);
                now.insert(number);
                match link {
                    Link::Congruence => {
                        let args = self.closure.term(a).args.iter().zip(&self.closure.term(b).args);
                        let pair = |(&x, &y): (&Id, &Id)| (usize::from(x), usize::from(y), number);
                        waiting.extend(args.map(pair));
                    }
                    Link::Step(number) => new.push(number),
                }
            }
        }
        let mut steps: Vec<usize> = steps.into_iter().collect();
        steps.sort_unstable();
        steps
    }

    /// What the facts of a step's variables came from, and the steps that first made what it reads.
    fn support(&self, number: usize) -> More {
        let bound = self.steps[number].bound.clone();
        let mut found = Resolved { bound, ..Resolved::default() };
        let mut met = HashSet::new();
        let mut waiting: Vec<(Id, u32)> = self.log.steps[number].facts.clone();
        while let Some((class, origin)) = waiting.pop() {
            if !met.insert((class, origin)) {
                continue;
            }
            match &self.log.origins[origin as usize] {
                Origin::Unknown => {}
                Origin::Both(a, b) => waiting.extend([(class, *a), (class, *b)]),
                Origin::Term(term, args) => {
                    self.hold(class, term, &mut found);
                    let nodes = self.goal.raised.egraph.nodes();
                    let tensor = |&a: &Id| !nodes[usize::from(a)].head.is_attribute();
                    let operands = term.args.iter().copied().filter(tensor);
                    waiting.extend(operands.zip(args.iter().copied()));
                }
            }
        }
        let read = &self.steps[number].read;
        let makers = read.iter().filter_map(|&(term, _)| self.origins[term].0);
        let steps = makers.filter(|&s| s < number).collect();
        found.pairs.extend(read);
        More { pairs: found.pairs, steps }
    }

    /// The explanation of `input`, under `name`.
    pub(crate) fn explain(&self, name: &str, input: Input<'_>) -> Explanation {
        let mut more: HashMap<usize, More> = HashMap::new();
        loop {
            let lists = self.collect(&more);
            let all: BTreeSet<usize> = lists.iter().flatten().copied().collect();
            let all: Vec<usize> = all.into_iter().collect();
            let explanation = self.write(name, &all, &lists);
            let missed = input.misses(&explanation).into_iter().map(|i| all[i]);
            let new: Vec<usize> = missed.filter(|s| !more.contains_key(s)).collect();
            if new.is_empty() {
                let needed = needed(&explanation, input);
                if needed.len() == all.len() {
                    return explanation;
                }
                let all: Vec<usize> = needed.into_iter().map(|i| all[i]).collect();
                let kept =
                    |list: Vec<usize>| list.into_iter().filter(|s| all.contains(s)).collect();
                let lists: Vec<Vec<usize>> = lists.into_iter().map(kept).collect();
                return self.write(name, &all, &lists);
            }
            for step in new {
                more.insert(step, self.support(step));
            }
        }
    }

    fn write(&self, name: &str, all: &[usize], lists: &[Vec<usize>]) -> Explanation {
        let opaque = &self.goal.raised.egraph.analysis.opaque;
        let mut table = Table {
            closure: &self.closure,
            known: HashMap::new(),
            written: Terms::new(self.goal.graph, opaque),
        };
        let numbers: HashMap<usize, usize> = all.iter().enumerate().map(|(i, &s)| (s, i)).collect();
        let steps: Vec<Step> = all.iter().map(|&s| self.show(s, &mut table)).collect();
        let mut outputs = self.goal.outputs.clone();
        for (output, list) in outputs.iter_mut().zip(lists) {
            output.steps = list.iter().map(|s| numbers[s]).collect();
            let mut rules: BTreeMap<String, usize> = BTreeMap::new();
            for &step in &output.steps {
                *rules.entry(steps[step].rule.clone()).or_default() += 1;
            }
            output.rules = rules;
        }
        let choices = self.goal.choices.iter().zip(&self.chosen);
        let forms = choices.map(|(choice, &term)| (table.term(term), choice.hint.clone()));
        let forms: Vec<(TermId, Hint)> = forms.collect();
        let root = |root: &Option<Id>| root.map(|r| forms[self.places[&r]].0);
        let roots = self.goal.roots.iter().map(root).collect();
        let chosen = Some(ChosenForms { forms, roots });
        let (name, functions) = (name.to_string(), vec![]);
        Explanation { name, outputs, steps, functions, terms: table.written, chosen }
    }

    /// A step as data.
    fn show(&self, number: usize, table: &mut Table<'_>) -> Step {
        let (logged, resolved) = (&self.log.steps[number], &self.steps[number]);
        let [shown, left, right] = resolved.sides.map(|term| table.term(term));
        let binding = |(var, id): &(egg::Var, Id)| {
            (var.to_string(), table.term(self.stands_for(*id, resolved)))
        };
        let bindings = logged.bindings.iter().map(binding).collect();
        let text = |term: TermId| table.written.text(term, WIDTH);
        let before = match shown == left {
            true => text(left),
            false => format!("{} for {}", text(left), text(shown)),
        };
        Step {
            rule: logged.name.clone(),
            class: logged.class,
            bindings,
            left,
            right,
            at: resolved.lines.clone(),
            before,
            after: text(right),
        }
    }
}

/// Places of steps none of which can be left out, where there are not too many to try that.
fn needed(explanation: &Explanation, input: Input<'_>) -> Vec<usize> {
    let mut places: Vec<usize> = (0..explanation.steps.len()).collect();
    if places.len() > MOST_TRIED {
        return places;
    }
    // Later steps depend on earlier ones.
    for step in (0..explanation.steps.len()).rev() {
        let others: Vec<usize> = places.iter().copied().filter(|&p| p != step).collect();
        if input.suffice(explanation, &others) {
            places = others;
        }
    }
    places
}

/// Writes terms down as terms of an explanation.
struct Table<'a> {
    closure: &'a Closure,
    known: HashMap<usize, TermId>,
    written: Terms,
}

impl Table<'_> {
    fn term(&mut self, term: usize) -> TermId {
        let mut stack = vec![term];
        while let Some(&here) = stack.last() {
            if self.known.contains_key(&here) {
                stack.pop();
                continue;
            }
            let Term { head, args } = self.closure.term(here);
            let open = args.iter().map(|&a| usize::from(a)).filter(|a| !self.known.contains_key(a));
            let open: Vec<usize> = open.collect();
            if !open.is_empty() {
                stack.extend(open);
                continue;
            }
            let args = args.iter().map(|&a| self.known[&usize::from(a)]).collect();
            let id = self.written.add(head.clone(), args);
            self.known.insert(here, id);
            stack.pop();
        }
        self.known[&term]
    }
}
