"""The workloads in PyTorch: eager, with the fused Adam."""

import math

import numpy
import torch
import torch.nn.functional as F

from common import STEPS, Report, arguments, cases, noise


def dense(p, name, x):
    return torch.addmm(p[f"{name}.bias"], x, p[f"{name}.weight"])


def classifier(p, x, labels):
    return F.cross_entropy(logits(p, x), labels)


def logits(p, x):
    layers = sum(name.endswith(".weight") for name in p)
    for i in range(layers):
        x = dense(p, f"dense{i}", x)
        if i + 1 < layers:
            x = torch.relu(x)
    return x


def coffee(p, x):
    return torch.sigmoid(dense(p, "out", torch.sigmoid(dense(p, "hidden", x))))


def cnn(p, x):
    """NCHW, which PyTorch is fastest in by default; weights have been permuted."""
    for i in range(2):
        x = F.conv2d(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"], padding="same")
        x = F.max_pool2d(torch.relu(x), 2)
    # Ours flattens height, width, channels.
    x = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
    return dense(p, "out", torch.relu(dense(p, "dense", x)))


def ecg(p, x):
    x = torch.relu(F.conv1d(x, p["conv0.weight"], p["conv0.bias"], stride=10))
    x = torch.relu(F.conv1d(x, p["conv1.weight"], p["conv1.bias"], stride=2))
    x = x.permute(0, 2, 1).reshape(x.shape[0], -1)
    return torch.sigmoid(dense(p, "out", x))


def gpt(p, tokens, labels, mask):
    rows, steps = tokens.shape
    width, heads = p["embedding"].shape[1], 4

    def norm(name, x):
        return F.layer_norm(x, (width,), p[f"{name}.gain"], p[f"{name}.bias"], 1e-5)

    def linear(name, x):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def split(x):
        return x.reshape(rows, steps, heads, width // heads).transpose(1, 2)

    x = p["embedding"][tokens] + p["positions"]
    for i in range(2):
        h = norm(f"a{i}", x)
        q, k, v = (split(linear(f"{name}{i}", h)) for name in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + linear(f"o{i}", mixed.transpose(1, 2).reshape(rows, steps, width))
        h = norm(f"m{i}", x)
        x = x + linear(f"d{i}", F.gelu(linear(f"u{i}", h), approximate="tanh"))
    out = linear("head", norm("last", x))
    return F.cross_entropy(out.reshape(rows * steps, -1), labels)


def permuted(name, array):
    """Convolution weights in PyTorch's order, everything else as it is."""
    if name.startswith("conv") and name.endswith(".weight"):
        axes = {4: (3, 2, 0, 1), 3: (2, 1, 0)}[array.ndim]
        return numpy.ascontiguousarray(array.transpose(axes))
    return array


def train(report, workload, case, loss_of):
    params = {
        name: torch.nn.Parameter(torch.from_numpy(permuted(name, array).copy()))
        for name, array in case.params.items()
    }
    optimizer = torch.optim.Adam(params.values(), lr=1e-3, fused=True)

    def step():
        loss = loss_of(params)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    report.losses(workload, case.metric, [step() for _ in range(STEPS)])
    report.time(workload, case.metric, step)
    return params


def infer(report, workload, metric, run):
    def forward():
        with torch.inference_mode():
            return run().numpy()

    report.time(workload, metric, forward)


def w1(report, case):
    x, y = (torch.from_numpy(case.inputs[name]) for name in ("x", "y"))
    p = train(report, "W1", case, lambda p: F.binary_cross_entropy(coffee(p, x), y))
    row = torch.from_numpy(noise(2, 1.0)).reshape(1, 2)
    infer(report, "W1", "infer_b1_us", lambda: coffee(p, row))


def images(case):
    x = torch.from_numpy(case.inputs["x"])
    return x, torch.from_numpy(case.inputs["labels"].astype(numpy.int64))


def w2(report, case):
    x, labels = images(case)
    p = train(report, "W2", case, lambda p: classifier(p, x, labels))
    if case.metric == "train_step_b32_us":
        for rows in (1, 1797):
            batch = torch.from_numpy(noise(rows * 64, 1.0)).reshape(rows, 64)
            infer(report, "W2", f"infer_b{rows}_us", lambda: logits(p, batch).softmax(1))


def w3(report, case):
    x, labels = images(case)
    train(report, "W3", case, lambda p: classifier(p, x, labels))


def w5(report, case):
    x, labels = images(case)
    x = x.permute(0, 3, 1, 2).contiguous()
    p = train(report, "W5", case, lambda p: F.cross_entropy(cnn(p, x), labels))
    infer(report, "W5", "infer_b1_us", lambda: cnn(p, x[:1]).softmax(1))


def w6(report, case):
    x, y = (torch.from_numpy(case.inputs[name]) for name in ("x", "y"))
    x = x.permute(0, 2, 1).contiguous()
    p = train(report, "W6", case, lambda p: F.binary_cross_entropy(ecg(p, x), y))
    infer(report, "W6", "infer_b1_us", lambda: ecg(p, x[:1]))


def w8(report, case):
    tokens, labels = (case.inputs[name].astype(numpy.int64) for name in ("tokens", "labels"))
    tokens, labels = torch.from_numpy(tokens), torch.from_numpy(labels)
    mask = torch.from_numpy(case.inputs["mask"])
    train(report, "W8", case, lambda p: gpt(p, tokens, labels, mask))


def formula(report, workload, metric, x, of, gradient, unit="ns/elem", scale=None):
    """A formula, or its sum and gradient."""
    x = torch.from_numpy(x).requires_grad_(gradient)

    def run():
        if not gradient:
            with torch.inference_mode():
                return of(x)
        x.grad = None
        value = of(x).sum()
        value.backward()
        return value.item()

    report.time(workload, metric, run, unit, scale or 1e9 / x.numel())


def w7(report):
    def chain(x):
        return torch.tanh(x) * torch.sigmoid(x) + torch.log1p(torch.exp(-torch.abs(x)))

    for size, elements in (("64k", 1 << 16), ("16M", 1 << 24)):
        x = noise(elements, 5.0)
        formula(report, "W7", f"chain_fwd_{size}", x, chain, False)
        formula(report, "W7", f"chain_fwdbwd_{size}", x, chain, True)
    labels = torch.arange(1024) * 7 % 1000
    x = noise(1024 * 1000, 5.0).reshape(1024, 1000)

    def cross_entropy(z):
        return -torch.log(torch.softmax(z, 1)).gather(1, labels[:, None]).mean()

    formula(report, "W7", "softmax_ce_naive_fwdbwd_us", x, cross_entropy, True, "us", 1e6)
    x = noise(1 << 20, 2.0).reshape(1024, 1024)
    dy = torch.from_numpy(noise(1 << 20, 1.0)[::-1].copy()).reshape(1024, 1024)
    gain = torch.ones(1024, requires_grad=True)
    bias = torch.zeros(1024, requires_grad=True)

    def norm(x):
        gain.grad = bias.grad = None
        centred = x - x.mean(1, keepdim=True)
        deviation = torch.sqrt(x.var(1, correction=0, keepdim=True) + 1e-5)
        return (centred / deviation * gain + bias) * dy

    formula(report, "W7", "layernorm_naive_fwdbwd_us", x, norm, True, "us", 1e6)

    def gelu(x):
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + torch.tanh(inner))

    x = noise(1 << 20, 4.0)
    formula(report, "W7", "gelu_tanh_naive_fwdbwd_1M_us", x, gelu, True, "us", 1e6)


def w10(report):
    def y(w):
        return w**3 * torch.sin(w) / (1 + torch.exp(-w))

    formula(report, "W10", "deriv_1e6", noise(1_000_000, 5.0), y, True, "ns/point")


def main():
    given = arguments(__doc__)
    torch.set_num_threads(given.threads)
    report = Report("torch", given.threads)
    trained = {"W1": w1, "W2": w2, "W3": w3, "W5": w5, "W6": w6, "W8": w8}
    formulas = {"W7": w7, "W10": w10}
    for workload in given.workloads:
        if workload in trained:
            for case in cases(given.cases, workload):
                trained[workload](report, case)
        elif workload in formulas:
            formulas[workload](report)


if __name__ == "__main__":
    main()
