//! Derivatives of higher order and whole Jacobians, as graphs.

use crate::error::AutodiffError;
use crate::flow::Flow;
use crate::forward::jvp;
use crate::limits::{self, MAX_ELEMENTS};
use crate::reverse::vjp;
use eggrad_ir::{At, Builder, DType, Literal, MoveOp, NodeId, Op, Scan, Shape};
use std::sync::Arc;

/// Up to here a Jacobian's rows are written out one by one.
const MAX_WRITTEN_ROWS: usize = 4;

/// Appends the product of the Hessian of `y`, one float, with respect to the values `wrt` together and the vector
/// `v`, one part per value: the tangents of the gradient along `v`, forward over reverse.
///
/// # Panics
/// When types differ, as in [`vjp`] and [`jvp`].
pub fn hvp(builder: &mut Builder, y: NodeId, wrt: &[NodeId], v: &[NodeId]) -> Vec<NodeId> {
    let one = builder.full_like(y, 1.0);
    let gradient: Vec<NodeId> = vjp(builder, y, one, wrt)
        .into_iter()
        .zip(wrt)
        .map(|(g, &w)| g.unwrap_or_else(|| builder.full_like(w, 0.0)))
        .collect();
    let seeds: Vec<(NodeId, NodeId)> = wrt.iter().copied().zip(v.iter().copied()).collect();
    let tangents = jvp(builder, &seeds, &gradient);
    let found = tangents.into_iter().zip(wrt);
    found.map(|(t, &w)| t.unwrap_or_else(|| builder.full_like(w, 0.0))).collect()
}

/// Appends the Jacobian of `y` with respect to `wrt`: its shape is that of `y`, then that of `wrt`. Rows are computed
/// by a scan over the elements of `y`, so that the number of nodes does not depend on sizes; up to four are
/// written out.
///
/// # Errors
/// [`AutodiffError::Jacobian`], [`AutodiffError::Stack`] or [`AutodiffError::Depth`] when it cannot be built.
///
/// # Panics
/// When `y` or `wrt` is no float.
pub fn jacobian(builder: &mut Builder, y: NodeId, wrt: NodeId) -> Result<NodeId, AutodiffError> {
    let (from, to) = (builder.ty(wrt).shape.clone(), builder.ty(y).shape.clone());
    let elements = (from.elements() as u128).saturating_mul(to.elements() as u128);
    let square = (to.elements() as u128).saturating_mul(to.elements() as u128);
    if elements.max(square) > MAX_ELEMENTS {
        let (of, wrt) = (builder.ty(y).clone(), builder.ty(wrt).clone());
        return Err(AutodiffError::Jacobian { of, wrt });
    }
    let asked = builder.graph().node(y).at;
    limits::check(builder.graph(), &mut Flow::default(), &[y], &[wrt], asked)?;
    let (rows, dtype) = (to.elements(), builder.ty(y).dtype);
    let all: Shape = [rows].iter().chain(from.dims()).copied().collect();
    let row = |b: &mut Builder, number: NodeId| {
        let hot = b.node(Op::OneHot { dtype, classes: rows }, &[number]);
        let cotangent = b.reshape(hot, to.clone());
        vjp(b, y, cotangent, &[wrt])[0]
    };
    let found = if rows <= MAX_WRITTEN_ROWS {
        let mut sum = None;
        for i in 0..rows {
            let number = builder.scalar(DType::I32, i as f64);
            let Some(found) = row(builder, number) else { break };
            let placed = place(builder, found, i, &all);
            sum = Some(match sum {
                Some(sum) => builder.add(sum, placed),
                None => placed,
            });
        }
        sum
    } else {
        let number = builder.variable(eggrad_ir::TensorType::scalar(DType::I32), At::Unknown);
        match row(builder, number) {
            Some(found) => Some(over_rows(builder, number, found, rows, asked)?),
            None => None,
        }
    };
    let found = found.unwrap_or_else(|| {
        let zero = builder.scalar(builder.ty(wrt).dtype, 0.0);
        builder.spread(zero, all, vec![])
    });
    Ok(builder.reshape(found, to.dims().iter().chain(from.dims()).copied().collect()))
}

/// `row`, which depends on the variable `number`, for every number below `rows`, stacked.
fn over_rows(
    b: &mut Builder,
    number: NodeId,
    row: NodeId,
    rows: usize,
    asked: At,
) -> Result<NodeId, AutodiffError> {
    let variables = [("row".to_string(), number)];
    let closed = b.close("jacobian", &variables, &[("d".to_string(), row)], None);
    // What this makes is right but for its depth.
    let (body, captured) = closed.map_err(|error| AutodiffError::Depth { at: error.at, asked })?;
    let iota = Op::Iota { dtype: DType::I32, shape: Shape::from([rows]), axis: 0 };
    let mut operands = vec![b.node(iota, &[])];
    operands.extend(captured);
    let scan = Scan { body: Arc::new(body), carries: 0, xs: 1, length: rows, reverse: false };
    Ok(b.node(Op::Scan { scan, result: 0 }, &operands))
}

/// `x` as position `i` of the first axis of `shape`, zeros elsewhere.
fn place(b: &mut Builder, x: NodeId, i: usize, shape: &Shape) -> NodeId {
    let ty = b.ty(x).clone();
    let one = [1].iter().chain(ty.shape.dims()).copied().collect();
    let row = b.reshape(x, one);
    let Some(fill) = Literal::of(ty.dtype, 0.0) else {
        panic!("internal error: {} has no zero", ty.dtype.name())
    };
    let mut start = vec![0; shape.rank()];
    start[0] = i;
    let (step, size) = (vec![1; shape.rank()], shape.dims().to_vec());
    if b.ty(row).shape == *shape {
        return row;
    }
    b.node(Op::Move(MoveOp::Pad { start, step, size, fill }), &[row])
}

/// Appends the Hessian of `y`, one float, with respect to `wrt`: its shape is twice that of `wrt`. Rows as in
/// [`jacobian`].
///
/// # Errors
/// As [`jacobian`].
///
/// # Panics
/// As [`jacobian`].
pub fn hessian(builder: &mut Builder, y: NodeId, wrt: NodeId) -> Result<NodeId, AutodiffError> {
    let asked = builder.graph().node(y).at;
    limits::check(builder.graph(), &mut Flow::default(), &[y], &[wrt], asked)?;
    let one = builder.full_like(y, 1.0);
    let gradient = vjp(builder, y, one, &[wrt])[0];
    let gradient = gradient.unwrap_or_else(|| builder.full_like(wrt, 0.0));
    jacobian(builder, gradient, wrt)
}
