//! Layers that change the shape of rows.

use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Every row as one axis.
///
/// # Shapes
/// `[rows, a, b, ..]` → `[rows, a · b · ..]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {
    pub(super) common: Common,
}

impl Flatten {
    /// The layer.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "`default` would not know the caller's line")]
    pub fn new() -> Flatten {
        Flatten { common: Common::new() }
    }
}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn build<'g>(&self, _: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        match ty.shape.dims() {
            [] => x,
            [rows, rest @ ..] => x.reshape([*rows, rest.iter().product()]),
        }
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Flatten(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Every row in another shape of as many numbers.
///
/// # Shapes
/// `[rows, ..]` → `[rows, shape..]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    shape: Vec<usize>,
    pub(super) common: Common,
}

impl Reshape {
    /// To rows of this shape.
    #[track_caller]
    pub fn new(shape: impl Into<Vec<usize>>) -> Reshape {
        Reshape { shape: shape.into(), common: Common::new() }
    }
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn build<'g>(&self, _: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(ty) = x.ty() else { return x };
        let rows = ty.shape.dims().first().copied().unwrap_or(1);
        x.reshape([&[rows], self.shape.as_slice()].concat())
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Reshape(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}
