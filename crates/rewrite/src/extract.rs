//! Chooses one term per class, for all roots at once: least danger first, then least time.
//!
//! A seed (every class by itself, a shared operand paid for by all who read it) is compared with the graph as it was
//! written, and improved by changing one class at a time while the whole graph gets better. Choices are free of
//! cycles throughout.

use crate::cost::{Cost, nanoseconds};
use crate::danger::{Weight, danger, overflows};
use crate::facts::{Data, Egraph};
use crate::language::Term;
use egg::Id;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Nanoseconds added to every node, so that of two graphs that take as long the smaller one is chosen.
const PER_NODE: f64 = 0.01;

/// Danger, then sums that can overflow, then nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Price {
    pub(crate) danger: i64,
    pub(crate) overflows: i64,
    pub(crate) cost: f64,
}

impl Price {
    /// Danger in nanoseconds where one number is needed: more than any graph takes.
    fn score(self) -> f64 {
        self.danger as f64 * 1e12 + self.overflows as f64 * 1e9 + self.cost
    }

    pub(crate) fn add(&mut self, other: Price, sign: i64) {
        self.danger += sign * other.danger;
        self.overflows += sign * other.overflows;
        self.cost += sign as f64 * other.cost;
    }

    /// Whether it is better than `other` by more than rounding.
    pub(crate) fn beats(self, other: Price) -> bool {
        let margin = 1e-9 * (self.cost.abs() + other.cost.abs());
        let first = (self.danger, self.overflows).cmp(&(other.danger, other.overflows));
        first.is_lt() || (first.is_eq() && self.cost < other.cost - margin)
    }
}

/// A way to compute a class.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) term: Term,
    pub(crate) price: Price,
    /// Places of the tensor operands, each once, in the order of the term.
    pub(crate) children: Vec<usize>,
}

/// The part of the e-graph that the roots reach, by places in a list.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    pub(crate) ids: Vec<Id>,
    pub(crate) places: HashMap<Id, usize>,
    pub(crate) candidates: Vec<Vec<Candidate>>,
    pub(crate) roots: Vec<usize>,
}

/// One candidate per class.
pub(crate) type Choice = Vec<usize>;

impl Classes {
    /// Lists what `roots` reach in a rebuilt e-graph.
    pub(crate) fn new(egraph: &Egraph, roots: &[Id], cost: &dyn Cost) -> Classes {
        let mut ids = vec![];
        let mut places = HashMap::new();
        let mut place = |ids: &mut Vec<Id>, id: Id| {
            *places.entry(id).or_insert_with(|| {
                ids.push(id);
                ids.len() - 1
            })
        };
        let roots = roots.iter().map(|&r| place(&mut ids, egraph.find(r))).collect();
        let mut candidates: Vec<Vec<Candidate>> = vec![];
        while candidates.len() < ids.len() {
            let me = ids[candidates.len()];
            let mut list = vec![];
            for term in &egraph[me].nodes {
                let operands: Vec<Id> = term.args.iter().map(|&a| egraph.find(a)).collect();
                if operands.contains(&me) {
                    continue;
                }
                let tensors =
                    operands.into_iter().filter(|&a| matches!(egraph[a].data, Data::Tensor(_)));
                let mut children: Vec<usize> = vec![];
                for child in tensors.map(|a| place(&mut ids, a)) {
                    if !children.contains(&child) {
                        children.push(child);
                    }
                }
                let feared = cost.fears_danger();
                let danger = danger(egraph, term, me).filter(|_| feared);
                let price = Price {
                    danger: danger.map_or(0, |d| i64::from(d.0 as Weight)),
                    overflows: i64::from(feared && overflows(egraph, term)),
                    cost: nanoseconds(egraph, cost, term, me) + PER_NODE,
                };
                list.push(Candidate { term: term.clone(), price, children });
            }
            candidates.push(list);
        }
        Classes { ids, places, candidates, roots }
    }

    /// The graph as written, completed by `other` where it has no term.
    pub(crate) fn written(
        &self,
        egraph: &Egraph,
        written: impl Iterator<Item = (Term, Id)>,
        other: &Choice,
    ) -> Choice {
        let mut choice = other.clone();
        let mut known = vec![false; self.ids.len()];
        for (term, id) in written {
            let Some(&place) = self.places.get(&egraph.find(id)) else { continue };
            if std::mem::replace(&mut known[place], true) {
                continue;
            }
            let mut term = term;
            term.args.iter_mut().for_each(|a| *a = egraph.find(*a));
            match self.candidates[place].iter().position(|c| c.term == term) {
                Some(i) => choice[place] = i,
                // The term reads its own class (`x + 0`): a later one does not.
                None => known[place] = false,
            }
        }
        choice
    }

