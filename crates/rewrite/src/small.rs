//! Small sizes of axes, at which a graph and what became of it are compared.
//!
//! Axes that nothing fixes get 2 to 5 positions. What windows, slices, pads, folds and reshapes make follows from what
//! they are made of; where a small size would leave no room for a window, or disagree with a size that is fixed, the
//! axes it was made of grow, if need be to the sizes of the graph.

use crate::axes::{Axis, Naming, reshape_groups, through, whole};
use eggrad_ir::{Graph, MoveOp, NodeId, Op, Windows};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Axes that data indexes keep their size up to this one.
pub(crate) const MOST_CLASSES: usize = 16;

/// How the size of an axis follows from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Follows {
    /// As many places, `stride` apart, as an axis has room for when each reaches over `span` positions.
    Places { span: usize, stride: usize },
    /// All positions of several axes.
    Product,
}

/// The size of `axis` follows from those of `of`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Rule {
    axis: usize,
    follows: Follows,
    of: Vec<usize>,
}

impl Rule {
    /// `None` where there is no room.
    fn size(&self, sizes: &[usize]) -> Option<usize> {
        match self.follows {
            Follows::Places { span, stride } => {
                Some(sizes[self.of[0]].checked_sub(span)? / stride + 1)
            }
            Follows::Product => Some(self.of.iter().map(|&a| sizes[a]).product()),
        }
    }
}

/// Sizes for a comparison.
pub(crate) fn small_sizes(graph: &Graph, naming: &Naming) -> Vec<usize> {
    let same = (0..naming.sizes.len()).collect();
    let mut sizes = Sizes { graph, naming, same, fixed: vec![], rules: vec![] };
    // One axis under two names, by a renaming or a write.
    for id in graph.ids() {
        for (&input, read) in graph.node(id).inputs.iter().zip(&naming.reads[id.index()]) {
            sizes.unite_all(&naming.nodes[input.index()], read);
        }
    }
    for state in graph.states() {
        if let Some(write) = state.write {
            sizes.unite_all(&naming.nodes[write.index()], &naming.nodes[state.read.index()]);
        }
    }
    for id in graph.ids() {
        sizes.node(id);
    }
    sizes.unite_sources();
    sizes.solve()
}

/// What must hold between sizes.
struct Sizes<'a> {
    graph: &'a Graph,
    naming: &'a Naming,
    /// Axes that must agree, as a forest.
    same: Vec<usize>,
    fixed: Vec<Axis>,
    rules: Vec<Rule>,
}

