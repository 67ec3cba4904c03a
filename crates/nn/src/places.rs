//! Elements picked by computed places, and put there.

use crate::graph::Graph;
use crate::tensor::Tensor;
use eggrad_ir::{At, DType, MoveOp, NodeId, Op};

impl<'g> Tensor<'g> {
    /// The element of `self` at each index along `axis`; `indices` has the shape of `self` but for that axis.
    ///
    /// # Shapes
    /// `[.., v, ..]` and `[.., k, ..]` → `[.., k, ..]`
    #[track_caller]
    pub fn take_along(self, indices: Tensor<'g>, axis: i32) -> Tensor<'g> {
        let at = At::here();
        let graph: &Graph = self.graph;
        let (Some(x), Some(i)) = (self.id, graph.own("take_along", indices, at)) else {
            return graph.poison();
        };
        let Some(axis) = self.one_axis("take_along", axis, at) else { return graph.poison() };
        let (ty, places) = (self.expect_ty(), indices.expect_ty());
        if ty.rank() != places.rank() || ty.shape.without(&[axis]) != places.shape.without(&[axis])
        {
            let message = format!("needs equal sizes but along axis {axis}");
            let help = "broadcast the indices to the shape of the tensor".to_string();
            return self.fail("take_along", &[x, i], message, help, at);
        }
        if places.dtype == DType::Bool || places.dtype.is_float() {
            let message = format!("takes integer indices, not {}", places.dtype.name());
            return self.fail("take_along", &[x, i], message, "cast them".into(), at);
        }
        // The axis goes last and comes back.
        let last = |rank: usize| -> Vec<usize> {
            (0..rank).filter(|&a| a != axis).chain([axis]).collect()
        };
        let back: Vec<usize> =
            (0..axis).chain([ty.rank() - 1]).chain(axis..ty.rank() - 1).collect();
        let moved = |t: Tensor<'g>, perm: Vec<usize>| {
            if perm.iter().copied().eq(0..perm.len()) {
                t
            } else {
                t.apply(Op::Move(MoveOp::Transpose(perm)), at)
            }
        };
        let (table, index) = (moved(self, last(ty.rank())), moved(indices, last(ty.rank())));
        let ids: [Option<NodeId>; 2] = [table.id, index.id];
        let [Some(table), Some(index)] = ids else { return graph.poison() };
        moved(graph.push(Op::Gather { batch: ty.rank() - 1 }, &[table, index], at), back)
    }

    /// Sums of the rows of `self`, one for each index, at their indices along a new first axis of `size` positions;
    /// indices out of range are dropped. The adjoint of [`Tensor::gather`].
    ///
    /// # Shapes
    /// `[i.., rest..]` and indices `[i..]` → `[size, rest..]`
    #[track_caller]
    pub fn scatter_add(self, indices: Tensor<'g>, size: usize) -> Tensor<'g> {
        let at = At::here();
        match (self.id, self.graph.own("scatter_add", indices, at)) {
            (Some(updates), Some(index)) => {
                self.graph.push(Op::ScatterAdd { batch: 0, size }, &[index, updates], at)
            }
            _ => self.graph.poison(),
        }
    }
}
