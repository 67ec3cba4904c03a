//! Names for axes: positions in, names out.
//!
//! Every dimension of every node starts with a name of its own; wherever an op lines dimensions up, their names
//! become one. A union that would put one name twice on a value (`x @ xᵀ`, a square weight used twice) is refused;
//! there the operand is renamed where it is read.

use eggrad_ir::{CrossEntropyOp, Graph, MoveOp, Op, Windows};
use std::collections::HashSet;
use std::sync::Arc;

/// A named axis; its size is in [`Naming::sizes`].
pub(crate) type Axis = u32;

/// A set of axes, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AxisSet(Arc<[Axis]>);

impl AxisSet {
    pub(crate) fn new(axes: impl IntoIterator<Item = Axis>) -> AxisSet {
        let mut axes: Vec<Axis> = axes.into_iter().collect();
        axes.sort_unstable();
        axes.dedup();
        AxisSet(axes.into())
    }

    pub(crate) fn empty() -> AxisSet {
        AxisSet::new([])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Axis> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn has(&self, axis: Axis) -> bool {
        self.0.binary_search(&axis).is_ok()
    }

    pub(crate) fn union(&self, other: &AxisSet) -> AxisSet {
        if other.subset(self) {
            return self.clone();
        }
        if self.subset(other) {
            return other.clone();
        }
        AxisSet::new(self.iter().chain(other.iter()))
    }

    pub(crate) fn minus(&self, other: &AxisSet) -> AxisSet {
        if self.disjoint(other) {
            return self.clone();
        }
        AxisSet::new(self.iter().filter(|&a| !other.has(a)))
    }

    pub(crate) fn meet(&self, other: &AxisSet) -> AxisSet {
        AxisSet::new(self.iter().filter(|&a| other.has(a)))
    }

    pub(crate) fn subset(&self, other: &AxisSet) -> bool {
        self.iter().all(|a| other.has(a))
    }

    pub(crate) fn disjoint(&self, other: &AxisSet) -> bool {
        !self.iter().any(|a| other.has(a))
    }

    /// Number of elements along all of them.
    pub(crate) fn elements(&self, sizes: &[usize]) -> f64 {
        self.iter().map(|a| sizes[a as usize] as f64).product()
    }
}

/// The name of every dimension of every node, and of every operand where it is read.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// Size of each axis.
    pub(crate) sizes: Vec<usize>,
    /// For each node, its dimensions.
    pub(crate) nodes: Vec<Vec<Axis>>,
    /// For each node and operand, the names under which the node reads the operand's dimensions.
    pub(crate) reads: Vec<Vec<Vec<Axis>>>,
}

/// Where an operand's dimension is found at the node that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// This dimension of the result.
    Out(usize),
    /// A dimension that the result does not have.
    Inner(usize),
    /// Under the operand's own name: the op takes all dimensions by position, and lines none of them up.
    Own,
}

/// Runs of dimensions that a reshape maps onto each other, as ranges of operand and result, sizes of 1 left out of
/// neither side: `[a, b] -> [c]` or one to one.
pub(crate) fn reshape_groups(from: &[usize], to: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let keep = |dims: &[usize]| (0..dims.len()).filter(|&i| dims[i] != 1).collect::<Vec<_>>();
    let (from_dims, to_dims) = (keep(from), keep(to));
    let (mut i, mut j) = (0, 0);
    let mut groups = vec![];
    while i < from_dims.len() && j < to_dims.len() {
        let (mut left, mut right) = (vec![from_dims[i]], vec![to_dims[j]]);
        let (mut l, mut r) = (from[from_dims[i]], to[to_dims[j]]);
        i += 1;
        j += 1;
        while l != r {
            if l < r && i < from_dims.len() {
                l *= from[from_dims[i]];
                left.push(from_dims[i]);
                i += 1;
            } else if j < to_dims.len() {
                r *= to[to_dims[j]];
                right.push(to_dims[j]);
                j += 1;
            } else {
                break;
            }
        }
        groups.push((left, right));
    }
    groups
}

/// Whether windows of one position, one beside the other, leave listed axis `i` as it is.
pub(crate) fn through(windows: &Windows, i: usize) -> bool {
    (windows.size[i], windows.stride[i]) == (1, 1)
}

