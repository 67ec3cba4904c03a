//! Convolutional layers.

use super::{Activation, Common, Context, Layer, LayerSpec, Regularizer, Specs};
use crate::init::Init;
use crate::tensor::Tensor;
use crate::windows::Sliding;
use serde::{Deserialize, Serialize};

/// Size of windows along each of two axes: one number for both, or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair(pub(super) [usize; 2]);

impl From<usize> for Pair {
    fn from(size: usize) -> Pair {
        Pair([size; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(sizes: [usize; 2]) -> Pair {
        Pair(sizes)
    }
}

impl From<(usize, usize)> for Pair {
    fn from((height, width): (usize, usize)) -> Pair {
        Pair([height, width])
    }
}

/// Both sizes.
pub(super) fn pair(sizes: impl Into<Pair>) -> [usize; 2] {
    sizes.into().0
}

/// The size of a window along one axis.
pub(super) fn one(size: usize) -> [usize; 1] {
    [size]
}

/// Methods of layers with windows, with a field `sliding`.
macro_rules! sliding_methods {
    ($Layer:ident $N:literal $Size:ty, $into:expr) => {
        impl super::$Layer {
            /// Windows so many positions apart.
            pub fn stride(mut self, stride: $Size) -> Self {
                self.sliding = self.sliding.stride($into(stride));
                self
            }

            /// As many windows as positions, divided by the stride: the borders are padded.
            pub fn same(mut self) -> Self {
                self.sliding = self.sliding.same();
                self
            }

            /// With this padding.
            pub fn padding(mut self, padding: crate::Padding<$N>) -> Self {
                self.sliding = self.sliding.padding(padding);
                self
            }
        }
    };
}
pub(super) use sliding_methods;

/// Convolution along one axis: parameters `weight` (`[size, channels / groups, filters]`, Glorot uniform) and `bias`.
///
/// # Shapes
/// `[rows, positions, channels]` → `[rows, windows, filters]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    filters: usize,
    size: usize,
    groups: usize,
    sliding: Sliding<1>,
    pub(super) activation: Activation,
    pub(super) init: Init,
    pub(super) bias: bool,
    pub(super) regularizer: Regularizer,
    pub(super) common: Common,
}

impl Conv1d {
    /// With so many filters, over windows of so many positions.
    #[track_caller]
    pub fn new(filters: usize, size: usize) -> Conv1d {
        Conv1d {
            filters,
            size,
            groups: 1,
            sliding: Sliding::default(),
            activation: Activation::Linear,
            init: Init::GlorotUniform,
            bias: true,
            regularizer: Regularizer::default(),
            common: Common::new(),
        }
    }

    /// With positions inside a window so far apart.
    pub fn dilation(self, dilation: usize) -> Conv1d {
        Conv1d { sliding: self.sliding.dilation([dilation]), ..self }
    }

    /// With channels in so many groups that do not mix.
    pub fn groups(self, groups: usize) -> Conv1d {
        Conv1d { groups, ..self }
    }
}

sliding_methods! { Conv1d 1 usize, one }

impl Layer for Conv1d {
    fn kind(&self) -> &'static str {
        "conv1d"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(inner) = inner(cx, "conv1d", &self.common, x, 3, (self.filters, self.groups))
        else {
            return cx.graph().poison();
        };
        let weight = cx.param("weight", [self.size, inner, self.filters], self.init.clone());
        if let Some(penalty) = self.regularizer.of(weight) {
            cx.penalty(penalty);
        }
        let z = x.conv1d(weight, self.sliding);
        let z = if self.bias { z + cx.param("bias", [self.filters], Init::Zeros) } else { z };
        self.activation.of(z)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Conv1d(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Convolution along two axes: parameters `weight` (`[height, width, channels / groups, filters]`, Glorot uniform) and
/// `bias`.
///
/// # Shapes
/// `[rows, height, width, channels]` → `[rows, windows, windows, filters]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    filters: usize,
    size: Pair,
    groups: usize,
    sliding: Sliding<2>,
    pub(super) activation: Activation,
    pub(super) init: Init,
    pub(super) bias: bool,
    pub(super) regularizer: Regularizer,
    pub(super) common: Common,
}

impl Conv2d {
    /// With so many filters, over windows of this size: one number, or height and width.
    #[track_caller]
    pub fn new(filters: usize, size: impl Into<Pair>) -> Conv2d {
        Conv2d {
            filters,
            size: size.into(),
            groups: 1,
            sliding: Sliding::default(),
            activation: Activation::Linear,
            init: Init::GlorotUniform,
            bias: true,
            regularizer: Regularizer::default(),
            common: Common::new(),
        }
    }

    /// With positions inside a window so far apart.
    pub fn dilation(self, dilation: impl Into<Pair>) -> Conv2d {
        Conv2d { sliding: self.sliding.dilation(dilation.into().0), ..self }
    }

    /// With channels in so many groups that do not mix.
    pub fn groups(self, groups: usize) -> Conv2d {
        Conv2d { groups, ..self }
    }
}

sliding_methods! { Conv2d 2 impl Into<Pair>, pair }

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let Some(inner) = inner(cx, "conv2d", &self.common, x, 4, (self.filters, self.groups))
        else {
            return cx.graph().poison();
        };
        let [height, width] = self.size.0;
        let weight = cx.param("weight", [height, width, inner, self.filters], self.init.clone());
        if let Some(penalty) = self.regularizer.of(weight) {
            cx.penalty(penalty);
        }
        let z = x.conv2d(weight, self.sliding);
        let z = if self.bias { z + cx.param("bias", [self.filters], Init::Zeros) } else { z };
        self.activation.of(z)
    }

    fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
        Some(LayerSpec::Conv2d(self.clone()))
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Channels of a group of `x`, which has `rank` axes; else an error is recorded.
fn inner<'g>(
    cx: &Context<'g>,
    op: &str,
    common: &Common,
    x: Tensor<'g>,
    rank: usize,
    (filters, groups): (usize, usize),
) -> Option<usize> {
    let ty = x.ty()?;
    if filters == 0 {
        cx.fail(op, common.at, "has no filters", "give it at least one");
        return None;
    }
    let channels = ty.shape.dims().last().copied().filter(|_| ty.rank() == rank);
    let inner = channels.filter(|c| groups > 0 && *c > 0 && c % groups == 0).map(|c| c / groups);
    if inner.is_none() {
        let axes = if rank == 3 {
            "[rows, positions, channels]"
        } else {
            "[rows, height, width, channels]"
        };
        let message = format!("takes {axes} with channels in {groups} groups, not {}", ty.shape);
        let help = "add an axis of channels, for instance with `Reshape::new([28, 28, 1])`";
        cx.fail(op, common.at, message, help);
    }
    inner
}
