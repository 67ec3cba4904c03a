//! Layers that follow each other, and layers with a shortcut around them.

use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Any layer, to hold several kinds in one list. A clone of this handle is the same layer: both share parameters.
pub type AnyLayer = Arc<dyn Layer>;

impl<L: Layer + ?Sized> Layer for Arc<L> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        (**self).build(cx, x)
    }

    fn common(&self) -> Option<&Common> {
        (**self).common()
    }

    fn spec(&self, specs: &mut Specs) -> Option<LayerSpec> {
        (**self).spec(specs)
    }
}

/// Layers that follow each other: the first is given the input, each other what the one before made.
///
/// In a stack of its own name, layers are called `stack.dense_1` and so on.
#[derive(Debug)]
pub struct Stack {
    pub(super) layers: Vec<AnyLayer>,
    pub(super) common: Common,
}

impl Stack {
    /// Of a layer, a tuple of layers, an array of one kind, or a list of [`AnyLayer`].
    #[track_caller]
    pub fn new(layers: impl IntoLayers) -> Stack {
        Stack { layers: layers.into_layers(), common: Common::new() }
    }

    /// With one more layer at the end.
    pub fn then(mut self, layer: impl Layer + 'static) -> Stack {
        self.layers.push(Arc::new(layer));
        self
    }

    /// The layers.
    pub fn layers(&self) -> &[AnyLayer] {
        &self.layers
    }
}

impl Layer for Stack {
    fn kind(&self) -> &'static str {
        "stack"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        self.layers.iter().fold(x, |x, layer| layer.apply(cx, x))
    }

    fn spec(&self, specs: &mut Specs) -> Option<LayerSpec> {
        let (layers, common) = (specs.all(&self.layers)?, self.common.clone());
        Some(LayerSpec::Stack { layers, common })
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// Layers with a shortcut around them: `x + layers(x)`.
///
/// # Shapes
/// The layers keep the shape.
#[derive(Debug)]
pub struct Residual {
    pub(super) inner: Stack,
    pub(super) common: Common,
}

impl Residual {
    /// Around these layers.
    #[track_caller]
    pub fn new(layers: impl IntoLayers) -> Residual {
        Residual { inner: Stack::new(layers), common: Common::new() }
    }
}

impl Layer for Residual {
    fn kind(&self) -> &'static str {
        "residual"
    }

    fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let y = self.inner.build(cx, x);
        let (Some(from), Some(to)) = (x.ty(), y.ty()) else { return y };
        if from.shape != to.shape {
            let message = format!("adds {} to {}", to.shape, from.shape);
            let help = "let the layers inside keep the shape";
            cx.fail("residual", self.common.at, message, help);
            return cx.graph().poison();
        }
        x + y
    }

    fn spec(&self, specs: &mut Specs) -> Option<LayerSpec> {
        let (layers, common) = (specs.all(&self.inner.layers)?, self.common.clone());
        Some(LayerSpec::Residual { layers, common })
    }

    fn common(&self) -> Option<&Common> {
        Some(&self.common)
    }
}

/// What a [`Stack`] is made of.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of layers",
    note = "pass a layer, or a tuple of layers such as `(Dense::new(25).relu(), Dense::new(10))`",
    note = "tuples have up to 24 layers; longer stacks are nested or a `Vec<AnyLayer>`"
)]
pub trait IntoLayers {
    /// The layers in order.
    fn into_layers(self) -> Vec<AnyLayer>;
}

impl<L: Layer + 'static> IntoLayers for L {
    fn into_layers(self) -> Vec<AnyLayer> {
        vec![Arc::new(self)]
    }
}

impl<L: Layer + 'static> IntoLayers for Vec<L> {
    fn into_layers(self) -> Vec<AnyLayer> {
        self.into_iter().map(|layer| Arc::new(layer) as AnyLayer).collect()
    }
}

impl<L: Layer + 'static, const N: usize> IntoLayers for [L; N] {
    fn into_layers(self) -> Vec<AnyLayer> {
        Vec::from(self).into_layers()
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Layer + 'static, $($rest: Layer + 'static),*> IntoLayers for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "values are named like their types")]
            fn into_layers(self) -> Vec<AnyLayer> {
                let ($first, $($rest,)*) = self;
                vec![Arc::new($first), $(Arc::new($rest)),*]
            }
        }
        tuples! { $($rest)* }
    };
    () => {};
}

tuples! { A B C D E F G H I J K L M N O P Q R S T U V W X }