/// Whether a slice or pad leaves axis `axis`, of size `from`, as it is.
pub(crate) fn whole(
    start: &[usize],
    step: &[usize],
    size: &[usize],
    axis: usize,
    from: usize,
) -> bool {
    (start[axis], step[axis], size[axis]) == (0, 1, from)
}

/// For each operand dimension, where it is found at the node.
fn slots(op: &Op, operands: &[&[usize]], out: &[usize]) -> Vec<Vec<Slot>> {
    let straight = |x: &[usize]| (0..x.len()).map(Slot::Out).collect::<Vec<_>>();
    let without = |x: &[usize], axes: &[usize]| {
        let (mut kept, mut gone) = (0, 0);
        let slot = |d| match axes.contains(&d) {
            true => {
                gone += 1;
                Slot::Inner(gone - 1)
            }
            false => {
                kept += 1;
                Slot::Out(kept - 1)
            }
        };
        (0..x.len()).map(slot).collect::<Vec<_>>()
    };
    let own = |x: &[usize]| vec![Slot::Own; x.len()];
    // An axis along which windows slide keeps its name only where nothing slides.
    let slid = |windows: &Windows, axis: usize| match windows.listed(axis) {
        Some(i) if !through(windows, i) => Slot::Inner(axis),
        Some(_) | None => Slot::Out(axis),
    };
    match op {
        Op::Input(_) | Op::State(_) | Op::Const(..) | Op::Data(_) | Op::Iota { .. } => vec![],
        Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. } => operands.iter().map(|x| own(x)).collect(),
        Op::Move(MoveOp::Window(windows)) => {
            vec![(0..operands[0].len()).map(|axis| slid(windows, axis)).collect()]
        }
        Op::Fold { windows, .. } => {
            let mut slots: Vec<Slot> = (0..out.len()).map(|axis| slid(windows, axis)).collect();
            slots.extend((out.len()..operands[0].len()).map(Slot::Inner));
            vec![slots]
        }
        Op::Size { .. } | Op::Grad => {
            operands.iter().map(|x| (0..x.len()).map(Slot::Inner).collect()).collect()
        }
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Softmax(..)
        | Op::OneHot { .. } => operands.iter().map(|x| straight(x)).collect(),
        Op::CrossEntropy(CrossEntropyOp::Residual, _) => {
            operands.iter().map(|x| straight(x)).collect()
        }
        Op::CrossEntropy(CrossEntropyOp::Value, axes) | Op::Reduce(_, axes) => {
            operands.iter().map(|x| without(x, axes)).collect()
        }
        Op::Move(MoveOp::Reshape(_)) => {
            let mut slots: Vec<Slot> = (0..operands[0].len()).map(Slot::Inner).collect();
            for (left, right) in reshape_groups(operands[0], out) {
                if let ([l], [r]) = (&left[..], &right[..]) {
                    slots[*l] = Slot::Out(*r);
                }
            }
            vec![slots]
        }
        Op::Move(MoveOp::Transpose(perm)) => {
            let mut slots = vec![Slot::Out(0); perm.len()];
            perm.iter().enumerate().for_each(|(i, &p)| slots[p] = Slot::Out(i));
            vec![slots]
        }
        Op::Move(MoveOp::Broadcast { axes, .. }) => {
            vec![axes.iter().map(|&a| Slot::Out(a)).collect()]
        }
        Op::Move(MoveOp::Slice { start, step, size } | MoveOp::Pad { start, step, size, .. }) => {
            let slot = |(d, &from): (usize, &usize)| match whole(start, step, size, d, from) {
                true => Slot::Out(d),
                false => Slot::Inner(d),
            };
            vec![operands[0].iter().enumerate().map(slot).collect()]
        }
        Op::Dot(axes) => {
            let (a, b) = (operands[0].len(), operands[1].len());
            let (mut left, mut right) = (vec![Slot::Out(0); a], vec![Slot::Out(0); b]);
            let batch = axes.batch.len();
            for (i, &(l, r)) in axes.batch.iter().enumerate() {
                (left[l], right[r]) = (Slot::Out(i), Slot::Out(i));
            }
            for (i, &(l, r)) in axes.contract.iter().enumerate() {
                (left[l], right[r]) = (Slot::Inner(i), Slot::Inner(i));
            }
            let (free_left, free_right) = (axes.free_left(a), axes.free_right(b));
            for (i, &l) in free_left.iter().enumerate() {
                left[l] = Slot::Out(batch + i);
            }
            for (i, &r) in free_right.iter().enumerate() {
                right[r] = Slot::Out(batch + free_left.len() + i);
            }
            vec![left, right]
        }
        Op::Gather { batch } => {
            let (b, index) = (*batch, operands[1].len());
            let table = |d: usize| match d.cmp(&b) {
                std::cmp::Ordering::Less => Slot::Out(d),
                std::cmp::Ordering::Equal => Slot::Inner(0),
                std::cmp::Ordering::Greater => Slot::Out(index + d - b - 1),
            };
            vec![(0..operands[0].len()).map(table).collect(), straight(operands[1])]
        }
        Op::ScatterAdd { batch, .. } => {
            let (b, index) = (*batch, operands[0].len());
            let slot = |d: usize| match d {
                d if d < b => Slot::Out(d),
                d if d < index => Slot::Inner(d - b),
                d => Slot::Out(b + 1 + d - index),
            };
            vec![(0..index).map(slot).collect(), (0..operands[1].len()).map(slot).collect()]
        }
    }
}

