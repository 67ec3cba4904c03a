//! Ops and layers by the names that case files use.

use crate::json::Fields;
use crate::names;
use crate::op::Args;
use eggrad::nn::{AxisList, Mask, Recurrent};
use eggrad::prelude::*;

/// A result, and the number of terms of its longest contraction or reduction.
type Applied<'g> = Result<(Tensor<'g>, usize), String>;

/// The result of the op that `fields` describe, in the file called `name`.
pub(crate) fn apply<'g>(
    g: &'g Graph,
    name: &str,
    fields: &Fields<'_>,
    args: &Args<'g>,
) -> Applied<'g> {
    let op = fields.text("op")?;
    match op {
        "expr" => Ok((g.expression(fields.text("expr")?, &args.all()), 1)),
        "dense" | "linear" => {
            let (x, w) = (args.get(&["x"])?, args.get(&["w"])?);
            let y = x.matmul(w);
            let y = args.maybe(&["b"]).map_or(y, |b| y + b);
            let act = fields.maybe_text("activation")?.unwrap_or("linear");
            Ok((names::activation(act, y)?, size(w, 0)))
        }
        "matmul" => {
            let (a, b) = (args.get(&["a", "x"])?, args.get(&["b", "w", "y"])?);
            Ok((a.matmul(b), size(a, -1)))
        }
        "embedding" => {
            let table = args.get(&["table", "w", "weight", "embeddings"])?;
            Ok((table.gather(args.get(&["ids", "indices", "x", "i"])?), 1))
        }
        "conv1d" => conv::<1>(fields, args, "NWC,WIO", Tensor::conv1d),
        "conv2d" => conv::<2>(fields, args, "NHWC,HWIO", Tensor::conv2d),
        "maxpool1d" => pool::<1>(fields, args, Tensor::max_pool1d),
        "maxpool2d" => pool::<2>(fields, args, Tensor::max_pool2d),
        "avgpool1d" => pool::<1>(fields, args, Tensor::avg_pool1d),
        "avgpool2d" => pool::<2>(fields, args, Tensor::avg_pool2d),
        "batchnorm" => batch_norm(fields, args),
        "layernorm" => {
            let x = args.get(&["x"])?;
            let (gamma, beta) = (args.get(&["gamma"])?, args.get(&["beta"])?);
            last_axis(fields)?;
            Ok((x.layer_norm(gamma, beta, fields.number("epsilon")?), size(x, -1)))
        }
        "rnn" | "simple_rnn" => {
            let (x, wx, wh) = sequence(args)?;
            let y = x.rnn(wx, wh, args.get(&["b"])?);
            Ok((returned(fields, y)?, size(x, -1).max(size(wh, 0))))
        }
        "lstm" => {
            gates(fields, "i,f,c,o")?;
            let (x, wx, wh) = sequence(args)?;
            let y = x.lstm(wx, wh, args.get(&["b"])?);
            Ok((returned(fields, y)?, size(x, -1).max(size(wh, 0))))
        }
        "gru" => {
            gates(fields, "z,r,h")?;
            if fields.maybe("reset_after").is_some_and(|v| v.as_bool() != Some(true)) {
                return Err("`reset_after` is not true".into());
            }
            let (x, wx, wh) = sequence(args)?;
            let (bx, bh) = gru_biases(g, args, size(wx, -1))?;
            let y = x.gru(wx, wh, bx, bh);
            Ok((returned(fields, y)?, size(x, -1).max(size(wh, 0))))
        }
        "sdpa" | "sdpa_causal" | "causal_sdpa" => {
            let [q, k, v] = [args.get(&["q"])?, args.get(&["k"])?, args.get(&["v"])?];
            let field = fields.maybe("causal").map(|v| v.as_bool().ok_or("`causal` is no bool"));
            let causal = match field.transpose()? {
                Some(causal) => causal,
                None => op.contains("causal") || name.contains("causal"),
            };
            let mask = if causal { Mask::Causal } else { Mask::Everything };
            Ok((q.attention(k, v, mask), size(q, -1).max(size(k, -2))))
        }
        "softmax" | "log_softmax" => {
            let x = args.only()?;
            let axes = axes(fields)?.unwrap_or(AxisList::Some(vec![-1]));
            let terms = terms(x, &axes);
            match op {
                "softmax" => Ok((x.softmax(axes), terms)),
                _ => Ok((x.log_softmax(axes), terms)),
            }
        }
        "sum" | "mean" | "max" | "min" | "prod" | "var" | "logsumexp" => {
            reduction(op, fields, args.only()?)
        }
        // Whatever else has a name is a function of each element.
        other => Ok((names::activation(other, args.only()?).map_err(|_| unknown(other))?, 1)),
    }
}

