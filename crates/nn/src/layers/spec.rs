//! Layers as data: what is saved of a model beside its weights, and the layers made of it again.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

macro_rules! specs {
    ($($Layer:ident)*) => {
        /// A layer as data; its `kind` is what [`Layer::kind`] says.
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
        pub enum LayerSpec {
            $(
                #[doc = concat!("[`super::", stringify!($Layer), "`]")]
                $Layer($Layer),
            )*
            /// An activation as a layer of its own.
            Activation {
                /// Which one.
                function: Activation,
            },
            /// [`super::Stack`]
            Stack {
                /// Layers in order.
                layers: Vec<LayerSpec>,
                /// Name, and whether it is trained.
                common: Common,
            },
            /// [`super::Residual`]
            Residual {
                /// Layers in order.
                layers: Vec<LayerSpec>,
                /// Name, and whether it is trained.
                common: Common,
            },
            /// A layer that stands at another place too, with the same parameters.
            Again {
                /// Its number among the layers before that may be applied twice, from 0; those inside of another come
                /// before it.
                layer: usize,
            },
        }

        impl LayerSpec {
            /// The layer again; `made` holds those before.
            fn make(self, made: &mut Vec<AnyLayer>) -> Result<AnyLayer, String> {
                let layer: AnyLayer = match self {
                    $(LayerSpec::$Layer(layer) => Arc::new(layer),)*
                    LayerSpec::Activation { function } => Arc::new(function),
                    LayerSpec::Stack { layers, common } => {
                        Arc::new(Stack { layers: make_all(layers, made)?, common })
                    }
                    LayerSpec::Residual { layers, common } => {
                        let inner = Stack { layers: make_all(layers, made)?, common: common.clone() };
                        Arc::new(Residual { inner, common })
                    }
                    LayerSpec::Again { layer } => {
                        let known = made.get(layer).cloned();
                        return known.ok_or_else(|| format!("there is no layer {layer} before"));
                    }
                };
                if layer.common().is_some() {
                    made.push(Arc::clone(&layer));
                }
                Ok(layer)
            }
        }
    };
}

specs! {
    Dense Dropout BatchNorm LayerNorm RmsNorm Embedding PositionEmbedding Conv1d Conv2d MaxPool1d MaxPool2d AvgPool1d
    AvgPool2d GlobalMaxPool GlobalAvgPool Lstm Gru SimpleRnn MultiHeadAttention TransformerBlock Flatten Reshape
    Normalization Rescaling
}

impl LayerSpec {
    /// The layer again.
    ///
    /// # Errors
    /// When it is said to be a layer before it that there is not.
    pub fn layer(self) -> Result<AnyLayer, String> {
        self.make(&mut vec![])
    }
}

fn make_all(layers: Vec<LayerSpec>, made: &mut Vec<AnyLayer>) -> Result<Vec<AnyLayer>, String> {
    layers.into_iter().map(|layer| layer.make(made)).collect()
}

/// Layers on their way to data: which there have been, so that what is shared stays so.
#[derive(Debug, Default)]
pub struct Specs {
    /// Numbers of layers by what they are known by.
    numbers: BTreeMap<u64, usize>,
    /// Kinds that are code.
    code: BTreeSet<String>,
}

impl Specs {
    /// A layer with all inside of it as data.
    ///
    /// # Errors
    /// Kinds of those that are code.
    pub fn of(layer: &dyn Layer) -> Result<LayerSpec, Vec<String>> {
        let mut specs = Specs::default();
        let spec = specs.one(layer);
        spec.ok_or_else(|| specs.code.into_iter().collect())
    }

    /// Notes that layers of this kind are code.
    pub fn is_code(&mut self, kind: &str) -> Option<LayerSpec> {
        self.code.insert(kind.to_string());
        None
    }

    /// A layer inside of another.
    pub fn one(&mut self, layer: &dyn Layer) -> Option<LayerSpec> {
        let id = layer.common().map(|common| common.id);
        if let Some(&layer) = id.and_then(|id| self.numbers.get(&id)) {
            return Some(LayerSpec::Again { layer });
        }
        let spec = layer.spec(self)?;
        if let Some(id) = id {
            self.numbers.insert(id, self.numbers.len());
        }
        Some(spec)
    }

    /// Layers inside of another, in order.
    pub fn all(&mut self, layers: &[AnyLayer]) -> Option<Vec<LayerSpec>> {
        // All are looked at, so that all that are code are known.
        let specs: Vec<Option<LayerSpec>> = layers.iter().map(|layer| self.one(&**layer)).collect();
        specs.into_iter().collect()
    }
}
