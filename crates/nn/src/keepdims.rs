//! Reductions whose axes stay, with size 1.

use crate::axes::{AxisList, IntoAxes};
use crate::tensor::Tensor;

/// A tensor whose reductions keep the reduced axes with size 1, so that the result broadcasts against it.
#[derive(Clone, Copy)]
pub struct KeepDims<'g>(Tensor<'g>);

impl<'g> Tensor<'g> {
    /// Reductions that keep their axes: `x / x.keepdims().sum(1)`.
    pub fn keepdims(self) -> KeepDims<'g> {
        KeepDims(self)
    }

    /// Axes of size 1 where a reduction of `whole` over `axes` took them out.
    #[track_caller]
    fn put_back(self, whole: Tensor<'g>, axes: AxisList) -> Tensor<'g> {
        match axes {
            AxisList::All => self.reshape(vec![1; whole.ty().map_or(0, |t| t.rank())]),
            axes => self.unsqueeze(axes),
        }
    }
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident $method:ident;)*) => {
        impl<'g> KeepDims<'g> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self, axes: impl IntoAxes) -> Tensor<'g> {
                let axes = axes.into_axes();
                self.0.$method(axes.clone()).put_back(self.0, axes)
            })*
        }
    };
}

reductions! {
    /// As [`Tensor::sum`].
    sum sum;
    /// As [`Tensor::prod`].
    prod prod;
    /// As [`Tensor::max`].
    max max;
    /// As [`Tensor::min`].
    min min;
    /// As [`Tensor::logsumexp`].
    logsumexp logsumexp;
    /// As [`Tensor::mean_over`].
    mean mean_over;
    /// As [`Tensor::var`].
    var var;
    /// As [`Tensor::any`].
    any any;
    /// As [`Tensor::all`].
    all all;
}

impl<'g> KeepDims<'g> {
    /// As [`Tensor::argmax`].
    #[track_caller]
    pub fn argmax(self, axis: i32) -> Tensor<'g> {
        self.0.argmax(axis).unsqueeze(axis)
    }

    /// As [`Tensor::argmin`].
    #[track_caller]
    pub fn argmin(self, axis: i32) -> Tensor<'g> {
        self.0.argmin(axis).unsqueeze(axis)
    }
}
