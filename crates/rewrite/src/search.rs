//! Local search: changes one class at a time while the whole graph gets better.

use crate::extract::{Choice, Classes, Price};

/// Places a cycle check may visit before it gives a move up.
const CYCLE_CHECK: usize = 4096;

/// The rank of a class whose place in the order is not known.
const UNKNOWN: u32 = u32::MAX;

struct Search<'a> {
    classes: &'a Classes,
    choice: Choice,
    /// How many chosen terms read each class, roots included; 0 is unused.
    reads: Vec<u32>,
    /// Used classes of known rank read only classes of unknown or lower rank, also through others.
    rank: Vec<u32>,
    /// When a cycle check last met a class: twice its number, plus one when it was left again.
    met: Vec<u64>,
    check: u64,
    price: Price,
}

/// Improves `choice`, which has no cycle, by at most `moves` trials; returns how many were made.
pub(crate) fn improve(classes: &Classes, choice: &mut Choice, moves: usize) -> usize {
    let n = classes.ids.len();
    let mut search = Search {
        classes,
        choice: choice.clone(),
        reads: vec![0; n],
        rank: vec![UNKNOWN; n],
        met: vec![0; n],
        check: 0,
        price: Price::default(),
    };
    for &root in &classes.roots {
        search.acquire(root);
    }
    search.rank_all();
    let mut made = 0;
    let mut better = true;
    while better && made < moves {
        better = false;
        for place in (0..n).rev() {
            if search.reads[place] == 0 {
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
    made
}

impl Search<'_> {
    fn rank_all(&mut self) {
        let Some(order) = self.classes.order(&self.choice) else {
            panic!("internal error: a choice of terms has a cycle")
        };
        self.rank.fill(UNKNOWN);
        order.into_iter().enumerate().for_each(|(i, place)| self.rank[place] = i as u32);
    }

    /// Counts one more reader, and pays for what was not used before.
    fn acquire(&mut self, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            self.reads[place] += 1;
            if self.reads[place] == 1 {
                let candidate = &self.classes.candidates[place][self.choice[place]];
                self.price.add(candidate.price, 1);
                stack.extend(&candidate.children);
            }
        }
    }

    /// Counts one reader less, and gives back what nothing uses any more.
    fn release(&mut self, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            self.reads[place] -= 1;
            if self.reads[place] == 0 {
                self.rank[place] = UNKNOWN;
                let candidate = &self.classes.candidates[place][self.choice[place]];
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
        let Some(in_order) = self.free_of_cycles(place, other) else {
            return false;
        };
        let start = self.price;
        self.replace(place, old, other);
        if self.price.beats(start) {
            if !in_order {
                self.rank_all();
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
        after.children.iter().for_each(|&c| self.acquire(c));
        self.price.add(before.price, -1);
        before.children.iter().for_each(|&c| self.release(c));
    }

    /// Follows choices from the operands of `other`. `None` when that meets `place`, or a class twice on one path, or
    /// takes too long; else whether all ranks stay true.
    fn free_of_cycles(&mut self, place: usize, other: usize) -> Option<bool> {
        let classes = self.classes;
        let rank = self.rank[place];
        self.check += 1;
        let (open, done) = (2 * self.check, 2 * self.check + 1);
        let mut in_order = rank != UNKNOWN;
        let mut visits = 0;
        let mut stack: Vec<(usize, bool)> = vec![];
        for &child in &classes.candidates[place][other].children {
            stack.push((child, false));
            while let Some((here, leaving)) = stack.pop() {
                if leaving {
                    self.met[here] = done;
                    continue;
                }
                if self.met[here] == done {
                    continue;
                }
                visits += 1;
                if here == place || self.met[here] == open || visits > CYCLE_CHECK {
                    return None;
                }
                if self.reads[here] > 0 && self.rank[here] != UNKNOWN {
                    if self.rank[here] < rank && rank != UNKNOWN {
                        continue;
                    }
                    in_order = false;
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
        Some(in_order)
    }
}
