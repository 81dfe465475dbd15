"""A resumed run equals the uninterrupted run: to the bit at the same number of ranks, to rounding at another one.

Runs are stopped by max_steps, or killed. Time values and the stored config may differ.

  test_resume_equal.py RANKS [--long]     --long runs all checks at this number of ranks
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import runs

IS_LONG = "--long" in sys.argv  # all checks at this number of ranks
sys.argv[1:] = [word for word in sys.argv[1:] if word != "--long"]
BOUND = 1e-5
LAST = 3 * runs.STEPS_PER_EPOCH


def check_equal(here, name, straight, last, verdicts):
    """The final checkpoint, the best one and metrics.csv are those of the run `straight`."""
    for what in (f"step-{last:08}.h5", "best.h5"):
        ours, theirs = (runs.Checkpoint(here.folder / run / "checkpoints" / what) for run in (name, straight))
        verdicts.check(not ours.different(theirs), f"{name}: {what} has the same bits {ours.different(theirs)}")
    ours, theirs = (runs.Checkpoint(here.folder / run / "model.h5") for run in (name, straight))
    verdicts.check(not ours.different(theirs), f"{name}: model.h5 has the same bits {ours.different(theirs)}")
    verdicts.check(here.metrics(name) == here.metrics(straight), f"{name}: {len(here.metrics(name))} rows are the same")
    verdicts.check(here.table(name, "diagnostics.csv") == here.table(straight, "diagnostics.csv"),
                   f"{name}: diagnostics.csv is the same")
    left = [path.name for path in (here.folder / name).rglob("*.tmp-*")]
    verdicts.check(not left, f"{name}: no temporary file is left {left}")


def check_stops(here, ranks, verdicts):
    """Stopped before the first step, in the first epoch, at its end, in the second, before the last step."""
    for stop in (0, 7, 18, 25, LAST - 1):
        name = f"stopped-{stop}"
        here.train(ranks, name, [f"train.max_steps={stop}"])
        output = here.train(ranks, name)
        verdicts.check(f"step {stop}\n" in output, f"{name}: resumes from there")
        check_equal(here, name, "straight", LAST, verdicts)


def check_many_stops(here, ranks, verdicts):
    """One run in many pieces."""
    for stop in (1, 17, 19, 36):
        here.train(ranks, "pieces", [f"train.max_steps={stop}"])
    here.train(ranks, "pieces")
    check_equal(here, "pieces", "straight", LAST, verdicts)


def check_optimizers(here, ranks, verdicts):
    """What else an optimizer keeps, and all that a step may have; a plateau, which remembers epochs; and a run
    without validation, whose model is the final state."""
    plateau = "schedule={type: plateau, patience: 0, factor: 0.5}"
    cases = {"adam": (["optimizer={type: adam, lr: 0.001}", "data.shuffle=false"], LAST),
             "everything": (runs.EVERYTHING, 3 * 20),
             "sharded": ([*runs.EVERYTHING, "comm={mode: sharded, shared_memory: false}"], 3 * 20),
             "sgd-sharded": (["optimizer={type: sgd, lr: 0.1}", "comm.mode=sharded"], LAST),
             "overlap": ([*runs.EVERYTHING, "comm={mode: overlap, shared_memory: false}"], 3 * 20), "plateau": ([plateau, "train.monitor=step"], LAST),
             "alone": (["data.validation=0"], 3 * 23)}
    if not IS_LONG:  # `sharded` and `overlap` differ only if there are several ranks, the others at none
        kept = {1: ("adam", "everything", "plateau", "alone"), 3: ("everything", "sharded", "overlap", "sgd-sharded")}.get(ranks, ("sharded",))
        cases = {name: cases[name] for name in kept}
    for name, (sets, last) in cases.items():
        here.train(ranks, f"{name}-straight", sets)
        here.train(ranks, name, [*sets, "train.max_steps=25"])
        here.train(ranks, name, sets)
        check_equal(here, name, f"{name}-straight", last, verdicts)


def check_other_ranks(here, ranks, verdicts):
    """Nothing in a checkpoint is per rank: begun at `ranks`, ended at another number."""
    other = ranks % 4 + 1
    here.train(ranks, "moved", ["train.max_steps=25"])
    here.train(other, "moved")
    ours, theirs = here.checkpoint("moved", LAST), here.checkpoint("straight", LAST)
    worst = max(runs.distance(ours.arrays[key], array) for key, array in theirs.arrays.items())
    verdicts.check(worst <= BOUND, f"moved: at {other} ranks {worst:.1e} apart")
    rows = list(zip(here.metrics("moved"), here.metrics("straight")))
    verdicts.check(len(here.metrics("moved")) == len(rows) == 3, "moved: 3 rows")
    worst = max(runs.distance(float(row[key]), float(wanted[key])) for row, wanted in rows for key in wanted)
    verdicts.check(worst <= BOUND, f"moved: metrics.csv {worst:.1e} apart")


def check_reproducible(here, ranks, verdicts):
    """Begun at `ranks`, ended at each other number of ranks: with lanes to the bit."""
    sets = [*runs.EVERYTHING, "train.reproducible=true"]
    here.train(ranks, "bits-straight", sets)
    for other in {1, 2, 3, 4} - {ranks}:
        name = f"bits-{ranks}-{other}"
        here.train(ranks, name, [*sets, "train.max_steps=25"])
        here.train(other, name, sets)
        check_equal(here, name, "bits-straight", 3 * 20, verdicts)


def check_window(here, ranks, verdicts):
    """With windows: begun at `ranks`, ended at another number of ranks, where the config does not name the window."""
    sets = [*runs.EVERYTHING, *here.parts(), "train.reproducible=true"]
    here.train(ranks, "window-straight", sets)
    last = int(here.metrics("window-straight")[-1]["step"])
    here.train(ranks, "window", [*sets, "train.max_steps=25"])
    here.train(ranks % 4 + 1, "window", [text for text in sets if not text.startswith("data.window")])
    check_equal(here, "window", "window-straight", last, verdicts)


def check_each_step(here, ranks, verdicts):
    """Stopped after each single step, across an epoch: every checkpoint is that of the run without a stop."""
    sets = [*runs.EVERYTHING, "checkpoint={every_steps: 1, keep: 60}", "train.log_every=1"]
    steps = 50 if IS_LONG else 23
    whole = here.train(ranks, "steps-straight", [*sets, f"train.max_steps={steps}"])
    lines = []
    for stop in range(1, steps + 1):
        lines += here.train(ranks, "steps", [*sets, f"train.max_steps={stop}"]).splitlines()
    wrong = [step for step in range(1, steps + 1)
             if here.checkpoint("steps", step).different(here.checkpoint("steps-straight", step))]
    verdicts.check(not wrong, f"each step: {steps} checkpoints have the same bits {wrong}")
    verdicts.check(here.metrics("steps") == here.metrics("steps-straight"), "each step: metrics.csv is the same")
    told = [[line for line in text if line.startswith("step ")] for text in (lines, whole.splitlines())]
    verdicts.check(told[0] == told[1] and len(told[0]) == steps, "each step: the same rates and losses are logged")


def check_finished(here, ranks, verdicts):
    """To start a finished run again says so and changes nothing."""
    before = (here.folder / "straight/metrics.csv").read_bytes()
    output = here.train(ranks, "straight")
    verdicts.check("finished" in output, "finished: says so")
    verdicts.check(before == (here.folder / "straight/metrics.csv").read_bytes(), "finished: metrics.csv stays")


def check_what_is_kept(here, ranks, verdicts):
    """every_steps, every_epochs and keep; after the best epoch, which is the first here, and at the end always."""
    def step(*numbers):
        return sorted(["best.h5"] + [f"step-{number:08}.h5" for number in numbers])
    cases = {
        "steps": (["checkpoint={every_steps: 5, every_epochs: 0, keep: 3}", "train.max_steps=23"], step(18, 20, 23)),
        "both": (["checkpoint={every_steps: 16, keep: 10}"], step(16, 18, 32, 36, 48, 54)),
        "epochs": (["checkpoint={every_epochs: 2, keep: 5}"], step(18, 36, 54)),
        "never": (["checkpoint={every_epochs: 0, keep: 5}"], step(18, 54)),
        "one": (["checkpoint={every_steps: 1, keep: 1}"], step(54)),
    }
    for name, (sets, expected) in cases.items():
        here.train(ranks, f"kept-{name}", ["train.monitor=epoch", *sets])
        verdicts.check(here.checkpoints(f"kept-{name}") == expected, f"kept-{name}: {here.checkpoints(f'kept-{name}')}")


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def check_damaged(here, ranks, verdicts):
    """Goes on from the newest whole checkpoint; one that is damaged neither stands in the way of those that follow
    nor counts as kept."""
    folder = here.folder / "damaged/checkpoints"
    here.train(ranks, "damaged", ["checkpoint={every_steps: 5, keep: 2}", "train.max_steps=17"])
    damage(folder / "step-00000017.h5")
    output = here.train(ranks, "damaged", ["checkpoint={every_steps: 1, keep: 1}", "train.max_steps=16"])
    verdicts.check("step 15\n" in output, "damaged: resumes from the previous one")
    verdicts.check(here.checkpoints("damaged") == ["step-00000016.h5"],
                   f"damaged: leaves {here.checkpoints('damaged')}")
    here.train(ranks, "damaged")
    check_equal(here, "damaged", "straight", LAST, verdicts)
    damage(folder / f"step-{LAST:08}.h5")
    for path in folder.glob("step-*.h5"):
        if path.name != f"step-{LAST:08}.h5":
            path.unlink()
    here.train(ranks, "damaged", code=4)
    verdicts.check(True, "damaged: no whole one is code 4")


def check_went_back(here, ranks, verdicts):
    """From an older checkpoint by name: what was later is made anew."""
    sets = ["checkpoint={every_steps: 6, keep: 20}"]
    here.train(ranks, "back", [*sets, "train.max_steps=40"])
    old = here.folder / "back/checkpoints/step-00000012.h5"
    here.train(ranks, "back", [*sets, "train.max_steps=20"], ["--resume", str(old), "--overwrite"])
    steps = runs.saved_steps(here.folder / "back/checkpoints")
    verdicts.check(max(steps) == 20, f"back: later checkpoints are gone {steps}")
    verdicts.check(len(here.metrics("back")) == 1, "back: later rows are gone")
    here.train(ranks, "back", sets)
    check_equal(here, "back", "straight", LAST, verdicts)


def check_elsewhere(here, ranks, verdicts):
    """A checkpoint of another run begins one of its own, whose best model is the best of its own epochs."""
    final = here.folder / "straight/checkpoints" / f"step-{LAST:08}.h5"
    here.train(ranks, "elsewhere", ["train.epochs=5", "optimizer.lr=5"], ["--resume", str(final)])
    best = runs.Checkpoint(here.folder / "elsewhere/checkpoints/best.h5")
    model = runs.Checkpoint(here.folder / "elsewhere/model.h5")
    same = all(model.arrays[name].tobytes() == best.arrays[name].tobytes() for name in model.arrays)
    verdicts.check(same and best.attributes["progress", "best_epoch"] > 3, "elsewhere: model.h5 is of a later epoch")


# ----------------------------------------------------------------------- killed

LONG = ["train.epochs=25", "checkpoint={every_steps: 3, keep: 3}"]
LONG_LAST = 25 * runs.STEPS_PER_EPOCH


def rank_processes(mpirun):
    """The processes below mpirun that run the program."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or os.readlink(entry / "exe") != os.path.realpath(runs.PROGRAM):
                continue
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue # it ended, or is another user's
        if parent == mpirun:
            found.append(int(entry.name))
    return sorted(found)


