"""Shared by the tests of disks: a small reproducible run in `out/run`, its result, and the recorder on rank 0."""

import pathlib
import random
import shutil
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("cli", "mpi")]

import harness
import runs
from harness import ALONE

BUILD = harness.BUILD / "tests/disk"
RECORDER = BUILD / "librecorder.so"
X, Y = harness.three_classes()

# Most of its time is spent on checkpoints. 6 of 24 samples are held out; an epoch has 3 steps. The result is the same on any
# number of ranks.
CONFIG = harness.edited(
    ("output: run", "output: out/run"),
    ("train: data.h5", "train: data.h5\n  validation: 0.25"),
    ("batch_size: 8", "batch_size: 8\n  reproducible: true\ncheckpoint: {every_steps: 1, keep: 2}"))
STEPS_PER_EPOCH = 3

# Preloads the recorder on rank 0, for any number of ranks.
WITH_RECORDER = ("sh", "-c", '[ "${OMPI_COMM_WORLD_RANK:-0}" != 0 ] || export LD_PRELOAD="$0"; exec "$@"', RECORDER)


def has_option(name):
    """Removes an option from the command line; the other words select tests."""
    found = name in sys.argv
    sys.argv[:] = [word for word in sys.argv if word != name]
    return found


def prepare(folder, config=CONFIG):
    (folder / "config.yaml").write_text(config)
    (folder / "out").mkdir()
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})


def recorded(folder, recorder, settings=()):
    """Arguments of harness.run for a run with the recorder. `recorder`: its settings."""
    own = {"DISK_FOLDER": str((folder / "out").resolve()), **{key: str(recorder[key]) for key in recorder}}
    return {"before": WITH_RECORDER, "settings": {**dict(settings), **own}}


def train(folder, *words, recorder=None, **how):
    """Runs `lockstep train`. `recorder`: settings of recorder.c."""
    if recorder is not None:
        how = {**how, **recorded(folder, recorder, how.get("settings", {}))}
    return harness.run(folder, "train", "config.yaml", *words, **how)


def sets(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def leftovers(folder):
    """Temporary files and the lock; none may remain."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))
            if ".tmp-" in path.name or path.name == "lock"]


class Result:
    """The files of a run without times and without the checkpoints before the last one. These may differ: a run that
    ends between best.h5 and the checkpoint that refers to it determines the best epoch again, and a run that ends before
    it has removed an old checkpoint leaves it. `leftovers` checks the lock and temporary files."""

    def __init__(self, folder):
        run = folder / "out/run"
        self.names = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
        final = max(name for name in self.names if "/step-" in name)
        self.names = [name for name in self.names if name == final or "/step-" not in name and name != "lock"
                      and ".tmp-" not in name]
        self.files = {name: runs.Checkpoint(run / name) for name in ("model.h5", "checkpoints/best.h5", final)}
        header, rows = harness.read_csv(run / "metrics.csv")
        kept = [i for i, name in enumerate(header) if name not in ("seconds", "samples_per_second")]
        self.rows = [[row[i] for i in kept] for row in [header, *rows]]
        self.config = (run / "config.yaml").read_text().replace(str(folder.resolve()), "")  # the folder of the data

    def different(self, other):
        """Returns the differences as texts."""
        wrong = [f"{name}: only in one" for name in set(self.names) ^ set(other.names)]
        for name in self.files.keys() & other.files.keys():
            wrong += [f"{name}: {what}" for what in self.files[name].different(other.files[name])]
        wrong += ["metrics.csv differs"] * (self.rows != other.rows)
        return wrong + ["config.yaml differs"] * (self.config != other.config)


def uninterrupted(folder, *words):
    """The result of an uninterrupted run of this config, in a folder of its own."""
    calm = folder / "uninterrupted"
    calm.mkdir()
    prepare(calm, (folder / "config.yaml").read_text())
    harness.run_well(calm, "train", "config.yaml", *words)
    return Result(calm)


class FailingRun:
    """A run, new or resumed after 3 steps, that is repeated with a different failing call each time."""

    def __init__(self, folder, ranks, is_new):
        self.folder, self.ranks, self.is_new = folder, ranks, is_new
        prepare(folder)
        self.calm = uninterrupted(folder)
        if not is_new:
            train(folder, *sets("train.max_steps=3"), ranks=ranks).exits(0)
        shutil.copytree(folder / "out", folder / "before")

    def reset(self):
        shutil.rmtree(self.folder / "out")
        shutil.copytree(self.folder / "before", self.folder / "out")

    def fail(self, kind, number, error, how):
        """Runs with failing calls; returns the result and the lines of the recorder."""
        self.reset()
        told = self.folder / "told"
        told.unlink(missing_ok=True)
        settings = {"DISK_FAIL": f"{kind} {number} {int(error)} {how}", "DISK_TOLD": told}
        result = train(self.folder, recorder=settings, ranks=self.ranks)
        return result, told.read_text().splitlines()

    def count(self, kind):
        """The number of such calls in an uninterrupted run."""
        result, lines = self.fail(kind, 1000000000, 0, "once")
        result.exits(0)
        return int(lines[-1].removeprefix("seen "))

def some_of(n, wanted=None):
    """Numbers from 1 to n: the first, the last and some between; all if `wanted` is None."""
    if wanted is None or n <= wanted:
        return range(1, n + 1)
    inner = random.Random(n).sample(range(2, n), wanted - 2) if wanted > 2 else []
    return sorted({1, n, *inner} if wanted > 1 else {n})
