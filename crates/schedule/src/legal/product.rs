//! Products in canonical order: `[batch.., m.., k..]` times `[batch.., k.., n..]`.

use super::{peel, reduce, transpose, window};
use eggrad_ir::{Builder, DotAxes, Graph, MoveOp, NodeId, Op, ReduceOp, Shape};

/// Rows of a product up to which sums along both operands' contiguous axes beat packing the right operand.
const FEW_ROWS: usize = 4;

/// Terms of a sum below which its fixed tree of lanes costs more than packing.
const FEW_TERMS: usize = 16;

/// One operand: a node and its axes in the roles they play.
struct Side {
    node: NodeId,
    batch: Vec<usize>,
    free: Vec<usize>,
    contract: Vec<usize>,
}

impl Side {
    /// Sees through transposes to the axes as they lie in memory.
    fn new(b: &Builder, node: NodeId, batch: &[usize], free: &[usize], contract: &[usize]) -> Side {
        let mut list = [batch, free, contract].concat();
        let node = peel(b, node, &mut list);
        let contract = list.split_off(batch.len() + free.len());
        let free = list.split_off(batch.len());
        Side { node, batch: list, free, contract }
    }

    fn size(&self, b: &Builder, axes: &[usize]) -> usize {
        axes.iter().map(|&a| b.ty(self.node).shape.dims()[a]).product()
    }

    /// Whether the contracted axes are the innermost ones in memory.
    fn contracts_rows(&self, b: &Builder) -> bool {
        let dims = b.ty(self.node).shape.dims();
        let first = self.contract.iter().filter(|&&a| dims[a] > 1).min();
        let others = self.free.iter().chain(&self.batch).filter(|&&a| dims[a] > 1).max();
        first.zip(others).is_none_or(|(k, o)| k > o)
    }

    /// Puts the free axes of windows in the order of memory, where rows or columns are then neighbours; where each free
    /// axis was before.
    fn sort_windows(&mut self, b: &Builder) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.free.len()).collect();
        let node = b.graph().node(self.node);
        let kept = node.inputs.first().map(|&x| &b.graph().node(x).op);
        if matches!(node.op, Op::Move(MoveOp::Transpose(_)))
            && matches!(kept, Some(Op::Move(MoveOp::Window(_))))
        {
            order.sort_by_key(|&i| self.free[i]);
            self.free.sort_unstable();
        }
        order
    }

    /// The operand with its axes in the order `[batch.., free.., contract..]`.
    fn rows(&self, b: &mut Builder) -> NodeId {
        b.transpose(self.node, [&self.batch[..], &self.free, &self.contract].concat())
    }

    /// The operand with its axes in the order `[batch.., contract.., free..]`.
    fn columns(&self, b: &mut Builder) -> NodeId {
        b.transpose(self.node, [&self.batch[..], &self.contract, &self.free].concat())
    }
}

