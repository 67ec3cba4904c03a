//! Metrics as data.

use super::*;
use serde::{Deserialize, Serialize};

macro_rules! specs {
    ($($Metric:ident)*) => {
        /// A metric as data.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
        pub enum MetricSpec {
            $(
                #[doc = concat!("[`super::", stringify!($Metric), "`]")]
                $Metric($Metric),
            )*
            /// [`super::TopKAccuracy`]
            TopKAccuracy {
                /// Predictions that are looked at.
                k: usize,
            },
            /// [`super::OfOutput`]
            OfOutput {
                /// What is measured.
                metric: Box<MetricSpec>,
                /// Of which output.
                output: usize,
            },
        }

        impl MetricSpec {
            /// The metric again.
            pub fn metric(self) -> Arc<dyn Metric> {
                match self {
                    $(MetricSpec::$Metric(metric) => Arc::new(metric),)*
                    MetricSpec::TopKAccuracy { k } => Arc::new(TopKAccuracy(k)),
                    MetricSpec::OfOutput { metric, output } => Arc::new(metric.metric().of_output(output)),
                }
            }
        }
    };
}

specs! { Accuracy ConfusionMatrix Precision Recall F1 Auc Mae Mse Rmse R2 }