/// Whether a value is sure to be constant along dimension `d`, given which operands are along theirs.
fn is_free(op: &Op, d: usize, slots: &[Vec<Slot>], free: &dyn Fn(usize, usize) -> bool) -> bool {
    match op {
        Op::Move(MoveOp::Broadcast { axes, .. }) => match axes.iter().position(|&a| a == d) {
            Some(from) => free(0, from),
            None => true,
        },
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(MoveOp::Transpose(_)) => slots.iter().enumerate().all(|(k, slots)| {
            let from = slots.iter().position(|&s| s == Slot::Out(d));
            from.is_some_and(|e| free(k, e))
        }),
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Move(
            MoveOp::Reshape(_) | MoveOp::Slice { .. } | MoveOp::Pad { .. } | MoveOp::Window(_),
        )
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::OneHot { .. }
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => false,
    }
}

/// Names the axes of `graph`.
pub(crate) fn name_axes(graph: &Graph) -> Naming {
    let mut sets = Sets::default();
    let mut nodes: Vec<Vec<usize>> = vec![];
    let mut reads: Vec<Vec<Vec<usize>>> = vec![];
    let mut free: Vec<Vec<bool>> = vec![];
    for (scope, node) in graph.nodes().iter().enumerate() {
        let operands: Vec<&[usize]> =
            node.inputs.iter().map(|&i| graph.ty(i).shape.dims()).collect();
        let dims = node.ty.shape.dims();
        let slots = slots(&node.op, &operands, dims);
        let out: Vec<usize> = dims.iter().map(|&size| sets.fresh(scope, size)).collect();
        let mut inner: Vec<Option<usize>> = vec![];
        let mut node_reads: Vec<Vec<usize>> = vec![];
        let mut later = vec![];
        for (k, &input) in node.inputs.iter().enumerate() {
            let mut names = vec![];
            for (d, &slot) in slots[k].iter().enumerate() {
                let there = nodes[input.index()][d];
                let here = match slot {
                    Slot::Own => there,
                    Slot::Out(i) => out[i],
                    Slot::Inner(i) => {
                        if inner.len() <= i {
                            inner.resize(i + 1, None);
                        }
                        *inner[i].get_or_insert_with(|| sets.fresh(scope, operands[k][d]))
                    }
                };
                // Constant numbers have no say in what axes are called.
                match free[input.index()][d] {
                    true => later.push((there, here)),
                    false => sets.unite(there, here),
                }
                names.push(here);
            }
            node_reads.push(names);
        }
        later.into_iter().for_each(|(there, here)| sets.unite(there, here));
        let along =
            |d: usize| is_free(&node.op, d, &slots, &|k, e| free[node.inputs[k].index()][e]);
        free.push((0..dims.len()).map(along).collect());
        nodes.push(out);
        reads.push(node_reads);
    }
    sets.finish(nodes, reads)
}