impl Sizes<'_> {
    fn find(&mut self, mut a: usize) -> usize {
        while self.same[a] != a {
            self.same[a] = self.same[self.same[a]];
            a = self.same[a];
        }
        a
    }

    fn unite(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        self.same[a.max(b)] = a.min(b);
        a != b
    }

    fn unite_all(&mut self, a: &[Axis], b: &[Axis]) {
        for (&a, &b) in a.iter().zip(b) {
            self.unite(a as usize, b as usize);
        }
    }

    fn follow(&mut self, axis: Axis, of: &[Axis], follows: Follows) {
        let of = of.iter().map(|&a| a as usize).collect();
        self.rules.push(Rule { axis: axis as usize, follows, of });
    }

    /// Collects what one node demands.
    fn node(&mut self, id: NodeId) {
        let (graph, naming) = (self.graph, self.naming);
        let node = graph.node(id);
        let (out, reads) = (&naming.nodes[id.index()], &naming.reads[id.index()]);
        if let Some((axis, index)) = indexed(graph, naming, id) {
            let size = naming.sizes[axis as usize];
            if size <= MOST_CLASSES || !starts_at_zero(graph, index) {
                self.fixed.push(axis);
            }
        }
        match &node.op {
            Op::Data(_) | Op::RandomKey { .. } => self.fixed.extend(out),
            Op::Random { .. } => self.fixed.extend(&reads[0]),
            Op::Call { .. } | Op::Cond { .. } => {
                self.fixed.extend(reads.iter().flatten().chain(out));
            }
            Op::Scan { scan, result } => {
                let sequences = scan.carries..scan.carries + scan.xs;
                for (i, read) in reads.iter().enumerate() {
                    self.fixed.extend(&read[usize::from(sequences.contains(&i))..]);
                }
                let stacked = *result >= scan.carries;
                self.fixed.extend(&out[usize::from(stacked && scan.xs > 0)..]);
                for i in sequences {
                    self.unite(reads[i][0] as usize, reads[scan.carries][0] as usize);
                    if stacked {
                        self.unite(reads[i][0] as usize, out[0] as usize);
                    }
                }
            }
            Op::Move(MoveOp::Reshape(shape)) => {
                let from = graph.ty(node.inputs[0]).shape.dims();
                for (left, right) in reshape_groups(from, shape.dims()) {
                    let left: Vec<Axis> = left.iter().map(|&l| reads[0][l]).collect();
                    let right: Vec<Axis> = right.iter().map(|&r| out[r]).collect();
                    match (&left[..], &right[..]) {
                        ([_], [_]) => {}
                        ([one], of) | (of, [one]) => self.follow(*one, of, Follows::Product),
                        _ => self.fixed.extend(left.iter().chain(&right)),
                    }
                }
            }
            Op::Move(MoveOp::Slice { start, step, size }) => {
                let from = graph.ty(node.inputs[0]).shape.dims();
                for axis in (0..from.len()).filter(|&a| !whole(start, step, size, a, from[a])) {
                    self.places(out[axis], reads[0][axis], step[axis]);
                }
            }
            Op::Move(MoveOp::Pad { start, step, size, .. }) => {
                let from = graph.ty(node.inputs[0]).shape.dims();
                for axis in (0..from.len()).filter(|&a| !whole(start, step, size, a, from[a])) {
                    self.places(reads[0][axis], out[axis], step[axis]);
                }
            }
            Op::Move(MoveOp::Window(windows)) => {
                self.fixed.extend(&out[reads[0].len()..]);
                self.windows(windows, &reads[0], out);
            }
            Op::Fold { windows, .. } => {
                self.fixed.extend(&reads[0][out.len()..]);
                self.windows(windows, out, &reads[0]);
            }
            Op::Input(_)
            | Op::State(_)
            | Op::Const(..)
            | Op::Iota { .. }
            | Op::Size { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Mark(_)
            | Op::Move(MoveOp::Transpose(_) | MoveOp::Broadcast { .. })
            | Op::Reduce(..)
            | Op::Softmax(..)
            | Op::CrossEntropy(..)
            | Op::Dot(_)
            | Op::OneHot { .. }
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::Grad => {}
        }
    }

    /// The positions of `few` are some of `many`, `stride` apart; what lies before and after keeps its size.
    fn places(&mut self, few: Axis, many: Axis, stride: usize) {
        let (n, all) = (self.naming.sizes[few as usize], self.naming.sizes[many as usize]);
        match n {
            0 => self.fixed.extend([few, many]),
            _ => {
                let span = all - stride * (n - 1);
                self.follow(few, &[many], Follows::Places { span, stride });
            }
        }
    }

    /// Windows slide along axes of `whole`, and `slid` has one position for each of them.
    fn windows(&mut self, windows: &Windows, whole: &[Axis], slid: &[Axis]) {
        for (i, &axis) in windows.axes.iter().enumerate() {
            if through(windows, i) {
                continue;
            }
            match windows.span(i) {
                Some(span) => {
                    let stride = windows.stride[i];
                    self.follow(slid[axis], &[whole[axis]], Follows::Places { span, stride });
                }
                None => self.fixed.extend([whole[axis], slid[axis]]),
            }
        }
    }

    /// Makes axes one from which another follows in the same way: what a derivative brings back to a shape has other
    /// names than what had the shape.
    fn unite_sources(&mut self) {
        loop {
            let mut known: HashMap<(usize, Follows, Vec<usize>), Vec<usize>> = HashMap::new();
            let mut changed = false;
            for mut rule in std::mem::take(&mut self.rules) {
                rule.axis = self.find(rule.axis);
                rule.of = rule.of.into_iter().map(|a| self.find(a)).collect();
                let sizes = rule.of.iter().map(|&a| self.naming.sizes[a]).collect();
                match known.entry((rule.axis, rule.follows.clone(), sizes)) {
                    Entry::Vacant(entry) => {
                        entry.insert(rule.of.clone());
                        self.rules.push(rule);
                    }
                    Entry::Occupied(entry) => {
                        for (&a, &b) in entry.get().iter().zip(&rule.of) {
                            changed |= self.unite(a, b);
                        }
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// The smallest sizes found that satisfy every rule.
    fn solve(mut self) -> Vec<usize> {
        let full: &[usize] = &self.naming.sizes;
        let count = full.len();
        let mut fixed = vec![false; count];
        for axis in std::mem::take(&mut self.fixed) {
            let axis = self.find(axis as usize);
            fixed[axis] = true;
        }
        let order = order(&self.rules, count);
        let mut ordered = vec![false; count];
        order.iter().for_each(|&a| ordered[a] = true);
        let mut follows: Vec<Option<usize>> = vec![None; count];
        for (i, rule) in self.rules.iter().enumerate() {
            match ordered[rule.axis] {
                true => follows[rule.axis] = follows[rule.axis].or(Some(i)),
                // Axes that follow from themselves.
                false => fixed[rule.axis] = true,
            }
        }
        let mut sources: Vec<Vec<usize>> = vec![vec![]; count];
        self.rules.iter().for_each(|r| sources[r.axis].extend(&r.of));
        let small = |a: usize| full[a].min(2 + (3 * a + 1) % 4);
        let mut sizes: Vec<usize> =
            (0..count).map(|a| if fixed[a] { full[a] } else { small(a) }).collect();
        loop {
            for &axis in &order {
                if let (false, Some(i)) = (fixed[axis], follows[axis]) {
                    sizes[axis] = self.rules[i].size(&sizes).unwrap_or(1);
                }
            }
            let broken = |r: &&Rule| r.size(&sizes) != Some(sizes[r.axis]);
            let mut growing: Vec<usize> = vec![];
            for rule in self.rules.iter().filter(broken) {
                growing.push(rule.axis);
                growing.extend(&rule.of);
            }
            if growing.is_empty() {
                let roots: Vec<usize> = (0..count).map(|a| self.find(a)).collect();
                return roots.into_iter().map(|a| sizes[a]).collect();
            }
            let mut seen = vec![false; count];
            let mut grown = false;
            while let Some(axis) = growing.pop() {
                if std::mem::replace(&mut seen[axis], true) {
                    continue;
                }
                growing.extend(&sources[axis]);
                if follows[axis].is_none() && sizes[axis] < full[axis] {
                    sizes[axis] = full[axis].min(sizes[axis] + (sizes[axis] / 4).max(1));
                    grown = true;
                }
            }
            if !grown {
                return full.to_vec();
            }
        }
    }
}

/// Axes that follow from others, each after those; without what follows from itself.
fn order(rules: &[Rule], count: usize) -> Vec<usize> {
    let mut waiting = vec![0; count];
    let mut readers: Vec<Vec<usize>> = vec![vec![]; count];
    for rule in rules {
        waiting[rule.axis] += rule.of.len();
        rule.of.iter().for_each(|&a| readers[a].push(rule.axis));
    }
    let mut ready: Vec<usize> = (0..count).filter(|&a| waiting[a] == 0).collect();
    let mut order = vec![];
    while let Some(axis) = ready.pop() {
        order.push(axis);
        for &reader in &readers[axis] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(reader);
            }
        }
    }
    order
}

/// The axis that a node's integers are positions of, and the integers.
fn indexed(graph: &Graph, naming: &Naming, id: NodeId) -> Option<(Axis, NodeId)> {
    let node = graph.node(id);
    let out = &naming.nodes[id.index()];
    match &node.op {
        Op::OneHot { .. } => Some((out[out.len() - 1], node.inputs[0])),
        Op::Gather { batch } => Some((naming.reads[id.index()][0][*batch], node.inputs[1])),
        Op::ScatterAdd { batch, .. } => Some((out[*batch], node.inputs[0])),
        Op::Input(_)
        | Op::State(_)
        | Op::Const(..)
        | Op::Data(_)
        | Op::Iota { .. }
        | Op::Size { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Mark(_)
        | Op::Move(_)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::CrossEntropy(..)
        | Op::Dot(_)
        | Op::Fold { .. }
        | Op::RandomKey { .. }
        | Op::Random { .. }
        | Op::Call { .. }
        | Op::Scan { .. }
        | Op::Cond { .. }
        | Op::Grad => None,
    }
}

/// Whether integers come straight from an input whose range includes 0, so that smaller ones can be drawn.
fn starts_at_zero(graph: &Graph, mut id: NodeId) -> bool {
    while let Op::Move(
        MoveOp::Broadcast { .. } | MoveOp::Transpose(_) | MoveOp::Reshape(_) | MoveOp::Slice { .. },
    ) = graph.node(id).op
    {
        id = graph.node(id).inputs[0];
    }
    let Op::Input(i) = graph.node(id).op else { return false };
    graph.inputs()[i].range.is_none_or(|(low, high)| low <= 0.0 && high >= 0.0)
}

/// The smallest axis that integers index, at the given sizes.
pub(crate) fn smallest_index(graph: &Graph, naming: &Naming, sizes: &[usize]) -> usize {
    let axes = graph.ids().filter_map(|id| indexed(graph, naming, id));
    axes.map(|(axis, _)| sizes[axis as usize]).min().unwrap_or(MOST_CLASSES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::name_axes;
    use eggrad_ir::{At, Builder, DType, TensorType, UnaryOp};

    /// Sizes at which the inputs and the result of a graph are compared.
    fn small(text: &str) -> Vec<Vec<usize>> {
        small_of(&format!("graph 2\n{text}").parse().unwrap())
    }

    fn small_of(graph: &Graph) -> Vec<Vec<usize>> {
        let naming = name_axes(graph);
        let sizes = small_sizes(graph, &naming);
        let inputs = graph.inputs().iter().map(|i| i.node);
        let nodes = inputs.chain(graph.outputs().iter().map(|o| o.node));
        let dims = |id: NodeId| naming.nodes[id.index()].iter().map(|&a| sizes[a as usize]);
        nodes.map(|id| dims(id).collect()).collect()
    }

    fn slid(shape: &[usize], windows: Windows, back: bool) -> Graph {
        let mut b = Builder::new();
        let x = b.declare_input("x", TensorType::new(DType::F32, shape), None, At::Unknown);
        let mut y = b.window(x, windows.clone());
        if back {
            let length = windows.axes.iter().map(|&a| shape[a]).collect();
            y = b.unary(UnaryOp::Exp, y);
            y = b.fold(y, windows, length);
        }
        b.output("y", y);
        b.build().unwrap()
    }

    #[test]
    fn windows_fit() {
        let windows = Windows { axes: vec![1], size: vec![9], stride: vec![3], dilation: vec![2] };
        let sizes = small_of(&slid(&[64, 100], windows, false));
        assert!(sizes[0][0] <= 5 && (17..=22).contains(&sizes[0][1]), "{sizes:?}");
        assert_eq!(sizes[1], [sizes[0][0], (sizes[0][1] - 17) / 3 + 1, 9]);
    }

    #[test]
    fn what_is_merged_and_split_shrinks() {
        let text = "in x: f32[64, 80]\nin y: f32[60, 7]\n%2 = reshape(x, shape=[64, 8, 10])\n\
                    %3 = reshape(y, shape=[420])\nout a = %2\nout b = %3";
        let sizes = small(text);
        assert_eq!(sizes[0], [sizes[2][0], sizes[2][1] * sizes[2][2]]);
        assert_eq!(sizes[3], [sizes[1][0] * sizes[1][1]]);
        assert!(sizes.iter().flatten().all(|&s| s <= 25), "{sizes:?}");
    }

    #[test]
    fn what_disagrees_with_data_grows() {
        let text = "in x: f32[20, 3]\n%1 = slice(x, start=[8, 0], step=[2, 1], sizes=[5, 3])\n\
                    %2 = data(type=f32[5, 3], values=[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6])\n\
                    %3 = add(%1, %2)\nout y = %3";
        let sizes = small(text);
        assert_eq!(sizes[1], [5, 3]);
        assert!((17..=20).contains(&sizes[0][0]), "{sizes:?}");
    }

    #[test]
    fn parts_of_one_axis_shrink_with_it() {
        let text = "in x: f32[50, 3]\nin y: f32[70, 3]\n\
                    %2 = pad(x, start=[0, 0], step=[1, 1], sizes=[120, 3], fill=0.0)\n\
                    %3 = pad(y, start=[50, 0], step=[1, 1], sizes=[120, 3], fill=0.0)\n\
                    %4 = add(%2, %3)\nout z = %4";
        let sizes = small(text);
        let all = sizes[2][0];
        assert!(all > 70 && sizes[0][0] + 70 == all && sizes[1][0] + 50 == all, "{sizes:?}");
    }

    #[test]
    fn what_is_folded_back_is_as_long_as_it_was() {
        let windows = Windows { axes: vec![0], size: vec![3], stride: vec![2], dilation: vec![1] };
        let sizes = small_of(&slid(&[40], windows, true));
        assert_eq!(sizes[0], sizes[1]);
        assert!(sizes[0][0] <= 5, "{sizes:?}");
    }
}