fn unknown(op: &str) -> String {
    format!("unknown op `{op}`")
}

/// Size of axis `axis`, counted from the end if negative; 1 if there is none.
fn size(x: Tensor<'_>, axis: isize) -> usize {
    let dims = x.ty().map(|ty| ty.shape.dims().to_vec()).unwrap_or_default();
    let place = if axis < 0 { dims.len() as isize + axis } else { axis };
    usize::try_from(place).ok().and_then(|i| dims.get(i).copied()).unwrap_or(1)
}

/// Axes named by the field `axis`: one, several, or all where it is null.
fn axes(fields: &Fields<'_>) -> Result<Option<AxisList>, String> {
    let Some(value) = fields.maybe("axis") else { return Ok(None) };
    let one = |v: &serde_json::Value| {
        v.as_i64().map(|a| a as isize).ok_or(format!("`axis` holds {v}, which is no axis"))
    };
    match value {
        serde_json::Value::Null => Ok(Some(AxisList::All)),
        serde_json::Value::Array(list) => {
            Ok(Some(AxisList::Some(list.iter().map(one).collect::<Result<_, _>>()?)))
        }
        value => Ok(Some(AxisList::Some(vec![one(value)?]))),
    }
}

/// Refuses a field `axis` that names another than the last.
fn last_axis(fields: &Fields<'_>) -> Result<(), String> {
    match axes(fields)? {
        None => Ok(()),
        Some(AxisList::Some(list)) if list == [-1] => Ok(()),
        Some(other) => Err(format!("`axis` is {other:?}, not the last")),
    }
}

/// Elements of `x` along `axes`.
fn terms(x: Tensor<'_>, axes: &AxisList) -> usize {
    match axes {
        AxisList::All => x.ty().map_or(1, |ty| ty.shape.elements()),
        AxisList::Some(axes) => axes.iter().map(|&a| size(x, a)).product(),
    }
}

fn reduction<'g>(op: &str, fields: &Fields<'_>, x: Tensor<'g>) -> Applied<'g> {
    let axes = axes(fields)?.unwrap_or(AxisList::All);
    let terms = terms(x, &axes);
    let keep = fields.maybe("keepdims").map(|v| v.as_bool().ok_or("`keepdims` is no bool"));
    let keep = keep.transpose()?.unwrap_or(false);
    macro_rules! by_name {
        ($x:expr, $mean:ident) => {
            match op {
                "sum" => $x.sum(axes),
                "mean" => $x.$mean(axes),
                "max" => $x.max(axes),
                "min" => $x.min(axes),
                "prod" => $x.prod(axes),
                "var" => $x.var(axes),
                "logsumexp" => $x.logsumexp(axes),
                other => return Err(unknown(other)),
            }
        };
    }
    let y = if keep { by_name!(x.keepdims(), mean) } else { by_name!(x, mean_over) };
    Ok((y, terms))
}

/// Stride, dilation and padding of `N` spatial axes.
fn sliding<const N: usize>(fields: &Fields<'_>, strides: &[&str]) -> Result<Sliding<N>, String> {
    let list = |names: &[&str]| -> Result<Option<[usize; N]>, String> {
        for name in names {
            if let Some(counts) = fields.maybe_counts(name, N)? {
                return Ok(counts.try_into().ok());
            }
        }
        Ok(None)
    };
    let mut sliding = Sliding::default();
    if let Some(stride) = list(strides)? {
        sliding = sliding.stride(stride);
    }
    if let Some(dilation) = list(&["dilation"])? {
        sliding = sliding.dilation(dilation);
    }
    match fields.maybe_text("padding")? {
        None => Ok(sliding),
        Some(text) => match text.to_lowercase().as_str() {
            "valid" => Ok(sliding),
            "same" => Ok(sliding.same()),
            other => Err(format!("unknown padding `{other}`")),
        },
    }
}

