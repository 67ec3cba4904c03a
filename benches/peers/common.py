"""What the peers share: cases that ours has written, timing, and lines of JSON."""

import argparse
import json
import pathlib
import sys
import time

import numpy

ROUNDS = 15
ROUND_SECONDS = 0.03
STEPS = 10


def arguments(description):
    """Workloads, threads, and the folder that `workloads --losses` has filled."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("workloads", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", type=pathlib.Path, required=True)
    return parser.parse_args()


class Case:
    """Batch, first parameters and losses of one train step."""

    def __init__(self, folder):
        index = json.loads((folder / "index.json").read_text())
        types = {"f32": numpy.float32, "i32": numpy.int32}

        def array(entry):
            values = numpy.fromfile(folder / entry["file"], dtype=types[entry["dtype"]])
            return values.reshape(entry["shape"])

        self.metric = index["metric"]
        self.inputs = {entry["name"]: array(entry) for entry in index["inputs"]}
        self.params = {entry["name"]: array(entry) for entry in index["params"]}
        self.losses = index["losses"]


def cases(folder, workload):
    """The train steps of a workload, in the order of their names."""
    return [Case(path) for path in sorted(folder.glob(f"{workload}.*"))]


def times(run, count=1):
    """Median and least seconds of one of the `count` steps that a call of `run` does."""
    run()
    run()
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-7)
    repeat = max(1, min(100_000, int(ROUND_SECONDS / once)))
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        rounds.append((time.perf_counter() - start) / repeat / count)
    rounds.sort()
    return rounds[ROUNDS // 2], rounds[0]


class Report:
    """Prints what a system does."""

    def __init__(self, system, threads):
        self.system = system
        self.threads = threads

    def _line(self, workload, metric, **values):
        line = {"workload": workload, "system": self.system, "metric": metric, **values}
        print(json.dumps(line | {"threads": self.threads}))
        sys.stdout.flush()

    def losses(self, workload, metric, losses):
        """Losses of the first steps."""
        self._line(workload, metric, losses=[float(loss) for loss in losses])

    def time(self, workload, metric, run, unit="us", scale=1e6, count=1):
        """The time of a step, in a unit of which a second has `scale`."""
        median, least = times(run, count)
        self._line(workload, metric, value=median * scale, least=least * scale, unit=unit)


def noise(count, scale):
    """Numbers between `-scale` and `scale`."""
    generator = numpy.random.default_rng(0)
    return generator.uniform(-scale, scale, count).astype(numpy.float32)
