//! Cotangents that a `select` lets through in some places only.
//!
//! Note [Gates]. The cotangent of a branch is zero where the other branch is taken. If it were made zero at once, the
//! derivative of a function that is infinite there would turn it into NaN (0 · inf), so the zeros are put in late: a
//! cotangent carries the condition along, its value is arbitrary where the condition fails, and the zeros enter where
//! elements mix, where other cotangents are added, and at the end. A value that is read under two conditions keeps
//! none: where neither holds, its cotangent is a plain zero.

use eggrad_ir::{BinaryOp, Builder, NodeId, UnaryOp};

/// Where a cotangent counts: where `condition` is `when`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) condition: NodeId,
    pub(crate) when: bool,
}

/// A cotangent; zero outside its gate, whatever `value` is there.
#[derive(Clone, Copy)]
pub(crate) struct Cotangent {
    pub(crate) value: NodeId,
    pub(crate) gate: Option<Gate>,
}

impl Cotangent {
    /// A cotangent that counts everywhere.
    pub(crate) fn plain(value: NodeId) -> Cotangent {
        Cotangent { value, gate: None }
    }

    /// The node that holds the cotangent, zeros put in.
    pub(crate) fn closed(self, b: &mut Builder) -> NodeId {
        let Some(Gate { condition, when }) = self.gate else { return self.value };
        let zero = b.full_like(self.value, 0.0);
        match when {
            true => b.select(condition, self.value, zero),
            false => b.select(condition, zero, self.value),
        }
    }

    /// What is left of it where also `inner` holds.
    pub(crate) fn within(self, b: &mut Builder, inner: Gate) -> Cotangent {
        let gate = match self.gate {
            Some(outer) if outer != inner => {
                let (outer, inner) = (outer.holds(b), inner.holds(b));
                Gate { condition: b.binary(BinaryOp::And, outer, inner), when: true }
            }
            Some(_) | None => inner,
        };
        Cotangent { gate: Some(gate), ..self }
    }

    /// The sum of two.
    pub(crate) fn plus(self, b: &mut Builder, other: Cotangent) -> Cotangent {
        match (self.gate, other.gate) {
            (one, two) if one == two => {
                Cotangent { value: b.add(self.value, other.value), gate: one }
            }
            (Some(one), Some(two)) if one.condition == two.condition => {
                let (yes, no) = if one.when { (self, other) } else { (other, self) };
                Cotangent::plain(b.select(one.condition, yes.value, no.value))
            }
            _ => {
                let (one, two) = (self.closed(b), other.closed(b));
                Cotangent::plain(b.add(one, two))
            }
        }
    }
}

impl Gate {
    /// The gate as a truth value.
    fn holds(self, b: &mut Builder) -> NodeId {
        if self.when { self.condition } else { b.unary(UnaryOp::Not, self.condition) }
    }
}
