"""Injects a failure into every call that can fail, one at a time, on every rank; the program must end cleanly.

This test needs a build with sanitizers, whose sources have fault points (points.h). First, each scenario runs without
faults and reports which sites it reaches, on which rank, and from which callers: each caller of a site is a way. Then each
failure is tried in a separate run. The run must

- end immediately, with all its processes (the deadline only ends a hang),
- print one error line, which names rank and host unless rank 0 failed, and end with a documented exit code, the same on
  every rank and of mpirun; or, if the failure is harmless, give the results of the fault-free run,
- end without a signal, a message of a sanitizer, or a temporary file,
- allow a restart: if a training left a checkpoint, the same command then gives the results of the fault-free run.

A run may miss its failure, if it does not reach the site again. A site for which all runs miss is an error.

sites.txt lists, with reasons, the sites that no scenario reaches and those whose failure is harmless. A missing or
superfluous site is an error. calls.txt lists the calls without fault points. A call without fault points that is not
listed is an error.

  walk.py                     each way once, at its first passage: every third on rank 1 of two, the others on one rank
  walk.py --all               each way on each rank of 1, 2 and 4, and the last passage of each site (one hour)
  walk.py --all --ranks 1,2   only these numbers of ranks
  walk.py --leaks ...         with a leak check after each run of mpirun, which takes longer than the run
  walk.py ... WORD...         only scenarios or sites that contain one of these words; without a check of the lists
  walk.py --update            rewrites sites.txt after functions have moved to other files; reads only src/, needs no build
"""

import argparse
import collections
import csv
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback

import h5py
import numpy

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cli"))
os.environ.setdefault("LOCKSTEP_BUILD", str(HERE.parents[1] / "build-san"))  # the build of scripts/test
os.environ.setdefault("LOCKSTEP_PATIENCE", "5")

import harness  # noqa: E402
from harness import BUILD, ROOT  # noqa: E402

DEADLINE = 60.0 * harness.PATIENCE
CODES = {2, 3, 4, 5, 6, 70}
ERROR = re.compile(r"^lockstep: error: ", re.MULTILINE)
ELSEWHERE = re.compile(r"^lockstep: error: (?:.* )?rank (\d+) on \S+: ", re.MULTILINE)
SANITIZER = re.compile(r"Sanitizer|runtime error:|internal error at")
SECONDS = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)? ?(s|ms|us|ns|MB|GB/s)\b")

# ---------------------------------------------------------------------- scenarios

CLASSES = """\
seed: 1
output: run
data: {train: data.h5:/train, validation: 0.25, test: data.h5:/test, normalize: standardize}
model:
  - {layer: dense, units: 4, bias: false}
  - {layer: batch_norm}
  - {layer: relu}
  - layer: residual
    layers: [{layer: dense, units: 5, activation: tanh, init: {type: normal, std: 0.1}}, {layer: dropout, rate: 0.1}]
  - {layer: dense, units: 3, activation: softmax}
loss: categorical_cross_entropy
optimizer: {type: adam, lr: 0.01}
metrics: [top_2, f1, roc_auc]
train: {epochs: 2, batch_size: 8, class_weight: balanced, log_every: 1, tensorboard: {histograms: true}}
checkpoint: {every_steps: 2, keep: 1}
comm: {mode: allreduce, threads: 1}
"""
SWEEP = """\
base: numbers.yaml
output: sweep
parameters: {optimizer.lr: {uniform: [0.001, 0.01]}, model.0.activation: ["tanh", relu]}
search: halving
trials: 2
halving: {factor: 2, first: 1}
"""
NUMBERS = """\
output: run
data: {train: table.h5, test: table.h5, standardize_targets: true, augment: {noise: 0.1, mixup: 0.3}}
model: [{layer: dense, units: 3, activation: tanh}, {layer: dense, units: 2}]
loss: mse
metrics: [mae]
optimizer: {type: momentum, lr: 0.01}
train: {epochs: 1, batch_size: 6, accumulate: 2, reproducible: true, max_steps: 2}
comm: {mode: allreduce, threads: 1}
"""
LABELS = """\
output: labels-run
data: {train: labels.h5}
model: [{layer: dense, units: 2, activation: sigmoid}]
loss: binary_cross_entropy
optimizer: {type: sgd, lr: 0.01}
train: {epochs: 1, max_steps: 1}
comm: {mode: allreduce, threads: 1}
"""
IMAGES = """\
output: images-run
data: {train: images.h5, normalize: scale, augment: {shift: 1, rotate: 5, cutout: 1}}
model: [{layer: dense, units: 3, activation: softmax}]
loss: categorical_cross_entropy
optimizer: {type: sgd, lr: 0.01}
train: {epochs: 1, batch_size: 8, max_steps: 1}
comm: {mode: allreduce, threads: 1}
"""
STREAM = """\
output: run
data:
  train: stream.h5
  validation: 0.2
  window: 4
  memory: stream
  cache: cache
  cache_size: 1MB
  normalize: {type: standardize, per: channel}
  augment: {mixup: 0.3}
model: [{layer: global_avg_pool}, {layer: dense, units: 3, activation: softmax}]
loss: categorical_cross_entropy
optimizer: {type: sgd, lr: 0.01}
train: {epochs: 2, batch_size: 6}
checkpoint: {every_steps: 2}
comm: {mode: allreduce, threads: 1}
"""


