"""The workloads in JAX: a compiled step called from Python, and the same step inside a `scan`."""

import functools
import os
import sys

# Before JAX starts, which makes a thread for each core it may use.
THREADS = int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 1
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
if THREADS == 1:
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy
from jax import lax

from common import STEPS, Report, arguments, cases, noise


def dense(p, name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def cross_entropy(logits, labels):
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
    return -jnp.mean(chosen)


def binary_cross_entropy(p, y):
    return -jnp.mean(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))


def logits(p, x):
    layers = sum(name.endswith(".weight") for name in p)
    for i in range(layers):
        x = dense(p, f"dense{i}", x)
        if i + 1 < layers:
            x = jax.nn.relu(x)
    return x


def classifier(p, batch):
    return cross_entropy(logits(p, batch["x"]), batch["labels"])


def coffee(p, x):
    return jax.nn.sigmoid(dense(p, "out", jax.nn.sigmoid(dense(p, "hidden", x))))


def coffee_loss(p, batch):
    return binary_cross_entropy(coffee(p, batch["x"]), batch["y"])


def cnn(p, x):
    for i in range(2):
        x = lax.conv_general_dilated(
            x, p[f"conv{i}.weight"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + p[f"conv{i}.bias"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(x.shape[0], -1)
    return dense(p, "out", jax.nn.relu(dense(p, "dense", x)))


def cnn_loss(p, batch):
    return cross_entropy(cnn(p, batch["x"]), batch["labels"])


def ecg(p, x):
    for i, stride in enumerate((10, 2)):
        x = lax.conv_general_dilated(
            x, p[f"conv{i}.weight"], (stride,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")
        )
        x = jax.nn.relu(x + p[f"conv{i}.bias"])
    return jax.nn.sigmoid(dense(p, "out", x.reshape(x.shape[0], -1)))


def ecg_loss(p, batch):
    return binary_cross_entropy(ecg(p, batch["x"]), batch["y"])


def gpt_loss(p, batch):
    tokens = batch["tokens"]
    rows, steps = tokens.shape
    width, heads = p["embedding"].shape[1], 4

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        deviation = jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return centred / deviation * p[f"{name}.gain"] + p[f"{name}.bias"]

    def split(x):
        return x.reshape(rows, steps, heads, width // heads).transpose(0, 2, 1, 3)

    x = p["embedding"][tokens] + p["positions"]
    for i in range(2):
        h = norm(f"a{i}", x)
        q, k, v = (split(dense(p, f"{name}{i}", h)) for name in "qkv")
        scores = q @ k.transpose(0, 1, 3, 2) / (width // heads) ** 0.5 + batch["mask"]
        mixed = (jax.nn.softmax(scores) @ v).transpose(0, 2, 1, 3)
        x = x + dense(p, f"o{i}", mixed.reshape(rows, steps, width))
        h = norm(f"m{i}", x)
        x = x + dense(p, f"d{i}", jax.nn.gelu(dense(p, f"u{i}", h), approximate=True))
    out = dense(p, "head", norm("last", x))
    return cross_entropy(out.reshape(rows * steps, -1), batch["labels"])


def adam_step(loss_of, state, batch):
    p, m, v, count = state
    loss, g = jax.value_and_grad(loss_of)(p, batch)
    count = count + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    c1, c2 = 1 - 0.9**count, 1 - 0.999**count
    p = jax.tree.map(lambda p, m, v: p - 1e-3 * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), p, m, v)
    return (p, m, v, count), loss


class Training:
    """A train step, called from Python."""

    def __init__(self, case, loss_of):
        self.batch = case.inputs
        self.step = jax.jit(functools.partial(adam_step, loss_of), donate_argnums=0)
        p = {name: jnp.asarray(array) for name, array in case.params.items()}
        zeros = lambda: jax.tree.map(jnp.zeros_like, p)
        self.state = (p, zeros(), zeros(), jnp.float32(0))

    def __call__(self):
        self.state, loss = self.step(self.state, self.batch)
        return float(loss)


def train(reports, workload, case, loss_of, count):
    per_call, in_scan = reports
    training = Training(case, loss_of)
    per_call.losses(workload, case.metric, [training() for _ in range(STEPS)])
    per_call.time(workload, case.metric, training)

    batch = jax.tree.map(jnp.asarray, case.inputs)

    @functools.partial(jax.jit, donate_argnums=0)
    def steps(state):
        return lax.scan(lambda s, _: adam_step(loss_of, s, batch), state, None, length=count)

    state = Training(case, loss_of).state
    box = [state]

    def run():
        box[0], losses = steps(box[0])
        losses.block_until_ready()
        return losses

    in_scan.losses(workload, case.metric, numpy.asarray(run())[:STEPS])
    in_scan.time(workload, case.metric, run, count=count)
    return training.state[0]


def infer(report, workload, metric, forward, p, x):
    compiled = jax.jit(forward)
    report.time(workload, metric, lambda: numpy.asarray(compiled(p, x)))


def formula(report, workload, metric, x, of, gradient, unit="ns/elem", scale=None):
    """A formula, or its sum and gradient."""
    compiled = jax.jit(jax.value_and_grad(lambda x: of(x).sum()) if gradient else of)
    x = jnp.asarray(x)
    report.time(
        workload, metric, lambda: jax.block_until_ready(compiled(x)), unit, scale or 1e9 / x.size
    )


def w7(report):
    def chain(x):
        return jnp.tanh(x) * jax.nn.sigmoid(x) + jnp.log1p(jnp.exp(-jnp.abs(x)))

    for size, elements in (("64k", 1 << 16), ("16M", 1 << 24)):
        x = noise(elements, 5.0)
        formula(report, "W7", f"chain_fwd_{size}", x, chain, False)
        formula(report, "W7", f"chain_fwdbwd_{size}", x, chain, True)
    labels = jnp.arange(1024) * 7 % 1000

    def naive(z):
        chosen = jnp.take_along_axis(jax.nn.softmax(z), labels[:, None], 1)
        return -jnp.mean(jnp.log(chosen))

    x = noise(1024 * 1000, 5.0).reshape(1024, 1000)
    formula(report, "W7", "softmax_ce_naive_fwdbwd_us", x, naive, True, "us", 1e6)
    x = noise(1 << 20, 2.0).reshape(1024, 1024)
    dy = noise(1 << 20, 1.0)[::-1].reshape(1024, 1024)

    def norm(p):
        x, gain, bias = p
        deviation = jnp.sqrt(x.var(1, keepdims=True) + 1e-5)
        return jnp.sum(((x - x.mean(1, keepdims=True)) / deviation * gain + bias) * dy)

    compiled = jax.jit(jax.value_and_grad(norm))
    operands = tuple(map(jnp.asarray, (x, numpy.ones(1024, "f4"), numpy.zeros(1024, "f4"))))
    run = lambda: jax.block_until_ready(compiled(operands))
    report.time("W7", "layernorm_naive_fwdbwd_us", run)

    def gelu(x):
        inner = (2 / numpy.pi) ** 0.5 * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + jnp.tanh(inner))

    x = noise(1 << 20, 4.0)
    formula(report, "W7", "gelu_tanh_naive_fwdbwd_1M_us", x, gelu, True, "us", 1e6)


def w10(report):
    def y(w):
        return w**3 * jnp.sin(w) / (1 + jnp.exp(-w))

    formula(report, "W10", "deriv_1e6", noise(1_000_000, 5.0), y, True, "ns/point")


# The loss of a train step, and how many of them a scan takes.
TRAINED = {
    "W1": (coffee_loss, 1000),
    "W2": (classifier, 1000),
    "W3": (classifier, 20),
    "W5": (cnn_loss, 10),
    "W6": (ecg_loss, 1000),
    "W8": (gpt_loss, 10),
}


def inference(report, workload, case, p):
    softmax = jax.nn.softmax
    if workload == "W1":
        infer(report, workload, "infer_b1_us", coffee, p, noise(2, 1.0).reshape(1, 2))
    if workload == "W2" and case.metric == "train_step_b32_us":
        for rows in (1, 1797):
            x = noise(rows * 64, 1.0).reshape(rows, 64)
            infer(report, workload, f"infer_b{rows}_us", lambda p, x: softmax(logits(p, x)), p, x)
    if workload == "W5":
        image = case.inputs["x"][:1]
        infer(report, workload, "infer_b1_us", lambda p, x: softmax(cnn(p, x)), p, image)
    if workload == "W6":
        infer(report, workload, "infer_b1_us", ecg, p, case.inputs["x"][:1])


def main():
    given = arguments(__doc__)
    reports = (Report("jax", given.threads), Report("jax-scan", given.threads))
    for workload in given.workloads:
        if workload in TRAINED:
            loss_of, count = TRAINED[workload]
            for case in cases(given.cases, workload):
                p = train(reports, workload, case, loss_of, count)
                inference(reports[0], workload, case, p)
        elif workload == "W7":
            w7(reports[0])
        elif workload == "W10":
            w10(reports[0])


if __name__ == "__main__":
    main()
