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

# Most of its time is checkpoints. Of 24 samples 6 are held out: 3 steps an epoch. Equal at any number of ranks.
CONFIG = harness.edited(
    ("output: run", "output: out/run"),
    ("train: data.h5", "train: data.h5\n  validation: 0.25"),
    ("batch_size: 8", "batch_size: 8\n  reproducible: true\ncheckpoint: {every_steps: 1, keep: 2}"))
STEPS_PER_EPOCH = 3

# On rank 0, whether or not there are more, with the recorder.
WITH_RECORDER = ("sh", "-c", '[ "${OMPI_COMM_WORLD_RANK:-0}" != 0 ] || export LD_PRELOAD="$0"; exec "$@"', RECORDER)


def has_option(name):
    """Takes an option off the command line, whose other words pick tests."""
    found = name in sys.argv
    sys.argv[:] = [word for word in sys.argv if word != name]
    return found


def prepare(folder, config=CONFIG):
    (folder / "config.yaml").write_text(config)
    (folder / "out").mkdir()
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})


def train(folder, *words, recorder=None, **how):
    """A run; `recorder`: its settings, as in recorder.c."""
    if recorder is not None:
        settings = {"DISK_FOLDER": str((folder / "out").resolve()), **{key: str(recorder[key]) for key in recorder}}
        how = {**how, "before": WITH_RECORDER, "settings": {**how.get("settings", {}), **settings}}
    return harness.run(folder, "train", "config.yaml", *words, **how)


def sets(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def leftovers(folder):
    """Temporary files, and the lock, of which none may be left."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))
            if ".tmp-" in path.name or path.name == "lock"]


class Result:
    """All that a run leaves but for the clock, and for what is in checkpoints before the last one: of a run that ended
    between best.h5 and the checkpoint that refers to it the best is taken anew, and until then they know of none. One
    that ended before it removed an old checkpoint may leave it. Of the lock see `leftovers`."""

    def __init__(self, folder):
        run = folder / "out/run"
        self.names = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
        final = max(name for name in self.names if "/step-" in name)
        self.names = [name for name in self.names if name == final or "/step-" not in name and name != "lock"]
        self.files = {name: runs.Checkpoint(run / name) for name in ("model.h5", "checkpoints/best.h5", final)}
        header, rows = harness.read_csv(run / "metrics.csv")
        kept = [i for i, name in enumerate(header) if name not in ("seconds", "samples_per_second")]
        self.rows = [[row[i] for i in kept] for row in [header, *rows]]
        self.config = (run / "config.yaml").read_text().replace(str(folder.resolve()), "")  # where the data are

    def different(self, other):
        """In words; empty where there is no difference."""
        wrong = [f"{name}: only in one" for name in set(self.names) ^ set(other.names)]
        for name in self.files.keys() & other.files.keys():
            wrong += [f"{name}: {what}" for what in self.files[name].different(other.files[name])]
        wrong += ["metrics.csv differs"] * (self.rows != other.rows)
        return wrong + ["config.yaml differs"] * (self.config != other.config)


def undisturbed(folder, *words):
    """The result of a run of this config that nothing disturbed, made in a folder of its own."""
    calm = folder / "undisturbed"
    calm.mkdir()
    prepare(calm, (folder / "config.yaml").read_text())
    harness.run_well(calm, "train", "config.yaml", *words)
    return Result(calm)


class FailingRun:
    """A run that is new, or one that goes on after 3 steps, again and again: each time another call fails."""

    def __init__(self, folder, ranks, is_new):
        self.folder, self.ranks, self.is_new = folder, ranks, is_new
        prepare(folder)
        self.calm = undisturbed(folder)
        if not is_new:
            train(folder, *sets("train.max_steps=3"), ranks=ranks).exits(0)
        shutil.copytree(folder / "out", folder / "before")

    def reset(self):
        shutil.rmtree(self.folder / "out")
        shutil.copytree(self.folder / "before", self.folder / "out")

    def fail(self, kind, number, error, how):
        """A run with calls that fail; with it the lines of the recorder."""
        self.reset()
        told = self.folder / "told"
        told.unlink(missing_ok=True)
        settings = {"DISK_FAIL": f"{kind} {number} {int(error)} {how}", "DISK_TOLD": told}
        result = train(self.folder, recorder=settings, ranks=self.ranks)
        return result, told.read_text().splitlines()

    def count(self, kind):
        """How many such calls a run makes that nothing disturbs."""
        result, lines = self.fail(kind, 1000000000, 0, "once")
        result.exits(0)
        return int(lines[-1].removeprefix("seen "))

def some_of(n, wanted=None):
    """Some of 1 to n: the first, the last, and others between; or all."""
    if wanted is None or n <= wanted:
        return range(1, n + 1)
    inner = random.Random(n).sample(range(2, n), wanted - 2) if wanted > 2 else []
    return sorted({1, n, *inner} if wanted > 1 else {n})