def write_data(path):
    """Writes two groups with the same samples: one with chunks and filters, one without; names as both kinds of strings."""
    x, y = harness.three_classes(24)
    wide = (numpy.arange(16 * 40000).reshape(16, 40000) % 50).astype(">f4")  # HDF5 must read it; larger than its cache
    order = {"train": "<f4", "test": ">f4"}  # HDF5 must read the latter
    with h5py.File(path, "w") as file:
        file.create_dataset("wide", data=wide, chunks=(16, 20000), compression="gzip")
        for group, settings in ("train", {"chunks": (8, 2), "compression": "gzip", "shuffle": True}), ("test", {}):
            file.create_dataset(f"{group}/x", data=x.astype(order[group]), **settings)
            file.create_dataset(f"{group}/y", data=y)
            file.create_dataset(f"{group}/known", data=y > 0)
            file[f"{group}/x"].attrs["features"] = ["width", "height", "depth", "weight"]
            file[f"{group}/y"].attrs["classes"] = numpy.array([b"ant", b"bee", b"cow"])
        file["other/x"], file["other/y"] = x[:, [3, 1, 0, 2]], 2 - y  # columns and classes in another order
        file["other/x"].attrs["features"] = ["weight", "height", "width", "depth"]
        file["other/y"].attrs["classes"] = ["cow", "bee", "ant"]


def write_idx(folder):
    random = numpy.random.default_rng(3)
    for kind, array in (3, random.integers(0, 256, (12, 5, 4))), (1, numpy.arange(12) % 3):
        header = bytes([0, 0, 8, kind]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        packed = gzip.compress(header + array.astype("u1").tobytes(), mtime=0)
        (folder / f"train-{'images' if kind == 3 else 'labels'}.gz").write_bytes(packed)


def write_media(folder):
    """Folders of images and recordings, and NumPy arrays."""
    for name in "grey.png", "palette.png", "grey.jpg", "mono.wav", "stereo.wav":
        place = folder / ("sounds" if name.endswith("wav") else "pictures") / name.split(".")[0] / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE.parent / "fuzz/corpus/folder" / name, place)
    x, y = numpy.arange(60.0).reshape(10, 3, 2), numpy.arange(10) % 3
    numpy.savez_compressed(folder / "arrays.npz", x=x, y=y)
    numpy.savez_compressed(folder / "fortran.npz", x=numpy.asfortranarray(x), y=y)
    numpy.save(folder / "x.npy", numpy.asfortranarray(x))
    numpy.save(folder / "y.npy", y)


def write_inputs(folder):
    x, y = harness.three_classes(12)
    table = [["width", "height", "depth", "weight", "kind"], *([*map(str, row), "abc"[k]] for row, k in zip(x, y))]
    (folder / "classes.yaml").write_text(CLASSES)
    (folder / "numbers.yaml").write_text(NUMBERS)
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "images.yaml").write_text(IMAGES)
    (folder / "labels.yaml").write_text(LABELS)
    (folder / "twice.yaml").write_text(CLASSES.replace("epochs: 2", "epochs: 2, epochs: 3"))
    (folder / "empty.yaml").write_text("")
    (folder / "broken.yaml").write_text("seed: 1\nmodel: [a, b\n")
    (folder / "errors.yaml").write_text(CLASSES.replace("units: 4", "unit: 4").replace("epochs: 2", "epochs: -2"))
    (folder / "words.csv").write_text("".join(f"{'red' if k else 'blue'},{'' if i else 5},{k}\n" for i, k in enumerate(y)))
    with h5py.File(folder / "texts.h5", "w") as file:
        file["train/x"], file["test/x"] = x, x
        file.create_dataset("train/y", data=[f"label {k}" for k in y], dtype=h5py.string_dtype())
        file["test/y"] = numpy.array([b"label %d" % k for k in y])
    (folder / "table.csv").write_text("".join(",".join(row) + "\n" for row in table))
    write_data(folder / "data.h5")
    write_idx(folder)
    write_media(folder)
    harness.write_arrays(folder / "table.h5", {"x": x.astype("f8"), "y": numpy.stack([y, 2 - y], 1).astype("f4")})
    labels = numpy.stack([y > 0, y > 1], 1).astype("f4")
    harness.write_arrays(folder / "labels.h5", {"x": x, "y": labels, "two": labels[:, 0]})
    harness.write_arrays(folder / "images.h5", {"x": (x.reshape(12, 2, 2) * 9 + 99).astype("u1"), "y": y.astype("u1")})


