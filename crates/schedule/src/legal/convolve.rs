//! The input gradient of a convolution, the fold of a product, as a convolution: the product of windows of the padded
//! cotangent and the weight with its taps in reverse order. The product of before, with one copy of each element for
//! every tap, is then never stored.

use super::{Pass, part, part::Part, peel, product, window};
use crate::cost;
use eggrad_ir::{Builder, DType, DotAxes, Literal, MoveOp, NodeId, Op, Shape, TensorData, Windows};
use std::sync::Arc;

/// The part of a fold's result that is wanted along one of its axes.
#[derive(Clone, Copy)]
struct Wanted {
    start: usize,
    size: usize,
}

/// A listed axis of the windows that are folded, with more than one tap.
struct Slide {
    /// Axis of the result.
    axis: usize,
    /// Axis of the cotangent, and its positions.
    along: usize,
    positions: usize,
    /// Axis of the weight, and its positions.
    tap: usize,
    taps: usize,
    dilation: usize,
}

/// A product whose result is folded.
struct Folded {
    /// Number of the operand that is the cotangent; the other one is the weight.
    cotangent: usize,
    dot: NodeId,
    slides: Vec<Slide>,
    /// For each axis of the fold's result, its axis of the product's; none where it has one position.
    places: Vec<Option<usize>>,
}

