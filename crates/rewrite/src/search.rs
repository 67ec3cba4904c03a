//! Local search: changes one class at a time while the whole graph gets better; in small graphs, two.
//!
//! Note [Ranks]. A change may make no cycle. Used classes have ranks, and read classes of lower rank only, so that
//! most of what a change reads need not be followed. A change that reads classes of higher rank, or some that nothing
//! used, moves these just below the class that changes; ranks are far apart, and given anew only where room runs out.

use crate::extract::{Choice, Classes, Price};
use std::collections::BTreeSet;

/// Places a cycle check may visit before it gives a move up.
const CYCLE_CHECK: usize = 4096;

/// How far apart ranks are at first.
const APART: u64 = 1 << 32;

/// The part of the room below a class that a change may take, so that there is room for others.
const SHARE: u64 = 8;

struct Search<'a> {
    classes: &'a Classes,
    choice: Choice,
    /// How many chosen terms read each class, roots included; 0 is unused.
    reads: Vec<u32>,
    /// Used classes read classes of lower rank only; those of other classes mean nothing. No rank is given twice.
    rank: Vec<u64>,
    /// Every rank.
    ranks: BTreeSet<u64>,
    /// How often all ranks were given anew.
    renewals: usize,
    /// When a cycle check last met a class: twice its number, plus one when it was left again.
    met: Vec<u64>,
    check: u64,
    price: Price,
}

/// Improves `choice`, which has no cycle, by at most `moves` trials.
pub(crate) fn improve(classes: &Classes, choice: &mut Choice, moves: usize) {
    improve_but(classes, choice, moves, None);
}

/// Candidates up to which two changes are made at once.
const SMALL: usize = 300;

/// As [`improve`] and, in small graphs, by changes that pay off only together with what follows from them.
pub(crate) fn improve_twice(classes: &Classes, choice: &mut Choice, moves: usize) {
    improve(classes, choice, moves);
    if classes.candidates.iter().map(Vec::len).sum::<usize>() > SMALL {
        return;
    }
    let (mut used, mut best) = classes.total(choice, &classes.roots);
    for place in 0..classes.ids.len() {
        for (other, candidate) in classes.candidates[place].iter().enumerate() {
            let known = candidate.children.iter().all(|&c| choice[c] != usize::MAX);
            if !used[place] || other == choice[place] || !known {
                continue;
            }
            let mut changed = choice.clone();
            changed[place] = other;
            if classes.order(&changed).is_none() {
                continue;
            }
            improve_but(classes, &mut changed, moves, Some(place));
            improve(classes, &mut changed, moves);
            let (uses, price) = classes.total(&changed, &classes.roots);
            if price.beats(best) {
                (*choice, used, best) = (changed, uses, price);
            }
        }
    }
}

/// [`improve`] with `fixed` as it is; how often all ranks were given anew for it.
fn improve_but(
    classes: &Classes,
    choice: &mut Choice,
    moves: usize,
    fixed: Option<usize>,
) -> usize {
    let n = classes.ids.len();
    let mut search = Search {
        classes,
        choice: choice.clone(),
        reads: vec![0; n],
        rank: vec![0; n],
        ranks: BTreeSet::new(),
        renewals: 0,
        met: vec![0; n],
        check: 0,
        price: Price::default(),
    };
    for &root in &classes.roots {
        search.acquire(root);
    }
    search.rank_all();
    search.renewals = 0;
    let mut made = 0;
    let mut better = true;
    while better && made < moves {
        better = false;
        for place in (0..n).rev() {
            if search.reads[place] == 0 || fixed == Some(place) {
                continue;
            }
            for other in 0..classes.candidates[place].len() {
                if other == search.choice[place] || made >= moves {
                    continue;
                }
                made += 1;
                better |= search.attempt(place, other);
            }
        }
    }
    *choice = search.choice;
    search.renewals
}

