//! Types of windows and their adjoint.

use super::{Inferred, Problem, need_number, problem};
use crate::op::Windows;
use crate::types::{Shape, TensorType};

/// Shape of the windows of a tensor of shape `x`.
pub(super) fn slide(windows: &Windows, x: &Shape) -> Result<Shape, Problem> {
    check(windows, x.rank())?;
    let mut dims = x.dims().to_vec();
    for (i, &axis) in windows.axes.iter().enumerate() {
        match windows.positions(i, dims[axis]) {
            Some(positions) => dims[axis] = positions,
            None => {
                return problem(
                    format!(
                        "has windows of {} positions {} apart, more than axis {axis} of {x} holds",
                        windows.size[i], windows.dilation[i]
                    ),
                    "pad the axis, or make the windows smaller",
                );
            }
        }
    }
    dims.extend(&windows.size);
    Ok(dims.into())
}

fn check(windows: &Windows, rank: usize) -> Result<(), Problem> {
    let Windows { axes, size, stride, dilation } = windows;
    let lists = [size, stride, dilation];
    let increase = axes.windows(2).all(|w| w[0] < w[1]);
    if !increase
        || axes.iter().any(|&a| a >= rank)
        || lists.iter().any(|list| list.len() != axes.len() || list.contains(&0))
    {
        return problem(
            format!("has no windows along axes {axes:?} of {rank}"),
            "give increasing axes, and a size, stride and dilation of at least 1 for each",
        );
    }
    Ok(())
}

/// `fold`
pub(super) fn fold(windows: &Windows, length: &[usize], x: &TensorType) -> Inferred {
    let Some(rank) = x.rank().checked_sub(windows.axes.len()) else {
        return problem(
            format!("needs the axes of {} windows on {}", windows.axes.len(), x.shape),
            "pass what `window` makes",
        );
    };
    check(windows, rank)?;
    if length.len() != windows.axes.len() {
        return problem("needs a length for each axis", "give as many lengths as axes");
    }
    let (outer, inner) = x.shape.dims().split_at(rank);
    let mut dims = outer.to_vec();
    for (i, &axis) in windows.axes.iter().enumerate() {
        if windows.positions(i, length[i]) != Some(outer[axis]) || inner[i] != windows.size[i] {
            return problem(
                format!(
                    "does not fit {}: an axis of {} positions has other windows than axis {axis}",
                    x.shape, length[i]
                ),
                "pass what `window` makes of a tensor of that length",
            );
        }
        dims[axis] = length[i];
    }
    need_number(x)?;
    Ok(TensorType::new(x.dtype, dims))
}