impl Pass<'_> {
    /// The fold `fold` as a product of windows where that is estimated to be faster; all of it, or the part at `start`
    /// of `size`.
    pub(super) fn as_convolution(
        &mut self,
        fold: NodeId,
        part: Option<(&[usize], &[usize])>,
    ) -> Option<NodeId> {
        let shape = self.old.ty(fold).shape.clone();
        let wanted: Vec<Wanted> = match part {
            Some((start, size)) => {
                let each = start.iter().zip(size);
                each.map(|(&start, &size)| Wanted { start, size }).collect()
            }
            None => shape.dims().iter().map(|&size| Wanted { start: 0, size }).collect(),
        };
        let folded = self.folded(fold)?;
        if !self.pays(&folded, fold, &wanted) {
            return None;
        }
        self.convolved = Some(folded.dot);
        Some(self.convolution(&folded, &wanted))
    }

    /// The product behind `fold`, if its positions are axes of one operand and its taps axes of the other.
    fn folded(&self, fold: NodeId) -> Option<Folded> {
        let Op::Fold { windows, .. } = &self.old.node(fold).op else { return None };
        let mut id = self.old.node(fold).inputs[0];
        let updates = &self.old.ty(id).shape;
        let rank = self.old.ty(fold).rank();
        let mut places: Vec<Option<usize>> =
            (0..updates.rank()).map(|a| (updates.dims()[a] > 1).then_some(a)).collect();
        let (dot, axes) = loop {
            self.single_user[id.index()]?;
            let node = self.old.node(id);
            if let Op::Dot(axes) = &node.op {
                break (id, axes);
            } else if let Op::Move(MoveOp::Transpose(perm)) = &node.op {
                places.iter_mut().flatten().for_each(|a| *a = perm[*a]);
            } else if let Op::Move(MoveOp::Reshape(shape)) = &node.op {
                let found = same_axes(shape, &self.old.ty(node.inputs[0]).shape)?;
                places.iter_mut().for_each(|a| *a = a.and_then(|a| found[a]));
            } else {
                return None;
            }
            id = node.inputs[0];
        };
        let inputs = &self.old.node(dot).inputs;
        let [left, right] = [0, 1].map(|i| self.old.ty(inputs[i]).rank());
        let free = [axes.free_left(left), axes.free_right(right)];
        let first = [axes.batch.len(), axes.batch.len() + free[0].len()];
        // Operand and axis of it that an axis of the product is.
        let of = |place: usize| -> Option<(usize, usize)> {
            let operand = usize::from(place >= first[1]);
            let axis = place.checked_sub(first[operand])?;
            Some((operand, free[operand][axis]))
        };
        let mut slides = vec![];
        let mut cotangent = None;
        for (i, &axis) in windows.axes.iter().enumerate().filter(|(i, _)| windows.size[*i] > 1) {
            let (weight, tap) = of(places[rank + i]?)?;
            let (operand, along) = of(places[axis]?)?;
            if windows.stride[i] != 1 || operand == weight || cotangent == Some(weight) {
                return None;
            }
            cotangent = Some(operand);
            let (positions, taps) = (updates.dims()[axis], windows.size[i]);
            slides.push(Slide { axis, along, positions, tap, taps, dilation: windows.dilation[i] });
        }
        places.truncate(rank);
        Some(Folded { cotangent: cotangent?, dot, slides, places })
    }

    /// Whether the convolution is estimated to take less time than the product and the fold.
    fn pays(&self, folded: &Folded, fold: NodeId, wanted: &[Wanted]) -> bool {
        let updates = self.old.ty(self.old.node(fold).inputs[0]).shape.elements();
        let ty = self.old.ty(fold);
        let [left, right] = [0, 1].map(|i| &self.old.ty(self.old.node(folded.dot).inputs[i]).shape);
        let Op::Dot(axes) = &self.old.node(folded.dot).op else { return false };
        let terms: usize = axes.contract.iter().map(|p| left.dims()[p.0]).product();
        let more = |slide: &Slide| wanted[slide.axis].size as f64 / slide.positions as f64;
        let ratio: f64 = folded.slides.iter().map(more).product();
        let weight = if folded.cotangent == 0 { right } else { left };
        let product = cost::product_ns(1, updates, 1, terms, ty.dtype);
        let before = product
            + cost::memory_ns(updates, ty.dtype)
            + cost::fold_ns(updates, ty.shape.elements(), ty.dtype);
        before > product * ratio + cost::memory_ns(2 * weight.elements(), ty.dtype)
    }

    fn convolution(&mut self, folded: &Folded, wanted: &[Wanted]) -> NodeId {
        let node = self.old.node(folded.dot);
        let Op::Dot(axes) = &node.op else { panic!("internal error: a product without `dot`") };
        let operands = [0, 1].map(|i| self.map[node.inputs[i].index()]);
        let cotangent = operands[folded.cotangent];
        let rank = self.new.ty(cotangent).rank();
        let slid = slid(&mut self.new, cotangent, &folded.slides, wanted);
        let weight = turned(&mut self.new, operands[1 - folded.cotangent], &folded.slides);
        let taps = folded.slides.iter().enumerate();
        let taps = taps.map(|(i, slide)| match folded.cotangent {
            0 => (rank + i, slide.tap),
            _ => (slide.tap, rank + i),
        });
        let contract = axes.contract.iter().copied().chain(taps).collect();
        let axes = DotAxes { batch: axes.batch.clone(), contract };
        let (left, right) = if folded.cotangent == 0 { (slid, weight) } else { (weight, slid) };
        let y = product::product(&mut self.new, left, right, &axes);
        // The taps are no axes of the product any more.
        let gone = self.taps(folded);
        let place = |a: usize| a - gone.iter().filter(|&&g| g < a).count();
        let mut perm: Vec<usize> = folded.places.iter().flatten().map(|&a| place(a)).collect();
        let rest: Vec<usize> = (0..self.new.ty(y).rank()).filter(|a| !perm.contains(a)).collect();
        perm.extend(rest);
        let y = self.new.transpose(y, perm);
        self.new.reshape(y, wanted.iter().map(|w| w.size).collect())
    }

    /// Axes of the product's result that are taps.
    fn taps(&self, folded: &Folded) -> Vec<usize> {
        let node = self.old.node(folded.dot);
        let Op::Dot(axes) = &node.op else { panic!("internal error: a product without `dot`") };
        let [left, right] = [0, 1].map(|i| self.old.ty(node.inputs[i]).rank());
        let free_left = axes.free_left(left);
        let (free, first) = match folded.cotangent {
            0 => (axes.free_right(right), axes.batch.len() + free_left.len()),
            _ => (free_left, axes.batch.len()),
        };
        let tap = |slide: &Slide| free.iter().position(|&a| a == slide.tap).map(|i| first + i);
        folded.slides.iter().filter_map(tap).collect()
    }
}

/// For each axis of `shape` of more than one position, its axis of `from`, if they differ in axes of one position alone.
fn same_axes(shape: &Shape, from: &Shape) -> Option<Vec<Option<usize>>> {
    let long = |s: &Shape| (0..s.rank()).filter(|&a| s.dims()[a] > 1).collect::<Vec<_>>();
    let (these, those) = (long(shape), long(from));
    let sizes = |s: &Shape, axes: &[usize]| axes.iter().map(|&a| s.dims()[a]).collect::<Vec<_>>();
    if sizes(shape, &these) != sizes(from, &those) {
        return None;
    }
    let mut found = vec![None; shape.rank()];
    these.iter().zip(those).for_each(|(&a, from)| found[a] = Some(from));
    Some(found)
}

