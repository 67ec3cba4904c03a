//! Congruence closure that can say why two terms are equal.
//!
//! Terms are added, and terms made equal, in the order of the log. Every reason for two terms to be equal is an edge
//! between them, also when they were equal already; an edge depends on earlier edges alone. A way from term to term is
//! looked for among the edges that were there at the time, the shortest first. The edges that joined two classes form
//! trees in which there is always a way: Nieuwenhuis and Oliveras, "Proof-producing congruence closure" (2005).

use crate::language::Term;
use egg::Id;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Why two terms are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A step of the log, by number.
    Step(usize),
    /// The same op of equal operands.
    Congruence,
}

/// Two equal terms, and about how many steps that takes. It depends on earlier edges only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Edge {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) link: Link,
    length: f64,
}

/// A congruence counts for little beside a step.
const CONGRUENCE: f64 = 0.01;
/// An edge that is used already.
const USED: f64 = 0.001;
/// Lengths are no longer than this.
const LONGEST: f64 = 1e9;
/// Terms of equal operands that are told apart.
const MOST_ALIKE: usize = 8;
/// Terms that a search for a short way looks at.
const MOST_TERMS: usize = 400;

/// Terms and their classes.
#[derive(Default)]
pub(crate) struct Closure {
    terms: Vec<Term>,
    /// The number of each term.
    numbers: HashMap<Term, usize>,
    leader: Vec<usize>,
    members: Vec<usize>,
    /// Terms that read a class, by its leader.
    users: Vec<Vec<usize>>,
    /// Terms of each op and classes of operands, the first one first; not more than [`MOST_ALIKE`].
    table: HashMap<Term, Vec<usize>>,
    edges: Vec<Edge>,
    /// Edges of each term.
    near: Vec<Vec<usize>>,
    /// Congruences that have an edge.
    congruent: HashSet<(usize, usize)>,
    /// The edges that joined classes form trees: the next term on the way to the root, and the edge.
    next: Vec<Option<(usize, usize)>>,
}

impl Closure {
    /// Adds a term whose operands are numbers of terms; its number.
    pub(crate) fn add(&mut self, term: Term) -> usize {
        if let Some(&known) = self.numbers.get(&term) {
            return known;
        }
        let x = self.terms.len();
        self.leader.push(x);
        self.members.push(1);
        self.users.push(vec![]);
        self.next.push(None);
        self.near.push(vec![]);
        self.numbers.insert(term.clone(), x);
        let key = self.canonical(&term);
        self.terms.push(term);
        for &arg in &key.args {
            self.users[usize::from(arg)].push(x);
        }
        let alike = self.table.entry(key).or_default();
        let first = alike.first().copied();
        if alike.len() < MOST_ALIKE {
            alike.push(x);
        }
        if let Some(first) = first {
            self.unite(first, x, Link::Congruence, 0.0);
        }
        x
    }

    pub(crate) fn term(&self, x: usize) -> &Term {
        &self.terms[x]
    }

    /// How many edges there are: later ones have this number or a larger one.
    pub(crate) fn now(&self) -> usize {
        self.edges.len()
    }

    pub(crate) fn edge(&self, number: usize) -> Edge {
        self.edges[number]
    }

    pub(crate) fn find(&self, mut x: usize) -> usize {
        while self.leader[x] != x {
            x = self.leader[x];
        }
        x
    }

    /// The term with leaders for operands.
    pub(crate) fn canonical(&self, term: &Term) -> Term {
        let leader = |&a: &Id| Id::from(self.find(usize::from(a)));
        Term { head: term.head.clone(), args: term.args.iter().map(leader).collect() }
    }

    /// Terms of this op and classes of operands, the first one first.
    pub(crate) fn alike(&self, term: &Term) -> &[usize] {
        self.table.get(&self.canonical(term)).map_or(&[], Vec::as_slice)
    }

