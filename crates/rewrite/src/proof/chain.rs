//! Follows the log in a [`Closure`]: each step links the very terms that it read to those that it makes of them, and
//! depends on the pairs of terms that had to be equal for it.

use crate::language::Term;
use crate::lower::Hint;
use crate::proof::closure::{Closure, Link};
use crate::proof::explanation::OutputExplanation;
use crate::proof::log::{self, Form, Log, Pass, Piece};
use crate::raise::Raised;
use egg::Id;
use eggrad_ir::{At, Graph};
use std::collections::HashMap;

/// The user's lines that a step names at most.
const MOST_LINES: usize = 4;
/// Pairs of terms that must be equal.
pub(super) type Pairs = Vec<(usize, usize)>;

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
pub(super) struct Resolved {
    /// What was read in place of each class.
    pub(super) bound: HashMap<Id, usize>,
    pub(super) pairs: Pairs,
    /// Edges that were there.
    pub(super) limit: usize,
    /// Terms that were read, and what the form that was read makes of each with the others.
    pub(super) read: Pairs,
    /// What is shown as the left side, the left side, and the right side.
    pub(super) sides: [usize; 3],
    pub(super) lines: Vec<At>,
}

/// The log in terms, and the terms it made equal.
pub(crate) struct Chain<'a> {
    pub(super) goal: Goal<'a>,
    pub(super) log: &'a Log,
    pub(super) closure: Closure,
    /// For each term that the e-graph was given, the one that stands for it here.
    own: Vec<usize>,
    /// For each term the step that first made it, if any, and the user's lines.
    pub(super) origins: Vec<(Option<usize>, Vec<At>)>,
    pub(super) steps: Vec<Resolved>,
    /// The roots as written.
    pub(super) roots: Vec<usize>,
    /// For each choice, its term, of the terms of other choices.
    pub(super) chosen: Vec<usize>,
    /// The place of each chosen class.
    pub(super) places: HashMap<Id, usize>,
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
    pub(super) fn stands_for(&self, class: Id, into: &Resolved) -> usize {
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
    pub(super) fn hold(&self, class: Id, term: &Term, into: &mut Resolved) {
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
                    // What was read of its class holds of this term, as it is equal to another one of the class.
                    let read = |id: &Id| self.log.steps[number].read.iter().any(|r| r.0 == *id);
                    if let Some(id) = id.filter(read)
                        && made.len() + 1 < form.0.len()
                        && usize::from(id) < self.own.len()
                    {
                        into.pairs.push((own, self.stands_for(id, into)));
                    }
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
}
