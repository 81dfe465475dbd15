"""Functions of the tests of whole runs: start a run on a number of ranks, read its files, compare them."""

import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import h5py
import numpy

ROOT = pathlib.Path(os.environ.get("LOCKSTEP_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("LOCKSTEP_BUILD", ROOT / "build"))
PROGRAM = os.environ.get("LOCKSTEP", str(BUILD / "lockstep"))
PATIENCE = float(os.environ.get("LOCKSTEP_PATIENCE", "1"))
MPIRUN = os.environ.get("LOCKSTEP_MPIRUN", str(ROOT / "tests/mpirun.sh"))

# Of 1437 samples 287 are held out; batches of 64 leave a last one of 62, and an epoch has 18 steps.
NET = """
seed: 5
data:
  train: {root}/datasets/digits/digits.h5:/train
  validation: 0.2
  normalize: standardize
model:
  - {{layer: dense, units: 24, activation: tanh}}
  - {{layer: dropout, rate: 0.2}}
  - {{layer: dense, units: 10, activation: softmax}}
loss: categorical_cross_entropy
optimizer: {{type: momentum, lr: 0.1}}
train: {{epochs: 3, batch_size: 64}}
comm: {{threads: 1}}
"""
STEPS_PER_EPOCH = 18

# All that a step may have, at once. Steps of 60 samples: an epoch has 20, the last of 10 samples.
EVERYTHING = [
    "data.normalize=scale",
    "data.augment={shift: 1, flip_horizontal: true, rotate: 10, noise: 0.1, cutout: 2, mixup: 0.3}",
    "model=[{layer: dense, units: 24, bias: false, l1: 0.001}, {layer: batch_norm}, {layer: tanh},"
    " {layer: residual, layers: [{layer: dense, units: 24, activation: gelu}, {layer: dropout, rate: 0.1},"
    " {layer: batch_norm}]}, {layer: residual, layers: [{layer: dense, units: 16, activation: elu}]},"
    " {layer: dense, units: 10, activation: softmax}]",
    "optimizer={type: momentum, lr: 0.05, nesterov: true, weight_decay: 0.0001}",
    "penalty={l1: 0.0001, l2: 0.0001}",
    "schedule={type: cosine, warmup_steps: 5}",
    "metrics=[top_2, f1, roc_auc]",
    "train.batch_size=20", "train.accumulate=3", "train.clip_grad_norm=1", "train.clip_grad_value=0.1",
    "train.class_weight=balanced",
]


class Runs:
    """A folder of runs of the net above, removed at the end."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lockstep-runs-"))
        self.config = self.folder / "net.yaml"
        self.config.write_text(NET.format(root=ROOT))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def parts(self):
        """The settings of a run with windows: the training data in 19 files, each of which is a block: 18 of 62 or 63 samples,
        and one that is larger than a window."""
        with h5py.File(ROOT / "datasets/digits/digits.h5", "r") as file:
            x, y = file["train/x"][...], file["train/y"][...]
        bounds = [*(62 * i + i // 3 for i in range(19)), len(x)]
        for i, (first, last) in enumerate(zip(bounds, bounds[1:])):
            with h5py.File(self.folder / f"part-{i:02}.h5", "w") as part:
                part["x"], part["y"] = x[first:last], y[first:last]
        return [f"data.train={self.folder}/part-*.h5", "data.window=200"]

    def command(self, ranks, name, sets=(), options=()):
        words = [MPIRUN, str(ranks), PROGRAM, "train", str(self.config), "--output", str(self.folder / name), *options]
        return words + [word for pair in sets for word in ("--set", pair)]

    def train(self, ranks, name, sets=(), options=(), code=0):
        """Runs to the end; returns what was printed."""
        run = subprocess.run(self.command(ranks, name, sets, options), capture_output=True, text=True, check=False)
        if run.returncode != code:
            sys.exit(f"{name} at {ranks}: exit code {run.returncode}, not {code}\n{run.stdout}{run.stderr}")
        return run.stdout

    def checkpoint(self, name, step):
        return Checkpoint(self.folder / name / "checkpoints" / f"step-{step:08}.h5")

    def checkpoints(self, name):
        return sorted(path.name for path in (self.folder / name / "checkpoints").iterdir())

    def table(self, name, file):
        """A CSV file of the run as a list of rows."""
        with open(self.folder / name / file, newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def metrics(self, name):
        """metrics.csv as a list of rows, without times."""
        rows = self.table(name, "metrics.csv")
        for row in rows:
            del row["seconds"], row["samples_per_second"]
        return rows


class Checkpoint:
    """The contents of a checkpoint without the config, the times and the mode of comm, which depends on times."""

    def __init__(self, path):
        self.arrays, self.attributes = {}, {}
        with h5py.File(path, "r") as file:
            self.take("/", file)
            file.visititems(self.take)

    def take(self, name, node):
        if isinstance(node, h5py.Dataset):
            self.arrays[name] = node[...]
        for key, value in node.attrs.items():
            if key not in ("config", "comm_mode", "comm_ranks") and not key.endswith("_seconds"):
                self.attributes[name, key] = value

    def different(self, other):
        """The contents whose bits differ; an empty list if the checkpoints are equal."""
        wrong = [f"{what} only in one" for what in self.arrays.keys() ^ other.arrays.keys()]
        wrong += [f"{what} only in one" for what in self.attributes.keys() ^ other.attributes.keys()]
        for name in self.arrays.keys() & other.arrays.keys():
            a, b = self.arrays[name], other.arrays[name]
            if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                wrong.append(f"{name} differs")
        for name in self.attributes.keys() & other.attributes.keys():
            if numpy.asarray(self.attributes[name]).tobytes() != numpy.asarray(other.attributes[name]).tobytes():
                wrong.append(f"{name} differs: {self.attributes[name]} and {other.attributes[name]}")
        return sorted(wrong)

    def float_attributes(self):
        """Names, as `different` gives them, of attributes that are real numbers."""
        return [name for name, value in self.attributes.items() if numpy.asarray(value).dtype.kind == "f"]


def saved_steps(folder):
    """The steps of the complete checkpoints in a folder, in order. A killed writer may leave temporary files beside them."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(int(match[1]) for name in names if (match := re.fullmatch(r"step-(\d+)\.h5", name)))


def distance(a, b):
    """||a - b|| / ||b||"""
    a, b = numpy.asarray(a, dtype=float), numpy.asarray(b, dtype=float)
    norm = numpy.linalg.norm(b)
    return float(numpy.linalg.norm(a - b) / norm) if norm > 0 else float(numpy.linalg.norm(a - b))


class Verdicts:
    """Prints the result of each check; `end` exits accordingly."""

    def __init__(self):
        self.failed = 0

    def check(self, holds, text):
        self.failed += not holds
        print(f"{'ok' if holds else 'FAILED'}: {text}", flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)


def await_that(holds, seconds=20):
    """Whether it holds by then; a deadline only ends what hangs."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def is_quick():
    """Whether nothing slows runs down: sanitizers do, and have seen all code after a part of the cases."""
    return PATIENCE == 1


def ranks_wanted():
    """The only argument."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} RANKS")
    return int(sys.argv[1])
