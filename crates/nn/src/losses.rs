//! Losses: predictions and targets to one number.
//!
//! Each is a mean: over all elements, or, where a row is one prediction, over rows. Those that end in `_logits` take
//! what comes before a sigmoid or softmax and are exact for all finite logits; prefer them. The others take
//! probabilities and hold them away from 0 and 1 by [`EPSILON`] as Keras does, so that the value stays finite and the
//! gradient is 0 beyond.
//!
//! Predictions and targets have one shape. Nothing is broadcast, which would hide that `[n]` met `[n, 1]`; errors are
//! recorded in the graph.

use crate::tensor::Tensor;
use eggrad_ir::{At, DType};

/// How near to 0 and 1 probabilities may come in losses that take probabilities.
pub const EPSILON: f64 = 1e-7;

/// Mean squared error, `mean((p - y)²)`.
#[track_caller]
pub fn mse<'g>(predictions: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    match alike("mse", predictions, targets) {
        true => (predictions - targets).square().mean(),
        false => predictions.graph().poison(),
    }
}

/// Half the mean squared error, `mean((p - y)²) / 2`, whose gradient is `(p - y) / n`.
#[track_caller]
pub fn half_mse<'g>(predictions: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    match alike("half_mse", predictions, targets) {
        true => (predictions - targets).square().mean() * 0.5,
        false => predictions.graph().poison(),
    }
}

/// Mean absolute error, `mean(|p - y|)`; derivative 0 where they are equal.
#[track_caller]
pub fn mae<'g>(predictions: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    match alike("mae", predictions, targets) {
        true => (predictions - targets).abs().mean(),
        false => predictions.graph().poison(),
    }
}

/// Squared error near the target and absolute error far from it: the mean of `d²/2` where `|d| <= delta` and of
/// `delta · (|d| - delta/2)` elsewhere, with `d = p - y`.
///
/// # Source
/// Huber 1964
#[track_caller]
pub fn huber<'g>(predictions: Tensor<'g>, targets: Tensor<'g>, delta: f64) -> Tensor<'g> {
    if !alike("huber", predictions, targets) {
        return predictions.graph().poison();
    }
    let d = predictions - targets;
    let far = (d.abs() - delta / 2.0) * delta;
    d.abs().le(delta).select(d.square() * 0.5, far).mean()
}

/// Mean of `log(cosh(p - y))`: as the squared error near the target, as the absolute error far from it.
///
/// # Numerics
/// Computed as `d + softplus(-2d) - log 2`, which does not overflow; differences below about 1e-8 (1e-4 in f32) cost 0.
#[track_caller]
pub fn log_cosh<'g>(predictions: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    if !alike("log_cosh", predictions, targets) {
        return predictions.graph().poison();
    }
    let d = predictions - targets;
    (d + (d * -2.0).softplus() - std::f64::consts::LN_2).mean()
}

/// Binary cross-entropy of probabilities, `mean(-y·log(p) - (1-y)·log(1-p))` with `p` held in `[ε, 1-ε]`.
///
/// # Numerics
/// `1-p` is held in its own bounds, not made from the held `p`: f32 has no number near `1-ε`.
#[track_caller]
pub fn bce<'g>(probabilities: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    if !alike("bce", probabilities, targets) {
        return probabilities.graph().poison();
    }
    let high = 1.0 - EPSILON;
    let (p, q) = (probabilities, 1.0 - probabilities);
    let (p, q) = (p.clamp(EPSILON, high), q.clamp(1.0 - high, high));
    -(targets * p.log() + (1.0 - targets) * q.log()).mean()
}

/// Binary cross-entropy of logits, [`bce`] of `sigmoid(z)` without bounds:
/// `mean(y·softplus(-z) + (1-y)·softplus(z))`.
#[track_caller]
pub fn bce_logits<'g>(logits: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    if !alike("bce_logits", logits, targets) {
        return logits.graph().poison();
    }
    (targets * (-logits).softplus() + (1.0 - targets) * logits.softplus()).mean()
}

/// Cross-entropy of rows of probabilities and rows of targets: the mean over rows of `-Σ y·log(p)`, with each row of
/// `p` divided by its sum and then held in `[ε, 1-ε]`.
///
/// # Shapes
/// `[.., classes]` and `[.., classes]` → `[]`
#[track_caller]
pub fn cce<'g>(probabilities: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    if !alike("cce", probabilities, targets) || !rows("cce", probabilities) {
        return probabilities.graph().poison();
    }
    -(targets * normed(probabilities).log()).sum(-1).mean()
}