/// The contraction of `a` and `b`, both with elements.
pub(super) fn product(new: &mut Builder, a: NodeId, b: NodeId, axes: &DotAxes) -> NodeId {
    let result = result_shape(new, a, b, axes);
    // Contracted pairs in the order of the right operand's memory: its rows are then read in order.
    let mut pairs = axes.contract.clone();
    let mut order: Vec<usize> = pairs.iter().map(|p| p.1).collect();
    peel(new, b, &mut order);
    let mut keyed: Vec<(usize, (usize, usize))> = order.into_iter().zip(pairs).collect();
    keyed.sort_unstable();
    pairs = keyed.into_iter().map(|k| k.1).collect();
    let column = |list: &[(usize, usize)], right: bool| -> Vec<usize> {
        list.iter().map(|p| if right { p.1 } else { p.0 }).collect()
    };
    let (free_a, free_b) = (axes.free_left(new.ty(a).rank()), axes.free_right(new.ty(b).rank()));
    let mut left = Side::new(new, a, &column(&axes.batch, false), &free_a, &column(&pairs, false));
    let mut right = Side::new(new, b, &column(&axes.batch, true), &free_b, &column(&pairs, true));
    let (m, n) = (left.size(new, &left.free), right.size(new, &right.free));
    let k = left.size(new, &left.contract);
    let rows = |s: &Side| s.contracts_rows(new);
    let long = k >= FEW_TERMS;
    let few = long && m <= FEW_ROWS && n > 1 && rows(&right);
    let y = if k == 1 || (m == 1 && n == 1) || few || (long && n == 1 && rows(&left)) {
        summed(new, &left, &right)
    } else if n == 1 {
        canonical(new, &right, &left)
    } else {
        let (nb, nl) = (left.batch.len(), left.free.len());
        let rows = left.sort_windows(new).into_iter().map(|i| nb + i);
        let columns = right.sort_windows(new).into_iter().map(|i| nb + nl + i);
        let order: Vec<usize> = (0..nb).chain(rows).chain(columns).collect();
        let y = canonical(new, &left, &right);
        transpose(new, y, window::inverse(&order))
    };
    new.reshape(y, result)
}

fn result_shape(b: &Builder, left: NodeId, right: NodeId, axes: &DotAxes) -> Shape {
    let (l, r) = (b.ty(left), b.ty(right));
    let batch = axes.batch.iter().map(|p| l.shape.dims()[p.0]);
    let free_left = axes.free_left(l.rank()).into_iter().map(|i| l.shape.dims()[i]);
    let free_right = axes.free_right(r.rank()).into_iter().map(|i| r.shape.dims()[i]);
    batch.chain(free_left).chain(free_right).collect()
}

fn canonical(b: &mut Builder, left: &Side, right: &Side) -> NodeId {
    let (nb, nk) = (left.batch.len(), left.contract.len());
    let batch = (0..nb).map(|i| (i, i)).collect();
    let contract = (0..nk).map(|i| (nb + left.free.len() + i, nb + i)).collect();
    let (x, y) = (left.rows(b), right.columns(b));
    b.dot(x, y, DotAxes { batch, contract })
}

/// The product as a sum of products along rows.
fn summed(b: &mut Builder, left: &Side, right: &Side) -> NodeId {
    let (nb, nl, nr) = (left.batch.len(), left.free.len(), right.free.len());
    let nk = left.contract.len();
    let (x, y) = (left.rows(b), right.rows(b));
    let (xs, ys) = (b.ty(x).shape.clone(), b.ty(y).shape.clone());
    let dims = xs.dims()[..nb + nl].iter().chain(&ys.dims()[nb..]);
    let shape: Shape = dims.copied().collect();
    let k = nb + nl + nr..nb + nl + nr + nk;
    let x = b.spread(x, shape.clone(), (0..nb + nl).chain(k.clone()).collect());
    let y = b.spread(y, shape, (0..nb).chain(nb + nl..k.end).collect());
    let terms = b.mul(x, y);
    reduce::reduce(b, ReduceOp::Sum, terms, &k.collect::<Vec<_>>())
}

/// The pairs of the product with its operands exchanged, when `perm` of the product `dot` amounts to that.
pub(super) fn swapped(
    graph: &Graph,
    dot: NodeId,
    axes: &DotAxes,
    perm: &[usize],
) -> Option<DotAxes> {
    let [a, b] = [0, 1].map(|i| graph.ty(graph.node(dot).inputs[i]).rank());
    let (nb, nl, nr) = (axes.batch.len(), axes.free_left(a).len(), axes.free_right(b).len());
    let exchanged = (0..nb).chain(nb + nl..nb + nl + nr).chain(nb..nb + nl);
    let flip = |list: &[(usize, usize)]| list.iter().map(|&(l, r)| (r, l)).collect();
    let flipped = || DotAxes { batch: flip(&axes.batch), contract: flip(&axes.contract) };
    perm.iter().copied().eq(exchanged).then(flipped)
}
