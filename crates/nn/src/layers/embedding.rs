//! Integers to rows of a table.

use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::init::Init;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A row of a table for each integer: parameter `weight`, `[vocabulary, width]`, normal with deviation 0.05.
///
/// # Shapes
/// integers `[..]` → `[.., width]`
/// # Errors
/// As input of a model, integers outside `0..vocabulary` stop the run; floats are an error of the graph.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    vocabulary: usize,
    width: usize,
    init: Init,
    pub(super) common: Common,
}

impl Embedding {
    /// Of so many integers, in rows of so many numbers.
    #[track_caller]
    pub fn new(vocabulary: usize, width: usize) -> Embedding {
        Embedding { vocabulary, width, init: Init::Normal(0.05), common: Common::new() }
    }

    /// With a table that begins as `init` says.
    pub fn init(self, init: Init) -> Embedding {
        Embedding { init, ..self }
    }
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        if ty.dtype.is_float() || self.vocabulary == 0 {
            let message = format!("takes integers below {}, not {ty}", self.vocabulary);
            cx.fail("embedding", self.common.at, message, "pass whole numbers, such as `i32`");
            return cx.graph().poison();
        }
        cx.graph().limit(x, 0.0, (self.vocabulary - 1) as f64);
        cx.param("weight", [self.vocabulary, self.width], self.init.clone()).gather(x)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Embedding(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Adds a row of a table for each position: parameter `weight`, `[longest, width]`, normal with deviation 0.02.
///
/// # Shapes
/// `[rows, positions, width]` → the same, for up to `longest` positions
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionEmbedding {
    longest: usize,
    pub(super) common: Common,
}

impl PositionEmbedding {
    /// For up to so many positions.
    #[track_caller]
    pub fn new(longest: usize) -> PositionEmbedding {
        PositionEmbedding { longest, common: Common::new() }
    }
}

impl Layer for PositionEmbedding {
    fn kind(&self) -> &'static str {
        "position_embedding"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        let positions = match ty.shape.dims() {
            &[.., positions, _] if positions <= self.longest => positions,
            _ => {
                let message = format!("takes up to {} positions, not {ty}", self.longest);
                let help = "pass `[rows, positions, width]`, or make the table longer";
                cx.fail("position_embedding", self.common.at, message, help);
                return cx.graph().poison();
            }
        };
        let width = ty.shape.dims().last().copied().unwrap_or(0);
        let table = cx.param("weight", [self.longest, width], Init::Normal(0.02));
        x + if positions == self.longest { table } else { table.slice(0, 0..positions) }
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::PositionEmbedding(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}
