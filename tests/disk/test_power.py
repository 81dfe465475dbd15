"""Power failures: after a cut at any call of a run, the disk has a usable checkpoint, and the run resumes to the same result.

recorder.c records the calls of a run, and replay.c checks every state that the disk may have after each of them. Some of these
states are resumed to the end, which must equal that of an undisturbed run.

  test_power.py [--long] [WORD...]

--long resumes from 400 states of each run instead of 5 (half an hour)."""

import re
import shutil

import disk
import harness
import numpy
from harness import ALONE

IS_LONG = disk.has_option("--long")
STATES = 400 if IS_LONG else 5
SWEEP_STATES = 2 * STATES

NO_VALIDATION = ("data.validation=0", "train.monitor=epoch")  # the first epoch is the best
ONE_KEPT = ("checkpoint.keep=1",)
SPARSE = ("checkpoint={every_steps: 4, every_epochs: 0, keep: 1}",)


def replay(folder, mode, *words):
    return harness.execute(folder, disk.BUILD / "replay", mode, "record", *words)


def record(folder, pairs, ranks, stops=(), **more):
    """Runs with the recorder, stopped and resumed at these steps."""
    for stop in (*stops, None):
        end = [f"train.max_steps={stop}"] if stop is not None else []
        settings = {"DISK_RECORD": folder / "record", **more}
        disk.train(folder, *disk.sets(*pairs, *end), recorder=settings, ranks=ranks).exits(0)


def check_record(folder):
    """The recorder missed nothing: the replay of its record creates the same files."""
    end = replay(folder, "end", folder / "end").exits(0)
    end.must(harness.snapshot(folder / "end") == harness.snapshot(folder / "out"), "the replay makes the same files")


def resume(folder, pairs, calm, wanted):
    """Resumes from states of the disk to the end."""
    (folder / "states").mkdir()
    told = replay(folder, "dump", folder / "states", wanted).exits(0).out.strip()
    for number, state in enumerate(sorted((folder / "states").iterdir())):
        shutil.rmtree(folder / "out")
        shutil.copytree(state, folder / "out")
        result = disk.train(folder, *disk.sets(*pairs)).exits(0)
        wrong = disk.Result(folder).different(calm)
        result.must(not wrong, f"state {number} ({state}) must give the same result: {wrong}")
        result.must(not disk.leftovers(folder / "out"), f"no file may remain: {disk.leftovers(folder / 'out')}")
    print(f"resumed from {told}")


def power_cut(pairs, ranks, stops, folder):
    disk.prepare(folder)
    calm = disk.uninterrupted(folder, *disk.sets(*pairs))
    record(folder, pairs, ranks, stops)
    check_record(folder)
    result = replay(folder, "check", folder / "scratch").exits(0)
    calls, states, different = map(int, re.search(r"(\d+) calls, (\d+) states, (\d+)", result.out).groups())
    result.must(calls > 200 and states > 2000 and different > 5, "the record must have enough calls and states")
    print(result.out.strip())
    resume(folder, pairs, calm, STATES)


def power_cut_at_the_start(folder):
    """Before the first step: a run without steps has few states."""
    disk.prepare(folder)
    calm = disk.uninterrupted(folder)
    record(folder, ("train.max_steps=0",), ALONE)
    resume(folder, (), calm, 2 * STATES)


def power_cut_after_an_earlier_checkpoint(folder):
    """A finished run is resumed from an earlier checkpoint: its later checkpoints and rows disappear together."""
    pairs = ("checkpoint.keep=6",)
    disk.prepare(folder)
    calm = disk.uninterrupted(folder, *disk.sets(*pairs))
    record(folder, pairs, ALONE)
    disk.train(folder, *disk.sets(*pairs), "--resume", "out/run/checkpoints/step-00000002.h5", "--overwrite",
               recorder={"DISK_RECORD": folder / "record"}).exits(0)
    resume(folder, pairs, calm, 8 * STATES)


SWEEP = """\
base: config.yaml
output: out/sweep
parameters: {optimizer.lr: {log_uniform: [1e-3, 1e-2]}}
search: halving
trials: 2
halving: {factor: 2, first: 1}
"""


def sweep(folder, recorder=None):
    return harness.run(folder, "sweep", "sweep.yaml", **(disk.recorded(folder, recorder) if recorder else {}))


def sweep_result(folder):
    """What does not depend on time: the table, and the rows of each trial."""
    tables = [folder / "out/sweep/trials.csv", *sorted(folder.glob("out/sweep/trials/*/metrics.csv"))]
    cells = [harness.read_csv(path) for path in tables]
    return [[[cell for name, cell in zip(header, row) if "second" not in name] for row in rows] for header, rows in cells]


def power_cut_of_a_sweep(folder):
    """The files of a trial are synced when it ends: a state with damaged files starts the trial anew, never the sweep."""
    disk.prepare(folder, harness.edited(("every_steps: 1", "every_epochs: 1"), text=disk.CONFIG))
    harness.write_file(folder / "sweep.yaml", SWEEP)
    sweep(folder, {"DISK_RECORD": folder / "record"}).exits(0)
    check_record(folder)
    calm, model = sweep_result(folder), harness.model_arrays(folder / "out/sweep/best.h5")
    (folder / "states").mkdir()
    told = replay(folder, "dump", folder / "states", SWEEP_STATES).exits(0).out.strip()
    n_anew = 0
    for number, state in enumerate(sorted((folder / "states").iterdir())):
        shutil.rmtree(folder / "out")
        shutil.copytree(state, folder / "out")
        result = sweep(folder).exits(0)
        result.must(sweep_result(folder) == calm, f"state {number} ({state}) must give the same tables")
        best = harness.model_arrays(folder / "out/sweep/best.h5")
        result.must(all(numpy.array_equal(best[key], model[key]) for key in model), f"state {number}: the best model")
        n_anew += "starts anew" in result.err
    print(f"resumed from {told}; {n_anew} with damaged trials")


def without_fsync_there_would_be_violations(folder):
    """Shows that the check can fail."""
    disk.prepare(folder)
    record(folder, (), ALONE, DISK_NO_FSYNC=1)
    result = replay(folder, "check", folder / "scratch", 100).exits(1).says("100 violations")
    for what in ("no checkpoint", "published"):
        result.says(what)


def all_tests():
    runs = {
        "validation": ((), ALONE, ()),
        "2 ranks": ((), 2, ()),
        "no validation": (NO_VALIDATION, ALONE, ()),
        "stopped and resumed": ((), ALONE, (1, 4)),
        "one kept": (ONE_KEPT, ALONE, ()),
        "few checkpoints": (SPARSE, ALONE, ()),
    }
    for name, how in runs.items():
        yield f"power cut: {name}", lambda folder, how=how: power_cut(*how, folder)
    yield "power cut: at the start", power_cut_at_the_start
    yield "power cut: resumed from an earlier checkpoint", power_cut_after_an_earlier_checkpoint
    yield "power cut: a sweep", power_cut_of_a_sweep
    yield "without fsync there would be violations", without_fsync_there_would_be_violations


if __name__ == "__main__":
    harness.main(all_tests())
