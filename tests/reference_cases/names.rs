//! Activations, losses and optimizers by the names that case files use.

use crate::json::Fields;
use eggrad::nn::losses;
use eggrad::prelude::*;

/// The activation called `name`, with the conventions of the case files.
pub(crate) fn activation<'g>(name: &str, x: Tensor<'g>) -> Result<Tensor<'g>, String> {
    Ok(match name {
        "linear" => x,
        "relu" => x.relu(),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "softplus" => x.softplus(),
        "elu" => x.elu(1.0),
        "selu" => x.selu(),
        "gelu" => x.gelu(),
        "gelu_tanh" => x.gelu_tanh(),
        "swish" | "silu" => x.silu(),
        "leaky_relu" => x.leaky_relu(0.2),
        "mish" => x.mish(),
        "softsign" => x.softsign(),
        "hard_sigmoid" => x.hard_sigmoid(),
        "log_sigmoid" => x.sigmoid().log(),
        "hard_swish" | "hardswish" | "hard_silu" => x.hardswish(),
        "relu6" => x.relu6(),
        "exponential" => x.exp(),
        "softmax" => x.softmax(-1),
        "log_softmax" => x.log_softmax(-1),
        other => return Err(format!("unknown activation `{other}`")),
    })
}

/// Whether the targets of the loss called `name` are labels of classes.
pub(crate) fn takes_labels(name: &str) -> bool {
    matches!(name, "scce" | "scce_logits")
}

/// The loss called `name`.
pub(crate) fn loss<'g>(
    name: &str,
    predictions: Tensor<'g>,
    targets: Tensor<'g>,
) -> Result<Tensor<'g>, String> {
    Ok(match name {
        "mse" => losses::mse(predictions, targets),
        "half_mse" => losses::half_mse(predictions, targets),
        "mae" => losses::mae(predictions, targets),
        "huber" => losses::huber(predictions, targets, 1.0),
        "log_cosh" | "logcosh" => losses::log_cosh(predictions, targets),
        "bce" => losses::bce(predictions, targets),
        "bce_logits" => losses::bce_logits(predictions, targets),
        "cce" => losses::cce(predictions, targets),
        "cce_logits" => losses::cce_logits(predictions, targets),
        "scce" => losses::scce(predictions, targets),
        "scce_logits" => losses::scce_logits(predictions, targets),
        "kld" => losses::kld(predictions, targets),
        "poisson" => losses::poisson(predictions, targets),
        other => return Err(format!("unknown loss `{other}`")),
    })
}

/// An optimizer of any kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Optimizer {
    Sgd(Sgd),
    Adam(Adam),
    RmsProp(RmsProp),
    Adagrad(Adagrad),
    Lion(Lion),
}

impl Optimizer {
    /// The optimizer called `name` with the hyper-parameters `hp`.
    pub(crate) fn read(name: &str, hp: &Fields<'_>) -> Result<Optimizer, String> {
        let rate = hp.number("lr")?;
        let betas = || -> Result<(f64, f64), String> { Ok((hp.number("b1")?, hp.number("b2")?)) };
        let (l2, norm) = (hp.maybe_number("l2")?, hp.maybe_number("clipnorm_global")?);
        let value = hp.maybe_number("clipvalue")?;
        macro_rules! treated {
            ($optimizer:expr) => {{
                let mut optimizer = $optimizer;
                optimizer = l2.map_or(optimizer, |l| optimizer.l2(l));
                optimizer = norm.map_or(optimizer, |c| optimizer.clip_global_norm(c));
                value.map_or(optimizer, |c| optimizer.clip_value(c))
            }};
        }
        let optimizer = match name {
            "sgd" => Optimizer::Sgd(treated!(Sgd::new(rate))),
            "momentum" => Optimizer::Sgd(treated!(Sgd::new(rate).momentum(hp.number("momentum")?))),
            "nesterov" => {
                let sgd = Sgd::new(rate).momentum(hp.number("momentum")?).nesterov();
                Optimizer::Sgd(treated!(sgd))
            }
            "adam" | "adamw" => {
                let (b1, b2) = betas()?;
                let mode = match hp.text("eps_mode")? {
                    "keras" => EpsilonMode::Uncorrected,
                    "torch" => EpsilonMode::Corrected,
                    other => return Err(format!("unknown eps_mode `{other}`")),
                };
                let adam = Adam::new(rate).betas(b1, b2).epsilon(hp.number("eps")?);
                let decay = if name == "adamw" { hp.number("wd")? } else { 0.0 };
                Optimizer::Adam(treated!(adam.epsilon_mode(mode).weight_decay(decay)))
            }
            "rmsprop" => {
                let rmsprop = RmsProp::new(rate).rho(hp.number("rho")?);
                Optimizer::RmsProp(treated!(rmsprop.epsilon(hp.number("eps")?)))
            }
            "adagrad" => {
                let adagrad = Adagrad::new(rate).initial_accumulator(hp.number("init_acc")?);
                Optimizer::Adagrad(treated!(adagrad.epsilon(hp.number("eps")?)))
            }
            "lion" => {
                let (b1, b2) = betas()?;
                let decay = hp.maybe_number("wd")?.unwrap_or(0.0);
                Optimizer::Lion(treated!(Lion::new(rate).betas(b1, b2).weight_decay(decay)))
            }
            other => return Err(format!("unknown optimizer `{other}`")),
        };
        hp.finish(&[])?;
        Ok(optimizer)
    }

    pub(crate) fn minimize(self, loss: Tensor<'_>) {
        match self {
            Optimizer::Sgd(optimizer) => optimizer.minimize(loss),
            Optimizer::Adam(optimizer) => optimizer.minimize(loss),
            Optimizer::RmsProp(optimizer) => optimizer.minimize(loss),
            Optimizer::Adagrad(optimizer) => optimizer.minimize(loss),
            Optimizer::Lion(optimizer) => optimizer.minimize(loss),
        }
    }
}