/// Union-find that knows the nodes on which each name stands.
#[derive(Default)]
struct Sets {
    parent: Vec<usize>,
    size: Vec<usize>,
    scopes: Vec<HashSet<usize>>,
}

impl Sets {
    fn fresh(&mut self, scope: usize, size: usize) -> usize {
        let id = self.parent.len();
        self.parent.push(id);
        self.size.push(size);
        self.scopes.push(HashSet::from([scope]));
        id
    }

    fn find(&mut self, mut x: usize) -> usize {
        while self.parent[x] != x {
            self.parent[x] = self.parent[self.parent[x]];
            x = self.parent[x];
        }
        x
    }

    /// Makes two names one unless some node has both.
    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        let (large, small) = match self.scopes[a].len() >= self.scopes[b].len() {
            true => (a, b),
            false => (b, a),
        };
        if large == small || self.scopes[small].iter().any(|s| self.scopes[large].contains(s)) {
            return;
        }
        let moved = std::mem::take(&mut self.scopes[small]);
        self.scopes[large].extend(moved);
        self.parent[small] = large;
    }

    /// Numbers the names in the order in which they first stand on a node.
    fn finish(mut self, nodes: Vec<Vec<usize>>, reads: Vec<Vec<Vec<usize>>>) -> Naming {
        let mut numbers: Vec<Option<Axis>> = vec![None; self.parent.len()];
        let mut sizes = vec![];
        let mut name = |sets: &mut Sets, x: usize| {
            let root = sets.find(x);
            *numbers[root].get_or_insert_with(|| {
                sizes.push(sets.size[root]);
                sizes.len() as Axis - 1
            })
        };
        let mut named_nodes = vec![];
        let mut named_reads = vec![];
        for (out, operands) in nodes.into_iter().zip(reads) {
            let operands = operands.into_iter();
            named_reads.push(
                operands.map(|o| o.into_iter().map(|x| name(&mut self, x)).collect()).collect(),
            );
            named_nodes.push(out.into_iter().map(|x| name(&mut self, x)).collect());
        }
        Naming { sizes, nodes: named_nodes, reads: named_reads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(text: &str) -> Naming {
        name_axes(&format!("graph 2\n{text}").parse().unwrap())
    }

    #[test]
    fn a_product_names_three_axes() {
        let n = naming(
            "in x: f32[4, 3]\nin w: f32[3, 2]\n%2 = dot(x, w, contract=[(1, 0)])\nout y = %2",
        );
        assert_eq!(n.nodes[0], [0, 1]);
        assert_eq!(n.nodes[1], [1, 2]);
        assert_eq!(n.nodes[2], [0, 2]);
        assert_eq!(n.sizes, [4, 3, 2]);
    }

    #[test]
    fn no_value_has_a_name_twice() {
        let n = naming("in x: f32[4, 3]\n%1 = dot(x, x, contract=[(1, 1)])\nout y = %1");
        assert_ne!(n.nodes[1][0], n.nodes[1][1]);
        assert_eq!(n.reads[1][0], n.nodes[0]);
        assert_ne!(n.reads[1][1], n.nodes[0], "the second reading is renamed");
        assert_eq!(n.reads[1][0][1], n.reads[1][1][1]);
    }

    #[test]
    fn transposes_only_permute_names() {
        let n = naming("in x: f32[4, 3]\n%1 = transpose(x, axes=[1, 0])\nout y = %1");
        assert_eq!(n.nodes[1], [n.nodes[0][1], n.nodes[0][0]]);
    }

    #[test]
    fn a_reshape_keeps_what_lines_up() {
        let n = naming("in x: f32[5, 4, 3]\n%1 = reshape(x, shape=[5, 1, 12])\nout y = %1");
        assert_eq!(n.nodes[1][0], n.nodes[0][0]);
        assert!(!n.nodes[0].contains(&n.nodes[1][2]));
    }

    #[test]
    fn sets_of_axes() {
        let a = AxisSet::new([3, 1, 1]);
        let b = AxisSet::new([1, 2]);
        assert_eq!(a.union(&b), AxisSet::new([1, 2, 3]));
        assert_eq!(a.minus(&b), AxisSet::new([3]));
        assert_eq!(a.meet(&b), AxisSet::new([1]));
        assert!(!a.disjoint(&b) && a.meet(&b).subset(&a));
    }
}