impl Search<'_> {
    fn rank_all(&mut self) {
        let Some(order) = self.classes.order(&self.choice) else {
            panic!("internal error: a choice of terms has a cycle")
        };
        self.renewals += 1;
        self.ranks.clear();
        for (i, place) in order.into_iter().enumerate() {
            self.rank[place] = (i as u64 + 1) * APART;
            self.ranks.insert(self.rank[place]);
        }
    }

    /// Gives `moved`, operands first, ranks between `place` and the class before it.
    fn rank_below(&mut self, place: usize, moved: &[usize]) {
        let end = self.rank[place];
        let start = self.ranks.range(..end).next_back().copied().unwrap_or(0);
        let step = ((end - start) / (SHARE * (moved.len() as u64 + 1))).max(1);
        if end - start <= moved.len() as u64 {
            return self.rank_all();
        }
        for (i, &class) in moved.iter().enumerate() {
            if self.reads[class] > 0 {
                self.rank[class] = start + (i as u64 + 1) * step;
                self.ranks.insert(self.rank[class]);
            }
        }
    }

    /// Counts one more reader, and pays for what was not used before.
    fn acquire(&mut self, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            self.reads[place] += 1;
            let candidate = &self.classes.candidates[place][self.choice[place]];
            match self.reads[place] {
                1 => {
                    self.price.add(candidate.price, 1);
                    stack.extend(&candidate.children);
                }
                _ => self.price.danger += candidate.price.danger,
            }
        }
    }

    /// Counts one reader less, and gives back what nothing uses any more.
    fn release(&mut self, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            self.reads[place] -= 1;
            let candidate = &self.classes.candidates[place][self.choice[place]];
            if self.reads[place] > 0 {
                self.price.danger -= candidate.price.danger;
            } else {
                self.price.add(candidate.price, -1);
                stack.extend(&candidate.children);
            }
        }
    }

    /// Chooses `other` for `place` if the whole gets better.
    fn attempt(&mut self, place: usize, other: usize) -> bool {
        let classes = self.classes;
        let old = self.choice[place];
        let (before, after) = (&classes.candidates[place][old], &classes.candidates[place][other]);
        // A dearer term pays off only if it lets go of something.
        if !after.price.beats(before.price) && before.children.is_empty() {
            return false;
        }
        if after.children.iter().any(|&c| self.choice[c] == usize::MAX) {
            return false;
        }
        let Some(moved) = self.free_of_cycles(place, other) else {
            return false;
        };
        let start = self.price;
        self.replace(place, old, other);
        if self.price.beats(start) {
            if !moved.is_empty() {
                self.rank_below(place, &moved);
            }
            return true;
        }
        self.replace(place, other, old);
        self.price = start;
        false
    }

    fn replace(&mut self, place: usize, old: usize, new: usize) {
        let classes = self.classes;
        let (before, after) = (&classes.candidates[place][old], &classes.candidates[place][new]);
        self.choice[place] = new;
        self.price.add(after.price, 1);
        let others = i64::from(self.reads[place]) - 1;
        self.price.danger += others * (after.price.danger - before.price.danger);
        after.children.iter().for_each(|&c| self.acquire(c));
        self.price.add(before.price, -1);
        before.children.iter().for_each(|&c| self.release(c));
    }

    /// Follows choices from the operands of `other`. `None` when that meets `place`, or a class twice on one path, or
    /// takes too long; else what it met that is not below `place` yet, operands first.
    fn free_of_cycles(&mut self, place: usize, other: usize) -> Option<Vec<usize>> {
        let classes = self.classes;
        self.check += 1;
        let (open, done) = (2 * self.check, 2 * self.check + 1);
        let mut moved = vec![];
        let mut visits = 0;
        let mut stack: Vec<(usize, bool)> = vec![];
        for &child in &classes.candidates[place][other].children {
            stack.push((child, false));
            while let Some((here, leaving)) = stack.pop() {
                if leaving {
                    self.met[here] = done;
                    moved.push(here);
                    continue;
                }
                if self.met[here] == done {
                    continue;
                }
                visits += 1;
                if here == place || self.met[here] == open || visits > CYCLE_CHECK {
                    return None;
                }
                if self.reads[here] > 0 && self.rank[here] < self.rank[place] {
                    continue;
                }
                let chosen = self.choice[here];
                if chosen == usize::MAX {
                    return None;
                }
                self.met[here] = open;
                stack.push((here, true));
                let next = &classes.candidates[here][chosen].children;
                stack.extend(next.iter().map(|&n| (n, false)));
            }
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::Candidate;
    use crate::language::{Head, Term};
    use egg::Id;
    use std::collections::HashMap;

    /// Roots that are leaves, each of which could read the next root for less.
    fn neighbours(count: usize) -> Classes {
        let candidate = |cost: f64, children: Vec<usize>| {
            let term = Term::new(Head::Opaque(0), &[]);
            Candidate { term, price: Price { cost, ..Price::default() }, children }
        };
        let candidates = (0..count).map(|i| match i + 1 < count {
            true => vec![candidate(2.0, vec![]), candidate(1.0, vec![i + 1])],
            false => vec![candidate(2.0, vec![])],
        });
        Classes {
            ids: (0..count).map(Id::from).collect(),
            places: HashMap::new(),
            candidates: candidates.collect(),
            roots: (0..count).collect(),
        }
    }

    #[test]
    fn changes_out_of_order_move_only_what_they_read() {
        let classes = neighbours(1000);
        let mut choice = vec![0; 1000];
        let renewals = improve_but(&classes, &mut choice, usize::MAX, None);
        assert_eq!(choice.iter().filter(|c| **c == 1).count(), 999);
        assert!(classes.order(&choice).is_some());
        assert!(renewals <= 10, "{renewals}");
    }

    #[test]
    fn two_changes_that_pay_off_together_are_found() {
        // Two roots read one class each; a third class, read by both, costs less than the two.
        let mut classes = neighbours(5);
        let mut reads = |place: usize, lists: &[(f64, &[usize])]| {
            let leaf = classes.candidates[4][0].clone();
            let candidate = |l: &(f64, &[usize])| {
                let price = Price { cost: l.0, ..Price::default() };
                Candidate { price, children: l.1.to_vec(), ..leaf.clone() }
            };
            classes.candidates[place] = lists.iter().map(candidate).collect();
        };
        reads(0, &[(1.0, &[2]), (1.0, &[4])]);
        reads(1, &[(1.0, &[3]), (1.0, &[4])]);
        reads(2, &[(2.0, &[])]);
        reads(3, &[(2.0, &[])]);
        reads(4, &[(3.0, &[])]);
        classes.roots = vec![0, 1];
        let (mut once, mut twice) = (vec![0; 5], vec![0; 5]);
        improve(&classes, &mut once, usize::MAX);
        improve_twice(&classes, &mut twice, usize::MAX);
        assert_eq!((once, twice), (vec![0; 5], vec![1, 1, 0, 0, 0]));
    }

    #[test]
    fn no_change_makes_a_cycle() {
        let mut classes = neighbours(50);
        let mut last = classes.candidates[48][1].clone();
        last.children = vec![0];
        classes.candidates[49].push(last);
        let mut choice = vec![0; 50];
        improve(&classes, &mut choice, usize::MAX);
        assert_eq!(choice.iter().filter(|c| **c == 1).count(), 49);
        assert!(classes.order(&choice).is_some());
    }
}