def newest_step(folder):
    return max(runs.saved_steps(folder), default=0)


def kill_after(here, ranks, name, step, whom):
    """Starts or resumes a run, and once a checkpoint of `step` or later is there kills some of its ranks. Returns
    the newest step then."""
    folder = here.folder / name / "checkpoints"
    with subprocess.Popen(here.command(ranks, name, LONG), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if folder.is_dir() and newest_step(folder) >= step:
                for number in whom(rank_processes(process.pid)):
                    with contextlib.suppress(ProcessLookupError): # mpirun has ended it, as another is dead
                        os.kill(number, signal.SIGKILL)
                process.wait()
            time.sleep(0.002)
    return newest_step(folder), process.returncode


def check_killed(here, ranks, verdicts):
    """Killed three times on its way: the first rank, the last one, all of them."""
    here.train(ranks, "killed-straight", LONG)
    rounds = [(10, lambda all_ranks: all_ranks[:1]), (60, lambda all_ranks: all_ranks[-1:]),
              (120, lambda all_ranks: all_ranks)]
    for step, whom in rounds:
        reached, code = kill_after(here, ranks, "killed", step, whom)
        verdicts.check(code != 0 and reached < LONG_LAST, f"killed: at step {reached}, exit code {code}")
    here.train(ranks, "killed", LONG)
    check_equal(here, "killed", "killed-straight", LONG_LAST, verdicts)
    verdicts.check(here.checkpoints("killed") == here.checkpoints("killed-straight"),
                   f"killed: leaves {here.checkpoints('killed')}")


def check_leftovers(here, ranks, verdicts):
    """What a killed writer leaves is removed, wherever the run writes."""
    here.train(ranks, "leftovers", ["train.max_steps=20"])
    for name in ("model.h5.tmp-1", "checkpoints/step-00000021.h5.tmp-1", "checkpoints/best.h5.tmp-1"):
        (here.folder / "leftovers" / name).write_bytes(b"half of")
    here.train(ranks, "leftovers")
    check_equal(here, "leftovers", "straight", LAST, verdicts)


# A check -> the numbers of ranks at which the short test runs it: what does not depend on them is checked at few.
CHECKS = {
    check_stops: (1, 3), check_many_stops: (2, 4), check_optimizers: (1, 2, 3, 4), check_other_ranks: (1, 2, 3, 4),
    check_reproducible: (2, 3), check_window: (1, 3), check_finished: (2,), check_elsewhere: (4,), check_what_is_kept: (1,),
    check_damaged: (3,), check_went_back: (2,), check_killed: (2, 4), check_leftovers: (1,),
    check_each_step: (2,),  # a start for each step
}


def main():
    ranks = runs.ranks_wanted()
    verdicts = runs.Verdicts()
    with runs.Runs() as here:
        here.train(ranks, "straight")
        for check, wanted in CHECKS.items():
            if IS_LONG or ranks in wanted:
                check(here, ranks, verdicts)
    verdicts.end()


main()
