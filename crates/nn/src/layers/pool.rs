//! Pooling layers: windows, or everything, to one number per channel.

use super::conv::{Pair, one, pair, sliding_methods};
use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::tensor::Tensor;
use crate::windows::Sliding;
use serde::{Deserialize, Serialize};

macro_rules! pools {
    ($($(#[$doc:meta])* $Pool:ident $kind:literal $method:ident $N:literal $Size:ty, $into:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Pool {
            size: [usize; $N],
            sliding: Sliding<$N>,
            pub(super) common: Common,
        }

        impl $Pool {
            /// Over windows of this size that do not overlap.
            #[track_caller]
            pub fn new(size: $Size) -> $Pool {
                let size = $into(size);
                $Pool { size, sliding: Sliding::default().stride(size), common: Common::new() }
            }
        }

        sliding_methods! { $Pool $N $Size, $into }

        impl Layer for $Pool {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn build<'g>(&self, _: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
                x.$method(self.size, self.sliding)
            }

            fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
                Some(LayerSpec::$Pool(self.clone()))
            }

            fn common(&self) -> Option<&Common> {
                Some(&self.common)
            }
        }
    )*};
}

pools! {
    /// Largest of each window.
    ///
    /// # Shapes
    /// `[rows, positions, channels]` → `[rows, windows, channels]`
    MaxPool1d "max_pool1d" max_pool1d 1 usize, one;
    /// Largest of each window.
    ///
    /// # Shapes
    /// `[rows, height, width, channels]` → `[rows, windows, windows, channels]`
    MaxPool2d "max_pool2d" max_pool2d 2 impl Into<Pair>, pair;
    /// Mean of each window; what is padded does not count.
    ///
    /// # Shapes
    /// `[rows, positions, channels]` → `[rows, windows, channels]`
    AvgPool1d "avg_pool1d" avg_pool1d 1 usize, one;
    /// Mean of each window; what is padded does not count.
    ///
    /// # Shapes
    /// `[rows, height, width, channels]` → `[rows, windows, windows, channels]`
    AvgPool2d "avg_pool2d" avg_pool2d 2 impl Into<Pair>, pair;
}

macro_rules! globals {
    ($($(#[$doc:meta])* $Pool:ident $kind:literal $method:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Shapes
        /// `[rows, .., channels]` → `[rows, channels]`
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Pool {
            pub(super) common: Common,
        }

        impl $Pool {
            /// The layer.
            #[track_caller]
            #[expect(clippy::new_without_default, reason = "`default` would not know the caller's line")]
            pub fn new() -> $Pool {
                $Pool { common: Common::new() }
            }
        }

        impl Layer for $Pool {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
                let Some(ty) = x.ty() else { return x };
                if ty.rank() < 3 {
                    let help = "pass `[rows, .., channels]`";
                    cx.fail($kind, self.common.at, format!("takes three axes or more, not {}", ty.shape), help);
                    return cx.graph().poison();
                }
                let inner = crate::axes::AxisList::Some((1..ty.rank() as isize - 1).collect());
                x.$method(inner)
            }

            fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
                Some(LayerSpec::$Pool(self.clone()))
            }

            fn common(&self) -> Option<&Common> {
                Some(&self.common)
            }
        }
    )*};
}

globals! {
    /// Largest of all positions of a channel.
    GlobalMaxPool "global_max_pool" max;
    /// Mean of all positions of a channel.
    GlobalAvgPool "global_avg_pool" mean_over;
}
