//! Index maps: where an element of a tensor lies as a linear form of loop positions.
//!
//! Within a group of nodes that share loops, each node has one number per loop: how far its row-major element number
//! moves when that loop advances. Reshapes leave such a map alone; transposes and broadcasts take it apart into one
//! map per axis and put it together again.

use eggrad_ir::{MoveOp, Shape, Windows};

/// Steps of an element number, one for each loop.
pub(crate) type Map = Vec<usize>;

/// Why a map cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It can when loop `dim` is split in two, the inner one of this size.
    Split { dim: usize, inner: usize },
    /// It cannot.
    Never,
}

/// Takes `map` over loops of `sizes` apart: the position along each axis of `shape`, as a map.
pub(crate) fn axes(sizes: &[usize], map: &[usize], shape: &Shape) -> Result<Vec<Map>, Fault> {
    let radix: Vec<(usize, usize)> = shape.dims().iter().copied().zip(shape.strides()).collect();
    digits(sizes, map, &radix)
}

/// Takes `map` apart along digits of the given size and stride, in any order, which cover all numbers once.
pub(crate) fn digits(
    sizes: &[usize],
    map: &[usize],
    radix: &[(usize, usize)],
) -> Result<Vec<Map>, Fault> {
    let mut parts = vec![vec![0; sizes.len()]; radix.len()];
    let mut reach = vec![0; radix.len()];
    for (dim, (&size, &step)) in sizes.iter().zip(map).enumerate() {
        if size == 1 || step == 0 {
            continue;
        }
        let fits = radix.iter().enumerate().filter(|(_, d)| d.0 > 1 && d.1 <= step);
        let Some((digit, &(count, stride))) = fits.max_by_key(|(_, d)| d.1) else {
            return Err(Fault::Never);
        };
        if step % stride != 0 {
            return Err(Fault::Never);
        }
        let end = stride * count;
        if step * (size - 1) >= end {
            let inner = end / step;
            let even = end % step == 0 && size % inner.max(1) == 0 && inner > 1 && inner < size;
            return Err(if even { Fault::Split { dim, inner } } else { Fault::Never });
        }
        parts[digit][dim] = step / stride;
        reach[digit] += step / stride * (size - 1);
        if reach[digit] >= count {
            return Err(Fault::Never);
        }
    }
    Ok(parts)
}

/// Puts maps of positions together: their sum, each times its stride.
pub(crate) fn combine<'a>(loops: usize, parts: impl IntoIterator<Item = (&'a Map, usize)>) -> Map {
    let mut map = vec![0; loops];
    for (part, stride) in parts {
        map.iter_mut().zip(part).for_each(|(m, p)| *m += p * stride);
    }
    map
}

/// Where the operand of a move is read when its result is wanted at `map`.
pub(crate) fn through_move(
    op: &MoveOp,
    operand: &Shape,
    result: &Shape,
    sizes: &[usize],
    map: &[usize],
) -> Result<Map, Fault> {
    match op {
        MoveOp::Reshape(_) => Ok(map.to_vec()),
        MoveOp::Transpose(perm) => {
            let (parts, strides) = (axes(sizes, map, result)?, operand.strides());
            Ok(combine(sizes.len(), parts.iter().zip(perm.iter().map(|&a| strides[a]))))
        }
        MoveOp::Broadcast { axes: places, .. } => {
            if operand.elements() == result.elements() {
                return Ok(map.to_vec());
            }
            let (parts, strides) = (axes(sizes, map, result)?, operand.strides());
            Ok(combine(sizes.len(), places.iter().map(|&a| &parts[a]).zip(strides)))
        }
        MoveOp::Slice { step, .. } => {
            let (parts, strides) = (axes(sizes, map, result)?, operand.strides());
            let strides = step.iter().zip(strides).map(|(step, stride)| step * stride);
            Ok(combine(sizes.len(), parts.iter().zip(strides)))
        }
        MoveOp::Window(windows) => {
            let parts = axes(sizes, map, result)?;
            Ok(combine(sizes.len(), parts.iter().zip(window_steps(windows, operand, result))))
        }
        MoveOp::Pad { .. } => Err(Fault::Never),
    }
}

/// For each axis of the windows' shape, how far an element number of what they slide over moves when it advances; 0 for
/// axes of one position.
pub(crate) fn window_steps(windows: &Windows, over: &Shape, shape: &Shape) -> Vec<usize> {
    let strides = over.strides();
    let step = |axis: usize| match axis.checked_sub(over.rank()) {
        Some(i) => windows.dilation[i] * strides[windows.axes[i]],
        None => windows.listed(axis).map_or(1, |i| windows.stride[i]) * strides[axis],
    };
    // The stride of a single window, and the dilation of a single position, may be of any size.
    let size = |axis: usize| shape.dims()[axis];
    (0..shape.rank()).map(|axis| if size(axis) > 1 { step(axis) } else { 0 }).collect()
}

/// Whether `map` over loops of `sizes` reaches each of `elements` exactly once: its steps are those of a mixed radix.
pub(crate) fn is_bijective(sizes: &[usize], map: &[usize], elements: usize) -> bool {
    let mut steps: Vec<(usize, usize)> = map.iter().copied().zip(sizes.iter().copied()).collect();
    steps.retain(|&(step, size)| step != 0 && size != 1);
    steps.sort_unstable();
    let mut reached = 1;
    for (step, size) in steps {
        if step != reached {
            return false;
        }
        reached *= size;
    }
    reached == elements
}