fn conv<'g, const N: usize>(
    fields: &Fields<'_>,
    args: &Args<'g>,
    layout: &str,
    apply: impl Fn(Tensor<'g>, Tensor<'g>, Sliding<N>) -> Tensor<'g>,
) -> Applied<'g> {
    if let Some(other) = fields.maybe_text("layout")?.filter(|l| l.replace(' ', "") != layout) {
        return Err(format!("unknown layout `{other}`"));
    }
    let (x, w) = (args.get(&["x"])?, args.get(&["w"])?);
    let sliding = sliding::<N>(fields, &["stride", "strides"])?;
    if let Some(groups) = fields.maybe_counts("groups", 1)?
        && size(x, -1) != groups[0] * size(w, -2)
    {
        return Err(format!("{} groups do not fit the weight", groups[0]));
    }
    let y = apply(x, w, sliding);
    let y = args.maybe(&["b"]).map_or(y, |b| y + b);
    let positions: usize = (0..=N).map(|axis| size(w, axis as isize)).product();
    Ok((y, positions))
}

fn pool<'g, const N: usize>(
    fields: &Fields<'_>,
    args: &Args<'g>,
    apply: impl Fn(Tensor<'g>, [usize; N], Sliding<N>) -> Tensor<'g>,
) -> Applied<'g> {
    let k = fields.maybe_counts("k", N)?.ok_or("no field `k`")?;
    let k: [usize; N] = k.try_into().map_err(|_| "`k` has other axes")?;
    // Without a stride, windows lie side by side.
    let strided = fields.maybe("s").is_some();
    let mut sliding = sliding::<N>(fields, &["s"])?;
    if !strided {
        sliding = sliding.stride(k);
    }
    Ok((apply(args.only()?, k, sliding), k.iter().product()))
}

fn batch_norm<'g>(fields: &Fields<'_>, args: &Args<'g>) -> Applied<'g> {
    let x = args.get(&["x"])?;
    let (gamma, beta) = (args.get(&["gamma"])?, args.get(&["beta"])?);
    let epsilon = fields.number("epsilon")?;
    last_axis(fields)?;
    let rows = x.ty().map_or(1, |ty| ty.shape.elements()) / size(x, -1).max(1);
    match fields.text("mode")? {
        "train" => Ok((x.batch_norm(gamma, beta, epsilon).y, rows)),
        "inference" | "infer" | "eval" | "test" => {
            let mean = args.get(&["mean", "moving_mean"])?;
            let variance = args.get(&["var", "variance", "moving_var", "moving_variance"])?;
            Ok((x.batch_norm_by(mean, variance, gamma, beta, epsilon), 1))
        }
        other => Err(format!("unknown mode `{other}`")),
    }
}

/// The sequence, and the weights of input and state.
fn sequence<'g>(args: &Args<'g>) -> Result<(Tensor<'g>, Tensor<'g>, Tensor<'g>), String> {
    let wx = args.get(&["wx", "w", "kernel"])?;
    let wh = args.get(&["wh", "u", "recurrent_kernel"])?;
    Ok((args.get(&["x"])?, wx, wh))
}

/// Whether gates lie in the order `wanted`; what follows a bracket is for people.
fn gates(fields: &Fields<'_>, wanted: &str) -> Result<(), String> {
    let Some(text) = fields.maybe_text("gates")? else { return Ok(()) };
    let order = text.split(['(', ';']).next().unwrap_or("").replace(' ', "");
    match order == wanted || order == wanted.replace(',', "") {
        true => Ok(()),
        false => Err(format!("unknown order of gates `{text}`")),
    }
}

/// The last state, or that of every step.
fn returned<'g>(fields: &Fields<'_>, y: Recurrent<'g>) -> Result<Tensor<'g>, String> {
    match fields.maybe_text("returns")?.unwrap_or("last h") {
        "last h" | "last" | "h" => Ok(y.last),
        "all h" | "all" | "sequence" | "sequences" | "h sequence" => Ok(y.states),
        other => Err(format!("unknown result `{other}`")),
    }
}

/// Biases of input and state: two operands, one of two rows, or one for the input alone.
fn gru_biases<'g>(
    g: &'g Graph,
    args: &Args<'g>,
    width: usize,
) -> Result<(Tensor<'g>, Tensor<'g>), String> {
    let recurrent = args.maybe(&["bh", "br", "b_h", "b_r", "b_hh", "recurrent_bias"]);
    let own = args.get(&["bx", "bi", "b_x", "b_i", "b_ih", "b", "bias", "input_bias"])?;
    if let Some(recurrent) = recurrent {
        return Ok((own, recurrent));
    }
    match own.ty().map_or(1, |ty| ty.rank()) {
        2 => {
            let row = |i: usize| own.slice(0, i..i + 1).reshape([width]);
            Ok((row(0), row(1)))
        }
        _ => Ok((own, g.constant(0.0).broadcast_to([width]))),
    }
}
