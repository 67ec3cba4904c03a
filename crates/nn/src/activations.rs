//! Activations that are compositions: written naively where rewriting finds the stable form, piecewise with `select`.

use crate::operators::Operand;
use crate::tensor::Tensor;

impl<'g> Tensor<'g> {
    /// `x · sigmoid(x)`, also called swish.
    ///
    /// # Source
    /// Elfwing, Uchibe, Doya 2018
    #[track_caller]
    pub fn silu(self) -> Tensor<'g> {
        self * self.sigmoid()
    }

    /// [`Tensor::silu`] by its other name.
    #[track_caller]
    pub fn swish(self) -> Tensor<'g> {
        self.silu()
    }

    /// `x · Φ(x)` with the normal distribution function `Φ`, by `erf`.
    ///
    /// # Source
    /// Hendrycks, Gimpel 2016
    #[track_caller]
    pub fn gelu(self) -> Tensor<'g> {
        self * (1.0 + (self * std::f64::consts::FRAC_1_SQRT_2).erf()) * 0.5
    }

    /// [`Tensor::gelu`] with `Φ` approximated by `tanh`.
    ///
    /// # Numerics
    /// Beyond ±30, where `Φ` is 0 or 1 in every float type, the cube is that of ±30: it does not overflow, and the
    /// derivative is 0 or 1.
    #[track_caller]
    pub fn gelu_tanh(self) -> Tensor<'g> {
        let x = self.clamp(-30.0, 30.0);
        let inner = (x + x * x.square() * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
        self * (1.0 + inner.tanh()) * 0.5
    }

    /// `x` above 0, `alpha · (e^x - 1)` below.
    ///
    /// # Source
    /// Clevert, Unterthiner, Hochreiter 2016
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Tensor<'g> {
        self.gt(0.0).select(self, self.expm1() * alpha)
    }

    /// Scaled [`Tensor::elu`] that keeps mean and variance of normal activations.
    ///
    /// # Source
    /// Klambauer et al. 2017, equation 2
    #[track_caller]
    pub fn selu(self) -> Tensor<'g> {
        self.elu(1.673_263_242_354_377_2) * 1.050_700_987_355_480_5
    }

    /// `x` from 0 on, `slope · x` below; derivative 1 at 0.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Tensor<'g> {
        self.ge(0.0).select(self, self * slope)
    }

    /// `min(max(x, 0), 6)`; derivative ½ at 0 and 6.
    #[track_caller]
    pub fn relu6(self) -> Tensor<'g> {
        self.clamp(0.0, 6.0)
    }

    /// `x/6 + 1/2` held between 0 and 1; derivative 1/12 at ±3.
    #[track_caller]
    pub fn hard_sigmoid(self) -> Tensor<'g> {
        self.clamp(-3.0, 3.0) / 6.0 + 0.5
    }

    /// `x · hard_sigmoid(x)`
    #[track_caller]
    pub fn hardswish(self) -> Tensor<'g> {
        self * self.hard_sigmoid()
    }

    /// `x / (1 + |x|)`, with the derivative `1 / (1 + |x|)²`.
    ///
    /// # Numerics
    /// The quotient rule would give the derivative as a difference, of which nothing is left for large `x`.
    #[track_caller]
    pub fn softsign(self) -> Tensor<'g> {
        let forward = |x: &[Tensor<'g>]| vec![x[0] / (1.0 + x[0].abs())];
        let backward = |x: &[Tensor<'g>], dy: &[Tensor<'g>]| {
            let part = (1.0 + x[0].abs()).recip();
            vec![dy[0] * part * part]
        };
        self.graph.custom("softsign", &[self], forward, backward)[0]
    }

    /// `x · tanh(softplus(x))`
    ///
    /// # Source
    /// Misra 2019
    #[track_caller]
    pub fn mish(self) -> Tensor<'g> {
        self * self.softplus().tanh()
    }

    /// `x` held between `low` and `high`; NaN stays NaN. The derivative is ½ at both.
    #[track_caller]
    pub fn clamp(self, low: impl Operand<'g>, high: impl Operand<'g>) -> Tensor<'g> {
        self.maximum(low).minimum(high)
    }

    /// Whether neither infinite nor NaN.
    #[track_caller]
    pub fn is_finite(self) -> Tensor<'g> {
        self.abs().lt(f64::INFINITY)
    }
}
