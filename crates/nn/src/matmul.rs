//! Matrix products with any number of axes.

use crate::tensor::Tensor;
use eggrad_ir::{At, DotAxes, Op, Shape, TensorType, broadcast_shape};

impl<'g> Tensor<'g> {
    /// Matrix product as in NumPy: the last axis of `self` meets the second to last of `other`, or its only one;
    /// axes before those broadcast.
    ///
    /// # Shapes
    /// `[.., m, k]` and `[.., k, n]` → `[.., m, n]`
    #[track_caller]
    pub fn matmul(self, other: Tensor<'g>) -> Tensor<'g> {
        let at = At::here();
        let (Some(a), Some(b)) = (self.id, self.graph.own("matmul", other, at)) else {
            return self.graph.poison();
        };
        let (ta, tb) = (self.graph.builder.borrow().ty(a).clone(), other.expect_ty());
        let (ra, rb) = (ta.rank(), tb.rank());
        if ra == 0 || rb == 0 {
            return self.fail(
                "matmul",
                &[a, b],
                "needs at least one axis on each side".into(),
                "multiply by a number with `*`".into(),
                at,
            );
        }
        let inner = if rb == 1 { 0 } else { rb - 2 };
        let (k, l) = (ta.shape.dims()[ra - 1], tb.shape.dims()[inner]);
        if k != l {
            let help = if rb >= 2 && tb.shape.dims()[rb - 1] == k {
                format!(
                    "the left side has {k} columns, so the right side needs {k} rows; \
                     its `.transpose()` would have them"
                )
            } else {
                format!("the left side has {k} columns, so the right side needs {k} rows")
            };
            let message = format!("needs the inner sizes to agree: {k} and {l}");
            return self.fail("matmul", &[a, b], message, help, at);
        }
        if rb <= 2 || ra == 1 && rb == 2 {
            return self.graph.push(Op::Dot(DotAxes::contract(ra - 1, inner)), &[a, b], at);
        }
        self.batched_matmul(other, &ta, &tb, at)
    }

    /// Sum of products over paired axes: `contract` pairs of an axis of `self` and one of `other` are summed over,
    /// `batch` pairs stay.
    ///
    /// # Shapes
    /// `[batch.., rest of self.., rest of other..]`, each in the order of its operand
    #[track_caller]
    pub fn dot(
        self,
        other: Tensor<'g>,
        batch: &[(usize, usize)],
        contract: &[(usize, usize)],
    ) -> Tensor<'g> {
        let at = At::here();
        match (self.id, self.graph.own("dot", other, at)) {
            (Some(a), Some(b)) => {
                let axes = DotAxes { batch: batch.to_vec(), contract: contract.to_vec() };
                self.graph.push(Op::Dot(axes), &[a, b], at)
            }
            _ => self.graph.poison(),
        }
    }

    fn batched_matmul(
        self,
        other: Tensor<'g>,
        ta: &TensorType,
        tb: &TensorType,
        at: At,
    ) -> Tensor<'g> {
        let (ra, rb) = (ta.rank(), tb.rank());
        let lead = |t: &TensorType, keep: usize| -> Shape {
            t.shape.dims()[..t.rank().saturating_sub(keep)].into()
        };
        let tail = |t: &TensorType| t.shape.dims()[t.rank().saturating_sub(2)..].to_vec();
        let Some(batch) = broadcast_shape(&lead(ta, 2), &lead(tb, 2)) else {
            let ids = [self.expect_id(), other.expect_id()];
            let message =
                format!("needs leading sizes that broadcast: {} and {}", ta.shape, tb.shape);
            let help = "leading sizes agree from the right when they are equal or one of them is 1";
            return self.fail("matmul", &ids, message, help.into(), at);
        };
        let n = batch.rank();
        let full =
            |t: &TensorType| -> Shape { batch.dims().iter().copied().chain(tail(t)).collect() };
        let left = if ra == 1 { self } else { self.spread_to("matmul", &full(ta), at) };
        let right = if rb == 1 { other } else { other.spread_to("matmul", &full(tb), at) };
        let (Some(a), Some(b)) = (left.id, right.id) else { return self.graph.poison() };
        let axes = if ra == 1 {
            DotAxes::contract(0, n)
        } else {
            DotAxes { batch: (0..n).map(|i| (i, i)).collect(), contract: vec![(n + 1, n)] }
        };
        self.graph.push(Op::Dot(axes), &[a, b], at)
    }
}
