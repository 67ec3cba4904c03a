//! Attention: values averaged by how well queries and keys agree.

use crate::tensor::Tensor;
use eggrad_ir::{At, DType, Op};

/// Which keys a query may see.
#[derive(Clone, Copy)]
pub enum Mask<'g> {
    /// All.
    Everything,
    /// Those at its own position and before.
    Causal,
    /// Those where this truth value, which broadcasts to `[.., queries, keys]`, holds.
    Where(Tensor<'g>),
}

impl<'g> Tensor<'g> {
    /// Scaled dot-product attention of the queries `self`: `softmax(q · kᵀ / sqrt(d)) · v`, where masked keys have
    /// weight 0. A query that sees no key gives NaN.
    ///
    /// # Shapes
    /// `[.., t, d]`, keys `[.., s, d]`, values `[.., s, e]` → `[.., t, e]`; leading axes broadcast
    /// # Errors
    /// Recorded in the graph when shapes do not fit.
    /// # Source
    /// Vaswani et al. 2017, equation 1
    #[track_caller]
    pub fn attention(self, keys: Tensor<'g>, values: Tensor<'g>, mask: Mask<'g>) -> Tensor<'g> {
        let at = At::here();
        let graph = self.graph;
        let name = "attention";
        let ids = [self, keys, values].map(|t| graph.own(name, t, at));
        let [Some(q), Some(k), Some(v)] = ids else { return graph.poison() };
        let types = [self, keys, values].map(|t| t.expect_ty());
        let dims = [&types[0], &types[1], &types[2]].map(|ty| ty.shape.dims());
        let [[.., t, d], [.., s, width], [.., places, _]] = dims else {
            let message = "needs axes of positions and of features".to_string();
            return self.fail(name, &[q, k, v], message, "pass matrices".into(), at);
        };
        if d != width || s != places {
            let message = format!(
                "has queries {}, keys {} and values {}",
                types[0].shape, types[1].shape, types[2].shape
            );
            let help = "queries and keys have equally many features, keys and values positions";
            return self.fail(name, &[q, k, v], message, help.into(), at);
        }
        let scores = self.matmul(keys.transpose()) / (*d as f64).sqrt();
        let seen = match mask {
            Mask::Everything => None,
            Mask::Where(seen) => Some(seen),
            Mask::Causal => {
                let place = |axis| Op::Iota { dtype: DType::I32, shape: [*t, *s].into(), axis };
                let (query, key) = (graph.push(place(0), &[], at), graph.push(place(1), &[], at));
                Some(key.le(query))
            }
        };
        let scores = match seen {
            Some(seen) => seen.select(scores, f64::NEG_INFINITY),
            None => scores,
        };
        scores.softmax(-1).matmul(values)
    }
}