    /// Makes two terms equal, by a step that takes about `length` steps, and all that follows.
    pub(crate) fn unite(&mut self, a: usize, b: usize, link: Link, length: f64) {
        let mut waiting = vec![(a, b, link, length)];
        while let Some((a, b, link, length)) = waiting.pop() {
            let length = match link {
                Link::Step(_) => length,
                Link::Congruence => {
                    if !self.congruent.insert((a.min(b), a.max(b))) {
                        continue;
                    }
                    let args = self.terms[a].args.iter().zip(&self.terms[b].args);
                    let pairs = args.map(|(&x, &y)| (usize::from(x), usize::from(y)));
                    CONGRUENCE + self.length(pairs.collect::<Vec<_>>())
                }
            };
            let number = self.edges.len();
            self.edges.push(Edge { a, b, link, length });
            self.near[a].push(number);
            self.near[b].push(number);
            let (mut large, mut small) = (self.find(a), self.find(b));
            if large == small {
                continue;
            }
            let (mut near, mut far) = (a, b);
            if self.members[large] < self.members[small] {
                (large, small, near, far) = (small, large, far, near);
            }
            self.make_root(far);
            self.next[far] = Some((near, number));
            self.leader[small] = large;
            self.members[large] += self.members[small];
            for user in std::mem::take(&mut self.users[small]) {
                let key = self.canonical(&self.terms[user]);
                let alike = self.table.entry(key).or_default();
                if let Some(&other) = alike.iter().find(|&&other| other != user) {
                    waiting.push((other, user, Link::Congruence, 0.0));
                }
                if !alike.contains(&user) {
                    alike.push(user);
                    alike.sort_unstable();
                    alike.truncate(MOST_ALIKE);
                }
                self.users[large].push(user);
            }
        }
    }

    /// Turns the edges of a tree so that they lead to `x`.
    fn make_root(&mut self, x: usize) {
        let mut here = x;
        let mut from = None;
        while let Some((next, edge)) = std::mem::replace(&mut self.next[here], from) {
            from = Some((here, edge));
            here = next;
        }
    }

    /// About how many steps it takes to make all pairs equal, which they are.
    pub(crate) fn length(&self, pairs: impl IntoIterator<Item = (usize, usize)>) -> f64 {
        let (now, used) = (self.now(), HashSet::new());
        let length = |(a, b): (usize, usize)| match self.short(a, b, now, &used) {
            Some((length, _)) => length,
            None => LONGEST,
        };
        pairs.into_iter().map(length).sum::<f64>().min(LONGEST)
    }

    /// Edges below number `limit` that lead from one term to an equal one; `None` when there are none. Those in `used`
    /// cost next to nothing.
    pub(crate) fn path(
        &self,
        a: usize,
        b: usize,
        limit: usize,
        used: &HashSet<usize>,
    ) -> Option<Vec<usize>> {
        self.short(a, b, limit, used).map(|found| found.1).or_else(|| self.joined(a, b))
    }

    /// The shortest way, if it is found soon.
    fn short(
        &self,
        a: usize,
        b: usize,
        limit: usize,
        used: &HashSet<usize>,
    ) -> Option<(f64, Vec<usize>)> {
        let mut reached: HashMap<usize, (f64, Option<usize>)> = HashMap::from([(a, (0.0, None))]);
        let mut done: HashSet<usize> = HashSet::new();
        let mut heap = BinaryHeap::from([(Reverse(0), a)]);
        while let Some((_, here)) = heap.pop() {
            if !done.insert(here) {
                continue;
            }
            let so_far = reached[&here].0;
            if here == b {
                let mut way = vec![];
                let mut at = b;
                while let Some(number) = reached[&at].1 {
                    way.push(number);
                    let edge = self.edges[number];
                    at = if edge.a == at { edge.b } else { edge.a };
                }
                return Some((so_far, way));
            }
            if done.len() > MOST_TERMS {
                return None;
            }
            for &number in self.near[here].iter().take_while(|&&n| n < limit) {
                let edge = self.edges[number];
                let there = if edge.a == here { edge.b } else { edge.a };
                let length = if used.contains(&number) { USED } else { edge.length };
                let length = so_far + length;
                if reached.get(&there).is_none_or(|known| length < known.0) {
                    reached.insert(there, (length, Some(number)));
                    // Lengths are not negative, so their bits are in their order.
                    heap.push((Reverse(length.to_bits()), there));
                }
            }
        }
        None
    }

