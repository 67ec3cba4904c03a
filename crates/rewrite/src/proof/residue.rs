//! Values of sums, products and quotients modulo a large prime: two forms that differ as rational functions of what
//! they are made of have different values there, but for one draw in 10^18.

use crate::build::facts;
use crate::facts::Egraph;
use crate::language::Head;
use crate::proof::terms::{Node, TermId, Terms, is_field_op};
use crate::rational::{power, times};
use egg::Id;
use eggrad_ir::{BinaryOp, UnaryOp};
use std::collections::HashMap;

/// The largest prime below 2^61.
const PRIME: u64 = (1 << 61) - 1;

/// Terms that are looked into for one value.
const MOST_TERMS: usize = 4096;

/// Values of terms, where classes of an e-graph that are no arithmetic have random ones.
pub(crate) struct Residues<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) egraph: &'a Egraph,
    /// Classes of terms that are in the e-graph.
    pub(crate) class: &'a dyn Fn(TermId) -> Option<Id>,
    known: HashMap<TermId, u64>,
    /// Equal classes have one value.
    of_classes: HashMap<Id, u64>,
}

impl<'a> Residues<'a> {
    pub(crate) fn new(
        terms: &'a Terms,
        egraph: &'a Egraph,
        class: &'a dyn Fn(TermId) -> Option<Id>,
    ) -> Residues<'a> {
        Residues { terms, egraph, class, known: HashMap::new(), of_classes: HashMap::new() }
    }

    /// Whether two terms are equal as rational functions; `None` where that cannot be said: they hold what may be
    /// infinite, or a divisor that is 0, or are too large.
    pub(crate) fn equal(&mut self, a: TermId, b: TermId) -> Option<bool> {
        if !is_field_op(&self.terms.node(a).head) && !is_field_op(&self.terms.node(b).head) {
            return None;
        }
        Some(self.value(a)? == self.value(b)?)
    }

    fn value(&mut self, term: TermId) -> Option<u64> {
        let mut stack = vec![term];
        while let Some(&here) = stack.last() {
            if self.known.contains_key(&here) {
                stack.pop();
                continue;
            }
            if self.known.len() + stack.len() > MOST_TERMS {
                return None;
            }
            let Node { head, args } = self.terms.node(here);
            // What is asked about is computed, even where its class has a value.
            let class = (self.class)(here).filter(|_| here != term);
            let value = match class.and_then(|c| self.of_classes.get(&c).copied()) {
                Some(value) => value,
                None if is_field_op(head) => {
                    let values = match head {
                        Head::Expand => &args[1..],
                        _ => args.as_slice(),
                    };
                    let open: Vec<TermId> =
                        values.iter().copied().filter(|a| !self.known.contains_key(a)).collect();
                    if !open.is_empty() {
                        stack.extend(open);
                        continue;
                    }
                    let values: Vec<u64> = values.iter().map(|a| self.known[a]).collect();
                    compute(head, &values)?
                }
                None => self.atom(here)?,
            };
            if let Some(class) = class {
                self.of_classes.insert(class, value);
            }
            self.known.insert(here, value);
            stack.pop();
        }
        self.known.get(&term).copied()
    }

    /// A random value for a class, the same wherever it is spread; none for what may be infinite.
    fn atom(&self, term: TermId) -> Option<u64> {
        let class = (self.class)(term)?;
        if !facts(self.egraph, class).finite {
            return None;
        }
        let mut z = usize::from(class) as u64 + 0x9e37_79b9_7f4a_7c15;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((z ^ (z >> 31)) % PRIME)
    }
}