def half_a_run(folder):
    """Creates an incomplete run, with the files that a killed process leaves."""
    made(folder, "train", "classes.yaml", "--set", "train.max_steps=4")
    for name in "run/model.h5.tmp-1", "run/checkpoints/step-00000009.h5.tmp-1":
        (folder / name).write_text("cut short")
    (folder / "run/lock").write_text("host: dead\npid: 1\nsince: long ago\nboot: unknown\njob: 7 0\n")


def half_a_damaged_run(folder):
    half_a_run(folder)
    harness.flip_byte(folder / "run/events.out.tfevents.lockstep", 3)


def a_run(folder):
    made(folder, "train", "classes.yaml")


def an_image_run(folder):
    made(folder, "train", "images.yaml")


def a_run_of_labels(folder):
    made(folder, "train", "labels.yaml")


def a_run_of_two(folder):
    made(folder, "train", "labels.yaml", "--set", "model.0.units=1", "--set", "data.y=two")


def a_run_of_numbers(folder):
    made(folder, "train", "numbers.yaml")


def a_sweep(folder):
    made(folder, "sweep", "sweep.yaml")


def half_a_sweep(folder):
    """Creates a sweep whose last trial has lost its row."""
    made(folder, "sweep", "sweep.yaml")
    table = folder / "sweep/trials.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))


def a_stream(folder):
    """Creates a file of five blocks of 1 MiB, and a cache with an incomplete part."""
    x = numpy.zeros((20, 256, 256), "f4")
    x[:, ::8, ::8] = numpy.random.default_rng(5).random((20, 32, 32))
    with h5py.File(folder / "stream.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(2, 256, 256), compression="gzip", shuffle=True)
        file.create_dataset("y", data=numpy.arange(20) % 3)
        file.create_dataset("w", data=numpy.arange(20) + 1.0)
    (folder / "stream.yaml").write_text(STREAM)
    (folder / "cache/00").mkdir(parents=True)
    (folder / "cache/00/part.tmp-1").write_text("cut short")


def an_odd_lock(folder):
    (folder / "run").mkdir()
    (folder / "run/lock").write_text("nobody's\n")


def made(folder, *words):
    harness.run(folder, *words).exits(0)


def tensors_of_a_run(folder):
    a_run(folder)
    made(folder, "export", "run/model.h5", "-o", "w.safetensors")
    names = read_map(folder / "w.safetensors")
    (folder / "map.yaml").write_text("".join(f"{path}: {entry['name']}\n" for path, entry in names.items()))


def read_map(path):
    """Path -> name of an exported model."""
    content = path.read_bytes()
    header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["map"])


class Scenario:
    """A command with its inputs (created by `needs`), whether its output is compared, and its exit code. `lists`: it prints a
    line for each array, with the error if the array cannot be read, and continues. `partial`: it reports what it can read, with
    a warning or the word `unknown` for the rest."""

    def __init__(self, name, *words, needs=None, prints=True, code=0, settings=None, lists=False, partial=False):
        self.name, self.words, self.needs, self.prints, self.code = name, words, needs, prints, code
        self.lists, self.partial = lists, partial
        self.settings, self.allowed = settings or {}, []
        self.again = words[:words.index("--resume")] if "--resume" in words else words  # the file may no longer exist


