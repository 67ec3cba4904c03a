//! Softmax, its logarithm, logsumexp and cross-entropy as reductions and elementwise ops.
//!
//! With `m` the largest of a row, `e = exp(z - m)` and `r` the sum of `e` over the elements below `m`, plus the number
//! of elements equal to `m`, minus one: `logsumexp = m + log1p(r)`, `softmax = e/(1 + r)`. No sum loses the small
//! tail beside the leading 1. What rounding takes from `z - m` is put back into `e`: it is at most half a unit in the
//! last place of `z - m`, but an exponential turns it into `|z - m|` times as many of its own.
//!
//! Where the targets are a label for each row, what they pick out of it is a number for the row, so that few steps are
//! left for each element.

use super::reduce::reduce;
use eggrad_ir::{
    Builder, CompareOp, CrossEntropyOp, DType, MoveOp, NodeId, Op, ReduceOp, Shape, SoftmaxOp,
    UnaryOp,
};

/// A row of logits against its largest element; all but `max` and `rest` have the shape of the logits.
struct Shifted {
    shape: Shape,
    axes: Vec<usize>,
    /// Largest of a row.
    max: NodeId,
    /// `z == m`
    top: NodeId,
    /// `exp(z - m)`
    e: NodeId,
    /// `z - m`
    below: NodeId,
    /// `r`
    rest: NodeId,
}

fn shifted(b: &mut Builder, z: NodeId, axes: &[usize]) -> Shifted {
    let shape = b.ty(z).shape.clone();
    let max = reduce(b, ReduceOp::Max, z, axes);
    let m = b.spread_over(max, &shape, axes);
    let below = b.sub(z, m);
    let e = b.unary(UnaryOp::Exp, below);
    let lost = lost_by_sub(b, z, m, below);
    // Not `e + e·lost`, whose product would vanish as subnormal beside a small `e`.
    let one = b.full_like(z, 1.0);
    let correction = b.add(one, lost);
    let e = b.mul(e, correction);
    let top = b.compare(CompareOp::Eq, z, m);
    let zero = b.full_like(z, 0.0);
    let tail = b.select(top, zero, e);
    let tail = reduce(b, ReduceOp::Sum, tail, axes);
    let ties = b.select(top, one, zero);
    let ties = reduce(b, ReduceOp::Sum, ties, axes);
    let one = b.full_like(ties, 1.0);
    let ties = b.sub(ties, one);
    let rest = b.add(tail, ties);
    Shifted { shape, axes: axes.to_vec(), max, top, e, below, rest }
}

/// `(z - m) - fl(z - m)`, exactly, where all is finite (Knuth, TAOCP vol. 2, 4.2.2, theorem B); else 0.
fn lost_by_sub(b: &mut Builder, z: NodeId, m: NodeId, difference: NodeId) -> NodeId {
    let back = b.add(difference, m);
    let rest = b.sub(difference, back);
    let from_z = b.sub(z, back);
    let from_m = b.add(rest, m);
    let lost = b.sub(from_z, from_m);
    // Infinite logits give infinity - infinity on the way.
    let zero = b.full_like(z, 0.0);
    let known = b.compare(CompareOp::Eq, lost, lost);
    b.select(known, lost, zero)
}

impl Shifted {
    fn spread(&self, b: &mut Builder, x: NodeId) -> NodeId {
        b.spread_over(x, &self.shape, &self.axes)
    }

    /// `log1p(r)`
    fn log_rest(&self, b: &mut Builder) -> NodeId {
        b.unary(UnaryOp::Log1p, self.rest)
    }

    /// `1 + r`
    fn total(&self, b: &mut Builder) -> NodeId {
        let one = b.full_like(self.rest, 1.0);
        b.add(self.rest, one)
    }

    /// `1/(1 + r)`, spread over the rows.
    fn scale(&self, b: &mut Builder) -> NodeId {
        let total = self.total(b);
        let scale = b.unary(UnaryOp::Recip, total);
        self.spread(b, scale)
    }
}

/// `m + log1p(r)`
pub(super) fn logsumexp(b: &mut Builder, z: NodeId, axes: &[usize]) -> NodeId {
    let row = shifted(b, z, axes);
    let log = row.log_rest(b);
    b.add(row.max, log)
}

/// `e/(1 + r)` or `(z - m) - log1p(r)`
pub(super) fn softmax(b: &mut Builder, op: SoftmaxOp, z: NodeId, axes: &[usize]) -> NodeId {
    let row = shifted(b, z, axes);
    match op {
        SoftmaxOp::Softmax => {
            let scale = row.scale(b);
            b.mul(row.e, scale)
        }
        SoftmaxOp::LogSoftmax => {
            let log = row.log_rest(b);
            let log = row.spread(b, log);
            b.sub(row.below, log)
        }
    }
}

