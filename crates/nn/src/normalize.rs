//! Normalisation: values brought to mean 0 and variance 1, then scaled and shifted.

use crate::operands::fit;
use crate::tensor::Tensor;
use eggrad_ir::At;

/// What [`Tensor::batch_norm`] makes.
#[derive(Clone, Copy)]
pub struct Normalized<'g> {
    /// The normalised values.
    pub y: Tensor<'g>,
    /// Mean of each channel over everything else.
    pub mean: Tensor<'g>,
    /// Variance of each channel, divided by the number of elements.
    pub variance: Tensor<'g>,
}

impl<'g> Tensor<'g> {
    /// Normalises each row, the last axis: `(x - mean) / sqrt(variance + epsilon) · gamma + beta`.
    ///
    /// # Shapes
    /// `[.., n]`, `gamma: [n]`, `beta: [n]` → `[.., n]`
    /// # Errors
    /// Recorded in the graph when the shapes are others.
    /// # Source
    /// Ba, Kiros, Hinton 2016
    #[track_caller]
    pub fn layer_norm(self, gamma: Tensor<'g>, beta: Tensor<'g>, epsilon: f64) -> Tensor<'g> {
        if !self.channels_fit("layer_norm", &[("gamma", gamma), ("beta", beta)]) {
            return self.graph.poison();
        }
        let (mean, variance) = (self.keepdims().mean(-1), self.keepdims().var(-1));
        self.normed(mean, variance, gamma, beta, epsilon)
    }

    /// Normalises each channel, the last axis, over all others, as in training:
    /// `(x - mean) / sqrt(variance + epsilon) · gamma + beta`. Mean and variance are handed out, to keep running means
    /// of them for [`Tensor::batch_norm_by`].
    ///
    /// # Shapes
    /// `[.., n]`, `gamma: [n]`, `beta: [n]` → `[.., n]`, mean and variance `[n]`
    /// # Errors
    /// Recorded in the graph when the shapes are others.
    /// # Source
    /// Ioffe, Szegedy 2015, algorithm 1
    #[track_caller]
    pub fn batch_norm(self, gamma: Tensor<'g>, beta: Tensor<'g>, epsilon: f64) -> Normalized<'g> {
        if !self.channels_fit("batch_norm", &[("gamma", gamma), ("beta", beta)]) {
            let nothing = self.graph.poison();
            return Normalized { y: nothing, mean: nothing, variance: nothing };
        }
        let rank = self.ty().map_or(1, |ty| ty.rank()) as isize;
        let others = crate::axes::AxisList::Some((0..rank - 1).collect());
        let mean = self.mean_over(others.clone());
        let variance = (self - mean).square().mean_over(others);
        let y = self.normed(mean, variance, gamma, beta, epsilon);
        Normalized { y, mean, variance }
    }

    /// Normalises each channel, the last axis, by a mean and variance that are given, as in prediction.
    ///
    /// # Shapes
    /// `[.., n]`, all others `[n]` → `[.., n]`
    /// # Errors
    /// Recorded in the graph when the shapes are others.
    #[track_caller]
    pub fn batch_norm_by(
        self,
        mean: Tensor<'g>,
        variance: Tensor<'g>,
        gamma: Tensor<'g>,
        beta: Tensor<'g>,
        epsilon: f64,
    ) -> Tensor<'g> {
        let operands =
            [("a mean", mean), ("a variance", variance), ("gamma", gamma), ("beta", beta)];
        match self.channels_fit("batch_norm_by", &operands) {
            true => self.normed(mean, variance, gamma, beta, epsilon),
            false => self.graph.poison(),
        }
    }

    #[track_caller]
    fn normed(
        self,
        mean: Tensor<'g>,
        variance: Tensor<'g>,
        gamma: Tensor<'g>,
        beta: Tensor<'g>,
        epsilon: f64,
    ) -> Tensor<'g> {
        (self - mean) / (variance + epsilon).sqrt() * gamma + beta
    }

    /// Whether each operand has one number for each position of the last axis.
    #[track_caller]
    fn channels_fit(self, op: &str, operands: &[(&str, Tensor<'g>)]) -> bool {
        let at = At::here();
        let (Some(id), Some(ty)) = (self.id, self.ty()) else { return false };
        let Some(&channels) = ty.shape.dims().last() else {
            let message = "needs an axis to normalise".to_string();
            self.fail(op, &[id], message, "pass rows of numbers".into(), at);
            return false;
        };
        let all: Vec<(&str, Tensor<'g>, Vec<usize>)> =
            operands.iter().map(|&(name, tensor)| (name, tensor, vec![channels])).collect();
        let x = ("x", self, ty.shape.dims().to_vec());
        let all: Vec<_> = [x].into_iter().chain(all).collect();
        fit(self.graph, op, &all, "give one number for each position of the last axis", at)
    }
}
