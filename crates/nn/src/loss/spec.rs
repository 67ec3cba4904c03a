//! Losses as data.

use super::*;
use serde::{Deserialize, Serialize};

macro_rules! specs {
    ($($Loss:ident)*) => {
        /// A loss as data.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
        pub enum LossSpec {
            $(
                #[doc = concat!("[`super::", stringify!($Loss), "`]")]
                $Loss($Loss),
            )*
            /// [`super::Weighted`]
            Weighted {
                /// What is weighted.
                loss: Box<LossSpec>,
                /// By how much.
                factor: f64,
            },
        }

        impl LossSpec {
            /// The loss again.
            pub fn loss(self) -> Arc<dyn Loss> {
                match self {
                    $(LossSpec::$Loss(loss) => Arc::new(loss),)*
                    LossSpec::Weighted { loss, factor } => Arc::new(loss.loss().weighted(factor)),
                }
            }
        }
    };
}

specs! {
    BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy KlDivergence MeanSquaredError
    HalfMeanSquaredError MeanAbsoluteError LogCosh Hinge SquaredHinge Poisson Huber
}
