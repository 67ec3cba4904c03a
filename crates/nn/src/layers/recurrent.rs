//! Recurrent layers, as loops: the graph does not grow with the number of steps.

use super::{Common, Context, Layer, LayerSpec, Specs};
use crate::init::Init;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

macro_rules! recurrent {
    ($($(#[$doc:meta])* $Layer:ident $kind:literal $gates:literal $biases:expr, $run:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Shapes
        /// `[rows, steps, features]` → `[rows, units]`, or `[rows, steps, units]` with [`Self::sequences`]
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Layer {
            units: usize,
            sequences: bool,
            reverse: bool,
            pub(super) common: Common,
        }

        impl $Layer {
            /// With so many units.
            #[track_caller]
            pub fn new(units: usize) -> $Layer {
                $Layer { units, sequences: false, reverse: false, common: Common::new() }
            }

            /// Gives the state after every step, not only the last.
            #[doc(alias = "return_sequences")]
            pub fn sequences(self) -> $Layer {
                $Layer { sequences: true, ..self }
            }

            /// Reads from the last step to the first.
            #[doc(alias = "go_backwards")]
            pub fn backwards(self) -> $Layer {
                $Layer { reverse: true, ..self }
            }
        }

        impl Layer for $Layer {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn build<'g>(&self, cx: &Context<'g>, x: Tensor<'g>) -> Tensor<'g> {
                let Some(features) = sequence(cx, $kind, &self.common, x, self.units) else {
                    return cx.graph().poison();
                };
                let x = if self.reverse { x.flip(1) } else { x };
                let wide = $gates * self.units;
                let wx = cx.param("weight", [features, wide], Init::GlorotUniform);
                let wh = cx.param("weight_recurrent", [self.units, wide], Init::Orthogonal(1.0));
                let biases: Vec<Tensor<'g>> = $biases(self.units)
                    .into_iter()
                    .map(|(name, init)| cx.param(name, [wide], init))
                    .collect();
                let run: for<'a> fn(Tensor<'a>, Tensor<'a>, Tensor<'a>, &[Tensor<'a>]) -> crate::Recurrent<'a> = $run;
                let made = run(x, wx, wh, &biases);
                match (self.sequences, self.reverse) {
                    (false, _) => made.last,
                    (true, false) => made.states,
                    (true, true) => made.states.flip(1),
                }
            }

            fn spec(&self, _: &mut Specs) -> Option<LayerSpec> {
                Some(LayerSpec::$Layer(self.clone()))
            }

            fn common(&self) -> Option<&Common> {
                Some(&self.common)
            }
        }
    )*};
}

recurrent! {
    /// A simple recurrent layer, [`Tensor::rnn`]. Parameters `weight` (Glorot uniform), `weight_recurrent` (orthogonal),
    /// `bias` (zeros).
    SimpleRnn "simple_rnn" 1 |_: usize| vec![("bias", Init::Zeros)],
        |x, wx, wh, b| x.rnn(wx, wh, b[0]);
    /// Long short-term memory, [`Tensor::lstm`], with gates in the order i, f, c, o. Parameters `weight` (Glorot
    /// uniform), `weight_recurrent` (orthogonal), `bias` (1 for the gate that forgets, else 0: Jozefowicz et al. 2015).
    Lstm "lstm" 4 |units: usize| vec![("bias", Init::Values(forget(units)))],
        |x, wx, wh, b| x.lstm(wx, wh, b[0]);
    /// Gated recurrent units, [`Tensor::gru`], with gates in the order z, r, h. Parameters `weight` (Glorot uniform),
    /// `weight_recurrent` (orthogonal), `bias` and `bias_recurrent` (zeros).
    Gru "gru" 3 |_: usize| vec![("bias", Init::Zeros), ("bias_recurrent", Init::Zeros)],
        |x, wx, wh, b| x.gru(wx, wh, b[0], b[1]);
}

/// Biases of an LSTM at the beginning.
fn forget(units: usize) -> Vec<f64> {
    (0..4 * units).map(|i| if i / units.max(1) == 1 { 1.0 } else { 0.0 }).collect()
}

/// Most units of a layer: their weights alone would take terabytes.
const MOST: usize = 1 << 20;

/// Features of the steps of `x`; else an error is recorded.
fn sequence<'g>(
    cx: &Context<'g>,
    kind: &str,
    common: &Common,
    x: Tensor<'g>,
    units: usize,
) -> Option<usize> {
    let ty = x.ty()?;
    let features = match ty.shape.dims() {
        &[_, _, features] if (1..=MOST).contains(&units) && ty.dtype.is_float() => Some(features),
        _ => None,
    };
    if features.is_none() {
        let message = format!("of {units} units takes sequences of floats, not {ty}");
        let help = "pass `[rows, steps, features]`, to one unit or some more";
        cx.fail(kind, common.at, message, help);
    }
    features
}
