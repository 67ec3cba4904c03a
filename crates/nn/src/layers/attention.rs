//! Attention layers and the transformer block.

use super::dense::product;
use super::dropout::drop_out;
use super::{Activation, Common, Context, Layer, LayerNorm, LayerSpec, Specs};
use crate::attention::Mask;
use crate::init::Init;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Attention with several heads, [`Tensor::attention`], between projections. Parameters `query.weight`, `key.weight`,
/// `value.weight`, `output.weight` (Glorot uniform), and a `bias` (zeros) beside each.
///
/// As a layer, positions attend to those of the same sequence; [`MultiHeadAttention::attend`] has keys of their own.
///
/// # Shapes
/// `[rows, positions, width]` → the same; the width is a multiple of the number of heads
/// # Source
/// Vaswani et al. 2017, section 3.2.2
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiHeadAttention {
    heads: usize,
    causal: bool,
    dropout: f64,
    pub(super) common: Common,
}

impl MultiHeadAttention {
    /// With so many heads.
    #[track_caller]
    pub fn new(heads: usize) -> MultiHeadAttention {
        MultiHeadAttention { heads, causal: false, dropout: 0.0, common: Common::new() }
    }

    /// Lets positions see themselves and those before only.
    pub fn causal(self) -> MultiHeadAttention {
        MultiHeadAttention { causal: true, ..self }
    }

    /// With dropout of this rate on what it makes.
    pub fn dropout(self, rate: f64) -> MultiHeadAttention {
        MultiHeadAttention { dropout: rate, ..self }
    }

    /// What positions of `x` find among `keys`; a mask of truth values, which broadcasts to
    /// `[rows, heads, positions, keys]`, says what they may see.
    ///
    /// # Shapes
    /// `x: [rows, positions, width]`, `keys: [rows, others, features]` → `[rows, positions, width]`
    #[track_caller]
    pub fn attend<'g>(
        &self,
        cx: &Context<'g>,
        x: Tensor<'g>,
        keys: Tensor<'g>,
        mask: Mask<'g>,
    ) -> Tensor<'g> {
        cx.layer(self.kind(), Some(&self.common), || self.write(cx, x, keys, mask))
    }

    fn write<'g>(
        &self,
        cx: &Context<'g>,
        x: Tensor<'g>,
        keys: Tensor<'g>,
        mask: Mask<'g>,
    ) -> Tensor<'g> {
        let (Some(ty), Some(other)) = (x.ty(), keys.ty()) else { return cx.graph().poison() };
        let (rows, t, s, width) = match (ty.shape.dims(), other.shape.dims()) {
            (&[rows, t, width], &[others, s, _])
                if rows == others && self.heads > 0 && width % self.heads == 0 && width > 0 =>
            {
                (rows, t, s, width)
            }
            _ => {
                let message =
                    format!("of {} heads takes sequences, not {ty} and {other}", self.heads);
                let help =
                    "pass `[rows, positions, width]`, with a width that is a multiple of the heads";
                cx.fail("multi_head_attention", self.common.at, message, help);
                return cx.graph().poison();
            }
        };
        let part = |name: &str, x: Tensor<'g>| {
            cx.part(name, || {
                let inputs = x.ty().map_or(0, |ty| ty.shape.dims().last().copied().unwrap_or(0));
                let weight = cx.param("weight", [inputs, width], Init::GlorotUniform);
                product(x, weight) + cx.param("bias", [width], Init::Zeros)
            })
        };
        let size = width / self.heads;
        let split =
            |x: Tensor<'g>, n: usize| x.reshape([rows, n, self.heads, size]).permute([0, 2, 1, 3]);
        let q = split(part("query", x), t);
        let k = split(part("key", keys), s);
        let v = split(part("value", keys), s);
        let seen = q.attention(k, v, mask);
        let joined = seen.permute([0, 2, 1, 3]).reshape([rows, t, width]);
        drop_out(cx, part("output", joined), self.dropout, &self.common)
    }
}

impl Layer for MultiHeadAttention {
    fn kind(&self) -> &'static str {
        "multi_head_attention"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        self.write(cx, x, x, if self.causal { Mask::Causal } else { Mask::Everything })
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::MultiHeadAttention(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// A block of a transformer with normalisation first: `x + attention(norm(x))`, then `x + feed_forward(norm(x))`, where
/// the feed-forward part has one hidden layer. Parts `attention`, `norm_1`, `norm_2`, `hidden`, `output`.
///
/// # Shapes
/// `[rows, positions, width]` → the same
/// # Source
/// Vaswani et al. 2017, figure 1; Xiong et al. 2020 for the order
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerBlock {
    attention: MultiHeadAttention,
    norms: [LayerNorm; 2],
    hidden: usize,
    activation: Activation,
    dropout: f64,
    pub(super) common: Common,
}

impl TransformerBlock {
    /// With so many heads, and so many hidden units in its feed-forward part; GELU between.
    #[track_caller]
    pub fn new(heads: usize, hidden: usize) -> TransformerBlock {
        TransformerBlock {
            attention: MultiHeadAttention::new(heads).named("attention"),
            norms: [LayerNorm::new().named("norm_1"), LayerNorm::new().named("norm_2")],
            hidden,
            activation: Activation::Gelu,
            dropout: 0.0,
            common: Common::new(),
        }
    }

    /// Lets positions see themselves and those before only.
    pub fn causal(self) -> TransformerBlock {
        TransformerBlock { attention: self.attention.causal(), ..self }
    }

    /// With another activation of the hidden units.
    pub fn activation(self, activation: Activation) -> TransformerBlock {
        TransformerBlock { activation, ..self }
    }

    /// With dropout of this rate on what both parts make.
    pub fn dropout(self, rate: f64) -> TransformerBlock {
        TransformerBlock { attention: self.attention.dropout(rate), dropout: rate, ..self }
    }
}

impl Layer for TransformerBlock {
    fn kind(&self) -> &'static str {
        "transformer_block"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        let Some(&width) = ty.shape.dims().last().filter(|_| self.hidden > 0) else {
            let message = format!("of {} hidden units takes sequences, not {ty}", self.hidden);
            cx.fail(
                "transformer_block",
                self.common.at,
                message,
                "pass `[rows, positions, width]`",
            );
            return cx.graph().poison();
        };
        let x = x + self.attention.apply(cx, self.norms[0].apply(cx, x));
        let wide = |name: &str, x: Tensor<'g>, from: usize, to: usize| {
            cx.part(name, || {
                let weight = cx.param("weight", [from, to], Init::GlorotUniform);
                product(x, weight) + cx.param("bias", [to], Init::Zeros)
            })
        };
        let normed = self.norms[1].apply(cx, x);
        let hidden = self.activation.of(wide("hidden", normed, width, self.hidden));
        x + drop_out(cx, wide("output", hidden, self.hidden, width), self.dropout, &self.common)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::TransformerBlock(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}
