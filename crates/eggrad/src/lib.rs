//! Neural networks as symbolic expressions: written naively, stabilised by equality saturation, compiled to native
//! code.
//!
//! # One expression through all rooms
//!
//! A formula that overflows, and what becomes of it:
//!
//! ```
//! use eggrad::prelude::*;
//!
//! // nn: operators append nodes to a graph under construction.
//! let g = Graph::new();
//! let z = g.input("z", [2, 3]);
//! let y = g.labels("labels", [2], 3).one_hot(3);
//! let loss = -(y * z.softmax(1).log()).sum(1).mean();
//! g.output("loss", loss);
//! g.output("dz", loss.grad(z));
//!
//! // ir: the finished graph is typed and has a text form; the derivative is a node.
//! let written = g.build()?.graph;
//! assert!(written.to_string().contains("log"));
//! assert!(written.has_grad());
//!
//! // interp: as written, a logit of 1000 gives an infinite loss.
//! use eggrad::interp::{Data, Precision, Tensor, run};
//! let as_written = Options { rewrite: false, ..Options::default() };
//! let naive = eggrad::lower(&written, &as_written)?;
//! let logits = Tensor::new([2, 3], Data::F32(vec![1000.0, 0.0, -1000.0, 1.0, 2.0, 3.0]));
//! let labels = Tensor::new([2], Data::I32(vec![1, 2]));
//! let inputs = [logits, labels];
//! let result = run(&naive, &inputs, &[], Precision::AsWritten).expect("inputs that fit");
//! assert!(!result.outputs[0].item().is_finite());
//!
//! // rewrite, autodiff, rewrite: stabilised, then differentiated, then optimised as a whole.
//! let stable = eggrad::lower(&written, &Options::default())?;
//! assert!(stable.to_string().contains("cross_entropy"));
//! assert!(!stable.to_string().contains("log("));
//! let result = run(&stable, &inputs, &[], Precision::AsWritten).expect("inputs that fit");
//! assert!((result.outputs[0].item() - 500.2038).abs() < 1e-3);
//!
//! // schedule: kernels over buffers in one arena, as plain data.
//! let plan = eggrad::schedule::schedule(&stable, &Default::default())?;
//! assert!(plan.to_string().starts_with("kernels: "));
//!
//! // jit: the same, through all stages, as machine code.
//! let program = std::sync::Arc::new(Program::compile(&g, &Options::default())?);
//! let mut store = Store::new(0);
//! let mut session = Session::new(&program, &mut store)?;
//! let (mut loss, mut dz) = ([0.0f32], [0.0f32; 6]);
//! session.run(
//!     &mut store,
//!     &[ArrayRef::F32(&[1000.0, 0.0, -1000.0, 1.0, 2.0, 3.0]), ArrayRef::I32(&[1, 2])],
//!     &mut [ArrayMut::F32(&mut loss), ArrayMut::F32(&mut dz)],
//! )?;
//! assert!((loss[0] - 500.2038).abs() < 1e-3);
//! assert_eq!(dz[..3], [0.5, -0.5, 0.0]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # From here
//!
//! * [`nn::Graph`] and [`nn::Tensor`]: what can be written; [`nn::dense`], [`nn::losses`], and the optimizers
//!   [`nn::Sgd`], [`nn::Adam`], [`nn::RmsProp`], [`nn::Adagrad`], [`nn::Lion`].
//! * [`Program`], [`Session`], [`Store`]: compile a graph and run it.
//! * [`Sequential`], [`Model`], [`nn::layers`], [`nn::loss`], [`nn::metrics`], [`Fit`]: layers to train, evaluate and ask.
//! * [`Model::save`], [`Model::load`], [`Store::save`], [`Checkpoint`]: models, weights and training runs in files.
//! * [`EpochPlot`], [`XyPlot`], [`ImageGrid`]: curves and weights as pictures.
//! * [`Options`], [`Report`]: what a compile may do and did; [`explain`]: by which steps.
#![forbid(unsafe_code)]

mod callbacks;
mod checkpoint;
mod cost;
mod data;
mod error;
mod explain;
mod explained;
mod fit;
mod history;
mod model;
mod pipeline;
mod plot;
mod program;
mod recording;
mod report;
mod rows;
mod save;
mod stage;
mod store;
mod values;

pub use callbacks::{
    Callback, EarlyStopping, LearningRateSchedule, ReduceLrOnPlateau, TerminateOnNan,
};
pub use checkpoint::{Checkpoint, Position};
pub use data::Dataset;
pub use error::Error;
pub use explained::{Explained, Round, explain};
pub use fit::Fit;
pub use history::{Epoch, History, Next, Progress};
pub use model::{Batch, Evaluation, Inside, InsideRow, Model, Sequential, Summary, Weights};
pub use pipeline::{Options, compile, lower};
pub use plot::{EpochPlot, ImageGrid, PlotError, Scale, Series, XyPlot};
pub use program::{Program, Session};
pub use recording::{CsvLogger, ModelCheckpoint};
pub use report::{Report, StageReport};
pub use save::{Difference, Differences, SaveError, Saved};
pub use store::Store;
pub use values::{IntoValues, Values};

pub use ndarray;
pub use serde_json;

pub use eggrad_autodiff as autodiff;
pub use eggrad_formats as formats;
pub use eggrad_interp as interp;
pub use eggrad_ir as ir;
pub use eggrad_jit as jit;
pub use eggrad_nn as nn;
pub use eggrad_rewrite as rewrite;
pub use eggrad_schedule as schedule;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/training.md")]
struct Training;

/// What most programs need: `use eggrad::prelude::*`.
pub mod prelude {
    pub use crate::ir::{DType, StateKind, TensorType};
    pub use crate::jit::{ArrayMut, ArrayRef};
    pub use crate::nn::loss::{
        BinaryCrossentropy, CategoricalCrossentropy, HalfMeanSquaredError, Hinge, Huber,
        KlDivergence, LogCosh, Loss, LossFn, MeanAbsoluteError, MeanSquaredError, Poisson,
        SparseCategoricalCrossentropy, SquaredHinge, Task,
    };
    pub use crate::nn::metrics::{
        Accuracy, Auc, ConfusionMatrix, F1, Mae, Metric, Mse, Precision, R2, Recall, Rmse,
        TopKAccuracy,
    };
    pub use crate::nn::{
        Activation, Adagrad, Adam, AnyLayer, AvgPool1d, AvgPool2d, BatchNorm, Common, Context,
        Conv1d, Conv2d, Dense, Dropout, Embedding, EpsilonMode, Flatten, GlobalAvgPool,
        GlobalMaxPool, Graph, Gru, Init, Lambda, Layer, LayerNorm, Lion, Lstm, Mask, MaxPool1d,
        MaxPool2d, Mode, Module, MultiHeadAttention, Normalization, Optimizer, Padding,
        PositionEmbedding, Regularizer, Rescaling, Reshape, Residual, RmsNorm, RmsProp, Schedule,
        Sgd, SimpleRnn, Sliding, Stack, Tensor, TransformerBlock, dense, dense_with, losses,
    };
    pub use crate::rewrite::{RuleSet, Semantics};
    pub use crate::{
        Batch, Callback, Checkpoint, CsvLogger, Dataset, EarlyStopping, Epoch, EpochPlot, Error,
        Evaluation, Fit, History, ImageGrid, LearningRateSchedule, Model, ModelCheckpoint, Next,
        Options, Position, Program, Progress, ReduceLrOnPlateau, Report, Saved, Sequential,
        Session, Store, TerminateOnNan, Values, Weights,
    };
}