/// Cross-entropy of rows of logits and rows of targets: the mean over rows of `-Σ y·log_softmax(z)`.
///
/// # Shapes
/// `[.., classes]` and `[.., classes]` → `[]`
#[track_caller]
pub fn cce_logits<'g>(logits: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    if !alike("cce_logits", logits, targets) || !rows("cce_logits", logits) {
        return logits.graph().poison();
    }
    -(targets * logits.log_softmax(-1)).sum(-1).mean()
}

/// [`cce`] with the number of the right class of each row as target.
///
/// # Shapes
/// `[.., classes]` and integers `[..]` → `[]`
#[track_caller]
pub fn scce<'g>(probabilities: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    if !rows("scce", probabilities) || !labelled("scce", probabilities, labels) {
        return probabilities.graph().poison();
    }
    -normed(probabilities).pick(labels).log().mean()
}

/// [`cce_logits`] with the number of the right class of each row as target.
///
/// # Shapes
/// `[.., classes]` and integers `[..]` → `[]`
#[track_caller]
pub fn scce_logits<'g>(logits: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
    if !rows("scce_logits", logits) || !labelled("scce_logits", logits, labels) {
        return logits.graph().poison();
    }
    -logits.log_softmax(-1).pick(labels).mean()
}

/// Kullback-Leibler divergence of rows of probabilities from rows of targets: the mean over rows of `Σ y·log(y / p)`,
/// with both held in `[ε, 1]`.
///
/// # Shapes
/// `[.., classes]` and `[.., classes]` → `[]`
#[track_caller]
pub fn kld<'g>(probabilities: Tensor<'g>, targets: Tensor<'g>) -> Tensor<'g> {
    if !alike("kld", probabilities, targets) || !rows("kld", probabilities) {
        return probabilities.graph().poison();
    }
    let (p, y) = (probabilities.clamp(EPSILON, 1.0), targets.clamp(EPSILON, 1.0));
    (y * (y / p).log()).sum(-1).mean()
}

/// Poisson loss of predicted rates, `mean(p - y·log(p + ε))`.
#[track_caller]
pub fn poisson<'g>(rates: Tensor<'g>, counts: Tensor<'g>) -> Tensor<'g> {
    match alike("poisson", rates, counts) {
        true => (rates - counts * (rates + EPSILON).log()).mean(),
        false => rates.graph().poison(),
    }
}

/// Rows divided by their sums, held in `[ε, 1-ε]`.
#[track_caller]
fn normed<'g>(probabilities: Tensor<'g>) -> Tensor<'g> {
    let rows = probabilities / probabilities.keepdims().sum(-1);
    rows.clamp(EPSILON, 1.0 - EPSILON)
}

/// Whether both have one shape; else an error is recorded.
#[track_caller]
fn alike<'g>(op: &str, predictions: Tensor<'g>, targets: Tensor<'g>) -> bool {
    let at = At::here();
    let graph = predictions.graph();
    let (Some(p), Some(y)) = (predictions.id(), graph.own(op, targets, at)) else { return false };
    let (p_ty, y_ty) = (predictions.expect_ty(), targets.expect_ty());
    if p_ty.shape != y_ty.shape {
        let message = format!("needs one shape, not {} and {}", p_ty.shape, y_ty.shape);
        let help = "reshape the targets to the shape of the predictions".to_string();
        predictions.fail(op, &[p, y], message, help, at);
        return false;
    }
    true
}

/// Whether there is an axis of classes; else an error is recorded.
#[track_caller]
fn rows(op: &str, predictions: Tensor<'_>) -> bool {
    let at = At::here();
    match (predictions.id(), predictions.ty()) {
        (Some(id), Some(ty)) if ty.rank() == 0 => {
            let message = "needs an axis of classes".to_string();
            predictions.fail(op, &[id], message, "pass rows of classes".into(), at);
            false
        }
        (Some(_), Some(_)) => true,
        _ => false,
    }
}

/// Whether `labels` are integers, one for each row of `predictions`; else an error is recorded.
#[track_caller]
fn labelled<'g>(op: &str, predictions: Tensor<'g>, labels: Tensor<'g>) -> bool {
    let at = At::here();
    let graph = predictions.graph();
    let (Some(p), Some(y)) = (predictions.id(), graph.own(op, labels, at)) else { return false };
    let (p_ty, y_ty) = (predictions.expect_ty(), labels.expect_ty());
    let lead = &p_ty.shape.dims()[..p_ty.rank() - 1];
    let integer = !y_ty.dtype.is_float() && y_ty.dtype != DType::Bool;
    if lead == y_ty.shape.dims() && integer {
        return true;
    }
    let message = format!("needs one integer label for each row of {}, not {y_ty}", p_ty.shape);
    let help = "pass `g.labels(..)`, or rows of targets to the form without `s`".to_string();
    predictions.fail(op, &[p, y], message, help, at);
    false
}
