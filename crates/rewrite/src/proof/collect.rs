//! Collects the steps that the outputs need: those on the way between an output as written and as chosen, with those
//! that they depend on.

use crate::language::Term;
use crate::lower::Hint;
use crate::proof::chain::{Chain, Pairs, Resolved};
use crate::proof::closure::{Closure, Edge, Link};
use crate::proof::explanation::{Chosen, Explanation, Step, WIDTH};
use crate::proof::log::Origin;
use crate::proof::replay::Input;
use crate::proof::terms::{TermId, Terms};
use egg::Id;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How often ways are looked for.
const LOOKS: usize = 3;

/// Steps up to which each is tried to be left out.
const MOST_TRIED: usize = 64;

/// What a step depends on besides.
struct More {
    pairs: Pairs,
    steps: Vec<usize>,
}

impl Chain<'_> {
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
        let chosen = Some(Chosen { forms, roots });
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
