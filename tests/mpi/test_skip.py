"""Steps with a loss or gradient that is not finite: reported on all ranks alike, or skipped without effect."""

import os
import re
import subprocess

import h5py
import numpy

import runs

SAMPLES, BATCH = 72, 12 # six steps an epoch
STEPS = SAMPLES // BATCH
HUGE = 3e38 # finite, but twice of it is not

NET = """
seed: 3
data: {{train: {folder}/{data}.h5, shuffle: false}}
model:
  - {{layer: dense, units: 8}}
  - {{layer: dense, units: 1}}
loss: mse
optimizer: {{type: sgd, lr: 0.01}}
train: {{epochs: 2, batch_size: 12, on_nan: skip}}
comm: {{threads: 1}}
"""

# What a step moves besides the parameters.
STATEFUL = [
    "model=[{layer: dense, units: 16}, {layer: batch_norm}, {layer: tanh}, {layer: dropout, rate: 0.2},"
    " {layer: dense, units: 1}]",
    "optimizer={type: adam, lr: 0.01}", "penalty={l1: 0.0001, l2: 0.0001}", "schedule={type: cosine, warmup_steps: 2}",
    "train.batch_size=6", "train.accumulate=2",
]


def write_data(folder):
    """Regression on six features. The step is 3 where the loss is not finite, 5 where the gradient alone is not."""
    rng = numpy.random.default_rng(8)
    x = rng.normal(size=(SAMPLES, 6)).astype("f4")
    y = (x @ [1, -1, 2, 0, 1, 0.5]).astype("f4")[:, None]
    w = numpy.ones(SAMPLES, "f4")

    def write(name, x, y, w):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for key, value in (("x", x), ("y", y), ("w", w)):
                file[key] = value

    third, fifth = (numpy.arange(SAMPLES) // BATCH == step - 1 for step in (3, 5))
    x_huge, y_huge, w_none = x.copy(), y.copy(), w.copy()
    x_huge[2 * BATCH + 7] = HUGE
    y_huge[fifth] = HUGE
    w_none[third] = 0
    write("loss", x_huge, y, w)
    write("gradient", x, y_huge, w)
    write("weightless", x, y, w_none)
    x_huge[third] = HUGE / 3
    write("first-layer", x_huge, y, w)
    scattered = x.copy()
    scattered[[5, 40]] = HUGE
    write("scattered", scattered, y, w)


class Case:
    """Runs on one dataset."""

    def __init__(self, here, ranks, verdicts, data):
        self.here, self.ranks, self.verdicts = here, ranks, verdicts
        here.config.write_text(NET.format(folder=here.folder, data=data))

    def run(self, name, sets=(), code=0):
        """What is printed to stderr."""
        run = subprocess.run(self.here.command(self.ranks, name, sets), capture_output=True, text=True, check=False)
        self.verdicts.check(run.returncode == code, f"{name}: exit code {run.returncode}, to be {code}\n"
                            + ("" if run.returncode == code else run.stdout + run.stderr))
        return run.stdout, run.stderr

    def says(self, text, *words):
        """One line of the text has all words."""
        found = any(all(word in line for word in words) for line in text.splitlines())
        self.verdicts.check(found, f"says {words}" + ("" if found else f", not in: {text}"))


def modes(ranks):
    """All ways to sum gradients at 3 ranks, and some at other numbers."""
    ways = [f"comm={{mode: {mode}, shared_memory: {shared}, gradient_type: {kind}}}"
            for mode in ("allreduce", "overlap", "sharded")
            for shared, kind in (("true", "float32"), ("false", "float32"), ("false", "bfloat16"))]
    return {1: ways[:1], 3: ways}.get(ranks, ways[1::3]) + ["train.reproducible=true"]


def check_stop(here, ranks, verdicts):
    """Code 6 names the step and the first block whose gradient is not finite; there is one message for all ranks."""
    for data, sets, words in (
            ("loss", [], ("step 3 (epoch 1)", "1-dense/W", "0.01")),
            ("gradient", [], ("step 5 (epoch 1)", "1-dense/W")),
            ("first-layer", ["model.0.init={type: normal, std: 1e-30}", "optimizer.lr=1e-30"], ("step 3 (epoch 1)", "0-dense/W"))):
        case = Case(here, ranks, verdicts, data)
        all_modes = data == "first-layer" and runs.is_quick()
        for i, mode in enumerate(modes(ranks) if all_modes else ["comm.mode=auto"]):
            _, errors = case.run(f"stop-{data}-{i}", [*sets, mode, "train.on_nan=stop"], 6)
            case.says(errors, "lockstep: error: ", *words)
            verdicts.check(errors.count("lockstep: error") == 1, f"stop-{data}-{i}: one message")


def check_no_op(here, ranks, verdicts):
    """A run with a skipped step equals one in which the step has no effect: its samples have weight 0, without momentum."""
    for mode in ("allreduce", "sharded") if runs.is_quick() else ("sharded",):
        case = Case(here, ranks, verdicts, "loss")
        skip, none = f"skip-{mode}", f"no-op-{mode}"
        out, errors = case.run(skip, [f"comm.mode={mode}"])
        case.says(errors, "warning: ", "step 3 (epoch 1)")
        case.says(errors, "warning: ", "step 9 (epoch 2)")
        verdicts.check(errors.count("warning: step") == 2, f"{skip}: one warning a step: {errors}")
        case.says(out, "1 step", "skipped")
        case.says(out, "2 steps", "skipped")
        case = Case(here, ranks, verdicts, "weightless")
        case.run(none, [f"comm.mode={mode}"])
        ours, theirs = here.checkpoint(skip, 2 * STEPS), here.checkpoint(none, 2 * STEPS)
        wrong = [what for what in ours.different(theirs) if not what.startswith("(")] # attributes: the data, counters
        verdicts.check(not wrong, f"{skip}: the parameters of a run in which the step is none {wrong}")
        verdicts.check(ours.attributes["progress", "skipped_steps"] == 2, f"{skip}: two are counted")
        verdicts.check(ours.attributes["optimizer", "steps"] == 2 * STEPS - 2, f"{skip}: the optimizer took the others")
        verdicts.check(here.metrics(skip) == here.metrics(none), f"{skip}: metrics.csv of a run in which the step is none")


def check_nothing_left(here, ranks, verdicts):
    """However gradients are summed, the checkpoint after a skipped step is the one before it, but for what counts
    samples and steps. The forward pass was finite, and had moved the running averages."""
    moved = {"epoch_samples", "samples", "skipped_steps", "step"}
    for i, mode in enumerate(modes(ranks)):
        case = Case(here, ranks, verdicts, "gradient")
        name = f"left-{i}"
        case.run(name, [*STATEFUL, mode, "train.epochs=1", "checkpoint={every_steps: 1, keep: 9}"])
        before, after, last = (here.checkpoint(name, step) for step in (4, 5, 6))
        different = set(re.findall(r"\('progress', '(\w+)'\)", " ".join(after.different(before))))
        verdicts.check(different == moved and len(after.different(before)) == len(moved),
                       f"{mode}: {after.different(before)}")
        far = max(runs.distance(last.arrays[key], after.arrays[key]) for key in last.arrays if key.endswith("/W"))
        verdicts.check(0 < far < 10, f"{mode}: the step after it is sound, {far:.2g}")


def check_resume(here, ranks, verdicts):
    """Stopped before, at and after skipped steps, a run resumes to the same bits."""
    case = Case(here, ranks, verdicts, "scattered")
    sets = [*STATEFUL, "data.shuffle=true", "train.epochs=3"]
    _, errors = case.run("straight", sets)
    skipped = [int(step) for step in re.findall(r"warning: step (\d+)\b", errors)]
    straight = here.checkpoint("straight", 3 * STEPS)
    count = straight.attributes["progress", "skipped_steps"]
    verdicts.check(3 <= count == len(skipped) <= 6, f"resume: steps {skipped} are skipped, {count} counted")
    stops = sorted({skipped[0] - 1, skipped[0], skipped[1], skipped[-1]} - {3 * STEPS})
    for stop in stops if runs.is_quick() else stops[:1]:
        name = f"stopped-{stop}"
        case.run(name, [*sets, f"train.max_steps={stop}"])
        case.run(name, sets)
        different = here.checkpoint(name, 3 * STEPS).different(straight)
        verdicts.check(not different, f"{name}: the same bits {different}")
        verdicts.check(here.metrics(name) == here.metrics("straight"), f"{name}: metrics.csv is the same")


def check_max_skipped(here, ranks, verdicts):
    """One step more than max_skipped ends the run; with more allowed, it resumes from before."""
    case = Case(here, ranks, verdicts, "loss")
    sets = ["train.epochs=4", "comm.mode=sharded"]
    _, errors = case.run("most", [*sets, "train.max_skipped=2"], 6)
    case.says(errors, "error: ", "step 15 (epoch 3)", "train.max_skipped", "2")
    verdicts.check(here.checkpoints("most")[-1] == f"step-{2 * STEPS:08}.h5", "most: the last checkpoint stays")
    case.run("none", [*sets, "train.max_skipped=0"], 6)
    case.run("most", [*sets, "train.max_skipped=4"])
    case.run("more", sets)
    different = here.checkpoint("most", 4 * STEPS).different(here.checkpoint("more", 4 * STEPS))
    verdicts.check(not different, f"most: resumes to the same bits {different}")


def check_all(here, ranks, verdicts):
    """Where every step is skipped, the model stays what it was, and metrics.csv has no loss."""
    case = Case(here, ranks, verdicts, "loss")
    _, errors = case.run("all", ["train.batch_size=full", "train.epochs=12", "train.max_skipped=12"])
    n_warnings = len(re.findall(r"warning: step \d+\b", errors))
    verdicts.check(n_warnings == 10, f"all: ten warnings, {n_warnings}")
    case.run("first", ["train.max_steps=0"])
    ours, theirs = (runs.Checkpoint(here.folder / name / "model.h5") for name in ("all", "first"))
    verdicts.check(not ours.different(theirs), f"all: the initial model {ours.different(theirs)}")
    losses = [row["train_loss"] for row in here.metrics("all")]
    verdicts.check(losses == [""] * 12, f"all: no losses {losses}")


def main():
    ranks = runs.ranks_wanted()
    verdicts = runs.Verdicts()
    if runs.is_quick(): # mpirun waits two seconds for the ranks of a run that failed, unless told otherwise
        os.environ["OMPI_MCA_odls_base_sigkill_timeout"] = "0"
    with runs.Runs() as here:
        write_data(here.folder)
        for check in (check_stop, check_no_op, check_nothing_left, check_resume, check_max_skipped, check_all):
            check(here, ranks, verdicts)
    verdicts.end()


main()