/// The value of an op; `None` where a divisor is 0.
fn compute(head: &Head, args: &[u64]) -> Option<u64> {
    let inverse = |x: u64| (x != 0).then(|| power(x, PRIME - 2, PRIME));
    let minus = |x: u64| (PRIME - x) % PRIME;
    Some(match (head, args) {
        (Head::Const(_, value), _) => value.residue(PRIME)?,
        (Head::Expand, &[x]) => x,
        (Head::Unary(UnaryOp::Neg), &[x]) => minus(x),
        (Head::Unary(UnaryOp::Square), &[x]) => times(x, x, PRIME),
        (Head::Unary(UnaryOp::Recip), &[x]) => inverse(x)?,
        (Head::Binary(BinaryOp::Add), &[x, y]) => (x + y) % PRIME,
        (Head::Binary(BinaryOp::Sub), &[x, y]) => (x + minus(y)) % PRIME,
        (Head::Binary(BinaryOp::Mul), &[x, y]) => times(x, y, PRIME),
        (Head::Binary(BinaryOp::Div), &[x, y]) => times(x, inverse(y)?, PRIME),
        _ => panic!("internal error: {head:?} is no arithmetic"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Context;
    use crate::language::{Opaque, Term};
    use crate::rational::Rational;
    use eggrad_ir::{DType, Literal, Op};

    /// Terms over the inputs `x` and `y` and an infinity, all of them leaves of an e-graph.
    struct Leaves {
        terms: Terms,
        egraph: Egraph,
        classes: HashMap<TermId, Id>,
    }

    impl Leaves {
        fn new() -> (Leaves, [TermId; 3]) {
            let infinity = Op::Const(DType::F32, Literal::Float(f64::INFINITY.to_bits()));
            let ops = [Op::Input(0), Op::Input(1), infinity];
            let opaque = ops.map(|op| Opaque { op, args: vec![], out: vec![], dtype: DType::F32 });
            let context = Context { opaque: opaque.to_vec(), ..Context::default() };
            let (mut egraph, mut terms) = (Egraph::new(context), Terms::default());
            let mut classes = HashMap::new();
            let leaves = [0, 1, 2].map(|i| {
                let term = terms.add(Head::Opaque(i), vec![]);
                classes.insert(term, egraph.add(Term::leaf(Head::Opaque(i))));
                term
            });
            (Leaves { terms, egraph, classes }, leaves)
        }

        fn op(&mut self, op: BinaryOp, a: TermId, b: TermId) -> TermId {
            self.terms.add(Head::Binary(op), vec![a, b])
        }

        fn equal(&self, a: TermId, b: TermId) -> Option<bool> {
            let class = |term: TermId| self.classes.get(&term).copied();
            Residues::new(&self.terms, &self.egraph, &class).equal(a, b)
        }
    }

    #[test]
    fn forms_are_equal_or_not() {
        let (mut l, [x, y, _]) = Leaves::new();
        let sum = l.op(BinaryOp::Add, x, y);
        let difference = l.op(BinaryOp::Sub, x, y);
        let product = l.op(BinaryOp::Mul, sum, difference);
        let squares = [x, y].map(|x| l.terms.add(Head::Unary(UnaryOp::Square), vec![x]));
        let other = l.op(BinaryOp::Sub, squares[0], squares[1]);
        assert_eq!(l.equal(product, other), Some(true));
        let quotient = l.op(BinaryOp::Div, other, sum);
        assert_eq!(l.equal(quotient, difference), Some(true));
        assert_eq!(l.equal(quotient, sum), Some(false));
        let half = l.terms.add(Head::Const(DType::F32, Rational::new(1, 2).unwrap()), vec![]);
        let (a, b) = (l.op(BinaryOp::Add, half, half), l.op(BinaryOp::Div, half, half));
        assert_eq!(l.equal(a, b), Some(true));
        assert_eq!(l.equal(a, half), Some(false));
    }

    #[test]
    fn what_cannot_be_said_is_not() {
        let (mut l, [x, y, infinity]) = Leaves::new();
        assert_eq!(l.equal(x, y), None, "no arithmetic");
        let nothing = l.op(BinaryOp::Sub, x, x);
        let quotient = l.op(BinaryOp::Div, y, nothing);
        assert_eq!(l.equal(quotient, y), None, "a divisor is 0");
        let sum = l.op(BinaryOp::Add, x, infinity);
        let back = l.op(BinaryOp::Sub, sum, infinity);
        assert_eq!(l.equal(back, x), None, "infinities do not cancel");
    }

    #[test]
    fn equal_classes_have_one_value() {
        let (mut l, [x, y, _]) = Leaves::new();
        let (a, b) = (l.op(BinaryOp::Add, x, x), l.op(BinaryOp::Add, y, x));
        assert_eq!(l.equal(a, b), Some(false));
        let class = l.classes[&x];
        l.classes.insert(y, class);
        assert_eq!(l.equal(a, b), Some(true));
    }
}