/// Windows of the padded cotangent, one for each wanted position: the taps are new last axes, from the last to the first.
fn slid(b: &mut Builder, cotangent: NodeId, slides: &[Slide], wanted: &[Wanted]) -> NodeId {
    let shape = b.ty(cotangent).shape.clone();
    let mut list: Vec<usize> = (0..shape.rank()).collect();
    // Seen through transposes, so that what is padded keeps its order in memory.
    let x = peel(b, cotangent, &mut list);
    let all = b.ty(x).shape.dims().to_vec();
    let mut inner = Part { start: vec![0; all.len()], step: vec![1; all.len()], size: all.clone() };
    let mut outer = Part { start: vec![0; all.len()], step: vec![1; all.len()], size: all };
    for slide in slides {
        let (axis, Wanted { start, size }) = (list[slide.along], wanted[slide.axis]);
        let reach = (slide.taps - 1) * slide.dilation;
        // Positions from `start - reach` to `start + size` are read; those there are lie from 0 to `positions`.
        let (low, high) = (start.saturating_sub(reach), slide.positions.min(start + size));
        inner.start[axis] = low;
        inner.size[axis] = high - low;
        outer.start[axis] = reach.saturating_sub(start);
        outer.size[axis] = size + reach;
    }
    let zero = zero(b.ty(x).dtype);
    let x = part::slice(b, x, inner);
    let x = part::pad(b, x, outer, zero);
    let mut order: Vec<usize> = (0..slides.len()).collect();
    order.sort_by_key(|&i| list[slides[i].along]);
    let pick = |of: &dyn Fn(&Slide) -> usize| order.iter().map(|&i| of(&slides[i])).collect();
    let windows = Windows {
        axes: pick(&|s| list[s.along]),
        size: pick(&|s| s.taps),
        stride: vec![1; slides.len()],
        dilation: pick(&|s| s.dilation),
    };
    let y = window::window(b, x, &windows);
    let taps = (0..slides.len()).map(|i| order.iter().position(|&o| o == i).unwrap_or(i));
    let perm = list.iter().copied().chain(taps.map(|i| shape.rank() + i)).collect();
    super::transpose(b, y, perm)
}

/// `weight` with its taps in reverse order.
fn turned(b: &mut Builder, weight: NodeId, slides: &[Slide]) -> NodeId {
    let rank = b.ty(weight).rank();
    let mut list: Vec<usize> = (0..rank).collect();
    let x = peel(b, weight, &mut list);
    let mut taps: Vec<usize> = slides.iter().map(|s| list[s.tap]).collect();
    taps.sort_unstable();
    let order: Vec<usize> =
        taps.iter().copied().chain((0..rank).filter(|a| !taps.contains(a))).collect();
    let dims: Shape = order.iter().map(|&a| b.ty(x).shape.dims()[a]).collect();
    let long = order.iter().filter(|&&a| b.ty(x).shape.dims()[a] > 1);
    let y = match long.is_sorted() {
        true => b.reshape(x, dims.clone()),
        false => super::transpose(b, x, order.clone()),
    };
    let (count, rest) = dims.dims().split_at(taps.len());
    let count: usize = count.iter().product();
    let flat = [&[count], rest].concat();
    let y = b.reshape(y, flat.into());
    let values = (0..count).rev().map(|tap| tap as f64).collect();
    let reverse = TensorData { dtype: DType::I32, shape: [count].into(), values };
    let reverse = b.node(Op::Data(Arc::new(reverse)), &[]);
    let y = b.node(Op::Gather { batch: 0 }, &[y, reverse]);
    let y = b.reshape(y, dims);
    // Axis `i` of the weight is axis `list[i]` of `x`, which is where `order` has put it.
    let at = window::inverse(&order);
    super::transpose(b, y, list.iter().map(|&a| at[a]).collect())
}

fn zero(dtype: DType) -> Literal {
    match Literal::of(dtype, 0.0) {
        Some(zero) => zero,
        None => panic!("internal error: {} has no zero", dtype.name()),
    }
}
