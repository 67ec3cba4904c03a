#!/usr/bin/env python3
"""The small GPT of `examples/gpt.rs` in PyTorch: what it reaches on the text held out after as many steps.

    cargo run --release --example gpt -- --seed 0 --steps 600 --initial gpt.safetensors
    benches/peers/gpt.py gpt.safetensors --seed 0 --steps 600

It begins with the weights that ours began with, and draws windows of the text and what is dropped by chance, as ours
does: from streams of its own, so that the two are alike and not equal. Without PyTorch it says so and stops.
"""

import argparse
import gzip
import json
import math
import pathlib
import struct
import sys
import time

try:
    import numpy
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit()

DATA = pathlib.Path(__file__).resolve().parent.parent.parent / "data" / "moby_dick_200k.txt.gz"
LENGTH, WIDTH, BATCH, HEADS, DROPOUT, WARMUP = 64, 128, 16, 4, 0.2, 50


def read(path):
    """The arrays of a file in the safetensors format, all of f32."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = numpy.frombuffer(data[begin:end], dtype=numpy.float32)
        arrays[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return arrays


def linear(p, name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def norm(p, name, x):
    return F.layer_norm(x, (WIDTH,), p[f"{name}.gamma"], p[f"{name}.beta"], 1e-5)


def loss_of(p, x, y, training):
    """Mean cross-entropy of windows `x` and what follows, `y`."""

    def drop(x):
        return F.dropout(x, DROPOUT, training)

    def split(x):
        return x.reshape(*x.shape[:2], HEADS, WIDTH // HEADS).transpose(1, 2)

    h = p["embedding_1.weight"][x] + p["position_embedding_1.weight"]
    for block in ("transformer_block_1", "transformer_block_2"):
        seen = norm(p, f"{block}.norm_1", h)
        parts = ("query", "key", "value")
        q, k, v = (split(linear(p, f"{block}.attention.{part}", seen)) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(h.shape)
        h = h + drop(linear(p, f"{block}.attention.output", mixed))
        wide = F.gelu(linear(p, f"{block}.hidden", norm(p, f"{block}.norm_2", h)))
        h = h + drop(linear(p, f"{block}.output", wide))
    logits = linear(p, "dense_1", norm(p, "layer_norm_1", h))
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def windows(text, starts):
    """Windows that begin at `starts`, and the same one character further on."""
    places = starts[:, None] + torch.arange(LENGTH)
    return text[places], text[places + 1]


def held_out(p, held):
    """Mean loss over the text held out, window after window."""
    starts = torch.arange(0, len(held) - LENGTH, LENGTH)
    total = 0.0
    with torch.inference_mode():
        for part in starts.split(64):
            total += loss_of(p, *windows(held, part), False).item() * len(part)
    return total / len(starts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("initial", type=pathlib.Path, help="what `gpt --initial` has written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)

    text = gzip.decompress(DATA.read_bytes()).decode()
    # The vocabulary of ours: characters in the order of their numbers.
    number = {character: i for i, character in enumerate(sorted(set(text)))}
    text = torch.tensor([number[character] for character in text])
    train, held = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]

    p = {name: torch.nn.Parameter(array) for name, array in read(given.initial).items()}
    if p["embedding_1.weight"].shape[0] != len(number):
        sys.exit(f"{given.initial} is of a model of other characters")
    adam = torch.optim.Adam(p.values(), lr=1e-3)
    rates = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (step + 1) / WARMUP))
    print(f"before        held out {held_out(p, held):.4f}")
    start, losses = time.perf_counter(), []
    for step in range(1, given.steps + 1):
        x, y = windows(train, torch.randint(0, len(train) - LENGTH, (BATCH,)))
        loss = loss_of(p, x, y, True)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        adam.step()
        rates.step()
        losses.append(loss.item())
        if step % given.every == 0 or step == given.steps:
            mean, seconds = math.fsum(losses) / len(losses), time.perf_counter() - start
            print(f"step {step:>6}   loss {mean:.4f}   held out {held_out(p, held):.4f}", end="")
            print(f"   {seconds:.0f} s", flush=True)
            losses = []


if __name__ == "__main__":
    main()
