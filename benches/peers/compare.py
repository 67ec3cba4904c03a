#!/usr/bin/env python3
"""Ours and the peers in turn: `benches/peers/compare.py`, or `... W2 W5 --threads 2`.

Makes a Python environment with the pinned versions under `target/peers`, or says why it cannot and stops. Ours writes
the batch, the first parameters and the first losses of each train step; the peers start from them, and a peer whose
losses are others is reported and not compared. Then all take their turns, several times; the table has the least time of each
system and the ratio of the fastest peer's to ours.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORKLOADS = ["W1", "W2", "W3", "W5", "W6", "W7", "W8", "W10"]
SYSTEMS = ["eggrad", "torch", "jax", "jax-scan"]
PEERS = {"torch": "torch_workloads.py", "jax": "jax_workloads.py"}
# How much faster than the best of all peers ours is to be; some of those are in other languages and not run here.
TARGETS = {
    "W1": {"train_step_us": 2.0, "infer_b1_us": 8.0},
    "W2": {
        "train_step_b32_us": 5.0,
        "train_step_b128_us": 3.5,
        "infer_b1_us": 7.0,
        "infer_b1797_us": 1.3,
    },
    "W3": {"train_step_us": 1.3},
    "W5": {"train_step_us": 1.5, "infer_b1_us": 1.4},
    "W6": {"train_step_us": 6.0, "infer_b1_us": 7.0},
    "W7": {
        "chain_fwd_64k": 2.0,
        "chain_fwd_16M": 3.0,
        "chain_fwdbwd_64k": 1.5,
        "chain_fwdbwd_16M": 3.0,
        "softmax_ce_naive_fwdbwd_us": 2.5,
        "layernorm_naive_fwdbwd_us": 1.6,
        "gelu_tanh_naive_fwdbwd_1M_us": 1.8,
    },
    "W8": {"train_step_us": 1.4},
    "W10": {"deriv_1e6": 2.0},
}
# Two systems add in different orders; losses of the first steps differ by little more.
TOLERANCE = 2e-3


def environment(folder, seconds):
    """The interpreter of an environment with the requirements, or why there is none."""
    python = folder / "bin" / "python"
    done = folder / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if done.exists() and done.read_text() == wanted:
        return python, None
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"]
        subprocess.run(command, check=True, timeout=seconds)
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"the peers could not be installed: {error}"
    done.write_text(wanted)
    return python, None


def lines(command, **options):
    """The lines of JSON that a command prints."""
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode != 0:
        tail = result.stderr.strip().splitlines()[-8:]
        raise RuntimeError(f"{command[0]} failed:\n" + "\n".join(tail))
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def build():
    """The bench's executable."""
    command = ["cargo", "bench", "--bench", "workloads", "--no-run", "--message-format=json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr)
    made = [json.loads(line) for line in result.stdout.splitlines()]
    benches = (m for m in made if m.get("executable") and m["target"]["name"] == "workloads")
    return [m["executable"] for m in benches][-1]


def agree(ours, theirs):
    """Whether losses are the same but for rounding."""
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-6) for a, b in zip(ours, theirs)
    )


class Table:
    """The least time of each system for each metric."""

    def __init__(self):
        self.rows = {}
        self.wrong = set()

    def losses(self, line, cases):
        workload, metric, system = line["workload"], line["metric"], line["system"]
        index = json.loads((cases / f"{workload}.{metric}" / "index.json").read_text())
        ours, theirs = index["losses"], line["losses"]
        if not agree(ours, theirs):
            self.wrong.add((workload, metric, system))
            print(f"{workload} {metric}: losses of {system} are {theirs}, of ours {ours}")

    def add(self, line):
        key = (line["workload"], line["metric"])
        if key + (line["system"],) in self.wrong:
            return
        row = self.rows.setdefault(key, {"unit": line["unit"]})
        row[line["system"]] = min(line["least"], row.get(line["system"], math.inf))

    def head(self):
        systems = "".join(f"{system:>12}" for system in SYSTEMS)
        print(f"{'':4} {'':30}{systems}{'best/ours':>11}{'target':>8}", flush=True)

    def print(self, wanted):
        """The rows of a workload that ours and a peer have."""
        for (workload, metric), row in self.rows.items():
            peers = [row[system] for system in SYSTEMS[1:] if system in row]
            if workload != wanted or "eggrad" not in row or not peers:
                continue
            cells = (f"{row[s]:12.2f}" if s in row else f"{'-':>12}" for s in SYSTEMS)
            cells = "".join(cells)
            ratio = min(peers) / row["eggrad"]
            target = TARGETS[workload].get(metric)
            aim = f"{target:8.1f}" if target else f"{'-':>8}"
            print(f"{workload:4} {metric:30}{cells}{ratio:11.2f}{aim}  {row['unit']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", default=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "target" / "peers")
    parser.add_argument("--install-seconds", type=int, default=1800)
    given = parser.parse_args()
    unknown = set(given.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"the peers have {' '.join(WORKLOADS)}, not {' '.join(sorted(unknown))}")
    python, problem = environment(given.venv, given.install_seconds)
    if python is None:
        print(f"skipped: {problem}")
        return
    bench = build()
    threads = ["--threads", str(given.threads)]
    # Every process has as many cores as threads.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    table = Table()
    table.head()
    with tempfile.TemporaryDirectory() as folder:
        cases = pathlib.Path(folder)
        for workload in given.workloads:
            subprocess.run([bench, workload, *threads, "--losses", cases], check=True)
            commands = {"eggrad": [bench, workload, *threads]}
            for system, script in PEERS.items():
                commands[system] = [python, HERE / script, workload, *threads, "--cases", cases]
            for turn in range(given.turns):
                for system, command in commands.items():
                    try:
                        told = lines(command)
                    except RuntimeError as error:
                        print(f"{workload} {system}: {error}")
                        continue
                    for line in told:
                        if "losses" in line:
                            table.losses(line, cases)
                        else:
                            table.add(line)
            table.print(workload)


if __name__ == "__main__":
    main()
