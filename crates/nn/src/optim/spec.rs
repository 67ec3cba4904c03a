//! Optimizers as data.

use super::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

macro_rules! specs {
    ($($Optimizer:ident $name:literal)*) => {
        /// An optimizer as data; its `kind` is what [`Optimizer::name`] says.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        pub enum OptimizerSpec {
            $(
                #[doc = concat!("[`super::", stringify!($Optimizer), "`]")]
                #[serde(rename = $name)]
                $Optimizer($Optimizer),
            )*
        }

        impl OptimizerSpec {
            /// The optimizer again.
            pub fn optimizer(self) -> Arc<dyn Optimizer> {
                match self {
                    $(OptimizerSpec::$Optimizer(optimizer) => Arc::new(optimizer),)*
                }
            }
        }
    };
}

specs! { Adam "adam" Sgd "sgd" RmsProp "rmsprop" Adagrad "adagrad" Lion "lion" }