/// The element of the operand that `op` reads first, from which on [`through_move`] counts.
pub(crate) fn first_element(op: &MoveOp, operand: &Shape) -> usize {
    match op {
        MoveOp::Slice { start, .. } => place(start, operand),
        MoveOp::Reshape(_)
        | MoveOp::Transpose(_)
        | MoveOp::Broadcast { .. }
        | MoveOp::Pad { .. }
        | MoveOp::Window(_) => 0,
    }
}

/// Row-major number of the element at `position` of `shape`.
pub(crate) fn place(position: &[usize], shape: &Shape) -> usize {
    position.iter().zip(shape.strides()).map(|(p, stride)| p * stride).sum()
}

/// The map of the result of `op` when its only operand has `map` and the result has as many elements.
pub(crate) fn after_move(
    op: &MoveOp,
    operand: &Shape,
    result: &Shape,
    sizes: &[usize],
    map: &[usize],
) -> Result<Map, Fault> {
    match op {
        MoveOp::Reshape(_) => Ok(map.to_vec()),
        MoveOp::Transpose(perm) => {
            let (parts, strides) = (axes(sizes, map, operand)?, result.strides());
            Ok(combine(sizes.len(), perm.iter().map(|&a| &parts[a]).zip(strides)))
        }
        MoveOp::Broadcast { .. } if operand.elements() == result.elements() => Ok(map.to_vec()),
        MoveOp::Broadcast { .. }
        | MoveOp::Slice { .. }
        | MoveOp::Pad { .. }
        | MoveOp::Window(_) => Err(Fault::Never),
    }
}

/// The map with loop `dim` split in two, the inner one of size `inner`.
pub(crate) fn split(map: &mut Map, dim: usize, inner: usize) {
    if !map.is_empty() {
        map.insert(dim, map[dim] * inner);
    }
}

/// Maps over loops that were merged and reordered.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    /// For each new loop the old ones it stands for, outermost first; empty for a loop of one position.
    loops: Vec<Vec<usize>>,
    /// Sizes of the new loops.
    pub(crate) sizes: Vec<usize>,
}

impl Merged {
    /// Puts loops in the order given, each list of `order` a run in which neighbours are merged where every one of
    /// `maps` allows. Returns how many loops remain of each run.
    pub(crate) fn new(sizes: &[usize], order: &[Vec<usize>], maps: &[Map]) -> (Merged, Vec<usize>) {
        let mut merged = Merged { loops: vec![], sizes: vec![] };
        let mut counts = vec![];
        for run in order {
            let before = merged.loops.len();
            for &dim in run {
                let joins =
                    merged.loops.len() > before
                        && merged.loops.last().and_then(|l| l.last()).is_some_and(|&outer| {
                            maps.iter().all(|m| m[outer] == m[dim] * sizes[dim])
                        });
                match merged.loops.last_mut() {
                    Some(last) if joins => last.push(dim),
                    _ => merged.loops.push(vec![dim]),
                }
            }
            counts.push(merged.loops.len() - before);
        }
        merged.measure(sizes);
        (merged, counts)
    }

    fn measure(&mut self, sizes: &[usize]) {
        self.sizes = self.loops.iter().map(|l| l.iter().map(|&d| sizes[d]).product()).collect();
    }

    /// Adds a loop of one position at the end.
    pub(crate) fn push_unit(&mut self) {
        self.loops.push(vec![]);
        self.sizes.push(1);
    }

    /// Makes loop `index` the innermost.
    pub(crate) fn move_to_end(&mut self, index: usize) {
        self.loops[index..].rotate_left(1);
        self.sizes[index..].rotate_left(1);
    }

    /// `map` over the new loops.
    pub(crate) fn apply(&self, map: &[usize]) -> Map {
        self.loops.iter().map(|l| l.last().map_or(0, |&d| map[d])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_found_where_a_loop_straddles_an_axis() {
        let shape = Shape::from([2, 3]);
        assert_eq!(axes(&[6], &[1], &shape), Err(Fault::Split { dim: 0, inner: 3 }));
        assert_eq!(axes(&[2, 3], &[3, 1], &shape), Ok(vec![vec![1, 0], vec![0, 1]]));
        assert_eq!(axes(&[3, 2], &[2, 1], &shape), Err(Fault::Never));
        assert_eq!(axes(&[6, 5], &[0, 0], &shape), Ok(vec![vec![0, 0], vec![0, 0]]));
    }

    #[test]
    fn windows_step_through_what_they_slide_over() {
        let windows = Windows { axes: vec![1], size: vec![2], stride: vec![3], dilation: vec![4] };
        let (over, shape) = (Shape::from([2, 11, 5]), Shape::from([2, 3, 5, 2]));
        assert_eq!(window_steps(&windows, &over, &shape), [55, 15, 1, 20]);
    }

    #[test]
    fn overlapping_maps_are_not_bijective() {
        assert!(is_bijective(&[2, 3], &[3, 1], 6));
        assert!(is_bijective(&[3, 2, 4], &[1, 3, 0], 6));
        // Windows of three positions, two apart: as many as elements, but one is read twice and one never.
        assert!(!is_bijective(&[2, 3], &[2, 1], 6));
    }

    #[test]
    fn loops_merge_only_where_every_map_allows() {
        let sizes = [4, 3, 2];
        let maps = vec![vec![6, 2, 1], vec![0, 2, 1]];
        let (merged, counts) = Merged::new(&sizes, &[vec![0, 1, 2]], &maps);
        assert_eq!((merged.sizes.clone(), counts), (vec![4, 6], vec![2]));
        assert_eq!(merged.apply(&[6, 2, 1]), [6, 1]);
    }
}
