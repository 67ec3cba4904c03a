//! How normal forms were read: by which terms of which classes. Kept for explanations only.

use crate::facts::Egraph;
use crate::language::Term;
use crate::proof::log;
use egg::Id;
use std::collections::HashSet;

/// Levels of terms that an explanation of a form shows.
const MOST_LEVELS: usize = 16;

/// A class, read by a term whose operands were read before.
struct Reading {
    class: Id,
    term: Option<Term>,
    operands: Vec<usize>,
    /// What is only spread, and was read without that.
    spread: Vec<(Id, Term)>,
}

/// Readings by number; none unless a log is kept.
#[derive(Default)]
pub(crate) struct Readings(Vec<Reading>);

impl Readings {
    /// Notes how `class` was read; the number of the reading.
    pub(crate) fn note(
        &mut self,
        class: Id,
        term: Option<&Term>,
        operands: Vec<usize>,
        spread: Vec<(Id, Term)>,
    ) -> usize {
        self.0.push(Reading { class, term: term.cloned(), operands, spread });
        self.0.len() - 1
    }

    /// Tells the log by which terms a class was read, for the left or the right side of a step.
    pub(crate) fn tell(&self, egraph: &Egraph, reading: usize, tell: fn(&Egraph, Id, &Term)) {
        let (mut level, mut met) = (vec![reading], HashSet::new());
        for _ in 0..MOST_LEVELS {
            let mut next = vec![];
            for number in level {
                let Some(reading) = self.0.get(number).filter(|_| met.insert(number)) else {
                    continue;
                };
                reading.spread.iter().for_each(|(id, term)| log::read(egraph, *id, term));
                if let Some(term) = &reading.term {
                    tell(egraph, reading.class, term);
                    next.extend(&reading.operands);
                }
            }
            level = next;
        }
    }
}
