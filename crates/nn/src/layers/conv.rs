//! Convolutional layers.

use super::{Activation, Common, Context, Layer, LayerSpec, Regularizer, Specs};
use crate::init::Init;
use crate::tensor::Tensor;
use crate::windows::Sliding;
use serde::{Deserialize, Serialize};

/// Size of windows along each of two axes: one number for both, or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

macro_rules! convolutions {
    ($($(#[$doc:meta])* $Conv:ident $kind:literal $method:ident $N:literal $Size:ty, $into:expr, $axes:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Conv {
            filters: usize,
            size: [usize; $N],
            groups: usize,
            sliding: Sliding<$N>,
            pub(super) activation: Activation,
            pub(super) init: Init,
            pub(super) bias: bool,
            pub(super) regularizer: Regularizer,
            pub(super) common: Common,
        }

        impl $Conv {
            /// With so many filters, over windows of this size.
            #[track_caller]
            pub fn new(filters: usize, size: $Size) -> $Conv {
                $Conv {
                    filters,
                    size: $into(size),
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
            pub fn dilation(self, dilation: $Size) -> $Conv {
                $Conv { sliding: self.sliding.dilation($into(dilation)), ..self }
            }

            /// With channels in so many groups that do not mix.
            pub fn groups(self, groups: usize) -> $Conv {
                $Conv { groups, ..self }
            }
        }

        sliding_methods! { $Conv $N $Size, $into }

        impl Layer for $Conv {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
                let counts = (self.filters, self.groups);
                let Some(inner) = inner(cx, $kind, &self.common, x, $axes, counts) else {
                    return cx.graph().poison();
                };
                let shape = [&self.size[..], &[inner, self.filters]].concat();
                let weight = cx.param("weight", shape, self.init.clone());
                if let Some(penalty) = self.regularizer.of(weight) {
                    cx.penalty(penalty);
                }
                let z = x.$method(weight, self.sliding);
                let z = if self.bias { z + cx.param("bias", [self.filters], Init::Zeros) } else { z };
                self.activation.of(z)
            }

            fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
                Some(LayerSpec::$Conv(self.clone()))
            }

            fn common(&self) -> Option<&Common> {
                Some(&self.common)
            }
        }
    )*};
}

convolutions! {
    /// Convolution along one axis: parameters `weight` (`[size, channels / groups, filters]`, Glorot uniform) and `bias`.
    ///
    /// # Shapes
    /// `[rows, positions, channels]` → `[rows, windows, filters]`
    Conv1d "conv1d" conv1d 1 usize, one, "[rows, positions, channels]";
    /// Convolution along two axes: parameters `weight` (`[height, width, channels / groups, filters]`, Glorot uniform)
    /// and `bias`. Sizes are one number for both axes, or height and width.
    ///
    /// # Shapes
    /// `[rows, height, width, channels]` → `[rows, windows, windows, filters]`
    Conv2d "conv2d" conv2d 2 impl Into<Pair>, pair, "[rows, height, width, channels]";
}

/// Channels of a group of `x`, which has these axes; else an error is recorded.
fn inner<'g>(
    cx: &Context<'g>,
    op: &str,
    common: &Common,
    x: Tensor<'g>,
    axes: &str,
    (filters, groups): (usize, usize),
) -> Option<usize> {
    let ty = x.ty()?;
    if filters == 0 {
        cx.fail(op, common.at, "has no filters", "give it at least one");
        return None;
    }
    let rank = axes.split(',').count();
    let channels = ty.shape.dims().last().copied().filter(|_| ty.rank() == rank);
    let inner = channels.filter(|c| groups > 0 && *c > 0 && c % groups == 0).map(|c| c / groups);
    if inner.is_none() {
        let parted = if groups == 1 { String::new() } else { format!(" in {groups} groups") };
        let message = format!("takes {axes}{parted}, not {}", ty.shape);
        let help = "add an axis of channels, for instance with `Reshape::new([28, 28, 1])`";
        cx.fail(op, common.at, message, help);
    }
    inner
}