    /// Every class by itself: the cheapest term when the price of an operand is shared by `users` of it.
    pub(crate) fn seed(&self, users: impl Fn(usize) -> f64) -> Choice {
        let n = self.ids.len();
        let mut readers: Vec<Vec<(usize, usize)>> = vec![vec![]; n];
        let mut waiting: Vec<Vec<usize>> = vec![];
        let mut heap = BinaryHeap::new();
        for (place, list) in self.candidates.iter().enumerate() {
            waiting.push(list.iter().map(|c| c.children.len()).collect());
            for (i, candidate) in list.iter().enumerate() {
                candidate.children.iter().for_each(|&c| readers[c].push((place, i)));
                if candidate.children.is_empty() {
                    heap.push(Reverse((Key(candidate.price.score()), place, i)));
                }
            }
        }
        let mut best: Vec<Option<f64>> = vec![None; n];
        let mut choice = vec![usize::MAX; n];
        while let Some(Reverse((Key(score), place, i))) = heap.pop() {
            if best[place].is_some() {
                continue;
            }
            best[place] = Some(score);
            choice[place] = i;
            for &(reader, j) in &readers[place] {
                waiting[reader][j] -= 1;
                if waiting[reader][j] > 0 || best[reader].is_some() {
                    continue;
                }
                let candidate = &self.candidates[reader][j];
                let (mut sum, mut most) = (0.0, 0.0f64);
                for &child in &candidate.children {
                    let score = best[child].unwrap_or(f64::INFINITY);
                    sum += score / users(child).max(1.0);
                    most = most.max(score);
                }
                let score = candidate.price.score() + sum.max(most);
                heap.push(Reverse((Key(score), reader, j)));
            }
        }
        choice
    }

    /// Which classes a choice uses, and its price. Time is paid for once, danger by every reader: what overflows is no
    /// safer for another value because it is computed already.
    pub(crate) fn total(&self, choice: &Choice, roots: &[usize]) -> (Vec<bool>, Price) {
        let mut used = vec![false; self.ids.len()];
        let mut price = Price::default();
        let mut stack: Vec<usize> = roots.to_vec();
        while let Some(place) = stack.pop() {
            let candidate = &self.candidates[place][choice[place]];
            if std::mem::replace(&mut used[place], true) {
                price.danger += candidate.price.danger;
                continue;
            }
            price.add(candidate.price, 1);
            stack.extend(&candidate.children);
        }
        (used, price)
    }

    /// The danger of each root. Only classes that are or read dangerous ones are met.
    pub(crate) fn dangers(&self, choice: &Choice) -> Vec<i64> {
        let order = self.order(choice);
        let mut risky = vec![order.is_none(); self.ids.len()];
        for place in order.unwrap_or_default() {
            let candidate = &self.candidates[place][choice[place]];
            let own = candidate.price.danger != 0;
            risky[place] = own || candidate.children.iter().any(|&c| risky[c]);
        }
        let mut met = vec![usize::MAX; self.ids.len()];
        let danger = |(number, &root): (usize, &usize)| {
            let mut sum = 0;
            let mut stack = vec![root];
            while let Some(place) = stack.pop() {
                if !risky[place] {
                    continue;
                }
                // As in the whole price, by every reader.
                let candidate = &self.candidates[place][choice[place]];
                sum += candidate.price.danger;
                if std::mem::replace(&mut met[place], number) != number {
                    stack.extend(&candidate.children);
                }
            }
            sum
        };
        self.roots.iter().enumerate().map(danger).collect()
    }

    /// Used classes, operands first; `None` when the choice has a cycle.
    pub(crate) fn order(&self, choice: &Choice) -> Option<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.ids.len()];
        let mut order = vec![];
        let mut stack: Vec<(usize, bool)> = vec![];
        for &root in &self.roots {
            stack.push((root, false));
            while let Some((place, leaving)) = stack.pop() {
                if leaving {
                    marks[place] = Mark::Done;
                    order.push(place);
                    continue;
                }
                match marks[place] {
                    Mark::Done => continue,
                    Mark::Open => return None,
                    Mark::New => {}
                }
                marks[place] = Mark::Open;
                stack.push((place, true));
                for arg in self.candidates[place][choice[place]].children.iter().rev() {
                    match marks[*arg] {
                        Mark::New => stack.push((*arg, false)),
                        Mark::Open => return None,
                        Mark::Done => {}
                    }
                }
            }
        }
        Some(order)
    }
}

/// A float that can be ordered.
#[derive(Clone, Copy, PartialEq)]
struct Key(f64);

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