/// The sum of `t · (logsumexp - z)` where `t` is not 0, or `p · (T - t) - t · (1 - p)`.
pub(super) fn cross_entropy(
    b: &mut Builder,
    op: CrossEntropyOp,
    z: NodeId,
    t: NodeId,
    axes: &[usize],
) -> NodeId {
    let row = shifted(b, z, axes);
    if let Some(label) = Label::of(b, t, axes) {
        return label.cross_entropy(b, op, &row);
    }
    let zero = b.full_like(z, 0.0);
    match op {
        CrossEntropyOp::Value => {
            let log = row.log_rest(b);
            let log = row.spread(b, log);
            // log1p(r) + (m - z): exactly log1p(r) at the largest logit.
            let surprise = b.sub(log, row.below);
            let term = b.mul(t, surprise);
            let counts = b.compare(CompareOp::Ne, t, zero);
            let term = b.select(counts, term, zero);
            reduce(b, ReduceOp::Sum, term, axes)
        }
        CrossEntropyOp::Residual => {
            let scale = row.scale(b);
            let total = row.total(b);
            let total = row.spread(b, total);
            let p = b.mul(row.e, scale);
            let others = b.sub(total, row.e);
            let rest = row.spread(b, row.rest);
            let others = b.select(row.top, rest, others);
            let complement = b.mul(others, scale);
            let other_targets = others_of(b, t, axes);
            let push = b.mul(p, other_targets);
            let pull = b.mul(t, complement);
            b.sub(push, pull)
        }
    }
}

/// For each target the sum of the others in its row. Next to the largest target the others are summed on their own,
/// so that a small sum beside a large target is not lost.
fn others_of(b: &mut Builder, t: NodeId, axes: &[usize]) -> NodeId {
    let shape = b.ty(t).shape.clone();
    let total = reduce(b, ReduceOp::Sum, t, axes);
    let total = b.spread_over(total, &shape, axes);
    let others = b.sub(total, t);
    let zero = b.full_like(t, 0.0);
    let one = b.full_like(t, 1.0);
    let max = reduce(b, ReduceOp::Max, t, axes);
    let m = b.spread_over(max, &shape, axes);
    let top = b.compare(CompareOp::Eq, t, m);
    let tail = b.select(top, zero, t);
    let tail = reduce(b, ReduceOp::Sum, tail, axes);
    let ties = b.select(top, one, zero);
    let ties = reduce(b, ReduceOp::Sum, ties, axes);
    let one = b.full_like(ties, 1.0);
    let extra = b.sub(ties, one);
    let extra = b.mul(extra, max);
    let beside = b.add(tail, extra);
    let beside = b.spread_over(beside, &shape, axes);
    b.select(top, beside, others)
}

/// One-hot targets.
struct Label {
    /// Where the label is, in the shape of the logits.
    hit: NodeId,
    /// 1 in rows that have a label, 0 where it is out of range; none where all have one.
    present: Option<NodeId>,
}

impl Label {
    /// None unless `t` is one-hot along `axes`.
    fn of(b: &mut Builder, mut t: NodeId, axes: &[usize]) -> Option<Label> {
        let target = t;
        while let Op::Cast(_) = b.graph().node(t).op {
            t = b.graph().node(t).inputs[0];
        }
        let node = b.graph().node(t);
        let Op::OneHot { classes, .. } = node.op else { return None };
        let labels = node.inputs[0];
        if *axes != [b.ty(t).rank() - 1] {
            return None;
        }
        let hit = b.node(Op::OneHot { dtype: DType::Bool, classes }, &[labels]);
        let mut source = b.graph().node(labels);
        while let Op::Move(MoveOp::Reshape(_) | MoveOp::Transpose(_)) = source.op {
            source = b.graph().node(source.inputs[0]);
        }
        let sure = match source.op {
            Op::Input(i) => {
                let range = b.graph().inputs()[i].range;
                range.is_some_and(|(least, most)| least >= 0.0 && most < classes as f64)
            }
            _ => false,
        };
        let present = (!sure).then(|| {
            let one = b.full_like(target, 1.0);
            let label = Label { hit, present: None };
            label.pick(b, one, axes)
        });
        Some(Label { hit, present })
    }

    /// What `x` is at the labels; 0 in rows without one.
    fn pick(&self, b: &mut Builder, x: NodeId, axes: &[usize]) -> NodeId {
        let zero = b.full_like(x, 0.0);
        let picked = b.select(self.hit, x, zero);
        reduce(b, ReduceOp::Sum, picked, axes)
    }

    fn cross_entropy(&self, b: &mut Builder, op: CrossEntropyOp, row: &Shifted) -> NodeId {
        let below = self.pick(b, row.below, &row.axes);
        let zero = b.full_like(below, 0.0);
        match op {
            CrossEntropyOp::Value => {
                // log1p(r) + (m - z): exactly log1p(r) at the largest logit.
                let log = row.log_rest(b);
                let surprise = b.sub(log, below);
                let Some(present) = self.present else { return surprise };
                let missing = b.compare(CompareOp::Eq, present, zero);
                b.select(missing, zero, surprise)
            }
            CrossEntropyOp::Residual => {
                let total = row.total(b);
                let scale = b.unary(UnaryOp::Recip, total);
                let e = self.pick(b, row.e, &row.axes);
                let others = b.sub(total, e);
                let top = b.compare(CompareOp::Eq, below, zero);
                let others = b.select(top, row.rest, others);
                let complement = b.mul(others, scale);
                let pull = b.unary(UnaryOp::Neg, complement);
                let pull = row.spread(b, pull);
                let scale = match self.present {
                    Some(present) => b.mul(scale, present),
                    None => scale,
                };
                let scale = row.spread(b, scale);
                let p = b.mul(row.e, scale);
                b.select(self.hit, pull, p)
            }
        }
    }
}