    /// The edges between two terms by which their classes were joined: these were there when the terms became equal.
    fn joined(&self, a: usize, b: usize) -> Option<Vec<usize>> {
        let way = |x: usize| {
            std::iter::successors(Some(x), |&x| self.next[x].map(|n| n.0)).collect::<Vec<usize>>()
        };
        let (mut up, mut down) = (way(a), way(b));
        if up.last() != down.last() {
            return None;
        }
        // Without the part of the way that both go.
        while up.len() > 1 && down.len() > 1 && up[up.len() - 2] == down[down.len() - 2] {
            up.pop();
            down.pop();
        }
        let edges = |way: &[usize]| -> Vec<usize> {
            let edge = |&x: &usize| self.next[x].map(|(_, edge)| edge);
            way[..way.len() - 1].iter().filter_map(edge).collect()
        };
        Some([edges(&up), edges(&down)].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Head;

    fn term(op: u32, args: &[usize]) -> Term {
        Term::new(Head::Opaque(op), &args.iter().map(|&a| Id::from(a)).collect::<Vec<Id>>())
    }

    fn links(closure: &Closure, a: usize, b: usize) -> Option<Vec<Link>> {
        let path = closure.path(a, b, closure.now(), &HashSet::new())?;
        Some(path.into_iter().map(|e| closure.edge(e).link).collect())
    }

    #[test]
    fn operands_that_become_equal_make_their_users_equal() {
        // x, y, f(x), f(y), g(f(x)), g(f(y))
        let terms = [
            term(0, &[]),
            term(1, &[]),
            term(2, &[0]),
            term(2, &[1]),
            term(3, &[2]),
            term(3, &[3]),
        ];
        let mut closure = Closure::default();
        terms.into_iter().for_each(|t| assert!(closure.add(t) < 6));
        assert_eq!(links(&closure, 4, 5), None);
        closure.unite(0, 1, Link::Step(7), 1.0);
        assert_eq!(links(&closure, 4, 5), Some(vec![Link::Congruence]));
        assert_eq!(links(&closure, 0, 1), Some(vec![Link::Step(7)]));
        assert_eq!(closure.alike(&term(3, &[3])), [4, 5]);
    }

    #[test]
    fn what_was_equal_has_a_way_among_the_edges_of_its_time() {
        let mut closure = Closure::default();
        (0..40).for_each(|i| assert_eq!(closure.add(term(i, &[])), i as usize));
        let mut known = vec![];
        for step in 0..39usize {
            // Joins trees at nodes in their middle.
            let (a, b) = (step + 1, (step * 7) % (step + 1));
            closure.unite(a, b, Link::Step(step), 1.0);
            known.push((a, closure.now()));
        }
        // Shorter ways that come later.
        (1..40).for_each(|a| closure.unite(0, a, Link::Step(100 + a), 0.5));
        for (a, limit) in known {
            let path = closure.path(a, 0, limit, &HashSet::new()).unwrap();
            assert!(path.iter().all(|&e| e < limit), "{path:?}");
            assert_eq!(links(&closure, a, 0), Some(vec![Link::Step(100 + a)]));
            let tree = closure.joined(a, 0).unwrap();
            assert!(tree.iter().all(|&e| e < limit), "{tree:?}");
        }
    }

    #[test]
    fn a_term_that_is_added_late_joins_its_equals() {
        let mut closure = Closure::default();
        let (x, y) = (closure.add(term(0, &[])), closure.add(term(1, &[])));
        let of_x = closure.add(term(2, &[x]));
        closure.unite(x, y, Link::Step(0), 1.0);
        let of_y = closure.add(term(2, &[y]));
        assert_eq!(closure.find(of_x), closure.find(of_y));
        assert_eq!(closure.alike(&term(2, &[y])), [of_x, of_y]);
        assert_eq!(closure.add(term(2, &[x])), of_x, "each is there once");
    }
}
