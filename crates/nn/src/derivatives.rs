//! Derivatives of more than one number, and of second order, as `grad` nodes.

use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, Op};

/// Rows up to which a Jacobian is written out.
const WRITTEN_OUT: usize = 4;

impl<'g> Tensor<'g> {
    /// Every derivative of an element of `self` with respect to an element of `wrt`. A row for each element of `self`,
    /// computed one after the other in a loop, so that the graph stays small.
    ///
    /// # Shapes
    /// `[y..]` with respect to `[x..]` → `[y.., x..]`
    #[track_caller]
    pub fn jacobian(self, wrt: Tensor<'g>) -> Tensor<'g> {
        let at = At::here();
        let graph: &'g Graph = self.graph;
        let (Some(y), Some(x)) = (self.id, graph.own("jacobian", wrt, at)) else {
            return graph.poison();
        };
        let (ty, wide) = (self.expect_ty(), wrt.expect_ty());
        if !ty.dtype.is_float() || !wide.dtype.is_float() {
            let message = "differentiates floats with respect to floats".to_string();
            return self.fail("jacobian", &[y, x], message, "cast first".into(), at);
        }
        if ty.rank() == 0 {
            return self.grad(wrt);
        }
        let rows = ty.shape.elements();
        let flat = self.reshape([rows]);
        let row = |chosen: Tensor<'g>| (flat * chosen).sum(..).grad(wrt);
        let whole = [ty.shape.dims(), wide.shape.dims()].concat();
        let place = |axis| {
            let op = Op::Iota { dtype: DType::I32, shape: [rows, rows].into(), axis };
            graph.push(op, &[], at)
        };
        let one_hots = place(0).equal(place(1)).cast(ty.dtype);
        let stacked = if (1..=WRITTEN_OUT).contains(&rows) {
            let row = |i: usize| row(one_hots.slice(0, i..i + 1).reshape([rows]));
            graph.stack(&(0..rows).map(row).collect::<Vec<Tensor<'g>>>(), 0)
        } else {
            let scanned = graph.scan(&[], &[one_hots], |_, chosen| (vec![], vec![row(chosen[0])]));
            scanned.stacked.first().copied().unwrap_or(graph.poison())
        };
        stacked.reshape(whole)
    }

    /// Second derivatives of `self`, one number, with respect to every pair of elements of `wrt`.
    ///
    /// # Shapes
    /// One number with respect to `[x..]` → `[x.., x..]`
    #[track_caller]
    pub fn hessian(self, wrt: Tensor<'g>) -> Tensor<'g> {
        self.grad(wrt).jacobian(wrt)
    }

    /// The Hessian of `self`, one number, with respect to `wrt`, times `direction`, which has the shape of `wrt` and
    /// counts as constant: as cheap as a gradient.
    #[track_caller]
    pub fn hvp(self, wrt: Tensor<'g>, direction: Tensor<'g>) -> Tensor<'g> {
        (self.grad(wrt) * direction.stop_gradient()).sum(..).grad(wrt)
    }
}
