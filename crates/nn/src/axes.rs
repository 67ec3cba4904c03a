//! Axes as users write them: one, several, or all; negative ones count from the end.

use std::ops::RangeFull;

/// Axes before the rank is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AxisList {
    /// Every axis.
    All,
    /// These; negative ones count from the end.
    Some(Vec<isize>),
}

/// What can name axes: `1`, `-1`, `[0, 1]`, `..`.
pub trait IntoAxes: Clone {
    /// The axes named.
    fn into_axes(self) -> AxisList;
}

impl IntoAxes for AxisList {
    fn into_axes(self) -> AxisList {
        self
    }
}

impl IntoAxes for RangeFull {
    fn into_axes(self) -> AxisList {
        AxisList::All
    }
}

impl IntoAxes for i32 {
    fn into_axes(self) -> AxisList {
        AxisList::Some(vec![self as isize])
    }
}

impl IntoAxes for usize {
    fn into_axes(self) -> AxisList {
        AxisList::Some(vec![isize::try_from(self).unwrap_or(isize::MAX)])
    }
}

impl<const N: usize> IntoAxes for [i32; N] {
    fn into_axes(self) -> AxisList {
        AxisList::Some(self.iter().map(|&a| a as isize).collect())
    }
}

/// Increasing axes of a tensor of rank `rank`, or what is wrong with them.
pub(crate) fn resolve_axes(list: AxisList, rank: usize) -> Result<Vec<usize>, String> {
    let AxisList::Some(list) = list else { return Ok((0..rank).collect()) };
    let mut axes = vec![];
    for &axis in &list {
        let from_start = if axis < 0 { axis + rank as isize } else { axis };
        if from_start < 0 || from_start >= rank as isize {
            return Err(format!("has no axis {axis}: the operand has {rank} axes"));
        }
        axes.push(from_start as usize);
    }
    axes.sort_unstable();
    if axes.windows(2).any(|w| w[0] == w[1]) {
        return Err(format!("names an axis twice: {list:?}"));
    }
    Ok(axes)
}