TRAIN = ("train", "classes.yaml")
SCENARIOS = [
    Scenario("train", *TRAIN, prints=False),
    Scenario("train reproducibly", *TRAIN, "--set", "train.reproducible=true", prints=False),
    Scenario("train sharded", *TRAIN, "--set", "comm.mode=sharded", prints=False),
    Scenario("train numbers", "train", "numbers.yaml", prints=False),
    Scenario("train a stream", "train", "stream.yaml", needs=a_stream, prints=False),
    Scenario("train a stream without shared memory", "train", "stream.yaml", "--set", "comm.shared_memory=false",
             needs=a_stream, prints=False),
    Scenario("train images", "train", "images.yaml", prints=False),
    Scenario("resume", *TRAIN, needs=half_a_run, prints=False,
             settings={"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}),
    Scenario("resume from a file", *TRAIN, "--resume", "run/checkpoints/step-00000004.h5", needs=half_a_damaged_run,
             prints=False, settings={"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}),
    Scenario("train with overwrite", *TRAIN, "--overwrite", needs=a_run, prints=False),
    Scenario("train from a model", *TRAIN, "--output", "deep/er/run", "--init-from", "run/model.h5", needs=a_run,
             prints=False),
    Scenario("export", "export", "run/model.h5", "-o", "out.safetensors", needs=a_run),
    Scenario("export to ONNX", "export", "run/model.h5", "-o", "out.onnx", needs=a_run),
    Scenario("train from tensors", *TRAIN, "--output", "new", "--init-from", "w.safetensors", "--init-map", "map.yaml",
             needs=tensors_of_a_run, prints=False),
    Scenario("evaluate", "evaluate", "run/model.h5", "data.h5:/test", "--json", needs=a_run),
    Scenario("evaluate by names", "evaluate", "run/model.h5", "data.h5:/other", "--json", needs=a_run),
    Scenario("train from a model by names", *TRAIN, "--output", "new", "--init-from", "run/model.h5", "--init-layers", "4",
             "--set", "data.train=data.h5:/other", needs=a_run, prints=False),
    Scenario("predict", "predict", "run/model.h5", "data.h5:/test", "-o", "out.h5", needs=a_run),
    Scenario("predict a table", "predict", "run/model.h5", "table.csv", "-o", "out.csv", needs=a_run),
    Scenario("predict to NumPy", "predict", "run/model.h5", "data.h5:/test", "-o", "out.npy", needs=a_run),
    Scenario("predict labels", "predict", "labels-run/model.h5", "labels.h5", "-o", "out.csv", needs=a_run_of_labels),
    Scenario("predict one label", "predict", "labels-run/model.h5", "labels.h5", "-o", "out.csv", needs=a_run_of_two),
    Scenario("predict numbers", "predict", "run/model.h5", "table.h5", "-o", "out.csv", needs=a_run_of_numbers),
    Scenario("info of data", "info", "data.h5", lists=True),
    Scenario("info of a checkpoint", "info", "run/checkpoints/best.h5", needs=a_run),
    Scenario("info of a run", "info", "run", needs=a_run, partial=True),
    Scenario("check", "check", "classes.yaml"),
    Scenario("errors", "check", "errors.yaml", code=2),
    Scenario("invalid YAML", "check", "broken.yaml", code=2),
    Scenario("duplicate key", "check", "twice.yaml", code=2),
    Scenario("empty config", "check", "empty.yaml", code=2),
    Scenario("invalid YAML in a setting", "check", "classes.yaml", "--set", "model=[a", code=2),
    Scenario("invalid settings", "check", "classes.yaml", "--set", "model.9.units=3", "--set", "train.epochs=-2", code=2),
    Scenario("invalid values", "check", "classes.yaml", "--set", "train.epochs=-2", code=2),
    Scenario("changed config", *TRAIN, "--set", "train.batch_size=6", needs=a_run, code=2),
    Scenario("locked run directory", *TRAIN, needs=an_odd_lock, code=5),
    Scenario("finished run with its own config", "train", "run/config.yaml", needs=a_run, prints=False),
    Scenario("info of a folder", "info", ".", code=3),
    Scenario("import of a folder", "import", ".", "-o", "out.h5", code=3),
    Scenario("import a table", "import", "table.csv", "-o", "out.h5", "--test-fraction", "0.3"),
    Scenario("import words", "import", "words.csv", "-o", "out.h5", "--missing", "mean"),
    Scenario("import text labels", "import", "texts.h5", "-o", "out.h5"),
    Scenario("import images", "import", "train-images.gz", "train-labels.gz", "-o", "out.h5"),
    Scenario("import a folder", "import", "pictures", "-o", "out.h5", "--size", "3x2", "--test-fraction", "0.3"),
    Scenario("import recordings", "import", "sounds", "-o", "out.h5", "--length", "20", "--channels", "1"),
    Scenario("import an archive", "import", "arrays.npz", "-o", "out.h5", "--test-fraction", "0.3"),
    Scenario("import arrays", "import", "x.npy", "y.npy", "-o", "out.h5"),
    Scenario("shuffle to several files", "import", "data.h5", "-o", "out.h5", "--shuffle", "--memory", "100B",
             "--max-file-size", "3MB"),
    Scenario("import an HDF5 file", "import", "data.h5:/train", "-o", "out.h5", "--test-fraction", "0.3"),
    Scenario("import an array in Fortran order", "import", "fortran.npz", "-o", "out.h5"),
    Scenario("init", "init", "data.h5", "-o", "drafted.yaml"),
    Scenario("init of a table", "init", "table.csv", "-o", "drafted.yaml", "--overwrite"),
    Scenario("init of a folder", "init", "pictures", "-o", "drafted.yaml"),
    Scenario("explain", "explain", "images-run/model.h5", "images.h5", "-o", "out.h5", "--samples", "0,2-3",
             "--pictures", "pictures", "--steps", "8", needs=an_image_run),
    Scenario("importance", "explain", "run/model.h5", "data.h5:/test", "--importance", "--repeats", "1", needs=a_run),
    Scenario("report", "report", "run", "-o", "out.html", "--data", "data.h5:/test", needs=a_run),
    Scenario("report of two runs", "report", "run", "run", "-o", "out.html", "--data", "table.h5", needs=a_run_of_numbers),
    Scenario("report of a sweep", "report", "sweep", "-o", "out.html", needs=a_sweep),
    Scenario("report of images", "report", "images-run", "-o", "out.html", "--data", "images.h5", needs=an_image_run),
    Scenario("gradcheck", "gradcheck", "classes.yaml"),
    Scenario("lr-find", "lr-find", "classes.yaml", "--steps", "5", "-o", "lr.svg"),
    Scenario("plan", "plan", "numbers.yaml", "--ranks-per-node", "2", prints=False),
    Scenario("keys", "keys"),
    Scenario("sweep", "sweep", "sweep.yaml", prints=False),
    Scenario("sweep resumed", "sweep", "sweep.yaml", needs=half_a_sweep, prints=False),
    Scenario("finished sweep", "sweep", "sweep.yaml", needs=a_sweep, prints=False),
    Scenario("sweep with overwrite", "sweep", "sweep.yaml", "--overwrite", needs=a_sweep, prints=False),
]

# ---------------------------------------------------------------------- results


def h5_content(path):
    """The contents of a file, without times."""
    lines = []

    def take(name, item):
        array = numpy.asarray(item[()] if isinstance(item, h5py.Dataset) else b"")
        values = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()  # objects are pointers to texts
        lines.append((name, hashlib.sha256(values).hexdigest()))
        lines.extend((name, key, repr(item.attrs[key])) for key in sorted(item.attrs) if not key.endswith("seconds"))

    with h5py.File(path, "r") as file:
        take("/", file)
        file.visititems(take)
    return sorted(map(repr, lines))


def csv_content(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    kept = [i for i, name in enumerate(rows[0] if rows else []) if name not in ("seconds", "samples_per_second")]
    return [[row[i] for i in kept if i < len(row)] for row in rows]


def content(path):
    if path.suffix == ".h5":
        return h5_content(path)
    if path.name.startswith("events."):
        return path.stat().st_size  # the records have times
    return csv_content(path) if path.suffix == ".csv" else path.read_bytes()


def counts(path):
    """Whether a file is compared: not a log, not a part in a cache, and not a file that check_end checks."""
    return path.is_file() and path.name != "train.log" and not {"logs", "cache"} & set(path.parts) and not is_left(path)


def is_left(path):
    """Whether a file is temporary or a lock."""
    return re.search(r"\.tmp-|^lock$", path.name) is not None


def results(scenario, folder, run):
    """The results of a run: its files, and its output without times. The folder is replaced in paths."""
    here = str(folder)
    found = {str(path.relative_to(folder)): repr(content(path)).replace(here, "FOLDER")
             for path in sorted(folder.rglob("*")) if counts(path)}
    if scenario.prints:
        found["stdout"] = SECONDS.sub("", run.out).replace(here, "FOLDER")
    if scenario.code:
        found["stderr"] = run.err.replace(here, "FOLDER")
    return found


# ---------------------------------------------------------------------- runs


class Log:
    """The log that a rank wrote at exit; without an exit code if another process killed the rank."""

    def __init__(self, path):
        self.passed, self.ways, self.fired, self.code = {}, {}, False, None
        if not path.exists():
            return
        for line in path.read_text().splitlines():
            kind, *fields = line.split(" ", 2 if line.startswith("passed") else 3)
            if kind == "passed":
                self.passed[fields[1]] = int(fields[0])
            elif kind == "way":
                self.ways[(fields[2], fields[1])] = int(fields[0])
            elif kind == "fired":
                self.fired = True
            else:
                self.code = int(fields[0])


class Job:
    """One failure in one scenario on a number of ranks (0: without mpirun)."""

    def __init__(self, scenario, ranks, rank, site, nth):
        self.scenario, self.ranks, self.rank, self.site, self.nth = scenario, ranks, rank, site, nth

    def __str__(self):
        return (f"{self.scenario.name}, {self.ranks or 'no'} ranks: LOCKSTEP_FAULT={self.site}:{self.rank}:{self.nth} "
                f"lockstep {' '.join(self.scenario.words)}")


class Walk:
    """A folder with the inputs of each scenario, its fault-free results, and the runs."""

    def __init__(self, leaks):
        self.folder = harness.temporary_folder("lockstep-faults-")
        self.leaks, self.fault_free, self.lock, self.count = leaks, {}, threading.Lock(), 0

    def settings(self, scenario, ranks, fault=None, logs=None):
        found = dict(scenario.settings)
        if ranks and not self.leaks:
            found["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0:fast_unwind_on_malloc=1"
        if logs:
            found["LOCKSTEP_FAULT_LOG"] = str(logs / "rank")
        if fault:
            found["LOCKSTEP_FAULT"] = fault
        return found

    def prepare(self, scenario):
        """Creates the folder that is copied for each run of the scenario."""
        folder = self.folder / scenario.name
        folder.mkdir()
        write_inputs(folder)
        if scenario.needs:
            scenario.needs(folder)
        scenario.allowed = [str(path.relative_to(folder)) for path in folder.rglob("*") if is_left(path)]

    def fresh(self, scenario):
        with self.lock:
            self.count += 1
            folder = self.folder / f"run-{self.count}"
        shutil.copytree(self.folder / scenario.name, folder)
        (folder / "logs").mkdir()
        return folder

    def run(self, scenario, folder, ranks, fault=None, words=None):
        settings = self.settings(scenario, ranks, fault, None if words else folder / "logs")
        process = harness.start(folder, *(words or scenario.words), ranks=ranks, settings=settings)
        run = harness.finish(process, DEADLINE)
        run.left = wait_for_processes(process.pid)
        run.logs = [Log(folder / f"logs/rank.{rank}") for rank in range(ranks or 1)]
        return run

    def first(self, scenario, ranks):
        """Runs a scenario without faults and stores its results."""
        folder = self.fresh(scenario)
        run = self.run(scenario, folder, ranks).exits(scenario.code)
        self.fault_free[(scenario, ranks)] = results(scenario, folder, run)
        shutil.rmtree(folder)
        return run

    def judge(self, job):
        """Runs a job. Returns ("failed" | "harmless" | "missed", None), or ("ERROR", reason)."""
        folder = self.fresh(job.scenario)
        run = self.run(job.scenario, folder, job.ranks, f"{job.site}:{job.rank}:{job.nth}")
        try:
            verdict = self.verdict(job, folder, run)
            if verdict == "failed" and job.scenario.words[0] in ("train", "sweep") and list(folder.glob("**/step-*.h5")):
                self.once_more(job, folder)
            return verdict, None
        except harness.Failure as why:
            return "ERROR", f"{job}\n{why}"
        except Exception:
            return "ERROR", f"{job}\n{traceback.format_exc()}"
        finally:
            shutil.rmtree(folder)

    def verdict(self, job, folder, run):
        check_end(job, folder, run)
        if not run.logs[job.rank].fired and run.logs[job.rank].code is not None:
            return "missed"
        if run.code == job.scenario.code:
            found, wanted = results(job.scenario, folder, run), self.fault_free[(job.scenario, job.ranks)]
            different = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
                               and (name in wanted or not may_remain(job, name)))
            if not different:
                return "harmless"
            if job.scenario.lists and different == ["stdout"] and lists_failure(wanted["stdout"], found["stdout"]):
                return "failed"
            if job.scenario.partial and different == ["stdout"] and ("warning: " in run.err or ": unknown" in run.out):
                return "failed"
            run.must(run.code != 0, f"it ends without an error, but these results differ from the fault-free run: {different}")
        check_failure(job, run)
        return "failed"

    def once_more(self, job, folder):
        """Runs the same command again without a failure; the results must equal those of the fault-free run."""
        for path in folder.glob("logs/*"):
            path.unlink()
        run = self.run(job.scenario, folder, job.ranks, words=job.scenario.again)
        run.exits(job.scenario.code)
        found, wanted = results(job.scenario, folder, run), self.fault_free[(job.scenario, job.ranks)]
        different = sorted(name for name in found.keys() | wanted.keys() if name != "stdout"
                           and found.get(name) != wanted.get(name) and (name in wanted or not may_remain(job, name)))
        run.must(not different, f"run again after the failure, these results differ from the fault-free run: {different}")


def lists_failure(wanted, found):
    """Whether two lists have the same paths, and one line of `found` has an error in place of a shape."""
    pairs = list(zip(wanted.splitlines(), found.splitlines(), strict=True)) if wanted.count("\n") == found.count("\n") else []
    changed = [(a.split()[0], b) for a, b in pairs if a != b]
    return len(changed) == 1 and changed[0][1].startswith(f"  {changed[0][0]} ") and "(" not in changed[0][1].split()[1]


def may_remain(job, name):
    """Whether the failure may leave a file that a fault-free run removes: the next save or run removes old checkpoints."""
    return ":unlink" in job.site or job.site.startswith("checkpoint/folder.c:") and "/step-" in name


def processes_of(session):
    """The running processes of a session."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, fields = pathlib.Path("/proc", number, "stat").read_text().rsplit(") ", 1)
        except OSError:
            continue
        if int(fields.split()[3]) == session and fields[0] != "Z":
            found.append(name)
    return found


def wait_for_processes(session):
    """The processes of a session that do not end within seconds of the command."""
    deadline = time.monotonic() + 5.0
    while (left := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def check_end(job, folder, run):
    """Checks the end of a run, which may have failed or not."""
    run.must(isinstance(run.code, int), "it hangs")
    run.must(not run.left, f"processes are left: {run.left}")
    run.must(not SANITIZER.search(run.all_err), "a sanitizer or an assertion reports an error")
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if is_left(path)} - set(job.scenario.allowed)
    can_remove = ":unlink" not in job.site and not job.site.startswith("rundir/lock.c:is_")
    run.must(not left or not can_remove, f"these files are left: {sorted(left)}")


def check_failure(job, run):
    """Checks the exit code and the error message of a failed run."""
    run.must(run.code in CODES, f"the exit code must be one of {sorted(CODES)}")
    codes = {log.code for log in run.logs}
    # Ranks leave MPI together; mpirun kills the ranks that have not exited when the first one has. An abort, which
    # happens only if memory or threads are missing at start-up, ends all ranks.
    aborted = codes == {None} and run.code == 70 and "start" in run.err
    run.must(codes - {None} == {run.code} or aborted, f"the ranks ended with {codes}")
    run.must("without calling" not in run.raw_err, "a rank exited without MPI_Finalize")
    if job.site == "base/log.c:print_line:fprintf" and not run.err:
        return  # the error line itself could not be printed
    run.must(len(ERROR.findall(run.err)) == 1, "there must be one error line")
    teller = ELSEWHERE.search(run.err)
    rank = int(teller.group(1)) if teller else 0
    run.must(rank == job.rank, f"it must name rank {job.rank} and its host")


# ---------------------------------------------------------------------- lists


def listed(name):
    """Reads sites.txt or calls.txt: key -> (heading, reason). A line is `KEY...: reason`; headings are in brackets."""
    found, heading = {}, ""
    for line in (HERE / name).read_text().splitlines():
        if line.startswith("["):
            heading = line.strip("[]")
        elif line and not line.startswith("#"):
            keys, reason = line.split(": ", 1)
            found.update((key, (heading, reason)) for key in keys.split())
    return found


def functions():
    """(file below src, function) -> the text of the function."""
    found = {}
    for path in (ROOT / "src").glob("*/*.[ch]"):
        text, name = path.read_text(), str(path.relative_to(ROOT / "src"))
        starts = list(re.finditer(r"^[A-Za-z_][\w *]*?\b(\w+)\([^;]*?\)[^;{]*\{", text, re.MULTILINE))
        for start, following in zip(starts, [*starts[1:], None]):
            found[name, start[1]] = text[start.start():following.start() if following else None]
    return found


def successors(file, function, call, texts, listed_sites):
    """The possible new places of a site: functions of that name in other files, or functions in the same file that make the
    call and have no site for it."""
    places = [place for place in texts if place[1] == function]
    call_name = re.compile(rf"\b{re.escape(call.split('#')[0])}\(")
    return places or [(other, name) for (other, name), text in texts.items() if other == file and call_name.search(text)
                      and f"{other}:{name}:{call}" not in listed_sites]


def update_sites():
    """Rewrites sites.txt after functions have moved or got a new name. Removes a site without a successor or with
    several. Returns the changes."""
    texts, changes, kept, listed_sites = functions(), [], [], listed("sites.txt")
    for line in (HERE / "sites.txt").read_text().splitlines():
        file, *rest = line.split(":", 3)
        if line.startswith("#") or len(rest) < 3 or (file, rest[0]) in texts:
            kept.append(line)
            continue
        places = successors(file, *rest[:2], texts, listed_sites)
        if len(places) == 1:
            kept.append(":".join([*places[0], *rest[1:]]))
        changes.append(f"{file}:{rest[0]}:{rest[1]} -> {' or '.join(map(':'.join, places)) or 'gone'}")
    (HERE / "sites.txt").write_text("\n".join(kept) + "\n")
    return changes


def all_sites():
    out = subprocess.run([harness.PROGRAM], env={**os.environ, "LOCKSTEP_FAULT": "list"}, check=True, text=True,
                         capture_output=True).stdout
    return [line.rsplit(" ", 1)[0] for line in out.splitlines()]


def forgotten_calls(sites):
    """The functions that the program calls and that are neither wrapped nor in calls.txt."""
    objects = [*BUILD.glob("src/liblockstep.*.p/*.o"), *BUILD.glob("lockstep.p/*.o")]
    symbols = subprocess.run(["nm", "-P", *objects], check=True, text=True, capture_output=True).stdout
    fields = [line.split() for line in symbols.splitlines() if " " in line]
    ours = {name for name, kind, *_ in fields if kind not in "UVWvw"}
    aliases = {"__getdelim": "getline"}  # names that headers or the compiler substitute
    theirs = {name for name, kind, *_ in fields if kind == "U"} - ours
    calls = {aliases.get(name, re.sub("^__isoc99_|64$|(?<=^fts)64", "", name)) for name in theirs}
    known = {site.split(":")[2].split("#")[0] for site in sites} | listed("calls.txt").keys()
    named = [pattern for pattern in known if pattern.endswith("*")]
    return sorted(call for call in calls - known if not any(call.startswith(pattern[:-1]) for pattern in named))


def check_lists(sites, passed, verdicts):
    """The errors in sites.txt. A listed harmless site may end a run, because not every passage of it is harmless."""
    lists = listed("sites.txt")
    heading = {site: found[0] for site, found in lists.items()}
    new = {site for site in set(sites) - passed if "unvisited" not in heading.get(site, "")}
    new |= {site for site in verdicts if "harmless" in verdicts[site] and "harmless" not in heading.get(site, "")}
    old = {site for site in lists if site not in sites or heading[site] == "unvisited" and site in passed}
    return [*(f"{site}: no scenario reaches it, or its failure has no effect: handle the failure, or add the site and the "
              f"reason to sites.txt" for site in sorted(new)),
            *(f"{site}: sites.txt lists it incorrectly: remove it; `walk.py --update` updates it if its function has moved"
              for site in sorted(old))]


# ---------------------------------------------------------------------- the walk


def passages(walk, ranks, scenarios, pool):
    """Runs all scenarios without faults. Returns (scenario, ranks) -> run."""
    list(pool.map(walk.prepare, scenarios))
    pairs = [(scenario, n) for scenario in scenarios for n in ranks]
    return dict(zip(pairs, pool.map(lambda pair: walk.first(*pair), pairs)))


def choose_short(runs):
    """Chooses each way once, in the last scenario that reaches it, because the scenarios that train come first and are
    slower; every third way on rank 1 of two, if it is reached there. The rank that opens a cache first counts its parts,
    and the groups of a sweep take the next trial when they are free, so which ways a rank reaches there depends on time."""
    places = collections.defaultdict(dict)
    for scenario, ranks in reversed(runs):
        rank = 1 if ranks else 0
        log = runs[(scenario, ranks)].logs[rank]
        for way, nth in log.ways.items():
            places[way].setdefault(ranks, Job(scenario, ranks, rank, way[0], nth))
    jobs = []
    for i, way in enumerate(sorted(places)):
        there = places[way]
        depends_on_time = way[0].startswith("store/cache.c:") or "sweep" in there[max(there)].scenario.name
        is_alone = i % 3 > 0 or depends_on_time
        jobs.append(there[min(there) if is_alone else max(there)])
    return jobs


def choose_all(runs):
    """Chooses each way on each rank for each number of ranks, in the last scenario that reaches it, and the last passage
    of each site."""
    chosen = {}
    for scenario, ranks in reversed(runs):
        for rank, log in enumerate(runs[(scenario, ranks)].logs):
            for (site, way), nth in log.ways.items():
                chosen.setdefault((site, ranks, rank, way), Job(scenario, ranks, rank, site, nth))
            for site, last in log.passed.items():
                chosen.setdefault((site, ranks, rank), Job(scenario, ranks, rank, site, last))
    return list({str(job): job for job in chosen.values()}.values())


def parse():
    parser = argparse.ArgumentParser(description="see the top of the file")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--leaks", action="store_true")
    parser.add_argument("--ranks", help="with --all: 1,2,4")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("words", nargs="*")
    return parser.parse_args()


def walk_all(walk, jobs, pool):
    """Runs the jobs. Returns site -> verdicts, and the errors, which are also printed immediately."""
    verdicts, errors, start = collections.defaultdict(set), [], time.monotonic()
    for i, (job, (verdict, why)) in enumerate(zip(jobs, pool.map(walk.judge, jobs)), 1):
        verdicts[job.site].add(verdict)
        if "LOCKSTEP_SHOW" in os.environ:
            print(f"{verdict}: {job}", flush=True)
        if why:
            errors.append(why)
            print(f"ERROR: {why}\n", flush=True)
        if i % 200 == 0:
            print(f"{i} of {len(jobs)} runs, {len(errors)} errors, {time.monotonic() - start:.0f} s", flush=True)
    return verdicts, errors


def main():
    arguments = parse()
    if arguments.update:
        print(*update_sites(), "sites.txt is up to date", sep="\n")
        return
    sites = all_sites()
    numbers = [int(n) for n in (arguments.ranks or "1,2,4").split(",")] if arguments.all else [1, 2]
    ranks = [harness.ALONE if n == 1 and not arguments.all else n for n in numbers]
    walk = Walk(arguments.leaks)
    errors = [f"{call}: has no fault points; wrap it in points.h, or add a reason to calls.txt"
                for call in forgotten_calls(sites)]
    scenarios = [s for s in SCENARIOS if not arguments.words or any(word in s.name for word in arguments.words)]
    scenarios = scenarios or SCENARIOS
    with harness.workers() as pool:
        runs = passages(walk, ranks, scenarios, pool)
        passed = {site for run in runs.values() for log in run.logs for site in log.passed}
        jobs = (choose_all if arguments.all else choose_short)(runs)
        jobs = [job for job in jobs if not arguments.words or scenarios != SCENARIOS
                or any(word in job.site for word in arguments.words)]
        verdicts, wrong = walk_all(walk, jobs, pool)
    errors += [f"{site}: its failure was never tried, because no run with a fault reached it"
               for site, found in verdicts.items() if found == {"missed"}]
    if not arguments.words:
        errors += check_lists(sites, passed, verdicts)
    print(*errors, sep="\n")
    counts = collections.Counter(verdict for found in verdicts.values() for verdict in found)
    hangs = sum("it hangs" in why for why in wrong)
    print(f"{len(sites)} sites, {len(passed)} visited, {len(jobs)} runs, {hangs} hangs, {len(wrong)} errors; "
          f"sites: {counts['failed']} end a run, {counts['harmless']} are harmless, "
          f"{counts['missed']} were missed")
    shutil.rmtree(walk.folder)
    sys.exit(1 if errors or wrong or not jobs else 0)


if __name__ == "__main__":
    main()
